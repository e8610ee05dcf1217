"""Training a policy, one step at a time: sample, ask for rewards, balance.

Symbols: B trajectories of a step, D columns, m objectives, C numbers of a condition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from workbench.errors import InvalidValueError
from workbench.pareto import non_dominated
from workbench.samplers.gflownet import objectives
from workbench.samplers.gflownet.conditioning import Conditioning, Given
from workbench.samplers.gflownet.environment import drawn_on
from workbench.samplers.gflownet.policy import Evaluation, Policy
from workbench.samplers.gflownet.trajectories import Trajectories

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.samplers.gflownet.replay import Archive

    Array = NDArray[np.float64]

Objective = Literal["tb", "db", "subtb", "vargrad", "fm", "op", "op_db", "op_subtb", "op_fm"]
Rewards = Callable[[Tensor], Tensor]
"""States (n, D) -> rewards (n, m), on any device, each larger is better; for ratios to mean anything, in [0, 1]."""
Breed = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""Two parents (n, D) each -> children (n, D), all of them ends."""

_WITH_FLOWS = ("db", "subtb", "op_db", "op_subtb")
_LEARNT_REWARDS = {  # log R̂ of a trajectory, by what is balanced; of the whole of it elsewhere
    "db": objectives.learnt_log_reward_of_flows, "subtb": objectives.learnt_log_reward_of_flows,
    "fm": objectives.learnt_log_reward_of_edges,
}  # fmt: skip
_ORDER = 0.1  # weight of the order beside the balance of moves: λ_OP of Chen and Mauch 2024


@dataclass(frozen=True)
class Settings:
    """How a policy is trained.

    Args:
        objective: "tb" trajectory balance, "db" detailed balance, "subtb" sub-trajectory balance, "vargrad" trajectory
            balance without log Z, "fm" flow matching. Order-preserving, which knows of rewards only which are better:
            "op" on trajectories alone; "op_db", "op_subtb", "op_fm" beside the balance of all but the stops.
        batch: Trajectories of a step.
        learning_rate, learning_rate_z: Of the network, and of log Z.
        final: Share of the learning rates that is left after `steps`, on a cosine; 1: constant.
        steps: Length of that schedule.
        epsilon: Probability of a uniform action while training.
        temperature: Of the policy while training.
        decay: λ of "subtb" and "op_subtb".
        order: Weight of the order beside a balance; None: 0.1 where the order is all that is known of rewards, and none
            on top of an objective that balances them.
        regularize: Weight of the divergence of a learnt P_B from the uniform one.
        clip: Greatest norm of a gradient; None: any.
        weight_decay: Of Adam.
        log_z: Initial log Z.
        least: Log rewards are clamped from below to this.
        replayed: Share of the trajectories of a step that lead, backward, to members of the archive.
        bred: Share that leads, backward, to children of members of the archive, whose rewards are asked for.
    """

    objective: Objective = "tb"
    batch: int = 128
    learning_rate: float = 1e-3
    learning_rate_z: float = 0.1
    final: float = 1.0
    steps: int = 1000
    epsilon: float = 0.0
    temperature: float = 1.0
    decay: float = 0.9
    order: float | None = None
    regularize: float = 0.0
    clip: float | None = None
    weight_decay: float = 0.0
    log_z: float = 0.0
    least: float = -100.0
    replayed: float = 0.0
    bred: float = 0.0

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise InvalidValueError(
                f"objective must be one of {', '.join(get_args(Objective))}; got {self.objective!r}"
            )
        if self.batch < 2:
            raise InvalidValueError(f"batch must be >= 2, got {self.batch}")
        if min(self.replayed, self.bred) < 0 or self.replayed + self.bred >= 1:
            raise InvalidValueError(
                f"replayed and bred must be >= 0 and add up to less than 1, got {self.replayed} and {self.bred}"
            )
        if self.order is not None and not self.order >= 0:
            raise InvalidValueError(f"order must be >= 0, got {self.order}")

    @property
    def ordered(self) -> bool:
        """Are rewards known by their order only?"""
        return self.objective.startswith("op")

    @property
    def balance(self) -> str:
        """What is balanced: the objective, or what an order is beside; empty if it is beside nothing."""
        return self.objective.removeprefix("op").removeprefix("_")

    @property
    def order_weight(self) -> float:
        """Weight of the order in the loss."""
        if not self.balance:
            return 1.0
        usual = _ORDER if self.ordered else 0.0
        return usual if self.order is None else self.order

    @property
    def flows(self) -> bool:
        """Does the objective need a policy with flows?"""
        return self.objective in _WITH_FLOWS


