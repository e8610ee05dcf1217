"""A case: a problem with a budget of evaluations and a shared initial design."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from workbench.errors import InvalidValueError, ProblemError
from workbench.problem import Constraint, Objective, Preference, Problem, check_goals
from workbench.space import Space
from workbench.space.parameters import real

Params = Mapping[str, Any]
Values = dict[str, float]
Told = tuple[Values, Values]  # what is told of a point, and the truth
_NOISE = 0x6E01  # sets the noise apart from every other use of a seed


@dataclass(frozen=True, slots=True)
class FunctionProblem:
    """A plain function as a problem; nothing is known of its optimum.

    Args:
        fn: Parameters by name to a number, or to values by name.
        space: Where to look.
        objectives: What the values are.
        name: Name of the problem.
    """

    fn: Callable[[Params], Any]
    space: Space
    objectives: Sequence[Objective]
    name: str
    constraints: Sequence[Constraint] = ()
    source: str = "a function of the user"
    optimum: float | None = None

    def evaluate(self, params: Params) -> Values:
        """Call the function; a bare number is the value of the only objective."""
        found = self.fn(params)
        return dict(found) if isinstance(found, Mapping) else {self.objectives[0].name: found}


@dataclass(frozen=True)
class Case:
    """A problem, how often it may be evaluated, and how many of these are the shared start.

    Args:
        name: Names the case in tables and records.
        problem: What is evaluated. One whose `evaluate` takes `rng` is measured with noise from it.
        evaluations: The whole budget, the start included.
        start: Size of the initial design: scrambled Sobol points of the run's seed.
    Raises:
        InvalidValueError: unless 1 <= start < evaluations.
        ProblemError: if a goal is not measured.
    """

    name: str
    problem: Problem
    evaluations: int
    start: int

    def __post_init__(self) -> None:
        if not 1 <= self.start < self.evaluations:
            raise InvalidValueError(
                f"case {self.name!r} needs 1 <= start < evaluations, got start={self.start}, "
                f"evaluations={self.evaluations}; give it more evaluations or a smaller start"
            )
        check_goals(self.problem.objectives, self.problem.constraints)
        if any(limit.relative for limit in self.problem.constraints):
            raise ProblemError(f"case {self.name!r}: a benchmark has no baseline; give its limits as numbers")
        if any(isinstance(goal, Preference) for goal in self.problem.objectives):
            raise ProblemError(f"case {self.name!r}: a benchmark needs measured objectives, got a Preference")

    @staticmethod
    def of(given: Any, evaluations: int = 40, start: int | None = None, name: str | None = None) -> Case:
        """Make a case of what a user has at hand.

        Args:
            given: A case (returned as it is), a problem, "module:name" (whose code is run), or
                (function, space, objectives).
            start: None for 2 (d + 1) points, at most a quarter of the budget.
            name: None for the problem's name, the noise where it is stated, and the budget.
        """
        if isinstance(given, Case):
            return given
        problem = _problem(given)
        quarter = max(1, evaluations // 4)
        size = min(2 * (problem.space.width + 1), quarter) if start is None else start
        return Case(name or f"{problem.name}{_noise_words(problem)}-{evaluations}", problem, evaluations, size)

    @property
    def goal(self) -> Objective:
        """The only objective.

        Raises:
            ProblemError: if there are several.
        """
        first, *others = self.objectives
        if others:
            raise ProblemError(f"case {self.name!r} has {1 + len(others)} objectives, not one; see `objectives`")
        return first

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is measured and wanted."""
        return tuple(goal for goal in self.problem.objectives if isinstance(goal, Objective))

    @cached_property
    def fingerprint(self) -> str:
        """Changes with space, goals, budget, start and optimum; runs of another are not compared."""
        space = self.problem.space.to_json()
        goals = [[g.name, g.direction, g.noise, g.target, g.tolerance] for g in self.objectives]
        limits = [[limit.name, limit.lower, limit.upper] for limit in self.problem.constraints]
        size = [self.evaluations, self.start, self.problem.optimum]
        # named one by one, so that a field that is added to them later does not part old runs from new ones
        text = json.dumps([space["parameters"], space["constraints"], goals, limits, size], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def declared(self) -> dict[str, Any]:
        """The case as a sampler is told of it."""
        return {
            "space": self.problem.space.to_json(),
            "objectives": [goal.to_json() for goal in self.objectives],
            "constraints": [limit.to_json() for limit in self.problem.constraints],
            "evaluations": self.evaluations,
            "start": self.start,
        }

    def design(self, seed: int) -> list[dict[str, Any]]:
        """The initial design that every contestant of this seed begins with."""
        space = self.problem.space
        return space.decode(space.sobol(self.start, seed=seed))

    @cached_property
    def is_noisy(self) -> bool:
        """Whether the problem can be asked for a noisy value and for the true one."""
        takes_rng = "rng" in inspect.signature(self.problem.evaluate).parameters
        return takes_rng and any(goal.noise != "none" for goal in self.objectives)

    def measure(self, params: Params, seed: int, number: int) -> tuple[Values, Values]:
        """Evaluate one point: what is told, and the truth (the same where the problem owns its noise).

        The noise depends on seed and number alone, so that every contestant meets the same.

        Raises:
            ProblemError: if the problem does not give a finite number for each goal.
        """
        true = self._checked(self.problem.evaluate(params))
        if not self.is_noisy:
            return true, true
        rng = np.random.default_rng((_NOISE, seed, number))
        evaluate: Callable[..., Mapping[str, float]] = self.problem.evaluate
        return self._checked(evaluate(params, rng=rng)), true

    def _checked(self, values: Mapping[str, float]) -> Values:
        names = [*(goal.name for goal in self.objectives), *(limit.name for limit in self.problem.constraints)]
        numbers = {name: real(values.get(name)) for name in names} if isinstance(values, Mapping) else {}
        wrong = [n for n in names if (number := numbers.get(n)) is None or not math.isfinite(number)]
        if wrong:
            raise ProblemError(
                f"case {self.name!r}: expected a finite number for {', '.join(wrong)}, got {values!r:.200}. "
                "A benchmark compares measured values; mend the problem or narrow its space"
            )
        return {name: float(values[name]) for name in names}


def _problem(given: Any) -> Problem:
    found = _imported(given) if isinstance(given, str) else given
    if isinstance(found, tuple):
        if len(found) != 3 or not callable(found[0]) or not isinstance(found[1], Space):
            raise ProblemError(f"expected (function, space, objectives), got {given!r:.200}")
        name = getattr(found[0], "__name__", type(found[0]).__name__).strip("<>")
        return FunctionProblem(found[0], found[1], tuple(found[2]), name)
    if isinstance(found, type) or not isinstance(found, Problem):
        raise ProblemError(f"expected a problem, 'module:name', or (function, space, objectives); got {given!r:.200}")
    return found


def _imported(reference: str) -> Any:
    try:
        found = pkgutil.resolve_name(reference)
    except (ValueError, ImportError, AttributeError) as error:
        raise ProblemError(
            f"{reference!r}: expected module:name such as problems.synthetic:branin ({type(error).__name__}: {error})"
        ) from error
    return found if isinstance(found, Problem) and not isinstance(found, type) else found()


def _noise_words(problem: Problem) -> str:
    known = [f"{goal.noise_sd:g}" for goal in problem.objectives if isinstance(goal, Objective) and goal.noise_sd]
    return f"-sd{'-'.join(known)}" if known else ""
