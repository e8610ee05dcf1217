"""Promised speeds: a tell costs little more than its commit, 100,000 trials are read at once."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from workbench.storage import Storage
from workbench.trial import TrialRow

pytestmark = pytest.mark.slow


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_tell_costs_at_most_a_millisecond_more_than_a_bare_commit(tmp_path: Path) -> None:
    """Medians of alternating runs, so that a disk that slows down slows both."""
    storage = Storage(tmp_path / "told.db")
    study = storage.create_study(name="demo", space="{}", objectives="[]")
    with storage.transaction(study.id, "add") as tx:
        tx.insert([{"params": '{"x":0.5}'}] * 2000)
    bare = sqlite3.connect(tmp_path / "bare.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    bare.execute("INSERT INTO t VALUES (1, 0)")

    def tell(number: int) -> None:
        with storage.transaction(study.id, "tell") as tx:
            assert tx.row(number).state == "running"
            tx.update(number, state="complete", outcomes='{"y":1.0}', finished=1.0, owner=None, expires=None)

    def commit(number: int) -> None:
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("UPDATE t SET x = ? WHERE id = 1", (number,))
        bare.execute("COMMIT")

    pairs = [(seconds(partial(tell, i)), seconds(partial(commit, i))) for i in range(400)]
    told, committed = (statistics.median(times) for times in zip(*pairs[50:], strict=True))
    bare.close()
    storage.close()
    assert told - committed <= 1e-3


def test_a_hundred_thousand_trials_are_read_in_a_second(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "demo.db")
    study = storage.create_study(name="demo", space="{}", objectives="[]")
    draft = {
        "params": '{"x":0.123456789,"lr":0.001234,"depth":5,"act":"relu"}', "state": "complete",
        "outcomes": '{"loss":0.123456789,"speed":12.5}', "meta": '{"rng":[7,0]}', "why": "Sobol point",
    }  # fmt: skip
    with storage.transaction(study.id, "add") as tx:
        tx.insert([draft] * 100_000)
    rows: list[TrialRow] = []
    times = [seconds(lambda: rows.__setitem__(slice(None), storage.rows(study.id))) for _ in range(3)]
    assert len(rows) == 100_000
    assert rows[-1].number == 99_999
    assert min(times) <= 1.0
    assert seconds(storage.studies) <= 0.1  # an index scan, about 15 ms
    assert seconds(lambda: storage.snapshot(study.id, 1)) <= 0.05  # nothing has changed
    storage.close()
