"""A swarm on a cheap function: runs that restart with twice the particles, and what was seen on the way.

Symbols: N particles, k latent columns, m objectives, energies are minimised; M = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from workbench.pareto import extent
from workbench.samplers.batch import Milestone
from workbench.samplers.consensus.dynamics import (
    Dynamics,
    Noise,
    Swarm,
    chebyshev,
    consensus,
    implied_gradient,
    log_weights,
    moved,
)
from workbench.samplers.consensus.swarming import Rules, Schedule, State, Stop, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.samplers.batch import Outcomes
    from workbench.samplers.consensus.latent import Latent

    Array = NDArray[np.float64]
    Stored = Mapping[str, NDArray[np.generic]]

_FEWEST, _EACH = 50, 4  # particles, and for each latent column
_LARGEST = 2000
_COLLAPSED = 1e-7  # spread at which a swarm has nothing left to find
_IDLE = 400  # steps without a better value
_PACE = 10  # steps between milestones
_FRAMES, _SHOWN = 60, 100  # of a trace: steps, and particles that are kept
_ALPHA, _TAU = 1e5, 0.1  # of several objectives: alpha, and how fast weights are pushed apart
_OVER = 1e9  # energy of what exceeds a limit, before by how much


def run_batches(
    latent: Latent, evaluate: Callable[[Array], Outcomes], evaluations: int, rng: np.random.Generator,
    stored: Stored | None, motion: Any, options: Mapping[str, Any],
) -> Iterator[Milestone]:  # fmt: skip
    """As `BatchSampler.run`."""
    loop = _Loop(latent, evaluate, evaluations, int(rng.integers(2**62)), motion, options)
    yield from loop.go(stored)


class _Loop:
    def __init__(
        self, latent: Latent, evaluate: Callable[[Array], Outcomes], evaluations: int, seed: int, motion: Any,
        options: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._latent, self._evaluate, self._most, self._seed = latent, evaluate, evaluations, seed
        self._options = options
        kind: Noise = "anisotropic" if motion.anisotropic else "isotropic"
        self._dynamics = Dynamics(motion.drift, motion.noise, motion.dt, kind, motion.cut, motion.memory)
        self.spent, self._swarm = 0, 0
        self._frames: list[tuple[int, float, float, Array, Array, float]] = []
        self._every = 1
        self._generator = torch.Generator()
        self._m = 0  # objectives; not known yet

    def go(self, stored: Stored | None) -> Iterator[Milestone]:
        """All swarms."""
        state: State | None = None
        if stored is not None:
            self.spent, self._swarm = int(stored["spent"]), int(stored["swarm"])
            state = self._restored(stored)
        if self._m == 0:  # one point tells how many there are
            self._m = self._outcomes(self._start(1)).utility.shape[1]
        while True:
            N = self._particles()
            if self.spent + N > self._most:
                return
            if state is None:
                self._generator.manual_seed((self._seed + self._swarm) % 2**63)
            yield from self._several(N, state) if self._m > 1 else self._single(N, state)
            self._swarm += 1
            state = None

    def _particles(self) -> int:
        first = self._options["particles"] or max(_FEWEST, _EACH * self._latent.width)
        return int(min(first * 2**self._swarm, max(_LARGEST, first)))

    def _start(self, N: int) -> Tensor:
        X = self._latent.space.sobol(N, (self._seed + 7 * self._swarm) % 2**31)
        return torch.as_tensor(self._latent.of(X))[None]

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
        return Outcomes(U, excess)

    # -- one objective ----------------------------------------------------------------------------

    def _single(self, N: int, state: State | None) -> Iterator[Milestone]:
        def energies(Z: Tensor) -> Tensor:
            seen = self._outcomes(Z)
            e = np.where(seen.excess > 0, _OVER * (1.0 + np.minimum(seen.excess, _OVER)), -seen.utility[:, 0])
            return torch.as_tensor(e)[None]

        rules = Rules(
            self._dynamics, Schedule(share=self._options["share"]),
            Stop(spread=_COLLAPSED, stagnation=_IDLE), wall=self._latent.walls,
        )  # fmt: skip
        X = self._start(N) if state is None else state.swarm.X
        found: State | None = state
        fresh = state is None
        for found in run(energies, X, rules, self._generator, state=state):
            if fresh or found.step % self._every == 0:
                self._seen(found.step, found.c, float(found.size[0]), found.swarm.X, float(found.alpha[0]))
                fresh = False
            over = self.spent + N > self._most
            if over or found.step % _PACE == 0:
                yield self._milestone(found)
            if over:
                return
        if found is not None:
            yield self._milestone(found)

    def _milestone(self, state: State) -> Milestone:
        parts = {
            "X": state.swarm.X, "e": state.swarm.e, "Y": state.swarm.Y, "f": state.swarm.f, "V": state.swarm.V,
            "dual": state.dual, "alpha": state.alpha, "c": state.c, "logits": state.logits, "best": state.best,
            "least": state.least, "since": state.since, "running": state.running,
        }  # fmt: skip
        stored: dict[str, NDArray[np.generic]] = {name: part.numpy() for name, part in parts.items()}
        stored |= {
            "sigma": np.array(state.sigma), "step": np.array(state.step), "evaluations": np.array(state.evaluations),
            "spent": np.array(self.spent), "swarm": np.array(self._swarm), "m": np.array(self._m),
            "generator": self._generator.get_state().numpy(),
        }  # fmt: skip
        size, spread = state.swarm.X.shape[1], float(state.spread[0])
        note = f"swarm {self._swarm + 1} of {size} particles, step {state.step}, spread {spread:.2g}"
        return Milestone(self.spent, stored, note, self._trace())

    def _restored(self, stored: Stored) -> State | None:
        self._m = int(stored["m"])
        part: dict[str, Any] = {
            name: torch.as_tensor(np.array(stored[name]))
            for name in ("X", "e", "Y", "f", "V", "dual", "alpha", "c", "logits", "best", "least", "since", "running")
        }
        self._generator.set_state(torch.as_tensor(np.array(stored["generator"], dtype=np.uint8)))
        swarm = Swarm(*(part.pop(name) for name in ("X", "e", "Y", "f", "V")))
        return State(
            swarm, part["dual"], part["alpha"], float(stored["sigma"]), part["c"], part["logits"], part["best"],
            part["least"], part["since"], part["running"], int(stored["step"]), int(stored["evaluations"]),
        )  # fmt: skip

    # -- several objectives -----------------------------------------------------------------------

    def _several(self, N: int, state: State | None) -> Iterator[Milestone]:
        """Every particle with weights of its own, which are pushed apart where values crowd (2208.01362)."""
        dynamics, w = self._dynamics, self._weights(N)
        if state is None:
            X, step = self._start(N), 0
            G = self._losses(X)
            swarm = Swarm.at(X, G.sum(-1))
        else:
            swarm, step, w = state.swarm, state.step, state.dual
            G = state.best
        while True:
            unit = _scaled(G)
            c = consensus(swarm.X, log_weights(chebyshev(unit, w, torch.zeros(1, self._m, dtype=w.dtype)), _ALPHA))
            if step % self._every == 0:
                self._seen(step, c, 1.0, swarm.X)
            over = self.spent + N > self._most
            if over or step % _PACE == 0:
                shown = State(
                    swarm, w, torch.ones(1), 1.0, c, torch.ones(1), G, G.amin(1)[:, 0],
                    torch.zeros(1), torch.ones(1, dtype=torch.bool), step, 0,
                )  # fmt: skip
                yield self._milestone(shown)
            if over:
                return
            normals = torch.randn(swarm.X.shape, generator=self._generator, dtype=swarm.X.dtype)
            X, _ = moved(swarm, c, dynamics, normals)
            X = self._latent.walls(X)
            G, step = self._losses(X), step + 1
            swarm = swarm.seen(X, G.sum(-1))
            w = pushed_apart(w, _scaled(G), _TAU * dynamics.dt)

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
        tau = (alpha or 0.0) * float(X[0].var(dim=0).mean())
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
        }


def _scaled(G: Tensor) -> Tensor:
    """Losses as shares of the way from the ideal to the nadir of the front, shape (1, N, m)."""
    F = G[0].numpy()
    there = np.isfinite(F).all(axis=1) & (F < _OVER).all(axis=1)
    if not there.any():
        return torch.nan_to_num(G, posinf=_OVER)
    nadir, ideal = extent(-F[there])
    span = np.maximum(ideal - nadir, 1e-12)
    return torch.as_tensor((F + ideal) / span)[None]


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
    from workbench.samplers.consensus.sets import simplex_projection

    return simplex_projection().primal(w - rate * force).clamp_min(1e-4)
