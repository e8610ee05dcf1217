"""A GFlowNet by ask and tell on few expensive strings: 10 rounds of 16.

    python benchmarks/gflownet_expensive.py [--seeds 15] [--rows FILE]

Strings of two bigrams, of 8 letters and of 33 to 36, and DNA (energy and pairs): hypervolume after each round, beside a
local search of the same acquisition function, in the manner of LaMBO without its network; beside the NSGA-II sampler
and random points. What a seed brought is kept in --rows, so that a run that was interrupted goes on.

Writes benchmarks/results/gflownet_expensive.json. Last a line of JSON. Local search: Stanton et al. 2022, arXiv
2203.12742 (starts at the front, several edits, the best of many for each), with the engine's Gaussian process.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import workbench as wb
from problems import chemistry as lab
from problems import compositional
from workbench.acquisition import plan
from workbench.models.gp import GaussianProcesses
from workbench.pareto import hypervolume, non_dominated

Array = NDArray[np.float64]
RECORD = Path(__file__).parent / "results" / "gflownet_expensive.json"
ROUNDS, BATCH, START = 10, 16, 40
MUTANTS = 640  # acquisition values a pick: as many as a GFlowNet of 200 steps of 48 new strings takes
EDITS = 4


def expensive(seeds: int, rows: Path) -> dict[str, Any]:
    """Hypervolume after each round, seed by seed."""
    cases = {
        "ngrams": (compositional.ngrams(("AV", "VC"), 8, 8, 4), np.full(2, -0.01)),
        "long ngrams": (compositional.ngrams(("AV", "VC")), np.full(2, -0.01)),
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
            places = rng.integers((trials >= 0).sum(axis=1))  # of those that have a letter
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


def main() -> None:
    """Measure, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--rows", type=Path, default=Path("build/gflownet_expensive.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", wb.WorkbenchWarning)
    arguments.rows.parent.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    found = {"part": "expensive", "seeds": arguments.seeds, **expensive(arguments.seeds, arguments.rows)}
    found["seconds"] = time.perf_counter() - begun
    RECORD.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
