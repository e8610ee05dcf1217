"""Everything that enters a trial from outside: checked, then written in one transaction."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench.errors import AlreadyTold, InvalidValueError, TrialStateError
from workbench.problem import Preference
from workbench.space import Float, parse
from workbench.space.geometry import meets, variables
from workbench.study.record import Record, finite
from workbench.trial import Observation, TrialRow, TrialState, dumps, loads, now, pack_params

if TYPE_CHECKING:
    from workbench.space import Space
    from workbench.storage import Transaction

log = logging.getLogger("workbench")

_LOOKED_AT = 256  # points at which a rule is tried
_TOLD = {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.INFEASIBLE}


def observe(
    record: Record,
    values: float | Mapping[str, float] | None,
    *,
    sem: float | Mapping[str, float] | None = None,
    gradient: Mapping[str, Any] | None = None,
    cost: float | None = None,
    actual: Mapping[str, Any] | None = None,
) -> Observation:
    """Check what a caller measured.

    Raises:
        InvalidValueError: naming what was expected, what came, and the remedy.
    """
    for what, given in (("gradient", gradient), ("actual", actual)):
        if given is not None and not isinstance(given, Mapping):
            raise InvalidValueError(f"{what}= is a mapping by parameter name, such as {{'x': 0.5}}; got {given!r}")
    return Observation(
        {} if values is None else record.named(values),
        {} if sem is None else _sem(record, sem),
        {} if gradient is None else _gradient(record, gradient),
        None if cost is None else _cost(cost),
        {} if actual is None else {name: record.space[name].check(v) for name, v in actual.items()},
    )


def _cost(cost: object) -> float:
    paid = finite("cost", cost)
    if paid < 0:
        raise InvalidValueError(f"cost is what a trial took, 0 or more, got {paid:g}; give it without the sign")
    return paid


def tell(
    record: Record,
    number: int,
    seen: Observation,
    state: TrialState,
    *,
    final: bool = True,
    error: str | None = None,
    reason: str | None = None,
) -> TrialRow:
    """Write one observation into a running or waiting trial, in one transaction, and log one line.

    An equal repetition of what was told is no error and changes nothing. A pruned trial without values
    keeps its last intermediate ones.

    Raises:
        AlreadyTold: if something else was told before.
        InvalidValueError: if a final tell misses an objective or a constraint.
        TrialStateError: if the trial was rejected or taken out.
    """
    error, reason = (None if text is None else writable(text) for text in (error, reason))
    with record.transaction("tell") as tx:
        row = _tell(tx, record, number, seen, state, final, error, reason)
        ended = final and row.revision == tx.revision  # an equal repetition leaves the row as it was
    if ended:
        announce(record, row)
    return row


def writable(text: str) -> str:
    """The text as a database can hold it: half characters, as of paths that are no UTF-8, are written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def announce(record: Record, row: TrialRow) -> None:
    """The one line that the log has of a trial."""
    last = (row.error or row.reason or "").strip().splitlines()[-1:]  # of a traceback: what was raised
    said = row.outcomes or "".join(last)[:200]
    log.info("study %r: trial %d %s %s", record.name, row.number, row.state, said)


def _tell(
    tx: Transaction, record: Record, number: int, seen: Observation, state: TrialState,
    final: bool, error: str | None, reason: str | None,
) -> TrialRow:  # fmt: skip
    row = tx.row(number)
    if final and state == TrialState.PRUNED and not seen.values and row.state not in _TOLD:
        last = {report.objective: report.value for report in tx.reports_of(number)}
        seen = replace(seen, values=last | loads(row.outcomes, {}))  # what was told before stands
    told = _told(row)
    whole = _joined(told, seen)
    if row.state in _TOLD:
        if row.state == state and whole == told and _repeats(row, seen, error, reason):
            return row
        raise AlreadyTold(
            f"trial {number} is {row.state} with {_said(told, row.cost, row.error, row.reason)}; now came {state} "
            f"with {_said(_joined({}, seen), seen.cost, error, reason)}. {_remedy(row.state)}"
        )
    if row.state not in (TrialState.RUNNING, TrialState.WAITING):
        raise TrialStateError(
            f"only a running trial can be told; trial {number} is {row.state}. "
            "Ask for another one, or add what was measured with study.attach(params, values)"
        )
    changed = _differences(told, whole)
    if row.cost is not None and seen.cost not in (None, row.cost):
        changed["cost"] = (row.cost, seen.cost)
    if changed:
        raise AlreadyTold(
            f"trial {number} was told other values before (old, new): {changed}. Finish it with the first ones, "
            "then correct it with study.amend(trial, values=…, reason=…)"
        )
    if final and state == TrialState.COMPLETE:
        _check_whole(record, number, whole["outcomes"], loads(row.measure))
    _check_actual(record, row, whole["actual"], final=final)
    fields: dict[str, Any] = {column: dumps(value) for column, value in whole.items()}
    if seen.cost is not None:
        fields["cost"] = seen.cost
    if final:
        fields |= {"state": str(state), "finished": now(), "expires": None, "error": error, "reason": reason}
    return tx.update(number, **fields)


