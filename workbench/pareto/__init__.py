"""Fronts, as pure functions of arrays. Everything is maximised.

Symbols: n points, m objectives; Y (n, m) values, r reference point, K boxes, s draws.
"""

from workbench.pareto.boxes import Boxes, free_boxes
from workbench.pareto.choosing import achievement, aspiration_of, chebyshev, knee, spaced, telling
from workbench.pareto.fronts import (
    extent,
    hypervolume,
    hypervolume_contributions,
    infer_reference,
    non_dominated,
    non_dominated_probability,
)
from workbench.pareto.indicators import attainment, epsilon, gd_plus, igd_plus, pc_entropy, r2, spread, weights

__all__ = [
    "Boxes",
    "achievement",
    "aspiration_of",
    "attainment",
    "chebyshev",
    "epsilon",
    "extent",
    "free_boxes",
    "gd_plus",
    "hypervolume",
    "hypervolume_contributions",
    "igd_plus",
    "infer_reference",
    "knee",
    "non_dominated",
    "non_dominated_probability",
    "pc_entropy",
    "r2",
    "spaced",
    "spread",
    "telling",
    "weights",
]
