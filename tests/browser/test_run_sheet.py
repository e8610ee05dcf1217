"""Asking, recording, correcting and disagreeing in the browser; asserted on the database."""

from __future__ import annotations

from collections.abc import Callable

import workbench as wb
from browser.driving import Browser, Server
from workbench.storage import Storage

GRID = '[class*="st-key-editor"]'


def made(storage: Storage) -> wb.Study:
    space = wb.Space([wb.Float("temp", 20, 80, step=0.5, unit="°C"), wb.Int("depth", 1, 8)])
    goals = [wb.Objective("yield", "maximize", unit="%")]
    return wb.create_study("bench", space, goals, storage=storage, seed=0)


def test_ask_three_record_two_and_one_infeasible(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    study = made(storage)
    study.attach({"temp": 30.0, "depth": 2}, 1.0)
    browser = browse()
    browser.open(f"{serve().url}/run?study=bench")
    browser.click("suggest")
    browser.see("Next 3 runs")
    assert [str(t.state) for t in study.trials] == ["complete"] + ["running"] * 3
    browser.cell(GRID, 3, 0, "81,25")
    browser.cell(GRID, 3, 1, "7.5")
    browser.see("Record 2 runs")
    browser.click("record")
    browser.see("2 runs recorded")
    assert [study.trial(n).values for n in (1, 2)] == [{"yield": 81.25}, {"yield": 7.5}]
    browser.cell(GRID, 5, 0, "crystals")
    browser.see("Next 1 run")
    browser.cell(GRID, 4, 0, "Infeasible")
    browser.see("Record 1 run")
    browser.click("record")
    browser.see("1 run recorded")
    last = study.trial(3)
    assert (str(last.state), last.reason, last.values) == ("infeasible", "crystals", {})
    assert len(study.trials) == 4


def test_two_people_record_one_run_and_the_second_decides(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    study = made(storage)
    study.ask(2, sampler="sobol")
    address = f"{serve().url}/run?study=bench"
    ann, ben = browse(), browse()
    ben.open(address)
    ben.cell(GRID, 3, 0, "50")
    ben.see("Record 1 run")
    ann.open(address)
    study.tell(0, 40.0)  # Ann's colleague records it by a script, while Ben is typing
    ann.see("Next 1 run", 10)  # seen within the refresh interval
    ben.see("Run 0 already has results", 10)
    assert study.trial(0).values == {"yield": 40.0}
    ben.click("conflict_both")
    ben.see("Both are kept as repeats", 10)
    assert [t.values.get("yield") for t in study.trials] == [40.0, None, 50.0]
    assert study.trial(2).params == study.trial(0).params
    assert "already has results" not in ann.text()


def test_a_draft_survives_a_restart_of_the_server(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    study = made(storage)
    study.ask(1, sampler="sobol")
    server, browser = serve(), browse()
    browser.open(f"{server.url}/run?study=bench")
    browser.cell(GRID, 3, 0, "12.5")
    browser.see("Record 1 run")
    assert server.stop() == 0
    server.start()
    browser.open(browser.driver.current_url)
    browser.see("Record 1 run")
    browser.click("record")
    browser.see("1 run recorded")
    assert study.trial(0).values == {"yield": 12.5}
    browser.severe()  # the connection that broke is no fault of the page


def test_pasting_is_all_or_nothing(
    storage: Storage, serve: Callable[..., Server], browse: Callable[..., Browser]
) -> None:
    study = made(storage)
    browser = browse()
    browser.open(f"{serve().url}/run?study=bench")
    browser.click("paste_old")
    browser.type("paste_text", "temp\tdepth\tyield\n30,5\t2\t81,5\n40\t3\t9l,2\n")
    browser.see("1 cell needs a look. Nothing was saved.")
    assert study.trials == []
    browser.type("paste_text", "temp\tdepth\tyield\n30,5\t2\t81,5\n40\t3\t91,2\n")
    browser.click("paste_yes")
    browser.see("2 runs saved")
    assert [(t["temp"], t["depth"], t.values["yield"]) for t in study.trials] == [(30.5, 2, 81.5), (40.0, 3, 91.2)]
