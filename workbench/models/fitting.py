"""Hyperparameters of an exact Gaussian process: maximum a posteriori by L-BFGS-B, and draws from their posterior."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from workbench.errors import DeadlineReached
from workbench.models.exact import Array, Data, Prior, Settings
from workbench.models.kernels import KINDS
from workbench.models.lbfgsb import Rules, minimum
from workbench.models.placing import log_posterior

_COLD = 100  # most iterations from the prior's mode
_WARM = 15  # and from the last hyperparameters: 0.2 nats are left there
_TOLERANCE = 1e-2  # of the projected gradient of the log posterior: 0.01 nats a unit of log theta
_GAIN = 1e7 * float(np.finfo(np.float64).eps)  # a relative gain of the log posterior below it ends a search
_PLANE = 5.0  # nats that a plane has to gain: with none to gain it left 1.4 decades more regret on Branin (4 seeds)
_STEP = 1e-3  # of theta between slopes, where curvatures are wanted
_CANDIDATES = 4  # a draw


@dataclass(frozen=True)
class Fit:
    """Hyperparameters that a search ended at.

    Args:
        settings: The hyperparameters.
        value: Their log posterior density.
        late: Did time end the search?
        evaluations: Of the log posterior.
    """

    settings: Settings
    value: float
    late: bool = False
    evaluations: int = 0

    @property
    def worth(self) -> float:
        """By what fits of different models compare: the density, less what a plane has to gain."""
        return self.value - (_PLANE if self.settings.trend else 0.0)


def fit(
    data: Data,
    *,
    warm: Settings | None = None,
    cold: bool = True,
    deadline: float | None = None,
    most: int = _COLD,
) -> Fit:
    """Maximum a posteriori hyperparameters: of each kernel kind from the prior's modes, and from an earlier fit.

    What different modes of the prior lead to is compared by its evidence.

    Args:
        data: What to learn from.
        warm: Hyperparameters of an earlier fit.
        cold: Search from the prior's mode too; without it from `warm` alone.
        deadline: `time.monotonic()` at which the search stops.
        most: Iterations of each search; from an earlier fit 30 are enough.
    Raises:
        DeadlineReached: if time was over before the first evaluation.
    """
    prior = Prior.of(data)
    if len(data.y) < 2:  # nothing to compare
        return Fit(warm or Settings(KINDS[0], prior.mode), 0.0)
    groups = [[(Settings(kind, mode), _COLD) for kind in KINDS] for mode in prior.modes if cold or warm is None]
    if warm is not None:
        groups.append([(replace(warm, theta=np.clip(warm.theta, prior.low, prior.high)), _WARM)])
    finalists: list[Fit] = []
    for starts in groups:
        found: list[Fit] = []
        for start, usual in starts:
            climb = _Climb(data, start, prior, deadline)
            climb.run(min(most, usual))
            if climb.best is not None:
                found.append(climb.best)
            elif not found and not finalists:
                raise DeadlineReached(f"the time given is too little for a model of {len(data.y)} trials")
            if climb.late:
                break
        if found:
            finalists.append(max(found, key=lambda one: one.worth))
        if climb.late:
            break
    if not prior.loud or len(finalists) == 1 or climb.late:
        best = max(finalists, key=lambda one: one.worth)
    else:
        best = max(finalists, key=lambda one: evidence(data, one))
    return replace(best, late=climb.late)


def evidence(data: Data, found: Fit) -> float:
    """Log evidence of a mode by Laplace's method in the logarithms of the hyperparameters, up to a constant.

    Where modes explain the same values by very different noise, densities at them do not say which has more to it: that
    of a noise is the larger the smaller it is, and a narrow mode holds less than its height promises. The expansion is
    around the mode of the density of the quantities themselves, where that of their logarithms has a slope
    (but towards the ends of the ranges).

    Args:
        data: What was learnt from.
        found: Where a search on it ended.
    Returns:
        Minus infinity where the covariance has no factor beside it.
    """
    prior, theta = Prior.of(data), found.settings.theta
    try:
        H = curvature(data, found.settings, prior)
    except np.linalg.LinAlgError:
        return -np.inf
    precisions, axes = np.linalg.eigh(H)
    precisions = np.maximum(precisions, 1.0)
    slope = log_posterior(data, found.settings, prior)[1] + prior.linear
    slope[((theta <= prior.low) & (slope < 0)) | ((theta >= prior.high) & (slope > 0))] = 0.0
    along = axes.T @ (slope * prior.sd)
    return found.worth + float(prior.linear @ theta + 0.5 * (along**2 / precisions - np.log(precisions)).sum())


def curvature(data: Data, settings: Settings, prior: Prior, part: slice = slice(None)) -> Array:
    """Negative second derivatives of the log posterior in a part of theta, by differences of its gradient.

    In units of the prior's standard deviations, so that the prior alone has the identity, shape (p, p).
    """
    rows, slopes = range(*part.indices(data.size)), []
    here = log_posterior(data, settings, prior)[1][part]
    for row in rows:
        theta = settings.theta.copy()
        theta[row] += _STEP
        slopes.append((here - log_posterior(data, replace(settings, theta=theta), prior)[1][part]) / _STEP)
    H = np.array(slopes).reshape(len(rows), len(rows)) * np.outer(prior.sd[part], prior.sd[part])
    return 0.5 * (H + H.T)


def draws(data: Data, settings: Settings, count: int, rng: np.random.Generator) -> list[Settings]:
    """Hyperparameters drawn from their posterior, by sampling importance resampling from Laplace's approximation.

    The approximation is nowhere wider than the prior. Four candidates a draw are weighted by posterior over
    approximation, and drawn without replacement (Rubin 1988, Using the SIR algorithm to simulate posterior
    distributions).

    Args:
        data: What was learnt from.
        settings: Maximum a posteriori.
        count: Number of draws.
        rng: Source of randomness.
    """
    if count == 0 or len(data.y) < 2:
        return []
    prior = Prior.of(data)
    precisions, axes = np.linalg.eigh(curvature(data, settings, prior))
    scales = np.maximum(precisions, 1.0) ** -0.5
    normals = rng.standard_normal((_CANDIDATES * count, data.size))
    thetas = settings.theta + (normals * scales) @ axes.T * prior.sd
    logs = np.full(len(thetas), -np.inf)
    for i, theta in enumerate(thetas):
        if (theta >= prior.low).all() and (theta <= prior.high).all():
            with suppress(np.linalg.LinAlgError):  # a candidate without a posterior is none
                value, _ = log_posterior(data, replace(settings, theta=theta), prior)
                logs[i] = value + 0.5 * float(normals[i] @ normals[i])
    # the largest of log weights plus Gumbel noise: a draw without replacement
    order = np.argsort(-(logs + rng.gumbel(size=len(logs))), kind="stable")[:count]
    return [replace(settings, theta=thetas[i]) for i in order if np.isfinite(logs[i])]


class _Climb:
    """One search by L-BFGS-B, which remembers the best it has seen."""

    def __init__(self, data: Data, start: Settings, prior: Prior, deadline: float | None) -> None:
        self._data, self._start, self._prior, self._deadline = data, start, prior, deadline
        self._count = 0
        self.best: Fit | None = None
        self.late = False

    def run(self, most: int) -> None:
        rules = Rules(rounds=most, flat=_TOLERANCE, stalled=_GAIN)
        with suppress(DeadlineReached):
            minimum(self._loss, self._start.theta, self._prior.low, self._prior.high, rules)

    def _loss(self, theta: Array) -> tuple[float, Array]:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.late = True
            raise DeadlineReached("the time given to the fit is over")
        self._count += 1
        settings = replace(self._start, theta=np.array(theta))
        try:
            value, slope = log_posterior(self._data, settings, self._prior)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)  # a wall: the line search comes back from it
        if self.best is None or value > self.best.value:
            self.best = Fit(settings, value, evaluations=self._count)
        return -value, -slope
