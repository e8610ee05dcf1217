"""A process that has imported everything once and forks a child for each order.

Run as `python -m crash.server <samplers to rehearse>`. Orders come as lines of JSON on the standard
input and are answered one by one; the children die with the server.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from crash import tasks

LIFE = 120  # seconds after which a child that nobody killed gives up


def main() -> None:
    """Rehearse, then serve until the standard input ends."""
    for sampler in sys.argv[1:]:
        tasks.rehearse(sampler)
    gc.collect()
    children: set[int] = set()
    _say({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "start":
            pid = _start(order)
            children.add(pid)
            _say({"pid": pid})
        else:
            status = _wait(order["pid"], order["seconds"])
            if status is not None:
                children.discard(order["pid"])
            _say({"status": status})
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _start(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)  # the standard output belongs to the server's answers
        signal.alarm(LIFE)
        os._exit(_work(order))
    return pid


def _work(order: dict[str, Any]) -> int:
    try:
        answer = {"result": getattr(tasks, order["task"])(**order["args"])}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    draft = Path(order["out"] + ".draft")
    draft.write_text(json.dumps(answer))
    draft.replace(order["out"])
    return 0 if "result" in answer else 1


def _wait(pid: int, seconds: float) -> int | None:
    """Exit code of the child, negative for a signal; None while it lives on."""
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.001)


if __name__ == "__main__":
    main()
