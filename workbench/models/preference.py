"""A Gaussian process of utility, learnt from answers: Laplace's approximation, hyperparameters by evidence.

    p(f | answers) is taken as normal with mean f^ and covariance (K^-1 + W)^-1, f^ the most probable utilities and W
    the curvature of the log-likelihood there. Newton: f <- (I + K W)^-1 K (W f + g), the step halved while it does not
    gain. log evidence = log p(answers | f^) - 1/2 f^' K^-1 f^ - 1/2 log |I + K W|.

Its gradient is exact, the movement of f^ included: at f^ one more Newton step has no slope in f, so differentiating
that step alone gives df^/dtheta. Nothing is inverted but I + K W, which is regular although W, a graph Laplacian, is
not.

Everything is float64, deterministic, and takes leading batch dimensions, on a CPU or a GPU.

Sources: Chu and Ghahramani 2005, Preference Learning with Gaussian Processes; Rasmussen and Williams 2006, algorithms
3.1 and 5.1. Priors on the hyperparameters are those of `exact`, except the scale: the noise of a judgement is 1, so
the scale says how clear the differences are, log scale ~ N(log 4, 1.5).

Symbols: n items, d inputs, b queries Z, ... batches; K (n, n), f, g, a = K^-1 f^ = g(f^), W; theta hyperparameters.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import DeadlineReached
from workbench.models.exact import Prior
from workbench.models.judgements import Answer, Family, Hyper, Likelihood, Local
from workbench.models.kernels import Kernel
from workbench.models.lbfgsb import Rules, minimum
from workbench.rankings import Groups

Array = NDArray[np.float64]

_NEWTON = 60  # iterations at most; ten are usual
_CLOSE = 1e-12  # relative gain of the log posterior, below which Newton has arrived
_NEAR = 1e-7  # the same in a search for hyperparameters: the step that is differentiated squares what is left
_HALVINGS = 40
_SCALE = (math.log(4.0), 1.5, math.log(1e-2), math.log(1e3))  # mean, sd and range of the log scale
_TIES = (math.log(0.3), 1.0, math.log(1e-3), math.log(50.0))
_PRECISION = (0.0, 0.5, math.log(0.05), math.log(20.0))  # of a rater, of which the typical one has 1
_SEARCH, _WARM = 60, 15  # iterations of the search for hyperparameters
_TOLERANCE = 1e-2  # nats a unit of theta
_GAIN = 2.2e-8  # a smaller relative gain ends the search
_JITTER = 1e-8  # of the scale, on the diagonal
_FLOOR = 1e-20  # keeps the root of a squared distance differentiable at 0
_NODES = 32  # of Gauss-Hermite quadrature
_DRAWS = 1 << 12


@dataclass(frozen=True)
class Columns:
    """How inputs enter the kernel: columns with a lengthscale each, columns of choices, and blocks that share one."""

    ordered: tuple[int, ...]
    choices: tuple[int, ...] = ()
    blocks: tuple[slice, ...] = ()

    @property
    def lengths(self) -> int:
        """Number of lengthscales."""
        return len(self.ordered) + len(self.blocks)


@dataclass(frozen=True)
class Theta:
    """Hyperparameters by name, as they are kept in a record.

    Args:
        kernel: log lengthscales, log 1 / (c v) of choices, log scale: as in `exact`.
        ties: log prevalence by size of a tie.
        raters: log precision by name.
    """

    kernel: tuple[float, ...]
    ties: Mapping[int, float]
    raters: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """JSON types, exact."""
        ties = {str(size): value for size, value in self.ties.items()}
        return {"kernel": list(self.kernel), "ties": ties, "raters": dict(self.raters)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Theta:
        """The inverse of `to_json`."""
        ties = {int(size): value for size, value in data["ties"].items()}
        return cls(tuple(data["kernel"]), ties, dict(data["raters"]))


class Evidence:
    """The log posterior density of hyperparameters, given answers about items.

    Args:
        X: Inputs of the items, shape (n, d).
        answers: What was said about them, by row of X.
        columns: How the inputs enter.
        family: "probit" or "luce".
        raters: Names, by number; None where there is one.
        device: Where to compute.
    """

    def __init__(
        self, X: Array, answers: Sequence[Answer], columns: Columns, family: Family = "luce",
        raters: Sequence[str] | None = None, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        self.likelihood = Likelihood(answers, len(X), family, device)
        self.columns = columns
        self.raters = tuple(raters or ("",))
        self.X = torch.as_tensor(X, dtype=torch.float64, device=device)
        kernel = Prior(columns.lengths, len(columns.choices), False)
        self._base = len(kernel.mean) - 1
        ties = len(self.likelihood.sizes)
        extra = [_SCALE, *[_TIES] * ties, *[_PRECISION] * (len(self.raters) if len(self.raters) > 1 else 0)]
        rows = [list(row) for row in zip(kernel.mean, kernel.sd, kernel.low, kernel.high, strict=True)][: self._base]
        self._mean, self._sd, self.low, self.high = np.array([*rows, *extra], dtype=np.float64).T
        self._ties = ties

    @property
    def start(self) -> Array:
        """Where a search begins without a better guess: the mode of the prior, shape (t,)."""
        theta = self._mean.copy()
        theta[: self._base] -= self._sd[: self._base] ** 2  # a density of the lengthscales, not of their logarithms
        return np.asarray(np.clip(theta, self.low, self.high))

    def vector(self, theta: Theta | None) -> Array:
        """Hyperparameters as a vector (t,), those that are missing at the start of a search."""
        vector = self.start
        if theta is not None and len(theta.kernel) == self._base + 1:
            vector[: self._base + 1] = theta.kernel
            for i, size in enumerate(self.likelihood.sizes):
                vector[self._base + 1 + i] = theta.ties.get(size, vector[self._base + 1 + i])
            if len(self.raters) > 1:
                vector[-len(self.raters) :] = [theta.raters.get(name, 0.0) for name in self.raters]
        return np.asarray(np.clip(vector, self.low, self.high))

    def named(self, vector: Array) -> Theta:
        """The inverse of `vector`."""
        values = [float(value) for value in vector]
        ties = values[self._base + 1 : self._base + 1 + self._ties]
        raters = values[-len(self.raters) :] if len(self.raters) > 1 else [0.0]
        return Theta(
            tuple(values[: self._base + 1]),
            dict(zip(self.likelihood.sizes, ties, strict=True)),
            dict(zip(self.raters, raters, strict=True)),
        )

    def hyper(self, theta: Tensor) -> Hyper:
        """Hyperparameters of the likelihood in a vector (..., t)."""
        first = self._base + 1
        ties = theta[..., first : first + self._ties]
        precisions = theta[..., first + self._ties :]
        if len(self.raters) == 1:
            precisions = theta.new_zeros(*theta.shape[:-1], 1)
        return Hyper(ties, precisions)

    def prior_covariance(self, theta: Tensor) -> Tensor:
        """K of the items at theta (..., t), shape (..., n, n); what would just be acceptable is independent of them."""
        K: Tensor = covariance(self.X, self.X, theta[..., : self._base + 1], self.columns)
        scale = theta[..., self._base].exp()
        K = K + _JITTER * scale[..., None, None] * torch.eye(len(self.X), dtype=K.dtype, device=K.device)
        if self.likelihood.outside:
            K = torch.nn.functional.pad(K, (0, 1, 0, 1))
            corner = torch.zeros_like(K)
            corner[..., -1, -1] = 1.0
            return K + corner * scale[..., None, None]
        return K

    def __call__(self, theta: Tensor) -> Tensor:
        """Log evidence plus log prior without its constant, shape (...), differentiable in theta (..., t)."""
        return self.near(theta, None)[0]

    def near(self, theta: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """The same, and a = K^-1 f^ (..., n), Newton's method beginning at such an a of hyperparameters nearby."""
        K, hyper = self.prior_covariance(theta), self.hyper(theta)
        held = Hyper(hyper.ties.detach(), hyper.precisions.detach())
        found = solved(self.likelihood, K.detach(), held, start, _CLOSE if start is None else _NEAR)
        at = self.likelihood(found.f, hyper)
        eye = torch.eye(self.likelihood.size, dtype=K.dtype, device=K.device)
        b = (at.H @ found.f[..., None])[..., 0] + at.slope  # (..., n)
        f = torch.linalg.solve(eye + K @ at.H, (K @ b[..., None])[..., 0])
        a = b - (at.H @ f[..., None])[..., 0]  # K^-1 f
        moved = self.likelihood(f, hyper)
        logdet = torch.linalg.slogdet(eye + K @ moved.W)[1]
        z = (theta - torch.as_tensor(self._mean, device=theta.device)) / torch.as_tensor(self._sd, device=theta.device)
        log_prior = -0.5 * (z * z).sum(-1) - theta[..., : self._base].sum(-1)
        density: Tensor = moved.value - 0.5 * (f * a).sum(-1) - 0.5 * logdet + log_prior
        return density, found.a

    def largest(self, start: Array, most: int, deadline: float | None = None) -> tuple[Array, bool]:
        """Hyperparameters (t,) that a search by L-BFGS-B from `start` ends at, and whether time ended it."""
        last: Tensor | None = None
        best, best_loss = start, math.inf

        def loss(vector: Array) -> tuple[float, Array]:
            nonlocal last, best, best_loss
            if deadline is not None and time.monotonic() >= deadline:
                raise DeadlineReached("the time given to the fit is over")
            theta = torch.tensor(vector, device=self.X.device, requires_grad=True)
            value, last = self.near(theta, last)
            (slope,) = torch.autograd.grad(value, theta)
            if not torch.isfinite(value) or not torch.isfinite(slope).all():
                return 1e10, np.zeros_like(vector)  # a wall: the line search comes back from it
            if -float(value.detach()) < best_loss:
                best, best_loss = np.array(vector), -float(value.detach())
            return -float(value.detach()), -slope.cpu().numpy()

        try:
            minimum(loss, start, self.low, self.high, Rules(rounds=most, flat=_TOLERANCE, stalled=_GAIN))
        except DeadlineReached:
            return best, True
        return best, False


