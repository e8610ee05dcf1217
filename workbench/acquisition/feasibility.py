"""The probability that limits hold, as an acquisition function and as a factor of others.

A limit bounds what is measured of a quantity of its own process, from above, from below or both. Whether a trial
succeeds at all is such a limit too: on the latent function of a classifier, seen through a standard normal.
Limits are independent given their processes, so the logarithms of their probabilities add up.

Symbols: b candidates Z, d columns; mu, sd posterior moments, s^2 = sd^2 + spread^2; z = (upper - mu) / s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.acquisition.base import (
    LOG_SQRT_2PI,
    SD_FLOOR,
    Posterior,
    log_interval,
    log_normal,
    log_normal_grad,
)
from workbench.acquisition.combined import Summed
from workbench.acquisition.improvement import LogEI
from workbench.errors import InvalidValueError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Limit:
    """lower <= f + spread * e <= upper, with e standard normal.

    Args:
        posterior: Of f.
        upper, lower: In units of the posterior; infinite where there is no such bound.
        spread: Standard deviation of what is bounded around f.
    """

    posterior: Posterior
    upper: float = 0.0
    lower: float = -math.inf
    spread: float = 0.0

    def log_probability(self, Z: Array) -> Array:
        """Log of the probability that it holds, shape (b,), at Z (b, d)."""
        mu, sd = self.posterior.mean_sd(Z)
        s = np.maximum(np.hypot(sd, self.spread), SD_FLOOR)
        if self.lower == -math.inf:
            return log_normal(self.upper - mu, s)
        if self.upper == math.inf:
            return log_normal(mu - self.lower, s)
        return self._between(mu, s)[0]

    def log_probability_grad(self, Z: Array) -> tuple[Array, Array]:
        """The same, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, dmu, dsd = self.posterior.mean_sd_grad(Z)
        s = np.maximum(np.hypot(sd, self.spread), SD_FLOOR)
        ds = (sd / s)[:, None] * dsd
        if self.lower == -math.inf:
            return log_normal_grad(self.upper - mu, s, -dmu, ds)
        if self.upper == math.inf:
            return log_normal_grad(mu - self.lower, s, dmu, ds)
        logs, low, high = self._between(mu, s)
        at_low, at_high = (np.exp(np.minimum(-0.5 * z * z - LOG_SQRT_2PI - logs, _STEEPEST)) for z in (low, high))
        along_mu, along_s = (at_low - at_high) / s, (low * at_low - high * at_high) / s
        return logs, along_mu[:, None] * dmu + along_s[:, None] * ds

    def _between(self, mu: Array, s: Array) -> tuple[Array, Array, Array]:
        """Log probability of the interval, and its ends in standard deviations."""
        low, high = (self.lower - mu) / s, (self.upper - mu) / s
        turned = low + high > 0  # the half where logarithms of Phi keep their digits
        return log_interval(np.where(turned, -high, low), np.where(turned, -low, high)), low, high


_STEEPEST = 300.0  # log of a slope beyond which a search only wants its direction


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
