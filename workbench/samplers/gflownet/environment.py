"""What a GFlowNet walks on: states as rows of integers, moves, and the way back.

A state is a row of D columns; column d holds one of `sizes[d]` values. A trajectory begins at the source, makes moves,
and ends with the stop, an action of its own that leaves the state as it is: where a trajectory is over for good, the
stop is the only action. So an end by force and an end by choice are the same thing, and log P_F of a forced one is 0.

The moves that lead to a state are a function of the state (its depth), no two moves of a state lead to the same child,
and every state reached can be taken back by numbered undos. `graph.enumerate_states` checks all of that where the
states can be counted.

An environment has no device: it answers on that of the states that it is asked about.

Symbols: n states, D columns, A moves (the stop is action A), U undos, T most moves of a trajectory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from workbench.errors import InvalidValueError

LONGEST_TABLE = 1 << 21  # entries of a table of what is allowed


class Table:
    """A constant, on the device of what is looked up in it; it is brought there once."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._copies = {values.device: values}

    def beside(self, other: Tensor) -> Tensor:
        """The constant, on the device of another tensor."""
        device = other.device
        if device not in self._copies:
            with torch.inference_mode(False):  # it outlives a policy's sampling
                self._copies[device] = self.values.to(device)
        return self._copies[device]


def drawn_on(generator: torch.Generator | None) -> torch.device:
    """The device that a generator draws on; the CPU without one."""
    return torch.device("cpu") if generator is None else generator.device


class Environment(Protocol):
    """What an own environment has to offer: six functions of rows of states, none of one trajectory.

    They answer on the device of the states; the source may be on any, a policy brings it to its own.

    Attributes:
        sizes: Values that each column may hold.
        moves: Number of moves A; the stop is action number A.
        undos: Number of undos U; 1 where every state has one parent.
        steps: Most moves of a trajectory.
        fixed_steps: Does every trajectory make that many moves?
    """

    sizes: tuple[int, ...]
    moves: int
    undos: int
    steps: int
    fixed_steps: bool

    def source(self, n: int) -> Tensor:
        """The state that all begin at, shape (n, D), int64."""
        ...

    def allowed(self, states: Tensor) -> Tensor:
        """Which actions are legal, shape (n, A + 1), bool, the stop last; at least one of each row."""
        ...

    def after(self, states: Tensor, actions: Tensor) -> Tensor:
        """The states (n, D) that legal moves (n,) lead to."""
        ...

    def undo_of(self, states: Tensor, actions: Tensor) -> Tensor:
        """The numbers (n,) of the undos that take back legal moves (n,) made at states (n, D)."""
        ...

    def undoable(self, states: Tensor) -> Tensor:
        """Which undos are legal, shape (n, U), bool; none at the source alone."""
        ...

    def before(self, states: Tensor, undos: Tensor) -> tuple[Tensor, Tensor]:
        """The parents (n, D) that legal undos (n,) lead to, and the moves (n,) that lead back."""
        ...


