"""The record as a user sees it: ask, tell, best, history, frames, runs."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

import workbench as wb
from workbench.executor import Executor
from workbench.samplers.base import REGION
from workbench.storage import Storage
from workbench.study import Study

X = wb.Float("x", -5, 10, unit="mm")
LR = wb.Float("lr", 1e-5, 1e-1, log=True)


def mixed() -> wb.Space:
    return wb.Space(
        [
            X, LR, wb.Int("depth", 1, 8), wb.Categorical("act", ["relu", "tanh"]), wb.Bool("bias"),
            wb.Float("momentum", 0, 1, when={"bias": True}),
        ],
        constraints=["x + depth <= 12"],
    )  # fmt: skip


def simple(
    *objectives: wb.Objective | wb.Preference,
    constraints: tuple[wb.Constraint, ...] = (),
    space: wb.Space | None = None,
    **options: Any,
) -> Study:
    space = space or wb.Space([wb.Float("x", 0, 1)])
    settings: dict[str, Any] = {"sampler": "sobol", "seed": 3} | options
    return wb.create_study("demo", space, objectives or (wb.Objective("loss"),), constraints, **settings)


def audit(study: Study) -> list[Any]:
    return study._record.storage.audit(study._record.id)


# -- ask --------------------------------------------------------------------------------------


def test_ask_gives_a_trial_or_a_list_of_exactly_n() -> None:
    study = simple(space=mixed())
    trial = study.ask()
    assert isinstance(trial, wb.Trial)
    assert (trial.number, trial.state, trial.origin, trial.attempt) == (0, "running", "asked", 1)
    assert trial.meta == {"sampler": "sobol", "rng": [3, 0]}
    assert trial.started is not None
    assert trial.finished is None
    several = study.ask(3)
    assert [t.number for t in several] == [1, 2, 3]
    assert isinstance(study.ask(1), list)
    assert [t.number for t in study.trials] == [0, 1, 2, 3, 4]
    for t in study.trials:
        assert study.space.check(t.params) == t.params
        assert study.space.violations(t.params) == []
        assert ("momentum" in t.params) == t["bias"]


def test_ask_holds_fixed_values_and_what_they_imply() -> None:
    study = simple(space=mixed())
    trials = study.ask(4, fixed={"momentum": 0.25, "act": "tanh"})
    assert all(t["bias"] is True and t["momentum"] == 0.25 and t["act"] == "tanh" for t in trials)
    assert len({t["x"] for t in trials}) == 4


def test_ask_needs_the_context_and_keeps_it() -> None:
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("outside", -10, 40, role="context")])
    study = simple(space=space)
    for sampler in ("sobol", "random", "grid"):
        with pytest.raises(wb.InvalidValueError, match=r"outside.*context"):
            study.ask(sampler=sampler)
    with pytest.raises(wb.InvalidValueError, match=r"context=.*\['outside'\].*\['x'\].*fixed="):
        study.ask(context={"x": 0.5})
    assert study.ask(context={"outside": 21.5})["outside"] == 21.5
    assert study.trials[0].params.keys() == {"x", "outside"}


def test_ask_by_another_sampler_for_once() -> None:
    study = simple(space=wb.Space([wb.Int("k", 1, 3)]))
    assert [t["k"] for t in study.ask(3, sampler="grid")] == [1, 2, 3]
    assert study.sampler.name == "sobol"
    assert study.trials[0].meta["sampler"] == "grid"
    assert study.trials[0].why == "combination 1 of the grid"


def test_equal_records_give_equal_proposals() -> None:
    first, second = simple(space=mixed(), seed=11), simple(space=mixed(), seed=11)
    one_by_one = [first.ask().params for _ in range(4)]
    assert one_by_one == [t.params for t in second.ask(4)]
    assert one_by_one != [t.params for t in simple(space=mixed(), seed=12).ask(4)]


def test_a_short_timeout_gives_a_stored_warning() -> None:
    study = simple(sampler="random")
    with pytest.warns(wb.WorkbenchWarning, match="longer timeout="):
        trial = study.ask(timeout=1e-9)
    assert trial.meta["deadline_hit"] is True
    assert len(trial.warnings) == 1
    assert 0 <= trial["x"] <= 1


# -- enqueue and attach ------------------------------------------------------------------------


def test_enqueued_points_are_served_first_in_their_order_and_count() -> None:
    study = simple(space=mixed())
    full = {"x": 1.5, "lr": 1e-3, "depth": 2, "act": "relu", "bias": True, "momentum": 0.9}
    a = study.enqueue(full)
    b = study.enqueue({"act": "tanh", "momentum": 0.5})
    assert (a.state, a.origin, a.params, a.meta) == ("waiting", "enqueued", full, {})
    assert b["act"] == "tanh"
    assert b["bias"] is True
    assert b.meta == {"drawn": ["depth", "lr", "x"]}
    assert study.space.violations(b.params) == []
    asked = study.ask(3)
    assert [t.number for t in asked] == [0, 1, 2]
    assert [t.state for t in asked] == ["running"] * 3
    assert asked[0].params == full
    assert asked[1].params == b.params
    assert [t.origin for t in asked] == ["enqueued", "enqueued", "asked"]
    assert study.ask().number == 3


def test_enqueue_draws_different_values_for_each_trial_and_the_same_for_each_record() -> None:
    first, second = simple(space=mixed()), simple(space=mixed())
    drawn = [first.enqueue({"act": "relu"}).params for _ in range(3)]
    assert len({p["x"] for p in drawn}) == 3
    assert drawn == [second.enqueue({"act": "relu"}).params for _ in range(3)]


def test_a_draw_whose_number_was_taken_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    study, reference = simple(space=mixed()), simple(space=mixed())
    real, between = study._record.history, iter([True])

    def history() -> Any:
        seen = real()
        if next(between, False):
            study.attach({"x": 0.0, "lr": 1e-3, "depth": 1, "act": "relu", "bias": False}, 1.0)
        return seen

    monkeypatch.setattr(study._record, "history", history)
    late = study.enqueue({"act": "tanh"})
    reference.enqueue({"act": "relu"})
    assert late.number == 1
    assert late.params == reference.enqueue({"act": "tanh"}).params


def test_attached_points_outside_are_data_and_never_best() -> None:
    space = wb.Space([X, wb.Int("depth", 1, 8)], constraints=["x + depth <= 12"])
    study = simple(space=space)
    inside = study.attach({"x": 0.0, "depth": 3}, 5.0, sem=0.1, cost=2.0)
    outside = study.attach({"x": 40.0, "depth": 3}, -9.0)
    against = study.attach({"x": 9.0, "depth": 8}, -7.0)  # within the bounds, against the known constraint
    assert (inside.state, inside.origin, inside.sem, inside.cost) == ("complete", "attached", {"loss": 0.1}, 2.0)
    assert study.best_trial == inside
    assert study.history().complete.all()
    assert study.history().counted.tolist() == [True, False, False]
    assert (outside["x"], against["x"]) == (40.0, 9.0)
    assert study.pareto_trials == [inside]


def test_actual_values_stand_in_for_proposed_ones() -> None:
    study = simple(space=wb.Space([X]))
    a, b = study.ask(2)
    study.tell(a, 1.0, actual={"x": 2.5})
    study.tell(b, 2.0)
    assert a.actual == {"x": 2.5}
    assert a["x"] == study.trials[0]["x"] != 2.5
    assert study.history().X[0, 0] == pytest.approx(0.5, rel=1e-12)  # (2.5 + 5) / 15
    study.tell(study.ask(), 0.0, actual={"x": 11.0})  # really set outside the bounds
    assert study.best_trial == a


# -- tell --------------------------------------------------------------------------------------


def test_what_was_really_set_may_lie_between_steps() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("t", 20, 80, step=0.5)]), [wb.Objective("y")], seed=1)
    trial = study.enqueue({"t": 37.5})
    study.tell(study.ask(), 1.0, actual={"t": 37.3})
    assert study.history().X[0, 0] == pytest.approx((37.3 - 20) / 60, rel=1e-12)
    study.attach({"t": 21.26}, 0.5)
    assert (study.trials[0]["t"], study.best_trial["t"], trial["t"]) == (37.5, 21.26, 37.5)


def test_tell_brings_the_trial_up_to_date_and_returns_it() -> None:
    study = simple()
    trial = study.ask()
    assert study.tell(trial, 0.5, sem=0.05, cost=3) is trial
    assert (trial.state, trial.value, trial.values) == ("complete", 0.5, {"loss": 0.5})
    assert (trial.sem, trial.cost) == ({"loss": 0.05}, 3.0)
    assert trial.finished is not None
    assert trial.started is not None
    assert trial.finished >= trial.started
    assert study.tell(study.ask().number, {"loss": 1}).value == 1.0
    assert study.tell(np.int64(study.ask().number), np.float32(0.25)).value == 0.25  # type: ignore[arg-type]
    assert study.trial(0) == trial


@pytest.mark.parametrize("state", ["failed", "infeasible", "pruned"])
def test_tell_another_end(state: str) -> None:
    study = simple()
    text = {"error": "diverged"} if state == "failed" else {"reason": "no power"}
    trial = study.tell(study.ask(), state=state, **text)  # type: ignore[arg-type]
    assert trial.state == state
    assert (trial.error, trial.reason) == (text.get("error"), text.get("reason"))
    assert study.history().in_state(wb.TrialState(state)).tolist() == [True]
    assert study.history().finished.all()
    assert study.tell(trial, state=state, **text) == trial  # type: ignore[arg-type]
    with pytest.raises(wb.AlreadyTold, match=rf"trial 0 is {state}.*{next(iter(text.values()))}.*0\.5.*study\.void"):
        study.tell(trial, 0.5)
    assert study.trial(0) == trial


def test_partial_tells_add_up() -> None:
    study = simple(
        wb.Objective("loss"), wb.Objective("speed", "maximize"), constraints=(wb.Constraint("memory", upper=8),)
    )
    trial = study.ask()
    study.tell(trial, {"loss": 0.3}, sem={"loss": 0.1}, gradient={"loss": {"x": 2.0}}, final=False)
    assert (trial.state, trial.values) == ("running", {"loss": 0.3})
    assert np.isnan(study.history().Y[0]).tolist() == [False, True]
    with pytest.raises(wb.InvalidValueError, match=r"missing: 'speed', 'memory'.*final=False"):
        study.tell(trial, {"loss": 0.3})
    with pytest.raises(wb.AlreadyTold, match=r"'loss': \(0\.3, 0\.4\)"):
        study.tell(trial, {"loss": 0.4}, final=False)
    with pytest.raises(wb.AlreadyTold, match=r"sem of loss.*0\.1.*0\.2"):
        study.tell(trial, {"loss": 0.3}, sem={"loss": 0.2}, final=False)
    with pytest.raises(wb.AlreadyTold, match=r"gradient of loss"):
        study.tell(trial, {"loss": 0.3}, gradient={"loss": {"x": 1.0}}, final=False)
    study.tell(trial, {"loss": 0.3, "speed": 7}, final=False)
    study.tell(trial, {"memory": 5})
    assert trial.state == "complete"
    assert trial.values == {"loss": 0.3, "speed": 7.0, "memory": 5.0}
    assert trial.sem == {"loss": 0.1}
    assert trial.gradient == {"loss": {"x": 2.0}}


def test_slopes_may_come_one_parameter_at_a_time() -> None:
    study = simple(space=wb.Space([X, LR]))
    trial = study.ask()
    study.tell(trial, 1.0, gradient={"x": 0.5}, final=False)
    study.tell(trial, 1.0, gradient={"lr": 2.0, "x": math.nan})  # NaN: not known
    assert trial.gradient == {"loss": {"x": 0.5, "lr": 2.0}}


def test_equal_second_tell_is_no_error_and_another_one_names_both_values() -> None:
    space = wb.Space([wb.Vector("z", 3, prior="normal"), wb.Permutation("order", 3)])
    study = simple(space=space)
    trial = study.ask()
    what: dict[str, Any] = {"sem": 0.1, "cost": 2.0, "actual": {"z": np.ones(3), "order": (2, 1, 0)}}
    study.tell(trial, 0.5, **what)
    revision = study.history().revision
    before = study.trial(0)
    assert study.tell(trial, 0.5, **what) == before
    assert study.tell(0, {"loss": 0.5}) == before
    for other in ({"sem": 0.2}, {"cost": 3.0}, {"actual": {"order": (0, 1, 2)}}):
        with pytest.raises(wb.AlreadyTold, match=r"study\.amend"):
            study.tell(trial, 0.5, **other)
    with pytest.raises(wb.AlreadyTold, match=r"trial 0 is complete with \{'loss': 0\.5\}.*now came complete.*0\.75"):
        study.tell(trial, 0.75)
    with pytest.raises(wb.AlreadyTold, match=r"now came failed.*diverged"):
        study.tell(trial, state="failed", error="diverged")
    assert study.trial(0) == before
    assert study.history().rows[0].revision <= revision


def test_a_waiting_trial_can_be_told() -> None:
    study = simple()
    trial = study.tell(study.enqueue({"x": 0.5}), 1.0)
    assert trial.state == "complete"
    assert study.ask().number == 1


# -- gradients ---------------------------------------------------------------------------------


def test_gradients_are_slopes_of_the_maximised_value_in_encoded_coordinates() -> None:
    study = simple(wb.Objective("loss"), wb.Objective("gain", "maximize"), space=wb.Space([X, LR, wb.Int("k", 1, 3)]))

    def loss(x: float, lr: float) -> float:
        return (x - 1) ** 2 + math.log(lr) ** 2

    def gain(x: float, lr: float) -> float:
        return 3 * x + 100 * lr

    for t in study.ask(3):
        x, lr = t["x"], t["lr"]
        slopes = {"loss": {"x": 2 * (x - 1), "lr": 2 * math.log(lr) / lr}, "gain": {"x": 3.0, "lr": 100.0}}
        study.tell(t, {"loss": loss(x, lr), "gain": gain(x, lr)}, gradient=slopes)
    history = study.history()
    G = history.gradients()
    assert G.shape == (3, 2, 3)
    assert np.isnan(G[:, :, 2]).all()
    h = 1e-6  # central differences: error h^2 f'''/6 < 1e-9, rounding 1e-16 |f| / h < 1e-7 for |f| < 200
    for column in (0, 1):
        up, down = history.X.copy(), history.X.copy()
        up[:, column] += h
        down[:, column] -= h
        for j, (f, sign) in enumerate(((loss, -1), (gain, 1))):
            values = [[sign * f(p["x"], p["lr"]) for p in study.space.decode(X)] for X in (up, down)]
            numeric = (np.array(values[0]) - np.array(values[1])) / (2 * h)
            np.testing.assert_allclose(G[:, j, column], numeric, rtol=1e-6, atol=1e-6)


def test_gradient_of_a_study_with_one_objective_may_be_flat() -> None:
    study = simple(wb.Objective("y", "maximize"))
    study.tell(study.ask(), 1.0, gradient={"x": 4.0})
    study.tell(study.ask(), 1.0)
    np.testing.assert_array_equal(study.history().gradients()[:, 0, 0], [4.0, np.nan])


# -- amend, void, reject -------------------------------------------------------------------------


def test_amend_keeps_what_was_in_the_audit_log() -> None:
    study = simple(wb.Objective("loss"), wb.Objective("speed", "maximize"))
    trial = study.tell(study.ask(), {"loss": 1.0, "speed": 2.0}, sem={"loss": 0.1}, cost=1.0)
    study.amend(trial, values={"loss": 3.0}, sem={"loss": 0.2}, gradient={"loss": {"x": 1.0}}, cost=4.0, reason="typo")
    assert trial.values == {"loss": 3.0, "speed": 2.0}
    assert (trial.sem, trial.cost, trial.gradient) == ({"loss": 0.2}, 4.0, {"loss": {"x": 1.0}})
    assert study.trial(0) == trial
    assert study.history().Y.tolist() == [[-3.0, 2.0]]
    (entry,) = audit(study)
    assert (entry.action, entry.number, entry.reason) == ("amend", 0, "typo")
    assert orjson.loads(entry.before) == {
        "values": {"loss": 1.0, "speed": 2.0}, "sem": {"loss": 0.1}, "gradient": {}, "cost": 1.0,
    }  # fmt: skip
    assert orjson.loads(entry.after)["values"] == {"loss": 3.0, "speed": 2.0}
    with pytest.raises(wb.TrialStateError, match=r"trial 1 is running"):
        study.amend(study.ask(), values={"loss": 1.0}, reason="early")


def test_void_takes_a_trial_out_and_erases_nothing() -> None:
    study = simple()
    a, b = (study.tell(study.ask(), value) for value in (1.0, 2.0))
    study.void(a, reason="wrong sample")
    assert (a.state, a.values, a.reason) == ("void", {"loss": 1.0}, "wrong sample")
    assert study.best_trial == b
    assert [(e.action, e.number, e.reason) for e in audit(study)] == [("void", 0, "wrong sample")]
    study.void(a, reason="again")
    assert len(audit(study)) == 1
    with pytest.raises(wb.TrialStateError, match=r"trial 0 is void.*study\.attach"):
        study.tell(a, 1.0)
    running = study.void(study.ask(), reason="lost")
    assert running.state == "void"
    assert study.ask().number == 3


@pytest.mark.parametrize("sampler", ["sobol", "random", "grid"])
def test_a_rejected_point_does_not_come_again(sampler: str) -> None:
    study = simple(space=wb.Space([wb.Int("k", 1, 4)]), sampler=sampler)
    first = study.ask()
    study.reject(first, reason="ugly")
    assert (first.state, first.reason) == ("rejected", "ugly")
    assert sorted([first["k"], *(t["k"] for t in study.ask(3))]) == [1, 2, 3, 4]
    with pytest.raises(wb.ExhaustedSpaceError):
        study.ask()
    (entry,) = audit(study)
    assert (entry.action, orjson.loads(entry.after)) == ("reject", {"avoid": "point"})


@pytest.mark.parametrize("sampler", ["sobol", "random", "gp"])
def test_a_rejected_region_stays_shut(sampler: str) -> None:
    study = simple(space=wb.Space([wb.Float("x", 0, 10)]), sampler=sampler)
    study.enqueue({"x": 5.0})
    study.reject(study.ask(), reason="too hot", avoid="region")
    reach = 10 * REGION
    for t in study.ask(40):
        assert abs(t["x"] - 5.0) > reach


@pytest.mark.parametrize("sampler", ["sobol", "random"])
def test_a_rejected_half_stays_shut(sampler: str) -> None:
    study = simple(space=wb.Space([wb.Float("x", 0, 10), wb.Int("k", 1, 4)]), sampler=sampler)
    study.reject(study.ask(), reason="too hot", avoid="x > 3")
    study.reject(study.ask(), reason="too deep", avoid="k >= 3")
    assert all(t["x"] <= 3 and t["k"] <= 2 for t in study.ask(20))


def test_reject_only_what_is_open() -> None:
    study = simple()
    done = study.tell(study.ask(), 1.0)
    with pytest.raises(wb.TrialStateError, match=r"trial 0 is complete.*study\.void"):
        study.reject(done, reason="late")
    with pytest.raises(wb.ConstraintError, match="y"):
        study.reject(study.ask(), reason="typo", avoid="y > 3")
    assert study.trial(1).state == "running"
    assert study.reject(study.enqueue({"x": 0.5}), reason="no").state == "rejected"


# -- best and front ---------------------------------------------------------------------------------


def test_best_is_feasible_and_follows_the_direction() -> None:
    study = simple(
        wb.Objective("y", "maximize"), constraints=(wb.Constraint("m", upper=8.0), wb.Constraint("p", lower=1.0))
    )
    for y, m, p in ((9.0, 9.0, 2.0), (8.0, 7.0, 0.5), (5.0, 8.0, 1.0), (5.0, 2.0, 3.0), (1.0, 1.0, 5.0)):
        study.tell(study.ask(), {"y": y, "m": m, "p": p})
    assert study.best_trial.number == 2  # the earliest of equals, on both limits
    assert study.best_value == 5.0
    assert study.best_params == study.trials[2].params
    np.testing.assert_array_equal(study.history().feasible, [False, False, True, True, True])
    np.testing.assert_array_equal(study.history().C[0], [1.0, -1.0])  # C <= 0 is feasible


def test_best_of_a_target_with_tolerance() -> None:
    study = simple(wb.Objective("pH", target=7.2, tolerance=0.1))
    for value in (6.9, 7.25, 7.19, 7.5):
        study.tell(study.ask(), value)
    assert study.best_value == 7.25  # within the band all are equal, the earliest counts
    history = study.history()
    np.testing.assert_array_equal(history.Y[:, 0], [6.9, 7.25, 7.19, 7.5])
    np.testing.assert_allclose(history.utility(history.Y)[:, 0], [-0.2, 0.0, 0.0, -0.2], atol=1e-12)


@pytest.mark.parametrize("role", ["fidelity", "task"])
def test_best_counts_the_target_of_fidelity_and_task_only(role: str) -> None:
    odd = wb.Int("e", 1, 10, role=role, target=10)
    study = simple(space=wb.Space([wb.Float("x", 0, 1), odd]))
    study.attach({"x": 0.1, "e": 1}, 0.0)
    with pytest.raises(wb.TrialStateError, match="none of the 1 complete"):
        study.best_trial  # noqa: B018
    study.attach({"x": 0.2, "e": 10}, 3.0)
    study.attach({"x": 0.3, "e": 10}, 2.0)
    assert study.best_value == 2.0
    assert all(t["e"] == 10 for t in study.ask(3))


def test_no_best_says_why() -> None:
    study = simple(constraints=(wb.Constraint("m", upper=1.0),))
    with pytest.raises(wb.TrialStateError, match="of its 0 trials none is complete"):
        study.best_trial  # noqa: B018
    study.tell(study.ask(), {"loss": 1.0, "m": 2.0})
    with pytest.raises(wb.TrialStateError, match="none of the 1 complete ones is feasible"):
        study.best_value  # noqa: B018
    two = simple(wb.Objective("a"), wb.Objective("b"))
    with pytest.raises(wb.TrialStateError, match=r"2 objectives.*pareto_trials"):
        two.best_params  # noqa: B018


def test_front_against_brute_force() -> None:
    study = simple(
        wb.Objective("a"), wb.Objective("b", "maximize"), wb.Objective("c", target=0.5, tolerance=0.1),
        constraints=(wb.Constraint("m", upper=0.8),),
    )  # fmt: skip
    rng = np.random.default_rng(5)
    for t in study.ask(40):
        values = rng.integers(0, 5, 4) / 4  # many ties
        study.tell(t, dict(zip("abcm", values.tolist(), strict=True)))
    study.tell(study.ask(), state="failed")

    def worth(t: wb.Trial) -> tuple[float, float, float]:
        v = t.values
        return -v["a"], v["b"], -max(0.0, abs(v["c"] - 0.5) - 0.1)

    fine = [t for t in study.trials if t.values and t.values["m"] <= 0.8]
    front = [
        t.number
        for t in fine
        if not any(worth(o) != worth(t) and all(p >= q for p, q in zip(worth(o), worth(t), strict=True)) for o in fine)
    ]
    assert [t.number for t in study.pareto_trials] == front
    assert 0 < len(front) < len(fine)


# -- history ----------------------------------------------------------------------------------------


def same_history(a: wb.History, b: wb.History) -> None:
    for name in ("numbers", "states", "X", "Y", "sem", "C", "cost"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(a.gradients(), b.gradients())
    for name in ("rows", "feedback", "reports", "seed", "budget", "revision"):
        left, right = getattr(a, name), getattr(b, name)
        assert (list(left) == list(right)) if name == "rows" else (left == right), name


def test_a_refreshed_history_equals_a_fresh_one(tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    study = simple(
        wb.Objective("loss"), constraints=(wb.Constraint("m", lower=0, upper=1),), space=mixed(), storage=path, budget=9
    )
    reader = wb.load_study("demo", storage=path)
    steps: list[Callable[[], object]] = [
        lambda: study.ask(3),
        lambda: study.trial(1).report({"loss": 3.0}, 5),
        lambda: study.trial(0).report({"loss": 2.0, "m": 0.5}, 1),
        lambda: study.trial(1).report({"loss": 4.0}, 2),
        lambda: study.trial(1).report({"loss": 2.5}, 5),
        lambda: study.tell(1, {"loss": 1.0, "m": 0.5}, sem=0.1, gradient={"lr": 2.0}, cost=1.0, actual={"x": 1.0}),
        lambda: study.enqueue({"act": "relu", "momentum": 0.5}),
        lambda: study.tell(0, state="failed", error="e"),
        lambda: study.feedback.rank([[1], [2]]),
        lambda: study.amend(1, values={"loss": 2.0}, reason="r"),
        lambda: study.feedback.undo(0),
        lambda: study.attach({"x": 0.0, "lr": 1e-3, "depth": 1, "act": "relu", "bias": False}, {"loss": 0.0, "m": 3.0}),
        lambda: study.ask(2),
        lambda: study.reject(5, reason="r", avoid="region"),
        lambda: study.void(1, reason="r"),
    ]
    for step in steps:
        step()
        fresh = wb.load_study("demo", storage=path).history()
        same_history(study.history(), fresh)
        same_history(reader.history(), fresh)
    history = study.history()
    assert [(r.number, r.step, r.objective, r.value) for r in history.reports] == [
        (0, 1, "loss", 2.0), (0, 1, "m", 0.5), (1, 2, "loss", 4.0), (1, 5, "loss", 2.5),
    ]  # fmt: skip
    assert history.failed.tolist() == [True, False, False, False, False, False]
    assert history.rejected.tolist() == [False, False, False, False, False, True]
    assert history.pending.tolist() == [False, False, True, True, False, False]
    assert history.complete.tolist() == [False, False, False, False, True, False]
    np.testing.assert_array_equal(history.C[4], [2.0, -3.0])
    assert study.history() is study.history()


def test_columns_are_flipped_and_nan_where_unknown() -> None:
    study = simple(wb.Objective("a"), wb.Objective("b", "maximize"), wb.Objective("c", target=1.0))
    study.tell(study.ask(), {"a": 1, "b": 2, "c": 3}, sem={"a": 0.5}, cost=7)
    study.tell(study.ask(), {"a": 4}, final=False)
    h = study.history()
    np.testing.assert_array_equal(h.Y, [[-1, 2, 3], [-4, np.nan, np.nan]])
    np.testing.assert_array_equal(h.sem, [[0.5, np.nan, np.nan], [np.nan] * 3])
    np.testing.assert_array_equal(h.cost, [7, np.nan])
    assert h.C.shape == (2, 0)
    assert h.next_number == len(h) == 2


def test_inactive_parameters_are_absent_and_masked() -> None:
    study = simple(space=mixed())
    off = study.ask(fixed={"bias": False})
    on = study.ask(fixed={"momentum": 0.5})
    assert "momentum" not in off.params
    with pytest.raises(wb.InvalidValueError, match=r"no parameter 'momentum'.*inactive"):
        off["momentum"]
    assert on["momentum"] == 0.5
    column = study.space.slices["momentum"].start
    assert study.history().mask[:, column].tolist() == [False, True]
    assert study.history().mask.sum() == 11


# -- what stands beside the values ---------------------------------------------------------------------


def test_attributes_reports_and_files(tmp_path: Path) -> None:
    study = simple(storage=tmp_path / "demo.db")
    trial = study.ask()
    trial.set_attr("lot", "B7")
    trial.set_attr("sizes", [1, 2.5])
    trial.set_attr("lot", {"id": 8})
    assert study.trial(0).attrs == {"lot": {"id": 8}, "sizes": [1, 2.5]}
    trial.report(0.5, step=0)
    trial.report(0.25, step=np.int64(1))  # type: ignore[arg-type]
    assert [(r.step, r.value) for r in study.history().reports] == [(0, 0.5), (1, 0.25)]
    assert trial.should_prune() is False
    study.tell(trial, 1.0)
    with pytest.raises(wb.TrialStateError, match="only a running trial can report; trial 0 is complete"):
        trial.report(0.1, step=2)
    study.files.put("photo.png", b"\x89PNG", "image/png", trial=trial)
    study.files.put("notes", b"all", "text/plain")
    study.files.put("notes", b"newer", "text/plain")
    again = wb.load_study("demo", storage=tmp_path / "demo.db")
    assert again.files.get("photo.png") == b"\x89PNG"
    assert again.files.get("notes") == b"newer"
    assert sorted(row.name for row in again.files.list()) == ["notes", "photo.png"]
    assert [(row.name, row.mime, row.size) for row in again.files.list(trial=0)] == [("photo.png", "image/png", 4)]
    with pytest.raises(wb.InvalidValueError, match=r"photo"):
        again.files.get("foto.png")


def test_data_frame() -> None:
    study = simple(wb.Objective("loss"), space=mixed(), constraints=(wb.Constraint("m", upper=1),))
    assert list(study.to_dataframe().columns)[:3] == ["number", "state", "x"]
    assert len(study.to_dataframe()) == 0
    a = study.tell(study.ask(fixed={"momentum": 0.5}), {"loss": 1.0, "m": 0.5}, cost=2.0)
    b = study.ask(fixed={"bias": False})
    a.set_attr("lot", "B7")
    frame = study.to_dataframe()
    assert list(frame.columns) == [
        "number", "state", *study.space.names, "loss", "m", "cost", "started", "finished", "attr:lot",
    ]  # fmt: skip
    assert frame["number"].tolist() == [0, 1]
    assert frame["state"].tolist() == ["complete", "running"]
    assert frame["x"].tolist() == [a["x"], b["x"]]
    assert frame["momentum"].isna().tolist() == [False, True]
    assert frame["cost"].isna().tolist() == [False, True]
    assert frame["started"].dt.year.tolist() == [time.gmtime().tm_year] * 2
    assert frame["finished"].isna().tolist() == [False, True]
    assert frame["attr:lot"].tolist()[0] == "B7"


def test_names_of_the_user_go_before_those_of_the_frame() -> None:
    study = simple(wb.Objective("cost"), space=wb.Space([wb.Int("state", 1, 3), wb.Float("number", 0, 1)]))
    study.attach({"state": 2, "number": 0.5}, 9.0, cost=4.0)
    row = study.to_dataframe().iloc[0]
    assert (row["state"], row["number"], row["cost"]) == (2, 0.5, 9.0)
    assert (row["trial:state"], row["trial:number"], row["trial:cost"]) == ("complete", 0, 4.0)


def test_repr_and_equality_of_trials() -> None:
    study = simple()
    trial = study.tell(study.ask(), 0.5)
    assert repr(study) == "Study('demo', 1 trials, sampler='sobol', storage=None)"
    assert repr(trial).startswith("Trial(0, complete, {'x': ")
    assert repr(trial).endswith("values={'loss': 0.5})")
    assert trial == study.trial(0)
    assert len({trial, study.trial(0), study.ask()}) == 2
    trial.params["x"] = 9.0
    assert trial["x"] != 9.0


# -- studies in a storage ----------------------------------------------------------------------------


def test_load_goes_on_where_the_study_stood(tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    straight = simple(space=mixed(), seed=5)
    expected = [straight.ask().params for _ in range(6)]
    study = simple(space=mixed(), seed=5, storage=path, budget=20)
    got = [study.tell(study.ask(), 1.0).params for _ in range(3)]
    again = wb.load_study("demo", storage=f"sqlite:///{path}")
    got += [again.ask().params for _ in range(3)]
    assert got == expected
    assert (again.seed, again.budget, again.name, again.space) == (5, 20, "demo", mixed())
    assert again.objectives == (wb.Objective("loss"),)
    assert again.trials == study.trials
    assert wb.load_study("demo", storage=path, sampler="random").sampler.name == "random"


def test_options_of_a_sampler_come_back(tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    space = wb.Space([wb.Float("x", 0, 1)])
    wb.create_study("g", space, [wb.Objective("y")], sampler=wb.GridSampler(levels={"x": [0.25, 0.5]}), storage=path)
    study = wb.load_study("g", storage=path)
    assert [t["x"] for t in study.ask(2)] == [0.25, 0.5]


def test_list_load_if_exists_and_delete(tmp_path: Path) -> None:
    store = Storage(tmp_path / "demo.db")
    space, goals = wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")]
    first = wb.create_study("one", space, goals, storage=store, sampler="sobol")
    first.tell(first.ask(2)[0], 1.0)
    wb.create_study("two", space, goals, storage=store)
    assert [(s.name, s.counts) for s in wb.list_studies(store)] == [("one", {"complete": 1, "running": 1}), ("two", {})]
    same = wb.create_study("one", space, goals, storage=store, load_if_exists=True)
    assert same.trials == first.trials
    with pytest.raises(wb.StudyExistsError, match=r"'one' exists already.*load_if_exists"):
        wb.create_study("one", space, goals, storage=store)
    for change in (
        {"space": wb.Space([wb.Float("x", 0, 2)])},
        {"objectives": [wb.Objective("y", "maximize")]},
        {"constraints": [wb.Constraint("m", upper=1)]},
    ):
        declared: dict[str, Any] = {"space": space, "objectives": goals} | change
        with pytest.raises(wb.StudyExistsError, match=f"other {next(iter(change))}"):
            wb.create_study("one", **declared, storage=store, load_if_exists=True)
    wb.delete_study("one", storage=store)
    assert [s.name for s in wb.list_studies(store)] == ["two"]
    with pytest.raises(wb.StudyNotFoundError, match="two"):
        wb.load_study("tow", storage=store)
    with pytest.raises(wb.StudyNotFoundError):
        wb.delete_study("one", storage=store)


def test_every_kind_of_value_round_trips(tmp_path: Path) -> None:
    space = wb.Space(
        [
            wb.Bool("on"), wb.Vector("z", 5, prior="normal"), wb.Vector("w", 2, prior="normal", when={"on": True}),
            wb.Permutation("order", 4), wb.Subset("pick", 6, k=2), wb.Sequence("dna", "ACGT", 2, 5),
            wb.Simplex("mix", names=["a", "b", "c"], total=100), wb.Ordinal("size", [16, 32]),
            wb.Categorical("what", ["a", 3, True]), wb.Float("t", 20, 80, step=0.5),
        ]
    )  # fmt: skip
    path = tmp_path / "demo.db"
    study = simple(space=space, storage=path)
    asked = study.ask(12)
    again = wb.load_study("demo", storage=path).trials
    assert {t["on"] for t in asked} == {True, False}
    for t, stored in zip(asked, again, strict=True):
        assert space.key(t.params) == space.key(stored.params)
        assert t.params.keys() == stored.params.keys()
        assert stored["z"].dtype == np.float64
        assert stored["z"].shape == (5,)
        assert ("w" in stored.params) == stored["on"]
        assert [type(v) for v in t.params.values()] == [type(v) for v in stored.params.values()]
    np.testing.assert_array_equal(study.history().X, wb.load_study("demo", storage=path).history().X)
    study.tell(asked[0], 1.0)
    assert study.best_trial.number == 0


# -- optimize -----------------------------------------------------------------------------------------


def bowl(trial: wb.Trial) -> float:
    return float((trial["x"] - 0.5) ** 2)


def test_optimize_counts_new_trials_and_until_counts_finished_ones() -> None:
    study = simple(budget=6)
    study.optimize(bowl, 2)
    study.ask()
    study.tell(study.ask(), state="failed")
    study.optimize(bowl, until=5)
    assert [str(t.state) for t in study.trials] == ["complete"] * 2 + ["running", "failed"] + ["complete"] * 2
    study.optimize(bowl)  # the budget
    assert study.history().finished.sum() == 6
    study.optimize(bowl, n_trials=3, until=7)
    assert study.history().finished.sum() == 7
    study.optimize(bowl, 0)
    assert len(study.trials) == 8
    assert study.best_value == min(t.values["loss"] for t in study.trials if t.values)


def test_optimize_serves_the_queue_first() -> None:
    study = simple()
    study.enqueue({"x": 0.5})
    study.optimize(bowl, 2)
    assert study.best_trial.number == 0
    assert study.best_value == 0.0


def test_optimize_stops_by_time_by_hand_and_by_default_not_at_all() -> None:
    study = simple()
    began = time.monotonic()
    study.optimize(lambda t: time.sleep(0.02) or 1.0, timeout=0.2)  # type: ignore[func-returns-value]
    assert 0.2 <= time.monotonic() - began < 2.0
    assert 1 <= len(study.trials) <= 10
    with pytest.raises(wb.InvalidValueError, match=r"n_trials=, until=, timeout="):
        study.optimize(bowl)
    before = len(study.trials)
    study.optimize(bowl, 50, callbacks=[lambda s, t: s.stop() if t.number == before + 2 else None])
    assert len(study.trials) == before + 3


def test_callbacks_see_the_ended_trial() -> None:
    study, seen = simple(), []
    study.optimize(bowl, 2, callbacks=[lambda s, t: seen.append((s is study, t.number, t.state, t.value))])
    assert seen == [(True, i, "complete", study.trials[i].value) for i in range(2)]


def test_an_error_fails_the_trial_and_comes_out_unless_forgiven() -> None:
    study = simple()

    def breaks(trial: wb.Trial) -> float:
        if trial.number == 1:
            raise ZeroDivisionError("by nothing")
        return 1.0

    with pytest.raises(ZeroDivisionError, match="by nothing"):
        study.optimize(breaks, 5)
    assert [str(t.state) for t in study.trials] == ["complete", "failed"]
    assert "ZeroDivisionError: by nothing" in (study.trials[1].error or "")
    assert "breaks" in (study.trials[1].error or "")

    for catch in ((ZeroDivisionError,), [ValueError, ArithmeticError], ZeroDivisionError):
        study = simple()
        study.optimize(breaks, 3, catch=catch)
        assert [str(t.state) for t in study.trials] == ["complete", "failed", "complete"]


@pytest.mark.parametrize("result", [math.nan, None, "1.0", {"los": 1.0}, [1.0]])
def test_a_useless_result_fails_the_trial(result: Any) -> None:
    study = simple()
    with pytest.raises(wb.InvalidValueError):
        study.optimize(lambda t: result, 3)
    assert [str(t.state) for t in study.trials] == ["failed"]
    assert f"the function returned {result!r}" in (study.trials[0].error or "")
    study.optimize(lambda t: result, 1, catch=wb.InvalidValueError)
    assert len(study.trials) == 2


def test_pruned_trials_keep_their_last_report() -> None:
    study = simple()

    def prunes(trial: wb.Trial) -> float:
        for step, value in enumerate((3.0, 1.0, 2.0)):
            trial.report(value, step)
        raise wb.TrialPruned

    study.optimize(prunes, 2)
    assert [(str(t.state), t.value) for t in study.trials] == [("pruned", 2.0)] * 2
    assert study.history().finished.sum() == 2
    with pytest.raises(wb.TrialStateError):
        study.best_trial  # noqa: B018


def test_an_interrupt_leaves_the_trial_for_the_next_run() -> None:
    study = simple()

    def interrupted(trial: wb.Trial) -> float:
        if trial.attempt == 1 and trial.number == 1:
            raise KeyboardInterrupt
        return bowl(trial)

    with pytest.raises(KeyboardInterrupt):
        study.optimize(interrupted, 3)
    assert [str(t.state) for t in study.trials] == ["complete", "running"]
    study.optimize(interrupted, 1)
    assert [(str(t.state), t.attempt) for t in study.trials] == [("complete", 1), ("complete", 2), ("complete", 1)]


def test_trials_of_a_plain_ask_are_never_taken_over() -> None:
    study = simple()
    mine = study.ask()
    study.optimize(bowl, 2)
    assert study.trial(mine).state == "running"
    assert len(study.trials) == 3


@pytest.mark.parametrize("sampler", ["grid", "random", "sobol"])
def test_an_exhausted_space_ends_the_run_with_a_warning(sampler: str) -> None:
    study = simple(space=wb.Space([wb.Int("x", 1, 3)]), sampler=sampler)
    with pytest.warns(wb.WorkbenchWarning, match="stopped early.*3"):
        study.optimize(bowl, 10)
    assert sorted(t["x"] for t in study.trials) == [1, 2, 3]
    assert all(t.state == "complete" for t in study.trials)


# -- workers --------------------------------------------------------------------------------------------


def in_worker(trial: wb.Trial) -> float:
    """Reports, asks and notes through the channel; ends as its x says."""
    trial.report(trial["x"], 0)
    trial.set_attr("pid", os.getpid())
    trial.set_attr("prune", trial.should_prune())
    match round(trial["x"] * 10):
        case 1:
            raise ValueError("low")
        case 2:
            os._exit(9)
        case 3:
            raise wb.TrialPruned
        case 4:
            trial.report(1.0, -1)
    return float(trial["x"])


def test_workers_report_fail_prune_and_die() -> None:
    study = simple()
    for tenth in range(1, 8):
        study.enqueue({"x": tenth / 10})
    with wb.Processes(workers=2) as pool:
        study.optimize(in_worker, 7, executor=pool, catch=(ValueError, wb.ExecutorError))
        states = [str(t.state) for t in study.trials]
        assert states == ["failed", "failed", "pruned", "failed", "complete", "complete", "complete"]
        assert "ValueError: low" in (study.trials[0].error or "")
        assert "exit code 9" in (study.trials[1].error or "")
        assert study.trials[2].value == 0.3
        assert "step must be" in (study.trials[3].error or "")
        assert all(t.attrs["pid"] != os.getpid() and t.attrs["prune"] is False for t in study.trials)
        assert [t.value for t in study.trials[4:]] == [0.5, 0.6, 0.7]
        assert len(study.history().reports) == 7

        study = simple()
        for tenth in (7, 1, *[7] * 8):
            study.enqueue({"x": tenth / 10})
        with pytest.raises(ValueError, match="low"):
            study.optimize(in_worker, 10, executor=pool)
        left = [t for t in study.trials if t.state == "running"]
        assert len(left) <= 1  # nothing is asked for that no worker is free for
        assert study.trials[1].state == "failed"
        study.enqueue({"x": 0.7})
        study.optimize(in_worker, 1, executor=pool)
        assert all(t.state != "running" for t in study.trials)
        assert all(study.trial(t).attempt == 2 for t in left)


# -- the model -------------------------------------------------------------------------------------------


def test_the_model_predicts_in_user_units_and_is_cached_by_revision() -> None:
    study = simple(wb.Objective("loss", noise="none"), space=wb.Space([wb.Float("x", 0, 10)]), sampler="gp")
    study.attach({"x": 0.0}, 100.0)
    with pytest.raises(wb.TrialStateError, match="at least 2 complete trials, there are 1"):
        study.model().predict({"x": 1.0})
    for x in range(1, 11):
        study.attach({"x": float(x)}, 100.0 + 3 * x)
    model = study.model()
    assert study.model() is model
    mean, sd = model.predict([{"x": 2.5}, {"x": 7.0}])["loss"]
    np.testing.assert_allclose(mean, [107.5, 121.0], atol=0.5)  # a line, seen without noise at 11 points
    assert (sd >= 0).all()
    assert (sd < 1.0).all()
    assert model.predict({"x": 2.5})["loss"][0].shape == (1,)
    study.tell(study.ask(), 101.0)
    assert study.model() is not model
    with pytest.raises(wb.InvalidValueError, match="y"):
        model.predict({"y": 1.0})


def test_load_if_exists_says_what_the_study_keeps(tmp_path: Path) -> None:
    def make(**options: Any) -> wb.Study:
        space = wb.Space([wb.Float("x", 0, 1)])
        return wb.create_study(
            "s", space, [wb.Objective("y")], storage=tmp_path / "s.db", load_if_exists=True, **options
        )

    make(seed=1, budget=40)
    assert make(seed=1, budget=40).budget == 40  # the same again: no warning
    assert make().seed == 1
    with pytest.warns(wb.WorkbenchWarning, match="keeps its budget 40; 80 was given"):
        assert make(budget=80).budget == 40
    with pytest.warns(wb.WorkbenchWarning, match="keeps its seed 1; 2 was given"):
        make(seed=2)


def test_an_uneven_step_is_warned_of_once(tmp_path: Path) -> None:
    with pytest.warns(wb.WorkbenchWarning, match=r"last value reached is 0\.9"):
        space = wb.Space([wb.Float("x", 0, 1, step=0.3)])
    wb.create_study("s", space, [wb.Objective("y")], storage=tmp_path / "s.db").ask()
    assert len(wb.load_study("s", storage=tmp_path / "s.db").trials) == 1  # a warning would be an error


# -- several things at once -----------------------------------------------------------------------------


class AtOnce(Executor):
    """An executor whose tasks all end at the same moment, the first one badly."""

    workers = 3

    def __init__(self) -> None:
        self.jobs: dict[int, Any] = {}

    @property
    def free(self) -> int:
        return self.workers - len(self.jobs)

    def start(self, fn: Any, argument: Any) -> int:
        self.jobs[len(self.jobs)] = argument
        return len(self.jobs) - 1

    def wait(self, timeout: float | None = None) -> list[Any]:
        from workbench.executor import Done, Raised

        jobs, self.jobs = self.jobs, {}
        bad = Raised(0, RuntimeError("boom"), "RuntimeError", "boom", "boom")
        return [bad, *(Done(task, 0.5) for task in jobs if task)]

    def reply(self, task: int, answer: Any) -> None:
        raise wb.ExecutorError(f"No task {task} asked")

    def kill(self, task: int) -> None:
        raise wb.ExecutorError(f"No task {task} is running")

    def close(self) -> None:
        """Nothing is open."""


def test_results_that_arrive_beside_a_failure_are_told() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="random", seed=0)
    with pytest.raises(RuntimeError, match="boom"):
        study.optimize(lambda t: 0.0, 3, executor=AtOnce(), progress=False)  # type: ignore[arg-type]
    assert [str(t.state) for t in study.trials] == ["failed", "complete", "complete"]


def test_a_point_that_a_queue_took_meanwhile_is_not_proposed() -> None:
    """While a sampler thinks, somebody enqueues: neither the number nor the point comes twice."""

    class Slow(wb.SobolSampler):
        def ask(self, request: Any) -> Any:
            proposals = super().ask(request)
            if len(study.trials) == 0:
                study.enqueue({})
            return proposals

    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler=Slow(), seed=0)
    first = study.ask()
    points = [t["x"] for t in study.trials]
    assert first.origin == "enqueued"  # the queue is served first when the ask begins anew
    assert len(set(points)) == len(points)


def test_a_trial_taken_out_while_it_runs_does_not_end_the_run() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="random", seed=0)

    def evaluate(trial: wb.Trial) -> float:
        if trial.number == 1:
            study.void(1, reason="spilt")
        return 1.5

    with pytest.warns(wb.WorkbenchWarning, match="late result went to the audit log"):
        study.optimize(evaluate, 3, progress=False)
    assert [str(t.state) for t in study.trials] == ["complete", "void", "complete"]
    late = [entry for entry in study._record.storage.audit(study._record.id) if entry.action == "late result"]
    assert len(late) == 1
    assert late[0].after is not None
    assert orjson.loads(late[0].after)["values"] == {"y": 1.5}


def test_an_error_of_a_callback_is_the_callbacks() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="random", seed=0)

    def listen(study: wb.Study, trial: wb.Trial) -> None:
        raise wb.InvalidValueError("mine")

    with pytest.raises(wb.InvalidValueError, match="mine"):
        study.optimize(lambda t: 1.0, 1, callbacks=[listen], progress=False)
    assert str(study.trials[0].state) == "complete"
    assert study._record.storage.audit(study._record.id) == []


def test_stop_ends_every_run_and_no_run_begins_stopped() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="random", seed=0)

    def inner(trial: wb.Trial) -> float:
        return 0.0

    def outer(trial: wb.Trial) -> float:
        study.stop()
        study.optimize(inner, 2, progress=False)
        return 1.0

    study.optimize(outer, 5, progress=False)
    assert [t.value for t in study.trials] == [1.0, 0.0, 0.0]


def test_one_log_line_a_trial(caplog: pytest.LogCaptureFixture) -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="random", seed=0)
    with caplog.at_level("INFO", logger="workbench"):
        trial = study.ask()
        study.tell(trial, {"y": 1.0}, final=False)
        study.tell(trial, 1.0)
        study.tell(trial, 1.0)
        study.attach({"x": 0.5}, 2.0)
    assert [record.getMessage() for record in caplog.records] == [
        """study 's': trial 0 complete {"y":1.0}""",
        """study 's': trial 1 complete {"y":2.0}""",
    ]


def test_a_mistyped_path_makes_no_database(tmp_path: Path) -> None:
    for call in (
        lambda: wb.load_study("s", storage=tmp_path / "typo.db"),
        lambda: wb.list_studies(tmp_path / "typo.db"),
        lambda: wb.delete_study("s", storage=tmp_path / "typo.db"),
    ):
        with pytest.raises(wb.StorageError, match="there is no database"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_options_are_passed_on_or_refused() -> None:
    made = wb.make_sampler({"name": "log_ei", "options": {"restarts": 2}})
    assert made.options()["restarts"] == 2
    with pytest.raises(wb.UnsupportedError, match="takes no options"):
        wb.make_sampler({"name": "auto", "options": {"bogus": 1}})


def test_errors_of_measured_constraints_are_in_the_history() -> None:
    goals, limits = [wb.Objective("y")], [wb.Constraint("g", lower=0, upper=2)]
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), goals, limits, sampler="random", seed=0)
    study.tell(study.ask(), {"y": 1.0, "g": 0.5}, sem={"g": 0.1})
    np.testing.assert_array_equal(study.history().C, [[-1.5, -0.5]])
    np.testing.assert_array_equal(study.history().C_sem, [[0.1, 0.1]])
