"""How a study stands: runs by state, what failed and why, how much of the budget is left, and the verdicts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ui.presenters import runs, words
from workbench.study import Study
from workbench.trial import TrialState

STALLED = 5  # runs without gain that are said; below it, chance explains them


@dataclass(frozen=True, slots=True)
class Standing:
    """What the overview says.

    Args:
        counts: Runs by state, in words, states without runs left out.
        verdicts: Level ("green", "yellow" or "red") and sentence.
        failures: Reason and how often it came, the most frequent first.
        used: Finished runs of the budget, in words.
    """

    counts: dict[str, int]
    verdicts: list[tuple[str, str]]
    failures: list[tuple[str, int]]
    used: str


def standing(study: Study) -> Standing:
    """Everything that the overview says of a study, from its record."""
    history = study.history()
    states = Counter(words.going(row) if row.state in _GOING else _SAID[TrialState(row.state)] for row in history.rows)
    finished = int(history.finished.sum())
    said = [(row.error or row.reason or "no reason given").strip().splitlines()[-1][:120]
            for row in history.rows if row.state in (TrialState.FAILED, TrialState.INFEASIBLE)]  # fmt: skip
    used = f"{finished:,} of {study.budget:,}" if study.budget else f"{finished:,}"
    return Standing(dict(states), _verdicts(study), Counter(said).most_common(20), used)


_GOING = (TrialState.RUNNING, TrialState.WAITING)
_SAID = {
    TrialState.COMPLETE: "Done",
    TrialState.FAILED: "Failed", TrialState.INFEASIBLE: "Infeasible", TrialState.PRUNED: "Ended early",
    TrialState.REJECTED: "Rejected", TrialState.VOID: "Void",
}  # fmt: skip


def _verdicts(study: Study) -> list[tuple[str, str]]:
    history = study.history()
    done = int(history.complete.sum())
    if not done:
        return []
    found = [("green", runs.best_words(history))]
    gain = runs.since_gain(history)
    if gain >= STALLED:
        found.append(("yellow", f"No gain in {words.count(gain, 'run')}. Widen a knob, or accept the best one."))
    over = int((history.complete & ~history.feasible).sum())
    if over:
        level = "yellow" if 2 * over > done else "green"
        found.append((level, f"{over:,} of {words.count(done, 'run')} broke a limit."))
    failed = int(history.failed.sum())
    if failed:
        found.append(("yellow" if failed > 1 else "green", f"{words.count(failed, 'run')} failed; see why below."))
    again = done - len(np.unique(history.X[history.complete & history.placed], axis=0))
    if again > 0:
        found.append(("green", f"{words.count(again, 'run')} repeat earlier ones; they show the noise."))
    if study.budget and int(history.finished.sum()) >= study.budget:
        found.append(("yellow", f"The budget of {study.budget:,} runs is used up."))
    return found
