"""`cbo` on mixtures, spheres and constraints, against optima known by hand, asked and told and in batches."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.samplers.consensus.latent import Latent

PLANE = [wb.Float("a", 0, 4), wb.Float("b", 0, 4)]
SLOPES = np.array([3.0, 0.0, -4.0, 0.0])  # of the function on the sphere, of length 5


def mixed(columns):
    return ((columns["mix"] - np.array([0.7, 0.5, -0.2])) ** 2).sum(axis=1)


# Name -> space, function of columns, least value.
CASES = {
    # the nearest of a half-plane to (2, 2)
    "linear": (wb.Space(PLANE, constraints=["a + b <= 2"]), lambda c: (c["a"] - 2) ** 2 + (c["b"] - 2) ** 2, 2.0),
    # the nearest of a line to the origin is (0.6, 1.2)
    "equality": (wb.Space(PLANE, constraints=["a + 2 * b == 3"]), lambda c: c["a"] ** 2 + c["b"] ** 2, 1.8),
    # the mean is at least the geometric mean
    "nonlinear": (wb.Space(PLANE, constraints=["a * b >= 1"]), lambda c: c["a"] + c["b"], 2.0),
    # a ring of width 0.1: the point of the inner circle nearest to the far corner's opposite
    "ring": (wb.Space(PLANE, constraints=["1 <= a ** 2 + b ** 2 <= 1.21"]), lambda c: -c["a"] - c["b"], -1.1 * 2**0.5),
    # the projection of (0.7, 0.5, -0.2) is (0.6, 0.4, 0), at a corner of what is allowed
    "mixture": (wb.Space([wb.Simplex("mix", parts=3)]), mixed, 0.06),
    # with at most half of the first it is (0.5, 0.5, 0)
    "bounded mixture": (wb.Space([wb.Simplex("mix", parts=3, bounds={"mix_0": (0.1, 0.5)})]), mixed, 0.08),
    # and with as much of the second as of the first at most, and a tenth of the third: (0.45, 0.45, 0.1)
    "mixture inside a constraint": (
        wb.Space([wb.Simplex("mix", parts=3, bounds={"mix_2": (0.1, 1.0)})], constraints=["mix_0 <= mix_1"]),
        mixed, 0.0625 + 0.0025 + 0.09,
    ),
}  # fmt: skip


def goal():
    return [wb.Objective("y", noise="none")]


def single(fn, params):
    """The function of columns at one point."""
    return float(
        fn({k: np.array([list(v.values())]) if isinstance(v, dict) else np.array([v]) for k, v in params.items()})[0]
    )


@pytest.mark.parametrize("name", CASES)
def test_known_constrained_optima_are_found_in_batches(name):
    space, fn, least = CASES[name]
    calls = []

    def watched(columns):
        calls.append(columns)
        return fn(columns)

    s = wb.create_study("s", space, goal(), sampler="cbo", seed=1)
    s.optimize(watched, vectorized=True, evaluations=8_000, keep=3, progress=False)
    assert s.best_value == pytest.approx(least, abs=1e-4)
    for trial in s.trials:
        assert space.violations(trial.params) == []
        assert single(fn, trial.params) == pytest.approx(trial.values["y"], abs=1e-6)
    values = np.concatenate([fn(columns) for columns in calls])
    assert values.min() >= least - 1e-6  # nothing beyond the constraints was evaluated


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "equality", "nonlinear", "ring", "mixture"])
def test_known_constrained_optima_are_found_by_ask_and_tell(name):
    """Within a tenth of what even points miss by, in the mean over three seeds."""
    space, fn, least = CASES[name]
    missed, spread = [], []
    for seed in range(3):
        s = wb.create_study("s", space, goal(), sampler="cbo", seed=seed, budget=120)
        s.optimize(lambda trial: single(fn, trial.params), until=120, progress=False)
        assert all(space.violations(trial.params) == [] for trial in s.trials)
        missed.append(s.best_value - least)
        spread.append(min(single(fn, point) for point in space.decode(space.sobol(120, seed))) - least)
    assert -1e-6 <= np.mean(missed) < 0.1 * np.mean(spread) + 1e-3


def test_on_a_sphere_a_linear_function_is_least_against_its_slope_in_batches():
    """-5 sqrt(4) on the sphere of radius sqrt(4), which no mean of points of the sphere reaches without its length."""
    space = wb.Space([wb.Vector("z", 4, prior="normal")])
    s = wb.create_study("s", space, goal(), sampler={"name": "cbo", "options": {"sphere": True}}, seed=0)
    s.optimize(lambda c: c["z"] @ SLOPES, vectorized=True, evaluations=12_000, keep=3, progress=False)
    assert s.best_value == pytest.approx(-10.0, abs=1e-5)
    assert all(np.linalg.norm(trial["z"]) == pytest.approx(2.0, abs=1e-9) for trial in s.trials)


@pytest.mark.slow
def test_on_a_sphere_a_linear_function_is_least_against_its_slope_by_ask_and_tell():
    """In 8 variables, within 5 % of -5 sqrt(8) after 200 trials (0.96 to 0.99 of it over four seeds)."""
    space = wb.Space([wb.Vector("z", 8, prior="normal")])
    slopes = np.concatenate([SLOPES, np.zeros(4)])
    s = wb.create_study("s", space, goal(), sampler={"name": "cbo", "options": {"sphere": True}}, seed=1, budget=200)
    s.optimize(lambda trial: float(np.asarray(trial["z"]) @ slopes), until=200, progress=False)
    assert s.best_value < -0.95 * 5 * 8**0.5
    assert all(np.linalg.norm(trial["z"]) == pytest.approx(8**0.5, abs=1e-9) for trial in s.trials)


def test_without_a_sphere_a_vector_goes_where_it_likes():
    space = wb.Space([wb.Vector("z", 4, prior="normal")])
    s = wb.create_study("s", space, goal(), sampler="cbo", seed=0)
    target = np.array([0.1, 3.0, -0.2, 0.5])
    s.optimize(
        lambda c: ((c["z"] - target) ** 2).sum(axis=1), vectorized=True, evaluations=15_000, keep=1, progress=False
    )
    assert s.best_value < 1e-4


@pytest.mark.parametrize(
    ("limit", "measure"),
    [
        (wb.Constraint("c", lower=2.0), lambda x, y: x + y),
        (wb.Constraint("c", lower=1.0), lambda x, y: x * y),
        (wb.Constraint("c", lower=2.0, upper=2.001), lambda x, y: x + y),  # nearly an equality
    ],
)
def test_measured_limits_hold_in_batches_and_the_best_lies_on_them(limit, measure):
    """x^2 + y^2 is 2 at (1, 1), the nearest to the origin of all that x + y >= 2 or x y >= 1 allows."""
    space = wb.Space([wb.Float("a", 0, 4), wb.Float("b", 0, 4)])
    s = wb.create_study("s", space, goal(), [limit], sampler="cbo", seed=2)

    def fn(columns):
        a, b = columns["a"], columns["b"]
        return {"y": a**2 + b**2, "c": measure(a, b)}

    s.optimize(fn, vectorized=True, evaluations=20_000, keep=1, progress=False)
    assert s.best_value == pytest.approx(2.0, abs=2e-3)
    assert s.best_value >= 2.0 - 1e-9


@pytest.mark.slow
def test_several_objectives_inside_a_known_constraint():
    """(a - 3)^2 + b^2 and a^2 + (b - 3)^2 where a + b <= 2: the front is the line a + b = 2."""
    space = wb.Space(PLANE, constraints=["a + b <= 2"])
    goals = [wb.Objective("f", noise="none"), wb.Objective("g", noise="none")]
    s = wb.create_study("s", space, goals, sampler="cbo", seed=0)

    def fn(columns):
        a, b = columns["a"], columns["b"]
        return {"f": (a - 3) ** 2 + b**2, "g": a**2 + (b - 3) ** 2}

    s.optimize(fn, vectorized=True, evaluations=30_000, keep=15, progress=False)
    ends = np.array([[t["a"], t["b"]] for t in s.trials])
    assert len(ends) == 15
    assert np.abs(ends.sum(axis=1) - 2).max() < 0.02
    assert np.ptp(ends[:, 0]) > 1.5


def test_choices_and_whole_numbers_under_a_constraint_stay_where_no_way_leads_back():
    """Newton's method moves numbers alone; a step that whole numbers forbid is halved until it is none."""
    space = wb.Space([wb.Int("n", 1, 9), wb.Categorical("k", ["u", "v"])], constraints=["n * n <= 20"])
    latent = Latent(space)
    before = torch.as_tensor(latent.of(space.encode([{"n": 4, "k": "u"}, {"n": 2, "k": "v"}])))
    ahead = torch.zeros_like(before)
    ahead[:, 0] = 0.9
    after = latent.retracted(before, ahead)
    assert space.feasible(latent.raw(after.numpy())).all()
    assert (after[:, 0] >= before[:, 0]).all()
    assert torch.equal(after[:, 1:], before[:, 1:])


