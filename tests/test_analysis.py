"""What the model says of itself, against something else: closed forms, refits, planted knobs, noise and outliers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate
from scipy.stats import norm

import workbench as wb
from workbench.analysis import Belief, Calibration, worth
from workbench.analysis.diagnose import widened
from workbench.analysis.explain import gained, parts
from workbench.analysis.importance import Design, indices, needed, plausible
from workbench.analysis.verdict import about, at_most, listed, numbered, percent, plain
from workbench.models.exact import ExactPosterior, Settings

UNIT = wb.Space([wb.Float(name, 0, 1) for name in "abcd"])


def study(space, fn, n=20, goals=None, limits=(), noise="none", sd=0.0, seed=0, sampler="sobol"):
    """A record of n Sobol points; noise of standard deviation sd on every value."""
    s = wb.create_study("s", space, goals or [wb.Objective("y", noise=noise)], limits, sampler=sampler, seed=seed)
    rng = np.random.default_rng(seed)
    for params in space.decode(space.sobol(n, seed)):
        told = fn(params)
        told = told if isinstance(told, dict) else {s.objectives[0].name: told}
        s.attach(params, {name: value + sd * rng.standard_normal() for name, value in told.items()})
    return s


def belief(s):
    return Belief(s.history(), s.model().surrogate)


def straight(p):
    return 3 * p["a"] + 2 * p["b"] + p["c"]


def hills(p):
    return math.sin(11 * p["a"] + 1) * math.cos(9 * p["b"]) + p["a"]


# -- leave one out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "sd"), [("none", 0.0), (0.2, 0.2), ("unknown", 0.2)])
def test_each_trial_left_out_equals_a_model_made_without_it(noise, sd):
    """The closed form against n factorisations: the mean is estimated anew, hyperparameters are held."""
    b = belief(study(UNIT, straight, 15, noise=noise, sd=sd))
    goal = b.goals[0]
    process, seen = goal.process, Calibration.of(b, goal)
    data = process.data
    for i in range(15):
        rest = np.delete(np.arange(15), i)
        posterior = ExactPosterior.of(data.at(rest), process.settings)
        mu, spread = posterior.mean_sd(data.X[i][None])
        extra = data.noise[i] + (math.exp(process.settings.theta[-1]) if data.infer else 0.0)
        mean, sd_told = goal.told(mu, np.sqrt(spread**2 + extra))
        assert seen.mean[i] == pytest.approx(mean[0], abs=1e-6)
        assert seen.sd[i] == pytest.approx(sd_told[0], rel=1e-4, abs=1e-7)
    assert seen.measured == pytest.approx([t.value for t in b_trials(b)])


def b_trials(b):
    class Seen:
        def __init__(self, value):
            self.value = value

    return [Seen(b.goals[0].sign * y) for y in b.history.Y[:, 0]]


def test_calibration_numbers_are_those_of_their_definitions():
    y, mean, sd = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.5, 2.0, 3.0, 3.5]), np.array([0.5, 1.0, 0.5, 1.0])
    seen = Calibration("y", None, np.arange(4), y, mean, sd, (y - mean) / sd, 0.1)
    assert seen.rmse == pytest.approx(math.sqrt((0.25 + 0 + 1 + 0.25) / 4))
    others = [np.delete(y, i).mean() for i in range(4)]
    assert seen.r2 == pytest.approx(1 - 1.5 / sum((a - b) ** 2 for a, b in zip(y, others, strict=True)))
    assert seen.log_density == pytest.approx(norm.logpdf(y, mean, sd).mean())
    assert seen.inside(0.95) == 3  # the third is two standard deviations off
    assert seen.pit == pytest.approx(norm.cdf([-1.0, 0.0, 2.0, -0.5]))
    counts, (low, high) = seen.histogram(4)
    assert counts.tolist() == [1, 1, 1, 1]
    assert (low, high) == (0, 3)


def test_a_right_model_is_honest():
    """Functions of a known process: hits of the 95 % interval, and a flat transform, within four standard errors."""
    rng, hits, pits = np.random.default_rng(0), 0, []
    b = belief(study(UNIT, straight, 40, noise=0.3))
    process, goal = b.goals[0].process, b.goals[0]
    theta = process.settings.theta.copy()
    theta[:] = math.log(0.5)
    theta[-1] = 0.0  # variance 1
    settings = Settings("rbf", theta)
    noise = 0.05
    kernel = ExactPosterior.of(process.data, settings).kernel
    C = kernel.between(process.data.X, process.data.X)[0] + noise * np.eye(40)
    root = np.linalg.cholesky(C)
    for _ in range(25):
        data = replace(process.data, y=root @ rng.standard_normal(40), noise=np.full(40, noise), infer=False)
        made = replace(process, data=data, settings=settings, posterior=ExactPosterior.of(data, settings))
        seen = Calibration.of(b, replace(goal, process=made))
        hits += seen.inside()
        pits.append(seen.pit)
    assert abs(hits - 950) < 4 * math.sqrt(1000 * 0.05 * 0.95) * 1.5  # 1.5: trials of one function are not independent
    assert np.concatenate(pits).mean() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 1000) * 2)


def test_a_planted_outlier_is_named_and_honest_noise_is_not():
    s = study(UNIT, straight, 30, noise="unknown", sd=0.1)
    assert [one.level for one in s.model().diagnose().about("outliers")] == ["good"]
    s.amend(7, values=s.trial(7).value + 3.0, reason="planted")
    (found,) = s.model().diagnose().about("outliers")
    assert found.level == "look"
    assert found.trials == (7,)
    assert "Run 7 looks odd" in found.claim
    assert "study.void(7" in found.call


def test_honest_records_are_rarely_called_odd():
    """1 in 100 records by construction for a normal z; 400 of them give at most 14 (p < 1e-4 beyond)."""
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(400):
        z = rng.standard_normal(20)
        seen = Calibration("y", None, np.arange(20), z, np.zeros(20), np.ones(20), z, 0.0)
        wrong += bool(seen.odd().any())
    assert wrong <= 14


# -- importance --------------------------------------------------------------------------------------


def test_indices_of_known_functions_are_their_closed_forms():
    """Ishigami and Homma 1990 with a = 7, b = 0.1 (Saltelli et al. 2008, p. 179), and a product of choices."""
    space = wb.Space([wb.Float(name, -math.pi, math.pi) for name in "xyz"])
    design = Design.of(space, 4 * 2**12)

    def f(X):
        x, y, z = (2 * X.T - 1) * math.pi
        return np.sin(x) + 7 * np.sin(y) ** 2 + 0.1 * z**4 * np.sin(x)

    found = indices(f(design.A), [f(B) for B in design.others.values()], list(design.moved.values()))
    v = 49 / 8 + 0.1 * math.pi**4 / 5 + 0.01 * math.pi**8 / 18 + 0.5
    pair = 0.01 * math.pi**8 * (1 / 18 - 1 / 50)
    exact = [(0.5 * (1 + 0.1 * math.pi**4 / 5) ** 2 + pair) / v, 49 / 8 / v, pair / v]
    assert found == pytest.approx(exact, abs=0.02)


def test_indices_under_a_constraint_are_those_of_the_conditional_variance():
    """f = a + 2 b uniform on the triangle a + b <= 1: E Var(f | b) / Var f by quadrature."""
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)], constraints=["a + b <= 1"])
    design = Design.of(space, 3 * 2**11)
    values = [X @ np.array([1.0, 2.0]) for X in (design.A, *design.others.values())]
    found = indices(values[0], values[1:], list(design.moved.values()))
    inner = integrate.quad(lambda t: 2 * (1 - t) * (1 - t) ** 2 / 12, 0, 1)[
        0
    ]  # density of one side, variance of a chord
    total = 1 / 18 + 4 / 18 + 2 * 2 * (-1 / 36)  # variances 1/18, covariance -1/36
    assert found == pytest.approx([inner / total, 4 * inner / total], abs=0.03)
    assert all(moved.mean() > 0.99 for moved in design.moved.values())
    assert space.feasible(np.concatenate(list(design.others.values()))).all()


def test_a_conditional_parameter_counts_as_often_as_it_exists():
    """f = t where the switch is on, else 0: closed form of the conditional variances."""
    space = wb.Space([wb.Bool("on"), wb.Float("t", 0, 1, when={"on": True}), wb.Simplex("m", parts=3)])
    design = Design.of(space, 4 * 2**11)

    def f(X):
        return np.nan_to_num(X[:, 1], nan=0.0) * X[:, 0]

    found = indices(f(design.A), [f(B) for B in design.others.values()], list(design.moved.values()))
    variance = 0.5 / 3 - 0.25**2
    t = 0.5 / 12 / variance  # on half of the time, the variance of a uniform
    on = (1 / 3) * 0.25 / variance  # given t, a coin of height t
    assert found == pytest.approx([on, t, 0.0], abs=0.02)


@pytest.mark.slow
def test_an_equality_leaves_no_room_to_move_alone():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1), wb.Float("c", 0, 1)], constraints=["a + b == 1"])
    design = Design.of(space, 1024)
    assert [moved.mean() for moved in design.moved.values()] == [0.0, 0.0, 1.0]


def test_the_model_finds_the_indices_of_a_line_and_the_inert_parameter():
    s = study(UNIT, straight, 24, noise="unknown", sd=0.02)
    found = s.model().importance()["y"]
    exact = {"a": 9 / 14, "b": 4 / 14, "c": 1 / 14, "d": 0.0}
    for one in found.shares:
        assert one.of_mean == pytest.approx(exact[one.parameter], abs=0.01)
        assert one.low - 0.01 <= exact[one.parameter] <= one.high + 0.01
    assert found.inert == ("d",)
    assert [one.parameter for one in found.shares] == ["a", "b", "c", "d"]
    first, second = found.verdicts()
    assert first.claim == "a matters most for y."
    assert second.claim == "d does nothing measurable for y."
    assert s.model().importance("y")["y"] is found  # once for a model


def test_too_few_trials_say_what_they_need():
    found = study(UNIT, straight, 6).model().importance()["y"]
    assert found.shares == ()
    assert found.needed == needed(UNIT) == 10
    assert found.verdicts()[0].because == "6 runs with a value, and this needs 10."


@pytest.mark.slow
def test_hyperparameters_are_drawn_from_their_posterior():
    """Of one length with many data the draws are as the density on a grid says."""
    space = wb.Space([wb.Float("a", 0, 1)])
    b = belief(study(space, lambda p: math.sin(7 * p["a"]), 12, noise=0.3, sd=0.3))
    process = b.goals[0].process
    from workbench.models.exact import Prior, log_posterior

    drawn = np.array(
        [s.theta for s in plausible(process.data, process.settings, 400, np.random.default_rng(0))]
    )  # (400, 2)
    prior = Prior.of(process.data)
    axes = [np.linspace(low, high, 80) for low, high in zip(prior.low, prior.high, strict=True)]
    grid = np.array([[length, scale] for length in axes[0] for scale in axes[1]])
    logs = np.array([log_posterior(process.data, Settings(process.settings.kind, t), prior)[0] for t in grid])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    mean = weights @ grid
    sd = np.sqrt(weights @ (grid - mean) ** 2)
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.35 * sd.max())
    assert drawn.std(axis=0) == pytest.approx(sd, rel=0.35)


# -- recommend ---------------------------------------------------------------------------------------


def test_the_recommended_point_is_the_optimum_of_a_known_bowl():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    s = study(space, lambda p: (p["a"] - 0.3) ** 2 + (p["b"] - 0.7) ** 2)
    found = s.model().recommend()
    assert found.params["a"] == pytest.approx(0.3, abs=0.005)
    assert found.params["b"] == pytest.approx(0.7, abs=0.005)
    assert found.best == s.best_trial.number
    assert found.gain[0] == pytest.approx(s.best_value, abs=1e-3)
    assert found.better > 0.99
    assert found.nearest.trial in {t.number for t in s.trials}
    assert f"than at run {found.best}" in found.why


def test_the_gain_over_the_best_trial_has_the_joint_spread():
    s = study(wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)]), hills, 14, noise=0.05, sd=0.05)
    b, found = belief(s), s.model().recommend()
    goal = b.goals[0]
    points = [found.params, s.trial(found.best).params]
    Z = b.gp.inputs.model_points(s.space.encode(points))
    mu, _ = goal.process.posterior.mean_sd(Z)
    draws = goal.process.posterior.sample(Z, np.random.default_rng(0).standard_normal((200_000, 2)))
    gap = (draws[:, 0] - draws[:, 1]) * goal.process.outcome.slope
    assert found.gain[0] == pytest.approx((mu[0] - mu[1]) * goal.process.outcome.slope, abs=1e-9)
    assert found.gain[1] == pytest.approx(gap.std(), rel=0.02)
    assert found.better == pytest.approx((gap > 0).mean(), abs=0.006)


def test_noise_that_favoured_a_trial_is_called_luck():
    space = wb.Space([wb.Float("a", 0, 1)])
    s = study(space, lambda p: (p["a"] - 0.5) ** 2, 16, noise=0.1)
    s.amend(0, values=s.trial(0).value - 0.5, reason="a lucky one")
    found = s.model().recommend()
    assert found.best == 0
    assert "takes part for luck" in found.why


def test_a_limit_is_held_with_the_wanted_probability():
    """max a + b where a^2 + b^2 <= 0.5: the optimum is (0.5, 0.5)."""
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    goals, limits = [wb.Objective("y", "maximize", noise="none")], [wb.Constraint("g", upper=0.5, noise="none")]
    s = study(space, lambda p: {"y": p["a"] + p["b"], "g": p["a"] ** 2 + p["b"] ** 2}, 30, goals, limits)
    found = s.model().recommend(sure=0.95)
    assert found.mean["y"] == pytest.approx(1.0, abs=0.005)
    assert found.mean["g"] <= 0.5 + 1e-6
    assert found.feasible >= 0.95 * 0.98
    s = study(space, lambda p: {"y": p["a"] + p["b"], "g": p["a"] ** 2 + p["b"] ** 2}, 12, goals,
              [wb.Constraint("g", upper=-1.0, noise="none")])  # fmt: skip
    found = s.model().recommend()
    assert found.best is None
    assert "No point is 90 % sure to hold every limit" in found.why


def test_of_a_target_only_what_comes_closer_is_said_to():
    """The run that is on it may be less sure to hold a limit; luck is a smaller miss than expected."""
    space = wb.Space([wb.Float("x", 0, 10)])
    values = [(0, 5.0), (1, 5.3), (2, 5.8), (3, 6.2), (4, 6.6), (5, 7.0), (9, 9.1)]
    goals, limits = [wb.Objective("pH", target=7.0, noise="none")], [wb.Constraint("c", upper=5.0, noise=0.5)]
    s = wb.create_study("l", space, goals, limits, seed=1)
    for x, y in values:
        s.attach({"x": x}, {"pH": y, "c": x - 0.05})
    found = s.model().recommend(sure=0.95)
    assert abs(found.mean["pH"] - 7.0) > 0.1  # run 5 measured 7
    assert "It is no better than run 5 by itself" in found.why
    assert "closer" not in found.why
    steps = wb.Space([wb.Int("k", 0, 5)])
    for far, said in ((7.28, False), (7.02, True)):  # both beside 6.7, of which some 6.8 is expected
        s = wb.create_study("d", steps, [wb.Objective("pH", target=7.0, noise=0.3)], seed=1)
        for k, a, b in [(0, 4.9, 5.3), (1, 5.3, 5.6), (2, 5.7, 6.1), (3, 6.3, 5.9), (4, 6.6, 6.3), (5, far, 6.4)]:
            s.attach({"k": k}, {"pH": a})
            s.attach({"k": k}, {"pH": b})
        assert s.best_trial.number == 10
        assert ("for luck" in s.model().recommend().why) == said


def test_targets_and_risk():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    s = study(space, lambda p: 3 * p["a"] + p["b"], goals=[wb.Objective("y", target=2.0, tolerance=0.05, noise="none")])
    assert s.model().recommend().mean["y"] == pytest.approx(2.0, abs=0.06)
    s = study(space, hills, 8, noise=0.3, sd=0.3)
    model = s.model()
    bold, careful = model.recommend(), model.recommend(risk=2.0)
    assert careful.sd["y"] <= bold.sd["y"] + 1e-9
    assert careful.mean["y"] >= bold.mean["y"] - 1e-9
    with pytest.raises(wb.InvalidValueError, match="0 <= sure < 1"):
        model.recommend(sure=1.0)


def test_a_compromise_of_two_objectives_moves_with_their_weights():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    goals = [wb.Objective("y", noise="none"), wb.Objective("z", noise="none")]
    s = study(space, lambda p: {"y": p["a"], "z": 1 - p["a"] + (p["b"] - 0.5) ** 2}, 30, goals)
    even, tilted = s.model().recommend(), s.model().recommend(prefer={"y": 3, "z": 1})
    assert even.params["b"] == pytest.approx(0.5, abs=0.02)
    assert tilted.params["a"] < even.params["a"] - 0.1
    assert even.gain is None
    with pytest.raises(wb.InvalidValueError, match="weights >= 0"):
        s.model().recommend(prefer={"x": 1})


@pytest.mark.slow
def test_what_the_world_decides_has_to_be_said():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("w", 0, 1, role="context")])
    s = wb.create_study("s", space, [wb.Objective("y", noise="none")], seed=0)
    for a, w in np.random.default_rng(0).random((24, 2)).tolist():
        s.attach({"a": a, "w": w}, (a - w) ** 2)
    with pytest.raises(wb.InvalidValueError, match="decided by the world"):
        s.model().recommend()
    assert s.model().recommend(fixed={"w": 0.6}).params["a"] == pytest.approx(0.6, abs=0.03)
    assert all(one.low > 0.1 for one in s.model().importance()["y"].shares)
    assert s.model().worth_more((1,), fixed={"w": 0.6}).gains[0].mean >= 0
    assert s.model().explain(3).parts is None  # given by a person
    assert [one.about for one in s.model().verdicts()][-1] != "worth"


def test_a_rejected_region_is_not_recommended():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    s = study(space, lambda p: (p["a"] - 0.3) ** 2 + (p["b"] - 0.7) ** 2, sampler="gp")
    s.reject(s.ask(), reason="corrodes", avoid="a < 0.5")
    assert s.model().recommend().params["a"] == pytest.approx(0.5, abs=1e-3)


MIXED = wb.Space(
    [
        wb.Simplex("mix", names=["u", "v", "w"], total=100), wb.Categorical("c", ["p", "q"]), wb.Bool("on"),
        wb.Float("t", 1, 100, log=True, when={"on": True}), wb.Int("k", 1, 5), wb.Subset("pick", 4, k=2),
    ],
    constraints=["k + 0.05*t <= 6"],
)  # fmt: skip


def mixed(p):
    gain = 0.1 * math.log(p["t"]) if p["on"] else 0.0
    return (p["mix"]["u"] / 100 - 0.5) ** 2 + 0.2 * (p["c"] == "q") - gain + 0.01 * p["k"] + 0.1 * (0 in p["pick"])


@pytest.mark.slow
def test_a_mixed_conditional_constrained_space_is_analysed_whole():
    s = study(MIXED, mixed, 40)
    model = s.model()
    found = model.recommend()
    s.space.check(found.params)
    assert not s.space.violations(found.params)
    assert mixed(found.params) < min(t.value for t in s.trials)
    assert found.params["c"] == "p"
    shares = model.importance()["y"]
    assert {one.parameter for one in shares.shares} == set(MIXED.names)
    assert shares.shares[0].parameter in {"on", "t"}
    assert model.diagnose().about("calibration")[0].level == "good"
    assert len(model.worth_more((1,)).gains) == 1
    said = str(model.explain(3))
    assert "Nearest tried: run" in said


# -- explain -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "goal", [wb.Objective("y", noise="none"), wb.Objective("y", noise=0.2), wb.Objective("y", target=0.3, noise=0.1)]
)
def test_shares_of_a_gain_are_its_definition_by_quadrature(goal):
    """E max(0, u(f) - best) by quadrature over f, and what the mean alone promises; shares add up to 1."""
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    s = study(space, hills, 12, goals=[goal])
    b = belief(s)
    X = space.sobol(4, 5)
    quantity, worths = b.goals[0], b.worths()[:, 0]
    mu, sd = (part[:, 0] for part in b.moments(X))
    gains, promises = gained(b, X)
    for i in range(4):
        found = parts(b, X[i][None])
        assert found.exploit + found.explore + found.risk == pytest.approx(1.0)
        assert 0 <= found.exploit <= 1
        f = np.linspace(mu[i] - 9 * sd[i], mu[i] + 9 * sd[i], 40_001)
        density = norm.pdf(f, mu[i], sd[i])
        promise = max(0.0, integrate.trapezoid(quantity.worth(f) * density, f) - worths.max())
        gain = integrate.trapezoid(np.maximum(quantity.worth(f) - worths.max(), 0.0) * density, f)
        unit = quantity.unit_of_z()
        assert promises[i] == pytest.approx(unit * promise, rel=1e-4, abs=1e-7)
        if goal.noise_sd == 0:
            assert gains[i] == pytest.approx(unit * gain, rel=1e-5, abs=1e-12)
        elif goal.target is not None:
            assert gains[i] == pytest.approx(unit * gain, rel=0.1, abs=2e-3 * unit)  # 64 quantiles
        else:  # noise blurs what can be decided on, so the gain is less
            assert promises[i] <= gains[i] * (1 + 1e-9)
            assert gains[i] <= unit * gain * (1 + 1e-6)


def test_an_explanation_tells_then_from_now_and_asks_the_others():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    s = study(space, hills, 12, sampler="gp")
    trial = s.ask()
    predicted = trial.predicted["y"]
    s.tell(trial, 5.0)
    found = s.model().explain(trial, others=["sobol", "ucb"])
    assert found.then["y"].mean == predicted["mean"]
    assert found.now["y"].mean == pytest.approx(5.0, abs=0.05)
    assert found.measured == {"y": 5.0}
    assert found.parts is not None
    assert found.nearest[0].trial != trial.number
    assert [one.sampler for one in found.others] == ["sobol", "ucb"]
    assert all(one.params and one.distance >= 0 for one in found.others)
    again = wb.create_study("again", space, [wb.Objective("y", noise="none")], sampler="ucb", seed=0)
    for t in s.trials[:12]:
        again.attach(t.params, t.value)
    assert found.others[1].params == again.ask().params  # what that sampler really would have done
    attached = s.model().explain(2)
    assert attached.then is None
    assert attached.parts is None
    assert attached.others == ()
    with pytest.raises(wb.InvalidValueError, match="0 to 12"):
        s.model().explain(13)


def test_only_samplers_that_serve_the_study_are_compared_with_unless_named():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    goals = [wb.Objective("y", noise="none"), wb.Objective("z", noise="none")]
    s = study(space, lambda p: {"y": p["a"], "z": 1 - p["a"] + (p["b"] - 0.5) ** 2}, 12, goals, sampler="gp")
    trial = s.ask()
    found = s.model().explain(trial)
    assert [one.sampler for one in found.others] == ["parego", "sobol"]
    assert found.parts.best is None
    assert found.parts.exploit + found.parts.explore + found.parts.risk == pytest.approx(1.0)
    (named,) = s.model().explain(trial, others=["log_ei"]).others
    assert named.params == {}
    assert named.why


def test_the_record_as_it_stood_at_an_ask():
    s = study(UNIT, straight, 10, sampler="gp")
    first, second = s.ask(2)
    s.tell(first, 1.0)
    third = s.ask()
    s.tell(second, 2.0)
    at_second = s.history().as_of(second.number)
    assert len(at_second) == 11
    assert at_second.complete.sum() == 10  # the first of the batch was in flight
    assert at_second.pending.sum() == 1
    at_third = s.history().as_of(third.number)
    assert at_third.complete.sum() == 11
    assert at_third.pending.tolist()[-1]  # told later


# -- worth -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_trial_is_worth_the_largest_expected_improvement(monkeypatch):
    """Without noise, and hyperparameters held, the gain of the next trial is max EI: over a grid, and within four
    standard errors of the improvement there; the search may fall short of the maximum by 3 %."""
    monkeypatch.setattr(worth, "plausible", lambda data, settings, n, rng: [settings] * n)
    monkeypatch.setattr(worth, "_EACH", 20)
    space = wb.Space([wb.Float("a", 0, 1)])
    b = belief(study(space, lambda p: math.sin(13 * p["a"]) * math.exp(p["a"]), 6))
    grid = space.encode([{"a": a} for a in np.linspace(0, 1, 2001)])
    gains, goal = gained(b, grid)[0], b.goals[0]
    top = int(np.argmax(gains))
    mu, sd = (float(part[top, 0]) for part in b.moments(grid))
    best = float(b.worths().max())
    square = integrate.quad(lambda f: (f - best) ** 2 * norm.pdf(f, mu, sd), best, mu + 10 * sd)[0]
    spread = goal.unit_of_z() * math.sqrt(square - (gains[top] / goal.unit_of_z()) ** 2)
    found = worth.worth_more(b, (1,)).gains[0]
    error = 4 * spread / math.sqrt(12 * 20)
    assert 0.97 * gains[top] - error < found.mean < gains[top] + error
    assert error < 0.6 * gains[top]


@pytest.mark.slow
def test_nothing_is_left_to_gain_at_a_known_optimum():
    space = wb.Space([wb.Float("a", 0, 1)])
    s = study(space, lambda p: (p["a"] - 0.5) ** 2, 16)
    s.attach({"a": 0.5}, 0.0)
    found = s.model().worth_more()
    assert [gain.trials for gain in found.gains] == [1, 5, 10]
    assert not found.worthwhile
    assert found.verdict().claim.startswith("Not worth going on")
    assert all(a.mean <= b.mean + 1e-12 for a, b in zip(found.gains, found.gains[1:], strict=False))
    for wrong in ([0], [201], [5, 5], 5):
        with pytest.raises(wb.InvalidValueError, match="different numbers of trials from 1 to 200"):
            s.model().worth_more(wrong)


@pytest.mark.slow
def test_worth_of_limits_failures_and_fronts():
    space = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
    limits = [wb.Constraint("g", upper=0.5, noise="none")]
    s = study(space, lambda p: {"y": -p["a"] - p["b"], "g": p["a"] ** 2 + p["b"] ** 2}, 14, limits=limits)
    s.tell(s.ask(sampler="sobol"), state="failed", error="leaked")
    found = s.model().worth_more()
    left = s.best_value + 1.0  # the optimum is -1
    assert 0 < found.gains[-1].mean <= 1.2 * left
    s = study(space, lambda p: {"y": p["a"], "g": 1.0 + p["a"]}, 10, limits=limits)
    found = s.model().worth_more((3,))
    assert found.nothing_yet
    assert found.gains[0].held < 0.5
    assert "No run holds every limit yet" in found.verdict().claim
    goals = [wb.Objective("y", noise="none"), wb.Objective("z", noise="none")]
    s = study(space, lambda p: {"y": p["a"], "z": 1 - p["a"] + (p["b"] - 0.5) ** 2}, 12, goals)
    found = s.model().worth_more((1, 5))
    assert found.objective is None
    assert 0 < found.gains[0].mean < found.gains[1].mean < 1
    assert "widen the front" in found.verdict().claim


# -- the study ---------------------------------------------------------------------------------------


def replicated(sd, noise, pairs=8):
    space = wb.Space([wb.Float("a", 0, 1)])
    s, rng = wb.create_study("s", space, [wb.Objective("y", noise=noise)], seed=0), np.random.default_rng(3)
    for a in np.linspace(0, 1, pairs):
        for _ in range(2):
            s.attach({"a": float(a)}, math.sin(3 * a) + sd * rng.standard_normal())
    return s


def test_noise_is_held_against_repeats():
    (found,) = replicated(0.2, "unknown").model().diagnose().about("noise")
    assert found.level == "good"
    assert "as repeats show it" in found.claim
    (found,) = replicated(0.0, "unknown").model().diagnose().about("noise")
    assert found.claim == "y repeats exactly."
    assert "noise that the model infers: none" in found.because
    (found,) = replicated(0.2, 0.02).model().diagnose().about("noise")
    assert found.level == "look"
    assert "noisier than the model takes it to be" in found.claim
    (found,) = replicated(0.01, 0.5).model().diagnose().about("noise")
    assert found.level == "know"
    assert "repeats better" in found.claim
    (found,) = study(UNIT, straight, 20, noise="unknown", sd=0.3).model().diagnose().about("noise")
    assert "no run was repeated" in found.because
    doubled = study(UNIT, straight, 10)
    doubled.attach(doubled.trial(3).params, doubled.trial(3).value)
    (found,) = doubled.model().diagnose().about("duplicates")
    assert found.level == "look"
    assert found.trials == (10,)


def test_suggestions_at_a_bound_come_with_the_space_that_widens_it():
    space = wb.Space([wb.Float("a", 0.5, 5, unit="mm"), wb.Float("b", 0, 1), wb.Float("idle", 0, 1)])
    s = study(space, lambda p: p["a"] + (p["b"] - 0.4) ** 2, 12, sampler="gp")
    for _ in range(4):
        t = s.ask()
        s.tell(t, t["a"] + (t["b"] - 0.4) ** 2)
    diagnosis = s.model().diagnose()
    (found,) = diagnosis.about("bounds")
    assert found.claim == "Suggestions touch the lowest a, 0.5 mm."
    assert found.change == {"a": (0.2, 5.0)}
    assert diagnosis.widened("a")["a"].low == 0.2
    study_ = s  # the call of the verdict runs as it stands
    eval(compile(found.call, "call", "eval"), {"study": study_})
    assert s.space["a"].low == 0.2
    with pytest.raises(wb.InvalidValueError, match="press against"):
        diagnosis.widened("b")


@pytest.mark.parametrize(
    ("parameter", "upper", "ends"),
    [
        (wb.Float("x", 10, 20), True, (10.0, 23.0)), (wb.Float("x", -10, 20), False, (-18.0, 20.0)),
        (wb.Float("x", 0, 1), False, None), (wb.Float("x", 1e-4, 1.0, log=True), False, (1e-5, 1.0)),
        (wb.Int("x", 1, 8), True, (1, 10)), (wb.Float("x", 0, 1, step=0.1), True, (0.0, 1.3)),
    ],
)  # fmt: skip
def test_bounds_move_by_a_quarter_to_round_numbers(parameter, upper, ends):
    from workbench.analysis.diagnose import _moved

    found = _moved(parameter, upper)
    assert found == (None if ends is None else pytest.approx(ends))
    if ends is not None:
        assert widened(wb.Space([parameter]), {"x": found})["x"].low == pytest.approx(ends[0])


def test_a_stalled_study_and_a_failing_one_say_so():
    space = wb.Space([wb.Float("a", 0, 1)])
    s = study(space, lambda p: p["a"], 3)
    s.attach({"a": 0.0}, -1.0)
    for a in np.linspace(0.1, 0.9, 14):
        s.attach({"a": float(a)}, 1.0 + float(a))
    (found,) = s.model().diagnose().about("stall")
    assert found.claim == "No gain in 14 runs."
    for a in np.linspace(0.15, 0.95, 9):
        s.enqueue({"a": float(a)})
        s.tell(s.ask(), state="failed", error="boom")
    (found,) = s.model().diagnose().about("feasibility")
    assert found.level == "look"
    assert found.claim == "9 of the last 10 runs failed or broke a limit."


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_small_record_says_what_it_needs(n):
    model = study(UNIT, straight, n).model()
    verdicts = model.verdicts()
    assert verdicts
    assert all(one.level == "early" for one in verdicts)
    if n < 2:
        assert verdicts[0].because == f"A model needs at least 2 complete trials, there are {n}."
        for ask in (model.recommend, model.importance, model.worth_more, lambda: model.explain(0)):
            with pytest.raises((wb.TrialStateError, wb.InvalidValueError), match=r"at least 2|0 to"):
                ask()
    else:
        assert any("needs 5" in one.because for one in verdicts)
        assert model.recommend().params


def test_a_mean_that_predicts_nothing_is_said_to():
    rng = np.random.default_rng(0)
    s = study(UNIT, lambda p: rng.standard_normal(), 20, noise="unknown")
    found = s.model().diagnose().about("calibration")[0]
    assert found.level == "look"
    assert "no better than the mean" in found.claim
    s = study(UNIT, lambda p: 2.5, 8)
    found = s.model().diagnose().about("calibration")[0]
    assert found.claim == "y was 2.50 in all 8 runs."


def test_words():
    assert plain(96.812, 1.7) == "96.8"
    assert plain(179.3, 3.2) == "179.3"
    assert about(96.812, 1.7, "%") == "96.8 ± 1.7 %"
    assert about(3.0, 0.0) == "3.00"
    assert numbered((3,)) == "run 3"
    assert numbered((3, 5, 8)) == "runs 3, 5 and 8"
    assert numbered(range(9)) == "runs 0, 1, 2, 3, 4, 5 and 3 more"
    assert listed(["a", "b"]) == "a and b"
    assert [percent(v) for v in (0.0002, 0.016, 0.52)] == ["under 0.1 %", "1.6 %", "52 %"]
    assert at_most(0.016) == "At most 1.6 %"


def test_runs_that_all_gave_the_same_say_nothing_of_where_to_go() -> None:
    s = wb.create_study("const", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="sobol", seed=1)
    for trial in s.ask(9):
        s.tell(trial, 5.0)
    worth = s.model().worth_more()
    assert worth.stop == 0.0
    assert not worth.worthwhile
    assert worth.verdict().claim == "Nothing says where a better run may be: all 9 runs gave the same."


def product(x: np.ndarray) -> np.ndarray:
    """Sobol's g-function, its variances 0.8, 0.356 and 0.2: bends pay, since it is a product."""
    return np.prod((0.75 * (4 * x - 2) ** 2 + np.array([0.0, 0.5, 1.0])) / np.array([1.0, 1.5, 2.0]), axis=1)


