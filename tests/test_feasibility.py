"""The process of failures: against brute force, finite differences, and what a label must mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_ndtr
from scipy.stats import multivariate_normal

from workbench.models.exact import Settings
from workbench.models.feasibility import SPREAD, Labels, Limit, Sites, failure, fit_failure, log_posterior


def labels(n=30, d=2, choices=0, seed=0):
    """A failure wherever the first number is large, and a little at random."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.random((n, d)), rng.integers(3, size=(n, choices))]).astype(np.float64)
    failed = X[:, 0] + 0.1 * rng.standard_normal(n) > 0.6
    return Labels(X, failed, tuple(range(d)), tuple(range(d, d + choices)))


def theta(d=2, choices=0, variance=20.0, mean=-0.7):
    return np.array([*np.log([0.5] * d), *np.log([1.0] * choices), np.log(variance), mean])


def success(known, settings, Z):
    return np.exp(Limit(failure(known, settings), upper=0.0, spread=SPREAD).log_probability(Z))


@pytest.mark.parametrize("choices", [0, 2])
@pytest.mark.parametrize("n", [2, 3, 30])
def test_the_slope_of_the_evidence(choices, n):
    known = labels(n=n, choices=choices, seed=1 if n > 2 else 4)
    at, h = theta(choices=choices), 1e-5
    _, slope = log_posterior(known, at)
    numeric = [
        (log_posterior(known, at + h * e)[0] - log_posterior(known, at - h * e)[0]) / (2 * h) for e in np.eye(at.size)
    ]
    np.testing.assert_allclose(slope, numeric, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("variance", "off"), [(1.0, 0.005), (100.0, 0.05)])
def test_evidence_and_chance_against_the_exact_integral(variance, off):
    """The exact evidence is an orthant probability of a normal, computed by integration in four dimensions.

    The approximation is worse where the labels cut a wide normal into halves: 0.033 observed.
    """
    known, at = labels(n=4, seed=2), theta(variance=variance)
    t, Z = known.signs, np.array([[0.2, 0.3], [0.75, 0.4]])
    kernel = known.kernel(at)
    points = np.concatenate([known.X, Z])
    K = kernel.between(points, points)[0] + SPREAD**2 * np.eye(6)

    def orthant(rows, signs):
        S = np.outer(signs, signs) * K[np.ix_(rows, rows)]
        return multivariate_normal(np.zeros(len(rows)), S, maxpts=200_000, abseps=1e-6, releps=1e-5, seed=0).cdf(
            signs * at[-1]
        )

    rows = np.arange(4)
    whole = orthant(rows, t)
    assert Sites.of(known, at).evidence == pytest.approx(np.log(whole), abs=off)
    exact = [orthant(np.append(rows, 4 + i), np.append(t, -1.0)) / whole for i in range(2)]
    np.testing.assert_allclose(success(known, Settings("matern52", at), Z), exact, atol=off)


def test_one_label_alone_is_exact():
    """For one label the first two moments are those of the tilted normal, known in closed form."""
    known, at = Labels(np.array([[0.5]]), np.array([True]), (0,), ()), np.array([np.log(0.3), np.log(4.0), -1.0])
    assert Sites.of(known, at).evidence == pytest.approx(float(log_ndtr(-1.0 / np.sqrt(5.0))), rel=1e-9)
    grid = np.linspace(-20, 20, 200_001)
    weight = np.exp(-0.125 * (grid + 1.0) ** 2 + log_ndtr(grid))
    mean = (grid * weight).sum() / weight.sum()
    sd = np.sqrt((grid**2 * weight).sum() / weight.sum() - mean**2)
    mu, spread = failure(known, Settings("matern52", at)).mean_sd(known.X)
    np.testing.assert_allclose([mu[0], spread[0]], [mean, sd], rtol=1e-6)


def test_failures_that_repeat_themselves_are_believed():
    X = np.array([[0.1], [0.3], *[[0.9]] * 6])
    known = Labels(X, X[:, 0] > 0.5, (0,), ())
    fitted = fit_failure(known, None, keep=False)
    chance = success(known, fitted, np.array([[0.1], [0.3], [0.9]]))
    assert chance[2] < 0.03
    assert (chance[:2] > 0.8).all()


def test_what_decides_is_found():
    known = labels(n=80, d=3)
    fitted = fit_failure(known, None, keep=False)
    lengths = np.exp(fitted.theta[:3])
    assert lengths[0] < 0.4 * lengths[1:].min()
    Z = np.random.default_rng(3).random((400, 3))
    right = (success(known, fitted, Z) < 0.5) == (Z[:, 0] > 0.6)
    assert right.mean() > 0.9  # the noise alone turns about 8 in 100 around near the edge


def test_a_chance_that_is_the_same_everywhere_is_that():
    rng = np.random.default_rng(0)
    known = Labels(rng.random((100, 2)), rng.random(100) < 0.3, (0, 1), ())
    chance = success(known, fit_failure(known, None, keep=False), rng.random((200, 2)))
    assert chance.mean() == pytest.approx(0.7, abs=3 * np.sqrt(0.21 / 100))
    assert np.median(np.abs(chance - 0.7)) < 0.2


def test_a_fit_begins_where_the_last_one_ended():
    known = labels()
    first = fit_failure(known, None, keep=False)
    assert fit_failure(known, first, keep=True) is first
    again = fit_failure(known, first, keep=False)
    assert log_posterior(known, again.theta)[0] >= log_posterior(known, first.theta)[0] - 1e-9
