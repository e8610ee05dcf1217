"""GFlowNets: policies that sample designs in proportion to a reward, or in the order of one."""

from workbench.samplers.gflownet.sampler import GFlowNetSampler

__all__ = ["GFlowNetSampler"]
