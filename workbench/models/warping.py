"""Axes that are bent: a function that changes fast near one end of a parameter, or in its middle, as an even one.

Each column u of the unit interval is put at the distribution function of Kumaraswamy's distribution,
w(u) = 1 - (1 - u^a)^b, which is u itself at a = b = 1. log a and log b have normal priors with mean 0.
Source: Snoek et al. 2014, Input Warping for Bayesian Optimization of Non-Stationary Functions; Kumaraswamy's
distribution in place of the beta distribution, whose slopes in a and b have no closed form.

Symbols: n points, k columns that are bent, e model inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EDGE = 1e-7  # ends of the interval are this far inside, where slopes are finite


@dataclass(frozen=True)
class Warp:
    """Where model inputs are put before distances are taken.

    Args:
        columns: That are bent; they hold numbers of the unit interval.
        a, b: Shapes, (k,) each.
    """

    columns: tuple[int, ...]
    a: Array
    b: Array

    def __call__(self, Z: Array) -> Array:
        """Warped model inputs, shape (n, e)."""
        out = Z.copy()
        out[:, self.columns] = 1.0 - (1.0 - self._inside(Z) ** self.a) ** self.b
        return out

    def pull_back(self, Z: Array, dW: Array) -> Array:
        """Gradient with respect to Z (n, e) from that with respect to the warped inputs, (n, ..., e)."""
        u = self._inside(Z)
        power = u ** (self.a - 1.0)
        slope = self.a * self.b * power * (1.0 - power * u) ** (self.b - 1.0) * (1.0 - 2.0 * _EDGE)
        out = dW.copy()
        out[..., self.columns] *= slope if dW.ndim == 2 else slope[:, None]
        return out

    def slopes(self, Z: Array) -> tuple[Array, Array]:
        """dw/dlog a and dw/dlog b at the bent columns, shape (n, k) each."""
        u = self._inside(Z)
        power = u**self.a
        rest = 1.0 - power
        return (
            self.a * self.b * rest ** (self.b - 1.0) * power * np.log(u),
            -self.b * rest**self.b * np.log(rest),
        )

    def _inside(self, Z: Array) -> Array:
        """The columns that are bent, (n, k), between the edges."""
        return _EDGE + (1.0 - 2.0 * _EDGE) * np.clip(Z[:, self.columns], 0.0, 1.0)
