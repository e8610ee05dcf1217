"""The frame in the browser: every page empty, hostile names, strangers, a restart; and runs of a problem, live."""

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
from browser.driving import GRID, Browser, Server
from ui.pages import FIRST, PAGES
from workbench.storage import Storage

PATHS = ["", *(page.key for page in PAGES if page.key != FIRST)]
HOSTILE = [
    "<img src=x onerror=document.title='hacked'>",
    "![t](http://127.0.0.1:9/t.png) $x$ :red[x] :material/home:",
    "أهلا 🧪 " + "n" * 200,
]


def one_knob(name: str, storage: Storage, **options: object) -> wb.Study:
    return wb.create_study(name, wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage, seed=0,
                           sampler="sobol", **options)  # type: ignore[arg-type]  # fmt: skip


def whole(browser: Browser, path: str) -> None:
    """The page has something to say, and nothing has failed."""
    browser.until(lambda: len(browser.text()) > 150)
    assert browser.find('[data-testid="stException"]') is None, path
    assert "This page failed" not in browser.text(), path


def test_every_page_opens_on_an_empty_database(server: Server, browser: Browser) -> None:
    for path in PATHS:
        browser.open(f"{server.url}/{path}")
        whole(browser, path)
    browser.open(server.url)
    links = sum(not page.of_study for page in PAGES)
    browser.becomes(lambda: len(browser.driver.find_elements("css selector", '[data-testid="stSidebar"] a')), links)
    for i in range(links):
        browser.click_on(lambda i=i: browser.driver.find_elements("css selector", '[data-testid="stSidebar"] a')[i])
        browser.settle()
        whole(browser, browser.driver.current_url)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_literal_everywhere(name: str, storage: Storage, server: Server, browser: Browser) -> None:
    study = one_knob(name, storage)
    for trial in study.ask(4):
        study.tell(trial, trial["x"])
    study.annotate(note=name, tags=[name])
    study.annotate(0, note=name, tags=[name])
    study.ask()
    for path in PATHS:
        browser.open(f"{server.url}/{path}?study={urllib.parse.quote(name)}")
        whole(browser, path)
        assert browser.driver.title != "hacked"
        asked = browser.driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert all(url.startswith((server.url, "data:", "blob:")) for url in asked), asked
        assert browser.find("img[src='x'], img[src*=':9/']") is None
    browser.open(f"{server.url}/run?study={urllib.parse.quote(name)}")
    browser.until(lambda: name[:50] in browser.text().replace("\u2060", ""))


def test_strangers_are_refused(server: Server) -> None:
    def upgrade(host: str, origin: str) -> int:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
            key = base64.b64encode(os.urandom(16)).decode()
            line.sendall(
                f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            return int(line.recv(200).split()[1])

    def refusal(path: str, method: str) -> int:
        request = urllib.request.Request(f"{server.url}/{path}", data=b"x", method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        return refused.value.code

    own = f"127.0.0.1:{server.port}"
    assert upgrade(own, f"http://{own}") == 101
    assert upgrade(own, "http://evil.example") == 403
    assert upgrade("evil.example", "http://evil.example") in (400, 403)
    assert refusal("_stcore/upload_file/a/b", "PUT") == 403
    assert refusal("_stcore/agent/interact", "POST") == 403
    assert refusal("_stcore/agent/mcp", "POST") in (400, 403)
    others = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = {
        line[1].split(":")[0] for line in others if line[3] == "0A" and int(line[1].split(":")[1], 16) == server.port
    }
    assert listening == {"0100007F"}


def test_a_draft_survives_a_restart_of_the_server_under_an_open_page(
    storage: Storage, server: Server, browser: Browser
) -> None:
    study = one_knob("restart", storage)
    study.ask()
    browser.open(f"{server.url}/run?study=restart")
    browser.cell(GRID, 2, 0, "12.5")
    browser.see("Record 1 run")
    assert server.stop() == 0
    server.start()
    study.ask()
    browser.until(lambda: browser.find('[data-test-connection-state="CONNECTED"]'))  # by itself
    browser.see("Next 2 runs")
    browser.see("Record 1 run")
    browser.click("record")
    browser.see("1 run recorded")
    assert study.trial(0).values == {"y": 12.5}
    browser.severe()  # the connection that broke is no fault of the page


SLOW = """
import time
import workbench as wb


class Slow:
    name, source, optimum, constraints = 'slow', '', None, []
    space = wb.Space([wb.Float('x', 0, 1)])
    objectives = [wb.Objective('y')]

    def evaluate(self, params):
        time.sleep(0.3)
        return {'y': params['x']}


slow = Slow()
"""


def test_runs_of_a_problem_go_on_without_the_page_and_stop_on_request(
    storage: Storage, folder: Path, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "slowly.py").write_text(SLOW)
    study = one_knob("slow", storage, budget=500)
    server = Server(tmp_path, folder / "lab.db", "--problem", "slowly:slow")
    try:
        browser.open(f"{server.url}/overview?study=slow")
        browser.click("start")
        browser.see("of 500 runs are finished", 60)
        browser.open(f"{server.url}/overview?study=slow")  # a reload
        browser.see("of 500 runs are finished")
        before = int(study.history().finished.sum())
        browser.driver.get("about:blank")  # the page is gone
        browser.until(lambda: int(study.history().finished.sum()) >= before + 3)
        browser.open(f"{server.url}/overview?study=slow")
        browser.click_on(lambda: browser.find('[class*="st-key-stop_"] button'))
        browser.see("Stopped:")
        count = int(study.history().finished.sum())
        left = browser.until(lambda: [row for row in study.history().rows if row.expires == 0.0])  # given back
        time.sleep(1.0)
        assert int(study.history().finished.sum()) == count
        browser.open(f"{server.url}/run?study=slow")
        browser.see(f"Run {left[0].number} was interrupted")
        browser.open(f"{server.url}/overview?study=slow")
        browser.click("start")  # goes on with it
        browser.until(lambda: str(study.trial(left[0].number).state) == "complete", 60)
        assert study.trial(left[0].number).attempt == 2
    finally:
        browser.driver.get("about:blank")
        assert server.stop() == 0


def test_two_browsers_see_the_same_and_filter_apart(
    storage: Storage, server: Server, browser: Browser, browse: Callable[..., Browser]
) -> None:
    study = one_knob("two", storage)
    for trial in study.ask(3):
        study.tell(trial, trial["x"])
    other = browse()
    browser.open(f"{server.url}/run?study=two")
    other.open(f"{server.url}/run?study=two&show=Failed")
    browser.see("3 runs, newest first")
    other.see("0 runs, newest first")
    study.attach({"x": 0.5}, 1.0)
    browser.see("4 runs, newest first")  # by itself
    assert "0 runs, newest first" in other.text()
