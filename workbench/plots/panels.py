"""What figures show of a record: each objective's trials in user units, sorted into marks.

Symbols: n trials, m measured objectives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.errors import InvalidValueError
from workbench.pareto import extent
from workbench.plots import theme
from workbench.problem import Objective
from workbench.space.geometry import at_target
from workbench.trial import History, TrialState, loads

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

_HOVER_PARAMS = 12  # a hover label with more lines than this leaves the screen
_ROW_HEIGHT = 300
_FOOT = 0.025  # of the height of a panel


class Kind(NamedTuple):
    """Trials that look alike in every figure: the word for them, their mark, and which they are, shape (n,)."""

    word: str
    mark: theme.Mark
    mask: NDArray[np.bool_]


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
        normalised: Are places shares of the range of the front, 0 the worst on it (nadir) and 1 the best (ideal)?
    """

    history: History
    column: int
    normalised: bool = False

    @property
    def goal(self) -> Objective:
        """The objective."""
        return self.history.measured[self.column]

    @cached_property
    def shown(self) -> Objective:
        """The objective as it stands on the axis: itself, or the share of the front's range, to be maximised."""
        goal = self.goal
        if not self.normalised:
            return goal
        threshold, reference = (
            None if level is None else float(self.on_axis(np.array(level)))
            for level in (goal.threshold, goal.reference)
        )
        return Objective(goal.name, "maximize", unit="0 to 1", threshold=threshold, reference=reference)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Best utility on the front, and how far the worst is below it; 1 where they are equal."""
        nadir, ideal = extent(self.history.utility(self.history.Y[self.history.front]))
        span = float(ideal[self.column] - nadir[self.column])
        return float(ideal[self.column]), span if span > 0 else 1.0

    @property
    def stretch(self) -> float:
        """What a difference of 1 on the axis is in user units."""
        return self._ends[1] if self.normalised else 1.0

    def from_utility(self, utility: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where utilities stand on the axis, of an objective without a target, or normalised; any shape."""
        if not self.normalised:
            return utility * self.goal.sign
        ideal, span = self._ends
        return 1.0 + (utility - ideal) / span

    def on_axis(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where values in user units stand on the axis, any shape."""
        if not self.normalised:
            return values
        lines = np.full((*np.shape(values), len(self.history.measured)), np.nan)
        lines[..., self.column] = values * self.goal.sign
        return self.from_utility(self.history.utility(lines)[..., self.column])

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
    def rank(self) -> NDArray[np.float64]:
        """How good each counted trial is among them: 0 for the worst to 1 for the best, shape (n,), 0 elsewhere."""
        out, rows = np.zeros(len(self.history)), np.flatnonzero(self.counted)
        order = np.unique(self.utility[rows], return_inverse=True)[1]
        out[rows] = order / max(1, int(order.max(initial=0)))
        return out

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
        return self._foreseen("mean")

    @cached_property
    def predicted_sd(self) -> NDArray[np.float64]:
        """Standard deviations of `predicted`, shape (n,), NaN where there is none."""
        return self._foreseen("sd")

    def _foreseen(self, part: str) -> NDArray[np.float64]:
        out = np.full(len(self.history), np.nan)
        for i in np.flatnonzero(self.history.pending).tolist():
            belief = loads(self.history.rows[i].predicted, {}).get(self.goal.name) or {}
            out[i] = belief.get(part, np.nan)
        return out

    @cached_property
    def place(self) -> NDArray[np.float64]:
        """Where trials stand on the axis: as told, or as predicted while pending; shape (n,), else NaN."""
        return self.on_axis(np.where(self.history.pending, self.predicted, self.values))

    def groups(self) -> Iterator[Group]:
        """Trials that have a place on the axis of values, those drawn last last."""
        for kind in kinds(self.history, "running, as predicted"):
            rows = np.flatnonzero(kind.mask & ~np.isnan(self.place))
            if rows.size:
                yield Group(kind.word, kind.mark, rows, self.place[rows])

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


def panels(history: History, objective: str | None, *, normalised: bool = False) -> tuple[Panel, ...]:
    """The panel of one objective, or of every measured one. Arguments as of `Panel`.

    Raises:
        InvalidValueError: if the study measures no objective of that name.
    """
    names = [goal.name for goal in history.measured]
    if objective is not None and objective not in names:
        raise InvalidValueError(
            f"expected a measured objective ({', '.join(names) or 'this study has none'}), "
            f"got {objective!r}; pass one of these names, or None for all"
        )
    return tuple(Panel(history, j, normalised) for j, name in enumerate(names) if objective in (None, name))


def fronts(history: History) -> NDArray[np.bool_]:
    """The best trial of a study with one objective, the front of a study with several; shape (n,)."""
    if len(history.measured) != 1:
        return history.front.copy()
    mask, best = np.zeros(len(history), dtype=bool), history.best()
    if best is not None:
        mask[best] = True
    return mask


def kinds(history: History, running: str = "running") -> tuple[Kind, ...]:
    """The kinds of trials that a figure draws where they have a place, those drawn last last; no trial is of two.

    Args:
        history: The record.
        running: The word for running and waiting trials.
    """
    front, several = fronts(history), len(history.measured) > 1
    told = history.in_state(TrialState.COMPLETE, TrialState.PRUNED, TrialState.INFEASIBLE) & ~history.counted
    over = told & (np.any(history.C > 0, axis=1) | history.infeasible)
    return (
        Kind("not counted", theme.APART, told & ~over),
        Kind("beaten" if several else "other trials", theme.BEATEN, history.counted & ~front),
        Kind("over a limit", theme.OVER, over),
        Kind(running, theme.RUNNING, history.pending),
        Kind("front" if several else "best", theme.FRONT, front),
    )


def units(history: History) -> dict[str, str | None]:
    """Units by name of what a trial tells: measured objectives, then limits."""
    goals = {goal.name: goal.unit for goal in history.measured}
    return goals | {limit.name: limit.unit for limit in history.constraints}


def hover(history: History, row: int, full: bool) -> str:
    """Hover label of a trial: number, state, values, and parameters in a full one; escaped."""
    record = history.rows[row]
    told, unit = loads(record.outcomes, {}), units(history)
    lines = [f"{theme.say('Trial')} {record.number}" + ("" if record.state == "complete" else f", {record.state}")]
    lines += [f"{theme.shorten(name)}: {theme.quantity(value, unit.get(name))}" for name, value in told.items()]
    params = list(history.settings(row).items()) if full else []
    lines += [f"{theme.shorten(name)} = {theme.wording(value)}" for name, value in params[:_HOVER_PARAMS]]
    lines += [f"and {len(params) - _HOVER_PARAMS} more"] if len(params) > _HOVER_PARAMS else []
    lines += [theme.shorten(record.error, 80)] if record.error else []
    return "<br>".join(map(theme.literal, lines))


def finding(chosen: tuple[Panel, ...]) -> str:
    """The best of each objective so far, in a sentence without its full stop; plain text."""
    found = [_best_words(panel) for panel in chosen]
    return (
        f"Best so far: {'; '.join(found)}"
        if any(panel.best is not None for panel in chosen)
        else theme.say("No trial counts yet")
    )


def _best_words(panel: Panel) -> str:
    row, name = panel.best, theme.shorten(panel.goal.name)
    if row is None:
        return f"{name} none"
    value = theme.quantity(float(panel.values[row]), panel.goal.unit, float(panel.sd[row]))
    return f"{name} {value} at {theme.say('trial')} {panel.history.numbers[row]}"


def tally(history: History) -> str:
    """How many trials there are and what became of them: "12 trials: 10 complete, 2 failed."."""
    states = [row.state for row in history.rows]
    parts = [f"{states.count(state):,} {state}" for state in dict.fromkeys(states)]
    over = int((history.complete & np.any(history.C > 0, axis=1)).sum())
    limit = f" {over:,} over a limit." if over else ""
    return f"{theme.count(len(states), 'trial')}: {', '.join(parts)}.{limit}"


def thinned(
    history: History, chosen: tuple[Panel, ...], most: int, among: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], str]:
    """The trials that a figure draws, and the sentence that says so if some are left out.

    Args:
        history: The record.
        chosen: The panels of the figure; their best so far and the front are always drawn.
        most: About how many trials to draw; the others are evenly spread.
        among: Which trials have a place in the figure, shape (n,); None: all.
    Returns:
        Mask, shape (n,), and a sentence, empty when all are drawn.
    """
    placed = np.ones(len(history), dtype=bool) if among is None else among
    total = int(placed.sum())
    if total <= most:
        return placed.copy(), ""
    mask = kept(history, chosen) & placed
    rows = np.flatnonzero(placed)
    mask[rows[np.linspace(0, total - 1, most).astype(np.int64)]] = True
    front = " and the whole front" if len(history.measured) > 1 else ""
    note = f"Drawn: {int(mask.sum()):,} of {theme.count(total, 'trial')}, every best so far{front} among them."
    return mask, note


def kept(history: History, chosen: tuple[Panel, ...]) -> NDArray[np.bool_]:
    """The trials that no figure leaves out: the best or the front, and every best so far; shape (n,)."""
    mask = fronts(history)
    for panel in chosen:
        mask[panel.steps] = True
    return mask


def listed(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers for a table, None for NaN."""
    return [None if np.isnan(value) else value for value in values.tolist()]


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
    shown = drawn[group.rows]
    rows, few = group.rows[shown], int(drawn.sum()) <= theme.SVG_LIMIT
    y = np.full(rows.size, _FOOT) if foot else group.y[shown]
    trace = trial_trace(history, group.word, group.mark, rows, (x[rows], y), few=few)
    trace.showlegend = theme.say(group.word) not in {one.name for one in figure.data}
    figure.add_trace(trace, row=row, col=1, secondary_y=foot)


def trial_trace(
    history: History,
    word: str,
    mark: theme.Mark,
    rows: NDArray[np.int64],
    places: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    few: bool,
    labelled: bool = True,
) -> Any:
    """A plotly trace of trials that share a mark; a trial's number is its `customdata`.

    Args:
        history: The record.
        word: What they are, for the legend.
        mark: How they look.
        rows: Rows of the trials, shape (k,).
        places: Where they stand, two arrays of shape (k,).
        few: As SVG with full hover labels; False for WebGL with short ones.
        labelled: With hover labels at all.
    """
    import plotly.graph_objects as go

    return (go.Scatter if few else go.Scattergl)(
        x=places[0],
        y=places[1],
        mode="markers",
        marker=mark.marker(),
        name=theme.say(word),
        legendgroup=word,
        customdata=history.numbers[rows],
        hovertext=[hover(history, i, few) for i in rows.tolist()] if labelled else None,
        hoverinfo="text",
    )


def add_goal_lines(figure: Figure, goal: Objective, *, upright: bool, place: dict[str, Any], log: bool = False) -> None:
    """Draw the target with its tolerance, or the threshold, as a line behind the trials.

    Args:
        figure: Changed in place.
        goal: The objective.
        upright: Across the axis of x instead of that of y.
        place: Where plotly puts a shape: row, col, layer and the like.
        log: The axis is logarithmic: words stand there at exponents, and nothing at 0 and below.
    """

    def drawn(value: float, word: str) -> None:
        if value > 0 or not log:
            at = {"annotation_x" if upright else "annotation_y": math.log10(value)} if log else {}
            stroke(value, line=line, annotation_text=word, **at, **place)

    band, stroke = (figure.add_vrect, figure.add_vline) if upright else (figure.add_hrect, figure.add_hline)
    line = {"color": theme.GOAL_LINE.color, "width": theme.GOAL_LINE.width, "dash": "dot"}
    if goal.target is not None:
        low, high = goal.target - goal.tolerance, goal.target + goal.tolerance
        if high > low and (low > 0 or not log):
            band(low, high, line_width=0, fillcolor=theme.GOAL_LINE.band, **place)
        drawn(goal.target, "target")
    if goal.threshold is not None:
        drawn(goal.threshold, "threshold")


def nothing_yet(history: History, chosen: tuple[Panel, ...], title: str) -> Figure | None:
    """The figure that says why there is no value to draw; None when there is one."""
    if any(True for panel in chosen for _ in panel.groups()):
        return None
    return theme.sentence(title, why_empty(history))


def no_range(history: History, normalise: bool, title: str) -> Figure | None:
    """The figure that says why nothing can be normalised; None where that is possible, or not asked for."""
    if not normalise or history.front.any():
        return None
    return theme.sentence(title, theme.say("No trial is on a front yet, so there is no range to normalise by."))


def why_none_counts(history: History) -> str:
    """A sentence for a record of which no trial counts: what each of those with a value lacks."""
    complete = history.complete
    if not complete.any():
        return why_empty(history)
    over = complete & ~history.feasible
    outside = complete & ~history.inside & ~over
    bare = complete & np.isnan(history.Y).any(axis=1) & ~over & ~outside
    elsewhere = complete & history.inside & ~at_target(history.space, history.X) & ~over & ~bare
    broken = complete & ~(over | outside | bare | elsewhere)
    reasons = (
        (over, "over a limit"), (outside, "outside the space"), (bare, "without a value of some objective"),
        (elsewhere, "not at the target fidelity or task"), (broken, "against a known constraint"),
    )  # fmt: skip
    found = [(int(rows.sum()), what) for rows, what in reasons if rows.any()]
    if len(found) == 1:
        return f"Every value is {found[0][1]}." if found[0][0] > 1 else f"Its value is {found[0][1]}."
    return f"Of the values {', '.join(f'{count} are {what}' for count, what in found)}."


def why_empty(history: History) -> str:
    """A sentence for a record without values: what there is, and what to do."""
    if not history.measured:
        return theme.say("This study is judged by people only. It has no measured objective to draw.")
    running, finished = int(history.pending.sum()), int(history.finished.sum())
    if finished:
        failed = int(history.failed.sum())
        end = f" {failed} of them failed: see their errors." if failed else ""
        return f"{theme.count(finished, 'finished trial')}, none with a value.{end}"
    start = (
        f"{theme.count(running, 'trial')} under way. Tell a result"
        if running
        else theme.say("Ask for a trial and tell its result")
    )
    return f"{theme.say('No finished trials yet.')} {start}, and it shows here."
