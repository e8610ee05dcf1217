"""Fronts, as pure functions of arrays. Everything is maximised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InvalidValueError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def non_dominated(Y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows no other row dominates: at least as good everywhere and better somewhere.

    Equal rows do not dominate each other, so all copies of a front point stay.

    Args:
        Y: Objectives to maximise, shape (n, m); rows with NaN are never on the front.
    Returns:
        Mask of shape (n,).
    """
    from moocore import is_nondominated

    front = np.zeros(len(Y), dtype=bool)
    known = ~np.isnan(Y).any(axis=1)
    if known.any():
        front[known] = is_nondominated(Y[known], maximise=True, keep_weakly=True)
    return front


def hypervolume(Y: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
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

    reference = np.asarray(reference, dtype=np.float64)
    if Y.ndim != 2 or reference.shape != Y.shape[1:] or not np.isfinite(reference).all():
        raise InvalidValueError(
            f"a hypervolume needs rows of shape (n, m) and a finite reference point of shape (m,), got shapes "
            f"{Y.shape} and {reference.shape} with reference {reference.tolist()}; give one number for each objective"
        )
    better = Y[np.all(reference < Y, axis=1)]  # a comparison with NaN is false
    return float(below(better, ref=reference, maximise=True)) if len(better) else 0.0
