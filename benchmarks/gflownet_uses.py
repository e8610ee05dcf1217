"""GFlowNets in use: molecules and DNA by a vectorised run, and few expensive strings by ask and tell.

    python benchmarks/gflownet_uses.py chemistry expensive [--seeds N] [--rows FILE]

chemistry    molecules of up to six fragments (RDKit) and DNA of 30 bases (ViennaRNA), 10,000 evaluations each: one
             preference-conditional policy beside pymoo's NSGA-II and uniform points; hypervolume (reference 0) and R2
             of everything evaluated, and for 15 weights the mean of the ten best and their mean edit distance
expensive    10 rounds of 16 on strings of two bigrams and on DNA (energy and pairs): hypervolume after each round,
             beside a local search of the same acquisition function, in the manner of LaMBO without its network; beside
             the NSGA-II sampler and random points. What a seed brought is kept in --rows, so that a run that was
             interrupted goes on.

Each part writes benchmarks/results/gflownet_<part>.json. Last a line of JSON. Local search: Stanton et al. 2022,
arXiv 2203.12742 (starts at the front, several edits, the best of many for each), with the engine's Gaussian process.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gflownet_rivals import OURS
from numpy.typing import NDArray

import workbench as wb
from problems import chemistry as lab
from problems import compositional
from workbench.acquisition import plan
from workbench.models.gp import GaussianProcesses
from workbench.pareto import hypervolume, non_dominated, r2, weights
from workbench.samplers.batch import Outcomes
from workbench.samplers.gflownet.running import Run

Array = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results"
EVALUATIONS, ROUNDS, BATCH, START = 10_000, 10, 16, 40
TOP = 10
MUTANTS = 640  # acquisition values a pick: as many as a GFlowNet of 200 steps of 48 fresh trajectories takes
EDITS = 4


# -- vectorised runs --------------------------------------------------------------------------------------


class Calls:
    """A problem as a function of encoded points that remembers what it was asked."""

    def __init__(self, problem: Any) -> None:
        self._problem = problem
        self._X: list[Array] = []
        self._Y: list[Array] = []

    def __call__(self, X: Array) -> Outcomes:
        values = self._problem.evaluate_batch(self._problem.space.decode_columns(X))
        Y = np.stack([values[goal.name] for goal in self._problem.objectives], axis=1)
        self._X.append(X.copy())
        self._Y.append(Y)
        return Outcomes(Y, np.zeros(len(X)))

    def seen(self) -> tuple[Array, Array]:
        """Different points, and their values."""
        X, Y = np.concatenate(self._X), np.concatenate(self._Y)
        _, first = np.unique(X, axis=0, return_index=True)
        return X[first], Y[first]


def by_gflownet(problem: Any, calls: Calls, evaluations: int, seed: int) -> None:
    """One policy for every preference, on the values themselves, trained as for the strings."""
    run = Run(problem.space, calls, evaluations, np.random.default_rng(seed), OURS)
    while run.step():
        pass
    rest = evaluations - run.calls
    if rest > 0:  # what the run keeps to look at itself
        calls(run.model.sample(rest, torch.Generator().manual_seed(seed)))


def by_chance(problem: Any, calls: Calls, evaluations: int, seed: int) -> None:
    """Uniform points."""
    calls(problem.space.uniform(evaluations, np.random.default_rng(seed)))


def by_nsga2(problem: Any, calls: Calls, evaluations: int, seed: int) -> None:
    """pymoo's, on the tokens of the longest string; one token more ends it, where it may end."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.operators.mutation.pm import PolynomialMutation
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    (string,) = problem.space
    k, least, most = len(string.alphabet), string.min_length, string.max_length

    class Strings(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            last = k if least < most else k - 1
            super().__init__(n_var=most, n_obj=len(problem.objectives), xl=0, xu=last, vtype=int)

        def _evaluate(self, X: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
            tokens = X.astype(np.int64)
            tokens[:, :least] %= k
            over = np.cumsum(tokens == k, axis=1) > 0
            out["F"] = -calls(np.where(over, -1.0, tokens)).utility

    algorithm = NSGA2(
        100, sampling=IntegerRandomSampling(), crossover=UniformCrossover(repair=RoundingRepair()),
        mutation=PolynomialMutation(repair=RoundingRepair(), vtype=int), eliminate_duplicates=True,
    )  # fmt: skip
    minimize(Strings(), algorithm, ("n_eval", evaluations), seed=seed)


def chemistry(seeds: int, _: Path) -> dict[str, Any]:
    """What everything evaluated is worth together."""
    found: dict[str, Any] = {"evaluations": EVALUATIONS}
    ways = {"gflownet": by_gflownet, "nsga2": by_nsga2, "random": by_chance}
    for problem in (lab.molecules(), lab.aptamers()):
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for seed in range(seeds):
            for name, search in ways.items():
                calls = Calls(problem)
                search(problem, calls, EVALUATIONS, seed)
                rows[name].append(_worth(*calls.seen()))
                print(problem.name, seed, name, rows[name][-1], flush=True)
        found[problem.name] = {
            name: {key: [row[key] for row in told] for key in told[0]} for name, told in rows.items()
        }  # fmt: skip
    return found


def _worth(X: Array, Y: Array) -> dict[str, float]:
    m = Y.shape[1]
    best, far = [], []
    for w in weights(m, 4):
        top = np.argsort(-(Y @ w), kind="stable")[:TOP]
        best.append(float((Y[top] @ w).mean()))
        far.append(float(np.mean([_edits(X[i], X[j]) for a, i in enumerate(top) for j in top[:a]])))
    return {
        "hypervolume": hypervolume(Y, np.zeros(m)), "R2": r2(Y, np.ones(m), np.zeros(m), weights(m, 10)),
        "ten best": float(np.mean(best)), "edit distance of these": float(np.mean(far)), "different": float(len(X)),
    }  # fmt: skip


def _edits(a: Array, b: Array) -> int:
    """Levenshtein's distance of two rows of tokens, -1 after the end."""
    a, b = a[a >= 0], b[b >= 0]
    row = np.arange(len(b) + 1)
    for i, token in enumerate(a, start=1):
        above = np.minimum(row[1:] + 1, row[:-1] + (b != token))
        row = np.minimum.accumulate(np.concatenate([[i], above]) - np.arange(len(b) + 1)) + np.arange(len(b) + 1)
    return int(row[-1])


# -- ask and tell -----------------------------------------------------------------------------------------


def expensive(seeds: int, rows: Path) -> dict[str, Any]:
    """Hypervolume after each round, seed by seed."""
    cases = {
        "ngrams": (compositional.ngrams(("AV", "VC"), 8, 8, 4), np.full(2, -0.01)),
        "DNA": (lab.aptamers(quantities=("energy", "pairs")), np.full(2, -0.01)),
    }
    known = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
    paths = {(row["case"], row["sampler"], row["seed"]): row["path"] for row in known}
    for seed in range(seeds):
        for case, (problem, reference) in cases.items():
            for sampler in ("gflownet", "local", "nsga2", "random"):
                if (case, sampler, seed) in paths:
                    continue
                begun = time.perf_counter()
                path = _path(problem, reference, sampler, seed)
                paths[case, sampler, seed] = path
                row = {"case": case, "sampler": sampler, "seed": seed, "path": path}
                with rows.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(case, sampler, seed, round(path[-1], 4), f"{time.perf_counter() - begun:.0f} s", flush=True)
    found: dict[str, Any] = {"rounds": ROUNDS, "batch": BATCH}
    for case in cases:
        found[case] = {
            sampler: {
                "mean by round": np.mean([paths[case, sampler, s] for s in range(seeds)], axis=0).tolist(),
                "last": [paths[case, sampler, s][-1] for s in range(seeds)],
            }
            for sampler in ("gflownet", "local", "nsga2", "random")
        }
        ours = np.array(found[case]["gflownet"]["last"])
        for other in ("local", "nsga2", "random"):
            gap = ours - np.array(found[case][other]["last"])
            found[case][other]["gflownet ahead by"] = [float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))]
    return found