@dataclass(frozen=True)
class Solution:
    """The most probable utilities f (..., n), a = K^-1 f, and the log-likelihood around them."""

    f: Tensor
    a: Tensor
    at: Local
    iterations: int


@torch.no_grad()
def solved(
    likelihood: Likelihood, K: Tensor, hyper: Hyper, start: Tensor | None = None, close: float = _CLOSE
) -> Solution:
    """The most probable utilities by Newton's method, from f = 0.

    Args:
        likelihood: Of the answers.
        K: Prior covariance, shape (..., n, n).
        hyper: Of the likelihood.
        start: K^-1 f to begin with, shape (..., n).
        close: Relative gain of the log posterior, below which it ends.
    """
    eye = torch.eye(K.shape[-1], dtype=K.dtype, device=K.device)
    a = K.new_zeros(K.shape[:-1]) if start is None else start
    f = (K @ a[..., None])[..., 0]
    at = likelihood(f, hyper)
    psi = at.value - 0.5 * (a * f).sum(-1)
    iterations = 0
    for _ in range(_NEWTON):
        iterations += 1
        b = (at.W @ f[..., None])[..., 0] + at.slope
        aim = torch.linalg.solve(eye + K @ at.W, (K @ b[..., None])[..., 0])
        step = b - (at.W @ aim[..., None])[..., 0] - a  # of a = K^-1 f
        rate = torch.ones_like(psi)
        for _ in range(_HALVINGS):
            new_a = a + rate[..., None] * step
            new_f = (K @ new_a[..., None])[..., 0]
            new = likelihood(new_f, hyper)
            new_psi = new.value - 0.5 * (new_a * new_f).sum(-1)
            worse = ~(new_psi >= psi)  # NaN is worse too
            if not worse.any():
                break
            rate = torch.where(worse, 0.5 * rate, rate)
        else:
            new_a, new_f, new, new_psi = a, f, at, psi  # rounding: nothing is left to gain
        gain = new_psi - psi
        a, f, at, psi = new_a, new_f, new, new_psi
        if bool((gain <= close * (1.0 + psi.abs())).all()):
            break
    return Solution(f, a, at, iterations)


