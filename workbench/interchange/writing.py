"""Trials to a table: one row for each, in CSV or XLSX."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from workbench.errors import InvalidValueError, TableError
from workbench.interchange import cells
from workbench.interchange.columns import Column, attr_title, parts, told_names, units
from workbench.interchange.numbers import check_decimal
from workbench.interchange.table import Cell, guarded
from workbench.whole_file import replaced

if TYPE_CHECKING:
    from workbench.space import Parameter
    from workbench.study import Study
    from workbench.trial import Trial

_ABSENT = object()
_OPTIONAL = ("cost", "tags", "note", "reason", "error")  # a column only where a trial has one


def write_table(
    study: Study,
    path: str | Path,
    *,
    bom: bool = True,
    decimal: str = ".",
    show_units: bool = True,
    only: Collection[int] | None = None,
) -> Path:
    """Write every trial as one row of a CSV or XLSX file; `read_table` reads those that have ended back.

    Values of an earlier space that the present one cannot hold are left blank. Numbers stand there with all
    their digits. A text that a spreadsheet would take for a formula gets an
    apostrophe in CSV, which reading takes off; a note of white space alone reads as none. An existing file
    is replaced only by a whole one. What a row cannot hold (gradients, rankings, files, the audit log) is
    in the bundle of `study.export`.

    Args:
        path: Ends in .csv or .xlsx.
        bom: Begin a CSV with the mark by which Excel knows UTF-8.
        decimal: "," writes a CSV with decimal commas and semicolons, for Excel in countries that use them.
        show_units: Whether titles carry units, "x [mm]".
        only: Numbers of the trials to write; None: all.
    Returns:
        The path.
    Raises:
        TableError: if the path ends otherwise or cannot be written, or XLSX cannot hold the table.
    """
    path = Path(path)
    check_decimal(decimal)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".xlsx"):
        raise TableError(f"expected a path that ends in .csv or .xlsx, got {path}; choose one of them")
    if only is not None and not isinstance(only, Collection):
        raise TableError(f"only= names the trials to write, such as [{only!r}]; got {only!r}")
    trials = [trial for trial in study.trials if only is None or trial.number in only]
    columns = _columns(study, trials, decimal)
    header, rows = _titles(study, [column for column, _ in columns], show_units), _rows(trials, columns)
    try:
        with replaced(path) as file:
            if suffix == ".csv":
                _write_csv(file, header, rows, bom, decimal)
            else:
                from workbench.interchange.workbook import write

                write(file, header, rows)
    except OSError as error:
        raise TableError(
            f"cannot write {path}: {error.strerror}; give a path in a folder that can be written"
        ) from error
    return path


Get = Callable[["Trial"], Cell]


def _columns(study: Study, trials: Sequence[Trial], decimal: str) -> list[tuple[Column, Get]]:
    """What each column holds, and how to get it from a trial."""
    columns: list[tuple[Column, Get]] = [
        (Column("own", "number"), lambda trial: trial.number), (Column("own", "state"), lambda trial: str(trial.state))
    ]  # fmt: skip
    for parameter in study.space:
        if parameter.kind == "simplex":
            columns += [(Column("part", part), _part(_value(study, parameter), part)) for part in parameter.columns]
        else:
            get = _param(_value(study, parameter), cells.writer(parameter))
            columns.append((Column("param", parameter.name), get))
    told = told_names(study)
    columns += [(Column("value", name), _item("values", name)) for name in told]
    given = {name for trial in trials for name in trial.sem}
    columns += [(Column("sem", name), _item("sem", name)) for name in told if name in given]
    columns += [(Column("own", name), _own(name)) for name in _OPTIONAL if any(getattr(t, name) for t in trials)]
    moved = {name for trial in trials for name in trial.actual}
    columns += [
        (Column("actual", p.name), _item("actual", p.name, cells.told(p))) for p in study.space if p.name in moved
    ]
    keys = dict.fromkeys(key for trial in trials for key in trial.attrs)
    columns += [(Column("attr", key), _attr(key, decimal)) for key in keys]
    return columns + [(Column("own", name), _own(name)) for name in ("started", "finished")]


def _value(study: Study, parameter: Parameter) -> Callable[[Trial], Any]:
    """A parameter's value in a trial; _ABSENT where it has none, or one that only an earlier space can hold."""
    changed = bool(study.history().spaces.earlier)

    def get(trial: Trial) -> Any:
        value = trial.params.get(parameter.name, _ABSENT)
        if value is _ABSENT or not changed:
            return value
        try:
            return parameter.check(value)
        except InvalidValueError:
            return _ABSENT

    return get


