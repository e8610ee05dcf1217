"""Changes of what a study is: its space, and what people note about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from workbench.errors import InvalidValueError, SpaceError, TrialStateError
from workbench.problem import Objective, check_apart
from workbench.space import Space
from workbench.storage.core import FROZEN
from workbench.study.queue import shut_out
from workbench.trial import Spaces, TrialState, dumps, loads, not_json

if TYPE_CHECKING:
    from workbench.study.record import Record
    from workbench.trial import History, TrialRow

log = logging.getLogger("workbench")

CHOSEN = "chosen"  # in the settings of a study: the number of the trial that was decided for


def change_space(record: Record, space: Space, defaults: Mapping[str, Any]) -> list[str]:
    """Make another space the present one, and encode the record anew.

    Args:
        record: The study.
        space: What trials are proposed in from now on.
        defaults: Values that parameters are taken to have had in the trials made without them;
            None for not known.
    Returns:
        What the user should know: which trials have no place in the new space, which rules fell away.
    Raises:
        InvalidValueError: if a default is missing or wrong, or names clash; nothing is changed.
    """
    if not isinstance(space, Space):
        raise SpaceError(f"space must be a wb.Space, got {type(space).__name__}; write wb.Space([…])")
    check_apart(space, record.objectives, record.constraints)
    space.check_reachable()
    functions = {rule.name: rule.function for rule in space.functions if rule.function is not None}
    while True:
        history = record.history()
        if space == history.space:
            record.learn(functions)
            return []
        known = {**history.spaces.defaults, **_plain(space, defaults)}
        _check_defaults(history, space, known, defaults)
        settings = loads(record.storage.study_by_id(record.id).settings, {})
        with record.transaction("change_space") as tx:
            if tx.space_version != history.spaces.version:
                continue  # another process came first: look at its space
            tx.audit("change_space", before=history.space.to_json(), after={**space.to_json(), "defaults": known})
            tx.add_space(orjson.dumps(space.to_json()).decode())
            tx.update_study(settings=dumps(settings | {"defaults": known}))
        record.learn(functions)
        return _news(record.history(), history)


def _plain(space: Space, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The known defaults as JSON types."""
    stated = {name: value for name, value in defaults.items() if value is not None}
    return {name: space[name].plain(space[name].check(value)) for name, value in stated.items()}


def _check_defaults(history: History, space: Space, known: Mapping[str, Any], stated: Mapping[str, Any]) -> None:
    """Refuse a space with a parameter that earlier trials lack, unless it is said what they had there."""
    for name in stated:
        space[name]  # raises for an unknown name
    earlier = {**history.spaces.earlier, history.spaces.version: history.space}
    spaces = Spaces(space, history.spaces.version + 1, earlier, known)
    lacking: dict[str, int] = {}
    for row in history.rows:
        for name in _missing(spaces, row):
            if name not in stated:
                lacking[name] = lacking.get(name, 0) + 1
    if lacking:
        listed = ", ".join(f"{name!r} ({n} trials)" for name, n in lacking.items())
        raise InvalidValueError(
            f"the new space has parameters that earlier trials were made without: {listed}. Say which value they had, "
            f"as in defaults={{{next(iter(lacking))!r}: …}}, or None if it is not known: such trials are kept, but "
            "no model learns from them"
        )


def _missing(spaces: Spaces, row: TrialRow) -> set[str]:
    """Parameters of the new space that would exist in a trial and have no value."""
    values = {name: value for name, value in spaces.filled(row).items() if name in spaces.present}
    return spaces.present.active(values) - values.keys()


def _news(history: History, before: History) -> list[str]:
    lost = np.flatnonzero(~history.placed).tolist()
    news = []
    if lost:
        named = ", ".join(str(history.rows[i].number) for i in lost[:5]) + (", …" if len(lost) > 5 else "")
        news.append(
            f"{len(lost)} of {len(history)} trials ({named}) have values that the new space cannot hold; "
            "they are kept as data, and no model learns from them"
        )
    news += shut_out(history)
    rules = {rule for _, rule in before.avoided()} - {rule for _, rule in history.avoided()}
    if rules:
        news.append(f"rules of rejected trials speak of what is there no more and shut nothing: {sorted(rules)}")
    return news


def rename(record: Record, name: str) -> None:
    """Give the study another name; its id, and so all of its record, stays.

    Raises:
        StudyExistsError: if the name is taken.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidValueError(f"a study needs a name, got {name!r}")
    with record.transaction("rename") as tx:
        tx.update_study(name=name)
        tx.audit("rename", before={"name": record.name}, after={"name": name})
    record.name = name


def choose(record: Record, number: int, reason: str) -> TrialRow:
    """Note which trial was decided for, and why; a later choice takes its place, and the audit log keeps both.

    Raises:
        TrialStateError: if the trial is not complete.
        InvalidValueError: if it lacks a value of a measured objective or constraint: whether it is any good in that
            nobody knows.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidValueError(f"give a reason in words for the audit log, got {reason!r}")
    with record.transaction("choose") as tx:
        row = tx.row(number)
        if row.state != TrialState.COMPLETE:
            raise TrialStateError(f"only a complete trial can be chosen; trial {number} is {row.state}. Tell it first")
        told = loads(row.outcomes, {})
        if lacking := [name for name in record.told_names if name not in told]:
            raise InvalidValueError(
                f"only a trial with all values can be chosen; trial {number} has none of "
                f"{' and '.join(map(repr, lacking))}. Measure the rest and add it with study.amend({number}, "
                f"values={{{', '.join(f'{name!r}: …' for name in lacking)}}}, reason=…), or choose another trial"
            )
        before = tx.settings.get(CHOSEN)
        tx.update_study(settings=dumps(tx.settings | {CHOSEN: number}))
        was = None if before is None else {"trial": before}
        tx.audit("choose", number, before=was, after={"trial": number}, reason=reason)
    return row


