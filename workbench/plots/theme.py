"""Colours, marks, words and the common look of every figure: the one place where they are decided.

The same trial has the same mark in every figure; colour, shape and word go together, so that
none of them carries a state alone. User text is never markup: whatever comes from a study goes
through `literal` on its way into a figure, since plotly reads a subset of HTML, TeX between
dollar signs and `%{...}` templates in titles, ticks and hover labels.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from workbench import markup
from workbench.markup import head
from workbench.markup import quantity as quantity  # noqa: PLC0414  # part of the words of figures
from workbench.markup import shorten as shorten  # noqa: PLC0414
from workbench.markup import wording as wording  # noqa: PLC0414
from workbench.problem import Objective

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

OKABE_ITO = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")

TEXT, MUTED, STRONG, HAIRLINE, GROUND = "#1C2530", "#55616E", "#8491A0", "#D9DFE5", "#FFFFFF"
SHADE = "#F3F5F7"
CLEAR = "rgba(0,0,0,0)"  # the page is the ground, whether it is light or dark
FONT = "'Source Sans 3', 'Source Sans Pro', 'Source Sans', system-ui, sans-serif"


@dataclass(frozen=True, slots=True)
class Mark:
    """How a state is drawn: colour, plotly symbol, size in px, opacity, outline colour."""

    color: str
    symbol: str
    size: int
    opacity: float = 1.0
    outline: str | None = None

    def marker(self) -> dict[str, Any]:
        """The `marker` of a plotly scatter trace."""
        line = {"color": self.outline or self.color, "width": 1.8 if self.symbol.endswith("-open") else 1.0}
        return {
            "color": self.color,
            "symbol": self.symbol,
            "size": self.size,
            "opacity": self.opacity,
            "line": line,
        }

    def marker_3d(self) -> dict[str, Any]:
        """The `marker` of a plotly scatter3d trace, which knows fewer symbols and draws them larger."""
        shape = {"x-thin-open": "cross"}.get(self.symbol, self.symbol)  # its "x" is an emoji that many fonts lack
        return self.marker() | {"symbol": shape, "size": 0.7 * self.size}


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a line is drawn: colour, width in px, and the fill of its band."""

    color: str
    width: float
    band: str = CLEAR


FRONT = Mark("#0072B2", "circle", 9)
BEATEN = Mark("#999999", "circle", 6, 0.8, "#767B80")
OVER = Mark("#D55E00", "x-thin-open", 8)
APART = Mark("#767B80", "circle-open", 6)
RUNNING = Mark("#9A6B00", "diamond-open", 9)
SUGGESTED = Mark("#CC79A7", "star", 11, 1.0, "#8A3A6B")
FAILED = Mark(TEXT, "line-ns-open", 10)
TRIED = Mark(STRONG, "line-ns-open", 5)  # where a parameter was tried, under a slice
CHOSEN = Mark(TEXT, "circle-open", 17)  # a ring around what somebody picked
REFERENCE = Mark(TEXT, "cross-thin-open", 12)
DOMINATED = "rgba(0,114,178,0.08)"  # the area that a front dominates
BEST_LINE = Stroke("#0072B2", 2.0)
MODEL = Stroke("#009E73", 2.0, "rgba(0,158,115,0.2)")
GOAL_LINE = Stroke(MUTED, 1.0, "rgba(85,97,110,0.1)")  # a target with its tolerance, or a threshold

DARK = {
    TEXT: "#E4E9EE", MUTED: "#A3AFBB", STRONG: "#76838F", HAIRLINE: "#36404A",
    GROUND: "#13171C", SHADE: "#1D232A",
    FRONT.color: "#56B4E9", OVER.color: "#E8742A", RUNNING.color: "#E69F00", "#8A3A6B": "#E3A6CA",
    DOMINATED: "rgba(86,180,233,0.12)", MODEL.color: "#2FBF95",
    MODEL.band: "rgba(47,191,149,0.2)", GOAL_LINE.band: "rgba(163,175,187,0.15)",
}  # fmt: skip
"""Every light colour that must change on a dark ground, with its dark twin."""

