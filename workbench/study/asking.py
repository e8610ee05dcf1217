"""One ask: lease, history, sampler, independent check, one transaction.

Whatever asks at the same time, numbers are given out by the database, in the transaction
that writes the trials, and only to the holder of the lease's fencing number.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from workbench.errors import DeadlineReached, InvalidValueError, LeaseLostError, SamplerError, StorageError
from workbench.samplers.base import AskRequest, Proposal, Sampler, spread_out
from workbench.space.functions import require_all
from workbench.space.geometry import inside
from workbench.study.queue import avoided, shut
from workbench.study.record import Record
from workbench.trial import Owner, TrialRow, TrialState, dumps, loads, not_json, now, pack_params

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Space
    from workbench.storage import Transaction
    from workbench.trial import History

log = logging.getLogger("workbench")

LEASE = 30.0  # seconds that an ask lease lasts without renewal
_RESOLVED = 1e-12  # of an encoded column: two values that are the same point
_LOOKED_AT = 8  # draws of what an enqueued trial leaves open, for one that no rejection shuts
_SHORT = 1.0  # seconds that a renewal waits for another program
_POLL = (0.002, 0.05)  # first and longest pause between two looks at a lease that another holds


@dataclass(frozen=True)
class Wish:
    """What the caller of an ask wants.

    Args:
        n: Number of trials.
        fixed: Parameters held at a value, checked and completed, context included.
        context: The part of it that the world decided.
        near: Number of a trial to stay close to.
        prefer: Weights of objectives.
        thresholds: Values to reach by objective, user units.
        deadline: `time.monotonic()` by which the ask has to return.
        expires: Seconds until a trial that nobody keeps alive may be taken over; None: never.
        until: Ask for nothing once this many trials are finished or in flight in a run.
        purpose, held: As in `AskRequest`.
    """

    n: int = 1
    fixed: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    near: int | None = None
    prefer: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    deadline: float | None = None
    expires: float | None = None
    until: int | None = None
    purpose: Literal["evaluate", "question"] = "evaluate"
    held: frozenset[int] = frozenset()


def enough(history: History, until: int | None) -> bool:
    """Are as many trials finished, or in flight in a run, as were wanted?"""
    if until is None:
        return False
    running = history.in_state(TrialState.RUNNING)
    flying = sum(history.rows[i].expires is not None for i in np.flatnonzero(running).tolist())
    return int(history.finished.sum()) + flying >= until


def ask(record: Record, sampler: Sampler, wish: Wish, turn: threading.Lock) -> list[TrialRow]:
    """Exactly `wish.n` running trials, waiting ones first; none where `wish.until` is reached.

    Args:
        turn: Lock that orders the threads of this process.
    Raises:
        UnsupportedError, ExhaustedSpaceError, SearchEnded, SamplerError: from the sampler; nothing is written.
    """
    history = record.history()
    if missing := wish.n - len(_waiting(history, wish)):
        require_all(history.space.functions)
        sampler.check(_request(record, wish, history, missing))  # whatever the clock says later
    while True:
        with record.storage.until(wish.deadline), _lease(record, wish.deadline, turn) as fence:
            try:
                return _serve(record, sampler, wish, fence)
            except (LeaseLostError, _Overtaken):
                continue  # the record has moved on under these proposals: ask anew


def _serve(record: Record, sampler: Sampler, wish: Wish, fence: int | None) -> list[TrialRow]:
    history = record.history()
    if enough(history, wish.until):  # looked at under the lease, so that no two runs ask for the last one
        return []
    waiting = _waiting(history, wish)
    n = wish.n - len(waiting)
    if fence is not None:
        drafts, state = _proposals(record, sampler, wish, history, n)
        return _write(record, wish, waiting, drafts, history.next_number, fence=fence, state=state)
    late = "the time given to this ask was over before other asks let it begin"
    stopgap = _stopgap(record, wish, history, n, late) if n else []
    return _write(record, wish, waiting, stopgap, history.next_number)


_ALIVE = {"evaluate": (TrialState.RUNNING,), "question": (TrialState.RUNNING, TrialState.COMPLETE)}


class _Overtaken(Exception):
    """Somebody else took a waiting trial or the number that a draw was made for, or changed the space."""


Draft = dict[str, Any]


class _Again(NamedTuple):
    """A proposal to show an existing trial, or to go on measuring it."""

    number: int
    measure: str | None


def _write(
    record: Record,
    wish: Wish,
    waiting: Sequence[int],
    drafts: Sequence[Draft | _Again],
    first: int,
    *,
    fence: int | None = None,
    state: tuple[str, bytes] | None = None,
) -> list[TrialRow]:
    """One transaction; `first` is the number that the drafts were made for.

    Raises:
        LeaseLostError: if the fencing number is not the lease's any more.
        _Overtaken: if somebody who needs no lease (a late ask, a queue) wrote one of the points meanwhile.
    """
    at = now()
    claim = {
        "state": str(TrialState.RUNNING), "started": at, "owner": Owner.current().to_json(), "attempt": 1,
        "expires": None if wish.expires is None else at + wish.expires,
    }  # fmt: skip
    with record.transaction("ask") as tx:
        if fence is not None:
            tx.check_fence(fence)
        rows = [_claim(tx, number, claim) for number in waiting]
        fresh = [draft for draft in drafts if isinstance(draft, dict)]
        if any(draft["space_version"] != tx.space_version for draft in fresh):
            raise _Overtaken
        made = tx.insert([{**draft, "created": at, "origin": "asked", **claim} for draft in fresh])
        if made and made[0].number != first:
            news = [tx.row(number) for number in range(first, made[0].number)]
            points = {(row.params, row.vectors) for row in news}
            if fence is None or any((row.params, row.vectors) in points for row in made):
                raise _Overtaken
        rest = iter(made)
        rows += [next(rest) if isinstance(draft, dict) else _again(tx, draft, wish) for draft in drafts]
        if state is not None and drafts:
            tx.save_state(state[0], rows[-1].number, state[1])
    return rows


def _again(tx: Transaction, again: _Again, wish: Wish) -> TrialRow:
    row = tx.row(again.number)
    if row.state not in _ALIVE[wish.purpose]:
        raise _Overtaken
    return row if again.measure is None else tx.update(row.number, measure=again.measure)


def _claim(tx: Transaction, number: int, claim: Mapping[str, Any]) -> TrialRow:
    if tx.row(number).state != TrialState.WAITING:
        raise _Overtaken
    return tx.update(number, **claim)


def _waiting(history: History, wish: Wish) -> list[int]:
    """The first waiting trials that have the fixed values; the others stay in the queue."""
    queue = (int(i) for i in np.flatnonzero(history.in_state(TrialState.WAITING)))
    fitting = (i for i in queue if not wish.fixed or _has(history.params(i), wish.fixed))
    return list(islice((i for i in fitting if shut(history, i) is None), wish.n))


def _has(params: Mapping[str, Any], fixed: Mapping[str, Any]) -> bool:
    return all(key in params and np.array_equal(params[key], value) for key, value in fixed.items())


def waiting(point: Mapping[str, Any], version: int, why: str, drawn: Sequence[str] = ()) -> Draft:
    """A point as a waiting trial; `drawn` names the parameters that nobody chose."""
    text, vectors = pack_params(point)
    return {
        "state": str(TrialState.WAITING), "params": text, "vectors": vectors, "space_version": version,
        "origin": "enqueued", "created": now(), "why": why, "meta": dumps({"drawn": list(drawn)} if drawn else None),
    }  # fmt: skip


def enqueue(record: Record, params: Mapping[str, Any]) -> TrialRow:
    """A waiting trial with these values; what is left open is drawn by the trial's number."""
    while True:
        history = record.history()
        space, number = history.space, history.next_number
        require_all(space.functions)
        fixed = space.complete_fixed(params)
        X = space.sobol(_LOOKED_AT, record.seed, skip=number, fixed=fixed)
        X = X[[int(np.argmax([avoided(history, x) is None for x in X]))]]  # the first, where all of them are shut
        point = space.check(_as_fixed(space, space.decode(X)[0], fixed))
        drawn = sorted(set(point) - set(fixed))
        draft = waiting(point, history.spaces.version, "enqueued by the user", drawn)
        try:
            with record.transaction("enqueue") as tx:
                row = tx.insert([draft])[0]
                if tx.space_version != row.space_version:
                    raise _Overtaken
                if drawn and row.number != number:  # the same draw belongs to the trial that came between
                    raise _Overtaken
                return row
        except _Overtaken:
            continue


