"""The inner search in numpy: known maxima, enumeration, and scipy alone are what it is held against."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from scipy.optimize import Bounds, linprog, minimize

import workbench as wb
from workbench.acquisition.search import Candidate, Region, Vicinity, ascent, maximize
from workbench.acquisition.search.points import existing, screening_points, start_rows
from workbench.errors import DeadlineReached
from workbench.models import lbfgsb
from workbench.models.inputs import Inputs
from workbench.space.geometry import beside

EFFORT = {"restarts": 8, "raw_samples": 256}


class Quadratic:
    """-(z - c)' A (z - c) over model inputs, z in the columns given; else zero."""

    def __init__(self, centre, A=None, columns=slice(None), scale=1.0):
        self.centre, self.columns, self.scale = np.asarray(centre, dtype=float), columns, scale
        self.A = np.eye(len(self.centre)) if A is None else np.asarray(A, dtype=float)
        self.calls = 0

    def value(self, Z):
        return self.value_and_grad(Z)[0]

    def value_and_grad(self, Z):
        self.calls += 1
        r = Z[:, self.columns] - self.centre
        slope = np.zeros_like(Z)
        slope[:, self.columns] = -2 * self.scale * r @ self.A
        return -self.scale * np.einsum("ni,ij,nj->n", r, self.A, r), slope


class Function:
    """Any function of model inputs with a gradient by hand."""

    def __init__(self, value, gradient):
        self.value, self._gradient = value, gradient

    def value_and_grad(self, Z):
        return self.value(Z), self._gradient(Z)


def cube(d, constraints=()):
    return wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(d)], constraints)


def everywhere(X):
    return np.ones(len(X), dtype=bool)


def region(space, admits=everywhere, fixed=None, **limits):
    return Region(space, Inputs(space), space.complete_fixed(fixed or {}), admits, **limits)


def search(acquisition, space, seed=0, around=None, effort=EFFORT, **limits):
    around = np.empty((0, space.width)) if around is None else around
    found = maximize(acquisition, region(space, **limits), np.random.default_rng(seed), around, **effort)
    assert found is None or isinstance(found, Candidate)
    return found


def spd(d, seed, condition=30.0):
    Q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    return Q @ np.diag(np.geomspace(1, condition, d)) @ Q.T


# -- inputs --------------------------------------------------------------------------------------------


def nested():
    return wb.Space(
        [
            wb.Bool("on"), wb.Int("n", 1, 3, when={"on": True}), wb.Float("m", 0, 1, when={"n": [2, 3]}),
            wb.Vector("z", 2), wb.Categorical("k", ["a", "b", "c"]),
        ]
    )  # fmt: skip


def test_model_points_equal_those_in_torch_whatever_stands_in_inactive_columns():
    space = nested()
    inputs, X = Inputs(space), space.sobol(64, 3)
    filled = np.where(np.isnan(X), 0.3, X)
    for points in (X, filled):
        np.testing.assert_array_equal(inputs.model_points(points), inputs.from_encoded(points).numpy())
    np.testing.assert_array_equal(inputs.model_points(filled), inputs.model_points(X))


def test_gradients_are_pulled_back_as_torch_does_it():
    space = nested()
    inputs, rng = Inputs(space), np.random.default_rng(0)
    X = np.where(np.isnan(space.sobol(64, 3)), 0.3, space.sobol(64, 3))
    dZ = rng.normal(size=X.shape)
    tensor = torch.tensor(X, requires_grad=True)
    (inputs.scaled(tensor) * torch.from_numpy(dZ)).sum().backward()
    expected = tensor.grad.numpy().copy()
    expected[:, space.slices["k"]] = 0.0
    np.testing.assert_allclose(inputs.pull_back(X, dZ), expected, rtol=1e-15)


def test_neither_inputs_nor_search_import_torch():
    code = "import workbench.models.inputs, workbench.acquisition.search, sys; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


# -- continuous ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 6, 20])
def test_the_maximum_inside(d):
    centre = np.random.default_rng(d).uniform(0.2, 0.8, d)
    found = search(Quadratic(centre, spd(d, d)), cube(d))
    np.testing.assert_allclose(found.x, centre, atol=2e-3)
    assert found.value == pytest.approx(0.0, abs=1e-5)
    assert not found.late


