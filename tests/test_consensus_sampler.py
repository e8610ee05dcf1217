"""`cbo` through ask and tell and in whole batches, and the study's side of a vectorised run."""

from __future__ import annotations

import contextlib
import io
import math
import warnings

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.errors import InvalidValueError, UnsupportedError
from workbench.samplers.auto import BATCHES
from workbench.samplers.consensus.batches import pushed_apart
from workbench.samplers.consensus.latent import Latent
from workbench.samplers.consensus.stability import contraction
from workbench.study import vectorized

MIXED = wb.Space(
    [
        wb.Float("rate", 1e-3, 1.0, log=True), wb.Int("depth", 1, 8), wb.Categorical("kind", ["a", "b", "c"]),
        wb.Float("width", 0, 1, when={"kind": ["b", "c"]}), wb.Bool("on"),
        wb.Simplex("mix", names=["p", "q", "r"], total=10), wb.Ordinal("size", [1, 2, 4, 8]),
    ],
    constraints=["rate * depth <= 4"],
)  # fmt: skip


def box(d=3):
    return wb.Space([wb.Float(f"x{i}", -3, 4) for i in range(d)])


def study(space=None, goals=None, **more):
    goals = goals or [wb.Objective("y", "minimize", noise="none")]
    return wb.create_study("s", space or box(), goals, sampler=more.pop("sampler", "cbo"), seed=1, **more)


def sphere(params):
    return sum(float(value) ** 2 for value in params.values())


def mixed(params):
    return (
        (np.log10(params["rate"]) + 1) ** 2 + (params["depth"] - 3) ** 2 + (params["kind"] != "b")
        + (params.get("width", 0.5) - 0.2) ** 2 + params["mix"]["p"] / 10 + params["on"] + params["size"] / 8
    )  # fmt: skip


def rastrigin(columns):
    X = np.stack(list(columns.values()), axis=1)
    return (X**2 + 10 * (1 - np.cos(2 * np.pi * X))).sum(axis=1)


# -- latent points -----------------------------------------------------------------------------------


def test_latent_points_and_encoded_ones_go_both_ways():
    latent = Latent(MIXED)
    X = MIXED.sobol(64, 3)
    Z = latent.of(X)
    assert Z.shape == (64, 1 + 1 + 3 + 1 + 1 + 3 + 1)
    assert np.array_equal(latent.settled(Z), X, equal_nan=True)
    assert not latent.plain
    assert Latent(box()).plain
    held = Latent(MIXED, {"kind": "c", "depth": 5})
    assert held.width == latent.width - 4
    points = MIXED.decode(held.settled(held.of(X)))
    assert all(point["kind"] == "c" and point["depth"] == 5 for point in points)


def test_the_mean_of_choices_is_the_choice_of_most():
    latent = Latent(wb.Space([wb.Categorical("kind", ["a", "b", "c"])]))
    Z = latent.of(np.array([[0.0], [2.0], [2.0]]))
    assert latent.settled(Z.mean(axis=0, keepdims=True))[0, 0] == 2.0


def test_walls_fold_back_what_belongs_into_the_unit_interval():
    latent = Latent(wb.Space([wb.Float("x", 0, 1), wb.Vector("z", 1, prior="normal")]))
    Z = torch.tensor([[1.2, 1.2], [-0.3, -9.0], [2.5, 0.0]], dtype=torch.float64)
    assert latent.kept(Z).flatten().tolist() == pytest.approx([0.8, 1.2, 0.3, -9.0, 0.5, 0.0])


