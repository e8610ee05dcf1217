"""Limits relative to a baseline, and notes on trials and studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb

SPACE = wb.Space([wb.Float("x", 0, 1), wb.Vector("z", 2)])
GOALS = [wb.Objective("cost", "minimize")]
TODAY = {"x": 0.5, "z": [0.1, -0.2]}


def study(*limits: wb.Constraint, **options: Any) -> wb.Study:
    limits = limits or (wb.Constraint("quality", lower="1.05 * baseline"),)
    return wb.create_study("s", SPACE, GOALS, limits, sampler="sobol", seed=1, baseline=TODAY, **options)


def test_the_baseline_is_the_first_trial_and_sets_the_limit() -> None:
    s = study()
    first = s.ask()
    assert first.number == 0
    assert first["x"] == 0.5
    assert "baseline" in first.why
    s.tell(s.ask(), {"cost": 1.0, "quality": 99.0})
    assert s.history().unmeasured_baseline
    assert not s.history().feasible.any()
    with pytest.raises(wb.TrialStateError, match="baseline, which is not measured yet"):
        s.best_trial  # noqa: B018
    s.tell(first, {"cost": 5.0, "quality": 10.0})
    s.tell(s.ask(), {"cost": 2.0, "quality": 10.4})
    s.tell(s.ask(), {"cost": 3.0, "quality": 10.6})
    history = s.history()
    np.testing.assert_allclose(history.C[:, 0], [10.5 - 10, 10.5 - 99, 10.5 - 10.4, 10.5 - 10.6])
    assert history.baseline == {"cost": 5.0, "quality": 10.0}
    assert [t.number for t in s.trials if history.feasible[t.number]] == [1, 3]
    assert s.baseline is not None
    assert s.baseline["x"] == 0.5


def test_replicates_and_corrections_of_the_baseline_move_the_limit() -> None:
    s = study()
    s.tell(s.ask(), {"cost": 5.0, "quality": 10.0})
    s.attach(TODAY, {"cost": 5.0, "quality": 14.0})
    s.attach({"x": 0.1, "z": [0, 0]}, {"cost": 1.0, "quality": 12.5})
    assert s.history().baseline["quality"] == 12.0
    assert not s.history().feasible[2]
    s.amend(1, values={"quality": 13.0}, reason="misread")
    s.void(0, reason="contaminated")
    assert s.history().baseline["quality"] == 13.0
    s.amend(1, values={"quality": 11.0}, reason="misread again")
    assert s.history().feasible.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("lower", "upper", "quality", "feasible"),
    [
        ("1.05 * baseline", None, 10.5, True),
        ("1.05*baseline", None, 10.49, False),
        (None, "baseline - 2", 8.0, True),
        (None, "baseline - 2", 8.1, False),
        ("0.5*baseline", 11.0, 5.0, True),
        ("baseline/4 + 1", None, 3.4, False),
    ],
)
def test_limits_are_linear_in_the_baseline(lower: Any, upper: Any, quality: float, feasible: bool) -> None:
    s = study(wb.Constraint("quality", lower=lower, upper=upper))
    s.tell(s.ask(), {"cost": 1.0, "quality": 10.0})
    s.tell(s.ask(), {"cost": 1.0, "quality": quality})
    assert bool(s.history().feasible[1]) is feasible


@pytest.mark.parametrize("text", ["2", "x * baseline", "baseline * baseline", "abs(baseline)", "", "1 <= baseline"])
def test_other_words_are_no_limit(text: str) -> None:
    with pytest.raises(wb.ProblemError, match="linear arithmetic in `baseline`"):
        wb.Constraint("quality", lower=text)


def test_a_relative_limit_needs_a_baseline_and_the_baseline_a_place() -> None:
    limit = wb.Constraint("quality", lower="1.05 * baseline")
    with pytest.raises(wb.InvalidValueError, match="say what that is: baseline="):
        wb.create_study("s", SPACE, GOALS, [limit])
    with pytest.raises(wb.InvalidValueError, match="within the bounds"):
        wb.create_study("s", SPACE, GOALS, [limit], baseline={"x": 2.0, "z": [0, 0]})


def test_it_survives_the_database_and_the_bundle(tmp_path: Path) -> None:
    s = study(storage=tmp_path / "a.db")
    s.tell(s.ask(), {"cost": 1.0, "quality": 10.0})
    s.attach({"x": 0.2, "z": [1, 1]}, {"cost": 0.5, "quality": 10.6})
    for other in (wb.load_study("s", storage=tmp_path / "a.db"), wb.import_study(s.export(tmp_path / "s.json"))):
        np.testing.assert_array_equal(other.history().C, s.history().C)
        assert other.best_trial.number == 1
        assert other.constraints == s.constraints
    with pytest.warns(wb.WorkbenchWarning, match="keeps its baseline"):
        wb.create_study(
            "s", SPACE, GOALS, [wb.Constraint("quality", lower="1.05 * baseline")], storage=tmp_path / "a.db",
            baseline={"x": 0.7, "z": [0, 0]}, load_if_exists=True,
        )  # fmt: skip


def test_notes_tags_and_attributes_of_trials_and_of_the_study(tmp_path: Path) -> None:
    s = study(storage=tmp_path / "a.db")
    trial = s.ask()
    s.annotate(trial, note="smelled odd", tags=["lot B7", "retry", "retry"], attrs={"lot": "B7"})
    assert (trial.note, trial.tags, trial.attrs) == ("smelled odd", ["lot B7", "retry"], {"lot": "B7"})
    s.annotate(trial.number, attrs={"ph": 7.1})
    trial.set_attr("dish", 3)
    again = wb.load_study("s", storage=tmp_path / "a.db").trials[0]
    assert (again.note, again.attrs) == ("smelled odd", {"lot": "B7", "ph": 7.1, "dish": 3})
    s.annotate(trial, note="", tags=[])
    assert (trial.note, trial.tags) == ("", [])
    s.annotate(note="for the autumn campaign", tags=["autumn"], attrs={"owner": "kim"})
    other = wb.load_study("s", storage=tmp_path / "a.db")
    assert (other.note, other.tags, other.attrs) == ("for the autumn campaign", ["autumn"], {"owner": "kim"})


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"note": 3}, "must be a text"),
        ({"tags": "autumn"}, r"write tags=\["),
        ({"tags": [" "]}, "non-empty"),
        ({"attrs": {"": 1}}, "non-empty string"),
        ({"attrs": {"a": object()}}, "JSON types"),
    ],
)
def test_wrong_notes(what: dict[str, Any], words: str) -> None:
    s = study()
    with pytest.raises(wb.InvalidValueError, match=words):
        s.annotate(**what)
    with pytest.raises(wb.UnknownTrialError):
        s.annotate(9, note="x")


def test_the_baseline_is_measured_where_a_run_was_really_made() -> None:
    space, limit = wb.Space([wb.Float("x", 0, 10)]), wb.Constraint("m", lower="1.0 * baseline")
    s = wb.create_study("b", space, [wb.Objective("y", "maximize")], [limit], baseline={"x": 5}, seed=1)
    s.tell(s.ask(), {"y": 1.0, "m": 10.0})
    s.attach({"x": 5}, {"y": 1.0, "m": 30.0}, actual={"x": 9})
    assert s.history().baseline == {"y": 1.0, "m": 10.0}
    s.attach({"x": 9}, {"y": 1.0, "m": 20.0}, actual={"x": 5})
    assert s.history().baseline["m"] == 15.0
    s.amend(2, values={"y": 1.0, "m": 20.0}, actual={"x": 6}, reason="the dial was misread")
    assert s.history().baseline["m"] == 10.0


def test_the_baseline_is_found_again_in_a_changed_space() -> None:
    space, limit = wb.Space([wb.Float("x", 0, 10), wb.Float("T", 20, 80)]), wb.Constraint("m", upper="1.5 * baseline")
    s = wb.create_study("c", space, [wb.Objective("y")], [limit], baseline={"x": 5, "T": 50}, seed=1)
    s.tell(s.ask(), {"y": 1.0, "m": 10.0})
    s.change_space(wb.Space([wb.Float("T", 20, 80), wb.Float("x", 0, 10), wb.Float("w", 0, 1)]), defaults={"w": 0.2})
    assert s.history().baseline["m"] == 10.0
    s.attach({"x": 5, "T": 50, "w": 0.2}, {"y": 1.0, "m": 20.0})
    s.attach({"x": 5, "T": 50, "w": 0.3}, {"y": 1.0, "m": 90.0})
    assert s.history().baseline["m"] == 15.0
    assert s.baseline == {"T": 50.0, "x": 5.0, "w": 0.2}
    s.change_space(wb.Space([wb.Float("T", 20, 80)]))  # runs that differ in what is left out alone are repeats
    assert s.history().baseline["m"] == 40.0
