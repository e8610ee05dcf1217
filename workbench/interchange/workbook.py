"""XLSX through openpyxl: rows of cells in, rows of cells out.

Read row by row, so that 100,000 rows need no more memory than their values. What this mode of openpyxl
leaves out (merged cells, formulas that were never calculated) is looked up in the sheet's own XML.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from workbench.errors import TableError
from workbench.interchange.table import Bad, Cell, Percent, Row, guarded

_CHUNK = 1 << 20
_MOST_ROWS, _MOST_COLUMNS, _LONGEST = 1_048_576, 16_384, 32_767  # Excel's limits
_FORMULA = re.compile(rb"<(?:\w+:)?f[ />]")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell [^>]*?ref=\"([A-Z]+[0-9]+:[A-Z]+[0-9]+)\"")
_ERRORS = frozenset({"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#GETTING_DATA"})
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # how XLSX writes what XML cannot hold
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_UNCALCULATED = Bad("a formula without a stored result: open the file in Excel and save it, or put the value there")


# -- in ------------------------------------------------------------------------------------------


def read(name: str, data: bytes, sheet: str | None) -> Iterator[tuple[int, Row]]:
    """Yield the number and the cells of each row of one sheet.

    Args:
        name: What errors call the file.
        sheet: By default the only visible sheet that holds anything.
    Raises:
        TableError: if it is no workbook, or the sheet is not clear.
    """
    try:
        with _opened(data, data_only=True) as book:
            page = _sheet(name, book, sheet)
            path = page._worksheet_path
            formulas = _formulas(data, page.title) if _holds(data, path, _FORMULA) else frozenset()
            areas = _merged(data, path)
            for line, row in enumerate(_rows(page), start=1):
                known = _calculated(line, row, formulas) if formulas else row
                yield line, _unmerged(line, known, areas) if areas else known
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError, EOFError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{name} is no workbook that can be read ({error}); save it again in Excel") from error


@contextmanager
def _opened(data: bytes, *, data_only: bool) -> Iterator[Any]:
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions that do not matter here
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=data_only, keep_links=False)
        try:
            yield book
        finally:
            book.close()


def _sheet(name: str, book: Any, wanted: str | None) -> Any:
    pages = {page.title: page for page in book.worksheets}
    shown = [title for title, page in pages.items() if page.sheet_state == "visible"]
    if wanted is not None:
        if wanted not in pages:
            raise TableError(f"{name} has no sheet {wanted!r}; its sheets: {', '.join(map(repr, pages))}")
        return pages[wanted]
    held = [title for title in shown if any(any(cell is not None for cell in row) for row in _rows(pages[title]))]
    if len(held) > 1:
        raise TableError(f"{name} has several sheets that hold something: {', '.join(map(repr, held))}; pass sheet=")
    if not held:
        raise TableError(f"{name} has no visible sheet that holds anything; check the file")
    return pages[held[0]]


def _rows(page: Any) -> Iterator[Row]:
    page.reset_dimensions()  # some programs write wrong ones
    percent: dict[str, bool] = {}
    for row in page.iter_rows():
        yield tuple(_cell(cell, percent) for cell in row)


def _cell(cell: Any, percent: dict[str, bool]) -> Cell:
    value: Cell = cell.value
    if value is None:
        return "" if cell.data_type == "str" else None  # a formula whose result is an empty text
    if isinstance(value, str):
        if value in _ERRORS and cell.data_type == "e":
            return Bad(f"the Excel error {value}: correct it in Excel")
        return _unescaped(value) if "_x" in value else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    style = cell.number_format
    if style not in percent:
        percent[style] = "%" in re.sub(r'"[^"]*"|\\.', "", style)
    return Percent(value) if percent[style] else value


def _holds(data: bytes, path: str, pattern: re.Pattern[bytes]) -> bool:
    return next(_found(data, path, pattern), None) is not None


def _found(data: bytes, path: str, pattern: re.Pattern[bytes]) -> Iterator[re.Match[bytes]]:
    """Yield matches in one file of the archive, read piece by piece."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(path) as file:
        rest = b""
        while chunk := file.read(_CHUNK):
            text = rest + chunk
            end = text.rfind(b"<")  # a tag that the piece cuts is looked at again with the next piece
            yield from pattern.finditer(text, 0, end)
            rest = text[end:] if end >= 0 else text
        yield from pattern.finditer(rest)


