"""What every kind of parameter has in common.

A kind declares how one named value is checked, encoded into columns of a float64 matrix, decoded,
and drawn from uniform numbers. Shapes: n points, `width` columns, `draws` uniforms a point.
"""

from __future__ import annotations

import json
import keyword
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, final

import numpy as np

from workbench.errors import InvalidValueError, SpaceError
from workbench.space.scales import Array

rebuilding: ContextVar[bool] = ContextVar("rebuilding", default=False)
"""True while a stored declaration is read: its author was warned when it was made."""

ROLES = ("design", "fidelity", "environment", "task", "context")
_MOST_WEIGHTED = 100_000  # levels that weights= may name one by one


@dataclass(frozen=True, slots=True)
class Numeric:
    """The numbers of a parameter as constraints see them, in user units.

    Fields:
        names: The variables.
        low, high: The range of each.
        spacing: 0 if they vary continuously and affinely with their columns, the distance of
            neighbours if they are equally spaced levels, None if they are neither.
        total: What they sum to; None if they are free.
        sparse: Whether some of them may have to be absent, that is 0.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    spacing: float | None
    total: float | None = None
    sparse: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Parameter(ABC):
    """One named quantity of a `Space`.

    Options of every kind:
        unit, description: for people.
        when: parent name -> the value, or list of values, of a discrete parent that make this
            parameter exist.
        role: "design" (chosen freely), "fidelity" (ordered cost and accuracy knob) and "task" (one of
            several related problems), both with a target= that results are about, "environment"
            (varies outside our control: values drawn from samples=, with weights=, or from the
            parameter's own values with weights=, else uniformly), "context" (given by each ask).
    """

    kind: ClassVar[str]
    _kinds: ClassVar[dict[str, type[Parameter]]] = {}

    name: str = field(kw_only=False)
    unit: str | None = None
    description: str = ""
    when: Mapping[str, Any] | None = None
    role: str = "design"
    target: Any = None
    weights: Sequence[float] | None = None
    samples: Sequence[Any] | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            Parameter._kinds[cls.kind] = cls

    @final
    def __post_init__(self) -> None:
        check_name(self.name, "a parameter name")
        self._declare()
        self._declare_when()
        self._declare_role()

    # -- what a kind defines ----------------------------------------------------------------

    @abstractmethod
    def _declare(self) -> None:
        """Validate and canonicalise the fields of the kind. Raises SpaceError."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """Names of the encoded columns, `width` of them."""

    @property
    @abstractmethod
    def box(self) -> bool:
        """Whether the encoded columns lie in [0, 1] and their order means something."""

    @property
    @abstractmethod
    def cardinality(self) -> int | None:
        """How many values there are; None if infinitely many."""

    @abstractmethod
    def values(self) -> Iterator[Any]:
        """Yield the values of a finite parameter in order. Raises SpaceError for an infinite one."""

    @abstractmethod
    def inside(self, value: Any) -> bool:
        """Whether a canonical value lies within the bounds."""

    @property
    @abstractmethod
    def numeric(self) -> Numeric | None:
        """What known constraints may know about it; None if its values are no numbers to them."""

    @abstractmethod
    def measure(self, value: Any) -> tuple[float, ...]:
        """Return the numbers behind `variables` for one canonical value, in user units."""

    @abstractmethod
    def quantities(self, X: Array) -> Array:
        """Return decoded numbers in user units, shape (n, len(variables)), of X (n, width)."""

    @abstractmethod
    def place(self, V: Array) -> Array:
        """Return the columns (n, width) of the values nearest to numbers V (n, len(variables))."""

    @abstractmethod
    def key(self, value: Any) -> Hashable:
        """Return the identity of a canonical value: equal if and only if the values are the same."""

    @abstractmethod
    def plain(self, value: Any) -> Any:
        """Return a canonical value as JSON types; `check` accepts these again."""

    @abstractmethod
    def _canonical(self, value: Any) -> Any:
        """Return the canonical form of a value, or raise InvalidValueError; bounds are not tested."""

    @abstractmethod
    def _encode(self, values: Sequence[Any]) -> Array:
        """Encode canonical values, shape (n, width)."""

    @abstractmethod
    def _decode(self, X: Array) -> list[Any]:
        """Decode finite columns (n, width), clipping to the nearest value that exists."""

    @property
    @abstractmethod
    def _draws(self) -> int:
        """Uniform numbers that one value is made of."""

    @abstractmethod
    def _sample(self, U: Array) -> Array:
        """Map uniforms (n, _draws) in [0, 1) to encoded columns (n, width) that decode exactly."""

    @abstractmethod
    def describe(self) -> str:
        """Return the range in words, such as "a number from 0 to 1"."""

    # -- what they share --------------------------------------------------------------------

    @property
    def width(self) -> int:
        """Number of encoded columns."""
        return len(self.columns)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names under which known constraints may use this parameter; empty for non-numbers."""
        return () if self.numeric is None else self.numeric.names

    @property
    def discrete(self) -> bool:
        """Whether the values can be counted."""
        return self.cardinality is not None

    @property
    def draws(self) -> int:
        """Uniform numbers that `from_uniform` needs for one value."""
        return 1 if self.has_scenarios else self._draws

    @final
    def check(self, value: Any, *, bounds: bool = False) -> Any:
        """Return the canonical form of a value.

        Args:
            value: What somebody handed in; numpy scalars and JSON forms are fine.
            bounds: Whether a value outside the declared bounds is refused, too.
        Raises:
            InvalidValueError: if the type is wrong, the value does not exist, or it is outside.
        """
        value = self._canonical(value)
        if bounds and not self.inside(value):
            raise self.invalid(value, self._nearest(value))
        return value

    def _nearest(self, value: Any) -> str:
        """Return what to do about a canonical value that is not `inside`, as a sentence."""
        return "Choose a value within the bounds, or widen the space."

    @final
    def encode(self, values: Sequence[Any]) -> Array:
        """Encode canonical values into columns, shape (n, width).

        Values outside the bounds of box kinds go beyond [0, 1].
        Raises:
            InvalidValueError: if a value is none of this parameter's.
        """
        if len(values) == 0:
            return np.empty((0, self.width))
        try:
            return self._encode(values)
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError):
            return self._encode([self._canonical(value) for value in values])

    @final
    def decode(self, X: Array) -> list[Any]:
        """Decode columns X (n, width) into canonical values, clipped to what exists.

        Raises:
            InvalidValueError: if X has another width or is not finite.
        """
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.width:
            raise InvalidValueError(
                f"{self.name}: expected columns of shape (n, {self.width}), got {X.shape}. "
                "Pass the columns that Space.slices names."
            )
        if not np.isfinite(X).all():
            raise InvalidValueError(
                f"{self.name}: expected finite columns, got NaN or infinity. Decode whole rows with "
                "Space.decode, which leaves inactive parameters out, and fill in the active ones."
            )
        return self._decode(X)

    @final
    def from_uniform(self, U: Array) -> Array:
        """Map uniforms U (n, draws) in [0, 1) to encoded columns (n, width) by inverse CDF."""
        if not self.has_scenarios:
            return self._sample(U)
        values = list(self.values()) if self.samples is None else list(self.samples)
        weights = np.ones(len(values)) if self.weights is None else np.asarray(self.weights)
        edges = np.cumsum(weights) / weights.sum()
        picked = np.minimum(np.searchsorted(edges, U[:, 0], side="right"), np.flatnonzero(weights)[-1])
        return np.asarray(self.encode(values)[picked], dtype=np.float64)

    @final
    def to_json(self) -> dict[str, Any]:
        """Return the declaration as JSON types, with "kind"; options left at their defaults are absent."""
        data: dict[str, Any] = {"kind": self.kind}
        for spec in fields(self):
            value = getattr(self, spec.name)
            default = spec.default if spec.default_factory is MISSING else spec.default_factory()
            if spec.name == "name" or value != default:
                data[spec.name] = self._field_to_json(spec.name, value)
        return data

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Parameter:
        """Rebuild a parameter from `to_json`. Raises SpaceError on anything else."""
        options = dict(data)
        kind = options.pop("kind", None)
        if kind not in Parameter._kinds:
            known = ", ".join(sorted(Parameter._kinds))
            raise SpaceError(f"expected a parameter of kind {known}; got {kind!r}. Check the file's version.")
        mark = rebuilding.set(True)
        try:
            return Parameter._kinds[kind](**options)
        except TypeError as error:
            raise SpaceError(
                f"expected the fields of a {kind} parameter; {error}. Check the file's version."
            ) from error
        finally:
            rebuilding.reset(mark)

    def invalid(self, value: Any, remedy: str) -> InvalidValueError:
        """Return the error for a value that is not one of this parameter's."""
        return InvalidValueError(f"{self.name}: expected {self.describe()}, got {shorten(value)}. {remedy}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parameter):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> str:
        return json.dumps(self.to_json(), sort_keys=True)

    @property
    def has_scenarios(self) -> bool:
        """Whether its values are drawn from samples= or with weights=."""
        return self.samples is not None or self.weights is not None

    def _field_to_json(self, name: str, value: Any) -> Any:
        if name == "target":
            return self.plain(value)
        if name == "samples":
            return [self.plain(sample) for sample in value]
        return _to_plain(value)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _error(self, message: str) -> SpaceError:
        return SpaceError(f"{self.kind} parameter {self.name!r}: {message}")

    def _declare_when(self) -> None:
        if self.when is None:
            return
        if not isinstance(self.when, Mapping) or not self.when:
            raise self._error(f'expected when={{"parent": value}}, got {self.when!r}. Name at least one parent.')
        listed = {parent: _as_tuple(value) for parent, value in self.when.items()}
        if empty := [parent for parent, allowed in listed.items() if not allowed]:
            raise self._error(
                f"expected at least one value of {empty[0]!r} in when=, got none. List the values that activate it."
            )
        self._set("when", listed)

    def _declare_role(self) -> None:
        if self.role not in ROLES:
            raise self._error(f"expected role= one of {', '.join(ROLES)}; got {self.role!r}.")
        if (self.target is not None) != (self.role in ("fidelity", "task")):
            raise self._error(
                f"expected target= for the roles fidelity and task and for no other; got role={self.role!r}, "
                f"target={self.target!r}. State the value that results are about."
            )
        if self.has_scenarios and self.role != "environment":
            raise self._error(f"expected weights= and samples= only with role='environment', got role={self.role!r}.")
        if self.role == "fidelity" and not (self.box and self.width == 1):
            raise self._error("expected a fidelity to be an ordered number (Float, Int, Ordinal, Bool); got this kind.")
        if self.role == "task" and not (self.discrete and self.width == 1):
            raise self._error("expected a task to be Categorical, Ordinal, Int or Bool; got this kind.")
        if self.target is not None:
            self._set("target", self._declared_value(self.target, "target="))
        self._declare_scenarios()

    def _declare_scenarios(self) -> None:
        count = self.cardinality
        if self.samples is not None:
            listed = tuple(self._declared_value(sample, "samples=") for sample in self.samples)
            if not listed:
                raise self._error("expected at least one value in samples=, got none.")
            self._set("samples", listed)
            count = len(listed)
        if self.weights is None:
            return
        if count is None or count > _MOST_WEIGHTED:
            raise self._error("expected samples= beside weights= for a parameter of so many values.")
        weights = tuple(finite(weight, "a weight") for weight in self.weights)
        if len(weights) != count or min(weights) < 0 or sum(weights) <= 0:
            raise self._error(f"expected {count} weights, none negative and not all 0; got {shorten(weights)}.")
        self._set("weights", weights)

    def _declared_value(self, value: Any, where: str) -> Any:
        try:
            return self.check(value, bounds=True)
        except InvalidValueError as error:
            raise self._error(f"{where} is none of its values: {error}") from error


@dataclass(frozen=True, eq=False, kw_only=True)
class Opaque(Parameter):
    """A parameter whose values are no numbers to known constraints."""

    @property
    def numeric(self) -> Numeric | None:
        return None

    def measure(self, value: Any) -> tuple[float, ...]:
        return ()

    def quantities(self, X: Array) -> Array:
        return np.empty((len(X), 0))

    def place(self, V: Array) -> Array:
        raise self._error("expected a numeric parameter; constraints cannot move this kind.")


def check_name(name: Any, what: str) -> None:
    """Raise SpaceError unless the name can stand in a constraint."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise SpaceError(
            f"expected {what} that is a Python identifier and no keyword, so that constraints can use "
            f"it; got {shorten(name)}. Use letters, digits and underscores, and description= for people."
        )


def finite(value: Any, what: str) -> float:
    """Return a declared number as a float. Raises SpaceError if it is none or not finite."""
    number = real(value)
    if number is None or not math.isfinite(number):
        raise SpaceError(f"expected {what} that is a finite number, got {shorten(value)}. Give it as one.")
    return number


def whole(value: Any, what: str) -> int:
    """Return a declared whole number as an int. Raises SpaceError if it is none."""
    number = finite(value, what)
    if number != math.floor(number):
        raise SpaceError(f"expected {what} that is a whole number, got {shorten(value)}. Give it as one.")
    return int(value)


def real(value: Any) -> float | None:
    """Return a Python or numpy number as a float, None for anything else; bools are no numbers."""
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def scalars(values: Any, what: str) -> tuple[Any, ...]:
    """Return declared choices as a tuple of distinct JSON scalars.

    Raises:
        SpaceError: if there are none, two are equal, or one is not str, int, float, bool or None.
    """
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise SpaceError(f"expected {what} as a list, got {shorten(values)}. Write them in brackets.")
    listed = tuple(value.item() if isinstance(value, np.generic) else value for value in values)
    if not listed:
        raise SpaceError(f"expected at least one of {what}, got none. List what can be chosen.")
    for value in listed:
        if value is not None and not isinstance(value, str | int | float):
            raise SpaceError(
                f"expected {what} of str, int, float, bool or None, got {shorten(value)}. "
                "Declare a name for it and look the object up in your function."
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise SpaceError(f"expected finite {what}, got {value!r}.")
    if len(set(listed)) < len(listed):
        twice = next(value for i, value in enumerate(listed) if value in listed[:i])
        raise SpaceError(f"expected different {what}, got {twice!r} twice (1, 1.0 and True are equal).")
    return listed


def lookup(value: Any, index: Mapping[Any, int]) -> int | None:
    """Return the position of a choice, None if it is none; True is not taken for 1."""
    if isinstance(value, np.generic):
        value = value.item()
    try:
        position = index.get(value)
    except TypeError:
        return None
    if position is None:
        return None
    declared = next(choice for choice, i in index.items() if i == position)
    return position if isinstance(value, bool) == isinstance(declared, bool) else None


def shorten(value: Any, limit: int = 80) -> str:
    """Return repr(value), cut to what fits an error message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if isinstance(value, set | frozenset):
        return tuple(sorted(value, key=repr))  # the order of a set differs between processes
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _to_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _to_plain(item) for name, item in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    return [_to_plain(item) for item in value] if isinstance(value, tuple | list) else value
