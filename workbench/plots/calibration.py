"""Are a model's promises kept: each trial as measured against its prediction from all others, and where in it it fell.

Symbols: n trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from workbench.plots import theme

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Array = NDArray[np.float64]

_FEWEST = 2


class Predicted(Protocol):
    """Trials predicted each from all others, arrays of shape (n,), user units."""

    @property
    def quantity(self) -> str: ...
    @property
    def unit(self) -> str | None: ...
    @property
    def trials(self) -> NDArray[np.int64]: ...
    @property
    def measured(self) -> Array: ...
    @property
    def mean(self) -> Array: ...
    @property
    def sd(self) -> Array: ...
    @property
    def pit(self) -> Array: ...
    @property
    def r2(self) -> float: ...
    def inside(self, level: float = 0.95) -> int: ...
    def histogram(self, bins: int = 8) -> tuple[NDArray[np.int64], tuple[int, int]]: ...


def calibration(found: Predicted, most: int = theme.SVG_LIMIT) -> Figure:
    """Draw measured against predicted values with their 95 % ranges, and the histogram of where results fell.

    Args:
        found: Such as `study.model().diagnose().calibration["y"]`.
        most: About how many trials to draw of a huge record, evenly spread.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    n, name = len(found.measured), theme.shorten(found.quantity)
    title = f"Are the promises for {name} kept?"
    if n < _FEWEST:
        return theme.sentence(title, f"{theme.count(n, 'trial')} with a value; this needs {_FEWEST}.")
    figure = make_subplots(rows=1, cols=2, column_widths=[0.68, 0.32], horizontal_spacing=0.12)
    rows = np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))
    x, y, sd = found.mean[rows], found.measured[rows], found.sd[rows]
    missed = np.abs(found.measured - found.mean)[rows] > 1.96 * sd
    said = [
        theme.literal(
            f"{theme.say('Trial')} {number}: measured {theme.wording(v)}, predicted {theme.quantity(m, found.unit, s)}"
        )
        for number, v, m, s in zip(found.trials[rows].tolist(), y.tolist(), x.tolist(), sd.tolist(), strict=True)
    ]
    for word, mark, mask in (("inside its range", theme.FRONT, ~missed), ("outside", theme.OVER, missed)):
        if mask.any():
            bars = {"type": "data", "array": 1.96 * sd[mask], "color": mark.color, "thickness": 0.8, "width": 0}
            trace = go.Scatter(
                x=x[mask], y=y[mask], mode="markers", marker=mark.marker(), error_x=bars, name=word, hoverinfo="text",
                hovertext=[text for text, one in zip(said, mask.tolist(), strict=True) if one],
                customdata=found.trials[rows][mask],
            )  # fmt: skip
            figure.add_trace(trace, row=1, col=1)
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
    line = {"color": theme.MUTED, "width": 1, "dash": "dash"}
    figure.add_trace(
        go.Scatter(x=ends, y=ends, mode="lines", line=line, name="as predicted", hoverinfo="skip"), row=1, col=1
    )
    counts, (low, high) = found.histogram()
    bins = len(counts)
    places = (np.arange(bins) + 0.5) / bins
    figure.add_hrect(low, high, line_width=0, fillcolor=theme.DOMINATED, layer="below", row=1, col=2)
    figure.add_hline(n / bins, line=line, row=1, col=2)
    heights = go.Bar(
        x=places, y=counts, width=0.9 / bins, marker={"color": theme.FRONT.color, "opacity": 0.85}, name="results",
        showlegend=False, hoverinfo="text", hovertext=[f"{c} results" for c in counts.tolist()],
    )  # fmt: skip
    figure.add_trace(heights, row=1, col=2)
    unit = f" [{theme.shorten(found.unit, 16)}]" if found.unit else ""
    figure.update_xaxes(**theme.axis(theme.literal(f"{theme.say('predicted without this trial')}{unit}")), row=1, col=1)
    figure.update_yaxes(**theme.axis(theme.literal(f"measured {name}{unit}")), row=1, col=1)
    ticks = {"tickvals": [0.06, 0.94], "ticktext": ["too low", "too high"], "range": [0, 1], "showgrid": False}
    figure.update_xaxes(**theme.axis(theme.literal("where results fell in their range")) | ticks, row=1, col=2)
    figure.update_yaxes(**theme.axis("") | {"rangemode": "tozero"}, row=1, col=2)
    figure.update_layout(height=440)
    inside = found.inside()
    caption = (
        f"{inside} of {n} inside their 95 % range, R² {found.r2:.2f}. Left: each "
        f"{theme.say('trial')} predicted from all others, "
        "settings of the model held. Right: flat is honest; shaded: what chance allows."
    )
    if len(rows) < n:
        caption += f" Drawn: {len(rows):,} of {theme.count(n, 'trial')}."
    return theme.layout(figure, title, f"{title} {caption}", caption)


def calibration_table(found: Predicted) -> dict[str, list[Any]]:
    """The numbers behind `calibration`, user units."""
    return {
        "trial": found.trials.tolist(),
        "measured": found.measured.tolist(),
        "predicted": found.mean.tolist(),
        "sd of the prediction": found.sd.tolist(),
        "share of the prediction below": found.pit.tolist(),
    }
