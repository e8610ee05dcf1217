"""Bad input: an error that names what was expected, what came and what to do, and no change at all."""

# ruff: noqa: E501  one case a line
from __future__ import annotations

import math
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

import workbench as wb
from workbench.storage import Storage
from workbench.study import Study

F, I, C = wb.Float, wb.Int, wb.Categorical  # noqa: E741
X = [wb.Float("x", 0.0, 1.0)]
GOALS = [wb.Objective("loss")]


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, the columns of the ask lease left out: asking takes it and gives it back."""
    with sqlite3.connect(path) as driver:
        tables = [
            name for (name,) in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
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


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which trial 0 is complete, 1 running, 2 failed, 3 waiting, 4 void, 5 rejected."""
    path = tmp_path_factory.mktemp("template") / "demo.db"
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
    store.close()
    return path


@pytest.fixture
def study(template: Path, path: Path) -> Iterator[Study]:
    shutil.copy(template, path)
    store = Storage(path)
    yield wb.load_study("demo", storage=store)
    store.close()


Case = tuple[Callable[[Study], object], type[wb.WorkbenchError], list[str]]
"""What is done, the error, and what its message must hold: what was expected, what came, the remedy."""


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


def one(study: Study) -> float:
    return 1.0


DECLARATIONS: dict[str, Case] = {
    "low above high": (new(lambda: F("x", 2, 1)), wb.SpaceError, ["low < high", "2.0 and 1.0", "needs no parameter"]),
    "low equals high": (new(lambda: I("k", 5, 5)), wb.SpaceError, ["low < high", "5 and 5", "needs no parameter"]),
    "log at zero": (new(lambda: F("x", 0, 1, log=True)), wb.SpaceError, ["low > 0", "got 0.0", "drop log=True"]),
    "log below zero": (new(lambda: I("k", -1, 5, log=True)), wb.SpaceError, ["low > 0", "got -1", "drop log=True"]),
    "nan bound": (new(lambda: F("x", math.nan, 1)), wb.SpaceError, ["low", "finite number", "got nan"]),
    "infinite bound": (new(lambda: F("x", 0, math.inf)), wb.SpaceError, ["high", "finite number", "got inf"]),
    "bound of text": (new(lambda: F("x", "0", 1)), wb.SpaceError, ["low", "finite number", "got '0'"]),  # type: ignore[arg-type]
    "step of zero": (new(lambda: F("x", 0, 1, step=0)), wb.SpaceError, ["step > 0", "got 0"]),
    "duplicate name": (new(lambda: wb.Space([F("x", 0, 1), I("x", 1, 2)])), wb.SpaceError, ["different", "'x' twice", "Rename"]),
    "empty space": (new(lambda: wb.Space([])), wb.SpaceError, ["at least one parameter", "got none", "Declare"]),
    "no choices": (new(lambda: C("c", [])), wb.SpaceError, ["at least one", "got none", "List"]),
    "choice twice": (new(lambda: C("c", ["a", "a"])), wb.SpaceError, ["different choices", "'a' twice"]),
    "unknown parent": (new(lambda: F("x", 0, 1, when={"b": True})), wb.SpaceError, ["declared before it", "got 'b'", "names are x"]),
    "no parameter": (new(lambda: wb.Space(["x"])), wb.SpaceError, ["Float('x', 0, 1)", "got 'x'", "Declare"]),  # type: ignore[list-item]
    "empty name": (new(lambda: F("", 0, 1)), wb.SpaceError, ["identifier", "got ''", "Use letters"]),
    "constraint on nothing known": (bounded("x + z <= 1"), wb.ConstraintError, ["numeric names x, y", "got 'z'"]),
    "constraint on a category": (bounded("c <= 1"), wb.ConstraintError, ["numeric names x, y", "got 'c'"]),
    "constraint with a call": (bounded("abs(x) <= 1"), wb.ConstraintError, ["+ - * / **", "a function call", "rewrite"]),
    "constraint with an import": (bounded("__import__('os') <= 1"), wb.ConstraintError, ["+ - * / **", "a function call", "rewrite"]),
    "constraint with an attribute": (bounded("x.real <= 1"), wb.ConstraintError, ["+ - * / **", "an attribute", "rewrite"]),
    "constraint with an index": (bounded("x[0] <= 1"), wb.ConstraintError, ["+ - * / **", "an index", "rewrite"]),
    "constraint of 10 kB": (bounded("x <= " + "1+" * 5_000 + "1"), wb.ConstraintError, ["at most 1000", "got 10006", "Split"]),
    "constraint in 300 brackets": (bounded("x <= " + "(" * 300 + "1" + ")" * 300), wb.ConstraintError, ["comparison", "Check brackets"]),
    "constraint without a comparison": (bounded("x + y"), wb.ConstraintError, ["comparison", "'x + y'", "<=, >= or =="]),
    "half a constraint": (bounded("x <= "), wb.ConstraintError, ["comparison", "'x <='", "Check"]),
    "constraints as text": (new(lambda: wb.Space(X, constraints="x <= 1")), wb.ConstraintError, ["a list", "one text", "Write ['x <= 1']"]),
    "infeasible constraint": (bounded("x >= 2"), wb.InfeasibleSpaceError, ["leave some point", "'x >= 2'", "Relax"]),
    "infeasible together": (bounded("x + y >= 1.5", "x + y <= 1"), wb.InfeasibleSpaceError, ["leave some point", "x + y >= 1.5", "Relax"]),
    "objective named as a parameter": (made(objectives=[wb.Objective("x")]), wb.InvalidValueError, ["not both", "x"]),
    "two objectives of a name": (made(objectives=[wb.Objective("a")] * 2), wb.ProblemError, ["its own name", "twice: a"]),
    "no objective": (made(objectives=[]), wb.ProblemError, ["at least one", "give objectives=["]),
    "objective alone": (made(objectives=wb.Objective("a")), wb.ProblemError, ["must be a list", "got Objective", "write objectives=["]),
    "objective of text": (made(objectives=["loss"]), wb.ProblemError, ["wb.Objective", "got 'loss'"]),
    "text as a measured constraint": (made(constraints=["x <= 1"]), wb.ProblemError, ["wb.Constraint", "'x <= 1'", "given to Space"]),
    "space of a list": (made(space=X), wb.InvalidValueError, ["wb.Space", "got list", "write wb.Space"]),
    "study without a name": (made(name=" "), wb.InvalidValueError, ["needs a name", "' '"]),
    "name that exists": (made(name="demo"), wb.StudyExistsError, ["'demo' exists", "load_if_exists=True", "another name"]),
    "name of another study": (made(name="demo", load_if_exists=True), wb.StudyExistsError, ["other space", "now declared", "another name"]),
    "negative seed": (made(seed=-1), wb.InvalidValueError, ["from 0", "got -1", "or None"]),
    "seed of text": (made(seed="7"), wb.InvalidValueError, ["whole number", "got '7'"]),
    "seed beyond the database": (made(seed=2**64), wb.InvalidValueError, ["whole number from 0 to", str(2**64)]),
    "budget of nothing": (made(budget=0), wb.InvalidValueError, ["from 1", "got 0"]),
    "unknown sampler": (made(sampler="soobol"), wb.UnsupportedError, ["gibbon, gp, grid", "'soobol'", "did you mean 'sobol'"]),
    "no sampler": (made(sampler=None), wb.UnsupportedError, ["gibbon, gp, grid", "got None", "wb.GPSampler()"]),
    "unknown option": (made(sampler={"name": "grid", "options": {"level": 3}}), wb.UnsupportedError, ["'grid'", "'level'"]),
    "short direction": (lambda s: wb.Objective("a", "min"), wb.ProblemError, ["'minimize' or 'maximize'", "'min'"]),  # type: ignore[arg-type]
    "target and direction": (lambda s: wb.Objective("a", "minimize", target=1), wb.ProblemError, ["a target and a direction", "alone"]),
    "negative noise": (lambda s: wb.Objective("a", noise=-1), wb.ProblemError, ["'unknown', 'none' or", "got -1"]),
    "no limit": (lambda s: wb.Constraint("a"), wb.ProblemError, ["no limit", "give upper="]),
    "swapped limits": (lambda s: wb.Constraint("a", upper=1, lower=2), wb.ProblemError, ["lower 2", "above upper 1", "swap"]),
}  # fmt: skip

