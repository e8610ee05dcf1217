"""`Model`: what a study believes at one revision of its record, and what follows from that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import DeadlineReached, InvalidValueError, TrialStateError, UnsupportedError, WorkbenchError
from workbench.integers import integer
from workbench.samplers.base import AskRequest, Sampler, Screen
from workbench.trial import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.analysis import (
        Belief,
        Diagnosis,
        Explanation,
        Importance,
        ModelFront,
        Recommendation,
        Verdict,
        Worth,
    )
    from workbench.models.surrogate import Surrogate
    from workbench.study.utility import Favourite, Utility
    from workbench.trial import History

    Array = NDArray[np.float64]

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    """The belief at one revision of the record; never mixed with observed values.

    Args:
        history: The record.
        surrogate: Its model; None where there is none.
        missing: Why there is none, plain text.
        sampler: What fits the model of an earlier record.
        make_sampler: Names to samplers.
        rivals: Names of samplers whose proposals `explain` compares with.
    """

    history: History
    surrogate: Surrogate | None
    missing: str = ""
    sampler: Sampler | None = None
    make_sampler: Callable[[str], Sampler] | None = None
    rivals: Sequence[str] = ()
    _made: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Model({self.history!r}{f', none: {self.missing}' if self.surrogate is None else ''})"

    # -- predictions -----------------------------------------------------------------------------

    def predict(self, params: Params | Sequence[Params]) -> dict[str, tuple[Array, Array]]:
        """Mean and standard deviation of each objective, and each quantity with limits, at given points.

        Args:
            params: One point or a list of n points, user units.
        Returns:
            {quantity: (mean, sd)}, arrays of shape (n,) in user units, without measurement noise.
        Raises:
            TrialStateError: if the record is too small for a model.
            InvalidValueError: for a wrong point.
        """
        surrogate = self._needed()
        return surrogate.predict(self._encoded(params))

    def feasibility(self, params: Params | Sequence[Params]) -> Array:
        """Probability that a trial succeeds and holds every measured limit, shape (n,). Arguments as of `predict`."""
        surrogate = self._needed()
        return surrogate.feasibility(self._encoded(params))

    def acquisition(self, params: Params | Sequence[Params]) -> Array:
        """Expected gain over the best trial times the probability to hold the limits, shape (n,), user units.

        What draws suggestions, for looking at; they also count trials in flight. NaN while no trial counts.
        Of several objectives the gain is a share of the hypervolume of the front.
        """
        return self._gained(self._encoded(params))

    def _gained(self, X: Array) -> Array:
        from workbench.analysis import gained

        belief = self.belief()
        if not belief.counted.size:
            return np.full(len(X), np.nan)
        return gained(belief, X)[0] * belief.gp.feasibility(X)

    def along(self, quantity: str) -> Callable[[Sequence[Params]], tuple[Array, Array]]:
        """Mean and sd of one quantity, as the figures want it: a function of points in canonical form, unchecked.

        Args:
            quantity: Name of an objective or a quantity with limits.
        """
        from workbench.models.gp import alone

        belief = self.belief()
        (chosen,) = belief.chosen(quantity)

        def moments(points: Sequence[Params]) -> tuple[Array, Array]:
            Z = belief.gp.inputs.model_points(self.history.space.encode(points))
            with alone():
                return chosen.told(*chosen.process.posterior.mean_sd(Z))

        return moments

    def chance(self, points: Sequence[Params]) -> Array:
        """`feasibility` of points in canonical form, unchecked, shape (n,)."""
        return self._needed().feasibility(self.history.space.encode(points))

    def gain(self, points: Sequence[Params]) -> Array:
        """`acquisition` of points in canonical form, unchecked, shape (n,)."""
        return self._gained(self.history.space.encode(points))

    def predictor(self) -> Any:
        """`predict` as the figures want it, None where there is no model."""
        return None if self.surrogate is None else self.predict

    def utility(self, rater: str | None = None) -> Utility:
        """What people's answers say that trials are worth, who the favourite is, and where a better one may be.

        Args:
            rater: From this rater's answers alone; None for all, each by their reliability.
        Raises:
            TrialStateError: if there is no answer yet.
            UnsupportedError: if nothing is judged by people in this study, or the space has no model.
        """
        from workbench.models.taste import learn
        from workbench.study.utility import Utility

        key = ("utility", rater)
        if key not in self._made:
            self._made[key] = Utility(learn(self.history, rater=rater))
        made: Utility = self._made[key]
        return made

    # -- what follows ------------------------------------------------------------------------------

    def recommend(
        self,
        *,
        risk: float = 0.0,
        sure: float = 0.9,
        prefer: Mapping[str, float] | None = None,
        fixed: Params | None = None,
    ) -> Recommendation | Favourite:
        """The best point anywhere as the model sees it, and why it is not the best trial.

        In a study that only people judge: the point of largest mean utility, and none of the arguments is served.

        Args:
            risk: Standard deviations to subtract from what is expected: 1 prefers what is well known.
            sure: Probability with which it has to hold every limit and succeed.
            prefer: Weights of several objectives by name.
            fixed: Parameters held at a value; needed for every role "context".
        Raises:
            TrialStateError: if the record is too small for a model.
        """
        from workbench.analysis import recommend

        if not self.history.measured:
            if risk or sure != 0.9 or prefer is not None or fixed is not None:
                raise UnsupportedError("what people judge is recommended without risk=, sure=, prefer= and fixed=")
            return self.utility().recommend()
        allows = Screen(self.history).allows
        return recommend(self.belief(), risk=risk, sure=sure, prefer=prefer, fixed=fixed, allows=allows)

    def pareto_front(self) -> ModelFront:
        """The front as the model believes in it: how sure each trial is to be on it, and where it runs.

        Raises:
            TrialStateError: if the record is too small for a model.
        """
        from workbench.analysis import pareto_front

        surrogate = self._needed()
        found: ModelFront = self._once("front", lambda: pareto_front(self.history, surrogate))
        return found

    def importance(self, quantity: str | None = None) -> dict[str, Importance]:
        """How much of the change each parameter carries: Sobol total indices with intervals, by quantity.

        Args:
            quantity: Name of one objective or quantity with limits; None for all.
        """
        from workbench.analysis import importance

        belief = self.belief()
        names = [one.name for one in belief.chosen(quantity)]
        found: dict[str, Importance] = {}
        for name in names:
            found |= self._once(("importance", name), partial(importance, belief, name))
        return found

    def diagnose(self) -> Diagnosis:
        """Is the model to be trusted, and is the study in good order? Also of a record that is too small for one."""
        from workbench.analysis import diagnose

        belief = None if self.surrogate is None else self.belief()
        found: Diagnosis = self._once("diagnosis", lambda: diagnose(self.history, belief, self.missing))
        return found

    def worth_more(self, ahead: Sequence[int] = (1, 5, 10), *, fixed: Params | None = None) -> Worth:
        """What further trials are expected to gain, in user units, and whether to go on.

        Args:
            ahead: Numbers of trials, each from 1 to 200.
            fixed: Parameters held at a value; needed for every role "context".
        """
        from workbench.analysis import FARTHEST, worth_more

        whole = [integer(n, 1, FARTHEST) for n in ahead] if isinstance(ahead, Iterable) else []
        numbers = [n for n in whole if n is not None]
        if not numbers or len(set(numbers)) < len(whole):
            raise InvalidValueError(
                f"expected different numbers of trials from 1 to {FARTHEST}, such as [1, 5], got {ahead!r}"
            )
        belief = self.belief()
        key = ("worth", *sorted(numbers), self.history.space.key(dict(fixed or {})))
        found: Worth = self._once(key, lambda: worth_more(belief, numbers, fixed))
        return found

    def explain(self, trial: Trial | int, *, others: Sequence[str] | None = None) -> Explanation:
        """Why a trial was proposed: what was expected then and now, and what other samplers would have proposed.

        Args:
            trial: The trial or its number.
            others: Names of samplers; by default some that are quick and serve the study. Each is asked again on the
                record as it was.
        Raises:
            InvalidValueError: for a number that the record does not have.
        """
        from workbench.analysis import explain

        number = integer(trial.number if isinstance(trial, Trial) else trial, 0, len(self.history) - 1)
        if number is None:
            raise InvalidValueError(f"expected a trial or its number, 0 to {len(self.history) - 1}, got {trial!r}")
        belief = self.belief()
        earlier = self.history.as_of(number)
        asked = self.history.rows[number].origin == "asked"
        before = self._before(earlier) if asked else None
        names = self.rivals if others is None else others
        proposals = [self._would(name, earlier, number) for name in names if asked]
        if others is None:  # those that nobody named are left out where they cannot serve the study
            proposals = [one for one in proposals if one[1] is not None]
        return explain(belief, number, before=before, others=proposals)

    def verdicts(self) -> list[Verdict]:
        """Every finding in the order of a page: trust, order of the study, what matters, what is still to gain."""
        diagnosis = self.diagnose()
        if self.surrogate is None:
            return list(diagnosis.verdicts)
        moves = [verdict for one in self.importance().values() for verdict in one.verdicts()]
        if any(p.role in ("context", "environment") for p in self.history.space):
            return [*diagnosis.verdicts, *moves]  # what is still to gain depends on what the world does
        return [*diagnosis.verdicts, *moves, self.worth_more().verdict()]

    def _repr_html_(self) -> str:
        """What a notebook shows: what is quick to find out."""
        return self.diagnose()._repr_html_()

    # -- inside --------------------------------------------------------------------------------------

    def _needed(self) -> Surrogate:
        if self.surrogate is None:
            raise TrialStateError(self.missing)
        return self.surrogate

    def belief(self) -> Belief:
        """Record and model together, as the functions of `workbench.analysis` take them.

        Raises:
            TrialStateError: if the record is too small for a model.
        """
        from workbench.analysis import Belief

        surrogate = self._needed()
        found: Belief = self._once("belief", lambda: Belief(self.history, surrogate))
        return found

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made before under this key, or what `make` makes; equal calls give equal results."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _encoded(self, params: Params | Sequence[Params]) -> Array:
        if not isinstance(params, Iterable):
            raise InvalidValueError(f"parameters are a mapping by name, or a list of such mappings; got {params!r}")
        points = [params] if isinstance(params, Mapping) else list(params)
        points = [self.history.space.check(point, bounds=False) for point in points]
        return self.history.space.encode(points)

    def _before(self, earlier: History) -> Belief | None:
        """Record and model as they were at an ask; None where there was too little for a model."""
        from workbench.analysis import Belief

        known = earlier.Y[earlier.complete & earlier.placed]
        if self.sampler is None or not len(known) or (~np.isnan(known)).sum(axis=0).min() < FEWEST:
            return None
        return Belief(earlier, self.sampler.surrogate(earlier))

    def _would(self, name: str, earlier: History, number: int) -> tuple[str, Params | None, str]:
        """What another sampler would have proposed on an earlier record."""
        if self.make_sampler is None:
            raise UnsupportedError(f"this model knows no other samplers, so it cannot ask {name!r}")
        sampler = self.make_sampler(name)
        rng = np.random.default_rng([earlier.seed, number])
        request = AskRequest(earlier, 1, rng, number)
        try:
            sampler.check(request)
            proposal = sampler.ask(request)[0]
        except (UnsupportedError, DeadlineReached, WorkbenchError) as error:
            return name, None, str(error)
        return name, earlier.space.decode(proposal.x[None])[0], proposal.why


FEWEST = 2  # complete trials without which there is no model
