"""Teach a policy to balance a pole from nothing but which of a few attempts went better.

    python examples/rank_policy.py --rounds 6

Each trial is a linear policy; its score is the mean number of steps that the pole stays up in three episodes, of 500
at most. The sampler sees the scores of a round only as an order. Needs gymnasium (the extra `problems`).
"""

from __future__ import annotations

import argparse

import gymnasium
import numpy as np

import workbench as wb

EPISODES = 3


def steps_upright(trial: wb.Trial) -> float:
    """Mean length of the episodes that the policy lives."""
    weights = np.asarray(trial["weights"])
    environment = gymnasium.make("CartPole-v1")
    total = 0
    for episode in range(EPISODES):
        seen, _ = environment.reset(seed=episode)
        over = False
        while not over:
            seen, _, fallen, timed_out, _ = environment.step(int(seen @ weights > 0))
            total += 1
            over = fallen or timed_out
    environment.close()
    return total / EPISODES


def main() -> None:
    """Run some rounds of eight policies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    study = wb.create_study(
        "pole",
        wb.Space([wb.Vector("weights", 4, prior="normal")]),
        [wb.Objective("steps", "maximize")],
        sampler=wb.RankSGDSampler(candidates=8),
        seed=chosen.seed,
    )
    study.optimize(steps_upright, n_trials=8 * chosen.rounds)
    values = [trial.value or 0.0 for trial in study.trials]
    print(f"first round: {max(values[:8]):.0f} steps; best of all: {study.best_value:.0f} steps")


if __name__ == "__main__":
    main()
