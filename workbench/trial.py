"""The record as values and tensors: trials, human feedback, and the `History` that samplers read.

`TrialRow` is a stored trial with its structured fields still as JSON text, so that reading
100,000 of them costs nothing that is not used. `Trial` is what a user holds. `History` is
the whole record as arrays, and the one place where directions become "maximise".

Symbols: n trials, d encoded columns, m measured objectives, c limits of measured constraints.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import orjson

from workbench import markup
from workbench.errors import InvalidValueError, TrialStateError
from workbench.problem import Constraint, Objective, Preference
from workbench.space.expressions import parse
from workbench.space.geometry import at_target, inside, slope, variables

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        return self in _FINISHED


_FINISHED = frozenset({TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.INFEASIBLE})


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

    def understands(self, row: TrialRow, condition: str) -> bool:
        """Does a condition that came with a trial speak only of what the present space has?"""
        own = self.of(row)
        spoken = {name for part in parse(condition, variables(own)) for name in part.names}
        return own is self.present or spoken <= set(variables(self.present))

    def placed(self, row: TrialRow) -> dict[str, Any] | None:
        """The values of a trial, as really set, in the words of the present space; None if it cannot hold them."""
        if row.space_version not in self.earlier:
            return {**self.params(row), **loads(row.actual, {})}
        try:
            filled = {
                name: self.present[name].check(value)
                for name, value in self.filled(row).items()
                if name in self.present
            }
            active = self.present.active(filled)
            point: dict[str, Any] = self.present.check({n: filled[n] for n in filled if n in active}, bounds=False)
        except InvalidValueError:
            return None
        return point

    def filled(self, row: TrialRow) -> dict[str, Any]:
        """The values of a trial as really set, with the defaults of what it was made without."""
        return {**self.defaults, **self.params(row), **loads(row.actual, {})}


@dataclass(frozen=True, slots=True)
class Owner:
    """Who works on a trial or holds a lease: one process of one boot of one machine."""

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return _owner_of(os.getpid())

    @classmethod
    def from_json(cls, text: str) -> Owner:
        """The owner that `to_json` described."""
        return cls(**orjson.loads(text))

    def to_json(self) -> str:
        """JSON text for the database."""
        fields = {"host": self.host, "boot": self.boot, "pid": self.pid, "started": self.started}
        return orjson.dumps(fields).decode()

    def known_dead(self) -> bool:
        """True only when the process is certainly gone: same machine, other boot or no such process."""
        if self.host != socket.gethostname():
            return False
        if self.boot != _boot_id():
            return True
        return _process_start(self.pid) != self.started


@functools.lru_cache(maxsize=8)
def _owner_of(pid: int) -> Owner:
    return Owner(socket.gethostname(), _boot_id(), pid, _process_start(pid) or "")


@functools.cache
def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _process_start(pid: int) -> str | None:
    """A mark that tells a process from a later one of the same number; None if there is no such process."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()  # the name in brackets may hold spaces
        return None if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""


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
        kind: "rank", "compare", "best", "skip", "none_acceptable" or "undo".
        groups: Trial numbers, best group first; trials of one group are tied.
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


class Recorder(Protocol):
    """What a `Trial` needs of its study, or of the far end of a worker's channel."""

    @property
    def spaces(self) -> Spaces: ...
    @property
    def objectives(self) -> Sequence[Objective | Preference]: ...
    def report(self, number: int, values: float | Mapping[str, float], step: int) -> None: ...
    def should_prune(self, number: int) -> bool: ...
    def set_attr(self, number: int, key: str, value: Any) -> None: ...


