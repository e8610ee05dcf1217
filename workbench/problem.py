"""What is wanted of a trial: objectives, constraints, preferences, and problems that carry them.

Everything here is a frozen value that checks itself when it is made. Directions are
declared here and turned into "maximise" in one place only, `workbench.trial.History`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from workbench.errors import ConstraintError, InvalidValueError, ProblemError
from workbench.space.expressions import parse

if TYPE_CHECKING:
    from workbench.space import Space

_HUGE = 1.7976931348623157e308  # the largest float

Direction = Literal["minimize", "maximize"]
Noise = Literal["unknown", "none"] | float


@dataclass(frozen=True, slots=True)
class Objective:
    """One measured quantity that should become small, large, or close to a target.

    Args:
        name: How trials name its value.
        direction: "minimize" (the default) or "maximize"; None when a target is given.
        unit: Unit shown beside every value.
        noise: "unknown" (inferred, be there any or not), "none" (deterministic), or the standard deviation of
            one measurement in the units of the objective.
        threshold: A value that a useful trial has to reach, in the units of the objective.
        target: The wanted value; the objective is then max(0, |y - target| - tolerance).
        tolerance: Half-width of the band around the target that is as good as the target.
        reference: This objective's coordinate of the hypervolume reference point.
    Raises:
        ProblemError: if the parts contradict each other.
    """

    name: str
    direction: Direction | None = None
    unit: str | None = None
    noise: Noise = "unknown"
    threshold: float | None = None
    target: float | None = None
    tolerance: float = 0.0
    reference: float | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "objective")
        if self.target is None and self.direction is None:
            object.__setattr__(self, "direction", "minimize")
        if self.target is not None and self.direction is not None:
            raise ProblemError(
                f"objective {self.name!r} has a target and a direction; give target= alone, or a direction alone"
            )
        if self.direction not in (None, "minimize", "maximize"):
            raise ProblemError(
                f"objective {self.name!r}: direction must be 'minimize' or 'maximize', got {self.direction!r}"
            )
        _plain(self, "noise", "threshold", "target", "tolerance", "reference")
        _check_noise(self.name, self.noise)
        for field in ("threshold", "target", "tolerance", "reference"):
            _check_finite(self.name, field, getattr(self, field))
        if self.tolerance < 0 or (self.tolerance > 0 and self.target is None):
            raise ProblemError(
                f"objective {self.name!r}: tolerance is the half-width of the band around a target; "
                f"give target= and a tolerance >= 0, got {self.tolerance!r}"
            )

    @property
    def sign(self) -> float:
        """The factor that turns a measurement into something to maximise; 1 for a target."""
        return -1.0 if self.direction == "minimize" else 1.0

    @property
    def noise_sd(self) -> float | None:
        """Stated standard deviation of one measurement, 0.0 for "none", None for "unknown"."""
        return _noise_sd(self.noise)

    @property
    def label(self) -> str:
        """Axis title: name, unit, and which way is better."""
        unit = f" [{self.unit}]" if self.unit else ""
        if self.target is not None:
            return f"{self.name}{unit} (target {self.target:g}, closer is better)"
        better = "lower" if self.direction == "minimize" else "higher"
        return f"{self.name}{unit} ({self.direction}, {better} is better)"

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready mapping from which `objective_from_json` makes an equal value."""
        return {"kind": "objective", **asdict(self)}


class Bound(NamedTuple):
    """One limit: it holds where sign * (value - at(baseline)) <= 0."""

    sign: float
    offset: float
    factor: float = 0.0  # of the value measured at the study's baseline

    def at(self, baseline: float) -> float:
        """The limit in the unit of the quantity."""
        return self.offset + self.factor * baseline if self.factor else self.offset


