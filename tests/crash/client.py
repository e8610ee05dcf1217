"""The tests' end of the fork server."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE = 60.0  # seconds; a limit for a hang only, on the slowest machine
TESTS = Path(__file__).resolve().parents[1]


@contextmanager
def limit(seconds: int) -> Iterator[None]:
    """Raise in the main thread when the block takes longer: a broken lease must not hang the tests."""

    def late(signum: int, frame: object) -> None:
        raise TimeoutError(f"the test was still at work after {seconds} s")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Child:
    """One forked process, working on one task."""

    def __init__(self, server: Server, pid: int, out: Path) -> None:
        self.pid = pid
        self._server, self._out = server, out
        self._status: int | None = None

    def wait(self, seconds: float = PATIENCE) -> int:
        """Exit code, negative for a signal.

        Raises:
            TimeoutError: if the process lives on.
        """
        if self._status is None:
            self._status = self._server.tell(do="wait", pid=self.pid, seconds=seconds)["status"]
        if self._status is None:
            raise TimeoutError(f"the child {self.pid} was still at work after {seconds} s")
        return self._status

    def kill(self) -> int:
        """SIGKILL. The server reaps it only now, so that the number cannot have passed to another process."""
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def result(self, seconds: float = PATIENCE) -> Any:
        """What the task returned."""
        status = self.wait(seconds)
        answer = json.loads(self._out.read_text()) if self._out.exists() else {"error": f"exit code {status}"}
        if "error" in answer:
            raise AssertionError(f"the child failed: {answer['error']}")
        return answer["result"]


class Server:
    """A preloaded process that forks children.

    Args:
        rehearse: Samplers to exercise once before the first fork.
    """

    def __init__(self, *rehearse: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="children-")
        self._count = 0
        path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        # A second thread of a maths library would not survive the fork.
        alone = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "crash.server", *rehearse],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **alone, "PYTHONPATH": path},
        )
        assert self._hear() == {"ready": True}

    def start(self, task: str, **args: Any) -> Child:
        """Fork a child that runs a function of `crash.tasks`."""
        self._count += 1
        out = Path(self._folder.name) / f"{self._count}.json"
        return Child(self, self.tell(do="start", task=task, args=args, out=str(out))["pid"], out)

    def tell(self, **order: Any) -> dict[str, Any]:
        """One order and its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 2 * PATIENCE)[0]:
            raise TimeoutError("the fork server does not answer")
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the fork server died: {self._process.wait(PATIENCE)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()
