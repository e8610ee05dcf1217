"""Parameters of one column: numbers, ordered values, choices, switches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from workbench.errors import SpaceError, WorkbenchWarning
from workbench.space.parameters import Numeric, Opaque, Parameter, finite, lookup, real, rebuilding, scalars, whole
from workbench.space.scales import Array, Lattice, Scale

_EXACT = 2**53  # integers up to here are exact in float64 columns
_FINEST = 1e-3  # coarsest acceptable resolution of a float64 column, as a share of the range


@dataclass(frozen=True, eq=False)
class Float(Parameter):
    """A number from low to high, on a log scale with log=True, in steps with step=.

    A step that does not divide the range is accepted with a WorkbenchWarning; the range then ends at
    the last value reached. A value between two steps is never proposed; as data, of what was really set,
    it is kept as it is.
    """

    kind: ClassVar[str] = "float"

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)

    def _declare(self) -> None:
        low, high = finite(self.low, f"{self.name}: low"), finite(self.high, f"{self.name}: high")
        _check_range(self, low, high, self.log)
        self._set("low", low)
        self._set("high", high)
        if self.step is not None:
            self._set("step", _positive_step(self, self.step))
            _warn_if_uneven(self, self._lattice)
        elif not self.log and self._scale.resolution > _FINEST:
            raise self._error(
                f"expected a range that float64 can resolve, got {low!r} to {high!r}. Declare it in another "
                "unit, or as the distance from a reference value."
            )

    @cached_property
    def _scale(self) -> Scale:
        return Scale(self.low, self.high, self.log)

    @cached_property
    def _lattice(self) -> Lattice:
        assert self.step is not None
        return Lattice.over(self.low, self.high, self.step, self.log)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def box(self) -> bool:
        return True

    @property
    def cardinality(self) -> int | None:
        return None if self.step is None else self._lattice.count

    def values(self) -> Iterator[float]:
        if self.step is None:
            raise self._error("expected a finite parameter, got infinitely many values. Give it a step=.")
        lattice = self._lattice
        return (float(lattice.level(np.array([i]))[0]) for i in range(lattice.count))

    def inside(self, value: Any) -> bool:
        if self.step is None:
            return bool(self.low <= value <= self.high)
        return bool(self.low <= value <= self._lattice.last and value == self._neighbour(value))

    @property
    def numeric(self) -> Numeric | None:
        if self.step is None:
            return Numeric((self.name,), (self.low,), (self.high,), None if self.log else 0.0)
        spacing = None if self.log else self.step
        return Numeric((self.name,), (self.low,), (self._lattice.last,), spacing)

    def measure(self, value: Any) -> tuple[float, ...]:
        return (value,)

    def quantities(self, X: Array) -> Array:
        if self.step is None:
            return self._scale.decode(X)
        return self._lattice.level(self._lattice.index(X))

    def place(self, V: Array) -> Array:
        return self._scale.encode(self._scale.tidy(V)) if self.step is None else self._lattice.place(V)

    def key(self, value: Any) -> Hashable:
        return float(value) + 0.0  # -0.0 is 0.0

    def plain(self, value: Any) -> Any:
        return value

    def describe(self) -> str:
        steps = "" if self.step is None else f" in steps of {self.step:g}"
        return f"a number from {self.low:g} to {self.high:g}{steps}{' (log scale)' if self.log else ''}"

    def _canonical(self, value: Any) -> float:
        number = real(value)
        if number is None or not math.isfinite(number):
            raise self.invalid(value, "Pass a finite number.")
        if self.log and number <= 0:
            raise self.invalid(value, "A log scale knows positive numbers only.")
        return number if self.step is None else self._level(number)

    def _level(self, number: float) -> float:
        """The nearest level if it is meant; else the number itself."""
        level = self._neighbour(number)
        # 1e-9 of a step forgives the rounding of sums such as 0.1 + 0.2.
        return level if abs(level - number) <= 1e-9 * self._lattice.step else number

    def _neighbour(self, number: float) -> float:
        lattice = self._lattice
        return float(lattice.level(lattice.nearest(np.array([number])))[0])

    def _nearest(self, value: Any) -> str:
        level = None if self.step is None else self._neighbour(value)
        if level is None or not self.low <= level <= self._lattice.last:
            return super()._nearest(value)
        return f"The nearest value is {level!r}."

    def _encode(self, values: Sequence[Any]) -> Array:
        v = _numbers(values)[:, None]
        return self._scale.encode(v) if self.step is None else self._lattice.encode(v)

    def _decode(self, X: Array) -> list[Any]:
        return list(self.quantities(X)[:, 0].tolist())

    @property
    def _draws(self) -> int:
        return 1

    def _sample(self, U: Array) -> Array:
        if self.step is None:
            return self._scale.snap(U)
        return self._lattice.encode(self._lattice.level(self._lattice.sample(U)))


@dataclass(frozen=True, eq=False)
class Int(Parameter):
    """A whole number from low to high, both included; log=True spaces it logarithmically."""

    kind: ClassVar[str] = "int"

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)

    def _declare(self) -> None:
        low, high = whole(self.low, f"{self.name}: low"), whole(self.high, f"{self.name}: high")
        _check_range(self, low, high, self.log)
        if max(abs(low), abs(high)) > _EXACT:
            raise self._error(f"expected bounds within ±2**53, got {low} to {high}. Declare a smaller unit.")
        self._set("low", low)
        self._set("high", high)
        self._set("step", whole(_positive_step(self, self.step), f"{self.name}: step"))
        _warn_if_uneven(self, self._lattice)

    @cached_property
    def _lattice(self) -> Lattice:
        return Lattice(self.low, self.step, (self.high - self.low) // self.step + 1, self.log)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def box(self) -> bool:
        return True

    @property
    def cardinality(self) -> int | None:
        return (self.high - self.low) // self.step + 1

    def values(self) -> Iterator[int]:
        return iter(range(self.low, self.high + 1, self.step))

    def inside(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high and (value - self.low) % self.step == 0)

    @property
    def numeric(self) -> Numeric | None:
        spacing = None if self.log else float(self.step)
        return Numeric((self.name,), (float(self.low),), (self._lattice.last,), spacing)

    def measure(self, value: Any) -> tuple[float, ...]:
        return (float(value),)

    def quantities(self, X: Array) -> Array:
        return self._lattice.level(self._lattice.index(X))

    def place(self, V: Array) -> Array:
        return self._lattice.place(V)

    def key(self, value: Any) -> Hashable:
        return int(value)

    def plain(self, value: Any) -> Any:
        return value

    def describe(self) -> str:
        steps = "" if self.step == 1 else f" in steps of {self.step}"
        return f"a whole number from {self.low} to {self.high}{steps}{' (log scale)' if self.log else ''}"

    def _canonical(self, value: Any) -> int:
        number = real(value)
        if number is None or not math.isfinite(number) or number != math.floor(number):
            raise self.invalid(value, "Pass a whole number.")
        exact = int(value)
        if abs(exact) > _EXACT or (self.log and exact <= 0):
            raise self.invalid(value, "It cannot be placed on this scale.")
        return exact

    def _nearest(self, value: Any) -> str:
        below = value - (value - self.low) % self.step
        if below == value or not self.low <= below < self.high:
            return super()._nearest(value)
        return f"The nearest values are {below} and {below + self.step}."

    def _encode(self, values: Sequence[Any]) -> Array:
        return self._lattice.encode(_numbers(values)[:, None])

    def _decode(self, X: Array) -> list[Any]:
        return list((self.low + self.step * self._lattice.index(X[:, 0])).tolist())

    @property
    def _draws(self) -> int:
        return 1

    def _sample(self, U: Array) -> Array:
        return self._lattice.encode(self._lattice.level(self._lattice.sample(U)))


@dataclass(frozen=True, eq=False)
class Ordinal(Parameter):
    """One of several values in a meaningful order, equally spaced whatever the values are."""

    kind: ClassVar[str] = "ordinal"

    choices: Sequence[Any]

    def _declare(self) -> None:
        self._set("choices", _listed(self, self.choices))

    @cached_property
    def _lattice(self) -> Lattice:
        return Lattice(0.0, 1.0, len(self.choices))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def box(self) -> bool:
        return True

    @property
    def cardinality(self) -> int | None:
        return len(self.choices)

    def values(self) -> Iterator[Any]:
        return iter(self.choices)

    def inside(self, value: Any) -> bool:
        return value in self.choices

    @property
    def numeric(self) -> Numeric | None:
        numbers = [number for choice in self.choices if (number := real(choice)) is not None]
        if len(numbers) < len(self.choices):
            return None
        return Numeric((self.name,), (min(numbers),), (max(numbers),), None)

    def measure(self, value: Any) -> tuple[float, ...]:
        return (float(value),) if self.variables else ()

    def quantities(self, X: Array) -> Array:
        if not self.variables:
            return np.empty((len(X), 0))
        return np.asarray(self.choices, dtype=np.float64)[self._lattice.index(X)]

    def place(self, V: Array) -> Array:
        nearest = np.abs(V - np.asarray(self.choices, dtype=np.float64)).argmin(axis=1)
        return self._lattice.encode(nearest[:, None].astype(np.float64))

    def key(self, value: Any) -> Hashable:
        return _place(self.choices, value)

    def plain(self, value: Any) -> Any:
        return value

    def describe(self) -> str:
        return f"one of {', '.join(map(repr, self.choices))} (in this order)"

    def _canonical(self, value: Any) -> Any:
        return _pick(self, self.choices, value)

    def _encode(self, values: Sequence[Any]) -> Array:
        return self._lattice.encode(_positions(self.choices, values)[:, None])

    def _decode(self, X: Array) -> list[Any]:
        return [self.choices[i] for i in self._lattice.index(X[:, 0]).tolist()]

    @property
    def _draws(self) -> int:
        return 1

    def _sample(self, U: Array) -> Array:
        return self._lattice.encode(self._lattice.sample(U).astype(np.float64))


@dataclass(frozen=True, eq=False)
class Categorical(Opaque):
    """One of several choices without an order; the column holds the index of the choice."""

    kind: ClassVar[str] = "categorical"

    choices: Sequence[Any]

    def _declare(self) -> None:
        self._set("choices", _listed(self, self.choices))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def box(self) -> bool:
        return False

    @property
    def cardinality(self) -> int | None:
        return len(self.choices)

    def values(self) -> Iterator[Any]:
        return iter(self.choices)

    def inside(self, value: Any) -> bool:
        return value in self.choices

    def key(self, value: Any) -> Hashable:
        return _place(self.choices, value)

    def plain(self, value: Any) -> Any:
        return value

    def describe(self) -> str:
        return f"one of {', '.join(map(repr, self.choices))}"

    def _canonical(self, value: Any) -> Any:
        return _pick(self, self.choices, value)

    def _encode(self, values: Sequence[Any]) -> Array:
        return _positions(self.choices, values)[:, None]

    def _decode(self, X: Array) -> list[Any]:
        last = len(self.choices) - 1
        return [self.choices[i] for i in np.clip(np.rint(X[:, 0]), 0, last).astype(np.int64).tolist()]

    @property
    def _draws(self) -> int:
        return 1

    def _sample(self, U: Array) -> Array:
        k = len(self.choices)
        return np.asarray(np.minimum(np.floor(U * k), k - 1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Bool(Parameter):
    """A switch; False is 0 and True is 1 in its column and in constraints."""

    kind: ClassVar[str] = "bool"

    def _declare(self) -> None:
        """There is nothing beyond the name."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def box(self) -> bool:
        return True

    @property
    def cardinality(self) -> int | None:
        return 2

    def values(self) -> Iterator[bool]:
        return iter((False, True))

    def inside(self, value: Any) -> bool:
        return True

    @property
    def numeric(self) -> Numeric | None:
        return Numeric((self.name,), (0.0,), (1.0,), 1.0)

    def measure(self, value: Any) -> tuple[float, ...]:
        return (float(value),)

    def quantities(self, X: Array) -> Array:
        return (X > 0.5).astype(np.float64)

    def place(self, V: Array) -> Array:
        return (V > 0.5).astype(np.float64)

    def key(self, value: Any) -> Hashable:
        return bool(value)

    def plain(self, value: Any) -> Any:
        return value

    def describe(self) -> str:
        return "True or False"

    def _canonical(self, value: Any) -> bool:
        if not isinstance(value, bool | np.bool_):
            raise self.invalid(value, "Pass a bool.")
        return bool(value)

    def _encode(self, values: Sequence[Any]) -> Array:
        return _numbers(values)[:, None]

    def _decode(self, X: Array) -> list[Any]:
        return list((X[:, 0] > 0.5).tolist())

    @property
    def _draws(self) -> int:
        return 1

    def _sample(self, U: Array) -> Array:
        return (U >= 0.5).astype(np.float64)