def _param(value: Callable[[Trial], Any], write: cells.Write) -> Get:
    def get(trial: Trial) -> Cell:
        found = value(trial)
        return None if found is _ABSENT else write(found)

    return get


def _part(value: Callable[[Trial], Any], part: str) -> Get:
    def get(trial: Trial) -> Cell:
        mixture = value(trial)
        return None if mixture is _ABSENT else cast("float | None", mixture.get(part))

    return get


def _item(what: str, name: str, write: cells.Write = lambda value: value) -> Get:
    def get(trial: Trial) -> Cell:
        found = getattr(trial, what)
        return write(found[name]) if name in found else None

    return get


def _attr(key: str, decimal: str) -> Get:
    def get(trial: Trial) -> Cell:
        attrs = trial.attrs
        return cells.write_attr(attrs[key], decimal) if key in attrs else None

    return get


def _own(name: str) -> Get:
    writers: dict[str, Callable[[Any], Cell]] = {
        "tags": cells.write_tags, "started": cells.write_time, "finished": cells.write_time
    }  # fmt: skip
    write = writers.get(name)

    def get(trial: Trial) -> Cell:
        value = getattr(trial, name)
        if value is None or value in ("", []):
            return None
        return cast("Cell", value) if write is None else write(value)

    return get


def _titles(study: Study, columns: Sequence[Column], show_units: bool) -> list[str]:
    """Titles that `read_table` takes for these columns; a trial's own ones give way to names of the study."""
    measures = units(study) if show_units else {}
    taken = {name.casefold() for name in (*study.space.names, *parts(study.space), *told_names(study))}
    titles = []
    for column in columns:
        if column.kind == "attr":
            title = attr_title(column.name)
        elif column.kind in ("sem", "actual"):
            title = f"{column.kind}:{column.name}"
        else:
            title = f"trial:{column.name}" if column.kind == "own" and column.name in taken else column.name
        titles.append(title)
    for i, column in enumerate(columns):
        unit = measures.get(column.name) if column.kind in ("param", "part", "value") else None
        if unit and f"{titles[i]} [{unit}]".casefold() not in taken and not set(unit) & set("[]"):
            titles[i] = f"{titles[i]} [{unit}]"
    twice = [title for title in titles if titles.count(title) > 1]
    if twice:
        raise TableError(f"two columns would have the title {twice[0]!r}; rename the objective or the attribute")
    return titles


def _rows(trials: Iterable[Trial], columns: Sequence[tuple[Column, Get]]) -> Iterator[list[Cell]]:
    for trial in trials:
        yield [get(trial) for _, get in columns]


def _write_csv(file: BinaryIO, header: Sequence[str], rows: Iterable[Sequence[Cell]], bom: bool, decimal: str) -> None:
    text = io.TextIOWrapper(file, "utf-8-sig" if bom else "utf-8", newline="")
    out = csv.writer(text, delimiter=";" if decimal == "," else ",")
    out.writerow(map(guarded, header))
    out.writerows([_csv_cell(cell, decimal) for cell in row] for row in rows)
    text.detach()


def _csv_cell(cell: Cell, decimal: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return guarded(cell)
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return repr(cell).replace(".", decimal)
