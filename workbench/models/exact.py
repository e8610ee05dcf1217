"""An exact Gaussian process in closed form: evidence with its gradient, and posterior moments.

No automatic differentiation: one Cholesky factor per evaluation, the gradient of the log evidence as
1/2 tr[(a a^T - C^-1) dC/dtheta], everything else two products. Values are standardised and larger is better.

Priors on the hyperparameters theta: lengthscales l ~ LogNormal(sqrt 2 + log(d) / 2, sqrt 3) of d ordered columns
and blocks (Hvarfner et al. 2024, Vanilla Bayesian Optimization Performs Great in High Dimensions), weights of choices
1 / (c v) ~ LogNormal(0, 1) over c columns, variance ~ LogNormal(0, 1), inferred noise ~ LogNormal(-4, 1), or as likely
LogNormal(-1, 1) where nothing is said about it; log a and log b of bent axes (`warping`) ~ Normal(0, 0.75).
The constant mean is the generalised least-squares one at every theta, so its own slope is zero. Where the evidence
gains by it the mean is a plane, with slopes ~ Normal(0, 1) in standardised values over the width of a column.

Symbols: n points, d columns, b queries, C = K + diag(noise) = L L^T, a = C^-1 (y - m),
theta = (log l, log 1 / (c v), log scale[, log a, log b][, log noise]).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs, dtrtrs
from scipy.spatial.distance import squareform

from workbench.models.kernels import Anchors, Kernel, Kind, Pairs, correlation
from workbench.models.warping import Warp

if TYPE_CHECKING:
    from workbench.models.device import Triangle

Array = NDArray[np.float64]

NOISELESS = 1e-8  # variance of a noise-free standardised value; keeps the Cholesky factor stable
_NOISE = (1e-6, 1.0)  # range of an inferred noise variance
_FAINT, _LOUD = -4.0, -1.0  # prior means of its logarithm, sd 1
_LENGTH = (0.01, 100.0)
_CHOICE = (0.05, 100.0)
_SCALE = (0.05, 20.0)
_SHAPE = (0.1, 10.0)  # of a and b
_BENDING = 0.75  # prior sd of their logarithms
_FLAT = 1e-12  # a standard deviation below it has no usable slope
JITTERS = (0.0, 1e-10, 1e-8, 1e-6, 1e-4)  # of the mean diagonal, tried in turn
TREND = 1.0  # variance of the slopes of a plane
_WORTHWHILE = 500  # points, whose factor takes LAPACK some 2 ms


@dataclass(frozen=True)
class Data:
    """What one process learns from: inputs (n, d), standardised values (n,), and its noise.

    Args:
        X: Model inputs.
        y: Values.
        noise: Known variances, shape (n,), on top of the inferred one if there is one.
        infer: Is there a noise of unknown size?
        loud: May that noise be as large as what is to be learnt? Else it is what a process makes of roughness.
        ordered, choices: Columns of numbers and of choices.
        blocks: Columns that share a lengthscale.
        bent: Columns of numbers whose axes are bent, in the unit interval.
        device: In torch, on which matrices of many points are kept (`device`); None for LAPACK.
    """

    X: Array
    y: Array
    noise: Array
    infer: bool
    ordered: tuple[int, ...]
    choices: tuple[int, ...]
    blocks: tuple[slice, ...] = ()
    bent: tuple[int, ...] = ()
    device: str | None = None
    loud: bool = False

    @property
    def elsewhere(self) -> bool:
        """Are there enough points for the matrices to be worth their way to the device?"""
        return self.device is not None and len(self.y) >= _WORTHWHILE

    @property
    def lengths(self) -> int:
        """Number of lengthscales."""
        return len(self.ordered) + len(self.blocks)

    @property
    def size(self) -> int:
        """Number of hyperparameters."""
        return self.lengths + len(self.choices) + 1 + 2 * len(self.bent) + self.infer

    @property
    def shapes(self) -> slice:
        """Where log a and log b stand in theta."""
        first = self.lengths + len(self.choices) + 1
        return slice(first, first + 2 * len(self.bent))

    def warp(self, theta: Array) -> Warp | None:
        """How axes are bent; None where they are not."""
        if not self.bent:
            return None
        return Warp(self.bent, *np.exp(theta[self.shapes]).reshape(2, len(self.bent)))

    def at(self, rows: NDArray[np.int64]) -> Data:
        """Some of the points."""
        return replace(self, X=self.X[rows], y=self.y[rows], noise=self.noise[rows])

    @cached_property
    def pairs(self) -> Pairs:
        """Distances of all pairs, computed once."""
        return Pairs.of(self.X, self.ordered, self.choices, self.blocks)


@dataclass(frozen=True)
class Settings:
    """Kernel kind, hyperparameters theta as a vector, shape (t,), and whether the mean is a plane or a constant."""

    kind: Kind
    theta: Array
    trend: bool = False

    def to_json(self) -> dict[str, object]:
        """JSON types, exact."""
        return {"kind": self.kind, "theta": self.theta.tolist(), "trend": self.trend}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """The inverse of `to_json`."""
        return cls(data["kind"], np.array(data["theta"]), data.get("trend", False))


class Prior:
    """Log density of theta, normal in every coordinate but that of a loud noise, and its gradient.

    The density is that of the quantities themselves, so the mode of a LogNormal(m, s) stands at exp(m - s^2); only that
    of a loud noise is of its logarithm, or small ones would be preferred for being small.

    Attributes:
        mean, sd, low, high: Of every coordinate, shape (t,).
        linear: 1 where the density is that of the quantity, 0 where it is that of its logarithm, shape (t,).
        loud: Is there such a noise?
    """

    def __init__(self, lengths: int, d_choices: int, infer: bool, bent: int = 0, *, loud: bool = False) -> None:
        reach = math.sqrt(2.0) + 0.5 * math.log(max(lengths, 1))
        parts = [
            (lengths, reach, math.sqrt(3.0), _LENGTH),
            (d_choices, 0.0, 1.0, _CHOICE),
            (1, 0.0, 1.0, _SCALE),
            (2 * bent, _BENDING**2, _BENDING, _SHAPE),  # whose mode is 1
            (int(infer), _FAINT, 1.0, _NOISE),
        ]
        rows = [(mean, sd, *np.log(edges)) for count, mean, sd, edges in parts for _ in range(count)]
        self.mean, self.sd, self.low, self.high = np.array(rows).T
        self._scale, self._lengths = lengths + d_choices, lengths
        self.loud, self.linear = loud and infer, np.ones(len(rows))
        if self.loud:
            self.linear[-1] = 0.0

    @classmethod
    def of(cls, data: Data) -> Prior:
        """The prior of the hyperparameters of some data."""
        return cls(data.lengths, len(data.choices), data.infer, len(data.bent), loud=data.loud)

    @property
    def mode(self) -> Array:
        """Where the search for theta begins without a better guess: the mode, and variance 1."""
        theta = self.mean - self.linear * self.sd**2
        theta[self._scale] = 0.0
        clipped: Array = np.clip(theta, self.low, self.high)
        return clipped

    @property
    def modes(self) -> list[Array]:
        """The same, and of a loud noise the other explanation: what varies slowly, and half of all is noise."""
        if not self.loud:
            return [self.mode]
        slow = self.mode
        slow[: self._lengths], slow[-1] = 0.0, math.log(0.5)
        return [self.mode, slow]

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Value without the constant, and gradient in theta."""
        z = (theta - self.mean) / self.sd
        value, slopes = float(-0.5 * z @ z - self.linear @ theta), -z / self.sd - self.linear
        if self.loud:
            far = theta[-1] - _LOUD
            faint, loud = -0.5 * z[-1] ** 2, -0.5 * far**2
            both = float(np.logaddexp(faint, loud))
            value += both - math.log(2.0) - faint
            slopes[-1] = -math.exp(faint - both) * z[-1] - math.exp(loud - both) * far
        return value, slopes