def _numbers(values: Sequence[Any]) -> Array:
    """Return numbers as float64 (n,); ValueError, TypeError for anything that is no finite number."""
    raw = np.asarray(values)
    if raw.dtype.kind not in "iufb" or raw.ndim != 1:
        raise TypeError("not numbers")
    numbers = raw.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("not finite")
    return numbers


def _positions(choices: Sequence[Any], values: Sequence[Any]) -> Array:
    index = {choice: float(i) for i, choice in enumerate(choices)}
    return np.fromiter((index[value] for value in values), dtype=np.float64, count=len(values))


def _place(choices: Sequence[Any], value: Any) -> int:
    return list(choices).index(value)


def _pick(parameter: Parameter, choices: Sequence[Any], value: Any) -> Any:
    place = lookup(value, {choice: i for i, choice in enumerate(choices)})
    if place is None:
        raise parameter.invalid(value, "Pass one of its choices, of the same type.")
    return choices[place]


def _listed(parameter: Parameter, choices: Any) -> tuple[Any, ...]:
    try:
        return scalars(choices, "choices")
    except SpaceError as error:
        raise SpaceError(f"{parameter.kind} parameter {parameter.name!r}: {error}") from error


def _check_range(parameter: Parameter, low: float, high: float, log: Any) -> None:
    where = f"{parameter.kind} parameter {parameter.name!r}"
    if not low < high:
        raise SpaceError(
            f"{where}: expected low < high, got {low!r} and {high!r}. A constant needs no parameter: "
            "write it into your function."
        )
    if not isinstance(log, bool):
        raise SpaceError(f"{where}: expected log=True or log=False, got {log!r}.")
    if log and low <= 0:
        raise SpaceError(f"{where}: expected low > 0 with log=True, got {low!r}. Raise low or drop log=True.")
    if not math.isfinite(high - low):
        raise SpaceError(f"{where}: expected a range that float64 can hold, got {low!r} to {high!r}.")


def _positive_step(parameter: Parameter, step: Any) -> float:
    number = finite(step, f"{parameter.name}: step")
    if number <= 0:
        raise SpaceError(
            f"{parameter.kind} parameter {parameter.name!r}: expected step > 0, got {step!r}. "
            "Leave it out for all values."
        )
    return number


def _warn_if_uneven(parameter: Float | Int, lattice: Lattice) -> None:
    if not rebuilding.get() and abs(lattice.last - parameter.high) > 1e-9 * lattice.step:
        warnings.warn(
            f"{parameter.name}: the step {parameter.step!r} does not divide {parameter.low!r} to "
            f"{parameter.high!r}; the last value reached is {lattice.last:g}.",
            WorkbenchWarning,
            stacklevel=5,
        )
