"""What limits cost, what is left to gain inside them, which trial meets a wish; and the figure of it."""

from __future__ import annotations

import numpy as np
import pytest

import workbench as wb
from workbench import analysis, pareto, plots
from workbench.analysis import ModelFront, front
from workbench.pareto import attainment, non_dominated
from workbench.plots import theme
from workbench.plots.pareto import staircase
from workbench.plots.tradeoffs import _staircase, probabilities

SPACE = wb.Space([wb.Float("a", 0, 1), wb.Float("b", 0, 1)])
MANY = tuple(wb.Objective(name, "maximize") for name in "pqrs")
GOALS = (wb.Objective("f", unit="€"), wb.Objective("g", "maximize"), wb.Objective("h", target=1.0, tolerance=0.1))


def record(Y: np.ndarray, goals=GOALS, sampler="sobol") -> wb.Study:
    """A study with these values, in user units."""
    study = wb.create_study("s", SPACE, goals, sampler=sampler, seed=0)
    for params, y in zip(SPACE.decode(SPACE.sobol(len(Y), 0)), Y, strict=True):
        study.attach(params, dict(zip([goal.name for goal in goals], map(float, y), strict=True)))
    return study


def believed(mean: np.ndarray, sd: np.ndarray, feasible: np.ndarray | None = None) -> ModelFront:
    p = len(mean)
    return ModelFront(
        ("f", "g", "h"), np.arange(3), np.array([1.0, 0.6, 0.0]), tuple({"a": i / p} for i in range(p)), mean, sd,
        np.ones(p) if feasible is None else feasible, {},
    )  # fmt: skip


# -- inside limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5, 6])
def test_what_limits_cost_is_what_counting_says(seed):
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(40, 3))
    history = record(Y).history()
    U = np.stack([-Y[:, 0], Y[:, 1], -np.maximum(0, np.abs(Y[:, 2] - 1) - 0.1)], axis=1)
    on = np.flatnonzero(non_dominated(U))
    limits = {"f": float(np.quantile(Y[on, 0], 0.7)), "h": 1.0 + float(np.quantile(-U[on, 2], 0.9)) + 0.1}
    found = analysis.inside(history, limits)

    def holds(i: int, without: str = "") -> bool:
        held = {"f": Y[i, 0] <= limits["f"], "h": abs(Y[i, 2] - 1) <= limits["h"] - 1 + 1e-12}
        return all(ok for name, ok in held.items() if name != without)

    left = [i for i in on if holds(i)]
    assert found.front.tolist() == on.tolist()
    assert found.left.tolist() == left
    for j, cost in enumerate(found.costs):
        assert U[cost.before, j] == U[on, j].max()
        assert cost.values[0] == Y[cost.before, j]
        if left:
            assert U[cost.now, j] == U[left, j].max()
            assert cost.values[1] == Y[cost.now, j]
        else:
            assert cost.now is None
    assert left
    span = np.ptp(U[on], axis=0)
    best, gains = U[left].max(axis=0), {}
    for j, name in ((0, "f"), (2, "h")):
        back = [i for i in on if holds(i, name) and not holds(i)]
        if back:
            first = max(back, key=lambda i, j=j: U[i, j])
            others = [((U[first, k] - best[k]) / span[k], k) for k in range(3) if k != j]
            gains[name] = (*max(others), first)
    gains = {name: gain for name, gain in gains.items() if gain[0] > 0}
    if not gains:
        assert found.dearest is None
        return
    name = max(gains, key=gains.__getitem__)
    _, k, first = gains[name]
    assert (found.dearest.objective, found.dearest.trial) == (name, first)
    assert found.dearest.gained == GOALS[k].name
    assert (found.dearest.value, found.dearest.best) == (Y[first, "fgh".index(name)], Y[first, k])


