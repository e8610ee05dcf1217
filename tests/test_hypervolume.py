"""Expected hypervolume improvement and scalarised improvement, against quadrature, BoTorch, Monte Carlo and limits."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.monte_carlo import qExpectedHypervolumeImprovement
from botorch.exceptions.warnings import NumericsWarning
from botorch.models import ModelListGP
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from scipy.stats import norm
from test_acquisition_improvement import DenseGP

from workbench.acquisition import hypervolume_knowledge, several
from workbench.acquisition.base import LOG_ZERO
from workbench.acquisition.hypervolume import LogEHVI
from workbench.acquisition.hypervolume_knowledge import LogHVKG
from workbench.acquisition.improvement import LogEI, TargetEI
from workbench.acquisition.joint_entropy import JES, DrawnFront
from workbench.acquisition.marginals import Bent, Plain, Slabs, Targeted
from workbench.acquisition.outcomes import Outcomes, Source, contenders, outcomes
from workbench.acquisition.scalarised import Chebyshev, LogParEGO
from workbench.errors import InvalidValueError
from workbench.models.botorch import as_botorch
from workbench.models.exact import Data, ExactPosterior, Settings
from workbench.models.outcomes import Bend, Outcome
from workbench.pareto import free_boxes, hypervolume, non_dominated

D = 3


def slow(m):
    """A number of objectives that is left to the slow tests."""
    return pytest.param(m, marks=pytest.mark.slow)


def process(values, X, noise=1e-4):
    data = Data(X, values, np.full(len(X), noise), False, tuple(range(D)), ())
    settings = Settings("rbf", np.log([0.9, 1.1, 1.3, 1.0]))
    return data, settings, ExactPosterior.of(data, settings)


def record(m, n=14, noise=1e-4, seed=0):
    """n points, the posteriors of m objectives, and their data."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, D))
    angles = np.stack([np.cos(3 * X[:, j % D] + j) + 0.4 * X[:, (j + 1) % D] for j in range(m)], axis=1)
    Y = (angles - angles.mean(axis=0)) / angles.std(axis=0) + math.sqrt(noise) * rng.normal(size=(n, m))
    return X, Y, [process(Y[:, j], X, noise) for j in range(m)]


def fixed(mu, sd):
    """A posterior of given moments at every point."""

    def mean_sd_grad(Z):
        zero = np.zeros_like(Z)
        return np.full(len(Z), mu), np.full(len(Z), sd), zero, zero

    return SimpleNamespace(versions=1, mean_sd=lambda Z: mean_sd_grad(Z)[:2], mean_sd_grad=mean_sd_grad)


def exact_outcomes(posteriors, front, marginals=None):
    return Outcomes(tuple(posteriors), tuple(marginals or [Plain()] * len(posteriors)), np.asarray(front)[None])


def check_slope(function, Z, tolerance=2e-6):
    values, slopes = function.value_and_grad(Z)
    assert np.allclose(values, function.value(Z), rtol=1e-10, atol=1e-10)
    for k in range(Z.shape[1]):
        step = np.zeros(Z.shape[1])
        step[k] = 1e-5
        numeric = (function.value(Z + step) - function.value(Z - step)) / 2e-5
        assert np.allclose(slopes[:, k], numeric, rtol=1e-5, atol=tolerance * np.abs(slopes).max())


# -- slabs ---------------------------------------------------------------------------------------------


def integral(function, low, high, panels=400):
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = np.linspace(low, high, panels + 1)
    half = np.diff(edges) / 2
    t = (edges[1:] + edges[:-1])[:, None] / 2 + half[:, None] * nodes
    return float((function(t) * weights).sum(axis=1) @ half)


SKEWED = -np.random.default_rng(1).gamma(1.0, 1.0, 200)
MARGINALS = {
    "plain": (Plain(), 1e-10),
    "bilog": (Bent(Outcome.of(SKEWED, Bend("bilog", 0.1))), 1e-4),
    "power": (Bent(Outcome.of(SKEWED, Bend("power", 1.6))), 1e-3),
    "target": (Targeted(0.3, 0.1), 1e-6),
    "exact target": (Targeted(0.3, 0.0), 1e-6),
}


