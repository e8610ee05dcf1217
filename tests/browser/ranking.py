"""What the flows and the benchmark of the Rank page do with its board, which lives in a shadow root."""

from __future__ import annotations

from typing import Any

from selenium.webdriver.common.action_chains import ActionChains

from browser.driving import Browser

_ROOT = "const r = document.querySelector('.st-key-board [data-testid=stBidiComponentIsolated]')?.shadowRoot;"
ENTER, LEFT, RIGHT, BACKSPACE, ALT = "\ue007", "\ue012", "\ue014", "\ue003", "\ue00a"


def board(browser: Browser, code: str) -> Any:
    """What a script says of the board `r`."""
    return browser.driver.execute_script(f"{_ROOT} if (!r) return null; {code}")


def ready(browser: Browser) -> int:
    """Wait until every picture of the question is whole; how many there are."""
    return int(browser.until(lambda: board(
        browser, "return r.querySelector('.card:not(.ready)') ? 0 : r.querySelectorAll('.card.ready').length"
    )))  # fmt: skip


def pictures(browser: Browser) -> list[str]:
    """The pictures that are shown, byte for byte."""
    return list(board(browser, "return [...r.querySelectorAll('.card img')].map(one => one.src)"))


def numbers(browser: Browser) -> list[int]:
    """Numbers of the trials that are shown."""
    return [int(n) for n in board(browser, "return [...r.querySelectorAll('.card')].map(one => one.dataset.id)")]


def turn(browser: Browser) -> str:
    """The round that the board says it is."""
    return str(board(browser, "return r.querySelector('.round').textContent"))


def places(browser: Browser) -> list[str]:
    """The place that each picture has in the order so far."""
    return list(
        board(
            browser,
            "return [...r.querySelectorAll('.card')].map(one => one.querySelector('.place')?.textContent ?? '')",
        )
    )


def answer(browser: Browser, *keys: str) -> None:
    """Press keys that end a round, and wait for the next one."""
    before = numbers(browser), turn(browser)
    for key in keys:
        browser.press(key)
    browser.until(lambda: (numbers(browser), turn(browser)) != before)
    ready(browser)


def drag(browser: Browser, what: str, where: str) -> None:
    """Drag one element of the board onto another, by the mouse."""
    one, other = (board(browser, f"return r.querySelector('{css}')") for css in (what, where))
    ActionChains(browser.driver).click_and_hold(one).move_by_offset(12, 8).move_to_element(other).release().perform()


def begin(browser: Browser, url: str, name: str) -> None:
    """Begin a study of pictures by the bundled model."""
    browser.open(url)
    browser.click("rank_pictures")
    browser.type("pictures_name", name)
    browser.click("pictures_begin")
    ready(browser)
