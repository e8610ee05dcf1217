"""GFlowNets: policies that sample designs in proportion to a reward, or in the order of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.samplers.gflownet.sampler import GFlowNetSampler

if TYPE_CHECKING:
    from workbench.samplers.gflownet.running import Model
    from workbench.space import Space

__all__ = ["GFlowNetSampler", "load_model"]


def load_model(space: Space, data: bytes) -> Model:
    """The model that a vectorised run left with its study; it samples points, for any preference among objectives.

    Args:
        space: Of that study.
        data: `study.files.get("run-gflownet.npz")`.
    """
    from workbench.samplers.gflownet.running import load_model

    return load_model(space, data)
