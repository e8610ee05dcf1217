"""Fronts and indicators against closed forms, enumeration, pymoo and moocore."""

from __future__ import annotations

import itertools
import math
import time

import moocore
import numpy as np
import pytest
from pymoo.indicators.gd_plus import GDPlus
from pymoo.indicators.hv import HV
from pymoo.indicators.igd_plus import IGDPlus
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from workbench import pareto
from workbench.errors import InvalidValueError


def sphere(rng, n, m):
    """n points of the positive part of the unit sphere."""
    Y = np.abs(rng.normal(size=(n, m)))
    return Y / np.linalg.norm(Y, axis=1, keepdims=True)


def by_inclusion_and_exclusion(Y, reference):
    total = 0.0
    for size in range(1, len(Y) + 1):
        for rows in itertools.combinations(range(len(Y)), size):
            corner = np.maximum(Y[list(rows)].min(axis=0) - reference, 0.0)
            total += (-1) ** (size + 1) * corner.prod()
    return total


@pytest.mark.parametrize("m", [2, 3, 4])
def test_non_domination_is_that_of_the_definition_and_of_pymoo(m):
    rng = np.random.default_rng(m)
    Y = np.round(rng.normal(size=(60, m)), 1)  # with ties and copies
    Y[7] = np.nan
    found = pareto.non_dominated(Y)
    for i, y in enumerate(Y):
        dominated = any((z >= y).all() and (z > y).any() for z in Y)
        assert found[i] == (not dominated and not np.isnan(y).any())
    known = np.delete(np.arange(60), 7)
    assert set(np.flatnonzero(found)) == set(known[NonDominatedSorting().do(-Y[known], only_non_dominated_front=True)])


def test_a_hundred_thousand_points_of_three_objectives_take_less_than_a_second():
    Y = np.random.default_rng(0).normal(size=(100_000, 3))
    began = time.perf_counter()
    front = Y[pareto.non_dominated(Y)]
    assert time.perf_counter() - began < 1.0
    for i in range(0, 100_000, 9973):
        assert ((front >= Y[i]).all(axis=1)).any()


@pytest.mark.parametrize("m", [2, 3, 4, 5, 6])
def test_hypervolume_is_that_of_inclusion_and_exclusion_pymoo_and_moocore(m):
    rng = np.random.default_rng(m)
    Y, reference = rng.normal(size=(10, m)), np.full(m, -2.5)
    exact = by_inclusion_and_exclusion(Y, reference)
    assert pareto.hypervolume(Y, reference) == pytest.approx(exact, rel=1e-12)
    assert HV(ref_point=-reference)(-Y) == pytest.approx(exact, rel=1e-12)
    assert moocore.hypervolume(-Y, ref=-reference) == pytest.approx(exact, rel=1e-12)


def test_hypervolume_of_two_objectives_is_a_sum_of_strips():
    Y = np.array([[3.0, 1.0], [2.0, 2.0], [1.0, 4.0], [1.0, 1.0]])
    assert pareto.hypervolume(Y, np.zeros(2)) == 3 * 1 + 2 * 1 + 1 * 2
    assert pareto.hypervolume_contributions(Y, np.zeros(2)).tolist() == [1.0, 1.0, 2.0, 0.0]


def test_contributions_are_what_is_lost_without_a_point():
    rng = np.random.default_rng(3)
    front, reference = 2.0 * sphere(rng, 25, 3), np.full(3, 0.1)
    Y = np.vstack([front, 0.5 * front])
    whole = pareto.hypervolume(Y, reference)
    lost = [whole - pareto.hypervolume(np.delete(front, i, axis=0), reference) for i in range(25)]
    assert np.allclose(pareto.hypervolume_contributions(Y, reference), [*lost, *[0.0] * 25], atol=1e-12 * whole)


