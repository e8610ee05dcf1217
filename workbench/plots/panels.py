"""What figures show of a record: each objective's trials in user units, sorted into marks.

Symbols: n trials, m measured objectives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto import non_dominated
from workbench.plots import theme
from workbench.trial import History, TrialState, loads

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

    from workbench.problem import Objective

_HOVER_PARAMS = 12  # a hover label with more lines than this leaves the screen
_ROW_HEIGHT = 300
_FOOT = 0.025  # of the height of a panel


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that share a mark: their rows, where they are drawn, and the word for them."""

    word: str
    mark: theme.Mark
    rows: NDArray[np.int64]
    y: NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One objective of a record.

    Args:
        history: The record.
        column: Which of `history.measured`.
    """

    history: History
    column: int

    @property
    def goal(self) -> Objective:
        """The objective."""
        return self.history.measured[self.column]

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Told values in user units, shape (n,), NaN where there is none."""
        y = self.history.Y[:, self.column] * self.goal.sign  # (n,); the sign of a target is 1
        return np.where(np.isfinite(y), y, np.nan)

    @cached_property
    def sd(self) -> NDArray[np.float64]:
        """Standard errors told, or else the stated noise, shape (n,), NaN where neither is known."""
        stated = self.goal.noise_sd
        told = self.history.sem[:, self.column]
        return np.where(np.isnan(told), np.nan if stated is None else stated, told)

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """What best and front choose from, and has a value here, shape (n,)."""
        return self.history.counted & ~np.isnan(self.values)

    @cached_property
    def utility(self) -> NDArray[np.float64]:
        """The values as something to maximise, shape (n,), -inf for trials that do not count."""
        return np.where(self.counted, self.history.utility(self.history.Y)[:, self.column], -np.inf)

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """Rows of the trials that were better than all counted ones before them."""
        ahead = np.maximum.accumulate(np.concatenate([[-np.inf], self.utility]))  # (n + 1,)
        return np.flatnonzero(self.utility > ahead[:-1])

    @property
    def best(self) -> int | None:
        """Row of the best counted trial in this objective, the earliest of equals."""
        return int(self.steps[-1]) if self.steps.size else None

    @cached_property
    def predicted(self) -> NDArray[np.float64]:
        """Predicted means of the running and waiting trials in user units, shape (n,), NaN elsewhere."""
        out = np.full(len(self.history), np.nan)
        for i in np.flatnonzero(self.history.pending).tolist():
            belief = loads(self.history.rows[i].predicted, {}).get(self.goal.name) or {}
            out[i] = belief.get("mean", np.nan)
        return out

    def groups(self) -> Iterator[Group]:
        """Trials that have a place on the axis of values, those drawn last last."""
        front, several = fronts(self.history), len(self.history.measured) > 1
        measured = ~np.isnan(self.values) & self.history.in_state(
            TrialState.COMPLETE, TrialState.PRUNED, TrialState.INFEASIBLE
        )
        over = measured & ~self.counted & (np.any(self.history.C > 0, axis=1) | self.history.infeasible)
        masks = (
            ("not counted", theme.APART, measured & ~self.counted & ~over, self.values),
            ("beaten" if several else "other trials", theme.BEATEN, self.counted & ~front, self.values),
            ("over a limit", theme.OVER, over, self.values),
            ("running, as predicted", theme.RUNNING, ~np.isnan(self.predicted), self.predicted),
            ("front" if several else "best", theme.FRONT, self.counted & front, self.values),
        )
        for word, mark, mask, y in masks:
            if mask.any():
                yield Group(word, mark, np.flatnonzero(mask), y[mask])

    def rug(self) -> Iterator[Group]:
        """Trials without a value: they stand at the foot of the panel, y = 0."""
        bare, record = np.isnan(self.values), self.history
        masks = (
            ("failed", theme.FAILED, record.failed),
            ("infeasible, no value", theme.OVER, record.infeasible & bare),
            ("ended early, no value", theme.APART, record.pruned & bare),
            ("running", theme.RUNNING, record.pending & np.isnan(self.predicted)),
        )
        for word, mark, mask in masks:
            if mask.any():
                yield Group(word, mark, np.flatnonzero(mask), np.zeros(int(mask.sum())))


def panels(history: History, objective: str | None) -> tuple[Panel, ...]:
    """The panel of one objective, or of every measured one.

    Raises:
        InvalidValueError: if the study measures no objective of that name.
    """
    names = [goal.name for goal in history.measured]
    if objective is not None and objective not in names:
        raise InvalidValueError(
            f"expected a measured objective ({', '.join(names) or 'this study has none'}), "
            f"got {objective!r}; pass one of these names, or None for all"
        )
    return tuple(Panel(history, j) for j, name in enumerate(names) if objective in (None, name))


def fronts(history: History) -> NDArray[np.bool_]:
    """The best trial of a study with one objective, the front of a study with several; shape (n,)."""
    mask = np.zeros(len(history), dtype=bool)
    if len(history.measured) == 1:
        best = history.best()
        if best is not None:
            mask[best] = True
        return mask
    rows = np.flatnonzero(history.counted & np.isfinite(history.Y).all(axis=1))
    mask[rows] = non_dominated(history.utility(history.Y[rows]))
    return mask


