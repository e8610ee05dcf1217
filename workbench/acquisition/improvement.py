"""Expected improvement on an encoded space.

Source: Ament et al. 2023, Unexpected Improvements to Expected Improvement for Bayesian
Optimization (log EI and q-log EI), as implemented by BoTorch. Everything is in the standardised
units of the surrogate, and maximised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from botorch.acquisition.acquisition import AcquisitionFunction
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.acquisition.objective import GenericMCObjective
from botorch.sampling.normal import SobolQMCNormalSampler
from torch import Tensor

from workbench.models.inputs import Inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.gp import GaussianProcesses
    from workbench.trial import History

    Array = NDArray[np.float64]

_SAMPLES = 128  # quasi-random base samples; what BoTorch and Optuna use at this size


class Encoded(AcquisitionFunction):
    """An acquisition function of model inputs as one of encoded points: inactive columns do not count."""

    def __init__(self, inner: AcquisitionFunction, inputs: Inputs) -> None:
        super().__init__(model=inner.model)
        self._inner = inner
        self._inputs = inputs

    def forward(self, X: Tensor) -> Tensor:
        """Values of shape (b,) at encoded points of shape (b, 1, d)."""
        values: Tensor = self._inner(self._inputs.scaled(X))
        return values


def log_ei(
    gp: GaussianProcesses, history: History, pending: Array, seed: int, context: Mapping[str, Any] | None = None
) -> tuple[Encoded, float | None]:
    """Log expected improvement of the only measured objective, trials in flight integrated out.

    Without noise the incumbent is the best value seen; with noise it is the best posterior mean
    at a trial, because the best value seen is biased. An objective with a target improves by
    -max(0, |y - target| - tolerance), which is not Gaussian: there, and with pending trials, the
    expectation is over quasi-random samples.

    Args:
        gp: Surrogate of the history.
        history: The record.
        pending: Encoded trials in flight, shape (k, d).
        seed: For the base samples.
        context: What the world decided; the incumbent is then the best posterior mean at the trials'
            designs in this context.
    Returns:
        The acquisition function of encoded points, and the incumbent in units of the objective
        (None for an objective with a target).
    """
    goal, output = history.measured[0], gp.outputs[0]
    rows = np.flatnonzero(history.counted & ~np.isnan(history.Y[:, 0]))
    if rows.size == 0:  # all outside the space or over a limit: improve on any of them
        rows = np.flatnonzero(history.complete & history.placed & ~np.isnan(history.Y[:, 0]))
    if goal.noise_sd == 0 and not context:
        y = history.Y[rows, 0]
    else:
        y = output.moments(gp.inputs.from_encoded(_in_context(history, rows, context or {})))[0]
    best = float(np.max(history.utility(y[:, None])[:, 0]))
    if goal.target is None:
        best_f = (best - output.mean) / output.scale
        if len(pending) == 0:
            return Encoded(LogExpectedImprovement(output.model, best_f=best_f), gp.inputs), best
        objective = None
    else:
        target, tolerance = goal.target, goal.tolerance
        best_f = best / output.scale

        def objective_value(samples: Tensor, X: Tensor | None = None) -> Tensor:
            y = output.mean + output.scale * samples[..., 0]
            return -((y - target).abs() - tolerance).clamp_min(0.0) / output.scale

        objective = GenericMCObjective(objective_value)
    inner = qLogExpectedImprovement(
        output.model,
        best_f=best_f,
        sampler=SobolQMCNormalSampler(torch.Size([_SAMPLES]), seed=seed),
        objective=objective,
        X_pending=gp.inputs.from_encoded(pending) if len(pending) else None,
    )
    return Encoded(inner, gp.inputs), None if goal.target is not None else best


def _in_context(history: History, rows: NDArray[np.int64], context: Mapping[str, Any]) -> Array:
    """The designs of these rows, put into a context, shape (len(rows), d)."""
    X = history.X[rows]
    for name, value in context.items():
        X[:, history.space.slices[name]] = history.space[name].encode([value])
    return X
