"""Hypervolume knowledge gradient: what one more measurement is expected to add to the hypervolume of the means.

After a measurement at x of some of the objectives each measured one's posterior mean at x' moves to mu_j(x') +
b_j(x', x) z_j, b_j = S_j(x', x) / sqrt(S_j(x, x) + noise_j), with independent standard normals z_j; the others stay.
The final front is that of the means over a finite set and x. Since measuring one objective alone teaches something,
too, it is the function by which to decide which objective to measure next, at its cost.

Along each z_j alone the hypervolume is convex, an integral of maxima of lines. So over nodes of which every z_j has the
mean zero, whatever the others are, the gain is never negative, nor greater for some of the objectives than for all. The
nodes are strata of half a normal, as even a design as Sobol's points are, with all combinations of signs; and shells
far out on each axis, without which there would be no slope where a gain takes much luck.
Source: Daulton, Balandat, Bakshy 2023, Hypervolume Knowledge Gradient, eq. 4; differs in the finite set, as in the
discrete knowledge gradient, and in the nodes instead of random samples.

Symbols: b candidates Z, k points A, m objectives, q nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from workbench.acquisition.base import BATCH, LOG_ZERO
from workbench.acquisition.marginals import Marginal
from workbench.errors import InvalidValueError
from workbench.models.exact import ExactPosterior
from workbench.models.normal import SD_FLOOR
from workbench.pareto import hypervolume

Array = NDArray[np.float64]

_STRATA = {1: 32, 2: 32, 3: 16, 4: 8}  # by the number of objectives; each makes 2^m nodes
_SHELLS = (3.0, 4.5, 6.0)  # |z| from which on they begin
_FLAT, _SLICED = 3, 5  # objectives up to which slices are quicker, without slopes and with them
_FEW = 32  # candidates at once, from three objectives on
_SMALL = 1e-6  # step of a slope, of the size of what it is a slope of


class LogHVKG:
    """Logarithm of the expected gain in hypervolume of the means, less the logarithm of what the measurement costs.

    Args:
        posteriors: One for each objective.
        marginals: What each is worth.
        A: Where the final front may be, model inputs, shape (k, d).
        reference: Worst worth that counts, shape (m,).
        measured: Which objectives are measured, shape (m,); all when absent.
        cost: Of the measurement, any unit.
    """

    def __init__(
        self,
        posteriors: Sequence[ExactPosterior],
        marginals: Sequence[Marginal],
        A: Array,
        reference: Array,
        measured: NDArray[np.bool_] | None = None,
        cost: float = 1.0,
    ) -> None:
        m = len(posteriors)
        chosen = np.ones(m, dtype=bool) if measured is None else np.asarray(measured)
        if A.ndim != 2 or len(A) == 0 or chosen.shape != (m,) or not chosen.any() or not cost > 0:
            raise InvalidValueError(
                f"needs points A (k, d), at least one of {m} objectives to measure and a cost above 0, got {A.shape}, "
                f"{chosen.tolist()} and {cost}"
            )
        self._posteriors, self._marginals, self._A = posteriors, marginals, A
        self._reference, self._log_cost = np.asarray(reference, dtype=np.float64), math.log(cost)
        self._means = np.stack([posterior.mean_sd(A)[0] for posterior in posteriors], axis=1)  # (k, m)
        self._z, self._weights = _nodes(chosen)  # (q, m), (q,)
        self.batch = BATCH if m <= 2 else _FEW

    def value(self, Z: Array) -> Array:
        """Log gain less log cost, shape (b,), at Z (b, d)."""
        moments = [posterior.mean_sd(Z) for posterior in self._posteriors]
        S = np.stack([posterior.cross(Z, self._A) for posterior in self._posteriors], axis=2)  # (b, k, m)
        mu, sd = (np.stack([pair[i] for pair in moments], axis=1) for i in (0, 1))  # (b, m)
        return self._gain(mu, sd, S)[0]

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """The same, shape (b,), and its gradient, shape (b, d)."""
        full = [posterior.mean_sd_grad(Z) for posterior in self._posteriors]
        S = np.stack([posterior.cross(Z, self._A) for posterior in self._posteriors], axis=2)
        mu, sd = (np.stack([one[i] for one in full], axis=1) for i in (0, 1))
        logs, along_mu, along_slope = self._gain(mu, sd, S, slopes=True)
        slope, k = np.zeros_like(Z), len(self._A)
        for j, (posterior, (_, _, dmu, dsd)) in enumerate(zip(self._posteriors, full, strict=True)):
            T = self._scale(sd[:, j], j)
            wb = along_slope[:, :, j]  # (b, k + 1)
            slope += along_mu[:, j, None] * dmu
            if not wb.any():
                continue
            slope += np.einsum("bk,bkd->bd", wb[:, :k], posterior.cross_grad(Z, self._A)) / T[:, None]
            lines = np.column_stack([S[:, :, j], sd[:, j] ** 2])
            by_sd = 2.0 * wb[:, k] * sd[:, j] / T - (wb * lines).sum(axis=1) * sd[:, j] / T**3
            slope += by_sd[:, None] * dsd
        return logs, slope

    def _scale(self, sd: Array, j: int) -> Array:
        return np.sqrt(np.maximum(sd * sd + self._posteriors[j].noise, SD_FLOOR**2))

    def _gain(self, mu: Array, sd: Array, S: Array, *, slopes: bool = False) -> tuple[Array, Array, Array]:
        """Log gain, and derivatives in mu (b, m) and in the slopes of all points, the candidate last (b, k + 1, m)."""
        b, k, m = S.shape
        T = np.stack([self._scale(sd[:, j], j) for j in range(m)], axis=1)  # (b, m)
        a = np.concatenate([np.broadcast_to(self._means, (b, k, m)), mu[:, None]], axis=1)  # (b, k + 1, m)
        most = np.concatenate([S, (sd * sd)[:, None]], axis=1) / T[:, None]
        z = np.concatenate([self._z, np.zeros((1, m))])  # the last one is today
        moved = a[:, None] + most[:, None] * z[:, None]  # (b, q + 1, k + 1, m)
        U = np.stack([marginal.worth(moved[..., j]) for j, marginal in enumerate(self._marginals)], axis=-1)
        volumes, along = _volumes(U.reshape(-1, k + 1, m), self._reference, slopes)
        volumes = volumes.reshape(b, -1)
        weight = np.append(self._weights, -1.0)
        gain = volumes @ weight
        # beside the volume itself differences below its rounding are none
        floor = 1e-14 * np.maximum(volumes[:, -1], 1e-280)
        logs = np.where(gain > floor, np.log(np.maximum(gain, 1e-290)) - self._log_cost, LOG_ZERO)
        if not slopes:
            return logs, np.empty(0), np.empty(0)
        W = along.reshape(moved.shape)
        for j, marginal in enumerate(self._marginals):
            step = _SMALL * (1.0 + np.abs(moved[..., j]))
            W[..., j] *= (marginal.worth(moved[..., j] + step) - marginal.worth(moved[..., j] - step)) / (2.0 * step)
        W *= weight[:, None, None] * np.where(gain > floor, 1.0 / np.maximum(gain, 1e-290), 0.0)[:, None, None, None]
        return logs, W[:, :, k].sum(axis=1), (W * z[:, None]).sum(axis=1)


def _nodes(measured: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Standard normal z (q, m), zero where nothing is measured, and their weights (q,), which add up to 1."""
    m = len(measured)
    n = _STRATA.get(m, 4)
    far, share = _strata(np.array([*_SHELLS, math.inf]))
    near = _strata(ndtri(0.5 + (ndtr(_SHELLS[0]) - 0.5) * np.arange(n + 1) / n))[0]
    bulk = 1.0 - m * share.sum()
    near *= math.sqrt((1.0 - share @ far**2) / bulk / np.mean(near**2))  # of variance 1, with the shells
    ranks = (qmc.Sobol(m, scramble=False).random_base2(n.bit_length() - 1) * n).astype(np.int64)  # (n, m), permutations
    signs = np.stack(np.meshgrid(*[(-1.0, 1.0)] * m, indexing="ij"), axis=-1).reshape(-1, m)
    inner = (near[ranks][:, None] * signs).reshape(-1, m)
    outer = np.concatenate([sign * far[:, None, None] * np.eye(m) for sign in (-1.0, 1.0)]).reshape(-1, m)
    z = np.where(measured, np.concatenate([inner, outer]), 0.0)
    weights = np.concatenate([np.full(len(inner), bulk / len(inner)), np.tile(np.repeat(share / 2, m), 2)])
    nodes, place = np.unique(z, axis=0, return_inverse=True)
    return nodes, np.bincount(place.ravel(), weights).astype(np.float64)


