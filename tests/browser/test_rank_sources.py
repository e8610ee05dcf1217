"""Where pictures come from and where they go: a folder, a picture of one's own, files and recipes to take along."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from browser.driving import Browser, Server
from browser.ranking import ENTER, answer, numbers, pictures, ready
from problems.generative import emoji, from_folder, model_hash, redraw
from problems.generative.pictures import png
from ui.board import source
from ui.presenters import ranking
from workbench.build import list_studies
from workbench.storage import Storage

pytest.importorskip("diffusers")
from tiny_pipeline import save_tiny_pipeline, tiny_unet


def begin_from(server: Server, browser: Browser, label: str) -> None:
    """Open the dialog and say where the pictures come from."""
    browser.open(server.url)
    browser.click("rank_pictures")
    browser.click_on(lambda: browser.called("div[data-testid='stDialog'] label", label))
    browser.settle()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of diffusers, about its own insides
def test_pictures_of_a_model_in_a_folder_and_what_is_taken_along(
    server: Server, browser: Browser, storage: Storage, tmp_path: Path
) -> None:
    """Nothing is made of a wrong folder; of a right one the pictures, an answer, the file and the recipe."""
    save_tiny_pipeline(tmp_path / "tiny")
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "model_index.json").write_text(json.dumps({"_class_name": "P", "unet": ["os", "system"]}))
    begin_from(server, browser, "A model in a folder")
    browser.type("pictures_name", "Tiny")
    for folder, words in ((tmp_path / "none", "no pipeline lies in"), (strange, "brings code of its own")):
        browser.type("pipeline_folder", str(folder))
        browser.click("pictures_begin")
        browser.see("Nothing was made.")
        browser.see(words)
        assert list_studies(storage) == []
    browser.type("pipeline_folder", str(tmp_path / "tiny"))
    browser.click("pictures_begin")
    assert ready(browser) == 6
    study = wb.load_study("Tiny", storage=storage)
    assert study.attrs["pictures"] == {
        "kind": "folder", "folder": str(tmp_path / "tiny"), "prompt": "", "steps": 20,
        "sha256": model_hash(tmp_path / "tiny"),
    }  # fmt: skip
    first, shown = pictures(browser), numbers(browser)
    problem = from_folder(tmp_path / "tiny")
    assert first == [source(problem.render(study.trial(number).params)) for number in shown]
    answer(browser, "4", "2", ENTER)
    second = pictures(browser)
    answer(browser, "z")
    browser.becomes(lambda: pictures(browser), first)
    answer(browser, "y")
    browser.becomes(lambda: pictures(browser), second)
    stored = study.feedback.picture(shown[3])
    assert stored is not None
    browser.until(lambda: browser.find(".st-key-favourite_take button"))
    browser.click("favourite_take")
    assert browser.download("favourite_picture") == stored.data
    written = json.loads(browser.download("favourite_recipe"))
    assert (written["study"], written["picture"]) == ("Tiny", shown[3])
    assert redraw(written).data == stored.data
    browser.open(f"{server.url}/filmstrip?study=Tiny")
    frames = ranking.strip(study)
    assert [frame.trial for frame in frames] == [shown[0], shown[3]]
    browser.click("strip_0_start_take")
    start = study.feedback.picture(shown[0])
    assert start is not None
    assert browser.download("strip_0_start_picture") == start.data
    assert redraw(json.loads(browser.download("strip_0_start_recipe"))).data == start.data


def test_a_picture_of_ones_own_to_begin_near(
    server: Server, browser: Browser, storage: Storage, tmp_path: Path
) -> None:
    """What is no picture is said; of a red disc the first round is nearer to it than pictures by chance."""
    y, x = np.mgrid[:96, :128]
    disc = np.full((96, 128, 3), 255, np.uint8)
    disc[(y - 48) ** 2 + (x - 64) ** 2 < 900] = (220, 30, 30)
    (tmp_path / "disc.png").write_bytes(png(disc))
    (tmp_path / "junk.png").write_bytes(b"no picture")
    begin_from(server, browser, "A picture of mine")
    browser.type("pictures_name", "Mine")
    browser.choose("seed_picture", tmp_path / "junk.png")
    browser.see("no picture that can be read")
    browser.until(lambda: browser.find(".st-key-pictures_begin button[disabled]"))
    browser.choose("seed_picture", tmp_path / "disc.png")
    browser.see("The nearest found")
    browser.click("pictures_begin")
    assert ready(browser) == 6
    study = wb.load_study("Mine", storage=storage)
    assert study.files.get("seed picture") == png(disc)
    problem, target = emoji(), disc[::3, 16:112:3]
    assert target.shape == (32, 32, 3)
    worth = problem.similarity([study.trial(number).params for number in numbers(browser)], target)
    chance = problem.similarity([{"z": z} for z in np.random.default_rng(0).standard_normal((16, 3072))], target)
    assert worth.mean() > chance.max()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of diffusers, about its own insides
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_picture_of_ones_own_to_begin_near_with_a_model_in_a_folder(
    server: Server, browser: Browser, storage: Storage, tmp_path: Path
) -> None:
    """A model that draws noise on its way is said to have no way back; of the other, round 1 is near the picture."""
    from diffusers import CMStochasticIterativeScheduler, ConsistencyModelPipeline

    save_tiny_pipeline(tmp_path / "tiny")
    ConsistencyModelPipeline(tiny_unet(), CMStochasticIterativeScheduler()).save_pretrained(tmp_path / "noisy")
    y, x = np.mgrid[:80, :80]
    disc = np.full((80, 80, 3), 255, np.uint8)
    disc[(y - 40) ** 2 + (x - 40) ** 2 < 800] = (220, 30, 30)
    (tmp_path / "disc.png").write_bytes(png(disc))
    begin_from(server, browser, "A model in a folder")
    browser.type("pictures_name", "Both")
    browser.type("pipeline_folder", str(tmp_path / "noisy"))
    browser.choose("folder_picture", tmp_path / "disc.png")
    browser.see("draws noise on the way")
    browser.until(lambda: browser.find(".st-key-pictures_begin button[disabled]"))
    browser.type("pipeline_folder", str(tmp_path / "tiny"))
    browser.see("The nearest found")
    browser.click("pictures_begin")
    assert ready(browser) == 6
    study = wb.load_study("Both", storage=storage)
    assert study.attrs["pictures"]["folder"] == str(tmp_path / "tiny")
    assert study.files.get("seed picture") == png(disc)
    problem, target = from_folder(tmp_path / "tiny"), disc[5::10, 5::10]

    def gaps(points: list[dict[str, Any]]) -> np.ndarray:
        return ((problem.pixels(points) / 255.0 - target / 255.0) ** 2).mean(axis=(1, 2, 3))

    shown = gaps([study.trial(number).params for number in numbers(browser)])
    chance = gaps([{"z": z} for z in np.random.default_rng(0).standard_normal((16, 192))])
    assert shown.mean() < chance.min()


def test_two_raters_at_once(server: Server, browser: Browser, browse: Callable[..., Browser], storage: Storage) -> None:
    """With a name each is asked about pictures of their own, at the same time; each takes back their own."""
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1)])  # cards of words: nothing has to be drawn
    study = wb.create_study("Two", space, [wb.Preference("taste")], sampler="sobol", storage=storage, seed=1)
    other = browse()
    for one, name in ((browser, "kim"), (other, "lee")):
        one.open(f"{server.url}/rank?study=Two")
        one.click("rank_options")
        one.type("rank_rater", name)
        one.click("rank_options")
        ready(one)
    asked = {q.rater: q for q in study.feedback.questions}
    assert list(asked) == [None, "kim", "lee"]  # the first one before a name was typed
    for one, name in ((browser, "kim"), (other, "lee")):
        assert sorted(numbers(one)) == sorted(asked[name].trials)
    shown, theirs = numbers(browser), numbers(other)
    assert not set(shown) & set(theirs)
    answer(browser, "1", ENTER)
    other.becomes(lambda: numbers(other), theirs)
    answer(other, "3", ENTER)
    assert [(entry.rater, entry.question) for entry in ranking.answers(study)] == [
        (name, asked[name].id) for name in ("kim", "lee")
    ]  # fmt: skip
    assert not set(numbers(browser)) & set(numbers(other))
    browser.driver.refresh()  # the tab still knows who ranks in it
    browser.settle()
    ready(browser)
    answer(browser, "z")
    browser.becomes(lambda: numbers(browser), shown)
    assert [entry.rater for entry in study.feedback.standing] == ["lee"]
