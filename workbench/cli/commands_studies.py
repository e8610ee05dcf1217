"""Commands about whole studies: list, show, export, import, delete, bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.app import DEFAULT_STORAGE, Json, Storage, StudyName, app, refusing


@app.command()
def studies(storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """List the studies of a database with their trials by state.

    \b
    Example:
      workbench studies --storage demo.db
    """
    with refusing():
        from workbench.cli import files

        files.studies(storage, as_json=as_json)


@app.command()
def show(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    report: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write an HTML report with figures here.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a study: its goals, the best trial or the front, the last trials, and what failed.

    \b
    Example:
      workbench show branin --storage demo.db
      workbench show branin --report branin.html --storage demo.db
    """
    with refusing():
        from workbench.cli import showing

        showing.show(study, storage, report=report, as_json=as_json)


@app.command()
def export(
    study: StudyName,
    path: Annotated[Path, typer.Argument(metavar="PATH", help=".json: all of the study; .csv or .xlsx: its trials.")],
    storage: Storage = DEFAULT_STORAGE,
    decimal: Annotated[str, typer.Option(metavar="MARK", help="Decimal mark of a CSV: . or ,")] = ".",
    as_json: Json = False,
) -> None:
    """Write a study to a file: a JSON bundle of everything, or a table of its trials.

    \b
    Example:
      workbench export branin branin.json --storage demo.db
      workbench export branin branin.xlsx --storage demo.db
    """
    with refusing():
        from workbench.cli import files

        files.export(study, path, storage, decimal=decimal, as_json=as_json)


@app.command(name="import")
def import_(
    source: Annotated[str, typer.Argument(metavar="FILE|optuna", help="A .json bundle, a .csv or .xlsx table.")],
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="After optuna: its database.")] = None,
    storage: Storage = DEFAULT_STORAGE,
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="Study that a table's rows go to; or the name in Optuna.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name for the imported study.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="TITLE=NAME", help="What a column of a table is; an empty NAME leaves it out."),
    ] = None,
    decimal: Annotated[
        str | None, typer.Option(metavar="MARK", help="Decimal mark of a table: . or , (default: found out).")
    ] = None,
    sheet: Annotated[str | None, typer.Option(metavar="NAME", help="Sheet of a workbook.")] = None,
    fill: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Value of a parameter in Optuna's trials that lack it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a study from a bundle or from Optuna, or the rows of a table into a study: all of it or nothing.

    \b
    Example:
      workbench import branin.json --storage lab.db
      workbench import runs.xlsx --study branin --column "Temp (C)=x1" --storage lab.db
      workbench import optuna sqlite:///old.db --study tuning --storage lab.db
    """
    with refusing():
        from workbench.cli import files

        order = files.ImportOrder(source, url, storage, study, name, column or [], decimal, sheet, fill or [], as_json)
        files.import_any(order)


@app.command()
def delete(
    study: StudyName,
    storage: Storage = DEFAULT_STORAGE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase a study with all its trials, rankings and files. This cannot be undone: export it first.

    \b
    Example:
      workbench delete branin --yes --storage demo.db
    """
    with refusing():
        from workbench.cli import files

        files.delete(study, storage, yes=yes, as_json=as_json)


@app.command()
def bench(
    problems: Annotated[list[str], typer.Argument(metavar="MODULE:NAME …", help="Problems, as for run.")],
    sampler: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="A sampler, or peer:NAME; the first is compared with the others."),
    ],
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Runs of each, seeds 0 to N - 1.")] = 10,
    evaluations: Annotated[int, typer.Option(min=2, metavar="N", help="Evaluations of each run.")] = 40,
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the runs here; finished ones are not run again.")
    ] = None,
    records: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="Earlier runs to compare with; repeat it for each.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Runs at a time.")] = 1,
    together: Annotated[
        bool, typer.Option("--together", help="Ask all samplers in turn, to compare their times.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write an HTML report here.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare samplers on problems: regret, paired differences with intervals, time per ask.

    \b
    Example:
      workbench bench problems.synthetic:branin --sampler gp --sampler sobol --seeds 5 --evaluations 20
    """
    with refusing():
        from workbench.cli import benching

        benching.bench(
            problems, sampler, seeds=seeds, evaluations=evaluations, into=into, records=records or [],
            workers=workers, together=together, report=report, as_json=as_json,
        )  # fmt: skip