FIELD = ("#00224E", "#2A3F6D", "#575C6D", "#7D7C78", "#A59C74", "#D2C060", "#FEE838")
"""Cividis, from the better values to the worse: the better ones are dark, since most pages are light."""
LINES = ("#365C8D", "#277F8E", "#1FA187", "#4AC16D", "#A0DA39")
"""Viridis from the better to the worse, without the ends that a line loses on a dark or a light ground."""
ON_FIELD = "rgb(255,255,255)"  # rings and lines on a field, which is the same on a dark page
AROUND = ("#7F3B08", "#E08214", "#FEE0B6", "#F7F7F7", "#D8DAEB", "#8073AC", "#2D004B")
"""PuOr, centred at a target."""
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

SVG_LIMIT = 5_000  # points; beyond it browsers need WebGL to stay quick
POINT_CAP = 20_000  # points; beyond it a figure is thinned and says so


# -- words ------------------------------------------------------------------------------

_VOCABULARY: ContextVar[Mapping[str, str]] = ContextVar("vocabulary", default=MappingProxyType({}))


@contextmanager
def vocabulary(words: Mapping[str, str]) -> Iterator[None]:
    """Figures that are drawn inside call things by other words, as {"trial": "run"} says; a decorator, too.

    Their tables keep the names of columns, and text that comes from a study is left alone.

    Args:
        words: Singular to singular, lower case.
    """
    before = _VOCABULARY.set(words)
    try:
        yield
    finally:
        _VOCABULARY.reset(before)


def say(phrase: str) -> str:
    """A phrase of a figure, without text of a study in it, in the words of whoever looks at it."""
    words = _VOCABULARY.get()
    if not words:
        return phrase

    def other(found: re.Match[str]) -> str:
        noun, plural = found.groups()
        word = words[noun.lower()]
        return f"{word[:1].upper() + word[1:] if noun[0].isupper() else word}{plural}"

    return re.sub(rf"\b({'|'.join(words)})(s?)\b", other, phrase, flags=re.IGNORECASE)


def count(number: int, noun: str) -> str:
    """A number with its noun, in the words of whoever looks at it: "1 trial", "1,200 trials"."""
    return markup.count(number, say(noun))


def scale(colors: Sequence[str]) -> list[tuple[float, str]]:
    """A plotly colour scale of evenly spaced colours."""
    return [(i / (len(colors) - 1), color) for i, color in enumerate(colors)]


def printable(text: str) -> str:
    """User text on one line, for the few places where plotly reads no markup."""
    return "".join(char if char.isprintable() else " " for char in text)


def literal(text: str) -> str:
    """Make plotly draw user text as it stands: no tags, no entities, no TeX, no template, no line breaks."""
    plain = printable(text)
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("$", "&#36;"), ("%{", "&#37;{")):
        plain = plain.replace(char, entity)
    return plain


def goal_title(goal: Objective) -> str:
    """Axis title of an objective: name, unit, which way is better; escaped, on two lines if it is long."""
    label = replace(goal, name=shorten(goal.name, 22), unit=goal.unit and shorten(goal.unit, 12)).label
    name, _, direction = label.rpartition(" (")
    return literal(label) if len(label) <= 40 else f"{literal(name)}<br>{literal('(' + direction)}"


def arrow_title(goal: Objective) -> str:
    """Short axis title of an objective: name, unit, and an arrow to where it is better; escaped."""
    arrow = "→ target" if goal.target is not None else "↓" if goal.direction == "minimize" else "↑"
    return literal(f"{head(goal.name, goal.unit)} {arrow}")


def parameter_title(name: str, unit: str | None) -> str:
    """Axis title of a parameter: name and unit; escaped."""
    return literal(head(name, unit))


# -- the common look --------------------------------------------------------------------


