"""The policy of a run in figures: what they say is what was seen, and a policy that is bad is red."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

import workbench as wb
from workbench import plots
from workbench.samplers.gflownet import load_model
from workbench.samplers.gflownet.graph import enumerate_states

SPACE = wb.Space([wb.Int("i", 0, 7), wb.Int("j", 0, 7)])


def two(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Each objective wants its own number to be large; both have little room together."""
    i, j = (np.asarray(columns[name], dtype=np.float64) / 7 for name in "ij")
    return {"a": i * (1 - 0.5 * j), "b": -j * (1 - 0.5 * i)}


def made(evaluations: int, goals: int = 2, **options: Any) -> wb.Study:
    sampler = {"name": "gflownet", "options": {"batch": 32, **options}}
    wanted = [wb.Objective("a", "maximize", unit="mm"), wb.Objective("b")][:goals]
    study = wb.create_study("s", SPACE, wanted, sampler=sampler, seed=0)
    study.optimize(two, vectorized=True, evaluations=evaluations, keep=3, progress=False)
    return study


@pytest.fixture(scope="module")
def study() -> wb.Study:
    return made(4000, beta=4.0)


def test_the_report_is_what_the_stored_policy_samples(study: wb.Study) -> None:
    """Log p of all 64 designs from the model that the run left, and the target from the values themselves."""
    trace = study.policy_trace()
    model = load_model(SPACE, study.files.get("run-gflownet.npz"))
    graph = enumerate_states(model.environment)
    condition = model.conditioning.at([1.0, 1.0], 1).encoding
    assert condition is not None
    with torch.no_grad():
        p = graph.end_probabilities(model.policy.tables(graph.states, condition[0])[0]).double()
    np.testing.assert_allclose(np.exp(trace["log_p"]), p.numpy(), rtol=1e-5)
    ends = model.environment.encoded(graph.states[graph.ends])
    values = two(SPACE.decode_columns(ends))
    z = np.stack([values["a"], -values["b"]], axis=1)
    log_reward = 4.0 * np.maximum((z - model.scale[0]) / model.scale[1], -4.0).mean(axis=1)
    target = np.exp(log_reward - log_reward.max())
    target /= target.sum()
    np.testing.assert_allclose(np.exp(trace["log_target"]), target, rtol=1e-6)
    assert float(trace["trust.distance"]) == pytest.approx(np.abs(p.numpy() - target).sum(), rel=1e-5)
    figure = study.plot.policy_trust()
    assert np.allclose(figure.data[0].y, trace["log_p"])
    assert "64 designs, all there are" in figure.layout.meta["caption"]
    table = plots.policy_trust_table(trace)
    assert dict(zip(table["quantity"], table["value"], strict=True))["distance from the target, 0 to 2"] == float(
        trace["trust.distance"]
    )


def test_samples_follow_the_preference_and_come_in_user_units(study: wb.Study) -> None:
    trace = study.policy_trace()
    W, U = trace["preferences"], trace["answers"]
    assert W.tolist() == [[pytest.approx(i / 10), pytest.approx(1 - i / 10)] for i in range(11)]
    assert U.shape[0] == 11
    assert U.shape[1] >= 8
    table = plots.policy_preferences_table(trace, study.history().measured)
    assert table["weight of a"] == W[:, 0].tolist()
    np.testing.assert_allclose(table["median of a [mm]"], np.median(U[:, :, 0], axis=1))
    np.testing.assert_allclose(table["median of b"], -np.median(U[:, :, 1], axis=1))  # b is minimised
    assert table["median of a [mm]"][-1] > table["median of a [mm]"][0]
    assert table["median of b"][-1] > table["median of b"][0]
    figure = study.plot.policy_preferences()
    assert figure.data[2].y.min() == -U[:, :, 1].max()
    assert "11 preferences" in figure.layout.meta["caption"]


def test_training_is_shown_step_by_step_or_in_means_of_many(study: wb.Study) -> None:
    trace = study.policy_trace()
    figure = study.plot.policy_training()
    assert np.allclose(figure.data[0].y, trace["loss"])
    assert plots.policy_training_table(trace)["loss"] == trace["loss"].tolist()
    long = dict(trace) | {"loss": np.arange(1.0, 1002.0), "log_rewards": np.repeat([[0.0, 1.0, 2.0]], 1001, axis=0)}
    binned = plots.policy_training(long)
    assert binned.data[0].y.tolist() == [3 * i + 2.0 for i in range(333)] + [1000.5]
    assert binned.data[0].x[-1] == 1001
    assert "Each point is a mean over 3 steps" in binned.layout.meta["caption"]


def test_a_policy_that_was_hardly_trained_is_red_and_says_why() -> None:
    trace = made(400, goals=1, beta=40.0).policy_trace()
    fine, said = plots.policy_verdict(trace)
    assert not fine
    assert said.startswith("Do not trust this policy yet: ")
    assert said.endswith("More evaluations, or a smaller beta, make it better.")
    figure = plots.policy_trust(trace)
    assert figure.layout.meta["title"] == said
    assert figure.data[0].marker.color == plots.theme.OVER.color
    nothing = plots.policy_preferences(trace, [wb.Objective("a")])
    assert "knows no preference" in nothing.layout.annotations[0].text


def test_without_a_run_the_figures_say_how_to_get_one() -> None:
    study = wb.create_study("s", SPACE, [wb.Objective("a")], seed=0)
    assert study.policy_trace() == {}
    for figure in (study.plot.policy_trust(), study.plot.policy_training(), study.plot.policy_preferences()):
        assert "vectorized=True" in figure.layout.annotations[0].text
    for table in (
        plots.policy_trust_table({}),
        plots.policy_training_table({}),
        plots.policy_preferences_table({}, ()),
    ):
        assert all(column == [] for column in table.values())
