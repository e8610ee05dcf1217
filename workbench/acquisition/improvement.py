"""Improvement over the incumbent: its expectation, its probability, and what else ranks single points.

Closed forms with analytic gradients. Everything is in the standardised units of the surrogate, and maximised.
Source: Ament et al. 2023, Unexpected Improvements to Expected Improvement for Bayesian
Optimization (log EI and q-log EI); Frazier 2018, A Tutorial on Bayesian Optimization.

Symbols: b candidates Z, n observed points, d columns, f Fourier frequencies; mu, sd posterior
moments; z = (mu - best) / sd; phi, Phi, h as in `base`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import log_ndtr

from workbench.acquisition.base import (
    LOG_SQRT_2PI,
    LOG_ZERO,
    SD_FLOOR,
    Acquisition,
    Posterior,
    hazard,
    improvement_terms,
    joint_samples,
    log_interval,
    log_sum_exp,
)
from workbench.acquisition.knowledge import KnowledgeGradient
from workbench.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# -- closed forms ------------------------------------------------------------------------------


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
        return _log_normal(mu - self._best, sd)

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log probability, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        return _log_normal_grad(mu - self._best, sd, dmu, dsd)


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


# -- constraints and combinations --------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """A measured constraint: feasible where its function is at most `upper`, in units of its posterior."""

    posterior: Posterior
    upper: float = 0.0


class LogFeasibility:
    """Logarithm of the probability that independent constraints are met; alone while nothing is feasible.

    Args:
        limits: The constraints, at least one.
    """

    def __init__(self, limits: Sequence[Limit]) -> None:
        if not limits:
            raise InvalidValueError("needs at least one Limit, got none; without constraints use LogEI")
        self._limits = tuple(limits)

    def value(self, Z: Array) -> Array:
        """Log probability, shape (b,), at Z (b, d)."""
        total = np.zeros(len(Z))
        for limit in self._limits:
            mu, sd = limit.posterior.mean_sd(Z)
            total += _log_normal(limit.upper - mu, sd)
        return total

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log probability, shape (b,), and its gradient, shape (b, d)."""
        total, slope = np.zeros(len(Z)), np.zeros_like(Z)
        for limit in self._limits:
            mu, sd, dmu, dsd = limit.posterior.mean_sd_grad(Z)
            logs, grad = _log_normal_grad(limit.upper - mu, sd, -dmu, dsd)
            total, slope = total + logs, slope + grad
        return total, slope


class Summed:
    """Sum of acquisition functions: the product of what their logarithms stand for.

    Args:
        parts: At least one, such as `NoisyEI` and `LogFeasibility`.
    """

    def __init__(self, parts: Sequence[Acquisition]) -> None:
        self._parts = _some(parts)

    def value(self, Z: Array) -> Array:
        """Sum, shape (b,), at Z (b, d)."""
        total: Array = np.sum([part.value(Z) for part in self._parts], axis=0)
        return total

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Sum, shape (b,), and its gradient, shape (b, d)."""
        values, grads = zip(*(part.value_and_grad(Z) for part in self._parts), strict=True)
        return np.sum(values, axis=0), np.sum(grads, axis=0)


class ConstrainedLogEI:
    """log EI + sum of log P(constraint met) (Gardner et al. 2014, Inequality-constrained BO).

    Args:
        posterior: Of the objective.
        best: Best feasible value; use `LogFeasibility` alone while there is none.
        limits: The constraints.
    """

    def __init__(self, posterior: Posterior, best: float, limits: Sequence[Limit]) -> None:
        self._sum = Summed([LogEI(posterior, best), LogFeasibility(limits)])

    def value(self, Z: Array) -> Array:
        """Log constrained EI, shape (b,), at Z (b, d)."""
        return self._sum.value(Z)

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log constrained EI, shape (b,), and its gradient, shape (b, d)."""
        return self._sum.value_and_grad(Z)


class Averaged:
    """Mean over acquisition functions, one for each fantasy of the trials in flight or each fitted model.

    Args:
        parts: At least one.
        logs: Whether their values are logarithms of what is to be averaged.
    """

    def __init__(self, parts: Sequence[Acquisition], logs: bool = True) -> None:
        self._parts, self._logs = _some(parts), logs

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


# -- Thompson sampling -------------------------------------------------------------------------


@dataclass(frozen=True)
class StationaryProcess:
    """What a draw over the continuous space needs to know of a Gaussian process.

    Args:
        kernel: "rbf", or "matern52".
        lengthscales: Of the columns, shape (d,).
        variance: Of the function before data.
        mean: Constant mean before data.
        Z: Observed points, shape (n, d).
        y: Observed values, shape (n,).
        noise: Variances of the observations, shape (n,).
    """

    kernel: Literal["rbf", "matern52"]
    lengthscales: Array
    variance: float
    mean: float
    Z: Array
    y: Array
    noise: Array

    def covariance(self, A: Array, B: Array) -> tuple[Array, Array]:
        """k(A, B) and -dk / d(r^2 / 2), shape (len(A), len(B)), r the scaled distance."""
        U, V = A / self.lengthscales, B / self.lengthscales
        r2 = np.maximum((U * U).sum(axis=1)[:, None] + (V * V).sum(axis=1) - 2.0 * U @ V.T, 0.0)
        if self.kernel == "rbf":
            k = self.variance * np.exp(-0.5 * r2)
            return k, k
        r = np.sqrt(5.0 * r2)
        decay = self.variance * np.exp(-r)
        return (1.0 + r + r * r / 3.0) * decay, (5.0 / 3.0) * (1.0 + r) * decay


