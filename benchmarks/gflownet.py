"""GFlowNets: do they sample what they should, how fast, how well, and beside whom?

    python benchmarks/gflownet.py correct fast pairs preferences totals strings active rankings [--seeds 3]

correct      exact L1 on the grid of 8 x 8 after 250 and 1,000 iterations, every objective
fast         milliseconds a training step by trajectory balance beside torchgfn (`make peers` first, or
             PEERS=<python that has it>), same network, every visited state evaluated; and of a plain network
             forward and backward on as many states
pairs        order-preserving on the six pairs of the 32 x 32 grid: mass and least probability on the front, GD+,
             entropy; labels by the batch alone, and by an archive that begins with 4,096 uniform points
preferences  one conditional policy on branin-currin against exact tables: 11 preferences, 5 exponents
totals       total order on bags and cells against β-tuned log-partition variance at equal calls: the best 100, and how
             many optima
strings      unigrams with 2 to 4 objectives by a vectorised run, beside NSGA-II and random points at equal calls
active       ask and tell on short strings, 10 rounds of 8: hypervolume beside the GP sampler, which searches the same
             model's acquisition function locally, beside NSGA-II, and beside random points
rankings     from simulated rankings of four: regret of the best shown by number of answers, beside the preference GP,
             on 64 states and on 10^6

Each part writes benchmarks/results/gflownet_<part>.json. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import workbench as wb
from problems import compositional
from workbench.pareto import gd_plus, hypervolume, non_dominated
from workbench.samplers.batch import Outcomes
from workbench.samplers.gflownet.conditioning import Conditioning
from workbench.samplers.gflownet.environment import Grid
from workbench.samplers.gflownet.graph import enumerate_states, l1
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.replay import Archive
from workbench.samplers.gflownet.running import Options, Run
from workbench.samplers.gflownet.training import Objective, Settings, Trainer

Array = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
PEERS = Path(os.environ.get("PEERS", Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"))


def hypergrid(height: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """torchgfn's HyperGrid with (0.1, 0.5, 2)."""

    def reward(states: torch.Tensor) -> torch.Tensor:
        ax = (states.double() / (height - 1) - 0.5).abs()
        inner = ((ax > 0.3 + 1e-12) & (ax < 0.4 - 1e-12)).all(1).double()
        return (0.1 + 0.5 * (ax > 0.25 + 1e-12).all(1).double() + 2.0 * inner)[:, None]

    return reward


def _trainer(height: int, d: int, objective: Objective, batch: int, seed: int) -> Trainer:
    g = torch.Generator().manual_seed(seed)
    settings = Settings(objective=objective, batch=batch)
    policy = Policy(Grid((height,) * d), backward="learned", flows=settings.flows, generator=g)
    return Trainer(policy, hypergrid(height), settings, g)


# -- correct ------------------------------------------------------------------------------------------


def correct(seeds: int) -> dict[str, Any]:
    """L1 by objective after 250 and 1,000 iterations, each seed."""
    graph = enumerate_states(Grid((8, 8)))
    reward = hypergrid(8)(graph.states[graph.ends])[:, 0]
    found: dict[str, Any] = {}
    objectives: tuple[Objective, ...] = ("tb", "subtb", "vargrad", "db", "fm")
    for objective in objectives:
        rows = []
        for seed in range(seeds):
            trainer, row = _trainer(8, 2, objective, 128, seed), []
            for iteration in range(1, 1001):
                trainer.step()
                if iteration in (250, 1000):
                    row.append(_distance(trainer, graph, reward))
            rows.append(row)
        found[objective] = {"L1 at 250": [row[0] for row in rows], "L1 at 1000": [row[1] for row in rows]}
        print(objective, found[objective], flush=True)
    return found


@torch.no_grad()
def _distance(trainer: Trainer, graph: Any, reward: torch.Tensor) -> float:
    log_pf = trainer.policy.tables(graph.states)[0]
    if trainer.settings.objective == "fm":
        flows = trainer.policy.edge_flows(graph.states).double()
        flows[graph.ends, -1] = reward.log()
        log_pf = flows.log_softmax(1)
    return l1(graph.end_probabilities(log_pf), reward / reward.sum())


