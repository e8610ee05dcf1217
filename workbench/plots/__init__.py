"""Figures of a record: data in, plotly figure out. Plotly is imported when a figure is drawn."""

from __future__ import annotations

from workbench.plots.history import history, history_table
from workbench.plots.panels import why_empty
from workbench.plots.ruler import can_slice
from workbench.plots.slice import slice, slice_table

__all__ = ["can_slice", "history", "history_table", "slice", "slice_table", "why_empty"]
