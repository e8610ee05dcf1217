"""The adapter of pymoo: equal to pymoo run directly, a function of the record, mixed spaces, constraints, surplus."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.algorithms.soo.nonconvex.cmaes import SimpleCMAES
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.core.problem import Problem
from pymoo.problems import get_problem

import workbench as wb
from problems import multiobjective
from workbench import pareto
from workbench.samplers.evolutionary import ALGORITHMS

N, SEED = 8, 5
TWO = (wb.Objective("f1", noise="none"), wb.Objective("f2", noise="none"))
ONE = (wb.Objective("y", noise="none"),)
BOX = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(1, 5)])


def study(name, space=BOX, objectives=TWO, population=N, **options):
    sampler = {"name": name, "options": {"population": population}}
    return wb.create_study("s", space, objectives, sampler=sampler, seed=SEED, **options)


def zdt(trial):
    x = np.array([trial[f"x{i}"] for i in range(1, 5)])
    g = 1 + 3 * x[1:].sum()
    return {"f1": float(x[0]), "f2": float(g * (1 - np.sqrt(x[0] / g)))}


def sphere(trial):
    return float(sum((trial[f"x{i}"] - 0.3) ** 2 for i in range(1, 5)))


def directly(algorithm, fn, n_obj, generations):
    """pymoo's own loop from the same first points, its generator made anew for each asking and telling."""
    problem = Problem(n_var=4, n_obj=n_obj, xl=0.0, xu=1.0)
    algorithm.setup(problem, termination=("n_gen", 10**9), seed=SEED, verbose=False)
    seen = []
    for g in range(generations):
        algorithm.random_state = np.random.default_rng([SEED, g, 1])
        np.random.seed(np.random.SeedSequence([SEED, g, 1]).generate_state(4))  # noqa: NPY002  # CMA-ES draws from it
        infills = algorithm.ask()
        X = infills.get("X")
        F = np.array([np.ravel(list(fn({f"x{i + 1}": v for i, v in enumerate(x)}).values()) if n_obj > 1 else
                               fn({f"x{i + 1}": v for i, v in enumerate(x)})) for x in X])  # fmt: skip
        infills.set("F", F)
        for individual in infills:
            individual.evaluated.update({"F", "G", "H"})
        algorithm.random_state = np.random.default_rng([SEED, g, 0])
        np.random.seed(np.random.SeedSequence([SEED, g, 0]).generate_state(4))  # noqa: NPY002
        algorithm.tell(infills=infills)
        seen.append(X)
    return np.concatenate(seen)


DIRECT = {
    "nsga2": lambda X: NSGA2(pop_size=N, sampling=X),
    "nsga3": lambda X: NSGA3(pareto.weights(2, N - 1), pop_size=N, sampling=X),
    "smsemoa": lambda X: SMSEMOA(pop_size=N, n_offsprings=N, sampling=X),
    "de": lambda X: DE(pop_size=N, sampling=X),
    "cmaes": lambda X: SimpleCMAES(sigma=0.25, sampling=X, n_sample_points=N, opts={"popsize": N, "verbose": -9}),
}


def slowly(*names):
    """All but the first only among the slow tests."""
    return [names[0], *(pytest.param(name, marks=pytest.mark.slow) for name in names[1:])]


@pytest.mark.parametrize("name", slowly(*DIRECT))
def test_one_worker_in_order_is_pymoo_run_directly(name):
    one = name in ("de", "cmaes")
    fn = sphere if one else zdt
    s = study(name, objectives=ONE if one else TWO)
    s.optimize(fn, 4 * N, progress=False)
    ours = s.history().X
    theirs = directly(DIRECT[name](BOX.sobol(N, SEED)), fn, 1 if one else 2, 4)
    assert np.allclose(ours, theirs, atol=1e-9)


