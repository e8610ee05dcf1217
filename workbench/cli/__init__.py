"""The shell: `workbench run` and `workbench show`.

This module declares the commands only, so that `workbench --help` loads neither the engine nor
the database; what they do stands in the modules beside it, loaded when a command is run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from workbench.errors import WorkbenchError

__all__ = ["app", "main"]

FAILED, REFUSED = 1, 2
"""Exit codes; an interrupted command ends with 130, as shells have it."""

app = typer.Typer(
    name="workbench",
    help="Optimise something expensive and keep every trial: kill it at any moment, and go on later.",
    epilog="Exit codes: 0 done; 1 the evaluation of a trial failed; 2 wrong usage or refused, "
    "the message says why; 130 interrupted by Ctrl-C, nothing told is lost.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no rich, and is there at once
)

Storage = Annotated[str, typer.Option(help="Database: a file, or an SQLAlchemy URL.", metavar="PATH|URL")]


def main() -> None:
    """Run the command line."""
    app(prog_name="workbench")


def _print_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(f"workbench {importlib.metadata.version('optimization-workbench')}")
        raise typer.Exit


@app.callback()
def _workbench(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Declare what is common to all commands."""


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn an error of the workbench into one message and an exit code."""
    try:
        yield
    except WorkbenchError as error:
        from workbench.cli.tables import plain

        print(f"Error: {plain(error)}", file=sys.stderr)
        raise typer.Exit(REFUSED) from error


@app.command()
def run(
    problem: Annotated[
        str,
        typer.Argument(metavar="MODULE:NAME", help="A problem, or a function without arguments that makes one."),
    ],
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="Finished trials wanted in total.")] = 40,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Default: the problem's name.")] = None,
    storage: Storage = "workbench.db",
    sampler: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What proposes from now on. Default: the study's own; auto for a new one."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Source of all randomness of a new study, which keeps it. Default: 0."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Trials at a time, each in its own process.")] = 1,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML report here.", dir_okay=False, metavar="PATH")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a trial whose evaluation fails.")
    ] = False,
) -> None:
    """Run a problem until TRIALS trials are finished, and go on where an earlier run stopped.

    The module is looked for in the current folder and among the installed packages. Trials that are
    complete, pruned, failed or infeasible count as finished. Ctrl-C loses nothing: the same command
    goes on.

    \b
    Example:
      workbench run problems.synthetic:branin --trials 30 --storage demo.db --report demo.html
    """
    with _refusing():
        from workbench.cli import running

        order = running.Order(problem, trials, study, storage, sampler, seed, workers, report, keep_going)
        code = running.run(order)
    raise typer.Exit(code)


@app.command()
def show(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study.")],
    storage: Storage = "workbench.db",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for another program.")] = False,
) -> None:
    """Print a study: its goals, the best trial or the front, the last trials, and what failed.

    \b
    Example:
      workbench show branin --storage demo.db
    """
    with _refusing():
        from workbench.cli import showing

        showing.show(study, storage, as_json=as_json)
