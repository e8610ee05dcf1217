"""`workbench run`: open or make the study, run what is missing, say what came out and how to go on."""

from __future__ import annotations

import functools
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.console import Console

from workbench.build import create_study, load_study, make_sampler
from workbench.cli import showing, tables, words
from workbench.cli.app import FAILED
from workbench.cli.loading import load_problem
from workbench.cli.speech import program, spoken_warnings
from workbench.errors import InvalidValueError, StudyExistsError
from workbench.executor import Processes
from workbench.problem import Problem
from workbench.pruning import make_pruner
from workbench.storage import Storage
from workbench.study import Study
from workbench.trial import Owner, Trial, TrialState

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Order:
    """What a person typed after `workbench run`; None where they said nothing."""

    reference: str
    trials: int
    study: str | None
    storage: str
    sampler: str | None
    seed: int | None
    workers: int
    report: Path | None
    keep_going: bool
    pruner: str | None = None
    timeout: float | None = None
    trial_timeout: float | None = None
    threads: int = 1
    as_json: bool = False

    @property
    def in_processes(self) -> bool:
        """Do trials run in processes of their own? A trial that may have to be ended does."""
        return self.workers > 1 or self.trial_timeout is not None

    def command(self, trials: int) -> str:
        """The command with another number of trials, ready to be pasted into a shell."""
        said = {
            "--trials": trials, "--study": self.study, "--storage": tables.place(self.storage),
            "--sampler": self.sampler, "--seed": self.seed, "--report": self.report,
            "--workers": self.workers if self.workers > 1 else None,
            "--pruner": self.pruner, "--timeout": self.timeout, "--trial-timeout": self.trial_timeout,
            "--threads": self.threads if self.threads > 1 else None,
        }  # fmt: skip
        words = [word for name, value in said.items() if value is not None for word in (name, str(value))]
        words += ["--keep-going"] if self.keep_going else []
        return f"{program()} run {shlex.join([self.reference, *words])}"


def run(order: Order) -> int:
    """Carry the order out.

    Returns:
        Exit code: 0, FAILED or INTERRUPTED.
    Raises:
        WorkbenchError: if the order cannot be carried out.
    """
    try:
        with spoken_warnings():
            return _run(order)
    except KeyboardInterrupt:  # before or after the trials
        print("\nStopped. Nothing is lost; the same command goes on.", file=sys.stderr)
        return INTERRUPTED


def _run(order: Order) -> int:
    _check_report(order.report)
    problem = load_problem(order.reference)
    study = _open(order, problem)
    finished = _finished(study)
    if finished < order.trials:
        code = _evaluate(study, problem, order)
        if code:
            return code
    _conclude(study, order, before=finished)
    return 0


def _check_report(path: Path | None) -> None:
    if path is not None and not path.absolute().parent.is_dir():
        raise InvalidValueError(
            f"--report needs a folder that exists, got {str(path)!r}; make {str(path.parent)!r} first"
        )


def _open(order: Order, problem: Problem) -> Study:
    make_sampler(order.sampler or "auto")  # a mistyped name leaves no file behind
    make_pruner(order.pruner)
    store = Storage(order.storage)
    if store.url is None:
        raise InvalidValueError(
            f"--storage must outlast the command, got {order.storage!r}, which lives in memory; name a file"
        )
    name = order.study or problem.name
    is_new = all(known.name != name for known in store.studies())
    try:
        study = create_study(
            name, problem.space, problem.objectives, problem.constraints, sampler=order.sampler or "auto",
            storage=store, seed=order.seed or 0 if is_new else None, budget=order.trials if is_new else None,
            pruner=order.pruner, load_if_exists=True,
        )  # fmt: skip
    except StudyExistsError as error:
        raise StudyExistsError(
            f"study {name!r} in {tables.place(order.storage)} has another space or other goals than "
            f"{order.reference}; give this problem a study of its own with --study NAME"
        ) from error
    if is_new:
        return study
    if order.seed not in (None, study.seed):
        raise InvalidValueError(
            f"study {name!r} has seed {study.seed} and keeps it, got --seed {order.seed}; leave --seed out, "
            "or begin another study with --study NAME"
        )
    functions = {rule.name: rule.function for rule in problem.space.functions if rule.function is not None}
    own = load_study(name, storage=store, functions=functions)
    return own if order.sampler in (None, own.sampler.name) else study


def _finished(study: Study) -> int:
    return int(study.history().finished.sum())


# -- the trials ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """Evaluates a trial in a worker process, which finds the problem by its reference."""

    reference: str

    def __call__(self, trial: Trial) -> Mapping[str, float]:
        return _loaded(self.reference).evaluate(trial.params)


def _here(problem: Problem) -> Callable[[Trial], Mapping[str, float]]:
    return lambda trial: problem.evaluate(trial.params)


@functools.cache
def _loaded(reference: str) -> Problem:
    return load_problem(reference)


@dataclass(slots=True)
class _Listener:
    """Keeps the trial that ended last; where no bar can be drawn it prints a line for each."""

    total: int
    console: Console = field(default_factory=lambda: Console(stderr=True))
    last: Trial | None = None

    def __call__(self, study: Study, trial: Trial) -> None:
        self.last = trial
        if not (self.console.is_terminal or self.console.is_jupyter):
            words = [f"trial {trial.number} {trial.state}", *tables.readings(study, trial)]
            print(f"[{_finished(study)}/{self.total}] {', '.join(words)}", file=sys.stderr, flush=True)