@dataclass(frozen=True)
class Step:
    """What a step brought, reported only.

    Args:
        loss: Of the objective.
        ends: Where the trajectories drawn forward ended, shape (B, D).
        rewards: Of these, shape (B, m).
        log_reward: As trained on, shape (B,).
        log_ratio: log P_F - log P_B of the trajectories, shape (B,).
    """

    loss: float
    ends: Tensor
    rewards: Tensor
    log_reward: Tensor
    log_ratio: Tensor


@dataclass(frozen=True)
class _Part:
    """Trajectories of a step that were drawn in one way, what they are worth, and under which conditions."""

    evaluation: Evaluation
    rewards: Tensor
    log_reward: Tensor
    given: Given


class LogZ(nn.Module):
    """log Z, a number, or a small network of the condition."""

    def __init__(self, condition: int, initial: float, generator: torch.Generator | None) -> None:
        super().__init__()
        device = drawn_on(generator)
        self.constant = nn.Parameter(torch.tensor(float(initial), device=device))
        self.layers = nn.ParameterList()
        widths = [condition, 32, 32, 1] if condition else []
        for inputs, outputs in pairwise(widths):
            for shape in ((outputs, inputs), (outputs,)):
                drawn = torch.rand(shape, generator=generator, dtype=torch.float64, device=device)
                self.layers.append(nn.Parameter(((2 * drawn - 1) * inputs**-0.5).float()))

    def forward(self, condition: Tensor | None) -> Tensor:
        """Shape (B,) of conditions (B, C); shape () without."""
        if condition is None or len(self.layers) == 0:
            return self.constant
        h = condition
        parameters = list(self.layers)
        for i in range(0, len(parameters), 2):
            h = torch.addmm(parameters[i + 1], h, parameters[i].T)
            if i + 2 < len(parameters):
                h = nn.functional.leaky_relu(h)
        return self.constant + h[:, 0]


