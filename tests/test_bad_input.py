"""Bad input: an error that names what was expected, what came and what to do, and no change at all."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

import workbench as wb
from workbench.storage import Storage
from workbench.study import Study

F, I, C = wb.Float, wb.Int, wb.Categorical
X = [wb.Float("x", 0.0, 1.0)]
GOALS = [wb.Objective("loss")]


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, the columns of the ask lease left out: asking takes it and gives it back."""
    with sqlite3.connect(path) as driver:
        tables = [name for (name,) in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        out = {}
        for table in tables:
            names = [row[1] for row in driver.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(f'"{name}"' for name in names if not name.startswith("lease_"))
            out[table] = driver.execute(f"SELECT {kept} FROM {table} ORDER BY rowid").fetchall()
    driver.close()
    return out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demo.db"


@pytest.fixture
def study(path: Path) -> Iterator[Study]:
    """Trials: 0 complete, 1 running, 2 failed, 3 waiting, 4 void, 5 rejected."""
    space = wb.Space(
        [F("x", 0, 10, unit="mm"), F("lr", 1e-5, 1e-1, log=True), F("t", 20, 80, step=0.5), I("k", 1, 8), C("act", ["relu", "tanh"]),
         wb.Bool("bias"), F("m", 0, 1, when={"bias": True}), wb.Simplex("mix", names=["a", "b"], total=100)],
        constraints=["x + k <= 15"],
    )  # fmt: skip
    goals = [wb.Objective("loss", noise="none"), wb.Objective("speed", "maximize")]
    limits = [wb.Constraint("memory", upper=8.0)]
    store = Storage(path)
    made = wb.create_study("demo", space, goals, limits, sampler="sobol", storage=store, seed=1)
    made.ask(3)
    made.tell(0, {"loss": 1.0, "speed": 2.0, "memory": 3.0})
    made.tell(2, state="failed", error="diverged")
    made.enqueue({"act": "relu", "bias": False})
    made.void(made.attach(made.trial(0).params, {"loss": 9.0, "speed": 9.0, "memory": 9.0}), reason="copy")
    made.reject(made.enqueue({"act": "tanh"}), reason="no")
    yield made
    store.close()


Case = tuple[Callable[[Study], object], type[wb.WorkbenchError], tuple[str, str, str]]


def create(*parameters: wb.Parameter, constraints: Any = (), **options: Any) -> Callable[[Study], object]:
    """A study made from declarations in the storage of the study that is there."""

    def call(study: Study) -> object:
        raise AssertionError(parameters)

    return call


def new(make: Callable[[], Any]) -> Callable[[Study], object]:
    """Declare something, and make a study of it in the same file if that should work."""

    def call(study: Study) -> object:
        space = make()
        space = space if isinstance(space, wb.Space) else wb.Space([space])
        return wb.create_study("other", space, GOALS, storage=study._record.storage)

    return call


def made(**change: Any) -> Callable[[Study], object]:
    """A study with a good space, but for one argument."""

    def call(study: Study) -> object:
        arguments: dict[str, Any] = {"name": "other", "space": wb.Space(X), "objectives": GOALS} | change
        return wb.create_study(**arguments, storage=study._record.storage)

    return call


def bounded(*constraints: Any) -> Callable[[Study], object]:
    return new(lambda: wb.Space([F("x", 0, 1), F("y", 0, 1), C("c", ["a", "b"])], constraints=list(constraints)))


WHOLE = {"loss": 1.0, "speed": 2.0, "memory": 3.0}
POINT = {"x": 1.0, "lr": 1e-3, "t": 20.5, "k": 2, "act": "relu", "bias": False, "mix": {"a": 40, "b": 60}}

CASES: dict[str, Case] = {}
