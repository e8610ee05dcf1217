"""What the storage hands out beside trials: plain rows, structured fields still JSON text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from workbench.trial import FeedbackRecord, QuestionRecord, Report, TrialRow


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One stored study. Structured fields are JSON text, None when empty; `space` is the newest version."""

    id: int
    name: str
    space: str
    space_version: int
    objectives: str
    constraints: str | None
    sampler: str | None
    seed: int | None
    budget: int | None
    baseline: str | None
    pruner: str | None
    prior_studies: str | None
    settings: str | None
    note: str | None
    tags: str | None
    attrs: str | None
    created: float
    updated: float
    revision: int


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One line of the list of studies; `counts` holds the number of trials by state."""

    name: str
    counts: dict[str, int]
    created: float
    updated: float
    objectives: str
    sampler: str | None
    budget: int | None
    tags: str | None


class Snapshot(NamedTuple):
    """The record at one revision: rows and reports changed since another one, the whole feedback log."""

    revision: int
    space_version: int
    rows: list[TrialRow]
    reports: list[Report]
    feedback: tuple[FeedbackRecord, ...]


class Whole(NamedTuple):
    """All of a study at one moment: what a bundle holds."""

    study: StudyRow
    spaces: dict[int, str]
    rows: list[TrialRow]
    reports: list[Report]
    feedback: tuple[FeedbackRecord, ...]
    questions: list[QuestionRecord]
    attachments: list[tuple[AttachmentRow, bytes]]
    audit: list[AuditRow]
    sampler_states: dict[str, tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class AttachmentRow:
    """One stored file without its bytes; `number` is the trial that it belongs to, if any."""

    id: int
    name: str
    mime: str
    number: int | None
    size: int
    sha256: str
    created: float


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry of the audit log; `before` and `after` are JSON text."""

    id: int
    number: int | None
    action: str
    before: str | None
    after: str | None
    reason: str | None
    who: str
    created: float