def covariance(Z: Tensor, X: Tensor, theta: Tensor, columns: Columns) -> Tensor:
    """Squared-exponential covariances, as in `kernels`.

    Args:
        Z: Inputs, shape (..., b, d).
        X: Inputs, shape (..., n, d).
        theta: log lengthscales, log 1 / (c v), log scale, shape (..., lengths + c + 1).
        columns: How the inputs enter.
    Returns:
        Covariances, shape (..., b, n).
    """
    A, B = stretched(Z, theta, columns), stretched(X, theta, columns)
    return among(A, B, theta[..., -1], choice_gaps(Z, X, theta, columns))


def stretched(Z: Tensor, theta: Tensor, columns: Columns) -> Tensor:
    """The columns with a lengthscale, divided by it, (..., b, e); around the middle of the unit cube."""
    inverse = torch.exp(-theta[..., : columns.lengths])  # (..., lengths)
    parts = [[column] for column in columns.ordered]
    parts += [list(range(block.start, block.stop)) for block in columns.blocks]
    which = [i for i, part in enumerate(parts) for _ in part]
    flat = [j for part in parts for j in part]
    if not flat:
        return Z[..., :0]
    return (Z[..., flat] - 0.5) * inverse[..., which][..., None, :]


def choice_gaps(Z: Tensor, X: Tensor, theta: Tensor, columns: Columns) -> Tensor | None:
    """What differing choices take from the logarithm of a covariance, (..., b, n); None without choices."""
    gaps = None
    for i, column in enumerate(columns.choices):
        v = torch.exp(-theta[..., columns.lengths + i]) / len(columns.choices)
        gap = v[..., None, None] * (Z[..., :, None, column] != X[..., None, :, column])
        gaps = gap if gaps is None else gaps + gap
    return gaps


