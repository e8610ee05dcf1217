"""`workbench run`: open or make the study, run what is missing, say what came out and how to go on."""

from __future__ import annotations

import functools
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from rich.console import Console

from workbench.build import create_study, load_study, make_sampler
from workbench.cli import FAILED, tables
from workbench.cli.loading import load_problem
from workbench.errors import InvalidValueError, StorageError, StudyExistsError, WorkbenchWarning
from workbench.executor import Processes
from workbench.problem import Problem
from workbench.storage import Storage
from workbench.study import Study
from workbench.trial import Trial, TrialState

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

    def command(self, trials: int) -> str:
        """The command with another number of trials, ready to be pasted into a shell."""
        said = {
            "--trials": trials, "--study": self.study, "--storage": tables.place(self.storage),
            "--sampler": self.sampler, "--seed": self.seed, "--report": self.report,
            "--workers": self.workers if self.workers > 1 else None,
        }  # fmt: skip
        words = [word for name, value in said.items() if value is not None for word in (name, str(value))]
        words += ["--keep-going"] if self.keep_going else []
        return f"{_program()} run {shlex.join([self.reference, *words])}"


def run(order: Order) -> int:
    """Carry the order out.

    Returns:
        Exit code: 0, FAILED or INTERRUPTED.
    Raises:
        WorkbenchError: if the order cannot be carried out.
    """
    try:
        with _spoken_warnings():
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
            storage=store, seed=order.seed or 0, budget=order.trials, load_if_exists=True,
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
    own = load_study(name, storage=store)
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
    fn = _Evaluation(order.reference) if order.workers > 1 else _here(problem)
    forgiven = (Exception,) if order.keep_going else ()
    try:
        with Processes(order.workers) if order.workers > 1 else nullcontext() as pool:
            study.optimize(fn, until=order.trials, executor=pool, catch=forgiven, callbacks=[listener])
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


@contextmanager
def _spoken_warnings() -> Iterator[None]:
    """Print the workbench's warnings as sentences; those of other packages as they are."""
    usual = warnings.showwarning

    def speak(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, WorkbenchWarning):
            print(f"Warning: {tables.plain(message)}", file=sys.stderr)
        else:
            usual(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("default", WorkbenchWarning)
        warnings.showwarning = speak
        yield


# -- what came out ---------------------------------------------------------------------------


def _conclude(study: Study, order: Order, before: int) -> None:
    """Print the best trial, write the report, say how to go on."""
    finished = _finished(study)
    console = tables.console()
    if before >= order.trials:
        more = f"All {order.trials} trials" if before == order.trials else f"{before} trials, more than asked for,"
        console.print(f"{more} are finished already, in {tables.place(order.storage)}.")
    tables.print_best(console, study)
    if troubles := int(study.history().failed.sum()):
        console.print(f"{troubles} of the {finished} trials failed; `show` says why.")
    shell = f"{_program()} show {shlex.quote(study.name)} --storage {shlex.quote(tables.place(order.storage))}"
    further = order.command(finished + max(5, finished // 2))
    python = (
        "import workbench as wb\n"
        f"study = wb.load_study({study.name!r}, storage={tables.place(order.storage)!r})\n"
        "study.best_params, study.trials, study.ask()"
    )
    if order.report is not None:
        text = f"# Python\n{python}\n\n# shell\n{shell}\n{further}"
        console.print(f"Report: {_write_report(study, order.report, text)}")
    indented = "\n".join(f"  {line}" for line in python.splitlines())
    advice = f"More trials:\n  {further}\nLook at the study:\n  {shell}\nGo on from Python:\n{indented}"
    console.print(f"\n{tables.plain(advice)}")


def _write_report(study: Study, path: Path, continue_with: str) -> Path:
    from workbench.report import write_report

    try:
        return write_report(study, path, predict=study.model().predictor(), continue_with=continue_with)
    except OSError as error:
        raise StorageError(
            f"the report could not be written to {str(path)!r}: {error.strerror or error}; all trials "
            "are stored; the same command with another --report writes it"
        ) from error


def _program() -> str:
    """How this program was called, so that a command it prints can be pasted."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(Path(sys.executable).name)} -m workbench"
    return "workbench" if shutil.which("workbench") else shlex.quote(str(called))
