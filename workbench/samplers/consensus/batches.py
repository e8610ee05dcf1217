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

from workbench.pareto import extent
from workbench.samplers.batch import Milestone
from workbench.samplers.consensus.dynamics import (
    Dynamics,
    Swarm,
    chebyshev,
    consensus,
    implied_gradient,
    increment,
    log_weights,
)
from workbench.samplers.consensus.sets import simplex_projection
from workbench.samplers.consensus.swarming import Rules, Schedule, State, Stop, run

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
_ALPHA, _TAU = 1e5, 0.1  # of several objectives: alpha, and how fast weights are pushed apart
_OVER = 1e9  # energy of what exceeds a limit, but for by how much


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
        self.spent, self._swarm = 0, 0
        self._frames: list[tuple[int, float, float, Array, Array, float]] = []
        self._every = 1
        self._generator = torch.Generator()
        self._m, self._limited = 0, False  # objectives, and whether there are measured limits; not known yet

    def go(self, stored: Stored | None) -> Iterator[Milestone]:
        """All swarms."""
        state: State | None = None
        front: Front | None = None
        if stored is not None:
            self.spent, self._swarm, self._m = (int(stored[name]) for name in ("spent", "swarm", "m"))
            self._limited = bool(stored["limited"])
            self._generator.set_state(torch.as_tensor(np.array(stored["generator"], dtype=np.uint8)))
            if self._m == 1:
                state = _single_restored(stored)
            else:
                front = Front.restored(stored)
        if self._m == 0:  # one point tells
            seen = self._outcomes(self._start(1))
            self._m, self._limited = seen.utility.shape[1], seen.limited
        while True:
            N = self._particles()
            if self.spent + N > self._most:
                return
            if state is None and front is None:
                self._generator.manual_seed((self._seed + self._swarm) % 2**63)
            yield from self._single(N, state) if self._m == 1 else self._several(N, front)
            self._swarm += 1
            state = front = None

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
        return Outcomes(U, excess, found.limited)

    # -- one objective ----------------------------------------------------------------------------

    def _single(self, N: int, state: State | None) -> Iterator[Milestone]:
        """One consensus; by ranks where there are limits, as an excess and a value have no scale in common."""

        def energies(Z: Tensor) -> Tensor:
            seen = self._outcomes(Z)
            e = np.where(seen.excess > 0, _OVER * (1.0 + np.minimum(seen.excess, _OVER)), -seen.utility[:, 0])
            return torch.as_tensor(e)[None]

        rules = Rules(
            self._dynamics, Schedule(share=self._options["share"]), Stop(spread=_COLLAPSED, stagnation=_IDLE),
            retract=self._latent.retracted, ranked=self._limited,
        )  # fmt: skip
        X = self._start(N) if state is None else state.swarm.X
        found: State | None = state
        fresh = state is None
        for found in run(energies, X, rules, self._generator, state=state):
            if fresh or found.step % self._every == 0:
                alpha = None if self._limited else float(found.alpha[0])  # of ranks there is no gradient
                self._seen(found.step, found.c, float(found.size[0]), found.swarm.X, alpha)
                fresh = False
            over = self.spent + N > self._most
            if over or found.step % _PACE == 0:
                yield self._said(found)
            if over:
                return
        if found is not None:
            yield self._said(found)

    def _milestone(self, arrays: Stored, step: int, size: int, spread: float) -> Milestone:
        """Where the swarm stands, with what all swarms share."""
        stored: dict[str, NDArray[np.generic]] = {
            **arrays, "spent": np.array(self.spent), "swarm": np.array(self._swarm), "m": np.array(self._m),
            "limited": np.array(self._limited), "generator": self._generator.get_state().numpy(),
        }  # fmt: skip
        note = f"swarm {self._swarm + 1} of {size} particles, step {step}, spread {spread:.2g}"
        return Milestone(self.spent, stored, note, self._trace())

    def _said(self, state: State) -> Milestone:
        return self._milestone(_single_stored(state), state.step, state.swarm.X.shape[1], float(state.spread[0]))

    # -- several objectives -----------------------------------------------------------------------

    def _several(self, N: int, front: Front | None) -> Iterator[Milestone]:
        """Every particle with weights of its own, which are pushed apart where values crowd (2208.01362)."""
        dynamics = self._dynamics
        if front is None:
            X = self._start(N)
            front = Front.at(X, self._losses(X), self._weights(N))
        while True:
            places, G = (front.Y, front.H) if dynamics.remembers else (front.X, front.G)
            c = consensus(places, log_weights(front.energies(G), _ALPHA))
            if front.step % self._every == 0:
                self._seen(front.step, c, 1.0, front.X)
            over = self.spent + N > self._most
            if over or front.step % _PACE == 0:
                yield self._milestone(front.stored(), front.step, N, float((front.X - c).norm(dim=-1).max()))
            if over:
                return
            normals = torch.randn(front.X.shape, generator=self._generator, dtype=front.X.dtype)
            own = torch.zeros(front.X.shape[:2], dtype=front.X.dtype)  # a step looks at places alone
            step = increment(Swarm(front.X, own, front.Y, own, torch.zeros_like(front.X)), c, dynamics, normals)
            X = self._latent.retracted(front.X, step, dynamics.dt)
            front = front.seen(X, self._losses(X), _TAU * dynamics.dt)

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
        F = np.where((seen.excess > 0)[:, None], _OVER * (1.0 + np.minimum(seen.excess, _OVER))[:, None], F)
        return torch.as_tensor(F)[None]

    # -- what was seen on the way -------------------------------------------------------------------

    def _seen(self, step: int, c: Tensor, size: float, X: Tensor, alpha: float | None = None) -> None:
        """Note a frame; the implied gradient is that of the hop from the mean of the particles to their consensus."""
        middle = c[0].mean(dim=0).numpy().copy()
        tau = (alpha or 0.0) * float(X[0].var(dim=0, correction=0).mean())
        gradient = float(implied_gradient(X.mean(dim=1), c[:, 0], tau).norm()) if tau > 0 else math.nan
        spread = float((X - c).norm(dim=-1).max())
        places = X[0, :_SHOWN].numpy().copy()
        self._frames.append((self._swarm * 10**7 + step, spread, size, middle, places, gradient))
        if len(self._frames) > 2 * _FRAMES:  # half as often from now on
            self._frames, self._every = self._frames[::2], 2 * self._every

    def _trace(self) -> dict[str, NDArray[np.generic]]:
        last = [frame for frame in self._frames if frame[0] // 10**7 == self._swarm]
        if not last:
            return {}
        return {
            "step": np.array([frame[0] % 10**7 for frame in last]),
            "spread": np.array([frame[1] for frame in last]),
            "size": np.array([frame[2] for frame in last]),
            "consensus": np.stack([frame[3] for frame in last]),
            "particles": np.stack([frame[4] for frame in last]),
            "gradient": np.array([frame[5] for frame in last]),
            "columns": np.array(self._latent.columns),
            "contraction": np.array(self._contraction),
        }


_SINGLE = ("dual", "alpha", "c", "logits", "best", "least", "since", "running")  # tensors of a state
_PLACES = ("X", "e", "Y", "f", "V")  # and of its swarm
_NUMBERS = ("sigma", "step", "evaluations")


def _single_stored(state: State) -> dict[str, NDArray[np.generic]]:
    """A state of one objective as arrays."""
    stored = {name: getattr(state, name).numpy() for name in _SINGLE}
    stored |= {name: getattr(state.swarm, name).numpy() for name in _PLACES}
    return stored | {name: np.array(getattr(state, name)) for name in _NUMBERS}


def _single_restored(stored: Stored) -> State:
    part: dict[str, Any] = {name: torch.as_tensor(np.array(stored[name])) for name in _SINGLE}
    part |= {"sigma": float(stored["sigma"]), "step": int(stored["step"]), "evaluations": int(stored["evaluations"])}
    return State(Swarm(*(torch.as_tensor(np.array(stored[name])) for name in _PLACES)), **part)


@dataclass(frozen=True)
class Front:
    """A swarm of several objectives, where every particle goes to the best point for weights of its own.

    Args:
        X, G: Positions and their losses, shapes (1, N, k) and (1, N, m).
        Y, H: Each particle's best position by its own weights, and its losses; the same shapes.
        w: Weights, on the simplex, shape (1, N, m).
        step: Steps taken.
    """

    X: Tensor
    G: Tensor
    Y: Tensor
    H: Tensor
    w: Tensor
    step: int

    @classmethod
    def at(cls, X: Tensor, G: Tensor, w: Tensor) -> Front:
        """One that begins at X with losses G and weights w."""
        return cls(X, G, X, G, w, 0)

    def energies(self, G: Tensor) -> Tensor:
        """What every particle makes of losses G (1, n, m), scaled by those of the swarm, shape (1, N, n)."""
        return chebyshev(_scaled(G, self.G), self.w, torch.zeros(1, G.shape[-1], dtype=G.dtype))

    def seen(self, X: Tensor, G: Tensor, rate: float) -> Front:
        """The swarm after it has moved to X and has seen losses G there, its weights pushed apart at a rate."""
        new = replace(self, X=X, G=G)
        now, before = (new.energies(losses).diagonal(dim1=-2, dim2=-1) for losses in (G, self.H))
        better = (now < before)[..., None]
        return replace(
            new, Y=torch.where(better, X, self.Y), H=torch.where(better, G, self.H),
            w=pushed_apart(self.w, _scaled(G, G), rate), step=self.step + 1,
        )  # fmt: skip

    def stored(self) -> dict[str, NDArray[np.generic]]:
        """As arrays."""
        return {name: getattr(self, name).numpy() for name in "XGYHw"} | {"step": np.array(self.step)}

    @classmethod
    def restored(cls, stored: Stored) -> Front:
        """Of arrays."""
        part: dict[str, Tensor] = {name: torch.as_tensor(np.array(stored[name])) for name in "XGYHw"}
        return cls(**part, step=int(stored["step"]))


def _scaled(G: Tensor, by: Tensor) -> Tensor:
    """Losses (1, n, m) as shares of the way from the ideal to the nadir of the front of others (1, N, m)."""
    F = by[0].numpy()
    there = np.isfinite(F).all(axis=1) & (F < _OVER).all(axis=1)
    if not there.any():
        return torch.nan_to_num(G, posinf=_OVER)
    nadir, ideal = extent(-F[there])
    span = np.maximum(ideal - nadir, 1e-12)
    return (G + torch.as_tensor(ideal)) / torch.as_tensor(span)


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
    force = (pull.sum(-1, keepdim=True) * G - pull @ G) / G.shape[1]
    force = torch.nan_to_num(force, 0.0, 0.0, 0.0)
    size = force.norm(dim=-1, keepdim=True)
    force = force / torch.where(size > 1.0, size, 1.0)
    return simplex_projection().primal(w - rate * force).clamp_min(1e-4)
