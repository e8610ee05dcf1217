"""The record as values and tensors: trials, human feedback, and the `History` that samplers read."""

from workbench.trial.history import History
from workbench.trial.owner import Owner
from workbench.trial.rows import (
    FeedbackRecord,
    Observation,
    QuestionRecord,
    Report,
    Spaces,
    TrialRow,
    TrialState,
    dumps,
    loads,
    not_json,
    now,
    pack_params,
    standing,
    undone,
    unpack_params,
)
from workbench.trial.trial import Recorder, Trial

__all__ = [
    "FeedbackRecord",
    "History",
    "Observation",
    "Owner",
    "QuestionRecord",
    "Recorder",
    "Report",
    "Spaces",
    "Trial",
    "TrialRow",
    "TrialState",
    "dumps",
    "loads",
    "not_json",
    "now",
    "pack_params",
    "standing",
    "undone",
    "unpack_params",
]
