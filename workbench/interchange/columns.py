"""Columns of a table of trials: what each is called, and which title means which."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.errors import InvalidValueError, TableError
from workbench.interchange.table import Table
from workbench.problem import Objective, Preference

if TYPE_CHECKING:
    from workbench.space import Space
    from workbench.study import Study

OWN = ("number", "state", "cost", "tags", "note", "reason", "error", "started", "finished")
"""What a trial has beside parameters, values and attributes; "trial:state" is another name of "state"."""

_UNIT = re.compile(r"\s*(\[[^\[\]]*\]|\([^()]*\))\s*\Z")


class Column(NamedTuple):
    """What a column holds: a parameter, as proposed or as really set, a part of a mixture, a value, its standard error,
    an attribute, or `OWN`."""

    kind: str  # "param", "actual", "part", "value", "sem", "attr" or "own"
    name: str


def parts(space: Space) -> dict[str, str]:
    """Each part of a mixture: the parameter that it belongs to."""
    return {part: p.name for p in space if p.kind == "simplex" for part in p.columns}


def told_names(study: Study) -> list[str]:
    """Names of what is measured: objectives, then constraints."""
    goals = [goal.name for goal in study.objectives if isinstance(goal, Objective)]
    return goals + [limit.name for limit in study.constraints]


def known(study: Study) -> dict[str, Column]:
    """Every title that has a meaning, attributes aside, the first meaning of each."""
    found: dict[str, Column] = {}
    mixed = parts(study.space)
    for name in study.space.names:
        if name not in mixed.values():
            found[name] = Column("param", name)
    told = told_names(study)
    groups: list[tuple[str, Sequence[str], str]] = [
        ("part", list(mixed), ""), ("value", told, ""), ("sem", told, "sem:"),
        ("actual", study.space.names, "actual:"), ("own", OWN, ""), ("own", OWN, "trial:"),
    ]  # fmt: skip
    for kind, names, prefix in groups:
        for name in names:
            found.setdefault(prefix + name, Column(kind, name))
    return found


def units(study: Study) -> dict[str, str]:
    """Unit of each parameter, part, objective and constraint that has one."""
    found = {p.name: p.unit for p in study.space if p.unit}
    found |= {part: found[name] for part, name in parts(study.space).items() if name in found}
    goals: list[Any] = [*study.objectives, *study.constraints]
    return found | {goal.name: goal.unit for goal in goals if getattr(goal, "unit", None)}


def attr_title(key: str) -> str:
    """The title of an attribute's column."""
    plain = key == key.strip() and not key.startswith('"')
    return f"attr:{key if plain else json.dumps(key, ensure_ascii=False)}"


def _attr(title: str) -> Column | None:
    head, colon, key = title.strip().partition(":")
    key = key.strip()
    if head.casefold() != "attr" or not colon or not key:
        return None
    if key.startswith('"'):
        with contextlib.suppress(ValueError):
            key = str(json.loads(key))
    return Column("attr", key)


class _Titles:
    """Finds the column that a title means: exactly, whatever the case, or without its own unit in brackets."""

    def __init__(self, study: Study) -> None:
        self.exact = known(study)
        goals = [goal for goal in (*study.objectives, *study.constraints) if not isinstance(goal, Preference)]
        units = {one.name: getattr(one, "unit", None) for one in (*study.space, *goals)}
        self._units = {name: str(unit) for name, unit in units.items() if unit}
        self.folded: dict[str, set[Column]] = {}
        for title, column in self.exact.items():
            self.folded.setdefault(title.casefold(), set()).add(column)

    def find(self, title: str) -> Column | None:
        if title in self.exact:
            return self.exact[title]
        text = title.strip()
        for form in (text, _UNIT.sub("", text)):
            found = {self.exact[form]} if form in self.exact else self.folded.get(form.casefold(), set())
            if len(found) == 1:
                column = next(iter(found))
                return None if self.other_unit(title, column) else column
        return _attr(title)

    def other_unit(self, title: str, column: Column) -> str:
        """What a title gives for a unit, where the quantity of the column is declared in another; else ""."""
        bracket, unit = _UNIT.search(title.strip()), self._units.get(column.name)
        if bracket is None or unit is None or title.strip().casefold() in self.folded:
            return ""
        said = bracket[1][1:-1].strip()
        return said if _bare(said) != _bare(unit) else ""

    def unit(self, title: str) -> str:
        """The declared unit of what a known title holds."""
        return self._units.get(self.exact[title].name, "")

    def near(self, title: str) -> str | None:
        text = _UNIT.sub("", title.strip()).casefold()
        found = get_close_matches(text, self.folded, n=1)
        return next((name for name in self.exact if name.casefold() == found[0]), None) if found else None


