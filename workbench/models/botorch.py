"""Our fitted process as a BoTorch model, so that every acquisition function of BoTorch runs on it.

The hyperparameters are ours and stay: nothing is fitted here. Inputs are model inputs, outcomes standardised
values, larger is better. Of the features of structured values not every point exists: search among listed ones,
`optimize_acqf_discrete(choices=torch.from_numpy(inputs.model_points(X)))`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from botorch.models import SingleTaskGP
from botorch.models.kernels.categorical import CategoricalKernel
from botorch.models.transforms.input import Warp
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel, ScaleKernel
from gpytorch.means import ConstantMean
from gpytorch.settings import min_fixed_noise
from numpy.typing import NDArray
from torch import Tensor

from workbench.models.exact import NOISELESS, Data, Settings, factorise, split
from workbench.models.kernels import Kernel as Covariance


def as_botorch(data: Data, settings: Settings) -> SingleTaskGP:
    """The model of one objective given its data, in evaluation mode, its parameters frozen."""
    found = factorise(data, settings)
    mean = ConstantMean().double()
    mean.constant = torch.tensor(found.mean, dtype=torch.float64)
    with min_fixed_noise(double_value=0.1 * NOISELESS):  # else exact values would be made less so
        model = SingleTaskGP(
            torch.from_numpy(data.X),
            torch.from_numpy(data.y)[:, None],
            train_Yvar=torch.from_numpy(data.noise + found.noise)[:, None],
            covar_module=_kernel(data, settings),
            mean_module=mean,
            outcome_transform=None,
            input_transform=_warp(data, settings),
        )
    model.eval()
    model.requires_grad_(False)
    return model


def _warp(data: Data, settings: Settings) -> Warp | None:
    """Bent axes; the same function as ours."""
    bent = data.warp(settings.theta)
    if bent is None:
        return None
    cube = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, data.X.shape[1])
    transform = Warp(d=data.X.shape[1], indices=list(bent.columns), bounds=cube).double()
    transform._set_concentration(0, _tensor(bent.b))
    transform._set_concentration(1, _tensor(bent.a))
    return transform


def _kernel(data: Data, settings: Settings) -> Kernel:
    d, c = data.lengths, len(data.choices)
    values = np.exp(settings.theta)
    parts: list[Kernel] = []
    if d:
        tail, shared = split(data, settings)[0].features  # what shares a lengthscale has it column by column
        columns = (*data.ordered, *range(tail.start, tail.stop))
        base = partial(MaternKernel, nu=2.5) if settings.kind == "matern52" else RBFKernel
        smooth = base(ard_num_dims=len(columns), active_dims=columns).double()
        smooth.lengthscale = _tensor(np.concatenate([values[: len(data.ordered)], shared]))
        parts.append(smooth)
    if c:
        hamming = CategoricalKernel(ard_num_dims=c, active_dims=data.choices).double()
        hamming.lengthscale = _tensor(values[d : d + c])  # exp(-mean_c [x_c != x'_c] / l_c), as ours
        parts.append(hamming)
    kernel = parts[0]
    for other in parts[1:]:
        kernel = kernel * other
    scaled = ScaleKernel(kernel).double()
    scaled.outputscale = _tensor(values[d + c])
    return scaled + _Plane(split(data, settings)[0]) if settings.trend else scaled


class _Plane(Kernel):  # type: ignore[misc]  # gpytorch has no types
    """The covariance of a linear trend."""

    def __init__(self, ours: Covariance) -> None:
        super().__init__()
        self._ours = ours

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **_: Any) -> Tensor:
        columns = list(self._ours.ordered)
        a, b = x1[..., columns] - 0.5, x2[..., columns] - 0.5
        return self._ours.trend * ((a * b).sum(dim=-1) if diag else a @ b.mT)


def _tensor(values: NDArray[np.float64] | np.float64) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
