"""What several objectives are believed to be: independent normals given each version of what is not known yet.

The noise-free values at measured points are uncertain under noise, and so is all of a trial in flight. Versions of
these values are drawn jointly, quasi-randomly, and the processes conditioned on each; given a version the outcomes of a
candidate are independent normals again, so that every acquisition function is a mean over versions of a closed form.
Integrating over the candidate in closed form is what lets 16 versions do where sampling it too takes a hundred.
Source: Daulton, Balandat, Bakshy 2021, Parallel Bayesian Optimization of Multiple Noisy Objectives with Expected
Hypervolume Improvement, eq. 4; differs in the closed form over the candidate.

Symbols: b candidates Z, m objectives, s versions, p known points (measured ones and those in flight), d columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from workbench.acquisition.marginals import Marginal
from workbench.models.exact import NOISELESS, ExactPosterior

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

VERSIONS = 16
_TAIL = 1e-12


@dataclass(frozen=True)
class Moments:
    """Of one objective at the candidates.

    Args:
        mu: Means, shape (v, b): one row if all versions are alike, else one for each.
        sd: Standard deviation, shape (b,), the same in every version.
        pull: Weights (v, b) to the gradient sum_v c_v dmu_v, shape (b, d).
        dsd: Gradient of the standard deviation, shape (b, d).
    """

    mu: Array
    sd: Array
    pull: Callable[[Array], Array]
    dsd: Array


@dataclass(frozen=True)
class Outcomes:
    """Independent objectives.

    Args:
        posteriors: One for each objective, of one version or of s.
        marginals: What each is worth.
        known: Worth of the known points in each version, shape (s, p, m); NaN for what does not count there, as a point
            in flight that a limit shuts out.
    """

    posteriors: tuple[ExactPosterior, ...]
    marginals: tuple[Marginal, ...]
    known: Array

    @property
    def versions(self) -> int:
        """s."""
        return len(self.known)

    def mean_sd(self, Z: Array) -> list[tuple[Array, Array]]:
        """Means (v, b) and standard deviation (b,) of each objective at Z (b, d)."""
        found = [posterior.mean_sd(Z) for posterior in self.posteriors]
        return [(mu.reshape(len(Z), -1).T, sd) for mu, sd in found]

    def moments(self, Z: Array) -> list[Moments]:
        """The same with what gradients are made of."""
        return [_moments(posterior, Z) for posterior in self.posteriors]


def _moments(posterior: ExactPosterior, Z: Array) -> Moments:
    if posterior.versions == 1:
        mu, sd, dmu, dsd = posterior.mean_sd_grad(Z)
        return Moments(mu.reshape(1, -1), sd, lambda c: c[0][:, None] * dmu, dsd)
    means, sd, pull, dsd = posterior.versions_grad(Z)
    return Moments(means.T, sd, lambda c: pull(c.T), dsd)


@dataclass(frozen=True)
class Source:
    """What is known of one objective.

    Args:
        posterior: Given the record.
        marginal: What its values are worth.
        measured: Worth of the p_b measured points, shape (p_b,), where they are exact; None under noise.
    """

    posterior: ExactPosterior
    marginal: Marginal
    measured: Array | None

    def at(self, rows: Rows) -> Source:
        """The same of some of the measured points."""
        return replace(self, measured=None if self.measured is None else self.measured[rows])


def outcomes(
    sources: Sequence[Source],
    base: Array,
    flying: Array,
    feasible: Callable[[Array], Array] | None,
    rng: np.random.Generator,
    versions: int = VERSIONS,
    settled: Array | None = None,
    here: Array | None = None,
) -> Outcomes:
    """The objectives in versions of what is not known: one version where everything is.

    Args:
        sources: One for each objective.
        base: Model inputs of the measured points, shape (p_b, d).
        flying: Model inputs of the points in flight, shape (p_f, d).
        feasible: Probability (p_f,) that points hold every limit; None without limits.
        rng: Source of the versions.
        versions: How many, a power of two.
        here: Model inputs of the designs in flight where their outcomes are of interest, shape (p_f, d); None: there.
        settled: Worth of points that are the same in every version, shape (k, m); None: there are none.
    """
    settled = np.empty((0, len(sources))) if settled is None else settled
    draws = [_points(source, base, flying) for source in sources]
    sizes = [len(points) for points in draws]
    if not any(sizes):  # under noise only where no measured point is of interest
        exact = [np.empty(len(base)) if source.measured is None else source.measured for source in sources]
        known = np.concatenate([np.stack(exact, axis=1), settled])[None]
        return Outcomes(tuple(s.posterior for s in sources), tuple(s.marginal for s in sources), known)
    uniform = qmc.Sobol(sum(sizes) + 1, scramble=True, rng=rng).random(versions)
    normals = ndtri(np.clip(uniform[:, :-1], _TAIL, 1.0 - _TAIL))
    posteriors, worths, start = list[ExactPosterior](), list[Array](), 0
    for source, points in zip(sources, draws, strict=True):
        if len(points) == 0:
            assert source.measured is not None
            posteriors.append(source.posterior)
            worths.append(np.broadcast_to(source.measured, (versions, len(base))))
            continue
        f = source.posterior.sample(points, normals[:, start : start + len(points)])  # (s, p)
        start += len(points)
        posteriors.append(source.posterior.condition(points, f, NOISELESS))
        if here is not None and len(flying):
            there = posteriors[-1].mean_sd(here)[0].reshape(len(here), -1).T  # (s, p_f)
            f = np.concatenate([f[:, : len(points) - len(flying)], there], axis=1)
        worth = source.marginal.worth(f)
        if source.measured is not None:
            worth = np.concatenate([np.broadcast_to(source.measured, (versions, len(base))), worth], axis=1)
        worths.append(worth)
    values = np.stack(worths, axis=2)  # (s, p, m)
    if feasible is not None and len(flying):
        # one systematic draw for each point: over the versions it holds as often as is probable
        lots = (uniform[:, -1:] + rng.random(len(flying))) % 1.0
        values[:, len(base) :][lots >= feasible(flying if here is None else here)] = np.nan
    values = np.concatenate([values, np.broadcast_to(settled, (versions, *settled.shape))], axis=1)
    return Outcomes(tuple(posteriors), tuple(s.marginal for s in sources), values)


def _points(source: Source, base: Array, flying: Array) -> Array:
    """Where versions of this objective are drawn."""
    return flying if source.measured is not None else np.concatenate([base, flying])


def contenders(sources: Sequence[Source], Z: Array, gain: Callable[[Array], Array], most: int, reach: float) -> Rows:
    """Rows of the measured points that may be on the front, best hopes first, at most so many.

    A point stays if even its optimistic values, `reach` standard deviations better, would add to the hypervolume of the
    mean front: others change no version that counts.

    Args:
        sources: One for each objective.
        Z: Model inputs, shape (n, d).
        gain: Hypervolume that values (n, m) would add to the mean front.
    """
    hopes = []
    for source in sources:
        if source.measured is not None:
            hopes.append(source.measured)
        else:
            mu, sd = source.posterior.mean_sd(Z)
            hopes.append(source.marginal.hoped(mu, reach * sd))
    gains = gain(np.stack(hopes, axis=1))
    order = np.argsort(-gains, kind="stable")
    return np.sort(order[gains[order] > 0.0][:most])
