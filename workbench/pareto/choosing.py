"""Choosing points of a front: where it bends, by what somebody wishes, or a few that stand for all.

Objectives are compared in shares of the range between nadir and ideal, so that their units do not matter.

Symbols: n points, m objectives; Y (n, m) maximised, aspiration (m,) what somebody would like to have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto.fronts import extent, hypervolume_contributions, non_dominated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Wish = Literal["improve", "keep", "relax", "free"]
_EXACT = 5  # objectives up to which each point's share in a hypervolume is quickly found
_AUGMENTED = 1e-4  # weight of the sum, by which of points of equal worst shortfall the dominating one is chosen


def knee(Y: Array) -> int:
    """Row of the front point furthest beyond the plane through the best points of each objective alone.

    Left and right of it a little of one objective costs much of another. Where the best points span no plane (one of
    them is best in two objectives) the sum of the shares stands in.
    Source: Das 1999, On characterizing the knee of the Pareto curve.

    Args:
        Y: Objectives to maximise, shape (n, m).
    """
    rows, shares = _front_shares(Y)
    best = shares[shares.argmax(axis=0)]  # (m, m)
    m = Y.shape[1]
    with np.errstate(all="ignore"):
        normal = np.linalg.solve(best, np.ones(m)) if np.linalg.matrix_rank(best) == m else np.ones(m)
    if not (normal > 0).all():
        normal = np.ones(m)
    return int(rows[(shares @ (normal / np.linalg.norm(normal))).argmax()])


def achievement(Y: Array, aspiration: Array, nadir: Array, ideal: Array) -> Array:
    """How well each point meets an aspiration, whether or not it can be met: larger is better, 0 meets it exactly.

    min_j (y_j - a_j) / (ideal_j - nadir_j), plus a little of the sum.
    Source: Wierzbicki 1980, The use of reference objectives in multiobjective optimization, eq. 9.

    Args:
        Y: Objectives to maximise, shape (n, m).
        aspiration, nadir, ideal: Shape (m,).
    Returns:
        Scores, shape (n,).
    """
    gaps = (Y - np.asarray(aspiration)) / _range(nadir, ideal)
    scores: Array = gaps.min(axis=1) + _AUGMENTED * gaps.sum(axis=1)
    return scores


def chebyshev(Y: Array, aspiration: Array, weights: Array | None = None) -> int:
    """Row of the front point whose largest weighted shortfall from an aspiration is smallest.

    Args:
        Y: Objectives to maximise, shape (n, m).
        aspiration: Shape (m,), units of Y.
        weights: How much a shortfall counts, shape (m,), positive; all alike when absent.
    """
    rows, _ = _front_shares(Y)
    importance = np.ones(Y.shape[1]) if weights is None else np.asarray(weights, dtype=np.float64)
    if importance.shape != (Y.shape[1],) or not (importance > 0).all():
        raise InvalidValueError(f"weights must be {Y.shape[1]} positive numbers, got {importance.tolist()}")
    gaps = importance * (Y[rows] - np.asarray(aspiration)) / _range(*extent(Y))
    return int(rows[(gaps.min(axis=1) + _AUGMENTED * gaps.sum(axis=1)).argmax()])


def aspiration_of(here: Array, wishes: Sequence[Wish], nadir: Array, ideal: Array, to: Mapping[int, float]) -> Array:
    """The aspiration that a classification of the objectives at a point stands for.

    "improve" goes to the given value or to the ideal, "keep" stays, "relax" falls to the given value or halfway to the
    nadir, "free" to the nadir.
    Source: Miettinen and Mäkelä 2006, Synchronous approach in interactive multiobjective optimization (NIMBUS),
    section 3; differs in giving a reference point for `achievement` instead of a subproblem of its own.

    Args:
        here: The values one has, shape (m,).
        wishes: One for each objective.
        nadir, ideal: Shape (m,).
        to: Column to the value to improve or relax to, where somebody states one.
    Returns:
        Shape (m,).
    Raises:
        InvalidValueError: for a wish that is none, if nothing is to improve or nothing may get worse.
    """
    if len(wishes) != len(here) or any(wish not in ("improve", "keep", "relax", "free") for wish in wishes):
        raise InvalidValueError(
            f"needs 'improve', 'keep', 'relax' or 'free' for each of {len(here)} objectives, got {list(wishes)}"
        )
    if "improve" not in wishes or not {"relax", "free"} & set(wishes):
        raise InvalidValueError(
            "on a front nothing improves unless something else may get worse: name one objective to 'improve' and one "
            f"to 'relax' or to leave 'free', got {list(wishes)}"
        )
    aspiration = np.array(here, dtype=np.float64)
    for j, wish in enumerate(wishes):
        if wish == "improve":
            aspiration[j] = to.get(j, ideal[j])
        elif wish == "relax":
            aspiration[j] = to.get(j, (here[j] + nadir[j]) / 2)
        elif wish == "free":
            aspiration[j] = nadir[j]
    return aspiration


def spaced(Y: Array, most: int) -> NDArray[np.int64]:
    """At most so many rows that cover what all cover: the best of each objective, then the furthest from those chosen.

    Args:
        Y: Objectives to maximise, shape (n, m), n >= 1.
        most: How many.
    Returns:
        Rows, ascending, shape (at most `most`,).
    """
    Z = Y / _range(Y.min(axis=0), Y.max(axis=0))
    chosen = list(dict.fromkeys(int(row) for row in Y.argmax(axis=0)))
    gaps = np.min([np.linalg.norm(Z - Z[row], axis=1) for row in chosen], axis=0)
    while len(chosen) < min(most, len(Y)) and gaps.max() > 0:
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, np.linalg.norm(Z - Z[chosen[-1]], axis=1))
    return np.array(sorted(chosen[:most]))


def telling(Y: Array, reference: Array, most: int) -> NDArray[np.int64]:
    """At most so many rows of a front: those that add most hypervolume, or beyond five objectives those that cover it.

    Args:
        Y: A front to maximise, shape (n, m), n >= 1.
        reference: As for `hypervolume`, shape (m,).
        most: How many.
    Returns:
        Rows, shape (at most `most`,).
    """
    if Y.shape[1] > _EXACT:
        return spaced(Y, most)
    return np.argsort(-hypervolume_contributions(Y, reference), kind="stable")[:most]


def _front_shares(Y: Array) -> tuple[NDArray[np.int64], Array]:
    """Rows of the front, and their values from 0 at the nadir to 1 at the ideal."""
    rows = np.flatnonzero(non_dominated(Y))
    nadir, ideal = extent(Y)
    return rows, (Y[rows] - nadir) / _range(nadir, ideal)


def _range(nadir: Array, ideal: Array) -> Array:
    span = np.asarray(ideal, dtype=np.float64) - np.asarray(nadir, dtype=np.float64)
    return np.where(span > 0, span, 1.0)
