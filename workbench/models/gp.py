"""Gaussian processes of a record: data, scaling, noise and hyperparameters of one process per measured quantity.

Each objective, and each quantity with limits, gets its own process on standardised values (`outcomes`), with a kernel,
hyperparameters and, for heavy tails, a bend chosen by evidence (`fitting`). The noise is what the objective states:
inferred, none (variance 1e-8 of the standardised values), a standard deviation, or the standard errors that were
told. Values without noise may still be rough on a scale that no trial resolves: then a variance is inferred too, if the
evidence gains by it (Gramacy and Lee 2012, Cases for the nugget in modeling computer experiments). On the same terms
axes are bent (`warping`), and the mean is a plane.
A pruned trial enters with the final value that its reports foretell, and the doubt about it as noise on top.
Failed and infeasible trials teach a process of failure of their own (`feasibility`).

What a fit found travels in the `meta` of the trial that it proposed, and the next fit starts there: so it is a
function of the record alone, and cheap.

Symbols: n trials, d columns, m objectives, y values in user units, z standardised ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DeadlineReached
from workbench.models import observed
from workbench.models.exact import NOISELESS, Data, ExactPosterior, Prior, Settings
from workbench.models.feasibility import SPREAD, Labels, Limit, failure, fit_failure
from workbench.models.fitting import Fit, curvature, draws, evidence, fit
from workbench.models.inputs import Inputs
from workbench.models.kernels import KINDS
from workbench.models.outcomes import Bend, Outcome, worth_a_look
from workbench.models.placing import posterior
from workbench.models.surrogate import Surrogate

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from threadpoolctl import ThreadpoolController

    from workbench.models.observed import Observed
    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

LARGEST = 2000  # trials that one process takes; of a larger record it takes
LOCAL = 800  # that are near to each other
ON_DEVICE = 10_000  # trials that one process takes on a device

_ALONE = threading.RLock()
_ANEW = 1.25  # growth of the record after which a fit begins anew
_PATIENCE = 75  # one in so many of its trials may be added before hyperparameters are fitted again
_SAMPLES = (200, 500)  # trials of the first, rough fits to a larger record
_WORK, _FEW = 4e9, 3  # iterations of a fit to n trials, times n^3, and the least of them
_FASTER = 250  # a device than LAPACK on one core, with large matrices; a guess on the safe side
_ROUGH = 100  # trials by which bends are compared
_BENDING = 0.5  # nats a trial that a bend of the bad end has to gain: with none 1 decade more regret on Branin
_SHARED = 2.0  # where the objective is one of several: with 0.5 half of the hypervolume on DTLZ2 with six
_ROUGHNESS = 1.0  # nats that an inferred noise has to gain where none was stated
_EXACT = 3.0  # nats that a model without noise has to gain where nothing is said about it: wrong, it is too sure
_RICH = 200  # trials by which it is judged whether a plane or bent axes are worth it
_AT_ONCE = 4_096  # points whose covariances with the trials are in memory together
_LABELS = 100  # failures, and successes, that the process of failure looks at


def largest(device: str | None) -> int:
    """Trials that one process takes."""
    return LARGEST if device is None else ON_DEVICE


@contextmanager
def alone(deadline: float | None = None) -> Iterator[None]:
    """One BLAS thread, one caller at a time: the number of threads belongs to the whole process.

    Args:
        deadline: `time.monotonic()` up to which to wait for another thread that is in here.
    Raises:
        DeadlineReached: if that thread is still at work then.
    """
    left = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
    if not _ALONE.acquire(timeout=left):
        raise DeadlineReached("another thread of this process was using the model until the time was over")
    try:
        with _controller().limit(limits=1):
            yield
    finally:
        _ALONE.release()


@cache
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@dataclass(frozen=True)
class GaussianProcess:
    """One quantity: its values as z, and the process of z given the data.

    Args:
        rows: Of the history, one for each value, shape (n,).
    """

    name: str
    rows: Rows
    outcome: Outcome
    data: Data
    settings: Settings
    posterior: ExactPosterior
    late: bool = False  # time ended the search for hyperparameters
    exact: bool = False  # values are said to be free of noise, or nothing is said and they are found to be

    def moments(self, Z: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the noise-free quantity at model inputs, each of shape (n,)."""
        blocks = np.split(Z, range(_AT_ONCE, len(Z), _AT_ONCE))  # each (b, d)
        found = [self.outcome.moments(*self.posterior.mean_sd(block)) for block in blocks]
        mean, sd = (np.concatenate(part) for part in zip(*found, strict=True))
        return mean, sd

    def drawn(self, count: int, rng: np.random.Generator) -> list[ExactPosterior]:
        """The process at hyperparameters drawn from their posterior, for few trials, which leave these open."""
        return [posterior(self.data, settings) for settings in draws(self.data, self.settings, count, rng)]

    def limit(self, lower: float, upper: float) -> Limit:
        """That it lies between two values, infinite where there is no such bound."""
        low, high = (float(self.outcome.forward(np.array(v))) if np.isfinite(v) else v for v in (lower, upper))
        return Limit(self.posterior, high, low)


