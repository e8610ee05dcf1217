"""The hypervolume trace: how much the front dominates after each trial.

Symbols: n trials, m measured objectives, r the reference point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto import hypervolume as dominated
from workbench.pareto import non_dominated
from workbench.plots import theme
from workbench.plots.panels import tally, why_empty
from workbench.trial import History

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

_TITLE = "Hypervolume"
_MOST = 6  # objectives; the exact volume of more takes minutes, and only it is drawn
_BLOCK = 256  # trials that are compared with the front at once
_MARGIN = 0.1  # of the front's range, below its worst: BoTorch's infer_reference_point


def hypervolume(history: History, reference: Mapping[str, float] | None = None) -> Figure:
    """Draw the volume that the front dominates above the reference point, by trial number, as a step line.

    Only trials that count take part: feasible, inside the space, at the target fidelity and task. The whole
    trace stands on one reference point. Coordinates come from `reference`, else from `Objective.reference`, else
    they lie a tenth of the front's range below its worst value; the caption says which.

    Args:
        history: The record.
        reference: Coordinates by objective, user units.
    Returns:
        A plotly figure; its text for those who cannot see it is `layout.meta["alt"]`.
    Raises:
        InvalidValueError: for a study with fewer than two measured objectives, or a reference of another name.
    """
    import plotly.graph_objects as go

    _check(history, reference)
    goals = history.measured
    if len(goals) > _MOST:
        return theme.sentence(
            _TITLE, f"The volume of more than {_MOST} objectives is not drawn: this study has {len(goals)}."
        )
    rows = _counted(history)
    if not rows.size:
        text = why_empty(history) if not history.complete.any() else "No trial counts yet: none keeps every limit."
        return theme.sentence(_TITLE, text)
    point, said = _reference(history, rows, reference)
    steps, volumes = _trace(history, rows, point)
    numbers = history.numbers
    figure = go.Figure(
        go.Scatter(
            x=numbers[np.append(steps, len(numbers) - 1)], y=np.append(volumes, volumes[-1]), mode="lines+markers",
            line={"shape": "hv", "color": theme.BEST_LINE.color, "width": theme.BEST_LINE.width},
            marker=theme.FRONT.marker() | {"size": 5}, name="hypervolume",
            hovertemplate="trial %{x}: %{y:.4g}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(**theme.axis("trial"), tickformat=",d")
    figure.update_yaxes(**theme.axis("dominated volume (higher is better)"), rangemode="tozero")
    found = f"{theme.wording(float(volumes[-1]))} dominated, last grown by trial {numbers[steps[-1]]}"
    if not volumes[-1] > 0:
        found = "Nothing dominated yet: no trial is better than the reference point everywhere"
    caption = f"Reference point: {said}. {tally(history)}"
    alt = f"Hypervolume of the front of {', '.join(goal.name for goal in goals)} by trial number. {found}. {caption}"
    return theme.layout(figure, f"Hypervolume: {found}", alt, caption).update_layout(height=420, showlegend=False)


def hypervolume_table(history: History, reference: Mapping[str, float] | None = None) -> dict[str, list[Any]]:
    """The numbers behind `hypervolume`: each trial that made the volume grow, and the volume after it."""
    _check(history, reference)
    rows = _counted(history)
    if not rows.size or len(history.measured) > _MOST:
        return {"trial": [], "hypervolume": []}
    steps, volumes = _trace(history, rows, _reference(history, rows, reference)[0])
    return {"trial": history.numbers[steps].tolist(), "hypervolume": volumes.tolist()}


def _check(history: History, reference: Mapping[str, float] | None) -> None:
    names = [goal.name for goal in history.measured]
    if len(names) < 2:
        raise InvalidValueError(
            f"a hypervolume needs two measured objectives or more, got {names}; draw the history instead"
        )
    wrong = [name for name in reference or {} if name not in names]
    if wrong:
        raise InvalidValueError(f"reference= takes measured objectives ({', '.join(names)}), got {wrong}")


def _counted(history: History) -> NDArray[np.int64]:
    """Rows that take part, by number."""
    return np.flatnonzero(history.counted & np.isfinite(history.Y).all(axis=1))


def _reference(
    history: History, rows: NDArray[np.int64], given: Mapping[str, float] | None
) -> tuple[NDArray[np.float64], str]:
    """The reference point as utilities, shape (m,), and in words."""
    U = history.utility(history.Y[rows])  # (n, m)
    front = U[non_dominated(U)]
    span = np.ptp(front, axis=0)
    point = front.min(axis=0) - _MARGIN * np.where(span > 0, span, np.maximum(1.0, np.abs(front.min(axis=0))))
    said = []
    for j, goal in enumerate(history.measured):
        stated = (given or {}).get(goal.name, goal.reference)
        if stated is not None:
            raw = np.full(len(history.measured), goal.sign * stated)
            point[j] = history.utility(raw)[j]
            said.append(f"{goal.name} {theme.quantity(stated, goal.unit)}")
        elif goal.target is not None:
            said.append(
                f"{goal.name} {theme.wording(round(-float(point[j]), 12))} off its target (a tenth below the front)"
            )
        else:
            said.append(
                f"{goal.name} {theme.quantity(goal.sign * float(point[j]), goal.unit)} (a tenth below the front)"
            )
    return point, ", ".join(said)


def _trace(
    history: History, rows: NDArray[np.int64], point: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows that made the front grow, and the volume after each; both of shape (k,), k >= 1."""
    U = history.utility(history.Y[rows])  # (n, m)
    front = np.empty((0, U.shape[1]))
    steps, volumes = [], []
    for first in range(0, len(rows), _BLOCK):
        block = slice(first, first + _BLOCK)
        fresh = ~np.any(np.all(front >= U[block, None], axis=2), axis=1)  # (block,): not beaten by earlier blocks
        for row, u in zip(rows[block][fresh].tolist(), U[block][fresh], strict=True):
            if np.any(np.all(front >= u, axis=1)):
                continue  # beaten or equalled within its block: nothing new is dominated
            front = np.vstack([front[~np.all(front <= u, axis=1)], u])
            steps.append(row)
            volumes.append(dominated(front, point))
    return np.array(steps, dtype=np.int64), np.array(volumes)
