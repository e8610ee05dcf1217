"""The constraint language: what it reads, what it refuses, what it computes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import ConstraintError
from workbench.space import parse

NAMES = ("x", "y", "z", "depth")


def columns(**values: float | list[float]) -> dict[str, np.ndarray]:
    return {name: np.atleast_1d(np.asarray(value, dtype=float)) for name, value in values.items()}


@pytest.mark.parametrize(
    ("source", "point", "violation"),
    [
        ("x + 2*depth <= 12", {"x": 3.5, "depth": 5}, 1.5),
        ("x < 3", {"x": 3}, 0.0),
        ("x > 3", {"x": 1}, 2.0),
        ("x >= y", {"x": 1, "y": 4}, 3.0),
        ("x * y <= 400", {"x": 2, "y": 100}, -200.0),
        ("x / y <= 1", {"x": 3, "y": 2}, 0.5),
        ("x ** 2 <= 4", {"x": 3}, 5.0),
        ("x ** 0.5 <= 4", {"x": 25}, 1.0),
        ("x ** -(1/2) <= 0", {"x": 4}, 0.5),
        ("-x + +y <= 0", {"x": 1, "y": 3}, 2.0),
        ("2 <= x", {"x": 0.5}, 1.5),
        ("(x - 1)*(x + 1) - x*x <= y", {"x": 7, "y": -3}, 2.0),
        ("1e3 <= x", {"x": 1}, 999.0),
    ],
)
def test_violation_in_user_units(source: str, point: dict[str, float], violation: float) -> None:
    (constraint,) = parse(source, NAMES)
    assert constraint.violation(columns(**point)) == pytest.approx([violation], abs=1e-12)
    assert constraint.satisfied(columns(**point)).tolist() == [violation <= 0]


def test_equality_is_met_within_its_tolerance() -> None:
    (constraint,) = parse("x + y == 60", NAMES)
    assert constraint.equality
    # 1e-9 times the terms, 20 + 40, that the side is summed from.
    assert constraint.satisfied(columns(x=20, y=[40, 40 + 5e-8, 40 + 7e-8])).tolist() == [True, True, False]
    assert constraint.violation(columns(x=20, y=41)) == pytest.approx([1 - 6e-8], abs=1e-8)
    (small,) = parse("x - y == 0", NAMES)
    assert small.satisfied(columns(x=1e12, y=1e12 + 1e-3)).all()


def test_chain_gives_one_constraint_a_link() -> None:
    low, high = parse("1 <= x - y <= 3", NAMES)
    assert (low.source, high.source) == ("1 <= x - y", "x - y <= 3")
    point = columns(x=[1, 3, 9], y=[1, 1, 1])
    assert low.satisfied(point).tolist() == [False, True, True]
    assert high.satisfied(point).tolist() == [True, True, False]


def test_undefined_is_violated_without_a_warning() -> None:
    for source, x in (
        ("1 / x <= 5", 0.0),
        ("x ** 0.5 <= 5", -1.0),
        ("1e300 ** 2 * x <= 5", 0.0),
        ("x**-1 <= 5", 0.0),
    ):
        (constraint,) = parse(source, NAMES)
        assert constraint.violation(columns(x=x)).tolist() == [math.inf]
        assert not constraint.satisfied(columns(x=x)).any()


def test_inactive_names_make_it_vacuous() -> None:
    (constraint,) = parse("x + y <= 1", NAMES)
    point = columns(x=[5, 5, 0], y=[math.nan, 5, 0])
    assert constraint.satisfied(point).tolist() == [True, False, True]
    assert constraint.violation(point).tolist() == [0.0, 9.0, -1.0]
    assert constraint.explain({"x": 5}) is None


@pytest.mark.parametrize(
    ("source", "linear"),
    [
        ("x + 2*depth <= 12", ({"x": 1, "depth": 2}, -12)),
        ("x >= 3*y - 1", ({"x": -1, "y": 3}, -1)),
        ("0.1*x + 0.2*x <= 1", ({"x": 0.3}, -1)),
        ("(x + 1)*(x - 1) - x**2 <= y", ({"y": -1}, -1)),
        ("(x + y)/4 == 2**3 - z", ({"x": 0.25, "y": 0.25, "z": 1}, -8)),
        ("x - x + y <= 0", ({"y": 1}, 0)),
        ("x*y <= 400", None),
        ("1/x <= 3", None),
        ("x**0.5 <= 3", None),
        ("x**2 <= 3", None),
        ("1e300 * 1e300 * x <= 3", None),  # not in float64
        ("(x + y + z + 1)**8 * (x + y + z + 1)**8 * 0 + x <= 3", None),  # too long to expand
    ],
)
def test_linear_form_is_exact(source: str, linear: tuple[dict[str, float], float] | None) -> None:
    (constraint,) = parse(source, NAMES)
    assert constraint.linear == linear


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(-9, 9)), min_size=1, max_size=8),
    st.integers(-9, 9),
)
@settings(deadline=None)
def test_linear_form_agrees_with_the_values(terms: list[tuple[str, int]], limit: int) -> None:
    (constraint,) = parse(" + ".join(f"{a}*{name}" for name, a in terms) + f" <= {limit}", NAMES)
    assert constraint.linear is not None
    point = {name: float(i + 2) for i, name in enumerate(NAMES)}
    coefficients, constant = constraint.linear
    expected = constant + sum(a * point[name] for name, a in coefficients.items())
    assert constraint.violation(columns(**point))[0] == pytest.approx(expected, abs=1e-9)


def test_sentences() -> None:
    (constraint,) = parse(" x + 2*depth <= 12 ", NAMES)
    assert constraint.explain({"x": 3.5, "depth": 5}) == "x + 2*depth <= 12: 13.5 > 12"
    assert constraint.explain({"x": 2, "depth": 5}) is None
    (other,) = parse("x >= 2", NAMES)
    assert other.explain({"x": 1.9999999}) == "x >= 2: 1.9999999 < 2.0"
    (equal,) = parse("x == 2", NAMES)
    assert equal.explain({"x": 3}) == "x == 2: 3 != 2"


def test_long_sums_are_read() -> None:
    names = [f"p{i}" for i in range(120)]
    (constraint,) = parse(" + ".join(names) + " <= 60", names)
    assert constraint.names == tuple(sorted(names))
    assert constraint.satisfied({name: np.array([0.5, 0.6]) for name in names}).tolist() == [True, False]


REFUSED = {
    "call": ("abs(x) <= 3", "a function call"),
    "import": ("__import__('os') <= 3", "a function call"),
    "attribute": ("x.real <= 3", "an attribute"),
    "dunder": ("().__class__ <= 3", "an attribute"),
    "index": ("x[0] <= 3", "an index"),
    "string": ("'x' <= 3", "a number"),
    "f-string": ("f'{x}' <= 3", "a string"),
    "lambda": ("(lambda: 1) <= 3", "a lambda"),
    "walrus": ("(x := 3) <= 4", "an assignment"),
    "and": ("x <= 3 and y <= 3", "and/or"),
    "not": ("not x <= 3", "UnaryOp"),
    "invert": ("~x <= 3", "UnaryOp"),
    "if": ("(x if y else z) <= 3", "a condition"),
    "nested comparison": ("(x <= 3) <= y", "a comparison inside"),
    "list": ("[x] <= 3", "List"),
    "tuple": ("(x, y) <= 3", "Tuple"),
    "comprehension": ("[x for x in y] <= 3", "ListComp"),
    "bool": ("x <= True", "a number"),
    "None": ("x <= None", "a number"),
    "complex": ("x <= 3j", "a number"),
    "floor": ("x // 2 <= 3", "FloorDiv"),
    "modulo": ("x % 2 <= 3", "Mod"),
    "bits": ("x | 2 <= 3", "BitOr"),
    "matmul": ("x @ y <= 3", "MatMult"),
    "!=": ("x != 3", "NotEq"),
    "in": ("x in y", "In"),
    "is": ("x is y", "Is"),
    "variable exponent": ("2 ** x <= 3", "a constant exponent"),
    "infinite exponent": ("x ** (1/0) <= 3", "a finite exponent"),
    "no comparison": ("x + y", "a comparison"),
    "assignment": ("x = 3", "cannot be read"),
    "two lines": ("x <= 3\ny <= 3", "cannot be read"),
    "empty": ("", "cannot be read"),
    "nonsense": ("x <= <= 3", "cannot be read"),
    "null byte": ("x <= 3\0", "cannot be read"),
    "unknown": ("w <= 3", "the numeric names"),
    "near": ("dept <= 3", "did you mean 'depth'"),
    "no names": ("1 <= 2", "names at least one parameter"),
    "no names in a link": ("1 <= 2 <= x", "names at least one parameter"),
    "overflow": ("x <= 1e999", "float64 can hold"),
    "long int": ("x <= " + "9" * 400, "float64 can hold"),
    "10 kB": ("x + " * 2500 + "x <= 3", "at most 1000 characters"),
    "brackets": ("(" * 450 + "x" + ")" * 450 + " <= 3", "cannot be read"),
    "signs": ("-" * 900 + "x <= 3", "nested|cannot be read"),
    "powers": ("x" + "**1" * 300 + " <= 3", "nested|cannot be read"),
}


@pytest.mark.parametrize(("source", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_everything_but_arithmetic_is_refused(source: str, message: str) -> None:
    with pytest.raises(ConstraintError, match=f"expected.*({message})"):
        parse(source, NAMES)


def test_text_only() -> None:
    with pytest.raises(ConstraintError, match="expected a constraint as text"):
        parse(3, NAMES)  # type: ignore[arg-type]


@given(st.text("xy012+-*/().<=> ", max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_text_parses_or_is_refused(source: str) -> None:
    try:
        constraints = parse(source, NAMES)
    except ConstraintError:
        return
    for constraint in constraints:
        assert constraint.violation(columns(x=[0, 1], y=[0, 2])).shape == (2,)
        assert not np.isnan(constraint.violation(columns(x=[0, 1], y=[0, 2]))).any()


@pytest.mark.parametrize(
    "source",
    [
        "a * b / (1 + c ** 2) <= a ** 3 - 2 * b",
        "a - b / c >= (a + 1) ** 0.5",
        "2 * a + b == c",
        "-a * -b < 3 - c ** -1",
    ],
)
def test_slopes_are_those_of_differences(source):
    rng = np.random.default_rng(0)
    columns = {name: rng.uniform(0.5, 2.0, 20) for name in "abc"}
    (constraint,) = parse(source, "abc")
    gap, slopes = constraint.linearised(columns)
    sign = -1.0 if constraint.sign == ">=" else 1.0
    left, right = (side.evaluate(columns)[0] for side in (constraint.left, constraint.right))
    assert np.allclose(gap, sign * (left - right), rtol=1e-12)
    assert set(slopes) == set(constraint.names)
    for name, slope in slopes.items():
        h = 1e-6
        ends = [constraint.linearised(columns | {name: columns[name] + step})[0] for step in (h, -h)]
        assert np.allclose(slope, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-7)


def test_inactive_rows_have_no_slope():
    (constraint,) = parse("a * b <= 1", "ab")
    gap, slopes = constraint.linearised({"a": np.array([np.nan, 2.0]), "b": np.array([1.0, 3.0])})
    assert gap.tolist() == [0.0, 5.0]
    assert slopes["a"].tolist() == [0.0, 3.0]
    assert slopes["b"].tolist() == [0.0, 2.0]
