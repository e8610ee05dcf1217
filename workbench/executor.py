"""Run functions in worker processes: talk to them, limit their time, kill them.

`Processes` keeps at most `workers` spawned processes, each with one pipe. `start` hands one of them a
function, and `wait` returns what happened since: messages, questions, a result, an exception, a death.
It knows nothing of studies, and one thread at a time may use it. Its pipes carry pickles, which never
leave this process and its children.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import math
import multiprocessing
import multiprocessing.resource_tracker
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import connection
from types import FunctionType
from typing import Any, Literal, Protocol, Self

from workbench.errors import ExecutorError, InvalidValueError
from workbench.integers import integer

# Read by the BLAS and OpenMP libraries when they are loaded, hence before the worker's first import.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
                     "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")  # fmt: skip
_NUMERIC = frozenset({"numpy", "scipy", "sklearn", "torch"})
_INLINE = 4096  # bytes; less than any platform's pipe buffer, so sending so much never blocks
_POLL = 1.0  # seconds between looks at exit codes: a grandchild with a copy of the pipes keeps them silent
_STARTUP = 120.0  # seconds in which a worker must be ready; before that, it imports the main script
_GOODBYE = 2.0  # seconds that close() leaves to idle workers before it kills them
_GUARD = (
    "A worker imports the main script again, so everything in it that does work, the making of the pool "
    'included, belongs under `if __name__ == "__main__":`.'
)
_environment_lock = threading.Lock()


# -- events and the channel -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """The task sent something, and goes on."""

    task: int
    payload: Any


@dataclass(frozen=True, slots=True)
class Request:
    """The task asked something, and waits for `Executor.reply`."""

    task: int
    payload: Any


@dataclass(frozen=True, slots=True)
class Done:
    """The task returned."""

    task: int
    result: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The task raised; `error` is None where the exception could not travel."""

    task: int
    error: BaseException | None
    type_name: str
    message: str
    traceback_text: str


@dataclass(frozen=True, slots=True)
class Died:
    """The task's worker is gone; `seconds` is how long the task ran, waiting for replies excluded."""

    task: int
    reason: Literal["crashed", "timeout", "killed"]
    exitcode: int | None
    seconds: float


Event = Message | Request | Done | Raised | Died


class Channel(Protocol):
    """The task's side of the line; any thread of the task may use it until the task ends."""

    def send(self, payload: Any) -> None:
        """Send a message and go on."""

    def request(self, payload: Any) -> Any:
        """Ask something and wait for the answer."""


