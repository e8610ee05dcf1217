"""Runs of a cheap function in whole batches: evaluations are counted, and only the best become trials.

The state of the sampler and the best points so far are kept as an attachment every 30 seconds and at the end, so a run
that was killed goes on from there, and a later one with more evaluations goes on from the end.

Symbols: n points, d encoded columns, q told quantities, m objectives.
"""

from __future__ import annotations

import io
import logging
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import FrozenStudyError, InvalidValueError, UnsupportedError, WorkbenchWarning
from workbench.integers import integer
from workbench.pareto import non_dominated
from workbench.samplers.base import AskRequest
from workbench.samplers.batch import BatchSampler, ChoosesBatches, Outcomes
from workbench.study import asking, telling
from workbench.study.optimizing import is_duration
from workbench.study.progress import batch_bar
from workbench.trial import Observation, dumps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.samplers.base import Sampler
    from workbench.study.record import Record
    from workbench.study.study import Study
    from workbench.trial import History

    Array = NDArray[np.float64]
    Columns = Mapping[str, NDArray[Any]]

log = logging.getLogger("workbench")
CHECKPOINT = 30.0  # seconds between two of them
_MIME = "application/x-npz"


@dataclass(frozen=True)
class Batches:
    """What to run.

    Args:
        fn: Columns by name, shape (n, …), user units, to values by name, shape (n,).
        evaluations: How many in all, those of an interrupted run included.
        keep: How many of the best become trials.
        timeout: Stop after so many seconds.
        progress: Show a bar on an interactive terminal or in a notebook.
    """

    fn: Callable[[Columns], Any]
    evaluations: int
    keep: int = 20
    timeout: float | None = None
    progress: bool = True

    @classmethod
    def of(
        cls, fn: Callable[[Columns], Any], vectorized: bool, evaluations: int | None, keep: int, timeout: float | None,
        progress: bool, others: Sequence[Any],
    ) -> Batches:  # fmt: skip
        """The arguments of `Study.optimize`, checked.

        Args:
            others: Those that a run in batches has no use for; each has to be None.
        """
        if not vectorized or evaluations is None:
            raise InvalidValueError(
                "a vectorised run needs both vectorized=True and evaluations=, the number of evaluations in all; "
                "nothing was run"
            )
        if any(one is not None for one in others):
            raise InvalidValueError(
                "a vectorised run takes timeout=, progress= and keep=, and none of n_trials, until, executor, catch "
                "and callbacks; nothing was run"
            )
        return cls(fn, evaluations, keep, timeout, progress)

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise InvalidValueError(f"fn must be a function of columns by name, got {self.fn!r}; nothing was run")
        if not is_duration(self.timeout):
            raise InvalidValueError(f"timeout must be a number of seconds > 0, got {self.timeout!r}; nothing was run")
        for name, value in (("evaluations", self.evaluations), ("keep", self.keep)):
            if integer(value, 1) is None:
                raise InvalidValueError(f"{name} must be a whole number >= 1, got {value!r}; nothing was run")


def optimize(study: Study, record: Record, plan: Batches, stopped: threading.Event) -> None:
    """Run the study's sampler on a cheap function, and keep the best points as trials.

    Raises:
        UnsupportedError: if the sampler, or the study, cannot be run this way; nothing was run then.
        InvalidValueError: if `fn` gives anything but an array of shape (n,) for each name.
    """
    sampler, history = study.sampler, record.history()
    sampler = _able(sampler, history)
    if study.frozen:
        raise FrozenStudyError(
            f"study {record.name!r} is frozen and keeps no trials; nothing was run. study.thaw() ends that"
        )
    began = time.monotonic()
    name = f"run-{sampler.name}.npz"
    evaluator = _Evaluator(record, plan, sampler)
    state = evaluator.resumed(stored(study, name))
    if evaluator.spent >= plan.evaluations:
        evaluator.attach(sampler.name, "")  # trials stay; the run may have died before it wrote any
        return
    rng = np.random.default_rng(history.seed)
    saved = time.monotonic()
    milestone = None
    with batch_bar(evaluator.spent, plan.evaluations, evaluator.said, shown=plan.progress) as moved:
        for milestone in sampler.run(record.space, evaluator, plan.evaluations, rng, state):
            moved(milestone.evaluations)
            late = plan.timeout is not None and time.monotonic() - began >= plan.timeout
            if late or stopped.is_set():
                break
            if time.monotonic() - saved >= CHECKPOINT:
                study.files.put(name, _packed(evaluator.state(milestone.state)), _MIME)
                saved = time.monotonic()
    if milestone is None:  # too few evaluations were left for a step
        evaluator.attach(sampler.name, "")  # as above
        if state is None:
            warnings.warn(
                f"nothing was found: of evaluations={plan.evaluations} {evaluator.spent} are spent, and a step of "
                f"sampler {sampler.name!r} needs more than are left; give more evaluations",
                WorkbenchWarning, stacklevel=4,
            )  # fmt: skip
        return
    study.files.put(name, _packed(evaluator.state(milestone.state)), _MIME)
    if milestone.trace is not None:
        study.files.put(f"trace-{sampler.name}.npz", _packed(milestone.trace), _MIME)
    if milestone.sample is not None and len(milestone.sample):
        evaluator(milestone.sample, sample=True)
    evaluator.attach(sampler.name, milestone.ended)
    if milestone.asks is not None:
        asking.keep_state(record, sampler, milestone.asks)
    log.info("study %r: %s evaluations by %s", record.name, f"{evaluator.spent:,}", sampler.name)
    if evaluator.empty:
        warnings.warn(
            f"none of {evaluator.spent:,} evaluations gave a finite number for each of {', '.join(evaluator.names)}: "
            "no trial was made; call fn on a few columns and look at what it gives",
            WorkbenchWarning, stacklevel=4,
        )  # fmt: skip
    if milestone.ended:
        warnings.warn(f"stopped early: {milestone.ended}", WorkbenchWarning, stacklevel=4)


