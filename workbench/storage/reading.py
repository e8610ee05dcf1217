"""Questions to the database: one prebuilt statement each, answered with plain rows."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, and_, bindparam, func, select

from workbench.errors import InvalidValueError, StudyNotFoundError, UnknownTrialError
from workbench.storage.records import AttachmentRow, AuditRow, StudyRow, StudySummary
from workbench.storage.schema import (
    attachments,
    audit,
    feedback,
    questions,
    reports,
    sampler_states,
    spaces,
    studies,
    trials,
)
from workbench.trial import FeedbackRecord, QuestionRecord, Report, TrialRow, loads

_ID: BindParameter[int] = bindparam("the_study")
_NAME: BindParameter[str] = bindparam("the_name")
_NUMBER: BindParameter[int] = bindparam("the_number")
_SINCE: BindParameter[int] = bindparam("the_revision")

_STUDY = select(
    *(spaces.c.json.label("space") if key == "space" else studies.c[key] for key in StudyRow.__slots__)
).join(spaces, and_(spaces.c.study_id == studies.c.id, spaces.c.version == studies.c.space_version))
_STUDY_BY_NAME = _STUDY.where(studies.c.name == _NAME)
_STUDY_BY_ID = _STUDY.where(studies.c.id == _ID)
_NAMES = select(studies.c.name).order_by(studies.c.id)
_SUMMARIES = select(
    studies.c.id,
    *(studies.c[key] for key in StudySummary.__slots__ if key != "counts"),
).order_by(studies.c.id)
_COUNTS = select(trials.c.study_id, trials.c.state, func.count()).group_by(trials.c.study_id, trials.c.state)
_REVISION = select(studies.c.revision, studies.c.space_version).where(studies.c.id == _ID)
_SPACES = select(spaces.c.version, spaces.c.json).where(spaces.c.study_id == _ID).order_by(spaces.c.version)

_ROWS = select(*(trials.c[key] for key in TrialRow._fields)).where(trials.c.study_id == _ID).order_by(trials.c.number)
_ROWS_SINCE = _ROWS.where(trials.c.revision > _SINCE)
_ROWS_FROM = _ROWS.where(trials.c.number >= _NUMBER)
_ROWS_IN = _ROWS.where(trials.c.state.in_(bindparam("states", expanding=True)))
_ROW = _ROWS.where(trials.c.number == _NUMBER)
_LAST_NUMBER = select(func.max(trials.c.number)).where(trials.c.study_id == _ID)

_REPORTS = (
    select(*(reports.c[key] for key in Report._fields))
    .where(reports.c.study_id == _ID, reports.c.revision > _SINCE)
    .order_by(reports.c.number, reports.c.objective, reports.c.step)
)
_REPORTS_OF = (
    select(*(reports.c[key] for key in Report._fields))
    .where(reports.c.study_id == _ID, reports.c.number == _NUMBER)
    .order_by(reports.c.objective, reports.c.step)
)
_FEEDBACK = (
    select(*(feedback.c[key] for key in FeedbackRecord.__slots__))
    .where(feedback.c.study_id == _ID, feedback.c.id >= _NUMBER)
    .order_by(feedback.c.id)
)
_QUESTIONS = (
    select(*(questions.c[key] for key in QuestionRecord.__slots__))
    .where(questions.c.study_id == _ID)
    .order_by(questions.c.id)
)
_ATTACHMENTS = (
    select(*(attachments.c[key] for key in AttachmentRow.__slots__))
    .where(attachments.c.study_id == _ID)
    .order_by(attachments.c.id)
)
_ATTACHMENT = _ATTACHMENTS.add_columns(attachments.c.data).where(attachments.c.name == _NAME)
_AUDIT = select(*(audit.c[key] for key in AuditRow.__slots__)).where(audit.c.study_id == _ID).order_by(audit.c.id)
_STATE = select(sampler_states.c.number, sampler_states.c.data).where(
    sampler_states.c.study_id == _ID, sampler_states.c.sampler == _NAME
)
_STATES = select(sampler_states.c.sampler, sampler_states.c.number, sampler_states.c.data).where(
    sampler_states.c.study_id == _ID
)


def study_by_name(connection: Connection, name: str, place: str) -> StudyRow:
    """The study of that name."""
    row = connection.execute(_STUDY_BY_NAME, {"the_name": name}).first()
    if row is None:
        raise no_such_study(connection, name, place)
    return StudyRow(*row)


def study_by_id(connection: Connection, study_id: int) -> StudyRow:
    """The study of that id."""
    found = _only(connection.execute(_STUDY_BY_ID, {"the_study": study_id}).first())
    return StudyRow(**found._mapping)


def no_such_study(connection: Connection, name: str, place: str) -> StudyNotFoundError:
    """The error that names the studies which come near."""
    names = list(connection.execute(_NAMES).scalars())
    if not names:
        return StudyNotFoundError(f"no study {name!r}: {place} holds no study yet; make one with create_study")
    near = difflib.get_close_matches(name, names, n=3) or names[-3:]
    return StudyNotFoundError(
        f"no study {name!r}: {place} holds {len(names)} of other names; did you mean {', '.join(map(repr, near))}?"
    )


def summaries(connection: Connection) -> list[StudySummary]:
    """All studies in the order in which they were made, with counts of trials by state."""
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for study_id, state, count in connection.execute(_COUNTS):
        counts[study_id][state] = count
    return [
        StudySummary(counts=counts.get(row.id, {}), **{k: v for k, v in row._mapping.items() if k != "id"})
        for row in connection.execute(_SUMMARIES)
    ]


def revision(connection: Connection, study_id: int) -> tuple[int, int]:
    """The number of transactions on the study so far, and the version of its space."""
    found = _only(connection.execute(_REVISION, {"the_study": study_id}).first())
    return int(found.revision), int(found.space_version)


def space_versions(connection: Connection, study_id: int) -> dict[int, str]:
    """JSON text of every version of the space."""
    found = connection.execute(_SPACES, {"the_study": study_id})
    return {row.version: row.json for row in found}


def rows_since(connection: Connection, study_id: int, since: int) -> list[TrialRow]:
    """Trials changed after a revision, by number."""
    if since <= 0:  # without the condition the rows are read in the order of the index
        return _trial_rows(connection.execute(_ROWS, {"the_study": study_id}))
    return _trial_rows(connection.execute(_ROWS_SINCE, {"the_study": study_id, "the_revision": since}))


def rows_from(connection: Connection, study_id: int, number: int) -> list[TrialRow]:
    """Trials from a number on."""
    return _trial_rows(connection.execute(_ROWS_FROM, {"the_study": study_id, "the_number": number}))


def rows_in(connection: Connection, study_id: int, states: Iterable[str]) -> list[TrialRow]:
    """Trials in one of some states, by number."""
    wanted = {"the_study": study_id, "states": [str(state) for state in states]}
    return _trial_rows(connection.execute(_ROWS_IN, wanted))


def row(connection: Connection, study_id: int, number: int) -> TrialRow:
    """One trial."""
    found = connection.execute(_ROW, {"the_study": study_id, "the_number": number}).first()
    if found is None:
        raise no_such_trial(connection, study_id, number)
    return TrialRow._make(found)


def last_number(connection: Connection, study_id: int) -> int:
    """The largest trial number, -1 when there is no trial."""
    last = connection.execute(_LAST_NUMBER, {"the_study": study_id}).scalar()
    return -1 if last is None else int(last)


def no_such_trial(connection: Connection, study_id: int, number: int) -> UnknownTrialError:
    """The error that names the numbers which exist."""
    last = last_number(connection, study_id)
    if last < 0:
        return UnknownTrialError(f"no trial {number}: the study has no trials yet; ask for one first")
    return UnknownTrialError(f"no trial {number}: the study has trials 0 to {last}; give one of these numbers")


def reports_since(connection: Connection, study_id: int, since: int) -> list[Report]:
    """Intermediate values changed after a revision, by number, objective and step."""
    result = connection.execute(_REPORTS, {"the_study": study_id, "the_revision": since})
    return [Report._make(found) for found in result]


def reports_of(connection: Connection, study_id: int, number: int) -> list[Report]:
    """Intermediate values of one trial, by objective and step."""
    result = connection.execute(_REPORTS_OF, {"the_study": study_id, "the_number": number})
    return [Report._make(found) for found in result]


def feedback_from(connection: Connection, study_id: int, first: int = 0) -> tuple[FeedbackRecord, ...]:
    """Entries of the feedback log from an id on."""
    result = connection.execute(_FEEDBACK, {"the_study": study_id, "the_number": first})
    return tuple(_feedback_record(found._mapping) for found in result)


def _feedback_record(stored: Any) -> FeedbackRecord:
    fields = dict(stored)
    fields["groups"] = tuple(tuple(group) for group in loads(fields["groups"], []))
    fields["of"] = tuple(loads(fields["of"], []))
    return FeedbackRecord(**fields)


def all_questions(connection: Connection, study_id: int) -> list[QuestionRecord]:
    """All questions by id."""
    result = connection.execute(_QUESTIONS, {"the_study": study_id})
    return [
        QuestionRecord(found.id, tuple(loads(found.trials, [])), found.created, found.answered, found.seed, found.rater)
        for found in result
    ]


def attachment_list(connection: Connection, study_id: int) -> list[AttachmentRow]:
    """All attachments, without their bytes."""
    return [AttachmentRow(*found) for found in connection.execute(_ATTACHMENTS, {"the_study": study_id})]


def attachment(connection: Connection, study_id: int, name: str) -> tuple[AttachmentRow, bytes]:
    """One attachment and its bytes."""
    found = connection.execute(_ATTACHMENT, {"the_study": study_id, "the_name": name}).first()
    if found is None:
        names = [known.name for known in attachment_list(connection, study_id)]
        near = ", ".join(map(repr, difflib.get_close_matches(name, names, n=3) or names[:3])) or "none"
        raise InvalidValueError(f"no attachment {name!r} in this study: it has {len(names)}, the nearest are {near}")
    *fields, data = found
    return AttachmentRow(*fields), bytes(data)


def audit_log(connection: Connection, study_id: int) -> list[AuditRow]:
    """The audit log in the order of arrival."""
    return [AuditRow(*found) for found in connection.execute(_AUDIT, {"the_study": study_id})]


def all_sampler_states(connection: Connection, study_id: int) -> dict[str, tuple[int, bytes]]:
    """All stored states by sampler, with the trial number that each belongs to."""
    found = connection.execute(_STATES, {"the_study": study_id})
    return {row.sampler: (int(row.number), bytes(row.data)) for row in found}


def sampler_state(connection: Connection, study_id: int, sampler: str) -> tuple[int, bytes] | None:
    """The stored state of a sampler and the trial number that it belongs to."""
    found = connection.execute(_STATE, {"the_study": study_id, "the_name": sampler}).first()
    return None if found is None else (int(found.number), bytes(found.data))


def _trial_rows(result: Iterable[Row[Any]]) -> list[TrialRow]:
    return list(map(TrialRow._make, result))


def _only(found: Any) -> Any:
    if found is None:
        raise study_gone()
    return found


def study_gone() -> StudyNotFoundError:
    """The error for a study that somebody deleted meanwhile."""
    return StudyNotFoundError("the study was deleted while it was in use; load or create another one")
