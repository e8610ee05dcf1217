"""Max-value entropy search and GIBBON: against many digits, plain quadrature, and BoTorch."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from botorch.acquisition.max_value_entropy_search import qLowerBoundMaxValueEntropy, qMaxValueEntropy
from scipy.stats import norm
from test_acquisition_improvement import DenseGP, Fixed, check_gradient, example

from workbench.acquisition.base import LOG_ZERO
from workbench.acquisition.entropy import GIBBON, MES, max_value_samples
from workbench.errors import InvalidValueError


class Shifted:
    """A posterior plus a constant."""

    def __init__(self, gp, by):
        self._gp, self._by, self.noise = gp, by, gp.noise

    def mean_sd(self, Z):
        mu, sd = self._gp.mean_sd(Z)
        return mu + self._by, sd


class Noisy(Fixed):
    """Given moments, and a noise."""

    def __init__(self, noise):
        self.noise = noise


def gain(acquisition, posterior, g, sd=1.0):
    """Log gain where f* is g sd above the mean."""
    return acquisition(posterior, np.array([g * sd])).value(np.array([[0.0, sd]]))[0]


def by_definition(g, rho2):
    """Log of H[y] - H[y | f <= f*] from the density of y, in as many digits as it takes."""
    with mpmath.workdps(int(30 + g * g / 4)):
        g, rho2 = mpmath.mpf(g), mpmath.mpf(rho2)
        rho, s = mpmath.sqrt(rho2), mpmath.sqrt(1 - rho2)
        total = mpmath.ncdf(g)

        def p_log_p(u):
            p = mpmath.npdf(u) * mpmath.ncdf((g - rho * u) / s) / total
            return p * mpmath.log(p)

        steps = {rho * g + i * s * j for i in (-1, 1) for j in (0, 1, 2, 4, 8, 14)} | set(range(-8, 9, 4))
        return float(mpmath.log(mpmath.log(2 * mpmath.pi * mpmath.e) / 2 + mpmath.quad(p_log_p, sorted(steps))))


# -- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("g", "rho2"), [(-3.0, 0.9), (0.0, 0.5), (1.0, 0.99), (2.0, 2e-4), (2.0, 5e-5), (5.0, 0.3)])
def test_noisy_mes_equals_its_definition(g, rho2):
    assert gain(MES, Noisy(1 / rho2 - 1), g) == pytest.approx(by_definition(g, rho2), abs=1e-8)


@pytest.mark.parametrize("g", [-20.0, -3.0, 0.0, 1.0, 5.0, 12.0, 20.0])
def test_without_noise_mes_is_the_closed_form(g):
    with mpmath.workdps(150):
        below, density = mpmath.ncdf(mpmath.mpf(g)), mpmath.npdf(mpmath.mpf(g))
        expected = float(mpmath.log(g * density / (2 * below) - mpmath.log(below)))
    assert gain(MES, Fixed(), g) == pytest.approx(expected, abs=1e-12)


def test_the_noise_free_limit_is_approached():
    assert math.exp(gain(MES, Fixed(), 1.0)) == pytest.approx(0.31655, abs=5e-6)
    assert math.exp(gain(MES, Noisy(1e-5), 1.0)) == pytest.approx(0.31574, abs=1e-5)


@pytest.mark.parametrize(
    ("g", "value"),
    [(5.0, 3.71681477e-6), (8.7, 6.36098916e-17), (12.0, 1.28783024e-31), (20.0, 5.52094836e-87)],
)
def test_gibbon_does_not_underflow(g, value):
    """Verification case 8; BoTorch returns 0 from 8.8 on."""
    found = math.exp(gain(GIBBON, Fixed(), g))
    assert found == pytest.approx(value, rel=1e-8)
    assert found == pytest.approx(g * norm.pdf(g) / 2, rel=5e-6 if g == 5.0 else 1e-13)


def test_far_maxima_still_rank_and_slope():
    for acquisition in (MES, GIBBON):
        for noise in (0.0, 1e-3):
            values, grads = acquisition(Noisy(noise), np.array([60.0])).value_and_grad(
                np.array([[0.0, 1.0], [1.0, 1.0]])
            )
            assert LOG_ZERO < values[0] < values[1] < -1000
            assert (grads != 0).all()


def test_gibbon_is_below_mes_for_the_same_maxima():
    gp = example(d=2, noise=1e-2)
    maxima = max_value_samples(gp, np.random.default_rng(0).random((200, 2)), 10, np.random.default_rng(1))
    Z = np.random.default_rng(2).random((100, 2))
    assert (np.exp(GIBBON(gp, maxima).value(Z)) <= np.exp(MES(gp, maxima).value(Z)) * (1 + 1e-9)).all()
    with_values = [(g, rho2) for g in (-1.0, 0.0, 1.0, 2.0, 4.0) for rho2 in (0.01, 0.5, 0.99)]
    for g, rho2 in with_values:
        assert gain(GIBBON, Noisy(1 / rho2 - 1), g) <= gain(MES, Noisy(1 / rho2 - 1), g) + 1e-9


def test_values_equal_botorch_for_the_same_maxima():
    gp = example(n=8, d=2, noise=5e-2, length=0.3)
    maxima = max_value_samples(gp, np.random.default_rng(0).random((200, 2)), 10, np.random.default_rng(1))
    Z = np.random.default_rng(2).random((20, 2))
    X, candidates = torch.from_numpy(Z)[:, None], torch.from_numpy(np.random.default_rng(3).random((50, 2)))
    mes, lower = np.exp(MES(gp, maxima).value(Z)), np.exp(GIBBON(gp, maxima).value(Z))
    torch.manual_seed(0)
    theirs = qMaxValueEntropy(gp.in_botorch(), candidates, num_y_samples=8192, use_gumbel=True)
    theirs.posterior_max_values = torch.from_numpy(maxima)[:, None]
    counts = mes > 0.02
    assert counts.sum() >= 5
    np.testing.assert_allclose(mes[counts], theirs(X).detach().numpy()[counts], rtol=0.03)
    theirs = qLowerBoundMaxValueEntropy(gp.in_botorch(), candidates)
    theirs.posterior_max_values = torch.from_numpy(maxima)[:, None]
    counts = lower > 1e-6
    np.testing.assert_allclose(lower[counts], theirs(X).detach().numpy()[counts], rtol=1e-6)


def test_a_constant_changes_nothing():
    gp = example(d=2, noise=1e-2)
    Z, maxima = np.random.default_rng(0).random((10, 2)), np.array([1.5, 2.0, 2.5])
    for acquisition in (MES, GIBBON):
        moved = acquisition(Shifted(gp, 3.0), maxima + 3.0).value(Z)
        np.testing.assert_allclose(moved, acquisition(gp, maxima).value(Z), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 1e-2])
def test_a_known_point_is_worth_nothing(noise):
    Z = np.array([[0.0, 0.0], [0.0, 1e-9], [1.0, 0.0]])
    for acquisition in (MES, GIBBON):
        values, grads = acquisition(Noisy(noise), np.array([1.1, 2.0])).value_and_grad(Z)
        assert np.exp(values).max() < 1e-15
        assert np.isfinite(values).all()
        assert np.isfinite(grads).all()


def test_known_data_without_noise_give_finite_numbers():
    rng = np.random.default_rng(5)
    gp = DenseGP(rng.random((8, 2)), rng.standard_normal(8), noise=0.0)
    Z = np.concatenate([gp.X, gp.X + 1e-13, np.full((1, 2), 40.0)])
    for acquisition in (MES, GIBBON):
        for value in acquisition(gp, np.array([gp.y.max(), -5.0, 3.0])).value_and_grad(Z):
            assert np.isfinite(value).all()


# -- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("acquisition", [MES, GIBBON])
@pytest.mark.parametrize("noise", [1e-1, 1e-3, 1e-6])
@pytest.mark.parametrize("d", [2, 6])
def test_gradients_equal_central_differences(acquisition, noise, d):
    gp = example(d=d, noise=1e-3)
    gp.noise = noise  # of one further measurement
    check_gradient(acquisition(gp, np.array([1.2, 1.9, 2.6, 9.0])), np.random.default_rng(6).random((15, d)))


@pytest.mark.parametrize("acquisition", [MES, GIBBON])
@pytest.mark.parametrize("noise", [0.0, 0.5, 1e6])
def test_slopes_in_mean_and_spread(acquisition, noise):
    Z = np.array([[0.0, 1.0], [1.0, 0.3], [-2.0, 0.1], [3.0, 0.5], [2.2, 0.05]])
    check_gradient(acquisition(Noisy(noise), np.array([1.0, 2.0])), Z, rtol=2e-5)


# -- sampled maxima --------------------------------------------------------------------------------


def test_sampled_maxima_are_those_of_joint_samples():
    gp = example(n=6, d=2, noise=1e-2, length=0.3)
    Z = np.random.default_rng(0).random((60, 2))
    maxima = max_value_samples(gp, Z, 20_000, np.random.default_rng(1))
    S = gp.cross(Z, Z) + 1e-10 * np.eye(60)
    other = np.random.default_rng(2).multivariate_normal(gp.mean_sd(Z)[0], S, 20_000).max(axis=1)
    np.testing.assert_allclose(np.quantile(maxima, [0.1, 0.5, 0.9]), np.quantile(other, [0.1, 0.5, 0.9]), atol=0.03)
    again = max_value_samples(gp, Z, 5, np.random.default_rng(1))
    np.testing.assert_array_equal(again, max_value_samples(gp, Z, 5, np.random.default_rng(1)))
    assert max_value_samples(gp, Z, 50, np.random.default_rng(1), least=2.5).min() >= 2.5 + 5 * math.sqrt(gp.noise)


def test_gumbel_maxima_have_the_quartiles_of_independent_values():
    Z = np.column_stack([np.linspace(-1.0, 1.0, 50), np.linspace(0.2, 0.8, 50)])
    maxima = max_value_samples(Fixed(), Z, 40_000, np.random.default_rng(1), gumbel=True)
    independent = (Z[:, 0] + Z[:, 1] * np.random.default_rng(2).standard_normal((40_000, 50))).max(axis=1)
    np.testing.assert_allclose(
        np.quantile(maxima, [0.25, 0.5, 0.75]), np.quantile(independent, [0.25, 0.5, 0.75]), atol=0.02
    )


def test_without_spread_the_maximum_is_the_largest_mean():
    Z = np.array([[0.3, 0.0], [0.7, 0.0]])

    class Certain(Fixed):
        def cross(self, Z, A):
            return np.zeros((len(Z), len(A)))

    for gumbel in (True, False):
        maxima = max_value_samples(Certain(), Z, 4, np.random.default_rng(0), gumbel=gumbel)
        np.testing.assert_allclose(maxima, 0.7, atol=1e-8)


@pytest.mark.parametrize("maxima", [np.empty(0), np.array([np.nan]), np.zeros((2, 1))])
def test_maxima_that_make_no_sense_are_refused(maxima):
    for acquisition in (MES, GIBBON):
        with pytest.raises(InvalidValueError, match="draw them with max_value_samples"):
            acquisition(Fixed(), maxima)
    with pytest.raises(InvalidValueError, match="n >= 1"):
        max_value_samples(Fixed(), np.empty((0, 2)), 3, np.random.default_rng(0))
