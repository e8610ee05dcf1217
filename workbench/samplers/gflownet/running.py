"""A cheap reward: training with every evaluation spent on trajectories, and the model that comes out of it.

Values of whatever unit become log rewards by the scale of the first, evenly spread points: z = (y - median) / (best -
median), log R = β w·z for weights w of the objectives, so that shifting or stretching an objective changes nothing. Or
values are rewards themselves (`reward="values"`): R = (Σ w r)^β, as the papers have it. With several objectives the
policy is conditioned on w (Jain et al. 2023, arXiv 2210.12765), or, order-preserving, needs none (Chen and Mauch 2024,
arXiv 2310.00386).

Symbols: n points, d encoded columns, m objectives, D tokens; Y (n, m) larger is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from workbench.errors import InvalidValueError
from workbench.samplers.gflownet.conditioning import Conditioning
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.replay import Archive
from workbench.samplers.gflownet.spaces import SpaceEnvironment
from workbench.samplers.gflownet.training import Settings, Trainer
from workbench.samplers.gflownet.trust import Trust, trust

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Space

    Array = NDArray[np.float64]

Evaluate = Callable[[np.ndarray[Any, np.dtype[np.float64]]], np.ndarray[Any, np.dtype[np.float64]]]
"""Encoded points (n, d) -> values (n, m), larger is better, NaN where there is none."""

_FIRST = 512  # evenly spread points, from which the scale is read and the archive begins
_SHARE = 0.05  # at most, of all evaluations
_HIDDEN = (128, 128)
_GROUP = 8  # trajectories of one preference, whose balance has one constant
_WORST = -4.0  # z of what has no value


@dataclass(frozen=True)
class Options:
    """How a run trains.

    Args:
        beta: Exponent of the reward.
        reward: "scaled" by the first points, or "values" that are rewards >= 0 themselves.
        order: Train on the order, or the dominance, of values instead of a reward.
        batch: Trajectories of a step.
        learning_rate: Of Adam, falling to a tenth on a cosine.
        epsilon: Share of uniform actions.
        replayed: Share of trajectories that lead to the best seen.
        hidden: Units of each hidden layer.
    """

    beta: float = 8.0
    reward: Literal["scaled", "values"] = "scaled"
    order: bool = False
    batch: int = 128
    learning_rate: float = 2e-3
    epsilon: float = 0.05
    replayed: float = 0.25
    hidden: tuple[int, ...] = _HIDDEN

    def settings(self, m: int, steps: int) -> Settings:
        """Those of the training, for m objectives."""
        return Settings(
            objective="op" if self.order else "vargrad", batch=self.batch, learning_rate=self.learning_rate, final=0.1,
            steps=max(1, steps), epsilon=self.epsilon, clip=10.0, replayed=self.replayed,
        )  # fmt: skip

    def conditioning(self, m: int) -> Conditioning:
        """What the policy is conditioned on: the preference, where there are several objectives and no order."""
        scalarization: Literal["exponential", "sum"] = "exponential" if self.reward == "scaled" else "sum"
        if m == 1 or self.order:
            return Conditioning(1, scalarization=scalarization, beta=(self.beta,))
        return Conditioning(m, scalarization=scalarization, beta=(self.beta,), repeat=_GROUP)


class Model:
    """A policy for a space: samples, and what is known of how good it is.

    Args:
        space: What is sampled from.
        m: Number of objectives.
        options: As trained, or to be trained, with.
        generator: Draws the initial weights and everything in training.
    """

    def __init__(self, space: Space, m: int, options: Options, generator: torch.Generator) -> None:
        self.environment, self.m, self.options = SpaceEnvironment(space), m, options
        self.conditioning = options.conditioning(m)
        self.policy = Policy(
            self.environment, hidden=options.hidden, condition=self.conditioning.width, generator=generator,
            slope=0.01, bound=50.0 if options.order else None,
        )  # fmt: skip
        self.scale = np.stack([np.zeros(m), np.ones(m)])  # what becomes 0, and the unit

    @property
    def answers(self) -> bool:
        """Does it answer different preferences differently?"""
        return self.conditioning.width > 0

    def sample(self, n: int, generator: torch.Generator, weights: Sequence[float] | None = None) -> Array:
        """n encoded points, shape (n, d), for a preference among the objectives; drawn ones if None is given."""
        given = None
        if self.answers:
            drawn = self.conditioning.draw(-(-n // _GROUP) * _GROUP, generator)
            whole = self.conditioning.at(weights, n) if weights is not None else drawn
            assert whole.encoding is not None
            given = whole.encoding[:n]
        elif weights is not None and self.m > 1:
            raise InvalidValueError("a model of an order knows no preference; leave the weights out")
        found: list[Tensor] = []
        while sum(map(len, found)) < n:
            ends = self.policy.sample(n, generator, condition=given).ends
            found.append(ends[torch.from_numpy(self.environment.admits(ends))])
        return self.environment.encoded(torch.cat(found)[:n])

    def rewards(self, Y: Array) -> Tensor:
        """Values (n, m) as what the training takes for rewards."""
        if self.options.order or self.options.reward == "values":
            return torch.from_numpy(np.where(np.isnan(Y), -1e300 if self.options.order else 0.0, Y))
        Z = (Y - self.scale[0]) / self.scale[1]
        return torch.from_numpy(np.where(np.isnan(Z), _WORST, np.maximum(Z, _WORST)))

    def log_reward(self, Y: Array, weights: Sequence[float] | None = None) -> Tensor:
        """log R (n,) of values (n, m) for one preference; equal weights if none is given."""
        m = self.conditioning.objectives
        given = self.conditioning.at(weights or [1.0 / m] * m, len(Y))
        return self.conditioning.log_reward(self.rewards(Y), given)


class Run:
    """A training run over a space, from its beginning or from a checkpoint.

    Args:
        space: What is searched.
        m: Number of objectives.
        evaluate: The reward.
        evaluations: How many there may be.
        rng: Source of the seed.
        options: How it trains.
        state: What `state_dict` returned; None: begin.
    """

    def __init__(
        self, space: Space, m: int, evaluate: Evaluate, evaluations: int, rng: np.random.Generator, options: Options,
        state: Mapping[str, Array] | None = None,
    ) -> None:  # fmt: skip
        self._generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        self._space, self._evaluate, self._evaluations = space, evaluate, evaluations
        self.model = Model(space, m, options, self._generator)
        self._first = max(16, min(_FIRST, int(_SHARE * evaluations)))
        self._seed = int(rng.integers(2**31))
        each = round(options.batch * (1.0 - options.replayed))
        settings = options.settings(m, (evaluations - self._first) // each)
        self.archive = Archive()
        self.values: dict[str, Array] = {}
        self.trainer = Trainer(
            self.model.policy, self._rewards, settings, self._generator, conditioning=self.model.conditioning,
            archive=self.archive,
        )  # fmt: skip
        self.loss = float("nan")
        if state is None:
            self._begin()
        else:
            self._go_on(state)

    @property
    def calls(self) -> int:
        """Evaluations so far."""
        return self.trainer.calls

    def step(self) -> bool:
        """One step of training, unless what is left of the evaluations is too few for one; whether there was one."""
        if self.calls + self.trainer.settings.batch > self._evaluations:
            return False
        self.loss = self.trainer.step().loss
        return True

    def best(self, n: int) -> tuple[Array, Array]:
        """The n best points evaluated, or those that no other dominates: encoded (n, d), and their rewards (n, m)."""
        assert self.archive.states is not None
        assert self.archive.rewards is not None
        return self.model.environment.encoded(self.archive.states[:n]), self.archive.rewards[:n].numpy()

    def trust(self, generator: torch.Generator, weights: Sequence[float] | None = None) -> Trust:
        """How far the policy may be trusted, at some evaluations more that are not counted."""
        model, given = self.model, None
        if model.answers:
            given = model.conditioning.at(weights or [1.0 / model.m] * model.m, 1).encoding
            assert given is not None
            given = given[0]

        def log_rewards(states: Tensor) -> Tensor:
            return model.log_reward(self._values(states), weights)

        return trust(model.policy, log_rewards, generator, condition=given)

    def state_dict(self) -> dict[str, Array]:
        """What a later process goes on from: arrays only."""
        return {**self.trainer.state_dict(), "scale": self.model.scale}

    def _begin(self) -> None:
        X = self._space.sobol(self._first, self._seed)
        states = self.model.environment.states(X)
        Y = self._values(states)
        told = Y[~np.isnan(Y).any(1)]
        if len(told):
            middle, best = np.median(told, axis=0), told.max(axis=0)
            self.model.scale = np.stack([middle, np.where(best > middle, best - middle, 1.0)])
        if self.model.options.reward == "values" and len(told) and told.min() < 0:
            raise InvalidValueError(
                f"reward='values' takes values for rewards, which are >= 0; got {told.min():g}. Use reward='scaled'"
            )
        self.archive.add(states, self.model.rewards(Y))
        self.trainer.calls = len(X)

    def _go_on(self, state: Mapping[str, Array]) -> None:
        self.model.scale = np.array(state["scale"])
        self.trainer.load_state_dict({key: value for key, value in state.items() if key != "scale"})

    def _rewards(self, states: Tensor) -> Tensor:
        return self.model.rewards(self._values(states))

    def _values(self, states: Tensor) -> Array:
        """Values (n, m) of whole states, NaN where a known constraint is broken."""
        fine = self.model.environment.admits(states)
        Y = np.full((len(states), self.model.m), np.nan)
        if fine.any():
            Y[fine] = self._evaluate(self.model.environment.encoded(states[torch.from_numpy(fine)]))
        return Y
