"""`gflownet`: points in proportion to what they promise, for spaces that can be written down in tokens.

Expensive objectives (ask and tell): a Gaussian process of the record, an acquisition function by `acquisition.plan`,
and a GFlowNet trained on it within the ask, from the record and the ask's generator alone: the same record gives
the same proposals.

A cheap function (`study.optimize(fn, vectorized=True, evaluations=…)`): a GFlowNet trained on the values themselves,
evaluations spent on its trajectories; the policy stays with the study as an attachment, which `load_model` reads.

`ask(prefer=…)` with several objectives: one policy conditioned on preferences answers all of them. It is the one that
a run has left with the study, or one trained on what the Gaussian process foretells; that one is kept with the study
until something is told, so that the next preference is answered at once (`preferring`).

Rankings by people alone: a policy that keeps their order (`ranked`), drawn from for the next question.

Symbols: n candidates, d encoded columns.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.errors import (
    DeadlineReached,
    ExhaustedSpaceError,
    InvalidValueError,
    UnsupportedError,
    WorkbenchWarning,
)
from workbench.integers import integer
from workbench.models.surrogate import dimension, unmodelled
from workbench.problem import Preference
from workbench.rankings import ORDERING, chain, edges
from workbench.samplers.base import AskRequest, Proposal, Screen, check_device, check_number, check_switch, spread_out
from workbench.samplers.batch import BatchSampler, Milestone, Outcomes
from workbench.space.geometry import inside
from workbench.trial import TrialState

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from workbench.acquisition.plan import Chosen
    from workbench.models.gp import GaussianProcesses
    from workbench.samplers.gflownet.acquiring import Pool
    from workbench.samplers.gflownet.points import Points, SpaceGrid
    from workbench.samplers.gflownet.policy import Policy
    from workbench.samplers.gflownet.running import Model
    from workbench.samplers.gflownet.spaces import SpaceEnvironment
    from workbench.space import Space
    from workbench.trial import History

    Array = NDArray[np.float64]

_ONE, _SEVERAL = ("log_ei", "noisy_ei", "pi", "ucb"), ("ehvi", "nehvi", "parego")
_BATCHES = 32  # of which a batch is a multiple: replay and preferences come in groups
_PACE = 25  # steps from one milestone of a run to the next
_STAYS = 8  # points sampled in the end that stay as trials
_FEWEST = 64  # evaluations of a run: some to begin with, a step, some to look at the model, and those that stay
_SPREAD = 256  # points that the scale of the acquisition function is read from
_GOOD = 8  # best trials that training begins with
_STARTS = 16  # best trials beside which every second point of a batch is searched
_EDITS = 6  # of one of them, at most
_DRAWN = 512  # for a preference
_FINALISTS = 256  # best points among which the next one of a batch is chosen
_RESERVE = 0.3  # share of the time that is kept for choosing
_LATE = {"deadline_hit": True}  # this proposal is not a function of the record alone
_LATE_WARNING = "the time given was over: this is the best point found so far"
_NOTHING_NEW = "the policy led to too few new points; this one is spread evenly instead"
_TOO_LATE: dict[str, Any] = {
    "why": "time was over",
    "meta": {"sampler": "sobol", **_LATE},
    "warnings": ("the time given was over before this one of the batch: a quasi-random point instead",),
}


class GFlowNetSampler(BatchSampler):
    """Batches that a GFlowNet samples from an acquisition function, over choices, strings, orders and selections.

    Args:
        acquisition: "log_ei", "noisy_ei", "pi" or "ucb" for one objective, "ehvi", "nehvi" or "parego" for several;
            None takes what `acquisition.plan` says, and for prefer= a policy that answers every preference.
        start: Trials, spread evenly, before the model takes over; None: 2 (d + 1) for d lengthscales of the model, at
            most a quarter of the budget.
        steps: Training steps of an ask.
        beta: Exponent of the reward in a run over a cheap function: how sharply it goes for the best.
        reward: In a run, "scaled" to the values of evenly spread points, whatever their unit, or "values", which are
            rewards then and have to be >= 0: points are sampled in proportion to their powers by beta.
        order: In a run, train on the order of values, or on dominance, alone; no beta then.
        batch: Trajectories of a step of a run.
        environment: What trajectories are made of where values count: "tokens", parameters written down one after the
            other, for every space; "grid", one level up in one of them, for numbers and choices; "edits", in an ask, a
            few changes of the best trials, which suits long strings. Rankings take tokens.
        device: In torch, as "cuda", for policies and what they draw; None: the CPU. Each device has draws of its own.
    """

    name = "gflownet"
    stateful = True
    serves = frozenset(
        ["float", "int", "categorical", "ordinal", "bool", "permutation", "subset", "sequence", "context", "objectives",
         "constraints", "prefer", "preference"]
    )  # fmt: skip

    def __init__(
        self, acquisition: str | None = None, start: int | None = None, steps: int = 200, beta: float = 8.0,
        reward: Literal["scaled", "values"] = "scaled", order: bool = False, batch: int = 64,
        environment: Literal["tokens", "grid", "edits"] = "tokens", device: str | None = None,
    ) -> None:  # fmt: skip
        if acquisition not in (None, *_ONE, *_SEVERAL):
            raise UnsupportedError(
                f"acquisition must be one of {', '.join((*_ONE, *_SEVERAL))}, or None; got {acquisition!r}"
            )
        for name, value in (("start", start), ("steps", steps), ("batch", batch)):
            if (value is not None or name != "start") and integer(value, 1) is None:
                raise UnsupportedError(f"{name} must be a whole number >= 1, got {value!r}")
        if batch % _BATCHES:
            raise UnsupportedError(f"batch must be a multiple of {_BATCHES}, got {batch}")
        if reward not in ("scaled", "values"):
            raise UnsupportedError(
                f"reward must be 'scaled' or 'values', got {reward!r}; for the order of values alone take order=True"
            )
        if environment not in ("tokens", "grid", "edits"):
            raise UnsupportedError(f"environment must be 'tokens', 'grid' or 'edits', got {environment!r}")
        self._options: dict[str, Any] = {
            "acquisition": acquisition, "start": start, "steps": steps, "beta": check_number("beta", beta, above=0),
            "reward": reward, "order": check_switch("order", order), "batch": batch, "environment": environment,
            "device": device,
        }  # fmt: skip
        self._held: Mapping[str, NDArray[Any]] | None = None  # of an earlier ask, or of a run
        self._made: Mapping[str, NDArray[Any]] | None = None  # in this ask

    def options(self) -> dict[str, Any]:
        """How it asks, and how it runs."""
        return dict(self._options)

    def check(self, request: AskRequest) -> None:
        """Refuse spaces that cannot be written in tokens, and acquisition functions of another number of objectives."""
        from workbench.samplers.gflownet.spaces import check_finite

        super().check(request)
        check_device(self._options["device"], "GFlowNetSampler")
        check_finite(request.history.space)
        goals = request.history.objectives
        judged = [goal for goal in goals if isinstance(goal, Preference)]
        if judged and (len(goals) > 1 or judged[0].over == "outcomes"):
            raise UnsupportedError(
                "sampler 'gflownet' learns from rankings of designs alone; for outcomes, or beside measured "
                "objectives, use sampler='preference'"
            )
        several = len(request.history.measured) > 1
        if self._options["acquisition"] in (_ONE if several else _SEVERAL):
            raise UnsupportedError(
                f"acquisition {self._options['acquisition']!r} is for "
                f"{'one objective' if several else 'several objectives'}; this study has "
                f"{len(request.history.measured)}; use sampler='gflownet', which chooses"
            )
        if request.prefer and not several:
            raise UnsupportedError("prefer= weighs several objectives, and this study has one; leave it out")
        asked = self._options["acquisition"]
        if request.prefer and asked not in (None, "parego"):
            raise UnsupportedError(
                f"prefer= weighs objectives against each other, which acquisition {asked!r} does not; leave "
                "acquisition= out, or take 'parego'"
            )
        targets = [goal.name for goal in request.history.measured if goal.target is not None]
        if targets and not several and asked not in (None, "log_ei"):
            raise UnsupportedError(
                f"acquisition {asked!r} cannot serve an objective with a target, as {targets[0]!r} is; leave it out, "
                "which takes the expected improvement towards it"
            )

    def ask(self, request: AskRequest) -> list[Proposal]:
        """Sobol points while the start lasts, then a batch from a trained policy."""
        history = request.history
        if not history.measured:
            return self._ranked(request)
        if self._answers(request) and (model := self._of_run(request)) is not None:
            return self._preferred(request, model, None, [], request.n)
        reasons = unmodelled(history.space)
        if reasons:
            raise UnsupportedError(
                f"an ask of sampler 'gflownet' needs a Gaussian process, which cannot model this space: "
                f"{'; '.join(reasons)}. Use sampler='evolutionary' or 'sobol'; "
                "study.optimize(…, vectorized=True) needs none"
            )
        told = history.complete & history.placed & ~np.isnan(history.Y).any(axis=1)
        others = history.pending | history.failed | history.infeasible | history.pruned
        begun = int((told | (others & history.placed)).sum())
        size = self._start_size(history)
        n_start, why = min(request.n, max(0, size - begun)), f"spread evenly: {size} trials come before the model"
        if told.sum() < 2 or _alike(history, told):
            n_start = request.n
            why = why if begun < size else "spread evenly: all results are the same so far"
        chosen = spread_out(request, n_start, meta={"start": True}, why=why) if n_start else []
        if n_start < request.n:
            chosen += self._sampled(request, [p.x for p in chosen], request.n - n_start)
        return chosen

    def _ranked(self, request: AskRequest) -> list[Proposal]:
        """Draws of a policy that keeps the order of the answers, the most probable of them first."""
        import torch

        from workbench.models.gp import alone
        from workbench.samplers.gflownet.ranked import learn_order
        from workbench.samplers.gflownet.running import likeliest
        from workbench.samplers.gflownet.spaces import SpaceEnvironment

        history, there = request.history, _writable(request.history)
        stated = sorted(
            pair
            for entry in history.feedback
            if entry.kind in ORDERING
            for pair in edges(entry.kind, entry.groups, entry.of)
            if there[list(pair)].all()
        )
        if not stated:
            return spread_out(request, why="spread evenly until there is an answer", meta={"start": True})
        tied = sorted(
            pair
            for entry in history.feedback
            for pair in chain(entry.kind, entry.groups, entry.of)[1]
            if there[list(pair)].all()
        )
        judged = sorted({row for pair in [*stated, *tied] for row in pair})
        place = {row: i for i, row in enumerate(judged)}
        pairs, ties = (torch.tensor([[place[a], place[b]] for a, b in known]) for known in (stated, tied))
        with alone(request.deadline):
            generator = self.generator(request.rng)
            reserve = _RESERVE * request.seconds_left if request.deadline is not None else 0.0
            anywhere = SpaceEnvironment(history.space)  # what was judged need not have the fixed values
            environment = SpaceEnvironment(history.space, request.fixed) if request.fixed else anywhere
            policy, whole = learn_order(
                anywhere, anywhere.states(history.X[judged]), pairs[:, 0], pairs[:, 1], generator,
                steps=self._options["steps"], over=lambda: request.seconds_left <= reserve, tied=ties,
            )  # fmt: skip
            # Draws in their order, but the likeliest first; where values are held, they are no draws of the whole, and
            # where they are few, there is more beside them.
            drawn = policy.sample(_FINALISTS, generator, within=environment).ends
            screen = Screen(history)
            top = likeliest(policy, environment, torch.unique(drawn, dim=0), generator, request.n, screen.admits)
        X = np.concatenate([top[:1], *([] if request.fixed else [environment.encoded(drawn)]), top])
        X = X[screen.admits(X) & history.space.feasible(X)]
        _, first = np.unique(np.nan_to_num(X, nan=-9.0), axis=0, return_index=True)
        late: dict[str, Any] = {} if whole else {"warnings": (_LATE_WARNING,)}
        meta = {"answers": len(stated)} | ({} if whole else _LATE)
        why = f"drawn from a policy that keeps the order of {len(stated)} judged pairs"
        chosen = [Proposal(x, meta, why, **late) for x in X[np.sort(first)][: request.n]]
        if len(chosen) == request.n:
            return chosen
        missing = request.n - len(chosen)
        try:
            said = _nothing_new(history) | {"why": "to be judged as well"}
            return chosen + spread_out(request, missing, [p.x for p in chosen], **said)
        except ExhaustedSpaceError:
            if request.purpose != "question":
                raise
        again = self._likeliest(request, policy, environment, missing)
        if len(chosen) + len(again) < request.n:
            raise ExhaustedSpaceError(
                f"a question of {request.n} trials was wanted, the space has {len(chosen) + len(again)} that no other "
                "rater is asked about; ask about fewer"
            )
        return chosen + again

    def _likeliest(self, request: AskRequest, policy: Policy, environment: SpaceEnvironment, n: int) -> list[Proposal]:
        """Trials that are there already, the most probable ones under the policy, to be judged again."""
        history = request.history
        alive = history.in_state(TrialState.RUNNING, TrialState.COMPLETE) & history.placed
        rows = np.setdiff1d(np.flatnonzero(alive), list(request.held))
        if not len(rows):
            return []
        ways = policy.sample_backward(environment.states(history.X[rows]))
        order = np.argsort(-policy.evaluate(ways).log_ratio.detach().cpu().numpy(), kind="stable")[:n]
        why = "nothing new is left: the likeliest best so far"
        return [Proposal(history.X[row], why=why, trial=int(history.numbers[row])) for row in rows[order]]

    def run(
        self, space: Space, evaluate: Callable[[Array], Outcomes], evaluations: int, rng: np.random.Generator,
        state: Mapping[str, NDArray[np.generic]] | None = None,
    ) -> Iterator[Milestone]:  # fmt: skip
        """Train on the values until the evaluations are spent or there is nothing left to learn."""

        from workbench.models.gp import alone
        from workbench.samplers.gflownet.running import Options, Run

        if self._options["environment"] == "edits":
            raise UnsupportedError(
                "edits begin at the trials of a record, which a run has none of; use environment='tokens' or 'grid'"
            )
        if evaluations < _FEWEST:
            raise InvalidValueError(
                f"a run of sampler 'gflownet' needs at least {_FEWEST} evaluations, got {evaluations}; for fewer call "
                "optimize without vectorized=True"
            )
        given = {key: self._options[key] for key in ("beta", "reward", "order", "batch", "environment")}
        with alone():
            run = Run(space, evaluate, evaluations - _STAYS, rng, Options(**given), state, self._options["device"])
        going = True
        while going:
            with alone():
                for _ in range(_PACE):
                    going = run.step()
                    if not going:
                        break
            if going:
                yield Milestone(run.calls, run.state_dict(), f"loss {np.mean(run.loss[-_PACE:]):.3g}")
        with alone():
            trace = run.trace()
            sample = run.model.sample(_STAYS, self.generator(rng))
        if self._options["reward"] == "values" and not self._options["order"] and run.negative:
            warnings.warn(
                f"reward='values' takes values for rewards, which are >= 0: {run.negative} values below 0 counted as 0;"
                " use reward='scaled' where they mean something",
                WorkbenchWarning, stacklevel=2,
            )  # fmt: skip
        reasons = "; ".join(map(str, trace["reasons"]))
        note = f"look at the policy: {reasons}" if reasons else "the policy may be trusted"
        yield Milestone(
            run.calls + len(sample),
            run.state_dict(),
            note,
            trace,
            sample,
            run.model.arrays() | {"reasons": trace["reasons"]},
        )

    def generator(self, rng: np.random.Generator) -> torch.Generator:
        """One of its own on the device, seeded by what is left of another's numbers."""
        import torch

        return torch.Generator(self._options["device"] or "cpu").manual_seed(int(rng.integers(2**63)))

    def _start_size(self, history: History) -> int:
        start: int | None = self._options["start"]
        if start is not None:
            return start
        size = 2 * (dimension(history.space) + 1)
        return size if history.budget is None else max(2, min(size, history.budget // 4))

    def _sampled(self, request: AskRequest, taken: list[Array], n: int) -> list[Proposal]:
        """n points from a GFlowNet."""
        from workbench.models.gp import GaussianProcesses, alone

        surrogate = GaussianProcesses.fit(request.history, deadline=request.deadline)
        with alone(request.deadline):
            if self._answers(request):
                model, whole = self._conditional(request, surrogate)
                return self._preferred(request, model, surrogate, taken, n, late=not whole or surrogate.late)
            return _Batch(self, request, surrogate, taken).choose(n)

    # -- any preference at once ------------------------------------------------------------------

    def state_dict(self) -> Mapping[str, NDArray[Any]] | None:
        """The policy that answers preferences, if this ask has trained one."""
        return self._made

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over the policy that an earlier ask has trained, or the state of a run."""
        self._held = dict(state)

    def _answers(self, request: AskRequest) -> bool:
        """Is one policy for every preference wanted?"""
        options = self._options
        return bool(request.prefer) and options["acquisition"] is None and options["environment"] != "edits"

    def _of_run(self, request: AskRequest) -> Model | None:
        """The policy that a vectorised run has left, if it is one of this space and knows preferences."""
        from workbench.samplers.gflownet.running import Model

        history, held = request.history, self._held
        if held is None or "known" in held or not Model.belongs(held, history.space):
            return None
        model = Model.of(history.space, held, request.fixed)
        return model if model.answers and model.m == len(history.measured) else None

    def _conditional(self, request: AskRequest, surrogate: GaussianProcesses) -> tuple[Model, bool]:
        """The policy of an ask with the same record, or one trained now; and whether the time sufficed."""

        from workbench.samplers.gflownet.preferring import OPTIONS, known, learn_preferences
        from workbench.samplers.gflownet.running import Model

        history, fixed = request.history, request.fixed
        now = known(history, fixed)
        if self._held is not None and "known" in self._held and np.array_equal(self._held["known"], now):
            return Model.of(history.space, self._held, fixed), True
        generator = self.generator(request.rng)
        options = replace(OPTIONS, beta=self._options["beta"], environment=self._options["environment"])
        model = Model(history.space, len(history.measured), options, generator, fixed)
        spread = history.space.sobol(_SPREAD, history.seed, fixed=fixed)
        reserve = _RESERVE * request.seconds_left if request.deadline is not None else 0.0
        whole = learn_preferences(
            model, surrogate, history, spread, generator, steps=self._options["steps"],
            over=lambda: request.seconds_left <= reserve,
        )  # fmt: skip
        if whole:
            self._made = model.arrays() | {"known": now}
        return model, whole

    def _preferred(
        self, request: AskRequest, model: Model, surrogate: GaussianProcesses | None, taken: Sequence[Array], n: int,
        late: bool = False,
    ) -> list[Proposal]:  # fmt: skip
        """n points that the model draws for the preference, the most probable of them first."""
        import torch

        from workbench.models.gp import alone

        history = request.history
        weights = [float(request.prefer.get(goal.name, 0.0)) for goal in history.measured]
        with alone(request.deadline):
            generator = torch.Generator(model.policy.device).manual_seed(int(request.rng.integers(2**63)))
            X = model.likeliest(_DRAWN, weights, generator, n, Screen(history, taken).admits)[:n]
        by = "the last run" if surrogate is None else "what the model of the record foretells"
        meta: dict[str, Any] = {"prefer": dict(request.prefer)}
        if surrogate is not None:
            meta["gp"] = surrogate.memory.to_json()
        said = (_LATE_WARNING,) if late else ()
        if surrogate is None and self._held is not None and len(doubts := self._held.get("reasons", np.empty(0))):
            said = (f"the policy of the last run is not to be trusted yet: {'; '.join(map(str, doubts))}",)
        proposals = []
        for x in X:
            foretold = {} if surrogate is None else _foreseen(surrogate, x)
            why = f"drawn for this preference by one policy for all of them, trained on {by}"
            proposals.append(Proposal(x, meta | _LATE if late else meta, why, foretold, warnings=said))
        missing = n - len(proposals)
        if missing:
            proposals += spread_out(request, missing, [*taken, *X], **_nothing_new(history))
        return proposals


def _nothing_new(history: History) -> dict[str, Any]:
    """What is said of points that no policy led to."""
    size = history.space.size()
    if size is not None and size <= 2 * len(history):
        return {"why": "what is left of the space"}
    return {"why": "spread evenly: nothing new by the policy", "warnings": (_NOTHING_NEW,)}


def _alike(history: History, told: NDArray[np.bool_]) -> bool:
    """Has nothing made a difference yet? A model then only knows what is far away: strings of one letter, say."""
    results = np.hstack([history.Y[told], history.limited[told]])
    other = history.placed & (history.failed | history.infeasible | history.pruned)
    return not other.any() and bool((np.nan_to_num(results) == np.nan_to_num(results[:1])).all())


def _foreseen(surrogate: GaussianProcesses, x: Array) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each quantity at an encoded point (d,), user units."""
    return {
        quantity: {"mean": float(means[0]), "sd": float(sds[0])}
        for quantity, (means, sds) in surrogate.predict(x[None]).items()
    }


class _Batch:
    """One ask, from a fitted model on."""

    def __init__(
        self, sampler: GFlowNetSampler, request: AskRequest, surrogate: GaussianProcesses, taken: Sequence[Array]
    ) -> None:
        self._sampler, self._request, self._surrogate = sampler, request, surrogate
        self._taken = list(taken)
        self._begun = request.seconds_left
        self._whole = True  # did the time suffice so far?

    def choose(self, n: int) -> list[Proposal]:
        """n proposals; what the time is too short for is quasi-random.

        Raises:
            DeadlineReached: if there is no candidate at all.
        """
        request = self._request
        screen = Screen(request.history, self._taken)
        finalists: Array | None = None  # trained for when the first of them is needed
        proposals: list[Proposal] = []
        while len(proposals) < n and (not proposals or request.seconds_left > 0):
            name, chosen = self._chosen()
            beside = (len(request.history) + len(self._taken)) % 2 == 1
            found = self._beside(chosen, screen) if beside else None
            how = "the best of what was sampled" if found is None else "searched beside the best trials"
            if found is None:
                try:
                    finalists = self._trained(chosen, screen) if finalists is None else finalists
                except DeadlineReached:
                    break
                finalists = finalists[screen.admits(finalists)]
                if len(finalists) == 0:
                    break
                values = chosen.acquisition.value(self._surrogate.inputs.model_points(finalists))
                found = finalists[int(np.argmax(values))], float(np.max(values))
            proposals.append(self._explained(*found, name, chosen, how))
            self._taken.append(found[0])
            screen.take(found[0][None])
        missing = n - len(proposals)
        if missing == 0:
            return proposals
        if request.seconds_left <= 0:
            if not proposals:
                raise DeadlineReached("the time given to this ask is over")
            return proposals + spread_out(replace(request, deadline=None), missing, self._taken, **_TOO_LATE)
        return proposals + spread_out(request, missing, self._taken, why="what is left of the space")

    def _chosen(self) -> tuple[str, Chosen]:
        """The acquisition function, given the trials in flight and the points taken."""
        from workbench.acquisition import plan

        request, history = self._request, self._request.history
        flying = history.X[history.pending & history.placed]
        pending = np.concatenate([flying, np.reshape(self._taken, (-1, history.space.width))])
        spread = history.space.sobol(_SPREAD, history.seed, fixed=request.fixed)
        setting = plan.Setting(
            history, self._surrogate, pending, spread, request.fixed, request.rng, _no_climb, request.prefer
        )
        seconds = request.seconds_left
        name, _ = plan.name_for(setting, seconds)
        asked = self._sampler.options()["acquisition"]
        if asked is not None and name not in {"feasibility", "target_ei"}:
            name = asked
        return name, plan.chosen(name, setting, seconds)

    def _trained(self, chosen: Chosen, screen: Screen) -> Array:
        """The best points that training and sampling came across.

        Raises:
            DeadlineReached: if time was over before there was any.
        """
        from workbench.samplers.gflownet.acquiring import EDITING, SETTINGS, learn
        from workbench.samplers.gflownet.points import SpaceEdits

        request, history, options = self._request, self._request.history, self._sampler.options()
        generator = self._sampler.generator(request.rng)
        spread, best = self._spread(), self._best(_GOOD)
        environment: Points
        if options["environment"] == "edits":
            starts = best if len(best) else spread[:_GOOD]
            environment = SpaceEdits(history.space, starts, _EDITS, request.fixed, generator)
            settings, breed = EDITING, None
        else:
            environment, settings, breed = self._written, SETTINGS, self._written.children
        pool = self._pool(environment, chosen, screen)
        reserve = _RESERVE * self._begun if np.isfinite(self._begun) else 0.0
        self._whole &= learn(
            environment, pool, environment.states(np.concatenate([spread, best])), generator,
            settings=replace(settings, steps=options["steps"]), breed=breed,
            over=lambda: request.seconds_left <= reserve,
        )  # fmt: skip
        return pool.best(_FINALISTS)

    def _beside(self, chosen: Chosen, screen: Screen) -> tuple[Array, float] | None:
        """The best point that a search from the best trials comes across, and its value; None if there is none."""
        import torch

        from workbench.samplers.gflownet.acquiring import climb

        best = self._best(_STARTS)
        if len(best) == 0:
            return None
        environment = self._written
        pool = self._pool(environment, chosen, screen)
        generator = torch.Generator().manual_seed(int(self._request.rng.integers(2**63)))  # of children, on the CPU
        try:
            climb(environment.children, pool, environment.states(best), generator)
        except DeadlineReached:
            self._whole = False
        found = pool.best(1)
        return (found[0], float(pool(environment.states(found))[0])) if len(found) else None

    @cached_property
    def _written(self) -> SpaceGrid | SpaceEnvironment:
        """The space as it is written down; in tokens where trajectories are edits."""
        from workbench.samplers.gflownet.points import environment_of

        kind = self._sampler.options()["environment"]
        return environment_of("tokens" if kind == "edits" else kind, self._request.history.space, self._request.fixed)

    def _pool(self, environment: Points, chosen: Chosen, screen: Screen) -> Pool:
        from workbench.acquisition.search.objective import Objective
        from workbench.samplers.gflownet.acquiring import Pool

        objective = Objective(chosen.acquisition, self._surrogate.inputs, self._request.deadline)
        return Pool(environment, objective.values, screen.admits)

    def _spread(self) -> Array:
        """Spread points, encoded."""
        request = self._request
        return request.history.space.sobol(_SPREAD, int(request.rng.integers(2**31)), fixed=request.fixed)

    def _best(self, n: int) -> Array:
        """The n best trials as far as they exist with what is fixed, encoded: the front first."""
        request, history = self._request, self._request.history
        rows = np.flatnonzero(history.counted & history.placed & ~np.isnan(history.Y).any(axis=1))
        worth = history.utility(history.Y[rows])
        rank = worth[:, 0] if worth.shape[1] == 1 else _fronts_first(worth)
        best = history.X[rows[np.argsort(-rank, kind="stable")[:n]]]
        for name, value in request.fixed.items():
            best[:, history.space.slices[name]] = history.space[name].encode([value])
        best = best[~(np.isnan(best) & history.space.mask(best)).any(axis=1)]  # switched on by what is fixed: no value
        best = history.space.encode(history.space.decode(best)) if len(best) else best
        return best[history.space.feasible(best)] if len(best) else best

    def _explained(self, x: Array, value: float, name: str, chosen: Chosen, how: str) -> Proposal:
        predicted = _foreseen(self._surrogate, x)
        goals = self._request.history.measured
        foretold = ", ".join(f"{g.name} {predicted[g.name]['mean']:.4g} ± {predicted[g.name]['sd']:.2g}" for g in goals)
        why = f"where {name} is high, {how}: predicted {foretold}"
        if chosen.best is not None:
            why += f", to beat {goals[0].sign * chosen.best:.4g}"
        meta: dict[str, Any] = {"acquisition": name, "value": value, "gp": self._surrogate.memory.to_json()}
        late = not self._whole or self._surrogate.late
        return Proposal(
            x, meta | _LATE if late else meta, why, predicted, warnings=(_LATE_WARNING,) if late else ()
        )  # fmt: skip


def _writable(history: History) -> NDArray[np.bool_]:
    """Which trials are points of the present space that meet its constraints, shape (N,): tokens write no others."""
    there = np.array(history.placed)
    rows = np.flatnonzero(there)
    if rows.size:
        there[rows] = inside(history.space, history.X[rows]) & history.space.feasible(history.X[rows])
    return there


def _no_climb(acquisition: Any) -> Array:
    raise UnsupportedError("the acquisition functions of sampler 'gflownet' need no maximum of another function")


def _fronts_first(U: Array) -> Array:
    from workbench.pareto import non_dominated

    return non_dominated(U).astype(np.float64)
