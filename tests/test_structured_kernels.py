"""Orders, selections and strings: their kernels against counting by hand, neighbours, the search, whole studies."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.optim import optimize_acqf_discrete
from numpy.typing import NDArray

import workbench as wb
from workbench.acquisition.improvement import UCB, LogEI
from workbench.acquisition.search import Region, Vicinity, maximize
from workbench.acquisition.search.climbing import Climbers
from workbench.acquisition.search.objective import Objective
from workbench.acquisition.search.points import screening_points
from workbench.acquisition.thompson import draw
from workbench.models.botorch import as_botorch
from workbench.models.embeddings import blocks, embedding
from workbench.models.exact import Data, ExactPosterior, Prior, Settings, factorise, log_posterior
from workbench.models.feasibility import Labels
from workbench.models.feasibility import log_posterior as failure_posterior
from workbench.models.fitting import fit
from workbench.models.gp import GaussianProcesses
from workbench.models.inputs import Inputs
from workbench.models.kernels import KINDS, Kernel, Kind
from workbench.models.surrogate import HEAVIEST, dimension, unmodelled
from workbench.samplers.bayesian import start_size
from workbench.space import Structure

Array = NDArray[np.float64]

ORDER, PICK, TEXT = wb.Permutation("p", 5), wb.Subset("s", 6, k=3), wb.Sequence("q", "ACG", 2, 4)
MANY, FIXED, FREE = wb.Subset("s", 18, k=2), wb.Sequence("q", "ACGT", 3, 3), wb.Sequence("q", ["x", "yy"], 0, 3)
EVERY = [ORDER, PICK, TEXT, MANY, FIXED, FREE]
NAMES = ["order", "pick", "text", "many", "fixed", "free"]
every = pytest.mark.parametrize("p", EVERY, ids=NAMES)


def enumerated(p: Structure) -> tuple[list[Any], Array]:
    values = list(p.values())
    return values, p.encode(values)


def squares(p: Structure, block: int) -> tuple[list[Any], Array]:
    """Squared distances of all pairs of values in one block, before it is scaled."""
    values, X = enumerated(p)
    F = blocks(p)[block].features(X).astype(np.float64)
    assert F.shape == (len(values), blocks(p)[block].width)
    return values, ((F[:, None] - F[None]) ** 2).sum(axis=2)


def matrix(values: list[Any], distance: Any) -> Array:
    return np.array([[distance(a, b) for b in values] for a in values], dtype=np.float64)


# -- what the distances are --------------------------------------------------------------------------


def discordant(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return sum(
        (a.index(i) - a.index(j)) * (b.index(i) - b.index(j)) < 0 for i, j in itertools.combinations(sorted(a), 2)
    )


def test_the_kernel_of_orders_is_that_of_mallows() -> None:
    """exp(-lambda * discordant pairs), by the whole way through the kernel."""
    values, X = enumerated(ORDER)
    space = wb.Space([ORDER])
    inputs = Inputs(space)
    Z = inputs.model_points(X)
    length = 0.7
    lengths = np.array([length, 1e9, 1e9, 1e9])
    K, _ = Kernel("rbf", (), (), lengths, np.empty(0), 1.0, tuple(inputs.blocks)).between(Z, Z)
    counts = matrix(values, discordant)
    rate = -math.log(K[0, 1]) / counts[0, 1]
    # a random pair is discordant half of the time: 5 squares in the mean, which the scale makes 1/6
    assert rate == pytest.approx(1 / 6 / 5 / (2 * length**2), rel=0.1)
    np.testing.assert_allclose(K, np.exp(-rate * counts), rtol=1e-9)


def legs(order: tuple[int, ...], directed: bool) -> set[Any]:
    pairs = itertools.pairwise(order)
    return set(pairs) if directed else {frozenset(pair) for pair in pairs}


def test_orders_differ_by_places_and_by_legs() -> None:
    values, places = squares(ORDER, 1)
    np.testing.assert_array_equal(
        places, 2 * matrix(values, lambda a, b: sum(x != y for x, y in zip(a, b, strict=True)))
    )
    for block, directed in ((2, True), (3, False)):
        _, found = squares(ORDER, block)
        np.testing.assert_array_equal(found, matrix(values, lambda a, b, d=directed: len(legs(a, d) ^ legs(b, d))))


def test_selections_differ_by_items() -> None:
    values, found = squares(MANY, 0)
    np.testing.assert_array_equal(found, matrix(values, lambda a, b: len(set(a) ^ set(b))))
    parts = [squares(PICK, i) for i in range(6)]
    total = sum(found for _, found in parts)
    np.testing.assert_array_equal(total, matrix(parts[0][0], lambda a, b: len(set(a) ^ set(b))))


def spectrum(a: str, b: str, n: int) -> int:
    first, second = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (a, b))
    return sum(count * second[gram] for gram, count in first.items())


def test_strings_differ_by_places_length_and_spectra() -> None:
    values, places = squares(TEXT, 0)
    padded = {text: text.ljust(4) for text in values}
    apart = matrix(values, lambda a, b: sum(x != y for x, y in zip(padded[a], padded[b], strict=True)))
    np.testing.assert_array_equal(places, 2 * apart)
    np.testing.assert_array_equal(squares(TEXT, 1)[1], matrix(values, lambda a, b: (len(a) - len(b)) ** 2))
    for n in (1, 2, 3):
        counted = matrix(values, lambda a, b, n=n: spectrum(a, a, n) + spectrum(b, b, n) - 2 * spectrum(a, b, n))
        np.testing.assert_array_equal(squares(TEXT, 1 + n)[1], counted)


def test_large_alphabets_have_no_grams_that_cannot_be_learnt() -> None:
    for letters, grams in ((4, 3), (10, 3), (11, 2), (32, 2), (33, 1), (1024, 1), (1025, 0)):
        assert len(blocks(wb.Sequence("q", list(range(letters)), 1, 5))) == 2 + grams
    assert len(blocks(wb.Sequence("q", "AB", 1, 2))) == 2 + 2  # three tokens never stand in a row


@every
def test_random_values_lie_a_sixth_apart_in_every_block(p: Structure) -> None:
    """As those of a unit column do: the mean over 4,000 pairs is right to 3 %, the scale comes from 256 draws: 15 %."""
    found, rng = embedding(p), np.random.default_rng(5)
    A, B = (found(p.from_uniform(rng.random((4000, p.draws)))) for _ in range(2))
    edges = np.cumsum([0, *(block.width for block in found.blocks)])
    for i, j in itertools.pairwise(edges):
        assert ((A[:, i:j] - B[:, i:j]) ** 2).sum(axis=1).mean() == pytest.approx(1 / 6, rel=0.15)
    np.testing.assert_allclose(A.mean(axis=0), found.neutral, atol=0.1)


def test_what_never_varies_has_no_lengthscale() -> None:
    assert len(embedding(FIXED).blocks) == len(blocks(FIXED)) - 1  # its length
    for p in (wb.Permutation("p", 1), wb.Subset("s", 4, k=0), wb.Subset("s", 4, k=4), wb.Sequence("q", "A", 2, 2)):
        assert embedding(p).blocks == ()
        assert embedding(p)(p.encode(list(p.values()))).shape == (1, 0)


@every
@pytest.mark.parametrize("kind", KINDS)
def test_covariances_of_all_values_are_positive_definite(p: Structure, kind: Kind) -> None:
    space = wb.Space([p])
    inputs, (_, X) = Inputs(space), enumerated(p)
    Z = inputs.model_points(X)
    assert len(np.unique(Z.round(12), axis=0)) == len(X)  # no two values are one point
    rng = np.random.default_rng(0)
    for _ in range(3):
        lengths = np.exp(rng.normal(-0.5, 1.0, size=len(inputs.blocks)))
        kernel = Kernel(kind, (), (), lengths, np.empty(0), 1.3, tuple(inputs.blocks))
        K, _ = kernel.between(Z, Z)
        np.testing.assert_allclose(K, K.T, atol=1e-12)
        np.testing.assert_allclose(K.diagonal(), 1.3, rtol=1e-6)
        assert np.linalg.eigvalsh(K).min() > -1e-9


@pytest.mark.parametrize("p", [ORDER, PICK, TEXT], ids=["order", "pick", "text"])
def test_names_of_items_do_not_matter(p: Structure) -> None:
    """A relabelling moves the points about and leaves all distances, block by block (items: as a multiset)."""
    values, X = enumerated(p)
    n = len(p.codes) if isinstance(p, wb.Permutation) else X.shape[1]
    relabelling = np.random.default_rng(1).permutation(3 if isinstance(p, wb.Sequence) else n)
    if isinstance(p, wb.Permutation):
        Y = relabelling[X.astype(int)].astype(float)
    elif isinstance(p, wb.Subset):
        Y = X[:, relabelling]
    else:
        Y = np.where(X >= 0, relabelling[X.astype(int)], -1.0)
    assert {y.tobytes() for y in Y} == {x.tobytes() for x in X}

    def distances(rows: Array) -> Array:
        found = [blocks(p)[i].features(rows).astype(float) for i in range(len(blocks(p)))]
        apart = np.array([((F[:, None] - F[None]) ** 2).sum(axis=2) for F in found])
        return np.sort(apart, axis=0) if isinstance(p, wb.Subset) else apart

    np.testing.assert_array_equal(distances(Y), distances(X))
    assert len(values) == len(X)


# -- model inputs ----------------------------------------------------------------------------------------


def conditional() -> wb.Space:
    return wb.Space(
        [
            wb.Categorical("k", ["none", "some"]),
            wb.Permutation("p", 4, when={"k": "some"}),
            wb.Sequence("q", "ACG", 1, 3),
            wb.Float("x", 0, 2),
        ]
    )


def test_a_value_that_does_not_exist_is_one_neutral_place() -> None:
    space = conditional()
    inputs = Inputs(space)
    point = {"k": "none", "q": "AC", "x": 0.5}
    X = space.encode([point, point, {**point, "k": "some", "p": (2, 0, 1, 3)}])
    X[1, space.slices["p"]] = [3.0, 1.0, 0.0, 2.0]  # whatever stands there
    Z = inputs.model_points(X)
    np.testing.assert_array_equal(Z[0], Z[1])
    there = inputs.model_points(space.encode([{**point, "k": "some", "p": v} for v in space["p"].values()]))
    first = len(embedding(space["p"]).blocks)
    for block in inputs.blocks[:first]:  # half as far from a random value as two random values are from each other
        gap = ((there[:, block] - Z[0, block]) ** 2).sum(axis=1).mean()
        assert gap == pytest.approx(1 / 12, rel=0.15)
    for block in inputs.blocks[first:]:
        np.testing.assert_array_equal(Z[2, block], Z[0, block])


def test_inputs_keep_ordinary_columns_where_they_are_and_slopes_out_of_the_others() -> None:
    space = conditional()
    inputs, X = Inputs(space), space.sobol(32, 1)
    Z = inputs.model_points(X)
    assert Z.shape == (32, inputs.width)
    assert (inputs.ordered, inputs.categorical) == ([8], [0])
    np.testing.assert_array_equal(Z[:, 8], X[:, 8])
    np.testing.assert_array_equal(Z[:, 1:8], 0.0)
    np.testing.assert_array_equal(inputs.from_encoded(X).numpy(), Z)
    slope = inputs.pull_back(X, np.ones(Z.shape))
    np.testing.assert_array_equal(slope, np.broadcast_to(np.arange(9) == 8, slope.shape))


def test_how_large_a_space_may_be() -> None:
    assert dimension(conditional()) == 1 + 4 + 5 + 1
    assert dimension(wb.Space([wb.Subset("s", 15, k=3)])) == 15
    assert dimension(wb.Space([wb.Subset("s", 16, k=3)])) == 1
    assert unmodelled(wb.Space([wb.Sequence("q", "ACGT", 1, 200), wb.Permutation("p", 40)])) == []
    reasons = unmodelled(wb.Space([wb.Permutation("p", 60)]))
    assert reasons == [f"its structured parameters have 10740 features, more than {HEAVIEST}"]
    assert "65 columns and blocks of features, more than 64" in unmodelled(wb.Space([wb.Vector("z", 65)]))[0]
    s = wb.create_study("s", wb.Space([wb.Permutation("p", 60)]), [wb.Objective("y")], sampler="gp")
    with pytest.raises(wb.UnsupportedError, match=r"10740 features.*'sobol'"):
        s.ask()
    s = wb.create_study("s", wb.Space([wb.Permutation("p", 9)]), [wb.Objective("y")])
    assert start_size(s.history()) == 10  # four lengthscales, however many items


# -- evidence and posterior ----------------------------------------------------------------------------------


def learnt(n: int = 25, *, infer: bool = False) -> tuple[wb.Space, Inputs, Data]:
    """A function of everything at random points of a space of all kinds, standardised."""
    space = wb.Space([ORDER, wb.Float("x", 0, 1), PICK, wb.Categorical("k", ["a", "b", "c"]), TEXT])
    inputs, X = Inputs(space), space.sobol(n, 3)
    rng = np.random.default_rng(0)
    y = X @ rng.normal(size=space.width) + np.sin(X).sum(axis=1)
    columns = inputs.columns
    return space, inputs, Data(inputs.model_points(X), (y - y.mean()) / y.std(), np.full(n, 1e-3), infer, *columns)


def somewhere(known: Data) -> Array:
    prior = Prior.of(known)
    return np.clip(prior.mode + 0.3 * np.random.default_rng(1).normal(size=prior.mean.size), prior.low, prior.high)


def dense(kernel: Kernel, A: Array, B: Array) -> Array:
    """The covariance by loops over the definition."""
    K = np.empty((len(A), len(B)))
    parts = [slice(o, o + 1) for o in kernel.ordered] + list(kernel.blocks)
    for (i, a), (j, b) in itertools.product(enumerate(A), enumerate(B)):
        r2 = sum(((a[at] - b[at]) ** 2).sum() / length**2 for at, length in zip(parts, kernel.lengths, strict=True))
        h = sum(v for c, v in zip(kernel.choices, kernel.weights, strict=True) if a[c] != b[c])
        s = math.sqrt(5 * r2)
        g = math.exp(-r2 / 2) if kernel.kind == "rbf" else (1 + s + s * s / 3) * math.exp(-s)
        K[i, j] = kernel.scale * g * math.exp(-h)
    return K


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("infer", [True, False])
def test_the_gradient_of_the_log_posterior(kind: Kind, infer: bool) -> None:
    _, inputs, known = learnt(infer=infer)
    prior, theta = Prior.of(known), somewhere(known)
    assert theta.size == 1 + len(inputs.blocks) + 1 + 1 + infer
    assert len(inputs.blocks) == 4 + 6 + 5
    _, slope = log_posterior(known, Settings(kind, theta), prior)

    def value(at: Array) -> float:
        return log_posterior(known, Settings(kind, at), prior)[0]

    numeric = [(value(theta + h) - value(theta - h)) / 2e-5 for h in 1e-5 * np.eye(theta.size)]
    assert np.abs(slope - numeric).max() <= 1e-6 * max(1.0, np.abs(slope).max())


@pytest.mark.parametrize("kind", KINDS)
def test_moments_and_slopes_are_those_of_dense_algebra(kind: Kind) -> None:
    space, inputs, known = learnt()
    settings = Settings(kind, somewhere(known))
    posterior, found = ExactPosterior.of(known, settings), factorise(known, settings)
    Z = inputs.model_points(space.sobol(6, 8))
    C, k = dense(found.kernel, known.X, known.X) + 1e-3 * np.eye(25), dense(found.kernel, Z, known.X)
    np.testing.assert_allclose(found.L @ found.L.T, C, atol=1e-12)
    S = dense(found.kernel, Z, Z) - k @ np.linalg.solve(C, k.T)
    mu, sd, dmu, dsd = posterior.mean_sd_grad(Z)
    np.testing.assert_allclose(mu, found.mean + k @ np.linalg.solve(C, known.y - found.mean), atol=1e-10)
    np.testing.assert_allclose(sd**2, np.diag(S), atol=1e-10)
    np.testing.assert_allclose(posterior.cross(Z, Z[:3]), S[:, :3], atol=1e-10)
    x, h = inputs.ordered[0], 1e-6
    step = h * (np.arange(Z.shape[1]) == x)
    up, down = posterior.mean_sd(Z + step), posterior.mean_sd(Z - step)
    np.testing.assert_allclose(dmu[:, x], (up[0] - down[0]) / (2 * h), atol=1e-6)
    np.testing.assert_allclose(dsd[:, x], (up[1] - down[1]) / (2 * h), atol=1e-6)
    slopes = posterior.cross_grad(Z, Z[:2])
    numeric = (posterior.cross(Z + step, Z[:2]) - posterior.cross(Z - step, Z[:2])) / (2 * h)
    np.testing.assert_allclose(slopes[:, :, x], numeric, atol=1e-6)
    assert np.flatnonzero(np.abs(slopes).sum(axis=(0, 1))).tolist() == [x]
    assert np.flatnonzero(np.abs(dmu).sum(axis=0)).tolist() == [x]


def test_the_lengthscales_tell_what_matters() -> None:
    """A linear ordering problem depends on the order, a trip on its legs; each is predicted by its own block."""
    p, rng = wb.Permutation("p", 7), np.random.default_rng(0)
    D = rng.random((7, 7))
    inputs = Inputs(wb.Space([p]))
    X = p.from_uniform(np.random.default_rng(1).random((320, p.draws)))
    orders = X.astype(int)
    trip = D[orders[:, :-1], orders[:, 1:]].sum(axis=1)
    places = np.argsort(orders, axis=1)
    linear = (D * (places[:, :, None] < places[:, None, :])).sum(axis=(1, 2))
    for y, block in ((linear, 0), (trip, 2)):
        z = (y - y[:120].mean()) / y[:120].std()
        Z = inputs.model_points(X)
        known = Data(Z[:120], z[:120], np.full(120, 1e-6), False, (), (), tuple(inputs.blocks))
        found = fit(known).settings
        assert int(found.theta[:4].argmin()) == block
        mu, _ = ExactPosterior.of(known, found).mean_sd(Z[120:])
        assert ((mu - z[120:]) ** 2).mean() < 0.05 * z[120:].var()  # both are linear in that block's 42 features


@pytest.mark.parametrize("kind", KINDS)
def test_the_bridge_to_botorch_carries_the_blocks(kind: Kind) -> None:
    space, inputs, known = learnt()
    settings = Settings(kind, somewhere(known))
    ours, theirs = ExactPosterior.of(known, settings), as_botorch(known, settings)
    choices = inputs.model_points(space.sobol(64, 5))
    with torch.no_grad():
        posterior = theirs.posterior(torch.from_numpy(choices))
    mu, sd = ours.mean_sd(choices)
    np.testing.assert_allclose(mu, posterior.mean.squeeze(-1).numpy(), atol=1e-8)
    np.testing.assert_allclose(sd**2, posterior.variance.squeeze(-1).numpy(), atol=1e-7)
    best = float(known.y.max())
    improvement = LogExpectedImprovement(theirs, best_f=best)
    point, _ = optimize_acqf_discrete(improvement, q=1, choices=torch.from_numpy(choices))
    np.testing.assert_allclose(point[0].numpy(), choices[LogEI(ours, best).value(choices).argmax()])


def test_drawn_functions_have_the_moments_of_the_posterior() -> None:
    """2,000 draws of 64 frequencies: the mean within 5 standard errors, covariances within 0.1 of the variance."""
    space, inputs, known = learnt(8)
    posterior = ExactPosterior.of(known, Settings("matern52", somewhere(known)))
    Z, rng = inputs.model_points(space.sobol(4, 8)), np.random.default_rng(0)
    draws = np.array([draw(posterior, rng, [3], 64).value(Z) for _ in range(2000)])
    mu, sd = posterior.mean_sd(Z)
    np.testing.assert_allclose(draws.mean(axis=0), mu, atol=5 * sd.max() / math.sqrt(2000))
    np.testing.assert_allclose(np.cov(draws.T), posterior.cross(Z, Z), atol=0.1 * sd.max() ** 2)
    one, x = draw(posterior, rng, [3]), inputs.ordered[0]
    step = 1e-6 * (np.arange(Z.shape[1]) == x)
    values, slopes = one.value_and_grad(Z)
    np.testing.assert_allclose(values, one.value(Z), atol=1e-10)
    np.testing.assert_allclose(slopes[:, x], (one.value(Z + step) - one.value(Z - step)) / 2e-6, atol=1e-6)
    assert np.flatnonzero(np.abs(slopes).sum(axis=0)).tolist() == [x]


def test_failures_of_structured_values_are_learnt() -> None:
    """Orders that begin with item 0 or 1 crash; after 40 trials 9 of 10 others are told apart."""
    p = wb.Permutation("p", 5)
    space = wb.Space([p])
    study = wb.create_study("s", space, [wb.Objective("y", noise="none")], seed=0)
    X = space.encode([{"p": v} for v in p.values()])[np.random.default_rng(0).permutation(120)]
    for x, point in zip(X[:40], space.decode(X[:40]), strict=True):
        study.enqueue(point)
        trial = study.ask()
        if x[0] < 2:
            study.tell(trial, state="failed", error="crash")
        else:
            study.tell(trial, float(x[4]))
    gp = GaussianProcesses.fit(study.history())
    probability = gp.feasibility(X[40:])
    assert ((probability > 0.5) == (X[40:, 0] >= 2)).mean() > 0.9
    labels = Labels(gp.inputs.model_points(X[:40]), X[:40, 0] < 2, *gp.inputs.columns)
    theta = labels.prior[0] + 0.2 * np.random.default_rng(1).normal(size=len(labels.prior[0]))
    _, slope = failure_posterior(labels, theta)
    numeric = [
        (failure_posterior(labels, theta + h)[0] - failure_posterior(labels, theta - h)[0]) / 2e-4
        for h in 1e-4 * np.eye(len(theta))
    ]
    np.testing.assert_allclose(slope, numeric, atol=1e-3)


# -- neighbours ------------------------------------------------------------------------------------------------


@every
def test_neighbours_exist_differ_and_lead_everywhere(p: Structure) -> None:
    values, X = enumerated(p)
    rng, index = np.random.default_rng(0), {x.tobytes(): i for i, x in enumerate(X)}
    seen, queue = {0}, [0]
    while queue:
        here = queue.pop()
        N = p.neighbours(X[here], rng, 10**6)
        numbers = [index[row.tobytes()] for row in N]  # each is one of the values, encoded
        assert len(set(numbers)) == len(numbers)
        assert here not in numbers
        some = p.neighbours(X[here], rng, 5)
        assert len(some) <= 5
        assert {index[row.tobytes()] for row in some} <= set(numbers)
        queue += [i for i in numbers if i not in seen]
        seen.update(numbers)
    assert len(seen) == len(values)


def test_neighbours_are_the_moves_of_their_kind() -> None:
    def around(p: Structure, value: Any) -> set[Any]:
        return set(p.decode(p.neighbours(p.encode([value])[0], np.random.default_rng(0), 10**6)))

    start = (0, 1, 2, 3, 4)
    swaps = {tuple(j if x == i else i if x == j else x for x in start) for i, j in itertools.combinations(start, 2)}
    moved = set()
    for i, j in itertools.permutations(range(5), 2):
        rest = [x for x in start if x != i]
        moved.add((*rest[:j], i, *rest[j:]))
    turned = {(*start[:i], *start[i:j][::-1], *start[j:]) for i in range(5) for j in range(i + 2, 6)}
    assert around(ORDER, start) == swaps | moved | turned
    assert around(PICK, (0, 1, 2)) == {c for c in PICK.values() if len({0, 1, 2} & set(c)) == 2}
    text = "ACA"
    one = {text[:i] + c + text[i + 1 :] for i in range(3) for c in "ACG"}
    more = {text[:i] + c + text[i:] for i in range(4) for c in "ACG"}
    less = {text[:i] + text[i + 1 :] for i in range(3)}
    assert around(TEXT, text) == (one | more | less | {"CAA", "AAC"}) - {text}
    shifted = {"A" + text[:2], "C" + text[:2], "G" + text[:2], "CAA", "CAC", "CAG"}
    assert shifted <= around(wb.Sequence("q", "ACG", 3, 3), text)


def test_neighbours_of_large_values_are_drawn_evenly() -> None:
    p, rng = wb.Subset("s", 40, k=20), np.random.default_rng(0)
    row = p.from_uniform(rng.random((1, p.draws)))[0]
    gone = np.zeros(40)
    for _ in range(200):
        gone += (p.neighbours(row, rng, 20) < row).sum(axis=0)
    counts = gone[row == 1]
    assert counts.sum() == 4000
    # 200 each in the mean, with at most the sd of a binomial, 14; the largest of 20 within 4 of them
    assert np.abs(counts - 200).max() < 4 * 14
    order = wb.Permutation("p", 100)
    N = order.neighbours(np.arange(100.0), rng, 64)
    assert (np.sort(N, axis=1) == np.arange(100)).all()
    assert len(np.unique(N, axis=0)) == 64


# -- the search ------------------------------------------------------------------------------------------------


class Belief:
    """The upper confidence bound of a process that has learnt a random function, as an acquisition function."""

    def __init__(self, space: wb.Space, seed: int, n: int = 30) -> None:
        self.inputs = Inputs(space)
        Z = self.inputs.model_points(space.sobol(n, seed))
        columns = self.inputs.columns
        y = np.sin(4.0 * Z @ np.random.default_rng(seed).normal(size=Z.shape[1]))
        known = Data(Z, (y - y.mean()) / y.std(), np.full(n, 1e-2), False, *columns)
        self.ucb = UCB(ExactPosterior.of(known, Settings("matern52", Prior.of(known).mode + 0.7)), 4.0)

    def value(self, Z: Array) -> Array:
        return self.ucb.value(Z)

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        return self.ucb.value_and_grad(Z)


def everywhere(X: Array) -> NDArray[np.bool_]:
    return np.ones(len(X), dtype=bool)


def region(space: wb.Space, fixed: dict[str, Any] | None = None, **limits: Any) -> Region:
    limits = {"admits": everywhere, **limits}
    return Region(space, Inputs(space), space.complete_fixed(fixed or {}), **limits)


def search(f: Belief, space: wb.Space, seed: int, around: Array | None = None, **limits: Any) -> Any:
    around = space.sobol(2, 99) if around is None else around
    return maximize(f, region(space, **limits), np.random.default_rng(seed), around, restarts=8, raw_samples=128)


@pytest.mark.parametrize(
    "p",
    [wb.Permutation("p", 6), wb.Subset("s", 12, k=4), wb.Subset("s", 18, k=3), wb.Sequence("q", "ACGT", 1, 4),
     wb.Sequence("q", "AB", 9, 9)],
    ids=["order", "pick", "many", "text", "bits"],
)  # fmt: skip
def test_the_search_against_enumeration(p: Structure) -> None:
    space = wb.Space([p])
    X, same = p.encode(list(p.values())), 0
    assert 300 < len(X) <= 1000
    for seed in range(10):
        f = Belief(space, seed)
        values = f.value(f.inputs.model_points(X))
        shut = {x.tobytes() for x in X[np.argsort(-values)[:3]]}

        def admits(points: Array, shut: set[bytes] = shut) -> NDArray[np.bool_]:
            return np.array([x.tobytes() not in shut for x in points], dtype=bool)

        found = search(f, space, seed, admits=admits)
        assert admits(found.x[None]).all()
        best = np.sort(values)[-4]
        assert found.value <= best + 1e-9
        same += found.value > best - 1e-9
    assert same >= 9  # measured over 20 seeds: all of them, of the bits 18


def test_every_climber_ends_where_no_neighbour_is_better() -> None:
    p = wb.Permutation("p", 6)
    space = wb.Space([p])
    f, where, starts = Belief(space, 3), region(space), space.sobol(6, 1)
    climbers = Climbers(Objective(f, f.inputs, None), where, starts, f.value(f.inputs.model_points(starts)), 1.0)
    climbers.climb(np.random.default_rng(0))
    ends = {}
    for x, value in zip(climbers.X[:6], climbers.values[:6], strict=True):
        assert value == pytest.approx(f.value(f.inputs.model_points(x[None]))[0], abs=1e-12)
        N = p.neighbours(x, np.random.default_rng(0), 10**6)
        assert f.value(f.inputs.model_points(N)).max() <= value + 1e-12
        ends[x.tobytes()] = value
    assert len(ends) > 1  # else this function has one hill


def mixed(constraints: Any = ()) -> wb.Space:
    return wb.Space(
        [wb.Permutation("p", 5), wb.Float("x", 0, 1), wb.Bool("on"), wb.Sequence("q", "ACG", 1, 3, when={"on": True})],
        constraints,
    )


def test_the_search_beside_numbers_and_conditions() -> None:
    """120 orders times 40 strings or none, and for each of these a fine grid of x."""
    space, same = mixed(), 0
    points = [{"p": p, "x": 0.5, "on": False} for p in space["p"].values()]
    points += [{"p": p, "x": 0.5, "on": True, "q": q} for p in space["p"].values() for q in space["q"].values()]
    X = space.encode(points)
    for seed in range(5):
        f = Belief(space, seed)
        values = np.full(len(X), -np.inf)
        for x in np.linspace(0, 1, 11):
            X[:, space.slices["x"]] = x
            values = np.maximum(values, f.value(f.inputs.model_points(X)))
        found = search(f, space, seed)
        again = space.encode(space.decode(found.x[None]))
        np.testing.assert_array_equal(again[0], found.x)
        assert found.value == pytest.approx(f.value(f.inputs.model_points(found.x[None]))[0], abs=1e-12)
        same += found.value > values.max() - 1e-6
    assert same >= 4  # measured: 5 of 5


def test_constraints_fixed_values_and_near_hold() -> None:
    def rule(point: dict[str, Any]) -> bool:
        return bool(point["p"][0] != 0 and (not point["on"] or point["q"].count("A") <= 1))

    space = mixed([rule])
    f, around = Belief(space, 3), space.sobol(4, 5)
    for seed in range(3):
        found = search(f, space, seed, around)
        assert not space.violations(space.decode(found.x[None])[0])
        held = {"p": (3, 0, 1, 2, 4), "on": True}
        point = space.decode(search(f, space, seed, around, fixed=held).x[None])[0]
        assert (point["p"], point["on"]) == ((3, 0, 1, 2, 4), True)
        assert "q" in point
        near = space.decode(search(f, space, seed, around, near=Vicinity(around[0], 0.1)).x[None])[0]
        centre = space.decode(around[:1])[0]
        assert {k: v for k, v in near.items() if k != "x"} == {k: v for k, v in centre.items() if k != "x"}
        assert abs(near["x"] - centre["x"]) <= 0.1 + 1e-9


@pytest.mark.parametrize("p", [wb.Permutation("p", 6), wb.Sequence("q", "ACGT", 1, 4)], ids=["order", "text"])
def test_a_radius_lets_structured_values_leave_the_centre_so_far(p: Structure) -> None:
    space = wb.Space([p, wb.Float("x", 0, 1)])
    X = np.hstack([p.encode(list(p.values())), np.full((p.cardinality or 0, 1), 0.5)])
    f, same = Belief(space, 2), 0
    for centre in X[[7, 99, 211, 290]]:
        _, squares = f.inputs.apart(X, centre)
        radius = float(np.sqrt(np.sort(squares)[60]))
        inner = X[np.sqrt(squares) <= radius]
        along = np.linspace(-0.1, 0.1, 9)[:, None, None] * (np.arange(space.width) == p.width)
        best = max(f.value(f.inputs.model_points(inner + step)).max() for step in along)
        found = search(f, space, 0, near=Vicinity(centre, 0.1, radius))
        assert np.sqrt(f.inputs.apart(found.x[None], centre)[1][0]) <= radius
        assert abs(found.x[-1] - 0.5) <= 0.1 + 1e-9
        same += found.value > best - 1e-6
        held = search(f, space, 0, near=Vicinity(centre, 0.1))
        np.testing.assert_array_equal(held.x[:-1], centre[:-1])
    assert same >= 3  # measured: 4 of 4


def test_screening_looks_around_good_values() -> None:
    """Of 64 points sprayed around one order some are it, some one step and some a few away; all exist."""
    p = wb.Permutation("p", 9)
    space = wb.Space([p])
    good = space.encode([{"p": (8, 6, 4, 2, 0, 1, 3, 5, 7)}])
    pool = screening_points(region(space), np.random.default_rng(0), good, 256)
    sprayed = pool[256 + 1 :]
    assert sprayed.shape == (64, 9)
    assert (np.sort(sprayed, axis=1) == np.arange(9)).all()
    beside = {x.tobytes() for x in p.neighbours(good[0], np.random.default_rng(0), 10**6)}
    near = sum(x.tobytes() in beside for x in sprayed)
    away = sum(x.tobytes() not in beside and x.tobytes() != good[0].tobytes() for x in sprayed)
    assert near >= 8
    assert away >= 8


def test_equal_searches_are_equal_to_the_bit() -> None:
    space = mixed()
    f = Belief(space, 1)
    first, second = (search(f, space, 7) for _ in range(2))
    assert first.x.tobytes() == second.x.tobytes()
    assert first.value == second.value


# -- whole studies -----------------------------------------------------------------------------------------------


def assignment(seed: int) -> tuple[wb.Space, Any]:
    """Quadratic assignment of 7 facilities to a grid, as those of Nugent, Vollmann and Ruml 1968."""
    rng = np.random.default_rng(seed)
    C = np.array([(i // 3, i % 3) for i in range(7)])
    D = np.abs(C[:, None] - C[None]).sum(axis=2)
    F = np.triu(rng.integers(0, 11, (7, 7)) * (rng.random((7, 7)) < 0.6), 1)

    def cost(v: dict[str, Any]) -> float:
        place = np.argsort(v["p"])
        return float((F * D[np.ix_(place, place)]).sum())

    return wb.Space([wb.Permutation("p", 7)]), cost


def tour(seed: int, n: int = 7) -> tuple[wb.Space, Any]:
    C = np.random.default_rng(seed).random((n, 2))
    D = np.linalg.norm(C[:, None] - C[None], axis=2)
    return wb.Space([wb.Permutation("p", n)]), lambda v: float(D[list(v["p"]), np.roll(v["p"], -1)].sum())


def team(seed: int) -> tuple[wb.Space, Any]:
    """4 of 12 with effects of each and of each pair."""
    rng = np.random.default_rng(seed)
    w, Q = rng.normal(size=12), np.triu(rng.normal(size=(12, 12)), 1)
    space = wb.Space([wb.Subset("s", 12, k=4)])
    return space, lambda v: -float(w[list(v["s"])].sum() + Q[np.ix_(v["s"], v["s"])].sum())


def motif(seed: int) -> tuple[wb.Space, Any]:
    """A point for each of 8 letters that matches, and one for each two in a row."""
    target = np.random.default_rng(seed).integers(4, size=8)

    def score(v: dict[str, Any]) -> float:
        hit = np.array(["ACGT".index(c) for c in v["q"]]) == target
        return -float(hit.sum() + (hit[1:] & hit[:-1]).sum())

    return wb.Space([wb.Sequence("q", "ACGT", 8, 8)]), score


def with_numbers(seed: int) -> tuple[wb.Space, Any]:
    space, length = tour(seed, 6)
    levels = {"a": 0.0, "b": 0.3, "c": 0.6}
    return (
        wb.Space([*space, wb.Float("x", 0, 1), wb.Categorical("c", list("abc"))]),
        lambda v: length(v) + 4 * (v["x"] - 0.3) ** 2 + levels[v["c"]],
    )


def shares(problem: Any, budget: int, seeds: range, sampler: Any) -> Array:
    """Shares of random values that are better than the best found, in units of what random search leaves in the mean.

    That is 1 / (budget + 1), and its shares are exponentially distributed, up to terms of the order of it.
    """
    found = []
    for seed in seeds:
        space, fn = problem(seed)
        study = wb.create_study(
            "s", space, [wb.Objective("y", noise="none")], sampler=sampler, seed=seed, budget=budget
        )
        for _ in range(budget):
            trial = study.ask()
            study.tell(trial, fn(trial.params))
        values = np.array([fn(v) for v in space.decode(space.uniform(4000, np.random.default_rng(seed)))])
        found.append((values < study.best_value - 1e-12).mean() * (budget + 1))
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "budget"), [(team, 25), (motif, 20)])
def test_the_model_beats_random_search(problem: Any, budget: int) -> None:
    """The mean of three exponential variables is below 1/3 with probability 0.08, here twice: 7e-3.

    For orders, and beside numbers, 40 trials are too few to say so by three seeds: one of six or eight ends at a local
    optimum. See the next test, which is stricter.
    """
    assert shares(problem, budget, range(3), wb.GPSampler(restarts=2, raw_samples=64)).mean() < 1 / 3


@pytest.mark.slow
@pytest.mark.parametrize("problem", [assignment, tour, team, motif, with_numbers])
def test_the_model_beats_random_search_by_far_on_ten_seeds(problem: Any) -> None:
    """The mean of ten exponential variables is below 0.3 with probability 0.001."""
    assert shares(problem, 60, range(10), "gp").mean() < 0.3


def test_equal_records_bring_equal_proposals() -> None:
    def asked() -> list[Any]:
        study = wb.create_study("s", mixed(), [wb.Objective("y", noise="none")], sampler="gp", seed=4, budget=20)
        for i in range(7):
            study.tell(study.ask(), math.sin(3.0 * i))
        return [(trial.params, trial.meta) for trial in study.ask(2)]

    assert asked() == asked()


@pytest.mark.parametrize("name", ["noisy_ei", "pi", "ucb", "thompson", "kg", "mes", "gibbon"])
def test_every_acquisition_serves_structured_spaces(name: str) -> None:
    space = mixed()
    study = wb.create_study("s", space, [wb.Objective("y", noise=0.1)], seed=2)
    for params in space.decode(space.sobol(start_size(study.history()), 0)):
        study.attach(params, params["x"] + 0.2 * params["p"][0] + 0.1 * len(params.get("q", "")))
    trials = study.ask(2, sampler=name)
    assert [trial.meta["acquisition"] for trial in trials] == [name] * 2
    assert trials[0].params != trials[1].params


def test_a_large_record_is_searched_around_its_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the model is local and so is the search: at most as far as the trials that it knows."""
    monkeypatch.setattr("workbench.models.gp.LARGEST", 40)
    monkeypatch.setattr("workbench.models.gp.LOCAL", 15)
    space, fn = tour(0)
    study = wb.create_study("s", space, [wb.Objective("y", noise="none")], sampler="gp", seed=0, budget=8)
    for params in space.decode(space.sobol(60, 0)):
        study.attach(params, fn(params))
    inputs, history = Inputs(space), study.history()
    best = history.X[np.argsort(-history.Y[:, 0])[:10]]
    radii = [np.sqrt(np.sort(inputs.apart(history.X, centre)[1])[14]) for centre in best]
    for _ in range(4):
        trial = study.ask()
        assert trial.meta["acquisition"] == "log_ei"
        x = space.encode([trial.params])
        gaps = [np.sqrt(inputs.apart(x, centre)[1][0]) for centre in best]
        assert any(gap <= radius + 1e-9 for gap, radius in zip(gaps, radii, strict=True))
        study.tell(trial, 1e3)  # nothing new among the best
    assert len({space.key(trial.params) for trial in study.trials}) == len({*map(bytes, history.X)}) + 4


def test_no_value_is_proposed_twice_until_all_are_used_up() -> None:
    space = wb.Space([wb.Permutation("p", 3), wb.Subset("s", 3, k=1)])
    study = wb.create_study("s", space, [wb.Objective("y", noise="none")], sampler="gp", seed=0, budget=18)
    for _ in range(18):
        trial = study.ask()
        study.tell(trial, float(trial["p"][0] + trial["s"][0] ** 2))
    assert len({space.key(trial.params) for trial in study.trials}) == 18
    with pytest.raises(wb.ExhaustedSpaceError):
        study.ask()
