"""Thompson sampling: functions drawn from the posterior, each to be maximised.

On the continuous space a draw of the prior from random Fourier features, corrected at the data by Matheron's rule,
f(z) + k(z, X) C^-1 (y - m - f(X) - eps): exact at the data, elsewhere with the prior covariance to about
1 / sqrt(features). A choice enters as a random sign for each of its levels, left out with probability exp(-v):
the product of two such signs has the mean exp(-v [z != z']), as the kernel has it. On a finite set of points
`thompson_rows` is exact.
Source: Wilson et al. 2020, Efficiently Sampling Functions from Gaussian Process Posteriors, eq. 11; Rahimi and
Recht 2007, Random Features for Large-Scale Kernel Machines.

Symbols: b candidates Z, n observed points X, d columns, f frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.acquisition.base import Posterior, joint_samples
from workbench.models.exact import ExactPosterior
from workbench.models.kernels import Anchors, Kernel

Array = NDArray[np.float64]

_FEATURES = 512


class Process(Protocol):
    """What a draw has to know of its posterior: the covariance and the mean before data, and where the data are.

    See `ExactPosterior` for what each member is.
    """

    @property
    def kernel(self) -> Kernel: ...
    @property
    def mean(self) -> float: ...
    @property
    def X(self) -> Array: ...
    @property
    def anchors(self) -> Anchors: ...
    def placed(self, Z: Array) -> Array: ...
    def pulled_back(self, Z: Array, dV: Array) -> Array: ...


@dataclass(frozen=True)
class Draw:
    """One function, in the units of its posterior. Made by `draw`.

    Args:
        posterior: That it was drawn from.
        omega: Frequencies of the ordered columns, then of those of the blocks, shape (f, d_o + d_f).
        weights: Of the cosines and of the sines, shape (2, f).
        signs: For each column of choices, shape (levels, f).
        slopes: Of the plane, shape (d_o,).
        correction: C^-1 (y - m - f(X) - eps), shape (n,).
    """

    posterior: Process
    omega: Array
    weights: Array
    signs: tuple[Array, ...]
    slopes: Array
    correction: Array

    def value(self, Z: Array) -> Array:
        """Values, shape (b,), at Z (b, d)."""
        k, _ = self.posterior.anchors.between(self.posterior.placed(Z))
        values: Array = self.posterior.mean + self.prior(Z) + k @ self.correction
        return values

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Values, shape (b,), and gradients, shape (b, d), zero in all but ordered columns."""
        posterior = self.posterior
        P = posterior.placed(Z)
        cos, sin = self._waves(P)  # (b, f) each
        k, G = posterior.anchors.between(P)
        plane = posterior.kernel.tilted(P) @ self.slopes
        values = posterior.mean + plane + cos @ self.weights[0] + sin @ self.weights[1] + k @ self.correction
        slopes = posterior.anchors.pull(self.correction, G, P)
        slopes[:, posterior.kernel.ordered] += (cos * self.weights[1] - sin * self.weights[0]) @ self._own + self.slopes
        return values, posterior.pulled_back(Z, slopes)

    def prior(self, Z: Array) -> Array:
        """The draw of the prior without its mean, shape (b,), at Z (b, d).

        a cos + b sin as one cosine, at half the cost.
        """
        P, kernel = self.posterior.placed(Z), self.posterior.kernel
        height, shift = np.hypot(*self.weights), np.arctan2(self.weights[1], self.weights[0])  # (f,) each
        waves = self._phases(P)
        waves -= shift
        np.cos(waves, out=waves)
        for column, signs in zip(kernel.choices, self.signs, strict=True):
            waves *= signs[P[:, column].astype(np.int64)]
        values: Array = kernel.tilted(P) @ self.slopes + waves @ height
        return values

    @property
    def _own(self) -> Array:
        """Frequencies of the ordered columns."""
        return self.omega[:, : len(self.posterior.kernel.ordered)]

    def _phases(self, P: Array) -> Array:
        """Angles (b, f) at placed inputs (b, d)."""
        kernel = self.posterior.kernel
        phases: Array = P[:, kernel.ordered] @ self._own.T
        if kernel.blocks:
            phases += P[:, kernel.features[0]] @ self.omega[:, len(kernel.ordered) :].T
        return phases

    def _waves(self, P: Array) -> tuple[Array, Array]:
        """Cosines and sines (b, f) at placed inputs (b, d)."""
        kernel, phase = self.posterior.kernel, self._phases(P)
        cos, sin = np.cos(phase), np.sin(phase)
        for column, signs in zip(kernel.choices, self.signs, strict=True):
            sign = signs[P[:, column].astype(np.int64)]
            cos, sin = cos * sign, sin * sign
        return cos, sin


def draw(
    posterior: ExactPosterior, rng: np.random.Generator, levels: Sequence[int] = (), features: int = _FEATURES
) -> Draw:
    """One function of the posterior.

    Args:
        posterior: Of the objective.
        rng: Source of randomness.
        levels: Number of levels of each column of choices.
        features: Number of frequencies, each with a sine and a cosine.
    """
    prior = draw_of_prior(posterior, rng, levels, features)
    eps = rng.standard_normal(len(posterior.X)) * np.sqrt(posterior.variances)
    return replace(prior, correction=posterior.corrected(prior.prior(posterior.X) + eps))


def draw_of_prior(
    posterior: Process, rng: np.random.Generator, levels: Sequence[int] = (), features: int = _FEATURES
) -> Draw:
    """One function of the process before data, whose correction is 0; arguments as in `draw`."""
    kernel, f = posterior.kernel, features
    lengths = np.concatenate([kernel.lengths[: len(kernel.ordered)], kernel.features[1]])
    omega = rng.standard_normal((f, len(lengths)))
    if kernel.kind == "matern52":  # its spectral density is Student's t with 5 degrees of freedom
        omega *= np.sqrt(5.0 / rng.chisquare(5.0, size=(f, 1)))
    omega /= lengths
    signs = []
    for count, v in zip(levels, kernel.weights.tolist(), strict=True):
        there = rng.random(f) >= math.exp(-v)
        signs.append(np.where(there, rng.choice([-1.0, 1.0], size=(count, f)), 1.0))
    weights = rng.standard_normal((2, f)) * math.sqrt(kernel.scale / f)
    slopes = rng.standard_normal(len(kernel.ordered)) * math.sqrt(kernel.trend)
    return Draw(posterior, omega, weights, tuple(signs), slopes, np.zeros(len(posterior.X)))


def thompson_rows(posterior: Posterior, Z: Array, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of the candidates at which n joint samples of the posterior are largest.

    Args:
        posterior: Of the objective.
        Z: Candidates, shape (b, d).
        n: Number of samples.
        rng: Source of randomness.
    Returns:
        Row numbers, shape (n,); one may come several times.
    """
    rows: NDArray[np.int64] = joint_samples(posterior, Z, n, rng).argmax(axis=1)
    return rows