def test_importance_is_that_of_the_values_and_not_of_their_bent_form() -> None:
    """Of the bent values the second parameter carried 18 % instead of 40 %, with an interval that did not hold it."""
    s = wb.create_study(
        "g", wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(3)]), [wb.Objective("y", noise="none")], seed=1
    )
    X = s.space.sobol(150, 7)
    for params, y in zip(s.space.decode(X), product(X), strict=True):
        s.attach(params, float(y))
    model = s.model()
    assert model.surrogate.outputs[0].outcome.bend is not None  # type: ignore[union-attr]
    V = np.array([0.8, 0.16 / 0.45, 0.2])  # E f = 1; variances of the factors
    total = np.prod(1 + V) - 1
    found = model.importance()["y"]
    for i in range(3):
        truth = V[i] * np.prod(1 + np.delete(V, i)) / total
        share = found[f"x{i}"]
        assert share.low < truth < share.high
        assert share.share == pytest.approx(truth, abs=0.04)
        assert share.high <= 1.0


def test_the_error_of_the_integral_is_in_the_intervals() -> None:
    """Ishigami's function: total indices 0.5576, 0.4424 and 0.2437 (a = 7, b = 0.1)."""
    space = wb.Space([wb.Float(f"x{i}", -math.pi, math.pi) for i in range(3)])
    s = wb.create_study("i", space, [wb.Objective("y", noise="none")], seed=1)
    for params in space.decode(space.sobol(200, 3)):
        a, b, c = params.values()
        s.attach(params, math.sin(a) + 7 * math.sin(b) ** 2 + 0.1 * c**4 * math.sin(a))
    found = s.model().importance()["y"]
    for name, truth in zip(("x0", "x1", "x2"), (0.5576, 0.4424, 0.2437), strict=True):
        assert found[name].low < truth < found[name].high
        assert found[name].high - found[name].low < 0.2


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_importance_does_not_depend_on_the_size_of_the_values(size: float) -> None:
    s = wb.create_study(
        "s", wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)]), [wb.Objective("y", noise="none")], seed=1
    )
    for params in s.space.decode(s.space.sobol(16, 3)):
        s.attach(params, size * (2 * params["a"] + params["b"]))
    assert s.model().importance()["y"]["a"].share == pytest.approx(0.8, abs=0.01)


