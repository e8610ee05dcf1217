"""What `studies`, `export`, `import` and `delete` do."""

from __future__ import annotations

import datetime
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import typer
from rich.table import Table

from workbench.build import delete_study, import_study, list_studies, load_study
from workbench.cli import tables, words
from workbench.cli.showing import as_json_text
from workbench.cli.speech import spoken_warnings
from workbench.errors import InvalidValueError
from workbench.interchange import import_optuna, read_table, write_table
from workbench.storage import StudySummary
from workbench.study import Study

_TABLES = (".csv", ".xlsx")
_TAKES = {
    "bundle": ("--name",),
    "table": ("--study", "--column", "--decimal", "--sheet"),
    "optuna": ("--study", "--name", "--fill"),
}
"""What each kind of import can be told."""


def studies(storage: str, *, as_json: bool) -> None:
    """Print one line a study."""
    found = list_studies(storage)
    if as_json:
        typer.echo(as_json_text([_summary(study) for study in found]))
        return
    out = tables.console()
    if not found:
        out.print(f"No study in {tables.place(storage)} yet.")
        return
    table = Table(**tables.look())
    for head in ("study", "trials", "by state", "goals", "sampler", "last change (UTC)"):
        table.add_column(head, justify="right" if head == "trials" else "left")
    for study in found:
        said = _summary(study)
        states = ", ".join(f"{n} {state}" for state, n in study.counts.items())
        planned = f" of {study.budget}" if study.budget else ""
        when = datetime.datetime.fromtimestamp(study.updated, datetime.UTC).strftime("%Y-%m-%d %H:%M")
        cells = [study.name, f"{sum(study.counts.values())}{planned}", states or "–", ", ".join(said["goals"])]
        table.add_row(*map(tables.cell, [*cells, str(said["sampler"] or "–"), when]))
    out.print(table)


def _summary(study: StudySummary) -> dict[str, Any]:
    sampler = orjson.loads(study.sampler).get("name") if study.sampler else None
    return {
        "name": study.name, "counts": study.counts, "budget": study.budget, "sampler": sampler,
        "goals": [goal["name"] for goal in orjson.loads(study.objectives)],
        "tags": orjson.loads(study.tags or "[]"), "created": study.created, "updated": study.updated,
    }  # fmt: skip


def export(name: str, path: Path, storage: str, *, decimal: str, as_json: bool) -> None:
    """Write a bundle or a table, by the suffix of the path."""
    suffix = path.suffix.lower()
    if suffix not in (".json", *_TABLES):
        raise InvalidValueError(f"expected a path that ends in .json, .csv or .xlsx, got {str(path)!r}; choose one")
    with spoken_warnings():
        study = load_study(name, storage=storage)
        written = study.export(path) if suffix == ".json" else write_table(study, path, decimal=decimal)
    if as_json:
        typer.echo(as_json_text({"study": name, "path": str(written), "trials": len(study.trials)}))
    else:
        what = "all of it" if suffix == ".json" else f"{len(study.trials)} trials"
        typer.echo(f"Wrote {what} of study {tables.plain(name)!r} to {tables.plain(written)}.")


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What a person typed after `workbench import`."""

    source: str
    url: str | None
    storage: str
    study: str | None
    name: str | None
    columns: list[str]
    decimal: str | None
    sheet: str | None
    fill: list[str]
    as_json: bool


def import_any(order: ImportOrder) -> None:
    """Read a bundle, a table or an Optuna database."""
    suffix = Path(order.source).suffix.lower()
    if order.source != "optuna" and order.url is not None:
        raise InvalidValueError(f"a URL goes with `import optuna URL`, got {order.source!r} and {order.url!r}")
    kind = "optuna" if order.source == "optuna" else "table" if suffix in _TABLES else "bundle"
    given = {
        "--study": order.study, "--name": order.name, "--column": order.columns, "--decimal": order.decimal,
        "--sheet": order.sheet, "--fill": order.fill,
    }  # fmt: skip
    if idle := [option for option, value in given.items() if value and option not in _TAKES[kind]]:
        raise InvalidValueError(
            f"importing {order.source!r} takes {', '.join(_TAKES[kind])}, and not {', '.join(idle)}: leave it out"
        )
    with spoken_warnings():
        if order.source == "optuna":
            study, added = _optuna(order)
        elif suffix in _TABLES:
            study, added = _table(order)
        else:
            study = import_study(order.source, storage=order.storage, name=order.name)
            added = len(study.trials)
    if order.as_json:
        said = {"study": study.name, "storage": tables.place(order.storage), "trials": added}
        typer.echo(as_json_text(said))
    else:
        place = tables.place(order.storage)
        typer.echo(f"Read {added} trials into study {tables.plain(study.name)!r}, in {tables.plain(place)}.")


def _optuna(order: ImportOrder) -> tuple[Study, int]:
    if order.url is None:
        raise InvalidValueError("say which database: workbench import optuna sqlite:///old.db")
    fill = {key: words.value(text) for key, text in words.pairs(order.fill, "--fill").items()}
    study = import_optuna(order.url, study=order.study, storage=order.storage, name=order.name, fill=fill)
    return study, len(study.trials)


def _table(order: ImportOrder) -> tuple[Study, int]:
    if order.study is None:
        raise InvalidValueError(
            "the rows of a table become trials of a study that exists: name it with --study NAME "
            "(workbench create makes one)"
        )
    study = load_study(order.study, storage=order.storage)
    given = words.pairs(order.columns, "--column")
    columns = {title: None if name in ("", "None") else name for title, name in given.items()}
    rows = read_table(study, Path(order.source), columns=columns or None, decimal=order.decimal, sheet=order.sheet)
    return study, len(rows)


def delete(name: str, storage: str, *, yes: bool, as_json: bool) -> None:
    """Erase a study after a question, or without one."""
    study = next((known for known in list_studies(storage) if known.name == name), None)
    trials = 0 if study is None else sum(study.counts.values())
    if study is not None and not yes:
        if not sys.stdin.isatty():
            raise InvalidValueError(f"deleting {name!r} with its {trials} trials needs --yes where nobody can be asked")
        typer.confirm(f"Erase study {tables.plain(name)!r} with its {trials} trials for good?", abort=True)
    delete_study(name, storage=storage)
    if as_json:
        typer.echo(as_json_text({"deleted": name, "trials": trials}))
    else:
        typer.echo(f"Erased study {tables.plain(name)!r} with its {trials} trials.")
