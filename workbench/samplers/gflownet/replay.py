"""The best that was seen: what is replayed, and what the members of a batch are compared with.

Symbols: k members, D columns, m rewards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.pareto import non_dominated
from workbench.samplers.gflownet.environment import drawn_on

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class Archive:
    """Different states: those that no other dominates, or with one reward the best.

    They are kept on the CPU, where they are compared, and drawn on the device of the generator.

    Args:
        size: Most members; where more are not dominated, those seen last go.
    """

    def __init__(self, size: int = 512) -> None:
        self.size = size
        self.states: Tensor | None = None
        self.rewards: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.states is None else len(self.states)

    def add(self, states: Tensor, rewards: Tensor) -> None:
        """Take in states (n, D) with rewards (n, m)."""
        states, rewards = states.cpu(), rewards.cpu()
        if self.states is not None and self.rewards is not None:
            states, rewards = torch.cat([self.states, states]), torch.cat([self.rewards, rewards])
        _, first = np.unique(states.numpy(), axis=0, return_index=True)
        rows = torch.from_numpy(np.sort(first))
        states, rewards = states[rows], rewards[rows]
        if rewards.shape[1] == 1:
            keep = torch.argsort(rewards[:, 0], descending=True, stable=True)[: self.size]
        else:
            keep = torch.from_numpy(np.flatnonzero(non_dominated(rewards.double().numpy())))[: self.size]
        self.states, self.rewards = states[keep], rewards[keep]

    def draw(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """n members, with replacement: states (n, D) and rewards (n, m)."""
        return self._members(torch.randint(len(self), (n,), generator=generator, device=drawn_on(generator)))

    def draw_missing(
        self, states: Tensor, n: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """At most n different members that are not among `states` (b, D): states (k, D) and rewards (k, m)."""
        assert self.states is not None
        there = (self.states.to(states.device)[:, None] == states).all(2).any(1)
        missing = (~there).nonzero()[:, 0]
        order = torch.randperm(len(missing), generator=generator, device=missing.device)
        return self._members(missing[order[:n]])

    def _members(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """States and rewards of some rows, on the device of these."""
        assert self.states is not None
        assert self.rewards is not None
        here = rows.cpu()
        return self.states[here].to(rows.device), self.rewards[here].to(rows.device)

    def state_dict(self) -> dict[str, Array]:
        """Members as arrays; none while it is empty."""
        if self.states is None or self.rewards is None:
            return {}
        return {"states": self.states.numpy().copy(), "rewards": self.rewards.numpy().copy()}

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Take over what `state_dict` returned."""
        self.states = self.rewards = None
        if arrays:
            self.states = torch.from_numpy(np.array(arrays["states"]))
            self.rewards = torch.from_numpy(np.array(arrays["rewards"]))
