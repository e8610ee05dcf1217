"""The space behind trials that each declared their parameters while they ran."""

from __future__ import annotations

import json
import keyword
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.errors import InvalidValueError, SpaceError, WorkbenchWarning
from workbench.interchange.optuna_tables import Distribution, Entry
from workbench.space import Bool, Categorical, Float, Int, Parameter, Space

_MOST_VALUES = 10_000  # values of a whole number that a when= may list
_ENDED = ("COMPLETE", "PRUNED")  # their parameters were all drawn


@dataclass(slots=True)
class Found:
    """What the trials say about the space.

    Fields:
        space: The union of what they declare.
        names: Name in Optuna -> name here.
        points: Canonical values of each trial under names here, those of `fill` included; by position.
        notes: What had to be changed or assumed.
    """

    space: Space
    names: dict[str, str]
    points: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def learn(trials: Sequence[Entry], fill: Mapping[str, Any]) -> Found:
    """Make the space of all trials.

    Args:
        trials: By number.
        fill: Parameter, as Optuna calls it -> value of the trials that lack it.
    Raises:
        SpaceError: if nothing was drawn, or a parameter is missing somewhere for no visible reason.
        InvalidValueError: if `fill` names something else.
    """
    order = list(dict.fromkeys(name for trial in trials for name in trial.params))
    if not order:
        raise SpaceError("no trial of this study has parameters, so there is nothing to make a space of")
    if unknown := sorted(set(fill) - set(order)):
        raise InvalidValueError(f"fill= names {unknown}; the parameters are {', '.join(map(repr, order))}")
    notes: list[str] = []
    names = _names(order, notes)
    parameters: dict[str, Parameter] = {}
    points: list[dict[str, Any]] = [{} for _ in trials]
    for name in order:
        holders = [i for i, trial in enumerate(trials) if name in trial.params]
        merged = _Merged(name, names[name], [trials[i].distributions[name] for i in holders], notes)
        values = [trials[i].params[name] for i in holders]
        parameter, canonical = merged.parameter(values)
        parameters[names[name]] = parameter
        for i, value in zip(holders, canonical, strict=True):
            points[i][names[name]] = value
        if name in fill:
            value = parameter.check(merged.value(fill[name]))
            for point in points:
                point.setdefault(names[name], value)
    ended = [i for i, trial in enumerate(trials) if trial.state in _ENDED] or list(range(len(trials)))
    conditions = _Conditions(parameters, points, ended, notes)
    return Found(Space(conditions.declared(trials, {ours: name for name, ours in names.items()})), names, points, notes)


def _names(order: Sequence[str], notes: list[str]) -> dict[str, str]:
    """Identifiers for names, each its own."""
    names: dict[str, str] = {}
    for name in order:
        plain = re.sub(r"\W+", "_", name) or "p"
        if not plain.isidentifier() or keyword.iskeyword(plain):
            plain = f"p_{plain}"
        ours, i = plain, 2
        while ours in names.values() or (ours != name and ours in order):
            ours, i = f"{plain}_{i}", i + 1
        if ours != name:
            notes.append(f"parameter {name!r} is called {ours} here")
        names[name] = ours
    return names


class _Merged:
    """One parameter out of the distributions of all trials that have it."""

    def __init__(self, name: str, ours: str, sources: Sequence[Distribution], notes: list[str]) -> None:
        self.name, self.ours, self.notes = name, ours, notes
        self.sources = list({id(source): source for source in sources}.values())
        self.about = "" if name == ours else name
        self.as_text = False  # choices that cannot stand as they are
        kinds = {source.kind for source in self.sources}
        if "categorical" in kinds and len(kinds) > 1:
            raise SpaceError(
                f"parameter {name!r} is a choice in some trials and a number in others; rename one of them"
            )
        self.kind = "float" if "float" in kinds else kinds.pop()

    def parameter(self, values: Sequence[Any]) -> tuple[Parameter, list[Any]]:
        """The declaration, and the values in its terms."""
        if self.kind == "categorical":
            return self._choices(values)
        low, high = min(s.low for s in self.sources), max(s.high for s in self.sources)
        if len(self.sources) > 1:
            self._note("its range differs between trials: the union is taken")
        if low == high:
            self._note("its range is one value, so it is a choice of one")
            levels = list(dict.fromkeys([self._number(low), *values]))
            return Categorical(self.ours, levels, description=self.about), list(values)
        return self._numeric(low, high, values)

    def value(self, given: Any) -> Any:
        """What the parameter calls a value of Optuna's."""
        return _text(given) if self.as_text else given

    def _note(self, said: str) -> None:
        self.notes.append(f"parameter {self.name!r}: {said}")

    def _number(self, value: float) -> float | int:
        return int(value) if self.kind == "int" else float(value)

    def _numeric(self, low: float, high: float, values: Sequence[Any]) -> tuple[Parameter, list[Any]]:
        """The strictest declaration that all values fit: with log scale and steps, without steps, without both."""
        log = all(s.log for s in self.sources)
        step = self._step()
        loose = 1 if self.kind == "int" else None
        tries = list(dict.fromkeys([(log, step), (log, loose), (False, loose)]))
        for place, (scale, grid) in enumerate(tries):
            try:
                parameter = self._declared(low, high, scale, grid)
                canonical = [parameter.check(value) for value in values]
            except (SpaceError, InvalidValueError):
                if place == len(tries) - 1:
                    raise
                continue
            if place or log != any(s.log for s in self.sources) or step != self.sources[0].step:
                self._note(f"declared as {parameter.describe()}, since its trials differ in scale or step")
            break
        return parameter, canonical

    def _step(self) -> float | None:
        steps = {s.step for s in self.sources}
        if self.kind == "int":
            offsets = [int(s.low - self.sources[0].low) for s in self.sources]
            return math.gcd(*(int(step or 1) for step in steps), *offsets)
        return steps.pop() if len(steps) == 1 else None

    def _declared(self, low: float, high: float, log: bool, step: float | None) -> Parameter:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WorkbenchWarning)  # steps that do not divide the range
            if self.kind == "int":
                return Int(self.ours, int(low), int(high), log=log, step=int(step or 1), description=self.about)
            return Float(self.ours, low, high, log=log, step=step, description=self.about)

    def _choices(self, values: Sequence[Any]) -> tuple[Parameter, list[Any]]:
        choices = [choice for source in self.sources for choice in source.choices]
        distinct = list({(_text(c)): c for c in choices}.values())
        if {_text(c) for c in distinct} == {"true", "false"}:
            return Bool(self.ours, description=self.about), list(values)
        try:
            parameter = Categorical(self.ours, distinct, description=self.about)
        except SpaceError:  # lists, NaN, or 1 beside True: each choice as its JSON text
            self.as_text = True
            self._note("its choices stand as JSON text")
            parameter = Categorical(self.ours, list(map(_text, distinct)), description=self.about)
        return parameter, [parameter.check(self.value(value)) for value in values]


