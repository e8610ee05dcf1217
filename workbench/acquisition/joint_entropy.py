"""Joint entropy search for several objectives: information about where the front is, in points and in values, jointly.

The gain is H[y] less the mean, over drawn fronts, of H[y] given the front: given its points and values, and given that
nothing dominates it, so that the outcome lies in the dominated part of the objective space. The entropy of such a
truncated normal is bounded by that of a normal of its variances, one objective at a time, which makes the gain a lower
bound. The variances are sums over boxes.
Source: Tu, Gandy, Kantas, Shafei 2022, Joint Entropy Search for Multi-Objective Bayesian Optimization, section 3.3 (the
bound that is called LB2 in BoTorch).

Symbols: b candidates Z, m objectives, s drawn fronts of p points, K boxes above a front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from workbench.errors import InvalidValueError
from workbench.models.exact import NOISELESS, ExactPosterior
from workbench.models.normal import LOG_SQRT_2PI, SD_FLOOR
from workbench.pareto import Boxes, free_boxes

Array = NDArray[np.float64]

_LOWEST = -1e6  # a value below any
_UNLIKELY = 1e-10  # least probability that the outcome is dominated
_STEP = 1e-5  # of a slope, in standard deviations


@dataclass(frozen=True)
class DrawnFront:
    """The front of one drawn function: model inputs (p, d) and values (p, m)."""

    points: Array
    values: Array


class JES:
    """A lower bound of the information, in nats; not a logarithm.

    Args:
        posteriors: One for each objective, larger is better.
        fronts: Drawn, at least one.
    """

    def __init__(self, posteriors: Sequence[ExactPosterior], fronts: Sequence[DrawnFront]) -> None:
        if not fronts or any(front.values.shape != (len(front.points), len(posteriors)) for front in fronts):
            raise InvalidValueError(
                f"needs drawn fronts with values of {len(posteriors)} objectives at their points, got "
                f"{[front.values.shape for front in fronts]}"
            )
        self._posteriors = posteriors
        self._noise = np.array([posterior.noise for posterior in posteriors])
        lowest = np.full(len(posteriors), _LOWEST)
        self._boxes = [free_boxes(front.values, lowest) for front in fronts]
        self._given = [
            [
                posterior.condition(front.points, front.values[:, j][None], NOISELESS).version(0)
                for j, posterior in enumerate(posteriors)
            ]
            for front in fronts
        ]

    def value(self, Z: Array) -> Array:
        """Information, shape (b,), at Z (b, d)."""
        _, sd = self._moments(self._posteriors, Z)
        total = _entropy(sd**2, self._noise)
        for given, boxes in zip(self._given, self._boxes, strict=True):
            total = total - self._truncated(*self._moments(given, Z), boxes) / len(self._given)
        return total

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Information, shape (b,), and its gradient, shape (b, d); by differences in the moments, exactly beyond."""
        full = [posterior.mean_sd_grad(Z) for posterior in self._posteriors]
        sd = np.stack([one[1] for one in full], axis=1)
        total = _entropy(sd**2, self._noise)
        slope = np.zeros_like(Z)
        for j, (_, _, _, dsd) in enumerate(full):
            slope += (sd[:, j] / (sd[:, j] ** 2 + self._noise[j]))[:, None] * dsd
        for given, boxes in zip(self._given, self._boxes, strict=True):
            each = [posterior.mean_sd_grad(Z) for posterior in given]
            mu, sd = (np.stack([one[i] for one in each], axis=1) for i in (0, 1))
            sd = np.maximum(sd, SD_FLOOR)
            total = total - self._truncated(mu, sd, boxes) / len(self._given)
            for j, (_, _, dmu, dsd) in enumerate(each):
                step = np.zeros_like(sd)
                step[:, j] = _STEP * sd[:, j]
                width = 2.0 * step[:, j] * len(self._given)
                by_mu = (self._truncated(mu + step, sd, boxes) - self._truncated(mu - step, sd, boxes)) / width
                by_sd = (self._truncated(mu, sd + step, boxes) - self._truncated(mu, sd - step, boxes)) / width
                slope -= by_mu[:, None] * dmu + by_sd[:, None] * dsd
        return total, slope

    @staticmethod
    def _moments(posteriors: Sequence[ExactPosterior], Z: Array) -> tuple[Array, Array]:
        pairs = [posterior.mean_sd(Z) for posterior in posteriors]
        mu, sd = (np.stack([pair[i] for pair in pairs], axis=1) for i in (0, 1))  # (b, m)
        return mu, np.maximum(sd, SD_FLOOR)

    def _truncated(self, mu: Array, sd: Array, boxes: Boxes) -> Array:
        """Bound of the entropy of what is measured, given that it lies in none of the boxes, shape (b,)."""
        low, high = ((corner - mu[:, None]) / sd[:, None] for corner in (boxes.low, boxes.high))  # (b, K, m)
        high = np.minimum(high, 1e6)
        at_low, at_high = (np.exp(-0.5 * np.minimum(z * z, 1400.0) - LOG_SQRT_2PI) for z in (low, high))
        inside = np.maximum(ndtr(high) - ndtr(low), 0.0)
        first, second = at_low - at_high, inside + low * at_low - high * at_high
        m = mu.shape[1]
        others = np.stack([np.delete(inside, j, axis=2).prod(axis=2) for j in range(m)], axis=2)
        left = np.maximum(1.0 - inside.prod(axis=2).sum(axis=1), _UNLIKELY)[:, None]  # P(dominated)
        mean = -(first * others).sum(axis=1) / left
        square = (1.0 - (second * others).sum(axis=1)) / left
        return _entropy(sd**2 * np.maximum(square - mean**2, 1e-12), self._noise)


def _entropy(variance: Array, noise: Array) -> Array:
    """Of independent normals, up to a constant, shape (b,)."""
    entropy: Array = 0.5 * np.log(variance + noise).sum(axis=1)
    return entropy
