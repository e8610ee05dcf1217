"""Cold start of every door, ours and peers': seconds from the start of a process to its end.

    python benchmarks/import.py [--repeats 7]

Every repetition starts every door once, in turn, in a new process with one thread, so that a slow
moment of the machine hits all; the first round warms the disk and is dropped. Medians. `make peers`
for the peers; doors whose interpreter is absent are left out. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = Path(sys.executable)
PEERS = ROOT / ".venv-peers" / "bin" / "python"
HEBO = ROOT / ".venv-hebo" / "bin" / "python"
WORKBENCH = OURS.with_name("workbench")

_STUDY = "import workbench as wb; s = wb.create_study('s', wb.Space([wb.Float('x', 0, 1)]), [wb.Objective('y')]"
_POINTS = "[s.attach({'x': x}, (x - 0.5) ** 2) for x in (0.1, 0.4, 0.7, 0.9)]; "
_OPTUNA = (
    "import optuna; optuna.logging.set_verbosity(optuna.logging.ERROR); "
    "d = {'x': optuna.distributions.FloatDistribution(0, 1)}; "
)
_ADDED = (
    "[s.add_trial(optuna.trial.create_trial(params={'x': x}, distributions=d, value=(x - 0.5) ** 2)) "
    "for x in (0.1, 0.4, 0.7, 0.9)]; s.ask(d)"
)


def doors(database: str) -> dict[str, list[str]]:
    """Command of each door; the database holds a small study."""
    ours = {
        "python": "pass",
        "import workbench": "import workbench",
        "first sobol ask": f"{_STUDY}, sampler='sobol', seed=0); s.ask()",
        "first gp ask, 4 points": f"{_STUDY}, sampler='gp', seed=0); {_POINTS}s.ask()",
    }
    peers = {
        "import optuna": "import optuna",
        "import ax": "import ax.api.client",
        "import botorch": "import botorch",
        "import pymoo": "import pymoo.optimize",
        "optuna: first random ask": (
            f"{_OPTUNA}s = optuna.create_study(sampler=optuna.samplers.RandomSampler(0)); s.ask(d)"
        ),
        "optuna: first gp ask, 4 points": (
            f"{_OPTUNA}s = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=0, n_startup_trials=2)); {_ADDED}"
        ),
    }
    found = {name: [str(OURS), "-c", code] for name, code in ours.items()}
    found["workbench --help"] = [str(WORKBENCH), "--help"]
    found["workbench show"] = [str(WORKBENCH), "show", "small", "--storage", database]
    if PEERS.exists():
        found |= {name: [str(PEERS), "-c", code] for name, code in peers.items()}
    if HEBO.exists():
        found["import hebo"] = [str(HEBO), "-c", "import hebo.optimizers.hebo"]
    return found


def seconds(command: list[str]) -> float:
    """Seconds of one process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return took


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        database = f"{folder}/small.db"
        fill = f"{_STUDY}, sampler='random', storage={database!r}); ".replace("('s'", "('small'") + _POINTS
        seconds([str(OURS), "-c", fill])
        commands = doors(database)
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats + 1):
            for name, command in commands.items():
                taken[name].append(seconds(command))
    medians = {name: round(statistics.median(times[1:]), 3) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"{name:32} {median:7.3f} s")
    print(json.dumps(medians))


if __name__ == "__main__":
    main()
