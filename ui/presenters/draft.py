"""A study before it exists: rows of knobs, goals and limits, guessed from a spreadsheet or typed; checked in place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ui.presenters.settling import Doubt, doubtful
from workbench.build import create_study
from workbench.errors import CellError, InvalidValueError, TableError, WorkbenchError
from workbench.interchange import check_table, read_table
from workbench.interchange.numbers import Fault, detect, number
from workbench.interchange.table import Percent, Table
from workbench.markup import wording
from workbench.problem import Constraint, Objective
from workbench.space import Bool, Categorical, Float, Int, Parameter, Space
from workbench.storage import Storage
from workbench.study import Study

KNOB, HIGHER, LOWER, TARGET, MOST, LEAST, NOTE, OUT = (
    "Knob", "Goal: higher is better", "Goal: lower is better", "Goal: close to a target", "Limit: at most",
    "Limit: at least", "Note", "Leave out",
)  # fmt: skip
ROLES = (KNOB, HIGHER, LOWER, TARGET, MOST, LEAST, NOTE, OUT)
NUMBER, LOG, WHOLE, CHOICE, SWITCH = "number", "number, log", "whole number", "choice", "yes or no"
KINDS = (NUMBER, LOG, WHOLE, CHOICE, SWITCH)
FIELDS = ("column", "role", "name", "unit", "low", "high", "step", "kind", "choices", "when", "worst")
_WHEN = re.compile(r"\s*(?P<name>.+?)\s*(?:={1,2}|\bis\b)\s*(?P<values>.+?)\s*\Z")
_YES_NO = {"yes": True, "no": False, "true": True, "false": False}
_UNIT = re.compile(r"\s*[\[(]([^\[\]()]*)[\])]\s*\Z")
_BARE = re.compile(r"\s+(%|°C|ppm|rpm|eq|mol%|€/kg|EUR/kg|mm|min|h|s|g|kg|mg|K|bar|nm|µm)\s*\Z")
_HIGH = re.compile(r"yield|purity|area|titre|titer|accuracy|score|strength|conversion|select|speed|gain", re.I)
_LOW = re.compile(r"cost|price|eur|€|\$|loss|error|impur|waste|defect|noise", re.I)
_BOUNDED = re.compile(r"ppm|residue|residual", re.I)
_LABEL = re.compile(r"^(exp|run|id|nr|no|#|sample|experiment|trial|number|date|operator|who|comment|note)s?\b", re.I)

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """One cell of the form that is wrong: its row from 1 (0: no row), the column, and the sentence."""

    row: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"Row {self.row}, {self.column}: {self.problem}" if self.row else f"{self.column}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Design:
    """What the rows describe.

    Args:
        titles: Title in the spreadsheet -> name in the study; None leaves the column out.
    """

    space: Space
    objectives: list[Objective]
    constraints: list[Constraint]
    titles: dict[str, str | None]


RULES = "Rules between knobs"


def blank() -> list[Row]:
    """Two rows to begin with."""
    return [row("", KNOB, kind=NUMBER), row("", HIGHER, kind=NUMBER)]


def row(name: str, role: str, *, column: str = "", **cells: Any) -> Row:
    """One row; cells that are not given are empty."""
    return dict.fromkeys(FIELDS) | {"column": column or name, "name": name, "role": role} | cells


def guess(table: Table) -> list[Row]:
    """A row for each column of a spreadsheet: knobs first, then what looks like a result."""
    mark = detect(cell for line in table.rows for cell in line)
    rows = [_guessed(title, [line[i] for line in table.rows], mark) for i, title in enumerate(table.header)]
    if not any(one["role"].startswith("Goal") for one in rows):
        numeric = [one for one in rows if one["role"] == KNOB and one["kind"] in (NUMBER, WHOLE)]
        if len(numeric) > 1:  # nothing is called like a result: the last column usually is one
            numeric[-1] |= {"role": HIGHER, "low": None, "high": None, "step": None, "kind": NUMBER}
    return rows


def _guessed(title: str, cells: Sequence[Any], mark: Any) -> Row:
    name, unit = _name(title)
    held = [cell for cell in cells if cell is not None and str(cell).strip()]
    numbers, bad = [], 0
    for cell in held:
        try:
            numbers.append(float(number(cell, mark, "a number", percent=unit == "%")))
        except Fault:
            bad += 1
    base: dict[str, Any] = {"column": title, "unit": unit}
    if not held:
        return row(name, OUT, **base)
    if _LABEL.search(title.strip()):
        return row(name, NOTE, **base)
    if bad > len(held) / 2:
        choices = list(dict.fromkeys(str(cell).strip() for cell in held))
        if len(choices) > max(6, len(held) / 2):
            return row(name, NOTE, **base)
        return row(name, KNOB, kind=CHOICE, choices=", ".join(choices), **base)
    if _BOUNDED.search(title):
        return row(name, MOST, high=_ceil(max(numbers)), **base)
    if _LOW.search(title):
        return row(name, LOWER, kind=NUMBER, **base)
    if _HIGH.search(title):
        return row(name, HIGHER, kind=NUMBER, **base)
    step = _step(numbers, cells)
    low, high = min(numbers), max(numbers)
    if low == high:
        high = low + (step or 1.0)
    unit_of = 10.0 ** (math.floor(math.log10(high - low)) - 1) * 5
    low_out, high_out = math.floor(low / unit_of) * unit_of, math.ceil(high / unit_of) * unit_of
    low_out, high_out = (0.0 if low >= 0 > low_out else _tidy(low_out)), _tidy(high_out)
    if step:
        low_out = _tidy(math.floor(low_out / step + 1e-9) * step)
        high_out = _tidy(low_out + math.ceil((high_out - low_out) / step - 1e-9) * step)
    return row(name, KNOB, kind=NUMBER, low=low_out, high=high_out, step=step, **base)


def _name(title: str) -> tuple[str, str | None]:
    found = _UNIT.search(title) or _BARE.search(title)
    name = (title[: found.start()] if found else title).strip() or title.strip() or "column"
    return name, (found.group(1).strip() or None) if found else None


def _step(numbers: Sequence[float], cells: Sequence[Any]) -> float | None:
    """The step of an instrument that writes so many decimals; None for many decimals."""
    texts = [str(cell).replace(",", ".") if not isinstance(cell, float) else repr(cell) for cell in cells if cell]
    if any(isinstance(cell, Percent) for cell in cells):
        return None
    decimals = max((len(text.partition(".")[2].rstrip("0")) for text in texts), default=0)
    if decimals > 2:
        return None
    for step in (50, 25, 10, 5):
        if decimals == 0 and len(set(numbers)) > 1 and all(value % step == 0 for value in numbers):
            return float(step)
    return _tidy(10.0**-decimals)


def _ceil(value: float) -> float:
    digits = -math.floor(math.log10(abs(value))) + 1 if value else 0
    return _tidy(math.ceil(value * 10**digits) / 10**digits)


def _tidy(value: float) -> float:
    return float(f"{value:.10g}")


def design(rows: Sequence[Row], rules: str = "") -> tuple[Design | None, list[Wrong]]:
    """What the rows describe, or every cell that is wrong.

    Args:
        rules: Conditions that every run keeps, such as "x + 2*depth <= 12", one a line.
    """
    wrong: list[Wrong] = []
    parameters: list[Parameter] = []
    objectives: list[Objective] = []
    constraints: list[Constraint] = []
    titles: dict[str, str | None] = {}
    seen: dict[str, int] = {}
    for i, one in enumerate(rows, 1):
        role, name = one.get("role"), str(one.get("name") or "").strip()
        column = str(one.get("column") or name)
        if role in (OUT, None):
            titles[column] = None
            continue
        if not name:
            wrong.append(Wrong(i, "Name", "empty. Give it a name."))
            continue
        if name in seen:
            wrong.append(Wrong(i, "Name", f"“{name}” stands in row {seen[name]} too. Names must differ."))
            continue
        seen[name] = i
        titles[column] = f"attr:{name}" if role == NOTE else name
        try:
            made = _made(i, one, name, role, rows)
            if isinstance(made, Parameter):
                parameters.append(made)
            elif isinstance(made, Objective):
                objectives.append(made)
            elif made is not None:
                constraints.append(made)
        except _Cell as cell:
            wrong.append(cell.wrong)
        except WorkbenchError as error:
            wrong.append(Wrong(i, "Name" if role != KNOB else "Low and high", str(error)))
    if not wrong and not (parameters and objectives):
        lacks = (
            "goal: at least one row must be what you want"
            if parameters
            else "knob: at least one row must be set by you"
        )
        wrong.append(Wrong(len(rows), "It is a…", f"there is no {lacks}."))
    if wrong:
        return None, wrong
    conditions = [line.strip() for line in rules.splitlines() if line.strip()]
    try:
        space = Space(_parents_first(parameters), constraints=conditions)
        space.check_reachable()
        return Design(space, objectives, constraints, titles), []
    except WorkbenchError as error:
        return None, [Wrong(0, RULES if conditions else "Knobs", str(error))]


def _parents_first(parameters: Sequence[Parameter]) -> list[Parameter]:
    """In the order of the rows, but that a knob follows the knobs that its condition names."""
    left, made = list(parameters), dict[str, Parameter]()
    while left:
        able = (one for one in left if all(parent in made for parent in one.when or ()))
        following = next(able, left[0])  # a circle is left for the space to refuse
        left.remove(following)
        made[following.name] = following
    return list(made.values())


class _Cell(Exception):
    def __init__(self, row_: int, column: str, problem: str) -> None:
        super().__init__(problem)
        self.wrong = Wrong(row_, column, problem)


def _number(i: int, one: Mapping[str, Any], key: str, title: str, *, needed: bool = True) -> float | None:
    value = one.get(key)
    if value is None or value != value or value == "":  # noqa: PLR0124  # NaN is not itself
        if needed:
            raise _Cell(i, title, "empty. It needs a number.")
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _Cell(i, title, f"“{value}” is not a number.") from None


def _made(
    i: int, one: Mapping[str, Any], name: str, role: str, rows: Sequence[Row]
) -> Parameter | Objective | Constraint | None:
    """What one row stands for; None for a note."""
    if role == KNOB:
        return _parameter(i, one, name, _when(i, one, rows))
    if role in (HIGHER, LOWER, TARGET):
        return _objective(i, one, name, role)
    return _constraint(i, one, name, role) if role in (MOST, LEAST) else None


def _when(i: int, one: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, list[Any]] | None:
    """The condition of a knob that is not always there, such as "base = KOtBu, NaH"."""
    said = str(one.get("when") or "").strip()
    if not said:
        return None
    found = _WHEN.match(said)
    if found is None:
        raise _Cell(i, "Only when", f"“{said}” is no condition. Write it like: base = KOtBu, NaH")
    parent = next((row_ for row_ in rows if row_.get("role") == KNOB and row_.get("name") == found["name"]), None)
    if parent is None:
        raise _Cell(i, "Only when", f"there is no knob “{found['name']}”.")
    kind, texts = parent.get("kind"), [part.strip() for part in found["values"].split(",") if part.strip()]
    try:
        if kind == SWITCH:
            return {found["name"]: [_YES_NO[text.lower()] for text in texts]}
        if kind == WHOLE:
            return {found["name"]: [int(text) for text in texts]}
    except (KeyError, ValueError):
        needs = "yes or no" if kind == SWITCH else "whole numbers"
        raise _Cell(i, "Only when", f"“{found['values']}”: {found['name']} takes {needs}.") from None
    return {found["name"]: texts}


def _parameter(i: int, one: Mapping[str, Any], name: str, when: dict[str, list[Any]] | None) -> Parameter:
    kind, unit = one.get("kind") or NUMBER, one.get("unit") or None
    if kind == SWITCH:
        return Bool(name, when=when)
    if kind == CHOICE:
        choices = [part.strip() for part in str(one.get("choices") or "").split(",") if part.strip()]
        if len(choices) < 2:
            raise _Cell(i, "Choices", "a choice needs at least two, separated by commas.")
        return Categorical(name, choices, when=when)
    low, high = _number(i, one, "low", "Low"), _number(i, one, "high", "High")
    step = _number(i, one, "step", "Step", needed=False)
    assert low is not None
    assert high is not None
    if low >= high:
        raise _Cell(i, "Low", f"{low:g} is not below the high value, {high:g}. Swap them.")
    if kind == LOG and low <= 0:
        raise _Cell(i, "Low", f"{low:g}: a logarithmic knob needs a low value above 0.")
    if kind == WHOLE:
        if low % 1 or high % 1 or (step or 1) % 1:
            raise _Cell(i, "Low", "a whole-number knob needs whole numbers.")
        return Int(name, int(low), int(high), step=int(step or 1), unit=unit, when=when)
    return Float(name, low, high, log=kind == LOG, step=None if kind == LOG else step, unit=unit, when=when)


def _objective(i: int, one: Mapping[str, Any], name: str, role: str) -> Objective:
    unit = one.get("unit") or None
    if role == TARGET:
        return Objective(name, target=_number(i, one, "high", "High (the target)"), unit=unit)
    worst = _number(i, one, "worst", "Worst of use", needed=False)
    return Objective(name, "maximize" if role == HIGHER else "minimize", unit=unit, threshold=worst)


def _constraint(i: int, one: Mapping[str, Any], name: str, role: str) -> Constraint:
    unit = one.get("unit") or None
    if role == MOST:
        return Constraint(name, upper=_number(i, one, "high", "High (the limit)"), unit=unit)
    return Constraint(name, lower=_number(i, one, "low", "Low (the limit)"), unit=unit)


def summary(made: Design, runs: int) -> str:
    """What the study will be, in one sentence."""
    goals, limits = len(made.objectives), len(made.constraints)
    parts = [_many(len(made.space.names), "knob"), _many(goals, "goal")] + ([_many(limits, "limit")] if limits else [])
    said = ", ".join(parts[:-1]) + f" and {parts[-1]}"
    return f"A study with {said}" + (f", and your {_many(runs, 'run')} as its history." if runs else ".")


def preview(made: Design, n: int = 5) -> pd.DataFrame:
    """Points spread over the knobs, in words."""
    import pandas as pd

    points = made.space.decode(made.space.sobol(n, seed=0))
    return pd.DataFrame([{name: wording(point.get(name, "–")) for name in made.space.names} for point in points])


def _many(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def create(
    storage: Storage, name: str, made: Design, *, table: Table | None = None, budget: int | None = None,
    sampler: str = "auto",
) -> Study:  # fmt: skip
    """Make the study, with the rows of a spreadsheet as its runs: all of it, or nothing.

    Raises:
        TableError: naming every cell that cannot be read; there is no study then.
        WorkbenchError: if the name is taken, or the design cannot be.
    """
    if table is not None:
        cells = check(made, table)
        if cells:
            raise TableError("\n".join(map(str, cells)))
    study = create_study(
        name, made.space, made.objectives, made.constraints, storage=storage, budget=budget, sampler=sampler
    )
    if table is not None:
        try:
            read_table(study, table, columns=_columns(made, table))
        except WorkbenchError:
            storage.delete_study(name)
            raise
    return study


def check(made: Design, table: Table) -> list[Doubt | str]:
    """Every cell of the spreadsheet that this design cannot take; nothing is written."""
    trial = create_study("check", made.space, made.objectives, made.constraints, storage=None, seed=0)

    def wrong(tried: Table) -> list[CellError]:
        return check_table(trial, tried, columns=_columns(made, tried))[1]

    try:
        cells = wrong(table)
        doubts = doubtful(table, cells, wrong)
    except (TableError, InvalidValueError) as error:
        return [str(error)]
    settled = {(doubt.column, line) for doubt in doubts for line in doubt.lines}
    return [*doubts, *(str(cell) for cell in cells if (cell.column, cell.row) not in settled)]


def _columns(made: Design, table: Table) -> dict[str, str | None]:
    return {title: made.titles.get(title) for title in table.header}
