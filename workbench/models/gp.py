"""Gaussian processes of a record: data, scaling, noise and hyperparameters of one process per measured objective.

Each objective gets its own process on standardised values (`outcomes`), with a kernel, hyperparameters and, for
heavy tails, a power chosen by evidence (`exact`). The noise is what the objective states: inferred, none
(variance 1e-6 of the standardised values), a standard deviation, or the standard errors that were told.
A pruned trial enters with the final value that its reports foretell, and the doubt about it as noise on top.

What a fit found travels in the `meta` of the trial that it proposed, and the next fit starts there: so it is a
function of the record alone, and cheap.

Symbols: n trials, d columns, m objectives, y values in the units of `History.Y`, z standardised ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.distance import cdist

from workbench.errors import DeadlineReached
from workbench.models.curves import finals
from workbench.models.exact import NOISELESS, Data, ExactPosterior, Fit, Prior, Settings, fit
from workbench.models.inputs import Inputs
from workbench.models.kernels import KINDS
from workbench.models.outcomes import Bend, Outcome, worth_a_look
from workbench.models.surrogate import Surrogate

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from threadpoolctl import ThreadpoolController

    from workbench.problem import Objective
    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

_ALONE = threading.RLock()
_ANEW = 1.25  # growth of the record after which a fit begins anew
_PATIENCE = 75  # one in so many of its trials may be added before hyperparameters are fitted again
_SAMPLE = 200  # trials of the first, rough fit to a larger record
_ROUGH = 100  # trials by which bends are compared


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
    """One objective: its values as z, and the process of z given the data."""

    outcome: Outcome
    data: Data
    settings: Settings
    posterior: ExactPosterior
    late: bool = False  # time ended the search for hyperparameters

    def moments(self, Z: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the noise-free objective at model inputs, each of shape (n,)."""
        return self.outcome.moments(*self.posterior.mean_sd(Z))


@dataclass(frozen=True)
class Memory:
    """What an earlier fit found: its sizes and, for each objective, hyperparameters and bend.

    Args:
        n: Trials when hyperparameters were last fitted.
        cold: Trials when they were last fitted from the prior's mode.
        outputs: For each objective, its settings and bend.
    """

    n: int
    cold: int
    outputs: tuple[tuple[Settings, Bend | None], ...]

    def to_json(self) -> dict[str, Any]:
        """JSON types, exact."""
        outputs = [{**settings.to_json(), "bend": bend and list(bend)} for settings, bend in self.outputs]
        return {"n": self.n, "cold": self.cold, "outputs": outputs}

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
        outputs = [
            (Settings(out["kind"], np.array(out["theta"])), None if out["bend"] is None else Bend(*out["bend"]))
            for out in data["outputs"]
        ]
        return cls(data["n"], data["cold"], tuple(outputs))


