"""A resident process that owns the device: it loads a heavy model once and renders for every page.

Orders are served one after another, each with a place in the queue. A crash fails the order that was being
rendered, never the pages: the process is started again, the model loaded again, and the queue goes on.
It stands on `workbench.executor`: one task that asks for its next order and gets it as the reply.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from workbench.errors import ExecutorError
from workbench.executor import Channel, Died, Executor, Message, Processes, Raised, Request

State = Literal["queued", "rendering", "done", "failed", "cancelled"]
KEPT = 500  # ended orders that are remembered
GIVE_UP = 3  # crashes in a row while loading, after which what is queued fails
_LOOK = 0.05  # seconds between looks for new orders


class Model(Protocol):
    """What the process holds."""

    def render(self, order: Any) -> Any:
        """Make what was ordered; picklable both ways."""


Load = Callable[[], Model]


@dataclass(frozen=True, slots=True)
class Render:
    """One order as it stands now.

    Args:
        id: Number within this process's life.
        order: What to render.
        state: Where it stands.
        result: What the model made.
        error: Why there is none, in one sentence.
    """

    id: int
    order: Any
    state: State = "queued"
    result: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The model is in memory."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of the last order: exactly one of the two."""

    result: Any = None
    error: str | None = None


def serve(load: Load, channel: Channel) -> None:
    """The task: load the model, then render orders until the process is ended."""
    model = load()
    channel.send(_Loaded())
    answer: _Answer | None = None
    while True:
        order = channel.request(answer)
        try:
            answer = _Answer(result=model.render(order))
        except Exception as error:  # the order is at fault, not the model
            answer = _Answer(error=f"{type(error).__name__}: {error}")


class ModelProcess:
    """The door to the resident model. Any thread may call any method; all of them return at once.

    Args:
        load: Makes the model, in the process; a function at the top of a module.
        executor: Where it lives: one worker; closed with this object.
    """

    def __init__(self, load: Load, executor: Executor | None = None) -> None:
        self._load = load
        self._executor = executor if executor is not None else Processes(workers=1)
        self._wake = threading.Condition()
        self._renders: dict[int, Render] = {}
        self._queue: list[int] = []
        self._task: int | None = None
        self._idle = False  # the process waits for an order
        self._loaded = False
        self._now: int | None = None  # the order that is being rendered
        self._doomed = False  # the order that is being rendered was cancelled
        self._crashes = 0
        self._closed = False
        self._thread = threading.Thread(target=self._follow, name="model", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def submit(self, order: Any) -> int:
        """Queue an order; its number."""
        with self._wake:
            number = max(self._renders, default=0) + 1
            self._renders[number] = Render(number, order)
            self._queue.append(number)
            self._wake.notify_all()
            return number

    def get(self, number: int) -> Render:
        """An order as it stands.

        Raises:
            ExecutorError: if it is not remembered.
        """
        with self._wake:
            if number not in self._renders:
                raise ExecutorError(f"No order {number} is remembered; the last {KEPT} are. Submit it again.")
            return self._renders[number]

    def position(self, number: int) -> int:
        """Place in the queue from 1; 0 once it is being rendered or has ended."""
        with self._wake:
            return self._queue.index(number) + 1 if number in self._queue else 0

    @property
    def loaded(self) -> bool:
        """Is the model in memory?"""
        with self._wake:
            return self._loaded

    def cancel(self, number: int) -> None:
        """Drop a queued order; one that is being rendered takes its process with it, which is started again."""
        with self._wake:
            if number in self._queue:
                self._queue.remove(number)
                self._end(number, "cancelled")
            elif number == self._now:
                self._doomed = True
            self._wake.notify_all()

    def wait(self, number: int, seconds: float) -> Render:
        """The order once it has ended, or as it stands when the time is over."""
        with self._wake:
            self._wake.wait_for(lambda: self._renders[number].state not in ("queued", "rendering"), seconds)
            return self._renders[number]

    def close(self) -> None:
        """End the process."""
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
                self._wake.wait_for(lambda: self._closed or self._queue or self._now is not None)
                if self._closed:
                    return
                doomed = self._doomed
            try:
                if self._task is None:
                    self._task = self._executor.start(serve, self._load)
                if doomed:
                    with suppress(ExecutorError):  # it has ended by itself in the meantime
                        self._executor.kill(self._task)
                self._serve_next()
                events = self._executor.wait(_LOOK)
            except ExecutorError as error:  # it could not start
                self._gone(str(error))
                continue
            for event in events:
                self._note(event)

    def _serve_next(self) -> None:
        with self._wake:
            if not (self._idle and self._queue):
                return
            number = self._queue.pop(0)
            self._now, self._idle = number, False
            self._renders[number] = replace(self._renders[number], state="rendering")
            order = self._renders[number].order
        assert self._task is not None
        self._executor.reply(self._task, order)

    def _note(self, event: Any) -> None:
        if isinstance(event, Message) and isinstance(event.payload, _Loaded):
            with self._wake:
                self._loaded, self._crashes = True, 0
        elif isinstance(event, Request):
            with self._wake:
                self._idle = True
                answer, number = event.payload, self._now
                if number is not None and isinstance(answer, _Answer):
                    state: State = "failed" if answer.error is not None else "done"
                    self._end(number, state, result=answer.result, error=answer.error or "")
                    self._now, self._doomed = None, False
                self._wake.notify_all()
        elif isinstance(event, Raised):
            self._gone(f"The model could not be loaded: {event.message or event.type_name}.", final=True)
        elif isinstance(event, Died):
            code = "" if event.exitcode is None else f" (exit code {event.exitcode})"
            self._gone(f"The process of the model ended by itself{code}. It is started again.")

    def _gone(self, why: str, *, final: bool = False) -> None:
        """Note that there is no process any more: what was being rendered has failed, the queue goes on.

        Where the model could not be loaded for a reason that stays (`final`), all of the queue fails.
        """
        with self._wake:
            if self._now is not None:
                self._end(self._now, "cancelled" if self._doomed else "failed", error="" if self._doomed else why)
            elif not self._loaded:
                self._crashes += 1
            if self._crashes >= GIVE_UP or final:
                for number in self._queue:
                    self._end(number, "failed", error=why)
                self._queue.clear()
                self._crashes = 0
            self._task, self._now, self._idle, self._loaded, self._doomed = None, None, False, False, False
            self._wake.notify_all()

    def _end(self, number: int, state: State, **fields: Any) -> None:
        self._renders[number] = replace(self._renders[number], state=state, **fields)
        ended = [one.id for one in self._renders.values() if one.state in ("done", "failed", "cancelled")]
        for old in ended[:-KEPT]:
            del self._renders[old]
