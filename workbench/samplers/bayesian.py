"""Bayesian optimisation with a Gaussian process and expected improvement.

A scrambled Sobol start, then the maximiser of log expected improvement (Ament et al. 2023,
Unexpected Improvements to Expected Improvement). Trials in flight are integrated out, so that a
batch is chosen one by one (q-LogEI with pending points).

Symbols: n candidates, d encoded columns, mu and sd posterior moments, best the incumbent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import UnsupportedError
from workbench.samplers.base import AskRequest, Proposal, Sampler, Screen, draw_distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.acquisition.maximize import Candidate
    from workbench.models.gp import GaussianProcesses
    from workbench.trial import History

    Array = NDArray[np.float64]

_KINDS = frozenset({"float", "int", "categorical", "ordinal", "bool", "simplex", "vector"})


class GPSampler(Sampler):
    """Gaussian process and log expected improvement, for one measured objective.

    Args:
        acquisition: "log_ei".
        restarts: Local searches of each ask.
        raw_samples: Points that are screened for their starts.
    """

    name = "gp"
    serves = _KINDS | {"context"}

    def __init__(self, acquisition: str = "log_ei", restarts: int = 6, raw_samples: int = 384) -> None:
        if acquisition != "log_ei":
            raise UnsupportedError(f"acquisition must be 'log_ei', got {acquisition!r}")
        if not 1 <= restarts <= raw_samples:
            raise UnsupportedError(f"needs 1 <= restarts <= raw_samples, got {restarts} and {raw_samples}")
        self._acquisition, self._restarts, self._raw_samples = acquisition, restarts, raw_samples

    def options(self) -> dict[str, Any]:
        """Acquisition and effort of the search."""
        return {"acquisition": self._acquisition, "restarts": self._restarts, "raw_samples": self._raw_samples}

    def check(self, request: AskRequest) -> None:
        """Refuse what needs another sampler: kinds without a kernel, too many columns, sparse mixtures."""
        super().check(request)
        space = request.history.space
        sparse = [p.name for p in space if p.kind == "simplex" and getattr(p, "max_nonzero", None) is not None]
        wide = space.width > 64
        if sparse or wide:
            what = f"max_nonzero of {sparse[0]!r}" if sparse else f"{space.width} columns (at most 64)"
            raise UnsupportedError(f"sampler 'gp' cannot serve {what}. Use sampler='sobol', or 'random'")

    def ask(self, request: AskRequest) -> list[Proposal]:
        """Sobol points while the start lasts, then maximisers of the acquisition function."""
        history = request.history
        told = int((history.complete & ~np.isnan(history.Y).any(axis=1)).sum())
        begun = told + int((history.pending | history.failed | history.infeasible | history.pruned).sum())
        size = start_size(history)
        n_start = request.n if told < 2 else min(request.n, max(0, size - begun))
        chosen = _start(request, n_start, begun, size) if n_start else []
        if n_start < request.n:
            chosen += self._model_based(request, [p.x for p in chosen], request.n - n_start)
        return chosen

    def _model_based(self, request: AskRequest, taken: list[Array], n: int) -> list[Proposal]:
        from workbench.acquisition.improvement import log_ei
        from workbench.acquisition.maximize import Region, maximize
        from workbench.models.gp import GaussianProcesses, reproducible

        history, rng = request.history, request.rng
        surrogate = GaussianProcesses.fit(history, deadline=request.deadline, shun_failures=True)
        screen, flight = Screen(history), [*history.X[history.pending], *taken]
        proposals: list[Proposal] = []
        with reproducible(int(rng.integers(2**31))):
            for _ in range(n):
                chosen = {x.tobytes() for x in flight}

                def admits(X: Array, chosen: set[bytes] = chosen) -> NDArray[np.bool_]:
                    new: NDArray[np.bool_] = np.array([x.tobytes() not in chosen for x in X], dtype=bool)
                    return screen.admits(X) & new

                region = Region(history.space, surrogate.inputs, request.fixed, admits, request.deadline)
                pending = np.array(flight).reshape(-1, history.space.width)
                acquisition, best = log_ei(surrogate, history, pending, int(rng.integers(2**31)))
                found = maximize(
                    acquisition, region, rng, _good(history), restarts=self._restarts, raw_samples=self._raw_samples
                )
                if found is None:
                    return proposals + self._leftover(request, flight, n - len(proposals))
                flight.append(found.x)
                proposals.append(self._explain(history, found, surrogate, best))
        return proposals

    def _explain(
        self, history: History, found: Candidate, surrogate: GaussianProcesses, best: float | None
    ) -> Proposal:
        goal = history.measured[0]
        means, sds = surrogate.predict(found.x[None])[goal.name]
        mean, sd = float(means[0]), float(sds[0])
        why = f"highest expected improvement: predicted {goal.name} {mean:.4g} ± {sd:.2g}"
        if best is not None:
            why += f", best so far {goal.sign * best:.4g}"
        warnings = ("the time given was over: this is the best point found so far",) if found.late else ()
        meta: dict[str, Any] = {"acquisition": self._acquisition, "value": found.value}
        if found.late:
            meta["deadline_hit"] = True
        return Proposal(found.x, meta, why, {goal.name: {"mean": mean, "sd": sd}}, warnings=warnings)

    def _leftover(self, request: AskRequest, taken: list[Array], n: int) -> list[Proposal]:
        """The search found nothing new, as in a nearly exhausted finite space: take what is left, or repeat."""
        space, seed = request.history.space, request.history.seed
        known = {x.tobytes() for x in taken}

        def draw(start: int, count: int) -> Array:
            X = space.sobol(count, seed, skip=start, fixed=request.fixed)
            return X[[x.tobytes() not in known for x in X]]

        points, repeats = draw_distinct(replace(request, n=n), draw)
        return [
            Proposal(x, why="what is left of the space")
            if repeat is None
            else Proposal(x, {"replicate": repeat}, f"the space is used up: measures trial {repeat} again")
            for x, repeat in zip(points, repeats, strict=True)
        ]


def start_size(history: History) -> int:
    """Trials before the model takes over: 2 (d + 1) with d parameters, at most a quarter of the budget."""
    size = 2 * (len(history.space) + 1)
    return size if history.budget is None else max(1, min(size, history.budget // 4))


def _start(request: AskRequest, n: int, begun: int, size: int) -> list[Proposal]:
    space, seed = request.history.space, request.history.seed

    def draw(start: int, count: int) -> Array:
        return space.sobol(count, seed, skip=start, fixed=request.fixed)

    points, repeats = draw_distinct(replace(request, n=n), draw)
    notes: list[Mapping[str, Any]] = [
        {"start": True} if repeat is None else {"start": True, "replicate": repeat} for repeat in repeats
    ]
    return [
        Proposal(x, note, f"Sobol point {begun + i + 1} of the {max(size, begun + i + 1)} before the model takes over")
        for i, (x, note) in enumerate(zip(points, notes, strict=True))
    ]


def _good(history: History, n: int = 3) -> Array:
    """The best n counted trials, whose neighbourhood is worth a look, shape (at most n, d)."""
    rows = np.flatnonzero(history.counted & ~np.isnan(history.Y).any(axis=1))
    worth = history.utility(history.Y[rows])[:, 0]
    return history.X[rows[np.argsort(-worth, kind="stable")[:n]]]
