"""What a record and its model say in plain words: what to use, what matters, what to trust, what is still to gain.

Functions of (history, surrogate), which come together as a `Belief`. Nothing here asks or changes a study.
"""

from __future__ import annotations

from workbench.analysis.belief import Belief, Neighbour, Quantity
from workbench.analysis.calibration import Calibration
from workbench.analysis.diagnose import Diagnosis, diagnose, widened
from workbench.analysis.explain import Explanation, Other, Parts, explain, gained
from workbench.analysis.front import ModelFront, pareto_front
from workbench.analysis.importance import Importance, Share, importance
from workbench.analysis.recommend import Recommendation, recommend
from workbench.analysis.tradeoff import (
    Cost,
    Easing,
    Inside,
    Prospect,
    aspiration,
    closest,
    compromise,
    inside,
    prospect,
)
from workbench.analysis.verdict import LEVELS, Level, Verdict, verdicts_html
from workbench.analysis.worth import FARTHEST, Gain, Worth, worth_more

__all__ = [
    "FARTHEST",
    "LEVELS",
    "Belief",
    "Calibration",
    "Cost",
    "Diagnosis",
    "Easing",
    "Explanation",
    "Gain",
    "Importance",
    "Inside",
    "Level",
    "ModelFront",
    "Neighbour",
    "Other",
    "Parts",
    "Prospect",
    "Quantity",
    "Recommendation",
    "Share",
    "Verdict",
    "Worth",
    "aspiration",
    "closest",
    "compromise",
    "diagnose",
    "explain",
    "gained",
    "importance",
    "inside",
    "pareto_front",
    "prospect",
    "recommend",
    "verdicts_html",
    "widened",
    "worth_more",
]
