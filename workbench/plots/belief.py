"""What a model believes along one parameter, drawn as a band or as error bars."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.panels import Panel, fronts
from workbench.plots.ruler import Ruler
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from workbench.space import Space

Predict = Callable[[list[dict[str, Any]]], tuple[Any, Any]]
"""Parameters of n points -> means (n,) and standard deviations (n,) of one objective, user units."""

_HELD_NAMED = 8


def add_belief(figure: Figure, row: int, ruler: Ruler, predict: Predict, held: Mapping[str, Any]) -> None:
    """Draw the mean with two standard deviations on each side, and a dotted line where the trial held stands.

    Args:
        figure: As `panels.stack` made it.
        row: Row of the figure, from 1.
        ruler: The parameter.
        predict: The belief.
        held: Parameters of the point through which the slice goes.
    Raises:
        InvalidValueError: if the parameter does not exist at that point, or the belief has a wrong shape.
    """
    grid = ruler.grid()
    whole = filled(ruler.space, held)
    points = [existing(ruler.space, {**whole, ruler.name: value}) for value in grid]
    if not all(ruler.name in point for point in points):
        raise InvalidValueError(
            f"expected at= to be a point at which {ruler.name!r} is active, "
            f"got {theme.shorten(str(dict(held)), 200)}; set its parents so that it exists"
        )
    mean, sd = asked(predict, points)
    x = ruler.places(grid)
    draw = _error_bars if ruler.space[ruler.name].discrete else _band
    draw(figure, row, x, mean, sd)
    here = float(ruler.places([held.get(ruler.name)])[0])
    if not np.isnan(here):
        figure.add_vline(here, line={"color": theme.MUTED, "width": 1, "dash": "dot"}, row=row, col=1, layer="below")


def _band(figure: Figure, row: int, x: NDArray[np.float64], mean: NDArray[np.float64], sd: NDArray[np.float64]) -> None:
    import plotly.graph_objects as go

    band = go.Scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([mean + 2 * sd, (mean - 2 * sd)[::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=theme.MODEL.band,
        name="model ± 2 sd",
        legendgroup="model ± 2 sd",
        hoverinfo="skip",
        showlegend=row == 1,
    )
    line = go.Scatter(
        x=x,
        y=mean,
        mode="lines",
        line={"color": theme.MODEL.color, "width": theme.MODEL.width},
        name="model",
        legendgroup="model",
        hoverinfo="text",
        showlegend=row == 1,
        hovertext=_belief_words(mean, sd),
    )
    figure.add_traces([band, line], rows=row, cols=1)


def _error_bars(
    figure: Figure, row: int, x: NDArray[np.float64], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> None:
    import plotly.graph_objects as go

    bars = go.Scatter(
        x=x,
        y=mean,
        mode="markers",
        marker={"color": theme.MODEL.color, "symbol": "line-ew-open", "size": 14},
        error_y={"type": "data", "array": 2 * sd, "color": theme.MODEL.color, "thickness": 1.5, "width": 5},
        name="model ± 2 sd",
        legendgroup="model ± 2 sd",
        showlegend=row == 1,
        hoverinfo="text",
        hovertext=_belief_words(mean, sd),
    )
    figure.add_trace(bars, row=row, col=1)


def _belief_words(mean: NDArray[np.float64], sd: NDArray[np.float64]) -> list[str]:
    return [f"model: {theme.quantity(m, None, 2 * s)}" for m, s in zip(mean.tolist(), sd.tolist(), strict=True)]


def asked(predict: Predict, points: list[dict[str, Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and standard deviations at n points, two arrays of shape (n,).

    Raises:
        InvalidValueError: if the belief has a wrong shape, is not finite, or a deviation is negative.
    """
    mean, sd = (np.asarray(part, dtype=np.float64).reshape(-1) for part in predict(points))
    if mean.size != len(points) or sd.size != len(points):
        raise InvalidValueError(
            f"predict= must give one mean and one standard deviation for each of the {len(points)} points, "
            f"got {mean.size} and {sd.size}; return two arrays of shape ({len(points)},)"
        )
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (sd >= 0).all()):
        raise InvalidValueError(
            "predict= must give finite means and standard deviations >= 0, got NaN, infinity or "
            "a negative deviation; check the model's fit"
        )
    return mean, sd


def best_point(history: History, names: Set[str], panel: Panel) -> dict[str, Any] | None:
    """Parameters of the best trial in which these were active, one of the front first; None if none was."""
    candidates = np.flatnonzero(panel.counted)
    placed = {i: history.spaces.placed(history.rows[i]) or {} for i in candidates.tolist()}
    candidates = np.array([i for i, params in placed.items() if names <= params.keys()], dtype=np.int64)
    if not candidates.size:
        return None
    ahead = candidates[fronts(history)[candidates]]
    among = ahead if ahead.size else candidates
    return placed[int(among[np.argmax(panel.utility[among])])]


def held_point(
    history: History, names: Set[str], panel: Panel, at: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """The point through which a figure over these parameters goes: the one given, or the best trial with them.

    Raises:
        InvalidValueError: if what is given is no mapping, or has an unknown name or a value that no such parameter has.
    """
    if at is None:
        return best_point(history, names, panel)
    if not isinstance(at, Mapping):
        raise InvalidValueError(f"at: expected parameters and their values, such as a trial's params, got {at!r}")
    # What these are set to says nothing of which others exist: they vary.
    rest = history.space.check({k: v for k, v in at.items() if k not in names}, bounds=False, complete=False)
    own = {
        name: history.space[name].check(at[name], bounds=False)
        for name in history.space.names
        if name in names & at.keys()
    }
    return {**rest, **own}


def filled(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Add every parameter that is missing in the middle of its range, active or not."""
    whole = dict(params)
    for parameter in (space[name] for name in space.names if name not in params):
        middle = parameter.from_uniform(np.full((1, parameter.draws), 0.5))
        whole[parameter.name] = parameter.decode(middle)[0]
    return whole


def existing(space: Space, whole: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what these parameters make inactive."""
    active = space.active(whole)
    return {name: whole[name] for name in space.names if name in active}


def held_note(held: Mapping[str, Any] | None, names: Collection[str]) -> str:
    """The sentence that says at which values the other parameters are held."""
    if held is None:
        return f"{theme.say('No trial that counts had')} {' and '.join(names)} active, so the model is not drawn."
    others = [f"{key} = {theme.wording(value)}" for key, value in held.items() if key not in names]
    more = f" and {len(others) - _HELD_NAMED} more" if len(others) > _HELD_NAMED else ""
    alone = theme.say("The only parameters." if len(names) > 1 else "The only parameter.")
    return f"Held: {', '.join(others[:_HELD_NAMED])}{more}." if others else alone
