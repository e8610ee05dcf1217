"""Values as words, and columns as an HTML table: for the report, and for what a notebook shows of an object.

User text is never markup: every cell and head is escaped here. Alignment is written into the cells,
since notebooks bring a style sheet of their own; colours are left to the page, light or dark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# -- words ------------------------------------------------------------------------------


def shorten(text: str, width: int = 40) -> str:
    """Cut a long text to `width` characters, the last of them "…"."""
    return text if len(text) <= width else text[: width - 1] + "…"


def wording(value: object) -> str:
    """A value as people read it: four significant digits, yes or no, what is in a long array; not escaped."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, Mapping):
        parts = [f"{name} {wording(part)}" for name, part in value.items()]
        return f"({', '.join(parts)})" if len(parts) <= 8 else f"({len(parts)} values)"
    if isinstance(value, Iterable):
        items = list(value)
        return f"({', '.join(map(wording, items))})" if len(items) <= 8 else f"({len(items)} values)"
    return shorten(str(value))


def quantity(value: float, unit: str | None, sd: float | None = None) -> str:
    """A number with its uncertainty and unit, not escaped: "0.987 ± 0.003 mm"."""
    known = sd is not None and math.isfinite(sd) and sd > 0
    number = wording(value)
    if sd is not None and known and 1e3 <= abs(value) < 1e15 and sd < 10.0 ** (math.floor(math.log10(abs(value))) - 3):
        number = f"{value:.{max(0, 1 - math.floor(math.log10(sd)))}f}"  # four digits would hide what is known
    return number + (f" ± {sd:.2g}" if known else "") + (f" {shorten(unit, 16)}" if unit else "")


def reading(value: object, unit: str | None) -> str:
    """A value in words with its unit, not escaped."""
    return wording(value) + (f" {shorten(unit, 16)}" if unit else "")


def count(number: int, noun: str) -> str:
    """A number with its noun: "1 trial", "1,200 trials"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def head(name: str, unit: str | None) -> str:
    """Head of a column: name and unit, not escaped."""
    return shorten(name) + (f" [{shorten(unit, 16)}]" if unit else "")


def condition(when: Mapping[str, Iterable[Any]] | None) -> str | None:
    """The parents of a conditional parameter and the values that bring it about; None if there are none."""
    said = [f"{parent} = {' or '.join(map(wording, values))}" for parent, values in (when or {}).items()]
    return ", ".join(said) or None


# -- markup -----------------------------------------------------------------------------


def table(columns: Mapping[str, Sequence[Any]], *, styled: bool = True) -> str:
    """Columns as an HTML table: numbers to the right, an absent value as a dash. Empty columns are left out.

    Args:
        columns: {head: cells}, plain text and values; columns of equal length.
        styled: Write the alignment into the cells; False for a page with a style sheet for class "number".
    """
    kept = {name: cells for name, cells in columns.items() if any(cell is not None for cell in cells)}
    right, left = (_RIGHT, _LEFT) if styled else (' class="number"', "")
    sides = [right if all(map(_number, cells)) else left for cells in kept.values()]
    heads = [f'<th scope="col"{side}>{html.escape(name)}</th>' for name, side in zip(kept, sides, strict=True)]
    rows = [
        "".join(f"<td{side}>{html.escape(cell)}</td>" for cell, side in zip(row, sides, strict=True))
        for row in zip(*map(_worded, kept.values()), strict=True)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{body}</tbody></table>"


def fields(pairs: Iterable[tuple[str, str | None]]) -> str:
    """Named texts as an HTML table of two columns; what is None or empty is left out."""
    rows = [
        f'<tr><th scope="row"{_LEFT}>{html.escape(name)}</th><td{_LEFT}>{html.escape(text)}</td></tr>'
        for name, text in pairs
        if text
    ]
    return f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else ""


def heading(kind: str, name: str, *sentences: str) -> str:
    """What kind of thing this is, its name in bold, and sentences below; all of it plain text."""
    below = "".join(f"<p>{html.escape(text)}</p>" for text in sentences if text)
    return f"<p>{html.escape(kind)} <strong>{html.escape(name)}</strong></p>{below}"


_RIGHT = ' style="text-align:right;white-space:nowrap"'
_LEFT = ' style="text-align:left"'


def _worded(cells: Sequence[Any]) -> list[str]:
    """A column in words; fractions of like size get the same decimals."""
    sizes = [abs(cell) for cell in cells if isinstance(cell, float) and cell]
    alike = bool(sizes) and max(sizes) < 1e6 and 1e-4 <= max(sizes) <= 1_000 * min(sizes)
    decimals = max(0, 3 - math.floor(math.log10(max(sizes)))) if alike else None
    return [_cell(cell, decimals) for cell in cells]


def _cell(value: object, decimals: int | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float) and decimals is not None:
        return f"{value:.{decimals}f}"
    return value if isinstance(value, str) else wording(value)


def _number(cell: object) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))
