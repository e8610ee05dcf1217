"""What holds for SQLite files: settings of every connection, other processes, forks, refusals, kills."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ClauseElement, Engine, Executable, event
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

import workbench as wb
from workbench.errors import (
    CorruptStorageError,
    InvalidValueError,
    ReadOnlyStorageError,
    StorageError,
    StorageFullError,
)
from workbench.storage import Storage, StudyRow, core, engine, reading, schema, transaction
from workbench.storage.engine import BUSY_SECONDS
from workbench.trial import Owner

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "demo.db"


@pytest.fixture
def storage(path: Path) -> Iterator[Storage]:
    opened = Storage(path)
    yield opened
    opened.close()


@pytest.fixture
def study(storage: Storage) -> StudyRow:
    return make(storage)


def make(storage: Storage, name: str = "demo") -> StudyRow:
    return storage.create_study(name=name, space="{}", objectives="[]")


def add(storage: Storage, study_id: int, **fields: Any) -> int:
    with storage.transaction(study_id, "add") as tx:
        return tx.insert([fields])[0].number


def numbers(storage: Storage, study_id: int) -> list[int]:
    return [row.number for row in storage.rows(study_id)]


def in_child(work: Callable[[], object], before_wait: Callable[[], object] = lambda: None) -> str:
    """Run `work` in a forked child; what it returned or raised, as text."""
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(sender, said.encode())
        os._exit(0)
    os.close(sender)
    before_wait()
    with os.fdopen(receiver) as stream:
        said = stream.read()
    os.waitpid(pid, 0)
    return said


# -- connections ----------------------------------------------------------------------------


def settings(storage: Storage) -> tuple[Any, ...]:
    names = ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
    with storage._database.reading() as connection:
        return tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names)


def test_every_connection_is_durable(storage: Storage) -> None:
    found = [settings(storage)]
    meet = threading.Barrier(12)

    def look() -> None:
        with storage._database.reading() as connection:
            meet.wait()  # twelve connections at once, more than the pool keeps
            names = ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")
            found.append(tuple(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names))

    threads = [threading.Thread(target=look) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(2, "wal", 1, 60_000)] * 13
    with storage._database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    with storage._database.migrating() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0
    assert settings(storage) == (2, "wal", 1, 60_000)
    assert settings(Storage()) == (2, "memory", 1, 60_000)


def test_writers_begin_immediate_and_readers_deferred(storage: Storage, study: StudyRow) -> None:
    said: list[str] = []
    event.listen(storage._database.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    add(storage, study.id)
    assert [text for text in said if text.startswith("BEGIN")] == ["BEGIN IMMEDIATE"]
    said.clear()
    storage.snapshot(study.id)
    assert [text for text in said if text.startswith("BEGIN")] == ["BEGIN"]


def test_snapshot_of_an_unchanged_record_is_one_query(storage: Storage, study: StudyRow) -> None:
    add(storage, study.id)
    storage.snapshot(study.id)
    said: list[str] = []
    event.listen(storage._database.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    storage.snapshot(study.id, 1)
    assert [text.split()[0] for text in said] == ["BEGIN", "SELECT"]
    said.clear()
    storage.studies()
    assert not any("trials.params" in text for text in said)


def test_counts_never_touch_the_trials(storage: Storage) -> None:
    with storage._database.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {reading._COUNTS.compile(connection.engine)}")
        assert "COVERING INDEX ix_trials_study_id_state" in str(plan.all())


def test_readers_do_not_wait_for_a_writer(storage: Storage, study: StudyRow) -> None:
    add(storage, study.id)
    seen: list[list[int]] = []
    with storage.transaction(study.id, "slow") as tx:
        tx.insert([{}])
        reader = threading.Thread(target=lambda: seen.append(numbers(storage, study.id)))
        reader.start()
        reader.join(10)
    assert seen == [[0]]
    assert numbers(storage, study.id) == [0, 1]


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}", "file:{}", "sqlite:///file:{}?uri=true"])
def test_ways_to_name_a_file(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage(form.format("here.db"))
    made = make(storage)
    storage.close()
    assert Path("here.db").exists()
    assert storage.url is not None
    monkeypatch.chdir("/")
    assert Storage(storage.url).study("demo") == made


def test_odd_names_survive_the_url(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "we?ird #1 %20é.db")
    made = make(storage)
    assert storage.url is not None
    assert Storage(storage.url).study("demo") == made
    assert (tmp_path / "we?ird #1 %20é.db").exists()


@pytest.mark.parametrize("url", [None, "sqlite://", "sqlite:///:memory:"])
def test_memory_has_no_url(url: str | None) -> None:
    assert Storage(url).url is None


# -- other databases ---------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [postgresql.dialect, mysql.dialect], ids=["postgresql", "mysql"])
def test_statements_are_of_no_dialect(dialect: Any) -> None:
    for table in schema.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=dialect()))
    statements = [
        value
        for module in (reading, transaction, core)
        for value in vars(module).values()
        if isinstance(value, ClauseElement) and isinstance(value, Executable)
    ]
    assert len(statements) > 30
    for statement in statements:
        assert str(statement.compile(dialect=dialect()))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+nodriver://kim:secret@host/db", "expected sqlite:///path"),
        ("nothing://kim:secret@host/db", "expected sqlite:///path"),
        ("sqlite://kim:secret@host/db", "expected sqlite:///path"),
        ("sqlite:////no/such/folder/x.db", "cannot be opened.*check the path, and that its folder exists"),
        ("://", "expected"),
    ],
)
def test_unusable_urls_keep_the_password(url: str, said: str) -> None:
    with pytest.raises(StorageError, match=said) as caught:
        Storage(url)
    assert "secret" not in str(caught.value)


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["sqlite:///file:{}?mode=ro&uri=true", "file:{}?mode=ro", "sqlite:///{}?mode=ro"])
@pytest.mark.parametrize("in_use", [False, True])
def test_read_only(path: Path, form: str, in_use: bool) -> None:
    writer = Storage(path)
    study = make(writer)
    add(writer, study.id)
    if not in_use:
        writer.close()
    storage = Storage(form.format(path))
    changes = (
        lambda: add(storage, study.id),
        lambda: make(storage, "b"),
        lambda: storage.delete_study("demo"),
    )
    for change in changes:
        with pytest.raises(ReadOnlyStorageError, match=r"demo\.db.* cannot be written .*mode=ro"):
            change()
        assert numbers(storage, study.id) == [0]
    storage.close()
    writer.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="no mode bits hold for root")
def test_read_only_by_mode_bits(path: Path) -> None:
    with_study = Storage(path)
    study = make(with_study)
    with_study.close()
    path.chmod(0o444)
    storage = Storage(path)
    with pytest.raises(ReadOnlyStorageError):
        add(storage, study.id)
    assert numbers(storage, study.id) == []


def test_full_disk(storage: Storage, study: StudyRow) -> None:
    add(storage, study.id)
    with storage._database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    limit = f"PRAGMA max_page_count={pages + 2}"
    event.listen(storage._database.engine, "connect", lambda driver, _: driver.execute(limit))
    storage._database.engine.dispose()

    def fill() -> None:
        with storage.transaction(study.id, "attach") as tx:
            tx.update(0, state="complete")
            tx.attach("big", "application/octet-stream", bytes(1_000_000))

    with pytest.raises(StorageFullError, match=r"demo\.db.* no room left .*free some space"):
        fill()
    assert [row.state for row in storage.rows(study.id)] == ["running"]
    assert storage.attachments(study.id) == []
    with storage.transaction(study.id, "tell") as tx:
        tx.update(0, state="complete")
    assert storage.rows(study.id)[0].state == "complete"


def test_not_a_database(path: Path) -> None:
    path.write_bytes(b"number,loss\n0,0.5\n" * 500)
    before = path.read_bytes()
    with pytest.raises(CorruptStorageError, match=r"demo\.db.* damaged or no database .*check the path"):
        Storage(path)
    assert path.read_bytes() == before


def test_damaged_file(path: Path) -> None:
    storage = Storage(path)
    study = make(storage)
    with storage.transaction(study.id, "add") as tx:
        tx.insert([{"note": "x" * 500}] * 200)
    storage.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: 4096 * 4] + os.urandom(len(whole) - 4096 * 4))
    with pytest.raises(CorruptStorageError, match=r"damaged.*put back a copy"):
        Storage(path).rows(study.id)


def test_another_program_holds_the_lock(storage: Storage, study: StudyRow, path: Path) -> None:
    impatient = "PRAGMA busy_timeout=50"
    event.listen(storage._database.engine, "connect", lambda driver, _: driver.execute(impatient))
    storage._database.engine.dispose()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked by another program"):
        add(storage, study.id)
    other.execute("ROLLBACK")
    other.close()
    assert add(storage, study.id) == 0


def test_a_write_waits_for_another_program_until_its_deadline_and_no_longer(
    storage: Storage, study: StudyRow, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    monkeypatch.setattr(engine, "_LATE_SECONDS", 0.1)
    with storage.until(began + 0.3), pytest.raises(StorageError, match="locked by another program"):
        add(storage, study.id)
    assert 0.3 <= time.monotonic() - began < BUSY_SECONDS / 2
    with storage.until(began), pytest.raises(StorageError, match="locked by another program"):
        add(storage, study.id)  # its time is over
    soon = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    soon.start()
    assert add(storage, study.id) == 0  # without a deadline it waits as long as ever
    soon.join()
    other.close()


def test_an_ask_keeps_its_timeout_beside_a_locked_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_LATE_SECONDS", 0.1)
    asked = wb.create_study("asked", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("f")], storage=path, seed=1)
    asked.ask()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    with pytest.raises(StorageError, match="locked by another program"):
        asked.ask(timeout=0.5)
    assert time.monotonic() - began < BUSY_SECONDS / 2
    other.execute("ROLLBACK")
    other.close()
    assert [trial.number for trial in asked.ask(2, timeout=5.0)] == [1, 2]


def test_what_sqlite_would_turn_into_null_is_refused(storage: Storage, study: StudyRow) -> None:
    add(storage, study.id)
    with pytest.raises(StorageError, match="contradicts"), storage.transaction(study.id, "report") as tx:
        tx.report(0, 1, {"loss": float("nan")})
    assert storage.reports(study.id) == []


def test_values_that_no_column_holds(storage: Storage, study: StudyRow) -> None:
    for fields in ({"note": "\ud800"}, {"attempt": 2**63}):
        with pytest.raises(InvalidValueError, match="64 bits and valid text"):
            add(storage, study.id, **fields)
    with pytest.raises(InvalidValueError, match="64 bits"):
        storage.create_study(name="b", space="{}", objectives="[]", seed=2**64)
    assert numbers(storage, study.id) == []


# -- processes -------------------------------------------------------------------------------------


def _open_and_fill(path: Path, worker: int, start: Any) -> None:
    start.wait()
    storage = Storage(path)
    shared = storage.study("shared").id if worker < 0 else make(storage, f"own {worker}").id
    for _ in range(3):
        add(storage, shared)
    storage.close()
    os._exit(0)


def _ask_and_tell(path: Path, study_id: int, worker: int, start: Any) -> None:
    storage = Storage(path)
    start.wait()
    for _ in range(5):
        number = add(storage, study_id, note=str(worker))
        with storage.transaction(study_id, "tell") as tx:
            tx.update(number, state="complete", outcomes=f'{{"y":{number}}}')
    os._exit(0)


def _run_eight(target: Callable[..., None], *args: Any) -> None:
    start = FORK.Barrier(8)
    workers = [FORK.Process(target=target, args=(*args, worker, start)) for worker in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 8


def test_eight_processes_create_one_file(path: Path) -> None:
    _run_eight(_open_and_fill, path)
    storage = Storage(path)
    assert sorted(summary.name for summary in storage.studies()) == [f"own {worker}" for worker in range(8)]
    assert all(summary.counts == {"running": 3} for summary in storage.studies())


def test_opening_a_new_file_waits_for_another_that_does(path: Path) -> None:
    """SQLite itself gives up at once when it shall switch to WAL and another connection is writing."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.1, lambda: other.execute("ROLLBACK"))
    end.start()
    storage = Storage(path)
    end.join()
    other.close()
    assert settings(storage)[1] == "wal"
    storage.close()


