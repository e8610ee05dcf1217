"""What a study's `cbo` can be told: inertia, kernels, batches, cooling, kicks and rules, against the formulas."""

from __future__ import annotations

import io
import math
import time
import warnings
from collections import Counter

import numpy as np
import pytest

import workbench as wb
from workbench.errors import SearchEnded, UnsupportedError, WorkbenchWarning
from workbench.samplers.consensus.stability import contraction, noise_for
from workbench.study import vectorized

DT = 0.25  # of a step that costs a trial


def box(d=3):
    return wb.Space([wb.Float(f"x{i}", -3, 4) for i in range(d)])


def study(goals=None, d=3, storage=None, space=None, **options):
    goals = goals or [wb.Objective("y", noise="none")]
    spec = {"name": "cbo", "options": options}
    return wb.create_study("s", space or box(d), goals, sampler=spec, seed=1, storage=storage)


def sphere(params):
    return sum(float(value) ** 2 for value in params.values())


def stacked(columns):
    return np.stack(list(columns.values()), axis=1)


def two_wells(X):
    """Least, 0, at -1.5 and at 2.5 in every column."""
    return np.minimum(((X + 1.5) ** 2).sum(axis=-1), ((X - 2.5) ** 2).sum(axis=-1))


def folded(z):
    return np.abs(np.mod(z + 1, 2) - 1)


def attached(s, name="run-cbo.npz"):
    with np.load(io.BytesIO(s.files.get(name)), allow_pickle=False) as held:
        return dict(held)


