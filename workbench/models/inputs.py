"""From encoded points to the inputs of a model: imputation of inactive columns, and their scale.

A conditional parameter that is inactive has no value. For a stationary kernel it is put at one
fixed place, so that points that differ only where nothing exists are the same point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Parameter, Space

VECTOR_REACH = 3.0  # a standard-normal column is searched and scaled within this many sd
_HALF = 0.5  # where an inactive box column is put


class Inputs:
    """The inputs of a model of one space.

    Attributes:
        categorical: Columns that hold the index of a choice.
        ordered: All other columns.
        bounds: Search box of encoded points, shape (2, d).
    """

    def __init__(self, space: Space) -> None:
        d = space.width
        self.space = space
        self.bounds = torch.zeros(2, d, dtype=torch.float64)
        self._shift = torch.zeros(d, dtype=torch.float64)
        self._scale = torch.ones(d, dtype=torch.float64)
        self._neutral = torch.full((d,), _HALF, dtype=torch.float64)
        categorical: list[int] = []
        for p in space:
            columns = range(*space.slices[p.name].indices(d))
            if p.box:
                self.bounds[1, columns] = 1.0
            elif p.cardinality is not None:
                categorical += columns
                self.bounds[1, columns] = p.cardinality - 1.0
                self._neutral[columns] = 0.0
            else:
                self.bounds[0, columns], self.bounds[1, columns] = -VECTOR_REACH, VECTOR_REACH
                self._shift[columns], self._scale[columns] = -VECTOR_REACH, 2 * VECTOR_REACH
                self._neutral[columns] = 0.0
        self.categorical = categorical
        self.ordered = [column for column in range(d) if column not in set(categorical)]
        self._conditions = [(space.slices[p.name], _condition(space, p)) for p in space if p.when]

    def from_encoded(self, X: NDArray[np.float64]) -> Tensor:
        """Imputed and scaled model inputs of encoded points with NaN, shape (n, d)."""
        return self.scaled(torch.from_numpy(np.array(X, dtype=np.float64)))

    def scaled(self, X: Tensor) -> Tensor:
        """Imputed and scaled model inputs, differentiable in the active columns.

        Args:
            X: Encoded points, shape (..., d); columns that their parents switch off are ignored.
        Returns:
            Tensor of the same shape.
        """
        X = torch.where(X.isnan(), self._neutral, X)
        for columns, parents in self._conditions:
            on = torch.ones(X.shape[:-1], dtype=torch.bool)
            for parent, allowed in parents:  # parents come first, so a switched-off parent is imputed by now
                on = on & (X[..., parent, None] - allowed).abs().lt(1e-6).any(-1)
            X = torch.where(self._mask(on, columns), self._neutral, X)
        return (X - self._shift) / self._scale

    def _mask(self, on: Tensor, columns: slice) -> Tensor:
        mask = torch.zeros(*on.shape, self.space.width, dtype=torch.bool)
        mask[..., columns] = ~on[..., None]
        return mask


def _condition(space: Space, parameter: Parameter) -> list[tuple[int, Tensor]]:
    """Column and encoded values of each parent that make the parameter exist."""
    assert parameter.when is not None
    return [
        (space.slices[parent].start, torch.from_numpy(space[parent].encode(list(values))[:, 0]))
        for parent, values in parameter.when.items()
    ]
