"""An environment for a user's space: a point is written down token by token, parameters in their order.

Every number or choice of finitely many values is one token, a permutation one for each place, a subset one yes or no
for each item, a string one for each letter and a last one that ends it. Each prefix has one parent, so P_B is 1. What a
kind demands (no item twice, exactly k chosen, nothing after the end, nothing where a parent switches a parameter off)
is a mask that leaves no dead end. Known constraints are, too: where the points can be counted, prefixes that lead to no
feasible point are cut exactly; elsewhere linear ones by the least that the rest can still add, and what slips through
is found at the end (`admits`).

Symbols: n states, D tokens of a point, k values of a token, A most values of any; d encoded columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.errors import InfeasibleSpaceError, UnsupportedError
from workbench.samplers.gflownet.environment import Table
from workbench.space import Permutation, Sequence, Subset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Parameter, Space

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

MOST_VALUES = 1024  # of one parameter: that many outputs a network has
COUNTED = 1 << 17  # points up to which constraints are met exactly
CHANGED = 1.0  # tokens of a child that are neither parent's, as genetic algorithms have it
_SLACK = 1e-9  # of sums of a linear constraint, relative to their size
_NONE = -1.0


class _Part(NamedTuple):
    """A parameter: its tokens from `first` on, each of `values` values, the last of them for "absent" if it can be."""

    parameter: Parameter
    first: int
    width: int
    values: int
    optional: bool


@dataclass(frozen=True)
class _Linear:
    """constant + Σ of `amounts` (D, A) of all tokens ≤ 0; `rest` (D + 1,) is the least that the tokens left can add."""

    constant: float
    amounts: Table
    rest: Table


class SpaceEnvironment:
    """The points of a space as trajectories of one length.

    Args:
        space: Of finitely many points.
        fixed: Parameters that have one value only.
    Raises:
        UnsupportedError: for a parameter that is not finite, with the remedy.
        InfeasibleSpaceError: if constraints leave nothing.
    """

    undos = 1
    fixed_steps = True

    def __init__(self, space: Space, fixed: Mapping[str, Any] | None = None) -> None:
        self.space = space
        self._fixed = space.complete_fixed(fixed or {})
        check_finite(space)
        self._parts = self._laid_out()
        counts = [part.values for part in self._parts for _ in range(part.width)]
        self.sizes = tuple(count + 1 for count in counts)  # and one for "not written yet"
        self.moves, self.steps = max(counts), len(counts)
        self._open = Table(torch.tensor(counts, device="cpu"))
        self._kinds = Table(self._held())
        self._owner = [part for part in self._parts for _ in range(part.width)]
        self._trie: list[NDArray[np.int64]] | None = None
        self._linear: tuple[_Linear, ...] = ()
        if space.constrained:
            self._restrict()

    # -- the protocol ------------------------------------------------------------------------------

    def source(self, n: int) -> Tensor:
        return self._open.values.repeat(n, 1)

    def allowed(self, states: Tensor) -> Tensor:
        mask = states.new_zeros(len(states), self.moves + 1, dtype=torch.bool)
        depth = (states < self._open.beside(states)).sum(1)
        first = int(depth[0]) if len(depth) else 0
        if bool((depth == first).all()):
            self._allow(mask, states, first)
            return mask
        for t in torch.unique(depth).tolist():
            rows = (depth == t).nonzero()[:, 0]
            part = mask[rows]
            self._allow(part, states[rows], t)
            mask[rows] = part
        return mask

    def after(self, states: Tensor, actions: Tensor) -> Tensor:
        depth = (states < self._open.beside(states)).sum(1, keepdim=True)
        return states.scatter(1, depth, actions[:, None])

    def undo_of(self, states: Tensor, actions: Tensor) -> Tensor:
        return torch.zeros_like(actions)

    def undoable(self, states: Tensor) -> Tensor:
        return states[:, :1] < self._open.beside(states)[0]

    def before(self, states: Tensor, undos: Tensor) -> tuple[Tensor, Tensor]:
        empty = self._open.beside(states)
        last = (states < empty).sum(1, keepdim=True) - 1
        return states.scatter(1, last, empty[last]), states.gather(1, last)[:, 0]

    # -- points ------------------------------------------------------------------------------------

    def children(self, first: Tensor, second: Tensor, generator: torch.Generator, changed: float = CHANGED) -> Tensor:
        """Whole states, each written with tokens of two parents; where neither's is legal, with any that is.

        Kim et al. 2024, Genetic-guided GFlowNets (arXiv 2402.05961): what selection keeps is crossed and mutated, and a
        policy learns from the children, too. Uniform crossover, so that masks can be asked at each token.

        Args:
            first, second: Parents, whole states (n, D).
            generator: Source of randomness, on the device of the parents.
            changed: Mean number of tokens of a child that are neither parent's.
        """
        n, states = len(first), self.source(len(first)).to(first.device)
        coins = torch.rand(2, self.steps, n, generator=generator, device=first.device)
        wanted = torch.where(coins[0].T < 0.5, first, second)  # (n, D)
        mutated = (coins[1] < changed / self.steps)[:, :, None]  # (D, n, 1)
        for t in range(self.steps):
            legal = self.allowed(states)[:, :-1]
            own = torch.zeros_like(legal).scatter(1, wanted[:, t : t + 1], True) & legal
            legal = torch.where(own.any(1, keepdim=True) & ~mutated[t], own, legal)
            states = self.after(states, torch.multinomial(legal.double(), 1, generator=generator)[:, 0])
        return states

    def encoded(self, states: Tensor) -> Array:
        """Whole states (n, D) as encoded points, shape (n, d)."""
        X = np.full((len(states), self.space.width), np.nan)
        tokens = states.cpu().numpy()
        for part in self._parts:
            block = tokens[:, part.first : part.first + part.width]
            rows = ~(block == part.values - 1).any(1) if part.optional else np.ones(len(block), dtype=bool)
            X[rows, self.space.slices[part.parameter.name]] = self._columns(part, block[rows])
        return X

    def states(self, X: Array) -> Tensor:
        """Encoded points (n, d) of this space as whole states (n, D), on the CPU."""
        tokens = np.zeros((len(X), self.steps), dtype=np.int64)
        for part in self._parts:
            block = X[:, self.space.slices[part.parameter.name]]
            absent = np.isnan(block).any(1)
            place = slice(part.first, part.first + part.width)
            tokens[absent, place] = part.values - 1
            tokens[~absent, place] = self._tokens(part, block[~absent])
        return torch.from_numpy(tokens)

    def columns(self, states: Tensor) -> dict[str, Any]:
        """Whole states (n, D) as decoded columns by name, shape (n,); see `Space.decode` for single points."""
        points = self.space.decode(self.encoded(states))
        return {name: np.array([point.get(name) for point in points]) for name in self.space.names}

    def admits(self, states: Tensor) -> Mask:
        """Which whole states (n, D) meet every known constraint, shape (n,)."""
        if not self.space.constrained or self._trie is not None:
            return np.ones(len(states), dtype=bool)
        return self.space.feasible(self.encoded(states))

    @property
    def exact(self) -> bool:
        """Do the masks leave no infeasible point?"""
        return not self.space.constrained or self._trie is not None

    @cached_property
    def _values(self) -> dict[str, Array]:
        return {
            part.parameter.name: part.parameter.encode(list(part.parameter.values()))[:, 0]
            for part in self._parts if not isinstance(part.parameter, Permutation | Subset | Sequence)
        }  # fmt: skip

    def _columns(self, part: _Part, block: NDArray[np.int64]) -> Array:
        p = part.parameter
        if isinstance(p, Sequence):
            return np.where(block < len(p.alphabet), block, _NONE).astype(np.float64)
        if isinstance(p, Permutation | Subset):
            return block.astype(np.float64)
        return self._values[p.name][block]

    def _tokens(self, part: _Part, block: Array) -> NDArray[np.int64]:
        p = part.parameter
        if isinstance(p, Sequence):
            return np.where(block < 0, len(p.alphabet), block).astype(np.int64)
        if isinstance(p, Permutation | Subset):
            return block.astype(np.int64)
        nearest: NDArray[np.int64] = np.abs(block - self._values[p.name]).argmin(axis=1)[:, None]
        return nearest

    # -- masks ---------------------------------------------------------------------------------------

    def _laid_out(self) -> list[_Part]:
        parts: list[_Part] = []
        for p in self.space:
            optional = p.when is not None
            if isinstance(p, Sequence):
                width, values = p.max_length, len(p.alphabet) + 1
            elif isinstance(p, Permutation):
                width, values = len(p.items), len(p.items)
            elif isinstance(p, Subset):
                width, values = len(p.items), 2
            else:
                assert p.cardinality is not None
                width, values = 1, p.cardinality
            first = parts[-1].first + parts[-1].width if parts else 0
            parts.append(_Part(p, first, width, values + optional, optional))
        return parts

    def _held(self) -> Tensor:
        """Values that each token has, shape (D, A): one of fixed parameters, and of fidelities and tasks."""
        kinds = torch.arange(self.moves, device="cpu") < self._open.values[:, None]
        for part in self._parts:
            p = part.parameter
            if p.name not in self._fixed and p.target is None:
                continue
            value = self._fixed.get(p.name, p.target)
            tokens = self._tokens(part, p.encode([value]))[0]
            for place, token in enumerate(tokens.tolist(), start=part.first):
                kept = torch.zeros(self.moves, dtype=torch.bool, device="cpu")
                kept[token] = True
                if part.optional:
                    kept[part.values - 1] = True
                kinds[place] &= kept
        return kinds

    def _allow(self, mask: Tensor, states: Tensor, t: int) -> None:
        """Fill in the masks (n, A + 1) of states with t tokens."""
        if t == self.steps:
            mask[:, -1] = True
            return
        part = self._owner[t]
        legal = self._kinds.beside(states)[t].repeat(len(states), 1)  # (n, A)
        self._by_kind(legal, states, part, t)
        if part.optional:
            on = self._switched_on(states, part)
            absent = part.values - 1
            legal[:, absent] = False
            legal &= on[:, None]
            legal[~on, absent] = True
        if self._trie is not None:
            self._cut(legal, states, t)
        for row in self._linear:
            self._bound(legal, states, t, row)
        mask[:, :-1] = legal

    def _by_kind(self, legal: Tensor, states: Tensor, part: _Part, t: int) -> None:
        p, done = part.parameter, states[:, part.first : t]
        if isinstance(p, Permutation):
            used = legal.new_zeros(len(states), self.moves + 1).scatter(1, done, True)
            legal &= ~used[:, : self.moves]
        elif isinstance(p, Subset):
            missing = p.k - (done == 1).sum(1)
            left = part.width - (t - part.first)
            legal[:, 1] &= missing > 0
            legal[:, 0] &= left > missing
        elif isinstance(p, Sequence):
            end, length = len(p.alphabet), t - part.first
            over = done[:, -1] == end if length else legal.new_zeros(len(states))
            legal[:, :end] &= ~over[:, None]
            if length < p.min_length:
                legal[:, end] = False

    def _switched_on(self, states: Tensor, part: _Part) -> Tensor:
        on = states.new_ones(len(states), dtype=torch.bool)
        for parent, tokens in self._activating[part.parameter.name]:
            on &= torch.isin(states[:, parent.first], tokens.beside(states))
        return on

    @cached_property
    def _activating(self) -> dict[str, list[tuple[_Part, Table]]]:
        by_name = {part.parameter.name: part for part in self._parts}
        found: dict[str, list[tuple[_Part, Table]]] = {}
        for part in self._parts:
            found[part.parameter.name] = [
                (by_name[parent], Table(torch.from_numpy(self._tokens(by_name[parent], by_name[parent].parameter.encode(
                    [by_name[parent].parameter.check(value) for value in allowed]
                ))[:, 0])))
                for parent, allowed in (part.parameter.when or {}).items()
            ]  # fmt: skip
        return found

    # -- known constraints ---------------------------------------------------------------------------

    def _restrict(self) -> None:
        leaves = self._listed()
        if leaves is None:
            self._linear = tuple(self._linear_rows())
            return
        leaves = leaves[self.space.feasible(self.encoded(torch.from_numpy(leaves)))]
        if len(leaves) == 0:
            raise InfeasibleSpaceError(
                "expected a point that meets all constraints and fixed values, none of the space meets them all. "
                "Loosen a constraint, or fix fewer parameters"
            )
        codes = leaves @ self._radix
        self._trie = [
            np.unique(codes // (self._radix[t - 1] if t else codes.max(initial=0) + 1)) for t in range(self.steps + 1)
        ]

    @cached_property
    def _radix(self) -> NDArray[np.int64]:
        counts = self._open.values.numpy()
        return np.append(np.cumprod(counts[:0:-1])[::-1], 1).astype(np.int64)

    def _listed(self) -> NDArray[np.int64] | None:
        """All points as tokens, constraints left aside, shape (n, D); None if there are too many."""
        if float(np.log2(self._open.values.numpy().astype(np.float64)).sum()) > 62:
            return None
        states = self.source(1)
        for t in range(self.steps):
            mask = states.new_zeros(len(states), self.moves + 1, dtype=torch.bool)
            self._allow(mask, states, t)
            rows, actions = mask[:, :-1].nonzero(as_tuple=True)
            if len(rows) > COUNTED:
                return None
            states = states[rows]
            states[:, t] = actions
        return states.numpy()

    def _cut(self, legal: Tensor, states: Tensor, t: int) -> None:
        """Leave tokens that lead to a feasible point."""
        assert self._trie is not None
        prefix = states[:, :t].cpu().numpy() @ self._radix[:t]  # multiples of radix[t - 1]
        unit = int(self._radix[t])
        codes = prefix[:, None] // unit + np.arange(self.moves)  # (n, A)
        known = self._trie[t + 1]
        place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        legal &= torch.from_numpy(known[place] == codes).to(legal.device)

    def _linear_rows(self) -> list[_Linear]:
        by_variable = {
            part.parameter.variables[0]: part
            for part in self._parts if part.width == 1 and part.parameter.variables and not part.optional
        }  # fmt: skip
        rows: list[_Linear] = []
        for constraint in self.space.constraints:
            if constraint.linear is None or not set(constraint.linear[0]) <= set(by_variable):
                continue
            coefficients, constant = constraint.linear
            amounts = torch.zeros(self.steps, self.moves, dtype=torch.float64, device="cpu")
            for name, coefficient in coefficients.items():
                part = by_variable[name]
                levels = part.parameter.quantities(self._values[part.parameter.name][:, None])[:, 0]
                amounts[part.first, : part.values] = torch.from_numpy(coefficient * levels)
            for sign in (1.0, -1.0) if constraint.equality else (1.0,):
                rows.append(self._row(sign * constant, sign * amounts))
        return rows

    def _row(self, constant: float, amounts: Tensor) -> _Linear:
        least = torch.where(self._kinds.values, amounts, torch.inf).amin(1)  # (D,)
        rest = torch.cat([least.flip(0).cumsum(0).flip(0), least.new_zeros(1)])
        return _Linear(constant, Table(amounts), Table(rest))

    def _bound(self, legal: Tensor, states: Tensor, t: int, row: _Linear) -> None:
        """Leave tokens after which the rest can still keep the sum at or below 0; all, if none does."""
        amounts, rest = row.amounts.beside(states), row.rest.beside(states)
        spent = row.constant + amounts[torch.arange(t, device=states.device), states[:, :t]].sum(1)  # (n,)
        total = spent[:, None] + amounts[t] + rest[t + 1]
        fits = legal & (total <= _SLACK * (1.0 + spent[:, None].abs() + amounts[t].abs()))
        some = fits.any(1, keepdim=True)
        legal.copy_(torch.where(some, fits, legal))


def check_finite(space: Space) -> None:
    """Refuse a space with a parameter that cannot be written in tokens.

    Raises:
        UnsupportedError: naming it and the remedy.
    """
    for p in space:
        if isinstance(p, Permutation | Subset | Sequence):
            continue
        if p.width != 1 or p.cardinality is None or p.cardinality > MOST_VALUES:
            count = "infinitely many" if p.cardinality is None else str(p.cardinality)
            raise UnsupportedError(
                f"sampler 'gflownet' needs parameters of finitely many values, at most {MOST_VALUES} each; {p.name!r} "
                f"({type(p).__name__}) has {count}. Give it a step=, or use sampler='auto'"
            )
