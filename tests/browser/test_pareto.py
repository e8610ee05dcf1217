"""The Pareto page in the browser: pick by drawing a box, drag a limit, ask inside it, compare, decide; held against the
database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains

import workbench as wb
from browser.driving import Browser, Server
from ui.presenters import tradeoffs
from workbench import analysis
from workbench.storage import Storage

MINUTE = 60.0
SPACE = wb.Space([wb.Float("temp", 60, 110, unit="°C"), wb.Float("load", 0.5, 5)])


def values(p: dict[str, Any], rng: np.random.Generator) -> dict[str, float]:
    """A made-up reaction: more of either knob gives more yield and less purity; the load costs and leaves residue."""
    heat, load = (p["temp"] - 60) / 50, (p["load"] - 0.5) / 4.5
    noise = rng.normal(size=3)
    return {
        "yield": 95 - 50 * (1 - 0.7 * heat - 0.3 * load) ** 2 + 0.5 * noise[0], "purity": 99 - 6 * heat**2 - load +
        0.1 * noise[1], "cost": 100 + 80 * load + 10 * heat + noise[2], "residue": 10 * load,
    }  # fmt: skip


@pytest.fixture(scope="module")
def study(storage: Storage) -> wb.Study:
    goals = [wb.Objective("yield", "maximize", unit="%"), wb.Objective("purity", "maximize", unit="%"),
             wb.Objective("cost", "minimize", unit="€")]  # fmt: skip
    made = wb.create_study("reaction", SPACE, goals, [wb.Constraint("residue", upper=8.0)], storage=storage, seed=0,
                           sampler="gp")  # fmt: skip
    rng = np.random.default_rng(0)
    for trial in made.ask(16, sampler="sobol"):
        made.tell(trial, values(trial.params, rng))
    return made


def drawn(browser: Browser) -> list[dict[str, Any]]:
    """The traces of the first projection: name, numbers, places."""
    found: list[dict[str, Any]] = browser.driver.execute_script(
        "const plot = document.querySelector('.js-plotly-plot');"
        "return plot._fullData.filter(t => t.xaxis === 'x' && t.ids).map(t => "
        "({name: t.name, ids: [...t.ids].map(Number), x: [...t.x], y: [...t.y]}))"
    )
    return found


def box(
    browser: Browser, x: tuple[float, float], y: tuple[float, float], axes: tuple[str, str] = ("xaxis", "yaxis")
) -> None:
    """Draw a box over a projection, by default the first, in the units of its axes."""
    at = browser.driver.execute_script(
        "const plot = document.querySelector('.js-plotly-plot'); plot.scrollIntoView({block: 'center'});"
        "const r = plot.getBoundingClientRect(), [x, y, axes] = arguments;"
        "const [xaxis, yaxis] = axes.map(name => plot._fullLayout[name]);"
        "return [r.left + xaxis._offset + xaxis.l2p(x[0]), r.top + yaxis._offset + yaxis.l2p(y[1]),"
        "r.left + xaxis._offset + xaxis.l2p(x[1]), r.top + yaxis._offset + yaxis.l2p(y[0])]", x, y, axes,
    )  # fmt: skip
    left, top, right, bottom = (round(value) for value in at)
    mouse = ActionChains(browser.driver, duration=60)
    mouse.w3c_actions.pointer_action.move_to_location(left, top).pointer_down()
    mouse.w3c_actions.pointer_action.move_to_location((left + right) // 2, (top + bottom) // 2)
    mouse.w3c_actions.pointer_action.move_to_location(right, bottom).pointer_up()
    mouse.perform()
    browser.settle()


def show(browser: Browser, view: str) -> None:
    browser.click_on(lambda: browser.called(".st-key-view button", view))
    browser.settle()


def test_what_is_picked_stays_picked(study: wb.Study, server: Server, browser: Browser) -> None:
    browser.open(f"{server.url}/pareto?study=reaction")
    browser.see("No run beats these")
    browser.see("certainty", MINUTE)
    browser.settle()
    front = {trial.number for trial in study.pareto_trials}
    browser.becomes(lambda: set(next(t["ids"] for t in drawn(browser) if t["name"].startswith("on the front"))), front)
    traces = drawn(browser)

    # a box is drawn, and what it holds is picked
    x, y = (80.0, 97.0), (92.0, 97.0)
    inside = sorted(
        number for t in traces for number, a, b in zip(t["ids"], t["x"], t["y"], strict=True)
        if x[0] <= a <= x[1] and y[0] <= b <= y[1]
    )  # fmt: skip
    assert 2 <= len(inside) < 16
    box(browser, x, y)
    picked = f"{len(inside)} runs picked: {', '.join(map(str, inside))}"
    browser.see(picked)
    table = browser.download("picked_csv").decode("utf-8-sig").splitlines()
    assert [int(line.split(",")[0]) for line in table[1:]] == inside
    browser.click("to_tray")
    browser.see("Knobs that differ")
    study.attach({"temp": 61.0, "load": 0.6}, {"yield": 50.0, "purity": 99.5, "cost": 99.0, "residue": 1.0})
    browser.until(lambda: 16 in {number for t in drawn(browser) for number in t["ids"]})
    browser.see(picked)  # somebody else's run takes nothing from what was picked
    browser.click("clear_picked")
    browser.see("Draw a box around some")

    # other views; what is picked in the table is picked in the figure
    show(browser, "3-D")
    browser.until(lambda: browser.find(".gl-container canvas"))
    show(browser, "Parallel")
    browser.until(lambda: browser.find(".parcoords"))
    show(browser, "Table")
    browser.tick('[class*="st-key-front_table"]', 0)
    show(browser, "Three views")
    browser.see(f"1 run picked: {min(trial.number for trial in study.pareto_trials)}")


def shaded_below(browser: Browser, value: float) -> None:
    """The limit on purity stands in its two projections, and all of the chart below it is shaded."""
    edges, shades = ([one for one in browser.shapes() if one["type"] == kind] for kind in ("line", "rect"))
    assert len(edges) == len(shades) == 2
    ends = browser.driver.execute_script(
        "const {yaxis, xaxis3} = document.querySelector('.js-plotly-plot')._fullLayout;"
        "return [yaxis.range, xaxis3.range]"
    )
    for axis, letter, (low, _) in (("y", "y", ends[0]), ("x3", "x", ends[1])):
        for found, wanted in ((edges, {value}), (shades, {low, value})):
            one = next(shape for shape in found if shape[f"{letter}ref"] == axis)
            assert {one[f"{letter}0"], one[f"{letter}1"]} == wanted


def test_a_limit_is_dragged_and_the_search_follows(
    study: wb.Study, server: Server, browser: Browser, tmp_path: Path
) -> None:
    browser.open(f"{server.url}/pareto?study=reaction")
    browser.see("The model expects", MINUTE)
    browser.settle()
    before, known = browser.text(), len(study.trials)
    assert browser.shapes() == []
    slider = next(one for one in tradeoffs.sliders(study.history()) if one.name == "purity")
    browser.drag("purity", (95.0 - slider.low) / (slider.high - slider.low))
    browser.see("front runs are left")
    browser.see("Inside these limits the model expects")
    said = browser.text()
    value = float(re.search(r"≥ ([\d.]+) %", said[said.index("purity\n") :])[1])  # type: ignore[index]
    assert value == pytest.approx(95.0, abs=0.5)  # some pixels
    found = analysis.inside(study.history(), {"purity": value})
    assert 0 < len(found.left) < len(found.front)
    assert f"{len(found.left)} of {len(found.front)} front runs" in said
    assert "Inside these limits" not in before

    # the chart draws the limit, and shades the front that it leaves out
    browser.becomes(lambda: len(browser.shapes()), 4)
    shaded_below(browser, value)
    front = next(t for t in drawn(browser) if t["name"].startswith("on the front"))
    assert {n for n, y in zip(front["ids"], front["y"], strict=True) if y >= value} == set(found.left.tolist())

    # the suggestions are those of the same record asked for this limit, not those of one asked without
    study.export(tmp_path / "reaction.json")
    inside, anywhere = (
        wb.import_study(tmp_path / "reaction.json").ask(3, thresholds=limits) for limits in ({"purity": value}, None)
    )
    browser.click("suggest")
    browser.until(lambda: len(wb.load_study("reaction", storage=study.storage_url).trials) == known + 3, MINUTE)
    made = study.trials[known:]
    assert [trial.params for trial in made] == [pytest.approx(trial.params, rel=1e-6) for trial in inside]
    assert all(trial.params != pytest.approx(other.params, rel=1e-3) for trial in made for other in anywhere)
    for trial in made:
        assert trial.meta["thresholds"] == {"purity": value}
        assert trial.predicted["purity"]["mean"] > value - 2 * trial.predicted["purity"]["sd"]
    assert min(t.predicted["purity"]["mean"] for t in anywhere) < min(t.predicted["purity"]["mean"] for t in made)
    browser.until(lambda: {known, known + 1, known + 2} <= {number for t in drawn(browser) for number in t["ids"]})
    stars = next(t for t in drawn(browser) if t["name"].startswith("next"))
    assert dict(zip(stars["ids"], stars["y"], strict=True)) == {
        trial.number: pytest.approx(trial.predicted["purity"]["mean"]) for trial in made
    }

    # one of them is told, with a yield that nothing had: the front moves
    study.tell(made[0], {"yield": 99.0, "purity": value + 0.1, "cost": 250.0, "residue": 1.0})
    now = {trial.number for trial in study.pareto_trials}
    assert now - set(front["ids"]) == {known}
    browser.until(lambda: any(set(t["ids"]) == now for t in drawn(browser) if "on the front" in t["name"]), MINUTE)
    browser.see(f"{len(found.left) + 1} of {len(now)} front runs are left.")

    browser.click("add_closest")
    near = analysis.closest(study.history(), {"purity": value})
    browser.click("choose")
    browser.type("choose_reason", "best of what we saw")
    browser.click("choose_yes")
    browser.see("is chosen")
    assert study.chosen is not None
    assert study.chosen.number == near
    assert Path(server.log).read_text().count("Traceback") == 0


def test_runs_are_picked_in_a_matrix_of_four_goals(storage: Storage, server: Server, browser: Browser) -> None:
    goals = [wb.Objective(name, "maximize") for name in "pqrs"]
    four = wb.create_study("four", SPACE, goals, storage=storage, seed=0, sampler="sobol")
    for i, trial in enumerate(four.ask(4)):
        four.tell(trial, {"p": i, "q": 10.0 - i, "r": i % 2, "s": 1.0})
    browser.open(f"{server.url}/pareto?study=four")
    browser.see("No run beats these 4")
    show(browser, "Matrix")
    browser.until(lambda: browser.find(".gl-canvas"))
    browser.see("Draw a box around some")
    box(browser, (0.5, 2.5), (7.5, 9.5), ("xaxis", "yaxis2"))
    browser.see("2 runs picked: 1, 2")
    chosen = "return [...document.querySelector('.js-plotly-plot')._fullData[0].selectedpoints]"
    browser.until(lambda: browser.driver.execute_script(chosen) == [1, 2])
    show(browser, "Three views")
    browser.see("2 runs picked: 1, 2")
    browser.click("clear_picked")
    browser.see("Draw a box around some")


def test_a_limit_on_a_goal_of_tiny_scale_is_dragged(storage: Storage, server: Server, browser: Browser) -> None:
    goals = [wb.Objective("cap", "maximize", unit="F"), wb.Objective("delay", unit="s")]
    tiny = wb.create_study("tiny", SPACE, goals, storage=storage, seed=0, sampler="sobol")
    for i, trial in enumerate(tiny.ask(4)):
        tiny.tell(trial, {"cap": (1 + i) * 1e-12, "delay": (2 + i) * 1e-12})
    browser.open(f"{server.url}/pareto?study=tiny")
    browser.see("Nothing yet: all 4 front runs are left.")
    browser.drag("cap", 0.5)
    browser.see("2 of 4 front runs are left. Cap costs the most: at ≥ 2.00e-12 F run 1 comes back")
    browser.until(browser.shapes)
    (edge,) = [one for one in browser.shapes() if one["type"] == "line"]
    assert edge["x0"] == pytest.approx(2.5e-12, rel=0.1)
    browser.see(f"≥ {edge['x0']:.2e} F")