@dataclass(frozen=True)
class Factor:
    """The Cholesky factor of C and what follows from it.

    Args:
        kernel: The covariance.
        noise: Inferred noise variance, 0 where none is inferred.
        L: Lower factor, shape (n, n); on a device a `device.Triangle`.
        mean: The constant m.
        weights: a = C^-1 (y - m), shape (n,), or (n, s) for s versions of y.
        k, G: Covariances of all pairs, without a trend, and their slopes, shape (p,).
        warp: Bent axes.
    """

    kernel: Kernel
    noise: float
    L: Array | Triangle
    mean: float
    weights: Array
    k: Array
    G: Array
    warp: Warp | None = None


def split(data: Data, settings: Settings) -> tuple[Kernel, float]:
    """Kernel and inferred noise variance of hyperparameters."""
    d, c = data.lengths, len(data.choices)
    values = np.exp(settings.theta)
    weights = 1.0 / (max(c, 1) * values[d : d + c])
    scale = float(values[d + c])
    trend = TREND if settings.trend else 0.0
    kernel = Kernel(settings.kind, data.ordered, data.choices, values[:d], weights, scale, data.blocks, trend)
    return kernel, float(values[-1]) if data.infer else 0.0


def factorise(data: Data, settings: Settings, pairs: Pairs | None = None) -> Factor:
    """The factor of C at some hyperparameters.

    Args:
        pairs: Of the warped points, if they are known.
    Raises:
        np.linalg.LinAlgError: if C is not positive definite even with jitter.
    """
    kernel, noise = split(data, settings)
    n = len(data.y)
    warp = data.warp(settings.theta)
    k, G = among(warped_pairs(data, warp) if pairs is None else pairs, kernel)
    C = squareform(k, checks=False) if n > 1 else np.zeros((n, n))
    C[np.diag_indices(n)] = kernel.scale + noise + data.noise
    if kernel.trend:
        H = kernel.tilted(data.X if warp is None else warp(data.X))
        C += kernel.trend * (H @ H.T)
    L = cholesky(C)
    both = solve(L, np.stack([data.y, np.ones(n)], axis=1))  # (n, 2)
    mean = float(both[:, 0].sum() / both[:, 1].sum()) if n else 0.0
    return Factor(kernel, noise, L, mean, both[:, 0] - mean * both[:, 1], k, G, warp)


