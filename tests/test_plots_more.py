"""Figures of trade-offs, of two and of many parameters, of distributions and of time: values, marks and words."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pytest
from test_plots import HOSTILE, line, points, record, row, trace

import workbench as wb
from workbench import plots
from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.panels import fronts
from workbench.problem import Constraint, Objective, Preference
from workbench.space import Bool, Categorical, Float, Int, Permutation, Simplex, Space, Vector
from workbench.trial import History, TrialRow, dumps, pack_params

COST, YIELD = Objective("cost", unit="€"), Objective("yield", "maximize")
PLANE = Space([Float("x", 0, 10, unit="mm"), Float("rate", 1e-4, 1, log=True)])
MIXED = Space([
    Float("rate", 1e-4, 1, log=True), Bool("bias"), Float("momentum", 0, 1, when={"bias": True}),
    Categorical("act", ["relu", HOSTILE]), Int("depth", 1, 8), Simplex("mix", names=["a", "b"], total=100),
    Vector("z", 3, prior="normal"), Permutation("order", 3),
])  # fmt: skip


def owner(pid: int, host: str = "lab") -> str:
    return orjson.dumps({"host": host, "boot": "b", "pid": pid, "started": "1"}).decode()


def two(values: list[tuple[float, float]], *more: TrialRow, goals: Any = (COST, YIELD), **options: Any) -> History:
    names = [goal.name for goal in goals]
    rows = [row(i, {"x": i % 10}, dict(zip(names, pair, strict=True))) for i, pair in enumerate(values)]
    return record(*rows, *more, objectives=goals, **options)


def mixed(n: int, **fields: Any) -> History:
    """n trials of every kind of parameter, some with momentum and some without."""
    rows = []
    for i, params in enumerate(MIXED.decode(MIXED.sobol(n, seed=3))):
        text, blob = pack_params(params)
        rows.append(row(i, {}, {"cost": 10.0 + i, "yield": float(i % 3)}, **fields)._replace(params=text, vectors=blob))
    return record(*rows, space=MIXED, objectives=(COST, YIELD))


def dominated_by(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Is a worse than b for a minimised first and a maximised second objective?"""
    return b[0] <= a[0] and b[1] >= a[1] and a != b


# -- trade-offs -----------------------------------------------------------------------


@pytest.mark.slow
def test_figures_speak_in_the_words_of_whoever_looks_and_leave_those_of_a_study_alone() -> None:
    space = wb.Space([wb.Float("trial_length", 0, 1), wb.Float("b", 0, 1)])
    goals = [wb.Objective("best trials", "maximize"), wb.Objective("g"), wb.Objective("h")]
    study = wb.create_study("s", space, goals, sampler="sobol", seed=0)
    for trial in study.ask(12):
        a, b = trial.params.values()
        study.tell(trial, {"best trials": a, "g": b**2 + a, "h": (a - b) ** 2})
    study.ask()
    history, model = study.history(), study.model()
    name = "best trials"
    draw = {
        "history": lambda: plots.history(history), "hypervolume": lambda: plots.hypervolume(history),
        "timeline": lambda: plots.timeline(history), "parallel": lambda: plots.parallel(history),
        "pareto": lambda: plots.pareto(history), "plane": lambda: plots.pareto(history, ["g", "h"]),
        "tradeoffs": lambda: plots.tradeoffs(history, front=model.pareto_front()),
        "few": lambda: plots.tradeoffs(history, most=3), "heat map": lambda: plots.heat_map(history),
        "petals": lambda: plots.petals(history, np.flatnonzero(history.front)[:2].tolist()),
        "slice": lambda: plots.slice(history, "b", "g", model.along("g")),
        "contour": lambda: plots.contour(history, "trial_length", "b", name),
        "edf": lambda: plots.edf({"s": history}), "compare": lambda: plots.compare({"s": [history]}, "g"),
        "calibration": lambda: plots.calibration(model.diagnose().calibration["g"]),
        "importance": lambda: plots.importance(model.importance()["g"]),
        "nothing": lambda: plots.history(wb.create_study("t", space, goals, seed=0).history()),
    }  # fmt: skip
    ours = re.compile(r"\b(trial|objective|parameter)s?\b", re.IGNORECASE)
    for key, one in draw.items():
        before = one().to_json()
        with theme.vocabulary({"trial": "run", "objective": "goal", "parameter": "knob"}):
            after = one().to_json()
        found = ours.findall(after.replace(name, "").replace("trial_length", ""))
        assert not found, (key, found)
        assert re.search(r"\b(run|goal|knob)s?\b", after, re.IGNORECASE), key
        assert after.count(name) + after.count("trial_length") == before.count(name) + before.count("trial_length"), key
        assert ours.search(one().to_json().replace(name, "").replace("trial_length", ""))  # as before, outside


