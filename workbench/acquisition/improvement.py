"""Improvement over the incumbent: its expectation and its probability, and the upper confidence bound.

Closed forms with analytic gradients. Everything is in the standardised units of the surrogate, and maximised.
Source: Ament et al. 2023, Unexpected Improvements to Expected Improvement for Bayesian
Optimization (log EI and q-log EI); Frazier 2018, A Tutorial on Bayesian Optimization.

Symbols: b candidates Z, n observed points, d columns; mu, sd posterior
moments; z = (mu - best) / sd; phi, Phi, h as in `base`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from workbench.acquisition.base import Posterior
from workbench.acquisition.knowledge import KnowledgeGradient
from workbench.errors import InvalidValueError
from workbench.models.normal import (
    LOG_SQRT_2PI,
    SD_FLOOR,
    improvement_terms,
    log_interval,
    log_normal,
    log_normal_grad,
    log_sum_exp,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class LogEI:
    """Logarithm of the expected improvement over a noise-free incumbent, log sd + log h(z).

    Args:
        posterior: Of the objective.
        best: Incumbent, units of the posterior.
    """

    def __init__(self, posterior: Posterior, best: float) -> None:
        self._posterior, self._best = posterior, _finite("best", best)

    def value(self, Z: Array) -> Array:
        """Log expected improvement, shape (b,), at Z (b, d)."""
        mu, sd = self._posterior.mean_sd(Z)
        sd = np.maximum(sd, SD_FLOOR)
        logs: Array = np.log(sd) + improvement_terms((mu - self._best) / sd)[0]
        return logs

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log expected improvement, shape (b,), and its gradient, shape (b, d): (Phi dmu + phi dsd) / (sd h)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        sd = np.maximum(sd, SD_FLOOR)
        log_h, below, density = improvement_terms((mu - self._best) / sd)
        return np.log(sd) + log_h, (below / sd)[:, None] * dmu + (density / sd)[:, None] * dsd


class LogPI:
    """Logarithm of the probability of improvement, log Phi(z).

    Args:
        posterior: Of the objective.
        best: Incumbent, units of the posterior.
    """

    def __init__(self, posterior: Posterior, best: float) -> None:
        self._posterior, self._best = posterior, _finite("best", best)

    def value(self, Z: Array) -> Array:
        """Log probability, shape (b,), at Z (b, d)."""
        mu, sd = self._posterior.mean_sd(Z)
        return log_normal(mu - self._best, sd)

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log probability, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        return log_normal_grad(mu - self._best, sd, dmu, dsd)


class UCB:
    """Upper confidence bound mu + sqrt(beta) sd (Srinivas et al. 2010, GP-UCB); not a logarithm.

    Args:
        posterior: Of the objective.
        beta: Square of the number of sds, at least 0.
    """

    def __init__(self, posterior: Posterior, beta: float) -> None:
        if not beta >= 0:
            raise InvalidValueError(f"beta must be at least 0, got {beta}")
        self._posterior, self._root = posterior, math.sqrt(beta)

    def value(self, Z: Array) -> Array:
        """Bound, shape (b,), units of the posterior, at Z (b, d)."""
        mu, sd = self._posterior.mean_sd(Z)
        return mu + self._root * sd

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Bound, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        return mu + self._root * sd, dmu + self._root * dsd


class NoisyEI:
    """Logarithm of the decision-theoretic expected improvement under noise.

    The final choice falls on a measured point, by posterior mean: E[max over the observed points and
    x of the mean after measuring at x] - max over the observed points of the mean before. Exact, and
    plain EI without noise. The logarithm, because the gain falls as fast as that of EI.
    Source: Frazier 2018, section 5.1 (noisy evaluations).

    Args:
        posterior: Of the objective.
        Z_observed: Observed points, shape (n, d).
    """

    def __init__(self, posterior: Posterior, Z_observed: Array) -> None:
        self._gain = KnowledgeGradient(posterior, Z_observed, x_in_baseline=False)

    def value(self, Z: Array) -> Array:
        """Log gain, shape (b,), at Z (b, d)."""
        return self._gain.value(Z)

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log gain, shape (b,), and its gradient, shape (b, d), by the envelope theorem."""
        return self._gain.value_and_grad(Z)


