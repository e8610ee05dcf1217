"""Predictive entropy search: information about where the front is, in points, not in values; of one objective, about
where the maximum is.

The gain is H[y] less the mean, over drawn fronts, of H[y] given that the points of the front are not dominated: by one
another, by rivals (trials that are known well), or by the candidate. Each such condition, 1 - prod_j [d_j > 0] for the
differences d_j = f_j(a) - f_j(x*), is replaced by normal sites on the d_j, one an objective, by expectation
propagation: those among front and rivals once a front, those of the candidate at every candidate. Its objectives are
then independent normals, whose entropies are those of their variances. Given less than the whole front, and with
normals, which have the largest entropy of a variance, the gain is smaller than the information about the front itself.
Source: Hernández-Lobato, D., Hernández-Lobato, J. M., Shah, Adams 2016, Predictive Entropy Search for Multi-objective
Bayesian Optimization, sections 3 and 4; for one objective it is Hernández-Lobato, Hoffman, Ghahramani 2014, Predictive
Entropy Search, without the conditions on the curvature. Differs in going over a candidate's conditions more than once.

Symbols: b candidates Z, m objectives, s drawn fronts of p points at most, o rivals, k = p + o, c conditions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from workbench.errors import InvalidValueError
from workbench.models.exact import ExactPosterior
from workbench.models.normal import LOG_SQRT_2PI

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Pairs = NDArray[np.int64]

_SWEEPS, _LOOKS = 20, 3  # over the conditions of a front at most, and over those of a candidate
_SETTLED = 1e-4  # change of a standardised mean or a relative variance, at which sweeps end
_KNOWN = 1e-12  # variance of a difference about which nothing is open
_FURTHEST = 30.0  # sd by which a condition may be contradicted
_LEAST = 1e-6  # of a variance is left by a condition
_STEP = 1e-5  # of a slope, in model inputs


class PES:
    """The information, in nats; not a logarithm, and approximate, so that it may fall below 0 by a little.

    Args:
        posteriors: One for each objective, larger is better.
        fronts: Points of drawn fronts, model inputs, shape (p, d) each; at least one.
        rivals: Points that dominate none of them, model inputs, shape (o, d): trials whose values are known well. Near
            one that is not, its condition would count twice.
    """

    def __init__(self, posteriors: Sequence[ExactPosterior], fronts: Sequence[Array], rivals: Array) -> None:
        if not fronts or any(front.ndim != 2 or len(front) == 0 for front in fronts):
            raise InvalidValueError(f"needs drawn fronts of shape (p, d), got {[front.shape for front in fronts]}")
        self._posteriors = posteriors
        self._noise = np.array([posterior.noise for posterior in posteriors])
        p, o, m = max(map(len, fronts)), len(rivals), len(posteriors)
        self._p = p
        # fewer points are filled up with the first one, whose copies are in no condition
        stacked = np.stack([np.concatenate([f, np.repeat(f[:1], p - len(f), axis=0), rivals]) for f in fronts])
        self._G = stacked.reshape(-1, stacked.shape[2])  # (s k, d)
        self._real = np.array([[i < len(front) for i in range(p)] for front in fronts])  # (s, p)
        shape = (len(fronts), m, p + o)
        self._mu, self._S = np.empty(shape), np.empty((*shape, p + o))
        for j, posterior in enumerate(posteriors):
            for s, G in enumerate(stacked):
                self._mu[s, j], self._S[s, j] = posterior.mean_sd(G)[0], posterior.cross(G, G)
        pairs = np.array([(a, i) for i in range(p) for a in range(p + o) if a != i], dtype=np.int64).reshape(-1, 2)
        real = np.concatenate([self._real, np.ones((len(fronts), o), dtype=bool)], axis=1)
        active: Mask = real[:, pairs[:, 0]] & real[:, pairs[:, 1]]  # (s, c)
        mean, cov = self._mu.copy(), self._S.copy()
        tau, nu = _propagate(mean, cov, pairs, active, _SWEEPS)
        self._mean, self._cov = mean[:, :, :p], cov[:, :, :p, :p]
        self._believed(pairs, tau, nu)

    def _believed(self, pairs: Pairs, tau: Array, nu: Array) -> None:
        """What a candidate's moments are made of: with sites of precision T and shift h on the values at front and
        rivals, the variance falls by K Q K^T, Q = (I + T S)^-1 T, and the mean moves by K (I + T S)^-1 (h - T mu)."""
        k = self._mu.shape[2]
        C = np.eye(k)[pairs[:, 0]] - np.eye(k)[pairs[:, 1]]
        T = np.einsum("ca,smc,cb->smab", C, tau, C, optimize=True)
        left = np.eye(k) + T @ self._S
        shift = nu @ C - np.einsum("smab,smb->sma", T, self._mu)
        self._Q = np.linalg.solve(left, T)  # (s, m, k, k)
        self._move = np.linalg.solve(left, shift[..., None])[..., 0]  # (s, m, k)
        self._to_front = (np.eye(k) - self._Q @ self._S)[..., : self._p]  # (s, m, k, p)

    def value(self, Z: Array) -> Array:
        """Information, shape (b,), at Z (b, d)."""
        (s, m, k), p, b = self._mu.shape, self._p, len(Z)
        mean: Array = np.empty((b, s, m, p + 1))
        cov: Array = np.empty((b, s, m, p + 1, p + 1))
        mean[..., 1:], cov[..., 1:, 1:] = self._mean, self._cov
        before = np.empty((b, m))
        for j, posterior in enumerate(self._posteriors):
            mu, sd = posterior.mean_sd(Z)
            K = posterior.cross(Z, self._G).reshape(b, s, k).transpose(1, 0, 2)  # (s, b, k)
            before[:, j] = sd**2
            mean[:, :, j, 0] = mu[:, None] + np.einsum("sbk,sk->bs", K, self._move[:, j])
            less = np.einsum("sbk,sbk->bs", K @ self._Q[:, j], K)
            cov[:, :, j, 0, 0] = np.maximum((sd**2)[:, None] - less, _KNOWN)
            beside = (K @ self._to_front[:, j]).transpose(1, 0, 2)  # (b, s, p)
            cov[:, :, j, 0, 1:], cov[:, :, j, 1:, 0] = beside, beside
        mean, cov = mean.reshape(b * s, m, p + 1), cov.reshape(b * s, m, p + 1, p + 1)
        active = np.broadcast_to(self._real, (b, s, p)).reshape(b * s, p)
        _propagate(mean, cov, np.array([(0, i) for i in range(1, p + 1)]), active, _LOOKS)
        after = np.maximum(cov[:, :, 0, 0], 0.0).reshape(b, s, m)
        gain: Array = 0.5 * np.log((before[:, None] + self._noise) / (after + self._noise)).sum(axis=2).mean(axis=1)
        return gain

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Information, shape (b,), and its gradient, shape (b, d), by differences."""
        b, d = Z.shape
        steps = _STEP * np.concatenate([np.zeros((1, d)), np.eye(d), -np.eye(d)])
        values = self.value((Z + steps[:, None]).reshape(-1, d)).reshape(-1, b)  # (2 d + 1, b)
        slopes: Array = (values[1 : d + 1] - values[d + 1 :]).T / (2.0 * _STEP)
        return values[0], slopes


