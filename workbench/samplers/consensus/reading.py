"""One record, read as a swarm: where its particles stand, what they are worth, and what each waits for.

Symbols: N particles, n trials, k latent columns, m objectives, energies are minimised.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.pareto import non_dominated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.samplers.base import AskRequest
    from workbench.samplers.consensus.latent import Latent

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Particle:
    """A particle after its latest result: position, velocity, row of the record, best position and its row."""

    z: Array
    v: Array
    row: int
    best: Array
    best_row: int


class Reading:
    """One record, read as particles.

    Args:
        request: Whose record, and whose weights of objectives.
        latent: How places are averaged.
        size: N.
        options: Of the sampler.

    Attributes:
        waiting: Trials in flight, by particle.
    """

    def __init__(self, request: AskRequest, latent: Latent, size: int, options: Mapping[str, Any]) -> None:
        self.request, self.latent, self.size, self._options = request, latent, size, options
        self.history = request.history
        self.waiting: dict[int, int] = {}
        self._steps: dict[int, int] = {}
        self._rows: dict[int, list[tuple[int, Array]]] = {}
        self._velocities: dict[int, Array] = {}  # by row
        self._energies: dict[int, Array] = {}
        self._read()

    def _read(self) -> None:
        history = self.history
        own = set()
        for row, stored in enumerate(history.rows):
            if not stored.meta or '"cbo":' not in stored.meta or stored.space_version != history.spaces.version:
                continue
            note = history.meta(row)["cbo"]
            own.add(row)
            i = int(note["particle"])
            if history.pending[row]:
                self.waiting[i] = self.waiting.get(i, 0) + 1
            elif history.finished[row] and history.placed[row]:
                self._rows.setdefault(i, []).append((row, self._place(row, note)))
                self._steps[i] = self._steps.get(i, 0) + 1
                if "v" in note and len(note["v"]) == self.latent.width:
                    self._velocities[row] = np.array(note["v"])
        self.size = max([self.size, *(i + 1 for i in (*self._rows, *self.waiting))])  # with those that joined later
        self._adopt(own)

    def _place(self, row: int, note: Mapping[str, Any]) -> Array:
        """Where the particle of a trial stands, shape (k,).

        What was held then and is not now says nothing of where it would be: there it begins anew.
        """
        before, now = set(note.get("held", ())), self.latent.held
        if "z" in note and before == now and len(note["z"]) == self.latent.width:
            return np.array(note["z"])
        z = self.latent.of(self.history.X[row][None])[0]
        free = self.latent.columns_of(before - now)
        z[free] = self._spread[int(note["particle"]) % len(self._spread), free]
        return np.asarray(z)

    @cached_property
    def _spread(self) -> Array:
        """Places all over the space, (n, k)."""
        history = self.history
        return self.latent.of(history.space.sobol(self.size, history.seed, fixed=self.request.fixed))

    def _adopt(self, own: Set[int]) -> None:
        """Trials of others are where particles begin that have no result of their own, the best ones first."""
        strangers = [r for r in np.flatnonzero(self.history.complete & self.history.inside).tolist() if r not in own]
        if not strangers:
            return
        order = np.argsort(self._worths[strangers], kind="stable")
        empty = (i for i in range(self.size) if i not in self._rows and i not in self.waiting)
        Z = self.latent.of(self.history.X[strangers])
        for i, k in zip(empty, order.tolist(), strict=False):
            self._rows[i] = [(strangers[k], Z[k])]

    @cached_property
    def _losses(self) -> Array:
        """Shape (n, m), to be minimised; infinite where there is no value, or a point outside the bounds."""
        history = self.history
        F = -history.utility(history.Y)
        lost = np.isnan(F).any(axis=1) | ~history.complete | ~history.inside
        F[lost] = np.inf
        return F

    @cached_property
    def _excess(self) -> Array:
        """By how much limits are exceeded, shape (n,)."""
        C = self.history.C
        if C.shape[1] == 0:
            return np.zeros(len(C))
        scale = np.nanstd(np.where(np.isfinite(C), C, np.nan), axis=0) if len(C) > 1 else np.ones(C.shape[1])
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
        return np.asarray(np.where(np.isnan(C), np.inf, np.maximum(C, 0.0) / scale).sum(axis=1))

    @cached_property
    def _worths(self) -> Array:
        """One energy for each trial, equal weights where there are several objectives, shape (n,)."""
        return self._scalar(self._losses, self._excess, np.full(self._losses.shape[1], 1.0))

    def _scalar(self, F: Array, excess: Array, weights: Array) -> Array:
        """Energies (n,): feasible ones by the largest weighted share of the way from the ideal to the nadir.

        What exceeds limits lies behind all that holds them, by how much it does: particles that all do still agree.
        """
        known = np.isfinite(F).all(axis=1)
        held = (excess == 0) & known
        if F.shape[1] == 1:
            e = F[:, 0].copy()
        else:
            seen = F[held] if held.any() else F[known]
            if len(seen) == 0:
                return np.full(len(F), np.inf)
            front = seen[non_dominated(-seen)]
            low, high = front.min(axis=0), front.max(axis=0)
            span = np.where(high > low, high - low, 1.0)
            e = (weights * (F - low) / span).max(axis=1)
        over = (excess > 0) & known
        last, reach = (float(e[held].max()), float(np.ptp(e[held]))) if held.any() else (0.0, 1.0)
        most = excess[over & np.isfinite(excess)].max(initial=0.0)
        e[over] = last + (reach or 1.0) * excess[over] / (most or 1.0)
        return e

    def next(self, busy: Mapping[int, int]) -> tuple[int, bool]:
        """The particle to move, and whether all of them wait already."""
        free = [i for i in range(self.size) if i not in busy]
        if free:
            return min(free, key=lambda i: (self.steps(i), i)), False
        if not self.told:  # none has a result: the swarm takes another particle
            return max(self.size - 1, *busy) + 1, False
        return min(self.told, key=lambda i: (busy.get(i, 0), self.steps(i), i)), True

    def steps(self, i: int) -> int:
        """Results of a particle so far."""
        return self._steps.get(i, 0)

    @cached_property
    def told(self) -> dict[int, Particle]:
        """Particles with a result, by number."""
        found = {}
        for i, rows in self._rows.items():
            row, z = rows[-1]
            worths = self._seen_by(i)
            best_row, best = min(rows, key=lambda one: worths[one[0]])
            found[i] = Particle(z, self._velocities.get(row, np.zeros_like(z)), row, best, best_row)
        return found

    @property
    def mean_steps(self) -> float:
        """Steps of the particles in the mean."""
        return sum(self._steps.values()) / self.size

    @cached_property
    def idle(self) -> int:
        """Steps without a better value: results since the best one, for each particle in the mean."""
        own = sorted(row for rows in self._rows.values() for row, _ in rows)
        worths = self._worths[own]
        return (len(own) - 1 - int(worths.argmin())) // self.size

    @property
    def movement(self) -> float:
        """Mean length of the last step of the particles; infinite before every one has taken a step."""
        if any(len(rows) < 2 for rows in self._rows.values()):
            return math.inf
        return float(np.mean([np.linalg.norm(rows[-1][1] - rows[-2][1]) for rows in self._rows.values()]))

    @property
    def sense(self) -> float:
        """1 where large values of the first objective are good, -1 where small ones, or small misses, are."""
        goal = self.history.measured[0]
        return -1.0 if goal.target is not None else goal.sign

    @property
    def best_value(self) -> float:
        """Of the one objective, or the miss of its target, among what holds every limit; NaN where there is none."""
        held = self.history.complete & self.history.inside & (self._excess == 0)
        losses = self._losses[held, 0]
        return -self.sense * float(losses.min()) if np.isfinite(losses).any() else math.nan

    def remembered(self) -> Array:
        """Best positions (N, k) of the particles with a result, in order of their numbers."""
        return np.stack([self.told[i].best for i in sorted(self.told)])

    def energies(self, i: int) -> Array:
        """Of the particles with a result, in order of their numbers, as a particle sees them, shape (N,)."""
        memory = any(self._options[name] for name in ("memory", "memory_noise", "inertia"))
        rows = [self.told[j].best_row if memory else self.told[j].row for j in sorted(self.told)]
        return self._seen_by(i)[rows]

    def _seen_by(self, i: int) -> Array:
        """Energies of all trials as a particle sees them, shape (n,)."""
        if len(self.history.measured) == 1:
            return self._worths
        if i not in self._energies:
            self._energies[i] = self._scalar(self._losses, self._excess, self.weights(i))
        return self._energies[i]

    def weights(self, i: int) -> Array:
        """Of the objectives, for a particle: those of prefer=, else spread evenly over the simplex, shape (m,)."""
        goals = self.history.measured
        if len(goals) == 1:
            return np.ones(1)
        if self.request.prefer:
            w = np.array([self.request.prefer.get(goal.name, 0.0) for goal in goals])
            return np.asarray(w / w.sum())
        from scipy.stats import qmc

        u = qmc.Sobol(len(goals) - 1, scramble=False).fast_forward(i + 1).random(1)[0] if len(goals) > 1 else []
        cuts = np.concatenate([[0.0], np.sort(u), [1.0]])
        return np.asarray(np.maximum(np.diff(cuts), 1e-3))

    def predicted(self, belief: Any, Z: Array, i: int) -> Array:
        """Energies (N,) of latent positions by the mean of the model, one standard deviation hopeful."""
        history = self.history
        said = belief.predict(self.latent.settled(Z))
        Y = np.stack(
            [
                (1.0 if goal.target is not None else goal.sign) * said[goal.name][0]
                + (0.0 if goal.target is not None else 1.0) * said[goal.name][1]
                for goal in history.measured
            ],
            axis=1,
        )
        excess = np.zeros(len(Z))
        if history.constraints:
            excess = np.maximum(0.0, 0.5 - belief.feasibility(self.latent.settled(Z)))
        return self._scalar(-history.utility(Y), excess, self.weights(i))
