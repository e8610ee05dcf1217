"""What the next trials are worth: the expected gain of 1, 5 and 10 of them, and whether to go on.

The next trials are played through on functions drawn from the posterior. On a finite set of points, of which the
posterior is known jointly and exactly, each drawn function is optimised as the study would be: the point with the
largest expected improvement (times the probability that it holds the limits) is measured, with noise, the posterior
is brought up to date, and so on. What is chosen at the end is the measured point with the largest expected utility,
as it is now; the gain is how much better that is, by the drawn function. So a gain may be negative under noise, and
the mean over the draws is what to expect of this policy if the model is right (a rollout of one policy, as in Lam,
Willcox and Wolpert 2016, Bayesian optimization with a finite budget, at full depth and without discount).

The set holds points spread over the space, points near good trials, maximisers of drawn functions and the recommended
point; a search finds a little better ones between them, so a small gain is understated. Several objectives: the gain
is in hypervolume, as a share of that of the front now, and each step improves a random weighting of the objectives
(ParEGO, Knowles 2006).

Symbols: s draws, c candidates, m objectives, k limits; z standardised values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from workbench import markup
from workbench.acquisition.base import joint_samples
from workbench.acquisition.search import Region
from workbench.acquisition.search.points import screening_points
from workbench.acquisition.thompson import draw
from workbench.analysis.belief import Belief
from workbench.analysis.recommend import fully_held
from workbench.analysis.verdict import Verdict, plain, runs, unit_of
from workbench.models.gp import alone
from workbench.pareto import hypervolume, non_dominated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.feasibility import Limit
    from workbench.space import Space

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Rows = NDArray[np.int64]

AHEAD = (1, 5, 10)
FEWEST = 5  # complete trials below which nothing is promised
STOP = 0.01  # of the spread of the values so far: an expected gain of all trials ahead below it says stop

_DRAWS = 64
_SPREAD, _DRAWN, _POOL = 384, 24, 2048  # candidates: spread and near good trials; maximisers of draws, out of so many
_KEPT = 48  # good trials among the candidates
_REACH = 0.1  # of the range of the front, that the reference point lies beyond its worst values
_JITTER = 1e-10
_SEED = 0x60


@dataclass(frozen=True, slots=True)
class Gain:
    """What some further trials are expected to bring.

    Args:
        trials: How many.
        mean: Expected gain: of the objective, user units, positive is better; or a share of the hypervolume.
        low, high: Its interval, 90 of 100 draws.
        any: Probability that there is a gain at all.
        held: Probability that some trial holds every limit by then; 1 where one does already.
    """

    trials: int
    mean: float
    low: float
    high: float
    any: float
    held: float = 1.0


@dataclass(frozen=True)
class Worth:
    """What the next trials are worth.

    Args:
        objective: Name of the objective; None for several, whose gain is a share of the hypervolume.
        unit: Its unit.
        gains: For 1, 5 and 10 trials; empty where there are too few trials.
        stop: Gain of all trials ahead below which it is not worth going on, in the unit of the gains.
        trials: Trials that the model has learnt from.
        needed: Trials below which nothing is promised.
        nothing_yet: Does no trial hold every limit yet?
        targeted: Is the gain a distance to a target?
    """

    objective: str | None
    unit: str | None
    gains: tuple[Gain, ...]
    stop: float
    trials: int
    needed: int = FEWEST
    nothing_yet: bool = False
    targeted: bool = False

    @property
    def worthwhile(self) -> bool:
        """Is the expected gain of all trials ahead at least `stop`?"""
        return bool(self.gains) and self.gains[-1].mean >= self.stop

    def verdict(self) -> Verdict:
        """Whether to go on, in words."""
        if not self.gains:
            return Verdict(
                "worth", "early", "Go on: it is too early to say what the next runs will bring.",
                f"{runs(self.trials)} with a value, and this needs {self.needed}.",
            )  # fmt: skip
        last = self.gains[-1]
        if last.held < 1.0 and self.nothing_yet:
            claim = f"No run holds every limit yet. One of the next {last.trials} will with a probability of "
            return Verdict(
                "worth", "know" if last.held >= 0.5 else "look", claim + f"{100 * last.held:.0f} %.",
                "Played through on functions that the model thinks possible.",
                "" if last.held >= 0.5 else "Widen the bounds or relax a limit.",
            )  # fmt: skip
        do = f"improve {self.objective}" if self.objective is not None else "widen the front"
        if self.targeted:
            do = f"bring {self.objective} closer to its target"
        before = [
            f"the next {runs(gain.trials) if gain.trials > 1 else 'one'} {self._said(gain)}" for gain in self.gains
        ]
        because = f"Expected of {', '.join(before[:-1])}. " if len(before) > 1 else ""
        because += f"There is a gain at all in {100 * last.any:.0f} of 100 cases."
        if self.worthwhile:
            claim = f"Worth going on: the next {runs(last.trials)} should {do} by {self._said(last)}."
            return Verdict("worth", "know", claim, because)
        claim = f"Not worth going on: the next {runs(last.trials)} should {do} by less than {self._amount(self.stop)}."
        action = "Stop here; if it is not good enough, widen the bounds or change the goal."
        return Verdict("worth", "know", claim, because, action)

    def _said(self, gain: Gain) -> str:
        low, high = (self._amount(value, bare=True) for value in (gain.low, gain.high))
        return f"{self._amount(gain.mean)} ({low} to {high})"

    def _amount(self, value: float, *, bare: bool = False) -> str:
        if self.objective is None:
            return f"{100 * value:.1f}" + ("" if bare else " %")
        size = max(self.stop, *(abs(gain.high) for gain in self.gains)) or 1.0
        return plain(value, 0.1 * size) + ("" if bare else unit_of(self.unit))

    def table(self) -> dict[str, list[Any]]:
        """The numbers as columns."""
        names = ("trials", "mean", "low", "high", "any")
        return {name: [getattr(gain, name) for gain in self.gains] for name in names}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        said = self.verdict()
        return markup.heading("Worth", said.claim, said.because) + markup.table(self.table())


def worth_more(belief: Belief, ahead: Sequence[int] = AHEAD, fixed: Mapping[str, Any] | None = None) -> Worth:
    """Expected gain of further trials.

    Args:
        belief: Record and model.
        ahead: Numbers of trials, each at least 1.
        fixed: Parameters held at a value; needed for every role "context".
    Raises:
        InvalidValueError: for a missing context.
        UnsupportedError: for environment parameters that are not fixed.
    """
    history = belief.history
    goal = belief.goals[0] if len(belief.goals) == 1 else None
    name, unit = (None, None) if goal is None else (goal.name, goal.unit)
    known = int((history.complete & history.placed & ~np.isnan(history.Y).any(axis=1)).sum())
    if known < FEWEST:
        return Worth(name, unit, (), 0.0, known)
    rng = np.random.default_rng([_SEED, history.seed])
    with alone():
        game = _Game.of(belief, _candidates(belief, rng, fully_held(history.space, fixed)), rng)
        gains, held = game.played(sorted(ahead), rng)  # (s, len(ahead)), (len(ahead),)
    scale = 1.0 if goal is None else goal.unit_of_z()
    ends = np.quantile(gains, [0.05, 0.95], axis=0)  # (2, len(ahead))
    found = tuple(
        Gain(steps, scale * float(g.mean()), scale * float(low), scale * float(high), _any(g), sure)
        for steps, g, low, high, sure in zip(sorted(ahead), gains.T, *ends, held, strict=True)
    )
    stop = STOP
    if goal is not None:
        stop = STOP * float(np.ptp(np.quantile(goal.process.data.y, [0.05, 0.95]))) * scale
    return Worth(
        name,
        unit,
        found,
        stop,
        known,
        nothing_yet=not belief.counted.size,
        targeted=goal is not None and goal.goal is not None and goal.goal.target is not None,
    )


def _any(gains: Array) -> float:
    return float((gains > 1e-9).mean())


# -- where the game is played --------------------------------------------------------------------------


def _candidates(belief: Belief, rng: np.random.Generator, fixed: Mapping[str, Any]) -> Array:
    """Encoded points that the next trials may be at: good trials first, shape (c, d)."""
    history, gp = belief.history, belief.gp
    region = Region(history.space, gp.inputs, fixed, lambda X: np.ones(len(X), dtype=bool))
    known = belief.designs(_held_point(history.space, fixed))[_order(belief)][:_KEPT]
    good = known[:3]
    near = screening_points(region, rng, good, _SPREAD)
    pool = np.concatenate([near, screening_points(region, rng, good, _POOL)])
    Z = gp.inputs.model_points(pool)
    chance = gp.feasibility(pool)
    picked = []
    for i in range(_DRAWN):
        goal = belief.goals[i % len(belief.goals)]
        function = draw(goal.process.posterior, rng, belief.levels(), 128)
        picked.append(int(np.argmax(np.where(chance > 0.05, goal.worth(function.value(Z)), -np.inf))))
    mu, sd = belief.moments(pool)
    best = [int(np.argmax(q.expected_worth(mu[:, j], sd[:, j]))) for j, q in enumerate(belief.goals)]
    chosen = np.unique([*picked, *best])
    return np.concatenate([known, near, pool[chosen]])


def _held_point(space: Space, fixed: Mapping[str, Any]) -> Array:
    """The held values as an encoded point (d,), NaN elsewhere."""
    x = np.full(space.width, np.nan)
    for name, value in fixed.items():
        x[space.slices[name]] = space[name].encode([value])[0]
    return x


def _order(belief: Belief) -> Rows:
    """The counted trials by their utilities, the best ones first, as positions among them."""
    return np.argsort(-belief.worths().sum(axis=1), kind="stable") if belief.counted.size else belief.counted


class _Game:
    """Drawn functions on a finite set, the first points of which are trials that were run.

    Args:
        belief: Record and model.
        known: How many of the candidates were run.
        mu, S: Moments of every modelled quantity at the candidates, (q, c) and (q, c, c).
        F: Drawn values, shape (q, s, c); of objectives first, then of limits.
        succeeds: Whether a trial there ends well, shape (s, c).
        chance: The probability of that, shape (c,).
    """

    def __init__(
        self, belief: Belief, known: int, mu: Array, S: Array, F: Array, succeeds: Mask, chance: Array
    ) -> None:
        self.belief, self.known, self.F, self.succeeds, self.chance = belief, known, F, succeeds, chance
        s, m = F.shape[1], len(belief.goals)
        self.mu = np.repeat(mu[:, None], s, axis=1)  # (q, s, c)
        self.S = S  # before; what each draw has learnt since is taken off
        self.falls: list[list[Array]] = [[] for _ in S]
        self.variance = np.repeat(np.einsum("qcc->qc", S)[:, None], s, axis=1)  # (q, s, c)
        self.done = np.zeros(succeeds.shape, dtype=bool)  # measured, well ended and within the limits, (s, c)
        self.done[:, :known] = True
        self.tried = self.done.copy()
        self.quantities = belief.quantities
        self.noise = [max(q.noise_z**2, _JITTER) for q in self.quantities]
        self.limits = _limits(belief)
        self.ideal, self.spread, self.reference = _ranges(belief, m)

    @classmethod
    def of(cls, belief: Belief, X: Array, rng: np.random.Generator) -> _Game:
        """The game at candidates X (c, d)."""
        Z = belief.gp.inputs.model_points(X)
        mus, covariances, drawn = [], [], []
        for quantity in belief.quantities:
            posterior = quantity.process.posterior
            mus.append(posterior.mean_sd(Z)[0])
            covariances.append(posterior.cross(Z, Z))
            drawn.append(joint_samples(posterior, Z, _DRAWS, rng))
        chance = np.ones(len(X))
        if belief.gp.failure is not None:
            chance = np.exp(belief.gp.failure.log_probability(Z))
        known = min(len(belief.counted), _KEPT)
        succeeds = rng.random((_DRAWS, len(X))) < chance
        succeeds[:, :known] = True
        return cls(belief, known, np.stack(mus), np.stack(covariances), np.stack(drawn), succeeds, chance)

    def played(self, ahead: Sequence[int], rng: np.random.Generator) -> tuple[Array, list[float]]:
        """The gains after some numbers of trials.

        Returns:
            Gains, shape (s, len(ahead)), in units of z or as shares of the hypervolume, and for each number the share
            of draws in which some trial holds every limit.
        """
        before = self._value()
        found, held_by, draws = [], list[float](), np.arange(self.F.shape[1])
        for step in range(1, max(ahead) + 1):
            at = self._next(np.sqrt(np.maximum(self.variance, 0.0)), rng)  # (s,)
            measured = self.succeeds[draws, at]
            for q in range(len(self.F)):
                self._learn(q, at, measured, rng)
            held = measured.copy()
            for q, (lower, upper) in self.limits.items():
                value = self.F[q, draws, at]
                held &= (value >= lower) & (value <= upper)
            self.done[draws, at] |= held
            self.tried[draws, at] = True
            if step in ahead:
                found.append(self._value() - before)
                held_by.append(float(self.done.any(axis=1).mean()))
        gains = np.stack(found, axis=1)
        return (gains if len(self.belief.goals) == 1 else gains / np.maximum(before, 1e-12)[:, None]), held_by

    def _learn(self, q: int, at: Rows, measured: Mask, rng: np.random.Generator) -> None:
        """Bring the moments of one quantity up to date with a noisy value at one point of each draw.

        S falls by v v^T with v = S_at / (S_at,at + noise)^1/2 each time; of S only the columns asked for are formed.
        """
        draws = np.arange(len(at))
        column = self.S[q, at].copy()  # (s, c)
        for v in self.falls[q]:
            column -= v * v[draws, at][:, None]
        total = column[draws, at] + self.noise[q]
        seen = self.F[q, draws, at] + np.sqrt(self.noise[q]) * rng.standard_normal(len(at))
        rate = np.where(measured, 1.0 / np.maximum(total, 1e-300), 0.0)
        self.mu[q] += (rate * (seen - self.mu[q, draws, at]))[:, None] * column
        v = np.sqrt(rate)[:, None] * column
        self.falls[q].append(v)
        self.variance[q] -= v**2

    def _next(self, sd: Array, rng: np.random.Generator) -> Rows:
        """The candidate of each draw with the largest expected improvement that holds the limits, shape (s,)."""
        m, goals = len(self.belief.goals), self.belief.goals
        if m == 1:
            worth = goals[0].expected_worth(self.mu[0], sd[0])
            best = np.where(self.done, worth, -np.inf).max(axis=1)
            start = np.isinf(best)
            gain = goals[0].expected_gain(self.mu[0], sd[0], np.where(start, 0.0, best)[:, None])
            gain[start] = 1.0  # nothing holds the limits yet: look for what does
        else:
            gain = self._weighted_gain(sd, rng)
        score = np.log(np.maximum(gain, 1e-300)) + np.log(np.maximum(self.chance, 1e-300))
        for q, (lower, upper) in self.limits.items():
            s = np.maximum(sd[q], 1e-10)
            score += np.log(np.maximum(ndtr((upper - self.mu[q]) / s) - ndtr((lower - self.mu[q]) / s), 1e-300))
        return np.asarray(np.where(self.tried, -np.inf, score).argmax(axis=1))

    def _weighted_gain(self, sd: Array, rng: np.random.Generator) -> Array:
        """Improvement of a random weighting of the objectives, one for each draw, shape (s, c); by 8 normals."""
        m, s = len(self.belief.goals), self.F.shape[1]
        weights = rng.dirichlet(np.ones(m), size=s)  # (s, m)
        normals = rng.standard_normal((4, m))
        normals = np.concatenate([normals, -normals])

        def joined(z: Array) -> Array:  # (m, s, c) to (s, c)
            parts = [
                weights[:, j, None] * (q.worth(z[j]) - self.ideal[j]) / self.spread[j]
                for j, q in enumerate(self.belief.goals)
            ]
            return np.asarray(np.min(parts, axis=0) + 0.05 * np.sum(parts, axis=0))

        best = np.where(self.done, joined(self.mu[:m]), -np.inf).max(axis=1)
        best = np.where(np.isinf(best), -10.0, best)[:, None]
        gains = [np.maximum(joined(self.mu[:m] + z[:, None, None] * sd[:m]) - best, 0.0) for z in normals]
        return np.asarray(np.mean(gains, axis=0) + 1e-12 * sd[:m].sum(axis=0))

    def _value(self) -> Array:
        """What the record is worth by each drawn function, shape (s,)."""
        m, goals = len(self.belief.goals), self.belief.goals
        if m > 1:
            return self._volume()
        drawn = goals[0].worth(self.F[0])
        believed = drawn if self.belief.quiet else goals[0].worth(self.mu[0])
        chosen = np.where(self.done, believed, -np.inf).argmax(axis=1)
        value = drawn[np.arange(len(drawn)), chosen]
        worst = float(goals[0].worth(goals[0].process.data.y).min())
        return np.where(self.done.any(axis=1), value, worst)

    def _volume(self) -> Array:
        """Hypervolume of what was measured, by each drawn function, shape (s,)."""
        m = len(self.belief.goals)
        U = np.stack([(q.worth(self.F[j]) - self.ideal[j]) / self.spread[j] for j, q in enumerate(self.belief.goals)])
        return np.array(
            [hypervolume(U[:, i, self.done[i]].T.reshape(-1, m), self.reference) for i in range(U.shape[1])]
        )


def _limits(belief: Belief) -> dict[int, tuple[float, float]]:
    """Lower and upper end of z, by the number of the quantity among all of them."""
    found, m = {}, len(belief.goals)
    own: dict[int, Limit] = {id(limit.posterior): limit for limit in belief.gp.limits}
    for j, quantity in enumerate(belief.limited):
        limit = own.get(id(quantity.process.posterior))
        if limit is not None:
            found[m + j] = (limit.lower, limit.upper)
    return found


def _ranges(belief: Belief, m: int) -> tuple[Array, Array, Array]:
    """Ideal and range of the front in units of z, and the reference point in units of that range, shape (m,) each."""
    worths = belief.worths()
    if m == 1 or not len(worths):
        return np.zeros(m), np.ones(m), np.full(m, -1.0)
    front = worths[non_dominated(worths)]
    ideal, worst = front.max(axis=0), front.min(axis=0)
    spread = np.where(ideal - worst > 1e-9, ideal - worst, 1.0)
    reference = (worst - ideal) / spread - _REACH
    for j, goal in enumerate(belief.goals):
        known = None if goal.goal is None else goal.goal.reference
        if known is not None and goal.goal is not None and goal.goal.target is None:
            z = goal.process.outcome.forward(np.array(goal.sign * known))
            reference[j] = (float(z) - ideal[j]) / spread[j]
    return ideal, spread, reference
