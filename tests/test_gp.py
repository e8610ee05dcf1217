"""The Gaussian processes of a record, what is planned for them, and the search, against something else."""

from __future__ import annotations

import importlib
import math
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import integrate
from scipy.stats import norm

import workbench as wb
from problems import engineering, multiobjective
from workbench.acquisition import plan
from workbench.acquisition.search import Region, maximize
from workbench.models.exact import NOISELESS
from workbench.models.gp import GaussianProcesses, Memory
from workbench.models.inputs import Inputs
from workbench.models.surrogate import start_size
from workbench.pareto import spaced


def plane():
    return wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])


def wave(p):
    return math.sin(5 * p["a"]) + (p["b"] - 0.4) ** 2


def hills(p):
    """Rough enough that a dozen points leave much to expect."""
    return math.sin(11 * p["a"] + 1) * math.cos(9 * p["b"]) + p["a"]


def told(space, objective, n=12, fn=wave, seed=0, **details):
    s = wb.create_study("s", space, [objective], sampler="sobol", seed=seed)
    for params in space.decode(space.sobol(n, seed)):
        s.attach(params, fn(params), **details)
    return s


def limited(space, upper, *, n=12, fn=wave, noise="none", **details):
    """The record of a study whose constraint g = a + b is at most `upper`."""
    goals, limits = [wb.Objective("y", noise=noise)], [wb.Constraint("g", upper=upper, noise=noise)]
    s = wb.create_study("s", space, goals, limits, sampler="sobol")
    for params in space.decode(space.sobol(n, 0)):
        s.attach(params, {"y": fn(params), "g": params["a"] + params["b"]}, **details)
    return s


def everywhere(X):
    return np.ones(len(X), dtype=bool)


def chosen(gp, history, pending=None, name="log_ei", seed=0):
    """What the plan makes of a record, as a function of encoded points, and its incumbent."""
    space = history.space
    pending = np.empty((0, space.width)) if pending is None else pending
    spread = space.sobol(64, seed)
    setting = plan.Setting(history, gp, pending, spread, {}, np.random.default_rng(seed), lambda f: spread[:0])
    made = plan.chosen(name, setting)
    return made.acquisition, made.best


def values(gp, acquisition, X):
    return acquisition.value(gp.inputs.model_points(X))


@pytest.mark.parametrize(("noise", "details"), [("none", {}), (0.3, {}), ("unknown", {"sem": 0.2})])
def test_the_noise_is_the_stated_one_and_values_are_standardised(noise, details):
    history = told(plane(), wb.Objective("y", noise=noise), **details).history()
    output = GaussianProcesses.fit(history).outputs[0]
    y = history.Y[:, 0]
    assert output.outcome.slope == pytest.approx(y.std(ddof=1))
    stated = {"none": NOISELESS, 0.3: 0.3**2 / output.outcome.slope**2, "unknown": 0.2**2 / output.outcome.slope**2}
    np.testing.assert_allclose(output.data.noise, stated[noise], rtol=1e-9)
    assert not output.data.infer
    np.testing.assert_allclose(output.outcome.backward(output.data.y), y, rtol=1e-12, atol=1e-12)


def test_unknown_noise_is_learnt_from_replicates():
    """40 points measured twice with sd 0.5: the learnt sd is right within the sampling error of 40 pairs."""
    space, rng = wb.Space([wb.Float("a", 0, 1)]), np.random.default_rng(0)
    s = wb.create_study("s", space, [wb.Objective("y")], seed=0)
    for a in np.linspace(0, 1, 40):
        for _ in range(2):
            s.attach({"a": a}, 3 * math.sin(6 * a) + rng.normal(0, 0.5))
    output = GaussianProcesses.fit(s.history()).outputs[0]
    sd = math.sqrt(output.posterior.noise) * output.outcome.slope
    assert sd == pytest.approx(0.5, rel=0.25)  # standard error of an sd from ~70 residual degrees: 8 %; 3 of them


def test_predictions_come_in_user_units_and_signs():
    for direction in ("minimize", "maximize"):
        s = told(plane(), wb.Objective("y", direction, noise="none"), n=20)
        points = [{"a": 0.31, "b": 0.52}, {"a": 0.77, "b": 0.11}]
        mean, sd = s.model().predict(points)["y"]
        np.testing.assert_allclose(mean, [wave(p) for p in points], atol=0.1)
        assert (sd > 0).all()
        at_data, sd_at_data = s.model().predict(s.trials[3].params)["y"]
        assert at_data[0] == pytest.approx(s.trials[3].value, abs=5e-4)  # 1e-8 of variance is 1e-4 of the scale
        assert sd_at_data[0] < 5e-4