def test_limits_that_nothing_holds_say_which_one_to_ease():
    history = record(np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 1.0], [2.0, 2.0, 1.0]])).history()
    found = analysis.inside(history, {"f": 0.5, "g": 0.9})
    assert found.left.size == 0
    assert [cost.now for cost in found.costs] == [None] * 3
    # run 1 costs 1 instead of 0.5, a quarter of the range; run 0 lacks 0.9 of g, nearly half of it
    assert (found.dearest.objective, found.dearest.value, found.dearest.trial) == ("f", 1.0, 1)
    assert found.dearest.gained is None
    assert analysis.inside(history, {}).left.tolist() == [0, 1, 2]
    with pytest.raises(wb.InvalidValueError, match="got \\['x'\\]"):
        analysis.inside(history, {"x": 1.0})
    with pytest.raises(wb.TrialStateError, match="a trial that counts"):
        analysis.inside(record(np.empty((0, 3))).history(), {})


def test_prospect_is_the_probability_that_draws_give():
    Y = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0], [3.0, 2.5, 1.3]])
    history = record(Y).history()
    rng = np.random.default_rng(4)
    mean = np.array([[1.5, 2.4, 1.05], [0.9, 0.7, 1.0], [2.6, 2.9, 2.0]])
    sd = np.full((3, 3), 0.3)
    feasible = np.array([0.9, 1.0, 1.0])
    limits = {"f": 2.2, "h": 1.25}
    found = analysis.prospect(history, believed(mean, sd, feasible), limits)
    draws = mean + sd * rng.standard_normal((400_000, 3, 3))
    holds = (draws[..., 0] <= 2.2) & (np.abs(draws[..., 2] - 1) <= 0.25)
    held = holds.mean(axis=0) * feasible
    # of the points that hold the limits rather than not, the first gains 0.4 of g over run 1, the second 0.1 of f
    assert found.params == {"a": 0.0}
    assert (found.objective, found.mean, found.sd, found.best) == ("g", 2.4, 0.3, (1, 2.0))
    tolerance = 4 * 0.5 / np.sqrt(400_000)
    assert found.held == pytest.approx(held[0], abs=tolerance)
    better = (holds[:, 0] & (draws[:, 0, 1] > 2.0)).mean() * 0.9
    assert found.better == pytest.approx(better, abs=tolerance)
    nothing = analysis.prospect(history, believed(mean, sd), {"g": 2.8, "f": 2.0})
    assert nothing.best is None
    chance = ((draws[..., 1] >= 2.8) & (draws[..., 0] <= 2.0)).mean(axis=0)
    assert nothing.params == {"a": float(chance.argmax() / 3)}
    assert nothing.held == nothing.better == pytest.approx(chance.max(), abs=tolerance)


def test_choices_by_knee_aspiration_and_wish():
    Y = np.array([[0.0, 0.0], [1.0, 6.0], [3.0, 8.0], [10.0, 10.0], [11.0, 1.0]])  # the last is beaten
    history = record(Y, GOALS[:2]).history()
    # shares: (1, 0), (0.9, 0.6), (0.7, 0.8), (0, 1); their sums 1, 1.5, 1.5, 1: run 1 is first of equals
    assert analysis.compromise(history) in (1, 2)
    assert analysis.closest(history, {"g": 10.0}) == 3
    assert analysis.closest(history, {"f": 3.0, "g": 8.0}) == 2
    aims, limits = analysis.aspiration(history, 2, {"g": "improve", "f": "relax"})
    assert aims == {"g": 10.0, "f": pytest.approx((3 + 10) / 2)}  # the best on the front; halfway to the worst
    assert limits == {"g": 8.0, "f": pytest.approx(6.5)}
    assert analysis.aspiration(history, 2, {"g": "improve"})[1] == {"g": 8.0}
    assert analysis.closest(history, aims) == 2
    with pytest.raises(wb.InvalidValueError, match="one objective to 'improve'"):
        analysis.aspiration(history, 2, {"g": "improve", "f": "keep"})


