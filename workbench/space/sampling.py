"""Draws from a space under its known constraints.

A ladder: plain draws where there are no constraints; rejection where enough candidates pass; else the
linear constraints by hit-and-run, conditioned on everything that is not a relaxable number, with
rejection on top for the rest. Both constrained rungs work through a fixed sequence of blocks, so that
what is skipped and what is returned never changes which points there are.

Shapes: U (n, w) uniforms, w = `Plan.draws`; X (n, D) encoded points.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.errors import InfeasibleSpaceError, InvalidValueError
from workbench.integers import integer
from workbench.space.feasibility import Row, linear_rows, stacked, total_row
from workbench.space.parameters import Parameter
from workbench.space.polytope import Polytope, polytope
from workbench.space.scales import Array

if TYPE_CHECKING:
    from workbench.space.space import Space

_PILOT = 1024
_ENOUGH = 8  # accepted of the pilot: a candidate costs about 1/100 of a point by hit-and-run
_CHAIN_PILOT, _CHAIN_ENOUGH = 64, 4  # below one in 16, levels are rounded at random
_REMEMBERED = 2**20  # numbers in the blocks kept by a plan, 8 MiB
_POLYTOPES = 256  # kept by a plan
_SETTLING = 32


class Source(ABC):
    """Where uniform numbers come from."""

    @property
    @abstractmethod
    def key(self) -> int | None:
        """What the stream is a function of; None if it cannot be repeated."""

    @abstractmethod
    def draw(self, width: int, start: int, count: int) -> Array:
        """Return rows start .. start + count - 1 of the stream, shape (count, width), in [0, 1)."""

    @abstractmethod
    def chain_seed(self, block: int, group: int) -> int:
        """Return a seed for one chain within a block."""


class Uniform(Source):
    """Independent uniforms of a generator, which cannot go back."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.drawn = 0

    @property
    def key(self) -> int | None:
        return None

    def draw(self, width: int, start: int, count: int) -> Array:
        self.drawn += count
        return self._rng.random((count, width))

    def chain_seed(self, block: int, group: int) -> int:
        return int(self._rng.integers(2**31))


class Sobol(Source):
    """A scrambled Sobol sequence (Owen 1998, by linear matrix scramble and shift, 30 bits)."""

    def __init__(self, seed: int) -> None:
        if integer(seed) is None:
            raise InvalidValueError(f"expected a seed that is an integer of at least 0, got {seed!r}.")
        self._seed = int(seed)
        self._engine: Any = None
        self._width = -1
        self.drawn = 0

    @property
    def key(self) -> int | None:
        return self._seed

    def draw(self, width: int, start: int, count: int) -> Array:
        self.drawn += count
        if width == 0 or count == 0:
            return np.empty((count, width))
        from scipy.stats.qmc import Sobol as Engine

        d = min(width, Engine.MAXDIM)
        if self._engine is None or self._width != d or self._engine.num_generated > start:
            self._engine, self._width = Engine(d, scramble=True, rng=np.random.default_rng(self._seed)), d
        if start > self._engine.num_generated:
            self._engine.fast_forward(start - self._engine.num_generated)
        # The engine warns when its first draw is no power of two; the prefix is meant here.
        first = [self._engine.random(1)] if start == 0 else []
        U = np.concatenate([*first, self._engine.random(count - len(first))])
        if d < width:
            rest = [np.random.default_rng([self._seed, start + i]).random(width - d) for i in range(count)]
            U = np.hstack([U, rest])
        return np.asarray(U, dtype=np.float64)

    def chain_seed(self, block: int, group: int) -> int:
        # torch's generator keeps 32 bits; BoTorch uses this seed and the next one.
        return int(np.random.SeedSequence([self._seed, block, group]).generate_state(1)[0] >> 1)


