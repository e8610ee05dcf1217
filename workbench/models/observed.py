"""What a process of one quantity learns from: the trials of a record that say something of an objective or of a limit.

Symbols: n trials that say something, d encoded columns, y values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.models.curves import finals
from workbench.models.exact import NOISELESS, Data
from workbench.problem import Constraint
from workbench.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.inputs import Inputs
    from workbench.models.outcomes import Outcome
    from workbench.problem import Objective
    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Observed:
    """One quantity, in user units; the sign of an objective is that of `History.Y`.

    Args:
        name: Of the quantity.
        rows: Of the history, shape (n,).
        X: Encoded inputs, shape (n, d).
        y: Values, shape (n,).
        variance: Noise variances, shape (n,), NaN where inferred.
        doubt: Variances on top, of values that were foretold instead of measured, shape (n,).
        linear: Must the model be linear in y, as for an objective with a target?
        focus: Value around which differences count; None for the largest.
        shared: Is it one of several objectives, so that small differences at its best are worth little by themselves?
    """

    name: str
    rows: Rows
    X: Array
    y: Array
    variance: Array
    doubt: Array
    linear: bool = False
    focus: float | None = None
    shared: bool = False

    @property
    def quiet(self) -> bool:
        """Are all values said to be free of noise?"""
        return len(self.y) > 0 and not (self.variance.any() or self.doubt.any())

    @property
    def unknown(self) -> bool:
        """Is nothing said about their noise?"""
        return len(self.y) > 0 and bool(np.isnan(self.variance).all())

    def nearest(self, inputs: Inputs, centres: Array, most: int) -> Observed:
        """The same of those trials only whose model inputs are nearest to those of one of the encoded points (k, d)."""
        if len(self.y) <= most:
            return self
        near = np.sort(np.argsort(inputs.off(self.X, centres), kind="stable")[:most])
        kept = {name: getattr(self, name)[near] for name in ("rows", "X", "y", "variance", "doubt")}
        return replace(self, **kept)

    def data(self, inputs: Inputs, outcome: Outcome) -> Data:
        """The same in model inputs and standardised values."""
        infer = bool(np.isnan(self.variance).any())
        noise = outcome.variance(self.y, self.doubt + (0.0 if infer else self.variance))
        if not infer:
            noise = np.maximum(noise, NOISELESS)
        z, Z = outcome.forward(self.y), inputs.model_points(self.X)
        return Data(Z, z, noise, infer, *inputs.columns, loud=infer)


def objectives(history: History) -> list[Observed]:
    """The measured objectives: complete and running trials as far as they are told, pruned ones as foretold."""
    return [_objective(history, j, goal) for j, goal in enumerate(history.measured)]


def limits(history: History) -> list[Observed]:
    """The quantities with limits, as measured in complete trials."""
    return [_limit(history, limit, column) for limit, column in _columns(history)]


def ends(history: History, limit: Constraint) -> tuple[float, float]:
    """Lower and upper end of what is allowed of a quantity, infinite where there is none or it is not known yet."""
    known = {bound.sign: bound.at(history.baseline.get(limit.name, np.nan)) for bound in limit.bounds}
    lower, upper = known.get(-1.0, np.nan), known.get(1.0, np.nan)
    return -np.inf if np.isnan(lower) else lower, np.inf if np.isnan(upper) else upper


def as_known(history: History) -> History:
    """The record without the limits that wait for their baseline: trials count by what is known to be allowed."""
    if not history.unmeasured_baseline:
        return history
    constraints, columns, column = list[Constraint](), list[int](), 0
    for limit in history.constraints:
        lower, upper = (None if np.isinf(end) else end for end in ends(history, limit))
        if lower is not None or upper is not None:
            constraints.append(replace(limit, lower=lower, upper=upper))
        for bound in limit.bounds:
            if (lower if bound.sign < 0 else upper) is not None:
                columns.append(column)
            column += 1
    reference = history.reference
    return replace(
        history, constraints=tuple(constraints), limited=history.limited[:, columns], C_sem=history.C_sem[:, columns],
        stored_reference=history.stored_reference if np.isnan(reference).any() else tuple(reference.tolist()),
    )  # fmt: skip


def _columns(history: History) -> Iterator[tuple[Constraint, int]]:
    """Each constraint and the first of its columns in `History.limited`."""
    column = 0
    for limit in history.constraints:
        yield limit, column
        column += len(limit.bounds)


def _objective(history: History, j: int, goal: Objective) -> Observed:
    measured = history.complete | history.in_state(TrialState.RUNNING)  # of a running one what was told so far
    rows = np.flatnonzero(measured & history.placed & ~np.isnan(history.Y[:, j]))
    y = history.Y[rows, j]
    variance = _variances(goal.noise_sd, history.sem[rows, j])
    doubt = np.zeros(rows.size)
    pruned = finals(history, j)
    if pruned.rows.size:
        rows, y = np.concatenate([rows, pruned.rows]), np.concatenate([y, pruned.values])
        variance = np.concatenate([variance, np.full(pruned.rows.size, variance.mean())])
        doubt = np.concatenate([doubt, pruned.variances])
    linear, shared = goal.target is not None, len(history.measured) > 1
    return Observed(goal.name, rows, history.X[rows], y, variance, doubt, linear=linear, shared=shared)


def _limit(history: History, limit: Constraint, column: int) -> Observed:
    rows = np.flatnonzero(history.complete & history.placed & ~np.isnan(history.limited[:, column]))
    y = limit.bounds[0].sign * history.limited[rows, column]
    variance = _variances(limit.noise_sd, history.C_sem[rows, column])
    focus = next((end for end in ends(history, limit) if np.isfinite(end)), None)
    return Observed(limit.name, rows, history.X[rows], y, variance, np.zeros(rows.size), focus=focus)


def _variances(stated: float | None, told: Array) -> Array:
    """Noise variances: as told, else as stated, else NaN; where some were told, their mean for the others."""
    variance = np.where(np.isnan(told), np.nan if stated is None else stated**2, told**2)
    if np.isnan(variance).any() and not np.isnan(variance).all():
        variance = np.where(np.isnan(variance), np.nanmean(variance), variance)
    return variance
