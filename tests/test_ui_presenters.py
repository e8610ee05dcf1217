"""What the pages say and read, as plain functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from ui.drafts import Drafts
from ui.presenters import comparing, draft, exporting, overview, pasting, printing, runs, studies, words
from ui.presenters.filtering import Filter
from ui.presenters.settling import LEAVE, ZERO, Doubt, settle
from workbench import plots
from workbench.interchange import parse_table
from workbench.plots.theme import DARK, darkened
from workbench.storage import Storage
from workbench.trial import TrialState

SHEET = (
    "Exp\tTemp [°C]\tCat mol%\tSolvent\tYield %\tPd ppm\nE1\t66\t3,2\tTHF\t81,0\t8,5\nE2\t106\t1,1\tiPrOH\t80,2\t2,7\n"
)


def bench(**options: object) -> wb.Study:
    space = wb.Space([wb.Float("temp", 20, 80, step=0.5, unit="°C"), wb.Categorical("acid", ["a", "b"])])
    goals = [wb.Objective("yield", "maximize", unit="%")]
    return wb.create_study("bench", space, goals, [wb.Constraint("pd", upper=10)], seed=0, sampler="sobol", **options)  # type: ignore[arg-type]


# -- words -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["![t](http://a/b.png)", "<b>x</b>", "$x$", ":red[x]", "a_b*c`d`", "# head", "1. x"])
def test_plain_text_has_no_live_markup(text: str) -> None:
    shown = words.plain(text)
    assert shown.replace("\\", "").replace("\u2060", "") == text
    for char in "![](<>$`*_#:":
        assert f"\\{char}" in shown or char not in text


def test_icons_and_line_breaks_in_names_are_taken_apart() -> None:
    assert "\u2060" in words.plain(":smile:")
    assert "\n" not in words.plain("two\nlines")


def test_moments_and_spans() -> None:
    now = 1_700_000_000.0
    assert words.moment(now - 86_400, now) == "yesterday"
    assert words.moment(now, now).startswith("today ")
    assert [words.span(s) for s in (12, 180, 7200)] == ["12 s", "3 min", "2.0 h"]


# -- the run sheet ---------------------------------------------------------------------


def test_typed_cells_become_tells() -> None:
    study = bench()
    study.ask(4)
    y, pd = (field.id for field in runs.result_fields(study))
    ready, wrong = runs.tells(
        study,
        {
            0: {y: "81,25", pd: "6.5", runs.NOTE: "new lot"},
            1: {y: "9l,2", pd: "1"},
            2: {runs.OUTCOME: "Infeasible"},
            3: {runs.OUTCOME: "Failed", runs.NOTE: "stirrer stopped"},
        },
    )
    assert ready == [
        runs.Tell(0, TrialState.COMPLETE, {"yield": 81.25, "pd": 6.5}, "new lot"),
        runs.Tell(3, TrialState.FAILED, {}, "stirrer stopped"),
    ]
    assert [(cell.run, cell.column) for cell in wrong] == [(1, "yield [%]"), (2, "Note")]
    for tell in ready:
        runs.record(study, tell)
        assert runs.agrees(study, tell)
    assert study.trial(0).values == {"yield": 81.25, "pd": 6.5}
    assert study.trial(0).note == "new lot"
    assert (str(study.trial(3).state), study.trial(3).error) == ("failed", "stirrer stopped")


def test_a_missing_result_and_a_doubtful_comma_are_named() -> None:
    study = bench()
    study.ask(2)
    y, pd = (field.id for field in runs.result_fields(study))
    ready, wrong = runs.tells(study, {0: {y: "5"}, 1: {y: "1,234", pd: "1"}})
    assert ready == []
    assert [cell.column for cell in wrong] == ["pd", "yield [%]"]
    assert "decimals or thousands" in wrong[1].problem


def test_recording_twice_changes_nothing_and_a_difference_is_refused() -> None:
    study = bench()
    study.ask()
    tell = runs.Tell(0, TrialState.COMPLETE, {"yield": 1.0, "pd": 2.0})
    runs.record(study, tell)
    runs.record(study, tell)
    other = runs.Tell(0, TrialState.COMPLETE, {"yield": 3.0, "pd": 2.0})
    assert not runs.agrees(study, other)
    with pytest.raises(wb.AlreadyTold):
        runs.record(study, other)


def test_random_order_is_the_same_each_time_and_keeps_every_run() -> None:
    study = bench()
    study.ask(8)
    once, again = (runs.open_trials(study, shuffled=True) for _ in range(2))
    assert [t.number for t in once] == [t.number for t in again]
    assert sorted(t.number for t in once) == list(range(8)) != [t.number for t in once]


def test_history_names_outcomes_and_pages() -> None:
    study = bench()
    for value, pd in ((1.0, 1.0), (5.0, 1.0), (9.0, 20.0)):
        study.attach({"temp": 20.0 + value, "acid": "a"}, {"yield": value, "pd": pd})
    study.void(0, reason="wrong vial")
    past = runs.past(study, Filter(("Done", "Over a limit")))
    assert past.frame["outcome"].tolist() == ["✕ Over a limit", "● Done, best"]
    assert words.tally(study.history()) == {"Done": 1, "Over a limit": 1, "Failed": 0, "Void": 1}
    assert runs.verdict(study) == "Best yield so far: 5 %, run 1."


def test_cards_say_the_nearest_run_and_the_instruments_decimals() -> None:
    study = bench()
    study.attach({"temp": 30.0, "acid": "a"}, {"yield": 1.0, "pd": 1.0})
    trial = study.ask(fixed={"temp": 30.5, "acid": "a"})
    card = runs.cards(study, [trial])[0]
    assert card.knobs == "30.5 °C, a"
    assert card.nearest == "Nearest tried: run 0, with temp 30 °C."


def test_the_printed_sheet_escapes_names() -> None:
    study = wb.create_study("<b>x</b>", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], seed=0)
    page = printing.sheet(study, [study.ask()])
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x" in page


# -- a new study -----------------------------------------------------------------------


def test_columns_of_a_spreadsheet_are_guessed() -> None:
    rows = draft.guess(parse_table(SHEET))
    assert [(row["name"], row["role"]) for row in rows] == [
        ("Exp", draft.NOTE), ("Temp", draft.KNOB), ("Cat", draft.KNOB), ("Solvent", draft.KNOB),
        ("Yield", draft.HIGHER), ("Pd", draft.MOST),
    ]  # fmt: skip
    temp = rows[1]
    assert (temp["unit"], temp["low"], temp["high"], temp["step"]) == ("°C", 65.0, 110.0, 1.0)
    assert rows[3]["choices"] == "THF, iPrOH"


def test_a_study_from_a_spreadsheet_holds_every_row(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "s.db")
    made, wrong = draft.design(draft.guess(parse_table(SHEET)))
    assert wrong == []
    assert made is not None
    study = draft.create(storage, "s", made, table=parse_table(SHEET), budget=30)
    assert [(t["Temp"], t["Cat"], t["Solvent"], t.values["Yield"]) for t in study.trials] == [
        (66.0, 3.2, "THF", 81.0), (106.0, 1.1, "iPrOH", 80.2),
    ]  # fmt: skip
    assert study.trial(1).attrs == {"Exp": "E2"}


def test_a_bad_cell_leaves_no_study_behind(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "s.db")
    made, _ = draft.design(draft.guess(parse_table(SHEET)))
    assert made is not None
    broken = SHEET.replace("80,2", "n.d.")
    assert "n.d." in str(draft.check(made, parse_table(broken))[0])
    with pytest.raises(wb.TableError):
        draft.create(storage, "s", made, table=parse_table(broken))
    assert storage.studies() == []


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (draft.row("x", draft.KNOB, kind=draft.NUMBER, low=5.0, high=1.0), "Low"),
        (draft.row("x", draft.KNOB, kind=draft.NUMBER, low=None, high=1.0), "Low"),
        (draft.row("x", draft.KNOB, kind=draft.LOG, low=0.0, high=1.0), "Low"),
        (draft.row("x", draft.KNOB, kind=draft.CHOICE, choices="one"), "Choices"),
        (draft.row("y", draft.KNOB, kind=draft.SWITCH), "Name"),
        (draft.row("x", draft.KNOB, kind=draft.NUMBER, low=0.0, high=1.0, when="y"), "Only when"),
        (draft.row("x", draft.KNOB, kind=draft.NUMBER, low=0.0, high=1.0, when="z = 1"), "Only when"),
        (draft.row("p", draft.MOST), "High (the limit)"),
    ],
)
def test_wrong_rows_are_refused_in_their_cell(row: draft.Row, column: str) -> None:
    made, wrong = draft.design([draft.row("y", draft.HIGHER), row])
    assert made is None
    assert (wrong[0].row, wrong[0].column) == (2, column)


def test_every_kind_of_row_becomes_what_it_says() -> None:
    made, wrong = draft.design(
        [
            draft.row("a", draft.KNOB, kind=draft.NUMBER, low=0.0, high=1.0, step=0.5, unit="mm"),
            draft.row("b", draft.KNOB, kind=draft.LOG, low=1e-3, high=1.0),
            draft.row("c", draft.KNOB, kind=draft.WHOLE, low=1.0, high=4.0),
            draft.row("d", draft.KNOB, kind=draft.CHOICE, choices="p, q"),
            draft.row("e", draft.KNOB, kind=draft.SWITCH),
            draft.row("y", draft.LOWER, unit="€"),
            draft.row("t", draft.TARGET, high=7.2),
            draft.row("m", draft.LEAST, low=3.0),
        ]
    )
    assert wrong == []
    assert made is not None
    assert [p.kind for p in made.space] == ["float", "float", "int", "categorical", "bool"]
    assert made.objectives == [wb.Objective("y", "minimize", unit="€"), wb.Objective("t", target=7.2)]
    assert made.constraints == [wb.Constraint("m", lower=3.0)]
    assert draft.summary(made, 0) == "A study with 5 knobs, 2 goals and 1 limit."


# -- other pages -----------------------------------------------------------------------


def test_pasting_names_every_bad_cell_and_writes_nothing() -> None:
    study = bench()
    text = "temp\tacid\tyield\tpd\n30\ta\t1,5\t1\n31\tz\tx\t1\n"
    read = pasting.read(study, text)
    assert [(cell.row, cell.column) for cell in read.cells] == [(3, "acid"), (3, "yield")]
    assert read.faults()["There stands"].tolist() == ["'z'", "'x'"]
    with pytest.raises(wb.TableError):
        pasting.save(study, text)
    assert study.trials == []
    assert pasting.save(study, text.replace("z", "b").replace("x\t", "2,5\t")) == 2


def test_the_overview_counts_and_says_why() -> None:
    study = bench(budget=4)
    for value in (5.0, 1.0, 2.0):
        study.attach({"temp": 20.0, "acid": "a"}, {"yield": value, "pd": 1.0})
    study.tell(study.ask(), state="failed", error="no stirrer")
    now = overview.standing(study)
    assert now.counts == {"Done": 3, "Failed": 1}
    assert now.failures == [("no stirrer", 1)]
    assert now.used == "4 of 4"
    assert "The budget of 4 runs is used up." in [text for _, text in now.verdicts]


def test_the_list_of_studies_finds_and_sums_up(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "s.db")
    study = bench(storage=storage, budget=10)
    study.attach({"temp": 20.0, "acid": "a"}, {"yield": 3.0, "pd": 1.0})
    found = studies.found(storage.studies(), "BEN")
    line = studies.lines(found, lambda name: wb.load_study(name, storage=storage))[0]
    assert (line.goals, line.runs, line.share, line.curve) == ("yield ↑", "1 of 10", 0.1, [3.0])
    assert studies.found(storage.studies(), "nothing") == []
    assert studies.sentence(study) == f"{study.name}: 1 run, 2 knobs, goal yield ↑."
    study.annotate(tags=[studies.ARCHIVED])
    assert studies.found(storage.studies()) == []
    assert [one.name for one in studies.found(storage.studies(), archived=True)] == [study.name]


def test_studies_side_by_side_are_medians_with_bands() -> None:
    space, goal = wb.Space([wb.Float("x", 0, 1)]), wb.Objective("y", "minimize")
    made = []
    for i, values in enumerate([(3, 2, 1), (6, 4, 2), (9, 6, 3)]):
        study = wb.create_study(f"s{i}", space, [goal], seed=i)
        for value in values:
            study.attach({"x": 0.5}, float(value))
        made.append(study)
    groups = comparing.groups(made, comparing.ALL)
    table = plots.compare_table(groups, "y")
    assert table["median"] == [6.0, 4.0, 2.0]
    assert table["lower quartile"] == [4.5, 3.0, 1.5]
    figure = plots.compare(groups, "y")
    assert figure.data[-1].y.tolist() == [6.0, 4.0, 2.0]
    assert comparing.shared_goals(made) == ["y"]
    opposite = wb.create_study("o", space, [wb.Objective("y", "maximize")], seed=0)
    with pytest.raises(wb.InvalidValueError, match="differently"):
        plots.compare({"a": [made[0].history()], "b": [opposite.history()]}, "y")


def test_dark_figures_have_no_light_colour_left() -> None:
    study = bench()
    study.attach({"temp": 20.0, "acid": "a"}, {"yield": 3.0, "pd": 1.0})
    text = darkened(plots.history(study.history())).to_json()
    assert DARK["#1C2530"] in text
    assert "#1C2530" not in text


def test_the_script_goes_on_with_the_study(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    study = bench(storage=url)
    exec(compile(exporting.script(study, url), "script", "exec"), {})
    assert [str(t.state) for t in wb.load_study("bench", storage=url).trials] == ["running"]


def test_exports_come_back_equal_and_formulas_are_neutralised(tmp_path: Path) -> None:
    study = bench()
    study.attach({"temp": 20.5, "acid": "a"}, {"yield": 3.25, "pd": 1.0})
    study.annotate(0, note="=1+1")
    assert b"'=1+1" in exporting.csv(study)
    again = bench()
    assert wb.read_table(again, exporting.csv(study))[0].params == {"temp": 20.5, "acid": "a"}
    (tmp_path / "s.json").write_bytes(exporting.bundle(study))
    assert wb.import_study(tmp_path / "s.json").trial(0).values == {"yield": 3.25, "pd": 1.0}


def test_knobs_that_are_only_there_under_a_condition_and_goals_with_a_worst_value() -> None:
    rows = [
        draft.row("power", draft.KNOB, kind=draft.NUMBER, low=0.0, high=9.0, when="on = yes"),
        draft.row("on", draft.KNOB, kind=draft.SWITCH),
        draft.row("base", draft.KNOB, kind=draft.CHOICE, choices="none, NaH, KOtBu"),
        draft.row("stages", draft.KNOB, kind=draft.WHOLE, low=1.0, high=3.0),
        draft.row("amount", draft.KNOB, kind=draft.LOG, low=1.0, high=9.0, when="base is NaH, KOtBu"),
        draft.row("second", draft.KNOB, kind=draft.CHOICE, choices="p, q", when="stages == 2, 3"),
        draft.row("yield", draft.HIGHER, worst=60.0),
        draft.row("cost", draft.LOWER),
    ]
    made, wrong = draft.design(rows)
    assert not wrong
    assert made is not None
    assert {p.name: dict(p.when) for p in made.space if p.when} == {
        "power": {"on": (True,)}, "amount": {"base": ("NaH", "KOtBu")}, "second": {"stages": (2, 3)},
    }  # fmt: skip
    assert made.space.names[:2] == ("on", "power")  # a knob follows those that its condition names
    assert [goal.threshold for goal in made.objectives] == [60.0, None]
    rows[0]["when"] = "on = perhaps"
    made, wrong = draft.design(rows)
    assert made is None
    assert [(one.row, one.column) for one in wrong] == [(1, "Only when")]
    assert "takes yes or no" in wrong[0].problem


def test_drafts_last_and_go(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    Drafts(path).put("a", {"0": {"result 0": "1,5"}})
    assert Drafts(path).get("a") == {"0": {"result 0": "1,5"}}
    Drafts(path).put("a", None)
    assert Drafts(path).get("a") is None
    path.write_text("{broken")
    assert Drafts(path).get("a") is None


def test_a_huge_record_is_paged() -> None:
    study = wb.create_study("h", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], seed=0)
    rows = "x,y\n" + "\n".join(f"{x:.6f},{x:.6f}" for x in np.linspace(0, 1, 1_000))
    wb.read_table(study, rows.encode())
    past = runs.past(study, Filter(("Done",)), page=4)
    assert (past.total, len(past.numbers), past.numbers[0]) == (1_000, 200, 199)


# -- cells settled by rules ------------------------------------------------------------


def test_cells_that_cannot_be_read_are_settled_by_what_stands_in_them() -> None:
    made, _ = draft.design(draft.guess(parse_table(SHEET)))
    assert made is not None
    broken = parse_table(SHEET + "E3\t70\t2,0\tTHF\t70,0\tn.d.\nE4\t75\t2,5\tTHF\t71,0\tn.d.\n")
    (doubt,) = draft.check(made, broken)
    assert isinstance(doubt, Doubt)
    assert (doubt.column, doubt.text, doubt.lines) == ("Pd ppm", "n.d.", [4, 5])
    # a limit is needed, so a missing one would not do
    assert [rule.how for rule in doubt.rules] == [ZERO, LEAVE]
    assert draft.check(made, settle(broken, [doubt.rules[0]])) == []
    assert [row[-1] for row in settle(broken, [doubt.rules[0]]).rows] == ["8,5", "2,7", "0", "0"]
    assert settle(broken, [doubt.rules[1]]).lines == (2, 3)


def test_rules_between_knobs_are_checked_with_the_rows() -> None:
    rows = [
        draft.row("a", draft.KNOB, kind=draft.NUMBER, low=0.0, high=1.0),
        draft.row("b", draft.KNOB, kind=draft.NUMBER, low=0.0, high=1.0), draft.row("y", draft.HIGHER),
    ]  # fmt: skip
    made, wrong = draft.design(rows, "a + b <= 1\n\n")
    assert wrong == []
    assert made is not None
    assert made.space.constrained
    points = draft.preview(made)
    assert (points["a"].astype(float) + points["b"].astype(float) <= 1).all()
    for rules in ("a + c <= 1", "a + b <=", "a + b >= 3"):
        none, wrong = draft.design(rows, rules)
        assert none is None
        assert [(one.row, one.column) for one in wrong] == [(0, draft.RULES)]


# -- a table with results of open runs -------------------------------------------------


def test_the_template_holds_the_open_runs_and_takes_their_results_back() -> None:
    study = bench()
    study.attach({"temp": 30.0, "acid": "a"}, {"yield": 1.0, "pd": 1.0})
    for temp in (31.0, 32.0, 33.0):
        study.enqueue({"temp": temp, "acid": "b"})
    study.ask(3)
    lines = pasting.template(study).decode("utf-8-sig").splitlines()
    header = lines[0].split(",")
    assert [line.split(",")[header.index("number")] for line in lines[1:]] == ["1", "2", "3"]
    filled = []
    for line, value in zip(lines[1:], ("5.5", "", "7.5"), strict=True):
        cells = line.split(",")
        cells[header.index("yield")], cells[header.index("pd")] = value, value and "1"
        filled.append(",".join(cells))
    text = "\n".join([lines[0], *filled])
    found = pasting.read(study, text)
    assert (sorted(found.told), found.runs, found.cells) == ([1, 3], [], [])
    assert pasting.save(study, text) == 2
    assert [(str(t.state), t.values.get("yield")) for t in study.trials[1:]] == [
        ("complete", 5.5), ("running", None), ("complete", 7.5),
    ]  # fmt: skip


def test_a_row_of_an_open_run_with_other_knobs_is_a_new_run() -> None:
    study = bench()
    study.enqueue({"temp": 31.0, "acid": "b"})
    (run,) = study.ask(1)
    found = pasting.read(study, f"Run\ttemp [°C]\tacid\tyield\tpd\n{run.number}\t40\tb\t1\t1\n")
    assert (found.told, len(found.runs)) == ({}, 1)
    found = pasting.read(study, f"Run\tyield\tpd\n{run.number}\t2,5\t1\n")
    assert found.told[run.number].seen.values == {"yield": 2.5, "pd": 1.0}
    twice = pasting.read(study, f"Run\tyield\tpd\n{run.number}\t2,5\t1\n{run.number}\t3\t1\n")
    assert "two rows" in twice.error


def test_a_table_with_one_conflict_changes_nothing() -> None:
    study = bench()
    for temp in (31.0, 32.0):
        study.enqueue({"temp": temp, "acid": "b"})
    study.ask(2)
    text = "number\tyield\tpd\n0\t1\t1\n1\t2\tx\n"
    with pytest.raises(wb.TableError):
        pasting.save(study, text)
    assert [str(t.state) for t in study.trials] == ["running", "running"]


# -- suggestions that a person changes -------------------------------------------------


def test_an_edited_run_is_recorded_at_the_values_of_the_person() -> None:
    study = bench()
    study.enqueue({"temp": 31.0, "acid": "b"})
    (trial,) = study.ask(1)
    assert [field.name for field in runs.editable(study, trial)] == ["temp", "acid"]
    runs.edit(study, 0, {"temp": 35.0, "acid": "b"})
    card = runs.cards(study, [study.trial(0)])[0]
    assert (card.knobs, card.edited) == ("35.0 °C, b", "temp 35.0 °C instead of 31.0 °C")
    assert runs.plan(study, [study.trial(0)], {})["knob 0"].tolist() == [35.0]
    runs.edit(study, 0, {"temp": 31.0})
    assert runs.edits(study.trial(0)) == {}
    runs.edit(study, 0, {"temp": 36.5})
    runs.record(study, runs.Tell(0, TrialState.COMPLETE, {"yield": 2.0, "pd": 1.0}))
    done = study.trial(0)
    assert (done.params["temp"], done.actual) == (31.0, {"temp": 36.5})
    assert runs.past(study, Filter()).frame["knob 0"].tolist() == [36.5]
    with pytest.raises(wb.InvalidValueError):
        runs.edit(study, 0, {"acid": "no such acid"})


def test_a_run_is_accepted_and_taken_back() -> None:
    study = bench()
    study.ask(1)
    study.annotate(0, tags=["urgent"])
    runs.accept(study, 0, accepted=True)
    assert runs.cards(study, [study.trial(0)])[0].accepted
    assert study.trial(0).tags == ["urgent", runs.ACCEPTED]
    runs.accept(study, 0, accepted=False)
    assert study.trial(0).tags == ["urgent"]


def test_a_run_of_a_process_is_not_for_people() -> None:
    study = bench()
    own = study.ask(1)[0].number
    alive, gone = (study._ask(1, expires=9e9)[0].number for _ in range(2))
    with study._record.transaction("test") as tx:
        tx.update(gone, expires=0.0)
    assert runs.open_numbers(study) == [own]
    assert runs.interrupted(study) == [gone]
    assert [words.outcomes(study.history())[n] for n in (own, alive, gone)] == ["To do", "Running", "Interrupted"]
    assert overview.standing(study).counts == {"To do": 1, "Running": 1, "Interrupted": 1}


# -- which runs are shown ----------------------------------------------------------------


def test_a_filter_goes_into_the_address_and_comes_back() -> None:
    shown = Filter(("Done", "Void"), ("blue",), 3, None)
    assert shown.address() == {"show": "Done,Void", "tags": "blue", "runs": "3-"}
    assert Filter.of(shown.address()) == shown
    assert Filter.of({}) == Filter()
    assert Filter().address() == {}
    assert Filter.of({"show": "Nonsense", "runs": "x-3"}) == Filter(())


def test_a_filter_leaves_out_runs_and_never_those_still_to_do() -> None:
    study = bench()
    for value, pd in ((1.0, 1.0), (5.0, 1.0), (9.0, 20.0)):
        study.attach({"temp": 20.0 + value, "acid": "a"}, {"yield": value, "pd": pd})
    study.ask(1)
    study.annotate(1, tags=["blue"])
    history = study.history()
    assert Filter(("Done", "Over a limit", "Failed", "Void")).apply(history) is history
    assert Filter(("Over a limit",)).apply(history).numbers.tolist() == [2, 3]
    assert Filter(("Done",), first=1).apply(history).numbers.tolist() == [1, 3]
    assert Filter(tags=("blue",)).apply(history).numbers.tolist() == [1]
    part = Filter(("Done",)).apply(history)
    assert part.Y[:2, 0].tolist() == [1.0, 5.0]
    assert part.counted.tolist() == [True, True, False]
