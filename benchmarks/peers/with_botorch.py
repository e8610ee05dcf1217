"""BoTorch by hand: SingleTaskGP at its defaults with log expected improvement, 10 restarts of 512 raw points.

Exact values are told as variance 1e-6 of the standardised values, a known standard deviation as it is;
unknown noise is inferred. LogEI without noise, else qLogNEI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from botorch.acquisition import LogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf
from common import Cube, goals, noise_sd, signs, versions
from gpytorch.mlls import ExactMarginalLogLikelihood


class Peer:
    """Points of the unit cube and their negated losses."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("botorch", "gpytorch", "torch", "numpy", "scipy")
        self._cube, (self._goal,) = Cube(hello), goals(hello)
        (self._sign,) = signs([self._goal])
        self._X: list[list[float]] = []
        self._Y: list[float] = []
        torch.manual_seed(hello["seed"])

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Learn the initial design."""
        for trial in trials:
            self.tell(trial["params"], trial["values"])

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """Fit and maximise."""
        X = torch.tensor(self._X, dtype=torch.double)  # (n, d)
        Y = torch.tensor(self._Y, dtype=torch.double)[:, None]  # (n, 1)
        sd = noise_sd(self._goal)
        variance = None if sd is None else torch.full_like(Y, sd**2 or 1e-6 * float(Y.var()))
        model = SingleTaskGP(X, Y, variance, outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        acquisition = (
            LogExpectedImprovement(model, best_f=Y.max())
            if sd == 0.0
            else qLogNoisyExpectedImprovement(model, X, prune_baseline=True)
        )
        bounds = torch.stack([torch.zeros(len(self._cube)), torch.ones(len(self._cube))]).double()
        found, _ = optimize_acqf(
            acquisition, bounds, q=1, num_restarts=10, raw_samples=512, options={"sample_around_best": True}
        )
        return self._cube.decode(found[0].tolist()), None

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Learn one value."""
        self._X.append(self._cube.encode(params))
        self._Y.append(-self._sign * values[self._goal["name"]])

    def recommend(self) -> None:
        """The best observed point."""
