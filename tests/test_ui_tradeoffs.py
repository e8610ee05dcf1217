"""Trade-offs in words, and the Pareto page driven without a browser."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest

import workbench as wb
from ui.presenters import exporting, runs, tradeoffs
from ui.presenters.tradeoffs import Belief
from workbench import analysis
from workbench.analysis import ModelFront, Prospect
from workbench.markup import reading

SPACE = wb.Space([wb.Float("temp", 60, 110, step=1, unit="°C"), wb.Float("load", 0, 5, step=0.1, unit="g")])
GOALS = [wb.Objective("yield", "maximize", unit="%"), wb.Objective("cost", "minimize", unit="€")]
VALUES = ((60.0, 10.0), (80.0, 20.0), (90.0, 40.0), (70.0, 30.0), (95.0, 100.0))  # run 3 is beaten


def record(values: Any = VALUES, goals: Any = GOALS, **options: Any) -> wb.Study:
    study = wb.create_study("reaction", SPACE, goals, sampler="sobol", seed=0, **options)
    for params, y in zip(SPACE.decode(SPACE.sobol(len(values), 0)), values, strict=True):
        study.attach(params, dict(zip([goal.name for goal in goals], y, strict=True)))
    return study


def belief(*probability: float) -> Belief:
    none = np.empty((0, 2))
    front = ModelFront(("yield", "cost"), np.arange(len(probability)), np.array(probability), (), none, none,
                       np.empty(0), {})  # fmt: skip
    return Belief(front, {"yield": 1.5, "cost": 2.0}, ("load",))


def test_the_first_sentence_says_how_much_is_noise() -> None:
    history = record().history()
    first, bold, after = tradeoffs.lead(history, belief(1.0, 0.9, 0.5, 0.4, 0.85))
    assert first == "No run beats these 4 on both goals at once. Noise decides some of them: "
    assert (bold, after) == (
        "3 are on the front with at least 80 % certainty",
        "; run 3, just behind, may belong there too.",
    )
    assert "Noise does not change that" in tradeoffs.lead(history, belief(1.0, 1.0, 1.0, 0.0, 1.0))[0]
    assert "once it has learnt" in tradeoffs.lead(history, Belief())[0]
    assert tradeoffs.lead(record(VALUES[:1]).history(), Belief())[0].startswith("Run 0 is the only one that counts")
    over = wb.create_study("over", SPACE, GOALS, [wb.Constraint("waste", upper=1.0)], sampler="sobol", seed=0)
    for trial, (made, cost) in zip(over.ask(5), VALUES, strict=True):
        over.tell(trial, {"yield": made, "cost": cost, "waste": 2.0})
    assert tradeoffs.lead(over.history(), Belief())[0] == (
        "There is no front yet: 5 runs. Every value is over a limit."
    )
    assert "Ask for a run" in tradeoffs.lead(record([]).history(), Belief())[0]


def test_sliders_stand_at_limits_and_limits_at_sliders() -> None:
    up, down = tradeoffs.sliders(record().history())
    assert (up.low, up.high, up.step, up.free, up.sign) == (60.0, 95.0, 0.1, 60.0, "≥")
    assert (down.low, down.high, down.free, down.sign) == (10.0, 100.0, 100.0, "≤")
    assert up.ticks == (0.0, 0.57, 0.86, 1.0)  # 60, 80, 90 and 95; run 3 is beaten
    assert (up.form, down.form) == ("≥ %.1f %%", "≤ %.1f €")
    assert up.limit(60.0) is None
    assert up.limit(80.0) == 80.0
    assert down.limit(100.0) is None
    assert up.place(None) == 60.0
    for value in (61.0, 79.9, 80.04, 95.0):
        assert up.place(value) >= value - 1e-9  # never easier
        assert down.place(value) <= value + 1e-9
    assert up.place(200.0) == 95.0
    assert up.say(80.0) == "≥ 80.0 %"
    goals = [GOALS[0], wb.Objective("pH", target=7.0, tolerance=0.1)]
    _, off = tradeoffs.sliders(record([(1.0, 6.5), (2.0, 7.1), (3.0, 8.0)], goals).history())
    assert (off.low, off.high, off.free, off.sign) == (0.1, 1.0, 1.0, "≤")
    assert off.limit(0.5) == pytest.approx(7.5)
    assert off.place(7.5) == pytest.approx(0.5)
    assert tradeoffs.sliders(record([(1.0, 2.0)]).history()) == []


def of_scale(scale: float, **options: Any) -> wb.Study:
    """The usual values times a scale, in farads and seconds."""
    goals = [wb.Objective("cap", "maximize", unit="F"), wb.Objective("delay", unit="s")]
    return record([(y * scale, c * scale) for y, c in VALUES], goals, **options)


@pytest.mark.parametrize(
    ("scale", "low", "high", "step", "shown", "said"),
    [
        (1e-12, 6e-11, 9.5e-11, 1e-13, "≥ %.2e F", "≥ 8.01e-11 F"), (1e-300, 6e-299, 9.5e-299, 1e-301, "≥ %.2e F",
        "≥ 8.01e-299 F"), (1e-10, 6e-9, 9.5e-9, 1e-11, "≥ %.2e F", "≥ 8.01e-9 F"), (1e-4, 6e-3, 9.5e-3, 1e-5,
        "≥ %.5f F", "≥ 0.00801 F"), (1e4, 6e5, 9.5e5, 1e3, "≥ %.0f F", "≥ 801000 F"), (1e9, 6e10, 9.5e10, 1e8,
        "≥ %.2e F", "≥ 8.01e10 F"),
    ],
)  # fmt: skip
def test_sliders_serve_goals_of_every_scale(
    scale: float, low: float, high: float, step: float, shown: str, said: str
) -> None:
    up, down = tradeoffs.sliders(of_scale(scale).history())
    assert (up.low, up.high, up.step, up.free, up.form) == (low, high, step, low, shown)
    assert (down.low, down.high) == (pytest.approx(10 * scale, rel=1e-12), pytest.approx(100 * scale, rel=1e-12))
    assert up.ticks == (0.0, 0.57, 0.86, 1.0)  # as at any other scale
    limit = up.limit(up.place(80.04 * scale))
    assert limit == up.at(201) == pytest.approx(80.1 * scale, rel=1e-12)  # a step up, never easier
    assert up.say(limit) == said
    assert up.limit(limit * (1 + 1e-15)) == limit  # a browser's last digit is none of the limit's
    assert up.place(200 * scale) == high
    assert up.place(up.limit(low)) == low
    assert down.limit(down.place(80.04 * scale)) == pytest.approx(80.0 * scale, rel=1e-12)
    assert tradeoffs.slider_floor(up, 80.04 * scale) == pytest.approx(80.0 * scale, rel=1e-12)


def test_goals_without_a_range_that_can_be_told_apart_have_no_slider() -> None:
    far = record([(1e9, 1.0), (1e9 + 1.2e-7, 0.0), (1e9, -1.0)])
    assert [one.name for one in tradeoffs.sliders(far.history())] == ["cost"]
    assert tradeoffs.sliders(record([(-1e308, 1.0), (1.5e308, 1.0)]).history()) == []  # nor one without bounds
    low, high = 1e9, 1e9 + 0.25
    (near, _) = tradeoffs.sliders(record([(low, 1.0), (high, 2.0)]).history())
    assert (near.low, near.high, near.form) == (low, high, "≥ %.3f %%")


def test_numbers_and_their_noise_are_written_after_a_power_of_ten_where_they_are_mostly_zeros() -> None:
    assert runs.with_sd(98.123, 0.31) == "98.12 ± 0.31"
    assert runs.with_sd(1.23456e-12, 3e-14) == "(1.235 ± 0.030)e-12"
    assert runs.with_sd(1.2345e9, 2e7) == "(1.234 ± 0.020)e9"
    assert runs.with_sd(1.2345e9, 2.0) == "1234500000.0 ± 2.0"  # every digit counts
    assert runs.with_sd(2e-13, 3e-12) == "(0.2 ± 3.0)e-12"
    assert runs.with_sd(1.2344e-12, 0.0) == "1.234e-12"
    assert runs.rounded(-1.23456e-12, 3e-14) == "-1.235e-12"
    assert runs.rounded(0.0, 0.01) == "0.000"


def test_what_limits_cost_in_words() -> None:
    history = record().history()
    made = tradeoffs.sliders(history)
    text, rows = tradeoffs.cost(history, {"cost": 25.0}, made)
    left = "2 of 4 front runs are left. Cost costs the most: at ≤ 40.0 € run 2 comes back"
    assert text == f"{left} and the best yield becomes 90 %."
    assert rows == {
        "Best": ["yield, %", "cost, €"], "Before": ["95", "10"], "Now": ["80", "10"],
        "You give up": ["15 %", "nothing"],
    }  # fmt: skip
    # two measurements with a noise of 1.5 each
    assert tradeoffs.cost(history, {"cost": 25.0}, made, belief(1.0))[1]["You give up"] == ["15.0 ± 2.1 %", "nothing"]
    text, rows = tradeoffs.cost(history, {"cost": 15.0, "yield": 85.0}, made)
    assert text.startswith("None of the 4 front runs holds all of this: yield ≥ 85.0 %, cost ≤ 15.0 €.")
    assert "cost stands in the way: at ≤ 40.0 € run 2 comes back." in text
    assert rows["You give up"] == ["everything", "everything"]
    assert tradeoffs.cost(history, {}, made)[0].startswith("Nothing yet: all 4 front runs are left.")


def test_what_is_left_to_gain_in_words() -> None:
    history = record().history()
    found = Prospect({}, "yield", 84.123, 1.6, (1, 80.0), 0.9, 0.754)
    assert tradeoffs.chance(history, found, {"cost": 25.0}) == [
        "Inside these limits the model expects up to 84.1 ± 1.6 % yield, 4.1 % better than run 1.",
        "A run there is truly better, and inside, with a probability of 75 %.",
    ]
    found = Prospect({}, "cost", 10.4, 0.5, (0, 10.0), 0.9, 0.2)
    assert tradeoffs.chance(history, found, {}) == [
        "The model expects nothing better than you have: down to 10.40 ± 0.50 € cost, and run 0 has 10 €."
    ]
    assert "gives a run there 12 %" in tradeoffs.chance(
        history, Prospect({}, "yield", 84.0, 1.0, None, 0.12, 0.12), {"cost": 5.0}
    )[1]  # fmt: skip


def test_the_tray_says_who_is_best_who_is_over_and_what_differs() -> None:
    study = record()
    a, b = tradeoffs.tray(study, [1, 2], {"cost": 25.0}, belief(1.0, 0.9, 0.996, 0.0))
    assert (a.letter, a.number, a.over, a.truly, a.bar) == ("A", 1, "", "90 %", "━━━━╸")
    assert a.values == (("80.0 ± 1.5", False), ("20.0 ± 2.0", True))
    assert (b.over, b.truly, b.bar) == ("over your cost", "over 99 %", "━━━━━")
    assert b.values == (("90.0 ± 1.5", True), ("40.0 ± 2.0", False))
    assert a.knobs == f"{study.trial(1)['temp']:.0f} °C"  # load does nothing
    assert tradeoffs.idle(belief(1.0)) == "Load left out: it does nothing measurable."
    study.void(2, reason="spilled")
    (alone,) = tradeoffs.tray(study, [1, 2], {}, Belief())
    assert (alone.number, alone.truly, alone.bar) == (1, "not known yet", "")
    assert [tradeoffs.bar(share) for share in (0.0, 0.24, 0.5, 0.86)] == ["╸", "━", "━━╸", "━━━━╸"]
    assert tradeoffs.added([1, 2, 3], [2, 5, 6]) == [2, 3, 5, 6]
    assert tradeoffs.left_out(study.history()) == ""


# -- the page ------------------------------------------------------------------------------------------

pytest.importorskip("streamlit")
from test_ui_app import app, sound, words  # noqa: E402
from test_ui_app import storage as storage  # noqa: E402, PLC0414  # a fixture


@pytest.mark.slow
def test_limits_move_the_page_and_stay(storage: Any) -> None:
    study = record(storage=storage)
    at = app("pareto", "reaction")
    assert "No run beats these 4 on both goals at once." in words(at)
    slider = next(one for one in at.slider if one.label == "cost")
    sound(slider.set_value(25.0).run())
    assert "2 of 4 front runs are left." in words(at)
    assert "the best yield becomes 90 %" in words(at)
    sound(at.button(key="add_closest").click().run())
    near = analysis.closest(study.history(), {"cost": 25.0})
    sound(at.button(key="add_knee").click().run())
    assert [one.label for one in at.button if str(one.key).startswith("drop_")] == [
        f"{letter} run {number}"
        for letter, number in zip("AB", dict.fromkeys([near, analysis.compromise(study.history())]), strict=False)
    ]
    sound(at.switch_page("app_pages/run_sheet.py").run())
    sound(at.switch_page("app_pages/pareto.py").run())
    assert next(one for one in at.slider if one.label == "cost").value == 25.0
    sound(at.button(key="reset_limits").click().run())
    assert "Nothing yet: all 4 front runs are left." in words(at)


def test_what_should_change_sets_the_limits(storage: Any) -> None:
    record(storage=storage)
    at = app("pareto", "reaction")
    sound(at.button(key="add_knee").click().run())
    assert "Name one goal to improve" in words(at)
    sound(at.button_group(key="wish reaction yield").set_value("improve").run())
    sound(at.button_group(key="wish reaction cost").set_value("relax").run())
    history = wb.load_study("reaction", storage=storage).history()
    aims, limits = analysis.aspiration(history, analysis.compromise(history), {"yield": "improve", "cost": "relax"})
    assert f"so far: run {analysis.closest(history, aims)}." in words(at)
    sound(at.button(key="set_wish").click().run())
    for one in at.slider:
        assert one.value == pytest.approx(limits[one.label], abs=0.5)


@pytest.mark.parametrize(("scale", "at_25"), [(1e-12, "≤ 2.500e-11 s"), (1e9, "≤ 2.500e10 s")])
def test_the_page_serves_goals_of_every_scale(storage: Any, scale: float, at_25: str) -> None:
    study = of_scale(scale, storage=storage)
    at = app("pareto", "reaction")
    up, down = at.slider
    assert (up.min, up.max, up.value) == (60 * scale, pytest.approx(95 * scale, rel=1e-12), 60 * scale)
    sound(down.set_value(25 * scale).run())
    limits = at.session_state["limits of reaction"]
    assert limits == {"delay": pytest.approx(25 * scale, rel=1e-12)}
    said = words(at)
    assert "2 of 4 front runs are left." in said
    assert "the best cap becomes " + reading(90 * scale, "F") in said
    shapes = json.loads(at.get("plotly_chart")[0].proto.spec)["layout"]["shapes"]
    assert [one["y0"] for one in shapes if one["type"] == "line"] == [limits["delay"]]
    assert tradeoffs.said(limits, tradeoffs.sliders(study.history())) == f"delay {at_25}"
    sound(at.button_group(key="view").set_value("Table").run())
    columns = json.loads(at.dataframe[0].proto.columns)
    formats = {name: (one.get("type_config") or {}).get("format") for name, one in columns.items()}
    wanted = {"cap [F] (maximize, higher is better)", "delay [s] (minimize, lower is better)"}
    assert {name for name, form in formats.items() if form == "%.5g"} == (wanted if scale < 1 else set())


@pytest.mark.parametrize("near", [True, False])
def test_another_method_stands_in_where_the_studys_own_cannot_and_the_page_says_so(storage: Any, near: bool) -> None:
    study = wb.create_study("reaction", SPACE, GOALS, sampler="nsga2", storage=storage, seed=0)
    for x, y in zip((62.0, 100.0), ((60.0, 10.0), (90.0, 40.0)), strict=True):
        study.attach({"temp": x, "load": 1.0}, dict(zip(("yield", "cost"), y, strict=True)))
    at = app("pareto", "reaction")
    assert "stands in" not in words(at)
    if near:
        at.session_state["picked of reaction"] = [0]
        sound(at.run())
        button = at.button(key="near_picked")
        assert (
            button.help.replace("\\", "")
            == "evolutionary cannot stay near a run: for these runs, another method stands in."
        )
    else:
        sound(at.slider[0].set_value(70.0).run())
        button = at.button(key="suggest")
        assert "evolutionary cannot aim at limits: for these runs, another method stands in." in words(at)
    at.session_state["seen_revision of reaction"] = (0, ((1, "running"),))  # a job ends meanwhile: drawn twice
    sound(button.click().run())
    made = study.trials[2:]
    assert [(str(trial.state), trial.meta["auto"]) for trial in made] == [("running", made[0].meta["auto"])] * 3
    assert ("near a run" if near else "at limits") in at.warning[0].value
    assert not near or all(abs(trial["temp"] - 62) <= 5 and abs(trial["load"] - 1) <= 0.5 for trial in made)
    assert not sound(at.run()).warning  # once


def test_runs_are_picked_in_the_matrix_too(storage: Any) -> None:
    goals = [*GOALS, wb.Objective("purity", "maximize"), wb.Objective("waste")]
    record([(*y, i % 3, i % 2) for i, y in enumerate(VALUES)], goals, storage=storage)
    at = app("pareto", "reaction")
    sound(at.button_group(key="view").set_value("Matrix").run())
    assert "Draw a box around some runs to pick them." in words(at)

    def chart() -> tuple[list[int], dict[str, Any]]:
        proto = at.get("plotly_chart")[0].proto
        return list(proto.selection_mode), json.loads(proto.spec)

    modes, spec = chart()
    assert len(modes) == 3  # points, box, lasso
    assert spec["layout"]["dragmode"] == "select"
    assert all("selectedpoints" not in trace for trace in spec["data"])
    at.session_state["picked of reaction"] = [1, 4]
    sound(at.run())
    assert "2 runs picked:** 1, 4" in words(at)
    found = {n for trace in chart()[1]["data"] for n, i in
             ((numbers(trace["customdata"])[i], i) for i in numbers(trace["selectedpoints"]))}  # fmt: skip
    assert found == {1, 4}
    for view, modes in (("Heat map", 0), ("Parallel", 0), ("Three views", 3)):
        sound(at.button_group(key="view").set_value({"Three views": "Pairs"}.get(view, view)).run())
        assert len(chart()[0]) == modes, view


def numbers(told: Any) -> list[int]:
    """Whole numbers as plotly writes them: a list, or packed."""
    if isinstance(told, dict):
        return [int(one) for one in np.frombuffer(base64.b64decode(told["bdata"]), np.dtype(told["dtype"]))]
    return [int(one) for one in told]


@pytest.mark.parametrize("view", ["3-D", "Parallel", "Table"])
def test_every_view_of_three_goals_opens(storage: Any, view: str) -> None:
    goals = [*GOALS, wb.Objective("purity", "maximize")]
    record([(*y, i % 3) for i, y in enumerate(VALUES)], goals, storage=storage)
    at = app("pareto", "reaction")
    sound(at.button_group(key="view").set_value(view).run())
    assert "No run beats these" in words(at)


@pytest.mark.slow
def test_figures_call_a_run_a_run(storage: Any) -> None:
    goals = [*GOALS, wb.Objective("trial length", "maximize")]  # the words of a study stay
    record([(*y, i % 3) for i, y in enumerate(VALUES)], goals, storage=storage)
    for page, view in (("pareto", "Three views"), ("pareto", "3-D"), ("pareto", "Parallel"), ("overview", ""),
                       ("compare", "")):  # fmt: skip
        at = app(page, "reaction")
        if view:
            sound(at.button_group(key="view").set_value(view).run())
        figures = at.get("plotly_chart")
        assert figures
        for one in figures:
            said = one.proto.spec.replace("trial length", "")
            assert re.search(r"\bruns?\b", said)
            assert not re.search(r"\b(trial|objective|parameter)s?\b", said, re.IGNORECASE), page


def test_goals_from_zero_to_one_on_every_figure(storage: Any) -> None:
    goals = [*GOALS, wb.Objective("purity", "maximize")]
    record([(*y, i % 3) for i, y in enumerate(VALUES)], goals, storage=storage)
    at = app("pareto", "reaction")

    def titles() -> set[str]:
        layout = json.loads(at.get("plotly_chart")[0].proto.spec)["layout"]
        axes = [layout[key] for key in layout if key.startswith(("xaxis", "yaxis"))] or [
            layout["scene"][key] for key in ("xaxis", "yaxis", "zaxis")
        ]
        return {axis["title"]["text"] for axis in axes}

    assert titles() == {"yield [%] ↑", "cost [€] ↓", "purity ↑"}
    at.session_state["picked of reaction"] = [0, 1]
    sound(at.toggle(key="normalise").set_value(True).run())
    shares = {f"{name} [0 to 1] ↑" for name in ("yield", "cost", "purity")}
    assert titles() == shares
    sound(at.multiselect(key="goals reaction").set_value(["cost", "purity"]).run())
    assert titles() == {"cost [0 to 1] ↑", "purity [0 to 1] ↑"}
    assert "2 runs picked" in words(at)  # other axes, the same runs
    sound(at.multiselect(key="goals reaction").set_value([]).run())
    assert titles() == shares
    sound(at.button_group(key="view").set_value("3-D").run())
    assert titles() == shares


def test_of_four_goals_three_are_drawn_and_others_can_be(storage: Any) -> None:
    goals = [*GOALS, wb.Objective("purity", "maximize"), wb.Objective("waste")]
    record([(*y, i % 3, i % 2) for i, y in enumerate(VALUES)], goals, storage=storage)
    at = app("pareto", "reaction")
    assert at.multiselect(key="goals reaction").value == ["yield", "cost", "purity"]
    sound(at.multiselect(key="goals reaction").set_value(["yield", "waste"]).run())
    assert "on all 4 goals at once" in words(at)
    sound(at.button_group(key="view").set_value("Matrix").run())


def test_four_goals_have_a_heat_map_and_petals(storage: Any) -> None:
    goals = [*GOALS, wb.Objective("purity", "maximize"), wb.Objective("waste")]
    record([(*y, i % 3, i % 2) for i, y in enumerate(VALUES)], goals, storage=storage)
    at = app("pareto", "reaction")
    sound(at.button_group(key="view").set_value("Heat map").run())
    sound(at.button(key="add_knee").click().run())
    assert "on all 4 goals at once" in words(at)
    found = tradeoffs.reference(wb.load_study("reaction", storage=storage).history())
    assert [one.name for one in found] == ["yield", "cost", "purity", "waste"]
    assert all(one.stated is None and "automatic" in one.automatic for one in found)


@pytest.mark.slow
def test_the_reference_point_is_stated_on_the_page_and_runs_are_picked(storage: Any) -> None:
    record(storage=storage)
    at = app("pareto", "reaction")
    at.session_state["front_grew"] = True
    at.session_state["picked of reaction"] = [0, 1]
    sound(at.run())
    assert "2 runs picked" in words(at)
    next(one for one in at.number_input if one.label.startswith("yield")).set_value(55.0)
    sound(at.button(key="set_reference").click().run())
    goals = wb.load_study("reaction", storage=storage).history().measured
    assert [goal.reference for goal in goals] == [55.0, None]
    sound(at.button(key="reset_reference").click().run())
    goals = wb.load_study("reaction", storage=storage).history().measured
    assert [goal.reference for goal in goals] == [None, None]


def test_the_reference_point_in_words_and_runs_with_all_values() -> None:
    study = record(
        goals=[wb.Objective("yield", "maximize", unit="%", reference=50.0), wb.Objective("cost", target=20.0)]
    )
    first, second = tradeoffs.reference(study.history())
    assert (first.title, first.stated) == ("yield [%]", 50.0)
    assert "off the target, automatic" in second.automatic
    trial = study.ask()
    study.tell(trial, {"yield": 1.0}, final=False)
    assert tradeoffs.with_values(study.history(), [0, trial.number]) == [0]


def test_picked_runs_as_a_table() -> None:
    text = exporting.csv(record(), only=[1, 3]).decode("utf-8-sig").splitlines()
    assert len(text) == 3
    assert [line.split(",")[0] for line in text[1:]] == ["1", "3"]