@pytest.mark.slow
def test_a_constrained_run_that_is_stopped_goes_on_as_if_nothing_had_happened():
    space, fn, _ = CASES["mixture inside a constraint"]

    def ended(stop):
        s, spent = wb.create_study("s", space, goal(), sampler="cbo", seed=1), 0

        def watched(columns):
            nonlocal spent
            spent += len(columns["mix"])
            if stop and spent > stop:
                s.stop()
            return fn(columns)

        s.optimize(watched, vectorized=True, evaluations=4_000, keep=1, progress=False)
        s.optimize(fn, vectorized=True, evaluations=4_000, keep=1, progress=False)
        with np.load(io.BytesIO(s.files.get("run-cbo.npz")), allow_pickle=False) as held:
            return dict(held)

    whole, stopped = ended(None), ended(1_500)
    assert set(whole) == set(stopped)
    assert all(np.array_equal(whole[name], stopped[name], equal_nan=True) for name in whole)


def test_wrong_spheres_are_refused():
    with pytest.raises(wb.UnsupportedError, match="sphere must be True or False, got 2"):
        wb.CBOSampler(sphere=2)
    assert math.isclose(float(Latent(wb.Space([wb.Vector("z", 9)]), sphere=True).kept(torch.ones(1, 9)).norm()), 3.0)