class Trial:
    """One proposal and what became of it: a snapshot, and a handle to report through.

    `study.tell(trial, …)` brings the trial that it is given up to date.
    """

    __slots__ = ("_params", "_recorder", "_row")

    def __init__(self, row: TrialRow, recorder: Recorder) -> None:
        self._row = row
        self._recorder = recorder
        self._params: dict[str, Any] | None = None

    @property
    def number(self) -> int:
        """Position in the study, from 0."""
        return self._row.number

    @property
    def state(self) -> TrialState:
        """Where the trial stood when this snapshot was taken."""
        return TrialState(self._row.state)

    @property
    def params(self) -> dict[str, Any]:
        """Parameter values by name, in user units; inactive conditional ones are absent."""
        if self._params is None:
            self._params = self._recorder.spaces.params(self._row)
        return dict(self._params)

    def __getitem__(self, name: str) -> Any:
        params = self.params
        if name not in params:
            raise InvalidValueError(
                f"trial {self.number} has no parameter {name!r}; it has {', '.join(params)} "
                "(inactive conditional parameters are absent: use trial.params.get)"
            )
        return params[name]

    @property
    def values(self) -> dict[str, float]:
        """Objectives and measured constraints told so far, by name, in user units."""
        return dict(loads(self._row.outcomes, {}))

    @property
    def value(self) -> float | None:
        """The value of the only measured objective; None while it is not told."""
        names = [goal.name for goal in self._recorder.objectives if isinstance(goal, Objective)]
        if len(names) != 1:
            raise TrialStateError(f"the study has {len(names)} measured objectives; use trial.values")
        return self.values.get(names[0])

    @property
    def sem(self) -> dict[str, float]:
        """Standard errors of the told values, by name."""
        return dict(loads(self._row.sem, {}))

    @property
    def gradient(self) -> dict[str, dict[str, float]]:
        """Told slopes {objective: {parameter: slope}}, in user units."""
        return dict(loads(self._row.gradient, {}))

    @property
    def actual(self) -> dict[str, Any]:
        """Parameter values that were really set, where they differ from the proposed ones."""
        return dict(loads(self._row.actual, {}))

    @property
    def meta(self) -> dict[str, Any]:
        """What the sampler wrote down for itself."""
        return dict(loads(self._row.meta, {}))

    @property
    def predicted(self) -> dict[str, Any]:
        """Predicted {objective: {"mean": …, "sd": …}} at the time of the ask, user units."""
        return dict(loads(self._row.predicted, {}))

    @property
    def measure(self) -> tuple[str, ...] | None:
        """Names of the objectives and constraints to measure; None for all of them."""
        names = loads(self._row.measure)
        return None if names is None else tuple(names)

    @property
    def warnings(self) -> list[str]:
        """What the ask had to warn about."""
        return list(loads(self._row.warnings, []))

    @property
    def attrs(self) -> dict[str, Any]:
        """User attributes."""
        return dict(loads(self._row.attrs, {}))

    @property
    def tags(self) -> list[str]:
        """User tags."""
        return list(loads(self._row.tags, []))

    @property
    def note(self) -> str:
        """User note."""
        return self._row.note or ""

    @property
    def why(self) -> str:
        """Why the sampler proposed it, in one sentence."""
        return self._row.why or ""

    @property
    def cost(self) -> float | None:
        """Told cost of the evaluation."""
        return self._row.cost

    @property
    def error(self) -> str | None:
        """Error text of a failed trial."""
        return self._row.error

    @property
    def reason(self) -> str | None:
        """Reason of an infeasible, pruned, rejected or void trial."""
        return self._row.reason

    @property
    def origin(self) -> str:
        """ "asked", "enqueued" or "attached"."""
        return self._row.origin

    @property
    def attempt(self) -> int:
        """1, and one more each time another process took the trial over."""
        return self._row.attempt

    @property
    def started(self) -> float | None:
        """When it was asked for, seconds since 1970."""
        return self._row.started

    @property
    def finished(self) -> float | None:
        """When it was told, seconds since 1970."""
        return self._row.finished

    def report(self, values: float | Mapping[str, float], step: int) -> None:
        """Store intermediate values, one for each objective or a number for the only one."""
        self._recorder.report(self.number, values, step)

    def should_prune(self) -> bool:
        """True when the study's pruning rule would end this trial now; False where it has none."""
        return self._recorder.should_prune(self.number)

    def set_attr(self, key: str, value: Any) -> None:
        """Store one JSON-compatible user attribute."""
        self._recorder.set_attr(self.number, key, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trial) and self._row == other._row

    def __hash__(self) -> int:
        return hash(self._row.number)

    def __repr__(self) -> str:
        values = f", values={self.values}" if self._row.outcomes else ""
        return f"Trial({self.number}, {self._row.state}, {self.params}{values})"

    def _repr_html_(self) -> str:
        """What a notebook shows: state, values, parameters, and what was said about the trial."""
        goals = [goal for goal in self._recorder.objectives if isinstance(goal, Objective)]
        units = {goal.name: goal.unit for goal in goals}
        knobs = {parameter.name: parameter.unit for parameter in self._recorder.spaces.of(self._row)}
        sem = self.sem
        values = [(name, markup.quantity(y, units.get(name), sem.get(name))) for name, y in self.values.items()]
        params = [(name, markup.reading(value, knobs.get(name))) for name, value in self.params.items()]
        said = {"why": self.why, "error": self.error, "reason": self.reason, "note": self.note}
        said |= {"tags": ", ".join(self.tags), "warnings": " ".join(self.warnings)}
        return markup.heading("Trial", str(self.number), self.state.value) + "".join(
            map(markup.fields, (values, params, said.items()))
        )


