"""`Storage`: the door to the record."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import URL, BindParameter, Connection, bindparam, delete, insert, select, update

from workbench.errors import FrozenStudyError, InvalidValueError, StorageError
from workbench.storage import reading
from workbench.storage.engine import Database, is_memory, parse_url
from workbench.storage.failures import ConflictError
from workbench.storage.records import AttachmentRow, AuditRow, Snapshot, StudyRow, StudySummary, Whole
from workbench.storage.schema import studies, trials
from workbench.storage.transaction import STUDY_FIELDS, Transaction, add_space, study_exists
from workbench.storage.versions import prepare
from workbench.trial import FeedbackRecord, Owner, QuestionRecord, Report, TrialRow, TrialState, loads, now

_ID: BindParameter[int] = bindparam("the_study")
_FENCE: BindParameter[int] = bindparam("the_fence")
FROZEN = "frozen"  # in the settings of a study that nothing may change

_STUDY_ID = select(studies.c.id).where(studies.c.name == bindparam("the_name"))
_LEASE = select(
    studies.c.name, studies.c.settings, studies.c.lease_owner, studies.c.lease_expires, studies.c.lease_fence
).where(studies.c.id == _ID)
_TAKE_LEASE = (
    update(studies)
    .where(studies.c.id == _ID, studies.c.lease_fence == _FENCE)
    .values(
        lease_owner=bindparam("the_owner"),
        lease_expires=bindparam("the_end"),
        lease_fence=studies.c.lease_fence + 1,
    )
)
_HOLDING = (studies.c.id == _ID, studies.c.lease_fence == _FENCE, studies.c.lease_owner.is_not(None))
_RENEW_LEASE = update(studies).where(*_HOLDING).values(lease_expires=bindparam("the_end"))
_RELEASE_LEASE = update(studies).where(*_HOLDING).values(lease_owner=None, lease_expires=None)
_HEARTBEAT = (
    update(trials)
    .where(
        trials.c.study_id == _ID,
        trials.c.number == bindparam("the_number"),
        trials.c.owner == bindparam("the_owner"),
        trials.c.state == TrialState.RUNNING.value,
    )
    .values(expires=bindparam("the_end"))
)


class Storage:
    """Studies in a database; threads may share one, processes open their own.

    Args:
        url: An SQLAlchemy URL, a path of an SQLite file, or None for a private record in memory.
        make: May an absent SQLite file be made?

    Attributes:
        url: The full URL, None in memory.
        on_point: Called with "<label>:begin", "<label>:before_commit", "<label>:after_commit" in every write.

    Raises:
        NewerSchemaError: if a newer version of the workbench wrote the database.
        CorruptStorageError: if it is damaged or something else.
        StorageError: if it cannot be opened.
    """

    def __init__(self, url: str | os.PathLike[str] | None = None, *, make: bool = True) -> None:
        parsed = parse_url(url)
        if not make:
            _check_exists(parsed)
        self.url: str | None = None if is_memory(parsed) else parsed.render_as_string(hide_password=False)
        self.on_point: Callable[[str], None] | None = None
        self._database = Database(parsed)
        self._log_lock = threading.Lock()
        self._logs: dict[int, tuple[int, tuple[FeedbackRecord, ...]]] = {}  # study: (revision, feedback log)
        try:
            prepare(self._database)
        except BaseException:
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"Storage({self._database.place!r})"

    def close(self) -> None:
        """Close all connections; the storage refuses everything afterwards."""
        self._database.close()

    # -- studies --------------------------------------------------------------------------

    def create_study(
        self, *, fill: Callable[[Transaction], object] | None = None,
        remedy: str = "pass load_if_exists=True to go on with it, or choose another name", **fields: Any,
    ) -> StudyRow:  # fmt: skip
        """Make a study. Fields as in `StudyRow`; name, space and objectives are needed.

        Args:
            fill: What else belongs to it from the start, written in the same transaction.
            remedy: What to do where the name is taken.
        Raises:
            StudyExistsError: if the name is taken.
        """
        _check_study(fields)
        name, space, time = fields["name"], fields.pop("space"), now()
        with self._write("create_study") as connection:
            values = {"created": time, "updated": time} | fields
            values |= {"revision": 0, "space_version": 1, "lease_fence": 0}
            try:
                connection.execute(insert(studies), [values])
            except ConflictError as error:
                raise study_exists(name, remedy) from error
            made = connection.execute(_STUDY_ID, {"the_name": name}).scalar_one()
            add_space(connection, made, 1, space)
            if fill is not None:
                with self._changing(connection, made) as transaction:
                    fill(transaction)
            return reading.study_by_id(connection, made)

    def study(self, name: str) -> StudyRow:
        """The study of that name.

        Raises:
            StudyNotFoundError: naming the nearest names.
        """
        with self._database.reading() as connection:
            return reading.study_by_name(connection, name, self._database.place)

    def studies(self) -> list[StudySummary]:
        """All studies in the order in which they were made; loads no trials."""
        with self._database.reading() as connection:
            return reading.summaries(connection)

    def delete_study(self, name: str) -> None:
        """Delete a study and everything of it."""
        with self._write("delete_study") as connection:
            if connection.execute(delete(studies).where(studies.c.name == name)).rowcount == 0:
                raise reading.no_such_study(connection, name, self._database.place)

    def study_by_id(self, study_id: int) -> StudyRow:
        """The study of that id, as it is now."""
        with self._database.reading() as connection:
            return reading.study_by_id(connection, study_id)

    def spaces(self, study_id: int) -> dict[int, str]:
        """JSON text of every version of the space."""
        with self._database.reading() as connection:
            return reading.space_versions(connection, study_id)

    # -- the record -----------------------------------------------------------------------

    def revision(self, study_id: int) -> int:
        """The number of transactions on the study so far."""
        with self._database.reading() as connection:
            return reading.revision(connection, study_id)[0]

    def rows(self, study_id: int, since: int = 0) -> list[TrialRow]:
        """The trials changed after revision `since`, by number."""
        with self._database.reading() as connection:
            return reading.rows_since(connection, study_id, since)

    def reports(self, study_id: int, since: int = 0) -> list[Report]:
        """The intermediate values changed after revision `since`, by number, objective and step."""
        with self._database.reading() as connection:
            return reading.reports_since(connection, study_id, since)

    def feedback(self, study_id: int) -> list[FeedbackRecord]:
        """The feedback log, undone entries and undos included."""
        with self._database.reading() as connection:
            return list(reading.feedback_from(connection, study_id))

    def questions(self, study_id: int) -> list[QuestionRecord]:
        """All questions."""
        with self._database.reading() as connection:
            return reading.all_questions(connection, study_id)

    def snapshot(self, study_id: int, since: int = 0) -> Snapshot:
        """The record at one revision: what changed after `since`, and the whole feedback log."""
        with self._database.reading() as connection:
            revision, version = reading.revision(connection, study_id)
            log = self._log(connection, study_id, revision)
            if revision == since:
                return Snapshot(revision, version, [], [], log)
            rows = reading.rows_since(connection, study_id, since)
            return Snapshot(revision, version, rows, reading.reports_since(connection, study_id, since), log)

    def whole(self, name: str) -> Whole:
        """All of the study of that name, read in one transaction, whoever writes meanwhile.

        Raises:
            StudyNotFoundError: naming the nearest names.
        """
        with self._database.reading() as connection:
            study = reading.study_by_name(connection, name, self._database.place)
            files = reading.attachment_list(connection, study.id)
            return Whole(
                study,
                reading.space_versions(connection, study.id),
                reading.rows_since(connection, study.id, 0),
                reading.reports_since(connection, study.id, 0),
                reading.feedback_from(connection, study.id),
                reading.all_questions(connection, study.id),
                [reading.attachment(connection, study.id, row.name) for row in files],
                reading.audit_log(connection, study.id),
                reading.all_sampler_states(connection, study.id),
            )

    def _log(self, connection: Connection, study_id: int, revision: int) -> tuple[FeedbackRecord, ...]:
        """The feedback log; entries never change, so that only new ones are read."""
        with self._log_lock:
            seen, known = self._logs.get(study_id, (-1, ()))
            if seen < revision:
                known += reading.feedback_from(connection, study_id, first=len(known))
                self._logs[study_id] = (revision, known)
        # A reader that began before another one filled the cache sees the log as it was then.
        return known if seen <= revision else reading.feedback_from(connection, study_id)

    def attachments(self, study_id: int) -> list[AttachmentRow]:
        """All attachments, without their bytes."""
        with self._database.reading() as connection:
            return reading.attachment_list(connection, study_id)

    def attachment(self, study_id: int, name: str) -> tuple[AttachmentRow, bytes]:
        """One attachment and its bytes.

        Raises:
            InvalidValueError: naming the attachments that come near.
        """
        with self._database.reading() as connection:
            return reading.attachment(connection, study_id, name)

    def audit(self, study_id: int) -> list[AuditRow]:
        """The audit log in the order of arrival."""
        with self._database.reading() as connection:
            return reading.audit_log(connection, study_id)

    def sampler_states(self, study_id: int) -> dict[str, tuple[int, bytes]]:
        """Every stored state by sampler, with the trial number that it belongs to."""
        with self._database.reading() as connection:
            return reading.all_sampler_states(connection, study_id)

    def sampler_state(self, study_id: int, sampler: str) -> tuple[int, bytes] | None:
        """The stored state of a sampler and the trial number that it belongs to."""
        with self._database.reading() as connection:
            return reading.sampler_state(connection, study_id, sampler)

    # -- changes --------------------------------------------------------------------------

    @contextmanager
    def transaction(self, study_id: int, label: str) -> Iterator[Transaction]:
        """One change of the record: all of it is committed at the end, or none of it after an exception.

        Other writers wait meanwhile: no model is fitted and no user is asked inside.

        Args:
            label: What the change is, for `on_point`; "thaw" alone may change a frozen study.
        Raises:
            FrozenStudyError: if the study is frozen.
        """
        with self._write(label) as connection, self._changing(connection, study_id) as transaction:
            if label != "thaw" and transaction.settings.get(FROZEN):
                raise _frozen(reading.study_by_id(connection, study_id).name)
            yield transaction

    @staticmethod
    @contextmanager
    def _changing(connection: Connection, study_id: int) -> Iterator[Transaction]:
        transaction = Transaction(connection, study_id)
        try:
            yield transaction
        finally:
            transaction.end()

    def until(self, deadline: float | None) -> AbstractContextManager[None]:
        """Inside, a change by this thread waits for other programs until then, at least five seconds.

        A database that is still locked then is a StorageError.

        Args:
            deadline: `time.monotonic()`; None waits for `BUSY_SECONDS` each time.
        """
        return self._database.until(deadline)

    def heartbeat(self, study_id: int, number: int, owner_json: str, expires: float) -> bool:
        """Move the expiry of a running trial, without a new revision.

        Returns:
            False when the trial is not running or belongs to somebody else.
        """
        values = {"the_study": study_id, "the_number": number, "the_owner": owner_json, "the_end": expires}
        return self._change("heartbeat", _HEARTBEAT, values)

    # -- the ask lease ----------------------------------------------------------------------

    def acquire_lease(self, study_id: int, owner: Owner, seconds: float) -> int | None:
        """Take the study's ask lease if it is free, over, or its holder is known to be dead.

        Args:
            seconds: From now until it is over, by the wall clock.
        Returns:
            The fencing number, which grows each time the lease changes hands; None while somebody
            holds it, this owner included: threads of one process exclude each other.
        """
        with self._database.reading() as connection:
            fence = _free_lease(connection, study_id)
        if fence is None:
            return None
        values = {
            "the_study": study_id,
            "the_fence": fence,
            "the_owner": owner.to_json(),
            "the_end": now() + seconds,
        }
        return fence + 1 if self._change("acquire_lease", _TAKE_LEASE, values) else None

    def renew_lease(self, study_id: int, fence: int, seconds: float) -> bool:
        """Hold the lease for `seconds` from now on; False when it was lost."""
        values = {"the_study": study_id, "the_fence": fence, "the_end": now() + seconds}
        return self._change("renew_lease", _RENEW_LEASE, values)

    def release_lease(self, study_id: int, fence: int) -> None:
        """Give the lease back; nothing happens when it was lost already."""
        self._change("release_lease", _RELEASE_LEASE, {"the_study": study_id, "the_fence": fence})

    # -- helpers --------------------------------------------------------------------------

    def _change(self, label: str, statement: Any, values: Mapping[str, Any]) -> bool:
        with self._write(label) as connection:
            return bool(connection.execute(statement, values).rowcount)

    @contextmanager
    def _write(self, label: str) -> Iterator[Connection]:
        with self._database.writing() as connection:
            self._reach(f"{label}:begin")
            yield connection
            self._reach(f"{label}:before_commit")
        self._reach(f"{label}:after_commit")

    def _reach(self, point: str) -> None:
        if self.on_point is not None:
            self.on_point(point)


def _free_lease(connection: Connection, study_id: int) -> int | None:
    """The present fencing number if the lease can be taken."""
    found = connection.execute(_LEASE, {"the_study": study_id}).first()
    if found is None:
        raise reading.study_gone()
    if loads(found.settings, {}).get(FROZEN):
        raise _frozen(found.name)
    held = found.lease_owner is not None and found.lease_expires > now()
    if held and not Owner.from_json(found.lease_owner).known_dead():
        return None
    return int(found.lease_fence)


def _frozen(name: str) -> FrozenStudyError:
    return FrozenStudyError(f"study {name!r} is frozen: nothing of it changes. Use study.thaw() to go on with it")


def _check_exists(url: URL) -> None:
    """Refuse to make a database where a path was mistyped."""
    path = url.database or ""
    is_file = url.get_backend_name() == "sqlite" and not is_memory(url) and not path.startswith("file:")
    if is_file and not os.path.exists(path):
        raise StorageError(f"there is no database {path!r}: check the path; wb.create_study makes a new one")


def _check_study(fields: Mapping[str, Any]) -> None:
    allowed = STUDY_FIELDS | {"space", "created", "updated"}
    missing = {"name", "space", "objectives"} - {key for key, value in fields.items() if value is not None}
    if missing or not fields.keys() <= allowed:
        unknown = fields.keys() - allowed
        raise InvalidValueError(
            f"a study needs a name, a space and objectives and may have {', '.join(sorted(allowed))}; "
            f"missing: {', '.join(sorted(missing)) or 'none'}, "
            f"unknown: {', '.join(sorted(unknown)) or 'none'}"
        )
