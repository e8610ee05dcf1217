"""The shell: run, resume, refuse and show, as a person and a script meet them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import workbench as wb
from workbench.cli import app, tables

SOURCE = """
import time
from dataclasses import dataclass

import workbench as wb


@dataclass(frozen=True)
class Parabola:
    name: str = "parabola"
    pause: float = 0.0
    broken: bool = False
    goals: tuple = (wb.Objective("y", noise="none", unit="mm"),)
    constraints: tuple = ()
    source: str = "here"
    optimum: float = 0.0
    space = wb.Space([wb.Float("x", 0, 1, unit="s"), wb.Categorical("c", ["[bold]a", "b"])])

    @property
    def objectives(self):
        return self.goals

    def evaluate(self, params):
        time.sleep(self.pause)
        if self.broken and params["x"] > 0.5:
            raise RuntimeError("di\\x1b[31mverged")
        values = {"y": (params["x"] - 0.25) ** 2, "z": params["x"]}
        return {goal.name: values[goal.name] for goal in (*self.goals, *self.constraints)}


def slow():
    return Parabola("slow", pause=0.05)


def broken():
    return Parabola("broken", broken=True)


def other():
    return Parabola(goals=(wb.Objective("z"),))


def two():
    return Parabola("two", goals=(wb.Objective("y"), wb.Objective("z", "maximize")))


@dataclass(frozen=True)
class Wide(Parabola):
    space = wb.Space([*Parabola.space, wb.Vector("v", 65), wb.Simplex("m", parts=3)])  # nothing here learns on it


def wide():
    return Wide("wide", goals=two().goals)