@dataclass(frozen=True)
class Memory:
    """What an earlier fit found: its sizes, and hyperparameters and bend of each quantity.

    Args:
        n: Trials when hyperparameters were last fitted.
        cold: Trials when they were last fitted from the prior's mode.
        outputs: For each quantity by name, its settings and bend.
        failure: Settings of the process of failures; None where none was fitted.
    """

    n: int
    cold: int
    outputs: Mapping[str, tuple[Settings, Bend | None]]
    failure: Settings | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON types, exact."""
        outputs = {
            name: {**settings.to_json(), "bend": bend and list(bend)} for name, (settings, bend) in self.outputs.items()
        }
        return {"n": self.n, "cold": self.cold, "outputs": outputs, "failure": self.failure and self.failure.to_json()}

    @classmethod
    def of(cls, history: History) -> Memory | None:
        """The latest one in a record whose space is still the same."""
        for row in reversed(history.rows):
            if row.space_version == history.spaces.version and row.meta and '"gp":' in row.meta:
                return cls.from_json(history.meta(row.number)["gp"])
        return None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Memory:
        """The inverse of `to_json`."""
        outputs = {
            name: (Settings.from_json(out), None if out["bend"] is None else Bend(*out["bend"]))
            for name, out in data["outputs"].items()
        }
        return cls(data["n"], data["cold"], outputs, data["failure"] and Settings.from_json(data["failure"]))


class GaussianProcesses(Surrogate):
    """Independent processes: one for each measured objective, each quantity with limits, and failure if there was any.

    Attributes:
        outputs: Of the objectives.
        limited: Of the quantities with limits.
        failure: That a trial succeeds; None while none failed.
        limits: What has to hold, that included.
        memory: For the next fit.
        pace: How this fit was made: "cold", "warm" or "kept".
    """

    def __init__(
        self,
        history: History,
        inputs: Inputs,
        outputs: list[GaussianProcess],
        limited: list[GaussianProcess],
        failure: Limit | None,
        memory: Memory,
        pace: str,
    ) -> None:
        self.inputs, self.outputs, self.limited, self.memory, self.pace = inputs, outputs, limited, memory, pace
        self.failure, self.limits = failure, [] if failure is None else [failure]
        for process, limit in zip(limited, history.constraints, strict=True):
            lower, upper = observed.ends(history, limit)
            if lower > -np.inf or upper < np.inf:  # else its baseline is not measured yet
                self.limits.append(process.limit(lower, upper))
        self._signs = [goal.sign for goal in history.measured]

    @classmethod
    def fit(
        cls, history: History, *, deadline: float | None = None, centre: Array | None = None, device: str | None = None
    ) -> GaussianProcesses:
        """Fit by maximum a posteriori, from where the record says that the last fit ended.

        Args:
            history: The record.
            centre: Encoded point (d,), or several (k, d): learn from the `LOCAL` trials nearest to one of them.
            deadline: `time.monotonic()` at which the search for hyperparameters stops.
            device: In torch, for the matrices of many trials; None computes in LAPACK.
        Raises:
            DeadlineReached: if not even one step fits into the time.
        """
        inputs = Inputs(history.space)
        memory = Memory.of(history)
        with alone(deadline):
            goals, limits = observed.objectives(history), observed.limits(history)
            n = max((len(seen.y) for seen in [*goals, *limits]), default=0)
            if centre is not None:
                centres = np.atleast_2d(centre)
                goals, limits = ([seen.nearest(inputs, centres, LOCAL) for seen in part] for part in (goals, limits))
            pace = _pace(memory, n)
            before = {} if memory is None else memory.outputs
            outputs, limited = (
                [_fitted(inputs, seen, before.get(seen.name), pace, deadline, device) for seen in part]
                for part in (goals, limits)
            )
            failure = _failure(history, inputs, None if memory is None else memory.failure, pace, deadline)
        settings = {output.name: (output.settings, output.outcome.bend) for output in [*outputs, *limited]}
        made = Memory(
            memory.n if memory is not None and pace == "kept" else n,
            memory.cold if memory is not None and pace != "cold" else n,
            settings,
            failure and failure[0],
        )
        return cls(history, inputs, outputs, limited, failure and failure[1], made, pace)

    @property
    def late(self) -> bool:
        """Did time end the search for hyperparameters?"""
        return any(output.late for output in [*self.outputs, *self.limited])

    @property
    def exact(self) -> NDArray[np.bool_]:
        return np.array([output.exact for output in self.outputs])

    def posterior(self, X: Array) -> tuple[Array, Array]:
        Z = self.inputs.model_points(X)
        with alone():
            moments = [output.moments(Z) for output in self.outputs]
        return np.stack([mu for mu, _ in moments], axis=1), np.stack([sd for _, sd in moments], axis=1)

    def draws(self, X: Array, n: int, rng: np.random.Generator) -> Array:
        Z = self.inputs.model_points(X)
        with alone():
            found = [o.outcome.backward(o.posterior.sample(Z, rng.standard_normal((n, len(Z))))) for o in self.outputs]
        return np.stack(found, axis=2)

    def predict(self, X: Array) -> dict[str, tuple[Array, Array]]:
        mu, sd = self.posterior(X)
        found = {
            output.name: (sign * mu[:, j], sd[:, j])
            for j, (output, sign) in enumerate(zip(self.outputs, self._signs, strict=True))
        }
        Z = self.inputs.model_points(X)
        with alone():
            return found | {process.name: process.moments(Z) for process in self.limited}

    def feasibility(self, X: Array) -> Array:
        Z = self.inputs.model_points(X)
        with alone():
            logs = [limit.log_probability(Z) for limit in self.limits]
        return np.exp(np.sum(logs, axis=0)) if logs else np.ones(len(X))


# -- how much to search -------------------------------------------------------------------------


def _pace(memory: Memory | None, n: int) -> str:
    """ "cold": from the prior's mode too; "warm": from the last hyperparameters; "kept": those as they are."""
    if memory is None or n >= _ANEW * memory.cold or n < memory.n:
        return "cold"
    return "kept" if n - memory.n < n // _PATIENCE else "warm"


