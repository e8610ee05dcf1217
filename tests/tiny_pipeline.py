"""Pipelines of diffusers that are made at once and draw at once: noise, but the same noise from the same latent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def tiny_unet(**more: Any) -> Any:
    """An untrained U-Net of 8 x 8 pixels, three colours."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=8, in_channels=3, out_channels=3, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"), norm_num_groups=4,
        **more,
    )  # fmt: skip


def save_tiny_pipeline(folder: Path, seed: int = 0) -> None:
    """Save an untrained pipeline of 8 x 8 pixels as safetensors."""
    from diffusers import DDIMPipeline, DDIMScheduler

    torch.manual_seed(seed)
    DDIMPipeline(tiny_unet(), DDIMScheduler(num_train_timesteps=50)).save_pretrained(folder)
