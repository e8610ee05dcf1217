"""Runs over a cheap function: all evaluations on trajectories, few trials, a model that stays."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import workbench as wb
from problems import compositional
from workbench.errors import InvalidValueError
from workbench.pareto import non_dominated
from workbench.plots.policy import policy_verdict
from workbench.samplers.batch import Outcomes
from workbench.samplers.gflownet import load_model
from workbench.samplers.gflownet.running import Options, Run

SPACE = wb.Space([wb.Categorical(f"c{i}", [0, 1, 2]) for i in range(4)])
WORTH = np.random.default_rng(0).normal(size=(3, 3, 3, 3))


def table(X: np.ndarray) -> np.ndarray:
    """Utilities of encoded points, which are the indices of choices."""
    return np.asarray(WORTH[tuple(X.astype(np.int64).T)])


def evaluate(X: np.ndarray) -> Outcomes:
    return Outcomes(table(X)[:, None], np.zeros(len(X)))


def run(evaluations: int, state: Mapping[str, Any] | None = None, **options: Any) -> Run:
    given = Options(**{"batch": 32, "hidden": (64, 64), **options})
    return Run(SPACE, evaluate, evaluations, np.random.default_rng(0), given, state)


def test_samples_are_in_proportion_to_the_power_of_the_reward() -> None:
    """Exact distance from the target after a run; the best point is found, evaluations are counted."""
    made = run(3000, beta=2.0)
    while made.step():
        pass
    seen = made.trust()
    assert made.calls <= 3000
    assert seen.distance is not None
    assert seen.distance < 0.3
    X = made.model.sample(4000, torch.Generator().manual_seed(1))
    log_reward = 2.0 * (WORTH - made.model.scale[0]) / made.model.scale[1]
    target = np.exp(log_reward - log_reward.max()).ravel()
    target /= target.sum()
    counts = np.bincount(np.ravel_multi_index(tuple(X.astype(np.int64).T), WORTH.shape), minlength=81)
    # Noise of 4,000 samples: L1 of about sqrt(2 * 81 / (pi * 4000)) = 0.11 at most; and the distance of the policy.
    assert np.abs(counts / 4000 - target).sum() < 0.11 + 0.3


def test_an_interrupted_run_goes_on_bit_for_bit() -> None:
    whole = run(2000)
    while whole.step():
        pass
    first = run(2000)
    for _ in range(20):
        first.step()
    second = run(2000, {name: np.array(part) for name, part in first.state_dict().items()})
    while second.step():
        pass
    assert second.loss == whole.loss
    assert second.calls == whole.calls
    for name, part in whole.state_dict().items():
        assert np.array_equal(second.state_dict()[name], part), name


def test_shifting_and_stretching_an_objective_changes_nothing_that_is_sampled() -> None:
    def stretched(X: np.ndarray) -> Outcomes:
        return Outcomes(4.0 * table(X)[:, None] - 64.0, np.zeros(len(X)))

    options = Options(batch=32, hidden=(16,))
    first = Run(SPACE, evaluate, 600, np.random.default_rng(3), options)
    second = Run(SPACE, stretched, 600, np.random.default_rng(3), options)
    while first.step():
        assert second.step()
    np.testing.assert_allclose(first.loss, second.loss, rtol=1e-6)


def test_values_that_are_rewards_must_not_be_negative() -> None:
    with pytest.raises(InvalidValueError, match="reward='scaled'"):
        run(1000, reward="values")


@pytest.mark.slow
def test_a_study_keeps_the_best_the_sample_and_the_model() -> None:
    """Two objectives: one model answers both preferences, and knows that it does."""
    problem = compositional.unigrams("AV")
    study = wb.create_study(
        "s", problem.space, problem.objectives, seed=0,
        sampler={"name": "gflownet", "options": {"reward": "values", "beta": 16.0, "batch": 64}},
    )  # fmt: skip
    study.optimize(problem.evaluate_batch, vectorized=True, evaluations=4000, keep=5, progress=False)
    notes = [trial.attrs["vectorized"] for trial in study.trials]
    assert sum("sample" not in note for note in notes) <= 5
    assert 1 <= sum("sample" in note for note in notes) <= 8
    assert all(note["evaluations"] <= 4000 for note in notes)
    model = load_model(study.space, study.files.get("run-gflownet.npz"))
    means = []
    for weights in ([1.0, 0.0], [0.0, 1.0]):
        points = study.space.decode(model.sample(200, torch.Generator().manual_seed(0), weights))
        values = problem.evaluate_batch({"string": np.array([point["string"] for point in points])})
        means.append([values["A"].mean(), values["V"].mean()])
    assert means[0][0] > means[0][1] + 0.1  # asked for A, there are more of A
    assert means[1][1] > means[1][0] + 0.1
    count = len(study.trials)
    study.optimize(problem.evaluate_batch, vectorized=True, evaluations=4000, keep=5, progress=False)
    assert len(study.trials) == count  # all evaluations were spent


def test_measured_limits_are_kept_by_what_is_sampled() -> None:
    def limited(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
        total = sum(np.asarray(columns[f"c{i}"], dtype=np.float64) for i in range(4))
        return {"y": np.asarray(total), "size": np.asarray(total)}

    study = wb.create_study(
        "s", SPACE, [wb.Objective("y", "maximize")], [wb.Constraint("size", upper=3.0)], seed=0,
        sampler={"name": "gflownet", "options": {"batch": 32}},
    )  # fmt: skip
    study.optimize(limited, vectorized=True, evaluations=2000, keep=4, progress=False)
    assert study.best_value == 3.0
    sample = [t.values["size"] for t in study.trials if "sample" in t.attrs["vectorized"]]
    assert np.mean(np.array(sample) <= 3.0) >= 0.75


@pytest.mark.slow
@pytest.mark.parametrize("m", [1, 2])
def test_an_order_is_enough(m: int) -> None:
    """Values in a unit that says nothing: only their order is used. Half of the mass ends on the best tenth."""

    def ranked(X: np.ndarray) -> Outcomes:
        values = np.exp(5.0 * np.stack([table(X), table(X[:, ::-1])][:m], axis=1))
        return Outcomes(values, np.zeros(len(X)))

    made = Run(SPACE, ranked, 6000, np.random.default_rng(0), Options(batch=32, hidden=(32, 32), order=True))
    while made.step():
        pass
    X = made.model.sample(500, torch.Generator().manual_seed(0))
    if m == 1:
        assert np.mean(table(X) >= np.quantile(WORTH, 0.9)) > 0.5
    else:
        every = np.stack([WORTH, WORTH.transpose(3, 2, 1, 0)], axis=-1)
        front = non_dominated(every.reshape(-1, 2)).reshape(WORTH.shape)
        assert np.mean(front[tuple(X.astype(np.int64).T)]) > 3 * front.mean()


def test_an_order_sees_every_difference_of_values_however_far_below() -> None:
    """-exp(-5 y) has the order of y, and a tail that reaches far down; without a value, or over a limit, is worse."""
    rng = np.random.default_rng(0)

    def values(X: np.ndarray) -> Outcomes:
        return Outcomes(-np.exp(-5.0 * table(X))[:, None], np.zeros(len(X)))

    made = Run(SPACE, values, 2000, rng, Options(batch=32, hidden=(32, 32), order=True)).model
    y = -np.exp(5.0 * np.random.default_rng(1).normal(size=512))  # down to -10^7 of the scale
    assert (y - made.scale[0]).min() / made.scale[1] < -1e3
    seen = made.rewards(y[:, None]).numpy()[:, 0]
    assert np.array_equal(np.argsort(seen), np.argsort(y))
    assert len(np.unique(seen)) == 512
    worse = made.rewards(np.array([[np.nan], [0.0], [0.0]]), np.array([0.0, 0.1, 0.2])).numpy()[:, 0]
    assert seen.min() > worse[0] > worse[1] > worse[2]


def test_a_front_is_the_same_under_another_scale_of_its_objectives() -> None:
    """All of x from 0 to 100 is on the front of (-(x / 100)^4, x / 100), as it is on that of (-x, x)."""
    x = np.arange(101.0)
    space = wb.Space([wb.Int("x", 0, 100)])

    def bent(X: np.ndarray) -> Outcomes:
        return Outcomes(np.stack([-((X[:, 0] / 100.0) ** 4), X[:, 0] / 100.0], axis=1), np.zeros(len(X)))

    made = Run(space, bent, 2000, np.random.default_rng(0), Options(batch=32, hidden=(32, 32), order=True)).model
    assert non_dominated(made.rewards(np.stack([-((x / 100.0) ** 4), x / 100.0], axis=1)).numpy()).all()


PLANE = wb.Space([wb.Int("a", 0, 9), wb.Int("b", 0, 9)])


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "beta"), [(1e-7, 8.0), (2.0**40, 8.0), (0.005, 32.0), (1e-14, 1.0)])
def test_the_unit_of_values_that_are_rewards_changes_nothing(scale: float, beta: float) -> None:
    """p(9, 9) of R = (1 + a + b)^beta, by the sum over all points."""
    study = wb.create_study(
        "s", PLANE, [wb.Objective("y", "maximize")], sampler=wb.GFlowNetSampler(reward="values", beta=beta), seed=1
    )
    study.optimize(
        lambda given: scale * (1 + given["a"] + given["b"]) / 19.0, vectorized=True, evaluations=4000, progress=False
    )
    X = load_model(PLANE, study.files.get("run-gflownet.npz")).sample(4000, torch.Generator().manual_seed(0))
    drawn = np.mean([point == {"a": 9, "b": 9} for point in PLANE.decode(X)])
    R = np.add.outer(np.arange(1, 11), np.arange(10)) ** beta
    wanted = R[9, 9] / R.sum()
    assert drawn == pytest.approx(wanted, abs=0.25 * wanted + 4 * np.sqrt(wanted * (1 - wanted) / 4000))


@pytest.mark.slow
def test_the_unit_of_a_reward_that_is_hardly_ever_there_changes_nothing() -> None:
    space = wb.Space([wb.Int(name, 0, 9) for name in "abcd"])

    def share(unit: float) -> float:
        def fn(given: Any) -> Any:
            there = (np.asarray(given["a"]) == 7) & (np.asarray(given["b"]) == 3) & (np.asarray(given["c"]) == 2)
            return unit * np.where(there, 1.0 + np.asarray(given["d"]), 0.0)

        study = wb.create_study("s", space, [wb.Objective("y", "maximize")], sampler="gflownet", seed=2)
        study.optimize(fn, vectorized=True, evaluations=8000, keep=3, progress=False)
        X = load_model(space, study.files.get("run-gflownet.npz")).sample(2000, torch.Generator().manual_seed(0))
        return float((fn(space.decode_columns(X)) > 0).mean())

    base = share(1.0)
    assert base > 0.5  # of ten in ten thousand
    assert share(2.0**-10) == base
    assert share(2.0**10) == base


def test_rewards_below_zero_are_counted_and_said() -> None:
    study = wb.create_study(
        "s", PLANE, [wb.Objective("y", "maximize")], sampler=wb.GFlowNetSampler(reward="values"), seed=1
    )

    def fn(given: Any) -> Any:
        a, b = np.asarray(given["a"]), np.asarray(given["b"])
        return np.where((a == 9) & (b == 9) & (len(a) < 100), -1.0, 1.0 + a + b)  # not among the first ones

    first = max(16, int(0.05 * (3000 - 8)))
    assert first > 100
    with pytest.warns(wb.WorkbenchWarning, match=r"\d+ values below 0 counted as 0"):
        study.optimize(fn, vectorized=True, evaluations=3000, progress=False)
    small = wb.create_study("m", PLANE, [wb.Objective("y")], sampler=wb.GFlowNetSampler(reward="values"), seed=1)
    with pytest.raises(InvalidValueError, match="minimised values"):
        small.optimize(lambda given: 1.0 + given["a"], vectorized=True, evaluations=3000, progress=False)


@pytest.mark.parametrize("order", [False, True])
@pytest.mark.parametrize("worth", [1.0, math.nan])
def test_of_what_is_all_the_same_nothing_is_learnt_and_that_is_said(order: bool, worth: float) -> None:
    space = wb.Space([wb.Int(name, 0, 9) for name in "abcde"])
    study = wb.create_study("s", space, [wb.Objective("y")], sampler=wb.GFlowNetSampler(order=order), seed=1)
    context = pytest.warns(wb.WorkbenchWarning, match="none of") if math.isnan(worth) else contextlib.nullcontext()
    with context:
        study.optimize(lambda given: given["a"] * 0.0 + worth, vectorized=True, evaluations=1000, progress=False)
    trusted, said = policy_verdict(study.policy_trace())
    assert not trusted
    assert "nothing tells good from bad" in said
