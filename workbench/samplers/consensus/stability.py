"""Does a swarm draw together? The one number that says so before anything is run.

A particle at a distance v from a fixed consensus point is next at (1 - lambda dt) v + sigma sqrt(dt) D(v) xi. With
isotropic noise D(v) = |v| I, with anisotropic noise D(v) = diag(v), where every coordinate goes its own way. So the
logarithm of the distance takes steps of mean

    E log |(1 - lambda dt) e_1 + sigma sqrt(dt) xi|,    xi ~ N(0, I) in d dimensions, in 1 if anisotropic,

and the swarm collapses if that is negative, whatever its mean square does. The square is a noncentral chi-square with d
degrees of freedom, hence a Poisson mixture of central ones, whose mean logarithm is psi(d/2 + j) + log 2.

With inertia m the distances x_k of a coordinate follow

    x_{k+1} = x_k + a (x_k - x_{k-1}) + b (-lambda dt + sigma sqrt(dt) xi) x_k

with a = m / n, b = dt / n and n = m + (1 - m) dt, so that their ratios are a Markov chain, whose mean logarithm has no
closed form; it is taken over a fixed sample of paths.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma, gammaln

from workbench.errors import UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FAR = 14.0  # standard deviations of the Poisson distribution that are summed
_HALVINGS = (60, 30)  # of a bracket; the second with inertia, where each has its paths
_PATHS, _STEPS, _LEFT = 256, 600, 200  # of a swarm with inertia: coordinates, steps, and those before it counts


def contraction(
    drift: float, noise: float, dt: float, d: int, *, anisotropic: bool, inertia: float = 0.0
) -> float:  # fmt: skip
    """Mean change of the logarithm of the spread in one step; negative where the swarm draws together.

    Args:
        drift: lambda.
        noise: sigma.
        dt: Length of a step.
        d: Number of variables.
        anisotropic: Does every coordinate get noise of its own distance?
        inertia: m.
    Raises:
        UnsupportedError: for isotropic noise with inertia, whose number is not known.
    """
    if inertia:
        if not anisotropic:
            raise UnsupportedError(
                "a swarm with inertia needs anisotropic noise: only of that is the contraction known"
            )
        return _heavy(drift, noise, dt, inertia)
    a, s, degrees = 1.0 - drift * dt, noise * math.sqrt(dt), 1 if anisotropic else d
    if s == 0.0:
        return math.log(abs(a)) if a else -math.inf
    rate = a * a / (2.0 * s * s)
    reach = _FAR * math.sqrt(rate + 1.0) + _FAR
    j = np.arange(max(0, math.floor(rate - reach)), math.ceil(rate + reach) + 1)
    logs = j * math.log(rate) - rate - gammaln(j + 1) if rate else np.where(j == 0, 0.0, -np.inf)
    mixed = np.exp(logs) @ (digamma(0.5 * degrees + j) + math.log(2.0))
    return math.log(s) + 0.5 * float(mixed)


@functools.lru_cache(maxsize=256)
def _heavy(drift: float, noise: float, dt: float, inertia: float) -> float:
    return float(_with_inertia(drift, np.array([noise]), dt, inertia)[0])


def _with_inertia(drift: float, noises: NDArray[np.float64], dt: float, m: float) -> NDArray[np.float64]:
    """The contraction of a coordinate for each noise (n,), in the mean over the same paths."""
    whole = m + (1.0 - m) * dt
    a, b = m / whole, dt / whole
    rng = np.random.default_rng(0)
    shift, width = 1.0 + a - b * drift * dt, b * math.sqrt(dt) * noises[:, None]
    swing = dt * math.sqrt(drift / m)
    phases = math.pi * ((np.arange(_PATHS) + 0.5) / _PATHS - 0.5)  # of a slow swing, so that none of them is favoured

    def beside(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of the logarithm of the length of (distance, velocity) over the distance, which may pass through 0."""
        return np.asarray(np.log(np.hypot(1.0, (1.0 - 1.0 / ratio) / swing)).mean(axis=1))

    ratio, total = np.tile(1.0 - swing * np.tan(phases), (len(noises), 1)), np.zeros(len(noises))
    for k in range(_STEPS):
        if k == _LEFT:
            total -= beside(ratio)
        ratio = shift - a / ratio + width * rng.standard_normal(_PATHS)
        ratio = np.where(ratio == 0.0, np.finfo(float).tiny, ratio)
        if k >= _LEFT:
            total += np.log(np.abs(ratio)).mean(axis=1)
    total += beside(ratio)
    return total / (_STEPS - _LEFT)


