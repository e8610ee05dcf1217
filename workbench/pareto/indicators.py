"""Quality of a front as a number, and the front that many runs reach.

Every indicator says what it is normalised by. Distances are in the units of Y: scale Y before where objectives have
different units.

Symbols: n points, m objectives, k points of a known front, w weight vectors; Y (n, m) maximised.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto.fronts import check_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_AT_ONCE = 1 << 22  # distances that are in memory at a time


def igd_plus(Y: Array, front: Array) -> float:
    """Mean distance from each point of a known front to the nearest point of Y, only what Y falls short counting.

    Weakly Pareto-compliant, unlike the plain distance.
    Source: Ishibuchi et al. 2015, Modified Distance Calculation in Generational Distance and Inverted Generational
    Distance.

    Args:
        Y: Objectives to maximise, shape (n, m).
        front: The known front, shape (k, m).
    """
    return float(_shortfalls(front, Y).mean())


def gd_plus(Y: Array, front: Array) -> float:
    """Mean distance from each point of Y to the nearest point of a known front, only what Y falls short counting.

    Source and arguments: as for `igd_plus`.
    """
    _some(Y, front)
    rows = max(1, _AT_ONCE // front.size)
    parts = [
        np.sqrt((np.maximum(front - Y[i : i + rows, None], 0.0) ** 2).sum(axis=2)).min(axis=1)
        for i in range(0, len(Y), rows)
    ]
    return float(np.concatenate(parts).mean())


def _shortfalls(front: Array, Y: Array) -> Array:
    """For each point of the front the least distance by which Y falls short of it, shape (k,)."""
    _some(Y, front)
    rows = max(1, _AT_ONCE // Y.size)
    parts = [
        np.sqrt((np.maximum(front[i : i + rows, None] - Y, 0.0) ** 2).sum(axis=2)).min(axis=1)
        for i in range(0, len(front), rows)
    ]
    return np.concatenate(parts)


def epsilon(Y: Array, front: Array) -> float:
    """By how much all of Y has to rise, in every objective at once, until it is at least as good as a known front.

    The additive epsilon indicator; negative if Y is better throughout.
    Source: Zitzler et al. 2003, Performance Assessment of Multiobjective Optimizers, eq. 3; by moocore.

    Args:
        Y: Objectives to maximise, shape (n, m).
        front: The known front, shape (k, m).
    """
    from moocore import epsilon_additive

    _some(Y, front)
    return float(epsilon_additive(Y, ref=front, maximise=True))


def weights(m: int, divisions: int) -> Array:
    """All vectors of m multiples of 1 / divisions that add up to 1, shape (w, m): a simplex lattice."""
    bars = itertools.combinations(range(divisions + m - 1), m - 1)
    cuts = np.array([(-1, *bar, divisions + m - 1) for bar in bars])
    lattice: Array = (np.diff(cuts, axis=1) - 1) / divisions
    return lattice


def r2(Y: Array, ideal: Array, reference: Array, vectors: Array) -> float:
    """Mean over weight vectors of the smallest weighted distance to the ideal point; 0 is a front at the ideal point.

    Normalised so that the ideal point is 0 and the reference point 1 in every objective: the value is that of
    mean_w min_y max_j w_j (ideal_j - y_j) / (ideal_j - reference_j), so that objectives count alike whatever their
    units.
    Source: Brockhoff, Wagner, Trautmann 2012, On the Properties of the R2 Indicator, definition 4.

    Args:
        Y: Objectives to maximise, shape (n, m).
        ideal, reference: Shape (m,), the ideal above the reference everywhere.
        vectors: Weights, shape (w, m), such as `weights(m, 100)`.
    Raises:
        InvalidValueError: if the ideal point is not above the reference point.
    """
    _some(Y, vectors)
    span = np.asarray(ideal) - np.asarray(reference)
    if not (span > 0).all():
        raise InvalidValueError(f"the ideal point must be above the reference point, got {ideal} and {reference}")
    gaps = (ideal - Y) / span  # (n, m)
    rows = max(1, _AT_ONCE // gaps.size)
    parts = [
        (vectors[i : i + rows, None] * gaps).max(axis=2).min(axis=1)  # (w,)
        for i in range(0, len(vectors), rows)
    ]
    return float(np.concatenate(parts).mean())


def spread(Y: Array, extremes: Array) -> float:
    """How unevenly a front is filled, from 0 for even spacing that reaches the extremes.

    (sum_j d(e_j, Y) + sum_i |d_i - d|) / (sum_j d(e_j, Y) + n d), d_i the distance of point i to its nearest
    neighbour and d their mean; in units of the range between the extremes.
    Source: Zhou et al. 2006, Combining Model-based and Genetics-based Offspring Generation, eq. 13.

    Args:
        Y: Objectives to maximise, shape (n, m), n >= 2.
        extremes: The best points known of each objective alone, shape (m, m).
    """
    _some(Y, extremes)
    if len(Y) < 2:
        raise InvalidValueError("spread needs two points at least, got one")
    span = extremes.max(axis=0) - extremes.min(axis=0)
    scale = np.where(span > 0, span, 1.0)
    Z, E = Y / scale, extremes / scale
    apart = np.sqrt(((Z[:, None] - Z) ** 2).sum(axis=2))
    nearest = (apart + np.diag(np.full(len(Z), np.inf))).min(axis=1)
    missed = np.sqrt(((E[:, None] - Z) ** 2).sum(axis=2)).min(axis=1).sum()
    mean = nearest.mean()
    total = missed + len(Z) * mean
    return float((missed + np.abs(nearest - mean).sum()) / total) if total > 0 else 0.0


def pc_entropy(Y: Array) -> float:
    """How evenly a front fills its range, by the entropy of its parallel cell coordinates: 1 is even, 0 is one place.

    Each objective's range over the n points is cut into n cells. With c_ij points in cell i of objective j the entropy
    is -sum (c_ij / (n m)) log(c_ij / (n m)), here less its least value log m and over log n.
    Source: Hu and Yen 2015, Adaptive Multiobjective Particle Swarm Optimization Based on Parallel Cell Coordinate
    System, eq. 3 to 5; differs in the normalisation.

    Args:
        Y: Objectives to maximise, shape (n, m).
    """
    _some(Y, Y)
    n, m = Y.shape
    if n == 1:
        return 0.0
    low, high = Y.min(axis=0), Y.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    cells = np.clip(np.ceil(n * (Y - low) / span), 1, n).astype(np.int64)  # (n, m)
    counts = np.concatenate([np.bincount(column) for column in cells.T])
    shares = counts[counts > 0] / (n * m)
    entropy = -(shares * np.log(shares)).sum()
    return float((entropy - math.log(m)) / math.log(n))


def attainment(runs: Sequence[Array], levels: Sequence[float] = (0.25, 0.5, 0.75)) -> list[Array]:
    """What a share of the runs attain: for each level the front of the points that so many runs dominate or equal.

    Source: Fonseca, Guerreiro, Lopez-Ibanez, Paquete 2011, On the Computation of the Empirical Attainment Function; by
    moocore. Two or three objectives.

    Args:
        runs: Objectives to maximise of each run, shape (n_i, m) each, one row at least.
        levels: Shares of the runs, above 0 and at most 1.
    Returns:
        For each level its points, shape (k, m).
    """
    from moocore import eaf

    if not runs or any(run.ndim != 2 or len(run) == 0 for run in runs):
        raise InvalidValueError(f"needs one run at least, each with rows (n, m), got {[run.shape for run in runs]}")
    if not all(0 < level <= 1 for level in levels):
        raise InvalidValueError(f"levels are shares of the runs, above 0 and at most 1; got {list(levels)}")
    for run in runs:
        check_values(run)
    m = runs[0].shape[1]
    sets = np.concatenate([np.full(len(run), i + 1) for i, run in enumerate(runs)])
    found = eaf(-np.concatenate(runs), sets=sets, percentiles=[100.0 * level for level in levels])
    return [-found[np.isclose(found[:, m], 100.0 * level)][:, :m] for level in levels]


def _some(Y: Array, other: Array) -> None:
    """Refuse what has no rows, or rows of another length."""
    if Y.ndim != 2 or other.ndim != 2 or len(Y) == 0 or len(other) == 0 or Y.shape[1] != other.shape[1]:
        raise InvalidValueError(
            f"needs points of shape (n, m) and (k, m) with one row at least, got {Y.shape} and {other.shape}; "
            "leave dominated and infeasible rows out, but not all of them"
        )