def test_the_front_is_what_brute_force_finds_and_the_line_bounds_what_was_attained() -> None:
    rng = np.random.default_rng(0)
    values = [(float(a), float(b)) for a, b in rng.normal(size=(60, 2))]
    figure = plots.pareto(two(values))
    front = {a for a in values if not any(dominated_by(a, b) for b in values)}
    assert set(points(figure, "front")) == front
    assert set(points(figure, "beaten")) == set(values) - front
    stairs = points(figure, "attained so far")
    assert {corner for corner in stairs if corner in front} == front
    # right of any corner and below it lies something attained; a little better in both lies nothing
    for x, y in stairs:
        assert any(a <= x and b >= y for a, b in values)
        assert not any(a < x - 1e-9 and b > y + 1e-9 for a, b in values)
    # it runs along the axes only: cheaper to dearer, and never back
    for (x0, y0), (x1, y1) in itertools.pairwise(stairs):
        assert x0 == x1 or y0 == y1
    assert stairs[0] == (max(a for a, _ in values), max(b for _, b in values))
    assert stairs[-1] == (min(a for a, _ in values), min(b for _, b in values))


def test_a_small_staircase_corner_by_corner() -> None:
    figure = plots.pareto(two([(1, 1), (2, 3), (4, 4), (3, 2), (4, 4)]))
    assert points(figure, "front") == [(1, 1), (2, 3), (4, 4), (4, 4)]  # equal trials are both on the front
    assert points(figure, "attained so far") == [(4, 4), (4, 4), (4, 3), (2, 3), (2, 1), (1, 1), (1, 1)]
    assert trace(figure, "front").marker.symbol == "circle"
    assert list(trace(figure, "front").customdata) == [0, 1, 2, 4]
    assert figure.layout.xaxis.title.text == "cost [€] (minimize, lower is better)"
    assert figure.layout.title.text == "4 trials on the front of cost, yield"
    ticks = {(shape.x0, shape.y0) for shape in figure.layout.shapes}
    assert ticks == {(1, 0), (4, 0), (0, 1), (0, 4)}  # ideal and nadir of both objectives, at the axes


def test_states_keep_their_marks_in_the_plane_of_trade_offs() -> None:
    limit = Constraint("heat", upper=8)
    rows = [
        row(0, {"x": 1}, {"cost": 5, "yield": 5, "heat": 1}),
        row(1, {"x": 1}, {"cost": 1, "yield": 9, "heat": 9}),
        row(2, {"x": 1}, predicted={"cost": {"mean": 3, "sd": 1}, "yield": {"mean": 4, "sd": 2}}),
        row(3, {"x": 1}, {"cost": 2}, state="running"),
        row(4, {"x": 1}, None, state="failed", error="boom"),
        row(5, {"x": 99}, {"cost": 0, "yield": 10, "heat": 1}),
    ]
    figure = plots.pareto(record(*rows, objectives=(COST, YIELD), constraints=[limit]))
    assert points(figure, "front") == [(5, 5)]
    assert points(figure, "over a limit") == [(1, 9)]
    assert points(figure, "running, as predicted") == [(3, 4)]
    assert points(figure, "not counted") == [(0, 10)]
    ellipse = np.array(points(figure, "± 1 sd of the prediction"))[:-1]
    assert (ellipse[:, 0] - 3) ** 2 + ((ellipse[:, 1] - 4) / 2) ** 2 == pytest.approx(1)
    assert "1 finished trial without all of these values left out." in figure.layout.meta["caption"]
    assert trace(figure, "over a limit").marker.symbol == "x-thin-open"


def test_reference_point_threshold_and_target() -> None:
    goals = (Objective("cost", reference=10, threshold=5), Objective("yield", "maximize", reference=0))
    figure = plots.pareto(two([(1, 1), (2, 3), (12, 4)], goals=goals))
    assert points(figure, "reference point") == [(10, 0)]
    area = points(figure, "dominated area")
    assert area[:2] == [(10, 0), (10, 4)]  # what lies beyond the reference is cut off
    assert {(2.0, 3.0), (2.0, 1.0), (1.0, 1.0), (1.0, 0.0)} <= set(area)
    assert max(x for x, _ in area) == 10
    assert [shape.x0 for shape in figure.layout.shapes if shape.line.dash == "dot"] == [5]
    alone = plots.pareto(two([(1, 1)], goals=(Objective("cost", reference=10), YIELD)))
    assert "reference point" not in {one.name for one in alone.data}
    aim = (COST, Objective("pH", target=7, tolerance=0.5))
    figure = plots.pareto(two([(1, 9), (2, 7.2), (3, 7)], goals=aim))
    assert points(figure, "front") == [(1, 9), (2, 7.2)]
    assert "attained so far" not in {one.name for one in figure.data}
    assert "around the target of pH" in figure.layout.meta["caption"]
    assert [(s.y0, s.y1) for s in figure.layout.shapes if s.type == "rect"] == [(6.5, 7.5)]


def test_three_objectives_stand_in_space_and_more_in_a_matrix() -> None:
    goals = [Objective(name, unit="s") for name in "abcde"]
    rows = [row(i, {"x": i}, dict(zip("abcde", map(float, [i, 5 - i, i % 2, i, i]), strict=True))) for i in range(5)]
    three = plots.pareto(record(*rows, objectives=goals), list("abc"))
    front = trace(three, "front")
    assert front.type == "scatter3d"
    assert next(zip(front.x, front.y, front.z, strict=True)) == (0, 5, 0)
    assert three.layout.scene.xaxis.title.text == "a [s] ↓"
    assert "with the front of all 5 objectives" in three.layout.title.text
    five = plots.pareto(record(*rows, objectives=goals))
    assert {one.type for one in five.data} == {"splom"}
    assert [d.label for d in five.data[0].dimensions] == [f"{name} [s] ↓" for name in "abcde"]
    assert five.data[0].showupperhalf is False
    assert five.layout.xaxis.title.text is None  # plotly writes the label there
    pair = plots.pareto(record(*rows, objectives=goals), ["a", "b"])
    assert "Filled: on the front of all 5 objectives." in pair.layout.meta["caption"]