def test_in_a_context_with_a_limit_the_gain_is_that_over_what_is_allowed_there() -> None:
    """At c = 0.8 the limit allows x <= 0.2; designs from where c is small break it: nothing seemed worth it."""
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("c", 0, 1, role="context")])
    limit = wb.Constraint("m", upper=1.0)
    s = wb.create_study("s", space, [wb.Objective("y", noise="none")], [limit], sampler="gp", seed=1)
    rng = np.random.default_rng(0)
    for x, c in zip(np.r_[0.02, 0.2 + 0.8 * rng.random(20)], np.r_[0.95, 0.2 * rng.random(20)], strict=True):
        s.attach({"x": float(x), "c": float(c)}, {"y": -float(np.sin(1.5 * x)), "m": float(x + c)})
    model = s.model()
    told = model.acquisition([{"x": x, "c": 0.8} for x in (0.02, 0.19, 0.9)])
    gain = np.sin(1.5 * 0.19) - np.sin(1.5 * 0.02)  # 0.25, over the only design that is allowed there
    assert told[1] == pytest.approx(gain, rel=0.3)
    assert max(told[0], told[2]) < 0.01
    worth = model.worth_more(fixed={"c": 0.8})
    assert worth.worthwhile
    assert worth.gains[0].low <= worth.gains[0].mean <= worth.gains[0].high
