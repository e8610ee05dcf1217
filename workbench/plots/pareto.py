"""Trade-offs: the trials by two objectives, by three in space, or by more as a matrix of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto import non_dominated
from workbench.plots import theme
from workbench.plots.panels import (
    Kind,
    Panel,
    add_goal_lines,
    fronts,
    hover,
    kinds,
    listed,
    no_range,
    nothing_yet,
    panels,
    tally,
    thinned,
    trial_trace,
)
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Corners = tuple[NDArray[np.float64], NDArray[np.float64]]

_TITLE = "Trade-offs"
_ARROWS = "Arrow: which way is better."
_MATRIX = 8  # objectives of a matrix; more are unreadable
_ELLIPSES = 50  # outlines of predictions; more hide the trials
_BEHIND = {"layer": "below", "exclude_empty_subplots": False}
_TICK = 9  # px, length of the marks of ideal and nadir


def pareto(
    history: History,
    objectives: Sequence[str] | None = None,
    *,
    most: int = theme.POINT_CAP,
    normalise: bool = False,
) -> Figure:
    """Draw what trials give up in one objective to gain in another.

    The front holds the trials that count and that no other one beats in all measured objectives.
    Two objectives: their attainment as a staircase, since nothing between two trials has been
    reached; with both reference points stated, the dominated area is shaded. Three: in space.
    More: every pair, up to 8 objectives.

    Args:
        history: The record.
        objectives: Names of two or more measured objectives; None for all.
        most: About how many trials to draw of a huge record; the whole front is among them.
        normalise: From 0, the worst of each objective on the front, to 1, the best, instead of in its units.
    Raises:
        InvalidValueError: for an unknown or repeated name, or fewer than two.
    """
    chosen = _chosen(history, objectives, normalise)
    if len(chosen) < 2:
        return theme.sentence(_TITLE, _too_few(history))
    empty = no_range(history, normalise, _TITLE) or nothing_yet(history, chosen, _TITLE)
    if empty is not None:
        return empty
    placed = _placed(chosen)
    if not placed.any():
        named = ", ".join(panel.goal.name for panel in chosen)
        return theme.sentence(_TITLE, f"{theme.say('No trial has a value in all of these objectives yet')}: {named}.")
    drawn, note = thinned(history, chosen, most, placed)
    draw = {2: _plane, 3: _cube}.get(len(chosen), _matrix)
    figure, notes = draw(history, chosen, drawn)
    scaled = "From 0, the worst on the front, to 1, the best." if normalise else ""
    return _say(figure, history, chosen, [scaled, *notes, _missing(history, placed), note])


def pareto_table(history: History, objectives: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """The numbers behind `pareto`: trial, state, whether it is on the front, each objective's value.

    Values are in user units, None where there is none; predictions are left out.
    """
    table: dict[str, list[Any]] = {
        "trial": history.numbers.tolist(),
        "state": [row.state for row in history.rows],
        "on the front": fronts(history).tolist(),
    }
    return table | {panel.goal.label: listed(panel.values) for panel in _chosen(history, objectives)}


def attained(a: Panel, b: Panel) -> Corners:
    """The staircase that bounds what counted trials attain in two objectives without a target, or normalised.

    Returns:
        Corners from the best of `b` to the best of `a`, as they stand on the axes, two arrays of shape (2k - 1,)
        for k different front points of these two objectives; between two of them the line turns at
        the values that both reach.
    """
    rows = np.flatnonzero(a.counted & b.counted)
    steps = staircase(np.stack([a.utility[rows], b.utility[rows]], axis=1))
    return a.from_utility(steps[:, 0]), b.from_utility(steps[:, 1])


def staircase(U: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners, shape (2k - 1, 2), of what points (n, 2) attain in two utilities, first column ascending."""
    U = np.unique(U, axis=0)  # (k, 2)
    U = U[non_dominated(U)] if len(U) else U
    steps = np.repeat(U, 2, axis=0)[:-1]
    steps[1::2, 1] = U[1:, 1]
    return steps


# -- which objectives and trials ----------------------------------------------------------


def _chosen(history: History, objectives: Sequence[str] | None, normalise: bool = False) -> tuple[Panel, ...]:
    if objectives is None:
        return panels(history, None, normalised=normalise)
    names = [objectives] if isinstance(objectives, str) else list(objectives)
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidValueError(
            f"expected two or more different objectives, got {objectives!r}; "
            "pass a list of their names, or None for all of them"
        )
    return tuple(panels(history, name, normalised=normalise)[0] for name in names)


def _too_few(history: History) -> str:
    measured = history.measured
    if not measured:
        return theme.say("This study is judged by people only. It has no measured objective to draw.")
    needs = theme.say("A trade-off needs two objectives")
    return f"{needs}; this study measures {measured[0].name} alone. Draw its history instead."


def _placed(chosen: tuple[Panel, ...]) -> NDArray[np.bool_]:
    """Trials with a place in all these objectives that are of a kind that is drawn, shape (n,)."""
    history = chosen[0].history
    mask = np.any([kind.mask for kind in kinds(history)], axis=0)
    for panel in chosen:
        mask &= ~np.isnan(panel.place)
    return np.asarray(mask)


