"""What the forked children do. Arguments and results are JSON."""

from __future__ import annotations

import json
import math
import os
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import workbench as wb
from workbench.storage import Storage
from workbench.study import asking, optimizing
from workbench.study import vectorized as batches
from workbench.trial import Owner

NAME = "demo"
GOAL = wb.Objective("v", noise="none")
LATE = 30.0  # seconds; no wait in here lasts longer


def spaces() -> dict[str, wb.Space]:
    """A space for each sampler, as rich as it can serve."""
    mixed = [
        wb.Float("x", 1e-3, 1, log=True),
        wb.Int("k", 1, 5),
        wb.Categorical("act", ["relu", "tanh"]),
        wb.Bool("bias"),
        wb.Float("momentum", 0, 1, when={"bias": True}),
    ]
    long = wb.Space([*mixed, wb.Vector("z", 3)], constraints=["x + k <= 5.5"])
    plane = wb.Space([wb.Float("x", 0, 1), wb.Float("k", 0, 1)])
    return {"random": long, "sobol": long, "grid": wb.Space(mixed), "gp": plane, "auto": plane, "cbo": long}


def study(storage: Storage | str | Path, sampler: str, budget: int | None = None) -> wb.Study:
    """The study of the children, made by whoever comes first."""
    return wb.create_study(
        NAME, spaces()[sampler], [GOAL], sampler=sampler, seed=7, budget=budget,
        storage=storage, load_if_exists=True,
    )  # fmt: skip


def rehearse(sampler: str) -> None:
    """Run a sampler for a few trials in memory, so that the children find everything loaded."""
    made = wb.create_study("r", spaces()[sampler], [GOAL], sampler=sampler, seed=0, budget=8)
    made.optimize(value, until=4, progress=False)


def value(trial: wb.Trial) -> float:
    """A smooth function with two dents."""
    params = trial.params
    return float(math.sin(9 * params["x"]) + (params["k"] - 0.4) ** 2 + 0.1 * sum(params.get("z", ())))


# -- runs that are killed -----------------------------------------------------------------


class Log:
    """A side file to which lines are added; what was added before a kill is there."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def add(self, *words: Any) -> None:
        """One line, in one write."""
        os.write(self._file, json.dumps(words).encode() + b"\n")

    @staticmethod
    def read(path: str | Path) -> list[list[Any]]:
        """All lines."""
        return [json.loads(line) for line in Path(path).read_text().splitlines()] if Path(path).exists() else []


class Fuse:
    """Kills this process when a named point is reached for the n-th time.

    Args:
        point: Name of the point; None: never.
        count: Which time.
    """

    def __init__(self, point: str | None = None, count: int = 1) -> None:
        self._point, self._left = point, count

    def reach(self, point: str) -> None:
        """This point is reached."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def optimize(
    path: str, sampler: str, until: int, log: str,
    *, point: str | None = None, count: int = 1, budget: int | None = None,
) -> None:  # fmt: skip
    """Run `study.optimize` until so many trials are finished, or until the kill.

    The objective reports, sets an attribute and now and then fails, so that every kind of write takes part.
    """
    fuse, notes = Fuse(point, count), Log(log)
    storage = Storage(path)
    storage.on_point = fuse.reach
    pause = _hurry(point or "")
    made = study(storage, sampler, budget)

    def objective(trial: wb.Trial) -> float:
        notes.add("evaluate", trial.number, trial.attempt)
        fuse.reach("objective:begin")
        trial.report(float(trial.number), step=0)
        trial.set_attr("lot", trial.number % 3)
        time.sleep(pause)
        fuse.reach("objective:end")
        if trial.number % 7 == 3:
            raise ArithmeticError(f"diverged at {trial['x']!r}")
        return value(trial)

    def ended(_: wb.Study, trial: wb.Trial) -> None:
        notes.add("told", trial.number, str(trial.state), trial.values)
        fuse.reach("objective:told")

    made.optimize(objective, until=until, catch=(ArithmeticError,), callbacks=[ended], progress=False)
    storage.close()


def _hurry(point: str) -> float:
    """Let what happens every ten seconds happen at once, where the kill waits for it; seconds of an evaluation."""
    if point.startswith("heartbeat"):
        optimizing.HEARTBEAT = 0.002
        return 0.03
    if point.startswith("renew_lease"):
        asking.LEASE, propose = 0.03, asking._proposals

        def slowly(*args: Any) -> Any:
            time.sleep(0.05)
            return propose(*args)

        asking._proposals = slowly  # type: ignore[assignment]
    return 0.0


def ask_and_tell(path: str, sampler: str, until: int, log: str, *, point: str | None = None, count: int = 1) -> None:
    """A loop of one's own that first tells the trials that are running."""
    fuse, notes = Fuse(point, count), Log(log)
    storage = Storage(path)
    storage.on_point = fuse.reach
    made = study(storage, sampler, budget=until)

    def tell(trial: wb.Trial) -> None:
        notes.add("evaluate", trial.number, trial.attempt)
        fuse.reach("objective:begin")
        told = made.tell(trial, value(trial))
        notes.add("told", told.number, str(told.state), told.values)
        fuse.reach("objective:told")

    for trial in made.trials:
        if trial.state == "running":
            tell(trial)
    while len(made.trials) < until:
        tell(made.ask())
    storage.close()