def warped_pairs(data: Data, warp: Warp | None) -> Pairs:
    """Distances of all pairs of the points where a warp puts them."""
    return data.pairs if warp is None else Pairs.of(warp(data.X), data.ordered, data.choices, data.blocks)


def among(pairs: Pairs, kernel: Kernel) -> tuple[Array, Array]:
    """Covariances of all pairs and their slopes, as of `Kernel.between`, shape (p,)."""
    g, G = correlation(kernel.kind, (kernel.lengths**-2.0) @ pairs.squares)
    factor = kernel.scale * (np.exp(-(kernel.weights @ pairs.differ)) if kernel.choices else 1.0)
    return g * factor, G * factor


def cholesky(C: Array) -> Array:
    """Lower factor of a covariance matrix, with as little jitter as it takes.

    Raises:
        np.linalg.LinAlgError: if even the largest jitter is too little.
    """
    if len(C) == 0:
        return C
    size = float(np.mean(np.diag(C)))
    for jitter in JITTERS:
        L, info = dpotrf(C + jitter * size * np.eye(len(C)) if jitter else C, lower=1, clean=1)
        if info == 0:
            return np.asarray(L)
    raise np.linalg.LinAlgError(f"a covariance matrix of {len(C)} points is not positive definite")


def root(C: Array) -> Array:
    """R with R R^T = C, shape (n, n): the lower factor; of a C that rounding left indefinite, by its eigenvalues.

    Where the data leave nearly nothing open, a posterior covariance is a difference of equals, and its rounding error
    is as large as itself.
    """
    try:
        return cholesky(C)
    except np.linalg.LinAlgError:
        values, axes = np.linalg.eigh(C)
        return np.asarray(axes * np.sqrt(np.maximum(values, 0.0)))


def solve(L: Array | Triangle, B: Array) -> Array:
    """C^-1 B of shape (n, k), by LAPACK without the checks that would cost more than the solution of a small system."""
    if not isinstance(L, np.ndarray):
        return L.solve(B)
    return np.asarray(dpotrs(L, B, lower=1)[0]) if len(L) else B


def half_solve(L: Array | Triangle, B: Array, *, back: bool = False) -> Array:
    """L^-1 B, or L^-T B going back, shape (n, k)."""
    if not isinstance(L, np.ndarray):
        return L.half(B, back=back)
    return np.asarray(dtrtrs(L, B, lower=1, trans=int(back))[0]) if len(L) and B.shape[1] else B