def _fitted(
    inputs: Inputs,
    seen: Observed,
    before: tuple[Settings, Bend | None] | None,
    pace: str,
    deadline: float | None,
    device: str | None,
) -> GaussianProcess:
    """The process of one objective."""
    bend = None if before is None else before[1]
    if pace == "cold":
        bend = _best_bend(inputs, seen, deadline)
    outcome = Outcome.of(seen.y, bend, seen.focus)
    kinds = [replace(seen.data(inputs, outcome), device=device)]
    if seen.quiet:
        kinds.append(replace(kinds[0], infer=True))
    elif seen.unknown:
        kinds.append(replace(kinds[0], infer=False, loud=False, noise=np.maximum(kinds[0].noise, NOISELESS)))
    warm = None if before is None else before[0]
    all_kinds = [*kinds, *(replace(data, bent=inputs.bendable) for data in kinds if inputs.bendable)]
    known = [data for data in all_kinds if warm is not None and warm.theta.size == data.size]
    if pace == "kept" and warm is not None and known:
        data, found = known[0], Fit(warm, 0.0)
    elif seen.unknown and (pace == "cold" or not known):
        data, found = _told_apart(kinds, warm, deadline)
        if not found.late:
            data, found = _richer(inputs, data, found, warm, deadline)
    else:
        tried = []
        for data in known if known and pace != "cold" else kinds:
            start, cold = (warm if data in known else None), pace == "cold"
            if data is not kinds[0] and start is None:  # one kernel will do to see whether it is worth it
                start, cold = Settings(KINDS[0], Prior.of(data).mode), False
            tried.append((data, _search(data, start, pace, deadline, cold=cold)))
        late = any(one.late for _, one in tried)  # then the loser may have lost for want of time
        data, found = max(tried, key=lambda one: _plausibility(*one))
        found = replace(found, late=late)
        if pace == "cold" and not found.late:
            data, found = _richer(inputs, data, found, warm, deadline)
    exact = not data.infer and (seen.unknown or not seen.variance.any())
    process = posterior(data, found.settings)
    return GaussianProcess(seen.name, seen.rows, outcome, data, found.settings, process, found.late, exact)


