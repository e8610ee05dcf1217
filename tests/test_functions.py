"""Known constraints that are Python functions: kept in the process, named in the record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb

GOALS = [wb.Objective("y", "minimize", noise="none")]


def round_enough(params: Mapping[str, Any]) -> bool:
    return bool(params["x"] ** 2 + params["y1"] ** 2 <= 1)


def not_acid(params: Mapping[str, Any]) -> bool:
    return params["c"] != "acid" or params["x"] > 0


def space(*rules: Any) -> wb.Space:
    knobs = [wb.Float("x", -1, 1), wb.Float("y1", -1, 1), wb.Categorical("c", ["acid", "base"])]
    return wb.Space(knobs, constraints=rules or ("x + y1 >= -1", round_enough, not_acid))


def holds(params: Mapping[str, Any]) -> bool:
    return round_enough(params) and not_acid(params) and params["x"] + params["y1"] >= -1 - 1e-9


@pytest.mark.parametrize("sampler", ["random", "sobol", "grid", "gp"])
def test_every_sampler_keeps_them(sampler: str) -> None:
    study = wb.create_study("s", space(), GOALS, sampler=sampler, seed=1, budget=12)
    for _ in range(9):
        trial = study.ask()
        assert holds(trial.params)
        study.tell(trial, trial["x"] - trial["y1"])
    assert all(holds(trial.params) for trial in study.ask(3))


def test_accepted_points_are_uniform_on_what_is_left() -> None:
    X = space(round_enough).sobol(2000, seed=3)
    r2 = X[:, 0] * 2 - 1, X[:, 1] * 2 - 1
    radius = np.sqrt(r2[0] ** 2 + r2[1] ** 2)
    # uniform on a disc: P(r <= 1/2) = 1/4, sd of the share sqrt(3/16/2000) < 0.01
    assert abs((radius <= 0.5).mean() - 0.25) < 0.03
    assert radius.max() <= 1 + 1e-9


def test_a_point_that_breaks_one_is_refused_and_never_best() -> None:
    study = wb.create_study("s", space(), GOALS, sampler="sobol", seed=1)
    study.attach({"x": 0.9, "y1": 0.9, "c": "base"}, -9.0)
    study.attach({"x": 0.5, "y1": 0.5, "c": "base"}, 1.0)
    assert study.best_trial.number == 1
    with pytest.raises(wb.InfeasibleSpaceError, match="round_enough: says no"):
        study.ask(fixed={"x": 0.9, "y1": 0.9, "c": "base"})


def test_a_loaded_study_asks_for_them_again(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    study = wb.create_study("s", space(), GOALS, sampler="sobol", seed=1, storage=db)
    first = study.ask()
    with pytest.warns(wb.WorkbenchWarning, match=r"round_enough, not_acid.*functions="):
        blind = wb.load_study("s", storage=db)
    blind.tell(first.number, 1.0)
    assert blind.best_trial.number == 0
    for call in (blind.ask, lambda: blind.enqueue({"x": 0.0})):
        with pytest.raises(
            wb.UnsupportedError, match=r"missing: round_enough, not_acid.*functions=.*'not_acid': not_acid"
        ):
            call()
    loaded = wb.load_study("s", storage=db, functions={"round_enough": round_enough, "not_acid": not_acid})
    assert holds(loaded.ask().params)
    assert loaded.space == study.space
    assert "round_enough" in repr(loaded.space)
    with pytest.raises(wb.InvalidValueError, match="did you mean 'not_acid'"):
        wb.load_study("s", storage=db, functions={"not_acids": not_acid})


def test_the_same_declaration_goes_on_with_the_study(tmp_path: Path) -> None:
    options: dict[str, Any] = {"sampler": "sobol", "seed": 1, "storage": tmp_path / "a.db", "load_if_exists": True}
    whole = [wb.create_study("s", space(), GOALS, **options).ask().params for _ in range(4)]
    alone = wb.create_study("s", space(), GOALS, sampler="sobol", seed=1)
    assert whole == [alone.ask().params for _ in range(4)]


def test_equal_names_of_different_functions_do_not_share_their_points() -> None:
    def rule(params: Mapping[str, Any]) -> bool:
        return bool(params["x"] > 0)

    other = space(rule)

    def rule(params: Mapping[str, Any]) -> bool:  # type: ignore[no-redef]
        return bool(params["x"] < 0)

    assert (other.sobol(20, seed=0)[:, 0] > 0.5).all()
    assert (space(rule).sobol(20, seed=0)[:, 0] < 0.5).all()


def test_change_space_may_bring_a_function() -> None:
    study = wb.create_study("s", space("x <= 1"), GOALS, sampler="sobol", seed=1)
    study.ask(3)
    study.change_space(space(not_acid))
    assert all(not_acid(trial.params) for trial in study.ask(12))


def test_workers_need_no_function(tmp_path: Path) -> None:
    study = wb.create_study("s", space(), GOALS, sampler="sobol", seed=1, storage=tmp_path / "a.db")
    with wb.Processes(1) as pool:
        study.optimize(evaluate, n_trials=2, executor=pool)
    assert len(study.trials) == 2
    assert all(trial.value is not None for trial in study.trials)


def evaluate(trial: wb.Trial) -> float:
    return float(trial["x"])


def raises(params: Mapping[str, Any]) -> bool:
    return bool(params["nothing"])


def seven(params: Mapping[str, Any]) -> bool:
    return 7  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([lambda params: True], "function with a name"),
        ([not_acid, not_acid], "'not_acid' twice"),
        ([raises], "'raises' raised KeyError.*params.get"),
        ([seven], "must return True or False, got 7"),
    ],
)
def test_wrong_functions(rules: list[Any], words: str) -> None:
    with pytest.raises(wb.ConstraintError, match=words):
        space(*rules).sobol(2, seed=0)
