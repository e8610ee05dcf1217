"""Pipelines of diffusers: a latent's picture is the pipeline's own, and a picture has a latent that draws it again.

Every part is made here, untrained; what is exact is checked with networks that know the answer.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_pipeline import save_tiny_pipeline, tiny_unet

import workbench as wb
from problems.generative.pictures import on_shell

pytestmark = [
    pytest.mark.slow,  # diffusers takes seconds to load
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of diffusers, about its own insides
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
Array = NDArray[np.float64]
WIDTH = 192  # 3 x 8 x 8


@pytest.fixture(autouse=True)
def diffusers_is_there() -> None:
    pytest.importorskip("diffusers")  # here, since collecting the fast tests would wait for it


def latents(n: int, seed: int = 0, width: int = WIDTH) -> Array:
    return on_shell(np.random.default_rng(seed).standard_normal((n, width)))


def points(Z: Array) -> list[dict[str, Any]]:
    return [{"z": z} for z in Z]


def gap(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean squared difference of colours from 0 to 1."""
    return float(((one.astype(float) - other.astype(float)) ** 2).mean() / 255.0**2)


class Knowing(torch.nn.Module):
    """What a perfect network says where pictures are normal with standard deviation `spread`: the posterior mean of x.

    x given z = alpha x + sigma eps has mean alpha spread^2 z / (alpha^2 spread^2 + sigma^2).
    """

    dtype, device = torch.float64, torch.device("cpu")

    def __init__(self, a: Any, spread: float, kind: str) -> None:
        super().__init__()
        self.a, self.spread, self.kind = a, spread, kind

    def forward(self, z: torch.Tensor, t: Any, **_: Any) -> Any:
        a = float(self.a[int(t)])
        alpha, sigma = a**0.5, (1.0 - a) ** 0.5
        x = alpha * self.spread**2 * z / (a * self.spread**2 + sigma**2)
        eps = (z - alpha * x) / sigma
        said = {"epsilon": eps, "sample": x, "v_prediction": alpha * eps - sigma * x}[self.kind]
        return SimpleNamespace(sample=said)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_steps_forwards_and_backwards_have_a_closed_form_for_normal_pictures(kind: str, spacing: str) -> None:
    """Each step multiplies z by a number: what it makes of x and eps, which are both multiples of z."""
    from diffusers import DDIMScheduler

    from problems.generative.denoising import denoised, noised

    spread, steps = 0.4, 10
    scheduler = DDIMScheduler(
        num_train_timesteps=100, beta_start=1e-3, beta_end=0.1, clip_sample=False, prediction_type=kind,
        timestep_spacing=spacing,
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    levels = scheduler.alphas_cumprod.double().numpy()
    factor = 1.0
    for t in scheduler.timesteps.tolist():
        a, after = levels[t], levels[t - 10] if t >= 10 else 1.0
        x = np.sqrt(a) * spread**2 / (a * spread**2 + 1.0 - a)
        factor *= np.sqrt(after) * x + np.sqrt(1.0 - after) * (1.0 - np.sqrt(a) * x) / np.sqrt(1.0 - a)
    network = Knowing(levels, spread, kind)
    z = torch.from_numpy(latents(2).reshape(2, 3, 8, 8))
    picture = denoised(network, scheduler, z)
    torch.testing.assert_close(picture, factor * z, rtol=1e-5, atol=0)
    last = 1 if kind == "sample" and spacing == "leading" else 0  # its last step gives x alone, whatever z was
    torch.testing.assert_close(noised(network, scheduler, picture), z, rtol=0.05 if last else 5e-3, atol=0.02)


def test_a_picture_of_a_model_in_a_folder_has_a_latent_that_draws_it(tmp_path: Path) -> None:
    """A picture that the model drew is found again, one that it did not comes close; both far closer than chance."""
    from problems.generative import from_folder

    save_tiny_pipeline(tmp_path / "tiny")
    problem = from_folder(tmp_path / "tiny")
    assert problem.side == 8
    Z = latents(5)
    drawn, *others = problem.pixels(points(Z))
    found = problem.latent_of(drawn)
    assert np.linalg.norm(found) == pytest.approx(np.sqrt(WIDTH))
    assert found @ Z[0] / WIDTH > 0.9  # what the scheduler clips on its way is lost
    chance = min(gap(drawn, other) for other in others)
    assert gap(drawn, problem.pixels(points(found[None]))[0]) < 0.05 * chance
    y, x = np.mgrid[:8, :8]
    disc = np.full((8, 8, 3), 255, np.uint8)
    disc[(y - 4) ** 2 + (x - 4) ** 2 < 8] = (220, 30, 30)
    near = problem.pixels(points(problem.latent_of(disc)[None]))[0]
    assert gap(disc, near) < 0.05 * min(gap(disc, other) for other in others)
    with pytest.raises(wb.ProblemError, match=r"expected a picture of shape \(8, 8, 3\), got \(4, 8, 3\)"):
        problem.latent_of(disc[:4])


def test_latents_of_an_autoencoder_are_decoded_as_the_pipeline_decodes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unconditional latent diffusion model: pictures are those of its own call, twice as large as its latents."""
    from diffusers import DDIMScheduler, LDMPipeline, VQModel
    from diffusers.pipelines.deprecated.latent_diffusion_uncond import pipeline_latent_diffusion_uncond as own

    from problems.generative import from_folder
    from problems.generative.denoising import denoised, noised

    torch.manual_seed(0)
    coder = VQModel(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=3,
        up_block_types=("UpDecoderBlock2D",) * 2, block_out_channels=(8, 16), num_vq_embeddings=64, norm_num_groups=4,
        scaling_factor=2.0,  # latents of about the size that a network is trained for
    )  # fmt: skip
    scheduler = DDIMScheduler(num_train_timesteps=50, clip_sample=False)
    LDMPipeline(coder, tiny_unet(), scheduler).save_pretrained(tmp_path)
    problem = from_folder(tmp_path, steps=5)
    assert (problem.side, problem.space.width) == (16, WIDTH)
    Z = latents(2)
    monkeypatch.setattr(own, "randn_tensor", lambda shape, generator: problem._like_unet(Z.reshape(shape)))
    expected = problem.pipeline(batch_size=2, num_inference_steps=5, output_type="np").images
    assert expected.std() > 0.05
    np.testing.assert_array_equal(problem.pixels(points(Z)), np.rint(expected * 255.0).astype(np.uint8))
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    unet, ddim = problem.pipeline.unet, problem._ddim()
    with torch.inference_mode():
        encoded = coder.encode(problem._like_unet(picture.transpose(2, 0, 1)[None] / 127.5 - 1.0)).latents
        z = noised(unet, ddim, encoded * coder.config.scaling_factor)
        torch.testing.assert_close(denoised(unet, ddim, z), encoded * coder.config.scaling_factor, atol=1e-3, rtol=0)
    np.testing.assert_allclose(problem.latent_of(picture), on_shell(z.double().numpy().reshape(1, -1))[0], atol=1e-4)


def test_noise_that_a_scheduler_draws_is_the_same_for_the_same_latent(tmp_path: Path) -> None:
    """A consistency model draws noise on its way: its picture must not change, but a picture has no latent in it."""
    from diffusers import CMStochasticIterativeScheduler, ConsistencyModelPipeline

    from problems.generative import from_folder

    torch.manual_seed(0)
    ConsistencyModelPipeline(tiny_unet(), CMStochasticIterativeScheduler()).save_pretrained(tmp_path / "consistent")
    problem = from_folder(tmp_path / "consistent", steps=3)
    shown = points(latents(2))
    pixels = problem.pixels(shown)
    assert pixels.std() > 10
    np.testing.assert_array_equal(problem.pixels(shown), pixels)
    alone = problem.pixels(shown[1:])[0]
    assert np.abs(alone.astype(int) - pixels[1]).max() <= 1  # sums of another batch size may round differently
    with pytest.raises(wb.ProblemError, match="no latent in consistent: its CMStochasticIterativeScheduler"):
        problem.latent_of(pixels[0])


class Told:
    """A pipeline that is told what to draw, with an autoencoder that is exact: 2 x 2 pixels become four channels.

    Guidance pulls towards the prompt: what the network says is multiplied with it.
    """

    vae_scale_factor = 2

    def __init__(self, scheduler: Any, spread: float = 0.4) -> None:
        self.scheduler = scheduler
        self.unet = Knowing(scheduler.alphas_cumprod.double().numpy(), spread, "epsilon")
        self.vae = SimpleNamespace(
            dtype=torch.float64, config=SimpleNamespace(scaling_factor=0.5),
            encode=lambda x: SimpleNamespace(
                latent_dist=SimpleNamespace(mode=lambda: torch.nn.functional.pixel_unshuffle(x, 2))
            ),
        )  # fmt: skip
        self.asked: list[tuple[list[str], float, int, str]] = []

    def __call__(
        self, prompt: list[str], latents: Any, num_inference_steps: int, output_type: str, guidance_scale: float = 7.5
    ) -> Any:
        self.asked.append((prompt, guidance_scale, num_inference_steps, type(self.scheduler).__name__))
        self.scheduler.set_timesteps(num_inference_steps)
        z = latents * self.scheduler.init_noise_sigma
        for t in self.scheduler.timesteps:
            said = self.unet(self.scheduler.scale_model_input(z, t), t).sample
            z = self.scheduler.step(said, t, z).prev_sample
        if output_type == "latent":
            return SimpleNamespace(images=z)
        x = torch.nn.functional.pixel_shuffle(z / 0.5, 2)
        return SimpleNamespace(images=(x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_a_pipeline_that_is_told_is_gone_back_through_by_itself(name: str) -> None:
    """Encoded, and denoised backwards by the pipeline's own call without guidance; the pipeline stays as it was."""
    import diffusers

    from problems.generative.pipeline import PipelinePictures

    more = {"clip_sample": False} if name == "DDIMScheduler" else {}
    told = Told(getattr(diffusers, name)(num_train_timesteps=100, beta_start=1e-3, beta_end=0.1, **more))
    problem = PipelinePictures("told", told, (12, 4, 4), "a cat", 50)
    assert problem.side == 8
    Z = latents(3)
    drawn, *others = problem.pixels(points(Z))
    before = told.scheduler
    found = problem.latent_of(drawn)
    assert told.asked == [(["a cat"] * 3, 7.5, 50, name), (["a cat"], 1.0, 50, "DDIMInverseScheduler")]
    assert told.scheduler is before
    assert found @ Z[0] / WIDTH > 0.9
    assert gap(drawn, problem.pixels(points(found[None]))[0]) < 0.05 * min(gap(drawn, other) for other in others)


@pytest.mark.parametrize(
    ("name", "more"),
    [("EulerAncestralDiscreteScheduler", {}), ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"})],
)
def test_a_pipeline_whose_scheduler_draws_noise_cannot_be_gone_back_through(name: str, more: dict[str, str]) -> None:
    import diffusers

    from problems.generative.pipeline import PipelinePictures

    told = Told(getattr(diffusers, name)(num_train_timesteps=100, **more))
    problem = PipelinePictures("told", told, (12, 4, 4), None, 5)
    with pytest.raises(wb.ProblemError, match=f"its {name} draws noise on the way.*save the pipeline with a DDIM"):
        problem.latent_of(np.zeros((8, 8, 3), np.uint8))
    assert told.asked == []


def test_a_u_net_that_needs_more_than_a_picture_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    from diffusers import DDIMPipeline, DDIMScheduler

    from problems.generative import from_folder

    DDIMPipeline(tiny_unet(num_class_embeds=3), DDIMScheduler()).save_pretrained(tmp_path)
    with pytest.raises(wb.ProblemError, match="does not say how a latent becomes a picture"):
        from_folder(tmp_path)


@pytest.mark.parametrize("place", ["unet/diffusers.py", "mine.py"])
def test_a_folder_with_code_in_it_is_refused_before_anything_is_loaded(tmp_path: Path, place: str) -> None:
    from problems.generative import from_folder

    (tmp_path / "unet").mkdir()
    index = {"_class_name": "DDIMPipeline", "unet": ["diffusers", "UNet2DModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / place).write_text("raise SystemExit")
    with pytest.raises(wb.ProblemError, match=f"code of its own .{place}.*take it out"):
        from_folder(tmp_path)
