"""Figures of a study with the tables behind them, drawn once for a revision of its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui import state, widgets
from workbench import plots
from workbench.study import Study
from workbench.trial import History

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST = 5_000  # points of a chart; the caption says how many there are, and every best or front point is drawn

_DRAW: dict[str, tuple[Callable[[History], Figure], Callable[[History], dict[str, list[Any]]]]] = {
    "history": (lambda history: plots.history(history, most=MOST), plots.history_table),
    "pareto": (lambda history: plots.pareto(history, most=MOST), plots.pareto_table),
    "timeline": (plots.timeline, plots.timeline_table),
}


@st.cache_resource(show_spinner=False, max_entries=24)
def _drawn(url: str, name: str, study_id: int, revision: int, kind: str, _history: History) -> Figure:
    return _DRAW[kind][0](_history)


def show(study: Study, kind: str) -> None:
    """Draw a figure of a study, and its table when it is opened."""
    history = study.history()
    study_id = state.storage().study(study.name).id
    figure = _drawn(state.storage_url(), study.name, study_id, history.revision, kind, history)
    widgets.figure(figure, lambda: _DRAW[kind][1](history), key=f"figure_{kind}")
