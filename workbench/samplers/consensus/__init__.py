"""Consensus-based optimisation: particles that agree on a point.

`stability` says beforehand whether a swarm draws together, `dynamics` has the steps of the family, `sets` where
particles may be kept, `swarming` runs many swarms side by side. `sampler` is the door: it takes one move at a time from
what `reading` finds in a record, and `batches` runs a cheap function; `ending` has the rules that end either.
"""

from workbench.samplers.consensus.sampler import CBOSampler

__all__ = ["CBOSampler"]
