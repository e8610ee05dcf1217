"""The Model page and the engineer's first minute in the browser, held against the database and the model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import workbench as wb
from browser.driving import Browser, Server, need_chromium
from ui.__main__ import prepare
from workbench.storage import Storage

MINUTE = 60.0


@pytest.fixture
def storage(tmp_path: Path) -> Storage:  # one for each test: they all call their study the same
    need_chromium()
    prepare(str(tmp_path / "lab.db"))
    return Storage(tmp_path / "lab.db")


@pytest.fixture
def serve(tmp_path: Path, storage: Storage) -> Iterator[Callable[..., Server]]:
    """Start a server of the database."""
    servers: list[Server] = []

    def start() -> Server:
        servers.append(Server(tmp_path, tmp_path / "lab.db"))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def value(p: dict[str, float], rng: np.random.Generator) -> float:
    """Yield of a made-up reaction: temperature, time and load matter, base and stirring do not; noise of 0.5."""
    heat = (p["temp"] - 60) / 50
    return float(round(60 + 25 * math.sin(2 * heat) + 0.25 * p["time"] + 2 * p["load"] + 0.5 * rng.normal(), 2))


SPACE = wb.Space(
    [
        wb.Float("temp", 60, 110, unit="°C"), wb.Float("time", 5, 60, unit="min"), wb.Float("load", 0.5, 5),
        wb.Float("base", 1, 2), wb.Float("stir", 200, 800, unit="rpm"),
    ]
)  # fmt: skip


def made(storage: Storage, n: int) -> wb.Study:
    goals = [wb.Objective("yield", "maximize", unit="%")]
    study = wb.create_study("reaction", SPACE, goals, storage=storage, seed=0, sampler="gp")
    rng = np.random.default_rng(0)
    for params in SPACE.decode(SPACE.sobol(n, 1)):
        study.attach(params, value(params, rng))
    return study


def tab(browser: Browser, name: str) -> None:
    browser.click_on(lambda: browser.called('[data-testid="stTab"]', name))
    browser.settle()


def drawn(browser: Browser, key: str) -> str:
    """What a plotly figure says, once it is drawn."""
    script = "return [...document.querySelectorAll(arguments[0] + ' .main-svg')].map(svg => svg.textContent).join(' ')"
    return str(browser.until(lambda: str(browser.driver.execute_script(script, f".st-key-{key}")).strip()))


def test_slices_contours_and_calibration_follow_the_record(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    """Flow 8: figures once the job has ended, a banner after a new run, sliders, and a study that has no model."""
    study = made(storage, 24)
    server, browser = serve(), browse(height=1400)
    browser.open(f"{server.url}/model?study=reaction")
    browser.see("Predicts yield to ±", MINUTE)
    browser.see("Temp matters most for yield")
    assert drawn(browser, "model_importance_small")
    assert drawn(browser, "model_calibration_small")
    tab(browser, "Slices")
    assert drawn(browser, "model_slice_temp")
    tab(browser, "Contours")
    assert drawn(browser, "model_contour")
    before = drawn(browser, "model_contour")
    held = browser.until(lambda: browser.find('[data-testid="stSlider"] input[type="range"]'))
    browser.driver.execute_script("arguments[0].focus()", held)
    ActionChains(browser.driver).send_keys(*[Keys.ARROW_LEFT] * 5).perform()
    browser.until(lambda: drawn(browser, "model_contour") != before)  # its caption names where the others are held
    tab(browser, "Calibration")
    browser.until(lambda: "measured yield" in drawn(browser, "model_calibration"))
    study.attach(study.trial(0).params, 70.0)
    browser.see("Computed from 24 runs; now there are 25.")
    browser.see("Computed at run 23")
    browser.click("recompute")
    browser.see("Up to date, run 24", MINUTE)
    wide = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(80)])
    other = wb.create_study("wide", wide, [wb.Objective("y")], storage=storage, seed=0, sampler="sobol")
    for params in wide.decode(wide.sobol(6, 0)):
        other.attach(params, params["x0"])
    browser.open(f"{server.url}/model?study=wide")
    browser.see("There is no model of this study", MINUTE)
    browser.see("80 columns and blocks of features, more than 64")
    browser.open(f"{server.url}/run?study=wide")
    browser.click("suggest")
    browser.see("Next 3 runs")
    assert [str(t.state) for t in other.trials[6:]] == ["running"] * 3


def test_locking_and_widening_from_a_verdict(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    study = made(storage, 30)
    rng = np.random.default_rng(1)
    for _ in range(4):
        trial = study.ask()
        study.tell(trial, value(trial.params, rng))
    found = study.model().diagnose().about("bounds")[0]
    ((name, (low, high)),) = found.change.items()
    server, browser = serve(), browse(height=1400)
    browser.open(f"{server.url}/model?study=reaction")
    browser.see("Predicts yield to ±", MINUTE)
    assert study.model().importance()["yield"].inert
    browser.click_on(lambda: browser.find('[class*="st-key-verdict_lock"] button'))
    browser.see("Locked in the next suggestions")
    browser.click_on(lambda: browser.find('[class*="st-key-verdict_widen"] button'))
    browser.click("widen_yes")
    browser.see("Suggestions may go further now")
    now = wb.load_study("reaction", storage=storage).space[name]
    assert (now.low, now.high) == (low, high)
    assert len(wb.load_study("reaction", storage=storage).trials) == 34


def test_the_engineers_first_minute(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    """Paste 20 old runs; within a minute: how well it predicts, what does nothing, the next 3, each with its reason."""
    rng = np.random.default_rng(2)
    rows = [(*params.values(), value(params, rng)) for params in SPACE.decode(SPACE.sobol(20, 5))]
    table = "\n".join(["\t".join([*SPACE.names, "yield"]), *("\t".join(f"{x:.6g}" for x in row) for row in rows)])
    wb.create_study("reaction", SPACE, [wb.Objective("yield", "maximize", unit="%")], storage=storage, seed=0)
    server, browser = serve(), browse(height=1400)
    browser.open(f"{server.url}/run?study=reaction")
    began = time.monotonic()
    browser.click("paste_old")
    browser.type("paste_text", table)
    browser.click("paste_yes")
    browser.see("20 runs")
    browser.see("Predicts yield to ±", MINUTE)
    browser.click("suggest")
    browser.see("Run these 3 next.", MINUTE)
    browser.see("Worth it to gain")
    browser.see("do nothing you can measure")
    browser.see("Nearest tried: run")
    taken = time.monotonic() - began
    browser.settle()
    said = browser.text()
    assert taken < MINUTE, f"{taken:.0f} s"
    assert "base and stir do nothing you can measure" in said or "stir and base do nothing you can measure" in said
    study = wb.load_study("reaction", storage=storage)
    assert int(study.history().complete.sum()) == 20
    trials = study.trials[20:]
    assert [str(t.state) for t in trials] == ["running"] * 3
    shown = study.model().diagnose().calibration["yield"].rmse
    assert f"± {shown:.2g} %" in said
    for trial in trials:
        belief = trial.predicted["yield"]
        assert trial.why
        assert f"± {belief['sd']:.2g} %" in said
        assert trial.why[1:30] in said  # a card begins with a capital
