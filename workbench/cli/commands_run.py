"""`workbench run` and `workbench create`: what needs a problem."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.app import DEFAULT_STORAGE, Json, Storage, app, pruners, refusing, samplers

_Problem = Annotated[
    str, typer.Argument(metavar="MODULE:NAME", help="A problem, or a function without arguments that makes one.")
]
_Study = Annotated[str | None, typer.Option(metavar="NAME", help="Default: the problem's name.")]
_Sampler = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What proposes in this run. Default: the study's own, which a new one keeps: auto.",
        autocompletion=samplers,
    ),
]
_Seed = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", help="Source of all randomness of a new study, which keeps it. Default: 0."),
]
_Pruner = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What ends trials early in a new study, which keeps it.", autocompletion=pruners),
]


@app.command()
def run(
    problem: _Problem,
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="Finished trials wanted in total.")] = 40,
    study: _Study = None,
    storage: Storage = DEFAULT_STORAGE,
    sampler: _Sampler = None,
    seed: _Seed = None,
    pruner: _Pruner = None,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Trials at a time, each in its own process.")] = 1,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Begin no more trials after so many seconds.")
    ] = None,
    trial_timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End a trial that runs longer; it has failed.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="BLAS threads of each worker process.")] = 1,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML report here.", dir_okay=False, metavar="PATH")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Go on after a trial whose evaluation fails.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run a problem until TRIALS trials are finished, and go on where an earlier run stopped.

    The module is looked for in the current folder and among the installed packages. Trials that are
    complete, pruned, failed or infeasible count as finished. Ctrl-C loses nothing: the same command
    goes on.

    \b
    Example:
      workbench run problems.synthetic:branin --trials 30 --storage demo.db --report demo.html
    """
    with refusing():
        from workbench.cli import running

        order = running.Order(
            problem, trials, study, storage, sampler, seed, workers, report, keep_going,
            pruner=pruner, timeout=timeout, trial_timeout=trial_timeout, threads=threads, as_json=as_json,
        )  # fmt: skip
        code = running.run(order)
    raise typer.Exit(code)


@app.command()
def create(
    problem: _Problem,
    study: _Study = None,
    storage: Storage = DEFAULT_STORAGE,
    sampler: _Sampler = None,
    seed: _Seed = None,
    budget: Annotated[int | None, typer.Option(min=1, metavar="N", help="Number of trials planned.")] = None,
    pruner: _Pruner = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter of what is used today; repeat it for each."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Begin a study from a problem's space and goals without running it, to ask and tell by hand.

    The problem is not stored: `ask`, `tell` and all other commands need the study's name alone.

    \b
    Example:
      workbench create problems.synthetic:branin --study bench --sampler gp --storage lab.db
    """
    with refusing():
        from workbench.cli import running

        running.create(problem, study, storage, sampler, seed, budget, pruner, baseline or [], as_json=as_json)


@app.command()
def ui(
    storage: Storage = DEFAULT_STORAGE,
    problem: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="A problem whose runs this machine can do by itself."),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: the first free one from 8501.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser.")] = False,
) -> None:
    """Open the workbench in a browser, on this machine alone, until Ctrl-C.

    The database is made if there is none. Only a problem that is named here is ever imported, none that
    a database names.

    \b
    Example:
      workbench ui --storage lab.db
    """
    from workbench.cli import browser

    raise typer.Exit(browser.start(storage, problem, port, headless=headless))
