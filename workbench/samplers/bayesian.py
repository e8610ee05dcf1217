"""Bayesian optimisation with a Gaussian process.

A scrambled Sobol start, then the maximiser of an acquisition function (`acquisition.plan` says which). Trials in
flight are averaged out or believed in, so that a batch is chosen one by one, each seeing those before it. A joint batch
goes on from there: each point in turn is searched anew, given all others. The expected improvement of a batch is the
mean over what the others may bring of their improvement plus that of the last point beyond it, so that each such search
is an ascent of the joint expected improvement (Ginsbourger et al. 2010, section 2), exact in the point that moves.

Symbols: n candidates, d encoded columns, mu and sd posterior moments, best the incumbent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DeadlineReached, UnsupportedError
from workbench.integers import integer
from workbench.models.surrogate import MODELLED, start_size, unmodelled
from workbench.samplers.base import NEAR, AskRequest, Proposal, Sampler, Screen, check_device, repeatable, spread_out
from workbench.space import Simplex
from workbench.trial import TrialState, loads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.acquisition import plan
    from workbench.acquisition.base import Acquisition
    from workbench.acquisition.search import Candidate, Region, Vicinity
    from workbench.models.gp import GaussianProcesses
    from workbench.models.surrogate import Surrogate
    from workbench.problem import Constraint
    from workbench.trial import History

    Array = NDArray[np.float64]

ONE = ("log_ei", "noisy_ei", "pi", "ucb", "thompson", "kg", "mes", "gibbon", "jes", "pes")
SEVERAL = ("ehvi", "nehvi", "parego", "hvkg", "mes", "jes", "pes")
_INFORMATION = frozenset({"mes", "gibbon", "jes", "pes"})  # whose value is in nats
_INFORMED = ("mes", "jes", "pes")  # about the front as it is, not about a part of it
ACQUISITIONS = (*ONE, *(name for name in SEVERAL if name not in ONE))
_BATCHES = ("greedy", "joint")
_SMALL = 20  # trials from which on the most probable hyperparameters are good enough, and time is short
_SWEEPS = 2  # over the points of a joint batch
_GAIN = 1e-6  # of the acquisition function below which a point of a joint batch stays
_CENTRES = 10  # best trials around one of which a large record is searched
_SIMILAR = 50  # trials nearest to what is held, at least, or a twentieth of them
_FRONT = 12  # points of a front around which a search looks
_SPREAD = 256  # points spread over the space, where maxima are sampled and the knowledge gradient compares
_HOPES = np.linspace(-3.0, 3.0, 25)  # sd, within which a value is not out of reach
_SETTLED = "no single measurement is expected to move the front of the means any more"
_LEARNT = "a measurement would tell next to nothing of the optimum any more"
_TELLING = math.log(1e-3)  # log nats: what tells less is left to the acquisition function that is planned
_LATE = {"deadline_hit": True}  # this proposal is not a function of the record alone
_TOO_LATE: dict[str, Any] = {
    "why": "time was over",
    "meta": {"sampler": "sobol", **_LATE},
    "warnings": ("the time given was over before this one of the batch: a quasi-random point instead",),
}
_LATE_WARNING = "the time given was over: this is the best point found so far"
_NO_BASELINE = "the limit of {!r} is ignored until the baseline that it refers to is measured"
_WORDS = {
    "feasibility": "most likely to hold every limit, which no trial does yet",
    "log_ei": "highest expected improvement",
    "target_ei": "highest expected improvement towards the target",
    "noisy_ei": "highest expected improvement of the best posterior mean",
    "pi": "highest probability of improvement",
    "ucb": "highest upper confidence bound",
    "thompson": "maximum of a function drawn from the model",
    "kg": "highest knowledge gradient",
    "mes": "most information about the maximum",
    "gibbon": "most information about the maximum, by a bound",
    "ehvi": "highest expected gain of hypervolume",
    "nehvi": "highest expected gain of hypervolume, noise and trials in flight considered",
    "parego": "highest expected improvement of a weighted compromise",
    "jes": "most information about where the best is and how good, by a bound",
    "pes": "most information about where the best is",
    "hvkg": "highest expected gain of hypervolume of the means",
}


class GPSampler(Sampler):
    """Gaussian processes and an acquisition function, for measured objectives, with measured limits if there are any.

    Args:
        acquisition: For one objective "log_ei", "noisy_ei", "pi", "ucb", "thompson", "kg", "mes", "gibbon", "jes" or
            "pes", for several "ehvi", "nehvi", "parego", "hvkg", "mes", "jes" or "pes"; None takes what
            `acquisition.plan` says.
        restarts: Local searches of each ask.
        raw_samples: Points that are screened for their starts.
        ensemble: Hyperparameters drawn from their posterior over which the acquisition function is averaged while
            trials are fewer than 20; 0 takes the most probable ones alone. Draws explore more, which was of no
            benefit on the functions that were tried.
        batch: "greedy" chooses the points of `ask(n)` one after the other; "joint" then moves each in turn, given the
            others, for up to three times the time.
        costs: With acquisition "hvkg", what measuring each objective alone costs, by name: each trial then measures one
            of them, or all, by gain for its cost (`trial.measure`). Told with final=False it stays open, and may be
            asked for again, to measure what it lacks.
        device: In torch, as "cuda", for the matrices of records with hundreds of trials; up to 10,000 of them are then
            learnt from all at once, where LAPACK (None) takes 2,000, and of larger records those around the best.
    """

    name = "gp"
    serves = MODELLED | {"context", "near", "constraints", "objectives", "prefer", "thresholds"}

    def __init__(
        self,
        acquisition: str | None = None,
        restarts: int = 8,
        raw_samples: int = 512,
        batch: str = "greedy",
        ensemble: int = 0,
        costs: Mapping[str, float] | None = None,
        device: str | None = None,
    ) -> None:
        if acquisition not in (None, *ACQUISITIONS):
            raise UnsupportedError(
                f"acquisition must be one of {', '.join(ACQUISITIONS)}, or None; got {acquisition!r}"
            )
        if integer(restarts, 1) is None or integer(raw_samples, restarts) is None:
            raise UnsupportedError(
                f"needs whole numbers 1 <= restarts <= raw_samples, got {restarts!r} and {raw_samples!r}"
            )
        if batch not in _BATCHES:
            raise UnsupportedError(f"batch must be one of {', '.join(_BATCHES)}, got {batch!r}")
        self._acquisition, self._restarts, self._raw_samples = acquisition, restarts, raw_samples
        if integer(ensemble) is None:
            raise UnsupportedError(f"ensemble must be a number of draws, 0 or more, got {ensemble!r}")
        self._batch, self._ensemble = batch, ensemble
        if costs is not None and (acquisition != "hvkg" or not _above_0(costs)):
            raise UnsupportedError(
                f"costs are numbers above 0 by objective, with acquisition='hvkg', got {costs!r} with {acquisition!r}"
            )
        self._costs = None if costs is None else {name: float(cost) for name, cost in costs.items()}
        self._device = device

    def options(self) -> dict[str, Any]:
        """Acquisition, effort of the search, and how batches are chosen."""
        return {
            "acquisition": self._acquisition,
            "restarts": self._restarts,
            "raw_samples": self._raw_samples,
            "batch": self._batch,
            "ensemble": self._ensemble,
            "costs": self._costs,
            "device": self._device,
        }

    def surrogate(self, history: History) -> Surrogate:
        """The model, on the device."""
        from workbench.models.surrogate import fit

        check_device(self._device, "GPSampler")
        return fit(history, device=self._device)

    def check(self, request: AskRequest) -> None:
        """Refuse what needs another sampler: spaces too large for a model, sparse mixtures."""
        super().check(request)
        check_device(self._device, "GPSampler")
        history = request.history
        reasons = unmodelled(history.space)
        sparse = (p for p in history.space if isinstance(p, Simplex) and p.max_nonzero is not None)
        reasons += [f"max_nonzero of {p.name!r}" for p in sparse]
        if reasons:
            raise UnsupportedError(
                f"sampler 'gp' cannot serve this space: {'; '.join(reasons)}. Use sampler='sobol', or 'random'"
            )
        several = len(history.measured) > 1
        if self._acquisition is not None and self._acquisition not in (SEVERAL if several else ONE):
            raise UnsupportedError(
                f"acquisition {self._acquisition!r} is for {'one objective' if several else 'several objectives'}; "
                f"this study has {len(history.measured)}; take one of {', '.join(SEVERAL if several else ONE)}, or "
                "sampler='gp', which chooses"
            )
        names = [goal.name for goal in history.measured]
        if self._costs is not None and sorted(self._costs) != sorted(names):
            raise UnsupportedError(f"costs must name each of the objectives {names}, got {sorted(self._costs)}")
        targets = any(goal.target is not None for goal in history.measured)
        if self._acquisition in _INFORMED and several and targets:
            raise UnsupportedError(
                f"acquisition {self._acquisition!r} cannot serve an objective with a target; use sampler='gp'"
            )
        if request.prefer and not several:
            raise UnsupportedError(
                "prefer= weighs several objectives against each other, this study has one; leave it out"
            )
        if request.thresholds and not several:
            raise UnsupportedError(
                "thresholds= asks for trials that reach several values at once, this study has one objective; leave it "
                "out"
            )
        if request.thresholds and (request.prefer or self._acquisition in _INFORMED):
            by = "prefer=" if request.prefer else f"acquisition {self._acquisition!r}"
            raise UnsupportedError(f"thresholds= cannot be served with {by}; leave one of them out")
        if request.prefer and self._acquisition not in (None, "parego"):
            raise UnsupportedError(
                f"prefer= weighs objectives against each other, which acquisition {self._acquisition!r} does not; use "
                "sampler='gp' or 'parego'"
            )
        if not several and self._acquisition not in (None, "log_ei") and history.measured[0].target is not None:
            raise UnsupportedError(
                f"acquisition {self._acquisition!r} cannot serve an objective with a target; use sampler='gp', which "
                "takes the expected improvement towards it"
            )

    def ask(self, request: AskRequest) -> list[Proposal]:
        """Sobol points while the start lasts, then maximisers of the acquisition function."""
        history = request.history
        told = int((history.complete & history.placed & ~np.isnan(history.Y).any(axis=1)).sum())
        others = history.pending | history.failed | history.infeasible | history.pruned
        begun = told + int((others & history.placed).sum())
        size = start_size(history)
        n_start = request.n if told < 2 else min(request.n, max(0, size - begun))
        chosen = _start(request, n_start, begun, size) if n_start else []
        if n_start < request.n:
            chosen += self._model_based(request, chosen)
        return chosen

    def _model_based(self, request: AskRequest, start: list[Proposal]) -> list[Proposal]:
        """What is missing to n, one by one: each sees those before it as in flight."""
        from workbench.models.gp import GaussianProcesses, alone

        missing = request.n - len(start)
        near = _vicinity(request, self._device)
        centre = None if near is None else _settled(request, near.centre)
        surrogate = GaussianProcesses.fit(
            request.history, deadline=request.deadline, centre=centre, device=self._device
        )
        taken, proposals = [p.x for p in start], list[Proposal]()
        with alone(request.deadline):
            for k in range(missing):
                try:
                    found = self._search(request, surrogate, near, taken, share=missing - k)
                except DeadlineReached:
                    if not proposals:
                        raise
                    rest = replace(request, deadline=None)
                    return proposals + spread_out(rest, missing - k, taken, **_TOO_LATE)
                if found is None:  # as in a nearly used up finite space
                    for left in spread_out(request, missing - k, taken, why="what is left of the space"):
                        proposals.append(_again(request, surrogate, taken) if "replicate" in left.meta else left)
                        taken.append(proposals[-1].x)
                    return proposals
                proposals.append(found)
                taken.append(found.x)
            if self._batch == "joint" and missing > 1:
                self._together(request, surrogate, near, [p.x for p in start], proposals)
        return proposals

    def _together(
        self,
        request: AskRequest,
        surrogate: GaussianProcesses,
        near: Vicinity | None,
        before: Sequence[Array],
        proposals: list[Proposal],
    ) -> None:
        """Move each proposal in turn to where it is best given all others, until none moves or the time is over."""
        left = _SWEEPS * len(proposals)
        for _ in range(_SWEEPS):
            moved = False
            for i, present in enumerate(proposals):
                others = [*before, *(p.x for j, p in enumerate(proposals) if j != i)]
                try:
                    found = self._search(request, surrogate, near, others, share=left, present=present.x)
                except DeadlineReached:  # what was chosen one by one is whole, but with more time it would have moved
                    proposals[:] = [_cut_short(p) for p in proposals]
                    return
                left -= 1
                if found is not None:
                    proposals[i], moved = found, True
            if not moved:
                return

    def _search(
        self,
        request: AskRequest,
        surrogate: GaussianProcesses,
        near: Vicinity | None,
        taken: Sequence[Array],
        share: int,
        present: Array | None = None,
    ) -> Proposal | None:
        """The best admissible point, better than `present`, in an equal share of the time; None if there is none."""
        from workbench.acquisition import plan
        from workbench.acquisition.search import NOTHING, maximize
        from workbench.models.observed import as_known

        history, rng = as_known(request.history), request.rng
        flying = history.X[history.pending & history.placed]
        pending = np.concatenate([flying, np.reshape(taken, (-1, history.space.width))])
        region = _region(request, surrogate, near, taken, share)
        effort = {"restarts": self._restarts, "raw_samples": self._raw_samples}

        def climb(function: Acquisition) -> Array:
            top = maximize(function, replace(region, admits=_everywhere), rng, _good(history), **effort)
            return np.empty((0, history.space.width)) if top is None else top.x[None]

        several = len(history.measured) > 1
        spread = history.space.sobol(_SPREAD if several else 0, history.seed, fixed=request.fixed)
        objective = surrogate.outputs[0]
        drawn = objective.drawn(self._ensemble, rng) if not several and len(objective.data.y) < _SMALL else []
        setting = plan.Setting(
            history, surrogate, pending, spread, request.fixed, rng, climb, request.prefer, drawn,
            thresholds=request.thresholds,
        )  # fmt: skip
        seconds = request.seconds_left / share
        name, reason = planned = plan.name_for(setting, seconds)
        if self._acquisition is not None and name not in {"feasibility", "target_ei"}:
            name, reason = self._acquisition, "asked for by name"
        if name in plan.SPREAD and not several:
            spread = history.space.sobol(_SPREAD, history.seed, fixed=request.fixed)
            setting = replace(setting, candidates=spread)
        around = _good(history) if present is None else np.vstack([present[None], _good(history)])

        def search(function: Acquisition) -> Candidate | None:
            return maximize(function, region, rng, around, **effort)

        if name == "hvkg" and self._costs is not None and present is None:
            proposal = _cheapest(request.history, setting, surrogate, self._costs, search)
            if proposal is not None:
                return proposal
            name, reason = "nehvi", _SETTLED
        chosen = plan.chosen(name, setting, seconds)
        found = search(chosen.acquisition)
        worth = np.inf if found is None or found.late else found.value
        if (name == "hvkg" and worth <= NOTHING) or (name in _INFORMATION and worth <= _TELLING):
            name, reason = ("nehvi", _SETTLED) if name == "hvkg" else (planned[0], _LEARNT)
            chosen = plan.chosen(name, setting, seconds)
            found = search(chosen.acquisition)
        if present is not None and found is not None:
            value = float(chosen.acquisition.value(surrogate.inputs.model_points(present[None]))[0])
            if found.value <= value + _GAIN:
                if found.late:
                    raise DeadlineReached("the time given to the search is over")
                return None
        if found is None:
            return None
        proposal = _explained(request.history, found, surrogate, name, reason, chosen.best)
        return _towards(request.history, proposal, request.thresholds)


def _cheapest(
    history: History,
    setting: plan.Setting,
    surrogate: GaussianProcesses,
    costs: Mapping[str, float],
    search: Callable[[Acquisition], Candidate | None],
) -> Proposal | None:
    """Where, and which objectives: each alone and all together, or what an open trial lacks, by log gain for cost.

    None where there is nothing to gain, or no point.
    """
    from workbench.acquisition import plan
    from workbench.acquisition.search import NOTHING, Candidate

    def function(names: tuple[str, ...], pending: Array) -> Acquisition:
        cost = sum(costs[name] for name in names)
        return plan.chosen("hvkg", replace(setting, measure=names, cost=cost, pending=pending)).acquisition

    best: tuple[Candidate, tuple[str, ...], int | None] | None = None
    for names in [*((name,) for name in costs), tuple(costs)]:
        found = search(function(names, setting.pending))
        if found is not None and (best is None or found.value > best[0].value):
            best = found, names, None
    for row, lacking in _open(history):
        x = history.X[row]
        others = setting.pending[(setting.pending != x).any(axis=1)]  # itself is not to be believed in
        value = float(function(lacking, others).value(surrogate.inputs.model_points(x[None]))[0])
        if best is None or value > best[0].value:
            best = Candidate(x, value, False), lacking, int(history.numbers[row])
    if best is None or best[0].value <= NOTHING:
        return None
    found, names, number = best
    reason = f"for its cost, measuring {' and '.join(names)} there is expected to gain most"
    proposal = _explained(history, found, surrogate, "hvkg", reason, None)
    if number is None and len(names) == len(costs):
        return proposal
    limits = tuple(limit.name for limit in history.constraints) if number is None else ()
    why = f"{proposal.why}; measure {' and '.join(names)} only"
    return replace(proposal, measure=(*names, *limits), why=why, trial=number)


def _open(history: History) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Running trials that were told all that they were to measure, and not for good; and the objectives they lack."""
    names = [goal.name for goal in history.measured]
    for row in np.flatnonzero(history.in_state(TrialState.RUNNING) & history.placed).tolist():
        asked = loads(history.rows[row].measure)
        told = {name for j, name in enumerate(names) if not np.isnan(history.Y[row, j])}
        if asked and told >= set(asked) & set(names) and len(told) < len(names):
            yield row, tuple(name for name in names if name not in told)


