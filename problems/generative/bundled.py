"""The bundled model: emoji-like pictures of 32 x 32 pixels from a latent, by DDIM.

Symbols: b pictures, d parameters, 3072 numbers of a whole latent.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from problems.generative.pictures import on_shell, one_by_one, png
from workbench.errors import ProblemError
from workbench.problem import Constraint, Objective, Preference, Rendered
from workbench.space import Space, Vector

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from problems.generative.network import PictureNetwork

    Array = NDArray[np.float64]
    Pixels = NDArray[np.uint8]

WEIGHTS = Path(__file__).with_name("weights.safetensors")
SIZE = 3 * 32 * 32  # of a whole latent
_SHOWN = 128  # pixels a side, for the eye
_BASIS = 20240501  # seed of the subspaces: the same for everybody
_SOURCE = "a diffusion model of Noto Emoji 2.048 (Google, Apache License 2.0); problems.generative.train"


@dataclass(frozen=True)
class EmojiPictures:
    """Pictures from a latent, for people to rank.

    The same parameters give the same picture. Latents are brought to the shell where a standard normal lies, so only
    their direction matters.

    Args:
        name: Of the problem.
        space: One `Vector("z")`, normal.
        basis: Orthonormal rows (d, 3072) that z is spread over; None where z is the whole latent.
        target: A picture (32, 32, 3) to come close to; the problem then measures "similarity".
        steps: Of DDIM.
        device: Where to compute.
    """

    name: str
    space: Space
    basis: Array | None = None
    target: Pixels | None = None
    steps: int = 12
    device: str = "cpu"
    source: str = _SOURCE

    @property
    def objectives(self) -> Sequence[Objective | Preference]:
        """What people like; with a target, the similarity to it, at most 0."""
        return (Preference("picture"),) if self.target is None else (Objective("similarity", "maximize", noise="none"),)

    @property
    def constraints(self) -> Sequence[Constraint]:
        """None."""
        return ()

    @property
    def optimum(self) -> float | None:
        """Unknown: the model may not reach a target."""
        return None

    @property
    def side(self) -> int:
        """Pixels a side of a picture, as the model draws it."""
        return 32

    def evaluate(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Similarity to the target; nothing where there is none."""
        return {} if self.target is None else {"similarity": float(self.similarity([params], self.target)[0])}

    def latents(self, points: Sequence[Mapping[str, Any]]) -> Array:
        """Whole latents, shape (b, 3072)."""
        Z = np.array([point["z"] for point in points], dtype=np.float64)
        return on_shell(Z if self.basis is None else Z @ self.basis)

    def pixels(self, points: Sequence[Mapping[str, Any]]) -> Pixels:
        """Pictures, shape (b, 32, 32, 3)."""
        import torch

        from problems.generative.network import SHAPE, ddim

        network = _network(self.device)
        z = torch.tensor(self.latents(points), dtype=torch.float32, device=self.device).reshape(-1, *SHAPE)
        return _as_pixels(ddim(network, z, self.steps))

    def latent_of(self, pixels: Pixels) -> Array:
        """A whole latent (3072,) whose picture comes close to a given one (32, 32, 3), on the shell.

        Raises:
            ProblemError: if the problem is of a subspace, which need not hold it, or the picture has another size.
        """
        import torch

        from problems.generative.network import invert

        if self.basis is not None:
            raise ProblemError(
                "a picture has a latent among whole ones; make the problem by emoji() without dimensions"
            )
        if pixels.shape != (32, 32, 3):
            raise ProblemError(f"expected a picture of shape (32, 32, 3), got {pixels.shape}; scale it first")
        x = torch.tensor(pixels, dtype=torch.float32, device=self.device).permute(2, 0, 1)[None] / 127.5 - 1.0
        z = invert(_network(self.device), x).double().cpu().numpy().reshape(1, -1)
        latent: Array = on_shell(z)[0]
        return latent

    def similarity(self, points: Sequence[Mapping[str, Any]], target: Pixels) -> Array:
        """Minus the mean squared difference of colours, which go from 0 to 1, shape (b,)."""
        gaps = (self.pixels(points).astype(np.float64) - target) / 255.0
        return np.asarray(-(gaps**2).mean(axis=(1, 2, 3)))

    def render(self, params: Mapping[str, Any]) -> Rendered:
        """One picture, enlarged."""
        return self.render_batch([params])[0]

    def render_batch(self, points: Sequence[Mapping[str, Any]]) -> list[Rendered]:
        """Pictures, enlarged; on a processor the very same ones whatever is drawn beside them."""
        drawn = one_by_one(self.pixels, points, self.device)
        return [Rendered("image/png", png(_enlarged(one)), _described(one)) for one in drawn]


def emoji(
    dimensions: int | None = None, *, target: Pixels | None = None, steps: int = 12, device: str = "cpu"
) -> EmojiPictures:
    """Emoji-like pictures.

    Args:
        dimensions: Of a random subspace of the latents, the same for everybody; None for whole latents.
        target: A picture (32, 32, 3) to come close to.
        steps: Of DDIM; fewer are faster and coarser.
        device: Where to compute.
    """
    if dimensions is None:
        return EmojiPictures("emoji", Space([Vector("z", SIZE, prior="normal")]), None, target, steps, device)
    rng = np.random.default_rng(_BASIS)
    basis = np.linalg.qr(rng.standard_normal((SIZE, dimensions)))[0].T
    space = Space([Vector("z", dimensions, prior="normal")])
    return EmojiPictures(f"emoji_{dimensions}", space, basis, target, steps, device)


@functools.cache
def _network(device: str) -> PictureNetwork:
    from safetensors.torch import load_file

    from problems.generative.network import PictureNetwork

    network = PictureNetwork()
    network.load_state_dict({name: weights.float() for name, weights in load_file(WEIGHTS).items()})
    return network.to(device).eval()


def _as_pixels(x: torch.Tensor) -> Pixels:
    scaled = ((x.float().cpu() + 1.0) * 127.5).round().clamp(0, 255)
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy().astype(np.uint8))


def _enlarged(pixels: Pixels) -> Pixels:
    import torch

    x = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    large = torch.nn.functional.interpolate(x, size=(_SHOWN, _SHOWN), mode="bicubic", antialias=True)
    return np.ascontiguousarray(large[0].clamp(0, 255).round().permute(1, 2, 0).numpy().astype(np.uint8))


_HUES = ("red", "orange", "yellow", "green", "turquoise", "blue", "violet", "pink")


def _described(pixels: Pixels) -> str:
    """What can be said of a picture without understanding it: its main colour."""
    colours = pixels.reshape(-1, 3).astype(np.float64) / 255.0
    spread = colours.max(axis=1) - colours.min(axis=1)
    if spread.mean() < 0.05:
        return "a picture in shades of grey"
    r, g, b = (colours * spread[:, None]).sum(axis=0)
    angle = np.arctan2(np.sqrt(3.0) * (g - b), 2.0 * r - g - b) % (2.0 * np.pi)
    places = np.array([0.0, 0.09, 0.16, 0.33, 0.5, 0.62, 0.76, 0.9]) * 2.0 * np.pi
    gaps = np.abs((places - angle + np.pi) % (2.0 * np.pi) - np.pi)
    return f"a picture, mostly {_HUES[int(np.argmin(gaps))]}"