def _bare(unit: str) -> str:
    return unit.replace(" ", "").replace("°", "")


def match(study: Study, table: Table, columns: Mapping[str, str | None] | None) -> dict[int, Column]:
    """Find out what each column of a table holds.

    Args:
        columns: Title in the file -> name of a parameter, part or value, "sem:NAME", "attr:KEY", "cost", ...;
            None leaves the column out. Titles that are not named here are matched by themselves.
    Returns:
        Position of a column in the table: what it holds. Columns that are left out are absent.
    Raises:
        TableError: naming the columns that mean nothing, or the same.
        InvalidValueError: if the mapping itself is wrong.
    """
    titles = _Titles(study)
    stated = _stated(titles, table, columns or {})
    found: dict[int, Column] = {}
    unknown = []
    for i, title in enumerate(table.header):
        if title in stated:
            column = stated[title]
            if column is None:
                continue
        else:
            column = titles.find(title)
        if column is not None:
            found[i] = column
        elif title.strip() or any(row[i] is not None for row in table.rows):
            unknown.append(i)
    if unknown:
        raise TableError(_unknown(titles, table, unknown, set(found.values())))
    _check_single(table, found)
    return found


def _stated(titles: _Titles, table: Table, columns: Mapping[str, str | None]) -> dict[str, Column | None]:
    if not isinstance(columns, Mapping):
        raise InvalidValueError(f"columns is a mapping from titles to names, such as {{'Temp (°C)': 't'}}; {columns!r}")
    stated: dict[str, Column | None] = {}
    for title, target in columns.items():
        if title not in table.header:
            shown = ", ".join(map(repr, table.header))
            raise InvalidValueError(f"columns= names {title!r}, which is no title of {table.name}; it has {shown}")
        column = titles.find(target) if isinstance(target, str) else None
        if target is not None and column is None:
            near = titles.near(str(target))
            hint = f"; did you mean {near!r}?" if near else ""
            raise InvalidValueError(
                f"columns= maps {title!r} to {target!r}; expected one of {', '.join(titles.exact)}, "
                f"'attr:…' for an attribute, or None to leave the column out{hint}"
            )
        stated[title] = column
    return stated


def _unknown(titles: _Titles, table: Table, unknown: Sequence[int], taken: set[Column]) -> str:
    """What to do about columns whose titles mean nothing, as a mapping that can be pasted."""
    words, mapping, taken = [], [], set(taken)
    for i in unknown:
        title = table.header[i]
        if not title.strip():
            words.append(f"column {i + 1}, which has no title")
            continue
        near = titles.near(title)
        if near is not None and (said := titles.other_unit(title, titles.exact[near])):
            words.append(f"{title!r}, in {said} where {near!r} is declared in {titles.unit(near)}: convert it")
            mapping.append(f"{title!r}: None")
            continue
        fits = near is not None and titles.exact[near] not in taken
        taken |= {titles.exact[near]} if near else set()
        words.append(f"{title!r}" + (f" (did you mean {near!r}?)" if fits else ""))
        mapping.append(f"{title!r}: {near!r}" if fits else f"{title!r}: None")
    offered = f"columns={{{', '.join(mapping)}}}" if mapping else "a title"
    return (
        f"{table.name} has columns that this study does not know: {', '.join(words)}. Say what they are with "
        f"{offered} (None leaves one out, 'attr:KEY' keeps it as an attribute)"
    )


def _check_single(table: Table, found: Mapping[int, Column]) -> None:
    holders: dict[Column, list[int]] = {}
    for i, column in found.items():
        holders.setdefault(column, []).append(i)
    for column, places in holders.items():
        if len(places) > 1:
            named = ", ".join(f"{table.header[i]!r} (column {i + 1})" for i in places)
            raise TableError(
                f"{table.name} has several columns for {column.name!r}: {named}. Leave all but one out: rename them "
                "in the file, or map their titles to None with columns="
            )
