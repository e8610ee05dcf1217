"""M swarms at once on a function of positions: schedules, random batches, restarts, and when to stop.

Symbols: as of `dynamics`; b particles of a batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from workbench.errors import UnsupportedError
from workbench.samplers.consensus.dynamics import (
    Dynamics,
    Swarm,
    alpha_for,
    consensus,
    effective_size,
    log_weights,
    moved,
    polarised,
    ranks,
    sampled,
)
from workbench.samplers.consensus.sets import Mirror
from workbench.samplers.consensus.stability import check_stable

_LOOK = 16  # steps after which it is asked whether any run goes on; runs that have stopped stay as they are
Function = Callable[[Tensor], Tensor]
Retraction = Callable[[Tensor, Tensor, float], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How alpha and sigma go on.

    Args:
        alpha: At the first step; None for the one at which the effective size is `share` of the particles.
        growth: Factor of alpha a step.
        largest: alpha does not grow beyond it; with `alpha=None` not beyond so many times the first one.
        share: Of the particles, for `alpha=None` and for `adaptive`.
        adaptive: Solve alpha for the effective size at every step.
        cooling: Factor of sigma a step.
    """

    alpha: float | None = None
    growth: float = 1.05
    largest: float = 1e15
    share: float = 0.5
    adaptive: bool = False
    cooling: float = 1.0

    def most(self, first: Tensor) -> Tensor:
        """What alpha does not grow beyond, for runs that began with those, shape (M,)."""
        if self.alpha is not None:
            return torch.full_like(first, self.largest)
        return (self.largest * first).clamp_max(torch.finfo(first.dtype).max)


@dataclass(frozen=True)
class Stop:
    """When a run ends: as soon as one of these holds for it.

    Args:
        steps: So many steps.
        evaluations: The next step would evaluate more than so many positions of a run.
        seconds: So long.
        horizon: steps times dt.
        value: A best value at most this.
        movement: Mean length of the particles' last step below this.
        drift: The consensus moved less than this over `window` steps.
        spread: No particle is further than this from the consensus.
        stagnation: Steps without a better best value.
        level: The least energies of the last `window` steps have a standard deviation below this.
        window: Steps.
    """

    steps: int | None = None
    evaluations: int | None = None
    seconds: float | None = None
    horizon: float | None = None
    value: float | None = None
    movement: float | None = None
    drift: float | None = None
    spread: float | None = None
    stagnation: int | None = None
    level: float | None = None
    window: int = 20

    @property
    def each(self) -> bool:
        """Can runs stop at different times?"""
        rules = (self.value, self.movement, self.drift, self.spread, self.stagnation, self.level)
        return any(rule is not None for rule in rules)


@dataclass(frozen=True)
class Batching:
    """Random batches (Jin, Li, Liu 2020): the consensus of each step is that of a batch.

    Args:
        size: Particles of a batch.
        update: "partial" moves the batch alone, "full" every particle towards the consensus of the batch.
    """

    size: int
    update: Literal["partial", "full"] = "partial"


@dataclass(frozen=True)
class Kick:
    """A restart: particles of a run that stands still get independent noise.

    Args:
        patience: Steps without a better best value.
        noise: Times sqrt(dt).
    """

    patience: int
    noise: float = 0.1


@dataclass(frozen=True)
class Rules:
    """Everything but the function and the start.

    Args:
        dynamics: How particles move.
        schedule: How alpha and sigma go on.
        stop: When runs end.
        batching: Random batches.
        kick: Restarts.
        mirror: A set to stay in.
        retract: New positions of old ones, what the step adds to them, and dt; such as by reflection at the walls of a
            box, or `sets.level_set`. None for their sum.
        kappa: Width of a kernel that polarises, at the first step; infinite for one consensus. Its square shrinks as
            alpha grows, so that a growing alpha sharpens each consensus and does not make them one.
        ranked: Weigh particles by the ranks of their energies instead of the energies, where those have no one scale.
        allow_unstable: Run a swarm that flies apart, too.
    """

    dynamics: Dynamics = field(default_factory=Dynamics)
    schedule: Schedule = field(default_factory=Schedule)
    stop: Stop = field(default_factory=lambda: Stop(steps=1000))
    batching: Batching | None = None
    kick: Kick | None = None
    mirror: Mirror | None = None
    retract: Retraction | None = None
    kappa: float = math.inf
    ranked: bool = False
    allow_unstable: bool = False


