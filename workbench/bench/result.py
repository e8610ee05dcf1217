"""What runs say: a table, paired differences, the share of targets reached, times, a page, JSON."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.bench import figures
from workbench.bench.case import Case
from workbench.bench.driver import Failure
from workbench.bench.figures import Array, Taken
from workbench.bench.records import Key, Run
from workbench.errors import InvalidValueError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ALL = "all cases"


@dataclass(frozen=True, slots=True)
class Difference:
    """Final log10 regret of one contestant minus another's, paired by seed; negative where the first is better.

    Args:
        case: The case, or "all cases": the mean over cases, both cases and seeds resampled.
        mean: In decades, with the ends `low` and `high` of its bootstrap interval.
        pairs: How many (case, seed) pairs stand behind it.
    """

    case: str
    first: str
    other: str
    mean: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Times and memory of a contestant on a case.

    Args:
        ask_mean, ask_median, ask_p95, tell_mean, tell_median, tell_p95: Seconds of one call.
        cpu_per_run: Processor seconds of the whole process after its start, mean over runs.
        start_mib, peak_mib: Largest memory before the first ask, and in the end; MiB.
        recorded: Whether some of it was measured on another day.
    """

    ask_mean: float
    ask_median: float
    ask_p95: float
    tell_mean: float
    tell_median: float
    tell_p95: float
    cpu_per_run: float
    start_mib: float
    peak_mib: float
    recorded: bool


@dataclass(frozen=True, slots=True)
class _Yardstick:
    """Of a case: the loss of the optimum or of the best known, the range, the reference point of a hypervolume."""

    best: float
    span: float
    reference: Array | None


