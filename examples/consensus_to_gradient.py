"""Consensus-based optimisation as a relaxation of gradient descent, link by link, on a canyon of local minima.

One hop of the consensus is a gradient step on the soft minimum of the function around it, at any temperature; many
particles that hop find their way where a gradient stays in the first hollow.

python examples/consensus_to_gradient.py
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from workbench.samplers.consensus.dynamics import Dynamics, consensus, hopped, implied_gradient, log_weights
from workbench.samplers.consensus.swarming import Rules, Schedule, Stop, run

RUNS, START = 50, 8.0


def canyon(X: Tensor) -> Tensor:
    """A winding valley with noise on its ground, 0 at the origin, which alone is that deep (2306.09778)."""
    x, y = X[..., 0], X[..., 1]
    v = y - ((x - 1) * (x - 4) ** 2 / 8 + 2)
    b = -x - 1.6 * y
    hills = 25 * (1 - torch.exp(-1.4 * v**2 * torch.exp(-0.002 * x**4)))
    ripples = 1.1625 * ((1 - torch.cos(0.75 * math.pi * x)) + (1 - torch.cos(0.75 * math.pi * y)))
    wall = 4 * torch.exp(1 - 2 * v**4) * ((1 - torch.exp(-9 * b**2)) * torch.sign(b)).clamp_min(0)
    return hills + 0.4 * x**2 + 0.2 * y**2 + ripples + wall


def hops(generator: torch.Generator, s: float = 0.7, alpha: float = 100.0, steps: int = 250) -> tuple[Tensor, Tensor]:
    """Where the consensus ends that hops from the start, (RUNS, 2), and its last implied gradients."""
    c = torch.full((RUNS, 1, 2), START, dtype=torch.float64)
    for _ in range(steps):
        before = c
        X = hopped(c, s, torch.randn(RUNS, 200, 2, generator=generator, dtype=torch.float64))
        c = consensus(X, log_weights(canyon(X), alpha))
    return c[:, 0], implied_gradient(before, c, alpha * s**2)[:, 0]


def swarm(generator: torch.Generator) -> Tensor:
    """Where the consensus of particles ends, (RUNS, 2)."""
    noise = torch.randn(RUNS, 200, 2, generator=generator, dtype=torch.float64)
    rules = Rules(Dynamics(noise=1.6, kind="isotropic"), Schedule(100.0, 1.0), Stop(steps=250), allow_unstable=True)
    for state in run(canyon, START + 0.5 * noise, rules, generator):
        c = state.c
    return c[:, 0]


def descent(generator: torch.Generator, noise: float, steps: int = 10_000, dt: float = 0.001) -> Tensor:
    """Where gradient descent ends, or with noise annealed Langevin dynamics, (RUNS, 2)."""
    X = torch.full((RUNS, 2), START, dtype=torch.float64)
    for k in range(steps):
        X = X.requires_grad_()
        (slope,) = torch.autograd.grad(canyon(X).sum(), X)
        kick = noise / math.log(k + 2) * math.sqrt(dt) * torch.randn(X.shape, generator=generator, dtype=X.dtype)
        X = (X - dt * slope + kick).detach()
    return X


def main() -> None:
    """Four ways from the same start, 50 runs each."""
    generator = torch.Generator().manual_seed(0)
    ends = {"consensus hopping": hops(generator)[0], "consensus-based optimisation": swarm(generator)}
    ends |= {"gradient descent": descent(generator, 0.0), "annealed Langevin": descent(generator, 10.0)}
    for name, X in ends.items():
        there = (X.norm(dim=-1) < 0.5).double().mean()
        print(f"{name}: {100 * there:.0f} of 100 runs end at the minimum, median value {canyon(X).median():.2f}")


if __name__ == "__main__":
    main()
