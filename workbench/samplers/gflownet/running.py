"""A cheap reward: training with every evaluation spent on trajectories, and the model that comes out of it.

Values of whatever unit become log rewards by the scale of the first, evenly spread points: z = (y - median) / (best -
median), log R = β w·z for weights w of the objectives, so that shifting or stretching an objective changes nothing;
where none of them is better than their median, by their spread, or by the first value that differs. Or values are
rewards themselves (`reward="values"`): R = (Σ w r)^β, as the papers have it, in units of the best of the first points,
which is a constant factor. With several objectives the policy is conditioned on w (Jain et al. 2023, arXiv 2210.12765),
or, order-preserving, needs none (Chen and Mauch 2024, arXiv 2310.00386).

Symbols: n points, d encoded columns, m objectives, D tokens; Y (n, m) larger is better.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from workbench.errors import InvalidValueError
from workbench.pareto import weights as lattice
from workbench.samplers.gflownet.acquiring import Pool, climb
from workbench.samplers.gflownet.conditioning import BINS, Conditioning, Scalarization
from workbench.samplers.gflownet.graph import enumerate_states
from workbench.samplers.gflownet.points import environment_of
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.replay import Archive
from workbench.samplers.gflownet.training import Settings, Trainer
from workbench.samplers.gflownet.trust import Trust, log_probability, trust, trust_in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.samplers.batch import Outcomes
    from workbench.samplers.gflownet.points import SpaceGrid
    from workbench.samplers.gflownet.spaces import SpaceEnvironment
    from workbench.space import Space

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

Evaluate = Callable[["Array"], "Outcomes"]
"""Encoded points (n, d) -> utilities (n, m), larger is better, NaN where there is none, and excess over limits (n,)."""

_FIRST = 512  # evenly spread points, from which the scale is read and the archive begins
_SHARE = 0.05  # at most, of all evaluations
_HIDDEN = (128, 128)
_GROUP = 8  # trajectories of one preference, whose balance has one constant
_WORST = -4.0  # z of what has no value
_SETTLED, _LAST = 1e-4, 100  # mean loss of so many steps at which there is nothing left to learn
_LOOKED = 0.05  # share of the evaluations, at most, with which the model is looked at in the end
_SAMPLES = 512  # at most, for that
_DIVISIONS = {2: 10, 3: 4}  # of the simplex of preferences that the model is asked for in the end; 2 for more
_EACH = 32  # samples of one of them, at most
# Log rewards are clamped at -100, or -β times these depths where that is lower: z and excess go down to twice the worst
# of z; a sum of rewards to a hundredth. A floor that chance hardly leaves would teach nothing.
_LEAST, _DEPTHS = 100.0, {"scaled": -2 * _WORST, "values": 5.0}
_TINY = 1e-12
_STARTS = 16  # likeliest draws of which small changes are looked at
_BRED = 0.25
_TRIES = 64  # times n samples, where constraints admit few
_COUNTED = 4096  # ends up to which it is compared with all of them


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
        bred: Share of trajectories that lead to children of the best seen; None: a quarter, but none for the order of
            one objective, which finds more of the best without.
        hidden: Units of each hidden layer.
        scalarization: Of several objectives whose values are rewards.
        alpha: Of the Dirichlet distribution that preferences come from.
        bins: Of the thermometer that a preference is written in; 0: as it is.
        environment: What trajectories are made of, "tokens" or "grid".
    """

    beta: float = 8.0
    reward: Literal["scaled", "values"] = "scaled"
    order: bool = False
    batch: int = 64
    learning_rate: float = 1e-2
    epsilon: float = 0.05
    replayed: float = 0.25
    bred: float | None = None
    hidden: tuple[int, ...] = _HIDDEN
    scalarization: Literal["sum", "log", "chebyshev"] = "sum"
    alpha: float = 1.0
    bins: int = BINS
    environment: Literal["tokens", "grid"] = "tokens"

    def settings(self, m: int, steps: int) -> Settings:
        """Those of the training, for m objectives."""
        usual = 0.0 if self.order and m == 1 else _BRED
        return Settings(
            objective="op" if self.order else "vargrad", batch=self.batch, learning_rate=self.learning_rate, final=0.1,
            steps=max(1, steps), epsilon=self.epsilon, clip=10.0, replayed=self.replayed,
            bred=usual if self.bred is None else self.bred,
            least=-max(_LEAST, _DEPTHS[self.reward] * self.beta),
        )  # fmt: skip

    def conditioning(self, m: int) -> Conditioning:
        """What the policy is conditioned on: the preference, where there are several objectives and no order."""
        scalarization: Scalarization = "exponential" if self.reward == "scaled" else self.scalarization
        if m == 1 or self.order:
            return Conditioning(1, scalarization=scalarization, beta=(self.beta,))
        return Conditioning(
            m, scalarization=scalarization, beta=(self.beta,), alpha=self.alpha, bins=self.bins, repeat=_GROUP
        )


