"""GFlowNets beside each other and beside whom else there is, at equal evaluations.

    python benchmarks/gflownet_compare.py pairs totals sparse strings bigrams chemistry ablation rankings [--seeds N]

pairs        order-preserving on the six pairs of the 32 x 32 grid, 128,000 evaluations: as published (labels by the
             batch), and ours (an archive that begins with 4,096 uniform points, replay of what the batch lacks, rate
             that falls): mass and least probability on the front, GD+, entropy; exact probabilities
totals       total order on 5,000 bags and 2,000 cells against a reward to the power of β, tuned: the best 100, and how
             many optima
sparse       the claim that an order thins out: exact mass of the best 1, 10, 100 of 15,625 cells after ever more
             evaluations, and how log p goes with the rank
strings      strings with 2 to 4 objectives, one letter each, 10,000 evaluations: a run beside MO-REINFORCE, a
             goal-conditioned GFlowNet, NSGA-II and chance (`gflownet_rivals.py`)
bigrams      the same of pairs of letters
chemistry    the same of molecules of up to six fragments (RDKit) and of DNA of 30 bases (ViennaRNA)
ablation     the run on three unigrams with another encoding, β, α, scalarisation, without children, without replay
rankings     from simulated rankings of four: regret of the best shown by number of answers, beside the preference GP,
             on 64 states and on 10^6

Each part writes benchmarks/results/gflownet_<part>.json after every seed of a case and goes on from there; `--minutes`
ends it early. Last a line of JSON with means.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gflownet_rivals import OURS, SEARCHES, by_gflownet, measured
from numpy.typing import NDArray

import workbench as wb
from problems import chemistry as lab
from problems import compositional
from workbench.pareto import gd_plus, non_dominated
from workbench.samplers.batch import Outcomes
from workbench.samplers.gflownet.environment import Grid
from workbench.samplers.gflownet.graph import Graph, enumerate_states
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.replay import Archive
from workbench.samplers.gflownet.running import Options, Run
from workbench.samplers.gflownet.training import Settings, Trainer

Array = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]
Cases = Mapping[str, Callable[[int], Row]]
"""What is measured by name: a seed -> numbers, or paths of them."""


# -- several objectives on the grid ---------------------------------------------------------------------

_CALLS, _BATCH, _SHARE = 128_000, 128, 0.25


def pairs() -> Cases:
    """Order-preserving: the published way, with an archive of the front that is replayed, and with children, too."""
    grid = Grid((32, 32), border_ends=True)
    graph = enumerate_states(grid)
    return {
        f"{'-'.join(pair)}, {way}": partial(_on_grid, grid, graph, pair, replayed, bred)
        for pair in compositional.PAIRS
        for way, replayed, bred in (("published", 0.0, 0.0), ("archive", _SHARE, 0.0), ("ours", _SHARE, _SHARE))
    }


def _on_grid(grid: Grid, graph: Graph, pair: Sequence[str], replayed: float, bred: float, seed: int) -> Row:
    problem, ends = compositional.grid(pair), graph.states[graph.ends]

    def rewards(states: torch.Tensor) -> torch.Tensor:
        values = problem.evaluate_batch({"i": states[:, 0].numpy(), "j": states[:, 1].numpy()})
        return torch.from_numpy(np.stack(list(values.values()), axis=1))

    generator = torch.Generator().manual_seed(seed)
    archive, begun = None, 0
    if replayed:
        archive, begun = Archive(), _BATCH
        drawn = ends[torch.randint(len(ends), (begun,), generator=generator)]
        archive.add(drawn, rewards(drawn))
    steps = (_CALLS - begun) // (_BATCH - round(replayed * _BATCH))  # what is replayed is known
    settings = Settings(
        objective="op", batch=_BATCH, learning_rate=1e-2, epsilon=0.01, weight_decay=1e-4, replayed=replayed,
        bred=bred, final=0.01 if replayed else 1.0, steps=steps,
    )  # fmt: skip
    policy = Policy(grid, hidden=(64, 64, 64), slope=0.01, generator=generator)
    trainer = Trainer(policy, rewards, settings, generator, archive=archive, breed=_crossed)
    while trainer.calls + begun <= _CALLS - _BATCH:
        trainer.step()
    with torch.no_grad():
        p = graph.end_probabilities(policy.tables(graph.states)[0]).numpy()
    return _on_front(p, rewards(ends).numpy()) | {"calls": trainer.calls + begun}


def _crossed(first: torch.Tensor, second: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Cells with coordinates of either parent, one of the two drawn anew in the mean; the far corner is no end."""
    coins = torch.rand(2, *first.shape, generator=generator)
    child = torch.where(coins[0] < 0.5, first, second)
    child = torch.where(coins[1] < 0.5, torch.randint(32, first.shape, generator=generator), child)
    return torch.where((child == 31).all(1, keepdim=True), first, child)


