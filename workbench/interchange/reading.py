"""Rows of a table to trials: every cell is checked before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import CellError, InvalidValueError, TableError
from workbench.interchange import cells
from workbench.interchange.columns import Column, match, parts, told_names, units
from workbench.interchange.numbers import Decimal, Fault, check_decimal, detect, number
from workbench.interchange.table import Bad, Cell, Row, Table, parse_table
from workbench.study import telling
from workbench.study.telling import Run
from workbench.trial import Observation, TrialState

if TYPE_CHECKING:
    from workbench.space import Parameter, Space
    from workbench.study import Study
    from workbench.trial import Trial

_SHOWN = 20  # cells that a message lists
_STATES = {str(s): s for s in (TrialState.COMPLETE, TrialState.FAILED, TrialState.INFEASIBLE, TrialState.PRUNED)}
_OTHERS = "failed, infeasible or pruned"
_SAID_WITH = {"error": ("failed",), "reason": ("infeasible", "pruned", "failed")}


def read_table(
    study: Study,
    path: str | Path | bytes | Table,
    *,
    columns: Mapping[str, str | None] | None = None,
    decimal: str | None = None,
    sheet: str | None = None,
) -> list[Trial]:
    """Add the rows of a CSV or XLSX file, or of pasted text, as trials: all of them or none.

    Titles are names of parameters (a mixture has one column for each part), of objectives and constraints,
    "sem:NAME", "actual:NAME" (a parameter as it was really set), "attr:KEY", "state", "cost", "tags", "note",
    "reason", "error", "started" and "finished", exactly, whatever the case, or with the unit in brackets
    behind. Trials get new numbers, a column "number" is not looked at. A row needs every value, unless its
    state says "failed", "infeasible" or "pruned". Points outside the bounds are kept as data.

    Args:
        path: A path, or what else `parse_table` takes, or what it gave.
        columns: Title in the file -> one of the names above; None leaves the column out.
        decimal: "." or ","; None finds out by the file, and refuses what may be either.
        sheet: Sheet of a workbook; by default the only visible one that holds anything.
    Raises:
        TableError: listing every bad cell with its row; nothing is written.
    """
    table = path if isinstance(path, Table) else parse_table(path, sheet=sheet)
    runs, errors = check_table(study, table, columns=columns, decimal=decimal)
    if errors:
        raise TableError(_message(table, errors), errors)
    if not runs:
        return []
    rows = telling.attach_all(study._record, runs)
    return [study._record.trial(row) for row in rows]


def check_table(
    study: Study,
    table: Table,
    *,
    columns: Mapping[str, str | None] | None = None,
    decimal: str | None = None,
) -> tuple[list[Run], list[CellError]]:
    """Read a parsed table against a study without writing anything. Arguments as in `read_table`.

    Returns:
        The trials of the rows that are right, and every cell that is wrong.
    Raises:
        TableError: if columns are missing, unknown or double.
    """
    check_decimal(decimal)
    found = match(study, table, columns)
    _check_present(study, table, found)
    mark: Decimal = decimal or _detected(study.space, table, found)  # type: ignore[assignment]
    sheet = _Sheet(study, table, found, mark)
    runs, errors = [], []
    for line, row in zip(table.lines, table.rows, strict=True):
        run, wrong = sheet.read(line, row)
        errors += wrong
        if run is not None:
            runs.append(run)
    return runs, errors


def _message(table: Table, errors: list[CellError]) -> str:
    listed = [f"  {error}" for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        listed.append(f"  and {len(errors) - _SHOWN} more")
    cells_ = "1 cell" if len(errors) == 1 else f"{len(errors)} cells"
    return "\n".join([f"{table.name}: {cells_} cannot be read, so nothing was written.", *listed])


def _check_present(study: Study, table: Table, found: Mapping[int, Column]) -> None:
    """Raise for columns that every row needs."""
    held = set(found.values())
    mixed = parts(study.space)
    needed = [Column("part" if name in mixed else "param", name) for name in (*study.space.names, *mixed)]
    absent = [
        column.name
        for column in needed
        if column.name not in mixed.values() and column not in held
        and study.space[mixed.get(column.name, column.name)].when is None
    ]  # fmt: skip
    told = told_names(study)
    if Column("own", "state") not in held:
        absent += [name for name in told if Column("value", name) not in held]
        if not told:
            raise TableError("this study measures nothing, so no row can be complete: judge trials by study.feedback")
    if absent:
        raise TableError(
            f"{table.name} has no column for {', '.join(map(repr, absent))}; its titles: "
            f"{', '.join(map(repr, table.header))}. Add the columns, or say which ones they are with columns="
        )


def _detected(space: Space, table: Table, found: Mapping[int, Column]) -> Decimal:
    numeric = [
        i
        for i, column in found.items()
        if column.kind in ("part", "value", "sem") or column == Column("own", "cost")
        or (column.kind in ("param", "actual") and space[column.name].kind in ("float", "int"))
    ]  # fmt: skip
    return detect(row[i] for row in table.rows for i in numeric)


class _Sheet:
    """Reads rows of one table; knows how each of its columns is read."""

    def __init__(self, study: Study, table: Table, found: Mapping[int, Column], decimal: Decimal) -> None:
        self.space = study.space
        self.told = told_names(study)
        self.titles = {column: table.header[i] for i, column in found.items()}
        self.mixtures = {p.name: p for p in study.space if p.kind == "simplex"}
        noiseless = {g.name for g in (*study.objectives, *study.constraints) if getattr(g, "noise", None) == "none"}
        percent = {name for name, unit in units(study).items() if unit == "%"}
        self.readers = {
            i: (column, _reader(study.space, column, decimal, noiseless, percent)) for i, column in found.items()
        }

    def read(self, line: int, row: Row) -> tuple[Run | None, list[CellError]]:
        """The trial of one row, or None and what is wrong with it."""
        got: dict[Column, Any] = {}
        errors: list[CellError] = []
        for i, (column, reader) in self.readers.items():
            cell = row[i]
            if cell is None or (isinstance(cell, str) and not cell.strip()):
                continue
            try:
                got[column] = reader(cell)
            except Fault as fault:
                errors.append(CellError(line, self.titles[column], fault.expected, fault.got or cells.shown(cell)))
        bad = {error.column for error in errors}
        unread = {column for column, title in self.titles.items() if title in bad}
        params = self._params(got, unread)
        faults = [
            *self._point_faults(params, got, unread), *self._actual_faults(params, got),
            *self._outcome_faults(got, unread),
        ]  # fmt: skip
        for column, expected, came in faults:
            errors.append(CellError(line, self.titles.get(column, column.name), expected, came))
        return (None if errors else self._run(params, got)), errors

    def _params(self, got: Mapping[Column, Any], unread: set[Column]) -> dict[str, Any]:
        """Parameter values of the row as far as they can be read, mixtures put together."""
        params: dict[str, Any] = {}
        for parameter in self.space:
            if parameter.name not in self.mixtures:
                column = Column("param", parameter.name)
                if column in got:
                    params[parameter.name] = got[column]
                continue
            columns = [Column("part", part) for part in parameter.columns]
            if any(column in got for column in columns) and not unread.intersection(columns):
                params[parameter.name] = {column.name: got.get(column) for column in columns}
        return params

    def _point_faults(
        self, params: Mapping[str, Any], got: Mapping[Column, Any], unread: set[Column]
    ) -> Iterator[tuple[Column, str, str]]:
        """Parameters that are missing, that should be absent, and mixtures that do not add up."""
        active = self.space.active(params)
        bad = {parts(self.space).get(column.name, column.name) for column in unread}
        for parameter in self.space:
            name = parameter.name
            if name in bad or any(parent in bad for parent in parameter.when or ()):
                continue
            if name in params and name not in active:
                column = self._column(parameter, got)
                yield column, f"an empty cell: {name} exists only with {_condition(parameter)}", str(params[name])
            elif name not in params and name in active:
                yield self._column(parameter, got), parameter.describe(), "nothing"
            elif name in params and name in self.mixtures:
                yield from self._mixture_faults(parameter, params[name])

    def _actual_faults(self, params: Mapping[str, Any], got: Mapping[Column, Any]) -> Iterator[tuple[Column, str, str]]:
        """Values that were really set of a parameter that the row has not, and what exists only with them."""
        actual = {column.name: value for column, value in got.items() if column.kind == "actual"}
        point = {**params, **actual}
        active = self.space.active(point)
        for name, value in actual.items():
            if name not in active:
                yield Column("actual", name), f"an empty cell: the row has no {name}", str(value)
        if actual:
            for name in self.space.active(params) ^ active:
                if name in active and name not in point:
                    yield Column("actual", name), f"what {name} was set to: it exists with {actual}", "nothing"

    def _mixture_faults(self, parameter: Parameter, amounts: dict[str, Any]) -> Iterator[tuple[Column, str, str]]:
        missing = [part for part, amount in amounts.items() if amount is None]
        for part in missing:
            yield Column("part", part), f"an amount of {part}, 0 if there is none", "nothing"
        try:
            if not missing:
                parameter.check(amounts)
        except InvalidValueError:
            said = ", ".join(f"{part} {amount!r}" for part, amount in amounts.items())
            yield Column("part", next(iter(amounts))), parameter.describe(), said

    def _column(self, parameter: Parameter, got: Mapping[Column, Any]) -> Column:
        """The column that a fault of a parameter is reported in: a mixture's first one that is filled, or its first."""
        if parameter.name not in self.mixtures:
            return Column("param", parameter.name)
        columns = [Column("part", part) for part in parameter.columns]
        return next((column for column in columns if column in got), columns[0])

    def _outcome_faults(self, got: Mapping[Column, Any], unread: set[Column]) -> Iterator[tuple[Column, str, str]]:
        """Values that are missing, and texts that do not go with the state."""
        state = got.get(Column("own", "state"))
        if Column("own", "state") in unread:
            return
        values = [Column("value", name) for name in self.told]
        empty = [column for column in values if column not in got and column not in unread]
        if state is None and empty == values:
            yield (
                values[0] if values else Column("own", "state"),
                "a value; or 'failed', 'infeasible' or 'pruned' in a column 'state' (for points that are still to be "
                "run use study.enqueue)",
                "no value at all",
            )
        elif state in (None, TrialState.COMPLETE):
            for column in empty:
                yield (
                    column,
                    "a number; a row without every value needs the state failed, infeasible or pruned",
                    "nothing",
                )
        began, ended = (got.get(Column("own", name)) for name in ("started", "finished"))
        if began is not None and ended is not None and ended < began:
            yield Column("own", "finished"), "a time that is not before the start of the run", "an earlier one"
        for name, states in _SAID_WITH.items():
            column = Column("own", name)
            if column in got and str(state or TrialState.COMPLETE) not in states:
                yield column, f"an empty cell: it goes with the state {' or '.join(states)}", repr(got[column])

    def _run(self, params: dict[str, Any], got: Mapping[Column, Any]) -> Run:
        own = {column.name: value for column, value in got.items() if column.kind == "own"}
        by_kind: dict[str, dict[str, Any]] = {"value": {}, "sem": {}, "actual": {}, "attr": {}}
        for column, value in got.items():
            if column.kind in by_kind:
                by_kind[column.kind][column.name] = value
        return Run(
            params,
            Observation(by_kind["value"], by_kind["sem"], cost=own.get("cost"), actual=by_kind["actual"]),
            own.get("state", TrialState.COMPLETE),
            error=own.get("error"), reason=own.get("reason"), attrs=by_kind["attr"], tags=own.get("tags", ()),
            note=own.get("note"), started=own.get("started"), finished=own.get("finished"),
        )  # fmt: skip


