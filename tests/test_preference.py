"""Preference models against closed forms, quadrature, enumeration and finite differences."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit, log_expit
from scipy.stats import kendalltau, norm

from workbench.models import judgements
from workbench.models.judgements import Answer, Family, Hyper, Likelihood
from workbench.models.preference import (
    Columns,
    Evidence,
    PreferenceModel,
    Theta,
    covariance,
    fit,
    merged_answer,
    solved,
)

Array = NDArray[np.float64]
FAMILIES: tuple[Family, ...] = ("probit", "luce")


def duel(winner: int, loser: int, **more: Any) -> Answer:
    return Answer("compare", ((winner,), (loser,)), (winner, loser), **more)


def tensor(values: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def hyper(likelihood: Likelihood, ties: float = -1.0) -> Hyper:
    return Hyper(
        torch.full((len(likelihood.sizes),), ties, dtype=torch.float64),
        torch.zeros(likelihood.raters, dtype=torch.float64),
    )


def tutorial(seed: int, n: int = 50, m: int = 100, noise: float = 0.1) -> tuple[Array, list[Answer]]:
    """Comparisons of points of the unit cube by the utility sum sqrt(i) x_i, each seen with noise."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, 4))
    upper = np.triu_indices(n, 1)
    rows = rng.choice(len(upper[0]), m, replace=False)
    seen = [(utility(X[side[rows]]) + noise * rng.standard_normal(m)) for side in upper]
    return X, [
        duel(int(a), int(b)) if ya > yb else duel(int(b), int(a))
        for a, b, ya, yb in zip(upper[0][rows], upper[1][rows], *seen, strict=True)
    ]


def utility(X: Array) -> Array:
    return np.asarray(X @ np.sqrt(np.arange(1, X.shape[1] + 1)))


# -- likelihoods -----------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "u", "w"), [("probit", 0.357835, 0.256091), ("luce", 0.337416, 0.223566)])
def test_one_comparison_has_the_known_mode_and_curvature(family: Family, u: float, w: float) -> None:
    likelihood = Likelihood([duel(0, 1)], 2, family)
    found = solved(likelihood, torch.eye(2, dtype=torch.float64), hyper(likelihood))
    np.testing.assert_allclose(found.f, [u, -u], atol=1e-6)
    np.testing.assert_allclose(found.at.W, w * np.array([[1, -1], [-1, 1]]), atol=1e-6)
    np.testing.assert_allclose(found.a, found.f, atol=1e-9)  # K = I


def subset_probability(f: Array, chosen: tuple[int, ...], sizes: dict[int, float]) -> float:
    """Davidson's choice of several at once, by listing every subset."""

    def worth(subset: tuple[int, ...]) -> float:
        return math.exp(sizes[len(subset)] + f[list(subset)].mean())

    subsets = [s for size in sizes for s in itertools.combinations(range(len(f)), size)]
    return worth(chosen) / sum(worth(s) for s in subsets)


def test_plackett_luce_with_ties_and_the_worst_by_enumeration() -> None:
    f = np.array([0.3, -0.8, 1.1, 0.2])
    answers = [
        Answer("rank", ((2,), (0,), (3,), (1,)), (0, 1, 2, 3)),
        Answer("rank", ((2, 0), (1, 3)), (0, 1, 2, 3)),
        Answer("best", ((0,),), (0, 1, 3)),
        Answer("worst", ((1,),), (1, 2, 3)),
        Answer("none_acceptable", (), (0, 1)),
    ]
    likelihood = Likelihood(answers, 4, "luce")
    value = likelihood(tensor([*f, -0.4]), hyper(likelihood, -0.7)).value
    sizes = {1: 0.0, 2: -0.7}

    def log(items: list[float], chosen: tuple[int, ...]) -> float:
        return math.log(
            subset_probability(np.array(items), chosen, {s: v for s, v in sizes.items() if s <= len(items)})
        )

    expected = log([f[2], f[0], f[3], f[1]], (0,)) + log([f[0], f[3], f[1]], (0,)) + log([f[3], f[1]], (0,))
    expected += log([f[2], f[0], f[1], f[3]], (0, 1)) + log([f[1], f[3]], (0, 1))
    expected += log([f[0], f[1], f[3]], (0,)) + log([-f[1], -f[2], -f[3]], (0,)) + log([-0.4, f[0], f[1]], (0,))
    assert float(value) == pytest.approx(expected, abs=1e-12)