@pytest.mark.parametrize("d", [2, 6, 20])
def test_the_maximum_on_the_boundary_equals_that_of_scipy(d):
    f = Quadratic(np.random.default_rng(d).uniform(-0.5, 1.5, d), spd(d, d))

    def loss(z):
        value, slope = f.value_and_grad(z[None])
        return -value[0], -slope[0]

    known = minimize(loss, np.full(d, 0.5), jac=True, bounds=Bounds(np.zeros(d), np.ones(d)), tol=1e-12)
    found = search(f, cube(d))
    assert found.value == pytest.approx(-known.fun, abs=1e-5)
    active = (known.x < 1e-9) | (known.x > 1 - 1e-9)
    np.testing.assert_array_equal(found.x[active], np.round(known.x[active]))  # on the face itself


def test_many_hills():
    space, top = cube(2), np.array([0.71, 0.23])

    def value(Z):
        r = Z - top
        return np.cos(14 * r).sum(1) - 2 * (r**2).sum(1)

    f = Function(value, lambda Z: -14 * np.sin(14 * (Z - top)) - 4 * (Z - top))
    for seed in range(5):
        np.testing.assert_allclose(search(f, space, seed).x, top, atol=1e-3)


def test_the_unit_of_the_acquisition_does_not_matter():
    A, centre = spd(4, 1), np.array([0.3, 0.6, 0.5, 1.2])
    found = [search(Quadratic(centre, A, scale=scale), cube(4)).x for scale in (1e-12, 1.0, 1e9)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    np.testing.assert_allclose(found[2], found[1], atol=1e-3)


def test_a_vector_is_searched_within_three_sd():
    space = wb.Space([wb.Vector("z", 3), wb.Float("x", 10, 20)])
    found = search(Quadratic([0.5, 0.9, 1.4, 0.5]), space)
    np.testing.assert_allclose(found.x, [0.0, 2.4, 3.0, 0.5], atol=1e-2)


@pytest.mark.parametrize("d", [2, 6, 20])
def test_starts_together_end_where_scipy_ends_one_by_one(d, monkeypatch):
    A, centre = spd(d, d), np.random.default_rng(d).uniform(-0.2, 1.2, d)

    def loss(U, numbers):
        r = U - centre
        return (r @ A * r).sum(1) - 0.3 * np.cos(6 * U).sum(1), 2 * r @ A + 1.8 * np.sin(6 * U)

    U = np.random.default_rng(0).random((7, d))
    together = ascent.descend(loss, U)
    monkeypatch.setattr(lbfgsb, "KNOWN", False)
    np.testing.assert_allclose(together, ascent.descend(loss, U), atol=1e-6)


# -- discrete ------------------------------------------------------------------------------------------


class Rough:
    """Random effects of each level and of each pair of levels: no order anywhere."""

    def __init__(self, space, seed, strength):
        rng = np.random.default_rng(seed)
        self.counts = [p.cardinality for p in space]
        self.spans = [c - 1 if p.box else 1 for p, c in zip(space, self.counts, strict=True)]
        self.single = [rng.normal(size=c) for c in self.counts]
        pairs = itertools.combinations(range(len(self.counts)), 2)
        self.pairs = {(i, j): strength * rng.normal(size=(self.counts[i], self.counts[j])) for i, j in pairs}

    def value(self, Z):
        index = np.rint(Z * self.spans).astype(int).T
        alone = sum(effects[i] for effects, i in zip(self.single, index, strict=True))
        return alone + sum(effects[index[i], index[j]] for (i, j), effects in self.pairs.items())

    def value_and_grad(self, Z):
        return self.value(Z), np.zeros_like(Z)


def combinations(space):
    return space.encode(
        [dict(zip(space.names, c, strict=True)) for c in itertools.product(*(p.values() for p in space))]
    )


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_alternation_against_enumeration_of_900_combinations(strength):
    space = wb.Space(
        [
            wb.Int("n", 0, 9), wb.Categorical("k", list("abcde")), wb.Bool("on"),
            wb.Ordinal("o", [1, 2, 3]), wb.Categorical("j", list("uvw")),
        ]
    )  # fmt: skip
    X, same = combinations(space), 0
    for seed in range(20):
        f = Rough(space, seed, strength)
        values = f.value(Inputs(space).model_points(X))
        found = search(f, space, seed, effort={"restarts": 6, "raw_samples": 96})
        assert found.value <= values.max()
        same += found.x.tolist() == X[values.argmax()].tolist()
    assert same >= 18  # measured: 20 and 19 of 20


def test_only_admitted_combinations_and_the_best_of_them():
    space = wb.Space([wb.Int("n", 0, 11), wb.Categorical("k", list("pqr")), wb.Bool("on"), wb.Ordinal("o", [1, 2, 3])])
    X, f = combinations(space), Rough(space, 5, 0.2)
    values = f.value(Inputs(space).model_points(X))
    shut = {x.tobytes() for x in X[np.argsort(-values)[:60]]}

    def admits(points):
        return np.array([x.tobytes() not in shut for x in points], dtype=bool)

    found = search(f, space, admits=admits)
    assert found.value == pytest.approx(np.sort(values)[-61], abs=1e-12)
    assert search(f, space, admits=lambda points: np.zeros(len(points), dtype=bool)) is None


@pytest.mark.parametrize("top", [12, 200, 1000])
def test_integers_and_numbers_that_pull_at_each_other(top):
    space = wb.Space([wb.Int("n", 0, top), wb.Float("x", 0, 1), wb.Float("y", 0, 1)])
    f = Quadratic([0.4321, 0.2, 0.7], spd(3, 2, 50.0))
    levels = np.arange(top + 1) / top
    rest = f.centre[1:] - np.outer(levels - f.centre[0], f.A[0, 1:]) @ np.linalg.inv(f.A[1:, 1:])  # best x, y at each n
    best = f.value(np.column_stack([levels, rest])).max()
    for seed in range(3):
        found = search(f, space, seed)
        assert found.value == pytest.approx(best, abs=1e-6)
        assert found.x[0] * top == pytest.approx(round(found.x[0] * top), abs=1e-9)


def test_very_many_levels_are_rounded():
    space = wb.Space([wb.Int("n", 0, 10**6), wb.Float("x", 0, 1)])
    found = search(Quadratic([0.43219876, 0.3]), space)
    assert found.value == pytest.approx(0.0, abs=1e-6)
    assert space.encode(space.decode(found.x[None]))[0].tolist() == found.x.tolist()


def test_each_choice_has_its_own_hill():
    space = wb.Space([wb.Categorical("k", list("abcdefgh")), wb.Float("x", 0, 1), wb.Float("lr", 1e-4, 1, log=True)])
    tops = np.random.default_rng(0).random((8, 2))
    heights = np.array([0.0, 0.3, 0.1, 0.9, 0.2, 0.95, 0.5, 0.4])

    def hill(Z):
        k = np.rint(Z[:, 0]).astype(int)
        return heights[k], Z[:, 1:] - tops[k]

    def value(Z):
        height, r = hill(Z)
        return height - 4 * (r**2).sum(1)

    f = Function(value, lambda Z: np.column_stack([np.zeros(len(Z)), -8 * hill(Z)[1]]))
    for seed in range(5):
        found = search(f, space, seed, effort={"restarts": 4, "raw_samples": 64})
        assert found.x[0] == 5
        np.testing.assert_allclose(found.x[1:], tops[5], atol=1e-3)


# -- conditionals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bonus", [-1.0, 1.0])
def test_a_parameter_that_exists_with_a_switch(bonus):
    space = wb.Space([wb.Bool("on"), wb.Float("m", 0, 1, when={"on": True}), wb.Float("x", 0, 1)])

    def value(Z):
        return bonus * Z[:, 0] - Z[:, 0] * (Z[:, 1] - 0.9) ** 2 - (Z[:, 2] - 0.3) ** 2

    def gradient(Z):
        inner = Z[:, 1] - 0.9
        return np.column_stack([bonus - inner**2, -2 * Z[:, 0] * inner, -2 * (Z[:, 2] - 0.3)])

    found = search(Function(value, gradient), space)
    if bonus < 0:
        assert np.isnan(found.x[1])
        assert found.x[0] == 0
    else:
        np.testing.assert_allclose(found.x[:2], [1.0, 0.9], atol=2e-3)
    assert found.x[2] == pytest.approx(0.3, abs=2e-3)


# -- constraints ---------------------------------------------------------------------------------------


def test_a_linear_constraint_that_binds():
    found = search(Quadratic([0.9, 0.8, 0.5]), cube(3, ["x0 + x1 <= 1"]))
    np.testing.assert_allclose(found.x, [0.55, 0.45, 0.5], atol=2e-3)  # the projection of the centre


def test_a_linear_constraint_that_does_not_bind():
    found = search(Quadratic([0.2, 0.3, 0.5]), cube(3, ["x0 + x1 <= 1"]))
    np.testing.assert_allclose(found.x, [0.2, 0.3, 0.5], atol=2e-3)


def test_an_equality():
    space = cube(3, ["x0 + x1 + x2 == 1.2"])
    found = search(Quadratic([0.9, 0.8, 0.4]), space)
    np.testing.assert_allclose(found.x, [0.6, 0.5, 0.1], atol=2e-3)
    assert space.violations(space.decode(found.x[None])[0]) == []


def test_an_equality_with_an_integer():
    space = wb.Space([wb.Float("x", 0, 5), wb.Float("y", 0, 5), wb.Int("n", 0, 2)], ["x + y + 2*n == 5"])
    f = Quadratic([0.9, 0.4, 0.4])
    best = max(-((t - 0.9) ** 2) - (1 - 0.4 * n - t - 0.4) ** 2 - (n / 2 - 0.4) ** 2
               for n in (0, 1, 2) for t in np.linspace(0, 1 - 0.4 * n, 20001))  # fmt: skip
    found = search(f, space)
    assert found.value == pytest.approx(best, abs=1e-5)
    assert space.violations(space.decode(found.x[None])[0]) == []


def test_a_mixture_of_ten_parts():
    space = wb.Space([wb.Simplex("m", parts=10, total=100)], ["m_0 + m_1 <= 30", "m_2 >= 2*m_3"])
    centre = np.array([0.4, 0.1, 0.05, 0.15, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    f = Quadratic(centre)
    for seed in range(3):
        found = search(f, space, seed)
        point = space.decode(found.x[None])[0]
        assert abs(found.x.sum() - 1) <= 1e-12
        assert sum(point["m"].values()) == pytest.approx(100, abs=1e-10)
        assert space.violations(point) == []
        assert _duality_gap(f, found.x) < 1e-3


def _duality_gap(f, x):
    """What a concave function over the mixtures can still gain: the maximum of its tangent plane (Frank and Wolfe)."""
    slope = f.value_and_grad(x[None])[1][0]
    A = np.zeros((2, 10))
    A[0, :2], A[1, 2:4] = 1.0, [-1.0, 2.0]
    result = linprog(-slope, A, [0.3, 0.0], np.ones((1, 10)), [1.0], [(0, 1)] * 10)
    return -result.fun - slope @ x


def test_a_mixture_with_bounds_beside_other_kinds():
    space = wb.Space(
        [wb.Simplex("m", names=["u", "v", "w"], total=100, bounds={"u": (10, 60)}), wb.Int("n", 1, 3), wb.Bool("on")],
        ["v <= 2*w"],
    )
    found = search(Quadratic([0.9, 0.1, 0.0, 0.5, 0.0]), space)
    assert found.x[0] == pytest.approx(0.6, abs=1e-9)
    np.testing.assert_allclose(found.x[1:3], [0.25, 0.15], atol=2e-3)
    assert found.x[3:].tolist() == [0.5, 0.0]


@pytest.mark.parametrize("kind", ["curved", "logarithm", "function"])
def test_constraints_that_gradients_do_not_know(kind):
    def disc(p):
        return p["x"] ** 2 + p["y"] ** 2 <= 0.5

    if kind == "logarithm":  # lr <= 0.01 is u <= 1/2
        space = wb.Space([wb.Float("x", 0, 1), wb.Float("lr", 1e-4, 1, log=True)], ["lr <= 0.01"])
        known = [0.3, 0.5]
        f = Quadratic([0.3, 0.9])
    else:
        rule = disc if kind == "function" else "x*x + y*y <= 0.5"
        space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1)], [rule])
        known = np.array([0.9, 0.6]) / np.hypot(0.9, 0.6) * np.sqrt(0.5)
        f = Quadratic([0.9, 0.6])
    for seed in range(3):
        found = search(f, space, seed)
        assert space.violations(space.decode(found.x[None])[0]) == []
        assert found.value == pytest.approx(f.value(np.array([known]))[0], abs=5e-3)


