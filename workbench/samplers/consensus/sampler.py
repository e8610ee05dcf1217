"""`cbo`: consensus-based optimisation through ask and tell, and in whole batches of a cheap function.

Asked and told, every particle waits for its own value: its trials note which particle they are and which of its steps,
and where they stand is read from the record. A particle that has been told moves towards the consensus of those that
have, whatever the others still wait for; so results may come late, in any order, or not at all. Failed trials have no
say in the consensus. A particle's noise is seeded by the study, the particle and its step, so every process moves it
alike. While all particles wait, extra moves of them are proposed.

A velocity is noted with the trial that it led to. Steps without a better value, and other things that rules look at,
are means over the particles, as these take their steps one by one.

With several objectives every particle has weights of its own and goes to the best point for those (2208.01362). With
`surrogate_steps` the swarm takes further steps on the model's belief between two real evaluations.

Symbols: N particles, k latent columns, m objectives, energies are minimised.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import SearchEnded, UnsupportedError
from workbench.integers import integer
from workbench.samplers.base import AskRequest, Proposal, Screen, check_number, check_switch, spread_out
from workbench.samplers.batch import BatchSampler, Milestone
from workbench.samplers.consensus.ending import Ending
from workbench.samplers.consensus.latent import KINDS, Latent
from workbench.samplers.consensus.reading import Reading
from workbench.samplers.consensus.stability import check_stable, contraction, noise_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from workbench.samplers.batch import Outcomes
    from workbench.samplers.consensus.dynamics import Dynamics, Noise
    from workbench.space import Space
    from workbench.trial import History

    Array = NDArray[np.float64]

_SLOW, _FAST = 0.25, 0.01  # dt of a step that costs a trial, and of one that costs nothing
_CONTRACTION = {_SLOW: -0.2, _FAST: -0.21}  # of the spread a step, where no noise is named
_FEWEST, _STEPS = 6, 12  # particles, and steps that a budget should give each of them
_USUAL = 12  # particles without a budget
_SHRINK = 0.93  # of the effective size that the consensus is taken of, a step
_NOTED = 32  # latent columns up to which a consensus is kept with the trial
_TRIES = 12  # moves of a particle before a point elsewhere is taken
_KINDS = ("anisotropic", "isotropic")


class CBOSampler(BatchSampler):
    """Particles that agree on a point: gradient-free, for many evaluations and workers.

    Good where minima are many and regular, and variables few; elsewhere CMA-ES was seen to go further with the same
    evaluations (docs/consensus.md).

    Args:
        particles: N; None for a twelfth of the budget, at least 6, and in a vectorised run 4 for each variable, at
            least 50, where the evaluations are enough for 2,000 steps of so many.
        drift: lambda.
        noise: sigma; None for one that makes the swarm draw together by about a fifth a step, as far as it can.
        dt: Length of a step; None for 0.25 where a step costs a trial, and 0.01 in a vectorised run.
        kind: "anisotropic" or "isotropic" noise.
        truncation: Largest distance that noise grows with, in the unit cube; None for no limit.
        memory: Drift to each particle's best point; the consensus is then one of best points.
        memory_noise: Noise that grows with the distance to it.
        inertia: m of a velocity, from 0 (none) to below 1, with friction 1 - m: a particle swarm.
        share: Of the particles that have been told, the effective number that the first consensus is made of.
        kernel: Width, in the unit cube, of a kernel by which particles see near ones more, so that several minima are
            found; None for one consensus.
        batch: Particles that agree with one another in a step, drawn anew each time, and in a vectorised run are the
            ones that move; None for all.
        cooling: Factor of the noise a step.
        patience: Steps without a better value after which particles are kicked; None for never.
        kick: Noise of a kick, in the unit cube, times the root of dt.
        surrogate_steps: Steps on the model's belief between two real evaluations of a particle.
        sphere: Keep vectors with a normal prior at the length sqrt(k) that almost all of their prior has; a mean of
            such vectors is far shorter.
        stop: Rules by name, with their bounds, of which the first that holds ends the run and is named: "value" (of the
            one objective, or the miss of its target), "steps", "horizon" (steps times dt), "spread" (largest distance
            from the consensus), "movement" (mean length of a step), "stagnation" (steps without a better value), and in
            a vectorised run "drift" (of the consensus in "window" steps, 20 if not said) and "level" (standard
            deviation of the least values of so many). Of a vectorised run those that look at a swarm hold instead of
            beginning one twice as large. None: until the trials or evaluations are spent.
    Raises:
        UnsupportedError: for a setting with which the swarm would fly apart, once the space is known.
    """

    name = "cbo"
    serves = KINDS | {"objectives", "constraints", "context", "prefer"}

    def __init__(
        self, particles: int | None = None, drift: float = 1.0, noise: float | None = None, dt: float | None = None,
        kind: str = "anisotropic", truncation: float | None = None, memory: float = 0.0, share: float = 0.5,
        surrogate_steps: int = 0, sphere: bool = False, *, memory_noise: float = 0.0, inertia: float = 0.0,
        kernel: float | None = None, batch: int | None = None, cooling: float = 1.0, patience: int | None = None,
        kick: float = 0.1, stop: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        for name, count, least in (
            ("particles", particles, 2), ("surrogate_steps", surrogate_steps, 0), ("batch", batch, 2),
            ("patience", patience, 1),
        ):  # fmt: skip
            if count is not None and integer(count, least) is None:
                raise UnsupportedError(f"{name} must be a whole number from {least} on, got {count!r}")
        drift, kick = check_number("drift", drift, above=0), check_number("kick", kick, above=0)
        noise, dt, truncation, kernel = (
            None if value is None else check_number(name, value, above=0)
            for name, value in (("noise", noise), ("dt", dt), ("truncation", truncation), ("kernel", kernel))
        )
        share, cooling = (
            check_number("share", share, above=0, most=1),
            check_number("cooling", cooling, above=0, most=1),
        )
        memory = check_number("memory", memory, least=0)
        memory_noise = check_number("memory_noise", memory_noise, least=0)
        inertia = check_number("inertia", inertia, least=0, below=1)
        sphere = check_switch("sphere", sphere)
        if kind not in _KINDS:
            raise UnsupportedError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
        if inertia and kind != "anisotropic":
            raise UnsupportedError(
                "a swarm with inertia needs kind='anisotropic': only of that is the contraction known"
            )
        if particles is not None and batch is not None and batch > particles:
            raise UnsupportedError(f"batch must be at most the {particles} particles, got {batch}")
        self._ending = Ending.of(stop)
        self._options: dict[str, Any] = {
            "particles": particles, "drift": drift, "noise": noise, "dt": dt, "kind": kind, "truncation": truncation,
            "memory": memory, "share": share, "surrogate_steps": surrogate_steps, "sphere": sphere,
            "memory_noise": memory_noise, "inertia": inertia, "kernel": kernel, "batch": batch, "cooling": cooling,
            "patience": patience, "kick": kick, "stop": None if stop is None else dict(stop),
        }  # fmt: skip

    def options(self) -> dict[str, Any]:
        """Sizes, speeds, noise and rules."""
        return dict(self._options)

    def check(self, request: AskRequest) -> None:
        """Refuse a space without columns, and options that are for one objective where there are several."""
        super().check(request)
        if request.prefer and len(request.history.measured) < 2:
            raise UnsupportedError("prefer= weighs several objectives, and this study has one; leave it out")
        goals = len(request.history.measured)
        self._ending.check(goals)
        for name in ("kernel", "patience"):
            if goals > 1 and self._options[name] is not None:
                raise UnsupportedError(
                    f"{name} is for one objective: with {goals} every particle has a consensus and a best value of its "
                    "own; leave it out"
                )
        latent = self._latent(request)
        if latent.width == 0:
            raise UnsupportedError("sampler 'cbo' needs a parameter that is not fixed")

    def _latent(self, request: AskRequest) -> Latent:
        return Latent(request.history.space, request.fixed, sphere=self._options["sphere"])

    def _motion(self, width: int, usual: float) -> _Motion:
        from workbench.samplers.consensus.dynamics import Dynamics

        given = self._options
        dt, anisotropic = given["dt"] or usual, given["kind"] == "anisotropic"
        pull, more = given["drift"] + given["memory"], given["memory_noise"]
        noise = given["noise"]
        if noise is None:
            whole = noise_for(
                _CONTRACTION[usual], pull, dt, width, anisotropic=anisotropic, inertia=given["inertia"]
            )  # fmt: skip
            if more >= whole:
                raise UnsupportedError(
                    f"memory_noise {more:g} leaves nothing of the noise {whole:.3g} that the swarm can do with; take "
                    "less of it, or name noise too"
                )
            noise = math.sqrt(whole**2 - more**2)
        cut = math.inf if given["truncation"] is None else given["truncation"]
        kind: Noise = "anisotropic" if anisotropic else "isotropic"
        dynamics = Dynamics(given["drift"], noise, dt, kind, cut, given["memory"], more, given["inertia"])
        said = {"anisotropic": anisotropic, "inertia": given["inertia"]}
        if given["noise"] is not None and given["truncation"] is None:
            check_stable(*dynamics.pull, dt, width, **said)
        return _Motion(dynamics, contraction(*dynamics.pull, dt, width, **said))

    # -- asked and told ---------------------------------------------------------------------------

    def ask(self, request: AskRequest) -> list[Proposal]:
        """One move of each particle that waits for nothing, those first that have taken the fewest steps."""
        latent = self._latent(request)
        swarm = Reading(request, latent, self._size(request.history), self._options)
        motion = self._motion(latent.width, _SLOW)
        self._check_ended(swarm, motion)
        screen = Screen(request.history)
        belief = self._belief(request, swarm)
        found: list[Proposal] = []
        busy = dict(swarm.waiting)
        for _ in range(request.n):
            request.check_deadline()
            i, surplus = swarm.next(busy)
            attempt = busy.get(i, 0)
            busy[i] = attempt + 1
            made = None
            if i in swarm.told and len(swarm.told) > 1:
                made = self._moved(request, swarm, motion, screen, i, attempt, belief)
            if made is None:
                spare = spread_out(request, 1, [p.x for p in found], why=f"cbo, particle {i} begins")[0]
                note = {"particle": i, "step": swarm.steps(i), "fresh": True, **_held(latent)}
                x = latent.settled(_kept(latent, latent.of(spare.x[None])))[0] if self._options["sphere"] else spare.x
                made = Proposal(x, {**spare.meta, "cbo": note}, spare.why)
            elif surplus:
                note = {**made.meta["cbo"], "surplus": True}
                made = Proposal(made.x, {"cbo": note}, f"{made.why}, an extra one while others are awaited")
            screen.take(made.x[None])
            found.append(made)
        return found

    def _check_ended(self, swarm: Reading, motion: _Motion) -> None:
        """Raise `SearchEnded` once a rule holds for the swarm as it has been told."""
        rules = self._ending.rules
        if wrong := sorted({"drift", "level"} & rules.keys()):
            raise UnsupportedError(
                f"the rule {wrong[0]!r} of stop looks at whole steps of a swarm, and particles that are asked and told "
                "take theirs one by one; take spread or stagnation, or a vectorised run"
            )
        if not rules or not swarm.told:
            return
        seen: dict[str, float] = {"steps": swarm.mean_steps, "horizon": swarm.mean_steps * motion.dynamics.dt}
        if len(swarm.told) >= self._size(swarm.history):
            if "spread" in rules:
                seen["spread"] = max(self._distance(swarm, motion, i) for i in swarm.told)
            if "movement" in rules:
                seen["movement"] = swarm.movement
        if len(swarm.history.measured) == 1:
            seen |= {"value": swarm.best_value, "stagnation": swarm.idle}
        if why := self._ending.reason(seen, swarm.sense):
            raise SearchEnded(f"{why}; give another sampler= to go on, or leave the rule out")

    def _distance(self, swarm: Reading, motion: _Motion, i: int) -> float:
        """Of a particle from the consensus that it would go to."""
        rows = sorted(swarm.told)
        Z = np.stack([swarm.told[row].z for row in rows])
        places = swarm.remembered() if motion.dynamics.remembers else Z
        at, kernel = rows.index(i), self._options["kernel"]
        seen = None if kernel is None else (places[at], kernel)
        c = _agreed(places, swarm.energies(i), self._share(swarm), seen).c
        return float(np.linalg.norm(Z[at] - c))

    def _size(self, history: History) -> int:
        if self._options["particles"] is not None:
            return int(self._options["particles"])
        return _USUAL if history.budget is None else max(_FEWEST, history.budget // _STEPS)

    def _belief(self, request: AskRequest, swarm: Reading) -> Any:
        """The model, where steps are to be taken on it and there are values to learn from."""
        history = request.history
        known = history.complete & history.placed & ~np.isnan(history.Y).any(axis=1)
        if not self._options["surrogate_steps"] or len(swarm.told) < 3 or known.sum() < 3:
            return None
        return self.surrogate(history)

    def _moved(
        self, request: AskRequest, swarm: Reading, motion: _Motion, screen: Screen, i: int, attempt: int, belief: Any
    ) -> Proposal | None:
        """A move of a particle to a point that exists, is allowed and new; None if there is none."""
        space, latent = request.history.space, swarm.latent
        rows = sorted(swarm.told)
        Z = np.stack([swarm.told[row].z for row in rows])
        V = np.stack([swarm.told[row].v for row in rows])
        at, step = rows.index(i), swarm.steps(i)
        given, energies = self._options, swarm.energies(i)
        best = swarm.remembered() if motion.dynamics.remembers else Z
        sigma = given["cooling"] ** step
        kick = 0.0
        if given["patience"] is not None and swarm.idle and swarm.idle % given["patience"] == 0:
            kick = given["kick"] * math.sqrt(motion.dynamics.dt)
        for t in range(_TRIES):
            rng = np.random.default_rng([request.history.seed, i, step, attempt, t])
            some = _batch(len(Z), at, given["batch"], rng)
            kernel = None if given["kernel"] is None else (best[at], given["kernel"])
            agreed = _agreed(best[some], energies[some], self._share(swarm), kernel)
            c, size = agreed.c, agreed.size
            new, v = motion.moved(Z[[at]], c, best[[at]], V[[at]], rng, sigma)
            z, v = new[0], v[0]
            if belief is not None:
                z, v = self._believed(request, swarm, motion, belief, rng, at, z, v, sigma)
            if kick:
                z = z + kick * rng.standard_normal(z.shape)
            z, free = _stepped(latent, Z[at], z), z
            x = latent.settled(z[None])
            if space.feasible(x)[0] and screen.admits(x)[0]:
                note: dict[str, Any] = {"particle": i, "step": step, "size": round(size, 2)}
                note |= _held(latent)
                if not latent.plain or not np.array_equal(x[0], z):
                    note["z"] = z.tolist()
                if motion.dynamics.inertia:
                    note["v"] = (v + (z - free) / motion.dynamics.dt).tolist()  # a wall turns the velocity too
                spread = float(np.linalg.norm(Z - c, axis=1).max())
                note |= {"spread": round(spread, 6), "contraction": round(motion.contraction, 5)}
                if agreed.gradient is not None and math.isfinite(agreed.gradient):
                    note["gradient"] = float(f"{agreed.gradient:.6g}")
                if kick:
                    note["kick"] = True
                if latent.width <= _NOTED:
                    note |= {"c": np.round(c, 6).tolist()} | ({} if latent.plain else {"columns": latent.columns})
                why = f"cbo, particle {i}, step {step}: towards the consensus of {size:.0f}, spread {spread:.2g}"
                return Proposal(x[0], {"cbo": note}, why)
        return None

    def _share(self, swarm: Reading) -> float:
        steps = sum(swarm.steps(i) for i in swarm.told) / max(1, len(swarm.told))
        return float(self._options["share"] * _SHRINK**steps)

    def _believed(
        self, request: AskRequest, swarm: Reading, motion: _Motion, belief: Any, rng: np.random.Generator, at: int,
        z: Array, v: Array, sigma: float,
    ) -> tuple[Array, Array]:  # fmt: skip
        """Where the particle stands after further steps of the swarm on the model's belief, and its velocity."""
        rows = sorted(swarm.told)
        Z = np.stack([swarm.told[row].z for row in rows])
        V = np.stack([swarm.told[row].v for row in rows])
        Z[at], V[at] = z, v
        kernel = self._options["kernel"]
        for _ in range(self._options["surrogate_steps"]):
            if request.seconds_left < 0.05:
                break
            Z = _kept(swarm.latent, Z)
            e = swarm.predicted(belief, Z, rows[at])
            seen = None if kernel is None else (Z[at], kernel)
            c = _agreed(Z, e, self._share(swarm), seen).c
            Z, V = motion.moved(Z, c, Z, V, rng, sigma)
        return Z[at], V[at]

    # -- whole batches ----------------------------------------------------------------------------

    def run(
        self, space: Space, evaluate: Callable[[Array], Outcomes], evaluations: int, rng: np.random.Generator,
        state: Mapping[str, NDArray[np.generic]] | None = None,
    ) -> Iterator[Milestone]:  # fmt: skip
        """Swarms one after the other, each twice as large as the one before, until the evaluations are spent."""
        from workbench.samplers.consensus.batches import run_batches

        latent = Latent(space, sphere=self._options["sphere"])
        motion = self._motion(latent.width, _FAST)
        speed = motion.contraction
        yield from run_batches(latent, evaluate, evaluations, rng, state, motion.dynamics, speed, self._options)


