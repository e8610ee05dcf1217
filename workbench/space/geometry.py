"""Questions about encoded points: inside the bounds, at the target, close to a centre, in a shut region.

Symbols: n points, D encoded columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError, UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space.expressions import KnownConstraint
    from workbench.space.parameters import Parameter
    from workbench.space.space import Space

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_SLACK = 1e-9  # rounding of an encoded column that stands on its bound
_WHOLE = 10_000  # values of a structured parameter that a grid may list


def inside(space: Space, X: Array) -> Mask:
    """Which rows of X (n, D) lie within the bounds of every active box parameter, shape (n,)."""
    ok = np.ones(len(X), dtype=bool)
    for p in space:
        if p.box:
            block = X[:, space.slices[p.name]]
            ok &= ~((block < -_SLACK) | (block > 1 + _SLACK)).any(axis=1)  # NaN, inactive, is neither
    return ok


def at_target(space: Space, X: Array) -> Mask:
    """Which rows of X (n, D) have every fidelity and task parameter at its target, shape (n,)."""
    ok = np.ones(len(X), dtype=bool)
    for p in space:
        if p.target is not None:
            ok &= (np.abs(X[:, space.slices[p.name]] - p.encode([p.target])) <= _SLACK).all(axis=1)
    return ok


def close(space: Space, X: Array, centre: Array, reach: float) -> Mask:
    """Which rows of X (n, D) lie within `reach` of a centre (D,): box columns in the unit cube, all others equal."""
    ok = np.ones(len(X), dtype=bool)
    for p in space:
        block, middle = X[:, space.slices[p.name]], centre[space.slices[p.name]]
        same = np.isnan(block) & np.isnan(middle)
        ok &= (same | (np.abs(block - middle) <= (reach if p.box else 0.0))).all(axis=1)
    return ok


def beside(space: Space, X: Array, centre: Array, reach: float) -> Mask:
    """Which rows of X (n, D) count as near a centre (D,), shape (n,).

    Numbers within `reach` of the range, or to the next level; parts of a mixture within `reach` of
    the total; vectors within 4 * reach in root mean square; everything else equal. Only what a
    design may choose is looked at, and no column in which the centre is NaN.
    """
    ok = np.ones(len(X), dtype=bool)
    for p in _chosen(space):
        block, middle = X[:, space.slices[p.name]], centre[space.slices[p.name]]
        if np.isnan(middle).any():
            continue
        if p.kind == "vector":
            gap = np.sqrt(np.mean((block - middle) ** 2, axis=1, keepdims=True)) / 4.0
        else:
            gap = np.abs(block - np.clip(middle, 0.0, 1.0) if p.box else block - middle)
        ok &= (np.isnan(gap) | (gap <= _reach(p, reach) + _SLACK)).all(axis=1)
    return ok


def box_around(space: Space, centre: Array, reach: float) -> tuple[Array, Array]:
    """A box of encoded columns, low (D,) and high (D,), in which all that exists is `beside` a centre."""
    low, high = np.full(space.width, -np.inf), np.full(space.width, np.inf)
    for p in _chosen(space):
        columns = space.slices[p.name]
        middle, gap = centre[columns], _reach(p, reach) * (4.0 if p.kind == "vector" else 1.0)
        if not np.isnan(middle).any():
            middle = np.clip(middle, 0.0, 1.0) if p.box else middle
            low[columns], high[columns] = middle - gap, middle + gap
    return low, high


def towards(space: Space, X: Array, centre: Array, reach: float) -> Array:
    """Points near a centre (D,) that vary as the rows of X (n, D) do; most are `beside` it.

    Columns in which the centre is NaN stay as they are. A vector is turned towards the centre and keeps
    its length on average, so that a latent stays on its shell. Known constraints are left aside.
    """
    Z = np.array(X)
    for p in space:
        block, middle = Z[:, space.slices[p.name]], centre[space.slices[p.name]]
        if p.role == "design" and not np.isnan(middle).any():
            block[:] = _pulled(p, np.where(np.isnan(block), middle, block), middle, _reach(p, reach))
        default = p.from_uniform(np.full((1, p.draws), 0.5))
        block[:] = np.where(np.isnan(block), default, block)  # what a parent's new level may bring about
    return space.encode(space.decode(Z))


def _chosen(space: Space) -> list[Parameter]:
    return [p for p in space if p.role == "design"]


def _reach(p: Parameter, reach: float) -> float:
    """How far a column of the parameter may go from the centre; a choice of two stays."""
    if not p.box and p.kind != "vector":
        return 0.0
    if p.cardinality is None:
        return reach
    return max(reach, 1.0 / (p.cardinality - 1)) if p.cardinality > 2 else 0.0


def _pulled(p: Parameter, block: Array, centre: Array, reach: float) -> Array:
    if reach == 0.0:
        return np.broadcast_to(centre, block.shape)
    if p.kind == "vector":
        t = 2.0 * reach
        return np.asarray(math.sqrt(1.0 - t * t) * centre + t * block)
    if p.kind == "simplex":  # towards a mixture of the same parts
        mixture = np.where(centre > 0, block, 0.0) if getattr(p, "max_nonzero", None) else block
        total = mixture.sum(axis=1, keepdims=True)
        mixture = np.where(total > 0, mixture / np.where(total > 0, total, 1.0), centre)
        return np.asarray(centre + reach * (mixture - centre))
    return np.clip(np.clip(centre, 0.0, 1.0) + reach * (2.0 * block - 1.0), 0.0, 1.0)


def meets(space: Space, X: Array, conditions: Sequence[KnownConstraint]) -> Mask:
    """Which rows of X (n, D) fulfil all the conditions; a row in which one of their names is inactive does not."""
    names = {name for condition in conditions for name in condition.names}
    columns: dict[str, Array] = {}
    for p in space:
        if names & set(p.variables):
            block = X[:, space.slices[p.name]]
            known = ~np.isnan(block).any(axis=1)
            numbers = np.full((len(X), len(p.variables)), np.nan)
            numbers[known] = p.quantities(block[known])
            columns |= dict(zip(p.variables, numbers.T, strict=True))
    ok = np.ones(len(X), dtype=bool)
    for condition in conditions:
        ok &= condition.holds(columns)
    return ok


def variables(space: Space) -> tuple[str, ...]:
    """The names that a condition over this space may use."""
    return tuple(name for p in space for name in p.variables)


def slope(p: Parameter, u: Array) -> Array:
    """dx/du of a Float at encoded columns u: what turns a slope in user units into one in the unit cube."""
    low, high = p.quantities(np.array([[0.0], [1.0]]))[:, 0]
    if getattr(p, "log", False):
        ratio = math.log(high / low)
        return np.asarray(low * np.exp(u * ratio) * ratio, dtype=np.float64)
    return np.full_like(u, high - low)


def is_finite(space: Space, fixed: Mapping[str, Any]) -> bool:
    """Are there finitely many points once these values are held, and fidelities and tasks stand at their target?"""
    return all(_held(p, fixed) or p.samples is not None or p.cardinality is not None for p in space)


def _held(p: Parameter, fixed: Mapping[str, Any]) -> bool:
    """Has the parameter one value, or, because of a fixed parent, none?"""
    if p.name in fixed or p.target is not None:
        return True
    return any(parent in fixed and fixed[parent] not in allowed for parent, allowed in (p.when or {}).items())


# -- the grid ------------------------------------------------------------------------------------


def grid(
    space: Space,
    levels: int | Mapping[str, int | Sequence[Any]] = 5,
    fixed: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """Every combination that the known constraints allow, the last parameter changing fastest.

    Args:
        space: The space.
        levels: Number of levels of a continuous parameter, ends included (for a mixture: parts of
            the total), or by name a number or the levels themselves.
        fixed: Parameters held at a value; fidelity and task parameters stand at their target.
    Raises:
        UnsupportedError: for a kind that has no grid.
        InvalidValueError: if `levels` names an unknown parameter or a value that it cannot take.
    """
    fixed = space.complete_fixed(fixed or {})
    if isinstance(levels, Mapping):
        for name in levels:
            space[name]  # raises for an unknown name
    missing = [p.name for p in space if p.role == "context" and p.name not in fixed]
    if missing:
        raise InvalidValueError(
            f"expected the context {', '.join(missing)} to be given; pass context={{{missing[0]!r}: …}} to ask"
        )
    axes = {p.name: [fixed[p.name]] if p.name in fixed else _axis(p, levels) for p in space}
    for point in _walk(space, axes, 0, {}):
        if not space.constrained or not space.violations(point):
            yield point


def _walk(
    space: Space, axes: Mapping[str, Sequence[Any]], depth: int, point: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Combinations of the parameters from `depth` on, each inactive one left out."""
    if depth == len(space.parameters):
        yield dict(point)
        return
    name = space.parameters[depth].name
    if name not in space.active(point):
        yield from _walk(space, axes, depth + 1, point)
        return
    for value in axes[name]:
        point[name] = value
        yield from _walk(space, axes, depth + 1, point)
        del point[name]


