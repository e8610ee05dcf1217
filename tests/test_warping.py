"""Bent axes, planes, draws of hyperparameters and joint batches: against quadrature, BoTorch and differences."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.optim import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import kstest, multivariate_normal
from test_exact import data, somewhere

import workbench as wb
from problems import synthetic
from workbench.acquisition.thompson import draw
from workbench.errors import UnsupportedError
from workbench.models.botorch import as_botorch
from workbench.models.exact import Data, ExactPosterior, Prior, Settings, log_posterior, split
from workbench.models.fitting import curvature, draws, evidence, fit
from workbench.models.gp import GaussianProcesses
from workbench.models.kernels import KINDS, Kind
from workbench.models.warping import Warp

Array = NDArray[np.float64]
BENT = (0, 2)


def bent(n: int, **options: Any) -> Data:
    return replace(data(n, 3, 1, **options), bent=BENT)


# -- the warp --------------------------------------------------------------------------------


def test_the_warp_is_the_distribution_function_and_its_slopes_are_those_of_differences() -> None:
    rng = np.random.default_rng(0)
    warp = Warp((0, 2), np.array([0.4, 3.0]), np.array([2.0, 0.7]))
    Z = rng.random((50, 3))
    W = warp(Z)
    np.testing.assert_array_equal(W[:, 1], Z[:, 1])
    # if 1 - (1 - u^a)^b is the distribution function, it takes draws by the inverse of (1 - (1 - q)^(1/b))^(1/a) back
    q = rng.uniform(0.1, 1.0, 2000)  # nearer to the end, the edge of 1e-7 shows
    for j, column in enumerate(warp.columns):
        a, b = warp.a[j], warp.b[j]
        drawn = np.zeros((2000, 3))
        drawn[:, column] = (1.0 - (1.0 - q) ** (1.0 / b)) ** (1.0 / a)
        np.testing.assert_allclose(warp(drawn)[:, column], q, atol=1e-5)  # the edges are 1e-7 inside
    h = 1e-6
    ones = np.ones((50, 3))
    slope = warp.pull_back(Z, ones)
    for column in range(3):
        step = h * np.eye(3)[column]
        np.testing.assert_allclose(
            ((warp(Z + step) - warp(Z - step)) / (2 * h))[:, column], slope[:, column], rtol=1e-5
        )
    assert kstest(warp(np.zeros((1, 3)))[0, [0, 2]], "uniform").statistic > 0  # finite at the ends
    assert np.isfinite(warp.pull_back(np.array([[0.0] * 3, [1.0] * 3]), np.ones((2, 3)))).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("infer", [True, False])
def test_the_gradient_of_the_log_posterior_with_bent_axes(kind: Kind, infer: bool) -> None:
    known = bent(15, infer=infer, noise=1e-3)
    prior, theta = Prior.of(known), somewhere(known)
    assert theta.size == known.size == 3 + 1 + 1 + 4 + infer

    def value(at: Array) -> float:
        return log_posterior(known, Settings(kind, at), prior)[0]

    _, slope = log_posterior(known, Settings(kind, theta), prior)
    numeric = [(value(theta + h) - value(theta - h)) / 2e-5 for h in 1e-5 * np.eye(theta.size)]
    assert np.abs(slope - numeric).max() <= 1e-6 * max(1.0, np.abs(slope).max())


@pytest.mark.parametrize("kind", KINDS)
def test_moments_with_bent_axes_are_those_of_botorch_and_slopes_those_of_differences(kind: Kind) -> None:
    known = bent(20, noise=1e-3)
    settings = Settings(kind, somewhere(known))
    posterior, theirs = ExactPosterior.of(known, settings), as_botorch(known, settings)
    rng = np.random.default_rng(2)
    Z, A = (np.hstack([rng.uniform(0.05, 0.95, (n, 3)), np.ones((n, 1))]) for n in (5, 3))
    mu, sd, dmu, dsd = posterior.mean_sd_grad(Z)
    with torch.no_grad():
        expected = theirs.posterior(torch.from_numpy(Z))
    np.testing.assert_allclose(mu, expected.mean.squeeze(-1).numpy(), atol=1e-10)
    np.testing.assert_allclose(sd**2, expected.variance.squeeze(-1).numpy(), atol=1e-10)
    versions = posterior.condition(A, rng.normal(size=(2, 3)), 1e-3)
    weights = rng.normal(size=(5, 2))
    pull, spread = versions.versions_grad(Z)[2:]
    slopes = posterior.cross_grad(Z, A)
    function = draw(posterior, np.random.default_rng(0), [3])
    for j in range(3):
        h = 1e-6 * np.eye(4)[j]
        up, down = posterior.mean_sd(Z + h), posterior.mean_sd(Z - h)
        np.testing.assert_allclose((up[0] - down[0]) / 2e-6, dmu[:, j], atol=1e-6)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-6, dsd[:, j], atol=1e-6)
        crossed = (posterior.cross(Z + h, A) - posterior.cross(Z - h, A)) / 2e-6
        np.testing.assert_allclose(crossed, slopes[:, :, j], atol=1e-6)
        up, down = versions.mean_sd(Z + h), versions.mean_sd(Z - h)
        np.testing.assert_allclose(((up[0] - down[0]) * weights).sum(axis=1) / 2e-6, pull(weights)[:, j], atol=1e-6)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-6, spread[:, j], atol=1e-6)
        drawn = (function.value(Z + h) - function.value(Z - h)) / 2e-6
        np.testing.assert_allclose(drawn, function.value_and_grad(Z)[1][:, j], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trend_is_a_plane_with_normal_slopes(kind: Kind) -> None:
    """Evidence, gradient and moments against the covariance written out, BoTorch and differences."""
    known = data(15, 3, 1, infer=True, noise=1e-2)
    settings = Settings(kind, somewhere(known), trend=True)
    kernel, noise = split(known, settings)
    plain = replace(kernel, trend=0.0)
    H = known.X[:, :3] - 0.5
    C = plain.between(known.X, known.X)[0] + H @ H.T + (noise + 1e-2) * np.eye(15)
    ones = np.ones(15)
    mean = (ones @ np.linalg.solve(C, known.y)) / (ones @ np.linalg.solve(C, ones))
    prior = Prior.of(known)
    expected = multivariate_normal(np.full(15, mean), C).logpdf(known.y) + prior(settings.theta)[0]
    value, slope = log_posterior(known, settings, prior)
    assert value == pytest.approx(expected, abs=1e-8)

    def at(theta: Array) -> float:
        return log_posterior(known, replace(settings, theta=theta), prior)[0]

    numeric = [(at(settings.theta + h) - at(settings.theta - h)) / 2e-5 for h in 1e-5 * np.eye(known.size)]
    assert np.abs(slope - numeric).max() <= 1e-6 * max(1.0, np.abs(slope).max())
    posterior, theirs = ExactPosterior.of(known, settings), as_botorch(known, settings)
    rng = np.random.default_rng(2)
    Z, A = (np.hstack([rng.random((n, 3)), np.ones((n, 1))]) for n in (5, 3))
    mu, sd, dmu, dsd = posterior.mean_sd_grad(Z)
    with torch.no_grad():
        joint = theirs.posterior(torch.from_numpy(Z))
    np.testing.assert_allclose(mu, joint.mean.squeeze(-1).numpy(), atol=1e-9)
    np.testing.assert_allclose(sd**2, joint.variance.squeeze(-1).numpy(), atol=1e-9)
    np.testing.assert_allclose(posterior.cross(Z, Z), joint.distribution.covariance_matrix.numpy(), atol=1e-9)
    slopes, function = posterior.cross_grad(Z, A), draw(posterior, np.random.default_rng(0), [3])
    for j in range(3):
        h = 1e-6 * np.eye(4)[j]
        up, down = posterior.mean_sd(Z + h), posterior.mean_sd(Z - h)
        np.testing.assert_allclose((up[0] - down[0]) / 2e-6, dmu[:, j], atol=1e-6)
        np.testing.assert_allclose((up[1] - down[1]) / 2e-6, dsd[:, j], atol=1e-6)
        crossed = (posterior.cross(Z + h, A) - posterior.cross(Z - h, A)) / 2e-6
        np.testing.assert_allclose(crossed, slopes[:, :, j], atol=1e-6)
        drawn = (function.value(Z + h) - function.value(Z - h)) / 2e-6
        np.testing.assert_allclose(drawn, function.value_and_grad(Z)[1][:, j], atol=1e-6)
    assert Settings.from_json(settings.to_json()).trend


def test_functions_drawn_from_a_sloped_posterior_have_its_moments() -> None:
    known = data(6, 2, 0, infer=False, noise=1e-1)
    posterior = ExactPosterior.of(known, Settings("rbf", Prior.of(known).mode, trend=True))
    Z, rng = np.array([[0.2, 0.9], [1.0, 0.0]]), np.random.default_rng(0)
    values = np.array([draw(posterior, rng).value(Z) for _ in range(2000)])
    mu, sd = posterior.mean_sd(Z)
    # five standard errors of a mean and of a standard deviation of 2,000, and the bias of 512 features
    np.testing.assert_allclose(values.mean(axis=0), mu, atol=float(5 * sd.max() / np.sqrt(2000)))
    np.testing.assert_allclose(values.std(axis=0), sd, rtol=5 / np.sqrt(4000) + 0.02)


def test_the_mean_is_a_plane_where_the_evidence_gains_by_it() -> None:
    def sloped(a: float, b: float) -> float:
        return float(8 * a - 9 * b + 0.3 * np.sin(15 * a) * np.cos(9 * b))

    def waves(a: float, b: float) -> float:
        return float(np.sin(7 * a) * np.cos(5 * b))

    (plane,) = GaussianProcesses.fit(record(sloped, 60).history()).outputs
    (even,) = GaussianProcesses.fit(record(waves, 30).history()).outputs
    assert (plane.settings.trend, even.settings.trend) == (True, False)
    for output in (plane, even):
        other = replace(output.settings, trend=not output.settings.trend)
        refit = fit(replace(output.data, bent=()), warm=other, cold=False)
        assert log_posterior(output.data, output.settings, Prior.of(output.data))[0] > refit.value


def test_conditioning_with_bent_axes_is_the_posterior_of_all_data() -> None:
    known = bent(12, infer=False, noise=1e-2)
    settings = Settings("rbf", somewhere(known))
    first = ExactPosterior.of(known.at(np.arange(9)), settings)
    grown = first.condition(known.X[9:], known.y[None, 9:], 1e-2).version(0)
    Z = known.X + 0.01
    mean_before = first.mean
    K = grown.kernel.between(grown.placed(known.X), grown.placed(known.X))[0] + 1e-2 * np.eye(12)
    k = grown.kernel.between(grown.placed(Z), grown.placed(known.X))[0]
    np.testing.assert_allclose(
        grown.mean_sd(Z)[0], mean_before + k @ np.linalg.solve(K, known.y - mean_before), atol=1e-9
    )


def record(fn: Any, n: int, *, budget: int = 60) -> wb.Study:
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    study = wb.create_study("w", space, [wb.Objective("y", "maximize", noise="none")], sampler="gp", budget=budget)
    for params in space.decode(space.sobol(n, 3)):
        study.attach(params, fn(params["a"], params["b"]))
    return study


def test_axes_are_bent_where_a_function_asks_for_it_and_not_where_it_does_not() -> None:
    fast_near_zero = record(lambda a, b: np.sin(12 * a**0.3) + b, 40)
    even = record(lambda a, b: np.sin(6 * a) + b, 40)
    (steep,) = GaussianProcesses.fit(fast_near_zero.history()).outputs
    (plain,) = GaussianProcesses.fit(even.history()).outputs
    assert plain.data.bent == ()
    assert steep.data.bent == (0, 1)
    warp = steep.data.warp(steep.settings.theta)
    assert warp is not None
    # where the axis a is put apart from how b is: near 0 it is stretched, as a^0.3 is there
    assert warp.a[0] < 0.7 < warp.a[1]
    # and the point of it: better predictions than with straight axes, at points not seen
    grid = np.random.default_rng(0).random((300, 2))
    truth = np.sin(12 * grid[:, 0] ** 0.3) + grid[:, 1]
    straight = replace(steep.data, bent=())
    other = ExactPosterior.of(straight, fit(straight).settings)
    errors = [
        np.sqrt(np.mean((steep.outcome.backward(p.mean_sd(grid)[0]) - truth) ** 2)) for p in (steep.posterior, other)
    ]
    assert errors[0] < 0.7 * errors[1]


# -- draws of hyperparameters ------------------------------------------------------------------


def test_the_curvature_of_the_prior_alone_is_one() -> None:
    known = bent(2).at(np.array([0]))
    prior = Prior.of(known)
    H = curvature(known, Settings("rbf", prior.mode), prior)
    # one value under a generalised least squares mean says nothing but log(scale + noise): half of its curvature
    lengths = slice(0, 4)
    np.testing.assert_allclose(H[lengths, lengths], np.eye(4), atol=1e-6)
    np.testing.assert_allclose(H[known.shapes, known.shapes], np.eye(4), atol=1e-6)


@pytest.mark.parametrize("loud", [False, True])
def test_the_evidence_of_a_mode_by_quadrature(loud: bool) -> None:
    """Twenty values of a wave with noise: the integral over the lengthscale, the variance, and a loud noise.

    Laplace's method has an error of the order of 1 / n, 0.05 nats, times what the tails of lengthscales are off the
    normal; where two explanations share the integral it gives the one of them, at least half of it: 0.7 nats.
    """
    rng = np.random.default_rng(3)
    X = rng.random((20, 1))
    y = np.sin(6 * X[:, 0]) + 0.3 * rng.standard_normal(20)
    noise = np.full(20, 0.0 if loud else 0.15)
    known = Data(X, (y - y.mean()) / y.std(), noise, loud, (0,), (), loud=loud)
    prior = Prior.of(known)
    axes = [np.linspace(low, high, 31) for low, high in zip(prior.low, prior.high, strict=True)]
    logs = np.array(
        [
            log_posterior(known, Settings("rbf", np.array(theta)), prior)[0] + prior.linear @ theta
            for theta in itertools.product(*axes)
        ]
    )
    # a normal prior without its constant, per axis: the integral has a factor sd sqrt(2 pi) too many
    cells = [
        math.log((axis[1] - axis[0]) / (sd * math.sqrt(2 * math.pi))) for axis, sd in zip(axes, prior.sd, strict=True)
    ]
    exact = float(logsumexp(logs)) + sum(cells)
    found = fit(known, warm=Settings("rbf", prior.modes[-1]), cold=False, most=100)
    assert evidence(known, found) == pytest.approx(exact, abs=0.7 if loud else 0.3)


def test_draws_have_the_moments_of_the_posterior_by_quadrature() -> None:
    rng = np.random.default_rng(1)
    X = rng.random((8, 1))
    y = np.sin(4 * X[:, 0])
    known = Data(X, (y - y.mean()) / y.std(), np.full(8, 1e-2), False, (0,), ())
    prior = Prior.of(known)
    lengths = np.linspace(prior.low[0], prior.high[0], 91)
    scales = np.linspace(prior.low[1], prior.high[1], 61)
    logs = np.array(
        [[log_posterior(known, Settings("rbf", np.array([a, b])), prior)[0] for b in scales] for a in lengths]
    )
    mass = np.exp(logs - logs.max())
    mass /= mass.sum()
    expected = [(mass.sum(axis=1) @ lengths), (mass.sum(axis=0) @ scales)]
    sds = [
        np.sqrt(mass.sum(axis=1) @ (lengths - expected[0]) ** 2),
        np.sqrt(mass.sum(axis=0) @ (scales - expected[1]) ** 2),
    ]
    best = fit(known).settings
    found = np.array([s.theta for s in draws(known, Settings("rbf", best.theta), 400, np.random.default_rng(5))])
    # four candidates a draw: the effective sample is smaller than 400, and not below 100; five standard errors of it
    assert len(found) == 400
    for j in range(2):
        assert found[:, j].mean() == pytest.approx(expected[j], abs=5 * sds[j] / np.sqrt(100))
        assert found[:, j].std() == pytest.approx(sds[j], rel=0.35)
    assert draws(known, best, 0, rng) == []


def test_few_trials_are_searched_over_drawn_hyperparameters_and_many_are_not() -> None:
    few, many = record(lambda a, b: a - b, 8), record(lambda a, b: a - b, 25)
    for study, differs in ((few, True), (many, False)):
        proposals = []
        for ensemble in (0, 5):
            sampler = wb.GPSampler(ensemble=ensemble)
            again = wb.create_study("e", study.space, study.objectives, sampler=sampler, seed=1, budget=60)
            for trial in study.trials:
                again.attach(trial.params, trial.values["y"])
            proposals.append(again.ask().meta["value"])
        assert (proposals[0] != proposals[1]) == differs
    with pytest.raises(UnsupportedError, match="ensemble"):
        wb.GPSampler(ensemble=-1)


# -- joint batches -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:A not p.d.")  # where BoTorch's search brings points of a batch together
def test_a_joint_batch_is_as_good_as_that_of_botorch_and_not_worse_than_one_by_one() -> None:
    """By the joint expected improvement of four points, from 4,096 quasi-random samples of the same model.

    Ours is averaged over 32 fantasies, so a batch may lose to another by that noise: about 1 / sqrt(32) of the last
    point's share, a quarter: 0.05.
    """
    problem = synthetic.branin()
    gains: dict[str, list[float]] = {"greedy": [], "joint": [], "botorch": []}
    for seed in range(2):
        values = {}
        for batch in ("greedy", "joint"):
            sampler = wb.GPSampler("log_ei", batch=batch, ensemble=0)
            study = wb.create_study("j", problem.space, problem.objectives, sampler=sampler, seed=seed)
            for params in problem.space.decode(problem.space.sobol(12, seed)):
                study.attach(params, problem.evaluate(params))
            process = GaussianProcesses.fit(study.history())
            (output,) = process.outputs
            score = qLogExpectedImprovement(
                as_botorch(output.data, output.settings),
                float(output.data.y.max()),
                SobolQMCNormalSampler(torch.Size([4096]), seed=1),
            )
            X = problem.space.encode([trial.params for trial in study.ask(4)])
            with torch.no_grad():
                values[batch] = score(torch.from_numpy(process.inputs.model_points(X))[None]).item()
        bounds = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
        quick = qLogExpectedImprovement(
            score.model, score.best_f.item(), SobolQMCNormalSampler(torch.Size([256]), seed=1)
        )
        theirs, _ = optimize_acqf(quick, bounds, q=4, num_restarts=2, raw_samples=32)
        with torch.no_grad():
            values["botorch"] = score(theirs[None]).item()
        for name, value in values.items():
            gains[name].append(value)
    assert min(np.subtract(gains["joint"], gains["greedy"])) >= -0.05
    assert np.mean(gains["joint"]) >= np.mean(gains["greedy"])
    assert min(np.subtract(gains["joint"], gains["botorch"])) >= -0.05
    with pytest.raises(UnsupportedError, match="batch"):
        wb.GPSampler(batch="all")


def test_a_joint_batch_is_whole_when_time_is_over_and_repeats_itself() -> None:
    problem = synthetic.branin()

    def asked(timeout: float | None) -> list[dict[str, Any]]:
        sampler = wb.GPSampler(batch="joint")
        study = wb.create_study("j", problem.space, problem.objectives, sampler=sampler, seed=1)
        for params in problem.space.decode(problem.space.sobol(10, 0)):
            study.attach(params, problem.evaluate(params))
        return [dict(trial.params) for trial in study.ask(3, timeout=timeout)]

    assert asked(None) == asked(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that time was over, where it was
        assert len(asked(0.05)) == 3