def _again(request: AskRequest, surrogate: GaussianProcesses, taken: Sequence[Array]) -> Proposal:
    """Of a space that is used up, the trial best measured again, by the planned acquisition function at each."""
    from workbench.acquisition import plan
    from workbench.models.observed import as_known

    history = as_known(request.history)
    flying = history.X[history.pending & history.placed]
    pending = np.concatenate([flying, np.reshape(taken, (-1, history.space.width))])
    spread = history.space.sobol(_SPREAD, history.seed, fixed=request.fixed)
    setting = plan.Setting(
        history, surrogate, pending, spread, request.fixed, request.rng, lambda _: spread[:0], request.prefer,
        thresholds=request.thresholds,
    )  # fmt: skip
    name, _ = plan.name_for(setting, request.seconds_left)
    rows = repeatable(request, Screen(history, taken, request.centre))
    Z = surrogate.inputs.model_points(history.X[rows])
    row = int(rows[plan.chosen(name, setting, request.seconds_left).acquisition.value(Z).argmax()])
    number = int(history.numbers[row])
    why = f"the space is used up: measures trial {number} again, of which most is expected"
    return Proposal(history.X[row], {"replicate": number, "acquisition": name}, why)


def _everywhere(X: Array) -> NDArray[np.bool_]:
    return np.ones(len(X), dtype=bool)


