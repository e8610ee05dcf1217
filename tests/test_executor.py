"""The contract of executors, run over every implementation, and what is special to `Processes`."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import ExecutorError, InvalidValueError
from workbench.executor import Channel, Died, Done, Event, Executor, Message, Processes, Raised, Request

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30.0  # seconds; a limit for a hang only, on the slowest machine

# To test another executor, list how to make one: make(workers, trial_timeout) -> Executor.
IMPLEMENTATIONS: dict[str, Callable[[int, float | None], Executor]] = {
    "processes": lambda workers, limit: Processes(workers, trial_timeout=limit),
}


# -- what the workers run -------------------------------------------------------------


class TwoPartError(Exception):
    """Pickles, but cannot be loaded again: its arguments are not those of its initialiser."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class CustomError(Exception):
    pass


class Unreadable:
    """Pickles, and fails where it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("no number",))


def double(argument: int, channel: Channel) -> int:
    return 2 * argument


def pid(argument: object, channel: Channel) -> int:
    return os.getpid()


def fail(argument: str, channel: Channel) -> None:
    if argument == "local":

        class LocalError(Exception):
            pass

        raise LocalError("it stays here")
    if argument == "exit":
        sys.exit(4)
    raise {"custom": CustomError("too hot", 93.5), "parts": TwoPartError("one", "two")}[argument]


def count(argument: int, channel: Channel) -> str:
    for number in range(argument):
        channel.send(number)
    return "counted"


def converse(argument: int, channel: Channel) -> list[int]:
    return [channel.request(number) for number in range(argument)]


def meet(argument: tuple[str, str], channel: Channel) -> bool:
    """Leave one's own file, then wait for the other's."""
    Path(argument[0]).touch()
    end = time.monotonic() + PATIENCE
    while not Path(argument[1]).exists() and time.monotonic() < end:
        time.sleep(0.005)
    return Path(argument[1]).exists()


def leave(argument: str, channel: Channel) -> None:
    channel.send("last words")
    if argument == "segfault":
        ctypes.string_at(0)
    if argument == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)


def linger(argument: float, channel: Channel) -> None:
    channel.send(os.getpid())
    time.sleep(argument)


def ask_then(argument: float, channel: Channel) -> Any:
    answer = channel.request("go on?")
    time.sleep(argument)
    return answer


def chatter(argument: None, channel: Channel) -> None:
    while True:
        channel.send("still here")


def echo(argument: bytes, channel: Channel) -> bytes:
    channel.send(argument)
    return bytes(channel.request(argument))


def unpicklable(argument: str, channel: Channel) -> object:
    if argument == "send":
        channel.send(lambda: None)
    return threading.Lock() if argument == "result" else Unreadable()


def send_unreadable(argument: None, channel: Channel) -> None:
    channel.send(Unreadable())
    time.sleep(PATIENCE)


def blas(argument: None, channel: Channel) -> tuple[set[int], str]:
    import numpy as np
    import threadpoolctl

    np.ones((4, 4)) @ np.ones((4, 4))
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}, os.environ["OMP_NUM_THREADS"]


def start_child(argument: None, channel: Channel) -> None:
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    channel.send(child.pid)
    time.sleep(PATIENCE)


def abandon_child(argument: None, channel: Channel) -> None:
    """Die while a child that left the group holds this worker's end of every pipe."""
    pids = os.fork()
    if pids == 0:
        os.setsid()
        time.sleep(4)
        os._exit(0)
    os._exit(9)


def stray_thread(argument: None, channel: Channel) -> None:
    def late() -> None:
        time.sleep(0.05)
        try:
            channel.send("too late")
        except ExecutorError:
            Path(os.environ["STRAY_MARK"]).touch()

    threading.Thread(target=late).start()


# -- helpers ----------------------------------------------------------------------------


def events_of(executor: Executor, *tasks: int) -> list[Event]:
    """Everything up to the last event of each of the tasks."""
    left, events, end = set(tasks), list[Event](), time.monotonic() + PATIENCE
    while left:
        assert time.monotonic() < end, f"no end of {left} after {events}"
        events += executor.wait(1.0)
        left -= {event.task for event in events if isinstance(event, Done | Raised | Died)}
    return events


def run(executor: Executor, fn: Callable[[Any, Channel], Any], argument: Any) -> list[Event]:
    return events_of(executor, executor.start(fn, argument))


