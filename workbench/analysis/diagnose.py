"""Is the model to be trusted, and is the study in good order? Each finding as a verdict in plain words.

Symbols: n trials.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.analysis.calibration import FEWEST, Calibration
from workbench.analysis.verdict import Verdict, about, listed, numbered, plain, runs, unit_of, verdicts_html
from workbench.errors import InvalidValueError
from workbench.markup import wording
from workbench.models.gp import LARGEST
from workbench.space import Float, Int, Space
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.analysis.belief import Belief, Quantity

    Array = NDArray[np.float64]

_USEFUL, _USELESS = 0.5, 0.1  # R^2 from which a model predicts well, and below which no better than the mean
_EDGE = 1e-3  # of the range, within which a suggestion is at a bound
_OFTEN, _LEAST = 0.3, 3  # share and number of suggestions at one bound that are worth a word
_INSIDE, _RISE = 0.2, 0.02  # of the range; and standard deviations of the values that are better at the bound
_CHANCE = 0.01  # of a coincidence that still counts as one
_WIDER = 0.25  # of the range, that a bound is moved by
_STALLED, _PART = 10, 1 / 3  # trials, and part of all of them, without a gain
_RECENT = 10  # finished trials that feasibility looks at


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Args:
        verdicts: In the order of a page.
        calibration: By quantity; empty without a model.
        space: The space that the record is in.
    """

    verdicts: tuple[Verdict, ...]
    calibration: Mapping[str, Calibration]
    space: Space

    def about(self, what: str, quantity: str | None = None) -> list[Verdict]:
        """The verdicts about one thing, such as "noise"."""
        return [one for one in self.verdicts if one.about == what and quantity in (None, one.quantity)]

    def widened(self, *names: str) -> Space:
        """The space with those bounds moved that suggestions press against, for `study.change_space`.

        Args:
            names: Parameters to widen; all that a verdict names when absent.
        Raises:
            InvalidValueError: if no verdict widens a parameter of that name.
        """
        changes = {name: ends for one in self.verdicts for name, ends in one.change.items()}
        unknown = [name for name in names if name not in changes]
        if unknown:
            raise InvalidValueError(
                f"expected parameters that suggestions press against ({', '.join(changes) or 'none does'}), got "
                f"{', '.join(unknown)}"
            )
        return widened(self.space, {name: changes[name] for name in names or changes})

    def __str__(self) -> str:
        return "\n".join(map(str, self.verdicts))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return verdicts_html(listed(list(self.calibration)) or "nothing yet", self.verdicts)


def diagnose(history: History, belief: Belief | None, missing: str = "") -> Diagnosis:
    """Look for what is wrong, and say what is right.

    Args:
        history: The record.
        belief: With its model; None where there is none.
        missing: Why there is none.
    """
    found: list[Verdict] = []
    calibration: dict[str, Calibration] = {}
    if belief is None:
        found.append(Verdict("model", "early", "There is no model yet.", f"{missing[:1].upper()}{missing[1:]}."))
    else:
        found += _partial(history, belief)
        calibration = {one.name: Calibration.of(belief, one) for one in belief.quantities}
        found += [_predicts(one) for one in calibration.values()]
        found += [verdict for one in calibration.values() for verdict in _odd(one)]
        found += [verdict for one in belief.quantities for verdict in _noise(history, one)]
    found += [*_bounds(history, belief), *_duplicates(history), *_stall(history), *_feasibility(history)]
    return Diagnosis(tuple(found), calibration, history.space)


# -- of the model --------------------------------------------------------------------------------------


def _partial(history: History, belief: Belief) -> list[Verdict]:
    """That a large record is looked at in part."""
    seen, complete = max(len(one.process.rows) for one in belief.quantities), int(history.complete.sum())
    if complete <= LARGEST or seen >= complete:
        return []
    several = len(history.measured) > 1 and bool(history.front.any())
    what, where = ("front", "along the front") if several else ("best one", "around that run")
    claim = f"The model looks at {seen:,} of {complete:,} runs: those nearest to the {what}."
    return [Verdict("model", "know", claim, f"What it says holds {where}, and less and less further away.")]


