"""What an acquisition function sees of a Gaussian process, and what it offers a search.

The acquisition functions of this room are closed forms in float64 with analytic gradients. Gains
are returned as logarithms: EI, KG and MES fall below 1e-100 within a few lengthscales, where only
the logarithm still has a slope to climb (Ament et al. 2023, Unexpected Improvements to Expected
Improvement for Bayesian Optimization).

Symbols: b candidates Z, k points A, d columns; mu, sd posterior moments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench.models.exact import root

Array = NDArray[np.float64]
Seen = TypeVar("Seen")

BATCH = 256  # candidates that are asked for at once, of a function that says nothing of it
LOG_ZERO = -1e30  # stands for log 0: finite, so that a line search steps back from it


class Posterior(Protocol):
    """A Gaussian process of one output given the record, in standardised units where larger is better."""

    @property
    def noise(self) -> float:
        """Variance of one further measurement."""
        ...

    def mean_sd(self, Z: Array) -> tuple[Array, Array]:
        """Moments of the noise-free function at Z (b, d): mu (b,) and sd (b,)."""
        ...

    def mean_sd_grad(self, Z: Array) -> tuple[Array, Array, Array, Array]:
        """The same and their gradients: mu (b,), sd (b,), dmu (b, d), dsd (b, d)."""
        ...

    def cross(self, Z: Array, A: Array) -> Array:
        """Posterior covariance S(Z, A), shape (b, k)."""
        ...

    def cross_grad(self, Z: Array, A: Array) -> Array:
        """dS(z_i, a_j)/dz_i, shape (b, k, d)."""
        ...


class Acquisition(Protocol):
    """A function of candidates to be maximised.

    One that takes long may have a `batch`, the number of candidates that it is asked for at once, see `batch_of`.
    """

    def value(self, Z: Array) -> Array:
        """Values, shape (b,), at Z (b, d)."""
        ...

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Values, shape (b,), and gradients, shape (b, d), at Z (b, d)."""
        ...


def batch_of(acquisition: Acquisition) -> int:
    """Candidates that a search asks for at once: what a deadline may have to wait for."""
    return int(getattr(acquisition, "batch", BATCH))


@dataclass(frozen=True)
class Row(Generic[Seen]):
    """One row of a table that says which acquisition function: the first whose condition holds is taken.

    Args:
        acquisition: Name of the function.
        applies: The condition.
        when: The condition in words.
        reason: Why this acquisition then.
    """

    acquisition: str
    applies: Callable[[Seen], bool]
    when: str
    reason: str


def joint_samples(posterior: Posterior, Z: Array, n: int, rng: np.random.Generator) -> Array:
    """Joint samples of the noise-free function at points.

    Args:
        posterior: Of the function.
        Z: Points, shape (b, d).
        n: Number of samples.
        rng: Source of randomness.
    Returns:
        Samples, shape (n, b).
    """
    mu, _ = posterior.mean_sd(Z)
    samples: Array = mu + rng.standard_normal((n, len(Z))) @ root(posterior.cross(Z, Z)).T  # (n, b)
    return samples