def test_trade_offs_that_cannot_be() -> None:
    assert "Draw its history instead" in plots.pareto(line([1.0])).layout.annotations[0].text.replace("<br>", " ")
    judged = record(objectives=[Preference("taste")])
    assert "judged by people" in plots.pareto(judged).layout.annotations[0].text.replace("<br>", " ")
    halves = record(row(0, {"x": 1}, {"cost": 1}), row(1, {"x": 1}, {"yield": 1}), objectives=(COST, YIELD))
    assert "No trial has a value in all" in plots.pareto(halves).layout.annotations[0].text.replace("<br>", " ")
    empty = record(objectives=(COST, YIELD))
    assert "No finished trials yet" in plots.pareto(empty).layout.annotations[0].text.replace("<br>", " ")
    for wrong in (["cost"], "cost", ["cost", "cost"]):
        with pytest.raises(InvalidValueError, match="two or more different objectives"):
            plots.pareto(empty, wrong)
    with pytest.raises(InvalidValueError, match="got 'speed'"):
        plots.pareto(empty, ["cost", "speed"])


def test_pareto_table() -> None:
    history = two([(1, 1), (2, 0)], row(2, {"x": 1}, None, state="failed"))
    assert plots.pareto_table(history) == {
        "trial": [0, 1, 2],
        "state": ["complete", "complete", "failed"],
        "on the front": [True, False, False],
        COST.label: [1, 2, None],
        YIELD.label: [1, 0, None],
    }


# -- parallel coordinates ---------------------------------------------------------------


def axis_of(figure: Any, start: str) -> Any:
    return next(one for one in figure.data[0].dimensions if one.label.startswith(start))


def test_on_every_objective_axis_better_is_up() -> None:
    goals = (COST, YIELD, Objective("pH", target=7, tolerance=0.5))
    rows = [row(i, {"x": i}, {"cost": c, "yield": y, "pH": p}) for i, (c, y, p) in enumerate([(5, 1, 7), (2, 4, 9)])]
    figure = plots.parallel(record(*rows, objectives=goals))
    cost, gain, acid = (axis_of(figure, name) for name in ("cost", "yield", "pH"))
    assert (cost.label, list(cost.values), list(cost.range)) == ("cost [€]<br>↑ lower", [5, 2], [5, 2])
    assert (gain.label, list(gain.values), list(gain.range)) == ("yield<br>↑ higher", [1, 4], [1, 4])
    assert (acid.label, list(acid.values), list(acid.range)) == ("pH off target<br>↑ closer", [0, 1.5], [1.5, 0])
    assert [one.label.partition("<br>")[0] for one in figure.data[0].dimensions][:2] == ["x [mm]", "cost [€]"]


def test_axes_of_every_kind_of_parameter() -> None:
    history = mixed(16)
    figure = plots.parallel(history)
    labels = [one.label.partition("<br>")[0] for one in figure.data[0].dimensions]
    assert labels == ["rate", "bias", "momentum", "act", "depth", "mix a", "mix b", "cost [€]", "yield", "trial"]
    assert "Without an axis: z, order." in figure.layout.meta["caption"]
    settings = [history.params(i) for i in range(16)]
    rate, act, part = axis_of(figure, "rate"), axis_of(figure, "act"), axis_of(figure, "mix a")
    assert list(rate.values) == pytest.approx(np.log10([one["rate"] for one in settings]))
    assert all(word == theme.wording(10.0**place) for place, word in zip(rate.tickvals, rate.ticktext, strict=True))
    assert list(act.values) == [["relu", HOSTILE].index(one["act"]) for one in settings]
    assert list(act.tickvals) == [0, 1]
    assert list(act.ticktext) == ["relu", HOSTILE[:13] + "…"]  # plotly draws ticks there as they stand
    assert list(part.values) == pytest.approx([one["mix"]["a"] for one in settings])
    named = plots.parallel(history, ["depth", "act"], "yield")
    assert [one.label for one in named.data[0].dimensions][:3] == ["depth", "act", "yield<br>↑ higher"]
    with pytest.raises(InvalidValueError, match="'order' of kind permutation"):
        plots.parallel(history, ["order"])
    with pytest.raises(InvalidValueError, match="'nothing'"):
        plots.parallel(history, ["nothing"])


def test_the_line_of_an_inactive_parameter_passes_below_its_axis() -> None:
    history = mixed(16)
    momentum = axis_of(plots.parallel(history), "momentum")
    active = np.array(["momentum" in history.params(i) for i in range(16)])
    told = [history.params(i)["momentum"] for i in np.flatnonzero(active)]
    assert 0 < active.sum() < 16
    assert np.asarray(momentum.values)[active] == pytest.approx(told)
    below = momentum.tickvals[0]
    assert momentum.ticktext[0] == "not active"
    assert np.asarray(momentum.values)[~active] == pytest.approx(below)
    assert below == momentum.range[0] < min(told)


