"""Hyperparameters that the data leave possible, beside the most likely ones.

Sampling importance resampling (Rubin 1988): proposals from a Student t distribution around the maximum a posteriori
whose precision is the curvature there, weighted by the posterior density. Where few proposals carry the weight the
weights are flattened, which errs on the wide side.

Symbols: t hyperparameters theta, k proposals, n trials.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.models.exact import Data, Prior, Settings, log_posterior

Array = NDArray[np.float64]

_PROPOSALS = 128
_FREEDOM = 5.0  # of the t distribution
_STEP = 1e-3  # of log theta, for the curvature
_MOST = 150  # trials looked at; of more, an even sample, which errs on the wide side


def plausible(data: Data, settings: Settings, n: int, rng: np.random.Generator) -> list[Settings]:
    """Draws from the posterior of the hyperparameters, those of the given kernel kind.

    Args:
        data: What was learnt from.
        settings: The most likely hyperparameters.
        n: Number of draws; one may come several times.
        rng: Source of randomness.
    """
    rows = np.unique(np.linspace(0, len(data.y) - 1, min(len(data.y), _MOST)).astype(np.int64))
    data = data if len(rows) == len(data.y) else data.at(rows)
    prior, centre = Prior.of(data), settings.theta
    if len(data.y) < 2:
        thetas = np.clip(prior.mean + prior.sd * rng.standard_normal((n, centre.size)), prior.low, prior.high)
        return [Settings(settings.kind, theta) for theta in thetas]
    root = _root(data, settings, prior)  # covariance root root^T, (t, t)
    normals = rng.standard_normal((_PROPOSALS, centre.size))
    stretch = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, size=(_PROPOSALS, 1)))
    U = normals * stretch
    thetas = np.clip(centre + U @ root.T, prior.low, prior.high)
    thetas[0], U[0] = centre, 0.0
    logs = np.array([_density(data, Settings(settings.kind, theta), prior) for theta in thetas])
    logs += 0.5 * (_FREEDOM + centre.size) * np.log1p((U**2).sum(axis=1) / _FREEDOM)
    weights = _flattened(logs, n)
    # one draw in each of n equal shares of the weight: fewer repetitions than independent ones
    places = (np.arange(n) + rng.random(n)) / n
    chosen = np.searchsorted(np.cumsum(weights), places).clip(max=_PROPOSALS - 1)
    return [Settings(settings.kind, thetas[i]) for i in chosen.tolist()]


def _density(data: Data, settings: Settings, prior: Prior) -> float:
    try:
        return log_posterior(data, settings, prior)[0]
    except np.linalg.LinAlgError:
        return -np.inf


def _root(data: Data, settings: Settings, prior: Prior) -> Array:
    """R with R R^T the inverse curvature at the maximum, no direction wider than the prior allows."""
    t = settings.theta.size
    H = np.zeros((t, t))
    for i in range(t):
        ahead, behind = settings.theta.copy(), settings.theta.copy()
        ahead[i] += _STEP
        behind[i] -= _STEP
        slopes = [log_posterior(data, Settings(settings.kind, theta), prior)[1] for theta in (ahead, behind)]
        H[i] = (slopes[1] - slopes[0]) / (2.0 * _STEP)
    H = 0.5 * (H + H.T)
    scaled = H * np.outer(prior.sd, prior.sd)  # in units of the prior
    values, vectors = np.linalg.eigh(scaled)
    values = np.maximum(values, 1.0)  # at least as narrow as the prior
    return np.asarray(prior.sd[:, None] * vectors / np.sqrt(values))


def _flattened(logs: Array, n: int) -> Array:
    """Weights that add up to 1, to such a power that the effective number of proposals is at least n / 2."""
    logs = logs - logs.max()
    power = 1.0
    while True:
        weights = np.exp(power * logs)
        weights /= weights.sum()
        if power < 0.01 or 1.0 / float((weights**2).sum()) >= 0.5 * n:
            return np.asarray(weights)
        power *= 0.8
