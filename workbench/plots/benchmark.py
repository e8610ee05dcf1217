"""Figures of benchmarks: targets reached, paired differences, convergence, what rankings are worth.

Numbers in, plotly figure out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.plots import theme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    Array = NDArray[np.float64]

# The first contestant is ours: the colour of the best, solid and wide. Colour and dash go together.
_COLORS = (theme.BEST_LINE.color, "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", theme.TEXT)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_BAND = 0.14  # opacity of the quartiles


def targets(curves: Mapping[str, tuple[Array, Array]]) -> Figure:
    """Draw the share of (case, target, seed) reached by evaluations, one step line for each contestant.

    Args:
        curves: Name to evaluations and shares, both of shape (N,).
    """
    import plotly.graph_objects as go

    drawn = {name: curve for name, curve in curves.items() if len(curve[0])}
    if not drawn:
        return theme.sentence("Targets reached", "No run has finished yet.")
    figure = go.Figure()
    for i, (name, (evaluations, shares)) in enumerate(drawn.items()):
        figure.add_trace(
            go.Scatter(
                x=evaluations, y=shares, mode="lines", name=theme.literal(name), line=_line(i) | {"shape": "hv"},
                hovertemplate="%{x:.0f} evaluations: %{y:.0%}",
            )
        )  # fmt: skip
    ends = {name: float(shares[-1]) for name, (_, shares) in drawn.items()}
    lead = max(ends, key=lambda name: ends[name])
    caption = "Share of all (case, target, seed) reached; targets from the whole range of each function to 1e-6 of it."
    alt = f"{caption} At the end: {', '.join(f'{name} {share:.0%}' for name, share in ends.items())}."
    figure.update_xaxes(**theme.axis("evaluations"))
    figure.update_yaxes(**theme.axis("share of targets reached") | {"range": [0, 1], "tickformat": ".0%"})
    theme.layout(figure, f"{lead} reaches most targets: {ends[lead]:.0%}", alt, caption)
    return figure.update_layout(height=460)


def convergence(curves: Mapping[str, Array], case: str, start: int) -> Figure:
    """Draw log10 regret by evaluations: median and quartiles of each contestant.

    Args:
        curves: Name to lower quartile, median and upper quartile, shape (3, N).
        case: Name of the case.
        start: Size of the shared initial design, shaded.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for i, (name, (low, median, high)) in enumerate(curves.items()):
        x = list(range(1, len(median) + 1))
        color = _line(i)["color"]
        figure.add_trace(
            go.Scatter(
                x=x + x[::-1], y=[*high, *low[::-1]], fill="toself", fillcolor=_faint(str(color)), line={"width": 0},
                hoverinfo="skip", showlegend=False, legendgroup=str(i),
            )
        )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=x, y=list(median), mode="lines", name=theme.literal(name), line=_line(i), legendgroup=str(i),
                hovertemplate="%{x} evaluations: %{y:.2f}",
            )
        )  # fmt: skip
    figure.add_vrect(0.5, start + 0.5, fillcolor=theme.SHADE, line_width=0, layer="below")
    ends = {name: float(curve[1][-1]) for name, curve in curves.items()}
    lead = min(ends, key=lambda name: ends[name])
    caption = "Median and quartiles over seeds of log10 regret. Shaded: the shared initial design. Lower is better."
    alt = f"{case}: {caption} Medians at the end: {', '.join(f'{name} {end:.2f}' for name, end in ends.items())}."
    figure.update_xaxes(**theme.axis("evaluations"))
    figure.update_yaxes(**theme.axis("log10 regret"))
    theme.layout(figure, f"{case}: {lead} ends lowest, median {ends[lead]:.2f}", alt, caption)
    return figure.update_layout(height=460)


