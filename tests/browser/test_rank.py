"""The designer's journey: begin, rank by keys, by mouse and in three ways, take back, come again, take along."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

import workbench as wb
from browser.driving import Browser, Server
from browser.ranking import (
    BACKSPACE,
    ENTER,
    answer,
    begin,
    board,
    drag,
    numbers,
    pictures,
    places,
    ready,
    turn,
)  # fmt: skip
from problems.generative import emoji
from ui.drafts import Drafts
from ui.gallery import Source
from ui.presenters import ranking
from workbench.storage import Storage

NAME = "Journey"


@pytest.fixture(scope="module")
def study(server: Server, shared: Browser, storage: Storage) -> wb.Study:
    begin(shared, server.url, NAME)
    return wb.load_study(NAME, storage=storage)


def choose(browser: Browser, key: str, label: str) -> None:
    browser.click("rank_options")
    browser.click_on(lambda: browser.called("button", label))
    browser.settle()
    browser.click("rank_options")
    ready(browser)


def test_the_journey_by_keys(study: wb.Study, server: Server, browser: Browser) -> None:
    """A tie, a partial order, undo and redo with the very same pictures, a reload in the middle, the log."""
    browser.open(f"{server.url}/rank?study={NAME}")
    assert ready(browser) == 6
    assert not browser.driver.find_elements("css selector", "table, [data-testid=stDataFrame]")
    first, shown = pictures(browser), numbers(browser)
    for key in ("5", "1", "3", "t", "6"):
        browser.press(key)
    browser.becomes(lambda: places(browser), ["2nd", "", "2nd", "", "Best", "3rd"])
    browser.press(BACKSPACE)
    browser.press("6")
    kept = Drafts.beside(study.storage_url or "")
    browser.until(lambda: len((kept.get(f"order in {NAME} by ") or {"groups": []})["groups"]) == 3)
    browser.open(f"{server.url}/rank?study={NAME}")  # in the middle of a question
    ready(browser)
    browser.becomes(lambda: (numbers(browser), pictures(browser)), (shown, first))
    browser.becomes(lambda: places(browser), ["2nd", "", "2nd", "", "Best", "3rd"])
    answer(browser, ENTER)
    entry = study.feedback.log[0]
    assert entry.kind == "best"
    assert set(entry.of) == set(shown)
    assert entry.groups == ((shown[4],), (shown[0], shown[2]), (shown[5],))
    second = pictures(browser)
    stored = study.feedback.picture(shown[4])
    assert stored is not None
    assert first[4] == "data:image/png;base64," + base64.b64encode(stored.data).decode()
    answer(browser, "z")
    browser.becomes(lambda: pictures(browser), first)
    browser.becomes(lambda: places(browser)[4], "Best")
    answer(browser, "y")
    browser.becomes(lambda: pictures(browser), second)
    answer(browser, "n")
    answer(browser, "0")
    answer(browser, "?")
    answer(browser, "s")
    assert [e.kind for e in study.feedback.standing] == ["best", "none_acceptable", "rank", "cannot_tell", "skip"]
    for _ in range(5):
        answer(browser, "z")
    browser.becomes(lambda: pictures(browser), first)
    assert study.feedback.standing == ()


def test_a_round_from_the_middle_is_taken_back_and_restored(study: wb.Study, server: Server, browser: Browser) -> None:
    browser.open(f"{server.url}/rank?study={NAME}")
    ready(browser)
    choose(browser, "rank_mode", "An order, best first")
    while board(browser, "return r.querySelectorAll('.row:not(.rest) .thumb').length"):  # of whoever was here before
        browser.press(BACKSPACE)
    first, shown = pictures(browser), numbers(browser)
    answer(browser, "2", "1", ENTER)
    answer(browser, "3", ENTER)
    third = pictures(browser)
    one, two = ranking.answers(study)[-2:]
    browser.click("rank_given")
    browser.see("the best of 6")
    browser.click(f"given_{one.id}_turn")
    browser.until(lambda: numbers(browser) == shown)
    ready(browser)
    browser.becomes(lambda: pictures(browser), first)
    browser.becomes(lambda: places(browser)[:2], ["2nd", "Best"])
    assert [entry.id for entry in ranking.answers(study)[-1:]] == [two.id]
    browser.until(lambda: not browser.find(f".st-key-given_{one.id}_turn"))  # the list has closed
    browser.click("rank_given")
    browser.see("Restore")
    browser.shot(browser.profile.parent / "rank-answers.png")
    browser.click(f"given_{one.id}_turn")
    browser.until(lambda: numbers(browser) != shown)
    ready(browser)
    browser.becomes(lambda: pictures(browser), third)
    assert ranking.answers(study)[-2:] == [one, two]
    answer(browser, "z")
    answer(browser, "z")


def test_the_order_by_the_mouse_and_by_alt_arrows(study: wb.Study, server: Server, browser: Browser) -> None:
    browser.open(f"{server.url}/rank?study={NAME}")
    ready(browser)
    while board(browser, "return r.querySelectorAll('.row:not(.rest) .thumb').length"):
        browser.press(BACKSPACE)
    ids = numbers(browser)
    drag(browser, ".card:nth-child(2) .face", ".order .row[data-drop]")
    drag(browser, ".card:nth-child(3) .face", '.row[data-drop="tie:0"]')
    browser.becomes(lambda: places(browser)[1:3], ["Best", "Best"])
    drag(browser, ".card:nth-child(1) .face", '.gap[data-drop="gap:0"]')
    browser.becomes(lambda: places(browser)[:3], ["Best", "2nd", "2nd"])
    drag(browser, ".row:not(.rest) .thumb", ".row.rest")
    browser.becomes(lambda: places(browser)[:3], ["", "Best", "Best"])
    board(browser, "r.querySelectorAll('.face')[3].focus(); return true")
    browser.press("4")
    browser.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {
        "type": "keyDown", "key": "ArrowLeft", "code": "ArrowLeft", "modifiers": 1, "windowsVirtualKeyCode": 37,
    })  # fmt: skip
    browser.becomes(lambda: places(browser)[1:4], ["2nd", "2nd", "Best"])
    answer(browser, ENTER)
    assert ranking.answers(study)[-1].groups == ((ids[3],), tuple(sorted((ids[1], ids[2]), key=ids.index)))


def test_pairs_and_best_and_worst(study: wb.Study, server: Server, browser: Browser) -> None:
    browser.open(f"{server.url}/rank?study={NAME}")
    ready(browser)
    choose(browser, "rank_mode", "The best and the worst")
    ids = numbers(browser)
    browser.press("2")
    browser.becomes(lambda: places(browser)[1], "Best")
    browser.press("2")  # the worst must be another one: it is taken out instead
    browser.becomes(lambda: places(browser), [""] * 6)
    answer(browser, "2", "5", ENTER)
    last = ranking.answers(study)[-1]
    assert last.kind == "partial"
    known = ranking.edges(last.kind, last.groups, last.of)
    assert known == {(ids[1], n) for n in ids if n != ids[1]} | {(n, ids[4]) for n in ids if n != ids[4]}
    choose(browser, "rank_size", "2")
    browser.becomes(lambda: len(numbers(browser)), 2)
    orders = []
    for by_mouse in (False, True, False):
        ids, before = numbers(browser), turn(browser)
        if by_mouse:
            browser.click_on(lambda: board(browser, "return r.querySelector('.card .face')"))
            browser.until(lambda before=before: turn(browser) != before)
            ready(browser)
        else:
            answer(browser, "1")
        last = ranking.answers(study)[-1]
        orders.append(last.groups[0][0] == ids[0] and set(last.of) == set(ids))
    assert orders == [True] * 3
    choose(browser, "rank_size", "8")


def test_a_rater_with_a_target_is_followed_and_takes_it_along(
    storage: Storage, server: Server, browser: Browser
) -> None:
    """Pictures come closer to what somebody has in mind: greener ones, told by the pictures alone."""
    problem = emoji()
    study = wb.create_study("Green", problem.space, problem.objectives, sampler="rank_sgd", storage=storage, seed=0)
    study.annotate(attrs={"pictures": asdict(Source())})
    browser.open(f"{server.url}/rank?study=Green")
    assert ready(browser) == 6

    def greenness(number: int) -> float:
        r, g, b = emoji().pixels([study.trial(number).params])[0].reshape(-1, 3).mean(axis=0)
        return float(g - (r + b) / 2)

    worth = []
    for _ in range(5):
        ids = numbers(browser)
        scores = [greenness(n) for n in ids]
        best = np.argsort(scores)[::-1][:4]
        worth.append(max(scores))
        answer(browser, *[str(i + 1) for i in best], ENTER)
    assert max(worth[-2:]) > worth[0]
    browser.press("p")
    browser.until(lambda: board(browser, "return r.querySelector('.kept')"))
    browser.press("f")
    browser.until(lambda: "You put it first in" in str(board(browser, "return r.querySelector('.fav').textContent")))
    frames = ranking.strip(study)
    assert int(board(browser, "return r.querySelectorAll('.strip figure').length")) == len(frames) + 1
    browser.open(f"{server.url}/filmstrip?study=Green")
    browser.see("Kept pictures")
    browser.click("kept_0_kept_1_take")
    recipe = json.loads(browser.download("kept_0_kept_1_recipe"))
    kept = ranking.kept_numbers(study)[0]
    stored = study.feedback.picture(kept)
    assert stored is not None
    assert emoji(steps=recipe["model"]["steps"]).render({"z": np.array(recipe["parameters"]["z"])}).data == stored.data


def test_eight_pictures_by_keys_alone_and_by_dragging(study: wb.Study, server: Server, browser: Browser) -> None:
    """A full order with a tie by keys alone; then one by the mouse, where a picture is dropped onto another's place."""
    browser.open(f"{server.url}/rank?study={NAME}")
    ready(browser)
    choose(browser, "rank_size", "8")  # which scrolls to the foot of the page
    answer(browser, "s")
    # a new question is seen from its top on, wherever the page was scrolled to
    browser.until(
        lambda: board(
            browser,
            "const top = r.querySelector('.top').getBoundingClientRect().top,"
            "last = r.querySelector('.card:last-child').getBoundingClientRect().bottom;"
            "return 0 <= top && top < 120 && last <= window.innerHeight",
        )
    )
    ids = numbers(browser)
    for key in "38t1475t26":
        browser.press(key)
    browser.becomes(lambda: places(browser), ["2nd", "5th", "Best", "3rd", "4th", "6th", "4th", "Best"])
    answer(browser, ENTER)
    given = ranking.answers(study)[-1]
    assert given.kind == "rank"
    order = ((2, 7), (0,), (3,), (4, 6), (1,), (5,))
    assert [set(group) for group in given.groups] == [{ids[i] for i in group} for group in order]
    ids = numbers(browser)
    assert len(ids) == 8
    drag(browser, ".card:nth-child(2) .face", ".card:nth-child(5)")
    drag(browser, ".card:nth-child(7) .face", ".card:nth-child(2)")
    drag(browser, ".card:nth-child(1) .face", ".card:nth-child(4)")
    browser.becomes(lambda: places(browser), ["3rd", "2nd", "", "", "", "", "Best", ""])
    answer(browser, ENTER)
    given = ranking.answers(study)[-1]
    assert (given.kind, given.groups) == ("best", ((ids[6],), (ids[1],), (ids[0],)))
    answer(browser, "s")  # for whoever comes after
    choose(browser, "rank_size", "6")


@pytest.mark.parametrize(("mode", "width"), [("light", 1400), ("dark", 1400), ("narrow", 800)])
def test_the_board_is_looked_at(
    mode: str, width: int, study: wb.Study, server: Server, browse: Callable[..., Browser]
) -> None:
    browser = browse(dark=mode == "dark", width=width, height=1140)
    browser.open(f"{server.url}/rank?study={NAME}")
    ready(browser)
    browser.press("3")
    if mode == "dark":
        browser.press("f")
    browser.until(browser.fits)
    browser.shot(browser.profile.parent / f"rank-{mode}.png")
    if mode == "light":
        assert browser.axe({"duplicate-id-active"}, '[data-testid="stIconMaterial"]') == []
    browser.press(BACKSPACE)
