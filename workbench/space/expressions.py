"""Known constraints: arithmetic strings such as "x + 2*depth <= 12", parsed and never run as code.

Grammar: numbers, names, + - * / ** (with a constant exponent), signs, parentheses, and one of
<= < >= > == between two or more sides. The parsed tree is our own; Python's parser only reads it.
"""

from __future__ import annotations

import ast
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import final

import numpy as np
import numpy.typing as npt

from workbench.errors import ConstraintError
from workbench.space.scales import Array

TOLERANCE = 1e-9  # of max(1, size of the terms): the rounding that a satisfied constraint may show
_LONGEST = 1_000
_DEEPEST = 200
_MOST_TERMS = 1_000
_HIGHEST_POWER = 8

# Monomial -> coefficient; a monomial is the sorted tuple of its names, () for the constant.
_Polynomial = dict[tuple[str, ...], Fraction]


@dataclass(frozen=True, slots=True)
class KnownConstraint:
    """One inequality or equality between named quantities, in user units.

    Strict signs are read as non-strict: "x > 3" admits x = 3, since float64 knows no open bounds.
    """

    source: str
    left: Node
    sign: str  # "<=", ">=" or "=="
    right: Node
    strict: bool = False  # was the sign "<" or ">"?

    @property
    def equality(self) -> bool:
        """Whether both sides must be equal."""
        return self.sign == "=="

    @property
    def names(self) -> tuple[str, ...]:
        """The names it uses, sorted."""
        return tuple(sorted(self.left.names() | self.right.names()))

    @property
    def linear(self) -> tuple[dict[str, float], float] | None:
        """Coefficients c and constant k of the form c.x + k <= 0 (or == 0); None if not linear.

        Found by exact expansion: "(x+1)*(x-1) - x*x <= y" is linear.
        """
        left, right = self.left.expand(), self.right.expand()
        if left is None or right is None:
            return None
        gap = _add(left, right, -1) if self.sign != ">=" else _add(right, left, -1)
        if any(len(monomial) > 1 for monomial in gap):
            return None
        constant = gap.pop((), Fraction(0))
        try:
            return {monomial[0]: float(gap[monomial]) for monomial in sorted(gap)}, float(constant)
        except OverflowError:
            return None

    def violation(self, columns: Mapping[str, npt.ArrayLike]) -> Array:
        """Return how far it is from being met, shape (n,): at most 0 where met, inf where undefined.

        Inequalities give the raw difference of the sides; equalities |difference| - tolerance. A row
        with NaN in one of the names (an inactive parameter) is vacuously met: 0.
        """
        gap, tolerance, vacuous = self._evaluate(columns)
        gap = np.abs(gap) - tolerance if self.equality else gap
        gap = np.where(np.isfinite(gap), gap, np.inf)
        return np.asarray(np.where(vacuous, 0.0, gap), dtype=np.float64)

    def satisfied(self, columns: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.bool_]:
        """Return whether each row meets it within TOLERANCE * max(1, size of the terms), shape (n,)."""
        gap, tolerance, vacuous = self._evaluate(columns)
        gap = np.abs(gap) if self.equality else gap
        return np.asarray(vacuous | (np.isfinite(gap) & (gap <= tolerance)))

    def holds(self, columns: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.bool_]:
        """Return whether each row fulfils it as written, shape (n,): a strict sign excludes equality.

        For conditions that shut a region, where "x > 3" must leave x = 3 open. A row with an inactive
        name does not fulfil it.
        """
        gap, tolerance, vacuous = self._evaluate(columns)
        met = gap < -tolerance if self.strict else self.satisfied(columns)
        return np.asarray(met & np.isfinite(gap) & ~vacuous)

    def linearised(self, columns: Mapping[str, npt.ArrayLike]) -> tuple[Array, dict[str, Array]]:
        """Return the signed difference of the sides, <= 0 or == 0 where met, and its slope in each name, shapes (n,).

        Vacuous rows have 0 for both.
        """
        used = {name: np.asarray(columns[name], dtype=np.float64) for name in self.names}
        with np.errstate(all="ignore"):
            left, right = self.left.slopes(used), self.right.slopes(used)
        gap, _, vacuous = self._evaluate(columns)
        sign = -1.0 if self.sign == ">=" else 1.0
        slopes = {name: np.where(vacuous, 0.0, sign * (left.get(name, 0.0) - right.get(name, 0.0))) for name in used}
        return np.where(vacuous, 0.0, gap), slopes

    def explain(self, values: Mapping[str, float]) -> str | None:
        """Return a sentence on why one point does not meet it, None if it does."""
        columns = {name: np.array([values[name]]) for name in self.names if name in values}
        if len(columns) < len(self.names) or bool(self.satisfied(columns)[0]):
            return None
        with np.errstate(all="ignore"):
            left, right = (float(np.ravel(side.evaluate(columns)[0])[0]) for side in (self.left, self.right))
        broken = {"<=": ">", ">=": "<", "==": "!="}[self.sign]
        return f"{self.source}: {_differing(left, right, broken)}"

    def _evaluate(self, columns: Mapping[str, npt.ArrayLike]) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
        """Return the signed difference of the sides, its tolerance, and which rows are vacuous."""
        used = {name: np.asarray(columns[name], dtype=np.float64) for name in self.names}
        with np.errstate(all="ignore"):
            left, left_size = self.left.evaluate(used)
            right, right_size = self.right.evaluate(used)
            gap = right - left if self.sign == ">=" else left - right
            tolerance = TOLERANCE * np.maximum(1.0, np.maximum(left_size, right_size))
        vacuous = np.zeros(gap.shape, dtype=bool)
        for column in used.values():
            vacuous |= np.isnan(column)
        return gap, tolerance, vacuous


