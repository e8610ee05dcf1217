"""A record in words and columns: what was found, what is wanted, and trials as a table. All of it plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import markup
from workbench.plots import theme
from workbench.plots.panels import Panel, fronts, panels, units, why_none_counts
from workbench.trial import History, loads

if TYPE_CHECKING:
    from workbench.problem import Objective, Preference


def headline(history: History) -> str:
    """What was found, in one or two sentences of plain text."""
    total = f"{theme.count(len(history), 'trial')}"
    chosen = panels(history, None)
    if not chosen:
        answers = sum(entry.kind not in ("pin", "go_back") for entry in history.feedback)
        return f"{total}, judged by people: {theme.count(answers, 'answer')} so far."
    if not len(history):
        return "No trials yet."
    if not history.counted.any():
        return f"{total}, none that counts yet. {why_none_counts(history)}"
    if len(chosen) == 1 and chosen[0].best is not None:
        best = chosen[0].best
        at = ", ".join(settings(history, best)) or "no parameters"
        number = history.rows[best].number
        return f"Best of {total}: {_reading(chosen[0], best)} at {at}; found at trial {number}."
    ahead = int(fronts(history).sum())
    ends = [
        f"Best {_reading(panel, panel.best)} at trial {history.rows[panel.best].number}."
        for panel in chosen
        if panel.best is not None
    ]
    return f"Front of {total}: {theme.count(ahead, 'trial')} that no other beats. {' '.join(ends)}"


def _reading(panel: Panel, row: int) -> str:
    value = theme.quantity(float(panel.values[row]), panel.goal.unit, float(panel.sd[row]))
    target = "" if panel.goal.target is None else f" (target {theme.wording(panel.goal.target)})"
    return f"{theme.shorten(panel.goal.name)} {value}{target}"


def settings(history: History, row: int, most: int = 12) -> list[str]:
    """Parameters of a trial in words, such as "x = 3 mm"; plain text."""
    params = list(history.settings(row).items())
    said = []
    for name, value in params[:most]:
        unit = history.space[name].unit if name in history.space.names else None
        said.append(f"{name} = {theme.wording(value)}" + (f" {unit}" if unit else ""))
    return said + ([f"and {len(params) - most} more"] if len(params) > most else [])


def wanted(goal: Objective | Preference) -> str:
    """What an objective asks for, in words; plain text."""
    described = goal.to_json()
    if described["kind"] == "preference":
        return "judged by people"
    if described["target"] is not None:
        within = f" ± {theme.wording(described['tolerance'])}" if described["tolerance"] else ""
        return f"close to {theme.wording(described['target'])}{within}"
    least = "" if described["threshold"] is None else f", {theme.wording(described['threshold'])} or better"
    return f"{described['direction']}{least}"


def trial_columns(history: History, rows: Sequence[int]) -> dict[str, list[Any]]:
    """Trials as columns: number, every measured value, every parameter; None where there is none."""
    told = [loads(history.rows[i].outcomes, {}) for i in rows]
    table: dict[str, list[Any]] = {"trial": [history.rows[i].number for i in rows]}
    for name, unit in units(history).items():
        table[markup.head(name, unit)] = [values.get(name) for values in told]
    params = [history.settings(i) for i in rows]
    for name in history.space.names:
        head = markup.head(name, history.space[name].unit)
        table[f"at {head}" if head in table else head] = [point.get(name) for point in params]
    return table


def best_rows(history: History, most: int) -> list[int]:
    """Rows of the best trials, or of the front, best in the first objective first; at most so many."""
    chosen = panels(history, None)
    if not chosen or chosen[0].best is None:
        return []
    rows = np.flatnonzero(fronts(history) if len(chosen) > 1 else chosen[0].counted)
    ranked: list[int] = rows[np.argsort(-chosen[0].utility[rows], kind="stable")][:most].tolist()
    return ranked