class Plan:
    """How to draw from one space with some values fixed; built once, used by every ask."""

    def __init__(self, space: Space, fixed: Mapping[str, Any]) -> None:
        self._space = space
        pinned = {p.name: p.target for p in space.parameters if p.target is not None} | dict(fixed)
        self._pinned = {name: _settled(space[name], space[name].encode([value])) for name, value in pinned.items()}
        if broken := space.violations(pinned):
            raise InfeasibleSpaceError(
                f"expected fixed values that meet the known constraints; got {'; '.join(broken)}. "
                "Fix other values, or fewer."
            )
        self._free = [p for p in space.parameters if p.name not in pinned]
        self.draws = sum(p.draws for p in self._free)
        self._relaxation = _Relaxation(space, pinned)
        self._blocks: dict[tuple[int, int], Array] = {}
        self.blind = not self._relaxation.rows or self._pilot() >= _ENOUGH
        if not self.blind and self._relaxation.stepped and self._chain_pilot() < _CHAIN_ENOUGH:
            self._relaxation = _Relaxation(space, pinned, at_random=True)

    def take(self, source: Source, n: int, skip: int) -> Array:
        """Return n points after the first skip accepted ones, X (n, D)."""
        for what, number in (("n", n), ("skip", skip)):
            if integer(number) is None:
                raise InvalidValueError(f"expected {what} to be an integer of at least 0, got {number!r}.")
        if n == 0:
            return np.empty((0, self._space.width))
        if not self._space.constrained:
            return self._base(source.draw(self.draws, skip, n))
        found: list[Array] = []
        short = n + skip
        for rows in self._accepted(source, n + skip):
            found.append(rows)
            short -= len(rows)
            if short <= 0:
                break
        return np.concatenate(found)[skip : skip + n]

    def _accepted(self, source: Source, wanted: int) -> Iterator[Array]:
        """Yield the accepted rows of block after block; raise once the stated effort is spent."""
        block = start = accepted = 0
        effort = 2**18 + 2**12 * wanted if self.blind else 2**12 + 2**6 * wanted
        while start < effort:
            size = self._block_size(block)
            rows = self._block(source, block, start, size)
            yield rows
            accepted += len(rows)
            block, start = block + 1, start + size
        rules = [constraint.source for constraint in self._space.constraints]
        listed = ", ".join(rules + [rule.name for rule in self._space.functions])
        raise InfeasibleSpaceError(
            f"expected {wanted} points that meet {listed}; found {accepted} among {start} candidates. "
            "Relax a constraint, unfix a value, or declare the parameters so that fewer points are excluded "
            "(a Simplex for sums, no log=True under an equality)."
        )

    def _block_size(self, block: int) -> int:
        if not self.blind:
            return int(min(12 * 2**block, 768))
        return int(min(64 * 2**block, max(64, min(2**14, 2**22 // self._space.width))))

    def _block(self, source: Source, block: int, start: int, size: int) -> Array:
        key = None if source.key is None else (source.key, block)
        if key is not None and key in self._blocks:
            return self._blocks[key]
        X = self._base(source.draw(self.draws, start, size))
        if not self.blind:
            X = self._relaxation.replaced(X, source, block)
        rows = X[self._space.feasible(X)]
        if key is not None:
            if sum(kept.size for kept in list(self._blocks.values())) + rows.size > _REMEMBERED:
                self._blocks.clear()
            self._blocks[key] = rows
        return rows

    def _pilot(self) -> int:
        X = self._base(Sobol(0).draw(self.draws, 0, _PILOT))
        return int(self._space.feasible(X).sum())

    def _chain_pilot(self) -> int:
        source = Sobol(0)
        X = self._base(source.draw(self.draws, 0, _CHAIN_PILOT))
        return int(self._space.feasible(self._relaxation.replaced(X, source, 0)).sum())

    def _base(self, U: Array) -> Array:
        """Map uniforms to points, constraints left aside."""
        X = np.empty((len(U), self._space.width))
        start = 0
        for parameter in self._free:
            columns = parameter.from_uniform(U[:, start : start + parameter.draws])
            start += parameter.draws
            if parameter.role == "environment":
                columns = _settled(parameter, columns)
            X[:, self._space.slices[parameter.name]] = columns
        for name, row in self._pinned.items():
            X[:, self._space.slices[name]] = row
        X[~self._space.mask(X)] = np.nan
        return X


def plan(space: Space, fixed: Mapping[str, Any]) -> Plan:
    """Return the plan for a space and canonical fixed values, remembered."""
    functions = tuple(id(rule.function) for rule in space.functions)  # equal spaces may differ in them
    return _remembered(space, _Fixed((space.key(fixed), functions), dict(fixed)))


class _Fixed:
    """Fixed values that compare by their key."""

    def __init__(self, key: Hashable, values: dict[str, Any]) -> None:
        self._key = key
        self.values = values

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Fixed) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=16)
def _remembered(space: Space, fixed: _Fixed) -> Plan:
    return Plan(space, fixed.values)


class _Relaxation:
    """The linear constraints, with relaxable numbers as coordinates and all others held as drawn.

    Equally spaced levels count as continuous over their cells, half a step beyond either end, with each
    inequality loosened by half a step of each level: every admissible level keeps its whole cell, so that
    rounding and testing again leaves the uniform distribution. Where too few survive the test (many levels
    under one tight constraint), `at_random` keeps the constraints as they are and rounds up or down at
    random instead: every point can still come out, but no longer equally often.

    Other numbers (log scales, ordinals, parents of conditional parameters, samples and weights, levels
    under an equality that continuous numbers can meet) are held: each distinct set of held values has a
    polytope of its own and the frequency it has without constraints.
    """

    def __init__(self, space: Space, pinned: Mapping[str, Any], at_random: bool = False) -> None:
        self._space = space
        self._at_random = at_random
        self.rows = linear_rows(space.constraints)
        used = {name for row in self.rows for name in row.coefficients}
        parents = {parent for p in space.parameters for parent in p.when or ()}
        owners = [p for p in space.parameters if used & set(p.variables)]
        bound = {p.name for p in owners if p.has_scenarios} | parents | set(pinned)
        free = {
            p.name: p for p in owners if p.name not in bound and p.numeric is not None and p.numeric.spacing is not None
        }
        rigid = _rigid(self.rows, list(free.values()))
        self._moved = [p for p in free.values() if p.name not in rigid]
        self._held = [p for p in owners if p not in self._moved]
        held = {v for p in self._held for v in p.variables}
        self._decided = [c for c in space.constraints if held >= set(c.names)]
        self._polytopes: dict[Hashable, _Group | None] = {}
        if not self._moved:
            self.rows = []

    @property
    def stepped(self) -> bool:
        """Whether some of the moved parameters have levels."""
        return any(p.numeric is not None and p.numeric.spacing for p in self._moved)

    def replaced(self, X: Array, source: Source, block: int) -> Array:
        """Return X (n, D) with the moved parameters drawn anew; rows of empty polytopes are left out."""
        X = X[self._possible(X)]
        signatures = self._signatures(X)
        kept = np.zeros(len(X), dtype=bool)
        _, first, label = np.unique(signatures, axis=0, return_index=True, return_inverse=True)
        # Groups in the order of their first rows: seeds then do not hang on how values sort.
        for number, group in enumerate(np.argsort(first, kind="stable")):
            rows = np.flatnonzero(label.ravel() == group)
            solved = self._group(signatures[rows[0]])
            if solved is not None:
                seed = source.chain_seed(block, number)
                kept[rows] = True
                self._put(X, rows, solved, seed)
        return X[kept]

    def _possible(self, X: Array) -> npt.NDArray[np.bool_]:
        """Return which rows meet the constraints that held numbers alone decide."""
        held = {v: c for p in self._held for v, c in zip(p.variables, self._block_of(X, p).T, strict=True)}
        possible = np.ones(len(X), dtype=bool)
        for constraint in self._decided:
            possible &= constraint.satisfied(held)
        return possible

    def _signatures(self, X: Array) -> Array:
        """Return what tells polytopes apart, (n, s): held numbers (NaN inactive), and who is present."""
        held = [self._block_of(X, p) for p in self._held]
        present = [self._presence(X, p) for p in self._moved]
        joined = np.hstack([*held, *present]) if held or present else np.empty((len(X), 0))
        return np.where(np.isnan(joined), np.inf, joined)  # unique() would tell NaN from NaN

    def _block_of(self, X: Array, parameter: Parameter) -> Array:
        columns = X[:, self._space.slices[parameter.name]]
        known = ~np.isnan(columns).any(axis=1)
        numbers = np.full((len(X), len(parameter.variables)), np.nan)
        numbers[known] = parameter.quantities(columns[known])
        return numbers

    def _presence(self, X: Array, parameter: Parameter) -> Array:
        """Return 1 where a variable may move, 0 where a mixture leaves it out, inf where inactive."""
        numbers = self._block_of(X, parameter)
        sparse = parameter.numeric is not None and parameter.numeric.sparse
        present = (numbers > 0).astype(np.float64) if sparse else np.ones_like(numbers)
        return np.where(np.isnan(numbers), np.inf, present)

    def _group(self, signature: Array) -> _Group | None:
        key = signature.tobytes()
        if key not in self._polytopes:
            if len(self._polytopes) >= _POLYTOPES:
                self._polytopes.clear()
            self._polytopes[key] = self._solved(signature)
        return self._polytopes[key]

    def _solved(self, signature: Array) -> _Group | None:
        names = [v for p in (*self._held, *self._moved) for v in p.variables]
        value = dict(zip(names, signature.tolist(), strict=True))
        held = {v: value[v] for p in self._held for v in p.variables}
        moved, low, high, half, totals = [], [], [], {}, []
        for p in self._moved:
            assert p.numeric is not None
            assert p.numeric.spacing is not None
            if value[p.variables[0]] == np.inf:
                continue
            totals += [total_row(p.numeric)] if p.numeric.total is not None else []
            for v, a, b in zip(p.numeric.names, p.numeric.low, p.numeric.high, strict=True):
                half[v] = 0.0 if self._at_random else p.numeric.spacing / 2
                if value[v]:
                    moved.append(v)
                    low.append(a - half[v])
                    high.append(b + half[v])
        absent = {v for v in names if value[v] == np.inf}
        live = [row for row in self.rows if not absent & set(row.coefficients)]
        rows = [loose for row in live for loose in _loosened(row, held, half)]
        if not moved:
            return None
        bottom, top = np.array(low), np.array(high)
        solved = polytope(*stacked([*rows, *totals], moved, bottom, top))
        return None if solved is None else _Group(tuple(moved), bottom, top - bottom, solved)

    def _put(self, X: Array, rows: npt.NDArray[np.intp], group: _Group, seed: int) -> None:
        """Draw a group's rows of X in place."""
        column = dict(zip(group.names, group.draw(len(rows), seed).T, strict=True))
        rng = np.random.default_rng([seed, 1])
        for p in self._moved:
            if any(v in column for v in p.variables):
                numbers = np.stack([column.get(v, np.zeros(len(rows))) for v in p.variables], axis=1)
                if self._at_random and p.numeric is not None and p.numeric.spacing:
                    numbers += p.numeric.spacing * (rng.random(numbers.shape) - 0.5)
                X[rows, self._space.slices[p.name]] = p.place(numbers)


class _Group:
    """A polytope with the names and ranges of its coordinates."""

    def __init__(self, names: tuple[str, ...], low: Array, span: Array, solved: Polytope) -> None:
        self.names = names
        self._low, self._span, self._solved = low, span, solved

    def draw(self, n: int, seed: int) -> Array:
        return self._low + self._span * self._solved.draw(n, seed)


def _rigid(rows: Sequence[Row], free: Sequence[Parameter]) -> set[str]:
    """Return the stepped parameters to hold: those under an equality that continuous numbers can meet."""
    spacing = {v: p.numeric.spacing for p in free if p.numeric for v in p.variables}
    owner = {v: p.name for p in free for v in p.variables}
    rigid: set[str] = set()
    for row in rows:
        if row.equality and any(spacing.get(v) == 0 for v in row.coefficients):
            rigid |= {owner[v] for v in row.coefficients if spacing.get(v)}
    return rigid


def _loosened(row: Row, held: Mapping[str, float], half: Mapping[str, float]) -> list[Row]:
    """Return the row over the moved variables: held ones as constants, levels given their cells."""
    constant = row.constant + sum(a * held[v] for v, a in row.coefficients.items() if v in held)
    moved = {v: a for v, a in row.coefficients.items() if v not in held}
    slack = sum(abs(a) * half[v] for v, a in moved.items())
    if row.equality and slack == 0:
        return [Row(row.source, moved, constant, True)]
    rows = [Row(row.source, moved, constant - slack, False)]
    if row.equality:
        rows.append(Row(row.source, {v: -a for v, a in moved.items()}, -constant - slack, False))
    return rows


def _settled(parameter: Parameter, X: Array) -> Array:
    """Return columns (n, width) that encode(decode(X)) leaves as they are, next to X.

    A value with more digits than its column resolves moves by a unit of the last place or two.
    """
    for _ in range(_SETTLING):
        again = parameter.encode(parameter.decode(X))
        if np.array_equal(again, X):
            break
        X = again
    return X
