"""Words of the pages: user text made literal for Markdown, states as people call them, numbers as they read them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

import numpy as np

from workbench.markup import wording
from workbench.plots.panels import fronts
from workbench.problem import Constraint, Objective, Preference
from workbench.trial import History, TrialRow, TrialState

_SPECIAL = re.compile(r"([!-/:-@\[-`{-~])")
_SHORTCODE = re.compile(r":(?=[\w/+-]+:)")
_JOINER = "\u2060"  # invisible: keeps `:name:` from becoming an icon after Markdown has been read

NAMES = {"trial": "run", "objective": "goal", "parameter": "knob"}
"""What the pages call things, by the words of the API."""
OUTCOMES = ("To do", "Done", "Infeasible", "Failed")
"""What a person may say of a run on the run sheet."""


def plain(text: str) -> str:
    """User text for a place that reads Markdown: shown as it stands, on one line, with nothing to fetch."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return _SPECIAL.sub(r"\\\1", _SHORTCODE.sub(":" + _JOINER, line))


def count(number: int, noun: str) -> str:
    """ "1 run", "1,200 runs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def outcomes(history: History) -> list[str]:
    """What became of each run, in the words of the pages; as long as the record."""
    words = np.array([_STATES[TrialState(row.state)] for row in history.rows], dtype=object)
    for i in np.flatnonzero(history.pending).tolist():
        words[i] = going(history.rows[i])
    words[history.complete & ~history.feasible] = "Over a limit"
    words[history.complete & history.feasible & ~history.counted] = "Done, outside"
    best = "Done, best" if len(history.measured) == 1 else "Done, front"
    words[fronts(history) & history.complete] = best
    return [str(word) for word in words]


def going(row: TrialRow) -> str:
    """What a run that is not finished waits for: a person, or the process that works at it, or a new start of one."""
    if row.state == TrialState.WAITING:
        return "Waiting"
    if row.expires is None:
        return "To do"
    return "Interrupted" if row.orphaned(time.time()) else "Running"


_STATES = {
    TrialState.WAITING: "Waiting",
    TrialState.RUNNING: "To do",
    TrialState.COMPLETE: "Done",
    TrialState.PRUNED: "Ended early",
    TrialState.FAILED: "Failed",
    TrialState.INFEASIBLE: "Infeasible",
    TrialState.REJECTED: "Rejected",
    TrialState.VOID: "Void",
}
_SIGNS = {"Done, best": "●", "Done, front": "●", "Done": "•", "Over a limit": "✕", "Infeasible": "✕", "Failed": "❘"}


def sign(outcome: str) -> str:
    """The shape that figures give to runs of this outcome."""
    return _SIGNS.get(outcome, "◇" if outcome in ("To do", "Waiting", "Running", "Interrupted") else "○")


GROUPS = {
    "Done": ("Done", "Done, best", "Done, front", "Done, outside", "Ended early"),
    "Over a limit": ("Over a limit", "Infeasible"),
    "Failed": ("Failed",),
    "Void": ("Void", "Rejected"),
}
"""The outcomes that a person filters by, each with the words that belong to it."""


def tally(history: History) -> dict[str, int]:
    """How many runs there are of each of `GROUPS`."""
    said = np.array(outcomes(history), dtype=object)
    return {name: int(np.isin(said, members).sum()) for name, members in GROUPS.items()}


def arrow(goal: Objective | Preference) -> str:
    """A goal with its direction: "Yield ↑"."""
    if isinstance(goal, Preference):
        return goal.name
    if goal.target is not None:
        return f"{goal.name} → {wording(goal.target)}" + (f" {goal.unit}" if goal.unit else "")
    return f"{goal.name} {'↑' if goal.direction == 'maximize' else '↓'}"


def limits(constraints: Sequence[Constraint]) -> str:
    """The limits in one line."""
    return ", ".join(limit.label.replace("<=", "≤") for limit in constraints)


def values(named: Mapping[str, object], units: Mapping[str, str]) -> str:
    """Named values in one line: "temp 85 °C, time 53 min"."""
    return ", ".join(
        f"{name} {wording(value)}" + (f" {units[name]}" if name in units else "") for name, value in named.items()
    )


def moment(seconds: float, now: float | None = None) -> str:
    """When something was, as people say it: "today 14:32", "yesterday", "18 Nov"."""
    at, today = time.localtime(seconds), time.localtime(now)
    days = (time.mktime((*today[:3], 12, 0, 0, 0, 0, -1)) - time.mktime((*at[:3], 12, 0, 0, 0, 0, -1))) / 86_400
    if round(days) == 0:
        return time.strftime("today %H:%M", at)
    if round(days) == 1:
        return "yesterday"
    return time.strftime("%-d %b" if at.tm_year == today.tm_year else "%-d %b %Y", at)


def span(seconds: float) -> str:
    """A length of time: "12 s", "3 min", "2 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
