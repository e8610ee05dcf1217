"""The model in words for people: verdict cards, the line above the run sheet, and what it says of a suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ui.presenters import words
from workbench.analysis import LEVELS, Level, Verdict
from workbench.analysis.explain import parts
from workbench.analysis.verdict import listed, odds
from workbench.errors import WorkbenchError
from workbench.markup import shorten, wording

if TYPE_CHECKING:
    from workbench.analysis import Recommendation
    from workbench.space import Parameter
    from workbench.study import Model
    from workbench.trial import History, Trial

ICONS: Mapping[Level, tuple[str, str]] = {
    "good": ("check_circle", "green"), "know": ("info", "blue"), "look": ("error", "orange"),
    "early": ("hourglass_empty", "gray"),
}  # fmt: skip
"""Icon and colour of each level."""
_ORDER = (
    "model", "calibration", "outliers", "worth", "importance", "inert", "bounds", "noise", "feasibility", "stall",
    "duplicates",
)  # fmt: skip
_SURE = 0.5  # probability to be better, from which a card says it first
_NAMED = 4  # knobs that a line names


@dataclass(frozen=True, slots=True)
class Findings:
    """What the model says at one state of the record.

    Args:
        mark: The state of the finished runs that it was made of, as `mark` gives it.
        run: Number of the last finished run; None without one.
        runs: How many runs had finished.
        model: The model, with what was found out kept inside.
        verdicts: Every finding.
        best: The recommended point; None where there is no model.
    """

    mark: tuple[int, ...]
    run: int | None
    runs: int
    model: Model
    verdicts: list[Verdict]
    best: Recommendation | None


def mark(history: History) -> tuple[int, ...]:
    """What a model depends on: how many runs have finished, and the last change of one of them."""
    finished = [row.revision for row, done in zip(history.rows, ~history.pending, strict=True) if done]
    return len(finished), max(finished, default=0), history.spaces.version


@dataclass(frozen=True, slots=True)
class Card:
    """One verdict as a card.

    Args:
        key: Tells it from the others of the page.
        level: Its level, and the word for it.
        title, text: The finding, and how it is known; what to do stands last in the text.
        lock: Knobs to hold at a value, where that is what to do.
        widen: Bounds to move, where that is what to do.
        button: Label of the button for that; "" without one.
    """

    key: str
    level: Level
    word: str
    title: str
    text: str
    lock: Mapping[str, Any] = field(default_factory=dict)
    widen: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    button: str = ""


def cards(found: Findings, quantity: str | None) -> list[Card]:
    """The verdicts about one goal or limit, and those about the whole study, the most important first."""
    chosen = [one for one in found.verdicts if one.quantity in ("", quantity)]
    chosen.sort(key=lambda one: _ORDER.index(one.about) if one.about in _ORDER else len(_ORDER))
    return [_card(found, one, i) for i, one in enumerate(chosen)]


def _card(found: Findings, one: Verdict, i: int) -> Card:
    text = " ".join(filter(None, (one.because, one.action)))
    lock, button = dict[str, Any](), ""
    if one.about == "inert" and one.level == "know" and found.best is not None:
        shares = found.model.importance(one.quantity)[one.quantity]
        lock = {name: found.best.params[name] for name in shares.inert if name in found.best.params}
        lock = {name: value for name, value in lock.items() if _lockable(found.model.history.space[name])}
        button = f"Lock {_settings(found.model.history, lock)}" if lock else ""
    if one.change:
        name, (low, high) = next(iter(one.change.items()))
        old: Any = found.model.history.space[name]
        button = f"Widen to {wording(low if low != old.low else high)}…"
    title = one.claim[:1].upper() + one.claim[1:]
    return Card(f"{one.about}_{i}", one.level, LEVELS[one.level], title, text, lock, one.change, button)


def _lockable(parameter: Parameter) -> bool:
    return parameter.kind in ("float", "int", "categorical", "ordinal", "bool")


def _settings(history: History, params: Mapping[str, Any]) -> str:
    units = {p.name: p.unit for p in history.space if p.unit}
    return words.values(dict(list(params.items())[:_NAMED]), units)


def quantities(found: Findings) -> list[str]:
    """Goals, then limits, that the model knows."""
    history = found.model.history
    return [*(goal.name for goal in history.measured), *(limit.name for limit in history.constraints)]


def state_of(found: Findings, fresh: bool) -> tuple[str, str]:
    """The badge beside the title, and its colour."""
    if found.run is None:
        return "No results yet", "gray"
    return (f"Up to date, run {found.run}", "green") if fresh else (f"Computed at run {found.run}", "orange")


def lead(found: Findings) -> str:
    """How well the goals are predicted and what does nothing, in one line."""
    model = found.model
    if model.surrogate is None:
        return ""
    seen = model.diagnose().calibration
    goals = {goal.name: goal.unit for goal in model.history.measured}
    good = [
        f"{shorten(name)} to ± {seen[name].rmse:.2g}{f' {unit}' if unit else ''}"
        for name, unit in goals.items()
        if any(v.level in ("good", "know") for v in model.diagnose().about("calibration", name))
    ]
    bad = [shorten(name) for name in goals if model.diagnose().about("calibration", name)[0].level == "look"]
    said = f"Predicts {listed(good)}." if good else ""
    if bad:
        said += f" Cannot be trusted on {listed(bad)} yet."
    found_shares = [model.importance(name)[name] for name in goals]
    if all(one.shares for one in found_shares):
        inert = [p.name for p in model.history.space if all(p.name in one.inert for one in found_shares)]
        if inert:
            names = listed([shorten(name) for name in inert[:_NAMED]])
            said += f" {names} {'does' if len(inert) == 1 else 'do'} nothing you can measure."
    return said.strip()


def card(found: Findings, trial: Trial) -> list[str]:
    """What the model says of a suggestion: how sure it is a gain, and what it is worth trying for."""
    if found.model.surrogate is None:
        return []
    belief, space = found.model.belief(), found.model.history.space
    try:
        point = space.check(trial.params, bounds=False)
        made = parts(belief, space.encode([point]))
    except WorkbenchError:  # of an earlier space
        return []
    if made is None:
        return []
    said = []
    if len(belief.goals) == 1 and made.best is not None and belief.goals[0].goal is not None:
        goal = belief.goals[0]
        if goal.goal.target is None:  # type: ignore[union-attr]  # it has a goal
            (mean,), (sd,) = found.model.predict(point)[goal.name]
            better = _better(goal.sign * (mean - made.best), float(np.hypot(sd, 0.0)))
            unit = f" {goal.unit}" if goal.unit else ""
            than = f"than {wording(made.best)}{unit}, the best so far"
            said.append(
                f"Better {than}: {odds(better)}."
                if better >= _SURE
                else f"A gamble: {odds(better)} to be better {than}."
            )
    gain, learn = 100 * made.exploit, 100 * made.explore
    total = gain + learn
    if total > 0:
        said.append(f"Worth it to gain {100 * gain / total:.0f} %, to learn {100 * learn / total:.0f} %.")
    if made.risk >= 0.005:
        chance = f"{100 * min(made.feasible, 0.99):.0f} %" if made.feasible >= 0.01 else "below 1 %"
        said.append(f"Holds every limit with a probability of {chance}.")
    return said


def _better(gap: float, sd: float) -> float:
    from scipy.special import ndtr

    return float(ndtr(gap / sd)) if sd > 0 else float(gap > 0)


# -- where a slice stands -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A point at which the other knobs are held: what it is, and its values."""

    word: str
    params: Mapping[str, Any]


def places(found: Findings) -> list[Place]:
    """Where slices can be held: the best run, the recommended point, the middle of everything."""
    from workbench.plots.belief import existing, filled
    from workbench.plots.digest import best_rows

    history = found.model.history
    made = []
    for row in best_rows(history, 1):
        params = history.spaces.placed(history.rows[row])
        if params is not None:
            word = "best compromise" if len(history.measured) > 1 else "the best"
            made.append(Place(f"run {history.rows[row].number}, {word}", params))
    if found.best is not None:
        made.append(Place("the recommended point", found.best.params))
    made.append(Place("the middle of every knob", existing(history.space, filled(history.space, {}))))
    return made


def important(found: Findings, quantity: str, most: int = 3) -> list[str]:
    """The knobs worth drawing first: those that matter most, else the first ones."""
    from workbench.plots import can_slice

    space = found.model.history.space
    able = [name for name in space.names if can_slice(space, name)]
    shares = found.model.importance(quantity)[quantity].shares
    ranked = [one.parameter for one in shares if one.parameter in able]
    return [*ranked, *(name for name in able if name not in ranked)][:most]
