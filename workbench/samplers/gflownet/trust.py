"""How far a trained policy may be trusted: distance from its target, modes that it misses, weights that it would need.

Where the states can be counted everything is exact. Elsewhere log p(x) of held-out ends is a mean over trajectories
that lead there: log mean_k P_F(τ_k) / P_B(τ_k | x), τ_k ~ P_B; on trees, whose ends have one trajectory each, that is
exact, too. A policy that was trained on an order has no target; of it is asked how much of that order it keeps.

Symbols: n trajectories, k ends, p what the policy samples, R reward, Z its sum, m rewards.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from workbench.pareto import non_dominated
from workbench.samplers.gflownet.environment import drawn_on
from workbench.samplers.gflownet.graph import Graph, l1
from workbench.samplers.gflownet.policy import Policy

LogRewards = Callable[[Tensor], Tensor]
"""States (n, D) -> log R (n,)."""
Rewards = Callable[[Tensor], Tensor]
"""States (n, D) -> rewards (n, m)."""

_SAMPLES = 512
_WAYS = 16  # trajectories to each end
_HALF = 0.5
# What is worth a look. A perfect policy has distance 0, coverage, correlation, slope and effective size 1.
_FAR, _MISSED, _LOOSE, _FEW = 0.3, 0.9, 0.8, 0.1
_FLAT, _STEEP = 0.5, 2.0  # slopes
_KEPT = 0.8  # of pairs whose order is known; chance keeps half of them
_PAIRED = 1024  # ends, at most, each of which is compared with each other one
_RARE = 1e-3  # of an even share: where all ends are counted, what is rarer counts as that rare for the slope
_ALIKE = "all that was looked at is worth the same, so nothing tells good from bad"
_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Trust:
    """What is known of a policy.

    Args:
        distance: Exact Σ |p - R/Z| over all ends, from 0 to 2; None where they were not counted.
        coverage: Of the ends that make up the upper half of the target, the share that is sampled at least half as
            often as it should be; None where they were not counted.
        correlation: Pearson's, of log p with log R; NaN if log R is the same everywhere, or for an order.
        slope: Of log p on log R; 1 for a perfect policy; NaN for an order. Where all ends are counted, both take what
            is rarer than a thousandth of an even share for just that rare: else a reward of 0 is all that they see.
        quantiles: Of log R, or of rewards added up, over samples: least, quarter, median, three quarters, greatest.
        loss: Variance of log P_F - log P_B - log R over samples; 0 for a perfect policy; NaN for an order.
        effective: Effective sample size of importance weights R P_B / P_F, as a share of the samples; NaN for an order.
        kept: For an order, the share of pairs of ends, one better than the other, of which the better one is more
            probable: 1 for a perfect policy, 0.5 by chance; None for a reward.
        log_p: Of the ends that were looked at, shape (k,).
        log_target: log R/Z of these, Z exact or by importance weights, or the rewards of an order added up, shape (k,).
        level: "good", or "look": not to be trusted as it is.
        reasons: Why, in plain words, with numbers.
    """

    distance: float | None
    coverage: float | None
    correlation: float
    slope: float
    quantiles: tuple[float, ...]
    loss: float
    effective: float
    kept: float | None
    log_p: Tensor
    log_target: Tensor
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
        generator: Source of randomness, on the device of the policy.
        graph: Its environment, enumerated, where that is possible.
        condition: The one that it is looked at for, shape (C,).
        held_out: Ends for the correlation, shape (k, D); None: what it samples with half of the actions at random.
        samples: How many are drawn; as many again where nothing is held out and no graph is given.
    """
    given = None if condition is None else condition.expand(samples, -1)
    drawn = policy.sample(samples, generator, condition=given)
    log_reward = log_rewards(drawn.ends).double().cpu()
    gap = log_reward - policy.evaluate(drawn).log_ratio.double().cpu()
    weights = (gap - gap.max()).exp()
    effective = float(weights.sum() ** 2 / weights.square().sum() / len(weights))
    distance = coverage = None
    ends, log_p = _looked_at(policy, generator, graph, condition, held_out, samples)
    against = log_rewards(ends).double().cpu()
    log_z, least = float(gap.logsumexp(0)) - math.log(samples), -math.inf
    if graph is not None:
        log_z, target = float(against.logsumexp(0)), against.softmax(0)
        distance, coverage = l1(log_p.exp(), target), _coverage(log_p.exp(), target)
        least = math.log(_RARE / len(ends))
    correlation, slope = _line((against - log_z).clamp(min=least), log_p.clamp(min=least))
    reasons = _reasons(distance, coverage, correlation, slope, effective)
    return Trust(
        distance, coverage, correlation, slope, _quantiles(log_reward), float(gap.var(unbiased=False)), effective, None,
        log_p, against - log_z, "look" if reasons else "good", reasons,
    )  # fmt: skip


