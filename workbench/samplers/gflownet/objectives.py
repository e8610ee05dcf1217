"""Losses that train a policy to sample in proportion to a reward, and to keep an order instead of one.

Functions of log-probabilities that the policy evaluated; all on the log scale.
Sources: trajectory balance, Malkin et al. 2022 (arXiv 2201.13259), eq. 14; detailed balance, Bengio et al. 2023 (JMLR
24), eq. 12; sub-trajectory balance, Madan et al. 2023 (arXiv 2209.12782), eq. 7; log-partition variance, Zhang et al.
2023 (arXiv 2302.05446); flow matching, Bengio et al. 2021 (arXiv 2106.04399), eq. 12; order-preserving, Chen and
Mauch 2024 (arXiv 2310.00386).

Symbols: B trajectories, N visited states, T + 1 most actions; a trajectory of L actions, the stop included, has states
0 … L - 1 and a terminating end L, whose log flow is log R.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.errors import InvalidValueError
from workbench.samplers.gflownet.policy import NEVER, Evaluation

if TYPE_CHECKING:
    from workbench.samplers.gflownet.policy import Policy

TIE = 1e-6  # utilities closer than this are equal


def trajectory_balance(e: Evaluation, log_reward: Tensor, log_z: Tensor) -> Tensor:
    """Mean of (log Z + log P_F - log R - log P_B)².

    Args:
        e: Of B trajectories.
        log_reward: Of their ends, shape (B,).
        log_z: Shape (), or (B,) where it depends on a condition.
    """
    return (log_z + e.log_ratio - log_reward).square().mean()


def log_partition_variance(e: Evaluation, log_reward: Tensor, groups: int = 1) -> Tensor:
    """Trajectory balance with the best log Z for the batch: the variance (divided by B) of log P_F - log P_B - log R.

    Args:
        groups: Number of parts of B / groups trajectories, one after the other, that share a log Z each: those of one
            condition.
    """
    gap = (e.log_ratio - log_reward).reshape(groups, -1)
    return (gap - gap.mean(1, keepdim=True)).square().mean()


def detailed_balance(e: Evaluation, log_reward: Tensor | None) -> Tensor:
    """Mean over all transitions of (log F(s) + log P_F - log F(s') - log P_B)².

    Args:
        log_reward: Of the ends, shape (B,); None: stops are left out, which leaves the rewards open.
    """
    present, gap = _gaps(e, log_reward)
    step = gap[1:] - gap[:-1]  # (T + 1, B)
    return step[present].square().mean() if bool(present.any()) else step.sum() * 0.0


def sub_trajectory_balance(e: Evaluation, log_reward: Tensor | None, decay: float = 0.9) -> Tensor:
    """Squared balance of every part of a trajectory, weighted by decay^length within the trajectory, mean over B.

    Weights are normalised in each trajectory ("geometric within"). decay → 0 is the mean of the detailed balance of
    each trajectory, decay → ∞ trajectory balance with log F(source) for log Z.

    Args:
        log_reward: Of the ends, shape (B,); None: parts that end with the stop are left out, which leaves the rewards
            open. A trajectory without a move counts as balanced then.
        decay: λ.
    """
    if not 0 < decay < math.inf:
        raise InvalidValueError(f"decay must be > 0 and finite, got {decay!r}")
    present, gap = _gaps(e, log_reward)
    last = present.sum(0)  # (B,)
    place = torch.arange(len(gap), device=gap.device)
    distance = place[:, None] - place[None, :]  # (T + 2, T + 2)
    inside = place[:, None] <= last  # (T + 2, B)
    pairs = (distance > 0)[:, :, None] & inside[:, None, :] & inside[None, :, :]  # end, begin, trajectory
    log_weight = (distance[:, :, None] - 1).to(gap.dtype) * math.log(decay)
    weight = torch.where(pairs | (last == 0), log_weight, -math.inf)
    weight = weight.flatten(0, 1).softmax(0).view_as(weight)
    delta = torch.where(pairs, gap[:, None, :] - gap[None, :, :], 0.0)
    return (weight * delta.square()).sum((0, 1)).mean()


def _gaps(e: Evaluation, log_reward: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which actions there are (T + 1, B), and c_t - log F(s_t) (T + 2, B), c_t = Σ_{u<t} log P_F - log P_B.

    Without rewards the stops are not there.
    """
    if e.log_flow is None:
        raise InvalidValueError("this objective needs the flows of states; make the policy with flows=True")
    t = e.trajectories
    forward, backward = t.padded(e.log_pf), t.padded(e.log_pb)
    height, n = forward.shape
    undone = torch.cat([backward[1:], backward.new_zeros(1, n)])  # P_B of a stop is 1
    c = torch.cat([forward.new_zeros(1, n), (forward - undone).cumsum(0)])  # (T + 2, B)
    flow = torch.cat([t.padded(e.log_flow), forward.new_zeros(1, n)])
    times = torch.arange(height, device=c.device)[:, None]
    if log_reward is None:
        return times < t.length - 1, c - flow
    end = (t.length, torch.arange(n, device=c.device))
    flow = flow.index_put(end, log_reward.to(flow.dtype))
    return times < t.length, c - flow


def flow_matching(policy: Policy, e: Evaluation, log_reward: Tensor | None) -> Tensor:
    """Mean over visited states but the source of (log Σ flows in - log(R + Σ flows out))².

    The flow that ends at a state is its reward here, whatever the network says of the stop (`ending_flows`). All
    parents of every visited state are evaluated, so each step costs as many network rows as they are.

    Args:
        log_reward: Of every visited state, shape (N,), -inf where nothing may end; None: what the network says of the
            stop, which leaves the rewards open.
    """
    t, environment = e.trajectories, policy.environment
    reached = t.undo >= 0
    if not bool(reached.any()):
        return _nothing(e)
    states = t.states[reached]
    here, undo = environment.undoable(states).nonzero(as_tuple=True)
    parents, moves = environment.before(states[here], undo)
    row = None if t.condition is None else t.row[reached][here]
    into = policy.edge_flows(parents, t.condition, row).gather(1, moves[:, None])[:, 0]
    inward = _grouped_logsumexp(into, here, len(states))
    out = e.logits[reached]
    if log_reward is not None:
        out = torch.cat([out[:, :-1], log_reward[reached, None].to(out.dtype)], 1)
    return (inward - torch.logsumexp(out, 1)).square().mean()


def ending_flows(e: Evaluation, log_reward: Tensor) -> Tensor:
    """Mean over visited states that may be an end of (log flow of the stop - log R)²: what makes the policy stop there.

    Args:
        log_reward: Of every visited state, shape (N,); -inf where nothing may end.
    """
    ends = e.trajectories.masks[:, -1]
    return (e.logits[ends, -1] - log_reward[ends].to(e.logits.dtype)).square().mean()


def _nothing(e: Evaluation) -> Tensor:
    """Zero with a gradient of zero: the mean over no states, where all trajectories stop at the source."""
    return e.log_pf.sum() * 0.0


def _grouped_logsumexp(values: Tensor, group: Tensor, n: int) -> Tensor:
    most = values.new_full((n,), NEVER).scatter_reduce(0, group, values.detach(), "amax")
    total = values.new_zeros(n).index_add(0, group, (values - most[group]).exp())
    return most + total.log()


# -- order ---------------------------------------------------------------------------------------------


def learnt_log_reward(e: Evaluation) -> Tensor:
    """log R̂ = log P_F - log P_B of each trajectory, shape (B,), up to the constant log Z, which no order depends on."""
    return e.log_ratio


def learnt_log_reward_of_flows(e: Evaluation) -> Tensor:
    """log R̂ = log F(s) + log P_F(stop | s) at the ends, shape (B,), for policies trained on the flows of states."""
    if e.log_flow is None:
        raise InvalidValueError("this objective needs the flows of states; make the policy with flows=True")
    return _at_ends(e, e.log_flow + e.log_pf)


def learnt_log_reward_of_edges(e: Evaluation) -> Tensor:
    """log R̂ = log F(s → stop) at the ends, shape (B,), for policies trained on the flows of edges."""
    return _at_ends(e, e.logits[:, -1])


def _at_ends(e: Evaluation, values: Tensor) -> Tensor:
    t = e.trajectories
    last = t.time == t.length[t.row] - 1
    return values.new_zeros(len(t)).index_put((t.row[last],), values[last])


def order_preserving(log_reward: Tensor, labels: Tensor) -> Tensor:
    """KL divergence of softmax(log R̂) from the labels, for partial orders.

    Args:
        log_reward: log R̂ of the batch, shape (B,).
        labels: 1 where a member is not dominated by another, else 0, shape (B,); or any weights ≥ 0.
    """
    target = labels.to(log_reward.dtype) / labels.sum()
    log_model = log_reward.log_softmax(0)
    return torch.xlogy(target, target).sum() - (target * log_model).sum()


def order_preserving_pairs(log_reward: Tensor, other: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of which of two is better, for total orders and for rankings by people.

    Args:
        log_reward, other: log R̂ of the first and of the second of each pair, shape (P,).
        labels: Probability that the first is better, shape (P,); 1/2 is a tie.
    """
    gap = log_reward - other
    return torch.nn.functional.binary_cross_entropy_with_logits(gap, labels.to(gap.dtype))


def pair_labels(first: Tensor, second: Tensor) -> Tensor:
    """1 where the first utility is greater, 0 where it is smaller, 1/2 within `TIE`; shape (P,)."""
    gap = first - second
    return torch.where(gap.abs() < TIE, 0.5, (gap > 0).to(torch.float64))


def backward_divergence(policy: Policy, e: Evaluation) -> Tensor:
    """Mean over visited states but the source of KL(uniform over the parents ‖ P_B)."""
    t, environment = e.trajectories, policy.environment
    reached = t.undo >= 0
    if not bool(reached.any()):
        return _nothing(e)
    states = t.states[reached]
    row = None if t.condition is None else t.row[reached]
    log_pb = policy.log_backward(states, t.condition, row)
    legal = environment.undoable(states)
    count = legal.sum(1).to(log_pb.dtype)
    mean = torch.where(legal, log_pb, 0.0).sum(1) / count
    return (-count.log() - mean).mean()
