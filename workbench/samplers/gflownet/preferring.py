"""One policy for every preference: trained once on what a model of the record foretells, asked for any weights at once.

Jain et al. 2023, Multi-Objective GFlowNets (arXiv 2210.12765), section 4.1 (MOGFN-PC), with what a Gaussian process
foretells in place of the objectives: each one standard deviation better than expected, so that what is not known has a
chance, and times the chance to hold every limit.

Symbols: n states, d encoded columns, m objectives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workbench.errors import DeadlineReached
from workbench.samplers.gflownet.replay import Archive
from workbench.samplers.gflownet.running import Model, Options
from workbench.samplers.gflownet.training import Trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from workbench.models.gp import GaussianProcesses
    from workbench.trial import History

    Array = NDArray[np.float64]

OPTIONS = Options(learning_rate=3e-3)
_OPTIMISM = 1.0  # standard deviations
_LEAST = 1e-12  # chance to hold the limits


def learn_preferences(
    model: Model, surrogate: GaussianProcesses, history: History, spread: Array, generator: torch.Generator, *,
    steps: int, over: Callable[[], bool],
) -> bool:  # fmt: skip
    """Train a model on what a Gaussian process foretells.

    Args:
        model: Trained in place; conditioned on preferences.
        surrogate: Of the record.
        history: The record.
        spread: Encoded points that the scale is read from and the archive begins with, shape (n, d).
        generator: Source of randomness.
        steps: Of training.
        over: Is the time over?
    Returns:
        Whether training came to its end.
    """
    environment = model.environment

    def hoped(X: Array) -> Array:
        mu, sd = surrogate.posterior(X)
        return np.asarray(history.utility(mu) + _OPTIMISM * sd)

    def rewards(states: Tensor) -> Tensor:
        X = environment.encoded(states)
        chance = np.log(np.maximum(surrogate.feasibility(X), _LEAST)) / model.options.beta
        chance[~environment.admits(states)] = np.log(_LEAST)
        return model.rewards(hoped(X)) + torch.from_numpy(chance)[:, None]

    try:
        model.rescale(hoped(spread))
        archive = Archive()
        states = environment.states(spread)
        archive.add(states, rewards(states))
        settings = model.options.settings(model.m, steps)
        trainer = Trainer(
            model.policy, rewards, settings, generator, conditioning=model.conditioning, archive=archive,
            breed=environment.children,
        )  # fmt: skip
        for _ in range(steps):
            if over():
                return False
            trainer.step()
    except DeadlineReached:
        return False
    return True


def known(history: History, fixed: Mapping[str, Any]) -> NDArray[np.uint8]:
    """A fingerprint of what a trained model depends on: what was told, and what is fixed; shape (32,)."""
    rows = [history.rows[i] for i in np.flatnonzero(history.finished).tolist()]
    told = [(row.number, row.state, row.params, row.vectors, row.actual, row.outcomes, row.sem) for row in rows]
    text = repr((history.spaces.version, sorted(fixed.items(), key=lambda item: item[0]), told))
    return np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint8)
