"""Changes to one study: everything between the begin and the commit of one transaction.

Statements are built once per set of columns, so that SQLAlchemy compiles each of them once.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from workbench.errors import (
    FeedbackError,
    InvalidValueError,
    LeaseLostError,
    StorageError,
    StudyExistsError,
)
from workbench.storage import reading
from workbench.storage.failures import ConflictError
from workbench.storage.records import AttachmentRow, StudyRow
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
from workbench.trial import FeedbackRecord, QuestionRecord, Report, TrialRow, TrialState, dumps, loads, now

_ID: BindParameter[int] = bindparam("the_study")
_NUMBER: BindParameter[int] = bindparam("the_number")
_NAME: BindParameter[str] = bindparam("the_name")

_BEGIN = (
    update(studies).where(studies.c.id == _ID).values(revision=studies.c.revision + 1, updated=bindparam("the_time"))
)
_BEGUN = select(
    studies.c.revision, studies.c.space_version, studies.c.lease_owner, studies.c.lease_fence, studies.c.settings
).where(studies.c.id == _ID)  # fmt: skip
_REPORTED = select(reports.c.objective, reports.c.value).where(
    reports.c.study_id == _ID, reports.c.number == _NUMBER, reports.c.step == bindparam("the_step")
)
_FORGET_REPORTS = delete(reports).where(reports.c.study_id == _ID, reports.c.number == _NUMBER)
_FORGET_REPORT = delete(reports).where(
    reports.c.study_id == _ID,
    reports.c.number == _NUMBER,
    reports.c.step == bindparam("the_step"),
    reports.c.objective == _NAME,
)
_ANSWER = (
    update(questions)
    .where(questions.c.study_id == _ID, questions.c.id == _NUMBER)
    .values(answered=bindparam("the_answer"))
)
_DROP_ATTACHMENT = delete(attachments).where(attachments.c.study_id == _ID, attachments.c.name == _NAME)
_DROP_STATE = delete(sampler_states).where(sampler_states.c.study_id == _ID, sampler_states.c.sampler == _NAME)

STUDY_FIELDS = frozenset(StudyRow.__slots__) - {
    "id",
    "space",
    "space_version",
    "created",
    "updated",
    "revision",
}
"""Columns of a study that a caller may set at any time."""

_TRIAL_FIELDS = frozenset(TrialRow._fields) - {"number", "revision"}
_FEEDBACK_FIELDS = frozenset(FeedbackRecord.__slots__) - {"id"}


class Transaction:
    """What may be done to a study in one go; valid only inside its `with` block.

    Structured fields are JSON text, as in `TrialRow` and `StudyRow`.

    Args:
        connection: A connection on which a write transaction has begun.
        study_id: The study; its revision is raised at once, which also locks it where databases lock rows.
    """

    def __init__(self, connection: Connection, study_id: int) -> None:
        self._connection: Connection | None = connection
        self._study_id = study_id
        self._time = now()
        connection.execute(_BEGIN, {"the_study": study_id, "the_time": self._time})
        begun = connection.execute(_BEGUN, {"the_study": study_id}).first()
        if begun is None:
            raise reading.study_gone()
        self.revision: int
        self.revision, self._space_version, self._lease_owner, self._lease_fence, self._settings = begun

    @property
    def space_version(self) -> int:
        """The number of the newest space."""
        version: int = self._space_version
        return version

    @property
    def settings(self) -> dict[str, Any]:
        """What the study keeps about itself as this transaction found it."""
        return dict(loads(self._settings, {}))

    def end(self) -> None:
        """Refuse everything from now on."""
        self._connection = None

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise StorageError("this transaction has ended; begin another one with storage.transaction(…)")
        return self._connection

    def check_fence(self, fence: int) -> None:
        """Make sure that the ask lease is still the one that this fencing number was given for.

        Raises:
            LeaseLostError: if somebody else has it, or it was released.
        """
        if self._lease_owner is None or self._lease_fence != fence:
            raise LeaseLostError(
                f"expected the ask lease to stand at fencing number {fence}, found {self._lease_fence}"
                f"{'' if self._lease_owner else ' and nobody holding it'}: drop the proposals and ask anew"
            )

    # -- reading --------------------------------------------------------------------------

    def study(self) -> StudyRow:
        """The study as it stands inside this transaction."""
        return reading.study_by_id(self._open, self._study_id)

    def row(self, number: int) -> TrialRow:
        """One trial.

        Raises:
            UnknownTrialError: naming the numbers that exist.
        """
        return reading.row(self._open, self._study_id, number)

    def rows_in(self, *states: str) -> list[TrialRow]:
        """The trials in these states, by number."""
        return reading.rows_in(self._open, self._study_id, states)

    def feedback_log(self) -> tuple[FeedbackRecord, ...]:
        """The whole feedback log."""
        return reading.feedback_from(self._open, self._study_id)

    def questions(self) -> list[QuestionRecord]:
        """All questions."""
        return reading.all_questions(self._open, self._study_id)

    def reports(self) -> list[Report]:
        """All intermediate values."""
        return reading.reports_since(self._open, self._study_id, 0)

    def reports_of(self, number: int) -> list[Report]:
        """The intermediate values of one trial, by objective and step."""
        return reading.reports_of(self._open, self._study_id, number)

    # -- trials ---------------------------------------------------------------------------

    def insert(self, drafts: Sequence[Mapping[str, Any]]) -> list[TrialRow]:
        """Add trials with the next free numbers.

        Absent fields: state running, origin asked, the newest space version, created now, attempt 1;
        everything else empty.
        """
        if not drafts:
            return []
        for draft in drafts:
            _check_fields("trial", draft, _TRIAL_FIELDS)
        first = reading.last_number(self._open, self._study_id) + 1
        empty: dict[str, Any] = dict.fromkeys(TrialRow._fields)
        defaults = empty | {
            "study_id": self._study_id,
            "state": TrialState.RUNNING,
            "params": "{}",
            "space_version": self._space_version,
            "origin": "asked",
            "created": self._time,
            "attempt": 1,
            "revision": self.revision,
        }
        values = [defaults | dict(draft) | {"number": first + i} for i, draft in enumerate(drafts)]
        for value in values:
            value["state"] = _state(value["state"])
        self._open.execute(_insert(trials), values)
        return reading.rows_from(self._open, self._study_id, first)

    def update(self, number: int, **fields: Any) -> TrialRow:
        """Set columns of one trial and return it as it stands now."""
        _check_fields("trial", fields, _TRIAL_FIELDS)
        if "state" in fields:
            fields["state"] = _state(fields["state"])
        values = {f"new_{key}": value for key, value in fields.items()}
        values |= {"new_revision": self.revision, "the_study": self._study_id, "the_number": number}
        if self._open.execute(_update_trial(tuple(fields)), values).rowcount == 0:
            raise reading.no_such_trial(self._open, self._study_id, number)
        return self.row(number)

    def report(self, number: int, step: int, values: Mapping[str, float]) -> None:
        """Store intermediate values: another value of a step replaces it, an equal one changes nothing."""
        key = {"the_study": self._study_id, "the_number": number, "the_step": step}
        stored = {found.objective: found.value for found in self._open.execute(_REPORTED, key)}
        if not stored:
            self.row(number)
        changed = {name: value for name, value in values.items() if stored.get(name) != value}
        for name in changed.keys() & stored.keys():
            self._open.execute(_FORGET_REPORT, key | {"the_name": name})
        same = {"number": number, "step": step}
        self._add(reports, [same | {"objective": name, "value": value} for name, value in changed.items()])

    def forget_reports(self, number: int) -> None:
        """Take out the intermediate values of a trial, whose row has to change with it."""
        self._open.execute(_FORGET_REPORTS, {"the_study": self._study_id, "the_number": number})

    # -- feedback -------------------------------------------------------------------------

    def feedback(self, **fields: Any) -> FeedbackRecord:
        """Append one entry to the feedback log; fields as in `FeedbackRecord`, without the id."""
        _check_fields("feedback entry", fields, _FEEDBACK_FIELDS)
        fields = {"created": self._time} | fields
        fields["groups"] = tuple(tuple(group) for group in fields.get("groups", ()))
        fields["of"] = tuple(fields.get("of", ()))
        record = FeedbackRecord(**fields, id=self._next_id(feedback))
        values = {key: getattr(record, key) for key in FeedbackRecord.__slots__}
        values["groups"], values["of"] = dumps(record.groups) or "[]", dumps(record.of) or "[]"
        self._add(feedback, [values])
        return record

    def question(
        self, trials: Sequence[int], seed: int | None, *, rater: str | None = None, created: float | None = None
    ) -> QuestionRecord:
        """Note which trials are shown together for judgement, to one rater or, with None, to anybody."""
        created = self._time if created is None else created
        record = QuestionRecord(self._next_id(questions), tuple(trials), created, seed=seed, rater=rater)
        values = {"id": record.id, "trials": dumps(record.trials) or "[]", "created": created, "seed": seed}
        values |= {"rater": rater}
        self._open.execute(_insert(questions), [values | {"study_id": self._study_id, "answered": None}])
        return record

    def answer(self, question_id: int, feedback_id: int | None) -> None:
        """Close a question with an entry of the feedback log, or open it again with None."""
        values = {"the_study": self._study_id, "the_number": question_id, "the_answer": feedback_id}
        if self._open.execute(_ANSWER, values).rowcount == 0:
            raise FeedbackError(
                f"no question {question_id}: the study has {self._next_id(questions)} questions, "
                "numbered from 0; give the id of one of them"
            )

    # -- beside the trials ----------------------------------------------------------------

    def attach(
        self, name: str, mime: str, data: bytes, number: int | None = None, *, created: float | None = None
    ) -> AttachmentRow:
        """Store a file, in the place of an earlier one of the same name."""
        if number is not None:
            self.row(number)
        self._open.execute(_DROP_ATTACHMENT, {"the_study": self._study_id, "the_name": name})
        sha256 = hashlib.sha256(data).hexdigest()
        created = self._time if created is None else created
        stored = AttachmentRow(self._next_id(attachments), name, mime, number, len(data), sha256, created)
        values = {key: getattr(stored, key) for key in AttachmentRow.__slots__}
        self._open.execute(_insert(attachments), [values | {"study_id": self._study_id, "data": data}])
        return stored

    def audit(
        self,
        action: str,
        number: int | None = None,
        before: Mapping[str, Any] | str | None = None,
        after: Mapping[str, Any] | str | None = None,
        reason: str | None = None,
        *,
        who: str | None = None,
        created: float | None = None,
    ) -> None:
        """Append one entry to the audit log.

        Args:
            before: What was there, as a mapping or as JSON text; `after` likewise.
            who: This process unless given; `created` is now unless given.
        """
        values = {"study_id": self._study_id, "id": self._next_id(audit), "number": number, "action": action}
        values |= {"before": _text(before), "after": _text(after), "reason": reason}
        values |= {"who": who or _whoami(os.getpid())}
        self._open.execute(_insert(audit), [values | {"created": self._time if created is None else created}])

    def save_state(self, sampler: str, number: int, data: bytes) -> None:
        """Store a sampler's state, in the place of its earlier one, with the trial that it belongs to."""
        self._open.execute(_DROP_STATE, {"the_study": self._study_id, "the_name": sampler})
        values = {"study_id": self._study_id, "sampler": sampler, "number": number, "data": data}
        self._open.execute(_insert(sampler_states), [values])

    def update_study(self, **fields: Any) -> None:
        """Set columns of the study: those of `StudyRow` except its space, ids, times and revision."""
        _check_fields("study", fields, STUDY_FIELDS)
        if not fields:
            return
        try:
            self._open.execute(update(studies).where(studies.c.id == self._study_id).values(**fields))
        except ConflictError as error:
            raise study_exists(str(fields.get("name"))) from error

    def add_space(self, json: str) -> int:
        """Store a new version of the space and return its number."""
        self._space_version += 1
        version: int = self._space_version
        add_space(self._open, self._study_id, version, json)
        self._open.execute(update(studies).where(studies.c.id == self._study_id).values(space_version=version))
        return version

    # -- helpers --------------------------------------------------------------------------

    def _add(self, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
        """Insert rows of a table that has a revision; times are now unless given."""
        common = {"study_id": self._study_id, "revision": self.revision, "created": self._time}
        values = [common | dict(row) for row in rows]
        if values:
            self._open.execute(_insert(table), values)

    def _next_id(self, table: Table) -> int:
        last = self._open.execute(_last_id(table), {"the_study": self._study_id}).scalar()
        return 0 if last is None else int(last) + 1


def add_space(connection: Connection, study_id: int, version: int, json: str) -> None:
    """Store one version of a study's space."""
    connection.execute(_insert(spaces), [{"study_id": study_id, "version": version, "json": json}])


def study_exists(name: str, remedy: str = "choose another name") -> StudyExistsError:
    """The error for a name that is taken."""
    return StudyExistsError(f"a study {name!r} exists already: {remedy}")


def _check_fields(what: str, fields: Mapping[str, Any], allowed: frozenset[str]) -> None:
    unknown = fields.keys() - allowed
    if unknown:
        raise InvalidValueError(
            f"a {what} has no field {', '.join(map(repr, sorted(unknown)))} that can be set; "
            f"expected some of {', '.join(sorted(allowed))}"
        )


def _state(value: str) -> str:
    try:
        return TrialState(value).value
    except ValueError:
        raise InvalidValueError(f"a trial's state: expected one of {', '.join(TrialState)}; got {value!r}") from None


def _text(value: Mapping[str, Any] | str | None) -> str | None:
    return value if isinstance(value, str) else dumps(value)


@functools.lru_cache(maxsize=512)
def _update_trial(fields: tuple[str, ...]) -> Update:
    values: dict[str, BindParameter[Any]] = {key: bindparam(f"new_{key}") for key in (*fields, "revision")}
    return update(trials).where(trials.c.study_id == _ID, trials.c.number == _NUMBER).values(values)


@functools.cache
def _insert(table: Table) -> Insert:
    return insert(table)


@functools.cache
def _last_id(table: Table) -> Select[int]:
    return select(func.max(table.c.id)).where(table.c.study_id == _ID)


@functools.lru_cache(maxsize=8)
def _whoami(pid: int) -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that no account has
        user = "unknown"
    return f"{user}@{socket.gethostname()} ({pid})"