ASKS: dict[str, Case] = {
    "none at all": (lambda s: s.ask(0), wb.InvalidValueError, ["from 1 to", "got 0"]),
    "number of text": (lambda s: s.ask("3"), wb.InvalidValueError, ["whole number", "got '3'"]),  # type: ignore[call-overload]
    "timeout of zero": (lambda s: s.ask(timeout=0), wb.InvalidValueError, ["seconds > 0", "got 0", "or None"]),
    "timeout nan": (lambda s: s.ask(timeout=math.nan), wb.InvalidValueError, ["seconds > 0", "nan"]),
    "endless timeout": (lambda s: s.ask(timeout=math.inf), wb.InvalidValueError, ["inf", "None for no limit"]),
    "timeout of text": (lambda s: s.ask(timeout="1"), wb.InvalidValueError, ["seconds > 0", "'1'"]),  # type: ignore[call-overload]
    "fixed name": (lambda s: s.ask(fixed={"z": 1}), wb.InvalidValueError, ["a parameter of the space", "'z'", "names are x, lr"]),
    "near name": (lambda s: s.ask(fixed={"mm": 1}), wb.InvalidValueError, ["'mm'", "did you mean 'm'"]),
    "fixed outside": (lambda s: s.ask(fixed={"x": 11}), wb.InvalidValueError, ["from 0 to 10", "got 11.0", "within the bounds"]),
    "fixed against its parent": (lambda s: s.ask(fixed={"m": 0.5, "bias": False}), wb.InvalidValueError, ["bias = True", "bias=False", "Leave m out"]),
    "fixed beyond constraints": (lambda s: s.ask(fixed={"x": 9.0, "k": 8}), wb.InfeasibleSpaceError, ["x + k <= 15", "17 > 15", "Fix other"]),
    "fixed list": (lambda s: s.ask(fixed=[1]), wb.InvalidValueError, ["fixed= is a mapping", "[1]"]),  # type: ignore[call-overload]
    "context that is none": (lambda s: s.ask(context={"x": 1}), wb.InvalidValueError, ["role='context'", "['x']", "use fixed="]),
    "near nothing": (lambda s: s.ask(near=99), wb.UnknownTrialError, ["trials: 0 to 5", "99"]),
    "near, not served": (lambda s: s.ask(2, near=0, sampler="grid"), wb.UnsupportedError, ["'grid' cannot serve near=", "Use sampler='auto'"]),
    "prefer a stranger": (lambda s: s.ask(prefer={"los": 1}), wb.InvalidValueError, ["['loss', 'speed']", "'los'"]),
    "prefer less than nothing": (lambda s: s.ask(prefer={"loss": -1}), wb.InvalidValueError, [">= 0", "-1"]),
    "prefer text": (lambda s: s.ask(prefer={"loss": "a"}), wb.InvalidValueError, ["a number", "'a'"]),  # type: ignore[dict-item]
    "unknown sampler": (lambda s: s.ask(sampler="bo"), wb.UnsupportedError, ["gibbon, gp, grid", "'bo'"]),
    "sampler for another kind": (lambda s: s.ask(2, sampler="cmaes"), wb.UnsupportedError, ["'evolutionary' cannot serve", "'mix' (Simplex)", "Use sampler='auto'"]),
    "enqueue a stranger": (lambda s: s.enqueue({"z": 1}), wb.InvalidValueError, ["a parameter of the space", "'z'", "names are"]),
    "enqueue outside": (lambda s: s.enqueue({"x": 11}), wb.InvalidValueError, ["from 0 to 10", "11.0", "within the bounds"]),
    "enqueue between steps": (lambda s: s.enqueue({"t": 20.3}), wb.InvalidValueError, ["steps of 0.5", "20.3", "nearest value is 20.5"]),
    "enqueue no choice": (lambda s: s.enqueue({"act": "gelu"}), wb.InvalidValueError, ["'relu', 'tanh'", "'gelu'", "Pass one"]),
    "enqueue nan": (lambda s: s.enqueue({"x": math.nan}), wb.InvalidValueError, ["a number from", "nan", "finite"]),
    "enqueue a wrong total": (lambda s: s.enqueue({"mix": {"a": 40, "b": 50}}), wb.InvalidValueError, ["sum to 100", "[40, 50]", "scale them"]),
    "enqueue beyond constraints": (lambda s: s.enqueue({"x": 9, "k": 8}), wb.InfeasibleSpaceError, ["x + k <= 15", "17 > 15", "Fix other"]),
    "enqueue what is inactive": (lambda s: s.enqueue({"bias": False, "m": 0.5}), wb.InvalidValueError, ["bias = True", "Leave m out"]),
    "enqueue nothing": (lambda s: s.enqueue(None), wb.InvalidValueError, ["a dict", "None", "Name the values"]),  # type: ignore[arg-type]
    "no weight above zero": (lambda s: s.ask(prefer={"loss": 0, "speed": 0.0}), wb.InvalidValueError, ["a weight above 0", "'loss'", "'loss': 0"]),
    "run without an end": (lambda s: s.optimize(one), wb.InvalidValueError, ["when to stop", "n_trials="]),  # type: ignore[arg-type]
    "run a negative number": (lambda s: s.optimize(one, -1), wb.InvalidValueError, [">= 0", "-1"]),  # type: ignore[arg-type]
    "run until a fraction": (lambda s: s.optimize(one, until=1.5), wb.InvalidValueError, ["whole number", "1.5"]),  # type: ignore[arg-type]
}  # fmt: skip

