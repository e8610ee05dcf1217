"""What intermediate values say about the end, and the model that learns from it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench as wb
from workbench.acquisition import plan
from workbench.models.curves import finals, intermediate
from workbench.models.gp import GaussianProcesses
from workbench.trial import History, Report, TrialRow

LINE = wb.Space([wb.Float("x", 0, 1)])
Y = (wb.Objective("y", "maximize"),)


def record(*trials, objectives=Y):
    """A history of trials (state, x, values, {step: values})."""
    rows, reports = [], []
    for number, (state, x, values, curve) in enumerate(trials):
        fields = dict.fromkeys(TrialRow._fields) | {
            "number": number, "state": state, "params": json.dumps({"x": x}), "space_version": 1, "origin": "asked",
            "outcomes": None if values is None else json.dumps(named(values)),
            "created": 0.0, "attempt": 1, "revision": 1,
        }  # fmt: skip
        rows.append(TrialRow(**fields))
        found = [(name, step, value) for step, at in curve.items() for name, value in named(at).items()]
        reports += [Report(number, step, name, value) for name, step, value in sorted(found)]
    return History.of(LINE, objectives, (), rows, reports=reports, seed=3)


def named(values):
    return values if isinstance(values, dict) else {"y": values}


# -- intermediate values --------------------------------------------------------------------------------

tables = st.lists(st.dictionaries(st.integers(0, 6), st.integers(-9, 9).map(float), max_size=5), max_size=6)


@given(tables, st.integers(-1, 7))
def test_intermediate_values_equal_a_search_by_hand(curves, step):
    goals = (wb.Objective("y", "minimize"),)
    seen = intermediate(record(*(("running", 0.5, None, curve) for curve in curves), objectives=goals), 0)

    def by_row(pairs):
        return {int(row): value for row, value in zip(*pairs, strict=True)}

    before = {i: [s for s in curve if s <= step] for i, curve in enumerate(curves)}
    after = {i: [s for s in curve if s >= step] for i, curve in enumerate(curves)}
    assert by_row(seen.last(step)) == {i: -curves[i][max(s)] for i, s in before.items() if s}
    assert by_row(seen.first(step)) == {i: -curves[i][min(s)] for i, s in after.items() if s}
    assert by_row(seen.at(step)) == {i: -curve[step] for i, curve in enumerate(curves) if step in curve}
    assert by_row(seen.last()) == {i: -curve[max(curve)] for i, curve in enumerate(curves) if curve}
    for i, curve in enumerate(curves):
        steps, values = seen.of(i)
        assert dict(zip(steps.tolist(), values.tolist(), strict=True)) == {s: -v for s, v in curve.items()}
        assert steps.tolist() == sorted(curve)
    odd = np.arange(len(curves)) % 2 == 1
    assert set(seen.among(odd).rows.tolist()) == {i for i, curve in enumerate(curves) if curve and odd[i]}


# -- predicted final values --------------------------------------------------------------------------------


def test_a_final_value_is_predicted_from_the_improvement_of_the_others():
    history = record(
        ("complete", 0.1, 10.0, {1: 1.0, 2: 7.0}),
        ("complete", 0.2, 12.0, {2: 7.0}),
        ("complete", 0.3, 11.0, {}),
        ("pruned", 0.4, None, {1: 2.0, 2: 4.0}),  # the others still gained 3 and 5 from here
        ("pruned", 0.5, None, {1: 2.0}),  # and one of them 9 from here
        ("pruned", 0.6, None, {}),
        ("running", 0.7, None, {1: 5.0}),
        ("failed", 0.8, None, {1: 5.0}),
    )
    found = finals(history, 0)
    assert found.rows.tolist() == [3, 4]
    np.testing.assert_allclose(found.values, [8.0, 11.0])
    np.testing.assert_allclose(found.variances, [17.0, 81.0])  # of so few improvements the mean square


def test_the_uncertainty_is_that_of_the_next_improvement():
    """Calibrated: over many small records the errors, in units of the stated sd, scatter as Student's t says."""
    rng, k, errors = np.random.default_rng(0), 6, []
    for _ in range(300):
        g = rng.normal(5.0, 0.5, k + 1)
        others = [("complete", 0.1, float(v), {1: 0.0}) for v in g[:k]]
        found = finals(record(*others, ("pruned", 0.4, None, {1: 0.0})), 0)
        errors.append((g[k] - found.values[0]) / math.sqrt(found.variances[0]))
    assert found.values[0] == pytest.approx(g[:k].mean())
    assert found.variances[0] == pytest.approx(g[:k].var(ddof=1) * (1 + 1 / k) * (k - 1) / (k - 3))
    # A t of 5 degrees has kurtosis 9, so the mean of 300 squares has a standard error of sqrt(8 / 300) = 0.16.
    assert np.mean(np.square(errors)) == pytest.approx(1.0, abs=0.5)


