"""Draws from the posterior: their moments, their gradients, and what they approximate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workbench.acquisition.base import joint_samples
from workbench.acquisition.thompson import draw, thompson_rows
from workbench.models.exact import NOISELESS, Data, ExactPosterior, Settings


def posterior(d=2, n=8, kind="matern52", noise=1e-2, choices=0, seed=0, scale=1.0):
    """A process of d ordered columns and columns of three choices, at fixed hyperparameters."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.random((n, d)), rng.integers(3, size=(n, choices))]).astype(np.float64)
    y = np.sin(4 * X[:, 0]) + X.sum(axis=1) - 1.0 if n else np.empty(0)
    data = Data(X, y, np.full(n, noise), False, tuple(range(d)), tuple(range(d, d + choices)))
    return ExactPosterior.of(data, Settings(kind, np.log([*[0.4] * d, *[1.0] * choices, scale])))


def points(n, d=2, choices=0, seed=1):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.random((n, d)), rng.integers(3, size=(n, choices))]).astype(np.float64)


@pytest.mark.parametrize("kind", ["rbf", "matern52"])
@pytest.mark.parametrize("choices", [0, 1])
def test_draws_have_the_moments_of_the_posterior(kind, choices):
    gp = posterior(kind=kind, choices=choices)
    Z = np.vstack([points(6, choices=choices), gp.X[:2]])
    rng, draws = np.random.default_rng(1), 2000
    found = np.stack([draw(gp, rng, [3] * choices).value(Z) for _ in range(draws)])
    mu, sd = gp.mean_sd(Z)
    assert (np.abs(found.mean(axis=0) - mu) < 4.5 * sd / math.sqrt(draws) + 1e-9).all()
    np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.1)  # 4.5 / sqrt(2 draws) = 0.07
    np.testing.assert_allclose(np.cov(found.T), gp.cross(Z, Z), atol=0.08)
    joint = joint_samples(gp, Z, 20_000, rng)
    np.testing.assert_allclose(joint.mean(axis=0), mu, atol=4.5 * sd.max() / math.sqrt(20_000))
    np.testing.assert_allclose(np.cov(joint.T), gp.cross(Z, Z), atol=0.02)


@pytest.mark.parametrize("kind", ["rbf", "matern52"])
@pytest.mark.parametrize("choices", [0, 2])
def test_a_draw_passes_through_noise_free_data_and_has_its_gradient(kind, choices):
    gp = posterior(d=3, kind=kind, noise=NOISELESS, choices=choices)
    function = draw(gp, np.random.default_rng(0), [3] * choices)
    mu, _ = gp.mean_sd(gp.X)
    np.testing.assert_allclose(function.value(gp.X), mu, atol=5 * math.sqrt(NOISELESS))
    Z, h = points(10, d=3, choices=choices), 1e-6
    values, slopes = function.value_and_grad(Z)
    np.testing.assert_allclose(values, function.value(Z), rtol=1e-12, atol=1e-12)
    for j in range(3):
        step = np.zeros(3 + choices)
        step[j] = h
        central = (function.value(Z + step) - function.value(Z - step)) / (2 * h)
        np.testing.assert_allclose(slopes[:, j], central, rtol=1e-5, atol=1e-6)
    assert (slopes[:, 3:] == 0.0).all()


def test_features_approximate_the_prior_covariance():
    gp = posterior(n=0, choices=1, scale=2.0)
    Z = np.array([[0.1, 0.2, 0], [0.3, 0.9, 0], [0.1, 0.2, 1], [0.5, 0.5, 2]])
    rng = np.random.default_rng(0)
    found = np.stack([draw(gp, rng, [3]).value(Z) for _ in range(3000)])
    np.testing.assert_allclose(np.cov(found.T), gp.kernel.between(Z, Z)[0], atol=4.5 * 2.0 * math.sqrt(2 / 3000))
    np.testing.assert_allclose(found.mean(axis=0), gp.mean, atol=4.5 * math.sqrt(2.0 / 3000))


def test_thompson_rows_pick_each_candidate_as_often_as_it_is_best():
    gp, Z = posterior(), points(5, seed=0)
    share = np.bincount(thompson_rows(gp, Z, 20_000, np.random.default_rng(1)), minlength=5) / 20_000
    other = np.random.default_rng(2).multivariate_normal(gp.mean_sd(Z)[0], gp.cross(Z, Z), 20_000).argmax(axis=1)
    np.testing.assert_allclose(share, np.bincount(other, minlength=5) / 20_000, atol=0.02)
    again = thompson_rows(gp, Z, 9, np.random.default_rng(1))
    np.testing.assert_array_equal(again, thompson_rows(gp, Z, 9, np.random.default_rng(1)))