@pytest.mark.parametrize("kind", MARGINALS)
def test_slabs_are_integrals_of_the_probability_and_have_their_slopes(kind):
    """The integral over t of P(U > t); tolerances are those of the quadrature that the module states."""
    marginal, tolerance = MARGINALS[kind]
    rng = np.random.default_rng(5)
    for trial in range(60):
        mu, sd = 0.7 * rng.normal(), 10 ** rng.uniform(-2.5, -0.2)
        if kind.endswith("target"):
            low = -rng.exponential()
            high = min(0.0, low + 10 ** rng.uniform(-4, 0.5))
        else:
            low = float(marginal.worth(np.array(rng.normal())))
            high = low + 10 ** rng.uniform(-4, 0.7)
        args = np.array([[low]]), np.array([[high if trial % 4 else np.inf]])

        def at(mu, sd, args=args):
            return [float(np.ravel(v)[0]) for v in marginal.slab(np.array([[mu]]), np.array([sd]), *args)]

        def probability(t, mu=mu, sd=sd):
            return np.exp(marginal.exceeds(np.array(mu), np.array(sd), t)[0])

        top = args[1].item() if np.isfinite(args[1]).all() else float(marginal.hoped(np.array(mu), 9 * np.array(sd)))
        exact = integral(probability, low, max(low, top))
        log, along_mu, along_sd = at(mu, sd)
        if exact > 1e-12:
            assert math.exp(log) == pytest.approx(exact, rel=tolerance)
            step = 1e-5 * sd
            by_mu = (at(mu + step, sd)[0] - at(mu - step, sd)[0]) / (2 * step)
            by_sd = (at(mu, sd + step)[0] - at(mu, sd - step)[0]) / (2 * step)
            assert along_mu == pytest.approx(by_mu, abs=10 * tolerance / sd + 1e-5 / sd)
            assert along_sd == pytest.approx(by_sd, abs=30 * tolerance / sd + 1e-5 / sd)


@pytest.mark.parametrize("kind", MARGINALS)
@pytest.mark.parametrize("slopes", [True, False])
def test_many_slabs_are_those_one_by_one_though_they_share_their_ends(kind, slopes):
    """Two versions, five ends each: a slab between any two of them, or without an upper end."""
    marginal, rng = MARGINALS[kind][0], np.random.default_rng(6)
    mu, sd = 0.7 * rng.normal(size=(2, 4)), 10 ** rng.uniform(-2.5, -0.2, size=4)
    levels = np.sort(marginal.worth(rng.normal(size=(2, 5))), axis=1)
    if kind.endswith("target"):
        levels = -np.sort(rng.exponential(size=(2, 5)))[:, ::-1]
    pairs = [(v, levels[v, i], up) for v in (0, 1) for i in range(5) for up in (*levels[v, i + 1 :], np.inf)]
    version, low, high = (np.array(column) for column in zip(*pairs, strict=True))
    found = marginal.slabs(mu, sd, Slabs(version, low[:, None], high[:, None]), slopes=slopes)
    for i in range(len(version)):
        alone = marginal.slab(mu[version[i]][None], sd, low[i, None, None], high[i, None, None])
        assert np.allclose(found[0][i], alone[0][0], rtol=1e-12, atol=1e-300)
        for along, one in zip(found[1:] if slopes else (), alone[1:], strict=slopes):
            assert np.allclose(along[i], one[0], rtol=1e-12, atol=1e-300)


def test_probability_of_a_target_is_that_of_an_interval():
    marginal, t = Targeted(1.0, 0.2), np.array([-2.0, -0.3, -1e-3])
    reach = 0.2 - t
    exact = norm.cdf((1.0 + reach - 0.4) / 0.7) - norm.cdf((1.0 - reach - 0.4) / 0.7)
    assert np.allclose(np.exp(marginal.exceeds(np.array(0.4), np.array(0.7), t)[0]), exact, rtol=1e-12)
    assert marginal.exceeds(np.array(0.4), np.array(0.7), np.array([0.0]))[0][0] == LOG_ZERO


