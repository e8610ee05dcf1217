"""NAME=VALUE as a person types it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from workbench.errors import InvalidValueError
from workbench.space import Space
from workbench.study import Study


def pairs(words: Iterable[str], what: str) -> dict[str, str]:
    """Texts by name.

    Raises:
        InvalidValueError: for a word without "=", or a name given twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise InvalidValueError(f"{what} is given as NAME=VALUE, such as x=0.5, got {word!r}")
        if name.strip() in found:
            raise InvalidValueError(f"{what} names {name.strip()!r} twice; leave one out")
        found[name.strip()] = text.strip()
    return found


def value(text: str) -> Any:
    """What a text stands for: JSON where it is JSON, a number as people write it, else the text itself."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return float(text) if _NUMBER.fullmatch(text) else text


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)  # .2, 1. and +0.2 are no JSON


def params(space: Space, texts: Mapping[str, str]) -> dict[str, Any]:
    """Parameter values; a text that is JSON by accident, such as a choice named "1", is taken as the text."""
    return {name: _param(space, name, text) for name, text in texts.items()}


def _param(space: Space, name: str, text: str) -> Any:
    parameter = space[name]  # refuses an unknown name
    if parameter.kind == "bool" and text.lower() in _SWITCHES:
        return _SWITCHES[text.lower()]
    read = value(text)
    try:
        return parameter.check(read)
    except InvalidValueError:
        if read == text:
            raise
        return parameter.check(text) if _takes_text(space, name, text) else read


_SWITCHES = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _takes_text(space: Space, name: str, text: str) -> bool:
    try:
        space[name].check(text)
    except InvalidValueError:
        return False
    return True


def numbers(texts: Mapping[str, str], what: str) -> dict[str, float]:
    """Numbers by name."""
    found = {}
    for name, text in texts.items():
        try:
            found[name] = float(text)
        except ValueError:
            raise InvalidValueError(
                f"{what} {name!r} must be a number such as 0.42, got {text!r}; write a decimal point"
            ) from None
    return found


def told(study: Study, words: Iterable[str], what: str) -> dict[str, float] | None:
    """Measured values by name, None for none; a bare number is the only objective's."""
    listed = list(words)
    goals = [goal.name for goal in study.history().measured]
    if len(listed) == 1 and "=" not in listed[0] and len(goals) == 1:
        listed = [f"{goals[0]}={listed[0]}"]
    return numbers(pairs(listed, what), what) if listed else None
