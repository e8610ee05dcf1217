"""The shell. `workbench --help` lists the commands.

The modules `commands_…` declare them only, so that help loads neither the engine nor the database;
what they do stands in the modules beside them, loaded when a command is run.
"""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import commands_run, commands_studies, commands_trials
from workbench.cli.app import FAILED, REFUSED, app

__all__ = ["FAILED", "REFUSED", "app", "commands_run", "commands_studies", "commands_trials", "main"]


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
