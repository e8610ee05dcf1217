"""Figures of the model, the report and notebooks: they show the numbers that the model says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench import plots
from workbench.report import render

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def studied() -> wb.Study:
    space = wb.Space([wb.Float("a", 0, 1, unit="mm"), wb.Float("b", 0, 1), wb.Categorical("c", [HOSTILE, "q"])])
    limits = [wb.Constraint("g", upper=1.2, noise="none")]
    study = wb.create_study("s", space, [wb.Objective("y", noise="none", unit="%")], limits, sampler="gp", seed=0)
    for params in space.decode(space.sobol(14, 0)):
        y = math.sin(4 * params["a"]) + 0.5 * params["b"] + 0.1 * (params["c"] == "q")
        study.attach(params, {"y": y, "g": params["a"] + params["b"]})
    return study


def names(figure):
    return {one.name for one in figure.data}


def test_bars_are_the_shares_with_their_intervals(studied):
    found = studied.model().importance("y")["y"]
    figure = studied.plot.importance()
    (bars,) = figure.data
    order = [one.parameter for one in found.shares][::-1]
    assert list(bars.x) == [found[name].share for name in order]
    assert list(bars.error_x.array) == pytest.approx([found[n].high - found[n].share for n in order])
    assert "Sobol total index" in figure.layout.meta["caption"]
    assert plots.importance_table(found)["from"] == [one.low for one in found.shares]
    small = wb.create_study("t", studied.space, [wb.Objective("y")], sampler="gp", seed=0)
    for t in studied.trials[:3]:
        small.attach(t.params, t.values["y"])
    assert "this needs 10" in small.plot.importance().layout.meta["alt"]


def test_calibration_shows_each_trial_against_its_prediction(studied):
    seen = studied.model().diagnose().calibration["y"]
    figure = studied.plot.calibration("y")
    drawn = {int(n): (x, y) for one in figure.data if one.customdata is not None
             for n, x, y in zip(one.customdata, one.x, one.y, strict=True)}  # fmt: skip
    assert drawn == {int(n): (m, v) for n, m, v in zip(seen.trials, seen.mean, seen.measured, strict=True)}
    (counts,) = [one for one in figure.data if one.name == "results"]
    assert sum(counts.y) == 14
    assert f"{seen.inside()} of 14 inside" in figure.layout.meta["caption"]
    assert plots.calibration_table(seen)["sd of the prediction"] == seen.sd.tolist()
    with pytest.raises(wb.InvalidValueError, match="one of y, g"):
        studied.plot.calibration("z")


@pytest.mark.parametrize("layer", ["mean", "sd", "acquisition", "feasibility"])
def test_layers_of_a_contour_are_what_the_model_says(studied, layer):
    model, at = studied.model(), {"a": 0.5, "b": 0.5, "c": "q"}
    figure = studied.plot.contour("a", "b", "y", at=at, layer=layer)
    ground = next(one for one in figure.data if one.name == "model")
    z, i, j = np.asarray(ground.z, dtype=float), 7, 31
    point = {"a": float(ground.x[j]), "b": float(ground.y[i]), "c": "q"}
    if layer == "acquisition":
        wanted = math.log10(max(model.acquisition(point)[0], 1e-300))
        assert z[i, j] == pytest.approx(max(wanted, np.nanmax(z) - 6), abs=1e-6)
    else:
        mean, sd = model.predict(point)["y"]
        wanted = {"mean": mean[0], "sd": sd[0], "feasibility": model.feasibility(point)[0]}[layer]
        assert z[i, j] == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert "limits as likely to hold as not" in names(figure)
    with pytest.raises(wb.InvalidValueError, match="one of mean, sd"):
        studied.plot.contour("a", "b", layer="kernel")


def test_the_gain_that_is_drawn_is_the_one_that_is_explained(studied):
    trial = studied.ask()
    found = studied.model().explain(trial, others=())
    assert studied.model().acquisition(trial.params)[0] == pytest.approx(found.parts.gain, rel=1e-9)


def test_a_slice_can_be_held_anywhere(studied):
    at = {"a": 0.2, "b": 0.9, "c": HOSTILE}
    line = next(one for one in studied.plot.slice("b", at=at).data if one.name == "model")
    mean, _ = studied.model().predict([{**at, "b": float(b)} for b in line.x])["y"]
    assert np.asarray(line.y, dtype=float) == pytest.approx(mean)


@pytest.mark.slow
def test_the_report_says_what_the_model_says(studied, tmp_path: Path):
    model = studied.model()
    page = render(studied, model=model)
    assert "What the model says" in page
    assert 'data-for="importance-0"' in page
    assert 'data-for="calibration-1"' in page
    assert "Predicts y to" in page
    assert HOSTILE not in page
    empty = wb.create_study("e", studied.space, [wb.Objective("y")], sampler="gp", seed=0)
    assert "There is no model yet." in render(empty, model=empty.model())


@pytest.mark.slow
def test_notebooks_show_the_model(studied):
    model = studied.model()
    html = model._repr_html_()
    assert "Predicts y to" in html
    for shown in (model.diagnose(), model.importance()["y"], model.recommend(), model.explain(3), model.worth_more()):
        text = shown._repr_html_()
        assert "<img" not in text
        assert text.startswith(("<p>", "<div>"))


@pytest.mark.slow
def test_2500_points_take_50_ms_at_200_trials():
    """The best of several, beside a matrix product of known size, so that a slow machine does not fail it."""
    import time

    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(6)])
    study = wb.create_study("p", space, [wb.Objective("y")], sampler="gp", seed=0)
    for params in space.decode(space.sobol(200, 0)):
        study.attach(params, math.sin(5 * params["x0"]) + params["x1"])
    model, points = study.model(), space.decode(space.sobol(2500, 1))
    model.predict(points)

    def best(run):
        taken = []
        for _ in range(7):
            begun = time.perf_counter()
            run()
            taken.append(time.perf_counter() - begun)
        return min(taken)

    A = np.random.default_rng(0).random((1000, 1000))
    unit = best(lambda: A @ A)  # about 0.05 s on one core of 40 GFlop/s
    assert best(lambda: model.predict(points)) < max(0.05, 2.0 * unit)
