"""The run sheet: the plan with its open cells, the history, the cards, and what was typed as tells.

Tables are pandas frames whose columns carry neutral ids ("knob 0", "result 1"); titles come from
`Field.title`, so that no name of a study collides. What a person changed in a suggestion stands in the
attribute `EDITED` of its trial until the run is recorded, and is then told as what was really set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ui.presenters import words
from ui.presenters.filtering import Filter
from workbench.interchange.numbers import Fault, detect, number
from workbench.markup import head, wording
from workbench.trial import TrialState, loads

if TYPE_CHECKING:
    import pandas as pd

    from workbench.space import Parameter
    from workbench.study import Study
    from workbench.trial import History, Trial

RUN, OUTCOME, NOTE = "run", "outcome", "note"
EDITED, ACCEPTED = "edited", "accepted"
"""An attribute of a trial: values that a person put in place of the suggested ones; a tag: somebody will do it."""
PAGE = 200  # rows of history that a page shows; the rest is on further pages
PLAIN = (-4, 4)  # numbers are written out from this power of ten on, and in steps up to that one
_OPEN = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True, slots=True)
class Field:
    """One column of knobs or results.

    Args:
        id: Name of the column in the frames.
        title: Head of the column: name and unit, plain text.
        name: Name of the parameter, its part, or the measured quantity.
        digits: Decimals to show; None for text and for logarithmic knobs.
        number: Whether its cells are numbers.
        part: Name of a mixture's part.
        unit: Unit, if it has one.
    """

    id: str
    title: str
    name: str
    digits: int | None = None
    number: bool = True
    part: str | None = None
    unit: str | None = None

    @property
    def name_only(self) -> str:
        """The title without its unit."""
        return self.name if self.part is None else self.part

    def say(self, value: Any) -> str:
        """A value of this column in words, with the decimals of the table and its unit."""
        exact = self.number and self.digits is not None
        said = f"{value:.{self.digits}f}" if exact else wording(value)
        return f"{said} {self.unit}" if self.unit else said

    def of(self, params: Mapping[str, Any]) -> Any:
        """The cell of this knob."""
        value = params.get(self.name)
        if value is None:
            return None
        if self.part is not None:
            return value[self.part]
        return value if self.number else wording(value)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that cannot be recorded as it stands: the run, the title of the column, and the sentence."""

    run: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"Run {self.run}, {self.column}: {self.problem}"


