"""The Gaussian process in closed form against dense algebra, finite differences, gpytorch and BoTorch."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from workbench.errors import DeadlineReached
from workbench.models.exact import (
    NOISELESS,
    Data,
    ExactPosterior,
    Prior,
    Settings,
    cholesky,
    factorise,
    log_posterior,
    root,
)
from workbench.models.fitting import fit
from workbench.models.kernels import KINDS, Kernel, Kind, Pairs, correlation
from workbench.models.outcomes import Bend, Outcome, best_power, inverse_yeo_johnson, worth_a_look, yeo_johnson

Array = NDArray[np.float64]


def data(n: int, d: int = 4, c: int = 1, *, infer: bool = True, noise: float = 0.0, seed: int = 0) -> Data:
    """A smooth function of d numbers and c choices at random points, standardised."""
    rng = np.random.default_rng(seed)
    X = np.hstack([rng.random((n, d)), rng.integers(3, size=(n, c))])
    y = np.sin(5 * X[:, 0]) + X[:, 1] ** 2 + 0.3 * X[:, d:].sum(axis=1) + 0.05 * rng.normal(size=n)
    y = (y - y.mean()) / (y.std() or 1.0)
    return Data(X, y, np.full(n, noise), infer, tuple(range(d)), tuple(range(d, d + c)))


def somewhere(known: Data, seed: int = 1) -> Array:
    prior = Prior.of(known)
    return np.clip(prior.mode + 0.3 * np.random.default_rng(seed).normal(size=prior.mean.size), prior.low, prior.high)


def dense(kernel: Kernel, A: Array, B: Array) -> Array:
    """The covariance by loops over the definition."""
    K = np.empty((len(A), len(B)))
    for i, a in enumerate(A):
        for j, b in enumerate(B):
            r2 = sum(((a[o] - b[o]) / length) ** 2 for o, length in zip(kernel.ordered, kernel.lengths, strict=True))
            h = sum(v for o, v in zip(kernel.choices, kernel.weights, strict=True) if a[o] != b[o])
            s = math.sqrt(5 * r2)
            g = math.exp(-r2 / 2) if kernel.kind == "rbf" else (1 + s + s * s / 3) * math.exp(-s)
            K[i, j] = kernel.scale * g * math.exp(-h)
    return K


# -- kernels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_of_pairs_and_between_points_are_the_definition(kind: Kind) -> None:
    known = data(12, 3, 2)
    kernel = Kernel(kind, (0, 1, 2), (3, 4), np.array([0.3, 1.0, 4.0]), np.array([0.2, 1.5]), 1.7)
    K = dense(kernel, known.X, known.X)
    np.testing.assert_allclose(kernel.between(known.X[:5], known.X)[0], K[:5], rtol=1e-12, atol=1e-13)
    pairs = Pairs.of(known.X, (0, 1, 2), (3, 4))
    g, _ = correlation(kind, (kernel.lengths**-2.0) @ pairs.squares)
    k = kernel.scale * g * np.exp(-(kernel.weights @ pairs.differ))
    np.testing.assert_allclose(k, K[np.triu_indices(12, 1)], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_slope_of_the_correlation(kind: Kind) -> None:
    r2 = np.array([1e-3, 0.03, 0.1, 1.0, 7.0, 50.0])
    h = 1e-5 * r2
    numeric = -2 * (correlation(kind, r2 + h)[0] - correlation(kind, r2 - h)[0]) / (2 * h)
    np.testing.assert_allclose(correlation(kind, r2)[1], numeric, rtol=2e-5)
    assert correlation(kind, np.zeros(1))[1][0] == pytest.approx({"rbf": 1.0, "matern52": 5 / 3}[kind])


# -- evidence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 10, 200])
@pytest.mark.parametrize(("infer", "noise"), [(True, 0.0), (True, 0.02), (False, 1e-4)])
def test_the_gradient_of_the_log_posterior(kind: Kind, n: int, infer: bool, noise: float) -> None:
    known = data(n, infer=infer, noise=noise)
    prior, theta = Prior.of(known), somewhere(known)
    _, slope = log_posterior(known, Settings(kind, theta), prior)
    steps = 1e-5 * np.eye(theta.size)

    def value(at: Array) -> float:
        return log_posterior(known, Settings(kind, at), prior)[0]

    numeric = [(value(theta + h) - value(theta - h)) / 2e-5 for h in steps]
    assert np.abs(slope - numeric).max() <= 1e-6 * max(1.0, np.abs(slope).max())


def test_the_log_evidence_is_that_of_gpytorch() -> None:
    import gpytorch
    import torch

    known = data(40, 3, 0, infer=False, noise=1e-2)
    prior, theta = Prior.of(known), somewhere(known)
    for kind, base in (("rbf", gpytorch.kernels.RBFKernel), ("matern52", gpytorch.kernels.MaternKernel)):
        kernel = gpytorch.kernels.ScaleKernel(base(ard_num_dims=3)).double()
        kernel.base_kernel.lengthscale = torch.tensor(np.exp(theta[:3]))
        kernel.outputscale = torch.tensor(np.exp(theta[3]))  # a float would be rounded to float32
        X = torch.tensor(known.X)
        found = factorise(known, Settings(kind, theta))  # type: ignore[arg-type]
        covariance = kernel(X).to_dense().detach() + 1e-2 * torch.eye(40, dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal(torch.full((40,), found.mean, dtype=torch.float64), covariance)
        expected = float(normal.log_prob(torch.tensor(known.y))) + prior(theta)[0]
        assert log_posterior(known, Settings(kind, theta), prior)[0] == pytest.approx(expected, abs=1e-9)  # type: ignore[arg-type]


def test_the_mean_is_the_most_likely_constant() -> None:
    known = data(30)
    found = factorise(known, Settings("rbf", somewhere(known)))
    C = found.L @ found.L.T
    ones, inverse = np.ones(30), np.linalg.inv(C)
    assert found.mean == pytest.approx(ones @ inverse @ known.y / (ones @ inverse @ ones), rel=1e-9)


def test_the_prior_is_that_of_log_normal_quantities() -> None:
    prior = Prior(2, 1, True)
    a, b = np.log([0.5, 2.0, 0.7, 1.3, 0.01]), np.log([1.5, 1.0, 1.7, 0.9, 0.02])

    def density(theta: Array) -> float:
        lengths = scipy.stats.lognorm(math.sqrt(3), scale=math.exp(math.sqrt(2) + 0.5 * math.log(2)))
        rest = [scipy.stats.lognorm(1.0), scipy.stats.lognorm(1.0), scipy.stats.lognorm(1.0, scale=math.exp(-4))]
        return float(sum(f.logpdf(v) for f, v in zip([lengths, lengths, *rest], np.exp(theta), strict=True)))

    assert prior(a)[0] - prior(b)[0] == pytest.approx(density(a) - density(b), rel=1e-10)


def test_a_loud_noise_has_two_log_normals_for_a_prior_in_its_logarithm() -> None:
    """Equally likely, of its logarithm: no Jacobian, and a whole of one where LogNormal(-4, 1) alone has one."""
    prior, faint = Prior(1, 0, True, loud=True), Prior(1, 0, True)
    logs = np.linspace(-13.0, 0.0, 27)
    for log in logs:
        theta = np.array([0.3, 0.1, log])
        ours = prior(theta)[0] - (faint(theta)[0] + log)
        both = 0.5 * (scipy.stats.norm.pdf(log, -4) + scipy.stats.norm.pdf(log, -1))
        assert ours == pytest.approx(math.log(both / scipy.stats.norm.pdf(log, -4)), abs=1e-10)
        step = np.array([0.0, 0.0, 1e-5])
        slope = (prior(theta + step)[0] - prior(theta - step)[0]) / 2e-5
        np.testing.assert_allclose(prior(theta)[1], [*faint(theta)[1][:2], slope], atol=1e-8)
    assert not Prior(1, 0, False, loud=True).loud  # what is not inferred has no prior


def test_draws_where_nothing_is_left_open_are_the_mean() -> None:
    """300 exact values of a plane, and draws at 400 points, whose covariance is rounding alone and indefinite."""
    rng = np.random.default_rng(0)
    X, Z = rng.random((300, 3)), rng.random((400, 3))
    y = X.sum(axis=1)
    known = Data(X, (y - y.mean()) / y.std(), np.full(300, NOISELESS), False, (0, 1, 2), ())
    posterior = ExactPosterior.of(known, Settings("rbf", np.log([2.2, 2.2, 2.2, 20.0])))
    with pytest.raises(np.linalg.LinAlgError, match="400 points"):
        cholesky(posterior.cross(Z, Z))
    draws = posterior.sample(Z, rng.standard_normal((20, 400)))
    np.testing.assert_allclose(draws, np.tile((Z.sum(axis=1) - y.mean()) / y.std(), (20, 1)), atol=1e-3)
    C = np.array([[4.0, 2.0], [2.0, 3.0]])
    np.testing.assert_allclose(root(C) @ root(C).T, C, rtol=1e-12)
    flat = np.array([[1.0, 1.0], [1.0, 1.0 - 1e-3]])  # no jitter mends it: one eigenvalue is -5e-4
    np.testing.assert_allclose(root(flat) @ root(flat).T, flat, atol=1e-3)


# -- posterior ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "bar"), [(1, 1e-12), (10, 1e-12), (100, 1e-9), (200, 1e-9)])
@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_those_of_dense_algebra(kind: Kind, n: int, bar: float) -> None:
    known = data(n, infer=False, noise=1e-4)
    settings = Settings(kind, somewhere(known))
    posterior, found = ExactPosterior.of(known, settings), factorise(known, settings)
    Z = data(7, seed=5).X
    C, k = dense(found.kernel, known.X, known.X) + 1e-4 * np.eye(n), dense(found.kernel, Z, known.X)
    mean = found.mean + k @ np.linalg.solve(C, known.y - found.mean)
    S = dense(found.kernel, Z, Z) - k @ np.linalg.solve(C, k.T)
    mu, sd = posterior.mean_sd(Z)
    assert np.abs(mu - mean).max() <= bar * 10
    np.testing.assert_allclose(sd**2, np.diag(S), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(posterior.cross(Z, Z[:3]), S[:, :3], atol=1e-9)


def test_without_data_it_is_the_prior() -> None:
    known = Data(np.empty((0, 2)), np.empty(0), np.empty(0), True, (0, 1), ())
    posterior = ExactPosterior.of(known, fit(known).settings)
    mu, sd = posterior.mean_sd(np.random.default_rng(0).random((3, 2)))
    assert mu.tolist() == [0.0] * 3
    np.testing.assert_allclose(sd, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_gradient_of_the_posterior(kind: Kind) -> None:
    known = data(60, infer=False, noise=1e-3)
    posterior = ExactPosterior.of(known, Settings(kind, somewhere(known)))
    Z, A, h = data(6, seed=5).X, data(4, seed=6).X, 1e-6
    mu, _sd, dmu, dsd = posterior.mean_sd_grad(Z)
    np.testing.assert_array_equal(mu, posterior.mean_sd(Z)[0])
    slopes = posterior.cross_grad(Z, A)
    for j in range(4):  # the last column is a choice, without a slope
        step = h * np.eye(5)[j]
        up, down = posterior.mean_sd(Z + step), posterior.mean_sd(Z - step)
        np.testing.assert_allclose(dmu[:, j], (up[0] - down[0]) / (2 * h), atol=1e-7)
        np.testing.assert_allclose(dsd[:, j], (up[1] - down[1]) / (2 * h), atol=1e-6)
        numeric = (posterior.cross(Z + step, A) - posterior.cross(Z - step, A)) / (2 * h)
        np.testing.assert_allclose(slopes[:, :, j], numeric, atol=1e-7)
    assert not dmu[:, 4].any()
    assert not slopes[:, :, 4].any()


def test_conditioning_is_refactorising() -> None:
    known = data(150, infer=False, noise=1e-4)
    settings = Settings("matern52", somewhere(known))
    posterior = ExactPosterior.of(known, settings)
    more, values = data(9, seed=8).X, np.random.default_rng(2).normal(size=(3, 9))
    bordered = posterior.condition(more, values, 1e-4)
    Z = data(11, seed=9).X
    mu, sd = bordered.mean_sd(Z)  # (11, 3), (11,)
    mean = factorise(known, settings).mean
    X = np.vstack([known.X, more])
    C = dense(factorise(known, settings).kernel, X, X) + 1e-4 * np.eye(159)
    k = dense(factorise(known, settings).kernel, Z, X)
    for s in range(3):
        whole = np.concatenate([known.y, values[s]]) - mean
        np.testing.assert_allclose(mu[:, s], mean + k @ np.linalg.solve(C, whole), atol=1e-9)
    expected = np.diag(dense(factorise(known, settings).kernel, Z, Z) - k @ np.linalg.solve(C, k.T))
    np.testing.assert_allclose(sd**2, expected, atol=1e-9)
    means, sds, pull, _ = bordered.versions_grad(Z)
    np.testing.assert_allclose(means, mu, rtol=1e-12)
    np.testing.assert_allclose(sds, sd, rtol=1e-9)
    step = 1e-6 * np.eye(5)[1]
    numeric = (bordered.mean_sd(Z + step)[0] - bordered.mean_sd(Z - step)[0]) / 2e-6
    weights = np.random.default_rng(0).normal(size=(11, 3))
    np.testing.assert_allclose(pull(weights)[:, 1], (weights * numeric).sum(axis=1), atol=1e-6)
    np.testing.assert_allclose(bordered.version(2).mean_sd(Z)[0], mu[:, 2], rtol=1e-12)


def test_draws_have_the_moments_of_the_posterior() -> None:
    known = data(20, infer=False, noise=1e-2)
    posterior = ExactPosterior.of(known, Settings("rbf", somewhere(known)))
    Z = data(4, seed=3).X
    draws = posterior.sample(Z, np.random.default_rng(0).normal(size=(200_000, 4)))
    mu, sd = posterior.mean_sd(Z)
    np.testing.assert_allclose(draws.mean(axis=0), mu, atol=5 * sd.max() / math.sqrt(200_000))
    np.testing.assert_allclose(np.cov(draws.T), posterior.cross(Z, Z), atol=0.02 * sd.max() ** 2)


def test_duplicates_are_their_average_with_half_the_noise() -> None:
    one = data(10, infer=False, noise=0.02)
    twice = Data(
        np.vstack([one.X, one.X[:1]]),
        np.append(one.y, one.y[0] + 0.4),
        np.full(11, 0.02),
        False,
        one.ordered,
        one.choices,
    )
    noise = one.noise.copy()
    noise[0] = 0.01
    y = one.y.copy()
    y[0] += 0.2
    mean = Data(one.X, y, noise, False, one.ordered, one.choices)
    theta = somewhere(one)
    Z = data(5, seed=4).X
    a, b = (ExactPosterior.of(known, Settings("rbf", theta)).mean_sd(Z) for known in (twice, mean))
    np.testing.assert_allclose(a, b, atol=1e-10)


# -- fits --------------------------------------------------------------------------------------------------------


def test_a_fit_is_a_maximum_and_finds_what_was_planted() -> None:
    rng = np.random.default_rng(3)
    X = rng.random((120, 3))
    kernel = Kernel("rbf", (0, 1, 2), (), np.array([0.3, 0.8, 30.0]), np.empty(0), 1.0)
    y = cholesky(dense(kernel, X, X) + 1e-2 * np.eye(120)) @ rng.normal(size=120)
    known = Data(X, y, np.zeros(120), True, (0, 1, 2), ())
    found = fit(known)
    slope = log_posterior(known, found.settings, Prior.of(known))[1]
    assert np.abs(slope).max() < 0.05
    lengths, noise = np.exp(found.settings.theta[:3]), math.exp(found.settings.theta[-1])
    assert found.settings.kind == "rbf"
    assert lengths[0] == pytest.approx(0.3, rel=0.3)
    assert lengths[1] == pytest.approx(0.8, rel=0.4)
    assert lengths[2] > 5
    assert noise == pytest.approx(1e-2, rel=0.4)


def test_rough_functions_get_the_rough_kernel() -> None:
    rng = np.random.default_rng(4)
    X = rng.random((150, 1))
    kernel = Kernel("matern52", (0,), (), np.array([0.1]), np.empty(0), 1.0)
    y = cholesky(dense(kernel, X, X) + 1e-6 * np.eye(150)) @ rng.normal(size=150)
    assert fit(Data(X, y, np.full(150, 1e-6), False, (0,), ())).settings.kind == "matern52"


def test_a_warm_start_ends_where_a_cold_one_does_with_fewer_steps() -> None:
    known = data(80)
    cold = fit(known)
    warm = fit(known, warm=cold.settings, cold=False)
    assert warm.value == pytest.approx(cold.value, abs=1e-3)
    assert warm.evaluations < cold.evaluations / 2


def test_a_deadline_ends_the_fit_with_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    known = data(80)
    with pytest.raises(DeadlineReached):
        fit(known, deadline=time.monotonic() - 1)
    ticks = iter([0.0] * 5 + [10.0] * 100)
    monkeypatch.setattr("workbench.models.fitting.time.monotonic", lambda: next(ticks))
    found = fit(known, deadline=5.0)
    assert found.late
    assert found.evaluations <= 5


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_data(n: int) -> None:
    known = data(3)
    known = Data(known.X[:n], known.y[:n], known.noise[:n], True, known.ordered, known.choices)
    mu, sd = ExactPosterior.of(known, fit(known).settings).mean_sd(known.X[:1] if n else data(1).X)
    assert np.isfinite(mu).all()
    assert np.isfinite(sd).all()


@pytest.mark.parametrize("case", ["equal", "duplicates", "constant column", "one outlier"])
def test_degenerate_data_get_an_answer(case: str) -> None:
    known = data(30, infer=False, noise=1e-6)
    X, y = known.X.copy(), known.y.copy()
    if case == "equal":
        y[:] = 0.0
    elif case == "duplicates":
        X[:] = X[0]
    elif case == "constant column":
        X[:, 0] = 0.5
    else:
        y[3] = 1e6
    found = Data(X, y, known.noise, False, known.ordered, known.choices)
    posterior = ExactPosterior.of(found, fit(found).settings)
    parts: Any = posterior.mean_sd_grad(X[:3])
    assert all(np.isfinite(part).all() for part in parts)


# -- outcomes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0, 1.7, 2.0])
def test_the_power_is_that_of_scipy_and_has_an_inverse(power: float) -> None:
    v = np.random.default_rng(0).normal(size=60) * 4
    t = yeo_johnson(v, power)
    np.testing.assert_allclose(t, scipy.stats.yeojohnson(v, power), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(inverse_yeo_johnson(t, power), v, rtol=1e-11, atol=1e-12)


def test_the_best_power_is_the_most_likely_one() -> None:
    rng = np.random.default_rng(1)
    y = np.exp(1.2 * rng.normal(size=80))
    power = best_power(y)
    assert power is not None
    outcome = Outcome.of(y, power)
    v = (y - outcome.centre) / outcome.unit
    grid = np.linspace(0, 2, 2001)
    assert power.by == pytest.approx(grid[np.argmax([scipy.stats.yeojohnson_llf(p, v) for p in grid])], abs=2e-3)
    assert [bend and bend.kind for bend in worth_a_look(y)] == [None, "power", "bilog", "bilog", "bilog"]
    assert worth_a_look(rng.normal(size=80)) == (None,)
    assert best_power(rng.normal(size=80)) is None  # not skewed
    assert best_power(y[:5]) is None  # too few


BENDS = [None, Bend("power", 0.0), Bend("power", 0.6), Bend("power", 2.0), Bend("bilog", 1.0), Bend("bilog", 0.01)]


@pytest.mark.parametrize("bend", BENDS)
@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e12])
def test_outcomes_go_there_and_back(bend: Bend | None, factor: float) -> None:
    y = factor * (3 + np.random.default_rng(2).normal(size=40) ** 3)
    outcome = Outcome.of(y, bend)
    z = outcome.forward(y)
    assert abs(z.mean()) < 1e-9
    assert z.std(ddof=1) == pytest.approx(1.0)
    np.testing.assert_allclose(outcome.backward(z), y, rtol=1e-9, atol=1e-9 * factor)
    assert (np.diff(z[np.argsort(y)]) > 0).all()
    # the slope at each value, by which noise and densities change
    h = 1e-7 * factor
    slope = (outcome.forward(y + h) - outcome.forward(y - h)) / (2 * h)
    assert outcome.log_slope(y) == pytest.approx(float(np.log(slope).sum()), abs=1e-3)
    np.testing.assert_allclose(outcome.variance(y, np.full(40, h**2)), (slope * h) ** 2, rtol=1e-4)


def test_moments_of_y_follow_the_quantiles() -> None:
    y = -np.exp(np.random.default_rng(3).normal(size=60))
    plain, bent = Outcome.of(y), Outcome.of(y, best_power(y))
    mu, sd = np.array([0.2, -1.0]), np.array([0.1, 0.5])
    np.testing.assert_allclose(plain.moments(mu, sd), [plain.backward(mu), plain.slope * sd])
    mean, spread = bent.moments(mu, sd)
    np.testing.assert_allclose(mean, bent.backward(mu))
    np.testing.assert_allclose(spread, (bent.backward(mu + sd) - bent.backward(mu - sd)) / 2)


@pytest.mark.parametrize("y", [np.zeros(5), np.full(5, 3.0), np.array([7.0]), np.empty(0)])
def test_values_that_tell_no_scale(y: Array) -> None:
    for bend in (None, Bend("power", 0.5), Bend("bilog", 0.1)):
        outcome = Outcome.of(y, bend)
        assert np.isfinite(outcome.forward(y)).all()
        np.testing.assert_allclose(outcome.backward(outcome.forward(y)), y, atol=1e-12)