def test_of_many_trials_the_outer_ones_are_looked_at(monkeypatch):
    rng = np.random.default_rng(0)
    study = wb.create_study("s", SPACE, [wb.Objective("f", noise=0.05), wb.Objective("g", "maximize", noise=0.05)],
                            sampler="gp", seed=0)  # fmt: skip
    for p in SPACE.decode(SPACE.sobol(60, 0)):
        off = (p["b"] - 0.5) ** 2
        study.attach(p, {"f": p["a"] ** 2 + off + 0.05 * rng.normal(),
                         "g": -((1 - p["a"]) ** 2) - off + 0.05 * rng.normal()})  # fmt: skip
    model = study.model()
    whole = front.pareto_front(model.history, model.surrogate)
    monkeypatch.setattr(front, "_MOST", 25)
    some = front.pareto_front(model.history, model.surrogate)
    assert 25 <= len(some.trials) < 60
    assert set(model.history.numbers[model.history.front].tolist()) <= set(some.trials.tolist())
    kept = np.isin(whole.trials, some.trials)
    assert whole.probability[~kept].max() < 0.05
    # two estimates from 256 draws: 4 sd of their difference
    assert np.abs(whole.probability[kept] - some.probability).max() < 4 * np.sqrt(2) * 0.5 / 16 + 0.05


# -- the figure --------------------------------------------------------------------------------------


def test_attained_in_two_objectives_is_the_shadow_of_what_is_attained_in_three():
    rng = np.random.default_rng(3)
    runs = [rng.normal(size=(12, 3)) for _ in range(15)]
    (surface,) = attainment([run[non_dominated(run)] for run in runs], (0.4,))
    (flat,) = attainment([run[:, :2][non_dominated(run[:, :2])] for run in runs], (0.4,))
    assert staircase(surface[:, :2]) == pytest.approx(staircase(flat))


def test_the_pairs_show_certainty_limits_picks_and_what_comes_next():
    Y = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0], [3.0, 2.5, 1.3], [3.5, 0.5, 2.0]])
    study = record(Y)
    study.ask()
    mean = np.zeros((1, 3))
    said = believed(mean, mean + 1.0)
    figure = plots.tradeoffs(
        study.history(), front=said, limits={"f": 2.5, "h": 1.4}, marked={1: "A"}, noise={"f": 0.2, "g": 0.1}
    )
    fronts = [trace for trace in figure.data if trace.name.startswith("on the front")]
    assert len(fronts) == 3
    assert [trace.showlegend for trace in fronts] == [True, False, False]
    for trace, (x, y) in zip(fronts, ((0, 1), (0, 2), (1, 2)), strict=True):
        assert list(trace.ids) == ["0", "1", "2"]
        assert trace.x.tolist() == Y[:3, x].tolist()
        assert trace.y.tolist() == Y[:3, y].tolist()
        assert np.asarray(trace.marker.opacity) == pytest.approx([1.0, 0.25 + 0.75 * 0.6, 0.25])
        assert trace.error_x.array.tolist() == [[0.2] * 3, [0.2] * 3, [0.1] * 3][fronts.index(trace)]
        assert "truly on the front: 60 %" in trace.hovertext[1]
    rings = [trace for trace in figure.data if trace.name == "picked"]
    assert [(trace.x[0], trace.y[0], trace.text[0]) for trace in rings] == [(2, 2, "A"), (2, 1, "A"), (2, 1, "A")]
    lines = {(shape.x0, shape.y0) for shape in figure.layout.shapes if shape.type == "line"}
    assert (2.5, 0) in lines  # f at most 2.5
    assert sorted({y for x, y in lines if x == 0}) == pytest.approx([0.6, 1.4])  # h no further from its target
    shaded = [s for s in figure.layout.shapes if s.type == "rect" and s.fillcolor == theme.SHADE]
    assert {s.x0 for s in shaded if s.yref.endswith("domain")} == {2.5}
    assert figure.layout.meta["title"] == "3 trials on the front, 1 of them with at least 80 % certainty"
    table = plots.tradeoffs_table(study.history(), front=said)
    assert table["probability of the front"] == [1.0, 0.6, 0.0, None, None]  # newer than the front: not known
    assert list(table)[:4] == ["trial", "state", "on the front", "probability of the front"]
    upright = plots.tradeoffs(study.history(), ["g", "f"], across=False)
    assert len([trace for trace in upright.data if trace.name.startswith("on the front")]) == 1
    with pytest.raises(wb.InvalidValueError, match="two or three different"):
        plots.tradeoffs(study.history(), ["g"])


