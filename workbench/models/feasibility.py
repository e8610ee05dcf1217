"""Whether limits hold and trials succeed, as probabilities with gradients.

A limit bounds what is measured of a quantity with a process of its own. Whether a trial succeeds at all is a limit
too: a latent process g decides, and a trial fails where g + e > 0 with e standard normal. Given which trials failed,
the posterior of g is approximated by expectation propagation, which puts a normal density in the place of each label.
That is the exact posterior of a regression on the means of these densities with their variances as noise, so what is
built on `ExactPosterior` takes it. (Laplace's method was tried: where six trials in a row had failed it left a success
at 28 %, since far from g = 0 its curvature forgets the labels; see Kuss and Rasmussen 2005.)

The hyperparameters maximise the approximate evidence times priors: that of `exact` on lengths and choices,
variance ~ LogNormal(log 100, 1.5), by which most failures have a reason that repeats itself, and mean ~ Normal(-1, 1).
Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, algorithms 3.5 and 5.2, all sites of a
sweep at once.

Symbols: b candidates Z, n trials, d columns; mu, sd posterior moments; t = +1 for a failure and -1 for a success;
K the covariance of g at the trials.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import squareform
from scipy.special import log_ndtr

from workbench.errors import DeadlineReached
from workbench.models.exact import (
    Data,
    ExactPosterior,
    Factor,
    Prior,
    Settings,
    along,
    among,
    cholesky,
    half_solve,
    solve,
)
from workbench.models.kernels import Kernel, Kind, Pairs
from workbench.models.lbfgsb import Rules, minimum
from workbench.models.normal import LOG_SQRT_2PI, SD_FLOOR, hazard, log_interval, log_normal, log_normal_grad

Array = NDArray[np.float64]


_STEEPEST = 300.0  # log of a slope beyond which a search only wants its direction
SPREAD = 1.0  # sd of e
_KIND: Kind = "matern52"
_VARIANCE = (math.log(100.0), 1.5, math.log(0.1), math.log(1e4))  # prior mean, sd and range of log variance
_MEAN = (-1.0, 1.0, -5.0, 5.0)  # and of the mean
_SWEEPS = 60
_STILL = 1e-6  # largest change, in posterior standard deviations, at which the densities stand still
_LEAST_SHARE = 0.1  # of a change that is made
_PRECISION = 1e-9  # least of a density
_TOLERANCE = 1e-2  # of the projected gradient of the log posterior of hyperparameters
_GAIN = 2.2e-9  # a smaller relative gain of it ends a search
_COLD, _WARM = 60, 15  # most iterations


@dataclass(frozen=True)
class Limit:
    """lower <= f + spread * e <= upper, with e standard normal.

    Args:
        posterior: Of f.
        upper, lower: In units of the posterior; infinite where there is no such bound.
        spread: Standard deviation of what is bounded around f.
    """

    posterior: ExactPosterior
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


@dataclass(frozen=True)
class Labels:
    """Finished trials, some that failed and some that did not.

    Args:
        X: Model inputs, shape (n, d).
        failed: Which of them failed, shape (n,).
        ordered, choices: Columns of numbers and of choices.
        blocks: Columns that share a lengthscale.
    """

    X: Array
    failed: NDArray[np.bool_]
    ordered: tuple[int, ...]
    choices: tuple[int, ...]
    blocks: tuple[slice, ...] = ()

    @property
    def lengths(self) -> int:
        """Number of lengthscales."""
        return len(self.ordered) + len(self.blocks)

    @cached_property
    def pairs(self) -> Pairs:
        """Distances of all pairs, computed once."""
        return Pairs.of(self.X, self.ordered, self.choices, self.blocks)

    @cached_property
    def signs(self) -> Array:
        """t, shape (n,)."""
        return np.where(self.failed, 1.0, -1.0)

    @cached_property
    def prior(self) -> tuple[Array, Array, Array, Array]:
        """Mean, sd, low and high of theta = (log l, log 1 / (c v), log variance, mean)."""
        p, d = Prior(self.lengths, len(self.choices), False), self.lengths + len(self.choices)
        rows = [*np.stack([p.mean, p.sd, p.low, p.high], axis=1)[:d], _VARIANCE, _MEAN]
        mean, sd, low, high = np.array(rows).T
        return mean, sd, low, high

    def kernel(self, theta: Array) -> Kernel:
        """The covariance of g."""
        d, c = self.lengths, len(self.choices)
        values = np.exp(theta[:-1])
        weights = 1.0 / (max(c, 1) * values[d : d + c])
        return Kernel(_KIND, self.ordered, self.choices, values[:d], weights, float(values[d + c]), self.blocks)


def fit_failure(labels: Labels, warm: Settings | None, *, keep: bool, deadline: float | None = None) -> Settings:
    """Hyperparameters by maximum a posteriori under the approximate evidence.

    Args:
        labels: What to learn from.
        warm: Hyperparameters of an earlier fit, where this one begins.
        keep: Return those if there are any.
        deadline: `time.monotonic()` at which the search stops.
    """
    mean, _, low, high = labels.prior
    if warm is None or warm.theta.size != mean.size:
        warm = None
    elif keep:
        return warm
    start = np.clip(mean, low, high) if warm is None else np.clip(warm.theta, low, high)
    best = (np.inf, start)

    def loss(theta: Array) -> tuple[float, Array]:
        nonlocal best
        if deadline is not None and time.monotonic() >= deadline:
            raise DeadlineReached("the time given to the fit is over")
        value, slope = log_posterior(labels, theta)
        if -value < best[0]:
            best = (-value, np.array(theta))
        return -value, -slope

    with suppress(DeadlineReached):
        rules = Rules(rounds=_COLD if warm is None else _WARM, flat=_TOLERANCE, stalled=_GAIN)
        minimum(loss, start, low, high, rules)
    return Settings(_KIND, best[1])


def failure(labels: Labels, settings: Settings) -> ExactPosterior:
    """The posterior of g at some hyperparameters."""
    sites, mean = Sites.of(labels, settings.theta), float(settings.theta[-1])
    noise = 1.0 / np.maximum(sites.tau, _PRECISION)
    target = mean + sites.nu * noise
    L = cholesky(sites.K + np.diag(noise))
    weights = solve(L, (target - mean)[:, None])[:, 0]
    none = np.empty(0)
    data = Data(labels.X, target, noise, False, labels.ordered, labels.choices, labels.blocks)
    return ExactPosterior(data, Factor(labels.kernel(settings.theta), 0.0, L, mean, weights, none, none))


def log_posterior(labels: Labels, theta: Array) -> tuple[float, Array]:
    """Log of the approximate evidence times the prior, and its gradient in theta, shape (t,)."""
    sites = Sites.of(labels, theta)
    half = half_solve(sites.L, np.diag(sites.root))
    R = half.T @ half  # (K + 1 / tau)^-1
    b = sites.nu - R @ (sites.K @ sites.nu)
    W = squareform(np.outer(b, b) - R, checks=False)
    slope = along(labels.pairs, labels.kernel(theta), sites.k, sites.G, W, 0.5 * float(b @ b - np.trace(R)))
    mean, sd, _, _ = labels.prior
    gap = (theta - mean) / sd
    return sites.evidence - 0.5 * float(gap @ gap), np.append(slope, b.sum()) - gap / sd


@dataclass(frozen=True)
class Sites:
    """Expectation propagation: a normal density instead of each label, with the same first moments in its place.

    Args:
        K, k, G: Covariances, as a matrix and of the pairs, and their slopes.
        tau, nu: Precisions of the densities, and means times precisions, of g less its mean, shape (n,).
        root, L: tau^1/2, and the factor of I + tau^1/2 K tau^1/2.
        evidence: Logarithm of the approximate evidence.
    """

    K: Array
    k: Array
    G: Array
    tau: Array
    nu: Array
    root: Array
    L: Array
    evidence: float

    @classmethod
    def of(cls, labels: Labels, theta: Array) -> Sites:
        """All densities at once until they stand still; halfway where that would go to and fro."""
        t, n, mean, kernel = labels.signs, len(labels.signs), float(theta[-1]), labels.kernel(theta)
        k, G = among(labels.pairs, kernel)
        K = squareform(k, checks=False)
        K[np.diag_indices(n)] = kernel.scale
        tau, nu, share, last = np.zeros(n), np.zeros(n), 1.0, np.inf
        for _ in range(_SWEEPS):
            root, L, variance, mu = _moments(K, tau, nu)
            left = np.maximum(1.0 / variance - tau, _PRECISION)  # of the cavity, without the label
            centre = (mu / variance - nu) / left
            scale = np.sqrt(SPREAD**2 + 1.0 / left)
            z = t * (mean + centre) / scale
            rate = hazard(z)
            new_variance = 1.0 / left - rate * (z + rate) / (left * scale) ** 2
            new_mu = centre + t * rate / (left * scale)
            steps = np.maximum(1.0 / new_variance - left, _PRECISION) - tau, new_mu / new_variance - left * centre - nu
            move = float(np.abs(steps[0] * variance).max() + np.abs(steps[1] * np.sqrt(variance)).max())
            if move < _STILL:
                break
            share = share if move < last else max(0.5 * share, _LEAST_SHARE)
            tau, nu, last = tau + share * steps[0], nu + share * steps[1], move
        root, L, variance, mu = _moments(K, tau, nu)
        evidence = float(log_ndtr(z).sum() - np.log(np.diag(L)).sum() + 0.5 * np.log1p(tau / left).sum())
        evidence += 0.5 * float(nu @ mu - nu @ (nu / (left + tau)))
        evidence += 0.5 * float((centre * left / (left + tau)) @ (tau * centre - 2.0 * nu))
        return cls(K, k, G, tau, nu, root, L, evidence)


def _moments(K: Array, tau: Array, nu: Array) -> tuple[Array, Array, Array, Array]:
    """tau^1/2, the factor of I + tau^1/2 K tau^1/2, and posterior variances and means."""
    root = np.sqrt(tau)
    L = cholesky(np.eye(len(K)) + root[:, None] * K * root)
    V = half_solve(L, root[:, None] * K)
    variance = np.maximum(np.diag(K) - np.einsum("ij,ij->j", V, V), _PRECISION)
    return root, L, variance, K @ nu - V.T @ (V @ nu)