@torch.no_grad()
def trust_in_order(
    policy: Policy, rewards: Rewards, generator: torch.Generator, *, graph: Graph | None = None,
    samples: int = _SAMPLES,
) -> Trust:  # fmt: skip
    """Look at a policy that was trained on the order of one reward, or on dominance among several.

    With several, a pair is an end that none of those looked at dominates, and one that is dominated: the others have no
    order to keep.

    Args:
        policy: Trained.
        rewards: What it was trained on.
        generator: Source of randomness, on the device of the policy.
        graph: Its environment, enumerated, where that is possible.
        samples: How many are drawn, and as many again where no graph is given.
    """
    drawn = rewards(policy.sample(samples, generator).ends).double().cpu()
    ends, log_p = _looked_at(policy, generator, graph, None, None, samples)
    some = torch.randperm(len(ends), generator=generator, device=drawn_on(generator))[:_PAIRED]
    ends, log_p = ends[some], log_p[some.cpu()]
    R = rewards(ends).double().cpu()
    if R.shape[1] == 1:
        better = R[:, 0][:, None] > R[:, 0]  # (k, k)
    else:
        front = torch.from_numpy(np.asarray(non_dominated(R.numpy())))
        better = front[:, None] & ~front
    gaps = (log_p[:, None] - log_p)[better]
    kept = float(((gaps > 0).double() + _HALF * (gaps == 0).double()).mean()) if len(gaps) else math.nan
    reasons: tuple[str, ...] = ()
    if math.isnan(kept):
        reasons = (_ALIKE,)
    elif kept < _KEPT:
        reasons = (f"of two designs it draws the better one more often in {100 * kept:.0f} % of cases only",)
    return Trust(
        None, None, math.nan, math.nan, _quantiles(drawn.sum(1)), math.nan, math.nan, kept, log_p, R.sum(1),
        "look" if reasons else "good", reasons,
    )  # fmt: skip


def _looked_at(
    policy: Policy, generator: torch.Generator, graph: Graph | None, condition: Tensor | None, held_out: Tensor | None,
    samples: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Ends (k, D), where the policy is, and their log p (k,), on the CPU.

    All ends, those held out, or what is sampled with half of the actions at random.
    """
    if graph is not None:
        p = graph.end_probabilities(policy.tables(graph.states, condition)[0])
        return graph.states[graph.ends].to(policy.device), p.cpu().clamp(min=1e-300).log()
    ends = held_out
    if ends is None:
        given = None if condition is None else condition.expand(samples, -1)
        ends = torch.unique(policy.sample(samples, generator, condition=given, epsilon=_HALF).ends, dim=0)
    return ends.to(policy.device), log_probability(policy, ends, generator, condition).cpu()


def _quantiles(values: Tensor) -> tuple[float, ...]:
    return tuple(torch.quantile(values, torch.tensor(_LEVELS, device="cpu").double()).tolist())


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
    distance: float | None, coverage: float | None, correlation: float, slope: float, effective: float
) -> tuple[str, ...]:  # fmt: skip
    found = []
    if distance is None and math.isnan(correlation):
        found.append(_ALIKE)
    if distance is not None and distance > _FAR:
        found.append(f"{50 * distance:.0f} % of what it draws is not what it should draw")
    if coverage is not None and coverage < _MISSED:
        found.append(f"{100 * (1 - coverage):.0f} % of the best designs are drawn too seldom, or never")
    if correlation < _LOOSE:
        found.append(f"how often it draws a design hardly follows how good it is (correlation {correlation:.2g})")
    elif not _FLAT <= slope <= _STEEP and not math.isnan(slope):
        how = "too little" if slope < _FLAT else "too much"
        found.append(f"what is better is more probable, but {how} ({slope:.2g} of what it should be, in logarithms)")
    if effective < _FEW:
        found.append(f"corrected for its errors, 100 draws are worth {max(1, round(100 * effective))}")
    return tuple(found)
