"""The one door of every sampler: a request in, exactly n proposals out.

A sampler is a function of the record. It keeps nothing between asks that is not in the
history, in the `meta` of its proposals, or in its `state_dict`.

Symbols: n candidates, N trials in the record, d encoded columns.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from workbench.errors import DeadlineReached, ExhaustedSpaceError, UnsupportedError
from workbench.problem import Preference
from workbench.space import KnownConstraint, parse
from workbench.space.geometry import at_target, beside, close, grid, inside, is_finite, meets, towards, variables
from workbench.space.parameters import real
from workbench.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.surrogate import Surrogate
    from workbench.trial import History

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

REGION = 0.05  # half-width, in the unit cube, of the box that avoid="region" shuts
NEAR = 0.1  # share of each range within which near= looks around its trial
_MOST = 1 << 16  # draws before a space counts as shut, and points that are enumerated to find what is left


@dataclass(frozen=True)
class AskRequest:
    """Everything that a sampler may know.

    Args:
        history: The record; running trials are in it.
        n: How many proposals are wanted.
        rng: Generator derived from the study's seed and `first`; the only randomness allowed.
        first: First trial number that the ask saw; the index into any fixed sequence.
        fixed: Parameters held at a value, context included.
        context: The part of `fixed` that the world decided.
        near: Number of a trial to stay close to.
        prefer: Weights of objectives by name.
        thresholds: Values that the trials are to reach by objective, user units, beside those that objectives state.
        deadline: `time.monotonic()` after which the answer is worth nothing; None for no limit.
        purpose: "evaluate" for a measurement, "question" for a person to judge.
        state: What this sampler's `state_dict` returned earlier, and the number it belongs to.
        held: Numbers of trials that stand in open questions of other raters: another question shows none of them that
            nobody judged.
    """

    history: History
    n: int
    rng: np.random.Generator
    first: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    near: int | None = None
    prefer: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    deadline: float | None = None
    purpose: Literal["evaluate", "question"] = "evaluate"
    state: tuple[int, Mapping[str, Array]] | None = None
    held: frozenset[int] = frozenset()

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline; infinite without one."""
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    @cached_property
    def centre(self) -> Array | None:
        """Where near= wants the proposals, shape (d,), NaN where anything goes; None for anywhere.

        Raises:
            UnsupportedError: if the present space cannot hold that trial.
        """
        if self.near is None:
            return None
        if not self.history.placed[self.near]:
            raise UnsupportedError(
                f"near= names trial {self.near}, which was made in an earlier space and has no place in the present "
                "one; name another trial"
            )
        centre: Array = self.history.X[self.near].copy()
        for name in self.fixed:
            centre[self.history.space.slices[name]] = np.nan
        return centre

    def check_deadline(self) -> None:
        """Raise `DeadlineReached` once the time is over."""
        if self.seconds_left <= 0:
            raise DeadlineReached("the time given to this ask is over")

    @cached_property
    def needs(self) -> dict[str, str]:
        """Features that a sampler must serve to answer this request, each with what asks for it."""
        history = self.history
        needs = {p.kind: f"parameter {p.name!r} ({type(p).__name__})" for p in history.space}
        needs |= {p.role: f"parameter {p.name!r} (role {p.role!r})" for p in history.space if p.role != "design"}
        if len(history.measured) > 1:
            needs["objectives"] = f"{len(history.measured)} objectives"
        if history.constraints:
            needs["constraints"] = f"the measured constraint {history.constraints[0].name!r}"
        if any(isinstance(goal, Preference) for goal in history.objectives):
            needs["preference"] = "a preference known from rankings only"
        if self.near is not None:
            needs["near"] = "near="
        if self.prefer:
            needs["prefer"] = "prefer="
        if self.thresholds:
            needs["thresholds"] = "thresholds="
        return needs


@dataclass(frozen=True)
class Proposal:
    """One trial to run.

    Args:
        x: Encoded parameters, shape (d,), NaN where inactive.
        meta: JSON-ready notes that the sampler will want back with the result.
        why: One sentence for the user.
        predicted: {objective: {"mean": …, "sd": …}} in user units, where there is a model.
        trial: Number of an existing trial to show or to go on measuring, instead of a new one.
        measure: Names of the objectives to measure; None for all.
        warnings: What the user should know about this proposal.
    """

    x: Array
    meta: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    predicted: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    trial: int | None = None
    measure: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


