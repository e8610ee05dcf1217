"""The shell and files: list, create, export, import, delete, bench."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import workbench as wb
from workbench.cli import app

SPACE = wb.Space([wb.Float("x", 0, 1, unit="mm"), wb.Int("n", 1, 4)])


def call(*words: object, **more: Any) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], **more)


def ok(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.output


def made(name: str = "s", n: int = 3) -> wb.Study:
    study = wb.create_study(name, SPACE, [wb.Objective("loss")], sampler="sobol", seed=1, storage="t.db", budget=9)
    for trial in study.ask(n):
        study.tell(trial, trial["x"], sem=0.125)
    study.annotate(0, note="first", tags=["a"])
    return study


def test_studies_are_listed() -> None:
    made()
    made("other", 1)
    text = ok("studies", "--storage", "t.db")
    assert "other" in text
    assert "3 of 9" in text
    assert "3 complete" in text
    listed = json.loads(ok("studies", "--storage", "t.db", "--json"))
    assert [(s["name"], s["counts"], s["goals"], s["sampler"]) for s in listed] == [
        ("s", {"complete": 3}, ["loss"], "sobol"),
        ("other", {"complete": 1}, ["loss"], "sobol"),
    ]


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_a_table_goes_out_and_comes_back(suffix: str) -> None:
    study = made()
    ok("export", "s", f"s.{suffix}", "--storage", "t.db")
    wb.create_study("copy", SPACE, [wb.Objective("loss")], storage="t.db", sampler="sobol", seed=2)
    assert "Read 3 trials" in ok("import", f"s.{suffix}", "--study", "copy", "--storage", "t.db")
    copy = wb.load_study("copy", storage="t.db")
    for part in ("X", "Y", "sem"):
        np.testing.assert_array_equal(getattr(copy.history(), part), getattr(study.history(), part))
    assert copy.trials[0].note == "first"
    assert copy.trials[0].tags == ["a"]


def test_a_foreign_table_with_its_own_titles_and_commas() -> None:
    made()
    Path("lab.csv").write_text("Dicke (mm);Lagen;Verlust;Prüfer\n0,5;2;1,25;kim\n0,25;3;0,75;lee\n")
    result = call("import", "lab.csv", "--study", "s", "--storage", "t.db")
    assert result.exit_code == 2
    assert "Dicke (mm)" in result.stderr
    columns = ["--column", "Dicke (mm)=x", "--column", "Lagen=n", "--column", "Verlust=loss", "--column", "Prüfer="]
    said = json.loads(ok("import", "lab.csv", "--study", "s", "--storage", "t.db", "--json", *columns))
    assert said == {"study": "s", "storage": "t.db", "trials": 2}
    assert [t.value for t in wb.load_study("s", storage="t.db").trials[3:]] == [1.25, 0.75]


def test_a_bundle_goes_out_and_comes_back_whole() -> None:
    study = made()
    study.files.put("a.txt", b"abc", "text/plain", trial=0)
    ok("export", "s", "s.json", "--storage", "t.db")
    ok("import", "s.json", "--storage", "u.db", "--name", "again")
    copy = wb.load_study("again", storage="u.db")
    assert copy.history().rows[0]._replace(revision=0) == study.history().rows[0]._replace(revision=0)
    assert copy.files.get("a.txt") == b"abc"


def test_delete_asks_first_or_is_told() -> None:
    made()
    assert call("delete", "s", "--storage", "t.db").exit_code == 2
    assert [s.name for s in wb.list_studies("t.db")] == ["s"]
    assert json.loads(ok("delete", "s", "--yes", "--json", "--storage", "t.db")) == {"deleted": "s", "trials": 3}
    assert wb.list_studies("t.db") == []
    assert call("delete", "s", "--yes", "--storage", "t.db").exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "s", "s.txt"], ".json, .csv or .xlsx"),
        (["import", "s.csv"], "--study NAME"),
        (["import", "none.json"], "cannot read"),
        (["import", "optuna"], "say which database"),
        (["import", "s.json", "sqlite:///a.db"], "a URL goes with"),
        (["import", "optuna", "sqlite:///none.db"], "none.db"),
    ],
)
def test_refusals(words: list[str], said: str) -> None:
    made()
    Path("s.csv").write_text("x,n,loss\n0.5,2,1\n")
    result = call(*words, "--storage", "t.db")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert said in result.stderr


def test_create_run_and_the_total() -> None:
    reference = "problems.synthetic:branin"
    created = json.loads(ok("create", reference, "--sampler", "sobol", "--seed", 3, "--storage", "t.db", "--json"))
    assert (created["name"], created["counts"], created["seed"]) == ("branin", {}, 3)
    for total in (3, 3, 5):
        said = json.loads(call("run", reference, "--trials", total, "--storage", "t.db", "--json").stdout)
        assert said["finished"] == total
    assert call("create", reference, "--storage", "t.db").exit_code == 2


def test_a_run_that_goes_on_says_nothing_of_python() -> None:
    words = ["run", "problems.synthetic:branin", "--sampler", "sobol", "--storage", "t.db", "--trials"]
    ok(*words, 3)
    result = call(*words, 5)
    assert result.exit_code == 0
    assert "Warning" not in result.stderr
    assert "5 complete" in ok("show", "branin", "--storage", "t.db")


def test_baseline_and_pruner_by_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    Path("limited.py").write_text(LIMITED)
    ok("create", "limited:Limited", "--baseline", "x=0.5", "--pruner", "median", "--storage", "t.db")
    text = ok("show", "limited", "--storage", "t.db")
    assert "1.05 * baseline <= q" in text
    assert "baseline x = 0.5" in text
    assert "pruner   median" in text
    ok("ask", "limited", "--storage", "t.db")
    ok("tell", "limited", 0, "y=1", "q=2", "--storage", "t.db")
    study = wb.load_study("limited", storage="t.db")
    assert study.history().baseline == {"y": 1.0, "q": 2.0}
    sys.modules.pop("limited", None)


LIMITED = """
import workbench as wb