def test_the_band_runs_through_the_corners_of_the_models_front():
    goals = GOALS[:2]
    history = record(np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 3.0]]), goals).history()
    corners = {
        level: np.array([[1.0, 1.0 + up], [2.0, 2.0 + up]]) for level, up in ((0.1, 0.5), (0.5, 0.2), (0.9, 0.0))
    }
    said = ModelFront(("f", "g"), np.array([0]), np.array([1.0]), (), np.empty((0, 2)), np.empty((0, 2)), np.empty(0),
                      corners)  # fmt: skip
    figure = plots.tradeoffs(history, front=said)
    band, line = (trace for trace in figure.data if trace.legendgroup == "band")
    low, high = figure.layout.xaxis.range[1], figure.layout.yaxis.range[0]  # the worst of both
    # f is minimised: from the worst f at the best g, down in steps to the best f at the worst g
    assert list(zip(line.x, line.y, strict=True)) == [(low, 2.2), (2.0, 2.2), (2.0, 1.2), (1.0, 1.2), (1.0, high)]
    assert len(band.x) == 10
    assert np.isnan(probabilities(history, None)).all()
    assert pareto.non_dominated(history.utility(history.Y)).tolist() == history.front.tolist()


# Of trials 0 to 2, the front, f runs from 1 to 3 (minimised), g from 1 to 2.5, and h is off its band by 0 to 0.2.
NORMALISED = np.array([[1.0, 0.0, 1.0], [0.5, 2 / 3, 1.0], [0.0, 1.0, 0.0], [-0.25, -1 / 3, -3.5]])
UNSCALED = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0], [3.0, 2.5, 1.3], [3.5, 0.5, 2.0]])


def test_normalised_pairs_run_from_the_worst_to_the_best_of_the_front():
    study = record(UNSCALED)
    study.set_reference({"f": 3.2, "g": 0.7})
    history = study.history()
    figure = plots.tradeoffs(
        history, limits={"f": 2.5, "h": 1.4}, marked={1: "A"}, noise={"f": 0.2, "g": 0.3, "h": 0.1}, normalise=True
    )
    ahead = [trace for trace in figure.data if trace.name.startswith("on the front")]
    for trace, (x, y) in zip(ahead, ((0, 1), (0, 2), (1, 2)), strict=True):
        assert trace.x == pytest.approx(NORMALISED[:3, x])
        assert trace.y == pytest.approx(NORMALISED[:3, y])
        sds = [0.2 / 2.0, 0.3 / 1.5, 0.1 / 0.2]
        assert trace.error_x.array == pytest.approx([sds[x]] * 3)
        assert trace.error_y.array == pytest.approx([sds[y]] * 3)
        assert "f: 1" in trace.hovertext[0]  # labels keep the units
    beaten = [trace for trace in figure.data if trace.name == "beaten"]
    assert [(trace.x[0], trace.y[0]) for trace in beaten] == [
        pytest.approx(NORMALISED[3, list(pair)]) for pair in ((0, 1), (0, 2), (1, 2))
    ]
    edges = {round(v, 9) for s in figure.layout.shapes if s.type == "line" for v in (s.x0, s.y0)} - {0.0, 1.0}
    assert edges == {0.25, -0.5}  # f at most 2.5, and h at most 0.4 off its target, 0.3 off its band
    shaded = [s for s in figure.layout.shapes if s.type == "rect" and s.yref.endswith("domain")]
    assert {round(s.x1, 9) for s in shaded} == {0.25}  # what is worse is left of it, although f is minimised
    crosses = [trace for trace in figure.data if trace.name == "reference point"]
    assert (crosses[0].x[0], crosses[0].y[0]) == pytest.approx((-0.1, -0.2))
    assert figure.layout.xaxis.title.text == "f [0 to 1] ↑"
    assert "From 0, the worst on the front, to 1, the best." in figure.layout.meta["caption"]
    rings = [trace for trace in figure.data if trace.name == "picked"]
    assert (rings[0].x[0], rings[0].y[0]) == pytest.approx((0.5, 2 / 3))


