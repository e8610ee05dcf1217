"""Information about the maximum: max-value entropy search and its Gaussian bound.

The gain is I(y; f*) averaged over sampled maxima f*. With g = (f* - mu) / sd, rho^2 = sd^2 / (sd^2 +
noise) and s^2 = 1 - rho^2 a measurement given f <= f* has the density phi(u) Phi((g - rho u) / s) /
Phi(g), u the standardised y, and the gain is (derived in `_log_mes`)
r [rho^2 g / 2 - G(g) + s E G(s g - rho e)], with r = phi(g)/Phi(g), e standard normal, G = log(Phi) Phi / phi.
Its noise-free case s = 0 is g r / 2 - log Phi(g). GIBBON replaces that density by a Gaussian of its
variance: -log(1 - rho^2 r (g + r)) / 2.
Sources: Wang, Jegelka 2017, Max-value Entropy Search, eq. (6); Takeno et al. 2020, Multi-fidelity
Bayesian Optimization with Max-value Entropy Search (noise); Moss et al. 2021, GIBBON.

Symbols: b candidates Z, n maxima, q quadrature nodes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr

from workbench.acquisition.base import LOG_ZERO, Array, Posterior, joint_samples
from workbench.errors import InvalidValueError
from workbench.models.normal import LOG_SQRT_2PI, SD_FLOOR, hazard, log_sum_exp, upper_mills

_LEAST_G = -100.0  # a maximum further below the mean contradicts the posterior; beyond, g^2 eats the digits
_SMALL_RHO2 = 1e-4  # below, MES and GIBBON agree to 1e-8 and the difference form cancels
_FAR = 8.0  # where log Phi = -(1 - Phi) to the last digit
_SURE = 5.0  # sd beyond which a value is not
_QUARTILES = (0.25, 0.5, 0.75)
_BISECTIONS = 60  # halvings of a bracket of about 10 sd: to the last digit


def max_value_samples(
    posterior: Posterior,
    Z: Array,
    n: int,
    rng: np.random.Generator,
    *,
    gumbel: bool = False,
    least: float | None = None,
) -> Array:
    """Samples of the maximum of the function over candidate points.

    Args:
        posterior: Of the function.
        Z: Candidates, shape (b, d); the observed points should be among them, lest a maximum falls below
            what is known.
        n: Number of samples.
        rng: Source of randomness.
        gumbel: Draw from a Gumbel distribution fitted to independent values (Wang, Jegelka 2017,
            section 3): O(b) instead of O(b^3), too large by the correlation between the points.
        least: The noise-free incumbent. Samples are raised to at least five standard deviations of a value that is
            known beyond it (the code of Wang and Jegelka 2017 does so): where the sampled maximum is a measured value,
            whether that value is a little larger or smaller would count as much as anything there is to learn.
    Returns:
        Maxima, shape (n,), units of the posterior.
    """
    if len(Z) == 0 or n < 1:
        raise InvalidValueError(f"needs candidates and n >= 1, got {len(Z)} candidates and n = {n}")
    maxima: Array
    if gumbel:
        maxima = _gumbel(*posterior.mean_sd(Z), rng.random(n))
    else:
        maxima = joint_samples(posterior, Z, n, rng).max(axis=1)
    return maxima if least is None else np.maximum(maxima, least + _SURE * math.sqrt(posterior.noise))


def _gumbel(mu: Array, sd: Array, levels: Array) -> Array:
    """Quantiles of the Gumbel distribution whose quartiles are those of the largest of independent normals."""
    sd = np.maximum(sd, SD_FLOOR)
    wanted = np.log(np.array(_QUARTILES))
    low = np.full(3, float((mu - 5.0 * sd).max()))
    high = np.full(3, float((mu + (5.0 + math.sqrt(2.0 * math.log(len(mu) + 1.0))) * sd).max()))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = log_ndtr((middle[:, None] - mu) / sd).sum(axis=1) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    lower, median, upper = (low + high) / 2
    first, half, third = -np.log(-wanted)
    scale = (upper - lower) / (third - first)
    quantiles: Array = median + scale * (-np.log(-np.log(np.clip(levels, 1e-12, 1.0 - 1e-12))) - half)
    return quantiles


class MES:
    """Logarithm of the max-value entropy search gain, noise included, exact up to quadrature.

    Args:
        posterior: Of the objective.
        maxima: Sampled maxima of the noise-free function, shape (n,).
        nodes: Gauss-Hermite nodes; with 16 the value is relatively accurate to 1e-9.
    """

    def __init__(self, posterior: Posterior, maxima: Array, nodes: int = 16) -> None:
        self._posterior, self._maxima = posterior, _checked(maxima)
        e, w = np.polynomial.hermite_e.hermegauss(nodes)
        self._e, self._w = np.asarray(e), np.asarray(w / w.sum())

    def value(self, Z: Array) -> Array:
        """Log gain in log nats, shape (b,), at Z (b, d)."""
        g, sd, _ = _standardised(self._maxima, *self._posterior.mean_sd(Z))
        logs, _, _ = log_mes(g, sd, self._posterior.noise, self._e, self._w)
        return _averaged(logs)

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log gain, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        g, sd, free = _standardised(self._maxima, mu, sd)
        logs, by_g, by_sd = log_mes(g, sd, self._posterior.noise, self._e, self._w)
        return _with_gradient(logs, by_g * free, by_sd, g, sd, dmu, dsd)


class GIBBON:
    """Logarithm of the GIBBON gain: a lower bound of MES, and as cheap as EI.

    Never rounds to zero: u = rho^2 r (g + r) is kept as a logarithm and 1 - u only met in log1p(-u).

    Args:
        posterior: Of the objective.
        maxima: Sampled maxima of the noise-free function, shape (n,).
    """

    def __init__(self, posterior: Posterior, maxima: Array) -> None:
        self._posterior, self._maxima = posterior, _checked(maxima)

    def value(self, Z: Array) -> Array:
        """Log gain in log nats, shape (b,), at Z (b, d)."""
        g, sd, _ = _standardised(self._maxima, *self._posterior.mean_sd(Z))
        return _averaged(log_gibbon(g, sd, self._posterior.noise)[0])

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log gain, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, dmu, dsd = self._posterior.mean_sd_grad(Z)
        g, sd, free = _standardised(self._maxima, mu, sd)
        logs, by_g, by_sd = log_gibbon(g, sd, self._posterior.noise)
        return _with_gradient(logs, by_g * free, by_sd, g, sd, dmu, dsd)


def log_gibbon(g: Array, sd: Array, noise: float) -> tuple[Array, Array, Array]:
    """Logarithm of -log(1 - u) / 2 with u = rho^2 r (g + r), for each maximum.

    Args:
        g: (f* - mu) / sd, shape (b, n).
        sd: Posterior sd, positive, shape (b, 1).
        noise: Variance of a measurement.
    Returns:
        Log gain and its derivatives in g and, at constant g, in sd, shape (b, n).
    """
    variance = sd * sd + noise
    r = hazard(g)
    left = g + r  # positive: E(f* - f | f <= f*) / sd
    log_u = np.log(sd * sd / variance) + _log_hazard(g) + np.log(left)
    u = np.exp(log_u)
    loss = -np.log1p(-u)
    tiny = u < 1e-15
    logs = np.where(tiny, log_u, np.log(np.where(tiny, 1.0, loss))) - math.log(2.0)
    by_log_u = np.where(tiny, 1.0, u / ((1.0 - u) * np.where(tiny, 1.0, loss)))
    by_g = by_log_u * ((1.0 - r * left) / left - left)
    return logs, by_g, by_log_u * 2.0 * noise / (variance * sd)


def log_mes(g: Array, sd: Array, noise: float, e: Array, w: Array) -> tuple[Array, Array, Array]:
    """Logarithm of the noisy max-value entropy gain, for each maximum.

    H[y] - H[y | f <= f*] = rho^2 g r / 2 - log Phi(g) + E1 / Phi(g), because E[u^2 | f <= f*] = 1 -
    rho^2 g r, with E1 the integral of phi(u) Phi(v) log Phi(v), v = (g - rho u) / s. By phi(u) phi(v) =
    phi(g) phi(e) for u = rho g + s e, v = s g - rho e: E1 = s phi(g) E[log(Phi(v)) Phi(v) / phi(v)], and likewise
    dE1/dg = phi(g) E[1 + log Phi(v)], dE1/ds = -phi(g) E[phi(v) / Phi(v)]: expectations of slowly varying
    functions, with the decay in g in front.

    Args:
        g: (f* - mu) / sd, shape (b, n).
        sd: Posterior sd, positive, shape (b, 1).
        noise: Variance of a measurement.
        e: Nodes of a standard normal, shape (q,).
        w: Their weights, adding up to 1, shape (q,).
    Returns:
        Log gain and its derivatives in g and, at constant g, in sd, shape (b, n).
    """
    T = np.sqrt(sd * sd + noise)
    rho, s = sd / T, math.sqrt(noise) / T  # (b, 1)
    r, log_r = hazard(g), _log_hazard(g)
    v = (s * g)[..., None] - rho[..., None] * e  # (b, n, q)
    log_v, r_v = log_ndtr(v), hazard(v)
    G_v, rest = _log_over_hazard(v, log_v, r_v) @ w, (v + r_v) @ w  # (b, n)
    bracket = 0.5 * rho * rho * g - _log_over_hazard(g, log_ndtr(g), r) + s * G_v
    small = (rho * rho < _SMALL_RHO2) | (bracket <= 0.0)
    bracket = np.where(small, 1.0, bracket)
    by_g = (0.5 * rho * rho * (1.0 - g * (g + r)) + log_v @ w - s * r * G_v) / bracket
    by_sd = rho * s / T * rest / bracket
    logs, bound = log_r + np.log(bracket), log_gibbon(g, sd, noise)
    return np.where(small, bound[0], logs), np.where(small, bound[1], by_g), np.where(small, bound[2], by_sd)


def _checked(maxima: Array) -> Array:
    if maxima.ndim != 1 or maxima.size == 0 or not np.isfinite(maxima).all():
        raise InvalidValueError(
            f"maxima must be finite, shape (n,) with n >= 1, got shape {maxima.shape}: {maxima}; "
            "draw them with max_value_samples"
        )
    return maxima


def _standardised(maxima: Array, mu: Array, sd: Array) -> tuple[Array, Array, Array]:
    """g (b, n), sd (b, 1) away from 0, and 1 where g is free to move or 0 where it was cut."""
    sd = np.maximum(sd, SD_FLOOR)[:, None]
    g = (maxima - mu[:, None]) / sd
    return np.maximum(g, _LEAST_G), sd, (g > _LEAST_G).astype(np.float64)


def _averaged(logs: Array) -> Array:
    """Log of the mean over the maxima, (b, n) -> (b,)."""
    return np.maximum(log_sum_exp(logs, axis=1) - math.log(logs.shape[1]), LOG_ZERO)


def _with_gradient(
    logs: Array, by_g: Array, by_sd: Array, g: Array, sd: Array, dmu: Array, dsd: Array
) -> tuple[Array, Array]:
    """Averages over the maxima, and the chain rule: dg = -(dmu + g dsd) / sd."""
    share = np.exp(logs - log_sum_exp(logs, axis=1)[:, None])  # (b, n)
    along_mu = -(share * by_g).sum(axis=1, keepdims=True) / sd
    along_sd = (share * (by_sd - by_g * g / sd)).sum(axis=1, keepdims=True)
    return _averaged(logs), along_mu * dmu + along_sd * dsd


def _log_hazard(g: Array) -> Array:
    """log(phi / Phi)."""
    logs: Array = -0.5 * g * g - LOG_SQRT_2PI - log_ndtr(g)
    return logs


def _log_over_hazard(v: Array, log_v: Array, r_v: Array) -> Array:
    """G(v) = log(Phi) Phi / phi: about v / 2 far below 0, about -1 / v far above."""
    far = v > _FAR
    return np.where(far, -upper_mills(np.where(far, v, 1.0)), log_v / np.where(far, 1.0, r_v))