def _plausibility(data: Data, found: Fit) -> float:
    """Log evidence, roughly, with what an inferred noise has to gain to be taken where none was stated.

    Without the Jacobian of the noise, since the log posterior density there is that of the noise itself.
    """
    return found.worth + (float(found.settings.theta[-1]) - _ROUGHNESS if data.infer else 0.0)


def _told_apart(kinds: list[Data], warm: Settings | None, deadline: float | None) -> tuple[Data, Fit]:
    """With a noise or without one: what has more evidence, on an even sample of many trials."""
    n, tried, worths = len(kinds[0].y), list[tuple[Data, Fit]](), list[float]()
    for data in kinds:
        part = data if n <= _RICH else data.at(_sample(n, _RICH))
        start = warm if warm is not None and warm.theta.size == data.size else None
        found = _search(part, start, "cold", deadline, cold=True)
        tried.append((data, found))
        if found.late:
            return tried[0][0], replace(tried[0][1], late=True)
        worths.append(evidence(part, found) - (0.0 if data.infer else _EXACT))
    data, found = tried[int(np.argmax(worths))]
    return data, found if n <= _RICH else _search(data, found.settings, "cold", deadline, cold=False)


def _richer(inputs: Inputs, data: Data, found: Fit, warm: Settings | None, deadline: float | None) -> tuple[Data, Fit]:
    """The same with a plane for a mean or with bent axes, if the evidence of an even sample gains by it."""
    n = len(data.y)
    part = data if n <= _RICH else data.at(_sample(n, _RICH))
    try:
        if deadline is not None:
            deadline = time.monotonic() + _time_to_fit(deadline - time.monotonic(), data)
        plain = found if part is data else fit(part, warm=found.settings, cold=False, deadline=deadline)
        best, late = (part, plain, plain.worth), plain.late
        if data.ordered and not plain.settings.trend:
            sloped = fit(part, warm=replace(plain.settings, trend=True), cold=False, deadline=deadline)
            best, late = max(best, (part, sloped, sloped.worth), key=lambda one: one[2]), late or sloped.late
        if inputs.bendable:
            curved = replace(part, bent=inputs.bendable)
            other = fit(curved, warm=_bent_start(curved, plain.settings, warm), cold=False, deadline=deadline)
            best = max(best, (curved, other, _bent_worth(curved, other, best[2])), key=lambda one: one[2])
            late = late or other.late
        richer, settings = replace(data, bent=best[0].bent), best[1].settings
        if best[1] is plain:
            return data, replace(found, late=late)
        if part is data:
            return richer, replace(best[1], late=late)
        last = fit(richer, warm=settings, cold=False, deadline=deadline, most=_most(richer))
        return richer, replace(last, late=late or last.late)
    except DeadlineReached:
        return data, replace(found, late=True)


def _bent_start(bent: Data, straight: Settings, warm: Settings | None) -> Settings:
    """Hyperparameters of straight axes with the shapes of an earlier fit, or with shapes that leave axes straight."""
    middle, end = np.split(straight.theta, [bent.shapes.start])
    if warm is not None and warm.theta.size == bent.size:
        shapes = warm.theta[bent.shapes]
    else:
        shapes = np.zeros(2 * len(bent.bent))
    return Settings(straight.kind, np.concatenate([middle, shapes, end]))


