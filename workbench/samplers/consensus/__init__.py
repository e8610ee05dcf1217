"""Consensus-based optimisation: particles that agree on a point.

`stability` says beforehand whether a swarm draws together, `dynamics` has the steps of the family, `sets` where
particles may be kept, `swarming` runs many swarms side by side, and `sampler` is the door.
"""

from workbench.samplers.consensus.sampler import CBOSampler

__all__ = ["CBOSampler"]