def run(s, fn, evaluations, keep=1):
    """A vectorised run; the warnings that it gave."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", WorkbenchWarning)
        s.optimize(fn, vectorized=True, evaluations=evaluations, keep=keep, progress=False)
    return [str(one.message) for one in said if issubclass(one.category, WorkbenchWarning)]


# -- asked and told: one move by hand ---------------------------------------------------------------


def begun(values=(1.0, 1.0, 1.0), **options):
    """Three particles that have been told, equal values if not said otherwise, so that the consensus is the mean."""
    s = study(particles=3, share=1.0, dt=DT, **options)
    for trial, value in zip(s.ask(3), values, strict=True):
        s.tell(trial, value)
    return s


def test_inertia_is_the_formula_over_two_steps():
    """V <- (m V + increment) / (m + (1 - m) dt); the velocity of the first step drives the second."""
    m = 0.4
    s = begun(noise=0.5, inertia=m)
    V = np.zeros(3)
    for step in (1, 2):
        X = s.history().X
        rows = {0: 0 if step == 1 else 3, 1: 1, 2: 2}
        places = np.stack([X[rows[i]] for i in range(3)])
        trial = s.ask()
        xi = np.random.default_rng([1, 0, step, 0, 0]).standard_normal(3)
        D = places[0] - X[:3].mean(axis=0)  # of best points, which stay the first: no later value is better
        V = (m * V - DT * D + 0.5 * math.sqrt(DT) * D * xi) / (m + (1 - m) * DT)
        assert np.allclose(s.history().X[-1], places[0] + DT * V, atol=1e-9)
        assert np.allclose(trial.meta["cbo"]["v"], V, atol=1e-9)
        s.tell(trial, 1.0)
        if step == 1:  # the others do not move, and their results are not awaited
            assert [t.meta["cbo"]["particle"] for t in s.ask(2)] == [1, 2]


def test_noise_towards_best_points_has_normals_of_its_own():
    s = begun((1.0, 1.0, 1.0), noise=0.5, memory=0.3, memory_noise=0.7)
    first = s.ask()
    s.tell(first, 5.0)  # worse, so the best point stays where it was
    for trial in s.ask(2):
        s.tell(trial, 5.0)
    X = s.history().X
    second = s.ask()
    assert second.meta["cbo"]["particle"] == 0
    rng = np.random.default_rng([1, 0, 2, 0, 0])
    xi, zeta = rng.standard_normal((1, 3))[0], rng.standard_normal((1, 3))[0]
    D, own = X[3] - X[:3].mean(axis=0), X[3] - X[0]
    wanted = X[3] - DT * D - 0.3 * DT * own + 0.5 * (0.5 * D * xi + 0.7 * own * zeta)
    assert np.allclose(s.history().X[-1], folded(wanted), atol=1e-9)


def test_a_batch_agrees_among_itself():
    s = study(particles=6, share=1.0, noise=0.5, dt=DT, batch=3)
    for trial in s.ask(6):
        s.tell(trial, 1.0)
    s.ask()
    X = s.history().X
    rng = np.random.default_rng([1, 0, 1, 0, 0])
    some = [0, *rng.choice([1, 2, 3, 4, 5], 2, replace=False)]
    D = X[0] - X[some].mean(axis=0)
    wanted = X[0] - DT * D + 0.5 * math.sqrt(DT) * D * rng.standard_normal(3)
    assert np.allclose(X[6], folded(wanted), atol=1e-9)
    assert s.trials[6].meta["cbo"]["size"] == 3.0


def test_cooled_noise_shrinks_with_the_steps_of_a_particle():
    s = begun(noise=1.0, cooling=0.5)
    s.ask()
    X = s.history().X
    D = X[0] - X[:3].mean(axis=0)
    xi = np.random.default_rng([1, 0, 1, 0, 0]).standard_normal(3)
    assert np.allclose(X[3], folded(X[0] - DT * D + 0.5 * 1.0 * math.sqrt(DT) * D * xi), atol=1e-9)


def test_a_kernel_shows_near_particles_more():
    """Equal values: the weights are those of the kernel alone, seen from the particle that moves."""
    s = begun(noise=0.5, kernel=0.3)
    trial = s.ask()
    X = s.history().X
    w = np.exp(-((X[:3] - X[0]) ** 2).sum(axis=1) / (2 * 0.3**2))
    c = w @ X[:3] / w.sum()
    assert trial.meta["cbo"]["c"] == pytest.approx(c.tolist(), abs=1e-6)
    assert trial.meta["cbo"]["size"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), abs=0.01)
    assert "gradient" not in trial.meta["cbo"]


def test_a_swarm_that_stands_still_is_kicked():
    """Nothing better for a step of all: every particle gets noise beside its move, and for the steps between none."""
    s = study(particles=3, share=1.0, noise=0.5, dt=DT, patience=2, kick=0.4)
    for trial in s.ask(3):
        s.tell(trial, 1.0)
    kicked = []
    for _ in range(15):
        before = s.history().X
        trial = s.ask()
        note = trial.meta["cbo"]
        kicked.append(note.get("kick", False))
        if kicked[-1] and kicked.count(True) == 1:
            rng = np.random.default_rng([1, note["particle"], note["step"], 0, 0])
            told = [max(t.number for t in s.trials[:-1] if t.meta["cbo"]["particle"] == i) for i in range(3)]
            place = before[told[note["particle"]]]
            D = place - before[told].mean(axis=0)
            moved = place - DT * D + 0.5 * math.sqrt(DT) * D * rng.standard_normal(3)
            wanted = moved + 0.4 * math.sqrt(DT) * rng.standard_normal(3)
            assert np.allclose(s.history().X[-1], folded(wanted), atol=1e-9)
        s.tell(trial, 1.0)
    # results 4 to 18: after 3 told, (results - 1) // 3 steps brought nothing, and every second of them kicks
    assert kicked == [((n - 1) // 3) in (2, 4) for n in range(3, 18)]


# -- asked and told: what comes of it ---------------------------------------------------------------


@pytest.mark.slow
def test_particles_with_a_kernel_find_both_wells_by_ask_and_tell():
    """A quarter of the last moves near either minimum with a kernel, all but a few near one of them without."""
    for seed in range(2):
        ends = {}
        for kernel in (0.2, None):
            spec = {"name": "cbo", "options": {"particles": 16, "kernel": kernel}}
            s = wb.create_study("s", box(2), [wb.Objective("y", noise="none")], sampler=spec, seed=seed)
            s.optimize(lambda t: float(two_wells(np.array(list(t.params.values())))), n_trials=160, progress=False)
            X = np.array([list(t.params.values()) for t in s.trials[-32:]])
            ends[kernel] = [int((np.linalg.norm(X - at, axis=1) < 1.0).sum()) for at in (-1.5, 2.5)]
        assert min(ends[0.2]) >= 8, ends
        assert min(ends[None]) <= 2, ends


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"inertia": 0.2, "batch": 3, "patience": 1},
        {"kernel": 0.4, "cooling": 0.95, "memory_noise": 0.5},
        {"surrogate_steps": 2, "inertia": 0.1},
    ],
)
def test_a_resumed_study_equals_the_uninterrupted_one(tmp_path, options):
    """What a particle needs of its past is in the record, whichever process asks."""

    def go(name, stops):
        study(storage=tmp_path / name, particles=5, **options)
        for stop in stops:
            s = wb.load_study("s", storage=tmp_path / name)
            s.optimize(lambda trial: sphere(trial.params), until=stop, progress=False)
        return [t.params for t in s.trials]

    assert go("a.db", [22]) == go("b.db", [7, 15, 22])


def bowl_of_which_one_is_slow(trial):
    if trial.number == 1:
        time.sleep(1.0)  # meanwhile the other workers do nearly all the rest
    return sphere(trial.params)


@pytest.mark.slow
def test_several_workers_move_particles_that_wait_for_one_another():
    """Three at a time: of the particles that wait for nothing, the one with the fewest steps moves, however slow one
    of the workers is."""
    s = study(particles=6)
    s.optimize(bowl_of_which_one_is_slow, n_trials=30, executor=wb.Processes(workers=3), progress=False)
    assert [t.state for t in s.trials] == ["complete"] * 30
    moves = [(t.meta["cbo"]["particle"], t.meta["cbo"]["step"]) for t in s.trials]
    assert not any("surplus" in t.meta["cbo"] for t in s.trials)
    assert len(set(moves)) == 30
    for k, (particle, step) in enumerate(moves):
        before = list(zip(moves[:k], s.trials[:k], strict=True))
        waiting = {i for (i, _), t in before if t.finished > s.trials[k].started}
        steps = Counter(i for (i, _), t in before if t.finished <= s.trials[k].started)
        assert particle not in waiting
        assert step == steps[particle] == min(steps[i] for i in range(6) if i not in waiting)


def test_a_value_that_is_to_be_followed_by_more_leaves_its_particle_waiting():
    goals = [wb.Objective("a"), wb.Objective("b")]
    s = study(goals, particles=3)
    first = s.ask(3)
    for trial in first:
        s.tell(trial, {"a": 1.0}, final=False)
    s.tell(first[1], {"b": 2.0})
    assert s.ask().meta["cbo"] | {"particle": 1, "step": 1} == s.trials[-1].meta["cbo"]
    assert s.ask().meta["cbo"]["fresh"]  # one alone has nobody to agree with, and the others wait
    s.tell(first[0], {"b": 1.0})
    assert s.ask().meta["cbo"]["particle"] == 0


# -- in whole batches ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_particles_with_a_kernel_find_both_wells_in_batches():
    ends = {}
    for kernel in (0.15, None):
        s = study(d=2, particles=100, kernel=kernel, stop={"steps": 250})
        run(s, lambda columns: two_wells(stacked(columns)), 40_000, keep=40)
        X = -3 + 7 * attached(s, "trace-cbo.npz")["particles"][-1]
        ends[kernel] = [int((np.linalg.norm(X - at, axis=1) < 0.5).sum()) for at in (-1.5, 2.5)]
    assert min(ends[0.15]) >= 20
    assert min(ends[None]) == 0
    assert max(ends[None]) >= 95


def test_a_batch_alone_moves_and_is_evaluated():
    calls = []

    def fn(columns):
        calls.append(stacked(columns))
        return (calls[-1] ** 2).sum(axis=1)

    s = study(particles=20, batch=5)
    run(s, fn, 400)
    assert [len(X) for X in calls[:2]] == [1, 20]  # one point tells how many objectives there are
    assert {len(X) for X in calls[2:]} == {5}
    assert sum(map(len, calls)) == 396
    assert attached(s)["sampler.evaluations"] == 395
    assert s.best_value < min((X**2).sum(axis=1).min() for X in calls[:2])


@pytest.mark.slow
def test_a_particle_swarm_finds_what_is_best_in_batches():
    """Rastrigin in three variables: the lowest, in each of three seeds, and the velocity is in the state."""
    for seed in range(3):
        options = {"inertia": 0.05, "memory": 0.4, "memory_noise": 1.0}
        s = wb.create_study("s", box(), [wb.Objective("y")], sampler=wb.CBOSampler(**options), seed=seed)
        run(s, lambda c: (stacked(c) ** 2 + 10 * (1 - np.cos(2 * np.pi * stacked(c)))).sum(axis=1), 40_000)
        assert s.best_value < 1e-3
        assert np.abs(attached(s)["sampler.V"]).max() > 0


def test_cooling_and_kicks_in_batches():
    s = study(particles=10, cooling=0.9, stop={"steps": 30})
    run(s, lambda columns: (stacked(columns) ** 2).sum(axis=1), 10_000)
    assert attached(s)["sampler.sigma"] == pytest.approx(0.9**30)
    spreads = {}
    for patience in (5, None):  # nothing is better than anything; drift halves the distances
        s = study(particles=10, drift=50.0, noise=0.01, patience=patience, stop={"steps": 20})
        run(s, lambda columns: np.ones(len(columns["x0"])), 10_000)
        spreads[patience] = attached(s, "trace-cbo.npz")["spread"][-1]
    # kicked by 0.1 sqrt dt = 0.01 a coordinate in steps 6, 11 and 16, and halved four times since
    assert 0.01 / 2**4 < spreads[5] < 5 * 0.01 * math.sqrt(3) / 2**4
    assert spreads[None] < math.sqrt(3) / 2**19


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "goals"),
    [
        ({"batch": 4, "patience": 3, "inertia": 0.3, "cooling": 0.99}, 1),
        ({"kernel": 0.3, "memory": 0.2, "memory_noise": 1.0}, 1),
        ({"batch": 4, "inertia": 0.2, "cooling": 0.99, "memory_noise": 1.0}, 2),
    ],
)
def test_a_run_that_dies_goes_on_to_the_last_bit(tmp_path, monkeypatch, options, goals):
    monkeypatch.setattr(vectorized, "CHECKPOINT", 0.0)  # at every milestone

    def ended(name, *deaths):
        objectives = [wb.Objective(f"y{i}", noise="none") for i in range(goals)]
        study(objectives, 2, tmp_path / name, particles=12, **options)
        for deadly in (*deaths, 10**9):
            s, spent = wb.load_study("s", storage=tmp_path / name), 0

            def fn(columns, deadly=deadly):
                nonlocal spent
                X = stacked(columns)
                spent += len(X)
                if spent > deadly:
                    raise MemoryError
                return {f"y{i}": ((X - i) ** 2).sum(axis=1) for i in range(goals)}

            try:
                run(s, fn, 900, keep=3)
            except MemoryError:
                assert deadly < 10**9
        return attached(s), attached(s, "trace-cbo.npz")

    whole, again = ended("a.db"), ended("b.db", 330, 250)
    for one, other in zip(whole, again, strict=True):
        assert set(one) == set(other)
        assert all(np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f") for name in one)


def test_a_checkpoint_of_another_version_is_refused_and_says_what_to_do():
    s = study(particles=10)
    run(s, lambda columns: (stacked(columns) ** 2).sum(axis=1), 200)
    held, packed = attached(s), io.BytesIO()
    del held["sampler.before"]
    np.savez(packed, **held)
    s.files.put("run-cbo.npz", packed.getvalue(), "application/x-npz")
    with pytest.raises(UnsupportedError, match=r"another version \(it has no before\); begin a new study"):
        run(s, lambda columns: (stacked(columns) ** 2).sum(axis=1), 400)


# -- rules ----------------------------------------------------------------------------------------------


def spread(state):
    return np.linalg.norm(state["sampler.X"] - state["sampler.c"], axis=-1).max()


@pytest.mark.parametrize(
    ("stop", "said", "held"),
    [
        ({"steps": 40}, "40 steps were taken", lambda a: a["sampler.step"] == 40),
        ({"horizon": 0.3}, "a time of 0.3 has passed", lambda a: a["sampler.step"] == 30),
        ({"value": 0.05}, "the best value, 0.0", lambda a: a["sampler.least"] <= 0.05),
        ({"spread": 1e-3}, "no particle is further than 0.00", lambda a: spread(a) < 1e-3),
        ({"movement": 1e-3}, "particles moved by 0.00", lambda a: a["sampler.movement"] < 1e-3),
        ({"stagnation": 12}, "12 steps brought nothing better", lambda a: a["sampler.since"] == 12),
        ({"drift": 1e-3, "window": 5}, "in 5 steps, less than 0.001", lambda a: len(a["sampler.trail"]) == 6),
        ({"level": 1e-3, "window": 8}, "the least values of 8 steps", lambda a: a["sampler.lows"].std() < 1e-3),
        ({"steps": 500, "spread": 1e-2}, "rule 'spread' of cbo", lambda a: spread(a) < 1e-2),
    ],
)  # fmt: skip
def test_a_rule_ends_a_run_in_batches_and_is_named(stop, said, held):
    quick = {} if "value" in stop else {"drift": 20.0, "noise": 0.5}  # distances shrink by a fifth a step
    s = study(particles=30, stop=stop, **quick)
    (warning,) = run(s, lambda columns: (stacked(columns) ** 2).sum(axis=1), 20_000)
    assert warning.startswith("stopped early: ")
    assert said in warning
    state = attached(s)
    assert held(state)
    assert state["kept.spent"] < 20_000
    assert s.trials[0].attrs["vectorized"]["ended"] == warning.removeprefix("stopped early: ")
    assert run(s, lambda columns: (stacked(columns) ** 2).sum(axis=1), 20_000) == [warning]  # it still holds
    assert attached(s)["kept.spent"] == state["kept.spent"]


def test_rules_of_the_whole_run_let_swarms_begin_anew():
    """Halved every step, a swarm has collapsed to 1e-7 after 24; the rule counts the steps of all of them."""
    s = study(particles=10, drift=50.0, noise=0.01, stop={"steps": 100})
    run(s, lambda columns: (stacked(columns) ** 2).sum(axis=1), 50_000)
    state = attached(s)
    assert state["sampler.swarm"] >= 2
    assert state["sampler.before"] + state["sampler.step"] == 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("goal", "value", "fn"),
    [
        (wb.Objective("y", "maximize"), 9.9, lambda X: 10 - (X**2).sum(axis=-1)),
        (wb.Objective("y", target=7.0, tolerance=0.1), 0.05, lambda X: X.sum(axis=-1)),
    ],
)
def test_a_value_is_in_the_units_and_the_direction_of_the_objective(goal, value, fn):
    s = study([goal], stop={"value": value})
    (warning,) = run(s, lambda columns: fn(stacked(columns)), 50_000)
    assert "rule 'value' of cbo" in warning
    told = s.best_trial.values["y"]
    assert told >= 9.9 if goal.target is None else abs(told - 7.0) - 0.1 <= 0.05
    t = study([goal], particles=6, stop={"value": value})
    with pytest.warns(WorkbenchWarning, match="stopped early: the best value"):
        t.optimize(lambda trial: float(fn(np.array(list(trial.params.values())))), n_trials=900, progress=False)
    values = [one.values["y"] for one in t.trials]
    reached = [v >= 9.9 if goal.target is None else abs(v - 7.0) - 0.1 <= 0.05 for v in values]
    assert reached.count(True) == 1
    assert reached[-1]


@pytest.mark.parametrize(
    ("stop", "said", "n"),
    [
        ({"steps": 4}, "4 steps were taken", 20),
        ({"horizon": 0.75}, "a time of 0.75 has passed", 15),
        ({"stagnation": 3}, "3 steps brought nothing better", None),
        ({"spread": 0.2}, "no particle is further than", None),
        ({"movement": 0.05}, "particles moved by", None),
    ],
)
def test_a_rule_ends_what_is_asked_and_told(stop, said, n):
    s = study(particles=5, stop=stop)
    with pytest.warns(WorkbenchWarning, match=f"stopped early: .*{said}"):
        s.optimize(lambda trial: sphere(trial.params), n_trials=400, progress=False)
    assert n is None or len(s.trials) == n
    assert 5 < len(s.trials) < 400
    with pytest.raises(SearchEnded, match=f"{said}.*give another sampler= to go on"):
        s.ask()
    assert s.ask(sampler="sobol").number == len(s.trials) - 1
    own = [t for t in s.trials if t.state == "complete"]
    if "stagnation" in stop:
        values = [t.values["y"] for t in own]
        assert len(values) - 1 - int(np.argmin(values)) == 15
    if "movement" in stop:
        X, particles = s.history().X, [t.meta["cbo"]["particle"] for t in own]
        rows = [[k for k, one in enumerate(particles) if one == i][-2:] for i in range(5)]
        assert np.mean([np.linalg.norm(X[b] - X[a]) for a, b in rows]) < 0.05


def test_the_spread_of_a_rule_is_that_of_each_from_its_own_consensus():
    """Two pairs far apart, each within 0.01: with a kernel they stand on their consensus, else half a box away."""
    points = [{"x0": -2.0}, {"x0": -1.99}, {"x0": 3.0}, {"x0": 3.01}]
    for kernel in (0.05, None):
        s = study(d=1, particles=4, share=1.0, kernel=kernel, stop={"spread": 0.01})
        for point in points:  # where particles begin
            s.attach(point, {"y": 1.0})
        if kernel is None:
            assert s.ask().number == 4
            continue
        with pytest.raises(SearchEnded, match=r"no particle is further than 0\.0007"):  # 0.005 / 7
            s.ask()


# -- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inertia": 1.0}, "inertia must be a number >= 0 and < 1, got 1.0"),
        ({"inertia": 0.1, "kind": "isotropic"}, "inertia needs kind='anisotropic'"),
        ({"kernel": 0.0}, "kernel must be a number > 0, got 0.0"),
        ({"batch": 1}, "batch must be a whole number from 2 on, got 1"),
        ({"batch": 9, "particles": 4}, "batch must be at most the 4 particles, got 9"),
        ({"cooling": 1.1}, "cooling must be a number > 0 and <= 1"),
        ({"memory_noise": -1.0}, "memory_noise must be a number >= 0"),
        ({"patience": 0}, "patience must be a whole number from 1 on, got 0"),
        ({"kick": -0.1}, "kick must be a number > 0"),
        ({"stop": 3}, "stop must name rules with their bounds"),
        ({"stop": {}}, "stop needs a rule: value, steps"),
        ({"stop": {"window": 5}}, "window is how many steps drift and level look at"),
        ({"stop": {"spread": 1.0, "window": 5}}, "window is how many steps drift and level look at"),
        ({"stop": {"seconds": 5}}, "say it to optimize, with timeout="),
        ({"stop": {"evaluations": 5}}, "say it to optimize, with evaluations= or n_trials="),
        ({"stop": {"energy": 5}}, "stop takes value, steps, .* and window; got 'energy'"),
        ({"stop": {"steps": 2.5}}, "the rule 'steps' of stop takes a whole number >= 1, got 2.5"),
        ({"stop": {"spread": math.nan}}, "the rule 'spread' of stop takes a number > 0, got nan"),
        ({"stop": {"value": "low"}}, "the rule 'value' of stop takes a number, got 'low'"),
    ],
)
def test_wrong_options_are_refused_with_what_to_do(options, said):
    with pytest.raises(UnsupportedError, match=said):
        wb.CBOSampler(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kernel": 0.2}, "kernel is for one objective"),
        ({"patience": 3}, "patience is for one objective"),
        ({"stop": {"value": 1.0}}, "2 objectives have no one value to look at; stop by steps, horizon"),
        ({"stop": {"drift": 1.0}}, "no one drift to look at"),
    ],
)
def test_what_is_for_one_objective_is_refused_where_there_are_two(options, said):
    s = study([wb.Objective("a"), wb.Objective("b")], **options)
    with pytest.raises(UnsupportedError, match=said):
        s.ask()
    with pytest.raises(UnsupportedError, match=said):
        s.optimize(lambda columns: {}, vectorized=True, evaluations=100)
    assert not s.trials


def test_rules_over_whole_steps_are_refused_where_particles_go_one_by_one():
    s = study(stop={"drift": 1e-3})
    with pytest.raises(UnsupportedError, match="take spread or stagnation, or a vectorised run"):
        s.ask()
    assert not s.trials


def test_a_swarm_with_inertia_that_would_fly_apart_is_refused_with_its_number():
    s = study(inertia=0.5, noise=3.0)
    number = contraction(1.0, 3.0, DT, 3, anisotropic=True, inertia=0.5)
    with pytest.raises(UnsupportedError, match=f"inertia 0.5 and dt 0.25 .* grows by {number:.4f} a step"):
        s.ask()
    most = noise_for(-0.2, 1.4, DT, 3, anisotropic=True)
    with pytest.raises(UnsupportedError, match=f"memory_noise 9 leaves nothing of the noise {most:.3g}"):
        study(memory=0.4, memory_noise=9.0).ask()


def test_a_noise_is_judged_by_the_step_that_it_goes_with():
    """cbx's 10.1 draws a swarm together with dt = 0.01, as a vectorised run has it, and flies apart with 0.25."""
    s = study(noise=10.1, particles=10)
    run(s, lambda columns: (stacked(columns) ** 2).sum(axis=1), 500)
    assert attached(s, "trace-cbo.npz")["contraction"] == pytest.approx(-0.21284, abs=6e-6)
    with pytest.raises(UnsupportedError, match=r"noise 10\.1 and dt 0\.25"):
        s.ask()


