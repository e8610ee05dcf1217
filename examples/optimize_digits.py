"""Tune a classifier of handwritten digits into a database, and go on after an interruption.

Ctrl-C at any moment loses nothing that was told; the same command goes on:
    python examples/optimize_digits.py sqlite:///digits.db
"""

from __future__ import annotations

import sys

import workbench as wb
from problems.learning import digits_svm

TRIALS = 16


def main() -> None:
    problem = digits_svm()
    study = wb.create_study(
        "digits",
        problem.space,
        objectives=problem.objectives,
        sampler="gp",
        storage=sys.argv[1] if len(sys.argv) > 1 else "sqlite:///digits.db",
        seed=1,
        budget=TRIALS,
        load_if_exists=True,
    )
    # until= counts finished trials in total, so a finished study is left as it is.
    study.optimize(lambda trial: problem.evaluate(trial.params), until=TRIALS)

    best = study.best_trial
    print(f"{len(study.trials)} trials; number {best.number} reads best: {best.value:.4f} of unseen digits")
    for name, value in best.params.items():
        print(f"  {name:12s} {value:.4g}" if isinstance(value, float) else f"  {name:12s} {value}")


if __name__ == "__main__":
    main()
