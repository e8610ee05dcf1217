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
from workbench.analysis.verdict import LEVELS, Level, Verdict, verdicts_html
from workbench.analysis.worth import Gain, Worth, worth_more

__all__ = [
    "LEVELS",
    "Belief",
    "Calibration",
    "Diagnosis",
    "Explanation",
    "Gain",
    "Importance",
    "Level",
    "ModelFront",
    "Neighbour",
    "Other",
    "Parts",
    "Quantity",
    "Recommendation",
    "Share",
    "Verdict",
    "Worth",
    "diagnose",
    "explain",
    "gained",
    "importance",
    "pareto_front",
    "recommend",
    "verdicts_html",
    "widened",
    "worth_more",
]
