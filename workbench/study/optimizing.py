"""The loop that asks, evaluates and tells, in this process or on an executor."""

from __future__ import annotations

import logging
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import (
    AlreadyTold,
    ExecutorError,
    ExhaustedSpaceError,
    FrozenStudyError,
    InvalidValueError,
    SearchEnded,
    StorageError,
    TrialPruned,
    TrialStateError,
    WorkbenchError,
    WorkbenchWarning,
)
from workbench.executor import Died, Done, Executor, Raised, Request
from workbench.integers import integer
from workbench.problem import Objective, Preference
from workbench.space import Space
from workbench.study import asking, telling
from workbench.trial import Observation, Owner, Spaces, Trial, TrialRow, TrialState, now

if TYPE_CHECKING:
    from workbench.study.record import Record
    from workbench.study.study import Study
    from workbench.trial import History

log = logging.getLogger("workbench")

_OFTEN = 3  # attempts that came to nothing: the trial may be what ends its processes
EXPIRY = 300.0  # seconds without a heartbeat after which a trial may be taken over
HEARTBEAT = 30.0

Evaluate = Callable[[Trial], "float | Mapping[str, float]"]


@dataclass
class Plan:
    """When to stop, what to forgive, whom to tell."""

    fn: Evaluate
    n_trials: int | None = None
    until: int | None = None
    timeout: float | None = None
    executor: Executor | None = None
    catch: tuple[type[BaseException], ...] = ()
    callbacks: Sequence[Callable[[Study, Trial], None]] = ()
    started: float = field(default_factory=time.monotonic)
    new: int = 0  # trials asked for so far
    exhausted: bool = False  # nothing is left to ask for, or the sampler has ended the search

    def __post_init__(self) -> None:
        self._check_types()
        for name, value in (("n_trials", self.n_trials), ("until", self.until)):
            if value is not None and integer(value) is None:
                raise InvalidValueError(f"{name} must be a whole number >= 0, got {value!r}")
        if self.n_trials is None and self.until is None and self.timeout is None:
            raise InvalidValueError("say when to stop: n_trials=, until=, timeout=, or a study with a budget")

    def _check_types(self) -> None:
        wrong: list[tuple[str, str, object]] = []
        if not callable(self.fn):
            wrong.append(("fn", "a function of a trial", self.fn))
        if not is_duration(self.timeout):
            wrong.append(("timeout", "a number of seconds > 0", self.timeout))
        if self.executor is not None and not isinstance(self.executor, Executor):
            wrong.append(("executor", "an executor such as wb.Processes(4)", self.executor))
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in self.catch):
            wrong.append(("catch", "an exception type or several", self.catch))
        if not all(callable(callback) for callback in self.callbacks):
            wrong.append(("callbacks", "a list of functions callback(study, trial)", self.callbacks))
        for name, expected, got in wrong:
            raise InvalidValueError(f"{name} must be {expected}, got {got!r}; nothing was run")

    def wants_more(self) -> bool:
        """May this run ask for another new trial, whatever `until` says?"""
        if self.exhausted:
            return False
        if self.timeout is not None and time.monotonic() - self.started >= self.timeout:
            return False
        return self.n_trials is None or self.new < self.n_trials


def optimize(study: Study, record: Record, plan: Plan, stopped: threading.Event) -> None:
    """Run the plan to its end.

    Raises:
        Exception: what `fn` raised, unless its type is in `plan.catch`; the trial is failed first.
    """
    runner = _Here(study, record, plan) if plan.executor is None else _Pool(study, record, plan)
    try:
        runner.tell_kept()
        try:
            _run(study, record, plan, stopped, runner)
        finally:
            runner.release()  # after the last heartbeat, which would undo it
    except StorageError as error:
        interrupt = _interrupt_behind(error)
        if interrupt is None:
            raise
        # It struck between two steps of opening a transaction. What is in flight is taken over when this process ends.
        log.warning("after Ctrl-C the trials in flight could not be given back: %s", error)
        raise interrupt from None


def _run(study: Study, record: Record, plan: Plan, stopped: threading.Event, runner: _Runner) -> None:
    with runner.heartbeats():
        while not stopped.is_set():
            row = _next(study, record, plan, runner) if runner.free or not runner.running else None
            if row is not None:
                runner.run(row)
            elif not runner.running:
                return
            else:
                runner.wait()
        runner.drain()


