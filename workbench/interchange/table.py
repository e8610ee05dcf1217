"""A table as it came: a header and rows of cells, from CSV, XLSX or text pasted out of a spreadsheet.

Nothing here knows a study. What cannot be a value at all (a formula without a result, a merged cell, an
Excel error) becomes a `Bad` cell, so that the reader can report it with its row and column.
"""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple

from workbench.errors import TableError


class Bad(NamedTuple):
    """A cell that holds no value; `what` says what it holds and what to do."""

    what: str


class Percent(NamedTuple):
    """A number that is shown as a percentage: 0.12 for 12 %."""

    share: float


Cell = None | str | bool | int | float | datetime | date | time | timedelta | Percent | Bad
Row = tuple[Cell, ...]

_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
_GUARDED = re.compile(r"'+[=+\-@\t\r\n]")
_LONGEST = 2**31 - 1  # characters of one field
_field_limit = threading.Lock()


@dataclass(frozen=True, slots=True)
class Table:
    """A header and rows, all of the header's width.

    Args:
        name: What errors call it: the file's path, or "the text".
        header: Titles as they stand there.
        rows: Cells; None where empty. Rows without any cell are left out.
        lines: The number of each row as a spreadsheet shows it; as long as `rows`.
    """

    name: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    lines: tuple[int, ...]


def parse_table(source: str | Path | bytes, *, sheet: str | None = None) -> Table:
    """Split a CSV or XLSX file, or text pasted out of a spreadsheet, into cells.

    The first row that is not empty is the header. Columns of text may be separated by comma, semicolon,
    tab or bar; text is UTF-8, or UTF-16 with its mark.

    Args:
        source: A path; or text, recognised by a line break or a tab in it; or the bytes of a file.
        sheet: Sheet of a workbook. By default the only visible one that holds anything.
    Raises:
        TableError: if it cannot be read at all.
    """
    if isinstance(source, str) and re.search(r"[\t\r\n]", source):
        return _from_text("the text", source, sheet)
    name, data = ("the file", source) if isinstance(source, bytes) else (str(source), _bytes(Path(source)))
    if data.startswith(b"PK\x03\x04"):
        from workbench.interchange.workbook import read

        return _assembled(name, read(name, data, sheet))
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise TableError(
            f"{name} is an old .xls workbook or has a password; save it in Excel as .xlsx without a password"
        )
    if Path(name).suffix.lower() == ".xlsx":
        raise TableError(f"{name} is no XLSX workbook; save it again in Excel, or rename it to .csv if it is text")
    return _from_text(name, _decoded(name, data), sheet)


def _bytes(path: Path) -> bytes:
    if path.suffix.lower() not in (".csv", ".tsv", ".txt", ".xlsx"):
        raise TableError(f"expected a path that ends in .csv, .tsv, .txt or .xlsx, got {path}; save the table as one")
    try:
        return path.read_bytes()
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror}; check the path") from error


def _decoded(name: str, data: bytes) -> str:
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TableError(
            f"{name} is no UTF-8 text: byte 0x{data[error.start]:02x} in line {line}. Save it in Excel as "
            "'CSV UTF-8', or as .xlsx (it may be Windows-1252 now)"
        ) from error
    if text[:1000].count("\0") > 100:  # one in a note is odd, many are no text
        raise TableError(f"{name} holds binary data, no text; give a .csv or .xlsx file")
    return text


# -- text ----------------------------------------------------------------------------------------


def _from_text(name: str, text: str, sheet: str | None) -> Table:
    if sheet is not None:
        raise TableError(f"only a workbook has sheets, and {name} is text; leave sheet={sheet!r} out")
    text = text.removeprefix("\ufeff")
    stated = _SEPARATOR_LINE.match(text)
    if stated:
        text = text[stated.end() :]
    delimiter = stated[1] if stated else _delimiter(text)
    records = _records(name, text, delimiter)
    return _assembled(name, ((line, tuple(map(_text_cell, record))) for line, record in enumerate(records, start=1)))


def _delimiter(text: str) -> str:
    """The character that cuts the first records into the same number of cells, more than one."""
    best, most = ",", (0.0, 0)
    for delimiter in _DELIMITERS:
        widths = []
        try:
            for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
                widths += [len(record)] if any(cell.strip() for cell in record) else []
                if len(widths) == 50:
                    break
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        score = sum(width == widths[0] for width in widths) / len(widths), widths[0]
        if score > most:
            best, most = delimiter, score
    return best


def _records(name: str, text: str, delimiter: str) -> list[list[str]]:
    with _field_limit:  # the limit is one for the whole process
        before = csv.field_size_limit(_LONGEST)
        try:
            return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise TableError(f"{name} is no proper CSV ({error}); look for a quotation mark that is not closed") from (
                error
            )
        finally:
            csv.field_size_limit(before)


def _text_cell(text: str) -> Cell:
    """The text of a cell without the apostrophe that keeps a spreadsheet from taking it for a formula."""
    if not text:
        return None
    return text[1:] if _GUARDED.match(text) else text


def guarded(text: str) -> str:
    """Text that no spreadsheet takes for a formula; reading takes the apostrophe off again."""
    return f"'{text}" if re.match(r"'*[=+\-@\t\r\n]", text) else text


# -- rows -----------------------------------------------------------------------------------------


def _assembled(name: str, records: Iterable[tuple[int, Row]]) -> Table:
    """Split numbered records into header and rows; rows beyond or short of the header are made to fit."""
    filled = ((line, row) for line, row in records if not all(map(_blank, row)))
    line, first = next(filled, (0, ()))
    if not first:
        raise TableError(f"{name} is empty; expected a row of column titles and below it one row for each trial")
    header = _header(name, line, first)
    lines, rows = [], []
    for number, row in _widened(filled, header):
        lines.append(number)
        rows.append(row)
    return Table(name, header, tuple(rows), tuple(lines))


def _header(name: str, line: int, row: Row) -> tuple[str, ...]:
    bad = [cell.what for cell in row if isinstance(cell, Bad)]
    if bad:
        raise TableError(f"{name}, row {line}: a column title is {bad[0]}")
    titles = ["" if cell is None else str(cell) for cell in row]
    while titles and not titles[-1].strip():
        titles.pop()
    return tuple(titles)


def _widened(records: Iterable[tuple[int, Row]], header: Sequence[str]) -> Iterator[tuple[int, Row]]:
    width = len(header)
    for line, row in records:
        extra = [cell for cell in row[width:] if not _blank(cell)]
        if extra:
            bad = next((cell for cell in extra if isinstance(cell, Bad)), None)
            wrong = bad or Bad(
                f"{len(row)} cells in a row where the header has {width} titles: quote a cell that holds the "
                "delimiter (a decimal comma?), or give each column a title"
            )
            yield line, (*row[: width - 1], wrong)
        else:
            yield line, row[:width] + (None,) * (width - len(row))


def _blank(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())
