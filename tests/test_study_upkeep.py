"""What keeps a study in order: another name, a freeze, trials of a dead run given back, many results at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