# -- the sampler -----------------------------------------------------------------------------


def _request(record: Record, wish: Wish, history: History, n: int, **more: Any) -> AskRequest:
    first = history.next_number
    return AskRequest(
        history=history, n=n, rng=np.random.default_rng([record.seed, first]), first=first,
        fixed=wish.fixed, context=wish.context, near=wish.near, prefer=wish.prefer,
        thresholds=wish.thresholds, deadline=wish.deadline, purpose=wish.purpose, held=wish.held, **more,
    )  # fmt: skip


def _proposals(
    record: Record, sampler: Sampler, wish: Wish, history: History, n: int
) -> tuple[list[Draft | _Again], tuple[str, bytes] | None]:
    """What the sampler proposes, checked, and the state that it wants to keep with it."""
    if n == 0:
        return [], None
    request = _request(record, wish, history, n)
    sampler, request = _ready(record, sampler, request)
    try:
        request.check_deadline()
        proposals = sampler.ask(request)
    except DeadlineReached:
        late = f"sampler {sampler.name!r} had no candidate within the time given"
        return [*_stopgap(record, wish, history, n, late)], None
    if len(proposals) != n:
        raise SamplerError(f"sampler {sampler.name!r} was asked for {n} proposals and gave {len(proposals)}")
    note = {"sampler": sampler.name, "rng": [record.seed, request.first]}
    drafts = [_checked(record, wish, history, p, sampler.name, note) for p in proposals]
    _check_new(history, drafts, sampler.name)
    return drafts, _packed_state(sampler)


