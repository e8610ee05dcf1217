"""A swarm on a cheap function: runs that restart with twice the particles, and what was seen on the way.

Symbols: N particles, k latent columns, m objectives, energies are minimised; M = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from workbench.errors import UnsupportedError
from workbench.pareto import extent
from workbench.samplers.batch import Milestone
from workbench.samplers.consensus.dynamics import (
    Dynamics,
    Swarm,
    chebyshev,
    consensus,
    effective_size,
    implied_gradient,
    log_weights,
    moved,
)
from workbench.samplers.consensus.ending import Ending
from workbench.samplers.consensus.sets import simplex_projection
from workbench.samplers.consensus.swarming import Batching, Kick, Rules, Schedule, State, Stop, measures, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.samplers.batch import Outcomes
    from workbench.samplers.consensus.latent import Latent

    Array = NDArray[np.float64]
    Stored = Mapping[str, NDArray[np.generic]]

_FEWEST, _EACH = 50, 4  # particles, and for each latent column
_LARGEST, _STEPS = 2000, 2000  # particles at most, and steps for which the first swarm should have evaluations
_COLLAPSED = 1e-7  # spread at which a swarm has nothing left to find
_IDLE = 400  # steps without a better value
_PACE = 10  # steps between milestones
_FRAMES, _SHOWN = 60, 100  # of a trace: steps, and particles that are kept
_NUMBERS_SHOWN = 20_000  # of a frame at most: fewer particles in many columns
_ALPHA, _TAU = 1e5, 0.1  # of several objectives: alpha, and how fast weights are pushed apart
_OVER = 1e300  # what exceeds a limit, by how much aside: more than any value, which may have any unit
_FAR = 1e9  # the same in shares of a front


def run_batches(
    latent: Latent, evaluate: Callable[[Array], Outcomes], evaluations: int, rng: np.random.Generator,
    stored: Stored | None, dynamics: Dynamics, contraction: float, options: Mapping[str, Any],
) -> Iterator[Milestone]:  # fmt: skip
    """As `BatchSampler.run`, by dynamics whose spread changes by a factor of e^contraction a step."""
    loop = _Loop(latent, evaluate, evaluations, int(rng.integers(2**62)), dynamics, contraction, options)
    yield from loop.go(stored)


class _Loop:
    def __init__(
        self, latent: Latent, evaluate: Callable[[Array], Outcomes], evaluations: int, seed: int, dynamics: Dynamics,
        contraction: float, options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._latent, self._evaluate, self._most, self._seed = latent, evaluate, evaluations, seed
        self._options = options
        self._dynamics, self._contraction = dynamics, contraction
        self._ending = Ending.of(options["stop"])
        self.spent, self._swarm = 0, 0
        self._steps, self._before = 0, 0  # of the swarm, and of those before it
        self._frames: list[tuple[NDArray[Any], ...]] = []
        self._every = 1
        self._generator = torch.Generator()
        self._m, self._limited, self._sense = 0, False, 1.0  # of the goals; not known yet
        self._ended = ""

    def go(self, stored: Stored | None) -> Iterator[Milestone]:
        """All swarms."""
        state: State | None = None
        front: Front | None = None
        if stored is not None:
            if absent := {*_LOOP, *_TRACED, "generator"} - stored.keys():
                raise UnsupportedError(
                    f"the checkpoint of this run was written by another version (it has no {min(absent)}); begin a new "
                    "study, and attach the best trials of this one to it"
                )
            self.spent, self._swarm, self._m = (int(stored[name]) for name in ("spent", "swarm", "m"))
            self._before, self._every = int(stored["before"]), int(stored["every"])
            self._limited, self._sense = bool(stored["limited"]), float(stored["sense"])
            self._frames = list(zip(*(np.array(stored[name]) for name in _TRACED), strict=True))
            self._generator.set_state(torch.as_tensor(np.array(stored["generator"], dtype=np.uint8)))
            if self._m == 1:
                state = _single_restored(stored)
            else:
                front = Front.restored(stored)
        if self._m == 0:  # one point tells
            seen = self._outcomes(self._start(1))
            self._m, self._limited, self._sense = seen.utility.shape[1], seen.limited, seen.sense
        while True:
            N, begins = self._particles(), state is None and front is None
            if state is not None:  # which may have begun with other evaluations in mind
                N = state.swarm.X.shape[1]
            elif front is not None:
                N = front.X.shape[1]
            if self.spent + (N if begins else self._cost(N)) > self._most:
                return
            if begins:
                self._generator.manual_seed((self._seed + self._swarm) % 2**63)
                self._frames, self._every = [], 1
            yield from self._single(N, state) if self._m == 1 else self._several(N, front)
            if self._ended:
                return
            self._swarm, self._before = self._swarm + 1, self._before + self._steps
            state = front = None

    def _cost(self, N: int) -> int:
        """Evaluations of a step."""
        return int(min(self._options["batch"] or N, N))

    def _particles(self) -> int:
        affordable = min(_EACH * self._latent.width, self._most // _STEPS)
        first = self._options["particles"] or max(_FEWEST, affordable)
        return int(min(first * 2**self._swarm, max(_LARGEST, first)))

    def _start(self, N: int) -> Tensor:
        X = self._latent.space.sobol(N, (self._seed + 7 * self._swarm) % 2**31)
        return self._latent.kept(torch.as_tensor(self._latent.of(X)))[None]

    def _outcomes(self, Z: Tensor) -> Outcomes:
        """Of positions (1, N, k); what known constraints shut is not evaluated, and counts as failed."""
        from workbench.samplers.batch import Outcomes

        X = self._latent.raw(Z[0].numpy())
        space = self._latent.space
        if not space.constrained:
            self.spent += len(X)
            return self._evaluate(X)
        there = space.feasible(X)
        self.spent += int(there.sum())
        found = self._evaluate(X[there])
        U, excess = np.full((len(X), found.utility.shape[1]), np.nan), np.full(len(X), np.inf)
        U[there], excess[there] = found.utility, found.excess
        return Outcomes(U, excess, found.limited, found.sense)

    # -- one objective ----------------------------------------------------------------------------

    def _single(self, N: int, state: State | None) -> Iterator[Milestone]:
        """One consensus; by ranks where there are limits, as an excess and a value have no scale in common."""

        def energies(Z: Tensor) -> Tensor:
            seen = self._outcomes(Z)
            return torch.as_tensor(np.where(seen.excess > 0, _over(seen.excess), -seen.utility[:, 0]))[None]

        rules = self._rules(N)
        gradient = not self._limited and self._options["kernel"] is None  # of ranks and of many consensus points, none
        X = self._start(N) if state is None else state.swarm.X
        found: State | None = state
        if state is not None and self._over(state, rules):  # by a rule that is new, or held at the end already
            yield self._said(state)
            return
        fresh = state is None
        for found in run(energies, X, rules, self._generator, state=state):
            if fresh or found.step % self._every == 0:
                alpha = float(found.alpha[0]) if gradient else 0.0
                self._seen(found.step, found.c, float(found.size[0]), found.swarm.X, alpha)
                fresh = False
            over = self.spent + self._cost(N) > self._most or self._over(found, rules)
            if over or found.step % _PACE == 0:
                yield self._said(found)
            if over:
                return
        if found is not None:
            self._steps = found.step
            yield self._said(found)

    def _rules(self, N: int) -> Rules:
        options, own = self._options, self._ending.of_a_swarm
        patient = options["patience"]
        stop = Stop(spread=_COLLAPSED, stagnation=_IDLE * math.ceil(N / self._cost(N)))
        if own:
            stop = Stop(**{**own, "window": self._ending.window})  # type: ignore[arg-type]
        return Rules(
            self._dynamics, Schedule(share=options["share"], cooling=options["cooling"]), stop,
            batching=Batching(self._cost(N)) if self._cost(N) < N else None,
            kick=None if patient is None else Kick(patient, options["kick"]), retract=self._latent.retracted,
            kappa=math.inf if options["kernel"] is None else options["kernel"], ranked=self._limited,
        )  # fmt: skip

    def _over(self, state: State, rules: Rules) -> bool:
        """Does a rule that was named end the run?"""
        if self._ending.rules:
            seen = {name: float(held[0]) for name, held in measures(state, rules.stop).items()}
            seen["value"] = -self._sense * float(state.least[0])
            self._end(seen, state.step)
        return bool(self._ended)

    def _end(self, seen: dict[str, float], step: int) -> None:
        seen["steps"] = self._before + step
        seen["horizon"] = seen["steps"] * self._dynamics.dt
        self._ended = self._ending.reason(seen, self._sense)

    def _milestone(self, arrays: Stored, step: int, size: int, spread: float) -> Milestone:
        """Where the swarm stands, with what all swarms share."""
        stored: dict[str, NDArray[np.generic]] = {
            **arrays, "spent": np.array(self.spent), "swarm": np.array(self._swarm), "m": np.array(self._m),
            "before": np.array(self._before), "every": np.array(self._every), "limited": np.array(self._limited),
            "sense": np.array(self._sense), "generator": self._generator.get_state().numpy(),
        }  # fmt: skip
        traced = {name: np.array(part) for name, part in zip(_TRACED, zip(*self._frames, strict=True), strict=True)}
        note = f"swarm {self._swarm + 1} of {size} particles, step {step}, spread {spread:.2g}"
        trace = {name.removeprefix("trace."): part for name, part in traced.items()} | {
            "columns": np.array(self._latent.columns), "contraction": np.array(self._contraction)
        }  # fmt: skip
        return Milestone(self.spent, stored | traced, note, trace, ended=self._ended)

    def _said(self, state: State) -> Milestone:
        return self._milestone(_single_stored(state), state.step, state.swarm.X.shape[1], float(state.spread[0]))

    # -- several objectives -----------------------------------------------------------------------

    def _several(self, N: int, front: Front | None) -> Iterator[Milestone]:
        """Every particle with weights of its own, which are pushed apart where values crowd (2208.01362)."""
        if front is None:
            X = self._start(N)
            front = Front.at(X, self._losses(X), self._weights(N))
        while True:
            dynamics = self._cooled(front.step)
            batch = self._drawn(N, front.step)
            places, G = (front.Y, front.H) if dynamics.remembers else (front.X, front.G)
            energies = front.energies(G)
            if batch is not None:
                energies = torch.where(batch[:, None], energies, torch.inf)
            logits = log_weights(energies, _ALPHA)
            c = consensus(places, logits)
            spread = float((front.X - c).norm(dim=-1).max())
            noted = bool(self._frames) and self._frames[-1][0] == front.step  # before an interruption
            if front.step % self._every == 0 and not noted:
                self._seen(front.step, c, float(effective_size(logits).mean()), front.X)
            self._end({"spread": spread, "movement": front.movement}, front.step)
            over = self.spent + self._cost(N) > self._most or bool(self._ended)
            if over or front.step % _PACE == 0:
                yield self._milestone(front.stored(), front.step, N, spread)
            if over:
                return
            front = self._advanced(front, c, dynamics, batch)

    def _cooled(self, step: int) -> Dynamics:
        return replace(self._dynamics, noise=self._dynamics.noise * self._options["cooling"] ** step)

    def _drawn(self, N: int, step: int) -> Tensor | None:
        """Which particles are of the random batch of a step, shape (1, N); None where all are."""
        if self._cost(N) == N:
            return None
        order = np.random.default_rng([self._seed, self._swarm, step]).permutation(N)
        return torch.as_tensor(order < self._cost(N))[None]

    def _advanced(self, front: Front, c: Tensor, dynamics: Dynamics, batch: Tensor | None) -> Front:
        """A front after a step, of a batch alone where there is one."""

        def normals() -> Tensor:
            return torch.randn(front.X.shape, generator=self._generator, dtype=front.X.dtype)

        own = torch.zeros(front.X.shape[:2], dtype=front.X.dtype)  # a step looks at places alone
        swarm, first = Swarm(front.X, own, front.Y, own, front.V), normals()
        free, V = moved(swarm, c, dynamics, first, normals() if dynamics.memory_noise else None)
        X = self._latent.retracted(front.X, free - front.X, dynamics.dt)
        if dynamics.inertia:  # a wall turns the velocity too
            V = V + (X - free) / dynamics.dt
        if batch is None:
            G = self._losses(X)
        else:
            X, V = (torch.where(batch[..., None], new, old) for new, old in ((X, front.X), (V, front.V)))
            G = front.G.clone()
            G[batch] = self._losses(X[batch][None])[0]
        return front.seen(X, V, G, _TAU * dynamics.dt)

    def _weights(self, N: int) -> Tensor:
        """Evenly spread over the simplex, shape (1, N, m)."""
        from scipy.stats import qmc

        u = qmc.Sobol(self._m - 1, scramble=True, rng=self._seed % 2**31).random(2 ** math.ceil(math.log2(N)))[:N]
        cuts = np.sort(u, axis=1)
        edges = np.concatenate([np.zeros((N, 1)), cuts, np.ones((N, 1))], axis=1)
        return torch.as_tensor(np.diff(edges, axis=1))[None]

    def _losses(self, Z: Tensor) -> Tensor:
        """Objectives to be minimised at positions, shape (1, N, m); what exceeds a limit is worse than all else."""
        seen = self._outcomes(Z)
        F = np.where(np.isnan(seen.utility), np.inf, -seen.utility)
        return torch.as_tensor(np.where((seen.excess > 0)[:, None], _over(seen.excess)[:, None], F))[None]

    # -- what was seen on the way -------------------------------------------------------------------

    def _seen(self, step: int, c: Tensor, size: float, X: Tensor, alpha: float = 0.0) -> None:
        """Note a frame; the implied gradient is that of the hop from the mean of the particles to their consensus."""
        tau = alpha * float(X[0].var(dim=0, correction=0).mean())
        gradient = float(implied_gradient(X.mean(dim=1), c[:, 0], tau).norm()) if tau > 0 else math.nan
        spread = float((X - c).norm(dim=-1).max())
        shown = min(_SHOWN, max(10, _NUMBERS_SHOWN // X.shape[-1]))
        parts = (step, spread, size, gradient, c[0].mean(dim=0).numpy(), X[0, :shown].numpy())
        self._frames.append(tuple(np.array(part) for part in parts))
        if len(self._frames) > 2 * _FRAMES:  # half as often from now on
            self._frames, self._every = self._frames[::2], 2 * self._every


def _over(excess: Array) -> Array:
    """Of what exceeds limits by so much: above all values, and in the order of the excess, from `_OVER` to twice it."""
    return np.asarray(_OVER * (2.0 - 1.0 / (1.0 + excess)))


_LOOP = ("spent", "swarm", "m", "before", "every", "limited", "sense")  # numbers of a loop
_TRACED = ("trace.step", "trace.spread", "trace.size", "trace.gradient", "trace.consensus", "trace.particles")
_SINGLE = (
    "dual", "alpha", "c", "logits", "best", "least", "since", "running", "first", "movement",
)  # tensors of a state # fmt: skip
_WINDOWS = ("trail", "lows")  # several tensors each
_PLACES = ("X", "e", "Y", "f", "V")  # and of its swarm
_NUMBERS = ("sigma", "step", "evaluations")


def _single_stored(state: State) -> dict[str, NDArray[np.generic]]:
    """A state of one objective as arrays."""
    stored = {name: getattr(state, name).numpy() for name in _SINGLE}
    stored |= {name: getattr(state.swarm, name).numpy() for name in _PLACES}
    stored |= {name: np.array([one.numpy() for one in getattr(state, name)]) for name in _WINDOWS}
    return stored | {name: np.array(getattr(state, name)) for name in _NUMBERS}


def _single_restored(stored: Stored) -> State:
    part: dict[str, Any] = {name: torch.as_tensor(np.array(stored[name])) for name in _SINGLE}
    part |= {name: tuple(torch.as_tensor(one) for one in np.array(stored[name])) for name in _WINDOWS}
    part |= {"sigma": float(stored["sigma"]), "step": int(stored["step"]), "evaluations": int(stored["evaluations"])}
    return State(Swarm(*(torch.as_tensor(np.array(stored[name])) for name in _PLACES)), **part)


@dataclass(frozen=True)
class Front:
    """A swarm of several objectives, where every particle goes to the best point for weights of its own.

    Args:
        X, G: Positions and their losses, shapes (1, N, k) and (1, N, m).
        Y, H: Each particle's best position by its own weights, and its losses; the same shapes.
        w: Weights, on the simplex, shape (1, N, m).
        V: Velocities, shape (1, N, k).
        step: Steps taken.
        movement: Mean length of the particles' last step; infinite before the first.
    """

    X: Tensor
    G: Tensor
    Y: Tensor
    H: Tensor
    w: Tensor
    V: Tensor
    step: int
    movement: float

    @classmethod
    def at(cls, X: Tensor, G: Tensor, w: Tensor) -> Front:
        """One that begins at X with losses G and weights w."""
        return cls(X, G, X, G, w, torch.zeros_like(X), 0, math.inf)

    def energies(self, G: Tensor) -> Tensor:
        """What every particle makes of losses G (1, n, m), scaled by those of the swarm, shape (1, N, n)."""
        return chebyshev(_scaled(G, self.G), self.w, torch.zeros(1, G.shape[-1], dtype=G.dtype))

    def seen(self, X: Tensor, V: Tensor, G: Tensor, rate: float) -> Front:
        """The swarm after it has moved to X by V and has seen losses G there, its weights pushed apart at a rate."""
        new = replace(self, X=X, G=G)
        now, before = (new.energies(losses).diagonal(dim1=-2, dim2=-1) for losses in (G, self.H))
        better = (now < before)[..., None]
        return replace(
            new, Y=torch.where(better, X, self.Y), H=torch.where(better, G, self.H),
            w=pushed_apart(self.w, _scaled(G, G), rate), V=V, step=self.step + 1,
            movement=float((X - self.X).norm(dim=-1).mean()),
        )  # fmt: skip

    def stored(self) -> dict[str, NDArray[np.generic]]:
        """As arrays."""
        numbers = {name: np.array(getattr(self, name)) for name in ("step", "movement")}
        return {name: getattr(self, name).numpy() for name in "XGYHwV"} | numbers

    @classmethod
    def restored(cls, stored: Stored) -> Front:
        """Of arrays."""
        part: dict[str, Tensor] = {name: torch.as_tensor(np.array(stored[name])) for name in "XGYHwV"}
        return cls(**part, step=int(stored["step"]), movement=float(stored["movement"]))


def _scaled(G: Tensor, by: Tensor) -> Tensor:
    """Losses (1, n, m) as shares of the way from the ideal to the nadir of the front of others (1, N, m), 0 at least.

    What exceeds a limit lies far behind, by how much it does, and what failed behind that.
    """
    far = _FAR * torch.where(torch.isinf(G), 3.0, G / _OVER)
    F = by[0].numpy()
    there = (F < _OVER).all(axis=1)
    if not there.any():
        return torch.where(G >= _OVER, far, torch.zeros_like(G))
    nadir, ideal = extent(-F[there])
    reach = np.ptp(F[there], axis=0)  # of a front of one point nothing is known
    span = np.where(ideal > nadir, ideal - nadir, np.where(reach > 0, reach, 1.0))
    shares = (G + torch.as_tensor(ideal)) / torch.as_tensor(span)
    return torch.where(G >= _OVER, far, shares.clamp(0.0, _FAR))


def pushed_apart(w: Tensor, G: Tensor, rate: float) -> Tensor:
    """Weights (M, N, m) after a push of each away from where values G (M, N, m) crowd, back on the simplex.

    The force on the values of a particle is the mean of (g_i - g_j) / |g_i - g_j|^(m + 1) over the others (Riesz); to
    move values that way, a weight has to fall where its value should grow.
    """
    m = G.shape[-1]
    gaps = torch.cdist(G, G).clamp_min(1e-3)
    pull = gaps.pow(-(m + 1.0))
    pull = torch.where(torch.isfinite(pull), pull, 0.0)
    pull = pull - torch.diag_embed(pull.diagonal(dim1=-2, dim2=-1))
    G = torch.where(torch.isfinite(G), G, 0.0)  # which has no pull: it would be 0 times infinity
    force = (pull.sum(-1, keepdim=True) * G - pull @ G) / G.shape[1]
    force = torch.nan_to_num(force, 0.0, 0.0, 0.0)
    size = force.norm(dim=-1, keepdim=True)
    force = force / torch.where(size > 1.0, size, 1.0)
    return simplex_projection().primal(w - rate * force).clamp_min(1e-4)
