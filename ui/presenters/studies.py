"""The list of studies: one line each, from summaries; small records are read for their best value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson

from ui.presenters import runs, words
from workbench.plots.history import history_table
from workbench.problem import objective_from_json
from workbench.storage import StudySummary
from workbench.study import Study
from workbench.trial import loads

READ = 2_000  # runs of a record that is still read for its line in the list
DRAWN = 60  # points of the small curve
ARCHIVED = "archived"
_FINISHED = ("complete", "pruned", "failed", "infeasible")


@dataclass(frozen=True, slots=True)
class Line:
    """One study in the list.

    Args:
        share: Finished runs of the budget, 0 to 1; None without a budget.
        curve: Best value so far, at most 60 points; empty for several goals and for huge records.
    """

    name: str
    goals: str
    runs: str
    share: float | None
    curve: list[float]
    best: str
    now: str
    changed: float
    archived: bool


def lines(summaries: list[StudySummary], load: Callable[[str], Study], find: str = "") -> list[Line]:
    """The studies whose name or tags hold every word that is looked for, the last changed first.

    Args:
        load: Opens a study by name.
    """
    wanted = find.casefold().split()
    found = [
        one for one in summaries
        if all(word in f"{one.name} {' '.join(loads(one.tags, []))}".casefold() for word in wanted)
    ]  # fmt: skip
    return [_line(one, load) for one in sorted(found, key=lambda one: -one.updated)]


def _line(summary: StudySummary, load: Callable[[str], Study]) -> Line:
    goals = [objective_from_json(goal) for goal in orjson.loads(summary.objectives)]
    finished = sum(summary.counts.get(state, 0) for state in _FINISHED)
    total = sum(summary.counts.values())
    curve: list[float] = []
    best = now = ""
    if total <= READ:
        study = load(summary.name)
        history = study.history()
        best = runs.best_words(history).removesuffix(".") if history.complete.any() else "No results yet"
        if len(history.measured) == 1:
            column = list(history_table(history).values())[-1]
            held = np.array([value for value in column if value is not None], dtype=float)
            curve = held[np.unique(np.linspace(0, len(held) - 1, DRAWN).astype(int))].tolist() if len(held) else []
        now = _now(summary, finished, runs.since_gain(history))
    else:
        best, now = "Open it to see", _now(summary, finished, 0)
    budget = summary.budget
    return Line(
        summary.name, "  ".join(map(words.arrow, goals)), f"{finished:,} of {budget:,}" if budget else f"{finished:,}",
        min(1.0, finished / budget) if budget else None, curve, best, now, summary.updated,
        ARCHIVED in loads(summary.tags, []),
    )  # fmt: skip


def _now(summary: StudySummary, finished: int, gain: int) -> str:
    todo = summary.counts.get("running", 0) + summary.counts.get("waiting", 0)
    if todo:
        return f"▷ {words.count(todo, 'run')} to do"
    if summary.budget and finished >= summary.budget:
        return "✓ Budget used up"
    if failed := summary.counts.get("failed", 0):
        return f"! {words.count(failed, 'run')} failed"
    if gain >= 5:
        return f"⧗ No gain in {gain} runs"
    return "Ready for suggestions" if finished else "○ Not begun"
