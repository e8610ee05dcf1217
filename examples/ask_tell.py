"""Ask and tell: your own loop decides when to measure; the study remembers.

Run it again with the same storage and it goes on where it stopped:
    python examples/ask_tell.py sqlite:///ask_tell.db
"""

from __future__ import annotations

import sys

import workbench as wb
from problems.synthetic import branin

TRIALS = 20


def main() -> None:
    problem = branin()
    study = wb.create_study(
        "ask-tell",
        problem.space,
        objectives=problem.objectives,
        sampler="gp",
        storage=sys.argv[1] if len(sys.argv) > 1 else None,  # None keeps it in memory
        seed=7,
        budget=TRIALS,
        load_if_exists=True,
    )
    # Whatever an earlier run had asked for and not yet told comes first.
    for trial in study.trials:
        if trial.state == wb.TrialState.RUNNING:
            study.tell(trial, problem.evaluate(trial.params))

    while len(study.trials) < TRIALS:
        trial = study.ask()
        value = problem.evaluate(trial.params)["y"]  # your experiment goes here
        study.tell(trial, value)
        print(f"trial {trial.number:2d}  y = {value:9.4f}  best so far {study.best_value:.4f}")

    print(f"best {study.best_value:.5f} at {study.best_params}; the true minimum is {problem.optimum:.5f}")


if __name__ == "__main__":
    main()