@dataclass(frozen=True, slots=True)
class Run:
    """A trial that was run elsewhere: where, what came of it, and what is said about it.

    Args:
        params: Parameter values, user units.
        seen: What was measured, as `observe` checked it.
        state: "complete", "failed", "infeasible" or "pruned".
        error, reason: Texts, as in `Study.tell`.
        attrs: User attributes, JSON types.
        tags, note: What people wrote down.
        started, finished: Seconds since 1970; now when absent.
    """

    params: Mapping[str, Any]
    seen: Observation = field(default_factory=Observation)
    state: TrialState = TrialState.COMPLETE
    error: str | None = None
    reason: str | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    note: str | None = None
    started: float | None = None
    finished: float | None = None


def attach(record: Record, params: Mapping[str, Any], seen: Observation) -> TrialRow:
    """Add a trial that was run elsewhere, and log one line. Points outside the bounds are kept as data."""
    row = _attach(record, [Run(params, seen)])[0]
    announce(record, row)
    return row


def tell_all(record: Record, told: Mapping[int, Run], attached: Sequence[Run] = ()) -> list[TrialRow]:
    """Finish trials and add others that were run elsewhere: all of it or nothing, in one transaction.

    Args:
        told: What became of running trials, by number; of a `Run`, its observation, state, texts and note.
        attached: Trials that were run elsewhere.
    Raises:
        AlreadyTold: if something else was told before; nothing is changed.
    """
    drafts = [_attached(record, run) for run in attached]
    with record.transaction("tell") as tx:
        rows = []
        for number, run in told.items():
            row = _tell(tx, record, number, run.seen, run.state, True, run.error, run.reason)
            rows.append(row if run.note in (None, row.note) else tx.update(number, note=run.note))
        rows += tx.insert(drafts)
    for row in rows:
        announce(record, row)
    return rows


def attach_all(record: Record, runs: Sequence[Run]) -> list[TrialRow]:
    """Add trials that were run elsewhere, all or none of them, and log one line."""
    rows = _attach(record, runs)
    if rows:
        log.info("study %r: trials %d to %d attached", record.name, rows[0].number, rows[-1].number)
    return rows


def _attach(record: Record, runs: Sequence[Run]) -> list[TrialRow]:
    drafts = [_attached(record, run) for run in runs]
    with record.transaction("attach") as tx:
        return tx.insert(drafts)


def _attached(record: Record, run: Run) -> dict[str, Any]:
    """The columns of a trial that was run elsewhere, checked."""
    seen, point = run.seen, record.space.check(run.params, bounds=False)
    if seen.actual:
        _check_set(record.space, point, seen.actual, f"a trial at {dict(run.params)!r}")
    if run.state == TrialState.COMPLETE:
        _check_whole(record, None, seen.values)
    text, vectors = pack_params(point)
    at = now()
    return {
        "state": str(run.state), "params": text, "vectors": vectors,
        "space_version": record.space_version, "origin": "attached",
        "outcomes": dumps(dict(seen.values)), "sem": dumps(dict(seen.sem)),
        "gradient": dumps(dict(seen.gradient)), "actual": dumps(dict(seen.actual)), "cost": seen.cost,
        "error": run.error, "reason": run.reason, "attrs": dumps(dict(run.attrs)), "tags": dumps(list(run.tags)),
        "note": run.note, "created": at, "started": at if run.started is None else run.started,
        "finished": at if run.finished is None else run.finished,
    }  # fmt: skip