def vectorized(
    path: str, sampler: str, until: int, log: str, *, point: str | None = None, count: int = 1
) -> None:  # fmt: skip
    """A run in whole batches of so many evaluations, with a checkpoint at every milestone.

    Each checkpoint is an attachment, so the points are those of its write, and those of the function.
    """
    fuse, notes = Fuse(point, count), Log(log)
    storage = Storage(path)
    storage.on_point = fuse.reach
    batches.CHECKPOINT = 0.0
    made = study(storage, sampler)

    def fn(columns: Any) -> Any:
        fuse.reach("objective:begin")
        spread = np.sin(9 * columns["x"]) + (columns["k"] - 0.4) ** 2 + columns["z"].sum(axis=1) ** 2
        notes.add("evaluate", len(spread), float(spread.min()))
        fuse.reach("objective:end")
        return spread

    made.optimize(fn, vectorized=True, evaluations=until, keep=5, progress=False)
    storage.close()


# -- workers side by side -----------------------------------------------------------------


def gather(path: str, go: str, size: int, tell: bool) -> dict[str, Any]:
    """Ask until the space is exhausted or `size` trials are there; tell each at once, or none."""
    made = wb.load_study(NAME, storage=path)
    _await(go)
    mine: list[int] = []
    while len(mine) < size:
        try:
            trial = made.ask()
        except wb.ExhaustedSpaceError as error:
            return {"numbers": mine, "error": str(error)}
        mine.append(trial.number)
        time.sleep(0.01)  # an evaluation, in which the others have their turn
        if tell:
            made.tell(trial, float(trial.number))
    return {"numbers": mine, "error": None}


def gather_batches(path: str, go: str, rounds: int, size: int) -> list[list[int]]:
    """Ask for several at once and tell them backwards, a few times."""
    made = wb.load_study(NAME, storage=path)
    _await(go)
    batches = []
    for _ in range(rounds):
        trials = made.ask(size)
        batches.append([trial.number for trial in trials])
        for trial in reversed(trials):
            made.tell(trial, float(trial.number))
    return batches


def make(path: str, go: str, sampler: str) -> int:
    """Create the study or find it; its id."""
    _await(go)
    return study(path, sampler)._record.id


def evaluate_forever(path: str, ready: str, heartbeat: float | None = None, expiry: float | None = None) -> None:
    """Begin a trial under `optimize` and never end it."""
    _paces(heartbeat, expiry)

    def stuck(trial: wb.Trial) -> float:
        Path(ready).write_text(str(trial.number))
        time.sleep(LATE)
        raise TimeoutError("nobody killed this process")

    wb.load_study(NAME, storage=path).optimize(stuck, n_trials=1, progress=False)


def evaluate_slowly(path: str, ready: str, go: str, heartbeat: float, expiry: float) -> list[str]:
    """Run one trial under `optimize` that ends when `go` appears; the warnings of it."""
    _paces(heartbeat, expiry)

    def slow(trial: wb.Trial) -> float:
        Path(ready).write_text(str(trial.number))
        _await(go)
        return -1.0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", wb.WorkbenchWarning)
        wb.load_study(NAME, storage=path).optimize(slow, n_trials=1, progress=False)
    return [str(w.message) for w in caught if issubclass(w.category, wb.WorkbenchWarning)]


def finish(path: str, go: str, n_trials: int | None = None, until: int | None = None) -> list[list[int]]:
    """Run `optimize`; the trials that this process evaluated, as pairs (number, attempt)."""
    done: list[list[int]] = []

    def quick(trial: wb.Trial) -> float:
        done.append([trial.number, trial.attempt])
        return float(trial.number)

    made = wb.load_study(NAME, storage=path)
    _await(go)
    made.optimize(quick, n_trials=n_trials, until=until, progress=False)
    return done


def hold_lease(path: str, ready: str, go: str, seconds: float) -> None:
    """Hold the ask lease until `go` appears."""
    storage = Storage(path)
    fence = storage.acquire_lease(storage.study(NAME).id, Owner.current(), seconds)
    Path(ready).write_text(str(fence))
    _await(go)
    storage.close()


def ask_in_time(path: str, go: str, timeout: float) -> dict[str, Any]:
    """One ask with a time limit: how long it took, and what came."""
    made = wb.load_study(NAME, storage=path)
    _await(go)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", wb.WorkbenchWarning)
        began = time.monotonic()
        trial = made.ask(timeout=timeout)
        seconds = time.monotonic() - began
    said = [str(w.message) for w in caught if issubclass(w.category, wb.WorkbenchWarning)]
    return {
        "seconds": seconds,
        "number": trial.number,
        "x": trial["x"] if "x" in trial.params else None,
        "warnings": said,
    }


def _paces(heartbeat: float | None, expiry: float | None) -> None:
    optimizing.HEARTBEAT = heartbeat or optimizing.HEARTBEAT
    optimizing.EXPIRY = expiry or optimizing.EXPIRY


def _await(path: str) -> None:
    deadline = time.monotonic() + LATE
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear")
        time.sleep(0.001)
