"""What all commands share: the application, its exit codes, common options, completion, and refusals."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from workbench.errors import WorkbenchError

FAILED, REFUSED = 1, 2
"""Exit codes; an interrupted command ends with 130, as shells have it."""

app = typer.Typer(
    name="workbench",
    help="Optimise something expensive and keep every trial: kill it at any moment, and go on later.",
    epilog="Exit codes: 0 done; 1 the evaluation of a trial failed; 2 wrong usage or refused, "
    "the message says why; 130 interrupted by Ctrl-C, nothing told is lost. "
    "Tab completion: workbench --install-completion.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no rich, and is there at once
)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn an error of the workbench into one message and an exit code, and its warnings into sentences."""
    try:
        yield
    except WorkbenchError as error:
        from workbench.cli.speech import remedied
        from workbench.cli.tables import plain

        print(f"Error: {remedied(plain(error))}", file=sys.stderr)
        raise typer.Exit(REFUSED) from error


# -- completion ---------------------------------------------------------------------------------


def _studies(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the studies in the storage that the command line names, or the default one."""
    from workbench.build import list_studies

    storage = ctx.params.get("storage") or DEFAULT_STORAGE
    with suppress(WorkbenchError):  # a half-typed path is no reason to disturb the shell
        return [study.name for study in list_studies(storage) if study.name.startswith(incomplete)]
    return []


def samplers(incomplete: str) -> list[str]:
    """Names of samplers that begin with what was typed."""
    from workbench.build import sampler_names

    return [name for name in sampler_names() if name.startswith(incomplete)]


def pruners(incomplete: str) -> list[str]:
    """Names of pruning rules that begin with what was typed."""
    from workbench.pruning import pruner_names

    return [name for name in pruner_names() if name.startswith(incomplete)]


# -- options ------------------------------------------------------------------------------------

DEFAULT_STORAGE = "workbench.db"

Storage = Annotated[str, typer.Option(help="Database: a file, or an SQLAlchemy URL.", metavar="PATH|URL")]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study.", autocompletion=_studies)]
TrialNumber = Annotated[int, typer.Argument(metavar="TRIAL", help="Number of a trial.", min=0)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for another program.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, in words; it goes to the audit log.")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME=VALUE …", help="Values by name: a number, text, true or false, or JSON."),
]