def test_many_points_are_predicted_in_parts_that_say_the_same():
    space, n, many = plane(), 100, 20_000
    model = told(space, wb.Objective("y", "minimize", noise=0.1), n).model()
    X = space.sobol(many, 1)
    model.surrogate.posterior(X[:1])
    tracemalloc.start()
    mean, sd = model.surrogate.posterior(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < many * n * 8  # bytes of all covariances at once
    for i in (0, 4_090, 4_096, 19_000):
        part = model.surrogate.posterior(X[i : i + 900])
        assert mean[i : i + 900] == pytest.approx(part[0], rel=1e-9, abs=1e-9)
        assert sd[i : i + 900] == pytest.approx(part[1], rel=1e-6)
    assert mean.shape == sd.shape == (many, 1)
    assert [part.shape for part in model.surrogate.posterior(X[:0])] == [(0, 1)] * 2


def test_a_model_needs_two_trials_and_says_so():
    s = told(plane(), wb.Objective("y"), n=1)
    with pytest.raises(wb.TrialStateError, match="at least 2 complete trials, there are 1"):
        s.model().predict({"a": 0.1, "b": 0.1})


# -- log EI ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["none", 0.2])
def test_log_ei_equals_the_closed_form(noise):
    space = plane()
    s = told(space, wb.Objective("y", noise=noise), fn=hills)
    history = s.history()
    gp = GaussianProcesses.fit(history)
    acquisition, best = chosen(gp, history)
    means = gp.posterior(history.X)[0][:, 0]
    assert best == pytest.approx(history.Y.max() if noise == "none" else means.max())
    X = space.sobol(30, seed=4)
    mu, sd = (column[:, 0] for column in gp.posterior(X))
    z = (mu - best) / sd
    ei = sd * (norm.pdf(z) + z * norm.cdf(z))  # Jones et al. 1998, eq. 15, for a maximum
    usable = z > -5  # beyond, the textbook form loses digits by cancellation: 1e-16 / 1e-7
    expected = np.log(ei[usable] / gp.outputs[0].outcome.slope)
    np.testing.assert_allclose(values(gp, acquisition, X)[usable], expected, atol=1e-6)
    assert usable.sum() >= 10


def test_improvement_towards_a_target_equals_quadrature():
    space = plane()
    goal = wb.Objective("y", target=2.2, tolerance=0.1, noise="none")
    s = told(space, goal, fn=hills)
    history = s.history()
    gp = GaussianProcesses.fit(history)
    assert plan.planned(history).acquisition == "target_ei"
    acquisition, best = chosen(gp, history, name="target_ei")
    assert best is None
    incumbent = history.utility(history.Y).max()
    X = space.sobol(256, seed=4)
    mu, sd = (column[:, 0] for column in gp.posterior(X))
    found = np.exp(values(gp, acquisition, X)) * gp.outputs[0].outcome.slope

    def improvement(i):
        def integrand(y):
            return max(0.0, -max(0.0, abs(y - 2.2) - 0.1) - incumbent) * norm.pdf(y, mu[i], sd[i])

        return integrate.quad(integrand, 2.1 + incumbent, 2.3 - incumbent, points=(2.1, 2.3))[0]

    exact = np.array([improvement(i) for i in range(256)])
    large = exact > 0.1 * exact.max()
    assert large.sum() >= 4
    np.testing.assert_allclose(found[large], exact[large], rtol=1e-6)


def test_pending_points_lower_the_acquisition_where_they_are():
    space = plane()
    s = told(space, wb.Objective("y", noise="none"), n=8)
    history, X = s.history(), space.sobol(128, seed=4)
    gp = GaussianProcesses.fit(history)
    free = values(gp, chosen(gp, history)[0], X)
    top = X[[np.argmax(free)]]
    acquisition, _ = chosen(gp, history, top)
    # A point in flight brings what it would bring a second time: there is nothing left to gain by it.
    assert values(gp, acquisition, top)[0] < free.max() - 3
    assert values(gp, acquisition, X).max() <= free.max() + 0.05


def test_improvement_with_pending_points_equals_monte_carlo():
    """E[max(f(x), best, f(pending)) - max(best, f(pending))] by 100,000 joint draws; 32 versions against 4 errors."""
    space = plane()
    s = told(space, wb.Objective("y", noise="none"), n=10, fn=hills)
    history = s.history()
    gp = GaussianProcesses.fit(history)
    posterior = gp.outputs[0].posterior
    pending, X = space.sobol(3, seed=8), space.sobol(400, seed=9)
    X = X[np.argsort(-values(gp, chosen(gp, history)[0], X))[:12]]  # where there is something to gain
    acquisition, best = chosen(gp, history, pending)
    best = float(gp.outputs[0].outcome.forward(np.array(best)))
    P, Z = gp.inputs.model_points(pending), gp.inputs.model_points(X)
    draws = posterior.sample(np.vstack([P, Z]), np.random.default_rng(1).normal(size=(100_000, 15)))
    floor = np.maximum(best, draws[:, :3].max(axis=1))
    gain = np.maximum(draws[:, 3:] - floor[:, None], 0.0)
    exact, error = gain.mean(axis=0), gain.std(axis=0) * np.sqrt(1 / 32)
    got = np.exp(acquisition.value(Z))
    large = exact > 0.05 * exact.max()
    assert large.sum() >= 4
    assert (np.abs(got - exact)[large] <= 4 * error[large]).all()
    # and the gradient is that of the value
    _, slope = acquisition.value_and_grad(Z)
    h = 1e-6
    for j in range(2):
        step = h * np.eye(2)[j]
        numeric = (acquisition.value(Z + step) - acquisition.value(Z - step)) / (2 * h)
        np.testing.assert_allclose(slope[:, j], numeric, rtol=1e-4, atol=1e-4)


# -- the plan ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["none", 0.2, "unknown"])
@pytest.mark.parametrize("name", ["log_ei", "noisy_ei", "pi", "ucb", "thompson", "kg", "mes", "gibbon"])
def test_every_acquisition_serves_batches_and_is_a_sampler_name(name, noise):
    s = told(plane(), wb.Objective("y", noise=noise), n=8, fn=hills)
    trials = s.ask(2, sampler=name)
    assert [trial.meta["acquisition"] for trial in trials] == [name] * 2
    assert trials[0].params != trials[1].params
    assert all(math.isfinite(trial.meta["value"]) for trial in trials)


def test_every_row_of_the_plan():
    assert [row.acquisition for row in plan.TABLE] == ["feasibility", "target_ei", "noisy_ei", "log_ei"]
    over, held = (limited(plane(), upper).history() for upper in (-5.0, 5.0))
    rows = {
        "feasibility": over,
        "target_ei": told(plane(), wb.Objective("y", target=1.0)).history(),
        "noisy_ei": told(plane(), wb.Objective("y")).history(),
        "log_ei": told(plane(), wb.Objective("y", noise="none")).history(),
    }
    for name, history in rows.items():
        row = plan.planned(history)
        assert (row.acquisition, bool(row.reason), bool(row.when)) == (name, True, True)
    assert plan.planned(held).acquisition == "log_ei"
    assert {row.acquisition for row in plan.TABLE} <= set(plan.MAKERS)


def test_while_no_trial_holds_the_limit_the_likeliest_is_asked():
    s = limited(plane(), 0.05)
    assert not s.history().feasible.any()
    trial = s.ask(sampler="kg")
    assert trial.meta["acquisition"] == "feasibility"
    assert "most likely to hold every limit, which no trial does yet" in trial.why
    assert trial["a"] + trial["b"] < 0.05
    others = s.ask(2, sampler="gp")
    assert len({tuple(t.params.values()) for t in [trial, *others]}) == 3


@pytest.mark.parametrize("name", ["log_ei", "noisy_ei", "pi", "ucb", "thompson", "kg", "mes", "gibbon"])
def test_the_search_keeps_within_a_limit(name):
    """The values pull to a + b = 2, the limit is at 1: what is asked is held or nearly so."""
    s = limited(plane(), 1.0, n=16, fn=lambda p: -p["a"] - p["b"])
    for trial in s.ask(2, sampler=name):
        assert trial["a"] + trial["b"] < 1.02
        assert trial.predicted["g"]["mean"] == pytest.approx(trial["a"] + trial["b"], abs=0.02)
        assert "feasible with probability" in trial.why


def test_a_limit_that_always_holds_changes_nothing_and_one_of_two_sides_equals_two():
    free, loose = told(plane(), wb.Objective("y", noise="none")), limited(plane(), 1e6)
    a, b = (s.ask(sampler="gp") for s in (free, loose))
    np.testing.assert_allclose(list(a.params.values()), list(b.params.values()), atol=1e-4)  # where a search ends
    assert GaussianProcesses.fit(loose.history()).feasibility(np.array([[0.5, 0.5]]))[0] == pytest.approx(1.0)

    gp = GaussianProcesses.fit(limited(plane(), 1.0, noise=0.3).history())
    X = plane().sobol(20, 3)
    mean, sd = gp.predict(X)["g"]
    np.testing.assert_allclose(gp.feasibility(X), norm.cdf((1.0 - mean) / sd), rtol=1e-6)
    both = wb.create_study(
        "s", plane(), [wb.Objective("y")], [wb.Constraint("g", lower=0.5, upper=1.0, noise=0.3)], sampler="sobol"
    )
    for params in plane().decode(plane().sobol(12, 0)):
        both.attach(params, {"y": 0.0, "g": params["a"] + params["b"]})
    between = GaussianProcesses.fit(both.history())
    mean, sd = between.predict(X)["g"]
    expected = norm.cdf((1.0 - mean) / sd) - norm.cdf((0.5 - mean) / sd)
    np.testing.assert_allclose(between.feasibility(X), expected, rtol=1e-6)


def test_a_limit_without_its_baseline_is_left_aside_with_a_warning():
    s = wb.create_study(
        "s", plane(), [wb.Objective("y")], [wb.Constraint("g", lower="1.05 * baseline")],
        sampler="sobol", baseline={"a": 0.5, "b": 0.5},
    )  # fmt: skip
    for params in plane().decode(plane().sobol(8, 0)):
        s.attach(params, {"y": wave(params), "g": params["a"]})
    assert s.ask().params == {"a": 0.5, "b": 0.5}  # the baseline itself, first
    with pytest.warns(wb.WorkbenchWarning, match="the limit of 'g' is ignored until the baseline"):
        s.ask(sampler="gp")


def test_an_acquisition_that_a_target_has_none_of_is_refused():
    s = told(plane(), wb.Objective("y", target=1.0))
    with pytest.raises(wb.UnsupportedError, match="'kg' cannot serve an objective with a target"):
        s.ask(sampler="kg")


# -- noise of which nothing is said -----------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "d", "n"), [(1.0, 2, 40), (2.0, 2, 40), (1.0, 5, 80)])
def test_noise_is_not_taken_for_signal(ratio, d, n):
    """A bowl with normal noise of sd 1, eight seeds; a process that follows the noise has an error near 1 / ratio."""
    found, errors = [], []
    for seed in range(8):
        rng = np.random.default_rng([seed, d])
        best = rng.random(d)
        space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(d)])
        X, Z = space.sobol(n, seed), rng.random((300, d))
        unit = ((Z - best) ** 2).sum(axis=1).std() / ratio
        s = wb.create_study("bowl", space, [wb.Objective("y", "maximize")])
        for params, x, e in zip(space.decode(X), X, rng.normal(size=n), strict=True):
            s.attach(params, float(((x - best) ** 2).sum() / unit + e))
        model = GaussianProcesses.fit(s.history())
        output = model.outputs[0]
        assert output.data.infer
        found.append(math.sqrt(output.posterior.noise) * output.outcome.slope)
        true = ((Z - best) ** 2).sum(axis=1) / unit
        errors.append(math.sqrt(((model.posterior(Z)[0][:, 0] - true) ** 2).mean()) / ratio)
    # a standard deviation from n values has an error of 1 / sqrt(2 n), and a prior and d slopes pull at it: 20 %
    assert np.median(found) == pytest.approx(1.0, abs=0.2)
    assert np.median(errors) < 0.6 / ratio