@pytest.mark.parametrize("m", [2, 3, 4, 5])
def test_contributions_do_not_depend_on_the_unit(m):
    """From four objectives on, small differences were lost: 10^-3 of these values had contributions of zero."""
    Y = np.array([[3, 1, 1, 2, 1], [1, 3, 1, 1, 1], [1, 1, 3, 1, 1], [2, 2, 2, 1, 1]], dtype=float)[:, :m]
    lost = pareto.hypervolume_contributions(Y, np.zeros(m))
    assert m > 3 or lost.max() > 0
    for k in (-30, -10, 10, 30):
        assert np.array_equal(pareto.hypervolume_contributions(np.ldexp(Y, k), np.zeros(m)), np.ldexp(lost, k * m))
        assert pareto.hypervolume(np.ldexp(Y, k), np.zeros(m)) == np.ldexp(pareto.hypervolume(Y, np.zeros(m)), k * m)
    if m == 4:
        assert lost.tolist() == pytest.approx([4.0, 1.0, 1.0, 4.0])


def test_of_one_objective_the_best_alone_contributes():
    Y = np.array([[1.0], [3.0], [2.0], [np.nan]])
    assert pareto.hypervolume_contributions(Y, np.array([0.5])).tolist() == [0.0, 2.5, 0.0, 0.0]
    assert pareto.hypervolume_contributions(np.array([[3.0], [3.0]]), np.zeros(1)).tolist() == [0.0, 0.0]


def test_values_beyond_every_number_are_refused():
    """moocore ends the process, or does not return."""
    Y = np.array([[2.0, 1.0, 1.0], [1.0, np.inf, 2.0], [1.0, 0.0, 3.0]])
    for call in (
        lambda: pareto.non_dominated(Y),
        lambda: pareto.hypervolume(Y, np.zeros(3)),
        lambda: pareto.hypervolume_contributions(Y, np.zeros(3)),
        lambda: pareto.free_boxes(Y, np.zeros(3)),
        lambda: pareto.attainment([Y], [0.5]),
    ):
        with pytest.raises(InvalidValueError, match="below infinity"):
            call()
    assert pareto.non_dominated(np.where(np.isinf(Y), -np.inf, Y)).tolist() == [True, False, True]


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_free_boxes_are_disjoint_and_what_a_point_adds_is_the_gain_of_hypervolume(m):
    rng = np.random.default_rng(m)
    Y, reference = rng.normal(size=(14, m)), np.full(m, -0.8)
    boxes = pareto.free_boxes(Y, reference)
    points = rng.normal(size=(40, m))
    whole = pareto.hypervolume(Y, reference)
    gains = [pareto.hypervolume(np.vstack([Y, point]), reference) - whole for point in points]
    assert np.allclose(boxes.gain(points), gains, rtol=1e-12, atol=1e-12 * whole)
    inside = [int(((boxes.low < point) & (point < boxes.high)).all(axis=1).sum()) for point in points]
    for point, count in zip(points, inside, strict=True):
        free = (point > reference).all() and not (point <= Y).all(axis=1).any()
        assert count == int(free)


def test_boxes_do_not_depend_on_order_or_on_dominated_points_and_there_are_few():
    rng = np.random.default_rng(0)
    Y, reference = sphere(rng, 50, 4), np.full(4, -0.1)
    boxes = pareto.free_boxes(Y, reference)
    shuffled = np.vstack([rng.permutation(Y), 0.5 * Y, np.full((1, 4), np.nan)])
    again = pareto.free_boxes(shuffled, reference)
    assert np.array_equal(boxes.low, again.low)
    assert np.array_equal(boxes.high, again.high)
    assert len(boxes) < 450  # local upper bounds make 419 of such a front
    assert len(pareto.free_boxes(sphere(rng, 50, 2), np.zeros(2))) == 51
    with pytest.raises(OverflowError, match="more than 100 boxes"):
        pareto.free_boxes(Y, reference, most=100)
    nothing = pareto.free_boxes(np.empty((0, 3)), np.zeros(3))
    assert (nothing.low.tolist(), nothing.high.tolist()) == ([[0.0] * 3], [[math.inf] * 3])


def test_distances_to_a_front_are_those_of_pymoo_and_of_a_closed_form():
    rng = np.random.default_rng(1)
    front, Y = sphere(rng, 200, 3), 0.8 * sphere(rng, 30, 3)
    assert pareto.igd_plus(Y, front) == pytest.approx(IGDPlus(-front)(-Y), rel=1e-12)
    assert pareto.gd_plus(Y, front) == pytest.approx(GDPlus(-front)(-Y), rel=1e-12)
    assert pareto.igd_plus(Y, front) == pytest.approx(moocore.igd_plus(-Y, ref=-front), rel=1e-12)
    # a point (0, 0) below the corner (3, 4) is 5 short; one beyond it in one objective is short in the other
    assert pareto.gd_plus(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])) == 5.0
    assert pareto.igd_plus(np.array([[9.0, 0.0]]), np.array([[3.0, 4.0]])) == 4.0
    assert pareto.igd_plus(np.array([[9.0, 9.0]]), np.array([[3.0, 4.0]])) == 0.0


