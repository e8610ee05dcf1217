"""The point that the model would choose now, anywhere in the space, and why it is not the best one measured.

One objective: the largest expected utility less `risk` standard deviations, among the points that hold every limit and
succeed with probability `sure`. Several: the compromise that is least far from the best known value in any objective,
in units of the range of the front and weighted by `prefer` (the augmented Chebyshev distance of Wierzbicki 1980, The
use of reference objectives in multiobjective optimization). The search is that of the acquisition functions.

Symbols: b points Z, d model inputs, m objectives; mu, sd moments of z.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from workbench import markup
from workbench.acquisition.search import Region, maximize
from workbench.acquisition.search.climbing import polished
from workbench.acquisition.search.objective import Objective
from workbench.analysis.belief import Belief, Neighbour, Quantity, chance_above
from workbench.analysis.verdict import about, listed, odds, plain, unit_of
from workbench.errors import InvalidValueError, TrialStateError, UnsupportedError
from workbench.models.gp import alone
from workbench.models.normal import SD_FLOOR, improvement_terms
from workbench.pareto import non_dominated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.feasibility import Limit
    from workbench.space import Space

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_SCREENED, _STARTS = 1024, 12
_BARRIER = 50.0  # units of z lost for each factor of e by which a point is less likely to hold its limits than wanted
_CLOSE = 0.9  # share of the surest point's probability that is asked for where no point is as sure as wanted
_SLACK = 0.98  # of the wanted probability: what rounding to a point that exists may cost
_TRIFLE = 0.1  # of the noise, or of a tenth of the range of the values: a gain below it is none
_SUM = 0.05  # weight of the other objectives in a compromise
_SAME = 1e-6  # two points of the unit cube are further apart
_SEED = 0x4E


@dataclass(frozen=True)
class Recommendation:
    """The point to use if no further trial were run.

    Args:
        params: Its parameters.
        mean, sd: By quantity, of the noise-free value there, user units.
        noise: By quantity, standard deviation of one measurement.
        feasible: Probability that it holds every limit and succeeds.
        nearest: The trial that lies nearest, with what differs.
        best: Number of the best trial as measured; None if none counts, or with several objectives.
        gain: Mean and standard deviation of how much better it is than that one, user units; None without one.
        better: Probability that it is.
        why: Why it differs from the best trial, or that it is the same; plain text.
        risk: Standard deviations that were subtracted.
    """

    params: Mapping[str, Any]
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    noise: Mapping[str, float]
    feasible: float
    nearest: Neighbour | None
    best: int | None
    gain: tuple[float, float] | None
    better: float | None
    why: str
    risk: float

    def __str__(self) -> str:
        settings = ", ".join(f"{name} = {markup.wording(value)}" for name, value in self.params.items())
        return f"{settings}. {self.why}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        params = [(name, markup.wording(value)) for name, value in self.params.items()]
        means = [(name, about(mean, self.sd[name])) for name, mean in self.mean.items()]
        sure = [("holds its limits", odds(self.feasible))] if self.feasible < 1 else []
        return markup.heading("Recommended", "", self.why) + "".join(map(markup.fields, (params, [*means, *sure])))


def recommend(
    belief: Belief,
    *,
    risk: float = 0.0,
    sure: float = 0.9,
    prefer: Mapping[str, float] | None = None,
    fixed: Mapping[str, Any] | None = None,
    allows: Callable[[Array], Mask] | None = None,
) -> Recommendation:
    """The best point anywhere, as the model sees it.

    Args:
        belief: Record and model.
        risk: Standard deviations to subtract from what is expected: 0 takes the mean, 1 prefers what is well known.
        sure: Probability with which it has to hold every limit and succeed; where no point does, one of the surest.
        prefer: Weights of several objectives by name; equal without it.
        fixed: Parameters held at a value; needed for every role "context".
        allows: Mask (n,) of the encoded points (n, d) that people have not ruled out.
    Raises:
        InvalidValueError: for a wrong argument, or a missing context.
        UnsupportedError: for a space with environment parameters that are not fixed.
        TrialStateError: if nothing that may be chosen was found.
    """
    if not (isinstance(sure, Real) and isinstance(risk, Real) and 0 <= sure < 1 and np.isfinite(risk)):
        raise InvalidValueError(f"expected 0 <= sure < 1 and a finite risk, got sure={sure!r} and risk={risk!r}")
    space, gp = belief.history.space, belief.gp
    held = fully_held(space, fixed)
    region = Region(space, gp.inputs, held, allows or _everywhere)
    rng = np.random.default_rng([_SEED, belief.history.seed])
    around = belief.history.X[_promising(belief)]
    with alone():
        spread = np.concatenate([space.sobol(_SCREENED, belief.history.seed, fixed=held), around])
        surest = float(gp.feasibility(spread).max(initial=0.0))
        least = sure if surest >= sure else _CLOSE * surest
        score = Score(belief, _compromise(belief, prefer, spread), risk, gp.limits, least)
        found = maximize(score, region, rng, around, restarts=_STARTS, raw_samples=_SCREENED)
        if found is None:
            raise TrialStateError("no point was found that the constraints and rejections allow; lift one of them")
        x = found.x
        if gp.limits or len(belief.goals) > 1:  # gradients stop at the kinks of the score
            x, _ = polished(Objective(score, gp.inputs, None), region, rng, x, found.value)
    return _described(belief, x, risk, least, sure)


def fully_held(space: Space, fixed: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is held: as given, and fidelities and tasks at their targets.

    Raises:
        InvalidValueError: if a context is missing.
        UnsupportedError: if a parameter that varies by itself is not held.
    """
    held = space.complete_fixed(fixed or {})
    for p in space:
        if p.name not in held and p.role == "context":
            raise InvalidValueError(f"{p.name!r} is decided by the world; say what it is: fixed={{{p.name!r}: …}}")
        if p.name not in held and p.role == "environment":
            raise UnsupportedError(f"{p.name!r} varies by itself; say for which value: fixed={{{p.name!r}: …}}")
    return held