def test_exact_values_are_found_to_be_exact():
    """Of thirty values of a wave one model has no noise; it is as sure of itself as one that was told so."""
    known, guessed = (
        GaussianProcesses.fit(told(plane(), wb.Objective("y", "minimize", noise=noise), n=30).history())
        for noise in ("none", "unknown")
    )
    for model in (known, guessed):
        assert model.outputs[0].exact
        assert not model.outputs[0].data.infer
    Z = np.random.default_rng(0).random((50, 2))
    for a, b in zip(known.posterior(Z), guessed.posterior(Z), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


def test_what_is_measured_twice_is_not_exact():
    s = wb.create_study("s", plane(), [wb.Objective("y", "minimize")], sampler="sobol")
    for k, params in enumerate(plane().decode(np.repeat(plane().sobol(10, 0), 2, axis=0))):
        s.attach(params, wave(params) + 0.1 * (-1) ** k)
    output = GaussianProcesses.fit(s.history()).outputs[0]
    # ten pairs 0.2 apart: a variance of 0.02 each, and an sd known to 1 / sqrt(20)
    assert math.sqrt(output.posterior.noise) * output.outcome.slope == pytest.approx(math.sqrt(0.02), rel=0.22)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_values_of_unknown_noise_make_a_model(n):
    model = GaussianProcesses.fit(told(plane(), wb.Objective("y", "minimize"), n=n).history())
    mean, sd = model.posterior(plane().sobol(8, 1))
    assert np.isfinite(mean).all()
    assert (sd > 0).all()


def test_many_values_are_told_apart_by_an_even_sample():
    """300 values, of which 200 are looked at first; then all of them have their say."""
    noisy = told(plane(), wb.Objective("y", "minimize"), n=300, fn=lambda p: wave(p) + 0.3 * math.sin(1e6 * p["a"]))
    output = GaussianProcesses.fit(noisy.history()).outputs[0]
    assert output.data.infer
    assert len(output.data.y) == 300
    assert math.sqrt(output.posterior.noise) * output.outcome.slope == pytest.approx(0.212, rel=0.15)
    exact = told(plane(), wb.Objective("y", "minimize"), n=300)
    assert not GaussianProcesses.fit(exact.history()).outputs[0].data.infer


# -- roughness --------------------------------------------------------------------------------------------


def test_values_without_noise_get_a_nugget_only_where_they_are_rough():
    """Ripples of height 0.3 that no trial resolves, on a slope; without them nothing is inferred."""
    line = wb.Space([wb.Float("a", 0, 1)])

    def ripples(p):
        return 3 * p["a"] + 0.3 * math.sin(1e4 * p["a"])

    smooth = told(line, wb.Objective("y", noise="none"), n=30, fn=lambda p: 3 * p["a"] + math.sin(5 * p["a"]))
    assert not GaussianProcesses.fit(smooth.history()).outputs[0].data.infer

    rough = told(line, wb.Objective("y", noise="none"), n=30, fn=ripples)
    output = GaussianProcesses.fit(rough.history()).outputs[0]
    assert output.data.infer
    assert not output.exact
    # The sd of a sine of height 0.3 is 0.21; that of an estimate from 30 is a sixth of it or so.
    assert math.sqrt(output.posterior.noise) * output.outcome.slope == pytest.approx(0.212, rel=0.5)
    mean, _ = GaussianProcesses.fit(rough.history()).posterior(np.linspace(0.1, 0.9, 9)[:, None])
    np.testing.assert_allclose(-mean[:, 0], 3 * np.linspace(0.1, 0.9, 9), atol=0.3)

    trial = rough.ask(sampler="gp")  # what was found is kept until a fit begins anew
    assert len(trial.meta["gp"]["outputs"]["y"]["theta"]) == 3
    rough.tell(trial, ripples(trial.params))
    again = rough.ask(sampler="gp")
    assert (again.meta["fit"], len(again.meta["gp"]["outputs"]["y"]["theta"])) == ("warm", 3)


# -- large records -----------------------------------------------------------------------------------------


def test_a_large_record_is_modelled_and_searched_around_one_of_its_best(monkeypatch):
    from workbench.models import gp as module

    monkeypatch.setattr(module, "LARGEST", 100)
    monkeypatch.setattr(module, "LOCAL", 60)
    s = told(plane(), wb.Objective("y", noise="none"), n=300, fn=hills)
    X = s.history().X
    best = np.argsort(s.history().Y[:, 0])[::-1][:10]
    near = []
    for _ in range(6):
        trial = s.ask(sampler="gp")
        x = np.array(list(trial.params.values()))
        apart = np.abs(X[best] - x).max(axis=1)
        # 60 of 300 even points: a square of side sqrt(0.2), and up to twice that at an edge
        near.append(apart.min())
        s.tell(trial, hills(trial.params))
    assert max(near) < 0.45
    assert s.best_value < np.min(-s.history().Y[:300, 0])
    model = GaussianProcesses.fit(s.history(), centre=X[best[0]])
    assert len(model.outputs[0].data.y) == 60
    apart = ((s.history().X - X[best[0]]) ** 2).sum(axis=1)
    expected = s.history().X[np.sort(np.argsort(apart, kind="stable")[:60])]
    np.testing.assert_array_equal(model.outputs[0].data.X, expected)


def test_a_large_record_of_several_objectives_is_learnt_along_its_front(monkeypatch):
    """Around the best of the first objective alone, a model knows nothing of the other end."""
    from workbench.models import gp as module

    monkeypatch.setattr(module, "LARGEST", 100)
    monkeypatch.setattr(module, "LOCAL", 60)
    space, rng = plane(), np.random.default_rng(0)
    s = wb.create_study("s", space, [wb.Objective(name, noise=0.02) for name in "fg"], sampler="gp", seed=0)
    for p in space.decode(space.sobol(400, 0)):
        off = (p["b"] - 0.5) ** 2
        f, g = p["a"] ** 2 + off, (1 - p["a"]) ** 2 + off  # the front is at b = 1/2
        s.attach(p, {"f": f + 0.02 * rng.normal(), "g": g + 0.02 * rng.normal()})
    history, model = s.history(), s.model()
    ahead = np.flatnonzero(history.front)
    centres = history.X[ahead[spaced(history.Y[ahead], 16)]]
    apart = ((history.X[:, None] - centres) ** 2).sum(axis=2).min(axis=1)  # (n,)
    learnt = model.surrogate.outputs[0].data.X
    np.testing.assert_array_equal(learnt, history.X[np.sort(np.argsort(apart, kind="stable")[:60])])
    a = np.linspace(0, 1, 21)
    front = space.encode([{"a": x, "b": 0.5} for x in a])
    truth = -np.stack([a**2, (1 - a) ** 2], axis=1)
    assert np.abs(model.surrogate.posterior(front)[0] - truth).max() < 0.04  # two sd of one measurement
    one_end = GaussianProcesses.fit(history, centre=history.X[history.Y[:, 0].argmax()])
    assert np.abs(one_end.posterior(front)[0] - truth).max() > 0.2
    monkeypatch.setattr(importlib.import_module("workbench.analysis.diagnose"), "LARGEST", 100)
    assert "The model looks at 60 of 400 runs: those nearest to the front." in [v.claim for v in model.verdicts()]


# -- what travels in the record -------------------------------------------------------------------------


def test_a_fit_goes_on_where_the_record_says_and_equals_itself():
    s = told(plane(), wb.Objective("y", noise="none"), n=20)
    paces = []
    for _ in range(8):
        trial = s.ask(sampler="gp")
        memory = Memory.from_json(trial.meta["gp"])
        assert Memory.from_json(memory.to_json()).to_json() == trial.meta["gp"]
        paces.append(trial.meta["fit"])
        s.tell(trial, wave(trial.params))
    assert paces == ["cold"] + ["warm"] * 4 + ["cold"] + ["warm"] * 2  # anew at 25, a quarter more than 20
    a, b = (GaussianProcesses.fit(s.history()) for _ in range(2))
    np.testing.assert_array_equal(a.outputs[0].settings.theta, b.outputs[0].settings.theta)


def test_hyperparameters_are_kept_for_a_while_in_a_large_record():
    s = told(plane(), wb.Objective("y", noise="none"), n=230)
    paces = []
    for _ in range(5):
        trial = s.ask(sampler="gp")
        paces.append(trial.meta["fit"])
        s.tell(trial, wave(trial.params))
    assert paces == ["cold", "kept", "kept", "warm", "kept"]  # again after 231 // 75 = 3 more


def test_skewed_values_are_bent_and_predicted_in_their_own_units(monkeypatch):
    s = told(plane(), wb.Objective("y", noise="none"), n=30, fn=lambda p: math.exp(6 * wave(p)))
    gp = GaussianProcesses.fit(s.history())
    assert gp.outputs[0].outcome.bend is not None
    points = plane().decode(plane().sobol(50, seed=3))
    truth = np.array([math.exp(6 * wave(p)) for p in points])

    def error(gp):
        mean, _ = gp.predict(plane().encode(points))["y"]
        return np.median(np.abs(np.log(np.maximum(mean, 1e-3) / truth)))

    straight = told(plane(), wb.Objective("y", noise="none"), n=30, fn=lambda p: math.exp(6 * wave(p)))
    monkeypatch.setattr("workbench.models.gp.worth_a_look", lambda y: (None,))
    monkeypatch.setattr("workbench.models.gp._richer", lambda inputs, data, found, *_: (data, found))  # would do some
    assert error(gp) < 0.5 * error(GaussianProcesses.fit(straight.history()))


@pytest.mark.parametrize(
    ("problem", "name", "shared"),
    [(multiobjective.dtlz2(9, 6), "f1", False), (engineering.welded_beam(), "deflection", True)],
    ids=["a product of cosines", "over orders of magnitude"],
)
def test_one_of_several_objectives_is_bent_by_clear_evidence_only(problem, name, shared):
    """What a bend makes of the best values counts for less there, and on DTLZ2 it costs half of the hypervolume."""
    alone = wb.create_study("alone", problem.space, [goal for goal in problem.objectives if goal.name == name])
    several = wb.create_study("several", problem.space, problem.objectives)
    for params in problem.space.decode(problem.space.sobol(20, 0)):
        values = problem.evaluate(params)
        alone.attach(params, values[name])
        several.attach(params, {goal.name: values[goal.name] for goal in problem.objectives})
    assert GaussianProcesses.fit(alone.history()).outputs[0].outcome.bend is not None
    bends = {output.name: output.outcome.bend for output in GaussianProcesses.fit(several.history()).outputs}
    assert (bends[name] is not None) == shared


# -- conditional inputs -------------------------------------------------------------------------------


def test_inactive_columns_do_not_count():
    space = wb.Space(
        [
            wb.Categorical("k", ["p", "q"]),
            wb.Float("m", 0, 1, when={"k": "q"}),
            wb.Bool("deep", when={"k": "q"}),
            wb.Int("n", 1, 5, when={"deep": True}),
        ]
    )
    inputs = Inputs(space)
    X = space.encode([{"k": "p"}, {"k": "q", "m": 0.9, "deep": False}, {"k": "q", "m": 0.9, "deep": True, "n": 4}])
    Z = inputs.from_encoded(X).numpy()
    np.testing.assert_array_equal(Z[0], [0, 0.5, 0.5, 0.5])
    np.testing.assert_array_equal(Z[1], [1, 0.9, 0.0, 0.5])
    np.testing.assert_array_equal(Z[2], [1, 0.9, 1.0, 0.75])
    wild = np.where(np.isnan(X), 0.123, X)
    np.testing.assert_array_equal(inputs.from_encoded(wild).numpy(), Z)


def test_gradients_flow_through_active_columns_only():
    space = wb.Space([wb.Bool("on"), wb.Float("m", 0, 1, when={"on": True}), wb.Vector("z", 2)])
    X = torch.tensor([[0.0, 0.3, 1.0, -1.0], [1.0, 0.3, 1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    Inputs(space).scaled(X).sum().backward()
    np.testing.assert_allclose(X.grad.numpy(), [[1, 0, 1 / 6, 1 / 6], [1, 1, 1 / 6, 1 / 6]])


# -- the inner search -----------------------------------------------------------------------------------


def search(space, history, fixed=None, admits=everywhere, seed=0):
    gp = GaussianProcesses.fit(history)
    acquisition, _ = chosen(gp, history)
    region = Region(space, gp.inputs, space.complete_fixed(fixed or {}), admits)
    found = maximize(acquisition, region, np.random.default_rng(seed), history.X[:2], restarts=6, raw_samples=256)
    return lambda X: values(gp, acquisition, X), found


def test_the_search_reaches_the_maximum_of_a_dense_grid():
    space = plane()
    history = told(space, wb.Objective("y", noise="none")).history()
    acquisition, found = search(space, history)
    axis = np.linspace(0, 1, 201)
    dense = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    best = acquisition(dense).max()
    assert found.value >= best - 1e-3  # the grid itself is within 1e-3 of the smooth maximum
    assert not found.late


def test_the_search_equals_enumeration_on_a_discrete_space():
    space = wb.Space(
        [wb.Int("n", 0, 11), wb.Categorical("k", ["p", "q", "r"]), wb.Bool("on"), wb.Ordinal("o", [1, 10, 100])]
    )
    points = [
        {"n": n, "k": k, "on": on, "o": o}
        for n in range(12)
        for k in "pqr"
        for on in (False, True)
        for o in (1, 10, 100)
    ]

    def value(p):
        return (p["n"] - 7) ** 2 / 20 + {"p": 0, "q": 1, "r": 0.5}[p["k"]] + 0.3 * p["on"] + 0.2 * math.log10(p["o"])

    history = told(space, wb.Objective("y", noise="none"), n=14, fn=value).history()
    seen = {x.tobytes() for x in history.X}

    def fresh(X):
        return np.array([x.tobytes() not in seen for x in X])

    acquisition, found = search(space, history, admits=fresh)
    X = space.encode(points)
    X = X[fresh(X)]
    all_of_them = acquisition(X)
    assert found.value == pytest.approx(all_of_them.max(), abs=1e-9)
    assert found.x.tolist() == X[np.argmax(all_of_them)].tolist()


@pytest.mark.parametrize(
    "constraints",
    [["a + b <= 0.7"], ["a + b == 0.7"], ["a * a + b * b <= 0.5", "b >= 0.2"], ["(a - 0.5)**2 + (b - 0.5)**2 <= 0.01"]],
)
def test_constrained_search_stays_inside_and_near_the_best(constraints):
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)], constraints=constraints)
    history = told(plane(), wb.Objective("y", noise="none"), fn=hills).history()
    acquisition, found = search(space, history)
    assert space.violations(space.decode(found.x[None])[0]) == []
    X = space.sobol(4000, seed=1)
    best = acquisition(X).max()
    assert found.value >= best - 0.05  # log units: 5 % of the improvement


def test_the_search_of_a_mixture_stays_on_the_simplex():
    space = wb.Space(
        [wb.Simplex("m", names=["u", "v", "w"], total=100, bounds={"u": (10, 60)}), wb.Int("n", 1, 3)], ["v <= 2*w"]
    )

    def value(p):
        return (p["m"]["u"] - 40) ** 2 / 1e3 + (p["m"]["v"] - 30) ** 2 / 1e3 + p["n"]

    history = told(space, wb.Objective("y", noise="none"), fn=value).history()
    for seed in range(3):
        _, found = search(space, history, seed=seed)
        point = space.check(space.decode(found.x[None])[0])
        assert sum(point["m"].values()) == pytest.approx(100, abs=1e-9)
        assert space.violations(point) == []


# -- the sampler -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("budget", "d", "size"), [(None, 2, 6), (100, 2, 6), (12, 2, 3), (3, 2, 1), (40, 6, 10)])
def test_start_size(budget, d, size):
    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(d)])
    s = wb.create_study("s", space, [wb.Objective("y")], sampler="gp", budget=budget)
    assert start_size(s.history()) == size