def test_lines_are_coloured_by_worth_and_what_does_not_count_is_grey() -> None:
    limit = Constraint("heat", upper=8)
    told = [(3.0, 1), (1.0, 1), (2.0, 1), (0.0, 9)]
    rows = [row(i, {"x": i}, {"y": y, "heat": heat}) for i, (y, heat) in enumerate(told)]
    rows += [row(4, {"x": 1}, None, state="failed"), row(5, {"x": 2})]
    figure = plots.parallel(record(*rows, constraints=[limit]))
    assert list(figure.data[0].line.color) == pytest.approx([0.15, 1.0, 0.575, 0.0])
    greys = [place for place, tone in figure.data[0].line.colorscale if tone == theme.BEATEN.color]
    assert min(c for c in figure.data[0].line.color if c) > max(greys) + 1 / 255  # plotly keeps 256 colours
    assert list(figure.data[0].customdata) == [0, 1, 2, 3]
    assert figure.data[0].line.colorscale[0][1] == theme.BEATEN.color
    standing = axis_of(figure, "trial")
    assert [standing.ticktext[int(place)] for place in standing.values] == [
        "other trials", "best", "other trials", "over a limit",
    ]  # fmt: skip
    assert "1 finished trial left out" in figure.layout.meta["caption"]


def test_lines_are_capped_and_the_front_is_whole() -> None:
    rng = np.random.default_rng(1)
    history = two([(float(a), float(b)) for a, b in rng.normal(size=(5_000, 2))])
    figure = plots.parallel(history)
    drawn = set(figure.data[0].customdata)
    assert 900 <= len(drawn) <= 1_000
    assert set(history.numbers[fronts(history)]) <= drawn
    assert (
        f"Drawn: {len(drawn):,} of 5,000 trials, every best so far and the whole front"
        in (figure.layout.meta["caption"])
    )
    assert len(plots.parallel_table(history)["trial"]) == 5_000


def test_parallel_table_holds_the_settings() -> None:
    history = mixed(4)
    table = plots.parallel_table(history)
    assert table["trial"] == [0, 1, 2, 3]
    assert table["parameter momentum"] == [history.params(i).get("momentum") for i in range(4)]
    assert table[COST.label] == [10, 11, 12, 13]


# -- two parameters ---------------------------------------------------------------------


def over_plane(values: list[float], *more: TrialRow, **options: Any) -> History:
    rows = [row(i, {"x": i, "rate": 10.0 ** -(i % 4)}, value) for i, value in enumerate(values)]
    return record(*rows, *more, space=PLANE, **options)


def test_without_a_model_there_are_trials_and_nothing_between_them() -> None:
    failed = row(4, {"x": 9, "rate": 0.5}, None, state="failed", error=HOSTILE)
    waiting = row(5, {"x": 8, "rate": 0.5})
    figure = plots.contour(over_plane([4.0, 1.0, 3.0, 2.0], failed, waiting), "x", "rate")
    assert {one.type for one in figure.data} == {"scatter"}
    assert points(figure, "best") == [(1, 0.1)]
    assert points(figure, "other trials") == [(0, 1), (2, 0.01), (3, 0.001)]
    assert points(figure, "failed") == [(9, 0.5)]
    assert points(figure, "running") == [(8, 0.5)]
    others, best = trace(figure, "other trials").marker, trace(figure, "best").marker
    assert list(others.color) == [4, 3, 2]
    assert list(others.size) == [6, 9, 12]  # better is larger, by rank
    assert (list(best.color), list(best.size), best.line.color) == ([1], [15], theme.FRONT.color)
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.coloraxis.reversescale is False
    assert figure.layout.coloraxis.colorbar.title.text == "y (minimize, lower is better)"
    assert "nothing is interpolated" in figure.layout.meta["caption"]


def test_the_models_mean_is_asked_on_a_grid_held_at_the_best() -> None:
    space = Space([Float("x", 0, 10), Float("w", 0, 1), Float("z", 0, 1)])
    rows = [row(0, {"x": 1, "w": 0.5, "z": 0.25}, 5.0), row(1, {"x": 2, "w": 1.0, "z": 0.75}, 3.0)]
    history = record(*rows, space=space, objectives=[Objective("y", "maximize")])
    asked: list[dict[str, Any]] = []

    def predict(params: list[dict[str, Any]]) -> tuple[Any, Any]:
        asked.extend(params)
        return np.array([p["x"] + 100 * p["w"] for p in params]), np.ones(len(params))

    figure = plots.contour(history, "x", "w", "y", predict)
    field = trace(figure, "model")
    x, w = np.linspace(0, 10, 50), np.linspace(0, 1, 50)
    assert len(asked) == 2_500
    assert {p["z"] for p in asked} == {0.25}
    assert np.asarray(field.z, dtype=float) == pytest.approx(x[None, :] + 100 * w[:, None])
    assert figure.layout.coloraxis.reversescale is True
    assert "Held: z = 0.25." in figure.layout.meta["caption"]
    assert "nothing is interpolated" not in figure.layout.meta["caption"]
    # the trial on the plane is large, the farthest one small
    assert list(trace(figure, "best").marker.size) == [15]
    assert list(trace(figure, "other trials").marker.size) == [6]


