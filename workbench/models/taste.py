"""The utility of a record: which answers speak of which trials, and the preference model that is learnt from them.

Utility depends on the design, or on the measured outcomes (`Preference.over`); outcomes enter as utilities of their
objectives (`History.utility`), each stretched from 0 to 1 over the trials that have been measured.

What a fit found travels in the `meta` of the trials that were shown because of it, and the next fit starts there.

Symbols: n trials that somebody judged, d inputs, m measured objectives.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import TrialStateError, UnsupportedError
from workbench.models.inputs import Inputs
from workbench.models.judgements import Answer, Family
from workbench.models.preference import Columns, PreferenceModel, Theta, fit
from workbench.models.surrogate import unmodelled
from workbench.problem import Preference
from workbench.rankings import ORDERING, edges, partial_order
from workbench.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.trial import FeedbackRecord, History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

_ANEW = 1.25  # growth of the log after which hyperparameters are looked for again
_FEW = 12  # answers up to which they are looked for every time
_OUT = (TrialState.VOID, TrialState.REJECTED, TrialState.FAILED)


def preference(history: History) -> Preference:
    """What is judged.

    Raises:
        UnsupportedError: if the study has no preference, or several.
    """
    goals = [goal for goal in history.objectives if isinstance(goal, Preference)]
    if len(goals) != 1:
        raise UnsupportedError(
            f"a model of utility needs exactly one wb.Preference, this study has {len(goals)}; declare one, or make a "
            "study for each"
        )
    return goals[0]


def answers(history: History, rater: str | None = None) -> tuple[list[Answer], list[str], Rows]:
    """What was said that bears on utility, by position in the list of judged trials.

    Args:
        history: The record.
        rater: Only what this rater said; None for all.
    Returns:
        The answers; names of their raters by number; the rows of the history that they speak of, shape (n,).
        Trials that were taken out of the record, or that have no place in the model, are left out of the answers.
    """
    goal = preference(history)
    usable = ~history.in_state(*_OUT)
    if goal.over == "outcomes":
        usable &= history.complete & ~np.isnan(history.Y).any(axis=1)
    else:
        usable &= history.placed
    said = [
        entry
        for entry in history.feedback
        if (entry.kind in ORDERING or entry.kind == "none_acceptable") and rater in (None, entry.rater)
    ]
    kept = [entry for entry in (_without(entry, usable) for entry in said) if entry is not None]
    rows = np.array(sorted({number for entry in kept for number in entry.of}), dtype=np.int64)
    place = {int(row): i for i, row in enumerate(rows)}
    names = list(dict.fromkeys(entry.rater for entry in kept)) or [""]
    found = [
        Answer(
            entry.kind,
            tuple(tuple(place[n] for n in group) for group in entry.groups),
            tuple(place[n] for n in entry.of),
            names.index(entry.rater),
            1.0 if entry.confidence is None else entry.confidence,
        )
        for entry in kept
    ]
    return found, names, rows


def _without(entry: FeedbackRecord, usable: NDArray[np.bool_]) -> FeedbackRecord | None:
    """An entry without the trials that cannot be used; None if it then says nothing."""
    if all(usable[number] for number in entry.of):
        return entry
    of = tuple(number for number in entry.of if usable[number])
    if entry.kind == "partial":  # what followed over a trial that is gone still holds
        left = {pair for pair in edges(entry.kind, entry.groups, entry.of) if set(pair) <= set(of)}
        return replace(entry, groups=partial_order(left), of=of) if left else None
    groups = tuple(tuple(n for n in group if usable[n]) for group in entry.groups)
    groups = tuple(group for group in groups if group)
    silent = entry.kind != "none_acceptable" and not edges(entry.kind, groups, of) and len(of) < 2
    return None if silent or not of or (entry.groups and not groups) else replace(entry, groups=groups, of=of)


@dataclass(frozen=True)
class Taste:
    """The belief about utility at one revision of the record. Made by `learn`.

    Args:
        history: The record.
        over: "design" or "outcomes".
        rows: Rows of the history that were judged, shape (n,).
        model: Of utility as a function of inputs.
        inputs: Of designs.
        low, span: Of the outcomes' utilities, shape (m,).
        memory: For the next fit.
    """

    history: History
    over: str
    rows: Rows
    model: PreferenceModel
    inputs: Inputs
    low: Array
    span: Array
    memory: Mapping[str, Any]

    def of_rows(self, rows: Rows) -> Array:
        """Inputs of trials, shape (k, d)."""
        if self.over == "design":
            return self.inputs.model_points(self.history.X[rows])
        return self.scaled(self.history.utility(self.history.Y[rows]))

    def scaled(self, U: Array) -> Array:
        """Inputs of utilities of outcomes, shape (..., m)."""
        return np.asarray((U - self.low) / self.span)

    @property
    def candidates(self) -> Rows:
        """Rows among which the favourite is: those that count, or were judged where nothing is measured; shape (k,)."""
        history = self.history
        usable = history.counted if self.over == "outcomes" else history.placed & ~history.in_state(*_OUT)
        if self.over == "design":
            judged = np.zeros(len(history), dtype=bool)
            judged[self.rows] = True
            usable &= judged
        else:
            usable &= ~np.isnan(history.Y).any(axis=1)
        return np.flatnonzero(usable)

    @property
    def favourite(self) -> int | None:
        """Row of the candidate whose utility is largest in the mean; None if there is none."""
        rows = self.candidates
        return int(rows[np.argmax(self.model.mean_sd(self.of_rows(rows))[0])]) if rows.size else None


def learn(
    history: History,
    *,
    family: Family = "luce",
    rater: str | None = None,
    search: bool | None = None,
    deadline: float | None = None,
) -> Taste:
    """Learn utility from the answers of a record.

    Args:
        history: The record.
        family: Of the likelihood.
        rater: Only from this rater's answers; None for all.
        search: Look for hyperparameters; None: when the log has grown enough since the last time.
        deadline: `time.monotonic()` by which an answer is wanted; the search takes at most half of the time left.
    Raises:
        TrialStateError: if nobody has judged anything.
        UnsupportedError: if the space has no model, or the study no preference.
    """
    goal = preference(history)
    said, names, rows = answers(history, rater)
    if not said:
        whose = "" if rater is None else f" of {rater!r}"
        raise TrialStateError(f"there is no answer{whose} to learn a utility from; see study.feedback.next_question()")
    inputs = Inputs(history.space)
    low, span = np.zeros(0), np.ones(0)
    if goal.over == "design":
        reasons = unmodelled(history.space)
        if reasons:
            raise UnsupportedError(f"no model of utility over this space: {'; '.join(reasons)}; use sampler='rank_sgd'")
        Z, columns = inputs.model_points(history.X[rows]), Columns(*inputs.columns)
    else:
        U = history.utility(history.Y)[history.complete & ~np.isnan(history.Y).any(axis=1)]
        low = U.min(axis=0)
        span = np.where(np.ptp(U, axis=0) > 0, np.ptp(U, axis=0), 1.0)
        Z, columns = (history.utility(history.Y[rows]) - low) / span, Columns(tuple(range(U.shape[1])))
    memory = None if rater is not None else recalled(history, family)
    warm = None if memory is None else Theta.from_json(memory["theta"])
    due = memory is None or len(said) <= _FEW or len(said) >= _ANEW * memory["n"] or len(said) < memory["n"]
    search = due if search is None else search
    end = None if deadline is None else time.monotonic() + 0.5 * (deadline - time.monotonic())
    model = fit(Z, said, columns, family=family, raters=names, warm=warm, search=search, deadline=end)
    n = len(said) if search or memory is None else memory["n"]
    kept = {"n": n, "family": family, "theta": model.theta.to_json()}
    return Taste(history, goal.over, rows, model, inputs, low, span, kept)


def recalled(history: History, family: Family) -> Mapping[str, Any] | None:
    """What the latest fit of a record found, if the space is still the same."""
    for row in reversed(history.rows):
        if row.space_version == history.spaces.version and row.meta and '"preference":' in row.meta:
            found: Mapping[str, Any] = history.meta(row.number)["preference"]
            return found if found["family"] == family else None
    return None