def limited():
    return Parabola("limited", constraints=(wb.Constraint("z", upper=-1.0),))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with a module of problems that is forgotten afterwards."""
    (tmp_path / "my_problems.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("my_problems", None)


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def run(*words: object, problem: str = "Parabola") -> Result:
    return call("run", f"my_problems:{problem}", "--sampler", "sobol", "--storage", "t.db", *words)


def trials(name: str = "parabola") -> list[wb.Trial]:
    return wb.load_study(name, storage="t.db").trials


# -- run ------------------------------------------------------------------------------------------


def test_run_finishes_the_trials_and_says_how_to_go_on() -> None:
    done = run("--trials", 6, "--report", "t.html")
    assert done.exit_code == 0, done.output
    best = min(trials(), key=lambda trial: trial.values["y"])
    assert len(trials()) == 6
    assert f"Best of 6 trials: number {best.number}" in done.stdout
    assert re.search(rf"y +{best.value:.4g}", done.stdout)
    assert done.stderr.count(" complete, y ") == 6
    further = re.search(r"More trials:\n +(?:\S*workbench|python\S* -m workbench|\S+) (run .*)\n", done.stdout)
    assert further is not None
    assert further[1] == ("run my_problems:Parabola --trials 11 --storage t.db --sampler sobol --report t.html")
    page = Path("t.html").read_text()
    assert "wb.load_study(&#x27;parabola&#x27;" in page
    assert "--trials 11" in page


def test_run_again_with_the_same_trials_does_nothing_and_with_more_goes_on() -> None:
    run("--trials", 3)
    before = [trial.values for trial in trials()]
    again = run("--trials", 3)
    assert again.exit_code == 0
    assert "All 3 trials are finished already, in t.db." in again.stdout
    assert "--trials 8" in again.stdout
    assert [trial.values for trial in trials()] == before
    assert "5 trials, more than asked for" in (run("--trials", 5), run("--trials", 4))[1].stdout
    straight = wb.create_study(
        "straight", wb.load_study("parabola", storage="t.db").space, [wb.Objective("y")], sampler="sobol", seed=0
    )
    assert [trial.params for trial in trials()] == [trial.params for trial in straight.ask(5)]


def test_a_study_keeps_its_seed_and_its_sampler_unless_another_is_named() -> None:
    run("--trials", 2, "--seed", 7)
    refused = run("--trials", 3, "--seed", 8)
    assert refused.exit_code == 2
    assert "has seed 7 and keeps it, got --seed 8" in refused.stderr
    assert call("run", "my_problems:Parabola", "--trials", 3, "--storage", "t.db").exit_code == 0
    call("run", "my_problems:Parabola", "--trials", 4, "--storage", "t.db", "--sampler", "random")
    study = wb.load_study("parabola", storage="t.db")
    assert study.seed == 7
    sobol = wb.create_study("s", study.space, [wb.Objective("y")], sampler="sobol", seed=7).ask(4)
    assert [trial.params for trial in study.trials[:3]] == [trial.params for trial in sobol[:3]]
    assert study.trials[3].params != sobol[3].params


def test_workers_evaluate_each_trial_once() -> None:
    done = run("--trials", 5, "--workers", 2)
    assert done.exit_code == 0, done.output
    assert [trial.value for trial in trials()] == [(trial["x"] - 0.25) ** 2 for trial in trials()]
    assert {trial.attempt for trial in trials()} == {1}


def test_a_run_that_leaves_a_trial_to_others_says_so() -> None:
    """As a pod does that was started again under another name, before the trial of its dead one may be taken over."""
    assert run("--trials", 2).exit_code == 0
    study = wb.load_study("parabola", storage="t.db")
    (row,) = study._ask(1, expires=290.0)
    with study._record.transaction("test") as tx:
        tx.update(row.number, owner=json.dumps({"host": "podA", "boot": "b", "pid": 7, "started": "1"}))
    done = run("--trials", 3)
    assert done.exit_code == 0, done.output
    assert "2 of 3 trials are finished. In flight elsewhere (podA): 2;" in done.stderr
    assert "in 5 min. The same command goes on." in done.stderr
    assert "In flight elsewhere (podA): 2;" in run("--trials", 3, "--json").stderr


def test_a_failing_evaluation_ends_with_1_and_the_same_command_goes_on() -> None:
    # the first point of Sobol with seed 0 that is above 0.5 is known once it has failed
    first = run("--trials", 6, problem="broken")
    assert first.exit_code == 1
    assert "RuntimeError: di�[31mverged" in first.stderr
    assert "\x1b" not in first.output
    failed = trials("broken")[-1]
    assert failed.state == "failed"
    assert failed["x"] > 0.5
    assert f"Trial {failed.number} failed; it is recorded as failed" in first.stderr
    assert "Traceback" in (failed.error or "")
    rest = run("--trials", 8, "--keep-going", problem="broken")
    assert rest.exit_code == 0, rest.output
    above = sum(trial["x"] > 0.5 for trial in trials("broken"))
    assert f"{above} of the 8 trials failed" in rest.stdout


@pytest.mark.parametrize("name", ["two", "limited"])
def test_a_front_or_no_feasible_trial_is_said_too(name: str) -> None:
    done = run("--trials", 4, problem=name)
    assert done.exit_code == 0, done.output
    expected = {"two": "Front of 4 trials", "limited": "Every value is over a limit."}
    assert expected[name] in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("my_problems:slwo",), "has no 'slwo'; did you mean slow"),
        (("my_problem:Parabola",), "there is no module 'my_problem'"),
        (("my_problems:Parabola", "--sampler", "sobl"), "did you mean 'sobol'"),
        (("my_problems:Parabola", "--storage", "sqlite://"), "must outlast the command"),
        (("my_problems:Parabola", "--storage", "nonsense://x"), "cannot use the database nonsense:"),
        (("my_problems:Parabola", "--report", "absent/t.html"), "folder that exists"),
        (("my_problems:Parabola", "--trials", "0"), "--trials"),
        (("my_problems:Parabola", "--workers", "none"), "--workers"),
    ],
)
def test_refusals_are_one_message_and_leave_nothing_behind(words: tuple[str, ...], message: str) -> None:
    refused = call("run", *words)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.output
    assert not list(Path.cwd().glob("*.db"))


def test_another_problem_is_refused_under_a_taken_name() -> None:
    run("--trials", 1)
    refused = run("--trials", 2, problem="other")
    assert refused.exit_code == 2
    assert "give this problem a study of its own with --study NAME" in refused.stderr
    assert run("--trials", 2, "--study", "mine", problem="other").exit_code == 0
    assert len(trials("mine")) == 2


def test_a_warning_of_the_workbench_is_a_sentence() -> None:
    done = call("run", "my_problems:wide", "--trials", 2, "--storage", "t.db")
    assert done.exit_code == 0, done.output
    assert re.search(r"^Warning: no sampler here learns from 2 objectives", done.stderr, re.MULTILINE)


# -- Ctrl-C ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_loses_nothing_and_the_same_command_goes_on(workers: int) -> None:
    words = ["run", "my_problems:slow", "--sampler", "sobol", "--storage", "t.db", "--workers", str(workers)]
    command = [sys.executable, "-m", "workbench", *words, "--trials", "200"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    seen = [process.stderr.readline() for _ in range(3)]
    os.kill(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 130, rest
    assert re.match(r"\[3/200\] trial \d complete, y ", seen[2]), seen
    finished = {trial.number: trial.values for trial in trials("slow") if trial.state == "complete"}
    assert f"Nothing is lost: {len(finished)} of 200 trials are finished and stored in t.db." in rest
    assert "Traceback" not in rest
    assert len(finished) >= 3

    wanted = len(finished) + 3
    assert call(*words, "--trials", wanted).exit_code == 0
    record = trials("slow")
    assert [trial.number for trial in record] == list(range(wanted))
    assert {str(trial.state) for trial in record} == {"complete"}
    assert {number: record[number].values for number in finished} == finished


# -- show ------------------------------------------------------------------------------------------


def test_show_prints_goals_counts_best_last_and_failures() -> None:
    run("--trials", 12, "--keep-going", problem="broken")
    shown = call("show", "broken", "--storage", "t.db")
    assert shown.exit_code == 0, shown.output
    record = trials("broken")
    failed = [trial for trial in record if trial.state == "failed"]
    for words in (
        "y [mm] (minimize, lower is better)",
        f"{12 - len(failed)} complete, {len(failed)} failed, of 12 planned",
        "Best of 12 trials",
        "Last 10 of 12 trials",
        "[bold]a",
        f"Failed or infeasible: {len(failed)}",
        f"trial {failed[-1].number} failed: RuntimeError: di�[31mverged",
    ):
        assert words in shown.stdout
    assert "\x1b" not in shown.stdout


def test_show_json_holds_the_record() -> None:
    run("--trials", 12, "--keep-going", problem="broken")
    told = json.loads(call("show", "broken", "--storage", "t.db", "--json").stdout)
    record = trials("broken")
    best = wb.load_study("broken", storage="t.db").best_trial
    assert told["finished"] == 12
    assert told["counts"] == {state: sum(trial.state == state for trial in record) for state in ("complete", "failed")}
    assert told["best"]["number"] == best.number
    assert told["best"]["params"] == best.params
    assert [trial["number"] for trial in told["last"]] == list(range(2, 12))
    assert told["front"] is None
    assert told["objectives"][0]["unit"] == "mm"
    assert "verged" in told["failures"][-1]["error"]


def test_show_json_of_several_objectives_has_the_front() -> None:
    run("--trials", 5, problem="two")
    told = json.loads(call("show", "two", "--storage", "t.db", "--json").stdout)
    front = wb.load_study("two", storage="t.db").pareto_trials
    assert told["best"] is None
    assert [trial["number"] for trial in told["front"]] == [trial.number for trial in front]


def test_show_of_a_study_that_people_judge_and_of_an_empty_one() -> None:
    space = wb.Space([wb.Float("x", 0, 1)])
    wb.create_study("taste", space, [wb.Preference("taste")], storage="t.db", sampler="sobol").enqueue({"x": 0.5})
    shown = call("show", "taste", "--storage", "t.db")
    assert shown.exit_code == 0, shown.output
    assert "judged by people" in shown.stdout
    assert "1 waiting" in shown.stdout
    wb.create_study("empty", space, [wb.Objective("y")], storage="t.db")
    assert "No trials yet." in call("show", "empty", "--storage", "t.db").stdout
    assert json.loads(call("show", "empty", "--storage", "t.db", "--json").stdout)["best"] is None


def test_show_makes_no_database_and_names_near_studies() -> None:
    absent = call("show", "parabola", "--storage", "absent.db")
    assert absent.exit_code == 2
    assert "there is no database" in absent.stderr
    assert "absent.db'" in absent.stderr
    assert not Path("absent.db").exists()
    run("--trials", 1)
    mistyped = call("show", "parabolla", "--storage", "t.db")
    assert mistyped.exit_code == 2
    assert "did you mean 'parabola'" in mistyped.stderr


# -- the command itself ------------------------------------------------------------------------------


def test_help_has_an_example_of_each_command_and_the_exit_codes() -> None:
    top = call("--help")
    assert "Exit codes: 0 done; 1" in top.stdout
    for command in ("run", "show"):
        said = call(command, "--help")
        assert said.exit_code == 0
        assert f"Example:\n    workbench {command} " in said.stdout
        assert command in top.stdout


def test_help_and_version_load_no_engine() -> None:
    code = (
        "import sys, workbench.cli as cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'scipy', 'numpy', 'sqlalchemy', 'pandas', 'plotly', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for word in ("--help", "--version"):
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - began < 5  # a tenth of a second alone; this is for a busy machine
    assert done.stdout.strip() == f"workbench {wb.__version__}"


def test_a_password_is_never_printed() -> None:
    assert tables.place("postgresql://kim:secret@host/db") == "postgresql://kim:***@host/db"
