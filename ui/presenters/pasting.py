"""A table of runs into a study: results of runs that are open here, and runs done elsewhere, all or none.

A row whose cell "number" (or "run") names an open run is the result of that run; every other row is a new one.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import CellError, InvalidValueError, TableError
from workbench.interchange import check_table, parse_table, read_table, write_table
from workbench.interchange.numbers import Fault, detect, number
from workbench.interchange.table import Table
from workbench.study import Study

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Read:
    """What a table says.

    Args:
        table: As it was split into cells; None if it could not be.
        rows: How many runs it holds.
        cells: Every cell that cannot be read.
        error: Why the table cannot be read at all; "" if it can.
    """

    table: Table | None = None
    rows: int = 0
    cells: list[CellError] = field(default_factory=list)
    error: str = ""

    def summary(self) -> str:
        """What was read, in one sentence."""
        columns = 0 if self.table is None else len(self.table.header)
        return f"{self.rows} runs in {columns} columns can be read. Look at the first rows, then save."

    def preview(self) -> pd.DataFrame:
        """The first rows as text."""
        import pandas as pd

        if self.table is None:
            return pd.DataFrame()
        rows = [["" if cell is None else str(cell) for cell in row] for row in self.table.rows[:_SHOWN]]
        return pd.DataFrame(rows, columns=unique(self.table.header))

    def faults(self) -> pd.DataFrame:
        """The cells that are wrong: row, column, what stands there, what was expected."""
        import pandas as pd

        return pd.DataFrame(
            {"Row": [c.row for c in self.cells], "Column": [c.column for c in self.cells],
             "There stands": [c.got for c in self.cells], "Expected": [c.expected for c in self.cells]}
        )  # fmt: skip


def read(study: Study, source: str | bytes) -> Read:
    """Read a table against a study without writing anything."""
    try:
        table = parse_table(source)
        found, cells = check_table(study, table)
    except TableError as error:
        return Read(error=str(error))
    if not found and not cells:
        return Read(error="The table has titles but no rows. Add rows, or copy them too.")
    return Read(table, len(found), cells)


def save(study: Study, source: str | bytes) -> int:
    """Write every row, or none; how many.

    Raises:
        TableError: naming every wrong cell.
    """
    return len(read_table(study, source))


def template(study: Study) -> bytes:
    """A CSV with the titles that `read` expects, and the runs so far as examples of cells."""
    with tempfile.TemporaryDirectory() as folder:
        return write_table(study, Path(folder) / "template.csv", show_units=False).read_bytes()


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