def _predicts(seen: Calibration) -> Verdict:
    """How well a quantity is predicted, and whether its intervals are honest."""
    n, name, unit = len(seen), seen.quantity, unit_of(seen.unit)
    if n < FEWEST:
        claim = f"Too early to say how well {name} is predicted."
        return Verdict(
            "calibration", "early", claim, f"{runs(n)} with a value, and this needs {FEWEST}.", quantity=name
        )
    inside, (least, _) = seen.inside(), seen.usual()
    because = (
        f"Each of the {n} runs was predicted from the other {n - 1}: {inside} fell inside their 95 % range, and "
        f"{round(0.95 * n)} should. R² is {seen.r2:.2f}."
    )
    if seen.noise > 0:
        because += f" The noise of one measurement alone is about ± {seen.noise:.2g}{unit}."
    error = f"± {seen.rmse:.2g}{unit}"
    if float(np.ptp(seen.measured)) == 0.0:
        said = f"{name} was {plain(float(seen.measured[0]))}{unit} in all {n} runs."
        return Verdict("calibration", "look", said, "Nothing can be learnt from equal values.", _CHECK, quantity=name)
    if seen.r2 < _USELESS:
        claim = f"Cannot predict {name} yet: off by {error}, no better than the mean of all runs."
        action = "Suggestions are close to random in this. Run more trials, repeat one to see the noise, or check that "
        return Verdict(
            "calibration", "look", claim, because, action + "what moves it is among the parameters.", quantity=name
        )
    if inside < least:
        claim = f"Predicts {name} to {error}, but is too sure of itself."
        action = "Take its ranges for too narrow. Look at the runs that it missed."
        missed = tuple(seen.trials[np.abs(seen.z) > 1.96].tolist())
        return Verdict("calibration", "look", claim, because, action, trials=missed, quantity=name)
    level = "good" if seen.r2 >= _USEFUL else "know"
    claim = f"Predicts {name} to {error}."
    if level == "know":
        claim = f"Predicts {name} to {error}, which is only a little better than the mean of all runs."
    return Verdict("calibration", level, claim, because, quantity=name)  # type: ignore[arg-type]  # two of the levels


_CHECK = "Check that it is measured as meant, or take it out of the goals."


def _odd(seen: Calibration) -> list[Verdict]:
    """Trials that look wrong."""
    n, name = len(seen), seen.quantity
    if n < FEWEST:
        return []
    far = seen.odd()
    worst = int(np.argmax(np.abs(seen.z)))
    said = (
        f"run {seen.trials[worst]}: measured {plain(float(seen.measured[worst]), float(seen.sd[worst]))}"
        f"{unit_of(seen.unit)}, expected {about(float(seen.mean[worst]), float(seen.sd[worst]), seen.unit)}"
    )
    odd = np.argsort(-far, kind="stable")[: int((far > 0).sum())]
    if not odd.size:
        because = f"The biggest surprise is {said}. Among {runs(n)} that is normal."
        return [Verdict("outliers", "good", f"No run looks odd in {name}.", because, quantity=name)]
    numbers = tuple(seen.trials[odd].tolist())
    looks = "looks" if len(numbers) == 1 else "look"
    return [
        Verdict(
            "outliers", "look", f"{numbered(numbers).capitalize()} {looks} odd in {name}.",
            f"The biggest surprise is {said}: chance makes that less than 1 time in 100.",
            "Check the record. If a value is wrong, amend it; if the run went wrong, void it or tell it as failed.",
            call="; ".join(f"study.void({number}, reason=…)" for number in numbers[:3]), trials=numbers, quantity=name,
        )
    ]  # fmt: skip