def test_what_the_constraints_rule_out_stays_blank() -> None:
    space = Space([Int("a", 0, 4), Bool("b"), Float("c", 0, 1, when={"b": True})], constraints=["a + c <= 3"])
    history = record(row(0, {"a": 1, "b": True, "c": 0.5}, 1.0), space=space)
    flat: Callable[..., Any] = lambda ps: (np.zeros(len(ps)), np.ones(len(ps)))  # noqa: E731
    field = trace(plots.contour(history, "a", "c", predict=flat), "model")
    z, c = np.asarray(field.z, dtype=float), np.linspace(0, 1, 50)
    # Int 0..4 stand in columns; 3 leaves only c = 0
    assert np.isnan(z).tolist() == [[False, False, False, value > 1e-12, True] for value in c]
    choices = trace(plots.contour(history, "b", "c", predict=flat), "model")
    assert choices.type == "heatmap"  # no values between yes and no
    assert np.isnan(np.asarray(choices.z, dtype=float)).all(axis=0).tolist() == [True, False]


def test_contours_that_cannot_be_are_refused_or_said() -> None:
    history = mixed(4)
    with pytest.raises(InvalidValueError, match="'rate' twice"):
        plots.contour(history, "rate", "rate")
    with pytest.raises(InvalidValueError, match="of kind permutation"):
        plots.contour(history, "rate", "order")
    with pytest.raises(InvalidValueError, match="got 'q'"):
        plots.contour(history, "q", "rate")
    with pytest.raises(InvalidValueError, match="'momentum' are active"):
        plots.contour(
            history, "rate", "momentum", "cost", lambda ps: (np.zeros(len(ps)), np.ones(len(ps))), {"bias": False}
        )
    assert "No finished trials yet" in plots.contour(over_plane([]), "x", "rate").layout.annotations[0].text
    off = record(row(0, {"bias": False}, 1.0), space=Space([Bool("bias"), Float("m", 0, 1, when={"bias": True})]))
    assert "1 of 1 trial left out" in plots.contour(off, "bias", "m").layout.annotations[0].text.replace("<br>", " ")


def test_a_target_has_colours_on_both_sides() -> None:
    figure = plots.contour(over_plane([6.0, 7.1, 9.0], objectives=[Objective("y", target=7)]), "x", "rate")
    assert figure.layout.coloraxis.cmid == 7
    assert figure.layout.coloraxis.colorscale[0][1] == theme.AROUND[0]
    assert list(trace(figure, "best").marker.color) == [7.1]


def test_contour_table() -> None:
    table = plots.contour_table(over_plane([4.0], row(1, {"x": 2, "rate": 0.5}, None, state="failed")), "x", "rate")
    assert table == {
        "trial": [0, 1],
        "state": ["complete", "failed"],
        "parameter x": [0, 2],
        "parameter rate": [1, 0.5],
        "y (minimize, lower is better)": [4, None],
    }


# -- distributions ------------------------------------------------------------------------


def test_the_distribution_is_that_of_numpy() -> None:
    values = np.random.default_rng(2).integers(0, 20, 50).astype(float)
    history = record(*(row(i, {"x": i % 10}, value) for i, value in enumerate(values.tolist())))
    table = plots.edf_table(history)
    assert table["value"] == sorted(set(values.tolist()))
    assert table["share"] == pytest.approx([float(np.mean(values <= v)) for v in table["value"]])
    figure = plots.edf(history)
    (curve,) = figure.data
    assert curve.line.shape == "hv"
    assert list(curve.x[1:-1]) == table["value"]
    assert list(curve.y) == pytest.approx([0.0, *table["share"], 1.0])
    assert curve.x[0] < min(values) < max(values) < curve.x[-1]  # both ends can be seen
    assert figure.layout.showlegend is False


def test_only_trials_that_count_are_in_the_distribution() -> None:
    rows = [
        row(0, {"x": 1}, {"y": 5.0, "heat": 1}),
        row(1, {"x": 2}, {"y": 1.0, "heat": 9}),
        row(2, {"x": 99}, {"y": 2.0, "heat": 1}),
        row(3, {"x": 3}, {"y": 3.0, "heat": 1}, state="pruned"),
        row(4, {"x": 3}, None, state="failed"),
    ]
    table = plots.edf_table({"a": record(*rows, constraints=[Constraint("heat", upper=8)])})
    assert table == {"study": ["a"], "objective": ["y"], "value": [5.0], "share": [1.0]}


def test_several_studies_share_the_axis_and_the_same_goal() -> None:
    figure = plots.edf({HOSTILE: line([1.0, 2.0]), "b": line([3.0]), "none yet": line([])})
    assert [one.name for one in figure.data] == [theme.literal(HOSTILE), "b"]
    assert figure.data[0].x[-1] == figure.data[1].x[-1] > 3  # each goes on to the end
    assert figure.data[0].line.color != figure.data[1].line.color
    assert figure.data[0].line.dash != figure.data[1].line.dash
    assert "further to the left is better" in figure.layout.meta["caption"]
    with pytest.raises(InvalidValueError, match="want 'y' alike"):
        plots.edf({"a": line([1.0]), "b": line([1.0], objectives=[Objective("y", "maximize")])})
    with pytest.raises(InvalidValueError, match="at least one study"):
        plots.edf({})
    apart = plots.edf({"a": line([1.0]), "b": two([(1, 2)])})
    assert "nothing alike" in apart.layout.annotations[0].text
    rows = plots.edf(two([(1, 2), (3, 4)]))
    assert [one.xaxis for one in rows.data] == ["x", "x2"]
    assert "No finished trials" in plots.edf(line([])).layout.annotations[0].text
    over = record(row(0, {"x": 99}, 1.0))
    assert "No trial counts yet." in plots.edf(over).layout.annotations[0].text


