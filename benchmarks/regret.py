"""Regret of the default `gp` on the cases of `cases.py`, beside the committed runs of peers.

    make peers                                   # only to make runs of peers that are not on record
    python benchmarks/regret.py [--seeds 30] [--workers 2] [--into FOLDER] [--out FILE]

For each case the median of log10 regret, clipped at 1e-6 of the function's range, and the difference to the peer of the
best median, paired by seed and therefore by initial design, with a bootstrap interval of 90 %. Then the mean difference
to every peer over all cases that it ran. Ours runs now; peers are read from `benchmarks/results/peers`. Interrupted,
it goes on with `--into`. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from cases import CASES

from workbench.bench import Contestant, Order, Result, read_runs, run

RECORDS = Path(__file__).parent / "results" / "peers"
OURS = "gp"


def together(ours: Result) -> Result:
    """Our runs and those of the peers on record, of the same seeds and the same definitions of the cases."""
    definitions = {case.name: case.fingerprint for case in CASES}
    seeds = {played.seed for played in ours.runs}
    theirs = [
        record
        for record in read_runs([RECORDS])
        if record.seed in seeds and record.fingerprint == definitions.get(record.case)
    ]
    names = (OURS, *sorted({record.contestant for record in theirs}))
    return Result(CASES, names, (*ours.runs, *theirs), ours.failures, frozenset(record.key for record in theirs))


def verdicts(result: Result) -> list[dict[str, Any]]:
    """For each case ours, the best peer, and the paired difference in decades, negative where ours is better."""
    gaps = {(gap.case, gap.other): gap for gap in result.differences(OURS)}
    rows = []
    for case in result.cases:
        finals = {name: [trace[-1] for trace in result.log_regrets(case, name).values()] for name in result.contestants}
        medians = {name: float(np.median(values)) for name, values in finals.items() if values}
        peers = [name for name in medians if name != OURS]
        row: dict[str, Any] = {"case": case.name, "median": medians}
        if peers and OURS in medians:
            best = min(peers, key=medians.__getitem__)
            gap = gaps[case.name, best]
            row |= {"best_peer": best, "ours_minus_it": gap.mean, "interval": [gap.low, gap.high], "pairs": gap.pairs}
        rows.append(row)
    return rows


def main() -> None:
    """Run ours, read theirs, say who is ahead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    contestants, seeds = (Contestant.of(OURS),), tuple(range(arguments.seeds))
    result = together(run(Order(CASES, contestants, seeds, arguments.into, workers=arguments.workers)))
    print(result.table())
    rows = verdicts(result)
    for row in rows:
        if "best_peer" in row:
            (low, high), best = row["interval"], row["best_peer"]
            medians = f"{row['median'][OURS]:.2f}, best peer {best} {row['median'][best]:.2f}"
            print(f"{row['case']}: {medians}, difference {row['ours_minus_it']:+.2f} [{low:+.2f}, {high:+.2f}]")
    found = {"cases": rows, "failed": [failure.text for failure in result.failures]}
    text = json.dumps(found)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