def differences(rows: Sequence[tuple[str, str, float, float, float]], first: str, level: float) -> Figure:
    """Draw paired differences of log10 regret with their intervals, a row for each case and contestant.

    Args:
        rows: Case, other contestant, mean, lower and upper end in decades.
        first: Whom the others are compared with.
        level: Of the intervals.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    others = list(dict.fromkeys(other for _, other, *_ in rows))
    for i, other in enumerate(others, 1):
        mine = [row for row in rows if row[1] == other]
        figure.add_trace(
            go.Scatter(
                x=[mean for _, _, mean, _, _ in mine],
                y=[theme.literal(f"{case}, {other}") for case, *_ in mine],
                error_x={
                    "type": "data", "symmetric": False,
                    "array": [high - mean for _, _, mean, _, high in mine],
                    "arrayminus": [mean - low for _, _, mean, low, _ in mine],
                },
                mode="markers", name=theme.literal(other), marker={"color": _line(i)["color"], "size": 8},
                hovertemplate="%{x:.2f} decades",
            )
        )  # fmt: skip
    figure.add_vline(0.0, line={"color": theme.MUTED, "width": 1, "dash": "dot"})
    better = sum(high < 0 for *_, high in rows)
    caption = (
        f"{first} minus the other, decades of final regret, paired by seed, with intervals of {level:.0%}. "
        f"Left of zero: {first} is better."
    )
    listed = "; ".join(f"{case}, {other} {mean:.2f} ({low:.2f} to {high:.2f})" for case, other, mean, low, high in rows)
    figure.update_xaxes(**theme.axis("difference of log10 regret"))
    figure.update_yaxes(**theme.axis("") | {"range": [len(rows) - 0.5, -0.5]})
    title = f"{first} is clearly better in {better} of {theme.count(len(rows), 'comparison')}"
    theme.layout(figure, title, f"{caption} {listed}.", caption)
    return figure.update_layout(height=220 + 26 * len(rows))


def orders(ends: Mapping[int, Mapping[int, float]], after: str) -> Figure:
    """Draw how far descent by rankings comes when the best k of m are named, one line for each m.

    Args:
        ends: m to k to the least value that was reached, all positive.
        after: What it was reached after, such as "100 answers".
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for i, (m, reached) in enumerate(sorted(ends.items(), reverse=True)):
        named = sorted(reached)
        figure.add_trace(
            go.Scatter(
                x=named, y=[reached[k] for k in named], mode="lines+markers", name=f"m = {m}", line=_line(i),
                hovertemplate=f"the best %{{x}} of {m}: %{{y:.3g}}",
            )
        )  # fmt: skip
    pairs = {(m, k): value for m, reached in ends.items() for k, value in reached.items()}
    m, k = min(pairs, key=lambda pair: pairs[pair])
    caption = f"Least value after {after}, median over seeds, when the best k of m are put in order. Lower is better."
    alt = f"{caption} {'; '.join(f'({m}, {k}) {value:.3g}' for (m, k), value in sorted(pairs.items()))}."
    figure.update_xaxes(**theme.axis("k, how many are named"))
    figure.update_yaxes(**theme.axis("least value") | {"type": "log"})
    theme.layout(figure, f"After {after} the best {k} of {m} lead furthest: {pairs[m, k]:.3g}", alt, caption)
    return figure.update_layout(height=460)


def decay(rounds: Sequence[int], paths: Mapping[str, tuple[Sequence[float], float]]) -> Figure:
    """Draw the norm of the gradient over rounds, both axes logarithmic, with the slope that each line has there.

    Args:
        rounds: Those that are drawn, from 1, shape (N,).
        paths: Name to norms after them, shape (N,), all positive, and the slope.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for i, (name, (norms, slope)) in enumerate(paths.items()):
        figure.add_trace(
            go.Scatter(
                x=list(rounds), y=list(norms), mode="lines", line=_line(i),
                name=theme.literal(f"{name}, slope {slope:.2f}"), hovertemplate="round %{x}: %{y:.3g}",
            )
        )  # fmt: skip
    caption = "Norm of the gradient after each round of an estimate and a search, median over seeds; logarithmic axes."
    slopes = ", ".join(f"{name} {slope:.2f}" for name, (_, slope) in paths.items())
    steepest = min(paths, key=lambda name: paths[name][1])
    figure.update_xaxes(**theme.axis("round") | {"type": "log"})
    figure.update_yaxes(**theme.axis("norm of the gradient") | {"type": "log"})
    title = f"The gradient shrinks like rounds to the power of {paths[steepest][1]:.2f} with {steepest}"
    theme.layout(figure, title, f"{caption} Slopes: {slopes}.", caption)
    return figure.update_layout(height=460)


def _line(i: int) -> dict[str, object]:
    return {"color": _COLORS[i % len(_COLORS)], "dash": _DASHES[i % len(_DASHES)], "width": 2.5 if i == 0 else 1.8}


def _faint(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{_BAND})"
