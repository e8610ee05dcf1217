"""Figures from runs, as pure functions: regret, share of targets reached, paired differences, times.

Symbols: S seeds, N evaluations, T targets; r regret in units of the objective, R the range of the function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from workbench.bench.case import Case
from workbench.bench.records import Run
from workbench.problem import Constraint, Objective

Array = NDArray[np.float64]
FLOOR = 1e-6  # regret below this share of the range counts as this share
_TARGETS = np.logspace(0.0, np.log10(FLOOR), 51)  # shares of the range, as COCO spreads them
_SCALE_POINTS = 4096
Taken = Literal["chosen", "best"]


def losses(goal: Objective, values: Sequence[float] | Array) -> Array:
    """Values as something to make small: distance beyond the tolerance for a target, shape (N,)."""
    y = np.asarray(values, dtype=np.float64)
    if goal.target is not None:
        return np.maximum(0.0, np.abs(y - goal.target) - goal.tolerance)
    return -goal.sign * y


def best_loss(case: Case) -> float | None:
    """The loss at the optimum of a case; None where it is not known."""
    if case.goal.target is not None:
        return 0.0
    return None if case.problem.optimum is None else float(losses(case.goal, [case.problem.optimum])[0])


def trace(case: Case, run: Run, taken: Taken = "chosen") -> Array:
    """True loss of the point that one would take after each evaluation, shape (N,); inf before a feasible one.

    Args:
        taken: "chosen" takes the point with the best value told so far, as a user would; "best" the best
            true value among the points so far. Without noise they are the same.
    """
    name, limits = case.goal.name, case.problem.constraints
    true = losses(case.goal, (run.true or run.values)[name])
    judged = true if taken == "best" else losses(case.goal, run.values[name])
    judged = np.where(_feasible(limits, run.values), judged, np.inf)
    true = np.where(np.isfinite(judged), true, np.inf)
    at = np.zeros(len(judged), dtype=np.int64)
    for i in range(1, len(judged)):
        at[i] = i if judged[i] < judged[at[i - 1]] else at[i - 1]
    return _held(true[at], run.evaluations)


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


def scale(case: Case, runs: Sequence[Run]) -> float:
    """The range R of a case: worst minus best true loss over its space, units of the objective.

    Over 4,096 Sobol points and the optimum where the problem takes whole columns, so that it does not
    depend on the runs; else over the initial designs of the runs.
    """
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
