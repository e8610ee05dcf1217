"""Parallel coordinates: a line for each trial through its parameters and objectives, better always up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import markup
from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.panels import Panel, finding, kept, kinds, listed, nothing_yet, panels, tally, thinned
from workbench.plots.ruler import Ruler, can_slice, settled
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from workbench.space import Space

_TITLE = "Parallel coordinates"
_AXES = 14  # parameters; more cannot be followed
_PARTS = 8  # axes of one parameter with several numbers, such as a mixture
_GREY, _WORST = 0.1, 0.15  # end of the grey, and the colour of the worst that counts: apart, as browsers round colours
_BELOW = 0.15  # of an axis, where lines of an inactive parameter pass
_ABSENT = "not active"


@dataclass(frozen=True)
class Scale:
    """One upright axis.

    Args:
        title: Escaped.
        values: Places, shape (n,), ascending upwards unless `down`; NaN where a trial has none.
        ticks: Places and words of ticks, not escaped, since plotly reads no markup there; None for its own.
        down: Whether smaller is up.
        inactive: Trials in which the parameter was not active, shape (n,).
    """

    title: str
    values: NDArray[np.float64]
    ticks: tuple[tuple[float, str], ...] | None = None
    down: bool = False
    inactive: NDArray[np.bool_] | None = None

    @property
    def gone(self) -> NDArray[np.bool_]:
        """Trials without a place on this axis, shape (n,)."""
        known = ~np.isnan(self.values)
        return ~(known if self.inactive is None else known | self.inactive)


def parallel(
    history: History,
    parameters: Sequence[str] | None = None,
    objective: str | None = None,
    *,
    most: int = 1_000,
) -> Figure:
    """Draw each trial as a line through its parameters and then its objectives.

    On every axis of an objective better is up, whatever its direction; one with a target shows how
    far trials are off it. Log parameters stand on a log axis, choices evenly spaced. The line of a
    trial in which a parameter was not active passes below its axis, at "not active". A mixture has
    an axis for each part; other parameters without a single axis are left out, and named.

    Args:
        history: The record.
        parameters: Names of the parameters to draw; None: the first 14 axes.
        objective: Name of one measured objective; None for all.
        most: How many lines to draw; the best or the front, and every best so far, are among them.
    Raises:
        InvalidValueError: for an unknown name, or one without an axis.
    """
    chosen = panels(history, objective)
    empty = nothing_yet(history, chosen, _TITLE)
    if empty is not None:
        return empty
    upright, left = _parameters(history, parameters)
    scales = [*upright, *(_objective(panel) for panel in chosen)]
    placed, notes = _placed(history, scales)
    if not placed.any():
        return theme.sentence(
            _TITLE, theme.say("No trial has a place on every axis: its value is missing, or it is not told yet.")
        )
    always = int((kept(history, chosen) & placed).sum())
    drawn, note = thinned(history, chosen, max(0, most - always), placed) if placed.sum() > most else (placed, "")
    figure = _lines(history, chosen, scales, drawn)
    return _say(figure, history, chosen, [*notes, *left, note])


def parallel_table(
    history: History, parameters: Sequence[str] | None = None, objective: str | None = None
) -> dict[str, list[Any]]:
    """The numbers behind `parallel`: trial, state, parameters and values of the trials with a place on every axis.

    Values are in user units, None where a parameter was not active.
    """
    chosen = panels(history, objective)
    scales, _ = _parameters(history, parameters)
    placed, _ = _placed(history, [*scales, *(_objective(panel) for panel in chosen)])
    rows = np.flatnonzero(placed)
    table: dict[str, list[Any]] = {
        "trial": history.numbers[rows].tolist(),
        "state": [history.rows[i].state for i in rows.tolist()],
    }
    for name in history.space.names if parameters is None else parameters:
        table[f"parameter {name}"] = [history.settings(i).get(name) for i in rows.tolist()]
    return table | {panel.goal.label: listed(panel.values[rows]) for panel in chosen}


# -- the axes -----------------------------------------------------------------------------


def _parameters(history: History, names: Sequence[str] | None) -> tuple[list[Scale], list[str]]:
    """The axes of the parameters, and sentences about those that have none."""
    space = history.space
    wanted = space.names if names is None else [names] if isinstance(names, str) else list(names)
    bare = [name for name in wanted if not _has_axis(space, name)]
    if names is not None and bare:
        raise InvalidValueError(
            f"expected parameters that are numbers, choices or small mixtures, got {bare[0]!r} of kind "
            f"{space[bare[0]].kind}; leave it out, or look at its values in the table of trials"
        )
    scales = [scale for name in wanted if name not in bare for scale in _scales(history, name)]
    shown = scales if names is not None else scales[:_AXES]
    notes = [f"Without an axis: {', '.join(map(theme.shorten, bare[:8]))}."] if bare else []
    notes += (
        [f"{len(scales) - len(shown)} more {theme.say('axes of parameters')} not drawn."]
        if len(shown) < len(scales)
        else []
    )
    return shown, notes


def _has_axis(space: Space, name: str) -> bool:
    return can_slice(space, name) or 1 <= len(space[name].variables) <= _PARTS


def _scales(history: History, name: str) -> list[Scale]:
    """The axis of a parameter, or the axes of its parts."""
    settings, parameter = settled(history, name), history.space[name]
    inactive = np.array([value is None for value in settings], dtype=bool)
    if can_slice(history.space, name):
        return [_single(Ruler.of(history, name), inactive)]
    parts = np.full((len(history), len(parameter.variables)), np.nan)
    for i, value in enumerate(settings):
        if isinstance(value, Mapping):
            parts[i] = parameter.measure(parameter.check(value))
    titles = [part if part.startswith(name) else f"{name} {part}" for part in parameter.variables]
    return [
        Scale(theme.parameter_title(title, parameter.unit), parts[:, j], inactive=inactive)
        for j, title in enumerate(titles)
    ]


def _single(ruler: Ruler, inactive: NDArray[np.bool_]) -> Scale:
    title = theme.parameter_title(ruler.name, ruler.space[ruler.name].unit)
    if ruler.choices is not None:
        words = [theme.printable(theme.shorten(theme.wording(value), 14)) for value in ruler.choices]
        return Scale(title, ruler.x, tuple(enumerate(words)), inactive=inactive)
    if ruler.log:
        x = np.log10(ruler.x)
        return Scale(title, x, _decades(x), inactive=inactive)
    return Scale(title, ruler.x, inactive=inactive)


def _decades(x: NDArray[np.float64]) -> tuple[tuple[float, str], ...]:
    """Ticks at powers of ten, or at both ends where there are fewer than two."""
    if np.isnan(x).all():
        return ()
    low, high = float(np.nanmin(x)), float(np.nanmax(x))
    step = max(1, round((high - low) / 4))
    powers = [float(k) for k in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1, step)]
    places = powers if len(powers) > 1 else [low, high]
    return tuple((place, theme.wording(float(10.0**place))) for place in dict.fromkeys(places))


def _round_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """About five ticks at round numbers: steps of 1, 2 or 5 times a power of ten."""
    size = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= (high - low) / 5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple((k * step, theme.wording(float(k * step))) for k in range(first, last + 1))


def _objective(panel: Panel) -> Scale:
    goal = panel.goal
    if goal.target is None:
        better = "lower" if goal.direction == "minimize" else "higher"
        return Scale(_better_up(goal.name, goal.unit, better), panel.values, down=goal.sign < 0)
    off = np.maximum(0.0, np.abs(panel.values - goal.target) - goal.tolerance)
    return Scale(_better_up(f"{goal.name} off target", goal.unit, "closer"), off, down=True)


def _better_up(name: str, unit: str | None, better: str) -> str:
    """Title of an axis on which better is up, with the arrow that says what is better; escaped."""
    return f"{theme.literal(theme.shorten(markup.head(name, unit), 18))}<br>↑ {better}"


def _standing(history: History, drawn: NDArray[np.bool_]) -> Scale | None:
    """The axis of what became of the trials, best on top; None where all drawn ones fared alike."""
    place = np.full(len(history), np.nan)
    ticks: list[tuple[float, str]] = []
    for kind in kinds(history):
        if np.any(kind.mask & drawn):
            place[kind.mask] = len(ticks)
            ticks.append((float(len(ticks)), kind.word))
    return Scale(theme.say("trial"), place, tuple(ticks)) if len(ticks) > 1 else None


def _placed(history: History, scales: Sequence[Scale]) -> tuple[NDArray[np.bool_], list[str]]:
    """Trials that have a place on every axis, shape (n,), and sentences about those that have not."""
    told = np.any([kind.mask for kind in kinds(history)], axis=0) & ~history.pending
    placed = told & ~np.any([scale.gone for scale in scales], axis=0)
    bare = int((told & ~placed).sum()) + int(history.failed.sum())
    passing = sum(int((placed & scale.inactive).any()) for scale in scales if scale.inactive is not None)
    lost = f"{theme.count(bare, 'finished trial')} left out: a value is missing or has no place." if bare else ""
    return placed, [lost, theme.say(f'Below an axis: the parameter was "{_ABSENT}".') if passing else ""]


# -- the figure ---------------------------------------------------------------------------


def _lines(history: History, chosen: tuple[Panel, ...], scales: Sequence[Scale], drawn: NDArray[np.bool_]) -> Figure:
    import plotly.graph_objects as go

    standing = _standing(history, drawn)
    shown = [*scales, standing] if standing is not None else list(scales)
    lead = chosen[0]
    color = np.where(lead.counted, _WORST + (1 - _WORST) * lead.rank, 0.0)[drawn]
    grey = theme.BEATEN.color
    ramp = [(_WORST + (1 - _WORST) * place, tone) for place, tone in theme.scale(theme.LINES[::-1])]
    lines = go.Parcoords(
        dimensions=[_dimension(scale, drawn) for scale in shown],
        line={"color": color, "cmin": 0, "cmax": 1, "colorscale": [(0.0, grey), (_GREY, grey), *ramp]},
        customdata=history.numbers[drawn],
        labelfont={"size": 13, "color": theme.TEXT},
        tickfont={"size": 12, "color": theme.MUTED},
        rangefont={"size": 1, "color": theme.CLEAR},  # the ticks say it
        labelside="top",
        unselected={"line": {"color": theme.HAIRLINE, "opacity": 0.4}},
    )
    figure = go.Figure(lines)
    return figure.update_layout(height=560)


def _dimension(scale: Scale, drawn: NDArray[np.bool_]) -> dict[str, Any]:
    """A plotly dimension: lines of an inactive parameter pass below its other values."""
    x = scale.values[drawn]
    active = x[~np.isnan(x)]
    ends = [*active.tolist(), *(place for place, _ in scale.ticks or ())] or [0.0]
    low, high = min(ends), max(ends)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    ticks = scale.ticks
    if active.size < x.size:
        below = low - _BELOW * (high - low)
        x = np.where(np.isnan(x), below, x)
        told = ticks if ticks is not None else _round_ticks(low, high)
        ticks, low = ((below, _ABSENT), *told), below
    look: dict[str, Any] = {"label": scale.title, "values": x, "range": [high, low] if scale.down else [low, high]}
    if ticks is not None:
        look |= {"tickvals": [place for place, _ in ticks], "ticktext": [word for _, word in ticks]}
    return look


def _say(figure: Figure, history: History, chosen: tuple[Panel, ...], notes: list[str]) -> Figure:
    goals = ", ".join(theme.shorten(panel.goal.name) for panel in chosen)
    seen = len(figure.data[0].customdata)
    colour = f"Blue to green: better to worse {theme.shorten(chosen[0].goal.name)}; grey: does not count."
    caption = " ".join(filter(None, [tally(history), theme.say("On every objective, better is up."), colour, *notes]))
    found, lines = finding(chosen), theme.count(seen, "trial")
    alt = f"Parallel coordinates of {lines}: {theme.say('parameters')}, then {goals}. {found}. {caption}"
    theme.layout(figure, found, alt, caption)
    return figure.update_layout(margin_t=figure.layout.margin.t + 56, margin_l=80, margin_r=80, margin_b=40)
