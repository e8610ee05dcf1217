"""The bundled picture model: a small U-Net that denoises 32 x 32 colour pictures, and its schedule.

Variance-preserving diffusion with the cosine schedule alpha = cos(pi t / 2), sigma = sin(pi t / 2), t in [0, 1]:
z_t = alpha x + sigma eps. The network predicts v = alpha eps - sigma x (Salimans and Ho 2022, Progressive
Distillation for Fast Sampling of Diffusion Models, section 4), so x = alpha z - sigma v and eps = sigma z + alpha v.
Pictures come from latents by DDIM, which is deterministic (Song et al. 2021, Denoising Diffusion Implicit Models,
eq. 12 with eta = 0): the same latent gives the same picture.

Symbols: b pictures, c channels, z latents (b, 3, 32, 32), v predictions of that shape, t times (b,).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 32  # pixels
SHAPE = (3, SIDE, SIDE)
SIZE = 3 * SIDE * SIDE  # of a latent
STEPS = 12  # of DDIM; more change the pictures little
_WIDTHS = (64, 128, 176)  # channels at 16 x 16, 8 x 8 and 4 x 4
_GROUPS = 8
_FREQUENCIES = 32
_EMBEDDED = 256
_LAST = 0.9999  # t of pure noise; at 1 itself v says nothing about x


class _Residual(nn.Module):
    """Two convolutions, the second normalised by scale and shift that the time gives."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(_GROUPS, c_in), nn.GroupNorm(_GROUPS, c_out)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.time = nn.Linear(_EMBEDDED, 2 * c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)  # (b, c, 1, 1) each
        h = self.conv2(functional.silu(self.norm2(h) * (1.0 + scale) + shift))
        out: Tensor = self.skip(x) + h
        return out


class _Attention(nn.Module):
    """Self-attention over the pixels of a small map, four heads."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, c)
        self.qkv, self.out = nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, 4, c // 4, h * w).transpose(-1, -2).unbind(1)
        mixed = functional.scaled_dot_product_attention(q, k, v)  # (b, 4, h w, c / 4)
        out: Tensor = x + self.out(mixed.transpose(-1, -2).reshape(b, c, h, w))
        return out


class PictureNetwork(nn.Module):
    """v of noisy pictures. It works on blocks of 2 x 2 pixels, which is four times cheaper and costs little detail."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = _WIDTHS
        self.embed = nn.Sequential(nn.Linear(2 * _FREQUENCIES, _EMBEDDED), nn.SiLU(), nn.Linear(_EMBEDDED, _EMBEDDED))
        self.first = nn.Conv2d(12, a, 3, padding=1)
        self.down1, self.down2 = _Residual(a, a), _Residual(a, b)
        self.down3, self.down4 = _Residual(b, b), _Residual(b, c)
        self.attend1, self.middle, self.attend2 = _Attention(b), _Residual(c, c), _Attention(c)
        self.up4, self.up3 = _Residual(2 * c, b), _Residual(2 * b, b)
        self.attend3 = _Attention(b)
        self.up2, self.up1 = _Residual(2 * b, a), _Residual(2 * a, a)
        self.last_norm, self.last = nn.GroupNorm(_GROUPS, a), nn.Conv2d(a, 12, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        rates = torch.exp(torch.linspace(0.0, math.log(1000.0), _FREQUENCIES, dtype=z.dtype, device=z.device))
        angles = t[:, None] * rates  # (b, f)
        time = functional.silu(self.embed(torch.cat([angles.cos(), angles.sin()], dim=1)))
        h1 = self.down1(self.first(functional.pixel_unshuffle(z, 2)), time)  # (b, 64, 16, 16)
        h2 = self.down2(functional.avg_pool2d(h1, 2), time)  # (b, 128, 8, 8)
        h3 = self.attend1(self.down3(h2, time))
        h4 = self.down4(functional.avg_pool2d(h3, 2), time)  # (b, 176, 4, 4)
        m = self.attend2(self.middle(h4, time))
        u = self.up4(torch.cat([m, h4], dim=1), time)
        u = functional.interpolate(u, scale_factor=2.0, mode="nearest")  # (b, 128, 8, 8)
        u = self.attend3(self.up3(torch.cat([u, h3], dim=1), time))
        u = functional.interpolate(self.up2(torch.cat([u, h2], dim=1), time), scale_factor=2.0, mode="nearest")
        u = self.up1(torch.cat([u, h1], dim=1), time)  # (b, 64, 16, 16)
        return functional.pixel_shuffle(self.last(functional.silu(self.last_norm(u))), 2)


def schedule(t: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma at times (b,), each of shape (b, 1, 1, 1)."""
    angle = (0.5 * math.pi * t)[:, None, None, None]
    return angle.cos(), angle.sin()


@torch.inference_mode()
def ddim(network: PictureNetwork, z: Tensor, steps: int = STEPS) -> Tensor:
    """Pictures of latents.

    Args:
        network: Predicts v.
        z: Standard normal latents, shape (b, 3, 32, 32).
        steps: Evaluations of the network.
    Returns:
        Pictures of that shape, values in [-1, 1].
    """
    times = torch.linspace(_LAST, 0.0, steps + 1, dtype=z.dtype, device=z.device)
    for now, then in itertools.pairwise(times):
        t = now.expand(len(z))
        alpha, sigma = schedule(t)
        v = network(z, t)
        x, eps = (alpha * z - sigma * v).clamp(-1.0, 1.0), sigma * z + alpha * v
        alpha, sigma = schedule(then.expand(len(z)))
        z = alpha * x + sigma * eps
    return z.clamp(-1.0, 1.0)


@torch.inference_mode()
def invert(network: PictureNetwork, x: Tensor, steps: int = 50) -> Tensor:
    """Latents whose pictures come close to given ones: DDIM run backwards.

    A step of DDIM is z' = alpha' x + sigma' eps with x and eps of the point that it leaves. Backwards that point is not
    known; one fixed-point iteration, which evaluates the network where the plain step leads, makes the inverse far
    closer (Pan et al. 2023, Effective Real Image Editing with Accelerated Iterative Diffusion Inversion, eq. 9).

    Args:
        network: Predicts v.
        x: Pictures (b, 3, 32, 32), values in [-1, 1].
        steps: More come closer.
    """
    times = torch.linspace(0.0, _LAST, steps + 1, dtype=x.dtype, device=x.device)
    z = x
    for now, then in itertools.pairwise(times):
        t, after = now.expand(len(z)), then.expand(len(z))
        alpha, sigma = schedule(t)
        alpha_after, sigma_after = schedule(after)
        v = network(z, t)
        eps = sigma * z + alpha * v
        guess = alpha_after * (alpha * z - sigma * v) + sigma_after * eps
        v = network(guess, after)
        eps = sigma_after * guess + alpha_after * v
        z = alpha_after * (z - sigma * eps) / alpha + sigma_after * eps
    return z
