"""Which acquisition function for which record: one table, and its names made into functions.

Symbols: z standardised values of the objective, larger is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.acquisition import several
from workbench.acquisition.base import Acquisition, Row
from workbench.acquisition.combined import Averaged, Summed
from workbench.acquisition.entropy import GIBBON, MES, max_value_samples
from workbench.acquisition.feasibility import LogFeasibility
from workbench.acquisition.improvement import UCB, LogEI, LogPI, NoisyEI, TargetEI
from workbench.acquisition.knowledge import KnowledgeGradient
from workbench.acquisition.pending import PendingLogEI, fantasies
from workbench.acquisition.thompson import draw
from workbench.models import observed
from workbench.models.exact import ExactPosterior
from workbench.models.feasibility import Limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.models.gp import GaussianProcesses
    from workbench.trial import History

    Array = NDArray[np.float64]

_BETA = 4.0  # two standard deviations
_BELIEF = 1e-10  # noise variance of what is believed of a trial in flight, where none is known
_CAUTION = 4
_CONTENDERS = 100
_EVEN = float(np.log(0.5))
_FAILURES = 200  # latest ones that are looked at
_MAXIMA = 16
_KNOWN = 40  # points of the finite set of the knowledge gradient, the best by posterior mean


@dataclass(frozen=True)
class Setting:
    """What one more trial is chosen by.

    Args:
        history: The record.
        gp: Its model.
        pending: Encoded trials in flight, shape (p, d).
        candidates: Encoded points spread over where the search may go, shape (k, d).
        held: Values that the next trial has, its context among them; incumbents are the trials' designs with these.
        rng: Source of randomness.
        climb: The encoded points, shape (at most 1, d), where a search finds a function largest.
        prefer: Weights of several objectives by name.
        drawn: The process of the only objective at several hyperparameters, over which acquisition functions are
            averaged; none for the most probable ones alone.
        measure: Which of several objectives the next trial is to measure; all when empty.
        cost: Of that.
        thresholds: Values to reach by objective, user units, beside those that objectives state.
    """

    history: History
    gp: GaussianProcesses
    pending: Array
    candidates: Array
    held: Mapping[str, Any]
    rng: np.random.Generator
    climb: Callable[[Acquisition], Array]
    prefer: Mapping[str, float] = field(default_factory=dict)
    drawn: Sequence[ExactPosterior] = ()
    measure: tuple[str, ...] = ()
    cost: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def observed(self) -> Array:
        """Model inputs of the counted trials with what is held; of all complete ones if none counts."""
        history = self.history
        told = ~np.isnan(history.Y[:, 0])
        rows = np.flatnonzero(history.counted & told)
        if rows.size == 0:  # all outside the space or over a limit: improve on any of them
            rows = np.flatnonzero(history.complete & history.placed & told)
        return self.inputs_of(self.holding(rows))

    def inputs_of(self, rows: NDArray[np.int64]) -> Array:
        """Model inputs of some trials with what is held."""
        return self.here(self.history.X[rows])

    def here(self, X: Array) -> Array:
        """Model inputs of encoded points (n, d) with what is held."""
        X = X.copy()
        for name, value in self.held.items():
            X[:, self.history.space.slices[name]] = self.history.space[name].encode([value])
        return self.gp.inputs.model_points(X)

    def holding(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the trials that are likely to hold the limits with what is held, else the likeliest one.

        They held them, or not, with other values.
        """
        if not self.held or not self.gp.limits or rows.size == 0:
            return rows
        likely = LogFeasibility(self.gp.limits).value(self.inputs_of(rows))
        return rows[likely > _EVEN] if (likely > _EVEN).any() else rows[[int(likely.argmax())]]

    @property
    def posterior(self) -> ExactPosterior:
        """Of the objective, the first of several."""
        return self.posteriors[0]

    @cached_property
    def posteriors(self) -> list[ExactPosterior]:
        """Of each objective, believed to be as predicted where a trial failed: nothing more will be learnt there."""
        history = self.history
        failed = np.flatnonzero((history.failed | history.infeasible) & history.placed)[-_FAILURES:]
        P = self.gp.inputs.model_points(history.X[failed])
        known = [output.posterior for output in self.gp.outputs]
        return [_believing(posterior, P) for posterior in (self.drawn[:1] or known)]

    @property
    def quiet(self) -> bool:
        """Are values what the model has at the trials: neither noisy, nor rough, nor with other values held?"""
        return self.gp.outputs[0].exact and not self.held

    @property
    def spread(self) -> Array:
        """Model inputs of those candidates that the final choice may fall on, shape (at most k, d)."""
        Z = self.gp.inputs.model_points(self.candidates)
        if not self.gp.limits:
            return Z
        return Z[LogFeasibility(self.gp.limits).value(Z) > _EVEN]

    @property
    def limits(self) -> list[Limit]:
        """What has to hold; success several times over, since a failed trial brings no value to learn from.

        Measured on Branin and Hartmann-6 with half of the space failing: once 2 to 28 failures of 40, four times
        2 to 16, at no worse regret.
        """
        gp = self.gp
        return gp.limits if gp.failure is None else [*gp.limits, *[gp.failure] * (_CAUTION - 1)]

    def levels(self) -> list[int]:
        """Number of levels of each column of choices."""
        return [int(self.gp.inputs.high[column]) + 1 for column in self.gp.inputs.categorical]