@dataclass(frozen=True)
class _Motion:
    """How particles move, and the mean change of the logarithm of their spread in one step."""

    dynamics: Dynamics
    contraction: float

    def moved(
        self, Z: Array, c: Array, best: Array, V: Array, rng: np.random.Generator, sigma: float
    ) -> tuple[Array, Array]:  # fmt: skip
        """Where particles go, and their velocities.

        Args:
            Z: Where they are, shape (n, k).
            c: Their consensus, shape (k,).
            best: Their own best points, shape (n, k).
            V: Velocities (n, k) before.
            rng: Of the noise.
            sigma: Factor of the noise.
        """
        import torch

        from workbench.samplers.consensus.dynamics import Swarm, moved

        dynamics = replace(self.dynamics, noise=self.dynamics.noise * sigma)
        normals = [rng.standard_normal(Z.shape) for _ in range(2 if dynamics.memory_noise else 1)]
        X, Y, W, *xi = (torch.as_tensor(one)[None] for one in (Z, best, V, *normals))
        e = X[..., 0]  # a step looks at places alone
        new, velocity = moved(Swarm(X, e, Y, e, W), torch.as_tensor(c)[None, None], dynamics, *xi)
        return np.asarray(new[0].numpy()), np.asarray(velocity[0].numpy())


