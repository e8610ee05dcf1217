"""One value to and from one cell, exactly: what is written reads back as the same value.

Text of people (notes, attributes, tags) and values of parameters. Lists stand as JSON. A `Read` takes a
cell that is not empty, and raises `Fault`; a `Write` gives a cell.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from workbench.errors import InvalidValueError
from workbench.interchange.numbers import Decimal, Fault, number
from workbench.interchange.table import Bad, Cell, Percent
from workbench.space import Parameter

Read = Callable[[Cell], Any]
Write = Callable[[Any], Cell]

_MARKS: tuple[Decimal, ...] = (".", ",")  # a choice is known, whichever it is written with
_TRUE = frozenset({"true", "yes", "y", "on", "1", "wahr", "vrai"})
_LABEL = re.compile(r"\d+[eE]\d+", re.ASCII)
_FALSE = frozenset({"false", "no", "n", "off", "0", "falsch", "faux"})


def shown(cell: Cell) -> str:
    """The cell in the words of an error message."""
    if cell is None:
        return "nothing"
    if isinstance(cell, Bad):
        return cell.what
    if isinstance(cell, Percent):
        return f"{cell.share * 100:.15g} %"
    text = repr(cell) if isinstance(cell, str | bool | int | float) else str(cell)
    return text if len(text) <= 60 else f"{text[:57]}..."


# -- parameters ------------------------------------------------------------------------------------


def reader(parameter: Parameter, decimal: Decimal) -> Read:
    """How cells of a parameter's column become canonical values; bounds are not tested."""
    if parameter.kind in ("float", "int"):
        return _numbers(parameter, decimal)
    if parameter.kind == "bool":
        return _switches(parameter)
    if parameter.kind in ("categorical", "ordinal"):
        return _choices(parameter, tuple(parameter.values()))
    return _texts(parameter) if _is_text(parameter) else _lists(parameter)


def writer(parameter: Parameter) -> Write:
    """How canonical values become cells; numbers and switches stay what they are."""
    if parameter.kind in ("float", "int", "bool"):
        return lambda value: value
    if parameter.kind in ("categorical", "ordinal"):
        labels = _labels(tuple(parameter.values()))
        return lambda value: labels[value] if value is None or isinstance(value, str) else value
    if _is_text(parameter):
        return lambda value: value if _safe(value) else _json(value)
    return lambda value: _json(parameter.plain(value))


def told(parameter: Parameter) -> Write:
    """How a value that was really set becomes a cell; it is made of JSON types, and a mixture stands in one cell."""
    if parameter.kind == "simplex":
        return _json
    write = writer(parameter)

    def cell(value: Any) -> Cell:
        try:
            return write(parameter.check(value))
        except InvalidValueError:  # of an earlier space
            return None

    return cell


def read_told(parameter: Parameter, decimal: Decimal) -> Read:
    """How such a cell becomes a canonical value."""
    if parameter.kind != "simplex":
        return reader(parameter, decimal)
    expected = f"{parameter.describe()}, written as a JSON object"
    return lambda cell: _checked(parameter, _parsed(cell) if isinstance(cell, str) else None, expected)


def _checked(parameter: Parameter, value: Any, expected: str) -> Any:
    try:
        return parameter.check(value)
    except InvalidValueError as error:
        raise Fault(expected + _nearest(str(error))) from error


def _nearest(said: str) -> str:
    """The remedy of a parameter's own error, without what the message says already."""
    _, _, remedy = said.partition(" The nearest value")
    return f" (the nearest value{remedy.rstrip('.')})" if remedy else ""


def _numbers(parameter: Parameter, decimal: Decimal) -> Read:
    expected, percent = parameter.describe(), parameter.unit == "%"

    def read(cell: Cell) -> Any:
        return _checked(parameter, number(cell, decimal, expected, percent=percent), expected)

    return read


def _switches(parameter: Parameter) -> Read:
    expected = f"{parameter.describe()}, written true/false, yes/no or 1/0"

    def read(cell: Cell) -> bool:
        if isinstance(cell, bool | int | float) and cell in (0, 1):
            return bool(cell)
        word = cell.strip().casefold() if isinstance(cell, str) else ""
        if word not in _TRUE | _FALSE:
            raise Fault(expected)
        return word in _TRUE

    return read


def _labels(choices: Sequence[Any]) -> dict[Any, str]:
    """The text of each choice, all different; texts stand in quotation marks where they could be mistaken."""
    plain = {choice: choice if isinstance(choice, str) else _json(choice) for choice in choices}
    clear = len(set(plain.values())) == len(plain) and all(_safe(c) for c in choices if isinstance(c, str))
    return plain if clear else {choice: _json(choice) for choice in choices}


