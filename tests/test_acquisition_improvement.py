"""Improvement: every closed form against quadrature, many digits, or another library."""

from __future__ import annotations

import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import (
    LogConstrainedExpectedImprovement,
    LogExpectedImprovement,
    LogProbabilityOfFeasibility,
    LogProbabilityOfImprovement,
    UpperConfidenceBound,
)
from botorch.models import ModelListGP, SingleTaskGP
from gpytorch.kernels import RBFKernel
from gpytorch.means import ZeroMean
from scipy import integrate
from scipy.stats import norm

from workbench.acquisition.base import LOG_ZERO, joint_samples
from workbench.acquisition.combined import Averaged, Summed
from workbench.acquisition.feasibility import ConstrainedLogEI, Limit, LogFeasibility
from workbench.acquisition.improvement import UCB, LogEI, LogPI, NoisyEI, TargetEI
from workbench.errors import InvalidValueError
from workbench.models.normal import hazard, improvement_terms, log_interval


class DenseGP:
    """The textbook formulas for k(x, x') = exp(-|x - x'|^2 / (2 l^2)) and mean 0, by dense inverses."""

    def __init__(self, X, y, noise=1e-4, length=0.4):
        self.X, self.y, self.noise, self.length = X, y, noise, length
        self.inverse = np.linalg.inv(self.k(X, X) + noise * np.eye(len(X)))

    def k(self, A, B):
        return np.exp(-0.5 * (((A[:, None] - B[None]) / self.length) ** 2).sum(-1))

    def dk(self, A, B):
        return -self.k(A, B)[:, :, None] * (A[:, None] - B[None]) / self.length**2

    def mean_sd(self, Z):
        return self.k(Z, self.X) @ self.inverse @ self.y, np.sqrt(np.maximum(self._variance(Z), 0.0))

    def _variance(self, Z):
        k = self.k(Z, self.X)
        return 1.0 - ((k @ self.inverse) * k).sum(-1)

    def mean_sd_grad(self, Z):
        (mu, sd), dk = self.mean_sd(Z), self.dk(Z, self.X)
        dmu = np.einsum("bnd,n->bd", dk, self.inverse @ self.y)
        dvariance = -2.0 * np.einsum("bnd,bn->bd", dk, self.k(Z, self.X) @ self.inverse)
        known = sd == 0.0
        dsd = np.where(known[:, None], 0.0, dvariance / (2.0 * np.where(known, 1.0, sd))[:, None])
        return mu, sd, dmu, dsd

    def cross(self, Z, A):
        return self.k(Z, A) - self.k(Z, self.X) @ self.inverse @ self.k(self.X, A)

    def cross_grad(self, Z, A):
        return self.dk(Z, A) - np.einsum("bnd,nk->bkd", self.dk(Z, self.X), self.inverse @ self.k(self.X, A))

    def in_botorch(self):
        """The same Gaussian process as a BoTorch model."""
        kernel = RBFKernel().double()
        kernel.lengthscale = torch.tensor(self.length, dtype=torch.float64)
        model = SingleTaskGP(
            torch.from_numpy(self.X),
            torch.from_numpy(self.y)[:, None],
            train_Yvar=torch.full((len(self.y), 1), self.noise, dtype=torch.float64),
            covar_module=kernel,
            mean_module=ZeroMean(),
            outcome_transform=None,
        )
        model.eval()
        return model.requires_grad_(False)


class Fixed:
    """Given moments, whose point is (mu, sd)."""

    noise = 0.0

    def mean_sd(self, Z):
        return Z[:, 0].copy(), Z[:, 1].copy()

    def mean_sd_grad(self, Z):
        one, none = np.ones(len(Z)), np.zeros(len(Z))
        return *self.mean_sd(Z), np.column_stack([one, none]), np.column_stack([none, one])


def example(n=12, d=6, noise=1e-4, seed=0, length=None):
    """A standardised record of a wavy function with noise of that variance; rough enough to leave much to expect."""
    length = 0.33 * math.sqrt(d) if length is None else length
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    y = np.sin(5.0 * X[:, 0]) + (X**2).sum(axis=1)
    y = (y - y.mean()) / y.std() + math.sqrt(noise) * rng.standard_normal(n)
    return DenseGP(X, y, noise, length)


def by_differences(acquisition, Z, step=1e-6):
    slopes = np.empty_like(Z)
    for j in range(Z.shape[1]):
        move = np.zeros(Z.shape[1])
        move[j] = step
        slopes[:, j] = (acquisition.value(Z + move) - acquisition.value(Z - move)) / (2 * step)
    return slopes