def test_mixtures_and_spheres_are_kept_where_they_belong():
    space = wb.Space(
        [
            wb.Simplex("mix", parts=3, bounds={"mix_0": (0.1, 0.6)}),
            wb.Vector("z", 4, prior="normal"),
            wb.Float("x", 0, 1),
        ]
    )
    Z = 2 * torch.randn(50, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept = Latent(space, sphere=True).kept(Z)
    assert torch.allclose(kept[:, :3].sum(-1), torch.ones(50, dtype=Z.dtype), atol=1e-12)
    assert torch.allclose(kept[:, :3], torch.as_tensor(space["mix"]._projected(Z[:, :3].numpy())), atol=1e-12)
    assert torch.allclose(kept[:, 3:7], 2 * Z[:, 3:7] / Z[:, 3:7].norm(dim=-1, keepdim=True))
    assert ((kept[:, 7] >= 0) & (kept[:, 7] <= 1)).all()
    assert torch.equal(Latent(space).kept(Z)[:, 3:7], Z[:, 3:7])


@pytest.mark.parametrize(
    ("constraint", "wanted"),
    [
        ("a + 2 * b == 3", (0.2, 1.4)),  # the nearest of a line to (1, 3) in the unit square
        ("a * a + b * b <= 4", None),
        ("a * b >= 1", None),
    ],
)
def test_a_step_ends_where_the_known_constraints_hold(constraint, wanted):
    """A linear constraint is restored by the nearest point; a curved one to where its gap is nothing."""
    space = wb.Space([wb.Float("a", 0, 4), wb.Float("b", 0, 4)], constraints=[constraint])
    latent = Latent(space)
    before = torch.as_tensor(space.sobol(20, 1))
    generator = torch.Generator().manual_seed(0)
    moved = 0.2 * torch.randn(before.shape, generator=generator, dtype=torch.float64)
    X = latent.retracted(before, moved)
    assert space.feasible(X.numpy()).all()
    assert ((X - before).norm(dim=-1) > 1e-3).sum() >= 18
    if wanted:
        target = torch.tensor([[0.25, 0.75]], dtype=torch.float64)
        found = latent.retracted(before[:1], target - before[:1])
        assert (4 * found[0]).tolist() == pytest.approx(wanted)


# -- asked and told ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_swarm_finds_what_is_best_and_says_why():
    s = study(budget=120)
    s.optimize(lambda trial: sphere(trial.params), until=120, progress=False)
    spread = min(sphere(point) for point in s.space.decode(s.space.sobol(120, 1)))
    assert s.best_value < 0.5 * spread
    assert "towards the consensus of" in s.trials[-1].why
    assert len({t.meta["cbo"]["particle"] for t in s.trials}) == 10


@pytest.mark.slow
def test_a_mixed_conditional_constrained_space():
    s = study(MIXED, budget=150)
    s.optimize(lambda trial: mixed(trial.params), until=150, progress=False)
    assert all(t.params["rate"] * t.params["depth"] <= 4 for t in s.trials)
    assert len({MIXED.key(t.params) for t in s.trials}) == 150
    early = min(mixed(t.params) for t in s.trials[:12])
    assert s.best_value < min(0.6, early)
    assert s.best_params["kind"] == "b"


def test_results_in_any_order_late_failed_and_missing():
    s = study(sampler={"name": "cbo", "options": {"particles": 6}})
    first = s.ask(6)
    for trial in first[1::2]:
        s.tell(trial, sphere(trial.params))
    s.tell(first[0], state="failed", error="diverged")
    more = s.ask(4)  # of the four particles that wait for nothing
    assert sorted(t.meta["cbo"]["particle"] for t in more) == [0, 1, 3, 5]
    assert not any("surplus" in t.meta["cbo"] for t in more)
    (extra,) = s.ask(1)
    assert extra.meta["cbo"]["surplus"]
    assert "extra" in extra.why
    s.tell(first[2], sphere(first[2].params))  # late
    assert s.ask().meta["cbo"]["particle"] == 2


def test_a_particle_moves_as_the_formula_says():
    s = study(sampler={"name": "cbo", "options": {"particles": 3, "noise": 1.0, "dt": 0.25, "share": 1.0}})
    first = s.ask(3)
    for trial in first:
        s.tell(trial, 1.0)  # equal values: the consensus is the mean
    second = s.ask()
    X = s.history().X
    assert second.meta["cbo"]["particle"] == 0
    D = X[0] - X[:3].mean(axis=0)
    xi = np.random.default_rng([1, 0, 1, 0, 0]).standard_normal(3)
    wanted = X[0] - 0.25 * D + 1.0 * 0.5 * D * xi
    assert np.allclose(X[3], np.abs(np.mod(wanted + 1, 2) - 1), atol=1e-9)


def test_the_implied_gradient_stands_beside_the_consensus():
    """By the formula of a hop: |mean - c| / (alpha s^2); the effective size is the share, less 7 % for the one step."""
    s = study(sampler={"name": "cbo", "options": {"particles": 5, "share": 0.6}})
    for trial in s.ask(5):
        s.tell(trial, sphere(trial.params))
    note = s.ask().meta["cbo"]
    X, e = s.history().X[:5], np.array([t.values["y"] for t in s.trials[:5]])
    gaps = e - e.min()
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        w = np.exp(-np.exp(middle) * gaps)
        low, high = (middle, high) if w.sum() ** 2 / (w**2).sum() > 5 * 0.6 * 0.93 else (low, middle)
    alpha, w = np.exp(low), np.exp(-np.exp(low) * gaps)
    c = w @ X / w.sum()
    assert note["c"] == pytest.approx(c.tolist(), abs=1e-5)
    wanted = np.linalg.norm(X.mean(axis=0) - c) / (alpha * X.var(axis=0).mean())
    assert note["gradient"] == pytest.approx(wanted, rel=1e-4)
    assert note["contraction"] == pytest.approx(-0.2, abs=1e-4)
    assert note["spread"] == pytest.approx(np.linalg.norm(X - c, axis=1).max(), abs=1e-5)


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path):
    def go(storage, stops):
        s = study(MIXED, storage=storage, budget=40)
        for stop in stops:
            s = wb.load_study("s", storage=storage)
            s.optimize(lambda trial: mixed(trial.params), until=stop, progress=False)
        return [t.params for t in s.trials]

    assert go(tmp_path / "a.db", [40]) == go(tmp_path / "b.db", [7, 19, 40])


