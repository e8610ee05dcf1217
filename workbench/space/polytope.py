"""Uniform points of a polytope {t : A t <= b, C t = e} by hit-and-run.

Symbols: t (d,) the original coordinates, within [0, 1]; y (r,) coordinates of the affine hull; z (r,)
coordinates in which the polytope is round; m the number of inequalities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.space.scales import Array
from workbench.threads import one_thread

Mask = npt.NDArray[np.bool_]

_THINNEST = 1e-9  # slack, in units of the ranges, below which an inequality is taken as an equality
_MOST_STRETCH = 1e6
_MOST_STEPS = 20_000  # steps whose directions are held in memory at once


@dataclass(frozen=True, slots=True)
class Polytope:
    """A polytope in coordinates in which it is round: t = origin + basis z, G z <= 1.

    z = 0 is the analytic centre, and the Dikin ellipsoid |z| <= 1 lies inside, the one of radius m
    outside: long thin polytopes mix as fast as round ones.
    """

    origin: Array  # (d,)
    basis: Array  # (d, r)
    G: Array  # (m, r)

    def draw(self, n: int, seed: int) -> Array:
        """Return n points of one chain in random order, shape (n, d): a function of (polytope, n, seed).

        Neighbours in a chain are correlated; in random order they are seldom handed out together.
        """
        r = self.basis.shape[1]
        if r == 0:
            return np.repeat(self.origin[None, :], n, axis=0)
        z = _chain(self.G, n, seed)[np.random.default_rng(seed).permutation(n)]  # (n, r)
        return np.asarray(self.origin + z @ self.basis.T, dtype=np.float64)


def _chain(G: Array, n: int, seed: int) -> Array:
    """Return n points (n, r) of a hit-and-run chain in G z <= 1 from z = 0, BoTorch's sampler."""
    import torch
    from botorch.utils.sampling import HitAndRunPolytopeSampler

    m, r = G.shape
    # Directions are drawn ahead for all steps of a call. BoTorch adds n to the seed from one call to the
    # next and uses seed and seed + 1, so that calls of two points or more never share one.
    size = max(2, _MOST_STEPS // thinning(r))
    # Starting more threads for matrices this small costs more than a whole chain. And one block at a time: BoTorch
    # reseeds torch's global generator while it draws and restores it afterwards.
    with one_thread():
        sampler = HitAndRunPolytopeSampler(
            inequality_constraints=(torch.from_numpy(G), torch.ones(m, 1, dtype=torch.float64)),
            # The outer ellipsoid: redundant bounds, but BoTorch scales by them.
            bounds=torch.tensor([[-float(m)], [float(m)]], dtype=torch.float64).expand(2, r),
            interior_point=torch.zeros(r, 1, dtype=torch.float64),
            n_burnin=burn_in(r),
            n_thinning=thinning(r),
            seed=seed,
        )
        z = torch.cat([sampler.draw(min(size, n - done)) for done in range(0, n, size)])
    return np.asarray(z.numpy(), dtype=np.float64)


def thinning(r: int) -> int:
    """Return the steps from one point of a chain to the next in r dimensions.

    Each step forgets one direction and keeps about 1 - O(1/r^2) of the rest. Measured here, the
    autocorrelation of coordinates falls to 1/e within 0.16 r^2 steps in a cube and 0.4 r^2 in a
    simplex, whose corners are the worst of the shapes that constraints cut.
    """
    return min(r * r // 3 + 2, 1_000)


def burn_in(r: int) -> int:
    """Return the steps before the first point: four of those times from the centre, about 2 % left."""
    return 4 * thinning(r)


def polytope(A: Array, b: Array, C: Array, e: Array) -> Polytope | None:
    """Return the rounded polytope {t in [0, 1]^d : A t <= b, C t = e}; None if it is empty.

    Args:
        A, b: Inequalities, shapes (m, d) and (m,).
        C, e: Equalities, shapes (p, d) and (p,).
    """
    d = A.shape[1]
    A, b = _normalised(np.vstack([A, np.eye(d), -np.eye(d)]), np.concatenate([b, np.ones(d), np.zeros(d)]))
    C, e = _normalised(C, e)
    found = _inner_point(A, b, C, e)
    if found is None:
        return None
    t, tight = found
    C, e = np.vstack([C, A[tight]]), np.concatenate([e, b[tight]])
    A, b = A[~tight], b[~tight]
    N = _null_space(C)  # (d, r)
    t = t - np.linalg.lstsq(C, C @ t - e, rcond=None)[0] if len(C) else t
    Ay = A @ N
    moving = np.linalg.norm(Ay, axis=1) > _THINNEST
    Ay, by = Ay[moving], (b - A @ t)[moving]
    if N.shape[1] == 0 or (by <= 0).any():
        return Polytope(t, np.empty((d, 0)), np.empty((0, 0)))
    y, slack, half = _analytic_centre(Ay, by)
    basis = N @ half
    return Polytope(t + N @ y, basis, Ay @ half / slack[:, None])


def _normalised(A: Array, b: Array) -> tuple[Array, Array]:
    size = np.linalg.norm(A, axis=1)
    size = np.where(size > 0, size, 1.0)
    return A / size[:, None], b / size


def _inner_point(A: Array, b: Array, C: Array, e: Array) -> tuple[Array, Mask] | None:
    """Return a point of the relative interior and which inequalities hold with equality throughout.

    Maximises the sum of s over A t + s <= a b, C t = a e, 0 <= s <= 1, a >= 1 (t and a scale
    together): s_i is 0 exactly for the inequalities that no point meets strictly.
    Source: Freund, Roundy, Todd 1985, Identifying the set of always-active constraints in a system of
    linear inequalities by a single linear program.
    """
    from scipy.optimize import linprog

    (m, d), p = A.shape, len(C)
    cost = np.concatenate([np.zeros(d), -np.ones(m), [0.0]])
    upper = np.hstack([A, np.eye(m), -b[:, None]])
    equal = np.hstack([C, np.zeros((p, m)), -e[:, None]])
    limits = [(None, None)] * d + [(0.0, 1.0)] * m + [(1.0, _MOST_STRETCH)]
    result = linprog(cost, upper, np.zeros(m), equal if p else None, np.zeros(p) if p else None, limits, method="highs")
    if result.x is None:
        return None
    t, s, stretch = result.x[:d], result.x[d:-1], result.x[-1]
    return t / stretch, s / stretch <= _THINNEST


def _null_space(C: Array) -> Array:
    """Return an orthonormal basis (d, r) of {t : C t = 0}."""
    _, sizes, Vt = np.linalg.svd(C, full_matrices=True)
    rank = int((sizes > 1e-9).sum())  # rows are normalised
    return np.asarray(Vt[rank:].T, dtype=np.float64)


def _analytic_centre(A: Array, b: Array) -> tuple[Array, Array, Array]:
    """Return y minimising -sum log(b - A y), the slacks there, and H^(-1/2), H the Hessian there.

    Damped Newton from y = 0, which must be strictly inside; the step 1 / (1 + decrement) never leaves.
    Source: Nesterov, Nemirovskii 1994, Interior-point polynomial algorithms, section 2.2.
    """
    y = np.zeros(A.shape[1])
    for _ in range(200):
        scaled = A / (b - A @ y)[:, None]
        L = np.linalg.cholesky(scaled.T @ scaled)
        step = np.linalg.solve(L.T, np.linalg.solve(L, scaled.sum(axis=0)))
        decrement = float(np.linalg.norm(L.T @ step))
        if decrement < 1e-6:
            break
        y = y - step / (1 + decrement if decrement > 0.25 else 1.0)
    slack = b - A @ y
    L = np.linalg.cholesky((A / slack[:, None]).T @ (A / slack[:, None]))
    return y, slack, np.linalg.inv(L).T
