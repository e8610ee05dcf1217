"""What the next trials are worth: the expected gain of 1, 5 and 10 of them, and whether to go on.

The next trials are played through on functions drawn from the posterior, each under hyperparameters drawn from theirs.
Each function is optimised as the study would be: the point with the largest expected improvement (times the probability
that it holds the limits) is looked for, measured with noise, the posterior is brought up to date, and so on. What is
chosen at the end is the measured point with the largest expected utility, as it is now; the gain is how much better
that is, by the drawn function. So a gain may be negative under noise, and the mean over the draws is what to expect of
this policy if the model is right (a rollout of one policy, as in Lam, Willcox and Wolpert 2016, Bayesian optimization
with a finite budget, at full depth and without discount). Several objectives: the gain is in hypervolume, as a share of
that of the front now, and each step improves a random weighting of the objectives (ParEGO, Knowles 2006).

The search of each step looks at points spread over the space and then near the best of them; it is lighter than that of
an ask, so a gain is understated rather than overstated by it.

No function is quite what the model takes it for, and what it is wrong about adds up. On eight problems the interval of
the draws held what came of 1, 5 and 10 trials in 89, 71 and 58 of 100 cases instead of 90; widened by the factor
trials^0.6, and by 0.2 % of the range of the values for what is next to nothing, it held about 90; on other seeds than
it was set on 88, 77 and 85. "Not worth going on" was said in 22 of 96 cases there, and cost 0.3 % of the range on
average and 2.6 % at most (`benchmarks/worth_more.py`, `benchmarks/results/worth_more.json`).

Symbols: s draws, c points, d encoded columns, m objectives, k measured points; z standardised values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from workbench import markup
from workbench.acquisition.thompson import Draw, draw
from workbench.analysis.belief import Belief
from workbench.analysis.importance import plausible
from workbench.analysis.recommend import fully_held
from workbench.analysis.verdict import Verdict, plain, runs, unit_of
from workbench.models.exact import Data, ExactPosterior
from workbench.models.gp import alone
from workbench.pareto import hypervolume, non_dominated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.feasibility import Limit

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Rows = NDArray[np.int64]

AHEAD = (1, 5, 10)
FARTHEST = 200  # trials ahead: a game's time grows with their cube, and its promise is worth little long before
FEWEST = 5  # complete trials below which nothing is promised
STOP = 0.01  # of the spread of the values so far: an expected gain of all trials ahead below it says stop

_WIDER, _SLACK = 0.6, 0.2  # power of the number of trials that the interval is widened by; and a share of `STOP`
_SETTINGS, _EACH = 12, 4  # hyperparameters, and functions drawn under each
_FEATURES = 192  # of a drawn function
_SPREAD = 256  # points that every step looks at, beside
_NEAR, _STEPS = 48, (0.3, 0.1, 0.03, 0.01)  # so many near the best, at these shares of the way to points elsewhere
_SEARCHES = 2  # times that the neighbourhood of the best is searched
_LEARNT, _BEST = 400, 100  # trials that a game is conditioned on, the best ones among them
_KEPT = 48  # measured points that the final choice may fall on, the best ones
_NOISELESS = 1e-8  # variance of a measurement without noise
_SEED = 0x60


@dataclass(frozen=True, slots=True)
class Gain:
    """What some further trials are expected to bring.

    Args:
        trials: How many.
        mean: Expected gain: of the objective, user units, positive is better; or a share of the hypervolume.
        low, high: Interval in which it lies in 90 of 100 cases.
        any: Probability that there is a gain of more than next to nothing, 0.2 % of the range of the values.
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
        """Is the expected gain of all trials ahead at least `stop`? Never where all values so far are the same."""
        return bool(self.gains) and self.gains[-1].mean >= self.stop > 0.0

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
        because += f"More than {self._amount(_SLACK * self.stop)} comes in {100 * last.any:.0f} of 100 cases."
        if self.stop == 0.0:
            return Verdict(
                "worth", "look", f"Nothing says where a better run may be: all {runs(self.trials)} gave the same.", "",
                "Widen the bounds, or look at what is measured.",
            )  # fmt: skip
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
        ahead: Numbers of trials, each from 1 to `FARTHEST`.
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
    held = fully_held(history.space, fixed)
    with alone():
        field = _Field.of(belief, held)
        played = [_Game(belief, field, rules, rng).played(sorted(ahead)) for rules in _drawn(belief, rng)]
    gains = np.array([gain for gain, _ in played])  # (s, len(ahead))
    share = np.mean([there for _, there in played], axis=0)
    scale, stop = 1.0, STOP
    if goal is not None:
        scale = goal.unit_of_z()
        stop = STOP * scale * float(np.ptp(np.quantile(goal.process.data.y, [0.05, 0.95])))
    ends = np.quantile(gains, [0.05, 0.95], axis=0)  # (2, len(ahead))
    least = _SLACK * stop / scale
    found = tuple(
        Gain(
            steps,
            scale * float(g.mean()),
            *_widened(steps, scale * min(low, g.mean()), scale * max(high, g.mean()), _SLACK * stop),
            _any(g, least),
            sure,
        )
        for steps, g, low, high, sure in zip(sorted(ahead), gains.T, *ends.tolist(), share.tolist(), strict=True)
    )
    return Worth(
        name,
        unit,
        found,
        stop,
        known,
        nothing_yet=not belief.counted.size,
        targeted=goal is not None and goal.goal is not None and goal.goal.target is not None,
    )


