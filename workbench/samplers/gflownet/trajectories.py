"""Trajectories of a batch, flat: one row for each state that was visited.

No padding while a network looks at them; `padded` lays them out by time where an objective needs that.

Symbols: B trajectories, N visited states, D columns, A moves, T + 1 most actions of a trajectory, the stop included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from workbench.samplers.gflownet.network import Trace


@dataclass(frozen=True)
class Trajectories:
    """What was visited, in the order of time.

    Args:
        states: Visited states, shape (N, D).
        actions: What was done there, shape (N,); the stop is number A.
        masks: Legal actions there, shape (N, A + 1).
        row: Number of the trajectory, shape (N,).
        time: Moves made before, shape (N,).
        undo: Undo that leads back to where the trajectory came from, shape (N,); -1 at the source.
        ends: Last state of each trajectory, shape (B, D).
        condition: What each trajectory was conditioned on, shape (B, C); None: nothing.
        trace: What the network computed on the way, to go backward from; None: compute it anew.
    """

    states: Tensor
    actions: Tensor
    masks: Tensor
    row: Tensor
    time: Tensor
    undo: Tensor
    ends: Tensor
    condition: Tensor | None = None
    trace: Trace | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def length(self) -> Tensor:
        """Actions of each trajectory, the stop included, shape (B,)."""
        return torch.bincount(self.row, minlength=len(self))

    def padded(self, values: Tensor, shift: int = 0) -> Tensor:
        """Values (N,) by time and trajectory, shape (T + 1, B), zero where there is none.

        Args:
            values: One of each visited state.
            shift: 1 puts the value of a state at the time of the move that led there.
        """
        height = int(self.length.max()) if len(self) else 0
        out = values.new_zeros(height + shift, len(self))
        out = out.index_put((self.time, self.row), values)
        return out[shift:]

    def totals(self, values: Tensor) -> Tensor:
        """Sums of values (N,) over each trajectory, shape (B,)."""
        return values.new_zeros(len(self)).index_add(0, self.row, values)


def joined(parts: Sequence[Trajectories]) -> Trajectories:
    """Several batches as one; what networks computed on the way is dropped unless there is one batch only."""
    if len(parts) == 1:
        return parts[0]
    offsets = torch.tensor([0, *(len(part) for part in parts[:-1])]).cumsum(0).tolist()
    row = torch.cat([part.row + offset for part, offset in zip(parts, offsets, strict=True)])
    known = [part.condition for part in parts if part.condition is not None]

    def column(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    return Trajectories(
        states=column("states"), actions=column("actions"), masks=column("masks"), row=row, time=column("time"),
        undo=column("undo"), ends=column("ends"), condition=torch.cat(known) if known else None,
    )  # fmt: skip
