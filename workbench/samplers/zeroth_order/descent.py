"""Descent by rounds: estimate a direction from a ranking, then search along it by a ranking.

    estimate   rank perturbations of x; the direction is averaged with those of the rounds since x last moved
    search     compare x, x + step * halving^i * direction, and the best perturbation seen; go to the best of them

If x itself is the best, it stays, and so does the averaged direction. Latents keep to their shell, |z| = sqrt d.
Source: Tang, Rybin and Chang 2024, Zeroth-Order Optimization Meets Human Feedback, algorithm 2; differs in weights that
sum to 0, and in the unit of a step, which is that of the perturbations before they are scaled by the radius.

A state is a value, and depends on nothing but what was shown and how it was ranked.

Symbols: m points of a round, d coordinates, mu radius.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from workbench.samplers.zeroth_order.estimator import direction

Array = NDArray[np.float64]

_WIDER = 1.5  # the radius grows by this when no difference is seen, or nothing is acceptable


@dataclass(frozen=True)
class Settings:
    """Schedules.

    Args:
        radius: mu of the first round, in encoded units.
        step: The longest step, in multiples of the direction.
        halving: What each further step of a search is of the one before.
        shrink: What the radius is multiplied with after each estimate.
        averaging: Average the directions of all rounds since x last moved, instead of the last one alone.
    """

    radius: float
    step: float
    halving: float = 0.5
    shrink: float = 1.0
    averaging: bool = True


@dataclass(frozen=True)
class Shell:
    """Where points are brought back to: blocks of standard-normal columns to |z| = sqrt d, box columns to [0, 1].

    Args:
        latents: Blocks of columns.
        box: Columns in the unit cube.
    """

    latents: tuple[slice, ...] = ()
    box: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __call__(self, X: Array) -> Array:
        """The points (m, d), brought back."""
        X = np.array(X, dtype=np.float64)
        for block in self.latents:
            length = np.linalg.norm(X[:, block], axis=1, keepdims=True)
            X[:, block] *= np.sqrt(block.stop - block.start) / np.maximum(length, 1e-300)
        X[:, self.box] = np.clip(X[:, self.box], 0.0, 1.0)
        return X


@dataclass(frozen=True)
class State:
    """Where a descent stands.

    Args:
        x: The best point, shape (d,).
        radius: mu of the next estimate.
        heading: Averaged direction of descent, shape (d,); None: estimate next.
        averaged: Estimates in it.
        searching: Is a search next?
        probe: The best perturbation of the last estimate, shape (d,).
    """

    x: Array
    radius: float
    heading: Array | None = None
    averaged: int = 0
    searching: bool = False
    probe: Array | None = None

    def perturbed(self, normals: Array, shell: Shell) -> Array:
        """Points to rank, x + mu xi, shape (m, d), for standard normals of that shape."""
        return shell(self.x + self.radius * normals)

    def steps(self, n: int, settings: Settings, shell: Shell) -> Array:
        """The n points of a search, the longest step first, shape (n, d)."""
        assert self.heading is not None
        lengths = settings.step * settings.halving ** np.arange(n)
        return shell(self.x + lengths[:, None] * self.heading)

    def estimated(self, points: Array, omega: Array, settings: Settings) -> State:
        """After an estimate.

        Args:
            points: What was ranked, shape (m, d).
            omega: Weights of the ranking, shape (m,).
            settings: Schedules.
        """
        if not omega.any():  # no difference was seen: look further
            return replace(self, radius=_WIDER * self.radius)
        found = direction(omega, (points - self.x) / self.radius)
        if self.heading is not None and settings.averaging:
            found = self.heading + (found - self.heading) / (self.averaged + 1)
        return replace(
            self, radius=settings.shrink * self.radius, heading=found, averaged=self.averaged + 1,
            searching=True, probe=points[int(np.argmax(omega))],
        )  # fmt: skip

    def moved(self, x: Array) -> State:
        """After a search that another point won, or when somebody went elsewhere."""
        return State(x, self.radius)

    def stayed(self) -> State:
        """After a search that x won."""
        return replace(self, searching=False, probe=None)

    def wider(self) -> State:
        """After a round of which nothing was acceptable."""
        return replace(self, radius=_WIDER * self.radius, searching=False)
