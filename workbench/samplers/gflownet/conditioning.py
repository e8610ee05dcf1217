"""Preferences and exponents that one policy is conditioned on, and the rewards that they make.

Jain et al. 2023, Multi-Objective GFlowNets (arXiv 2210.12765), section 3.2: R(x | w) = scalarisation_w(r(x))^β for
rewards r in [0, 1], w drawn from a Dirichlet distribution, both encoded as thermometers. Only logarithms are formed.

Symbols: B trajectories, m objectives, w weights, β exponent, C numbers of an encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from workbench.errors import InvalidValueError
from workbench.integers import integer
from workbench.samplers.gflownet.environment import drawn_on

Scalarization = Literal["sum", "log", "chebyshev", "exponential"]
BINS = 16  # of a thermometer: 50 left twice the distance to the exact tables (benchmarks/gflownet.py preferences)
LEAST_REWARD = 1e-12  # below it a reward counts as that: its logarithm is finite


@dataclass(frozen=True)
class Given:
    """Conditions of a batch.

    Args:
        weights: Shape (B, m), non-negative, each row adds up to 1.
        beta: Shape (B,).
        encoding: What the policy sees, shape (B, C); None: it sees nothing.
        groups: Number of equal parts, one after the other, within which the condition is the same.
    """

    weights: Tensor
    beta: Tensor
    encoding: Tensor | None
    groups: int = 1


@dataclass(frozen=True)
class Conditioning:
    """How conditions are drawn and encoded, and what reward they make.

    Args:
        objectives: Number m.
        scalarization: "sum" Σ w r, "log" Π r^w, "chebyshev" 1 - max w (1 - r): distance from the ideal point lowers it;
            "exponential" exp(Σ w r), for rewards of any sign.
        beta: Exponents to draw from, equally likely; one alone is not encoded.
        alpha: Of the Dirichlet distribution, the same for every objective.
        bins: Of each thermometer, at least 2; 0: weights and log β as they are.
        repeat: Trajectories, one after the other, that share a condition.
    """

    objectives: int
    scalarization: Scalarization = "sum"
    beta: tuple[float, ...] = (1.0,)
    alpha: float = 1.0
    bins: int = BINS
    repeat: int = 1

    def __post_init__(self) -> None:
        if self.scalarization not in get_args(Scalarization):
            raise InvalidValueError(
                f"scalarization must be one of {', '.join(get_args(Scalarization))}; got {self.scalarization!r}"
            )
        if not self.beta or min(self.beta) <= 0 or self.alpha <= 0 or self.objectives < 1 or self.repeat < 1:
            raise InvalidValueError(
                "objectives, repeat, alpha and every beta must be > 0, and at least one beta given; got "
                f"{self.objectives}, {self.repeat}, {self.alpha} and {self.beta}"
            )
        if self.bins != 0:
            _check_bins(self.bins, ", or 0 for weights and exponents as they are")

    @property
    def width(self) -> int:
        """Numbers of an encoding C; 0 if there is nothing to condition on."""
        parts = (self.objectives if self.objectives > 1 else 0) + (1 if len(self.beta) > 1 else 0)
        return parts * max(1, self.bins)

    def draw(self, n: int, generator: torch.Generator | None = None) -> Given:
        """Conditions for n trajectories, on the device of the generator.

        With `repeat` above 1, n has to be a multiple of it.
        """
        device = drawn_on(generator)
        if self.width == 0 and len(self.beta) == 1:
            one = torch.ones(n, 1, dtype=torch.float64, device=device)
            return Given(one, one[:, 0] * self.beta[0], None)
        groups = -(-n // self.repeat)
        gamma = torch.full((groups, self.objectives), self.alpha, dtype=torch.float64, device=device)
        w = torch._standard_gamma(gamma, generator=generator).clamp(min=1e-30)
        w = w / w.sum(1, keepdim=True)
        chosen = torch.randint(len(self.beta), (groups,), generator=generator, device=device)
        beta = torch.tensor(self.beta, dtype=torch.float64, device=device)[chosen]
        repeated = torch.arange(groups, device=device).repeat_interleave(self.repeat)[:n]
        alike = 1 if self.width == 0 else groups
        return self.given(w[repeated], beta[repeated], alike)

    def given(self, weights: Tensor, beta: Tensor, groups: int = 1) -> Given:
        """Stated conditions, weights (B, m) and β (B,)."""
        parts = []
        if self.objectives > 1:
            parts.append(thermometer(weights, self.bins) if self.bins else weights)
        if len(self.beta) > 1:
            low, high = min(self.beta), max(self.beta)
            level = (beta / low).log() / torch.tensor(high / low, device=beta.device).log()  # 0 to 1
            parts.append(thermometer(level[:, None], self.bins) if self.bins else level[:, None])
        encoding = torch.cat(parts, 1).float() if parts else None
        return Given(weights, beta, encoding, groups)

    def at(self, weights: Sequence[float], n: int, beta: float | None = None) -> Given:
        """The condition of n trajectories with one preference, on the CPU.

        Args:
            weights: Of the objectives, one each.
            n: How many trajectories.
            beta: Exponent, between the least and the greatest of those that are drawn; None: the greatest.
        Raises:
            InvalidValueError: if the weights are not m non-negative numbers with a positive sum, or nothing was learnt
                of that exponent.
        """
        w = torch.tensor([list(weights)], dtype=torch.float64, device="cpu")
        if w.shape[1] != self.objectives or bool((w < 0).any()) or float(w.sum()) <= 0:
            raise InvalidValueError(f"expected {self.objectives} weights >= 0 with a positive sum, got {list(weights)}")
        if beta is not None and not min(self.beta) <= beta <= max(self.beta):
            raise InvalidValueError(
                f"expected beta between those that the policy is trained on, {self.beta}, got {beta}; make "
                f"Conditioning with beta={(*self.beta, float(beta))} and train anew, or leave beta= out"
            )
        chosen = max(self.beta) if beta is None else float(beta)
        exponent = torch.tensor([chosen], dtype=torch.float64, device="cpu")
        return self.given((w / w.sum()).repeat(n, 1), exponent.repeat(n))

    def log_reward(self, rewards: Tensor, given: Given) -> Tensor:
        """β log of the scalarised reward, shape (B,), float64.

        Args:
            rewards: Shape (B, m).
            given: Of the same B.
        """
        return given.beta * scalarized(rewards.double(), given.weights, self.scalarization)


def scalarized(rewards: Tensor, weights: Tensor, scalarization: Scalarization) -> Tensor:
    """Log of the scalarised rewards (B, m) with weights (B, m), shape (B,)."""
    if scalarization == "exponential":
        return (weights * rewards).sum(1)
    if rewards.shape[1] == 1:
        return rewards[:, 0].clamp(min=LEAST_REWARD).log()
    match scalarization:
        case "sum":
            return (weights * rewards).sum(1).clamp(min=LEAST_REWARD).log()
        case "log":
            return (weights * rewards.clamp(min=LEAST_REWARD).log()).sum(1)
        case "chebyshev":
            return (1.0 - (weights * (1.0 - rewards)).amax(1)).clamp(min=LEAST_REWARD).log()


def thermometer(values: Tensor, bins: int) -> Tensor:
    """Numbers in [0, 1] as bins that fill one after the other.

    Bin j at b_j of an even grid of [0, 1] holds clip(v - b_j, 0, g) / g, g the gap of the grid; the last is always 0.

    Args:
        values: Shape (n, k).
        bins: At least 2.
    Returns:
        Shape (n, k * bins).
    Raises:
        InvalidValueError: if there are fewer bins.
    """
    _check_bins(bins, "")
    grid = torch.linspace(0.0, 1.0, bins, dtype=values.dtype, device=values.device)
    gap = 1.0 / (bins - 1)
    return ((values[:, :, None] - grid).clamp(0.0, gap) / gap).flatten(1)


def _check_bins(bins: int, otherwise: str) -> None:
    if integer(bins, 2) is None:
        raise InvalidValueError(
            f"bins of a thermometer must be a whole number >= 2, the last one is always empty; got {bins!r}. Take "
            f"{BINS}{otherwise}"
        )
