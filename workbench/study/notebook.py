"""What a notebook shows of a study, and of a run while it goes on: HTML without scripts or colours of its own."""

from __future__ import annotations

import html
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench import markup

if TYPE_CHECKING:
    from workbench.problem import Constraint
    from workbench.trial import History

_LAST, _FRONT = 10, 10  # trials of a table
_COLUMNS = 16  # of a table of trials; wider ones cannot be read
_INTERVAL = 0.1  # seconds between two looks of a bar; more would flood the notebook


def study_html(name: str, history: History) -> str:
    """A study for a notebook: what was found, its goals, its front if it has several, and its last trials."""
    from workbench.plots.digest import best_rows, headline, trial_columns
    from workbench.plots.panels import tally

    parts = [markup.heading("Study", name, headline(history), tally(history) if len(history) else ""), _goals(history)]
    front = best_rows(history, _FRONT) if len(history.measured) > 1 else []
    if front:
        lead = markup.shorten(history.measured[0].name)
        parts += _titled(f"The front, best {lead} first", trial_columns(history, front))
    last = list(range(len(history)))[-_LAST:]
    if last:
        trial, *rest = trial_columns(history, last).items()
        columns = dict([trial, ("state", [history.rows[i].state for i in last]), *rest])
        parts += _titled("All trials" if len(last) == len(history) else f"The last {_LAST} trials", columns)
    return f"<div>{''.join(parts)}</div>"


def _goals(history: History) -> str:
    from workbench.plots.digest import wanted

    limits = [_limited(limit) for limit in history.constraints]
    return markup.table(
        {
            "goal": [goal.name for goal in (*history.objectives, *history.constraints)],
            "wanted": [*map(wanted, history.objectives), *limits],
            "unit": [goal.to_json().get("unit") for goal in (*history.objectives, *history.constraints)],
        }
    )


def _limited(limit: Constraint) -> str:
    """What a constraint asks for, in words."""
    sides = (("at least", limit.lower), ("at most", limit.upper))
    return " and ".join(f"{side} {markup.wording(bound)}" for side, bound in sides if bound is not None)


def _titled(title: str, columns: dict[str, list[object]]) -> list[str]:
    shown = dict(list(columns.items())[:_COLUMNS])
    left = len(columns) - len(shown)
    note = f"; {markup.count(left, 'more column')} not shown" if left else ""
    return [f"<p>{html.escape(title + note)}:</p>", markup.table(shown)]


@contextmanager
def notebook_bar(
    done: int, total: int | None, best: Callable[[], str], what: str = "trials"
) -> Iterator[Callable[..., None]]:
    """Show a bar below the running cell of a notebook.

    Args:
        done: Trials that are finished already.
        total: Trials wanted; None if not known.
        best: What is said of the best so far, plain text.
        what: Is counted.
    Yields:
        What to call after each of them, or with how many there were.
    """
    display = importlib.import_module("IPython.display")  # only a notebook has it
    began = shown = time.monotonic()
    finished = done
    handle = display.display(display.HTML(bar_html(done, done, total, 0.0, best(), what)), display_id=True)

    def draw() -> None:
        handle.update(display.HTML(bar_html(done, finished, total, time.monotonic() - began, best(), what)))

    def moved(advance: int = 1) -> None:
        nonlocal finished, shown
        finished += advance
        if time.monotonic() - shown >= _INTERVAL:
            shown = time.monotonic()
            draw()

    try:
        yield moved
    finally:
        draw()


def bar_html(start: int, finished: int, total: int | None, gone: float, best: str, what: str = "trials") -> str:
    """The bar: finished of wanted, the best so far, time gone and left.

    Args:
        start: Trials that were finished when the run began.
        finished: Trials that are finished now.
        total: Trials wanted; None if not known.
        gone: Seconds since the run began.
        best: Plain text.
        what: Is counted.
    """
    counted = markup.count(finished, what.removesuffix("s"))
    said = [counted if total is None else f"{finished:,} of {total:,} {what}", best]
    said.append(f"{_clock(gone)} gone")
    if total is not None and start < finished < total:
        said.append(f"{_clock(gone / (finished - start) * (total - finished))} left")
    bar = "" if total is None else f'<progress value="{finished}" max="{max(1, total)}"></progress> '
    return f"<div>{bar}{html.escape(' · '.join(filter(None, said)))}</div>"


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds: "0:05", "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
