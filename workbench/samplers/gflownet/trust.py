"""How far a trained policy may be trusted: distance from its target, modes that it misses, weights that it would need.

Where the states can be counted everything is exact. Elsewhere log p(x) of held-out ends is a mean over trajectories
that lead there: log mean_k P_F(τ_k) / P_B(τ_k | x), τ_k ~ P_B; on trees, whose ends have one trajectory each, that is
exact, too.

Symbols: n trajectories, k ends, p what the policy samples, R reward.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from workbench.samplers.gflownet.graph import Graph, l1
from workbench.samplers.gflownet.policy import Policy

LogRewards = Callable[[Tensor], Tensor]
"""States (n, D) -> log R (n,)."""

_SAMPLES = 512
_WAYS = 16  # trajectories to each end
_HALF = 0.5
# What is worth a look. A perfect policy has distance 0, coverage, correlation, slope and effective size 1.
_FAR, _MISSED, _LOOSE, _FEW = 0.3, 0.9, 0.8, 0.1
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Trust:
    """What is known of a policy.

    Args:
        distance: Exact Σ |p - R/Z| over all ends, from 0 to 2; None where they were not counted.
        coverage: Of the ends that make up the upper half of the target, the share that is sampled at least half as
            often as it should be; None where they were not counted.
        correlation: Pearson's, of log p with log R; NaN if log R is the same everywhere.
        slope: Of log p on log R; 1 for a perfect policy.
        quantiles: Of log R over samples: least, quarter, median, three quarters, greatest.
        loss: Variance of log P_F - log P_B - log R over samples; 0 for a perfect policy.
        effective: Effective sample size of importance weights R P_B / P_F, as a share of the samples.
        level: "good", or "look": not to be trusted as it is.
        reasons: Why, in words, with numbers.
    """

    distance: float | None
    coverage: float | None
    correlation: float
    slope: float
    quantiles: tuple[float, ...]
    loss: float
    effective: float
    level: Literal["good", "look"]
    reasons: tuple[str, ...]


@torch.no_grad()
def trust(
    policy: Policy, log_rewards: LogRewards, generator: torch.Generator, *, graph: Graph | None = None,
    condition: Tensor | None = None, held_out: Tensor | None = None, samples: int = _SAMPLES,
) -> Trust:  # fmt: skip
    """Look at a policy.

    Args:
        policy: Trained.
        log_rewards: What it was trained on.
        generator: Source of randomness.
        graph: Its environment, enumerated, where that is possible.
        condition: The one that it is looked at for, shape (C,).
        held_out: Ends for the correlation, shape (k, D); None: what it samples with half of the actions at random.
        samples: How many are drawn; as many again where nothing is held out and no graph is given.
    """
    given = None if condition is None else condition.expand(samples, -1)
    drawn = policy.sample(samples, generator, condition=given)
    log_reward = log_rewards(drawn.ends).double()
    gap = log_reward - policy.evaluate(drawn).log_ratio.double()
    weights = (gap - gap.max()).exp()
    effective = float(weights.sum() ** 2 / weights.square().sum() / len(weights))
    distance = coverage = None
    if graph is not None:
        targets = log_rewards(graph.states[graph.ends]).double()
        p = graph.end_probabilities(policy.tables(graph.states, condition)[0])
        distance, coverage = l1(p, targets.softmax(0)), _coverage(p, targets.softmax(0))
        log_p, against = p.clamp(min=1e-300).log(), targets
    else:
        ends = held_out
        if ends is None:
            ends = torch.unique(policy.sample(samples, generator, condition=given, epsilon=_HALF).ends, dim=0)
        log_p, against = log_probability(policy, ends, generator, condition), log_rewards(ends).double()
    correlation, slope = _line(against, log_p)
    reasons = _reasons(distance, coverage, correlation, effective)
    quantiles = tuple(torch.quantile(log_reward, torch.tensor(_LEVELS).double()).tolist())
    return Trust(
        distance, coverage, correlation, slope, quantiles,
        float(gap.var(unbiased=False)), effective, "look" if reasons else "good", reasons,
    )  # fmt: skip


def log_probability(
    policy: Policy, ends: Tensor, generator: torch.Generator, condition: Tensor | None = None, ways: int = _WAYS
) -> Tensor:
    """log p of ends (k, D), shape (k,), float64: exact on a tree, elsewhere a mean over `ways` trajectories."""
    ways = 1 if policy.environment.undos == 1 else ways
    repeated = ends.repeat_interleave(ways, 0)
    given = None if condition is None else condition.expand(len(repeated), -1)
    with torch.no_grad():
        back = policy.sample_backward(repeated, generator, condition=given)
        ratio = policy.evaluate(back).log_ratio.double().reshape(len(ends), ways)
    return ratio.logsumexp(1) - math.log(ways)


def _coverage(p: Tensor, target: Tensor) -> float:
    order = torch.argsort(target, descending=True, stable=True)
    before = target[order].cumsum(0) - target[order]
    upper = order[before < _HALF]
    return float((p[upper] >= _HALF * target[upper]).double().mean())


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Pearson's correlation and the least-squares slope of y on x."""
    x, y = x - x.mean(), y - y.mean()
    spread = float(x.square().sum())
    if spread <= 1e-18 * max(1, len(x)):
        return math.nan, math.nan
    product = float((x * y).sum())
    return product / math.sqrt(spread * max(float(y.square().sum()), 1e-300)), product / spread


def _reasons(
    distance: float | None, coverage: float | None, correlation: float, effective: float
) -> tuple[str, ...]:  # fmt: skip
    found = []
    if distance is not None and distance > _FAR:
        found.append(f"what it samples is {distance:.2g} away from the target, of at most 2")
    if coverage is not None and coverage < _MISSED:
        found.append(f"it misses {100 * (1 - coverage):.0f} % of the best ends")
    if correlation < _LOOSE:
        found.append(f"log p and log R correlate by {correlation:.2g} only")
    if effective < _FEW:
        found.append(f"importance weights leave {100 * effective:.0f} % of the samples")
    return tuple(found)
