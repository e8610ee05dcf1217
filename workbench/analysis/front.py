"""The Pareto front as a model believes in it: which trials are on it, where it runs, and how sure that is.

Measured values are not what decides: noise alone puts many trials on the front of a record.

Symbols: n trials, p points of the model's front, m objectives, s draws, d encoded columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import TrialStateError
from workbench.pareto import attainment, non_dominated, non_dominated_probability, spaced
from workbench.space.geometry import inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.surrogate import Surrogate
    from workbench.trial import History

    Array = NDArray[np.float64]

_DRAWS = 256  # the standard error of a probability is at most 0.03
_BAND_DRAWS = 64
_SPREAD, _AROUND, _ROUNDS = 512, 256, 4
_STEPS = (0.1, 0.03, 0.01, 0.003)  # sd of the perturbations around the front of each round, in the unit cube
_POINTS = 60  # of the front that is shown
_MOST = 500  # trials whose place is drawn jointly
_LIKELY = 0.5  # probability of holding the limits from which a point may stand on the front


@dataclass(frozen=True)
class ModelFront:
    """A belief about the front, in user units and signs.

    Args:
        objectives: Names, in the order of the columns.
        trials: Numbers of the trials that may be on the front, shape (n,): of all complete ones the outermost 500 by
            mean values, and the front as measured; the others are beaten.
        probability: That each is not dominated by another of them, given what their noise-free values may be, (n,).
        params: Points of the front of mean values over the whole space.
        mean, sd: Of the noise-free objectives there, shape (p, m); of an objective with a target its own value.
        feasible: Probability that each point succeeds and holds every limit, shape (p,).
        bands: Share of the draws to the front that so many of them attain, shape (q, m); empty beyond three objectives.
    """

    objectives: tuple[str, ...]
    trials: NDArray[np.int64]
    probability: Array
    params: tuple[Mapping[str, Any], ...]
    mean: Array
    sd: Array
    feasible: Array
    bands: Mapping[float, Array]


def pareto_front(
    history: History, surrogate: Surrogate, levels: tuple[float, ...] = (0.1, 0.5, 0.9), seed: int = 0
) -> ModelFront:
    """The front as the model believes in it.

    Args:
        history: The record.
        surrogate: Its model.
        levels: Shares of the draws, for the bands.
        seed: Of the draws and of the points that are looked at.
    Raises:
        TrialStateError: if no complete trial has a place in the present space.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(history.complete & history.placed & ~np.isnan(history.Y).any(axis=1))
    rows = rows[inside(history.space, history.X[rows])]
    if rows.size == 0:
        raise TrialStateError("a front needs a complete trial inside the space, there is none yet")
    rows = _outermost(history, surrogate, rows)
    X = history.X[rows]
    values = _drawn(surrogate, X, rng)
    values[:, :, surrogate.exact] = history.Y[rows][:, surrogate.exact]  # draws would tear apart what is equal
    draws = history.utility(values)
    may = np.isin(rows, np.flatnonzero(history.counted))
    found = _along(history, surrogate, X[may] if may.any() else X, seed)
    signs = np.array([goal.sign for goal in history.measured])
    mean, sd = surrogate.posterior(found)
    bands: dict[float, Array] = {}
    if len(signs) in (2, 3) and not any(goal.target is not None for goal in history.measured):
        runs = surrogate.draws(found, _BAND_DRAWS, rng)
        fronts = attainment([run[non_dominated(run)] for run in runs], levels)
        bands = {level: front * signs for level, front in zip(levels, fronts, strict=True)}
    return ModelFront(
        tuple(goal.name for goal in history.measured),
        history.numbers[rows],
        non_dominated_probability(draws, may),
        tuple(history.space.decode(found)),
        mean * signs,
        sd,
        surrogate.feasibility(found),
        bands,
    )


def _drawn(surrogate: Surrogate, X: Array, rng: np.random.Generator) -> Array:
    """Joint draws at points, shape (s, n, m); repeats of one point have one value, which rounding would tear apart."""
    _, first, inverse = np.unique(np.nan_to_num(X, nan=-9.0), axis=0, return_index=True, return_inverse=True)
    return surrogate.draws(X[first], _DRAWS, rng)[:, inverse.ravel()]


def _outermost(history: History, surrogate: Surrogate, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the trials that may be on the front: layer after layer by mean utility, and the measured front."""
    if len(rows) <= _MOST:
        return rows
    U = history.utility(surrogate.posterior(history.X[rows])[0])
    U[~history.counted[rows]] = np.nan
    chosen = history.front[rows]
    while chosen.sum() < _MOST:
        layer = non_dominated(np.where(chosen[:, None], np.nan, U))
        if not layer.any():
            break
        chosen |= layer
    return rows[chosen]


def _along(history: History, surrogate: Surrogate, known: Array, seed: int) -> Array:
    """Points on the front of mean utilities over the space, encoded, spread along it, shape (p, d)."""
    space, rng = history.space, np.random.default_rng([seed, 1])
    context = {p.name: space.decode(known[-1:])[0][p.name] for p in space if p.role == "context"}
    fixed = {p.name: context[p.name] for p in space if p.name in context}
    X = np.concatenate([known, space.sobol(_SPREAD, seed, fixed=fixed)])
    X, U = _best(history, surrogate, X)
    for step in _STEPS[:_ROUNDS]:
        moved = X[rng.integers(len(X), size=_AROUND)]
        moved = moved + rng.normal(size=moved.shape) * step
        box = np.concatenate([np.full(p.width, float(p.box)) for p in space]) > 0
        moved = np.where(box, np.clip(moved, 0.0, 1.0), X[rng.integers(len(X), size=_AROUND)])
        if np.isnan(moved).any():  # another level of a parent may bring it about
            fresh = np.concatenate([p.from_uniform(rng.random((_AROUND, p.draws))) for p in space], axis=1)
            moved = np.where(np.isnan(moved), fresh, moved)
        moved = space.encode(space.decode(moved))
        X, U = _best(history, surrogate, np.concatenate([X, moved[space.feasible(moved)]]))
    return X[spaced(U, _POINTS)]


def _best(history: History, surrogate: Surrogate, X: Array) -> tuple[Array, Array]:
    """Those points that no other dominates by mean utility among those likely to be feasible."""
    likely = surrogate.feasibility(X) >= _LIKELY
    X = X[likely] if likely.any() else X
    U = history.utility(surrogate.posterior(X)[0])
    on = non_dominated(U)
    return X[on], U[on]
