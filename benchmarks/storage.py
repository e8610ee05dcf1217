"""What the record costs: a tell above a bare commit, and reading 100,000 trials.

    python benchmarks/storage.py [--trials 100000] [--tells 400]

One thread. Tells and bare commits alternate on the same kind of file, so that a slow moment of
the disk hits both. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import workbench as wb


def tell_overhead(folder: Path, tells: int) -> dict[str, float]:
    """Median seconds of a tell, of one bare commit of a row of the same size, and their difference."""
    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(6)])
    study = wb.create_study("tells", space, [wb.Objective("y")], sampler="random", storage=folder / "a.db", seed=0)
    bare = sqlite3.connect(folder / "b.db", isolation_level=None)
    bare.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (i INTEGER PRIMARY KEY, v)")
    trials = study.ask(tells)
    told, committed = [], []
    for i, trial in enumerate(trials):
        start = time.perf_counter()
        study.tell(trial, i / tells)
        told.append(time.perf_counter() - start)
        start = time.perf_counter()
        bare.execute("BEGIN IMMEDIATE")
        bare.execute("INSERT INTO t (v) VALUES (?)", ("x" * 300,))
        bare.execute("COMMIT")
        committed.append(time.perf_counter() - start)
    tell, commit = statistics.median(told), statistics.median(committed)
    return {"tell_ms": 1e3 * tell, "commit_ms": 1e3 * commit, "overhead_ms": 1e3 * (tell - commit)}


def history_load(folder: Path, n: int) -> dict[str, float]:
    """Seconds to load a study of n trials and read its history, and to list the studies."""
    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(6)])
    study = wb.create_study("many", space, [wb.Objective("y")], sampler="random", storage=folder / "c.db", seed=0)
    points = space.decode(space.sobol(n, seed=0))
    record = study._record
    draft = {"state": "complete", "origin": "attached", "meta": '{"sampler":"sobol","rng":[0,0]}'}
    with record.transaction("fill") as tx:
        tx.insert([{**draft, "params": json.dumps(p), "outcomes": json.dumps({"y": p["x0"]})} for p in points])
    start = time.perf_counter()
    listed = wb.list_studies(folder / "c.db")
    listing = time.perf_counter() - start
    start = time.perf_counter()
    history = wb.load_study("many", storage=folder / "c.db").history()
    loading = time.perf_counter() - start
    assert len(history) == n == sum(listed[0].counts.values())
    return {"trials": n, "history_s": loading, "list_s": listing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--tells", type=int, default=400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = tell_overhead(Path(folder), arguments.tells) | history_load(Path(folder), arguments.trials)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