def test_eight_processes_write_one_study(storage: Storage, study: StudyRow, path: Path) -> None:
    _run_eight(_ask_and_tell, path, study.id)
    rows = storage.rows(study.id)
    assert [row.number for row in rows] == list(range(40))
    assert all(row.outcomes == f'{{"y":{row.number}}}' for row in rows)
    assert {(note, sum(row.note == note for row in rows)) for note in map(str, range(8))} == {
        (str(worker), 5) for worker in range(8)
    }
    assert storage.revision(study.id) == 80


def test_child_may_use_the_storage_of_its_parent(storage: Storage, study: StudyRow) -> None:
    """With inherited connections the child's second commit would go to a deleted -wal file and be lost."""
    add(storage, study.id)
    ready, go = os.pipe(), os.pipe()

    def work() -> int:
        first = add(storage, study.id)
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        return first + add(storage, study.id)

    def close_first() -> None:
        os.read(ready[0], 1)
        storage._database.engine.dispose()
        os.write(go[1], b"x")

    assert in_child(work, close_first) == "3"
    assert numbers(storage, study.id) == [0, 1, 2]
    assert add(storage, study.id) == 3


def test_fork_waits_for_the_transactions_of_other_threads(storage: Storage, study: StudyRow) -> None:
    inside = threading.Event()

    def slow() -> None:
        with storage.transaction(study.id, "slow") as tx:
            inside.set()
            time.sleep(0.3)
            tx.insert([{"note": "parent"}])

    thread = threading.Thread(target=slow)
    thread.start()
    inside.wait()
    assert in_child(lambda: add(storage, study.id, note="child")) == "1"
    thread.join()
    assert [row.note for row in storage.rows(study.id)] == ["parent", "child"]