class GaussianProcesses(Surrogate):
    """Independent processes, one for each measured objective."""

    def __init__(
        self, history: History, inputs: Inputs, outputs: list[GaussianProcess], memory: Memory, pace: str
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.memory = memory
        self.pace = pace
        self._measured = history.measured

    @classmethod
    def fit(cls, history: History, *, deadline: float | None = None, shun_failures: bool = False) -> GaussianProcesses:
        """Fit by maximum a posteriori, from where the record says that the last fit ended.

        Args:
            history: The record.
            deadline: `time.monotonic()` at which the search for hyperparameters stops.
            shun_failures: Count failed and infeasible trials as the worst value seen, so that
                a search stays away from them; for acquisition only, not for prediction.
        Raises:
            DeadlineReached: if not even one step fits into the time.
        """
        inputs = Inputs(history.space)
        memory = Memory.of(history)
        outputs = []
        with alone(deadline):
            found = [_observed(history, inputs, j, goal, shun_failures) for j, goal in enumerate(history.measured)]
            n = max((len(seen.y) for seen in found), default=0)
            pace = _pace(memory, n)
            for j, seen in enumerate(found):
                before = None if memory is None or j >= len(memory.outputs) else memory.outputs[j]
                outputs.append(_fitted(inputs, seen, before, pace, deadline))
        settings = tuple((output.settings, output.outcome.bend) for output in outputs)
        if memory is None or pace == "cold":
            made = Memory(n, n, settings)
        else:
            made = Memory(memory.n if pace == "kept" else n, memory.cold, settings)
        return cls(history, inputs, outputs, made, pace)

    @property
    def late(self) -> bool:
        """Did time end the search for hyperparameters?"""
        return any(output.late for output in self.outputs)

    def posterior(self, X: Array) -> tuple[Array, Array]:
        Z = self.inputs.model_points(X)
        with alone():
            moments = [output.moments(Z) for output in self.outputs]
        return np.stack([mu for mu, _ in moments], axis=1), np.stack([sd for _, sd in moments], axis=1)

    def predict(self, X: Array) -> dict[str, tuple[Array, Array]]:
        mu, sd = self.posterior(X)
        return {goal.name: (goal.sign * mu[:, j], sd[:, j]) for j, goal in enumerate(self._measured)}


# -- how much to search -------------------------------------------------------------------------


def _pace(memory: Memory | None, n: int) -> str:
    """ "cold": from the prior's mode too; "warm": from the last hyperparameters; "kept": those as they are."""
    if memory is None or n >= _ANEW * memory.cold or n < memory.n:
        return "cold"
    return "kept" if n - memory.n < n // _PATIENCE else "warm"


def _fitted(
    inputs: Inputs, seen: _Observed, before: tuple[Settings, Bend | None] | None, pace: str, deadline: float | None
) -> GaussianProcess:
    """The process of one objective."""
    bend = None if before is None else before[1]
    if pace == "cold":
        bend = _best_bend(inputs, seen, deadline)
    outcome = Outcome.of(seen.y, bend)
    data = seen.data(inputs, outcome)
    warm = None if before is None or before[0].theta.size != _size(data) else before[0]
    found = Fit(warm, 0.0) if pace == "kept" and warm is not None else _search(data, warm, pace, deadline)
    return GaussianProcess(outcome, data, found.settings, ExactPosterior.of(data, found.settings), found.late)


def _best_bend(inputs: Inputs, seen: _Observed, deadline: float | None) -> Bend | None:
    """Of the bends worth a look the one with the largest evidence, by a short fit of one kernel to a sample."""
    bends = (None,) if seen.linear else worth_a_look(seen.y)
    if len(bends) == 1:
        return None
    rows = _sample(len(seen.y), _ROUGH)
    values = []
    for bend in bends:
        outcome = Outcome.of(seen.y, bend)
        data = seen.data(inputs, outcome).at(rows)
        start = Settings(KINDS[0], Prior.of(data).mode)
        values.append(fit(data, warm=start, cold=False, deadline=deadline).value + outcome.log_slope(seen.y[rows]))
    return bends[int(np.argmax(values))]


def _sample(n: int, most: int) -> Rows:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _size(data: Data) -> int:
    return data.lengths + len(data.choices) + 1 + data.infer


def _search(data: Data, warm: Settings | None, pace: str, deadline: float | None) -> Fit:
    """Hyperparameters; of a large record first those of an even sample of it."""
    end = None if deadline is None else time.monotonic() + _time_to_fit(deadline - time.monotonic(), len(data.y))
    if pace != "cold" or len(data.y) <= _SAMPLE:
        return fit(data, warm=warm, cold=pace == "cold" or warm is None, deadline=end)
    rough = fit(data.at(_sample(len(data.y), _SAMPLE)), warm=warm, deadline=end)
    return fit(data, warm=rough.settings, cold=False, deadline=end)


def _time_to_fit(left: float, n: int) -> float:
    """Seconds of the time left that the search for hyperparameters may take: half of it.

    One evaluation of the evidence and its gradient cannot be interrupted. It was measured at
    about 0.2 ms + 5e-11 s n^3 on one core; a fit and a search need several.

    Raises:
        DeadlineReached: if that is more than there is.
    """
    if left < 6 * (2e-4 + 5e-11 * n**3):
        raise DeadlineReached(f"{left:.2g} s are too few for a model of {n} trials")
    return left / 2


# -- what it learns from ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Observed:
    """What one process learns from, in the units and sign of `History.Y`.

    Args:
        X: Encoded inputs, shape (n, d).
        y: Values, shape (n,).
        variance: Noise variances, shape (n,), NaN where inferred.
        doubt: Variances on top, of values that were foretold instead of measured, shape (n,).
        linear: Must z be linear in y, as for an objective with a target?
    """

    X: Array
    y: Array
    variance: Array
    doubt: Array
    linear: bool

    def data(self, inputs: Inputs, outcome: Outcome) -> Data:
        """The same in model inputs and standardised values."""
        infer = bool(np.isnan(self.variance).any())
        noise = outcome.variance(self.y, self.doubt + (0.0 if infer else self.variance))
        if not infer:
            noise = np.maximum(noise, NOISELESS)
        z, Z = outcome.forward(self.y), inputs.model_points(self.X)
        columns = tuple(inputs.ordered), tuple(inputs.categorical), tuple(inputs.blocks)
        return Data(Z, z, noise, infer, *columns)


def _observed(history: History, inputs: Inputs, j: int, goal: Objective, shun_failures: bool) -> _Observed:
    """Complete trials as measured, pruned ones as foretold, and failures as penalties."""
    rows = np.flatnonzero(history.complete & history.placed & ~np.isnan(history.Y[:, j]))
    y = history.Y[rows, j]
    stated = np.nan if goal.noise_sd is None else goal.noise_sd**2
    told = history.sem[rows, j]
    variance = np.where(np.isnan(told), stated, told**2)
    if np.isnan(variance).any() and not np.isnan(variance).all():
        variance = np.where(np.isnan(variance), np.nanmean(variance), variance)
    doubt = np.zeros(rows.size)
    pruned = finals(history, j)
    if pruned.rows.size:
        rows, y = np.concatenate([rows, pruned.rows]), np.concatenate([y, pruned.values])
        variance = np.concatenate([variance, np.full(pruned.rows.size, variance.mean())])
        doubt = np.concatenate([doubt, pruned.variances])
    shunned = np.flatnonzero((history.failed | history.infeasible) & history.placed) if shun_failures else rows[:0]
    if shunned.size:
        y = np.concatenate([y, _penalties(history, inputs, goal, rows, shunned, y)])
        rows = np.concatenate([rows, shunned])
        variance = np.concatenate([variance, np.full(shunned.size, variance.max())])
        doubt = np.concatenate([doubt, np.zeros(shunned.size)])
    return _Observed(history.X[rows], y, variance, doubt, goal.target is not None)


def _penalties(history: History, inputs: Inputs, goal: Objective, rows: Rows, shunned: Rows, y: Array) -> Array:
    """What a failure counts as: the worst value seen or foretold, y of shape (k,) at these rows.

    With a target, the worst on the side of the target where the nearest of these trials lies, so that
    the model does not cross the target on its way to the failure.
    """
    if goal.target is None:
        return np.full(shunned.size, y.min())
    A, B = inputs.model_points(history.X[shunned]), inputs.model_points(history.X[rows])
    nearest = y[cdist(A, B, "sqeuclidean").argmin(axis=1)]
    penalties: Array = np.where(nearest < goal.target, y.min(), y.max())
    return penalties