def amend(tx: Transaction, record: Record, number: int, seen: Observation, reason: str) -> TrialRow:
    """Correct the values of a complete trial; the old ones go to the audit log."""
    row = tx.row(number)
    if row.state != TrialState.COMPLETE:
        raise TrialStateError(
            f"only a complete trial can be amended; trial {number} is {row.state}. Tell a running one; "
            "replace another one by study.void and study.attach(params, values)"
        )
    _check_actual(record, row, _joined(_told(row), seen)["actual"])
    old: dict[str, Any] = {**_told(row), "cost": row.cost}
    new: dict[str, Any] = {**_joined(_told(row), seen), "cost": row.cost if seen.cost is None else seen.cost}
    changed = [column for column in new if new[column] != old[column]]
    before, after = ({_PARTS.get(c, c): side[c] for c in changed} for side in (old, new))
    tx.audit("amend", number, before=before, after=after, reason=_reason(reason))
    return tx.update(number, **{c: dumps(new[c]) if c in _PARTS else new[c] for c in changed})


def void(tx: Transaction, number: int, reason: str) -> TrialRow:
    """Take a trial out of the record's meaning; it stays readable, and the audit log says why."""
    row = tx.row(number)
    if row.state == TrialState.VOID:
        return row
    before = {"state": row.state} | ({} if row.reason is None else {"reason": row.reason})
    tx.audit("void", number, before=before, after={"state": "void"}, reason=_reason(reason))
    return tx.update(number, state=str(TrialState.VOID), reason=reason, expires=None, finished=row.finished or now())


def reject(tx: Transaction, record: Record, number: int, reason: str, avoid: str) -> TrialRow:
    """Turn a proposal down. `avoid` is "point", "region" or a condition that shuts part of the space."""
    row = tx.row(number)
    if row.state not in (TrialState.RUNNING, TrialState.WAITING):
        raise TrialStateError(
            f"only a running or waiting trial can be rejected; trial {number} is {row.state}: use study.void"
        )
    if avoid not in ("point", "region"):
        _check_rule(record, row, avoid)
    tx.audit("reject", number, before={"state": row.state}, after={"avoid": avoid}, reason=_reason(reason))
    return tx.update(number, state=str(TrialState.REJECTED), reason=reason, avoid=avoid, expires=None, finished=now())


# -- checks --------------------------------------------------------------------------------


def _check_rule(record: Record, row: TrialRow, avoid: str) -> None:
    """Does the condition leave something of the space, and shut something of it?"""
    space = record.space
    conditions = parse(avoid, variables(space))
    own = record.spaces.placed(row)
    world = {p.name: own[p.name] for p in space if own is not None and p.role == "context" and p.name in own}
    if any(p.role == "context" and p.name not in world for p in space):
        return
    X = space.sobol(_LOOKED_AT, 0, fixed=world)
    shut = meets(space, X, conditions)
    if shut.all():
        raise InvalidValueError(
            f"avoid={avoid!r} would leave nothing to propose: it holds at all of {len(X)} points spread over it. "
            "Say what shall not come again"
        )
    if not shut.any() and own is not None:
        x = space.encode([own])
        if not meets(space, x, conditions)[0]:
            raise InvalidValueError(
                f"avoid={avoid!r} holds nowhere in the space, not at trial {row.number} either, so it would change "
                "nothing. Check the condition, or use avoid='point'"
            )


def _check_whole(
    record: Record, number: int | None, values: Mapping[str, float], measure: list[str] | None = None
) -> None:
    """Is every value there that the trial was to measure, by default all that the study measures?"""
    wanted = measure or record.told_names
    missing = [name for name in wanted if name not in values]
    judged = any(isinstance(goal, Preference) for goal in record.objectives)
    if missing:
        which = "an attached trial" if number is None else f"trial {number}"
        raise InvalidValueError(
            f"{which} needs values of {', '.join(map(repr, wanted))}; missing: {', '.join(map(repr, missing))}. "
            + ("Give all of them" if number is None else "Tell the rest too, or pass final=False if more is to come")
        )
    if judged and not wanted:
        raise InvalidValueError("this study measures nothing: judge its trials through study.feedback")


def _check_actual(record: Record, row: TrialRow, actual: Mapping[str, Any], *, final: bool = True) -> None:
    """Is what was really set a point: does each of its values exist, and is none missing that exists only now?"""
    if actual:
        _check_set(record.spaces.of(row), record.spaces.params(row), actual, f"trial {row.number}", final=final)


def _check_set(
    space: Space, params: Mapping[str, Any], actual: Mapping[str, Any], where: str, *, final: bool = True
) -> None:
    point = {**params, **actual}
    active = space.active({name: value for name, value in point.items() if name in space})
    for name in actual:
        if name not in active:
            raise InvalidValueError(f"actual= names {name!r}, which is inactive in {where}; leave it out")
    missing = [name for name in space.names if name in active and name not in point]
    if missing and final:
        raise InvalidValueError(
            f"with actual={dict(actual)!r} {where} has {', '.join(map(repr, missing))} too, which was not proposed; "
            "say in actual= what it was set to"
        )