def _noise(history: History, quantity: Quantity) -> Iterator[Verdict]:
    """The noise that the model assumes against what repeats show."""
    from scipy.stats import chi2

    name, unit, assumed = quantity.name, unit_of(quantity.unit), quantity.noise
    process = quantity.process
    groups = _repeats(history, process.rows[history.complete[process.rows]])
    if not groups:
        if process.data.infer and assumed > 0 and len(process.rows) >= FEWEST:
            yield Verdict(
                "noise", "know", f"One measurement of {name} is taken to vary by ± {assumed:.2g}{unit}.",
                "This is inferred from how far runs are off a smooth curve: no run was repeated.",
                "Repeat the best run twice to be sure.", quantity=name,
            )  # fmt: skip
        return
    told: Array = quantity.sign * process.outcome.backward(process.data.y)
    values = dict(zip(process.rows.tolist(), told.tolist(), strict=True))
    squares = sum(float(np.var([values[row] for row in rows])) * len(rows) for rows in groups)
    freedom = sum(len(rows) - 1 for rows in groups)
    seen = math.sqrt(squares / freedom)
    low, high = (math.sqrt(squares / chi2.ppf(q, freedom)) for q in (1 - _CHANCE / 2, _CHANCE / 2))
    repeated = f"{runs(sum(map(len, groups)))} at {len(groups)} settings were repeats, and differ by ± {seen:.2g}{unit}"
    guessed = process.data.infer or (assumed == 0 and name in _unstated(history))  # what is exact may be guessed too
    stated = "the model infers" if guessed else "is told"
    said = f"± {assumed:.2g}{unit}" if assumed > 0 else "none"
    if low <= assumed <= high or max(seen, assumed) <= 1e-3 * float(np.ptp(list(values.values())) or 1.0):
        claim = (
            f"The noise of {name} is as repeats show it: ± {seen:.2g}{unit}."
            if seen > 0
            else f"{name} repeats exactly."
        )
        yield Verdict("noise", "good", claim, f"{repeated}; noise that {stated}: {said}.", quantity=name)
    elif assumed < low:
        yield Verdict(
            "noise", "look", f"{name} is noisier than the model takes it to be.",
            f"{repeated}; noise that {stated}: {said}.",
            "State the noise as it is, or leave it unknown." if not guessed else
            "Tell the standard error with each result (sem=), or look for what changed between the repeats.",
            quantity=name,
        )  # fmt: skip
    else:
        yield Verdict(
            "noise", "know", f"{name} repeats better than the model takes it to be.",
            f"{repeated}; noise that {stated}: {said}.",
            "What it takes for noise may be a parameter that is not in the study, such as a lot or a day.",
            quantity=name,
        )  # fmt: skip


def _unstated(history: History) -> set[str]:
    said = [(goal.name, goal.noise) for goal in history.measured]
    said += [(limit.name, limit.noise) for limit in history.constraints]
    return {name for name, noise in said if noise == "unknown"}


