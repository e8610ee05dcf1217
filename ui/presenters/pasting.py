"""A table of runs into a study: results of runs that are open here, and runs done elsewhere, all or none.

A row whose cell "number" (or "run") names an open run is the result of that run, unless its knobs say otherwise;
every other row is a new run. Cells that cannot be read may be settled by a rule: such a text is read as missing,
as 0, or its rows are left out.
"""

from __future__ import annotations

import csv
import io
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ui.presenters import words
from ui.presenters.runs import open_trials
from ui.presenters.settling import Doubt, Rule, doubtful, said, settle
from workbench.errors import CellError, InvalidValueError, TableError
from workbench.interchange import check_table, parse_table, write_table
from workbench.interchange.columns import Column, known, match
from workbench.interchange.numbers import Decimal, Fault, detect, number
from workbench.interchange.table import Cell, Table
from workbench.study import Study, telling
from workbench.study.telling import Run

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 8
_OWN, _STATE = Column("own", "number"), Column("own", "state")
_GOING = ("", "running", "waiting")  # states of an open run in a table that was exported


@dataclass(frozen=True, slots=True)
class Read:
    """What a table says.

    Args:
        table: As it was split into cells and settled by rules; None if it could not be.
        told: Results of open runs, by number.
        runs: New runs.
        cells: Every cell that cannot be read.
        doubts: The same, gathered by column and text.
        error: Why the table cannot be read at all; "" if it can.
    """

    table: Table | None = None
    told: dict[int, Run] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    cells: list[CellError] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    error: str = ""

    @property
    def rows(self) -> int:
        """How many runs it holds."""
        return len(self.told) + len(self.runs)

    def summary(self) -> str:
        """What was read, in one sentence."""
        columns = 0 if self.table is None else len(self.table.header)
        told = f"{words.count(len(self.told), 'result')} of open runs" if self.told else ""
        new = words.count(len(self.runs), "new run" if self.told else "run") if self.runs else ""
        both = " and ".join(filter(None, [told, new]))
        return f"{both} in {columns} columns can be read. Look at the first rows, then save."

    def preview(self) -> pd.DataFrame:
        """The first rows as text."""
        import pandas as pd

        return preview(self.table) if self.table is not None else pd.DataFrame()

    def faults(self) -> pd.DataFrame:
        """The cells that are wrong: row, column, what stands there, what was expected."""
        import pandas as pd

        return pd.DataFrame(
            {"Row": [c.row for c in self.cells], "Column": [c.column for c in self.cells],
             "There stands": [c.got for c in self.cells], "Expected": [c.expected for c in self.cells]}
        )  # fmt: skip


def read(study: Study, source: str | bytes, rules: Sequence[Rule] = ()) -> Read:
    """Read a table against a study without writing anything."""
    try:
        table = settle(_numbered(study, parse_table(source)), rules)
        told, fresh, numbers = _parted(study, table)
        found, wrong = _checked(study, told)
        runs, cells = _checked(study, fresh)
    except TableError as error:
        return Read(error=str(error))
    if not table.rows:
        return Read(error="The table has titles but no rows. Add rows, or copy them too.")
    results = dict(zip(numbers, found, strict=True)) if not wrong else {}
    cells = sorted([*wrong, *cells], key=lambda cell: cell.row)
    return Read(table, results, runs, cells, doubtful(table, cells, lambda mended: _wrong(study, mended)))


def save(study: Study, source: str | bytes, rules: Sequence[Rule] = ()) -> int:
    """Write every row, or none; how many.

    Raises:
        TableError: naming every wrong cell.
        AlreadyTold: if somebody recorded something else for one of the runs.
    """
    found = read(study, source, rules)
    if found.error or found.cells:
        raise TableError(found.error or "\n".join(map(str, found.cells)), found.cells)
    return len(telling.tell_all(study._record, found.told, found.runs))


def preview(table: Table, most: int = _SHOWN) -> pd.DataFrame:
    """The first rows of a table as text."""
    import pandas as pd

    return pd.DataFrame([list(map(said, row)) for row in table.rows[:most]], columns=unique(table.header))