@pytest.mark.slow  # the contract of all samplers asks for it, too
@pytest.mark.parametrize("name", ["nsga2", "nsga3", "smsemoa", "de", "cmaes"])
def test_a_resumed_run_equals_the_uninterrupted_one(name, tmp_path):
    one = name in ("de", "cmaes")
    fn, objectives = (sphere, ONE) if one else (zdt, TWO)
    whole = study(name, objectives=objectives)
    whole.optimize(fn, 3 * N + 3, progress=False)
    for cut in (N - 1, 2 * N + 5):
        s = study(name, objectives=objectives, storage=tmp_path / f"{cut}.db")
        s.optimize(fn, cut, progress=False)
        again = wb.load_study("s", storage=tmp_path / f"{cut}.db")
        again.optimize(fn, 3 * N + 3 - cut, progress=False)
        assert [(t.params, t.meta) for t in again.trials] == [(t.params, t.meta) for t in whole.trials]


@pytest.mark.parametrize("name", slowly("nsga2", "cmaes"))
def test_results_come_in_any_order(name):
    one = name == "cmaes"
    fn = sphere if one else zdt

    def run(order):
        s = study(name, objectives=ONE if one else TWO)
        for _ in range(3):
            trials = s.ask(N)
            for i in order:
                s.tell(trials[i], fn(trials[i]))
        return [t.params for t in s.ask(N)]

    assert run(range(N)) == run(range(N)[::-1])


def test_the_global_generator_of_numpy_is_left_alone():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    study("cmaes", objectives=ONE).optimize(sphere, 2 * N + 2, progress=False)
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize("name", ["de", "cmaes"])
def test_finds_the_minimum_of_a_sphere(name):
    s = study(name, objectives=ONE, population=10)
    s.optimize(sphere, 200, progress=False)
    assert s.best_value < 5e-3  # 0.26 in the mean of the space


@pytest.mark.slow
def test_gets_nearer_to_the_front_than_sobol():
    problem = multiobjective.zdt1(4)
    reference = np.array([-11.0, -11.0])

    def gap(sampler):
        s = wb.create_study("s", problem.space, problem.objectives, sampler=sampler, seed=0)
        s.optimize(lambda t: problem.evaluate(t.params), 96, progress=False)
        return problem.hypervolume - pareto.hypervolume(s.history().Y, reference)

    assert gap({"name": "nsga2", "options": {"population": 16}}) < 0.7 * gap("sobol")


def test_surplus_asks_get_extra_offspring_that_say_so_and_stand_in_for_lost_trials():
    s = study("nsga2")
    for trial in s.ask(N):
        s.tell(trial, zdt(trial))
    first = s.ask(N)
    more = s.ask(3)
    assert all("surplus" not in t.meta["evolution"] for t in first)
    assert [t.meta["evolution"]["surplus"] for t in more] == [True] * 3
    assert "extra offspring" in more[0].why
    for trial in [*first[:-3], *more]:  # three of the generation never come back
        s.tell(trial, zdt(trial))
    following = s.ask()
    assert following.meta["evolution"]["generation"] == 2
    assert sorted(following.meta["evolution"]["told"]) == sorted(t.number for t in [*first[:-3], *more])
    before = [t.params for t in s.ask(3)]
    for trial in first[-3:]:  # too late: what was told stands
        s.tell(trial, zdt(trial))
    assert len(before) == 3
    assert s.ask().meta["evolution"]["generation"] == 2


def test_takes_over_what_others_began():
    s = study("nsga2")
    for trial in s.ask(5, sampler="sobol"):
        s.tell(trial, zdt(trial))
    begun = s.ask(3)
    assert [t.meta["evolution"]["generation"] for t in begun] == [0, 0, 0]
    for trial in begun:
        s.tell(trial, zdt(trial))
    assert s.ask().meta["evolution"]["told"] == list(range(8))
    full = study("nsga2")
    for trial in full.ask(12, sampler="sobol"):
        full.tell(trial, zdt(trial))
    assert full.ask().meta["evolution"]["generation"] == 1


