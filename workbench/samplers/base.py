"""The one door of every sampler: a request in, exactly n proposals out.

A sampler is a function of the record. It keeps nothing between asks that is not in the
history, in the `meta` of its proposals, or in its `state_dict`.

Symbols: n candidates, N trials in the record, d encoded columns.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from workbench.errors import DeadlineReached, ExhaustedSpaceError, UnsupportedError
from workbench.problem import Preference
from workbench.space import KnownConstraint, parse
from workbench.space.geometry import close, grid, meets, variables

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.surrogate import Surrogate
    from workbench.trial import History

    Array = NDArray[np.float64]

REGION = 0.05  # half-width, in the unit cube, of the box that avoid="region" shuts
_SMALL = 20_000  # a finite space up to this size is enumerated to find what is left of it


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
        deadline: `time.monotonic()` after which the answer is worth nothing; None for no limit.
        purpose: "evaluate" for a measurement, "question" for a person to judge.
        state: What this sampler's `state_dict` returned earlier, and the number it belongs to.
    """

    history: History
    n: int
    rng: np.random.Generator
    first: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    near: int | None = None
    prefer: Mapping[str, float] = field(default_factory=dict)
    deadline: float | None = None
    purpose: Literal["evaluate", "question"] = "evaluate"
    state: tuple[int, Mapping[str, Array]] | None = None

    @property
    def seconds_left(self) -> float:
        """Seconds until the deadline; infinite without one."""
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

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

    @abstractmethod
    def ask(self, request: AskRequest) -> list[Proposal]:
        """Propose exactly `request.n` trials.

        Raises:
            DeadlineReached: if the time is over and there is no candidate.
            ExhaustedSpaceError: if every point has been proposed already.
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
            raise UnsupportedError(
                f"sampler {self.name!r} cannot serve {'; '.join(missing)}. "
                "Use sampler='auto', which chooses one that can, or 'sobol', which serves every study"
                + (" without near= and prefer=" if {"near", "prefer"} & set(request.needs) else "")
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

    Never: a point that failed, was infeasible or rejected, or that a rejection's rule shuts;
    a point that is running; where repeats are not wanted, a point that is in the record at all.

    Args:
        history: The record.
        repeats: May a complete point be proposed again? None: only in an infinite space, where it
            takes intent to hit one.
    """

    def __init__(self, history: History, repeats: bool | None = None) -> None:
        self._space = history.space
        shut = history.failed | history.infeasible | history.rejected | history.pending
        if not (history.space.size() is None if repeats is None else repeats):
            shut = shut | history.complete | history.pruned
        self._taken = _as_keys(history.X[shut])
        self._regions: list[Array] = []
        self._conditions: list[tuple[KnownConstraint, ...]] = []
        for i, rule in history.avoided():
            if rule == "region":
                self._regions.append(history.X[i])
            elif rule != "point":
                self._conditions.append(parse(rule, variables(history.space)))

    def admits(self, X: Array) -> NDArray[np.bool_]:
        """Mask of the candidates that may be proposed.

        Args:
            X: Encoded candidates, shape (n, d).
        Returns:
            Mask of shape (n,).
        """
        admitted = ~np.isin(_as_keys(X), self._taken)
        for centre in self._regions:
            admitted &= ~close(self._space, X, centre, REGION)
        for condition in self._conditions:
            admitted &= ~meets(self._space, X, condition)
        return admitted


def draw_distinct(request: AskRequest, draw: Callable[[int, int], Array]) -> tuple[Array, list[int | None]]:
    """The first n admissible points of a sequence, no two equal in a finite space.

    Args:
        request: The ask; its history says what is taken.
        draw: `draw(start, count)` gives rows start … start+count-1 of the sequence, shape (count, d).
    Returns:
        Points of shape (n, d), and for each the number of the trial it repeats (None: new). Points
        are repeated only when a finite space is exhausted and the objective's noise is stated.
    Raises:
        ExhaustedSpaceError: if nothing is left to propose.
    """
    screen, n = Screen(request.history), request.n
    finite = request.history.space.size() is not None
    found = np.empty((0, request.history.space.width))
    start, count = request.first, n
    while start < request.first + max(256, 16 * n):
        block = draw(start, count)
        found = np.concatenate([found, block[screen.admits(block)]])
        if finite:
            found = found[np.sort(np.unique(_as_keys(found), return_index=True)[1])]
        if len(found) >= n:
            return found[:n], [None] * n
        start, count = start + count, max(2 * count, 32)
        request.check_deadline()
    return _what_is_left(request, screen, found)


def _what_is_left(request: AskRequest, screen: Screen, found: Array) -> tuple[Array, list[int | None]]:
    history, n = request.history, request.n
    space, size = history.space, history.space.size()
    if size is not None and size <= _SMALL:
        points = space.encode(list(grid(space, fixed=request.fixed)))
        left = points[screen.admits(points) & ~np.isin(_as_keys(points), _as_keys(found))]
        found = np.concatenate([found, request.rng.permutation(left)])[:n]
    repeats: list[int | None] = [None] * len(found)
    if len(found) < n:
        noisy = any(goal.noise_sd for goal in history.measured)
        rows = np.flatnonzero(history.complete) if noisy else np.empty(0, dtype=int)
        if rows.size == 0:
            raise ExhaustedSpaceError(_exhausted(request, len(found)))
        chosen = _fewest_repeats(history.X[rows], n - len(found))
        found = np.concatenate([found, history.X[rows[chosen]]])
        repeats += [int(history.numbers[i]) for i in rows[chosen]]
    return found, repeats


def _fewest_repeats(X: Array, n: int) -> list[int]:
    """Indices of n rows to measure again, the least measured first, earliest first among equals."""
    _, first, counts = np.unique(_as_keys(X), return_index=True, return_counts=True)
    chosen = []
    for _ in range(n):
        k = min(range(len(counts)), key=lambda k: (counts[k], first[k]))
        counts[k] += 1
        chosen.append(int(first[k]))
    return chosen


def _exhausted(request: AskRequest, left: int) -> str:
    history = request.history
    size = history.space.size()
    extent = "the points that constraints and rejections allow" if size is None else f"its {size} points"
    return (
        f"{request.n} new points were wanted, {left} are left: the {len(history)} trials of the study have used "
        f"up {extent}. Widen the space, lift a constraint or a rejection, stop here, or state the noise "
        "(wb.Objective(noise=<standard deviation>)) if repeating points makes sense"
    )


def _as_keys(X: Array) -> NDArray[Any]:
    """Rows as opaque values that compare bitwise, shape (n,); -0.0 counts as 0.0."""
    rows = np.ascontiguousarray(X + 0.0)
    if rows.shape[1] == 0 or len(rows) == 0:
        return np.empty(len(rows), dtype="V8")
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