@dataclass(frozen=True, slots=True)
class Constraint:
    """A measured quantity with a limit; a trial is feasible when every limit holds.

    A limit may be stated relative to what is measured at the study's baseline, as
    `lower="1.05 * baseline"`. Until the baseline is measured, no trial is known to hold it.

    Args:
        name: How trials name its value.
        upper: Largest value allowed, in the unit of the quantity, or linear arithmetic in `baseline`.
        lower: Smallest value allowed, likewise.
        unit: Unit shown beside every value.
        noise: As for `Objective`.
    Raises:
        ProblemError: if no limit is given, or the lower one is above the upper one.
    """

    name: str
    upper: float | str | None = None
    lower: float | str | None = None
    unit: str | None = None
    noise: Noise = "unknown"

    def __post_init__(self) -> None:
        _check_name(self.name, "constraint")
        _plain(self, "noise", "upper", "lower")
        _check_noise(self.name, self.noise)
        for field in ("upper", "lower"):
            limit = getattr(self, field)
            _relative(self.name, field, limit) if isinstance(limit, str) else _check_finite(self.name, field, limit)
        if self.upper is None and self.lower is None:
            raise ProblemError(f"constraint {self.name!r} has no limit; give upper=, lower= or both")
        absolute = isinstance(self.upper, int | float) and isinstance(self.lower, int | float)
        if absolute and self.lower > self.upper:  # type: ignore[operator]
            raise ProblemError(
                f"constraint {self.name!r}: lower {self.lower:g} is above upper {self.upper:g}; swap them"
            )

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """One for each limit, the upper one first."""
        sides = ((1.0, "upper", self.upper), (-1.0, "lower", self.lower))
        return tuple(
            Bound(sign, *_relative(self.name, field, limit)) if isinstance(limit, str) else Bound(sign, limit)
            for sign, field, limit in sides
            if limit is not None
        )

    @property
    def noise_sd(self) -> float | None:
        """Stated standard deviation of one measurement, 0.0 for "none", None for "unknown"."""
        return _noise_sd(self.noise)

    @property
    def relative(self) -> bool:
        """Does a limit depend on the baseline?"""
        return any(bound.factor for bound in self.bounds)

    @property
    def label(self) -> str:
        """The limits in words, such as "1.05 * baseline <= yield <= 40 g"."""
        low = "" if self.lower is None else f"{_limit(self.lower)} <= "
        high = "" if self.upper is None else f" <= {_limit(self.upper)}"
        return f"{low}{self.name}{high}" + (f" {self.unit}" if self.unit else "")

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready mapping from which `constraint_from_json` makes an equal value."""
        return {"kind": "constraint", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Preference:
    """What people like, known only from their rankings.

    Args:
        name: What is judged, in the rater's words.
        over: "design" when the liking depends on the parameters, "outcomes" when it
            depends on the measured objectives.
    """

    name: str
    over: Literal["design", "outcomes"] = "design"

    def __post_init__(self) -> None:
        _check_name(self.name, "preference")
        if self.over not in ("design", "outcomes"):
            raise ProblemError(f"preference {self.name!r}: over must be 'design' or 'outcomes', got {self.over!r}")

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready mapping from which `objective_from_json` makes an equal value."""
        return {"kind": "preference", **asdict(self)}


@dataclass(frozen=True, slots=True)
class Rendered:
    """Something to look at or listen to, made from the parameters of a trial."""

    mime: str
    data: bytes
    alt: str


@runtime_checkable
class Problem(Protocol):
    """A thing to optimise together with what is known about it.

    `evaluate` takes parameters in user units and returns every objective and constraint by
    name. `optimum` is the best possible value (user units and sign) of a single objective,
    `front` the known Pareto front, None where unknown. A problem may also offer
    `evaluate_batch(columns)` and `render(params) -> Rendered`.
    """

    @property
    def name(self) -> str: ...
    @property
    def space(self) -> Space: ...
    @property
    def objectives(self) -> Sequence[Objective | Preference]: ...
    @property
    def constraints(self) -> Sequence[Constraint]: ...
    @property
    def source(self) -> str: ...
    @property
    def optimum(self) -> float | None: ...

    def evaluate(self, params: Mapping[str, Any]) -> Mapping[str, float]: ...


