"""Particles that agree on a point: consensus, noise, and the steps of the family.

    dX_i = -lambda (X_i - c) dt + sigma D(X_i - c) dB_i,    c = sum_i X_i exp(-alpha f(X_i)) / sum_i exp(-alpha f(X_i))

(Pinnau, Totzeck, Tse, Martin 2017; anisotropic noise: Carrillo, Jin, Li, Zhu 2021; truncated: Fornasier, Richtarik,
Riedl, Sun 2024, arXiv 2310.16610). Every member of the family is one consensus, one noise and one increment: memory
(2211.12184) adds a drift to each particle's best point, inertia (2012.05613) makes a particle swarm of it, a kernel
polarises it (2211.05238), the covariance of the swarm in place of distances makes it a sampler of exp(-f) (Carrillo,
Hoffmann, Stuart, Vaes 2022), and a fixed width around the consensus is consensus hopping (2306.09778).

Everything is a tensor operation over M runs at once, on any device, in float32 and float64, without a word to the host.

Symbols: M runs, N particles, d variables; X (M, N, d), energies e (M, N), smaller is better; c (M, 1, d), or (M, N, d)
where every particle has a consensus of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Noise = Literal["anisotropic", "isotropic", "covariance"]


@dataclass(frozen=True)
class Dynamics:
    """How particles move.

    Args:
        drift: lambda.
        noise: sigma.
        dt: Length of a step.
        kind: "anisotropic" noise grows with the distance of each coordinate from the consensus, "isotropic" with the
            distance, "covariance" with the spread of the swarm.
        truncation: Largest distance that noise grows with.
        memory: Drift to each particle's best point; the consensus is then one of best points.
        memory_noise: Of that drift.
        inertia: m of a velocity, from 0 (none) to 1; friction is 1 - m.
        sampling: With covariance noise, sample exp(-f) instead of minimising f.
        exponential: Covariance noise with the exact step of the linear equation instead of Euler's.
    """

    drift: float = 1.0
    noise: float = 5.0
    dt: float = 0.01
    kind: Noise = "anisotropic"
    truncation: float = math.inf
    memory: float = 0.0
    memory_noise: float = 0.0
    inertia: float = 0.0
    sampling: bool = False
    exponential: bool = True

    @property
    def remembers(self) -> bool:
        """Is the consensus one of best points?"""
        return self.memory > 0.0 or self.memory_noise > 0.0 or self.inertia > 0.0

    @property
    def pull(self) -> tuple[float, float]:
        """Drift and noise of a particle whose best point is the consensus, as those of the spread are."""
        return self.drift + self.memory, math.hypot(self.noise, self.memory_noise)


@dataclass(frozen=True)
class Swarm:
    """Where the particles are.

    Args:
        X: Positions, shape (M, N, d).
        e: Their energies, shape (M, N).
        Y, f: Each particle's best position and its energy, shapes (M, N, d) and (M, N).
        V: Velocities, shape (M, N, d).
    """

    X: Tensor
    e: Tensor
    Y: Tensor
    f: Tensor
    V: Tensor

    @classmethod
    def at(cls, X: Tensor, e: Tensor) -> Swarm:
        """A swarm that begins at X; what failed there is no best point that anything could not be better than."""
        return cls(X, e, X, torch.where(torch.isnan(e), torch.inf, e), torch.zeros_like(X))

    def seen(self, X: Tensor, e: Tensor, *, remember: bool = True) -> Swarm:
        """The swarm after it has moved to X and has seen energies e there; best points never get worse.

        Args:
            X, e: Positions and energies.
            remember: Are best points wanted? Else they are the positions.
        """
        if not remember:
            return Swarm(X, e, X, e, self.V)
        better = e < self.f
        Y = torch.where(better[..., None], X, self.Y)
        return replace(self, X=X, e=e, Y=Y, f=torch.where(better, e, self.f))


def log_weights(energies: Tensor, alpha: Tensor | float) -> Tensor:
    """-alpha (e - min e), shape (..., N); -inf for what failed, and one particle has 0 even where all did.

    The difference is taken first: alpha e alone would lose it in rounding, or overflow for every particle at once.

    Args:
        energies: Shape (..., N); NaN counts as infinite.
        alpha: Shape (...), or a number.
    """
    e = torch.where(torch.isnan(energies), torch.inf, energies)
    low, first = e.min(dim=-1, keepdim=True)
    gaps = torch.where(torch.isfinite(low), e - low, torch.where(e == low, 0.0, torch.inf))
    lost = torch.full_like(e, torch.inf).scatter(-1, first, 0.0)
    gaps = torch.where(low == torch.inf, lost, gaps)
    at = alpha[..., None] if isinstance(alpha, Tensor) else alpha
    return torch.where(gaps == torch.inf, -torch.inf, -at * gaps)


def consensus(X: Tensor, logits: Tensor) -> Tensor:
    """Weighted means of positions X (M, N, d): (M, 1, d) for logits (M, N), (M, N, d) for logits (M, N, N)."""
    w = torch.softmax(logits, dim=-1)
    return w @ X if logits.dim() == X.dim() else w[..., None, :] @ X


def polarised(X: Tensor, logits: Tensor, kappa: float, scale: Tensor | float = 1.0) -> Tensor:
    """Log-weights (M, N, N) with which each particle sees the others: near ones more.

    log w_ij = -s |X_i - X_j|^2 / (2 kappa^2) - alpha f(X_j) (Bungert, Hoffmann, Kim, Roith 2025, arXiv 2211.05238).

    Args:
        X: Positions.
        logits: -alpha f of each, shape (M, N).
        kappa: Width of the kernel; infinite is one consensus for all.
        scale: s, a number or shape (M,).
    """
    s = scale[:, None, None] if isinstance(scale, Tensor) else scale
    return logits[:, None, :] - s * torch.cdist(X, X).square() / (2.0 * kappa**2)


def ranks(energies: Tensor) -> Tensor:
    """Share of the others that are lower, shape (..., N), equal for ties; infinite for what failed."""
    e = torch.where(torch.isnan(energies), torch.inf, energies).contiguous()
    lower = torch.searchsorted(e.sort(dim=-1).values, e).to(e.dtype) / e.shape[-1]
    return torch.where(e == torch.inf, torch.inf, lower)


def effective_size(logits: Tensor) -> Tensor:
    """(sum w)^2 / sum w^2, shape (...), from 1 to N: by how many particles a consensus is made."""
    return torch.exp(2.0 * torch.logsumexp(logits, dim=-1) - torch.logsumexp(2.0 * logits, dim=-1))


def alpha_for(energies: Tensor, share: float) -> Tensor:
    """alpha (...) at which the effective size is a share of N, by bisection in log alpha.

    Energies are taken by their spread, so neither a shift nor a scale of them matters, and beside one out of all
    proportion, as penalties are, by the smallest difference too. Ties may not allow a size so small; then alpha is as
    large as it gets.
    """
    e = torch.where(torch.isfinite(energies), energies, torch.inf)
    low = e.amin(dim=-1, keepdim=True)
    gaps = torch.where(torch.isfinite(e - low), e - low, torch.inf)
    finite = torch.where(torch.isfinite(gaps), gaps, 0.0)
    spread = finite.amax(dim=-1, keepdim=True)
    spread = torch.where(spread > 0, spread, 1.0)
    unit = gaps / spread
    a, b = torch.full_like(low, -10.0), torch.full_like(low, 30.0)  # of log alpha
    wanted = max(1.0, share * energies.shape[-1])

    def wide(log_alpha: Tensor) -> Tensor:
        logits = torch.where(unit == torch.inf, -torch.inf, -log_alpha.exp() * unit)
        return effective_size(logits)[..., None] > wanted

    largest = torch.finfo(e.dtype).max
    smallest = torch.where(unit > 0, unit, torch.inf).amin(dim=-1, keepdim=True).clamp_max(1.0)
    b = torch.where(wide(b), (b - smallest.log()).clamp_max(math.log(largest) - 1.0), b)
    for _ in range(48):
        middle = 0.5 * (a + b)
        over = wide(middle)
        a, b = torch.where(over, middle, a), torch.where(over, b, middle)
    return ((0.5 * (a + b)).exp() / spread)[..., 0].clamp_max(largest)


def _spread(D: Tensor, dynamics: Dynamics) -> Tensor:
    """What isotropic or anisotropic noise is multiplied with, (M, N, 1) or (M, N, d)."""
    size = D if dynamics.kind == "anisotropic" else D.norm(dim=-1, keepdim=True)
    return size if math.isinf(dynamics.truncation) else size.clamp(-dynamics.truncation, dynamics.truncation)


def covariance_root(X: Tensor, logits: Tensor, c: Tensor) -> Tensor:
    """Lower root (M, d, d) of the weighted covariance of positions around a consensus c (M, 1, d)."""
    w, D = torch.softmax(logits, dim=-1), X - c
    C = (w[..., None] * D).mT @ D
    eye = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    size = C.diagonal(dim1=-2, dim2=-1).mean(-1).clamp_min(torch.finfo(X.dtype).tiny)
    root: Tensor = torch.linalg.cholesky(C + 1e-7 * size[:, None, None] * eye)
    return root


def increment(
    swarm: Swarm, c: Tensor, dynamics: Dynamics, normals: Tensor, memory_normals: Tensor | None = None
) -> Tensor:
    """What a step of one dt adds to the positions, shape (M, N, d), all terms at the positions before it.

    Args:
        swarm: Where the particles are.
        c: Their consensus.
        dynamics: With isotropic or anisotropic noise.
        normals: Standard normal, shape (M, N, d).
        memory_normals: The same for the noise towards best points.
    """
    dt, D = dynamics.dt, swarm.X - c
    width = dynamics.noise * math.sqrt(dt)
    moved = torch.addcmul(D * (-dynamics.drift * dt), _spread(D, dynamics), normals, value=width)
    if dynamics.memory or dynamics.memory_noise:
        own = swarm.X - swarm.Y
        moved = moved - (dynamics.memory * dt) * own
        if memory_normals is not None:
            moved = moved + _spread(own, dynamics) * memory_normals * (dynamics.memory_noise * math.sqrt(dt))
    return moved


def moved(
    swarm: Swarm, c: Tensor, dynamics: Dynamics, normals: Tensor, memory_normals: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Positions and velocities after a step; arguments as of `increment`.

    With inertia m: V <- (m V + increment) / (m + (1 - m) dt), X <- X + V dt, implicit in the friction; m = 0 is the
    increment itself.
    """
    step = increment(swarm, c, dynamics, normals, memory_normals)
    if dynamics.inertia == 0.0:
        return swarm.X + step, swarm.V
    m = dynamics.inertia
    V = (m * swarm.V + step) / (m + (1.0 - m) * dynamics.dt)
    return swarm.X + dynamics.dt * V, V