def _able(sampler: Sampler, history: History) -> BatchSampler:
    request = AskRequest(history, 1, np.random.default_rng(history.seed))
    if isinstance(sampler, ChoosesBatches):
        sampler = sampler.batched(request)
    if not isinstance(sampler, BatchSampler):
        raise UnsupportedError(
            f"sampler {sampler.name!r} cannot run whole batches. Make the study with sampler='cbo' or 'gflownet', or "
            "call optimize without vectorized=True"
        )
    if not history.measured or len(history.objectives) != len(history.measured):
        raise UnsupportedError("a vectorised run needs measured objectives, and no preference beside them")
    if any(limit.relative for limit in history.constraints):
        raise UnsupportedError("a vectorised run cannot measure a baseline first; state the limits as numbers")
    sampler.check(request)
    return sampler


class _Evaluator:
    """Calls the function, counts, and remembers the best."""

    def __init__(self, record: Record, plan: Batches, sampler: Sampler) -> None:
        self._record, self._plan, self._history = record, plan, record.history()
        of = dumps([record.space.to_json(), sampler.options()]) or ""  # what a checkpoint belongs to
        self._of = np.frombuffer(sha256(of.encode()).digest(), dtype=np.uint8)
        self._names = record.told_names
        self.spent = 0
        q = len(self._names)
        self._X, self._values = np.empty((0, record.space.width)), np.empty((0, q))  # kept
        self._sampled = np.empty(0, dtype=bool)

    def __call__(self, X: Array, *, sample: bool = False) -> Outcomes:
        """Evaluate encoded points (n, d)."""
        values = self._measured(X)
        self.spent += 0 if sample else len(X)
        outcomes = self._judged(values)
        self._keep(X, values, outcomes, sample)
        return outcomes

    def _measured(self, X: Array) -> Array:
        """Told values, shape (n, q)."""
        found = self._plan.fn(self._record.space.decode_columns(X))
        if not isinstance(found, Mapping):
            if len(self._names) != 1:
                raise InvalidValueError(
                    f"fn must give a mapping by name for {', '.join(self._names)}, got {type(found).__name__}"
                )
            found = {self._names[0]: found}
        if missing := [name for name in self._names if name not in found]:
            raise InvalidValueError(f"fn gave no values of {', '.join(missing)}; it gave {', '.join(map(str, found))}")
        columns = []
        for name in self._names:
            try:
                column = np.asarray(found[name], dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise InvalidValueError(f"fn must give numbers for {name!r}, got {found[name]!r:.80}") from error
            if column.shape != (len(X),):
                raise InvalidValueError(
                    f"fn must give an array of shape ({len(X)},) for {name!r}, got shape {column.shape}"
                )
            columns.append(np.where(np.isfinite(column), column, np.nan))
        return np.stack(columns, axis=1)

    def _judged(self, values: Array) -> Outcomes:
        history, at = self._history, {name: i for i, name in enumerate(self._names)}
        signs = [1.0 if goal.target is not None else goal.sign for goal in history.measured]
        Y = np.stack([s * values[:, at[g.name]] for s, g in zip(signs, history.measured, strict=True)], axis=1)
        excess = np.zeros(len(values))
        for limit in history.constraints:
            for bound in limit.bounds:
                over = bound.sign * (values[:, at[limit.name]] - bound.offset)
                excess += np.where(np.isnan(over), np.inf, np.maximum(over, 0.0))
        goal = history.measured[0]
        return Outcomes(
            history.utility(Y), excess, bool(history.constraints), -1.0 if goal.target is not None else goal.sign
        )

    def _keep(self, X: Array, values: Array, new: Outcomes, sample: bool) -> None:
        """Let the best of what is kept and what is new stay; a sample stays whatever it is worth."""
        if sample:
            self._X, self._values = np.concatenate([self._X, X]), np.concatenate([self._values, values])
            self._sampled = np.concatenate([self._sampled, np.ones(len(X), dtype=bool)])
            return
        rows, space = _promising(new, self._plan.keep), self._record.space
        settled = space.encode(space.decode(X[rows]))  # many points may be one trial
        X, values = np.concatenate([self._X, settled]), np.concatenate([self._values, values[rows]])
        _, first = np.unique(np.nan_to_num(X, nan=-9.0), axis=0, return_index=True)
        X, values = X[np.sort(first)], values[np.sort(first)]
        best = _best(self._judged(values), self._plan.keep)
        self._X, self._values = X[best], values[best]
        self._sampled = np.zeros(len(best), dtype=bool)

    @property
    def names(self) -> list[str]:
        """What fn gives values of."""
        return self._names

    @property
    def empty(self) -> bool:
        """Is there no point with every value?"""
        return bool(np.isnan(self._values).any(axis=1).all())

    def said(self) -> str:
        """The best so far in a few words."""
        if not len(self._values) or len(self._history.measured) != 1:
            return ""
        name = self._history.measured[0].name
        return f"best {self._values[0][self._names.index(name)]:.6g}"

    def state(self, sampler: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What has to be stored, beside the state of the sampler."""
        own = {"X": self._X, "values": self._values, "spent": np.array(self.spent), "of": self._of}
        return {f"sampler.{name}": part for name, part in sampler.items()} | {f"kept.{k}": v for k, v in own.items()}

    def resumed(self, stored: Mapping[str, NDArray[Any]] | None) -> dict[str, NDArray[Any]] | None:
        """Take over what was stored; the state of the sampler is returned."""
        if stored is None:
            return None
        if not np.array_equal(stored.get("kept.of", ()), self._of):
            warnings.warn(
                "the last run was over another space, or with other options of the sampler: this one begins anew",
                WorkbenchWarning, stacklevel=5,
            )  # fmt: skip
            return None
        self._X, self._values = stored["kept.X"], stored["kept.values"]
        self._sampled = np.zeros(len(self._X), dtype=bool)
        self.spent = int(stored["kept.spent"])
        return {name.removeprefix("sampler."): part for name, part in stored.items() if name.startswith("sampler.")}

    def attach(self, by: str, ended: str) -> None:
        """Make trials of what is kept and has values, except of what is in the record already."""
        space, history = self._record.space, self._record.history()
        known = {space.key(params) for i in range(len(history)) if (params := history.spaces.placed(history.rows[i]))}
        runs = []
        for params, values, sampled in zip(space.decode(self._X), self._values, self._sampled, strict=True):
            if np.isnan(values).any() or space.key(params) in known:
                continue
            known.add(space.key(params))
            told = dict(zip(self._names, map(float, values), strict=True))
            note = {"sampler": by, "evaluations": self.spent} | ({"sample": True} if sampled else {})
            note |= {"ended": ended} if ended else {}
            runs.append(telling.Run(params, Observation(told), attrs={"vectorized": note}))
        telling.attach_all(self._record, runs)


def _promising(new: Outcomes, keep: int) -> NDArray[np.int64]:
    """Rows that may be among the best ones."""
    if new.utility.shape[1] == 1:
        return _best(new, keep)
    there = np.flatnonzero((new.excess == 0) & ~np.isnan(new.utility).any(axis=1))
    return there[non_dominated(new.utility[there])] if there.size else _best(new, keep)


def _best(seen: Outcomes, keep: int) -> NDArray[np.int64]:
    """Rows of the best, best first: by value, or of several objectives a front spread out; what holds limits first."""
    whole = ~np.isnan(seen.utility).any(axis=1)
    if seen.utility.shape[1] == 1 or not (whole & (seen.excess == 0)).any():
        order = np.lexsort([-np.nan_to_num(seen.utility[:, 0], nan=-np.inf), seen.excess, ~whole])
        return np.asarray(order[: min(keep, int(whole.sum()))], dtype=np.int64)
    rows = np.flatnonzero(whole & (seen.excess == 0))
    rows = rows[non_dominated(seen.utility[rows])]
    if len(rows) <= keep:
        return rows
    U = seen.utility[rows]
    U = (U - U.min(axis=0)) / np.maximum(np.ptp(U, axis=0), 1e-300)
    chosen = list(dict.fromkeys(U.argmax(axis=0).tolist()))[:keep]
    gaps = np.min([np.linalg.norm(U - U[i], axis=1) for i in chosen], axis=0)
    while len(chosen) < keep:  # the point furthest from those chosen
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, np.linalg.norm(U - U[chosen[-1]], axis=1))
    return np.asarray(rows[np.sort(chosen)], dtype=np.int64)


def _packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def stored(study: Study, name: str) -> dict[str, NDArray[Any]] | None:
    """The arrays of an attachment; None if there is none."""
    if name not in [row.name for row in study.files.list()]:
        return None
    with np.load(io.BytesIO(study.files.get(name)), allow_pickle=False) as held:
        return dict(held)
