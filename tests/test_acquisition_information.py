"""Information about the front or the maximum, in points (PES) and jointly with values (JES): against integrals of one
condition, rejection of draws, exact enumeration on finite sets, BoTorch, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition.predictive_entropy_search import qPredictiveEntropySearch
from scipy import integrate
from scipy.stats import norm, truncnorm
from test_hypervolume import D, check_slope, record

from workbench.acquisition.combined import Logarithm
from workbench.acquisition.entropy import MES
from workbench.acquisition.joint_entropy import JES, DrawnFront
from workbench.acquisition.predictive_entropy import PES, _not_dominating
from workbench.errors import InvalidValueError
from workbench.models.botorch import as_botorch

NOBODY = np.empty((0, D))


def posteriors(m, n=8, noise=0.1, seed=0):
    return [posterior for _, _, posterior in record(m, n, noise, seed)[2]]


def joint(found, A, n, rng):
    """Draws of all objectives at points A, shape (n, k, m)."""
    jitter = 1e-12 * np.eye(len(A))
    return np.stack(
        [rng.multivariate_normal(p.mean_sd(A)[0], p.cross(A, A) + jitter, n, method="cholesky") for p in found], axis=2
    )


def optimal(f):
    """Which points of each draw (n, k, m) no other dominates, shape (n, k)."""
    return ~np.all(f[:, :, None] > f[:, None], axis=3).any(axis=1)


def given_not_dominating(mu, v, j):
    """Mean and variance of the difference j given that not all are positive, by quadrature."""
    sd = np.sqrt(v)
    others = np.delete(norm.cdf(mu / sd), j).prod()
    density = [lambda d, k=k: d**k * norm.pdf(d, mu[j], sd[j]) for k in range(3)]
    ends = mu[j] - 12 * sd[j], mu[j] + 12 * sd[j]
    below = [integrate.quad(one, ends[0], 0.0, epsabs=1e-13)[0] for one in density]
    above = [integrate.quad(one, 0.0, ends[1], epsabs=1e-13)[0] for one in density]
    whole, first, second = (b + (1.0 - others) * a for b, a in zip(below, above, strict=True))
    return first / whole, second / whole - (first / whole) ** 2


@pytest.mark.parametrize("mu", [[0.4], [-2.0], [0.3, -0.2], [1.5, 1.0], [3.0, 2.5, 1.0]])
def test_moments_of_one_condition_are_integrals(mu):
    mu = np.array(mu)
    v = np.array([0.7, 1.4, 0.3])[: len(mu)]
    means, variances = _not_dominating(mu[None], v[None])
    for j in range(len(mu)):
        assert (means[0, j], variances[0, j]) == pytest.approx(given_not_dominating(mu, v, j), rel=1e-7)


def test_conditions_without_doubt_leave_finite_moments():
    mu = np.array([[50.0, 60.0], [-50.0, 1.0], [9.0, 9.0]])
    means, variances = _not_dominating(mu, np.ones((3, 2)))
    assert np.isfinite(means).all()
    assert (variances > 0).all()
    assert (means[1], variances[1]) == (pytest.approx([-50.0, 1.0]), pytest.approx([1.0, 1.0]))


@pytest.mark.parametrize("m", [1, 2, 3])
def test_one_optimal_point_gives_exactly_the_variance_of_what_does_not_dominate_it(m):
    """With one condition the sites are exact: Var f(x) = S_xx - S_xd^2 / S_dd (1 - Var[d | condition] / S_dd)."""
    found, rng = posteriors(m), np.random.default_rng(3)
    star, Z = rng.random((1, D)), rng.random((6, D))
    values = PES(found, [star], NOBODY).value(Z)
    for i, z in enumerate(Z):
        A, expected = np.stack([z, star[0]]), 0.0
        mu = np.array([p.mean_sd(A)[0] for p in found])
        S = np.array([p.cross(A, A) for p in found])
        v = S[:, 0, 0] + S[:, 1, 1] - 2 * S[:, 0, 1]
        for j, p in enumerate(found):
            left = given_not_dominating(mu[:, 0] - mu[:, 1], v, j)[1]
            after = S[j, 0, 0] - (S[j, 0, 0] - S[j, 0, 1]) ** 2 / v[j] * (1 - left / v[j])
            expected += 0.5 * np.log((S[j, 0, 0] + p.noise) / (after + p.noise))
        assert values[i] == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("m", "noise"), [(1, 0.3), (2, 0.01), pytest.param(2, 0.3, marks=pytest.mark.slow)])
def test_given_several_conditions_variances_are_those_of_accepted_draws(m, noise):
    """Of the optima that are drawn most: propagation is exact to a few hundredths of a nat, the draws' part of that to
    0.016 a nat and objective (2,000 draws: 1 / sqrt(2 x 2000))."""
    found, rng = posteriors(m, noise=noise), np.random.default_rng(0)
    A = rng.random((7, D))
    f = joint(found, A, 100_000, rng)
    on, noises = optimal(f), np.array([p.noise for p in found])
    patterns, counts = np.unique(on, axis=0, return_counts=True)
    often = patterns[(counts > 2_000) & (counts < 80_000)][:3]
    assert len(often) >= 2
    for pattern in often:
        front, rest = np.flatnonzero(pattern), np.flatnonzero(~pattern)
        accepted = f[on[:, front].all(axis=1)]
        for x in rest:
            exact = 0.5 * np.log((f[:, x].var(axis=0) + noises) / (accepted[:, x].var(axis=0) + noises)).sum()
            value = PES(found, [A[front]], A[rest[rest != x]]).value(A[[x]])[0]
            assert value == pytest.approx(exact, abs=0.05)


def information(f, x, noise, rng, seen=200):
    """I(y_x; which points are optimal) in nats on a finite set: weights of draws given y, no approximation but theirs.

    Its bias is about the sets over twice the draws that count for one y, 0.005 here.
    """
    _, of = np.unique(optimal(f) @ (2 ** np.arange(f.shape[1])), return_inverse=True)
    sets = np.eye(of.max() + 1)[of]  # (n, sets)
    y = f[:seen, x] + np.sqrt(noise) * rng.normal(size=(seen, f.shape[2]))
    w = np.exp(-0.5 * ((y[:, None] - f[:, x]) ** 2).sum(axis=2) / noise)
    p = w @ sets / w.sum(axis=1, keepdims=True)
    return float((p * np.log(np.maximum(p, 1e-300) / sets.mean(axis=0))).sum(axis=1).mean())


@pytest.mark.parametrize(
    ("m", "seed"), [(2, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((2, 0), (3, 1)))]
)
def test_orders_candidates_as_the_exact_information_does_and_never_exceeds_it(m, seed):
    """On seven points; part of the front's information is in which points are beaten, which conditions leave out."""
    found, rng = posteriors(m, noise=0.1, seed=seed), np.random.default_rng(0)
    A = rng.random((7, D))
    f = joint(found, A, 6_000, rng)
    exact = np.array([information(f, x, 0.1, rng) for x in range(7)])
    drawn = optimal(f[:60])
    values = PES(found, [A[on] for on in drawn], NOBODY).value(A)
    assert (values <= exact + 0.005).all()
    assert (values >= 0.2 * exact - 0.01).all()
    assert np.corrcoef(values, exact)[0, 1] > 0.9
    assert exact[values.argmax()] > 0.8 * exact.max()


