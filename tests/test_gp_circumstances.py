"""What the Gaussian process sampler does with trials in flight, limits, far-off data and time that is over."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import norm

import workbench as wb
from workbench.acquisition import plan
from workbench.errors import DeadlineReached
from workbench.models import feasibility, fitting
from workbench.models import gp as models
from workbench.models.gp import GaussianProcesses
from workbench.samplers import bayesian


def plane():
    return wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])


def slope(p):
    return 3 * p["a"] + math.sin(7 * p["b"])


def study(objective, fn=slope, *, n=14, constraints=(), **options):
    s = wb.create_study("s", plane(), [objective], constraints, **{"sampler": "gp", "seed": 1} | options)
    for params in plane().decode(plane().sobol(n, 3)):
        s.attach(params, fn(params))
    return s


def chosen(history, name, pending=None):
    gp, spread = GaussianProcesses.fit(history), plane().sobol(64, 0)
    pending = np.empty((0, 2)) if pending is None else pending
    setting = plan.Setting(history, gp, pending, spread, {}, np.random.default_rng(0), lambda f: spread[:0])
    return gp, plan.chosen(name, setting).acquisition


@pytest.mark.parametrize("name", ["noisy_ei", "pi"])
@pytest.mark.parametrize("noise", [0.05, "unknown"])
def test_a_batch_under_noise_is_not_one_point_over_and_over(name, noise):
    """What a trial in flight promises is not gained a second time beside it."""
    rng = np.random.default_rng(0)
    s = study(wb.Objective("y", "maximize", noise=noise), lambda p: slope(p) + 0.05 * rng.standard_normal())
    history = s.history()
    first = plane().encode([s.ask(sampler=name).params])
    (gp, before), (_, after) = chosen(history, name), chosen(history, name, first)
    Z = gp.inputs.model_points(first)
    assert after.value(Z)[0] < before.value(Z)[0] - 0.5
    if name == "noisy_ei":  # the other one stays close by nature
        X = plane().encode([t.params for t in s.ask(4)])
        apart = np.abs(X[:, None] - X).max(axis=2)[np.triu_indices(4, 1)]
        assert apart.min() > 1e-3


def limits(p):
    return {"y": slope(p), "m": p["a"] + 0.2 * math.sin(5 * p["b"])}


def test_a_trial_in_flight_that_a_limit_shuts_out_is_nothing_to_beat():
    """The mean of EI over what such a trial may bring is EI without it; it takes nothing away."""
    s = study(
        wb.Objective("y", "maximize", noise="none"), limits, constraints=[wb.Constraint("m", upper=0.5, noise="none")]
    )
    history, shut = s.history(), np.array([[0.95, 0.25]])
    (gp, alone), (_, beside) = chosen(history, "log_ei"), chosen(history, "log_ei", shut)
    assert gp.feasibility(shut)[0] < 1e-6
    X = plane().sobol(256, 9)
    Z = gp.inputs.model_points(X[gp.feasibility(X) > 0.1])
    best = Z[np.argsort(-alone.value(Z))[:5]]
    np.testing.assert_allclose(beside.value(best), alone.value(best), atol=0.1)
    s.enqueue({"a": 0.95, "b": 0.25})
    s.ask()
    trial = s.ask()
    assert limits(trial.params)["m"] <= 0.5 + 1e-3


def test_the_improvement_towards_a_target_is_on_trials_that_count():
    """An exact hit that a limit shuts out, and one outside of the bounds, leave everything to gain."""

    def fn(p):
        return {"y": 5 + 4 * p["a"] + 0.5 * math.sin(6 * p["b"]), "m": 3 * p["a"] + p["b"]}

    s = study(
        wb.Objective("y", target=7.2, noise="none"), fn, constraints=[wb.Constraint("m", upper=1.0, noise="none")]
    )
    for b in (0.5, 1.2):
        hit = {"a": (2.2 - 0.5 * math.sin(6 * b)) / 4, "b": b}
        s.attach(hit, {"y": 7.2, "m": 3 * hit["a"] + b})
    history = s.history()
    best = history.utility(history.Y[history.counted])[:, 0].max()
    gp, acquisition = chosen(history, "target_ei")
    X = plane().sobol(64, 9)
    X = X[gp.feasibility(X) > 0.5]
    mu, sd = (part[:, :1] for part in gp.posterior(X))
    t = np.linspace(-8, 8, 20_001)
    gain = np.maximum(-np.abs(mu + sd * t - 7.2) - best, 0) @ norm.pdf(t) * (t[1] - t[0])
    seen = gain > 1e-6
    assert seen.any()
    expected = np.log(gain[seen] / gp.outputs[0].outcome.slope) + np.log(gp.feasibility(X[seen]))
    np.testing.assert_allclose(acquisition.value(gp.inputs.model_points(X[seen])), expected, atol=1e-3)


def test_a_baseline_that_fails_leaves_the_other_limits_and_the_objective():
    s = study(
        wb.Objective("y", noise="none"), lambda p: {"y": slope(p), "m": p["a"], "c": p["b"]},
        constraints=[
            wb.Constraint("c", upper="1.1 * baseline", noise="none"), wb.Constraint("m", upper=0.5, noise="none")
        ],
        baseline={"a": 0.5, "b": 0.5},
    )  # fmt: skip
    s.tell(s.ask(), state="failed", error="no baseline today")
    with pytest.warns(wb.WorkbenchWarning, match="the limit of 'c' is ignored"):
        trial = s.ask()
    assert trial.meta["acquisition"] == "log_ei"
    held = [t.values["y"] for t in s.trials if t.state == "complete" and t["a"] <= 0.5]
    assert f"to beat {min(held):.4g}" in trial.why


@pytest.mark.parametrize("far", [1e6, 1e9, 1e12, 1e200])
def test_a_trial_far_outside_of_the_bounds_changes_no_prediction_inside(far):
    s, t = (study(wb.Objective("y", noise="none"), n=20) for _ in range(2))
    t.attach({"a": far, "b": 0.5}, 1.0)
    points = plane().decode(plane().sobol(20, 8))
    means, sds = t.model().predict(points)["y"]
    np.testing.assert_allclose(means, s.model().predict(points)["y"][0], atol=0.02)
    assert (sds > 0).all()


@pytest.mark.parametrize("power", [-200, -160, 12, 200])
def test_the_unit_of_an_objective_may_be_any(power):
    scale = 10.0**power
    s, t = (study(wb.Objective("y", noise=n), lambda p, c=c: c * slope(p)) for n, c in (("none", 1.0), ("none", scale)))
    a, b = s.ask(), t.ask()
    np.testing.assert_allclose(list(a.params.values()), list(b.params.values()), atol=1e-4)
    assert b.predicted["y"]["mean"] == pytest.approx(scale * a.predicted["y"]["mean"], rel=1e-3)


def test_a_large_constant_on_top_of_the_values_is_no_spread():
    s = study(wb.Objective("y", noise="none"), lambda p: 2e12 + slope(p))
    assert GaussianProcesses.fit(s.history()).outputs[0].outcome.slope == pytest.approx(1.0, rel=0.5)


class Clock:
    """A second goes by whenever it is looked at."""

    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        self.time += 1.0
        return self.time


def test_a_fit_that_time_changed_says_so(monkeypatch):
    history = study(
        wb.Objective("y", "maximize", noise="none"), lambda p: 8 * p["a"] ** 0.2 + 3 * p["b"], n=25
    ).history()
    whole = json.dumps(GaussianProcesses.fit(history).memory.to_json())
    changed = 0
    for seconds in range(20, 200, 6):
        clock = Clock()
        for module in (models, fitting, feasibility):
            monkeypatch.setattr(module, "time", clock)
        try:
            found = GaussianProcesses.fit(history, deadline=float(seconds))
        except wb.WorkbenchError:
            continue
        if json.dumps(found.memory.to_json()) != whole:
            changed += 1
            assert found.late, seconds
    assert changed


def test_a_joint_batch_that_time_cut_short_says_so(monkeypatch):
    s = study(wb.Objective("y", "maximize", noise="none"), sampler=wb.GPSampler(batch="joint"))
    search = bayesian.GPSampler._search

    def over(self, *args, **kwargs):
        if kwargs.get("present") is not None:
            raise DeadlineReached("the time given to the search is over")
        return search(self, *args, **kwargs)

    monkeypatch.setattr(bayesian.GPSampler, "_search", over)
    with pytest.warns(wb.WorkbenchWarning, match="the time given was over"):
        trials = s.ask(2, timeout=600)
    assert all(trial.meta.get("deadline_hit") for trial in trials)


# -- values that are held: in a context, or on a slice ----------------------------------------------------------


def valley(p):
    """At c the best is 2 c, at a = 0.2 + 0.6 c and b = 0.9 - 0.8 c."""
    return (p["a"] - 0.2 - 0.6 * p["c"]) ** 2 + (p["b"] - 0.9 + 0.8 * p["c"]) ** 2 + 2 * p["c"]


def valleys(role="design", **options):
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1), wb.Float("c", 0, 1, role=role)])
    return wb.create_study("s", space, [wb.Objective("y", noise="none")], sampler="gp", **options)


def test_on_a_slice_the_best_of_the_slice_is_what_is_to_be_beaten():
    """The slice is worse by 2 than what was found elsewhere: hoping to beat that, it looked into corners only."""
    s = valleys(seed=0)
    for row in s.space.sobol(16, 3).tolist():
        params = dict(zip("abc", row, strict=True))
        s.attach(params, valley(params))
    for _ in range(6):
        trial = s.ask(fixed={"c": 1.0})
        s.tell(trial, valley(trial))
    assert min(t.value for t in s.trials[16:]) - 2.0 < 1e-3
    assert "to beat 2" in s.trials[-1].why  # and not 0.1


def test_trials_in_flight_in_another_context_are_no_incumbents_in_this_one():
    s = valleys("context", seed=1)
    for row in valleys().space.sobol(16, 3).tolist():
        params = dict(zip("abc", row, strict=True))
        s.attach(params, valley(params))
    s.ask(context={"c": 0.0})  # promises 0; at c = 0.9 there is nothing below 1.8
    excess = []
    for _ in range(3):
        trial = s.ask(context={"c": 0.9})
        s.tell(trial, valley(trial))
        excess.append(valley(trial) - 1.8)
    assert min(excess) < 1e-3


def test_in_a_context_no_design_that_breaks_the_limit_there_is_to_be_beaten():
    """y falls with a, and a + c <= 1 is the limit: designs from where c is small break it at c = 0.8."""
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1), wb.Float("c", 0, 1, role="context")])
    limit = wb.Constraint("m", upper=1.0, noise="none")
    s = wb.create_study("s", space, [wb.Objective("y", noise="none")], [limit], sampler="gp", seed=1)
    for a, b, c in valleys().space.sobol(24, 3).tolist():
        s.attach({"a": a, "b": b, "c": 0.5 * c}, {"y": (b - 0.3) ** 2 - a, "m": a + 0.5 * c})
    found = []
    for _ in range(4):
        trial = s.ask(context={"c": 0.8})
        s.tell(trial, {"y": (trial["b"] - 0.3) ** 2 - trial["a"], "m": trial["a"] + 0.8})
        found.append(trial)
    held = [t for t in found if t["a"] <= 0.2 + 1e-6]
    assert max(t["a"] for t in held) > 0.19  # of 0.2


@pytest.mark.slow
@pytest.mark.parametrize("role", ["context", "design"])
def test_a_large_record_is_learnt_where_values_are_held(role):
    """Of 2,100 trials some are learnt from: those near to c = 1, and not those whose values are best, near to c = 0."""
    s = valleys(role, seed=1)
    for row in np.random.default_rng(0).random((2_100, 3)).tolist():
        params = dict(zip("abc", row, strict=True))
        s.attach(params, valley(params))
    for _ in range(2):
        trial = s.ask(context={"c": 1.0}) if role == "context" else s.ask(fixed={"c": 1.0})
        assert valley(trial) - 2.0 < 1e-3  # it was 0.08 at the edge of where it looked
        s.tell(trial, valley(trial))


def test_in_a_space_that_is_used_up_the_best_settings_are_measured_again():
    """Ranking and selection: twelve settings, noise as large as their differences; in turn, each had three repeats."""
    space = wb.Space([wb.Int("a", 0, 11)])
    truth, rng = np.sin(np.arange(12) * 1.1), np.random.default_rng(0)
    s = wb.create_study("s", space, [wb.Objective("y", "maximize", noise=0.8)], sampler="gp", seed=0)
    for i in range(36):
        trial = s.ask()
        assert (i < 12) == ("replicate" not in trial.meta)
        s.tell(trial, float(truth[trial["a"]] + 0.8 * rng.standard_normal()))
    assert "of which most is expected" in s.trials[-1].why
    again = np.bincount([trial["a"] for trial in s.trials[12:]], minlength=12)
    order = np.argsort(-truth)
    assert again[order[:4]].sum() >= 18  # of 24; 8 in turn
    assert again[order[6:]].sum() <= 3
    assert len({trial["a"] for trial in s.ask(3)}) >= 2  # those in flight are seen