def test_epsilon_is_the_least_rise_that_covers_a_front():
    rng = np.random.default_rng(2)
    front, Y = sphere(rng, 40, 3), 0.7 * sphere(rng, 20, 3)
    exact = max(min((z - y).max() for y in Y) for z in front)
    assert pareto.epsilon(Y, front) == pytest.approx(exact, rel=1e-12)
    assert pareto.epsilon(front + 0.25, front) == pytest.approx(-0.25)


def test_r2_of_one_point_is_an_integral_and_does_not_depend_on_units():
    # of the point (1/2, 1/2) between reference 0 and ideal 1: mean over w of max(w, 1 - w) / 2 = 3 / 8
    vectors = pareto.weights(2, 2000)
    value = pareto.r2(np.array([[0.5, 0.5]]), np.ones(2), np.zeros(2), vectors)
    assert value == pytest.approx(3 / 8, abs=1e-3)
    assert value == pytest.approx(moocore.r2_exact(np.array([[0.5, 0.5]]), ref=np.zeros(2)), abs=1e-3)
    Y, scale = np.random.default_rng(0).random((9, 3)), np.array([1.0, 50.0, 1e-3])
    vectors = pareto.weights(3, 12)
    assert len(vectors) == math.comb(14, 2)
    assert np.allclose(vectors.sum(axis=1), 1.0)
    plain = pareto.r2(Y, np.ones(3), np.zeros(3), vectors)
    assert pareto.r2(Y * scale + 7, scale + 7, np.full(3, 7.0), vectors) == pytest.approx(plain, rel=1e-12)
    assert pareto.r2(np.ones((1, 3)), np.ones(3), np.zeros(3), vectors) == 0.0


def test_spread_and_entropy_tell_an_even_front_from_a_clotted_one():
    t = np.linspace(0.0, 1.0, 11)
    even = np.stack([t, 1 - t], axis=1)
    ends = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert pareto.spread(even, ends) == pytest.approx(0.0, abs=1e-12)
    clotted = np.stack([t**4, 1 - t**4], axis=1)
    assert pareto.spread(clotted, ends) > 0.3
    assert pareto.pc_entropy(even) == pytest.approx(1.0, rel=1e-12)  # eleven points in eleven cells
    # five points: at 0, 1/4 and 3 at 1 they fall into cells 1, 2 and 5 of five
    lumped = np.array([0.0, 0.25, 1.0, 1.0, 1.0])
    shares = np.array([1 / 10, 1 / 10, 3 / 10])
    exact = (2 * -(shares * np.log(shares)).sum() - math.log(2)) / math.log(5)
    assert pareto.pc_entropy(np.stack([lumped, lumped], axis=1)) == pytest.approx(exact, rel=1e-12)
    assert pareto.pc_entropy(clotted) < 0.8 * pareto.pc_entropy(even)
    assert pareto.pc_entropy(np.ones((6, 3))) == pytest.approx(0.0, abs=1e-12)