def _widened(steps: int, low: float, high: float, slack: float) -> tuple[float, float]:
    """The interval of the draws, their mean in it, widened as far as what came of promises demands."""
    factor = steps**_WIDER
    least = max(0.0, low / factor - slack) if low >= 0 else low * factor - slack
    return least, max(high, 0.0) * factor + slack


def _any(gains: Array, least: float) -> float:
    return float((gains > least).mean())


# -- where the game is played --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Field:
    """The points that every game looks at.

    Args:
        spread: Encoded points of the space, shape (c, d).
        known: The best measured ones in the present context, shape (k, d).
        moving: Columns that may move a little.
        free: Which of the moving columns may move without the others.
        ideal, ranges: Of the front, in units of z, shape (m,) each.
        reference: Reference point of the hypervolume, in units of the ranges from the ideal, shape (m,).
    """

    belief: Belief
    spread: Array
    known: Array
    moving: Rows
    free: Mask
    ideal: Array
    ranges: Array
    reference: Array

    @classmethod
    def of(cls, belief: Belief, held: Mapping[str, Any]) -> _Field:
        """The field of a record, some parameters held."""
        space = belief.history.space
        x = np.full(space.width, np.nan)
        for name, value in held.items():
            x[space.slices[name]] = space[name].encode([value])[0]
        order: Rows = np.argsort(-belief.worths(x).sum(axis=1), kind="stable")[:_KEPT]
        columns = [
            (column, p.kind != "simplex" and not space.constrained)
            for p in space
            if p.name not in held and (p.kind == "simplex" or p.cardinality is None)
            for column in range(*space.slices[p.name].indices(space.width))
        ]
        moving = np.array([column for column, _ in columns], dtype=np.int64)
        return cls(
            belief, space.sobol(_SPREAD, belief.history.seed, fixed=held),
            belief.designs(x)[order], moving,
            np.array([alone for _, alone in columns], dtype=bool), *_ranges(belief),
        )  # fmt: skip

    def near(self, x: Array, rng: np.random.Generator) -> Array:
        """Allowed points on the way from x (d,) to points elsewhere, shape (at most c, d).

        On the way between two allowed points mixtures stay mixtures, and linear constraints hold.
        """
        if not self.moving.size:
            return x[None]
        P = np.repeat(x[None], _NEAR, axis=0)
        there = self.spread[rng.integers(len(self.spread), size=_NEAR)][:, self.moving]
        here = P[:, self.moving]
        step = rng.choice(_STEPS, size=(_NEAR, 1)) * (rng.random((_NEAR, len(self.moving))) < _share(rng))
        step = np.where(self.free, step, step.max(axis=1, keepdims=True))
        moved = here + step * (there - here)
        P[:, self.moving] = np.where(np.isnan(moved), here, moved)
        space = self.belief.history.space
        return P[space.feasible(P)] if space.constrained else P


def _share(rng: np.random.Generator) -> Array:
    """Of the columns that move, for each of the points near one: all of them, or some."""
    shares: Array = rng.choice([1.0, 0.4], size=(_NEAR, 1))
    return shares