def check_goals(
    objectives: Sequence[Objective | Preference], constraints: Sequence[Constraint]
) -> tuple[tuple[Objective | Preference, ...], tuple[Constraint, ...]]:
    """Check that goals are of the right type, at least one, and named apart.

    Raises:
        ProblemError: naming the goal that is wrong.
    """
    for what, given in (("objectives", objectives), ("constraints", constraints)):
        if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
            raise ProblemError(f"{what} must be a list, got {given!r}; write {what}=[…]")
    objectives, constraints = tuple(objectives), tuple(constraints)
    for goal in objectives:
        if not isinstance(goal, Objective | Preference):
            raise ProblemError(f"objectives must be wb.Objective or wb.Preference, got {goal!r}")
    for limit in constraints:
        if not isinstance(limit, Constraint):
            raise ProblemError(
                f"constraints must be wb.Constraint, got {limit!r}; a constraint over parameters is given to Space"
            )
    if not objectives:
        raise ProblemError("a study needs at least one objective; give objectives=[wb.Objective('loss')]")
    names = [goal.name for goal in (*objectives, *constraints)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ProblemError(f"each objective and constraint needs its own name; used twice: {', '.join(twice)}")
    return objectives, constraints


def check_apart(space: Space, objectives: Iterable[Objective | Preference], constraints: Iterable[Constraint]) -> None:
    """Check that no name means a parameter and a measurement at once.

    Raises:
        InvalidValueError: naming the names.
    """
    clash = sorted(set(space.names) & {goal.name for goal in (*objectives, *constraints)})
    if clash:
        raise InvalidValueError(
            f"a name can mean a parameter or a measurement, not both; rename one of each: {', '.join(clash)}"
        )


def objective_from_json(data: Mapping[str, Any]) -> Objective | Preference:
    """Make the objective or preference that `to_json` described."""
    kinds: dict[str, Callable[..., Objective | Preference]] = {"objective": Objective, "preference": Preference}
    fields = dict(data)
    return kinds[fields.pop("kind")](**fields)


def constraint_from_json(data: Mapping[str, Any]) -> Constraint:
    """Make the constraint that `to_json` described."""
    fields = {key: value for key, value in data.items() if key != "kind"}
    return Constraint(**fields)


def _relative(name: str, field: str, text: str) -> tuple[float, float]:
    """Offset and factor of a limit such as "1.05 * baseline - 2".

    Raises:
        ProblemError: if it is no linear arithmetic in `baseline`.
    """
    try:
        (parsed,) = parse(f"0 <= {text}", {"baseline"})
        linear = parsed.linear
    except (ConstraintError, ValueError) as error:
        raise ProblemError(_not_relative(name, field, text)) from error
    if linear is None or set(linear[0]) != {"baseline"}:
        raise ProblemError(_not_relative(name, field, text))
    coefficients, constant = linear
    return -constant + 0.0, -coefficients["baseline"]


def _not_relative(name: str, field: str, text: str) -> str:
    return (
        f"constraint {name!r}: {field} must be a number or linear arithmetic in `baseline`, "
        f"such as '1.05 * baseline', got {text[:80]!r}"
    )


def _limit(limit: float | str) -> str:
    return limit if isinstance(limit, str) else f"{limit:g}"


def _check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ProblemError(f"the name of an {what} must be a non-empty string, got {name!r}")


def _noise_sd(noise: Noise) -> float | None:
    return None if noise == "unknown" else 0.0 if noise == "none" else float(noise)


def _plain(goal: Objective | Constraint, *fields: str) -> None:
    """Turn numbers of numpy into Python's, which the record can hold."""
    for field in fields:
        value = getattr(goal, field)
        if isinstance(value, Real) and not isinstance(value, int | float):
            object.__setattr__(goal, field, int(value) if isinstance(value, Integral) else float(value))


def _check_noise(name: str, noise: object) -> None:
    if noise in ("unknown", "none"):
        return
    if isinstance(noise, bool) or not isinstance(noise, int | float) or not 0 < noise <= _HUGE:
        raise ProblemError(f"noise of {name!r} must be 'unknown', 'none' or a standard deviation > 0, got {noise!r}")


def _check_finite(name: str, field: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_HUGE <= value <= _HUGE:
        raise ProblemError(f"{field} of {name!r} must be a finite number, got {value!r}")