def test_probabilities_of_all_answers_sum_to_one() -> None:
    f = tensor([0.4, -0.3, 0.9])
    orders = [Answer("rank", tuple((i,) for i in order), (0, 1, 2)) for order in itertools.permutations(range(3))]
    total = sum(math.exp(float(Likelihood([a], 3)(f, hyper(Likelihood([a], 3))).value)) for a in orders)
    assert total == pytest.approx(1.0, abs=1e-12)
    for family in FAMILIES:
        three = [duel(0, 1), duel(1, 0), Answer("rank", ((0, 1),), (0, 1))]
        whole = Likelihood(three, 2, family)  # ties are possible
        parts = [float(part) for part in _each(whole, tensor([0.4, -0.3]))]
        assert sum(map(math.exp, parts)) == pytest.approx(1.0, abs=1e-12)


def _each(likelihood: Likelihood, f: torch.Tensor) -> list[torch.Tensor]:
    return [part for block in likelihood._blocks for part in block.terms(f[block.items], hyper(likelihood).ties).value]


def test_plackett_luce_of_two_is_the_logit_model() -> None:
    likelihood = Likelihood([duel(0, 1)], 2, "luce")
    for gap in (-3.0, 0.2, 40.0):
        assert float(likelihood(tensor([gap, 0.0]), hyper(likelihood)).value) == pytest.approx(
            log_expit(gap), abs=1e-12
        )


def everything(family: Family) -> tuple[Likelihood, torch.Tensor, Hyper]:
    """Answers of every kind, by two raters, some of them doubted."""
    answers = [
        Answer("rank", ((2,), (0, 3), (1,)), (0, 1, 2, 3), 0, 0.8), duel(1, 4, rater=1), duel(4, 0, confidence=0.6),
        Answer("worst", ((3,),), (1, 3, 4), 1), Answer("partial", ((0, 1), (1, 3)), (0, 1, 2, 3), 1, 0.9),
        Answer("none_acceptable", (), (0, 2)), Answer("rank", ((1, 4),), (1, 4)),
        Answer("best", ((0,), (4,)), (0, 1, 2, 3, 4), 0, 0.7), Answer("cannot_tell", (), (0, 1)),
    ]  # fmt: skip
    likelihood = Likelihood(answers, 5, family)
    f = tensor(np.random.default_rng(0).standard_normal(6))
    return likelihood, f, Hyper(tensor([-0.5] * len(likelihood.sizes)), tensor([0.2, -0.4]))


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_and_hessian_of_every_kind_of_answer_by_differentiation(family: Family) -> None:
    likelihood, f, at = everything(family)
    local = likelihood(f, at)
    slope = torch.autograd.functional.jacobian(lambda g: likelihood(g, at).value, f)
    hessian = torch.autograd.functional.jacobian(lambda g: likelihood(g, at).slope, f)
    torch.testing.assert_close(local.slope, slope, atol=1e-10, rtol=0)
    torch.testing.assert_close(local.H, -hessian, atol=1e-10, rtol=0)
    assert torch.linalg.eigvalsh(local.W).min() > -1e-12


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_are_the_same_one_by_one(family: Family) -> None:
    likelihood, f, at = everything(family)
    many = torch.stack([f, 2 * f, -f])
    both = likelihood(many, Hyper(at.ties.expand(3, -1), at.precisions.expand(3, -1)))
    for i, one in enumerate(many):
        alone = likelihood(one, at)
        for part, whole in zip(alone, both, strict=True):
            torch.testing.assert_close(whole[i], part, atol=1e-12, rtol=0)


def test_a_doubted_answer_is_right_with_its_probability() -> None:
    likelihood = Likelihood([duel(0, 1, confidence=0.8)], 2, "luce")
    p = expit(0.7)
    value = float(likelihood(tensor([0.7, 0.0]), hyper(likelihood)).value)
    assert value == pytest.approx(math.log(0.8 * p + 0.2 * (1 - p)), abs=1e-12)
    wrong = Likelihood([duel(0, 1, confidence=0.1)], 2, "luce")(tensor([0.7, 0.0]), hyper(likelihood))
    assert wrong.slope[0] < 0
    coin = Likelihood([duel(0, 1, confidence=0.5)], 2, "luce")(tensor([0.7, 0.0]), hyper(likelihood))
    np.testing.assert_allclose(coin.slope, 0.0, atol=1e-12)


