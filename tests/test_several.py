"""Studies of several objectives: what is proposed, the reference point, the hypervolume and the model's front."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

import workbench as wb
from problems import multiobjective
from workbench import build, pareto
from workbench.acquisition import plan, several
from workbench.acquisition.base import LOG_ZERO
from workbench.acquisition.hypervolume_knowledge import LogHVKG
from workbench.acquisition.scalarised import Chebyshev
from workbench.models.gp import GaussianProcesses
from workbench.report import render
from workbench.trial import History


@pytest.fixture(autouse=True)
def light_search(monkeypatch):
    """What is asserted here does not depend on how hard the GP searches."""
    monkeypatch.setitem(build._SAMPLERS, "gp", functools.partial(wb.GPSampler, restarts=2, raw_samples=64))


SPACE = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
TWO = (wb.Objective("f", noise="none"), wb.Objective("g", "maximize", noise="none"))


def values(trial):
    """Both are best at b = 0.5; f falls with a and g rises, so the front is all of a."""
    a, b = trial["a"], trial["b"]
    off = (b - 0.5) ** 2
    return {"f": a**2 + off, "g": -((1 - a) ** 2) - off}


def study(objectives=TWO, sampler="gp", n=8, fn=values, space=SPACE, **options):
    s = wb.create_study("s", space, objectives, sampler=sampler, seed=options.pop("seed", 1), **options)
    for params in space.decode(space.sobol(n, 3)):
        s.attach(params, fn(params))
    return s


def test_several_objectives_are_learnt_from_by_default_and_why_says_of_what():
    s = study(sampler="auto")
    trial = s.ask()
    assert trial.meta["auto"] == "gp"
    assert trial.meta["acquisition"] == "ehvi"
    assert "hypervolume" in trial.why
    assert "f " in trial.why
    assert " g " in trial.why
    assert set(trial.predicted) == {"f", "g"}
    assert "exact over boxes" in trial.meta["reason"]


@pytest.mark.slow
def test_hypervolume_grows_faster_than_by_sobol_points():
    def reached(sampler):
        s = study(sampler=sampler, n=6)
        s.optimize(values, 10, progress=False)
        Y = s.history().utility(s.history().Y)
        return pareto.hypervolume(Y, np.array([-1.2, -1.2]))

    # the front is g = -(1 - sqrt(f))^2: 1.44 less the integral below it, 1/6
    best = 1.44 - 1 / 6
    assert best - reached("gp") < 0.4 * (best - reached("sobol"))


def test_a_batch_spreads_over_the_front_and_sees_what_is_in_flight():
    s = study(n=10)
    batch = s.ask(4)
    assert [t.meta["acquisition"] for t in batch] == ["ehvi", *["nehvi"] * 3]
    a = np.sort([t["a"] for t in batch])
    assert np.diff(a).min() > 0.02
    for trial in batch:
        s.tell(trial, values(trial))
    assert s.ask().meta["acquisition"] == "ehvi"


def test_noise_is_averaged_out():
    noisy = (wb.Objective("f", noise=0.1), wb.Objective("g", "maximize", noise=0.1))
    rng = np.random.default_rng(0)

    def fn(trial):
        return {name: y + 0.1 * rng.normal() for name, y in values(trial).items()}

    s = study(noisy, n=16, fn=fn)
    trial = s.ask()
    assert trial.meta["acquisition"] == "nehvi"
    front = s.model().pareto_front()
    measured = len(s.pareto_trials)
    assert front.probability.max() <= 1.0
    assert measured >= 1
    # what noise put on the front is not certain to be there
    on = np.isin(front.trials, [t.number for t in s.pareto_trials])
    assert front.probability[on].mean() < 1.0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("noise", [0.02, "none"])
def test_the_search_comes_as_near_as_it_can_to_a_reference_point_out_of_reach(noise, seed):
    """f = a^2 <= 0.1 is a <= 0.316, g = -(1 - a)^2 >= -0.3 is a >= 0.452; both need b = 0.5. In the corners, where the
    model knows least, the odds are better by orders of magnitude, and yet nothing."""
    goals = (wb.Objective("f", noise=noise, reference=0.1), wb.Objective("g", "maximize", noise=noise, reference=-0.3))
    s = study(goals, n=16, seed=seed)
    assert s.hypervolume() == 0.0
    for trial in s.ask(3):
        assert 0.28 < trial["a"] < 0.53  # from one end of the gap to the other, a tenth of the front more
        assert abs(trial["b"] - 0.5) < 0.11


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("sampler", "n"), [("gp", 16), ("parego", 16), ("hvkg", 10)])
def test_thresholds_out_of_reach_say_so(sampler, n, seed):
    trial = study(n=n, sampler=sampler, seed=seed).ask(thresholds={"f": 0.1, "g": -0.3})
    assert 0.2 < trial["a"] < 0.6
    assert abs(trial["b"] - 0.5) < 0.25  # the knowledge gradient looks beside what it asks about
    assert trial.meta["value"] > -20  # there is something to gain
    assert "to reach f 0.1, g -0.3 or better, as far as it goes" in trial.why
    assert "will hardly get there" in trial.why


def test_a_reference_point_within_reach_is_kept():
    goals = (wb.Objective("f", noise="none", reference=0.3), wb.Objective("g", "maximize", noise="none"))
    s = study(goals, n=12)
    trial = s.ask(thresholds={"f": 0.2})
    assert "hardly" not in trial.why
    assert trial["a"] < math.sqrt(0.2)


@pytest.mark.parametrize(("prefer", "high"), [({"g": 0.95, "f": 0.05}, True), ({"g": 0.05, "f": 0.95}, False)])
def test_prefer_leads_to_its_end_of_the_front(prefer, high):
    s = study(n=12)
    trial = s.ask(prefer=prefer)
    assert trial.meta["acquisition"] == "parego"
    assert (trial["a"] > 0.6) == high
    assert (trial["a"] < 0.4) == (not high)


@pytest.mark.parametrize("sampler", ["gp", "parego", "hvkg"])
@pytest.mark.parametrize(("name", "value"), [("f", 0.04), ("g", -0.04)])
def test_thresholds_of_an_ask_lead_to_their_part_of_the_front(sampler, name, value):
    s = study(n=12)
    reference = s.history().reference
    trial = s.ask(thresholds={name: value}, sampler=sampler)
    # on the front, f = a^2 and g = -(1 - a)^2: better than the value is a < 0.2, or a > 0.8
    assert (trial["a"] < 0.22) if name == "f" else (trial["a"] > 0.78)
    assert abs(trial["b"] - 0.5) < 0.1
    assert trial.meta["thresholds"] == {name: value}
    assert f"to reach {name} {value:.4g} or better" in trial.why
    assert s.history().reference == pytest.approx(reference)  # what an ask wants changes nothing of the study


def test_thresholds_are_refused_where_they_would_be_ignored():
    one = study([wb.Objective("f")], fn=lambda t: {"f": t["a"]})
    two = study()
    for s, more, said in (
        (one, {}, "one objective"),
        (two, {"sampler": "sobol"}, "or leave thresholds= out"),
        (two, {"sampler": "nsga2"}, "without thresholds="),
        (two, {"sampler": "mes"}, "leave one of them out"),
        (two, {"prefer": {"f": 1.0}}, "leave one of them out"),
    ):
        with pytest.raises(wb.UnsupportedError, match=said):
            s.ask(thresholds={"f": 0.1}, **more)
    with pytest.raises(wb.InvalidValueError, match=r"\['f', 'g'\], got \['h'\]"):
        two.ask(thresholds={"h": 0.1})
    assert not two.history().pending.any()


def test_tradeoffs_are_drawn_with_the_models_front():
    s = study(n=12)
    figure = s.plot.tradeoffs(thresholds={"f": 0.25})
    line = next(trace for trace in figure.data if trace.name == "front the model expects")
    # at the middle of the staircase, f = a^2 and g = -(1 - a)^2 to within a step of 60 points
    inner = [(x, y) for x, y in zip(line.x, line.y, strict=True) if 0.1 < x < 0.8]
    assert len(inner) > 10
    assert max(abs(y + (1 - np.sqrt(x)) ** 2) for x, y in inner) < 0.1
    assert any(shape.x0 == 0.25 for shape in figure.layout.shapes)


@pytest.mark.slow
def test_the_report_says_how_sure_the_front_is():
    s = study(n=12)
    text = render(s, model=s.model())
    assert "front the model expects" in text
    assert "with at least 80 % certainty" in text


def test_prefer_is_refused_where_there_is_nothing_to_weigh():
    with pytest.raises(wb.UnsupportedError, match="leave it out"):
        study([wb.Objective("f")], fn=lambda t: {"f": t["a"]}).ask(prefer={"f": 1.0})
    with pytest.raises(wb.UnsupportedError, match="use sampler='gp' or 'parego'"):
        study(sampler="ehvi").ask(prefer={"f": 1.0})


def test_near_stays_near():
    s = study(n=12)
    trial = s.ask(near=3)
    for name in ("a", "b"):
        assert abs(trial[name] - s.trials[3][name]) <= 0.1 + 1e-9


def test_thresholds_steer_to_what_meets_them():
    goals = (wb.Objective("f", noise="none", threshold=0.09), wb.Objective("g", "maximize", noise="none"))
    s = study(goals, n=12)
    for _ in range(3):
        trial = s.ask()
        s.tell(trial, values(trial))
        assert trial["a"] < 0.4  # f = a^2 at best


def test_measured_limits_shape_the_front():
    limit = wb.Constraint("c", upper=0.0, noise="none")

    def fn(trial):
        return {**values(trial), "c": 0.5 - trial["a"]}

    s = study(n=12, fn=fn, constraints=[limit])
    for _ in range(4):
        trial = s.ask()
        s.tell(trial, fn(trial))
        assert trial["a"] > 0.4
    assert all(t.values["c"] <= 0 for t in s.pareto_trials)
    front = s.model().pareto_front()
    shut = ~np.isin(front.trials, np.flatnonzero(s.history().counted))
    assert shut.any()
    assert (front.probability[shut] == 0.0).all()
    none = study(n=6, fn=lambda t: {**values(t), "c": 2.0 - t["a"]}, constraints=[limit])
    assert none.ask().meta["acquisition"] == "feasibility"


def test_a_target_among_several_objectives():
    goals = (TWO[0], wb.Objective("pH", target=0.7, tolerance=0.05, noise="none"))

    def fn(trial):
        return {"f": values(trial)["f"], "pH": trial["a"]}

    s = study(goals, n=10, fn=fn)
    for _ in range(5):
        trial = s.ask()
        s.tell(trial, fn(trial))
    assert min(abs(t["a"] - 0.65) for t in s.trials[10:]) < 0.1  # the best f within the tolerance
    assert s.hypervolume() > 0
    assert s.model().pareto_front().bands == {}


@pytest.mark.slow
def test_six_objectives_are_scalarised_and_the_plan_says_why():
    problem = multiobjective.dtlz2(9, 6)
    s = wb.create_study("s", problem.space, problem.objectives, sampler="gp", seed=0)
    for params in problem.space.decode(problem.space.sobol(80, 0)):
        s.attach(params, problem.evaluate(params))
    trial = s.ask()
    assert trial.meta["acquisition"] == "parego"
    assert "any number of objectives" in trial.meta["reason"]
    again = wb.create_study("t", problem.space, problem.objectives, sampler="gp", seed=0)
    for t in s.trials[:80]:
        again.attach(t.params, t.values)
    assert again.ask().params == trial.params


def test_acquisitions_for_one_objective_and_for_several_are_told_apart():
    with pytest.raises(wb.UnsupportedError, match="take one of ehvi, nehvi, parego, hvkg, mes, jes, pes"):
        study(sampler="log_ei").ask()
    with pytest.raises(wb.UnsupportedError, match="take one of log_ei"):
        study([wb.Objective("f")], sampler="ehvi", fn=lambda t: {"f": t["a"]}).ask()
    assert study(sampler="parego").ask().meta["acquisition"] == "parego"
    assert study(sampler="nehvi").ask().meta["acquisition"] == "nehvi"


@pytest.mark.slow
@pytest.mark.parametrize("acquisition", ["hvkg", "mes", "jes", "pes"])
def test_other_acquisitions_by_name_find_the_front(acquisition):
    s = study(sampler=acquisition, n=8)
    for _ in range(3):
        trial = s.ask()
        assert trial.meta["acquisition"] == acquisition
        s.tell(trial, values(trial))
    assert min(abs(t["b"] - 0.5) for t in s.trials[8:]) < 0.2


def test_a_cheap_objective_is_measured_alone_and_models_learn_from_it():
    costs = {"f": 0.001, "g": 1.0}
    sampler = {"name": "hvkg", "options": {"costs": costs, "restarts": 2, "raw_samples": 64}}
    s = study(sampler=sampler, n=6)
    asked = []
    for _ in range(4):
        trial = s.ask()
        names = trial.measure or ("f", "g")
        asked.append(names)
        s.tell(trial, {name: values(trial)[name] for name in names})
    assert ("f",) in asked
    alone = next(t for t in s.trials[6:] if t.measure == ("f",))
    assert "measure f only" in alone.why
    assert alone not in s.pareto_trials  # it has no g
    assert s.model().surrogate.outputs[0].data.X.shape[0] > s.model().surrogate.outputs[1].data.X.shape[0]
    with pytest.raises(wb.UnsupportedError, match="must name each of the objectives"):
        study(sampler={"name": "hvkg", "options": {"costs": {"f": 1.0}}}).ask()
    with pytest.raises(wb.UnsupportedError, match="with acquisition='hvkg'"):
        wb.GPSampler("ehvi", costs=costs)


@pytest.mark.slow
def test_an_open_trial_may_be_asked_for_again_to_measure_what_it_lacks():
    sampler = {"name": "hvkg", "options": {"costs": {"f": 0.5, "g": 0.5}, "restarts": 2, "raw_samples": 64}}
    s, again = study(sampler=sampler, n=6, seed=0), []
    for _ in range(12):
        trial = s.ask()
        before = trial.values
        names = trial.measure or ("f", "g")
        assert not set(names) & set(before)
        done = s.tell(trial, {name: values(trial)[name] for name in names}, final=len(names) + len(before) == 2)
        if before:
            again.append(done)
    assert again
    for trial in again:
        assert trial.state == "complete"
        assert set(trial.values) == {"f", "g"}


@pytest.mark.parametrize("options", [{}, {"costs": {"f": 1.0, "g": 1.0}}])
def test_where_no_measurement_moves_the_front_the_gain_of_hypervolume_says_where(options, monkeypatch):
    """Everything is known: all gains are log 0, and any point as good as another."""
    monkeypatch.setattr(LogHVKG, "value", lambda self, Z: np.full(len(Z), LOG_ZERO))
    monkeypatch.setattr(LogHVKG, "value_and_grad", lambda self, Z: (np.full(len(Z), LOG_ZERO), np.zeros_like(Z)))
    s = study(sampler={"name": "hvkg", "options": {"restarts": 2, "raw_samples": 64, **options}}, n=16)
    trial = s.ask()
    assert trial.meta["acquisition"] == "nehvi"
    assert "no single measurement" in trial.meta["reason"]
    assert trial.measure is None
    assert abs(trial["b"] - 0.5) < 0.15


def test_units_and_offsets_of_the_objectives_change_nothing():
    """Affine maps of both objectives, and a sign with the direction: the same point to the tolerance of the search."""
    plain = study(n=10).ask()
    goals = (wb.Objective("f", noise="none"), wb.Objective("g", noise="none"))

    def mapped(trial):
        found = values(trial)
        return {"f": 4.0 * found["f"] + 16.0, "g": -0.5 * found["g"] + 2.0}

    other = study(goals, n=10, fn=mapped).ask()
    assert [other[name] for name in "ab"] == pytest.approx([plain[name] for name in "ab"], abs=1e-6)


@pytest.mark.parametrize("acquisition", ["jes", "pes"])
def test_information_is_asked_for_by_name_with_noise_limits_and_trials_in_flight(acquisition):
    noisy = (wb.Objective("f", noise=0.05), wb.Objective("g", "maximize", noise=0.05))

    def told(trial):
        return {**values(trial), "c": trial["a"]}

    s = study(noisy, wb.GPSampler(acquisition, restarts=2, raw_samples=64), n=8, fn=told,
              constraints=[wb.Constraint("c", upper=0.6)])  # fmt: skip
    batch = s.ask(3)
    assert [trial.meta["acquisition"] for trial in batch] == [acquisition] * 3
    assert "where the best is" in batch[0].why
    assert all(trial["a"] < 0.75 for trial in batch)  # beyond, the limit is hardly ever held
    assert len({tuple(trial.params.values()) for trial in batch}) == 3
    with pytest.raises(wb.UnsupportedError, match="leave one of them out"):
        s.ask(thresholds={"f": 0.2})
    aimed = study((TWO[0], wb.Objective("g", target=0.0)), acquisition)
    with pytest.raises(wb.UnsupportedError, match="with a target"):
        aimed.ask()


@pytest.mark.parametrize("acquisition", ["jes", "pes"])
def test_information_about_the_maximum_of_one_objective_finds_it(acquisition):
    s = study([wb.Objective("f", noise="none")], acquisition, n=6, fn=lambda t: {"f": values(t)["f"]})
    for _ in range(4):
        trial = s.ask()
        assert trial.meta["acquisition"] == acquisition
        s.tell(trial, values(trial)["f"])
    assert s.best_value < 0.02  # at (0, 0.5) it is 0; the six spread points leave 0.11


def test_asks_while_others_are_in_flight_never_repeat_a_point():
    s = study(n=8)
    points = {tuple(t.params.values()) for t in (*s.ask(3), *s.ask(2), s.ask())}
    assert len(points) == 6


# -- measured points under noise that are known well -------------------------------------------------------


def setting_of(study, **asked):
    history = study.history()
    surrogate = GaussianProcesses.fit(history)
    spread = history.space.sobol(64, 0)
    return plan.Setting(
        history, surrogate, spread[:0], spread, {}, np.random.default_rng(0), lambda f: spread[:1],
        asked.get("prefer", {}), [], thresholds={},
    )  # fmt: skip


def lab(repeats, n, noise=0.05, references=(1.3, 1.3)):
    """Sphere of two objectives, with noise; the same settings several times."""
    goals = [wb.Objective(f"f{j}", noise=noise, reference=r) for j, r in enumerate(references)]
    s = wb.create_study("s", wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)]), goals, seed=0)
    rng = np.random.default_rng(0)
    for params in s.space.decode(s.space.sobol(n, 1)):
        radius, angle = 1 + 0.02 * (params["b"] - 0.3) ** 2, params["a"] * np.pi / 2
        for _ in range(repeats):
            told = radius * np.array([np.cos(angle), np.sin(angle)]) + noise * rng.normal(size=2)
            s.attach(params, {"f0": float(told[0]), "f1": float(told[1])})
    return s


@pytest.mark.parametrize(("repeats", "n"), [(10, 16), (1, 150)])
def test_points_of_the_front_that_are_known_too_well_to_be_contenders_are_not_forgotten(repeats, n):
    """Of 64 contenders the best known points were left out first, and what they dominate counted as gain.

    All settings lie on the front or just behind it, so more than 64 may be on it, or ten repeats of each of sixteen.
    """
    known = several.Known(setting_of(lab(repeats, n)))
    mean_front = pareto.hypervolume(known.means, known.reference)
    seen = known.outcomes().known
    assert len(np.unique(known.points, axis=0)) == n
    volumes = [pareto.hypervolume(version, known.reference) for version in seen]
    # versions lie around the means; what was left out made it 7.0 instead of 8.4, and 8.3 instead of 8.9
    assert np.mean(volumes) == pytest.approx(mean_front, rel=0.02)
    assert min(volumes) > 0.97 * mean_front


def test_the_incumbent_of_a_preference_may_lie_beyond_the_reference_point():
    """The best by the weights is worse than the reference in the other objective: it is still what is to be beaten."""
    s = lab(1, 40, noise=0.02, references=(1.3, 0.2))
    known = several.Known(setting_of(s, prefer={"f0": 1.0}))
    nadir, ideal = pareto.extent(known.means)
    way = Chebyshev.of(np.array([1.0, 0.0]), nadir, ideal)
    best = way(known.outcomes(score=way).known).max(axis=1)
    sd = 0.02 / np.std(s.history().Y[:, 0])  # of one measurement, in the units of the model
    assert np.abs(best - way(known.means).max()).max() < 3 * sd * way.slope[0]


# -- the reference point -----------------------------------------------------------------------------------


def test_a_stated_reference_is_the_one_of_the_hypervolume():
    goals = (wb.Objective("f", reference=2.0), wb.Objective("g", "maximize", reference=-1.0))
    s = wb.create_study("s", SPACE, goals, sampler="sobol", seed=0)
    assert s.hypervolume() == 0.0
    s.attach({"a": 0.5, "b": 0.5}, {"f": 1.0, "g": 1.0})
    s.attach({"a": 0.4, "b": 0.5}, {"f": 0.0, "g": 0.0})
    assert s.hypervolume() == 1.0 * 2.0 + 1.0 * 1.0
    s.attach({"a": 0.3, "b": 0.5}, {"f": 3.0, "g": 9.0})  # worse than the reference in one
    assert s.hypervolume() == 3.0


def test_an_inferred_reference_is_kept_for_good_in_the_record(tmp_path):
    s = study(sampler="sobol", storage=tmp_path / "s.db")
    first = s.hypervolume()
    reference = s.history().reference
    expected = pareto.infer_reference(s.history().utility(s.history().Y))
    assert np.array_equal(reference, expected)
    s.attach({"a": 0.5, "b": 0.5}, {"f": 90.0, "g": 7.0})  # a new end of the front, far beyond
    assert np.array_equal(s.history().reference, reference)
    assert s.hypervolume() == pytest.approx(first)
    again = wb.load_study("s", storage=tmp_path / "s.db")
    assert np.array_equal(again.history().reference, reference)
    assert again.hypervolume() == s.hypervolume()
    s.export(tmp_path / "s.json")
    assert wb.import_study(tmp_path / "s.json").hypervolume() == s.hypervolume()


def test_the_reference_of_a_proposal_is_kept_too():
    s = study()
    trial = s.ask()
    reference = np.array(trial.meta["reference_point"])
    s.attach({"a": 0.5, "b": 0.5}, {"f": 90.0, "g": 7.0})
    assert np.array_equal(s.history().reference, reference)
    s.hypervolume()
    assert np.array_equal(s.history().reference, reference)


def test_to_read_a_hypervolume_from_the_first_trial_on_changes_no_proposal():
    found = []
    for watched in (False, True):
        s = wb.create_study("s", SPACE, TWO, sampler="gp", seed=3, budget=24)
        callbacks = [lambda study, trial: study.hypervolume()] if watched else []
        s.optimize(
            lambda t: {"f": 10 ** (3 * t["a"]), "g": -((t["b"] - 0.4) ** 2)}, 9, callbacks=callbacks, progress=False
        )
        found.append(([t.params for t in s.trials], s.history().reference.tolist(), s.hypervolume()))
    assert found[0] == found[1]


def test_the_reference_of_few_trials_moves_with_them_and_is_then_kept():
    s = wb.create_study("s", SPACE, TWO, sampler="nsga2", seed=0)
    seen = []
    for i in range(8):
        s.attach({"a": i / 8, "b": 0.5}, {"f": float(i), "g": float(i * i)})
        s.hypervolume()
        seen.append(s.history().reference.tolist())
    # six trials are what a model of two parameters begins with; each one is on the front: f falls and g grows
    assert seen == [pareto.infer_reference(np.array([[-j, j * j] for j in range(n + 1)], float)).tolist()
                    for n in (*range(6), 5, 5)]  # fmt: skip


def test_no_reference_is_kept_before_trials_hold_the_limits():
    """Both losses fall with b, and only small b holds the limit: no trial that does reaches what others would infer."""

    def fn(p):
        loss = 10 * (1 - p["b"])
        return {"f": p["a"] ** 2 + loss, "g": (1 - p["a"]) ** 2 + loss, "c": p["b"]}

    goals = (wb.Objective("f", noise="none"), wb.Objective("g", noise="none"))
    s = study(goals, n=8, fn=fn, seed=1, constraints=[wb.Constraint("c", upper=0.05)])
    assert s.history().counted.sum() == 0
    first = s.ask()
    assert first.meta["acquisition"] == "feasibility"
    assert "reference_point" not in first.meta
    s.tell(first, fn(first))
    for _ in range(11):
        trial = s.ask()
        s.tell(trial, fn(trial))
    assert s.history().counted.sum() >= 6
    assert s.hypervolume() > 0.1  # of 0.3, with a tenth of the extent behind the front for the reference point
    assert np.ptp([t["a"] for t in s.pareto_trials]) > 0.25


def test_a_reference_stated_later_is_the_one_from_then_on(tmp_path):
    s = study(sampler="sobol", storage=tmp_path / "s.db")
    inferred = s.hypervolume()
    other = wb.load_study("s", storage=tmp_path / "s.db")
    other.history()
    s.set_reference({"f": 0.5, "g": -0.6})
    U = s.history().utility(s.history().Y)
    assert s.hypervolume() == pytest.approx(pareto.hypervolume(U, np.array([-0.5, -0.6]))) != inferred
    assert other.hypervolume() == s.hypervolume()  # another process sees it
    again = wb.create_study("s", SPACE, TWO, sampler="sobol", storage=tmp_path / "s.db", load_if_exists=True)
    assert again.history().reference.tolist() == [-0.5, -0.6]
    s.export(tmp_path / "s.json")
    assert wb.import_study(tmp_path / "s.json").hypervolume() == s.hypervolume()
    assert s.ask(sampler="gp").meta["reference_point"] == [-0.5, -0.6]
    entry = s._record.storage.audit(s._record.id)[-1]
    assert entry.action == "reference"
    s.set_reference({})
    assert s.hypervolume() == pytest.approx(inferred)  # what was inferred at first is kept
    with pytest.raises(wb.InvalidValueError, match="values of measured objectives"):
        s.set_reference({"h": 1.0})
    with pytest.raises(wb.ProblemError):
        s.set_reference({"f": float("nan")})
    s.freeze()
    with pytest.raises(wb.FrozenStudyError):
        s.set_reference({"f": 1.0})


def test_a_frozen_study_has_a_hypervolume_that_is_written_nowhere():
    s = study(sampler="sobol")
    s.freeze()
    assert s.hypervolume() == s.hypervolume() > 0
    s.thaw()


def test_the_last_act_is_to_choose(tmp_path):
    s = study(sampler="sobol", storage=tmp_path / "s.db")
    assert s.chosen is None
    assert s.choose(3, reason="the best compromise").number == 3
    s.choose(s.trials[5], reason="cheaper")
    assert wb.load_study("s", storage=tmp_path / "s.db").chosen.number == 5
    entry = s._record.storage.audit(s._record.id)[-1]
    assert (entry.action, entry.reason) == ("choose", "cheaper")
    with pytest.raises(wb.TrialStateError, match="only a complete trial"):
        s.choose(s.ask(), reason="no")
    with pytest.raises(wb.InvalidValueError, match="reason in words"):
        s.choose(2, reason=" ")
    s.void(5, reason="wrong label")
    assert s.chosen is None


def test_a_record_without_values_has_no_reference():
    s = wb.create_study("s", SPACE, TWO, sampler="sobol")
    assert np.isnan(s.history().reference).all()
    assert isinstance(s.history(), History)


# -- the model's front -------------------------------------------------------------------------------------


def test_the_models_front_runs_where_the_true_one_does():
    s = study(n=20)
    front = s.model().pareto_front()
    assert front.objectives == ("f", "g")
    f, g = front.mean.T
    assert np.abs(np.sqrt(np.maximum(f, 0)) + np.sqrt(np.maximum(-g, 0)) - 1).max() < 0.05  # g = -(1 - sqrt f)^2
    assert f.min() < 0.05
    assert f.max() > 0.6
    assert (front.sd < 0.05).all()
    assert len(front.params) == len(f)
    assert front.feasible.tolist() == [1.0] * len(f)
    # exact values: a trial is on the front of the record or it is not
    on = np.isin(front.trials, [t.number for t in s.pareto_trials])
    assert front.probability[on].min() > 0.95
    assert front.probability[~on].max() < 0.05
    middle = front.bands[0.5]
    assert np.abs(np.sqrt(np.maximum(middle[:, 0], 0)) + np.sqrt(np.maximum(-middle[:, 1], 0)) - 1).max() < 0.1


def test_the_models_front_of_a_space_with_conditions():
    """Another level of a parent brings about what a point has no value of."""
    space = wb.Space([
        wb.Float("x", 0, 1), wb.Categorical("c", ["a", "b"]), wb.Float("z", 0, 1, when={"c": "b"}),
        wb.Permutation("p", ["u", "v", "w"], when={"c": "b"}),
    ])  # fmt: skip
    s = wb.create_study("s", space, [wb.Objective("m"), wb.Objective("f", "maximize")], seed=0, sampler="sobol")
    for trial in s.ask(12):
        b = trial["c"] == "b"
        s.tell(trial, {"m": trial["x"] + b, "f": trial["x"] + b * (1 + trial.params.get("z", 0.0))})
    front = s.model().pareto_front()
    assert {p["c"] for p in front.params} <= {"a", "b"}
    assert all(("z" in p) == ("p" in p) == (p["c"] == "b") for p in front.params)
    assert front.mean[:, 1].max() > 2.0  # of 3 at most, at z = 1, where few trials are


def test_equal_values_without_noise_are_on_the_front_together_or_not_at_all():
    """Draws tell apart what is equal: nine dominated trials had a probability of 0.3 to 0.5."""
    goals = [wb.Objective(n, d, noise="none") for n, d in (("u", "minimize"), ("v", "maximize"), ("k", "minimize"))]
    s = wb.create_study("s", SPACE, goals, seed=1, sampler="sobol")
    for trial in s.ask(16):
        s.tell(trial, {"u": trial["a"], "v": trial["a"] - trial["b"] ** 2, "k": 7.0})
    front = s.model().pareto_front()
    on = np.isin(front.trials, [t.number for t in s.pareto_trials])
    assert front.probability.tolist() == on.astype(float).tolist()
    assert 0 < on.sum() < 16


def test_repeats_of_one_setting_have_one_probability():
    """Their noise-free value is the same; joint draws differed by rounding, and of ten each had a quarter."""
    s = lab(1, 12, noise=0.02)
    best = {"a": 0.5, "b": 0.3}
    for _ in range(10):
        s.attach(best, {"f0": 0.3, "f1": 0.3})  # far beyond all others
    front = s.model().pareto_front()
    repeats = front.probability[front.trials >= 12]
    assert len(repeats) == 10
    assert (repeats == repeats[0]).all()
    assert repeats[0] > 0.99


def test_the_models_front_needs_a_model():
    with pytest.raises(wb.TrialStateError, match="at least 2 complete trials"):
        study(n=1).model().pareto_front()
