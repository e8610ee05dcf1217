"""Studies out of databases of Optuna: real ones that Optuna makes here, and small ones made by hand."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.interchange import import_optuna
from workbench.storage import Storage
from workbench.study import Study

ROOT = Path(wb.__file__).parent.parent


def imported(*words: Any, **options: Any) -> Study:
    """Import, whatever the notes say; tests that are about them use `pytest.warns`."""
    with pytest.warns(wb.WorkbenchWarning) if options.pop("noted", False) else nullcontext():
        return import_optuna(*words, **options)


def attrs(study: Study) -> dict[str, Any]:
    return wb.trial.loads(study._record.storage.study(study.name).attrs, {})


# -- by hand: the documented layout --------------------------------------------------------------------

LAYOUT = """
CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name VARCHAR(512) NOT NULL);
CREATE TABLE version_info (version_info_id INTEGER PRIMARY KEY, schema_version INTEGER, library_version VARCHAR(256));
CREATE TABLE study_directions (study_direction_id INTEGER PRIMARY KEY, direction VARCHAR(8), study_id INTEGER,
  objective INTEGER);
CREATE TABLE study_user_attributes (study_user_attribute_id INTEGER PRIMARY KEY, study_id INTEGER, key VARCHAR(512),
  value_json TEXT);
CREATE TABLE study_system_attributes (study_system_attribute_id INTEGER PRIMARY KEY, study_id INTEGER,
  key VARCHAR(512), value_json TEXT);
CREATE TABLE trials (trial_id INTEGER PRIMARY KEY, number INTEGER, study_id INTEGER, state VARCHAR(8),
  datetime_start DATETIME, datetime_complete DATETIME);
CREATE TABLE trial_params (param_id INTEGER PRIMARY KEY, trial_id INTEGER, param_name VARCHAR(512),
  param_value FLOAT, distribution_json TEXT);
CREATE TABLE trial_values (trial_value_id INTEGER PRIMARY KEY, trial_id INTEGER, objective INTEGER, value FLOAT,
  value_type VARCHAR(7));
CREATE TABLE trial_intermediate_values (trial_intermediate_value_id INTEGER PRIMARY KEY, trial_id INTEGER,
  step INTEGER, intermediate_value FLOAT, intermediate_value_type VARCHAR(7));
CREATE TABLE trial_user_attributes (trial_user_attribute_id INTEGER PRIMARY KEY, trial_id INTEGER, key VARCHAR(512),
  value_json TEXT);
CREATE TABLE trial_system_attributes (trial_system_attribute_id INTEGER PRIMARY KEY, trial_id INTEGER,
  key VARCHAR(512), value_json TEXT);