class Thompson:
    """Draws functions from the posterior, each an acquisition function on the continuous space.

    A draw of the prior from random Fourier features, corrected at the data by Matheron's rule:
    f(z) + k(z, Z) C^-1 (y - f(Z) - eps). Exact at the data; elsewhere the features approximate the
    prior covariance to about 1 / sqrt(features). On a finite set use `thompson_rows`, which is exact.
    Source: Wilson et al. 2020, Efficiently Sampling Functions from Gaussian Process Posteriors.

    Args:
        process: The Gaussian process.
        features: Number of frequencies, each with a sine and a cosine.
    """

    def __init__(self, process: StationaryProcess, features: int = 512) -> None:
        if process.kernel not in {"rbf", "matern52"}:
            raise InvalidValueError(
                f"kernel must be 'rbf' or 'matern52', got {process.kernel!r}; for others use thompson_rows"
            )
        self._process, self._features = process, features
        C = process.covariance(process.Z, process.Z)[0] + np.diag(process.noise)
        C[np.diag_indices_from(C)] += 1e-10 * process.variance  # duplicates without noise
        self._factor = cho_factor(C, lower=True) if len(C) else None

    def draw(self, rng: np.random.Generator) -> Draw:
        """One function of the posterior."""
        p, f = self._process, self._features
        omega = rng.standard_normal((f, len(p.lengthscales)))
        if p.kernel == "matern52":  # its spectral density is Student's t with 5 degrees of freedom
            omega *= np.sqrt(5.0 / rng.chisquare(5.0, size=(f, 1)))
        omega /= p.lengthscales
        weights = rng.standard_normal((2, f)) * math.sqrt(p.variance / f)
        prior = Draw(p, omega, weights, np.zeros(len(p.Z)))
        eps = rng.standard_normal(len(p.Z)) * np.sqrt(p.noise)
        if self._factor is None:
            return prior
        return Draw(p, omega, weights, cho_solve(self._factor, p.y - prior.value(p.Z) - eps))


@dataclass(frozen=True)
class Draw:
    """One function: Fourier features and a correction at the data. Made by `Thompson.draw`.

    Args:
        process: Whose posterior it is from.
        omega: Frequencies, shape (f, d).
        weights: Of the cosines and of the sines, shape (2, f).
        correction: C^-1 (y - f(Z) - eps), shape (n,).
    """

    process: StationaryProcess
    omega: Array
    weights: Array
    correction: Array

    def value(self, Z: Array) -> Array:
        """Values, shape (b,), units of the posterior, at Z (b, d)."""
        phase = Z @ self.omega.T  # (b, f)
        prior = np.cos(phase) @ self.weights[0] + np.sin(phase) @ self.weights[1]
        values: Array = self.process.mean + prior + self.process.covariance(Z, self.process.Z)[0] @ self.correction
        return values

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Values, shape (b,), and gradients, shape (b, d)."""
        p, phase = self.process, Z @ self.omega.T  # (b, f)
        cos, sin = np.cos(phase), np.sin(phase)
        k, slope = p.covariance(Z, p.Z)  # (b, n)
        values = p.mean + cos @ self.weights[0] + sin @ self.weights[1] + k @ self.correction
        pull = slope * self.correction  # (b, n); dk/dz = -slope (z - z') / l^2
        towards = (pull @ p.Z - pull.sum(axis=1)[:, None] * Z) / p.lengthscales**2
        return values, (cos * self.weights[1] - sin * self.weights[0]) @ self.omega + towards


def thompson_rows(posterior: Posterior, Z: Array, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of the candidates at which n joint samples of the posterior are largest.

    Args:
        posterior: Of the objective.
        Z: Candidates, shape (b, d).
        n: Number of samples.
        rng: Source of randomness.
    Returns:
        Row numbers, shape (n,); one may come several times.
    """
    rows: NDArray[np.int64] = joint_samples(posterior, Z, n, rng).argmax(axis=1)
    return rows


def _log_normal(distance: Array, sd: Array) -> Array:
    """log Phi(distance / sd)."""
    logs: Array = log_ndtr(distance / np.maximum(sd, SD_FLOOR))
    return logs


def _log_normal_grad(distance: Array, sd: Array, ddistance: Array, dsd: Array) -> tuple[Array, Array]:
    """log Phi(distance / sd), shape (b,), and its gradient, shape (b, d)."""
    sd = np.maximum(sd, SD_FLOOR)
    z = distance / sd
    scale = hazard(z) / sd
    return log_ndtr(z), scale[:, None] * ddistance - (scale * z)[:, None] * dsd


def _finite(name: str, number: float) -> float:
    if not math.isfinite(number):
        raise InvalidValueError(f"{name} must be a finite number in units of the posterior, got {number}")
    return float(number)


def _some(parts: Sequence[Acquisition]) -> tuple[Acquisition, ...]:
    if not parts:
        raise InvalidValueError("needs at least one acquisition function, got none")
    return tuple(parts)