class Executor(ABC):
    """Runs `fn(argument, channel)` somewhere else, at most `workers` at a time."""

    workers: int

    @property
    @abstractmethod
    def free(self) -> int:
        """How many more tasks `start` would take now; 0 once closed."""

    @abstractmethod
    def start(self, fn: Callable[[Any, Channel], Any], argument: Any) -> int:
        """Start a task and return its number, at once.

        Raises:
            ExecutorError: if no worker is free, or `fn` or `argument` cannot be pickled.
        """

    @abstractmethod
    def wait(self, timeout: float | None = None) -> list[Event]:
        """Return what happened, oldest first, as soon as there is something.

        Each task's last event is its only `Done`, `Raised` or `Died`. The list is empty when `timeout`
        seconds have passed, or at once when no task is running.

        Raises:
            ExecutorError: if a worker could not start; its task is dropped.
        """

    @abstractmethod
    def reply(self, task: int, answer: Any) -> None:
        """Answer the task's open request.

        Raises:
            ExecutorError: if the task is not waiting for an answer, or `answer` cannot be pickled.
        """

    @abstractmethod
    def kill(self, task: int) -> None:
        """End a running task by force; what it sent and nobody read is lost, and a `Died` follows.

        Raises:
            ExecutorError: if no such task is running.
        """

    @abstractmethod
    def close(self) -> None:
        """End every worker within seconds, busy or not; further calls do nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


# -- the parent's side ----------------------------------------------------------------


class Processes(Executor):
    """An executor of local processes, which are spawned when needed and then reused.

    Spawning is safe beside threads and torch. Each worker leads a process group of its own: Ctrl-C in a
    terminal reaches the parent alone, and killing a task kills the programs that it had started too.
    """

    def __init__(self, workers: int | None = None, *, trial_timeout: float | None = None, threads: int = 1) -> None:
        """Start nothing yet.

        Args:
            workers: Tasks at a time; None for as many as this process may use cores.
            trial_timeout: Seconds that a task may run, waiting for replies excluded; enforced in `wait`.
            threads: BLAS and OpenMP threads of each worker.
        Raises:
            InvalidValueError: if a number is out of range.
            ExecutorError: if a worker that imports its main script again gets here; on Windows.
        """
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise ExecutorError(f"Expected the main process to make the pool, but a worker did. {_GUARD}")
        if not hasattr(os, "setpgid"):
            raise ExecutorError("Expected Linux or macOS for worker processes. Run without an executor here.")
        limit = math.inf if trial_timeout is None else trial_timeout
        if not isinstance(limit, int | float) or not limit > 0:
            raise InvalidValueError(f"Expected a trial_timeout above 0 seconds or None, got {trial_timeout!r}.")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.workers = _whole("workers", workers if workers is not None else cores or 1)
        self._threads = _whole("threads", threads)
        self._task_limit = limit
        self._live: list[_Worker] = []
        self._events: list[Event] = []
        self._failures: list[ExecutorError] = []
        self._tasks = 0
        # Registered here, so after multiprocessing's own hook, so run before it: that one joins the workers.
        self._finish = weakref.finalize(self, _end_all, self._live, os.getpid())
        self._finish.atexit = False
        atexit.register(self._finish)

    @property
    def free(self) -> int:
        return self.workers - len(self._busy()) if self._finish.alive else 0

    def start(self, fn: Callable[[Any, Channel], Any], argument: Any) -> int:
        if not self._finish.alive:
            raise ExecutorError("Expected an open pool, got a closed one. Make a new one.")
        if not self.free:
            raise ExecutorError(f"All {self.workers} workers are busy. Call wait() until a task has ended.")
        order = pickle.dumps((_dump_for_worker("function", fn), _dump_for_worker("argument", argument)))
        worker = self._idle_worker()
        self._tasks += 1
        worker.begin(self._tasks, order)
        return self._tasks

    def wait(self, timeout: float | None = None) -> list[Event]:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not (self._events or self._failures) and (busy := self._busy()):
            now = time.monotonic()
            pause = min(_POLL, end - now, *(w.began + w.limit - now for w in busy if w.asked is None))
            handles: list[Any] = [h for w in busy for h in (w.conn, w.process.sentinel)]
            connection.wait(handles, max(0.0, pause))
            for worker in busy:
                self._look_at(worker)
            if time.monotonic() >= end:
                break
        if not self._events and self._failures:
            raise self._failures.pop(0)
        events, self._events = self._events, []
        return events

    def reply(self, task: int, answer: Any) -> None:
        worker = self._worker_of(task)
        if worker.asked is None:
            raise ExecutorError(f"Task {task} is not waiting for an answer. Reply once to each Request.")
        worker.send(_dump_for_worker("answer", answer))
        worker.began += time.monotonic() - worker.asked
        worker.asked = None

    def kill(self, task: int) -> None:
        self._lose(self._worker_of(task), "killed")

    def close(self) -> None:
        self._finish()
        atexit.unregister(self._finish)
        self._events.clear()
        self._failures.clear()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._live if worker.task is not None]

    def _worker_of(self, task: int) -> _Worker:
        for worker in self._busy():
            if worker.task == task:
                return worker
        raise ExecutorError(f"No task {task} is running. It has ended, or was never started here.")

    def _idle_worker(self) -> _Worker:
        for worker in [worker for worker in self._live if worker.task is None]:
            if worker.process.exitcode is None and not worker.conn.poll():  # an idle one sends nothing but EOF
                return worker
            self._discard(worker)  # something outside has ended it since its last task
        self._live.append(_Worker(self._threads))
        return self._live[-1]

    def _look_at(self, worker: _Worker) -> None:
        # The exit code is read before the pipe: whatever it sent before its end is then in the pipe.
        gone = worker.process.exitcode is not None
        try:
            frame = pickle.loads(worker.conn.recv_bytes()) if worker.conn.poll() else None
        except (EOFError, OSError):
            frame, gone = None, True
        if frame is not None:
            self._receive(worker, *frame)
        elif gone:
            self._lose(worker, "crashed")
        elif worker.overdue(time.monotonic()):
            self._lose(worker, "timeout")

    def _receive(self, worker: _Worker, kind: str, stamp: float, body: bytes) -> None:
        task = worker.task
        assert task is not None  # workers send nothing between two tasks
        if kind == "ready":
            worker.ready(stamp, self._task_limit)
            return
        if kind in ("message", "request") and worker.overdue(stamp):
            self._lose(worker, "timeout")
            return
        try:
            self._events.append(_EVENTS[kind](task, pickle.loads(body)))
        except Exception as error:  # told as an event: only the task is at fault
            self._discard(worker)
            description = _describe(error, f"What task {task} sent cannot be read by the parent: ")
            self._events.append(_raised(task, pickle.loads(description)))
        else:
            worker.asked = stamp if kind == "request" else None
            worker.task = task if kind in ("message", "request") else None

    def _discard(self, worker: _Worker) -> int | None:
        self._live.remove(worker)
        return worker.end()

    def _lose(self, worker: _Worker, reason: Literal["crashed", "timeout", "killed"]) -> None:
        seconds = (worker.asked or time.monotonic()) - worker.began
        task, started = worker.task, worker.started
        assert task is not None
        code = self._discard(worker)
        if started or reason == "killed":
            self._events.append(Died(task, reason, code, max(0.0, seconds) if started else 0.0))
            return
        how = f"ended with exit code {code}" if reason == "crashed" else f"was not ready in {seconds:.0f} s"
        text = f"Expected a worker for task {task}, but its process {how}; what it printed says more. {_GUARD}"
        self._failures.append(ExecutorError(text))


class _Worker:
    """One spawned process, its pipe and its task."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        multiprocessing.resource_tracker.ensure_running()  # started later, it would lift the block on SIGINT
        self.conn, theirs = context.Pipe()
        # Not a daemon process: those may not have children, and data loaders are children.
        self.process = context.Process(target=_serve, args=(theirs, threads), daemon=False)
        try:
            with theirs, _thread_variables(threads), _interrupts_blocked():
                self.process.start()
        except (RuntimeError, OSError) as error:
            self.conn.close()
            raise ExecutorError(f"No worker process could be started: {error}. {_GUARD}") from error
        assert self.process.pid is not None
        self.pid = self.process.pid
        self.task: int | None = None
        self.started = False
        self.began = time.monotonic()
        self.limit = _STARTUP
        self.asked: float | None = None
        self._outbox = b""

    def begin(self, task: int, order: bytes) -> None:
        """Take a task; a large order stays here until the worker is there to read it."""
        self.task, self.asked = task, None
        if not self.started and len(order) > _INLINE:
            self._outbox = order
            return
        if self.started:
            self.began = time.monotonic()
        self.send(order)

    def ready(self, stamp: float, task_limit: float) -> None:
        """Note that the worker has started, and let its first task begin."""
        self.started, self.began, self.limit = True, stamp, task_limit
        if self._outbox:
            self.send(self._outbox)
            self._outbox, self.began = b"", time.monotonic()

    def send(self, data: bytes) -> None:
        with suppress(OSError):  # its end is gone: wait() will see that and say so
            self.conn.send_bytes(data)

    def overdue(self, at: float) -> bool:
        return self.asked is None and at - self.began > self.limit

    def end(self) -> int | None:
        """Kill the worker and what it had started; return its exit code, None if it cannot be reaped."""
        with suppress(ProcessLookupError, PermissionError):  # it is gone, or has no group of its own yet
            os.killpg(self.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join(_GOODBYE)
        self.conn.close()
        code = self.process.exitcode
        if code is not None:
            self.process.close()
        return code


def _end_all(workers: list[_Worker], owner: int) -> None:
    if os.getpid() != owner:  # a fork of the owner: these are not its children
        return
    for worker in workers:
        if worker.task is None:
            worker.conn.close()  # an idle worker reads the end of the pipe and leaves by itself
    deadline = time.monotonic() + _GOODBYE
    for worker in workers:
        if worker.task is None:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        worker.end()
    workers.clear()


def _raised(task: int, description: tuple[bytes, str, str, str]) -> Raised:
    pickled, type_name, message, text = description
    error = None
    # Exceptions with arguments of their own often fail only here; name, message and traceback are kept.
    with suppress(Exception):
        error = pickle.loads(pickled)
    return Raised(task, error if isinstance(error, BaseException) else None, type_name, message, text)


_EVENTS: dict[str, Callable[[int, Any], Event]] = {
    "message": Message, "request": Request, "done": Done, "raised": _raised,
}  # fmt: skip


def _dump_for_worker(what: str, value: Any) -> bytes:
    buffer = BytesIO()
    try:
        (pickle.Pickler if _main_can_be_imported() else _NoMainPickler)(buffer, protocol=5).dump(value)
    except Exception as error:
        name = getattr(value, "__qualname__", type(value).__qualname__)
        raise ExecutorError(
            f"Expected a {what} that can be sent to a worker, got {name}, which cannot be pickled "
            f"({type(error).__name__}: {error}). Lambdas, functions defined inside functions and what is "
            "defined in a notebook or at the prompt cannot travel: use a function at the top of a module "
            "(a .py file) and plain data, or run without an executor."
        ) from error
    return buffer.getvalue()


class _NoMainPickler(pickle.Pickler):
    """Refuses what is defined in a main module that no worker can import."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            raise pickle.PicklingError(f"no worker can import __main__.{obj.__qualname__}")
        return NotImplemented


def _main_can_be_imported() -> bool:
    main = sys.modules["__main__"]
    if main.__spec__ is not None:  # multiprocessing leaves `python -m package` alone
        return main.__spec__.name.rpartition(".")[2] != "__main__"
    return os.path.exists(getattr(main, "__file__", None) or "")


@contextmanager
def _thread_variables(threads: int) -> Iterator[None]:
    with _environment_lock:
        before = {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
        try:
            yield
        finally:
            for name in _THREAD_VARIABLES:
                del os.environ[name]
            os.environ.update(before)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in this thread, and so in a child born now, until the child has its own handler."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _whole(name: str, value: int) -> int:
    number = integer(value, 1)
    if number is None:
        raise InvalidValueError(f"Expected {name} to be a whole number of at least 1, got {value!r}.")
    return number


# -- the worker's side ----------------------------------------------------------------


class _PipeChannel:
    """The channel of one task; closed when the task ends, lest a stray thread disturb the next one."""

    def __init__(self, conn: connection.Connection[Any, Any]) -> None:
        self._conn = conn
        self._lock = threading.Lock()
        self._open = True

    def send(self, payload: Any) -> None:
        with self._lock:
            self._post("message", payload)

    def request(self, payload: Any) -> Any:
        with self._lock:
            self._post("request", payload)
            return pickle.loads(self._conn.recv_bytes())

    def close(self) -> None:
        with self._lock:
            self._open = False

    def _post(self, kind: str, payload: Any) -> None:
        if not self._open:
            raise ExecutorError("The task has ended, so its channel is closed. End its threads before it returns.")
        _post(self._conn, kind, _dump_for_parent(kind, payload))


def _serve(conn: connection.Connection[Any, Any], threads: int) -> None:
    """Run tasks until the parent closes the pipe or is gone."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_die_with_parent, daemon=True).start()
    limited: frozenset[str] = frozenset()
    with suppress(EOFError, OSError):  # the parent has closed the pipe: there is nobody to tell
        _post(conn, "ready", b"")
        while True:
            order = conn.recv_bytes()
            kind, body, limited = _run(conn, order, threads, limited)
            _post(conn, kind, body)


def _run(
    conn: connection.Connection[Any, Any], order: bytes, threads: int, limited: frozenset[str]
) -> tuple[str, bytes, frozenset[str]]:
    channel = _PipeChannel(conn)
    try:
        fn, argument = map(pickle.loads, pickle.loads(order))
        limited = _limit_threads(threads, limited)
        return "done", _dump_for_parent("result", fn(argument, channel)), limited
    except BaseException as error:  # SystemExit too: what ends a task must not end its worker
        return "raised", _describe(error), limited
    finally:
        channel.close()


def _die_with_parent() -> None:
    """Kill this worker and what it started when the parent is gone, busy or not.

    A death signal (PR_SET_PDEATHSIG) would come when the thread that started this worker ends, and would
    spare what the worker has started.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    # The sentinel stays silent if a fork of the parent lives on, hence the second look.
    while not connection.wait([parent.sentinel], timeout=_POLL) and os.getppid() == parent.pid:
        pass
    os.killpg(0, signal.SIGKILL)


def _limit_threads(threads: int, limited: frozenset[str]) -> frozenset[str]:
    """Limit the libraries that are loaded, in case the script has set the variables anew; return which."""
    loaded = _NUMERIC & sys.modules.keys()
    if loaded <= limited:
        return limited
    if "torch" in loaded:
        sys.modules["torch"].set_num_threads(threads)
    if importlib.util.find_spec("threadpoolctl") is not None:
        importlib.import_module("threadpoolctl").threadpool_limits(limits=threads)
    return loaded


def _post(conn: connection.Connection[Any, Any], kind: str, body: bytes) -> None:
    conn.send_bytes(pickle.dumps((kind, time.monotonic(), body), protocol=5))


def _dump_for_parent(what: str, value: Any) -> bytes:
    try:
        return pickle.dumps(value, protocol=5)
    except Exception as error:
        raise ExecutorError(
            f"Expected a {what} that can be sent to the parent, got one of type {type(value).__qualname__}, "
            f"which cannot be pickled ({type(error).__name__}: {error}). Send plain values, arrays, or "
            "instances of classes at the top of a module."
        ) from error


def _describe(error: BaseException, prefix: str = "") -> bytes:
    """Pickle what `_raised` reads: the pickled exception, and as text its type, message and traceback."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    message, pickled = "(an exception whose message cannot be formed)", b""
    with suppress(Exception):
        message = str(error)
    with suppress(Exception):  # where it does not travel, the parent gets the texts
        pickled = pickle.dumps(error)
    trace = error.__traceback__
    text = "".join(traceback.format_exception(kind, error, trace and trace.tb_next))
    return pickle.dumps((pickled, name.replace("__mp_main__", "__main__"), prefix + message, text))
