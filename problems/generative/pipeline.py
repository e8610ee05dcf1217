"""The door to a diffusion pipeline that `diffusers` reads from a local folder.

Nothing is loaded from anywhere but the folder, only from safetensors files, and no code that the folder names or holds.
Two kinds of pipelines are served: those that are called with `latents=` (Stable Diffusion and its relatives), and those
that are a U-Net of pictures and a scheduler, with an autoencoder or without, which are denoised here by deterministic
DDIM steps. The same latent gives the same picture: a scheduler that draws noise on the way gets the same noise.

Symbols: b pictures, c channels, s sides of a latent.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from problems.generative.denoising import denoised, noised
from problems.generative.pictures import on_shell, one_by_one, png
from workbench.errors import ProblemError
from workbench.problem import Constraint, Preference, Rendered
from workbench.space import Space, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.uint8]


# A part's library; None is a part that is left out, stable_diffusion the module of diffusers with the safety checker.
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)
_BACK = 50  # steps backwards through a pipeline that has its own way forwards
_DRAWS_NO_NOISE = frozenset(
    f"{name}Scheduler"
    for name in (
        "DDIM", "PNDM", "LMSDiscrete", "EulerDiscrete", "HeunDiscrete", "KDPM2Discrete", "DPMSolverMultistep",
        "DPMSolverSinglestep", "DEISMultistep", "UniPCMultistep",
    )
)  # fmt: skip
"""Schedulers that solve the ordinary differential equation of a variance-preserving diffusion, as DDIM does."""
_SAID = ("epsilon", "sample", "v_prediction")


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

    @property
    def side(self) -> int:
        """Pixels a side of a picture."""
        coder = self._autoencoder
        if coder is None:
            return self.shape[1]
        known = getattr(self.pipeline, "vae_scale_factor", None)
        return self.shape[1] * int(known or 2 ** (len(coder.config.block_out_channels) - 1))

    def pixels(self, points: Sequence[Mapping[str, Any]]) -> Pixels:
        """Pictures, shape (b, height, width, 3)."""
        import torch

        Z = on_shell(np.array([point["z"] for point in points], dtype=np.float64))
        z = self._like_unet(Z.reshape(-1, *self.shape))
        with torch.inference_mode():
            pictures = np.asarray(self._called(z, "np").images) if self._takes("latents") else self._denoised(z)
        return np.ascontiguousarray((pictures * 255.0).round().clip(0, 255).astype(np.uint8))

    def latent_of(self, pixels: Pixels) -> NDArray[np.float64]:
        """A latent, flattened and on the shell, whose picture comes close to a given one (side, side, 3).

        It is sought by going backwards from the picture, or from what the autoencoder makes of it. A pipeline that is
        told what to draw is gone back through without guidance (Mokady et al. 2023, Null-text Inversion, section 3.1),
        so its picture leans to what it is told.

        Raises:
            ProblemError: if the picture has another size, or the pipeline cannot be gone back through.
        """
        import torch

        side = self.side
        if pixels.shape != (side, side, 3):
            raise ProblemError(f"expected a picture of shape ({side}, {side}, 3), got {pixels.shape}; scale it first")
        told = self._takes("latents")
        if told:
            self._check_way_back()
        x = self._like_unet(pixels.astype(np.float64).transpose(2, 0, 1)[None] / 127.5 - 1.0)
        with torch.inference_mode():
            x = self._encoded(x)
            z = self._back(x) if told else noised(self.pipeline.unet, self._ddim(), x)
        found: NDArray[np.float64] = on_shell(z.to(torch.float64).cpu().numpy().reshape(1, -1))[0]
        return found

    # -- forwards ------------------------------------------------------------------------------

    def _called(self, z: Tensor, output: str, **more: Any) -> Any:
        """What the pipeline itself makes of latents (b, c, s, s)."""
        import torch

        options = {**self.options, **more}
        if self._takes("prompt"):
            options["prompt"] = [self.prompt or ""] * len(z)
        if self._takes("batch_size"):
            options["batch_size"] = len(z)
        if self._takes("generator"):
            options["generator"] = [torch.Generator().manual_seed(0) for _ in z]
        return self.pipeline(latents=z, **{"num_inference_steps": self.steps, "output_type": output, **options})

    def _denoised(self, z: Tensor) -> NDArray[np.float64]:
        """Pictures (b, h, w, 3) from 0 to 1, by DDIM without noise."""
        import torch

        x = denoised(self.pipeline.unet, self._ddim(), z)
        if (coder := self._autoencoder) is not None:
            x = coder.decode(x / coder.config.scaling_factor).sample
        pictures = (x / 2.0 + 0.5).clamp(0.0, 1.0).permute(0, 2, 3, 1).to(torch.float64).cpu().numpy()
        return np.asarray(np.repeat(pictures, 3, axis=3) if pictures.shape[3] == 1 else pictures)

    def _ddim(self) -> Any:
        from diffusers import DDIMScheduler

        config = self.pipeline.scheduler.config
        # Latents of an autoencoder are no colours, which is what schedulers clip where they do not say so.
        free = {} if self._autoencoder is None or "clip_sample" in config else {"clip_sample": False}
        scheduler = DDIMScheduler.from_config(config, **free)
        scheduler.set_timesteps(self.steps)
        return scheduler

    # -- backwards -----------------------------------------------------------------------------

    def _check_way_back(self) -> None:
        """Refuse a pipeline whose pictures come of more than the latent, or by another way than a diffusion's.

        Raises:
            ProblemError: if it is one.
        """
        scheduler = self.pipeline.scheduler
        name, config = type(scheduler).__name__, scheduler.config
        noisy = str(config.get("algorithm_type", "")).startswith("sde")
        if name in _DRAWS_NO_NOISE and not noisy and config.get("prediction_type", "epsilon") in _SAID:
            return
        raise ProblemError(
            f"a picture has no latent in {self.name}: its {name} draws noise on the way or is no plain diffusion, so "
            "it cannot be gone back through. Begin without a picture, or save the pipeline with a DDIMScheduler"
        )

    def _back(self, x: Tensor) -> Tensor:
        """Latents that the pipeline makes x (b, c, s, s) from: the pipeline itself, its scheduler run backwards."""
        from diffusers import DDIMInverseScheduler

        config = self.pipeline.scheduler.config
        spacing = config.get("timestep_spacing", "leading")
        inverse = DDIMInverseScheduler.from_config(
            config, clip_sample=False, timestep_spacing="leading" if spacing == "linspace" else spacing
        )
        backwards = copy.copy(self.pipeline)
        backwards.scheduler = inverse
        plain = {"guidance_scale": 1.0} if self._takes("guidance_scale") else {}
        steps = min(_BACK, int(inverse.config.num_train_timesteps))
        made: Tensor = replace(self, pipeline=backwards, steps=steps)._called(x, "latent", **plain).images
        return made

    def _encoded(self, x: Tensor) -> Tensor:
        """Pictures (b, 3, h, w) from -1 to 1 as the U-Net sees them, (b, c, s, s)."""
        coder = self._autoencoder
        if coder is not None:
            made = coder.encode(x.to(coder.dtype))
            spread = getattr(made, "latent_dist", None)
            x = (made.latents if spread is None else spread.mode()) * coder.config.scaling_factor
        elif self.shape[0] == 1:
            x = x.mean(1, keepdim=True)
        if tuple(x.shape[1:]) != self.shape:
            raise ProblemError(
                f"a picture becomes a latent of shape {tuple(x.shape[1:])} in {self.name}, expected {self.shape}; "
                "begin without a picture"
            )
        return x.to(self.pipeline.unet.dtype)

    @property
    def _autoencoder(self) -> Any:
        """What makes pictures of latents; None where latents are pictures."""
        found = getattr(self.pipeline, "vae", None)
        return getattr(self.pipeline, "vqvae", None) if found is None else found

    def _takes(self, name: str) -> bool:
        return name in inspect.signature(self.pipeline.__call__).parameters

    def _like_unet(self, values: NDArray[np.float64]) -> Tensor:
        import torch

        unet = self.pipeline.unet
        return torch.tensor(values, dtype=unet.dtype, device=unet.device)

    def render(self, params: Mapping[str, Any]) -> Rendered:
        """One picture."""
        return self.render_batch([params])[0]

    def render_batch(self, points: Sequence[Mapping[str, Any]]) -> list[Rendered]:
        """Pictures; on a processor the very same ones whatever is drawn beside them."""
        said = f"a picture of {self.prompt}" if self.prompt else f"a picture by {self.name}"
        drawn = one_by_one(self.pixels, points, str(self.pipeline.unet.device))
        return [Rendered("image/png", png(one), said) for one in drawn]


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
    problem = PipelinePictures(
        path.name, pipeline, shape, prompt, steps, options, f"{type(pipeline).__name__} in {path.name}"
    )
    if not problem._takes("latents"):
        _check_parts(problem)
    return problem


def _check_parts(problem: PipelinePictures) -> None:
    """Refuse a pipeline without `latents=` of which the U-Net needs more than a picture and a time, or is no diffusion.

    Raises:
        ProblemError: if it is one.
    """
    from diffusers import UNet2DModel

    unet, scheduler = problem.pipeline.unet, problem.pipeline.scheduler
    sorted_by = (problem.pipeline.unet.config.get(name) for name in ("num_class_embeds", "class_embed_type"))
    plain = isinstance(unet, UNet2DModel) and not any(sorted_by)
    if not plain or not hasattr(scheduler, "alphas_cumprod"):
        raise ProblemError(
            f"{problem.source} does not say how a latent becomes a picture: it takes no latents=, and its "
            f"{type(unet).__name__} with a {type(scheduler).__name__} is no U-Net of pictures alone with the scheduler "
            "of a diffusion"
        )


def _check(path: Path) -> None:
    """Refuse a folder that holds no pipeline, has code in it, or names a module that is of none of the two libraries.

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
    # Older versions of diffusers run a file that has the name of a part's library.
    code = sorted(file.relative_to(path).as_posix() for file in path.rglob("*.py"))
    if code:
        raise ProblemError(f"the pipeline in {path} brings code of its own ({code[0]}), which is not run; take it out")
