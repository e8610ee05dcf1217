"""What people's answers say that trials are worth: a mark with its interval for each, the most liked on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from workbench.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Array = NDArray[np.float64]

_MOST = 30  # trials that are drawn
_ROW = 24  # px
_SEEN = 0.005  # chance to be the favourite, below which it is not written


class Utilities(Protocol):
    """Trials with the mean and standard deviation of their utility (n,), and who is the favourite with what chance."""

    @property
    def numbers(self) -> NDArray[np.int64]: ...
    @property
    def mean(self) -> Array: ...
    @property
    def sd(self) -> Array: ...
    @property
    def favourite(self) -> Mapping[int, float]: ...


def utility(found: Utilities) -> Figure:
    """Draw the utility of each trial with its 95 % range, and the chance that it is the favourite.

    Args:
        found: Utilities, such as `study.model().utility()`.
    """
    import plotly.graph_objects as go

    title = "What the answers say that trials are worth"
    if not len(found.numbers):
        return theme.sentence(title, "No trial that was judged is still in the record.")
    order = _order(found)
    shown = order[:_MOST][::-1]  # plotly draws upwards
    names = [f"trial {found.numbers[i]}" for i in shown]
    chances = [found.favourite.get(int(found.numbers[i]), 0.0) for i in shown]
    ranges = 1.96 * found.sd[shown]
    hover = [
        f"{name}: {mean:.3g} ± {reach:.2g}{_said(chance)}"
        for name, mean, reach, chance in zip(names, found.mean[shown], ranges, chances, strict=True)
    ]
    spread = {"type": "data", "array": ranges.tolist(), "color": theme.MUTED, "thickness": 1.4, "width": 4}
    marks = go.Scatter(
        x=found.mean[shown].tolist(), y=names, mode="markers", marker=theme.FRONT.marker(), error_x=spread,
        name="utility", hoverinfo="text", hovertext=hover, customdata=found.numbers[shown].tolist(), showlegend=False,
        cliponaxis=False,
    )  # fmt: skip
    figure = go.Figure(marks)
    for name, i, chance in zip(names, shown, chances, strict=True):
        if chance >= _SEEN:
            figure.add_annotation(
                x=found.mean[i] + 1.96 * found.sd[i], y=name, text=f"{chance:.0%}", showarrow=False, xanchor="left",
                xshift=8, font={"size": 13, "color": theme.TEXT},
            )  # fmt: skip
    best = max(found.favourite, key=lambda number: found.favourite[number])
    said = f"Trial {best} is the favourite with a probability of {found.favourite[best]:.0%}"
    low, high = float((found.mean - 1.96 * found.sd)[shown].min()), float((found.mean + 1.96 * found.sd)[shown].max())
    room = 0.05 * (high - low)
    figure.update_xaxes(
        **theme.axis(theme.literal("utility, in units of the noise of one judgement")),
        range=[low - room, high + 3 * room],
    )
    figure.update_yaxes(**theme.axis("") | {"showgrid": False, "ticks": ""})
    figure.update_layout(height=150 + _ROW * len(shown))
    left = len(order) - len(shown)
    more = f" The {left} least liked are not drawn." if left else ""
    caption = f"Bars are 95 % ranges, percentages the chance to be the favourite. Where 0 lies means nothing.{more}"
    alt = f"{said}. " + "; ".join(hover[::-1]) + "."
    return theme.layout(figure, said, alt, caption)


def utility_table(found: Utilities) -> dict[str, list[Any]]:
    """The numbers behind `utility`, the most liked first."""
    order = _order(found)
    return {
        "trial": found.numbers[order].tolist(),
        "utility": found.mean[order].tolist(),
        "sd": found.sd[order].tolist(),
        "favourite": [found.favourite.get(int(number), 0.0) for number in found.numbers[order]],
    }


def _order(found: Utilities) -> NDArray[np.int64]:
    """Rows, the most liked first."""
    return np.argsort(-found.mean, kind="stable")


def _said(chance: float) -> str:
    return f", the favourite with {chance:.0%}" if chance >= _SEEN else ""
