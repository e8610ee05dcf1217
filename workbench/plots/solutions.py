"""Trials of the front side by side in many objectives: a heat map of them, and petals of a few.

What is drawn are shares of the range from the worst to the best value on the front, so that better is always more,
whatever the directions and units.

Symbols: n trials, k of them drawn, m objectives; shares (k, m).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto import extent, spaced
from workbench.plots import theme
from workbench.plots.panels import listed, nothing_yet, panels, tally
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

_HEAT = "Heat map"
_PETALS = "Petals"
_WRITTEN = 30  # rows up to which the values stand in the cells
_ROW = 22  # px
FLOWERS, LEAVES = 4, 8
"""Most trials and objectives that petals are drawn of."""
_LONGEST = 14  # characters of a name at the rim


def heat_map(history: History, *, most: int = 60) -> Figure:
    """Draw the front as a heat map: a row for each trial, a column for each objective, the better the darker.

    Rows that are alike stand together: the order is that of a clustering by average distance.

    Args:
        history: The record.
        most: How many trials to draw; of a larger front those that cover it best.
    """
    import plotly.graph_objects as go

    chosen = panels(history, None)
    empty = nothing_yet(history, chosen, _HEAT)
    if empty is not None:
        return empty
    rows = _standing(history, most)
    if not rows.size:
        return theme.sentence(
            _HEAT, theme.say("No trial is on a front yet: none counts with a value of each objective.")
        )
    shares = _shares(history, rows)
    written = [[theme.quantity(float(panel.values[row]), None) for panel in chosen] for row in rows.tolist()]
    heads = [theme.literal(theme.shorten(panel.goal.name, 24)) for panel in chosen]
    names = [f"{theme.say('trial')} {number}" for number in history.numbers[rows].tolist()]
    figure = go.Figure(
        go.Heatmap(
            z=shares, x=list(range(len(heads))), y=list(range(len(rows))), zmin=0, zmax=1,
            colorscale=theme.scale(theme.FIELD[::-1]), xgap=1, ygap=1,
            text=written, texttemplate="%{text}" if len(rows) <= _WRITTEN else "",
            customdata=np.broadcast_to(history.numbers[rows][:, None], shares.shape).tolist(),
            hovertext=[[f"{name}, {head}: {cell}" for head, cell in zip(heads, line, strict=True)]
                       for name, line in zip(names, written, strict=True)], hoverinfo="text",
            colorbar={"tickvals": [0, 1], "ticktext": ["worst", "best"], "thickness": 14, "outlinewidth": 0},
        )
    )  # fmt: skip
    bare = {"showgrid": False, "zeroline": False, "ticks": ""}
    figure.update_xaxes(tickvals=list(range(len(heads))), ticktext=heads, side="top", **bare)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, autorange="reversed", **bare)
    ahead = int(history.front.sum())
    finding = f"{theme.count(ahead, 'trial')} on the front of {theme.count(len(chosen), 'objective')}"
    left = f"Drawn: {len(rows)} of them, which cover it best. " if ahead > len(rows) else ""
    order = theme.say("from the worst to the best on the front. Like trials together.")
    caption, named = f"Darker: better, {order} {left}{tally(history)}", ", ".join(panel.goal.name for panel in chosen)
    alt = f"{theme.say('Heat map, trials by objectives')}: {named}. {finding}. {caption}"
    theme.layout(figure, finding, alt, caption)
    height = figure.layout.margin.t + 70 + _ROW * max(len(rows), 6)
    return figure.update_layout(height=height, margin_t=figure.layout.margin.t + 36, margin_l=90, margin_b=24)


def heat_map_table(history: History, *, most: int = 60) -> dict[str, list[Any]]:
    """The numbers behind `heat_map`: trials in its order, and each objective in user units."""
    return _table(history, _standing(history, most))


def petals(history: History, trials: Sequence[int]) -> Figure:
    """Draw each of a few trials as a flower: a petal for each objective, the longer the better.

    Args:
        history: The record, with a front.
        trials: Numbers of one to four complete trials with every value.
    Raises:
        InvalidValueError: for more trials, none, or one without a value.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    chosen = panels(history, None)
    if not 2 < len(chosen) <= LEAVES:
        return theme.sentence(
            _PETALS, f"Petals are drawn of three to {theme.count(LEAVES, 'objective')}; here are {len(chosen)}."
        )
    rows = _named(history, trials)
    if not history.front.any():
        return theme.sentence(_PETALS, theme.say("No trial is on a front yet, so there is no range to draw in."))
    shares = _shares(history, rows)
    names = [theme.literal(theme.shorten(panel.goal.name, _LONGEST)) for panel in chosen]
    titles = [f"{theme.say('trial')} {number}" for number in history.numbers[rows].tolist()]
    figure = make_subplots(1, len(rows), specs=[[{"type": "polar"}] * len(rows)], subplot_titles=titles)
    angles = np.arange(len(chosen)) * 360.0 / len(chosen)
    for i, row in enumerate(rows.tolist()):
        told = [theme.literal(theme.quantity(float(panel.values[row]), panel.goal.unit)) for panel in chosen]
        leaf = go.Barpolar(
            r=shares[i], theta=angles, width=[300.0 / len(chosen)] * len(chosen), marker={"color": theme.FRONT.color},
            hovertext=[f"{name}: {value}" for name, value in zip(names, told, strict=True)], hoverinfo="text",
            showlegend=False,
        )  # fmt: skip
        figure.add_trace(leaf, row=1, col=i + 1)
    figure.update_polars(
        bgcolor=theme.CLEAR, barmode="overlay",
        radialaxis={"range": [0, 1], "tickvals": [0.5, 1], "ticktext": ["", ""], "gridcolor": theme.HAIRLINE},
        angularaxis={"tickvals": angles, "ticktext": names, "gridcolor": theme.HAIRLINE, "linecolor": theme.STRONG,
                     "tickfont": {"size": 12, "color": theme.MUTED}},
    )  # fmt: skip
    figure.update_layout(height=380)
    said = [
        f"{title} {', '.join(f'{share:.0%}' for share in line)}" for title, line in zip(titles, shares, strict=True)
    ]
    caption = "From the centre, the worst on the front, to the rim, the best. Compare lengths: areas say nothing."
    alt = f"Petals of {', '.join(panel.goal.name for panel in chosen)}: {'; '.join(said)}. {caption}"
    theme.layout(figure, f"{theme.count(len(rows), 'trial')} compared", alt, caption)
    return figure.update_layout(margin_t=figure.layout.margin.t + 40, margin_b=36)