TELLS: dict[str, Case] = {
    "a missing objective": (lambda s: s.tell(1, {"loss": 1.0}), wb.InvalidValueError, ["'loss', 'speed', 'memory'", "missing: 'speed', 'memory'", "final=False"]),
    "a bare number": (lambda s: s.tell(1, 1.0), wb.InvalidValueError, ["'loss', 'speed'", "got 1.0", "mapping by name"]),
    "nothing": (lambda s: s.tell(1), wb.InvalidValueError, ["needs values", "state='failed'"]),
    "an unknown name": (lambda s: s.tell(1, {**WHOLE, "los": 1.0}), wb.InvalidValueError, ["'loss', 'speed', 'memory'", "'los'", "did you mean 'loss'"]),
    "nan": (lambda s: s.tell(1, {**WHOLE, "loss": math.nan}), wb.InvalidValueError, ["'loss' must be finite", "nan", "state='failed'"]),
    "nan of a failed trial": (lambda s: s.tell(1, {"loss": math.nan}, state="failed"), wb.InvalidValueError, ["must be finite", "leave it out", "without values"]),
    "a cost below zero": (lambda s: s.tell(1, WHOLE, cost=-5), wb.InvalidValueError, ["cost", "0 or more", "-5", "without the sign"]),
    "infinity": (lambda s: s.tell(1, {**WHOLE, "memory": -math.inf}), wb.InvalidValueError, ["'memory' must be finite", "-inf", "state='failed'"]),
    "text": (lambda s: s.tell(1, {**WHOLE, "loss": "1"}), wb.InvalidValueError, ["a number", "'1' of type str", "pass a float"]),  # type: ignore[dict-item]
    "a truth value": (lambda s: s.tell(1, {**WHOLE, "loss": True}), wb.InvalidValueError, ["a number", "True of type bool", "pass a float"]),
    "a list": (lambda s: s.tell(1, {**WHOLE, "loss": [1]}), wb.InvalidValueError, ["a number", "[1] of type list", "pass a float"]),  # type: ignore[dict-item]
    "sem without noise": (lambda s: s.tell(1, WHOLE, sem={"loss": 0.1}), wb.InvalidValueError, ["noise='none'", "0.1", "leave sem out"]),
    "sem below zero": (lambda s: s.tell(1, WHOLE, sem={"speed": -0.1}), wb.InvalidValueError, [">= 0", "-0.1", "standard deviation"]),
    "sem of a parameter": (lambda s: s.tell(1, WHOLE, sem={"x": 0.1}), wb.InvalidValueError, ["'loss', 'speed', 'memory'", "'x'"]),
    "sem nan": (lambda s: s.tell(1, WHOLE, sem={"speed": math.nan}), wb.InvalidValueError, ["finite", "nan", "leave it out"]),
    "flat gradient": (lambda s: s.tell(1, WHOLE, gradient={"x": 1}), wb.InvalidValueError, ["{objective: {parameter: slope}}", "{'x': 1}"]),
    "slope of an integer": (lambda s: s.tell(1, WHOLE, gradient={"loss": {"k": 1}}), wb.InvalidValueError, ["only a Float", "'k'", "leave it out"]),
    "slope of a constraint": (lambda s: s.tell(1, WHOLE, gradient={"memory": {"x": 1}}), wb.InvalidValueError, ["['loss', 'speed']", "'memory'", "leave it out"]),
    "infinite slope": (lambda s: s.tell(1, WHOLE, gradient={"loss": {"x": math.inf}}), wb.InvalidValueError, ["'loss' in 'x'", "finite", "inf"]),
    "number as gradient": (lambda s: s.tell(1, WHOLE, gradient=3), wb.InvalidValueError, ["a mapping", "got 3"]),  # type: ignore[arg-type]
    "cost of text": (lambda s: s.tell(1, WHOLE, cost="1"), wb.InvalidValueError, ["cost must be a number", "'1'"]),  # type: ignore[arg-type]
    "actual stranger": (lambda s: s.tell(1, WHOLE, actual={"z": 1}), wb.InvalidValueError, ["a parameter of the space", "'z'"]),
    "actual of text": (lambda s: s.tell(1, WHOLE, actual={"x": "1"}), wb.InvalidValueError, ["from 0 to 10", "'1'", "finite number"]),
    "actual inactive": (lambda s: s.attach(POINT, WHOLE, actual={"m": 0.5}), wb.InvalidValueError, ["'m'", "inactive", "leave it out"]),
    "another value": (lambda s: s.tell(0, {**WHOLE, "loss": 2.0}), wb.AlreadyTold, ["'loss': 1.0", "'loss': 2.0", "study.amend"]),
    "a value after a failure": (lambda s: s.tell(2, WHOLE), wb.AlreadyTold, ["failed with error diverged", "'loss': 1.0", "study.void"]),
    "a void trial": (lambda s: s.tell(4, WHOLE), wb.TrialStateError, ["only a running", "trial 4 is void", "study.attach"]),
    "a rejected trial": (lambda s: s.tell(5, WHOLE), wb.TrialStateError, ["only a running", "trial 5 is rejected", "study.attach"]),
    "an unknown trial": (lambda s: s.tell(99, WHOLE), wb.UnknownTrialError, ["trials 0 to 5", "99", "one of these"]),
    "trial -1": (lambda s: s.tell(-1, WHOLE), wb.UnknownTrialError, ["trials 0 to 5", "-1", "one of these"]),
    "trial of text": (lambda s: s.tell("0", WHOLE), wb.UnknownTrialError, ["a trial or its number", "'0'", "start at 0"]),  # type: ignore[arg-type]
    "a state that is none": (lambda s: s.tell(1, state="done"), wb.InvalidValueError, ["'complete', 'failed', 'infeasible' or 'pruned'", "'done'"]),
    "a state of others": (lambda s: s.tell(1, state="rejected"), wb.InvalidValueError, ["'complete', 'failed'", "'rejected'", "study.reject"]),
    "a failure with more to come": (lambda s: s.tell(1, state="failed", final=False), wb.InvalidValueError, ["final=False", "state='failed'"]),
    "an error of a complete trial": (lambda s: s.tell(1, WHOLE, error="e"), wb.InvalidValueError, ["error=", "state='failed'", "'e'"]),
    "an error object": (lambda s: s.tell(1, state="failed", error=OSError("e")), wb.InvalidValueError, ["a text", "OSError('e')", "str(error)"]),  # type: ignore[arg-type]
    "attach a part": (lambda s: s.attach(POINT, {"loss": 1}), wb.InvalidValueError, ["'loss', 'speed', 'memory'", "missing", "Give all"]),
    "attach half a point": (lambda s: s.attach({"x": 1}, WHOLE), wb.InvalidValueError, ["lr", "got nothing", "Give it a value"]),
    "attach text": (lambda s: s.attach({**POINT, "x": "1"}, WHOLE), wb.InvalidValueError, ["from 0 to 10", "'1'", "finite number"]),
    "attach no choice": (lambda s: s.attach({**POINT, "act": "gelu"}, WHOLE), wb.InvalidValueError, ["'relu', 'tanh'", "'gelu'", "Pass one"]),
    "attach what is inactive": (lambda s: s.attach({**POINT, "m": 0.5}, WHOLE), wb.InvalidValueError, ["bias = True", "0.5", "Leave it out"]),
    "amend a running trial": (lambda s: s.amend(1, values=WHOLE, reason="r"), wb.TrialStateError, ["complete trial", "trial 1 is running", "Tell"]),
    "amend a stranger": (lambda s: s.amend(0, values={"los": 1}, reason="r"), wb.InvalidValueError, ["'loss'", "'los'", "did you mean"]),
    "amend without a reason": (lambda s: s.amend(0, values={"loss": 2}, reason=" "), wb.InvalidValueError, ["a reason in words", "' '"]),
    "amend with nan": (lambda s: s.amend(0, values={"loss": math.nan}, reason="r"), wb.InvalidValueError, ["finite", "nan"]),
    "void without a reason": (lambda s: s.void(1, reason=""), wb.InvalidValueError, ["a reason in words", "''"]),
    "reject what is told": (lambda s: s.reject(0, reason="r"), wb.TrialStateError, ["running or waiting", "trial 0 is complete", "study.void"]),
    "reject nowhere": (lambda s: s.reject(1, reason="r", avoid="here"), wb.ConstraintError, ["comparison", "'here'", "<=, >= or =="]),
    "reject with a call": (lambda s: s.reject(1, reason="r", avoid="abs(x) > 3"), wb.ConstraintError, ["+ - * / **", "a function call"]),
    "reject without a reason": (lambda s: s.reject(1, reason=None), wb.InvalidValueError, ["a reason in words", "None"]),  # type: ignore[arg-type]
    "report of a told trial": (lambda s: s.trial(0).report({"loss": 1}, 0), wb.TrialStateError, ["running", "trial 0 is complete"]),
    "report nan": (lambda s: s.trial(1).report({"loss": math.nan}, 0), wb.InvalidValueError, ["finite", "nan"]),
    "report at step -1": (lambda s: s.trial(1).report({"loss": 1}, -1), wb.InvalidValueError, [">= 0", "-1"]),
    "report a stranger": (lambda s: s.trial(1).report({"los": 1}, 0), wb.InvalidValueError, ["'loss'", "'los'", "did you mean"]),
    "attribute of no JSON": (lambda s: s.trial(1).set_attr("a", object()), wb.InvalidValueError, ["JSON", "object", "convert it"]),
    "attribute without a key": (lambda s: s.trial(1).set_attr("", 1), wb.InvalidValueError, ["non-empty", "''"]),
    "file of text": (lambda s: s.files.put("a", "text", "text/plain"), wb.InvalidValueError, ["bytes", "str"]),  # type: ignore[arg-type]
    "file without a name": (lambda s: s.files.put("", b"", "text/plain"), wb.InvalidValueError, ["a name", "''"]),
    "file without a type": (lambda s: s.files.put("a", b"", ""), wb.InvalidValueError, ["'image/png'", "''"]),
    "file of no trial": (lambda s: s.files.put("a", b"", "text/plain", trial=99), wb.UnknownTrialError, ["0 to 5", "99"]),
    "no such file": (lambda s: s.files.get("a"), wb.InvalidValueError, ["no attachment 'a'"]),
}  # fmt: skip

