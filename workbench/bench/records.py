"""Runs as JSON lines in a folder: one file for each case and contestant, one line for each finished seed.

A line is appended and synced in one piece under a lock, so a driver that is killed leaves whole lines,
and at most one torn line at the end, which the next append takes away.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from workbench.errors import InvalidValueError

Key = tuple[str, str, int]
"""Case, contestant, seed."""
_ALIKE = 1e-6  # machines round differently


@dataclass(frozen=True, slots=True)
class Run:
    """One case by one contestant with one seed.

    Args:
        case: Name of the case, and `fingerprint` of its definition.
        contestant: Name of the contestant, and `command` that starts it.
        seed: Of the initial design, the noise and the sampler.
        evaluations: Budget, and `start` how many of it are the initial design.
        values: What was told, by goal, shape (evaluations,).
        true: The true values where they differ, else None.
        ask_s: Seconds of each ask after the start, and `tell_s` of each tell.
        cpu_s: Processor seconds of the whole process and its children after the start; `cpu_start_s` until then.
        start_mib: Largest memory of the process until the first ask, and `peak_mib` until the end.
        versions: Of the interpreter and the libraries that matter.
        date: Day of the run, ISO.
        sources: How many asks each of the sampler's ways answered.
        recommended: True values where the sampler's own model would go, if it says so.
        cut: Why the run ended before its budget, else None.
    """

    case: str
    fingerprint: str
    contestant: str
    seed: int
    evaluations: int
    start: int
    values: Mapping[str, list[float]]
    true: Mapping[str, list[float]] | None
    ask_s: list[float]
    tell_s: list[float]
    cpu_s: float
    cpu_start_s: float
    start_mib: float
    peak_mib: float
    versions: Mapping[str, str]
    command: str
    date: str
    sources: Mapping[str, int] = field(default_factory=dict)
    recommended: Mapping[str, float] | None = None
    cut: str | None = None

    @property
    def key(self) -> Key:
        """What makes it this run and no other."""
        return self.case, self.contestant, self.seed

    @property
    def idle(self) -> bool:
        """Was it cut before it proposed anything?"""
        return self.cut is not None and not self.ask_s

    def to_line(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_line(line: str) -> Run:
        """Read a line of `to_line`. Raises ValueError or TypeError on anything else."""
        return Run(**json.loads(line))


def read_runs(places: Iterable[str | os.PathLike[str]]) -> list[Run]:
    """Read every run of some folders or files; a later line of the same key counts.

    Raises:
        InvalidValueError: if a place does not exist, or a line that is not the torn last one cannot be read.
    """
    found: dict[Key, Run] = {}
    for path in _files(places):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), 1):
            if not line.endswith("\n"):
                continue  # torn: its run is not finished
            try:
                run = Run.from_line(line)
            except (ValueError, TypeError) as error:
                raise InvalidValueError(
                    f"{path.name}, line {number}: expected a run of the benchmark, got {line[:80]!r} ({error}). "
                    "Take the line out; its seed is then run anew"
                ) from error
            found[run.key] = run
    return list(found.values())


def append(folder: Path, run: Run) -> None:
    """Add a finished run; it is on the disk when this returns."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / file_name(run.case, run.contestant), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        end = _whole_end(descriptor)
        os.ftruncate(descriptor, end)
        data = run.to_line().encode() + b"\n"
        while data:
            written = os.pwrite(descriptor, data, end)
            data, end = data[written:], end + written
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_same_start(runs: Iterable[Run]) -> None:
    """Check that all runs of a case and a seed were told the same initial design.

    Raises:
        InvalidValueError: naming two that were not; differences are then not paired.
    """
    first: dict[tuple[str, int], Run] = {}
    for run in runs:
        other = first.setdefault((run.case, run.seed), run)
        for name, values in run.values.items():
            there = zip(values[: run.start], other.values[name][: run.start], strict=True)
            if not all(alike({name: a}, {name: b}) for a, b in there):
                raise InvalidValueError(
                    f"{run.case!r}, seed {run.seed}: {run.contestant!r} ({run.date}) and {other.contestant!r} "
                    f"({other.date}) began with different values of {name!r}, so the initial design or the noise has "
                    "changed since. Run the older one anew"
                )


def alike(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Are two sets of values the same, but for rounding?"""
    return all(math.isclose(a, second[name], rel_tol=_ALIKE, abs_tol=_ALIKE) for name, a in first.items())


def file_name(case: str, contestant: str) -> str:
    """The file of a case and a contestant."""
    return "__".join(re.sub(r"[^A-Za-z0-9.()=,-]+", "-", part) for part in (case, contestant)) + ".jsonl"


def _files(places: Iterable[str | os.PathLike[str]]) -> list[Path]:
    files: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise InvalidValueError(f"expected a folder or file of benchmark runs, but there is no {place}")
        files += sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
    return files


def _whole_end(descriptor: int) -> int:
    """Where the last whole line ends."""
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, size, 0)
    return text.rfind(b"\n") + 1
