"""Figures in the words of the pages; those of a study with their tables, drawn once for a revision of its record."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ui import server, state, widgets
from ui.presenters import words
from ui.presenters.filtering import Filter
from workbench import plots
from workbench.plots import theme
from workbench.study import Study
from workbench.trial import History

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST = 5_000  # points of a chart; the caption says how many there are, and every best or front point is drawn

_DRAW: dict[str, tuple[Callable[[History], Figure], Callable[[History], dict[str, list[Any]]]]] = {
    "history": (lambda history: plots.history(history, most=MOST), plots.history_table),
    "hypervolume": (plots.hypervolume, plots.hypervolume_table),
    "pareto": (lambda history: plots.pareto(history, most=MOST), plots.pareto_table),
    "timeline": (plots.timeline, plots.timeline_table),
}
in_words = partial(theme.vocabulary, words.NAMES)
"""What draws a figure for a page does it inside this, or is decorated by it."""
_USUAL = Filter()
_drawn: server.Kept[Figure] = server.Kept(24)


def drawn(study: Study, kind: str, shown: Filter = _USUAL) -> Figure:
    """The figure at the present revision; drawn anew only when the record has changed."""
    history = study.history()
    study_id = server.storage().study(study.name).id  # tells a study from a later one of the same name
    key = (study.storage_url, study_id, history.revision, kind, shown)
    with in_words():
        return _drawn.get(key, lambda: _DRAW[kind][0](shown.apply(history)))


def show(study: Study, kind: str) -> None:
    """Draw a figure of a study's runs, as far as the address shows them, and its table when it is opened."""
    history, shown = study.history(), state.shown()
    figure = drawn(study, kind, shown)
    widgets.figure(figure, lambda: _DRAW[kind][1](shown.apply(history)), key=f"figure_{kind}")