class Grid:
    """A grid whose moves raise one coordinate by one; coordinates are the columns.

    Args:
        sizes: Levels of each coordinate.
        border_ends: Convention of Bengio et al. 2021 (arXiv 2106.04399): whoever reaches the last level of any
            coordinate has to stop. By default every point allows the stop, and moves end at the last levels, as in
            torchgfn's HyperGrid.
        admitted: Which points may be an end, shape `sizes`; None: all. Moves that lead where nothing is
            admitted any more are not legal.
    Raises:
        InvalidValueError: if nothing is admitted, or with both options.
    """

    fixed_steps = False

    def __init__(
        self, sizes: Sequence[int], *, border_ends: bool = False, admitted: Tensor | None = None
    ) -> None:  # fmt: skip
        self.sizes = tuple(int(size) for size in sizes)
        if not self.sizes or min(self.sizes) < 1:
            raise InvalidValueError(f"sizes of a grid are whole numbers >= 1, got {sizes!r}")
        self.moves = self.undos = len(self.sizes)
        self._border_ends = border_ends
        last = torch.tensor(self.sizes, device="cpu") - 1  # (D,)
        self._last, self._unit = Table(last), Table(torch.eye(self.moves, dtype=torch.int64, device="cpu"))
        self.steps = int(last.max() + (last - 1).clamp(min=0).sum() - (last.max() - 1).clamp(min=0))
        if not border_ends:
            self.steps = int(last.sum())
        self._ends: Table | None = None
        self._leads: Table | None = None
        if admitted is not None:
            self._restrict(admitted, border_ends)

    def _restrict(self, admitted: Tensor, border_ends: bool) -> None:
        if border_ends:
            raise InvalidValueError("a grid takes admitted= or border_ends=True, not both; leave one out")
        if tuple(admitted.shape) != self.sizes or not bool(admitted.any()):
            raise InvalidValueError(
                f"admitted must be a mask of shape {self.sizes} with a point in it, got {tuple(admitted.shape)} with "
                f"{int(admitted.sum())}"
            )
        leads = admitted.to(torch.int64)
        for axis in range(leads.ndim):  # is anything admitted at or above?
            leads = leads.flip(axis).cummax(axis).values.flip(axis)
        radix = np.append(np.cumprod(self.sizes[:0:-1])[::-1], 1).astype(np.int64)
        self._radix = Table(torch.from_numpy(radix))
        self._ends = Table(admitted.reshape(-1))
        self._leads = Table(leads.reshape(-1).bool())

    def source(self, n: int) -> Tensor:
        return torch.zeros(n, self.moves, dtype=torch.int64, device="cpu")

    def allowed(self, states: Tensor) -> Tensor:
        inside = states < self._last.beside(states)  # (n, D)
        if self._border_ends:
            inside &= inside.all(1, keepdim=True)
        if self._ends is None or self._leads is None:
            return torch.cat([inside, inside.new_ones(len(states), 1)], 1)
        radix, ends, leads = (table.beside(states) for table in (self._radix, self._ends, self._leads))
        code = (states * radix).sum(1)
        there = code[:, None] + radix  # may lie outside, where `inside` is False
        inside &= leads[there.clamp(max=len(leads) - 1)]
        return torch.cat([inside, ends[code][:, None]], 1)

    def after(self, states: Tensor, actions: Tensor) -> Tensor:
        return states + self._unit.beside(states).index_select(0, actions)

    def undo_of(self, states: Tensor, actions: Tensor) -> Tensor:
        return actions

    def undoable(self, states: Tensor) -> Tensor:
        above = states > 0
        if self._border_ends:  # no parent stands on the border
            border = states == self._last.beside(states)
            above &= border | ~border.any(1, keepdim=True)
        return above

    def before(self, states: Tensor, undos: Tensor) -> tuple[Tensor, Tensor]:
        return states - self._unit.beside(states)[undos], undos


class FreeSlots:
    """Slots that are filled in any order, each with one of its values; over when all are filled.

    Column d holds the value of slot d, or `values[d]` while it is empty. Move number: `first[d] + value`.

    Args:
        values: Number of values of each slot.
    """

    fixed_steps = True

    def __init__(self, values: Sequence[int]) -> None:
        counts = [int(count) for count in values]
        if not counts or min(counts) < 1:
            raise InvalidValueError(f"values of slots are whole numbers >= 1, got {values!r}")
        self.sizes = tuple(count + 1 for count in counts)
        self.moves, self.undos, self.steps = sum(counts), len(counts), len(counts)
        empty = torch.tensor(counts, device="cpu")
        slot = torch.arange(len(counts), device="cpu").repeat_interleave(empty)  # of each move
        first = torch.cumsum(empty, 0) - empty
        value = torch.arange(self.moves, device="cpu") - first[slot]
        self._empty, self._slot, self._first, self._value = Table(empty), Table(slot), Table(first), Table(value)

    def source(self, n: int) -> Tensor:
        return self._empty.values.repeat(n, 1)

    def allowed(self, states: Tensor) -> Tensor:
        empty = states == self._empty.beside(states)  # (n, D)
        return torch.cat([empty[:, self._slot.beside(states)], ~empty.any(1, keepdim=True)], 1)

    def after(self, states: Tensor, actions: Tensor) -> Tensor:
        slot, value = self._slot.beside(states)[actions], self._value.beside(states)[actions]
        return states.scatter(1, slot[:, None], value[:, None])

    def undo_of(self, states: Tensor, actions: Tensor) -> Tensor:
        return self._slot.beside(states)[actions]

    def undoable(self, states: Tensor) -> Tensor:
        return states != self._empty.beside(states)

    def before(self, states: Tensor, undos: Tensor) -> tuple[Tensor, Tensor]:
        value = states.gather(1, undos[:, None])[:, 0]
        empty, first = self._empty.beside(states)[undos], self._first.beside(states)[undos]
        return states.scatter(1, undos[:, None], empty[:, None]), first + value


