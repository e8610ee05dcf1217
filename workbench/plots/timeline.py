"""The timeline: when each trial ran, by which worker, and how it ended."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from workbench.plots import theme
from workbench.plots.panels import hover, kinds, tally
from workbench.trial import History, TrialState
from workbench.trial import now as clock

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from plotly.graph_objects import Figure

_TITLE = "Timeline"
_PATTERNS = {
    theme.FRONT: "", theme.BEATEN: "", theme.APART: "-", theme.OVER: "x", theme.RUNNING: ".", theme.FAILED: "/",
}  # fmt: skip
_LANE, _TRACK, _TALLEST = 34, 18, 900  # px: a lane of one track, each further track, all lanes together
_GAP = 0.5  # between lanes, in tracks
_THICK = 0.8  # of a track
_THINNEST = 0.002  # of the time shown; a bar must be seen


@dataclass(frozen=True)
class Bars:
    """Trials that have a start, as bars; k of them, in the order of their starts.

    Args:
        rows: Rows of the record, shape (k,).
        start: Seconds since 1970, shape (k,).
        end: Seconds since 1970, shape (k,); now for running trials.
        lane: Index of the worker, shape (k,).
        track: Place within the lane, shape (k,), so that trials at the same time do not cover each other.
        workers: Names of the lanes.
    """

    rows: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    lane: NDArray[np.int64]
    track: NDArray[np.int64]
    workers: tuple[str, ...]

    @property
    def height(self) -> NDArray[np.float64]:
        """Centres of the bars on the axis, shape (k,), lanes from top to bottom."""
        return np.asarray(self.tops[self.lane] + self.track + 0.5)

    @property
    def tracks(self) -> NDArray[np.int64]:
        """Tracks of each lane, shape (number of workers,)."""
        most = np.zeros(len(self.workers), dtype=np.int64)
        np.maximum.at(most, self.lane, self.track + 1)
        return most

    @property
    def tops(self) -> NDArray[np.float64]:
        """Upper edges of the lanes, shape (number of workers,)."""
        return np.concatenate([[0.0], np.cumsum(self.tracks + _GAP)[:-1]])


def timeline(history: History, *, now: float | None = None, most: int = 2_000) -> Figure:
    """Draw a bar for each trial from start to finish, a lane for each worker.

    A worker is a process on a machine. Trials that one worker has at the same time lie above each
    other in its lane; running ones end at `now`. Trials without a start, such as waiting ones, have no bar.

    Args:
        history: The record.
        now: Seconds since 1970; None for the present.
        most: How many trials to draw of a huge record: the ones that started last.
    """
    at = clock() if now is None else now
    bars, left = _bars(history, at, most)
    if not bars.rows.size:
        text = f"{theme.count(len(history), 'trial')}, none that has started." if len(history) else theme.say(_NOTHING)
        return theme.sentence(_TITLE, text)
    figure = _lanes(bars)
    for word, mark, mask in _looks(history):
        shown = mask[bars.rows]
        if shown.any():
            figure.add_trace(_trace(history, bars, shown, word, mark))
    return _say(figure, history, bars, left)


def timeline_table(history: History, *, now: float | None = None) -> dict[str, list[Any]]:
    """The numbers behind `timeline`: trial, state, worker, start and end in seconds since 1970, seconds between."""
    bars, _ = _bars(history, clock() if now is None else now, len(history))
    return {
        "trial": history.numbers[bars.rows].tolist(),
        "state": [history.rows[i].state for i in bars.rows.tolist()],
        "worker": [bars.workers[i] for i in bars.lane.tolist()],
        "start [s]": bars.start.tolist(),
        "end [s]": bars.end.tolist(),
        "duration [s]": (bars.end - bars.start).tolist(),
    }


_BY_HAND = "added by hand"
_NOTHING = "No trials yet. Ask for one, and it shows here."


# -- where the bars are -------------------------------------------------------------------


def _bars(history: History, at: float, most: int) -> tuple[Bars, int]:
    """The bars, and how many trials with a start are left out."""
    running = history.in_state(TrialState.RUNNING)
    start = np.array([np.nan if row.started is None else row.started for row in history.rows], dtype=np.float64)
    told = np.array([np.nan if row.finished is None else row.finished for row in history.rows], dtype=np.float64)
    end = np.where(running, np.fmax(at, start), told)
    rows = np.flatnonzero(np.isfinite(start) & np.isfinite(end))
    rows = rows[np.argsort(start[rows], kind="stable")]
    left, rows = max(0, rows.size - most), rows[-most:] if most else rows[:0]
    names: dict[str, int] = {}
    lane = np.array([names.setdefault(_worker(history, i), len(names)) for i in rows.tolist()], dtype=np.int64)
    end = np.maximum(start, end)[rows]
    return Bars(rows, start[rows], end, lane, _tracks(start[rows], end, lane), tuple(names)), left


def _worker(history: History, row: int) -> str:
    owner = history.rows[row].owner
    if owner is None:
        return _BY_HAND
    told = orjson.loads(owner)
    return f"{told['host']}, process {told['pid']}"


def _tracks(start: NDArray[np.float64], end: NDArray[np.float64], lane: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first free track of its lane for each bar, bars in the order of their starts, shape (k,)."""
    free: dict[int, list[float]] = {}
    out = np.zeros(start.size, dtype=np.int64)
    for i, (begin, stop, where) in enumerate(zip(start.tolist(), end.tolist(), lane.tolist(), strict=True)):
        until = free.setdefault(where, [])
        track = next((j for j, busy in enumerate(until) if busy <= begin), len(until))
        until[track : track + 1] = [stop]
        out[i] = track
    return out


