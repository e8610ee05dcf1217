"""Every parameter kind: what it accepts, how it encodes, how it is drawn."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import InvalidValueError, SpaceError, WorkbenchWarning
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
    Subset,
    Vector,
)

KINDS: list[Parameter] = [
    Float("x", -5, 10, unit="mm", description="how far"),
    Float("lr", 1e-5, 1e-1, log=True),
    Float("tiny", 1e-300, 1e300, log=True),
    Float("far", 1e6, 1e6 + 1),
    Float("t", 20, 80, step=0.5),
    Float("tenth", 0.1, 0.9, step=0.1),
    Float("grid", 0.5, 64.5, step=0.5, log=True),
    Int("depth", 1, 8),
    Int("even", -6, 6, step=2),
    Int("units", 1, 4096, log=True),
    Int("big", 0, 2**53),
    Categorical("act", ["relu", "tanh", None, 3, 2.5]),
    Ordinal("size", [16, 32, 64]),
    Ordinal("grade", ["low", "mid", "high"]),
    Ordinal("only", [7]),
    Bool("bias"),
    Simplex("mix", parts=3),
    Simplex("blend", names=["a", "b", "c", "d"], total=100, bounds={"a": (10, 60)}, max_nonzero=2),
    Vector("z", 5),
    Vector("w", 3, prior="uniform", low=-2, high=7),
    Permutation("order", 6),
    Permutation("route", ["A", "B", "C"]),
    Subset("pick", 10, k=3),
    Subset("none", ["a", "b"], k=0),
    Sequence("dna", "ACGT", 8, 12),
    Sequence("words", ["in", "out", 3], 0, 4),
    Float("noise", 0, 1, role="environment", samples=[0.1, 0.25, 1 / 3], weights=[1, 0, 3]),
    Categorical("season", ["wet", "dry"], role="environment", weights=[0.25, 0.75]),
    Int("epochs", 1, 100, role="fidelity", target=100),
    Categorical("plant", ["A", "B"], role="task", target="B"),
    Float("heat", 0, 50, role="context", when={"bias": True, "act": ["relu", "tanh"]}),
]
BOXES = [kind for kind in KINDS if kind.box]
FINITE = [kind for kind in KINDS if kind.cardinality is not None and kind.cardinality <= 5000]


def ids(kind: Parameter) -> str:
    return kind.name


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else type(a) is type(b) and bool(a == b)


def uniforms(kind: Parameter, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, kind.draws))


# -- round trips ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=ids)
def test_draws_are_canonical_and_valid(kind: Parameter) -> None:
    X = kind.from_uniform(uniforms(kind, 300))
    values = kind.decode(X)
    assert X.shape == (300, kind.width)
    if kind.samples is None:
        assert np.array_equal(kind.encode(values), X)
    for value in values:
        assert same(kind.check(value, bounds=True), value)
    if kind.box:
        assert X.min() >= 0
        assert X.max() <= 1


@pytest.mark.parametrize("kind", KINDS, ids=ids)
def test_json_round_trip(kind: Parameter) -> None:
    data = json.loads(json.dumps(kind.to_json()))
    again = Parameter.from_json(data)
    assert again == kind
    assert hash(again) == hash(kind)
    for value in kind.decode(kind.from_uniform(uniforms(kind, 5))):
        assert same(again.check(json.loads(json.dumps(kind.plain(value)))), value)


@pytest.mark.parametrize("kind", FINITE, ids=ids)
def test_every_value_of_a_finite_kind_survives(kind: Parameter) -> None:
    values = list(kind.values())
    assert len(values) == kind.cardinality
    again = kind.decode(kind.encode(values))
    assert all(same(a, b) for a, b in zip(values, again, strict=True))
    assert len({kind.key(value) for value in values}) == len(values)


@pytest.mark.parametrize("kind", BOXES, ids=ids)
def test_decode_clips_to_the_ends(kind: Parameter) -> None:
    ends = kind.decode(np.array([[0.0], [1.0], [-3.0], [4.0]]) * np.ones((1, kind.width)))
    for value in ends:
        assert kind.inside(value)
    if kind.numeric is not None and kind.width == 1:
        low, high = kind.numeric.low[0], kind.numeric.high[0]
        assert [float(end) for end in ends] == [low, high, low, high]


bounds = st.tuples(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(bounds, st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(deadline=None, max_examples=150)
def test_float_round_trip(ends: tuple[float, float], shares: list[float]) -> None:
    low, high = ends
    if high - low < 1e-4 * max(abs(low), abs(high)):
        return
    kind = Float("x", low, high)
    values = [min(max(low + share * (high - low), low), high) for share in shares]
    again = np.array(kind.decode(kind.encode(values)))
    # Three roundings in each direction, of numbers of the size of the range's larger end.
    assert np.abs(again - values).max() <= 1e-12 * max(abs(low), abs(high))
    assert kind.decode([[0.0], [1.0]]) == [low, high]
    X = kind.from_uniform(np.array(shares)[:, None])
    assert np.array_equal(kind.encode(kind.decode(X)), X)


@given(st.floats(-300, 299), st.floats(0.1, 600), st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(deadline=None, max_examples=150)
def test_log_float_round_trip(start: float, decades: float, shares: list[float]) -> None:
    low, high = 10.0**start, 10.0 ** min(start + decades, 300)
    kind = Float("x", low, high, log=True)
    values = [min(max(low * (high / low) ** share, low), high) for share in shares] if decades < 300 else [low]
    again = np.array(kind.decode(kind.encode(values)))
    # The exponent carries eps |log x| of rounding, at most 691 * 2.2e-16, in four operations.
    assert np.abs(again / values - 1).max() <= 1e-12
    assert kind.decode([[0.0], [1.0]]) == [low, high]
    X = kind.from_uniform(np.array(shares)[:, None])
    assert np.array_equal(kind.encode(kind.decode(X)), X)


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.integers(1, 1000), st.booleans())
@settings(deadline=None, max_examples=150)
def test_int_round_trip(low: int, span: int, step: int, log: bool) -> None:
    low = abs(low) + 1 if log else low
    kind = Int("k", low, low + step * max(span // step, 1), log=log, step=step)
    rng = np.random.default_rng(span)
    values = [low + step * int(i) for i in rng.integers(0, kind.cardinality or 1, 50)]
    assert kind.decode(kind.encode(values)) == values


@given(st.integers(-1000, 1000), st.integers(1, 400), st.integers(1, 99), st.integers(0, 4))
@settings(deadline=None, max_examples=150)
def test_stepped_float_levels_are_decimal_literals(low: int, count: int, step: int, places: int) -> None:
    kind = Float("t", low / 10**places, (low + count * step) / 10**places, step=step / 10**places)
    expected = [float(f"{(low + i * step)}e-{places}") for i in range(count + 1)]
    assert list(kind.values()) == expected
    assert kind.decode(kind.encode(expected)) == expected


@given(st.permutations(range(7)))
def test_permutation_round_trip(order: list[int]) -> None:
    kind = Permutation("order", 7)
    assert kind.decode(kind.encode([order])) == [tuple(order)]


@given(st.text("ACGT", min_size=2, max_size=9))
def test_sequence_round_trip(text: str) -> None:
    kind = Sequence("dna", "ACGT", 2, 9)
    assert kind.decode(kind.encode([text])) == [text]
    assert kind.encode([text]).shape == (1, 9)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.floats(1e-3, 1e6))
@settings(deadline=None)
def test_simplex_round_trip(shares: list[float], total: float) -> None:
    kind = Simplex("mix", parts=len(shares), total=total)
    value = {part: total * share / sum(shares) for part, share in zip(kind.columns, shares, strict=True)}
    (again,) = kind.decode(kind.encode([value]))
    assert list(again) == list(kind.columns)
    assert max(abs(again[part] - value[part]) for part in value) <= 1e-12 * total


@pytest.mark.parametrize("v", [0.3, -1e-7, 1e-3, 9.9999, 0.1234567890123])
def test_short_decimals_survive_exactly(v: float) -> None:
    kind = Float("x", -5, 10)
    assert kind.decode(kind.encode([v])) == [v]


def test_values_outside_the_bounds_still_encode() -> None:
    assert Float("x", 0, 10).encode([15, -5]).tolist() == [[1.5], [-0.5]]
    assert Int("k", 0, 10).encode([20]).tolist() == [[2.0]]
    assert Float("lr", 1, 10, log=True).encode([100])[0, 0] == pytest.approx(2, rel=1e-15)
    assert Float("t", 0, 10, step=2.5).check(12.5) == 12.5
    with pytest.raises(InvalidValueError, match="within the bounds"):
        Float("t", 0, 10, step=2.5).check(12.5, bounds=True)


def test_positions_of_levels() -> None:
    assert Ordinal("s", [16, 32, 64]).encode([16, 32, 64])[:, 0].tolist() == [0, 0.5, 1]
    assert Ordinal("s", [7]).encode([7]).tolist() == [[0.5]]
    assert Int("k", 1, 100, log=True).encode([10])[0, 0] == pytest.approx(0.5, rel=1e-15)
    assert Int("k", 0, 4, step=2).encode([0, 2, 4])[:, 0].tolist() == [0, 0.5, 1]
    assert Categorical("c", ["x", "y", "z"]).encode(["z", "x"])[:, 0].tolist() == [2, 0]
    # sqrt(1 * 2) splits the log positions of 1 and 2.
    units = Int("k", 1, 4, log=True)
    assert units.decode([[math.log(1.4) / math.log(4)], [math.log(1.43) / math.log(4)]]) == [1, 2]


def test_structured_decode_of_any_numbers() -> None:
    assert Permutation("p", 4).decode([[0.3, -1.0, 9.0, 0.5]]) == [(1, 0, 3, 2)]
    assert Subset("s", ["a", "b", "c", "d"], 2).decode([[0.1, 0.9, 0.2, 0.8]]) == [("b", "d")]
    assert Sequence("q", "AB", 1, 3).decode([[-1, 1, -1], [0.6, 7, 0], [1, -1, 1]]) == ["AB", "BBA", "B"]
    mix = Simplex("m", parts=3, bounds={"m_0": (0.2, 0.5)})
    (point,) = mix.decode([[0.9, 0.9, 0.0]])
    assert mix.inside(point)
    assert sum(point.values()) == pytest.approx(1, abs=1e-12)
    # The projection of (0.9, 0.9, 0) with x_0 <= 0.5: x_0 stays at 0.5 if x_1 - t fits 0.5: t = 0.4.
    assert point == pytest.approx({"m_0": 0.5, "m_1": 0.5, "m_2": 0.0}, abs=1e-12)


def test_simplex_keeps_the_largest_parts() -> None:
    kind = Simplex("m", parts=4, max_nonzero=2)
    (point,) = kind.decode([[0.4, 0.1, 0.2, 0.3]])
    assert point == pytest.approx({"m_0": 0.55, "m_1": 0, "m_2": 0, "m_3": 0.45}, abs=1e-12)


# -- draws ------------------------------------------------------------------------------------

EQUAL: list[Parameter] = [
    Int("k", 1, 5),
    Int("k", 0, 20, step=5),
    Float("t", 0, 1, step=0.25),
    Categorical("c", list("abcde")),
    Ordinal("o", [1, 10, 100, 1000, 10000]),
    Bool("b"),
    Subset("s", 5, k=1),
    Sequence("q", "abcde", 1, 1),
    Permutation("p", 3),
]


@pytest.mark.parametrize("kind", EQUAL, ids=lambda kind: kind.kind)
def test_every_value_is_equally_likely(kind: Parameter) -> None:
    n = 20_000
    counts = Counter(kind.decode(kind.from_uniform(uniforms(kind, n, 1))))
    p = 1 / (kind.cardinality or 1)
    # Binomial: five standard deviations.
    assert len(counts) == kind.cardinality
    assert max(abs(count - n * p) for count in counts.values()) < 5 * math.sqrt(n * p * (1 - p))


def test_log_int_has_the_mass_of_its_log_width() -> None:
    kind, n = Int("k", 1, 8, log=True), 40_000
    counts = Counter(kind.decode(kind.from_uniform(uniforms(kind, n, 2))))
    for v in range(1, 9):
        p = math.log((v + 0.5) / (v - 0.5)) / math.log(8.5 / 0.5)
        assert abs(counts[v] - n * p) < 5 * math.sqrt(n * p * (1 - p))


def test_ends_of_the_uniform_reach_the_ends_of_the_range() -> None:
    last = np.nextafter(1.0, 0.0)
    for kind in EQUAL[:6]:
        ends = kind.decode(kind.from_uniform(np.array([[0.0], [last]])))
        values = list(kind.values())
        assert ends == [values[0], values[-1]]


def test_simplex_is_uniform_without_binding_bounds() -> None:
    kind, n = Simplex("m", parts=4), 20_000
    X = kind.from_uniform(uniforms(kind, n, 3))
    # Dirichlet(1, 1, 1, 1): marginals Beta(1, 3); Kolmogorov's 1e-6 quantile is about 2.7 / sqrt(n).
    for x in np.sort(X, axis=0).T:
        gap = np.abs((1 - (1 - x) ** 3) - (np.arange(n) + 0.5) / n).max()
        assert gap < 2.7 / math.sqrt(n)
    assert np.abs(X.sum(axis=1) - 1).max() < 1e-12


@pytest.mark.parametrize("high", [0.3, 0.5, 0.9])
def test_simplex_is_uniform_under_upper_bounds(high: float) -> None:
    capped = Simplex("m", parts=4, bounds={f"m_{i}": (0, high) for i in range(4)})
    X = capped.from_uniform(uniforms(capped, 20_000, 4))
    free = Simplex("m", parts=4)
    R = free.from_uniform(uniforms(free, 400_000, 5))
    R = R[(high >= R).all(axis=1)]
    assert high + 1e-12 >= X.max()
    for power in (1, 2, 3):
        # Difference of two means: five standard errors.
        error = math.sqrt((X[:, 0] ** power).var() / len(X) + (R[:, 0] ** power).var() / len(R))
        assert abs((X[:, 0] ** power).mean() - (R[:, 0] ** power).mean()) < 5 * error


def test_simplex_supports_are_equally_likely_and_honour_bounds() -> None:
    kind = Simplex("m", names=list("abcd"), total=10, bounds={"a": (1, 4), "b": (0, 5), "d": (0, 6)}, max_nonzero=2)
    n = 9_000
    values = kind.decode(kind.from_uniform(uniforms(kind, n, 6)))
    supports = Counter(tuple(part for part, amount in v.items() if amount > 0) for v in values)
    # a is always in; a + b reach at most 9, so only c and d can complete the total.
    assert set(supports) == {("a", "c"), ("a", "d")}
    assert abs(supports[("a", "c")] - n / 2) < 5 * math.sqrt(n / 4)
    assert all(kind.inside(v) for v in values)


def test_scenarios_follow_their_weights() -> None:
    n = 20_000
    noise = Float("x", 0, 1, role="environment", samples=[0.1, 0.25, 0.5], weights=[1, 0, 3])
    counts = Counter(noise.decode(noise.from_uniform(uniforms(noise, n, 7))))
    assert set(counts) == {0.1, 0.5}
    assert abs(counts[0.5] - 0.75 * n) < 5 * math.sqrt(n * 0.75 * 0.25)
    season = Categorical("s", ["wet", "dry"], role="environment", weights=[0.25, 0.75])
    counts = Counter(season.decode(season.from_uniform(uniforms(season, n, 8))))
    assert abs(counts["dry"] - 0.75 * n) < 5 * math.sqrt(n * 0.75 * 0.25)


def test_normal_vector_is_standard_normal() -> None:
    kind, n = Vector("z", 2), 20_000
    X = kind.from_uniform(np.vstack([uniforms(kind, n, 9), [[0.0, 1.0]]]))
    assert np.isfinite(X).all()
    assert np.abs(X[:n].mean(axis=0)).max() < 5 / math.sqrt(n)
    assert np.abs(X[:n].var(axis=0) - 1).max() < 5 * math.sqrt(2 / n)


# -- what is accepted -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "canonical"),
    [
        (Float("x", 0, 1), 1, 1.0),
        (Float("x", 0, 1), np.float32(0.5), 0.5),
        (Float("x", 0, 1), np.array(0.5), 0.5),
        (Float("t", 0, 1, step=0.1), 0.1 + 0.2, 0.3),
        (Int("k", 0, 9), 3.0, 3),
        (Int("k", 0, 9), np.int32(3), 3),
        (Categorical("c", ["a", 1]), 1.0, 1),
        (Categorical("c", ["a", 1]), np.str_("a"), "a"),
        (Ordinal("o", [1, 2]), np.int64(2), 2),
        (Bool("b"), np.True_, True),
        (Simplex("m", parts=2), [0.25, 0.75], {"m_0": 0.25, "m_1": 0.75}),
        (Simplex("m", parts=2), {"m_1": 1, "m_0": 0}, {"m_0": 0.0, "m_1": 1.0}),
        (Permutation("p", 3), [2, 0, 1], (2, 0, 1)),
        (Subset("s", ["a", "b", "c"], 2), {"c", "a"}, ("a", "c")),
        (Sequence("q", "AB", 1, 3), ["A", "B"], "AB"),
        (Sequence("q", ["in", "out"], 1, 3), ["in"], ("in",)),
    ],
)
def test_check_returns_the_canonical_value(kind: Parameter, given: Any, canonical: Any) -> None:
    assert same(kind.check(given), canonical)


def test_vectors_are_read_only() -> None:
    kind = Vector("z", 2)
    value = kind.check([1, 2])
    assert value.dtype == np.float64
    for vector in (value, kind.decode(kind.encode([value]))[0]):
        with pytest.raises(ValueError, match="read-only"):
            vector[0] = 3


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Float("x", 0, 1), True),
        (Float("x", 0, 1), "0.5"),
        (Float("x", 0, 1), None),
        (Float("x", 0, 1), math.nan),
        (Float("x", 0, 1), math.inf),
        (Float("x", 0, 1), 10**400),
        (Float("x", 1, 2, log=True), 0),
        (Int("k", 0, 9), True),
        (Int("k", 0, 9), 2.5),
        (Int("k", 0, 9), "3"),
        (Int("k", 0, 9), 2**60),
        (Categorical("c", ["a", 1]), True),
        (Categorical("c", ["a", 1]), "b"),
        (Categorical("c", ["a", 1]), ["a"]),
        (Ordinal("o", [1, 2]), 3),
        (Bool("b"), 1),
        (Bool("b"), "True"),
        (Simplex("m", parts=2), {"m_0": 1.0}),
        (Simplex("m", parts=2), {"m_0": 0.5, "m_1": 0.6}),
        (Simplex("m", parts=2), {"m_0": -0.5, "m_1": 1.5}),
        (Simplex("m", parts=2), "ab"),
        (Vector("z", 2), [1, 2, 3]),
        (Vector("z", 2), [1, math.nan]),
        (Vector("z", 2), ["1", "2"]),
        (Vector("z", 2), [[1], 2]),
        (Permutation("p", 3), [0, 1, 1]),
        (Permutation("p", 3), [0, 1]),
        (Permutation("p", 3), "012"),
        (Subset("s", 5, k=2), [1, 1]),
        (Subset("s", 5, k=2), [1, 7]),
        (Sequence("q", "AB", 1, 3), "ABAB"),
        (Sequence("q", "AB", 1, 3), "AC"),
        (Sequence("q", "AB", 1, 3), 3),
    ],
)
def test_check_refuses(kind: Parameter, value: Any) -> None:
    with pytest.raises(InvalidValueError, match=f"{kind.name}: expected .*, got .*"):
        kind.check(value)


@pytest.mark.parametrize(
    ("kind", "value", "column", "remedy"),
    [
        (Float("t", 0, 1, step=0.25), 0.3, 0.3, "nearest value is 0.25"),
        (Float("t", 1, 100, log=True, step=1), 10**0.5, 0.25, "nearest value is 3.0"),
        (Int("k", 0, 8, step=2), 3, 0.375, "nearest values are 2 and 4"),
        (Float("t", 0, 1, step=0.25), 1.7, 1.7, "within the bounds"),
    ],
)
def test_between_steps_is_data_but_no_choice(kind: Parameter, value: Any, column: float, remedy: str) -> None:
    assert kind.check(value) == value
    assert kind.encode([value])[0, 0] == pytest.approx(column, rel=1e-12)
    assert not kind.inside(value)
    with pytest.raises(InvalidValueError, match=remedy):
        kind.check(value, bounds=True)


def test_encode_and_decode_refuse_what_is_no_value() -> None:
    with pytest.raises(InvalidValueError, match="x: expected a number"):
        Float("x", 0, 1).encode([0.5, math.nan])
    with pytest.raises(InvalidValueError, match="x: expected a number"):
        Float("x", 0, 1).encode(["0.5"])
    with pytest.raises(InvalidValueError, match="c: expected one of"):
        Categorical("c", ["a"]).encode(["b"])
    with pytest.raises(InvalidValueError, match=r"expected columns of shape \(n, 1\)"):
        Float("x", 0, 1).decode(np.zeros((3, 2)))
    with pytest.raises(InvalidValueError, match="NaN"):
        Float("x", 0, 1).decode([[np.nan]])


# -- declarations -----------------------------------------------------------------------------

BAD = {
    "low = high": lambda: Float("x", 1, 1),
    "low > high": lambda: Int("x", 2, 1),
    "log at 0": lambda: Float("x", 0, 1, log=True),
    "log below 0": lambda: Int("x", -1, 5, log=True),
    "nan": lambda: Float("x", math.nan, 1),
    "inf": lambda: Float("x", 0, math.inf),
    "overflow": lambda: Float("x", -1.7e308, 1.7e308),
    "unresolvable": lambda: Float("x", 1e16, 1e16 + 2),
    "text bound": lambda: Float("x", "0", 1),  # type: ignore[arg-type]
    "bool bound": lambda: Float("x", False, True),
    "fraction": lambda: Int("x", 0.5, 3),  # type: ignore[arg-type]
    "huge int": lambda: Int("x", 0, 2**54),
    "step 0": lambda: Float("x", 0, 1, step=0),
    "step < 0": lambda: Int("x", 0, 5, step=-1),
    "step fraction": lambda: Int("x", 0, 5, step=0.5),  # type: ignore[arg-type]
    "log text": lambda: Float("x", 1, 2, log="yes"),  # type: ignore[arg-type]
    "no choices": lambda: Categorical("x", []),
    "same choices": lambda: Categorical("x", ["a", "b", "a"]),
    "1 and True": lambda: Categorical("x", [1, True]),
    "text choices": lambda: Categorical("x", "abc"),
    "object choice": lambda: Categorical("x", [object()]),
    "tuple choice": lambda: Ordinal("x", [(1, 2)]),
    "nan choice": lambda: Ordinal("x", [1.0, math.nan]),
    "empty name": lambda: Bool(""),
    "space in name": lambda: Bool("a b"),
    "keyword": lambda: Bool("lambda"),
    "digit first": lambda: Bool("1x"),
    "name type": lambda: Bool(3),  # type: ignore[arg-type]
    "k > n": lambda: Subset("x", 3, k=4),
    "k < 0": lambda: Subset("x", 3, k=-1),
    "no items": lambda: Permutation("x", 0),
    "same items": lambda: Permutation("x", [1, 1]),
    "min > max": lambda: Sequence("x", "AB", 3, 2),
    "no letters": lambda: Sequence("x", "", 1, 2),
    "same letters": lambda: Sequence("x", "AA", 1, 2),
    "nul letter": lambda: Sequence("x", "A\0", 1, 2),
    "no parts": lambda: Simplex("x"),
    "names and parts": lambda: Simplex("x", names=["a", "b"], parts=2),
    "one part": lambda: Simplex("x", parts=1),
    "same parts": lambda: Simplex("x", names=["a", "a"]),
    "bad part": lambda: Simplex("x", names=["a", "b c"]),
    "total 0": lambda: Simplex("x", parts=2, total=0),
    "unknown bound": lambda: Simplex("x", parts=2, bounds={"y": (0, 1)}),
    "reversed bound": lambda: Simplex("x", parts=2, bounds={"x_0": (0.6, 0.5)}),
    "negative bound": lambda: Simplex("x", parts=2, bounds={"x_0": (-1, 0.5)}),
    "bounds too high": lambda: Simplex("x", parts=2, bounds={"x_0": (0.6, 1), "x_1": (0.6, 1)}),
    "bounds too low": lambda: Simplex("x", parts=2, bounds={"x_0": (0, 0.4), "x_1": (0, 0.4)}),
    "few parts too low": lambda: Simplex("x", parts=3, max_nonzero=2, bounds={f"x_{i}": (0, 0.4) for i in range(3)}),
    "max_nonzero 0": lambda: Simplex("x", parts=2, max_nonzero=0),
    "all must be in": lambda: Simplex("x", parts=3, max_nonzero=1, bounds={"x_0": (0.1, 1), "x_1": (0.1, 1)}),
    "size 0": lambda: Vector("x", 0),
    "prior": lambda: Vector("x", 2, prior="beta"),
    "vector bounds": lambda: Vector("x", 2, prior="uniform", low=1, high=0),
    "normal with bounds": lambda: Vector("x", 2, low=-1),
    "role": lambda: Float("x", 0, 1, role="unknown"),
    "fidelity without target": lambda: Int("x", 1, 9, role="fidelity"),
    "task without target": lambda: Categorical("x", ["a"], role="task"),
    "target without role": lambda: Float("x", 0, 1, target=1),
    "target outside": lambda: Int("x", 1, 9, role="fidelity", target=10),
    "fidelity without order": lambda: Categorical("x", ["a"], role="fidelity", target="a"),
    "continuous task": lambda: Float("x", 0, 1, role="task", target=1),
    "weights without role": lambda: Bool("x", weights=[1, 1]),
    "weights short": lambda: Bool("x", role="environment", weights=[1]),
    "weights negative": lambda: Bool("x", role="environment", weights=[-1, 2]),
    "weights 0": lambda: Bool("x", role="environment", weights=[0, 0]),
    "weights of a continuum": lambda: Float("x", 0, 1, role="environment", weights=[1]),
    "samples outside": lambda: Float("x", 0, 1, role="environment", samples=[2]),
    "no samples": lambda: Float("x", 0, 1, role="environment", samples=[]),
    "empty when": lambda: Bool("x", when={}),
    "when type": lambda: Bool("x", when="y"),  # type: ignore[arg-type]
    "when nothing": lambda: Bool("x", when={"y": []}),
    "json kind": lambda: Parameter.from_json({"kind": "complex", "name": "x"}),
    "json field": lambda: Parameter.from_json({"kind": "bool", "name": "x", "colour": 1}),
}


@pytest.mark.parametrize("declare", BAD.values(), ids=BAD.keys())
def test_bad_declarations_are_refused(declare: Any) -> None:
    with pytest.raises(SpaceError, match="expected"):
        declare()


def test_uneven_step_warns_of_the_last_value() -> None:
    with pytest.warns(WorkbenchWarning, match="last value reached is 0.9"):
        kind = Float("t", 0, 1, step=0.3)
    assert list(kind.values()) == [0.0, 0.3, 0.6, 0.9]
    assert kind.decode([[1.0]]) == [0.9]
    assert not kind.inside(1.0)
    with pytest.warns(WorkbenchWarning, match="last value reached is 7"):
        assert Int("k", 1, 8, step=3).cardinality == 3


def test_parameters_are_values() -> None:
    assert Float("x", 0, 1) == Float("x", 0.0, 1.0)
    assert Float("x", 0, 1) != Float("x", 0, 1, log=False, unit="mm")
    assert Float("x", 0, 1) != Bool("x")
    assert len({Bool("b"), Bool("b"), Bool("c")}) == 2
    with pytest.raises(AttributeError):
        Bool("b").name = "c"  # type: ignore[misc]