def _held(latent: Latent) -> dict[str, Any]:
    """What a trial notes of parameters that its particle has no place along."""
    return {"held": sorted(latent.held)} if latent.held else {}


def _batch(n: int, at: int, size: int | None, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a random batch of n particles, with one of them in it."""
    if size is None or size >= n:
        return np.arange(n)
    others = np.delete(np.arange(n), at)
    return np.sort(np.append(rng.choice(others, size - 1, replace=False), at))


def _kept(latent: Latent, Z: Array) -> Array:
    """Latent points (n, k) where they belong."""
    import torch

    return np.asarray(latent.kept(torch.as_tensor(Z)).numpy())


def _stepped(latent: Latent, z: Array, new: Array) -> Array:
    """Where a step from z to new (k,) ends, with the known constraints."""
    import torch

    before = torch.as_tensor(z)[None]
    return np.asarray(latent.retracted(before, torch.as_tensor(new)[None] - before)[0].numpy())


@dataclass(frozen=True)
class _Agreement:
    """A consensus c (k,), the effective number of particles that it is made of, and the gradient that it implies.

    The gradient is the size of that of the hop from the mean of the particles to their consensus, in units of the
    energies; None where they stand on one point, or each sees a consensus of its own.
    """

    c: Array
    size: float
    gradient: float | None


def _agreed(Z: Array, energies: Array, share: float, kernel: tuple[Array, float] | None = None) -> _Agreement:
    """What particles at Z (N, k) agree on; with a kernel, as one sees them from a place (k,) by its width."""
    import torch

    from workbench.samplers.consensus.dynamics import (
        alpha_for,
        consensus,
        effective_size,
        implied_gradient,
        log_weights,
        polarised,
    )

    X, e = torch.as_tensor(Z)[None], torch.as_tensor(energies)[None]
    there = torch.isfinite(e)[0]
    alpha = alpha_for(e, share * max(int(there.sum()), 1) / len(energies))
    logits = log_weights(e, alpha)
    if kernel is not None:
        seen = torch.cat([X, torch.as_tensor(kernel[0])[None, None]], dim=1)
        lost = torch.full((1, 1), -math.inf, dtype=X.dtype)
        logits = polarised(seen, torch.cat([logits, lost], dim=1), kernel[1])[:, -1, :-1]
    c = consensus(X, logits)
    if kernel is not None:  # of many consensus points there is no one gradient
        return _Agreement(c[0, 0].numpy(), float(effective_size(logits)[0]), None)
    known = X[0, there] if there.any() else X[0]
    tau = float(alpha[0] * known.var(dim=0, correction=0).mean())
    hop = float(implied_gradient(known.mean(dim=0), c[0, 0], tau).norm()) if tau > 0 else None
    return _Agreement(c[0, 0].numpy(), float(effective_size(logits)[0]), hop)
