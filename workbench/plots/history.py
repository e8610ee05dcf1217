"""The optimisation history: every trial's value by number, and the best so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.panels import (
    Panel,
    add_goal_lines,
    add_trials,
    finding,
    listed,
    nothing_yet,
    panels,
    stack,
    tally,
    thinned,
)
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure


def history(
    history: History, objective: str | None = None, *, log: bool = False, most: int = theme.POINT_CAP
) -> Figure:
    """Draw the values of all trials by trial number, with the best so far as a step line.

    Best so far counts only trials that keep every limit, lie inside the space and were made
    at the target fidelity and task; of an objective with a target, the closest is best.

    Args:
        history: The record.
        objective: Name of one measured objective; None draws one row for each.
        log: Logarithmic axis of values.
        most: About how many trials to draw of a huge record; every best so far is among them.
    Returns:
        A plotly figure; its text for those who cannot see it is `layout.meta["alt"]`.
    Raises:
        InvalidValueError: for an unknown objective, or a logarithmic axis with values <= 0.
    """
    chosen = panels(history, objective)
    empty = nothing_yet(history, chosen, "History")
    if empty is not None:
        return empty
    if log:
        _check_positive(chosen)
    drawn, note = thinned(history, chosen, most)
    figure = stack(chosen)
    started = _start(history)
    for row, panel in enumerate(chosen, 1):
        _shade(figure, row, started)
        _draw(figure, row, panel, drawn, log=log)
        if log:
            figure.update_yaxes(type="log", row=row, col=1, secondary_y=False)
    _style_numbers(figure, history, len(chosen))
    found = finding(chosen)
    caption = " ".join(filter(None, [tally(history), _start_note(started), note]))
    alt = f"Value of {', '.join(p.goal.name for p in chosen)} by {theme.say('trial')} number. {found}. {caption}"
    return theme.layout(figure, found, alt, caption)


def history_table(history: History, objective: str | None = None) -> dict[str, list[Any]]:
    """The numbers behind `history`: trial, state, and each objective's value and best so far.

    Values are in user units, None where there is none.
    """
    table: dict[str, list[Any]] = {
        "trial": history.numbers.tolist(),
        "state": [row.state for row in history.rows],
    }
    for panel in panels(history, objective):
        table[panel.goal.label] = listed(panel.values)
        table[f"best so far: {panel.goal.label}"] = listed(_best_so_far(panel))
    return table


def _draw(figure: Figure, row: int, panel: Panel, drawn: NDArray[np.bool_], *, log: bool) -> None:
    import plotly.graph_objects as go

    numbers = panel.history.numbers
    if panel.steps.size:
        best = _best_so_far(panel)
        rows = np.unique([*panel.steps, len(numbers) - 1])  # the corners of the steps, and on to the last trial
        figure.add_trace(
            go.Scatter(
                x=numbers[rows], y=best[rows], mode="lines", name="best so far", legendgroup="best so far",
                line={"shape": "hv", "color": theme.BEST_LINE.color, "width": theme.BEST_LINE.width},
                hoverinfo="skip", showlegend=row == 1,
            ),
            row=row, col=1, secondary_y=False,
        )  # fmt: skip
    add_goal_lines(figure, panel.goal, upright=False, place=_behind(row), log=log)
    add_trials(figure, row, panel, numbers.astype(np.float64), drawn)


def _shade(figure: Figure, row: int, started: list[tuple[int, int]]) -> None:
    place = _behind(row)
    for first, last in started:
        figure.add_vrect(first - 0.5, last + 0.5, fillcolor=theme.SHADE, line_width=0, **place)


def _behind(row: int) -> dict[str, Any]:
    """Where shapes behind the trials go; plotly would leave them out of a row without traces."""
    return {"row": row, "col": 1, "secondary_y": False, "layer": "below", "exclude_empty_subplots": False}


def _start(history: History) -> list[tuple[int, int]]:
    """Runs of trial numbers (first, last) of the initial design."""
    rows = [i for i, row in enumerate(history.rows) if row.meta and history.meta(i).get("start") is True]
    numbers = history.numbers[rows]
    if not numbers.size:
        return []
    return [(int(run[0]), int(run[-1])) for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)]


def _start_note(started: list[tuple[int, int]]) -> str:
    total = sum(last - first + 1 for first, last in started)
    return f"Shaded: {theme.count(total, 'trial')} of the start, spread over the space." if total else ""


def _best_so_far(panel: Panel) -> NDArray[np.float64]:
    """Value of the best counted trial up to each trial, shape (n,), NaN before the first."""
    if not panel.steps.size:
        return np.full(len(panel.history), np.nan)
    step = np.searchsorted(panel.steps, np.arange(len(panel.history)), side="right") - 1  # -1 before the first
    return np.where(step >= 0, panel.values[panel.steps[step]], np.nan)


def _style_numbers(figure: Figure, history: History, rows: int) -> None:
    """The axis of trial numbers: whole numbers, titled once, with room for the marks at both ends."""
    numbers = history.numbers
    pad = max(0.7, 0.015 * float(numbers[-1] - numbers[0]))
    look = theme.axis("") | {"range": [float(numbers[0]) - pad, float(numbers[-1]) + pad], "tickformat": ",d"}
    if numbers[-1] - numbers[0] < 10:
        look |= {"dtick": 1}
    figure.update_xaxes(**look)
    figure.update_xaxes(title_text=theme.say("trial"), row=rows, col=1)


def _check_positive(chosen: tuple[Panel, ...]) -> None:
    for panel in chosen:
        low = [group.y.min() for group in panel.groups()]
        if low and min(low) <= 0:
            raise InvalidValueError(
                f"a logarithmic axis needs values > 0, but {panel.goal.name!r} has {min(low):g}; draw it with log=False"
            )