def _strata(edges: Array) -> tuple[Array, Array]:
    """Mean of |z| between edges, of a standard normal z, and the probability of being there."""
    density = np.exp(-0.5 * edges**2)
    tail = 2.0 * ndtr(-edges)
    probability = tail[:-1] - tail[1:]
    return math.sqrt(2.0 / math.pi) * (density[:-1] - density[1:]) / probability, probability


def _volumes(U: Array, reference: Array, slopes: bool) -> tuple[Array, Array]:
    """Hypervolumes of sets of points (s, k, m), shape (s,), and their derivatives in the coordinates, (s, k, m).

    In two objectives by strips, in three to five by slices of those, for all sets at once; in more, which have too
    many slices, by moocore, the slopes by differences: the volume is linear in every coordinate as long as the order of
    the points stays.
    """
    if U.shape[2] == 1:
        best = np.maximum(U.max(axis=1)[:, 0] - reference[0], 0.0)
        along = np.zeros_like(U)
        along[np.arange(len(U)), U[:, :, 0].argmax(axis=1), 0] = best > 0
        return best, along
    if U.shape[2] <= (_SLICED if slopes else _FLAT):
        return _slices(U, reference)
    volumes = np.array([hypervolume(one, reference) for one in U])
    along = np.zeros_like(U)
    if slopes:
        step = _SMALL * (1.0 + np.abs(U - reference))
        for s, one in enumerate(U):
            for i in np.flatnonzero(np.all(reference < one, axis=1)):
                for j in range(U.shape[2]):
                    moved = one.copy()
                    moved[i, j] += step[s, i, j]
                    along[s, i, j] = (hypervolume(moved, reference) - volumes[s]) / step[s, i, j]
    return volumes, along


