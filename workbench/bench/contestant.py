"""A contestant: a sampler in a process of its own, spoken to over a pipe in JSON lines."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from workbench.bench.wire import PROTOCOL, processor_seconds, resident_mib
from workbench.build import make_sampler
from workbench.errors import SamplerError
from workbench.samplers.base import Sampler

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
            "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS")  # fmt: skip
_LONGEST = 2**24  # bytes of one answer; more is no answer
_GLANCE = 1.0  # seconds between looks at what a process that does not answer spends
_CHECKOUT = Path(__file__).parents[2]
PEERS = _CHECKOUT / "benchmarks" / "peers" / "serve.py"
_HOMES = {"hebo": ".venv-hebo"}  # environments of peers that do not go with the others


class ContestantError(SamplerError):
    """A contestant could not be started, crashed, hung, or answered something that is no answer."""


class SpentError(ContestantError):
    """A contestant had used up the processor time or the memory that it was given before it answered.

    Args:
        what: Which of them.
        seconds: Of the processor, that it had spent by then.
    """

    def __init__(self, what: Literal["time", "memory"], seconds: float) -> None:
        super().__init__(f"it did not answer within the {what} that it was given")
        self.what, self.seconds = what, seconds


@dataclass(frozen=True, slots=True)
class Contestant:
    """How to start a sampler.

    Args:
        name: Names it in tables and records.
        command: Program and arguments.
        shown: The command without places of this machine, for the record.
    """

    name: str
    command: tuple[str, ...]
    shown: str

    @staticmethod
    def of(given: Any) -> Contestant:
        """Make a contestant of a contestant, a sampler of ours, its name, or "peer:NAME".

        Raises:
            UnsupportedError: for a sampler that the workbench does not know.
            ContestantError: for a peer whose environment is not there.
        """
        if isinstance(given, Contestant):
            return given
        if isinstance(given, str) and given.startswith("peer:"):
            return _peer(given.removeprefix("peer:"))
        sampler = make_sampler(given)  # unknown ones are refused here, not in the child
        spec = _spec(given, sampler)
        text = json.dumps(spec)
        command = (sys.executable, "-m", "workbench.bench.serve", text)
        return Contestant(_label(spec), command, f"python -m workbench.bench.serve '{text}'")


def _spec(given: Any, sampler: Sampler) -> dict[str, Any]:
    if isinstance(given, str):
        return {"name": given}
    return {"name": sampler.name, "options": sampler.options()} if isinstance(given, Sampler) else dict(given)


def _label(spec: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key}={value}" for key, value in spec.get("options", {}).items())
    return f"{spec['name']}({options})" if options else str(spec["name"])


def _peer(name: str) -> Contestant:
    home = _HOMES.get(name, ".venv-peers")
    shown = f"{home}/bin/python benchmarks/peers/serve.py {name}"
    return Contestant(f"peer:{name}", (str(_CHECKOUT / home / "bin" / "python"), str(PEERS), name), shown)


class Line:
    """The driver's end of the pipe to a started contestant; a context manager that ends the process.

    Args:
        contestant: What to start.
        limit: Seconds that one answer may take.
    Raises:
        ContestantError: if it cannot be started.
    """

    def __init__(self, contestant: Contestant, limit: float) -> None:
        self.contestant, self._limit = contestant, limit
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._inbox = bytearray()
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1"), "PYTHONHASHSEED": "0"}
        try:
            self._process = subprocess.Popen(
                contestant.command, env=environment, bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            )  # fmt: skip
        except OSError as error:
            self._errors.close()
            raise ContestantError(
                f"{contestant.name} could not be started ({error}); `make peers` makes the environments of peers"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        os.set_blocking(self._to.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process, busy or not."""
        self._process.kill()
        self._process.wait()
        self._to.close()
        self._from.close()
        self._errors.close()

    def hello(self, declared: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Introduce the case; it answers with its versions."""
        return self.call({"do": "hello", "protocol": PROTOCOL, "seed": seed, **declared})[0]

    def call(
        self, message: Mapping[str, Any], most: float = math.inf, mib: float = math.inf
    ) -> tuple[dict[str, Any], float]:
        """Send a message and wait for its answer.

        Args:
            message: What to do.
            most: Seconds of the processor at which the process is given up, from its first one on.
            mib: Resident memory at which it is.
        Returns:
            The answer, and the seconds from sending to its last byte.
        Raises:
            SpentError: if it was given up.
            ContestantError: if it crashed, hung, refused, or answered something that is no answer.
        """
        line = json.dumps(message, allow_nan=False).encode() + b"\n"
        began = time.perf_counter()
        text = self._exchange(line, message["do"], began + self._limit, most, mib)
        seconds = time.perf_counter() - began
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("cpu_s", 0.0), int | float):
            raise self._fault(message["do"], f"answered something that is no JSON object: {text[:200]!r}")
        if "error" in answer:
            raise self._fault(message["do"], f"answered with an error: {answer['error']}")
        return answer, seconds

    def _exchange(self, line: bytes, what: str, deadline: float, most: float, mib: float) -> bytes:
        """Write the line and read one; never wait beyond the deadline, whatever the other side does."""
        while b"\n" not in self._inbox:
            left = deadline - time.perf_counter()
            glance = max(0.0, min(left, _GLANCE))
            readable, writable, _ = select.select([self._from], [self._to] if line else [], [], glance)
            try:
                if writable:
                    line = line[os.write(self._to.fileno(), line[:65536]) :]
                if readable:
                    block = os.read(self._from.fileno(), 65536)
                    if not block:
                        raise BrokenPipeError
                    self._inbox += block
            except BrokenPipeError:
                raise self._fault(what, f"ended with exit code {self._exit_code()}") from None
            if not (readable or writable) and left <= 0:
                raise self._fault(what, f"did not answer within {self._limit:g} s")
            if not (readable or writable):
                seconds = processor_seconds(self._process.pid)
                if seconds > most:
                    raise SpentError("time", seconds)
                if resident_mib(self._process.pid) > mib:
                    raise SpentError("memory", seconds)
            if len(self._inbox) > _LONGEST:
                raise self._fault(what, f"answered more than {_LONGEST} bytes without an end of line")
        text, _, self._inbox = self._inbox.partition(b"\n")
        return bytes(text)

    def _exit_code(self) -> int | None:
        try:
            return self._process.wait(5.0)
        except subprocess.TimeoutExpired:  # it closed its pipe and lives on
            return None

    def _fault(self, what: str, how: str) -> ContestantError:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        said = self._errors.read().decode(errors="replace").strip()
        return ContestantError(
            f"{self.contestant.name}, asked to {what!r}, {how}. Started by: {self.contestant.shown}"
            + (f"\nThe last that it printed:\n{said}" if said else "")
        )
