"""Measured values to standardised ones and back: a shift and a scale, and for heavy tails a power before them.

The power is that of Yeo and Johnson 2000 (A new family of power transformations, eq. 2.1) on values in units of
their interquartile range. It is monotone, so whatever is better stays better.

Symbols: y measured, v in robust units, t after the power, z standardised; n values, b queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_POWERS = (0.0, 2.0)  # of the search for the power; beyond, the range of t is bounded and its inverse is not
_SKEWED = 1.0  # skewness from which a power is worth a look
_FEWEST = 8  # values from which skewness means something
_TINY = 1e-12
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Outcome:
    """z = (t - shift) / scale with t = power(v) and v = (y - centre) / unit; without a power t = v.

    Args:
        centre, unit: Of the measured values.
        shift, scale: Of the values after the power.
        power: Lambda of Yeo and Johnson; None for none.
    """

    centre: float
    unit: float
    shift: float
    scale: float
    power: float | None = None

    @classmethod
    def of(cls, y: Array, power: float | None = None) -> Outcome:
        """The standardisation of values y (n,), their own units kept if they are all equal."""
        if power is None:
            unit = float(np.abs(y).max(initial=0.0)) or 1.0  # keeps the sums of huge and tiny values in range
            shift, scale = _spread(y / unit)
            return cls(0.0, unit, shift, scale)
        centre, unit = robust(y)
        shift, scale = _spread(yeo_johnson((y - centre) / unit, power))
        return cls(centre, unit, shift, scale, power)

    def forward(self, y: Array) -> Array:
        """Standardised values."""
        v = (y - self.centre) / self.unit
        t = v if self.power is None else yeo_johnson(v, self.power)
        return np.asarray((t - self.shift) / self.scale)

    def backward(self, z: Array) -> Array:
        """Measured values."""
        t = self.shift + self.scale * z
        v = t if self.power is None else inverse_yeo_johnson(t, self.power)
        return np.asarray(self.centre + self.unit * v)

    @property
    def slope(self) -> float:
        """dy/dz where there is no power."""
        return self.unit * self.scale

    def log_slope(self, y: Array) -> float:
        """Sum of log dz/dy, which makes evidences of different powers comparable."""
        out = -len(y) * (np.log(self.unit) + np.log(self.scale))
        if self.power is not None:
            v = (y - self.centre) / self.unit
            out += float(((self.power - 1.0) * np.sign(v) * np.log1p(np.abs(v))).sum())
        return float(out)

    def moments(self, mu: Array, sd: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of y for normal z, each (b,).

        Where there is a power: the median and half the distance of the quantiles at one standard deviation,
        since the mean of a distribution with such a tail says little about where its values lie.
        """
        if self.power is None:
            return self.backward(mu), self.slope * sd
        return self.backward(mu), 0.5 * (self.backward(mu + sd) - self.backward(mu - sd))

    def variance(self, y: Array, noise: Array) -> Array:
        """Noise variances (n,) of measurements y in units of z, by the slope of the power at y."""
        slope = np.full(len(y), 1.0 / (self.unit * self.scale))
        if self.power is not None:
            v = (y - self.centre) / self.unit
            slope = slope * np.exp((self.power - 1.0) * np.sign(v) * np.log1p(np.abs(v)))
        return np.asarray(noise * slope**2)


def best_power(y: Array) -> float | None:
    """The most likely power of values y (n,) as a sample of a normal distribution; None where they are not skewed."""
    centre, unit = robust(y)
    v = (y - centre) / unit
    spread = float(v.std())
    if len(y) < _FEWEST or spread < _TINY or abs(float(((v - v.mean()) ** 3).mean())) / spread**3 < _SKEWED:
        return None
    signed = float((np.sign(v) * np.log1p(np.abs(v))).sum())

    def loss(power: float) -> float:
        return float(0.5 * len(v) * np.log(yeo_johnson(v, power).var() + 1e-300) - (power - 1.0) * signed)

    low, high = _POWERS
    while high - low > 1e-3:
        a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return round(0.5 * (low + high), 3)


def yeo_johnson(v: Array, power: float) -> Array:
    """The power transformation of v, any shape."""
    up = np.log1p(np.maximum(v, 0.0))
    down = np.log1p(np.maximum(-v, 0.0))
    right = up if power == 0.0 else np.expm1(power * up) / power
    left = down if power == 2.0 else np.expm1((2.0 - power) * down) / (2.0 - power)
    return np.where(v >= 0, right, -left)


def inverse_yeo_johnson(t: Array, power: float) -> Array:
    """The values whose power is t, any shape; beyond its range, the nearest that exists in floats."""
    right, left = np.maximum(t, 0.0), np.maximum(-t, 0.0)
    top = right if power == 0.0 else np.log1p(np.maximum(power * right, _TINY - 1.0)) / power
    low = left if power == 2.0 else np.log1p(np.maximum((2.0 - power) * left, _TINY - 1.0)) / (2.0 - power)
    return np.where(t >= 0, np.expm1(np.minimum(top, 700.0)), -np.expm1(np.minimum(low, 700.0)))


def robust(y: Array) -> tuple[float, float]:
    """Median and interquartile range; the standard deviation, then 1, where half of the values are equal."""
    low, middle, high = np.quantile(y, [0.25, 0.5, 0.75]) if len(y) else (0.0, 0.0, 1.0)
    unit = float(high - low)
    size = float(np.abs(y - middle).max(initial=0.0))
    if unit <= _TINY * max(size, abs(middle)):
        unit = size
    return float(middle), unit or 1.0


def _spread(t: Array) -> tuple[float, float]:
    sd = float(t.std(ddof=1)) if len(t) > 1 else 0.0
    return (float(t.mean()) if len(t) else 0.0), (sd if sd > _TINY else 1.0)