def test_normalised_figures_of_two_three_and_four_objectives_have_the_same_places():
    history = record(UNSCALED).history()
    cube = plots.pareto(history, normalise=True)
    places = {
        number: place
        for trace in cube.data
        for number, *place in zip(trace.customdata.tolist(), trace.x, trace.y, trace.z, strict=True)
    }
    assert [places[i] for i in range(4)] == [pytest.approx(line) for line in NORMALISED]
    assert cube.layout.scene.zaxis.title.text == "h [0 to 1] ↑"
    plane = plots.pareto(history, ["f", "g"], normalise=True)
    line = next(trace for trace in plane.data if trace.name == "attained so far")
    # from the worst f on the figure at the best g, down in steps to the best f at the worst g
    corners = [(-0.25, 1), (0, 1), (0, 2 / 3), (0.5, 2 / 3), (0.5, 0), (1, 0), (1, -1 / 3)]
    assert np.stack([line.x, line.y], axis=1) == pytest.approx(np.array(corners))
    four = record(np.column_stack([UNSCALED[:3], [5.0, 6.0, 9.0]]), (*GOALS, wb.Objective("i"))).history()
    matrix = plots.pareto(four, normalise=True)
    (trace,) = matrix.data
    assert np.stack([one["values"] for one in trace.dimensions], axis=1) == pytest.approx(
        np.column_stack([NORMALISED[:3], [1.0, 0.75, 0.0]])
    )


def test_without_a_front_there_is_no_range_to_normalise_by():
    study = wb.create_study("s", SPACE, GOALS[:2], [wb.Constraint("c", upper=0.0)], sampler="sobol", seed=0)
    study.tell(study.ask(), {"f": 1.0, "g": 1.0, "c": 1.0})
    for draw in (plots.tradeoffs, plots.pareto):
        figure = draw(study.history(), normalise=True)
        assert not figure.data
        assert "no range to normalise by" in figure.layout.meta["alt"]
    one = record(np.array([[1.0, 2.0]]), GOALS[:2]).history()  # worst and best are one: it stands at the best
    (trace,) = (t for t in plots.tradeoffs(one, normalise=True).data if t.name.startswith("on the front"))
    assert (trace.x[0], trace.y[0]) == (1.0, 1.0)


def test_the_band_is_normalised_with_the_trials():
    history = record(np.array([[1.0, 1.0], [2.0, 2.0], [4.0, 3.0]]), GOALS[:2]).history()
    corners = {
        level: np.array([[1.0, 1.0 + up], [2.5, 2.0 + up]]) for level, up in ((0.1, 0.5), (0.5, 0.2), (0.9, 0.0))
    }
    said = ModelFront(("f", "g"), np.array([0]), np.array([1.0]), (), np.empty((0, 2)), np.empty((0, 2)), np.empty(0),
                      corners)  # fmt: skip
    figure = plots.tradeoffs(history, front=said, normalise=True)
    line = next(trace for trace in figure.data if trace.name == "front the model expects")
    left, low = figure.layout.xaxis.range[0], figure.layout.yaxis.range[0]  # the worst of both, now both low
    found = np.stack([line.x, line.y], axis=1)
    assert found == pytest.approx(np.array([(left, 0.6), (0.5, 0.6), (0.5, 0.1), (1.0, 0.1), (1.0, low)]))


