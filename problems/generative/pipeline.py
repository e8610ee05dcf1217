"""The door to a diffusion pipeline that `diffusers` reads from a local folder.

Nothing is loaded from anywhere but the folder, only from safetensors files, and no code that the folder names. Two
kinds of pipelines are served: those that are called with `latents=` (Stable Diffusion and its relatives), and those
that are a U-Net and a scheduler, which are denoised here by deterministic DDIM steps.

Symbols: b pictures, c channels, s sides of a latent.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from problems.generative.pictures import on_shell, png
from workbench.errors import ProblemError
from workbench.problem import Constraint, Preference, Rendered
from workbench.space import Space, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


_LIBRARIES = ("diffusers", "transformers", None)  # None: a part that is left out


@dataclass(frozen=True)
class PipelinePictures:
    """Pictures of one pipeline from its latents, for people to rank.

    Args:
        name: Of the problem.
        pipeline: A `diffusers.DiffusionPipeline`.
        shape: Of a latent, (c, s, s).
        prompt: What to draw, for pipelines that are told.
        steps: Of denoising.
        options: Further keyword arguments of the pipeline's call.
        source: Where the pipeline comes from.
    """

    name: str
    pipeline: Any
    shape: tuple[int, int, int]
    prompt: str | None = None
    steps: int = 20
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    @property
    def space(self) -> Space:
        """The latent: one normal vector."""
        return Space([Vector("z", int(np.prod(self.shape)), prior="normal")])

    @property
    def objectives(self) -> Sequence[Preference]:
        """What people like."""
        return (Preference("picture"),)

    @property
    def constraints(self) -> Sequence[Constraint]:
        """None."""
        return ()

    @property
    def optimum(self) -> float | None:
        """Unknown."""
        return None

    def evaluate(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Nothing is measured."""
        return {}

    def pixels(self, points: Sequence[Mapping[str, Any]]) -> Pixels:
        """Pictures, shape (b, height, width, 3)."""
        import torch

        Z = on_shell(np.array([point["z"] for point in points], dtype=np.float64))
        unet = self.pipeline.unet
        z = torch.tensor(Z, dtype=unet.dtype, device=unet.device).reshape(-1, *self.shape)
        with torch.inference_mode():
            if "latents" in inspect.signature(self.pipeline.__call__).parameters:
                told = {} if self.prompt is None else {"prompt": [self.prompt] * len(points)}
                made = self.pipeline(
                    latents=z, num_inference_steps=self.steps, output_type="np", **told, **self.options
                )
                pictures = np.asarray(made.images)
            else:
                pictures = self._denoised(z)
        return np.ascontiguousarray((pictures * 255.0).round().clip(0, 255).astype(np.uint8))

    def _denoised(self, z: Any) -> NDArray[np.float64]:
        """Pictures (b, h, w, 3) from 0 to 1, by DDIM without noise."""
        import torch
        from diffusers import DDIMScheduler

        scheduler = DDIMScheduler.from_config(self.pipeline.scheduler.config)
        scheduler.set_timesteps(self.steps)
        for t in scheduler.timesteps:
            z = scheduler.step(self.pipeline.unet(z, t).sample, t, z, eta=0.0).prev_sample
        pictures = (z / 2.0 + 0.5).clamp(0.0, 1.0).permute(0, 2, 3, 1).to(torch.float64).cpu().numpy()
        return np.asarray(np.repeat(pictures, 3, axis=3) if pictures.shape[3] == 1 else pictures)

    def render(self, params: Mapping[str, Any]) -> Rendered:
        """One picture."""
        return self.render_batch([params])[0]

    def render_batch(self, points: Sequence[Mapping[str, Any]]) -> list[Rendered]:
        """Pictures; several at once take less time than one by one."""
        said = f"a picture of {self.prompt}" if self.prompt else f"a picture by {self.name}"
        return [Rendered("image/png", png(one), said) for one in self.pixels(points)]


def from_folder(
    folder: str | Path, *, prompt: str | None = None, steps: int = 20, device: str = "cpu", **options: Any
) -> PipelinePictures:
    """The pipeline in a local folder, as `save_pretrained` writes it.

    Args:
        folder: Where it lies.
        prompt: What to draw, for pipelines that are told.
        steps: Of denoising.
        device: Where to compute.
        options: Further keyword arguments of the pipeline's call, such as guidance_scale=0.
    Raises:
        ProblemError: if there is no pipeline, one that needs code or weights that are not safe to load, or one that has
            no latents of a fixed size.
    """
    path = Path(folder)
    _check(path)
    from diffusers import DiffusionPipeline

    try:
        pipeline = DiffusionPipeline.from_pretrained(str(path), local_files_only=True, use_safetensors=True).to(device)
    except (OSError, ValueError, ImportError, AttributeError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ProblemError(
            f"the pipeline in {path} could not be loaded: {said}. Only weights in safetensors files are read; "
            "write them with pipeline.save_pretrained(folder, safe_serialization=True)"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    unet = getattr(pipeline, "unet", None)
    side = None if unet is None else unet.config.sample_size
    if unet is None or not isinstance(side, int):
        raise ProblemError(
            f"the pipeline in {path} is a {type(pipeline).__name__}, whose latents have no fixed square size; served "
            "are pipelines with a U-Net of a known sample_size"
        )
    shape = (int(unet.config.in_channels), side, side)
    return PipelinePictures(
        path.name, pipeline, shape, prompt, steps, options, f"{type(pipeline).__name__} in {path.name}"
    )


def _check(path: Path) -> None:
    """Refuse a folder that holds no pipeline, or names a module to import that is none of the two known libraries.

    Raises:
        ProblemError: for either.
    """
    index = path / "model_index.json"
    if not index.is_file():
        raise ProblemError(
            f"expected a folder that diffusers saved, with a model_index.json; there is none in {path}. "
            "Write one with pipeline.save_pretrained(folder, safe_serialization=True)"
        )
    try:
        listed = json.loads(index.read_text())
        parts = {name: one[0] for name, one in listed.items() if isinstance(one, list)}
        whole = listed["_class_name"]
    except (ValueError, LookupError, AttributeError) as error:
        raise ProblemError(f"the model_index.json in {path} cannot be read: {error}") from error
    strange = {name: library for name, library in parts.items() if library not in _LIBRARIES}
    if strange or not isinstance(whole, str):
        raise ProblemError(
            f"the pipeline in {path} brings code of its own ({strange or whole}), which is not run; served are "
            "pipelines whose parts come from diffusers and transformers"
        )
