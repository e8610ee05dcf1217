"""The sampler's side of the pipe: JSON lines on standard input and output, one answer to each message.

Only the standard library, since this also runs in the interpreters of peers. The driver's messages:

    {"do": "hello", "seed", "space", "objectives", "constraints", "evaluations", "start"}  -> {"versions"}
    {"do": "start", "trials": [{"params", "values"}, ...]}                                 -> {}
    {"do": "ask"}                                                                          -> {"params", "source"}
    {"do": "tell", "params", "values"}                                                     -> {}
    {"do": "bye"}                                                                          -> {"recommended"}

`space`, `objectives` and `constraints` are what `Space.to_json`, `Objective.to_json` and
`Constraint.to_json` give. Every answer also carries "cpu_s", the processor seconds of the process and
its children so far, and "peak_mib", the largest memory of the process so far. An answer
{"error": text} says that the message could not be served.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import resource
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

PROTOCOL = 1
_WARM = {
    "parameters": [{"kind": "float", "name": "x", "low": 0.0, "high": 1.0}],
    "constraints": [],
}


class Refused(Exception):
    """This sampler cannot serve what the driver wants; the text says what, and what would do."""


class Served(Protocol):
    """What an adapter offers; made from the hello."""

    versions: Mapping[str, str]

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Learn the initial design: [{"params", "values"}, ...]."""

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """Propose one point; with what made it, where the sampler has several ways."""

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Learn what came of the point that was asked last."""

    def recommend(self) -> Mapping[str, Any] | None:
        """The point that the sampler's own model would take; None for the best observed one."""


def serve(make: Callable[[Mapping[str, Any]], Served]) -> None:
    """Answer the driver until it closes the pipe.

    What libraries print goes to standard error. Before the first answer the sampler asks once on a toy
    problem, so that neither imports nor first-call set-up are timed; ours and peers alike.

    Args:
        make: Makes the sampler from the hello.
    """
    outbox = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    served: list[Served] = []
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line), make, served)
        except Refused as error:
            answer = {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        _send(outbox, answer)


def _answer(
    message: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Served], served: list[Served]
) -> dict[str, Any]:
    what = message["do"]
    if what == "hello":
        if message["protocol"] != PROTOCOL:
            raise Refused(f"this sampler speaks protocol {PROTOCOL}, the driver {message['protocol']}; update one")
        _warm_up(message, make)
        served[:] = [make(message)]
        return {"versions": {"python": platform.python_version(), **served[0].versions}}
    (sampler,) = served
    if what == "start":
        sampler.start(message["trials"])
    elif what == "ask":
        params, source = sampler.ask()
        return {"params": dict(params), "source": source}
    elif what == "tell":
        sampler.tell(message["params"], message["values"])
    elif what == "bye":
        recommended = sampler.recommend()
        return {"recommended": None if recommended is None else dict(recommended)}
    else:
        raise Refused(f"this sampler knows hello, start, ask, tell and bye, got {what!r}")
    return {}


def _warm_up(hello: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Served]) -> None:
    """Ask once for a toy of as many objectives; a sampler that does not take its space does without."""
    goals = [
        {key: goal[key] for key in ("kind", "name", "noise")} | {"direction": "minimize", "reference": 1.0}
        for goal in hello["objectives"]
    ]
    toy = {**hello, "space": _WARM, "objectives": goals, "constraints": [], "evaluations": 20, "start": 6}

    def values(x: float) -> dict[str, float]:
        return {goal["name"]: (x - 0.4 - 0.1 * j) ** 2 for j, goal in enumerate(goals)}

    with contextlib.suppress(Refused):
        sampler = make(toy)
        sampler.start([{"params": {"x": x}, "values": values(x)} for x in (0.05, 0.2, 0.5, 0.6, 0.8, 0.9)])
        params, _ = sampler.ask()
        sampler.tell(params, values(0.7))
    if "torch" in sys.modules:  # it may not have heeded the variables
        sys.modules["torch"].set_num_threads(1)


def _send(outbox: TextIO, answer: dict[str, Any]) -> None:
    try:
        text = json.dumps({**answer, "cpu_s": _cpu(), "peak_mib": _peak()}, default=_plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        text = json.dumps({"error": f"what the sampler answered is no JSON: {error}; {answer!r:.300}"})
    outbox.write(text + "\n")
    outbox.flush()


def _plain(value: Any) -> Any:
    """Scalars and arrays of numpy as numbers and lists."""
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"expected plain values, got {type(value).__name__}")


def _cpu() -> float:
    """Processor seconds of this process and of its ended children."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def processor_seconds(pid: int) -> float:
    """Of another process and its ended children; NaN where the system has no file that says so."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return math.nan
    fields = stat.read_text().rpartition(")")[2].split()  # the name before may hold spaces; then the third field
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Memory that another process holds now, MiB; NaN where the system has no file that says so."""
    statm = Path(f"/proc/{pid}/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if statm.exists() else math.nan


def _peak() -> float:
    """Largest resident memory of this process, MiB."""
    # ru_maxrss would count what the parent held at the fork; Linux's own file does not
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes
