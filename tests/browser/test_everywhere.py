"""What holds of every page: a huge record stays quick, nothing leaks, everybody can use it, it looks right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from browser.driving import Browser, Server
from ui.pages import PAGES, page
from ui.presenters import examples
from workbench import analysis
from workbench.storage import Storage
from workbench.study import telling
from workbench.study.telling import Run
from workbench.trial import Observation

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
RUNS = 20_000
ALLOWED = {
    "duplicate-id-active",  # the cells of Streamlit's tables have the same ids in every table of a page
}
ICONS = '[data-testid="stIconMaterial"]'  # hidden from readers; axe takes their letters for text, which needs more


@pytest.fixture(scope="module")
def huge(storage: Storage) -> wb.Study:
    """Two goals, a limit, and so many runs."""
    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(4)])
    goals = [wb.Objective("yield", "maximize", unit="%"), wb.Objective("cost", "minimize")]
    study = wb.create_study("huge", space, goals, [wb.Constraint("residue", upper=3.0)], storage=storage,
                            sampler="sobol", seed=0)  # fmt: skip
    X = np.random.default_rng(0).random((RUNS, 4))  # (n, 4)
    told = [
        Run(dict(zip(space.names, map(float, x), strict=True)),
            Observation({"yield": float(100 - 50 * ((x - 0.6) ** 2).sum()), "cost": float(x.sum()),
                         "residue": float(4 * x[3])}))
        for x in X
    ]  # fmt: skip
    telling.attach_all(study._record, told)
    study.ask(3)
    return study


@pytest.fixture(scope="module")
def example(storage: Storage) -> str:
    """Three goals and a limit, with runs of every outcome."""
    coupling = examples.EXAMPLES[1]
    name = examples.create(coupling, storage)
    study = wb.load_study(name, storage=storage)
    for trial in study.ask(12, sampler="sobol"):
        if trial.number == 17:
            study.tell(trial, state="failed", error="stirrer stopped")
        else:
            study.tell(trial, coupling.evaluate(trial.params))
    study.annotate(note="New catalyst lot from run 20 on.")
    study.ask(3, sampler="sobol")
    return name


def address(server: Server, key: str, study: str) -> str:
    return f"{server.url}/{page(key).path}?study={study.replace(' ', '%20')}"


def test_a_huge_record_opens_and_says_what_it_leaves_out(huge: wb.Study, server: Server, browser: Browser) -> None:
    for one in PAGES:
        browser.open(address(server, one.key, "huge"))  # how fast is measured in benchmarks/ui_pages.py
        assert "This page failed" not in browser.text(), one.key
    browser.open(address(server, "run", "huge"))
    browser.see(f"{RUNS:,} runs, newest first.")
    browser.see("Page, of 100: 200 of 20,000 runs each")
    browser.open(address(server, "overview", "huge"))
    browser.until(lambda: browser.find(".main-svg"))
    whole = "of20,003runs,everybestsofarandthewholefrontamongthem."
    said = "return document.body.textContent"
    browser.until(lambda: whole in "".join(str(browser.driver.execute_script(said)).split()))
    front = {str(trial.number) for trial in huge.pareto_trials}
    assert front

    def figures() -> list[list[str]]:
        found: list[list[str]] = browser.driver.execute_script(
            "return [...document.querySelectorAll('.js-plotly-plot')].map("
            "plot => plot._fullData.filter(t => t.name === 'front').flatMap(t => [...t.customdata].map(String)))"
        )
        return found

    browser.until(lambda: any(set(drawn) == front for drawn in figures()))


def test_two_hundred_knobs_are_pasted_checked_and_made(storage: Storage, server: Server, browser: Browser) -> None:
    titles = [f"k{i}" for i in range(200)]
    rows = [[f"{(7 * i + 3 * r) % 11}" for i in range(200)] + [f"{50 + r}"] for r in range(4)]
    browser.open(f"{server.url}/new")
    browser.type("sheet_text", "\n".join("\t".join(row) for row in [[*titles, "yield"], *rows]))
    browser.see("A study with 200 knobs and 1 goal, and your 4 runs as its history.")
    browser.type("new_name", "wide")
    browser.click("create")
    browser.see("wide was made with 4 runs", 60)
    assert len(wb.load_study("wide", storage=storage).space.names) == 200


def test_a_huge_record_has_a_model_of_its_best_part(huge: wb.Study, server: Server, browser: Browser) -> None:
    browser.open(address(server, "model", huge.name))
    browser.see("The model looks at 800 of 20,000 runs", 120)
    browser.see("Predicts yield to ±")


def test_the_trade_offs_of_a_huge_record_have_the_whole_front_and_follow_a_limit(
    huge: wb.Study, server: Server, browser: Browser
) -> None:
    browser.open(address(server, "pareto", huge.name))
    front = {trial.number for trial in huge.pareto_trials}
    assert len(front) > 50
    browser.see(f"No run beats these {len(front)} on both goals at once.")
    browser.see("The model expects", 240)  # nothing is drawn anew meanwhile
    browser.settle()

    def drawn() -> list[list[int]]:
        found: list[list[int]] = browser.driver.execute_script(
            "return document.querySelector('.js-plotly-plot')._fullData.filter("
            "t => t.name.startsWith('on the front')).map(t => [...t.ids].map(Number))"
        )
        return found

    (seen,) = browser.until(drawn)
    assert len(seen) == len(front)
    assert set(seen) == front
    assert browser.shapes() == []
    browser.drag("cost", -0.5)
    browser.see("front runs are left")
    browser.until(browser.shapes)
    (edge,) = [one for one in browser.shapes() if one["type"] == "line"]
    assert (edge["yref"], edge["y0"]) == ("y", edge["y1"])
    found = analysis.inside(huge.history(), {"cost": edge["y0"]})
    assert 0 < len(found.left) < len(front)
    browser.see(f"{len(found.left)} of {len(front)} front runs are left.")
    browser.becomes(lambda: [set(one) for one in drawn()], [front])  # shaded, and there


def test_going_round_and_round_leaks_nothing(example: str, server: Server, browser: Browser) -> None:
    browser.open(address(server, "model", example))
    browser.see("Up to date", 60)  # what the model says is kept, once for a study
    browser.open(address(server, "run", example))

    css = '[data-testid="stSidebar"] a:not([disabled])'

    def rounds(times: int) -> float:
        for i in range(times):
            links = browser.until(lambda: browser.driver.find_elements("css selector", css))  # drawn anew each time
            browser.driver.execute_script("arguments[0].click()", links[i % len(links)])
            browser.settle()
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024  # MiB

    first = rounds(12)
    assert rounds(38) - first < 40


@pytest.mark.parametrize("key", [one.key for one in PAGES])
def test_everybody_can_use_the_page(key: str, example: str, server: Server, browser: Browser) -> None:
    browser.open(address(server, key, example))
    if key == "pareto":
        browser.see("certainty", 60)  # the model has been heard: nothing is drawn anew meanwhile
        browser.settle()
    if key in ("overview", "compare", "pareto"):
        browser.until(lambda: browser.find('[data-testid="stPlotlyChart"]'))
    browser.settle()
    figures = browser.driver.find_elements("css selector", '[data-testid="stPlotlyChart"]')
    for figure in figures:
        assert figure.get_attribute("role") == "figure"
        assert len(figure.get_attribute("aria-label") or "") > 40
    twins = browser.driver.find_elements("xpath", "//summary[contains(., 'Show as table')]")
    assert len(twins) == len(figures)
    for twin in twins:
        browser.click_on(lambda twin=twin: twin)
        browser.settle()
    tables = "//*[contains(text(), 'The numbers behind the figure')]"
    browser.until(lambda: len(browser.driver.find_elements("xpath", tables)) == len(figures))
    assert browser.axe(ALLOWED, ICONS) == []


def test_the_keyboard_reaches_the_record_button(example: str, server: Server, browser: Browser) -> None:
    browser.open(address(server, "run", example))
    reached: list[Any] = []
    for _ in range(60):
        browser.press("\ue004")  # Tab
        reached.append(browser.driver.execute_script(
            "const e = document.activeElement; return (e.closest('[class*=\"st-key-\"]') || {className: ''}).className"
        ))  # fmt: skip
        if any("st-key-suggest" in name for name in reached):
            break
    for key in ("accept_", "edit_", "reject_", "suggest"):
        assert any(f"st-key-{key}" in name for name in reached), (key, reached)


@pytest.mark.parametrize(("mode", "width"), [("light", 1400), ("dark", 1400), ("narrow", 800)])
def test_every_page_is_looked_at(
    mode: str, width: int, example: str, server: Server, browse: Callable[..., Browser]
) -> None:
    """Pictures for people, and at 800 px: nothing runs out of the page, and the sidebar is closed."""
    browser = browse(dark=mode == "dark", width=width, height=1250)
    for one in PAGES:
        browser.open(address(server, one.key, example))
        if mode == "narrow":
            browser.until(lambda: browser.find('[data-testid="stSidebar"][data-collapsed="true"]'))
        browser.until(lambda: not browser.find('[data-testid="stSkeleton"]'))
        browser.settle()
        if mode == "narrow":
            browser.until(browser.fits)
        ground = "return getComputedStyle(document.querySelector('.stApp')).backgroundColor"
        browser.becomes(
            lambda ground=ground: browser.driver.execute_script(ground),
            "rgb(19, 23, 28)" if mode == "dark" else "rgb(255, 255, 255)",
        )
        picture = SCREENSHOTS / f"{one.key}-{mode}.png"
        browser.shot(picture)
        assert picture.stat().st_size > 10_000
    if os.environ.get("CI"):
        shutil.rmtree(SCREENSHOTS)