def test_trials_of_others_are_where_particles_begin():
    s = study(sampler="sobol")
    s.optimize(lambda trial: sphere(trial.params), n_trials=30, progress=False)
    proposal = s.ask(sampler={"name": "cbo", "options": {"particles": 5}})
    assert "towards the consensus" in proposal.why
    best = sorted(s.trials[:30], key=lambda t: t.values["y"])[:5]
    Z = s.space.encode([t.params for t in best])
    assert proposal.meta["cbo"]["size"] <= 2.6  # about half of the five
    assert np.abs(s.space.encode([proposal.params])[0] - Z.mean(axis=0)).max() < 1.0


@pytest.mark.slow
def test_measured_limits_come_first():
    s = wb.create_study(
        "c",
        box(2),
        [wb.Objective("y", noise="none")],
        [wb.Constraint("far", lower=2.0)],
        sampler="cbo",
        seed=1,
        budget=120,
    )

    def fn(trial):
        return {"y": sphere(trial.params), "far": trial["x0"] + trial["x1"]}

    s.optimize(fn, until=120, progress=False)
    assert s.best_trial.values["far"] >= 2.0
    assert s.best_value == pytest.approx(2.0, abs=0.5)  # at (1, 1)


@pytest.mark.slow
def test_several_objectives_spread_over_the_front_and_prefer_narrows_it():
    def fn(trial):
        return {"a": (trial["x0"] + 1) ** 2 + trial["x1"] ** 2, "b": (trial["x0"] - 1) ** 2 + trial["x1"] ** 2}

    goals = [wb.Objective("a", noise="none"), wb.Objective("b", noise="none")]
    s = study(box(2), goals, budget=160)
    s.optimize(fn, until=160, progress=False)
    front = np.array([[t.values["a"], t.values["b"]] for t in s.pareto_trials])
    assert len(front) >= 10
    assert front[:, 0].min() < 0.3
    assert front[:, 1].min() < 0.3
    other = study(box(2), goals, budget=80)
    while len(other.trials) < 80:
        trial = other.ask(prefer={"a": 0.9, "b": 0.1})
        other.tell(trial, fn(trial))
    assert min(t.values["a"] for t in other.trials) < 0.3


