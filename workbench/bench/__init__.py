"""Problem x sampler x seed: ours and peers asked and told by one driver, and what came of it.

Four things: a `Case` (a problem with a budget and a start), a `Contestant` (how to start a sampler
in a process of its own), a `Run` (one record: case x contestant x seed), a `Result` (figures from runs).

    result = bench.compare(my_problem, ["gp", "sobol", "peer:optuna-gp"], seeds=10, evaluations=40)
    print(result.table())

Names load on first use: a peer's interpreter imports `workbench.bench.wire` from here, and has none of
the workbench's dependencies.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOMES = {
    "workbench.bench.case": "Case FunctionProblem",
    "workbench.bench.contestant": "Contestant ContestantError",
    "workbench.bench.driver": "Failure play",
    "workbench.bench.records": "Run read_runs",
    "workbench.bench.result": "Difference Result Timing",
    "workbench.bench.runner": "Order compare run",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'workbench.bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


if TYPE_CHECKING:
    from workbench.bench.case import Case as Case
    from workbench.bench.case import FunctionProblem as FunctionProblem
    from workbench.bench.contestant import Contestant as Contestant
    from workbench.bench.contestant import ContestantError as ContestantError
    from workbench.bench.driver import Failure as Failure
    from workbench.bench.driver import play as play
    from workbench.bench.records import Run as Run
    from workbench.bench.records import read_runs as read_runs
    from workbench.bench.result import Difference as Difference
    from workbench.bench.result import Result as Result
    from workbench.bench.result import Timing as Timing
    from workbench.bench.runner import Order as Order
    from workbench.bench.runner import compare as compare
    from workbench.bench.runner import run as run