def _repeats(history: History, rows: Sequence[int] | NDArray[np.int64]) -> list[list[int]]:
    """Rows that were run at the same point, where there are several."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for row in np.asarray(rows, dtype=np.int64).tolist():
        groups[(np.nan_to_num(history.X[row], nan=-9.0) + 0.0).tobytes()].append(row)
    return [found for found in groups.values() if len(found) > 1]


# -- of the study --------------------------------------------------------------------------------------


def _bounds(history: History, belief: Belief | None) -> Iterator[Verdict]:
    """Parameters whose bounds suggestions press against, where the model expects more towards the bound."""
    from scipy.stats import binom

    chosen = np.array(
        [
            i
            for i, row in enumerate(history.rows)
            if row.meta and "acquisition" in history.meta(i) and history.placed[i]
        ],
        dtype=np.int64,
    )
    if chosen.size < _LEAST:
        return
    pressed = 0
    for p in history.space:
        if not isinstance(p, Float | Int) or p.role != "design" or p.high <= p.low:
            continue
        u = history.X[chosen, history.space.slices[p.name].start]
        u = u[~np.isnan(u)]
        by_chance = 0.0 if p.cardinality is None else 1.0 / p.cardinality
        for upper, at in ((False, int((u <= _EDGE).sum())), (True, int((u >= 1 - _EDGE).sum()))):
            if at < max(_LEAST, _OFTEN * len(u)) or binom.sf(at - 1, len(u), by_chance) > _CHANCE:
                continue
            if belief is not None and not _rises(belief, p, chosen, upper):
                continue  # where a parameter does nothing, any value will do, the last one too
            pressed += 1
            yield _pressed(p, upper, at, len(u))
    if not pressed:
        yield Verdict(
            "bounds", "good", "Suggestions stay inside the bounds.",
            f"Of {suggestions(chosen.size)} no bound was met more often than chance would.",
        )  # fmt: skip


def _rises(belief: Belief, p: Float | Int, rows: NDArray[np.int64], upper: bool) -> bool:
    """Is some objective expected to be better at the bound than a fifth of the range inside of it?"""
    history, column = belief.history, belief.history.space.slices[p.name].start
    X = history.X[rows]
    X = X[(X[:, column] >= 1 - _EDGE) if upper else (X[:, column] <= _EDGE)]
    inside = X.copy()
    inside[:, column] = 1 - _INSIDE if upper else _INSIDE
    here, there = belief.moments(X), belief.moments(inside)
    gains = [
        float(
            np.mean(q.expected_worth(here[0][:, j], here[1][:, j]) - q.expected_worth(there[0][:, j], there[1][:, j]))
        )
        for j, q in enumerate(belief.goals)
    ]
    return max(gains) > _RISE


def suggestions(n: int) -> str:
    """ "12 suggestions"."""
    return f"{n} suggestion{'' if n == 1 else 's'}"


def _pressed(p: Float | Int, upper: bool, at: int, of: int) -> Verdict:
    end, edge = ("highest", p.high) if upper else ("lowest", p.low)
    unit = unit_of(p.unit)
    claim = f"Suggestions touch the {end} {p.name}, {wording(edge)}{unit}."
    because = f"{at} of {suggestions(of)} stand there: better ones may lie beyond."
    ends = _moved(p, upper)
    if ends is None:
        return Verdict("bounds", "know", claim, because, "Below 0 there may be nothing; else widen it by hand.")
    new = ends[1] if upper else ends[0]
    return Verdict(
        "bounds", "look", claim, because, f"Widen it to {wording(new)}{unit} if that is possible.",
        call=f"study.change_space(study.model().diagnose().widened({p.name!r}))", change={p.name: ends},
    )  # fmt: skip


def _moved(p: Float | Int, upper: bool) -> tuple[Any, Any] | None:
    """The bounds with one of them a quarter of the range further out; None below 0 where the bound is 0."""
    low, high = float(p.low), float(p.high)
    if p.log:
        factor = (high / low) ** _WIDER
        new = _round(high * factor, high, up=True) if upper else _round(low / factor, low, up=False)
    else:
        new = high + _WIDER * (high - low) if upper else low - _WIDER * (high - low)
        if not upper and low >= 0 > new:  # an amount: it does not become negative
            if low == 0:
                return None
            new = low / 2
        new = _round(new, high - low, up=upper)
        if not upper and low > 0 >= new:
            new = low / 2
    if isinstance(p, Int):
        step = p.step
        count = max(1, math.ceil(abs(new - (high if upper else low)) / step))
        whole = int(p.high) + count * step if upper else int(p.low) - count * step
        if not upper and p.log and whole < 1:
            return None
        return (p.low, whole) if upper else (whole, p.high)
    if p.step is not None:
        count = max(1, round(abs(new - (high if upper else low)) / p.step))
        new = high + count * p.step if upper else low - count * p.step
    return (low, float(new)) if upper else (float(new), high)


def _round(value: float, size: float, *, up: bool) -> float:
    """Two digits of `size`, outwards."""
    unit = 10.0 ** (math.floor(math.log10(abs(size))) - 1)
    steps = value / unit
    whole = math.ceil(steps - 1e-9) if up else math.floor(steps + 1e-9)
    return float(f"{whole * unit:.12g}")


def widened(space: Space, changes: Mapping[str, tuple[Any, Any]]) -> Space:
    """A space with other bounds.

    Args:
        changes: {parameter: (low, high)}.
    """
    parameters: list[Any] = list(space)
    for i, p in enumerate(parameters):
        if p.name in changes:
            low, high = changes[p.name]
            parameters[i] = replace(p, low=low, high=high)
    rules: list[Any] = [constraint.source for constraint in space.constraints]
    rules += [rule.function for rule in space.functions if rule.function is not None]
    return Space(parameters, rules)


def _duplicates(history: History) -> Iterator[Verdict]:
    """Points that were run more than once."""
    groups = _repeats(history, np.flatnonzero(history.complete & history.placed))
    if not groups:
        return
    extra = sum(len(rows) - 1 for rows in groups)
    numbers = tuple(int(history.numbers[row]) for rows in groups for row in rows[1:])
    noiseless = bool(history.measured) and all(goal.noise_sd == 0 for goal in history.measured)
    claim = f"{runs(extra).capitalize()} repeated an earlier one."
    if noiseless:
        yield Verdict(
            "duplicates", "look", claim,
            f"{numbered(numbers).capitalize()}. You said that there is no noise, so a repeat teaches nothing.",
            "If repeats differ, state the noise as unknown.", trials=numbers,
        )  # fmt: skip
    else:
        because = f"{numbered(numbers).capitalize()}. Repeats tell how large the noise is."
        yield Verdict("duplicates", "know", claim, because, trials=numbers)


def _stall(history: History) -> Iterator[Verdict]:
    """No gain for a long time."""
    finished = np.flatnonzero(history.finished)
    ahead = _ahead(history)
    if not ahead.size or finished.size < _STALLED:
        return
    since = int((finished > ahead.max()).sum())
    several = len(history.measured) > 1
    what = "No new run on the front" if several else "No gain"
    last = int(history.numbers[ahead.max()])
    if since >= max(_STALLED, _PART * finished.size):
        yield Verdict(
            "stall", "look", f"{what} in {runs(since)}.", f"The last one was run {last}, of {finished.size} finished.",
            "See what the next runs are worth; it may be time to stop, or to widen the bounds.", trials=(last,),
        )  # fmt: skip
    else:
        yield Verdict(
            "stall", "good", f"Still getting better: the last gain was run {last}.", f"{runs(since)} since.",
            trials=(last,),
        )  # fmt: skip


def _ahead(history: History) -> NDArray[np.int64]:
    """Rows of the best trial, or of the front."""
    if not history.measured:
        return np.empty(0, dtype=np.int64)
    if len(history.measured) == 1:
        best = history.best()
        return np.array([] if best is None else [best], dtype=np.int64)
    return np.flatnonzero(history.front)


def _feasibility(history: History) -> Iterator[Verdict]:
    """How many trials fail or break a limit."""
    finished = np.flatnonzero(history.finished)
    if not finished.size:
        return
    failed = history.failed | history.infeasible
    over = history.complete & (history.C > 0).any(axis=1) if history.C.shape[1] else np.zeros(len(history), dtype=bool)
    if not (history.constraints or failed.any()):
        return
    recent = finished[-_RECENT:]
    lost, all_lost = int((failed | over)[recent].sum()), int((failed | over)[finished].sum())
    said = (
        f"{int(failed[finished].sum())} failed and {int(over[finished].sum())} broke a limit, of {runs(finished.size)}"
    )
    worst = _most_broken(history, finished)
    if worst:
        said += f"; most often {worst}"
    if finished.size < 4:
        yield Verdict("feasibility", "early", "Too early to say which runs hold the limits.", f"{said}.")
    elif all_lost == finished.size:
        action = "The next suggestions look for one that does. Relax a limit if none can."
        yield Verdict("feasibility", "look", "No run holds every limit yet.", f"{said}.", action)
    elif lost > 0.5 * recent.size:
        yield Verdict(
            "feasibility", "look", f"{lost} of the last {recent.size} runs failed or broke a limit.", f"{said}.",
            "The model learns where. If it stays so, relax a limit or rule the region out with a constraint.",
        )  # fmt: skip
    else:
        claim = f"{recent.size - lost} of the last {recent.size} runs hold every limit."
        yield Verdict("feasibility", "good", claim, f"{said}.")


def _most_broken(history: History, rows: NDArray[np.int64]) -> str:
    """Name of the limit that is broken most often."""
    counts: dict[str, int] = defaultdict(int)
    column = 0
    for limit in history.constraints:
        for _ in limit.bounds:
            counts[limit.name] += int((history.C[rows, column] > 0).sum())
            column += 1
    name = max(counts, key=lambda one: counts[one], default="")
    return name if name and counts[name] else ""
