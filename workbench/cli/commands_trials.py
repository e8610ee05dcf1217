"""Commands about one trial: ask, tell, and what else a person says of it."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli.app import (
    DEFAULT_STORAGE,
    Json,
    Reason,
    Settings,
    Storage,
    StudyName,
    TrialNumber,
    app,
    refusing,
    samplers,
)

_Sem = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Standard error of a value; repeat it for each.")
]
_Cost = Annotated[float | None, typer.Option(metavar="NUMBER", help="What the evaluation cost.")]
_Actual = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="A parameter as it was really set; repeat it for each."),
]


@app.command()
def ask(
    study: StudyName,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="How many trials.")] = 1,
    storage: Storage = DEFAULT_STORAGE,
    fixed: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Hold a parameter at a value; repeat it for each."),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A value that the world decides; repeat it for each."),
    ] = None,
    near: Annotated[int | None, typer.Option(min=0, metavar="TRIAL", help="Stay close to this trial.")] = None,
    prefer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=WEIGHT", help="How much an objective counts; repeat it for each."),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What an objective should reach; repeat it for each."),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another sampler for this ask.", autocompletion=samplers)
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Answer in so many seconds, a good point or not.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose the next trials; they are running until they are told.

    \b
    Example:
      workbench ask branin -n 2 --fixed x1=2.5 --storage demo.db
      workbench ask beam --prefer cost=2 --prefer deflection=1 --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.ask(
            study, storage, n, fixed or [], context or [], prefer or [], threshold or [],
            near=near, sampler=sampler, timeout=timeout, as_json=as_json,
        )  # fmt: skip


@app.command()
def tell(
    study: StudyName,
    trial: TrialNumber,
    values: Settings = None,
    storage: Storage = DEFAULT_STORAGE,
    sem: _Sem = None,
    cost: _Cost = None,
    actual: _Actual = None,
    state: Annotated[str, typer.Option(metavar="STATE", help="complete, failed, infeasible or pruned.")] = "complete",
    error: Annotated[str | None, typer.Option(metavar="TEXT", help="What went wrong in a failed trial.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why it is infeasible or pruned.")] = None,
    more: Annotated[bool, typer.Option("--more", help="More values are still to come.")] = False,
    as_json: Json = False,
) -> None:
    """Record what became of a trial; it is durable when the command ends.

    \b
    Example:
      workbench tell branin 3 y=0.42 --sem y=0.05 --cost 2.5 --storage demo.db
      workbench tell branin 4 --state failed --error "pump stopped" --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.tell(
            study, storage, trial, values or [], sem or [], actual or [],
            cost=cost, state=state, error=error, reason=reason, final=not more, as_json=as_json,
        )  # fmt: skip


@app.command()
def attach(
    study: StudyName,
    values: Settings = None,
    storage: Storage = DEFAULT_STORAGE,
    sem: _Sem = None,
    cost: _Cost = None,
    actual: _Actual = None,
    as_json: Json = False,
) -> None:
    """Add a trial that was run elsewhere: parameters and measured values by name.

    \b
    Example:
      workbench attach branin x1=2.5 x2=7.5 y=24.1 --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.attach(study, storage, values or [], sem or [], actual or [], cost=cost, as_json=as_json)


@app.command()
def enqueue(
    study: StudyName, values: Settings = None, storage: Storage = DEFAULT_STORAGE, as_json: Json = False
) -> None:
    """Put a point at the end of the queue that the next asks are served from; what is left open is drawn.

    \b
    Example:
      workbench enqueue branin x1=2.5 --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.enqueue(study, storage, values or [], as_json=as_json)


@app.command()
def amend(
    study: StudyName,
    trial: TrialNumber,
    reason: Reason,
    values: Settings = None,
    storage: Storage = DEFAULT_STORAGE,
    sem: _Sem = None,
    cost: _Cost = None,
    actual: _Actual = None,
    as_json: Json = False,
) -> None:
    """Correct the values of a complete trial; the audit log keeps what stood there.

    \b
    Example:
      workbench amend branin 3 y=0.24 --reason "digits swapped" --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.amend(
            study, storage, trial, values or [], sem or [], actual or [], cost=cost, reason=reason, as_json=as_json
        )


@app.command()
def void(
    study: StudyName, trial: TrialNumber, reason: Reason, storage: Storage = DEFAULT_STORAGE, as_json: Json = False
) -> None:
    """Take a trial out of the record's meaning; it is never erased.

    \b
    Example:
      workbench void branin 3 --reason "wrong sample" --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.void(study, storage, trial, reason=reason, as_json=as_json)


@app.command()
def reject(
    study: StudyName,
    trial: TrialNumber,
    reason: Reason,
    avoid: Annotated[
        str, typer.Option(metavar="RULE", help="What shall not come again: point, region, or a condition.")
    ] = "point",
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Turn a proposal down, so that it does not come again.

    \b
    Example:
      workbench reject branin 5 --reason "too hot" --avoid "x1 > 8" --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.reject(study, storage, trial, reason=reason, avoid=avoid, as_json=as_json)


@app.command()
def choose(
    study: StudyName, trial: TrialNumber, reason: Reason, storage: Storage = DEFAULT_STORAGE, as_json: Json = False
) -> None:
    """Decide for a trial, the last act of a study.

    \b
    Example:
      workbench choose beam 17 --reason "stiff enough, and the cheapest" --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.choose(study, storage, trial, reason=reason, as_json=as_json)


@app.command()
def reference(
    study: StudyName, values: Settings = None, storage: Storage = DEFAULT_STORAGE, as_json: Json = False
) -> None:
    """State the point from which hypervolume is measured; what is left out is inferred, all of it without a value.

    \b
    Example:
      workbench reference beam cost=40 deflection=0.01 --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.reference(study, storage, values or [], as_json=as_json)


@app.command()
def annotate(
    study: StudyName,
    trial: Annotated[int | None, typer.Argument(metavar="[TRIAL]", help="Without it, the study.", min=0)] = None,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="Replaces the note.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Replaces the tags; repeat it for each.")
    ] = None,
    attr: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="An attribute to add; repeat it for each.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Note something about a trial, or about the study itself.

    \b
    Example:
      workbench annotate branin 3 --note "foamed" --tag retry --attr lot=B7 --storage demo.db
    """
    with refusing():
        from workbench.cli import trials

        trials.annotate(study, storage, trial, note=note, tags=tag, attrs=attr or [], as_json=as_json)
