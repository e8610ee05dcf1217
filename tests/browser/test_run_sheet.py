"""Asking, recording, correcting and disagreeing in the browser; asserted on the database."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import workbench as wb
from browser.driving import GRID, Browser, Server
from workbench.storage import Storage

HISTORY = ".st-key-history"


def made(name: str, storage: Storage) -> wb.Study:
    space = wb.Space([wb.Float("temp", 20, 80, step=0.5, unit="°C"), wb.Int("depth", 1, 8)])
    goals = [wb.Objective("yield", "maximize", unit="%")]
    return wb.create_study(name, space, goals, storage=storage, seed=0)


def states(study: wb.Study) -> list[str]:
    return [str(trial.state) for trial in study.trials]


def double_click(browser: Browser, key: str) -> None:
    button = browser.until(lambda: browser.find(f".st-key-{key} button:not([disabled])"))
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
    ActionChains(browser.driver).double_click(button).perform()
    browser.settle()


def test_ask_three_record_two_and_one_infeasible_by_double_clicks(
    storage: Storage, server: Server, browser: Browser
) -> None:
    study = made("bench", storage)
    study.attach({"temp": 30.0, "depth": 2}, 1.0)
    browser.open(f"{server.url}/run?study=bench")
    double_click(browser, "suggest")
    browser.see("Next 3 runs")
    assert states(study) == ["complete"] + ["running"] * 3
    browser.cell(GRID, 3, 0, "81,25")
    browser.cell(GRID, 3, 1, "7.5")
    browser.see("Record 2 runs")
    double_click(browser, "record")
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
    assert storage.audit(study._record.id) == []


def test_suggestions_are_locked_accepted_edited_and_rejected(
    storage: Storage, server: Server, browser: Browser
) -> None:
    study = made("cards", storage)
    study.attach({"temp": 30.0, "depth": 2}, 1.0)
    browser.open(f"{server.url}/run?study=cards")
    browser.click("lock_knobs")
    browser.type("lock_names", "depth" + Keys.ENTER)
    browser.type("lock-depth", "5")
    browser.click_on(lambda: browser.find("h1"))
    browser.settle()
    browser.click("suggest")
    browser.see("Next 3 runs")
    assert [trial["depth"] for trial in study.trials[1:]] == [5, 5, 5]
    browser.click("accept_1")
    browser.see("Accepted")
    assert study.trial(1).tags == ["accepted"]
    browser.click("edit_2")
    browser.type("edit-knob-0", "44.5")
    browser.click("edit_yes")
    browser.see("Run 2 stands at your values.")
    browser.click("reject_3")
    browser.type("reject_reason", "the pump cannot do that")
    browser.click_on(lambda: browser.driver.find_elements("css selector", ".st-key-reject_kind label")[-1])
    browser.settle()
    browser.type("reject_condition", "temp > 79")
    browser.click("reject_yes")
    browser.see("Run 3 was rejected.")
    rejected = study.trial(3)
    assert (str(rejected.state), rejected.reason) == ("rejected", "the pump cannot do that")
    assert [rule for _, rule in study.history().avoided()] == ["temp > 79"]
    browser.cell(GRID, 3, 1, "60")
    browser.click("record")
    browser.see("1 run recorded")
    assert (study.trial(2).values, study.trial(2).actual) == ({"yield": 60.0}, {"temp": 44.5})


def test_a_finished_run_is_amended_voided_and_repeated(storage: Storage, server: Server, browser: Browser) -> None:
    study = made("past", storage)
    for temp in (30.0, 40.0, 50.0):
        study.attach({"temp": temp, "depth": 2}, temp)
    browser.open(f"{server.url}/run?study=past")
    browser.tick(HISTORY, 0)  # the newest: run 2
    browser.click("amend")
    browser.type("amend-result-0", "55,5")
    browser.type("amend_reason", "decimal slipped")
    browser.click("amend_yes")
    browser.see("Run 2 was amended.")
    browser.click("repeat")
    browser.see("Run 3 repeats run 2.")
    browser.tick(HISTORY, 0)
    browser.tick(HISTORY, 1)
    browser.click("void")
    browser.type("void_reason", "wrong vial")
    browser.click("void_yes")
    browser.see("1 run voided.")
    assert study.trial(2).values == {"yield": 55.5}
    assert states(study) == ["complete", "void", "complete", "waiting"]
    assert study.trial(3).params == study.trial(2).params
    entries = [(entry.action, entry.number, entry.reason) for entry in storage.audit(study._record.id)]
    assert entries == [("amend", 2, "decimal slipped"), ("void", 1, "wrong vial")]


def test_the_sheet_is_printed_as_it_stands(storage: Storage, server: Server, browser: Browser) -> None:
    study = made("paper <b>", storage)
    study.ask(2, sampler="sobol")
    browser.open(f"{server.url}/run?study=paper%20%3Cb%3E")
    browser.click("print")
    page = browser.download("print_get").decode()
    assert "<h1>paper &lt;b&gt;</h1>" in page
    assert page.count('<td class="open">') == 2 * 3
    for trial in study.trials:
        assert f"<td>{trial['temp']:.1f}</td>" in page


def test_two_people_record_one_run_and_the_second_decides(
    storage: Storage, server: Server, browser: Browser, browse: Callable[..., Browser]
) -> None:
    study = made("two", storage)
    study.ask(2, sampler="sobol")
    address = f"{server.url}/run?study=two"
    ann, ben = browser, browse()
    ben.open(address)
    ben.cell(GRID, 3, 0, "50")
    ben.see("Record 1 run")
    ann.open(address)
    ann.cell(GRID, 3, 0, "40")
    ann.click("record")
    ann.see("1 run recorded")
    ben.see("Run 0 already has results")  # by itself
    assert study.trial(0).values == {"yield": 40.0}
    ben.click("conflict_both")
    ben.see("Both are kept as repeats")
    assert [t.values.get("yield") for t in study.trials] == [40.0, None, 50.0]
    assert study.trial(2).params == study.trial(0).params
    assert "already has results" not in ann.text()


def test_tables_go_both_ways_and_are_all_or_nothing(
    storage: Storage, server: Server, browser: Browser, tmp_path: Path
) -> None:
    study = made("tables", storage)
    browser.open(f"{server.url}/run?study=tables")
    browser.click("paste_old")
    header = browser.download("template").decode("utf-8-sig").splitlines()[0].split(",")
    assert {"temp", "depth", "yield", "number", "state"} <= set(header)

    def table(*wrong: tuple[int, str, str]) -> Path:
        rows = [{"temp": str(20 + i), "depth": str(1 + i % 8), "yield": f"{50 + i}.25", "note": "=1+1"}
                for i in range(30)]  # fmt: skip
        for i, column, text in wrong:
            rows[i][column] = text
        file = tmp_path / f"{len(wrong)} wrong.csv"
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, ["temp", "depth", "yield", "note"])
            writer.writeheader()
            writer.writerows(rows)
        return file

    browser.choose("paste_file", table((3, "yield", "9l,2"), (17, "temp", "warm")))
    browser.see("2 cells need a look. Nothing was saved.")
    browser.see("Row 5, yield: “9l,2”")
    browser.see("Row 19, temp: “warm”")
    assert study.trials == []
    browser.open(f"{server.url}/run?study=tables")
    browser.click("paste_old")
    browser.choose("paste_file", table())
    browser.click("paste_yes")
    browser.see("30 runs, newest first.")  # the message itself is gone after some seconds
    assert [t.values["yield"] for t in study.trials] == [50.25 + i for i in range(30)]
    browser.open(f"{server.url}/settings?study=tables")
    cells = list(csv.DictReader(io.StringIO(browser.download("get_csv").decode("utf-8-sig"))))
    assert [row["note"] for row in cells] == ["'=1+1"] * 30
    bundle = tmp_path / "study.json"
    bundle.write_bytes(browser.download("get_json"))
    browser.open(server.url)
    browser.click("import")
    browser.choose("bundle_file", bundle)
    browser.see("tables: 30 runs, 2 knobs, goal yield ↑.")
    browser.type("bundle_name", "tables again")
    browser.click("bundle_yes")
    browser.see("tables again was imported.")
    again = wb.load_study("tables again", storage=storage)
    assert [(t.params, t.values, t.note) for t in again.trials] == [
        (t.params, t.values, t.note) for t in study.trials
    ]  # fmt: skip
    second = tmp_path / "second.json"
    again.export(second)
    assert json.loads(second.read_text())["trials"] == json.loads(bundle.read_text())["trials"]


def test_a_frozen_study_is_closed_on_every_page(storage: Storage, server: Server, browser: Browser) -> None:
    study = made("cold", storage)
    study.ask(1, sampler="sobol")
    browser.open(f"{server.url}/settings?study=cold")
    browser.type("name-of-cold", "warm")
    browser.click("rename")
    browser.see("The study has its new name.")
    browser.click("freeze")
    browser.see("The study is frozen.")
    browser.open(f"{server.url}/run?study=warm")
    browser.see("frozen")
    for key in ("suggest", "accept_0", "edit_0", "reject_0", "paste"):
        browser.until(lambda key=key: browser.find(f".st-key-{key} button[disabled]"))
    assert wb.load_study("warm", storage=storage).frozen
    assert states(study) == ["running"]
