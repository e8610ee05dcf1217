"""Acquisition functions for questions against closed forms, Monte Carlo and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from workbench.acquisition.preference import (
    OfJoint,
    draw_utility,
    eubo,
    expected_best,
    expected_best_of_two,
    information,
    informative,
    knowledge,
    knowledge_gradient,
)
from workbench.models.judgements import Answer, Family
from workbench.models.preference import Columns, PreferenceModel, fit, normal_draws

Array = NDArray[np.float64]
FAMILIES: tuple[Family, ...] = ("probit", "luce")


def tensor(values: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def learnt(family: Family = "luce") -> PreferenceModel:
    rng = np.random.default_rng(0)
    X = rng.random((10, 2))
    order = np.argsort(-X.sum(axis=1))
    answers = [Answer("rank", tuple((int(i),) for i in order[j : j + 3]), tuple(order[j : j + 3])) for j in (0, 3, 6)]
    return fit(X, answers, family=family, search=False)


def link(d: Array, family: Family) -> Array:
    return np.asarray(norm.cdf(d / math.sqrt(2)) if family == "probit" else expit(d))


@pytest.mark.parametrize(("rho", "value"), [(0.0, 0.5641896), (0.5, 0.3989423), (1.0, 0.0)])
def test_expected_best_of_two_has_the_known_values(rho: float, value: float) -> None:
    S = tensor([[1, rho], [rho, 1]]).requires_grad_()
    mean = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    found = expected_best_of_two(mean, S)
    found.backward()
    assert float(found.detach()) == pytest.approx(value, abs=1e-6)
    assert mean.grad is not None
    assert torch.isfinite(mean.grad).all()


def test_expected_best_against_monte_carlo() -> None:
    rng = np.random.default_rng(1)
    n = 10**6
    for k in (2, 4):
        R = rng.standard_normal((k, k)) / math.sqrt(k)
        S, mean = R @ R.T, rng.standard_normal(k) * 0.5
        scale = 1.0 / max(1.0, float(np.diag(S).max()))
        S *= scale  # variances at most 1
        draws = mean + rng.standard_normal((n, k)) @ np.linalg.cholesky(S + 1e-12 * np.eye(k)).T
        found = float(expected_best(tensor(mean), tensor(S), normal_draws(k - 1, 4096, 0)))
        assert found == pytest.approx(draws.max(axis=1).mean(), abs=0.003)


def test_one_more_that_is_certain_adds_nothing() -> None:
    S = tensor([[1e-14, 0.0, 0.0], [0.0, 1.0, 0.3], [0.0, 0.3, 1.0]])
    two = expected_best_of_two(tensor([0.2, 0.1]), S[1:, 1:])
    three = expected_best(tensor([-40.0, 0.2, 0.1]), S, normal_draws(2, 1 << 14, 0))
    assert float(three) == pytest.approx(float(two), abs=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_information_by_numerical_integration(family: Family) -> None:
    mean, S = np.array([0.4, -0.2]), np.array([[1.3, 0.4], [0.4, 0.8]])
    sd = math.sqrt(S[0, 0] + S[1, 1] - 2 * S[0, 1])
    d = np.linspace(0.6 - 10 * sd, 0.6 + 10 * sd, 200_001)
    w = norm.pdf(d, 0.6, sd)
    p = np.clip(link(d, family), 1e-300, 1 - 1e-16)

    def entropy(q: Array) -> Array:
        return np.asarray(-(q * np.log(q) + (1 - q) * np.log1p(-q)))

    exact = entropy(np.array(np.trapezoid(w * p, d))) - np.trapezoid(w * entropy(p), d)
    found = float(information(tensor(mean), tensor(S), family))
    assert found == pytest.approx(float(exact), abs=1e-6)
    assert float(information(tensor(mean), tensor(np.zeros((2, 2))), family)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_knowledge_gradient_of_a_fantasised_comparison_by_monte_carlo(family: Family) -> None:
    """Draw utilities, let a judge answer, and average the utilities that lead to each answer."""
    rng = np.random.default_rng(2)
    R = rng.standard_normal((5, 5))
    S, mean = R @ R.T / 2, np.array([0.1, 0.3, 0.0, -0.2, 0.25])
    n = 400_000
    f = mean + rng.standard_normal((n, 5)) @ np.linalg.cholesky(S).T
    won = rng.random(n) < link(f[:, 0] - f[:, 1], family)
    expected = won.mean() * f[won].mean(axis=0).max() + (1 - won.mean()) * f[~won].mean(axis=0).max() - mean.max()
    found = float(knowledge(tensor(mean), tensor(S), family))
    assert found == pytest.approx(expected, abs=5 * math.sqrt(S.diagonal().max() / n) + 0.002)
    assert found > 0.1
    nothing = knowledge(tensor(mean), tensor(np.ones((5, 5))), family)  # all move together
    assert float(nothing) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_knowledge_gradient_against_the_exact_posterior_of_utilities(family: Family) -> None:
    """Laplace and Stein's lemma against weighted draws of the utilities themselves, before and after each answer."""
    model, rng = learnt(family), np.random.default_rng(4)
    evidence, n, draws = model._evidence, len(model.X), 60_000
    found, exact = [], []
    for _ in range(8):
        S = rng.random((5, 2))
        found.append(float(knowledge_gradient(model, S[1], S[2:]).value(S[:1])[0]))
        Z = torch.cat([model.X, tensor(S)])
        mean, C = model.joint(Z)
        L = torch.linalg.cholesky(1.3 * C + 1e-8 * torch.eye(len(Z))).numpy()  # a wider proposal
        e = rng.standard_normal((draws, len(Z)))
        F = mean.numpy() + e @ L.T
        prior = torch.linalg.cholesky(model.covariance(Z, Z) + 1e-8 * model.scale * torch.eye(len(Z))).numpy()
        log = evidence.likelihood(tensor(F[:, :n]), evidence.hyper(model._vector)).value.numpy()
        log += 0.5 * ((e**2).sum(1) - (np.linalg.solve(prior, F.T) ** 2).sum(0))
        w = np.exp(log - log.max())
        w /= w.sum()
        assert 1.0 / (w**2).sum() > 0.3 * draws
        p, f = link(F[:, n] - F[:, n + 1], family), F[:, n:]
        exact.append(((w * p) @ f).max() + ((w * (1.0 - p)) @ f).max() - (w @ f).max())
    np.testing.assert_allclose(found, exact, atol=0.15)  # utilities have a standard deviation of 2
    assert np.corrcoef(found, exact)[0, 1] > 0.95


