"""What moves a quantity: one bar for each parameter, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from workbench.plots import theme

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_MOST = 20  # bars; the caption says how many parameters are left out
_ROW = 34  # px


class Share(Protocol):
    """One parameter's share of the variance with its interval, and whether it is said to do nothing."""

    @property
    def parameter(self) -> str: ...
    @property
    def share(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def nothing(self) -> bool: ...


class Shares(Protocol):
    """The shares of one quantity, the largest first, how they were found, and what is missing where there are none."""

    @property
    def quantity(self) -> str: ...
    @property
    def shares(self) -> Sequence[Share]: ...
    @property
    def method(self) -> str: ...
    @property
    def trials(self) -> int: ...
    @property
    def needed(self) -> int: ...
    @property
    def draws(self) -> int: ...


def importance(found: Shares) -> Figure:
    """Draw the share of the change that each parameter carries, the largest on top.

    Args:
        found: Shares of one quantity, such as `study.model().importance()["y"]`.
    """
    import plotly.graph_objects as go

    title = f"What moves {theme.shorten(found.quantity)}"
    if not found.shares:
        text = f"{theme.count(found.trials, 'trial')} with a value; this needs {found.needed}."
        return theme.sentence(title, text)
    shown = list(found.shares[:_MOST])[::-1]
    names = [theme.literal(theme.shorten(one.parameter, 24)) for one in shown]
    middle = [one.share for one in shown]
    spread = {
        "type": "data", "symmetric": False, "color": theme.TEXT, "thickness": 1.4, "width": 5,
        "array": [max(0.0, one.high - one.share) for one in shown],
        "arrayminus": [max(0.0, one.share - one.low) for one in shown],
    }  # fmt: skip
    said = [_said(one) for one in shown]
    bars = go.Bar(
        x=middle, y=names, orientation="h", marker={"color": theme.FRONT.color, "opacity": 0.85}, error_x=spread,
        name="share of the change", hoverinfo="text", hovertext=[f"{n}: {s}" for n, s in zip(names, said, strict=True)],
        showlegend=False, cliponaxis=False,
    )  # fmt: skip
    figure = go.Figure(bars)
    for one, name, text in zip(shown, names, said, strict=True):
        figure.add_annotation(
            x=max(one.high, one.share), y=name, text=text, showarrow=False, xanchor="left", xshift=10,
            font={"size": 13, "color": theme.TEXT if not one.nothing else theme.MUTED},
        )  # fmt: skip
    top = max(0.1, *(one.high for one in shown))
    figure.update_xaxes(
        **theme.axis(theme.literal("share of the change, with 95 % range")) | {"tickformat": ".0%"},
        range=[0, 1.35 * top],
    )
    figure.update_yaxes(**theme.axis("") | {"showgrid": False, "ticks": ""})
    figure.update_layout(height=150 + _ROW * len(shown), bargap=0.35)
    left = len(found.shares) - len(shown)
    more = f" The {left} smallest are not drawn." if left else ""
    caption = f"{found.method}; {found.draws} draws, {theme.count(found.trials, 'trial')}.{more}"
    alt = f"{title}: " + "; ".join(f"{one.parameter} {_said(one)}" for one in found.shares[:_MOST]) + "."
    return theme.layout(figure, title, alt, caption)


def importance_table(found: Shares) -> dict[str, list[Any]]:
    """The numbers behind `importance`."""
    return {
        "parameter": [one.parameter for one in found.shares],
        "share": [one.share for one in found.shares],
        "from": [one.low for one in found.shares],
        "to": [one.high for one in found.shares],
    }


def _said(one: Share) -> str:
    if one.nothing:
        return f"nothing measurable (under {100 * max(one.high, 0.001):.1f} %)"
    return f"{100 * one.share:.0f} %" if one.share >= 0.0995 else f"{100 * one.share:.1f} %"
