"""Slices: an objective against one parameter, as measured and as the model believes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.belief import Predict, add_belief, held_note, held_point
from workbench.plots.panels import Panel, add_trials, listed, nothing_yet, panels, stack, thinned
from workbench.plots.ruler import Ruler, check_axis
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure


def slice(
    history: History,
    name: str,
    objective: str | None = None,
    predict: Predict | None = None,
    at: Mapping[str, Any] | None = None,
    *,
    most: int = theme.POINT_CAP,
) -> Figure:
    """Draw an objective against one parameter, and the model's belief along it.

    A conditional parameter is drawn from the trials in which it was active. The belief is the
    mean with two standard deviations on each side: a band, or error bars where the values of
    the parameter can be counted.

    Args:
        history: The record.
        name: A parameter that is a number or a choice.
        objective: Name of one measured objective; None draws one row for each.
        predict: The model's belief about that objective.
        at: Where the other parameters are held; None: at the best trial in which `name` was active.
        most: About how many trials to draw of a huge record.
    Raises:
        InvalidValueError: for an unknown name, a parameter without a single axis, `predict` for
            several objectives at once, a belief of the wrong shape, or `at` that is no point.
    """
    check_axis(history.space, name)
    chosen = panels(history, objective)
    if predict is not None and len(chosen) > 1:
        raise InvalidValueError(
            f"predict= speaks of one objective, and this study measures {len(chosen)}; "
            f"pass objective= as well, such as objective={chosen[0].goal.name!r}"
        )
    empty = nothing_yet(history, chosen, f"Along {name}")
    if empty is not None:
        return empty
    ruler = Ruler.of(history, name)
    if np.isnan(ruler.x).all():
        return theme.sentence(f"Along {name}", ruler.left_out())
    drawn, note = thinned(history, chosen, most)
    drawn &= ~np.isnan(ruler.x)
    notes = [ruler.left_out(), note]
    figure = stack(chosen)
    if predict is not None:
        held = held_point(history, {name}, chosen[0], at)
        notes.insert(0, held_note(held, [name]))
        if held is not None:
            add_belief(figure, 1, ruler, predict, held)
    for row, panel in enumerate(chosen, 1):
        _add_tried(figure, row, ruler.x[drawn])
        add_trials(figure, row, panel, ruler.x, drawn)
    figure.update_xaxes(**ruler.axis())
    title = theme.parameter_title(name, history.space[name].unit)
    figure.update_xaxes(title_text=title, row=len(chosen), col=1)
    return _say(figure, chosen, name, int(drawn.sum()), " ".join(filter(None, notes)))


def slice_table(history: History, name: str, objective: str | None = None) -> dict[str, list[Any]]:
    """The numbers behind the trials of `slice`: those in which the parameter was active.

    Values are in user units, None where there is none.
    """
    check_axis(history.space, name)
    ruler = Ruler.of(history, name)
    rows = np.flatnonzero(~np.isnan(ruler.x))
    table: dict[str, list[Any]] = {
        "trial": history.numbers[rows].tolist(),
        "state": [history.rows[i].state for i in rows.tolist()],
        f"parameter {name}": [ruler.settings[i] for i in rows.tolist()],
    }
    for panel in panels(history, objective):
        table[panel.goal.label] = listed(panel.values[rows])
    return table


def _say(figure: Figure, chosen: tuple[Panel, ...], name: str, seen: int, caption: str) -> Figure:
    title = f"{', '.join(theme.shorten(panel.goal.name) for panel in chosen)} along {name}"
    alt = f"Values of {title} in {theme.count(seen, 'trial')}. {caption}".strip()
    return theme.layout(figure, title, alt, caption)


def _add_tried(figure: Figure, row: int, x: NDArray[np.float64]) -> None:
    """Ticks along the foot where the parameter was tried."""
    import plotly.graph_objects as go

    places = np.unique(x)
    ticks = go.Scatter(
        x=places,
        y=np.full(places.size, 0.01),
        mode="markers",
        marker=theme.TRIED.marker(),
        name="tried here",
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_trace(ticks, row=row, col=1, secondary_y=True)