def _above_0(costs: object) -> bool:
    numbers = list(costs.values()) if isinstance(costs, Mapping) else []
    return bool(numbers) and all(
        isinstance(c, Real) and not isinstance(c, bool) and 0 < float(c) < math.inf for c in numbers
    )


def _vicinity(request: AskRequest, device: str | None) -> Vicinity | None:
    """Where to stay: where near= says, or in a large record around one of the best, as far as its neighbours reach.

    Every second time, by lot, around the best trial; else around one of the next.
    """
    from workbench.acquisition.search import Vicinity
    from workbench.models.gp import LOCAL, largest
    from workbench.models.inputs import Inputs

    history, inputs = request.history, Inputs(request.history.space)
    if request.centre is not None:
        return Vicinity(request.centre, NEAR)
    if np.count_nonzero(history.complete & history.placed) <= largest(device):
        return None
    best = _good(history, _CENTRES, _nearest(request))
    if len(best) == 0:
        return None
    centre = best[0 if request.rng.random() < 0.5 else request.rng.integers(len(best))].copy()
    known = history.X[history.complete & history.placed]
    apart, features = inputs.apart(known, centre)
    apart = apart[:, inputs.ordered]
    nearest = np.argsort((apart**2).sum(axis=1) + features, kind="stable")[:LOCAL]
    reach = float(np.median(apart[nearest].max(axis=1, initial=0.0)))
    radius = float(np.sqrt(features[nearest].max(initial=0.0)))
    for name in request.fixed:
        centre[history.space.slices[name]] = np.nan
    return Vicinity(centre, reach, radius)


