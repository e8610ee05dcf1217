"""Sums, means and logarithms of acquisition functions.

Symbols: b candidates Z, d columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.acquisition.base import LOG_ZERO, Acquisition, batch_of
from workbench.errors import InvalidValueError
from workbench.models.normal import log_sum_exp

Array = NDArray[np.float64]

_LEAST = 1e-6  # of a gain, nats


class Summed:
    """Sum of acquisition functions: the product of what their logarithms stand for.

    Args:
        parts: At least one, such as `NoisyEI` and `LogFeasibility`.
    """

    def __init__(self, parts: Sequence[Acquisition]) -> None:
        self._parts = _some(parts)
        self.batch = min(map(batch_of, self._parts))

    def value(self, Z: Array) -> Array:
        """Sum, shape (b,), at Z (b, d)."""
        total: Array = np.sum([part.value(Z) for part in self._parts], axis=0)
        return total

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Sum, shape (b,), and its gradient, shape (b, d)."""
        values, grads = zip(*(part.value_and_grad(Z) for part in self._parts), strict=True)
        return np.sum(values, axis=0), np.sum(grads, axis=0)


class Averaged:
    """Mean over acquisition functions, one for each fantasy of the trials in flight or each fitted model.

    Args:
        parts: At least one.
        logs: Whether their values are logarithms of what is to be averaged.
    """

    def __init__(self, parts: Sequence[Acquisition], logs: bool = True) -> None:
        self._parts, self._logs = _some(parts), logs
        self.batch = min(map(batch_of, self._parts))

    def value(self, Z: Array) -> Array:
        """Mean, or log of the mean, shape (b,), at Z (b, d)."""
        values: Array = np.stack([part.value(Z) for part in self._parts])  # (parts, b)
        if not self._logs:
            mean: Array = values.mean(axis=0)
            return mean
        return log_sum_exp(np.maximum(values, LOG_ZERO), axis=0) - math.log(len(values))

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Mean, shape (b,), and its gradient, shape (b, d)."""
        pairs = [part.value_and_grad(Z) for part in self._parts]
        values = np.stack([value for value, _ in pairs])  # (parts, b)
        grads = np.stack([grad for _, grad in pairs])  # (parts, b, d)
        if not self._logs:
            return values.mean(axis=0), grads.mean(axis=0)
        values = np.maximum(values, LOG_ZERO)
        total = log_sum_exp(values, axis=0)
        return total - math.log(len(values)), np.einsum("pb,pbd->bd", np.exp(values - total), grads)


class Logarithm:
    """Logarithm of a gain that may be 0 or, by approximation, less: linear below a millionth, with the same slope.

    As a logarithm a gain is multiplied by the probability that limits hold when that is added.

    Args:
        part: The gain, such as `JES`.
    """

    def __init__(self, part: Acquisition) -> None:
        self._part = part

    def value(self, Z: Array) -> Array:
        """Log gain, shape (b,), at Z (b, d)."""
        return self._logs(self._part.value(Z))

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log gain, shape (b,), and its gradient, shape (b, d)."""
        gain, slope = self._part.value_and_grad(Z)
        return self._logs(gain), slope / np.maximum(gain, _LEAST)[:, None]

    @staticmethod
    def _logs(gain: Array) -> Array:
        logs: Array = np.log(np.maximum(gain, _LEAST)) + np.minimum(gain / _LEAST - 1.0, 0.0)
        return logs


def _some(parts: Sequence[Acquisition]) -> tuple[Acquisition, ...]:
    if not parts:
        raise InvalidValueError("needs at least one acquisition function, got none")
    return tuple(parts)
