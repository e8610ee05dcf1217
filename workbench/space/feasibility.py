"""The linear constraints of a space as rows of numbers, and the contradictions among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InfeasibleSpaceError
from workbench.space.expressions import TOLERANCE, KnownConstraint
from workbench.space.parameters import Numeric
from workbench.space.scales import Array

if TYPE_CHECKING:
    from workbench.space.space import Space

_WITNESSES = 256  # random points tried before a linear program


@dataclass(frozen=True, slots=True)
class Row:
    """coefficients . v + constant <= 0, or == 0."""

    source: str
    coefficients: Mapping[str, float]
    constant: float
    equality: bool


def linear_rows(constraints: Iterable[KnownConstraint]) -> list[Row]:
    """Return the linear ones among the constraints as rows."""
    rows = []
    for constraint in constraints:
        if constraint.linear is not None:
            coefficients, constant = constraint.linear
            rows.append(Row(constraint.source, coefficients, constant, constraint.equality))
    return rows


def total_row(numeric: Numeric) -> Row:
    """Return the row that says what the variables of a mixture sum to."""
    assert numeric.total is not None
    return Row("the total", dict.fromkeys(numeric.names, 1.0), -numeric.total, True)


def stacked(rows: Sequence[Row], names: Sequence[str], low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
    """Return A, b, C, e of A t <= b and C t = e for v = low + (high - low) t; names outside are 0."""
    place = {name: i for i, name in enumerate(names)}
    M, k = np.zeros((len(rows), len(names))), np.zeros(len(rows))
    for i, row in enumerate(rows):
        k[i] = row.constant
        for name, coefficient in row.coefficients.items():
            if name in place:
                M[i, place[name]] = coefficient
    k, M = k + M @ low, M * (high - low)
    equal = np.array([row.equality for row in rows], dtype=bool)
    return M[~equal], -k[~equal], M[equal], -k[equal]


def check_feasible(space: Space) -> None:
    """Raise InfeasibleSpaceError if linear constraints over unconditional parameters contradict.

    Steps are ignored here: constraints that only the gaps between levels break are found when drawing.
    """
    always = {p.name: p for p in space.parameters if p.when is None and p.numeric is not None}
    numerics = [p.numeric for p in always.values() if p.numeric is not None]
    span = {
        name: (low, high)
        for numeric in numerics
        for name, low, high in zip(numeric.names, numeric.low, numeric.high, strict=True)
    }
    rows = [row for row in linear_rows(space.constraints) if set(row.coefficients) <= set(span)]
    for row in rows:
        _check_interval(row, span)
    joint = len(rows) > 1 or any(numeric.total is not None for numeric in numerics)
    if rows and joint and not _has_witness(space, rows):
        _check_program([*rows, *(total_row(n) for n in numerics if n.total is not None)], span)


def _check_interval(row: Row, span: Mapping[str, tuple[float, float]]) -> None:
    ends = [(a * span[name][0], a * span[name][1]) for name, a in row.coefficients.items()]
    least = row.constant + sum(min(pair) for pair in ends)
    most = row.constant + sum(max(pair) for pair in ends)
    size = abs(row.constant) + sum(max(map(abs, pair)) for pair in ends)
    slack = TOLERANCE * max(1.0, size)
    if least > slack or (row.equality and most < -slack):
        ranges = ", ".join(f"{name} from {span[name][0]:g} to {span[name][1]:g}" for name in row.coefficients)
        raise InfeasibleSpaceError(
            f"expected constraints that leave some point; {row.source!r} leaves none"
            f"{f' with {ranges}' if ranges else ''}. Relax it or widen the bounds."
        )


def _has_witness(space: Space, rows: Sequence[Row]) -> bool:
    rng = np.random.default_rng(0)
    columns: dict[str, Array] = {}
    for parameter in space.parameters:
        if parameter.numeric is not None and parameter.when is None:
            X = parameter.from_uniform(rng.random((_WITNESSES, parameter.draws)))
            columns.update(zip(parameter.variables, parameter.quantities(X).T, strict=True))
    met = np.ones(_WITNESSES, dtype=bool)
    for row in rows:
        gap = row.constant + sum(a * columns[name] for name, a in row.coefficients.items())
        met &= np.abs(gap) <= TOLERANCE if row.equality else gap <= 0
    return bool(met.any())


def _check_program(rows: Sequence[Row], span: Mapping[str, tuple[float, float]]) -> None:
    from scipy.optimize import linprog

    low, high = np.array(list(span.values())).T
    A, b, C, e = stacked(rows, list(span), low, high)
    result = linprog(np.zeros(len(span)), A, b, C, e, [(0.0, 1.0)] * len(span), method="highs")
    if result.status == 2:
        named = ", ".join(repr(row.source) for row in rows if row.source != "the total")
        raise InfeasibleSpaceError(
            f"expected constraints that leave some point; together {named} leave none within the bounds. "
            "Relax one of them or widen the bounds."
        )
