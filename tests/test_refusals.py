"""What comes from a broken function, a broken sampler or a broken file is named, and nothing is lost or hidden."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb

SPACE = wb.Space([wb.Float("x", 0, 1), wb.Float("y1", 0, 1)])
GOALS = [wb.Objective("loss")]


def study(**options: Any) -> wb.Study:
    return wb.create_study("s", SPACE, GOALS, **{"sampler": "sobol", "seed": 1, **options})


# -- the function ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [10**400, np.complex128(1 + 2j), np.True_, True, "1", None, float("nan"), [1, 2]])
def test_a_result_that_is_no_number_fails_its_trial_and_is_not_tried_again(value: Any) -> None:
    s = study()
    s.optimize(lambda trial: value, n_trials=1, catch=Exception)
    assert (s.trials[0].state, s.trials[0].attempt) == ("failed", 1)
    assert len(s.trials) == 1
    assert "returned" in (s.trials[0].error or "")


@pytest.mark.parametrize("what", ["cost", "sem", "gradient"])
def test_numbers_beyond_floats_are_refused_wherever_they_come(what: str) -> None:
    s = study()
    trial = s.ask()
    told: dict[str, Any] = {what: {"x": 10**400} if what == "gradient" else 10**400}
    with pytest.raises(wb.InvalidValueError, match="fit into a float"):
        s.tell(trial, 1.0, **told)
    with pytest.raises(wb.ProblemError, match="finite"):
        wb.Objective("loss", threshold=10**400)
    with pytest.raises(wb.ProblemError, match="standard deviation"):
        wb.Objective("loss", noise=10**400)


def test_sys_exit_in_the_function_fails_the_trial() -> None:
    s = study()
    with pytest.raises(SystemExit):
        s.optimize(_exits, n_trials=1)
    s.optimize(_exits, n_trials=2, catch=SystemExit)
    assert [trial.state for trial in s.trials] == ["failed"] * 3
    assert "SystemExit: 3" in (s.trials[2].error or "")


def _exits(trial: wb.Trial) -> float:
    raise SystemExit(3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": float("nan")},
        {"timeout": "x"},
        {"timeout": -1},
        {"catch": "ZeroDivisionError"},
        {"catch": 5},
        {"catch": ValueError("x")},
        {"callbacks": 5},
        {"callbacks": [5]},
        {"executor": 4},
        {"executor": wb.Processes},
        {"fn": 5},
    ],
)
def test_wrong_arguments_of_optimize_run_nothing(wrong: dict[str, Any]) -> None:
    s = study()
    with pytest.raises(wb.InvalidValueError, match=f"{next(iter(wrong))} must be"):
        s.optimize(**{"fn": lambda trial: 1.0, "n_trials": 1, **wrong})
    assert len(s.trials) == 0


def test_one_callback_needs_no_list() -> None:
    s, seen = study(), []
    s.optimize(lambda trial: 1.0, n_trials=2, callbacks=lambda study, trial: seen.append(trial.number))  # type: ignore[arg-type]
    assert seen == [0, 1]


@pytest.mark.parametrize("runs", [2, 5])
def test_runs_that_share_a_total_never_go_over_it(tmp_path: Path, runs: int) -> None:
    s = study(storage=tmp_path / "a.db", sampler="random")
    barrier = threading.Barrier(runs)

    def run() -> None:
        barrier.wait()
        s.optimize(lambda trial: time.sleep(0.002) or trial["x"], until=23, progress=False)

    threads = [threading.Thread(target=run) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trial.state for trial in s.trials] == ["complete"] * 23


# -- the sampler -------------------------------------------------------------------------------------------------


class Broken(wb.Sampler):
    name, serves = "broken", frozenset({"float"})

    def __init__(self, x: Any, **more: Any) -> None:
        self.x, self.more = x, more

    def ask(self, request: wb.AskRequest) -> list[wb.Proposal]:
        return [wb.Proposal(np.array(self.x, dtype=float), **self.more) for _ in range(request.n)]


@pytest.mark.parametrize(
    ("sampler", "n", "words"),
    [
        (Broken([7.0, 0.5]), 1, "outside the unit cube"),
        (Broken([0.5, np.nan]), 1, "no point of the space"),
        (Broken([0.5]), 1, "no point of the space"),
        (Broken([0.5, 0.5]), 2, "a second time"),
        (Broken([0.5, 0.5], meta={"a": [1.0, float("inf")]}), 1, "meta that no JSON can hold: inf"),
        (Broken([0.5, 0.5], predicted={"loss": {"mean": float("nan"), "sd": 1.0}}), 1, "predicted that no JSON"),
    ],
)
def test_a_broken_sampler_is_named_and_writes_nothing(sampler: Broken, n: int, words: str) -> None:
    s = study(sampler=sampler)
    with pytest.raises(wb.SamplerError, match=f"'broken'.*{words}"):
        s.ask(n)
    assert len(s.trials) == 0


def test_a_point_of_the_record_comes_again_only_as_a_replicate() -> None:
    s = study(sampler=Broken([0.5, 0.5]))
    s.ask()
    with pytest.raises(wb.SamplerError, match="a second time"):
        s.ask()
    s.void(0, reason="spilled")
    assert s.ask(sampler=Broken([0.5, 0.5])).number == 1
    assert s.ask(sampler=Broken([0.5, 0.5], meta={"replicate": 1})).number == 2


# -- what is told ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), [1.0, float("inf")], {"a": {"b": -np.inf}}, np.array([np.nan])])
def test_attributes_are_stored_without_loss_or_not_at_all(value: Any) -> None:
    s = study()
    trial = s.ask()
    with pytest.raises(wb.InvalidValueError, match="JSON"):
        trial.set_attr("k", value)
    trial.set_attr("k", [None, 1.5, {"a": np.arange(3)}])
    assert s.trials[0].attrs == {"k": [None, 1.5, {"a": [0, 1, 2]}]}


def test_another_cost_is_another_result() -> None:
    s = study()
    trial = s.ask()
    s.tell(trial, 1.0, final=False, cost=1.0)
    with pytest.raises(wb.AlreadyTold, match=r"'cost': \(1.0, 2.0\)"):
        s.tell(trial, 1.0, cost=2.0)
    assert s.tell(trial, 1.0, cost=1.0).cost == 1.0


def test_the_log_says_what_failed_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    s = study()
    with caplog.at_level(logging.INFO, "workbench"):
        s.optimize(lambda trial: 1 / 0, n_trials=1, catch=ZeroDivisionError)
        s.reject(s.ask(), reason="too hot")
        s.void(0, reason="a mistake")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "study 's': trial 0 failed ZeroDivisionError: division by zero",
        "study 's': trial 1 rejected too hot",
        "study 's': trial 0 void ZeroDivisionError: division by zero",
    ]


def test_the_log_has_a_line_for_a_trial_that_people_judged(caplog: pytest.LogCaptureFixture) -> None:
    s = wb.create_study("s", SPACE, [wb.Preference("taste")], sampler="sobol", seed=1)
    a, b = s.ask(2)
    with caplog.at_level(logging.INFO, "workbench"):
        s.feedback.rank([[b], [a]])
    assert sorted(record.getMessage() for record in caplog.records) == [
        "study 's': trial 0 complete ",
        "study 's': trial 1 complete ",
    ]


# -- declarations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [None, 5, wb.Float("x", 0, 1)])
def test_a_space_is_a_list(parameters: Any) -> None:
    with pytest.raises(wb.SpaceError, match=r"Write wb.Space\(\[…\]\)"):
        wb.Space(parameters)


@pytest.mark.parametrize("rule", ["x * n >= 100", "x / 0 < 1", "x * x <= -1"])
def test_constraints_that_leave_nothing_begin_no_study(rule: str, tmp_path: Path) -> None:
    space = wb.Space([wb.Float("x", 0, 1), wb.Int("n", 1, 4)], [rule])
    with pytest.raises(wb.InfeasibleSpaceError):
        wb.create_study("s", space, GOALS, storage=tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()


def test_mixtures_of_the_model_add_up() -> None:
    space = wb.Space([wb.Simplex("m", parts=10)], constraints=["m_0 + m_1 >= 0.3", "m_2 <= 0.05"])
    s = wb.create_study("s", space, [wb.Objective("loss", noise="none")], sampler="gp", seed=1, budget=12)
    s.optimize(lambda trial: (trial["m"]["m_0"] - 0.2) ** 2 + trial["m"]["m_3"], n_trials=10)
    assert max(abs(sum(trial["m"].values()) - 1) for trial in s.trials) <= 1e-12


# -- the file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("update trials set params = '{bad' where number = 1", "JSONDecodeError"),
        ("update trials set state = 'odd' where number = 1", "'odd'"),
        ("delete from trials where number = 0", "trial 0 is missing"),
        ("update spaces set json = '{'", "JSONDecodeError"),
        ("update studies set objectives = '[{}]'", "KeyError"),
    ],
)
def test_a_damaged_record_is_named(change: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    s = study(storage=path)
    s.optimize(lambda trial: trial["x"], n_trials=3)
    with sqlite3.connect(path) as database:
        database.execute(change)
    with pytest.raises(wb.CorruptStorageError, match=f"study 's' in .*is damaged: .*{words}.*put back a copy"):
        wb.load_study("s", storage=path).history()


def test_a_read_only_file_is_called_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a b.db"
    study(storage=path)
    s = wb.load_study("s", storage=f"sqlite:///{path}?mode=ro")
    with pytest.raises(wb.ReadOnlyStorageError, match=f"the database {path} \\(mode=ro\\) cannot be written"):
        s.ask()
