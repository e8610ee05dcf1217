"""What every storage must do. Another kind of database joins by a line in IMPLEMENTATIONS.

A server joins by WORKBENCH_TEST_DATABASE, the URL of a database that may be emptied.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import (
    FeedbackError,
    InvalidValueError,
    LeaseLostError,
    StorageError,
    StudyExistsError,
    StudyNotFoundError,
    UnknownTrialError,
)
from workbench.storage import Storage, StudyRow, schema
from workbench.trial import FeedbackRecord, Owner, QuestionRecord, Report, TrialRow, now

IMPLEMENTATIONS: dict[str, Callable[[Path], str | Path | None]] = {
    "memory": lambda folder: None,
    "sqlite": lambda folder: f"sqlite:///{folder / 'demo.db'}",
}
if SERVER := os.environ.get("WORKBENCH_TEST_DATABASE"):
    IMPLEMENTATIONS["server"] = lambda folder: SERVER


@pytest.fixture(params=IMPLEMENTATIONS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "server":
        _empty_server()
    opened = Storage(IMPLEMENTATIONS[request.param](tmp_path))
    yield opened
    opened.close()


def _empty_server() -> None:
    storage = Storage(SERVER)
    with storage._database.writing() as connection:
        schema.metadata.drop_all(connection)
        schema.stamp_metadata.drop_all(connection)
    storage.close()


@pytest.fixture
def study(storage: Storage) -> StudyRow:
    return storage.create_study(name="demo", space='{"v":1}', objectives='["loss"]', seed=7)


def add(storage: Storage, study: StudyRow, *drafts: dict[str, Any]) -> list[TrialRow]:
    with storage.transaction(study.id, "add") as tx:
        return tx.insert(drafts)


FULL_TRIAL: dict[str, Any] = {
    "state": "complete", "params": '{"x":0.1,"z":null}', "vectors": b"\x00\x01\xff", "space_version": 1,
    "outcomes": '{"loss":0.30000000000000004}', "sem": '{"loss":0.1}', "gradient": '{"loss":{"x":1e-300}}',
    "cost": 2.5, "actual": '{"x":0.11}', "meta": '{"a":[1]}', "why": "wyjaśnienie ☂", "predicted": "{}",
    "measure": '["loss"]', "warnings": '["w"]', "attrs": '{"lot":"B7"}', "tags": '["t"]', "note": "n",
    "error": "e", "reason": "r", "avoid": "point", "origin": "attached", "created": 1.5, "started": 2.5,
    "finished": 3.5, "owner": "o", "expires": 4.5, "attempt": 3,
}  # fmt: skip


# -- studies ------------------------------------------------------------------------------


def test_study_round_trip(storage: Storage) -> None:
    fields = {
        "space": "{}", "objectives": "[]", "constraints": "[1]", "sampler": '"gp"', "seed": 2**62,
        "budget": 9, "baseline": "{}", "pruner": '"p"', "prior_studies": '["a"]', "settings": '{"r":[0]}',
        "note": "ü", "tags": '["t"]', "attrs": '{"k":1}',
    }  # fmt: skip
    made = storage.create_study(name="all", **fields)
    assert {key: getattr(made, key) for key in fields} == fields
    assert (made.space_version, made.revision) == (1, 0)
    assert made.created == made.updated == pytest.approx(now(), abs=60)
    assert storage.study("all") == made


def test_study_names(storage: Storage, study: StudyRow) -> None:
    with pytest.raises(StudyExistsError, match=r"'demo'.*load_if_exists=True"):
        storage.create_study(name="demo", space="{}", objectives="[]")
    with pytest.raises(StudyNotFoundError, match=r"'dmo'.* holds 1 .*'demo'"):
        storage.study("dmo")
    with pytest.raises(StudyNotFoundError, match="'demo'"):
        storage.delete_study("other")
    assert storage.study("demo") == study


def test_study_fields_are_checked(storage: Storage) -> None:
    with pytest.raises(InvalidValueError, match="missing: objectives, unknown: colour"):
        storage.create_study(name="a", space="{}", colour="red")
    assert storage.studies() == []


def test_summaries_count_by_state(storage: Storage, study: StudyRow) -> None:
    other = storage.create_study(name="other", space="{}", objectives="[]", tags='["t"]', budget=3)
    add(storage, study, {"state": "complete"}, {"state": "complete"}, {"state": "failed"}, {})
    first, second = storage.studies()
    assert (first.name, first.counts) == ("demo", {"complete": 2, "failed": 1, "running": 1})
    assert (second.name, second.counts) == ("other", {})
    assert (second.tags, second.budget, second.created) == ('["t"]', 3, other.created)


def test_delete_takes_everything_and_never_gives_the_id_again(storage: Storage, study: StudyRow) -> None:
    with storage.transaction(study.id, "fill") as tx:
        tx.insert([{}])
        tx.report(0, 0, {"loss": 1.0})
        tx.feedback(kind="rank", groups=[[0]])
        tx.attach("f", "text/plain", b"x", 0)
        tx.question([0], 1)
        tx.audit("void", 0)
        tx.save_state("cbo", 0, b"s")
    storage.delete_study("demo")
    again = storage.create_study(name="demo", space="{}", objectives="[]")
    assert again.id != study.id
    for study_id in (study.id, again.id):
        assert storage.rows(study_id) == []
        assert storage.reports(study_id) == []
        assert storage.feedback(study_id) == []
        assert storage.attachments(study_id) == []
        assert storage.questions(study_id) == []
        assert storage.audit(study_id) == []
        assert storage.sampler_state(study_id, "cbo") is None
    with pytest.raises(StudyNotFoundError, match="deleted"):
        storage.revision(study.id)
    with pytest.raises(StudyNotFoundError, match="deleted"), storage.transaction(study.id, "late"):
        pass


def test_update_study_and_spaces(storage: Storage, study: StudyRow) -> None:
    storage.create_study(name="taken", space="{}", objectives="[]")
    with storage.transaction(study.id, "edit") as tx:
        tx.update_study(budget=40, note="hello")
        tx.update_study()
        assert tx.add_space('{"v":2}') == 2
        assert tx.study().space == '{"v":2}'
        assert tx.insert([{}])[0].space_version == 2
    after = storage.study("demo")
    assert (after.budget, after.note, after.space, after.space_version) == (40, "hello", '{"v":2}', 2)
    assert after.revision == 1
    assert after.updated >= study.updated
    assert storage.spaces(study.id) == {1: '{"v":1}', 2: '{"v":2}'}
    with pytest.raises(InvalidValueError, match="'revision'"), storage.transaction(study.id, "edit") as tx:
        tx.update_study(revision=0)
    with pytest.raises(StudyExistsError, match="'taken'"), storage.transaction(study.id, "edit") as tx:
        tx.update_study(name="taken")
    assert storage.study("demo") == after


# -- trials -------------------------------------------------------------------------------


def test_trial_round_trip(storage: Storage, study: StudyRow) -> None:
    made, empty = add(storage, study, FULL_TRIAL, {})
    assert made == TrialRow(number=0, revision=1, **FULL_TRIAL)
    assert (empty.state, empty.origin, empty.params, empty.attempt) == ("running", "asked", "{}", 1)
    assert empty.created == pytest.approx(now(), abs=60)
    assert {empty.outcomes, empty.vectors, empty.expires, empty.owner, empty.started} == {None}
    assert storage.rows(study.id) == [made, empty]
    assert all(type(row) is TrialRow for row in storage.rows(study.id))


def test_numbers_go_on_and_revisions_grow_by_one(storage: Storage, study: StudyRow) -> None:
    assert [row.number for row in add(storage, study, {}, {})] == [0, 1]
    assert [(row.number, row.revision) for row in add(storage, study, {})] == [(2, 2)]
    assert add(storage, study) == []
    assert storage.revision(study.id) == 3
    assert [row.number for row in storage.rows(study.id, since=1)] == [2]
    assert storage.rows(study.id, since=3) == []


def test_update_sets_fields_and_revision(storage: Storage, study: StudyRow) -> None:
    before = add(storage, study, FULL_TRIAL, {})
    with storage.transaction(study.id, "tell") as tx:
        told = tx.update(1, state="failed", error="diverged", cost=3, finished=9.0)
        assert told == tx.row(1)
    assert told == before[1]._replace(state="failed", error="diverged", cost=3.0, finished=9.0, revision=2)
    assert storage.rows(study.id) == [before[0], told]
    assert storage.rows(study.id, since=1) == [told]


def test_wrong_fields_and_states_change_nothing(storage: Storage, study: StudyRow) -> None:
    rows = add(storage, study, {})
    with storage.transaction(study.id, "bad") as tx:
        with pytest.raises(InvalidValueError, match=r"'colour'.*expected"):
            tx.insert([{"colour": 1}])
        with pytest.raises(InvalidValueError, match="'revision'"):
            tx.update(0, revision=4)
        for call in (lambda: tx.update(0, state="done"), lambda: tx.insert([{"state": "done"}])):
            with pytest.raises(InvalidValueError, match=r"expected one of waiting, running.*'done'"):
                call()
    assert storage.rows(study.id) == rows


def test_unknown_trial_names_the_range(storage: Storage, study: StudyRow) -> None:
    with storage.transaction(study.id, "look") as tx:
        with pytest.raises(UnknownTrialError, match="no trials yet"):
            tx.row(0)
        tx.insert([{}] * 3)
        for call in (
            lambda: tx.row(3),
            lambda: tx.row(-1),
            lambda: tx.update(3, note="x"),
            lambda: tx.report(3, 0, {"a": 1.0}),
            lambda: tx.attach("f", "m", b"", 3),
        ):
            with pytest.raises(UnknownTrialError, match="trials 0 to 2"):
                call()


def test_rows_in_states(storage: Storage, study: StudyRow) -> None:
    add(storage, study, {}, {"state": "waiting"}, {"state": "complete"}, {})
    with storage.transaction(study.id, "look") as tx:
        assert [row.number for row in tx.rows_in("running", "waiting")] == [0, 1, 3]
        assert [row.number for row in tx.rows_in("void")] == []


def test_studies_do_not_mix(storage: Storage, study: StudyRow) -> None:
    other = storage.create_study(name="other", space="{}", objectives="[]")
    add(storage, study, {}, {})
    assert [row.number for row in add(storage, other, {"note": "mine"})] == [0]
    with storage.transaction(other.id, "edit") as tx:
        tx.update(0, note="changed")
        tx.report(0, 1, {"a": 2.0})
    assert [row.note for row in storage.rows(study.id)] == [None, None]
    assert storage.reports(study.id) == []
    assert (storage.revision(study.id), storage.revision(other.id)) == (1, 2)


# -- reports, feedback, questions ------------------------------------------------------------


def test_reports(storage: Storage, study: StudyRow) -> None:
    add(storage, study, {}, {})
    with storage.transaction(study.id, "report") as tx:
        tx.report(1, 10, {"b": 1.0, "a": 2.0})
        tx.report(0, 0, {"a": 3.0})
        tx.report(1, 2, {"a": 0.5})
    assert storage.reports(study.id) == [
        Report(0, 0, "a", 3.0), Report(1, 2, "a", 0.5), Report(1, 10, "a", 2.0), Report(1, 10, "b", 1.0),
    ]  # fmt: skip
    with storage.transaction(study.id, "report") as tx:
        tx.report(1, 10, {"b": 1.0})  # an equal repeat
        tx.report(1, 2, {"a": 0.75, "b": 4.0})  # another value, and one more objective
        assert len(tx.reports()) == 5
    assert storage.reports(study.id, since=2) == [Report(1, 2, "a", 0.75), Report(1, 2, "b", 4.0)]
    assert len(storage.reports(study.id)) == 5


def test_feedback_log(storage: Storage, study: StudyRow) -> None:
    add(storage, study, {}, {}, {})
    with storage.transaction(study.id, "feedback") as tx:
        first = tx.feedback(kind="rank", groups=[[2], [0, 1]], of=[0, 1, 2], rater="kim", confidence=0.9, question=0)
        second = tx.feedback(kind="undo", undoes=0, created=5.0)
        assert tx.feedback_log() == (first, second)
    assert first == FeedbackRecord(
        0, "rank", ((2,), (0, 1)), (0, 1, 2), "kim", 0, None, 0.9, first.created
    )  # fmt: skip
    assert second == FeedbackRecord(1, "undo", undoes=0, created=5.0)
    assert storage.feedback(study.id) == [first, second]
    with pytest.raises(InvalidValueError, match="'id'"), storage.transaction(study.id, "feedback") as tx:
        tx.feedback(kind="rank", id=7)


def test_questions_open_and_close(storage: Storage, study: StudyRow) -> None:
    add(storage, study, {}, {})
    with storage.transaction(study.id, "question") as tx:
        asked = tx.question([1, 0], seed=3)
        other = tx.question([0], None, rater="kim", created=1.5)
        tx.answer(asked.id, 4)
    assert asked == QuestionRecord(0, (1, 0), asked.created, seed=3)
    assert storage.questions(study.id) == [replace(asked, answered=4), QuestionRecord(1, (0,), 1.5, rater="kim")]
    with storage.transaction(study.id, "undo") as tx:
        tx.answer(asked.id, None)
        assert tx.questions() == [asked, other]
        with pytest.raises(FeedbackError, match=r"no question 2.* 2 questions"):
            tx.answer(2, 0)


def test_snapshot_is_what_changed_and_the_whole_log(storage: Storage, study: StudyRow) -> None:
    add(storage, study, {}, {})
    with storage.transaction(study.id, "feedback") as tx:
        entry = tx.feedback(kind="skip")
    full = storage.snapshot(study.id)
    assert (full.revision, full.rows, full.feedback) == (2, storage.rows(study.id), (entry,))
    assert storage.snapshot(study.id, 2) == (2, 1, [], [], (entry,))
    with storage.transaction(study.id, "more") as tx:
        told = tx.update(1, state="complete")
        tx.report(0, 1, {"loss": 1.0})
        another = tx.feedback(kind="skip")
    assert storage.snapshot(study.id, 2) == (3, 1, [told], [Report(0, 1, "loss", 1.0)], (entry, another))
    with pytest.raises(UnknownTrialError), storage.transaction(study.id, "fails") as tx:
        tx.row(tx.feedback(kind="rank").id + 99)
    with storage.transaction(study.id, "more") as tx:
        third = tx.feedback(kind="best")
    assert storage.snapshot(study.id, 3) == (4, 1, [], [], (entry, another, third))


# -- attachments, audit, sampler state -------------------------------------------------------


def test_attachments(storage: Storage, study: StudyRow) -> None:
    add(storage, study, {})
    data = bytes(range(256)) * 100
    with storage.transaction(study.id, "attach") as tx:
        tx.attach("photo", "image/png", b"old", 0)
        text = tx.attach("notes.txt", "text/plain", b"", created=2.0)
        photo = tx.attach("photo", "image/jpeg", data)
    assert (photo.size, photo.number, photo.mime) == (25600, None, "image/jpeg")
    # sha256 of nothing at all, FIPS 180-4
    assert text.sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert text.created == 2.0
    assert storage.attachments(study.id) == [text, photo]
    assert storage.attachment(study.id, "photo") == (photo, data)
    assert storage.attachment(study.id, "notes.txt") == (text, b"")
    with pytest.raises(InvalidValueError, match=r"'foto'.*'photo'"):
        storage.attachment(study.id, "foto")


def test_audit_log(storage: Storage, study: StudyRow) -> None:
    add(storage, study, {})
    with storage.transaction(study.id, "amend") as tx:
        tx.audit("amend", 0, before={"loss": 1.0}, after='{"loss":2.0}', reason="typo")
        tx.audit("import", who="kim@lab (1)", created=3.0)
    first, second = storage.audit(study.id)
    assert (first.id, first.number, first.action) == (0, 0, "amend")
    assert (first.before, first.after, first.reason) == ('{"loss":1.0}', '{"loss":2.0}', "typo")
    assert f"@{Owner.current().host} ({Owner.current().pid})" in first.who
    assert (second.id, second.number, second.before) == (1, None, None)
    assert (second.who, second.created) == ("kim@lab (1)", 3.0)


def test_sampler_state_is_replaced(storage: Storage, study: StudyRow) -> None:
    assert storage.sampler_state(study.id, "cbo") is None
    for number, data in ((3, b"\x00old"), (5, b"\x00new")):
        with storage.transaction(study.id, "ask") as tx:
            tx.save_state("cbo", number, data)
            tx.save_state("gp", 1, b"other")
    assert storage.sampler_state(study.id, "cbo") == (5, b"\x00new")


# -- transactions ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UnknownTrialError])
def test_any_exception_undoes_everything(storage: Storage, study: StudyRow, error: type[BaseException]) -> None:
    rows = add(storage, study, {})

    def fail_at_the_end() -> None:
        with storage.transaction(study.id, "fails") as tx:
            tx.insert([{}])
            tx.update(0, state="failed")
            tx.report(0, 0, {"loss": 1.0})
            tx.feedback(kind="skip")
            tx.attach("f", "m", b"x")
            tx.audit("void", 0)
            tx.save_state("gp", 0, b"")
            tx.add_space("{}")
            tx.update_study(budget=3)
            raise error

    with pytest.raises(error):
        fail_at_the_end()
    assert storage.rows(study.id) == rows
    assert storage.snapshot(study.id) == (1, 1, rows, [], ())
    assert (storage.attachments(study.id), storage.audit(study.id)) == ([], [])
    assert (storage.study("demo").budget, storage.spaces(study.id)) == (None, {1: '{"v":1}'})
    assert [row.number for row in add(storage, study, {})] == [1]


def test_transaction_is_over_after_its_block(storage: Storage, study: StudyRow) -> None:
    with storage.transaction(study.id, "one") as tx:
        tx.insert([{}])
    for call in (lambda: tx.row(0), lambda: tx.update(0, note="late"), lambda: tx.insert([{}])):
        with pytest.raises(StorageError, match="has ended"):
            call()
    assert storage.rows(study.id)[0].note is None


def test_a_thread_has_one_transaction_at_a_time(storage: Storage, study: StudyRow) -> None:
    with storage.transaction(study.id, "outer") as tx:
        tx.insert([{}])
        with pytest.raises(StorageError, match="open already"):
            storage.rows(study.id)
        with pytest.raises(StorageError, match="open already"), storage.transaction(study.id, "inner"):
            pass
    assert len(storage.rows(study.id)) == 1


def test_points_are_passed_in_every_write(storage: Storage, study: StudyRow) -> None:
    passed: list[str] = []
    storage.on_point = passed.append
    add(storage, study, {})
    assert passed == ["add:begin", "add:before_commit", "add:after_commit"]
    storage.rows(study.id)
    assert len(passed) == 3

    def fail(point: str) -> None:
        raise RuntimeError(point)

    for point, kept in (("add:before_commit", 1), ("add:after_commit", 2)):
        storage.on_point = lambda reached, at=point: fail(reached) if reached == at else None
        with pytest.raises(RuntimeError, match=point):
            add(storage, study, {})
        storage.on_point = None
        assert len(storage.rows(study.id)) == kept


def test_closed_storage_refuses(storage: Storage, study: StudyRow) -> None:
    storage.close()
    with pytest.raises(StorageError, match="closed: open it again"):
        storage.rows(study.id)


def test_threads_share_one_storage(storage: Storage, study: StudyRow) -> None:
    seen: list[list[int]] = []

    def work(worker: int) -> None:
        for i in range(8):
            number = add(storage, study, {"note": f"{worker}:{i}"})[0].number
            with storage.transaction(study.id, "tell") as tx:
                tx.update(number, state="complete")
            seen.append([row.number for row in storage.snapshot(study.id).rows])

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = storage.rows(study.id)
    assert [row.number for row in rows] == list(range(48))
    assert {row.note for row in rows} == {f"{worker}:{i}" for worker in range(6) for i in range(8)}
    assert {row.state for row in rows} == {"complete"}
    assert storage.revision(study.id) == 96
    assert all(numbers == list(range(len(numbers))) for numbers in seen)


def test_a_snapshot_is_of_one_moment(storage: Storage, study: StudyRow) -> None:
    """Each transaction writes its revision to a trial and to the log: a snapshot has both or neither."""
    add(storage, study, {})
    done = threading.Event()

    def write() -> None:
        for _ in range(60):
            with storage.transaction(study.id, "both") as tx:
                tx.update(0, note=str(tx.revision))
                tx.feedback(kind="skip", rater=str(tx.revision))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    revisions = []
    while not done.is_set():
        shot = storage.snapshot(study.id)
        revisions.append(shot.revision)
        if shot.revision > 1:
            assert shot.rows[0].note == shot.feedback[-1].rater == str(shot.revision)
    writer.join()
    assert all(a <= b for a, b in pairwise(revisions))


# -- the ask lease and heartbeats --------------------------------------------------------------


OTHER = Owner("elsewhere.example", "boot", 1, "0")


def test_lease_excludes_everybody(storage: Storage, study: StudyRow) -> None:
    mine = Owner.current()
    assert storage.acquire_lease(study.id, mine, 60) == 1
    assert storage.acquire_lease(study.id, mine, 60) is None
    assert storage.acquire_lease(study.id, OTHER, 60) is None
    assert storage.renew_lease(study.id, 1, 60)
    storage.release_lease(study.id, 1)
    assert not storage.renew_lease(study.id, 1, 60)
    assert storage.acquire_lease(study.id, OTHER, 60) == 2
    storage.release_lease(study.id, 1)  # not mine any more
    assert storage.acquire_lease(study.id, mine, 60) is None
    assert storage.revision(study.id) == 0


def test_lease_ends_by_the_clock_or_by_death(storage: Storage, study: StudyRow) -> None:
    mine = Owner.current()
    assert storage.acquire_lease(study.id, OTHER, -1) == 1
    assert storage.acquire_lease(study.id, mine, -1) == 2
    assert storage.renew_lease(study.id, 2, 60)  # late, but nobody took it
    assert storage.acquire_lease(study.id, OTHER, 60) is None
    storage.release_lease(study.id, 2)
    dead = replace(mine, started="-1")
    assert dead.known_dead()
    assert storage.acquire_lease(study.id, dead, 3600) == 3
    assert storage.acquire_lease(study.id, mine, 60) == 4
    assert not storage.renew_lease(study.id, 3, 60)


def test_one_of_many_threads_gets_the_lease(storage: Storage, study: StudyRow) -> None:
    fences: list[int | None] = []
    start = threading.Barrier(6)

    def take() -> None:
        start.wait()
        fences.append(storage.acquire_lease(study.id, Owner.current(), 60))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fences, key=str) == [1, None, None, None, None, None]


def test_fence_stops_a_late_writer(storage: Storage, study: StudyRow) -> None:
    fence = storage.acquire_lease(study.id, OTHER, -1)
    assert fence == 1
    with storage.transaction(study.id, "ask") as tx:
        tx.check_fence(1)
    assert storage.acquire_lease(study.id, Owner.current(), 60) == 2
    with pytest.raises(LeaseLostError, match="number 1, found 2"), storage.transaction(study.id, "ask") as tx:
        tx.check_fence(len(tx.insert([{}])))
    storage.release_lease(study.id, 2)
    with pytest.raises(LeaseLostError, match="nobody"), storage.transaction(study.id, "ask") as tx:
        tx.check_fence(2)
    assert storage.rows(study.id) == []


def test_lease_of_a_deleted_study(storage: Storage, study: StudyRow) -> None:
    storage.delete_study("demo")
    with pytest.raises(StudyNotFoundError):
        storage.acquire_lease(study.id, OTHER, 60)
    assert not storage.renew_lease(study.id, 1, 60)


def test_heartbeat_moves_only_the_expiry(storage: Storage, study: StudyRow) -> None:
    row, *_ = add(storage, study, {"owner": "me", "expires": 1.0}, {"owner": "me", "state": "complete"})
    assert storage.heartbeat(study.id, 0, "me", 99.0)
    assert not storage.heartbeat(study.id, 0, "you", 100.0)
    assert not storage.heartbeat(study.id, 1, "me", 100.0)
    assert not storage.heartbeat(study.id, 2, "me", 100.0)
    assert storage.rows(study.id)[0] == row._replace(expires=99.0)
    assert storage.revision(study.id) == 1