class _Limited:
    name, source, optimum = "limited", "here", None
    space = wb.Space([wb.Float("x", 0, 1)])
    objectives = (wb.Objective("y"),)
    constraints = (wb.Constraint("q", lower="1.05 * baseline"),)
    def evaluate(self, params):
        return {"y": params["x"], "q": 1.0}

def Limited():
    return _Limited()
"""


def test_a_trial_that_runs_too_long_is_ended() -> None:
    Path("sleepy.py").write_text(SLEEPY)
    words = ["run", "sleepy:sleepy", "--trials", "1", "--trial-timeout", "0.5", "--keep-going", "--sampler", "sobol"]
    result = subprocess.run(
        [sys.executable, "-m", "workbench", *words, "--storage", "t.db"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    trial = wb.load_study("sleepy", storage="t.db").trials[0]
    assert trial.state == "failed"
    assert "timeout" in (trial.error or "")


SLEEPY = """
import time
import workbench as wb

class Sleepy:
    name, source, optimum = "sleepy", "here", None
    space = wb.Space([wb.Float("x", 0, 1)])
    objectives = (wb.Objective("y"),)
    constraints = ()
    def evaluate(self, params):
        time.sleep(60)
        return {"y": 1.0}

sleepy = Sleepy()
"""


@pytest.mark.slow
def test_bench_compares_and_reports(tmp_path: Path) -> None:
    words = ["bench", "problems.synthetic:branin", "--sampler", "sobol", "--sampler", "random"]
    words += ["--seeds", "2", "--evaluations", "8", "--into", "runs", "--report", "b.html"]
    text = ok(*words)
    assert "branin" in text
    assert "sobol" in text
    assert Path("b.html").stat().st_size > 10_000
    said = json.loads(ok(*words, "--json"))
    assert {row["contestant"] for row in said["rows"]} == {"sobol", "random"}
    assert said["failed"] == []