# -- expected hypervolume improvement ------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 3, slow(4)])
def test_is_that_of_botorch_with_the_same_processes(m):
    _X, Y, processes = record(m)
    reference = Y.min(axis=0) - 0.1
    ours = LogEHVI(exact_outcomes([p for _, _, p in processes], Y), reference)
    model = ModelListGP(*(as_botorch(data, settings) for data, settings, _ in processes))
    partitioning = FastNondominatedPartitioning(torch.from_numpy(reference), torch.from_numpy(Y))
    theirs = ExpectedHypervolumeImprovement(model, reference.tolist(), partitioning)
    Z = np.random.default_rng(1).random((64, D))
    values = theirs(torch.from_numpy(Z)[:, None]).detach().numpy()
    seen = values > 1e-6
    assert seen.sum() > 20
    # both subtract; theirs loses digits where the value is small
    assert np.allclose(np.exp(ours.value(Z))[seen], values[seen], rtol=1e-7)
    check_slope(ours, Z[:6])


def strips(mu, sd, front, reference):
    """Expected hypervolume improvement of two independent normal objectives, strip by strip, shape (b,).

    Over the strip between the first objectives a < b of two neighbours, with h the second one reached there, it is
    (EI_1(a) - EI_1(b)) EI_2(h).
    Source: Emmerich, Yang, Deutz, Wang, Fonseca 2016, A Multicriteria Generalization of Bayesian Global Optimization.
    """

    def ei(j, level):
        z = (mu[:, j] - level) / sd[:, j]
        return sd[:, j] * (z * norm.cdf(z) + norm.pdf(z))

    front = front[non_dominated(front)]
    front = front[np.argsort(front[:, 0])]
    edges = [reference[0], *front[:, 0]]
    heights = [*front[:, 1], reference[1]]
    below = [*(ei(0, edge) for edge in edges), 0.0]
    return sum((below[k] - below[k + 1]) * ei(1, h) for k, h in enumerate(heights))


def test_two_objectives_are_the_closed_form_of_strips():
    for seed in range(3):
        _X, Y, processes = record(2, seed=seed)
        posteriors = [p for _, _, p in processes]
        Z, reference = np.random.default_rng(seed).random((200, D)), Y.min(axis=0) - 0.1
        moments = [p.mean_sd(Z) for p in posteriors]
        exact = strips(*(np.stack([each[i] for each in moments], axis=1) for i in range(2)), Y, reference)
        seen = exact > 1e-6  # below, the closed form loses digits by its subtraction
        assert seen.sum() > 60
        ours = np.exp(LogEHVI(exact_outcomes(posteriors, Y), reference).value(Z))
        np.testing.assert_allclose(ours[seen], exact[seen], rtol=1e-10)


@pytest.mark.parametrize(
    ("samples", "within"), [(128, 0.05), (1024, 0.01), pytest.param(16384, 5e-4, marks=pytest.mark.slow)]
)
def test_is_close_to_monte_carlo_on_the_same_boxes(samples, within):
    """Sobol samples of qEHVI, where the exact value is above 0.1."""
    _X, Y, processes = record(2, seed=3)
    reference = Y.min(axis=0) - 0.1
    ours = LogEHVI(exact_outcomes([p for _, _, p in processes], Y), reference)
    model = ModelListGP(*(as_botorch(data, settings) for data, settings, _ in processes))
    boxes = FastNondominatedPartitioning(torch.from_numpy(reference), torch.from_numpy(Y))
    sampler = SobolQMCNormalSampler(torch.Size([samples]), seed=0)
    with pytest.warns(NumericsWarning):
        theirs = qExpectedHypervolumeImprovement(model, reference.tolist(), boxes, sampler=sampler)
    Z = np.random.default_rng(2).random((40, D))
    values = theirs(torch.from_numpy(Z)[:, None]).detach().numpy()
    seen = values > 0.1
    assert seen.sum() >= 3
    assert np.allclose(np.exp(ours.value(Z))[seen], values[seen], rtol=within)