def petals_table(history: History, trials: Sequence[int]) -> dict[str, list[Any]]:
    """The numbers behind `petals`: trials, and each objective in user units."""
    return _table(history, _named(history, trials))


def _table(history: History, rows: Rows) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {"trial": history.numbers[rows].tolist()}
    return table | {panel.goal.label: listed(panel.values[rows]) for panel in panels(history, None)}


def _named(history: History, trials: Sequence[int]) -> Rows:
    """Rows of the trials that a caller named."""
    told = history.complete & np.isfinite(history.Y).all(axis=1)
    known = dict(zip(history.numbers[told].tolist(), np.flatnonzero(told).tolist(), strict=True))
    if not 1 <= len(trials) <= FLOWERS or not set(trials) <= known.keys():
        raise InvalidValueError(
            f"expected the numbers of one to {FLOWERS} complete trials with every value, got {list(trials)}"
        )
    return np.array([known[number] for number in trials])


def _standing(history: History, most: int) -> Rows:
    """Rows of the front, at most so many, like ones together."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    rows = np.flatnonzero(history.front)
    if rows.size > most:
        rows = rows[spaced(history.utility(history.Y[rows]), most)]
    if rows.size < 3:
        return rows
    order: Rows = leaves_list(linkage(_shares(history, rows), "average", optimal_ordering=True))
    return rows[order]


def _shares(history: History, rows: Rows) -> Array:
    """How far each trial is from the worst to the best value on the front, shape (k, m); within 0 and 1."""
    nadir, ideal = extent(history.utility(history.Y[history.front]))
    span = np.where(ideal > nadir, ideal - nadir, 1.0)
    shares: Array = np.where(ideal > nadir, (history.utility(history.Y[rows]) - nadir) / span, 1.0)
    return np.clip(shares, 0.0, 1.0)
