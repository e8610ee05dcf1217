"""Trade-offs by pairs of objectives, linked: how sure each trial is to be on the front, limits, and the model's front.

Symbols: n trials, m objectives, k points of a front; user units, utilities U where larger is better.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.panels import (
    Panel,
    fronts,
    kinds,
    listed,
    no_range,
    nothing_yet,
    panels,
    tally,
    thinned,
    trial_trace,
)
from workbench.plots.pareto import pareto_table, staircase
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Array = NDArray[np.float64]

_TITLE = "Trade-offs"
_PALEST = 0.25  # opacity of a front trial that is surely not on the true front
_ROOM = 0.06  # of the range of values, beside them
_SURE = 0.8
_WIDE, _TALL = 400, 300  # px
_CORNERS, _FINE = 100, 300  # of the model's front, up to which it is drawn exactly; then in steps of one part of a view
_LABELLED = 300  # trials of a kind up to which each has a label of its own
PARTS = ("beaten", "over a limit", "next", "front the model expects", "reference point")
"""What can be left out of `tradeoffs`."""


class BelievedFront(Protocol):
    """A belief about the front, as `analysis.ModelFront` has it."""

    @property
    def objectives(self) -> tuple[str, ...]: ...
    @property
    def trials(self) -> NDArray[np.int64]: ...
    @property
    def probability(self) -> Array: ...
    @property
    def bands(self) -> Mapping[float, Array]: ...


class View(NamedTuple):
    """One pair of objectives and where it is drawn; the range of each axis, upwards."""

    x: Panel
    y: Panel
    row: int
    col: int
    ranges: tuple[tuple[float, float], tuple[float, float]]

    @property
    def place(self) -> dict[str, int]:
        """As plotly names it."""
        return {"row": self.row, "col": self.col}


def tradeoffs(
    history: History,
    objectives: Sequence[str] | None = None,
    *,
    front: BelievedFront | None = None,
    limits: Mapping[str, float] | None = None,
    marked: Mapping[int, str] | None = None,
    noise: Mapping[str, float] | None = None,
    across: bool = True,
    most: int = theme.POINT_CAP,
    without: Collection[str] = (),
    normalise: bool = False,
) -> Figure:
    """Draw two objectives against each other, or three as three pairs, with what is certain about the front.

    A trial on the front is the paler the less likely it is to be there once noise is taken out, and has its standard
    deviation on each side. Where two levels of the model's front are known, their band shows where the true front may
    run. What limits leave out is shaded.

    Args:
        history: The record.
        objectives: Names of two or three measured objectives; None: the first three.
        front: What the model believes of the front.
        limits: Values to reach by objective, user units.
        marked: Numbers of trials to ring, each with the letter beside it.
        noise: Standard deviation of a measurement by objective, for trials that were told without one.
        across: Side by side, or one above another.
        most: About how many trials to draw of a huge record; the front is always drawn.
        without: What to leave out, of `PARTS`.
        normalise: From 0, the worst of each objective on the front, to 1, the best, instead of in its units.
    Raises:
        InvalidValueError: for an unknown or repeated name, or another number of objectives.
    """
    if unknown := set(without) - set(PARTS):
        raise InvalidValueError(f"expected parts to leave out of {', '.join(PARTS)}, got {sorted(unknown)}")
    chosen = _chosen(history, objectives, normalise)
    if len(chosen) < 2:
        return theme.sentence(_TITLE, theme.say("A trade-off needs two measured objectives."))
    empty = no_range(history, normalise, _TITLE) or nothing_yet(history, chosen, _TITLE)
    if empty is not None:
        return empty
    placed = np.any([~np.isnan(a.place) & ~np.isnan(b.place) for a, b in combinations(chosen, 2)], axis=0)
    if not placed.any():
        return theme.sentence(_TITLE, theme.say("No trial has a value of two of these objectives yet."))
    figure, views = _views(history, chosen, limits or {}, across=across)
    drawn, note = thinned(history, chosen, most, placed)
    probability = probabilities(history, front)
    for view in views:
        _add_limits(figure, view, limits or {})
        if "front the model expects" not in without:
            _add_band(figure, view, front)
        few = int(drawn.sum()) * len(views) <= theme.SVG_LIMIT
        _add_trials(figure, view, drawn, few, probability, noise or {}, without)
        if "reference point" not in without:
            _add_reference(figure, view)
        _add_marked(figure, view, marked or {})
    seen = set[str]()
    for trace in figure.data:  # one entry of the legend for all pairs
        trace.showlegend = bool(trace.showlegend is not False and trace.legendgroup not in seen)
        seen |= {trace.legendgroup} if trace.showlegend else set()
    return _say(figure, history, chosen, probability, front, note)


def tradeoffs_table(history: History, *, front: BelievedFront | None = None) -> dict[str, list[Any]]:
    """The numbers behind `tradeoffs`: trial, state, on the front as measured, how likely truly, each objective."""
    table = pareto_table(history)
    if front is None:
        return table
    truly = {"probability of the front": listed(probabilities(history, front))}
    return {**{name: table.pop(name) for name in ("trial", "state", "on the front")}, **truly, **table}


def probabilities(history: History, front: BelievedFront | None) -> Array:
    """How likely each trial is on the true front, shape (n,): 0 for those that are beaten, NaN where nobody says."""
    found = np.full(len(history), np.nan)
    if front is not None and front.trials.size:
        found[history.complete & (history.numbers <= front.trials.max())] = 0.0
        at = np.searchsorted(history.numbers, front.trials)
        here = at < len(history)
        here[here] = history.numbers[at[here]] == front.trials[here]
        found[at[here]] = front.probability[here]
    return found


# -- the pairs ----------------------------------------------------------------------------


def _chosen(history: History, objectives: Sequence[str] | None, normalise: bool) -> tuple[Panel, ...]:
    if objectives is None:
        return panels(history, None, normalised=normalise)[:3]
    if isinstance(objectives, str) or not 2 <= len(objectives) <= 3 or len(set(objectives)) < len(objectives):
        raise InvalidValueError(f"expected the names of two or three different objectives, got {objectives!r}")
    return tuple(panels(history, name, normalised=normalise)[0] for name in objectives)


def _views(
    history: History, chosen: tuple[Panel, ...], limits: Mapping[str, float], *, across: bool
) -> tuple[Figure, list[View]]:
    from plotly.subplots import make_subplots

    pairs = list(combinations(chosen, 2))
    shape = (1, len(pairs)) if across else (len(pairs), 1)
    gaps = {"horizontal_spacing": 0.08} if across else {"vertical_spacing": 0.1}
    figure = make_subplots(*shape, **gaps if len(pairs) > 1 else {})
    views = []
    for i, (a, b) in enumerate(pairs):
        row, col = (1, i + 1) if across else (i + 1, 1)
        view = View(a, b, row, col, (_range(a, limits), _range(b, limits)))
        figure.update_xaxes(**theme.axis(theme.arrow_title(a.shown)), range=view.ranges[0], **view.place)
        figure.update_yaxes(**theme.axis(theme.arrow_title(b.shown)), range=view.ranges[1], **view.place)
        views.append(view)
    figure.update_layout(height=_WIDE if across else 60 + _TALL * len(pairs))
    return figure, views


def _range(panel: Panel, limits: Mapping[str, float]) -> tuple[float, float]:
    seen = panel.place[np.isfinite(panel.place)]
    if panel.goal.name in limits:
        seen = np.append(seen, panel.on_axis(np.array(limits[panel.goal.name])))
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    room = _ROOM * (high - low) or abs(high) or 1.0
    return low - room, high + room


# -- what is drawn ------------------------------------------------------------------------


def _add_limits(figure: Figure, view: View, limits: Mapping[str, float]) -> None:
    """Shade what the limits leave out, and draw their edges."""
    below: dict[str, Any] = {"layer": "below", "exclude_empty_subplots": False, **view.place}
    line = {"color": theme.BEST_LINE.color, "width": 1.5}
    for panel, ends, shade, stroke in (
        (view.x, view.ranges[0], figure.add_vrect, figure.add_vline),
        (view.y, view.ranges[1], figure.add_hrect, figure.add_hline),
    ):
        goal = panel.shown
        if goal.name not in limits:
            continue
        value = float(panel.on_axis(np.array(limits[goal.name])))
        edges = [value] if goal.target is None else [value, 2 * goal.target - value]
        if goal.target is not None:
            out = [(ends[0], min(edges)), (max(edges), ends[1])]
        else:
            out = [(ends[0], value) if goal.sign > 0 else (value, ends[1])]
        for low, high in out:
            if high > low:
                shade(low, high, line_width=0, fillcolor=theme.SHADE, **below)
        for edge in edges:
            stroke(edge, line=line, **below)


def _add_band(figure: Figure, view: View, front: BelievedFront | None) -> None:
    """Where the model's front runs: the line that half of its draws attain, between the outermost levels."""
    import plotly.graph_objects as go

    if front is None or len(front.bands) < 3:
        return
    columns = [front.objectives.index(panel.goal.name) for panel in (view.x, view.y)]
    signs = np.array([view.x.shown.sign, view.y.shown.sign])
    worst = [ends[0] if sign > 0 else ends[1] for ends, sign in zip(view.ranges, signs, strict=True)]
    levels = sorted(front.bands)
    paths = []
    for level in (levels[0], levels[len(levels) // 2], levels[-1]):
        points = front.bands[level][:, columns]
        points = np.stack([view.x.on_axis(points[:, 0]), view.y.on_axis(points[:, 1])], axis=1)
        # Attained in two objectives is what is attained in all with the others as bad as can be: the same corners.
        if not len(points):
            return
        corners = _staircase(points * signs) * signs
        paths.append(np.vstack([[worst[0], corners[0, 1]], corners, [corners[-1, 0], worst[1]]]))
    outer, middle, inner = paths
    ring = np.vstack([outer, inner[::-1]])
    band = go.Scatter(
        x=ring[:, 0], y=ring[:, 1], mode="lines", line={"width": 0}, fill="toself", fillcolor=theme.MODEL.band,
        hoverinfo="skip", name="where it may run", legendgroup="band", showlegend=False,
    )  # fmt: skip
    line = go.Scatter(
        x=middle[:, 0], y=middle[:, 1], mode="lines", name="front the model expects", legendgroup="band",
        line={"color": theme.MODEL.color, "width": theme.MODEL.width}, hoverinfo="skip",
    )  # fmt: skip
    figure.add_trace(band, **view.place)
    figure.add_trace(line, **view.place)


def _staircase(U: Array) -> Array:
    """Corners of what points (n, 2) attain, as `pareto.staircase`; of more than can be seen, moved by half a pixel."""
    corners = staircase(U)
    if len(corners) <= _CORNERS:
        return corners
    low, span = corners.min(axis=0), np.maximum(np.ptp(corners, axis=0), 1e-300)
    return staircase(low + np.round((corners - low) / span * _FINE) / _FINE * span)


_WORDS = {"front": "on the front (paler: less certain)", "running, as predicted": "next, as expected"}
_WITH_BARS = "on the front (paler: less certain, bars: ± 1 sd)"
_PART_OF = {"running, as predicted": "next", "not counted": "over a limit"}


def _add_trials(
    figure: Figure,
    view: View,
    drawn: NDArray[np.bool_],
    few: bool,
    probability: Array,
    noise: Mapping[str, float],
    without: Collection[str],
) -> None:
    history = view.x.history
    placed = drawn & ~np.isnan(view.x.place) & ~np.isnan(view.y.place)
    for kind in kinds(history, "running, as predicted"):
        rows = np.flatnonzero(kind.mask & placed)
        if not rows.size or _PART_OF.get(kind.word, kind.word) in without:
            continue
        mark = theme.SUGGESTED if kind.mark is theme.RUNNING else kind.mark
        places = (view.x.place[rows], view.y.place[rows])
        labelled = rows.size <= _LABELLED
        bars = kind.mark is theme.FRONT and few and labelled  # of more they would cover the trials
        word = _WITH_BARS if bars else _WORDS.get(kind.word, kind.word)
        trace = trial_trace(history, word, mark, rows, places, few=few, labelled=labelled)
        if not labelled:  # one label for all: thousands of texts would have to be sent at every move of a limit
            trace.hovertemplate = _label(view)
        trace.ids = [str(number) for number in history.numbers[rows].tolist()]
        if kind.mark is theme.FRONT:
            sure = np.nan_to_num(probability[rows], nan=1.0)
            trace.marker.opacity = np.round(_PALEST + (1 - _PALEST) * sure, 2)
            if labelled:
                trace.hovertext = [
                    text + ("" if np.isnan(p) else f"<br>truly on the front: {_percent(p)}")
                    for text, p in zip(trace.hovertext, probability[rows].tolist(), strict=True)
                ]
            if bars:
                trace.update(error_x=_bar(view.x, rows, noise), error_y=_bar(view.y, rows, noise))
        figure.add_trace(trace, **view.place)


def _label(view: View) -> str:
    """A template that says a trial's number and its place."""
    parts = []
    for axis, panel in (("x", view.x), ("y", view.y)):
        unit = f" {panel.goal.unit}" if panel.goal.unit and not panel.normalised else ""
        name, unit = (theme.literal(text).replace("%", "&#37;") for text in (theme.shorten(panel.goal.name), unit))
        parts.append(f"{name}: %{{{axis}:.4~g}}{unit}")
    return "<br>".join([theme.say("Trial") + " %{customdata}", *parts]) + "<extra></extra>"


def _add_reference(figure: Figure, view: View) -> None:
    """Mark the reference point of the hypervolume, where it is inside the figure and is a point."""
    import plotly.graph_objects as go

    level = view.x.history.reference
    if view.x.shown.target is not None or view.y.shown.target is not None:
        return
    x, y = (float(panel.from_utility(level[panel.column])) for panel in (view.x, view.y))
    inside = all(low <= value <= high for value, (low, high) in zip((x, y), view.ranges, strict=True))
    if inside:  # a comparison with NaN is false
        cross = go.Scatter(
            x=[x], y=[y], mode="markers", marker=theme.REFERENCE.marker(), name="reference point",
            legendgroup="reference point", hoverinfo="text", hovertext=["reference point of the hypervolume"],
        )  # fmt: skip
        figure.add_trace(cross, **view.place)


def _percent(p: float) -> str:
    return "over 99 %" if p > 0.99 else "below 1 %" if p < 0.01 else f"{100 * p:.0f} %"


def _bar(panel: Panel, rows: NDArray[np.int64], noise: Mapping[str, float]) -> dict[str, Any]:
    sd = spread(panel, noise)[rows] / panel.stretch
    return {"type": "data", "array": np.nan_to_num(sd), "color": theme.FRONT.color, "thickness": 1, "width": 0}


def spread(panel: Panel, noise: Mapping[str, float]) -> Array:
    """Standard deviation of each trial's measurement: as told or stated, else as the model infers it; (n,)."""
    return np.where(np.isnan(panel.sd), noise.get(panel.goal.name, np.nan), panel.sd)


def _add_marked(figure: Figure, view: View, marked: Mapping[int, str]) -> None:
    import plotly.graph_objects as go

    history = view.x.history
    rows = np.flatnonzero(np.isin(history.numbers, list(marked)) & ~np.isnan(view.x.place) & ~np.isnan(view.y.place))
    if not rows.size:
        return
    letters = [theme.literal(marked[number]) for number in history.numbers[rows].tolist()]
    ring = go.Scatter(
        x=view.x.place[rows], y=view.y.place[rows], mode="markers+text", marker=theme.CHOSEN.marker(), text=letters,
        textposition="top right", textfont={"color": theme.TEXT, "size": 14, "weight": 600}, hoverinfo="skip",
        name="picked", legendgroup="picked",
    )  # fmt: skip
    figure.add_trace(ring, **view.place)


def _say(
    figure: Figure,
    history: History,
    chosen: tuple[Panel, ...],
    probability: Array,
    front: BelievedFront | None,
    note: str,
) -> Figure:
    on = fronts(history)
    ahead = int(on.sum())
    named = ", ".join(theme.shorten(panel.goal.name) for panel in chosen)
    finding = f"{theme.count(ahead, 'trial')} on the front" if ahead else "No front yet"
    if front is not None and ahead:
        finding += f", {int((probability[on] >= _SURE).sum())} of them with at least 80 % certainty"
    if len(chosen) < len(history.measured):
        finding += f" of all {theme.count(len(history.measured), 'objective')}"
    scaled = "From 0, the worst on the front, to 1, the best." if chosen[0].normalised else ""
    band = "Green: the front that the model expects, where 80 of 100 of its draws run."
    caption = " ".join(filter(None, [tally(history), scaled, band if front is not None and front.bands else "", note]))
    return theme.layout(figure, finding, f"{theme.say('Trials')} by {named}, in pairs. {finding}. {caption}", caption)
