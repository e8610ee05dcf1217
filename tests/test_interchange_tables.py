"""Trials to CSV and XLSX and back: nothing lost, nothing half read, every bad cell named."""

from __future__ import annotations

import csv
import io
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.formula import ArrayFormula

import workbench as wb
from workbench.interchange import check_table, parse_table, read_table, write_table
from workbench.study import Study

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
CHOICE = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1e-9]) | TEXT

KINDS: dict[str, Callable[[str, Any, Any], wb.Parameter]] = {
    "float": lambda name, when, draw: wb.Float(name, -1.0, 3.0, unit="mm", when=when),
    "percent": lambda name, when, draw: wb.Float(name, 0.0, 100.0, unit="%", when=when),
    "log": lambda name, when, draw: wb.Float(name, 1e-3, 10.0, log=True, unit="a [b]", when=when),
    "step": lambda name, when, draw: wb.Float(name, 0.0, 2.0, step=0.1, when=when),
    "int": lambda name, when, draw: wb.Int(name, 1, 2**40, log=True, when=when),
    "ordinal": lambda name, when, draw: wb.Ordinal(name, [16, 32, 64.5], when=when),
    "categorical": lambda name, when, draw: wb.Categorical(
        name, draw(st.lists(CHOICE, min_size=1, max_size=5, unique=True)), when=when
    ),
    "bool": lambda name, when, draw: wb.Bool(name, when=when),
    "vector": lambda name, when, draw: wb.Vector(name, 3, prior="normal", when=when),
    "permutation": lambda name, when, draw: wb.Permutation(
        name, draw(st.lists(CHOICE, min_size=2, max_size=4, unique=True)), when=when
    ),
    "subset": lambda name, when, draw: wb.Subset(name, 5, k=2, when=when),
    "letters": lambda name, when, draw: wb.Sequence(name, '-=ACGT1"\t ', 0, 5, when=when),
    "tokens": lambda name, when, draw: wb.Sequence(name, ["aa", "b", 3], 0, 4, when=when),
    "simplex": lambda name, when, draw: wb.Simplex(name, parts=3, total=100, unit="%", when=when),
}