# -- fast ---------------------------------------------------------------------------------------------


def fast(seeds: int, batches: Sequence[int] = (16, 64, 128, 1024)) -> dict[str, Any]:
    """Median milliseconds of a step, of ours and of the peer's, in turns; and of the network alone."""
    found: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "threads": 1}
    for height, d in ((8, 2), (8, 4), (32, 2)):
        for batch in batches:
            steps = 60 if batch >= 1024 else 150
            ours, theirs, rows, peer_rows, floors = [], [], [], [], []
            for _ in range(seeds):
                mine = _ours(height, d, batch, steps)
                ours.append(mine["ms"])
                rows.append(mine["states"])
                floors.append(mine["floor"])
                peer = _peer(height, d, batch, steps)
                theirs.append(peer["ms"])
                peer_rows.append(peer["states"])
            name = f"{height}^{d}, batch {batch}"
            found[name] = {
                "ms": float(np.median(ours)), "torchgfn ms": float(np.median(theirs)),
                "share": float(np.median(ours) / np.median(theirs)), "states": float(np.mean(rows)),
                "torchgfn states": float(np.mean(peer_rows)), "network alone ms": float(np.median(floors)),
            }  # fmt: skip
            print(name, {key: round(value, 3) for key, value in found[name].items()}, flush=True)
    return found


