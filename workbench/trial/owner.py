"""Who works on a trial: one process, and whether it is certainly gone."""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class Owner:
    """Who works on a trial or holds a lease: one process of one boot of one machine."""

    host: str
    boot: str
    pid: int
    started: str
    pids: str = ""  # which numbers of processes are meant: containers of one machine may have their own

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return _owner_of(os.getpid())

    @classmethod
    def from_json(cls, text: str) -> Owner:
        """The owner that `to_json` described."""
        return cls(**orjson.loads(text))

    def to_json(self) -> str:
        """JSON text for the database."""
        fields = {
            "host": self.host, "boot": self.boot, "pid": self.pid, "started": self.started, "pids": self.pids
        }  # fmt: skip
        return orjson.dumps(fields).decode()

    def known_dead(self) -> bool:
        """True only when the process is certainly gone: same machine, other boot or no such process."""
        if self.host != socket.gethostname():
            return False
        if self.boot != _boot_id():
            return True
        if self.pids and self.pids != _namespace():  # a container with this name, whose processes are not seen here
            return False
        return _process_start(self.pid) != self.started


@functools.lru_cache(maxsize=8)
def _owner_of(pid: int) -> Owner:
    return Owner(socket.gethostname(), _boot_id(), pid, _process_start(pid) or "", _namespace())


@functools.cache
def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


@functools.cache
def _namespace() -> str:
    """Names the process numbers of this container, or of the machine; "" where the system does not say."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """A mark that tells a process from a later one of the same number; None if there is no such process."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()  # the name in brackets may hold spaces
        return None if fields[0] in "ZX" else fields[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""