def bordered(L: Array | Triangle, B: Array, corner: Array) -> Array | Triangle:
    """The factor of a matrix with q more rows, from B = L^-1 C(X, Z) (n, q) and the factor (q, q) of its corner."""
    if not isinstance(L, np.ndarray):
        return L.bordered(B, corner)
    n, q = B.shape
    longer = np.zeros((n + q, n + q), order="F")
    longer[:n, :n], longer[n:, :n], longer[n:, n:] = L, B.T, corner
    return longer


def diagonal_of_inverse(L: Array | Triangle) -> Array:
    """Of C^-1, shape (n,)."""
    return np.diag(dpotri(L, lower=1)[0]) if isinstance(L, np.ndarray) else L.diagonal_of_inverse()


def log_posterior(data: Data, settings: Settings, prior: Prior) -> tuple[float, Array]:
    """Log evidence plus log prior, and its gradient in theta, shape (t,)."""
    pairs = warped_pairs(data, data.warp(settings.theta))
    found = factorise(data, settings, pairs)
    kernel, n, a = found.kernel, len(data.y), found.weights
    assert isinstance(found.L, np.ndarray)
    value = -0.5 * float((data.y - found.mean) @ a) - float(np.log(np.diag(found.L)).sum())
    value -= 0.5 * n * math.log(2.0 * math.pi)
    inverse, _ = dpotri(found.L, lower=1)  # its upper triangle is not written, and that of its transpose is
    W = squareform(np.outer(a, a), checks=False) - squareform(inverse.T, checks=False)
    # (p,); a pair is two entries, which cancels the 1/2
    trace = float(a @ a - np.trace(inverse))
    slopes = along(pairs, kernel, found.k, found.G, W, 0.5 * trace)
    if found.warp is not None:
        slopes = np.append(slopes, along_warp(data, found.warp, kernel, W * found.G))
    if data.infer:
        slopes = np.append(slopes, 0.5 * found.noise * trace)
    log_prior, prior_slope = prior(settings.theta)
    return value + log_prior, slopes + prior_slope


def along_warp(data: Data, warp: Warp, kernel: Kernel, S: Array) -> Array:
    """sum_ij M_ij dK_ij / d(log a, log b) for 2 M times the slopes G at the pairs, S (p,), shape (2 k,).

    Of a column, dK_ij = -G_ij w (v_i - v_j) (dv_i - dv_j) for warped values v.
    """
    square = squareform(S, checks=False)
    V = warp(data.X)[:, warp.columns]
    pulled = square.sum(axis=1)[:, None] * V - square @ V  # (n, k)
    places = [data.ordered.index(column) for column in warp.columns]
    return np.concatenate([-(kernel.lengths[places] ** -2.0) * (pulled * D).sum(axis=0) for D in warp.slopes(data.X)])


def along(pairs: Pairs, kernel: Kernel, k: Array, G: Array, W: Array, diagonal: float) -> Array:
    """sum_ij M_ij dK_ij / d(log l, log c, log scale) for a symmetric M.

    Args:
        pairs: Of the points.
        kernel: With these hyperparameters.
        k, G: Covariances of the pairs and their slopes, shape (p,).
        W: 2 M at the pairs, shape (p,).
        diagonal: Sum of the diagonal of M.
    """
    Wk = W * k
    return np.concatenate(
        [
            (pairs.squares @ (W * G)) * kernel.lengths**-2.0,
            kernel.weights * (pairs.differ @ Wk),
            [Wk.sum() + kernel.scale * diagonal],
        ]
    )


