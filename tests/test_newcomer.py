"""What a newcomer meets at the three doors: a backup of a study at work, what was really set, numbers of numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import workbench as wb
from workbench.cli import app
from workbench.interchange import read_table, write_table
from workbench.storage import reading

SPACE = wb.Space([wb.Float("x", 0, 10), wb.Bool("b"), wb.Float("m", 0, 1, when={"b": True})])


def made(**options: object) -> wb.Study:
    return wb.create_study("s", SPACE, [wb.Objective("y")], **({"sampler": "sobol", "seed": 0} | options))


def call(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def test_a_bundle_is_of_one_moment_whoever_writes_meanwhile(tmp_path, monkeypatch):
    study = made(storage=tmp_path / "s.db")
    study.tell(study.ask(), 1.0)
    usual = reading.all_questions

    def meanwhile(connection, study_id):  # somebody works on while the file is written
        monkeypatch.setattr(reading, "all_questions", usual)
        other = wb.load_study("s", storage=tmp_path / "s.db")
        trial = other.ask()
        other.files.put("photo", b"x", "image/png", trial=trial)
        other.tell(trial, 2.0)
        other.amend(trial, values=3.0, reason="typo")
        return usual(connection, study_id)

    monkeypatch.setattr(reading, "all_questions", meanwhile)
    study.export(tmp_path / "s.json")
    assert len(wb.import_study(tmp_path / "s.json").trials) == 1
    assert len(study.trials) == 2


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_what_was_really_set_comes_back_from_a_table(tmp_path, suffix):
    study = made()
    for _ in range(4):
        trial = study.ask(fixed={"b": True})
        study.tell(trial, trial["x"], actual={"x": round(10 - trial["x"], 3), "m": 0.25})
    again = made()
    read_table(again, write_table(study, tmp_path / f"s.{suffix}"))
    assert [t.actual for t in again.trials] == [t.actual for t in study.trials]
    np.testing.assert_array_equal(again.history().X, study.history().X)
    assert study.to_dataframe()["actual:x"].tolist() == [t.actual["x"] for t in study.trials]


def test_a_table_cannot_set_what_its_row_has_not():
    with pytest.raises(wb.TableError, match=r"column 'actual:m': .*the row has no m"):
        read_table(made(), "x,b,m,actual:m,y\n1,false,,0.5,1\n")


def test_the_best_is_shown_at_what_was_really_set(tmp_path):
    study = made(storage=tmp_path / "s.db")
    study.tell(study.ask(fixed={"x": 7.5}), 1.0, actual={"x": 2.25})
    code, text = call("show", "s", "--storage", str(tmp_path / "s.db"))
    assert code == 0
    assert "2.25" in text
    assert "7.5" not in text


def test_what_was_really_set_is_a_whole_point():
    study = made()
    trial = study.ask(fixed={"b": False})
    with pytest.raises(wb.InvalidValueError, match="'m' too"):
        study.tell(trial, 1.0, actual={"b": True})
    study.tell(trial, 1.0, actual={"b": True, "m": 0.5})
    assert study.history().X[0, SPACE.slices["m"]].tolist() == [0.5]


def test_declarations_take_numbers_of_numpy(tmp_path):
    one = np.float64(1.0)
    space = wb.Space([wb.Int("n", 1, 3), wb.Float("x", 0, 1, when={"n": np.int64(2)})])
    goals = [wb.Objective("y", threshold=one, noise=one), wb.Objective("z", target=one, reference=one, tolerance=one)]
    for name, options in {"a": {}, "b": {"sampler": wb.CBOSampler(drift=one)}}.items():
        study = wb.create_study(name, space, goals, storage=tmp_path / "s.db", seed=0, **options)
        loaded = wb.load_study(name, storage=tmp_path / "s.db")
        assert (loaded.space, loaded.objectives) == (study.space, study.objectives)
    made().change_space(space, defaults={"n": 1})


def test_a_vectorised_run_that_can_do_nothing_says_so():
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="cbo", seed=0)
    with pytest.warns(wb.WorkbenchWarning, match=r"evaluations=30 .* give more evaluations"):
        study.optimize(lambda columns: columns["x"], vectorized=True, evaluations=30)


def test_the_log_keeps_trial_0_as_an_earlier_choice():
    study = made()
    for value in (1.0, 2.0):
        study.tell(study.ask(), value)
    study.choose(0, reason="first")
    study.choose(1, reason="second")
    entry = study._record.storage.audit(study._record.id)[-1]
    assert json.loads(entry.before) == {"trial": 0}


def test_a_name_that_is_taken_has_the_remedy_of_its_door(tmp_path):
    study = made(storage=tmp_path / "s.db")
    study.export(tmp_path / "s.json")
    with pytest.raises(wb.StudyExistsError, match="name=") as raised:
        wb.import_study(tmp_path / "s.json", storage=tmp_path / "s.db")
    assert "load_if_exists" not in str(raised.value)


def test_the_shell_shows_a_study_that_people_judge(tmp_path):
    place = str(tmp_path / "t.db")
    study = wb.create_study("t", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")], storage=place, seed=0)
    question = study.feedback.next_question(2)
    question.answer([[question.trials[0]], [question.trials[1]]])
    study.feedback.pin(0)
    code, text = call("show", "t", "--storage", place)
    assert code == 0
    assert "1 answer so far" in text
    assert "Last 2 of 2 trials" in text
    code, text = call("ask", "t", "--storage", place)
    assert code == 0
    assert "tell t" not in text
    assert "study.feedback" in text


def test_the_shell_refuses_options_that_an_import_does_not_take(tmp_path):
    study = made(storage=tmp_path / "s.db")
    study.export(tmp_path / "s.json")
    code, text = call("import", str(tmp_path / "s.json"), "--study", "other", "--storage", str(tmp_path / "n.db"))
    assert code == 2
    assert "--study" in text
    assert "--name" in text
    assert not (tmp_path / "n.db").exists()


def test_create_takes_the_seed_that_its_help_promises(tmp_path):
    place = str(tmp_path / "s.db")
    assert call("create", "problems.synthetic:branin", "--storage", place)[0] == 0
    assert wb.load_study("branin", storage=place).seed == 0


def test_the_command_to_tell_can_be_pasted(tmp_path):
    place = str(tmp_path / "my lab.db")
    wb.create_study("s", SPACE, [wb.Objective("yield %")], storage=place, sampler="sobol", seed=0)
    text = call("ask", "s", "--storage", place)[1]
    assert f"'{place}'" in text
    assert "'yield %=…'" in text


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("show", "s", "--storage", "absent.db"), "`workbench create` makes a new one"),
        (("create", "problems.synthetic:branin", "--study", "s", "--storage", "t.db"), "by `workbench ask`"),
        (("tell", "s", "0", "value=2", "--storage", "t.db"), "keep it with `workbench annotate --attr`"),
        (("tell", "s", "0", "--state", "failed", "--storage", "t.db"), "Correct a record with `workbench amend`"),
        (("reject", "s", "0", "--reason", "x", "--storage", "t.db"), "use `workbench void`"),
        (("run", "problems.synthetic:branin", "--pruner", "nope", "--storage", "absent.db"), "percentile; got 'nope'"),
        (("run", "problems.synthetic:branin", "--sampler", "nope", "--storage", "absent.db"), "utility_ei; got 'nope'"),
    ],
)  # fmt: skip
def test_a_remedy_in_the_shell_is_a_command(words, remedy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage="t.db")
    study.tell(study.ask(), 1.0)
    code, text = call(*words)
    assert code == 2
    assert remedy in " ".join(text.split())
    assert "study." not in text
    assert "wb." not in text
    assert not (tmp_path / "absent.db").exists()


def test_whole_numbers_of_numpy_are_whole_numbers(tmp_path):
    one, three, four = np.int64(1), np.int32(3), np.int64(4)
    space = wb.Space([wb.Float("x", 0, 1), wb.Int("k", 0, 5)])
    for n, sampler in enumerate(
        (
            wb.CBOSampler(particles=four), wb.GridSampler(levels=three), wb.GridSampler(levels={"x": three}),
            {"name": "evolutionary", "options": {"population": four}},
            {"name": "rank_sgd", "options": {"candidates": four}},
        )
    ):  # fmt: skip
        study = wb.create_study(
            f"s{n}", space, [wb.Objective("y")], sampler=sampler, seed=three, budget=four, storage=tmp_path / "t.db",
            pruner=wb.MedianPruner(n_warmup_steps=one),
        )  # fmt: skip
        assert (study.seed, study.budget) == (3, 4)
        study.optimize(lambda trial: trial["x"], n_trials=one, progress=False)
        study.optimize(lambda trial: trial["x"], until=three, progress=False)
        again = wb.load_study(f"s{n}", storage=tmp_path / "t.db")
        assert len(again.trials) == 3
        assert again.sampler.options() == study.sampler.options()
    assert again.model().explain(one).trial == 1
    for wrong in (True, 2.0, np.float64(2), np.bool_(True), -1):
        with pytest.raises(wb.InvalidValueError, match="whole number"):
            study.optimize(lambda trial: 0.0, n_trials=wrong, progress=False)