def _condition(parameter: Parameter) -> str:
    listed = (parameter.when or {}).items()
    return " and ".join(f"{parent} = {' or '.join(map(repr, allowed))}" for parent, allowed in listed)


def _reader(
    space: Space, column: Column, decimal: Decimal, noiseless: set[str], percent: set[str]
) -> Callable[[Cell], Any]:
    """How the cells of one column are read."""
    if column.kind == "param":
        return _sound(cells.reader(space[column.name], decimal))
    if column.kind == "actual":
        return _sound(cells.read_told(space[column.name], decimal))
    if column.kind == "attr":
        return _sound(lambda cell: cells.read_attr(cell, decimal))
    if column.kind == "own" and column.name != "cost":
        return _sound(_OWN[column.name])
    bounded = {
        "part": "an amount of at least 0",
        "sem": "a standard error of at least 0",
        "own": "a cost of at least 0",
    }
    least = bounded.get(column.kind, "a number")

    def read(cell: Cell) -> float:
        value = float(number(cell, decimal, least, percent=column.name in percent and column.kind != "own"))
        if value < 0 and column.kind in bounded:
            raise Fault(least)
        if column.kind == "sem" and column.name in noiseless:
            raise Fault(f"an empty cell: {column.name} is declared noise='none'")
        return value

    return _sound(read)


def _sound(read: Callable[[Cell], Any]) -> Callable[[Cell], Any]:
    """Let the reader have only cells that hold a value."""

    def sound(cell: Cell) -> Any:
        if isinstance(cell, Bad):
            raise Fault("a value", cell.what)
        return read(cell)

    return sound


def _state(cell: Cell) -> TrialState:
    word = cell.strip().casefold() if isinstance(cell, str) else ""
    if word not in _STATES:
        raise Fault(f"a state, one of {', '.join(_STATES)}; leave rows of other states out")
    return _STATES[word]


_OWN: dict[str, Callable[[Cell], Any]] = {
    "number": lambda cell: None,
    "state": _state,
    "tags": cells.read_tags,
    "note": cells.read_text,
    "reason": cells.read_text,
    "error": cells.read_text,
    "started": cells.read_time,
    "finished": cells.read_time,
}
