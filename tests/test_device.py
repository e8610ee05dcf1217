"""Matrices on a device in torch against the same closed forms in LAPACK."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import workbench as wb
from workbench.errors import UnsupportedError
from workbench.models import device, exact, placing
from workbench.models.device import DevicePosterior, Triangle
from workbench.models.exact import Data, ExactPosterior, Prior, Settings
from workbench.models.kernels import KINDS, Kind
from workbench.samplers.bayesian import GPSampler

Array = NDArray[np.float64]

_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=_GPU)]


def known(where: str, *, infer: bool = True, bent: tuple[int, ...] = (), n: int = 40, seed: int = 0) -> Data:
    """Three numbers, one choice, and two blocks of features, the values a smooth function of them."""
    rng = np.random.default_rng(seed)
    X = np.hstack([rng.random((n, 3)), rng.integers(3, size=(n, 1)), rng.random((n, 4))])
    X[7] = X[3]  # measured twice
    y = np.sin(5 * X[:, 0]) + X[:, 1] ** 2 + 0.3 * X[:, 3] + X[:, 4] * X[:, 6] + 0.05 * rng.normal(size=n)
    noise = np.full(n, 0.0 if infer else 1e-3)
    blocks = (slice(4, 6), slice(6, 8))
    return Data(X, (y - y.mean()) / y.std(), noise, infer, (0, 1, 2), (3,), blocks, bent, where)


def somewhere(data: Data, kind: Kind, trend: bool) -> Settings:
    prior = Prior.of(data)
    theta = prior.mode + 0.3 * np.random.default_rng(1).normal(size=prior.mean.size)
    return Settings(kind, np.clip(theta, prior.low, prior.high), trend)


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize(("infer", "bent", "trend"), [(True, (), False), (False, (0, 2), False), (True, (1,), True)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_log_posterior_and_its_gradient(
    where: str, kind: Kind, infer: bool, bent: tuple[int, ...], trend: bool
) -> None:
    data = known(where, infer=infer, bent=bent)
    settings, prior = somewhere(data, kind, trend), Prior.of(data)
    value, slope = device.log_posterior(data, settings, prior)
    expected, slopes = exact.log_posterior(data, settings, prior)
    assert value == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(slope, slopes, rtol=1e-7, atol=1e-7)  # r2 of repeated points is rounding in both


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize(("bent", "trend"), [((), False), ((0, 2), True)])
@pytest.mark.parametrize("kind", KINDS)
def test_moments_slopes_covariances_and_what_was_left_out(
    where: str, kind: Kind, bent: tuple[int, ...], trend: bool
) -> None:
    data = known(where, bent=bent)
    settings = somewhere(data, kind, trend)
    here, there = ExactPosterior.of(data, settings), DevicePosterior.of(data, settings)
    Z, A = known(where, n=9, seed=3).X, known(where, n=10, seed=4).X
    Y = np.random.default_rng(5).normal(size=(3, 9))

    def found(posterior: ExactPosterior) -> list[Array]:
        further = posterior.condition(Z, Y, 0.01)
        return [
            *posterior.mean_sd(Z), *posterior.mean_sd_grad(Z), posterior.cross(Z, A), posterior.cross_grad(Z, A),
            *posterior.left_out(), posterior.corrected(data.y), *further.mean_sd(A), *further.version(1).mean_sd(A),
            *further.mean_sd(Z),
        ]  # fmt: skip

    assert isinstance(there.condition(Z, Y, 0.01), DevicePosterior)
    for one, other in zip(found(here), found(there), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-7, atol=1e-9)


def test_a_singular_matrix_gets_jitter_and_an_indefinite_one_is_refused() -> None:
    ones = torch.ones(3, 3, dtype=torch.float64)
    L = Triangle.of(ones.clone()).L
    torch.testing.assert_close(L @ L.mT, ones + 1e-10 * torch.eye(3, dtype=torch.float64), rtol=0.0, atol=1e-15)
    with pytest.raises(np.linalg.LinAlgError, match="3 points is not positive definite"):
        Triangle.of(torch.diag(torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)))


def test_few_points_stay_in_lapack() -> None:
    data = known("cpu")
    assert type(placing.posterior(data, somewhere(data, "rbf", False))) is ExactPosterior
    many = known("cpu", n=500)
    assert type(placing.posterior(many, somewhere(many, "rbf", False))) is DevicePosterior
    assert not replace(many, device=None).elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("where", DEVICES)
def test_an_ask_and_a_model_on_a_device_agree_with_lapack(where: str) -> None:
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1), wb.Categorical("kind", ["a", "b"])])
    found = {}
    for place in (None, where):
        study = wb.create_study("d", space, [wb.Objective("f", noise=0.1)], sampler=GPSampler(device=place), seed=3)
        rng = np.random.default_rng(0)
        for params in space.decode(space.sobol(510, 0)):
            value = (params["x"] - 0.3) ** 2 + (params["y"] - 0.6) ** 2 + 0.1 * (params["kind"] == "b")
            study.attach(params, value + 0.1 * rng.normal())
        trial = study.ask()
        assert trial.meta["fit"] == "cold"
        found[place] = trial.meta["value"], study.model().predict({"x": 0.3, "y": 0.6, "kind": "a"})["f"]
    (value, belief), (other_value, other_belief) = found[None], found[where]
    # both searches for hyperparameters end within their tolerance of a maximum, at slightly different places
    assert other_value == pytest.approx(value, abs=0.02)
    (mean, sd), (other_mean, other_sd) = belief, other_belief
    assert other_mean == pytest.approx(mean, abs=0.1 * sd.item())
    assert other_sd == pytest.approx(sd, rel=0.05)


def test_a_device_that_is_not_here_is_refused_with_the_remedy() -> None:
    study = wb.create_study(
        "d", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("f")], sampler=GPSampler(device="cuda:63")
    )
    with pytest.raises(UnsupportedError, match=r"device 'cuda:63' cannot be used here: .*GPSampler\(device=None\)"):
        study.ask()