def alive(process: int) -> bool:
    """Whether the process runs; one that is dead and not yet reaped, with all its threads, does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{process}/task")) > 1
    except FileNotFoundError:
        return False


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


@pytest.fixture(scope="module", params=[*IMPLEMENTATIONS.values()], ids=[*IMPLEMENTATIONS])
def make(request: pytest.FixtureRequest) -> Callable[[int, float | None], Executor]:
    factory: Callable[[int, float | None], Executor] = request.param
    return factory


@pytest.fixture(scope="module")
def shared(make: Callable[[int, float | None], Executor]) -> Iterator[Executor]:
    with make(2, None) as executor:
        yield executor


@pytest.fixture
def pool(shared: Executor) -> Executor:
    assert shared.free == 2, "the test before left a task running"
    return shared


# -- the contract -----------------------------------------------------------------------


def test_result(pool: Executor) -> None:
    task = pool.start(double, 21)
    assert pool.free == 1
    assert events_of(pool, task) == [Done(task, 42)]
    assert pool.free == 2


def test_task_numbers_differ(pool: Executor) -> None:
    first, second = pool.start(double, 1), pool.start(double, 2)
    events = events_of(pool, first, second)
    assert first != second
    assert sorted(events, key=lambda event: event.task) == [Done(first, 2), Done(second, 4)]


def test_messages_keep_their_order_and_come_before_the_result(pool: Executor) -> None:
    task = pool.start(count, 50)
    assert events_of(pool, task) == [*(Message(task, number) for number in range(50)), Done(task, "counted")]


def test_requests_are_answered(pool: Executor) -> None:
    task, seen = pool.start(converse, 3), list[int]()
    while True:
        for event in pool.wait(PATIENCE):
            if isinstance(event, Done):
                assert event.result == [0, 10, 20]
                assert seen == [0, 1, 2]
                return
            assert isinstance(event, Request)
            seen.append(event.payload)
            pool.reply(task, 10 * event.payload)


def test_reply_needs_an_open_request(pool: Executor) -> None:
    task = pool.start(ask_then, 0.0)
    (event,) = pool.wait(PATIENCE)
    assert event == Request(task, "go on?")
    with pytest.raises(ExecutorError, match=r"answer.*cannot be pickled"):
        pool.reply(task, lambda: None)
    pool.reply(task, "yes")
    with pytest.raises(ExecutorError, match="not waiting for an answer"):
        pool.reply(task, "again")
    assert events_of(pool, task) == [Done(task, "yes")]
    with pytest.raises(ExecutorError, match=f"No task {task} is running"):
        pool.reply(task, "late")


def test_two_tasks_run_at_the_same_time(pool: Executor, tmp_path: Path) -> None:
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    first, second = pool.start(meet, (a, b)), pool.start(meet, (b, a))
    assert pool.free == 0
    assert set(events_of(pool, first, second)) == {Done(first, True), Done(second, True)}


def test_no_free_worker_is_refused(pool: Executor) -> None:
    tasks = [pool.start(ask_then, 0.0), pool.start(ask_then, 0.0)]
    with pytest.raises(ExecutorError, match="All 2 workers are busy"):
        pool.start(double, 1)
    ended = set[Event]()
    while len(ended) < len(tasks):  # one may have ended before the other has asked
        for event in pool.wait(PATIENCE):
            if isinstance(event, Request):
                pool.reply(event.task, "now")
            else:
                ended.add(event)
    assert ended == {Done(task, "now") for task in tasks}


def test_an_exception_comes_back_as_itself(pool: Executor) -> None:
    (event,) = run(pool, fail, "custom")
    assert isinstance(event, Raised)
    assert type(event.error) is CustomError
    assert event.error.args == ("too hot", 93.5)
    assert event.type_name.endswith("CustomError")
    assert event.message == "('too hot', 93.5)"
    assert 'raise {"custom"' in event.traceback_text


@pytest.mark.parametrize(
    ("argument", "name", "message"),
    [("local", "LocalError", "it stays here"), ("parts", "TwoPartError", "one and two")],
)
def test_an_exception_that_cannot_travel(pool: Executor, argument: str, name: str, message: str) -> None:
    (event,) = run(pool, fail, argument)
    assert isinstance(event, Raised)
    assert event.error is None
    assert event.type_name.endswith(name)
    assert event.message == message
    assert "in fail" in event.traceback_text


def test_system_exit_ends_the_task_only(pool: Executor) -> None:
    (event,) = run(pool, fail, "exit")
    assert isinstance(event, Raised)
    assert isinstance(event.error, SystemExit)
    assert event.error.code == 4


@pytest.mark.parametrize(("argument", "what"), [("send", "message"), ("result", "result")])
def test_what_cannot_be_pickled_raises(pool: Executor, argument: str, what: str) -> None:
    (event,) = run(pool, unpicklable, argument)
    assert isinstance(event, Raised)
    assert isinstance(event.error, ExecutorError)
    assert f"Expected a {what} that can be sent" in event.message


@pytest.mark.parametrize("fn", [unpicklable, send_unreadable])
def test_what_the_parent_cannot_read_raises(pool: Executor, fn: Callable[[Any, Channel], Any]) -> None:
    (event,) = run(pool, fn, None)
    assert isinstance(event, Raised)
    assert event.type_name == "ValueError"
    assert "cannot be read by the parent" in event.message


def test_functions_and_arguments_that_cannot_travel_are_refused(pool: Executor) -> None:
    with pytest.raises(ExecutorError, match=r"function .*<lambda>.* top of a module"):
        pool.start(lambda argument, channel: None, 1)
    with pytest.raises(ExecutorError, match=r"argument .*cannot be pickled"):
        pool.start(double, threading.Lock())
    assert pool.free == 2


@pytest.mark.parametrize(("how", "code"), [("exit", 3), ("kill", -signal.SIGKILL), ("segfault", -signal.SIGSEGV)])
def test_a_crash_is_told_and_the_slot_is_usable_again(pool: Executor, how: str, code: int) -> None:
    task = pool.start(leave, how)
    message, died = events_of(pool, task)
    assert message == Message(task, "last words")
    assert isinstance(died, Died)
    assert (died.task, died.reason, died.exitcode) == (task, "crashed", code)
    assert pool.free == 2
    tasks = [pool.start(double, 1), pool.start(double, 2)]
    assert set(events_of(pool, *tasks)) == {Done(tasks[0], 2), Done(tasks[1], 4)}


def test_kill(pool: Executor) -> None:
    task = pool.start(linger, PATIENCE)
    (message,) = pool.wait(PATIENCE)
    assert isinstance(message, Message)
    pool.kill(task)
    assert not alive(message.payload)
    assert pool.free == 2
    (died,) = pool.wait(PATIENCE)
    assert isinstance(died, Died)
    assert (died.task, died.reason, died.exitcode) == (task, "killed", -signal.SIGKILL)
    assert 0 <= died.seconds < PATIENCE
    with pytest.raises(ExecutorError, match=f"No task {task} is running"):
        pool.kill(task)


def test_kill_before_the_worker_has_started(make: Callable[[int, float | None], Executor]) -> None:
    with make(1, None) as pool:
        task = pool.start(double, 1)
        pool.kill(task)
        (died,) = pool.wait(PATIENCE)
        assert isinstance(died, Died)
        assert (died.task, died.reason, died.seconds) == (task, "killed", 0.0)
        assert run(pool, double, 4) == [Done(task + 1, 8)]


def test_wait_returns_nothing_when_there_is_nothing(pool: Executor) -> None:
    assert pool.wait() == []  # nothing runs, so nothing can come
    task = pool.start(ask_then, 0.0)
    assert isinstance(pool.wait(PATIENCE)[0], Request)
    before = time.monotonic()
    assert pool.wait(0.05) == []
    assert pool.wait(0) == []
    assert 0.05 <= time.monotonic() - before < PATIENCE
    pool.kill(task)
    assert isinstance(pool.wait()[0], Died)


def test_time_limit(make: Callable[[int, float | None], Executor]) -> None:
    with make(2, 0.7) as pool:
        slow, fast = pool.start(linger, PATIENCE), pool.start(double, 1)
        events = events_of(pool, slow, fast)
        (died,) = [event for event in events if isinstance(event, Died)]
        assert (died.task, died.reason) == (slow, "timeout")
        assert 0.7 <= died.seconds < PATIENCE / 2
        assert Done(fast, 2) in events
        assert pool.free == 2

        # A limit is for the task: it does not run while the parent is late with an answer.
        task = pool.start(ask_then, 0.1)
        assert isinstance(pool.wait(PATIENCE)[0], Request)
        assert pool.wait(0.8) == []
        pool.reply(task, "at last")
        assert events_of(pool, task) == [Done(task, "at last")]

        # A task that ended in time is done, even if the parent looks late.
        task = pool.start(double, 5)
        time.sleep(0.9)
        assert events_of(pool, task) == [Done(task, 10)]

        last = run(pool, chatter, None)[-1]
        assert isinstance(last, Died)
        assert last.reason == "timeout"


def test_large_payloads_both_ways(pool: Executor) -> None:
    data = os.urandom(1 << 20) * 20
    tasks = [pool.start(echo, data), pool.start(echo, data)]
    results: dict[int, bytes] = {}
    while len(results) < 2:
        for event in pool.wait(PATIENCE):
            if isinstance(event, Request):
                pool.reply(event.task, event.payload)
            elif isinstance(event, Done):
                results[event.task] = event.result
            else:
                assert isinstance(event, Message)
                assert event.payload == data
    assert results == dict.fromkeys(tasks, data)


def test_large_argument_for_a_fresh_worker(make: Callable[[int, float | None], Executor]) -> None:
    with make(1, None) as pool:
        data = bytes(20 << 20)
        task = pool.start(echo, data)  # returns before anybody reads
        assert pool.wait(PATIENCE) == [Message(task, data)]


def test_workers_are_reused(make: Callable[[int, float | None], Executor]) -> None:
    with make(2, None) as pool:
        pids = {event.result for _ in range(4) for event in run(pool, pid, None) if isinstance(event, Done)}
        assert len(pids) == 1
        assert os.getpid() not in pids


def test_close_ends_everything_and_may_be_called_twice(make: Callable[[int, float | None], Executor]) -> None:
    pool = make(2, None)
    (done,) = run(pool, pid, None)
    pool.start(linger, PATIENCE), pool.start(linger, PATIENCE)
    pids = [done.result if isinstance(done, Done) else -1]
    while len(pids) < 3:
        pids += [event.payload for event in pool.wait(PATIENCE) if isinstance(event, Message)]
    before = time.monotonic()
    pool.close()
    assert time.monotonic() - before < 10  # two workers, at most 2 s to leave and 2 s to be reaped each
    assert not any(alive(process) for process in pids)
    assert pool.free == 0
    assert pool.wait() == []
    pool.close()
    with pytest.raises(ExecutorError, match="closed"):
        pool.start(double, 1)


# -- special to Processes -----------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"workers": 1.5}, {"threads": 0}, {"trial_timeout": -1}, {"trial_timeout": "1"}]
)
def test_bad_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        Processes(**wrong)


def test_default_number_of_workers() -> None:
    with Processes() as pool:
        assert 1 <= pool.workers == pool.free <= (os.cpu_count() or 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with Processes(1, threads=threads) as pool:
        (done,) = run(pool, blas, None)
    assert isinstance(done, Done), done
    # A library never takes more threads than there are cores.
    assert done.result == ({min(threads, len(os.sched_getaffinity(0)))}, str(threads))
    assert dict(os.environ) == before


def test_blas_threads_of_a_module_that_sets_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greedy_module.py").write_text(
        "import os\nos.environ['OPENBLAS_NUM_THREADS'] = '2'\nimport numpy, threadpoolctl\n"
        "def task(argument, channel):\n"
        "    return {pool['num_threads'] for pool in threadpoolctl.threadpool_info()}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # so that what the module sets here is undone, too
    task = importlib.import_module("greedy_module").task
    with Processes(1) as pool:
        (done,) = run(pool, task, None)
    assert isinstance(done, Done), done
    assert done.result == {1}


def test_nothing_is_left_behind() -> None:
    def round_trip() -> None:
        with Processes(2) as pool:
            tasks = [pool.start(double, 1), pool.start(leave, "exit")]
            events_of(pool, *tasks)
            pool.start(linger, PATIENCE)

    def state() -> tuple[int, list[str]]:
        gc.collect()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return len(os.listdir("/proc/self/fd")), children

    round_trip()  # the first one starts multiprocessing's resource tracker, which stays
    before = state()
    round_trip()
    assert state() == before


def test_a_forgotten_pool_ends_its_workers() -> None:
    pool = Processes(1)
    (done,) = run(pool, pid, None)
    assert isinstance(done, Done)
    del pool
    gc.collect()
    assert not alive(done.result)


def test_programs_started_by_a_task_die_with_it() -> None:
    with Processes(1, trial_timeout=0.5) as pool:
        message, died = run(pool, start_child, None)
    assert isinstance(died, Died)
    assert isinstance(message, Message)
    assert until(lambda: not alive(message.payload))


def test_a_grandchild_that_holds_the_pipes_hides_no_death() -> None:
    with Processes(1) as pool:
        before = time.monotonic()
        (died,) = run(pool, abandon_child, None)
        assert isinstance(died, Died)
        assert (died.reason, died.exitcode) == ("crashed", 9)
        assert time.monotonic() - before < 3.5  # found by the look at exit codes, before the child's 4 s are over


def test_stray_threads_cannot_disturb_the_next_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRAY_MARK", str(tmp_path / "refused"))
    with Processes(1) as pool:
        assert isinstance(run(pool, stray_thread, None)[0], Done)
        assert until((tmp_path / "refused").exists)
        assert len(run(pool, double, 1)) == 1


def test_a_worker_that_died_while_idle_is_replaced() -> None:
    with Processes(1) as pool:
        (done,) = run(pool, pid, None)
        assert isinstance(done, Done)
        os.kill(done.result, signal.SIGKILL)
        assert until(lambda: not alive(done.result))
        task = pool.start(double, 3)
        assert events_of(pool, task) == [Done(task, 6)]


# -- whole scripts ------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys, time
from workbench.executor import Processes

def work(argument, channel):
    channel.send(os.getpid())
    time.sleep(argument)
    return argument

class MainError(Exception):
    pass

def fail(argument, channel):
    raise MainError("from main")
"""


