"""Trade-offs in words: the front and how sure it is, what limits cost, what is left to gain, a few runs compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ui.presenters import words
from ui.presenters.runs import PLAIN, knob_fields, knob_line, rounded, with_sd
from workbench.analysis import Inside, Prospect, inside
from workbench.analysis.verdict import listed
from workbench.markup import head, quantity, reading, shorten
from workbench.plots.panels import panels, why_empty, why_none_counts
from workbench.plots.theme import vocabulary
from workbench.plots.tradeoffs import probabilities, spread

if TYPE_CHECKING:
    from workbench.analysis import ModelFront
    from workbench.problem import Objective
    from workbench.study import Study
    from workbench.trial import History

TRAY = 4  # runs that are compared
LETTERS = "ABCD"
SURE, MAYBE = 0.8, 0.3  # probability from which a front run counts as certain, and a beaten one is named
_STEPS = 200  # of a slider, about
_FEWEST = 10  # steps of a slider that is worth having
_DIGITS = 14  # of a float that can be told apart
_LEAST = -305  # power of ten of the finest step
_NAMED = 3
_BAR = 5  # characters of a whole bar


@dataclass(frozen=True, slots=True)
class Belief:
    """What the model adds to the record; nothing of it where there is no model yet.

    Args:
        front: The front as it believes in it.
        noise: Standard deviation of one measurement by goal, user units.
        inert: Knobs that do nothing measurable.
        partly: That the model has learnt from a part of the record only, in a sentence; "" of all.
    """

    front: ModelFront | None = None
    noise: Mapping[str, float] = field(default_factory=dict)
    inert: tuple[str, ...] = ()
    partly: str = ""


_NOTHING = Belief()


# -- above the figure ----------------------------------------------------------------------


def lead(history: History, belief: Belief) -> tuple[str, str, str]:
    """What the front is and how sure that is: a sentence, its bold middle, and what follows; each may be empty."""
    on = history.front
    ahead, goals = int(on.sum()), len(history.measured)
    if not ahead:
        return _no_front(history), "", ""
    every = "both goals" if goals == 2 else f"all {goals} goals"
    if ahead == 1:
        only = "the only one that counts so far" if int(history.counted.sum()) == 1 else f"the best in {every} at once"
        return f"Run {history.numbers[on][0]} is {only}. A front has two runs or more.", "", ""
    first = f"No run beats these {ahead} on {every} at once."
    if belief.front is None:
        return f"{first} How much of that is noise, the model says once it has learnt from the runs.", "", ""
    p = probabilities(history, belief.front)
    sure = int((p[on] >= SURE).sum())
    behind = history.numbers[~on & (p >= MAYBE)]
    after = ""
    if behind.size:
        names = [str(number) for number in behind[:_NAMED].tolist()]
        names += [f"{behind.size - _NAMED:,} more"] if behind.size > _NAMED else []
        who = f"run{'s' if behind.size > 1 else ''} {listed(names)}"
        after = f"; {who}, just behind, may belong there too"
    if sure == ahead:
        return (
            f"{first} Noise does not change that: ",
            "all of them are on it with at least 80 % certainty",
            f"{after}.",
        )
    told = f"{'none is' if not sure else f'{sure} is' if sure == 1 else f'{sure} are'} on the front with at least 80 %"
    return f"{first} Noise decides some of them: ", f"{told} certainty", f"{after}."


def _no_front(history: History) -> str:
    if not history.complete.any():
        with vocabulary(words.NAMES):
            return why_empty(history)
    lacking = int((history.counted & ~np.isfinite(history.Y).all(axis=1)).sum())
    if lacking:
        return f"There is no front yet: {words.count(lacking, 'run')} lack a value of some goal."
    with vocabulary(words.NAMES):
        return f"There is no front yet: {words.count(int(history.complete.sum()), 'run')}. {why_none_counts(history)}"


def left_out(history: History) -> str:
    """How many finished runs have no place among the trade-offs, and which; "" if none."""
    bare = history.numbers[history.complete & ~np.isfinite(history.Y).all(axis=1)]
    if not bare.size:
        return ""
    named = listed([str(number) for number in bare[:_NAMED].tolist()]) if bare.size <= _NAMED else ""
    which = f": run{'s' if bare.size > 1 else ''} {named}" if named else ""
    return f"{words.count(bare.size, 'finished run')} without all values left out{which}."


# -- limits --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Slider:
    """Where a limit on one goal can stand: at whole steps of a power of ten, whatever the scale of the goal.

    Args:
        name: The goal.
        title: Its name, and unit.
        low, high: Of the slider: user units, or with a target the distance from it.
        exponent: Of the step, which is 10 to it.
        free: The end at which there is no limit.
        sign: "≥" or "≤".
        unit: Unit.
        target: Of the goal, if it has one.
        ticks: Where the front's runs stand, as shares of the slider.
    """

    name: str
    title: str
    low: float
    high: float
    exponent: int
    free: float
    sign: str
    unit: str
    target: float | None = None
    ticks: tuple[float, ...] = ()

    @property
    def step(self) -> float:
        """From one place to the next."""
        return _tens(1, self.exponent)

    @property
    def _number(self) -> str:
        """How numbers are written: all digits of a step, after a power of ten where plain ones are mostly zeros."""
        power = _exponent(max(-self.low, self.high))
        if power < PLAIN[0] or self.exponent > PLAIN[1]:
            return f".{max(0, power - self.exponent)}e"
        return f".{max(0, -self.exponent)}f"

    @property
    def form(self) -> str:
        """How the value is written, in the form that sliders take."""
        unit = f" {self.unit}".replace("%", "%%") if self.unit else ""
        return f"{self.sign} %{self._number}{unit}"

    def at(self, steps: int) -> float:
        """The place so many steps above the lowest."""
        return _tens(round(self.low / self.step) + steps, self.exponent)

    def limit(self, place: float) -> float | None:
        """The value to reach, user units; None where there is no limit."""
        if (place <= self.free) if self.sign == "≥" else (place >= self.free):
            return None
        value = self.at(round((place - self.low) / self.step))  # a browser's floats may miss it by their last digit
        return value if self.target is None else self.target + value

    def place(self, limit: float | None) -> float:
        """Where the slider stands for a limit; never easier than the limit, except beyond its ends."""
        if limit is None:
            return self.free
        value = limit if self.target is None else abs(limit - self.target)
        if not self.low < value < self.high:
            return self.low if value <= self.low else self.high
        steps = (value - self.low) / self.step
        near = round(steps)
        whole = near if abs(steps - near) < 1e-6 else math.ceil(steps) if self.sign == "≥" else math.floor(steps)
        return min(max(self.at(whole), self.low), self.high)

    def say(self, limit: float) -> str:
        """The limit in words: "≥ 97.0 %"."""
        value = limit if self.target is None else abs(limit - self.target)
        off = " off the target" if self.target is not None else ""
        number = f"{value:{self._number}}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
        return f"{self.sign} {number}{f' {self.unit}' if self.unit else ''}{off}"


def _tens(whole: int, exponent: int) -> float:
    """A whole number times a power of ten, as near as floats come to it."""
    return float(f"{whole}e{exponent}")


def sliders(history: History) -> list[Slider]:
    """One for each goal, over the values of the runs that count; none while there is no front or no range."""
    made = []
    for panel in panels(history, None):
        goal, seen = panel.goal, panel.values[panel.counted]
        if goal.target is not None:
            seen = np.abs(seen - goal.target)
        least, most = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
        if not 0 < most - least < math.inf:
            continue
        exponent = max(_exponent((most - least) / _STEPS * 2), _exponent(max(-least, most)) - _DIGITS)
        step = _tens(1, exponent)
        first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
        if last - first < _FEWEST:  # they differ only in digits that floats barely tell apart
            continue
        low, high = _tens(first, exponent), _tens(last, exponent)
        up = goal.target is None and goal.sign > 0
        held = panel.values[history.front]
        held = held if goal.target is None else np.abs(held - goal.target)
        ticks = tuple(sorted({round(float(share), 2) for share in ((held - low) / (high - low)).clip(0, 1)}))
        title = f"{goal.name}, off the target" if goal.target is not None else goal.name
        made.append(
            Slider(goal.name, title, low, high, exponent, low if up else high, "≥" if up else "≤", goal.unit or "",
                   goal.target, ticks)
        )  # fmt: skip
    return made


def _exponent(size: float) -> int:
    """Of the power of ten at or below a number; of numbers next to nothing, the least that sliders have."""
    return max(_LEAST, math.floor(math.log10(size))) if size > 0 else _LEAST


def said(limits: Mapping[str, float], made: Sequence[Slider]) -> str:
    """Limits in one line: "yield ≥ 80 %, purity ≥ 97.0 %"."""
    return ", ".join(f"{one.name} {one.say(limits[one.name])}" for one in made if one.name in limits)


# -- what limits cost ----------------------------------------------------------------------


def cost(
    history: History, limits: Mapping[str, float], made: Sequence[Slider], belief: Belief = _NOTHING
) -> tuple[str, dict[str, list[str]]]:
    """What is left inside the limits and what they cost: a sentence, and a row for each goal."""
    found = inside(history, limits)
    total, left = len(found.front), len(found.left)
    if not limits:
        text = f"Nothing yet: all {total} front runs are left. Move a slider to what you insist on."
    elif not left:
        text = f"None of the {total} front runs holds all of this: {said(limits, made)}."
    else:
        text = f"{left} of {total} front runs {'is' if left == 1 else 'are'} left."
    return (f"{text} {_dearest(history, found, made)}".strip() if limits else text), _costs(history, found, belief)


def _dearest(history: History, found: Inside, made: Sequence[Slider]) -> str:
    one = found.dearest
    if one is None:
        return "" if found.left.size else "No single limit stands in the way: ease two of them."
    slider = next((s for s in made if s.name == one.objective), None)
    at = slider.say(slider_floor(slider, one.value)) if slider else reading(one.value, None)
    name = shorten(one.objective)
    costs = f"{name[:1].upper()}{name[1:]} costs the most" if found.left.size else f"{name} stands in the way"
    text = f"{costs}: at {at} run {one.trial} comes back"
    if one.gained is None:
        return f"{text}."
    goal = _goal(history, one.gained)
    return f"{text} and the best {shorten(one.gained)} becomes {reading(one.best, goal.unit)}."


def slider_floor(slider: Slider, value: float) -> float:
    """The limit nearest to a value that the value still holds, as the slider can stand."""
    eased = math.floor if slider.sign == "≥" else math.ceil
    at = abs(value - slider.target) if slider.target is not None else value
    place = slider.at(eased(round((at - slider.low) / slider.step, 6)))
    return place if slider.target is None else slider.target + place


def _costs(history: History, found: Inside, belief: Belief) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {"Best": [], "Before": [], "Now": [], "You give up": []}
    for one, panel in zip(found.costs, panels(history, None), strict=True):
        goal = panel.goal
        best = f"{shorten(goal.name, 24)}{f', {goal.unit}' if goal.unit else ''}"
        rows["Best"].append(best)
        rows["Before"].append(reading(one.values[0], None))
        rows["Now"].append("–" if one.now is None else reading(one.values[1], None))
        if one.now is None:
            rows["You give up"].append("everything")
        elif one.now == one.before:
            rows["You give up"].append("nothing")
        else:
            lost = abs(one.values[1] - one.values[0])
            sd = float(np.hypot(*spread(panel, belief.noise)[np.searchsorted(history.numbers, [one.before, one.now])]))
            known = math.isfinite(sd) and sd > 0  # of the difference of two measurements
            unit = f" {goal.unit}" if goal.unit else ""
            rows["You give up"].append(f"{with_sd(lost, sd)}{unit}" if known else quantity(lost, goal.unit))
    return rows


def chance(history: History, found: Prospect, limits: Mapping[str, float]) -> list[str]:
    """What the model sees inside the limits, in sentences."""
    goal = _goal(history, found.objective)
    up = "up to" if goal.target is None and goal.sign > 0 else "down to" if goal.target is None else "about"
    if found.best is None:
        likely = f"The model gives a run there {_percent(found.held)} to hold them all, at the best point it knows."
        return ["Nothing measured holds these limits.", likely]
    number, best = found.best
    unit = f" {goal.unit}" if goal.unit else ""
    expects = f"{up} {with_sd(found.mean, found.sd)}{unit} {shorten(goal.name)}"
    gap = goal.sign * (found.mean - best) if goal.target is None else abs(best - goal.target) - abs(
        found.mean - goal.target)  # fmt: skip
    than = f"{rounded(abs(gap), found.sd)}{unit} better than run {number}"
    where = "Inside these limits the" if limits else "The"
    if gap <= 0:
        return [f"{where} model expects nothing better than you have: {expects}, and run {number} has "
                f"{reading(best, goal.unit)}."]  # fmt: skip
    return [
        f"{where} model expects {expects}, {than}.",
        f"A run there is truly better{', and inside,' if limits else ''} with a probability of "
        f"{_percent(found.better)}.",
    ]


def _percent(p: float) -> str:
    return "over 99 %" if p > 0.99 else "below 1 %" if p < 0.01 else f"{100 * p:.0f} %"


# -- from where fronts are measured ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One coordinate of the reference point.

    Args:
        name: The goal.
        title: Its name, and unit.
        stated: What somebody stated, user units; None where it is automatic.
        automatic: What it is without that, in words.
    """

    name: str
    title: str
    stated: float | None
    automatic: str


