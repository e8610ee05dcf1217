"""Knowledge gradient: what one more measurement is expected to add to the largest posterior mean.

After a measurement at x the posterior mean at x' is a line in a standard normal Z,
mu(x') + b(x', x) Z with b(x', x) = S(x', x) / sqrt(S(x, x) + noise). The expectation of the largest
of finitely many lines is exact: it is a sum over the break points of their upper envelope.
Source: Frazier 2018, A Tutorial on Bayesian Optimization, section 4.2; Frazier, Powell, Dayanik
2009, The Knowledge-Gradient Policy for Correlated Normal Beliefs, algorithm 1.

Symbols: b candidates Z, k points A, K lines on an envelope; a intercepts, b slopes, c break
points; S posterior covariance, T = sqrt(sd^2 + noise); wa, wb derivatives of the log gain in a, b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.acquisition.base import LOG_ZERO, Array, Posterior
from workbench.errors import InvalidValueError
from workbench.models.normal import SD_FLOOR, improvement_terms, log_sum_exp

Rows = NDArray[np.int64]

_RARE = 2.5  # sd; of 1.5, 2, 2.5 and 3 the least median gap to continuous KG at 8 outcomes, d = 2
_ROUNDING = 1e-14  # of a mean or a covariance, in standardised units
_FURTHEST = 1e150  # a break point beyond any that counts, whose square is still a float


@dataclass(frozen=True)
class Envelope:
    """Upper envelopes of b sets of lines, from the smallest slope to the largest.

    Args:
        lines: Index of each line on the envelope, shape (b, K); the last one repeated where there are fewer.
        breaks: Where each gives way to the next, shape (b, K - 1); infinite where there are fewer.
    """

    lines: Rows
    breaks: Array


def envelope(a: Array, b: Array, parallel: Array | float = 0.0) -> Envelope:
    """Exact upper envelope of the lines a + b Z.

    Walks from the line of smallest slope to the one that overtakes it first, all sets at once:
    K steps of O(k), where K is rarely above 20. Of parallel lines the highest counts, of lines
    through one point the steepest.

    Args:
        a: Intercepts, shape (b, k).
        b: Slopes, shape (b, k).
        parallel: Slopes that differ by no more count as equal, shape (b, 1) or one number.
    Returns:
        The envelopes.
    Raises:
        InvalidValueError: if the shapes are not equal and two-dimensional, or k = 0.
    """
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] == 0:
        raise InvalidValueError(
            f"intercepts and slopes must both have the shape (b, k) with k >= 1, got {a.shape} and {b.shape}; "
            "pass one set of lines as a[None], b[None]"
        )
    parallel = np.broadcast_to(parallel, (len(a), 1))
    current = np.where(b <= b.min(axis=1, keepdims=True) + parallel, a, -np.inf).argmax(axis=1)
    lines, breaks = [current], list[Array]()
    walking = np.arange(len(a))
    while True:
        here = lines[-1][walking, None]
        A, B = a[walking], b[walking]
        rise = B - np.take_along_axis(B, here, axis=1)
        ahead = rise > parallel[walking]
        goes_on = ahead.any(axis=1)
        if not goes_on.all():
            walking, here = walking[goes_on], here[goes_on]
            A, B, rise, ahead = A[goes_on], B[goes_on], rise[goes_on], ahead[goes_on]
        if walking.size == 0:
            break
        drop = np.take_along_axis(A, here, axis=1) - A
        with np.errstate(over="ignore"):  # slopes that differ by less than 1e-300
            c = np.divide(drop, rise, out=np.full_like(A, np.inf), where=ahead)
        first = c.min(axis=1, keepdims=True)
        following, at = lines[-1].copy(), np.full(len(a), np.inf)
        following[walking] = np.where(ahead & (c == first), B, -np.inf).argmax(axis=1)
        at[walking] = np.clip(first[:, 0], -_FURTHEST, _FURTHEST)
        lines.append(following)
        breaks.append(at)
    return Envelope(np.stack(lines, axis=1), np.stack(breaks, axis=1) if breaks else np.empty((len(a), 0)))


def expected_max_gain(a: Array, b: Array) -> Array:
    """E max_j (a_j + b_j Z) - max_j a_j, never negative.

    Sum over the break points of the envelope of (b_{k+1} - b_k) h(-|c_{k+1}|): equal to Frazier's
    form and free of its cancellation.

    Args:
        a: Intercepts, shape (b, k).
        b: Slopes, shape (b, k).
    Returns:
        Gains, shape (b,), units of a.
    """
    gain: Array = np.exp(log_expected_max_gain(a, b)[0])
    return gain


def log_expected_max_gain(a: Array, b: Array, parallel: Array | float = 0.0) -> tuple[Array, Array, Array]:
    """Logarithm of the expected gain, and its derivatives by the envelope theorem.

    A break point c = (a_k - a_l) / (b_l - b_k) of neighbours k, l adds t = (b_l - b_k) h(-|c|), with
    dt/d(a_k - a_l) = -sign(c) Phi(-|c|) and dt/d(b_l - b_k) = phi(c).

    Args:
        a: Intercepts, shape (b, k).
        b: Slopes, shape (b, k).
        parallel: Slopes that differ by no more count as equal, as by the rounding of two lines that are one:
            their difference would pass for a gain of 1e-16, which is much among logarithms.
    Returns:
        Log gain, shape (b,), `LOG_ZERO` where all slopes are equal; its derivatives in a and in b, shape (b, k).
    """
    hull = envelope(a, b, parallel)
    wa, wb = np.zeros_like(a), np.zeros_like(b)
    if hull.breaks.shape[1] == 0:
        return np.full(len(a), LOG_ZERO), wa, wb
    left, right = hull.lines[:, :-1], hull.lines[:, 1:]  # (b, K - 1)
    there = np.isfinite(hull.breaks)
    c = np.where(there, hull.breaks, 0.0)
    rise = np.where(there, np.take_along_axis(b, right, axis=1) - np.take_along_axis(b, left, axis=1), 1.0)
    log_h, below, density = improvement_terms(-np.abs(c))
    log_t = np.where(there, np.maximum(np.log(rise) + log_h, LOG_ZERO), LOG_ZERO)
    logs = log_sum_exp(log_t, axis=1)  # (b,)
    share = np.where(log_t > LOG_ZERO, np.exp(log_t - logs[:, None]) / rise, 0.0)  # (b, K - 1)
    rows = np.arange(len(a))[:, None]
    by_a, by_b = share * below * np.sign(c), share * density
    np.add.at(wa, (rows, left), -by_a)
    np.add.at(wa, (rows, right), by_a)
    np.add.at(wb, (rows, left), -by_b)
    np.add.at(wb, (rows, right), by_b)
    return np.maximum(logs, LOG_ZERO), wa, wb


class KnowledgeGradient:
    """Logarithm of the exact knowledge gradient over a finite set of points.

    Args:
        posterior: Of the objective.
        A: Where the final choice may fall, shape (k, d).
        with_x: Whether it may also fall on the candidate.
        x_in_baseline: Whether the candidate counts in the largest mean of today, which is subtracted. False
            gives the tutorial's decision-theoretic noisy EI (section 5.1 of Frazier 2018) for A = observed points.
    """

    def __init__(self, posterior: Posterior, A: Array, with_x: bool = True, x_in_baseline: bool = True) -> None:
        if A.ndim != 2 or len(A) == 0:
            raise InvalidValueError(f"A must hold points as rows, shape (k, d) with k >= 1, got {A.shape}")
        self._posterior, self._A = posterior, A
        self._means, self._sds = posterior.mean_sd(A)
        self._with_x = with_x
        self._baseline = float(self._means.max()) if with_x and not x_in_baseline else None

    def value(self, Z: Array) -> Array:
        """Log gain, shape (b,), log units of the posterior, at Z (b, d)."""
        mu, sd = self._posterior.mean_sd(Z)
        a, S, T = self._lines(Z, mu, sd)
        return self._gain(a, S, T)[0]

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log gain, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        a, S, T = self._lines(Z, mu, sd)
        logs, wa, wb = self._gain(a, S, T)
        k = len(self._A)
        used = np.flatnonzero(wb[:, :k].any(axis=0))  # the few lines that are on some envelope
        used = used if used.size else np.zeros(1, dtype=np.int64)  # a posterior need not know empty sets
        dS = self._posterior.cross_grad(Z, self._A[used])  # (b, used, d)
        pull = np.einsum("bk,bkd->bd", wb[:, used], dS) / T[:, None]
        along_mu, along_sd = _by_moments(wb, S, T, sd)
        if self._with_x:
            along_mu, along_sd = along_mu + wa[:, k], along_sd + 2.0 * wb[:, k] * sd / T
        return logs, pull + along_mu[:, None] * dmu + along_sd[:, None] * dsd

    def _lines(self, Z: Array, mu: Array, sd: Array) -> tuple[Array, Array, Array]:
        """Intercepts and covariances, shape (b, k), the candidate last if it counts, and T (b,)."""
        means = np.broadcast_to(self._means, (len(Z), len(self._A)))
        S = _bounded(self._posterior.cross(Z, self._A), sd, self._sds)
        T = np.sqrt(np.maximum(sd * sd + self._posterior.noise, SD_FLOOR**2))
        if not self._with_x:
            return means, S, T
        return np.column_stack([means, mu]), np.column_stack([S, sd * sd]), T  # (b, k + 1)

    def _gain(self, a: Array, S: Array, T: Array) -> tuple[Array, Array, Array]:
        """Log gain and derivatives; what the candidate's own mean adds to the baseline comes on top."""
        logs, wa, wb = _gain_of(a, S, T)
        if self._baseline is None:
            return logs, wa, wb
        ahead = np.maximum(a[:, -1] - self._baseline, 0.0)
        above = ahead > _ROUNDING
        total = np.where(above, np.logaddexp(logs, np.log(np.where(above, ahead, 1.0))), logs)
        share = np.exp(logs - total)[:, None]
        wa, wb = wa * share, wb * share
        wa[above, -1] += np.exp(-total[above])
        return total, wa, wb


