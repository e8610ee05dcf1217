"""Pruning in a study: from `create_study` through `optimize`, workers and a reload to the record."""

from __future__ import annotations

import pytest

import workbench as wb
from workbench.pruning import AshaPruner, MedianPruner

LINE = wb.Space([wb.Float("x", 0, 1)])
LOSS = (wb.Objective("loss"),)
STEPS = 9


def learning(trial):
    """A loss that falls to x^2 + 1 / 9 in nine steps; small x is better from the first step on."""
    for step in range(1, STEPS + 1):
        loss = trial["x"] ** 2 + 1 / step
        trial.report(loss, step)
        if trial.should_prune():
            raise wb.TrialPruned
    return loss


def two_goals(trial):
    for step in range(1, STEPS + 1):
        shown = {"loss": trial["x"] ** 2 + 1 / step, "size": (trial["x"] - 0.5) ** 2}
        trial.report(shown, step)
        if trial.should_prune():
            raise wb.TrialPruned
    return shown


def study(pruner, objectives=LOSS, sampler="sobol", **options):
    return wb.create_study("s", LINE, objectives, sampler=sampler, pruner=pruner, seed=0, **options)


def steps_of(s):
    """The last step that each trial reported."""
    last = {}
    for report in s.history().reports:
        last[report.number] = max(report.step, last.get(report.number, 0))
    return last


def test_optimize_ends_trials_with_the_reason():
    s = study("median")
    s.optimize(learning, 24, progress=False)
    pruned = [trial for trial in s.trials if trial.state == wb.TrialState.PRUNED]
    assert len(pruned) > 5
    assert all(trial.number >= 5 for trial in pruned)  # five complete trials first
    assert all(" is worse than the median " in trial.reason for trial in pruned)
    steps = steps_of(s)
    assert all(steps[trial.number] < STEPS for trial in pruned)
    assert all(trial.value == trial["x"] ** 2 + 1 / steps[trial.number] for trial in pruned)  # what it showed last
    assert s.best_trial.state == wb.TrialState.COMPLETE
    assert all(trial.reason is None for trial in s.trials if trial.state == wb.TrialState.COMPLETE)


def test_without_a_rule_nothing_is_pruned():
    s = study(None)
    s.optimize(learning, 12, progress=False)
    assert {trial.state for trial in s.trials} == {wb.TrialState.COMPLETE}


def test_a_trial_of_a_plain_ask_may_end_itself():
    s = study(MedianPruner(n_startup_trials=1))
    for value in (0.1, 0.2):
        trial = s.ask()
        trial.report(value, 1)
        assert not trial.should_prune() or value == 0.2
        s.tell(trial, value)
    trial = s.ask()
    assert not trial.should_prune()  # it has shown nothing yet
    trial.report(0.05, 1)
    assert not trial.should_prune()
    trial.report(0.3, 2)
    assert not trial.should_prune()  # nobody else got to step 2
    other = s.ask()
    other.report(0.9, 1)
    assert other.should_prune()
    s.tell(other, state="pruned")
    assert s.trials[other.number].state == wb.TrialState.PRUNED


def test_a_loaded_study_keeps_its_rule(tmp_path):
    whole = study(AshaPruner(reduction_factor=3))
    whole.optimize(learning, 20, progress=False)
    s = study(AshaPruner(reduction_factor=3), storage=tmp_path / "s.db")
    s.optimize(learning, 7, progress=False)
    again = wb.load_study("s", storage=tmp_path / "s.db")
    again.optimize(learning, 13, progress=False)
    assert [(t.state, t.params, t.values, t.reason) for t in again.trials] == [
        (t.state, t.params, t.values, t.reason) for t in whole.trials
    ]
    assert {t.state for t in whole.trials} == {wb.TrialState.COMPLETE, wb.TrialState.PRUNED}


def test_a_resumed_run_of_the_model_equals_the_uninterrupted_one(tmp_path):
    """The model learns from pruned trials, and only from the record."""
    options = {"pruner": AshaPruner(reduction_factor=2), "sampler": "gp", "budget": 8}  # a start of two
    whole = study(**options)
    whole.optimize(learning, 8, progress=False)
    s = study(**options, storage=tmp_path / "s.db")
    s.optimize(learning, 6, progress=False)
    again = wb.load_study("s", storage=tmp_path / "s.db")
    again.optimize(learning, 2, progress=False)
    resumed, uninterrupted = ([(t.state, t.params, t.values, t.meta) for t in of.trials] for of in (again, whole))
    assert resumed == uninterrupted
    assert any(t.state == wb.TrialState.PRUNED for t in whole.trials)
    assert any("acquisition" in t.meta for t in whole.trials)


def test_several_objectives_are_pruned_by_their_hypervolume():
    goals = (wb.Objective("loss"), wb.Objective("size"))
    s = study("hypervolume", goals)
    s.optimize(two_goals, 24, progress=False)
    full = study(None, goals)
    full.optimize(two_goals, 24, progress=False)
    pruned = [trial for trial in s.trials if trial.state == wb.TrialState.PRUNED]
    assert pruned
    assert all("would add nothing to the front" in trial.reason for trial in pruned)
    # All improve alike, so the bound is exact: the front is that of the study without pruning.
    assert [t.params for t in s.pareto_trials] == [t.params for t in full.pareto_trials]


def test_workers_ask_the_same_rule():
    s = study(MedianPruner(n_startup_trials=2))
    s.optimize(learning, 10, executor=wb.Processes(workers=2), progress=False)
    pruned = [trial for trial in s.trials if trial.state == wb.TrialState.PRUNED]
    assert pruned
    assert all(" is worse than the median " in trial.reason for trial in pruned)


def test_a_rule_that_cannot_judge_the_study_is_refused_before_anything_is_written():
    goals = (wb.Objective("a"), wb.Objective("b"))
    for pruner in ("median", "percentile", "asha"):
        with pytest.raises(wb.UnsupportedError, match="hypervolume"):
            study(pruner, goals)
    with pytest.raises(wb.UnsupportedError, match="did you mean 'median'"):
        study("medain")


def test_a_trial_that_reported_some_objectives_keeps_those():
    goals = (wb.Objective("loss"), wb.Objective("size"))
    s = study("hypervolume", goals)

    def partly(trial):
        trial.report({"loss": 0.5}, 1)
        trial.report({"loss": 0.4}, 2)
        assert not trial.should_prune()
        raise wb.TrialPruned

    s.optimize(partly, 2, progress=False)
    assert [(t.state, t.values) for t in s.trials] == [(wb.TrialState.PRUNED, {"loss": 0.4})] * 2