def _everywhere(X: Array) -> Mask:
    return np.ones(len(X), dtype=bool)


def _promising(belief: Belief) -> NDArray[np.int64]:
    """Rows of the trials whose neighbourhood is worth a look: the best few of each objective."""
    rows, worths = belief.counted, belief.worths()
    if not rows.size:
        history = belief.history
        return np.flatnonzero(history.complete & history.placed)[-3:]
    best = [np.argsort(-worths[:, j], kind="stable")[:3] for j in range(worths.shape[1])]
    return rows[np.unique(np.concatenate(best))]


# -- what is maximised ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compromise:
    """How several objectives become one: weights, and the ideal and the range of each, in units of z, (m,)."""

    weights: Array
    ideal: Array
    spread: Array


def _compromise(belief: Belief, prefer: Mapping[str, float] | None, spread: Array) -> Compromise | None:
    """None for one objective; the range of the points (k, d) stands in for that of a front that is not there yet."""
    names = [goal.name for goal in belief.goals]
    if prefer is not None and not isinstance(prefer, Mapping):
        raise InvalidValueError(f"prefer= is a mapping by name, such as {{{names[0]!r}: 1.0}}; got {prefer!r}")
    weights = dict.fromkeys(names, 1.0) if not prefer else dict.fromkeys(names, 0.0) | dict(prefer)
    told = all(isinstance(w, Real) and 0 <= w < np.inf for w in weights.values())
    if set(weights) != set(names) or not told or not any(weights.values()):
        raise InvalidValueError(
            f"expected prefer= to give weights >= 0 to some of {', '.join(names)}, got {dict(prefer or {})}"
        )
    if len(names) == 1:
        return None
    worths = belief.worths()
    if not len(worths):
        mu, sd = belief.moments(spread)
        worths = np.stack([q.expected_worth(mu[:, j], sd[:, j]) for j, q in enumerate(belief.goals)], axis=1)
    front = worths[non_dominated(worths)]
    ideal, worst = front.max(axis=0), front.min(axis=0)
    ranges = np.where(ideal - worst > 1e-9, ideal - worst, 1.0)
    total = np.array([weights[name] for name in names])
    return Compromise(total / total.sum(), ideal, ranges)


