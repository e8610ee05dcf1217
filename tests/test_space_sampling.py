"""Draws under constraints: the skip rule, nothing violated, and the same distribution as rejection."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from workbench.errors import InfeasibleSpaceError, InvalidValueError
from workbench.space import Bool, Categorical, Float, Int, Ordinal, Simplex, Space, Vector
from workbench.space.polytope import polytope
from workbench.space.sampling import Plan, Sobol, Uniform

PAIR = [Float("x", 0, 10), Float("y", 0, 10)]
TEN = ["mix_0 + mix_1 + mix_2 >= 0.75", "mix_3 + 2*mix_4 >= 0.25*mix_5 + 0.1"]

SPACES: dict[str, Space] = {
    "free": Space([Float("x", 0, 1), Bool("b"), Float("m", 0, 1, when={"b": True}), Vector("z", 3)]),
    "mild": Space([Float("x", -5, 10), Int("depth", 1, 8)], ["x + 2*depth <= 12"]),
    "nonlinear": Space([Float("x", 0, 10), Float("lr", 1e-4, 1, log=True)], ["x * lr <= 0.01", "x**2 >= 1"]),
    "chain": Space(PAIR, ["1 <= x - y <= 3"]),
    "equality": Space([*PAIR, Bool("c")], ["x + y == 6"]),
    "equality with levels": Space([Float("x", 0, 10), Int("k", 0, 10)], ["x + 2*k == 10.5"]),
    "equality of levels": Space([Int(f"k{i}", 0, 60) for i in range(4)], ["k0 + k1 + k2 + k3 == 60"]),
    "thin": Space([Float(f"x{i}", 0, 1) for i in range(5)], ["x0 + x1 + x2 + x3 + x4 <= 0.3"]),
    "thin with levels": Space(
        [Int("k", 0, 50), Int("l", 0, 50), Float("x", 0, 50), Float("t", 0, 50, step=0.5)],
        ["k + l + x + t <= 12"],
    ),
    "thin with log": Space(
        [Float("x", 0, 100), Float("y", 0, 100), Float("lr", 0.1, 10, log=True)], ["x + y <= lr", "x >= y"]
    ),
    "thin with choices": Space(
        [
            Bool("b"),
            Float("u", 0, 1, when={"b": True}),
            Float("x", 0, 1),
            Float("y", 0, 1),
            Ordinal("s", [0.001, 0.01, 2]),
            Vector("z", 2),
        ],
        ["u + x + y <= s", "x + y <= 0.02"],
    ),
    "thin and nonlinear": Space([*PAIR, Float("w", 0, 10)], ["x + y + w <= 0.5", "x * y >= 0.001"]),
    "ten parts": Space([Simplex("mix", parts=10)], TEN),
    "most of twelve switches": Space(
        [*(Bool(f"b{i}") for i in range(12)), Float("x", 0, 1)],
        [" + ".join(f"b{i}" for i in range(12)) + " >= 11"],
    ),
    "few of ten parts": Space(
        [Simplex("mix", parts=10, total=100, bounds={"mix_0": (5, 60)}, max_nonzero=4)],
        ["mix_0 + mix_1 + mix_2 >= 92", "mix_3 >= 2"],
    ),
}


def drawn(space: Space, n: int, seed: int = 0) -> np.ndarray:
    return space.uniform(n, np.random.default_rng(seed))


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_no_constraint_is_ever_violated(space: Space) -> None:
    for X in (drawn(space, 20), space.sobol(40, 2**80)):
        points = space.decode(X)
        assert X.shape == (len(points), space.width)
        assert [space.violations(point) for point in points] == [[]] * len(points)
        assert np.array_equal(space.encode(points), X, equal_nan=True)
        assert np.array_equal(np.isnan(X), ~space.mask(X))
        for point in points:
            space.check(point, bounds=True)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
def test_skip_rule(space: Space) -> None:
    X = space.sobol(40, 2**80)
    for n, skip in ((1, 0), (5, 3), (11, 29), (1, 39), (0, 7)):
        assert np.array_equal(space.sobol(n, 2**80, skip=skip), X[skip : skip + n], equal_nan=True)
    # A new plan remembers no blocks.
    assert np.array_equal(Plan(space, {}).take(Sobol(2**80), 6, 10), X[10:16], equal_nan=True)
    assert not np.array_equal(space.sobol(3, 4), X[:3], equal_nan=True)


def test_which_spaces_go_by_chains() -> None:
    chains = {name for name, space in SPACES.items() if not Plan(space, {}).blind}
    assert chains == set(SPACES) - {"free", "mild", "nonlinear", "chain"}


def test_ten_parts_are_not_drawn_blindly() -> None:
    space = SPACES["ten parts"]
    free = Space([Simplex("mix", parts=10)])
    assert space.feasible(drawn(free, 20_000)).mean() < 1e-3
    source = Uniform(np.random.default_rng(0))
    X = Plan(space, {}).take(source, 10, 0)
    assert space.feasible(X).all()
    assert source.drawn < 20  # rejection would need ten thousands


def test_sobol_fills_the_space_evenly() -> None:
    X = Space(PAIR).sobol(64, 5)
    for x in X.T:
        # A scrambled (0, 6, 1)-net: one point in each of 64 equal intervals.
        assert sorted(np.floor(x * 64).astype(int).tolist()) == list(range(64))


# -- distributions ----------------------------------------------------------------------------


def quantities(space: Space, X: np.ndarray) -> np.ndarray:
    columns = space.quantities(X)
    return np.stack([columns[name] for name in sorted(columns)], axis=1)


def chained(space: Space, n: int) -> np.ndarray:
    plan = Plan(space, {})
    plan.blind = False
    return plan.take(Uniform(np.random.default_rng(11)), n, 0)


def rejected(space: Space, n: int) -> np.ndarray:
    plan = Plan(space, {})
    plan.blind = True
    return plan.take(Uniform(np.random.default_rng(12)), n, 0)


MILD: dict[str, Space] = {
    "mixture": Space([Simplex("m", parts=4, bounds={"m_3": (0.05, 0.6)})], ["m_0 + m_1 >= 0.5", "m_2 <= 0.2"]),
    "box": Space([*PAIR, Float("w", 0, 10)], ["x + y <= 8", "w <= 2*x"]),
    "levels": Space([Int("k", 0, 6), Int("l", -3, 3), Float("x", 0, 4)], ["k + l + x <= 3", "k >= l"]),
    "steps": Space([Float("t", 0, 3, step=0.5), Float("x", 0, 3)], ["t + x <= 2.2"]),
}


@pytest.mark.parametrize("space", MILD.values(), ids=MILD.keys())
def test_chains_agree_with_rejection(space: Space) -> None:
    n = 1_200
    A, B = quantities(space, chained(space, n)), quantities(space, rejected(space, 20 * n))
    assert A.shape[0] == n
    # By the rule of `thinning` neighbours correlate by at most 1/e, so that n points of a chain are worth
    # at least n (1 - 1/e) / (1 + 1/e) = 0.46 n independent ones; five standard errors.
    worth = 0.46 * n
    for power in (1, 2):
        gap = np.abs((A**power).mean(axis=0) - (B**power).mean(axis=0))
        assert (gap < 5 * (B**power).std(axis=0) * math.sqrt(1 / worth + 1 / len(B))).all()
    # Kolmogorov-Smirnov, level 1e-6: 2.69 sqrt(1 / worth + 1 / len(B)).
    for a, b in zip(A.T, B.T, strict=True):
        grid = np.unique(b)[:: max(1, len(np.unique(b)) // 500)]
        cdf = [np.searchsorted(np.sort(s), grid, side="right") / len(s) for s in (a, b)]
        assert np.abs(cdf[0] - cdf[1]).max() < 2.69 * math.sqrt(1 / worth + 1 / len(B))


def test_levels_on_the_boundary_keep_their_share() -> None:
    space = Space([Int("k", 0, 3), Int("l", 0, 3)], ["k + l <= 3"])
    n = 1_200
    points = space.decode(chained(space, n))
    counts = Counter((point["k"], point["l"]) for point in points)
    # Ten admissible pairs, equally likely; neighbours of a chain correlate, hence the 0.46 as above.
    assert len(counts) == 10
    assert max(abs(count - n / 10) for count in counts.values()) < 5 * math.sqrt(n * 0.1 * 0.9 / 0.46)


def test_a_round_polytope_contains_what_it_should() -> None:
    # The triangle x + y <= 1 of the unit square: mean (1/3, 1/3).
    solved = polytope(np.array([[1.0, 1.0]]), np.array([1.0]), np.empty((0, 2)), np.empty(0))
    assert solved is not None
    t = solved.draw(1_000, 7)
    assert t.min() >= 0
    assert t.sum(axis=1).max() <= 1
    # sd of a coordinate sqrt(1/18); five standard errors at 0.46 n.
    assert np.abs(t.mean(axis=0) - 1 / 3).max() < 5 * math.sqrt(1 / 18 / (0.46 * 1_000))


def test_polytopes_without_an_interior() -> None:
    none = np.empty((0, 2)), np.empty(0)
    flat = polytope(np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([1.0, -1.0]), *none)  # x + y = 1
    assert flat is not None
    t = flat.draw(50, 0)
    assert np.abs(t.sum(axis=1) - 1).max() < 1e-9
    assert t[:, 0].std() > 0.2
    point = polytope(np.array([[1.0, 1.0]]), np.array([0.0]), *none)
    assert point is not None
    assert np.abs(point.draw(3, 0)).max() < 1e-9
    assert polytope(np.array([[1.0, 1.0]]), np.array([-1.0]), *none) is None


def test_torch_keeps_its_state() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    drawn(SPACES["thin"], 5)
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads


# -- fixed values and roles -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mild", "equality", "thin", "ten parts", "free"])
def test_fixed_values_are_exact(name: str) -> None:
    space = SPACES[name]
    fixed: dict[str, Any] = {
        "mild": {"depth": 3},
        "equality": {"x": 2.1},
        "thin": {"x0": 0.123456789},
        "ten parts": {"mix": space.decode(space.sobol(1, 0))[0].get("mix")},
        "free": {"m": 0.3},
    }[name]
    for X in (space.sobol(20, 0, fixed=fixed), space.uniform(20, np.random.default_rng(0), fixed)):
        for point in space.decode(X):
            assert {key: point[key] for key in fixed} == fixed
            assert space.violations(point) == []
    complete = space.complete_fixed(fixed)
    assert np.array_equal(space.sobol(5, 3, skip=4, fixed=complete), space.sobol(9, 3, fixed=fixed)[4:], equal_nan=True)


def test_fixed_values_that_contradict() -> None:
    space = SPACES["mild"]
    with pytest.raises(InfeasibleSpaceError, match=r"x \+ 2\*depth <= 12: 26 > 12"):
        space.sobol(1, 0, fixed={"x": 10, "depth": 8})
    with pytest.raises(InvalidValueError, match="within the bounds"):
        space.sobol(1, 0, fixed={"depth": 9})
    with pytest.raises(InfeasibleSpaceError, match="found 0 among"):
        SPACES["thin"].sobol(1, 0, fixed={"x0": 0.2, "x1": 0.2})


def test_roles() -> None:
    space = Space(
        [
            Int("epochs", 1, 100, role="fidelity", target=100),
            Categorical("plant", ["A", "B"], role="task", target="B"),
            Float("heat", 0, 50, role="context"),
            Float("noise", 0, 1, role="environment", samples=[0.1, 1 / 3]),
            Float("x", 0, 1),
        ],
        ["heat * x <= 20"],
    )
    X = space.sobol(30, 0, fixed={"heat": 40})
    points = space.decode(X)
    assert {(point["epochs"], point["plant"], point["heat"]) for point in points} == {(100, "B", 40.0)}
    assert {round(point["noise"], 9) for point in points} == {0.1, 0.333333333}
    assert max(point["x"] for point in points) <= 0.5
    assert np.array_equal(space.encode(points), X)
    assert {point["epochs"] for point in space.decode(space.sobol(3, 0, fixed={"heat": 1, "epochs": 7}))} == {7}
    with pytest.raises(InvalidValueError, match="heat: expected its present value"):
        space.sobol(1, 0)
    with pytest.raises(InvalidValueError, match="heat: expected its present value"):
        space.uniform(1, np.random.default_rng(0))


def test_chains_keep_to_the_samples_of_the_environment() -> None:
    noise = Float("noise", 0, 1, role="environment", samples=[0.01, 0.02])
    space = Space([Float("x", 0, 100), Float("y", 0, 100), noise], ["x + y + noise <= 1"])
    points = space.decode(space.sobol(20, 0))
    assert {point["noise"] for point in points} == {0.01, 0.02}
    assert all(space.violations(point) == [] for point in points)


def test_a_context_that_cannot_exist_is_not_asked_for() -> None:
    space = Space([Bool("b"), Float("heat", 0, 50, role="context", when={"b": True}), Float("x", 0, 1)])
    assert space.decode(space.sobol(2, 0, fixed={"b": False}))[0].keys() == {"b", "x"}
    with pytest.raises(InvalidValueError, match="heat"):
        space.sobol(2, 0)


# -- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "seed", "skip", "message"),
    [
        (-1, 0, 0, "n to be"),
        (1.5, 0, 0, "n to be"),
        (1, -1, 0, "a seed"),
        (1, True, 0, "a seed"),
        (1, 0, -1, "skip to be"),
    ],
)
def test_bad_requests(n: Any, seed: Any, skip: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        SPACES["free"].sobol(n, seed, skip=skip)


def test_what_cannot_be_found_is_said_with_counts() -> None:
    gaps = Space([Int("k", 0, 5), Int("l", 0, 5)], ["2*k + 4*l == 7"])
    with pytest.raises(InfeasibleSpaceError, match=r"found 0 among \d+ candidates"):
        gaps.sobol(1, 0)
    curve = Space(PAIR, ["x * y == 5"])
    with pytest.raises(InfeasibleSpaceError, match=r"x \* y == 5; found 0 among \d+ candidates"):
        curve.uniform(1, np.random.default_rng(0))


def test_wide_spaces() -> None:
    wide = Space([Vector("z", 1000), Float("x", 0, 1)], ["x <= 0.5"])
    X = wide.sobol(20, 0)
    assert X.shape == (20, 1001)
    assert np.array_equal(wide.sobol(3, 0, skip=6), X[6:9])


def test_a_space_of_fixed_values_only() -> None:
    space = Space([Float("x", 0, 1), Bool("b")], ["x <= 0.5"])
    assert space.decode(space.sobol(2, 0, fixed={"x": 0.25, "b": True})) == [{"x": 0.25, "b": True}] * 2