def _axis(p: Parameter, levels: int | Mapping[str, int | Sequence[Any]]) -> list[Any]:
    wish = levels.get(p.name) if isinstance(levels, Mapping) else levels
    if wish is not None and not isinstance(wish, int | np.integer):
        return _distinct(p, [p.check(value, bounds=True) for value in wish])
    if p.target is not None:
        return [p.target]
    if p.samples is not None:
        return _distinct(p, p.samples)
    named = isinstance(levels, Mapping) and wish is not None
    count = 5 if wish is None else int(wish)
    if p.kind == "simplex":
        return _lattice(p, count)
    if p.box and p.width == 1:
        if p.cardinality is not None and (not named or p.cardinality <= count):
            return list(p.values())
        return list(dict.fromkeys(p.decode(np.linspace(0.0, 1.0, count)[:, None])))
    if p.cardinality is not None and p.cardinality <= _WHOLE:
        return list(p.values())
    raise UnsupportedError(
        f"a grid over {p.name!r} ({type(p).__name__}, {p.cardinality or 'infinitely many'} values) is out of reach. "
        f"List the values with levels={{{p.name!r}: […]}}, or use sampler='sobol'"
    )


def _distinct(p: Parameter, values: Sequence[Any]) -> list[Any]:
    return list({p.key(value): value for value in values}.values())


def _lattice(p: Any, count: int) -> list[Any]:
    """Mixtures whose parts are whole multiples of total / (count - 1), bounds and max_nonzero kept."""
    shares = product(range(count), repeat=p.width - 1)
    mixtures = []
    for head in shares:
        if sum(head) > count - 1:
            continue
        parts = np.array([*head, count - 1 - sum(head)]) * (p.total / (count - 1))
        value = dict(zip(p.variables, parts.tolist(), strict=True))
        try:
            mixtures.append(p.check(value, bounds=True))
        except InvalidValueError:
            continue  # outside the bounds of a part
    return mixtures
