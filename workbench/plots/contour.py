"""Two parameters at once: the trials as measured, and under them what a model believes, never an interpolation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.plots.belief import Predict, asked, existing, filled, held_note, held_point
from workbench.plots.panels import Panel, kinds, listed, nothing_yet, panels, thinned, trial_trace
from workbench.plots.ruler import Ruler, check_axis
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure


@dataclass(frozen=True)
class Ground:
    """What is drawn under the trials instead of the model's mean.

    Args:
        word: What it is, such as "uncertainty".
        values: Parameters of b points -> values (b,), NaN where there is none.
        unit: Its unit.
        log: Draw its logarithm, as for what spans many sizes.
        ends: Range of the colours; None for that of the values.
    """

    word: str
    values: Callable[[list[dict[str, Any]]], Any]
    unit: str | None = None
    log: bool = False
    ends: tuple[float, float] | None = None


_GRID = 50  # points along each axis, so at most 2,500 calls of the model
_DECADES = 6.0  # of a logarithmic ground
_SMALLEST, _LARGEST = 6.0, 15.0  # px


def contour(
    history: History,
    x: str,
    y: str,
    objective: str | None = None,
    predict: Predict | None = None,
    at: Mapping[str, Any] | None = None,
    *,
    ground: Ground | None = None,
    feasible: Callable[[list[dict[str, Any]]], Any] | None = None,
    most: int = theme.POINT_CAP,
) -> Figure:
    """Draw the trials over two parameters, coloured by value, on what a model believes if there is one.

    Without a model nothing is drawn between the trials: what was not measured is not known. Without
    one, better trials are larger; with one, those closer to the plane that is drawn.

    Args:
        history: The record.
        x: A parameter that is a number or a choice.
        y: Another one.
        objective: Name of a measured objective; None: the only one, or the first.
        predict: The model's belief about that objective.
        at: Where the other parameters are held; None: at the best trial in which x and y were active.
        ground: What to draw under the trials instead of the mean of `predict`; trials are then not coloured by value.
        feasible: Parameters of b points -> probability (b,) that the limits hold; a line is drawn at one half.
        most: About how many trials to draw of a huge record.
    Raises:
        InvalidValueError: for an unknown name, the same parameter twice, one without a single axis,
            a belief of the wrong shape, or `at` that is no point.
    """
    _check_axes(history, x, y)
    chosen = panels(history, objective)[:1]
    title = f"{x} and {y}"
    empty = nothing_yet(history, chosen, title)
    if empty is not None:
        return empty
    panel, rulers = chosen[0], (Ruler.of(history, x), Ruler.of(history, y))
    placed = _placed(panel, rulers)
    lost = " ".join(filter(None, (ruler.left_out() for ruler in rulers)))
    if not placed.any():
        return theme.sentence(title, lost or theme.say("No trial with a value has a place here."))
    drawn, note = thinned(history, chosen, most, placed)
    held = None if predict is None else held_point(history, {x, y}, panel, at)
    figure, notes = _axes(rulers, panel), [lost, note]
    if predict is not None:
        notes.insert(0, held_note(held, (x, y)))
    if predict is not None and held is not None:
        plane = _Plane.of(panel, rulers, held)
        notes.insert(0, _add_field(figure, plane, predict, ground))
        notes.insert(2, "Larger: closer to this plane.")
        if feasible is not None:
            notes.insert(1, _add_edge(figure, plane, feasible))
    _add_trials(figure, panel, rulers, drawn, held, plain=ground is not None)
    if ground is not None:
        title = f"{ground.word} of {theme.shorten(panel.goal.name)} over {title}"
        caption = " ".join(filter(None, notes))
        return theme.layout(figure, title, f"{title} in {theme.count(int(drawn.sum()), 'trial')}. {caption}", caption)
    return _say(figure, panel, title, int(drawn.sum()), notes)


def contour_table(history: History, x: str, y: str, objective: str | None = None) -> dict[str, list[Any]]:
    """The numbers behind the trials of `contour`: those in which both parameters were active.

    Values are in user units, None where there is none.
    """
    _check_axes(history, x, y)
    rulers = Ruler.of(history, x), Ruler.of(history, y)
    rows = np.flatnonzero(~np.isnan(rulers[0].x) & ~np.isnan(rulers[1].x))
    table: dict[str, list[Any]] = {
        "trial": history.numbers[rows].tolist(),
        "state": [history.rows[i].state for i in rows.tolist()],
    }
    for ruler in rulers:
        table[f"parameter {ruler.name}"] = [ruler.settings[i] for i in rows.tolist()]
    return table | {panel.goal.label: listed(panel.values[rows]) for panel in panels(history, objective)[:1]}


def _check_axes(history: History, x: str, y: str) -> None:
    check_axis(history.space, x)
    check_axis(history.space, y)
    if x == y:
        raise InvalidValueError(f"expected two different parameters, got {x!r} twice; draw a slice along it instead")


def _placed(panel: Panel, rulers: tuple[Ruler, Ruler]) -> NDArray[np.bool_]:
    """Trials of a kind that is drawn, both parameters active, with a value if they count; shape (n,)."""
    history = panel.history
    shown = np.any([kind.mask for kind in kinds(history)], axis=0) & (panel.counted | ~history.counted)
    return np.asarray((shown | history.failed) & ~np.isnan(rulers[0].x) & ~np.isnan(rulers[1].x))


# -- the trials -----------------------------------------------------------------------------


def _add_trials(
    figure: Figure,
    panel: Panel,
    rulers: tuple[Ruler, Ruler],
    drawn: NDArray[np.bool_],
    held: Mapping[str, Any] | None,
    *,
    plain: bool = False,
) -> None:
    history, few = panel.history, int(drawn.sum()) <= theme.SVG_LIMIT
    closeness = panel.rank if held is None else _nearness(history, rulers, held)
    sizes = _SMALLEST + (_LARGEST - _SMALLEST) * closeness
    for word, mark, mask in (("failed", theme.FAILED, history.failed), *kinds(history)):
        rows = np.flatnonzero(mask & drawn)
        if not rows.size:
            continue
        trace = trial_trace(history, word, mark, rows, (rulers[0].x[rows], rulers[1].x[rows]), few=few)
        if mark in (theme.FRONT, theme.BEATEN) and not plain:
            edge = (theme.FRONT.color, 2.5) if mark is theme.FRONT else (theme.ON_FIELD if held else mark.outline, 1.0)
            trace.marker = {
                "color": panel.values[rows], "coloraxis": "coloraxis", "size": sizes[rows], "symbol": mark.symbol,
                "opacity": 1, "line": {"color": edge[0], "width": edge[1]},
            }  # fmt: skip
        elif held is not None:
            figure.add_trace(_halo(trace))
        figure.add_trace(trace)


def _halo(trace: Any) -> Any:
    """The same marks, wider and in the colour of the page, so that they stand out from the ground."""
    halo = type(trace)(trace)
    return halo.update(marker_color=theme.ON_FIELD, marker_line_width=5, showlegend=False, hoverinfo="skip")


def _nearness(history: History, rulers: tuple[Ruler, Ruler], held: Mapping[str, Any]) -> NDArray[np.float64]:
    """How near each trial is to the plane, shape (n,): 1 on it, 0 for the farthest, by the encoded distance."""
    space = history.space
    flat = {ruler.name for ruler in rulers}
    columns = [i for name in space.names if name not in flat for i in range(*space.slices[name].indices(space.width))]
    if not columns:
        return np.ones(len(history))
    centre = space.encode([existing(space, filled(space, held))])[0, columns]
    away = np.abs(history.X[:, columns] - centre)
    both_absent = np.isnan(history.X[:, columns]) & np.isnan(centre)
    away = np.where(both_absent, 0.0, np.where(np.isnan(away), 1.0, np.minimum(away, 1.0)))
    distance = np.sqrt(np.mean(away**2, axis=1))
    return np.asarray(1.0 - distance / max(float(distance.max()), 1e-12))


# -- the belief -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plane:
    """The grid over two parameters: its points, which of them exist and are allowed (b,), and its axes."""

    rulers: tuple[Ruler, Ruler]
    points: list[dict[str, Any]]
    allowed: NDArray[np.bool_]
    across: list[Any]
    up: list[Any]

    @classmethod
    def of(cls, panel: Panel, rulers: tuple[Ruler, Ruler], held: Mapping[str, Any]) -> _Plane:
        """The plane through a point.

        Raises:
            InvalidValueError: if one of the parameters does not exist in it.
        """
        across, up = (ruler.grid(_GRID) for ruler in rulers)
        names, space = (rulers[0].name, rulers[1].name), panel.history.space
        whole = filled(space, held)
        points = [existing(space, {**whole, names[0]: a, names[1]: b}) for b in up for a in across]
        exists = np.array([all(name in point for name in names) for point in points])
        if not exists.any():
            raise InvalidValueError(
                f"expected at= to be a point at which {names[0]!r} and {names[1]!r} are active, "
                f"got {theme.shorten(str(dict(held)), 200)}; set their parents so that they exist"
            )
        return cls(rulers, points, exists & space.feasible(space.encode(points)), across, up)

    def values(self, ask: Callable[[list[dict[str, Any]]], Any]) -> NDArray[np.float64]:
        """What a function says of the allowed points, shape (rows, columns), NaN elsewhere."""
        z = np.full(len(self.points), np.nan)
        if self.allowed.any():
            z[self.allowed] = ask([self.points[i] for i in np.flatnonzero(self.allowed).tolist()])
        return z.reshape(len(self.up), len(self.across))

    def places(self) -> dict[str, Any]:
        """Where its columns and rows stand."""
        return {"x": self.rulers[0].places(self.across), "y": self.rulers[1].places(self.up)}

    @property
    def smooth(self) -> bool:
        """Are both parameters numbers?"""
        return all(ruler.choices is None for ruler in self.rulers)


def _add_field(figure: Figure, plane: _Plane, predict: Predict, ground: Ground | None) -> str:
    """Draw the mean, or another ground, over a grid; say what it is and what it leaves blank."""
    import plotly.graph_objects as go

    z = plane.values(lambda points: asked(predict, points)[0] if ground is None else ground.values(points))
    word = theme.literal("model" if ground is None else ground.word)
    look: dict[str, Any] = {
        "name": "model",
        "hovertemplate": f"{word}: %{{z:.4g}}<extra></extra>",
        "hoverongaps": False,
    }
    said = "Ground: the model's mean."
    if ground is None:
        look["coloraxis"] = "coloraxis"
    else:
        said = f"Ground: {ground.word}{', logarithmic' if ground.log else ''}."
        unit, power = f" [{theme.shorten(ground.unit, 12)}]" if ground.unit else "", "log10 " if ground.log else ""
        if ground.log:
            look |= {"hovertemplate": None, "hoverinfo": "text", "hovertext": _words(z, word)}
            with np.errstate(divide="ignore", invalid="ignore"):
                z = np.where(np.isnan(z), np.nan, np.log10(np.maximum(z, 0.0)))
            top = float(np.max(z[np.isfinite(z)], initial=-np.inf))
            z = np.where(np.isnan(z), np.nan, np.maximum(z, top - _DECADES))  # what is smaller is as good as nothing
            z = np.where(np.isfinite(z), z, np.nan)
        low, high = ground.ends if ground.ends is not None else (None, None)
        look |= {
            "colorscale": theme.scale(theme.FIELD), "reversescale": True, "zmin": low, "zmax": high,
            "colorbar": {
                "title": {"text": theme.literal(f"{power}{ground.word}{unit}"), "side": "right"},
                "tickfont": {"color": theme.MUTED}, "outlinewidth": 0, "thickness": 12,
            },
        }  # fmt: skip
    if plane.smooth:
        lines = {"coloring": "heatmap", "showlabels": True, "labelfont": {"color": theme.ON_FIELD, "size": 11}}
        edge = {"color": theme.ON_FIELD, "width": 0.7}
        figure.add_trace(go.Contour(**plane.places(), z=z, **look, contours=lines, line=edge, ncontours=10))
    else:
        figure.add_trace(go.Heatmap(**plane.places(), z=z, **look))
    blank = " Blank: ruled out by the constraints, or one of them inactive." if not plane.allowed.all() else ""
    return said + blank


def _add_edge(figure: Figure, plane: _Plane, feasible: Callable[[list[dict[str, Any]]], Any]) -> str:
    """Draw where the limits hold as likely as not; say so."""
    import plotly.graph_objects as go

    chance = plane.values(feasible)
    if not plane.smooth or not (np.nanmin(chance) < 0.5 < np.nanmax(chance)):
        within = "hold" if np.nanmean(chance) >= 0.5 else "are broken"
        return f"The limits most likely {within} on all of it." if plane.smooth else ""
    at = {"start": 0.5, "end": 0.5, "size": 1, "coloring": "none"}
    figure.add_trace(
        go.Contour(
            **plane.places(),
            z=chance,
            contours=at,
            line={"color": theme.OVER.color, "width": 2, "dash": "dash"},
            showscale=False,
            hoverinfo="skip",
            name="limits as likely to hold as not",
            showlegend=True,
        )
    )
    return "Dashed: the limits are as likely to hold as not."


def _words(z: NDArray[np.float64], word: str) -> list[list[str]]:
    """What is said of each cell, where the colour is not the value itself."""
    return [["" if np.isnan(v) else f"{word}: {theme.wording(v)}" for v in row] for row in z.tolist()]


# -- the look -------------------------------------------------------------------------------


def _axes(rulers: tuple[Ruler, Ruler], panel: Panel) -> Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    titles = [theme.parameter_title(ruler.name, ruler.space[ruler.name].unit) for ruler in rulers]
    figure.update_xaxes(**rulers[0].axis(), title_text=titles[0])
    figure.update_yaxes(**rulers[1].axis(), title_text=titles[1])
    goal = panel.goal
    around = {"colorscale": theme.scale(theme.AROUND), "cmid": goal.target}
    ranked = {"colorscale": theme.scale(theme.FIELD), "reversescale": goal.direction == "maximize"}
    bar = {
        "title": {"text": theme.goal_title(goal), "side": "right", "font": {"size": 13, "color": theme.TEXT}},
        "tickfont": {"color": theme.MUTED}, "outlinewidth": 0, "thickness": 12, "exponentformat": "power",
    }  # fmt: skip
    axis = (ranked if goal.target is None else around) | {"colorbar": bar}
    return figure.update_layout(height=560, coloraxis=axis)


def _say(figure: Figure, panel: Panel, title: str, seen: int, notes: list[str]) -> Figure:
    notes = [*notes] if figure.data and figure.data[0].name == "model" else [theme.say(_NO_MODEL), *notes]
    caption = " ".join(filter(None, notes))
    heading = f"{theme.shorten(panel.goal.name)} over {title}"
    alt = f"Values of {heading} in {theme.count(seen, 'trial')}. {caption}"
    return theme.layout(figure, heading, alt, caption)


_NO_MODEL = "Trials as measured; nothing is interpolated. Larger: better."
