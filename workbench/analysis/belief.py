"""What every analysis starts from: the record, its Gaussian processes, and quantities in user units.

Symbols: n trials, d encoded columns, b points, m objectives; z standardised values, larger is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from workbench.errors import InvalidValueError, UnsupportedError
from workbench.models.exact import NOISELESS
from workbench.models.gp import GaussianProcess, GaussianProcesses, alone
from workbench.models.normal import SD_FLOOR, improvement_terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.surrogate import Surrogate
    from workbench.problem import Objective
    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

_NODES = ndtri((np.arange(64) + 0.5) / 64)  # midpoints of 64 equal shares of a standard normal
_NODES = _NODES / np.sqrt(np.mean(_NODES**2))  # with its variance


@dataclass(frozen=True)
class Quantity:
    """One measured quantity and its process.

    Args:
        process: Of its standardised values.
        goal: The objective; None of a quantity that only has limits.
        unit: Its unit.
        sign: -1 where the process models the negative of what is told.
    """

    process: GaussianProcess
    goal: Objective | None
    unit: str | None
    sign: float

    @property
    def name(self) -> str:
        """Its name."""
        return self.process.name

    @property
    def noise_z(self) -> float:
        """Standard deviation of one further measurement in units of z; 0 where there is no noise."""
        variance = self.process.posterior.noise
        return 0.0 if variance <= 1.01 * NOISELESS else float(np.sqrt(variance))

    @property
    def noise(self) -> float:
        """The same in user units: as told or stated, or as inferred, where values are bent at their middle."""
        data, outcome = self.process.data, self.process.outcome
        if self.noise_z == 0:
            return 0.0
        if not data.infer:
            return float(
                np.sqrt(np.mean(data.noise / outcome.variance(outcome.backward(data.y), np.ones(len(data.y)))))
            )
        middle = np.median(data.y) if len(data.y) else 0.0
        return float(outcome.moments(np.array([middle]), np.array([self.noise_z]))[1][0])

    def told(self, mu: Array, sd: Array) -> tuple[Array, Array]:
        """Mean and standard deviation in user units and signs, of those of z."""
        mean, spread = self.process.outcome.moments(mu, sd)
        return self.sign * mean, spread

    def unit_of_z(self) -> float:
        """User units of one unit of z; where values are bent, near the best of them."""
        outcome = self.process.outcome
        if outcome.bend is None:
            return outcome.slope
        best = float(self.process.data.y.max())
        return float(outcome.backward(np.array(best + 0.5)) - outcome.backward(np.array(best - 0.5)))

    def worth(self, z: Array) -> Array:
        """Utility of values z, in units of z: themselves, or -max(0, |z - target| - tolerance)."""
        if self.goal is None or self.goal.target is None:
            return z
        target, tolerance = self.target
        return np.asarray(-np.maximum(0.0, np.abs(z - target) - tolerance))

    def expected_worth(self, mu: Array, sd: Array) -> Array:
        """Mean of the utility of normal z; with a = (mu - t - tol) / sd, b = (t - tol - mu) / sd, -sd (h(a) + h(b))."""
        if self.goal is None or self.goal.target is None:
            return mu
        target, tolerance = self.target
        s = np.maximum(sd, SD_FLOOR)
        over, under = (mu - target - tolerance) / s, (target - tolerance - mu) / s
        return np.asarray(-s * (np.exp(improvement_terms(over)[0]) + np.exp(improvement_terms(under)[0])))

    def expected_gain(self, mu: Array, sd: Array, best: Array | float) -> Array:
        """Mean of max(0, utility - best) of normal z, any shape: in closed form, or over 64 quantiles for a target."""
        s = np.maximum(sd, SD_FLOOR)
        if self.goal is None or self.goal.target is None:
            return np.asarray(s * np.exp(improvement_terms((mu - best) / s)[0]))
        z = mu[..., None] + s[..., None] * _NODES
        return np.asarray(np.maximum(self.worth(z) - np.asarray(best)[..., None], 0.0).mean(axis=-1))

    @property
    def target(self) -> tuple[float, float]:
        """Target and tolerance in units of z; the process of an objective with a target is never bent."""
        assert self.goal is not None
        assert self.goal.target is not None
        outcome = self.process.outcome
        return float(outcome.forward(np.array(self.goal.target))), self.goal.tolerance / outcome.slope


class Belief:
    """A record and the Gaussian processes that were fitted to it.

    Args:
        history: The record.
        surrogate: Its model.
    Raises:
        UnsupportedError: if the model is of another kind.
    """

    def __init__(self, history: History, surrogate: Surrogate) -> None:
        if not isinstance(surrogate, GaussianProcesses):
            raise UnsupportedError(
                f"expected Gaussian processes as the model, got {type(surrogate).__name__}, which cannot be left out "
                "of or drawn from; load the study with sampler='gp' to analyse it"
            )
        self.history, self.gp = history, surrogate
        goals = zip(surrogate.outputs, history.measured, strict=True)
        self.goals = [Quantity(process, goal, goal.unit, goal.sign) for process, goal in goals]
        limits = zip(surrogate.limited, history.constraints, strict=True)
        self.limited = [Quantity(process, None, limit.unit, 1.0) for process, limit in limits]

    @property
    def quantities(self) -> list[Quantity]:
        """Objectives, then quantities with limits."""
        return [*self.goals, *self.limited]

    def chosen(self, name: str | None) -> list[Quantity]:
        """One quantity by name, or all.

        Raises:
            InvalidValueError: if there is none of that name.
        """
        names = [one.name for one in self.quantities]
        if name is not None and name not in names:
            raise InvalidValueError(f"expected one of {', '.join(names)}, got {name!r}; pass one of these, or None")
        return [one for one in self.quantities if name in (None, one.name)]

    def moments(self, X: Array) -> tuple[Array, Array]:
        """Mean and sd of z of every objective at encoded points (b, d), shape (b, m) each."""
        Z = self.gp.inputs.model_points(X)
        with alone():
            found = [goal.process.posterior.mean_sd(Z) for goal in self.goals]
        return np.stack([mu for mu, _ in found], axis=1), np.stack([sd for _, sd in found], axis=1)

    @cached_property
    def counted(self) -> Rows:
        """Rows of the counted trials with every objective."""
        history = self.history
        return np.flatnonzero(history.counted & ~np.isnan(history.Y).any(axis=1))

    @property
    def world(self) -> list[int]:
        """Columns of what the world decides, role "context"."""
        space = self.history.space
        return [
            column for p in space if p.role == "context" for column in range(*space.slices[p.name].indices(space.width))
        ]

    @property
    def quiet(self) -> bool:
        """Is what was measured what holds: no noise in any objective, and no context that changes?"""
        return not self.world and all(goal.noise_z == 0 for goal in self.goals)

    def designs(self, x: Array | None = None) -> Array:
        """The counted trials, encoded (k, d), put into the context of a point (d,).

        There, only those likely to hold the limits, or the likeliest one: they held them in contexts of theirs.
        """
        X = self.history.X[self.counted]
        if x is None or not self.world:
            return X
        X[:, self.world] = x[self.world]
        if not self.gp.limits or not len(X):
            return X
        likely = self.gp.feasibility(X)
        return X[likely > 0.5] if (likely > 0.5).any() else X[[int(likely.argmax())]]

    def worths(self, x: Array | None = None) -> Array:
        """Utilities of the counted trials in units of z, shape (k, m): measured ones, or expected ones under noise.

        Args:
            x: Encoded point (d,) in whose context they are looked at, those of `designs`.
        """
        if self.quiet:
            Y = self.history.Y[self.counted]
            return np.stack([q.worth(q.process.outcome.forward(Y[:, j])) for j, q in enumerate(self.goals)], axis=1)
        mu, sd = self.moments(self.designs(x))
        return np.stack([q.expected_worth(mu[:, j], sd[:, j]) for j, q in enumerate(self.goals)], axis=1)

    def reference(self) -> Array:
        """Reference point of the hypervolume in units of z, shape (m,): that of the record."""
        told = self.history.reference
        targeted = [one.goal is not None and one.goal.target is not None for one in self.goals]
        pairs = zip(self.goals, told, targeted, strict=True)
        return np.array(
            [u / one.process.outcome.slope if on else one.process.outcome.forward(np.array(u)) for one, u, on in pairs]
        )

    def best(self) -> int | None:
        """Row of the best counted trial of a study with one objective: measured, or expected under noise."""
        if len(self.goals) != 1 or not self.counted.size:
            return None
        return int(self.counted[int(np.argmax(self.worths()[:, 0]))])

    def levels(self) -> list[int]:
        """Number of levels of each column of choices."""
        return [int(self.gp.inputs.high[column]) + 1 for column in self.gp.inputs.categorical]

    def nearest(self, X: Array, most: int = 3, without: int | None = None) -> list[Neighbour]:
        """The trials with values that lie nearest to an encoded point, shape (1, d), by scaled distance.

        Args:
            without: Row of a trial to leave out.
        """
        history, inputs = self.history, self.gp.inputs
        rows = np.flatnonzero(history.complete & history.placed)
        rows = rows[rows != (-1 if without is None else without)]
        if not rows.size:
            return []
        gaps, features = inputs.apart(history.X[rows], X[0])
        gaps[:, inputs.categorical] = gaps[:, inputs.categorical] != 0
        distances = np.sqrt((gaps**2).sum(axis=1) + features)
        here = history.space.decode(X)[0]
        made = []
        for i in np.argsort(distances, kind="stable")[:most].tolist():
            there = history.spaces.placed(history.rows[rows[i]]) or {}
            differs = {
                name: there.get(name)
                for name in history.space.names
                if (name in there) != (name in here)
                or (name in here and not _same(history.space[name], here[name], there[name]))
            }
            made.append(Neighbour(int(history.numbers[rows[i]]), float(distances[i]), differs))
        return made


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A trial near a point.

    Args:
        trial: Its number.
        distance: In the unit cube, a different choice counting 1.
        differs: Its values of the parameters in which it differs; None where it has none.
    """

    trial: int
    distance: float
    differs: Mapping[str, Any]


def _same(parameter: Any, a: Any, b: Any) -> bool:
    return bool(np.allclose(parameter.encode([a]), parameter.encode([b]), rtol=0, atol=1e-9))


def chance_above(mean: float, sd: float) -> float:
    """Probability that a normal quantity is positive."""
    return float(ndtr(mean / sd)) if sd > 0 else float(mean > 0)
