"""Work beside the pages: tasks on `workbench.executor`, followed by one thread, looked at by every page.

The record in the database is what lasts; a job here is only what this server is doing for it now, so a
reload, a closed tab or a second browser sees the same jobs, and a restart begins with none.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from workbench.errors import ExecutorError, WorkbenchError
from workbench.executor import Channel, Died, Done, Event, Executor, Message, Processes, Raised

log = logging.getLogger("workbench.ui")
State = Literal["queued", "running", "done", "failed", "cancelled"]
KEPT = 50  # ended jobs that are remembered
_LOOK = 0.05  # seconds between looks for new orders while workers are busy


@dataclass(frozen=True, slots=True)
class Progress:
    """What a task says of itself: the share that is done (None if unknown), and a sentence."""

    share: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work as it stands now.

    Args:
        id: Number within this server.
        kind: "ask", "run" or "analysis".
        study: Name of the study it is for.
        title: What it does, for people.
        argument: What its task was called with.
        state: Where it stands.
        progress: The last thing it said.
        queued, started, ended: Seconds since 1970.
        result: What the task returned.
        error: Why it failed, in one sentence.
        details: The traceback of a failure, for the log.
    """

    id: int
    kind: str
    study: str
    title: str
    argument: object = None
    state: State = "queued"
    progress: Progress = Progress(None, "")
    queued: float = 0.0
    started: float | None = None
    ended: float | None = None
    result: Any = None
    error: str = ""
    details: str = ""

    @property
    def active(self) -> bool:
        """Is it still to come or running?"""
        return self.state in ("queued", "running")

    def seconds(self, now: float) -> float:
        """How long it has been running, or ran."""
        return 0.0 if self.started is None else (self.ended or now) - self.started

    def left(self, now: float) -> float | None:
        """Seconds that it will still take if it goes on as it did; None while nothing is known."""
        share = self.progress.share
        if self.state != "running" or not share or share <= 0.02:
            return None
        return self.seconds(now) * (1 - share) / share