def sampled(X: Tensor, logits: Tensor, alpha: Tensor | float, dynamics: Dynamics, normals: Tensor) -> Tensor:
    """Positions after a step of consensus-based sampling, or of minimising with the same noise.

    The exponential step X <- c + e^-dt D + sqrt((1 - e^-2dt) (1 + alpha)) C^1/2 xi has the right variance for a
    Gaussian target at every dt; Euler's has it inflated to (2 (1 + alpha) / (2 - dt) - 1) / alpha.
    """
    c, dt = consensus(X, logits), dynamics.dt
    root = covariance_root(X, logits, c)
    factor = (1.0 + alpha if isinstance(alpha, float) else 1.0 + alpha[:, None, None]) if dynamics.sampling else 1.0
    D, shaped = X - c, normals @ root.mT
    if dynamics.exponential:
        spread = torch.as_tensor((1.0 - math.exp(-2.0 * dt)) * factor, dtype=X.dtype, device=X.device).sqrt()
        return c + math.exp(-dt) * D + spread * shaped
    return X - dt * D + torch.as_tensor(2.0 * dt * factor, dtype=X.dtype, device=X.device).sqrt() * shaped


def hopped(c: Tensor, width: float, normals: Tensor) -> Tensor:
    """Fresh positions around a consensus: with lambda = 1 / dt the drift is a jump (consensus hopping)."""
    return c + width * normals


def implied_gradient(before: Tensor, after: Tensor, tau: float) -> Tensor:
    """The gradient of which a hop of the consensus is a step: (c_k - c_{k+1}) / tau with tau = alpha s^2.

    Of the Gaussian soft minimum f~ = -1/alpha log E exp(-alpha f(x + s xi)), exactly for many particles (2306.09778).
    """
    return (before - after) / tau


def chebyshev(G: Tensor, weights: Tensor, ideal: Tensor) -> Tensor:
    """Energies (M, N, N) of each particle's own scalarisation at all positions: max_k w_ik |g_k(X_j) - ideal_k|.

    Args:
        G: Objectives at the positions, to be minimised, shape (M, N, m).
        weights: Of each particle, on the simplex, shape (M, N, m).
        ideal: Shape (M, m).
    Source: Borghi, Herty, Pareschi 2022, arXiv 2208.01362.
    """
    gaps = (G - ideal[:, None]).abs()
    return (weights[:, :, None] * gaps[:, None]).amax(dim=-1)
