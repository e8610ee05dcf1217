"""Integrals of the normal distribution, as logarithms and ratios that do not underflow.

Symbols: phi, Phi density and distribution function of the standard normal; h(z) = phi(z) + z Phi(z), so that the
expected improvement is sd h(z).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, ndtr

Array = NDArray[np.float64]

SD_FLOOR = 1e-10  # least sd to divide by: its square is below the rounding of a posterior variance
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)

_NONE = np.empty(0)
_SQRT_2 = math.sqrt(2.0)
_SQRT_HALF_PI = math.sqrt(math.pi / 2)
_FURTHEST = 1e150  # |z| whose square is still a float
_SERIES_BELOW = -150.0  # where 1 + z m(z) has lost as many digits as the series leaves out


def improvement_terms(z: Array, *, slopes: bool = True) -> tuple[Array, Array, Array]:
    """log h(z), Phi(z)/h(z) and phi(z)/h(z): what log EI and its gradient are made of.

    Below -1 h = phi (1 + z m) with m = Phi/phi from erfcx; below -150 the series
    1 + z m = z^-2 (1 - 3 z^-2 + 15 z^-4). Absolute error of log h 1e-11 for z > -1000, relative
    beyond.
    Source: Ament et al. 2023, section 4.1 (log EI); differs in the series, which has two more terms.

    Args:
        z: Standardised distance to the incumbent, any shape.
        slopes: Are the ratios wanted? Empty if not.
    Returns:
        Three arrays of that shape.
    """
    z = np.clip(z, -_FURTHEST, _FURTHEST)
    low, high = np.minimum(z, -1.0), np.maximum(z, -1.0)
    m = _SQRT_HALF_PI * erfcx(low / -_SQRT_2)
    u = low**-2
    t = np.where(low < _SERIES_BELOW, u * (1.0 - u * (3.0 - 15.0 * u)), 1.0 + low * m)
    density, below = np.exp(-0.5 * high * high - LOG_SQRT_2PI), ndtr(high)
    h = density + high * below
    tail = z < -1.0
    log_h = np.where(tail, np.log(t) - 0.5 * low * low - LOG_SQRT_2PI, np.log(h))
    if not slopes:
        return log_h, _NONE, _NONE
    return log_h, np.where(tail, m / t, below / h), np.where(tail, 1.0 / t, density / h)


def hazard(z: Array) -> Array:
    """phi(z) / Phi(z), the derivative of log Phi, without underflow for z < 0."""
    ratio: Array = (1.0 / _SQRT_HALF_PI) / erfcx(z / -_SQRT_2)
    return ratio


def upper_mills(z: Array) -> Array:
    """(1 - Phi(z)) / phi(z), without underflow for z > 0."""
    ratio: Array = _SQRT_HALF_PI * erfcx(z / _SQRT_2)
    return ratio


def log_normal(distance: Array, sd: Array) -> Array:
    """log Phi(distance / sd), shape (b,)."""
    logs: Array = log_ndtr(distance / np.maximum(sd, SD_FLOOR))
    return logs


def log_normal_grad(distance: Array, sd: Array, ddistance: Array, dsd: Array) -> tuple[Array, Array]:
    """log Phi(distance / sd), shape (b,), and its gradient, shape (b, d)."""
    sd = np.maximum(sd, SD_FLOOR)
    z = distance / sd
    scale = hazard(z) / sd
    return log_ndtr(z), scale[:, None] * ddistance - (scale * z)[:, None] * dsd


def log_interval(low: Array, high: Array) -> Array:
    """log(Phi(high) - Phi(low)) for low < high whose middle is not positive, to about 1e-12.

    Short intervals by Gauss-Legendre around their middle, where the difference would cancel.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    short = half * np.maximum(1.0, -middle) < 0.3
    x = np.where(short, half, 0.0)[..., None] * _NODES  # (..., 8)
    inside = np.exp(-x * (middle[..., None] + x / 2)) @ _WEIGHTS  # of weights that add up to 1
    by_nodes = np.log(2 * half) - LOG_SQRT_2PI - middle * middle / 2 + np.log(inside)
    top = log_ndtr(high)
    gap = np.where(short, 1.0, top - log_ndtr(low))
    by_ends: Array = top + np.log(-np.expm1(-gap))
    return np.where(short, by_nodes, by_ends)


def log_sum_exp(x: Array, axis: int) -> Array:
    """log sum exp(x) over an axis; x finite."""
    top = x.max(axis=axis, keepdims=True)
    total: Array = np.log(np.exp(x - top).sum(axis=axis)) + np.squeeze(top, axis=axis)
    return total


_NODES, _WEIGHTS = (np.asarray(v, dtype=np.float64) for v in np.polynomial.legendre.leggauss(8))
_WEIGHTS = _WEIGHTS / 2