def mean_square(drift: float, noise: float, dt: float, d: int, *, anisotropic: bool) -> float:
    """Factor of the mean squared distance in one step, (1 - lambda dt)^2 + d sigma^2 dt; theorems want it below 1."""
    return (1.0 - drift * dt) ** 2 + (1 if anisotropic else d) * noise**2 * dt


def check_stable(
    drift: float, noise: float, dt: float, d: int, *, anisotropic: bool, inertia: float = 0.0
) -> float:  # fmt: skip
    """The contraction of a step.

    Raises:
        UnsupportedError: if the swarm would fly apart, with the number and what to do.
    """
    value = contraction(drift, noise, dt, d, anisotropic=anisotropic, inertia=inertia)
    if value < 0.0:
        return value
    if contraction(drift, 0.0, dt, d, anisotropic=anisotropic, inertia=inertia) >= 0.0:
        raise UnsupportedError(
            f"with drift {drift:g} and dt {dt:g} a step goes so far beyond the consensus that the swarm flies apart "
            "without any noise. Take a smaller dt or a smaller drift"
        )
    kind = "anisotropic" if anisotropic else "isotropic"
    usual = f"a noise below {largest_noise(drift, dt, d, anisotropic=anisotropic, inertia=inertia):.3g}"
    heavy = f", inertia {inertia:g}" if inertia else ""
    other = "" if anisotropic else ", kind='anisotropic', which does not depend on the number of variables,"
    raise UnsupportedError(
        f"with drift {drift:g}, {kind} noise {noise:g}{heavy} and dt {dt:g} in {d} variables the logarithm of the "
        f"spread grows by {value:.4f} a step: the swarm flies apart. Take {usual}{other} or a truncation of the noise"
    )


@functools.lru_cache(maxsize=64)
def noise_for(
    wanted: float, drift: float, dt: float, d: int, *, anisotropic: bool, inertia: float = 0.0
) -> float:  # fmt: skip
    """The larger of the two noises with which the swarm draws together so fast, or the one with which it does fastest.

    With inertia a swarm may be too slow for that whatever the noise; then it is the larger one with which it draws
    together half as fast as it can, since the fastest is none.

    Args:
        wanted: Contraction of a step, below 0.
        drift, dt, d, anisotropic, inertia: As of `contraction`.
    Raises:
        UnsupportedError: if the swarm flies apart without noise.
    """

    def at(noise: float) -> float:
        return contraction(drift, noise, dt, d, anisotropic=anisotropic, inertia=inertia)

    high = largest_noise(drift, dt, d, anisotropic=anisotropic, inertia=inertia)
    if high == 0.0:
        check_stable(drift, 0.0, dt, d, anisotropic=anisotropic, inertia=inertia)  # says why
    grid = np.linspace(0.0, high, 65)[1:]
    speeds = _with_inertia(drift, grid, dt, inertia) if inertia else np.array([at(float(noise)) for noise in grid])
    low, fastest = float(grid[np.argmin(speeds)]), float(speeds.min())
    if fastest >= wanted:
        if not inertia:
            return low
        wanted = 0.5 * fastest
    for _ in range(_HALVINGS[inertia > 0]):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if at(middle) < wanted else (low, middle)
    return 0.5 * (low + high)


def largest_noise(drift: float, dt: float, d: int, *, anisotropic: bool, inertia: float = 0.0) -> float:
    """The noise at which a swarm just does not draw together, by bisection; 0 where it does not without noise."""

    def together(noise: float) -> bool:
        return contraction(drift, noise, dt, d, anisotropic=anisotropic, inertia=inertia) < 0.0

    if not together(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while together(high):
        low, high = high, 2.0 * high
    for _ in range(_HALVINGS[inertia > 0]):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if together(middle) else (low, middle)
    return low
