"""The live record of one study: its storage, its declared values, and the history read from it."""

from __future__ import annotations

import difflib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from workbench.errors import InvalidValueError, TrialStateError, UnknownTrialError
from workbench.problem import Objective, constraint_from_json, objective_from_json
from workbench.space import Space
from workbench.trial import History, Report, Trial, TrialRow, TrialState, dumps, loads

if TYPE_CHECKING:
    from workbench.storage import Storage, StudyRow, Transaction


class Record:
    """One study in one storage. Threads may share it.

    It reads only what changed since the last look, and is the `Recorder` that trials report to.
    """

    def __init__(self, storage: Storage, row: StudyRow) -> None:
        self.storage = storage
        self.id = row.id
        self.name = row.name
        self.seed: int = row.seed or 0
        self.budget: int | None = row.budget
        self.created: float = row.created
        self.space = Space.from_json(orjson.loads(row.space))
        self.space_version: int = row.space_version
        self.objectives = tuple(objective_from_json(goal) for goal in orjson.loads(row.objectives))
        self.constraints = tuple(constraint_from_json(limit) for limit in loads(row.constraints, []))
        self._history: History | None = None
        self._lock = threading.Lock()

    # -- reading -----------------------------------------------------------------------

    def history(self) -> History:
        """The whole record at its present revision."""
        with self._lock:
            old = self._history
            since = 0 if old is None else old.revision
            news = self.storage.snapshot(self.id, since)
            if old is not None and news.revision == since:
                return old
            self._history = History.of(
                self.space,
                self.objectives,
                self.constraints,
                _merge([] if old is None else old.rows, news.rows),
                feedback=news.feedback,
                reports=_refreshed(() if old is None else old.reports, news.reports),
                seed=self.seed,
                budget=self.budget,
                revision=news.revision,
                previous=old,
            )
            return self._history

    def trial(self, row: TrialRow) -> Trial:
        """The user's view of a stored trial."""
        return Trial(row, self)

    def number(self, trial: Trial | int) -> int:
        """The number of a trial that a caller named."""
        if isinstance(trial, Trial):
            return trial.number
        if isinstance(trial, bool) or not isinstance(trial, int | np.integer):
            raise UnknownTrialError(f"expected a trial or its number, got {trial!r}; numbers start at 0")
        return int(trial)

    @property
    def measured(self) -> tuple[Objective, ...]:
        """Objectives that a tell gives values of."""
        return tuple(goal for goal in self.objectives if isinstance(goal, Objective))

    @property
    def told_names(self) -> list[str]:
        """Names of what a tell gives values of: measured objectives, then constraints."""
        return [goal.name for goal in self.measured] + [limit.name for limit in self.constraints]

    # -- writing -----------------------------------------------------------------------

    @contextmanager
    def transaction(self, label: str) -> Iterator[Transaction]:
        """One atomic change; the label names its fail points."""
        with self.storage.transaction(self.id, label) as tx:
            yield tx

    def report(self, number: int, values: float | Mapping[str, float], step: int) -> None:
        """Store intermediate values of a running trial."""
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 0:
            raise InvalidValueError(f"step must be a whole number >= 0, got {step!r}")
        named = self.named(values)
        with self.transaction("report") as tx:
            state = tx.row(number).state
            if state != TrialState.RUNNING:
                raise TrialStateError(f"only a running trial can report; trial {number} is {state}")
            tx.report(number, int(step), named)

    def should_prune(self, number: int) -> bool:
        """False: this study has no pruning rule."""
        return False

    def set_attr(self, number: int, key: str, value: Any) -> None:
        """Store one user attribute of a trial."""
        if not isinstance(key, str) or not key:
            raise InvalidValueError(f"the key of an attribute must be a non-empty string, got {key!r}")
        try:
            orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        except orjson.JSONEncodeError as error:
            raise InvalidValueError(
                f"attribute {key!r} must be made of JSON types, got {type(value).__name__} ({error}); "
                "convert it, or store bytes with study.files.put"
            ) from error
        with self.transaction("attr") as tx:
            attrs = loads(tx.row(number).attrs, {})
            tx.update(number, attrs=dumps(attrs | {key: value}))

    def named(self, values: float | Mapping[str, float]) -> dict[str, float]:
        """Values by name; a bare number stands for the only measured objective."""
        if isinstance(values, Mapping):
            raw = dict(values)
        elif len(self.measured) == 1:
            raw = {self.measured[0].name: values}
        else:
            names = ", ".join(repr(goal.name) for goal in self.measured) or "none"
            raise InvalidValueError(
                f"a bare number is the value of the only measured objective; this study measures {names}: "
                f"give a mapping by name, got {values!r}"
            )
        known = self.told_names
        for name in raw:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                raise InvalidValueError(
                    f"values are named {', '.join(map(repr, known))}; got {name!r}: "
                    + (f"did you mean {near[0]!r}?" if near else "leave it out, or keep it with trial.set_attr")
                )
        return {name: finite(f"the value of {name!r}", value) for name, value in raw.items()}


def finite(what: str, value: object) -> float:
    """The value as a float.

    Raises:
        InvalidValueError: if it is no number, NaN or infinite.
    """
    if isinstance(value, bool) or not hasattr(value, "__float__") or isinstance(value, str | bytes):
        raise InvalidValueError(f"{what} must be a number, got {value!r} of type {type(value).__name__}; pass a float")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{what} must be one number, got {value!r}; pass one float") from error
    if not math.isfinite(number):
        raise InvalidValueError(
            f"{what} must be finite, got {number}; leave it out, or tell a trial that gave no number "
            "with state='failed'"
        )
    return number


def _refreshed(old: Sequence[Report], new: Sequence[Report]) -> tuple[Report, ...]:
    """Reports by number, objective and step, new ones in place of old ones."""
    if not new:
        return tuple(old)
    latest = {report[:3]: report for report in (*old, *new)}
    return tuple(sorted(latest.values(), key=lambda report: (report.number, report.objective, report.step)))


def _merge(old: list[TrialRow] | Any, new: list[TrialRow]) -> list[TrialRow]:
    """Rows by number, new ones in place of old ones. Numbers have no gaps."""
    rows = list(old)
    for row in new:
        if row.number < len(rows):
            rows[row.number] = row
        else:
            rows.append(row)
    return rows