@dataclass(frozen=True)
class Chosen:
    """An acquisition function, and the incumbent in the sign and unit of `History.Y` (None where there is none)."""

    acquisition: Acquisition
    best: float | None


def _has_target(history: History) -> bool:
    return history.measured[0].target is not None


def _is_noisy(history: History) -> bool:
    return history.measured[0].noise_sd != 0


def _all_over_a_limit(history: History) -> bool:
    known = any(np.isfinite(observed.ends(history, limit)).any() for limit in history.constraints)
    return known and bool(history.complete.any()) and not history.counted.any()


TABLE: tuple[Row[History], ...] = (
    Row(
        "feasibility", _all_over_a_limit, "limits that no trial holds yet",
        "there is nothing to improve on until one trial holds them all",
    ),
    Row(
        "target_ei", _has_target, "an objective with a target",
        "the utility -max(0, |y - target| - tolerance) is not Gaussian, and its expected improvement has a closed form",
    ),
    Row(
        "noisy_ei", _is_noisy, "one objective, with noise",
        "what is chosen in the end is a trial by its posterior mean, and this is the expected gain of that choice. On "
        "Hartmann-6 with noise of 0.2 it left 0.2 decades less regret than improving on the best mean (22 seeds)",
    ),
    Row(
        "log_ei", lambda history: True, "one objective, without noise",
        "the logarithm keeps a slope where improvement is unlikely",
    ),
)  # fmt: skip


def planned(history: History) -> Row[History]:
    """The row that applies to a record with one objective."""
    return next(row for row in TABLE if row.applies(history))


def name_for(setting: Setting, seconds: float) -> tuple[str, str]:
    """The acquisition function that the tables say, and why; of several objectives by what they cost, too.

    Args:
        setting: What it is chosen for.
        seconds: Until the ask has to return.
    """
    if len(setting.history.measured) == 1 or _all_over_a_limit(setting.history):
        row = planned(setting.history)
        return row.acquisition, row.reason
    found = several.planned(setting, seconds)
    return found.acquisition, found.reason


def chosen(name: str, setting: Setting, seconds: float = math.inf) -> Chosen:
    """An acquisition function by name, times the probabilities that limits hold and the trial succeeds.

    Logarithms of gains become logarithms of constrained ones (Gardner et al. 2014); the upper confidence bound and
    draws, which are no logarithms, lose log(1 / probability) standard deviations of the objective.
    """
    if len(setting.history.measured) > 1 and name in several.MAKERS:
        made = Chosen(several.MAKERS[name](setting, seconds), None)
    else:
        made = _made(name, setting)
    limits = setting.limits
    if name == "feasibility" or not limits:
        return made
    return Chosen(Summed([made.acquisition, LogFeasibility(limits)]), made.best)


