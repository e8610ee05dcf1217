"""The browser side in a real browser: a huge study, two browsers on one, and the way from a spreadsheet to suggestions.

    python benchmarks/ui_pages.py [--runs 10000] [--repeats 3] [--out benchmarks/results/ui.json]
    python benchmarks/ui_pages.py --only tradeoffs [--repeats 3] [--out benchmarks/results/ui_tradeoffs.json]

Needs Debian's chromium and chromium-driver. For a study with so many runs it times, from the address to the screen:
the text of the run sheet and of the overview, the overview's chart, and the script on the server alone; beside it a
bare Streamlit page that shows the same chart, since that much is Streamlit's and plotly's. Then how soon a second
browser sees a run that was recorded, how long the way from a spreadsheet to the first suggestions takes, and how soon
slices and contours of a model of 40 runs follow a slider, and how soon new pictures follow an answer on the Rank
page (`--only ranking` for these alone). `--only tradeoffs` times the trade-offs of studies with 20,000 runs of two and
of three goals: the text, the chart, and how soon the chart follows a limit, once the model has said how sure the front
is; and text and chart at the first visit, while the model is still learning beside the page.
Every time is a median over `repeats`, on a warm server. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import workbench as wb
from workbench.study import telling
from workbench.study.telling import Run
from workbench.trial import Observation

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser.driving import Browser, Server
from browser.ranking import ENTER, begin, ready
from browser.test_model import drawn, made, tab
from browser.test_new_study import SHEET
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

Part = Callable[[dict[str, Any], Browser, Server], None]
_BARE = """
import streamlit as st
import workbench as wb
from workbench import plots
study = wb.load_study("huge", storage={url!r})
st.title("Bare")
st.plotly_chart(plots.history(study.history(), most=5000), theme=None)
"""
_CHART = ".main-svg, .gl-canvas"
_FOLLOW = """
const [slider, figure] = arguments
const drawn = () => [...document.querySelectorAll(figure + ' .main-svg')].map(svg => svg.innerHTML).join(' ')
const before = drawn()
window.followed = null
slider.focus()
slider.addEventListener('keydown', () => {
  const pressed = performance.now()
  const look = () => {
    const now = drawn()
    if (now && now !== before) window.followed = performance.now() - pressed
    else requestAnimationFrame(look)
  }
  look()
}, {once: true})
"""
"""Notes the milliseconds from a key on a slider until a figure's words or lines have changed."""
_PICTURES = """
const r = document.querySelector('.st-key-board [data-testid=stBidiComponentIsolated]').shadowRoot
const old = new Set([...r.querySelectorAll('.card img')].map(one => one.src))
window.seen = {}
window.addEventListener('keydown', () => {
  const pressed = performance.now()
  const look = () => {
    const cards = [...r.querySelectorAll('.card')]
    const now = cards.map(one => one.querySelector('img')?.src)
    const fresh = now.some(src => src && !old.has(src))
    if (fresh && !window.seen.first) window.seen.first = performance.now() - pressed
    if (fresh && cards.every(one => one.classList.contains('ready'))) window.seen.whole = performance.now() - pressed
    else requestAnimationFrame(look)
  }
  look()
}, {once: true, capture: true})
"""
"""Notes the milliseconds from a key until the first new picture is there, and until every one is whole."""
_FRONT_RUNS = 20_000
_DRAWN = """
const plot = document.querySelector('.st-key-front_Pairs .js-plotly-plot')
return Boolean(plot && plot._fullLayout && plot.calcdata && plot.calcdata.length > 1 && plot.querySelector('.main-svg'))
"""
"""Has the chart of the trade-offs its points?"""
_HISTORY = ".st-key-figure_history .main-svg, .st-key-figure_history .gl-canvas"
"""The chart of the overview that the bare page shows too; the hypervolume stands above it."""


def huge(path: Path, runs: int, name: str = "huge", goals: int = 2) -> wb.Study:
    """A study of two or three goals with so many finished runs."""
    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(4)])
    wanted = [wb.Objective("yield", "maximize", unit="%"), wb.Objective("cost", "minimize"),
              wb.Objective("purity", "maximize", unit="%")][:goals]  # fmt: skip
    study = wb.create_study(name, space, wanted, storage=path, sampler="sobol", seed=0, budget=2 * runs)
    rng = np.random.default_rng(0)
    X = rng.random((runs, 4))  # (runs, 4)
    values = {
        "yield": 100 - 50 * ((X - 0.6) ** 2).sum(axis=1) + rng.normal(0, 1, runs),
        "cost": X.sum(axis=1),
        "purity": 99 - 6 * ((X - 0.2) ** 2).sum(axis=1) + rng.normal(0, 0.1, runs),
    }
    told = [
        Run(
            {f"x{i}": float(x[i]) for i in range(4)},
            Observation({goal.name: float(values[goal.name][row]) for goal in wanted}),
        )
        for row, x in enumerate(X)
    ]
    telling.attach_all(study._record, told)
    return study