def _bent_worth(bent: Data, found: Fit, least: float) -> float:
    """By what it compares with straight axes: the shapes integrated out by Laplace's method.

    Args:
        least: What it has to be worth; the curvature, which makes it worth less, is not looked at below.
    """
    prior = Prior.of(bent)
    worth = found.worth + 0.5 * float((prior.sd[bent.shapes] ** 2).sum())  # without what the prior has at a = b = 1
    if worth <= least or found.late:
        return -np.inf if found.late else worth
    H = curvature(bent, found.settings, prior, bent.shapes)
    return worth - 0.5 * float(np.log(np.maximum(np.linalg.eigvalsh(H), 1.0)).sum())


def _best_bend(inputs: Inputs, seen: Observed, deadline: float | None) -> Bend | None:
    """Of the bends worth a look the one with the largest evidence, by a short fit of one kernel to a sample.

    What takes in a long tail of bad values of an objective stretches the good ones, whose shape near the best is then
    no longer that of the function; only values over orders of magnitude gain enough to pay for it. With several
    objectives they have to gain more: a hypervolume weighs what is near the best of one by its share in the range.
    """
    bends = (None,) if seen.linear else worth_a_look(seen.y)
    if len(bends) == 1:
        return None
    rows = _sample(len(seen.y), _ROUGH)
    values = []
    for bend in bends:
        outcome = Outcome.of(seen.y, bend, seen.focus)
        data = seen.data(inputs, outcome).at(rows)
        start = Settings(KINDS[0], Prior.of(data).mode)
        value = fit(data, warm=start, cold=False, deadline=deadline).value + outcome.log_slope(seen.y[rows])
        dear = bend is not None and bend.stretches and seen.focus is None
        values.append(value - ((_SHARED if seen.shared else _BENDING) * rows.size if dear else 0.0))
    return bends[int(np.argmax(values))]


def _sample(n: int, most: int) -> Rows:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _search(data: Data, warm: Settings | None, pace: str, deadline: float | None, *, cold: bool) -> Fit:
    """Hyperparameters; of a large record first those of even samples of it."""
    end = None if deadline is None else time.monotonic() + _time_to_fit(deadline - time.monotonic(), data)
    if pace != "cold" or len(data.y) <= _SAMPLES[0]:
        return fit(data, warm=warm, cold=cold, deadline=end)
    found = fit(data.at(_sample(len(data.y), _SAMPLES[0])), warm=warm, cold=cold, deadline=end)
    for size in (*_SAMPLES[1:], len(data.y)):
        if size <= len(data.y):
            part = data.at(_sample(len(data.y), size))
            found = fit(part, warm=found.settings, cold=False, deadline=end, most=_most(part))
    return found


def _most(data: Data) -> int:
    """Iterations of a fit that are affordable."""
    return max(_FEW, round(_WORK * (_FASTER if data.elsewhere else 1) / len(data.y) ** 3))


def _time_to_fit(left: float, data: Data) -> float:
    """Seconds of the time left that the search for hyperparameters may take: half of it.

    One evaluation of the evidence and its gradient cannot be interrupted. It was measured at
    about 0.2 ms + 5e-11 s n^3 on one core; a fit and a search need several.

    Raises:
        DeadlineReached: if that is more than there is.
    """
    n = len(data.y)
    if left < 6 * (2e-4 + 5e-11 / (_FASTER if data.elsewhere else 1) * n**3):
        raise DeadlineReached(f"{left:.2g} s are too few for a model of {n} trials")
    return left / 2


def _failure(
    history: History, inputs: Inputs, before: Settings | None, pace: str, deadline: float | None
) -> tuple[Settings, Limit] | None:
    """The process of failures, once some trial failed and some succeeded."""
    ended = history.placed & history.finished
    failed = np.flatnonzero(ended & (history.failed | history.infeasible))
    fine = np.flatnonzero(ended & ~(history.failed | history.infeasible))
    if not (failed.size and fine.size):
        return None
    rows = np.sort(np.concatenate([part[_sample(part.size, _LABELS)] for part in (failed, fine)]))
    Z = inputs.model_points(history.X[rows])
    labels = Labels(Z, np.isin(rows, failed), *inputs.columns)
    settings = fit_failure(labels, before, keep=pace == "kept", deadline=deadline)
    return settings, Limit(failure(labels, settings), upper=0.0, spread=SPREAD)