def _on_front(p: Array, R: Array) -> Row:
    front = non_dominated(R)
    nearest = ((R[:, None] - R[front][None]) ** 2).sum(2).argmin(1)
    shares = np.bincount(nearest, weights=p, minlength=int(front.sum()))
    shares = shares[shares > 0]
    distances = np.array([gd_plus(row[None], R[front]) for row in R])
    return {
        "mass": float(p[front].sum()), "GD+": float(p @ distances),
        "least p x front": float(p[front].min() * front.sum()),
        "entropy share": float(-(shares * np.log(shares)).sum() / math.log(front.sum())),
    }  # fmt: skip


# -- one objective: order against reward ------------------------------------------------------------------


def totals() -> Cases:
    """An order, and every β of rewards that are scaled or values as they are."""
    betas = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    ways = {"order": Options(order=True), "order with children": Options(order=True, bred=0.25)}
    for beta in betas:
        ways[f"scaled, beta {beta:g}"] = Options(beta=beta)
        ways[f"values, beta {beta:g}"] = Options(beta=beta, reward="values")
    bag, cells = compositional.bag(), compositional.cells()
    return {
        f"{problem.name}, {name}": partial(_total, problem, evaluations, optimal, options)
        for problem, evaluations, optimal in ((bag, 5000, 30.0), (cells, 2000, 0.9))
        for name, options in ways.items()
    }


def _total(problem: compositional.Composition, evaluations: int, optimal: float, options: Options, seed: int) -> Row:
    seen: list[tuple[Array, Array]] = []
    run = _trained(problem, evaluations, options, seed, seen)
    X, y = np.concatenate([X for X, _ in seen]), np.concatenate([y for _, y in seen])
    _, first = np.unique(X, axis=0, return_index=True)
    values = np.sort(y[first])[::-1]
    drawn = run.model.sample(1000, torch.Generator().manual_seed(seed))
    fresh = problem.evaluate_batch(problem.space.decode_columns(drawn))[problem.objectives[0].name]
    return {
        "best 100": float(values[:100].mean()), "optima": int((values >= optimal).sum()), "different": len(values),
        "mean of samples": float(fresh.mean()), "different of 1000 samples": len(np.unique(drawn, axis=0)),
    }  # fmt: skip


def _trained(
    problem: compositional.Composition, evaluations: int, options: Options, seed: int, seen: list[tuple[Array, Array]]
) -> Run:  # fmt: skip
    goal = problem.objectives[0].name

    def evaluate(X: Array) -> Outcomes:
        y = problem.evaluate_batch(problem.space.decode_columns(X))[goal]
        seen.append((X.copy(), y))
        return Outcomes(y[:, None], np.zeros(len(X)))

    run = Run(problem.space, evaluate, evaluations, np.random.default_rng(seed), options)
    while run.step():
        pass
    return run