def _formulas(data: bytes, title: str) -> frozenset[tuple[int, int]]:
    """(row, column) of every cell that holds a formula."""
    with _opened(data, data_only=False) as book:
        page = book[title]
        page.reset_dimensions()
        return frozenset(
            (line, column)
            for line, row in enumerate(page.iter_rows(), start=1)
            for column, cell in enumerate(row, start=1)
            if cell.data_type == "f"
        )


def _calculated(line: int, row: Row, formulas: frozenset[tuple[int, int]]) -> Row:
    """Mark the formulas that have no result."""
    return tuple(
        _UNCALCULATED if cell is None and (line, column) in formulas else cell
        for column, cell in enumerate(row, start=1)
    )


class _Area(NamedTuple):
    """A merged cell; only its first cell holds something."""

    name: str
    left: int
    top: int
    right: int
    bottom: int


def _merged(data: bytes, path: str) -> list[_Area]:
    """The merged cells of a sheet, those that end last first."""
    from openpyxl.utils import range_boundaries

    names = [match[1].decode() for match in _found(data, path, _MERGED)]
    return sorted((_Area(name, *range_boundaries(name)) for name in names), key=lambda area: -area.bottom)


def _unmerged(line: int, row: Row, areas: list[_Area]) -> Row:
    """Mark the cells that merging has emptied; they reach beyond the last value of a row."""
    while areas and areas[-1].bottom < line:
        areas.pop()
    here = [area for area in areas if area.top <= line]
    if not here:
        return row
    cells = list(row) + [None] * (max(area.right for area in here) - len(row))
    for area in here:
        for column in range(area.left, area.right + 1):
            if (line, column) != (area.top, area.left):
                cells[column - 1] = Bad(
                    f"part of the merged cell {area.name}: unmerge it in Excel and fill in each cell"
                )
    return tuple(cells)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


# -- out -----------------------------------------------------------------------------------------


def write(file: BinaryIO, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Write one sheet; text stays text, whatever it begins with, and numbers stay numbers.

    Raises:
        TableError: if Excel's limits do not hold the table.
    """
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    if len(header) > _MOST_COLUMNS:
        raise TableError(f"a sheet has at most {_MOST_COLUMNS} columns, this table has {len(header)}; write a .csv")
    book = Workbook(write_only=True)
    page = book.create_sheet("trials")
    page.freeze_panes = "A2"

    def cell(value: Cell, line: int, title: str) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = WriteOnlyCell(page, repr(value))  # openpyxl itself would round it to 16 digits
            number.data_type = "n"
            return number
        if not isinstance(value, str):
            return value
        escaped = _UNSAFE.sub(lambda match: f"_x{ord(match[0]):04X}_", value)
        if len(escaped) > _LONGEST:
            raise TableError(
                f"row {line}, column {title!r}: a cell of a workbook holds at most {_LONGEST} characters, "
                f"this text has {len(escaped)}; write a .csv"
            )
        made = WriteOnlyCell(page, escaped)
        made.data_type = "s"  # not a formula, not an error
        if guarded(value) != value:
            made.quotePrefix = True  # stays text when somebody edits it
        return made

    try:
        page.append([cell(title, 1, title) for title in header])
        for line, row in enumerate(rows, start=2):
            if line > _MOST_ROWS:
                raise TableError(f"a sheet has at most {_MOST_ROWS} rows; write a .csv")
            page.append([cell(value, line, title) for value, title in zip(row, header, strict=True)])
    except BaseException:
        book.save(io.BytesIO())  # openpyxl removes its temporary files only then
        raise
    book.save(file)
