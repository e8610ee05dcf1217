"""Hypervolume of the default sampler on problems with several objectives, beside the committed runs of peers.

    make peers                                                     # only to make runs of peers
    python benchmarks/hypervolume.py peers [--cases …] [--names …] [--seeds 5]   # make them, or go on making them
    python benchmarks/hypervolume.py ours  [--cases …] [--seeds 15] [--into FOLDER] [--out FILE]
    python benchmarks/hypervolume.py read  [--into FOLDER]         # no runs, only the figures of what is on record
    python benchmarks/hypervolume.py times                         # seconds of an ask at 100 trials, exact and noisy
    python benchmarks/hypervolume.py beside [--out FILE]           # and beside BoTorch's NEHVI, asked in turn

A figure is log10 of what is missing to the largest hypervolume that is known, at the reference point of the problem,
over the true values of all points evaluated so far that hold the limits; clipped at 1e-6 of that largest one. For each
case the difference to every peer, paired by seed and so by initial design, with a bootstrap interval of 90 %, and the
mean over all cases; with four objectives and more also after the same seconds. A peer's run is cut after half an hour
of its own processor time. Every finished run is on the disk at once and is not run again. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import workbench as wb
from problems import engineering, multiobjective
from workbench.bench import Case, Contestant, Difference, Order, Result, Run, compare, read_runs, run
from workbench.bench.driver import Limits
from workbench.bench.figures import bootstrap
from workbench.bench.result import ALL

RECORDS = Path(__file__).parent / "results" / "peers"
OURS = "gp"
NEHVI, PAREGO = "peer:botorch-qlognehvi", "peer:botorch-qlogparego"
PEERS = (PAREGO, NEHVI, "peer:optuna-gp", "peer:optuna-nsga2", "peer:pymoo-nsga2")
_PATIENCE = 4 * 3600.0  # seconds on the wall of an answer, on a busy machine
_LARGEST = 12 * 1024.0  # MiB of a peer's process
_LONGEST = 1800.0  # processor seconds of a peer's run

MUST = (
    Case.of(multiobjective.branin_currin(), 60),
    Case.of(multiobjective.zdt2(), 80),
    Case.of(multiobjective.c2_dtlz2(), 80),
    Case.of(multiobjective.branin_currin((15.19, 0.63)), 60),
)
CASES = (
    *MUST,
    Case.of(multiobjective.dtlz2(6, 2), 80),
    Case.of(multiobjective.zdt1(), 80),
    Case.of(multiobjective.zdt3(), 80),
    Case.of(engineering.welded_beam(), 80),
    Case.of(multiobjective.dtlz2(6, 3), 80),
    Case.of(engineering.vehicle_safety(), 80),
    Case.of(engineering.penicillin(), 80),
    Case.of(multiobjective.dtlz2(7, 4), 100),
    Case.of(engineering.car_side_impact(), 100),
    Case.of(multiobjective.dtlz2(9, 6), 100),
)


def verdicts(found: Result) -> list[dict[str, Any]]:
    """For each case the medians, and ours minus each peer in decades, negative where ours is better."""
    rows: dict[str, dict[str, Any]] = {}
    for one in found.rows():
        row = rows.setdefault(one["case"], {"case": one["case"], "median": {}, "cut": [], "ours_minus": {}})
        row["median"][one["contestant"]] = round(float(one["log10_regret"]["median"]), 3)
    for played in found.runs:
        if played.cut is not None and played.contestant not in rows[played.case]["cut"]:
            rows[played.case]["cut"].append(played.contestant)
    for gap in found.differences(OURS) if OURS in found.contestants else []:
        if gap.case == ALL:
            continue
        rows[gap.case]["ours_minus"][gap.other] = _rounded(gap)
    for row in rows.values():
        peers = {name: row["median"][name] for name in row["ours_minus"]}
        row["best_peer"] = min(peers, key=peers.__getitem__) if peers else None
    return list(rows.values())


def _rounded(gap: Difference) -> dict[str, float]:
    return {"mean": round(gap.mean, 3), "low": round(gap.low, 3), "high": round(gap.high, 3), "pairs": gap.pairs}


def overall(found: Result) -> dict[str, dict[str, float]]:
    """Ours minus each peer in the mean over the cases that both ran."""
    if OURS not in found.contestants:
        return {}
    return {gap.other: _rounded(gap) for gap in found.differences(OURS) if gap.case == ALL}


def at_equal_time(found: Result) -> list[dict[str, Any]]:
    """Ours minus qLogNParEGO with four objectives and more, when ours has ended and it has spent as many seconds."""
    rows = []
    for case in found.cases:
        ours, theirs = found.log_regrets(case, OURS), found.log_regrets(case, PAREGO)
        pairs = sorted(ours.keys() & theirs.keys())
        if len(case.objectives) < 4 or not pairs:
            continue
        gaps, reached = [], []
        for seed in pairs:
            spent = sum(found.runs_of(case.name, OURS)[seed].ask_s)
            asks = np.cumsum(found.runs_of(case.name, PAREGO)[seed].ask_s)
            reached.append(case.start + int(np.searchsorted(asks, spent, side="right")))
            gaps.append(ours[seed][-1] - theirs[seed][reached[-1] - 1])
        mean, low, high = bootstrap([np.array(gaps)])
        rows.append(
            {"case": case.name, "their evaluations by then": reached, "mean": round(mean, 3), "low": round(low, 3),
             "high": round(high, 3), "pairs": len(pairs)}
        )  # fmt: skip
    return rows


def seconds(runs: list[Run]) -> dict[str, dict[str, float]]:
    """Median seconds of an ask: case -> contestant."""
    listed: dict[str, dict[str, list[float]]] = {}
    for played in runs:
        listed.setdefault(played.case, {}).setdefault(played.contestant, []).extend(played.ask_s)
    return {case: {n: round(float(np.median(s)), 4) for n, s in names.items() if s} for case, names in listed.items()}


def times(asks: int = 7) -> dict[str, dict[str, float]]:
    """Median seconds of an ask at 100 trials of DTLZ2, by objectives and noise: on the wall and of the processor."""
    found: dict[str, dict[str, float]] = {}
    for m, dim in ((2, 6), (3, 6), (4, 7), (6, 9)):
        for noise in (0.0, 0.05):
            problem = multiobjective.dtlz2(dim, m)
            names, references = [g.name for g in problem.objectives], [1.1] * m
            problem = replace(problem, objectives=multiobjective.goals(names, references, [noise] * m))
            study = wb.create_study("times", problem.space, problem.objectives, sampler="gp", seed=0)
            rng = np.random.default_rng(0)
            for params in problem.space.decode(problem.space.sobol(100 - asks, 0)):
                study.attach(params, problem.evaluate(params, rng))
            wall, cpu = [], []
            for _ in range(asks + 1):
                began = time.perf_counter(), time.process_time()
                trial = study.ask()
                wall.append(time.perf_counter() - began[0])
                cpu.append(time.process_time() - began[1])
                study.tell(trial, problem.evaluate(trial.params, rng))
            key = f"m={m}" + (", noisy" if noise else "")
            found[key] = {"wall": round(float(np.median(wall[1:])), 3), "cpu": round(float(np.median(cpu[1:])), 3)}
            print(key, found[key], trial.meta["acquisition"], flush=True)
    return found


def beside(asks: int = 10) -> list[dict[str, Any]]:
    """Mean seconds of an ask on BraninCurrin, ours and that of BoTorch's NEHVI, in turn on the same designs."""
    rows = []
    for sds in (None, (15.19, 0.63)):
        for n in (20, 50, 100):
            case = Case.of(multiobjective.branin_currin(sds) if sds else multiobjective.branin_currin(), n + asks, n)
            result = compare([case], [OURS, NEHVI], seeds=1, together=True, progress=False)
            if result.failures:
                raise RuntimeError("; ".join(failure.text for failure in result.failures))
            mean = {played.contestant: float(np.mean(played.ask_s)) for played in result.runs}
            rows.append({"case": case.name, "n": n, "asks": asks, **mean, "ratio": mean[OURS] / mean[NEHVI]})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run ours or theirs, and say who is ahead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("peers", "ours", "read", "times", "beside"))
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--names", nargs="*", default=list(PEERS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "times":
        asked = {"command": "python benchmarks/hypervolume.py times", "asks": times()}
        if arguments.out is not None:
            arguments.out.write_text(json.dumps(asked, indent=1) + "\n")
        print(json.dumps(asked))
        return
    if arguments.what == "beside":
        timed = {"command": "python benchmarks/hypervolume.py beside", "rows": beside()}
        if arguments.out is not None:
            arguments.out.write_text(json.dumps(timed, indent=1) + "\n")
        print(json.dumps(timed))
        return
    cases = tuple(case for case in CASES if case.name in arguments.cases)
    if len(cases) < len(arguments.cases):
        parser.error(f"cases are {', '.join(case.name for case in CASES)}; got {arguments.cases}")
    seeds, failed, ours = tuple(range(arguments.seeds)), [], list[Run]()
    if arguments.what == "peers":
        contestants = tuple(map(Contestant.of, arguments.names))
        limits = Limits(_PATIENCE, _LONGEST, _LARGEST)
        order = Order(cases, contestants, seeds, RECORDS, workers=arguments.workers, limits=limits)
        failed = [failure.text for failure in run(order).failures]
    elif arguments.what == "ours":
        order = Order(cases, (Contestant.of(OURS),), seeds, arguments.into, workers=arguments.workers)
        result = run(order)
        ours, failed = list(result.runs), [failure.text for failure in result.failures]
    elif arguments.into is not None:
        ours = read_runs([arguments.into])
    prints = {case.name: case.fingerprint for case in cases}
    runs = [played for played in (*ours, *read_runs([RECORDS])) if prints.get(played.case) == played.fingerprint]
    seen = {played.contestant for played in runs}
    measured = Result(cases, tuple(name for name in (OURS, *PEERS) if name in seen), tuple(runs), taken="best")
    rows = verdicts(measured)
    for row in rows:
        print(row["case"], row["median"], "best peer:", row["best_peer"], row["ours_minus"].get(row["best_peer"]))
    found = {
        "cases": rows, "overall": overall(measured), "at_equal_time": at_equal_time(measured),
        "ask_seconds": seconds(runs), "failed": failed,
    }  # fmt: skip
    text = json.dumps(found)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
