"""Engineering design problems: what the quantities are called, their units, and the best values that are known.

The formulas are those of `botorch.test_functions`. Its constraints say how much is left; here each is a measured
quantity that must stay at or below zero. Best values from the literature are beaten by BoTorch's own feasible sets
(its boxes and roundings differ from paper to paper), so those given here were attained with these formulas.

Symbols: n points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from problems.multiobjective import BoTorchFunctions, Columns, Formula, VectorProblem
from workbench.problem import Constraint, Objective
from workbench.space import Float, Space

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Turned:
    """A formula with the sign of some outputs turned: what BoTorch minimises is a yield with a minus in front."""

    formula: Formula
    outputs: tuple[str, ...]

    def __call__(self, columns: Columns) -> dict[str, NDArray[np.float64]]:
        """The values of the formula, those times -1."""
        values = self.formula(columns)
        return {**values, **{output: -values[output] for output in self.outputs}}


Box = Mapping[str, tuple[float, float, str | None]]
"""Name: lowest, highest, unit."""
_TANABE = "Tanabe and Ishibuchi 2020, An easy-to-use real-world multi-objective optimization problem suite"


def _engineered(
    name: str,
    function: str,
    box: Box,
    outputs: Sequence[tuple[str, str | None, float | None]],
    source: str,
    *,
    limits: Sequence[str] = (),
    hypervolume: float | None = None,
    optimum: float | None = None,
) -> VectorProblem:
    """A problem whose outputs are (name, unit, reference), all minimised, all exact."""
    objectives = [Objective(o, "minimize", unit=unit, noise="none", reference=at) for o, unit, at in outputs]
    return VectorProblem(
        name,
        Space([Float(x, low, high, unit=unit) for x, (low, high, unit) in box.items()]),
        BoTorchFunctions(function, tuple(box), tuple(goal.name for goal in objectives), tuple(limits)),
        tuple(objectives),
        f"{source}; botorch.test_functions.{function}",
        hypervolume,
        tuple(Constraint(limit, upper=0.0, noise="none") for limit in limits),
        optimum=optimum,
    )


def welded_beam() -> VectorProblem:
    """Cost of a beam against how far its end gives way, under limits on shear, bending, weld and buckling.

    The class in BoTorch 0.18 gives by how much its limits are exceeded, where that of others says how much is left. It
    states no hypervolume: this one is that of all points of eight runs of pymoo's NSGA-II, each of 400 points and 800
    generations; the first three had 0.51287.
    """
    limits = ("shear", "bending", "weld_over_beam", "buckling")
    made = _engineered(
        "welded_beam",
        "WeldedBeam",
        {
            "weld_thickness": (0.125, 5.0, "in"),
            "weld_length": (0.1, 10.0, "in"),
            "beam_height": (0.1, 10.0, "in"),
            "beam_thickness": (0.125, 5.0, "in"),
        },
        [("cost", "USD", 40.0), ("deflection", "in", 0.015)],
        "Deb and Sundar 2006, Reference point based multi-objective optimization; " + _TANABE,
        limits=limits,
        hypervolume=0.51299,
    )
    return replace(made, formula=Turned(made.formula, limits))


def vehicle_safety() -> VectorProblem:
    """Mass, acceleration in a crash and how far the toe board gives way, by the thickness of five parts."""
    parts = ("bumper", "cross_member", "side_rail", "rail_reinforcement", "floor_brace")
    return _engineered(
        "vehicle_safety",
        "VehicleSafety",
        {f"{part}_thickness": (1.0, 3.0, "mm") for part in parts},
        [("mass", "kg", 1864.72022), ("acceleration", "m/s^2", 11.81993945), ("intrusion", "m", 0.2903999384)],
        "Liao et al. 2008, Multiobjective optimization for crash safety design of vehicles; " + _TANABE,
        hypervolume=246.81607081187002,
    )


def car_side_impact() -> VectorProblem:
    """Weight, force on the passenger, speed of the pillar, and how far ten limits are missed."""
    return _engineered(
        "car_side_impact",
        "CarSideImpact",
        {
            "b_pillar_inner": (0.5, 1.5, "mm"),
            "b_pillar_reinforcement": (0.45, 1.35, "mm"),
            "floor_side_inner": (0.5, 1.5, "mm"),
            "cross_members": (0.5, 1.5, "mm"),
            "door_beam": (0.875, 2.625, "mm"),
            "door_beltline": (0.4, 1.2, "mm"),
            "roof_rail": (0.4, 1.2, "mm"),
        },
        [("weight", "kg", 45.4872), ("pubic_force", "kN", 4.5114), ("pillar_speed", "mm/ms", 13.3394),
         ("violation", None, 10.3942)],
        "Jain and Deb 2014, An Evolutionary Many-Objective Optimization Algorithm, part II; " + _TANABE,
        hypervolume=484.72654347642793,
    )  # fmt: skip


def penicillin() -> VectorProblem:
    """A fermentation: how much penicillin, how much carbon dioxide, how long."""
    made = _engineered(
        "penicillin",
        "Penicillin",
        {
            "culture_volume": (60.0, 120.0, "L"),
            "biomass": (0.05, 18.0, "g/L"),
            "temperature": (293.0, 303.0, "K"),
            "glucose": (0.05, 18.0, "g/L"),
            "feed_rate": (0.01, 0.5, "L/h"),
            "feed_concentration": (500.0, 700.0, "g/L"),
            "acidity": (5.0, 6.5, "pH"),
        },
        [("yield", "g/L", 25.935), ("co2", "g/L", 57.612), ("time", "h", 935.5)],
        "Liang and Lai 2021, Scalable Bayesian Optimization Accelerates Process Optimization of Penicillin Production",
        hypervolume=2183455.909507436,
    )
    wanted = Objective("yield", "maximize", unit="g/L", noise="none", reference=-25.935)
    return replace(made, formula=Turned(made.formula, ("yield",)), objectives=(wanted, *made.objectives[1:]))


def pressure_vessel() -> VectorProblem:
    """Cost of a vessel under limits on the thickness of its walls, its volume and its length.

    The objective rounds both thicknesses to a sixteenth of an inch, the constraints do not; so less than the 6059.946
    of the literature is possible: for each pair of rounded thicknesses the cheapest radius is found by hand, and the
    cheapest of all costs 5633.950.
    """
    return _engineered(
        "pressure_vessel",
        "PressureVessel",
        {
            "shell_thickness": (0.0, 10.0, "in"),
            "head_thickness": (0.0, 10.0, "in"),
            "radius": (10.0, 50.0, "in"),
            "length": (150.0, 200.0, "in"),
        },
        [("cost", "USD", None)],
        "Coello and Montes 2002, Constraint-handling in genetic algorithms",
        limits=("shell_limit", "head_limit", "volume_limit", "length_limit"),
        optimum=5633.95024,
    )


def speed_reducer() -> VectorProblem:
    """Weight of a gear box under eleven limits on stresses, deflections and sizes."""
    return _engineered(
        "speed_reducer",
        "SpeedReducer",
        {
            "face_width": (2.6, 3.6, "cm"),
            "module": (0.7, 0.8, "cm"),
            "teeth": (17.0, 28.0, None),
            "shaft_1_length": (7.3, 8.3, "cm"),
            "shaft_2_length": (7.8, 8.3, "cm"),
            "shaft_1_diameter": (2.9, 3.9, "cm"),
            "shaft_2_diameter": (5.0, 5.5, "cm"),
        },
        [("weight", "kg", None)],
        "Lemonge, Barbosa, Borges, Silva 2010, Constrained optimization problems in mechanical engineering design",
        limits=(
            "bending", "contact", "deflection_1", "deflection_2", "stress_1", "stress_2",
            "gear_size", "width_low", "width_high", "shaft_1_design", "shaft_2_design",
        ),
        optimum=2996.34816,
    )  # fmt: skip