def test_attainment_counts_the_runs_that_reach_a_point():
    runs = [np.array([[1.0, 3.0], [3.0, 1.0]]), np.array([[2.0, 2.0]]), np.array([[0.5, 0.5]])]
    everyone, most, anyone = pareto.attainment(runs, [1.0, 2 / 3, 1 / 3])
    assert everyone.tolist() == [[0.5, 0.5]]
    assert sorted(map(tuple, most)) == [(1.0, 2.0), (2.0, 1.0)]
    assert sorted(map(tuple, anyone)) == [(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]
    with pytest.raises(InvalidValueError, match="shares of the runs"):
        pareto.attainment(runs, [0.0])


def test_a_reference_point_stands_a_tenth_beyond_the_front():
    Y = np.array([[0.0, 10.0], [4.0, 0.0], [-50.0, -50.0]])
    assert pareto.infer_reference(Y).tolist() == [-0.4, -1.0]
    assert pareto.infer_reference(np.array([[2.0, -3.0]])).tolist() == [1.8, -3.3]
    assert pareto.infer_reference(np.array([[2.0, 0.0], [1.0, -4.0]])).tolist() == pytest.approx([1.9, -0.4])
    with pytest.raises(InvalidValueError, match="no extent"):
        pareto.infer_reference(np.full((2, 2), np.nan))


def test_noise_makes_ten_of_forty_equal_points_look_optimal_and_the_probability_says_so():
    """With n points of pure noise (H_n^2 + H_n^(2)) / 2 = 9.96 are on the front at m = 3 (Barndorff-Nielsen, Sobel)."""
    rng, n = np.random.default_rng(0), 40
    first, second = sum(1 / i for i in range(1, n + 1)), sum(1 / i**2 for i in range(1, n + 1))
    expected = (first**2 + second) / 2
    draws = rng.normal(size=(400, n, 3))
    probability = pareto.non_dominated_probability(draws)
    # the number on a front has sd 2.9, so the mean of 400 has 0.15
    assert probability.sum() == pytest.approx(expected, abs=4 * 0.15)
    assert probability.max() < 0.4
    certain = np.concatenate([draws + 10.0, draws], axis=1)
    assert pareto.non_dominated_probability(certain)[n:].max() == 0.0


def test_infeasible_points_never_stand_on_a_front_and_dominate_nothing():
    draws = np.array([[[2.0, 2.0], [1.0, 1.0]]]).repeat(4, axis=0)
    assert pareto.non_dominated_probability(draws).tolist() == [1.0, 0.0]
    assert pareto.non_dominated_probability(draws, np.array([False, True])).tolist() == [0.0, 1.0]
    sometimes = np.array([[True, True], [False, True], [True, True], [False, True]])
    assert pareto.non_dominated_probability(draws, sometimes).tolist() == [0.5, 0.5]


def test_the_knee_is_where_the_front_bends():
    t = np.linspace(0.0, 1.0, 101)
    Y = np.stack([t, 1 - t**4], axis=1) * [3.0, 1e-3]
    # distance to the line between the ends is largest where 4 t^3 = 1
    assert abs(t[pareto.knee(Y)] - 4 ** (-1 / 3)) <= 0.005
    with_dominated = np.vstack([0.9 * Y, Y])
    assert pareto.knee(with_dominated) == 101 + pareto.knee(Y)


def test_choices_by_aspiration():
    Y = np.array([[1.0, 0.0], [0.8, 0.7], [0.5, 0.9], [0.0, 1.0], [0.4, 0.4]])
    assert pareto.chebyshev(Y, np.array([0.5, 1.0])) == 2
    assert pareto.chebyshev(Y, np.array([1.0, 1.0])) == 1
    assert pareto.chebyshev(Y, np.array([1.0, 1.0]), weights=np.array([10.0, 1.0])) == 0
    nadir, ideal = pareto.extent(Y)
    scores = pareto.achievement(Y, np.array([0.8, 0.7]), nadir, ideal)
    assert scores[1] == pytest.approx(0.0, abs=1e-12)
    assert scores.argmax() == 1
    # an equal worst shortfall: the dominating one wins
    tied = pareto.achievement(np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([2.0, 0.0]), np.zeros(2), np.ones(2) * 2)
    assert tied[1] > tied[0]


def test_a_classification_becomes_an_aspiration():
    here, nadir, ideal = np.array([1.0, 2.0, 3.0, 4.0]), np.zeros(4), np.full(4, 10.0)
    wishes = ("improve", "keep", "relax", "free")
    assert pareto.aspiration_of(here, wishes, nadir, ideal, {}).tolist() == [10.0, 2.0, 1.5, 0.0]
    assert pareto.aspiration_of(here, wishes, nadir, ideal, {0: 5.0, 2: 2.5}).tolist() == [5.0, 2.0, 2.5, 0.0]
    with pytest.raises(InvalidValueError, match="unless something else may get worse"):
        pareto.aspiration_of(here, ("improve", "keep", "keep", "keep"), nadir, ideal, {})