def _ours(height: int, d: int, batch: int, steps: int) -> dict[str, float]:
    trainer = _trainer(height, d, "tb", batch, 0)
    times = []
    for _ in range(steps):
        begun = time.perf_counter()
        trainer.step()
        times.append(time.perf_counter() - begun)
    t = trainer.policy.sample(batch, trainer.generator)
    widths = [height * d, 256, 256, 2 * d + 1]
    layers: list[torch.nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += [torch.nn.Linear(inputs, outputs), *([torch.nn.ReLU()] if i < 2 else [])]
    network = torch.nn.Sequential(*layers)
    x = torch.nn.functional.one_hot(t.states, height).flatten(1).float()
    alone = []
    for _ in range(20):
        begun = time.perf_counter()
        network.zero_grad()
        network(x).sum().backward()
        alone.append(time.perf_counter() - begun)
    late = times[len(times) // 3 :]
    return {"ms": 1e3 * float(np.median(late)), "states": float(len(t.states)), "floor": 1e3 * float(np.median(alone))}


def _peer(height: int, d: int, batch: int, steps: int) -> dict[str, float]:
    script = Path(__file__).parent / "peers" / "with_torchgfn.py"
    command = [str(PEERS), "-W", "ignore", str(script), *map(str, (height, d, batch, steps))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"OMP_NUM_THREADS": "1"})
    told = json.loads(done.stdout.splitlines()[-1])
    return {"ms": 1e3 * float(np.median(told["times"][steps // 3 :])), "states": told["states"] + batch}


# -- several objectives on the grid ---------------------------------------------------------------------


def _rewards(pair: Sequence[str]) -> Callable[[torch.Tensor], torch.Tensor]:
    problem = compositional.grid(pair)

    def rewards(states: torch.Tensor) -> torch.Tensor:
        values = problem.evaluate_batch({"i": states[:, 0].numpy(), "j": states[:, 1].numpy()})
        return torch.from_numpy(np.stack(list(values.values()), axis=1))

    return rewards


def pairs(seeds: int) -> dict[str, Any]:
    """Order-preserving, 1,000 steps of 128, exact probabilities."""
    grid = Grid((32, 32), border_ends=True)
    graph = enumerate_states(grid)
    ends = graph.states[graph.ends]
    found: dict[str, Any] = {}
    for pair in compositional.PAIRS:
        rewards = _rewards(pair)
        R = rewards(ends)
        front = non_dominated(R.numpy())
        for archived in (False, True):
            rows = []
            for seed in range(seeds):
                g = torch.Generator().manual_seed(seed)
                archive = Archive() if archived else None
                if archive is not None:
                    drawn = torch.randint(len(ends), (4096,), generator=g)
                    archive.add(ends[drawn], R[drawn])
                policy = Policy(grid, hidden=(64, 64, 64), slope=0.01, generator=g)
                settings = Settings(
                    objective="op", learning_rate=1e-2, epsilon=0.01, weight_decay=1e-4,
                    replayed=0.25 if archived else 0.0,
                )  # fmt: skip
                trainer = Trainer(policy, rewards, settings, g, archive=archive)
                for _ in range(1000):
                    trainer.step()
                with torch.no_grad():
                    p = graph.end_probabilities(policy.tables(graph.states)[0]).numpy()
                rows.append(_on_front(p, R.numpy(), front))
            name = f"{'-'.join(pair)}, {'archive' if archived else 'batch'}"
            found[name] = {key: [row[key] for row in rows] for key in rows[0]}
            print(name, {key: np.round(values, 5).tolist() for key, values in found[name].items()}, flush=True)
    return found


def _on_front(p: Array, R: Array, front: NDArray[np.bool_]) -> dict[str, float]:
    nearest = ((R[:, None] - R[front][None]) ** 2).sum(2).argmin(1)
    shares = np.bincount(nearest, weights=p, minlength=int(front.sum()))
    shares = shares[shares > 0]
    distances = np.array([gd_plus(row[None], R[front]) for row in R])
    return {
        "mass": float(p[front].sum()), "GD+": float(p @ distances), "least": float(p[front].min() * front.sum()),
        "entropy share": float(-(shares * np.log(shares)).sum() / math.log(front.sum())),
    }  # fmt: skip


def preferences(seeds: int) -> dict[str, Any]:
    """Mean L1 and gap of log Z over 55 conditions; encodings compared."""
    grid = Grid((32, 32), border_ends=True)
    graph = enumerate_states(grid)
    rewards = _rewards(("branin", "currin"))
    R = rewards(graph.states[graph.ends])
    found: dict[str, Any] = {}
    for label, bins in (("raw", 0), ("thermometer", 50)):
        rows = []
        for seed in range(seeds):
            g = torch.Generator().manual_seed(seed)
            conditioning = Conditioning(2, beta=(1.0, 2.0, 4.0, 8.0, 16.0), bins=bins)
            policy = Policy(grid, hidden=(64, 64, 64), slope=0.01, condition=conditioning.width, generator=g)
            settings = Settings(learning_rate=1e-2, learning_rate_z=1e-2, final=0.01, steps=5000, epsilon=0.01)
            trainer = Trainer(policy, rewards, settings, g, conditioning=conditioning)
            for _ in range(settings.steps):
                trainer.step()
            distances, gaps = [], []
            for beta in conditioning.beta:
                for w in np.linspace(0.0, 1.0, 11):
                    given = conditioning.at([w, 1.0 - w], len(R), beta)
                    target = conditioning.log_reward(R, given)
                    assert given.encoding is not None
                    with torch.no_grad():
                        log_pf = policy.tables(graph.states, given.encoding[0])[0]
                        gaps.append(abs(float(trainer.log_z(given.encoding[:1])) - float(target.logsumexp(0))))
                    distances.append(l1(graph.end_probabilities(log_pf), target.softmax(0)))
            rows.append((float(np.mean(distances)), float(np.max(distances)), float(np.mean(gaps))))
        found[label] = dict(zip(("mean L1", "worst L1", "mean gap of log Z"), zip(*rows, strict=True), strict=True))
        print(label, found[label], flush=True)
    return found


# -- one objective: order against reward ------------------------------------------------------------------


def _evaluator(problem: Any, seen: list[tuple[Array, Array]] | None = None) -> Callable[[Array], Outcomes]:
    def evaluate(X: Array) -> Outcomes:
        values = problem.evaluate_batch(problem.space.decode_columns(X))
        Y = np.stack([values[goal.name] for goal in problem.objectives], axis=1)
        if seen is not None:
            seen.append((X.copy(), Y))
        return Outcomes(Y, np.zeros(len(X)))

    return evaluate


def totals(seeds: int) -> dict[str, Any]:
    """Mean value of the 100 best different points, and number of optima, among 20,000 evaluations."""
    found: dict[str, Any] = {}
    for problem, optimal in ((compositional.bag(), 30.0), (compositional.cells(), 0.9)):
        goal = problem.objectives[0].name
        ways = {"order": Options(order=True)}
        ways |= {f"beta {beta:g}": Options(beta=beta) for beta in (2.0, 8.0, 32.0)}
        for name, options in ways.items():
            rows = []
            for seed in range(seeds):
                seen: list[tuple[Array, Array]] = []
                run = Run(problem.space, _evaluator(problem, seen), 20_000, np.random.default_rng(seed), options)
                while run.step():
                    pass
                X, Y = (np.concatenate(parts) for parts in zip(*seen, strict=True))
                _, first = np.unique(X, axis=0, return_index=True)
                values = np.sort(Y[first, 0])[::-1]
                drawn = run.model.sample(1000, torch.Generator().manual_seed(seed))
                mean = problem.evaluate_batch(problem.space.decode_columns(drawn))[goal].mean()
                rows.append((float(values[:100].mean()), int((values >= optimal).sum()), float(mean)))
            keys = ("best 100", f"points >= {optimal:g}", "mean of samples")
            found[f"{problem.name}, {name}"] = dict(zip(keys, zip(*rows, strict=True), strict=True))
            print(problem.name, name, found[f"{problem.name}, {name}"], flush=True)
    return found


# -- strings ----------------------------------------------------------------------------------------------


def strings(seeds: int, evaluations: int = 30_000) -> dict[str, Any]:
    """Hypervolume of everything evaluated, reference 0, and what single samples are worth."""
    found: dict[str, Any] = {}
    for letters in ("AV", "AVC", "AVCW"):
        problem = compositional.unigrams(letters)
        rows: dict[str, list[float]] = {}
        for seed in range(seeds):
            for name, search in (("gflownet", _by_gflownet), ("nsga2", _by_nsga2), ("random", _by_chance)):
                Y = search(problem, evaluations, seed)
                rows.setdefault(name, []).append(hypervolume(Y, np.zeros(len(letters))))
        found[problem.name] = rows
        print(problem.name, rows, flush=True)
    return found


def _by_gflownet(problem: Any, evaluations: int, seed: int) -> Array:
    seen: list[tuple[Array, Array]] = []
    options = Options(reward="values", beta=32.0)
    run = Run(problem.space, _evaluator(problem, seen), evaluations, np.random.default_rng(seed), options)
    while run.step():
        pass
    return np.concatenate([Y for _, Y in seen])


def _by_chance(problem: Any, evaluations: int, seed: int) -> Array:
    X = problem.space.uniform(evaluations, np.random.default_rng(seed))
    return np.asarray(_evaluator(problem)(X).utility)


def _by_nsga2(problem: Any, evaluations: int, seed: int) -> Array:
    """pymoo's, on the tokens of the longest string; a token more ends it."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.mutation.pm import PolynomialMutation
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    letters = compositional.AMINO_ACIDS
    longest = problem.space["string"].max_length
    grams, seen = [goal.name for goal in problem.objectives], []

    class Strings(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=longest, n_obj=len(grams), xl=0, xu=len(letters) - 1, vtype=int)

        def _evaluate(self, X: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
            texts = np.array(["".join(letters[int(i)] for i in row) for row in X])
            values = problem.evaluate_batch({"string": texts})
            Y = np.stack([values[gram] for gram in grams], axis=1)
            seen.append(Y)
            out["F"] = -Y

    algorithm = NSGA2(
        100, sampling=IntegerRandomSampling(), crossover=UniformCrossover(repair=RoundingRepair()),
        mutation=PolynomialMutation(repair=RoundingRepair(), vtype=int), eliminate_duplicates=True,
    )  # fmt: skip
    minimize(Strings(), algorithm, ("n_eval", evaluations), seed=seed)
    return np.concatenate(seen)


# -- ask and tell -------------------------------------------------------------------------------------------


def active(seeds: int, rounds: int = 10, batch: int = 8) -> dict[str, Any]:
    """Hypervolume after each round, short strings of two letters that compete for places."""
    problem = compositional.ngrams(("AV", "VC"), 8, 8, 4)
    found: dict[str, Any] = {}
    for sampler in ("gflownet", "gp", "nsga2", "random"):
        paths = []
        for seed in range(seeds):
            study = wb.create_study(
                "s", problem.space, problem.objectives, sampler=sampler, seed=seed, budget=rounds * batch
            )  # fmt: skip
            path = []
            for _ in range(rounds):
                for trial in study.ask(batch):
                    study.tell(trial, problem.evaluate(trial.params))
                Y = np.array([[t.values["AV"], t.values["VC"]] for t in study.trials])
                path.append(hypervolume(Y, np.full(2, -0.01)))
            paths.append(path)
        found[sampler] = {"mean by round": np.mean(paths, axis=0).tolist(), "last": [path[-1] for path in paths]}
        print(sampler, found[sampler], flush=True)
    return {"rounds": rounds, "batch": batch, **found}


def rankings(seeds: int, answers: int = 20) -> dict[str, Any]:
    """Regret of the best shown, in units of the utility's range, after each number of answers without errors."""
    found: dict[str, Any] = {}
    for columns, levels in ((3, 4), (6, 10)):
        count = min(answers, levels**columns // 4)  # Sobol points are new ones, four for each
        space = wb.Space([wb.Categorical(f"c{i}", list(range(levels))) for i in range(columns)])
        for sampler in ("gflownet", "preference", "sobol"):
            paths = []
            for seed in range(seeds):
                worth = np.random.default_rng(seed).normal(size=(columns, levels))
                pairs = 0.5 * np.random.default_rng(seed + 1000).normal(size=(columns - 1, levels, levels))
                best, worst = _extremes(worth, pairs)

                def utility(params: Mapping[str, Any], worth: Array = worth, pairs: Array = pairs) -> float:
                    v = [params[f"c{i}"] for i in range(len(worth))]
                    linked = sum(pairs[i, v[i], v[i + 1]] for i in range(len(pairs)))
                    return float(sum(worth[i, k] for i, k in enumerate(v)) + linked)

                study = wb.create_study("s", space, [wb.Preference("taste")], sampler=sampler, seed=seed)
                path, top = [], -math.inf
                for _ in range(count):
                    question = study.feedback.next_question(4)
                    shown = sorted(question.trials, key=lambda trial: -utility(trial.params))
                    question.answer([[trial] for trial in shown])
                    top = max(top, utility(shown[0].params))
                    path.append((best - top) / (best - worst))
                paths.append(path)
            mean = np.mean(paths, axis=0)
            found[f"{levels}^{columns}, {sampler}"] = mean.tolist()
            print(
                levels**columns,
                sampler,
                {n: round(float(mean[n - 1]), 4) for n in (5, 10, 15, 20) if n <= count},
                flush=True,
            )
    return {"answers": answers, **found}


def _extremes(worth: Array, pairs: Array) -> tuple[float, float]:
    """Greatest and least utility along the chain, by dynamic programming."""
    ends = []
    for sign in (1.0, -1.0):
        value = sign * worth[0]
        for i in range(len(pairs)):
            value = (value[:, None] + sign * pairs[i]).max(axis=0) + sign * worth[i + 1]
        ends.append(sign * float(value.max()))
    return ends[0], ends[1]


PARTS: Mapping[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "correct": (correct, 3), "fast": (fast, 3), "pairs": (pairs, 3), "preferences": (preferences, 2),
    "totals": (totals, 3), "strings": (strings, 3), "active": (active, 3),
    "rankings": (rankings, 5),
}  # fmt: skip


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", wb.WorkbenchWarning)
    for part in arguments.parts:
        measure, usual = PARTS[part]
        begun = time.perf_counter()
        seeds = arguments.seeds or usual
        whole = {"part": part, "seeds": seeds, **measure(seeds), "seconds": time.perf_counter() - begun}
        (RESULTS / f"gflownet_{part}.json").write_text(json.dumps(whole, indent=1) + "\n")
        print(json.dumps(whole))


if __name__ == "__main__":
    main()
