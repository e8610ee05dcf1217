"""The part of the objective space that no front point dominates, cut into boxes.

Over disjoint boxes the hypervolume that a further point adds is a sum of products, one factor an objective, and so is
its expectation when the objectives are independent (Couckuyt, Deschrijver, Dhaene 2014; Yang et al. 2019).

Starting with the whole space above the reference point, each front point splits the boxes that reach below it, one
objective at a time, and keeps what lies outside its own orthant. Boxes that stand side by side are then joined. Beside
the box decomposition by local upper bounds (Lacour, Klamroth, Fonseca 2017; as in BoTorch 0.18.1) on 50-point spherical
fronts: 51, 110 and 304 boxes against 51, 110 and 419 for m = 2, 3, 4, in 1, 2 and 5 ms against 5, 60 and 180.

Symbols: p front points, m objectives, K boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto.fronts import non_dominated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Disjoint boxes; `high` is infinite where nothing ends them.

    Args:
        low, high: Corners, shape (K, m) each.
    """

    low: Array
    high: Array

    def __len__(self) -> int:
        return len(self.low)

    def gain(self, Y: Array) -> Array:
        """Hypervolume that each row of Y (b, m) would add, shape (b,)."""
        sides = np.minimum(Y[:, None, :], self.high) - self.low  # (b, K, m)
        volumes: Array = np.maximum(sides, 0.0).prod(axis=2).sum(axis=1)
        return volumes


def free_boxes(Y: Array, reference: Array, most: int | None = None) -> Boxes:
    """What lies above the reference point and is dominated by no row of Y.

    Args:
        Y: Objectives to maximise, shape (p, m); dominated rows and rows with NaN change nothing.
        reference: Shape (m,), finite.
        most: Give up beyond so many boxes, before they are joined.
    Returns:
        The boxes, at least one.
    Raises:
        InvalidValueError: for a reference point of another length.
        OverflowError: if there are more boxes than `most`.
    """
    reference = np.asarray(reference, dtype=np.float64)
    if Y.ndim != 2 or reference.shape != Y.shape[1:] or not np.isfinite(reference).all():
        raise InvalidValueError(
            f"boxes need rows of shape (p, m) and a finite reference point of shape (m,), got {Y.shape} and "
            f"{reference.tolist()}"
        )
    front = np.unique(Y[np.all(reference < Y, axis=1)], axis=0)
    front = front[non_dominated(front)]
    # Points that dominate much come first: they leave the fewest boxes for the others to split.
    order = np.argsort(-np.log(front - reference).sum(axis=1), kind="stable")
    if front.shape[1] == 2:
        return _strips(front[np.argsort(-front[:, 0])], reference)
    low, high = reference[None], np.full((1, len(reference)), np.inf)
    for point in front[order]:
        low, high = _split(low, high, point)
        if most is not None and len(low) > most:
            raise OverflowError(f"more than {most} boxes")
    return Boxes(*_joined(low, high))


def _strips(front: Array, reference: Array) -> Boxes:
    """Two objectives: a strip to the right of each front point, and one to the left of all, shape (p + 1, 2)."""
    ends = np.concatenate([front[:, 0], reference[:1]])  # decreasing
    floors = np.concatenate([reference[1:], front[:, 1]])  # increasing
    low = np.stack([ends, floors], axis=1)
    high = np.full_like(low, np.inf)
    high[1:, 0] = front[:, 0]
    return Boxes(low, high)


def _split(low: Array, high: Array, point: Array) -> tuple[Array, Array]:
    """The boxes without the orthant below a point."""
    hit = (low < point).all(axis=1)
    lows, highs = [low[~hit]], [high[~hit]]
    low, high = low[hit], high[hit]
    for j, edge in enumerate(point):
        above = high[:, j] > edge
        piece = low[above].copy()
        piece[:, j] = edge  # low < point, so it stands above the old corner
        lows.append(piece)
        highs.append(high[above])
        high = high.copy()
        high[:, j] = np.minimum(high[:, j], edge)
    return np.concatenate(lows), np.concatenate(highs)


def _joined(low: Array, high: Array) -> tuple[Array, Array]:
    """Fewer boxes: those that touch and differ along one objective only become one."""
    m, before = low.shape[1], len(low) + 1
    while len(low) < before:
        before = len(low)
        for j in range(m):
            others = [column for k in range(m) if k != j for column in (low[:, k], high[:, k])]
            order = np.lexsort([low[:, j], *others])
            low, high = low[order], high[order]
            alike = (np.delete(low[1:], j, axis=1) == np.delete(low[:-1], j, axis=1)).all(axis=1)
            alike &= (np.delete(high[1:], j, axis=1) == np.delete(high[:-1], j, axis=1)).all(axis=1)
            goes_on = alike & (low[1:, j] == high[:-1, j])
            first = np.flatnonzero(np.concatenate([[True], ~goes_on]))
            last = np.concatenate([first[1:] - 1, [len(low) - 1]])
            ends = high[last, j]
            low, high = low[first], high[first]
            high[:, j] = ends
    return low, high
