"""The live bar of a run: finished of wanted, the best so far, time gone and left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.study.notebook import notebook_bar
from workbench.study.optimizing import Plan
from workbench.study.record import Record

if TYPE_CHECKING:
    from workbench.study.study import Study
    from workbench.trial import Trial


@contextmanager
def progress_bar(record: Record, plan: Plan, *, shown: bool) -> Iterator[list[Callable[[Study, Trial], None]]]:
    """Show the bar while the block runs.

    Args:
        shown: False to show nothing. Nothing is shown either where nobody can watch: output that is
            neither an interactive terminal nor a notebook.
    Yields:
        The callbacks that move the bar.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not shown or not (console.is_terminal or console.is_jupyter):
        yield []
        return
    done, total = _extent(record, plan)
    # rich would need ipywidgets to draw in a notebook, and draws nothing without
    bar = notebook_bar if console.is_jupyter else _terminal_bar
    with bar(done, total, lambda: best_so_far(record)) as moved:
        yield [lambda study, trial: moved()]


@contextmanager
def _terminal_bar(
    done: int, total: int | None, best: Callable[[], str], what: str = "trials"
) -> Iterator[Callable[..., None]]:
    """As `notebook_bar`, on the terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[best]}", markup=False), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done, best=best())
        yield lambda advance=1: bar.update(task, advance=advance, best=best())


@contextmanager
def batch_bar(done: int, total: int, best: Callable[[], str], *, shown: bool) -> Iterator[Callable[[int], None]]:
    """The same bar for a run in batches.

    Args:
        done, total: Evaluations before this run, and wanted in all.
        best: The best so far in a few words.
        shown: As of `progress_bar`.
    Yields:
        What moves the bar to a number of evaluations.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not shown or not (console.is_terminal or console.is_jupyter):
        yield lambda evaluations: None
        return
    at = done
    bar = notebook_bar if console.is_jupyter else _terminal_bar
    with bar(done, total, best, "evaluations") as moved:

        def to(evaluations: int) -> None:
            nonlocal at
            moved(evaluations - at)
            at = evaluations

        yield to


def _extent(record: Record, plan: Plan) -> tuple[int, int | None]:
    """Where the bar begins and ends."""
    if plan.until is None:
        return 0, plan.n_trials
    done = int(record.history().finished.sum())
    return done, plan.until if plan.n_trials is None else min(plan.until, done + plan.n_trials)


def best_so_far(record: Record) -> str:
    """The best value and its trial in a few words; "" where no single trial is best."""
    if len(record.measured) != 1:
        return ""
    history = record.history()
    row = history.best()
    if row is None:
        return "no value yet"
    trial = record.trial(history.rows[row])
    return f"best {trial.value:.6g} (trial {trial.number})"
