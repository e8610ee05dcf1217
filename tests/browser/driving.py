"""A server of the app in a process of its own, and Debian's Chromium to drive it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader", "--force-device-scale-factor=1", "--lang=en-US",
)  # fmt: skip
_IDLE = '[data-testid="stApp"][data-test-script-state="notRunning"][data-test-connection-state="CONNECTED"]'
GRID = '[class*="st-key-editor"]'  # the table of runs to fill in
# Of every document, when it was last drawn, and what was said to the server and by it: whoever has been told something
# answers. A page is quiet if all that was a while ago.
_WATCH = """
(() => {
  const now = () => performance.now();
  let drawn = now(), asked = 0, answered = 0, sending = 0;
  new MutationObserver(() => { drawn = now(); }).observe(
    document, {subtree: true, childList: true, attributes: true, characterData: true});
  window.WebSocket = class extends window.WebSocket {
    constructor(...words) { super(...words); this.addEventListener("message", () => { answered = now(); }); }
    send(words) { asked = now(); super.send(words); }
  };
  const send = XMLHttpRequest.prototype.send;
  XMLHttpRequest.prototype.send = function (...words) {
    sending += 1;
    this.addEventListener("loadend", () => { sending -= 1; drawn = now(); });
    send.apply(this, words);
  };
  window.quiet = () => sending || answered < asked ? 0 : now() - Math.max(drawn, asked, answered);
})();
"""
# Looked at from within the page, for a while: asking it from outside every moment would slow it down.
_SETTLED = """
const [idle, wait, done] = arguments, end = performance.now() + 5000;
(function look() {
  if (document.querySelector(idle) && quiet() > wait) done(true);
  else if (performance.now() > end) done(false);
  else setTimeout(look, 40);
})();
"""
PATIENCE = 60.0  # seconds that a condition may take on a busy machine
# 404s that every deep link makes, and of the file behind a download button that has been drawn anew meanwhile.
_ALLOWED = ("_stcore/health", "_stcore/host-config", "favicon", "/media/", "Download Button source error")


def need_chromium() -> tuple[str, str]:
    """Paths of the browser and its driver; without them a skip that says how to install them, and in CI a failure."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser and driver:
        return browser, driver
    hint = "no chromium with its driver: apt-get install chromium chromium-driver"
    if os.environ.get("CI"):
        pytest.fail(hint)
    pytest.skip(hint)