READS: dict[str, Case] = {
    "best of two objectives": (lambda s: s.best_trial, wb.TrialStateError, ["2 objectives", "pareto_trials"]),
    "value of two objectives": (lambda s: s.trial(0).value, wb.TrialStateError, ["2 measured objectives", "trial.values"]),
    "no such parameter": (lambda s: s.trial(0)["z"], wb.InvalidValueError, ["it has x, lr", "'z'"]),
    "no such trial": (lambda s: s.trial(6), wb.UnknownTrialError, ["0 to 5", "6"]),
    "no such study": (lambda s: wb.load_study("dmo", storage=s._record.storage), wb.StudyNotFoundError, ["'dmo'", "did you mean 'demo'"]),
    "no such study to delete": (lambda s: wb.delete_study("dmo", storage=s._record.storage), wb.StudyNotFoundError, ["'dmo'", "did you mean 'demo'"]),
    "no storage": (lambda s: wb.load_study("demo", storage=3), wb.InvalidValueError, ["sqlite:///demo.db", "got 3"]),  # type: ignore[arg-type]
    "model of one trial": (lambda s: s.model().predict({"x": 1}), wb.TrialStateError, ["at least 2", "there are 1"]),
    "no bundle": (lambda s: wb.import_study("nowhere.json", storage=s._record.storage), wb.BundleError, ["nowhere.json", "No such file"]),
    "reference point in a list": (lambda s: s.set_reference([1, 2]), wb.InvalidValueError, ["a mapping by name", "{'loss': 0.0}", "[1, 2]"]),  # type: ignore[arg-type]
    "petals of a number": (lambda s: s.plot.petals(0), wb.InvalidValueError, ["petals of which trials", "[0]", "got 0"]),  # type: ignore[arg-type]
    "a ranking of a number": (lambda s: s.feedback.rank(3), wb.FeedbackError, ["groups of trials, best first", "got 3"]),  # type: ignore[arg-type]
    "attributes in a list": (lambda s: s.annotate(0, attrs=[1]), wb.InvalidValueError, ["attributes are a mapping", "got [1]"]),  # type: ignore[arg-type]
    "tags of a number": (lambda s: s.annotate(0, tags=5), wb.InvalidValueError, ["tags must be a list", "got 5"]),  # type: ignore[arg-type]
    "a table of one number": (lambda s: wb.write_table(s, "z.csv", only=3), wb.TableError, ["such as [3]", "got 3"]),  # type: ignore[arg-type]
    "costs in a list": (lambda s: wb.GPSampler("hvkg", costs=[1, 2]), wb.UnsupportedError, ["numbers above 0 by objective", "[1, 2]"]),  # type: ignore[arg-type]
    "costs of text": (lambda s: wb.GPSampler("hvkg", costs={"loss": "1"}), wb.UnsupportedError, ["numbers above 0 by objective", "'1'"]),  # type: ignore[dict-item]
    "restarts of text": (lambda s: wb.GPSampler(restarts="8"), wb.UnsupportedError, ["1 <= restarts <= raw_samples", "'8'"]),  # type: ignore[arg-type]
    "bundle into nowhere": (lambda s: s.export("/nowhere/at/all.json"), wb.BundleError, ["/nowhere/at/all.json", "No such file", "give a path"]),
}  # fmt: skip

