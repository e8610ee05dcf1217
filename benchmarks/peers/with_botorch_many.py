"""BoTorch by hand on several objectives: qLogNEHVI and qLogNParEGO, 10 restarts of 512 raw points.

SingleTaskGP at its defaults for each objective and constraint. Exact values are told as variance 1e-6 of the
standardised values, a known standard deviation as it is; unknown noise is inferred. The reference point is the stated
one. Constraints are standardised without a shift, so that zero stays the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
from botorch.acquisition.multi_objective.parego import qLogNParEGO
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler
from common import Cube, excess, goals, limited, noise_sd, signs, versions
from gpytorch.mlls import ExactMarginalLogLikelihood


class Peer:
    """Points of the unit cube, negated losses, and how far limits are exceeded."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("botorch", "gpytorch", "torch", "numpy", "scipy")
        self._cube, self._goals, self._hello = Cube(hello, limits=True), goals(hello, most=None), hello
        self._signs, self._variant = signs(self._goals), variant
        self._X: list[list[float]] = []
        self._Y: list[list[float]] = []
        torch.manual_seed(hello["seed"])

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Learn the initial design."""
        for trial in trials:
            self.tell(trial["params"], trial["values"])

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """Fit and maximise."""
        X, Y = torch.tensor(self._X, dtype=torch.double), torch.tensor(self._Y, dtype=torch.double)
        sds = [*(noise_sd(goal) for goal in self._goals), *(noise_sd(limit) for limit in limited(self._hello))]
        model = ModelListGP(*(_fitted(X, Y[:, j : j + 1], sd) for j, sd in enumerate(sds)))
        acquisition = self._acquisition(model, X, Y)
        bounds = torch.stack([torch.zeros(len(self._cube)), torch.ones(len(self._cube))]).double()
        found, _ = optimize_acqf(
            acquisition, bounds, q=1, num_restarts=10, raw_samples=512, options={"sample_around_best": True}
        )
        return self._cube.decode(found[0].tolist()), None

    def _acquisition(self, model: Any, X: torch.Tensor, Y: torch.Tensor) -> Any:
        m = len(self._goals)
        shared: dict[str, Any] = {"prune_baseline": True, "sampler": SobolQMCNormalSampler(torch.Size([128]))}
        if self._hello["constraints"]:
            shared |= {"constraints": [_over(m + k) for k in range(len(limited(self._hello)))]}
        outcomes = list(range(m))
        if self._variant == "qlogparego":
            return qLogNParEGO(model, X, objective=IdentityMCMultiOutputObjective(outcomes=outcomes), **shared)
        reference = [-s * goal["reference"] for s, goal in zip(self._signs, self._goals, strict=True)]
        return qLogNoisyExpectedHypervolumeImprovement(
            model, reference, X, objective=IdentityMCMultiOutputObjective(outcomes=outcomes), **shared
        )

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Learn the values of one point."""
        self._X.append(self._cube.encode(params))
        wanted = [-s * values[goal["name"]] for s, goal in zip(self._signs, self._goals, strict=True)]
        self._Y.append(wanted + excess(self._hello, values))

    def recommend(self) -> None:
        """The observed points."""


def _over(column: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda samples: samples[..., column]


def _fitted(X: torch.Tensor, y: torch.Tensor, sd: float | None) -> SingleTaskGP:
    variance = None if sd is None else torch.full_like(y, sd**2 or 1e-6 * float(y.var()))
    model = SingleTaskGP(X, y, variance, outcome_transform=Standardize(1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model
