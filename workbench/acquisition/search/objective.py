"""An acquisition function as a function of encoded points that stops when the time is over.

Symbols: n points, d encoded columns.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from workbench.acquisition.base import batch_of
from workbench.errors import DeadlineReached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.acquisition.base import Acquisition
    from workbench.models.inputs import Inputs

    Array = NDArray[np.float64]


class Objective:
    """Values and gradients at encoded points; -inf where the acquisition function has no finite value."""

    def __init__(self, acquisition: Acquisition, inputs: Inputs, deadline: float | None) -> None:
        self._acquisition, self._batch = acquisition, batch_of(acquisition)
        self._inputs = inputs
        self._deadline = deadline

    @property
    def late(self) -> bool:
        """Is the time over?"""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def screen(self, X: Array) -> Array:
        """Values (n,) at points (n, d) as far as the time reaches, -inf at the others.

        Raises:
            DeadlineReached: if that is not even one batch.
        """
        values = np.full(len(X), -np.inf)
        for i in range(0, len(X), self._batch):
            if self.late:
                if i == 0:
                    break
                return values
            values[i : i + self._batch] = self._finite(X[i : i + self._batch])
        else:
            return values
        raise DeadlineReached("the time given to the search is over")

    def values(self, X: Array, *, timed: bool = True) -> Array:
        """Values (n,) at points (n, d).

        Raises:
            DeadlineReached: if the time is over, unless `timed` is False.
        """
        blocks = []
        for i in range(0, len(X), self._batch):
            self._check(timed)
            blocks.append(self._finite(X[i : i + self._batch]))
        return np.concatenate(blocks) if blocks else np.empty(0)

    def values_and_grad(self, X: Array) -> tuple[Array, Array]:
        """Values (n,) and gradients (n, d) at points (n, d); the gradient is zero where there is no value.

        Raises:
            DeadlineReached: if the time is over.
        """
        self._check(True)
        values, gradients = self._acquisition.value_and_grad(self._inputs.model_points(X))
        gradients = self._inputs.pull_back(X, gradients)
        fine = np.isfinite(values) & np.isfinite(gradients).all(axis=1)
        if fine.all():
            return values, gradients
        return np.where(fine, values, -np.inf), np.where(fine[:, None], gradients, 0.0)

    def _finite(self, X: Array) -> Array:
        values = self._acquisition.value(self._inputs.model_points(X))
        return np.where(np.isfinite(values), values, -np.inf)

    def _check(self, timed: bool) -> None:
        if timed and self.late:
            raise DeadlineReached("the time given to the search is over")