def _ready(record: Record, sampler: Sampler, request: AskRequest) -> tuple[Sampler, AskRequest]:
    """A sampler with its state, as a fresh copy, so that no ask, and no other study, leaves a trace in it."""
    if not sampler.stateful:
        return sampler, request
    sampler, state = copy.deepcopy(sampler), _state(record, sampler)
    if state is not None:
        sampler.load_state_dict(state[1])
    return sampler, replace(request, state=state)


def foresee(
    record: Record, sampler: Sampler, n: int, history: History, held: frozenset[int] = frozenset()
) -> list[dict[str, Any]]:
    """Parameters of the new trials that an ask for a question would propose of such a history; nothing is written."""
    request = _request(record, Wish(n=n, purpose="question", held=held), history, n)
    sampler.check(request)
    sampler, request = _ready(record, sampler, request)
    return [_decoded(history.space, one.x, sampler.name) for one in sampler.ask(request) if one.trial is None]


def _checked(
    record: Record, wish: Wish, history: History, proposal: Proposal, name: str, note: Mapping[str, Any]
) -> Draft | _Again:
    """The proposal as a row, or as the number of a trial, after a check that trusts no sampler."""
    unknown = sorted(set(proposal.measure or ()) - set(record.told_names))
    if unknown:
        raise SamplerError(f"sampler {name!r} proposed to measure {unknown}; this study measures {record.told_names}")
    if proposal.trial is None:
        return _draft(history, wish, proposal, name, note)
    states = _ALIVE[wish.purpose]
    if not 0 <= proposal.trial < len(history) or history.rows[proposal.trial].state not in states:
        raise SamplerError(
            f"sampler {name!r} proposed to go on with trial {proposal.trial}, which is not {' or '.join(states)}"
        )
    return _Again(proposal.trial, dumps(list(proposal.measure or ())))


def _draft(history: History, wish: Wish, proposal: Proposal, name: str, note: Mapping[str, Any]) -> Draft:
    space = history.space
    params = _as_fixed(space, _decoded(space, proposal.x, name), wish.fixed)
    broken = [*space.violations(space.check(params))]
    broken += [
        f"{key} is {params[key]!r}, fixed was {value!r}"
        for key, value in wish.fixed.items()
        if key in params and not np.array_equal(params[key], value)
    ]
    if broken:
        raise SamplerError(f"sampler {name!r} proposed {params}, which breaks: {'; '.join(broken)}")
    for what, said in (("meta", proposal.meta), ("predicted", proposal.predicted)):
        if (reason := not_json(said)) is not None:
            raise SamplerError(f"sampler {name!r} gave a {what} that no JSON can hold: {reason}")
    text, vectors = pack_params(params)
    return {
        "params": text, "vectors": vectors, "space_version": history.spaces.version,
        "meta": dumps({**note, **proposal.meta}), "why": proposal.why or None,
        "predicted": dumps(dict(proposal.predicted)), "warnings": dumps(list(proposal.warnings)),
        "measure": dumps(list(proposal.measure or ())),
    }  # fmt: skip


def _decoded(space: Space, x: NDArray[np.float64], name: str) -> dict[str, Any]:
    """The values of a proposal.

    Raises:
        SamplerError: if it has another width, NaN where a parameter is active, or leaves the bounds.
    """
    try:
        X = np.asarray(x, dtype=np.float64)[None]
        params = space.decode(X)[0]
    except (InvalidValueError, ValueError, TypeError) as error:
        raise SamplerError(f"sampler {name!r} proposed {x!r}, which is no point of the space: {error}") from error
    if not inside(space, X)[0]:
        raise SamplerError(f"sampler {name!r} proposed {X[0].tolist()}, which lies outside the unit cube of the space")
    return params