def check_gradient(acquisition, Z, rtol=1e-5, step=1e-6):
    """Value and gradient belong together, relative to the largest component at each point."""
    values, grads = acquisition.value_and_grad(Z)
    np.testing.assert_allclose(values, acquisition.value(Z), rtol=1e-12)
    slopes = by_differences(acquisition, Z, step)
    size = np.maximum(np.abs(slopes).max(axis=1, keepdims=True), 1e-3)
    np.testing.assert_allclose(grads / size, slopes / size, atol=rtol)


def exact(z):
    """log h, Phi/h and phi/h with 60 digits."""
    with mpmath.workdps(400):
        z = mpmath.mpf(float(z))
        density, below = mpmath.npdf(z), mpmath.erfc(-z / mpmath.sqrt(2)) / 2
        h = density + z * below
        return float(mpmath.log(h)), float(below / h), float(density / h)


# -- numerics ------------------------------------------------------------------------------------


def test_log_h_and_its_ratios_in_many_digits():
    z = np.array([30.0, 3.0, 0.0, -0.999, -1.0, -1.001, -5.0, -20.0, -40.0, -100.0, -149.9, -150.1, -1e3, -1e4])
    log_h, below, density = improvement_terms(z)
    expected = np.array([exact(v) for v in z])
    near = np.abs(z) <= 100
    np.testing.assert_allclose(log_h[near], expected[near, 0], atol=1e-10, rtol=0)
    np.testing.assert_allclose(log_h, expected[:, 0], rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(below, expected[:, 1], rtol=2e-11)
    np.testing.assert_allclose(density[1:], expected[1:, 2], rtol=2e-11)


def test_extreme_arguments_give_finite_numbers_without_a_warning():
    z = np.array([-np.inf, -1e300, -1e10, 1e10, 1e300, np.inf])
    assert all(np.isfinite(v).all() for v in improvement_terms(z))
    assert np.isfinite(hazard(np.array([-1e10, 40.0, 1e10]))).all()


@pytest.mark.parametrize(("low", "high"), [(-3.0, -2.0), (-1.0, 1.0), (-50.0, -49.999), (-30.0, -3.0), (-1e-9, 1e-9)])
def test_log_probability_of_an_interval(low, high):
    with mpmath.workdps(400):
        expected = float(mpmath.log(mpmath.ncdf(mpmath.mpf(high)) - mpmath.ncdf(mpmath.mpf(low))))
    assert log_interval(np.array([low]), np.array([high]))[0] == pytest.approx(expected, abs=1e-11 * max(1, -expected))


def test_expected_improvement_equals_quadrature():
    for mu, sd in [(0.3, 0.7), (-1.0, 0.2), (1.0, 0.1), (-0.8, 0.2)]:  # z from -6 to 8
        gain = integrate.quad(
            lambda t, m=mu, s=sd: (m + s * t - 0.2) * norm.pdf(t), (0.2 - mu) / sd, 12, epsabs=0, epsrel=1e-12
        )
        expected = gain[0]
        assert math.exp(LogEI(Fixed(), 0.2).value(np.array([[mu, sd]]))[0]) == pytest.approx(expected, rel=1e-10)


# -- against BoTorch -----------------------------------------------------------------------------


def test_single_point_functions_equal_botorch():
    gp = example()
    Z = np.random.default_rng(1).random((20, 6))
    model, best, X = gp.in_botorch(), torch.tensor(0.9, dtype=torch.float64), torch.from_numpy(Z)[:, None]
    limits = [Limit(example(seed=4), 0.25), Limit(example(seed=5), -0.125)]
    several = ModelListGP(model, *(limit.posterior.in_botorch() for limit in limits))
    bounds = {1: (None, 0.25), 2: (None, -0.125)}
    pairs = [
        (LogEI(gp, 0.9), LogExpectedImprovement(model, best_f=best)),
        (LogPI(gp, 0.9), LogProbabilityOfImprovement(model, best_f=best)),
        (UCB(gp, 4.0), UpperConfidenceBound(model, beta=4.0)),
        (ConstrainedLogEI(gp, 0.9, limits), LogConstrainedExpectedImprovement(several, best, 0, bounds)),
        (LogFeasibility(limits), LogProbabilityOfFeasibility(several, bounds)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.value(Z), theirs(X).numpy(), rtol=1e-9, atol=1e-9)


# -- gradients -----------------------------------------------------------------------------------


def all_of(gp):
    limits = [Limit(example(seed=4, d=gp.X.shape[1]), 0.3)]
    fantasies = [LogEI(example(seed=seed, d=gp.X.shape[1]), 1.5) for seed in range(4)]
    return {
        "log_ei": LogEI(gp, 1.2),
        "log_ei far away": LogEI(gp, 60.0),
        "log_pi": LogPI(gp, 1.2),
        "ucb": UCB(gp, 2.0),
        "noisy_ei": NoisyEI(gp, gp.X),
        "target": TargetEI(gp, 0.4, 0.05, -0.3),
        "narrow target": TargetEI(gp, 0.4, 1e-6, -1e-5),
        "target met": TargetEI(gp, 0.4, 0.1, 0.0),
        "constrained": ConstrainedLogEI(gp, 1.2, limits),
        "feasibility": LogFeasibility(limits),
        "between": LogFeasibility([Limit(example(seed=4, d=gp.X.shape[1]), 0.3, -0.4, 0.1)]),
        "from below": LogFeasibility([Limit(example(seed=4, d=gp.X.shape[1]), math.inf, -0.4, 1.0)]),
        "averaged": Averaged(fantasies),
        "averaged values": Averaged([UCB(gp, 1.0), UCB(gp, 4.0)], logs=False),
        "summed": Summed([NoisyEI(gp, gp.X), LogFeasibility(limits)]),
    }


@pytest.mark.parametrize("name", all_of(example(d=2)))
@pytest.mark.parametrize("d", [2, 6])
def test_gradients_equal_central_differences(name, d):
    check_gradient(all_of(example(d=d, noise=1e-2))[name], np.random.default_rng(2).random((15, d)))


@pytest.mark.parametrize("name", all_of(example(d=2)))
def test_known_points_give_finite_values_and_slopes(name):
    rng = np.random.default_rng(3)
    X = rng.random((8, 2))
    gp = DenseGP(X, rng.standard_normal(8), noise=0.0)
    values, grads = all_of(gp)[name].value_and_grad(np.concatenate([X, X + 1e-13, np.full((1, 2), 40.0)]))
    assert np.isfinite(values).all()
    assert np.isfinite(grads).all()


def test_moments_of_exactly_zero_spread():
    Z = np.array([[0.5, 0.0], [2.0, 0.0], [1.0, 0.0]])
    log_ei = LogEI(Fixed(), 1.0).value(Z)
    assert log_ei[0] < -1e15
    assert log_ei[1] == pytest.approx(0.0, abs=1e-12)  # log(2 - 1)
    assert np.isfinite(LogEI(Fixed(), 1.0).value_and_grad(Z)[1]).all()
    assert LogPI(Fixed(), 1.0).value(Z)[1] == pytest.approx(0.0)
    assert TargetEI(Fixed(), 0.5, 0.1, -2.0).value(Z)[0] == pytest.approx(math.log(2.0))
    assert LogFeasibility([Limit(Fixed(), 1.0)]).value(Z)[0] == pytest.approx(0.0)


# -- noisy expected improvement (verification case 4) ----------------------------------------------


def trapezoid(gp, x):
    """E[max over observed and x of the mean to come] - max over observed, by 2e5 nodes over [-9, 9]."""
    t = np.linspace(-9.0, 9.0, 200_001)
    A = np.concatenate([gp.X, x[None]])
    a = gp.mean_sd(A)[0]
    b = gp.cross(x[None], A)[0] / np.sqrt(gp.cross(x[None], x[None])[0, 0] + gp.noise)
    best = np.full(len(t), -np.inf)
    for one, slope in zip(a, b, strict=True):
        np.maximum(best, one + slope * t, out=best)
    return integrate.trapezoid((best - a[:-1].max()) * norm.pdf(t), t), a


@pytest.mark.parametrize("noise", [1e-1, 1e-2, 1e-4])
def test_noisy_ei_equals_the_trapezoid_rule(noise):
    ahead = 0
    for seed in range(3):
        gp = example(noise=noise, seed=seed)
        Z = np.concatenate([np.random.default_rng(100 + seed).random((5, 6)), gp.X[gp.y.argmax()][None] + 0.05])
        for x, log_value in zip(Z, NoisyEI(gp, gp.X).value(Z), strict=True):
            expected, a = trapezoid(gp, x)
            ahead += a[-1] > a[:-1].max()
            if expected > 1e-6:
                assert math.exp(log_value) == pytest.approx(expected, rel=1e-7)
    assert ahead >= 1  # the candidate's own mean above all others is among the cases


def test_noisy_ei_tends_to_ei_without_noise():
    compared = 0
    for seed in range(4):
        gp = example(noise=1e-8, seed=seed)
        Z = np.random.default_rng(100 + seed).random((10, 6))
        plain = np.exp(LogEI(gp, gp.mean_sd(gp.X)[0].max()).value(Z))
        noisy = np.exp(NoisyEI(gp, gp.X).value(Z))
        counts = plain > 1e-5
        compared += counts.sum()
        np.testing.assert_allclose(noisy[counts], plain[counts], rtol=1e-4)
    assert compared > 20


def test_noisy_ei_of_a_known_point_is_zero():
    rng = np.random.default_rng(5)
    X = rng.random((12, 6))
    gp = DenseGP(X, rng.standard_normal(12), noise=0.0)
    assert np.exp(NoisyEI(gp, X).value(X)).max() < 1e-7


def test_noisy_ei_can_be_climbed_where_its_value_is_not_a_float():
    gp = DenseGP(np.array([[0.0], [1e-3]]), np.array([0.0, 60.0]), noise=1e-4, length=1.0)
    acquisition = NoisyEI(gp, np.array([[0.0], [3.0]]))
    Z = np.array([[0.02], [0.05]])
    values, grads = acquisition.value_and_grad(Z)
    assert (values > LOG_ZERO).all()
    assert (grads != 0).all()


# -- targets -------------------------------------------------------------------------------------


def by_ramps(mu, sd, target, tolerance, best):
    """The four ramps with 120 digits."""
    with mpmath.workdps(120):
        m, s, t, tol, height = (mpmath.mpf(v) for v in (mu, sd, target, tolerance, -best))
        off = abs(m - t)
        z = [(p - off) / s for p in (tol + height, tol, -tol, -tol - height)]
        h = [mpmath.npdf(v) + v * mpmath.erfc(-v / mpmath.sqrt(2)) / 2 for v in z]
        return float(mpmath.log(s * (h[0] - h[1] - h[2] + h[3])))


def by_quadrature(mu, sd, target, tolerance, best):
    def gain(y):
        return max(0.0, -max(0.0, abs(y - target) - tolerance) - best) * norm.pdf(y, mu, sd)

    corners = [target + side * p for side in (-1, 1) for p in (tolerance, tolerance - best)]
    ends = max(min(corners), mu - 12 * sd), min(max(corners), mu + 12 * sd)
    knots = sorted({*ends, *(c for c in [target, mu, *corners] if ends[0] < c < ends[1])})
    return math.log(sum(integrate.quad(gain, *pair, epsabs=0, epsrel=1e-12)[0] for pair in pairwise(knots)))


@pytest.mark.parametrize(
    ("mu", "sd", "tolerance", "best"),
    [
        (0.0, 1.0, 0.1, -0.5),
        (1.0, 0.3, 0.1, -0.5),
        (-1.0, 0.3, 0.0, -0.5),
        (0.2, 1.0, 1e-4, -1e-4),  # a window far smaller than sd
        (0.5, 0.3, 1.0, -1e-7),  # little to gain in a wide window
        (0.0, 0.01, 0.1, -0.5),  # surely within
        (3.0, 0.1, 0.1, -0.5),  # 21 sd outside
        (2.0, 0.2, 1e-7, -1e-9),
        (4.0, 0.05, 0.01, -0.001),  # 75 sd outside, and a small window
    ],
)
def test_target_ei_equals_many_digits_and_quadrature(mu, sd, tolerance, best):
    acquisition, at = TargetEI(Fixed(), 0.25, tolerance, best), np.array([[mu, sd]])
    value = acquisition.value(at)[0]
    assert value == pytest.approx(by_ramps(mu, sd, 0.25, tolerance, best), rel=1e-11, abs=1e-11)
    if abs(mu - 0.25) < 6 * sd:
        assert value == pytest.approx(by_quadrature(mu, sd, 0.25, tolerance, best), abs=1e-9)
    check_gradient(acquisition, at, step=1e-5 * sd)


def test_a_target_that_is_met_ranks_by_the_probability_to_meet_it():
    Z = np.array([[0.0, 1.0], [0.3, 1.0], [0.3, 0.1], [5.0, 1.0]])
    values = TargetEI(Fixed(), 0.25, 0.1, 0.0).value(Z)
    within = norm.cdf((0.35 - Z[:, 0]) / Z[:, 1]) - norm.cdf((0.15 - Z[:, 0]) / Z[:, 1])
    np.testing.assert_allclose(values - values[0], np.log(within / within[0]), atol=1e-8)


# -- constraints (verification case 17) ------------------------------------------------------------


def test_constraints_that_are_surely_met_change_nothing_and_hopeless_ones_do_not_raise():
    gp = example()
    Z = np.random.default_rng(6).random((10, 6))
    free = LogEI(gp, 1.0).value(Z)
    np.testing.assert_allclose(ConstrainedLogEI(gp, 1.0, [Limit(example(seed=1), 100.0)]).value(Z), free, rtol=1e-14)
    hopeless = LogFeasibility([Limit(example(seed=1), -1e6)])
    values, grads = hopeless.value_and_grad(Z)
    assert np.isfinite(values).all()
    assert np.isfinite(grads).all()


def test_without_a_feasible_point_the_probability_of_feasibility_ranks():
    limits = [Limit(example(seed=1), -0.5), Limit(example(seed=2), 0.0)]
    Z = np.random.default_rng(7).random((30, 6))
    moments = [limit.posterior.mean_sd(Z) for limit in limits]
    chance = np.prod([norm.cdf((limit.upper - m) / s) for limit, (m, s) in zip(limits, moments, strict=True)], axis=0)
    np.testing.assert_array_equal(np.argsort(LogFeasibility(limits).value(Z)), np.argsort(chance))


# -- pending points (verification case 18) ---------------------------------------------------------


def test_averaging_fantasies_integrates_pending_outcomes_out():
    """E over the outcome at x0 of EI over what is then best, against 1e5 joint samples."""
    gp = example(n=6, d=2, noise=1e-2, length=0.3)
    x0, Z = np.array([[0.4, 0.7]]), np.array([[0.5, 0.6], [0.9, 0.2], [0.4, 0.7]])
    mu0, sd0 = (v[0] for v in gp.mean_sd(x0))
    best = 0.5
    parts = []
    for level in (np.arange(64) + 0.5) / 64:
        outcome = mu0 + math.sqrt(sd0**2 + gp.noise) * norm.ppf(level)
        parts.append(
            LogEI(DenseGP(np.vstack([gp.X, x0]), np.append(gp.y, outcome), gp.noise, gp.length), max(best, outcome))
        )
    values = np.exp(Averaged(parts).value(Z))
    samples = joint_samples(gp, np.vstack([Z[:2], x0]), 100_000, np.random.default_rng(0))
    seen = samples[:, 2] + math.sqrt(gp.noise) * np.random.default_rng(1).standard_normal(len(samples))
    gain = np.maximum(samples[:, :2] - np.maximum(best, seen)[:, None], 0.0)
    error = gain.std(axis=0) / math.sqrt(len(gain))
    assert (np.abs(values[:2] - gain.mean(axis=0)) < 4 * error + 0.01 * values[:2]).all()
    assert values[2] < 0.3 * math.exp(LogEI(gp, best).value(x0)[0])  # a point in flight is hardly worth another run


@pytest.mark.parametrize(
    ("lower", "upper"), [(-0.4, 0.3), (0.4, 0.41), (-3.0, -2.0), (5.0, 6.0), (-math.inf, 0.3), (0.2, math.inf)]
)
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_a_limit_is_the_probability_of_its_interval(lower, upper, spread):
    gp = example(seed=4)
    Z = np.random.default_rng(0).random((50, gp.X.shape[1]))
    mu, sd = gp.mean_sd(Z)
    low, high = (lower - mu) / np.hypot(sd, spread), (upper - mu) / np.hypot(sd, spread)
    with mpmath.workdps(400):
        exact = [float(mpmath.log(mpmath.ncdf(-a) - mpmath.ncdf(-b))) for a, b in zip(low, high, strict=True)]
    found = Limit(gp, upper, lower, spread).log_probability(Z)
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(Limit(gp, upper, lower, spread).log_probability_grad(Z)[0], found, rtol=1e-12)


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda gp: LogEI(gp, math.nan), "best must be a finite number"),
        (lambda gp: UCB(gp, -1.0), "beta must be at least 0"),
        (lambda gp: TargetEI(gp, 0.0, -0.1, 0.0), "tolerance >= 0"),
        (lambda gp: TargetEI(gp, 0.0, 0.1, 0.5), "best <= 0"),
        (lambda gp: LogFeasibility([]), "at least one Limit"),
        (lambda gp: Averaged([]), "at least one acquisition"),
        (lambda gp: NoisyEI(gp, np.empty((0, 2))), "k >= 1"),
    ],
)
def test_refusals_name_the_remedy(make, named):
    with pytest.raises(InvalidValueError, match=named):
        make(example(d=2))