def test_values_and_slopes_for_the_search_by_finite_differences() -> None:
    model = learnt()
    rng = np.random.default_rng(3)
    Z, A = rng.random((4, 2)), rng.random((3, 2))
    functions: list[OfJoint] = [
        eubo(model, A[:0]), eubo(model, A[:1]), eubo(model, A), informative(model, A[:2]),
        knowledge_gradient(model, A[0], A[1:]), knowledge_gradient(learnt("probit"), A[0], A[1:]),
    ]  # fmt: skip
    for function in functions:
        values, slopes = function.value_and_grad(Z)
        np.testing.assert_allclose(values, function.value(Z), atol=1e-10)
        for j in range(2):
            e = 1e-5 * np.eye(2)[j]
            over = (function.value(Z + e) - function.value(Z - e)) / 2e-5
            np.testing.assert_allclose(slopes[:, j], over, atol=1e-4)
    np.testing.assert_allclose(functions[0].value(Z), model.mean_sd(Z)[0], atol=1e-10)


def test_drawn_utilities_have_the_moments_of_the_posterior() -> None:
    X = np.array([[0.1], [0.5], [0.9]])
    model = fit(X, [Answer("rank", ((0,), (1,), (2,)), (0, 1, 2)), Answer("none_acceptable", (), (2,))], search=False)
    Z = np.array([[0.2], [0.7]])
    rng = np.random.default_rng(0)
    n = 400
    draws = np.array([draw_utility(model, rng).value(Z) for _ in range(n)])
    mean, sd = model.mean_sd(Z)
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean), 4.5 * sd / math.sqrt(n))
    np.testing.assert_allclose(draws.std(axis=0), sd, rtol=4.5 / math.sqrt(2 * n) + 0.02)
    correlation = model.cross(Z[:1], Z[1:])[0, 0] / sd.prod()
    assert np.corrcoef(draws.T)[0, 1] == pytest.approx(correlation, abs=4.5 / math.sqrt(n))
    one = draw_utility(model, np.random.default_rng(1))
    over = (one.value(Z + 1e-6) - one.value(Z - 1e-6)) / 2e-6
    np.testing.assert_allclose(one.value_and_grad(Z)[1][:, 0], over, atol=1e-4)


def test_choices_have_no_slope() -> None:
    X = np.array([[0.1, 0.0], [0.8, 1.0], [0.5, 0.0]])
    model = fit(X, [Answer("rank", ((0,), (1,), (2,)), (0, 1, 2))], Columns((0,), (1,)), search=False)
    _, slopes = eubo(model, X[:1]).value_and_grad(np.array([[0.3, 1.0]]))
    assert slopes[0, 0] != 0
    assert slopes[0, 1] == 0
