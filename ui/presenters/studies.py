"""The list of studies: one line each, from summaries; small records are read for their best value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson

from ui.presenters import runs, words
from workbench.plots.history import history_table
from workbench.plots.hypervolume import hypervolume_table
from workbench.problem import objective_from_json
from workbench.storage import StudySummary
from workbench.study import Study
from workbench.trial import History, loads

PAGE = 50  # studies that the list shows at once
READ = 2_000  # runs of a record that is still read for its line in the list
VOLUMES = 4  # goals whose hypervolume takes no time
DRAWN = 60  # points of the small curve
ARCHIVED = "archived"
_FINISHED = ("complete", "pruned", "failed", "infeasible")


@dataclass(frozen=True, slots=True)
class Line:
    """One study in the list.

    Args:
        share: Finished runs of the budget, 0 to 1; None without a budget.
        curve: Best value so far, of several goals the hypervolume, at most 60 points; empty for huge records.
    """

    name: str
    goals: str
    runs: str
    share: float | None
    curve: list[float]
    best: str
    now: str
    changed: float


def found(summaries: list[StudySummary], find: str = "", *, archived: bool = False) -> list[StudySummary]:
    """The studies whose name or tags hold every word that is looked for, the last changed first."""
    wanted = find.casefold().split()
    shown = []
    for one in sorted(summaries, key=lambda one: -one.updated):
        tags = loads(one.tags, [])
        text = f"{one.name} {' '.join(tags)}".casefold()
        if all(word in text for word in wanted) and (archived or ARCHIVED not in tags):
            shown.append(one)
    return shown


def lines(summaries: list[StudySummary], load: Callable[[str], Study]) -> list[Line]:
    """A line for each study.

    Args:
        load: Opens a study by name.
    """
    return [_line(one, load) for one in summaries]


def sentence(study: Study) -> str:
    """What a study holds: "Suzuki coupling: 40 runs, 6 knobs, goals Yield ↑ and Cost ↓."."""
    goals = " and ".join(map(words.arrow, study.objectives))
    knobs = words.count(len(study.space.names), "knob")
    word = "goal" if len(study.objectives) == 1 else "goals"
    return f"{study.name}: {words.count(len(study.history()), 'run')}, {knobs}, {word} {goals}."


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
        curve = _curve(history)
        now = _now(summary, finished, runs.since_gain(history))
    else:
        best, now = "Open it to see", _now(summary, finished, 0)
    budget = summary.budget
    return Line(
        summary.name, "  ".join(map(words.arrow, goals)), f"{finished:,} of {budget:,}" if budget else f"{finished:,}",
        min(1.0, finished / budget) if budget else None, curve, best, now, summary.updated,
    )  # fmt: skip


def _curve(history: History) -> list[float]:
    """The best value so far, or of several goals the hypervolume each time that it grew."""
    goals = len(history.measured)
    if not 1 <= goals <= VOLUMES:
        return []
    column = history_table(history).values() if goals == 1 else hypervolume_table(history).values()
    held = np.array([value for value in list(column)[-1] if value is not None], dtype=float)
    drawn: list[float] = held[np.unique(np.linspace(0, len(held) - 1, DRAWN).astype(int))].tolist() if len(held) else []
    return drawn


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
