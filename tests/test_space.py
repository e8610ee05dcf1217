"""Spaces: points, activity, encoding, fixed values, sizes, feasibility."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import ConstraintError, InfeasibleSpaceError, InvalidValueError, SpaceError
from workbench.space import (
    Bool,
    Categorical,
    Float,
    Int,
    Ordinal,
    Parameter,
    Permutation,
    Sequence,
    Simplex,
    Space,
    Subset,
    Vector,
)


def everything(constraints: tuple[str, ...] = ("x + 2*depth <= 12", "x * t <= 400")) -> Space:
    return Space(
        [
            Float("x", -5, 10, unit="mm"),
            Float("lr", 1e-5, 1e-1, log=True),
            Float("t", 20, 80, step=0.5),
            Int("depth", 1, 8),
            Categorical("act", ["relu", "tanh"]),
            Ordinal("size", [16, 32, 64]),
            Bool("bias"),
            Float("momentum", 0, 1, when={"bias": True}),
            Simplex("mix", names=["a", "b", "c"], total=100, bounds={"a": (10, 60)}, max_nonzero=2),
            Vector("z", 4),
            Permutation("order", 6),
            Subset("pick", 10, k=3),
            Sequence("dna", "ACGT", 8, 12),
        ],
        constraints,
    )


def conditional() -> Space:
    return Space(
        [
            Categorical("model", ["tree", "net", "none"]),
            Int("depth", 1, 4, when={"model": "tree"}),
            Bool("deep", when={"model": ["net", "tree"]}),
            Int("layers", 2, 3, when={"deep": True}),
            Float("lr", 0, 1, step=0.5),
        ]
    )


# -- encode and decode ------------------------------------------------------------------------


def test_round_trip_of_everything() -> None:
    space = everything()
    X = space.uniform(200, np.random.default_rng(0))
    points = space.decode(X)
    assert X.shape == (200, space.width)
    assert np.array_equal(space.encode(points), X, equal_nan=True)
    for point in points[:50]:
        checked = space.check(point)
        assert list(checked) == [name for name in space.names if name in point]
        assert space.violations(point) == []
        assert ("momentum" in point) == point["bias"]


def test_columns_and_slices() -> None:
    space = everything()
    assert space.columns[:10] == ("x", "lr", "t", "depth", "act", "size", "bias", "momentum", "a", "b")
    assert space.slices["mix"] == slice(8, 11)
    assert space.slices["dna"].stop == space.width == len(space.columns)
    assert len(space) == len(list(space)) == 13
    assert "x" in space
    assert "a" not in space
    assert space["depth"] == Int("depth", 1, 8)


def test_inactive_columns_decide_nothing() -> None:
    space = conditional()
    X = space.encode([{"model": "net", "deep": True, "layers": 3, "lr": 0.5}])
    assert np.isnan(X[0]).tolist() == [False, True, False, False, False]
    X[0, 1] = 0.7  # depth exists only with a tree
    assert space.decode(X) == [{"model": "net", "deep": True, "layers": 3, "lr": 0.5}]
    assert space.mask(X).tolist() == [[True, False, True, True, True]]
    X[0, 0] = 2  # none: deep goes, and layers with it, whatever their columns hold
    assert space.decode(X) == [{"model": "none", "lr": 0.5}]
    assert space.mask(X).tolist() == [[True, False, False, False, True]]


def test_encode_leaves_inactive_and_absent_values_out() -> None:
    space = conditional()
    X = space.encode([{"model": "none", "deep": True, "layers": 2}, {}])
    assert np.isnan(X).tolist() == [[False, True, True, True, True], [True, True, True, True, True]]
    assert space.encode([]).shape == (0, 5)
    assert space.decode(np.empty((0, 5))) == []


def test_decode_refuses_what_it_cannot_read() -> None:
    space = conditional()
    with pytest.raises(InvalidValueError, match=r"expected X of shape \(n, D=5\), got \(2, 3\)"):
        space.decode(np.zeros((2, 3)))
    with pytest.raises(InvalidValueError, match="lr: expected finite columns"):
        space.decode(np.array([[2, 0, 0, 0, np.nan]]))


def test_points_outside_the_bounds_are_data() -> None:
    space = Space([Float("x", 0, 1), Int("k", 0, 4)], ["x + k <= 3"])
    point = space.check({"x": 1.5, "k": 8}, bounds=False)
    assert space.encode([point]).tolist() == [[1.5, 2.0]]
    assert space.violations(point) == ["x + k <= 3: 9.5 > 3"]


kinds: st.SearchStrategy[Any] = st.sampled_from(
    [
        lambda name, when: Float(name, -1, 3, when=when),
        lambda name, when: Float(name, 1e-3, 1, log=True, when=when),
        lambda name, when: Float(name, 0, 2, step=0.25, when=when),
        lambda name, when: Int(name, 1, 9, when=when),
        lambda name, when: Bool(name, when=when),
        lambda name, when: Categorical(name, ["u", 2, None], when=when),
        lambda name, when: Ordinal(name, [1, 2, 5], when=when),
        lambda name, when: Simplex(name, parts=3, total=7, when=when),
        lambda name, when: Vector(name, 2, when=when),
        lambda name, when: Permutation(name, 3, when=when),
        lambda name, when: Subset(name, 4, k=2, when=when),
        lambda name, when: Sequence(name, "AB", 1, 3, when=when),
    ]
)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    parameters: list[Parameter] = []
    for i in range(draw(st.integers(1, 6))):
        parents = [p for p in parameters if p.discrete and p.width == 1]
        when = None
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            when = {parent.name: draw(st.lists(st.sampled_from(list(parent.values())), min_size=1, max_size=2))}
        parameters.append(draw(kinds)(f"p{i}", when))
    return Space(parameters)


@given(spaces(), st.integers(0, 2**70))
@settings(deadline=None, max_examples=60)
def test_random_spaces_keep_their_word(space: Space, seed: int) -> None:
    X = space.sobol(12, seed)
    points = space.decode(X)
    assert np.array_equal(space.encode(points), X, equal_nan=True)
    assert np.array_equal(np.isnan(X), ~space.mask(X))
    for point in points:
        assert space.active(point) == set(point)
        space.check(point)
    assert len({space.key(point) for point in points}) == len({row.tobytes() for row in X})
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert np.array_equal(again.sobol(12, seed), X, equal_nan=True)
    size = space.size()
    assert (size is None) == any(not p.discrete for p in space)


# -- check, active, key -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"modle": "tree"}, "did you mean 'model'"),
        ({"q": 1}, "the names are model, depth"),
        ({"model": "tree", "deep": True, "layers": 2, "lr": 0}, "depth: expected a whole number"),
        ({"model": "none", "lr": 0, "deep": True}, "deep: expected to be absent.*model = 'net' or 'tree'"),
        ({"model": "none", "lr": 0, "layers": 2}, "layers: expected to be absent"),
        ({"model": "wood", "lr": 0}, "model: expected one of"),
        ({"model": "none", "lr": 0.3}, "nearest value is 0.5"),
        ({"model": "none", "lr": 1.5}, "within the bounds"),
        ([1], "a dict name -> value"),
    ],
)
def test_check_refuses(point: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        conditional().check(point)


def test_check_of_parts_of_a_point() -> None:
    space = conditional()
    assert space.check({"lr": 1, "layers": 2.0}, complete=False) == {"layers": 2, "lr": 1.0}
    with pytest.raises(InvalidValueError, match="layers: expected to be absent"):
        space.check({"deep": False, "layers": 2}, complete=False)


def test_active_follows_chains() -> None:
    space = conditional()
    assert space.active({"model": "tree", "deep": True}) == {"model", "depth", "deep", "layers", "lr"}
    assert space.active({"model": "none", "deep": True}) == {"model", "lr"}
    assert space.active({}) == {"model", "lr"}


def test_key_tells_points_apart_exactly() -> None:
    space = Space([Float("x", -1, 1), Vector("z", 2)])
    z = np.zeros(2)
    assert space.key({"x": 0.1, "z": z}) != space.key({"x": np.nextafter(0.1, 1), "z": z})
    assert space.key({"x": 0.0, "z": z}) == space.key({"x": -0.0, "z": -z})
    assert space.key({"x": 0.0}) != space.key({"x": 0.0, "z": z})


@pytest.mark.parametrize(
    ("fixed", "complete"),
    [
        ({}, {}),
        ({"depth": 2}, {"model": "tree", "depth": 2}),
        ({"lr": 1, "model": "none"}, {"model": "none", "lr": 1.0}),
        ({"layers": 2, "model": "net"}, {"model": "net", "deep": True, "layers": 2}),
    ],
)
def test_complete_fixed_implies_parents(fixed: dict[str, Any], complete: dict[str, Any]) -> None:
    assert list(conditional().complete_fixed(fixed).items()) == list(complete.items())


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"layers": 2}, "deep: expected model to be fixed, too"),
        ({"deep": True}, "deep: expected model to be fixed, too"),
        ({"depth": 2, "model": "net"}, "depth: expected model = 'tree' beside it, got model='net'"),
        ({"depth": 9}, "depth: expected a whole number from 1 to 4"),
        ({"lrr": 1}, "did you mean 'lr'"),
    ],
)
def test_complete_fixed_refuses(fixed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        conditional().complete_fixed(fixed)


# -- size -------------------------------------------------------------------------------------


def brute_force(space: Space) -> int:
    points: list[dict[str, Any]] = [{}]
    for parameter in space:
        grown = []
        for point in points:
            if parameter.name in space.active(point):
                grown += [{**point, parameter.name: value} for value in parameter.values()]
            else:
                grown.append(point)
        points = grown
    return len({space.key(point) for point in points})


def test_size_counts_conditional_points() -> None:
    # tree: 4 depths * (1 + 2 layers); net: 1 + 2; none: 1; times 3 rates.
    assert conditional().size() == 3 * (4 * 3 + 3 + 1) == brute_force(conditional())
    both = Space(
        [
            Int("a", 1, 3),
            Bool("b"),
            Int("c", 1, 5, when={"a": [1, 3], "b": True}),
            Ordinal("d", [1, 2, 3], when={"c": [2, 4]}),
            Subset("s", 4, k=2),
        ]
    )
    assert both.size() == brute_force(both)
    assert Space([Int("k", 0, 10**15), Permutation("p", 20)]).size() == (10**15 + 1) * 2432902008176640000
    assert Space([Bool("b"), Float("x", 0, 1, when={"b": True})]).size() is None


# -- declarations -----------------------------------------------------------------------------

BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "empty": (lambda: Space([]), SpaceError, "at least one parameter"),
    "no parameter": (lambda: Space(["x"]), SpaceError, "expected parameters"),  # type: ignore[list-item]
    "duplicate": (lambda: Space([Bool("x"), Int("x", 0, 1)]), SpaceError, "'x' twice"),
    "part is a name": (lambda: Space([Simplex("m", names=["a", "b"]), Bool("b")]), SpaceError, "'b' twice"),
    "part is a category": (
        lambda: Space([Categorical("a", ["x"]), Simplex("m", names=["a", "b"])]),
        SpaceError,
        "'a' twice",
    ),
    "unknown parent": (
        lambda: Space([Bool("deep"), Bool("x", when={"dep": True})]),
        SpaceError,
        "did you mean 'deep'",
    ),
    "later parent": (
        lambda: Space([Bool("x", when={"y": True}), Bool("y")]),
        SpaceError,
        "Declare the parent first",
    ),
    "own parent": (lambda: Space([Bool("x", when={"x": True})]), SpaceError, "declared before it"),
    "continuous parent": (
        lambda: Space([Float("y", 0, 1), Bool("x", when={"y": 1})]),
        SpaceError,
        "single discrete values",
    ),
    "structured parent": (
        lambda: Space([Permutation("y", 2), Bool("x", when={"y": [(0, 1)]})]),
        SpaceError,
        "single discrete",
    ),
    "impossible value": (
        lambda: Space([Int("y", 0, 3), Bool("x", when={"y": 4})]),
        SpaceError,
        "cannot take",
    ),
    "wrong type": (lambda: Space([Bool("y"), Bool("x", when={"y": 1})]), SpaceError, "cannot take"),
    "unknown in constraint": (
        lambda: Space([Float("x", 0, 1)], ["y <= 1"]),
        ConstraintError,
        "numeric names",
    ),
    "category in constraint": (
        lambda: Space([Categorical("c", ["a"])], ["c <= 1"]),
        ConstraintError,
        "there are none",
    ),
    "one text": (lambda: Space([Float("x", 0, 1)], "x <= 1"), ConstraintError, "a list of constraints"),
    "call": (lambda: Space([Float("x", 0, 1)], ["exp(x) <= 1"]), ConstraintError, "function call"),
    "out of reach": (lambda: Space([Float("x", 0, 1)], ["x >= 2"]), InfeasibleSpaceError, "x from 0 to 1"),
    "equality out of reach": (
        lambda: Space([Int("k", 0, 3), Float("x", 0, 1)], ["x + k == 5"]),
        InfeasibleSpaceError,
        "leaves none",
    ),
    "constant": (lambda: Space([Float("x", 0, 1)], ["x - x >= 1"]), InfeasibleSpaceError, "leaves none"),
    "together": (
        lambda: Space([Float("x", 0, 1), Float("y", 0, 1)], ["x >= y + 0.2", "y >= x + 0.2"]),
        InfeasibleSpaceError,
        "together 'x >= y",
    ),
    "chain": (lambda: Space([Float("x", 0, 1)], ["0.7 <= x <= 0.3"]), InfeasibleSpaceError, "together"),
    "mixture": (
        lambda: Space([Simplex("m", parts=3)], ["m_0 + m_1 + m_2 <= 0.9"]),
        InfeasibleSpaceError,
        "together",
    ),
    "json": (lambda: Space.from_json({"parameters": []}), SpaceError, "with parameters and constraints"),
}


@pytest.mark.parametrize(("declare", "error", "message"), BAD.values(), ids=BAD.keys())
def test_bad_spaces_are_refused(declare: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        declare()


def test_a_contradiction_over_conditional_names_is_vacuous() -> None:
    space = Space([Bool("b"), Float("x", 0, 1, when={"b": True})], ["x >= 2"])
    assert {point["b"] for point in space.decode(space.sobol(20, 0))} == {False}


# -- constraints on points --------------------------------------------------------------------


def test_feasible_agrees_with_violations() -> None:
    space = everything(("x + 2*depth <= 12", "x * t <= 200", "a + b >= 40", "momentum <= size / 100", "bias <= x"))
    X = everything(()).uniform(400, np.random.default_rng(1))
    ok = space.feasible(X)
    assert 0.05 < ok.mean() < 0.95
    assert ok.tolist() == [space.violations(point) == [] for point in space.decode(X)]


def test_constraints_are_sentences() -> None:
    space = everything()
    point = {**space.decode(space.sobol(1, 0))[0], "x": 3.5, "depth": 5, "t": 80.0}
    assert space.violations(point) == ["x + 2*depth <= 12: 13.5 > 12"]


# -- values -----------------------------------------------------------------------------------


def test_spaces_are_values() -> None:
    space = everything()
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert hash(again) == hash(space)
    assert again != everything(())
    thawed = pickle.loads(pickle.dumps(space))
    assert thawed == space
    assert np.array_equal(thawed.sobol(3, 1), space.sobol(3, 1), equal_nan=True)
    assert repr(conditional()).splitlines()[1] == "    Categorical('model', choices=['tree', 'net', 'none']),"


def test_declaring_a_space_loads_nothing_heavy() -> None:
    code = (
        "import sys; from workbench.space import *;"
        "s = Space([Float('x', 0, 1), Int('k', 0, 4)], ['x + k <= 3', 'x >= 0.1']);"
        "s.decode(s.encode([{'x': 0.5, 'k': 1}]));"
        "print([name for name in ('torch', 'scipy', 'botorch') if name in sys.modules])"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
