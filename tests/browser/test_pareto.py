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


def box(browser: Browser, x: tuple[float, float], y: tuple[float, float]) -> None:
    """Draw a box over the first projection, in the units of its axes."""
    at = browser.driver.execute_script(
        "const plot = document.querySelector('.js-plotly-plot'); plot.scrollIntoView({block: 'center'});"
        "const {xaxis, yaxis} = plot._fullLayout, r = plot.getBoundingClientRect(), [x, y] = arguments;"
        "return [r.left + xaxis._offset + xaxis.l2p(x[0]), r.top + yaxis._offset + yaxis.l2p(y[1]),"
        "r.left + xaxis._offset + xaxis.l2p(x[1]), r.top + yaxis._offset + yaxis.l2p(y[0])]", x, y,
    )  # fmt: skip
    left, top, right, bottom = (round(value) for value in at)
    mouse = ActionChains(browser.driver, duration=60)
    mouse.w3c_actions.pointer_action.move_to_location(left, top).pointer_down()
    mouse.w3c_actions.pointer_action.move_to_location((left + right) // 2, (top + bottom) // 2)
    mouse.w3c_actions.pointer_action.move_to_location(right, bottom).pointer_up()
    mouse.perform()
    browser.settle()


def drag(browser: Browser, goal: str, share: float) -> None:
    """Drag the limit of a goal by a share of its slider."""
    slider = browser.until(
        lambda: next(one for one in browser.driver.find_elements("css selector", '[data-testid="stSlider"]')
                     if one.text.startswith(goal))
    )  # fmt: skip
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
    thumb = slider.find_element("xpath", ".//*[@data-testid='stSliderThumbValue']/..")
    ActionChains(browser.driver, duration=60).click_and_hold(thumb).move_by_offset(
        round(share * slider.size["width"]), 0).release().perform()  # fmt: skip
    browser.settle()


def show(browser: Browser, view: str) -> None:
    def clicked() -> bool:
        for found in browser.driver.find_elements("css selector", ".st-key-view button"):
            if found.text == view:
                browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
                found.click()
                return True
        return False

    browser.until(clicked)
    browser.settle()


def test_what_is_picked_stays_picked(study: wb.Study, server: Server, browser: Browser) -> None:
    browser.open(f"{server.url}/pareto?study=reaction")
    browser.see("No run beats these")
    browser.see("certainty", MINUTE)
    browser.settle()
    front = {trial.number for trial in study.pareto_trials}
    traces = drawn(browser)
    assert set(next(t["ids"] for t in traces if t["name"].startswith("on the front"))) == front

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
    browser.see("draw a box around some")

    # other views; what is picked in the table is picked in the figure
    show(browser, "3-D")
    browser.until(lambda: browser.find(".gl-container canvas"))
    show(browser, "Parallel")
    browser.until(lambda: browser.find(".parcoords"))
    show(browser, "Table")
    browser.tick('[class*="st-key-front_table"]', 0)
    show(browser, "Three views")
    browser.see(f"1 run picked: {min(trial.number for trial in study.pareto_trials)}")


def test_a_limit_is_dragged_and_the_search_follows(study: wb.Study, server: Server, browser: Browser) -> None:
    browser.open(f"{server.url}/pareto?study=reaction")
    browser.see("The model expects", MINUTE)
    browser.settle()
    before, known = browser.text(), len(study.trials)
    slider = next(one for one in tradeoffs.sliders(study.history()) if one.name == "purity")
    drag(browser, "purity", (95.0 - slider.low) / (slider.high - slider.low))
    browser.see("front runs are left")
    said = browser.text()
    value = float(re.search(r"≥ ([\d.]+) %", said[said.index("purity\n") :])[1])  # type: ignore[index]
    assert value == pytest.approx(95.0, abs=0.5)  # some pixels
    found = analysis.inside(study.history(), {"purity": value})
    assert 0 < len(found.left) < len(found.front)
    assert f"{len(found.left)} of {len(found.front)} front runs" in said
    assert "Inside these limits the model expects" in said
    assert "Inside these limits" not in before
    browser.click("suggest")
    browser.until(lambda: len(wb.load_study("reaction", storage=study.storage_url).trials) == known + 3, MINUTE)
    for trial in study.trials[known:]:
        assert trial.meta["thresholds"] == {"purity": value}
        assert trial.predicted["purity"]["mean"] > value - 2 * trial.predicted["purity"]["sd"]
    browser.until(lambda: {known, known + 1, known + 2} <= {number for t in drawn(browser) for number in t["ids"]})

    browser.click("add_closest")
    near = analysis.closest(study.history(), {"purity": value})
    browser.click("choose")
    browser.type("choose_reason", "best of what we saw")
    browser.click("choose_yes")
    browser.see("is chosen")
    assert study.chosen is not None
    assert study.chosen.number == near
    assert Path(server.log).read_text().count("Traceback") == 0
