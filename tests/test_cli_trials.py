"""The shell, one trial at a time: what Python's ask, tell and their neighbours do, typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import workbench as wb
from workbench.cli import app

SPACE = wb.Space(
    [
        wb.Float("x", 0, 1, unit="mm"),
        wb.Int("n", 1, 4),
        wb.Categorical("c", ["a", "1"]),
        wb.Bool("on"),
        wb.Simplex("mix", names=["p", "q"]),
        wb.Float("t", 0, 10, step=0.5),
    ]
)
GOALS = [wb.Objective("loss", unit="g"), wb.Objective("speed", "maximize")]
POINT = ["x=0.5", "n=2", "c=1", "on=yes", 'mix={"p": 0.25, "q": 0.75}', "t=2.5"]
PARAMS = {"x": 0.5, "n": 2, "c": "1", "on": True, "mix": {"p": 0.25, "q": 0.75}, "t": 2.5}


@pytest.fixture(autouse=True)
def made(tmp_path: Path) -> wb.Study:
    return wb.create_study("s", SPACE, GOALS, sampler="sobol", seed=1, storage="t.db")


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def ok(*words: object) -> str:
    result = call(*words, "--storage", "t.db")
    assert result.exit_code == 0, result.output
    return result.output


def as_json(*words: object) -> Any:
    return json.loads(ok(*words, "--json"))


def study() -> wb.Study:
    return wb.load_study("s", storage="t.db")


def test_ask_and_tell() -> None:
    text = ok("ask", "s")
    assert "Trial 0, running" in text
    assert "tell s 0 loss=… speed=… --storage t.db" in text
    told = ok("tell", "s", 0, "loss=0.42", "speed=3", "--sem", "loss=0.05", "--cost", "2.5", "--actual", "t=2.3")
    assert "Trial 0, complete" in told
    assert "0.42 ± 0.05" in told
    trial = study().trials[0]
    assert (trial.values, trial.sem, trial.cost) == ({"loss": 0.42, "speed": 3.0}, {"loss": 0.05}, 2.5)
    assert trial.actual == {"t": 2.3}


def test_ask_for_several_as_json_with_wishes() -> None:
    found = as_json("ask", "s", "-n", 3, "--fixed", "c=a", "--fixed", "n=3", "--sampler", "random")
    assert [trial["number"] for trial in found] == [0, 1, 2]
    assert all(trial["params"]["c"] == "a" and trial["params"]["n"] == 3 for trial in found)
    near = as_json("ask", "s", "--near", 1, "--timeout", 5)[0]
    assert abs(near["params"]["x"] - found[1]["params"]["x"]) <= 0.1
    assert near["params"]["c"] == "a"


def test_results_in_parts_and_other_ends() -> None:
    ok("ask", "s", "-n", 4)
    assert as_json("tell", "s", 0, "loss=1", "--more")["state"] == "running"
    assert as_json("tell", "s", 0, "speed=2")["values"] == {"loss": 1.0, "speed": 2.0}
    failed = as_json("tell", "s", 1, "--state", "failed", "--error", "pump stopped")
    assert (failed["state"], failed["error"]) == ("failed", "pump stopped")
    assert as_json("tell", "s", 2, "--state", "infeasible", "--reason", "too thick")["reason"] == "too thick"
    assert as_json("tell", "s", 3, "--state", "pruned")["state"] == "pruned"


def test_attach_enqueue_and_every_kind_of_value() -> None:
    assert as_json("attach", "s", *POINT, "loss=1", "speed=2")["params"] == PARAMS
    assert as_json("enqueue", "s", *POINT[:2])["state"] == "waiting"
    assert as_json("ask", "s")[0]["params"]["x"] == 0.5
    assert study().trials[1].state == "running"


def test_amend_void_reject_annotate() -> None:
    ok("attach", "s", *POINT, "loss=1", "speed=2")
    assert as_json("amend", "s", 0, "loss=0.1", "--reason", "digits swapped")["values"]["loss"] == 0.1
    ok("ask", "s")
    rejected = as_json("reject", "s", 1, "--reason", "too hot", "--avoid", "x > 0.1")
    assert (rejected["state"], rejected["reason"]) == ("rejected", "too hot")
    assert all(trial["params"]["x"] <= 0.1 for trial in as_json("ask", "s", "-n", 3))
    assert as_json("void", "s", 0, "--reason", "wrong sample")["state"] == "void"
    noted = as_json("annotate", "s", 2, "--note", "foamed", "--tag", "a", "--tag", "b", "--attr", "lot=B7")
    assert (noted["note"], noted["tags"], noted["attrs"]) == ("foamed", ["a", "b"], {"lot": "B7"})
    assert "nothing is noted" in ok("annotate", "s").lower()
    about = as_json("annotate", "s", "--note", "autumn", "--attr", "n=3")
    assert about == {"note": "autumn", "tags": [], "attrs": {"n": 3}}
    assert "note     autumn" in ok("show", "s")


def test_numbers_are_read_as_people_write_them() -> None:
    point = ["x=.5", "n=+2", "c=1", "on=yes", 'mix={"p": 0.25, "q": 0.75}', "t=+2.50"]
    trial = as_json("attach", "s", *point, "loss=1.", "speed=-.5")
    assert trial["params"] == PARAMS
    assert trial["values"] == {"loss": 1.0, "speed": -0.5}
    assert as_json("ask", "s", "--fixed", "x=1.")[0]["params"]["x"] == 1.0
    assert as_json("ask", "s", "--fixed", "x=.25e0")[0]["params"]["x"] == 0.25


def test_several_objectives_are_steered_and_decided_on_in_the_shell(tmp_path: Path) -> None:
    goals = [wb.Objective("loss", noise="none"), wb.Objective("gain", "maximize", noise="none")]
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1)])
    s = wb.create_study("two", space, goals, sampler="gp", seed=1, storage="t.db")
    for x, y in space.sobol(8, 0).tolist():
        s.attach({"x": x, "y": y}, {"loss": x + (y - 0.4) ** 2, "gain": x**0.5})
    cheap = as_json("ask", "two", "--prefer", "loss=1", "--prefer", "gain=0")[0]
    dear = as_json("ask", "two", "--prefer", "loss=0", "--prefer", "gain=1")[0]
    assert cheap["params"]["x"] < 0.2
    assert dear["params"]["x"] > 0.8
    inside = as_json("ask", "two", "--threshold", "loss=0.3", "--threshold", "gain=0.4")[0]
    assert 0.1 < inside["params"]["x"] < 0.35  # gain >= 0.4 from x = 0.16 on
    assert "--prefer" in call("ask", "two", "--prefer", "loss", "--storage", "t.db").output
    told = ok("reference", "two", "loss=1.5")
    assert "loss = 1.5, gain = " in told
    assert "(automatic)" in told
    assert as_json("reference", "two", "loss=1.5", "gain=0") == {"loss": 1.5, "gain": 0.0}
    again = wb.load_study("two", storage="t.db")
    assert again.history().reference.tolist() == [-1.5, 0.0]
    assert "(automatic), gain" in ok("reference", "two")
    best = again.pareto_trials[0].number
    assert f"Trial {best}, complete" in ok("choose", "two", best, "--reason", "stiff enough")
    assert f"trial {best}" in ok("show", "two", "--report", tmp_path / "two.html")
    assert as_json("show", "two")["chosen"] == best
    page = (tmp_path / "two.html").read_text()
    assert "Trade-offs" in page
    assert "What the model says" in page


def test_remedies_are_what_one_types() -> None:
    ok("ask", "s")
    for words, said in (
        (("tell", "s", 0, "loss=1"), "add --more if more is to come"),
        (("tell", "s", 0, "loss=nan", "speed=1"), "with --state failed and without values"),
        (("ask", "s", "--prefer", "loss=0"), "--prefer takes a weight above 0"),
        (("ask", "s", "--sampler", "nsga2", "--threshold", "loss=0"), "Use --sampler auto, which"),
        (("ask", "s", "--context", "x=0.5"), "use --fixed"),
    ):
        assert said in " ".join(call(*words, "--storage", "t.db").output.split())


def test_one_objective_needs_no_name() -> None:
    wb.create_study("one", SPACE, [wb.Objective("loss")], sampler="sobol", seed=1, storage="t.db")
    ok("ask", "one")
    assert as_json("tell", "one", 0, "0.5")["values"] == {"loss": 0.5}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tell", "s", 0, "loss"], "NAME=VALUE"),
        (["tell", "s", 0, "loss=1", "loss=2"], "twice"),
        (["tell", "s", 0, "loss=1,5", "speed=1"], "decimal point"),
        (["tell", "s", 0, "los=1", "speed=1"], "did you mean 'loss'"),
        (["tell", "s", 0, "loss=1"], "missing: 'speed'"),
        (["tell", "s", 9, "loss=1", "speed=1"], "no trial 9"),
        (["ask", "s", "--fixed", "y=1"], "expected a parameter"),
        (["ask", "s", "--fixed", "x=big"], "expected a number"),
        (["ask", "s", "--near", 7], "no trial 7"),
        (["attach", "s", "x=0.5", "loss=1", "speed=2"], "Give it a value"),
        (["amend", "s", 0, "loss=1", "--reason", "x"], "only a complete trial"),
        (["reject", "s", 0, "--reason", "x", "--avoid", "z > 1"], "z"),
        (["ask", "none"], "no study 'none'"),
    ],
)
def test_refusals_are_one_sentence_and_change_nothing(words: list[Any], said: str) -> None:
    ok("ask", "s")
    before = study().history().revision
    result = call(*words, "--storage", "t.db")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert study().history().revision == before


def test_every_command_has_help_with_an_example() -> None:
    listed = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]
    expected = (
        "run create ui studies show export import delete bench ask tell attach enqueue amend void reject choose "
        "reference annotate"
    )
    assert listed == expected.split()
    for name in listed:
        text = call(name, "--help").output
        assert "Example:" in text
        assert f"workbench {name} " in text
        assert "--json" in text or name == "ui"  # which opens pages and prints nothing to read


def test_names_are_completed() -> None:
    wb.create_study("second", SPACE, GOALS, storage="workbench.db")
    for words, wanted in (("workbench ask se", "second"), ("workbench ask second --sampler so", "sobol")):
        runner = CliRunner(env={"_WORKBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "-1"})
        env = {"COMP_CWORD": str(len(words.split()) - 1)}
        result = runner.invoke(app, [], prog_name="workbench", env=env)
        assert result.output.split() == [wanted]
