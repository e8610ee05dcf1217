"""Directions of descent from perturbed points x + mu xi: one kernel, omega' Xi, whatever the weights omega come from.

Rankings: omega_i = (points known to be worse - points known to be better) / |E| (`rankings.edge_weights`), which is the
sum over the edges of the (m, k) oracle in weight form, exact for ties and partial orders (Tang, Rybin and Chang 2024,
Zeroth-Order Optimization Meets Human Feedback, eq. 5). Values: omega_i = (mean f - f_i) / ((m - 1) mu).

For a linear function the mean along the unit gradient is -a, and every orthogonal coordinate has variance v: for a full
order a = 2 / sqrt pi and v = 4 (m + 1) / (3 m (m - 1)); for the best of m, a = m / (m - 1) E max of m normals and
v = m / (m - 1).

Symbols: m points, k ranked of them, d coordinates, Xi (m, d) perturbations, omega (m,) weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.rankings import Pair, edge_weights, edges

Array = NDArray[np.float64]


def edge_count(m: int, k: int) -> int:
    """Known pairs when k of m points are ranked: k m - k (k + 1) / 2."""
    return k * m - k * (k + 1) // 2


def oracle(losses: Array, k: int) -> frozenset[Pair]:
    """What an (m, k) oracle says of losses (m,): the k least in order, equal ones tied, all others worse.

    Args:
        losses: To be small.
        k: How many are ranked, from 1 to m.
    Returns:
        (better, worse) pairs of positions.
    """
    order = np.argsort(losses, kind="stable")[:k].tolist()
    groups: list[list[int]] = []
    for i in order:
        if groups and losses[groups[-1][0]] == losses[i]:
            groups[-1].append(i)
        else:
            groups.append([i])
    return edges("best", tuple(map(tuple, groups)), range(len(losses)))


def value_weights(losses: Array, mu: float) -> Array:
    """Weights of a descent direction from losses (m,) at points x + mu xi, shape (m,)."""
    weights: Array = (losses.mean() - losses) / ((len(losses) - 1) * mu)
    return weights


def rank_weights(losses: Array, k: int) -> Array:
    """Weights of a descent direction from an (m, k) ranking of losses (m,), shape (m,)."""
    return edge_weights(oracle(losses, k), range(len(losses)))


def direction(omega: Array, Xi: Array) -> Array:
    """The descent direction omega' Xi, shape (d,)."""
    combined: Array = omega @ Xi
    return combined