class Server:
    """`python -m ui` on a free port of this machine."""

    def __init__(self, folder: Path, storage: Path, *words: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self.storage = storage
        self._command = [sys.executable, "-P", "-m", "ui", "--headless", "--storage", str(storage),
                         "--port", str(self.port), *words]  # fmt: skip
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2) as answer:
                    if answer.read() == b"ok":
                        return
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"the server did not come up: {self.log.read_text()[-2000:]}")

    def stop(self) -> int:
        """Interrupt it as Ctrl-C does; its exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Browser:
    """One browser with a profile of its own."""

    def __init__(self, profile: Path, *, width: int = 1400, height: int = 1000, dark: bool = False) -> None:
        browser, driver = need_chromium()
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        if dark:
            options.add_argument("--force-dark-mode")
        options.add_experimental_option("prefs", {"download.default_directory": str(profile / "downloads")})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(driver))
        self.driver.set_window_size(width, height)
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
        if dark:
            features = [{"name": "prefers-color-scheme", "value": "dark"}]
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.profile = profile
        self.downloads = profile / "downloads"

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    def open(self, url: str) -> None:
        """Open an address and wait until the page is drawn."""
        self.driver.get(url)
        self.settle()

    def settle(self, seconds: float = 0.25) -> None:
        """Wait until the script does not run, the server has answered, and the page has been the same for a while."""
        self.until(lambda: self.driver.execute_async_script(_SETTLED, _IDLE, 1000 * seconds))

    def until(self, what: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """What the condition gives, once it gives something."""
        end = time.monotonic() + patience
        problem: Exception | None = None
        while time.monotonic() < end:
            try:
                if found := what():
                    return found
            except (WebDriverException, LookupError, StopIteration, TypeError) as error:  # not there yet, or drawn anew
                problem = error
            time.sleep(0.1)
        self.shot(self.profile / "failure.png")
        raise AssertionError(f"nothing after {patience:.0f} s; {problem or ''} the page says: {self.text()[:1500]}")

    def becomes(self, what: Callable[[], Any], wanted: Any, patience: float = PATIENCE) -> None:
        """Wait until something on the page is as it is wanted; it says what it is otherwise."""
        with suppress(AssertionError):
            self.until(lambda: what() == wanted, patience)
        assert what() == wanted

    def find(self, css: str) -> WebElement | None:
        """The first element, if there is one."""
        found = self.driver.find_elements(By.CSS_SELECTOR, css)
        return found[0] if found else None

    def fits(self) -> bool:
        """Does the page run out of the window nowhere?"""
        script = "const m = document.querySelector('.stMain'); return m.scrollWidth <= m.clientWidth + 1"
        return bool(self.driver.execute_script(script))

    def text(self) -> str:
        """Everything that the page says."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def see(self, text: str, patience: float = PATIENCE) -> None:
        """Wait until the page says something."""
        self.until(lambda: text in self.text(), patience)

    def click(self, key: str) -> None:
        """Click the button of that key."""
        self.click_on(lambda: self.find(f".st-key-{key} button:not([disabled])"))
        self.settle()

    def click_on(self, find: Callable[[], WebElement | None]) -> WebElement:
        """Click what is found, once it is there and lies free: a page that is drawn anew still moves."""

        def clicked() -> WebElement | None:
            found = find()
            if found is not None:
                self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
                found.click()
            return found

        element: WebElement = self.until(clicked)
        return element

    def called(self, css: str, name: str) -> WebElement | None:
        """The first element that says just this, if there is one."""
        return next((one for one in self.driver.find_elements(By.CSS_SELECTOR, css) if one.text.strip() == name), None)

    def type(self, key: str, text: str) -> None:
        """Type into the field of that key, in place of what is there."""
        field = self.click_on(lambda: self.find(f".st-key-{key} input, .st-key-{key} textarea"))
        field.send_keys(Keys.CONTROL, "a")
        if "\t" in text or "\n" in text:  # typed, a tab would leave the field
            self.driver.execute_cdp_cmd("Input.insertText", {"text": text})
        else:
            field.send_keys(text)
        field.send_keys(
            Keys.CONTROL if field.tag_name == "textarea" else Keys.TAB,
            *([Keys.ENTER] if field.tag_name == "textarea" else []),
        )
        self.settle()

    def cell(self, grid: str, column: int, row: int, text: str) -> None:
        """Type into a cell of a grid, counted from 0; it is reached from the first one by arrow keys."""
        self._first_cell(grid)
        keys = ActionChains(self.driver)
        for _ in range(row):
            keys.send_keys(Keys.ARROW_DOWN)
        for _ in range(column):
            keys.send_keys(Keys.ARROW_RIGHT)
        keys.send_keys(text[0]).perform()  # which opens the cell
        field = self.until(lambda: self.find("#portal :is(input, textarea):focus"))
        field.send_keys(text[1:])
        if field.tag_name == "textarea":
            self.until(lambda: field.get_attribute("value") == text)
        field.send_keys(Keys.ENTER)
        self.until(lambda: not self.find("#portal :is(input, textarea)"))
        self.settle()

    def paste(self, grid: str, rows: list[list[str]]) -> None:
        """Paste a block of cells into a grid from its first cell on, as from a spreadsheet."""
        self._first_cell(grid)
        allowed = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        self.driver.execute_cdp_cmd("Browser.grantPermissions", allowed)
        self.driver.execute_async_script(
            "navigator.clipboard.writeText(arguments[0]).then(arguments[1])",
            "\n".join("\t".join(row) for row in rows),
        )
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys("v").key_up(Keys.CONTROL).perform()
        self.settle()

    def _first_cell(self, grid: str) -> None:
        self.settle(0.6)
        canvas = self.until(lambda: self.find(f"{grid} canvas"))
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        size = canvas.size
        left, top = -size["width"] // 2, -size["height"] // 2 + 50
        mouse = ActionChains(self.driver)
        # A click on the cell that is selected would open it, so another one is selected first.
        mouse.move_to_element_with_offset(canvas, left + 320, top).click().pause(0.1)
        mouse.move_to_element_with_offset(canvas, left + 60, top).click().perform()

    def tick(self, grid: str, row: int) -> None:
        """Select a row of a table by its box."""
        canvas = self.until(lambda: self.find(f"{grid} canvas"))
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
        size = canvas.size
        ActionChains(self.driver).move_to_element_with_offset(
            canvas, -size["width"] // 2 + 16, -size["height"] // 2 + 48 + 31 * row
        ).click().perform()
        self.settle()

    def drag(self, label: str, share: float) -> None:
        """Drag the slider of that label by a share of its width."""

        def slider() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, '[data-testid="stSlider"]')
            return next((one for one in found if one.text.startswith(label)), None)

        moved = self.until(slider)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", moved)
        thumb = moved.find_element(By.XPATH, ".//*[@data-testid='stSliderThumbValue']/..")
        ActionChains(self.driver, duration=60).click_and_hold(thumb).move_by_offset(
            round(share * moved.size["width"]), 0).release().perform()  # fmt: skip
        self.settle()

    def shapes(self) -> list[dict[str, Any]]:
        """What the first figure draws beside its points: edges of limits, and what they leave out."""
        found: list[dict[str, Any]] = self.driver.execute_script(
            "return (document.querySelector('.js-plotly-plot').layout.shapes || []).map("
            "({type, xref, yref, x0, x1, y0, y1}) => ({type, xref, yref, x0, x1, y0, y1}))"
        )
        return found

    def choose(self, key: str, file: Path) -> None:
        """Upload a file through the field of that key."""
        field = self.until(lambda: self.find(f".st-key-{key} input[type=file]"))
        field.send_keys(str(file))
        self.settle()

    def download(self, key: str) -> bytes:
        """Click a button that downloads, and read the file."""
        before = set(self.downloads.glob("*"))
        self.click(key)

        def arrived() -> Path | None:
            fresh = [p for p in set(self.downloads.glob("*")) - before if p.suffix != ".crdownload"]
            return fresh[0] if fresh and fresh[0].stat().st_size else None

        return Path(self.until(arrived)).read_bytes()

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def axe(self, allowed: Container[str], hidden: str) -> list[str]:
        """Serious and critical violations that axe-core finds on the page: rule, how often, and the first element.

        Args:
            allowed: Rules that are not looked at.
            hidden: Elements that are not looked at.
        """
        from axe_core_python.selenium import Axe

        found = Axe().run(self.driver, context={"exclude": [[hidden]]})["violations"]
        return [
            f"{one['id']} ({len(one['nodes'])}): {one['nodes'][0]['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical") and one["id"] not in allowed
        ]

    def severe(self) -> list[str]:
        """Errors of the console, without those that every deep link makes."""
        entries = [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]
        return [e for e in entries if not any(word in e for word in _ALLOWED)]

    def shot(self, path: Path) -> None:
        """A picture of the whole page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(path))
