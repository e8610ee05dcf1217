"""What the first visit would have to wait for, done before it comes."""

from __future__ import annotations

import importlib
import logging

from ui import server
from workbench.build import list_studies
from workbench.errors import WorkbenchError

log = logging.getLogger("workbench.ui")
_LIBRARIES = (
    "pandas.io.formats.style", "pyarrow", "PIL.Image", "plotly.subplots", "plotly.io", "moocore",
    "ui.frame", "ui.asking", "ui.dialogs", "ui.figures", "workbench.report",
)  # fmt: skip


def load_libraries() -> None:
    """Import what the pages draw with; about a second."""
    for name in _LIBRARIES:
        importlib.import_module(name)


def read_newest() -> None:
    """Read the study that was changed last, which people come back to, and draw its history."""
    from ui import figures

    try:
        newest = max(list_studies(server.storage()), key=lambda one: one.updated, default=None)
        if newest is not None:
            figures.drawn(server.study(newest.name), "history")
    except WorkbenchError as error:  # the page of that study will say it to whoever opens it
        log.info("the newest study could not be read ahead: %s", error)
