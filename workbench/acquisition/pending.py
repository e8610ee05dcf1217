"""Improvement while trials are in flight: averaged over versions of what they may bring.

Symbols: b candidates Z, s versions, p trials in flight, d columns; mu, sd posterior moments.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from workbench.models.exact import ExactPosterior
from workbench.models.normal import SD_FLOOR, improvement_terms, log_sum_exp

Array = NDArray[np.float64]

VERSIONS = 32


def fantasies(posterior: ExactPosterior, P: Array, rng: np.random.Generator) -> tuple[ExactPosterior, Array]:
    """The posterior in versions of what the trials in flight may bring.

    Args:
        posterior: Given what was measured.
        P: Inputs in flight, shape (p, d).
        rng: Source of the versions, drawn in mirrored pairs.
    Returns:
        The posterior conditioned on each version, and the noise-free values in each, shape (s, p).
    """
    normals = rng.standard_normal((VERSIONS // 2, 2 * len(P)))
    normals = np.concatenate([normals, -normals])  # (s, 2p)
    f = posterior.sample(P, normals[:, : len(P)])
    noise = max(posterior.noise, SD_FLOOR)
    return posterior.condition(P, f + math.sqrt(noise) * normals[:, len(P) :], noise), f


class PendingLogEI:
    """log of the mean over versions of EI; the incumbent of a version counts what it brought.

    Source: Snoek et al. 2012, Practical Bayesian Optimization, section 3.2; differs in the logarithm.

    Args:
        posterior: In s versions.
        best: Incumbent of each, shape (s,).
    """

    def __init__(self, posterior: ExactPosterior, best: Array) -> None:
        self._posterior, self._best = posterior, best

    def value(self, Z: Array) -> Array:
        """Log expected improvement, shape (b,), at Z (b, d)."""
        mu, sd = self._posterior.mean_sd(Z)  # (b, s), (b,)
        sd = np.maximum(sd, SD_FLOOR)
        log_h = improvement_terms((mu - self._best) / sd[:, None])[0]
        logs: Array = np.log(sd) + log_sum_exp(log_h, axis=1) - math.log(log_h.shape[1])
        return logs

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log expected improvement, shape (b,), and its gradient, shape (b, d)."""
        mu, sd, pull, dsd = self._posterior.versions_grad(Z)
        sd = np.maximum(sd, SD_FLOOR)
        log_h, below, density = improvement_terms((mu - self._best) / sd[:, None])  # (b, s) each
        total = log_sum_exp(log_h, axis=1)
        share = np.exp(log_h - total[:, None])
        slope = pull(share * below / sd[:, None]) + ((share * density).sum(axis=1) / sd)[:, None] * dsd
        return np.log(sd) + total - math.log(log_h.shape[1]), slope