def parse(source: str, names: Collection[str]) -> tuple[KnownConstraint, ...]:
    """Parse a constraint; a chain such as "1 <= x - y <= 3" gives several.

    Args:
        source: The constraint as text, at most 1,000 characters.
        names: What it may refer to.
    Raises:
        ConstraintError: if it is no arithmetic comparison or names something else.
    """
    compare = _comparison(source)
    reader = _Reader(source.strip(), names)
    sides = [reader.read(side, 0) for side in (compare.left, *compare.comparators)]
    texts = [ast.unparse(side) for side in (compare.left, *compare.comparators)]
    chain = len(compare.ops) > 1
    parts = []
    for i, sign in enumerate(compare.ops):
        symbol = _symbol(sign, reader)
        whole = f"{texts[i]} {symbol} {texts[i + 1]}" if chain else source.strip()
        strict = isinstance(compare.ops[i], ast.Lt | ast.Gt)
        part = KnownConstraint(whole, sides[i], symbol, sides[i + 1], strict)
        if not part.names:
            raise reader.error("a constraint that names at least one parameter", f"{whole!r}")
        parts.append(part)
    return tuple(parts)


# -- the tree ---------------------------------------------------------------------------------


class Node(ABC):
    """A part of an arithmetic expression."""

    __slots__ = ()

    @abstractmethod
    def names(self) -> frozenset[str]:
        """The names below this node."""

    @abstractmethod
    def evaluate(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return the values, and the size of the terms they were summed from; shapes (n,) or ()."""

    @abstractmethod
    def slopes(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        """Return the derivative in each name that the value depends on, shapes (n,) or ()."""

    @abstractmethod
    def expand(self) -> _Polynomial | None:
        """Return the exact polynomial, None if it is none or too long."""


@final
@dataclass(frozen=True, slots=True)
class Number(Node):
    """A constant."""

    value: float

    def names(self) -> frozenset[str]:
        return frozenset()

    def evaluate(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        return np.asarray(self.value), np.asarray(abs(self.value))

    def slopes(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        return {}

    def expand(self) -> _Polynomial | None:
        # The decimal literal is what was meant: 0.1 x + 0.2 x is 0.3 x.
        return _trimmed({(): Fraction(repr(self.value))})


@final
@dataclass(frozen=True, slots=True)
class Name(Node):
    """A parameter, or a part of a simplex."""

    name: str

    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def evaluate(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        return columns[self.name], np.abs(columns[self.name])

    def slopes(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        return {self.name: np.asarray(1.0)}

    def expand(self) -> _Polynomial | None:
        return {(self.name,): Fraction(1)}


@final
@dataclass(frozen=True, slots=True)
class Sum(Node):
    """left + sign * right, sign 1 or -1."""

    left: Node
    right: Node
    sign: int

    def names(self) -> frozenset[str]:
        return self.left.names() | self.right.names()

    def evaluate(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        left, left_size = self.left.evaluate(columns)
        right, right_size = self.right.evaluate(columns)
        return np.asarray(left + self.sign * right), np.asarray(left_size + right_size)

    def slopes(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        return _chained((1.0, self.left.slopes(columns)), (self.sign, self.right.slopes(columns)))

    def expand(self) -> _Polynomial | None:
        left, right = self.left.expand(), self.right.expand()
        return None if left is None or right is None else _add(left, right, self.sign)


@final
@dataclass(frozen=True, slots=True)
class Product(Node):
    """left * right."""

    left: Node
    right: Node

    def names(self) -> frozenset[str]:
        return self.left.names() | self.right.names()

    def evaluate(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        left, left_size = self.left.evaluate(columns)
        right, right_size = self.right.evaluate(columns)
        return np.asarray(left * right), np.asarray(left_size * right_size)

    def slopes(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        left, right = self.left.evaluate(columns)[0], self.right.evaluate(columns)[0]
        return _chained((right, self.left.slopes(columns)), (left, self.right.slopes(columns)))

    def expand(self) -> _Polynomial | None:
        left, right = self.left.expand(), self.right.expand()
        return None if left is None or right is None else _times(left, right)


@final
@dataclass(frozen=True, slots=True)
class Quotient(Node):
    """left / right."""

    left: Node
    right: Node

    def names(self) -> frozenset[str]:
        return self.left.names() | self.right.names()

    def evaluate(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        left, left_size = self.left.evaluate(columns)
        right, _ = self.right.evaluate(columns)
        return np.asarray(np.divide(left, right)), np.asarray(np.divide(left_size, np.abs(right)))

    def slopes(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        left, right = self.left.evaluate(columns)[0], self.right.evaluate(columns)[0]
        return _chained((1.0 / right, self.left.slopes(columns)), (-left / right**2, self.right.slopes(columns)))

    def expand(self) -> _Polynomial | None:
        left, right = self.left.expand(), self.right.expand()
        if left is None or right is None or set(right) != {()}:
            return None
        return _times(left, {(): 1 / right[()]})


@final
@dataclass(frozen=True, slots=True)
class Power(Node):
    """base ** exponent, the exponent constant."""

    base: Node
    exponent: float

    def names(self) -> frozenset[str]:
        return self.base.names()

    def evaluate(self, columns: Mapping[str, Array]) -> tuple[Array, Array]:
        base, _ = self.base.evaluate(columns)
        value = np.power(base, self.exponent)
        return np.asarray(value), np.asarray(np.abs(value))

    def slopes(self, columns: Mapping[str, Array]) -> dict[str, Array]:
        outer = self.exponent * np.power(self.base.evaluate(columns)[0], self.exponent - 1.0)
        return _chained((outer, self.base.slopes(columns)))

    def expand(self) -> _Polynomial | None:
        base = self.base.expand()
        if base is None or self.exponent not in range(_HIGHEST_POWER + 1):
            return None
        power: _Polynomial | None = {(): Fraction(1)}
        for _ in range(int(self.exponent)):
            power = None if power is None else _times(power, base)
        return power


def _chained(*parts: tuple[npt.ArrayLike, dict[str, Array]]) -> dict[str, Array]:
    """Return the sum of inner derivatives, each times its outer one."""
    total: dict[str, Array] = {}
    for outer, inner in parts:
        for name, slope in inner.items():
            total[name] = np.asarray(total.get(name, 0.0) + np.asarray(outer) * slope)
    return total


def _add(left: _Polynomial, right: _Polynomial, sign: int) -> _Polynomial:
    total = dict(left)
    for monomial, coefficient in right.items():
        total[monomial] = total.get(monomial, Fraction(0)) + sign * coefficient
    return _trimmed(total)


def _times(left: _Polynomial, right: _Polynomial) -> _Polynomial | None:
    if len(left) * len(right) > _MOST_TERMS:
        return None
    product: _Polynomial = {}
    for a, x in left.items():
        for b, y in right.items():
            monomial = tuple(sorted(a + b))
            product[monomial] = product.get(monomial, Fraction(0)) + x * y
    if any(len(monomial) > 2 * _HIGHEST_POWER for monomial in product):
        return None
    return _trimmed(product)


def _trimmed(polynomial: _Polynomial) -> _Polynomial:
    return {monomial: coefficient for monomial, coefficient in polynomial.items() if coefficient}


# -- reading ----------------------------------------------------------------------------------


def _comparison(source: str) -> ast.Compare:
    if not isinstance(source, str):
        raise ConstraintError(f"expected a constraint as text, such as 'x + y <= 3'; got {type(source).__name__}.")
    if len(source) > _LONGEST:
        raise ConstraintError(
            f"expected a constraint of at most {_LONGEST} characters, got {len(source)}. Split it into several."
        )
    try:
        tree = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ConstraintError(
            f"expected an arithmetic comparison such as 'x + y <= 3'; {source.strip()[:80]!r} cannot be read "
            f"({error}). Check brackets and signs."
        ) from error
    if not isinstance(tree, ast.Compare):
        found = _construct(tree)
        raise ConstraintError(
            f"expected a comparison such as 'x + y <= 3', got {found} in {source.strip()[:80]!r}. "
            "State what must hold, with <=, >= or ==."
        )
    return tree


class _Reader:
    """Turns Python's tree into ours, refusing everything but arithmetic."""

    def __init__(self, source: str, names: Collection[str]) -> None:
        self._source = source
        self._names = names

    def error(self, expected: str, got: str) -> ConstraintError:
        return ConstraintError(f"constraint {self._source[:80]!r}: expected {expected}, got {got}.")

    def read(self, node: ast.expr, depth: int) -> Node:
        if depth > _DEEPEST:
            raise self.error(f"at most {_DEEPEST} nested operations", "more; split the constraint")
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.read(node.operand, depth + 1)
            case ast.UnaryOp(op=ast.USub()):
                return Product(Number(-1.0), self.read(node.operand, depth + 1))
            case ast.BinOp():
                return self._operation(node, depth + 1)
        raise self.error("numbers, names and + - * / **", f"{_construct(node)}; rewrite it as arithmetic")

    def _number(self, node: ast.Constant) -> Node:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error("a number", f"{value!r:.40}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.error("a number that float64 can hold", f"{str(node.value)[:20]}")
        return Number(number)

    def _name(self, node: ast.Name) -> Node:
        if node.id not in self._names:
            near = get_close_matches(node.id, self._names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise self.error(
                f"one of the numeric names {', '.join(sorted(self._names)) or '(there are none)'}",
                f"{node.id!r}{hint}",
            )
        return Name(node.id)

    def _operation(self, node: ast.BinOp, depth: int) -> Node:
        left, right = self.read(node.left, depth), self.read(node.right, depth)
        match node.op:
            case ast.Add():
                return Sum(left, right, 1)
            case ast.Sub():
                return Sum(left, right, -1)
            case ast.Mult():
                return Product(left, right)
            case ast.Div():
                return Quotient(left, right)
            case ast.Pow():
                return Power(left, self._exponent(right))
        raise self.error("+ - * / **", f"{_construct(node.op)}; rewrite it as arithmetic")

    def _exponent(self, node: Node) -> float:
        if names := node.names():
            raise self.error("a constant exponent", f"one with {', '.join(sorted(names))}")
        with np.errstate(all="ignore"):
            exponent = float(node.evaluate({})[0])
        if not math.isfinite(exponent):
            raise self.error("a finite exponent", f"{exponent}")
        return exponent


def _symbol(sign: ast.cmpop, reader: _Reader) -> str:
    match sign:
        case ast.LtE() | ast.Lt():
            return "<="
        case ast.GtE() | ast.Gt():
            return ">="
        case ast.Eq():
            return "=="
    raise reader.error("<=, >= or ==", _construct(sign))


_CONSTRUCTS = {
    ast.Call: "a function call",
    ast.Attribute: "an attribute",
    ast.Subscript: "an index",
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment",
    ast.BoolOp: "and/or",
    ast.Compare: "a comparison inside an expression",
    ast.IfExp: "a condition",
    ast.JoinedStr: "a string",
}


def _construct(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return "a string"
    return _CONSTRUCTS.get(type(node), f"the construct {type(node).__name__}")


def _differing(left: float, right: float, sign: str) -> str:
    short, long = (f"{left:.6g}", f"{right:.6g}"), (repr(left), repr(right))
    shown = long if short[0] == short[1] else short
    return f"{shown[0]} {sign} {shown[1]}"