def script(tmp_path: Path, body: str) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT + textwrap.dedent(body))
    return [sys.executable, "-W", "error", str(path)]


def start_script(command: list[str], **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True, **options)


def run_script(command: list[str], **options: Any) -> tuple[int, str, str]:
    with start_script(command, **options) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


def test_functions_and_exceptions_of_a_script(tmp_path: Path) -> None:
    code, out, err = run_script(
        script(
            tmp_path,
            """
            if __name__ == "__main__":
                pool = Processes(1)
                pool.start(fail, 0)
                (event,) = pool.wait()
                print(type(event.error) is MainError, event.type_name)  # and it ends well without close()
            """,
        )
    )
    assert (code, out, err) == (0, "True __main__.MainError\n", "")


def test_a_script_without_the_guard_gets_an_error_and_ends(tmp_path: Path) -> None:
    body = "print('hello', flush=True)\n"
    body += "with Processes(2) as pool:\n    pool.start(work, 0)\n    pool.start(work, 0)\n    pool.wait()\n"
    code, out, err = run_script(script(tmp_path, body))
    assert code == 1
    assert 2 <= out.count("hello") <= 3  # the script and its two workers, no generation after them
    assert 'belongs under `if __name__ == "__main__":`' in err.splitlines()[-1]
    assert "ended with exit code 1" in err.splitlines()[-1]


