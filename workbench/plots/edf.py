"""The empirical distribution of values: which share of the trials that count came out at or below a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.panels import Panel, panels, why_empty
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Steps = tuple[NDArray[np.float64], NDArray[np.float64]]

_TITLE = "Distribution of values"
_STEPS = 2_000  # of a line; finer ones cannot be seen
_ROW_HEIGHT = 300


def edf(histories: Mapping[str, History] | History, objective: str | None = None) -> Figure:
    """Draw F(v), the share of trials with a value <= v, a line for each study.

    Only trials that count are in it: complete, finite, inside every limit and the space, at the
    target fidelity and task. Where lower is better, a line further to the left is better.

    Args:
        histories: One record, or several by the name of their study.
        objective: Name of one measured objective; None draws a row for each that all studies share.
    Raises:
        InvalidValueError: for an unknown objective, one that the studies want differently, or no study.
    """
    named = _named(histories)
    shared = _shared(named, objective)
    first = next(iter(named.values()))
    if not shared:
        return theme.sentence(_TITLE, why_empty(first) if len(named) == 1 else "These studies measure nothing alike.")
    curves = {goal: {name: _steps(panels(one, goal)[0]) for name, one in named.items()} for goal in shared}
    if not any(steps[0].size for lines in curves.values() for steps in lines.values()):
        why = why_empty(first) if len(named) == 1 and not first.complete.any() else theme.say("No trial counts yet.")
        return theme.sentence(_TITLE, why)
    figure = _rows([panels(first, goal)[0] for goal in shared])
    for row, lines in enumerate(curves.values(), 1):
        for i, (name, steps) in enumerate(lines.items()):
            if steps[0].size:
                _add_line(figure, row, i, name, _extended(steps, list(lines.values())))
    figure.update_layout(showlegend=len(named) > 1)
    return _say(figure, named, shared)


def edf_table(histories: Mapping[str, History] | History, objective: str | None = None) -> dict[str, list[Any]]:
    """The numbers behind `edf`: study, objective, value in user units, and the share at or below it."""
    named = _named(histories)
    table: dict[str, list[Any]] = {"study": [], "objective": [], "value": [], "share": []}
    for goal in _shared(named, objective):
        for name, one in named.items():
            values, shares = _steps(panels(one, goal)[0])
            for column, cells in (("value", values.tolist()), ("share", shares.tolist())):
                table[column] += cells
            table["study"] += [name] * values.size
            table["objective"] += [goal] * values.size
    return table


def _named(histories: Mapping[str, History] | History) -> dict[str, History]:
    """The records by name; a single one has no name."""
    named = dict(histories) if isinstance(histories, Mapping) else {"": histories}
    if not named:
        raise InvalidValueError("expected at least one study to draw, got an empty mapping; pass {name: history}")
    return named


def _shared(named: Mapping[str, History], objective: str | None) -> list[str]:
    """Names of the objectives to draw: those that every study measures, wanted alike."""
    measured = [{panel.goal.name: panel.goal for panel in panels(one, objective)} for one in named.values()]
    shared = [name for name in measured[0] if all(name in goals for goals in measured)]
    for name in shared:
        labels = {goals[name].label for goals in measured}
        if len(labels) > 1:
            raise InvalidValueError(
                f"expected studies that want {name!r} alike, got {' and '.join(sorted(labels))}; "
                "compare only studies of the same goal"
            )
    return shared


def _steps(panel: Panel) -> Steps:
    """Different values in ascending order and the share of counted trials at or below each, shapes (k,)."""
    values, counts = np.unique(panel.values[panel.counted], return_counts=True)
    shares = np.cumsum(counts) / max(1, counts.sum())
    if values.size > _STEPS:
        rows = np.linspace(0, values.size - 1, _STEPS).astype(np.int64)
        values, shares = values[rows], shares[rows]
    return values, shares


def _rows(chosen: list[Panel]) -> Figure:
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=len(chosen), cols=1, vertical_spacing=0.3 / len(chosen) ** 1.5)
    for row, panel in enumerate(chosen, 1):
        figure.update_xaxes(**theme.axis(theme.goal_title(panel.goal)), row=row, col=1)
    look = theme.axis(theme.say("share of trials")) | {"tickformat": ".0%", "range": [0, 1.02], "dtick": 0.25}
    figure.update_yaxes(**look)
    return figure.update_layout(height=150 + _ROW_HEIGHT * len(chosen))


def _extended(steps: Steps, others: list[Steps]) -> Steps:
    """Steps from a share of 0 below the lowest value of all lines to a share of 1 above the highest."""
    low = min(values[0] for values, _ in others if values.size)
    high = max(values[-1] for values, _ in others if values.size)
    margin = 0.03 * (high - low) or 0.5  # a jump at the very edge could not be seen
    return np.array([low - margin, *steps[0], high + margin]), np.array([0.0, *steps[1], 1.0])


def _add_line(figure: Figure, row: int, place: int, name: str, steps: Steps) -> None:
    import plotly.graph_objects as go

    values, shares = steps
    word = theme.literal(theme.shorten(name))
    color = theme.SERIES[place % len(theme.SERIES)]
    line = go.Scatter(
        x=values, y=shares, mode="lines", name=word, legendgroup=f"{place}",
        line={"shape": "hv", "color": color, "width": 2, "dash": theme.DASHES[place % len(theme.DASHES)]},
        showlegend=word not in {trace.name for trace in figure.data if trace.legendgroup == f"{place}"},
        hovertext=[f"{word} {share:.1%} at or below {theme.wording(value)}".strip() for value, share in zip(
            values.tolist(), shares.tolist(), strict=True)],
        hoverinfo="text",
    )  # fmt: skip
    figure.add_trace(line, row=row, col=1)


def _say(figure: Figure, named: Mapping[str, History], shared: list[str]) -> Figure:
    goals = ", ".join(theme.shorten(name) for name in shared)
    compared = f" in {len(named)} studies" if len(named) > 1 else ""
    counted = {name: int(one.counted.sum()) for name, one in named.items()}
    sizes = "; ".join(f"{theme.shorten(name)} {n:,}" if name else f"{n:,}" for name, n in counted.items())
    left = [panel.goal for panel in panels(next(iter(named.values())), None) if panel.goal.name in shared]
    sides = {"to the left" if goal.direction == "minimize" else "to the right" for goal in left if goal.direction}
    better = f" A line further {sides.pop()} is better." if len(sides) == 1 and len(left) == 1 else ""
    caption = f"{theme.say('Share of the trials that count at or below each value. Trials')}: {sizes}.{better}"
    title = f"Distribution of {goals}{compared}"
    return theme.layout(figure, title, f"{title}. {caption}", caption)
