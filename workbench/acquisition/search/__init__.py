"""The inner search: where on a mixed, constrained space an acquisition function is largest.

Screen many points, climb from the good ones (`climbing`: L-BFGS-B or SLSQP, in turns with sweeps over
the levels of discrete columns), round everything to points that exist, keep what may be proposed, and
take the best. What gradients cannot be told (nonlinear constraints, constraints over logarithms or
conditionals) is met by walking back towards the feasible start, and by small perturbations.

Symbols: n candidates, d encoded columns, b starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.acquisition.search.climbing import Climbers, polished
from workbench.acquisition.search.objective import Objective
from workbench.acquisition.search.points import existing, screening_points, settled, start_rows
from workbench.acquisition.search.region import Candidate, Region, Vicinity
from workbench.errors import DeadlineReached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.acquisition.base import Acquisition

    Array = NDArray[np.float64]

__all__ = ["NOTHING", "Candidate", "Region", "Vicinity", "maximize"]

_ASKED = 32  # points, best first, that are asked at a time whether they may be proposed
NOTHING = -1e29  # values below stand for log 0


def maximize(
    acquisition: Acquisition,
    region: Region,
    rng: np.random.Generator,
    around: Array,
    *,
    restarts: int,
    raw_samples: int,
) -> Candidate | None:
    """Maximise an acquisition function over the points that exist and may be proposed.

    Args:
        acquisition: Function of model inputs.
        region: Where to search.
        rng: Source of the screening points.
        around: Encoded points worth a look at their neighbourhood, shape (k, d).
        restarts: Number of local searches.
        raw_samples: Number of screened points.
    Returns:
        The best candidate; None if no point found may be proposed.
    Raises:
        DeadlineReached: if time was over before anything was screened.
    """
    objective = Objective(acquisition, region.inputs, region.deadline)
    pool = screening_points(region, rng, around, raw_samples)
    values = objective.screen(pool)
    late = False
    if np.isfinite(values).any():
        starts = start_rows(values, rng, restarts)
        climbers = Climbers(objective, region, pool[starts], values[starts], _unit(values))
        try:
            climbers.climb(rng)
        except DeadlineReached:
            late = True
        ends = existing(region, climbers.X)
        pool = np.concatenate([ends, pool])  # first, so that an end wins against an equal start
        values = np.concatenate([objective.values(ends, timed=False), values])
    found, shut = _best_admitted(region, pool, values)
    if found is None:
        return None
    x, value = found
    if not late and (region.curved or shut):
        try:
            x, value = polished(objective, region, rng, x, value)
        except DeadlineReached:
            late = True
    return Candidate(x, value, late)


def _best_admitted(region: Region, pool: Array, values: Array) -> tuple[tuple[Array, float] | None, bool]:
    """The best point of a pool (n, d) that may be proposed, with its value, and whether a better one may not."""
    order = np.argsort(-values, kind="stable")[: int(np.isfinite(values).sum())]
    for i in range(0, len(order), _ASKED):
        block = order[i : i + _ASKED]
        P = settled(region, pool[block]) if region.plain else pool[block]
        admitted = np.flatnonzero(region.admits(P))
        if admitted.size:
            first = admitted[0]
            return (P[first], float(values[block[first]])), bool(i + first > 0)
    return None, True


def _unit(values: Array) -> float:
    """What a difference of one stands for in the local search: the spread of the better half, at most 1.

    An improvement of 1e-8 in units of its own would look like a plateau.
    """
    seen = values[values > NOTHING]
    spread = float(seen.max() - np.median(seen)) if seen.size else 0.0
    return min(1.0, spread) if spread > 0 else 1.0