def _interrupt_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The Ctrl-C that an error was raised while handling."""
    behind = error.__context__
    while behind is not None and not isinstance(behind, KeyboardInterrupt):
        behind = behind.__context__
    return behind


def _next(study: Study, record: Record, plan: Plan, runner: _Runner) -> TrialRow | None:
    """An orphan, else a new trial, else None."""
    began = now()
    try:
        return _orphan(record, runner.alive) or _fresh(study, record, plan)
    except BaseException:
        runner.adopt(began)
        raise


def _fresh(study: Study, record: Record, plan: Plan) -> TrialRow | None:
    """A new trial, unless those finished and those in flight, in other runs too, are enough."""
    if not plan.wants_more() or asking.enough(record.history(), plan.until):
        return None
    try:
        rows = study._ask(1, expires=EXPIRY, until=plan.until)
    except (ExhaustedSpaceError, SearchEnded) as error:
        warnings.warn(f"stopped early: {error}", WorkbenchWarning, stacklevel=4)
        plan.exhausted = True
        return None
    plan.new += len(rows)
    return rows[0] if rows else None


def _orphan(record: Record, alive: Collection[int]) -> TrialRow | None:
    """Take over the first running trial whose optimising process is gone: same number, one attempt more.

    It begins without intermediate values; those of the attempt before go to the audit log.

    Args:
        alive: Trials of this run, which are no orphans even if a suspended machine let them expire.
    """
    history, at = record.history(), now()
    orphans = [row for row in _running(history) if row.number not in alive and row.orphaned(at)]
    if not orphans:
        return None
    with record.transaction("takeover") as tx:
        for candidate in orphans:
            row = tx.row(candidate.number)
            if row.state != TrialState.RUNNING or not row.orphaned(at):
                continue
            if said := [[report.step, report.objective, report.value] for report in tx.reports_of(row.number)]:
                tx.audit("take over", row.number, before={"attempt": row.attempt, "reports": said})
                tx.forget_reports(row.number)
            log.warning("study %r: trial %d begins again%s", record.name, row.number, _how_often(row))
            owner = Owner.current().to_json()
            return tx.update(row.number, owner=owner, attempt=row.attempt + 1, expires=at + EXPIRY, started=at)
    return None


def _how_often(row: TrialRow) -> str:
    """What is said of a trial that begins once more."""
    said = f", attempt {row.attempt + 1}"
    if row.expires != 0.0:  # it was not given back
        said += f": the process of attempt {row.attempt} is gone"
    if row.attempt >= _OFTEN:
        said += f". If it is what ends them, stop, and tell(…, state='failed') trial {row.number}"
    return said


def give_back(record: Record) -> list[int]:
    """End the leases of running trials whose optimising process is dead, and say so by a new revision.

    The next run takes them over without this too; but whoever has read the record learns of it only now.
    """
    dead = [row.number for row in _running(record.history()) if row.orphaned(now()) and row.expires]
    if dead:
        with record.transaction("release") as tx:
            for row in map(tx.row, dead):
                if row.state == TrialState.RUNNING and row.expires and row.orphaned(now()):
                    tx.update(row.number, expires=0.0)
    return dead


def is_duration(value: object) -> bool:
    """Is it a number of seconds above 0, or None for no limit?"""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0)


def _running(history: History) -> list[TrialRow]:
    return [history.rows[i] for i in np.flatnonzero(history.in_state(TrialState.RUNNING)).tolist()]


# -- one trial ---------------------------------------------------------------------------------


class _Runner:
    """Keeps the trials in flight alive, and writes down how they end."""

    def __init__(self, study: Study, record: Record, plan: Plan) -> None:
        self.study, self.record, self.plan = study, record, plan
        self.alive: dict[int, TrialRow] = {}

    @property
    def running(self) -> int:
        """Trials in flight in this run."""
        return len(self.alive)

    @property
    def free(self) -> bool:
        """Can another trial begin now? None is asked for before."""
        return True

    def run(self, row: TrialRow) -> None:
        """Begin one trial."""
        raise NotImplementedError

    def wait(self) -> None:
        """Wait for one of the trials in flight."""
        raise NotImplementedError

    def drain(self) -> None:
        """Wait for all of them."""
        while self.running:
            self.wait()

    def adopt(self, began: float) -> None:
        """Find the trial that was written for this run since `began`, before its number got here."""
        owner = Owner.current().to_json()
        for row in _running(self.record.history()):
            if row.owner == owner and row.expires is not None and (row.started or 0.0) >= began:
                self.alive.setdefault(row.number, row)

    def release(self) -> None:
        """Give the trials in flight back, so that the next run takes them over at once.

        This raises the revision, unlike a heartbeat: a process that has read the record already
        must learn of it.
        """
        if not self.alive:
            return
        owner, numbers = Owner.current().to_json(), list(self.alive)
        self.alive.clear()
        with self.record.transaction("release") as tx:
            for row in map(tx.row, numbers):
                if row.state == TrialState.RUNNING and row.owner == owner:
                    tx.update(row.number, expires=0.0)

    @contextmanager
    def heartbeats(self) -> Iterator[None]:
        """Renew the expiry of the trials in flight while the block runs."""
        done = threading.Event()
        keeper = threading.Thread(target=self._beat, args=(done,), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def _beat(self, done: threading.Event) -> None:
        owner = Owner.current().to_json()
        while not done.wait(HEARTBEAT):
            for number in list(self.alive):
                try:
                    self.record.storage.heartbeat(self.record.id, number, owner, now() + EXPIRY)
                except StorageError as error:
                    log.warning("a heartbeat of trial %d failed, the next one may not: %s", number, error)

    # -- how it ended --

    def returned(self, row: TrialRow, result: Any) -> None:
        """The function gave a value: check and tell it; a result that cannot be used fails the trial."""
        try:
            told = self._tell(row, telling.observe(self.record, result), TrialState.COMPLETE)
        except InvalidValueError as error:
            self.failed(row, error, f"the function returned {result!r}: {error}")
        else:
            self._call_back(told)

    def failed(self, row: TrialRow, error: BaseException | None, text: str) -> None:
        """The function raised: record it, and raise it again unless the caller forgives its type."""
        if isinstance(error, TrialPruned):
            why = str(error) or self.record.prune_reasons.pop(row.number, "") or None
            self._call_back(self._tell(row, Observation(), TrialState.PRUNED, reason=why))
            return
        self._call_back(self._tell(row, Observation(), TrialState.FAILED, error=text))
        if not isinstance(error, self.plan.catch):
            raise error if error is not None else ExecutorError(f"trial {row.number} failed: {text}")

    def _tell(
        self, row: TrialRow, seen: Observation, state: TrialState, error: str | None = None, reason: str | None = None
    ) -> TrialRow | None:
        """The row as told; None if it had ended otherwise meanwhile, and this result went to the audit log."""
        try:
            told = telling.tell(self.record, row.number, seen, state, error=error, reason=reason)
        except (AlreadyTold, TrialStateError) as conflict:  # told, taken out or rejected meanwhile
            self.alive.pop(row.number, None)
            with self.record.transaction("late") as tx:
                after = {"attempt": row.attempt, "state": str(state), "values": dict(seen.values), "error": error}
                tx.audit("late result", row.number, after=after, reason=str(conflict))
            warnings.warn(f"a late result went to the audit log: {conflict}", WorkbenchWarning, stacklevel=4)
            return None
        except (StorageError, FrozenStudyError) as refused:
            # It may have taken hours, so it is kept, and the trial is not given back.
            self.alive.pop(row.number, None)
            self.record.kept[row.number] = (row, seen, state, error, reason)
            came = f"{state} with {dict(seen.values)}" if seen.values else str(state)
            said = (
                f"{refused}. Trial {row.number} came out as {came}, which is not in the record: the next optimize() of "
                f"this study in this process tells it first, or tell it by hand with study.tell({row.number}, …)"
            )
            log.error("study %r: %s", self.record.name, said)
            raise type(refused)(said) from refused
        self.alive.pop(row.number, None)
        return told

    def tell_kept(self) -> None:
        """Tell the results that the storage has refused before."""
        for number, (row, seen, state, error, reason) in list(self.record.kept.items()):
            told = self._tell(row, seen, state, error, reason)
            del self.record.kept[number]  # not before it is in the record
            self._call_back(told)

    def _call_back(self, told: TrialRow | None) -> None:
        if told is None:
            return
        for callback in self.plan.callbacks:
            callback(self.study, self.record.trial(told))


class _Here(_Runner):
    """Runs one trial at a time in this thread."""

    def run(self, row: TrialRow) -> None:
        self.alive[row.number] = row
        try:
            result = self.plan.fn(self.record.trial(row))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit in the function too
            self.failed(row, error, "".join(traceback.format_exception(error)))
        else:
            self.returned(row, result)

    def wait(self) -> None:
        raise WorkbenchError("a trial of this thread is never left running")


class _Pool(_Runner):
    """Runs trials on an executor's workers; only this process touches the storage."""

    def __init__(self, study: Study, record: Record, plan: Plan) -> None:
        super().__init__(study, record, plan)
        assert plan.executor is not None
        self.pool: Executor = plan.executor
        self.tasks: dict[int, TrialRow] = {}

    @property
    def free(self) -> bool:
        return self.pool.free > 0

    def run(self, row: TrialRow) -> None:
        job = _Job(self.plan.fn, row, self.record.spaces.of(row).to_json(), self.record.objectives)
        self.alive[row.number] = row
        self.tasks[self.pool.start(_evaluate, job)] = row

    def wait(self) -> None:
        faults: list[BaseException] = []
        for event in self.pool.wait():
            row = self.tasks.get(event.task)
            if row is None:
                continue
            if isinstance(event, Request):
                self.pool.reply(event.task, self._answer(row, event.payload))
                continue
            del self.tasks[event.task]
            try:
                self._ended(row, event)
            except Exception as fault:  # the results beside it are told first
                faults.append(fault)
        if faults:
            raise faults[0]

    def _answer(self, row: TrialRow, question: tuple[Any, ...]) -> Any:
        """What the record says; an error travels back and is raised where the trial called."""
        try:
            match question:
                case ("report", values, step):
                    return self.record.report(row.number, values, step, row.attempt)
                case ("set_attr", key, value):
                    return self.record.set_attr(row.number, key, value, row.attempt)
                case _:
                    return self.record.should_prune(row.number)
        except WorkbenchError as error:
            return error

    def _ended(self, row: TrialRow, event: Any) -> None:
        match event:
            case Done(result=result):
                self.returned(row, result)
            case Raised(error=error, traceback_text=text):
                self.failed(row, error, text)
            case Died(reason=reason, seconds=seconds, exitcode=code):
                text = f"the worker {reason} after {seconds:.1f} s (exit code {code})"
                self.failed(row, ExecutorError(f"trial {row.number}: {text}"), text)

    def release(self) -> None:
        try:
            for task in list(self.tasks):
                with suppress(ExecutorError):  # it has ended meanwhile
                    self.pool.kill(task)
            self.tasks.clear()
        finally:
            super().release()


@dataclass(frozen=True)
class _Job:
    fn: Evaluate
    row: TrialRow
    space: Mapping[str, Any]
    objectives: tuple[Objective | Preference, ...]


class _Proxy:
    """The `Recorder` inside a worker: passes everything on through the channel."""

    def __init__(self, job: _Job, channel: Any) -> None:
        self.spaces = Spaces(Space.from_json(job.space), job.row.space_version)
        self.objectives = job.objectives
        self._channel = channel

    def report(self, number: int, values: float | Mapping[str, float], step: int, attempt: int | None = None) -> None:
        self._request("report", values, step)

    def should_prune(self, number: int) -> bool:
        return bool(self._request("should_prune"))

    def set_attr(self, number: int, key: str, value: Any, attempt: int | None = None) -> None:
        self._request("set_attr", key, value)

    def _request(self, *question: Any) -> Any:
        answer = self._channel.request(question)
        if isinstance(answer, WorkbenchError):
            raise answer
        return answer


def _evaluate(job: _Job, channel: Any) -> Any:
    return job.fn(Trial(job.row, _Proxy(job, channel)))
