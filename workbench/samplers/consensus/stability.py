"""Does a swarm draw together? The one number that says so before anything is run.

A particle at a distance v from a fixed consensus point is next at (1 - lambda dt) v + sigma sqrt(dt) D(v) xi. With
isotropic noise D(v) = |v| I, with anisotropic noise D(v) = diag(v), where every coordinate goes its own way. So the
logarithm of the distance takes steps of mean

    E log |(1 - lambda dt) e_1 + sigma sqrt(dt) xi|,    xi ~ N(0, I) in d dimensions, in 1 if anisotropic,

and the swarm collapses if that is negative, whatever its mean square does. The square is a noncentral chi-square with d
degrees of freedom, hence a Poisson mixture of central ones, whose mean logarithm is psi(d/2 + j) + log 2.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.special import digamma, gammaln

from workbench.errors import UnsupportedError

_FAR = 14.0  # standard deviations of the Poisson distribution that are summed


def contraction(drift: float, noise: float, dt: float, d: int, *, anisotropic: bool) -> float:
    """Mean change of the logarithm of the spread in one step; negative where the swarm draws together.

    Args:
        drift: lambda.
        noise: sigma.
        dt: Length of a step.
        d: Number of variables.
        anisotropic: Does every coordinate get noise of its own distance?
    """
    a, s, degrees = 1.0 - drift * dt, noise * math.sqrt(dt), 1 if anisotropic else d
    if s == 0.0:
        return math.log(abs(a)) if a else -math.inf
    rate = a * a / (2.0 * s * s)
    reach = _FAR * math.sqrt(rate + 1.0) + _FAR
    j = np.arange(max(0, math.floor(rate - reach)), math.ceil(rate + reach) + 1)
    logs = j * math.log(rate) - rate - gammaln(j + 1) if rate else np.where(j == 0, 0.0, -np.inf)
    mixed = np.exp(logs) @ (digamma(0.5 * degrees + j) + math.log(2.0))
    return math.log(s) + 0.5 * float(mixed)


def mean_square(drift: float, noise: float, dt: float, d: int, *, anisotropic: bool) -> float:
    """Factor of the mean squared distance in one step, (1 - lambda dt)^2 + d sigma^2 dt; theorems want it below 1."""
    return (1.0 - drift * dt) ** 2 + (1 if anisotropic else d) * noise**2 * dt


def check_stable(drift: float, noise: float, dt: float, d: int, *, anisotropic: bool) -> float:
    """The contraction of a step.

    Raises:
        UnsupportedError: if the swarm would fly apart, with the number and what to do.
    """
    value = contraction(drift, noise, dt, d, anisotropic=anisotropic)
    if value < 0.0:
        return value
    kind = "anisotropic" if anisotropic else "isotropic"
    usual = f"a noise below {largest_noise(drift, dt, d, anisotropic=anisotropic):.3g}"
    other = "" if anisotropic else ", noise='anisotropic', which does not depend on the number of variables,"
    raise UnsupportedError(
        f"with drift {drift:g}, {kind} noise {noise:g} and dt {dt:g} in {d} variables the logarithm of the spread "
        f"grows by {value:.4f} a step: the swarm flies apart. Take {usual}{other} or a truncation of the noise"
    )


@functools.lru_cache(maxsize=64)
def noise_for(wanted: float, drift: float, dt: float, d: int, *, anisotropic: bool) -> float:
    """The larger of the two noises with which the swarm draws together so fast, or the one with which it does fastest.

    Args:
        wanted: Contraction of a step, below 0.
        drift, dt, d, anisotropic: As of `contraction`.
    """

    def at(noise: float) -> float:
        return contraction(drift, noise, dt, d, anisotropic=anisotropic)

    high = largest_noise(drift, dt, d, anisotropic=anisotropic)
    grid = np.linspace(0.0, high, 65)[1:]
    low = float(grid[np.argmin([at(float(noise)) for noise in grid])])
    if at(low) >= wanted:
        return low
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if at(middle) < wanted else (low, middle)
    return 0.5 * (low + high)


def largest_noise(drift: float, dt: float, d: int, *, anisotropic: bool) -> float:
    """The noise at which a swarm just does not draw together, by bisection."""
    low, high = 0.0, 1.0
    while contraction(drift, high, dt, d, anisotropic=anisotropic) < 0.0:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = 0.5 * (low + high)
        if contraction(drift, middle, dt, d, anisotropic=anisotropic) < 0.0:
            low = middle
        else:
            high = middle
    return low
