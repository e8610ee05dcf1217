"""Exact Gaussian processes on BoTorch's `SingleTaskGP`, with scaling and noise owned here.

Each measured objective gets its own process on standardised values: RBF kernel with the
dimension-scaled prior (Hvarfner et al. 2024, Vanilla Bayesian Optimization Performs Great in
High Dimensions), times a Hamming kernel over categorical columns. The noise is what the
objective states: inferred, none (variance 1e-6 of the standardised values, because BoTorch's
floor of 1e-4 caps the resolution), a standard deviation, or the standard errors that were told.
A pruned trial enters with the final value that its reports foretell, and the doubt about it as noise on top.

Symbols: n trials, d columns, y (n,) standardised values, mu and sd posterior moments.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from botorch.exceptions.warnings import BotorchWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.kernels.categorical import CategoricalKernel
from botorch.models.utils.gpytorch_modules import (
    get_covar_module_with_dim_scaled_prior,
    get_gaussian_likelihood_with_lognormal_prior,
)
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.likelihoods import FixedNoiseGaussianLikelihood
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.warnings import NumericalWarning
from threadpoolctl import threadpool_limits
from torch import Tensor

from workbench.errors import DeadlineReached
from workbench.models.curves import finals
from workbench.models.inputs import Inputs
from workbench.models.surrogate import Surrogate

if TYPE_CHECKING:
    from gpytorch.priors import Prior
    from numpy.typing import NDArray

    from workbench.problem import Objective
    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

NOISELESS = 1e-6  # variance of a noise-free standardised value; keeps the Cholesky factor stable
_ALONE = threading.RLock()


@contextmanager
def reproducible(seed: int, deadline: float | None = None) -> Iterator[None]:
    """One BLAS thread, torch's CPU generator seeded and put back afterwards, one caller at a time.

    The number of threads and torch's generator belong to the whole process, hence the lock.

    Args:
        deadline: `time.monotonic()` up to which to wait for another thread that is in here.
    Raises:
        DeadlineReached: if that thread is still at work then.
    """
    left = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
    if not _ALONE.acquire(timeout=left):
        raise DeadlineReached("another thread of this process was using the model until the time was over")
    try:
        with _seeded(seed):
            yield
    finally:
        _ALONE.release()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]), threadpool_limits(1), warnings.catch_warnings():
        threads = torch.get_num_threads()
        warnings.simplefilter("ignore", BotorchWarning)  # retries that BoTorch announces are its own business
        warnings.simplefilter("ignore", NumericalWarning)  # jitter on a nearly singular matrix
        warnings.filterwarnings("ignore", "Optimization failed in", RuntimeWarning)  # a line search that ends early
        warnings.filterwarnings("ignore", "Unknown solver options: tol")  # BoTorch hands SLSQP an option of L-BFGS-B
        torch.default_generator.manual_seed(seed)  # the CPU's alone: a user's CUDA stream is not ours
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@dataclass(frozen=True)
class GaussianProcess:
    """One objective: y = mean + scale * f(x), f a zero-mean process with a constant."""

    model: SingleTaskGP
    mean: float
    scale: float
    late: bool = False  # time ended the search for hyperparameters

    def moments(self, inputs: Tensor) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the noise-free objective, each of shape (n,)."""
        with torch.no_grad():
            posterior = self.model.posterior(inputs)
        mu = posterior.mean.squeeze(-1).numpy()
        sd = posterior.variance.clamp_min(0).sqrt().squeeze(-1).numpy()
        return self.mean + self.scale * mu, self.scale * sd


class GaussianProcesses(Surrogate):
    """Independent processes, one for each measured objective."""

    def __init__(self, history: History, inputs: Inputs, outputs: list[GaussianProcess]) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._measured = history.measured

    @classmethod
    def fit(cls, history: History, *, deadline: float | None = None, shun_failures: bool = False) -> GaussianProcesses:
        """Fit by maximum a posteriori.

        Args:
            history: The record.
            deadline: `time.monotonic()` at which the search for hyperparameters stops.
            shun_failures: Count failed and infeasible trials as the worst value seen, so that
                a search stays away from them; for acquisition only, not for prediction.
        Raises:
            DeadlineReached: if not even one step fits into the time.
        """
        inputs = Inputs(history.space)
        outputs = []
        with reproducible(history.seed, deadline):
            for j, goal in enumerate(history.measured):
                outputs.append(_fit_one(inputs, _data(history, j, goal, shun_failures), deadline))
        return cls(history, inputs, outputs)

    @property
    def late(self) -> bool:
        """Did time end the search for hyperparameters?"""
        return any(output.late for output in self.outputs)

    def posterior(self, X: Array) -> tuple[Array, Array]:
        inputs = self.inputs.from_encoded(X)
        with reproducible(0):
            moments = [output.moments(inputs) for output in self.outputs]
        return np.stack([mu for mu, _ in moments], axis=1), np.stack([sd for _, sd in moments], axis=1)

    def predict(self, X: Array) -> dict[str, tuple[Array, Array]]:
        mu, sd = self.posterior(X)
        return {goal.name: (goal.sign * mu[:, j], sd[:, j]) for j, goal in enumerate(self._measured)}


@dataclass(frozen=True)
class _Data:
    """What one process learns from, in the units and sign of `History.Y`.

    Args:
        X: Encoded inputs, shape (n, d).
        y: Values, shape (n,).
        variance: Noise variances, shape (n,), NaN where inferred.
        doubt: Variances on top, of values that were foretold instead of measured, shape (n,).
    """

    X: Array
    y: Array
    variance: Array
    doubt: Array


