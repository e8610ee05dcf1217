"""The probability that limits hold, as an acquisition function and as a factor of others.

Limits are independent given their processes, so the logarithms of their probabilities add up.

Symbols: b candidates Z, d columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.acquisition.base import Posterior
from workbench.acquisition.combined import Summed
from workbench.acquisition.improvement import LogEI
from workbench.errors import InvalidValueError
from workbench.models.feasibility import Limit

Array = NDArray[np.float64]


class LogFeasibility:
    """Logarithm of the probability that independent limits hold; alone while nothing is feasible.

    Args:
        limits: At least one.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        if not limits:
            raise InvalidValueError("needs at least one Limit, got none; without constraints use LogEI")
        self._limits = tuple(limits)

    def value(self, Z: Array) -> Array:
        """Log probability, shape (b,), at Z (b, d)."""
        total: Array = np.sum([limit.log_probability(Z) for limit in self._limits], axis=0)
        return total

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log probability, shape (b,), and its gradient, shape (b, d)."""
        values, grads = zip(*(limit.log_probability_grad(Z) for limit in self._limits), strict=True)
        return np.sum(values, axis=0), np.sum(grads, axis=0)


class ConstrainedLogEI(Summed):
    """log EI + sum of log P(limit holds).

    Source: Gardner et al. 2014, Bayesian Optimization with Inequality Constraints, eq. 5.

    Args:
        posterior: Of the objective.
        best: Best feasible value; use `LogFeasibility` alone while there is none.
        limits: The constraints.
    """

    def __init__(self, posterior: Posterior, best: float, limits: Sequence[Limit]) -> None:
        super().__init__([LogEI(posterior, best), LogFeasibility(limits)])
