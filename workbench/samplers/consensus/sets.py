"""Sets that particles are kept in: boxes, balls, spheres, hyperplanes, simplices, level sets, and mirror maps.

A mirror map keeps a dual position Y, which moves freely, and shows X = grad phi*(Y), which is always in the set; where
phi is quadratic that is the projection. A level set {g = 0} draws particles to it by an implicit step (2405.00891).

Symbols: X primal and Y dual positions, shape (..., d).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mirror:
    """A set, by the gradients of phi and of its conjugate.

    Args:
        primal: grad phi*, dual positions to points of the set.
        dual: grad phi, points of the set to dual positions that it shows as themselves.
    """

    primal: Callable[[Tensor], Tensor]
    dual: Callable[[Tensor], Tensor]


def projection(onto: Callable[[Tensor], Tensor]) -> Mirror:
    """A set by its Euclidean projection."""
    return Mirror(onto, lambda X: X)


def box(low: Tensor | float, high: Tensor | float) -> Mirror:
    """low <= x <= high, by clipping."""
    below, above = torch.as_tensor(low), torch.as_tensor(high)
    return projection(lambda Y: torch.maximum(torch.minimum(Y, above.to(Y)), below.to(Y)))


def reflected(X: Tensor, low: float, high: float) -> Tensor:
    """Positions folded back into a box as often as it takes."""
    width = high - low
    folded = torch.remainder(X - low, 2.0 * width)
    return low + torch.where(folded > width, 2.0 * width - folded, folded)


def ball(radius: float = 1.0) -> Mirror:
    """|x| <= radius."""
    return projection(
        lambda Y: Y * (radius / Y.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(Y.dtype).tiny)).clamp_max(1.0)
    )


def sphere(radius: float = 1.0) -> Mirror:
    """|x| = radius; the origin is shown as the first pole."""

    def onto(Y: Tensor) -> Tensor:
        size = Y.norm(dim=-1, keepdim=True)
        pole = torch.zeros_like(Y)
        pole[..., 0] = radius
        return torch.where(size > 0, radius * Y / torch.where(size > 0, size, 1.0), pole)

    return projection(onto)


def hyperplane(normal: Tensor, offset: float) -> Mirror:
    """<normal, x> = offset."""
    square = float(normal.square().sum())

    def onto(Y: Tensor) -> Tensor:
        a = normal.to(Y)
        return Y - ((Y @ a - offset) / square)[..., None] * a

    return projection(onto)


def simplex() -> Mirror:
    """x >= 0 with sum 1, by entropy: X = softmax(Y)."""
    return Mirror(lambda Y: torch.softmax(Y, dim=-1), lambda X: X.clamp_min(torch.finfo(X.dtype).tiny).log())


def simplex_projection() -> Mirror:
    """x >= 0 with sum 1, by the nearest point, so that zeros are reached (Duchi et al. 2008)."""

    def onto(Y: Tensor) -> Tensor:
        ordered = Y.sort(dim=-1, descending=True).values
        k = torch.arange(1, Y.shape[-1] + 1, dtype=Y.dtype, device=Y.device)
        excess = (ordered.cumsum(-1) - 1.0) / k
        count = (ordered > excess).sum(-1, keepdim=True)
        return (Y - excess.gather(-1, count - 1)).clamp_min(0.0)

    return projection(onto)


def bounded_simplex(low: Tensor, high: Tensor) -> Mirror:
    """low <= x <= high with sum 1, by the nearest point: clip(y - t) for the one t that makes the sum 1."""

    def onto(Y: Tensor) -> Tensor:
        below, above = low.to(Y), high.to(Y)
        least = (Y - above).amin(dim=-1, keepdim=True) - 1.0
        most = (Y - below).amax(dim=-1, keepdim=True) + 1.0
        for _ in range(60):  # the bracket halves down to the last bit
            t = 0.5 * (least + most)
            much = torch.clamp(Y - t, below, above).sum(dim=-1, keepdim=True) > 1.0
            least, most = torch.where(much, t, least), torch.where(much, most, t)
        return torch.clamp(Y - 0.5 * (least + most), below, above)

    return projection(onto)


def open_box() -> Mirror:
    """-1 < x < 1, by a logarithmic barrier: X = y / (1 + sqrt(1 + y^2))."""
    return Mirror(lambda Y: Y / (1.0 + (1.0 + Y.square()).sqrt()), lambda X: 2.0 * X / (1.0 - X.square()))


def sparse(strength: float, scale: float = 1.0) -> Mirror:
    """Everywhere, with few nonzeros: X = scale soft(Y, strength), the elastic net."""
    return Mirror(
        lambda Y: scale * torch.sign(Y) * (Y.abs() - strength).clamp_min(0.0),
        lambda X: X / scale + strength * torch.sign(X),
    )


def level_set(g: Callable[[Tensor], Tensor], slack: float = 0.01) -> Callable[[Tensor, Tensor, float], Tensor]:
    """A step drawn to {x: g_k(x) = 0}: X <- X - (I + dt/eps H)^-1 (dt/eps grad G - increment), G = sum g_k^2.

    H is the Gauss-Newton part of the Hessian of G, which is positive semi-definite, so the step never divides by zero.

    Args:
        g: Constraints at X (M, N, d), shape (M, N, k).
        slack: eps.
    Returns:
        A function of positions, increments, and dt to new positions.
    Source: Carrillo, Jin, Zhang, Zhu 2024, arXiv 2405.00891, with the Hessian as said.
    """

    def step(X: Tensor, moved: Tensor, dt: float) -> Tensor:
        flat = X.reshape(-1, X.shape[-1])

        def single(x: Tensor) -> Tensor:
            return g(x[None, None])[0, 0]

        J = torch.func.vmap(torch.func.jacrev(single))(flat)  # (n, k, d)
        values = g(flat[None])[0]  # (n, k)
        weight = 2.0 * dt / slack
        H = torch.eye(flat.shape[-1], dtype=X.dtype, device=X.device) + weight * (J.mT @ J)
        right = moved.reshape(flat.shape) - weight * (J.mT @ values[..., None])[..., 0]
        new: Tensor = flat + torch.linalg.solve(H, right[..., None])[..., 0]
        return new.reshape(X.shape)

    return step