@st.composite
def spaces(draw: st.DrawFn) -> wb.Space:
    """One to four parameters, a switch that others depend on among them; some are named as columns of a trial."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    parameters: list[wb.Parameter] = [wb.Bool("switch")]
    for i, kind in enumerate(kinds):
        name = (
            draw(st.sampled_from([f"p{i}", f"P{i}x", f"ü{i}"])) if i else draw(st.sampled_from(["p", "state", "cost"]))
        )
        parameters.append(KINDS[kind](name, draw(st.sampled_from([None, {"switch": True}])), draw))
    return wb.Space(parameters)


GOALS = st.sampled_from(
    [
        ([wb.Objective("y", unit="s")], []),
        ([wb.Objective("=y;z"), wb.Objective("note", "maximize", unit="%")], [wb.Constraint("a\nb, c", upper=1.0)]),
    ]
)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    """A study of finished trials with everything that a row can hold."""
    objectives, constraints = draw(GOALS)
    space = draw(spaces())
    study = wb.create_study("s", space, objectives, constraints, sampler="random", seed=draw(st.integers(0, 99)))
    names = [goal.name for goal in (*objectives, *constraints)]
    for point in space.decode(space.uniform(draw(st.integers(0, 4)), np.random.default_rng(draw(st.integers(0, 99))))):
        state = draw(st.sampled_from(["complete", "complete", "failed", "infeasible", "pruned"]))
        trial = study.enqueue(point)
        values = {name: draw(FINITE) for name in names}
        said = {"error": draw(TEXT)} if state == "failed" else {"reason": draw(TEXT)} if state != "complete" else {}
        sem = {name: draw(st.floats(0, 1e300)) for name in names if draw(st.booleans())}
        cost = draw(st.none() | FINITE.map(abs))
        study.tell(trial, values if state == "complete" else None, sem=sem, cost=cost, state=state, **said)
        for key, value in draw(st.dictionaries(TEXT.filter(bool), JSON, max_size=2)).items():
            trial.set_attr(key, value)
        with study._record.transaction("test") as tx:
            tags = wb.trial.dumps(draw(st.lists(TEXT, max_size=3)))
            tx.update(trial.number, note=draw(TEXT) or None, tags=tags)
    return study


def blank(study: Study) -> Study:
    """An empty study of the same declaration."""
    return wb.create_study("copy", study.space, study.objectives, study.constraints, sampler="random", seed=1)


def content(study: Study) -> list[dict[str, Any]]:
    """What a row of a table holds; texts of white space alone are none."""

    def said(value: Any) -> str:
        return repr(None if not value or (isinstance(value, str) and not value.strip()) else value)

    keys = ("values", "sem", "cost", "attrs", "tags", "note", "error", "reason")
    return [
        {
            "state": str(t.state), "point": study.space.key(t.params), "repr": repr(t.params),
            **{key: said(getattr(t, key)) for key in keys},
        }
        for t in study.trials
    ]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", pytest.param("csv with commas", marks=pytest.mark.slow), "xlsx"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(study=studies(), show_units=st.booleans(), bom=st.booleans())
def test_round_trip(
    form: str, study: Study, show_units: bool, bom: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("round") / f"t.{form.split(maxsplit=1)[0]}"
    decimal = "," if "commas" in form else "."
    assert write_table(study, path, show_units=show_units, bom=bom, decimal=decimal) == path
    copy = blank(study)
    trials = read_table(copy, path, decimal=decimal if form != "xlsx" else None)
    assert [t.number for t in trials] == [t.number for t in study.trials]
    theirs = content(copy)
    for mine, other in zip(content(study), theirs, strict=True):
        if form == "xlsx":  # a workbook does not know 5 from 5.0
            del mine["attrs"], other["attrs"]
        assert mine == other
    for a, b in zip(study.trials, copy.trials, strict=True):
        assert a.attrs == b.attrs
        assert b.origin == "attached"
        assert (b.started, b.finished) == pytest.approx((a.started or b.started, a.finished), abs=1e-6, rel=0)


# -- what stands in the file -----------------------------------------------------------------------


def small(**more: Any) -> Study:
    space = wb.Space(
        [
            wb.Float("t", 20, 80, unit="°C"), wb.Int("n", 1, 9), wb.Bool("fan"),
            wb.Categorical("act", ["ReLU", "tanh", 8]), wb.Float("speed", 0, 1, when={"fan": True}),
            wb.Simplex("mix", names=["a", "b"], total=100),
        ]
    )  # fmt: skip
    goals = [wb.Objective("y", noise=more.pop("noise", "unknown"))]
    return wb.create_study("s", space, goals, [wb.Constraint("load", upper=1.0)], sampler="random", seed=3)


HEAD = "t,n,fan,act,speed,a,b,y,load"
GOOD = "37.5,3,yes,relu,0.5,40,60,1.25,0.1"


def refused(study: Study, source: Any, said: str, **options: Any) -> wb.TableError:
    with pytest.raises(wb.TableError, match=said) as caught:
        read_table(study, source, **options)
    assert study.trials == []
    return caught.value


def place(tmp_path: Path, data: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_a_small_file_by_hand(tmp_path: Path) -> None:
    study = small()
    trial, other = read_table(study, place(tmp_path, f"{HEAD}\n{GOOD}\n99,3.0,FALSE,8,,40.0,60,-1e3,2\n"))
    assert trial.params == {"t": 37.5, "n": 3, "fan": True, "act": "ReLU", "speed": 0.5, "mix": {"a": 40, "b": 60}}
    assert trial.values == {"y": 1.25, "load": 0.1}
    assert other.params["t"] == 99  # outside the bounds: kept as data
    assert "speed" not in other.params
    assert other.params["act"] == 8
    assert study.best_trial.number == 0


def test_text_pasted_out_of_a_spreadsheet() -> None:
    study = small()
    pasted = f"{HEAD}\n{GOOD}\n".replace(".", ";").replace(",", "\t").replace(";", ",")
    assert read_table(study, pasted)[0].params["t"] == 37.5
    assert parse_table(pasted).name == "the text"


def test_titles_are_matched_whatever_the_case_and_the_unit(tmp_path: Path) -> None:
    study = small()
    head = "T (°C), N ,Fan,ACT,Speed [1/s],A,b,Y,LOAD,SEM:y,Attr:lot,Cost,Tags,trial:note,State,number"
    path = place(tmp_path, f'{head}\n{GOOD},0.5,B7,2,"x, y",hot,Complete,17\n')
    (trial,) = read_table(study, path)
    assert (trial.sem, trial.attrs, trial.cost) == ({"y": 0.5}, {"lot": "B7"}, 2.0)
    assert (trial.tags, trial.note, trial.number) == (["x", "y"], "hot", 0)


def test_unknown_columns_are_named_with_the_mapping(tmp_path: Path) -> None:
    study = small()
    path = place(tmp_path, f"Temp (°C),{HEAD[2:]},lode,junk\n{GOOD},1,2\n")
    path.write_text(path.read_text().replace("y,load,", "y,loud,"))
    error = refused(study, path, r"does not know: 'Temp \(°C\)'.*'loud' \(did you mean 'load'\?\)")
    assert "columns={'Temp (°C)': None, 'loud': 'load'" in str(error)
    columns = {"Temp (°C)": "t", "loud": "load", "junk": None, "lode": "attr:lot"}
    (trial,) = read_table(study, path, columns=columns)
    assert (trial.params["t"], trial.values["load"], trial.attrs) == (37.5, 0.1, {"lot": 1})


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"q": "t"}, "names 'q', which is no title"),
        ({"t": "tt"}, "'tt'; expected one of .*did you mean 't'"),
        (3, "mapping"),
    ],
)
def test_a_wrong_mapping(columns: Any, said: str) -> None:
    with pytest.raises(wb.InvalidValueError, match=said):
        read_table(small(), f"{HEAD}\n{GOOD}\n", columns=columns)


def test_missing_and_double_columns() -> None:
    study = small()
    refused(study, "t,n,fan,act,a,y,load\n1,2,yes,8,3,4,5\n", "no column for 'b'; its titles: 't', ")
    refused(study, f"{HEAD.replace('y', 'x')}\n{GOOD}\n", "no column for 'y'", columns={"x": None})
    refused(study, f"{HEAD},Y\n{GOOD},1\n", r"several columns for 'y': 'y' \(column 8\), 'Y' \(column 10\)")
    refused(study, f"{HEAD},,cost\n{GOOD},1,2\n", "column 10, which has no title")
    assert len(read_table(study, f"{HEAD},\n{GOOD},\n")) == 1


def test_every_bad_cell_is_listed_and_nothing_written(tmp_path: Path) -> None:
    study = small()
    bad = "hot,2.5,maybe,elu,x,-1,60,oops,"
    path = place(tmp_path, f"{HEAD}\n{GOOD}\n\n{bad}\n{GOOD},9\n")
    error = refused(study, path, "t.csv: 9 cells cannot be read, so nothing was written")
    assert [(cell.row, cell.column) for cell in error.cells] == [
        *((4, title) for title in ("t", "n", "fan", "act", "speed", "a", "y", "load")), (5, "load"),
    ]  # fmt: skip
    said = str(error)
    assert "row 4, column 't': expected a number from 20 to 80; got 'hot'" in said
    assert "true/false, yes/no or 1/0; got 'maybe'" in said
    assert "column 'act': expected one of 'ReLU', 'tanh', 8; got 'elu'" in said
    assert "10 cells in a row where the header has 9 titles" in said
    runs, cells = check_table(study, parse_table(path))
    assert (len(runs), cells) == (1, error.cells)


def test_a_message_lists_twenty_cells() -> None:
    rows = "\n".join("x" + GOOD[4:] for _ in range(25))
    error = refused(small(), f"{HEAD}\n{rows}\n", "25 cells")
    assert len(error.cells) == 25
    assert str(error).count("row ") == 20
    assert str(error).endswith("and 5 more")


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [
        ("37,3,no,8,0.5,40,60,1,1", "speed", "an empty cell: speed exists only with fan = True"),
        ("37,3,yes,8,,40,60,1,1", "speed", "a number from 0 to 1; got nothing"),
        (",3,no,8,,40,60,1,1", "t", "a number from 20 to 80; got nothing"),
        ("37,3,no,8,,40,,1,1", "b", "an amount of b, 0 if there is none; got nothing"),
        ("37,3,no,8,,,,1,1", "a", "amounts of a 0 to 100, b 0 to 100 that sum to 100; got nothing"),
        ("37,3,no,8,,40,50,1,1", "a", "sum to 100; got a 40.0, b 50.0"),
        ("37,3,no,8,,40,60,,", "y", "a value; or 'failed', .* got no value at all"),
        ("37,3,no,8,,40,60,1,", "load", "a number; a row without every value needs the state failed"),
        ("37,3,no,8,,40,60,nan,1", "y", "a number; got 'nan'"),
        ("37,3,no,8,,40,60,1e999,1", "y", "finite; got '1e999'"),
    ],
)
def test_one_bad_cell(row: str, column: str, said: str) -> None:
    error = refused(small(), f"{HEAD}\n{row}\n", said)
    assert [cell.column for cell in error.cells] == [column]


def test_states() -> None:
    study = small()
    point = "37,3,no,8,,40,60"
    text = (
        f"{HEAD},state,error,reason\n{point},,,FAILED,boom,\n{point},2,,infeasible,,no power\n"
        f"{point},,,pruned,,\n{point},1,1,,,\n"
    )
    trials = read_table(study, text)
    assert [str(t.state) for t in trials] == ["failed", "infeasible", "pruned", "complete"]
    assert [(t.error, t.reason, t.values) for t in trials[:2]] == [("boom", None, {}), (None, "no power", {"y": 2.0})]
    empty = small()
    refused(empty, f"{HEAD},state\n{point},1,1,running\n", "a state, one of complete, failed.*leave rows of other")
    refused(empty, f"{HEAD},state,error\n{point},1,1,complete,boom\n", "an empty cell: it goes with the state failed")


def test_a_study_that_measures_nothing() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")])
    refused(study, "x\n0.5\n", "measures nothing")


def test_noiseless_values_have_no_error() -> None:
    study = small(noise="none")
    refused(study, f"{HEAD},sem:y\n{GOOD},0.1\n", "an empty cell: y is declared noise='none'")
    refused(small(), f"{HEAD},sem:y\n{GOOD},-0.1\n", "a standard error of at least 0")


# -- decimals -----------------------------------------------------------------------------------------


def decimals(*cells: str, delimiter: str = ";", **options: Any) -> list[float]:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 10**9)]), [wb.Objective("y")], sampler="random")
    rows = "\n".join(f"{cell}{delimiter}1" for cell in cells)
    try:
        return [trial.params["x"] for trial in read_table(study, f"x{delimiter}y\n{rows}\n", **options)]
    finally:
        assert len(study.trials) in (0, len(cells))


@pytest.mark.parametrize(
    ("cells", "options", "values"),
    [
        (["1,5", "2"], {}, [1.5, 2]), (["1,5", "1,234"], {}, [1.5, 1.234]), (["0,125"], {}, [0.125]),
        (["1.5", "1.234"], {}, [1.5, 1.234]), (["1.234"], {}, [1.234]), (["1,234"], {"decimal": ","}, [1.234]),
        (["1,5e-3", "+2"], {}, [0.0015, 2]), ([" 12 ", "1e3", ".5"], {}, [12, 1000, 0.5]), (["12 %"], {}, [0.12]),
    ],
)  # fmt: skip
def test_decimals(cells: list[str], options: dict[str, Any], values: list[float]) -> None:
    assert decimals(*cells, **options) == values
    assert decimals(*cells, delimiter="\t", **options) == values


@pytest.mark.parametrize(
    ("cells", "options", "said"),
    [
        (["1,234"], {}, "may be decimals or thousands: pass decimal='.' or decimal=','"),
        (["1,234,567"], {}, "may be decimals or thousands"),
        (["0.5", "1,234"], {}, "mark '.'; separators of thousands are not read"),
        (["0,5", "1.234"], {}, "mark ','; separators of thousands are not read"),
        (["1.234,5", "2,5"], {}, "separators of thousands are not read"),
        (["0.5", "1,5"], {}, "two ways: pass decimal="),
        (["1,5"], {"decimal": "."}, "a number from 0 to 1e.09 with the decimal mark '.'; got '1,5'"),
        (["1 234"], {}, "a number from 0 to 1e.09; got '1 234'"),
    ],
)
def test_decimals_that_are_not_clear(cells: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(wb.TableError, match=said):
        decimals(*cells, **options)


def test_a_wrong_decimal_mark() -> None:
    with pytest.raises(wb.InvalidValueError, match="decimal must be"):
        read_table(small(), f"{HEAD}\n{GOOD}\n", decimal=";")


def test_minus_signs_and_percent() -> None:
    space = wb.Space([wb.Float("x", -9, 9), wb.Float("p", 0, 100, unit="%")])
    study = wb.create_study("s", space, [wb.Objective("y")], sampler="random")
    (trial,) = read_table(study, "x;p;y\n−1,5;7 %;50 %\n")
    assert (trial.params, trial.values) == ({"x": -1.5, "p": 7.0}, {"y": 0.5})


# -- choices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "cell", "value"),
    [
        ([1, 2.5], "1.0", 1), ([1, 2.5], "2,5", 2.5), (["a", "A"], "A", "A"), (["1", 1], "1", 1),
        (["1", 1], '"1"', "1"),
        ([True, "x"], "yes", True), ([None, 3], "None", None), (["16", "32"], "16", "16"), (["a b"], " A B ", "a b"),
        (["yes", True], "YES", "yes"), (["=1", 2], "'=1", "=1"),
    ],
)  # fmt: skip
def test_choices(choices: list[Any], cell: str, value: Any) -> None:
    study = wb.create_study("s", wb.Space([wb.Categorical("c", choices)]), [wb.Objective("y")], sampler="random")
    quoted = '"' + cell.replace('"', '""') + '"'
    assert repr(read_table(study, f"c;y;attr:z\n{quoted};0,5;2\n")[0].params["c"]) == repr(value)


@pytest.mark.parametrize("decimal", [".", ","])
def test_labels_that_look_like_powers_of_ten_stay_text(decimal: Any, tmp_path: Path) -> None:
    study = small()
    mark = ";" if decimal == "," else ","
    whole = [cell.replace(".", decimal) for cell in GOOD.split(",")]
    titles = [*HEAD.split(","), "attr:well", "attr:lot", "attr:rate"]
    lines = [titles, [*whole, "12E3", "1e5", f"1{decimal}5e-3"]]
    (trial,) = read_table(study, "\n".join(mark.join(line) for line in lines), decimal=decimal)
    assert trial.attrs == {"well": "12E3", "lot": "1e5", "rate": 1.5e-3}
    study.trial(0).set_attr("huge", 1e300)
    path = write_table(study, tmp_path / "t.csv", decimal=decimal)
    assert read_table(small(), path, decimal=decimal)[0].attrs == study.trial(0).attrs


def test_choices_that_differ_in_case_only() -> None:
    study = wb.create_study("s", wb.Space([wb.Categorical("c", ["Ab", "aB"])]), [wb.Objective("y")], sampler="random")
    refused(study, "c,y\nab,1\n", "in exactly this spelling")


# -- files of text ----------------------------------------------------------------------------------------


def test_formulas_are_defused_in_csv(tmp_path: Path) -> None:
    study = small()
    read_table(study, f"{HEAD}\n{GOOD}\n")
    texts = ["=1+1", "+x", "-x", "@a", "\tx", "\rx", "'=x", "'x", "''=x", "\nx"]
    for i, text in enumerate(texts):
        study.trial(0).set_attr(f"k{i}", text)
    path = write_table(study, tmp_path / "t.csv")
    raw = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    cells = [cell for title, cell in zip(*raw, strict=True) if title.startswith("attr:")]
    assert [cell[0] for cell in cells] == ["'"] * len(texts)
    assert cells[7] == "'x"
    copy = small()
    assert list(read_table(copy, path)[0].attrs.values()) == texts


def test_the_mark_of_utf8_and_quoting(tmp_path: Path) -> None:
    study = small()
    read_table(study, f'{HEAD},note\n{GOOD},"a ""b"", ö\nc"\n')
    with_mark, without = write_table(study, tmp_path / "a.csv"), write_table(study, tmp_path / "b.csv", bom=False)
    assert with_mark.read_bytes() == b"\xef\xbb\xbf" + without.read_bytes()
    for path in (with_mark, without):
        assert read_table(small(), path)[0].note == 'a "b", ö\nc'
    assert without.read_bytes().startswith("number,state,t [°C],n,fan,".encode())


def test_other_forms_of_text(tmp_path: Path) -> None:
    text = f"{HEAD},note\r\n{GOOD},é\r\n"
    for data in (text.encode("utf-8-sig"), text.replace(",", "\t").encode("utf-16"), b"sep=,\r\n" + text.encode()):
        assert read_table(small(), place(tmp_path, data))[0].note == "é"
    refused(small(), place(tmp_path, text.encode("cp1252")), r"byte 0xe9 in line 2.*CSV UTF-8.*Windows-1252")
    refused(small(), place(tmp_path, text + "\0" * 300), "binary data")
    refused(small(), place(tmp_path, f'{HEAD}\n{GOOD},"open\n'), "quotation mark that is not closed")


def test_files_that_are_none(tmp_path: Path) -> None:
    study = small()
    refused(study, tmp_path / "none.csv", "cannot read .*none.csv: No such file")
    refused(study, tmp_path, "ends in .csv")
    refused(study, place(tmp_path, "x", "t.json"), "ends in .csv, .tsv, .txt or .xlsx")
    refused(study, place(tmp_path, ""), "is empty")
    refused(study, place(tmp_path, "\n , \n"), "is empty")
    refused(study, place(tmp_path, b"\xd0\xcf\x11\xe0old", "t.xlsx"), "old .xls workbook or has a password")
    refused(study, place(tmp_path, "text", "t.xlsx"), "no XLSX workbook")
    refused(study, place(tmp_path, b"PK\x03\x04cut", "t.xlsx"), "no workbook that can be read")
    refused(study, place(tmp_path, HEAD), "only a workbook has sheets", sheet="a")
    for path in (tmp_path / "t.json", tmp_path / "no" / "t.csv"):
        with pytest.raises(wb.TableError, match=r"cannot write|expected a path that ends"):
            write_table(study, path)


def test_a_header_alone_adds_nothing(tmp_path: Path) -> None:
    study = small()
    assert read_table(study, place(tmp_path, f"{HEAD}\n\n")) == []
    path = write_table(study, tmp_path / "empty.xlsx")
    assert read_table(study, path) == []


def test_an_existing_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = small()
    read_table(study, f"{HEAD}\n{GOOD}\n")
    path = place(tmp_path, "older")
    monkeypatch.setattr("os.fsync", lambda handle: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_table(study, path)
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]
    assert path.read_text() == "older"


def test_nothing_is_written_when_the_transaction_fails() -> None:
    study = small()
    store = study._record.storage

    def fail(point: str) -> None:
        if point == "attach:before_commit":
            raise RuntimeError

    store.on_point = fail
    with pytest.raises(RuntimeError):
        read_table(study, f"{HEAD}\n{GOOD}\n{GOOD}\n")
    store.on_point = None
    assert study.trials == []


# -- workbooks ----------------------------------------------------------------------------------------------


def book(path: Path, *rows: list[Any], edit: Callable[[Any], object] = lambda page: None) -> Path:
    made = Workbook()
    page = made.active
    for row in rows:
        page.append(row)
    edit(page)
    made.save(path)
    return path


TITLES: list[Any] = HEAD.split(",")
ROW: list[Any] = [37.5, 3, True, "tanh", 0.5, 40, 60, 1.25, 0.1]


def test_a_workbook_by_hand(tmp_path: Path) -> None:
    study = small()
    path = book(
        tmp_path / "t.xlsx", [], [*TITLES, "attr:day"], [*ROW, datetime(2026, 1, 2)], [None], ["37,5", *ROW[1:]]
    )
    first, second = read_table(study, path)
    assert first.params == second.params
    assert first.attrs == {"day": "2026-01-02 00:00:00"}
    assert read_table(study, path.read_bytes())[0].params == first.params


def test_cells_that_hold_no_value(tmp_path: Path) -> None:
    def edit(page: Any) -> None:
        page["A3"] = "=A2+1"
        page["B3"] = datetime(2026, 5, 1)
        page["C3"] = "=1/0"
        page["H3"] = True
        page.merge_cells("I2:I3")

    path = book(tmp_path / "t.xlsx", TITLES, ROW, ROW, edit=edit)
    error = refused(small(), path, "5 cells")
    said = {cell.column: (cell.row, cell.expected, cell.got) for cell in error.cells}
    assert said["t"][2].startswith("a formula without a stored result: open the file in Excel and save it")
    assert said["n"][1].endswith("the spreadsheet has made a date of it")
    assert said["y"] == (3, "a number", "True")
    assert said["load"][2] == "part of the merged cell I2:I3: unmerge it in Excel and fill in each cell"
    assert {row for row, _, _ in said.values()} == {3}


def test_formulas_with_results_are_read(tmp_path: Path) -> None:
    path = book(
        tmp_path / "t.xlsx", [*TITLES, "note"], [*ROW, None], edit=lambda page: page.__setitem__("A2", "=30+7.5")
    )
    stored(path, b"<f>30+7.5</f><v></v>", b"<f>30+7.5</f><v>37.5</v>")
    assert read_table(small(), path)[0].params["t"] == 37.5
    stored(path, b"<f>30+7.5</f><v>37.5</v>", b"<f>30+7.5</f><v>#DIV/0!</v>", b'r="A2"', b'r="A2" t="e"')
    refused(small(), path, "the Excel error #DIV/0!: correct it in Excel")


def test_a_formula_whose_result_is_an_empty_text(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", [*TITLES, "note"], [*ROW, '=""'])
    stored(path, b'<f>""</f><v></v>', b'<f>""</f><v></v>', b'r="J2"', b'r="J2" t="str"')
    assert read_table(small(), path)[0].note == ""


def stored(path: Path, *edits: bytes) -> None:
    """Edit the sheet's XML in place: old, new, old, new."""
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist()}
    name = "xl/worksheets/sheet1.xml"
    for before, after in zip(edits[::2], edits[1::2], strict=True):
        files[name] = files[name].replace(b"<v />", b"<v></v>").replace(b"<v/>", b"<v></v>")
        assert before in files[name], files[name]
        files[name] = files[name].replace(before, after)
    with zipfile.ZipFile(path, "w") as new:
        for inner, data in files.items():
            new.writestr(inner, data)