def timed(browser: Browser, address: str, *waits: Callable[[], Any]) -> list[float]:
    """Seconds from the address until each condition holds, in their order."""
    browser.driver.get("about:blank")
    began = time.perf_counter()
    browser.driver.get(address)
    found = []
    for wait in waits:
        browser.until(wait, 120)
        found.append(time.perf_counter() - began)
    return found


def server_seconds(url: str, page: str, repeats: int) -> float:
    """Seconds of a warm run of the page's script, without a browser."""
    import os

    from streamlit.testing.v1 import AppTest

    from ui.server import STORAGE

    os.environ[STORAGE] = url
    at = AppTest.from_file(str(Path(__file__).parent.parent / "ui" / "app.py"), default_timeout=120)
    at.query_params["study"] = "huge"
    at.run()
    at.switch_page(f"app_pages/{page}.py").run()
    assert not at.exception, at.exception
    assert not at.error, at.error
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        at.run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["ranking", "tradeoffs"])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.only:
        part: Part = _ranking if given.only == "ranking" else partial(_tradeoffs, repeats=given.repeats)
        _finish(_alone(part), given.out)
        return
    found: dict[str, Any] = {"runs": given.runs, "repeats": given.repeats}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = huge(folder / "huge.db", given.runs)
        url = study.storage_url
        assert url is not None
        server, browser = Server(folder, folder / "huge.db"), Browser(folder / "profile")
        try:
            _pages(found, browser, server, given.repeats)
            _journey(found, browser, server)
            _two(found, browser, folder, server, study)
            _sliders(found, browser, server, study)
            _ranking(found, browser, server)
            _bare(found, browser, folder, url, given.repeats)
        finally:
            browser.close()
            server.stop()
        for page in ("run_sheet", "overview"):
            found[f"{page}_script_s"] = server_seconds(url, page, given.repeats)
    found["ratio_to_bare"] = found["overview_chart_s"] / found["bare_chart_s"]
    _finish(found, given.out)


def _finish(found: dict[str, Any], out: Path | None) -> None:
    for key, value in found.items():
        print(f"{key}: {value:.3f}" if isinstance(value, float) else f"{key}: {value}")
    text = json.dumps(found)
    if out:
        out.write_text(text + "\n")
    print(text)


def _alone(part: Part) -> dict[str, Any]:
    """What one part finds on a server of its own."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, browser = Server(folder, folder / "lab.db"), Browser(folder / "profile")
        try:
            part(found, browser, server)
        finally:
            browser.close()
            server.stop()
    return found


def _pages(found: dict[str, Any], browser: Browser, server: Server, repeats: int) -> None:
    run, over = f"{server.url}/run?study=huge", f"{server.url}/overview?study=huge"
    first = timed(browser, run, lambda: "on the front" in browser.text())
    found["run_sheet_text_cold_s"] = first[0]
    sheets, texts, charts = [], [], []
    for _ in range(repeats):
        sheets += timed(browser, run, lambda: "on the front" in browser.text())
        text, chart = timed(
            browser, over, lambda: "on the front" in browser.text(), lambda: browser.find(_HISTORY)
        )  # fmt: skip
        texts.append(text)
        charts.append(chart)
    found["run_sheet_text_s"] = statistics.median(sheets)
    found["overview_text_s"] = statistics.median(texts)
    found["overview_chart_s"] = statistics.median(charts)
    whole = str(browser.driver.execute_script("return document.body.textContent"))
    found["sampling_said"] = "everybestsofar" in "".join(whole.split())  # lines of a figure have no spaces between


def _tradeoffs(found: dict[str, Any], browser: Browser, server: Server, repeats: int) -> None:
    """Seconds to the text and the chart of the trade-offs, and until both follow a limit, by the page's own clock."""
    found |= {"front_runs": _FRONT_RUNS, "repeats": repeats}
    for goals in (2, 3):
        name = f"front{goals}"
        huge(server.storage, _FRONT_RUNS, name, goals)
        address, key = f"{server.url}/pareto?study={name}", f"tradeoffs_{goals}_goals"
        waits = (lambda: "No run beats these" in browser.text(), lambda: browser.driver.execute_script(_DRAWN))
        found[f"{key}_text_first_s"], found[f"{key}_chart_first_s"] = timed(browser, address, *waits)
        began = time.perf_counter()
        browser.see("certainty", 300)
        found[f"{key}_model_after_s"] = time.perf_counter() - began
        browser.settle()
        texts, charts, follows = [], [], []
        for _ in range(repeats):
            text, chart = timed(browser, address, *waits)
            texts.append(text)
            charts.append(chart)
        browser.settle()
        for _ in range(7):
            held = browser.until(lambda: browser.find('[data-testid="stSlider"] input[type="range"]'))
            browser.driver.execute_script(_FOLLOW, held, ".st-key-front_Pairs")
            ActionChains(browser.driver).send_keys(Keys.ARROW_RIGHT).perform()
            follows.append(browser.until(lambda: browser.driver.execute_script("return window.followed")) / 1e3)
            browser.settle()
        found |= {f"{key}_text_s": statistics.median(texts), f"{key}_chart_s": statistics.median(charts),
                  f"{key}_limit_follow_s": statistics.median(follows)}  # fmt: skip