def test_a_band_with_more_corners_than_pixels_is_drawn_with_fewer_and_hardly_moves():
    t = np.sort(np.random.default_rng(0).uniform(size=4_000))
    arc = np.stack([np.sin(t * np.pi / 2), np.cos(t * np.pi / 2)], axis=1)
    drawn = _staircase(arc)
    assert len(staircase(arc)) == 2 * 4_000 - 1
    assert 100 < len(drawn) < 2 * 300
    half = np.ptp(arc, axis=0) / 600 + 1e-12  # places are rounded to the nearest of 300 steps
    for reached, by in ((arc, drawn), (drawn, arc)):
        assert (by[:, None] >= reached - half).all(axis=2).any(axis=0).all()
    assert (_staircase(arc[::100]) == staircase(arc[::100])).all()  # few stay as they are


def test_parts_are_left_out_of_the_pairs_by_name():
    study = record(np.array([[1.0, 1.0], [2.0, 3.0], [1.5, 0.5]]), GOALS[:2])
    study.ask(sampler="sobol")
    study.set_reference({"f": 1.9, "g": 0.6})
    history = study.history()
    seen = {trace.name for trace in plots.tradeoffs(history).data}
    assert {"beaten", "reference point"} <= seen
    left = plots.tradeoffs(history, without=["beaten", "reference point"])
    assert {trace.name for trace in left.data} == seen - {"beaten", "reference point"}
    with pytest.raises(wb.InvalidValueError, match="parts to leave out"):
        plots.tradeoffs(history, without=["grid"])


def test_of_more_marks_than_browsers_draw_quickly_there_are_no_bars(monkeypatch):
    """The limit is on all views together: five trials in three views are fifteen marks."""
    history = record(np.random.default_rng(0).normal(size=(5, 3)), MANY[:3]).history()
    assert any("bars" in trace.name for trace in plots.tradeoffs(history).data)
    monkeypatch.setattr(theme, "SVG_LIMIT", 14)
    figure = plots.tradeoffs(history)
    ahead = [trace for trace in figure.data if trace.name.startswith("on the front")]
    assert {(trace.type, trace.name) for trace in ahead} == {("scattergl", "on the front (paler: less certain)")}


@pytest.mark.slow
def test_of_a_huge_record_the_figure_has_the_whole_front_and_is_small():
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(5_000, 2))
    Y = -np.abs(direction / np.linalg.norm(direction, axis=1, keepdims=True)) * rng.uniform(size=(5_000, 1)) ** 0.5
    history = record(Y * [1, -1], (wb.Objective("f 5 %{x}"), wb.Objective("g", "maximize", unit="%"))).history()
    figure = plots.tradeoffs(history, most=1_500)
    by_name = {trace.name: trace for trace in figure.data}
    assert set(map(int, by_name["on the front (paler: less certain, bars: ± 1 sd)"].ids)) == set(
        history.numbers[history.front].tolist()
    )
    beaten = by_name["beaten"]
    assert 1_300 <= len(beaten.ids) <= 1_600
    assert beaten.hovertext is None
    assert beaten.hovertemplate.startswith("Trial %{customdata}<br>f 5 &#37;{x}: %{x:.4~g}<br>g: %{y:.4~g} &#37;")
    assert "of 5,000 trials" in figure.layout.meta["caption"]
    assert len(figure.to_json()) < 250_000


# -- many objectives -------------------------------------------------------------------------------


def test_the_heat_map_shows_shares_of_the_front_with_like_trials_together():
    apart = np.array([[1.0, 0, 0, 0], [0.0, 0, 1, 1], [0.9, 0.1, 0, 0], [0.1, 0, 0.9, 1.1]])
    study = record(np.vstack([apart, [[-1.0, -1, -1, -1]]]), MANY)
    figure = study.plot.heat_map()
    heat = figure.data[0]
    order = [line[0] for line in heat.customdata]
    assert sorted(order) == [0, 1, 2, 3]  # the last one is beaten
    assert {tuple(sorted(order[:2])), tuple(sorted(order[2:]))} == {(0, 2), (1, 3)}
    best = apart.max(axis=0)
    assert np.allclose(heat.z, (apart / best)[order])
    assert plots.heat_map_table(study.history())["trial"] == order
    assert "4 trials on the front of 4 objectives" in figure.layout.meta["alt"]