class Edits:
    """Strings of one length, changed from a start, each place at most once and to another token.

    Columns 0 … L-1 hold the start, L … 2L-1 the present string. Move number: place * a + token. Starts are drawn
    uniformly; the target is normalised for each of them apart (the balance has a constant for every start: VarGrad in
    groups of equal starts, or the flow of the source).

    Args:
        starts: Strings of token numbers, shape (k, L).
        tokens: Size of the alphabet a.
        most: Most edits of one trajectory.
        least: Fewest before it may stop.
        group: How many of the rows that `source` makes, one after the other, share a start.
        legal: Tokens that a place may be changed to, shape (L, a), bool; where a start has another token, it stays.
            None: all of them, everywhere.
        generator: Draws the starts.
    """

    def __init__(
        self, starts: Tensor, tokens: int, most: int, *, least: int = 0, group: int = 1, legal: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        length = starts.shape[1]
        if not 0 <= least <= most <= length or most < 1:
            raise InvalidValueError(f"expected 0 <= least <= most <= length {length}, most >= 1; got {least}, {most}")
        self._tokens, self._length, self._least, self._most = tokens, length, least, most
        self._group, self._generator = group, generator
        self._starts, self._legal = Table(starts), None if legal is None else Table(legal)
        self.sizes = (tokens,) * (2 * length)
        self.moves, self.undos, self.steps = length * tokens, length, most
        self.fixed_steps = least == most

    def source(self, n: int) -> Tensor:
        groups = -(-n // self._group)
        device = drawn_on(self._generator)
        drawn = torch.randint(len(self._starts.values), (groups,), generator=self._generator, device=device)
        start = self._starts.beside(drawn)[drawn.repeat_interleave(self._group)[:n]]
        return torch.cat([start, start], 1)

    def allowed(self, states: Tensor) -> Tensor:
        start, now = states.split(self._length, 1)
        edited = start != now  # (n, L)
        count = edited.sum(1, keepdim=True)
        free = (~edited & (count < self._most))[:, :, None].repeat(1, 1, self._tokens)  # (n, L, a)
        if self._legal is not None:
            places, legal = torch.arange(self._length, device=states.device), self._legal.beside(states)
            free &= legal & legal[places, start][:, :, None]
        free.scatter_(2, now[:, :, None], False)
        return torch.cat([free.flatten(1), count >= self._least], 1)

    def after(self, states: Tensor, actions: Tensor) -> Tensor:
        place, token = actions // self._tokens, actions % self._tokens
        return states.scatter(1, (self._length + place)[:, None], token[:, None])

    def undo_of(self, states: Tensor, actions: Tensor) -> Tensor:
        return actions // self._tokens

    def undoable(self, states: Tensor) -> Tensor:
        start, now = states.split(self._length, 1)
        edited: Tensor = start != now
        return edited

    def before(self, states: Tensor, undos: Tensor) -> tuple[Tensor, Tensor]:
        column = (self._length + undos)[:, None]
        token, start = states.gather(1, column)[:, 0], states.gather(1, undos[:, None])
        return states.scatter(1, column, start), undos * self._tokens + token