# -- time ---------------------------------------------------------------------------------


def bar(number: int, start: float, end: float | None, pid: int = 1, **fields: Any) -> TrialRow:
    fields = {"started": start, "finished": end, "owner": owner(pid)} | fields
    return row(number, {"x": 1}, None if end is None else float(number), **fields)


def test_each_worker_has_a_lane_and_running_bars_end_now() -> None:
    rows = [bar(0, 100, 160, 1), bar(1, 110, 130, 2), bar(2, 170, 200, 1), bar(3, 180, None, 2)]
    history = record(*rows)
    table = plots.timeline_table(history, now=220)
    assert table["worker"] == ["lab, process 1", "lab, process 2", "lab, process 1", "lab, process 2"]
    assert table["duration [s]"] == [60, 20, 30, 40]
    figure = plots.timeline(history, now=220)
    running = trace(figure, "running")
    assert list(running.base) == ["1970-01-01 00:03:00.000000"]
    assert list(running.x) == [40_000]
    assert running.marker.pattern.shape == "."
    assert figure.layout.yaxis.ticktext == ("lab, process 1", "lab, process 2")
    lanes = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    assert list(trace(figure, "best").y) == [lanes["lab, process 1"]]
    assert list(trace(figure, "other trials").y) == [lanes["lab, process 2"], lanes["lab, process 1"]]
    assert figure.layout.title.text == "4 trials in 2 min, 2 workers"
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first lane is on top


def test_trials_at_the_same_time_do_not_cover_each_other() -> None:
    rows = [bar(0, 0, 10), bar(1, 5, 15), bar(2, 10, 20), bar(3, 12, 13), bar(4, 0, 9, pid=2)]
    figure = plots.timeline(record(*rows), now=30)
    y = dict(zip(trace(figure, "other trials").customdata, trace(figure, "other trials").y, strict=True))
    y |= dict(zip(trace(figure, "best").customdata, trace(figure, "best").y, strict=True))
    assert y == {0: 0.5, 1: 1.5, 2: 0.5, 3: 2.5, 4: 4.0}  # three tracks, half a track between lanes


def test_states_have_a_colour_and_a_pattern_of_their_own() -> None:
    states = ["complete", "complete", "failed", "infeasible", "pruned", "rejected", "void"]
    rows = [bar(i, 10.0 * i, 10.0 * i + 5, state=state) for i, state in enumerate(states)]
    rows += [row(7, {"x": 1}, state="waiting"), row(8, {"x": 1}, 3.0)]
    figure = plots.timeline(record(*rows), now=99)
    looks = {one.name: (one.marker.color, one.marker.pattern.shape) for one in figure.data}
    assert set(looks) == {
        "best", "other trials", "failed", "over a limit", "ended early", "rejected or void",
    }  # fmt: skip
    assert len(set(looks.values())) == len(looks)
    assert list(trace(figure, "rejected or void").customdata) == [5, 6]
    assert "2 trials without a start or an end left out." in figure.layout.meta["caption"]


def test_timelines_of_little_or_nothing() -> None:
    assert "No trials yet" in plots.timeline(line([]), now=0).layout.annotations[0].text
    waiting = record(row(0, {"x": 1}, state="waiting"))
    assert "1 trial, none that has started" in plots.timeline(waiting, now=0).layout.annotations[0].text
    one = plots.timeline(record(bar(0, 5, 5)), now=9)  # over in no time
    assert list(trace(one, "best").base) == ["1970-01-01 00:00:05.000000"]
    added = record(row(0, {"x": 1}, 1.0, started=5.0, finished=5.0))
    assert plots.timeline(added, now=9).layout.yaxis.ticktext == ("added by hand",)
    clock = plots.timeline(record(bar(0, 5, None)), now=1)  # a clock that went back
    assert list(trace(clock, "running").x) == [0]


# -- all of them ----------------------------------------------------------------------------


def every(history: History) -> dict[str, Any]:
    return {
        "pareto": plots.pareto(history),
        "parallel": plots.parallel(history),
        "contour": plots.contour(history, "x", "c"),
        "edf": plots.edf({HOSTILE: history, "$x$": history}),
        "timeline": plots.timeline(history, now=10),
        "heat map": plots.heat_map(history),
        "trade-offs": plots.tradeoffs(history),
    }


