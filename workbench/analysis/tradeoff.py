"""Choosing among compromises: what limits cost, what is still to be had inside them, and which trial meets a wish.

Functions of a record and of the front that its model believes in. Limits are values to reach by objective, in user
units, as `Study.ask(thresholds=)` takes them: at least that where more is better, at most that where less is, and with
a target no further from it.

Symbols: n trials, p points of the model's front, m objectives; U (n, m) utilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from workbench.errors import InvalidValueError, TrialStateError
from workbench.pareto import aspiration_of, chebyshev, extent, knee

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.analysis.front import ModelFront
    from workbench.pareto.choosing import Wish
    from workbench.problem import Objective
    from workbench.trial import History

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_EVEN = 0.5


@dataclass(frozen=True, slots=True)
class Cost:
    """The best value of one objective on the measured front, with and without the limits.

    Args:
        objective: Its name.
        before, now: Numbers of the trials that have it; `now` is None where no trial holds every limit.
        values: Of the two, user units; NaN where there is none.
    """

    objective: str
    before: int
    now: int | None
    values: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Easing:
    """What comes back first when one limit alone is eased.

    Args:
        objective: Whose limit.
        value: How far it has to go, user units.
        trial: Number of the trial that comes back.
        gained: Objective in which that trial is better than all that hold the limits, most of all; None if in none.
        best: Its value there; NaN if in none.
    """

    objective: str
    value: float
    trial: int
    gained: str | None
    best: float


@dataclass(frozen=True)
class Inside:
    """What is left of the measured front inside limits.

    Args:
        front: Numbers of the trials on the front.
        left: Those of them that hold every limit.
        costs: One for each objective.
        dearest: The limit that costs most, and what comes back first without it; None where easing one alone gains
            nothing.
    """

    front: NDArray[np.int64]
    left: NDArray[np.int64]
    costs: tuple[Cost, ...]
    dearest: Easing | None


@dataclass(frozen=True, slots=True)
class Prospect:
    """Where the model sees most to gain inside limits.

    Args:
        params: The point.
        objective: What is gained there most of all.
        mean, sd: Of its noise-free value, user units.
        best: Number and value of the best trial inside the limits; None if there is none.
        held: Probability that the noise-free values there hold every limit, measured ones included.
        better: Probability that they do, and that the objective is better than at the best trial.
    """

    params: Mapping[str, Any]
    objective: str
    mean: float
    sd: float
    best: tuple[int, float] | None
    held: float
    better: float


def inside(history: History, limits: Mapping[str, float]) -> Inside:
    """What limits leave of the measured front, and what they cost.

    The dearest limit is the one whose easing alone brings back the trial that gains most, as a share of the range of
    an objective over the front.

    Args:
        history: The record, with a front.
        limits: Values to reach by objective.
    Raises:
        TrialStateError: if there is no front yet.
        InvalidValueError: for a name that is no measured objective.
    """
    rows, U = _front(history)
    floor = _floor(history, limits)
    left: Mask = np.logical_not((floor > U).any(axis=1))  # a comparison with NaN is false
    best = np.where(left[:, None], U, -np.inf).max(axis=0)  # (m,)
    costs = []
    for j, goal in enumerate(history.measured):
        before, now = int(U[:, j].argmax()), int(np.where(left, U[:, j], -np.inf).argmax())
        if left.any() and U[now, j] == U[before, j]:
            before = now
        values = (_value(history, rows[before], j), _value(history, rows[now], j) if left.any() else np.nan)
        numbers = int(history.numbers[rows[before]]), int(history.numbers[rows[now]]) if left.any() else None
        costs.append(Cost(goal.name, *numbers, values))
    numbers_of = history.numbers[rows]
    return Inside(numbers_of, numbers_of[left], tuple(costs), _dearest(history, rows, U, floor, best))


def _dearest(history: History, rows: NDArray[np.int64], U: Array, floor: Array, best: Array) -> Easing | None:
    holds: Mask = np.logical_not(floor > U)
    nadir, ideal = extent(U)
    span = np.where(ideal > nadir, ideal - nadir, 1.0)
    found: tuple[float, Easing] | None = None
    for j, goal in enumerate(history.measured):
        back = np.flatnonzero(~holds[:, j] & np.delete(holds, j, axis=1).all(axis=1))
        if not back.size:
            continue
        first = int(back[U[back, j].argmax()])
        gains = (U[first] - best) / span  # infinite where nothing holds the limits
        gains[j] = -np.inf
        k = int(gains.argmax())
        gained = gains[k] > 0 and np.isfinite(gains[k])
        if not gained and np.isfinite(best).all():
            continue
        easing = Easing(
            goal.name, _value(history, rows[first], j), int(history.numbers[rows[first]]),
            history.measured[k].name if gained else None, _value(history, rows[first], k) if gained else np.nan,
        )  # fmt: skip
        # nothing holds the limits: the least easing says where to begin
        worth = float(gains[k]) if gained else float((U[first, j] - floor[j]) / span[j])
        if found is None or worth > found[0]:
            found = worth, easing
    return None if found is None else found[1]


def prospect(history: History, front: ModelFront, limits: Mapping[str, float]) -> Prospect:
    """The point of the model's front with most to gain inside limits.

    Objectives are modelled independently, so the probability to hold all limits is a product. Of the points that hold
    them rather than not, the one whose most gaining objective is expected to exceed the best trial inside by most
    standard deviations is taken; without such points the one that holds them most likely.

    Args:
        history: The record that the front is of, or a later one.
        front: The front as the model believes in it.
        limits: Values to reach by objective.
    Raises:
        TrialStateError: if no trial counts yet.
        InvalidValueError: for a name that is no measured objective.
    """
    floor = _floor(history, limits)
    here = inside(history, limits)
    held = np.stack([_reaches(goal, front.mean[:, j], front.sd[:, j], floor[j])
                     for j, goal in enumerate(history.measured)])  # fmt: skip  # (m, p)
    whole = held.prod(axis=0) * front.feasible
    means = history.utility(front.mean * _signs(history))  # (p, m)
    best = np.array([np.nan if cost.now is None else cost.values[1] for cost in here.costs])
    levels = history.levels({goal.name: value for goal, value in zip(history.measured, best.tolist(), strict=True)})
    if not here.left.size:
        at = int(whole.argmax())
        j = int(np.argmax((means[at] - means.min(axis=0)) / np.maximum(np.ptp(means, axis=0), 1e-300)))
    else:
        gain = (means - levels) / np.maximum(front.sd, 1e-300)  # (p, m)
        gain[whole < min(_EVEN, whole.max())] = -np.inf
        at, j = (int(i) for i in np.unravel_index(gain.argmax(), gain.shape))
    goal = history.measured[j]
    better = float(whole[at])
    if here.left.size:
        others = np.delete(held[:, at], j).prod() * front.feasible[at]
        level = max(float(levels[j]), float(np.nan_to_num(floor[j], nan=-np.inf)))
        better = float(others * _reaches(goal, front.mean[at, j], front.sd[at, j], level))
    now = here.costs[j].now
    return Prospect(
        front.params[at], goal.name, float(front.mean[at, j]), float(front.sd[at, j]),
        None if now is None else (now, float(best[j])), float(whole[at]), better,
    )  # fmt: skip


def compromise(history: History) -> int:
    """Number of the trial where the measured front bends: a little more of one costs much of another (`pareto.knee`).

    Raises:
        TrialStateError: if there is no front yet.
    """
    rows, U = _front(history)
    return int(history.numbers[rows[knee(U)]])


def closest(history: History, wanted: Mapping[str, float]) -> int:
    """Number of the trial on the measured front that falls short of an aspiration least (`pareto.chebyshev`).

    Args:
        history: The record.
        wanted: Values that one would like to have by objective, user units; of the others, the worst on the front do.
    Raises:
        TrialStateError: if there is no front yet.
    """
    rows, U = _front(history)
    floor = _floor(history, wanted)
    return int(history.numbers[rows[chebyshev(U, np.where(np.isnan(floor), extent(U)[0], floor))]])


def aspiration(history: History, trial: int, wishes: Mapping[str, Wish]) -> tuple[dict[str, float], dict[str, float]]:
    """What somebody wants who has one trial and says of each objective what may become of it (`pareto.aspiration_of`).

    Args:
        history: The record.
        trial: Number of a complete trial.
        wishes: "improve", "keep", "relax" or "free" by objective; those not named are free.
    Returns:
        The aspiration by objective, for `closest`; and limits for the next ask, under which what is to improve gets no
        worse, what is kept stays, what is relaxed falls at most halfway to the worst on the front, and the rest is
        open. Both in user units.
    Raises:
        InvalidValueError: if nothing is to improve, or nothing may get worse.
    """
    _, U = _front(history)
    names = [goal.name for goal in history.measured]
    here = history.utility(history.Y[np.searchsorted(history.numbers, trial)])
    wanted = aspiration_of(here, [wishes.get(name, "free") for name in names], *extent(U), {})
    floor = np.minimum(here, wanted)
    aims = {goal.name: _told(goal, u) for goal, u in zip(history.measured, wanted.tolist(), strict=True)}
    limits = {
        goal.name: _told(goal, u)
        for goal, u in zip(history.measured, floor.tolist(), strict=True)
        if wishes.get(goal.name, "free") != "free"
    }
    return aims, limits


def _front(history: History) -> tuple[NDArray[np.int64], Array]:
    """Rows of the measured front, and their utilities."""
    rows = np.flatnonzero(history.front)
    if not rows.size or len(history.measured) < 2:
        raise TrialStateError("a compromise needs several objectives and a trial that counts, with a value in each")
    return rows, history.utility(history.Y[rows])


def _floor(history: History, limits: Mapping[str, float]) -> Array:
    """Utilities to reach, shape (m,), NaN where there is no limit."""
    names = [goal.name for goal in history.measured]
    if unknown := [name for name in limits if name not in names]:
        raise InvalidValueError(f"limits are values to reach of {names}, got {unknown}")
    return history.levels(limits)


def _reaches(goal: Objective, mean: Any, sd: Any, floor: float) -> Any:
    """Probability that a normal value, user units, has at least this utility; 1 for NaN."""
    if np.isnan(floor):
        return np.ones_like(mean)
    sd = np.maximum(sd, 1e-300)
    if goal.target is None:
        return ndtr((goal.sign * mean - floor) / sd)
    reach = goal.tolerance - floor
    return np.maximum(ndtr((goal.target + reach - mean) / sd) - ndtr((goal.target - reach - mean) / sd), 0.0)


def _told(goal: Objective, utility: float) -> float:
    """A value in user units with this utility; of an objective with a target the one above it."""
    return float(goal.sign * utility) if goal.target is None else float(goal.target + goal.tolerance - utility)


def _value(history: History, row: int, j: int) -> float:
    return float(history.Y[row, j] * history.measured[j].sign)


def _signs(history: History) -> Array:
    return np.array([goal.sign for goal in history.measured])