def _path(problem: Any, reference: Array, sampler: str, seed: int) -> list[float]:
    study = wb.create_study(
        "s", problem.space, problem.objectives, seed=seed, budget=ROUNDS * BATCH,
        sampler={"local": "sobol"}.get(sampler, sampler),
    )  # fmt: skip
    path = []
    for _ in range(ROUNDS):
        if sampler == "local" and len(study.trials) >= START - BATCH:
            for params in _searched(study, BATCH - max(0, START - len(study.trials))):
                study.enqueue(params)
        for trial in study.ask(BATCH):
            study.tell(trial, problem.evaluate(trial.params))
        names = [goal.name for goal in problem.objectives]
        path.append(hypervolume(np.array([[t.values[name] for name in names] for t in study.trials]), reference))
    return path


def _searched(study: wb.Study, n: int) -> list[dict[str, Any]]:
    """n points: edits of the front that raise the acquisition function, each seeing those before it."""
    history = study.history()
    space, (string,) = history.space, history.space
    assert isinstance(string, wb.Sequence)
    rng = np.random.default_rng([history.seed, len(history)])
    surrogate = GaussianProcesses.fit(history)
    spread = space.sobol(256, history.seed)
    rows = np.flatnonzero(history.counted)
    order = np.argsort(-non_dominated(history.utility(history.Y[rows])).astype(float), kind="stable")
    starts = history.X[rows[order[:BATCH]]]
    known = {tuple(x) for x in history.X}
    taken: list[Array] = []
    for _ in range(n):
        pending = np.reshape(taken, (-1, space.width))
        setting = plan.Setting(history, surrogate, pending, spread, {}, rng, _no_climb)
        acquisition = plan.chosen(plan.name_for(setting, np.inf)[0], setting, np.inf).acquisition
        X, best, value = starts.copy(), starts[0], -np.inf
        here = np.full(len(X), -np.inf)
        each = MUTANTS // (EDITS * len(X))
        for _ in range(EDITS):
            trials = np.repeat(X, each, axis=0)
            places = rng.integers(trials.shape[1], size=len(trials))
            trials[np.arange(len(trials)), places] = rng.integers(len(string.alphabet), size=len(trials))
            values = acquisition.value(surrogate.inputs.model_points(trials))
            values[[tuple(x) in known for x in trials]] = -np.inf
            top = values.reshape(len(X), each).argmax(axis=1) + each * np.arange(len(X))
            better = values[top] > here
            X[better], here[better] = trials[top[better]], values[top[better]]
        if here.max() > value:
            best, value = X[here.argmax()], float(here.max())
        taken.append(best)
        known.add(tuple(best))
    return space.decode(np.array(taken))


def _no_climb(_: Any) -> Array:
    raise RuntimeError("the acquisition functions of several objectives need no maximum of another function")


PARTS: Mapping[str, tuple[Callable[[int, Path], dict[str, Any]], int]] = {
    "chemistry": (chemistry, 3),
    "expensive": (expensive, 15),
}


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--rows", type=Path, default=Path("build/gflownet_expensive.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", wb.WorkbenchWarning)
    arguments.rows.parent.mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        measure, usual = PARTS[part]
        begun = time.perf_counter()
        seeds = arguments.seeds or usual
        whole = {"part": part, "seeds": seeds, **measure(seeds, arguments.rows), "seconds": time.perf_counter() - begun}
        (RESULTS / f"gflownet_{part}.json").write_text(json.dumps(whole, indent=1) + "\n")
        print(json.dumps(whole))


if __name__ == "__main__":
    main()