CASES = {
    f"{group}: {name}": case
    for group, cases in (("declare", DECLARATIONS), ("ask", ASKS), ("tell", TELLS), ("read", READS))
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_says_what_and_changes_nothing(study: Study, path: Path, name: str) -> None:
    call, kind, said = CASES[name]
    before = dump(path)
    with pytest.raises(kind) as caught:
        call(study)
    message = str(caught.value)
    assert [part for part in said if part not in message] == [], message
    assert len(message) < 2_000
    assert dump(path) == before


MODELS: dict[str, Case] = {
    "weights in a list": (lambda s: s.model().recommend(prefer=[1, 2]), wb.InvalidValueError, ["prefer= is a mapping", "{'f': 1.0}", "[1, 2]"]),  # type: ignore[arg-type]
    "weights of text": (lambda s: s.model().recommend(prefer={"f": "1"}), wb.InvalidValueError, ["weights >= 0", "'1'"]),  # type: ignore[dict-item]
    "risk of text": (lambda s: s.model().recommend(risk="1"), wb.InvalidValueError, ["a finite risk", "'1'"]),  # type: ignore[arg-type]
    "a point without names": (lambda s: s.model().predict(0.5), wb.InvalidValueError, ["a mapping by name", "got 0.5"]),  # type: ignore[arg-type]
    "trade-offs of another name": (lambda s: s.plot.tradeoffs(thresholds={"q": 1}), wb.InvalidValueError, ["['f', 'g']", "['q']"]),
    "trade-offs of text": (lambda s: s.plot.tradeoffs(thresholds={"f": "a"}), wb.InvalidValueError, ["the threshold of 'f'", "'a'"]),  # type: ignore[dict-item]
    "one study beside another": (lambda s: s.plot.edf(others=s), wb.InvalidValueError, ["others= is a list of studies"]),  # type: ignore[arg-type]
    "worth of a number": (lambda s: s.model().worth_more(5), wb.InvalidValueError, ["such as [1, 5]", "got 5"]),  # type: ignore[arg-type]
    "worth of text": (lambda s: s.model().worth_more("5"), wb.InvalidValueError, ["such as [1, 5]", "got '5'"]),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_bad_input_of_a_model_says_what(name: str) -> None:
    study = wb.create_study("demo", wb.Space([F("x", 0, 1)]), [wb.Objective("f"), wb.Objective("g")], seed=1)
    for x in (0.1, 0.5, 0.8):
        study.attach({"x": x}, {"f": x, "g": (1 - x) ** 2})
    call, kind, said = MODELS[name]
    with pytest.raises(kind) as caught:
        call(study)
    assert [part for part in said if part not in str(caught.value)] == [], str(caught.value)


def test_what_steers_between_objectives_needs_several_of_them() -> None:
    study = wb.create_study("demo", wb.Space([F("x", 0, 1)]), [wb.Objective("f")], seed=1)
    for asked, said in (({"prefer": {"f": 1.0}}, "prefer= steer"), ({"thresholds": {"f": 0.1}}, "thresholds= steer")):
        with pytest.raises(wb.UnsupportedError, match=f"{said} between several measured objectives, this study has 1"):
            study.ask(**asked)  # type: ignore[arg-type]
    with pytest.raises(
        wb.UnsupportedError, match=r"'sobol' cannot serve prefer=.* Use sampler='auto'.*, or leave prefer= out$"
    ):
        study.ask(sampler="sobol", prefer={"f": 1.0})


def test_numbers_of_numpy_are_numbers() -> None:
    goal = wb.Objective("f", noise=np.float32(0.5), threshold=np.int64(3), reference=np.int32(4))  # type: ignore[arg-type]
    limit = wb.Constraint("c", upper=np.int64(3), lower=np.float16(-0.5))  # type: ignore[arg-type]
    told = (goal.noise, goal.threshold, goal.reference, limit.upper, limit.lower)
    assert told == (0.5, 3, 4, 3, -0.5)
    assert [type(number) for number in told] == [float, int, int, int, float]
    study = wb.create_study("demo", wb.Space([F("x", 0, 1)]), [goal, wb.Objective("g")], [limit], sampler="sobol")
    study.set_reference({"g": np.float32(2)})
    assert study.objectives[1].reference == 2.0  # type: ignore[union-attr]
    with pytest.raises(wb.ProblemError, match="finite number"):
        wb.Objective("f", threshold=np.bool_(True))  # type: ignore[arg-type]


def test_another_reference_point_than_that_of_the_study_is_warned_of(path: Path) -> None:
    space = wb.Space([F("x", 0, 1)])

    def declare(f: float | None, g: float | None) -> Study:
        goals = [wb.Objective("f", reference=f), wb.Objective("g", reference=g)]
        return wb.create_study("demo", space, goals, sampler="sobol", storage=path, seed=1, load_if_exists=True)

    declare(1.0, 2.0)
    declare(1.0, 2.0)
    declare(None, None)  # says nothing of it
    with pytest.warns(wb.WorkbenchWarning, match=r"keeps its reference point .*'g': 2.0.*'g': 5.0.*set_reference"):
        study = declare(1.0, 5.0)
    assert [goal.reference for goal in study.objectives] == [1.0, 2.0]  # type: ignore[union-attr]


def test_a_vectorised_run_of_which_nothing_can_be_used_says_so() -> None:
    space, goals = wb.Space([F("x", 0, 1)]), [wb.Objective("a"), wb.Objective("b")]
    study = wb.create_study("s", space, goals, seed=1, sampler="cbo")
    with pytest.warns(wb.WorkbenchWarning, match=r"none of \d+ evaluations gave a finite number for each of a, b"):
        study.optimize(lambda c: {"a": c["x"] * np.nan, "b": c["x"]}, vectorized=True, evaluations=400, progress=False)
    assert study.trials == []
    with pytest.raises(wb.InvalidValueError, match="fn must give numbers for 'a'"):
        study.optimize(lambda c: {"a": ["one"] * len(c["x"]), "b": c["x"]}, vectorized=True, evaluations=800)


def test_a_step_that_does_not_divide_its_range_warns_of_the_last_value() -> None:
    with pytest.warns(wb.WorkbenchWarning, match=r"0\.9"):
        space = wb.Space([F("x", 0.0, 1.0, step=0.3)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wb.WorkbenchWarning)  # said once is enough here
        study = wb.create_study("demo", space, GOALS, sampler="grid", seed=1)
    assert [t["x"] for t in study.ask(4)] == pytest.approx([0.0, 0.3, 0.6, 0.9], abs=1e-12)


# -- storages that refuse -----------------------------------------------------------------------

CHANGES: dict[str, Callable[[Study], object]] = {
    "ask": lambda s: s.ask(2),
    "tell": lambda s: s.tell(1, WHOLE),
    "attach": lambda s: s.attach(POINT, WHOLE),
    "enqueue": lambda s: s.enqueue({"x": 1}),
    "amend": lambda s: s.amend(0, values={"loss": 5.0}, reason="r"),
    "void": lambda s: s.void(1, reason="r"),
    "reject": lambda s: s.reject(1, reason="r"),
    "attr": lambda s: s.trial(1).set_attr("a", 1),
    "file": lambda s: s.files.put("a", b"1", "text/plain"),
    "rank": lambda s: s.feedback.rank([[0], [1]]),
    "delete": lambda s: wb.delete_study("demo", storage=s._record.storage),
}


def test_a_read_only_file_refuses_every_change_and_can_be_read(study: Study, path: Path) -> None:
    before = dump(path)
    reader = wb.load_study("demo", storage=f"sqlite:///{path}?mode=ro")
    for change in CHANGES.values():
        with pytest.raises(wb.ReadOnlyStorageError, match=r"demo\.db.*cannot be written.*leave out mode=ro"):
            change(reader)
    with pytest.raises(wb.ReadOnlyStorageError):
        wb.create_study("other", wb.Space(X), GOALS, storage=f"sqlite:///{path}?mode=ro")
    assert dump(path) == before
    assert reader.trials == study.trials


def test_a_full_disk_keeps_what_was_told(study: Study, path: Path) -> None:
    store = study._record.storage
    with store._database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    limit = f"PRAGMA max_page_count={pages}"  # holds for one connection: set it on each that is opened
    event.listen(store._database.engine, "connect", lambda driver, _: driver.execute(limit))
    store._database.engine.dispose()
    before = dump(path)
    with pytest.raises(wb.StorageFullError, match=r"demo\.db.*no room left.*free some space"):
        study.files.put("big", bytes(200_000), "text/plain")
    with pytest.raises(wb.StorageFullError, match="no room left"):
        study.tell(1, state="failed", error="x" * 200_000)
    assert dump(path) == before
    assert study.tell(1, WHOLE).state == "complete"


@pytest.mark.parametrize("content", [b"number,loss\n" * 500, b"SQLite format 3\0" + bytes(range(256)) * 40])
def test_a_corrupt_file_is_named_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    for call in (
        lambda: wb.load_study("demo", storage=path),
        lambda: wb.create_study("demo", wb.Space(X), GOALS, storage=path),
        lambda: wb.list_studies(path),
    ):
        with pytest.raises(wb.CorruptStorageError, match=r"demo\.db.*(check the path|put back)"):
            call()
    assert path.read_bytes() == content


def test_a_newer_schema_is_refused(study: Study, path: Path) -> None:
    study._record.storage.close()
    with sqlite3.connect(path) as driver:
        driver.execute("UPDATE alembic_version SET version_num = '9999'")
    driver.close()
    before = dump(path)
    with pytest.raises(wb.NewerSchemaError, match=r"demo\.db.*newer version.*9999.*upgrade"):
        wb.load_study("demo", storage=path)
    assert dump(path) == before


def test_an_exhausted_grid_says_so(path: Path) -> None:
    space = wb.Space([I("k", 1, 3), C("c", ["a", "b"])], constraints=["k <= 2"])
    study = wb.create_study("demo", space, GOALS, sampler="grid", storage=path, seed=1)
    study.ask(3)
    before = dump(path)
    with pytest.raises(wb.ExhaustedSpaceError, match=r"2 combinations were wanted, 1 are left of the 4.*more levels"):
        study.ask(2)
    assert dump(path) == before
    study.ask()
    for sampler in ("sobol", "random", "grid"):
        with pytest.raises(wb.ExhaustedSpaceError, match=r"0 are left"):
            study.ask(sampler=sampler)