def test_two_objectives_by_quadrature():
    front, reference = np.array([[1.0, 0.2], [0.5, 0.6], [-0.4, 0.9]]), np.array([-1.0, -0.5])
    mu, sd = (0.6, 0.55), (0.4, 0.25)
    ours = math.exp(LogEHVI(exact_outcomes([fixed(*p) for p in zip(mu, sd, strict=True)], front), reference).value(
        np.zeros((1, D))
    )[0])  # fmt: skip
    t = np.linspace(-6.0, 6.0, 1001)
    f1, f2 = mu[0] + sd[0] * t, mu[1] + sd[1] * t
    grid = np.stack(np.meshgrid(f1, f2, indexing="ij"), axis=-1).reshape(-1, 2)
    boxes = free_boxes(front, reference)
    gains = np.concatenate([boxes.gain(part) for part in np.array_split(grid, 64)]).reshape(len(t), len(t))
    weight = norm.pdf(t) * (t[1] - t[0])
    assert ours == pytest.approx(weight @ gains @ weight, rel=3e-5)


def test_a_certain_second_objective_leaves_a_sum_of_improvements_of_the_first():
    front, reference = np.array([[1.0, 0.2], [0.5, 0.6]]), np.zeros(2)
    posteriors = [fixed(0.7, 0.3), fixed(0.9, 1e-12)]
    value = LogEHVI(exact_outcomes(posteriors, front), reference).value(np.zeros((1, D)))[0]
    assert math.exp(value) == pytest.approx(0.31343203, abs=1e-8)
    empty = LogEHVI(exact_outcomes(posteriors, np.empty((0, 2))), reference).value(np.zeros((1, D)))[0]
    assert empty == pytest.approx(math.log(0.9) + LogEI(posteriors[0], 0.0).value(np.zeros((1, D)))[0], rel=1e-9)


def test_one_objective_is_expected_improvement_and_one_with_a_target_the_one_towards_it():
    _, Y, processes = record(1)
    Z, posterior = np.random.default_rng(4).random((20, D)), processes[0][2]
    best = float(Y.max())
    ours = LogEHVI(exact_outcomes([posterior], Y), Y.min(axis=0) - 1.0)
    assert np.allclose(ours.value(Z), LogEI(posterior, best).value(Z), atol=1e-9)
    target = Targeted(0.2, 0.05)
    worth = target.worth(Y)
    ours = LogEHVI(exact_outcomes([posterior], worth, [target]), worth.min(axis=0) - 1.0)
    assert np.allclose(ours.value(Z), TargetEI(posterior, 0.2, 0.05, float(worth.max())).value(Z), atol=1e-6)
    check_slope(ours, Z[:5], tolerance=1e-5)


def test_does_not_depend_on_dominated_points_or_on_order_and_keeps_a_slope_far_away():
    _X, Y, processes = record(3)
    posteriors = [p for _, _, p in processes]
    reference, Z = Y.min(axis=0) - 0.1, np.random.default_rng(6).random((10, D))
    plain = LogEHVI(exact_outcomes(posteriors, Y), reference)
    more = LogEHVI(exact_outcomes(posteriors, np.vstack([Y[::-1], Y - 0.5])), reference)
    assert np.allclose(plain.value(Z), more.value(Z), atol=1e-12)
    far = LogEHVI(exact_outcomes(posteriors, np.vstack([Y, [[40.0] * 3]])), reference)
    values, slopes = far.value_and_grad(Z)
    assert (values < -500).all()
    assert np.isfinite(values).all()
    assert np.abs(slopes).max(axis=1).min() > 0
    with pytest.raises(InvalidValueError, match="finite reference"):
        LogEHVI(exact_outcomes(posteriors, Y), np.array([0.0, np.nan, 0.0]))


# -- noise and trials in flight ------------------------------------------------------------------------


def noisy(m=2, n=12, versions=16, flying=0, feasible=None, seed=0):
    X, Y, processes = record(m, n, noise=0.2, seed=seed)
    sources = [Source(p, Plain(), None) for _, _, p in processes]
    rng = np.random.default_rng(seed)
    P = np.random.default_rng(9).random((flying, D))
    return X, Y, processes, outcomes(sources, X, P, feasible, rng, versions)


