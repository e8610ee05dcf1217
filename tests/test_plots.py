"""Figures: what their traces hold, in which mark, and that user text stays text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pytest

from workbench import plots
from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.problem import Constraint, Objective, Preference
from workbench.space import Bool, Categorical, Float, Int, Permutation, Space
from workbench.trial import History, TrialRow, dumps

HOSTILE = "<img src=x onerror=alert(1)>"


def row(number: int, params: Mapping[str, Any], values: Any = None, **fields: Any) -> TrialRow:
    blank: dict[str, Any] = dict.fromkeys(TrialRow._fields)
    state = fields.pop("state", "running" if values is None else "complete")
    structured = {name: dumps(fields.pop(name)) for name in ("meta", "predicted", "actual", "sem") if name in fields}
    told = {"y": values} if isinstance(values, int | float) else values
    text = orjson.dumps(dict(params)).decode()
    known = {"number": number, "state": state, "params": text, "outcomes": dumps(told), "origin": "asked"}
    return TrialRow(
        **blank | known | {"space_version": 0, "created": 0.0, "attempt": 1, "revision": 1} | structured | fields
    )


SPACE = Space([Float("x", 0, 10, unit="mm")])
Y = Objective("y")


def record(*rows: TrialRow, space: Space = SPACE, objectives: Any = (Y,), constraints: Any = ()) -> History:
    return History.of(space, list(objectives), list(constraints), list(rows))


def line(values: list[Any], **options: Any) -> History:
    return record(*(row(i, {"x": i}, value) for i, value in enumerate(values)), **options)


def trace(figure: Any, name: str) -> Any:
    found = [one for one in figure.data if one.name == name]
    assert len(found) == 1, [one.name for one in figure.data]
    return found[0]


def points(figure: Any, name: str) -> list[tuple[float, float]]:
    one = trace(figure, name)
    return [(float(x), float(y)) for x, y in zip(one.x, one.y, strict=True)]


# -- history --------------------------------------------------------------------------


def test_history_draws_every_value_and_the_steps_of_the_best() -> None:
    figure = plots.history(line([5.0, 7.0, 3.0, 4.0, 1.0, 2.0]))
    assert points(figure, "other trials") == [(0, 5), (1, 7), (2, 3), (3, 4), (5, 2)]
    assert points(figure, "best") == [(4, 1)]
    assert trace(figure, "best").marker.color == "#0072B2"
    assert trace(figure, "best").marker.symbol == "circle"
    assert points(figure, "best so far") == [(0, 5), (2, 3), (4, 1), (5, 1)]
    assert trace(figure, "best so far").line.shape == "hv"
    assert figure.layout.yaxis.title.text == "y (minimize, lower is better)"
    assert "best so far: y 1 at trial 4" in figure.layout.meta["alt"].lower()


def test_history_of_a_maximised_objective_keeps_the_users_sign() -> None:
    figure = plots.history(line([1.0, 3.0, 2.0], objectives=[Objective("y", "maximize", unit="%")]))
    assert points(figure, "best so far") == [(0, 1), (1, 3), (2, 3)]
    assert figure.layout.yaxis.title.text == "y [%] (maximize, higher is better)"


def test_the_best_of_a_target_is_the_closest_to_it() -> None:
    figure = plots.history(line([9.0, 6.0, 7.4, 7.25], objectives=[Objective("y", target=7.2, tolerance=0.1)]))
    # 7.25 is inside the tolerance; 7.4 was closer than 6.0, and 6.0 closer than 9.0
    assert points(figure, "best so far") == [(0, 9), (1, 6), (2, 7.4), (3, 7.25)]
    band = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [(shape.y0, shape.y1) for shape in band] == [(pytest.approx(7.1), pytest.approx(7.3))]


def test_a_threshold_is_drawn_in_every_row_even_before_a_trial_counts() -> None:
    goals = [Objective("a", threshold=3.0), Objective("b", threshold=4.0)]
    over = record(row(0, {"x": 99}, {"a": 1, "b": 2}), objectives=goals)
    figure = plots.history(over)
    assert [(shape.y0, shape.yref) for shape in figure.layout.shapes] == [(3.0, "y"), (4.0, "y3")]
    assert figure.layout.title.text == "No trial counts yet"


def test_trials_over_a_limit_are_crosses_and_never_best() -> None:
    rows = [row(i, {"x": i}, {"y": y, "heat": heat}) for i, (y, heat) in enumerate([(5, 1), (1, 9), (4, 2)])]
    figure = plots.history(record(*rows, constraints=[Constraint("heat", upper=8)]))
    assert points(figure, "over a limit") == [(1, 1)]
    assert trace(figure, "over a limit").marker.symbol == "x-thin-open"
    assert trace(figure, "over a limit").marker.color == "#D55E00"
    assert points(figure, "best so far") == [(0, 5), (2, 4)]
    assert "1 over a limit" in figure.layout.meta["caption"]


def test_failed_and_running_trials_stand_at_the_foot() -> None:
    rows = [
        row(0, {"x": 1}, 2.0),
        row(1, {"x": 2}, None, state="failed", error="diverged"),
        row(2, {"x": 3}, None, state="infeasible"),
        row(3, {"x": 4}),
        row(4, {"x": 5}, predicted={"y": {"mean": 1.5, "sd": 0.2}}),
    ]
    figure = plots.history(record(*rows))
    for name, number in (("failed", 1), ("infeasible, no value", 2), ("running", 3)):
        assert list(trace(figure, name).x) == [number]
        assert trace(figure, name).yaxis == "y2"  # the hidden axis from 0 to 1
        assert 0 < trace(figure, name).y[0] < 0.1
    assert figure.layout.yaxis2.range == (0, 1)
    assert figure.layout.yaxis2.overlaying == "y"
    assert "diverged" in trace(figure, "failed").hovertext[0]
    assert points(figure, "running, as predicted") == [(4, 1.5)]
    assert trace(figure, "running").marker.symbol == "diamond-open"
    assert trace(figure, "running, as predicted").yaxis == "y"


def test_points_outside_the_space_are_drawn_and_do_not_count() -> None:
    figure = plots.history(record(row(0, {"x": 5}, 2.0), row(1, {"x": 50}, 1.0)))
    assert points(figure, "not counted") == [(1, 1)]
    assert points(figure, "best so far") == [(0, 2), (1, 2)]


def test_the_initial_design_is_shaded() -> None:
    rows = [row(i, {"x": i}, float(i), meta={"start": i in (0, 1, 4)}) for i in range(6)]
    figure = plots.history(record(*rows))
    shaded = [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.fillcolor == theme.SHADE]
    assert shaded == [(-0.5, 1.5), (3.5, 4.5)]
    assert "Shaded: 3 trials of the start" in figure.layout.meta["caption"]


def test_several_objectives_have_a_row_each_or_the_one_asked_for() -> None:
    goals = [Objective("a"), Objective("b", "maximize")]
    rows = [row(i, {"x": i}, {"a": a, "b": b}) for i, (a, b) in enumerate([(1, 1), (2, 2), (3, 1)])]
    history = record(*rows, objectives=goals)
    figure = plots.history(history)
    fronts = [one for one in figure.data if one.name == "front"]
    assert [list(one.y) for one in fronts] == [[1, 2], [1, 2]]  # (3, 1) is worse than (1, 1)
    assert [one.showlegend for one in fronts] == [True, False]
    assert figure.layout.yaxis.title.text.startswith("a ")
    assert figure.layout.yaxis3.title.text.startswith("b ")
    alone = plots.history(history, "b")
    assert points(alone, "best so far") == [(0, 1), (1, 2), (2, 2)]
    with pytest.raises(InvalidValueError, match="a, b"):
        plots.history(history, "c")


def test_a_logarithmic_axis_is_refused_where_it_cannot_be() -> None:
    assert plots.history(line([1.0, 10.0]), log=True).layout.yaxis.type == "log"
    with pytest.raises(InvalidValueError, match="'y' has 0"):
        plots.history(line([1.0, 0.0]), log=True)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((), "No finished trials yet. Ask for a trial"),
        ((row(0, {"x": 1}),), "No finished trials yet. 1 trial under way."),
        ((row(0, {"x": 1}, state="failed"),), "1 finished trial, none with a value. 1 of them failed"),
    ],
)
def test_a_record_without_values_is_said_and_not_blank(rows: tuple[TrialRow, ...], words: str) -> None:
    for figure in (plots.history(record(*rows)), plots.slice(record(*rows), "x")):
        text = " ".join(note.text.replace("<br>", " ") for note in figure.layout.annotations)
        assert text.startswith(words)
        assert figure.layout.meta["alt"].startswith(words)


def test_a_study_judged_by_people_says_so() -> None:
    figure = plots.history(record(row(0, {"x": 1}, {}), objectives=[Preference("taste")]))
    assert "judged by people" in figure.layout.annotations[0].text


def test_the_table_holds_what_the_figure_shows() -> None:
    table = plots.history_table(line([5.0, 7.0, 3.0]))
    assert table["trial"] == [0, 1, 2]
    assert table["state"] == ["complete"] * 3
    assert table["y (minimize, lower is better)"] == [5, 7, 3]
    assert table["best so far: y (minimize, lower is better)"] == [5, 5, 3]


def test_a_huge_record_is_thinned_and_keeps_every_best() -> None:
    n = 30_000
    values = np.random.default_rng(0).normal(size=n).tolist()
    template = row(0, {"x": 1}, 1.0)
    history = record(*(template._replace(number=i, outcomes=f'{{"y":{y}}}') for i, y in enumerate(values)))
    figure = plots.history(history)
    best = np.minimum.accumulate(values)
    changes = [0, *(np.flatnonzero(np.diff(best)) + 1)]
    assert points(figure, "best so far") == [(i, best[i]) for i in [*changes, n - 1]]
    assert trace(figure, "other trials").type == "scattergl"
    drawn = {int(x) for one in figure.data if one.mode == "markers" for x in one.x}
    assert set(changes) <= drawn
    assert len(drawn) < theme.POINT_CAP + len(changes) + 1
    assert f"Drawn: {len(drawn):,} of 30,000 trials" in figure.layout.meta["caption"]


def test_thinning_starts_only_past_what_was_asked_for() -> None:
    history = line([5.0, 4.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0])
    assert "Drawn" not in plots.history(history, most=8).layout.meta["caption"]
    figure = plots.history(history, most=2)
    assert [x for x, _ in points(figure, "other trials") + points(figure, "best")] == [0, 7, 1]
    assert "Drawn: 3 of 8 trials" in figure.layout.meta["caption"]
    assert "Drawn: 3 of 8 trials" in plots.slice(history, "x", most=2).layout.meta["caption"]


# -- slice ----------------------------------------------------------------------------


def test_slice_draws_values_over_the_parameter() -> None:
    history = record(row(0, {"x": 2.5}, 5.0), row(1, {"x": 7.5}, 3.0), row(2, {"x": 4.0}, None, state="failed"))
    figure = plots.slice(history, "x")
    assert points(figure, "other trials") == [(2.5, 5)]
    assert points(figure, "best") == [(7.5, 3)]
    assert list(trace(figure, "failed").x) == [4]
    assert list(trace(figure, "tried here").x) == [2.5, 4, 7.5]
    assert figure.layout.xaxis.title.text == "x [mm]"


def test_slice_uses_what_was_really_set() -> None:
    figure = plots.slice(record(row(0, {"x": 2.5}, 5.0, actual={"x": 2.75})), "x")
    assert points(figure, "best") == [(2.75, 5)]


def test_a_log_parameter_gets_a_log_axis() -> None:
    space = Space([Float("rate", 1e-4, 1e-1, log=True)])
    history = record(row(0, {"rate": 1e-3}, 1.0), space=space)
    figure = plots.slice(history, "rate", predict=lambda ps: (np.zeros(len(ps)), np.ones(len(ps))))
    assert figure.layout.xaxis.type == "log"
    x = np.asarray(trace(figure, "model").x, dtype=float)
    # evenly spaced in the logarithm: three decades in 100 steps
    assert np.diff(np.log10(x)) == pytest.approx(np.full(100, 0.03), abs=1e-9)


def test_choices_stand_in_declared_order() -> None:
    space = Space([Categorical("act", ["tanh", HOSTILE, "relu"]), Bool("bias")])
    rows = [row(i, {"act": act, "bias": i == 0}, float(i)) for i, act in enumerate(["relu", "tanh", HOSTILE])]
    history = record(*rows, space=space)
    figure = plots.slice(history, "act")
    assert points(figure, "best") == [(2, 0)]
    assert points(figure, "other trials") == [(0, 1), (1, 2)]
    assert figure.layout.xaxis.ticktext == ("tanh", "&lt;img src=x onerror=aler…", "relu")
    assert plots.slice(history, "bias").layout.xaxis.ticktext == ("no", "yes")


def test_slice_of_a_conditional_parameter_leaves_the_others_out_and_says_so() -> None:
    space = Space([Bool("bias"), Float("momentum", 0, 1, when={"bias": True})])
    rows = [
        row(0, {"bias": False}, 1.0),
        row(1, {"bias": True, "momentum": 0.5}, 2.0),
        row(2, {"bias": True, "momentum": 0.25}, 3.0),
    ]
    history = record(*rows, space=space)
    asked: list[dict[str, Any]] = []

    def predict(params: list[dict[str, Any]]) -> tuple[Any, Any]:
        asked.extend(params)
        return np.zeros(len(params)), np.ones(len(params))

    figure = plots.slice(history, "momentum", predict=predict)
    assert points(figure, "other trials") == [(0.5, 2), (0.25, 3)]
    assert "1 of 3 trials left out: momentum was not active" in figure.layout.meta["caption"]
    assert "Held: bias = yes." in figure.layout.meta["caption"]
    assert all(params["bias"] is True for params in asked)
    asked.clear()
    plots.slice(history, "bias", predict=predict)  # the best trial has no momentum: the middle stands in
    assert asked == [{"bias": False}, {"bias": True, "momentum": 0.5}]
    with pytest.raises(InvalidValueError, match="'momentum' is active"):
        plots.slice(history, "momentum", predict=predict, at={"bias": False})
    alone = plots.slice(record(rows[0], space=space), "momentum", predict=predict)
    assert alone.layout.annotations[0].text.startswith("1 of 1 trial left out: momentum was not")


def test_the_belief_is_a_band_of_two_deviations_held_at_the_best() -> None:
    space = Space([Float("x", 0, 10), Float("z", 0, 1)])
    history = record(row(0, {"x": 1.0, "z": 0.25}, 5.0), row(1, {"x": 2.0, "z": 0.75}, 3.0), space=space)

    def predict(params: list[dict[str, Any]]) -> tuple[Any, Any]:
        return np.array([p["x"] + 100 * p["z"] for p in params]), np.full(len(params), 0.5)

    figure = plots.slice(history, "x", "y", predict)
    x = np.linspace(0, 10, 101)
    assert np.asarray(trace(figure, "model").x, dtype=float) == pytest.approx(x, abs=1e-9)
    assert np.asarray(trace(figure, "model").y, dtype=float) == pytest.approx(x + 75, abs=1e-9)
    band = np.asarray(trace(figure, "model ± 2 sd").y, dtype=float)
    assert band == pytest.approx(np.concatenate([x + 76, (x + 74)[::-1]]), abs=1e-9)
    assert figure.layout.meta["caption"] == "Held: z = 0.75."
    moved = plots.slice(history, "x", "y", predict, at={"x": 0.0, "z": 0.0})
    assert np.asarray(trace(moved, "model").y, dtype=float) == pytest.approx(x, abs=1e-9)
    for wrong, why in (({"q": 1}, "'q'"), ({"z": "much"}, "z: expected"), ({"x": "much"}, "x: expected"), ([1], "at:")):
        with pytest.raises(InvalidValueError, match=why):
            plots.slice(history, "x", "y", predict, at=wrong)
        with pytest.raises(InvalidValueError, match=why):
            plots.contour(history, "x", "z", "y", predict, at=wrong)


def test_what_can_be_counted_gets_error_bars() -> None:
    space = Space([Int("depth", 1, 4)])
    figure = plots.slice(
        record(row(0, {"depth": 2}, 1.0), space=space),
        "depth",
        predict=lambda ps: ([1, 2, 3, 4], [0.5] * len(ps)),
    )
    bars = trace(figure, "model ± 2 sd")
    assert points(figure, "model ± 2 sd") == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert list(bars.error_y.array) == [1.0] * 4


@pytest.mark.parametrize(
    "belief", [([1.0], [1.0]), (np.full(101, np.nan), np.ones(101)), (np.ones(101), -np.ones(101))]
)
def test_a_wrong_belief_is_refused(belief: Any) -> None:
    with pytest.raises(InvalidValueError, match="predict="):
        plots.slice(line([1.0, 2.0]), "x", predict=lambda ps: belief)


def test_slices_that_cannot_be_are_refused_with_the_remedy() -> None:
    space = Space([Float("x", 0, 1), Permutation("order", 3)])
    history = record(row(0, {"x": 0.5, "order": [0, 1, 2]}, 1.0), space=space)
    with pytest.raises(InvalidValueError, match="of kind permutation; draw x"):
        plots.slice(history, "order")
    with pytest.raises(InvalidValueError, match=r"expected a parameter \(x, order\), got 'q'"):
        plots.slice(history, "q")
    two = record(row(0, {"x": 1}, {"a": 1, "b": 2}), objectives=[Objective("a"), Objective("b")])
    assert len([one for one in plots.slice(two, "x").data if one.name == "front"]) == 2
    with pytest.raises(InvalidValueError, match="objective='a'"):
        plots.slice(two, "x", predict=lambda ps: (np.zeros(len(ps)), np.ones(len(ps))))


def test_slice_table_names_its_columns_apart() -> None:
    table = plots.slice_table(record(row(0, {"x": 2.5}, 5.0), row(3, {"x": 1.0}, None, state="failed")), "x")
    assert table == {
        "trial": [0, 3],
        "state": ["complete", "failed"],
        "parameter x": [2.5, 1.0],
        "y (minimize, lower is better)": [5.0, None],
    }


# -- text and look --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        (HOSTILE, "&lt;img src=x onerror=alert(1)&gt;"),
        ("a&lt;b", "a&amp;lt;b"),
        ("$x^2$", "&#36;x^2&#36;"),
        ("%{meta.alt}", "&#37;{meta.alt}"),
        ("100 %", "100 %"),
        ("two\nlines\x00", "two lines "),
    ],
)
def test_user_text_is_never_markup(text: str, drawn: str) -> None:
    assert theme.literal(text) == drawn


def test_hostile_names_are_escaped_wherever_plotly_draws_text() -> None:
    goal = Objective(HOSTILE, unit="<b>", threshold=2.0)
    space = Space([Float("x", 0, 10, unit="<u>"), Categorical("c", [HOSTILE, "b"])])
    rows = [
        row(0, {"x": 1, "c": HOSTILE}, {HOSTILE: 1.0}),
        row(1, {"x": 2, "c": "b"}, state="failed", error=HOSTILE),
    ]
    history = record(*rows, space=space, objectives=[goal])
    for figure in (plots.history(history), plots.slice(history, "x"), plots.slice(history, "c")):
        layout = figure.layout.to_plotly_json()
        layout.pop("meta")  # plain text, drawn by nobody
        text = str(layout) + str([one.hovertext for one in figure.data])
        for tag in ("<img", "<b>", "<u>"):
            assert tag not in text.replace("<br>", "")
        assert "&lt;img" in text


def test_long_names_are_cut_but_keep_the_direction() -> None:
    title = theme.goal_title(Objective("n" * 300, unit="s"))
    assert len(title) < 70
    assert title.endswith("… [s]<br>(minimize, lower is better)")


def test_words_for_values() -> None:
    said = [theme.wording(value) for value in (0.98765, 1e-5, 123456.0, 3, True, None, (1, 2), tuple(range(20)))]
    assert said == ["0.9877", "1e-5", "1.235e5", "3", "yes", "None", "(1, 2)", "(20 values)"]
    assert theme.quantity(0.987, "mm", 0.0031) == "0.987 ± 0.0031 mm"
    assert theme.quantity(2.0, None, float("nan")) == "2"
    assert theme.quantity(1013.47, "hPa", 0.05) == "1013.470 ± 0.05 hPa"  # not 1013, nine deviations off
    assert theme.quantity(1013.47, "hPa", 3.0) == "1013 ± 3 hPa"
    assert theme.quantity(123456.0, None, 2.0) == "123456.0 ± 2"


def test_the_page_is_the_ground_and_every_colour_has_a_dark_twin() -> None:
    figure = plots.history(line([1.0, 2.0]))
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == theme.CLEAR
    assert figure.layout.font.color == theme.TEXT
    assert {theme.TEXT, theme.MUTED, theme.HAIRLINE, theme.FRONT.color, theme.OVER.color} <= theme.DARK.keys()


def test_words_of_a_goal_stand_at_its_line_on_a_logarithmic_axis() -> None:
    """Plotly takes places of words for exponents there, and has no place for 0."""
    goal = Objective("y", threshold=10.0)
    figure = plots.history(line([100.0, 50.0, 12.0], objectives=[goal]), log=True)
    (said,) = [one for one in figure.layout.annotations if one.text == "threshold"]
    assert said.y == pytest.approx(1.0)
    (stroke,) = [one for one in figure.layout.shapes if one.type == "line" and one.y0 == one.y1]
    assert stroke.y0 == 10.0
    (plain,) = [one for one in plots.history(line([100.0], objectives=[goal])).layout.annotations if one.text]
    assert plain.y == 10.0
    below = Objective("y", target=0.0, tolerance=1.0)
    figure = plots.history(line([100.0, 50.0], objectives=[below]), log=True)
    assert not [one for one in figure.layout.annotations if one.text == "target"]


def test_studies_side_by_side_count_the_trials_that_came_to_nothing() -> None:
    lost = [row(i, {"x": i}, None, state="failed") for i in range(3)]
    won = [row(3 + i, {"x": i}, float(5 - i)) for i in range(3)]
    late, early = record(*lost, *won), line([5.0, 4.0, 3.0])
    table = plots.compare_table({"late": [late], "early": [early], "both": [late, early]}, "y")
    found = list(zip(table["group"], table["finished trials"], table["median"], strict=True))
    assert found[:3] == [("late", 4, 5.0), ("late", 5, 4.0), ("late", 6, 3.0)]
    assert found[3:6] == [("early", 1, 5.0), ("early", 2, 4.0), ("early", 3, 3.0)]
    assert len(found) == 6  # of both together no number of trials has a value of each
    figure = plots.compare({"late": [late], "early": [early]}, "y")
    assert [list(one.x) for one in figure.data] == [[4, 5, 6], [1, 2, 3]]


def test_why_nothing_counts_is_said_of_what_is_there() -> None:
    from workbench.plots.panels import why_none_counts

    space = Space([Float("x", 0, 10), Float("f", 0, 1, role="fidelity", target=1.0)])
    low = record(*(row(i, {"x": i, "f": 0.1}, 1.0) for i in range(3)), space=space)
    assert why_none_counts(low) == "Every value is not at the target fidelity or task."
    over = {"y": 1.0, "g": 9.0}
    rows = row(0, {"x": 11}, 1.0), row(1, {"x": 1}, over), row(2, {"x": 2}, over)
    mixed = record(*rows, constraints=[Constraint("g", upper=8)])
    assert why_none_counts(mixed) == "Every value is over a limit."  # what was not measured does not hold
    void = record(row(0, {"x": 1}, 1.0, state="void"))
    assert why_none_counts(void).startswith("No finished trials yet.")
