"""Optuna's RDB storage on a SQLite file, one operation a line: for benchmarks/storage.py.

Each answer has the seconds of the operation, measured here, so that the pipe does not count.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from typing import Any

import optuna
from optuna.distributions import FloatDistribution

optuna.logging.set_verbosity(optuna.logging.ERROR)
SPACE = {f"x{i}": FloatDistribution(0.0, 1.0) for i in range(6)}


class Store:
    """A file with the studies "tells" and "many"."""

    def __init__(self, path: str, wal: bool) -> None:
        self._url, self._path = f"sqlite:///{path}", path
        if wal:
            with sqlite3.connect(path) as file:
                file.execute("PRAGMA journal_mode=WAL")  # stays with the file
        sampler = optuna.samplers.RandomSampler(seed=0)
        self._study = optuna.create_study(study_name="tells", storage=self._url, sampler=sampler)
        self._trials: list[optuna.Trial] = []

    def ask(self, count: int) -> None:
        """Ask for the trials that are told later."""
        self._trials = [self._study.ask(SPACE) for _ in range(count)]

    def tell(self, number: int) -> None:
        """Tell one trial."""
        self._study.tell(self._trials[number], number / 100)

    def fill(self, count: int) -> None:
        """Add finished trials to "many"."""
        rng = random.Random(0)
        study = optuna.create_study(study_name="many", storage=self._url)
        for _ in range(count):
            params = {name: rng.random() for name in SPACE}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=SPACE, value=params["x0"]))

    def load(self, count: int) -> None:
        """Open the file anew and read every trial of "many"."""
        trials = optuna.load_study(study_name="many", storage=self._url).trials
        assert len(trials) == count

    def list(self) -> None:
        """Open the file anew and list the studies."""
        assert len(optuna.get_all_study_summaries(storage=self._url)) == 2

    def pragmas(self) -> dict[str, Any]:
        """What Optuna's own connections have."""
        storage = optuna.storages.RDBStorage(self._url)
        with storage.engine.connect() as connection:
            names = ("journal_mode", "synchronous")
            return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}


def main() -> None:
    """Serve {"do": operation, ...arguments} until the pipe ends."""
    store = Store(sys.argv[1], wal=sys.argv[2] == "wal")
    for line in sys.stdin:
        message = json.loads(line)
        operation = getattr(store, message.pop("do"))
        began = time.perf_counter()
        result = operation(**message)
        print(json.dumps({"seconds": time.perf_counter() - began, "result": result}), flush=True)


if __name__ == "__main__":
    main()