def reference(history: History) -> list[Coordinate]:
    """The reference point, a coordinate for each goal."""
    found = []
    for goal, level in zip(history.measured, history.reference.tolist(), strict=True):
        at = abs(level) if goal.target is not None else goal.sign * level
        off = " off the target" if goal.target is not None else ""
        automatic = f"{reading(at, None)}{off}, automatic" if math.isfinite(level) else "automatic"
        found.append(Coordinate(goal.name, head(goal.name, goal.unit), goal.reference, automatic))
    return found


def with_values(history: History, numbers: Sequence[int]) -> list[int]:
    """Those of the runs that have a value of each goal."""
    return [number for number in numbers if np.isfinite(history.Y[number]).all()]


# -- a few runs compared ---------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """One run in the tray.

    Args:
        letter: Its letter.
        number: Its number.
        over: The limits that it does not hold, in words; "" if it holds all.
        values: Of each goal: in words, whether it is the best of those compared.
        truly: How likely it is on the true front, in words.
        bar: The same as a bar of text; "" while it is not known.
        knobs: Knobs in which the compared runs differ, in words.
    """

    letter: str
    number: int
    over: str
    values: tuple[tuple[str, bool], ...]
    truly: str
    bar: str
    knobs: str


def tray(study: Study, numbers: Sequence[int], limits: Mapping[str, float], belief: Belief) -> list[Column]:
    """The runs that are compared, side by side; those that are not complete any more are left out."""
    history = study.history()
    rows = [number for number in numbers if number < len(history) and history.complete[number]]
    if not rows:
        return []
    utilities = history.utility(history.Y[rows])
    best = np.nanmax(utilities, axis=0) if not np.isnan(utilities).all(axis=0).any() else utilities.max(axis=0)
    floor = history.levels(limits)
    p = probabilities(history, belief.front)
    varied = [knob for knob in knob_fields(study) if knob.name not in belief.inert]
    cells = [[knob.of(history.settings(row)) for knob in varied] for row in rows]
    differ = [k for k in range(len(varied)) if len({str(line[k]) for line in cells}) > 1]
    made = []
    for i, row in enumerate(rows):
        values = []
        for j, panel in enumerate(panels(history, None)):
            value, sd = float(panel.values[row]), float(spread(panel, belief.noise)[row])
            known = np.isfinite(panel.values[row])
            text = with_sd(value, sd) if known else "–"
            values.append((text, bool(len(rows) > 1 and known and utilities[i, j] == best[j])))
        over = [goal.name for j, goal in enumerate(history.measured) if utilities[i, j] < floor[j]]
        knobs = knob_line([varied[k] for k in differ], history.settings(row))
        truly, drawn = ("not known yet", "") if np.isnan(p[row]) else (_percent(float(p[row])), bar(float(p[row])))
        said = f"over your {listed(over)}" if over else ""
        made.append(Column(LETTERS[i], row, said, tuple(values), truly, drawn, knobs or "none"))
    return made


def bar(share: float) -> str:
    """A share of 1 as a bar that a cell of text can hold, in halves of its characters; the shortest for next to
    nothing."""
    halves = max(1, round(2 * _BAR * share))
    return "━" * (halves // 2) + "╸" * (halves % 2)


def goal_heads(history: History) -> list[str]:
    """Titles of the goals in the tray."""
    return [head(goal.name, goal.unit) for goal in history.measured]


def idle(belief: Belief) -> str:
    """Which knobs the comparison leaves out; "" if none."""
    if not belief.inert:
        return ""
    named = listed([shorten(name) for name in belief.inert[:_NAMED]])
    does = "does" if len(belief.inert) == 1 else "do"
    return f"{named[:1].upper()}{named[1:]} left out: {'it' if does == 'does' else 'they'} {does} nothing measurable."


def added(numbers: Sequence[int], more: Sequence[int]) -> list[int]:
    """The tray with further runs in it: the oldest make room."""
    return list(dict.fromkeys([*numbers, *more]))[-TRAY:]


def _goal(history: History, name: str) -> Objective:
    return next(goal for goal in history.measured if goal.name == name)
