"""The live record of one study: its storage, its declared values, and the history read from it."""

from __future__ import annotations

import base64
import difflib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from workbench.errors import (
    CorruptStorageError,
    FrozenStudyError,
    InvalidValueError,
    TrialStateError,
    UnknownTrialError,
)
from workbench.integers import integer
from workbench.problem import Objective, Preference, constraint_from_json, objective_from_json
from workbench.pruning import pruner_from_json
from workbench.space import Space
from workbench.study.changing import annotate, check_attempt
from workbench.trial import (
    History,
    Observation,
    Report,
    Spaces,
    Trial,
    TrialRow,
    TrialState,
    dumps,
    loads,
    unpack_params,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space.functions import Function
    from workbench.storage import Snapshot, Storage, StudyRow, Transaction


Kept = tuple[TrialRow, Observation, TrialState, str | None, str | None]
"""A trial, what was measured, the state, and texts of error and reason."""


class Record:
    """One study in one storage. Threads may share it.

    It reads only what changed since the last look, and is the `Recorder` that trials report to.
    """

    def __init__(self, storage: Storage, row: StudyRow, functions: Mapping[str, Function] | None = None) -> None:
        self.storage = storage
        self.id = row.id
        self.name = row.name
        self.seed: int = row.seed or 0
        self.budget: int | None = row.budget
        self.created: float = row.created
        self.functions = dict(functions or {})
        try:
            self.spaces = self._spaces(row)
            self.objectives = _objectives(row)
            self.constraints = tuple(constraint_from_json(limit) for limit in loads(row.constraints, []))
            self.baseline = _baseline(row)
            self.pruner = pruner_from_json(orjson.loads(row.pruner)) if row.pruner else None
            self.reference: list[float] | None = loads(row.settings, {}).get("reference")
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from error
        self.kept: dict[int, Kept] = {}  # results that the storage has refused, by trial
        self.prune_reasons: dict[int, str] = {}  # of trials that were told to end, until they do
        self._history: History | None = None
        self._lock = threading.Lock()

    def _spaces(self, row: StudyRow) -> Spaces:
        """Every version of the space, the functions of its constraints put in as far as they are known here."""
        stored = Space.from_json(orjson.loads(row.space))
        names = {rule.name for rule in stored.functions}
        present = stored.with_functions({name: self.functions[name] for name in names & self.functions.keys()})
        earlier = {}
        if row.space_version > 1:
            texts = self.storage.spaces(self.id)
            earlier = {n: Space.from_json(orjson.loads(text)) for n, text in texts.items() if n != row.space_version}
        return Spaces(present, row.space_version, earlier, loads(row.settings, {}).get("defaults", {}))

    def learn(self, functions: Mapping[str, Function]) -> None:
        """Take note of functions that constraints of the space are."""
        with self._lock:
            self.functions |= functions
            self.spaces = self._spaces(self.storage.study_by_id(self.id))

    # -- reading -----------------------------------------------------------------------

    @property
    def space(self) -> Space:
        """What trials are proposed in."""
        return self.spaces.present

    @property
    def space_version(self) -> int:
        """The number of the present space."""
        return self.spaces.version

    def history(self) -> History:
        """The whole record at its present revision."""
        with self._lock:
            old = self._history
            since = 0 if old is None else old.revision
            news = self.storage.snapshot(self.id, since)
            if old is not None and news.revision == since:
                return old
            if news.space_version != self.spaces.version:  # another process has changed the space
                self.spaces = self._spaces(self.storage.study_by_id(self.id))
            if len(self.measured) > 1:  # another process may have kept a reference point, or stated one
                row = self.storage.study_by_id(self.id)
                self.reference, self.objectives = loads(row.settings, {}).get("reference"), _objectives(row)
            self._history = self._read(news, old)
            return self._history

    def _read(self, news: Snapshot, old: History | None) -> History:
        """The record as values.

        Raises:
            CorruptStorageError: if what the database holds is no record.
        """
        try:
            return History.of(
                self.space,
                self.objectives,
                self.constraints,
                _merge([] if old is None else old.rows, news.rows),
                spaces=self.spaces,
                baseline=self.baseline,
                feedback=news.feedback,
                reports=_refreshed(() if old is None else _standing(old, news.rows), news.reports),
                seed=self.seed,
                budget=self.budget,
                revision=news.revision,
                stored_reference=self.reference,
                previous=old if old is not None and old.spaces is self.spaces else None,  # else encode anew
            )
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CorruptStorageError:
        return CorruptStorageError(
            f"the record of study {self.name!r} in {self.storage!r} is damaged: "
            f"{type(error).__name__}: {error}. Nothing was changed; put back a copy of the file, or import an export"
        )

    def baseline_params(self) -> dict[str, Any] | None:
        """Parameters of the baseline in the words of the present space; of the first one if this cannot hold them."""
        if self.baseline is None:
            return None
        params = unpack_params(*self.baseline, self.spaces.earlier.get(1, self.space))
        moved = self.spaces.moved(params, 1)
        return params if moved is None else moved

    def trial(self, row: TrialRow) -> Trial:
        """The user's view of a stored trial."""
        return Trial(row, self)

    def number(self, trial: Trial | int) -> int:
        """The number of a trial that a caller named."""
        if isinstance(trial, Trial):
            home = trial.recorder
            if isinstance(home, Record) and not home.same(self):
                raise UnknownTrialError(
                    f"trial {trial.number} is one of study {home.name!r}, and this is {self.name!r}: pass its trial, "
                    "or the number alone"
                )
            return trial.number
        number = integer(trial, least=None)
        if number is None:
            raise UnknownTrialError(f"expected a trial or its number, got {trial!r}; numbers start at 0")
        return number

    def same(self, other: Record) -> bool:
        """Are both the record of one study?"""
        here, there = self.storage, other.storage
        return self.id == other.id and (here is there or (here.url is not None and here.url == there.url))

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

    def keep_reference(self, history: History) -> NDArray[np.float64]:
        """The reference point of the hypervolume as utilities, shape (m,); one that had to be inferred is kept."""
        stated = all(goal.reference is not None or goal.threshold is not None for goal in history.measured)
        if stated or self.reference is not None:
            return history.reference
        point = history.reference.tolist()
        try:
            with self.transaction("reference") as tx:
                settings = tx.settings
                point = settings.setdefault("reference", point)
                tx.update_study(settings=dumps(settings))
        except FrozenStudyError:
            return history.reference  # nothing of it changes, so it will be inferred the same again
        self.reference = point
        return replace(history, stored_reference=tuple(point)).reference

    def report(self, number: int, values: float | Mapping[str, float], step: int, attempt: int | None = None) -> None:
        """Store intermediate values of a running trial, of its present attempt."""
        if integer(step) is None:
            raise InvalidValueError(f"step must be a whole number >= 0, got {step!r}")
        named = self.named(values)
        with self.transaction("report") as tx:
            row = tx.row(number)
            if row.state != TrialState.RUNNING:
                raise TrialStateError(f"only a running trial can report; trial {number} is {row.state}")
            check_attempt(row, attempt)
            tx.report(number, int(step), named)

    def should_prune(self, number: int) -> bool:
        """Would the study's pruning rule end this running trial now? False as long as it has none."""
        why = None if self.pruner is None else self.pruner.prunes(self.history(), number)
        if why is not None:
            self.prune_reasons[number] = why
        return why is not None

    def set_attr(self, number: int, key: str, value: Any, attempt: int | None = None) -> None:
        """Store one user attribute of a trial."""
        annotate(self, number, None, None, {key: value}, attempt)

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
    no_number = isinstance(value, bool | np.bool_ | str | bytes | complex | np.complexfloating)
    if no_number or not hasattr(value, "__float__"):
        raise InvalidValueError(f"{what} must be a number, got {value!r} of type {type(value).__name__}; pass a float")
    try:
        number = float(value)
    except OverflowError as error:
        raise InvalidValueError(f"{what} must fit into a float, got a number beyond 1.8e308; scale it down") from error
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{what} must be one number, got {value!r}; pass one float") from error
    if not math.isfinite(number):
        raise InvalidValueError(
            f"{what} must be finite, got {number}; leave it out, and tell a trial that gave no number "
            "with state='failed' and without values"
        )
    return number


def baseline_to_json(draft: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the trial that a baseline becomes, as a study stores them."""
    vectors = draft["vectors"]
    return {
        "params": orjson.loads(draft["params"]),
        "vectors": None if vectors is None else base64.b64encode(vectors).decode(),
    }


def _objectives(row: StudyRow) -> tuple[Objective | Preference, ...]:
    return tuple(objective_from_json(goal) for goal in orjson.loads(row.objectives))


def _baseline(row: StudyRow) -> tuple[str, bytes | None] | None:
    """The baseline as its trial stores it."""
    if row.baseline is None:
        return None
    stored = orjson.loads(row.baseline)
    vectors = None if stored["vectors"] is None else base64.b64decode(stored["vectors"])
    return orjson.dumps(stored["params"]).decode(), vectors


def _standing(old: History, new: Sequence[TrialRow]) -> list[Report]:
    """Reports of which no row says that its trial has been taken over since."""
    over = {row.number for row in new if row.number < len(old) and row.attempt > old.rows[row.number].attempt}
    return [report for report in old.reports if report.number not in over]


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
        elif row.number == len(rows):
            rows.append(row)
        else:
            raise ValueError(f"trial {len(rows)} is missing")
    return rows