def test_doubted_orders_of_three_share_what_is_left_among_the_other_orders() -> None:
    """c of the model's probability and (1 - c) / 5 of each other order's: over all six, plain and doubted, 1."""
    f, c = tensor([0.4, -0.3, 0.9]), 0.7
    orders = [tuple((i,) for i in order) for order in itertools.permutations(range(3))]
    plain, doubted = (
        [math.exp(float(Likelihood([Answer("rank", order, (0, 1, 2), 0, sure)], 3, "luce")(
            f, Hyper(tensor([]), tensor([0.0]))
        ).value)) for order in orders]
        for sure in (1.0, c)
    )  # fmt: skip
    np.testing.assert_allclose(doubted, [c * p + (1 - c) / 5 * (1 - p) for p in plain], atol=1e-12)
    assert sum(doubted) == pytest.approx(1.0, abs=1e-12)


def test_sums_by_selection_are_the_sums_by_index() -> None:
    values, places = tensor(np.random.default_rng(0).standard_normal((2, 6))), torch.tensor([0, 3, 3, 1, 0, 3])
    chosen = torch.nn.functional.one_hot(places, 4).to(values.dtype)
    torch.testing.assert_close(judgements._spread(values, places, 4), values @ chosen)


def test_ties_too_large_to_list_say_less_and_nothing_else() -> None:
    group = tuple(range(14))
    likelihood = Likelihood([Answer("rank", (group[:7], group[7:]), group)], 14, "luce")
    assert likelihood.sizes == (7,)  # of the last seven, which are all that is left
    f = tensor(np.zeros(14))
    slope = likelihood(f, hyper(likelihood)).slope
    assert (slope[:7] > 0).all()
    assert (slope[7:] < 0).all()


# -- Laplace ---------------------------------------------------------------------------------


def batch_problem(family: Family) -> tuple[Evidence, Array]:
    X = np.random.default_rng(1).random((5, 2))
    likelihood_answers = [
        Answer("rank", ((2,), (0, 3), (1,)), (0, 1, 2, 3), 0, 0.8), duel(1, 4, rater=1), duel(4, 0, confidence=0.9),
        Answer("worst", ((3,),), (1, 3, 4), 1), Answer("none_acceptable", (), (0, 2)),
    ]  # fmt: skip
    evidence = Evidence(X, likelihood_answers, Columns((0, 1)), family, ["kim", "ann"])
    return evidence, evidence.vector(None) + np.random.default_rng(2).normal(0, 0.3, len(evidence.start))