def _made(name: str, setting: Setting) -> Chosen:
    if len(setting.drawn) < 2 or name in _ALONE:
        return MAKERS[name](setting)
    each = [MAKERS[name](replace(setting, drawn=(posterior,))) for posterior in setting.drawn]
    best = [part.best for part in each if part.best is not None]
    acquisition = Averaged([part.acquisition for part in each], logs=name not in _NO_LOGARITHMS)
    return Chosen(acquisition, float(np.mean(best)) if best else None)


def _believing(posterior: ExactPosterior, P: Array) -> ExactPosterior:
    """The posterior given its own mean at points P (p, d) (Ginsbourger et al. 2010, kriging believer)."""
    if len(P) == 0:
        return posterior
    return posterior.condition(P, posterior.mean_sd(P)[0][None], max(posterior.noise, _BELIEF)).version(0)


# -- the rows' functions -----------------------------------------------------------------------


def _incumbent(setting: Setting, posterior: ExactPosterior) -> float:
    """Best value z: as measured without noise, else the best posterior mean: the best of noisy values is biased."""
    history, output = setting.history, setting.gp.outputs[0]
    if setting.quiet:
        rows = np.flatnonzero(history.counted & ~np.isnan(history.Y[:, 0]))
        if rows.size:
            return float(output.outcome.forward(history.Y[rows, 0]).max())
    return float(posterior.mean_sd(setting.observed())[0].max())


def _log_ei(setting: Setting) -> Chosen:
    output, posterior = setting.gp.outputs[0], setting.posterior
    best = _incumbent(setting, posterior)
    told = float(output.outcome.backward(np.array(best)))
    if not len(setting.pending):
        return Chosen(LogEI(posterior, best), told)
    versions, brought = _in_versions(setting, posterior)
    return Chosen(PendingLogEI(versions, np.maximum(best, brought.max(axis=1))), told)


def _in_versions(setting: Setting, posterior: ExactPosterior) -> tuple[ExactPosterior, Array]:
    """`fantasies` of the trials in flight; what they bring is -inf where a limit shuts them out: as often as probable.

    One systematic draw for each trial, in an order of its own. With values held, what their designs would bring here.
    """
    P = setting.gp.inputs.model_points(setting.pending)
    versions, brought = fantasies(posterior, P, setting.rng)
    if setting.held:
        P = setting.here(setting.pending)
        brought = versions.mean_sd(P)[0].T
    if setting.gp.limits:
        s = len(brought)
        lots = (setting.rng.permuted(np.tile(np.arange(s), (len(P), 1)), axis=1).T + setting.rng.random(len(P))) / s
        brought = np.where(lots < np.exp(LogFeasibility(setting.gp.limits).value(P)), brought, -np.inf)
    return versions, brought


def _feasibility(setting: Setting) -> Chosen:
    """The probability that every limit holds, trials in flight believed to miss by one standard deviation more."""
    P = setting.gp.inputs.model_points(setting.pending)
    return Chosen(LogFeasibility([_doubted(limit, P) for limit in setting.limits]), None)


def _doubted(limit: Limit, P: Array) -> Limit:
    if len(P) == 0:
        return limit
    mu, sd = limit.posterior.mean_sd(P)
    above = mu - limit.lower >= limit.upper - mu  # the upper end is nearer
    values = np.where(above, mu + sd, mu - sd)
    return replace(limit, posterior=limit.posterior.condition(P, values[None], _BELIEF).version(0))


def _target_ei(setting: Setting) -> Chosen:
    """Expected improvement towards a target; with trials in flight averaged over some versions of them."""
    history, output = setting.history, setting.gp.outputs[0]
    goal, posterior, unit = history.measured[0], setting.posterior, output.outcome.slope
    assert goal.target is not None
    target, tolerance = float(output.outcome.forward(np.array(goal.target))), goal.tolerance / unit

    def worth(z: Array) -> float:
        return float(-np.maximum(0.0, np.abs(z - target) - tolerance).min())

    rows = np.flatnonzero(history.counted & ~np.isnan(history.Y[:, 0]))
    if setting.quiet and rows.size:
        z = output.outcome.forward(history.Y[rows, 0])
    else:
        z = posterior.mean_sd(setting.observed())[0]
    if not len(setting.pending):
        return Chosen(TargetEI(posterior, target, tolerance, worth(z)), None)
    versions, brought = _in_versions(setting, posterior)
    parts = [
        TargetEI(versions.version(s), target, tolerance, max(worth(z), worth(brought[s]))) for s in range(len(brought))
    ]
    return Chosen(Averaged(parts), None)