def test_start_does_not_wait_for_a_slow_worker(tmp_path: Path) -> None:
    body = """
    if __name__ == "__main__":
        with Processes(1) as pool:
            before = time.monotonic()
            pool.start(work, bytes(10**7))
            print(time.monotonic() - before < 1.5, type(pool.wait()[0]).__name__)
    else:
        time.sleep(1.5)
    """
    assert run_script(script(tmp_path, body)) == (0, "True Message\n", "")


def test_functions_of_a_main_that_cannot_be_imported_are_refused() -> None:
    code = SCRIPT + "\ntry:\n    Processes(1).start(work, 0)\nexcept Exception as error:\n    print(error)"
    status, out, err = run_script([sys.executable, "-c", code])
    assert (status, err) == (0, "")
    assert "no worker can import __main__.work" in out
    assert "notebook" in out


@pytest.mark.parametrize("busy", [True, False])
def test_workers_die_with_the_parent(tmp_path: Path, busy: bool) -> None:
    body = f"""
    if __name__ == "__main__":
        pool = Processes(1)
        pool.start(work, {60 if busy else 0})
        print(pool.wait()[0].payload, flush=True)
        time.sleep(60)
    """
    with start_script(script(tmp_path, body)) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        assert alive(worker)
        process.kill()
    assert until(lambda: not alive(worker))


def test_interrupt_reaches_the_parent_alone(tmp_path: Path) -> None:
    body = """
    if __name__ == "__main__":
        with Processes(1) as pool:
            pool.start(work, 0.5)
            worker = pool.wait()[0].payload
            try:
                os.killpg(0, signal.SIGINT)  # what a terminal does
                time.sleep(60)
            except KeyboardInterrupt:
                os.kill(worker, signal.SIGINT)
                print(pool.wait()[0].result)
    """
    code, out, err = run_script(script(tmp_path, body), start_new_session=True)
    assert (code, out, err) == (0, "0.5\n", "")


def test_import_starts_nothing() -> None:
    code = (
        "import workbench.executor, multiprocessing, threading, sys\n"
        "print(multiprocessing.active_children(), threading.active_count(), 'torch' in sys.modules)"
    )
    assert run_script([sys.executable, "-c", code]) == (0, "[] 1 False\n", "")
