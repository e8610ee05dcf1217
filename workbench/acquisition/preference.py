"""What to show next: acquisition functions for questions, and for designs whose outcomes people judge.

All of them are functions of the joint normal posterior of the utilities of a candidate x and of points that are
chosen already, and get their gradients by differentiating it, so that a question is put together point by point.

    expected_best    E max(f_x, f_A): the expected utility of the best option (EUBO; Lin et al. 2022, Preference
                     Exploration for Efficient Bayesian Optimization with Multiple Outcomes, and Astudillo et al. 2023,
                     qEUBO). Closed for one A; else exact in f_x, quasi-random in f_A.
    information      What the answer "x or a" tells about the utilities, in nats (Houlsby et al. 2011, Bayesian Active
                     Learning for Classification and Preference Learning), by Gauss-Hermite quadrature.
    knowledge        The gain in the largest posterior mean by the answer "x or a": knowledge gradient on a fantasised
                     comparison. With d = f_x - f_a, P = E l(d) the probability that x wins and r = E l'(d), Stein's
                     lemma gives E[f(z) | x wins] = mu(z) + cov(f(z), d) r / P: no refit, no sampling. So
                     KG = max_z [P mu + c r] + max_z [(1 - P) mu - c r] - max_z mu over a finite set with x and a in it.

Symbols: b candidates Z, k chosen points A, d inputs, s draws; mu, S joint moments; l the link, Phi(./sqrt 2) or the
logistic function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.acquisition.thompson import Draw, draw_of_prior
from workbench.models.judgements import Family
from workbench.models.kernels import Anchors
from workbench.models.preference import PreferenceModel, hermite, normal_draws, root, win

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workbench.models.gp import GaussianProcesses
    from workbench.models.taste import Taste

    Array = NDArray[np.float64]

_DRAWS = 128
_OUTCOMES = 32  # draws of outcomes
_TINY = 1e-20
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


def expected_best_of_two(mean: Tensor, S: Tensor) -> Tensor:
    """E max(f_1, f_2) = mu_2 + t [phi(u) + u Phi(u)], u = (mu_1 - mu_2) / t, t^2 = var(f_1 - f_2).

    Args:
        mean: Shape (..., 2).
        S: Covariance, shape (..., 2, 2).
    Returns:
        Shape (...); the larger mean where the difference is certain.
    """
    gap = mean[..., 0] - mean[..., 1]
    t = (S[..., 0, 0] + S[..., 1, 1] - 2.0 * S[..., 0, 1]).clamp_min(_TINY).sqrt()
    return mean[..., 1] + _gain(gap, t)


def expected_best(mean: Tensor, S: Tensor, draws: Tensor) -> Tensor:
    """E max of x and k chosen points, exact in x given draws of the others.

    Args:
        mean: Of x and then the others, shape (..., 1 + k).
        S: Covariance, shape (..., 1 + k, 1 + k).
        draws: Standard normals, shape (s, k).
    Returns:
        Shape (...).
    """
    if mean.shape[-1] == 1:
        return mean[..., 0]
    if mean.shape[-1] == 2:
        return expected_best_of_two(mean, S)
    L = root(S[..., 1:, 1:])  # (..., k, k)
    half = torch.linalg.solve_triangular(L, S[..., 1:, :1], upper=False)[..., 0]  # L^-1 S_Ax, (..., k)
    best = (mean[..., None, 1:] + draws @ L.mT).amax(-1)  # (..., s)
    moved = mean[..., :1] + (draws @ half[..., None])[..., 0]  # E[f_x | f_A], (..., s)
    sd = (S[..., 0, 0] - (half * half).sum(-1)).clamp_min(_TINY).sqrt()[..., None]
    return (best + _gain(moved - best, sd)).mean(-1)


def information(mean: Tensor, S: Tensor, family: Family) -> Tensor:
    """Mutual information between utilities and the answer of a duel, nats, shape (...); arguments for two points."""
    m = mean[..., 0] - mean[..., 1]
    s2 = (S[..., 0, 0] + S[..., 1, 1] - 2.0 * S[..., 0, 1]).clamp_min(_TINY)
    nodes, weights = hermite(mean)
    d = m[..., None] + s2.sqrt()[..., None] * nodes
    if family == "probit":
        yes, no = torch.special.log_ndtr(d * math.sqrt(0.5)), torch.special.log_ndtr(-d * math.sqrt(0.5))
    else:
        yes, no = torch.nn.functional.logsigmoid(d), torch.nn.functional.logsigmoid(-d)
    within = -(yes.exp() * yes + no.exp() * no) @ weights
    p = (yes.exp() @ weights).clamp(_TINY, 1.0 - 1e-15)
    gained: Tensor = -(p * p.log() + (1.0 - p) * torch.log1p(-p)) - within
    return gained


def knowledge(mean: Tensor, S: Tensor, family: Family) -> Tensor:
    """Knowledge gradient of a duel between the first two of a finite set.

    Args:
        mean: Of x, of a, and of the rest of the set, shape (..., 2 + k).
        S: Covariance, shape (..., 2 + k, 2 + k).
        family: Of the likelihood.
    Returns:
        Shape (...), at least 0.
    """
    m = mean[..., 0] - mean[..., 1]
    s2 = (S[..., 0, 0] + S[..., 1, 1] - 2.0 * S[..., 0, 1]).clamp_min(_TINY)
    along = S[..., 0, :] - S[..., 1, :]  # cov(f(z), d), (..., 2 + k)
    p = win(m, s2, family)
    if family == "probit":
        spread = torch.sqrt(2.0 + s2)
        r = torch.exp(-0.5 * (m / spread) ** 2 - _LOG_SQRT_2PI) / spread
    else:
        nodes, weights = hermite(mean)
        one = torch.sigmoid(m[..., None] + s2.sqrt()[..., None] * nodes)
        r = (one * (1.0 - one)) @ weights
    p, shift = p[..., None], along * r[..., None]
    gained = (p * mean + shift).amax(-1) + ((1.0 - p) * mean - shift).amax(-1)
    return (gained - mean.amax(-1)).clamp_min(0.0)


def _gain(gap: Tensor, sd: Tensor) -> Tensor:
    """E max(0, N(gap, sd^2))."""
    u = gap / sd
    gain: Tensor = sd * torch.exp(-0.5 * u * u - _LOG_SQRT_2PI) + gap * torch.special.ndtr(u)
    return gain


@dataclass(frozen=True)
class OfJoint:
    """An acquisition function of model inputs, made of a function of the joint posterior of x and fixed points.

    Args:
        model: Of utility.
        A: Fixed points, shape (k, d).
        worth: Of the mean (b, 1 + k) and the covariance (b, 1 + k, 1 + k), shape (b,).
    """

    model: PreferenceModel
    A: Array
    worth: Callable[[Tensor, Tensor], Tensor]

    def value(self, Z: Array) -> Array:
        """Values, shape (b,), at Z (b, d)."""
        with torch.no_grad():
            return self._at(torch.as_tensor(Z, device=self.model.X.device)).cpu().numpy()

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Values, shape (b,), and gradients, shape (b, d), zero in columns of choices."""
        at = torch.as_tensor(Z, device=self.model.X.device).clone().requires_grad_()
        values = self._at(at)
        (slopes,) = torch.autograd.grad(values.sum(), at)
        return values.detach().cpu().numpy(), slopes.cpu().numpy()

    @cached_property
    def _moments(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        X = self.model.X
        return self.model.beside(torch.as_tensor(self.A, device=X.device).reshape(-1, X.shape[1]))

    def _at(self, Z: Tensor) -> Tensor:
        return self.worth(*self._moments(Z))


def eubo(model: PreferenceModel, A: Array, seed: int = 0) -> OfJoint:
    """Expected utility of the best of x and k chosen points (k, d)."""
    draws = normal_draws(max(1, len(A)), _DRAWS, seed).to(model.X)
    return OfJoint(model, A, lambda mean, S: expected_best(mean, S, draws[:, : len(A)]))


def informative(model: PreferenceModel, A: Array) -> OfJoint:
    """Information in the duels of x with each of k chosen points (k, d), summed, nats."""

    def worth(mean: Tensor, S: Tensor) -> Tensor:
        parts = [
            information(mean[:, [0, j]], S[:, [0, j]][:, :, [0, j]], model.family) for j in range(1, mean.shape[1])
        ]
        return torch.stack(parts).sum(0)

    return OfJoint(model, A, worth)


def knowledge_gradient(model: PreferenceModel, a: Array, others: Array) -> OfJoint:
    """Knowledge gradient of the duel of x with a (d,); the largest mean is looked for among both and others (k, d)."""
    return OfJoint(model, np.vstack([a[None], others]), lambda mean, S: knowledge(mean, S, model.family))


def draw_utility(model: PreferenceModel, rng: np.random.Generator, levels: Sequence[int] = ()) -> Draw:
    """One utility function of the posterior, to be maximised in a Thompson duel.

    Args:
        model: Of utility.
        rng: Source of randomness.
        levels: Number of levels of each column of choices.
    """
    prior = draw_of_prior(_Prior(model), rng, levels)
    return replace(prior, correction=model.correction(prior.prior(prior.posterior.X), rng))


class _Prior:
    """A preference model as `thompson` wants it: without a mean, and without axes that are bent."""

    mean = 0.0

    def __init__(self, model: PreferenceModel) -> None:
        self.X: Array = model.X.cpu().numpy()
        self.kernel = model.kernel
        self.anchors = Anchors(self.kernel, self.X)

    def placed(self, Z: Array) -> Array:
        return Z

    def pulled_back(self, Z: Array, dV: Array) -> Array:
        return dV


class OutcomeEI:
    """Expected improvement of the utility of outcomes that are not measured yet (BOPE).

    EI = E_y E_u max(0, u(y(x)) - best): exact in the utility given the outcomes, quasi-random in these.
    Source: Lin et al. 2022, section 3.2; differs in that the utility is not a draw but its posterior.

    Args:
        taste: Utility over outcomes.
        gp: Processes of the outcomes.
        best: Largest posterior mean utility of a measured trial.
        seed: Of the draws.
    """

    def __init__(self, taste: Taste, gp: GaussianProcesses, best: float, seed: int = 0) -> None:
        self._taste, self._gp, self._best = taste, gp, best
        self._normals = normal_draws(len(gp.outputs), _OUTCOMES, seed).numpy()  # (s, m)

    def value(self, Z: Array) -> Array:
        """Log expected improvement, shape (b,), at model inputs (b, d)."""
        return self.value_and_grad(Z)[0]

    def value_and_grad(self, Z: Array) -> tuple[Array, Array]:
        """Log expected improvement, shape (b,), and its gradient, shape (b, d)."""
        parts = [output.posterior.mean_sd_grad(Z) for output in self._gp.outputs]
        z = np.stack(
            [mu[:, None] + sd[:, None] * e for (mu, sd, _, _), e in zip(parts, self._normals.T, strict=True)], -1
        )
        U, slopes = self._utilities(z)  # (b, s, m) both
        at = torch.tensor(self._taste.scaled(U), requires_grad=True)
        mean, variance = self._taste.model.moments(at)
        gains = _gain(mean - self._best, variance.clamp_min(_TINY).sqrt()).mean(-1)  # (b,)
        logs = gains.clamp_min(1e-300).log()
        (inner,) = torch.autograd.grad(logs.sum(), at)
        inner_z = inner.numpy() / self._taste.span * slopes  # (b, s, m)
        grad = np.zeros(Z.shape)
        for j, (_, _, dmu, dsd) in enumerate(parts):
            grad += inner_z[:, :, j].sum(1)[:, None] * dmu + (inner_z[:, :, j] @ self._normals[:, j])[:, None] * dsd
        return logs.detach().numpy(), grad

    def _utilities(self, z: Array) -> tuple[Array, Array]:
        """Utilities of standardised outcomes (b, s, m), and their slopes in them."""
        Y, slopes = np.empty(z.shape), np.empty(z.shape)
        for j, output in enumerate(self._gp.outputs):
            Y[..., j] = output.outcome.backward(z[..., j])
            flat = Y[..., j].ravel()
            slopes[..., j] = np.exp(-output.outcome.log_slopes(flat)).reshape(z.shape[:2])
        for j, goal in enumerate(self._taste.history.measured):
            if goal.target is not None:
                off = Y[..., j] - goal.target
                slopes[..., j] *= -np.sign(off) * (np.abs(off) > goal.tolerance)
        return self._taste.history.utility(Y), slopes
