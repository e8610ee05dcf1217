"""`workbench show`: a study as text or JSON."""

from __future__ import annotations

from typing import Any

import orjson
import typer

from workbench.build import load_study
from workbench.cli import tables
from workbench.study import Study
from workbench.trial import Trial, TrialState

_LAST, _FAILURES = 10, 5
_TROUBLES = (TrialState.FAILED, TrialState.INFEASIBLE)


def show(name: str, storage: str, *, as_json: bool) -> None:
    """Print the study.

    Raises:
        StorageError: if there is no such database; none is made.
        StudyNotFoundError: if it holds no such study.
    """
    study = load_study(name, storage=storage)
    if as_json:
        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        typer.echo(orjson.dumps(described(study, storage), option=options).decode())
    else:
        _print(study, storage)


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
        "counts": counts(study),
        "finished": int(study.history().finished.sum()),
        "best": None if several or not study.history().counted.any() else _trial(study.best_trial),
        "front": [_trial(trial) for trial in _front(study)] if several else None,
        "last": [_trial(trial) for trial in study.trials[-_LAST:]],
        "failures": [_trial(trial) for trial in _failures(study)[-_FAILURES:]],
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


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number, "state": str(trial.state), "params": trial.params, "values": trial.values,
        "attempt": trial.attempt, "started": trial.started, "finished": trial.finished,
        "error": trial.error, "reason": trial.reason, "warnings": trial.warnings,
    }  # fmt: skip


def _print(study: Study, storage: str) -> None:
    out = tables.console()
    goals = [getattr(goal, "label", f"{goal.name} (judged by people)") for goal in study.objectives]
    found = ", ".join(f"{number} {state}" for state, number in counts(study).items()) or "none yet"
    lines = {
        "study": f"{study.name}, in {tables.place(storage)}",
        "goals": "; ".join(goals),
        "limits": "; ".join(_limit(limit) for limit in study.constraints),
        "sampler": f"{study.sampler.name}, seed {study.seed}",
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


def _limit(limit: Any) -> str:
    parts = [f"{limit.lower:g} <="] if limit.lower is not None else []
    parts += [limit.name]
    parts += [f"<= {limit.upper:g}"] if limit.upper is not None else []
    return " ".join(parts) + (f" {limit.unit}" if limit.unit else "")