def test_options_come_back_from_the_record(tmp_path):
    options = {"inertia": 0.1, "batch": 4, "cooling": 0.9, "patience": 3, "stop": {"spread": 0.01}, "particles": 6}
    study(storage=tmp_path / "a.db", **options)
    found = wb.load_study("s", storage=tmp_path / "a.db").sampler.options()
    assert {name: found[name] for name in options} == options


@pytest.mark.slow
def test_several_objectives_in_batches_with_inertia_and_a_rule():
    """The front of (x + 1)^2 + y^2 and (x - 1)^2 + y^2 is where sqrt a + sqrt b = 2."""
    goals = [wb.Objective("a", noise="none"), wb.Objective("b", noise="none")]
    s = study(goals, 2, inertia=0.05, batch=30, stop={"steps": 500})

    def fn(columns):
        x, y = columns["x0"], columns["x1"]
        return {"a": (x + 1) ** 2 + y**2, "b": (x - 1) ** 2 + y**2}

    (warning,) = run(s, fn, 40_000, keep=12)
    assert "500 steps were taken" in warning
    front = np.array([[t.values["a"], t.values["b"]] for t in s.trials])
    assert len(front) == 12
    off = np.sqrt(front).sum(axis=1) - 2
    assert off.mean() < 0.02
    assert off.max() < 0.1
    assert np.ptp(front[:, 0]) > 3.0
