"""Where runs of several methods go on one function of two variables: a panel for each over the same contours.

Symbols: T recorded moments, R runs; a path (T, R, 2) in user units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Array = NDArray[np.float64]

_TITLE = "Paths"
_GRID = 160  # points along each axis of the contours
_LINES, _STOPS = 20, 120  # runs whose way is drawn, and moments of each
_PANEL = 380  # px


def arrived(paths: Mapping[str, Array], goal: tuple[float, float], within: float) -> dict[str, float]:
    """Share of the runs of each method that end no further than `within` from a goal.

    Args:
        paths: Name to path, shape (T, R, 2).
        goal: Where the minimum is.
        within: Distance, user units.
    """
    for name, path in paths.items():
        if np.ndim(path) != 3 or np.shape(path)[2] != 2 or 0 in np.shape(path):
            raise InvalidValueError(f"a path has the shape (T, R, 2); got {np.shape(path)} for {name!r}")
    return {
        name: float((np.linalg.norm(np.asarray(path)[-1] - np.asarray(goal), axis=-1) <= within).mean())
        for name, path in paths.items()
    }


def paths(
    surface: Callable[[Array], Array], box: tuple[float, float], paths: Mapping[str, Array],
    goal: tuple[float, float], within: float,
) -> Figure:  # fmt: skip
    """Draw a panel for each method: the function as contours, ways of runs, and where all of them end.

    Args:
        surface: Values (n,) of points (n, 2); contours are of the logarithm of its height above the lowest.
        box: Low and high end of both axes.
        paths: Name to path, shape (T, R, 2).
        goal: Where the minimum is.
        within: Distance from it that counts as having found it.
    Returns:
        A plotly figure; its text for those who cannot see it is `layout.meta["alt"]`.
    Raises:
        InvalidValueError: for a path of another shape.
    """
    from plotly.subplots import make_subplots

    if not paths:
        return theme.sentence(_TITLE, "No run to draw.")
    shares = arrived(paths, goal, within)
    rows = math.ceil(len(paths) / 2)
    titles = [f"{theme.literal(name)}: {shares[name]:.0%}" for name in paths]
    figure = make_subplots(
        rows=rows, cols=2 if len(paths) > 1 else 1, subplot_titles=titles, horizontal_spacing=0.08,
        vertical_spacing=0.16 / rows,
    )  # fmt: skip
    for i, path in enumerate(paths.values()):
        _add_panel(figure, np.asarray(path), _heights(surface, box), box, goal, (i // 2 + 1, i % 2 + 1))
    found = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    runs = next(iter(paths.values())).shape[1]
    caption = f"Lines: ways of up to {_LINES} of {runs} runs. Dots: where runs end. Cross: the minimum."
    title = f"Runs that end within {within:g} of the minimum"
    return theme.layout(figure, title, f"{title}: {found}. {caption}", caption).update_layout(
        height=_PANEL * rows + 140, showlegend=False
    )


def paths_table(
    surface: Callable[[Array], Array], paths: Mapping[str, Array], goal: tuple[float, float], within: float
) -> dict[str, list[Any]]:
    """The numbers behind `paths`: for each method its runs, the share that found the minimum, and the median value."""
    shares = arrived(paths, goal, within)
    return {
        "method": list(paths),
        "runs": [path.shape[1] for path in paths.values()],
        "found": list(shares.values()),
        "median value": [float(np.median(surface(np.asarray(path)[-1]))) for path in paths.values()],
    }


def _heights(surface: Callable[[Array], Array], box: tuple[float, float]) -> tuple[Array, Array]:
    """Axis (g,) and logarithmic heights (g, g) above the lowest point of the grid; rows are the second variable."""
    axis = np.linspace(*box, _GRID)
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    Z = np.asarray(surface(points)).reshape(_GRID, _GRID)
    return axis, np.log10(1.0 + Z - Z.min())


def _add_panel(
    figure: Figure, path: Array, ground: tuple[Array, Array], box: tuple[float, float], goal: tuple[float, float],
    at: tuple[int, int],
) -> None:  # fmt: skip
    row, col = at
    axis, Z = ground
    figure.add_contour(
        x=axis, y=axis, z=Z, colorscale=theme.scale(theme.FIELD), showscale=False, ncontours=24, hoverinfo="skip",
        line={"width": 0.4}, row=row, col=col,
    )  # fmt: skip
    moments = np.unique(np.linspace(0, len(path) - 1, _STOPS).round().astype(int))
    shown = path[moments][:, : min(_LINES, path.shape[1])]
    gap = np.full((1, 2), np.nan)  # between one run and the next
    line = np.concatenate([np.concatenate([shown[:, r], gap]) for r in range(shown.shape[1])])
    figure.add_scatter(
        x=line[:, 0], y=line[:, 1], mode="lines", line={"color": theme.BEST_LINE.color, "width": 1}, opacity=0.35,
        hoverinfo="skip", name="ways", row=row, col=col,
    )  # fmt: skip
    figure.add_scatter(
        x=path[-1, :, 0], y=path[-1, :, 1], mode="markers", marker=theme.BEATEN.marker(), name="ends",
        hovertemplate="ends at %{x:.3g}, %{y:.3g}<extra></extra>", row=row, col=col,
    )  # fmt: skip
    cross = {"symbol": "x-thin-open", "size": 14, "color": theme.TEXT, "line": {"width": 2}}
    figure.add_scatter(
        x=[goal[0]], y=[goal[1]], mode="markers", marker=cross, name="minimum",
        hovertemplate="minimum<extra></extra>", row=row, col=col,
    )  # fmt: skip
    figure.update_xaxes(**theme.axis(""), range=list(box), row=row, col=col)
    figure.update_yaxes(**theme.axis(""), range=list(box), row=row, col=col)