@dataclass(frozen=True, slots=True)
class Tell:
    """What a row of the plan says: one call of `study.tell`."""

    run: int
    state: TrialState
    values: dict[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One suggestion in words.

    Args:
        accepted: Has somebody said that it will be done?
        edited: What a person changed, in words; "" if nothing.
        rows: Goal, expected value with its standard deviation, both in words.
        nearest: The nearest run that was tried, and how it differs; "" without one.
    """

    run: int
    accepted: bool
    knobs: str
    edited: str
    why: str
    rows: list[tuple[str, str]]
    nearest: str
    warnings: list[str]


def knob_fields(study: Study) -> list[Field]:
    """The columns of the parameters; a mixture has one for each part."""
    made: list[Field] = []
    for parameter in study.space:
        unit = parameter.unit
        for part in parameter.columns if parameter.kind == "simplex" else (None,):
            title = head(part if part is not None else parameter.name, unit)
            numeric = parameter.kind in ("float", "int", "simplex")
            digits = _digits(parameter) if numeric else None
            made.append(Field(f"knob {len(made)}", title, parameter.name, digits, numeric, part, unit))
    return made


def result_fields(study: Study) -> list[Field]:
    """The columns of what is measured: goals, then limits."""
    measured: list[Any] = [*study.history().measured, *study.constraints]
    return [Field(f"result {i}", head(one.name, one.unit), one.name) for i, one in enumerate(measured)]


def open_trials(study: Study, *, shuffled: bool = False) -> list[Trial]:
    """The runs for people to do, by number, or in an order that is random but stays the same for the same runs.

    Runs that a process works at are not among them.
    """
    wanted = open_numbers(study)
    few = len(wanted) <= 20  # each look reads the database; one look at all of them is quicker for many
    trials = [study.trial(n) for n in wanted] if few else [t for t in study.trials if t.number in wanted]
    if not shuffled or len(trials) < 2:
        return trials
    rng = np.random.default_rng([study.seed, trials[0].number])
    keys = {trial.number: key for trial, key in zip(trials, rng.permutation(len(trials)), strict=True)}
    return sorted(trials, key=lambda trial: int(keys[trial.number]))


def open_numbers(study: Study) -> list[int]:
    """Numbers of the runs for people to do."""
    history = study.history()
    open_ = [history.rows[i] for i in np.flatnonzero(history.in_state(*_OPEN)).tolist()]
    return [row.number for row in open_ if row.expires is None]


def interrupted(study: Study) -> list[int]:
    """Runs whose process was stopped or died; the next start goes on with them."""
    history = study.history()
    pending = [history.rows[i] for i in np.flatnonzero(history.pending).tolist()]
    return [row.number for row in pending if words.going(row) == "Interrupted"]


def edits(trial: Trial) -> dict[str, Any]:
    """What a person put in place of suggested values."""
    return {name: value for name, value in trial.attrs.get(EDITED, {}).items() if value != trial.params.get(name)}


def settings(trial: Trial) -> dict[str, Any]:
    """The values that a run is done at: what was really set, else what a person wants, else what was suggested."""
    return {**trial.params, **edits(trial), **trial.actual}


def editable(study: Study, trial: Trial) -> list[Field]:
    """The knobs of a run that a person may change: numbers and choices that no other knob hangs on."""
    ruling = {name for parameter in study.space for name in parameter.when or {}}
    kinds = ("float", "int", "categorical", "ordinal", "bool")
    return [
        column for column in knob_fields(study)
        if study.space[column.name].kind in kinds and column.name in trial.params and column.name not in ruling
    ]  # fmt: skip


def edit(study: Study, number: int, changed: Mapping[str, Any]) -> None:
    """Put values in place of suggested ones; what equals the suggestion is taken back.

    Raises:
        InvalidValueError: if a value does not belong to its knob.
    """
    params = study.trial(number).params
    checked = {name: study.space[name].check(value) for name, value in changed.items()}
    plain = {name: study.space[name].plain(value) for name, value in checked.items() if value != params[name]}
    study.annotate(number, attrs={EDITED: plain})


def accept(study: Study, number: int, *, accepted: bool) -> None:
    """Say that somebody will do a run, or take that back."""
    tags = [tag for tag in study.trial(number).tags if tag != ACCEPTED]
    study.annotate(number, tags=[*tags, ACCEPTED] if accepted else tags)


def plan(study: Study, trials: Sequence[Trial], drafts: Mapping[int, Mapping[str, str]]) -> pd.DataFrame:
    """The runs to do as a table to fill in; what was typed before stands in its cells.

    Args:
        drafts: Run -> column id -> text.
    """
    import pandas as pd

    knobs, results = knob_fields(study), result_fields(study)
    frame: dict[str, list[Any]] = {RUN: [trial.number for trial in trials]}
    for column in knobs:
        frame[column.id] = [column.of(settings(trial)) for trial in trials]
    for column in results:
        told = [trial.values.get(column.name) for trial in trials]
        typed = [drafts.get(trial.number, {}).get(column.id) for trial in trials]
        frame[column.id] = [
            text if text is not None else None if value is None else wording(value)
            for text, value in zip(typed, told, strict=True)
        ]
    frame[OUTCOME] = [drafts.get(trial.number, {}).get(OUTCOME, "To do") for trial in trials]
    frame[NOTE] = [drafts.get(trial.number, {}).get(NOTE) or trial.note or None for trial in trials]
    made = pd.DataFrame(frame)
    texts = [OUTCOME, NOTE, *(column.id for column in results)]
    return made.astype(dict.fromkeys(texts, "object"))


def typed(frame: pd.DataFrame, results: Sequence[Field]) -> dict[int, dict[str, str]]:
    """What stands in the open cells of a plan: run -> column id -> text; empty cells and "To do" are left out."""
    kept = [*(column.id for column in results), OUTCOME, NOTE]
    drafts = {}
    for row in frame.to_dict("records"):
        cells = {name: str(row[name]) for name in kept if _filled(row[name]) and row[name] != "To do"}
        if cells:
            drafts[int(row[RUN])] = cells
    return drafts


def tells(study: Study, drafts: Mapping[int, Mapping[str, str]]) -> tuple[list[Tell], list[Cell]]:
    """Read what was typed: the runs that are ready to be recorded, and every cell that is wrong.

    A run with every result is done even if nobody said so. One with some results, or "Done" with
    results missing, is not ready: the missing cells are named.
    """
    results = result_fields(study)
    ready: list[Tell] = []
    wrong: list[Cell] = []
    for run, cells in drafts.items():
        found, faults, missing = {}, [], []
        for column in results:
            if column.id not in cells:
                missing.append(Cell(run, column.title, "empty. A finished run needs every result."))
                continue
            value = _value(cells[column.id])
            if isinstance(value, float):
                found[column.name] = value
            else:
                faults.append(Cell(run, column.title, value))
        outcome = cells.get(OUTCOME, "Done" if found or faults else "To do")
        note = cells.get(NOTE, "").strip()
        if outcome == "To do":
            continue
        if outcome == "Done":
            faults += missing
        elif not note:
            faults.append(Cell(run, "Note", f"empty. Say why the run is {outcome.lower()}."))
        if faults:
            wrong += faults
            continue
        ready.append(Tell(run, _TOLD[outcome], found, note))
    return ready, wrong


def _value(text: str) -> float | str:
    """A number as a person types it, with a decimal point or comma; or what is wrong with it."""
    mark = detect([text])
    if mark == "?":
        return f"“{text}” may be decimals or thousands. Write it without the comma."
    try:
        return float(number(text, mark, "a number"))
    except Fault:
        return f"“{text}” is not a number."


_TOLD = {"Done": TrialState.COMPLETE, "Infeasible": TrialState.INFEASIBLE, "Failed": TrialState.FAILED}


def agrees(study: Study, tell: Tell) -> bool:
    """Does the record say the same of a run as this does?"""
    trial = study.trial(tell.run)
    return trial.state == tell.state and all(trial.values.get(name) == value for name, value in tell.values.items())


def record(study: Study, tell: Tell) -> None:
    """Tell the study what became of one run.

    Raises:
        AlreadyTold: if somebody recorded something else; nothing is changed.
    """
    trial = study.trial(tell.run)
    actual = edits(trial) if trial.state in _OPEN else None
    if tell.state == TrialState.COMPLETE:
        study.tell(tell.run, tell.values, actual=actual)
        if tell.note and study.trial(tell.run).note != tell.note:
            study.annotate(tell.run, note=tell.note)
    elif tell.state == TrialState.FAILED:
        study.tell(tell.run, tell.values or None, actual=actual, state="failed", error=tell.note)
    else:
        study.tell(tell.run, tell.values or None, actual=actual, state="infeasible", reason=tell.note)


@dataclass(frozen=True, slots=True)
class Past:
    """One page of the history, newest first.

    Args:
        frame: Columns run, knobs, results, outcome, note.
        numbers: The run of each row.
        total: Runs that pass the filter.
        digits: Decimals of the columns of results, by id, where a fixed number suits.
    """

    frame: pd.DataFrame
    numbers: list[int]
    total: int
    digits: dict[str, int]


def past(study: Study, shown: Filter, page: int = 0) -> Past:
    """What was run, newest first, as far as it is shown."""
    import pandas as pd

    history = study.history()
    said = words.outcomes(history)
    rows = np.flatnonzero(shown.mask(history, said) & ~history.pending)[::-1]
    here = rows[page * PAGE : (page + 1) * PAGE].tolist()
    shown_rows = [history.rows[i] for i in here]
    knobs, results = knob_fields(study), result_fields(study)
    frame: dict[str, list[Any]] = {RUN: [row.number for row in shown_rows]}
    params = [history.settings(i) for i in here]
    told = [loads(row.outcomes, {}) for row in shown_rows]
    for column in knobs:
        frame[column.id] = [column.of(point) for point in params]
    for column in results:
        frame[column.id] = [values.get(column.name) for values in told]
    frame[OUTCOME] = [f"{words.sign(said[i])} {said[i]}" for i in here]
    frame[NOTE] = [". ".join(filter(None, [row.reason or _last_line(row.error), row.note])) for row in shown_rows]
    made = pd.DataFrame(frame).astype({column.id: "float64" for column in results})
    digits = {column.id: n for column in results if (n := _decimals(frame[column.id])) is not None}
    return Past(made, [row.number for row in shown_rows], len(rows), digits)


def recent(study: Study, most: int) -> Past:
    """The last runs that were finished, whatever became of them."""
    page = past(study, Filter(groups=tuple(words.GROUPS)), 0)
    return Past(page.frame.head(most), page.numbers[:most], page.total, page.digits)


def _decimals(values: Sequence[float | None]) -> int | None:
    """As many decimals as the values have, but no more than make five digits; None for very large or small ones."""
    held = np.array([value for value in values if value is not None], dtype=float)
    held = held[np.isfinite(held)]
    largest = float(np.abs(held).max(initial=0.0))
    if not held.size or not (largest == 0 or 1e-3 <= largest < 1e7):
        return None
    most = max(0, 4 - math.floor(math.log10(largest))) if largest else 0
    return next((n for n in range(most) if np.allclose(held, held.round(n), rtol=0, atol=1e-9)), most)


def cards(study: Study, trials: Sequence[Trial]) -> list[Card]:
    """What is suggested, why, what to expect, and the nearest run tried."""
    history = study.history()
    units = {p.name: p.unit for p in study.space if p.unit}
    measured: list[Any] = [*history.measured, *study.constraints]
    goals = {one.name: one.unit for one in measured}
    made = []
    knobs = knob_fields(study)
    for trial in trials:
        rows = [
            (name, f"{rounded(belief['mean'], belief['sd'])} ± {belief['sd']:.2g}" + _unit(goals.get(name)))
            for name, belief in trial.predicted.items()
            if belief and "mean" in belief and "sd" in belief
        ]
        made.append(
            Card(
                trial.number, ACCEPTED in trial.tags, knob_line(knobs, settings(trial)), _edited(knobs, trial),
                trial.why, rows, _nearest(history, trial, units), trial.warnings,
            )
        )  # fmt: skip
    return made


def verdict(study: Study) -> str:
    """The sentence above the sheet: how many runs, the best or the front, and whether it still gets better."""
    history = study.history()
    done = int(history.complete.sum())
    if not len(history):
        return "No runs yet. The first ones are spread evenly over your knobs."
    if not done:
        return "No results yet. Fill in what you measured; the next suggestions learn from it."
    best, gain = best_words(history), since_gain(history)
    stalled = f" No gain in {words.count(gain, 'run')}." if gain >= 5 else ""
    return best + stalled


def best_words(history: History) -> str:
    """The best run or the front in one sentence."""
    if not history.measured:
        return "Judged by people: rank the runs to say which are better."
    goal = history.measured[0]
    if len(history.measured) > 1:
        front = sum(word == "Done, front" for word in words.outcomes(history))
        if not front:
            return "No run keeps every limit yet."
        return f"{words.count(front, 'run')} on the front, out of {int(history.complete.sum()):,} done."
    best = history.best()
    if best is None:
        return "No run keeps every limit yet."
    value = goal.sign * history.Y[best, 0]
    return f"Best {goal.name} so far: {wording(float(value))}{_unit(goal.unit)}, run {int(history.numbers[best])}."


def since_gain(history: History) -> int:
    """How many finished runs came after the last one that improved the best value or joined the front."""
    from workbench.plots.panels import fronts

    rows = np.flatnonzero(history.finished)
    best = np.flatnonzero(fronts(history))
    return int((rows > best.max()).sum()) if best.size else 0


def _nearest(history: History, trial: Trial, units: Mapping[str, str]) -> str:
    rows = np.flatnonzero(history.complete & history.placed)
    own = np.flatnonzero(history.numbers == trial.number)
    if not rows.size or not own.size:
        return ""
    gaps = np.nan_to_num(history.X[rows] - history.X[own[0]], nan=0.0)
    nearest = int(rows[np.argmin((gaps**2).sum(axis=1))])
    there = history.settings(nearest)
    differs = {name: there[name] for name, value in trial.params.items() if name in there and there[name] != value}
    said = words.values(dict(list(differs.items())[:3]), units)
    number_ = int(history.numbers[nearest])
    return f"Nearest tried: run {number_}, with {said}." if said else f"A repeat of run {number_}."


def knob_line(knobs: Sequence[Field], values: Mapping[str, Any]) -> str:
    """The knobs of a run in one line, with the decimals of the table.

    A unit, or being the only choice, says which knob it is: the name is left out, as in "85 °C, 2.7 mol%, iPrOH".
    """
    units = [column.unit for column in knobs]
    texts = sum(not column.number for column in knobs)
    said = []
    for column in knobs:
        value = column.of(values)
        if value is not None:
            alone = units.count(column.unit) == 1 if column.unit else not column.number and texts == 1
            known = alone and not isinstance(values[column.name], bool)
            said.append(column.say(value) if known else f"{column.name_only} {column.say(value)}")
    return ", ".join(said)


def _edited(knobs: Sequence[Field], trial: Trial) -> str:
    changed = edits(trial)
    return ", ".join(
        f"{column.name_only} {column.say(column.of(changed))} instead of {column.say(column.of(trial.params))}"
        for column in knobs
        if column.name in changed
    )


def _digits(parameter: Parameter) -> int | None:
    """Decimals that tell neighbouring values of a parameter apart; None on a logarithmic scale."""
    if parameter.kind == "int":
        return 0
    step, low, high = (getattr(parameter, name, None) for name in ("step", "low", "high"))
    if step:
        text = f"{step:.10g}"
        return len(text.partition(".")[2]) if "e" not in text else None
    if getattr(parameter, "log", False) or low is None or high is None:
        return None
    return max(0, 5 - math.ceil(math.log10(max(high - low, 1e-12))))


def rounded(mean: float, sd: float) -> str:
    """A mean with as many decimals as its uncertainty supports: "98.1", "1.23e-12"."""
    if not (math.isfinite(sd) and sd > 0):
        return wording(float(mean))
    power = _power(mean, sd)
    return _mantissa(mean, sd, power) + (f"e{power}" if power else "")


def with_sd(mean: float, sd: float) -> str:
    """A mean and its uncertainty with the same decimals: "98.1 ± 0.3", "(1.23 ± 0.05)e-12"; the mean alone where that
    is not known."""
    if not (math.isfinite(sd) and sd > 0):
        return rounded(mean, sd)
    power = _power(mean, sd)
    both = f"{_mantissa(mean, sd, power)} ± {_mantissa(sd, sd, power)}"
    return f"({both})e{power}" if power else both


def _power(mean: float, sd: float) -> int:
    """Power of ten to take out of numbers that are mostly zeros when written out, else 0."""
    power = math.floor(math.log10(max(abs(mean), sd)))
    return power if power < PLAIN[0] or math.floor(math.log10(sd)) > PLAIN[1] else 0


def _mantissa(value: float, sd: float, power: int) -> str:
    return f"{value / float(f'1e{power}'):.{max(0, 1 - math.floor(math.log10(sd)) + power)}f}"


def _unit(unit: str | None) -> str:
    return f" {unit}" if unit else ""


def _last_line(text: str | None) -> str:
    return "" if not text else text.strip().splitlines()[-1][:200]


def _filled(cell: object) -> bool:
    return cell is not None and cell == cell and str(cell).strip() != ""  # noqa: PLR0124  # NaN is not itself
