"""From encoded points to the inputs of a model: imputation of inactive columns, scales, features of structured values.

A conditional parameter that is inactive has no value. For a stationary kernel it is put at one
fixed place, so that points that differ only where nothing exists are the same point.

The inputs hold the encoded columns, scaled, and after them the features of structured parameters (`embeddings`),
whose own columns stay 0 and are part of no kernel.

Symbols: n points, d encoded columns, e model inputs (d and the features), X encoded points, Z model inputs.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from workbench.models.embeddings import Embedding, embedding
from workbench.space import Structure

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from workbench.space import Parameter, Space

    Array = NDArray[np.float64]

VECTOR_REACH = 3.0  # a standard-normal column is searched and scaled within this many sd
_FAR = 1e9  # an observed point further out, in box widths, counts as that far: its square would be no number
_HALF = 0.5  # where an inactive box column is put
_SAME = 1e-6  # two levels of a parent are further apart
_AT_ONCE = 1024  # rows whose features are in memory at once


class Inputs:
    """The inputs of a model of one space.

    Attributes:
        categorical: Columns that hold the index of a choice.
        ordered: All other columns, but for those of structured parameters.
        blocks: Columns of features that share a lengthscale, after the encoded columns.
        bendable: Columns of the unit interval, whose axes may be bent.
        low, high: Search box of encoded points, shape (d,) each.
    """

    def __init__(self, space: Space) -> None:
        d = space.width
        self.space = space
        self.low, self.high = np.zeros(d), np.zeros(d)
        self._shift, self._scale = np.zeros(d), np.ones(d)
        self._neutral = np.full(d, _HALF)
        categorical: list[int] = []
        structured: list[int] = []
        self._embeddings: list[tuple[slice, Embedding]] = []
        self.blocks: list[slice] = []
        bendable: list[int] = []
        for p in space:
            columns = range(*space.slices[p.name].indices(d))
            if p.box:
                self.high[columns] = 1.0
                bendable += columns
            elif isinstance(p, Structure):
                structured += columns
                self.low[columns], self.high[columns] = p.codes[0], p.codes[-1]
                self._scale[columns] = np.inf  # which makes them, and slopes in them, 0
                self._neutral[columns] = 0.0
                self._embed(space.slices[p.name], embedding(p))
            elif p.cardinality is not None:
                categorical += columns
                self.high[columns] = p.cardinality - 1.0
                self._neutral[columns] = 0.0
            else:
                self.low[columns], self.high[columns] = -VECTOR_REACH, VECTOR_REACH
                self._shift[columns], self._scale[columns] = -VECTOR_REACH, 2 * VECTOR_REACH
                self._neutral[columns] = 0.0
        self.categorical, self.bendable = categorical, tuple(bendable)
        still = {*categorical, *structured}
        self.ordered = [column for column in range(d) if column not in still]
        self._conditions = [(space.slices[p.name], _condition(space, p)) for p in space if p.when]

    def _embed(self, columns: slice, features: Embedding) -> None:
        self._embeddings.append((columns, features))
        for block in features.blocks:
            self.blocks.append(slice(self.width, self.width + block.width))

    @property
    def width(self) -> int:
        """Number of model inputs, e."""
        return self.blocks[-1].stop if self.blocks else self.space.width

    @property
    def columns(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[slice, ...]]:
        """Of the model inputs: ordered ones, choices, and blocks, as a kernel takes them."""
        return tuple(self.ordered), tuple(self.categorical), tuple(self.blocks)

    def apart(self, X: Array, centre: Array) -> tuple[Array, Array]:
        """How far points (n, d) are from one (d,): by encoded column, scaled (n, d), and squared over features (n,)."""
        middle, gaps, squares = self.model_points(centre[None]), [], []
        for i in range(0, max(len(X), 1), _AT_ONCE):
            own, features = np.split(
                np.abs(self.model_points(X[i : i + _AT_ONCE]) - middle), [self.space.width], axis=1
            )
            gaps.append(own)
            squares.append((features**2).sum(axis=1))
        return np.concatenate(gaps), np.concatenate(squares)

    def off(self, X: Array, centres: Array) -> Array:
        """Squared distance of points (n, d) from the nearest of k others (k, d), in model inputs, shape (n,)."""
        from scipy.spatial.distance import cdist

        M, blocks = self.model_points(centres), np.split(X, range(_AT_ONCE, len(X), _AT_ONCE))
        return np.concatenate([cdist(self.model_points(block), M, "sqeuclidean").min(axis=1) for block in blocks])

    def model_points(self, X: Array) -> Array:
        """Imputed and scaled model inputs.

        Args:
            X: Encoded points, shape (n, d); columns that are NaN or that their parents switch off are ignored.
        Returns:
            Array of shape (n, e).
        """
        X, ignored = self._imputed(X)
        Z = (X - self._shift) / self._scale
        return np.hstack([Z, *self._features(X, ignored)]) if self._embeddings else Z

    def _features(self, X: Array, ignored: NDArray[np.bool_]) -> list[Array]:
        """Features (n, f) of each structured parameter at imputed points (n, d), neutral where there is no value."""
        parts = []
        for columns, embedded in self._embeddings:
            F = embedded(X[:, columns])
            F[ignored[:, columns.start]] = embedded.neutral
            parts.append(F)
        return parts

    def pull_back(self, X: Array, dZ: Array) -> Array:
        """Gradient with respect to encoded points, from that with respect to `model_points(X)`.

        Args:
            X: Encoded points, shape (n, d).
            dZ: Gradient at their model inputs, shape (n, e).
        Returns:
            Gradient of shape (n, d), zero in columns of choices and of structured parameters, and where ignored.
        """
        dX = np.where(self._imputed(X)[1], 0.0, dZ[:, : len(self._scale)] / self._scale)
        dX[:, self.categorical] = 0.0
        return dX

    def _imputed(self, X: Array) -> tuple[Array, NDArray[np.bool_]]:
        """The points with neutral values where nothing exists, and the mask of these, shape (n, d) each."""
        ignored = np.isnan(X)
        X = np.where(ignored, self._neutral, X.clip(-_FAR, _FAR))
        for columns, parents in self._conditions:
            on = np.ones(len(X), dtype=bool)
            for parent, allowed in parents:  # parents come first: one that is switched off is ignored by now
                on &= ~ignored[:, parent] & (np.abs(X[:, parent, None] - allowed) < _SAME).any(axis=1)
            X[~on, columns] = self._neutral[columns]
            ignored[~on, columns] = True
        return X, ignored

    # -- for models made of tensors --------------------------------------------------------------

    @cached_property
    def bounds(self) -> Tensor:
        """Search box of encoded points, shape (2, d)."""
        import torch

        return torch.from_numpy(np.stack([self.low, self.high]))

    def from_encoded(self, X: Array) -> Tensor:
        """Imputed and scaled model inputs of encoded points with NaN, shape (n, e)."""
        import torch

        return self.scaled(torch.from_numpy(np.array(X, dtype=np.float64)))

    def scaled(self, X: Tensor) -> Tensor:
        """`model_points` of a tensor of shape (..., d), differentiable in the active columns."""
        import torch

        neutral = torch.from_numpy(self._neutral)
        ignored = X.isnan()
        X = torch.where(ignored, neutral, X.clamp(-_FAR, _FAR))
        for columns, parents in self._conditions:
            on = torch.ones(X.shape[:-1], dtype=torch.bool)
            for parent, allowed in parents:
                same = (X[..., parent, None] - torch.from_numpy(allowed)).abs().lt(_SAME).any(-1)
                on = on & same & ~ignored[..., parent]
            off = torch.zeros_like(ignored)
            off[..., columns] = ~on[..., None]
            ignored = ignored | off  # anew: the gradient remembers the mask before
            X = torch.where(ignored, neutral, X)
        Z = (X - torch.from_numpy(self._shift)) / torch.from_numpy(self._scale)
        if not self._embeddings:
            return Z
        rows = X.detach().reshape(-1, X.shape[-1]).numpy()
        parts = self._features(rows, ignored.reshape(rows.shape).numpy())
        return torch.cat([Z, *(torch.from_numpy(F).reshape(*X.shape[:-1], F.shape[1]) for F in parts)], dim=-1)


def _condition(space: Space, parameter: Parameter) -> list[tuple[int, Array]]:
    """Column and encoded values of each parent that make the parameter exist."""
    assert parameter.when is not None
    return [
        (space.slices[parent].start, space[parent].encode(list(values))[:, 0])
        for parent, values in parameter.when.items()
    ]