# -- fixed, near, admits -------------------------------------------------------------------------------


def test_fixed_values_stay_to_the_bit():
    space = wb.Space([wb.Float("x", 0, 3), wb.Float("y", 0, 1), wb.Categorical("k", ["a", "b"])])
    fixed = {"x": 0.1234567890123456, "k": "b"}
    found = search(Quadratic([0.9, 0.6], columns=slice(0, 2)), space, fixed=fixed, around=space.sobol(3, 0))
    assert found.x[[0, 2]].tolist() == space.encode([{**fixed, "y": 0.0}])[0, [0, 2]].tolist()
    assert found.x[1] == pytest.approx(0.6, abs=2e-3)
    whole = search(Quadratic([0.9, 0.6], columns=slice(0, 2)), space, fixed={**fixed, "y": 0.25})
    assert whole.x[1] == 0.25


def test_near_stays_near():
    space = wb.Space(
        [
            wb.Float("x", -5, 5), wb.Int("n", 1, 40), wb.Int("m", 0, 4), wb.Categorical("c", ["a", "b", "d"]),
            wb.Simplex("mix", names=["p", "q", "r"]), wb.Vector("z", 4), wb.Bool("on"),
        ]
    )  # fmt: skip
    centre = space.sobol(1, 4)[0]
    centre[space.slices["x"]] = 0.5
    target = np.where(np.arange(space.width) == 0, 1.0, 0.5)
    found = search(Quadratic(target), space, near=Vicinity(centre, 0.1), around=space.sobol(2, 0))
    assert beside(space, found.x[None], centre, 0.1).all()
    assert found.x[0] == pytest.approx(0.6, abs=1e-9)  # as far as it may go
    assert abs(found.x.sum()) < np.inf