@pytest.mark.slow
def test_steps_on_the_models_belief_help():
    """Over eight seeds, 40 evaluations of Branin: mean log10 regret -3.1 (sd 1.3) with ten, -0.5 (0.6) without."""
    from problems import synthetic

    problem, ends = synthetic.branin(), {0: [], 10: []}
    for steps, found in ends.items():
        for seed in range(2):
            options = {"particles": 6, "surrogate_steps": steps}
            sampler = {"name": "cbo", "options": options}
            s = wb.create_study("b", problem.space, problem.objectives, sampler=sampler, seed=seed)
            s.optimize(lambda trial: problem.evaluate(trial.params), n_trials=30, progress=False)
            found.append(np.log10(s.best_value - problem.optimum))
    assert np.mean(ends[10]) < np.mean(ends[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"particles": 1}, "particles must be a whole number from 2 on"),
        ({"noise": -1.0}, "noise must be a number > 0"),
        ({"drift": "1"}, "drift must be a number > 0, got '1'"),
        ({"share": None}, "share must be a number > 0 and <= 1"),
        ({"memory_noise": math.nan}, "memory_noise must be a number >= 0"),
        ({"cooling": "x"}, "cooling must be a number > 0 and <= 1"),
        ({"inertia": 1.0}, "inertia must be a number >= 0 and < 1"),
        ({"sphere": 1}, "sphere must be True or False"),
        ({"kind": "covariance"}, "kind must be one of anisotropic, isotropic"),
        ({"share": 0.0}, "share must be a number > 0"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(UnsupportedError, match=said):
        wb.CBOSampler(**options)


def test_a_swarm_that_would_fly_apart_is_refused_with_its_number():
    s = study(sampler={"name": "cbo", "options": {"kind": "isotropic", "noise": 4.0, "dt": 0.25}})
    number = contraction(1.0, 4.0, 0.25, 3, anisotropic=False)
    with pytest.raises(UnsupportedError, match=f"grows by {number:.4f} a step"):
        s.ask()
    assert not s.trials
    study(sampler={"name": "cbo", "options": {"kind": "isotropic", "noise": 4.0, "truncation": 0.2}}).ask()


# -- whole batches ---------------------------------------------------------------------------------------


def test_a_cheap_function_in_whole_batches():
    seen = []

    def fn(columns):
        seen.append(len(columns["x0"]))
        return rastrigin(columns)

    s = study(box(4))
    s.optimize(fn, vectorized=True, evaluations=60_000, keep=5)
    assert 59_000 < sum(seen) <= 60_000
    assert s.best_value < 1e-6
    assert len(s.trials) == 5
    values = [t.values["y"] for t in s.trials]
    assert values == sorted(values)
    for t in s.trials:
        columns = {name: np.array([value]) for name, value in t.params.items()}
        assert t.values["y"] == pytest.approx(rastrigin(columns)[0], abs=1e-9)
        assert t.attrs["vectorized"] == {"sampler": "cbo", "evaluations": sum(seen)}
    with np.load(io.BytesIO(s.files.get("trace-cbo.npz")), allow_pickle=False) as trace:
        assert trace["particles"].shape[1:] == (trace["particles"].shape[1], 4)
        assert len(trace["step"]) == len(trace["spread"]) == len(trace["consensus"]) <= 130
        assert (np.diff(trace["step"]) > 0).all()


def test_columns_come_in_user_units_with_nothing_where_nothing_is():
    def fn(columns):
        b = columns["kind"] != "a"
        assert set(columns["kind"]) <= {"a", "b", "c"}
        assert np.isnan(columns["width"][~b]).all()
        assert ((columns["width"][b] >= 0) & (columns["width"][b] <= 1)).all()
        assert columns["depth"].dtype.kind == "i"
        assert columns["mix"].shape == (len(b), 3)
        assert np.allclose(columns["mix"].sum(axis=1), 10)
        assert (columns["rate"] * columns["depth"] <= 4 * (1 + 1e-9)).all()
        return {"y": np.log10(columns["rate"]) ** 2 + columns["depth"] + (columns["kind"] == "a")}

    s = study(MIXED)
    s.optimize(fn, vectorized=True, evaluations=3_000, keep=3)
    assert [t.params["depth"] for t in s.trials] == [1, 1, 1]


def test_failures_limits_targets_and_several_goals_in_batches():
    space = box(2)
    s = wb.create_study(
        "m", space, [wb.Objective("a", "maximize", noise="none"), wb.Objective("b", noise="none")],
        [wb.Constraint("c", upper=1.0)], sampler="cbo", seed=0,
    )  # fmt: skip

    def fn(columns):
        x, y = columns["x0"], columns["x1"]
        a = np.where(x > 3.5, np.nan, -((x + 1) ** 2) - y**2)
        return {"a": a, "b": (x - 1) ** 2 + y**2, "c": x}

    s.optimize(fn, vectorized=True, evaluations=20_000, keep=15)
    front = np.array([[t.values["a"], t.values["b"], t.values["c"]] for t in s.trials])
    assert len(front) == 15
    assert (front[:, 2] <= 1.0).all()
    # on the true front sqrt(-a) + sqrt(b) = 2
    assert np.abs(np.sqrt(-front[:, 0]) + np.sqrt(front[:, 1]) - 2).max() < 0.05
    assert np.ptp(front[:, 1]) > 3.0
    near = study(box(2), [wb.Objective("y", target=3.0, tolerance=0.1, noise="none")])
    near.optimize(lambda columns: columns["x0"] + columns["x1"], vectorized=True, evaluations=4_000, keep=2)
    assert all(abs(t.values["y"] - 3.0) <= 0.1 for t in near.trials)


@pytest.mark.slow
def test_a_run_in_batches_that_is_stopped_goes_on_as_if_nothing_had_happened(tmp_path):
    def ended(storage, stop):
        s = study(box(3), storage=storage)
        calls = []

        def fn(columns):
            calls.append(len(columns["x0"]))
            if stop is not None and sum(calls) > stop:
                s.stop()
            return rastrigin(columns)

        s.optimize(fn, vectorized=True, evaluations=9_000, keep=1)
        before, stop = sum(calls), None
        s = wb.load_study("s", storage=storage)
        s.optimize(rastrigin, vectorized=True, evaluations=9_000, keep=1)
        return before, s.files.get("run-cbo.npz"), [t.params for t in s.trials]

    whole, stopped = ended(tmp_path / "a.db", None), ended(tmp_path / "b.db", 4_000)
    assert stopped[0] < 5_000 < whole[0]
    with np.load(io.BytesIO(whole[1])) as a, np.load(io.BytesIO(stopped[1])) as b:
        assert set(a) == set(b)
        for name in a:
            assert np.array_equal(a[name], b[name], equal_nan=True), name
    assert whole[2][-1] == stopped[2][-1]


@pytest.mark.parametrize("goals", [1, 2])
def test_a_run_in_batches_that_dies_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch, goals):
    """What came after the checkpoint is lost, and done again to the last bit."""
    monkeypatch.setattr(vectorized, "CHECKPOINT", 0.0)  # at every milestone
    objectives = [wb.Objective(f"y{i}", noise="none") for i in range(goals)]
    space = wb.Space([wb.Float("x0", -3, 4), wb.Float("x1", -3, 4)], constraints=["x0 * x1 <= 4"])

    def ended(name, *deaths):
        study(space, objectives, storage=tmp_path / name)
        for deadly in (*deaths, 10**9):
            s, spent = wb.load_study("s", storage=tmp_path / name), 0

            def fn(columns, deadly=deadly):
                nonlocal spent
                x, y = columns["x0"], columns["x1"]
                spent += len(x)
                if spent > deadly:
                    raise MemoryError
                return {f"y{i}": (x - i) ** 2 + 10 * (1 - np.cos(6 * (y + i))) for i in range(goals)}

            with pytest.raises(MemoryError) if deadly < 10**9 else contextlib.nullcontext():
                s.optimize(fn, vectorized=True, evaluations=2_000, keep=3, progress=False)
        with np.load(io.BytesIO(s.files.get("run-cbo.npz")), allow_pickle=False) as held:
            return dict(held), [(t.params, t.values) for t in s.trials]

    (whole, trials), (killed, again) = ended("a.db"), ended("b.db", 700, 900)
    assert set(whole) == set(killed)
    assert all(np.array_equal(whole[name], killed[name], equal_nan=True) for name in whole)
    assert trials == again


