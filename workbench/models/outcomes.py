"""Measured values to standardised ones and back: a shift and a scale, and for heavy tails a bend before them.

Two bends, both monotone, so whatever is better stays better. The power of Yeo and Johnson 2000 (A new family of power
transformations, eq. 2.1) on values in units of their interquartile range around their median; and the bilog
sign(v) log(1 + |v|) around the best value, or a limit, in a share of the interquartile range, which spreads the values
there out and draws the others together (Eriksson and Poloczek 2021, Scalable constrained Bayesian optimization,
section 3.3).

Symbols: y measured, v in robust units, t after the bend, z standardised; n values, b queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_POWERS = (0.0, 2.0)  # of the search for the power; beyond, the range of t is bounded and its inverse is not
_SHARES = (1.0, 0.1, 0.01)  # units of a bilog that are worth a look, in interquartile ranges
_SKEWED = 1.0  # skewness from which a bend is worth a look
_FEWEST = 8  # values from which skewness means something
_TINY = 1e-12
_EQUAL = 1e-14  # a spread of values of size one below it is rounding
_GOLDEN = (5**0.5 - 1) / 2


class Bend(NamedTuple):
    """A bend: the power lambda of Yeo and Johnson, or the share of the interquartile range that a bilog has as unit."""

    kind: Literal["power", "bilog"]
    by: float

    @property
    def stretches(self) -> bool:
        """Does it take in a long tail of low values, and so stretch the high ones?"""
        return self.kind == "bilog" or self.by > 1.0


@dataclass(frozen=True)
class Outcome:
    """z = (t - shift) / scale with t = bend(v) and v = (y - centre) / unit; without a bend t = v.

    Args:
        centre, unit: Of the measured values.
        shift, scale: Of the values after the bend.
        bend: None for none.
    """

    centre: float
    unit: float
    shift: float
    scale: float
    bend: Bend | None = None

    @classmethod
    def of(cls, y: Array, bend: Bend | None = None, focus: float | None = None) -> Outcome:
        """The standardisation of values y (n,), their own units kept if they are all equal.

        Args:
            focus: Value around which a bilog spreads the others out; None for the best.
        """
        if bend is None:
            unit = float(np.abs(y).max(initial=0.0)) or 1.0  # keeps the sums of huge and tiny values in range
            return cls(0.0, unit, *_spread(y / unit))
        centre, unit = robust(y)
        if bend.kind == "bilog":
            best = float(y.max()) if len(y) else 0.0
            centre, unit = best if focus is None else focus, bend.by * unit
        return cls(centre, unit, *_spread(bent((y - centre) / unit, bend)), bend)

    def forward(self, y: Array) -> Array:
        """Standardised values."""
        v = (y - self.centre) / self.unit
        return np.asarray(((v if self.bend is None else bent(v, self.bend)) - self.shift) / self.scale)

    def backward(self, z: Array) -> Array:
        """Measured values."""
        t = self.shift + self.scale * z
        return np.asarray(self.centre + self.unit * (t if self.bend is None else unbent(t, self.bend)))

    @property
    def slope(self) -> float:
        """dy/dz where there is no bend."""
        return self.unit * self.scale

    def log_slope(self, y: Array) -> float:
        """Sum of log dz/dy, which makes evidences of different bends comparable."""
        return float(self.log_slopes(y).sum())

    def variance(self, y: Array, noise: Array) -> Array:
        """Noise variances (n,) of measurements y in units of z, by the slope of the bend at y."""
        with np.errstate(divide="ignore"):  # each factor alone may be beyond floats
            return np.asarray(np.exp(np.log(noise) + 2.0 * self.log_slopes(y)))

    def log_slopes(self, y: Array) -> Array:
        """log dz/dy at each of the values y, any shape."""
        out = np.full(np.shape(y), -np.log(self.unit) - np.log(self.scale))
        if self.bend is not None:
            v = (y - self.centre) / self.unit
            out += np.log1p(np.abs(v)) * (-1.0 if self.bend.kind == "bilog" else (self.bend.by - 1.0) * np.sign(v))
        return out

    def log_stretch(self, z: Array) -> Array:
        """log dy/dz at each z, any shape, without the way over y."""
        level = np.log(self.unit) + np.log(self.scale)
        if self.bend is None:
            return np.full(np.shape(z), level)
        t = self.shift + self.scale * z
        if self.bend.kind == "bilog":
            return np.asarray(level + np.abs(t))
        power, size = self.bend.by, np.abs(t)
        right = size if power == 0.0 else np.log1p(power * size) / power  # log(1 + |v|)
        left = size if power == 2.0 else np.log1p((2.0 - power) * size) / (2.0 - power)
        return np.asarray(level + np.where(t >= 0, (1.0 - power) * right, (power - 1.0) * left))

    def moments(self, mu: Array, sd: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of y for normal z, each (b,).

        Where there is a bend: the median and half the distance of the quantiles at one standard deviation,
        since the mean of a distribution with such a tail says little about where its values lie.
        """
        if self.bend is None:
            return self.backward(mu), self.slope * sd
        return self.backward(mu), 0.5 * (self.backward(mu + sd) - self.backward(mu - sd))