def _drawn(belief: Belief, rng: np.random.Generator) -> Iterator[list[tuple[ExactPosterior, Draw]]]:
    """For each game, the process and the drawn function of every modelled quantity."""
    thinned = [_some(quantity.process.data) for quantity in belief.quantities]
    settings = [
        plausible(quantity.process.data, quantity.process.settings, _SETTINGS, rng) for quantity in belief.quantities
    ]
    for chosen in zip(*settings, strict=True):
        posteriors = [ExactPosterior.of(data, one) for data, one in zip(thinned, chosen, strict=True)]
        for _ in range(_EACH):
            yield [(posterior, draw(posterior, rng, belief.levels(), _FEATURES)) for posterior in posteriors]


def _some(data: Data) -> Data:
    """Of a large record the best trials, and an even sample of the others."""
    n = len(data.y)
    if n <= _LEARNT:
        return data
    order = np.argsort(-data.y, kind="stable")
    rest = np.sort(order[_BEST:])[np.linspace(0, n - _BEST - 1, _LEARNT - _BEST).astype(np.int64)]
    return data.at(np.sort(np.concatenate([order[:_BEST], rest])))


class _Game:
    """One drawn function, optimised as the study would be.

    Args:
        belief: Record and model.
        field: Where.
        rules: For every modelled quantity, objectives first, its process and the function that it is played with.
        rng: Source of the noise, of whether trials succeed, and of the search.
    """

    def __init__(
        self, belief: Belief, field: _Field, rules: list[tuple[ExactPosterior, Draw]], rng: np.random.Generator
    ) -> None:
        self._belief, self._field, self._rng = belief, field, rng
        self._posteriors = [posterior for posterior, _ in rules]
        self._truths = [truth for _, truth in rules]
        self._limits = _limits(belief)
        self._measured = belief.gp.inputs.model_points(field.known)  # those that hold every limit, (k, e)
        self._spread = belief.gp.inputs.model_points(field.spread)
        self._noise = [max(q.noise_z**2, _NOISELESS) for q in belief.quantities]

    def played(self, ahead: Sequence[int]) -> tuple[list[float], list[float]]:
        """Gains after some numbers of trials, and whether some trial holds every limit by then (0 or 1)."""
        before, gains, held = self._value(), [], []
        for step in range(1, max(ahead) + 1):
            self._measure(self._next())
            if step in ahead:
                gain = self._value() - before
                gains.append(gain if len(self._belief.goals) == 1 else gain / max(before, 1e-12))
                held.append(float(len(self._measured) > 0))
        return gains, held

    def _measure(self, x: Array) -> None:
        """Run a trial at an encoded point (d,)."""
        Z = self._belief.gp.inputs.model_points(x[None])
        failure = self._belief.gp.failure
        if failure is not None and self._rng.random() > np.exp(failure.log_probability(Z)[0]):
            return
        values = [float(truth.value(Z)[0]) for truth in self._truths]
        for i, (value, noise) in enumerate(zip(values, self._noise, strict=True)):
            seen = value + np.sqrt(noise) * self._rng.standard_normal()
            self._posteriors[i] = self._posteriors[i].condition(Z, np.array([[seen]]), noise).version(0)
        if all(lower <= values[i] <= upper for i, (lower, upper) in self._limits.items()):
            self._measured = np.concatenate([self._measured, Z])

    # -- the policy ------------------------------------------------------------------------------

    def _next(self) -> Array:
        """The point with the largest expected improvement that was found, encoded (d,)."""
        weights = self._rng.dirichlet(np.ones(len(self._belief.goals)))
        best = self._best(weights)
        scores = self._score(self._spread, best, weights)
        i = int(np.argmax(scores))
        x: Array = self._field.spread[i]
        top = float(scores[i])
        starts = [x, self._field.known[0]] if len(self._field.known) else [x]
        for start in starts:
            y, value = start, -np.inf
            for _ in range(_SEARCHES):
                P = self._field.near(y, self._rng)
                if not len(P):
                    break
                found = self._score(self._belief.gp.inputs.model_points(P), best, weights)
                j = int(np.argmax(found))
                if found[j] <= value:
                    break
                y, value = P[j], float(found[j])
            if value > top:
                x, top = y, value
        return x

    def _best(self, weights: Array) -> float | None:
        """Expected utility of the best measured point; None while none holds the limits."""
        if not len(self._measured):
            return None
        return float(self._joined(self._means(self._measured), weights).max())

    def _means(self, Z: Array) -> Array:
        """Expected utilities of the objectives, shape (c, m)."""
        goals = zip(self._belief.goals, self._posteriors, strict=False)
        return np.stack([goal.expected_worth(*posterior.mean_sd(Z)) for goal, posterior in goals], axis=1)

    def _score(self, Z: Array, best: float | None, weights: Array) -> Array:
        """Log of the expected improvement and of the probability that the limits hold, shape (c,)."""
        goals = self._belief.goals
        moments = [posterior.mean_sd(Z) for posterior in self._posteriors]
        if best is None:
            gain = np.ones(len(Z))
        elif len(goals) == 1:
            gain = goals[0].expected_gain(*moments[0], best)
        else:
            mu, sd = (np.stack([moment[part] for moment in moments[: len(goals)]], axis=1) for part in (0, 1))
            drawn = (mu + normal * sd for normal in self._normals)
            worths = [np.stack([q.worth(z[:, j]) for j, q in enumerate(goals)], axis=1) for z in drawn]
            gain = np.mean([np.maximum(self._joined(worth, weights) - best, 0.0) for worth in worths], axis=0)
            gain = gain + 1e-12 * sd.sum(axis=1)
        score = np.log(np.maximum(gain, 1e-300))
        if self._belief.gp.failure is not None:
            score = score + self._belief.gp.failure.log_probability(Z)
        for i, (lower, upper) in self._limits.items():
            mu, sd = moments[i][0], np.maximum(moments[i][1], 1e-10)
            score = score + np.log(np.maximum(ndtr((upper - mu) / sd) - ndtr((lower - mu) / sd), 1e-300))
        return np.asarray(score)

    @cached_property
    def _normals(self) -> Array:
        """Of several objectives, in mirrored pairs, shape (8, m)."""
        normals = self._rng.standard_normal((4, len(self._belief.goals)))
        return np.concatenate([normals, -normals])

    def _joined(self, worths: Array, weights: Array) -> Array:
        """One number of utilities (c, m): themselves, or an augmented Chebyshev distance, shape (c,)."""
        if worths.shape[1] == 1:
            only: Array = worths[:, 0]
            return only
        parts = weights * (worths - self._field.ideal) / self._field.ranges
        return np.asarray(parts.min(axis=1) + 0.05 * parts.sum(axis=1))

    # -- what it has brought -------------------------------------------------------------------------

    def _value(self) -> float:
        """What the record is worth by the drawn function, in units of z; of several objectives the hypervolume."""
        goals = self._belief.goals
        if not len(self._measured):
            return float(goals[0].worth(goals[0].process.data.y).min()) if len(goals) == 1 else 0.0
        pairs = zip(goals, self._truths, strict=False)
        true = np.stack([goal.worth(truth.value(self._measured)) for goal, truth in pairs], axis=1)  # (k, m)
        if len(goals) > 1:
            return hypervolume((true - self._field.ideal) / self._field.ranges, self._field.reference)
        chosen = true if self._belief.quiet else self._means(self._measured)
        return float(true[int(np.argmax(chosen[:, 0])), 0])


def _limits(belief: Belief) -> dict[int, tuple[float, float]]:
    """Lower and upper end of z, by the number of the quantity among all of them."""
    own: dict[int, Limit] = {id(limit.posterior): limit for limit in belief.gp.limits}
    found = {}
    for j, quantity in enumerate(belief.limited, len(belief.goals)):
        limit = own.get(id(quantity.process.posterior))
        if limit is not None:
            found[j] = (limit.lower, limit.upper)
    return found


def _ranges(belief: Belief) -> tuple[Array, Array, Array]:
    """Ideal and range of the front in units of z, and the reference point in units of that range, shape (m,) each."""
    m = len(belief.goals)
    if m == 1 or not belief.counted.size:
        return np.zeros(m), np.ones(m), np.full(m, -1.0)
    worths = belief.worths()
    front = worths[non_dominated(worths)]
    ideal, worst = front.max(axis=0), front.min(axis=0)
    ranges = np.where(ideal - worst > 1e-9, ideal - worst, 1.0)
    return ideal, ranges, (belief.reference() - ideal) / ranges