def test_a_run_of_several_goals_goes_on_as_if_nothing_had_happened():
    goals = [wb.Objective("a", noise="none"), wb.Objective("b", noise="none")]

    def both(columns):
        x, y = columns["x0"], columns["x1"]
        return {"a": (x + 1) ** 2 + y**2, "b": (x - 1) ** 2 + y**2}

    def ended(stop):
        s, calls = study(box(2), goals), []

        def fn(columns):
            calls.append(len(columns["x0"]))
            if stop is not None and sum(calls) > stop:
                s.stop()
            return both(columns)

        s.optimize(fn, vectorized=True, evaluations=4_000, keep=5)
        assert stop is None or sum(calls) < 3_000
        s.optimize(both, vectorized=True, evaluations=4_000, keep=5)
        with np.load(io.BytesIO(s.files.get("run-cbo.npz")), allow_pickle=False) as held:
            return dict(held)

    whole, stopped = ended(None), ended(1_500)
    assert set(whole) == set(stopped)
    assert all(np.array_equal(whole[name], stopped[name], equal_nan=True) for name in whole)


def test_steps_on_the_belief_wait_for_values():
    s = study(sampler={"name": "cbo", "options": {"particles": 4, "surrogate_steps": 3}})
    for trial in s.ask(4):
        s.tell(trial, state="failed", error="diverged")
    assert s.ask().meta["cbo"]["step"] == 1


def test_what_cannot_be_run_in_batches_is_refused_before_anything_runs():
    def never(columns):
        raise AssertionError

    for kinds, said in (
        ({"vectorized": True}, "needs both vectorized=True and evaluations="),
        ({"evaluations": 10}, "needs both"),
        ({"vectorized": True, "evaluations": 10, "n_trials": 3}, "none of n_trials"),
        ({"vectorized": True, "evaluations": 0}, "evaluations must be a whole number"),
        ({"vectorized": True, "evaluations": 10, "keep": 0}, "keep must be a whole number"),
    ):
        with pytest.raises(InvalidValueError, match=said):
            study().optimize(never, **kinds)
    with pytest.raises(UnsupportedError, match="sampler 'sobol' cannot run whole batches"):
        study(sampler="sobol").optimize(never, vectorized=True, evaluations=10)
    with pytest.raises(UnsupportedError, match="measured objectives"):
        study(goals=[wb.Preference("taste")]).optimize(never, vectorized=True, evaluations=10)
    with pytest.raises(InvalidValueError, match=r"shape \(1,\) for 'y', got shape \(\)"):
        study().optimize(lambda columns: 3.0, vectorized=True, evaluations=100)
    with pytest.raises(InvalidValueError, match="fn gave no values of y"):
        study().optimize(lambda columns: {"z": columns["x0"]}, vectorized=True, evaluations=100)


def test_auto_runs_what_serves_the_space():
    s = study(box(2), sampler="auto")
    s.optimize(rastrigin, vectorized=True, evaluations=2_000, keep=1)
    assert s.trials[0].attrs["vectorized"]["sampler"] == "cbo"
    words = study(wb.Space([wb.Permutation("order", 4)]), sampler="auto")
    words.optimize(lambda c: np.abs(c["order"] - np.arange(4)).sum(axis=1), vectorized=True, evaluations=1_000, keep=1)
    assert words.best_value == 0
    assert words.best_trial.attrs["vectorized"]["sampler"] == "gflownet"


