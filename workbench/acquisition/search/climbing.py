"""The local search, in turns: by gradients where columns are continuous, level by level or from neighbour to neighbour
where they are not.

Symbols: b starts, r of them at work, k columns that move, d encoded columns.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from workbench.acquisition.search.ascent import Polytope, descend, descend_within
from workbench.acquisition.search.objective import Objective
from workbench.acquisition.search.points import existing
from workbench.acquisition.search.region import FEW, Region

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.acquisition.search.ascent import Loss
    from workbench.space import Structure

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]
    Mask = NDArray[np.bool_]

_ROUNDS = 8  # turns of sweeps and ascents
_SHIFTS = 3  # times that the neighbours of the best are searched
_NEXT = (-2, -1, 1, 2)  # levels beside the present one that are tried where there are many
_ELSEWHERE = 8  # and how many far away
_SOME, _AROUND = 24, 128  # neighbours of a structured value that are tried at first, and if none of these is better
_STEPS = 30  # from neighbour to neighbour in a turn
_WALK = (0.999, *np.linspace(0.0, 1.0, 9)[-2:0:-1])  # fractions of the way from a start to an infeasible end
_POLISHING = 12  # rounds of perturbations around the best point, each of
_SPECKS = 48  # points, with sd
_WIDEST, _FINEST = 0.1, 1e-4  # of the box, shrunk
_SHRINK = 0.3  # when a round is in vain


class Climbers:
    """Points that only ever improve; what they are when time is over counts.

    Attributes:
        X: Where they and the neighbours of the best are, shape (at least b, d), filled; they exist but
            for the rounding of continuous columns.
        values: There.
    """

    def __init__(self, objective: Objective, region: Region, starts: Array, values: Array, unit: float) -> None:
        self.X, self.values = region.filled(starts), values.copy()
        if region.countable:
            self.values[~region.admits(starts)] = -np.inf
        self._objective, self._region, self._unit = objective, region, unit
        self._starts = len(starts)

    def climb(self, rng: np.random.Generator) -> None:
        """Move all of them to where no single step improves them, or until the turns are used up.

        Raises:
            DeadlineReached: if the time is over.
        """
        region, rows = self._region, np.arange(len(self.X))
        self._ascend(rows, region.relaxed)
        for _ in range(_ROUNDS if region.levels or region.structured else 0):
            rows = rows[self._sweep(rows, rng)]
            if rows.size == 0:
                break
            self._ascend(rows, region.continuous)
        for _ in range(_SHIFTS if region.structured or (region.levels and not region.countable) else 0):
            best = self.values.max()
            rows = self._neighbours(rng)
            self._ascend(rows, region.continuous)
            for p in region.structured:
                self._walk(rows, p, rng)
            if self.values.max() == best:
                break

    def _neighbours(self, rng: np.random.Generator) -> Rows:
        """Add the neighbours of the best one, at most as many as there were starts; their numbers.

        A level may be better with other numbers beside it only: no sweep finds that.
        """
        x, found = self.X[self.values.argmax()], []
        for column, levels in self._region.levels.items():
            here = int(np.abs(levels - x[column]).argmin())
            unordered = column in self._region.inputs.categorical
            for level in np.delete(levels, here) if unordered else levels[max(0, here - 1) : here + 2]:
                if level != x[column]:
                    found.append(x.copy())
                    found[-1][column] = level
        for p in self._region.structured:
            found += list(self._region.neighbours(x, p, rng, _AROUND))
        P = np.array(found).reshape(len(found), len(x))
        P = P[self._open(P)]
        values = self._objective.values(P)
        chosen = np.argsort(-values, kind="stable")[: self._starts]
        self.X = np.concatenate([self.X, P[chosen]])
        self.values = np.concatenate([self.values, values[chosen]])
        return np.arange(len(self.X) - len(chosen), len(self.X))

    # -- by gradients ----------------------------------------------------------------------------

    def _ascend(self, rows: Rows, columns: Rows) -> None:
        """Search from these rows over some columns, the others held."""
        low, high = (bound[columns] for bound in self._region.bounds)
        span = high - low
        if not span.any() or len(rows) == 0:
            return
        begun = self.X[rows]  # (r, d)
        # Then every point on the way counts; else only those that are put on levels and into the constraints.
        exact = columns is self._region.continuous and not self._region.constrained and not self._limited(columns)

        def points(U: Array, numbers: Rows) -> Array:
            P = begun[numbers]
            P[:, columns] = np.clip(low + U * span, low, high)
            return P

        worst = np.full(len(rows), -np.inf)  # losses seen from each start

        def loss(U: Array, numbers: Rows) -> tuple[Array, Array]:
            P = points(U, numbers)
            values, gradients = self._objective.values_and_grad(P)
            if exact:
                self._offer(rows[numbers], P, values)
            losses, slopes = self._losses(values, worst[numbers]), gradients[:, columns] * (span / -self._unit)
            worst[numbers] = np.maximum(worst[numbers], losses)
            return losses, slopes

        U = (begun[:, columns] - low) / np.where(span > 0, span, 1.0)
        ends = points(self._descended(loss, U, begun, columns), np.arange(len(rows)))
        if not exact:
            self._settle(rows, begun, ends)

    def _descended(self, loss: Loss, U: Array, begun: Array, columns: Rows) -> Array:
        """Ends of the searches in the box, or within the linear constraints where these have a say."""
        if not self._limited(columns):
            return descend(loss, U)
        polytopes = [self._region.polytope(columns, x) for x in begun]
        ends = U.copy()
        if all(len(polytope.c) == 0 for polytope in polytopes):
            ends = descend(loss, U)  # all at once, and right where it ends inside
            outside = [i for i, polytope in enumerate(polytopes) if not polytope.holds(ends[i])]
        else:
            outside = list(range(len(U)))
        for i in outside:
            ends[i] = descend_within(loss, U[i], i, polytopes[i])
        return ends

    def _losses(self, values: Array, worst: Array) -> Array:
        """Losses of order one; where there is no value, a little more than all that the start has seen."""
        losses = -values / self._unit
        return np.where(np.isfinite(values), losses, np.where(np.isfinite(worst), worst, 0.0) + 1.0)

    def _settle(self, rows: Rows, begun: Array, ends: Array) -> None:
        """Take the ends (r, d) as far as they are feasible on the way from the starts, and on levels."""
        P = self._on_levels(ends)
        fine = self._feasible(P)
        left = np.flatnonzero(~fine)
        if left.size:
            way = ends[left] - begun[left]
            steps = self._on_levels(np.concatenate([begun[left] + t * way for t in _WALK]))
            feasible = self._feasible(steps).reshape(len(_WALK), len(left))
            furthest = feasible.argmax(axis=0)  # they begin with the end
            P[left] = steps.reshape(len(_WALK), len(left), -1)[furthest, np.arange(len(left))]
            fine[left] = feasible.any(axis=0)
        self._offer(rows[fine], P[fine], self._objective.values(P[fine]))

    def _feasible(self, X: Array) -> Mask:
        return self._region.space.feasible(X) if self._region.constrained else np.ones(len(X), dtype=bool)

    def _on_levels(self, X: Array) -> Array:
        for column, levels in self._region.levels.items():
            X[:, column] = levels[np.abs(X[:, column, None] - levels).argmin(axis=1)]
        return X

    # -- level by level, neighbour by neighbour ----------------------------------------------------

    def _sweep(self, rows: Rows, rng: np.random.Generator) -> Mask:
        """Try the levels, or neighbours, of one parameter after the other; which of the rows moved, shape (r,)."""
        before = self.values[rows]
        for column, levels in self._region.levels.items():
            if len(levels) > 1:
                self._try(rows, column, self._choices(rows, column, levels, rng))
        for p in self._region.structured:
            self._walk(rows, p, rng)
        return self.values[rows] > before

    def _choices(self, rows: Rows, column: int, levels: Array, rng: np.random.Generator) -> Array:
        """Levels to try for each row, shape (r, l): all of a few, else those nearby and some elsewhere."""
        if len(levels) <= FEW or column in self._region.inputs.categorical:
            return np.broadcast_to(levels, (len(rows), len(levels)))
        here = np.abs(self.X[rows, column, None] - levels).argmin(axis=1)
        beside = np.clip(here[:, None] + np.array(_NEXT), 0, len(levels) - 1)
        chosen: Array = levels[np.hstack([beside, rng.integers(len(levels), size=(len(rows), _ELSEWHERE))])]
        return chosen

    def _try(self, rows: Rows, column: int, choices: Array) -> None:
        """Put each row on the best of its choices (r, l) for one column, if that is better."""
        P = np.repeat(self.X[rows], choices.shape[1], axis=0)  # (r l, d)
        changed = np.flatnonzero(P[:, column] != choices.ravel())
        P[:, column] = choices.ravel()
        values = np.full(len(P), -np.inf)
        values[changed] = self._worth(P[changed])
        best = np.arange(len(rows)) * choices.shape[1] + values.reshape(choices.shape).argmax(axis=1)
        self._offer(rows, P[best], values[best])

    def _walk(self, rows: Rows, p: Structure, rng: np.random.Generator) -> None:
        """Put each row on the best of its neighbours in a structured parameter, as long as that is better."""
        region, column = self._region, self._region.space.slices[p.name].start
        rows = rows[region.space.mask(self.X[rows])[:, column]]  # those where it exists
        counts = np.full(len(rows), _SOME)
        for _ in range(_STEPS):
            if rows.size == 0:
                break
            own = zip(self.X[rows], counts.tolist(), strict=True)
            around = [np.vstack([x, region.neighbours(x, p, rng, n)]) for x, n in own]
            P, edges = np.concatenate(around), np.cumsum([0, *map(len, around)])
            values = self._worth(P)
            best = np.array([i + values[i:j].argmax() for i, j in pairwise(edges)])
            moved = values[best] > self.values[rows]
            self._offer(rows, P[best], values[best])
            open_ = moved | (counts == _SOME)
            rows, counts = rows[open_], np.where(moved, _SOME, _AROUND)[open_]

    def _worth(self, P: Array) -> Array:
        """Values (n,) at points (n, d), -inf at those that are not open."""
        open_ = self._open(P)
        values = np.full(len(P), -np.inf)
        values[open_] = self._objective.values(P[open_])
        return values

    def _open(self, P: Array) -> Rows:
        """Numbers of the points (n, d) that are feasible and, where nothing moves them any further, may be proposed."""
        region, open_ = self._region, np.flatnonzero(self._feasible(P))
        if not region.countable:
            return open_
        return open_[region.admits(np.where(region.space.mask(P[open_]), P[open_], np.nan))]

    # -- both --------------------------------------------------------------------------------------

    def _offer(self, rows: Rows, P: Array, values: Array) -> None:
        """Move these rows to points (r, d) that are better than where they are."""
        better = values > self.values[rows]
        self.X[rows[better]], self.values[rows[better]] = P[better], values[better]

    def _limited(self, columns: Rows) -> bool:
        """Does a linear constraint limit any of these columns?"""
        moved = set(columns.tolist())
        return any(moved & set(row.columns.tolist()) for row in self._region.rows)


def polished(
    objective: Objective, region: Region, rng: np.random.Generator, x: Array, value: float
) -> tuple[Array, float]:
    """A better point beside x (d,) and its value, by perturbations that shrink; x itself if there is none.

    For what gradients do not know of: curved constraints, and points that may not be proposed.
    """
    columns = region.continuous
    low, high = region.bounds
    span, sd = (high - low)[columns], _WIDEST
    along = _along(region.polytope(columns, region.filled(x[None])[0]))
    for _ in range(_POLISHING):
        if len(columns) == 0 or sd < _FINEST:
            break
        P = np.repeat(region.filled(x[None]), _SPECKS, axis=0)
        P[:, columns] += rng.normal(size=(_SPECKS, len(columns))) @ along * (sd * span)
        P = existing(region, np.clip(P, low, high))
        P = P[region.admits(P)]
        values = objective.values(P)
        if len(P) and values.max() > value:
            x, value = P[values.argmax()], float(values.max())
        else:
            sd *= _SHRINK
    return x, value


def _along(polytope: Polytope) -> Array:
    """The projection (k, k) onto directions that keep the equalities."""
    k = polytope.C.shape[1]
    projection: Array = np.eye(k) - np.linalg.pinv(polytope.C) @ polytope.C if len(polytope.c) else np.eye(k)
    return projection
