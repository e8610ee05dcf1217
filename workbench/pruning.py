"""Pruning rules: may a trial end early, judged by what the others showed on their way?

A rule is a frozen value and a function of the record alone, so every process that asks about the
same record gets the same answer. It judges a trial by its latest report: call `should_prune` after
each one. Failed, infeasible, rejected and void trials are no measure for anybody; pruned ones count up
to the step that they got to.

Symbols: n trials, m measured objectives, U (n, m) what values are worth (`History.utility`, larger is better).
"""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench.errors import InvalidValueError, UnknownTrialError, UnsupportedError
from workbench.integers import integer
from workbench.models.curves import Intermediate, intermediate
from workbench.pareto import hypervolume
from workbench.problem import Objective, Preference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

_MARGIN = 0.1  # of the range, below the worst: BoTorch's infer_reference_point


@dataclass(frozen=True, slots=True)
class Pruner(ABC):
    """A pruning rule; its fields are its options."""

    name: ClassVar[str]
    several: ClassVar[bool] = False  # can it judge more than one objective?

    @abstractmethod
    def prunes(self, history: History, number: int) -> str | None:
        """Why the trial should end now, in one sentence; None to go on.

        Args:
            history: The record.
            number: A trial of the record that reports.
        Raises:
            UnknownTrialError: if the record has no such trial.
        """

    def check(self, objectives: Sequence[Objective | Preference]) -> None:
        """Refuse a study that the rule cannot judge.

        Raises:
            UnsupportedError: with the remedy.
        """
        names = [goal.name for goal in objectives if isinstance(goal, Objective)]
        if not names:
            raise UnsupportedError(
                f"pruner {self.name!r} judges measured objectives, and this study has none; leave pruner= out"
            )
        if len(names) > 1 and not self.several:
            raise UnsupportedError(
                f"pruner {self.name!r} judges one measured objective, got {len(names)}: {', '.join(names)}. "
                "Use pruner='hypervolume'"
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready mapping from which `pruner_from_json` makes an equal rule."""
        return {"name": self.name, "options": asdict(self)}


@dataclass(frozen=True, slots=True)
class MedianPruner(Pruner):
    """End a trial whose best value so far is worse than the median of the others at the same step.

    Source: Golovin et al. 2017, Google Vizier, section 3.2.1; differs in comparing the best value so far
    with values at the step, as Optuna does, instead of running averages. Unlike in Optuna, pruned trials
    count at the steps they reached: without them the median rises with every trial that is ended.

    Args:
        n_startup_trials: Complete trials before anything is ended.
        n_warmup_steps: Steps before this one are not judged.
        interval_steps: Judge only at the first report at or after each of n_warmup_steps + k * interval_steps.
        n_min_trials: Other trials that must have reported this very step.
    """

    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1
    name: ClassVar[str] = "median"

    def __post_init__(self) -> None:
        _check_pace(self)

    def prunes(self, history: History, number: int) -> str | None:
        return _below_percentile(history, number, self, 50.0)


@dataclass(frozen=True, slots=True)
class PercentilePruner(Pruner):
    """End a trial whose best value so far is not among the best `percentile` % at the same step.

    As `MedianPruner`, which is the rule with 50 %; it also says where this differs from Optuna.

    Args:
        percentile: Share of the trials to keep, in per cent, from 0 to 100.
        n_startup_trials: Complete trials before anything is ended.
        n_warmup_steps: Steps before this one are not judged.
        interval_steps: Judge only at the first report at or after each of n_warmup_steps + k * interval_steps.
        n_min_trials: Other trials that must have reported this very step.
    """

    percentile: float = 25.0
    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    interval_steps: int = 1
    n_min_trials: int = 1
    name: ClassVar[str] = "percentile"

    def __post_init__(self) -> None:
        _check_number(self, "percentile", 0.0, 100.0)
        _check_pace(self)

    def prunes(self, history: History, number: int) -> str | None:
        return _below_percentile(history, number, self, self.percentile)


@dataclass(frozen=True, slots=True)
class AshaPruner(Pruner):
    """At steps that grow geometrically, let only the best of those who got there go on.

    Rung k is at step min_resource * reduction_factor^(min_early_stopping_rate + k). At its first report at
    or after a rung a trial goes on if its value is among the best n // reduction_factor (at least one) of
    the n trials, itself and the running ones included, that got there by now. It is judged once at each
    rung, whoever comes later, so workers may run in any order. One report may reach several rungs. A rung
    after whose report nobody asks is not judged.

    Source: Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning, algorithm 2; differs in
    ending what is not promoted instead of pausing it, as Optuna's SuccessiveHalvingPruner does.

    Args:
        min_resource: Step of the first rung; r in the paper. Steps that begin at 0 reach it one report later.
        reduction_factor: One in how many goes on; eta in the paper.
        min_early_stopping_rate: Rungs to leave out at the beginning; s in the paper.
    """

    min_resource: int = 1
    reduction_factor: int = 4
    min_early_stopping_rate: int = 0
    name: ClassVar[str] = "asha"

    def __post_init__(self) -> None:
        _check_whole(self, "min_resource", 1)
        _check_whole(self, "reduction_factor", 2)
        _check_whole(self, "min_early_stopping_rate", 0)

    def prunes(self, history: History, number: int) -> str | None:
        row, seen = _row(history, number), _worth(history, 0)
        steps, worth = seen.of(row)
        if steps.size == 0:
            return None
        before = int(steps[-2]) if steps.size > 1 else -1
        # What counts has ended well, was pruned or still runs; the trial itself is added below.
        others = seen.among(_but(history.complete | history.pruned | history.pending, row))
        rung = self.min_resource * self.reduction_factor**self.min_early_stopping_rate
        while rung <= steps[-1]:
            if rung > before:
                values = np.sort(np.append(others.first(rung)[1], worth[-1]))[::-1]
                best = max(1, len(values) // self.reduction_factor)
                if worth[-1] < values[best - 1]:
                    return (
                        f"{_said(history, 0, worth[-1])} at step {steps[-1]} is not among the best {best} of "
                        f"{len(values)} trials at rung {rung}, which needs {_said(history, 0, values[best - 1])}"
                    )
            rung *= self.reduction_factor
        return None


@dataclass(frozen=True, slots=True)
class HypervolumePruner(Pruner):
    """End a trial that could not add to the front even if it improved as much as any before it; one objective or more.

    The bound, for each objective on its own: the trial's latest value, plus the largest improvement that
    any complete trial made to its final value from its latest report at or before that step (never below 0).
    The trial ends when the vector of these bounds adds nothing to the hypervolume of the complete and
    feasible trials: one of them is at least as good everywhere, or a stated reference point is not
    reached. With `min_share` it ends too when it adds no more than that share of their hypervolume.

    The bound is learnt from trials and is no guarantee: a trial that would have improved more than every
    complete one is lost. The objectives are bounded apart, so trade-offs between improvements only
    make it more lenient. Measured constraints are hoped to hold.

    Where `Objective.reference` is stated it is the coordinate of the reference point (for an objective with a
    target, what that value is worth). Elsewhere the coordinate lies below the worst of the complete trials
    and of the bound by a tenth of their range; such a coordinate alone ends no trial, and it matters only
    for `min_share`.

    Args:
        n_startup_trials: Complete trials that must have reported each objective at or before the step, at least 1.
        n_warmup_steps: Steps before this one are not judged.
        quantile: Quantile of the improvements that is taken as the largest one; below 1 it ends more trials.
        min_share: Smallest share of the hypervolume that is worth going on for, from 0 to below 1.
    """

    n_startup_trials: int = 5
    n_warmup_steps: int = 0
    quantile: float = 1.0
    min_share: float = 0.0
    name: ClassVar[str] = "hypervolume"
    several: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_whole(self, "n_startup_trials", 1)
        _check_whole(self, "n_warmup_steps", 0)
        _check_number(self, "quantile", 0.0, 1.0)
        _check_number(self, "min_share", 0.0, 1.0)
        if self.min_share == 1.0:
            raise InvalidValueError("min_share of HypervolumePruner must be below 1, got 1.0; 0.01 is a usual value")

    def prunes(self, history: History, number: int) -> str | None:
        row = _row(history, number)
        bound = self._bound(history, row)
        if bound is None:
            return None
        U, known = history.utility(history.Y), ~np.isnan(history.Y).any(axis=1)
        rows = np.flatnonzero(_but(history.counted & known, row))
        if rows.size == 0:
            return None
        stated = _stated_reference(history)
        verdict = self._verdict(history, bound, rows, stated)
        if verdict is None and self.min_share > 0:
            complete = U[_but(history.complete & known, row)]
            verdict = self._small(bound, U[rows], _reference(stated, complete, bound))
        if verdict is None:
            return None
        hoped = ", ".join(f"{goal.name} {_said(history, j, bound[j])}" for j, goal in enumerate(history.measured))
        what = "largest improvement" if self.quantile == 1 else f"{self.quantile:g} quantile of the improvements"
        return f"{verdict}, even at {hoped}: its values so far and the {what} of complete trials from there"

    def _bound(self, history: History, row: int) -> Array | None:
        """The optimistic final vector, shape (m,); None where too little is known."""
        U, bound = history.utility(history.Y), np.empty(len(history.measured))
        latest = -1
        for j in range(len(bound)):
            seen = _worth(history, j)
            steps, worth = seen.of(row)
            if steps.size == 0:
                return None
            complete = _but(history.complete & ~np.isnan(U[:, j]), row)
            others, then = seen.among(complete).last(int(steps[-1]))
            if len(others) < self.n_startup_trials:
                return None
            bound[j] = worth[-1] + max(0.0, float(np.quantile(U[others, j] - then, self.quantile)))
            latest = max(latest, int(steps[-1]))
        return bound if latest >= self.n_warmup_steps else None

    def _verdict(self, history: History, bound: Array, rows: Rows, stated: Array) -> str | None:
        """What is decided by comparisons alone, which are exact."""
        short = np.flatnonzero(bound <= stated)  # a comparison with NaN is false
        if short.size:
            goal, limit = history.measured[short[0]], _said(history, int(short[0]), stated[short[0]])
            return f"would not get beyond the reference {limit} of {goal.name}"
        above = rows[np.all(history.utility(history.Y[rows]) >= bound, axis=1)]
        if above.size:
            return f"would add nothing to the front, where trial {history.numbers[above[0]]} is at least as good"
        return None

    def _small(self, bound: Array, front: Array, reference: Array) -> str | None:
        """What is decided by the size of the hypervolume that the trial could add."""
        whole = hypervolume(front, reference)
        gain = hypervolume(np.vstack([front, bound]), reference) - whole
        if whole == 0 or gain > self.min_share * whole:  # 0: nothing has reached the stated reference point yet
            return None
        return f"would add at most {gain / whole:.3g} of the hypervolume, no more than the share {self.min_share:g}"


# -- names to rules -------------------------------------------------------------------------

_PRUNERS: dict[str, type[Pruner]] = {
    rule.name: rule for rule in (MedianPruner, PercentilePruner, AshaPruner, HypervolumePruner)
}


def pruner_names() -> list[str]:
    """Every name that `make_pruner` knows."""
    return sorted(_PRUNERS)


def make_pruner(spec: str | Mapping[str, Any] | Pruner | None) -> Pruner | None:
    """The rule that a name, a stored description or the object itself stands for.

    Args:
        spec: A name, {"name": …, "options": {…}}, a rule, or None for no pruning.
    Raises:
        UnsupportedError: for an unknown name or option, with the near ones.
        InvalidValueError: for an option out of its range.
    """
    if spec is None or isinstance(spec, Pruner):
        return spec
    name, options = (spec.get("name"), spec.get("options", {})) if isinstance(spec, Mapping) else (spec, {})
    if not isinstance(name, str) or not isinstance(options, Mapping) or name not in _PRUNERS:
        raise UnsupportedError(
            f"pruner must be one of {', '.join(pruner_names())}, {{'name': …, 'options': {{…}}}}, a rule such as "
            f"wb.MedianPruner(), or None; got {spec!r}{_near(name, pruner_names())}"
        )
    rule = _PRUNERS[name]
    known = [field.name for field in fields(rule)]
    for option in options:
        if option not in known:
            raise UnsupportedError(
                f"pruner {name!r} has the options {', '.join(known)}; got {option!r}{_near(option, known)}"
            )
    return rule(**options)


def pruner_from_json(data: Mapping[str, Any]) -> Pruner:
    """Make the rule that `to_json` described."""
    made = make_pruner(data)
    assert made is not None  # a mapping never stands for "no pruning"
    return made


def _near(name: object, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


# -- checks of options and studies -------------------------------------------------------------


def _check_pace(rule: MedianPruner | PercentilePruner) -> None:
    _check_whole(rule, "n_startup_trials", 0)
    _check_whole(rule, "n_warmup_steps", 0)
    _check_whole(rule, "interval_steps", 1)
    _check_whole(rule, "n_min_trials", 1)


def _check_whole(rule: Pruner, option: str, least: int) -> None:
    value = getattr(rule, option)
    if integer(value, least) is None:
        raise InvalidValueError(
            f"{option} of {type(rule).__name__} must be a whole number >= {least}, got {value!r}; leave it out for "
            "the usual value"
        )


def _check_number(rule: Pruner, option: str, least: float, most: float) -> None:
    value = getattr(rule, option)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most:
        raise InvalidValueError(
            f"{option} of {type(rule).__name__} must be a number from {least:g} to {most:g}, got {value!r}; leave it "
            "out for the usual value"
        )


# -- what the rules look at ---------------------------------------------------------------------


def _below_percentile(
    history: History, number: int, rule: MedianPruner | PercentilePruner, percentile: float
) -> str | None:
    """Is the best value so far below the best `percentile` % of the others at the latest step?"""
    row, seen = _row(history, number), _worth(history, 0)
    steps, worth = seen.of(row)
    complete = int(_but(history.complete, row).sum())
    if steps.size == 0 or complete < max(1, rule.n_startup_trials) or not _due(steps, rule):
        return None
    _, others = seen.among(_but(history.complete | history.pruned, row)).at(int(steps[-1]))
    if len(others) < rule.n_min_trials:
        return None
    bar, best = float(np.percentile(others, 100.0 - percentile)), float(worth.max())
    if best >= bar or math.isclose(best, bar, rel_tol=1e-12):  # interpolation rounds; a tie goes on
        return None
    limit = _said(history, 0, bar)
    what = f"the median {limit}" if percentile == 50 else f"{limit}, where the best {percentile:g} % begin,"
    return (
        f"{_said(history, 0, best)}, the best up to step {steps[-1]}, is worse than {what} of {len(others)} trials "
        "at that step"
    )


def _due(steps: Rows, rule: MedianPruner | PercentilePruner) -> bool:
    """Is the latest report the first one at or after a step that is judged?"""
    past = int(steps[-1]) - rule.n_warmup_steps
    if past < 0:
        return False
    judged = int(steps[-1]) - past % rule.interval_steps
    return steps.size == 1 or int(steps[-2]) < judged


def _row(history: History, number: int) -> int:
    row = int(np.searchsorted(history.numbers, number))
    if row == len(history) or history.numbers[row] != number:
        raise UnknownTrialError(f"the record has {len(history)} trials and none of number {number}; numbers start at 0")
    return row


def _but(trials: NDArray[np.bool_], row: int) -> NDArray[np.bool_]:
    """A mask of shape (n,) without one row."""
    rest = trials.copy()
    rest[row] = False
    return rest


def _worth(history: History, j: int) -> Intermediate:
    """Intermediate values of objective j as something to maximise."""
    seen = intermediate(history, j)
    return replace(seen, values=_utility(history, j, seen.values))


def _utility(history: History, j: int, values: Array) -> Array:
    """`History.utility` of values of one objective, shape (r,)."""
    Y = np.full((len(values), len(history.measured)), np.nan)
    Y[:, j] = values
    return history.utility(Y)[:, j]


def _said(history: History, j: int, worth: float) -> str:
    """A worth in the units of the user: a value, or a distance from the target."""
    goal = history.measured[j]
    return f"{goal.sign * worth:.6g}" if goal.target is None else f"{-worth:.6g} off the target"


def _stated_reference(history: History) -> Array:
    """What the stated coordinates of the reference point are worth, shape (m,), NaN where not stated."""
    stated = [
        np.nan if goal.reference is None else _utility(history, j, np.array([goal.sign * goal.reference]))[0]
        for j, goal in enumerate(history.measured)
    ]
    return np.array(stated)


def _reference(stated: Array, complete: Array, bound: Array) -> Array:
    """The stated coordinates, and for the others a tenth of the range below the worst, shape (m,)."""
    reached = np.vstack([complete, bound])
    worst, spread = reached.min(axis=0), np.ptp(reached, axis=0)
    inferred = worst - _MARGIN * np.where(spread > 0, spread, np.maximum(1.0, np.abs(worst)))
    return np.where(np.isnan(stated), inferred, stated)
