"""What trials showed on their way: intermediate values as arrays, and what they say about the end.

A pruned trial has no final value, but it is not silent either. Its final value is predicted from
the improvement that complete trials made from the same step on, with the spread of that
improvement as uncertainty, so that a model can learn from it as from a noisier measurement.

Symbols: r reports, n trials, k pruned trials, g improvements of complete trials from a step to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Intermediate:
    """Intermediate values of one objective, in order of row and step.

    Args:
        rows: Row of the history that reported, shape (r,).
        steps: Step of the report, shape (r,).
        values: In the units and sign of `History.Y`, shape (r,).
    """

    rows: Rows
    steps: Rows
    values: Array

    def of(self, row: int) -> tuple[Rows, Array]:
        """Steps and values of one trial, in order of the steps."""
        first, stop = np.searchsorted(self.rows, [row, row + 1])
        return self.steps[first:stop], self.values[first:stop]

    def among(self, trials: Mask) -> Intermediate:
        """Only the reports of the trials that a mask of shape (n,) names."""
        kept = trials[self.rows]
        return Intermediate(self.rows[kept], self.steps[kept], self.values[kept])

    def at(self, step: int) -> tuple[Rows, Array]:
        """Rows that reported at exactly this step, and their values there."""
        there = self.steps == step
        return self.rows[there], self.values[there]

    def last(self, step: int | None = None) -> tuple[Rows, Array]:
        """Rows that reported at or before a step, and the latest value that each had by then.

        Args:
            step: The step; None for the end.
        """
        by_then = slice(None) if step is None else self.steps <= step
        rows, values = self.rows[by_then], self.values[by_then]
        ends = np.append(rows[1:] != rows[:-1], True)[: len(rows)]
        return rows[ends], values[ends]

    def first(self, step: int) -> tuple[Rows, Array]:
        """Rows that reported at or after a step, and the earliest value that each had from then on."""
        since = self.steps >= step
        rows, values = self.rows[since], self.values[since]
        starts = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        return rows[starts], values[starts]


def intermediate(history: History, j: int) -> Intermediate:
    """The reports of objective j.

    Args:
        history: The record.
        j: Column of `History.Y`.
    """
    goal = history.measured[j]
    reports = [report for report in history.reports if report.objective == goal.name]
    r = len(reports)
    numbers = np.fromiter((report.number for report in reports), np.int64, r)
    return Intermediate(
        np.searchsorted(history.numbers, numbers).astype(np.int64),
        np.fromiter((report.step for report in reports), np.int64, r),
        goal.sign * np.fromiter((report.value for report in reports), np.float64, r),
    )


@dataclass(frozen=True)
class Finals:
    """Predicted final values of pruned trials.

    Args:
        rows: Rows of the history, shape (k,).
        values: Predicted final values in the units and sign of `History.Y`, shape (k,).
        variances: Squared standard errors of these predictions, shape (k,).
    """

    rows: Rows
    values: Array
    variances: Array


def finals(history: History, j: int) -> Finals:
    """What the pruned trials would have ended at, by the improvement of the complete ones.

    The final value is the last report plus the mean of g, the improvements that complete trials made
    from that step (or their latest report before it) to the end. Its variance is that of the next
    improvement given k of them (Student's t with k - 1 degrees of freedom; Gelman et al. 2013, Bayesian
    Data Analysis, section 3.2): var(g) (k + 1) / (k - 3), var being the mean square about the mean. It is infinite for
    k <= 3; there, and wherever it is smaller, mean(g^2) stands: an improvement is not more uncertain than
    by its own size.

    Where no complete trial reported by that step, the last report stands for the final value, and it
    is uncertain by its root mean square distance from the complete final values. Without a complete
    trial nothing is predicted. Predictions are kept within one range of the complete final values
    beyond their worst and best, so that a run that diverged does not set the scale of a model.

    The complete trials are those that a rule let live: what a pruned trial would have gained may
    differ from what they gained.

    Args:
        history: The record.
        j: Column of `History.Y`.
    Returns:
        One prediction for each pruned trial that reported objective j, unless its uncertainty is beyond all numbers.
    """
    y = history.Y[:, j]
    complete = history.complete & ~np.isnan(y)
    seen = intermediate(history, j)
    pruned = seen.among(history.pruned & history.placed)
    rows, last = pruned.last()
    if not complete.any() or rows.size == 0:
        return Finals(rows[:0], last[:0], last[:0])
    values, variances = np.empty(len(rows)), np.empty(len(rows))
    survivors, ends = seen.among(complete), y[complete]
    with np.errstate(over="ignore", invalid="ignore"):  # of runs that diverged beyond 1e154
        for i, row in enumerate(rows.tolist()):
            others, then = survivors.last(int(pruned.of(row)[0][-1]))
            g = y[others] - then
            if g.size:
                values[i] = last[i] + g.mean()
                variances[i] = min(_next_variance(g), float(np.mean(g**2)))
            else:
                values[i] = last[i]
                variances[i] = np.mean((ends - last[i]) ** 2)
    reach = np.ptp(ends)
    values = np.clip(values, ends.min() - reach, ends.max() + reach)
    usable = np.isfinite(variances)
    return Finals(rows[usable], values[usable], variances[usable])


def _next_variance(g: Array) -> float:
    """Variance of the next of k normal values after g of shape (k,), nothing known of mean and spread before."""
    k = g.size
    return float(g.var() * (k + 1) / (k - 3)) if k > 3 else np.inf
