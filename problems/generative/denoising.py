"""A U-Net of `diffusers` and its scheduler, by deterministic DDIM steps: pictures from latents, and the way back.

A step goes from z to z' = alpha' x + sigma' eps, where the network says eps, and x = (z - sigma eps) / alpha (Song et
al. 2021, Denoising Diffusion Implicit Models, eq. 12 with eta = 0). Backwards z is not known where the network is to be
asked; it is the fixed point of z = alpha (z' - sigma' eps(z)) / alpha' + sigma eps(z) (Pan et al. 2023, Effective Real
Image Editing with Accelerated Iterative Diffusion Inversion, eq. 9). What a scheduler clips on its way is lost.

Symbols: b pictures, c channels, s sides, z (b, c, s, s), a = alpha^2 = 1 - sigma^2, t times of the scheduler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_ASKED = 6  # evaluations of the network for a step backwards, at most
_CLOSE = 1e-4  # root mean square that a fixed point may still move


def denoised(unet: Any, scheduler: Any, z: Tensor) -> Tensor:
    """What becomes of latents z (b, c, s, s) by the steps of a `DDIMScheduler` that its times are set for."""
    for t in scheduler.timesteps:
        stepped: Tensor = scheduler.step(unet(z, t).sample, t, z, eta=0.0).prev_sample
        z = stepped
    return z


def noised(unet: Any, scheduler: Any, x: Tensor) -> Tensor:
    """Latents (b, c, s, s) that `denoised` makes x of that shape from, as nearly as the fixed points are found."""
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    for t in reversed(scheduler.timesteps.tolist()):
        a = float(scheduler.alphas_cumprod[t])
        a_next = float(scheduler.alphas_cumprod[t - stride] if t >= stride else scheduler.final_alpha_cumprod)
        z = x
        for _ in range(_ASKED):
            eps = _noise(unet(z, t).sample, z, a, scheduler.config.prediction_type)
            moved = (a / a_next) ** 0.5 * (x - (1.0 - a_next) ** 0.5 * eps) + (1.0 - a) ** 0.5 * eps
            still = float((moved - z).square().mean()) ** 0.5
            z = moved
            if still <= _CLOSE:
                break
        x = z
    return x


def _noise(said: Tensor, z: Tensor, a: float, kind: str) -> Tensor:
    """eps by what the network says of z, which is eps itself, x, or v = alpha eps - sigma x."""
    alpha, sigma = a**0.5, (1.0 - a) ** 0.5
    if kind == "epsilon":
        return said
    eps: Tensor = alpha * said + sigma * z if kind == "v_prediction" else (z - alpha * said) / sigma
    return eps
