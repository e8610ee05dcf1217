"""Descent without derivatives, from values or from rankings alone.

`estimator` turns what is known of a few perturbed points into a direction, `descent` into the next state of a descent
by rounds, and `rank_sgd` is the sampler.
"""

from workbench.samplers.zeroth_order.rank_sgd import RankSGDSampler

__all__ = ["RankSGDSampler"]
