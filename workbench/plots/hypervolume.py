"""The hypervolume trace: how much the front dominates after each trial.

Symbols: n trials, m measured objectives, r the reference point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto import hypervolume as dominated
from workbench.plots import theme
from workbench.plots.panels import tally, why_none_counts
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from workbench.problem import Objective

_TITLE = "Hypervolume"
_MOST = 6  # objectives; the exact volume of more takes minutes, and only it is drawn
_BLOCK = 256  # trials that are compared with the front at once


def hypervolume(history: History) -> Figure:
    """Draw the volume that the front dominates above the reference point, by trial number, as a step line.

    Only trials that count take part: feasible, inside the space, at the target fidelity and task. The whole
    trace stands on one reference point, `History.reference`; the caption says it.

    Args:
        history: The record.
    Returns:
        A plotly figure; its text for those who cannot see it is `layout.meta["alt"]`.
    Raises:
        InvalidValueError: for a study with fewer than two measured objectives.
    """
    import plotly.graph_objects as go

    goals = _goals(history)
    if len(goals) > _MOST:
        text = f"The volume of more than {theme.count(_MOST, 'objective')} is not drawn: this study has {len(goals)}."
        return theme.sentence(_TITLE, text)
    rows = _counted(history)
    if not rows.size:
        none = theme.say("No trial counts yet.") + " " if history.complete.any() else ""
        return theme.sentence(_TITLE, none + why_none_counts(history))
    steps, volumes = _trace(history, rows)
    numbers = history.numbers
    figure = go.Figure(
        go.Scatter(
            x=numbers[np.append(steps, len(numbers) - 1)], y=np.append(volumes, volumes[-1]), mode="lines+markers",
            line={"shape": "hv", "color": theme.BEST_LINE.color, "width": theme.BEST_LINE.width},
            marker=theme.FRONT.marker() | {"size": 5}, name="hypervolume",
            hovertemplate=theme.say("trial") + " %{x}: %{y:.4g}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(**theme.axis(theme.say("trial")), tickformat=",d")
    figure.update_yaxes(**theme.axis("dominated volume (higher is better)"), rangemode="tozero", tickformat=",~g")
    found = f"{float(f'{volumes[-1]:.4g}'):,g} dominated, last grown by {theme.say('trial')} {numbers[steps[-1]]}"
    if not volumes[-1] > 0:
        found = theme.say("nothing dominated yet, since no trial is beyond the reference point everywhere")
    caption = f"Reference point: {_said(history)}. {tally(history)}"
    named = ", ".join(goal.name for goal in goals)
    alt = f"Hypervolume of the front of {named} by {theme.say('trial')} number: {found}. {caption}"
    return theme.layout(figure, f"Hypervolume: {found}", alt, caption).update_layout(
        height=400, showlegend=False, margin_b=56
    )


def hypervolume_table(history: History) -> dict[str, list[Any]]:
    """The numbers behind `hypervolume`: each trial that made the front grow, and the volume after it."""
    rows = _counted(history)
    if not rows.size or len(_goals(history)) > _MOST:
        return {"trial": [], "hypervolume": []}
    steps, volumes = _trace(history, rows)
    return {"trial": history.numbers[steps].tolist(), "hypervolume": volumes.tolist()}


def _goals(history: History) -> tuple[Objective, ...]:
    if len(history.measured) < 2:
        names = [goal.name for goal in history.measured]
        raise InvalidValueError(f"a hypervolume needs two measured objectives or more, got {names}; draw the history")
    return history.measured


def _counted(history: History) -> NDArray[np.int64]:
    """Rows that take part, by number."""
    return np.flatnonzero(history.counted & np.isfinite(history.Y).all(axis=1))


def _said(history: History) -> str:
    """The reference point in words; what it is in an objective with a target is a distance from it."""
    said = []
    for goal, level in zip(history.measured, history.reference.tolist(), strict=True):
        stated = goal.reference is not None or goal.threshold is not None
        value = theme.quantity(abs(level) if goal.target is not None else goal.sign * level, goal.unit)
        off = " off the target" if goal.target is not None else ""
        said.append(f"{goal.name} {value}{off}{'' if stated else ' (a tenth beyond the front)'}")
    return ", ".join(said)


def _trace(history: History, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows that made the front grow, and the volume after each; both of shape (k,), k >= 1."""
    U = history.utility(history.Y[rows])  # (n, m)
    point = history.reference  # (m,)
    front = np.empty((0, U.shape[1]))
    steps, volumes = [], []
    for first in range(0, len(rows), _BLOCK):
        block = slice(first, first + _BLOCK)
        fresh = ~np.any(np.all(front >= U[block, None], axis=2), axis=1)  # (block,): not beaten by earlier blocks
        for row, u in zip(rows[block][fresh].tolist(), U[block][fresh], strict=True):
            if np.any(np.all(front >= u, axis=1)):
                continue  # beaten or equalled within its block: nothing new is dominated
            front = np.vstack([front[~np.all(front <= u, axis=1)], u])
            steps.append(row)
            volumes.append(dominated(front, point))
    return np.array(steps, dtype=np.int64), np.array(volumes)
