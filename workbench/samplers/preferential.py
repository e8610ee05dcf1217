"""Bayesian optimisation of what people like: which trials to show next, and where to go for what they like.

Utility over designs: a question is put together point by point, each the best by an acquisition function of the joint
posterior with those before it, then the first is looked for once more given all others. Where the best point is a
trial that is there already, that trial is shown. Utility over outcomes: a question is put together of measured trials,
and a trial to measure is the maximiser of the expected improvement of utility over the outcomes that are foreseen
(BOPE).

Symbols: k trials of a question, d encoded columns.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DeadlineReached, UnsupportedError
from workbench.models.surrogate import MODELLED, dimension, unmodelled
from workbench.problem import Preference
from workbench.rankings import ORDERING
from workbench.samplers.base import NEAR, AskRequest, Proposal, Sampler, Screen, spread_out
from workbench.space import Simplex
from workbench.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.acquisition.base import Acquisition
    from workbench.models.taste import Taste
    from workbench.trial import History

    Array = NDArray[np.float64]

ACQUISITIONS = ("eubo", "utility_ei", "duel_thompson", "duel_information", "duel_kg")
_START = 12  # judged trials after which the model takes over, at most
_SPREAD = 40  # points that the knowledge gradient compares
_LATE = "the time given was over: this is the best question found so far"
_FLYING = 8  # unjudged trials in flight that a question is joined to
_WORDS = {
    "favourite": "the highest mean utility",
    "eubo": "highest expected utility of the best shown",
    "utility_ei": "highest expected improvement of utility",
    "duel_thompson": "maximum of a utility drawn from the model",
    "duel_information": "most information about utility in its comparison",
    "duel_kg": "highest knowledge gradient of its comparison",
}


class PreferenceSampler(Sampler):
    """A Gaussian process of utility, learnt from answers, and an acquisition function for the next question.

    Args:
        acquisition: "eubo", "utility_ei", "duel_thompson", "duel_information" or "duel_kg".
        family: Likelihood of answers: "luce" (Plackett-Luce) or "probit".
        restarts: Local searches for each point.
        raw_samples: Points that are screened for their starts.
    """

    name = "preference"
    serves = MODELLED | {"context", "near", "preference", "objectives"}

    def __init__(
        self, acquisition: str = "eubo", family: str = "luce", restarts: int = 3, raw_samples: int = 128
    ) -> None:
        if acquisition not in ACQUISITIONS:
            raise UnsupportedError(f"acquisition must be one of {', '.join(ACQUISITIONS)}; got {acquisition!r}")
        if family not in ("luce", "probit"):
            raise UnsupportedError(f"family must be 'luce' or 'probit', got {family!r}")
        if not 1 <= restarts <= raw_samples:
            raise UnsupportedError(f"needs 1 <= restarts <= raw_samples, got {restarts} and {raw_samples}")
        self._acquisition, self._family, self._restarts, self._raw_samples = acquisition, family, restarts, raw_samples

    def options(self) -> dict[str, Any]:
        """Acquisition, likelihood, and effort of the search."""
        return {
            "acquisition": self._acquisition, "family": self._family,
            "restarts": self._restarts, "raw_samples": self._raw_samples,
        }  # fmt: skip

    def check(self, request: AskRequest) -> None:
        """Refuse studies without one preference, spaces without a model, and goals that this sampler would ignore."""
        super().check(request)
        history = request.history
        goals = [goal for goal in history.objectives if isinstance(goal, Preference)]
        reasons = unmodelled(history.space)
        sparse = (p for p in history.space if isinstance(p, Simplex) and p.max_nonzero is not None)
        reasons += [f"max_nonzero of {p.name!r}" for p in sparse]
        if len(goals) != 1:
            reasons.append(f"it needs exactly one wb.Preference, this study has {len(goals)}")
        elif goals[0].over == "outcomes" and not history.measured:
            reasons.append(f"{goals[0].name!r} depends on measured outcomes, and nothing is measured")
        elif goals[0].over == "design" and history.measured and request.purpose == "evaluate":
            reasons.append(f"it would ignore {history.measured[0].name!r} beside {goals[0].name!r}")
        if reasons:
            raise UnsupportedError(
                f"sampler 'preference' cannot serve this: {'; '.join(reasons)}. Use sampler='auto', or 'sobol'"
            )

    def ask(self, request: AskRequest) -> list[Proposal]:
        """Sobol points until there are some answers, then what the acquisition function finds."""
        from workbench.models.gp import alone
        from workbench.models.taste import preference

        request = _wished(request)
        with alone(request.deadline):
            request.check_deadline()
            if preference(request.history).over == "design":
                return self._designs(request)
            return self._measured(request) if request.purpose == "question" else self._outcomes(request)

    # -- utility over designs --------------------------------------------------------------------

    def _designs(self, request: AskRequest) -> list[Proposal]:
        from workbench.models.taste import learn

        history = request.history
        kept = [row for row in _back(history) if row not in request.held][: request.n]
        first = [Proposal(history.X[row], why="you went back to it", trial=int(history.numbers[row])) for row in kept]
        request = replace(request, n=request.n - len(first))
        if request.n == 0 or _judged(history) < start_size(history):
            return first + (spread_out(request, why="spread evenly until there are some answers") if request.n else [])
        taste = learn(history, family=self._family, deadline=request.deadline)  # type: ignore[arg-type]
        company = [*kept, *_company(history)]
        search = _Search(self, request, taste, list(history.X[company]))
        return first + search.question()

    # -- utility over outcomes -------------------------------------------------------------------

    def _measured(self, request: AskRequest) -> list[Proposal]:
        """Measured trials to compare: the ones that promise most, given those chosen before."""
        from workbench.acquisition.preference import eubo, informative
        from workbench.models.taste import learn

        history = request.history
        rows = np.flatnonzero(history.complete & history.placed & ~np.isnan(history.Y).any(axis=1))
        rows = np.setdiff1d(rows, _pinned(history))
        taken = np.isin(rows, list(request.held))
        free, held = rows[~taken], rows[taken]
        # Raters may be asked about the same trials where these were judged before, about the same question never.
        judged = {n for entry in history.feedback for n in entry.of}
        rows = np.concatenate([free, held[[row in judged for row in held.tolist()]]])
        if len(rows) < request.n or not len(free):
            others = f" beside {len(held)} in open questions of other raters" if len(held) else ""
            raise UnsupportedError(
                f"a question of {request.n} trials needs as many measured ones, there are {len(free)}{others}; "
                "measure more first"
            )
        if not _judged(history):
            chosen = _apart(history.utility(history.Y[rows]), request.n)
            return [self._shown(history, rows[i], "far apart from the others in its outcomes") for i in chosen]
        taste = learn(history, family=self._family, deadline=request.deadline)  # type: ignore[arg-type]
        Z, chosen = taste.of_rows(rows), list[int]()
        company = taste.of_rows(_pinned(history))
        for _ in range(request.n):
            A = np.concatenate([company, Z[chosen]])
            if self._acquisition == "duel_information" and len(A):
                values = informative(taste.model, A).value(Z)
            else:
                values = eubo(taste.model, A, history.seed % 2**31).value(Z)
            values[chosen] = -np.inf
            if len(chosen) < len(free):
                values[len(free) :] = -np.inf
            chosen.append(int(np.argmax(values)))
        return [self._shown(history, rows[i], _WORDS["eubo"]) for i in chosen]

    @staticmethod
    def _shown(history: History, row: int, why: str) -> Proposal:
        return Proposal(history.X[row], why=why, trial=int(history.numbers[row]))

    def _outcomes(self, request: AskRequest) -> list[Proposal]:
        """Designs whose outcomes promise the largest gain of utility."""
        from workbench.acquisition.preference import OutcomeEI
        from workbench.acquisition.search import Region, maximize
        from workbench.models.gp import GaussianProcesses
        from workbench.models.taste import learn

        history = request.history
        told = history.complete & history.placed & ~np.isnan(history.Y).any(axis=1)
        if told.sum() < max(2, start_size(history)) or not _judged(history):
            return spread_out(request, why="spread evenly until there are enough outcomes and some answers")
        gp = GaussianProcesses.fit(history, deadline=request.deadline)
        taste = learn(history, family=self._family, deadline=request.deadline)  # type: ignore[arg-type]
        favourite = taste.favourite
        good = history.X[[favourite]] if favourite is not None else history.X[:0]
        best = float(taste.model.mean_sd(taste.of_rows(np.flatnonzero(told)))[0].max())
        proposals: list[Proposal] = []
        flying = list(history.X[history.pending & history.placed])
        for i in range(request.n):
            taken = [*flying, *(p.x for p in proposals)]
            posterior = _believed(gp, gp.inputs.model_points(np.array(taken))) if taken else gp
            deadline = None if request.deadline is None else time.monotonic() + request.seconds_left / (request.n - i)
            screen = Screen(history, [p.x for p in proposals], request.centre)
            region = Region(history.space, gp.inputs, request.fixed, screen.admits, deadline, _vicinity(request))
            acquisition = OutcomeEI(taste, posterior, best, history.seed % 2**31)
            found = maximize(
                acquisition, region, request.rng, good, restarts=self._restarts, raw_samples=self._raw_samples
            )
            if found is None:
                return proposals + spread_out(request, request.n - i, [p.x for p in proposals])
            predicted = {
                name: {"mean": float(mean[0]), "sd": float(sd[0])}
                for name, (mean, sd) in gp.predict(found.x[None]).items()
            }
            meta = {"gp": gp.memory.to_json(), "preference": taste.memory, "acquisition": "utility_ei"}
            proposals.append(Proposal(found.x, meta, _WORDS["utility_ei"], predicted))
        return proposals


class _Search:
    """Puts a question together."""

    def __init__(self, sampler: PreferenceSampler, request: AskRequest, taste: Taste, company: list[Array]) -> None:
        self._sampler, self._request, self._taste, self._company = sampler, request, taste, company
        self._history = request.history
        self._name = sampler._acquisition
        self._levels = [int(taste.inputs.high[column]) + 1 for column in taste.inputs.categorical]
        favourite = taste.favourite
        self._favourite = None if favourite is None else self._history.X[favourite]

    def question(self) -> list[Proposal]:
        """n proposals; past the deadline, what is there and quasi-random points."""
        chosen: list[Proposal] = []
        n = self._request.n
        try:
            for _ in range(n):
                found = self._best(chosen, show=self._request.purpose == "question")
                if found is None:
                    return chosen + spread_out(self._request, n - len(chosen), [p.x for p in chosen])
                chosen.append(found)
            if (
                self._name == "eubo" and n > 1 and chosen[0].trial is None
            ):  # it was chosen without knowing of the others
                found = self._best(chosen[1:], show=False)
                chosen[0] = chosen[0] if found is None else found
        except DeadlineReached:
            if not chosen:
                raise
            rest = replace(self._request, deadline=None)
            late = "the time given was over: a quasi-random point instead"
            return chosen + spread_out(
                rest, n - len(chosen), [p.x for p in chosen], why="time was over", meta={"deadline_hit": True},
                warnings=(late,),
            )  # fmt: skip
        return chosen

    def _best(self, chosen: Sequence[Proposal], *, show: bool) -> Proposal | None:
        from workbench.acquisition.search import Region, maximize

        points = [*self._company, *(p.x for p in chosen)]
        name, acquisition = self._acquisition(points)
        request, inputs = self._request, self._taste.inputs
        screen = Screen(self._history, [p.x for p in chosen], request.centre)
        region = Region(self._history.space, inputs, request.fixed, screen.admits, request.deadline, _vicinity(request))
        around = np.empty((0, self._history.space.width)) if self._favourite is None else self._favourite[None]
        found = maximize(
            acquisition, region, request.rng, around,
            restarts=self._sampler._restarts, raw_samples=self._sampler._raw_samples,
        )  # fmt: skip
        old = self._existing(acquisition, chosen) if show and name != "duel_thompson" else None
        if old is not None and (found is None or old[1] >= found.value):
            row = old[0]
            return Proposal(self._history.X[row], why=_WORDS[name], trial=int(self._history.numbers[row]))
        if found is None:
            return None
        mean, sd = self._taste.model.mean_sd(inputs.model_points(found.x[None]))
        meta: dict[str, Any] = {"acquisition": self._name, "value": found.value, "preference": self._taste.memory}
        why = f"{_WORDS[name]}: predicted utility {mean[0]:.3g} ± {sd[0]:.2g}"
        late = found.late or self._taste.model.late
        warnings = (_LATE,) if late else ()
        return Proposal(found.x, meta | ({"deadline_hit": True} if late else {}), why, warnings=warnings)

    def _existing(self, acquisition: Acquisition, chosen: Sequence[Proposal]) -> tuple[int, float] | None:
        """The judged trial that is best to show again, and its value."""
        shown = {p.trial for p in chosen} | set(_pinned(self._history).tolist()) | set(_back(self._history))
        if all(p.trial in self._request.held for p in chosen):  # a question is never the same as another rater's
            shown |= self._request.held
        rows = [row for row in self._taste.candidates.tolist() if row not in shown]
        screen = Screen(self._history, centre=self._request.centre)
        rows = [row for row, fine in zip(rows, screen.allows(self._history.X[rows]), strict=True) if fine]
        if not rows or self._request.fixed:
            return None
        values = acquisition.value(self._taste.inputs.model_points(self._history.X[rows]))
        return rows[int(np.argmax(values))], float(values.max())

    def _acquisition(self, points: Sequence[Array]) -> tuple[str, Acquisition]:
        from workbench.acquisition.improvement import LogEI
        from workbench.acquisition.preference import draw_utility, eubo, informative, knowledge_gradient

        model, inputs = self._taste.model, self._taste.inputs
        A = inputs.model_points(np.array(points).reshape(-1, self._history.space.width))
        if self._name == "duel_thompson":
            return self._name, draw_utility(model, self._request.rng, self._levels)
        if self._name == "utility_ei" and (len(A) or self._request.purpose == "evaluate"):
            known = model.mean_sd(self._taste.of_rows(self._taste.rows))[0].max()
            best = max([known, *model.mean_sd(A)[0]]) if len(A) else known
            return self._name, LogEI(model, float(best))
        if len(A) == 0 or self._name in ("eubo", "utility_ei"):
            return "favourite" if len(A) == 0 else "eubo", eubo(model, A, self._history.seed % 2**31)
        if self._name == "duel_information":
            return self._name, informative(model, A)
        spread = inputs.model_points(self._history.space.sobol(_SPREAD, self._history.seed, fixed=self._request.fixed))
        known_points = self._taste.of_rows(self._taste.rows)
        best_known = np.argsort(-model.mean_sd(known_points)[0], kind="stable")[:_SPREAD]
        return self._name, knowledge_gradient(model, A[0], np.concatenate([known_points[best_known], spread]))


def _believed(gp: Any, P: Array) -> Any:
    """The processes, believed to be as predicted at points (p, d): nothing more will be learnt there."""
    from workbench.models.gp import GaussianProcess

    outputs: list[GaussianProcess] = []
    for output in gp.outputs:
        mean = output.posterior.mean_sd(P)[0]
        outputs.append(replace(output, posterior=output.posterior.condition(P, mean[None], 1e-8).version(0)))
    other = object.__new__(type(gp))
    other.__dict__ = gp.__dict__ | {"outputs": outputs}
    return other


def _vicinity(request: AskRequest) -> Any:
    from workbench.acquisition.search import Vicinity

    return None if request.centre is None else Vicinity(request.centre, NEAR)


def _wished(request: AskRequest) -> AskRequest:
    """The request, near the trial that somebody wanted more of, if that was the last thing said."""
    last = _last(request.history)
    if request.near is not None or request.purpose != "question" or last is None:
        return request
    return replace(request, near=last[1])


def _last(history: History) -> tuple[str, int] | None:
    """The last answer if it was a wish about where to go on, and the row that it names."""
    for entry in reversed(history.feedback):
        if entry.kind in ("more_like", "go_back"):
            return (entry.kind, entry.groups[0][0]) if history.placed[entry.groups[0][0]] else None
        if entry.kind in ORDERING or entry.kind in ("skip", "none_acceptable", "cannot_tell"):
            return None
    return None


def _back(history: History) -> list[int]:
    """The row that somebody has just gone back to."""
    last = _last(history)
    pinned = _pinned(history)
    return [last[1]] if last is not None and last[0] == "go_back" and last[1] not in pinned else []


def _pinned(history: History) -> NDArray[np.int64]:
    """Rows that stay in every question: whoever asks shows them."""
    out = history.in_state(TrialState.VOID, TrialState.REJECTED, TrialState.FAILED)
    pins = {entry.groups[0][0] for entry in history.feedback if entry.kind == "pin"}
    return np.array(sorted(number for number in pins if not out[number]), dtype=np.int64)


def _company(history: History) -> list[int]:
    """Rows that will be shown beside what is proposed, or are being judged: pinned ones, and those in flight."""
    flying = np.flatnonzero(history.in_state(TrialState.RUNNING) & history.placed)[-_FLYING:]
    return list(dict.fromkeys([*_pinned(history).tolist(), *flying.tolist()]))


def _judged(history: History) -> int:
    """How many trials stand in some answer that orders them."""
    return len({n for entry in history.feedback if entry.kind in ORDERING for n in entry.of})


def start_size(history: History) -> int:
    """Judged, or measured, trials before the model takes over: two more than it has lengthscales, at most 12."""
    return min(_START, dimension(history.space) + 2)


def _apart(U: Array, n: int) -> list[int]:
    """n rows of U (k, m) that are far apart: each as far as can be from those before it, the best in sum first."""
    span = np.where(np.ptp(U, axis=0) > 0, np.ptp(U, axis=0), 1.0)
    Z = (U - U.min(axis=0)) / span
    chosen = [int(np.argmax(Z.sum(axis=1)))]
    while len(chosen) < n:
        gaps = ((Z[:, None] - Z[None, chosen]) ** 2).sum(-1).min(axis=1)
        gaps[chosen] = -1.0
        chosen.append(int(np.argmax(gaps)))
    return chosen