def test_without_improvements_to_learn_from_the_last_report_stands_with_much_doubt():
    others = [("complete", 0.1, 3.0, {5: 3.0}), ("complete", 0.2, 5.0, {})]
    found = finals(record(*others, ("pruned", 0.4, None, {4: 1.0})), 0)
    assert found.values.tolist() == [1.0]
    assert found.variances.tolist() == [10.0]  # (2^2 + 4^2) / 2
    assert finals(record(("pruned", 0.4, None, {4: 1.0})), 0).rows.size == 0


def test_a_run_that_diverged_does_not_set_the_scale():
    others = [("complete", 0.1, 3.0, {1: 2.0}), ("complete", 0.2, 5.0, {1: 4.0})]
    found = finals(record(*others, ("pruned", 0.4, None, {1: -1e30}), ("pruned", 0.5, None, {0: -1e300})), 0)
    assert found.rows.tolist() == [2]  # the uncertainty of the other one is beyond all numbers
    assert found.values.tolist() == [1.0]  # one range below the worst


def test_objectives_are_predicted_apart():
    goals = (wb.Objective("a", "minimize"), wb.Objective("b", target=2.0))
    history = record(
        ("complete", 0.1, {"a": 1.0, "b": 5.0}, {1: {"a": 4.0, "b": 1.0}}),
        ("complete", 0.2, {"a": 3.0, "b": 6.0}, {1: {"a": 5.0}}),
        ("pruned", 0.4, None, {1: {"a": 4.0}}),
        ("pruned", 0.5, None, {1: {"b": 2.0}}),
        objectives=goals,
    )
    a, b = finals(history, 0), finals(history, 1)
    assert (a.rows.tolist(), a.values.tolist()) == ([2], [-1.5])  # in the sign of Y
    assert (b.rows.tolist(), b.values.tolist()) == ([3], [6.0])  # raw, as the column of a target is
    X = np.linspace(0, 1, 5)[:, None]
    assert np.isfinite(GaussianProcesses.fit(history).posterior(X)).all()
    assert [len(output.data.y) for output in GaussianProcesses.fit(history).outputs] == [3, 3]


# -- the model ------------------------------------------------------------------------------------------------

DOUBT = 0.05  # sd of the planted improvements


def bent(x):
    """What the left half of the line does not tell: a bend in the middle."""
    return np.sin(6 * x) + 4 * np.maximum(0.0, x - 0.5)


def planted(noise="none", sd=0.0, seed=0, n=12):
    """Half the line was measured to the end, the other half pruned at step 5, still to gain 1 ± DOUBT."""
    rng = np.random.default_rng(seed)

    def trial(x, state):
        final = bent(x) + rng.normal(0, sd)
        at5 = final - 1.0 - rng.normal(0, DOUBT)
        return (state, x, None if state == "pruned" else final, {1: at5 - 1.0, 5: at5})

    trials = [trial(x, "complete") for x in np.linspace(0, 0.45, n)]
    trials += [trial(x, "pruned") for x in np.linspace(0.55, 1, n)]
    return trials, (wb.Objective("y", "maximize", noise=noise),)