"""

FLOAT = {"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 1.0, "log": False, "step": None}}
Params = dict[str, tuple[float, dict[str, Any]]]


def ranged(kind: str, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"name": f"{kind}Distribution", "attributes": {"low": low, "high": high, **more}}


def choice(*choices: Any) -> dict[str, Any]:
    return {"name": "CategoricalDistribution", "attributes": {"choices": list(choices)}}


class Made:
    """A database of Optuna made by hand."""

    def __init__(self, path: Path, version: str = "5.0.0") -> None:
        self.path = path
        self.db = sqlite3.connect(path)
        self.db.executescript(LAYOUT)
        self.add("version_info", 1, 12, version)
        self.count = 0

    def add(self, table: str, *values: Any) -> None:
        self.db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
        self.db.commit()

    def study(self, number: int = 1, name: str = "one", *directions: str) -> Made:
        self.add("studies", number, name)
        for i, direction in enumerate(directions or ("MINIMIZE",)):
            self.add("study_directions", None, direction, number, i)
        return self

    def trial(
        self, params: Params, *values: float | str | None, state: str = "COMPLETE", study: int = 1, **system: Any
    ) -> int:
        self.count += 1
        times = "2026-01-02 03:04:05.678901", "2026-01-02 03:04:06"
        self.add("trials", self.count, self.count - 1, study, state, *times)
        for name, (value, distribution) in params.items():
            self.add("trial_params", None, self.count, name, value, json.dumps(distribution))
        for i, value in enumerate(values):
            special = isinstance(value, str)
            self.add("trial_values", None, self.count, i, None if special else value, value if special else "FINITE")
        for key, item in system.items():
            self.add("trial_system_attributes", None, self.count, key.replace("__", ":"), json.dumps(item))
        return self.count


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    made = Made(tmp_path / "optuna.db")
    with closing(made.db):
        yield made


def test_kinds_and_names_of_every_version(made: Made) -> None:
    made.study(1, "one", "MAXIMIZE")
    params: Params = {
        "u": (0.5, ranged("Uniform", 0.0, 1.0)), "lu": (0.1, ranged("LogUniform", 1e-3, 1.0)),
        "du": (0.3, ranged("DiscreteUniform", 0.0, 1.0, q=0.1)), "iu": (5.0, ranged("IntUniform", 1, 9, step=2)),
        "il": (8.0, ranged("IntLogUniform", 1, 64, step=1)), "f": (0.25, FLOAT),
        "fl": (1e-4, ranged("Float", 1e-5, 1.0, log=True, step=None)),
        "i": (4.0, ranged("Int", 0, 9, log=False, step=1)),
        "c": (2.0, choice("a", 1, None, 2.5)), "b": (0.0, choice(True, False)), "one": (0.0, choice("only")),
    }  # fmt: skip
    made.trial(params, 1.5)
    study = imported(str(made.path))
    assert study.space == wb.Space(
        [
            wb.Float("u", 0, 1), wb.Float("lu", 1e-3, 1, log=True), wb.Float("du", 0, 1, step=0.1),
            wb.Int("iu", 1, 9, step=2), wb.Int("il", 1, 64, log=True), wb.Float("f", 0, 1),
            wb.Float("fl", 1e-5, 1, log=True), wb.Int("i", 0, 9), wb.Categorical("c", ["a", 1, None, 2.5]),
            wb.Bool("b"), wb.Categorical("one", ["only"]),
        ]
    )  # fmt: skip
    trial = study.best_trial
    wanted = {"u": 0.5, "lu": 0.1, "du": 0.3, "iu": 5, "il": 8, "f": 0.25, "fl": 1e-4, "i": 4, "c": None, "b": True}
    assert trial.params == wanted | {"one": "only"}
    assert (study.name, trial.value, study.objectives) == ("one", 1.5, (wb.Objective("value", "maximize"),))
    assert trial.started == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC).timestamp()
    assert (trial.finished, trial.origin) == (datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC).timestamp(), "attached")
    assert study.sampler.name == "auto"
    study.tell(study.ask(sampler="random"), 2.0)


def test_times_before_optuna_5_are_local(tmp_path: Path) -> None:
    made = Made(tmp_path / "old.db", "4.1.0").study()
    made.trial({"x": (0.5, FLOAT)}, 1.0)
    made.db.close()
    started = imported(f"sqlite:///{made.path}").trial(0).started
    assert started == datetime(2026, 1, 2, 3, 4, 5, 678901).timestamp()


def test_states_values_and_what_is_odd(made: Made) -> None:
    made.study(1, "one", "MINIMIZE", "MAXIMIZE")
    made.add("study_system_attributes", None, 1, "study:metric_names", '["loss", "x"]')
    made.add("study_user_attributes", None, 1, "who", '"kim"')
    x: Params = {"x": (0.5, FLOAT)}
    made.trial(x, 1.0, 2.0, constraints=[-1.0, 0.5])
    made.trial(x, 1.0, "INF_NEG", constraints__mem=float("nan"))
    made.trial(x, state="FAIL", fail_reason="boom")
    made.trial({}, state="FAIL")
    made.trial(x, state="RUNNING")
    made.trial({}, state="WAITING", fixed_params={"x": 0.125})
    made.trial(x, 3.0, 4.0, state="PRUNED")
    for step, value, kind in ((0, 0.5, "FINITE"), (1, None, "NAN"), (7, 0.25, "FINITE")):
        made.add("trial_intermediate_values", None, 7, step, value, kind)
    made.add("trial_user_attributes", None, 1, "lot", '{"a": [1, NaN, 99999999999999999999999]}')
    study = imported(made.path, noted=True)
    assert [goal.name for goal in study.objectives] == ["loss", "x_objective"]
    assert study.constraints == tuple(wb.Constraint(name, upper=0.0) for name in ("c0", "c1", "mem"))
    states = ["complete", "failed", "failed", "running", "waiting", "pruned"]
    assert [str(t.state) for t in study.trials] == states
    first, infinite, failed, running, waiting, pruned = study.trials
    assert first.values == {"loss": 1.0, "x_objective": 2.0, "c0": -1.0, "c1": 0.5}
    assert first.attrs == {"lot": {"a": [1, "nan", "99999999999999999999999"]}}
    assert (infinite.values, infinite.error) == ({"loss": 1.0}, "Optuna recorded x_objective = -inf")
    assert failed.error == "boom"
    assert (running._row.owner, running._row.expires, running.attrs) == (None, None, {"optuna:number": 4})
    assert (waiting.params, waiting.origin, waiting.started) == ({"x": 0.125}, "enqueued", None)
    assert pruned.attrs == {"optuna:number": 6, "optuna:intermediate": {"1": "nan"}}
    assert [(r.step, r.objective, r.value) for r in study.history().reports] == [(0, "loss", 0.5), (7, "loss", 0.25)]
    kept = attrs(study)
    assert kept["who"] == "kim"
    assert [(left["number"], left["state"]) for left in kept["optuna:left_out"]] == [(3, "FAIL")]
    assert any("trial 1 was complete with x_objective = -inf" in note for note in kept["optuna:notes"])
    assert study.ask(sampler="random").number == waiting.number
    copy = wb.import_study(study.export(made.path.with_suffix(".json")))
    assert len(copy.trials) == 6


def test_several_studies(made: Made) -> None:
    made.study(1, "one").study(2, "two")
    made.trial({"x": (0.5, FLOAT)}, 1.0)
    made.trial({"y": (0.5, FLOAT)}, 2.0, study=2)
    with pytest.raises(wb.StudyNotFoundError, match="holds 2 studies: 'one', 'two'; pass study="):
        import_optuna(str(made.path))
    with pytest.raises(wb.StudyNotFoundError, match=r"no study 'twoo'; did you mean 'two'\?.*'one', 'two'"):
        import_optuna(str(made.path), study="twoo")
    store = Storage()
    study = imported(str(made.path), study="two", storage=store, name="mine")
    assert (study.name, study.trial(0).params) == ("mine", {"y": 0.5})
    with pytest.raises(wb.StudyExistsError, match="'mine' exists already"):
        import_optuna(str(made.path), study="one", storage=store, name="mine")
    assert [s.name for s in wb.list_studies(store)] == ["mine"]


def test_ranges_that_differ_between_trials(made: Made) -> None:
    made.study()
    made.trial({"x": (0.5, FLOAT), "n": (4.0, ranged("Int", 2, 8, step=2)), "s": (0.5, ranged("Float", 0, 1, step=0.5)),
                "k": (3.0, ranged("Int", 3, 3, step=1))}, 1.0)  # fmt: skip
    made.trial({"x": (7.0, ranged("Float", 0.5, 9.0, log=True)), "n": (9.0, ranged("Int", 6, 12, step=3)),
                "s": (0.75, ranged("Float", 0, 1, step=0.25)),
                "k": (3.0, ranged("Int", 3, 3, step=1))}, 1.0)  # fmt: skip
    study = imported(str(made.path), noted=True)
    assert study.space == wb.Space(
        [wb.Float("x", 0, 9), wb.Int("n", 2, 12), wb.Float("s", 0, 1), wb.Categorical("k", [3])]
    )
    assert study.trial(1).params == {"x": 7.0, "n": 9, "s": 0.75, "k": 3}


def test_values_beyond_their_range_are_kept_as_data(made: Made) -> None:
    made.study()
    made.trial({"x": (5.0, FLOAT), "lr": (0.0, ranged("Float", 1e-3, 1.0, log=True))}, 1.0)
    study = imported(str(made.path), noted=True)
    assert study.trial(0).params == {"x": 5.0, "lr": 0.0}
    assert not study.space["lr"].log  # type: ignore[attr-defined]


def test_names_and_choices_that_cannot_stand_as_they_are(made: Made) -> None:
    made.study()
    names = ["learning rate", "learning-rate", "learning_rate", "class", "1st", "value", "µ"]
    odd: Params = {"lists": (1.0, choice([1, 2], [3])), "same": (0.0, choice(1, True))}
    made.trial(dict.fromkeys(names, (0.5, FLOAT)) | odd, 1.0)
    study = imported(str(made.path), noted=True)
    assert study.space.names == (
        "learning_rate_2", "learning_rate_3", "learning_rate", "p_class", "p_1st", "value", "µ", "lists", "same"
    )  # fmt: skip
    assert study.space["p_class"].description == "class"
    assert (study.trial(0)["lists"], study.trial(0)["same"]) == ("[3]", "1")
    assert study.trial(0).values == {"value_objective": 1.0}


SGD, ADAM = choice("adam", "sgd", "lbfgs"), 0.0


def test_conditions_are_found(made: Made) -> None:
    made.study()
    layers = ranged("Int", 1, 4, step=1)
    for optimizer, n in ((0, 1), (1, 2), (0, 3), (1, 1), (0, 2)):
        params: Params = {"opt": (optimizer, SGD), "n": (n, layers)}
        if optimizer == 1:
            params |= {"momentum": (0.5, FLOAT), "nesterov": (0.0, choice(True, False))}
        for i in range(n):
            params[f"units{i}"] = (8.0, ranged("Int", 1, 64, step=1))
        made.trial(params, 1.0)
    made.trial({"opt": (1.0, SGD)}, state="FAIL")  # ended before the rest was drawn: says nothing about them
    study = imported(str(made.path), noted=True)
    when = {name: study.space[name].when for name in study.space.names if study.space[name].when}
    assert when == {
        "momentum": {"opt": ("sgd",)}, "nesterov": {"opt": ("sgd",)},
        "units1": {"n": (2, 3, 4)}, "units2": {"n": (3, 4)},
    }  # fmt: skip
    assert len(study.trials) == 5
    notes = attrs(study)["optuna:notes"]
    assert any("momentum is taken to exist only with opt = 'sgd' (never tried" in note for note in notes)


def test_what_nothing_explains_is_filled_or_refused(made: Made) -> None:
    made.study()
    made.trial({"opt": (1.0, SGD), "x-y": (0.5, FLOAT)}, 1.0)
    made.trial({"opt": (1.0, SGD)}, 2.0)
    store = Storage()
    with pytest.raises(wb.SpaceError, match=r"'x-y' \(not in trial 1\).*fill=\{'x-y': \.\.\.\}"):
        import_optuna(str(made.path), storage=store)
    assert wb.list_studies(store) == []
    with pytest.raises(wb.InvalidValueError, match=r"fill= names \['z'\]; the parameters are 'opt', 'x-y'"):
        import_optuna(str(made.path), fill={"z": 1})
    study = imported(str(made.path), fill={"x-y": 0.25}, noted=True)
    assert [t["x_y"] for t in study.trials] == [0.5, 0.25]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("UPDATE trial_params SET distribution_json = '{'", "is damaged, or of a version"),
        (
            'UPDATE trial_params SET distribution_json = \'{"name": "Other", "attributes": {"low":0,"high":1}}\'',
            "Other",
        ),
        (
            "UPDATE trial_params SET distribution_json = '" + json.dumps(choice("a")) + "', param_value = 5",
            "IndexError",
        ),
        (
            "ALTER TABLE trial_values DROP COLUMN value_type",
            "trial_values has no value_type. Run `optuna storage upgrade",
        ),
        ("DROP TABLE trial_params", "no database of Optuna; its tables: studies"),
    ],
)
def test_a_damaged_database(made: Made, edit: str, said: str) -> None:
    made.study()
    made.trial({"x": (0.5, FLOAT)}, 1.0)
    made.db.execute(edit)
    made.db.commit()
    store = Storage()
    with pytest.raises(wb.StorageError, match=said):
        import_optuna(str(made.path), storage=store)
    assert wb.list_studies(store) == []


def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(wb.StorageError, match="there is no database"):
        import_optuna(str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text.db").write_text("no database at all, but long enough to be looked at" * 20)
    with pytest.raises(wb.StorageError, match="cannot read"):
        import_optuna(str(tmp_path / "text.db"))
    with pytest.raises(wb.StorageError, match="install the driver"):
        import_optuna("mysql+nosuchdriver://host/db")
    with pytest.raises(wb.InvalidValueError, match="url must be"):
        import_optuna(3)  # type: ignore[arg-type]


def test_a_study_without_trials(made: Made) -> None:
    made.study()
    with pytest.raises(wb.SpaceError, match="no trial of this study has parameters"):
        import_optuna(str(made.path))


# -- by Optuna ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer() -> Path:
    """The interpreter of the environment that has Optuna."""
    python = Path(os.environ.get("WORKBENCH_PEERS", ROOT / ".venv-peers" / "bin" / "python"))
    if not python.exists():
        said = f"no Optuna at {python}: `make peers` makes its environment, or name its python in WORKBENCH_PEERS"
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    return python


REAL = """
import json, math, sys, warnings
import optuna
warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
url = sys.argv[1]