@pytest.mark.parametrize("d", [20, 21])
def test_auto_says_where_a_swarm_is_behind(d):
    """The row of the table says up to how many columns; docs/consensus.md, on what measurements."""
    assert [(rule.sampler, rule.widest) for rule in BATCHES] == [("cbo", 20), ("gflownet", math.inf)]
    s = study(wb.Space([wb.Vector("x", d, prior="uniform")]), sampler="auto")

    def far(columns):
        return (columns["x"] ** 2).sum(axis=1)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        s.optimize(far, vectorized=True, evaluations=200, keep=1, progress=False)
    assert [str(one.message) for one in said if "CMA-ES" in str(one.message)] == (
        [BATCHES[0].warning.format(columns=d)] if d > 20 else []
    )
    assert s.trials[0].attrs["vectorized"]["sampler"] == "cbo"


def test_weights_are_pushed_so_that_values_spread():
    """Two particles crowd at one end: the one with the smaller f1 gets more weight on f1, and moves on that way."""
    G = torch.tensor([[[0.10, 0.90], [0.12, 0.88], [0.9, 0.1]]], dtype=torch.float64)
    w = torch.full((1, 3, 2), 0.5, dtype=torch.float64)
    new = pushed_apart(w, G, 0.1)
    assert torch.allclose(new.sum(-1), torch.ones(1, 3, dtype=w.dtype), atol=1e-3)
    assert new[0, 0, 0] > 0.5 > new[0, 0, 1]
    assert new[0, 1, 0] < 0.5 < new[0, 1, 1]


# -- figures ---------------------------------------------------------------------------------------------


def test_the_figure_of_a_swarm_shows_what_the_record_says():
    s = study(box(2), sampler={"name": "cbo", "options": {"particles": 5}})
    assert "No swarm has moved" in s.plot.swarm().layout.annotations[0].text
    s.optimize(lambda trial: sphere(trial.params), n_trials=40, progress=False)
    trace = s.swarm_trace()
    last = s.trials[-1].meta["cbo"]
    assert trace["consensus"][-1].tolist() == last["c"]
    assert trace["spread"][-1] == last["spread"]
    newest = {t.meta["cbo"]["particle"]: t for t in s.trials}
    X = s.space.encode([newest[i].params for i in sorted(newest, key=lambda i: newest[i].number)])
    assert np.allclose(np.sort(trace["particles"][-1], axis=0), np.sort(X, axis=0))
    figure = s.plot.swarm("x1", "x0")
    assert [one.name for one in figure.data] == ["particles", "consensus", "spread", "effective size"]
    assert np.allclose(np.sort(figure.data[0].x), np.sort(X[:, 1]))
    stops = figure.layout.sliders[0].steps
    assert [stop.args[0] for stop in stops] == [(frame.name,) for frame in figure.frames]
    assert [frame.name for frame in figure.frames] == [str(step) for step in trace["step"]]
    for t, frame in enumerate(figure.frames):
        assert frame.traces == (0, 1)
        assert np.array_equal(frame.data[0].x, trace["particles"][t, :, 1], equal_nan=True)
        assert np.array_equal(frame.data[1].y, trace["consensus"][: t + 1, 0])
    assert [button.label for button in figure.layout.updatemenus[0].buttons] == ["Play", "Pause"]
    assert figure.layout.meta["alt"].startswith("Particles of a swarm over x1 and x0")
    with pytest.raises(InvalidValueError, match="columns x0, x1; got 'z'"):
        s.plot.swarm("z")
    from workbench import plots

    table = plots.swarm_table(trace)
    assert table["consensus of x0"] == trace["consensus"][:, 0].tolist()
    assert table["implied gradient"][-1] == last["gradient"]
    s.optimize(rastrigin, vectorized=True, evaluations=2_000, keep=1)
    assert len(s.swarm_trace()["step"]) > len(trace["step"])
    assert np.isfinite(s.swarm_trace()["gradient"]).all()
    assert s.swarm_trace()["contraction"] == pytest.approx(-0.21, abs=1e-3)


# -- unfriendly records ------------------------------------------------------------------------------


UNIT = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])


def asked(s, fn, n):
    while len(s.trials) < n:
        trial = s.ask()
        s.tell(trial, fn(trial))
    return s


def test_what_lies_outside_the_bounds_has_no_say():
    s = study(UNIT, sampler=wb.CBOSampler(particles=6))
    for k in range(12):
        s.attach({"a": -3.0 - 0.1 * k, "b": 0.5}, -100.0 - k)  # better than all inside
    asked(s, lambda t: (t["a"] - 0.3) ** 2 + (t["b"] - 0.3) ** 2, 72)
    notes = [t.meta["cbo"] for t in s.trials[12:] if "c" in t.meta["cbo"]]
    assert all(0 <= x <= 1 for note in notes for x in note["c"])
    assert abs(notes[-1]["c"][0] - 0.3) < 0.1
    s.change_space(wb.Space([wb.Float("a", 0, 0.5), wb.Float("b", 0, 1)]))
    trial = s.ask()  # its own trials of before are where its particles begin
    assert "c" in trial.meta["cbo"]
    assert abs(trial["a"] - 0.3) < 0.1


