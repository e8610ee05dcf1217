"""Play one seed of one case: the driver asks, evaluates and tells, step by step."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from workbench.bench.case import Case, Told
from workbench.bench.contestant import Contestant, ContestantError, Line, SpentError
from workbench.bench.records import Run
from workbench.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that came to nothing, and why; it is tried again next time."""

    case: str
    contestant: str
    seed: int
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What a contestant may use.

    A run is cut when it has spent its time, between two asks, or in the middle of one where the system says what a
    process uses; an ask that needs more memory cuts it there.

    Args:
        answer: Seconds on the wall that one answer may take.
        run: Seconds of the processor, after the start, that a whole run may.
        memory: MiB that its process may hold.
    """

    answer: float = 1800.0
    run: float | None = None
    memory: float | None = None


def play(
    case: Case,
    contestants: Sequence[Contestant],
    seed: int,
    limits: Limits | None = None,
    stepped: Callable[[int], None] = lambda evaluations: None,
    start: Sequence[Told] = (),
) -> list[Run | Failure]:
    """Let contestants run one seed of a case side by side, ask by ask, only one of them at work at a time.

    Args:
        limits: None for the default ones.
        stepped: Called with the number of evaluations made since the last call.
        start: Values told, and true ones, of the points of the initial design; they are measured if none are given.
    Returns:
        One for each contestant, in their order. One that fails does not disturb the others.
    """
    limits = limits or Limits()
    points = case.design(seed)
    measured = start or [case.measure(point, seed, i) for i, point in enumerate(points)]
    with ExitStack() as stack:
        games = [_Game(case, contestant, seed, stepped) for contestant in contestants]
        for game in games:
            game.attempt(game.begin, stack, limits, points, measured)
        for number in range(case.start, case.evaluations):
            for game in games if number % 2 else games[::-1]:
                game.attempt(game.step, number, limits)
        for game in games:
            game.attempt(game.end)
        return [game.outcome() for game in games]


@dataclass(slots=True)
class _Game:
    """One contestant in the middle of a run."""

    case: Case
    contestant: Contestant
    seed: int
    stepped: Callable[[int], None]
    told: list[dict[str, float]] = field(default_factory=list)
    true: list[dict[str, float]] = field(default_factory=list)
    ask_s: list[float] = field(default_factory=list)
    tell_s: list[float] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    figures: dict[str, Any] = field(default_factory=dict)
    cut: str | None = None
    line: Line | None = None
    failure: Failure | None = None
    spent: float = 0.0

    def attempt(self, action: Callable[..., None], *arguments: Any) -> None:
        """Do the next thing, unless this run has failed; what goes wrong ends this run alone."""
        if self.failure is not None:
            return
        try:
            action(*arguments)
        except Exception as error:  # the problem's own errors too: the other runs must not be lost
            self.failure = Failure(self.case.name, self.contestant.name, self.seed, f"{type(error).__name__}: {error}")
            if self.line is not None:
                self.line.close()
            self.stepped(self.case.evaluations - len(self.told))

    def begin(self, stack: ExitStack, limits: Limits, points: Sequence[Mapping[str, Any]], measured: Any) -> None:
        """Start the process and tell it the initial design."""
        self.line = stack.enter_context(Line(self.contestant, limits.answer))
        self.figures["versions"] = self.line.hello(self.case.declared(), self.seed)["versions"]
        trials = [{"params": p, "values": told} for p, (told, _) in zip(points, measured, strict=True)]
        answer, _ = self.line.call({"do": "start", "trials": trials})
        peak = answer["peak_mib"]
        self.figures |= {"cpu_start_s": answer["cpu_s"], "start_mib": peak, "peak_mib": peak}
        self.told, self.true = [told for told, _ in measured], [true for _, true in measured]
        self.stepped(len(measured))

    def step(self, number: int, limits: Limits) -> None:
        """One ask, one evaluation, one tell."""
        assert self.line is not None
        if limits.run is not None and self.spent > limits.run and not self.cut:
            self.cut = f"after {number} evaluations, beyond {limits.run:g} s"
            self.stepped(self.case.evaluations - number)
        if self.cut:
            return
        start = self.figures["cpu_start_s"]
        most = math.inf if limits.run is None else start + limits.run
        mib = math.inf if limits.memory is None else limits.memory
        try:
            answer, seconds = self.line.call({"do": "ask"}, most, mib)
        except SpentError as over:
            given = f"{limits.run:g} s" if over.what == "time" else f"{mib / 1024:g} GiB"
            self.cut = f"after {number} evaluations, in an ask beyond {given}"
            self.figures["cpu_s"] = over.seconds - start
            self.line.close()
            self.stepped(self.case.evaluations - number)
            return
        params = self._checked(answer.get("params"))
        told, true = self.case.measure(params, self.seed, number)
        noted, tell_s = self.line.call({"do": "tell", "params": answer["params"], "values": told})
        self.spent = noted["cpu_s"] - self.figures["cpu_start_s"]  # of it alone, whatever else the machine does
        self.figures["peak_mib"] = noted["peak_mib"]
        self.told.append(told)
        self.true.append(true)
        self.ask_s.append(seconds)
        self.tell_s.append(tell_s)
        self.sources[answer.get("source") or "-"] += 1
        self.stepped(1)

    def end(self) -> None:
        """Take the figures and let the process go, if it was not ended in the middle of an ask."""
        assert self.line is not None
        if "cpu_s" in self.figures:
            return
        answer, _ = self.line.call({"do": "bye"})
        self.figures |= {"cpu_s": answer["cpu_s"] - self.figures["cpu_start_s"], "peak_mib": answer["peak_mib"]}
        recommended = answer.get("recommended")
        if recommended is not None:
            point = self._checked(recommended)
            self.figures["recommended"] = self.case.measure(point, self.seed, self.case.evaluations)[1]

    def _checked(self, params: Any) -> dict[str, Any]:
        """A proposal in canonical form, if it lies in the space."""
        space = self.case.problem.space
        try:
            if not isinstance(params, Mapping):
                raise InvalidValueError(f"expected parameters by name, got {params!r:.100}")
            point = space.check(params)
        except InvalidValueError as error:
            raise ContestantError(f"{self.contestant.name} proposed a point outside the space: {error}") from error
        if broken := space.violations(point):
            raise ContestantError(f"{self.contestant.name} proposed a point that breaks a constraint: {broken[0]}")
        return point

    def outcome(self) -> Run | Failure:
        """The record of the run."""
        if self.failure is not None:
            return self.failure
        names = list(self.told[0])
        return Run(
            case=self.case.name,
            fingerprint=self.case.fingerprint,
            contestant=self.contestant.name,
            seed=self.seed,
            evaluations=self.case.evaluations,
            start=self.case.start,
            values={name: [told[name] for told in self.told] for name in names},
            true={name: [true[name] for true in self.true] for name in names} if self.case.is_noisy else None,
            ask_s=[round(seconds, 6) for seconds in self.ask_s],
            tell_s=[round(seconds, 6) for seconds in self.tell_s],
            command=self.contestant.shown,
            date=datetime.datetime.now(datetime.UTC).date().isoformat(),
            sources=dict(self.sources),
            cut=self.cut,
            versions=self.figures["versions"],
            recommended=self.figures.get("recommended"),
            **{name: round(self.figures[name], 3) for name in ("cpu_s", "cpu_start_s", "start_mib", "peak_mib")},
        )