def _sem(record: Record, sem: float | Mapping[str, float]) -> dict[str, float]:
    errors = record.named(sem)
    noiseless = {goal.name for goal in record.measured if goal.noise == "none"}
    noiseless |= {limit.name for limit in record.constraints if limit.noise == "none"}
    for name, value in errors.items():
        if value < 0:
            raise InvalidValueError(
                f"the standard error of {name!r} must be >= 0, got {value}; give a standard deviation"
            )
        if name in noiseless:
            raise InvalidValueError(
                f"{name!r} is declared noise='none', but came with a standard error of {value}; "
                "leave sem out, or declare the noise as 'unknown' or a standard deviation"
            )
    return errors


def _gradient(record: Record, gradient: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    names = [goal.name for goal in record.measured]
    nested = all(isinstance(slopes, Mapping) for slopes in gradient.values())
    if not nested and len(names) != 1:
        raise InvalidValueError(
            f"with objectives {names} a gradient is {{objective: {{parameter: slope}}}}, got {gradient!r}"
        )
    by_objective: Mapping[str, Mapping[str, Any]] = gradient if nested else {names[0]: gradient}
    out: dict[str, dict[str, float]] = {}
    for objective, slopes in by_objective.items():
        if objective not in names:
            raise InvalidValueError(f"a gradient belongs to one of {names}, got {objective!r}; leave it out")
        for name, slope in slopes.items():
            if not isinstance(record.space[name], Float):
                raise InvalidValueError(f"only a Float has a slope, got one for {name!r}; leave it out")
            if not (isinstance(slope, float) and math.isnan(slope)):  # NaN means not known
                out.setdefault(objective, {})[name] = finite(f"the slope of {objective!r} in {name!r}", slope)
    return out


# -- what stands in a row, and what comes to it -----------------------------------------------

_PARTS = {"outcomes": "values", "sem": "sem", "gradient": "gradient", "actual": "actual"}
"""Column of a trial: the part of an observation that it holds."""

Told = dict[str, dict[str, Any]]


def _told(row: TrialRow) -> Told:
    return {column: loads(getattr(row, column), {}) for column in _PARTS}


def _joined(told: Told, seen: Observation) -> Told:
    """What is known once the observation is added, in JSON types as the row holds them."""
    whole: Told = {}
    for column, part in _PARTS.items():
        new = loads(dumps(getattr(seen, part)), {})
        old = told.get(column, {})
        whole[column] = old | {name: _deeper(old.get(name), value) for name, value in new.items()}
    return whole


def _deeper(old: Any, new: Any) -> Any:
    """Slopes of one objective may come one parameter at a time."""
    return {**old, **new} if isinstance(old, Mapping) and isinstance(new, Mapping) else new


def _differences(told: Told, whole: Told) -> dict[str, tuple[Any, Any]]:
    """Name: (old, new) for everything that was known with another value."""
    return {
        name if column == "outcomes" else f"{column} of {name}": (old, whole[column][name])
        for column in _PARTS
        for name, old in told[column].items()
        if _differs(old, whole[column][name])
    }


def _differs(old: Any, new: Any) -> bool:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return any(new[key] != value for key, value in old.items())
    return bool(old != new)


def _repeats(row: TrialRow, seen: Observation, error: str | None, reason: str | None) -> bool:
    """Does what stands beside the values say the same already?"""
    return seen.cost in (None, row.cost) and error in (None, row.error) and reason in (None, row.reason)


def _said(told: Told, cost: float | None, error: str | None, reason: str | None) -> str:
    beside: dict[str, Any] = {_PARTS[column]: value for column, value in told.items() if value and column != "outcomes"}
    beside |= {k: v for k, v in {"cost": cost, "error": error, "reason": reason}.items() if v is not None}
    said = [str(told["outcomes"])] if told.get("outcomes") else []
    return ", ".join([*said, *(f"{key} {value}" for key, value in beside.items())]) or "no values"


def _remedy(state: str) -> str:
    if state == TrialState.COMPLETE:
        return "Correct a record with study.amend(trial, values=…, reason=…)"
    return "Take it out with study.void(trial, reason=…) and add what holds with study.attach(params, values)"


def _reason(reason: str) -> str:
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidValueError(f"give a reason in words for the audit log, got {reason!r}")
    return reason
