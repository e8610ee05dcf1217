"""Parameters of many real columns: mixtures that sum to a total, and plain vectors."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from workbench.errors import InvalidValueError
from workbench.space.parameters import Numeric, Opaque, Parameter, check_name, finite, real, whole
from workbench.space.scales import Array, Scale

_OFF_TOTAL = 1e-6  # relative error of a sum that a person may round to
_MOST_SUPPORTS = 20_000  # supports listed one by one; beyond, they are drawn part by part
_ROUNDS = 1_000  # redraws of a mixture whose upper bounds bind


@dataclass(frozen=True, eq=False)
class Simplex(Parameter):
    """Non-negative amounts of several parts that sum to `total`; a value is a dict part -> amount.

    Each part is a variable of its own in constraints, in amounts; its column is the fraction of the
    total. `parts=3` is short for names mix_0, mix_1, mix_2 of a Simplex("mix").

    Args:
        names: The parts.
        parts: Their number, instead of names.
        total: What they sum to.
        bounds: part -> (least, most) in amounts; other parts go from 0 to total.
        max_nonzero: The most parts that may be present at once; parts with a positive lower bound
            always are.
    """

    kind: ClassVar[str] = "simplex"

    names: Sequence[str] | None = field(default=None, kw_only=True)
    parts: int | None = field(default=None, kw_only=True)
    total: float = field(default=1.0, kw_only=True)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict, kw_only=True)
    max_nonzero: int | None = field(default=None, kw_only=True)

    def _declare(self) -> None:
        self._set("names", self._declared_names())
        self._set("parts", None)
        self._set("total", finite(self.total, f"{self.name}: total"))
        if self.total <= 0:
            raise self._error(f"expected total > 0, got {self.total!r}.")
        self._set("bounds", {part: self._declared_bounds(part) for part in self.bounds})
        if self.max_nonzero is not None:
            self._set("max_nonzero", whole(self.max_nonzero, f"{self.name}: max_nonzero"))
            if not 1 <= self.max_nonzero <= len(self.columns):
                raise self._error(f"expected max_nonzero from 1 to {len(self.columns)}, got {self.max_nonzero}.")
        self._check_reachable()

    def _declared_names(self) -> tuple[str, ...]:
        if (self.names is None) == (self.parts is None):
            raise self._error("expected either names= or parts=, got both or neither.")
        if self.parts is not None:
            return tuple(f"{self.name}_{i}" for i in range(whole(self.parts, f"{self.name}: parts")))
        if isinstance(self.names, str) or not hasattr(self.names, "__iter__"):
            raise self._error(f"expected names= as a list of parts, got {self.names!r}.")
        assert self.names is not None
        names = tuple(self.names)
        for name in names:
            check_name(name, f"a part of {self.name!r}")
        if len(set(names)) < len(names):
            raise self._error(f"expected different parts, got {names}.")
        return names

    def _declared_bounds(self, part: str) -> tuple[float, float]:
        if part not in self.columns:
            raise self._error(f"expected bounds= of its parts {', '.join(self.columns)}; got {part!r}.")
        pair = self.bounds[part]
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise self._error(f"expected bounds {part!r}: (least, most), got {pair!r}.")
        low, high = (finite(bound, f"{self.name}: a bound of {part!r}") for bound in pair)
        if not 0 <= low <= high:
            raise self._error(f"expected 0 <= least <= most for {part!r}, got {low!r} and {high!r}.")
        return low, high

    def _check_reachable(self) -> None:
        if len(self.columns) < 2:
            raise self._error(f"expected at least 2 parts, got {len(self.columns)}. One part is the total.")
        low, high = self.limits
        present = int((low > 0).sum())
        if self.max_nonzero is not None and present > self.max_nonzero:
            raise self._error(
                f"expected at most max_nonzero={self.max_nonzero} parts with a positive lower bound, got "
                f"{present}. Raise max_nonzero or lower their bounds to 0."
            )
        most = np.sort(high[low <= 0])[::-1][: self._size - present].sum() + high[low > 0].sum()
        if low.sum() > 1 + _OFF_TOTAL or most < 1 - _OFF_TOTAL:
            raise self._error(
                f"expected bounds that let the parts sum to {self.total:g}; they reach from "
                f"{low.sum() * self.total:g} to {most * self.total:g}. Widen bounds= or max_nonzero=."
            )

    @cached_property
    def limits(self) -> tuple[Array, Array]:
        """Least and most fraction of each part, two arrays of shape (width,)."""
        pairs = [self.bounds.get(part, (0.0, self.total)) for part in self.columns]
        low, high = np.array(pairs, dtype=np.float64).T / self.total
        return low, np.minimum(high, 1.0)

    @property
    def _size(self) -> int:
        return len(self.columns) if self.max_nonzero is None else self.max_nonzero

    @cached_property
    def _scale(self) -> Scale:
        return Scale(0.0, self.total)

    @property
    def columns(self) -> tuple[str, ...]:
        assert self.names is not None
        return tuple(self.names)

    @property
    def box(self) -> bool:
        return True

    @property
    def cardinality(self) -> int | None:
        return None

    def values(self) -> Iterator[Any]:
        raise self._error("expected a finite parameter, got infinitely many values. Sample it instead.")

    def inside(self, value: Any) -> bool:
        low, high = self.limits
        amounts = np.fromiter(value.values(), dtype=np.float64)
        slack = self.total * 1e-9
        within = (amounts >= low * self.total - slack) & (amounts <= high * self.total + slack)
        return bool(within.all() and (amounts > 0).sum() <= self._size)

    @property
    def numeric(self) -> Numeric | None:
        low, high = (tuple((limit * self.total).tolist()) for limit in self.limits)
        return Numeric(self.columns, low, high, 0.0, self.total, self._size < len(self.columns))

    def measure(self, value: Any) -> tuple[float, ...]:
        return tuple(value.values())

    def quantities(self, X: Array) -> Array:
        return self._scale.decode(self._restored(X))

    def place(self, V: Array) -> Array:
        return self._tidied(np.clip(V / self.total, *self.limits))

    def key(self, value: Any) -> Hashable:
        return tuple(amount + 0.0 for amount in value.values())

    def plain(self, value: Any) -> Any:
        return dict(value)

    def describe(self) -> str:
        amounts = ", ".join(
            f"{part} {low * self.total:g} to {high * self.total:g}"
            for part, low, high in zip(self.columns, *self.limits, strict=True)
        )
        few = "" if self.max_nonzero is None else f", at most {self.max_nonzero} of them present"
        return f"amounts of {amounts} that sum to {self.total:g}{few}"

    def _canonical(self, value: Any) -> dict[str, float]:
        if isinstance(value, Mapping):
            if set(value) != set(self.columns):
                raise self.invalid(value, f"Give each of the parts {', '.join(self.columns)}, 0 if absent.")
            value = [value[part] for part in self.columns]
        if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
            raise self.invalid(value, "Pass a dict part -> amount.")
        amounts = [real(amount) for amount in value]
        known = [amount for amount in amounts if amount is not None and math.isfinite(amount) and amount >= 0]
        if len(known) != len(self.columns) or len(amounts) != len(known):
            raise self.invalid(value, "Each amount is a finite number of at least 0.")
        if abs(sum(known) - self.total) > _OFF_TOTAL * self.total:
            raise self.invalid(value, f"They sum to {sum(known):.9g}: scale them to {self.total:g}.")
        return dict(zip(self.columns, known, strict=True))

    def _encode(self, values: Sequence[Any]) -> Array:
        if any(tuple(value) != self.columns for value in values):
            values = [self._canonical(value) for value in values]
        amounts = np.array([tuple(value.values()) for value in values], dtype=np.float64)
        if not np.isfinite(amounts).all():
            raise ValueError("not finite")
        return self._scale.encode(amounts)

    def _decode(self, X: Array) -> list[Any]:
        names = self.columns
        return [dict(zip(names, row, strict=True)) for row in self.quantities(X).tolist()]

    def _restored(self, X: Array) -> Array:
        """Project rows that break the sum, the bounds or max_nonzero; leave the others as they are."""
        low, high = self.limits
        slack = 2 * _OFF_TOTAL
        broken = (np.abs(X.sum(axis=1) - 1) > slack) | ((low - X > 1e-9) | (X - high > 1e-9)).any(axis=1)
        broken |= (X > 0).sum(axis=1) > self._size
        if not broken.any():
            return X
        X = X.copy()
        X[broken] = self._tidied(self._projected(X[broken]))
        return X

    def _projected(self, X: Array) -> Array:
        """Return the nearest fractions within the bounds, on the largest parts that may be present."""
        low, high = (np.broadcast_to(limit, X.shape).copy() for limit in self.limits)
        if self._size < X.shape[1]:
            rank = np.argsort(np.argsort(np.where(low > 0, -np.inf, -X), axis=1, kind="stable"), axis=1)
            high[rank >= self._size] = 0.0
            # A support too small to reach the total swaps in the parts with the widest bounds.
            short = high.sum(axis=1) < 1 - _OFF_TOTAL
            high[short] = self._widest()
        return _onto_sum(X, low, high)

    def _widest(self) -> Array:
        low, high = self.limits
        order = np.argsort(np.where(low > 0, -np.inf, -high), kind="stable")
        return np.where(np.isin(np.arange(len(high)), order[: self._size]), high, 0.0)

    def _tidied(self, X: Array) -> Array:
        """Round amounts to clean decimals; the largest part takes up what rounding leaves."""
        low, high = self.limits
        amounts = self._scale.tidy(X * self.total)
        rows = np.arange(len(X))
        room = np.minimum(amounts - low * self.total, high * self.total - amounts)
        taker = np.argmax(room, axis=1)
        others = amounts.sum(axis=1) - amounts[rows, taker]
        amounts[rows, taker] = self._scale.tidy(self.total - others)
        return self._scale.encode(amounts)

    @property
    def _draws(self) -> int:
        k = len(self.columns)
        if self._size == k:
            return k
        return k + (1 if self._supports is not None else k)

    @cached_property
    def _supports(self) -> npt.NDArray[np.bool_] | None:
        """Every largest set of parts that can sum to the total, shape (s, width); None if too many."""
        low, high = self.limits
        fixed = np.flatnonzero(low > 0)
        free = np.flatnonzero(low <= 0)
        extra = self._size - len(fixed)
        if math.comb(len(free), extra) > _MOST_SUPPORTS:
            return None
        sets = np.zeros((math.comb(len(free), extra), len(low)), dtype=bool)
        sets[:, fixed] = True
        for row, chosen in zip(sets, combinations(free, extra), strict=True):
            row[list(chosen)] = True
        return np.asarray(sets[sets @ high >= 1 - _OFF_TOTAL])

    def _sample(self, U: Array) -> Array:
        low, high = self.limits
        k = len(low)
        present = self._support(U[:, k:])
        low, high = np.where(present, low, 0.0), np.where(present, high, 0.0)
        return self._tidied(_capped_simplex(U[:, :k], low, high))

    def _support(self, U: Array) -> npt.NDArray[np.bool_]:
        low, high = self.limits
        if U.shape[1] == 0:
            return np.ones((len(U), len(low)), dtype=bool)
        supports = self._supports
        if supports is not None:
            picked = np.minimum(np.floor(U[:, 0] * len(supports)), len(supports) - 1)
            return np.asarray(supports[picked.astype(np.int64)])
        rank = np.argsort(np.argsort(np.where(low > 0, -1.0, U), axis=1), axis=1)
        chosen = rank < self._size
        chosen[chosen @ high < 1 - _OFF_TOTAL] = self._widest() > 0
        return np.asarray(chosen)


def _onto_sum(X: Array, low: Array, high: Array) -> Array:
    """Return the Euclidean projection of rows X (n, k) onto low <= x <= high, sum x = 1.

    The solution is clip(x - t, low, high) for the one shift t that makes the sum 1; the sum falls with
    t, so bisection finds it.
    """
    below, above = (X - high).min(axis=1) - 1, (X - low).max(axis=1) + 1
    for _ in range(100):  # the bracket halves down to the last bit
        t = (below + above) / 2
        too_much = np.clip(X - t[:, None], low, high).sum(axis=1) > 1
        below, above = np.where(too_much, t, below), np.where(too_much, above, t)
    return np.asarray(np.clip(X - above[:, None], low, high), dtype=np.float64)


def _capped_simplex(U: Array, low: Array, high: Array) -> Array:
    """Map uniforms (n, k) to points of low <= x <= high, sum x = 1, uniform where there is room.

    Exponential spacings are uniform where no upper bound binds. Where one does, the row is redrawn
    from its own bits until it fits; a row that never does is projected, hence not uniform.
    """
    spare, room = 1 - low.sum(axis=1), high - low  # (n,), (n, k)
    loose = room > 0
    # What is left below the upper bounds is a simplex too; the smaller of the two is less often cut.
    flipped = room.sum(axis=1) - spare < spare
    spare = np.maximum(np.where(flipped, room.sum(axis=1) - spare, spare), 0.0)
    Y = _spacings(U, loose) * spare[:, None]
    for attempt in range(1, _ROUNDS):
        bad = np.flatnonzero((room < Y).any(axis=1))
        if len(bad) == 0:
            break
        Y[bad] = _spacings(_scrambled(U[bad], attempt), loose[bad]) * spare[bad, None]
    X = np.where(flipped[:, None], high - Y, low + Y)
    bad = np.flatnonzero((room < Y).any(axis=1))
    X[bad] = _onto_sum(X[bad], low[bad], high[bad])
    return np.asarray(X, dtype=np.float64)


def _spacings(U: Array, loose: npt.NDArray[np.bool_]) -> Array:
    """Return exponential spacings: uniform on the unit simplex of each row's loose parts, else 0."""
    E = np.where(loose, -np.log1p(-np.clip(U, 2.0**-60, None)), 0.0)  # never all zero
    return np.asarray(E / np.maximum(E.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny))


