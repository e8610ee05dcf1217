"""A study is made in the browser: from a spreadsheet, and row by row; asserted on the database."""

from __future__ import annotations

import time
from pathlib import Path

import workbench as wb
from browser.driving import Browser, Server
from workbench.storage import Storage

ROWS = '[class*="st-key-rows"]'
SHEET = "\n".join(
    ["Exp\tTemp [°C]\tTime (min)\tSolvent\tYield %\tEUR/kg\tPd ppm", *(
        f"E{i:02}\t{60 + 7 * i % 50}\t{5 + 11 * i % 55}\t{'iPrOH' if i % 2 else '2-MeTHF'}\t"
        f"{70 + i * 13 % 29},{i % 10}\t{150 + 17 * i % 60}\t{1 + i * 7 % 9},{i % 10}"
        for i in range(20)
    )]
)  # fmt: skip


def test_from_the_spreadsheet_to_the_first_suggestions(storage: Storage, server: Server, browser: Browser) -> None:
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


def test_cells_that_cannot_be_read_are_settled_before_anything_is_made(
    storage: Storage, server: Server, browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "old runs.csv"
    file.write_text("Temp,Yield,Pd ppm\n60,70,3\n70,75,n.d.\n80,81,2\n90,85,n.d.\n100,79,5\n")
    browser.open(f"{server.url}/new")
    browser.choose("sheet_file", file)
    browser.type("new_name", "settled")
    browser.see("2 cells need a look. Nothing is saved until this is settled.")
    browser.until(lambda: browser.find(".st-key-create button[disabled]"))
    browser.open(f"{server.url}/new")  # a reload: the draft is there
    browser.see("2 cells need a look")
    browser.click("settle_0_0")  # read as 0
    browser.see("Settled:")
    browser.click("create")
    browser.see("settled was made with 5 runs")
    study = wb.load_study("settled", storage=storage)
    assert [t.values["Pd"] for t in study.trials[:5]] == [3.0, 0.0, 2.0, 0.0, 5.0]


def test_a_study_is_made_row_by_row_and_a_wrong_row_is_refused_in_place(
    storage: Storage, server: Server, browser: Browser
) -> None:
    browser.open(f"{server.url}/new")
    browser.click_on(lambda: browser.driver.find_elements("css selector", ".st-key-source button")[-1])
    browser.settle()
    for key in ("add_knob", "add_knob", "add_knob", "add_goal", "add_limit"):
        browser.click(key)
    knob = "Knob"
    browser.paste(ROWS, [  # it is a, name, unit, low, high, step, kind, choices, only when, worst of use
        [knob, "temp", "C", "80", "20", "0.5", "number", "", "", ""],
        ["Goal: higher is better", "yield", "%", "", "", "", "", "", "", "60"],
        [knob, "rate", "", "0.001", "1", "", "number, log", "", "", ""],
        [knob, "depth", "", "1", "8", "", "whole number", "", "acid = HCl", ""],
        [knob, "acid", "", "", "", "", "choice", "HCl, H2SO4", "", ""],
        ["Goal: lower is better", "cost", "", "", "", "", "", "", "", ""],
        ["Limit: at most", "memory", "GiB", "", "8", "", "", "", "", ""],
    ])  # fmt: skip
    browser.type("new_name", "by hand")
    browser.see("Row 1, Low: 80 is not below the high value, 20. Swap them.")
    browser.until(lambda: browser.find(".st-key-create button[disabled]"))
    browser.cell(ROWS, 3, 0, "20")
    browser.cell(ROWS, 4, 0, "80")
    browser.see("A study with 4 knobs, 2 goals and 1 limit.")
    browser.click("create")
    browser.see("Next 3 runs")
    study = wb.load_study("by hand", storage=storage)
    assert study.space == wb.Space([
        wb.Float("temp", 20, 80, step=0.5, unit="C"), wb.Float("rate", 0.001, 1, log=True),
        wb.Categorical("acid", ["HCl", "H2SO4"]), wb.Int("depth", 1, 8, when={"acid": "HCl"}),
    ])  # fmt: skip
    assert [(g.name, g.direction, g.threshold) for g in study.history().measured] == [
        ("yield", "maximize", 60.0), ("cost", "minimize", None),
    ]  # fmt: skip
    assert [(c.name, c.upper, c.unit) for c in study.constraints] == [("memory", 8.0, "GiB")]
    assert len(study.trials) == 3
