"""Train a small network on images of digits without gradients: a swarm over its 910 weights, in whole batches.

python examples/train_without_gradients.py
"""

from __future__ import annotations

import workbench as wb
from problems.learning import digits_network


def main(evaluations: int = 60_000) -> None:
    """Train, and read digits that were not learnt from."""
    problem = digits_network(hidden=12)
    study = wb.create_study(
        "digits without gradients", problem.space, problem.objectives, seed=0,
        sampler=wb.CBOSampler(particles=100, noise=2.0, dt=0.1),
    )  # fmt: skip
    # The function takes columns of shape (n, 910) and gives n losses: evaluations are counted, and are not trials.
    study.optimize(problem.evaluate_batch, vectorized=True, evaluations=evaluations, keep=1)
    accuracy = problem.accuracy(study.best_params["weights"])
    print(f"loss {study.best_value:.2f} nats; reads {100 * accuracy:.0f} of 100 digits that it has not seen")


if __name__ == "__main__":
    main()