@dataclass(frozen=True)
class State:
    """All runs after a step.

    Args:
        swarm: The particles.
        dual: Dual positions (M, N, d); those of the swarm without a mirror.
        alpha: Shape (M,).
        sigma: Factor of the noise.
        c: Consensus of the last step, shape (M, 1, d) or (M, N, d).
        logits: Log-weights that it was made of, shape (M, N).
        best: Best position that was evaluated, shape (M, d), and its energy, shape (M,).
        least: See `best`.
        since: Steps since it last got better, shape (M,).
        running: Runs that go on, shape (M,).
        step: Steps taken.
        evaluations: Of a run, so far.
        first: alpha at the start, shape (M,).
        movement: Mean length of the particles' last step, shape (M,); infinite where no rule asks for it.
        trail: Consensus of the last steps, oldest first, as far as a rule asks for it.
        lows: Their least energies, shape (M,) each, the same.
    """

    swarm: Swarm
    dual: Tensor
    alpha: Tensor
    sigma: float
    c: Tensor
    logits: Tensor
    best: Tensor
    least: Tensor
    since: Tensor
    running: Tensor
    step: int
    evaluations: int
    first: Tensor
    movement: Tensor
    trail: tuple[Tensor, ...] = ()
    lows: tuple[Tensor, ...] = ()

    @property
    def size(self) -> Tensor:
        """Effective number of particles that the consensus is made of, shape (M,)."""
        return effective_size(self.logits)

    @property
    def spread(self) -> Tensor:
        """Largest distance of a particle from the consensus, shape (M,)."""
        spread: Tensor = (self.swarm.X - self.c).norm(dim=-1).amax(dim=-1)
        return spread


def begin(f: Function, X: Tensor, rules: Rules) -> State:
    """The runs at their starting positions X (M, N, d), evaluated.

    Raises:
        UnsupportedError: if the swarm would fly apart.
    """
    dynamics, N = rules.dynamics, X.shape[1]
    if dynamics.kind != "covariance" and math.isinf(dynamics.truncation) and not rules.allow_unstable:
        check_stable(
            *dynamics.pull, dynamics.dt, X.shape[2], anisotropic=dynamics.kind == "anisotropic",
            inertia=dynamics.inertia,
        )  # fmt: skip
    if rules.batching is not None and not 2 <= rules.batching.size <= N:
        raise UnsupportedError(f"a batch has from 2 to {N} particles, got {rules.batching.size}")
    dual = X
    if rules.mirror is not None:
        dual = rules.mirror.dual(X)
        X = rules.mirror.primal(dual)
    e = f(X)
    least, at = torch.where(torch.isnan(e), torch.inf, e).min(dim=1)
    alpha = rules.schedule.alpha
    weighed = ranks(e) if rules.ranked else e
    start = alpha_for(weighed, rules.schedule.share) if alpha is None else torch.full_like(least, alpha)
    logits = log_weights(weighed, start)
    c = consensus(X, logits)
    return State(
        Swarm.at(X, e), dual, start, 1.0, c, logits,
        _row(X, at), least, torch.zeros_like(at), torch.ones_like(at, dtype=torch.bool), 0, N,
        start, torch.full_like(least, math.inf), *_remembered(rules.stop, (), (), c, least),
    )  # fmt: skip


