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
