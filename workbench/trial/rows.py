"""What the database holds of trials, questions and answers, one named tuple a row, and its JSON fields.

Structured fields stay JSON text until they are read, so that 100,000 trials cost nothing that is not used.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from workbench.errors import InvalidValueError
from workbench.space.expressions import parse
from workbench.space.geometry import variables
from workbench.trial.owner import Owner

if TYPE_CHECKING:
    from workbench.space import Space


class TrialState(StrEnum):
    """Where a trial stands."""

    WAITING = "waiting"  # enqueued, not yet asked for
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    REJECTED = "rejected"  # proposed, and turned down by a person
    VOID = "void"  # taken out of the record's meaning, never out of the record

    @property
    def finished(self) -> bool:
        """True for the states that an evaluation ends in; they count in `until`."""
        return self in FINISHED


FINISHED = frozenset({TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.INFEASIBLE})


class TrialRow(NamedTuple):
    """One stored trial, column by column. Structured fields are JSON text, NULL when empty.

    Times are seconds since 1970. `vectors` holds the float64 values of all Vector
    parameters, little-endian, in the order of their keys in `params` (which are null there).
    """

    number: int
    state: str
    params: str
    vectors: bytes | None
    space_version: int
    outcomes: str | None  # {name: value}, objectives and measured constraints, user units
    sem: str | None  # {name: standard error}
    gradient: str | None  # {objective: {parameter: slope}}, user units
    cost: float | None
    actual: str | None  # {parameter: value that was really set}
    meta: str | None
    why: str | None
    predicted: str | None
    measure: str | None
    warnings: str | None
    attrs: str | None
    tags: str | None
    note: str | None
    error: str | None
    reason: str | None
    avoid: str | None  # "point", "region" or a condition; of a rejected trial
    origin: str  # "asked", "enqueued" or "attached"
    created: float
    started: float | None
    finished: float | None
    owner: str | None
    expires: float | None
    attempt: int
    revision: int

    def orphaned(self, at: float) -> bool:
        """Has the `optimize` that this running trial belongs to ended, at that time?"""
        if self.expires is None:  # a plain ask: its experiment may run for days
            return False
        return self.expires <= at or (self.owner is not None and Owner.from_json(self.owner).known_dead())


class Report(NamedTuple):
    """One intermediate value of one objective."""

    number: int
    step: int
    objective: str
    value: float


def dumps(value: object) -> str | None:
    """JSON text of a structured field; None for an empty one."""
    if value is None or value in ({}, [], ()):
        return None
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()


def not_json(value: Any) -> str | None:
    """Why a value cannot be stored as JSON without loss; None if it can. NaN and infinity cannot."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    except (orjson.JSONEncodeError, RecursionError) as error:
        return str(error)
    holes = [value]
    while b"null" in text and holes:
        part = holes.pop()
        if isinstance(part, float | np.floating) and not np.isfinite(part):
            return f"{part} is no JSON number"
        if isinstance(part, np.ndarray):
            holes += part.ravel().tolist()
        elif isinstance(part, Mapping):
            holes += part.values()
        elif isinstance(part, Sequence) and not isinstance(part, str | bytes):
            holes += part
    return None


def loads(text: str | None, empty: Any = None) -> Any:
    """The value of a structured field."""
    return empty if text is None else orjson.loads(text)


def pack_params(params: Mapping[str, Any]) -> tuple[str, bytes | None]:
    """Named values as JSON text, and the values of Vector parameters as one blob."""
    vectors = [value for value in params.values() if isinstance(value, np.ndarray)]
    plain = {key: None if isinstance(value, np.ndarray) else value for key, value in params.items()}
    blob = np.concatenate(vectors).astype("<f8").tobytes() if vectors else None
    return orjson.dumps(plain).decode(), blob


def unpack_params(text: str, vectors: bytes | None, space: Space) -> dict[str, Any]:
    """Named values in the canonical types of the space that they were packed in; the inverse of `pack_params`."""
    params: dict[str, Any] = orjson.loads(text)
    blob = np.frombuffer(vectors, dtype="<f8") if vectors else np.empty(0)
    start = 0
    for name, value in params.items():
        if value is None and name in space and space[name].kind == "vector":
            stop = start + space[name].width
            params[name] = blob[start:stop]
            start = stop
        elif isinstance(value, list):
            params[name] = tuple(value)
    return params