def _believed(setting: Setting) -> Array:
    """Model inputs, with what is held, of the trials in flight that are likely to count once told, (at most p, d)."""
    P = setting.here(setting.pending)
    if len(P) == 0 or not setting.gp.limits:
        return P
    return P[LogFeasibility(setting.gp.limits).value(P) > _EVEN]


def _to_beat(setting: Setting, posterior: ExactPosterior) -> float:
    """The incumbent, or what is believed of a trial in flight if that is better."""
    best, P = _incumbent(setting, posterior), _believed(setting)
    return max(best, float(posterior.mean_sd(P)[0].max())) if len(P) else best


def _with_pending(make: Callable[[Setting, ExactPosterior], Acquisition]) -> Callable[[Setting], Chosen]:
    """A maker that believes in the posterior mean of trials in flight."""

    def made(setting: Setting) -> Chosen:
        best = _incumbent(setting, setting.posterior)
        posterior = _believing(setting.posterior, setting.gp.inputs.model_points(setting.pending))
        return Chosen(make(setting, posterior), float(setting.gp.outputs[0].outcome.backward(np.array(best))))

    return made


def _maxima(setting: Setting, posterior: ExactPosterior) -> Array:
    spread = np.concatenate([setting.spread, setting.observed()])
    least = _incumbent(setting, posterior) if setting.quiet else None  # without noise the maximum is at least that
    return max_value_samples(posterior, spread, _MAXIMA, setting.rng, least=least)


def _contenders(setting: Setting, posterior: ExactPosterior) -> Array:
    """The trials that the final choice may fall on, those in flight too: the best by mean and two sds."""
    points = np.concatenate([setting.observed(), _believed(setting)])
    if len(points) <= _CONTENDERS:
        return points
    mu, sd = posterior.mean_sd(points)
    return points[np.argsort(-(mu + 2.0 * sd), kind="stable")[:_CONTENDERS]]


def _finite_set(setting: Setting, posterior: ExactPosterior) -> Array:
    """The points that the knowledge gradient compares: the most promising of the spread and observed ones.

    The maximiser of the posterior mean is among them: without it the gradient would count as gained
    what the mean promises already.
    """
    points = np.concatenate([setting.observed(), setting.spread])
    mean: Acquisition = UCB(posterior, 0.0)
    limits = setting.limits
    best = setting.gp.inputs.model_points(setting.climb(Summed([mean, LogFeasibility(limits)]) if limits else mean))
    promising = points[np.argsort(-posterior.mean_sd(points)[0], kind="stable")[:_KNOWN]]
    return np.concatenate([best, promising])


MAKERS: Mapping[str, Callable[[Setting], Chosen]] = {
    "feasibility": _feasibility,
    "log_ei": _log_ei,
    "target_ei": _target_ei,
    "noisy_ei": _with_pending(lambda setting, p: NoisyEI(p, _contenders(setting, p))),
    "pi": _with_pending(lambda setting, p: LogPI(p, _to_beat(setting, p))),
    "ucb": _with_pending(lambda setting, p: UCB(p, _BETA)),
    "thompson": _with_pending(lambda setting, p: draw(p, setting.rng, setting.levels())),
    "kg": _with_pending(lambda setting, p: KnowledgeGradient(p, _finite_set(setting, p))),
    "mes": _with_pending(lambda setting, p: MES(p, _maxima(setting, p))),
    "gibbon": _with_pending(lambda setting, p: GIBBON(p, _maxima(setting, p))),
    "jes": lambda setting: Chosen(several.MAKERS["jes"](setting, math.inf), None),
    "pes": lambda setting: Chosen(several.MAKERS["pes"](setting, math.inf), None),
}

_ALONE = frozenset({"feasibility", "thompson"})  # of no objective; of one function
_NO_LOGARITHMS = frozenset({"ucb"})
SPREAD = frozenset({"kg", "mes", "gibbon", "jes", "pes"})
"""Those that look at points spread over the space."""
