"""Run an order: every case x contestant x seed that is not on record yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.bench.case import Case, Told
from workbench.bench.contestant import Contestant
from workbench.bench.driver import Failure, Limits, play
from workbench.bench.records import Key, Run, alike, append, check_same_start, read_runs
from workbench.bench.result import Result
from workbench.errors import InvalidValueError
from workbench.executor import Channel, Died, Done, Message, Processes, Raised

Place = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, and how.

    Args:
        cases: What is optimised.
        contestants: Who; the first is compared with all others.
        seeds: Of initial designs, noise and samplers.
        into: Folder of the runs: finished ones found there are not run again, new ones are appended.
            None keeps them in memory.
        records: Folders or files of earlier runs, read only.
        workers: Runs at a time. With more than one, everything must be picklable, and times are
            those of a busy machine.
        together: Let all contestants of a seed run side by side, ask by ask, instead of one after the
            other: for times. Needs one worker.
        limits: Seconds of an answer and of a run.
        progress: Show a bar, where somebody can watch.
    Raises:
        InvalidValueError: for names that are used twice, or numbers out of range.
    """

    cases: tuple[Case, ...]
    contestants: tuple[Contestant, ...]
    seeds: tuple[int, ...]
    into: Path | None = None
    records: tuple[Path, ...] = ()
    workers: int = 1
    together: bool = False
    limits: Limits = field(default_factory=Limits)
    progress: bool = True

    def __post_init__(self) -> None:
        for what, names in (("case", self.cases), ("contestant", self.contestants)):
            listed = [item.name for item in names]
            if not listed or len(set(listed)) < len(listed):
                raise InvalidValueError(f"expected at least one {what}, each with its own name, got {listed}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InvalidValueError(f"expected at least one seed, each once, got {self.seeds}")
        if self.together and self.workers > 1:
            raise InvalidValueError(f"together=True measures time, so it needs workers=1, got {self.workers}")


def compare(
    problems: Any,
    contestants: Sequence[Any],
    *,
    seeds: int | Iterable[int] = 10,
    evaluations: int = 40,
    start: int | None = None,
    into: Place | None = None,
    records: Iterable[Place] = (),
    workers: int = 1,
    together: bool = False,
    progress: bool = True,
) -> Result:
    """Compare samplers on a problem, or on several.

    Args:
        problems: A problem, "module:name", (function, space, objectives), a `Case`, or a list of these.
        contestants: Samplers of ours by name, specification or object, and "peer:NAME"; the first is
            compared with all others.
        seeds: Their number, or the seeds themselves.
        evaluations: Budget of each run, the start included; a `Case` has its own.
        start: Size of the initial design; None for 2 (d + 1), at most a quarter of the budget.
        into, records, workers, together, progress: As in `Order`.
    """
    listed = problems if isinstance(problems, list) else [problems]
    order = Order(
        cases=tuple(Case.of(given, evaluations, start) for given in listed),
        contestants=tuple(map(Contestant.of, contestants)),
        seeds=tuple(range(seeds) if isinstance(seeds, int) else seeds),
        into=None if into is None else Path(into),
        records=tuple(map(Path, records)),
        workers=workers,
        together=together,
        progress=progress,
    )
    return run(order)


def run(order: Order) -> Result:
    """Run what an order asks for and is not on record yet.

    Returns:
        All runs of the order, the recorded ones among them; failures are listed in it, not raised.
    Raises:
        InvalidValueError: if records of a case were made with another definition or initial design.
        Exception: what the problem raised on its initial design.
    """
    known, recorded = _known(order)
    tasks = list(_tasks(order, known))
    starts = _Starts(known)
    failures: list[Failure] = []

    def ended(outcome: Run | Failure) -> None:
        if isinstance(outcome, Failure):
            failures.append(outcome)
            return
        if order.into is not None:
            append(order.into, outcome)
        known[outcome.key] = outcome

    total = sum(len(task.contestants) * task.case.evaluations for task in tasks)
    with _bar(total, shown=order.progress) as stepped:
        if order.workers == 1:
            for task in tasks:
                start = starts.of(task)
                for outcome in play(task.case, task.contestants, task.seed, order.limits, stepped, start):
                    ended(outcome)
        else:
            _in_parallel(tasks, order.workers, starts, ended, stepped)
    seeds = {(c.name, k.name, s): None for c in order.cases for k in order.contestants for s in order.seeds}
    runs = [known[key] for key in seeds if key in known]
    check_same_start(runs)
    names = tuple(contestant.name for contestant in order.contestants)
    return Result(order.cases, names, tuple(runs), tuple(failures), frozenset(recorded))


@dataclass(frozen=True, slots=True)
class _Task:
    """One seed of one case by some contestants; travels to a worker."""

    case: Case
    contestants: tuple[Contestant, ...]
    seed: int
    limits: Limits
    start: tuple[Told, ...] = ()


class _Starts:
    """What was measured of the initial designs, once for all contestants of a seed: the problem may own its noise.

    Args:
        known: Earlier runs, which began with it.
    """

    def __init__(self, known: Mapping[Key, Run]) -> None:
        self._measured: dict[tuple[str, int], tuple[Told, ...]] = {}
        self._recorded = {(run.case, run.seed): run for run in known.values()}

    def of(self, task: _Task) -> tuple[Told, ...]:
        """Values told, and true ones, of each point.

        Raises:
            InvalidValueError: if the problem has other values now than it had on record, and the same ones each time.
        """
        case, seed, key = task.case, task.seed, (task.case.name, task.seed)
        if key not in self._measured:
            points = case.design(seed)
            if key in self._recorded:
                run = self._recorded[key]
                self._check_unchanged(case, seed, points[0], run)
                true = run.true or run.values
                self._measured[key] = tuple(
                    ({n: v[i] for n, v in run.values.items()}, {n: v[i] for n, v in true.items()})
                    for i in range(case.start)
                )
            else:
                self._measured[key] = tuple(case.measure(point, seed, i) for i, point in enumerate(points))
        return self._measured[key]

    def _check_unchanged(self, case: Case, seed: int, point: Mapping[str, Any], run: Run) -> None:
        before = {name: values[0] for name, values in run.values.items()}
        now = case.measure(point, seed, 0)[0]
        if not alike(now, before) and alike(now, case.measure(point, seed, 0)[0]):
            raise InvalidValueError(
                f"{case.name!r}, seed {seed}: the first point of the initial design has {now}, and had {before} when "
                f"{run.contestant!r} ran ({run.date}); the problem, the design or the noise has changed since. Run "
                "the older ones anew, into another folder"
            )


def _known(order: Order) -> tuple[dict[Key, Run], set[Key]]:
    """The runs that are on record, and which of them come from read-only records."""
    places = [*order.records, *([order.into] if order.into is not None and order.into.exists() else [])]
    fingerprints = {case.name: case.fingerprint for case in order.cases}
    known, recorded = {}, set()
    for place in places:
        for found in read_runs([place]):
            expected = fingerprints.get(found.case)
            if expected is None:
                continue
            if found.fingerprint != expected:
                raise InvalidValueError(
                    f"{place}: the runs of {found.case!r} by {found.contestant!r} belong to another definition of this "
                    f"case ({found.fingerprint}, now {expected}: space, goals, budget, start or optimum). "
                    "Give the case another name, or run it into another folder"
                )
            known[found.key] = found
            if place != order.into:
                recorded.add(found.key)
    return known, recorded


def _tasks(order: Order, known: Mapping[Key, Run]) -> Iterator[_Task]:
    """What is to be run: seed by seed, so that contestants take turns and a half-done order compares all."""
    for seed in order.seeds:
        for case in order.cases:
            missing = [c for c in order.contestants if (case.name, c.name, seed) not in known]
            groups = [missing] if order.together else [[c] for c in missing]
            yield from (_Task(case, tuple(group), seed, order.limits) for group in groups if group)


def _in_parallel(
    tasks: Sequence[_Task], workers: int, starts: _Starts, ended: Callable[[Run | Failure], None],
    stepped: Callable[[int], None],
) -> None:  # fmt: skip
    waiting = list(reversed(tasks))
    running: dict[int, _Task] = {}
    with Processes(workers) as pool:
        while waiting or running:
            while waiting and pool.free:
                task = waiting.pop()
                task = replace(task, start=starts.of(task))
                running[pool.start(_work, task)] = task
            for event in pool.wait():
                if isinstance(event, Message):
                    stepped(event.payload)
                elif isinstance(event, Done):
                    del running[event.task]
                    for outcome in event.result:
                        ended(outcome)
                elif isinstance(event, Raised | Died):
                    text = event.message if isinstance(event, Raised) else f"its worker {event.reason}"
                    task = running.pop(event.task)
                    for contestant in task.contestants:
                        ended(Failure(task.case.name, contestant.name, task.seed, text))


def _work(task: _Task, channel: Channel) -> list[Run | Failure]:
    """In a worker."""
    return play(task.case, task.contestants, task.seed, task.limits, channel.send, task.start)


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar of evaluations on standard error; nothing where nobody can watch."""
    from rich.console import Console

    console = Console(stderr=True)
    if not shown or not total or not (console.is_terminal or console.is_jupyter):
        yield lambda evaluations: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("evaluations"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("evaluations", total=total)
        yield lambda evaluations: bar.advance(task, evaluations)