def test_fork_inside_a_transaction_leaves_a_child_that_refuses(storage: Storage, study: StudyRow) -> None:
    with storage.transaction(study.id, "outer") as tx:
        tx.insert([{}])
        said = in_child(lambda: numbers(storage, study.id))
    assert said.startswith("StorageError: this process was forked while a transaction")
    assert numbers(storage, study.id) == [0]


def test_memory_does_not_follow_into_a_child() -> None:
    storage = Storage()
    study = make(storage)
    assert "StorageError: an in-memory storage belongs" in in_child(lambda: add(storage, study.id))
    assert add(storage, study.id) == 0


def test_the_dead_lose_their_lease(storage: Storage, study: StudyRow, path: Path) -> None:
    assert in_child(lambda: Storage(path).acquire_lease(study.id, Owner.current(), 3600)) == "1"
    assert storage.acquire_lease(study.id, Owner.current(), 60) == 2


# -- power and kills -----------------------------------------------------------------------------------


def _thirty_transactions(path: Path) -> None:
    storage = Storage(path)
    study = make(storage)
    engine = storage._database.engine
    event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA wal_autocheckpoint=0"))
    engine.dispose()  # closing the last connection empties the -wal file
    for i in range(30):
        with storage.transaction(study.id, "tell") as tx:
            tx.insert([{"note": f"trial {i}"}])
            if i:
                tx.update(i - 1, state="complete", outcomes=f'{{"y":{i - 1}}}')
            tx.update_study(budget=i + 1)
    os._exit(0)  # as in a kill: nothing is closed