def test_hostile_names_are_escaped_wherever_plotly_reads_markup() -> None:
    space = Space([Float("x", 0, 10, unit="<u>"), Categorical("c", [HOSTILE, "$x$", "%{y}"])])
    goals = [Objective(HOSTILE, unit="<b>", threshold=2.0), Objective("%{y} $x$", "maximize")]
    choices = [HOSTILE, "$x$", "%{y}"]
    rows = [
        row(i, {"x": i, "c": choices[i % 3]}, {HOSTILE: float(i), "%{y} $x$": float(i)}, started=1.0, finished=2.0)
        for i in range(4)
    ]
    rows += [
        row(4, {"x": 2, "c": "$x$"}, state="failed", error=HOSTILE, started=1.0, finished=3.0, owner=owner(1, HOSTILE))
    ]
    for name, figure in every(record(*rows, space=space, objectives=goals)).items():
        layout = figure.layout.to_plotly_json()
        layout.pop("meta")  # plain text, drawn by nobody
        data = [one.to_plotly_json() for one in figure.data]
        for one in data:
            one.pop("texttemplate", None)  # "%{text}" for numbers
            for dimension in one.get("dimensions", []):
                dimension.pop("ticktext", None)  # drawn as it stands
        text = (str(layout) + str(data)).replace("<br>", "")
        for markup in ("<img", "<b>", "<u>", "$x", "%{"):
            assert markup not in text, (name, markup)
        assert "&lt;img" in text, name


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (row(0, {"x": 1, "c": "a"}),),
        (row(0, {"x": 1, "c": "a"}, state="waiting"), row(1, {"x": 2, "c": "b"}, state="failed", error="e")),
        (row(0, {"x": 1, "c": "a"}, {"cost": 1.0, "yield": 2.0}),),
        (row(0, {"x": 1, "c": "a"}, {"cost": 1.0}, state="pruned"), row(1, {"x": 2, "c": "b"}, state="infeasible")),
        (
            row(0, {"x": 1, "c": "a"}, {"cost": None, "yield": 1.0}),
            row(1, {"x": 99, "c": "a"}, {"cost": 1, "yield": 1}),
        ),
    ],
    ids=["none", "running", "waiting, failed", "one", "pruned, infeasible", "NaN, outside"],
)
def test_no_record_leaves_a_figure_blank(rows: tuple[TrialRow, ...]) -> None:
    space = Space([Float("x", 0, 10), Categorical("c", ["a", "b"])])
    history = record(*rows, space=space, objectives=(COST, YIELD))
    for name, figure in every(history).items():
        assert figure.data or figure.layout.annotations, name
        assert figure.layout.meta["alt"], name
        assert figure.layout.title.text, name
        figure.to_json()


def test_trials_of_an_earlier_space_stand_where_they_can() -> None:
    study = wb.create_study(
        "s", wb.Space([wb.Float("x", 0, 1), wb.Categorical("c", ["a", "gone"])]), [wb.Objective("y")], seed=0
    )
    for x, c in ((0.25, "a"), (0.5, "gone"), (0.75, "a")):
        study.attach({"x": x, "c": c}, x)
    with pytest.warns(wb.WorkbenchWarning, match="1 of 3 trials"):
        study.change_space(wb.Space([wb.Float("x", 0, 2), wb.Categorical("c", ["a", "b"])]))
    history = study.history()
    figure = plots.contour(history, "x", "c")
    assert points(figure, "best") == [(0.25, 0)]
    assert points(figure, "other trials") == [(0.75, 0)]
    assert "1 of 3 trials left out: their c has no place" in figure.layout.meta["caption"]
    assert list(plots.parallel(history).data[0].customdata) == [0, 2]


@pytest.mark.slow
def test_a_huge_record_is_drawn_in_seconds() -> None:
    rng = np.random.default_rng(5)
    n = 100_000
    told = [dumps({"cost": a, "yield": b}) for a, b in rng.normal(size=(n, 2)).tolist()]
    rows = [bar(i, float(i), i + 1.5, pid=i % 4)._replace(outcomes=told[i]) for i in range(n)]
    history = record(*rows, objectives=(COST, YIELD))
    began = time.process_time()
    figures = [plots.pareto(history), plots.parallel(history), plots.edf(history), plots.timeline(history, now=1e6)]
    assert time.process_time() - began < 60
    front = set(history.numbers[fronts(history)])
    assert set(trace(figures[0], "front").customdata) == front
    assert front <= set(figures[1].data[0].customdata)
    assert all(len(one.x) <= 2_100 for one in figures[2].data)
    assert sum(len(one.x) for one in figures[3].data) == 2_000
    assert "the 2,000 that started last" in figures[3].layout.meta["caption"]
    assert max(max(one.customdata) for one in figures[3].data) == n - 1


# -- through a study --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def studied() -> wb.Study:
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("z", 0, 1), wb.Categorical("c", ["a", "b"])])
    study = wb.create_study("s", space, [wb.Objective("f"), wb.Objective("g", "maximize")], sampler="sobol", seed=0)
    for _ in range(8):
        trial = study.ask()
        study.tell(trial, {"f": (trial["x"] - 0.3) ** 2, "g": trial["x"] + trial["z"]})
    return study