def _scrambled(U: Array, attempt: int) -> Array:
    """Return new uniforms that depend on nothing but the bits of the old ones.

    Source: Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators (the finaliser of
    splitmix64), applied to a hash of the row, the column and the attempt.
    """
    bits = np.ascontiguousarray(U).view(np.uint64)
    weights = np.arange(1, 2 * U.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    row = (_mixed(bits) * weights).sum(axis=1, dtype=np.uint64)
    salt = np.uint64(attempt * 0xD1342543DE82EF95 % 2**64)
    z = _mixed(_mixed(row + salt)[:, None] + weights)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))


@dataclass(frozen=True, eq=False)
class Vector(Opaque):
    """A vector of `size` numbers: standard normal as they are, or uniform between low and high.

    A value is a read-only float64 array of shape (size,).
    """

    kind: ClassVar[str] = "vector"

    size: int
    prior: str = field(default="normal", kw_only=True)
    low: float = field(default=0.0, kw_only=True)
    high: float = field(default=1.0, kw_only=True)

    def _declare(self) -> None:
        self._set("size", whole(self.size, f"{self.name}: size"))
        self._set("low", finite(self.low, f"{self.name}: low"))
        self._set("high", finite(self.high, f"{self.name}: high"))
        if self.size < 1:
            raise self._error(f"expected size >= 1, got {self.size}.")
        if self.prior not in ("normal", "uniform"):
            raise self._error(f"expected prior='normal' or 'uniform', got {self.prior!r}.")
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            raise self._error(f"expected low < high, got {self.low!r} and {self.high!r}.")
        if self.prior == "normal" and (self.low, self.high) != (0.0, 1.0):
            raise self._error("expected low= and high= only with prior='uniform'.")

    @cached_property
    def _scale(self) -> Scale:
        return Scale(self.low, self.high)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}[{i}]" for i in range(self.size))

    @property
    def box(self) -> bool:
        return self.prior == "uniform"

    @property
    def cardinality(self) -> int | None:
        return None

    def values(self) -> Iterator[Any]:
        raise self._error("expected a finite parameter, got infinitely many values. Sample it instead.")

    def inside(self, value: Any) -> bool:
        return self.prior == "normal" or bool(((value >= self.low) & (value <= self.high)).all())

    def key(self, value: Any) -> Hashable:
        return (np.asarray(value) + 0.0).tobytes()

    def plain(self, value: Any) -> Any:
        return value.tolist()

    def describe(self) -> str:
        span = "" if self.prior == "normal" else f" from {self.low:g} to {self.high:g}"
        return f"{self.size} finite numbers{span}"

    def _canonical(self, value: Any) -> Array:
        try:
            raw = np.asarray(value)
        except ValueError as error:
            raise self.invalid(value, "Pass one flat array.") from error
        if raw.dtype.kind not in "iuf" or raw.shape != (self.size,):
            raise self.invalid(value, f"Pass an array of shape ({self.size},); this has {raw.shape}.")
        vector = raw.astype(np.float64)
        if not np.isfinite(vector).all():
            raise self.invalid(value, "Pass finite numbers.")
        vector.setflags(write=False)
        return vector

    def _encode(self, values: Sequence[Any]) -> Array:
        V = np.asarray(values, dtype=np.float64)
        if V.shape != (len(values), self.size) or not np.isfinite(V).all():
            raise InvalidValueError(
                f"{self.name}: expected {self.describe()} each, got an array of shape {V.shape}. "
                "Check the values one by one."
            )
        return V.copy() if self.prior == "normal" else self._scale.encode(V)

    def _decode(self, X: Array) -> list[Any]:
        V = X.copy() if self.prior == "normal" else self._scale.decode(X)
        V.setflags(write=False)
        return list(V)

    @property
    def _draws(self) -> int:
        return self.size

    def _sample(self, U: Array) -> Array:
        if self.prior == "uniform":
            return self._scale.snap(U)
        from scipy.special import ndtri

        # Half a step of the coarsest generator in use (2**-30) keeps 0 and 1, and infinity, out.
        return np.asarray(ndtri(np.clip(U, 2.0**-31, 1 - 2.0**-31)), dtype=np.float64)
