"""Saddle points: one swarm goes down and one goes up, each against the mean of the other.

Symbols: as of `dynamics`; X (M, N, d) minimises f(x, y), Y (M, N, k) maximises it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from workbench.samplers.consensus.dynamics import Dynamics, Swarm, consensus, log_weights, moved

DYNAMICS = Dynamics(noise=2.0)


def saddle(
    f: Callable[[Tensor, Tensor], Tensor], X: Tensor, Y: Tensor, steps: int, generator: torch.Generator,
    dynamics: Dynamics = DYNAMICS, alpha: float = 1e15,
) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    """Consensus points (M, 1, d) and (M, 1, k) of both swarms after each step; Y sees the X that has moved.

    Args:
        f: Values (M, N) of positions (M, N, d) and (M, N, k), either of which may have one particle.
        X, Y: Where the swarms begin.
        steps: How many.
        generator: Of the noise.
        dynamics: Of both.
        alpha: Of both.
    Source: Huang, Qiu, Riedl 2024, Consensus-based optimization for saddle point problems, arXiv 2212.12334.
    """

    def noise(P: Tensor) -> Tensor:
        return torch.randn(P.shape, generator=generator, dtype=P.dtype, device=P.device)

    for _ in range(steps):
        e = f(X, Y.mean(dim=1, keepdim=True))
        x = consensus(X, log_weights(e, alpha))
        X, _ = moved(Swarm.at(X, e), x, dynamics, noise(X))
        e = -f(X.mean(dim=1, keepdim=True), Y)
        y = consensus(Y, log_weights(e, alpha))
        Y, _ = moved(Swarm.at(Y, e), y, dynamics, noise(Y))
        yield x, y
