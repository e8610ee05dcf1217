"""Covariances in closed form: values and slopes of a product of one kernel over ordered columns and one over choices.

    k(x, x') = scale * g(r2) * exp(-h),  r2 = sum_j w_j |x_j - x'_j|^2,  h = sum_c v_c [x_c != x'_c]

with w_j = 1 / l_j^2 over ordered columns, and over blocks: columns that share one lengthscale, which hold the
features of a structured value (`embeddings`); and v_c over columns of choices c. g is exp(-r2 / 2) (RBF) or the
Matern-5/2 correlation (1 + s + s^2 / 3) exp(-s), s = sqrt(5 r2). Its derivative is written as -G / 2 with
G = -2 dg/dr2, which is g itself for RBF and (5/3) (1 + s) exp(-s) for Matern-5/2, finite at r2 = 0
(bayesian optimisation: Rasmussen and Williams 2006, eq. 4.17). So dk/dx_j = -G scale exp(-h) w_j (x_j - x'_j), and the
same G gives the slope in log l_j: dk/dlog l_j = G scale exp(-h) w_j (x_j - x'_j)^2.

A linear trend over ordered columns, h(x) . b with b ~ Normal(0, trend), adds trend * h(x) . h(x') with
h(x) = x - 1/2: the mean of the process is then a plane whose slopes are learnt with everything else.

The features of structured values move in jumps: no slope is asked of them, and theirs is given as 0.

Symbols: n, b points, p = n (n - 1) / 2 pairs, d columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
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
        upper = _upper(len(X))
        columns = np.ascontiguousarray(X.T)  # (d, n)
        squares = np.empty((len(ordered) + len(blocks), upper[0].size))
        own, shared = np.split(squares, [len(ordered)])
        for row, j in zip(own, ordered, strict=True):
            np.subtract(columns[j][upper[0]], columns[j][upper[1]], out=row)
        np.square(own, out=own)
        for row, block in zip(shared, blocks, strict=True):
            row[:] = _Scaled(X[:, block], np.ones(block.stop - block.start)).squares(X[:, block])[upper]
        differ = [columns[c][upper[0]] != columns[c][upper[1]] for c in choices]
        return cls(squares, np.array(differ, dtype=np.float64).reshape(len(choices), upper[0].size), len(X))


@lru_cache(maxsize=1)
def _upper(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.triu_indices(n, 1)


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
        trend: Variance of the slopes of a linear trend, 0 without one.
    """

    kind: Kind
    ordered: tuple[int, ...]
    choices: tuple[int, ...]
    lengths: Array
    weights: Array
    scale: float
    blocks: tuple[slice, ...] = ()
    trend: float = 0.0

    @cached_property
    def features(self) -> tuple[slice, Array]:
        """The columns of all blocks, and the lengthscale of each column."""
        if not self.blocks:
            return slice(0, 0), np.empty(0)
        widths = [block.stop - block.start for block in self.blocks]
        return slice(self.blocks[0].start, self.blocks[-1].stop), np.repeat(self.lengths[len(self.ordered) :], widths)

    @cached_property
    def own(self) -> slice | list[int]:
        """The ordered columns: as a slice where they come first, which spares a copy."""
        return slice(len(self.ordered)) if self.ordered == tuple(range(len(self.ordered))) else list(self.ordered)

    def between(self, Z: Array, X: Array) -> tuple[Array, Array]:
        """Covariances k(z, x) and slopes scale * G * exp(-h), both of shape (b, n)."""
        return Anchors(self, X).between(Z)

    def tilted(self, Z: Array) -> Array:
        """h(z), shape (b, d_o)."""
        h: Array = Z[:, self.own] - 0.5
        return h

    def variances(self, Z: Array) -> Array | float:
        """k(z, z), shape (b,) or the same for all."""
        return self.scale + self.trend * (self.tilted(Z) ** 2).sum(axis=1) if self.trend else self.scale


class Anchors:
    """A kernel with one of its arguments at n fixed points: what of the covariance depends on these alone, once.

    Args:
        kernel: The covariance.
        X: The points, shape (n, d).
    """

    def __init__(self, kernel: Kernel, X: Array) -> None:
        self.kernel, self.X = kernel, X
        lengths = kernel.lengths[: len(kernel.ordered)]
        tail, shared = kernel.features
        self._parts = [_Scaled(X[:, kernel.own], lengths)]
        if kernel.blocks:
            self._parts.append(_Scaled(X[:, tail], shared))
        self._inverse = lengths**-2.0
        self._weighted = X[:, kernel.own] * self._inverse  # (n, d_o)
        self._sloped = kernel.trend * kernel.tilted(X) if kernel.trend else None  # (n, d_o)

    def between(self, Z: Array) -> tuple[Array, Array]:
        """Covariances k(z, x) and slopes scale * G * exp(-h), both of shape (b, n), at Z (b, d)."""
        kernel = self.kernel
        r2 = self._parts[0].squares(Z[:, kernel.own])
        if kernel.blocks:
            r2 += self._parts[1].squares(Z[:, kernel.features[0]])
        k, G = correlation(kernel.kind, r2)
        factor: Array | float = kernel.scale
        if kernel.choices:
            apart = np.zeros(k.shape)
            for c, v in zip(kernel.choices, kernel.weights.tolist(), strict=True):
                apart += v * (Z[:, c, None] != self.X[None, :, c])
            factor = kernel.scale * np.exp(-apart)
        k, G = k * factor, (k if G is k else G) * factor
        if self._sloped is not None:
            k = k + kernel.tilted(Z) @ self._sloped.T
        return k, G

    def pull(self, c: Array, G: Array, Z: Array) -> Array:
        """sum_i c_i dk(z, x_i)/dz, shape (b, d), 0 in all but ordered columns.

        Args:
            c: Coefficients, shape (n,) or (b, n).
            G: Slopes at Z, as of `between`, shape (b, n).
            Z: Points, shape (b, d).
        """
        out, own = np.zeros(Z.shape), self.kernel.own
        along = c * G
        sums = along.sum(axis=1)[:, None] * self._inverse  # (b, d_o)
        out[:, own] = along @ self._weighted - sums * Z[:, own]
        if self._sloped is not None:
            out[:, own] += c @ self._sloped
        return out


class _Scaled:
    """Points (n, k) in units of the lengthscales, around their mean, which keeps squares small."""

    def __init__(self, X: Array, lengths: Array) -> None:
        self._lengths = lengths
        # a point far outside of the unit cube must not pull the centre away from all others
        self._centre = np.clip(X.mean(axis=0), 0.0, 1.0) if len(X) else np.zeros(X.shape[1])
        B = (X - self._centre) / lengths
        self._turned, self._norms = -2.0 * B.T, np.einsum("ij,ij->i", B, B)

    def squares(self, Z: Array) -> Array:
        """Squared distances (b, n) of Z (b, k)."""
        A = (Z - self._centre) / self._lengths
        r2: Array = A @ self._turned
        r2 += np.einsum("ij,ij->i", A, A)[:, None]
        r2 += self._norms
        return np.maximum(r2, 0.0, out=r2)