class Sampler(ABC):
    """Proposes the next trials of a study from its record.

    Subclasses are final. They name what they can serve; a request that needs more is refused
    before it reaches `ask`.
    """

    name: ClassVar[str]
    serves: ClassVar[frozenset[str]]
    stateful: ClassVar[bool] = False  # does it have a state_dict?

    @abstractmethod
    def ask(self, request: AskRequest) -> list[Proposal]:
        """Propose exactly `request.n` trials.

        Raises:
            DeadlineReached: if the time is over and there is no candidate.
            ExhaustedSpaceError: if every point has been proposed already.
            SearchEnded: if a rule that it was given says so.
        """

    def options(self) -> dict[str, Any]:
        """JSON-ready keyword arguments from which the registry makes an equal sampler."""
        return {}

    def check(self, request: AskRequest) -> None:
        """Refuse what this sampler cannot serve.

        Raises:
            UnsupportedError: naming the sampler, what it cannot serve, and the remedy.
        """
        missing = [what for feature, what in request.needs.items() if feature not in self.serves]
        if missing:
            steered = " and ".join(f"{word}=" for word in ("prefer", "thresholds") if word in request.needs)
            other = f"'sobol', which serves every study{f' without {steered}' if steered else ''}"
            if self.name == "sobol":
                other = f"leave {steered} out" if steered else "another sampler"
            raise UnsupportedError(
                f"sampler {self.name!r} cannot serve {'; '.join(missing)}. "
                f"Use sampler='auto', which chooses one that can, or {other}"
            )

    def surrogate(self, history: History) -> Surrogate:
        """The model that `study.model()` shows for this sampler."""
        from workbench.models.surrogate import fit

        return fit(history)

    def state_dict(self) -> Mapping[str, Array] | None:
        """Costly state to store with the trials just proposed; None when the record is enough."""
        return None

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned, perhaps in another process."""
        raise UnsupportedError(f"sampler {self.name!r} keeps no state, but was given {sorted(state)}")


KINDS = frozenset(
    ["float", "int", "categorical", "ordinal", "bool", "simplex", "vector", "permutation", "subset", "sequence"]
)  # fmt: skip
ROLES = frozenset({"fidelity", "environment", "task", "context"})


class Screen:
    """Which candidates may be proposed, given the record: the one place for that decision.

    Never a point that is in the record already, whatever became of it (a trial that was taken out
    does not count; a trial that was set differently than proposed counts twice, as both), and
    never a point that the rule of a rejection shuts.

    Args:
        history: The record.
        taken: Encoded points chosen by the present ask already.
        centre: Encoded point that candidates have to be near, shape (d,); None for anywhere.
    """

    def __init__(self, history: History, taken: Sequence[Array] = (), centre: Array | None = None) -> None:
        self._space = history.space
        self._centre = centre
        standing = np.flatnonzero(~history.in_state(TrialState.VOID)).tolist()
        moved = [i for i in standing if history.rows[i].actual is not None]
        proposals = [history.spaces.placed(history.rows[i]._replace(actual=None)) for i in moved]
        proposed = history.space.encode([params for params in proposals if params is not None])
        known = [history.X[standing], proposed, np.reshape(taken, (-1, history.space.width))]
        self._taken: set[bytes] = {key for X in known for key in _as_keys(X)}
        self._regions: list[Array] = []
        self._conditions: list[tuple[KnownConstraint, ...]] = []
        for i, rule in history.avoided():
            if rule == "region" and history.placed[i]:
                self._regions.append(history.X[i])
            elif rule not in ("point", "region"):
                self._conditions.append(parse(rule, variables(history.space)))

    def admits(self, X: Array) -> Mask:
        """Which candidates may be proposed.

        Args:
            X: Encoded candidates, shape (n, d).
        Returns:
            Mask of shape (n,).
        """
        new: Mask = np.array([key not in self._taken for key in _as_keys(X)], dtype=bool)
        return self.allows(X) & new

    def allows(self, X: Array) -> Mask:
        """Which candidates are near enough and not shut by a rejection, shape (n,); they may be in the record."""
        allowed = np.ones(len(X), dtype=bool)
        if self._centre is not None:
            allowed &= beside(self._space, X, self._centre, NEAR)
        for centre in self._regions:
            allowed &= ~close(self._space, X, centre, REGION)
        for condition in self._conditions:
            allowed &= ~meets(self._space, X, condition)
        return allowed

    def take(self, X: Array) -> None:
        """Count the points of shape (n, d) as taken from now on."""
        self._taken.update(_as_keys(X))


def draw_distinct(
    request: AskRequest,
    draw: Callable[[int, int], Array],
    n: int | None = None,
    taken: Sequence[Array] = (),
) -> tuple[Array, list[int | None]]:
    """The first n admissible points of a sequence, no two equal.

    Args:
        request: The ask; its history says what is taken.
        draw: `draw(start, count)` gives rows start … start+count-1 of the sequence, shape (count, d).
        n: How many; the request's n when absent.
        taken: Encoded points that this ask has chosen already.
    Returns:
        Points of shape (n, d), and for each the number of the trial it repeats (None: new). Points
        are repeated only when nothing new is left and the objective's noise is stated.
    Raises:
        ExhaustedSpaceError: if nothing is left to propose.
        DeadlineReached: if time was over first.
    """
    n = request.n if n is None else n
    screen = Screen(request.history, taken, request.centre)
    countable = is_finite(request.history.space, request.fixed)
    found: list[Array] = []
    start, count = request.first, n
    while start < request.first + (max(256, 16 * n) if countable else _MOST):
        block = _around(request, draw(start, count))
        for x in block[screen.admits(block)]:
            if len(found) < n and screen.admits(x[None])[0]:  # equal points may stand in one block
                found.append(x)
                screen.take(x[None])
        if len(found) == n:
            return np.array(found), [None] * n
        start, count = start + count, min(max(2 * count, 32), 4096)
        request.check_deadline()
    if countable:
        found += _what_is_left(request, screen, n - len(found))
    repeats = _repeats(request, screen, n - len(found))
    if len(found) + len(repeats) < n:
        raise ExhaustedSpaceError(_exhausted(request, n, len(found), countable))
    X = request.history.X
    return np.array(found + [X[i] for i in repeats]), [
        *[None] * len(found), *(int(request.history.numbers[i]) for i in repeats)
    ]  # fmt: skip


def _around(request: AskRequest, X: Array) -> Array:
    """The points as they are, or feasible ones around the trial that near= names."""
    space = request.history.space
    if request.centre is None:
        return X
    Z = towards(space, X, request.centre, NEAR)
    return Z[space.feasible(Z)]


def spread_out(
    request: AskRequest,
    n: int | None = None,
    taken: Sequence[Array] = (),
    *,
    seed: int | None = None,
    why: str = "next point of the Sobol sequence",
    meta: Mapping[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
) -> list[Proposal]:
    """Proposals of the next admissible points of a scrambled Sobol sequence; repeats are noted in `meta`.

    Args:
        request: The ask.
        n: How many; the request's n when absent.
        taken: Encoded points that this ask has chosen already.
        seed: Of a sequence of its own, begun at its start; by default the study's, indexed by trial number.
        why, meta, warnings: Of every proposal.
    """
    space, offset = request.history.space, 0 if seed is None else request.first

    def draw(start: int, count: int) -> Array:
        key = request.history.seed if seed is None else seed
        return space.sobol(count, key, skip=start - offset, fixed=request.fixed)

    return as_proposals(*draw_distinct(request, draw, n, taken), why=why, meta=meta, warnings=warnings)


def as_proposals(
    points: Array,
    repeats: Sequence[int | None],
    *,
    why: str,
    meta: Mapping[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
) -> list[Proposal]:
    """Points as proposals; one that repeats a trial says so."""
    note = dict(meta or {})
    return [
        Proposal(x, note, why, warnings=warnings)
        if repeat is None
        else Proposal(
            x, note | {"replicate": repeat}, f"the space is used up: measures trial {repeat} again", warnings=warnings
        )
        for x, repeat in zip(points, repeats, strict=True)
    ]


def _what_is_left(request: AskRequest, screen: Screen, n: int) -> list[Array]:
    """At most n random ones of the points that are left, by enumeration."""
    space, left = request.history.space, []
    combinations = islice(grid(space, fixed=request.fixed), _MOST)
    while block := list(islice(combinations, 1024)):
        X = space.encode(block)
        left.append(X[screen.admits(X)])
        request.check_deadline()
    return list(request.rng.permutation(np.concatenate(left))[:n]) if left else []


def _repeats(request: AskRequest, screen: Screen, n: int) -> list[int]:
    """Rows to measure again, the least measured first, earliest first among equals; none without stated noise."""
    if n == 0 or not any(goal.noise_sd for goal in request.history.measured):
        return []
    rows = repeatable(request, screen)
    keys = _as_keys(request.history.X[rows])
    counts = Counter(keys)
    first = {key: row for row, key in reversed(list(zip(rows.tolist(), keys, strict=True)))}
    chosen: list[int] = []
    while first and len(chosen) < n:
        key = min(first, key=lambda key: (counts[key], first[key]))
        counts[key] += 1
        chosen.append(first[key])
    return chosen


def repeatable(request: AskRequest, screen: Screen) -> NDArray[np.int64]:
    """Rows of the complete trials that may be proposed again."""
    history, space = request.history, request.history.space
    fits = history.complete & history.placed & inside(space, history.X) & at_target(space, history.X)
    for name, value in request.fixed.items():
        wanted = space[name].encode([value])
        fits &= (history.X[:, space.slices[name]] == wanted).all(axis=1)
    rows = np.flatnonzero(fits)
    return rows[space.feasible(history.X[rows]) & screen.allows(history.X[rows])]


def _exhausted(request: AskRequest, n: int, found: int, countable: bool) -> str:
    if request.near is not None:
        reason = f"nothing else was found near trial {request.near}"
    elif countable:
        reason = "nothing else is left of the points that the constraints, the fixed values and the rejections allow"
    else:
        reason = f"the constraints and rejections admit almost nothing: no more was found in {_MOST} draws"
    return (
        f"{n} new points were wanted, {found} are left: {reason}, with {len(request.history)} trials in the record. "
        "Widen the space, lift a constraint or a rejection, stop here"
        + (
            ", or state the noise (wb.Objective(noise=<standard deviation>)) if repeating points makes sense"
            if request.history.measured
            else ", or ask for fewer"
        )
    )


def _as_keys(X: Array) -> list[bytes]:
    """Rows as bytes that compare bitwise; -0.0 counts as 0.0, and every NaN alike."""
    rows = np.ascontiguousarray(np.where(np.isnan(X), np.nan, X + 0.0))
    if rows.shape[1] == 0:
        return [b""] * len(rows)
    data, width = rows.tobytes(), rows.itemsize * rows.shape[1]
    return [data[i : i + width] for i in range(0, len(data), width)]


def check_number(
    name: str, value: Any, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf,
    most: float = math.inf,
) -> float:  # fmt: skip
    """An option that is a finite number in an interval, as a float.

    Raises:
        UnsupportedError: if it is none.
    """
    number = real(value)
    if number is None or not math.isfinite(number) or not (above < number < below and least <= number <= most):
        ends = (("> ", above), (">= ", least), ("< ", below), ("<= ", most))
        wanted = " and ".join(f"{sign}{end:g}" for sign, end in ends if math.isfinite(end))
        raise UnsupportedError(f"{name} must be a number {wanted}, got {value!r}")
    return number


def check_switch(name: str, value: Any) -> bool:
    """An option that is on or off.

    Raises:
        UnsupportedError: if it is neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        raise UnsupportedError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_device(device: str | None, sampler: str) -> None:
    """Refuse a device that is not here, which a study may have been made with elsewhere."""
    if device is None:
        return
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise UnsupportedError(
            f"device {device!r} cannot be used here: {str(error).splitlines()[0]} Take {sampler}(device=None), "
            "which computes on the CPU"
        ) from error