def test_beside_a_shut_region():
    space, centre = cube(3), np.array([0.5, 0.4, 0.6])

    def admits(X):
        return np.abs(X - centre).max(axis=1) > 0.05

    found = search(Quadratic(centre), space, admits=admits)
    assert admits(found.x[None]).all()
    assert -found.value <= 0.05**2 * 1.3  # the nearest admitted points are at 0.05


def test_points_exist_and_none_is_better_than_the_best_screened():
    space = wb.Space(
        [
            wb.Float("x", -5, 10), wb.Float("lr", 1e-5, 1e-1, log=True), wb.Float("t", 20, 80, step=0.5),
            wb.Int("depth", 1, 8), wb.Categorical("act", ["relu", "tanh"]), wb.Ordinal("size", [16, 32, 64]),
            wb.Bool("bias"), wb.Float("momentum", 0, 1, when={"bias": True}), wb.Simplex("mix", parts=3, total=100),
        ],
        constraints=["x + 2*depth <= 12", "x * t <= 400"],
    )  # fmt: skip
    around = space.sobol(2, 9)
    for seed in range(4):
        f = Quadratic(np.random.default_rng(seed).random(space.width), spd(space.width, seed))
        found = search(f, space, seed, around)
        where = region(space)
        pool = screening_points(where, np.random.default_rng(seed), around, EFFORT["raw_samples"])
        assert found.value >= f.value(where.inputs.model_points(pool)).max()
        np.testing.assert_array_equal(existing(where, found.x[None])[0], found.x)
        assert space.violations(space.decode(found.x[None])[0]) == []
        assert found.value == pytest.approx(f.value(where.inputs.model_points(found.x[None]))[0], abs=1e-12)


