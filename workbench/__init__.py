"""The workbench: expensive, noisy, multi-objective or human-judged optimisation.

Names load on first use, so that `import workbench` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "workbench.space": (
        "Bool Categorical Float Int Ordinal Parameter Permutation Sequence Simplex Space Subset Vector"
    ),
    "workbench.problem": "Constraint Objective Preference Problem Rendered",
    "workbench.trial": "History Observation Trial TrialState",
    "workbench.samplers.base": "AskRequest Proposal Sampler",
    "workbench.samplers.bayesian": "GPSampler",
    "workbench.samplers.consensus": "CBOSampler",
    "workbench.samplers.evolutionary": "EvolutionarySampler",
    "workbench.samplers.gflownet": "GFlowNetSampler",
    "workbench.samplers.preferential": "PreferenceSampler",
    "workbench.samplers.quasirandom": "GridSampler RandomSampler SobolSampler",
    "workbench.samplers.zeroth_order": "RankSGDSampler",
    "workbench.executor": "Processes",
    "workbench.storage": "Storage",
    "workbench.study": "Study",
    "workbench.build": "create_study delete_study import_study list_studies load_study make_sampler warm_up",
    "workbench.pruning": "AshaPruner HypervolumePruner MedianPruner PercentilePruner Pruner",
    "workbench.report": "write_report",
    "workbench.interchange": "import_optuna read_table write_table",
    "workbench.errors": (
        "AlreadyTold BundleError ConstraintError CorruptStorageError DeadlineReached ExecutorError "
        "ExhaustedSpaceError FeedbackError FrozenStudyError InfeasibleSpaceError InvalidValueError LeaseLostError "
        "NewerSchemaError ProblemError ReadOnlyStorageError SamplerError SearchEnded SpaceError StorageError "
        "StorageFullError StudyExistsError StudyNotFoundError TableError TrialPruned TrialStateError "
        "UnknownTrialError UnsupportedError WorkbenchError WorkbenchWarning"
    ),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
_ROOMS = frozenset({"bench", "plots"})  # whole rooms that are used by name: wb.bench.compare(…)

__all__ = [*sorted(_HOME), *sorted(_ROOMS), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"workbench.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from workbench import bench as bench
    from workbench import plots as plots
    from workbench.build import create_study as create_study
    from workbench.build import delete_study as delete_study
    from workbench.build import import_study as import_study
    from workbench.build import list_studies as list_studies
    from workbench.build import load_study as load_study
    from workbench.build import make_sampler as make_sampler
    from workbench.build import warm_up as warm_up
    from workbench.errors import *  # noqa: F403
    from workbench.errors import AlreadyTold as AlreadyTold
    from workbench.errors import WorkbenchError as WorkbenchError
    from workbench.errors import WorkbenchWarning as WorkbenchWarning
    from workbench.executor import Processes as Processes
    from workbench.interchange import import_optuna as import_optuna
    from workbench.interchange import read_table as read_table
    from workbench.interchange import write_table as write_table
    from workbench.problem import Constraint as Constraint
    from workbench.problem import Objective as Objective
    from workbench.problem import Preference as Preference
    from workbench.problem import Problem as Problem
    from workbench.problem import Rendered as Rendered
    from workbench.pruning import AshaPruner as AshaPruner
    from workbench.pruning import HypervolumePruner as HypervolumePruner
    from workbench.pruning import MedianPruner as MedianPruner
    from workbench.pruning import PercentilePruner as PercentilePruner
    from workbench.pruning import Pruner as Pruner
    from workbench.report import write_report as write_report
    from workbench.samplers.base import AskRequest as AskRequest
    from workbench.samplers.base import Proposal as Proposal
    from workbench.samplers.base import Sampler as Sampler
    from workbench.samplers.bayesian import GPSampler as GPSampler
    from workbench.samplers.consensus import CBOSampler as CBOSampler
    from workbench.samplers.evolutionary import EvolutionarySampler as EvolutionarySampler
    from workbench.samplers.gflownet import GFlowNetSampler as GFlowNetSampler
    from workbench.samplers.preferential import PreferenceSampler as PreferenceSampler
    from workbench.samplers.quasirandom import GridSampler as GridSampler
    from workbench.samplers.quasirandom import RandomSampler as RandomSampler
    from workbench.samplers.quasirandom import SobolSampler as SobolSampler
    from workbench.samplers.zeroth_order import RankSGDSampler as RankSGDSampler
    from workbench.space import Bool as Bool
    from workbench.space import Categorical as Categorical
    from workbench.space import Float as Float
    from workbench.space import Int as Int
    from workbench.space import Ordinal as Ordinal
    from workbench.space import Parameter as Parameter
    from workbench.space import Permutation as Permutation
    from workbench.space import Sequence as Sequence
    from workbench.space import Simplex as Simplex
    from workbench.space import Space as Space
    from workbench.space import Subset as Subset
    from workbench.space import Vector as Vector
    from workbench.storage import Storage as Storage
    from workbench.study import Study as Study
    from workbench.trial import History as History
    from workbench.trial import Observation as Observation
    from workbench.trial import Trial as Trial
    from workbench.trial import TrialState as TrialState