def test_attached_runs_replace_the_start():
    s = told(plane(), wb.Objective("y"), n=6)
    trial = s.ask(sampler="gp")
    assert trial.meta["acquisition"] == "noisy_ei"
    assert set(trial.predicted["y"]) == {"mean", "sd"}
    assert "predicted y" in trial.why


@pytest.mark.parametrize(
    "outcomes",
    [
        [3.0, 3.0, 3.0, 3.0],
        [1e12, 2e12, -1e12, 5e11],
        [1e-12, 2e-12, 3e-12, -1e-12],
        [0.0, 0.1, 0.2, 1e9],
        [1.0, 2.0, 0.5, 1.5],
    ],
    ids=["equal", "huge", "tiny", "outlier", "plain"],
)
def test_degenerate_data_give_an_answer(outcomes):
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    s = wb.create_study("s", space, [wb.Objective("y", noise="none")], sampler="gp", seed=0, budget=8)
    for params, value in zip(space.decode(space.sobol(4, 0)), outcomes, strict=True):
        s.attach(params, value)
        s.attach(params, value)  # duplicates
    trial = s.ask()
    assert trial.meta["acquisition"] == "log_ei"
    assert math.isfinite(trial.predicted["y"]["mean"])


def test_all_failed_goes_on_spreading_out():
    s = wb.create_study("s", plane(), [wb.Objective("y")], sampler="gp", seed=0, budget=8)
    for _ in range(5):
        s.tell(s.ask(), state="failed", error="no")
    assert s.ask().meta["start"] is True