def sparse() -> Cases:
    """Order, and β of 8, after 2,000 to 32,000 evaluations of cells."""
    ways = {"order": Options(order=True), "beta 8": Options(bred=0.0)}
    return {
        f"{name}, {evaluations}": partial(_thinned, evaluations, options)
        for name, options in ways.items()
        for evaluations in (2000, 8000, 32_000)
    }


def _thinned(evaluations: int, options: Options, seed: int) -> Row:
    problem = compositional.cells()
    run = _trained(problem, evaluations, options, seed, [])
    graph = enumerate_states(run.model.environment)
    ends = graph.states[graph.ends]
    columns = problem.space.decode_columns(run.model.environment.encoded(ends))
    worth = problem.evaluate_batch(columns)["accuracy"]
    with torch.no_grad():
        p = graph.end_probabilities(run.model.policy.tables(graph.states)[0]).numpy()
    order = np.argsort(-worth, kind="stable")
    rank = np.empty(len(p))
    rank[order] = np.arange(len(p))
    log_p = np.log(p.clip(min=1e-300))
    return {f"mass of best {k}": float(p[order[:k]].sum()) for k in (1, 10, 100)} | {
        "log p with -rank": float(np.corrcoef(log_p, -rank)[0, 1]),
        "log p with value": float(np.corrcoef(log_p, worth)[0, 1]),
        "rank with rank": float(np.corrcoef(np.argsort(np.argsort(p, kind="stable")), -rank)[0, 1]),
    }  # fmt: skip


# -- strings ----------------------------------------------------------------------------------------------

_EVALUATIONS = 10_000


def strings() -> Cases:
    """Every search on strings of 17 or 18 with many of 2 to 4 letters."""
    return _searched([compositional.unigrams(letters) for letters in ("AV", "AVC", "AVCW")])


def bigrams() -> Cases:
    """Every search on strings of 33 to 36 with many of 2 to 4 pairs of letters."""
    pairs = ("AV", "VC", "CA", "CW")
    return _searched([compositional.ngrams(pairs[:m]) for m in (2, 3, 4)])


def chemistry() -> Cases:
    """Every search on molecules (drug-likeness, synthesis, weight) and on DNA (energy, pairs, hairpins)."""
    return _searched([lab.molecules(), lab.aptamers()], named=True)


def _searched(problems: Sequence[compositional.Composition], named: bool = False) -> Cases:
    return {
        f"{problem.name if named else '-'.join(g.name for g in problem.objectives)}, {name}": partial(
            _on_strings, problem, search
        )
        for problem in problems
        for name, search in SEARCHES.items()
    }


def _on_strings(problem: compositional.Composition, search: Callable[..., Any], seed: int) -> Row:
    begun = time.perf_counter()
    found = search(problem, _EVALUATIONS, seed)
    seconds = time.perf_counter() - begun
    return measured(problem, found) | {"evaluations": len(found.Y), "seconds": seconds}


def ablation() -> Cases:
    """One thing of the run changed at a time."""
    from dataclasses import replace

    changes: Mapping[str, Mapping[str, Any]] = {
        "as it is": {}, "weights as they are": {"bins": 0}, "50 bins": {"bins": 50}, "beta 8": {"beta": 8.0},
        "beta 32": {"beta": 32.0},
        "alpha 0.5": {"alpha": 0.5}, "alpha 2": {"alpha": 2.0}, "log": {"scalarization": "log"},
        "chebyshev": {"scalarization": "chebyshev"}, "no children": {"bred": 0.0}, "no replay": {"replayed": 0.0},
        "neither": {"bred": 0.0, "replayed": 0.0}, "order": {"order": True},
    }  # fmt: skip
    problem = compositional.unigrams("AVC")
    return {
        name: partial(_on_strings, problem, partial(by_gflownet, options=replace(OURS, **change)))
        for name, change in changes.items()
    }


# -- rankings ---------------------------------------------------------------------------------------------

_ANSWERS = 20