@dataclass(frozen=True)
class Result:
    """Runs of cases by contestants.

    Args:
        cases: The cases.
        contestants: Their names; the first is compared with the others.
        runs: Finished runs.
        failures: Runs that came to nothing.
        recorded: Keys of runs that come from earlier records: their times were measured on another day.
        taken: Which point a regret is of, see `figures.trace`.
        level: Of all intervals.
    """

    cases: tuple[Case, ...]
    contestants: tuple[str, ...]
    runs: tuple[Run, ...]
    failures: tuple[Failure, ...] = ()
    recorded: frozenset[Key] = field(default=frozenset())
    taken: Taken = "chosen"
    level: float = 0.9

    # -- regret -----------------------------------------------------------------------------

    @cached_property
    def _by_pair(self) -> dict[tuple[str, str], dict[int, Run]]:
        found: dict[tuple[str, str], dict[int, Run]] = {}
        for run in self.runs:
            found.setdefault((run.case, run.contestant), {})[run.seed] = run
        return found

    def runs_of(self, case: str, contestant: str) -> dict[int, Run]:
        """Runs by seed."""
        return self._by_pair.get((case, contestant), {})

    @cached_property
    def _yardsticks(self) -> dict[str, _Yardstick]:
        found = {}
        for case in self.cases:
            runs = [run for run in self.runs if run.case == case.name]
            if not runs:
                continue
            reference = figures.reference_point(case, runs)
            best = figures.best_loss(case, runs, reference)
            assert best is not None  # there are runs
            found[case.name] = _Yardstick(best, figures.scale(case, runs, reference), reference)
        return found

    def regrets(self, case: Case, contestant: str) -> dict[int, Array]:
        """Regret after each evaluation by seed, shape (N,), units of the objective, or of hypervolume.

        A run that was cut keeps its last value; one that was cut before it proposed anything is left out.
        """
        if case.name not in self._yardsticks:
            return {}
        known = self._yardsticks[case.name]
        found = {}
        for seed, run in self.runs_of(case.name, contestant).items():
            if not run.idle:
                loss = figures.trace(case, run, self.taken, known.reference)
                there = np.isfinite(loss)  # nothing feasible so far, perhaps in no run
                found[seed] = np.where(there, loss - (known.best if there.any() else 0.0), np.inf)
        return found

    def log_regrets(self, case: Case, contestant: str) -> dict[int, Array]:
        """log10 regret after each evaluation by seed, clipped to [1e-6, 1] of the range."""
        regrets = self.regrets(case, contestant)
        return {seed: figures.log_regret(r, self._yardsticks[case.name].span) for seed, r in regrets.items()}

    def differences(self, first: str | None = None) -> list[Difference]:
        """Paired differences of the first contestant to every other, per case and over all cases.

        Raises:
            InvalidValueError: for an unknown contestant.
        """
        lead = self.contestants[0] if first is None else first
        if lead not in self.contestants:
            raise InvalidValueError(f"expected one of {', '.join(self.contestants)}, got {lead!r}")
        found = []
        for other in [name for name in self.contestants if name != lead]:
            samples = {case.name: d for case in self.cases if len(d := self._paired(case, lead, other))}
            for name, sample in samples.items():
                found.append(self._difference(name, lead, other, [sample]))
            if len(samples) > 1:
                found.append(self._difference(ALL, lead, other, list(samples.values())))
        return found

    def _paired(self, case: Case, lead: str, other: str) -> Array:
        ours, theirs = self.log_regrets(case, lead), self.log_regrets(case, other)
        return np.array([ours[seed][-1] - theirs[seed][-1] for seed in sorted(ours.keys() & theirs.keys())])

    def _difference(self, name: str, lead: str, other: str, samples: list[Array]) -> Difference:
        mean, low, high = figures.bootstrap(samples, level=self.level)
        return Difference(name, lead, other, mean, low, high, sum(map(len, samples)))

    def reached(self, contestant: str) -> tuple[Array, Array]:
        """Share of (case, target, seed) reached by evaluations: evaluations (N,), shares (N,).

        A case with a smaller budget keeps its last share.
        """
        shares = []
        for case in self.cases:
            regrets = self.regrets(case, contestant)
            if regrets:
                span = self._yardsticks[case.name].span
                shares.append(figures.reached(np.stack(list(regrets.values())), span))
        longest = max((len(share) for share in shares), default=0)
        held = [np.pad(share, (0, longest - len(share)), mode="edge") for share in shares]
        return np.arange(1.0, longest + 1), np.mean(held, axis=0) if held else np.empty(0)

    # -- times ------------------------------------------------------------------------------

    def timing(self, case: Case, contestant: str) -> Timing | None:
        """Times of a contestant on a case; None without runs."""
        runs = list(self.runs_of(case.name, contestant).values())
        asks, tells = (np.concatenate([getattr(run, name) for run in runs] or [[]]) for name in ("ask_s", "tell_s"))
        if not asks.size:
            return None
        return Timing(
            *_three(asks), *_three(tells),
            cpu_per_run=float(np.mean([run.cpu_s for run in runs])),
            start_mib=max(run.start_mib for run in runs),
            peak_mib=max(run.peak_mib for run in runs),
            recorded=any(run.key in self.recorded for run in runs),
        )  # fmt: skip

    # -- out --------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """One row for each case and contestant: regret, difference to the first, times."""
        differences = {(d.case, d.other): d for d in self.differences()} if len(self.contestants) > 1 else {}
        rows = []
        for case in self.cases:
            for name in self.contestants:
                found, timing = self.log_regrets(case, name), self.timing(case, name)
                if not found or timing is None:
                    continue
                q25, median, q75 = np.quantile([r[-1] for r in found.values()], [0.25, 0.5, 0.75])
                row = {"case": case.name, "contestant": name, "seeds": len(found)}
                row |= {"log10_regret": {"median": median, "q25": q25, "q75": q75}}
                difference = differences.get((case.name, name))
                row["first_minus_this"] = difference and {
                    key: getattr(difference, key) for key in ("mean", "low", "high", "pairs")
                }
                rows.append(row | {"timing": asdict(timing), "cut": self._cut(case.name, name)})
        return rows

    def _cut(self, case: str, contestant: str) -> int:
        return sum(run.cut is not None for run in self.runs_of(case, contestant).values())

    def to_json(self) -> dict[str, Any]:
        """Every figure, JSON-ready; numbers to five digits."""
        overall = [asdict(d) for d in self.differences() if d.case == ALL] if len(self.contestants) > 1 else []
        reached = {name: shares[-1] for name in self.contestants if len(shares := self.reached(name)[1])}
        listed = {
            "rows": self.rows(), "overall": overall, "targets_reached": reached, "taken": self.taken,
            "level": self.level, "failed": [asdict(failure) for failure in self.failures],
        }  # fmt: skip
        rounded: dict[str, Any] = _rounded(listed)
        return rounded

    def table(self) -> str:
        """The figures as plain text."""
        from workbench.bench.text import table

        return table(self)

    def figures(self) -> dict[str, Figure]:
        """Plotly figures: targets reached, paired differences, and convergence of each case."""
        from workbench.bench.page import drawings

        return drawings(self)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the figures and tables as one HTML file that needs no network."""
        from workbench.bench.page import write

        return write(self, Path(path))


def _three(seconds: Array) -> tuple[float, float, float]:
    return float(seconds.mean()), float(np.median(seconds)), float(np.quantile(seconds, 0.95))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, Iterable):
        return [_rounded(item) for item in value]
    return int(value) if isinstance(value, int | np.integer) else float(f"{float(value):.5g}")