class ExactPosterior:
    """The process given its data: moments and covariances of the noise-free function, in closed form.

    Args:
        data: What was learnt from; `y` may be out of date after `condition`.
        factor: At the hyperparameters.
    """

    def __init__(self, data: Data, factor: Factor) -> None:
        self._X, self._factor, self._known = data.X, factor, data.noise
        self._infer = data.infer
        self._anchors = Anchors(factor.kernel, self.placed(data.X))

    @classmethod
    def of(cls, data: Data, settings: Settings) -> ExactPosterior:
        """The posterior at some hyperparameters."""
        return cls(data, factorise(data, settings))

    @property
    def noise(self) -> float:
        """Variance of one further measurement: the inferred one, else the mean of the known ones."""
        if self._infer:
            return self._factor.noise
        return float(self._known.mean()) if len(self._known) else NOISELESS

    @property
    def versions(self) -> int:
        """Number of versions of what came out, see `condition`."""
        return 1 if self._factor.weights.ndim == 1 else self._factor.weights.shape[1]

    @property
    def X(self) -> Array:
        """Inputs of the measurements, shape (n, d)."""
        return self._X

    @property
    def kernel(self) -> Kernel:
        """Covariance before data."""
        return self._factor.kernel

    @property
    def mean(self) -> float:
        """Constant mean before data."""
        return self._factor.mean

    @property
    def variances(self) -> Array:
        """Noise variances of the measurements, shape (n,)."""
        return self._known + self._factor.noise

    @property
    def anchors(self) -> Anchors:
        """The covariance with the measurements, as a function of placed inputs."""
        return self._anchors

    def placed(self, Z: Array) -> Array:
        """Where distances are taken: model inputs (b, d) after the bending of axes."""
        return Z if self._factor.warp is None else self._factor.warp(Z)

    def pulled_back(self, Z: Array, dV: Array) -> Array:
        """Gradient with respect to model inputs Z (b, d), from that with respect to placed ones, (b, ..., d)."""
        return dV if self._factor.warp is None else self._factor.warp.pull_back(Z, dV)

    def corrected(self, values: Array) -> Array:
        """C^-1 (y - m - values), shape (n,), for values (n,) at the measurements."""
        return self._factor.weights - solve(self._factor.L, values[:, None])[:, 0]

    def left_out(self) -> tuple[Array, Array]:
        """Each measurement less its mean given all others, and the standard deviation of that, noise included: (n,).

        a_i / P_ii and 1 / [C^-1]_ii with P = C^-1 - C^-1 1 1^T C^-1 / (1^T C^-1 1): hyperparameters held, the constant
        mean estimated anew without the measurement.
        Source: Rasmussen and Williams 2006, eq. 5.12; Dubrule 1983, Cross validation of kriging in a unique
        neighborhood, for P.
        """
        diagonal = diagonal_of_inverse(self._factor.L)
        ones = solve(self._factor.L, np.ones((len(self._X), 1)))[:, 0]
        P = np.maximum(diagonal - ones**2 / ones.sum(), 1e-300)
        return self._factor.weights / P, 1.0 / np.sqrt(diagonal)

    def mean_sd(self, Z: Array) -> tuple[Array, Array]:
        """Mean (b,), or (b, s) of a posterior of s versions, and standard deviation (b,) at Z (b, d)."""
        f = self._factor
        P = self.placed(Z)
        k, _ = self._anchors.between(P)  # (b, n)
        V = half_solve(f.L, k.T)
        variance = f.kernel.variances(P) - np.einsum("ij,ij->j", V, V)
        return f.mean + k @ f.weights, np.sqrt(np.maximum(variance, 0.0))

    def mean_sd_grad(self, Z: Array) -> tuple[Array, Array, Array, Array]:
        """Mean (b,), standard deviation (b,), and their gradients (b, d)."""
        f = self._factor
        P = self.placed(Z)
        k, G, sd, dsd = self._spread(P)
        dmu = self._anchors.pull(f.weights, G, P)
        return f.mean + k @ f.weights, sd, self.pulled_back(Z, dmu), self.pulled_back(Z, dsd)

    def versions_grad(self, Z: Array) -> tuple[Array, Array, Callable[[Array], Array], Array]:
        """As `mean_sd_grad` for a posterior of s versions.

        Returns:
            Means (b, s), standard deviation (b,), a function that takes weights c (b, s) to the gradients
            sum_s c_s dmu_s of shape (b, d), and the gradient of the standard deviation (b, d).
        """
        f = self._factor
        P = self.placed(Z)
        k, G, sd, dsd = self._spread(P)

        def along(c: Array) -> Array:
            return self.pulled_back(Z, self._anchors.pull(c @ f.weights.T, G, P))

        return f.mean + k @ f.weights, sd, along, self.pulled_back(Z, dsd)

    def version(self, i: int) -> ExactPosterior:
        """One of the versions."""
        other = copy(self)
        other._factor = replace(self._factor, weights=np.ascontiguousarray(self._factor.weights[:, i]))
        return other

    def _spread(self, P: Array) -> tuple[Array, Array, Array, Array]:
        """Covariances with the data and their slopes, (b, n) each, sd (b,) and its gradient (b, d), at placed P."""
        f = self._factor
        k, G = self._anchors.between(P)
        V = half_solve(f.L, k.T)
        sd = np.sqrt(np.maximum(f.kernel.variances(P) - np.einsum("ij,ij->j", V, V), 0.0))
        U = half_solve(f.L, V, back=True).T  # C^-1 k, (b, n)
        slope = sd > _FLAT
        factors = np.where(slope, -1.0 / np.where(slope, sd, 1.0), 0.0)  # of dvar / (2 sd)
        dsd = self._anchors.pull(U * factors[:, None], G, P)
        if f.kernel.trend:
            dsd[:, f.kernel.own] -= (f.kernel.trend * factors)[:, None] * f.kernel.tilted(P)
        return k, G, sd, dsd

    def cross(self, Z: Array, A: Array) -> Array:
        """Posterior covariance S(Z, A), shape (b, k)."""
        f, (P, Q) = self._factor, (self.placed(Z), self.placed(A))
        VZ, VA = (half_solve(f.L, self._anchors.between(points)[0].T) for points in (P, Q))
        return f.kernel.between(P, Q)[0] - VZ.T @ VA

    def cross_grad(self, Z: Array, A: Array) -> Array:
        """dS(z_i, a_j)/dz_i, shape (b, k, d); 0 in all but ordered columns."""
        f, (P, Q) = self._factor, (self.placed(Z), self.placed(A))
        columns, w = list(f.kernel.ordered), f.kernel.lengths**-2.0
        G_A, G_X = f.kernel.between(P, Q)[1], self._anchors.between(P)[1]
        U = solve(f.L, self._anchors.between(Q)[0].T)  # C^-1 k(X, A), (n, k)
        out = np.zeros((len(Z), len(A), Z.shape[1]))
        gain = G_X @ U  # (b, k)
        for j, column in enumerate(columns):
            z, x = P[:, column, None], self._anchors.X[:, column]
            direct = -G_A * (z - Q[None, :, column])
            out[:, :, column] = w[j] * (direct + gain * z - (G_X * x) @ U)
        if f.kernel.trend:  # the same for all z
            out[:, :, columns] += f.kernel.trend * (f.kernel.tilted(Q) - U.T @ f.kernel.tilted(self._anchors.X))
        return self.pulled_back(Z, out)

    def sample(self, Z: Array, normals: Array) -> Array:
        """Joint draws of the function at Z (q, d) from standard normals (s, q), shape (s, q)."""
        mu, _ = self.mean_sd(Z)
        return np.asarray(mu + normals @ root(self.cross(Z, Z)).T)

    def condition(self, Z: Array, Y: Array, noise: float) -> ExactPosterior:
        """The posterior with further measurements, by bordering the factor; hyperparameters and mean stay.

        Args:
            Z: Inputs, shape (q, d).
            Y: Values, shape (s, q): s versions of what came out.
            noise: Their noise variance.
        """
        f, q = self._factor, len(Z)
        P = self.placed(Z)
        B = half_solve(f.L, self._anchors.between(P)[0].T)  # (n, q)
        corner = f.kernel.between(P, P)[0] + noise * np.eye(q) - B.T @ B
        L = bordered(f.L, B, cholesky(corner))
        old = f.L @ (f.L.T @ f.weights) if isinstance(f.L, np.ndarray) else f.L.times(f.weights)  # y - m, (n,)
        residuals = np.concatenate([np.repeat(old[:, None], len(Y), axis=1), Y.T - f.mean])  # (n + q, s)
        new = copy(self)
        new._X = np.concatenate([self._X, Z])
        new._known = np.concatenate([self._known, np.full(q, noise)])
        new._factor = replace(f, L=L, weights=solve(L, residuals))
        new._anchors = Anchors(f.kernel, np.concatenate([self._anchors.X, P]))
        return new
