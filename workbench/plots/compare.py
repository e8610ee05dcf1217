"""Studies side by side: the best so far by finished trials, alone or as the median of a group with its middle half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.panels import panels
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

_TITLE = "Best so far, side by side"


def compare(groups: Mapping[str, Sequence[History]], objective: str) -> Figure:
    """Draw the best value so far against the number of finished trials, a line for each group.

    A group of several studies is drawn as the median of its studies, with the band from the lower to the
    upper quartile; both begin where each of its studies has a trial that counts, and end where its shortest one ends.

    Args:
        groups: Records by the name of their group.
        objective: Name of a measured objective that all of them share.
    Raises:
        InvalidValueError: if a study does not measure it, or wants it otherwise.
    """
    import plotly.graph_objects as go

    lines = _lines(groups, objective)
    if not any(curves.size for curves in lines.values()):
        return theme.sentence(_TITLE, theme.say("No trial of these studies counts yet."))
    goal = _goal(groups, objective)
    figure = go.Figure()
    for i, (name, curves) in enumerate(lines.items()):
        color = theme.SERIES[i % len(theme.SERIES)]
        x = _steps(curves)
        low, middle, high = np.quantile(curves[:, x - 1], (0.25, 0.5, 0.75), axis=0)
        label = theme.literal(theme.shorten(name)) + (f" (n = {len(curves)})" if len(curves) > 1 else "")
        if len(curves) > 1:
            figure.add_trace(
                go.Scatter(
                    x=np.concatenate([x, x[::-1]]), y=np.concatenate([low, high[::-1]]), fill="toself",
                    line={"width": 0}, fillcolor=color, opacity=0.18, hoverinfo="skip", showlegend=False,
                )
            )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=x, y=middle, mode="lines", name=label,
                line={"shape": "hv", "color": color, "width": 2, "dash": theme.DASHES[i % len(theme.DASHES)]},
            )
        )  # fmt: skip
    figure.update_xaxes(**theme.axis(theme.say("finished trials")), tickformat=",d")
    figure.update_yaxes(**theme.axis(theme.goal_title(goal)))
    said = "Line: median, band: middle half of the studies." if any(len(c) > 1 for c in lines.values()) else ""
    alt = f"Best {goal.name} so far by {theme.say('finished trials')} for {', '.join(lines)}. {said}"
    return theme.layout(figure, _TITLE, alt, said).update_layout(height=460)


def compare_table(groups: Mapping[str, Sequence[History]], objective: str) -> dict[str, list[Any]]:
    """The numbers behind `compare`: group, finished trials, lower quartile, median, upper quartile."""
    table: dict[str, list[Any]] = {
        "group": [], "finished trials": [], "lower quartile": [], "median": [], "upper quartile": [],
    }  # fmt: skip
    for name, curves in _lines(groups, objective).items():
        for step in _steps(curves).tolist():
            low, middle, high = np.quantile(curves[:, step - 1], (0.25, 0.5, 0.75))
            cells = (name, step, float(low), float(middle), float(high))
            for key, cell in zip(table, cells, strict=True):
                table[key].append(cell)
    return table


def _steps(curves: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers of finished trials after which every study of a group has a value."""
    return np.flatnonzero(~np.isnan(curves).any(axis=0)) + 1


def _goal(groups: Mapping[str, Sequence[History]], objective: str) -> Any:
    histories = [history for members in groups.values() for history in members]
    if not histories:
        raise InvalidValueError("expected at least one study to compare, got none; pass some")
    goals = {panels(history, objective)[0].goal for history in histories}
    wanted = {(goal.direction, goal.target, goal.tolerance) for goal in goals}
    if len(wanted) > 1:
        raise InvalidValueError(
            f"{objective!r} is wanted differently in these studies ({', '.join(sorted(g.label for g in goals))}); "
            "compare studies with the same direction and target"
        )
    return panels(histories[0], objective)[0].goal


def _lines(groups: Mapping[str, Sequence[History]], objective: str) -> dict[str, NDArray[np.float64]]:
    """For each group the best so far of its studies, shape (studies, trials)."""
    _goal(groups, objective)
    lines = {}
    for name, members in groups.items():
        curves = [curve for curve in (_curve(history, objective) for history in members) if curve.size]
        length = min((len(curve) for curve in curves), default=0)
        lines[name] = np.array([curve[:length] for curve in curves]).reshape(len(curves), length)
    return {name: curves for name, curves in lines.items() if _steps(curves).size}


def _curve(history: History, objective: str) -> NDArray[np.float64]:
    """Best value after each finished trial, user units, NaN before the first that counts; nothing where none does."""
    panel = panels(history, objective)[0]
    if not panel.steps.size:
        return np.empty(0)
    rows = np.flatnonzero(history.finished)
    step = np.searchsorted(panel.steps, rows, side="right") - 1  # -1 before the first
    return np.where(step >= 0, panel.values[panel.steps[step]], np.nan)