@pytest.mark.slow
def test_noise_is_averaged_over_versions_as_botorch_does():
    """Both average over 256 draws of the values at the trials, theirs over one value of the candidate in each, too."""
    X, Y, processes, known = noisy(versions=256)
    reference = Y.min(axis=0) - 0.1
    ours = LogEHVI(known, reference)
    model = ModelListGP(*(as_botorch(data, settings) for data, settings, _ in processes))
    sampler = SobolQMCNormalSampler(torch.Size([256]), seed=1)
    theirs = qLogNoisyExpectedHypervolumeImprovement(
        model, reference.tolist(), torch.from_numpy(X), sampler=sampler, cache_root=False, tau_relu=1e-8, tau_max=1e-4
    )
    Z = np.random.default_rng(3).random((12, D))
    values = np.exp(theirs(torch.from_numpy(Z)[:, None]).detach().numpy())
    seen = values > 0.05
    assert seen.sum() >= 3
    ratio = np.exp(ours.value(Z))[seen] / values[seen]
    assert np.abs(np.log(ratio)).max() < 0.3  # one value of the candidate in each of 256 draws
    assert abs(np.log(ratio).mean()) < 0.1


def test_few_versions_say_what_many_say_and_the_slope_is_right():
    many, few = noisy(versions=256), noisy(versions=16)
    reference = many[1].min(axis=0) - 0.1
    Z = np.random.default_rng(3).random((30, D))
    a, b = (LogEHVI(known[3], reference).value(Z) for known in (many, few))
    assert np.corrcoef(np.exp(a), np.exp(b))[0, 1] > 0.97
    check_slope(LogEHVI(few[3], reference), Z[:5])


def test_a_trial_in_flight_makes_its_neighbourhood_worth_less():
    X, Y, processes = record(2)
    sources = [Source(p, Plain(), Y[:, j]) for j, (_, _, p) in enumerate(processes)]
    reference, rng = Y.min(axis=0) - 0.1, np.random.default_rng(0)
    Z = rng.random((200, D))
    before = LogEHVI(outcomes(sources, X, Z[:0], None, rng), reference).value(Z)
    top = Z[[before.argmax()]]
    after = LogEHVI(outcomes(sources, X, top, None, rng), reference)
    assert after.value(top)[0] < before.max() - 3
    assert after.value(Z).max() < before.max()
    check_slope(after, Z[:4])


def test_a_trial_in_flight_that_a_limit_shuts_out_does_not_count():
    never = noisy(flying=2, feasible=lambda P: np.zeros(len(P)))[3]
    half = noisy(flying=2, feasible=lambda P: np.full(len(P), 0.5))[3]
    always = noisy(flying=2, feasible=lambda P: np.ones(len(P)))[3]
    shut = [np.isnan(known.known[:, -2:]).all(axis=2).mean() for known in (never, half, always)]
    assert shut == pytest.approx([1.0, 0.5, 0.0], abs=1 / 16)


def test_contenders_are_those_that_may_add_to_the_front():
    X, _Y, processes = record(2, noise=0.05)
    sources = [Source(p, Plain(), None) for _, _, p in processes]
    means = np.stack([p.mean_sd(X)[0] for _, _, p in processes], axis=1)
    sds = np.stack([p.mean_sd(X)[1] for _, _, p in processes], axis=1)
    boxes = free_boxes(means, means.min(axis=0) - 0.1)
    rows = contenders(sources, X, boxes.gain, 64, 2.0)
    for i in range(len(X)):
        beaten = (means >= means[i] + 2.0 * sds[i]).all(axis=1).any()
        assert (i in rows) == (not beaten)
    assert len(contenders(sources, X, boxes.gain, 3, 2.0)) == 3


