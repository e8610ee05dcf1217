"""Figures from runs, as pure functions: regret, share of targets reached, paired differences, times.

Several objectives have one loss too: minus the hypervolume of the front so far. Their regret is what is missing to the
largest hypervolume known, and their range is that whole hypervolume.

Symbols: S seeds, N evaluations, T targets, m objectives; r regret in units of the objective, R the range of the
function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench.bench.case import Case
from workbench.bench.records import Run
from workbench.errors import InvalidValueError
from workbench.pareto import hypervolume, infer_reference, non_dominated
from workbench.problem import Constraint, Objective

Array = NDArray[np.float64]
FLOOR = 1e-6  # regret below this share of the range counts as this share
_TARGETS = np.logspace(0.0, np.log10(FLOOR), 51)  # shares of the range, as COCO spreads them
_SCALE_POINTS = 4096
_ROOM = 1.001  # of a hypervolume that was only attained: no run shall miss nothing
Taken = Literal["chosen", "best"]


def losses(goal: Objective, values: Sequence[float] | Array) -> Array:
    """Values as something to make small: distance beyond the tolerance for a target, shape (N,)."""
    y = np.asarray(values, dtype=np.float64)
    if goal.target is not None:
        return np.maximum(0.0, np.abs(y - goal.target) - goal.tolerance)
    return -goal.sign * y


def worths(case: Case, values: Mapping[str, Sequence[float]]) -> Array:
    """Values of all objectives, larger is better, shape (N, m)."""
    return np.stack([-losses(goal, values[goal.name]) for goal in case.objectives], axis=1)


def reference_point(case: Case, runs: Sequence[Run]) -> Array | None:
    """The worst worths that count, shape (m,); None with one objective.

    What objectives do not state is inferred from all points of all runs, so that they are held to one point.
    """
    goals = case.objectives
    if len(goals) == 1:
        return None
    stated = [np.nan if goal.reference is None else -losses(goal, [goal.reference])[0] for goal in goals]
    known = np.array(stated, dtype=np.float64)
    if np.isfinite(known).all():
        return known
    Y = np.concatenate([worths(case, run.true or run.values) for run in runs])
    met = np.concatenate([_feasible(case.problem.constraints, run.true or run.values) for run in runs])
    return np.where(np.isnan(known), infer_reference(Y[met] if met.any() else Y), known)


def best_loss(case: Case, runs: Sequence[Run] = (), reference: Array | None = None) -> float | None:
    """The loss at the optimum of a case, or the least one of its runs where that is not known or was beaten.

    A problem of several objectives may state the largest `hypervolume` known at its references. None if neither the
    optimum is known nor a run given.
    """
    several = len(case.objectives) > 1
    if not several and case.goal.target is not None:
        return 0.0
    if not several and case.problem.optimum is not None:
        return float(losses(case.goal, [case.problem.optimum])[0])
    found = [float(trace(case, run, "best", reference)[-1]) for run in runs]
    if not several:
        return min(found, default=None)
    stated = all(goal.reference is not None for goal in case.objectives)
    known: float | None = getattr(case.problem, "hypervolume", None) if stated else None
    if known is None and not found:
        return None
    least = min(found) * _ROOM if known is None else min([*found, -known])
    return least or -1.0  # no run has a front yet: all is missing, not nothing


def trace(case: Case, run: Run, taken: Taken = "chosen", reference: Array | None = None) -> Array:
    """True loss of what one would take after each evaluation, shape (N,).

    One objective: of the best point, infinite before a feasible one. Several: minus the hypervolume of the front, 0
    before a feasible one.

    Args:
        taken: "chosen" takes the point, or the front, that is best by the values told so far, as a user would; "best"
            the one that is best by true values. Without noise they are the same.
        reference: The worst worths that count, shape (m,); needed for several objectives.
    Raises:
        InvalidValueError: for several objectives without it.
    """
    true = run.true or run.values
    told = true if taken == "best" else run.values
    met = _feasible(case.problem.constraints, told)
    if len(case.objectives) > 1:
        if reference is None:
            raise InvalidValueError(f"case {case.name!r} has several objectives; pass reference=reference_point(…)")
        return _held(-_volumes(worths(case, true), worths(case, told), met, reference), run.evaluations)
    name = case.goal.name
    judged = np.where(met, losses(case.goal, told[name]), np.inf)
    loss = np.where(met, losses(case.goal, true[name]), np.inf)
    at = np.zeros(len(judged), dtype=np.int64)
    for i in range(1, len(judged)):
        at[i] = i if judged[i] < judged[at[i - 1]] else at[i - 1]
    return _held(loss[at], run.evaluations)


def _volumes(true: Array, told: Array, met: NDArray[np.bool_], reference: Array) -> Array:
    """Hypervolume of the true worths of the front by worths told, after each point, shape (N,)."""
    front = np.empty(0, dtype=np.int64)
    found = np.zeros(len(told))
    volume = 0.0
    for i in range(len(told)):
        if met[i] and not (told[front] >= told[i]).all(axis=1).any():
            front = np.append(front, i)
            front = front[non_dominated(told[front])]
            volume = hypervolume(true[front], reference)
        found[i] = volume
    return found


def _held(values: Array, evaluations: int) -> Array:
    """A run that was cut keeps its last value to the end of the budget."""
    return np.pad(values, (0, evaluations - len(values)), mode="edge")


def _feasible(limits: Sequence[Constraint], values: Mapping[str, Sequence[float]]) -> NDArray[np.bool_]:
    length = len(next(iter(values.values())))
    met = np.ones(length, dtype=bool)
    for limit in limits:
        measured = np.asarray(values[limit.name])
        for bound in limit.bounds:
            met &= bound.sign * (measured - bound.offset) <= 0
    return met


def scale(case: Case, runs: Sequence[Run], reference: Array | None = None) -> float:
    """The range R of a case: worst minus best true loss over its space, units of the objective.

    Over 4,096 Sobol points and the optimum where the problem takes whole columns, so that it does not
    depend on the runs; else over the initial designs of the runs. Of several objectives, the largest hypervolume known.
    """
    if len(case.objectives) > 1:
        return -(best_loss(case, runs, reference) or -1.0)
    space, goal = case.problem.space, case.goal
    batch = getattr(case.problem, "evaluate_batch", None)  # a problem may offer it, says DESIGN
    if batch is not None and all(parameter.when is None for parameter in space):
        points = space.decode(space.sobol(_SCALE_POINTS, seed=0))
        columns = {name: np.array([point[name] for point in points]) for name in space.names}
        found = losses(goal, batch(columns)[goal.name])
    else:
        starts = [losses(goal, (run.true or run.values)[goal.name])[: case.start] for run in runs]
        found = np.concatenate([*starts, [np.nan]])
    best = best_loss(case)
    low = np.nanmin(found) if best is None else best
    spread = float(np.nanmax(found) - low)
    return spread if spread > 0 else 1.0


def log_regret(regrets: Array, span: float) -> Array:
    """log10 of regret, clipped to [1e-6 R, R]."""
    return np.log10(np.clip(regrets, FLOOR * span, span))


def reached(regrets: Array, span: float, targets: Array = _TARGETS) -> Array:
    """Share of (seed, target) pairs that are reached after each evaluation: the runtime ECDF.

    Args:
        regrets: Best so far, shape (S, N), units of the objective.
        span: The range R.
        targets: Shares of R, shape (T,).
    Returns:
        Shape (N,).
    """
    hit = regrets[:, :, None] <= targets * span  # (S, N, T)
    return np.asarray(hit.mean(axis=(0, 2)), dtype=np.float64)


def bootstrap(
    groups: Sequence[Array], *, level: float = 0.9, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of the means of groups, with a percentile bootstrap interval.

    With several groups (problems) both the groups and the members (seeds) of each are drawn anew.

    Args:
        groups: Samples of each group.
        level: Share of the resampled means inside the interval.
        seed: Of the resampling.
    Returns:
        Mean, lower and upper end.
    """
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, len(groups)))
    for slot in range(len(groups)):
        which = rng.integers(len(groups), size=resamples)  # the group that stands here in each resample
        for g, group in enumerate(groups):
            rows = np.flatnonzero(which == g)
            means[rows, slot] = group[rng.integers(len(group), size=(len(rows), len(group)))].mean(axis=1)
    low, high = np.quantile(means.mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(np.mean([group.mean() for group in groups])), float(low), float(high)