def rankings() -> Cases:
    """Regret of the best shown, in units of the utility's range, after each number of answers without errors."""
    return {
        f"{levels}^{columns}, {sampler}": partial(_ranked, columns, levels, sampler)
        for columns, levels in ((3, 4), (6, 10))
        for sampler in ("gflownet", "preference", "sobol")
    }


def _ranked(columns: int, levels: int, sampler: str, seed: int) -> Row:
    count = min(_ANSWERS, levels**columns // 4)  # Sobol points are new ones, four for each
    space = wb.Space([wb.Categorical(f"c{i}", list(range(levels))) for i in range(columns)])
    worth = np.random.default_rng(seed).normal(size=(columns, levels))
    linked = 0.5 * np.random.default_rng(seed + 1000).normal(size=(columns - 1, levels, levels))
    best, worst = _extremes(worth, linked)

    def utility(params: Mapping[str, Any]) -> float:
        v = [params[f"c{i}"] for i in range(columns)]
        alone = sum(worth[i, k] for i, k in enumerate(v))
        return float(alone + sum(linked[i, v[i], v[i + 1]] for i in range(columns - 1)))

    study = wb.create_study("s", space, [wb.Preference("taste")], sampler=sampler, seed=seed)
    path, top = [], -math.inf
    for _ in range(count):
        question = study.feedback.next_question(4)
        shown = sorted(question.trials, key=lambda trial: -utility(trial.params))
        question.answer([[trial] for trial in shown])
        top = max(top, utility(shown[0].params))
        path.append((best - top) / (best - worst))
    return {"regret": path}


def _extremes(worth: Array, linked: Array) -> tuple[float, float]:
    """Greatest and least utility along the chain, by dynamic programming."""
    ends = []
    for sign in (1.0, -1.0):
        value = sign * worth[0]
        for i in range(len(linked)):
            value = (value[:, None] + sign * linked[i]).max(axis=0) + sign * worth[i + 1]
        ends.append(sign * float(value.max()))
    return ends[0], ends[1]


# -- records ------------------------------------------------------------------------------------------------


PARTS: Mapping[str, tuple[Callable[[], Cases], int]] = {
    "pairs": (pairs, 5), "totals": (totals, 5), "sparse": (sparse, 3), "strings": (strings, 3),
    "bigrams": (bigrams, 3), "chemistry": (chemistry, 3), "ablation": (ablation, 3), "rankings": (rankings, 5),
}  # fmt: skip


def recorded(part: str, cases: Cases, seeds: int, until: float, folder: Path) -> dict[str, Any]:
    """Rows by case and seed: those on record, and the missing ones until the time is over."""
    path = folder / f"gflownet_{part}.json"
    kept: dict[str, dict[str, Row]] = json.loads(path.read_text()).get("rows", {}) if path.exists() else {}
    rows = {name: kept.get(name, {}) for name in cases}
    for seed in range(seeds):
        for name, measure in cases.items():
            if str(seed) in rows[name]:
                continue
            if time.monotonic() > until:
                return rows
            rows[name][str(seed)] = measure(seed)
            path.write_text(json.dumps({"part": part, "means": means(rows), "rows": rows}, indent=1) + "\n")
            print(name, seed, json.dumps(rows[name][str(seed)]), flush=True)
    return rows


def means(rows: Mapping[str, Mapping[str, Row]]) -> dict[str, dict[str, Any]]:
    """Of every number over the seeds, and how many there are."""
    found: dict[str, dict[str, Any]] = {}
    for name, seeds in rows.items():
        if seeds:
            every = list(seeds.values())
            found[name] = {key: np.mean([row[key] for row in every], axis=0).tolist() for key in every[0]}
            found[name]["seeds"] = len(every)
    return found


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--folder", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", wb.WorkbenchWarning)
    until = time.monotonic() + 60 * arguments.minutes
    for part in arguments.parts:
        cases, usual = PARTS[part]
        rows = recorded(part, cases(), arguments.seeds or usual, until, arguments.folder)
        print(json.dumps({"part": part, "means": means(rows)}))


if __name__ == "__main__":
    main()
