"""Figures of a record: data in, plotly figure out. Plotly is imported when a figure is drawn."""

from __future__ import annotations

from workbench.plots.calibration import calibration, calibration_table
from workbench.plots.compare import compare, compare_table
from workbench.plots.contour import Ground, contour, contour_table
from workbench.plots.edf import edf, edf_table
from workbench.plots.history import history, history_table
from workbench.plots.hypervolume import hypervolume, hypervolume_table
from workbench.plots.importance import importance, importance_table
from workbench.plots.panels import why_empty
from workbench.plots.parallel import parallel, parallel_table
from workbench.plots.pareto import pareto, pareto_table
from workbench.plots.paths import paths, paths_table
from workbench.plots.policy import (
    policy_preferences,
    policy_preferences_table,
    policy_training,
    policy_training_table,
    policy_trust,
    policy_trust_table,
    policy_verdict,
)
from workbench.plots.ruler import can_slice
from workbench.plots.slice import slice, slice_table
from workbench.plots.solutions import FLOWERS, LEAVES, heat_map, heat_map_table, petals, petals_table
from workbench.plots.swarm import swarm, swarm_table, swarm_trace
from workbench.plots.timeline import timeline, timeline_table
from workbench.plots.tradeoffs import tradeoffs, tradeoffs_table
from workbench.plots.utility import utility, utility_table

__all__ = [
    "FLOWERS",
    "Ground",
    "LEAVES",
    "calibration",
    "calibration_table",
    "can_slice",
    "compare",
    "compare_table",
    "contour",
    "contour_table",
    "edf",
    "edf_table",
    "heat_map",
    "heat_map_table",
    "history",
    "history_table",
    "hypervolume",
    "hypervolume_table",
    "importance",
    "importance_table",
    "parallel",
    "parallel_table",
    "pareto",
    "pareto_table",
    "paths",
    "paths_table",
    "petals",
    "petals_table",
    "policy_preferences",
    "policy_preferences_table",
    "policy_training",
    "policy_training_table",
    "policy_trust",
    "policy_trust_table",
    "policy_verdict",
    "slice",
    "slice_table",
    "swarm",
    "swarm_table",
    "swarm_trace",
    "timeline",
    "timeline_table",
    "tradeoffs",
    "tradeoffs_table",
    "utility",
    "utility_table",
    "why_empty",
]
