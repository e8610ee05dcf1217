"""Where a search may go: the box, the columns that move and how, and the linear constraints among them.

Symbols: d encoded columns, n points, k columns that are searched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.acquisition.search.ascent import Polytope
from workbench.models.inputs import Inputs
from workbench.space import Simplex, Structure
from workbench.space.geometry import box_around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import KnownConstraint, Parameter, Space

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

FEW = 30  # an ordered discrete column with more levels is searched as continuous first
_MANY = 2000  # and with still more levels it is only rounded in the end: neighbours differ by 0.05 % of the range
_SLACK = 1e-9  # rounding of a level on the edge of the box


@dataclass(frozen=True)
class Candidate:
    """The best point found: encoded x of shape (d,), its acquisition value, and whether time cut it short."""

    x: Array
    value: float
    late: bool


@dataclass(frozen=True)
class Vicinity:
    """Where to stay: within `reach` of an encoded centre (d,), as `geometry.beside` says.

    Structured values stay as they are in the centre, or within a distance `radius` of it over all their features.
    """

    centre: Array
    reach: float
    radius: float = 0.0


@dataclass(frozen=True)
class LinearRow:
    """coefficients . x[columns] <= limit, or == limit, in encoded columns."""

    columns: NDArray[np.int64]
    coefficients: Array
    limit: float
    equality: bool


@dataclass(frozen=True)
class Region:
    """Where to search.

    Args:
        space: The space.
        inputs: Its columns as the model sees them.
        fixed: Parameters held at a value.
        admits: Mask of shape (n,) of the encoded points (n, d) that may be proposed.
        deadline: `time.monotonic()` at which the search returns what it has.
        near: Where to stay; None for the whole space.
    """

    space: Space
    inputs: Inputs
    fixed: Mapping[str, Any]
    admits: Callable[[Array], NDArray[np.bool_]]
    deadline: float | None = None
    near: Vicinity | None = None

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """Search box of encoded points: low (d,) and high (d,)."""
        low, high = self.inputs.low.copy(), self.inputs.high.copy()
        for p in self.space:
            if isinstance(p, Simplex):
                low[self.space.slices[p.name]], high[self.space.slices[p.name]] = p.limits
        if self.near is not None:
            nearest, furthest = box_around(self.space, self._centre, self.near.reach)
            low, high = np.clip(nearest, low, high), np.clip(furthest, low, high)
        return low, high

    @cached_property
    def held(self) -> dict[int, float]:
        """Columns with one possible value: fixed by the caller, or of a parameter that has only one here."""
        held: dict[int, float] = {}
        for p in self.space:
            columns = range(*self.space.slices[p.name].indices(self.space.width))
            if p.name in self.fixed:
                held.update(zip(columns, p.encode([self.fixed[p.name]])[0].tolist(), strict=True))
            elif p.cardinality == 1:
                held.update(zip(columns, p.encode(list(p.values()))[0].tolist(), strict=True))
            elif self.near is not None:
                low, high = self.bounds
                block = low[None, columns]
                there = block if p.cardinality is None else p.encode(p.decode(block))
                held.update((c, float(x)) for c, x in zip(columns, there[0], strict=True) if low[c] == high[c])
        return held

    @cached_property
    def plain(self) -> bool:
        """Is every point of the box as good as one that exists, next to it by rounding?"""
        free = not (self.held or self.space.constrained or self.near is not None)
        return free and all(
            p.cardinality is None and not p.when and not isinstance(p, Simplex | Structure) for p in self.space
        )

    @cached_property
    def levels(self) -> dict[int, Array]:
        """Columns that are moved level by level, and their levels in increasing order."""
        low, high = self.bounds
        levels = {}
        for p in self.space:
            column = self.space.slices[p.name].start
            if column in self.held or isinstance(p, Structure):
                continue
            if p.width == 1 and p.cardinality is not None and p.cardinality <= _MANY:
                places = p.encode(list(p.values()))[:, 0]
                within = places[(places >= low[column] - _SLACK) & (places <= high[column] + _SLACK)]
                middle = (low[column] + high[column]) / 2
                levels[column] = within if within.size else places[[np.abs(places - middle).argmin()]]
        return levels

    @cached_property
    def structured(self) -> list[Structure]:
        """Parameters that are moved from one value to its neighbours."""
        return [p for p in self.space if isinstance(p, Structure) and self.space.slices[p.name].start not in self.held]

    def neighbours(self, x: Array, p: Structure, rng: np.random.Generator, n: int) -> Array:
        """At most n points around a filled one (d,) that differ from it in a structured parameter only."""
        block = p.neighbours(x[self.space.slices[p.name]], rng, n)
        P = np.repeat(x[None], len(block), axis=0)
        P[:, self.space.slices[p.name]] = block
        if self.near is not None and self.near.radius > 0.0:
            middle = self.filled(self.near.centre[None])[0]
            P = P[np.sqrt(self.inputs.apart(P, middle)[1]) <= self.near.radius]
        return P

    @property
    def _centre(self) -> Array:
        """The centre of the box: NaN in the columns of structured parameters that may leave theirs."""
        assert self.near is not None
        centre = self.near.centre.copy()
        if self.near.radius > 0.0:
            for p in self.space:
                if isinstance(p, Structure):
                    centre[self.space.slices[p.name]] = np.nan
        return centre

    @cached_property
    def continuous(self) -> Rows:
        """Columns that a search by gradients moves while the others stand still."""
        columns = [c for p in self._ordered() for c in self._columns(p)]
        return np.array([c for c in columns if c not in self.held and c not in self.levels], dtype=np.int64)

    @cached_property
    def relaxed(self) -> Rows:
        """These and the columns of so many levels that they are searched as continuous first."""
        fine = [c for c, levels in self.levels.items() if len(levels) > FEW and c not in self.inputs.categorical]
        if not fine:
            return self.continuous
        return np.array(sorted([*self.continuous.tolist(), *fine]), dtype=np.int64)

    @property
    def constrained(self) -> bool:
        """Has the space any known constraint?"""
        return self.space.constrained

    @property
    def countable(self) -> bool:
        """Is there nothing but levels and structured values to choose from?"""
        return len(self.continuous) == 0

    @cached_property
    def rows(self) -> list[LinearRow]:
        """Known linear constraints, but for those over logarithms, ranks and conditional parameters."""
        affine = _affine_variables(self.space)
        found = [_in_columns(constraint, affine) for constraint in self.space.constraints]
        rows = [row for row in found if row is not None]
        for p in self.space:
            if isinstance(p, Simplex):
                columns = np.array(self._columns(p))
                rows.append(LinearRow(columns, np.ones(len(columns)), 1.0, True))
        return rows

    @cached_property
    def curved(self) -> bool:
        """Are there constraints that `rows` does not express?"""
        affine = _affine_variables(self.space)
        return bool(self.space.functions) or any(_in_columns(c, affine) is None for c in self.space.constraints)

    @cached_property
    def defaults(self) -> Array:
        """What stands in a column until its parameter exists, shape (d,)."""
        row = np.concatenate([p.from_uniform(np.full((1, p.draws), 0.5))[0] for p in self.space])
        defaults: Array = np.clip(row, *self.bounds)
        return defaults

    def filled(self, X: Array) -> Array:
        """The points (n, d) with the defaults where nothing exists and the held values put in."""
        X = np.where(np.isnan(X), self.defaults, X)
        for column, value in self.held.items():
            X[:, column] = value
        return X

    def polytope(self, columns: Rows, x: Array) -> Polytope:
        """The linear constraints over unit coordinates of some columns, the others standing as in a point x (d,)."""
        low, high = self.bounds
        inequalities: list[tuple[Array, float]] = []
        equalities: list[tuple[Array, float]] = []
        for row in self.rows:
            whole = np.zeros(self.space.width)
            np.add.at(whole, row.columns, row.coefficients)
            slopes = whole[columns] * (high - low)[columns]
            if slopes.any():
                at_zero = np.array(x)
                at_zero[columns] = low[columns]
                (equalities if row.equality else inequalities).append((slopes, row.limit - float(whole @ at_zero)))
        return Polytope(*_stacked(inequalities, len(columns)), *_stacked(equalities, len(columns)))

    def _ordered(self) -> list[Parameter]:
        return [p for p in self.space if p.box or p.cardinality is None]

    def _columns(self, p: Parameter) -> list[int]:
        return list(range(*self.space.slices[p.name].indices(self.space.width)))


def _stacked(rows: list[tuple[Array, float]], k: int) -> tuple[Array, Array]:
    return np.array([slopes for slopes, _ in rows]).reshape(len(rows), k), np.array([limit for _, limit in rows])


def _affine_variables(space: Space) -> dict[str, tuple[int, float, float]]:
    """Variable -> (column, value at 0, value at 1) for variables that are affine in one column."""
    affine: dict[str, tuple[int, float, float]] = {}
    for p in space:
        start = space.slices[p.name].start
        if p.when:
            continue
        if isinstance(p, Simplex):
            affine |= {name: (start + i, 0.0, p.total) for i, name in enumerate(p.variables)}
        elif p.kind in ("float", "int", "bool") and not getattr(p, "log", False) and p.cardinality != 1:
            low, high = p.quantities(np.array([[0.0], [1.0]]))[:, 0]
            affine[p.name] = (start, float(low), float(high))
    return affine


def _in_columns(constraint: KnownConstraint, affine: Mapping[str, tuple[int, float, float]]) -> LinearRow | None:
    """c.v + constant <= 0 in user units as (c span).x <= -constant - c.low in columns; None if it cannot be said so."""
    linear = constraint.linear
    if linear is None or any(name not in affine for name in linear[0]):
        return None
    coefficients, constant = linear
    columns = np.array([affine[name][0] for name in coefficients], dtype=np.int64)
    spans = np.array([c * (affine[name][2] - affine[name][1]) for name, c in coefficients.items()])
    limit = -constant - sum(c * affine[name][1] for name, c in coefficients.items())
    unit = float(np.abs(spans).max(initial=0.0)) or 1.0  # solvers measure a violation in these
    return LinearRow(columns, spans / unit, limit / unit, constraint.equality)
