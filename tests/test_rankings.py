"""Rankings as values: what answers state, contradictions, and how far raters can be relied on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.rankings import (
    ACCEPTABLE,
    Choice,
    chain,
    choices,
    circular_triads,
    complete_triads,
    consistency,
    edge_weights,
    edges,
    partial_order,
    ranking,
)
from workbench.samplers.zeroth_order.estimator import edge_count, oracle


def test_every_kind_of_answer_states_its_pairs() -> None:
    shown = (0, 1, 2, 3)
    assert edges("rank", ((2,), (0, 1)), shown) == {(2, 0), (2, 1)}  # 3 is unordered
    assert edges("best", ((2,),), shown) == edges("more_like", ((2,),), shown) == {(2, 0), (2, 1), (2, 3)}
    assert edges("best", ((2,), (0,)), shown) == {(2, 0), (2, 1), (2, 3), (0, 1), (0, 3)}
    assert edges("worst", ((2,),), shown) == {(0, 2), (1, 2), (3, 2)}
    assert edges("worst", ((1,), (2,)), shown) == {(0, 2), (3, 2), (1, 2), (0, 1), (3, 1)}
    assert edges("partial", ((0, 1), (1, 2)), shown) == {(0, 1), (1, 2), (0, 2)}
    assert edges("rank", (shown,), shown) == frozenset()  # no difference
    for kind in ("skip", "cannot_tell", "none_acceptable", "pin"):
        assert edges(kind, (), shown) == frozenset()


def test_answers_as_choices_and_chains() -> None:
    shown = (0, 1, 2, 3)
    assert choices("rank", ((2,), (0, 1)), shown) == (Choice((2,), (0, 1)), Choice((0, 1), ()))
    assert choices("best", ((2,),), shown) == (Choice((2,), (0, 1, 3)),)
    assert choices("worst", ((1,), (2,)), shown) == (Choice((2,), (1, 0, 3), -1), Choice((1,), (0, 3), -1))
    assert choices("partial", ((0, 1),), shown) == (Choice((0,), (1,)),)
    assert choices("none_acceptable", (), shown) == (Choice((ACCEPTABLE,), shown),)
    assert choices("rank", ((3,), (1,), (0,)), shown)[-1] == Choice((1,), (0,))
    assert choices("skip", (), shown) == ()
    assert chain("best", ((2,), (0,)), shown) == ([(2, 0), (0, 1), (0, 3)], [])
    assert chain("rank", ((2,), (0, 1)), shown) == ([(2, 0), (2, 1)], [(0, 1)])
    assert chain("worst", ((2,),), (1, 2)) == ([(1, 2)], [])
    assert chain("none_acceptable", (), (4, 5)) == ([(ACCEPTABLE, 4), (ACCEPTABLE, 5)], [])
    assert chain("cannot_tell", (), shown) == ([], [])


def test_a_partial_order_is_reduced_to_what_carries_it() -> None:
    assert partial_order([(0, 1), (1, 2), (0, 2), (0, 1)]) == ((0, 1), (1, 2))
    for stated, said in ((
        [], "at least one"), ([(1, 1)], "different"), ([(0, 1), (1, 2), (2, 0)], r"going round: \[0, 1, 2\]"),
    ):  # fmt: skip
        with pytest.raises(wb.FeedbackError, match=said):
            partial_order(stated)
    with pytest.raises(wb.FeedbackError, match=r"\[7\]"):
        partial_order([(0, 7)], [0, 1])


@pytest.mark.parametrize("m", range(1, 21))
def test_an_oracle_knows_as_many_pairs_as_the_formula_says(m: int) -> None:
    losses = np.random.default_rng(m).standard_normal(m)
    for k in range(1, m + 1):
        known = oracle(losses, k)
        assert len(known) == edge_count(m, k)
        omega = edge_weights(known, range(m))
        assert abs(omega.sum()) < 1e-12
    if m > 1:
        assert oracle(losses, m) == oracle(losses, m - 1)
        assert edge_weights(known, range(m)).any()


def test_weights_are_the_sum_over_edges_for_ties_and_partial_orders_too() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        m = int(rng.integers(2, 9))
        losses = rng.integers(0, 4, size=m).astype(float)  # ties
        Xi = rng.standard_normal((m, 5))
        known = list(oracle(losses, int(rng.integers(1, m + 1))))
        known = [pair for pair in known if rng.random() < 0.7]  # a partial order's closure need not be complete
        brute = sum((Xi[a] - Xi[b] for a, b in known), np.zeros(5)) / max(1, len(known))
        np.testing.assert_allclose(edge_weights(known, range(m)) @ Xi, brute, atol=1e-12)
        np.testing.assert_allclose(edge_weights(known * 2, range(m)) @ Xi, brute, atol=1e-12)  # a repeat adds no edge


def test_tied_points_have_the_mean_of_their_weights() -> None:
    tied = edge_weights(edges("rank", ((0,), (1, 2), (3,)), range(4)), range(4)) * 5
    full = edge_weights(edges("rank", ((0,), (1,), (2,), (3,)), range(4)), range(4)) * 6
    np.testing.assert_allclose(tied, [3, 0, 0, -3], atol=1e-12)
    np.testing.assert_allclose(full, [3, 1, -1, -3], atol=1e-12)


def brute_circles(stated: list[tuple[int, int]]) -> int:
    """Circular triads by looking at every three."""
    items = {n for pair in stated for n in pair}
    net = {pair: stated.count(pair) - stated.count(pair[::-1]) for pair in itertools.permutations(items, 2)}
    return sum(
        (net[a, b] > 0 and net[b, c] > 0 and net[c, a] > 0) or (net[b, a] > 0 and net[c, b] > 0 and net[a, c] > 0)
        for a, b, c in itertools.combinations(sorted(items), 3)
    )


def test_circular_triads_against_counting_and_kendalls_formula() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        n = 9
        stated = [(a, b) if rng.random() < 0.5 else (b, a) for a, b in itertools.combinations(range(n), 2)]
        wins = np.bincount([a for a, _ in stated], minlength=n)
        by_scores = n * (n - 1) * (2 * n - 1) / 12 - 0.5 * (wins**2).sum()
        assert len(circular_triads(stated)) == by_scores == brute_circles(stated)
        assert complete_triads(stated) == 84
        some = [pair for pair in stated * 2 if rng.random() < 0.6]
        assert len(circular_triads(some)) == brute_circles(some)
    assert circular_triads([(2, 0), (0, 1), (1, 2)]) == [(0, 1, 2)]


def simulated(rng: np.random.Generator, e: float, answers: int, n: int = 12) -> list[set[tuple[int, int]]]:
    """Duels of a rater who turns each of them round with probability e; the truth is the order of the numbers."""
    said = []
    for _ in range(answers):
        a, b = sorted(rng.choice(n, 2, replace=False).tolist())
        said.append({(b, a) if rng.random() < e else (a, b)})
    return said


def test_reliability_is_estimated_from_repeats_circles_and_other_raters() -> None:
    rng = np.random.default_rng(2)
    alone = [consistency({"kim": simulated(rng, 0.15, 200)})["kim"].reliability for _ in range(12)]
    assert np.mean(alone) == pytest.approx(0.85, abs=4 * np.std(alone) / np.sqrt(12) + 0.01)
    said: dict[str, Any] = {"good": simulated(rng, 0.05, 150), "poor": simulated(rng, 0.35, 150)}
    found = consistency(said)
    assert found["good"].reliability > 0.88
    assert found["poor"].reliability < 0.75
    assert found["good"].zeta > found["poor"].zeta
    assert 0 < found["poor"].agreed < found["poor"].repeated


def test_one_ranking_does_not_contradict_itself() -> None:
    order = edges("rank", tuple((i,) for i in range(5)), range(5))
    told = consistency({"kim": [order, order]})["kim"]
    assert (told.answers, told.repeated, told.agreed, told.circles, told.triads) == (2, 10, 10, (), 0)
    assert told.zeta == 1.0
    assert consistency({}) == {}


def test_a_ranking_may_be_of_one_where_the_rest_is_worse() -> None:
    assert ranking([[3]], [1, 3], least=1) == ((3,),)
    with pytest.raises(wb.FeedbackError, match="at least two"):
        ranking([[3]], [1, 3])


def test_circles_are_counted_among_the_triads_that_are_counted():
    """A pair that is stated the other way round later is no circle, and consistent answers do not lower zeta."""
    ranking, back = [(0, 1), (0, 2), (1, 2)], [(2, 0)]
    first = consistency({"k": [ranking, back, back]})["k"]
    assert (first.circles, first.triads, first.zeta) == ((), 0, 1.0)
    assert (first.repeated, first.agreed) == (2, 0)
    more = consistency({"k": [ranking, back, back, [(3, 4)], [(4, 5)], [(3, 5)]]})["k"]
    assert (more.circles, more.triads, more.zeta) == ((), 1, 1.0)
    round_ = consistency({"k": [[(3, 4)], [(4, 5)], [(5, 3)]]})["k"]
    assert (len(round_.circles), round_.triads, round_.zeta) == (1, 1, -3.0)