MIXED = wb.Space(
    [
        wb.Float("x", -2, 3),
        wb.Int("n", 1, 9),
        wb.Categorical("c", ["p", "q", "r"]),
        wb.Permutation("order", 5),
        wb.Subset("pick", 6, k=2),
        wb.Sequence("word", "AB", 2, 4),
        wb.Bool("on"),
        wb.Float("d", 0, 1, when={"on": True}),
    ],
    constraints=["x + n <= 9"],
)


def mixed(trial):
    places = sum(abs(i - item) for i, item in enumerate(trial["order"]))
    return {
        "f1": trial["x"] ** 2 + places + (trial["c"] != "q"),
        "f2": trial["n"] + trial.params.get("d", 1.0) + sum(trial["pick"]) / 5,
    }


@pytest.mark.parametrize("name", slowly("nsga2", "nsga3", "smsemoa"))
def test_mixed_spaces_and_known_constraints(name):
    s = study(name, MIXED)
    s.optimize(mixed, 6 * N, progress=False)
    assert len({MIXED.key(t.params) for t in s.trials}) == 6 * N
    for trial in s.trials:
        assert MIXED.violations(trial.params) == []
        assert ("d" in trial.params) == trial["on"]
        assert sorted(trial["order"]) == list(range(5))
    assert sum(t.meta["evolution"]["generation"] > 0 for t in s.trials) == 5 * N
    early, late = (np.mean([mixed(t)["f1"] + mixed(t)["f2"] for t in part]) for part in (s.trials[:N], s.trials[-N:]))
    assert late < early


@pytest.mark.slow
def test_permutations_are_improved():
    space = wb.Space([wb.Permutation("order", 7)])
    s = study("nsga2", space, ONE, population=12)
    s.optimize(lambda t: float(sum(abs(i - item) for i, item in enumerate(t["order"]))), 120, progress=False)
    assert s.best_value <= 6.0  # of 24 at worst; 16 in the mean


def test_measured_limits_and_failures_lead_away():
    def fn(trial):
        return {**zdt(trial), "c": 0.5 - trial["x1"]}

    s = study("nsga2", constraints=[wb.Constraint("c", upper=0.0)], population=10)
    for _ in range(8):
        for trial in s.ask(10):
            if trial["x2"] > 0.8:
                s.tell(trial, state="failed", error="crash")
            else:
                s.tell(trial, fn(trial))
    last = s.trials[-10:]
    assert sum(t["x1"] >= 0.5 for t in last) >= 8
    assert sum(t["x2"] <= 0.8 for t in last) >= 8


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_unit_of_a_limit_changes_nothing(name):
    """A trial that is over a limit by 10^8 of its unit still counts as better than one that failed."""
    found = []
    for unit in (1.0, 2.0**27):
        s = study(name, objectives=TWO if name.startswith(("nsga", "sms")) else ONE, population=8,
                  constraints=[wb.Constraint("c", upper=0.0)])  # fmt: skip
        for _ in range(32):
            trial = s.ask()
            if trial["x1"] > 0.5:
                s.tell(trial, state="failed")
            else:
                values = zdt(trial) if len(s.objectives) > 1 else {"y": sphere(trial)}
                s.tell(trial, values | {"c": unit * (1 - 3 * trial["x1"] + trial["x2"])})
        found.append([t.params for t in s.trials])
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_small_space_is_used_up_and_then_refused():
    space = wb.Space([wb.Int("x1", 0, 3), wb.Int("x2", 0, 3)])
    s = study("nsga2", space, population=4)
    for _ in range(16):
        trial = s.ask()
        s.tell(trial, {"f1": trial["x1"], "f2": trial["x2"]})
    assert len({space.key(t.params) for t in s.trials}) == 16
    with pytest.raises(wb.ExhaustedSpaceError):
        s.ask()