def among(A: Tensor, B: Tensor, log_scale: Tensor, gaps: Tensor | None) -> Tensor:
    """Covariances (..., b, n) of stretched inputs (..., b, e) and (..., n, e)."""
    r2 = (A * A).sum(-1)[..., :, None] + (B * B).sum(-1)[..., None, :] - 2.0 * A @ B.mT
    log = log_scale[..., None, None] - 0.5 * r2.clamp_min(0.0)
    return torch.exp(log if gaps is None else log - gaps)


class PreferenceModel:
    """The belief about utility given answers. Made by `fit`.

    Attributes:
        X: Inputs of the items, shape (n, d).
        f: Their most probable utilities, shape (n,); the noise of a judgement is 1.
        theta: Hyperparameters.
        answers: How many answers it was learnt from.
        late: Did time end the search for hyperparameters?
    """

    def __init__(self, evidence: Evidence, vector: Array, late: bool = False) -> None:
        self.late = late
        self._evidence, self._vector = evidence, torch.as_tensor(vector, device=evidence.X.device)
        self.columns, self.family = evidence.columns, evidence.likelihood.family
        self.theta, self.answers = evidence.named(vector), evidence.likelihood.count
        K, hyper = evidence.prior_covariance(self._vector), evidence.hyper(self._vector)
        found = solved(evidence.likelihood, K, hyper)
        self.iterations, self._a, self._at = found.iterations, found.a, found.at
        eye = torch.eye(len(K), dtype=K.dtype, device=K.device)
        M = torch.linalg.solve(eye + found.at.W @ K, found.at.W)  # (K + W^-1)^-1
        self._M, self._K = 0.5 * (M + M.mT), K
        n = len(evidence.X)
        self.X, self.f = evidence.X, found.f[:n]
        self._kernel = self._vector[: columns_of(evidence.columns) + 1]
        self._known = stretched(self.X, self._kernel, self.columns)

    @property
    def scale(self) -> float:
        """Prior variance of utility, in units of the noise of a judgement."""
        return float(self._kernel[-1].exp())

    @cached_property
    def raters(self) -> dict[str, float]:
        """Precision of each rater: what a difference of utility counts with them; about 1 for a typical one."""
        return {name: math.exp(value) for name, value in self.theta.raters.items()}

    def covariance(self, Z: Tensor, X: Tensor) -> Tensor:
        """Prior covariances (..., b, n) of inputs (..., b, d) and (..., n, d)."""
        return covariance(Z, X, self._kernel, self.columns)

    def with_known(self, Z: Tensor) -> Tensor:
        """Prior covariances (..., b, n) of inputs (..., b, d) with the items."""
        gaps = choice_gaps(Z, self.X, self._kernel, self.columns)
        return among(stretched(Z, self._kernel, self.columns), self._known, self._kernel[-1], gaps)

    def beside(self, A: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Joint moments of any x with fixed inputs A (k, d), what concerns these alone computed once.

        Returns:
            A function of inputs (b, d) to means (b, 1 + k) and covariances (b, 1 + k, 1 + k) of x and then A.
        """
        n, k = len(self.X), len(A)
        M, a = self._M[:n, :n], self._a[:n]
        with torch.no_grad():
            own = self.with_known(A)  # (k, n)
            mean_A, S_A = own @ a, self.covariance(A, A) - own @ M @ own.mT

        def moments(Z: Tensor) -> tuple[Tensor, Tensor]:
            known = self.with_known(Z)  # (b, n)
            inner = known @ M
            mean = torch.cat([(known @ a)[:, None], mean_A.expand(len(Z), k)], dim=1)
            variance = (self._kernel[-1].exp() - (inner * known).sum(-1)).clamp_min(0.0)[:, None]  # (b, 1)
            cross = self.covariance(Z, A) - inner @ own.mT  # (b, k)
            first = torch.cat([variance, cross], dim=1)[:, None]
            rest = torch.cat([cross[:, :, None], S_A.expand(len(Z), k, k)], dim=2)
            return mean, torch.cat([first, rest], dim=1)

        return moments

    def joint(self, Z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (..., b) and covariance (..., b, b) of the utilities at inputs (..., b, d), differentiable in them."""
        n = len(self.X)
        k = self.with_known(Z)  # (..., b, n)
        return k @ self._a[:n], self.covariance(Z, Z) - k @ self._M[:n, :n] @ k.mT

    def moments(self, Z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance, each (..., b), of the utilities at inputs (..., b, d)."""
        n = len(self.X)
        k = self.with_known(Z)
        variance = self._kernel[-1].exp() - ((k @ self._M[:n, :n]) * k).sum(-1)
        return k @ self._a[:n], variance.clamp_min(0.0)

    def mean_sd(self, Z: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the utilities, each of shape (b,), at inputs (b, d)."""
        with torch.no_grad():
            mean, variance = self.moments(torch.as_tensor(Z, device=self.X.device))
        return mean.cpu().numpy(), variance.sqrt().cpu().numpy()

    def mean_sd_grad(self, Z: Array) -> tuple[Array, Array, Array, Array]:
        """As `mean_sd`, and the gradients of both, shape (b, d), zero in columns of choices."""
        at = torch.as_tensor(Z, device=self.X.device).clone().requires_grad_()
        mean, variance = self.moments(at)
        sd = variance.clamp_min(_FLOOR).sqrt()
        (dmean,) = torch.autograd.grad(mean.sum(), at, retain_graph=True)
        (dsd,) = torch.autograd.grad(sd.sum(), at)
        mean, sd, dmean, dsd = (part.detach().cpu() for part in (mean, sd, dmean, dsd))
        return mean.numpy(), sd.numpy(), dmean.numpy(), dsd.numpy()

    @property
    def noise(self) -> float:
        """Variance of utility as one judgement sees it."""
        return 1.0

    def cross(self, Z: Array, A: Array) -> Array:
        """Posterior covariance S(Z, A), shape (b, k), of inputs (b, d) and (k, d)."""
        with torch.no_grad():
            P, Q = (torch.as_tensor(points, device=self.X.device) for points in (Z, A))
            return np.asarray(self._cross(P, Q).cpu().numpy())

    def cross_grad(self, Z: Array, A: Array) -> Array:
        """dS(z_i, a_j)/dz_i, shape (b, k, d)."""
        P = torch.as_tensor(Z, device=self.X.device).clone().requires_grad_()
        S = self._cross(P, torch.as_tensor(A, device=self.X.device)).sum(0)  # a row of Z moves its own row alone
        rows = [torch.autograd.grad(one, P, retain_graph=True)[0] for one in S]
        return np.stack([row.cpu().numpy() for row in rows], axis=1) if rows else np.empty((len(Z), 0, Z.shape[1]))

    def _cross(self, Z: Tensor, A: Tensor) -> Tensor:
        n = len(self.X)
        known: Tensor = self.with_known(Z) @ self._M[:n, :n] @ self.with_known(A).mT
        return self.covariance(Z, A) - known

    @property
    def kernel(self) -> Kernel:
        """The covariance before data, in numpy."""
        c, many = len(self.columns.choices), self.columns.lengths
        values = self._kernel.exp().cpu().numpy()
        weights = 1.0 / (max(c, 1) * values[many : many + c])
        ordered, blocks = self.columns.ordered, self.columns.blocks
        return Kernel("rbf", ordered, self.columns.choices, values[:many], weights, float(values[-1]), blocks)

    def win_probability(self, Z: Array, A: Array) -> Array:
        """Probability that inputs Z (b, d) are judged better than A (b, d), shape (b,), by a rater of precision 1.

        Ties aside. Exact for probit; for luce by Gauss-Hermite quadrature.
        """
        with torch.no_grad():
            pairs = torch.stack([torch.as_tensor(P, device=self.X.device) for P in (Z, A)], dim=1)
            mean, S = self.joint(pairs)  # (b, 2), (b, 2, 2)
            m, s2 = mean[:, 0] - mean[:, 1], S[:, 0, 0] + S[:, 1, 1] - 2.0 * S[:, 0, 1]
            return np.asarray(win(m, s2.clamp_min(0.0), self.family).cpu().numpy())

    def acceptable(self, Z: Array) -> Array | None:
        """Probability that inputs (b, d) are better than what would just be acceptable, shape (b,).

        None while nobody has said that something was not.
        """
        if not self._evidence.likelihood.outside:
            return None
        with torch.no_grad():
            k = self.covariance(torch.as_tensor(Z, device=self.X.device), self.X)
            last = self._kernel[-1].exp()
            both = torch.cat([k, -last.expand(len(k), 1)], dim=1)  # prior covariance of f(z) - u with all items
            mean = both @ self._a
            variance = 2.0 * last - ((both @ self._M) * both).sum(-1)
            return np.asarray(torch.special.ndtr(mean / variance.clamp_min(1e-12).sqrt()).cpu().numpy())

    def correction(self, prior: Array, rng: np.random.Generator) -> Array:
        """Weights w (n,) that make a prior draw one of the posterior: f(z) = prior(z) + k(z, X) w.

        Matheron's rule for pseudo-measurements f^ + W^-1 a with noise W^-1, in a form that needs no inverse of W:
        w = a - M prior(X) - (I + W K)^-1 e, e ~ N(0, W) (Wilson et al. 2020, eq. 11).

        Args:
            prior: The prior draw at the items, shape (n,).
            rng: Source of randomness.
        """
        n = len(self.X)
        W = 0.5 * (self._at.W + self._at.W.mT)
        values, vectors = torch.linalg.eigh(W)
        normals = torch.as_tensor(rng.standard_normal(len(W)), device=W.device)
        e = vectors @ (values.clamp_min(0.0).sqrt() * normals)
        own = torch.as_tensor(prior, device=W.device)
        if len(W) > n:  # what would just be acceptable has a prior draw of its own
            last = torch.as_tensor(rng.standard_normal(1), device=W.device) * math.sqrt(self.scale)
            own = torch.cat([own, last])
        eye = torch.eye(len(W), dtype=W.dtype, device=W.device)
        noise = torch.linalg.solve(eye + self._at.W @ self._K, e)
        return np.asarray((self._a - self._M @ own - noise)[:n].cpu().numpy())

    def favourite(self, Z: Array, seed: int = 0) -> Array:
        """Probability that each of the inputs (b, d) has the largest utility of them, shape (b,), from 4,096 draws."""
        with torch.no_grad():
            mean, S = self.joint(torch.as_tensor(Z, device=self.X.device))
            draws = mean + normal_draws(len(Z), _DRAWS, seed).to(S) @ root(S).mT
        return np.bincount(draws.argmax(-1).cpu().numpy(), minlength=len(Z)) / _DRAWS


def columns_of(columns: Columns) -> int:
    """Number of lengthscales and choices of a kernel."""
    return columns.lengths + len(columns.choices)


def fit(
    X: Array,
    answers: Sequence[Answer],
    columns: Columns | None = None,
    *,
    family: Family = "luce",
    raters: Sequence[str] | None = None,
    warm: Theta | None = None,
    search: bool = True,
    deadline: float | None = None,
    device: torch.device | str = "cpu",
) -> PreferenceModel:
    """Learn utility from answers.

    Args:
        X: Inputs of the items, shape (n, d); equal rows are one item.
        answers: What was said, by row of X.
        columns: How the inputs enter; every column with a lengthscale unless given.
        family: "luce" (Plackett-Luce; logit for pairs) or "probit".
        raters: Names by number.
        warm: Hyperparameters to begin with.
        search: Look for hyperparameters; without it those of `warm`, or the prior's.
        deadline: `time.monotonic()` at which that search stops.
        device: Where to compute.
    """
    distinct, place = np.unique(np.asarray(X, dtype=np.float64), axis=0, return_inverse=True)
    merged = [merged_answer(answer, place.ravel()) for answer in answers]
    columns = Columns(tuple(range(distinct.shape[1]))) if columns is None else columns
    evidence = Evidence(distinct, merged, columns, family, raters, device)
    vector, late = evidence.vector(warm), False
    if search and merged:
        vector, late = evidence.largest(vector, _SEARCH if warm is None else _WARM, deadline)
    return PreferenceModel(evidence, vector, late)


def merged_answer(answer: Answer, place: NDArray[np.int64]) -> Answer:
    """An answer about rows as one about the items that they are; equal rows stand in the first of their groups."""
    if answer.kind == "partial":
        groups: Groups = tuple((int(place[a]), int(place[b])) for a, b in answer.groups if place[a] != place[b])
        kind = "partial" if groups else "cannot_tell"
    else:
        seen: set[int] = set()
        kept = []
        for group in answer.groups:
            items = [item for item in dict.fromkeys(int(place[i]) for i in group) if item not in seen]
            seen.update(items)
            kept.append(tuple(items))
        groups, kind = tuple(group for group in kept if group), answer.kind
    shown = tuple(dict.fromkeys(int(place[i]) for i in answer.shown))
    return Answer(kind, groups, shown, answer.rater, answer.confidence)


def win(mean: Tensor, variance: Tensor, family: Family) -> Tensor:
    """Probability that a normal difference of utilities (...) wins a comparison, shape (...)."""
    if family == "probit":
        sure: Tensor = torch.special.ndtr(mean / torch.sqrt(2.0 + variance))
        return sure
    nodes, weights = hermite(mean)
    z = mean[..., None] + variance.clamp_min(_FLOOR).sqrt()[..., None] * nodes
    averaged: Tensor = torch.sigmoid(z) @ weights
    return averaged


def hermite(like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights (32,) of expectations over a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    return like.new_tensor(nodes), like.new_tensor(weights / weights.sum())


def normal_draws(q: int, n: int, seed: int) -> Tensor:
    """Scrambled Sobol points as standard normals, shape (n, q); the same for the same seed."""
    u = torch.quasirandom.SobolEngine(q, scramble=True, seed=seed).draw(n, dtype=torch.float64)
    normals: Tensor = torch.special.ndtri(u.clamp(1e-12, 1.0 - 1e-12))
    return normals


def root(S: Tensor) -> Tensor:
    """R with R R' = S for covariances (..., q, q), differentiable where S is positive definite."""
    eye = torch.eye(S.shape[-1], dtype=S.dtype, device=S.device)
    size = S.diagonal(dim1=-2, dim2=-1).amax(-1).clamp_min(_FLOOR)[..., None, None]
    for jitter in (1e-10, 1e-8, 1e-6, 1e-4):
        factor, info = torch.linalg.cholesky_ex(S + jitter * size * eye)
        if not info.any():
            found: Tensor = factor
            return found
    raise np.linalg.LinAlgError(f"a covariance of {S.shape[-1]} utilities is not positive definite")
