"""Numbers as people write them: decimal points and decimal commas, and what may be either."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal

from workbench.errors import InvalidValueError
from workbench.interchange.table import Bad, Cell, Percent

Decimal = Literal[".", ",", "?"]
"""How a table writes decimals; "?" when it contradicts itself or cannot be told."""

_NUMBER = {
    mark: re.compile(rf"[+-]?(\d+({re.escape(mark)}\d*)?|{re.escape(mark)}\d+)([eE][+-]?\d+)?\Z") for mark in ".,"
}
_WHOLE = re.compile(r"[+-]?\d+\Z")
_GROUPED = {mark: re.compile(rf"[+-]?[1-9]\d{{0,2}}({re.escape(mark)}\d{{3}})+\Z") for mark in ".,"}


class Fault(Exception):
    """A cell that cannot be read: what was expected, and with words of its own what came."""

    def __init__(self, expected: str, got: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.got = got


def check_decimal(decimal: object) -> None:
    """Raise InvalidValueError unless it is a decimal mark, or None."""
    if decimal not in (None, ".", ","):
        raise InvalidValueError(f"decimal must be '.' or ',', or None to find out by the file; got {decimal!r}")


def detect(cells: Iterable[Cell]) -> Decimal:
    """Find out how the cells of numeric columns write decimals.

    A number such as "1,234" alone says nothing: it may be 1.234 or 1234. One such as "1,5" does.
    """
    sure: set[str] = set()
    vague: set[str] = set()
    for cell in cells:
        text = _tidy(cell) if isinstance(cell, str) else ""
        for mark in ".,":
            if mark in text and _NUMBER[mark].match(text):
                (vague if _GROUPED[mark].match(text) else sure).add(mark)
            elif _GROUPED[mark].match(text):  # several groups: no decimals for certain
                vague.add(mark)
    if len(sure) == 2:
        return "?"
    if sure:
        return "," if "," in sure else "."
    return "?" if "," in vague else "."


def number(cell: Cell, decimal: Decimal, expected: str, *, percent: bool = False) -> int | float:
    """Read one cell as a number.

    Args:
        expected: What errors say should stand there.
        percent: Whether the quantity is counted in percent, so that a cell shown as 12 % is 12, not 0.12.
    Raises:
        Fault: if it is none, or may be two different ones.
    """
    if isinstance(cell, bool):
        raise Fault(expected)
    if isinstance(cell, int | float):
        return _finite(cell, expected)
    if isinstance(cell, Percent):
        return float(f"{cell.share * 100:.15g}") if percent else cell.share
    if not isinstance(cell, str):
        dated = "" if cell is None or isinstance(cell, Bad) else "; the spreadsheet has made a date of it"
        raise Fault(expected + dated)
    text = _tidy(cell)
    if text.endswith("%") and _plain(text[:-1].rstrip(), decimal) is not None:
        share = float(f"{number(text[:-1].rstrip(), decimal, expected):.15g}")
        return share if percent else float(f"{share / 100:.15g}")
    value = _plain(text, decimal)
    if value is None:
        raise Fault(expected + _hint(text, decimal))
    return _finite(value, expected)


def _plain(text: str, decimal: Decimal) -> int | float | None:
    if _WHOLE.match(text):
        return int(text) if len(text) < 400 else float(text)
    if decimal == "?" or not _NUMBER[decimal].match(text):
        return None
    return float(text.replace(",", "."))


def _hint(text: str, decimal: Decimal) -> str:
    """Why something that looks like a number is not read as one."""
    marks = [mark for mark in ".," if mark in text]
    looks = any(_NUMBER[mark].match(text) or _GROUPED[mark].match(text) for mark in marks)
    if decimal == "?" and looks:
        if any(_GROUPED[mark].match(text) for mark in marks):
            return "; this may be decimals or thousands: pass decimal='.' or decimal=',' or write it without separators"
        return "; the file writes decimals in two ways: pass decimal='.' or decimal=',' or correct it"
    if any(_GROUPED[mark].match(text) for mark in marks) or len(marks) == 2:
        return f" with the decimal mark {decimal!r}; separators of thousands are not read: leave them out"
    return f" with the decimal mark {decimal!r}" if looks else ""


def _tidy(text: str) -> str:
    return text.strip().replace("\u2212", "-")


def _finite(value: int | float, expected: str) -> int | float:
    try:
        if math.isfinite(value) and math.isfinite(float(value)):
            return value
    except OverflowError:
        pass
    raise Fault(f"{expected}, finite")
