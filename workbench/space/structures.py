"""Parameters with combinatorial structure: orders, selections, strings of tokens.

Each knows the neighbours of an encoded value, by the moves that local search on such values is made of: swaps,
insertions and reversals of orders (Croes 1958, A method for solving traveling-salesman problems: 2-opt), exchanges of a
chosen item for another, substitutions, insertions and deletions of tokens (Levenshtein 1966). They lead from any value
to any other.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from collections.abc import Sequence as AnySequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations, permutations, product
from typing import Any, ClassVar

import numpy as np

from workbench.errors import SpaceError
from workbench.space.parameters import Opaque, Parameter, lookup, scalars, whole
from workbench.space.scales import Array, Indices


@dataclass(frozen=True, eq=False)
class Permutation(Opaque):
    """An order of all items; a value is a tuple of them, the columns hold the item at each place.

    `items=6` is short for the items 0 to 5.
    """

    kind: ClassVar[str] = "permutation"

    items: Any

    def _declare(self) -> None:
        self._set("items", _items(self, self.items))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}[{i}]" for i in range(len(self.items)))

    @property
    def box(self) -> bool:
        return False

    @property
    def cardinality(self) -> int | None:
        return math.factorial(len(self.items))

    def values(self) -> Iterator[tuple[Any, ...]]:
        return permutations(self.items)

    def inside(self, value: Any) -> bool:
        return True

    def key(self, value: Any) -> Hashable:
        return tuple(map(self.items.index, value))

    def plain(self, value: Any) -> Any:
        return list(value)

    def describe(self) -> str:
        return f"an order of the {len(self.items)} items {_listed(self.items)}"

    def _canonical(self, value: Any) -> tuple[Any, ...]:
        places = _places(value, self.items)
        if places is None or sorted(places) != list(range(len(self.items))):
            raise self.invalid(value, "Pass a list that holds each item exactly once.")
        return tuple(self.items[i] for i in places)

    def _encode(self, values: AnySequence[Any]) -> Array:
        return _indices(values, self.items, len(self.items)).astype(np.float64)

    def _decode(self, X: Array) -> list[Any]:
        # Ranks leave a permutation as it is and turn any other row into the nearest order.
        ranks = np.argsort(np.argsort(X, axis=1, kind="stable"), axis=1, kind="stable")
        return _tuples(self.items, ranks)

    @property
    def _draws(self) -> int:
        return len(self.items)

    def _sample(self, U: Array) -> Array:
        return np.argsort(U, axis=1, kind="stable").astype(np.float64)

    @property
    def codes(self) -> range:
        """What a column may hold."""
        return range(len(self.items))

    @cached_property
    def _moves(self) -> Indices:
        """From and to of all moves, a column each: swaps, then insertions, then reversals; no two do the same."""
        n = len(self.items)
        here, there = np.nonzero(~np.eye(n, dtype=bool))
        swaps, insertions, reversals = here < there, abs(here - there) > 1, there - here > 2
        return np.hstack(
            [[np.full(m.sum(), i), here[m], there[m]] for i, m in enumerate((swaps, insertions, reversals))]
        )

    def neighbours(self, row: Array, rng: np.random.Generator, n: int) -> Array:
        """Orders that two items swapped, one item put elsewhere, or a stretch reversed make of an encoded one (width,).

        Args:
            row: Encoded value.
            rng: Chooses where there are more than n.
            n: How many at most.
        Returns:
            Encoded values, no two equal, shape (at most n, width).
        """
        kind, here, there = self._moves[:, _drawn(self._moves.shape[1], rng, n)][:, :, None]
        first, last = np.minimum(here, there), np.maximum(here, there)
        place = np.arange(len(self.items))
        within = (first <= place) & (place <= last)
        shift = np.where(here < there, 1, -1)
        swap = np.where(place == here, there, np.where(place == there, here, place))
        insertion = np.where(within, np.where(place == there, here, place + shift), place)
        reversal = np.where(within, first + last - place, place)
        return np.asarray(row[np.choose(kind, [swap, insertion, reversal])])


@dataclass(frozen=True, eq=False)
class Subset(Opaque):
    """Exactly k of the items; a value is a tuple in the order of the items, the columns are 0 or 1."""

    kind: ClassVar[str] = "subset"

    items: Any
    k: int

    def _declare(self) -> None:
        self._set("items", _items(self, self.items))
        self._set("k", whole(self.k, f"{self.name}: k"))
        if not 0 <= self.k <= len(self.items):
            raise self._error(f"expected k from 0 to the {len(self.items)} items, got {self.k}.")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}[{i}]" for i in range(len(self.items)))

    @property
    def box(self) -> bool:
        return False

    @property
    def cardinality(self) -> int | None:
        return math.comb(len(self.items), self.k)

    def values(self) -> Iterator[tuple[Any, ...]]:
        return combinations(self.items, self.k)

    def inside(self, value: Any) -> bool:
        return True

    def key(self, value: Any) -> Hashable:
        return tuple(map(self.items.index, value))

    def plain(self, value: Any) -> Any:
        return list(value)

    def describe(self) -> str:
        return f"{self.k} of the {len(self.items)} items {_listed(self.items)}"

    def _canonical(self, value: Any) -> tuple[Any, ...]:
        listed = list(value) if isinstance(value, set | frozenset) else value
        places = _places(listed, self.items)
        if places is None or len(places) != self.k or len(set(places)) != self.k:
            raise self.invalid(value, f"Pass {self.k} different items.")
        return tuple(self.items[i] for i in sorted(places))

    def _encode(self, values: AnySequence[Any]) -> Array:
        rows = np.zeros((len(values), len(self.items)))
        np.put_along_axis(rows, _indices(values, self.items, self.k), 1.0, axis=1)
        return rows

    def _decode(self, X: Array) -> list[Any]:
        chosen = np.sort(np.argsort(-X, axis=1, kind="stable")[:, : self.k], axis=1)
        return _tuples(self.items, chosen)

    @property
    def _draws(self) -> int:
        return len(self.items)

    def _sample(self, U: Array) -> Array:
        rows = np.zeros(U.shape)
        np.put_along_axis(rows, np.argsort(U, axis=1, kind="stable")[:, : self.k], 1.0, axis=1)
        return rows

    @property
    def codes(self) -> range:
        """What a column may hold."""
        return range(2)

    def neighbours(self, row: Array, rng: np.random.Generator, n: int) -> Array:
        """Selections that one item exchanged for another makes of an encoded one; see `Permutation.neighbours`."""
        chosen, others = np.flatnonzero(row == 1.0), np.flatnonzero(row == 0.0)
        moves = _drawn(len(chosen) * len(others), rng, n)
        rows = np.repeat(row[None], len(moves), axis=0)
        if len(moves):
            out, into = np.divmod(moves, len(others))
            rows[np.arange(len(moves)), chosen[out]] = 0.0
            rows[np.arange(len(moves)), others[into]] = 1.0
        return rows


@dataclass(frozen=True, eq=False)
class Sequence(Opaque):
    """A string of tokens of the alphabet, of min_length to max_length of them.

    A value is a str if every token is one character, else a tuple. The columns hold token indices,
    padded with -1. Drawn with every length, and every token, equally likely.
    """

    kind: ClassVar[str] = "sequence"

    alphabet: Any
    min_length: int
    max_length: int

    def _declare(self) -> None:
        letters = list(self.alphabet) if isinstance(self.alphabet, str) else self.alphabet
        self._set("alphabet", _items(self, letters))
        self._set("min_length", whole(self.min_length, f"{self.name}: min_length"))
        self._set("max_length", whole(self.max_length, f"{self.name}: max_length"))
        if not 0 <= self.min_length <= self.max_length or self.max_length < 1:
            raise self._error(
                f"expected 0 <= min_length <= max_length and max_length >= 1, got {self.min_length} and "
                f"{self.max_length}."
            )
        if "\0" in self.alphabet:
            raise self._error("expected an alphabet without the NUL character. Use another letter.")

    @property
    def _is_text(self) -> bool:
        return all(isinstance(letter, str) and len(letter) == 1 for letter in self.alphabet)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{self.name}[{i}]" for i in range(self.max_length))

    @property
    def box(self) -> bool:
        return False

    @property
    def cardinality(self) -> int | None:
        a = len(self.alphabet)
        return sum(int(a**length) for length in range(self.min_length, self.max_length + 1))

    def values(self) -> Iterator[Any]:
        lengths = range(self.min_length, self.max_length + 1)
        listed = chain.from_iterable(product(self.alphabet, repeat=length) for length in lengths)
        return ("".join(tokens) for tokens in listed) if self._is_text else listed

    def inside(self, value: Any) -> bool:
        return self.min_length <= len(value) <= self.max_length

    def key(self, value: Any) -> Hashable:
        return tuple(map(self.alphabet.index, value))

    def plain(self, value: Any) -> Any:
        return value if isinstance(value, str) else list(value)

    def describe(self) -> str:
        return f"{self.min_length} to {self.max_length} tokens of {_listed(self.alphabet)}"

    def _canonical(self, value: Any) -> Any:
        tokens = list(value) if isinstance(value, str) and self._is_text else value
        places = _places(tokens, self.alphabet)
        if places is None or len(places) > self.max_length:
            raise self.invalid(value, f"Pass at most {self.max_length} tokens of the alphabet.")
        letters = tuple(self.alphabet[i] for i in places)
        return "".join(letters) if self._is_text else letters

    def _encode(self, values: AnySequence[Any]) -> Array:
        if self._is_text:
            return self._encode_text(values)
        index = {letter: i for i, letter in enumerate(self.alphabet)}
        rows = np.full((len(values), self.max_length), -1.0)
        for row, value in zip(rows, values, strict=True):
            row[: len(value)] = [index[letter] for letter in value]
        return rows

    def _encode_text(self, values: AnySequence[str]) -> Array:
        padded = "".join(value.ljust(self.max_length, "\0") for value in values)
        codes = np.frombuffer(padded.encode("utf-32-le"), dtype=np.uint32)
        if len(codes) != len(values) * self.max_length:
            raise ValueError("too long")
        letters = np.array([0, *map(ord, self.alphabet)], dtype=np.uint32)
        order = np.argsort(letters)
        place = np.minimum(np.searchsorted(letters, codes, sorter=order), len(letters) - 1)
        found = order[place]
        if not np.array_equal(letters[found], codes):
            raise ValueError("unknown letters")
        return (found - 1).astype(np.float64).reshape(len(values), self.max_length)

    def _decode(self, X: Array) -> list[Any]:
        tokens = self._tokens(X)
        if self._is_text:
            letters = np.array([0, *map(ord, self.alphabet)], dtype=np.uint32)
            codes = np.ascontiguousarray(letters[tokens + 1])
            return [str(text) for text in codes.view(f"<U{self.max_length}")[:, 0].tolist()]
        alphabet = self.alphabet
        return [tuple(alphabet[i] for i in row if i >= 0) for row in tokens.tolist()]

    def _tokens(self, X: Array) -> Indices:
        """Round to token indices, (n, max_length): -1 from the first padding on, never too short."""
        tokens = np.clip(np.rint(X), -1, len(self.alphabet) - 1).astype(np.int64)
        tokens[:, : self.min_length] = np.maximum(tokens[:, : self.min_length], 0)
        ended = np.logical_or.accumulate(tokens < 0, axis=1)
        return np.where(ended, -1, tokens)

    @property
    def _draws(self) -> int:
        return 1 + self.max_length

    def _sample(self, U: Array) -> Array:
        a, spread = len(self.alphabet), self.max_length - self.min_length + 1
        lengths = self.min_length + np.minimum(np.floor(U[:, :1] * spread), spread - 1)  # (n, 1)
        tokens = np.minimum(np.floor(U[:, 1:] * a), a - 1)
        return np.where(np.arange(self.max_length) < lengths, tokens, -1.0)

    @property
    def codes(self) -> range:
        """What a column may hold."""
        return range(-1, len(self.alphabet))

    def neighbours(self, row: Array, rng: np.random.Generator, n: int) -> Array:
        """Strings that one token substituted, inserted, deleted, or swapped with the next makes of an encoded one.

        At its greatest length an insertion pushes the last token out, at its least a token is added to what a deletion
        leaves; so strings of one length shift, too. See `Permutation.neighbours`; n counts the ways to get there.
        """
        a, length = len(self.alphabet), int((row >= 0).sum())
        tokens = np.array([a, a, a if length == self.min_length else 1, 1])  # that each of the four has to choose from
        ends = np.cumsum(tokens * [length, length + 1, length, max(length - 1, 0)])
        ways = _drawn(int(ends[-1]), rng, n)
        kind = np.searchsorted(ends, ways, side="right")
        i, token = (v[:, None] for v in np.divmod(ways - np.append(0, ends)[kind], tokens[kind]))
        kind, place, padded = kind[:, None], np.arange(self.max_length), np.append(row, -1.0)
        substituted = np.where(place == i, token, row)
        inserted = np.where(place == i, token, padded[place - (place > i)])
        deleted = padded[place + (place >= i)]
        if length == self.min_length:
            deleted = np.where(place == length - 1, token, deleted)
        swapped = padded[np.where(place == i, place + 1, np.where(place == i + 1, place - 1, place))]
        rows = np.unique(np.choose(kind, [substituted, inserted, deleted, swapped]), axis=0)
        return np.asarray(rows[(rows != row).any(axis=1)])


Structure = Permutation | Subset | Sequence


def _drawn(count: int, rng: np.random.Generator, n: int) -> Indices:
    """At most n of the numbers below count, all of them if they are no more."""
    return np.arange(count) if count <= n else rng.choice(count, n, replace=False)


def _items(parameter: Parameter, items: Any) -> tuple[Any, ...]:
    where = f"{parameter.kind} parameter {parameter.name!r}"
    if isinstance(items, int | np.integer) and not isinstance(items, bool):
        items = range(int(items))
    try:
        return scalars(items, "items")
    except SpaceError as error:
        raise SpaceError(f"{where}: {error}") from error


def _places(value: Any, items: AnySequence[Any]) -> list[int] | None:
    """Return the positions of tokens among the items, None if one is not among them."""
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__"):
        return None
    index = {item: i for i, item in enumerate(items)}
    found = [lookup(item, index) for item in value]
    places = [place for place in found if place is not None]
    return places if len(places) == len(found) else None


def _indices(values: AnySequence[Any], items: AnySequence[Any], length: int) -> Indices:
    """Return the item indices (n, length) of n selections. Raises ValueError, KeyError on others."""
    if any(len(value) != length for value in values):
        raise ValueError("not as many items")
    index = {item: i for i, item in enumerate(items)}
    found = map(index.__getitem__, chain.from_iterable(values))
    return np.fromiter(found, np.int64, len(values) * length).reshape(len(values), length)


def _tuples(items: AnySequence[Any], indices: Indices) -> list[Any]:
    """Return the selections behind item indices (n, length)."""
    named = np.empty(len(items), dtype=object)
    named[:] = items
    return list(map(tuple, named[indices].tolist()))


def _listed(items: AnySequence[Any]) -> str:
    shown = ", ".join(map(repr, items[:10]))
    return shown if len(items) <= 10 else f"{shown}, ..."