@pytest.mark.parametrize("family", FAMILIES)
def test_gradient_of_the_evidence_by_finite_differences(family: Family) -> None:
    evidence, theta = batch_problem(family)
    at = torch.tensor(theta, requires_grad=True)
    (slope,) = torch.autograd.grad(evidence(at), at)
    step = 1e-5
    moved = np.array([theta + sign * step * e for e in np.eye(len(theta)) for sign in (1, -1)])
    values = evidence(tensor(moved)).reshape(-1, 2)  # a batch of hyperparameters
    np.testing.assert_allclose(slope, (values[:, 0] - values[:, 1]) / (2 * step), atol=1e-4)
    torch.testing.assert_close(values[0, 0], evidence(tensor(moved[0])), atol=1e-9, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_evidence_of_one_comparison_by_quadrature(family: Family) -> None:
    """With little prior variance Laplace is exact; the integral over the difference is one-dimensional."""
    evidence = Evidence(np.array([[0.0], [50.0]]), [duel(0, 1)], Columns((0,)), family)
    theta = evidence.vector(None)
    theta[-1] = math.log(0.05)
    theta[0] = math.log(0.1)
    d = np.linspace(-3, 3, 20001)
    p = norm.cdf(d / math.sqrt(2)) if family == "probit" else expit(d)
    exact = math.log(np.trapezoid(p * norm.pdf(d, scale=math.sqrt(0.1)), d))
    prior = float(evidence(tensor(theta))) - exact
    plain = Evidence(np.array([[0.0], [50.0]]), [Answer("skip", (), (0, 1))], Columns((0,)), family)
    assert prior == pytest.approx(float(plain(tensor(theta))), abs=2e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_swapping_winners_and_losers_negates_the_mean(family: Family) -> None:
    X, answers = tutorial(0, 12, 20)
    swapped = [Answer("compare", a.groups[::-1], a.shown) for a in answers]
    Z = np.random.default_rng(3).random((20, 4))
    one, other = (fit(X, said, family=family, search=False) for said in (answers, swapped))
    np.testing.assert_allclose(one.mean_sd(Z)[0], -other.mean_sd(Z)[0], atol=1e-8)
    np.testing.assert_allclose(one.mean_sd(Z)[1], other.mean_sd(Z)[1], atol=1e-8)


def test_a_point_given_twice_is_one() -> None:
    X, answers = tutorial(0, 12, 20)
    twice = np.vstack([X, X[:1]])
    moved = [Answer(a.kind, tuple(tuple(12 if i == 0 else i for i in g) for g in a.groups), a.shown) for a in answers]
    Z = np.random.default_rng(3).random((20, 4))
    np.testing.assert_allclose(fit(twice, moved).mean_sd(Z)[0], fit(X, answers).mean_sd(Z)[0], atol=1e-6)
    place = np.array([0, 1, 0])
    assert merged_answer(Answer("rank", ((0,), (2,), (1,)), (0, 1, 2)), place).groups == ((0,), (1,))
    assert merged_answer(Answer("partial", ((0, 2),), (0, 1, 2)), place).kind == "cannot_tell"


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_that_go_round_are_survived(family: Family) -> None:
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(0.75)]])  # equidistant
    model = fit(X, [duel(0, 1), duel(1, 2), duel(2, 0)], family=family)
    mean, sd = model.mean_sd(X)
    np.testing.assert_allclose(mean, mean.mean(), atol=1e-3)
    assert np.isfinite(sd).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_posterior_of_three_points_by_a_grid(family: Family) -> None:
    """Laplace against the moments of the exact posterior, on a grid; little prior variance makes it nearly normal."""
    X = np.array([[0.0], [0.4], [1.0]])
    answers = [Answer("rank", ((0,), (1,), (2,)), (0, 1, 2)), duel(0, 2)]
    evidence = Evidence(X, answers, Columns((0,)), family)
    theta = evidence.vector(Theta((math.log(0.5), math.log(0.3)), {}, {}))
    model = PreferenceModel(evidence, theta)
    K = evidence.prior_covariance(tensor(theta)).numpy()
    axis = np.linspace(-2.6, 2.6, 61)
    F = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    log = -0.5 * np.einsum("ij,jk,ik->i", F, np.linalg.inv(K), F)
    log += evidence.likelihood(tensor(F), evidence.hyper(tensor(theta))).value.numpy()
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    mean, sd = model.mean_sd(X)
    exact = weights @ F
    np.testing.assert_allclose(mean, exact, atol=0.03)
    np.testing.assert_allclose(sd, np.sqrt(weights @ (F - exact) ** 2), atol=0.03)
    won = model.win_probability(X[:1], X[2:])[0]
    link = norm.cdf(F / math.sqrt(2)) if family == "probit" else None
    d = F[:, 0] - F[:, 2]
    assert won == pytest.approx(weights @ (norm.cdf(d / math.sqrt(2)) if link is not None else expit(d)), abs=0.01)


def test_the_kernel_is_that_of_the_other_processes() -> None:
    rng = np.random.default_rng(0)
    Z = np.hstack([rng.random((6, 2)), rng.integers(0, 3, (6, 1)), rng.random((6, 3))])
    columns = Columns((0, 1), (2,), (slice(3, 6),))
    evidence = Evidence(Z, [duel(0, 1)], columns)
    model = PreferenceModel(evidence, evidence.vector(None) + 0.3)
    expected = model.kernel.between(Z, Z)[0]
    found = covariance(tensor(Z), tensor(Z), model._kernel, columns)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_moments_their_gradients_and_cross_covariances() -> None:
    X, answers = tutorial(0, 12, 20)
    model = fit(X, answers)
    Z, A = np.random.default_rng(4).random((5, 4)), X[:3]
    mean, sd, dmean, dsd = model.mean_sd_grad(Z)
    step = 1e-6
    for j in range(4):
        up, down = (model.mean_sd(Z + s * step * np.eye(4)[j]) for s in (1, -1))
        np.testing.assert_allclose(dmean[:, j], (up[0] - down[0]) / (2 * step), atol=1e-5)
        np.testing.assert_allclose(dsd[:, j], (up[1] - down[1]) / (2 * step), atol=1e-5)
        over = (model.cross(Z + step * np.eye(4)[j], A) - model.cross(Z - step * np.eye(4)[j], A)) / (2 * step)
        np.testing.assert_allclose(model.cross_grad(Z, A)[:, :, j], over, atol=1e-5)
    joint_mean, S = model.joint(tensor(Z))
    np.testing.assert_allclose(joint_mean, mean, atol=1e-12)
    np.testing.assert_allclose(np.sqrt(np.diag(S)), sd, atol=1e-8)