class TargetEI:
    """Logarithm of the expected improvement of the utility -max(0, |f - target| - tolerance).

    The improvement of f is a trapezoid around the target, of height -best and half width w =
    tolerance - best at its foot: with ramps (f - p)^+, E(f - p)^+ = sd h((mu - p) / sd), four of them make it up,
    EI = sd [h(z_w) - h(z_tol) - h(z_-tol) + h(z_-w)], z_p = (p - |mu - target|) / sd. Where these cancel (a window that
    is small against sd), EI = integral over v from 0 to -best of P(|f - target| <= tolerance + v).
    An incumbent within the tolerance leaves nothing to gain: points then rank by the probability to
    be within it.

    Args:
        posterior: Of the raw objective, whose larger values are not better.
        target: In units of the posterior.
        tolerance: In units of the posterior, at least 0.
        best: Largest utility so far, at most 0.
    """

    def __init__(self, posterior: Posterior, target: float, tolerance: float, best: float) -> None:
        if not (tolerance >= 0 and best <= 0):
            raise InvalidValueError(
                f"needs tolerance >= 0 and best <= 0, got {tolerance} and {best}; the utility is "
                "-max(0, |y - target| - tolerance)"
            )
        self._posterior, self._target = posterior, _finite("target", target)
        self._tolerance, self._height = _finite("tolerance", tolerance), max(-_finite("best", best), SD_FLOOR)

    def value(self, Z: Array) -> Array:
        """Log expected improvement, shape (b,), at Z (b, d)."""
        return self._terms(*self._posterior.mean_sd(Z))[0]

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log expected improvement, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        logs, along_mu, along_sd = self._terms(mu, sd)
        return logs, along_mu[:, None] * dmu + along_sd[:, None] * dsd

    def _terms(self, mu: Array, sd: Array) -> tuple[Array, Array, Array]:
        """Log EI and its derivatives in mu and sd, shape (b,)."""
        sd = np.maximum(sd, SD_FLOOR)
        off = np.abs(mu - self._target)
        side = np.where(mu <= self._target, 1.0, -1.0)
        tolerance, foot = self._tolerance, self._tolerance + self._height
        z = (np.array([[foot], [tolerance], [-tolerance], [-foot]]) - off) / sd  # (4, b)
        log_h, below, density = improvement_terms(z)
        parts = _RAMPS * np.exp(log_h - log_h[0])
        total = parts.sum(axis=0)
        cancelled = total < _CANCELLED
        safe = np.where(cancelled, 1.0, total)
        logs = np.log(sd * safe) + log_h[0]
        along_mu, along_sd = (parts * below).sum(axis=0) / (sd * safe), (parts * density).sum(axis=0) / (sd * safe)
        if cancelled.any():
            logs[cancelled], along_mu[cancelled], along_sd[cancelled] = self._layers(off[cancelled], sd[cancelled])
        return logs, side * along_mu, along_sd

    def _layers(self, off: Array, sd: Array) -> tuple[Array, Array, Array]:
        """The same by layers, with the derivative in -|mu - target|."""
        reach = self._tolerance + self._height * _LAYERS[:, None]  # (4, b) with what follows
        low, high = (-off - reach) / sd, (reach - off) / sd
        logs = log_sum_exp(log_interval(low, high) + np.log(_LAYER_WEIGHTS)[:, None], axis=0)  # (b,)
        at_low, at_high = (np.exp(-0.5 * z * z - LOG_SQRT_2PI - logs) for z in (low, high))
        along_off = _LAYER_WEIGHTS @ (at_high - at_low) / sd
        along_sd = _LAYER_WEIGHTS @ (low * at_low - high * at_high) / sd
        return logs + math.log(self._height), along_off, along_sd


_RAMPS = np.array([[1.0], [-1.0], [-1.0], [1.0]])
_CANCELLED = 1e-4  # share of the largest ramp that is left; the ramps are good to 1e-12
_LAYERS, _LAYER_WEIGHTS = (np.asarray(v) for v in np.polynomial.legendre.leggauss(4))
_LAYERS, _LAYER_WEIGHTS = (_LAYERS + 1.0) / 2.0, _LAYER_WEIGHTS / 2.0


def _finite(name: str, number: float) -> float:
    if not math.isfinite(number):
        raise InvalidValueError(f"{name} must be a finite number in units of the posterior, got {number}")
    return float(number)