def test_knowing_more_of_the_optimum_is_worth_more():
    """Data processing (verification case 10): points with values tell at least as much as either alone."""
    found, rng = posteriors(1, noise=0.1, seed=1), np.random.default_rng(0)
    A = rng.random((40, D))
    f = joint(found, A, 64, rng)
    best = f[:, :, 0].argmax(axis=1)
    both = JES(found, [DrawnFront(A[[i]], one[[i]]) for i, one in zip(best, f, strict=True)]).value(A)
    where = PES(found, [A[[i]] for i in best], NOBODY).value(A)
    how_good = np.exp(MES(found[0], f[:, :, 0].max(axis=1)).value(A))
    assert (both >= np.maximum(where, how_good) - 0.01).all()
    assert (where >= -1e-9).all()
    assert where.max() > 0.005


def test_of_one_objective_joint_entropy_is_that_of_truncated_normals():
    [found], rng = posteriors(1, noise=0.05), np.random.default_rng(0)
    A, Z = rng.random((60, D)), rng.random((25, D))
    f = joint([found], A, 6, rng)
    best, expected = f[:, :, 0].argmax(axis=1), np.zeros(25)
    for i, one in zip(best, f, strict=True):
        given = found.condition(A[[i]], one[[i]].T, 1e-8).version(0)
        mu, sd = given.mean_sd(Z)
        left = truncnorm.var(-np.inf, (one[i, 0] - mu) / sd) * sd**2
        expected += 0.5 * np.log((found.mean_sd(Z)[1] ** 2 + found.noise) / (left + found.noise)) / len(f)
    fronts = [DrawnFront(A[[i]], one[[i]]) for i, one in zip(best, f, strict=True)]
    np.testing.assert_allclose(JES([found], fronts).value(Z), expected, atol=1e-6)


def test_one_objective_goes_with_botorch_for_the_same_optima():
    """BoTorch holds more points against the optima, and takes its sites in another order: of a kind, not the same."""
    X, _, [(data, settings, posterior)] = record(1, 8, 0.05)
    rng = np.random.default_rng(0)
    A, Z = rng.random((60, D)), rng.random((25, D))
    at = joint([posterior], A, 12, rng)[:, :, 0].argmax(axis=1)
    torch.manual_seed(0)
    theirs = qPredictiveEntropySearch(as_botorch(data, settings), torch.from_numpy(A[at]), threshold=1e-4)
    expected = theirs(torch.from_numpy(Z)[:, None]).detach().numpy()
    found = PES([posterior], [A[[i]] for i in at], X).value(Z)
    assert np.corrcoef(found, expected)[0, 1] > 0.85


def test_slopes_and_fronts_of_different_lengths():
    found, rng = posteriors(2, noise=0.01), np.random.default_rng(1)
    A, Z = rng.random((6, D)), rng.random((5, D))
    ours = PES(found, [A[:4], A[4:5]], A[5:])
    check_slope(ours, Z)
    apart = [PES(found, [front], A[5:]).value(Z) for front in (A[:4], A[4:5])]
    np.testing.assert_allclose(ours.value(Z), np.mean(apart, axis=0), atol=1e-4)  # sweeps end together
    with pytest.raises(InvalidValueError, match="drawn fronts"):
        PES(found, [], NOBODY)


class Gain:
    """A gain that is its point."""

    def value(self, Z):
        return Z[:, 0].copy()

    def value_and_grad(self, Z):
        return Z[:, 0].copy(), np.ones_like(Z)


def test_a_gain_without_a_logarithm_keeps_its_order_and_slope():
    gains = np.array([[-0.1], [0.0], [1e-7], [1e-6], [1e-3], [0.5]])
    values, slopes = Logarithm(Gain()).value_and_grad(gains)
    assert (np.diff(values) > 0).all()
    assert values[4:] == pytest.approx(np.log([1e-3, 0.5]))
    assert slopes[:, 0] == pytest.approx([1e6, 1e6, 1e6, 1e6, 1e3, 2.0])
