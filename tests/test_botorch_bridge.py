"""Our process behind BoTorch's interface: the same moments, and its acquisition functions run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.optim import optimize_acqf
from numpy.typing import NDArray
from test_exact import data, somewhere

from workbench.acquisition.improvement import LogEI
from workbench.models.botorch import as_botorch
from workbench.models.exact import ExactPosterior, Settings
from workbench.models.kernels import KINDS, Kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("d", "c", "infer"), [(3, 0, False), (2, 2, True), (0, 2, True)])
def test_the_moments_are_ours(kind: Kind, d: int, c: int, infer: bool) -> None:
    rng = np.random.default_rng(0)
    known = data(30, max(d, 2), c, infer=infer, noise=1e-3)
    if d == 0:
        X = known.X[:, 2:]
        known = type(known)(X, known.y, known.noise, infer, (), tuple(range(c)))
    settings = Settings(kind, somewhere(known))
    ours, theirs = ExactPosterior.of(known, settings), as_botorch(known, settings)
    Z: NDArray[np.float64] = known.X[rng.permutation(30)[:5]] + (0.01 if d else 0.0)
    if d and c:
        Z[:, d:] = np.round(Z[:, d:])
    with torch.no_grad():
        posterior = theirs.posterior(torch.from_numpy(Z))
    mu, sd = ours.mean_sd(Z)
    np.testing.assert_allclose(mu, posterior.mean.squeeze(-1).numpy(), atol=1e-8)
    np.testing.assert_allclose(sd**2, posterior.variance.squeeze(-1).numpy(), atol=1e-7)


def test_acquisition_functions_of_botorch_run_on_it() -> None:
    torch.manual_seed(0)  # of its samples and starts
    known = data(25, 3, 0, infer=False, noise=1e-4)
    settings = Settings("rbf", somewhere(known))
    model, posterior = as_botorch(known, settings), ExactPosterior.of(known, settings)
    best = float(known.y.max())
    Z = np.random.default_rng(1).random((6, 3))
    theirs = LogExpectedImprovement(model, best_f=best)(torch.from_numpy(Z)[:, None, :]).numpy()
    np.testing.assert_allclose(LogEI(posterior, best).value(Z), theirs, atol=1e-6)
    noisy = qLogNoisyExpectedImprovement(model, X_baseline=torch.from_numpy(known.X))
    bounds = torch.tensor([[0.0] * 3, [1.0] * 3], dtype=torch.float64)
    point, value = optimize_acqf(noisy, bounds, q=2, num_restarts=2, raw_samples=32)
    assert point.shape == (2, 3)
    assert torch.isfinite(value)
