"""near=: proposals that stay close to a trial, whatever the sampler and the kinds of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.samplers.base import NEAR
from workbench.space.geometry import beside, box_around, towards

GOALS = [wb.Objective("y", "minimize", noise="none")]
MIXED = wb.Space(
    [
        wb.Float("x", -5, 5),
        wb.Float("lr", 1e-5, 1e-1, log=True),
        wb.Float("t", 20, 80, step=0.5),
        wb.Int("depth", 1, 8),
        wb.Categorical("c", ["a", "b", "d"]),
        wb.Ordinal("size", [16, 32, 64]),
        wb.Bool("on"),
        wb.Float("m", 0, 1, when={"on": True}),
        wb.Simplex("mix", names=["p", "q", "r"], total=100, bounds={"p": (10, 60)}),
        wb.Vector("z", 4),
        wb.Permutation("order", 4),
    ],
    constraints=["x + depth <= 9"],
)
PLAIN = wb.Space([wb.Float("x", 0, 1), wb.Int("k", 0, 20), wb.Categorical("c", ["a", "b"])], ["x + 0.01*k <= 1"])


def apart(space: wb.Space, a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, float]:
    """Largest distance of each parameter, in encoded columns."""
    gap = np.abs(space.encode([a]) - space.encode([b]))[0]
    return {p.name: float(np.nanmax(gap[space.slices[p.name]], initial=0.0)) for p in space}


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_every_kind_stays_near(sampler: str) -> None:
    study = wb.create_study("s", MIXED, GOALS, sampler=sampler, seed=5)
    for centre in study.ask(3):
        for trial in study.ask(8, near=centre):
            gap = apart(MIXED, centre.params, trial.params)
            assert max(gap[name] for name in ("x", "lr", "t", "mix")) <= NEAR + 1e-9
            assert gap["depth"] <= 1 / 7 + 1e-9
            assert gap["size"] <= 0.5 + 1e-9
            assert gap["c"] == gap["on"] == gap["order"] == 0
            assert trial.params.keys() == centre.params.keys()
            assert not MIXED.violations(trial.params)
            assert np.sqrt(np.mean((trial["z"] - centre["z"]) ** 2)) <= 4 * NEAR


def test_the_neighbourhood_is_explored_in_every_direction() -> None:
    study = wb.create_study("s", PLAIN, GOALS, sampler="sobol", seed=5)
    study.attach({"x": 0.5, "k": 10, "c": "a"}, 1.0)
    tried = study.ask(40, near=0)
    x, k = (np.array([trial[name] for trial in tried]) for name in ("x", "k"))
    assert x.min() < 0.42
    assert x.max() > 0.58
    assert k.min() == 8
    assert k.max() == 12
    # uniform on [0.4, 0.6]: the mean of 40 has sd 0.2 / sqrt(12 * 40) = 0.0091
    assert abs(x.mean() - 0.5) < 4 * 0.0091


def test_the_model_searches_near_the_trial_although_the_best_is_far() -> None:
    study = wb.create_study("s", PLAIN, GOALS, sampler="gp", seed=2, budget=12)
    for x, k, c in ((0.1, 2, "a"), (0.9, 3, "a"), (0.5, 18, "b"), (0.3, 9, "b"), (0.7, 12, "a"), (0.2, 20, "b")):
        study.attach({"x": x, "k": k, "c": c}, (x - 0.05) ** 2 + 0.001 * k)
    for trial in study.ask(3, near=1):
        assert trial.meta["acquisition"] in {"log_ei", "noisy_ei"}
        assert abs(trial["x"] - 0.9) <= NEAR + 1e-9
        assert abs(trial["k"] - 3) <= 2
        assert trial["c"] == "a"
        assert trial["x"] + 0.01 * trial["k"] <= 1 + 1e-9
    assert abs(study.ask()["x"] - 0.9) > NEAR  # without the wish it goes where the model wants to


def test_near_and_fixed_together() -> None:
    study = wb.create_study("s", PLAIN, GOALS, sampler="gp", seed=2, budget=12)
    for i in range(6):
        study.attach({"x": i / 10, "k": 10 + i, "c": "a"}, float(i))
    trial = study.ask(near=0, fixed={"k": 20})
    assert trial["k"] == 20
    assert trial["x"] <= NEAR + 1e-9


def test_a_used_up_neighbourhood_says_so() -> None:
    space = wb.Space([wb.Int("k", 0, 10), wb.Categorical("c", ["a", "b"])])
    study = wb.create_study("s", space, GOALS, sampler="random", seed=2)
    study.attach({"k": 5, "c": "a"}, 1.0)
    assert {trial["k"] for trial in study.ask(2, near=0)} == {4, 6}
    with pytest.raises(wb.ExhaustedSpaceError, match="near trial 0"):
        study.ask(near=0)


def test_a_trial_without_a_place_in_the_space_is_no_centre() -> None:
    study = wb.create_study("s", PLAIN, GOALS, sampler="random", seed=2)
    study.attach({"x": 0.5, "k": 5, "c": "b"}, 1.0)
    with pytest.warns(wb.WorkbenchWarning, match="cannot hold"):
        study.change_space(wb.Space([wb.Float("x", 0, 1), wb.Int("k", 0, 20), wb.Categorical("c", ["a", "d"])]))
    with pytest.raises(wb.UnsupportedError, match="no place"):
        study.ask(near=0)


def test_all_in_the_box_is_near() -> None:
    space = wb.Space([wb.Float("x", 0, 1), wb.Vector("z", 3), wb.Int("k", 1, 4), wb.Categorical("c", ["a", "b"])])
    rng = np.random.default_rng(1)
    centre = space.uniform(1, rng)[0]
    X = np.concatenate([space.uniform(4000, rng), towards(space, space.uniform(500, rng), centre, 0.2)])
    low, high = box_around(space, centre, 0.2)
    near = beside(space, X, centre, 0.2)
    in_box = ((low - 1e-9 <= X) & (high + 1e-9 >= X)).all(axis=1)
    assert in_box.sum() >= 300
    assert near[in_box].all()
    assert near[4000:].mean() > 0.9