def branin(t):
    x, y = t["x1"], t["x2"]
    inner = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return inner**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def test_failures_push_the_search_away():
    """Half the space crashes; the values alone pull into that half, and the best point stands at its edge."""
    s = wb.create_study("s", plane(), [wb.Objective("y", noise="none")], sampler="gp", seed=1, budget=20)
    deep = 0
    for i in range(20):
        trial = s.ask()
        if trial["a"] > 0.6:
            s.tell(trial, state="failed", error="crash")
            deep += i >= 10 and trial["a"] > 0.65
        else:
            s.tell(trial, -trial["a"])
    assert deep <= 2  # without the lesson every one of the last ten would be
    assert s.best_params["a"] > 0.59


@pytest.mark.slow
def test_failures_are_few_where_the_best_is_elsewhere():
    """Branin with a third of the space crashing, away from two of the three optima."""
    space, crashed = wb.Space([wb.Float("x1", -5, 10), wb.Float("x2", 0, 15)]), 0
    s = wb.create_study("s", space, [wb.Objective("y", noise="none")], sampler="gp", seed=0, budget=40)
    for _ in range(40):
        trial = s.ask()
        if trial["x1"] + trial["x2"] > 14:  # 32 % of the space
            s.tell(trial, state="failed", error="crash")
            crashed += 1
        else:
            s.tell(trial, branin(trial))
    assert crashed <= 5  # of which two in the Sobol start
    assert s.best_value < 0.397887 + 0.02


@pytest.mark.slow
def test_branin_in_30_evaluations():
    """Median over 3 seeds within 0.05 of the optimum 0.397887 (random search: about 1 above)."""
    space = wb.Space([wb.Float("x1", -5, 10), wb.Float("x2", 0, 15)])

    best = []
    for seed in range(3):
        s = wb.create_study("s", space, [wb.Objective("y", noise="none")], sampler="gp", seed=seed, budget=30)
        s.optimize(branin, 30, progress=False)
        best.append(s.best_value)
    assert sorted(best)[1] <= 0.397887 + 0.05
