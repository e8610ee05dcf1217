"""Ways down that ranking is compared with, on losses whose evaluations are counted: for ranking.py."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from workbench.rankings import edge_weights, edges
from workbench.samplers.zeroth_order.descent import Settings, Shell, State
from workbench.samplers.zeroth_order.estimator import direction, value_weights

Array = NDArray[np.float64]
Loss = Callable[[Array], Array]
CHECKPOINTS = (2_000, 5_000, 10_000, 20_000)  # evaluations after which the least value is noted


def quadratic(X: Array) -> Array:
    """|x|^2."""
    return np.asarray((X * X).sum(axis=1))


def rosenbrock(X: Array) -> Array:
    """Sum of 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    return np.asarray((100.0 * (X[:, 1:] - X[:, :-1] ** 2) ** 2 + (1.0 - X[:, :-1]) ** 2).sum(axis=1))


class Counter:
    """A loss that counts its evaluations and remembers the least value after some of them."""

    def __init__(self, loss: Loss) -> None:
        self._loss, self.used, self.best, self.seen = loss, 0, math.inf, dict[int, float]()

    def __call__(self, X: Array) -> Array:
        values = self._loss(X)
        self.used += len(X)
        self.best = min(self.best, float(values.min()))
        for mark in CHECKPOINTS:
            if self.used >= mark and mark not in self.seen:
                self.seen[mark] = self.best
        return values


def rank_sgd(
    loss: Counter, x: Array, rng: np.random.Generator, *, m: int, k: int, settings: Settings, searches: int,
    noise: float = 0.0, path: list[float] | None = None, rounds: int | None = None,
) -> None:  # fmt: skip
    """ZO-RankSGD: a judge who swaps neighbours, and takes the runner-up in a search, with probability `noise`.

    It ends after the last checkpoint, or after so many rounds; `path` gets |x| after each.
    """
    shell, state, done = Shell(), State(x, settings.radius), 0
    while loss.used < CHECKPOINTS[-1] if rounds is None else done < rounds:
        done += 1
        points = state.perturbed(rng.standard_normal((m, len(x))), shell)
        order = np.argsort(loss(points), kind="stable")
        for i in np.flatnonzero(rng.random(m - 1) < noise):
            order[[i, i + 1]] = order[[i + 1, i]]
        omega = edge_weights(edges("best", tuple((int(i),) for i in order[:k]), range(m)), range(m))
        state = state.estimated(points, omega, settings)
        assert state.probe is not None
        tried = np.concatenate([state.x[None], state.probe[None], state.steps(searches, settings, shell)])
        known = loss._loss(tried[:2])  # both were looked at before
        ranks = np.argsort(np.concatenate([known, loss(tried[2:])]), kind="stable")
        best = int(ranks[1] if rng.random() < noise else ranks[0])
        state = state.stayed() if best == 0 else state.moved(tried[best])
        if path is not None:
            path.append(float(np.linalg.norm(state.x)))


def zo_sgd(loss: Counter, x: Array, rng: np.random.Generator, *, m: int, mu: float, rate: float) -> None:
    """Descent along value-weighted perturbations, with a constant rate."""
    while loss.used < CHECKPOINTS[-1]:
        Xi = rng.standard_normal((m, len(x)))
        x = x + rate * direction(value_weights(loss(x + mu * Xi), mu), Xi)
        loss(x[None])


def scobo(loss: Counter, x: Array, rng: np.random.Generator, *, m: int, mu: float, rate: float) -> None:
    """Comparisons with x alone, averaged signs, halving line search by comparisons.

    Source: Cai et al. 2022, A One-bit, Comparison-Based Gradient Estimator; without sparsity, which these lack.
    """
    while loss.used < CHECKPOINTS[-1]:
        Z = rng.standard_normal((m, len(x)))
        here = float(loss._loss(x[None])[0])
        g = (np.sign(here - loss(x + mu * Z)) @ Z) / m
        g /= max(float(np.linalg.norm(g)), 1e-300)
        step = rate
        while step > 1e-6 * rate and loss.used < CHECKPOINTS[-1]:
            if loss((x + step * g)[None])[0] < here:
                x = x + step * g
                break
            step *= 0.5


def gld_fast(loss: Counter, x: Array, rng: np.random.Generator, *, radius: float, condition: float) -> None:
    """Gradientless descent with a shrinking set of radii (Golovin et al. 2020, Gradientless Descent, algorithm 2)."""
    K = max(1, round(math.log2(4.0 * math.sqrt(condition))))
    every = max(1, round(len(x) * condition * math.log2(max(2.0, condition))))
    here, t = float(loss(x[None])[0]), 0
    while loss.used < CHECKPOINTS[-1]:
        t += 1
        if t % every == 0:
            radius /= 2.0
        scales = radius * 2.0 ** -np.arange(-K, K + 1.0)
        V = rng.standard_normal((len(scales), len(x))) * (scales / math.sqrt(len(x)))[:, None]
        values = loss(x + V)
        best = int(np.argmin(values))
        if values[best] < here:
            x, here = x + V[best], float(values[best])


def cma(loss: Counter, x: Array, rng: np.random.Generator, *, sigma: float, popsize: int) -> None:
    """CMA-ES, which uses the order of its offspring alone."""
    from cma import CMAEvolutionStrategy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = CMAEvolutionStrategy(
            x, sigma, {"popsize": popsize, "seed": int(rng.integers(1, 2**31)), "verbose": -9, "maxiter": 10**9}
        )
        while loss.used < CHECKPOINTS[-1]:
            offspring = es.ask()
            es.tell(offspring, loss(np.array(offspring)).tolist())