def _kinds(history: History, drawn: NDArray[np.bool_]) -> list[tuple[Kind, NDArray[np.int64]]]:
    """Each kind of trial with the rows of those that are drawn."""
    found = [(kind, np.flatnonzero(kind.mask & drawn)) for kind in kinds(history, "running, as predicted")]
    return [(kind, rows) for kind, rows in found if rows.size]


def _missing(history: History, placed: NDArray[np.bool_]) -> str:
    bare = int((history.finished & ~placed).sum())
    return f"{theme.count(bare, 'finished trial')} without all of these values left out." if bare else ""


# -- two objectives -----------------------------------------------------------------------


def _plane(history: History, chosen: tuple[Panel, ...], drawn: NDArray[np.bool_]) -> tuple[Figure, list[str]]:
    import plotly.graph_objects as go

    a, b = chosen
    figure = go.Figure()
    figure.update_layout(height=520)
    figure.update_xaxes(**theme.axis(theme.goal_title(a.shown)))
    figure.update_yaxes(**theme.axis(theme.goal_title(b.shown)))
    add_goal_lines(figure, a.shown, upright=True, place=_BEHIND)
    add_goal_lines(figure, b.shown, upright=False, place=_BEHIND)
    notes = [_add_staircase(figure, a, b, drawn)]
    few = int(drawn.sum()) <= theme.SVG_LIMIT
    for kind, rows in _kinds(history, drawn):
        trace = trial_trace(history, kind.word, kind.mark, rows, (a.place[rows], b.place[rows]), few=few)
        if kind.mark is theme.FRONT and few:
            trace.update(error_x=_bar(a, rows, kind.mark), error_y=_bar(b, rows, kind.mark))
        figure.add_trace(trace)
    notes.append(_add_ellipses(figure, a, b, drawn))
    if len(history.measured) > 2:
        notes.append(f"Filled: on the front of all {theme.count(len(history.measured), 'objective')}.")
    return figure, notes


def _bar(panel: Panel, rows: NDArray[np.int64], mark: theme.Mark) -> dict[str, Any]:
    known = np.nan_to_num(panel.sd[rows] / panel.stretch)
    return {
        "type": "data",
        "array": known,
        "color": mark.color,
        "thickness": 1,
        "width": 0,
        "visible": bool(known.any()),
    }


def _add_staircase(figure: Figure, a: Panel, b: Panel, drawn: NDArray[np.bool_]) -> str:
    """Draw the attainment line, the dominated area, and ticks for ideal and nadir; say how to read them."""
    import plotly.graph_objects as go

    aims = [panel.goal.name for panel in (a, b) if panel.shown.target is not None]
    if aims:
        return f"No line of the front: around the target of {' and '.join(aims)}, better lies on two sides."
    x, y = attained(a, b)
    if not x.size:
        return theme.say("No trial counts yet, so there is no front.")
    _add_reference(figure, a, b, (x, y))
    worst = [_worst(panel, drawn) for panel in (a, b)]
    line = go.Scatter(
        x=[worst[0], *x, x[-1]], y=[y[0], *y, worst[1]], mode="lines", name="attained so far",
        line={"color": theme.BEST_LINE.color, "width": theme.BEST_LINE.width}, hoverinfo="skip",
    )  # fmt: skip
    figure.add_trace(line)
    edge: dict[str, Any] = {"type": "line", "line": {"color": theme.BEST_LINE.color, "width": 3}}
    for place in (x[-1], x[0]):  # ideal, nadir
        across = {"yref": "paper", "ysizemode": "pixel", "yanchor": 0, "y0": 0, "y1": _TICK}
        figure.add_shape(**edge, xref="x", x0=place, x1=place, **across)
    for place in (y[0], y[-1]):
        along = {"xref": "paper", "xsizemode": "pixel", "xanchor": 0, "x0": 0, "x1": _TICK}
        figure.add_shape(**edge, yref="y", y0=place, y1=place, **along)
    return theme.say("Line: what trials have attained in these two.") + " Blue ticks at the axes: its best and worst."


def _worst(panel: Panel, drawn: NDArray[np.bool_]) -> float:
    """The worst place on the figure, where the staircase ends."""
    sign, seen = panel.shown.sign, panel.place[drawn]
    stated = seen if panel.shown.reference is None else np.append(seen, panel.shown.reference)
    return float((stated * sign).min() * sign)


def _add_reference(figure: Figure, a: Panel, b: Panel, corners: Corners) -> None:
    """Mark the stated reference point, and shade what lies between it and the front."""
    import plotly.graph_objects as go

    r, s = a.shown.reference, b.shown.reference
    if r is None or s is None:
        return
    x, y = _cut(corners[0], r, a.shown.sign), _cut(corners[1], s, b.shown.sign)
    if np.any((x != r) & (y != s)):
        area = go.Scatter(
            x=[r, r, *x, x[-1], r], y=[s, y[0], *y, s, s], mode="lines", line={"width": 0}, fill="toself",
            fillcolor=theme.DOMINATED, name="dominated area", hoverinfo="skip",
        )  # fmt: skip
        figure.add_trace(area)
    cross = go.Scatter(
        x=[r], y=[s], mode="markers", marker=theme.REFERENCE.marker(), name="reference point",
        hoverinfo="text", hovertext=["reference point of the hypervolume"],
    )  # fmt: skip
    figure.add_trace(cross)


