"""Maps between numbers in user units and the unit interval.

Symbols: v a value in user units, x its encoded position (0 at the low end, 1 at the high end),
u a uniform draw in [0, 1), i the index of a level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_EPS = float(np.finfo(np.float64).eps)
_EXACT = 2**53  # integers up to here are exact in float64
_MOST_DECIMALS = 300  # 10**decimals must stay finite


@dataclass(frozen=True, slots=True)
class Scale:
    """An affine or logarithmic map of [low, high] onto [0, 1], exact at both ends.

    A double in [0, 1] cannot carry every digit of v, so `decode` prefers the short decimal number
    ("tidy": 0.3, not 0.29999999999999982) among those that encode to the very same x. Tidy values
    therefore survive decode(encode(v)) bit for bit, and all others to a few units of the last place
    of max(|low|, |high|).
    """

    low: float
    high: float
    log: bool = False

    @property
    def decimals(self) -> int:
        """Decimals kept by `tidy`: the affine round trip errs by at most 4 eps S, S the largest
        magnitude in it, and half a decimal unit must exceed that."""
        largest = max(abs(self.low), abs(self.high))
        return min(math.floor(-math.log10(8 * _EPS) - math.log10(largest)), _MOST_DECIMALS)

    @property
    def digits(self) -> int:
        """Significant digits kept by `tidy` on a log scale: its round trip errs by at most about
        (4 T + 2) eps relative, T the largest |log v| (rounding of log, its scaling, and exp)."""
        largest = max(abs(math.log(self.low)), abs(math.log(self.high)))
        return math.floor(-math.log10(2 * (4 * largest + 2) * _EPS))

    @property
    def resolution(self) -> float:
        """The spacing of tidy values as a share of the range (affine scales)."""
        return float(10.0**-self.decimals / (self.high - self.low))

    def encode(self, v: Array) -> Array:
        """Return positions x of the shape of v; values outside the ends go beyond [0, 1]."""
        if self.log:
            bottom, top = np.log(self.low), np.log(self.high)
            return np.asarray((np.log(v) - bottom) / (top - bottom), dtype=np.float64)
        return np.asarray((v - self.low) / (self.high - self.low), dtype=np.float64)

    def decode(self, x: Array) -> Array:
        """Return values of the shape of x, clipped to [low, high]."""
        x = np.clip(x, 0.0, 1.0)
        v = self.raw(x)
        tidy = self.tidy(v)
        v = np.where(self.encode(tidy) == x, tidy, v)
        return np.where(x >= 1.0, self.high, np.where(x <= 0.0, self.low, v))

    def raw(self, x: Array) -> Array:
        """Decode without tidying; x within [0, 1]."""
        if self.log:
            bottom, top = np.log(self.low), np.log(self.high)
            v = np.exp(bottom + x * (top - bottom))
        else:
            v = self.low + x * (self.high - self.low)
        return np.asarray(np.clip(v, self.low, self.high), dtype=np.float64)

    def tidy(self, v: Array) -> Array:
        """Round to the shortest decimals that the encoding resolves, within the ends."""
        rounded = _significant(v, self.digits) if self.log else _rounded(v, self.decimals)
        return np.asarray(np.clip(rounded, self.low, self.high), dtype=np.float64)

    def snap(self, x: Array) -> Array:
        """Return the nearest positions that decode to tidy values, so that encode(decode(x)) == x."""
        return self.encode(self.tidy(self.raw(np.clip(x, 0.0, 1.0))))


def _rounded(v: Array, decimals: int) -> Array:
    # Dividing by an exact power of ten is what makes the result equal to the decimal literal.
    if decimals >= 0:
        return np.asarray(np.rint(v * 10.0**decimals) / 10.0**decimals, dtype=np.float64)
    return np.asarray(np.rint(v / 10.0**-decimals) * 10.0**-decimals, dtype=np.float64)


def _significant(v: Array, digits: int) -> Array:
    shift = digits - 1 - np.floor(np.log10(v))  # decimals to keep, per value
    up = 10.0 ** np.clip(shift, 0, _MOST_DECIMALS)
    down = 10.0 ** np.clip(-shift, 0, _MOST_DECIMALS)
    return np.asarray(np.rint(v * up / down) * down / up, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Lattice:
    """Equally spaced levels low + i step, i = 0 .. count - 1, at their affine or log position.

    Levels are computed in whole decimal units where these are exact, so that they print cleanly
    (0.3, not 0.30000000000000004).
    """

    low: float
    step: float
    count: int
    log: bool = False

    @classmethod
    def over(cls, low: float, high: float, step: float, log: bool) -> Lattice:
        """Return the lattice from low up to the last level that does not exceed high."""
        # 1e-9 of a step absorbs the rounding of (high - low) / step.
        return cls(low, step, math.floor((high - low) / step + 1e-9) + 1, log)

    @property
    def last(self) -> float:
        return float(self.level(np.array([self.count - 1]))[0])

    @property
    def _scale(self) -> Scale:
        return Scale(self.low, self.last, self.log)

    def level(self, i: Indices | Array) -> Array:
        """Return the values of levels i, of the shape of i; i may lie outside 0 .. count - 1."""
        places = max(_places(self.low), _places(self.step), 0)
        unit = 10**places
        start, stride = round(Decimal(repr(self.low)) * unit), round(Decimal(repr(self.step)) * unit)
        if places <= 22 and abs(start) + self.count * stride < _EXACT:
            return np.asarray((start + i * float(stride)) / float(unit), dtype=np.float64)
        return np.asarray(self.low + i * self.step, dtype=np.float64)

    def nearest(self, v: Array) -> Indices:
        """Return the indices of the levels nearest to values v, beyond the ends too."""
        return np.rint((v - self.low) / self.step).astype(np.int64)

    def encode(self, v: Array) -> Array:
        """Return positions of values; a single level stands at 0.5."""
        if self.count == 1:
            return np.asarray(0.5 + (v - self.low) / self.step, dtype=np.float64)
        return self._scale.encode(v)

    def index(self, x: Array) -> Indices:
        """Return the indices of the levels whose positions are nearest to x, clipped to the ends."""
        if self.count == 1:
            return np.zeros(x.shape, dtype=np.int64)
        v = self._scale.raw(np.clip(x, 0.0, 1.0))
        left = np.clip(np.floor((v - self.low) / self.step), 0, self.count - 2)
        nearer_right = x - self.encode(self.level(left)) > self.encode(self.level(left + 1)) - x
        return left.astype(np.int64) + nearer_right

    def place(self, v: Array) -> Array:
        """Return the positions of the levels nearest to values v, clipped to the ends."""
        return self.encode(self.level(np.clip(self.nearest(v), 0, self.count - 1)))

    def sample(self, u: Array) -> Indices:
        """Return level indices by inverse CDF: equal probabilities, or by log-width when `log`.

        On a log scale level v has the mass of [v - step/2, v + step/2] in log v, renormalised; a lower
        edge that would not be positive is taken at low/2.
        """
        if not self.log:
            return np.minimum(np.floor(u * self.count), self.count - 1).astype(np.int64)
        half = self.step / 2
        bottom = math.log(self.low - half if self.low > half else self.low / 2)
        top = math.log(self.last + half)
        v = np.exp(bottom + u * (top - bottom))
        return np.clip(self.nearest(v), 0, self.count - 1)


def _places(number: float) -> int:
    exponent = Decimal(repr(number)).as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
