"""The points that a search looks at: drawn for the screening, near good ones, and rounded to what exists.

Symbols: n points, d encoded columns, b starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.acquisition.search.region import Region
from workbench.space import Simplex
from workbench.space.geometry import towards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Space

    Array = NDArray[np.float64]

_SPRAY = (0.2, 0.05, 0.01, 0.002)  # sd of the perturbations around good trials, in the unit cube
_WALKS = (0, 1, 2, 4)  # steps of a structured value away from a good one
_FLOCK = 8  # of them that go together up to the last step, as neighbours come many at a time
_OFF = 1e-13  # error of a sum that is rounding
_SETTLING = 4  # passes after which rounding has come to rest


def screening_points(region: Region, rng: np.random.Generator, around: Array, n: int) -> Array:
    """n Sobol points of the space, the points `around`, and n // 4 perturbations of these; feasible, as they exist."""
    space = region.space
    spread = space.sobol(n, int(rng.integers(2**31)), fixed=region.fixed)
    if region.near is not None:
        spread = existing(region, towards(space, spread, region.near.centre, region.near.reach))
        around = spread[:1] if np.isnan(region.near.centre).any() else region.near.centre[None]
    if len(around) == 0:
        return spread
    low, high = region.bounds
    around = np.clip(region.filled(around), low, high)
    sprayed = _spray(region, rng, around, n // 4)
    return np.concatenate([spread, existing(region, np.concatenate([around, sprayed]))])


def _spray(region: Region, rng: np.random.Generator, around: Array, n: int) -> Array:
    """n perturbations of good points (k, d), near and far.

    Each choice is redrawn with probability 1/d; each structured value goes some steps from neighbour to neighbour.
    """
    low, high = region.bounds
    X = begun = around[rng.integers(len(around), size=n)]
    sd = rng.choice(_SPRAY, size=(n, 1)) * (high - low)
    X = np.clip(X + rng.normal(size=X.shape) * sd, low, high)
    for column in region.inputs.categorical:
        redrawn = rng.random(n) < 1.0 / region.space.width
        first, last = int(low[column]), int(high[column])
        X[:, column] = np.where(redrawn, rng.integers(first, last + 1, size=n), np.round(X[:, column]))
    for p in region.structured:
        columns = region.space.slices[p.name]
        for i in range(0, n, _FLOCK):
            x, steps = begun[i], int(rng.choice(_WALKS))
            for _ in range(steps - 1):
                x = next(iter(region.neighbours(x, p, rng, 1)), x)
            rows = np.arange(i, min(i + _FLOCK, n))
            flock = np.vstack([x, region.neighbours(x, p, rng, len(rows))])[-len(rows) :] if steps else x[None]
            X[rows, columns] = flock[rows % len(flock), columns]
    return X


def existing(region: Region, X: Array) -> Array:
    """The points that exist next to X (n, d): rounded, inactive columns NaN; infeasible ones dropped.

    In a plain region rounding waits until one is chosen: it changes no value.
    """
    if region.plain:
        return X
    X = settled(region, X)
    return X[region.space.feasible(X)] if region.space.constrained else X


def settled(region: Region, X: Array) -> Array:
    """The points next to X (n, d) that decoding and encoding leave as they are, constraints left aside."""
    space = region.space
    X = _adding_up(space, region.filled(X))
    for _ in range(_SETTLING if len(X) else 0):
        last, X = X, space.encode(space.decode(X))
        for column, value in region.held.items():  # to the bit, as the caller gave them
            X[:, column] = np.where(np.isnan(X[:, column]), np.nan, value)
        if np.array_equal(last, X, equal_nan=True):
            break
    return X


def _adding_up(space: Space, X: Array) -> Array:
    """Mixtures whose parts sum to 1 again after a search that keeps the sum to its tolerance only."""
    for p in space:
        if isinstance(p, Simplex):
            parts = X[:, space.slices[p.name]]
            missing = 1.0 - parts.sum(axis=1)
            parts[np.arange(len(X)), parts.argmax(axis=1)] += np.where(np.abs(missing) > _OFF, missing, 0.0)
    return X


def start_rows(values: Array, rng: np.random.Generator, b: int) -> NDArray[np.int64]:
    """Numbers of b starts: half of them the best, the others drawn with weights exp(standardised value).

    Args:
        values: Of the screened points, shape (n,), -inf where there is none.
    """
    order = np.argsort(-values, kind="stable")
    order = order[: max(1, int(np.isfinite(values).sum()))]
    top, rest = order[: (b + 1) // 2], order[(b + 1) // 2 :]
    count = min(b - len(top), len(rest))
    if count == 0:
        return top
    z = np.clip(values[rest], -1e100, 1e100)
    weights = np.exp(np.clip((z - z.max()) / (z.std() + 1e-12), -30, 0))
    return np.concatenate([top, rng.choice(rest, size=count, replace=False, p=weights / weights.sum())])