def worth_a_look(y: Array) -> Sequence[Bend | None]:
    """No bend, and for skewed values y (n,) the most likely power and some bilogs."""
    power = best_power(y)
    if power is None:
        return (None,)
    return (None, power, *(Bend("bilog", share) for share in _SHARES))


def best_power(y: Array) -> Bend | None:
    """The most likely power of values y (n,) as a sample of a normal distribution; None where they are not skewed."""
    centre, unit = robust(y)
    v = (y - centre) / unit
    spread = float(v.std()) if len(v) else 0.0
    if len(y) < _FEWEST or spread < _TINY or abs(float(((v - v.mean()) ** 3).mean())) / spread**3 < _SKEWED:
        return None
    signed = float((np.sign(v) * np.log1p(np.abs(v))).sum())

    def loss(power: float) -> float:
        return float(0.5 * len(v) * np.log(yeo_johnson(v, power).var() + 1e-300) - (power - 1.0) * signed)

    low, high = _POWERS
    while high - low > 1e-3:
        a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, b) if loss(a) < loss(b) else (a, high)
    return Bend("power", round(0.5 * (low + high), 3))


def bent(v: Array, bend: Bend) -> Array:
    """t of v, any shape."""
    return np.sign(v) * np.log1p(np.abs(v)) if bend.kind == "bilog" else yeo_johnson(v, bend.by)


def unbent(t: Array, bend: Bend) -> Array:
    """v of t, any shape; where it would be beyond floats, the furthest."""
    if bend.kind == "bilog":
        return np.asarray(np.sign(t) * np.expm1(np.minimum(np.abs(t), _LARGEST)))
    return inverse_yeo_johnson(t, bend.by)


_LARGEST = 600.0  # exp of it, times any unit, is still a float


def yeo_johnson(v: Array, power: float) -> Array:
    """The power transformation of v, any shape."""
    up = np.log1p(np.maximum(v, 0.0))
    down = np.log1p(np.maximum(-v, 0.0))
    right = up if power == 0.0 else np.expm1(power * up) / power
    left = down if power == 2.0 else np.expm1((2.0 - power) * down) / (2.0 - power)
    return np.where(v >= 0, right, -left)


def inverse_yeo_johnson(t: Array, power: float) -> Array:
    """The values whose power is t, any shape."""
    right, left = np.maximum(t, 0.0), np.maximum(-t, 0.0)
    top = right if power == 0.0 else np.log1p(power * right) / power
    low = left if power == 2.0 else np.log1p((2.0 - power) * left) / (2.0 - power)
    return np.where(t >= 0, np.expm1(np.minimum(top, _LARGEST)), -np.expm1(np.minimum(low, _LARGEST)))


def robust(y: Array) -> tuple[float, float]:
    """Median and interquartile range; the largest distance from it, then 1, where half of the values are equal."""
    low, middle, high = np.quantile(y, [0.25, 0.5, 0.75]) if len(y) else (0.0, 0.0, 1.0)
    unit = float(high - low)
    size = float(np.abs(y - middle).max(initial=0.0))
    if unit <= _TINY * max(size, abs(middle)):
        unit = size
    return float(middle), unit or 1.0


def _spread(t: Array) -> tuple[float, float]:
    sd = float(t.std(ddof=1)) if len(t) > 1 else 0.0
    return (float(t.mean()) if len(t) else 0.0), (sd if sd > _EQUAL else 1.0)
