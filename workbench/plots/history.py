"""The optimisation history: every trial's value by number, and the best so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.panels import Panel, add_trials, nothing_yet, panels, stack, thinned
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
        _draw(figure, row, panel, drawn)
        if log:
            figure.update_yaxes(type="log", row=row, col=1, secondary_y=False)
    _style_numbers(figure, history, len(chosen))
    finding = _finding(chosen)
    caption = " ".join(filter(None, [_counts(history), _start_note(started), note]))
    alt = f"Value of {', '.join(p.goal.name for p in chosen)} by trial number. {finding}. {caption}"
    return theme.layout(figure, finding, alt, caption)


def history_table(history: History, objective: str | None = None) -> dict[str, list[Any]]:
    """The numbers behind `history`: trial, state, and each objective's value and best so far.

    Values are in user units, None where there is none.
    """
    table: dict[str, list[Any]] = {
        "trial": history.numbers.tolist(),
        "state": [row.state for row in history.rows],
    }
    for panel in panels(history, objective):
        table[panel.goal.label] = _listed(panel.values)
        table[f"best so far: {panel.goal.label}"] = _listed(_best_so_far(panel))
    return table


def _draw(figure: Figure, row: int, panel: Panel, drawn: NDArray[np.bool_]) -> None:
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
    _goal_lines(figure, row, panel)
    add_trials(figure, row, panel, numbers.astype(np.float64), drawn)


def _goal_lines(figure: Figure, row: int, panel: Panel) -> None:
    """The target with its tolerance, or the threshold, as a line behind the trials."""
    goal, line = panel.goal, {"color": theme.GOAL_LINE.color, "width": theme.GOAL_LINE.width, "dash": "dot"}
    place = _behind(row)
    if goal.target is not None:
        if goal.tolerance > 0:
            figure.add_hrect(
                goal.target - goal.tolerance, goal.target + goal.tolerance, line_width=0,
                fillcolor=theme.GOAL_LINE.band, **place,
            )  # fmt: skip
        figure.add_hline(goal.target, line=line, annotation_text="target", **place)
    if goal.threshold is not None:
        figure.add_hline(goal.threshold, line=line, annotation_text="threshold", **place)


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
    figure.update_xaxes(title_text="trial", row=rows, col=1)


def _finding(chosen: tuple[Panel, ...]) -> str:
    found = [_best_words(panel) for panel in chosen]
    return (
        f"Best so far: {'; '.join(found)}" if any(panel.best is not None for panel in chosen) else "No trial counts yet"
    )


def _best_words(panel: Panel) -> str:
    row, name = panel.best, theme.shorten(panel.goal.name)
    if row is None:
        return f"{name} none"
    value = theme.quantity(float(panel.values[row]), panel.goal.unit, float(panel.sd[row]))
    return f"{name} {value} at trial {panel.history.numbers[row]}"


def _counts(history: History) -> str:
    """How many trials there are and what became of them: "12 trials: 10 complete, 2 failed."."""
    states = [row.state for row in history.rows]
    parts = [f"{states.count(state):,} {state}" for state in dict.fromkeys(states)]
    over = int((history.complete & np.any(history.C > 0, axis=1)).sum())
    limit = f" {over:,} over a limit." if over else ""
    return f"{theme.count(len(states), 'trial')}: {', '.join(parts)}.{limit}"


def _check_positive(chosen: tuple[Panel, ...]) -> None:
    for panel in chosen:
        low = [group.y.min() for group in panel.groups()]
        if low and min(low) <= 0:
            raise InvalidValueError(
                f"a logarithmic axis needs values > 0, but {panel.goal.name!r} has {min(low):g}; draw it with log=False"
            )


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]
