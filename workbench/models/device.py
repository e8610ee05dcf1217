"""The exact process with its matrices on a device, in torch, for thousands of points.

The closed forms are those of `exact`, in float64; what is new is where they are computed. Covariances of all pairs are
whole matrices here instead of lists of pairs, and sums over pairs become products with the columns:
sum_ij S_ij (x_i - x_j)^2 = 2 (sum_i s_i x_i^2 - x^T S x) for a symmetric S with row sums s.

Symbols: n points, d columns, b queries, C = K + diag(noise) = L L^T, a = C^-1 (y - m), as in `exact`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from workbench.models import exact
from workbench.models.exact import JITTERS, TREND, Array, Data, ExactPosterior, Factor, Prior, Settings
from workbench.models.kernels import Anchors, Kernel
from workbench.models.warping import Warp

_EMPTY = np.empty(0)


class Triangle:
    """A lower Cholesky factor on a device; what it takes and gives are arrays.

    Args:
        L: Shape (n, n).
    """

    def __init__(self, L: Tensor) -> None:
        self.L = L

    @classmethod
    def of(cls, C: Tensor) -> Triangle:
        """The factor of a covariance matrix, with as little jitter as it takes.

        Raises:
            np.linalg.LinAlgError: if even the largest jitter is too little.
        """
        size = float(C.diagonal().mean()) if len(C) else 1.0
        diagonal = C.diagonal().clone()
        for jitter in JITTERS:
            C.diagonal().copy_(diagonal + jitter * size)
            L, info = torch.linalg.cholesky_ex(C)
            if not info.item():
                return cls(L)
        raise np.linalg.LinAlgError(f"a covariance matrix of {len(C)} points is not positive definite")

    def __len__(self) -> int:
        return len(self.L)

    def solve(self, B: Array) -> Array:
        """C^-1 B, shape (n, k)."""
        return _back(torch.cholesky_solve(_there(B, self.L), self.L))

    def half(self, B: Array, *, back: bool = False) -> Array:
        """L^-1 B, or L^-T B going back, shape (n, k)."""
        L = self.L.mT if back else self.L
        return _back(torch.linalg.solve_triangular(L, _there(B, self.L), upper=back))

    def times(self, v: Array) -> Array:
        """C v, shape (n,)."""
        return _back(self.L @ (self.L.mT @ _there(v, self.L)))

    def diagonal_of_inverse(self) -> Array:
        """Of C^-1, shape (n,)."""
        return _back(torch.cholesky_inverse(self.L).diagonal())

    def bordered(self, B: Array, corner: Array) -> Triangle:
        """The factor of a matrix with q more rows, from B = L^-1 C(X, Z) (n, q) and the factor (q, q) of its corner."""
        n, q = B.shape
        L = self.L.new_zeros(n + q, n + q)
        L[:n, :n], L[n:, :n], L[n:, n:] = self.L, _there(B.T, self.L), _there(corner, self.L)
        return Triangle(L)


class DevicePosterior(ExactPosterior):
    """An exact posterior whose factor, and whose sums over many queries, are on a device."""

    _moved: tuple[Anchors, Tensor] | None = None

    @classmethod
    def of(cls, data: Data, settings: Settings) -> DevicePosterior:
        """The posterior at some hyperparameters."""
        kernel, noise = exact.split(data, settings)
        warp = data.warp(settings.theta)
        _, _, _, triangle = _covariances(data, kernel, noise, warp)
        mean, weights = _weights(data, triangle)
        return cls(data, Factor(kernel, noise, triangle, mean, weights, _EMPTY, _EMPTY, warp))

    def mean_sd(self, Z: Array) -> tuple[Array, Array]:
        f, P = self._factor, self.placed(Z)
        assert isinstance(f.L, Triangle)
        L = f.L.L
        if self._moved is None or self._moved[0] is not self._anchors:  # conditioning has other points
            self._moved = self._anchors, _there(self._anchors.X, L)
        k, _ = between(f.kernel, _there(P, L), self._moved[1])
        explained = torch.linalg.solve_triangular(L, k.mT, upper=False).square_().sum(dim=0)
        mu = f.mean + k @ _there(f.weights, L)
        return _back(mu), np.sqrt(np.maximum(f.kernel.variances(P) - _back(explained), 0.0))


def between(kernel: Kernel, P: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """Covariances k(p, q) and slopes as of `Kernel.between`, both of shape (b, n), at P (b, d) and Q (n, d)."""
    own, (tail, shared) = list(kernel.ordered), kernel.features
    lengths = _there(np.concatenate([kernel.lengths[: len(own)], shared]), Q)
    columns = [*own, *range(tail.start, tail.stop)]
    A, B = P[:, columns] / lengths, Q[:, columns] / lengths
    centre = B.mean(dim=0) if len(B) else B.new_zeros(len(columns))
    A, B = A - centre, B - centre
    r2 = torch.addmm(B.square().sum(dim=1)[None, :], A, B.mT, alpha=-2.0).add_(A.square().sum(dim=1)[:, None])
    r2.clamp_(min=0.0)
    if kernel.kind == "rbf":
        k = r2.mul_(-0.5).exp_()
        G = k.clone()
    else:
        s = (5.0 * r2).sqrt_()
        decay = (-s).exp_()
        G = s.add_(1.0).mul_(decay)
        k = G + r2.mul_(5.0 / 3.0).mul_(decay)
        G = G.mul_(5.0 / 3.0)
    k *= kernel.scale
    G *= kernel.scale
    if kernel.choices:
        apart = torch.zeros_like(k)
        for c, v in zip(kernel.choices, kernel.weights.tolist(), strict=True):
            apart += v * (P[:, c, None] != Q[None, :, c]).to(k.dtype)  # a number times a truth value is float32
        apart = apart.neg_().exp_()
        k *= apart
        G *= apart
    if kernel.trend:
        k += kernel.trend * (P[:, own] - 0.5) @ (Q[:, own] - 0.5).mT
    return k, G


def log_posterior(data: Data, settings: Settings, prior: Prior) -> tuple[float, Array]:
    """Log evidence plus log prior, and its gradient in theta, shape (t,), as of `exact.log_posterior`."""
    kernel, noise = exact.split(data, settings)
    warp = data.warp(settings.theta)
    V, K, G, triangle = _covariances(data, kernel, noise, warp)
    mean, weights = _weights(data, triangle)
    n, L = len(data.y), triangle.L
    value = -0.5 * float((data.y - mean) @ weights) - float(L.diagonal().log().sum()) - 0.5 * n * math.log(2 * math.pi)
    M = torch.cholesky_inverse(L).neg_()  # with what follows a a^T - C^-1, twice the slope in C
    a = _there(weights, L)
    M.addr_(a, a)
    trace = float(M.diagonal().sum())
    K.mul_(M)
    G.mul_(M)
    own, tail = list(kernel.ordered), kernel.features[0]
    columns = V[:, [*own, *range(tail.start, tail.stop)]]
    rows = G.sum(dim=1)
    squares = _back(rows @ columns.square() - (columns * (G @ columns)).sum(dim=0))
    blocks = np.split(squares[len(own) :], np.cumsum([block.stop - block.start for block in kernel.blocks])[:-1])
    shared = [float(block.sum()) for block in blocks] if kernel.blocks else []
    slopes = [np.concatenate([squares[: len(own)], shared]) * kernel.lengths**-2.0]
    differ = [float(K[V[:, c, None] != V[None, :, c]].sum()) for c in kernel.choices]
    slopes += [0.5 * kernel.weights * np.array(differ), np.array([0.5 * float(K.sum())])]
    if warp is not None:
        bent = V[:, list(warp.columns)]
        pulled = _back(rows[:, None] * bent - G @ bent)
        places = [data.ordered.index(column) for column in warp.columns]
        inverse = kernel.lengths[places] ** -2.0
        slopes += [-inverse * (pulled * D).sum(axis=0) for D in warp.slopes(data.X)]
    if data.infer:
        slopes.append(np.array([0.5 * noise * trace]))
    log_prior, prior_slope = prior(settings.theta)
    return value + log_prior, np.concatenate(slopes) + prior_slope


def _covariances(
    data: Data, kernel: Kernel, noise: float, warp: Warp | None
) -> tuple[Tensor, Tensor, Tensor, Triangle]:
    """Points after the bending of axes (n, d), covariances without a trend and their slopes (n, n), and the factor."""
    device = torch.device(data.device or "cpu")
    V = torch.tensor(data.X if warp is None else warp(data.X), dtype=torch.float64, device=device)
    K, G = between(replace(kernel, trend=0.0), V, V)
    K.diagonal().fill_(kernel.scale)
    C = K.clone()
    C.diagonal().add_(_there(data.noise + noise, C))
    if kernel.trend:
        H = V[:, list(kernel.ordered)] - 0.5
        C.addmm_(H, H.mT, alpha=TREND)
    return V, K, G, Triangle.of(C)


def _weights(data: Data, triangle: Triangle) -> tuple[float, Array]:
    """The constant mean, and a of shape (n,)."""
    both = triangle.solve(np.stack([data.y, np.ones(len(data.y))], axis=1))
    mean = float(both[:, 0].sum() / both[:, 1].sum())
    return mean, both[:, 0] - mean * both[:, 1]


def _there(values: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)


def _back(values: Tensor) -> Array:
    found: Array = values.cpu().numpy()
    return found