# -- trouble -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [np.nan, -np.inf, np.inf, -1e30])
def test_no_value_in_half_of_the_space(nothing):
    inner = Quadratic([0.52, 0.5, 0.3])

    def broken(Z):
        return (Z[:, 0] < 0.5) | (Z[:, 1] > 0.9)

    def gradient(Z):
        return np.where(broken(Z)[:, None], np.nan if nothing != -1e30 else 0.0, inner.value_and_grad(Z)[1])

    f = Function(lambda Z: np.where(broken(Z), nothing, inner.value(Z)), gradient)
    found = search(f, cube(3))
    np.testing.assert_allclose(found.x, [0.52, 0.5, 0.3], atol=5e-3)


def test_no_value_anywhere_and_a_constant():
    zero = np.zeros_like
    assert search(Function(lambda Z: np.full(len(Z), np.nan), zero), cube(2)) is None
    assert search(Function(lambda Z: np.zeros(len(Z)), zero), cube(2)).value == 0.0


class Slow(Quadratic):
    def value_and_grad(self, Z):
        time.sleep(0.02)
        return super().value_and_grad(Z)


def test_time_over_before_and_while_searching():
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1), wb.Int("n", 0, 5)])
    f = Slow([0.3, 0.4, 0.6], spd(3, 0, 300.0))
    with pytest.raises(DeadlineReached):
        search(f, space, deadline=time.monotonic() - 1)
    begun = time.monotonic()
    found = search(f, space, deadline=begun + 0.1)
    assert found.late
    assert time.monotonic() - begun < 0.25
    pool = screening_points(region(space), np.random.default_rng(0), space.sobol(0, 0), EFFORT["raw_samples"])
    assert found.value >= f.value(Inputs(space).model_points(pool)).max()
    assert not search(f, space, deadline=time.monotonic() + 60).late


