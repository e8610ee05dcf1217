"""L-BFGS-B (Byrd, Lu, Nocedal, Zhu 1995, A Limited Memory Algorithm for Bound Constrained Optimization).

scipy's state machine, driven from here: many starts take turns at one batched loss (`acquisition.search.ascent`), and
one start costs no more than its losses. Through scipy's own functions 24 losses of a small model, an ask's, took 1 ms
longer; the points visited are the same to the last bit.

Symbols: k coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.optimize import Bounds, _lbfgsb, minimize

Array = NDArray[np.float64]
Loss = Callable[[Array], tuple[float, Array]]
"""A point (k,) -> its finite loss and the gradient (k,)."""

_MEMORY = 10  # corrections that are kept
_LINE_SEARCH = 20  # evaluations of a line search
_EVALUATE, _NEXT, _STOP = 3, 1, 5  # what the state machine wants, or is told
_EPSILON = float(np.finfo(np.float64).eps)
# The state machine is private to scipy: this interface came with 1.15.
KNOWN = (1, 15) <= tuple(int(part) for part in scipy.__version__.split(".")[:2]) < (1, 18)


@dataclass(frozen=True)
class Rules:
    """When a search ends.

    Args:
        rounds: After so many iterations, at least 1.
        flat: When no coordinate of the projected gradient is larger.
        stalled: When the loss falls by a smaller share in an iteration.
    """

    rounds: int
    flat: float
    stalled: float


class Run:
    """One start: `u` is the point whose loss `f[...]` and gradient `g[:]` it wants, as long as `advance` says so."""

    def __init__(self, u: Array, low: Array, high: Array, rules: Rules) -> None:
        k, m = len(u), _MEMORY
        self.u, self.f, self.g = np.clip(u, low, high), np.array(0.0), np.zeros(k)
        self._low, self._high = np.ascontiguousarray(low), np.ascontiguousarray(high)
        self._sides = np.full(k, 2, dtype=np.int32)  # bounds on both
        self._factor, self._flat, self._left = rules.stalled / _EPSILON, rules.flat, rules.rounds
        self._task, self._inner_task = np.zeros(2, dtype=np.int32), np.zeros(2, dtype=np.int32)
        self._floats = np.zeros(2 * m * k + 5 * k + 11 * m * m + 8 * m)
        self._ints = np.zeros(3 * k, dtype=np.int32)
        self._flags, self._counts = np.zeros(4, dtype=np.int32), np.zeros(44, dtype=np.int32)
        self._scalars = np.zeros(29)

    def advance(self) -> bool:
        """Go on to the next point u that wants its loss and gradient; False at the end."""
        while True:
            _lbfgsb.setulb(
                _MEMORY, self.u, self._low, self._high, self._sides, self.f, self.g,
                self._factor, self._flat, self._floats, self._ints, self._task,
                self._flags, self._counts, self._scalars, _LINE_SEARCH, self._inner_task,
            )  # fmt: skip
            if self._task[0] != _NEXT:
                return bool(self._task[0] == _EVALUATE)
            self._left -= 1
            if self._left == 0:
                self._task[0] = _STOP


def minimum(loss: Loss, start: Array, low: Array, high: Array, rules: Rules) -> Array:
    """Where one search ends.

    Args:
        loss: The function; what it raises ends the search.
        start: Point, shape (k,).
        low, high: Finite bounds, shape (k,).
        rules: When it ends.
    Returns:
        The last point, shape (k,).
    """
    if not KNOWN:
        options = {"maxcor": _MEMORY, "maxiter": rules.rounds, "maxls": _LINE_SEARCH, "ftol": rules.stalled}
        end: Array = minimize(
            loss, np.clip(start, low, high), jac=True, method="L-BFGS-B", bounds=Bounds(low, high),
            options=options | {"gtol": rules.flat},
        ).x  # fmt: skip
        return end
    run = Run(start, low, high, rules)
    while run.advance():
        value, gradient = loss(run.u)
        run.f[...], run.g[:] = value, gradient
    return run.u