class Trainer:
    """A policy in training. All randomness comes from one generator, so that equal seeds train equal policies.

    Args:
        policy: To be trained, in place.
        rewards: Called once a step, for all ends of the batch.
        settings: How.
        generator: Source of randomness, on the device of the policy.
        conditioning: What rewards are turned into log R with; None: the log of a single one.
        archive: The best that was seen, for replay, for parents, and for order against more than the batch.
        breed: Makes children.
    """

    def __init__(
        self, policy: Policy, rewards: Rewards, settings: Settings, generator: torch.Generator, *,
        conditioning: Conditioning | None = None, archive: Archive | None = None, breed: Breed | None = None,
    ) -> None:  # fmt: skip
        if generator.device.type != policy.device.type:
            raise InvalidValueError(
                f"expected a generator on the policy's device {policy.device}, got one on {generator.device}; pass "
                f"torch.Generator('{policy.device}'), or bring the policy to the generator: policy.to(generator.device)"
            )
        if settings.flows and not policy.flows:
            raise InvalidValueError(f"objective {settings.objective!r} needs a policy with flows=True")
        if settings.replayed and archive is None:
            raise InvalidValueError("replayed= needs an archive to replay from; pass archive=")
        if settings.bred and (archive is None or breed is None):
            raise InvalidValueError("bred= needs an archive of parents and how children are made; pass both")
        self.policy, self.settings, self.generator, self.archive = policy, settings, generator, archive
        self._breed = breed
        self.conditioning = conditioning or Conditioning(1)
        repeat = self.conditioning.repeat
        if settings.objective == "vargrad" and self.conditioning.width and (repeat < 2 or settings.batch % repeat):
            raise InvalidValueError(
                "objective 'vargrad' compares trajectories of one condition; make Conditioning with repeat= of at "
                f"least 2 that divides the batch of {settings.batch}, got {repeat}"
            )
        if settings.order_weight and self.conditioning.width:
            raise InvalidValueError(
                "an order holds for every condition alike; leave the conditioning out, or order= at 0"
            )
        self._rewards = rewards
        self.log_z = LogZ(self.conditioning.width, settings.log_z, generator)
        groups = [
            {"params": list(policy.parameters()), "lr": settings.learning_rate},
            {"params": list(self.log_z.parameters()), "lr": settings.learning_rate_z},
        ]
        self.optimizer = torch.optim.Adam(groups, weight_decay=settings.weight_decay, fused=True)
        self.steps = 0
        self.calls = 0

    def step(self) -> Step:
        """One step of training."""
        settings = self.settings
        self._schedule()
        again, bred = self._share(settings.replayed), self._share(settings.bred)
        n = settings.batch - again - bred
        given = self.conditioning.draw(n, self.generator)
        drawn = self.policy.sample(
            n, self.generator, condition=given.encoding, epsilon=settings.epsilon,
            temperature=settings.temperature, keep=True,
        )  # fmt: skip
        rewards = self.rewards(drawn.ends)
        log_reward = self.conditioning.log_reward(rewards, given).clamp(min=settings.least)
        evaluation = self.policy.evaluate(drawn, unchanged=True)
        batch = [_Part(evaluation, rewards, log_reward, given), *self._elsewhere(drawn.ends, again, bred)]
        count = sum(len(part.rewards) for part in batch)
        loss = torch.stack([len(part.rewards) / count * self._balanced(part) for part in batch]).sum()
        if settings.order_weight:
            loss = loss + settings.order_weight * self._ordered(batch)
        if settings.regularize:
            loss = loss + settings.regularize * objectives.backward_divergence(self.policy, evaluation)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if settings.clip is not None:
            nn.utils.clip_grad_norm_(self.policy.parameters(), settings.clip)
        self.optimizer.step()
        self.steps += 1
        if self.archive is not None:
            self.archive.add(drawn.ends, rewards)
        return Step(float(loss.detach()), drawn.ends, rewards, log_reward, evaluation.log_ratio.detach())

    def _share(self, of: float) -> int:
        """Trajectories of a step that begin with the archive: whole groups of one condition, none while it is empty."""
        if self.archive is None or len(self.archive) == 0:
            return 0
        n = round(of * self.settings.batch)
        return n - n % self.conditioning.repeat

    def _elsewhere(self, ends: Tensor, again: int, bred: int) -> list[_Part]:
        """Trajectories that were not drawn forward: to members of the archive, and to their children."""
        if self.archive is None or again + bred == 0:
            return []
        states, rewards = self.archive.draw(2 * bred, self.generator)
        if bred and self._breed is not None:
            states = self._breed(states[:bred], states[bred:], self.generator)
            rewards = self.rewards(states)
            self.archive.add(states, rewards)
        if self.settings.ordered:
            known = self.archive.draw_missing(ends, again, self.generator)
        else:
            known = self.archive.draw(again, self.generator)
        states, rewards = torch.cat([states, known[0]]), torch.cat([rewards, known[1]])
        if len(states) == 0:
            return []
        given = self.conditioning.draw(len(states), self.generator)
        back = self.policy.sample_backward(states, self.generator, condition=given.encoding)
        log_reward = self.conditioning.log_reward(rewards, given).clamp(min=self.settings.least)
        return [_Part(self.policy.evaluate(back), rewards, log_reward, given)]

    def rewards(self, states: Tensor) -> Tensor:
        """Rewards (n, m) of states, counted, on the device of the states."""
        self.calls += len(states)
        found = self._rewards(states)
        if found.ndim != 2 or len(found) != len(states) or not bool(torch.isfinite(found).all()):
            raise InvalidValueError(
                f"rewards of {len(states)} states must be finite numbers of shape ({len(states)}, m), got "
                f"{tuple(found.shape)}"
            )
        return found.to(states.device)

    def _schedule(self) -> None:
        settings = self.settings
        if settings.final == 1.0:
            return
        share = min(1.0, self.steps / settings.steps)
        factor = settings.final + (1 - settings.final) * 0.5 * (1 + math.cos(math.pi * share))
        rates = (settings.learning_rate, settings.learning_rate_z)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor

    def _balanced(self, part: _Part) -> Tensor:
        """The balance of trajectories; of all but their stops, where rewards are known by their order only."""
        settings, e = self.settings, part.evaluation
        log_reward = None if settings.ordered else part.log_reward
        match settings.balance:
            case "tb":
                return objectives.trajectory_balance(e, part.log_reward, self.log_z(part.given.encoding))
            case "vargrad":
                return objectives.log_partition_variance(e, part.log_reward, part.given.groups)
            case "db":
                return objectives.detailed_balance(e, log_reward)
            case "subtb":
                return objectives.sub_trajectory_balance(e, log_reward, settings.decay)
            case "fm" if log_reward is None:
                return objectives.flow_matching(self.policy, e, None)
            case "fm":
                everywhere = self._everywhere(e.trajectories, part.given)
                return objectives.flow_matching(self.policy, e, everywhere) + objectives.ending_flows(e, everywhere)
        return e.log_pf.new_zeros(())  # an order beside nothing

    def _everywhere(self, t: Trajectories, given: Given) -> Tensor:
        """log R of every visited state, -inf where none may end, shape (N,)."""
        ends = t.masks[:, -1]
        rewards = self.rewards(t.states[ends])
        some = replace(given, weights=given.weights[t.row[ends]], beta=given.beta[t.row[ends]])
        log_reward = self.conditioning.log_reward(rewards, some).clamp(min=self.settings.least)
        everywhere = torch.full((len(t.states),), -torch.inf, device=log_reward.device)
        return everywhere.masked_scatter(ends, log_reward.float())

    def _ordered(self, batch: Sequence[_Part]) -> Tensor:
        """The order of the batch, members of the archive that it lacks among it, against all that the archive holds.

        Labels of the batch alone contradict each other from one batch to the next, and a part of the front that is not
        sampled any more has no way back. Members that are sampled anyway stay out: too many trajectories at the front
        leave the softmax little to press down.
        """
        learnt = _LEARNT_REWARDS.get(self.settings.balance, objectives.learnt_log_reward)
        log_reward = torch.cat([learnt(part.evaluation) for part in batch])
        return self._order(log_reward, torch.cat([part.rewards for part in batch]))

    def _order(self, log_reward: Tensor, rewards: Tensor) -> Tensor:
        if rewards.shape[1] == 1:  # a total order: every pair, of which the paper takes as many as there are members
            first, second = torch.triu_indices(len(rewards), len(rewards), 1, device=rewards.device)
            labels = objectives.pair_labels(rewards[first, 0], rewards[second, 0])
            return objectives.order_preserving_pairs(log_reward[first], log_reward[second], labels)
        batch = beside = rewards.cpu()
        if self.archive is not None and self.archive.rewards is not None:
            beside = torch.cat([batch, self.archive.rewards])
        front = non_dominated(beside.double().numpy())[: len(batch)]
        if not front.any():  # the archive dominates all of the batch: their order among themselves
            front = non_dominated(batch.double().numpy())
        return objectives.order_preserving(log_reward, torch.from_numpy(np.asarray(front)).to(log_reward.device))

    # -- checkpoints ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Everything that goes on: weights, Adam's moments, counts, the generator; arrays only."""
        arrays: dict[str, Array] = {}
        for name, module in (("policy", self.policy), ("log_z", self.log_z)):
            arrays |= {f"{name}.{key}": _copied(value) for key, value in module.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            arrays |= {f"adam.{i}.{key}": _copied(value) for key, value in state.items()}
        arrays["generator"] = _copied(self.generator.get_state())
        arrays["counts"] = np.array([self.steps, self.calls])
        if self.archive is not None:
            arrays |= {f"archive.{key}": value for key, value in self.archive.state_dict().items()}
        return arrays

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Go on from what `state_dict` returned."""
        for name, module in (("policy", self.policy), ("log_z", self.log_z)):
            own = {key: torch.from_numpy(np.array(arrays[f"{name}.{key}"])) for key in module.state_dict()}
            module.load_state_dict(own)
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in arrays.items():
            if key.startswith("adam."):
                _, i, name = key.split(".", 2)
                moments.setdefault(int(i), {})[name] = torch.from_numpy(np.array(value))
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.generator.set_state(torch.from_numpy(np.array(arrays["generator"])))
        self.steps, self.calls = (int(count) for count in arrays["counts"])
        if self.archive is not None:
            self.archive.load_state_dict({k[8:]: v for k, v in arrays.items() if k.startswith("archive.")})


def _copied(values: Tensor) -> Array:
    found: Array = values.detach().cpu().numpy().copy()
    return found
