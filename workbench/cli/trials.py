"""What the commands about one trial do. Each prints the trial as it stands afterwards, as text or JSON."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import typer

from workbench.build import load_study
from workbench.cli import tables, words
from workbench.cli.showing import as_json_text, reference_point, trial_json
from workbench.cli.speech import program, spoken_warnings
from workbench.study import Study
from workbench.trial import Trial


def ask(
    name: str, storage: str, n: int, fixed: Sequence[str], context: Sequence[str], prefer: Sequence[str],
    thresholds: Sequence[str], *, near: int | None, sampler: str | None, timeout: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Propose trials and say how to tell them."""
    with spoken_warnings():
        study = load_study(name, storage=storage)
        held = words.params(study.space, words.pairs(fixed, "--fixed"))
        given = words.params(study.space, words.pairs(context, "--context"))
        weights = words.numbers(words.pairs(prefer, "--prefer"), "--prefer")
        wanted = words.numbers(words.pairs(thresholds, "--threshold"), "--threshold")
        trials = study.ask(
            n, fixed=held, context=given, near=near, prefer=weights, thresholds=wanted, sampler=sampler, timeout=timeout
        )
    if as_json:
        typer.echo(as_json_text([trial_json(trial) for trial in trials]))
        return
    out = tables.console()
    for trial in trials:
        out.print(tables.card(study, trial))
        if trial.why:
            out.print(tables.plain(f"  {trial.why}"))
    names = tables.told_names(study)
    if not names:
        out.print("\nPeople judge it: study.feedback in Python, or the Rank page of `workbench ui`.")
        return
    goals = " ".join(shlex.quote(f"{goal}=…") if not goal.isidentifier() else f"{goal}=…" for goal in names)
    command = f"{program()} tell {shlex.quote(name)} {trials[0].number} {goals}"
    place = shlex.quote(tables.place(storage))
    out.print(tables.plain(f"\nTell what came of it:\n  {command.rstrip()} --storage {place}"))


def tell(
    name: str, storage: str, number: int, values: Sequence[str], sem: Sequence[str], actual: Sequence[str], *,
    cost: float | None, state: str, error: str | None, reason: str | None, final: bool, as_json: bool,
) -> None:  # fmt: skip
    """Record a result."""

    def act(study: Study) -> Trial:
        return study.tell(
            number, words.told(study, values, "a value"), sem=words.told(study, sem, "--sem"), cost=cost,
            actual=words.params(study.space, words.pairs(actual, "--actual")) or None,
            state=state, error=error, reason=reason, final=final,
        )  # fmt: skip

    _changed(name, storage, act, as_json)


def attach(
    name: str, storage: str, given: Sequence[str], sem: Sequence[str], actual: Sequence[str], *,
    cost: float | None, as_json: bool,
) -> None:  # fmt: skip
    """Add a trial that was run elsewhere; names tell parameters from measured values."""

    def act(study: Study) -> Trial:
        texts = words.pairs(given, "a value")
        told = set(tables.told_names(study))
        values = words.numbers({key: text for key, text in texts.items() if key in told}, "a value")
        params = words.params(study.space, {key: text for key, text in texts.items() if key not in told})
        return study.attach(
            params, values, sem=words.told(study, sem, "--sem"), cost=cost,
            actual=words.params(study.space, words.pairs(actual, "--actual")) or None,
        )  # fmt: skip

    _changed(name, storage, act, as_json)


def enqueue(name: str, storage: str, given: Sequence[str], *, as_json: bool) -> None:
    """Put a point into the queue."""
    _changed(name, storage, lambda s: s.enqueue(words.params(s.space, words.pairs(given, "a parameter"))), as_json)


def amend(
    name: str, storage: str, number: int, values: Sequence[str], sem: Sequence[str], actual: Sequence[str], *,
    cost: float | None, reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Correct a complete trial."""

    def act(study: Study) -> Trial:
        return study.amend(
            number, values=words.told(study, values, "a value") or {}, reason=reason, cost=cost,
            sem=words.told(study, sem, "--sem"),
            actual=words.params(study.space, words.pairs(actual, "--actual")) or None,
        )  # fmt: skip

    _changed(name, storage, act, as_json)


def void(name: str, storage: str, number: int, *, reason: str, as_json: bool) -> None:
    """Take a trial out."""
    _changed(name, storage, lambda study: study.void(number, reason=reason), as_json)


def reject(name: str, storage: str, number: int, *, reason: str, avoid: str, as_json: bool) -> None:
    """Turn a proposal down."""
    _changed(name, storage, lambda study: study.reject(number, reason=reason, avoid=avoid), as_json)


def choose(name: str, storage: str, number: int, *, reason: str, as_json: bool) -> None:
    """Decide for a trial."""
    _changed(name, storage, lambda study: study.choose(number, reason=reason), as_json)


def reference(name: str, storage: str, values: Sequence[str], *, as_json: bool) -> None:
    """State the reference point, and say what it is now."""
    with spoken_warnings():
        study = load_study(name, storage=storage)
        study.set_reference(words.numbers(words.pairs(values, "a value"), "a value"))
    point = reference_point(study)
    if as_json:
        typer.echo(as_json_text(point))
        return
    stated = {goal.name for goal in study.history().measured if goal.reference is not None}
    said = (
        f"{key}{'' if value is None else f' = {value:.6g}'}{'' if key in stated else ' (automatic)'}"
        for key, value in point.items()
    )
    tables.console().print(tables.plain(f"Hypervolume is measured from {', '.join(said)}."))


def annotate(
    name: str, storage: str, number: int | None, *,
    note: str | None, tags: list[str] | None, attrs: Sequence[str], as_json: bool,
) -> None:  # fmt: skip
    """Note something about a trial or the study."""
    added = {key: words.value(text) for key, text in words.pairs(attrs, "--attr").items()} or None
    with spoken_warnings():
        study = load_study(name, storage=storage)
        study.annotate(number, note=note, tags=tags, attrs=added)
    if number is not None:
        _print(study, study.trial(number), as_json)
    elif as_json:
        typer.echo(as_json_text({"note": study.note, "tags": study.tags, "attrs": study.attrs}))
    else:
        said = {"note": study.note, "tags": ", ".join(study.tags), "attrs": _attrs(study.attrs)}
        lines = [f"{key}: {text}" for key, text in said.items() if text]
        tables.console().print(tables.plain("\n".join(lines) or f"Nothing is noted about {study.name!r}."))


def _changed(name: str, storage: str, act: Callable[[Study], Trial], as_json: bool) -> None:
    with spoken_warnings():
        study = load_study(name, storage=storage)
        trial = act(study)
    _print(study, trial, as_json)


def _print(study: Study, trial: Trial, as_json: bool) -> None:
    if as_json:
        typer.echo(as_json_text(trial_json(trial)))
    else:
        tables.console().print(tables.card(study, trial))


def _attrs(attrs: dict[str, Any]) -> str:
    return ", ".join(f"{key}={orjson.dumps(value).decode()}" for key, value in attrs.items())
