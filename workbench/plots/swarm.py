"""A swarm on its way: particles and consensus in two columns, and how spread, effective size and gradient went.

Symbols: T frames, n particles, k latent columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from workbench.trial import History

    Array = NDArray[Any]
    Trace = Mapping[str, Array]

_TITLE = "Swarm"
_FRAMES = 40  # stops of the slider
_MOMENT = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
_PLAYED = _MOMENT | {"frame": {"duration": 150, "redraw": True}}  # milliseconds of a stop


def swarm_trace(history: History) -> dict[str, NDArray[Any]]:
    """What the record says of a swarm that was asked and told: a frame each time every particle has moved on average.

    Returns:
        As the trace of a vectorised run: "step" (T,), "spread" (T,), "size" (T,), "gradient" (T,), NaN where there is
        none, "consensus" (T, k), "particles" (T, n, k), "columns" (k,) and "contraction" (); empty where there is no
        swarm.
    """
    notes = [
        (i, history.meta(i)["cbo"]) for i, row in enumerate(history.rows)
        if row.meta and '"cbo":' in row.meta and row.space_version == history.spaces.version
    ]  # fmt: skip
    moved = [(i, note) for i, note in notes if "c" in note]
    if not moved:
        return {}
    latest: dict[int, int] = {}
    frames, every = [], max(1, len({note["particle"] for _, note in notes}))
    for count, (i, note) in enumerate(notes):
        latest[int(note["particle"])] = i
        if "c" in note and (count % every == every - 1 or i == moved[-1][0]):
            frames.append((count // every, note, sorted(latest.values())))
    if not frames:
        return {}
    n = max(len(rows) for _, _, rows in frames)
    X = np.full((len(frames), n, len(frames[0][1]["c"])), np.nan)
    for t, (_, _, rows) in enumerate(frames):
        for j, row in enumerate(rows):
            noted = history.meta(row)["cbo"]
            place = np.array(noted["z"]) if "z" in noted else history.X[row]
            if len(place) == X.shape[2]:
                X[t, j] = place
    columns = frames[0][1].get("columns", history.space.columns)
    return {
        "step": np.array([step for step, _, _ in frames]),
        "spread": np.array([note["spread"] for _, note, _ in frames]),
        "size": np.array([note["size"] for _, note, _ in frames]),
        "gradient": np.array([note.get("gradient", np.nan) for _, note, _ in frames]),
        "consensus": np.array([note["c"] for _, note, _ in frames]), "particles": X, "columns": np.array(columns),
        "contraction": np.array(frames[-1][1].get("contraction", np.nan)),
    }  # fmt: skip


def swarm(trace: Trace, x: str | None = None, y: str | None = None) -> Figure:
    """Draw the particles of one moment over the path of their consensus; a slider chooses it, a button plays all.

    Below are the spread and the effective size, step by step.

    Args:
        trace: Of a vectorised run (its attachment "trace-cbo.npz"), or of `swarm_trace`.
        x, y: Columns to draw; the two in which the swarm was widest at first where absent.
    Returns:
        A plotly figure; its text for those who cannot see it is `layout.meta["alt"]`.
    Raises:
        InvalidValueError: for an unknown column.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    if not trace or not len(trace["step"]):
        return theme.sentence(_TITLE, "No swarm has moved in this study yet.")
    names = [str(name) for name in trace["columns"]]
    a, b = _columns(trace, names, x, y)
    shown = np.unique(np.linspace(0, len(trace["step"]) - 1, _FRAMES).round().astype(int))
    steps = trace["step"][shown]
    P, C = trace["particles"][shown], trace["consensus"][shown]
    panels: list[list[dict[str, bool]]] = [[{}], [{"secondary_y": True}]]
    figure = make_subplots(rows=2, cols=1, row_heights=[0.68, 0.32], vertical_spacing=0.16, specs=panels)
    figure.add_trace(_cloud(P, C, len(steps) - 1, (a, b), steps), row=1, col=1)
    figure.add_trace(_path(P, C, len(steps) - 1, (a, b), steps), row=1, col=1)
    spread = np.where(trace["spread"] > 0, trace["spread"], np.nan)
    figure.add_scatter(
        x=trace["step"], y=spread, mode="lines", name="spread", row=2, col=1, line={"color": theme.SERIES[0]},
        hovertemplate="step %{x}: spread %{y:.2g}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=trace["step"], y=trace["size"], mode="lines", name="effective size", row=2, col=1, secondary_y=True,
        line={"color": theme.SERIES[1], "dash": "dot"}, hovertemplate="step %{x}: made of %{y:.1f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(**theme.axis(f"{theme.literal(names[a])}, encoded"), range=_reach(P, C, a), row=1, col=1)
    figure.update_yaxes(**theme.axis(f"{theme.literal(names[b])}, encoded"), range=_reach(P, C, b), row=1, col=1)
    figure.update_xaxes(**theme.axis("step"), tickformat=",d", row=2, col=1)
    figure.update_yaxes(**theme.axis("spread"), type="log", row=2, col=1, secondary_y=False)
    beside = theme.axis("effective size") | {"showgrid": False, "tickmode": "auto", "nticks": 4, "rangemode": "tozero"}
    figure.update_yaxes(**beside, row=2, col=1, secondary_y=True)
    figure.frames = [
        go.Frame(name=str(step), data=[made(P, C, t, (a, b), steps) for made in (_cloud, _path)], traces=[0, 1])
        for t, step in enumerate(steps)
    ]
    stops = [
        {"method": "animate", "label": f"{step:,}", "args": [[str(step)], _MOMENT]} for step in steps
    ]  # fmt: skip
    last = int(trace["step"][-1])
    found = f"spread {trace['spread'][-1]:.2g} after {last:,} steps, a consensus of {trace['size'][-1]:.0f}"
    caption = "Particles of the step on the slider, and the path of their consensus up to it."
    if "contraction" in trace and np.isfinite(trace["contraction"]):
        caption += f" Contraction of a step, mean of the log of the spread: {float(trace['contraction']):.2g}."
    if "gradient" in trace and np.isfinite(trace["gradient"][-1]):
        caption += f" Implied gradient at the end: {trace['gradient'][-1]:.2g}."
    alt = f"Particles of a swarm over {names[a]} and {names[b]}, with their consensus: {found}. {caption}"
    drawn = theme.layout(figure, f"Swarm: {found}", alt, caption)
    shown_step = {"prefix": "step ", "font": {"color": theme.MUTED}}
    slider = {
        "active": len(steps) - 1, "steps": stops, "currentvalue": shown_step, "font": {"color": theme.MUTED}, "x": 0.1,
        "len": 0.9, "pad": {"t": 60}, "bgcolor": theme.HAIRLINE, "bordercolor": theme.STRONG,
        "activebgcolor": theme.STRONG, "tickcolor": theme.STRONG,
    }  # fmt: skip
    buttons = [
        {"method": "animate", "label": "Play", "args": [None, _PLAYED]},
        {"method": "animate", "label": "Pause", "args": [[None], _MOMENT]},
    ]
    play = {
        "type": "buttons", "direction": "down", "showactive": False, "buttons": buttons, "x": 0, "xanchor": "left",
        "y": 0, "yanchor": "top", "pad": {"t": 60}, "font": {"color": theme.TEXT}, "bgcolor": theme.GROUND,
        "bordercolor": theme.STRONG,
    }  # fmt: skip
    return drawn.update_layout(height=760, margin_b=150, sliders=[slider], updatemenus=[play])


def _cloud(P: Array, C: Array, t: int, at: tuple[int, int], steps: Array) -> dict[str, Any]:
    """Particles of a stop."""
    return {
        "type": "scatter", "x": P[t, :, at[0]], "y": P[t, :, at[1]], "mode": "markers", "name": "particles",
        "marker": theme.BEATEN.marker(), "hovertemplate": f"step {steps[t]}<br>%{{x:.3g}}, %{{y:.3g}}<extra></extra>",
    }  # fmt: skip


def _path(P: Array, C: Array, t: int, at: tuple[int, int], steps: Array) -> dict[str, Any]:
    """Consensus up to a stop."""
    return {
        "type": "scatter", "x": C[: t + 1, at[0]], "y": C[: t + 1, at[1]], "mode": "lines+markers", "name": "consensus",
        "line": {"color": theme.BEST_LINE.color, "width": theme.BEST_LINE.width},
        "marker": {"size": [5] * t + [12], "color": theme.BEST_LINE.color},
        "hovertemplate": "consensus<br>%{x:.3g}, %{y:.3g}<extra></extra>",
    }  # fmt: skip


def swarm_table(trace: Trace) -> dict[str, list[Any]]:
    """The numbers behind `swarm`: step, spread, effective size, implied gradient where there is one, and consensus."""
    if not trace or not len(trace["step"]):
        return {"step": [], "spread": [], "effective size": []}
    table = {
        "step": trace["step"].tolist(),
        "spread": trace["spread"].tolist(),
        "effective size": trace["size"].tolist(),
    }
    if "gradient" in trace:
        table["implied gradient"] = trace["gradient"].tolist()
    for j, name in enumerate(trace["columns"]):
        table[f"consensus of {name}"] = trace["consensus"][:, j].tolist()
    return table


def _reach(P: NDArray[Any], C: NDArray[Any], j: int) -> list[float]:
    """Ends of an axis that stay while the slider moves."""
    low = min(np.nanmin(P[:, :, j]), C[:, j].min())
    high = max(np.nanmax(P[:, :, j]), C[:, j].max())
    room = 0.05 * (high - low) or 0.05
    return [float(low - room), float(high + room)]


def _columns(trace: Trace, names: list[str], x: str | None, y: str | None) -> tuple[int, int]:
    for name in (x, y):
        if name is not None and name not in names:
            raise InvalidValueError(f"a swarm has the columns {', '.join(names)}; got {name!r}")
    wide = np.nan_to_num(np.nanstd(trace["particles"][0], axis=0))
    order = [int(j) for j in np.argsort(-wide, kind="stable")]
    a = names.index(x) if x is not None else next(j for j in order if y is None or names[j] != y)
    if y is not None:
        return a, names.index(y)
    return a, next((j for j in order if j != a), a)