@pytest.mark.parametrize(("noise", "sd"), [("none", 0.0), ("unknown", 0.0), (0.05, 0.05), ("unknown", 0.05)])
def test_pruned_trials_teach_the_model_what_they_showed(noise, sd):
    """Near them the error falls from that of extrapolation to that of the reports."""
    trials, goals = planted(noise, sd)
    there = np.linspace(0.55, 1, 50)[:, None]
    truth = bent(there[:, 0])

    def fit_and_error(trials):
        gp = GaussianProcesses.fit(record(*trials, objectives=goals))
        mu, spread = gp.posterior(there)
        return gp, np.abs(mu[:, 0] - truth), spread[:, 0]

    _, without, _ = fit_and_error([trial for trial in trials if trial[0] == "complete"])
    gp, error, spread = fit_and_error(trials)
    # A report is off by the spread of the improvements (0.05), noise (0.05), and the error of their mean over 12.
    report_sd = math.hypot(DOUBT, sd) * math.sqrt(1 + 1 / 12)
    assert np.sqrt((error**2).mean()) < 1.5 * report_sd  # 12 reports: their rms scatters by 1 / sqrt(24)
    assert np.sqrt((error**2).mean()) < np.sqrt((without**2).mean()) / 3
    assert (error < 4 * spread + 0.01).all()
    variances = gp.outputs[0].data.noise
    assert variances[12:].min() > variances[:12].max()  # pruned ones count less


def test_the_inferred_noise_is_that_of_complete_trials_and_comes_on_top():
    """40 complete points of sd 0.3 and 10 pruned ones: the learnt sd is that of the former."""
    rng = np.random.default_rng(0)
    g = rng.normal(1, 0.6, 40)
    trials = []
    for x, gain in zip(np.linspace(0, 1, 40), g, strict=True):
        final = 3 * math.sin(6 * x) + rng.normal(0, 0.3)
        trials.append(("complete", x, final, {1: final - gain}))
    for x in np.linspace(0.03, 0.97, 10):
        trials.append(("pruned", x, None, {1: 3 * math.sin(6 * x) - 1 + rng.normal(0, 0.6)}))
    history = record(*trials)
    output = GaussianProcesses.fit(history).outputs[0]
    scale = output.outcome.slope
    assert math.sqrt(output.posterior.noise) * scale == pytest.approx(
        0.3, rel=0.35
    )  # 3 standard errors of an sd from 40
    doubt = finals(history, 0).variances / scale**2
    np.testing.assert_allclose(output.data.noise, np.concatenate([np.zeros(40), doubt]), rtol=1e-6)


@pytest.mark.parametrize("noise", ["none", "unknown", 0.1])
def test_trials_pruned_without_a_word_change_nothing_bit_for_bit(noise):
    trials, goals = planted(noise)
    complete = trials[:12]
    mute = [("pruned", 0.7, None, {}), ("pruned", 0.8, 0.3, {})]
    X = np.linspace(0, 1, 20)[:, None]
    plain = GaussianProcesses.fit(record(*complete, objectives=goals)).posterior(X)
    beside = GaussianProcesses.fit(record(*complete, *mute, objectives=goals)).posterior(X)
    np.testing.assert_array_equal(plain, beside)


def test_the_incumbent_is_a_complete_trial():
    """The pruned trial would have become the best; what counts as reached is what was measured."""
    trials = [("complete", x, math.sin(3 * x), {1: math.sin(3 * x) - 1}) for x in (0.0, 0.1, 0.2, 0.3)]
    history = record(
        *trials, ("pruned", 0.5, None, {1: 0.0}), objectives=(wb.Objective("y", "maximize", noise="none"),)
    )
    gp = GaussianProcesses.fit(history)
    assert gp.posterior(history.X[[4]])[0][0, 0] > 0.9
    setting = plan.Setting(
        history, gp, np.empty((0, 1)), np.empty((0, 1)), {}, np.random.default_rng(0), lambda f: np.empty((0, 1))
    )
    chosen = plan.MAKERS["log_ei"](setting)
    assert chosen.best == pytest.approx(math.sin(0.9))
    value = chosen.acquisition.value(np.array([[0.5]]))[0]
    assert math.exp(value) * gp.outputs[0].outcome.slope == pytest.approx(1 - math.sin(0.9), rel=0.1)


def test_a_study_that_prunes_keeps_away_from_what_it_pruned():
    """Everything below 0.5 is pruned at once; the search goes on above."""
    s = wb.create_study("s", LINE, [wb.Objective("y")], sampler="gp", seed=0, budget=16)
    pruned = 0
    for i in range(16):
        trial = s.ask()
        loss = (trial["x"] - 0.8) ** 2
        trial.report(loss + 0.1, 1)
        if trial["x"] < 0.5:
            s.tell(trial, state="pruned")
            pruned += i >= 6
        else:
            s.tell(trial, loss)
    assert pruned <= 1
    assert s.best_value < 1e-3
    assert {t.number for t in s.trials} == set(range(16))
