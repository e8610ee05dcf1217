"""The frame in the browser: every page empty, a study from a spreadsheet, live work, strangers."""

from __future__ import annotations

import base64
import os
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

import workbench as wb
from browser.driving import Browser, Server
from ui.pages import FIRST, PAGES
from workbench.storage import Storage

PATHS = ["", *(page.key for page in PAGES if page.key != FIRST)]
SHEET = "\n".join(
    ["Exp\tTemp [°C]\tTime (min)\tSolvent\tYield %\tEUR/kg\tPd ppm", *(
        f"E{i:02}\t{60 + 7 * i % 50}\t{5 + 11 * i % 55}\t{'iPrOH' if i % 2 else '2-MeTHF'}\t"
        f"{70 + i * 13 % 29},{i % 10}\t{150 + 17 * i % 60}\t{1 + i * 7 % 9},{i % 10}"
        for i in range(20)
    )]
)  # fmt: skip


def test_every_page_opens_on_an_empty_database(
    database: Path, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    server, browser = serve(), browse()
    for page in PATHS:
        browser.open(f"{server.url}/{page}")
        assert len(browser.text()) > 150, page
        assert browser.find('[data-testid="stException"]') is None, page
        assert "This page failed" not in browser.text(), page


def test_from_the_spreadsheet_to_the_first_suggestions(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    server, browser = serve(), browse()
    browser.open(server.url)
    began, actions = time.monotonic(), 0
    browser.click("from_sheet")
    browser.type("sheet_text", SHEET)
    browser.see("What each column is")
    browser.type("new_name", "Suzuki coupling")
    browser.click("create")
    actions += 4
    browser.see("Next 3 runs", 60)
    assert time.monotonic() - began < 60
    assert actions <= 12
    study = wb.load_study("Suzuki coupling", storage=storage)
    assert list(study.space.names) == ["Temp", "Time", "Solvent"]
    assert [(g.name, g.direction) for g in study.history().measured] == [("Yield", "maximize"), ("EUR/kg", "minimize")]
    assert [(c.name, c.upper) for c in study.constraints] == [("Pd", 9.5)]
    assert int(study.history().complete.sum()) == 20
    assert int(study.history().pending.sum()) == 3
    assert study.trial(3).attrs == {"Exp": "E03"}


def test_runs_of_a_problem_go_on_without_the_page_and_stop_on_request(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser], tmp_path: Path
) -> None:
    (tmp_path / "slowly.py").write_text(
        "import time\nimport workbench as wb\n\n\nclass Slow:\n"
        "    name, source, optimum, constraints = 'slow', '', None, []\n"
        "    space = wb.Space([wb.Float('x', 0, 1)])\n    objectives = [wb.Objective('y')]\n\n"
        "    def evaluate(self, params):\n        time.sleep(0.3)\n"
        "        return {'y': params['x']}\n\n\nslow = Slow()\n"
    )
    study = wb.create_study("slow", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage,
                            sampler="sobol", budget=500)  # fmt: skip
    server, browser = serve("--problem", "slowly:slow"), browse()
    browser.open(f"{server.url}/overview?study=slow")
    browser.click("start")
    browser.see("of 500 runs are finished", 60)
    browser.open(f"{server.url}/overview?study=slow")  # a reload
    before = int(study.history().finished.sum())
    browser.driver.get("about:blank")  # the page is gone
    browser.until(lambda: int(study.history().finished.sum()) >= before + 3)
    browser.open(f"{server.url}/overview?study=slow")
    stop = browser.until(lambda: browser.find('[class*="st-key-stop_"] button'))
    began = time.monotonic()
    stop.click()
    browser.see("Stopped:", 10)
    count = int(study.history().finished.sum())
    assert time.monotonic() - began < 10
    time.sleep(1.0)
    assert int(study.history().finished.sum()) == count


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=document.title='hacked'>",
        "![t](http://127.0.0.1:9/t.png) $x$ :red[x]",
        "أهلا 🧪 " + "n" * 200,
    ],
)
def test_hostile_names_are_literal_everywhere(
    name: str, storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    study = wb.create_study(name, wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage, seed=0)
    for trial in study.ask(3, sampler="sobol"):
        study.tell(trial, trial["x"])
    study.annotate(note=name)
    server, browser = serve(), browse()
    for page in PATHS:
        browser.open(f"{server.url}/{page}?study={urllib.parse.quote(name)}")
        assert browser.driver.title != "hacked"
        asked = browser.driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert all(url.startswith((server.url, "data:", "blob:")) for url in asked), asked
        assert browser.find("img[src='x'], img[src*=':9/']") is None
        assert "This page failed" not in browser.text()
    browser.open(f"{server.url}/run?study={urllib.parse.quote(name)}")
    assert name[:50] in browser.text().replace("\u2060", "")


def test_strangers_are_refused(database: Path, serve: Callable[..., Server]) -> None:
    server = serve()

    def upgrade(host: str, origin: str) -> int:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
            key = base64.b64encode(os.urandom(16)).decode()
            line.sendall(
                f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            return int(line.recv(200).split()[1])

    own = f"127.0.0.1:{server.port}"
    assert upgrade(own, f"http://{own}") == 101
    assert upgrade(own, "http://evil.example") == 403
    assert upgrade("evil.example", "http://evil.example") in (400, 403)
    upload = urllib.request.Request(f"{server.url}/_stcore/upload_file/a/b", data=b"x", method="PUT")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(upload, timeout=10)
    assert refused.value.code == 403
    others = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {
        line[1].split(":")[0] for line in others if line[3] == "0A" and int(line[1].split(":")[1], 16) == server.port
    }
    assert listening == {"0100007F"}
    assert server.stop() == 0
