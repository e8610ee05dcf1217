"""Changing the space of a study: the record is encoded anew, and nothing of it is lost."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb

GOALS = [wb.Objective("y", "minimize", noise="none")]


def filled(space: wb.Space, sampler: str = "gp", n: int = 8, **options: Any) -> wb.Study:
    study = wb.create_study("s", space, GOALS, sampler=sampler, seed=3, **options)
    for trial in study.ask(n):
        study.tell(trial, float(sum(v for v in trial.params.values() if isinstance(v, float))))
    return study


def test_wider_bounds_keep_every_value_and_encode_it_anew() -> None:
    study = filled(wb.Space([wb.Float("x", 0, 1), wb.Float("y1", 1, 2)]))
    before = study.history()
    study.change_space(wb.Space([wb.Float("x", 0, 4), wb.Float("y1", 1, 2)]))
    after = study.history()
    np.testing.assert_allclose(after.X[:, 0], before.X[:, 0] / 4, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(after.X[:, 1], before.X[:, 1])
    assert [t.params for t in study.trials] == [before.params(i) for i in range(8)]
    assert after.counted.all()
    assert after.best() == before.best()
    assert study.ask().state == "running"


def test_points_outside_narrower_bounds_are_data_and_never_best() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 10)]), GOALS, sampler="gp", seed=1)
    for x in (0.5, 3.0, 6.0, 9.0):
        study.attach({"x": x}, x)
    study.change_space(wb.Space([wb.Float("x", 2, 8)]))
    history = study.history()
    assert history.placed.all()
    np.testing.assert_allclose(history.X[:, 0], (np.array([0.5, 3.0, 6.0, 9.0]) - 2) / 6)
    assert study.best_trial["x"] == 3.0  # 0.5 is better, and outside
    mean, _ = study.model().predict({"x": 0.5})["y"]
    assert mean[0] == pytest.approx(0.5, abs=0.05)  # the model has learnt from it all the same
    assert 2 <= study.ask()["x"] <= 8


def test_a_parameter_that_is_gone_and_one_that_is_new() -> None:
    study = filled(wb.Space([wb.Float("x", 0, 1), wb.Categorical("c", ["a", "b"])]))
    new = wb.Space([wb.Float("x", 0, 1), wb.Int("n", 1, 5)])
    with pytest.raises(wb.InvalidValueError, match=r"'n' \(8 trials\).*defaults="):
        study.change_space(new)
    assert "c" in study.space
    assert len(study.history()) == 8
    study.change_space(new, defaults={"n": 2})
    history = study.history()
    assert history.placed.all()
    np.testing.assert_array_equal(history.X[:, 1], 0.25)  # (2 - 1) / (5 - 1)
    assert all("c" in trial.params and "n" not in trial.params for trial in study.trials)  # as they were made
    assert set(study.ask().params) == {"x", "n"}


def test_a_default_that_is_not_known_keeps_the_trials_as_data_only() -> None:
    study = filled(wb.Space([wb.Float("x", 0, 1)]))
    with pytest.warns(wb.WorkbenchWarning, match=r"8 of 8 trials .*kept as data"):
        study.change_space(wb.Space([wb.Float("x", 0, 1), wb.Float("z", 0, 1)]), defaults={"z": None})
    history = study.history()
    assert not history.placed.any()
    assert not history.counted.any()
    assert history.complete.all()
    with pytest.raises(wb.TrialStateError, match="a model needs at least 2"):
        study.model().predict({"x": 0.5, "z": 0.5})
    assert study.ask().meta.get("start")  # the model starts anew


def test_a_choice_that_is_gone_takes_only_its_trials_out() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1), wb.Categorical("c", ["a", "b", "d"])]), GOALS, seed=1)
    for i, c in enumerate(["a", "b", "d", "a", "d"]):
        study.attach({"x": i / 5, "c": c}, float(i))
    with pytest.warns(wb.WorkbenchWarning, match=r"1 of 5 trials \(1\)"):
        study.change_space(wb.Space([wb.Float("x", 0, 1), wb.Categorical("c", ["d", "a"])]))
    history = study.history()
    assert history.placed.tolist() == [True, False, True, True, True]
    np.testing.assert_array_equal(history.X[history.placed, 1], [1, 0, 1, 0])  # indices of the new choices
    assert study.trials[1].params == {"x": 0.2, "c": "b"}


def test_a_conditional_parameter_needs_a_default_only_where_it_would_exist() -> None:
    study = wb.create_study("s", wb.Space([wb.Bool("on")]), GOALS, sampler="sobol", seed=1)
    for on in (True, False):
        study.attach({"on": on}, 1.0)
    space = wb.Space([wb.Bool("on"), wb.Float("m", 0, 1, when={"on": True})])
    with pytest.raises(wb.InvalidValueError, match=r"'m' \(1 trials\)"):
        study.change_space(space)
    study.change_space(space, defaults={"m": 0.25})
    assert study.history().X[0, 1] == 0.25
    assert np.isnan(study.history().X[1, 1])


def test_vectors_of_earlier_spaces_are_read_by_their_own_width() -> None:
    study = wb.create_study("s", wb.Space([wb.Vector("v", 3), wb.Vector("w", 2)]), GOALS, sampler="random", seed=1)
    trial = study.tell(study.ask(), 1.0)
    v, w = trial["v"], trial["w"]
    study.change_space(wb.Space([wb.Vector("w", 2)]))
    np.testing.assert_array_equal(study.trials[0]["v"], v)
    np.testing.assert_array_equal(study.history().X[0], w)


def test_other_processes_learn_of_it_and_propose_in_the_new_space(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    first = filled(wb.Space([wb.Float("x", 0, 1)]), sampler="sobol", storage=db)
    second = wb.load_study("s", storage=db)
    assert len(second.history()) == 8
    first.change_space(wb.Space([wb.Float("x", 5, 6)]))
    assert 5 <= second.ask()["x"] <= 6
    assert second.space == first.space
    third = wb.load_study("s", storage=db)
    np.testing.assert_array_equal(third.history().X, second.history().X)


def test_a_proposal_drawn_in_the_old_space_is_dropped(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    study = filled(wb.Space([wb.Float("x", 0, 1)]), sampler="random", storage=db)
    other = wb.load_study("s", storage=db)

    class Slow(wb.Sampler):
        name, serves = "slow", frozenset({"float"})
        asks = 0

        def ask(self, request: wb.AskRequest) -> list[wb.Proposal]:
            if not self.asks:
                other.change_space(wb.Space([wb.Float("x", 5, 6)]))
            self.asks += 1
            return [wb.Proposal(np.array([0.5]))]

    slow = Slow()
    assert study.ask(sampler=slow)["x"] == 5.5
    assert slow.asks == 2


def test_rules_that_speak_of_what_is_gone_shut_nothing_and_are_told() -> None:
    study = filled(wb.Space([wb.Float("x", 0, 1), wb.Float("z", 0, 1)]), sampler="sobol")
    study.reject(study.ask(), reason="no", avoid="z > 0.5")
    study.reject(study.ask(), reason="no", avoid="x > 0.5")
    with pytest.warns(wb.WorkbenchWarning, match=r"shut nothing: \['z > 0.5'\]"):
        study.change_space(wb.Space([wb.Float("x", 0, 1)]))
    assert all(trial["x"] <= 0.5 for trial in study.ask(8))


def test_the_change_is_audited_exported_and_no_change_is_none(tmp_path: Path) -> None:
    study = filled(wb.Space([wb.Float("x", 0, 1)]), storage=tmp_path / "a.db")
    same = wb.Space([wb.Float("x", 0, 1)])
    study.change_space(same)
    assert [entry.action for entry in study._record.storage.audit(study._record.id)] == []
    study.change_space(wb.Space([wb.Float("x", 0, 2), wb.Int("k", 0, 3)]), defaults={"k": 1})
    assert [entry.action for entry in study._record.storage.audit(study._record.id)] == ["change_space"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy = wb.import_study(study.export(tmp_path / "s.json"))
    np.testing.assert_array_equal(copy.history().X, study.history().X)
    assert copy.space == study.space


@pytest.mark.parametrize(
    ("space", "defaults", "error", "words"),
    [
        (wb.Space([wb.Float("y", 0, 1)]), {}, wb.InvalidValueError, "not both"),
        (wb.Space([wb.Float("x", 0, 1), wb.Int("k", 0, 3)]), {"k": 1.5}, wb.InvalidValueError, "whole number"),
        (wb.Space([wb.Float("x", 0, 1), wb.Int("k", 0, 3)]), {"kk": 1}, wb.InvalidValueError, "did you mean 'k'"),
        ("x", {}, wb.SpaceError, "wb.Space"),
    ],
)
def test_wrong_changes_change_nothing(space: Any, defaults: Any, error: type[Exception], words: str) -> None:
    study = filled(wb.Space([wb.Float("x", 0, 1)]))
    before = study.history()
    with pytest.raises(error, match=words):
        study.change_space(space, defaults=defaults)
    assert study.history() is before


def test_a_gp_that_lost_trials_by_a_change_still_proposes() -> None:
    study = filled(wb.Space([wb.Float("x", 0, 1), wb.Categorical("c", ["a", "b"])]), n=12, budget=20)
    with pytest.warns(wb.WorkbenchWarning):
        study.change_space(wb.Space([wb.Float("x", 0, 1), wb.Categorical("c", ["b", "e"])]))
    study.tell(study.ask(), 0.1)
    trial = study.ask()
    assert trial["c"] in ("b", "e")
    assert trial.meta["acquisition"] in {"log_ei", "noisy_ei"}


def test_tables_figures_and_reports_live_with_it(tmp_path: Path) -> None:
    study = wb.create_study(
        "s", wb.Space([wb.Categorical("c", ["a", "b"]), wb.Vector("v", 2), wb.Float("x", 0, 1)]), GOALS,
        sampler="sobol", seed=1,
    )  # fmt: skip
    for trial in study.ask(3):
        study.tell(trial, trial["x"])
    with pytest.warns(wb.WorkbenchWarning, match="3 of 3 trials"):
        study.change_space(wb.Space([wb.Int("c", 0, 3), wb.Simplex("v", parts=2), wb.Float("x", 0, 2)]))
    header, first, *_ = wb.write_table(study, tmp_path / "s.csv").read_text(encoding="utf-8-sig").splitlines()
    assert header.split(",")[:7] == ["number", "state", "c", "v_0", "v_1", "x", "y"]
    assert first.split(",")[:7] == [
        "0",
        "complete",
        "",
        "",
        "",
        repr(study.trials[0]["x"]),
        repr(study.trials[0].value),
    ]
    for figure in (study.plot.history(), study.plot.parallel(), study.plot.slice("c"), study.plot.contour("c", "x")):
        assert figure.layout.meta["alt"]
    assert "3 trials" in study._repr_html_()
    assert wb.write_report(study, tmp_path / "s.html").stat().st_size > 10_000
    assert study.to_dataframe()["x"].tolist() == [trial["x"] for trial in study.trials]
