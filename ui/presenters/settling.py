"""Cells that cannot be read, gathered by what stands in them, and settled by rules instead of one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from workbench.errors import CellError
from workbench.interchange.table import Cell, Table

MISSING, ZERO, LEAVE = "Read as missing", "Read as 0", "Leave rows out"


@dataclass(frozen=True, slots=True)
class Rule:
    """How cells of one column with one text are to be read: MISSING, ZERO, or LEAVE."""

    column: str
    text: str
    how: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Cells with the same text in the same column that cannot be read, and the rules that would settle them."""

    column: str
    text: str
    lines: list[int]
    expected: str
    rules: list[Rule]

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.lines[:5])) + (", …" if len(self.lines) > 5 else "")
        many = "s" if len(self.lines) > 1 else ""
        return f"Row{many} {rows}, {self.column}: “{self.text}”. Expected {self.expected}."


Check = Callable[[Table], list[CellError]]
_READ = {MISSING: None, ZERO: "0"}
_SHOWN = 8
_ENOUGH = 100  # rows on which a rule is tried


def settle(table: Table, rules: Sequence[Rule]) -> Table:
    """The table as the rules read it."""
    at = {(rule.column, rule.text): rule.how for rule in rules}
    rows, lines = [], []
    for line, row in zip(table.lines, table.rows, strict=True):
        how = [at.get((title, said(cell))) for title, cell in zip(table.header, row, strict=True)]
        if LEAVE in how:
            continue
        rows.append(tuple(_READ[h] if h else cell for h, cell in zip(how, row, strict=True)))
        lines.append(line)
    return replace(table, rows=tuple(rows), lines=tuple(lines))


def doubtful(table: Table, cells: Sequence[CellError], check: Check) -> list[Doubt]:
    """The cells that cannot be read by column and text, each with the rules that settle it.

    Args:
        check: What is wrong with a table.
    """
    gathered: dict[tuple[str, str], list[CellError]] = {}
    lines = dict(zip(table.lines, table.rows, strict=True))
    for cell in cells:
        if cell.column in table.header and cell.row in lines:
            text = said(lines[cell.row][table.header.index(cell.column)])
            gathered.setdefault((cell.column, text), []).append(cell)
    made = []
    faulty = {cell.row for cell in cells}
    few = [i for i, line in enumerate(table.lines) if line in faulty or i < _ENOUGH][: 2 * _ENOUGH]
    part = replace(table, rows=tuple(table.rows[i] for i in few), lines=tuple(table.lines[i] for i in few))
    for (column, text), those in list(gathered.items())[:_SHOWN]:
        rules = []
        for how in (MISSING, ZERO, LEAVE):
            rule = Rule(column, text, how)
            left = {(c.row, c.column) for c in check(settle(part, [rule]))}
            if not left & {(c.row, c.column) for c in those}:
                rules.append(rule)
        made.append(Doubt(column, text, [c.row for c in those], those[0].expected, rules))
    return made


def said(cell: Cell) -> str:
    """A cell as text."""
    return "" if cell is None else str(cell)
