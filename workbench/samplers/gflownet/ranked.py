"""A GFlowNet from human rankings alone: a policy whose probabilities keep the order of what was judged.

The pair form of the order-preserving loss (Chen and Mauch 2024, arXiv 2310.00386, section 3.1): of two trials x, y of
an answer, x better, the cross-entropy of log R̂(x) - log R̂(y), R̂ the learnt reward of the trajectories that lead there;
of two that are tied, with one half for each. No utility is fitted and no exponent chosen. A small penalty on the
differences keeps them finite.

Symbols: k judged trials, D tokens, P pairs, Q ties.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from workbench.samplers.gflownet import objectives
from workbench.samplers.gflownet.policy import Policy

if TYPE_CHECKING:
    from workbench.samplers.gflownet.spaces import SpaceEnvironment

_HIDDEN = (64, 64)
_RATE, _DECAY, _CLIP = 1e-2, 1e-4, 10.0
_PENALTY = 1e-3  # of squared differences of log R̂


def learn_order(
    environment: SpaceEnvironment, states: Tensor, better: Tensor, worse: Tensor, generator: torch.Generator, *,
    steps: int, over: Callable[[], bool], tied: Tensor | None = None,
) -> tuple[Policy, bool]:  # fmt: skip
    """Train a policy on pairs.

    Args:
        environment: Of the space.
        states: Judged trials, shape (k, D).
        better, worse: Rows of `states` of each pair, shape (P,).
        generator: Source of the initial weights.
        steps: Of training, on all pairs at once.
        over: Is the time over?
        tied: Rows of `states` of which two are equally good, shape (Q, 2).
    Returns:
        The policy, and whether training came to its end.
    """
    policy = Policy(environment, hidden=_HIDDEN, generator=generator, slope=0.01)
    ways = policy.sample_backward(states, generator)  # on a tree there is one to each
    optimizer = torch.optim.Adam(policy.parameters(), lr=_RATE, weight_decay=_DECAY)
    first = torch.ones(len(better), device="cpu")
    if tied is not None and len(tied):
        better, worse = torch.cat([better, tied[:, 0]]), torch.cat([worse, tied[:, 1]])
        first = torch.cat([first, first.new_full((len(tied),), 0.5)])
    better, worse, first = (column.to(policy.device) for column in (better, worse, first))
    for _ in range(steps):
        if over():
            return policy, False
        log_reward = objectives.learnt_log_reward(policy.evaluate(ways))
        loss = objectives.order_preserving_pairs(log_reward[better], log_reward[worse], first)
        loss = loss + _PENALTY * (log_reward[better] - log_reward[worse]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), _CLIP)
        optimizer.step()
    return policy, True