class Model:
    """A policy for a space, and what values are to it.

    Args:
        space: What is sampled from.
        m: Number of objectives.
        options: As trained, or to be trained, with.
        generator: Draws the initial weights and everything in training, on its device.
        fixed: Parameters that have one value only.

    Attributes:
        environment: What the policy was trained on.
        within: The part of it that is sampled.
    """

    def __init__(
        self, space: Space, m: int, options: Options, generator: torch.Generator, fixed: Mapping[str, Any] | None = None
    ) -> None:
        self.environment, self.m, self.options = environment_of(options.environment, space, fixed), m, options
        self.within = self.environment
        self.conditioning = options.conditioning(m)
        self.policy = Policy(
            self.environment, hidden=options.hidden, condition=self.conditioning.width, generator=generator,
            slope=0.01, bound=50.0 if options.order else None,
        )  # fmt: skip
        self.scale = np.stack([np.zeros(m), np.ones(m)])  # what becomes 0, and the unit; NaN: nothing has differed yet
        self.unit = 1.0  # of excess

    @property
    def answers(self) -> bool:
        """Does it answer different preferences differently?"""
        return self.conditioning.width > 0

    @classmethod
    def of(cls, space: Space, arrays: Mapping[str, NDArray[Any]], fixed: Mapping[str, Any] | None = None) -> Model:
        """The model that `arrays`, or a run's `state_dict`, kept.

        Args:
            space: Of its training.
            arrays: Of the model.
            fixed: Parameters that are held where it is sampled; they were so in its training if the arrays say "known".
        Raises:
            InvalidValueError: if it was trained on another space.
        """
        if not cls.belongs(arrays, space):
            raise InvalidValueError("this model was trained on another space; give it the space of its run")
        given = json.loads(str(arrays["options"]))
        options = Options(**{**given, "hidden": tuple(given["hidden"])})
        trained = fixed if "known" in arrays else None
        model = cls(space, arrays["scale"].shape[1], options, torch.Generator(), trained)
        if fixed and trained is None:
            model.within = environment_of(options.environment, space, fixed)
        model.scale, model.unit = arrays["scale"], float(arrays["unit"])
        own = {key: torch.from_numpy(np.array(arrays[f"policy.{key}"])) for key in model.policy.state_dict()}
        model.policy.load_state_dict(own)
        return model

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `of` makes an equal model from: arrays only."""
        weights = {f"policy.{key}": value.cpu().numpy().copy() for key, value in self.policy.state_dict().items()}
        options = np.array(json.dumps(asdict(self.options)))
        own = {"scale": self.scale, "unit": np.array(self.unit), "options": options}
        return weights | own | {"space": np.array(_written(self.environment.space))}

    @staticmethod
    def belongs(arrays: Mapping[str, NDArray[Any]], space: Space) -> bool:
        """Were these arrays left by a model of this space?"""
        return str(arrays["space"]) == _written(space)

    def likeliest(
        self, n: int, weights: Sequence[float], generator: torch.Generator, wanted: int = 0,
        admits: Callable[[Array], Mask] | None = None,
    ) -> Array:  # fmt: skip
        """Different points for a preference, the most probable first, shape (about `wanted`, or fewer, d).

        Args:
            n: How many are drawn.
            weights: Of the objectives.
            generator: Source of randomness.
            wanted: How many are needed; where draws are too few, as those of a policy that goes for one point are, or
                come from a part of what it was trained on, small changes of the best are looked at as well.
            admits: Which encoded points may be proposed; None: all.
        """
        condition = self.conditioning.at(weights, n).encoding
        ends = torch.unique(self.policy.sample(n, generator, condition=condition, within=self.within).ends, dim=0)
        given = None if condition is None else condition[0]
        return likeliest(self.policy, self.within, ends, generator, wanted, admits, condition=given)

    def sample(self, n: int, generator: torch.Generator, weights: Sequence[float] | None = None) -> Array:
        """Encoded points, shape (n, d), for a preference among the objectives; drawn ones if None is given.

        Fewer than n where known constraints, which masks could not keep, admit too few of what is sampled.
        """
        given = None
        if self.answers:
            drawn = self.conditioning.draw(-(-n // _GROUP) * _GROUP, generator)
            whole = self.conditioning.at(weights, n) if weights is not None else drawn
            assert whole.encoding is not None
            given = whole.encoding[:n]
        elif weights is not None and self.m > 1:
            raise InvalidValueError("a model of an order knows no preference; leave the weights out")
        found: list[Tensor] = []
        for _ in range(_TRIES):
            ends = self.policy.sample(n, generator, condition=given, within=self.within).ends
            found.append(ends[torch.from_numpy(self.within.admits(ends)).to(ends.device)])
            if sum(map(len, found)) >= n:
                break
        return self.within.encoded(torch.cat(found)[:n])

    def rewards(self, Y: Array, excess: Array | None = None) -> Tensor:
        """Utilities (n, m), and excess over limits (n,), as what the training takes for rewards."""
        over = np.zeros(len(Y)) if excess is None else excess
        if self.options.reward == "values" and not self.options.order:
            unit = self.scale[1]
            return torch.from_numpy(np.where(np.isnan(Y) | (over[:, None] > 0), 0.0, np.maximum(Y, 0.0) / unit))
        Z = (Y - self.scale[0]) / np.nan_to_num(self.scale[1], nan=1.0)
        worst, Z = (_WORST - 1.0, _bounded(Z)) if self.options.order else (_WORST, np.maximum(Z, _WORST))
        Z = np.where(np.isnan(Z), worst, Z)
        lowered = worst * (1.0 + np.minimum(over, 1.0 / _TINY) / (self.unit + over.clip(max=1.0 / _TINY)))
        return torch.from_numpy(np.where(over[:, None] > 0, lowered[:, None], Z))

    def rescale(self, Y: Array) -> None:
        """Read from utilities (n, m) of spread points what becomes 0, the median, and what 1, the best."""
        told = Y[~np.isnan(Y).any(1)]
        if not len(told):
            return
        middle, best, worst = np.median(told, axis=0), told.max(axis=0), told.min(axis=0)
        if self.options.reward == "values" and not self.options.order:
            largest = best.max()  # one unit for all objectives: their sum is a reward
            self.scale = np.stack([np.zeros(self.m), np.full(self.m, largest if largest > 0 else 1.0)])
            return
        unit = np.where(best > middle, best - middle, middle - worst)
        self.scale = np.stack([middle, np.where(unit > 0, unit, np.nan)])

    def settle(self, Y: Array) -> None:
        """Where nothing has differed so far, take the unit from the first values (n, m) that do."""
        if not np.isnan(self.scale[1]).any() or not len(Y):
            return
        gaps = np.nan_to_num(Y - self.scale[0])
        best, most = gaps.max(axis=0), np.abs(gaps).max(axis=0)
        unit = np.where(best > 0, best, most)
        fresh = np.isnan(self.scale[1]) & (unit > 0)
        self.scale = np.stack([self.scale[0], np.where(fresh, unit, self.scale[1])])

    def log_reward(self, outcomes: tuple[Array, Array], weights: Sequence[float] | None = None) -> Tensor:
        """log R (n,) of utilities (n, m) and excess (n,) for one preference; equal weights if none is given."""
        m = self.conditioning.objectives
        given = self.conditioning.at(weights or [1.0] * m, len(outcomes[0]))
        return self.conditioning.log_reward(self.rewards(*outcomes), given).clamp(min=self.options.settings(m, 1).least)


def _bounded(Z: Array) -> Array:
    """Scaled utilities; those below `_WORST` are drawn together within 1 below it, in their order and none equal."""
    below = np.log1p(np.maximum(_WORST - Z, 0.0))
    return np.where(Z < _WORST, _WORST - below / (1.0 + below), Z)


def likeliest(
    policy: Policy, within: SpaceGrid | SpaceEnvironment, ends: Tensor, generator: torch.Generator, wanted: int,
    admits: Callable[[Array], Mask] | None = None, *, condition: Tensor | None = None,
) -> Array:  # fmt: skip
    """Points by how probable they are under a policy, the most probable first, encoded, (about `wanted`, or fewer, d).

    Args:
        policy: Trained.
        within: The environment, or the part of it that the ends were drawn in.
        ends: Different ones that were drawn, shape (n, D).
        generator: Source of randomness, on the device of the policy.
        wanted: How many are needed; see `Model.likeliest`.
        admits: Which encoded points may be proposed; None: all.
        condition: Of the policy, shape (C,).
    """

    def probable(X: Array) -> Array:
        return log_probability(policy, within.states(X).to(policy.device), generator, condition).cpu().numpy()

    pool = Pool(within, probable, admits or (lambda X: np.ones(len(X), dtype=bool)))
    known = pool(ends)
    found = pool.best(max(wanted, len(ends)))
    if len(found) < wanted or within is not policy.environment:
        top = ends.cpu()[np.argsort(-known, kind="stable")[:_STARTS]]
        seed = int(torch.randint(2**62, (1,), generator=generator, device=policy.device))
        climb(within.children, pool, top, torch.Generator().manual_seed(seed))  # of children, on the CPU
        found = pool.best(max(wanted, len(ends)))
    return found


class Run:
    """A training run over a space, from its beginning or from a checkpoint.

    Args:
        space: What is searched.
        evaluate: The function.
        evaluations: How many there may be.
        rng: Source of the seed.
        options: How it trains.
        state: What `state_dict` returned; None: begin.
        device: In torch; None: the CPU.

    Attributes:
        model: What is trained.
        loss, log_rewards: Of each step: the loss, and quantiles of log R (least, median, greatest).
    """

    def __init__(
        self, space: Space, evaluate: Evaluate, evaluations: int, rng: np.random.Generator,
        options: Options, state: Mapping[str, NDArray[np.generic]] | None = None, device: str | None = None,
    ) -> None:  # fmt: skip
        self._space, self._evaluate, self._evaluations = space, evaluate, evaluations
        self._generator = torch.Generator(device or "cpu").manual_seed(int(rng.integers(2**63)))
        looked = min(2 * _SAMPLES, int(_LOOKED * evaluations))
        self._first = max(16, min(_FIRST, int(_SHARE * evaluations)))
        seed = int(rng.integers(2**31))
        X = None if state is not None else space.sobol(self._first, seed)
        begun = None if X is None else evaluate(X)
        m = begun.utility.shape[1] if begun is not None else np.shape(_part(state, "scale"))[1]
        self.model = Model(space, m, options, self._generator)
        self._preferences = lattice(m, _DIVISIONS.get(m, 2)) if self.model.answers else np.empty((0, m))
        self._each = min(_EACH, int(_LOOKED * evaluations) // max(1, len(self._preferences)))
        self._looked = looked + self._each * len(self._preferences)
        if state is None and self._first + options.batch > evaluations - self._looked:
            enough = int((10 * options.batch + self._first + self._looked) / (1 - 3 * _LOOKED))
            raise InvalidValueError(
                f"{evaluations} evaluations, beside those that stay as trials, leave none to train on: {self._first} "
                f"are spread evenly, {self._looked} look at what was learnt, and a step takes batch={options.batch}. "
                f"Give {enough}, ten steps, or many more"
            )
        each = round(options.batch * (1.0 - options.replayed))
        settings = options.settings(m, (evaluations - self._first - self._looked) // each)
        self.archive = Archive()
        self.trainer = Trainer(
            self.model.policy, self._rewards, settings, self._generator, conditioning=self.model.conditioning,
            archive=self.archive, breed=self.model.environment.children,
        )  # fmt: skip
        self.loss: list[float] = []
        self.log_rewards: list[tuple[float, float, float]] = []
        self.negative = 0  # values below 0 that were taken for rewards of 0
        if begun is not None and X is not None:
            self._begin(X, begun)
        else:
            self._go_on(state)

    @property
    def calls(self) -> int:
        """Evaluations so far."""
        return self.trainer.calls

    def step(self) -> bool:
        """One step of training, if there are evaluations left for one and something to learn; whether there was."""
        if self.calls + self.trainer.settings.batch > self._evaluations - self._looked or self._settled():
            return False
        done = self.trainer.step()
        self.loss.append(done.loss)
        log_reward = done.log_reward
        self.log_rewards.append((float(log_reward.min()), float(log_reward.median()), float(log_reward.max())))
        return True

    def trust(self) -> Trust:
        """How far the policy may be trusted, for equal weights; by what is left of the evaluations."""
        model, condition, graph = self.model, None, None
        if model.answers:
            condition = model.conditioning.at([1.0] * model.m, 1).encoding
            assert condition is not None
            condition = condition[0]
        left = self._evaluations - self.calls - self._each * len(self._preferences)
        size = self._space.size()
        if model.environment.exact and size is not None and size <= min(_COUNTED, left // 2):
            graph = enumerate_states(model.environment)
            left -= len(graph.ends)
        samples = max(2, min(_SAMPLES, left // (2 if graph is None else 1)))
        if model.options.order:
            return trust_in_order(
                model.policy, lambda states: model.rewards(*self._values(states)), self._generator, graph=graph,
                samples=samples,
            )  # fmt: skip

        def log_rewards(states: Tensor) -> Tensor:
            return model.log_reward(self._values(states))

        return trust(model.policy, log_rewards, self._generator, graph=graph, condition=condition, samples=samples)

    def answers(self) -> tuple[Array, Array]:
        """What the model samples for preferences all over the simplex: weights (P, m) and utilities (P, s, m).

        NaN where there is no value; no preference where the model knows none.
        """
        Y = np.full((len(self._preferences), self._each, self.model.m), np.nan)
        for i, w in enumerate(self._preferences):
            X = self.model.sample(self._each, self._generator, w.tolist())
            if len(X):
                self.trainer.calls += len(X)
                Y[i, : len(X)] = self._evaluate(X).utility
        return self._preferences, Y

    def state_dict(self) -> dict[str, NDArray[np.generic]]:
        """What a later process goes on from: arrays only."""
        return {
            **self.trainer.state_dict(), **self.model.arrays(),
            "loss": np.array(self.loss), "log_rewards": np.array(self.log_rewards).reshape(-1, 3),
        }  # fmt: skip

    def trace(self) -> dict[str, NDArray[np.generic]]:
        """What was seen on the way, how far the policy may be trusted, and what it gives for preferences, for figures.

        What is left of the evaluations is spent on it.
        """
        seen, (preferences, answers) = self.trust(), self.answers()
        numbers = {key: value for key, value in vars(seen).items() if isinstance(value, float)}
        return {
            "log_p": seen.log_p.numpy(), "log_target": seen.log_target.numpy(),
            "preferences": preferences, "answers": answers,
            "loss": np.array(self.loss), "log_rewards": np.array(self.log_rewards).reshape(-1, 3),
            "quantiles": np.array(seen.quantiles), "level": np.array(seen.level),
            "reasons": np.array(seen.reasons, dtype=str),
        } | {f"trust.{key}": np.array(value) for key, value in numbers.items()}  # fmt: skip

    def _settled(self) -> bool:
        if self.model.options.order or len(self.loss) < _LAST:
            return False
        return float(np.mean(self.loss[-_LAST:])) < _SETTLED

    def _begin(self, X: Array, begun: Outcomes) -> None:
        model = self.model
        model.rescale(begun.utility)
        told = begun.utility[~np.isnan(begun.utility).any(1)]
        if model.options.reward == "values" and len(told) and told.min() < 0:
            raise InvalidValueError(
                f"reward='values' takes values for rewards, larger for better and >= 0; the least of the first points "
                f"is {told.min():g} (minimised values, and misses of a target, count with their sign turned). Use "
                "reward='scaled'"
            )
        beyond = begun.excess[(begun.excess > 0) & np.isfinite(begun.excess)]
        model.unit = float(np.median(beyond)) if len(beyond) else 1.0
        self.archive.add(model.environment.states(X), model.rewards(begun.utility, begun.excess))
        self.trainer.calls = len(X)

    def _go_on(self, state: Mapping[str, NDArray[np.generic]] | None) -> None:
        assert state is not None
        own = {name: _part(state, name) for name in ("scale", "unit", "loss", "log_rewards")}
        self.model.scale, self.model.unit = own["scale"], float(own["unit"])
        self.loss = own["loss"].tolist()
        self.log_rewards = [(low, middle, high) for low, middle, high in own["log_rewards"].tolist()]
        self.trainer.load_state_dict(
            {k: _part(state, k) for k in state if k not in own and k not in ("options", "space")}
        )

    def _rewards(self, states: Tensor) -> Tensor:
        outcomes = self._outcomes(states)
        return self.model.rewards(*outcomes)

    def _values(self, states: Tensor) -> tuple[Array, Array]:
        self.trainer.calls += len(states)
        return self._outcomes(states)

    def _outcomes(self, states: Tensor) -> tuple[Array, Array]:
        """Utilities (n, m) of whole states, NaN where a known constraint is broken, and excess over limits (n,)."""
        fine = self.model.environment.admits(states)
        Y, excess = np.full((len(states), self.model.m), np.nan), np.zeros(len(states))
        if fine.any():
            X = self.model.environment.encoded(states[torch.from_numpy(fine).to(states.device)])
            found = self._evaluate(X)
            Y[fine], excess[fine] = found.utility, found.excess
        self.model.settle(Y)
        self.negative += int((Y < 0).any(1).sum())
        return Y, excess


def load_model(space: Space, data: bytes) -> Model:
    """The model of a run, from the attachment `run-gflownet.npz` that it left with its study.

    Args:
        space: Of that study.
        data: `study.files.get("run-gflownet.npz")`.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        arrays = {name.removeprefix("sampler."): held[name] for name in held.files if name.startswith("sampler.")}
    return Model.of(space, arrays)


def _written(space: Space) -> str:
    return json.dumps(space.to_json(), sort_keys=True)


def _part(state: Mapping[str, NDArray[np.generic]] | None, name: str) -> Array:
    assert state is not None
    found: Array = np.array(state[name])
    return found
