"""Expected hypervolume improvement, exact over boxes, as a logarithm with its gradient.

With the free space above the reference point in disjoint boxes, and independent objectives, the expected improvement is
a sum over boxes of products over objectives of E[(min(U, high) - low)^+] (`marginals`): exact for any number of
objectives that boxes can be made for. Under noise and with trials in flight it is the mean over versions of what is not
known (`outcomes`), each with its own front and boxes, made once an ask.

Sources: Couckuyt, Deschrijver, Dhaene 2014, Fast calculation of multiobjective probability of improvement and expected
improvement criteria; Daulton, Balandat, Bakshy 2021 (NEHVI); Ament et al. 2023, Unexpected Improvements to Expected
Improvement (why the logarithm).

Symbols: b candidates Z, m objectives, s versions, K boxes of all versions, P different sides of one objective.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from workbench.acquisition.base import LOG_ZERO
from workbench.acquisition.marginals import Slabs
from workbench.acquisition.outcomes import Outcomes
from workbench.errors import InvalidValueError
from workbench.models.normal import log_sum_exp
from workbench.pareto import Boxes, free_boxes

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class _Sides:
    """The different (version, low, high) that boxes have along one objective.

    Args:
        slabs: Themselves, P of them.
        of: Which of them each box has, shape (K,).
        boxes: Sums what belongs to a side over the boxes that have it, shape (P, K).
        means: Sums over the sides of a version, shape (v, P).
    """

    slabs: Slabs
    of: Rows
    boxes: csr_array
    means: csr_array


class LogEHVI:
    """Logarithm of the expected hypervolume improvement; noisy, with trials in flight, by the versions of the outcomes.

    Args:
        outcomes: Of the objectives.
        reference: Worst worth that counts, shape (m,).
        most: Give up beyond so many boxes a version.
    Raises:
        OverflowError: if there are more.
    """

    def __init__(self, outcomes: Outcomes, reference: Array, most: int | None = None) -> None:
        if np.shape(reference) != (len(outcomes.marginals),) or not np.isfinite(reference).all():
            raise InvalidValueError(
                f"needs one finite reference for each of {len(outcomes.marginals)} objectives, got {reference}"
            )
        self._outcomes = outcomes
        boxes = [free_boxes(known, reference, most) for known in outcomes.known]
        self.boxes = sum(map(len, boxes))
        self._sides = [_sides(boxes, j, p.versions) for j, p in enumerate(outcomes.posteriors)]

    def value(self, Z: Array) -> Array:
        """Log expected improvement, shape (b,), at Z (b, d)."""
        logs: Array | float = 0.0
        for (mu, sd), sides, marginal in zip(
            self._outcomes.mean_sd(Z), self._sides, self._outcomes.marginals, strict=True
        ):
            log, _, _ = marginal.slabs(mu, sd, sides.slabs, slopes=False)
            logs = logs + log[sides.of]  # (K, b)
        return self._mean(np.asarray(logs))

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log expected improvement, shape (b,), and its gradient, shape (b, d)."""
        moments = self._outcomes.moments(Z)
        terms = [
            marginal.slabs(m.mu, m.sd, sides.slabs)
            for m, sides, marginal in zip(moments, self._sides, self._outcomes.marginals, strict=True)
        ]
        logs: Array | float = 0.0
        for (log, _, _), sides in zip(terms, self._sides, strict=True):
            logs = logs + log[sides.of]
        values = self._mean(np.asarray(logs))
        share = np.exp(np.maximum(logs, LOG_ZERO) - (values + math.log(self._outcomes.versions)))  # (K, b)
        slope = np.zeros_like(Z)
        for m, sides, (_, along_mu, along_sd) in zip(moments, self._sides, terms, strict=True):
            weight = sides.boxes @ share  # (P, b)
            slope += m.pull(sides.means @ (weight * along_mu))
            slope += (weight * along_sd).sum(axis=0)[:, None] * m.dsd
        return values, slope

    def _mean(self, logs: Array) -> Array:
        total = log_sum_exp(np.maximum(logs, LOG_ZERO), axis=0)
        return np.maximum(total - math.log(self._outcomes.versions), LOG_ZERO)


def _sides(boxes: Sequence[Boxes], j: int, versions: int) -> _Sides:
    """What the boxes of all versions have along objective j; versions of equal means share their sides."""
    version = np.concatenate([np.full(len(b), i if versions > 1 else 0) for i, b in enumerate(boxes)])
    low = np.concatenate([b.low[:, j] for b in boxes])
    high = np.concatenate([b.high[:, j] for b in boxes])
    unique, of = np.unique(np.stack([version, low, high], axis=1), axis=0, return_inverse=True)
    of, P, K = of.ravel(), len(unique), len(version)
    rows = unique[:, 0].astype(np.int64)
    return _Sides(
        Slabs(rows, unique[:, 1:2], unique[:, 2:3]), of,
        csr_array((np.ones(K), (of, np.arange(K))), shape=(P, K)),
        csr_array((np.ones(P), (rows, np.arange(P))), shape=(versions, P)),
    )  # fmt: skip