def _choices(parameter: Parameter, choices: tuple[Any, ...]) -> Read:
    exact = {label: choice for choice, label in _labels(choices).items()}
    numbers = {c: c for c in choices if isinstance(c, int | float) and not isinstance(c, bool)}
    switches = [c for c in choices if isinstance(c, bool)]
    loose: dict[str, list[Any]] = {}
    for label, choice in exact.items():
        loose.setdefault(label.strip().casefold(), []).append(choice)
    if None in choices:
        loose.setdefault("none", []).append(None)

    def matches(cell: Cell) -> list[Any]:
        if isinstance(cell, bool):
            return [c for c in switches if c == cell] or loose.get(str(cell).casefold(), [])
        if isinstance(cell, int | float):
            return [numbers[cell]] if cell in numbers else loose.get(_json(_whole(cell)), [])
        if not isinstance(cell, str):
            return []
        for label in (cell, cell.strip()):
            if label in exact:
                return [exact[label]]
        word = cell.strip().casefold()
        digits = any(char.isdecimal() for char in word)
        found = {numbers[n] for mark in _MARKS if (n := _number(cell, mark)) in numbers} if digits else set()
        named = [c for c in switches if word in (_TRUE if c else _FALSE)]
        return list(found) or loose.get(word, []) or named

    def read(cell: Cell) -> Any:
        found = matches(cell)
        if len(found) > 1:
            raise Fault(f"{parameter.describe()}, in exactly this spelling: upper and lower case differ")
        if not found:
            raise Fault(parameter.describe())
        return found[0]

    return read


def _number(cell: Cell, decimal: Decimal) -> int | float | None:
    try:
        return number(cell, decimal, "")
    except Fault:
        return None


def _whole(value: int | float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _is_text(parameter: Parameter) -> bool:
    """Whether the values are texts: a sequence whose tokens are single characters."""
    if parameter.kind != "sequence":
        return False
    alphabet = parameter.to_json()["alphabet"]
    return all(isinstance(letter, str) and len(letter) == 1 for letter in alphabet)


def _texts(parameter: Parameter) -> Read:
    expected = f"{parameter.describe()}, written as one text"

    def read(cell: Cell) -> Any:
        if not isinstance(cell, str):
            raise Fault(f"{expected} (format the column as Text)")
        listed = _parsed(cell) if cell.startswith('"') else None
        for text in (listed, cell, cell.strip()):
            try:
                if isinstance(text, str):
                    return parameter.check(text)
            except InvalidValueError:
                continue
        raise Fault(expected)

    return read


def _lists(parameter: Parameter) -> Read:
    expected = f'{parameter.describe()}, written as a JSON list such as [1, 2] or ["a", "b"]'

    def read(cell: Cell) -> Any:
        value = _parsed(cell) if isinstance(cell, str) else None
        if not isinstance(value, list):
            raise Fault(expected)
        return _checked(parameter, value, expected)

    return read


# -- what people write -------------------------------------------------------------------------------


def read_text(cell: Cell) -> str:
    """A note, a reason: text as it is, anything else in words."""
    if isinstance(cell, Bad):
        raise Fault("text")
    if isinstance(cell, str):
        return cell
    return shown(cell) if isinstance(cell, Percent) else str(cell)


def write_attr(value: Any, decimal: str = ".") -> Cell:
    """An attribute: numbers and switches as they are, text as text if it reads back so, else JSON."""
    if isinstance(value, str):
        return value if value.strip() and read_attr(value, decimal) == value else _json(value)
    return value if isinstance(value, bool | int | float) else _json(value)


def read_attr(cell: Cell, decimal: str = ".") -> Any:
    """The value of an attribute: JSON where the text is JSON, else the text.

    "12E3" stays text: labels of samples and wells look so, and no number is written so here.
    """
    if isinstance(cell, str):
        if _LABEL.fullmatch(cell):
            return cell
        value = _parsed(cell)
        if value is _NOTHING and decimal == ",":
            found = _number(cell, ",")
            return cell if found is None else found
        return cell if value is _NOTHING else value
    if isinstance(cell, bool | int | float):
        return cell
    return cell.share if isinstance(cell, Percent) else read_text(cell)


def write_tags(tags: Sequence[str]) -> str:
    """Tags with commas between them, or as a JSON list where that would not read back."""
    plain = ", ".join(tags)
    return plain if _split(plain) == list(tags) else _json(list(tags))


def read_tags(cell: Cell) -> list[str]:
    """Tags that commas separate, or a JSON list."""
    return _split(read_text(cell))


def _split(text: str) -> list[str]:
    listed = _parsed(text) if text.lstrip().startswith("[") else None
    if isinstance(listed, list) and all(isinstance(tag, str) for tag in listed):
        return listed
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def write_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


def read_time(cell: Cell) -> float:
    """ISO 8601 or a date of the spreadsheet, UTC where no zone is named, as seconds since 1970."""
    moment: datetime | None = None
    try:
        if isinstance(cell, str):
            moment = datetime.fromisoformat(cell.strip())
        elif isinstance(cell, datetime):
            moment = cell
        elif isinstance(cell, date):
            moment = datetime(cell.year, cell.month, cell.day)
        if moment is not None:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    raise Fault("a date and time such as 2026-01-31T14:05:00+00:00")


# -- JSON --------------------------------------------------------------------------------------------

_NOTHING = object()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _parsed(text: str) -> Any:
    """The JSON value of a text, `_NOTHING` if it is none; NaN and infinity are none, and no key may come twice."""
    try:
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
        _check_range(value)
    except (ValueError, RecursionError):
        return _NOTHING
    return value


def _refuse(_: str) -> Any:
    raise ValueError


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _check_range(value: Any) -> None:
    """Raise ValueError for numbers that the record cannot hold."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_range(item)
        return
    if not isinstance(value, int | float):
        return
    too_large = abs(value) == float("inf") if isinstance(value, float) else not -(2**63) <= value < 2**64
    if too_large:
        raise ValueError


def _safe(text: str) -> bool:
    """Whether a text can stand in a cell as it is: something to see, nothing at its ends that may get lost."""
    return bool(text) and text == text.strip() and not text.startswith('"')