_kept_open: list[Storage] = []


def _transactions_kept(path: Path) -> int:
    """How many transactions made this state; fails if it is not the result of the first ones."""
    storage = Storage(path)
    study = storage.study("demo")
    rows = storage.rows(study.id)
    _kept_open.append(storage)
    k = study.revision
    assert (study.budget or 0) == k
    assert [row.note for row in rows] == [f"trial {i}" for i in range(k)]
    assert [row.outcomes for row in rows] == [*(f'{{"y":{i}}}' for i in range(k - 1)), *([None] if k else [])]
    return k


@pytest.mark.slow
def test_any_piece_of_the_log_opens_as_a_prefix_of_the_commits(path: Path, tmp_path: Path) -> None:
    writer = FORK.Process(target=_thirty_transactions, args=(path,))
    writer.start()
    writer.join(60)
    database, log = path.read_bytes(), path.with_name("demo.db-wal").read_bytes()
    header, frame = 32, 24 + 4096  # https://www.sqlite.org/fileformat2.html#walformat
    frames = (len(log) - header) // frame
    assert len(log) == header + frames * frame
    assert frames >= 30
    cuts = sorted({0, 17, header, *(header + i * frame for i in range(frames + 1))})
    cuts = sorted({*cuts, *(header + i * frame + (i * 977) % frame for i in range(0, frames, 7))})
    for cut in cuts:
        copy = tmp_path / f"cut{cut}.db"
        copy.write_bytes(database)
        copy.with_name(f"{copy.name}-wal").write_bytes(log[:cut])
    # In a child that closes nothing: closing writes to the disk each time, which takes long.
    said = in_child(lambda: [_transactions_kept(tmp_path / f"cut{cut}.db") for cut in cuts])
    kept = json.loads(said)
    assert kept == sorted(kept)
    assert set(kept) == set(range(31))