def test_time_over_during_the_screening():
    f = Slow([0.3, 0.4])
    effort = {"restarts": 4, "raw_samples": 4096}  # 16 batches of 0.02 s
    found = search(f, cube(2), effort=effort, deadline=time.monotonic() + 0.1)
    assert found.late
    assert f.calls < 16


def test_equal_inputs_give_equal_bits():
    space = wb.Space(
        [wb.Float("x", 0, 1), wb.Int("n", 0, 100), wb.Categorical("k", list("abc")), wb.Simplex("m", parts=3)],
        ["x + m_0 <= 1.2"],
    )
    f, around = Quadratic(np.full(6, 0.4), spd(6, 1)), space.sobol(3, 1)
    first, second = (search(f, space, 7, around) for _ in range(2))
    assert first.x.tobytes() == second.x.tobytes()
    assert first.value == second.value
    assert search(f, space, 7, around, deadline=time.monotonic() + 60).x.tobytes() == first.x.tobytes()


def test_starts_are_the_best_half_and_others_with_a_value():
    values = np.random.default_rng(0).normal(size=100)
    values[40:] = -np.inf
    rows = start_rows(values, np.random.default_rng(1), 10)
    assert rows[:5].tolist() == np.argsort(-values)[:5].tolist()
    assert len(set(rows.tolist())) == 10
    assert (rows < 40).all()
    assert len(start_rows(values[37:], np.random.default_rng(1), 10)) == 3


@pytest.mark.parametrize(("space", "restarts"), [(wb.Space([wb.Ordinal("k", [3])]), 4), (cube(1), 1)])
def test_the_smallest_spaces(space, restarts):
    found = search(Quadratic([0.5]), space, effort={"restarts": restarts, "raw_samples": 4})
    assert found.value == pytest.approx(0.0, abs=1e-5)


def test_a_search_asks_for_few_evaluations_and_many_points_at_once():
    """What a search costs beside its function is a constant for each call: about 0.1 ms on one core."""
    space, mixed = cube(6), wb.Space(
        [wb.Float("a", 0, 1), wb.Float("b", 0, 1), wb.Float("c", 0, 1), wb.Int("n", 1, 12),
         wb.Categorical("k", list("abcd")), wb.Ordinal("o", [1, 2, 4, 8])]
    )  # fmt: skip

    class Counted(Quadratic):
        calls = 0

        def value(self, Z):
            self.calls += 1
            return super().value(Z)

        def value_and_grad(self, Z):
            self.calls += 1
            return super().value_and_grad(Z)

    for where, most in ((space, 60), (mixed, 150)):
        f = Counted(np.full(6, 0.4), spd(6, 0))
        search(f, where, around=where.sobol(3, 1), effort={"restarts": 10, "raw_samples": 384})
        assert f.calls <= most