@dataclass(frozen=True)
class Spaces:
    """The versions of a study's space, and how trials of earlier ones are read in the present one.

    Args:
        present: What trials are proposed in.
        version: Its number.
        earlier: The spaces before it by number.
        defaults: Parameter name to the value that it is taken to have had in trials made without it.
    """

    present: Space
    version: int = 1
    earlier: Mapping[int, Space] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def of(self, row: TrialRow) -> Space:
        """The space that a trial was made in."""
        return self.earlier.get(row.space_version, self.present)

    def params(self, row: TrialRow) -> dict[str, Any]:
        """The values of a trial in the words of its own space."""
        return unpack_params(row.params, row.vectors, self.of(row))

    def settings(self, row: TrialRow) -> dict[str, Any]:
        """The values of a trial as really set: those told as `actual` in place of the proposed ones.

        What does not exist with these is left out.
        """
        params, actual = self.params(row), loads(row.actual, {})
        if not actual:
            return params
        there = self.of(row).active({**params, **actual})
        return {name: value for name, value in {**params, **actual}.items() if name in there}

    def understands(self, row: TrialRow, condition: str) -> bool:
        """Does a condition that came with a trial speak only of what the present space has?"""
        own = self.of(row)
        spoken = {name for part in parse(condition, variables(own)) for name in part.names}
        return own is self.present or spoken <= set(variables(self.present))

    def placed(self, row: TrialRow) -> dict[str, Any] | None:
        """The values of a trial, as really set, in the words of the present space; None if it cannot hold them."""
        return self.moved(self.settings(row), row.space_version)

    def moved(self, params: Mapping[str, Any], version: int) -> dict[str, Any] | None:
        """Values of a version of the space in the words of the present one; None if it cannot hold them."""
        if version not in self.earlier:
            return dict(params)
        try:
            filled = {
                name: self.present[name].check(value)
                for name, value in {**self.defaults, **params}.items()
                if name in self.present
            }
            active = self.present.active(filled)
            point: dict[str, Any] = self.present.check({n: filled[n] for n in filled if n in active}, bounds=False)
        except InvalidValueError:
            return None
        return point

    def filled(self, row: TrialRow) -> dict[str, Any]:
        """The values of a trial as really set, with the defaults of what it was made without."""
        return {**self.defaults, **self.settings(row)}


@dataclass(frozen=True, slots=True)
class Observation:
    """What one `tell` says about a trial. All in user units and signs.

    `values` holds objectives and measured constraints by name, `sem` standard errors of some
    of them, `gradient` slopes {objective: {parameter: slope}}, `actual` the parameter values
    that were really set where they differ from the ones proposed.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    sem: Mapping[str, float] = field(default_factory=dict)
    gradient: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    cost: float | None = None
    actual: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedbackRecord:
    """One entry of the feedback log; entries are never changed, an undo is an entry of its own.

    Args:
        id: Number within the study, from 0, in the order of arrival.
        kind: "rank", "compare", "best", "worst", "partial", "more_like", "none_acceptable", "cannot_tell" or "skip"
            (`rankings` says what each states); the wishes "pin" and "go_back"; or "undo".
        groups: Trial numbers, best group first; trials of one group are tied. In a partial order pairs.
        of: All the trials that were shown.
        rater: Who judged.
        question: Id of the question that this answers.
        undoes: Id of the entry that an undo takes back.
        confidence: Probability that the answer is right, as stated by the rater.
        created: Seconds since 1970.
    """

    id: int
    kind: str
    groups: tuple[tuple[int, ...], ...] = ()
    of: tuple[int, ...] = ()
    rater: str = ""
    question: int | None = None
    undoes: int | None = None
    confidence: float | None = None
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """Trials that were shown together for judgement; open until an entry of the feedback log answers it."""

    id: int
    trials: tuple[int, ...]
    created: float = 0.0
    answered: int | None = None
    seed: int | None = None  # of the order in which they are shown
    rater: str | None = None  # whom it was asked of; None: anybody


def undone(log: Sequence[FeedbackRecord]) -> set[int]:
    """Ids of the entries that an undo has taken back; undoing an undo restores what it took back."""
    gone: set[int] = set()
    for entry in reversed(log):
        if entry.kind == "undo" and entry.id not in gone and entry.undoes is not None:
            gone.add(entry.undoes)
    return gone


def standing(log: Sequence[FeedbackRecord]) -> tuple[FeedbackRecord, ...]:
    """The judgements of a feedback log that hold: neither undone, nor undos themselves."""
    gone = undone(log)
    return tuple(entry for entry in log if entry.kind != "undo" and entry.id not in gone)


def now() -> float:
    """Seconds since 1970."""
    return time.time()
