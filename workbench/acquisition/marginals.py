"""What one objective is worth when its modelled value is normal: expectations over slabs, and probabilities.

Box decompositions need E[(min(U, high) - low)^+], the expected height of U within a slab, and scalarisations P(U > t),
each as a logarithm with its derivatives in the moments of z. U is z itself where the model has no bend, the measured
value that a bent z stands for, or the utility of an objective with a target. All are integrals of P(U > t) over t, so
nothing is ever a difference of two large numbers.

Symbols: z normal with mean mu and sd (of the model's standardised values); U its worth, larger is better; s = (mu -
t) / sd; of slabs mu (P, b), sd (b,), low and high (P, 1), of the rest any one shape after broadcasting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from workbench.acquisition.base import LOG_ZERO
from workbench.models.normal import LOG_SQRT_2PI, SD_FLOOR, hazard, improvement_terms, log_interval, log_sum_exp
from workbench.models.outcomes import Outcome

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Terms = tuple[Array, Array, Array]
"""A logarithm and its derivatives in mu and in sd."""

_CERTAIN = 8.0  # sd from which Phi is 1 to the last digit
_NARROW = 0.1  # slabs that are narrower, in sd and in the length over which Phi changes, go by quadrature
_FAR = 60.0  # exp(-_FAR / 2) is nothing beside 1
_CANCELLED = 0.999
_STEEPEST = 300.0  # log of a slope beyond which a search only wants its direction
_NODES, _WEIGHTS = (np.asarray(v, dtype=np.float64) for v in np.polynomial.legendre.leggauss(8))
_FEW, _FEW_WEIGHTS = (np.asarray(v, dtype=np.float64) for v in np.polynomial.legendre.leggauss(4))
_MANY, _MANY_WEIGHTS = (np.asarray(v, dtype=np.float64) for v in np.polynomial.legendre.leggauss(12))
_MANY, _LOG_MANY = (v[:, None, None, None] for v in (_MANY, np.log(_MANY_WEIGHTS)))  # over (panels, sides, points)
_NONE = np.empty(0)


@dataclass(frozen=True)
class Slabs:
    """Slabs of several versions of the means, many of which have ends in common.

    Args:
        version: Row of the means, shape (P,).
        low, high: Shape (P, 1), high perhaps infinite.
    """

    version: Rows
    low: Array
    high: Array

    @cached_property
    def ended(self) -> Rows:
        """Which of them have a finite high, shape (e,)."""
        return np.flatnonzero(np.isfinite(self.high[:, 0]))

    @cached_property
    def ends(self) -> tuple[Rows, Array, Rows, Rows]:
        """The different (version, end): rows of the means (E,), ends (E, 1); which each low (P,) and high (e,) is."""
        low = np.column_stack([self.version, self.low])
        high = np.column_stack([self.version, self.high])[self.ended]
        different, which = np.unique(np.concatenate([low, high]), axis=0, return_inverse=True)
        of_low, of_high = np.split(which.ravel(), [len(low)])
        return different[:, 0].astype(np.int64), different[:, 1:], of_low, of_high


class Marginal(Protocol):
    """How the value of one objective becomes what is maximised. Slopes that are not wanted come back empty."""

    @property
    def seconds(self) -> float:
        """What a side costs at one point, on one core as it was measured."""
        ...

    def worth(self, z: Array) -> Array:
        """U of modelled values."""
        ...

    def hoped(self, mu: Array, sd: Array) -> Array:
        """The best U within a number of standard deviations, `sd` already times it."""
        ...

    def furthest(self, mu: Array, sd: Array, t: Array) -> Array:
        """The U above t beyond which nothing is left of P(U > t)."""
        ...

    def slab(self, mu: Array, sd: Array, low: Array, high: Array, *, slopes: bool = True) -> Terms:
        """log E[(min(U, high) - low)^+] for low < high, high perhaps infinite."""
        ...

    def slabs(self, mu: Array, sd: Array, slabs: Slabs, *, slopes: bool = True) -> Terms:
        """The same of many, shape (P, b), for versions mu (v, b) and sd (b,)."""
        ...

    def exceeds(self, mu: Array, sd: Array, t: Array, *, slopes: bool = True) -> Terms:
        """log P(U > t)."""
        ...


@dataclass(frozen=True)
class Plain:
    """U = z."""

    seconds: ClassVar[float] = 6e-8

    def worth(self, z: Array) -> Array:
        return z

    def hoped(self, mu: Array, sd: Array) -> Array:
        return mu + sd

    def furthest(self, mu: Array, sd: Array, t: Array) -> Array:
        return _furthest(mu, sd, t)

    def slab(self, mu: Array, sd: Array, low: Array, high: Array, *, slopes: bool = True) -> Terms:
        return _slab(mu, sd, low, high, slopes)

    def slabs(self, mu: Array, sd: Array, slabs: Slabs, *, slopes: bool = True) -> Terms:
        version, ends, of_low, of_high = slabs.ends
        sd = np.maximum(sd, SD_FLOOR)
        s = (mu[version] - ends) / sd  # (E, b)
        terms = improvement_terms(s, slopes=slopes)
        at_low, at_high = (_taken(terms, rows) for rows in (of_low, of_high))
        shape = len(slabs.version), len(sd)
        sd, low, high = (np.broadcast_to(v, shape) for v in (sd, slabs.low, slabs.high))
        return _difference(sd, low, high, slabs.ended, (s[of_low], s[of_high]), (at_low, at_high), slopes)

    def exceeds(self, mu: Array, sd: Array, t: Array, *, slopes: bool = True) -> Terms:
        return _exceeds(mu, sd, t, slopes)


@dataclass(frozen=True)
class Bent:
    """U = the measured value that a bent z stands for, in robust units: monotone, and not normal.

    By quadrature over the slab in z, with the slope of the inverse bend.
    """

    outcome: Outcome
    seconds: ClassVar[float] = 6e-7

    def worth(self, z: Array) -> Array:
        return (self.outcome.backward(z) - self.outcome.centre) / self.outcome.unit

    def hoped(self, mu: Array, sd: Array) -> Array:
        return self.worth(mu + sd)

    def furthest(self, mu: Array, sd: Array, t: Array) -> Array:
        return self.worth(_furthest(mu, sd, self._standardised(t)))

    def _standardised(self, U: Array) -> Array:
        """The z that is worth U."""
        return self.outcome.forward(self.outcome.centre + self.outcome.unit * U)

    def slab(self, mu: Array, sd: Array, low: Array, high: Array, *, slopes: bool = True) -> Terms:
        sd = np.maximum(sd, SD_FLOOR)
        floor, top = self._standardised(low), np.where(np.isinf(high), np.inf, self._standardised(high))
        below, above = (mu - floor) / sd, np.where(np.isinf(top), -np.inf, (mu - top) / sd)  # s at the ends
        last = np.minimum(below, _CERTAIN)
        first = np.maximum(np.minimum(above, last), -np.sqrt(np.minimum(last, 0.0) ** 2 + _FAR))
        kink = (mu - self._standardised(np.zeros(()))) / sd  # the slope of a bilog jumps at its centre
        kink = np.where((first < kink) & (kink < last), kink, (first + last) / 2)
        ends = np.stack([first, kink, last])
        half, middle = np.diff(ends, axis=0) / 2, (ends[1:] + ends[:-1]) / 2  # (2, ...)
        s = middle + _MANY * half  # (12, 2, ...)
        logs = log_ndtr(s) + self.outcome.log_stretch(mu - sd * s)
        logs += _LOG_MANY + np.log(np.maximum(half, 1e-300) * sd / self.outcome.unit)
        peak = logs.max(axis=(0, 1))
        parts = np.exp(logs - peak)
        total = parts.sum(axis=(0, 1))
        value = peak + np.log(total)
        sure = np.flatnonzero(np.ravel(below) > _CERTAIN)  # below s = 8 lies a part where P(U > t) is 1
        if sure.size:
            m, d, up, lo = (np.broadcast_to(v, total.shape).ravel()[sure] for v in (mu, sd, above, low))
            gap = np.maximum(self.worth(m - d * np.maximum(up, _CERTAIN)) - lo, 1e-300)
            value.ravel()[sure] = np.logaddexp(value.ravel()[sure], np.log(gap))
        if not slopes:
            return np.maximum(value, LOG_ZERO), _NONE, _NONE
        rate = parts * hazard(s) * np.exp(peak - value)
        return np.maximum(value, LOG_ZERO), rate.sum(axis=(0, 1)) / sd, -(rate * s).sum(axis=(0, 1)) / sd

    def slabs(self, mu: Array, sd: Array, slabs: Slabs, *, slopes: bool = True) -> Terms:
        return self.slab(mu[slabs.version], sd, slabs.low, slabs.high, slopes=slopes)

    def exceeds(self, mu: Array, sd: Array, t: Array, *, slopes: bool = True) -> Terms:
        return _exceeds(mu, sd, self._standardised(t), slopes)


@dataclass(frozen=True)
class Targeted:
    """U = -max(0, |z - target| - tolerance).

    With v the distance that is still good enough, P(U > -v) is that of an interval around the target, so a slab is a
    difference of two plain ones, or where these cancel an integral over intervals.
    """

    target: float
    tolerance: float
    seconds: ClassVar[float] = 2e-7

    def worth(self, z: Array) -> Array:
        return -np.maximum(0.0, np.abs(z - self.target) - self.tolerance)

    def hoped(self, mu: Array, sd: Array) -> Array:
        return -np.maximum(0.0, np.abs(mu - self.target) - self.tolerance - sd)

    def furthest(self, mu: Array, sd: Array, t: Array) -> Array:
        off = np.abs(mu - self.target)
        return np.minimum(_furthest(self.tolerance - off, sd, np.minimum(t, 0.0)), 0.0)

    def slab(self, mu: Array, sd: Array, low: Array, high: Array, *, slopes: bool = True) -> Terms:
        sd = np.maximum(sd, SD_FLOOR)
        mu, sd, low, high = np.broadcast_arrays(mu, sd, low, np.minimum(high, 0.0))
        side, off = np.where(mu <= self.target, 1.0, -1.0), np.abs(mu - self.target)
        empty = high <= low
        low = np.where(empty, high - 1.0, low)
        near, near_mu, near_sd = _slab(self.tolerance - off, sd, low, high, True)
        far, far_mu, far_sd = _slab(-self.tolerance - off, sd, -high, -low, True)
        ratio = np.exp(np.minimum(far - near, 0.0))
        cancelled = ratio > _CANCELLED
        left = np.where(cancelled, 1.0, 1.0 - ratio)
        logs = near + np.log(left)
        along_mu, along_sd = (near_mu - ratio * far_mu) / left, (near_sd - ratio * far_sd) / left
        if cancelled.any():
            layers = self._layers(off[cancelled], sd[cancelled], low[cancelled], high[cancelled])
            logs[cancelled], along_mu[cancelled], along_sd[cancelled] = layers
        return np.where(empty, LOG_ZERO, logs), np.where(empty, 0.0, side * along_mu), np.where(empty, 0.0, along_sd)

    def slabs(self, mu: Array, sd: Array, slabs: Slabs, *, slopes: bool = True) -> Terms:
        return self.slab(mu[slabs.version], sd, slabs.low, slabs.high, slopes=slopes)

    def exceeds(self, mu: Array, sd: Array, t: Array, *, slopes: bool = True) -> Terms:
        sd = np.maximum(sd, SD_FLOOR)
        mu, sd, t = np.broadcast_arrays(mu, sd, t)
        side, off = np.where(mu <= self.target, 1.0, -1.0), np.abs(mu - self.target)
        never = t >= 0
        logs, along_mu, along_sd = _within(off, sd, self.tolerance - np.where(never, -1.0, t))
        return (
            np.where(never, LOG_ZERO, logs),
            np.where(never, 0.0, side * along_mu),
            np.where(never, 0.0, along_sd),
        )

    def _layers(self, off: Array, sd: Array, low: Array, high: Array) -> Terms:
        half = (high - low) / 2
        t = ((high + low) / 2)[..., None] + half[..., None] * _NODES
        logs, along_mu, along_sd = _within(off[..., None], sd[..., None], self.tolerance - t)
        logs = logs + np.log(_WEIGHTS) + np.log(half)[..., None]
        total = log_sum_exp(logs, axis=-1)
        share = np.exp(logs - total[..., None])
        return total, (share * along_mu).sum(axis=-1), (share * along_sd).sum(axis=-1)


def _furthest(mu: Array, sd: Array, t: Array) -> Array:
    """Where P(z > t) has fallen by exp(-_FAR / 2)."""
    sd = np.maximum(sd, SD_FLOOR)
    s = (mu - t) / sd
    return np.asarray(t + sd * (s + np.sqrt(np.minimum(s, 0.0) ** 2 + _FAR)))


def _exceeds(mu: Array, sd: Array, t: Array, slopes: bool) -> Terms:
    sd = np.maximum(sd, SD_FLOOR)
    s = (mu - t) / sd
    if not slopes:
        return np.maximum(log_ndtr(s), LOG_ZERO), _NONE, _NONE
    rate = np.minimum(hazard(s), np.exp(_STEEPEST)) / sd
    return np.maximum(log_ndtr(s), LOG_ZERO), rate, -rate * s


def _within(off: Array, sd: Array, reach: Array) -> Terms:
    """log P(|e sd - off| <= reach), e standard normal, off >= 0, and its derivatives in -off and in sd."""
    low, high = (-off - reach) / sd, (reach - off) / sd
    logs = log_interval(np.minimum(low, high - 1e-300), high)
    at_low, at_high = (np.exp(np.minimum(-0.5 * z * z - LOG_SQRT_2PI - logs, _STEEPEST)) for z in (low, high))
    return logs, (at_high - at_low) / sd, (low * at_low - high * at_high) / sd


def _slab(mu: Array, sd: Array, low: Array, high: Array, slopes: bool) -> Terms:
    """sd (h(s_low) - h(s_high)) of any shapes that fit."""
    whole = np.broadcast_arrays(mu, np.maximum(sd, SD_FLOOR), low, high)
    mu, sd, low, high = map(np.ravel, whole)
    ended = np.flatnonzero(~np.isinf(high))
    a, b = (mu - low) / sd, ((mu - high) / sd)[ended]
    ends = improvement_terms(a, slopes=slopes), improvement_terms(b, slopes=slopes)
    logs, along_mu, along_sd = _difference(sd, low, high, ended, (a, b), ends, slopes)
    shape = whole[0].shape
    if not slopes:
        return logs.reshape(shape), _NONE, _NONE
    return logs.reshape(shape), along_mu.reshape(shape), along_sd.reshape(shape)


def _taken(terms: Terms, rows: Rows) -> Terms:
    logs, along_mu, along_sd = (term[rows] if term.size else term for term in terms)
    return logs, along_mu, along_sd


def _difference(
    sd: Array, low: Array, high: Array, ended: Rows, s: tuple[Array, Array], ends: tuple[Terms, Terms], slopes: bool
) -> Terms:
    """log sd (h(s_low) - h(s_high)) and its derivatives; by quadrature of Phi where that cancels.

    Args:
        sd, low, high: Of the slabs, one shape (P, ...).
        ended: Rows of those whose high is finite, shape (e,).
        s: At the low ends, shape (P, ...), and at the high ends of those, shape (e, ...).
        ends: `improvement_terms` there.
        slopes: Are the derivatives wanted?
    """
    (a, b), ((log_a, below_a, density_a), (log_b, below_b, density_b)) = s, ends
    logs = np.log(sd) + log_a
    along_mu, along_sd = (below_a / sd, density_a / sd) if slopes else (_NONE, _NONE)
    if ended.size == 0:
        return logs, along_mu, along_sd
    a, log_a, sd, low, high = (v[ended] for v in (a, log_a, sd, low, high))
    ratio = np.exp(np.minimum(log_b - log_a, 0.0))
    certain = b > _CERTAIN
    thin = ((high - low) / sd * np.maximum(1.0, -a) < _NARROW) & ~certain
    left = np.maximum(1.0 - ratio, 1e-300)
    left[certain | thin] = 1.0
    value = np.log(sd * left) + log_a
    value[certain] = np.log((high - low)[certain])
    nodes = ((a[thin] + b[thin]) / 2)[:, None] + ((high - low)[thin] / sd[thin] / 2)[:, None] * _FEW  # (k, 4)
    parts = log_ndtr(nodes) + np.log(_FEW_WEIGHTS / 2)
    total = log_sum_exp(parts, axis=1)
    value[thin] = total + np.log((high - low)[thin])
    logs[ended] = value
    if not slopes:
        return logs, _NONE, _NONE
    pairs = ((below_a[ended], below_b), (density_a[ended], density_b))
    slope_mu, slope_sd = ((x - ratio * y) / (sd * left) for x, y in pairs)
    slope_mu[certain], slope_sd[certain] = 0.0, 0.0
    rate = np.exp(parts - total[:, None]) * hazard(nodes) / sd[thin][:, None]
    slope_mu[thin], slope_sd[thin] = rate.sum(axis=1), -(rate * nodes).sum(axis=1)
    along_mu[ended], along_sd[ended] = slope_mu, slope_sd
    return logs, along_mu, along_sd