def chosen(record: Record) -> int | None:
    """Number of the trial that was decided for; None before a choice, or after that trial was taken out."""
    number = loads(record.storage.study_by_id(record.id).settings, {}).get(CHOSEN)
    rows = record.history().rows
    return number if number is not None and rows[number].state == TrialState.COMPLETE else None


def set_reference(record: Record, values: Mapping[str, float]) -> None:
    """State the reference point of the hypervolume; coordinates that are not named are inferred, or a threshold.

    Raises:
        InvalidValueError: for a name that is no measured objective, or where there are fewer than two.
        ProblemError: for a value that is no finite number.
    """
    names = [goal.name for goal in record.measured]
    if not isinstance(values, Mapping):
        raise InvalidValueError(
            f"a reference point is a mapping by name, such as {{{names[0]!r}: 0.0}}; got {values!r}"
            if names
            else "this study measures nothing, so it has no reference point"
        )
    if len(names) < 2 or not values.keys() <= set(names):
        raise InvalidValueError(
            f"a reference point gives values of measured objectives, of two at least; this study measures {names}, "
            f"got {list(values)}"
        )
    goals = [
        replace(goal, reference=values.get(goal.name)) if isinstance(goal, Objective) else goal
        for goal in record.objectives
    ]
    before, after = (
        {g.name: g.reference for g in told if isinstance(g, Objective)} for told in (record.objectives, goals)
    )
    with record.transaction("reference") as tx:
        tx.update_study(objectives=dumps([goal.to_json() for goal in goals]))
        tx.audit("reference", before=before, after=after)
    record.objectives = tuple(goals)


def is_frozen(record: Record) -> bool:
    """Is the study closed to every change?"""
    return bool(loads(record.storage.study_by_id(record.id).settings, {}).get(FROZEN))


def freeze(record: Record, frozen: bool) -> None:
    """Refuse every change of the study from now on, or allow them again."""
    if is_frozen(record) == frozen:
        return
    with record.transaction("freeze" if frozen else "thaw") as tx:
        tx.update_study(settings=dumps(tx.settings | {FROZEN: frozen}))
        tx.audit("freeze" if frozen else "thaw")


def annotate(
    record: Record, number: int | None, note: str | None, tags: Sequence[str] | None, attrs: Mapping[str, Any] | None,
    attempt: int | None = None,
) -> TrialRow | None:  # fmt: skip
    """Note something about a trial, or about the study where no number is given, in one transaction.

    Args:
        attempt: Of the evaluation that says so; one that was taken for dead has no say while another runs.
    """
    fields: dict[str, Any] = {}
    if note is not None:
        if not isinstance(note, str):
            raise InvalidValueError(f"note must be a text, got {note!r}")
        fields["note"] = note or None
    if tags is not None:
        wrong = not isinstance(tags, list) or not all(isinstance(tag, str) and tag.strip() for tag in tags)
        if wrong:
            raise InvalidValueError(f"tags must be a list of non-empty texts, got {tags!r}; write tags=['…']")
        fields["tags"] = dumps(list(dict.fromkeys(tags)))
    with record.transaction("annotate") as tx:
        if number is not None and tx.row(number).state == TrialState.RUNNING:
            check_attempt(tx.row(number), attempt)
        if attrs is not None:
            old = tx.study().attrs if number is None else tx.row(number).attrs
            fields["attrs"] = dumps(loads(old, {}) | json_attrs(attrs))
        if number is None:
            tx.update_study(**fields)
            return None
        return tx.update(number, **fields)


def check_attempt(row: TrialRow, attempt: int | None) -> None:
    """Refuse what an evaluation says whose trial another process has taken over."""
    if attempt is not None and attempt != row.attempt:
        raise TrialStateError(
            f"trial {row.number} was taken over by another process (attempt {row.attempt}): this evaluation, attempt "
            f"{attempt}, was taken for dead. End it"
        )


def json_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """User attributes, checked.

    Raises:
        InvalidValueError: if a key is no text or a value not made of JSON types.
    """
    if not isinstance(attrs, Mapping):
        raise InvalidValueError(f"attributes are a mapping by key, such as {{'lot': 'B7'}}; got {attrs!r}")
    for key, value in attrs.items():
        if not isinstance(key, str) or not key:
            raise InvalidValueError(f"the key of an attribute must be a non-empty string, got {key!r}")
        if not_json(key) is not None:
            raise InvalidValueError(f"the key of an attribute must be valid text, got {key!r}")
        if (reason := not_json(value)) is not None:
            raise InvalidValueError(
                f"attribute {key!r} must be made of JSON types, got {type(value).__name__} ({reason}); "
                "convert it, or store bytes with study.files.put"
            )
    return dict(attrs)