def test_array_formulas_count_as_formulas(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", TITLES, ROW, edit=lambda p: p.__setitem__("A2", ArrayFormula("A2", "=B2")))
    refused(small(), path, "a formula without a stored result")


def test_percent_cells(tmp_path: Path) -> None:
    def edit(page: Any) -> None:
        for cell in page[2]:
            cell.number_format = "0.0%"

    space = wb.Space([wb.Float("x", 0, 1), wb.Float("p", 0, 100, unit="%")])
    study = wb.create_study("s", space, [wb.Objective("y", unit="%")], sampler="random")
    (trial,) = read_table(study, book(tmp_path / "t.xlsx", ["x", "p", "y"], [0.12, 0.07, 0.5], edit=edit))
    assert (trial.params, trial.values) == ({"x": 0.12, "p": 7.0}, {"y": 50.0})


def test_merged_titles(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", ["My run"], TITLES, ROW, edit=lambda page: page.merge_cells("A1:C1"))
    refused(small(), path, "row 1: a column title is part of the merged cell A1:C1")


def test_sheets(tmp_path: Path) -> None:
    path, made = tmp_path / "t.xlsx", Workbook()
    made.active.title = "empty"
    for title in ("old", "new"):
        page = made.create_sheet(title)
        page.append(TITLES)
        page.append(ROW)
    made["new"]["A2"] = 40
    made.save(path)
    study = small()
    refused(study, path, "several sheets that hold something: 'old', 'new'; pass sheet=")
    refused(study, path, "no sheet 'q'; its sheets: 'empty', 'old', 'new'", sheet="q")
    assert read_table(study, path, sheet="new")[0].params["t"] == 40
    made["new"].sheet_state = "hidden"
    made.save(path)
    assert read_table(study, path)[0].params["t"] == 37.5
    made.remove(made["old"])
    made.save(path)
    refused(small(), path, "no visible sheet that holds anything")


def test_text_in_a_workbook_stays_text(tmp_path: Path) -> None:
    study = small()
    read_table(study, f"{HEAD}\n{GOOD}\n")
    study.trial(0).set_attr("k", "=1+1")
    path = write_table(study, tmp_path / "t.xlsx")
    page = load_workbook(path)["trials"]
    cell = next(cell for cell in page[2] if cell.value == "=1+1")
    assert (cell.data_type, cell.quotePrefix) == ("s", True)
    assert page["C2"].value == 37.5
    assert page["E2"].value is True


def test_a_text_too_long_for_a_cell(tmp_path: Path) -> None:
    study = small()
    read_table(study, f"{HEAD}\n{GOOD}\n")
    study.trial(0).set_attr("k", "x" * 40_000)
    with pytest.raises(wb.TableError, match="holds at most 32767 characters, this text has 40000; write"):
        write_table(study, tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []
    copy = small()
    assert read_table(copy, write_table(study, tmp_path / "t.csv"))[0].attrs["k"] == "x" * 40_000


def test_a_field_longer_than_the_library_allows(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    (trial,) = read_table(small(), f"{HEAD},note\n{GOOD},{'x' * 200_000}\n")
    assert len(trial.note) == 200_000
    assert csv.field_size_limit() == limit


def test_times_are_read(tmp_path: Path) -> None:
    text = f"{HEAD},started,finished\n{GOOD},2026-01-31T14:05:00+01:00,2026-01-31 13:06\n"
    (trial,) = read_table(small(), text)
    start = datetime(2026, 1, 31, 13, 5, tzinfo=UTC).timestamp()
    assert (trial.started, trial.finished) == (start, start + 60)
    refused(small(), text.replace("13:06", "noon"), "a date and time such as 2026")


@pytest.mark.slow
def test_a_workbook_of_100_000_rows(tmp_path: Path) -> None:
    path, made = tmp_path / "t.xlsx", Workbook(write_only=True)
    page = made.create_sheet()
    page.append(TITLES)
    for i in range(100_000):
        page.append([*ROW[:-1], i / 100_000])
    made.save(path)
    study = small()
    began = time.perf_counter()
    trials = read_table(study, path)
    took = time.perf_counter() - began
    assert len(trials) == 100_000
    assert trials[-1].values["load"] == 0.99999
    assert took < 120, f"{took:.0f} s"
    print(f"100,000 rows of {len(TITLES)} cells: {took:.1f} s")


def test_a_column_in_another_unit_is_refused_unless_it_is_said_what_it_is() -> None:
    """350 K read as °C, and kilograms as grams, would be wrong without a word."""
    space = wb.Space([wb.Float("temp", 20, 400, unit="°C"), wb.Float("mass", 0, 10, unit="g")])
    study = wb.create_study("u", space, [wb.Objective("yield", unit="%")], sampler="sobol")
    with pytest.raises(wb.TableError) as caught:
        wb.read_table(study, "temp [K];mass [kg];Yield (g)\n350;0,002;55\n")
    said = str(caught.value)
    assert "'temp [K]', in K where 'temp' is declared in °C: convert it" in said
    assert "'mass [kg]', in kg where 'mass' is declared in g" in said
    assert "'Yield (g)', in g where 'yield' is declared in %" in said
    assert study.trials == []
    wb.read_table(study, "Temp (C);mass [ g ];yield\n50;0,002;55\n")
    wb.read_table(study, "temp [K];mass;yield\n50;0,002;55\n", columns={"temp [K]": "temp"})
    assert [trial.params for trial in study.trials] == [{"temp": 50.0, "mass": 0.002}] * 2


@pytest.mark.parametrize(
    ("row", "said"),
    [(".5,2,-3,,", "a cost of at least 0"), (".5,2,3,2026-01-02,2020-01-01", "not before the start of the run")],
)
def test_a_table_takes_no_cost_below_zero_and_no_end_before_the_start(row: str, said: str) -> None:
    study = wb.create_study("t", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="sobol")
    with pytest.raises(wb.TableError, match=said):
        wb.read_table(study, f"x,y,cost,started,finished\n{row}\n")
    assert study.trials == []
