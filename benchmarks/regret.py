"""Regret of the default `gp` on the cases of `cases.py`, beside the committed runs of peers.

    make peers                                   # only to make runs of peers that are not on record
    python benchmarks/regret.py [--seeds 30] [--mixed-seeds 15] [--parts tuned held-out mixed] [--workers 2]
                                [--into FOLDER] [--out FILE]

Three parts: the cases on which the engine was tuned, those on which nothing was, and mixed spaces and measured limits.
For each case the median of log10 regret, clipped at 1e-6 of the function's range, and the difference to the peer of the
best median, paired by seed and therefore by initial design, with a bootstrap interval of 90 %. Then for every peer the
mean difference over all cases of the part that it ran, and what an ask takes: one with less regret and less time
would be the better choice (times of peers are those of their records). Ours runs now; peers are read from
`benchmarks/results/peers`. Interrupted, it goes on with `--into`. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES, HELD_OUT, MIXED

from workbench.bench import Case, Contestant, Order, Result, read_runs, run

RECORDS = Path(__file__).parent / "results" / "peers"
OURS = "gp"
PARTS = {"tuned": CASES, "held-out": HELD_OUT, "mixed": MIXED}


def together(ours: Result) -> Result:
    """Our runs and those of the peers on record, of the same seeds and the same definitions of the cases."""
    definitions = {case.name: case.fingerprint for case in ours.cases}
    seeds = {played.seed for played in ours.runs}
    theirs = [
        record
        for record in read_runs([RECORDS])
        if record.seed in seeds and record.fingerprint == definitions.get(record.case)
    ]
    names = (OURS, *sorted({record.contestant for record in theirs}))
    return Result(ours.cases, names, (*ours.runs, *theirs), ours.failures, frozenset(record.key for record in theirs))


def verdicts(result: Result) -> list[dict[str, Any]]:
    """For each case ours, the best peer, and the paired difference in decades, negative where ours is better."""
    gaps = {(gap.case, gap.other): gap for gap in result.differences(OURS)}
    rows = []
    for case in result.cases:
        finals = {name: [trace[-1] for trace in result.log_regrets(case, name).values()] for name in result.contestants}
        medians = {name: float(np.median(values)) for name, values in finals.items() if values}
        peers = [name for name in medians if name != OURS]
        row: dict[str, Any] = {
            "case": case.name,
            "median": medians,
            "seeds": {n: len(v) for n, v in finals.items() if v},
        }
        if peers and OURS in medians:
            best = min(peers, key=medians.__getitem__)
            gap = gaps[case.name, best]
            row |= {"best_peer": best, "ours_minus_it": gap.mean, "interval": [gap.low, gap.high], "pairs": gap.pairs}
        rows.append(row)
    return rows


def peers(result: Result) -> list[dict[str, Any]]:
    """For each peer the mean difference over the cases that it ran, and the mean seconds of an ask of both there."""
    rows = []
    for other in result.contestants[1:]:
        shared = tuple(case for case in result.cases if result.runs_of(case.name, other))
        runs = tuple(played for played in result.runs if played.contestant in (OURS, other))
        gap = Result(shared, (OURS, other), runs).differences(OURS)[-1]  # over all cases, or of the only one
        seconds = {
            name: float(np.mean([t.ask_mean for case in shared if (t := result.timing(case, name)) is not None]))
            for name in (OURS, other)
        }
        rows.append(
            {
                "peer": other, "cases": len(shared), "pairs": gap.pairs,
                "ours_minus_it": gap.mean, "interval": [gap.low, gap.high], "ask_s": seconds,
                "better_and_faster": gap.mean > 0 and seconds[other] < seconds[OURS],
            }
        )  # fmt: skip
    return rows


def report(part: str, result: Result) -> dict[str, Any]:
    """Say who is ahead; the same as values."""
    print(f"\n{part}\n{result.table()}")
    rows, others = verdicts(result), peers(result)
    for row in rows:
        if "best_peer" in row:
            (low, high), best = row["interval"], row["best_peer"]
            medians = f"{row['median'][OURS]:.2f}, best peer {best} {row['median'][best]:.2f}"
            print(f"{row['case']}: {medians}, difference {row['ours_minus_it']:+.2f} [{low:+.2f}, {high:+.2f}]")
    for row in others:
        (low, high), times = row["interval"], row["ask_s"]
        said = f"{row['ours_minus_it']:+.2f} [{low:+.2f}, {high:+.2f}] decades over {row['cases']} cases"
        print(f"ours minus {row['peer']}: {said}; an ask {1e3 * times[OURS]:.0f} and {1e3 * times[row['peer']]:.0f} ms")
    beaten = [row["peer"] for row in others if row["better_and_faster"]]
    print(f"peers with both less regret and less time: {', '.join(beaten) or 'none'}")
    failed = [failure.text for failure in result.failures]
    return {"part": part, "cases": rows, "peers": others, "failed": failed}


def main() -> None:
    """Run ours, read theirs, say who is ahead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--mixed-seeds", type=int, default=15)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = []
    for part in arguments.parts:
        cases: tuple[Case, ...] = PARTS[part]
        seeds = tuple(range(arguments.mixed_seeds if part == "mixed" else arguments.seeds))
        ours = run(Order(cases, (Contestant.of(OURS),), seeds, arguments.into, workers=arguments.workers))
        found.append(report(part, together(ours)))
        text = json.dumps(found)
        if arguments.out is not None:
            arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