def objective(t):
    x = t.suggest_float("x", -5, 5)
    t.suggest_float("lr", 1e-5, 1e-1, log=True)
    t.suggest_float("s", 0, 1, step=0.1)
    t.suggest_int("k", 1, 64, log=True)
    n = t.suggest_int("n layers", 2, 10, step=2)
    kind = t.suggest_categorical("kind", ["a", 1, None, 2.5])
    if t.suggest_categorical("bias", [True, False]):
        t.suggest_float("scale", 0, t.number + 1)
    if t.number == 3:
        raise ValueError("boom")
    t.set_user_attr("lot", {"a": [1, float("nan")]})
    for i in range(4):
        t.report(float("nan") if i == 1 else x + i, i)
    t.set_constraint("mem", x - 1)
    if t.number == 2:
        raise optuna.TrialPruned
    return math.inf if t.number == 4 else x * x

one = optuna.create_study(storage=url, study_name="one", direction="maximize", sampler=optuna.samplers.RandomSampler(1))
one.set_user_attr("who", "kim")
one.set_metric_names(["acc"])
one.optimize(objective, n_trials=30, catch=(ValueError,))
one.enqueue_trial({"x": 0.25, "k": 3})
two = optuna.create_study(
    storage=url, study_name="two", directions=["minimize", "maximize"],
    sampler=optuna.samplers.NSGAIISampler(seed=1, constraints_func=lambda t: [t.params["x"] - 0.5, -1.0]),
)
two.optimize(lambda t: (t.suggest_float("x", 0, 1), t.suggest_int("n", 1, 3)), n_trials=8)
two.ask({"x": optuna.distributions.FloatDistribution(0, 1), "n": optuna.distributions.IntDistribution(1, 3)})
frozen = {
    study.study_name: [
        {
            "state": t.state.name, "params": t.params, "values": t.values if t.state.name != "FAIL" else None,
            "start": t.datetime_start and t.datetime_start.timestamp(), "constraints": t.constraints,
            "reports": {k: v for k, v in t.intermediate_values.items() if math.isfinite(v)},
        }
        for t in study.trials
    ]
    for study in (one, two)
}
print(json.dumps(frozen))
"""


@pytest.mark.slow
def test_a_real_database(peer: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'real.db'}"
    done = subprocess.run([peer, "-c", REAL, url], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    frozen = json.loads(done.stdout.splitlines()[-1])
    one, two = (imported(url, study=name, noted=name == "one", storage=tmp_path / "ours.db") for name in ("one", "two"))
    assert [str(t.state) for t in one.trials] == [
        "complete", "complete", "pruned", "failed", "failed", *["complete"] * 25, "waiting"
    ]  # fmt: skip
    assert one.space["scale"].when == {"bias": (True,)}
    assert one.space["n_layers"].description == "n layers"
    for study, trials in ((one, frozen["one"][:30]), (two, frozen["two"])):
        names = {"n layers": "n_layers"}
        assert len(study.trials) >= len(trials)
        for mine, theirs in zip(study.trials, trials, strict=False):
            assert mine.params == {names.get(k, k): pytest.approx(v, rel=1e-15) if isinstance(v, float) else v
                                   for k, v in theirs["params"].items()}  # fmt: skip
            assert mine.started == pytest.approx(theirs["start"], abs=1e-5)
            measured = [mine.values.get(goal.name) for goal in study.objectives]
            if theirs["state"] in ("COMPLETE", "PRUNED") and str(mine.state) != "failed":
                assert measured == theirs["values"]
            limits = [v for k, v in mine.values.items() if k in {limit.name for limit in study.constraints}]
            assert limits == list(theirs["constraints"].values())
            reports = {str(r.step): r.value for r in study.history().reports if r.number == mine.number}
            assert reports == theirs["reports"]
    assert [limit.name for limit in two.constraints] == ["c0", "c1"]
    assert [goal.direction for goal in two.objectives] == ["minimize", "maximize"]
    assert str(two.trials[-1].state) == "running"
    assert one.trials[-1].params["k"] == 3
    assert one.ask(2, sampler="random")[0].number == 30
    wb.import_study(one.export(tmp_path / "one.json"))
