"""Several objectives as one: expected improvement of a weighted Chebyshev scalarisation.

S = min_j w_j (U_j - ideal_j) / (ideal_j - nadir_j) is the negative weighted distance to the ideal point; its maximisers
over all weights are the weakly Pareto-optimal points. For independent objectives P(S > t) is a product over the
objectives, so that the expected improvement E[(S - best)^+], the integral of P(S > t) above the incumbent, is one
quadrature: exact, smooth and as cheap for ten objectives as for two.

Source: Knowles 2006, ParEGO; the noisy form of Daulton, Balandat, Bakshy 2020, Differentiable Expected Hypervolume
Improvement, section 4. Differs in modelling the objectives instead of the scalarised value, and in having no sum term,
without which the product would not be exact.

Symbols: b candidates Z, m objectives, s versions, q nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.acquisition.base import LOG_ZERO
from workbench.acquisition.outcomes import Moments, Outcomes
from workbench.errors import InvalidValueError
from workbench.models.normal import log_sum_exp

Array = NDArray[np.float64]

_NODES, _WEIGHTS = (np.asarray(v, dtype=np.float64) for v in np.polynomial.legendre.leggauss(32))
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Chebyshev:
    """The scalarisation min_j slope_j (u_j - anchor_j) of worths u, larger is better; make one with `of`.

    Args:
        slope: Weight of each objective over its range, shape (m,).
        anchor: Worth that it is zero at, shape (m,).
    """

    slope: Array
    anchor: Array

    @classmethod
    def of(cls, weights: Array, nadir: Array, ideal: Array, anchor: Array | None = None) -> Chebyshev:
        """By weights.

        Args:
            weights: How much each objective counts, shape (m,), not negative, not all zero.
            nadir, ideal: Worth between which the objectives are compared, shape (m,).
            anchor: Worth that the scalarisation is zero at, shape (m,); None: the ideal. Above zero are then the points
                that are better everywhere, as in Golovin, Zhang 2020, Random Hypervolume Scalarizations.
        """
        m = len(ideal)
        if np.shape(weights) != (m,) or not (np.asarray(weights) >= 0).all() or not np.sum(weights) > 0:
            raise InvalidValueError(f"needs {m} weights that are not negative and not all zero, got {weights}")
        shares = np.maximum(np.asarray(weights) / np.sum(weights), _LEAST_WEIGHT)
        slope = shares / np.where(ideal > nadir, ideal - nadir, 1.0)
        return cls(slope, np.asarray(ideal if anchor is None else anchor, dtype=np.float64))

    def __call__(self, U: Array) -> Array:
        """Of worths (..., m), shape (...)."""
        values: Array = (self.slope * (U - self.anchor)).min(axis=-1)
        return values


class LogParEGO:
    """Logarithm of the expected improvement of the scalarisation, over the best known point of each version.

    Args:
        outcomes: Of the objectives.
        way: How they become one.
        worst: Worth that counts as known where nothing is, shape (m,).
    """

    def __init__(self, outcomes: Outcomes, way: Chebyshev, worst: Array) -> None:
        self._outcomes, self._slope, self._ideal = outcomes, way.slope, way.anchor
        scores, least = way(outcomes.known), float(way(np.asarray(worst)))  # (s, p)
        self._best = np.where(np.isnan(scores), least, scores).max(axis=1, initial=least)  # (s,)

    def value(self, Z: Array) -> Array:
        """Log expected improvement, shape (b,), at Z (b, d)."""
        moments = self._outcomes.mean_sd(Z)
        t, log_width = self._nodes(moments)
        return self._integral(self._terms(moments, t, slopes=False)[0], log_width)

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log expected improvement, shape (b,), and its gradient, shape (b, d)."""
        full: list[Moments] = self._outcomes.moments(Z)
        moments = [(m.mu, m.sd) for m in full]
        t, log_width = self._nodes(moments)
        logs, slopes = self._terms(moments, t)
        values = self._integral(logs, log_width)
        weight = np.log(_WEIGHTS / 2) + log_width[..., None] - (values + math.log(len(self._best)))[:, None]
        share = np.exp(np.maximum(logs + weight, -700.0))  # (s, b, q)
        slope = np.zeros_like(Z)
        for m, (along_mu, along_sd) in zip(full, slopes, strict=True):
            towards = (share * along_mu).sum(axis=2)  # (s, b)
            slope += m.pull(towards if len(m.mu) > 1 else towards.sum(axis=0, keepdims=True))
            slope += (share * along_sd).sum(axis=(0, 2))[:, None] * m.dsd
        return values, slope

    def _nodes(self, moments: list[tuple[Array, Array]]) -> tuple[Array, Array]:
        """Scores above the incumbents up to where nothing is left, shape (s, b, q), and the log of the range (s, b)."""
        ends = []
        for j, (mu, sd) in enumerate(moments):
            # an objective alone would reach the incumbent at this worth
            at = self._ideal[j] + self._best[:, None] / self._slope[j]  # (s, 1)
            ends.append(self._slope[j] * (self._outcomes.marginals[j].furthest(mu, sd, at) - at))
        width = np.maximum(np.min(ends, axis=0), 1e-12 * self._slope.max())
        t = self._best[:, None, None] + width[..., None] * (0.5 * (_NODES + 1.0))
        return t, np.log(width)

    def _terms(
        self, moments: list[tuple[Array, Array]], t: Array, *, slopes: bool = True
    ) -> tuple[Array, list[tuple[Array, Array]]]:
        """log P(S > t), shape (s, b, q), and its derivatives in mu and sd of each objective."""
        logs, found = np.zeros_like(t), []
        for j, (mu, sd) in enumerate(moments):
            at = self._ideal[j] + t / self._slope[j]
            log_p, along_mu, along_sd = self._outcomes.marginals[j].exceeds(
                mu[..., None], sd[:, None], at, slopes=slopes
            )
            logs = logs + log_p
            found.append((along_mu, along_sd))
        return np.maximum(logs, LOG_ZERO), found

    def _integral(self, logs: Array, log_width: Array) -> Array:
        inner = log_sum_exp(logs + np.log(_WEIGHTS / 2), axis=2) + log_width  # (s, b)
        return np.maximum(log_sum_exp(inner, axis=0) - math.log(len(inner)), LOG_ZERO)