def _evaluate(study: Study, problem: Problem, order: Order) -> int:
    """Run the missing trials; says what happened when it cannot run all of them."""
    listener = _Listener(order.trials)
    fn = _Evaluation(order.reference) if order.in_processes else _here(problem)
    forgiven = (Exception,) if order.keep_going else ()
    try:
        with _pool(order) as pool:
            study.optimize(
                fn, until=order.trials, timeout=order.timeout, executor=pool, catch=forgiven, callbacks=[listener]
            )
    except KeyboardInterrupt:
        _say_stopped(study, order)
        return INTERRUPTED
    except Exception:
        last = None if order.keep_going else listener.last  # a forgiven failure is not what ended the run
        if last is None or last.state != TrialState.FAILED:
            raise
        _say_failed(last)
        return FAILED
    return 0


def _say_stopped(study: Study, order: Order) -> None:
    print(
        f"\nStopped. Nothing is lost: {_finished(study)} of {order.trials} trials are finished and stored in "
        f"{tables.place(order.storage)}. The same command goes on.",
        file=sys.stderr,
    )


def _say_failed(trial: Trial) -> None:
    print(
        f"{tables.plain(trial.error or '').rstrip()}\n\n"
        f"Trial {trial.number} failed; it is recorded as failed, at {tables.plain(trial.params)}.\n"
        "The same command goes on with the next trial; --keep-going does so by itself.",
        file=sys.stderr,
    )


def _pool(order: Order) -> AbstractContextManager[Processes | None]:
    if not order.in_processes:
        return nullcontext()
    return Processes(order.workers, trial_timeout=order.trial_timeout, threads=order.threads)


# -- what came out ---------------------------------------------------------------------------


def _conclude(study: Study, order: Order, before: int) -> None:
    """Print the best trial, write the report, say how to go on."""
    finished = _finished(study)
    if finished < order.trials and (flying := _in_flight(study)):
        print(f"{finished} of {order.trials} trials are finished. {flying} The same command goes on.", file=sys.stderr)
    if order.as_json:
        if order.report is not None:
            showing.write_html(study, order.report, "")
        typer.echo(showing.as_json_text(showing.described(study, order.storage)))
        return
    console = tables.console()
    if before >= order.trials:
        more = f"All {order.trials} trials" if before == order.trials else f"{before} trials, more than asked for,"
        console.print(f"{more} are finished already, in {tables.place(order.storage)}.")
    tables.print_best(console, study)
    if troubles := int(study.history().failed.sum()):
        console.print(f"{troubles} of the {finished} trials failed; `show` says why.")
    shell = f"{program()} show {shlex.quote(study.name)} --storage {shlex.quote(tables.place(order.storage))}"
    further = order.command(finished + max(5, finished // 2))
    best = "study.best_params" if len(study.history().measured) == 1 else "study.pareto_trials"
    python = (
        "import workbench as wb\n"
        f"study = wb.load_study({study.name!r}, storage={tables.place(order.storage)!r})\n"
        f"{best}, study.trials, study.ask()"
    )
    if order.report is not None:
        text = f"# Python\n{python}\n\n# shell\n{shell}\n{further}"
        console.print(f"Report: {showing.write_html(study, order.report, text)}")
    indented = "\n".join(f"  {line}" for line in python.splitlines())
    advice = f"More trials:\n  {further}\nLook at the study:\n  {shell}\nGo on from Python:\n{indented}"
    console.print(f"\n{tables.plain(advice)}")


def _in_flight(study: Study) -> str:
    """Which trials other runs are at, or were when they died; "" for none."""
    rows = [row for row in study.history().rows if row.state == TrialState.RUNNING and row.expires is not None]
    if not rows:
        return ""
    hosts = sorted({Owner.from_json(row.owner).host for row in rows if row.owner is not None})
    left = max(0.0, max(row.expires or 0.0 for row in rows) - time.time())
    numbers = ", ".join(str(row.number) for row in rows[:5]) + (", …" if len(rows) > 5 else "")
    return (
        f"In flight elsewhere ({', '.join(hosts)}): {numbers}; if nobody is at work on them any more, they can be "
        f"taken over in {left / 60:.0f} min."
    )


def create(
    reference: str, name: str | None, storage: str, sampler: str | None, seed: int | None, budget: int | None,
    pruner: str | None, baseline: Sequence[str], *, as_json: bool,
) -> None:  # fmt: skip
    """Make a study of a problem without running it."""
    with spoken_warnings():
        problem = load_problem(reference)
        params = words.params(problem.space, words.pairs(baseline, "--baseline")) or None
        study = create_study(
            name or problem.name, problem.space, problem.objectives, problem.constraints, sampler=sampler or "auto",
            storage=storage, seed=seed or 0, budget=budget, baseline=params, pruner=pruner,
        )  # fmt: skip
    if as_json:
        typer.echo(showing.as_json_text(showing.described(study, storage)))
        return
    place = tables.place(storage)
    command = f"{program()} ask {shlex.quote(study.name)} --storage {shlex.quote(place)}"
    tables.console().print(tables.plain(f"Study {study.name!r} is in {place}. Ask for its first trial:\n  {command}"))