class Jobs:
    """Runs tasks in worker processes. Any thread may call any method; all of them return at once.

    Args:
        executor: Where tasks run; closed with this object. Default: two processes.
    """

    def __init__(self, executor: Executor | None = None) -> None:
        self._executor = executor if executor is not None else Processes(workers=2)
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._jobs: dict[int, Job] = {}
        self._orders: dict[int, tuple[Callable[[Any, Channel], Any], Any]] = {}
        self._tasks: dict[int, int] = {}  # task of the executor: job
        self._doomed: set[int] = set()
        self._after: dict[int, Callable[[Job], object]] = {}
        self._ended: list[Job] = []  # those whose `after` is still to be called
        self._closed = False
        self._thread = threading.Thread(target=self._follow, name="jobs", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # after the executor's own hook, so run before it: one thread at a time uses it

    def submit(
        self,
        kind: str,
        study: str,
        title: str,
        fn: Callable[[Any, Channel], Any],
        argument: object,
        *,
        after: Callable[[Job], object] | None = None,
    ) -> Job:
        """Queue a task. A second one of the same kind for the same study is not begun: the active one is returned.

        Args:
            kind, study, title: As of `Job`.
            fn: What to run: a function at the top of a module, called with the argument and a channel.
            argument: Picklable.
            after: Called once with the job however it has ended, in the thread of this object: let it be quick.
        """
        with self._wake:
            for job in self._jobs.values():
                if job.active and (job.kind, job.study) == (kind, study):
                    return job
            job = Job(max(self._jobs, default=0) + 1, kind, study, title, argument, queued=time.time())
            self._jobs[job.id], self._orders[job.id] = job, (fn, argument)
            if after is not None:
                self._after[job.id] = after
            self._wake.notify_all()
            return job

    def get(self, job_id: int) -> Job | None:
        """A job by number; None if it is not remembered."""
        with self._lock:
            return self._jobs.get(job_id)

    def of(self, study: str | None = None) -> list[Job]:
        """The jobs of a study, or all of them, oldest first."""
        with self._lock:
            return [job for job in self._jobs.values() if study in (None, job.study)]

    def active(self, study: str, kind: str) -> Job | None:
        """The queued or running job of a kind."""
        return next((job for job in self.of(study) if job.active and job.kind == kind), None)

    def latest(self, study: str, kind: str) -> Job | None:
        """The newest job of a kind, whatever became of it."""
        return next((job for job in reversed(self.of(study)) if job.kind == kind), None)

    def latest_state(self, study: str, kind: str) -> str:
        """State of the newest job of a kind; "" without one."""
        job = self.latest(study, kind)
        return "" if job is None else job.state

    def position(self, job_id: int) -> int:
        """How many jobs are begun before this one; 0 once it runs."""
        with self._lock:
            return sum(1 for other in self._orders if other < job_id) if job_id in self._orders else 0

    def cancel(self, job_id: int) -> None:
        """End a job: a queued one is dropped, the process of a running one is killed."""
        with self._wake:
            job = self._jobs.get(job_id)
            if job is None or not job.active:
                return
            if self._orders.pop(job_id, None) is not None:
                self._end(job_id, "cancelled")
            else:
                self._doomed.add(job_id)
            self._wake.notify_all()

    def forget(self, job_id: int) -> None:
        """Take an ended job out of sight."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is not None and not job.active:
                del self._jobs[job_id]

    def wait(self, job_id: int, seconds: float) -> Job | None:
        """The job once it has ended, or as it stands when the time is over."""
        end = time.monotonic() + seconds
        with self._wake:
            while (job := self._jobs.get(job_id)) is not None and job.active:
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._wake.wait(left)
            return job

    def close(self) -> None:
        """Kill what runs and end the thread."""
        with self._wake:
            if self._closed:
                return
            self._closed = True
            self._wake.notify_all()
        atexit.unregister(self.close)
        self._thread.join(10)
        self._executor.close()

    # -- the thread, the only one that touches the executor ----------------------------------

    def _follow(self) -> None:
        while True:
            with self._wake:
                while not (self._closed or self._orders or self._tasks or self._ended):
                    self._wake.wait()
                if self._closed:
                    return
                ended, self._ended = self._ended, []
                doomed = [task for task, job in self._tasks.items() if job in self._doomed]
            for job in ended:
                self._call_after(job)
            for task in doomed:
                with suppress(ExecutorError):  # it has ended by itself in the meantime
                    self._executor.kill(task)
            self._begin()
            try:
                events = self._executor.wait(_LOOK)
            except ExecutorError as error:  # a worker could not start, and its task is dropped
                self._lost(str(error))
                continue
            with self._wake:
                for event in events:
                    self._note(event)
                self._wake.notify_all()

    def _call_after(self, job: Job) -> None:
        after = self._after.pop(job.id, None)
        if after is not None:
            try:
                after(job)
            except WorkbenchError as error:  # the thread must go on; what the job did is in the record anyway
                log.warning("after job %d (%s): %s", job.id, job.title, error)

    def _begin(self) -> None:
        while self._executor.free:
            with self._wake:
                if not self._orders:
                    return
                job_id = min(self._orders)
                fn, argument = self._orders.pop(job_id)
                self._jobs[job_id] = replace(self._jobs[job_id], state="running", started=time.time())
            try:
                task = self._executor.start(fn, argument)
            except ExecutorError as error:
                with self._wake:
                    self._end(job_id, "failed", error=str(error))
                    self._wake.notify_all()
                continue
            with self._wake:
                self._tasks[task] = job_id

    def _lost(self, why: str) -> None:
        """Fail the jobs whose workers never came up; the executor does not say which, but it runs them no more."""
        with self._wake:
            for task, job_id in list(self._tasks.items()):
                with suppress(ExecutorError):
                    self._executor.kill(task)
                del self._tasks[task]
                self._end(job_id, "failed", error=why)
            self._wake.notify_all()

    def _note(self, event: Event) -> None:
        job_id = self._tasks.get(event.task)
        if job_id is None:
            return
        if isinstance(event, Message):
            if isinstance(event.payload, Progress):
                self._jobs[job_id] = replace(self._jobs[job_id], progress=event.payload)
            return
        if isinstance(event, Done):
            self._end(job_id, "done", result=event.result)
        elif isinstance(event, Raised):
            self._end(job_id, "failed", error=event.message or event.type_name, details=event.traceback_text)
        elif isinstance(event, Died) and job_id in self._doomed:
            self._end(job_id, "cancelled")
        elif isinstance(event, Died):
            code = "" if event.exitcode is None else f" (exit code {event.exitcode})"
            self._end(job_id, "failed", error=f"The process that did this ended by itself{code}. Start it again.")
        else:
            return
        del self._tasks[event.task]

    def _end(self, job_id: int, state: State, **fields: Any) -> None:
        self._doomed.discard(job_id)
        self._jobs[job_id] = replace(self._jobs[job_id], state=state, ended=time.time(), **fields)
        self._ended.append(self._jobs[job_id])
        ended = [job.id for job in self._jobs.values() if not job.active]
        for old in ended[:-KEPT]:
            del self._jobs[old]
