"""What an ask costs beside Optuna's GPSampler: the default `gp` of the regret table, with n points told before.

    make peers
    python benchmarks/ask_latency.py [--n 20 50 100 200 500 1000] [--d 6 20] [--asks 50] [--peers peer:optuna-gp]
    python benchmarks/ask_latency.py --n 50 --d 6 --peers kg mes gibbon noisy_ei thompson      # others of ours
    python benchmarks/ask_latency.py --predict 20 200 1000                                    # 2,500 points at once
    python benchmarks/ask_latency.py --device cuda --n 1000 2000 5000 10000 --d 6 20          # matrices on a device

One thread each, in processes of their own, asked in turn in one run on the same problem (Hartmann-6, Ackley-20) with
the same initial design, so that a slow moment of the machine hits both. Each ask is followed by a tell. The column
`from` counts where our asks came from: none may come from a start that needs no model. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import workbench as wb
from problems import synthetic
from workbench import bench
from workbench.bench import Case
from workbench.models.surrogate import fit


def case(n: int, d: int, asks: int) -> Case:
    """n told points and so many asks."""
    problem = synthetic.hartmann6() if d == 6 else synthetic.ackley(d)
    return Case.of(problem, n + asks, n)


def row(n: int, d: int, asks: int, peers: list[str]) -> dict[str, Any]:
    """Seconds of an ask by contestant, and what else it took."""
    contestants = ["gp", *peers]
    result = bench.compare([case(n, d, asks)], contestants, seeds=1, together=True, progress=False)
    found: dict[str, Any] = {"n": n, "d": d}
    for run in result.runs:
        timing = result.timing(result.cases[0], run.contestant)
        assert timing is not None
        found[run.contestant] = {
            "mean_s": timing.ask_mean, "median_s": timing.ask_median, "p95_s": timing.ask_p95,
            "first_s": run.ask_s[0], "cpu_s": run.cpu_s, "grown_mib": run.peak_mib - run.start_mib,
            "from": dict(run.sources),
        }  # fmt: skip
    for peer in peers:
        if peer in found and "gp" in found:
            found[f"ratio {peer}"] = found["gp"]["mean_s"] / found[peer]["mean_s"]
    found["failed"] = [failure.text for failure in result.failures]
    return found


def predict(n: int, repeats: int = 20) -> dict[str, Any]:
    """Median seconds of mean and sd of 2,500 points of a model of n trials in 6 dimensions, as slices want them."""
    problem = synthetic.hartmann6()
    study = wb.create_study("predict", problem.space, problem.objectives, sampler="gp", seed=0)
    for params in problem.space.decode(problem.space.sobol(n, 0)):
        study.attach(params, problem.evaluate(params))
    model, X = fit(study.history()), problem.space.sobol(2500, 1)
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict(X)
        taken.append(time.perf_counter() - start)
    return {"n": n, "median_s": statistics.median(taken)}


def on_device(n: int, d: int, device: str, asks: int = 5, q: int = 4) -> dict[str, Any]:
    """Seconds of the first ask, of later ones, and of a joint batch of q, of one process of all n points."""
    problem = case(n, d, asks).problem
    sampler = wb.GPSampler(batch="joint", device=device)
    study = wb.create_study("device", problem.space, problem.objectives, sampler=sampler, seed=0)
    for params in problem.space.decode(problem.space.sobol(n, 0)):
        study.attach(params, problem.evaluate(params))
    taken = []
    for size in (*[1] * (1 + asks), q):
        start = time.perf_counter()
        trials = study.ask(size)
        taken.append(time.perf_counter() - start)
        for trial in trials:
            study.tell(trial, problem.evaluate(trial.params))
    found = {"n": n, "d": d, "device": device, "first_s": taken[0], "median_s": statistics.median(taken[1:-1])}
    return found | {f"joint_{q}_s": taken[-1]}


def _said(name: str, found: dict[str, Any]) -> str:
    mean, p95, first = (1e3 * found[key] for key in ("mean_s", "p95_s", "first_s"))
    cost = f"{found['cpu_s']:.1f} CPU s, +{found['grown_mib']:.0f} MiB"
    return f"{name} {mean:.1f} ms (p95 {p95:.1f}, first {first:.1f}, {cost})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[20, 50, 100, 200, 500, 1000])
    parser.add_argument("--d", type=int, nargs="+", default=[6, 20])
    parser.add_argument("--asks", type=int, default=50)
    parser.add_argument("--peers", nargs="*", default=["peer:optuna-gp"])
    parser.add_argument("--predict", type=int, nargs="+", default=[])
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = [predict(n) for n in arguments.predict]
    for found in rows:
        print(f"2,500 points at n={found['n']}: {1e3 * found['median_s']:.1f} ms")
    for d, n in itertools.product(arguments.d, arguments.n) if arguments.device is not None else []:
        rows.append(on_device(n, d, arguments.device))
        print(rows[-1], flush=True)
    if rows:
        arguments.n = []
    for d in arguments.d:
        for n in arguments.n:
            rows.append(row(n, d, arguments.asks, arguments.peers))
            said = [_said(name, found) for name, found in rows[-1].items() if isinstance(found, dict)]
            ratios = [f"{key} {value:.3f}" for key, value in rows[-1].items() if key.startswith("ratio")]
            print(f"d={d} n={n}: {'; '.join([*said, *ratios, *rows[-1]['failed']])}", flush=True)
    text = json.dumps({"rows": rows})
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