@pytest.mark.parametrize("m", [2, 3, 4, 5])
def test_volumes_of_many_sets_at_once_are_those_of_moocore_and_their_slopes_differences(m):
    """Points behind the reference, copies and equal coordinates among them; slopes where the order is strict."""
    rng = np.random.default_rng(m)
    U = rng.normal(size=(60, 7, m))
    U[:10, 3] = U[:10, 4]
    U[10:20, :, -1] = 0.5
    reference = np.full(m, -0.8)
    volumes, slopes = hypervolume_knowledge._volumes(U, reference, True)
    assert np.allclose(volumes, [hypervolume(one, reference) for one in U], rtol=1e-12, atol=1e-12)
    assert np.allclose(hypervolume_knowledge._volumes(U, reference, False)[0], volumes, rtol=1e-12, atol=1e-12)
    step, strict = 1e-6, range(20, 30)
    for s in strict:
        for i in range(7):
            for j in range(m):
                up, down = U[s].copy(), U[s].copy()
                up[i, j], down[i, j] = up[i, j] + step, down[i, j] - step
                slope = (hypervolume(up, reference) - hypervolume(down, reference)) / (2 * step)
                assert slopes[s, i, j] == pytest.approx(slope, abs=2e-8)  # rounding: 1e-15 of about 10 over 1e-6
    assert np.abs(slopes[20:30]).max() > 0.1


# -- scalarised ----------------------------------------------------------------------------------------


def parego(outcomes, weights, nadir, ideal):
    return LogParEGO(outcomes, Chebyshev.of(weights, nadir, ideal), nadir)


@pytest.mark.parametrize("m", [2, slow(3), slow(6)])
def test_scalarised_improvement_is_that_of_many_draws(m):
    _X, Y, processes = record(m)
    known = exact_outcomes([p for _, _, p in processes], Y)
    weights = np.random.default_rng(m).dirichlet(np.ones(m))
    ours = parego(known, weights, Y.min(axis=0), Y.max(axis=0))
    Z = np.random.default_rng(0).random((30, D))
    draws = 20_000
    rng = np.random.default_rng(1)
    U = np.stack([mu[0] + sd * rng.normal(size=(draws, 30)) for mu, sd in known.mean_sd(Z)], axis=-1)
    way = Chebyshev.of(weights, Y.min(axis=0), Y.max(axis=0))
    gains = np.maximum(way(U) - way(Y).max(), 0.0)
    mean, error = gains.mean(axis=0), gains.std(axis=0) / math.sqrt(draws)
    assert (np.abs(np.exp(ours.value(Z)) - mean) <= 5 * error + 1e-6).all()
    assert (mean > 20 * error).any()
    check_slope(ours, Z[:5], tolerance=1e-4)


def test_a_single_weight_is_expected_improvement_of_that_objective():
    _X, Y, processes = record(2)
    nadir, ideal = Y.min(axis=0), Y.max(axis=0)
    posterior = processes[0][2]
    certain = [posterior, fixed(1e4, 1e-9)]  # never the worst one
    ours = parego(exact_outcomes(certain, np.stack([Y[:, 0], np.full(len(Y), 1e4)], axis=1)), np.array([1.0, 0.0]),
                  nadir, ideal)  # fmt: skip
    Z = np.random.default_rng(0).random((20, D))
    expected = LogEI(posterior, float(Y[:, 0].max())).value(Z) - math.log(ideal[0] - nadir[0])
    assert np.allclose(ours.value(Z), expected, atol=2e-5)
    with pytest.raises(InvalidValueError, match="not all zero"):
        parego(exact_outcomes(certain, Y), np.zeros(2), nadir, ideal)


def test_scalarisation_of_bent_and_targeted_objectives_has_the_right_slope():
    _X, Y, processes = record(2)
    bent = Bent(Outcome.of(SKEWED, Bend("bilog", 0.1)))
    marginals = [bent, Targeted(0.1, 0.05)]
    U = np.stack([marginal.worth(Y[:, j]) for j, marginal in enumerate(marginals)], axis=1)
    known = exact_outcomes([p for _, _, p in processes], U, marginals)
    Z = np.random.default_rng(0).random((6, D))
    check_slope(parego(known, np.array([0.5, 0.5]), U.min(axis=0), U.max(axis=0)), Z, tolerance=1e-3)
    check_slope(LogEHVI(known, U.min(axis=0) - 0.1), Z, tolerance=1e-4)


# -- which of them -------------------------------------------------------------------------------------