def _remembered(
    stop: Stop, trail: tuple[Tensor, ...], lows: tuple[Tensor, ...], c: Tensor, low: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """What rules over several steps look at, with a new consensus and least energy; nothing where there is no rule."""
    return (
        () if stop.drift is None else (*trail, c)[-stop.window - 1 :],
        () if stop.level is None else (*lows, low)[-stop.window :],
    )


def _row(X: Tensor, at: Tensor) -> Tensor:
    return X.gather(1, at[:, None, None].expand(-1, 1, X.shape[2]))[:, 0]


def _agreed(state: State, rules: Rules, outside: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Consensus, log-weights (M, N) and alpha (M,) of a step; who is outside a batch (M, N) has no say."""
    swarm = state.swarm
    energies, places = (swarm.f, swarm.Y) if rules.dynamics.remembers else (swarm.e, swarm.X)
    if outside is not None:
        energies = torch.where(outside, torch.inf, energies)
    if rules.ranked:
        energies = ranks(energies)
    alpha = alpha_for(energies, rules.schedule.share) if rules.schedule.adaptive else state.alpha
    logits = log_weights(energies, alpha)
    if math.isinf(rules.kappa):
        return consensus(places, logits), logits, alpha
    scale = torch.where(state.first > 0, alpha / state.first, 1.0)
    return consensus(places, polarised(places, logits, rules.kappa, scale)), logits, alpha


def advance(f: Function, state: State, rules: Rules, normals: Callable[[], Tensor], batch: Tensor | None) -> State:
    """One step of every run that goes on.

    Args:
        f: The function.
        state: Before it.
        rules: Of the runs.
        normals: Standard normals of shape (M, N, d), anew at each call.
        batch: Particles of a random batch, shape (M, b).
    """
    swarm, dynamics = state.swarm, replace(rules.dynamics, noise=rules.dynamics.noise * state.sigma)
    outside = None
    if batch is not None:
        outside = torch.ones_like(swarm.e, dtype=torch.bool).scatter(1, batch, False)
    c, logits, alpha = _agreed(state, rules, outside)
    if dynamics.kind == "covariance":
        new, V = sampled(swarm.X, logits, alpha, dynamics, normals()), swarm.V
    else:
        second = normals() if dynamics.memory_noise else None
        new, V = moved(swarm, c, dynamics, normals(), second)
    step = new - swarm.X
    if rules.kick is not None:
        still = (state.since > 0) & (state.since % rules.kick.patience == 0)
        width = rules.kick.noise * math.sqrt(dynamics.dt)
        step = step + torch.where(still[:, None, None], width * normals(), torch.zeros_like(step))
    partial = batch is not None and rules.batching is not None and rules.batching.update == "partial"
    stays = None  # which particles do not move, shape (M, N)
    if rules.stop.each:
        stays = (~state.running[:, None]).expand_as(swarm.e)
    if partial and outside is not None:
        stays = outside if stays is None else stays | outside
    dual = state.dual + step
    if rules.retract is not None:
        free, dual = dual, rules.retract(state.dual, step, dynamics.dt)
        if dynamics.inertia:  # a wall turns the velocity too
            V = V + (dual - free) / dynamics.dt
    dual = _kept(stays, state.dual, dual)
    X = dual if rules.mirror is None else rules.mirror.primal(dual)
    X = _kept(stays, swarm.X, X)
    e = _evaluated(f, X, swarm.e, batch if partial else None)
    e = _kept(stays, swarm.e, e)
    V = _kept(stays, swarm.V, V)
    swarm = replace(swarm, V=V).seen(X, e, remember=dynamics.remembers)
    low, at = torch.where(torch.isnan(e), torch.inf, e).min(dim=1)
    better = (low < state.least) & state.running
    alpha = torch.minimum(alpha * rules.schedule.growth, rules.schedule.most(state.first))
    running, movement = state.running, state.movement
    if rules.stop.movement is not None:
        movement = torch.where(running, (X - state.swarm.X).norm(dim=-1).mean(dim=-1), movement)
    if rules.stop.each:
        alpha = torch.where(running, alpha, state.alpha)
        c = torch.where(running[:, None, None], c, state.c)
        logits = torch.where(running[:, None], logits, state.logits)
    return State(
        swarm, dual, alpha, state.sigma * rules.schedule.cooling, c, logits,
        torch.where(better[:, None], _row(X, at), state.best), torch.where(better, low, state.least),
        torch.where(better, 0, state.since + running.long()), running,
        state.step + 1, state.evaluations + _cost(rules, X.shape[1], batch),
        state.first, movement, *_remembered(rules.stop, state.trail, state.lows, c, low),
    )  # fmt: skip


def measures(state: State, stop: Stop) -> dict[str, Tensor]:
    """What the rules that look at each run alone have to look at, by their names in `Stop`, shape (M,) each."""
    seen: dict[str, Tensor] = {}
    if stop.value is not None:
        seen["value"] = state.least
    if stop.spread is not None:
        seen["spread"] = state.spread
    if stop.stagnation is not None:
        seen["stagnation"] = state.since
    if stop.movement is not None:
        seen["movement"] = state.movement
    if stop.drift is not None and len(state.trail) > stop.window:
        seen["drift"] = (state.c - state.trail[0]).norm(dim=-1).amax(dim=-1)
    if stop.level is not None and len(state.lows) >= stop.window:
        seen["level"] = torch.stack(state.lows).std(dim=0, correction=0)
    return seen


def _due(name: str, seen: Tensor, stop: Stop) -> Tensor:
    """For which runs a rule holds, shape (M,)."""
    bound: float = getattr(stop, name)
    if name == "stagnation":
        return seen >= bound
    return seen <= bound if name == "value" else seen < bound


def _evaluated(f: Function, X: Tensor, e: Tensor, batch: Tensor | None) -> Tensor:
    """Energies at X (M, N, d); with a batch (M, b) of that alone, as the others have not moved and keep theirs."""
    if batch is None:
        return f(X)
    return e.scatter(1, batch, f(X.gather(1, batch[..., None].expand(-1, -1, X.shape[2]))))


def _kept(stays: Tensor | None, old: Tensor, new: Tensor) -> Tensor:
    """The old rows where particles stay, (M, N) or (M, N, d)."""
    if stays is None or new is old:
        return new
    return torch.where(stays if old.dim() == stays.dim() else stays[..., None], old, new)


def _cost(rules: Rules, N: int, batch: Tensor | None) -> int:
    return batch.shape[1] if batch is not None and rules.batching and rules.batching.update == "partial" else N


def run(
    f: Function, X: Tensor, rules: Rules, generator: torch.Generator | None = None,
    normals: Callable[[], Tensor] | None = None, state: State | None = None,
) -> Iterator[State]:  # fmt: skip
    """The runs step by step, until all have stopped.

    Args:
        f: Energies (M, N) of positions (M, N, d), to be minimised; NaN and infinity are failures.
        X: Where the particles begin.
        rules: Of the runs.
        generator: Of the noise, on the device of X.
        normals: In place of the generator's standard normals.
        state: To go on from.
    Yields:
        The state after each step, the one at the start first.
    """
    began = time.monotonic()
    tiny = torch.full((1,), 5e-324, dtype=torch.float64)
    flushes = bool((tiny * 1.0 == 0.0).item())  # already so

    def drawn() -> Tensor:
        return torch.randn(X.shape, generator=generator, dtype=X.dtype, device=X.device)

    draw = normals or drawn
    size = X.shape[1] if rules.batching is None else rules.batching.size
    batch = None
    if state is None:
        state = begin(f, X, rules)
        yield state
    while True:
        running = state.running
        for name, seen in measures(state, rules.stop).items():
            running = running & ~_due(name, seen, rules.stop)
        state = replace(state, running=running)
        looks = state.step % _LOOK == 0 and rules.stop.each  # the host asks the device now and then
        if _over(state, rules, size, began) or (looks and not bool(running.any())):
            return
        if rules.batching is not None:
            order = torch.rand(X.shape[:2], generator=generator, dtype=X.dtype, device=X.device).argsort(dim=1)
            batch = order[:, :size]
        with _flushed(flushes):
            state = advance(f, state, rules, draw, batch)
        yield state


@contextmanager
def _flushed(already: bool) -> Iterator[None]:
    """Numbers below 1e-308 as 0, on a CPU: a swarm that collapses onto 0 ends with nothing else, and they are slow."""
    if not already:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        if not already:
            torch.set_flush_denormal(False)


def _over(state: State, rules: Rules, size: int, began: float) -> bool:
    """Do the limits that are the same for all runs say so?"""
    stop, N = rules.stop, state.swarm.X.shape[1]
    cost = size if rules.batching is not None and rules.batching.update == "partial" else N
    return bool(
        (stop.steps is not None and state.step >= stop.steps)
        or (stop.horizon is not None and state.step * rules.dynamics.dt >= stop.horizon - 1e-12)
        or (stop.evaluations is not None and state.evaluations + cost > stop.evaluations)
        or (stop.seconds is not None and time.monotonic() - began >= stop.seconds)
    )