def test_a_swarm_outside_all_limits_still_knows_which_way():
    """Of a record with something feasible, particles that stand outside go by how much they exceed."""

    def fn(t):
        g = max(abs(t["a"] - 0.8), abs(t["b"] - 0.8)) - 0.08
        return {"y": (t["a"] - 0.3) ** 2 + (t["b"] - 0.3) ** 2, "g": g}

    found = []
    for seed in range(4):
        s = wb.create_study(
            "s", UNIT, [wb.Objective("y", noise="none")], [wb.Constraint("g", upper=0.0)], sampler="cbo", seed=seed,
            budget=120,
        )  # fmt: skip
        found.append(sum(t.values["g"] <= 0 for t in asked(s, fn, 120).trials))
    assert sum(found) > 120  # a sixteenth of the box is feasible; by the place of one particle alone it were 49


@pytest.mark.parametrize("penalty", [1e15, 1e290])
def test_a_penalty_out_of_all_proportion_does_not_end_selection(penalty):
    s = study(UNIT, budget=144)
    asked(s, lambda t: penalty if t["a"] > 0.5 else (t["a"] - 0.3) ** 2 + (t["b"] - 0.05) ** 2, 144)
    sizes = [t.meta["cbo"]["size"] for t in s.trials if "size" in t.meta["cbo"]]
    assert max(sizes) < 7  # half of the 12 particles, and less and less
    assert s.best_value < 1e-4


def test_what_is_held_may_change_between_asks():
    """Positions are taken for what they are of; what was held and is free now begins anew."""
    s = study(UNIT, sampler=wb.CBOSampler(particles=8))

    def fn(t):
        return (t["a"] - 0.9) ** 2 + (t["b"] - 0.1) ** 2

    for _ in range(32):
        t = s.ask(fixed={"b": 0.1})
        s.tell(t, fn(t))
    first = s.ask(fixed={"a": 0.9})
    assert first.meta["cbo"]["columns"] == ["b"]
    assert first.meta["cbo"]["spread"] > 0.2  # over b, which was held
    for _ in range(48):
        t = s.ask(fixed={"a": 0.9})
        s.tell(t, fn(t))
    assert abs(s.trials[-1].meta["cbo"]["c"][0] - 0.1) < 0.2  # the values of a, taken for b, are at 0.9
    free = s.ask()
    assert free.meta["cbo"]["step"] > 0
    assert free.meta["cbo"]["spread"] > 0.2  # over a now


def test_rules_of_the_end_see_minimised_values_under_known_constraints():
    bounded = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)], constraints=["a + b <= 1.5"])

    def fn(columns):
        return (columns["a"] - 0.3) ** 2 + (columns["b"] - 0.3) ** 2 - 2.0

    s = study(bounded, sampler=wb.CBOSampler(stop={"value": -1.99}))
    with pytest.warns(wb.WorkbenchWarning, match="rule 'value'"):
        s.optimize(fn, vectorized=True, evaluations=20_000, keep=5)
    assert s.best_value <= -1.99
    s = study(bounded, sampler=wb.CBOSampler(stop={"value": -3.0}))  # never reached
    s.optimize(fn, vectorized=True, evaluations=2_000, keep=5)
    assert s.best_value == pytest.approx(-2.0, abs=1e-3)


def test_particles_that_joined_later_move_too():
    s = study(UNIT, sampler=wb.CBOSampler(particles=12, noise=0.5, stop={"spread": 0.2}))
    for trial in s.ask(13):
        s.tell(trial, (trial["a"] - 0.3) ** 2 + trial["b"] ** 2)
    with pytest.raises(wb.SearchEnded, match="spread"):
        asked(s, lambda t: (t["a"] - 0.3) ** 2 + t["b"] ** 2, 300)
    steps = np.bincount([t.meta["cbo"]["particle"] for t in s.trials])
    assert len(steps) == 13
    assert steps.max() - steps.min() <= 1


# A power of two changes no digit, so the swarm is the same to the last one, whatever the unit is.
@pytest.mark.parametrize("scale", [2.0**-70, 2.0**-200, 2.0**40])
@pytest.mark.parametrize("limited", [False, True])
def test_the_unit_of_a_value_changes_nothing_in_batches(scale, limited):
    def best(k):
        limits = [wb.Constraint("g", lower=0.5)] if limited else []
        s = wb.create_study("s", UNIT, [wb.Objective("y", noise="none")], limits, sampler="cbo", seed=1)

        def fn(columns):
            a, b = columns["a"], columns["b"]
            y = k * (1 + (a - 0.8) ** 2 + (b - 0.3) ** 2)
            return {"y": y, "g": a} if limited else y

        s.optimize(fn, vectorized=True, evaluations=3_000, keep=3)
        return [t.params for t in s.trials], s.best_value / k

    params, value = best(scale)
    assert (params, value) == best(1.0)
    assert value == pytest.approx(1.0, abs=1e-4)