def test_none_acceptable_bounds_utility_and_is_no_tie() -> None:
    X = np.array([[0.1], [0.5], [0.9]])
    said = [duel(0, 1), Answer("none_acceptable", (), (1, 2))]
    model = fit(X, said, search=False)
    without = fit(X, said[:1], search=False)
    acceptable = model.acceptable(X)
    assert acceptable is not None
    assert without.acceptable(X) is None
    assert (acceptable[1:] < 0.4).all()
    assert acceptable[0] > acceptable[1]
    assert (model.mean_sd(X)[0][1:] < without.mean_sd(X)[0][1:]).all()


def test_an_unreliable_rater_counts_less() -> None:
    rng = np.random.default_rng(0)
    X = rng.random((20, 1))
    answers = []
    for _ in range(120):
        a, b = (int(i) for i in rng.choice(20, 2, replace=False))
        better, worse = (a, b) if X[a] > X[b] else (b, a)
        answers.append(duel(better, worse))
        if rng.random() < 0.45:
            better, worse = worse, better
        answers.append(duel(better, worse, rater=1))
    model = fit(X, answers, raters=["good", "poor"])
    assert model.raters["good"] > 3 * model.raters["poor"]
    assert kendalltau(model.mean_sd(X)[0], X[:, 0])[0] > 0.85


def test_the_favourite_is_a_probability_over_the_points() -> None:
    X, answers = tutorial(0, 12, 30)
    model = fit(X, answers)
    shares = model.favourite(X[:2])
    mean, S = model.joint(tensor(X[:2]))
    gap, sd = mean[0] - mean[1], math.sqrt(S[0, 0] + S[1, 1] - 2 * S[0, 1])
    assert shares.sum() == pytest.approx(1.0)
    assert shares[0] == pytest.approx(norm.cdf(float(gap) / sd), abs=0.01)
    np.testing.assert_array_equal(shares, model.favourite(X[:2]))


def test_hyperparameters_go_through_a_record_and_are_the_same_again() -> None:
    X, answers = tutorial(0, 15, 30)
    one, two = fit(X, answers), fit(X, answers)
    assert one.theta == two.theta
    again = Theta.from_json(one.theta.to_json())
    kept = fit(X, answers, warm=again, search=False)
    assert kept.theta == one.theta
    np.testing.assert_array_equal(kept.f, one.f)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_tutorial_is_learnt_as_well_as_published(family: Family) -> None:
    """Kendall's tau at least 0.86 on average; one published run of BoTorch's tutorial has 0.8885."""
    Z = np.random.default_rng(99).random((1000, 4))
    taus = []
    for seed in range(5):
        X, answers = tutorial(seed)
        taus.append(kendalltau(fit(X, answers, family=family).mean_sd(Z)[0], utility(Z))[0])
    assert np.mean(taus) >= 0.86


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_win_probabilities_are_calibrated_where_utilities_are_those_of_a_process(family: Family) -> None:
    """Of 4,000 duels foreseen in 40 studies as many are won as was said, to 3 % on average over tenths."""
    foreseen, happened = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X, pairs = rng.random((25, 2)), rng.random((2, 100, 2))
        evidence = Evidence(X, [], Columns((0, 1)), family)
        Z = tensor(np.vstack([X, *pairs]))
        values, vectors = torch.linalg.eigh(covariance(Z, Z, tensor(evidence.start), evidence.columns))
        f = (vectors @ (values.clamp_min(0.0).sqrt() * tensor(rng.standard_normal(len(Z))))).numpy()

        def wins(gap: Array) -> Array:
            return np.asarray(norm.cdf(gap / math.sqrt(2)) if family == "probit" else expit(gap))

        answers = []
        for _ in range(60):
            a, b = (int(i) for i in rng.choice(25, 2, replace=False))
            answers.append(duel(a, b) if rng.random() < wins(f[a] - f[b]) else duel(b, a))
        foreseen.append(fit(X, answers, family=family).win_probability(*pairs))
        happened.append(wins(f[25:125] - f[125:]))
    p, won = np.concatenate(foreseen), np.concatenate(happened)
    tenth = np.minimum((10 * p).astype(int), 9)
    off = [(tenth == i).mean() * abs(p[tenth == i].mean() - won[tenth == i].mean()) for i in range(10)]
    assert sum(off) < 0.03
    assert np.mean(np.abs(p - 0.5)) > 0.2  # and something is said


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same() -> None:
    X, answers = tutorial(0, 20, 40)
    here, there = (fit(X, answers, device=device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(here.mean_sd(X)[0], there.mean_sd(X)[0], atol=1e-6)