def test_of_a_large_front_the_heat_map_draws_those_that_cover_it():
    rng = np.random.default_rng(1)
    Y = np.abs(rng.normal(size=(90, 4)))
    Y /= np.linalg.norm(Y, axis=1, keepdims=True)
    history = record(Y, MANY).history()
    heat = plots.heat_map(history, most=20).data[0]
    drawn = [line[0] for line in heat.customdata]
    assert len(drawn) == 20
    assert set(Y.argmax(axis=0).tolist()) <= set(drawn)
    gap = np.linalg.norm(Y[:, None] - Y[drawn], axis=2).min(axis=1).max()
    others = [np.linalg.norm(Y[:, None] - Y[rng.permutation(90)[:20]], axis=2).min(axis=1).max() for _ in range(20)]
    assert gap < min(others)


def test_petals_are_shares_from_the_worst_to_the_best_of_the_front():
    Y = np.array([[0.0, 3.0, 10.0], [4.0, 1.0, 20.0], [2.0, 2.0, 40.0], [0.0, 0.5, 50.0]])
    study = record(Y, (*MANY[:2], wb.Objective("cost")))
    figure = study.plot.petals([study.trials[2], 0])
    assert [leaf.r.tolist() for leaf in figure.data] == [[0.5, 0.5, 0.0], [0.0, 1.0, 1.0]]
    assert "trial 2 50%, 50%, 0%" in figure.layout.meta["alt"]
    table = plots.petals_table(study.history(), [2, 0])
    assert list(table.values()) == [[2, 0], [2.0, 0.0], [2.0, 3.0], [40.0, 10.0]]
    assert list(table)[3] == "cost (minimize, lower is better)"
    assert study.plot.petals([3]).data[0].r.tolist() == [0.0, 0.0, 0.0]  # beaten: within the range of the front
    with pytest.raises(wb.InvalidValueError, match="one to 4 complete trials"):
        plots.petals(study.history(), [0, 1, 2, 3, 0])
    assert not plots.petals(record(Y[:, :2], MANY[:2]).history(), [0]).data


def test_the_rows_that_make_up_a_front():
    """Shares by hand: of a staircase from (0, 0), and beyond five objectives whatever the units."""
    Y = np.array([[1.0, 4.0], [2.0, 3.9], [3.0, 1.0], [4.0, 0.5]])
    shares = [1 * 0.1, 1 * 2.9, 1 * 0.5, 1 * 0.5]
    assert pareto.hypervolume_contributions(Y, np.zeros(2)) == pytest.approx(shares)
    assert pareto.telling(Y, np.zeros(2), 2).tolist() == [1, 2]
    assert pareto.telling(Y, np.zeros(2), 9).tolist() == [1, 2, 3, 0]
    many = np.random.default_rng(0).dirichlet(np.ones(6), 40)
    assert pareto.telling(many, np.zeros(6), 12).tolist() == pareto.spaced(many, 12).tolist()
    units = 2.0 ** np.array([0, 10, -10, 3, 1, -5])
    assert pareto.telling(many * units, np.zeros(6), 12).tolist() == pareto.spaced(many, 12).tolist()


def test_spaced_rows_are_the_extremes_and_then_the_furthest():
    Y = np.array([[0.0, 1.0], [0.1, 0.9], [0.5, 0.5], [0.8, 0.2], [1.0, 0.0]])
    assert pareto.spaced(Y, 2).tolist() == [0, 4]
    assert pareto.spaced(Y, 3).tolist() == [0, 2, 4]
    assert pareto.spaced(Y * [1000.0, 1e-3], 3).tolist() == [0, 2, 4]
    assert pareto.spaced(Y, 50).tolist() == [0, 1, 2, 3, 4]