def test_the_unit_of_several_values_changes_nothing_in_batches():
    def found(k):
        goals = [wb.Objective("p", noise="none"), wb.Objective("q", noise="none")]
        s = wb.create_study("s", UNIT, goals, sampler="cbo", seed=1)
        s.optimize(
            lambda c: {"p": k * ((c["a"] - 0.2) ** 2 + c["b"] ** 2), "q": k * ((c["a"] - 0.8) ** 2 + c["b"] ** 2)},
            vectorized=True, evaluations=3_000, keep=9,
        )  # fmt: skip
        return [t.params for t in s.trials]

    base = found(1.0)
    assert np.ptp([params["a"] for params in base]) > 0.5
    assert found(2.0**40) == base  # near 1e12
    assert found(2.0**-60) == base


def test_many_points_of_a_grid_are_not_one_trial():
    space = wb.Space([wb.Int("a", 0, 20), wb.Int("b", 0, 20)])
    s = study(space)
    s.optimize(lambda c: (c["a"] - 7.0) ** 2 + (c["b"] - 3.0) ** 2, vectorized=True, evaluations=5_000, keep=20)
    assert len(s.trials) == len({(t["a"], t["b"]) for t in s.trials}) == 20
    assert s.best_value == 0.0


@pytest.mark.parametrize("several", [False, True])
def test_a_finished_run_goes_on_with_more_evaluations(several):
    goals = [wb.Objective("p", noise="none"), wb.Objective("q", noise="none")][: 1 + several]
    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(20)])
    s = wb.create_study("s", space, goals, sampler=wb.CBOSampler(batch=10, stop={"steps": 400}), seed=0)

    def fn(columns):
        X = np.stack(list(columns.values()), axis=1)
        return {g.name: ((X - 0.4 - 0.1 * i) ** 2).sum(axis=1) for i, g in enumerate(goals)}

    s.optimize(fn, vectorized=True, evaluations=2_000, keep=5)
    before = min(t.values["p"] for t in s.trials)
    with pytest.warns(wb.WorkbenchWarning, match="400 steps were taken"):
        s.optimize(fn, vectorized=True, evaluations=200_000, keep=5)  # of which one would begin with 80 particles
    assert min(t.values["p"] for t in s.trials) <= before


def test_a_particle_that_began_with_a_failure_gets_a_memory():
    from workbench.samplers.consensus.dynamics import Swarm

    X = torch.tensor([[[0.0], [1.0]]])
    swarm = Swarm.at(X, torch.tensor([[1.0, math.nan]])).seen(X + 1, torch.tensor([[2.0, 5.0]]))
    assert swarm.f.tolist() == [[1.0, 5.0]]
    assert swarm.Y[0, :, 0].tolist() == [0.0, 2.0]


def test_what_is_remembered_gives_way_to_nothing_dominated():
    from workbench.samplers.consensus.batches import Front

    def tensor(*rows):
        return torch.tensor([rows], dtype=torch.float64)

    front = Front.at(tensor([0.0], [0.0]), tensor([0.0, 2.0], [3.0, 3.0]), tensor([0.9, 0.1], [0.5, 0.5]))
    new = front.seen(tensor([1.0], [1.0]), torch.zeros(1, 2, 1), tensor([1.0, 2.0], [2.0, 1.0]), 0.1)
    assert new.H[0].tolist() == [[0.0, 2.0], [2.0, 1.0]]


def test_weights_move_beside_values_that_are_lost():
    w = torch.full((1, 3, 2), 0.5, dtype=torch.float64)
    G = torch.tensor([[[0.2, 0.8], [0.3, 0.7], [math.inf, math.inf]]], dtype=torch.float64)
    new = pushed_apart(w, G, 0.1)
    assert (new - w).abs()[0, :2].min() > 1e-3
    assert torch.equal(new[0, 2], w[0, 2])


def test_each_particle_remembers_the_best_by_its_own_weights():
    from workbench.samplers.consensus.reading import Reading

    goals = [wb.Objective("p", noise="none"), wb.Objective("q", noise="none")]
    s = study(UNIT, goals, sampler=wb.CBOSampler(particles=4, memory=0.4))
    asked(s, lambda t: {"p": t["a"], "q": 1 - t["a"]}, 40)
    from workbench.samplers.base import AskRequest

    options = s.sampler.options()
    request = AskRequest(s.history(), 1, np.random.default_rng(0))
    swarm = Reading(request, Latent(UNIT), 4, options)
    for i, particle in swarm.told.items():
        own = [t for t in s.trials if t.meta["cbo"]["particle"] == i]
        F = np.array([[t.values["p"], t.values["q"]] for t in s.trials])
        low, high = F.min(axis=0), F.max(axis=0)  # all of the trials are a front

        def worth(t, i=i, low=low, high=high):
            shares = (np.array([t.values["p"], t.values["q"]]) - low) / (high - low)
            return (swarm.weights(i) * shares).max()

        assert particle.best_row == min(own, key=worth).number