def _numbered(study: Study, table: Table) -> Table:
    """The table with the column "Run" of our own pages called "number", as tables of the workbench call it."""
    taken = {name.casefold() for name in known(study)} - {"number"}
    header = ["number" if title.strip().casefold() == "run" and "run" not in taken else title for title in table.header]
    return replace(table, header=tuple(header))


def _checked(study: Study, table: Table) -> tuple[list[Run], list[CellError]]:
    return check_table(study, table) if table.rows else ([], [])


def _wrong(study: Study, table: Table) -> list[CellError]:
    return [cell for part in _parted(study, table)[:2] for cell in _checked(study, part)[1]]


def _parted(study: Study, table: Table) -> tuple[Table, Table, list[int]]:
    """The rows that are results of open runs, the rest, and the numbers of the former.

    Knobs that the table leaves out are those of the run, and rows of open runs without any result are left out.
    """
    columns = match(study, table, None)
    place = {column: i for i, column in columns.items()}
    own, state = place.get(_OWN), place.get(_STATE)
    results = [i for i, column in columns.items() if column.kind == "value"]
    absent = [name for name in study.space.names if Column("param", name) not in place]
    mark = detect(cell for row in table.rows for cell in row)
    open_ = {trial.number: trial.params for trial in open_trials(study)}
    told, fresh, numbers = [], [], []
    for line, row in zip(table.lines, table.rows, strict=True):
        n = int(said(row[own])) if own is not None and said(row[own]).strip().isdigit() else None
        params = open_.get(n) if n is not None else None
        knobs = {column.name: row[i] for i, column in columns.items() if column.kind == "param"}
        if n is None or params is None or not _agrees(study, knobs, params, mark):
            fresh.append((line, row))
            continue
        going = state is None or said(row[state]).strip() in _GOING
        if going and all(said(row[i]).strip() == "" for i in results):
            continue
        kept = tuple(None if i == state and going else cell for i, cell in enumerate(row))
        if n in numbers:
            raise TableError(f"run {n} stands in two rows, the second time in row {line}; leave one of them out")
        told.append((line, (*kept, *(_cell(params.get(name)) for name in absent))))
        numbers.append(n)
    return (
        Table(table.name, (*table.header, *absent), tuple(row for _, row in told), tuple(line for line, _ in told)),
        Table(table.name, table.header, tuple(row for _, row in fresh), tuple(line for line, _ in fresh)),
        numbers,
    )


def _agrees(study: Study, knobs: Mapping[str, Cell], params: Mapping[str, Any], mark: Decimal) -> bool:
    """Do the knobs of a row, as far as it says them, equal those of a run?"""
    for name, cell in knobs.items():
        if said(cell).strip() == "" or name not in params:
            continue
        if study.space[name].kind in ("float", "int"):
            try:
                value = float(number(cell, mark, "a number"))
            except Fault:
                return False
            if not math.isclose(value, params[name], rel_tol=1e-9):
                return False
        elif study.space[name].kind in ("categorical", "ordinal") and said(cell).strip() != str(params[name]):
            return False
    return True


def _cell(value: Any) -> Cell:
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def template(study: Study) -> bytes:
    """A CSV with the titles that `read` expects: the open runs to fill in, else the last runs as examples of cells."""
    open_ = {str(trial.number) for trial in open_trials(study)}
    with tempfile.TemporaryDirectory() as folder:
        path = write_table(study, Path(folder) / "template.csv", show_units=False)
        header, *rows = csv.reader(path.read_text("utf-8-sig").splitlines())
    kept = [row for row in rows if row[header.index("number")] in open_] or rows[-_SHOWN:]
    text = io.StringIO()
    csv.writer(text).writerows([header, *kept])
    return text.getvalue().encode("utf-8-sig")


def number_of(name: str, text: str) -> float:
    """A number as a person types it, decimal comma or point.

    Raises:
        InvalidValueError: if it is none.
    """
    try:
        return float(number(text, detect([text]), "a number"))
    except Fault as fault:
        raise InvalidValueError(f"{name}: expected {fault.expected}; got {text!r}") from fault


def unique(titles: tuple[str, ...]) -> list[str]:
    """Titles that differ, as a frame needs them."""
    seen: dict[str, int] = {}
    made = []
    for title in titles:
        seen[title] = seen.get(title, 0) + 1
        made.append(title if seen[title] == 1 else f"{title} ({seen[title]})")
    return made