def test_what_an_algorithm_cannot_serve_is_refused_with_the_remedy():
    with pytest.raises(wb.UnsupportedError, match="takes one objective"):
        study("de").ask()
    with pytest.raises(wb.UnsupportedError, match="moves numbers"):
        study("cmaes", MIXED, ONE).ask()
    with pytest.raises(wb.UnsupportedError, match="population must be"):
        study("nsga2", population=2)
    with pytest.raises(wb.UnsupportedError, match="algorithm must be one of"):
        wb.EvolutionarySampler("nsga9")
    assert get_problem("zdt1").n_obj == 2  # pymoo itself is what is adapted


def test_names_options_and_fixed_values():
    made = wb.make_sampler("smsemoa")
    assert made.options() == {"algorithm": "smsemoa", "population": None}
    assert wb.make_sampler({"name": made.name, "options": made.options()}).options() == made.options()
    s = study("nsga2")
    for _ in range(2):
        for trial in s.ask(N, fixed={"x2": 0.25}):
            assert trial["x2"] == 0.25
            s.tell(trial, zdt(trial))


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "de", "cmaes"])
def test_a_fixed_parent_switches_on_what_the_parents_lack(name):
    space = wb.Space([wb.Int("d", 1, 4), wb.Float("m", 0, 1, when={"d": [3, 4]}), wb.Float("x", 0, 1)])
    study = wb.create_study("s", space, [wb.Objective("y", noise="none")],
                            sampler={"name": name, "options": {"population": 6}}, seed=1)  # fmt: skip
    for i in range(10):
        for trial in study.ask(2, fixed={"d": 3} if i >= 4 else {}):
            study.tell(trial, trial["d"] + trial.params.get("m", 0.5) + trial["x"])
    assert all(trial["d"] == 3 and "m" in trial.params for trial in study.trials[8:])


def test_hypervolume_takes_several_objectives():
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="smsemoa")
    with pytest.raises(wb.UnsupportedError, match="several objectives"):
        study.ask()


@pytest.mark.parametrize("name", ["nsga2", "nsga3", "de", "cmaes"])
def test_what_lies_outside_the_bounds_begins_no_population(name):
    """Runs at other settings are data, and a space that was made smaller leaves some of the earlier ones outside."""
    goals = TWO if name.startswith("nsga") else ONE
    value = zdt if goals is TWO else sphere
    s = study(name, objectives=goals)
    rng = np.random.default_rng(0)
    for low in (-1.0, -2.0, 0.0):
        for _ in range(6):
            params = {f"x{i}": float(low + rng.random()) for i in range(1, 5)}
            s.attach(params, value(params) if low >= 0 else dict.fromkeys([g.name for g in goals], 100.0))
    s.optimize(value, n_trials=12, progress=False)
    s.change_space(wb.Space([wb.Float("x1", 0, 0.5), *[wb.Float(f"x{i}", 0, 1) for i in range(2, 5)]]))
    s.optimize(value, n_trials=12, progress=False)
    moved = [t for t in s.trials[18:] if "evolution" in t.meta]
    assert len(moved) == 24
    assert {t.meta["evolution"]["generation"] for t in moved} >= {1}
    assert all(0 <= t["x1"] <= (1.0 if t.number < 30 else 0.5) for t in moved)
    assert len({t["x1"] for t in moved}) > 12  # none is stuck at a wall


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_structured_values_that_are_not_always_there(name):
    space = wb.Space([
        wb.Bool("z"), wb.Permutation("order", 4, when={"z": True}), wb.Permutation("other", 5),
        wb.Subset("some", 5, 2, when={"z": True}), wb.Sequence("word", "abc", 1, 4, when={"z": True}),
    ])  # fmt: skip
    s = study(name, space)

    def value(trial):
        there = "order" in trial.params
        assert there == trial["z"] == ("word" in trial.params)
        a = sum(abs(v - i) for i, v in enumerate(trial["other"]))
        return {"f1": float(a), "f2": float(len(trial["word"]) if there else 9)}

    s.optimize(value, n_trials=40, progress=False)
    assert min(t.values["f1"] for t in s.trials) <= 4  # of at most 12
    assert {t["z"] for t in s.trials[8:]} == {True, False}