def test_a_slice_of_one_of_several_objectives_shows_the_model_of_that_one(studied: wb.Study) -> None:
    model = studied.model()
    for name in ("f", "g"):
        figure = studied.plot.slice("x", name)
        drawn = trace(figure, "model")
        held = figure.layout.meta["caption"]
        assert held.startswith("Held: z = ")
        point = {"z": float(held.split("z = ")[1].split(",")[0]), "c": held.split("c = ")[1][0]}
        mean, _ = model.predict([{**point, "x": float(x)} for x in drawn.x])[name]
        assert np.asarray(drawn.y, dtype=float) == pytest.approx(mean, abs=2e-3)
    both = studied.plot.slice("x")
    assert "model" not in {one.name for one in both.data}
    assert sum(one.name == "front" for one in both.data) == 2
    with pytest.raises(InvalidValueError, match="got 'h'"):
        studied.plot.slice("x", "h")


def test_a_slice_of_the_only_objective_shows_its_model() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="sobol", seed=0)
    assert "No finished trials" in study.plot.slice("x").layout.annotations[0].text
    study.attach({"x": 0.5}, 1.0)
    assert "model" not in {one.name for one in study.plot.slice("x").data}  # one trial is too few for a model
    study.attach({"x": 0.25}, 2.0)
    assert {"model", "model ± 2 sd"} <= {one.name for one in study.plot.slice("x").data}


def test_every_figure_of_a_study(studied: wb.Study) -> None:
    plot = studied.plot
    assert points(plot.history("f"), "best so far")
    assert [one.type for one in plot.parallel().data] == ["parcoords"]
    assert points(plot.pareto(), "front")
    assert points(plot.pareto(["g", "f"]), "front")
    assert trace(plot.contour("x", "z"), "model").type == "contour"
    assert "g over" in plot.contour("x", "c", "g").layout.title.text
    assert [one.name for one in plot.edf("f", others=[studied]).data] == ["s", "s (2)"]
    assert "8 trials in" in plot.timeline().layout.title.text
    assert "1 worker" in plot.timeline().layout.title.text


def test_a_study_judged_by_people_has_figures_that_say_so() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1), wb.Float("z", 0, 1)]), [wb.Preference("taste")])
    study.ask(sampler="sobol")
    plot = study.plot
    for figure in (plot.history(), plot.parallel(), plot.pareto(), plot.edf(), plot.contour("x", "z"), plot.slice("x")):
        assert "judged by people" in figure.layout.annotations[0].text.replace("<br>", " ")
    assert plot.timeline().data


# -- hypervolume ----------------------------------------------------------------------


def area(front: list[tuple[float, float]], corner: tuple[float, float]) -> float:
    """Area that lies left of and above the corner and is reached by a minimised first, maximised second objective."""
    xs = sorted({corner[0], *(x for x, _ in front)})
    return sum(
        (right - left) * max((y - corner[1] for x, y in front if x <= left and y > corner[1]), default=0.0)
        for left, right in itertools.pairwise(xs)
        if right <= corner[0]
    )


@pytest.mark.slow
def test_the_volume_after_each_trial_is_the_area_under_the_stairs() -> None:
    rng = np.random.default_rng(3)
    values = [(float(a), float(b)) for a, b in rng.uniform(0, 10, (400, 2))]  # two blocks of trials
    corner = (9.0, 1.0)
    goals = (Objective("cost", unit="€", reference=corner[0]), Objective("yield", "maximize", reference=corner[1]))
    table = plots.hypervolume_table(two(values, goals=goals))
    after = [area(values[: i + 1], corner) for i in table["trial"]]
    assert table["hypervolume"] == pytest.approx(after, rel=1e-12)
    assert table["hypervolume"][-1] == pytest.approx(area(values, corner), rel=1e-12)
    grown = [area(values[: i + 1], corner) > area(values[:i], corner) + 1e-9 for i in range(len(values))]
    assert {i for i, grew in enumerate(grown) if grew} <= set(table["trial"])


def test_the_volume_stands_on_a_stated_or_an_inferred_reference_point_and_says_which() -> None:
    goals = (Objective("cost", unit="€", reference=10), YIELD)
    figure = plots.hypervolume(two([(1, 1), (2, 3), (9, 0)], goals=goals))
    # the front is (1, 1), (2, 3); of yield 0.1 * 2 below 1: 0.8
    assert "cost 10 €, yield 0.8 (a tenth beyond the front)" in figure.layout.meta["alt"]
    assert figure.data[0].y[-1] == pytest.approx(9 * 0.2 + 8 * 2.0)
    nothing = plots.hypervolume(two([(11, 1)], goals=goals))
    assert "nothing dominated yet" in nothing.layout.title.text
    assert plots.hypervolume_table(two([(11, 1)], goals=goals)) == {"trial": [0], "hypervolume": [0.0]}


def test_a_volume_is_refused_or_explained_where_there_is_none() -> None:
    with pytest.raises(InvalidValueError, match="two measured objectives"):
        plots.hypervolume(line([1.0]))
    assert "No finished trials yet" in plots.hypervolume(two([])).layout.meta["alt"]
    many = tuple(Objective(f"y{i}") for i in range(7))
    rows = [row(0, {"x": 1}, {goal.name: 1.0 for goal in many})]
    assert "more than 6 objectives" in plots.hypervolume(record(*rows, objectives=many)).layout.meta["alt"]


def test_what_was_added_by_hand_is_no_worker_of_the_timeline() -> None:
    s = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="sobol", seed=0)
    s.tell(s.ask(), 1.0)
    s.attach({"x": 0.3}, 2.0)
    assert ", 1 worker" in s.plot.timeline().layout.title.text