def _check_new(history: History, drafts: Sequence[Draft | _Again], name: str) -> None:
    """Refuse a point that is in the record or the batch already, unless the sampler says that it replicates."""
    seen = {(row.params, row.vectors) for row in history.rows if row.state != TrialState.VOID}
    for draft in drafts:
        if not isinstance(draft, dict):
            continue
        point = (draft["params"], draft["vectors"])
        if point in seen and "replicate" not in loads(draft["meta"], {}):
            raise SamplerError(
                f"sampler {name!r} proposed {draft['params']} a second time, and did not note it as a replicate in meta"
            )
        seen.add(point)


def _as_fixed(space: Space, params: dict[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The point with fixed values as they were given, where a column resolves fewer digits than they have."""
    for key, value in fixed.items():
        if key in params:
            gap = np.abs(space[key].encode([value]) - space[key].encode([params[key]]))
            params[key] = value if bool((gap <= _RESOLVED).all()) else params[key]
    return params


def _stopgap(record: Record, wish: Wish, history: History, n: int, why: str) -> list[Draft]:
    """Quasi-random points keyed by seed, number and owner: no two late asks give the same."""
    first = history.next_number
    owner = f"{Owner.current().to_json()} {threading.get_native_id()}"
    key = [record.seed, first, int.from_bytes(sha256(owner.encode()).digest()[:6])]  # exact in JSON
    seed = int(np.random.SeedSequence(key).generate_state(1)[0])

    request = replace(_request(record, wish, history, n), rng=np.random.default_rng(key), deadline=None)
    warning = f"{why}; this is a quasi-random point instead. Give a longer timeout= for a better one"
    note = {"sampler": "sobol", "deadline_hit": True, "rng": key}
    proposals = spread_out(request, seed=seed, why="time was over: quasi-random point", warnings=(warning,))
    return [_draft(history, wish, proposal, "sobol", note) for proposal in proposals]


def _state(record: Record, sampler: Sampler) -> tuple[int, dict[str, Any]] | None:
    stored = record.storage.sampler_state(record.id, _state_key(sampler))
    if stored is None:
        return None
    number, data = stored
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        return number, dict(arrays)


def keep_state(record: Record, sampler: Sampler, state: Mapping[str, Any]) -> None:
    """Store what a run has left, for later asks of the same sampler."""
    key, data = _packed(sampler, state)
    latest = max(0, record.history().next_number - 1)
    with record.transaction("state") as tx:
        tx.save_state(key, latest, data)


def _packed_state(sampler: Sampler) -> tuple[str, bytes] | None:
    state = sampler.state_dict()
    return None if state is None else _packed(sampler, state)


def _packed(sampler: Sampler, state: Mapping[str, Any]) -> tuple[str, bytes]:
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **state)
    return _state_key(sampler), buffer.getvalue()


def _state_key(sampler: Sampler) -> str:
    """Name and options: networks of other sizes do not share their weights."""
    options = dumps(sampler.options())
    return sampler.name if options is None else f"{sampler.name}:{sha256(options.encode()).hexdigest()[:16]}"


# -- the lease -------------------------------------------------------------------------------


@contextmanager
def _lease(record: Record, deadline: float | None, turn: threading.Lock) -> Iterator[int | None]:
    """Hold the study's ask lease, renewed while held; None if the deadline came first."""
    if not turn.acquire(timeout=-1 if deadline is None else max(0.0, deadline - time.monotonic())):
        yield None
        return
    try:
        fence = _acquire(record, deadline)
        if fence is None:
            yield None
            return
        done = threading.Event()
        keeper = threading.Thread(target=_renew, args=(record, fence, done), daemon=True)
        try:
            keeper.start()
            yield fence
        finally:
            done.set()
            try:
                record.storage.release_lease(record.id, fence)
            finally:
                keeper.join()
    finally:
        turn.release()


def _acquire(record: Record, deadline: float | None) -> int | None:
    pause, longest = _POLL
    while True:
        fence = record.storage.acquire_lease(record.id, Owner.current(), LEASE)
        if fence is not None:
            return fence
        if deadline is not None and time.monotonic() + pause >= deadline:
            return None
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _renew(record: Record, fence: int, done: threading.Event) -> None:
    while not done.wait(LEASE / 3):
        try:
            with record.storage.until(time.monotonic() + _SHORT):
                held = record.storage.renew_lease(record.id, fence, LEASE)
            if not held:
                return  # lost: the fence in the transaction will say so
        except StorageError as error:
            log.warning("the ask lease could not be renewed, the next try may work: %s", error)