def load(**changes):
    usual = {"m": 2, "n": 50, "q": 0, "exact": True, "boxes": 20, "side": 1.2e-7, "seconds": math.inf}
    return several.Load(**{**usual, "preferred": False, **changes})


@pytest.mark.parametrize(
    ("changes", "acquisition"),
    [
        ({}, "ehvi"),
        ({"exact": False}, "nehvi"),
        ({"q": 1}, "nehvi"),
        ({"preferred": True}, "parego"),
        ({"m": 6, "boxes": math.inf}, "parego"),
        ({"m": 4, "boxes": 5000}, "ehvi"),
        ({"m": 4, "boxes": 5000, "exact": False}, "parego"),
        ({"m": 4, "boxes": 5000, "seconds": 0.05}, "parego"),
    ],
)
def test_the_table_decides_by_objectives_noise_trials_in_flight_and_time(changes, acquisition):
    row = next(row for row in several.TABLE if row.applies(load(**changes)))
    assert row.acquisition == acquisition
    assert row.reason
    assert row.when


def test_fewer_versions_where_time_is_short_and_none_where_it_is_too_short():
    assert load(exact=False).versions == 16
    counts = [load(exact=False, boxes=boxes).versions for boxes in (800, 1500, 3000, 8000)]
    assert counts == [16, 8, 4, 0]
    assert load(boxes=several.MOST_BOXES * 20).versions == 0


def test_the_dense_posterior_of_the_other_tests_fits_the_protocol():
    gp = DenseGP(np.random.default_rng(0).random((6, D)), np.random.default_rng(1).normal(size=6))
    gp.versions = 1
    ours = LogEHVI(exact_outcomes([gp, gp], np.zeros((1, 2))), np.array([-1.0, -1.0]))
    check_slope(ours, np.random.default_rng(2).random((4, D)))


# -- the knowledge gradient of the hypervolume ---------------------------------------------------------------


def test_volumes_of_sets_are_hypervolumes_and_have_their_slopes():
    rng = np.random.default_rng(0)
    for m in (2, 3):
        U, reference = rng.normal(size=(12, 6, m)), np.full(m, -0.6)
        volumes, slopes = hypervolume_knowledge._volumes(U, reference, True)
        assert np.allclose(volumes, [hypervolume(one, reference) for one in U], rtol=1e-12)
        for i, j in np.ndindex(6, m):
            step = np.zeros((6, m))
            step[i, j] = 1e-7
            up, down = (hypervolume_knowledge._volumes(U + s * step, reference, False)[0] for s in (1, -1))
            assert np.allclose(slopes[:, i, j], (up - down) / 2e-7, atol=1e-6)


@pytest.mark.parametrize("m", [2, 3, slow(4)])
def test_knowledge_gradient_of_the_hypervolume_is_that_of_many_outcomes(m):
    X, Y, processes = record(m, noise=0.05)
    posteriors, A = [p for _, _, p in processes], X[:8]
    reference, Z = Y.min(axis=0) - 0.2, np.random.default_rng(2).random((12, D))
    ours = LogHVKG(posteriors, [Plain()] * m, A, reference)
    check_slope(ours, Z[ours.value(Z) > -8])  # of smaller gains differences see the rounding
    draws = np.random.default_rng(3).normal(size=(1000, m))
    compared = 0
    for z in Z[np.argsort(-ours.value(Z))[:4], None]:
        points = np.vstack([A, z])
        means = np.stack([p.mean_sd(points)[0] for p in posteriors], axis=1)
        slopes = np.stack(
            [p.cross(z, points)[0] / math.sqrt(p.cross(z, z)[0, 0] + p.noise) for p in posteriors], axis=1
        )
        # in mirrored pairs, in which what is linear in z cancels
        pairs = [sum(hypervolume(means + s * slopes * d, reference) for s in (1, -1)) / 2 for d in draws]
        gain, error = np.mean(pairs) - hypervolume(means, reference), np.std(pairs) / math.sqrt(len(draws))
        if gain > 8 * error:  # else there is nothing to compare with
            assert abs(math.exp(ours.value(z)[0]) - gain) < 4 * error + 0.05 * gain
            compared += 1
    assert compared >= 1


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_nodes_are_of_mean_zero_given_the_others_and_of_variance_one(m):
    every = np.ones(m, dtype=bool)
    z, weights = hypervolume_knowledge._nodes(every)
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ z**2 == pytest.approx(np.ones(m))
    assert weights @ np.abs(z) == pytest.approx(math.sqrt(2 / math.pi) * np.ones(m), rel=0.05)  # less by the strata
    for j in range(m):
        others = np.delete(z, j, axis=1)
        for one in np.unique(others, axis=0):
            assert weights @ (z[:, j] * (others == one).all(axis=1)) == pytest.approx(0.0, abs=1e-14)
        alone, shares = hypervolume_knowledge._nodes(np.arange(m) == j)
        assert np.allclose(np.delete(alone, j, axis=1), 0.0)
        assert shares @ alone[:, j] ** 2 == pytest.approx(1.0)


