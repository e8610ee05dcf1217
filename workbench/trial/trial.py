"""A trial as its user holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from workbench import markup
from workbench.errors import InvalidValueError, TrialStateError
from workbench.problem import Objective, Preference
from workbench.trial.rows import Spaces, TrialRow, TrialState, loads


class Recorder(Protocol):
    """What a `Trial` needs of its study, or of the far end of a worker's channel."""

    @property
    def spaces(self) -> Spaces: ...
    @property
    def objectives(self) -> Sequence[Objective | Preference]: ...
    def report(
        self, number: int, values: float | Mapping[str, float], step: int, attempt: int | None = None
    ) -> None: ...
    def should_prune(self, number: int) -> bool: ...
    def set_attr(self, number: int, key: str, value: Any, attempt: int | None = None) -> None: ...


class Trial:
    """One proposal and what became of it: a snapshot, and a handle to report through.

    `study.tell(trial, …)` brings the trial that it is given up to date.
    """

    __slots__ = ("_params", "_recorder", "_row")

    def __init__(self, row: TrialRow, recorder: Recorder) -> None:
        self._row = row
        self._recorder = recorder
        self._params: dict[str, Any] | None = None

    @property
    def recorder(self) -> Recorder:
        """What it belongs to."""
        return self._recorder

    @property
    def number(self) -> int:
        """Position in the study, from 0."""
        return self._row.number

    @property
    def state(self) -> TrialState:
        """Where the trial stood when this snapshot was taken."""
        return TrialState(self._row.state)

    @property
    def params(self) -> dict[str, Any]:
        """Parameter values by name, in user units; inactive conditional ones are absent."""
        if self._params is None:
            self._params = self._recorder.spaces.params(self._row)
        return dict(self._params)

    def __getitem__(self, name: str) -> Any:
        params = self.params
        if name not in params:
            raise InvalidValueError(
                f"trial {self.number} has no parameter {name!r}; it has {', '.join(params)} "
                "(inactive conditional parameters are absent: use trial.params.get)"
            )
        return params[name]

    @property
    def values(self) -> dict[str, float]:
        """Objectives and measured constraints told so far, by name, in user units."""
        return dict(loads(self._row.outcomes, {}))

    @property
    def value(self) -> float | None:
        """The value of the only measured objective; None while it is not told."""
        names = [goal.name for goal in self._recorder.objectives if isinstance(goal, Objective)]
        if len(names) != 1:
            raise TrialStateError(f"the study has {len(names)} measured objectives; use trial.values")
        return self.values.get(names[0])

    @property
    def sem(self) -> dict[str, float]:
        """Standard errors of the told values, by name."""
        return dict(loads(self._row.sem, {}))

    @property
    def gradient(self) -> dict[str, dict[str, float]]:
        """Told slopes {objective: {parameter: slope}}, in user units."""
        return dict(loads(self._row.gradient, {}))

    @property
    def actual(self) -> dict[str, Any]:
        """Parameter values that were really set, where they differ from the proposed ones."""
        return dict(loads(self._row.actual, {}))

    @property
    def settings(self) -> dict[str, Any]:
        """Parameter values as really set: those told as `actual` in place of the proposed ones.

        Conditional ones that did not exist then are absent.
        """
        return self._recorder.spaces.settings(self._row)

    @property
    def meta(self) -> dict[str, Any]:
        """What the sampler wrote down for itself."""
        return dict(loads(self._row.meta, {}))

    @property
    def predicted(self) -> dict[str, Any]:
        """Predicted {objective: {"mean": …, "sd": …}} at the time of the ask, user units."""
        return dict(loads(self._row.predicted, {}))

    @property
    def measure(self) -> tuple[str, ...] | None:
        """Names of the objectives and constraints to measure; None for all of them."""
        names = loads(self._row.measure)
        return None if names is None else tuple(names)

    @property
    def warnings(self) -> list[str]:
        """What the ask had to warn about."""
        return list(loads(self._row.warnings, []))

    @property
    def attrs(self) -> dict[str, Any]:
        """User attributes."""
        return dict(loads(self._row.attrs, {}))

    @property
    def tags(self) -> list[str]:
        """User tags."""
        return list(loads(self._row.tags, []))

    @property
    def note(self) -> str:
        """User note."""
        return self._row.note or ""

    @property
    def why(self) -> str:
        """Why the sampler proposed it, in one sentence."""
        return self._row.why or ""

    @property
    def cost(self) -> float | None:
        """Told cost of the evaluation."""
        return self._row.cost

    @property
    def error(self) -> str | None:
        """Error text of a failed trial."""
        return self._row.error

    @property
    def reason(self) -> str | None:
        """Reason of an infeasible, pruned, rejected or void trial."""
        return self._row.reason

    @property
    def origin(self) -> str:
        """ "asked", "enqueued" or "attached"."""
        return self._row.origin

    @property
    def attempt(self) -> int:
        """1, and one more each time another process took the trial over."""
        return self._row.attempt

    @property
    def started(self) -> float | None:
        """When it was asked for, seconds since 1970."""
        return self._row.started

    @property
    def finished(self) -> float | None:
        """When it was told, seconds since 1970."""
        return self._row.finished

    def report(self, values: float | Mapping[str, float], step: int) -> None:
        """Store intermediate values, one for each objective or a number for the only one."""
        self._recorder.report(self.number, values, step, self._row.attempt)

    def should_prune(self) -> bool:
        """True when the study's pruning rule would end this trial now; False where it has none."""
        return self._recorder.should_prune(self.number)

    def set_attr(self, key: str, value: Any) -> None:
        """Store one JSON-compatible user attribute."""
        self._recorder.set_attr(self.number, key, value, self._row.attempt)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trial) and self._row == other._row

    def __hash__(self) -> int:
        return hash(self._row.number)

    def __repr__(self) -> str:
        values = f", values={self.values}" if self._row.outcomes else ""
        return f"Trial({self.number}, {self._row.state}, {self.params}{values})"

    def _repr_html_(self) -> str:
        """What a notebook shows: state, values, parameters, and what was said about the trial."""
        goals = [goal for goal in self._recorder.objectives if isinstance(goal, Objective)]
        units = {goal.name: goal.unit for goal in goals}
        knobs = {parameter.name: parameter.unit for parameter in self._recorder.spaces.of(self._row)}
        sem = self.sem
        values = [(name, markup.quantity(y, units.get(name), sem.get(name))) for name, y in self.values.items()]
        params = [(name, markup.reading(value, knobs.get(name))) for name, value in self.params.items()]
        said = {"why": self.why, "error": self.error, "reason": self.reason, "note": self.note}
        said |= {"tags": ", ".join(self.tags), "warnings": " ".join(self.warnings)}
        return markup.heading("Trial", str(self.number), self.state.value) + "".join(
            map(markup.fields, (values, params, said.items()))
        )