def _write_for_ever(path: Path, study_id: int, acknowledge: int) -> None:
    storage = Storage(path)
    while True:
        number = add(storage, study_id)
        with storage.transaction(study_id, "tell") as tx:
            tx.update(number, state="complete", outcomes=f'{{"y":{number}}}')
        os.write(acknowledge, f"{number}\n".encode())


@pytest.mark.parametrize("acknowledged", [1, 4, 9, 16])
def test_kill_loses_nothing_that_was_committed(path: Path, acknowledged: int) -> None:
    storage = Storage(path)
    study = make(storage)
    receiver, sender = os.pipe()
    writer = FORK.Process(target=_write_for_ever, args=(path, study.id, sender))
    writer.start()
    os.close(sender)
    with os.fdopen(receiver) as stream:
        said = [int(stream.readline()) for _ in range(acknowledged)]
        time.sleep(0.0007 * acknowledged)  # somewhere inside a transaction
        os.kill(writer.pid or 0, signal.SIGKILL)
        said += [int(line) for line in stream]
    writer.join()
    rows = storage.rows(study.id)
    assert [row.number for row in rows] == list(range(len(rows)))
    told = [row.number for row in rows if row.state == "complete"]
    assert said == told[: len(said)]
    assert len(told) - len(said) <= 1  # at most one was committed and not yet acknowledged
    assert all(row.outcomes == f'{{"y":{row.number}}}' for row in rows if row.number in told)
    assert add(storage, study.id) == len(rows)
    storage.close()


def test_listing_studies_never_loads_a_trial(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "demo.db")
    study = storage.create_study(name="demo", space="{}", objectives="[]")
    with storage.transaction(study.id, "add") as tx:
        tx.insert([{"params": '{"x":0.5}'}] * 3)
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        (summary,) = storage.studies()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert summary.counts == {"running": 3}
    assert statements
    assert not any("params" in statement or "outcomes" in statement for statement in statements)
    storage.close()