def _data(history: History, j: int, goal: Objective, shun_failures: bool) -> _Data:
    """Complete trials as measured, pruned ones as foretold, and failures as penalties."""
    rows = np.flatnonzero(history.complete & history.placed & ~np.isnan(history.Y[:, j]))
    y = history.Y[rows, j]
    stated = np.nan if goal.noise_sd is None else goal.noise_sd**2
    told = history.sem[rows, j]
    variance = np.where(np.isnan(told), stated, told**2)
    if np.isnan(variance).any() and not np.isnan(variance).all():
        variance = np.where(np.isnan(variance), np.nanmean(variance), variance)
    doubt = np.zeros(rows.size)
    pruned = finals(history, j)
    if pruned.rows.size:
        rows, y = np.concatenate([rows, pruned.rows]), np.concatenate([y, pruned.values])
        variance = np.concatenate([variance, np.full(pruned.rows.size, variance.mean())])
        doubt = np.concatenate([doubt, pruned.variances])
    shunned = np.flatnonzero((history.failed | history.infeasible) & history.placed) if shun_failures else rows[:0]
    if shunned.size:
        y = np.concatenate([y, _penalties(history, goal, rows, shunned, y)])
        rows = np.concatenate([rows, shunned])
        variance = np.concatenate([variance, np.full(shunned.size, variance.max())])
        doubt = np.concatenate([doubt, np.zeros(shunned.size)])
    return _Data(history.X[rows], y, variance, doubt)


def _penalties(history: History, goal: Objective, rows: Rows, shunned: Rows, y: Array) -> Array:
    """What a failure counts as: the worst value seen or foretold, y of shape (k,) at these rows.

    With a target, the worst on the side of the target where the nearest of these trials lies, so that
    the model does not cross the target on its way to the failure.
    """
    if goal.target is None:
        return np.full(shunned.size, y.min())
    inputs = Inputs(history.space)
    distances = torch.cdist(inputs.from_encoded(history.X[shunned]), inputs.from_encoded(history.X[rows]))
    nearest = y[distances.argmin(dim=1).numpy()]
    penalties: Array = np.where(nearest < goal.target, y.min(), y.max())
    return penalties


def _fit_one(inputs: Inputs, data: _Data, deadline: float | None) -> GaussianProcess:
    y = data.y
    unit = float(np.abs(y).max()) or 1.0  # keeps the sums of huge and tiny values in range
    v = y / unit
    mean, spread = float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else 0.0
    sd = spread if spread > 1e-12 else 1.0  # equal values tell no scale
    scale = unit * sd
    noise, likelihood = None, None
    if not np.isnan(data.variance).any():
        known = (data.variance + data.doubt) / scale / scale
        noise = torch.from_numpy(np.maximum(known, NOISELESS))[:, None]  # (n, 1)
    elif data.doubt.any():
        likelihood = _inferred_noise_and(torch.from_numpy(data.doubt / scale / scale))
    model = SingleTaskGP(
        inputs.from_encoded(data.X),
        torch.from_numpy((v - mean) / sd)[:, None],
        train_Yvar=noise,
        likelihood=likelihood,
        covar_module=_kernel(inputs),
        outcome_transform=None,
    )
    left = None if deadline is None else _time_to_fit(deadline - time.monotonic(), len(y))
    began = time.monotonic()
    if len(y) > 1:
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"timeout_sec": left})
    late = left is not None and time.monotonic() - began >= left
    model.eval()
    model.requires_grad_(False)
    return GaussianProcess(model, unit * mean, scale, late)


def _inferred_noise_and(doubt: Tensor) -> FixedNoiseGaussianLikelihood:
    """One inferred noise for all as `SingleTaskGP` has it, and known variances on top.

    Args:
        doubt: Variances of standardised values, shape (n,).
    """
    usual = get_gaussian_likelihood_with_lognormal_prior().noise_covar
    return FixedNoiseGaussianLikelihood(
        doubt.clamp_min(NOISELESS),  # GPyTorch's own floor, about which it would warn
        learn_additional_noise=True,
        noise_prior=usual.noise_prior,
        noise_constraint=usual.raw_noise_constraint,
    )


def _time_to_fit(left: float, n: int) -> float:
    """Seconds of the time left that the search for hyperparameters may take: half of it.

    One evaluation of the likelihood and its gradient cannot be interrupted. It was measured at
    about 2 ms + 2.5e-10 s n^3 on one core; a fit and a search need several.

    Raises:
        DeadlineReached: if that is more than there is.
    """
    if left < 6 * (2e-3 + 2.5e-10 * n**3):
        raise DeadlineReached(f"{left:.2g} s are too few for a model of {n} trials")
    return left / 2


def _kernel(inputs: Inputs) -> Kernel:
    kernels: list[Kernel] = []
    if inputs.ordered:
        kernels.append(
            get_covar_module_with_dim_scaled_prior(ard_num_dims=len(inputs.ordered), active_dims=inputs.ordered)
        )
    if inputs.categorical:
        # exp(-mean_j [x_j != x'_j] / l_j): lengthscales near 1 say "another choice is another world, mildly".
        kernels.append(
            CategoricalKernel(
                ard_num_dims=len(inputs.categorical),
                active_dims=inputs.categorical,
                lengthscale_prior=_choice_prior(),
                lengthscale_constraint=GreaterThan(1e-2, transform=None, initial_value=1.0),
            )
        )
    kernel = kernels[0]
    for other in kernels[1:]:
        kernel = kernel * other
    return kernel


def _choice_prior() -> Prior:
    from gpytorch.priors import LogNormalPrior

    return LogNormalPrior(0.0, 1.0)
