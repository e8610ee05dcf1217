"""Example studies that need no laboratory: their runs come from a formula, and the record is real."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.build import create_study, list_studies
from workbench.problem import Constraint, Objective
from workbench.space import Categorical, Float, Parameter, Space
from workbench.storage import Storage
from workbench.study import Study

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """A study with runs that are computed.

    Args:
        name: Name of the study.
        title, text: What the page says of it.
        runs: Runs that it begins with, spread evenly.
    """

    name: str
    title: str
    text: str
    parameters: Sequence[Parameter]
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint]
    evaluate: Callable[[Params], dict[str, float]]
    runs: int
    budget: int


def _branin(params: Params) -> dict[str, float]:
    """Branin 1972; the minimum is 0.397887, at three places."""
    x, y = params["x1"], params["x2"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return {"y": bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10}


def _coupling(params: Params) -> dict[str, float]:
    """A smooth made-up reaction: hotter and longer gives more yield, less purity; catalyst costs."""
    heat, hours, load = (params["temperature"] - 60) / 50, params["time"] / 60, params["catalyst"]
    toluene = 0.0 if params["solvent"] == "iPrOH" else 4.0
    made = 100 * (1 - math.exp(-(0.8 + 2.6 * heat) * (0.4 + hours) * (0.5 + 0.35 * load))) - toluene
    by = 9 * heat**2 * hours + 0.4 * load
    return {
        "yield": round(made - 6 * heat**3, 2), "purity": round(99.4 - by, 2),
        "cost": round(90 + 36 * load + 0.25 * params["time"] + 12 * heat, 1), "residue": round(0.6 + 2.1 * load, 2),
    }  # fmt: skip


EXAMPLES = (
    Example(
        "Branin (example)", "One goal: Branin's function",
        "Two knobs, one goal. The lowest value is 0.398; see how soon the suggestions find it.",
        [Float("x1", -5, 10), Float("x2", 0, 15)], [Objective("y", "minimize")], [], _branin, 8, 30,
    ),
    Example(
        "Coupling (example)", "Three goals and a limit: a made-up reaction",
        "Four knobs; yield and purity up, cost down, catalyst residue at most 8 ppm.",
        [Float("temperature", 60, 110, step=1, unit="°C"), Float("time", 5, 60, step=1, unit="min"),
         Float("catalyst", 0.5, 5, step=0.1, unit="mol%"), Categorical("solvent", ["iPrOH", "2-MeTHF"])],
        [Objective("yield", "maximize", unit="%"), Objective("purity", "maximize", unit="%"),
         Objective("cost", "minimize", unit="€/kg")],
        [Constraint("residue", upper=8.0, unit="ppm")], _coupling, 12, 40,
    ),
)  # fmt: skip


def create(example: Example, storage: Storage) -> str:
    """Make the study with its first runs; an earlier one of that name is left as it is. Returns its name."""
    name = free_name(example.name, storage)
    study = create_study(
        name, Space(list(example.parameters)), list(example.objectives), list(example.constraints), storage=storage,
        seed=0, budget=example.budget,
    )  # fmt: skip
    for trial in study.ask(example.runs, sampler="sobol"):
        study.tell(trial, example.evaluate(trial.params))
    return name


def duplicate(study: Study, storage: Storage) -> str:
    """Make a study of the same knobs, goals and limits without runs. Returns its name."""
    name = free_name(f"{study.name} (copy)", storage)
    create_study(
        name, study.space, study.objectives, study.constraints, sampler=study.sampler, storage=storage,
        budget=study.budget,
    )  # fmt: skip
    return name


def free_name(name: str, storage: Storage) -> str:
    """The name, with a number behind it if it is taken."""
    taken = {summary.name for summary in list_studies(storage)}
    free, again = name, 2
    while free in taken:
        free, again = f"{name} {again}", again + 1
    return free
