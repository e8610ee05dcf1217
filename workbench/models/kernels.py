"""Covariances in closed form: values and slopes of a product of one kernel over ordered columns and one over choices.

    k(x, x') = scale * g(r2) * exp(-h),  r2 = sum_j w_j |x_j - x'_j|^2,  h = sum_c v_c [x_c != x'_c]

with w_j = 1 / l_j^2 over ordered columns, and over blocks: columns that share one lengthscale, which hold the
features of a structured value (`embeddings`); and v_c over columns of choices c. g is exp(-r2 / 2) (RBF) or the
Matern-5/2 correlation (1 + s + s^2 / 3) exp(-s), s = sqrt(5 r2). Its derivative is written as -G / 2 with
G = -2 dg/dr2, which is g itself for RBF and (5/3) (1 + s) exp(-s) for Matern-5/2, finite at r2 = 0
(bayesian optimisation: Rasmussen and Williams 2006, eq. 4.17). So dk/dx_j = -G scale exp(-h) w_j (x_j - x'_j), and the
same G gives the slope in log l_j: dk/dlog l_j = G scale exp(-h) w_j (x_j - x'_j)^2.

The features of structured values move in jumps: no slope is asked of them, and theirs is given as 0.

Symbols: n, b points, p = n (n - 1) / 2 pairs, d columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal["rbf", "matern52"]
KINDS: tuple[Kind, ...] = ("matern52", "rbf")


def correlation(kind: Kind, r2: Array) -> tuple[Array, Array]:
    """g and G of squared distances r2 of any shape."""
    if kind == "rbf":
        g = np.exp(-0.5 * r2)
        return g, g
    s = np.sqrt(5.0 * r2)
    decay = np.exp(-s)
    slope = (1.0 + s) * decay
    return slope + (5.0 / 3.0) * r2 * decay, (5.0 / 3.0) * slope


@dataclass(frozen=True)
class Pairs:
    """Squared distances of all pairs of n points, column by column, in the order of `np.triu_indices(n, 1)`.

    Args:
        squares: |x_j - x'_j|^2 of the ordered columns, then of the blocks, shape (d_o + d_b, p).
        differ: [x_c != x'_c] of the columns of choices, shape (d_c, p).
        n: Number of points.
    """

    squares: Array
    differ: Array
    n: int

    @classmethod
    def of(cls, X: Array, ordered: Sequence[int], choices: Sequence[int], blocks: Sequence[slice] = ()) -> Pairs:
        """The pairs of points X (n, d)."""
        upper = np.triu_indices(len(X), 1)
        columns = np.ascontiguousarray(X.T)  # (d, n)
        squares = np.empty((len(ordered) + len(blocks), upper[0].size))
        own, shared = np.split(squares, [len(ordered)])
        for row, j in zip(own, ordered, strict=True):
            np.subtract(columns[j][upper[0]], columns[j][upper[1]], out=row)
        np.square(own, out=own)
        for row, block in zip(shared, blocks, strict=True):
            row[:] = _apart(X[:, block], X[:, block])[upper]
        differ = [columns[c][upper[0]] != columns[c][upper[1]] for c in choices]
        return cls(squares, np.array(differ, dtype=np.float64).reshape(len(choices), upper[0].size), len(X))


@dataclass(frozen=True)
class Kernel:
    """One covariance with its hyperparameters.

    Args:
        kind: Of g.
        ordered, choices: Columns of the inputs.
        lengths: l_j of the ordered columns, then of the blocks, shape (d_o + d_b,).
        weights: v_c, shape (d_c,).
        scale: Variance of the process.
        blocks: Columns that share a lengthscale, one block right after the other.
    """

    kind: Kind
    ordered: tuple[int, ...]
    choices: tuple[int, ...]
    lengths: Array
    weights: Array
    scale: float
    blocks: tuple[slice, ...] = ()

    @cached_property
    def features(self) -> tuple[slice, Array]:
        """The columns of all blocks, and the lengthscale of each column."""
        if not self.blocks:
            return slice(0, 0), np.empty(0)
        widths = [block.stop - block.start for block in self.blocks]
        return slice(self.blocks[0].start, self.blocks[-1].stop), np.repeat(self.lengths[len(self.ordered) :], widths)

    def between(self, Z: Array, X: Array) -> tuple[Array, Array]:
        """Covariances k(z, x) and slopes scale * G * exp(-h), both of shape (b, n)."""
        k, G = correlation(self.kind, self._squares(Z, X))
        factor: Array | float = self.scale
        if self.choices:
            apart = np.zeros(k.shape)
            for c, v in zip(self.choices, self.weights.tolist(), strict=True):
                apart += v * (Z[:, c, None] != X[None, :, c])
            factor = self.scale * np.exp(-apart)
        return k * factor, (k if G is k else G) * factor

    def _squares(self, Z: Array, X: Array) -> Array:
        """r2 of shape (b, n)."""
        own = self.lengths[: len(self.ordered)]
        r2 = _apart(Z[:, self.ordered] / own, X[:, self.ordered] / own)
        if self.blocks:
            tail, lengths = self.features
            r2 += _apart(Z[:, tail] / lengths, X[:, tail] / lengths)
        return r2

    def pull(self, coefficients: Array, Z: Array, X: Array) -> Array:
        """sum_i c_i dk(z, x_i)/dz for slopes times coefficients (b, n), shape (b, d); 0 in all but ordered columns."""
        out = np.zeros(Z.shape)
        sums = coefficients.sum(axis=1)[:, None]  # (b, 1)
        inner = coefficients @ X[:, self.ordered]  # (b, d_o)
        out[:, self.ordered] = (inner - sums * Z[:, self.ordered]) / self.lengths[: len(self.ordered)] ** 2
        return out


def _apart(A: Array, B: Array) -> Array:
    """Squared distances (b, n) of points: by one product, which loses no digits that matter in the unit cube."""
    centre = B.mean(axis=0) if len(B) else 0.0  # keeps the squares small
    A, B = A - centre, B - centre
    r2 = A @ (-2.0 * B.T)
    r2 += np.einsum("ij,ij->i", A, A)[:, None]
    r2 += np.einsum("ij,ij->i", B, B)
    return np.maximum(r2, 0.0, out=r2)