def _propagate(mean: Array, cov: Array, pairs: Pairs, active: Mask, sweeps: int) -> tuple[Array, Array]:
    """Condition normals, in place, on f(a) not dominating f(i) for pairs (a, i), by expectation propagation.

    Args:
        mean: Of n independent problems, shape (n, m, k); objectives are independent.
        cov: Shape (n, m, k, k).
        pairs: The c conditions, in the order in which they are gone over, shape (c, 2).
        active: Which of them hold in each problem, shape (n, c).
        sweeps: Over all conditions, at most.
    Returns:
        Precisions and shifts of the sites, shape (n, m, c) each.
    """
    tau, nu = np.zeros((*mean.shape[:2], len(pairs))), np.zeros((*mean.shape[:2], len(pairs)))
    for _ in range(sweeps):
        moved = 0.0
        for c, (a, i) in enumerate(pairs):
            along = cov[..., a] - cov[..., i]  # covariance of all values with d, (n, m, k)
            v, mu = along[..., a] - along[..., i], mean[..., a] - mean[..., i]  # of d, (n, m)
            known = v > _KNOWN
            safe = np.where(known, v, 1.0)
            cavity = 1.0 / safe - tau[..., c]
            go = np.all(active[:, c, None] & known & (cavity > 0.0), axis=1, keepdims=True)
            cavity = np.where(go, cavity, 1.0)
            v0 = 1.0 / cavity
            mu0 = v0 * (mu / safe - nu[..., c])
            to_mu, to_v = _not_dominating(mu0, v0)
            tau[..., c] = np.where(go, 1.0 / to_v - cavity, tau[..., c])
            nu[..., c] = np.where(go, to_mu / to_v - mu0 * cavity, nu[..., c])
            shift = np.where(go, (to_mu - mu) / safe, 0.0)
            shrink = np.where(go, (to_v - v) / safe**2, 0.0)
            mean += along * shift[..., None]
            cov += along[..., :, None] * (along * shrink[..., None])[..., None, :]
            change = np.maximum(np.abs(shift) * np.sqrt(safe), np.abs(shrink) * safe)
            moved = max(moved, float(change.max(initial=0.0)))
        if moved < _SETTLED:
            break
    return tau, nu


def _not_dominating(mu: Array, v: Array) -> tuple[Array, Array]:
    """Means and variances, shape (n, m), of independent normals given that not all of them are positive.

    With Z = 1 - prod_j Phi(a_j), a = mu / sd, the derivative of log Z in mu_j is -u_j / sd_j, u_j = phi(a_j) prod_{k !=
    j} Phi(a_k) / Z, and the second one (u_j a_j - u_j^2) / v_j.
    """
    sd = np.sqrt(v)
    a = np.minimum(mu / sd, _FURTHEST)
    logs = log_ndtr(a)
    both = logs.sum(axis=1, keepdims=True)
    u = np.exp(both - logs - 0.5 * a * a - LOG_SQRT_2PI - np.log(-np.expm1(both)))
    return mu - sd * u, v * np.maximum(1.0 + u * (a - u), _LEAST)