_CODES = {state: code for code, state in enumerate(TrialState)}


@dataclass(frozen=True)
class History:
    """The record of a study at one revision, as arrays; row i is the i-th trial by number.

    `X` is encoded by the present space, NaN where a parameter is inactive, and NaN altogether
    where a trial of an earlier space has no `placed` in it; told `actual` values stand in for proposed
    ones. `Y` is sign-flipped so that larger is better, except
    that the column of an objective with a target stays raw (see `utility`); NaN where not
    measured. `C` is feasible where <= 0. Everything else is in user units.

    Args:
        space: The present space.
        objectives: All goals, preferences included.
        constraints: Measured constraints.
        rows: Stored trials by number.
        numbers: Trial numbers, shape (n,).
        states: Codes of the states, shape (n,); use the masks below.
        X: Encoded parameters, shape (n, d).
        Y: Measured objectives, shape (n, m).
        sem: Standard errors of Y, shape (n, m), NaN where not told.
        limited: Sign * value of each limit's quantity, shape (n, c); see `C`.
        C_sem: Standard errors of C, shape (n, c), NaN where not told.
        cost: Told costs, shape (n,).
        spaces: Every version of the space.
        baseline: Mean measured values at the study's baseline by name; empty until it is measured.
        feedback: The feedback log without undone entries and undos.
        reports: Intermediate values in order of number, objective and step.
        seed: Seed of the study.
        budget: Number of trials planned, if stated.
        revision: Revision of the record that this was read at.
        stored_reference: The inferred reference point that the study keeps, see `reference`; None: none yet.
    """

    space: Space
    objectives: tuple[Objective | Preference, ...]
    constraints: tuple[Constraint, ...]
    rows: Sequence[TrialRow]
    numbers: NDArray[np.int64]
    states: NDArray[np.int8]
    X: NDArray[np.float64]
    Y: NDArray[np.float64]
    sem: NDArray[np.float64]
    limited: NDArray[np.float64]
    C_sem: NDArray[np.float64]
    cost: NDArray[np.float64]
    spaces: Spaces
    baseline: Mapping[str, float] = field(default_factory=dict)
    feedback: tuple[FeedbackRecord, ...] = ()
    reports: tuple[Report, ...] = ()
    seed: int = 0
    budget: int | None = None
    revision: int = 0
    stored_reference: tuple[float, ...] | None = None

    @classmethod
    def of(
        cls,
        space: Space,
        objectives: Sequence[Objective | Preference],
        constraints: Sequence[Constraint],
        rows: Sequence[TrialRow],
        *,
        spaces: Spaces | None = None,
        baseline: tuple[str, bytes | None] | None = None,
        feedback: Sequence[FeedbackRecord] = (),
        reports: Sequence[Report] = (),
        seed: int = 0,
        budget: int | None = None,
        revision: int = 0,
        stored_reference: Sequence[float] | None = None,
        previous: History | None = None,
    ) -> History:
        """Encode stored trials.

        Args:
            rows: All trials by number.
            spaces: Every version of the space; only the present one unless given.
            baseline: The baseline's values as `pack_params` stores them.
            previous: An earlier history of the same study and space; only rows whose
                revision is above its revision are encoded anew.
        """
        objectives, constraints, spaces = tuple(objectives), tuple(constraints), spaces or Spaces(space)
        measured = [goal for goal in objectives if isinstance(goal, Objective)]
        n, kept = len(rows), 0 if previous is None else len(previous.rows)
        m, c = len(measured), sum(len(limit.bounds) for limit in constraints)
        shapes: dict[str, tuple[int, ...]] = {
            "X": (space.width,),
            "Y": (m,),
            "sem": (m,),
            "limited": (c,),
            "C_sem": (c,),
            "cost": (),
        }
        arrays = {name: np.full((n, *shape), np.nan) for name, shape in shapes.items()}
        states = np.zeros(n, dtype=np.int8)
        if previous is None:
            changed = list(range(n))
        else:
            for name, array in arrays.items():
                array[:kept] = getattr(previous, name)
            states[:kept] = previous.states
            changed = [i for i, row in enumerate(rows) if row.revision > previous.revision]
        if changed:
            fresh = [rows[i] for i in changed]
            states[changed] = [_CODES[TrialState(row.state)] for row in fresh]
            arrays["X"][changed] = _encode(spaces, fresh)
            told = [loads(row.outcomes, {}) for row in fresh]
            arrays["Y"][changed] = _columns(told, [(goal.name, goal.sign) for goal in measured])
            sems = [loads(row.sem, {}) for row in fresh]
            arrays["sem"][changed] = _columns(sems, [(goal.name, 1.0) for goal in measured])
            limits = [(limit.name, bound.sign) for limit in constraints for bound in limit.bounds]
            arrays["limited"][changed] = _columns(told, limits)
            arrays["C_sem"][changed] = _columns(sems, [(name, 1.0) for name, _ in limits])
            arrays["cost"][changed] = [np.nan if row.cost is None else row.cost for row in fresh]
        return cls(
            space, objectives, constraints, rows,
            np.fromiter((row.number for row in rows), np.int64, n), states, **arrays,
            spaces=spaces, baseline=_baseline(rows, baseline), feedback=standing(feedback), reports=tuple(reports),
            seed=seed, budget=budget, revision=revision,
            stored_reference=None if stored_reference is None else tuple(stored_reference),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    # -- who is who: boolean masks of shape (n,) ----------------------------------------

    def in_state(self, *states: TrialState) -> NDArray[np.bool_]:
        """Mask of the trials in one of these states, shape (n,)."""
        return np.isin(self.states, [_CODES[state] for state in states])

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Finished with all values, shape (n,)."""
        return self.in_state(TrialState.COMPLETE)

    @property
    def pending(self) -> NDArray[np.bool_]:
        """Running or waiting: proposed and not yet told, shape (n,)."""
        return self.in_state(TrialState.RUNNING, TrialState.WAITING)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Failed, shape (n,)."""
        return self.in_state(TrialState.FAILED)

    @property
    def infeasible(self) -> NDArray[np.bool_]:
        """Told to be infeasible without values, shape (n,)."""
        return self.in_state(TrialState.INFEASIBLE)

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Turned down by a person, shape (n,)."""
        return self.in_state(TrialState.REJECTED)

    @property
    def pruned(self) -> NDArray[np.bool_]:
        """Ended early, shape (n,)."""
        return self.in_state(TrialState.PRUNED)

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Complete, pruned, failed or infeasible, shape (n,)."""
        return self.in_state(*_FINISHED)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Columns of X that are active, shape (n, d)."""
        return ~np.isnan(self.X)

    @property
    def placed(self) -> NDArray[np.bool_]:
        """Has a place in the present space, shape (n,): false for a trial of an earlier one that it cannot hold."""
        placed: NDArray[np.bool_] = np.any(self.mask, axis=1)
        return placed

    @property
    def unmeasured_baseline(self) -> bool:
        """Does a limit wait for the baseline to be measured?"""
        return any(limit.relative and limit.name not in self.baseline for limit in self.constraints)

    @functools.cached_property
    def C(self) -> NDArray[np.float64]:
        """Measured limits, shape (n, c), each held where <= 0; NaN where the value, or the baseline, is not known."""
        limits = [
            bound.sign * bound.at(self.baseline.get(limit.name, np.nan))
            for limit in self.constraints
            for bound in limit.bounds
        ]
        C: NDArray[np.float64] = self.limited - np.array(limits)
        return C

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Complete, and every measured limit holds, shape (n,)."""
        held: NDArray[np.bool_] = np.all(self.C <= 0, axis=1)  # a limit that was not measured does not hold
        return self.complete & held

    @functools.cached_property
    def counted(self) -> NDArray[np.bool_]:
        """What best and front choose from: feasible, inside bounds and known constraints, at the target, shape (n,).

        At the target: of every fidelity and task parameter.
        """
        counted = self.feasible & self.placed & inside(self.space, self.X) & at_target(self.space, self.X)
        if self.space.constrained:
            rows = np.flatnonzero(counted)  # a point outside the bounds cannot be decoded
            counted[rows] = self.space.feasible(self.X[rows])
        return counted

    # -- what it is worth ------------------------------------------------------------------

    @property
    def measured(self) -> tuple[Objective, ...]:
        """The objectives that have a column in Y."""
        return tuple(goal for goal in self.objectives if isinstance(goal, Objective))

    def utility(self, Y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Measurements as something to maximise: -max(0, |y - target| - tolerance) where there is a target.

        Args:
            Y: As `History.Y`, shape (..., m).
        Returns:
            Array of the same shape, units of the objectives.
        """
        U = np.array(Y, dtype=np.float64)
        for j, goal in enumerate(self.measured):
            if goal.target is not None:
                U[..., j] = -np.maximum(0.0, np.abs(U[..., j] - goal.target) - goal.tolerance)
        return U

    @functools.cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """Utility that a useful trial has to reach, shape (m,), NaN where none is stated."""
        return self._levels([goal.threshold for goal in self.measured])

    @functools.cached_property
    def reference(self) -> NDArray[np.float64]:
        """Reference point of the hypervolume as utilities, shape (m,): as stated, else the threshold, else inferred.

        A coordinate is inferred once: what the study keeps, or the first proposal that was made with one, holds from
        then on. NaN where nothing can be inferred from yet.
        """
        stated = self._levels([goal.reference for goal in self.measured])
        stated = np.where(np.isnan(stated), self.thresholds, stated)
        if not np.isnan(stated).any():
            return stated
        kept = self.kept_reference
        return np.where(np.isnan(stated), self.inferred_reference() if kept is None else kept, stated)

    @functools.cached_property
    def kept_reference(self) -> NDArray[np.float64] | None:
        """The inferred reference point that is in the record already, shape (m,)."""
        if self.stored_reference is not None:
            return np.array(self.stored_reference)
        row = next((i for i, row in enumerate(self.rows) if row.meta and '"reference":' in row.meta), None)
        return None if row is None else np.array(self.meta(row)["reference"])

    def inferred_reference(self) -> NDArray[np.float64]:
        """A reference point from the trials as they are now, shape (m,); NaN without one that has every value."""
        from workbench.pareto import infer_reference

        told = ~np.isnan(self.Y).any(axis=1)
        for rows in (self.counted & told, self.complete & self.placed & told):
            if rows.any():
                return infer_reference(self.utility(self.Y[rows]))
        return np.full(len(self.measured), np.nan)

    def _levels(self, values: Sequence[float | None]) -> NDArray[np.float64]:
        """Values of the objectives in user units as utilities, shape (m,), NaN for None."""
        signs = [goal.sign for goal in self.measured]
        raw = np.array([np.nan if v is None else s * v for v, s in zip(values, signs, strict=True)])
        return self.utility(raw)

    def best(self) -> int | None:
        """Row of the best counted trial of a study with one measured objective; the earliest of equals."""
        rows = np.flatnonzero(self.counted & ~np.isnan(self.Y).any(axis=1))
        if rows.size == 0:
            return None
        return int(rows[np.argmax(self.utility(self.Y[rows])[:, 0])])

    def gradients(self) -> NDArray[np.float64]:
        """Slopes of Y in encoded coordinates, shape (n, m, d), NaN where not told.

        dy/du = sign * dy/dx * dx/du with u the encoded column of a Float.
        """
        G = np.full((len(self), len(self.measured), self.space.width), np.nan)
        for i, row in enumerate(self.rows):
            for j, goal in enumerate(self.measured):
                slopes = loads(row.gradient, {}).get(goal.name, {})
                for name, dy in slopes.items():
                    if name not in self.space or self.space[name].kind != "float":  # of an earlier space
                        continue
                    column = self.space.slices[name]
                    G[i, j, column] = goal.sign * dy * slope(self.space[name], self.X[i, column])
        return G

    def as_of(self, number: int) -> History:
        """The record as it stood when a trial was asked for: those before it, still running if they ended later.

        What was amended or voided since is as it is now; the baseline keeps its measured values.
        """
        begun = self.rows[number].started
        rows = [
            row._replace(state=TrialState.RUNNING.value, outcomes=None, sem=None, gradient=None, finished=None)
            if begun is not None and row.finished is not None and row.finished > begun
            else row
            for row in self.rows[:number]
        ]
        earlier = History.of(
            self.space, self.objectives, self.constraints, rows, spaces=self.spaces, feedback=self.feedback,
            reports=[report for report in self.reports if report.number < number], seed=self.seed, budget=self.budget,
            revision=self.revision,
        )  # fmt: skip
        return replace(earlier, baseline=self.baseline)

    def meta(self, i: int) -> dict[str, Any]:
        """What the sampler wrote down with row i."""
        return dict(loads(self.rows[i].meta, {}))

    def params(self, i: int) -> dict[str, Any]:
        """Parameter values of row i as proposed, user units, in the words of the space it was made in."""
        return self.spaces.params(self.rows[i])

    @property
    def next_number(self) -> int:
        """The number that the next new trial gets."""
        return int(self.numbers[-1]) + 1 if len(self) else 0

    def avoided(self) -> Iterator[tuple[int, str]]:
        """Rows and rules of rejected trials: "point", "region" or a condition in the words of the present space.

        A condition of an earlier space that speaks of what is there no more shuts nothing.
        """
        for i in np.flatnonzero(self.rejected).tolist():
            rule = self.rows[i].avoid or "point"
            if rule in ("point", "region") or self.spaces.understands(self.rows[i], rule):
                yield i, rule


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


def _encode(spaces: Spaces, rows: Sequence[TrialRow]) -> NDArray[np.float64]:
    """Encoded columns, shape (n, d), all NaN where the present space cannot hold a trial."""
    X = np.full((len(rows), spaces.present.width), np.nan)
    placed = [spaces.placed(row) for row in rows]
    held = [i for i, params in enumerate(placed) if params is not None]
    X[held] = spaces.present.encode([params for params in placed if params is not None])
    return X


def _baseline(rows: Sequence[TrialRow], baseline: tuple[str, bytes | None] | None) -> dict[str, float]:
    """Mean told values, by name, of the complete trials at the baseline."""
    if baseline is None:
        return {}
    told = [
        loads(row.outcomes, {})
        for row in rows
        if (row.params, row.vectors) == baseline and row.state == TrialState.COMPLETE
    ]
    names = dict.fromkeys(name for values in told for name in values)
    return {name: float(np.mean([values[name] for values in told if name in values])) for name in names}


def _columns(told: Sequence[Mapping[str, float]], columns: Sequence[tuple[str, float]]) -> NDArray[np.float64]:
    """Values sign * value by name, shape (n, number of columns), NaN where not told."""
    out = np.full((len(told), len(columns)), np.nan)
    for j, (name, sign) in enumerate(columns):
        out[:, j] = [values.get(name, np.nan) for values in told]
        out[:, j] *= sign
    return out