# -- how they look --------------------------------------------------------------------------


def _looks(history: History) -> list[tuple[str, theme.Mark, NDArray[np.bool_]]]:
    """Word, mark and mask of every kind of trial; those ended early apart from the others that do not count."""
    looks = [(word, mark, mask & ~history.pruned) for word, mark, mask in kinds(history)]
    gone = history.in_state(TrialState.REJECTED, TrialState.VOID)
    return [
        *looks,
        ("ended early", theme.APART, history.pruned),
        ("failed", theme.FAILED, history.failed),
        ("rejected or void", theme.TRIED, gone),
    ]


def _trace(history: History, bars: Bars, shown: NDArray[np.bool_], word: str, mark: theme.Mark) -> Any:
    import plotly.graph_objects as go

    shape = _PATTERNS.get(mark, "\\")
    rows, start, end = bars.rows[shown], bars.start[shown], bars.end[shown]
    least = _THINNEST * float(bars.end.max() - bars.start.min())
    pattern = {"shape": shape, "fgcolor": mark.color, "bgcolor": theme.CLEAR, "size": 6, "solidity": 0.4}
    return go.Bar(
        base=[_stamp(second) for second in start.tolist()],
        x=np.maximum(end - start, least) * 1_000,  # plotly counts the length of such bars in ms
        y=bars.height[shown], width=_THICK, orientation="h", name=word,
        marker={"color": mark.color, "pattern": pattern if shape else None,
                "line": {"color": mark.outline or mark.color, "width": 1}},
        customdata=history.numbers[rows],
        hovertext=[f"{hover(history, i, False)}<br>{_lasted(s)}" for i, s in zip(
            rows.tolist(), (end - start).tolist(), strict=True)],
        hoverinfo="text",
    )  # fmt: skip


def _lanes(bars: Bars) -> Figure:
    import plotly.graph_objects as go

    total = float(bars.tops[-1] + bars.tracks[-1])
    figure = go.Figure()
    high = min(_TALLEST, _LANE * len(bars.workers) + _TRACK * int((bars.tracks - 1).sum()))
    figure.update_layout(height=max(120, high) + 220, barmode="overlay")
    figure.update_xaxes(**theme.axis("time (UTC)"), type="date")
    figure.update_yaxes(
        **theme.axis("") | {"showgrid": False, "ticks": ""},
        tickvals=bars.tops + bars.tracks / 2,
        ticktext=[theme.literal(theme.shorten(name, 28)) for name in bars.workers],
        range=[total + 0.2, -0.2],
    )
    return figure


def _stamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _lasted(seconds: float) -> str:
    """A duration in words, such as "1 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _say(figure: Figure, history: History, bars: Bars, left: int) -> Figure:
    span = float(bars.end.max() - bars.start.min())
    own = len([name for name in bars.workers if name != _BY_HAND])
    workers = f", {theme.count(own, 'worker')}" if own else ""
    title = f"{theme.count(bars.rows.size, 'trial')} in {_lasted(span)}{workers}"
    bare = len(history) - left - bars.rows.size
    notes = [
        tally(history),
        f"Drawn: the {bars.rows.size:,} that started last." if left else "",
        f"{theme.count(bare, 'trial')} without a start or an end left out." if bare else "",
        "Shortest bars widened to be seen." if (bars.end - bars.start).min() < _THINNEST * span else "",
    ]
    caption = " ".join(filter(None, notes))
    return theme.layout(figure, title, f"Timeline: {title}. {caption}", caption)
