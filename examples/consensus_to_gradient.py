"""Consensus-based optimisation as a relaxation of gradient descent, link by link, on a canyon of local minima.

One hop of the consensus is a gradient step on the soft minimum of the function around it, at any temperature; many
particles that hop find their way where a gradient stays in the first hollow.

python examples/consensus_to_gradient.py [canyon.html]
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from torch import Tensor

from workbench.plots import paths, paths_table
from workbench.samplers.consensus.dynamics import Dynamics, consensus, hopped, implied_gradient, log_weights
from workbench.samplers.consensus.swarming import Rules, Schedule, Stop, run

RUNS, START = 50, 8.0
NEAR = 0.5  # of the minimum: its own hollow


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
    """The way of the consensus that hops from the start, (steps + 1, RUNS, 2), and its last implied gradients."""
    c = torch.full((RUNS, 1, 2), START, dtype=torch.float64)
    way = [c[:, 0]]
    for _ in range(steps):
        before = c
        X = hopped(c, s, torch.randn(RUNS, 200, 2, generator=generator, dtype=torch.float64))
        c = consensus(X, log_weights(canyon(X), alpha))
        way.append(c[:, 0])
    return torch.stack(way), implied_gradient(before, c, alpha * s**2)[:, 0]


def swarm(generator: torch.Generator) -> Tensor:
    """The way of the consensus of particles, (251, RUNS, 2)."""
    noise = torch.randn(RUNS, 200, 2, generator=generator, dtype=torch.float64)
    rules = Rules(Dynamics(noise=1.6, kind="isotropic"), Schedule(100.0, 1.0), Stop(steps=250), allow_unstable=True)
    return torch.stack([state.c[:, 0] for state in run(canyon, START + 0.5 * noise, rules, generator)])


def descent(generator: torch.Generator, noise: float, steps: int = 10_000, dt: float = 0.001) -> Tensor:
    """The way of gradient descent, or with noise of annealed Langevin dynamics, every tenth step, (T, RUNS, 2)."""
    X = torch.full((RUNS, 2), START, dtype=torch.float64)
    way = [X]
    for k in range(steps):
        at = X.detach().requires_grad_()
        (slope,) = torch.autograd.grad(canyon(at).sum(), at)
        kick = noise / math.log(k + 2) * math.sqrt(dt) * torch.randn(X.shape, generator=generator, dtype=X.dtype)
        X = X - dt * slope + kick
        if k % 10 == 9:
            way.append(X)
    return torch.stack(way)


def ways(seed: int = 0) -> dict[str, Tensor]:
    """Four ways from the same start, 50 runs each, (T, RUNS, 2)."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "consensus hopping": hops(generator)[0],
        "consensus-based optimisation": swarm(generator),
        "gradient descent": descent(generator, 0.0),
        "annealed Langevin": descent(generator, 10.0),
    }


def main() -> None:
    """Say where the runs end, and draw their ways into a file if one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", help="where to write the figure, such as canyon.html")
    chosen = parser.parse_args()
    drawn = {name: way.numpy() for name, way in ways().items()}

    def surface(points: np.ndarray) -> np.ndarray:
        return canyon(torch.as_tensor(points)).numpy()

    table = paths_table(surface, drawn, (0.0, 0.0), NEAR)
    for name, found, median in zip(table["method"], table["found"], table["median value"], strict=True):
        print(f"{name}: {100 * found:.0f} of 100 runs end at the minimum, median value {median:.2f}")
    if chosen.file:
        paths(surface, (-2.0, 9.0), drawn, (0.0, 0.0), NEAR).write_html(chosen.file, include_plotlyjs=True)


if __name__ == "__main__":
    main()