def _settled(request: AskRequest, centre: Array) -> Array:
    """The centre with the values that are held, which a box around it leaves open."""
    centre, space = centre.copy(), request.history.space
    for name, value in request.fixed.items():
        centre[space.slices[name]] = space[name].encode([value])[0]
    return centre


def _nearest(request: AskRequest) -> NDArray[np.bool_] | None:
    """Those trials whose values are nearest to what is held, shape (n,); None where nothing is."""
    history, space = request.history, request.history.space
    told = np.flatnonzero(history.counted & ~np.isnan(history.Y).any(axis=1))
    if not request.fixed or not told.size:
        return None
    gaps = np.zeros(told.size)
    for name, value in request.fixed.items():
        gap = history.X[told][:, space.slices[name]] - space[name].encode([value])
        gaps += np.where(np.isnan(gap), 1.0, gap**2).sum(axis=1)
    some = max(_SIMILAR, told.size // 20)
    mask = np.zeros(len(history), dtype=bool)
    mask[told[np.argsort(gaps, kind="stable")[:some]]] = True
    return mask


def _region(
    request: AskRequest, surrogate: GaussianProcesses, near: Vicinity | None, taken: Sequence[Array], share: int
) -> Region:
    from workbench.acquisition.search import Region

    history = request.history
    deadline = None if request.deadline is None else time.monotonic() + request.seconds_left / share
    screen = Screen(history, taken, request.centre)
    return Region(history.space, surrogate.inputs, request.fixed, screen.admits, deadline, near)


def _explained(
    history: History, found: Candidate, surrogate: GaussianProcesses, name: str, reason: str, best: float | None
) -> Proposal:
    predicted = {
        quantity: {"mean": float(means[0]), "sd": float(sds[0])}
        for quantity, (means, sds) in surrogate.predict(found.x[None]).items()
    }
    goals = history.measured
    foretold = (f"{g.name} {predicted[g.name]['mean']:.4g} ± {predicted[g.name]['sd']:.2g}" for g in goals)
    why = f"{_WORDS[name]}: predicted {', '.join(foretold)}"
    if best is not None:
        why += f", to beat {goals[0].sign * best:.4g}"
    if surrogate.limits:
        why += f", feasible with probability {float(surrogate.feasibility(found.x[None])[0]):.2g}"
    warnings = [_NO_BASELINE.format(limit.name) for limit in history.constraints if _unknown(history, limit)]
    meta: dict[str, Any] = {"acquisition": name, "value": found.value, "fit": surrogate.pace}
    meta["gp"] = surrogate.memory.to_json()
    if len(goals) > 1:
        meta["reason"] = reason
        if history.kept_reference is not None or history.may_keep_reference:
            meta["reference_point"] = history.reference.tolist()
    late = found.late or surrogate.late
    return Proposal(
        found.x,
        meta | _LATE if late else meta,
        why,
        predicted,
        warnings=(*warnings, *((_LATE_WARNING,) if late else ())),
    )


def _cut_short(proposal: Proposal) -> Proposal:
    """The proposal with a note that time was over before it could be what it would have become."""
    if proposal.meta.get("deadline_hit"):
        return proposal
    return replace(proposal, meta={**proposal.meta, **_LATE}, warnings=(*proposal.warnings, _LATE_WARNING))


def _towards(history: History, proposal: Proposal, thresholds: Mapping[str, float]) -> Proposal:
    """The proposal with what it was to reach, and what of that is out of its reach."""
    if not thresholds:
        return proposal
    listed = ", ".join(f"{name} {value:.4g}" for name, value in thresholds.items())
    goals = history.measured
    sign, mean, sd = np.array([(g.sign, *(proposal.predicted[g.name][k] for k in ("mean", "sd"))) for g in goals]).T
    best = history.utility(sign * (mean + _HOPES[:, None] * sd)).max(axis=0)
    names = [goal.name for goal, short in zip(goals, best < history.levels(thresholds), strict=True) if short]
    why = f"{proposal.why}; to reach {listed} or better"
    if names:
        why += f", as far as it goes: {' and '.join(names)} will hardly get there"
    return replace(proposal, meta={**proposal.meta, "thresholds": dict(thresholds)}, why=why)


def _unknown(history: History, limit: Constraint) -> bool:
    return limit.relative and limit.name not in history.baseline


def _start(request: AskRequest, n: int, begun: int, size: int) -> list[Proposal]:
    proposals = spread_out(request, n, meta={"start": True})
    return [
        replace(p, why=f"Sobol point {begun + i} of the {max(size, begun + i)} before the model takes over")
        for i, p in enumerate(proposals, start=1)
    ]


def _good(history: History, n: int = 3, among: NDArray[np.bool_] | None = None) -> Array:
    """The best n counted trials, or the ones nearest to that, whose neighbourhood is worth a look, (at most n, d).

    Of several objectives those of the front that add most hypervolume.
    """
    told = ~np.isnan(history.Y).any(axis=1)
    rows = np.flatnonzero(history.counted & told if among is None else history.counted & told & among)
    worth = history.utility(history.Y[rows])[:, 0]
    if len(history.measured) > 1 and rows.size:
        return history.X[_front(history, rows, max(n, _FRONT))]
    if rows.size == 0 and history.constraints:
        rows = np.flatnonzero(history.complete & history.placed & ~np.isnan(history.C).any(axis=1))
        excess = np.maximum(history.C[rows], 0.0)
        worth = -(excess / np.maximum(excess.max(axis=0, initial=0.0), 1e-300)).max(axis=1, initial=0.0)
    return history.X[rows[np.argsort(-worth, kind="stable")[:n]]]


def _front(history: History, rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """At most n of the rows that are on their front, those that make it up."""
    from workbench.pareto import non_dominated, telling

    U = history.utility(history.Y[rows])
    on = non_dominated(U)
    reference = np.minimum(history.reference, U[on].min(axis=0))
    return rows[on][telling(U[on], reference, n)]