def _slices(U: Array, reference: Array) -> tuple[Array, Array]:
    """From the top of the last objective downwards, the volume in the others of the points that reach a slice."""
    if U.shape[2] == 2:
        return _strips(U, reference)
    counts = np.all(reference < U, axis=2, keepdims=True)
    order = np.argsort(-np.where(counts, U, reference)[:, :, -1], axis=1, kind="stable")[:, :, None]
    V = np.take_along_axis(np.where(counts, U, reference), order, axis=1)
    height = -np.diff(V[:, :, -1], axis=1, append=reference[-1])  # (s, k)
    volumes, above, sorted_slopes = np.zeros(len(U)), np.zeros(len(U)), np.zeros_like(U)
    for i in range(U.shape[1]):
        face, slopes = _slices(V[:, : i + 1, :-1], reference[:-1])
        volumes += height[:, i] * face
        sorted_slopes[:, : i + 1, :-1] += height[:, i, None, None] * slopes
        sorted_slopes[:, i, -1] = face - above  # what the point lifts
        above = face
    along = np.empty_like(U)
    np.put_along_axis(along, order, sorted_slopes, axis=1)
    return volumes, along


def _strips(U: Array, reference: Array) -> tuple[Array, Array]:
    order = np.argsort(-U[:, :, 0], axis=1, kind="stable")
    x, y = (np.take_along_axis(np.maximum(U[:, :, j], reference[j]), order, axis=1) - reference[j] for j in (0, 1))
    top = np.maximum.accumulate(y, axis=1)
    below = np.concatenate([np.zeros((len(U), 1)), top[:, :-1]], axis=1)
    rise = top - below  # of each point over those to its right
    volumes: Array = (x * rise).sum(axis=1)
    along = np.zeros_like(U)
    # a point's top edge reaches from its left end to where the next higher one begins
    higher = rise > 0
    following = np.zeros_like(x)
    last = np.zeros(len(U))
    for i in range(x.shape[1] - 1, -1, -1):
        following[:, i] = last
        last = np.where(higher[:, i], x[:, i], last)
    inner = np.stack([rise, np.where(higher, x - following, 0.0)], axis=2)
    counts = np.all(reference < U, axis=2)
    np.put_along_axis(along, order[:, :, None], inner, axis=1)
    return volumes, along * counts[:, :, None]
