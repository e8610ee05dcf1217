"""Fronts, as pure functions of arrays. Everything is maximised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