def hover(history: History, row: int, full: bool) -> str:
    """Hover label of a trial: number, state, values, and parameters in a full one; escaped."""
    record = history.rows[row]
    told = loads(record.outcomes, {})
    units = {goal.name: goal.unit for goal in history.measured} | {
        limit.name: limit.unit for limit in history.constraints
    }
    lines = [f"Trial {record.number}" + ("" if record.state == "complete" else f", {record.state}")]
    lines += [f"{theme.shorten(name)}: {theme.quantity(value, units.get(name))}" for name, value in told.items()]
    params = list(history.params(row).items()) if full else []
    lines += [f"{theme.shorten(name)} = {theme.wording(value)}" for name, value in params[:_HOVER_PARAMS]]
    lines += [f"and {len(params) - _HOVER_PARAMS} more"] if len(params) > _HOVER_PARAMS else []
    lines += [theme.shorten(record.error, 80)] if record.error else []
    return "<br>".join(map(theme.literal, lines))


def thinned(history: History, chosen: tuple[Panel, ...], most: int) -> tuple[NDArray[np.bool_], str]:
    """The trials that a figure draws, and the sentence that says so if some are left out.

    Args:
        history: The record.
        chosen: The panels of the figure; their best so far and the front are always drawn.
        most: About how many trials to draw; the others are evenly spread.
    Returns:
        Mask, shape (n,), and a sentence, empty when all are drawn.
    """
    n = len(history)
    mask = np.ones(n, dtype=bool)
    if n <= most:
        return mask, ""
    mask[:] = False
    mask[np.linspace(0, n - 1, most).astype(np.int64)] = True
    for keep in (fronts(history), *(panel.steps for panel in chosen)):
        mask[keep] = True
    note = f"Drawn: {int(mask.sum()):,} of {len(history):,} trials, every best so far among them."
    return mask, note


def stack(chosen: tuple[Panel, ...]) -> Figure:
    """One row for each panel, with a hidden second axis from 0 to 1 for the marks at its foot."""
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=len(chosen),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.22 / len(chosen) ** 1.5,
        specs=[[{"secondary_y": True}]] * len(chosen),
    )
    for row, panel in enumerate(chosen, 1):
        look = theme.axis(theme.goal_title(panel.goal))
        figure.update_yaxes(**look, row=row, col=1, secondary_y=False)
    figure.update_xaxes(domain=[0, 1])  # the hidden axis needs no room
    figure.update_yaxes(range=[0, 1], visible=False, fixedrange=True, secondary_y=True)
    return figure.update_layout(height=150 + _ROW_HEIGHT * len(chosen))


def add_trials(figure: Figure, row: int, panel: Panel, x: NDArray[np.float64], drawn: NDArray[np.bool_]) -> None:
    """Draw the trials of a panel: at their values, or at the foot those that have none.

    Args:
        figure: As `stack` made it.
        row: Row of the figure, from 1.
        panel: The trials.
        x: Their places, shape (n,).
        drawn: Which are drawn, shape (n,).
    """
    for foot, groups in ((False, panel.groups()), (True, panel.rug())):
        for group in groups:
            if drawn[group.rows].any():
                _add_group(figure, row, panel.history, group, x, drawn, foot)


def _add_group(
    figure: Figure,
    row: int,
    history: History,
    group: Group,
    x: NDArray[np.float64],
    drawn: NDArray[np.bool_],
    foot: bool,
) -> None:
    import plotly.graph_objects as go

    shown = drawn[group.rows]
    rows, few = group.rows[shown], int(drawn.sum()) <= theme.SVG_LIMIT
    known = {trace.name for trace in figure.data}
    trace = (go.Scatter if few else go.Scattergl)(
        x=x[rows],
        y=np.full(rows.size, _FOOT) if foot else group.y[shown],
        mode="markers",
        marker=group.mark.marker(),
        name=group.word,
        legendgroup=group.word,
        showlegend=group.word not in known,
        customdata=history.numbers[rows],
        hovertext=[hover(history, i, few) for i in rows.tolist()],
        hoverinfo="text",
    )
    figure.add_trace(trace, row=row, col=1, secondary_y=foot)


def nothing_yet(history: History, chosen: tuple[Panel, ...], title: str) -> Figure | None:
    """The figure that says why there is no value to draw; None when there is one."""
    if any(True for panel in chosen for _ in panel.groups()):
        return None
    return theme.sentence(title, why_empty(history))


def why_empty(history: History) -> str:
    """A sentence for a record without values: what there is, and what to do."""
    if not history.measured:
        return "This study is judged by people only. It has no measured objective to draw."
    running, finished = int(history.pending.sum()), int(history.finished.sum())
    if finished:
        failed = int(history.failed.sum())
        end = f" {failed} of them failed: see their errors." if failed else ""
        return f"{theme.count(finished, 'finished trial')}, none with a value.{end}"
    start = (
        f"{theme.count(running, 'trial')} under way. Tell a result"
        if running
        else "Ask for a trial and tell its result"
    )
    return f"No finished trials yet. {start}, and it is drawn here."