class Score:
    """Expected utility less risk, or a compromise of several, less what is missing to the wanted probability.

    Args:
        belief: Record and model.
        compromise: Of several objectives.
        risk: Standard deviations to subtract.
        limits: What has to hold.
        least: Probability that they hold, without which a point loses.
    """

    def __init__(
        self, belief: Belief, compromise: Compromise | None, risk: float, limits: Sequence[Limit], least: float
    ) -> None:
        self._goals, self._compromise, self._risk = belief.goals, compromise, risk
        self._limits, self._log_least = limits, float(np.log(max(least, 1e-300)))

    def value(self, Z: Array) -> Array:
        """Values, shape (b,), at Z (b, d)."""
        parts = []
        for goal in self._goals:
            mu, sd = goal.process.posterior.mean_sd(Z)
            parts.append(goal.expected_worth(mu, sd) - self._risk * sd)
        total = self._joined(np.stack(parts, axis=1))[0]
        if self._limits:
            logs = np.sum([limit.log_probability(Z) for limit in self._limits], axis=0)
            total = total + _BARRIER * np.minimum(0.0, logs - self._log_least)
        return np.asarray(total)

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Values, shape (b,), and gradients, shape (b, d), at Z (b, d)."""
        parts, slopes = [], []
        for goal in self._goals:
            mu, sd, dmu, dsd = goal.process.posterior.mean_sd_grad(Z)
            along_mu, along_sd = _slopes(goal, mu, sd)
            parts.append(goal.expected_worth(mu, sd) - self._risk * sd)
            slopes.append(along_mu[:, None] * dmu + (along_sd - self._risk)[:, None] * dsd)
        total, weights = self._joined(np.stack(parts, axis=1))
        grad = np.einsum("bm,mbd->bd", weights, np.stack(slopes))
        if self._limits:
            logs, dlogs = zip(*(limit.log_probability_grad(Z) for limit in self._limits), strict=True)
            short = np.sum(logs, axis=0) - self._log_least
            total = total + _BARRIER * np.minimum(0.0, short)
            grad = grad + _BARRIER * (short < 0)[:, None] * np.sum(dlogs, axis=0)
        return np.asarray(total), np.asarray(grad)

    def _joined(self, worths: Array) -> tuple[Array, Array]:
        """One number (b,) of utilities (b, m), and its slopes in them (b, m)."""
        if self._compromise is None:
            return worths[:, 0], np.ones_like(worths)
        c = self._compromise
        missing = c.weights * (worths - c.ideal) / c.spread  # (b, m), at most about 0
        last = missing.argmin(axis=1)
        weights = np.full(worths.shape, _SUM)
        weights[np.arange(len(worths)), last] += 1.0
        return (weights * missing).sum(axis=1), weights * c.weights / c.spread


def _slopes(goal: Quantity, mu: Array, sd: Array) -> tuple[Array, Array]:
    """Derivatives of the expected utility in mu and sd, each (b,)."""
    if goal.goal is None or goal.goal.target is None:
        return np.ones_like(mu), np.zeros_like(mu)
    target, tolerance = goal.target
    s = np.maximum(sd, SD_FLOOR)
    over, under = (mu - target - tolerance) / s, (target - tolerance - mu) / s
    parts = [improvement_terms(part) for part in (over, under)]
    density = sum(np.exp(log_h) * phi for log_h, _, phi in parts)
    return np.asarray(ndtr(under) - ndtr(over)), np.asarray(-density)


# -- in words ------------------------------------------------------------------------------------------


def _described(belief: Belief, x: Array, risk: float, least: float, sure: float) -> Recommendation:
    X = x[None]
    means = {name: (float(mu[0]), float(sd[0])) for name, (mu, sd) in belief.gp.predict(X).items()}
    feasible = float(belief.gp.feasibility(X)[0])
    near = belief.nearest(X, 1)
    history = belief.history
    row = history.best() if len(belief.goals) == 1 else None
    gain = better = None
    if row is not None and history.measured[0].target is None:
        gain, better = _gain(belief, x, row)
    why = _why(belief, x, row, gain, better)
    if feasible < least * _SLACK or least < sure:
        why += f" No point is {100 * sure:.0f} % sure to hold every limit; here the probability is {_chance(feasible)}."
    elif belief.gp.limits:
        why += f" It holds every limit with a probability of {_chance(feasible)}."
    return Recommendation(
        history.space.decode(X)[0], {name: mean for name, (mean, _) in means.items()},
        {name: sd for name, (_, sd) in means.items()}, {q.name: q.noise for q in belief.quantities},
        feasible, near[0] if near else None, None if row is None else int(history.numbers[row]), gain, better, why,
        risk,
    )  # fmt: skip


def _gain(belief: Belief, x: Array, row: int) -> tuple[tuple[float, float], float]:
    """How much better the point is than a trial: mean and sd in user units, and the probability that it is."""
    goal, inputs = belief.goals[0], belief.gp.inputs
    Z = inputs.model_points(np.stack([x, belief.history.X[row]]))
    with alone():
        mu, _ = goal.process.posterior.mean_sd(Z)
        S = goal.process.posterior.cross(Z, Z)
    sd = float(np.sqrt(max(S[0, 0] + S[1, 1] - 2.0 * S[0, 1], 0.0)))
    told = goal.process.outcome.backward(mu)
    if goal.process.outcome.bend is None:
        spread = goal.process.outcome.slope * sd
    else:  # the slope of the bend between the two
        step = float(mu[0] - mu[1])
        slope = (told[0] - told[1]) / step if abs(step) > 1e-9 else float(goal.told(mu[:1], np.ones(1))[1][0])
        spread = abs(float(slope)) * sd
    return (float(told[0] - told[1]), float(spread)), chance_above(float(mu[0] - mu[1]), sd)


def _chance(probability: float) -> str:
    return f"{100 * min(probability, 0.99):.0f} %" if probability >= 0.01 else "below 1 %"


def _why(belief: Belief, x: Array, row: int | None, gain: tuple[float, float] | None, better: float | None) -> str:
    history = belief.history
    if len(belief.goals) > 1:
        return f"It is the compromise between {listed([goal.name for goal in belief.goals])} that gives up least."
    if row is None:
        return "No run counts yet, so there is nothing measured to compare it with."
    goal, number = belief.goals[0], int(history.numbers[row])
    gap = np.nan_to_num(np.abs(history.X[row] - x), nan=0.0)
    same = bool((np.isnan(history.X[row]) == np.isnan(x)).all() and gap.max(initial=0.0) <= _SAME)
    mu, sd = belief.moments(history.X[row][None])
    mean, spread = goal.told(mu[:, 0], sd[:, 0])
    measured = goal.sign * history.Y[row, 0]
    worth = history.utility(goal.sign * np.array([[measured], [mean[0]]]))[:, 0]  # or by how much the target is missed
    luck = goal.noise > 0 and worth[0] - worth[1] > 0.5 * goal.noise
    lucky = (
        f"Run {number} measured {plain(measured, goal.noise)}{unit_of(goal.unit)}, of which the model takes part for "
        f"luck: it expects {about(float(mean[0]), float(spread[0]), goal.unit)} there."
    )
    if same:
        return f"It is run {number}, the best one measured, too." + (f" {lucky}" if luck else "")
    no_better = f"It is no better than run {number} by itself, but that one is less sure to hold every limit, or less "
    no_better += "well known."
    if gain is None or better is None:
        mu, sd = belief.moments(np.stack([x, history.X[row]]))
        here, there = goal.expected_worth(mu[:, 0], sd[:, 0])
        closer = f"It is expected to come closer to the target than run {number}."
        return (closer if here > there else no_better) + (f" {lucky}" if luck else "")
    if gain[0] <= 0:
        return no_better
    if gain[0] < _TRIFLE * max(goal.noise, _TRIFLE * float(np.ptp(history.Y[belief.counted, 0]))):
        return f"It is as good as run {number}, the best one measured, for all that can be told." + (
            f" {lucky}" if luck else ""
        )
    more = "more" if goal.sign > 0 else "less"
    said = f"The model expects {about(abs(gain[0]), gain[1], goal.unit)} {more} than at run {number}, the best measured"
    return f"{said} ({odds(better)} that it is better)." + (f" {lucky}" if luck else "")