def _text(choice: Any) -> str:
    return json.dumps(choice, ensure_ascii=False, sort_keys=True)


class _Conditions:
    """Explains by other parameters where a parameter exists."""

    def __init__(
        self, parameters: Mapping[str, Parameter], points: Sequence[Mapping[str, Any]], ended: Sequence[int],
        notes: list[str],
    ) -> None:  # fmt: skip
        self.parameters, self.points, self.ended, self.notes = parameters, points, ended, notes

    def declared(self, trials: Sequence[Entry], originals: Mapping[str, str]) -> Iterator[Parameter]:
        """The parameters in order, with a when= where one is needed."""
        missing = []
        for name, parameter in self.parameters.items():
            lacking = [i for i in self.ended if name not in self.points[i]]
            when = self._explained(name, lacking) if lacking else None
            if lacking and when is None:
                numbers = ", ".join(str(trials[i].number) for i in lacking[:5])
                missing.append(f"{originals[name]!r} (not in trial {numbers}{', ...' if len(lacking) > 5 else ''})")
            yield parameter if when is None else replace(parameter, when=when)
        if missing:
            first = missing[0].partition(" (")[0]
            raise SpaceError(
                f"some trials lack parameters, and no choice or whole number drawn before explains where they exist: "
                f"{', '.join(missing)}. Say which value those trials used: fill={{{first}: ...}}"
            )

    def _explained(self, name: str, lacking: Sequence[int]) -> dict[str, list[Any]] | None:
        """The first parameter whose values tell exactly where this one exists; choices before whole numbers."""
        holders = [point for point in self.points if name in point]
        earlier = list(self.parameters)[: list(self.parameters).index(name)]
        parents = [p for p in earlier if self.parameters[p].kind in ("bool", "categorical")]
        parents += [p for p in earlier if self.parameters[p].kind == "int"]
        for parent in parents:
            if any(parent not in point for point in holders):
                continue
            seen = {point[parent] for point in holders}
            other = {self.points[i][parent] for i in lacking if parent in self.points[i]}
            allowed = [] if seen & other else self._allowed(self.parameters[parent], seen, other)
            if allowed:
                self._note(name, parent, allowed, seen | other)
                return {parent: allowed}
        return None

    @staticmethod
    def _allowed(parent: Parameter, seen: set[Any], other: set[Any]) -> list[Any]:
        """Values of the parent with which the child exists; of a whole number, all of one range."""
        if parent.kind != "int":
            return [value for value in parent.values() if value in seen or not other]
        low, high = min(seen), max(seen)
        if any(low <= value <= high for value in other):
            return []
        if not any(value < low for value in other):
            low = -math.inf
        if not any(value > high for value in other):
            high = math.inf
        if (parent.cardinality or 0) > _MOST_VALUES:
            return []
        return [value for value in parent.values() if low <= value <= high]

    def _note(self, name: str, parent: str, allowed: Sequence[Any], tried: set[Any]) -> None:
        shown = ", ".join(map(repr, allowed[:5])) + (", ..." if len(allowed) > 5 else "")
        unknown = [value for value in self.parameters[parent].values() if value not in tried and value not in allowed]
        tail = f" (never tried, and taken to be without it: {', '.join(map(repr, unknown[:5]))})" if unknown else ""
        self.notes.append(f"parameter {name} is taken to exist only with {parent} = {shown}{tail}")
