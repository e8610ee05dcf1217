"""What a model of the record offers, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import UnsupportedError
from workbench.models.embeddings import blocks
from workbench.pareto import spaced
from workbench.space import Structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Space
    from workbench.trial import History

    Array = NDArray[np.float64]


MODELLED = frozenset(
    ["float", "int", "categorical", "ordinal", "bool", "simplex", "vector", "permutation", "subset", "sequence"]
)  # fmt: skip
WIDEST = 64  # lengthscales; beyond it a dense kernel on so few trials is a promise not kept
HEAVIEST = 8192  # features of structured parameters; at 200 trials an ask then takes about 10 s on one core
_ALONG = 16  # trials of a front around which a large record is learnt


def dimension(space: Space) -> int:
    """How many ways of varying a model of this space tells apart: its columns and blocks of features."""
    plain = sum(p.width for p in space if not isinstance(p, Structure))
    return plain + sum(len(blocks(p)) for p in space if isinstance(p, Structure))


def unmodelled(space: Space) -> list[str]:
    """Why a Gaussian process cannot model this space; empty if it can."""
    reasons = [f"{p.name!r} is a {type(p).__name__}" for p in space if p.kind not in MODELLED]
    if not reasons and dimension(space) > WIDEST:
        reasons.append(f"it has {dimension(space)} columns and blocks of features, more than {WIDEST}")
    features = sum(block.width for p in space if isinstance(p, Structure) for block in blocks(p))
    if features > HEAVIEST:
        reasons.append(f"its structured parameters have {features} features, more than {HEAVIEST}")
    return reasons


def start_size(history: History) -> int:
    """Trials before a model takes over the search: 2 (d + 1) for d lengthscales, at most a quarter of the budget."""
    size = 2 * (min(dimension(history.space), WIDEST) + 1)
    return size if history.budget is None else max(1, min(size, history.budget // 4))


class Surrogate(ABC):
    """A belief about every measured objective at one revision of the record."""

    @property
    @abstractmethod
    def exact(self) -> NDArray[np.bool_]:
        """Of which objectives a measured value is the noise-free one, shape (m,)."""

    @abstractmethod
    def posterior(self, X: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the noise-free objectives.

        Args:
            X: Encoded points, shape (n, d), NaN where inactive.
        Returns:
            Two arrays of shape (n, m) in the units and signs of `History.Y`.
        """

    @abstractmethod
    def draws(self, X: Array, n: int, rng: np.random.Generator) -> Array:
        """Joint draws of the noise-free objectives at points.

        Args:
            X: Encoded points, shape (k, d).
            n: How many.
            rng: Source of randomness.
        Returns:
            Shape (n, k, m), units and signs of `History.Y`.
        """

    @abstractmethod
    def predict(self, X: Array) -> dict[str, tuple[Array, Array]]:
        """Mean and standard deviation in user units and signs.

        Args:
            X: Encoded points, shape (n, d).
        Returns:
            {objective or quantity with a limit: (mean, sd)}, arrays of shape (n,).
        """

    @abstractmethod
    def feasibility(self, X: Array) -> Array:
        """Probability that a trial succeeds and holds every measured limit, shape (n,).

        Args:
            X: Encoded points, shape (n, d).
        """


def fit(history: History, *, deadline: float | None = None, device: str | None = None) -> Surrogate:
    """Fit the default model of a record: a Gaussian process for each measured quantity.

    Of a record with more trials than one process takes, those nearest to the best are learnt from, or with several
    objectives those nearest to some that cover the front.

    Args:
        history: The record, with at least two complete trials.
        deadline: `time.monotonic()` at which the search for hyperparameters stops.
        device: In torch, for the matrices of many trials; None computes in LAPACK.
    Raises:
        UnsupportedError: if a parameter is of a kind that it cannot model.
    """
    from workbench.models.gp import GaussianProcesses, largest

    reasons = unmodelled(history.space)
    if reasons:
        raise UnsupportedError(f"no model for this space yet: {'; '.join(reasons)}")
    many = np.count_nonzero(history.complete & history.placed) > largest(device)
    centre = _best(history) if many else None
    return GaussianProcesses.fit(history, deadline=deadline, centre=centre, device=device)


def _best(history: History) -> Array:
    """Encoded points that cover the front of several objectives, else that of the best trial, (k, d).

    The best in the first objective: one that counts, else any.
    """
    if len(history.measured) > 1 and history.front.any():
        ahead = np.flatnonzero(history.front)
        some: Array = history.X[ahead[spaced(history.utility(history.Y[ahead]), _ALONG)]]
        return some
    told = history.complete & history.placed & ~np.isnan(history.Y[:, 0])
    rows = np.flatnonzero(history.counted & told)
    rows = rows if rows.size else np.flatnonzero(told)
    best: Array = history.X[rows[np.argmax(history.utility(history.Y[rows])[:, 0])]]
    return best[None]
