"""Which points are on a front, how sure that is, and how much a front dominates.

Symbols: n points, m objectives, s draws; Y (n, m).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_BEYOND = 0.1  # of the extent of a front, beyond its worst values, where an inferred reference point stands


def non_dominated(Y: Array) -> Mask:
    """Which rows no other row dominates: at least as good everywhere and better somewhere.

    Equal rows do not dominate each other, so all copies of a front point stay.

    Args:
        Y: Objectives to maximise, shape (n, m); rows with NaN are never on the front.
    Returns:
        Mask of shape (n,).
    """
    from moocore import is_nondominated

    check_values(Y)
    front = np.zeros(len(Y), dtype=bool)
    known = ~np.isnan(Y).any(axis=1)
    if known.any():
        front[known] = is_nondominated(Y[known], maximise=True, keep_weakly=True)
    return front


def check_values(Y: Array) -> None:
    """Refuse values better than every number, of which moocore does not return.

    Raises:
        InvalidValueError: if a value is plus infinity.
    """
    if np.isposinf(Y).any():
        raise InvalidValueError("objectives to maximise must be below infinity, got inf; leave such rows out")


def non_dominated_probability(draws: Array, feasible: Mask | None = None) -> Array:
    """Probability that each point is on the front, given joint draws of what its values really are.

    Of measured values alone, noise puts far too many points on a front: of forty points that are all the same, ten look
    optimal at m = 3.

    Args:
        draws: Joint draws of the noise-free values of n points, shape (s, n, m).
        feasible: Points that may stand on a front, shape (n,) or, where that is uncertain too, (s, n); others have
            probability 0 and dominate nothing.
    Returns:
        Probabilities, shape (n,); their standard error is at most 0.5 / sqrt(s).
    """
    if draws.ndim != 3 or len(draws) == 0:
        raise InvalidValueError(f"draws must have the shape (s, n, m) with s >= 1, got {draws.shape}")
    allowed = np.broadcast_to(True if feasible is None else feasible, draws.shape[:2])
    hits = np.zeros(draws.shape[1])
    for Y, may in zip(draws, allowed, strict=True):
        hits += non_dominated(np.where(may[:, None], Y, np.nan))
    return hits / len(draws)


def extent(Y: Array) -> tuple[Array, Array]:
    """Worst and best value of each objective over the front of Y, shape (m,) each: nadir and ideal."""
    front = Y[non_dominated(Y)]
    if len(front) == 0:
        raise InvalidValueError(f"a front has no extent without a point; got Y of shape {Y.shape} without a whole row")
    return front.min(axis=0), front.max(axis=0)


def infer_reference(Y: Array) -> Array:
    """A reference point a tenth of the front's extent beyond its worst values.

    Where the front has no extent (one point, one objective that is the same everywhere) the range of all values stands
    in for it, and where they are all equal the size of the value, or 1. To be inferred once and then kept: a
    hypervolume whose reference point moves cannot be followed.
    Source: Ishibuchi et al. 2018, How to Specify a Reference Point in Hypervolume Calculation, for the rule.

    Args:
        Y: Objectives to maximise, shape (n, m), one whole row at least.
    Returns:
        Shape (m,).
    """
    nadir, ideal = extent(Y)
    known = Y[~np.isnan(Y).any(axis=1)]
    span = ideal - nadir
    everywhere = known.max(axis=0) - known.min(axis=0)
    size = np.where(nadir == 0.0, 1.0, np.abs(nadir))
    span = np.where(span > 0, span, np.where(everywhere > 0, everywhere, size))
    reference: Array = nadir - _BEYOND * span
    return reference


def hypervolume(Y: Array, reference: Array) -> float:
    """Volume that the rows dominate above the reference point, exactly.

    Rows that are not better than the reference point everywhere add nothing, nor do rows with NaN.
    Exponential in m beyond four objectives; meant for the few of an experiment.
    Source: Guerreiro, Fonseca and Paquete 2021, The Hypervolume Indicator; computed by moocore.

    Args:
        Y: Objectives to maximise, shape (n, m).
        reference: Worst point that still counts, shape (m,), units of Y.
    Returns:
        Product of the units of the objectives; 0.0 if no row counts.
    Raises:
        InvalidValueError: if the reference point has another length than the rows, or is not finite.
    """
    from moocore import hypervolume as below

    reference = _reference(Y, reference)
    better = Y[np.all(reference < Y, axis=1)]  # a comparison with NaN is false
    if not len(better):
        return 0.0
    above, unit = _in_units(better - reference)
    return float(below(above, ref=np.zeros_like(reference), maximise=True) * unit)


def hypervolume_contributions(Y: Array, reference: Array) -> Array:
    """How much of its hypervolume the front would lose without each of its points, exactly; by moocore.

    Args:
        Y, reference: As for `hypervolume`.
    Returns:
        Shape (n,): 0 for dominated rows, for copies of one point, and for rows that do not count.
    """
    from moocore import hv_contributions

    reference = _reference(Y, reference)
    found = np.zeros(len(Y))
    rows = np.flatnonzero(np.all(reference < Y, axis=1))
    rows = rows[non_dominated(Y[rows])]
    if len(reference) == 1 and len(rows):  # which moocore does not take
        found[rows] = Y[rows, 0] - reference if len(rows) == 1 else 0.0
    elif len(rows):
        above, unit = _in_units(Y[rows] - reference)
        found[rows] = hv_contributions(above, ref=np.zeros_like(reference), maximise=True) * unit
    return found


def _in_units(above: Array) -> tuple[Array, float]:
    """Columns divided by powers of two, which rounds nothing, so that each reaches from 1/2 to 1; their product.

    Beyond three objectives moocore takes differences below some size for none, whatever the size of the values.
    """
    exponents = np.frexp(above.max(axis=0))[1]
    return np.ldexp(above, -exponents), float(np.ldexp(1.0, int(exponents.sum())))


def _reference(Y: Array, reference: Array) -> Array:
    check_values(Y)
    reference = np.asarray(reference, dtype=np.float64)
    if Y.ndim != 2 or reference.shape != Y.shape[1:] or not np.isfinite(reference).all():
        raise InvalidValueError(
            f"a hypervolume needs rows of shape (n, m) and a finite reference point of shape (m,), got shapes "
            f"{Y.shape} and {reference.shape} with reference {reference.tolist()}; give one number for each objective"
        )
    return reference