@pytest.mark.parametrize("m", [2, 3, slow(4)])
def test_a_measurement_of_one_objective_teaches_less_and_costs_less(m):
    X, Y, processes = record(m, noise=0.05)
    posteriors, A = [p for _, _, p in processes], X[:8]
    reference, Z = Y.min(axis=0) - 0.2, np.random.default_rng(2).random((12, D))

    def gain(measured, cost=1.0):
        return np.exp(LogHVKG(posteriors, [Plain()] * m, A, reference, np.array(measured), cost).value(Z))

    whole = gain([True] * m)
    assert whole.max() > 1e-6
    for j in range(m):
        alone = gain(np.arange(m) == j)
        assert (whole >= alone - 1e-12).all()  # convex along each z_j, whose mean is zero given the others
        assert np.allclose(gain(np.arange(m) == j, 4.0), alone / 4.0)
    with pytest.raises(InvalidValueError, match="cost above 0"):
        LogHVKG(posteriors, [Plain()] * m, A, reference, np.zeros(m, dtype=bool))


# -- information about the front -----------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, slow(3)])
def test_joint_entropy_is_that_of_the_variances_of_draws_that_the_front_dominates(m):
    _, _, processes = record(m, noise=0.01)
    posteriors, rng = [p for _, _, p in processes], np.random.default_rng(0)
    P, fronts = rng.random((40, D)), []
    for _ in range(2):
        f = np.stack([p.sample(P, rng.normal(size=(1, 40)))[0] for p in posteriors], axis=1)
        on = np.flatnonzero(non_dominated(f))
        fronts.append(DrawnFront(P[on], f[on]))
    ours, Z = JES(posteriors, fronts), rng.random((8, D))
    noise = np.array([p.noise for p in posteriors])
    sds = np.stack([p.mean_sd(Z)[1] for p in posteriors], axis=1)
    exact, seen = 0.5 * np.log(sds**2 + noise).sum(axis=1), np.ones(8, dtype=bool)
    for front in fronts:
        given = [p.condition(front.points, front.values[:, j][None], 1e-8).version(0) for j, p in enumerate(posteriors)]
        for i, z in enumerate(Z):
            U = np.stack(
                [p.mean_sd(z[None])[0] + p.mean_sd(z[None])[1] * rng.normal(size=20_000) for p in given], axis=1
            )
            below = np.any(np.all(U[:, None] <= front.values, axis=2), axis=1)
            seen[i] &= below.mean() > 0.2
            if seen[i]:
                exact[i] -= 0.5 * np.log(U[below].var(axis=0) + noise).sum() / 2
    values, slopes = ours.value_and_grad(Z)
    assert seen.sum() >= 4
    assert np.allclose(values[seen], exact[seen], atol=0.02 * m)  # sd of half a log variance: 1 / sqrt(2 x 4000)
    assert np.allclose(values, ours.value(Z), atol=1e-10)
    for k in range(D):
        step = np.eye(D)[k] * 1e-5
        numeric = (ours.value(Z + step) - ours.value(Z - step)) / 2e-5
        assert np.allclose(slopes[seen, k], numeric[seen], atol=2e-3 * np.abs(slopes).max())
    with pytest.raises(InvalidValueError, match="drawn fronts"):
        JES(posteriors, [])