def _journey(found: dict[str, Any], browser: Browser, server: Server) -> None:
    browser.open(server.url)
    began = time.perf_counter()
    browser.click("from_sheet")
    browser.type("sheet_text", SHEET)
    browser.type("new_name", "from a spreadsheet")
    browser.click("create")
    browser.see("Next 3 runs", 120)
    found["spreadsheet_to_suggestions_s"] = time.perf_counter() - began
    found["spreadsheet_to_suggestions_actions"] = 4


def _two(found: dict[str, Any], browser: Browser, folder: Path, server: Server, study: wb.Study) -> None:
    """Seconds until an open page shows what somebody else recorded."""
    browser.open(f"{server.url}/run?study=from%20a%20spreadsheet")
    other = wb.load_study("from a spreadsheet", storage=study._record.storage)
    trial = next(t for t in other.trials if str(t.state) == "running")
    time.sleep(3)
    began = time.perf_counter()
    other.tell(trial, {"Yield": 88.0, "EUR/kg": 160.0, "Pd": 2.0})
    browser.see("Next 2 runs", 60)
    found["seen_by_another_browser_s"] = time.perf_counter() - began


def _sliders(found: dict[str, Any], browser: Browser, server: Server, study: wb.Study) -> None:
    """Seconds from a key on a slider until the figure has followed, by the page's own clock; the median of seven."""
    made(study._record.storage, 40)
    browser.open(f"{server.url}/model?study=reaction")
    browser.see("Predicts yield to ±", 120)
    for name, figure in (("Slices", "model_slice_temp"), ("Contours", "model_contour")):
        tab(browser, name)
        drawn(browser, figure)
        times = []
        for _ in range(7):
            held = browser.until(lambda: browser.find('[data-testid="stSlider"] input[type="range"]'))
            browser.driver.execute_script(_FOLLOW, held, f".st-key-{figure}")
            ActionChains(browser.driver).send_keys(Keys.ARROW_LEFT).perform()
            times.append(browser.until(lambda: browser.driver.execute_script("return window.followed")) / 1e3)
            browser.settle()
        found[f"{name.lower()}_follow_s"] = statistics.median(times)


def _ranking(found: dict[str, Any], browser: Browser, server: Server, rounds: int = 5) -> None:
    """Seconds from Enter until the first new picture, and until all are whole, by the page's own clock; medians.

    Once with two seconds of looking before Enter, in which the branch is rendered ahead, once without any.
    """
    begin(browser, server.url, "pictures")
    for name, looking in (("rendered_ahead", 2.0), ("at_once", 0.0)):
        first, whole = [], []
        for _ in range(rounds):
            for key in ("2", "5"):
                browser.press(key)
            time.sleep(looking)
            browser.driver.execute_script(_PICTURES)
            browser.press(ENTER)
            seen = browser.until(lambda: browser.driver.execute_script("return window.seen.whole && window.seen"))
            first.append(seen["first"] / 1e3)
            whole.append(seen["whole"] / 1e3)
            ready(browser)
        found[f"rank_first_picture_{name}_s"] = statistics.median(first)
        found[f"rank_first_picture_{name}_worst_s"] = max(first)
        found[f"rank_all_pictures_{name}_s"] = statistics.median(whole)


def _bare(found: dict[str, Any], browser: Browser, folder: Path, url: str, repeats: int) -> None:
    import socket
    import subprocess

    (folder / "bare.py").write_text(_BARE.format(url=url))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["run", str(folder / "bare.py"), "--server.headless=true", "--server.address=127.0.0.1",
             f"--server.port={port}", "--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "streamlit", *words], stdout=subprocess.DEVNULL)
    try:
        time.sleep(4)
        address = f"http://127.0.0.1:{port}"
        timed(browser, address, lambda: browser.find(_CHART))
        charts = [timed(browser, address, lambda: browser.find(_CHART))[0] for _ in range(repeats)]
        found["bare_chart_s"] = statistics.median(charts)
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
