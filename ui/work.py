"""What worker processes do: ask for runs, look at the model, run a problem that the command line named."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ui.jobs import Progress
from workbench.errors import TrialStateError, WorkbenchError
from workbench.executor import Channel

if TYPE_CHECKING:
    from ui.presenters.modelling import Findings

CHEAP = frozenset({"sobol", "random", "grid"})
"""Samplers whose ask takes milliseconds: they answer in the page."""


@dataclass(frozen=True, slots=True)
class Ask:
    """An order for suggestions. Arguments as of `Study.ask`."""

    storage: str
    study: str
    n: int
    fixed: Mapping[str, Any] = field(default_factory=dict)
    near: int | None = None
    sampler: str | None = None
    timeout: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunProblem:
    """An order to run a problem until so many runs of the study are finished."""

    storage: str
    study: str
    problem: str
    until: int


def ask(order: Ask, channel: Channel) -> list[int]:
    """Write the suggestions into the study; their numbers."""
    from workbench.build import load_study, warm_up

    channel.send(Progress(None, "Reading the record."))
    study = load_study(order.study, storage=order.storage)
    warm_up(order.sampler or study.sampler.name)
    done = int(study.history().complete.sum())
    channel.send(Progress(None, f"Learning from {done} results, then looking for the next {order.n}."))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each is stored with its trial, and shown on its card
        trials = study.ask(
            order.n, fixed=order.fixed, near=order.near, sampler=order.sampler, timeout=order.timeout,
            thresholds=order.thresholds,
        )  # fmt: skip
    return [trial.number for trial in trials]


def run_problem(order: RunProblem, channel: Channel) -> int:
    """Run the problem; how many runs are finished now. Every run is recorded as soon as it has ended."""
    from workbench.build import load_study
    from workbench.cli.loading import load_problem

    problem = load_problem(order.problem)
    study = load_study(order.study, storage=order.storage)
    began = int(study.history().finished.sum())
    total = max(1, order.until - began)

    def say(*_: object) -> None:
        done = int(study.history().finished.sum())
        share = min(1.0, (done - began) / total)
        channel.send(Progress(share, f"{done} of {order.until} runs are finished."))

    say()
    study.optimize(
        lambda trial: dict(problem.evaluate(trial.params)), until=order.until, callbacks=[say], progress=False,
        catch=Exception,
    )  # fmt: skip
    return int(study.history().finished.sum())


@dataclass(frozen=True, slots=True)
class Analyse:
    """An order to look at the model of a study."""

    storage: str
    study: str


def analyse(order: Analyse, channel: Channel) -> Findings:
    """Fit the model and find out what it says; each step is said."""
    from ui.presenters.modelling import Findings, mark
    from workbench.analysis import Recommendation
    from workbench.build import load_study

    channel.send(Progress(0.05, "Reading the record and fitting the model."))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constraints that are functions: an ask says so
        study = load_study(order.study, storage=order.storage)
    model = study.model()
    done = [row.number for row, gone in zip(model.history.rows, model.history.finished, strict=True) if gone]
    best = None
    if model.surrogate is not None:
        channel.send(Progress(0.2, "Predicting each run from all others."))
        model.diagnose()
        channel.send(Progress(0.3, "Drawing functions to see which knobs matter."))
        model.importance()
        channel.send(Progress(0.7, "Playing through the next runs."))
        with suppress(WorkbenchError):  # a context that only an ask knows
            found = model.recommend()
            best = found if isinstance(found, Recommendation) else None
        if len(model.history.measured) > 1:
            channel.send(Progress(0.9, "Looking for the front that the model expects."))
            with suppress(TrialStateError):  # no complete run has a place in the present space
                model.pareto_front()
    verdicts = model.verdicts()
    return Findings(mark(model.history), max(done, default=None), len(done), model, verdicts, best)