class RowwiseObjective(Protocol):
    """n functions of a point: row i of X is an argument of the function rows[i]."""

    def __call__(self, X: Array, rows: Rows) -> tuple[Array, Array]:
        """Values (r,) and gradients (r, d) at X (r, d)."""
        ...


class Maximiser(Protocol):
    """Maximises n functions of a point at once."""

    def __call__(self, value_and_grad: RowwiseObjective, n: int) -> Array:
        """The n maximisers, shape (n, d)."""
        ...


class HybridKnowledgeGradient:
    """Logarithm of the knowledge gradient where the final choice may fall on the continuous space.

    For a few outcomes Z_j the maximiser x'_j of the mean to come is found, then the envelope over
    {x'_j}, today's maximiser of the mean and the candidate is exact. It is a lower bound that
    tightens with n_z. The gradient is that of the bound with the x'_j held where they are: they are
    optimal at Z_j, so that moving them changes little.
    Source: Pearce, Klaise, Groves 2020, Practical Bayesian Optimization of Objectives with
    Conditioning Variables ("hybrid KG"); differs in adding today's maximiser and x, and in outcomes
    that are equally spaced instead of quantiles: a gain that comes from rare outcomes is not missed
    (8 of them: at most 5 % short at d = 2 where KG is large, 9 quantiles up to 70 %).

    Args:
        posterior: Of the objective.
        maximise_mean: Finds the maximisers of mu(x) + b(x, z) Z_j, all b n_z of them in one call.
        n_z: Number of outcomes, even: today's maximiser stands for the middle one.
    """

    def __init__(self, posterior: Posterior, maximise_mean: Maximiser, n_z: int = 8) -> None:
        if n_z < 2 or n_z % 2:
            raise InvalidValueError(f"n_z must be even and at least 2, got {n_z}")
        self._posterior, self._maximise = posterior, maximise_mean
        outcomes = np.linspace(-_RARE, _RARE, n_z + 1)
        self._outcomes = outcomes[outcomes != 0.0]
        self._today = maximise_mean(lambda X, rows: self._posterior_mean(X), 1)  # (1, d)

    def value(self, Z: Array) -> Array:
        """Log gain, shape (b,), log units of the posterior, at Z (b, d)."""
        mu, sd = self._posterior.mean_sd(Z)
        A = self._support(Z, sd)
        a, S, T = self._lines(Z, A, mu, sd)
        return _gain_of(a, S, T)[0]

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log gain, shape (b,), and its gradient for fixed x'_j, shape (b, d)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        A = self._support(Z, sd)
        a, S, T = self._lines(Z, A, mu, sd)
        logs, wa, wb = _gain_of(a, S, T)
        dS = _own(self._posterior.cross_grad(Z, A.reshape(-1, A.shape[2])), len(Z))  # (b, k, d)
        pull = np.einsum("bk,bkd->bd", wb[:, :-1], dS) / T[:, None]
        along_mu, along_sd = _by_moments(wb, S, T, sd)
        along_mu, along_sd = along_mu + wa[:, -1], along_sd + 2.0 * wb[:, -1] * sd / T
        return logs, pull + along_mu[:, None] * dmu + along_sd[:, None] * dsd

    def _posterior_mean(self, X: Array) -> tuple[Array, Array]:
        mu, _, dmu, _ = self._posterior.mean_sd_grad(X)
        return mu, dmu

    def _support(self, Z: Array, sd: Array) -> Array:
        """Where the largest mean may be after a measurement at each candidate, shape (b, n_z + 1, d)."""
        n_z = len(self._outcomes)
        step = self._outcomes / np.sqrt(np.maximum(sd * sd + self._posterior.noise, SD_FLOOR**2))[:, None]  # (b, n_z)

        def mean_to_come(X: Array, rows: Rows) -> tuple[Array, Array]:
            mu, dmu = self._posterior_mean(X)
            candidate, here = rows // n_z, np.arange(len(X))
            unique, column = np.unique(candidate, return_inverse=True)
            S = self._posterior.cross(X, Z[unique])[here, column]  # (r,)
            dS = self._posterior.cross_grad(X, Z[unique])[here, column]  # (r, d)
            pull = step.ravel()[rows]
            return mu + pull * S, dmu + pull[:, None] * dS

        found = self._maximise(mean_to_come, len(Z) * n_z).reshape(len(Z), n_z, -1)
        return np.concatenate([found, np.repeat(self._today[None], len(Z), axis=0)], axis=1)

    def _lines(self, Z: Array, A: Array, mu: Array, sd: Array) -> tuple[Array, Array, Array]:
        """Intercepts and covariances, shape (b, k + 1), the candidate last, and T (b,)."""
        b, k, d = A.shape
        means, sds = (v.reshape(b, k) for v in self._posterior.mean_sd(A.reshape(-1, d)))
        S = _bounded(_own(self._posterior.cross(Z, A.reshape(-1, d)), b), sd, sds)
        T = np.sqrt(np.maximum(sd * sd + self._posterior.noise, SD_FLOOR**2))
        return np.column_stack([means, mu]), np.column_stack([S, sd * sd]), T


def _gain_of(a: Array, S: Array, T: Array) -> tuple[Array, Array, Array]:
    """Log gain of the lines of intercepts a and slopes S / T, and its derivatives."""
    return log_expected_max_gain(a, S / T[:, None], _ROUNDING / T[:, None])


def _own(values: Array, b: int) -> Array:
    """Of values (b, b k, ...) for all pairs those of each candidate with its own points, (b, k, ...)."""
    own: Array = values.reshape(b, b, -1, *values.shape[2:])[np.arange(b), np.arange(b)]
    return own


def _bounded(S: Array, sd: Array, sds: Array) -> Array:
    """Covariances (b, k) within +-sd sd' (Cauchy-Schwarz), which rounding breaks at known points."""
    most = sd[:, None] * sds
    return np.clip(S, -most, most)


def _by_moments(wb: Array, S: Array, T: Array, sd: Array) -> tuple[Array, Array]:
    """What the common 1/T of the slopes S/T adds to the derivatives in mu and in sd, shape (b,)."""
    along_sd: Array = -(wb * S).sum(axis=1) * sd / T**3
    return np.zeros_like(sd), along_sd