def _cut(values: NDArray[np.float64], reference: float, sign: float) -> NDArray[np.float64]:
    """Values no worse than the reference: nothing beyond it counts."""
    return np.maximum(values * sign, reference * sign) * sign


def _add_ellipses(figure: Figure, a: Panel, b: Panel, drawn: NDArray[np.bool_]) -> str:
    """Draw one standard deviation around every predicted trial; say so if there is one."""
    import plotly.graph_objects as go

    known = drawn & np.isfinite(a.predicted_sd) & np.isfinite(b.predicted_sd)
    rows = np.flatnonzero(known & a.history.pending)[:_ELLIPSES]
    if not rows.size:
        return ""
    angle = np.append(np.linspace(0, 2 * np.pi, 49), np.nan)  # the NaN parts one ellipse from the next
    x = a.place[rows, None] + a.predicted_sd[rows, None] / a.stretch * np.cos(angle)  # (k, 50)
    y = b.place[rows, None] + b.predicted_sd[rows, None] / b.stretch * np.sin(angle)
    outline = go.Scatter(
        x=x.ravel(), y=y.ravel(), mode="lines", line={"color": theme.RUNNING.color, "width": 1},
        name="± 1 sd of the prediction", showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    figure.add_trace(outline)
    return "Ellipse: ± 1 sd of the prediction."


# -- three and more -----------------------------------------------------------------------


def _cube(history: History, chosen: tuple[Panel, ...], drawn: NDArray[np.bool_]) -> tuple[Figure, list[str]]:
    import plotly.graph_objects as go

    figure = go.Figure()
    for kind, rows in _kinds(history, drawn):
        x, y, z = (panel.place[rows] for panel in chosen)
        trace = go.Scatter3d(
            x=x, y=y, z=z, mode="markers", marker=kind.mark.marker_3d(), name=theme.say(kind.word),
            customdata=history.numbers[rows], hovertext=[hover(history, i, True) for i in rows.tolist()],
            hoverinfo="text",
        )  # fmt: skip
        figure.add_trace(trace)
    axes = {
        f"{letter}axis": theme.axis_3d(theme.arrow_title(panel.shown))
        for letter, panel in zip("xyz", chosen, strict=True)
    }
    camera = {"eye": {"x": 1.5, "y": 1.5, "z": 0.8}, "center": {"x": 0, "y": 0, "z": -0.15}}
    figure.update_layout(height=680, scene={**axes, "camera": camera, "aspectmode": "cube"})
    return figure, [
        _ARROWS,
        theme.say("Turn it by dragging; two objectives alone have a flat view with the line of the front."),
    ]


def _matrix(history: History, chosen: tuple[Panel, ...], drawn: NDArray[np.bool_]) -> tuple[Figure, list[str]]:
    import plotly.graph_objects as go

    shown = chosen[:_MATRIX]
    figure = go.Figure()
    for kind, rows in _kinds(history, drawn):
        trace = go.Splom(
            dimensions=[{"label": theme.arrow_title(p.shown), "values": p.place[rows]} for p in shown],
            marker=kind.mark.marker(), name=theme.say(kind.word), customdata=history.numbers[rows],
            hovertext=[hover(history, i, False) for i in rows.tolist()], hoverinfo="text",
            showupperhalf=False, diagonal={"visible": False},
        )  # fmt: skip
        figure.add_trace(trace)
    figure.update_layout(height=150 + 150 * len(shown))
    look = theme.axis("") | {"title": {"font": {"size": 13, "color": theme.TEXT}}}  # plotly writes the labels there
    for i in range(1, len(shown) + 1):
        figure.update_layout({f"xaxis{i}": look, f"yaxis{i}": look})
    left = len(chosen) - len(shown)
    return figure, [_ARROWS, f"{theme.count(left, 'objective')} not drawn; name those to see." if left else ""]


def _say(figure: Figure, history: History, chosen: tuple[Panel, ...], notes: list[str]) -> Figure:
    ahead = int(fronts(history).sum())
    named = ", ".join(theme.shorten(panel.goal.name) for panel in chosen)
    finding = f"{theme.count(ahead, 'trial')} on the front of {named}" if ahead else f"{named}: no front yet"
    if len(chosen) < len(history.measured):
        whole = theme.count(len(history.measured), "objective")
        finding = f"{named}, with the front of all {whole}: {theme.count(ahead, 'trial')}"
    caption = " ".join(filter(None, [tally(history), *notes]))
    return theme.layout(figure, finding, f"{theme.say('Trials')} by {named}. {finding}. {caption}", caption)
