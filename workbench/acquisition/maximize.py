"""The inner search: where on a mixed, constrained space an acquisition function is largest.

Screen many points, search locally from the good ones with BoTorch (L-BFGS-B; alternating for
discrete parts), then round everything to points that exist, keep what may be proposed, and take
the best. What the local search cannot express (nonlinear constraints, constraints over logarithms
or conditionals) is met by walking back from its result to the feasible start.

Symbols: n candidates, d encoded columns, b starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.optim.optimize import optimize_acqf
from botorch.optim.optimize_mixed import optimize_acqf_mixed_alternating
from torch import Tensor

from workbench.errors import DeadlineReached
from workbench.models.inputs import Inputs
from workbench.space import Simplex
from workbench.space.geometry import box_around, towards

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import KnownConstraint, Space

    Array = NDArray[np.float64]
    Linear = list[tuple[Tensor, Tensor, float]]

_BATCH = 256  # points per evaluation
_FEW = 30  # an ordered discrete column with more levels is searched as continuous and rounded
_SPRAY = (0.2, 0.05, 0.01, 0.002)  # sd of the perturbations around good trials, in the unit cube
_SLACK = 1e-9  # rounding of a level on the edge of the box
_WALK = np.linspace(0.0, 1.0, 9)[1:-1]  # fractions of the way from a start to the end of its local search


@dataclass(frozen=True)
class Candidate:
    """The best point found: encoded x of shape (d,), its acquisition value, and whether time cut it short."""

    x: Array
    value: float
    late: bool


@dataclass(frozen=True)
class Vicinity:
    """Where to stay: within `reach` of an encoded centre (d,), as `geometry.beside` says."""

    centre: Array
    reach: float


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
    def bounds(self) -> Tensor:
        """Search box of encoded points, shape (2, d)."""
        if self.near is None:
            return self.inputs.bounds
        least, most = self.inputs.bounds.numpy()
        low, high = box_around(self.space, self.near.centre, self.near.reach)
        low, high = np.maximum(low, least), np.minimum(high, most)
        for c, levels in _discrete_columns(self.space).items():
            within = [level for level in levels if low[c] - _SLACK <= level <= high[c] + _SLACK]
            low[c], high[c] = within[0], within[-1]
        return torch.from_numpy(np.stack([low, high]))


def maximize(
    acquisition: AcquisitionFunction,
    region: Region,
    rng: np.random.Generator,
    around: Array,
    *,
    restarts: int,
    raw_samples: int,
) -> Candidate | None:
    """Maximise an acquisition function over the points that exist and may be proposed.

    Args:
        acquisition: Function of encoded points (b, 1, d) with values (b,).
        region: Where to search.
        rng: Source of the screening points.
        around: Encoded points worth a look at their neighbourhood, shape (k, d).
        restarts: Number of local searches.
        raw_samples: Number of screened points.
    Returns:
        The best candidate; None if no point found may be proposed.
    Raises:
        DeadlineReached: if time was over before anything was screened.
    """
    timed = _Timed(acquisition, region.deadline)
    pool = _screening_points(region, rng, around, raw_samples)
    values = _values(timed, pool)
    late = False
    try:
        starts = pool[_start_rows(values, rng, restarts)]
        ends = _local_search(timed, region, starts, raw_samples)
        ends = _existing(region, np.concatenate([ends, _walks(region, starts, ends)]))
        pool, values = np.concatenate([pool, ends]), np.concatenate([values, _values(timed, ends)])
    except DeadlineReached:
        late = True
    allowed = np.flatnonzero(region.admits(pool) & np.isfinite(values))
    if allowed.size == 0:
        return None
    best = allowed[np.argmax(values[allowed])]
    return Candidate(pool[best], float(values[best]), late)


class _Timed(AcquisitionFunction):
    """Raises `DeadlineReached` instead of a value once the time is over."""

    def __init__(self, inner: AcquisitionFunction, deadline: float | None) -> None:
        super().__init__(model=inner.model)
        self._inner = inner
        self._deadline = deadline

    def forward(self, X: Tensor) -> Tensor:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise DeadlineReached("the time given to the search is over")
        values: Tensor = self._inner(X)
        return values


def _values(acquisition: AcquisitionFunction, X: Array) -> Array:
    """Acquisition values, shape (n,), at encoded points (n, d) with NaN where inactive."""
    with torch.no_grad():
        blocks = [acquisition(torch.from_numpy(X[i : i + _BATCH, None, :])) for i in range(0, len(X), _BATCH)]
    return torch.cat(blocks).numpy() if blocks else np.empty(0)


# -- points ------------------------------------------------------------------------------------


def _screening_points(region: Region, rng: np.random.Generator, around: Array, n: int) -> Array:
    spread = region.space.sobol(n, int(rng.integers(2**31)), fixed=region.fixed)
    if region.near is not None:
        spread = towards(region.space, spread, region.near.centre, region.near.reach)
        spread = spread[region.space.feasible(spread)]
        around = spread[:1] if np.isnan(region.near.centre).any() else region.near.centre[None]
    if len(around) == 0:
        return spread
    return np.concatenate([spread, _existing(region, _spray(region, rng, around, n // 4))])


def _spray(region: Region, rng: np.random.Generator, around: Array, n: int) -> Array:
    """n perturbations of good points, near and far; each choice is redrawn with probability 1/d."""
    inputs, d = region.inputs, region.space.width
    X: Array = _filled(inputs, around[rng.integers(len(around), size=n)])
    low, high = region.bounds.numpy()
    sd = rng.choice(_SPRAY, size=(n, 1)) * (high - low)
    X = np.clip(X + rng.normal(size=X.shape) * sd, low, high)
    for column in inputs.categorical:
        redrawn = rng.random(n) < 1.0 / d
        first, last = int(low[column]), int(high[column])
        X[:, column] = np.where(redrawn, rng.integers(first, last + 1, size=n), np.round(X[:, column]))
    return X


def _existing(region: Region, X: Array) -> Array:
    """The points that exist next to X: rounded, fixed values put in, inactive columns NaN; infeasible ones dropped."""
    space = region.space
    X = _adding_up(space, _filled(region.inputs, X))
    X = space.encode([_with(space, params, region.fixed) for params in space.decode(X)])
    return X[space.feasible(X)]


def _adding_up(space: Space, X: Array) -> Array:
    """Mixtures whose parts sum to 1 again after a search that keeps the sum to its tolerance only."""
    X = np.array(X)
    for p in space:
        if isinstance(p, Simplex):
            parts = X[:, space.slices[p.name]]
            rows, largest = np.arange(len(X)), parts.argmax(axis=1)
            parts[rows, largest] += 1.0 - parts.sum(axis=1)
    return X


def _with(space: Space, params: dict[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    if not fixed:
        return params
    merged = params | dict(fixed)
    return {name: value for name, value in merged.items() if name in space.active(merged)}


def _filled(inputs: Inputs, X: Array) -> Array:
    low, high = inputs.bounds.numpy()
    middle = np.where(np.isin(np.arange(len(low)), inputs.categorical), 0.0, (low + high) / 2)
    return np.where(np.isnan(X), middle, X)


def _start_rows(values: Array, rng: np.random.Generator, b: int) -> NDArray[np.int64]:
    """The best half of the starts, the others drawn with weights exp(standardised value)."""
    order = np.argsort(-values, kind="stable")
    top, rest = order[: (b + 1) // 2], order[(b + 1) // 2 :]
    count = min(b - len(top), len(rest))
    z = np.clip(values[rest], -1e100, 1e100)
    weights = np.exp(np.clip((z - z.max(initial=-np.inf)) / (z.std() + 1e-12), -30, 0)) if count else z
    drawn = rng.choice(rest, size=count, replace=False, p=weights / weights.sum()) if count else rest[:0]
    return np.concatenate([top, drawn])


def _walks(region: Region, starts: Array, ends: Array) -> Array:
    """Points on the way from feasible starts to the ends of their searches, where the ends may be infeasible."""
    if not region.space.constrained or len(ends) != len(starts):
        return ends[:0]
    a, b = _filled(region.inputs, starts), _filled(region.inputs, ends)
    return np.concatenate([a + t * (b - a) for t in _WALK])


# -- the local search --------------------------------------------------------------------------


def _local_search(acquisition: AcquisitionFunction, region: Region, starts: Array, raw_samples: int) -> Array:
    """Ends of the local searches, shape (at least 1, d); feasible where the constraints are linear."""
    space, inputs = region.space, region.inputs
    held = _held_columns(region)
    low, high = region.bounds.numpy()
    discrete = {
        c: [v for v in levels if low[c] <= v <= high[c]]
        for c, levels in _discrete_columns(space).items()
        if c not in held
    }
    choices = {c: range(int(inputs.bounds[1, c]) + 1) for c in inputs.categorical if c not in held}
    categorical = {c: [float(i) for i in indices] for c, indices in choices.items()}
    if len(held) == space.width:
        return starts
    inequalities, equalities = _linear(space, set(discrete) | set(categorical))
    common: dict[str, Any] = {
        "bounds": region.bounds, "q": 1, "num_restarts": len(starts), "fixed_features": held or None,
        "inequality_constraints": inequalities or None, "equality_constraints": equalities or None,
    }  # fmt: skip
    if discrete or categorical:
        options = {"initialization_strategy": "random", "maxiter_alternating": 16}
        found, _ = optimize_acqf_mixed_alternating(
            acquisition, discrete_dims=discrete, cat_dims=categorical,
            raw_samples=raw_samples, options=options, **common,
        )  # fmt: skip
        ends: Array = found.detach().numpy()
        return ends
    found, _ = optimize_acqf(
        acquisition,
        batch_initial_conditions=torch.from_numpy(_filled(inputs, starts))[:, None, :],
        return_best_only=False,
        options={"maxiter": 100},
        **common,
    )
    results: Array = found.detach()[:, 0].numpy()
    return results


def _held_columns(region: Region) -> dict[int, float]:
    """Columns with one possible value: fixed by the caller, or of a parameter that has only one."""
    space = region.space
    held: dict[int, float] = {}
    for p in space:
        columns = range(*space.slices[p.name].indices(space.width))
        if p.name in region.fixed:
            held.update(zip(columns, p.encode([region.fixed[p.name]])[0].tolist(), strict=True))
        elif p.cardinality == 1:
            held.update(zip(columns, p.encode(list(p.values()))[0].tolist(), strict=True))
        elif region.near is not None:
            low, high = region.bounds[:, columns].tolist()
            held.update((c, at) for c, at, end in zip(columns, low, high, strict=True) if at == end)
    return held


def _discrete_columns(space: Space) -> dict[int, list[float]]:
    return {
        space.slices[p.name].start: p.encode(list(p.values()))[:, 0].tolist()
        for p in space
        if p.box and p.width == 1 and p.cardinality is not None and p.cardinality <= _FEW
    }


def _linear(space: Space, discrete: set[int]) -> tuple[Linear, Linear]:
    """Known linear constraints in encoded columns as (indices, coefficients, rhs): sum >= rhs, and sum == rhs.

    Left out, and checked afterwards, are those over logarithms, ranks and conditional parameters,
    and equalities over discrete columns.
    """
    affine = _affine_variables(space)
    inequalities: Linear = []
    equalities: Linear = []
    for constraint in space.constraints:
        row = _in_columns(constraint, affine)
        if row is None or (constraint.equality and discrete & set(row[0].tolist())):
            continue
        (equalities if constraint.equality else inequalities).append(row)
    for p in space:
        if isinstance(p, Simplex):
            columns = torch.arange(space.slices[p.name].start, space.slices[p.name].stop)
            equalities.append((columns, torch.ones(len(columns), dtype=torch.float64), 1.0))
            low, high = p.limits
            for i, column in enumerate(columns):
                one = torch.ones(1, dtype=torch.float64)
                inequalities.append((column[None], one, float(low[i])))
                inequalities.append((column[None], -one, -float(high[i])))
    return inequalities, equalities


def _affine_variables(space: Space) -> dict[str, tuple[int, float, float]]:
    """Variable -> (column, value at 0, value at 1) for variables that are affine in one column."""
    affine: dict[str, tuple[int, float, float]] = {}
    for p in space:
        start = space.slices[p.name].start
        if p.when:
            continue
        if isinstance(p, Simplex):
            affine |= {name: (start + i, 0.0, p.total) for i, name in enumerate(p.variables)}
        elif p.kind in ("float", "int", "bool") and not getattr(p, "log", False):
            low, high = p.quantities(np.array([[0.0], [1.0]]))[:, 0]
            affine[p.name] = (start, float(low), float(high))
    return affine


def _in_columns(
    constraint: KnownConstraint, affine: Mapping[str, tuple[int, float, float]]
) -> tuple[Tensor, Tensor, float] | None:
    """c.x + k <= 0 in user units as -(c scale).u >= k + c.low in columns; None if it cannot be said so."""
    linear = constraint.linear
    if linear is None or any(name not in affine for name in linear[0]):
        return None
    coefficients, constant = linear
    columns = torch.tensor([affine[name][0] for name in coefficients])
    scales = [-c * (affine[name][2] - affine[name][1]) for name, c in coefficients.items()]
    rhs = constant + sum(c * affine[name][1] for name, c in coefficients.items())
    return columns, torch.tensor(scales, dtype=torch.float64), rhs
