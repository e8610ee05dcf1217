"""Make the committed runs of peers in benchmarks/results/peers, or go on making them.

    python benchmarks/records.py fast     # Sobol, CMA-ES, Optuna GP: 30 seeds on every case, 15 on the mixed ones
    python benchmarks/records.py slow     # Ax, HEBO: 5 seeds on the five cases that matter most
    python benchmarks/records.py rest     # Ax, HEBO: 5 seeds on the other cases, 15 where a median was close, then 30
    python benchmarks/records.py list     # what there is

`make peers` first. Every finished run is on the disk at once, and is not run again. Never beside a
timing; `--workers 2` uses two cores, and its times are then those of a busy machine. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from cases import CASES, HELD_OUT, MIXED

from workbench.bench import Case, Contestant, Order, read_runs, run

FOLDER = Path(__file__).parent / "results" / "peers"
_FAST = ("peer:sobol", "peer:cma", "peer:optuna-gp")
_SLOW = ("peer:ax", "peer:hebo")
_FIRST = ("hartmann6-60", "ackley5-60", "levy8-80", "rosenbrock4-60", "hartmann6-sd0.2-80")
_LEADING = tuple(case for case in CASES if case.name in _FIRST)
_CLOSE = tuple(case for case in CASES if case.name in ("ackley5-60", "rosenbrock4-60"))
_BOXES = (*CASES, *HELD_OUT)
# What is made: contestants, cases, seeds; in this order.
STAGES: dict[str, list[tuple[tuple[str, ...], tuple[Case, ...], int]]] = {
    "fast": [(_FAST[:2], _BOXES, 30), (_FAST[2:], CASES, 30), (_FAST[2:], HELD_OUT, 15), (_FAST[2:], HELD_OUT, 30)],
    "slow": [(_SLOW[:1], _LEADING, 5), (_SLOW[1:], _LEADING, 5)],
    "rest": [
        (_SLOW, CASES, 5),
        (_SLOW[1:], _CLOSE, 15),
        (_SLOW, HELD_OUT, 5),
        (_FAST[2:], MIXED, 15),
        (_SLOW[1:], MIXED, 5),
        (_SLOW, _LEADING, 15),
        (_SLOW, _BOXES, 30),
    ],
    "list": [],
}


def main() -> None:
    """Run the stages that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", choices=STAGES)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    failed = []
    for names, cases, seeds in [stage for name in arguments.stages for stage in STAGES[name]]:
        contestants = tuple(map(Contestant.of, names))
        result = run(Order(cases, contestants, tuple(range(seeds)), into=FOLDER, workers=arguments.workers))
        print(result.table(), flush=True)
        failed += [f"{failure.case} by {failure.contestant}, seed {failure.seed}" for failure in result.failures]
    there = Counter((run.case, run.contestant) for run in read_runs([FOLDER]))
    made = {f"{case} {contestant}": seeds for (case, contestant), seeds in sorted(there.items())}
    print(json.dumps({"seeds": made, "failed": failed}))


if __name__ == "__main__":
    main()