def layout(figure: Figure, title: str, alt: str, caption: str = "") -> Figure:
    """Give a figure the common look, its title, its caption and its text for those who cannot see it.

    Args:
        figure: Changed in place.
        title: The finding in one sentence, plain text.
        alt: What the figure shows, plain text; kept in `figure.layout.meta["alt"]`.
        caption: How to read it, plain text; drawn under the title.
    Returns:
        The same figure.
    """
    lines = [literal(line) for line in textwrap.wrap(caption, 118)]
    heading = textwrap.wrap(title, 80)
    top = 22 + 26 * len(heading) + 18 * len(lines)
    figure.update_layout(
        template=None,
        font={"family": FONT, "size": 13, "color": TEXT},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        title={
            "text": "<br>".join(map(literal, heading)),
            "font": {"size": 17, "color": TEXT, "weight": 600},
            "subtitle": {"text": "<br>".join(lines), "font": {"size": 13, "color": MUTED}},
            "x": 0, "xref": "container", "xanchor": "left",
            "y": 1, "yref": "container", "yanchor": "top",
            "pad": {"t": 12 + 20 * (len(heading) - 1)},  # plotly anchors the last line
        },
        margin={"l": 64, "r": 24, "t": top + 12, "b": 96},
        legend={
            "orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container", "yanchor": "bottom",
            "font": {"color": MUTED}, "bgcolor": CLEAR,
        },
        hoverlabel={
            "bgcolor": GROUND, "bordercolor": STRONG, "align": "left",
            "font": {"color": TEXT, "family": FONT},
        },
        hovermode="closest",
        modebar={"bgcolor": CLEAR, "color": STRONG, "activecolor": TEXT},
        uirevision="kept",  # new data do not throw away how somebody zoomed in
        meta={"title": title, "alt": alt, "caption": caption},
    )  # fmt: skip
    return figure


def darkened(figure: Figure) -> Figure:
    """A copy of a figure for a dark page: every colour that has a dark twin is replaced; data are shared."""
    import plotly.graph_objects as go

    return go.Figure(_darkened(figure.to_dict()), skip_invalid=False)


def _darkened(part: Any) -> Any:
    if isinstance(part, str):
        return DARK.get(part, part)
    if isinstance(part, dict):
        return {key: _darkened(value) for key, value in part.items()}
    if isinstance(part, list | tuple) and len(part) <= 64:  # longer ones are data, not looks
        return [_darkened(item) for item in part]
    return part


def axis(title: str) -> dict[str, Any]:
    """A plotly axis in the common look.

    Args:
        title: Already escaped.
    """
    return {
        "title": {"text": title, "font": {"size": 13, "color": TEXT}, "standoff": 8},
        "tickfont": {"color": MUTED}, "gridcolor": HAIRLINE, "linecolor": STRONG, "tickcolor": STRONG,
        "showline": True, "ticks": "outside", "ticklen": 4, "zeroline": False, "automargin": True,
        "exponentformat": "power",
    }  # fmt: skip


def axis_3d(title: str) -> dict[str, Any]:
    """An axis of a plotly scene in the common look.

    Args:
        title: Already escaped.
    """
    return {
        "title": {"text": title, "font": {"size": 13, "color": TEXT}},
        "tickfont": {"color": MUTED, "size": 11}, "backgroundcolor": CLEAR, "gridcolor": HAIRLINE,
        "linecolor": STRONG, "zeroline": False, "showspikes": False, "exponentformat": "power",
    }  # fmt: skip


def sentence(title: str, text: str) -> Figure:
    """A figure that says why there is nothing to draw, instead of a blank one."""
    import plotly.graph_objects as go

    figure = layout(go.Figure(), title, text)
    figure.add_annotation(
        text="<br>".join(map(literal, textwrap.wrap(text, 40))),
        x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 15, "color": MUTED},
    )  # fmt: skip
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.update_layout(height=260, margin={"b": 24})
