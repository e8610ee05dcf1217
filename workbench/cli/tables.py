"""Trials as text and tables in a terminal. Nothing a user wrote is markup or steers the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from workbench.plots import theme
from workbench.problem import Objective
from workbench.study import Study
from workbench.trial import Trial

_FRONT = 10  # rows of a front
_COLUMNS = 6  # parameters beside the values in a table of trials


def console() -> Console:
    """Standard output without markup, emoji codes or colours of its own making."""
    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


def plain(value: object) -> str:
    """Text that cannot steer a terminal: control characters other than line breaks become "�"."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in str(value))


def place(storage: str) -> str:
    """A database as a person named it, a password hidden."""
    if "://" not in storage:
        return storage
    from sqlalchemy import make_url

    return make_url(storage).render_as_string(hide_password=True)


def measured(study: Study) -> list[Objective]:
    """The objectives that have values."""
    return [goal for goal in study.objectives if isinstance(goal, Objective)]


def told_names(study: Study) -> list[str]:
    """Names of everything that a tell gives values of."""
    return list(_units(study))


def _units(study: Study) -> dict[str, str | None]:
    """Unit of every measured quantity, objectives first."""
    goals = {goal.name: goal.unit for goal in measured(study)}
    return goals | {limit.name: limit.unit for limit in study.constraints}


def readings(study: Study, trial: Trial) -> list[str]:
    """Measured quantities of one trial, "loss 0.12 mm"."""
    units = _units(study)
    return [plain(f"{name} {theme.quantity(value, units.get(name))}") for name, value in trial.values.items()]


def print_best(out: Console, study: Study) -> None:
    """The best trial as a table of its values and settings, or the front, or why there is neither."""
    from workbench.report import headline

    history = study.history()
    if not history.measured or not history.counted.any():
        out.print(plain(headline(history)))
    elif len(measured(study)) == 1:
        out.print(_best(study))
    else:
        out.print(plain(headline(history)))
        front = study.pareto_trials
        out.print(trials(study, front[:_FRONT]))
        if len(front) > _FRONT:
            out.print(f"and {len(front) - _FRONT} more on the front")


def card(study: Study, trial: Trial) -> Table:
    """One trial: its state, settings, values and notes, a row each."""
    table = Table(title=f"Trial {trial.number}, {trial.state}", show_header=False, **look())
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    units = _units(study)
    for name, value in trial.settings.items():
        unit = study.space[name].unit if name in study.space.names else None
        table.add_row(cell(name), cell(theme.wording(value)), cell(unit or ""))
    if trial.values:
        table.add_section()
    for name, value in trial.values.items():
        told = theme.quantity(value, None, trial.sem.get(name))
        table.add_row(cell(name), cell(told, "bold"), cell(units.get(name) or ""))
    noted = {"cost": trial.cost, "note": trial.note, "tags": ", ".join(trial.tags), "reason": trial.reason}
    for name, said in (noted | {f"attr {key}": value for key, value in trial.attrs.items()}).items():
        if said not in (None, ""):
            table.add_row(cell(name), cell(theme.wording(said)), cell(""))
    return table


def _best(study: Study) -> Table:
    best = study.best_trial
    table = Table(
        title=f"Best of {theme.count(len(study.trials), 'trial')}: number {best.number}",
        show_header=False,
        **look(),
    )
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    units = _units(study)
    for name, value in best.values.items():
        table.add_row(cell(name), cell(theme.wording(value), "bold"), cell(units.get(name) or ""))
    table.add_section()
    for name, value in best.settings.items():
        unit = study.space[name].unit if name in study.space.names else None
        table.add_row(cell(name), cell(theme.wording(value)), cell(unit or ""))
    return table


def trials(study: Study, shown: Sequence[Trial]) -> Table:
    """One row a trial: number, state, values, the first parameters."""
    goals = list(_units(study))
    knobs = study.space.names[:_COLUMNS]
    table = Table(**look())
    for head in ("trial", "state", *goals, *knobs):
        text = head == "state"
        justify: JustifyMethod = "left" if text else "right"
        table.add_column(cell(theme.shorten(head, 20)), justify=justify, min_width=8 if text else None)
    for trial in shown:
        settings = trial.settings
        cells: list[Any] = [trial.values.get(goal) for goal in goals] + [settings.get(knob) for knob in knobs]
        worded = ["–" if value is None else theme.wording(value) for value in cells]
        table.add_row(str(trial.number), str(trial.state), *map(cell, worded))
    return table


def look() -> dict[str, Any]:
    """How every table looks."""
    return {"box": box.SIMPLE_HEAD, "title_justify": "left", "title_style": "bold", "show_edge": False}


def cell(text: str, style: str = "") -> Text:
    """Text of a table that is neither markup nor steers the terminal."""
    return Text(plain(text), style=style)
