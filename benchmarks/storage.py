"""What the record costs: a tell above a bare commit, reading 100,000 trials; and Optuna's RDB storage.

    python benchmarks/storage.py [--trials 100000] [--tells 400] [--compared 2000]

One thread. Tells and bare commits alternate on the same kind of file, so that a slow moment of
the disk hits both. So do tells, loads and listings of ours and of Optuna (`make peers`; left out
without), each timed in its own process: Optuna at its default (a rollback journal, synchronous=FULL)
and on a file that was switched to the journal that ours uses (WAL, synchronous=FULL). Both
survive a loss of power. Optuna asks and adds its trials before the clock. Ratios are ours by
Optuna's; at most 1/3 is wanted. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import workbench as wb
from workbench.bench import Contestant
from workbench.bench.contestant import Line

_ROOT = Path(__file__).parent.parent
_PEER = _ROOT / ".venv-peers" / "bin" / "python"
_REPEATS = 9  # loads and listings


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


def against_optuna(folder: Path, tells: int, n: int) -> dict[str, float | str]:
    """Median milliseconds of a tell, a load of n trials and a listing, of ours and of Optuna in turn."""
    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(6)])
    path = folder / "ours.db"
    study = wb.create_study("tells", space, [wb.Objective("y")], sampler="random", storage=path, seed=0)
    many = wb.create_study("many", space, [wb.Objective("y")], sampler="random", storage=path, seed=0)
    trials = study.ask(tells)
    for point in space.decode(space.sobol(n, seed=0)):
        many.attach(point, point["x0"])
    actions: dict[str, Callable[[int], object]] = {
        "tell": lambda i: study.tell(trials[i], i / 100),
        "load": lambda i: wb.load_study("many", storage=path).history(),
        "list": lambda i: wb.list_studies(path),
    }
    figures: dict[str, float | str] = {}
    with _optuna(folder, "rollback") as default, _optuna(folder, "wal") as wal:
        lines = {"optuna": default, "optuna_wal": wal}
        for line in lines.values():
            line.call({"do": "ask", "count": tells})
            line.call({"do": "fill", "count": n})
        for name, ours in actions.items():
            taken: dict[str, list[float]] = {who: [] for who in ("ours", *lines)}
            for i in range(tells if name == "tell" else _REPEATS):
                taken["ours"].append(_seconds(ours, i))
                for who, line in lines.items():
                    message = {"tell": {"number": i}, "load": {"count": n}, "list": {}}[name]
                    taken[who].append(line.call({"do": name, **message})[0]["seconds"])
            medians = {who: 1e3 * statistics.median(times) for who, times in taken.items()}
            figures |= {f"{name}_{who}_ms": median for who, median in medians.items()}
            figures |= {f"{name}_ratio_{who}": medians["ours"] / medians[who] for who in lines}
        for who, line in lines.items():
            figures[f"{who}_pragmas"] = json.dumps(line.call({"do": "pragmas"})[0]["result"])
    return figures


def _seconds(action: Callable[[int], object], i: int) -> float:
    began = time.perf_counter()
    action(i)
    return time.perf_counter() - began


def _optuna(folder: Path, journal: str) -> Line:
    script = Path(__file__).parent / "peers" / "storage_optuna.py"
    command = (str(_PEER), str(script), str(folder / f"optuna-{journal}.db"), journal)
    return Line(Contestant(f"optuna-{journal}", command, f".venv-peers/bin/python {script.name}"), limit=1200.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--tells", type=int, default=400)
    parser.add_argument("--compared", type=int, default=2_000, help="trials of the study that Optuna loads too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        figures: dict[str, float | str] = {**tell_overhead(folder, arguments.tells)}
        figures |= history_load(folder, arguments.trials)
        if _PEER.exists():
            figures |= against_optuna(folder, arguments.tells, arguments.compared)
        else:
            print("Optuna is left out: make peers")
    for name, value in figures.items():
        print(f"{name:28} {value if isinstance(value, str) else round(value, 4)}")
    print(json.dumps({name: value if isinstance(value, str) else round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
