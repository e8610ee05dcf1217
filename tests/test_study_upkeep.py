"""What keeps a study in order: another name, a freeze, trials of a dead run given back, many results at once."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench.errors import AlreadyTold, FrozenStudyError, StudyExistsError
from workbench.samplers.base import AskRequest, Proposal
from workbench.storage import Storage
from workbench.study import telling
from workbench.study.telling import Run
from workbench.trial import Observation, Owner, TrialState


@pytest.fixture
def study(tmp_path: Path) -> wb.Study:
    space = wb.Space([wb.Float("x", 0, 1)])
    return wb.create_study("demo", space, [wb.Objective("y")], storage=tmp_path / "demo.db", sampler="sobol", seed=0)


def storage(study: wb.Study) -> Storage:
    assert study.storage_url is not None
    return Storage(study.storage_url)


def test_a_study_gets_another_name_and_keeps_its_record(study: wb.Study) -> None:
    study.tell(study.ask(), 1.0)
    study.annotate(note="seen")
    study.rename("second")
    again = wb.load_study("second", storage=storage(study))
    assert (again.note, again.trials[0].values, study.name) == ("seen", {"y": 1.0}, "second")
    with pytest.raises(wb.StudyNotFoundError):
        wb.load_study("demo", storage=storage(study))
    entry = storage(study).audit(again._record.id)[-1]
    assert (entry.action, entry.before, entry.after) == ("rename", '{"name":"demo"}', '{"name":"second"}')
    wb.create_study("third", study.space, study.objectives, storage=storage(study))
    with pytest.raises(StudyExistsError, match="third"):
        study.rename("third")
    assert study.name == "second"


def test_nothing_of_a_frozen_study_changes_whoever_tries(study: wb.Study) -> None:
    first, second = study.ask(2)
    study.tell(first, 1.0)
    study.freeze()
    study.freeze()  # twice is once
    other, before = wb.load_study("demo", storage=storage(study)), study.history().revision
    assert other.frozen
    for change in (
        lambda: other.tell(second, 2.0), other.ask, lambda: other.void(first, reason="no"),
        lambda: other.annotate(note="x"), lambda: other.rename("x"), lambda: other.attach({"x": 0.5}, 1.0),
    ):  # fmt: skip
        with pytest.raises(FrozenStudyError, match="'demo' is frozen"):
            change()
    assert other.history().revision == before
    assert other.best_value == 1.0
    other.thaw()
    other.tell(second, 2.0)
    assert not study.frozen
    assert [entry.action for entry in storage(study).audit(study._record.id)] == ["freeze", "thaw"]


def test_a_frozen_study_travels_in_a_bundle(study: wb.Study, tmp_path: Path) -> None:
    study.tell(study.ask(), 1.0)
    study.freeze()
    copy = wb.import_study(study.export(tmp_path / "demo.json"), storage=tmp_path / "other.db")
    assert copy.frozen
    assert copy.trials[0].values == {"y": 1.0}


def test_trials_of_a_run_that_died_are_given_back(study: wb.Study) -> None:
    running, own = study._ask(1, expires=300.0)[0], study.ask()
    gone = Owner.current().to_json().replace(f'"pid":{Owner.current().pid}', '"pid":999999999')
    with study._record.transaction("test") as tx:
        tx.update(running.number, owner=gone, expires=running.expires)
    before = study.history().revision
    assert study.give_back() == [running.number]
    row = study.history().rows[running.number]
    assert (row.state, row.expires) == ("running", 0.0)
    assert study.history().revision == before + 1
    assert study.give_back() == []
    assert study.trial(own).state == TrialState.RUNNING
    study.optimize(lambda trial: trial["x"], n_trials=0, progress=False)
    assert (study.trial(running.number).state, study.trial(running.number).attempt) == (TrialState.COMPLETE, 2)


def test_many_results_and_runs_are_told_together_or_not_at_all(study: wb.Study) -> None:
    study.ask(2)
    runs = {n: Run({}, Observation({"y": float(n)}), note=f"note {n}") for n in (0, 1)}
    rows = telling.tell_all(study._record, runs, [Run({"x": 0.25}, Observation({"y": 9.0}))])
    assert [(row.number, row.state) for row in rows] == [(0, "complete"), (1, "complete"), (2, "complete")]
    assert [(t.value, t.note) for t in study.trials] == [(0.0, "note 0"), (1.0, "note 1"), (9.0, "")]
    study.ask()
    with pytest.raises(AlreadyTold, match="trial 0"):
        telling.tell_all(study._record, {3: runs[1], 0: runs[1]}, [Run({"x": 0.5}, Observation({"y": 9.0}))])
    assert study.trial(3).state == TrialState.RUNNING
    assert len(study.trials) == 4


class _Yield(wb.SobolSampler):
    """Has the yield of its trials measured, and nothing else."""

    name = "yield"

    def ask(self, request: AskRequest) -> list[Proposal]:
        return [replace(proposal, measure=("yield",)) for proposal in super().ask(request)]


def test_nobody_decides_for_a_trial_of_which_a_goal_or_a_limit_is_not_known() -> None:
    goals = [wb.Objective("yield", "maximize"), wb.Objective("cost")]
    study = wb.create_study("demo", wb.Space([wb.Float("x", 0, 1)]), goals, [wb.Constraint("residue", upper=1.0)],
                            sampler=_Yield(), seed=0)  # fmt: skip
    whole = study.attach({"x": 0.5}, {"yield": 1.0, "cost": 2.0, "residue": 0.5})
    half = study.tell(study.ask(), {"yield": 3.0})
    assert half.state == "complete"
    with pytest.raises(wb.InvalidValueError, match="trial 1 has none of 'cost' and 'residue'") as raised:
        study.choose(half, reason="the best yield")
    assert "study.amend(1, values={'cost': …, 'residue': …}, reason=…)" in str(raised.value)
    assert study.chosen is None
    study.choose(whole, reason="all of it is known")
    study.amend(half, values={"cost": 1.0}, reason="measured later")
    with pytest.raises(wb.InvalidValueError, match="trial 1 has none of 'residue'"):
        study.choose(half, reason="the best yield")
    assert study.chosen is not None
    assert study.chosen.number == 0
    study.amend(half, values={"residue": 0.2}, reason="measured later")
    assert study.choose(half, reason="the best yield").number == 1


def test_a_study_that_people_judge_has_a_choice_without_values() -> None:
    study = wb.create_study("taste", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")], sampler="sobol", seed=0)
    first, second = study.ask(2)
    study.feedback.compare(first, second)
    assert study.choose(first, reason="everybody likes it").number == first.number


def test_what_did_not_exist_in_a_run_as_it_was_made_is_not_among_its_settings() -> None:
    space = wb.Space([wb.Categorical("cat", ["Pd", "none"]), wb.Float("load", 0.1, 5, when={"cat": "Pd"})])
    study = wb.create_study("y", space, [wb.Objective("y")], sampler="sobol", seed=1)
    study.enqueue({"cat": "Pd", "load": 2})
    study.tell(study.ask(), 0.0, actual={"cat": "none"})
    assert study.trial(0).settings == {"cat": "none"}
    assert study.trial(0).params == {"cat": "Pd", "load": 2.0}
    study.attach(study.trial(0).settings, 0.5)
    assert np.isnan(study.history().X).any(axis=1).tolist() == [True, True]


def test_the_best_parameters_are_those_that_were_really_set() -> None:
    study = wb.create_study("a", wb.Space([wb.Float("x", 0, 10)]), [wb.Objective("y")], sampler="sobol", seed=1)
    study.attach({"x": 1}, 8.0)
    study.attach({"x": 5}, 0.0, actual={"x": 9})
    assert study.best_params == {"x": 9.0}
    assert study.best_trial.params == {"x": 5.0}


def test_a_rejection_that_shuts_everything_or_nothing_is_refused() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="sobol", seed=1)
    trial = study.ask()
    with pytest.raises(wb.InvalidValueError, match="would leave nothing to propose"):
        study.reject(trial, reason="too hot", avoid="x >= 0")
    with pytest.raises(wb.InvalidValueError, match="holds nowhere in the space, not at trial 0 either"):
        study.reject(trial, reason="too hot", avoid="x > 5")
    assert study.trial(0).state == "running"
    study.reject(trial, reason="too hot", avoid=f"x == {trial['x']!r}")  # of this point alone
    study.reject(study.ask(), reason="too hot", avoid="x > 0.4")
    assert all(t["x"] <= 0.4 for t in study.ask(8))


# -- what may not be lost, and what may not come again --------------------------------------------------


def test_a_result_that_the_storage_refuses_is_kept_and_told_by_the_next_run(
    study: wb.Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls, tell = [], telling.tell

    def fn(trial: wb.Trial) -> float:
        calls.append(trial.number)
        return 123.5 + trial.number

    def locked(record: object, number: int, *rest: object, **more: object) -> object:
        if number == 2:
            raise wb.StorageError("the database stayed locked")
        return tell(record, number, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(telling, "tell", locked)
    with pytest.raises(
        wb.StorageError, match=r"stayed locked\. Trial 2 came out as complete with \{'y': 125\.5\}.*study\.tell"
    ):
        study.optimize(fn, n_trials=5, progress=False)
    assert "125.5" in caplog.text
    assert study.trial(2).state == "running"
    monkeypatch.setattr(telling, "tell", tell)
    study.optimize(fn, until=5, progress=False)
    assert calls == [0, 1, 2, 3, 4]  # none twice
    assert [trial.values["y"] for trial in study.trials] == [123.5, 124.5, 125.5, 126.5, 127.5]

    def freezing(trial: wb.Trial) -> float:
        study.freeze()
        return 7.0

    with pytest.raises(FrozenStudyError, match="Trial 5 came out as complete with"):
        study.optimize(freezing, until=6, progress=False)
    study.thaw()
    study.optimize(fn, until=6, progress=False)
    assert study.trial(5).values == {"y": 7.0}


def test_half_characters_of_an_error_are_written_out(study: wb.Study) -> None:
    def fn(trial: wb.Trial) -> float:
        if trial.number == 1:
            raise wb.TrialPruned("no \ud800")
        raise ValueError("sensor \udcff broke")

    study.optimize(fn, n_trials=2, catch=ValueError, progress=False)
    assert "ValueError: sensor \\udcff broke" in (study.trial(0).error or "")
    assert study.trial(1).reason == "no \\ud800"
    with pytest.raises(wb.InvalidValueError, match="valid text"):
        study.trial(0).set_attr("\ud800", 1)


def test_a_trial_of_another_study_is_refused(study: wb.Study, tmp_path: Path) -> None:
    other = wb.create_study("other", study.space, study.objectives, storage=storage(study), sampler="sobol", seed=1)
    alien, own = study.ask(), other.ask()
    for act in (lambda: other.tell(alien, 9.0), lambda: other.void(alien, reason="no")):
        with pytest.raises(wb.UnknownTrialError, match="trial 0 is one of study 'demo', and this is 'other'"):
            act()
    assert other.trial(own).state == "running"
    wb.load_study("demo", storage=storage(study)).tell(alien, 1.0)  # the same study, opened again
    assert study.trial(0).values == {"y": 1.0}


def test_an_attempt_that_begins_again_has_no_part_in_what_the_dead_one_said(
    study: wb.Study, caplog: pytest.LogCaptureFixture
) -> None:
    stale = wb.load_study("demo", storage=storage(study))
    (row,) = study._ask(1, expires=300.0)
    dead = stale.trial(row.number)
    for step in range(16):
        dead.report(0.01, step)
    gone = replace(Owner.current(), pid=2**22 + 1).to_json()
    with study._record.transaction("test") as tx:
        tx.update(row.number, owner=gone)

    def fn(trial: wb.Trial) -> float:
        with pytest.raises(wb.TrialStateError, match="taken over by another process"):
            dead.report(-1.0, 1)
        with pytest.raises(wb.TrialStateError, match="attempt 1, was taken for dead"):
            dead.set_attr("who", "stale")
        trial.set_attr("who", "new")
        for step in range(3):
            trial.report(500.0 + step, step)
        raise wb.TrialPruned

    assert len(stale.history().reports) == 16
    with caplog.at_level(logging.WARNING, "workbench"):
        study.optimize(fn, n_trials=0, until=1, progress=False)
    assert "trial 0 begins again, attempt 2: the process of attempt 1 is gone" in caplog.text
    for seen in (study, stale):
        assert [(one.step, one.value) for one in seen.history().reports] == [(0, 500.0), (1, 501.0), (2, 502.0)]
    assert (study.trial(0).values, study.trial(0).attrs) == ({"y": 502.0}, {"who": "new"})
    (kept,) = [entry for entry in storage(study).audit(study._record.id) if entry.action == "take over"]
    assert kept.before is not None
    assert kept.before.count('"y"') == 16


def test_a_process_of_another_container_is_never_known_to_be_dead() -> None:
    here = Owner.current()
    assert replace(here, pid=2**22 + 1).known_dead()
    assert not replace(here, pid=2**22 + 1, pids="pid:[1]").known_dead()
    assert Owner.from_json(here.to_json()) == here
    assert Owner.from_json('{"host":"a","boot":"b","pid":1,"started":"2"}').pids == ""  # of an earlier version


def test_what_no_longer_fits_stays_in_the_queue_and_is_said(tmp_path: Path) -> None:
    space = wb.Space([wb.Float("temp", 0, 400), wb.Float("p", 0, 1)])
    s = wb.create_study("rig", space, [wb.Objective("y")], sampler="sobol", seed=0)
    s.enqueue({"temp": 380.0, "p": 0.5})
    s.enqueue({"temp": 150.0, "p": 0.3})
    s.enqueue({"temp": 150.0, "p": 0.9})
    with pytest.warns(wb.WorkbenchWarning, match=r"2 waiting trials stay in the queue.*trial 0: temp"):
        s.change_space(wb.Space([wb.Float("temp", 0, 200), wb.Float("p", 0, 1)], constraints=["temp * p <= 50"]))
    asked = s.ask(2)
    assert asked[0].number == 1
    assert asked[1]["temp"] * asked[1]["p"] <= 50
    assert s.trial(0).state == s.trial(2).state == "waiting"
    with pytest.warns(wb.WorkbenchWarning, match="2 waiting"):
        s.change_space(wb.Space([wb.Float("temp", 0, 200), wb.Float("q", 0, 1)]), defaults={"q": 0.5})
    assert "q" in s.ask().params


def test_the_queue_keeps_the_rules_of_rejections_that_came_later() -> None:
    s = wb.create_study(
        "s", wb.Space([wb.Float("x", 0, 10), wb.Float("z", 0, 1)]), [wb.Objective("y")], sampler="sobol"
    )
    s.enqueue({"x": 9.0, "z": 0.5})
    trial = s.ask(sampler="sobol", fixed={"x": 2.0})
    with pytest.warns(wb.WorkbenchWarning, match=r"1 waiting trials stay.*it fulfils 'x > 7'"):
        s.reject(trial, reason="bursts", avoid="x > 7")
    assert s.ask()["x"] <= 7
    s.enqueue({"x": 8.0, "z": 0.5})  # somebody who knows of the rule wants it all the same
    assert s.ask()["x"] == 8.0
    for _ in range(12):
        assert s.enqueue({"z": 0.25})["x"] <= 7  # what is left open is drawn where it may be


def test_numbers_beyond_reason_and_options_of_no_database_are_refused_in_words(tmp_path: Path, study: wb.Study) -> None:
    with pytest.raises(wb.InvalidValueError, match="from 1 to 1,000,000"):
        study.ask(10**20)
    with pytest.raises(wb.StorageError, match=r"cannot use the database .*'abc'"):
        wb.list_studies(f"sqlite:///{tmp_path}/demo.db?timeout=abc")
    study = wb.create_study("swarm", study.space, study.objectives, sampler="cbo", seed=0)
    study.freeze()
    with pytest.raises(FrozenStudyError, match="nothing was run"):
        study.optimize(lambda columns: columns["x"], vectorized=True, evaluations=1000, progress=False)
    study.thaw()
    for timeout in ("5", -5, float("nan")):
        with pytest.raises(wb.InvalidValueError, match="timeout must be a number of seconds > 0"):
            study.optimize(lambda columns: columns["x"], vectorized=True, evaluations=1000, timeout=timeout)
