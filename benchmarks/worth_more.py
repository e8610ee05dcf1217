"""Is `study.model().worth_more()` calibrated? What it promised, beside what the study then gained.

    python benchmarks/worth_more.py [--seeds 4] [--first 4] [--out benchmarks/results/worth_more.json]

Each problem is run with sampler "gp" from a Sobol start. At three sizes of the record the expected gains of the next
1, 5 and 10 trials are written down, then the study goes on, and the gains that came are measured: of the best value, or
under noise of the true value at the trial that the model would choose. Gains are in units of the range between the 5 %
and the 95 % quantile of the function over the space, so that problems can be averaged. Said: the mean promise and the
mean gain with its standard error, the share of gains inside the promised interval (90 of 100), and how often "stop" was
said and what stopping there would have cost over the next 10 trials. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import workbench as wb
from problems import synthetic
from workbench.analysis import Belief

PROBLEMS = {
    "branin": synthetic.branin(),
    "six_hump_camel": synthetic.six_hump_camel(),
    "hartmann3": synthetic.hartmann3(),
    "hartmann6": synthetic.hartmann6(),
    "ackley5": synthetic.ackley(5),
    "rosenbrock4": synthetic.rosenbrock(4),
    "mixed_conditional": synthetic.mixed_conditional(),
    "hartmann6-sd0.2": synthetic.hartmann6(0.2),
}
AHEAD = (1, 5, 10)


def rows(name: str, seed: int) -> Iterator[dict[str, Any]]:
    """One row for each size of the record and number of trials ahead."""
    problem = PROBLEMS[name]
    goal = problem.objectives[0]
    rng = np.random.default_rng([seed, 1])
    noise = goal.noise_sd or 0.0
    spread = np.array([_true(problem, p) for p in problem.space.decode(problem.space.sobol(512, 0))])
    unit = float(np.quantile(spread, 0.95) - np.quantile(spread, 0.05))
    study = wb.create_study(name, problem.space, [goal], sampler="gp", seed=seed)
    start = 2 * (len(problem.space) + 1)
    sizes = [start, 2 * start, 4 * start]
    promised: dict[int, Any] = {}
    chosen: list[float] = []  # the true value of the choice after each number of trials, larger is better
    for n in range(sizes[-1] + max(AHEAD) + 1):
        told = n >= start
        chosen.append(_choice(problem, study, noise) if told else np.nan)
        if n in sizes:
            begun = time.perf_counter()
            promised[n] = study.model().worth_more(AHEAD), time.perf_counter() - begun
        if n < sizes[-1] + max(AHEAD):
            trial = study.ask() if told else study.ask(sampler="sobol")
            study.tell(trial, goal.sign * _true(problem, trial.params) + noise * rng.standard_normal())
    for n, (worth, seconds) in promised.items():
        for gain in worth.gains:
            came = chosen[n + gain.trials] - chosen[n]
            yield {
                "problem": name, "seed": seed, "n": n, "ahead": gain.trials, "mean": gain.mean / unit,
                "low": gain.low / unit, "high": gain.high / unit, "came": came / unit,
                "go_on": worth.worthwhile, "seconds": seconds,
            }  # fmt: skip


def _true(problem: Any, params: Any) -> float:
    """The value without noise, larger is better."""
    goal = problem.objectives[0]
    return float(goal.sign * problem.evaluate(params)[goal.name])


def _choice(problem: Any, study: wb.Study, noise: float) -> float:
    history = study.history()
    row = history.best()
    if noise:
        model = study.model()
        assert model.surrogate is not None
        row = Belief(history, model.surrogate).best()
    assert row is not None
    return _true(problem, study.trial(int(history.numbers[row])).params)


def said(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Promise beside gain, averaged."""
    mean, came, low, high = (np.array([row[key] for row in found]) for key in ("mean", "came", "low", "high"))
    error = float(came.std(ddof=1) / np.sqrt(len(came))) if len(came) > 1 else float("nan")
    inside = (came >= low - 1e-9) & (came <= high + 1e-9)
    return {
        "promised": float(mean.mean()), "came": float(came.mean()), "standard_error": error,
        "inside": float(inside.mean()), "cases": len(found),
    }  # fmt: skip


def main() -> None:
    """Run, average, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=4, help="the interval was set on seeds 0 to 3")
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    table: dict[str, Any] = {}
    for name in arguments.problems:
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            found += rows(name, seed)
        for ahead in AHEAD:
            table[f"{name} +{ahead}"] = said([r for r in found if r["problem"] == name and r["ahead"] == ahead])
            one = table[f"{name} +{ahead}"]
            print(f"{name} +{ahead}: promised {one['promised']:.4f}, came {one['came']:.4f} ± "
                  f"{one['standard_error']:.4f}, inside {one['inside']:.2f}", flush=True)  # fmt: skip
    for ahead in AHEAD:
        table[f"all +{ahead}"] = said([row for row in found if row["ahead"] == ahead])
    stops = [row for row in found if row["ahead"] == max(AHEAD) and not row["go_on"]]
    ons = [row for row in found if row["ahead"] == max(AHEAD) and row["go_on"]]
    table["stop"] = {
        "said": len(stops), "of": len(stops) + len(ons),
        "lost_by_stopping": float(np.mean([row["came"] for row in stops])) if stops else 0.0,
        "largest_loss": float(np.max([row["came"] for row in stops])) if stops else 0.0,
        "gained_by_going_on": float(np.mean([row["came"] for row in ons])) if ons else 0.0,
    }  # fmt: skip
    table["median_seconds"] = float(np.median([row["seconds"] for row in found]))
    text = json.dumps({"table": table, "rows": found})
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    print(json.dumps(table))


if __name__ == "__main__":
    main()
