"""`workbench show`: a study as text or JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import orjson
import typer

from workbench.build import load_study
from workbench.cli import tables
from workbench.cli.speech import spoken_warnings
from workbench.errors import StorageError
from workbench.plots import theme
from workbench.study import Study
from workbench.trial import Trial, TrialState

_LAST, _FAILURES = 10, 5
_TROUBLES = (TrialState.FAILED, TrialState.INFEASIBLE)


def show(name: str, storage: str, *, report: Path | None, as_json: bool) -> None:
    """Print the study, and write a report of it where a path is given.

    Raises:
        StorageError: if there is no such database, none is made; or if the report cannot be written.
        StudyNotFoundError: if it holds no such study.
    """
    with spoken_warnings():
        study = load_study(name, storage=storage)
        written = None if report is None else write_html(study, report)
    if as_json:
        typer.echo(as_json_text(described(study, storage) | ({} if written is None else {"report": str(written)})))
        return
    _print(study, storage)
    if written is not None:
        tables.console().print(tables.plain(f"\nReport: {written}"))


def write_html(study: Study, path: Path, continue_with: str | None = None) -> Path:
    """Write a report, with what the model says."""
    from workbench.report import write_report

    try:
        return write_report(study, path, model=study.model(), continue_with=continue_with)
    except OSError as error:
        raise StorageError(
            f"the report could not be written to {str(path)!r}: {error.strerror or error}; all trials "
            "are stored; the same command with another --report writes it"
        ) from error


def reference_point(study: Study) -> dict[str, float | None]:
    """What hypervolume is measured from, user units; None: not inferred yet, or a distance from a target."""
    history = study.history()
    found: dict[str, float | None] = {}
    for goal, level in zip(history.measured, history.reference.tolist(), strict=True):
        automatic = None if math.isnan(level) or goal.target is not None else goal.sign * level
        found[goal.name] = automatic if goal.reference is None else goal.reference
    return found


def as_json_text(value: Any) -> str:
    """JSON for another program."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode()


def described(study: Study, storage: str) -> dict[str, Any]:
    """The study as JSON types: goals, counts, best trial or front, last trials, failures."""
    several = len(tables.measured(study)) != 1
    return {
        "name": study.name,
        "storage": tables.place(storage),
        "sampler": study.sampler.name,
        "seed": study.seed,
        "budget": study.budget,
        "objectives": [goal.to_json() for goal in study.objectives],
        "constraints": [limit.to_json() for limit in study.constraints],
        "baseline": study.baseline,
        "pruner": None if study.pruner is None else study.pruner.to_json(),
        "note": study.note,
        "tags": study.tags,
        "attrs": study.attrs,
        "counts": counts(study),
        "finished": int(study.history().finished.sum()),
        "best": None if several or not study.history().counted.any() else trial_json(study.best_trial),
        "chosen": None if study.chosen is None else study.chosen.number,
        "front": [trial_json(trial) for trial in _front(study)] if several else None,
        "last": [trial_json(trial) for trial in study.trials[-_LAST:]],
        "failures": [trial_json(trial) for trial in _failures(study)[-_FAILURES:]],
    }


def counts(study: Study) -> dict[str, int]:
    """Number of trials by state, states without a trial left out."""
    history = study.history()
    found = {state.value: int(history.in_state(state).sum()) for state in TrialState}
    return {state: number for state, number in found.items() if number}


def _front(study: Study) -> list[Trial]:
    return study.pareto_trials if tables.measured(study) else []


def _failures(study: Study) -> list[Trial]:
    return [trial for trial in study.trials if trial.state in _TROUBLES]


def trial_json(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number, "state": str(trial.state), "params": trial.params, "values": trial.values,
        "sem": trial.sem, "cost": trial.cost, "actual": trial.actual, "why": trial.why,
        "predicted": trial.predicted, "attempt": trial.attempt, "started": trial.started, "finished": trial.finished,
        "error": trial.error, "reason": trial.reason, "warnings": trial.warnings,
        "note": trial.note, "tags": trial.tags, "attrs": trial.attrs,
    }  # fmt: skip


def _print(study: Study, storage: str) -> None:
    out = tables.console()
    goals = [getattr(goal, "label", f"{goal.name} (judged by people)") for goal in study.objectives]
    found = ", ".join(f"{number} {state}" for state, number in counts(study).items()) or "none yet"
    lines = {
        "study": f"{study.name}, in {tables.place(storage)}",
        "goals": "; ".join(goals),
        "limits": "; ".join(limit.label for limit in study.constraints),
        "baseline": ", ".join(f"{key} = {theme.wording(value)}" for key, value in (study.baseline or {}).items()),
        "sampler": f"{study.sampler.name}, seed {study.seed}",
        "pruner": "" if study.pruner is None else study.pruner.name,
        "note": study.note,
        "tags": ", ".join(study.tags),
        "chosen": "" if study.chosen is None else f"trial {study.chosen.number}",
        "trials": found + (f", of {study.budget} planned" if study.budget else ""),
    }
    for name, text in lines.items():
        if text:
            out.print(f"{name:8} {tables.plain(text)}")
    out.print()
    tables.print_best(out, study)
    if study.trials:
        last = study.trials[-_LAST:]
        out.print(f"\nLast {len(last)} of {len(study.trials)} trials")
        out.print(tables.trials(study, last))
    _print_failures(study)


def _print_failures(study: Study) -> None:
    failures = _failures(study)
    out = tables.console()
    if failures:
        out.print(f"\nFailed or infeasible: {len(failures)}; the last {len(failures[-_FAILURES:])}")
    for trial in failures[-_FAILURES:]:
        said = (trial.error or trial.reason or "no error text was told").strip().splitlines()
        out.print(tables.plain(f"  trial {trial.number} {trial.state}: {said[-1]}"))
