"""`Study`: what a user holds. Every method is one read or one transaction of the record."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from workbench import bundle
from workbench.errors import InvalidValueError, TrialStateError, UnknownTrialError, WorkbenchWarning
from workbench.integers import integer
from workbench.problem import Constraint, Objective, Preference
from workbench.samplers.base import Sampler
from workbench.study import asking, changing, optimizing, telling
from workbench.study.doors import Files, Plot
from workbench.study.feedback import Feedback
from workbench.study.model import FEWEST, Model
from workbench.study.notebook import study_html
from workbench.study.progress import progress_bar
from workbench.study.queue import shut_out
from workbench.study.record import Record, finite
from workbench.trial import Trial, TrialRow, TrialState, loads

if TYPE_CHECKING:
    import pandas as pd

    from workbench.executor import Executor
    from workbench.pruning import Pruner
    from workbench.space import Space
    from workbench.space.functions import Function
    from workbench.storage import Storage, StudyRow
    from workbench.trial import History

Named = Trial | int
_AT_ONCE = 1_000_000  # trials of one ask


class Study:
    """A durable record of trials and feedback. Made by `create_study` and `load_study`.

    Threads and processes may share a study: each call is atomic in the database.
    """

    def __init__(
        self,
        storage: Storage,
        row: StudyRow,
        sampler: Sampler,
        make_sampler: Callable[[str | Mapping[str, Any] | Sampler], Sampler],
        functions: Mapping[str, Function] | None = None,
        rivals: Sequence[str] = (),
    ) -> None:
        self._record = Record(storage, row, functions)
        self._sampler = sampler
        self._make_sampler = make_sampler
        self._rivals = tuple(rivals)
        self._turn = threading.Lock()
        self._runs: set[threading.Event] = set()  # each set when its run shall stop
        self._model: Model | None = None

    # -- what it is ----------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the study within its storage."""
        return self._record.name

    @property
    def space(self) -> Space:
        """The space that trials are proposed in."""
        return self._record.space

    @property
    def objectives(self) -> tuple[Objective | Preference, ...]:
        """What is wanted."""
        return self._record.objectives

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Limits on measured quantities."""
        return self._record.constraints

    @property
    def sampler(self) -> Sampler:
        """What proposes, unless an ask names another."""
        return self._sampler

    @property
    def seed(self) -> int:
        """Seed that every proposal's randomness is derived from."""
        return self._record.seed

    @property
    def budget(self) -> int | None:
        """Number of trials planned."""
        return self._record.budget

    @property
    def baseline(self) -> dict[str, Any] | None:
        """Parameters that relative limits compare with, None without a baseline."""
        return self._record.baseline_params()

    @property
    def pruner(self) -> Pruner | None:
        """The rule behind `trial.should_prune()`."""
        return self._record.pruner

    @property
    def note(self) -> str:
        """What people noted about the study; see `annotate`."""
        return self._row().note or ""

    @property
    def tags(self) -> list[str]:
        """Tags of the study."""
        return list(loads(self._row().tags, []))

    @property
    def attrs(self) -> dict[str, Any]:
        """User attributes of the study."""
        return dict(loads(self._row().attrs, {}))

    @property
    def frozen(self) -> bool:
        """Is the study closed to every change? See `freeze`."""
        return changing.is_frozen(self._record)

    def _row(self) -> StudyRow:
        return self._record.storage.study_by_id(self._record.id)

    @property
    def storage_url(self) -> str | None:
        """Where the record lives; None in memory."""
        return self._record.storage.url

    def __repr__(self) -> str:
        trials = len(self._record.history())
        return f"Study({self.name!r}, {trials} trials, sampler={self._sampler.name!r}, storage={self.storage_url!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the best or the front, the goals, and the last trials."""
        return study_html(self.name, self._record.history())

    # -- asking ----------------------------------------------------------------------------

    @overload
    def ask(
        self, n: None = None, *, fixed: Mapping[str, Any] | None = None, context: Mapping[str, Any] | None = None,
        near: Named | None = None, prefer: Mapping[str, float] | None = None,
        thresholds: Mapping[str, float] | None = None, sampler: str | Sampler | None = None,
        timeout: float | None = None,
    ) -> Trial: ...  # fmt: skip

    @overload
    def ask(
        self, n: int, *, fixed: Mapping[str, Any] | None = None, context: Mapping[str, Any] | None = None,
        near: Named | None = None, prefer: Mapping[str, float] | None = None,
        thresholds: Mapping[str, float] | None = None, sampler: str | Sampler | None = None,
        timeout: float | None = None,
    ) -> list[Trial]: ...  # fmt: skip

    def ask(
        self,
        n: int | None = None,
        *,
        fixed: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        near: Named | None = None,
        prefer: Mapping[str, float] | None = None,
        thresholds: Mapping[str, float] | None = None,
        sampler: str | Sampler | None = None,
        timeout: float | None = None,
    ) -> Trial | list[Trial]:
        """Propose the next trial, or exactly n of them; waiting trials are served first.

        Args:
            n: Number of trials; without it, one trial instead of a list.
            fixed: Parameters to hold at a value.
            context: Values of the parameters that the world decides; needed for every role="context".
            near: A trial to stay close to: numbers within a tenth of their range, choices as they are.
            prefer: Weights of objectives.
            thresholds: Values that these trials are to reach, by objective, user units, of a study with several;
                for this ask they stand beside what `Objective.threshold` states.
            sampler: Another sampler for this ask, by name or as an object.
            timeout: Seconds from call to return. Past it the best candidate so far comes, or a
                quasi-random point, with a warning that is stored with the trial.
        Raises:
            InvalidValueError: for a wrong argument.
            UnsupportedError: if the sampler cannot serve the study or the request.
            ExhaustedSpaceError: if every point has been proposed already.
            SearchEnded: if a rule that the sampler was given says so.
            StorageError: if another program keeps the database locked, past the timeout and for five seconds.
        """
        count = 1 if n is None else n
        rows = self._ask(
            count, fixed=fixed, context=context, near=near, prefer=prefer, thresholds=thresholds, sampler=sampler,
            timeout=timeout,
        )  # fmt: skip
        trials = [self._record.trial(row) for row in rows]
        return trials[0] if n is None else trials

    def _ask(
        self,
        n: int,
        *,
        fixed: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        near: Named | None = None,
        prefer: Mapping[str, float] | None = None,
        thresholds: Mapping[str, float] | None = None,
        sampler: str | Sampler | None = None,
        timeout: float | None = None,
        expires: float | None = None,
        until: int | None = None,
        purpose: Literal["evaluate", "question"] = "evaluate",
        held: frozenset[int] = frozenset(),
    ) -> list[TrialRow]:
        began = time.monotonic()
        if integer(n, 1, _AT_ONCE) is None:
            raise InvalidValueError(f"ask(n) needs a whole number from 1 to {_AT_ONCE:,}, got {n!r}")
        if timeout is not None and not (isinstance(timeout, int | float) and 0 < timeout <= threading.TIMEOUT_MAX):
            raise InvalidValueError(f"timeout must be a number of seconds > 0, or None for no limit; got {timeout!r}")
        for what, given in (
            ("fixed", fixed), ("context", context), ("prefer", prefer), ("thresholds", thresholds),
        ):  # fmt: skip
            if given is not None and not isinstance(given, Mapping):
                raise InvalidValueError(f"{what}= is a mapping by name, such as {{'x': 0.5}}; got {given!r}")
        context = self._context(context or {})
        wish = asking.Wish(
            n=int(n),
            fixed=self.space.complete_fixed({**(fixed or {}), **context}),
            context=context,
            near=None if near is None else self.trial(near).number,
            prefer=self._prefer(prefer or {}),
            thresholds=self._thresholds(thresholds or {}),
            deadline=None if timeout is None else began + timeout,
            expires=expires,
            until=until,
            purpose=purpose,
            held=held,
        )
        chosen = self._sampler if sampler is None else self._make_sampler(sampler)
        rows = asking.ask(self._record, chosen, wish, self._turn)
        for text in dict.fromkeys(text for row in rows for text in loads(row.warnings, [])):
            warnings.warn(text, WorkbenchWarning, stacklevel=3)
        return rows

    def _context(self, context: Mapping[str, Any]) -> dict[str, Any]:
        roles = {p.name for p in self.space if p.role == "context"}
        wrong = [name for name in context if name not in roles]
        if wrong:
            raise InvalidValueError(
                f"context= takes parameters with role='context' ({sorted(roles)}), got {wrong}; use fixed="
            )
        return dict(context)

    def _prefer(self, prefer: Mapping[str, float]) -> dict[str, float]:
        names = [goal.name for goal in self._record.measured]
        for name, weight in prefer.items():
            if name not in names or finite(f"the weight of {name!r} in prefer=", weight) < 0:
                raise InvalidValueError(f"prefer= takes weights >= 0 of {names}, got {name!r}: {weight!r}")
        if prefer and not any(prefer.values()):
            raise InvalidValueError(f"prefer= takes a weight above 0 of one of {names} at least, got {dict(prefer)!r}")
        return {name: float(weight) for name, weight in prefer.items()}

    def _thresholds(self, thresholds: Mapping[str, float]) -> dict[str, float]:
        names = [goal.name for goal in self._record.measured]
        if unknown := [name for name in thresholds if name not in names]:
            raise InvalidValueError(f"thresholds= takes values to reach of {names}, got {unknown}")
        return {name: finite(f"the threshold of {name!r}", value) for name, value in thresholds.items()}

    def enqueue(self, params: Mapping[str, Any]) -> Trial:
        """Put a point at the end of the queue that the next asks are served from. Missing parameters are drawn.

        Raises:
            InvalidValueError: for a wrong name or value.
            InfeasibleSpaceError: if the constraints leave no point with these values.
        """
        return self._record.trial(asking.enqueue(self._record, params))

    # -- telling ---------------------------------------------------------------------------

    def tell(
        self,
        trial: Named,
        values: float | Mapping[str, float] | None = None,
        *,
        sem: float | Mapping[str, float] | None = None,
        gradient: Mapping[str, Any] | None = None,
        cost: float | None = None,
        actual: Mapping[str, Any] | None = None,
        state: TrialState | str = TrialState.COMPLETE,
        error: str | None = None,
        reason: str | None = None,
        final: bool = True,
    ) -> Trial:
        """Record what became of a trial; it is durable when this returns. No model is fitted.

        Args:
            trial: The trial or its number.
            values: Objectives and measured constraints by name, in user units; a number for the only objective.
            sem: Standard errors of the values.
            gradient: Slopes {objective: {parameter: slope}}, or {parameter: slope} with one objective; user units.
            cost: What the evaluation cost.
            actual: Parameter values that were really set, where they differ.
            state: "complete", "failed", "infeasible" or "pruned".
            error: Text for a failed trial.
            reason: Text for an infeasible or pruned one.
            final: False while more values are to come; the trial stays running.
        Raises:
            AlreadyTold: if something else was told before; an equal repetition is no error.
            InvalidValueError: for a wrong, missing or non-finite value; nothing is recorded.
        """
        try:
            target = TrialState(state)
        except ValueError:
            target = TrialState.VOID
        if target not in (TrialState.COMPLETE, TrialState.FAILED, TrialState.INFEASIBLE, TrialState.PRUNED):
            raise InvalidValueError(
                f"state must be 'complete', 'failed', 'infeasible' or 'pruned', got {state!r}; "
                "use study.reject or study.void for the others"
            )
        for what, text, states in (("error", error, "failed"), ("reason", reason, "infeasible pruned failed")):
            if text is not None and (not isinstance(text, str) or target not in states.split()):
                raise InvalidValueError(
                    f"{what}= is a text for state={' or '.join(map(repr, states.split()))}, got {text!r} "
                    f"with state={str(target)!r}; pass str({what}) and that state"
                )
        if not final and target != TrialState.COMPLETE:
            raise InvalidValueError(
                f"final=False means that values are still to come; it goes not with state={state!r}"
            )
        if target == TrialState.COMPLETE and values is None:
            raise InvalidValueError("a complete trial needs values; give them, or state='failed' or 'infeasible'")
        seen = telling.observe(self._record, values, sem=sem, gradient=gradient, cost=cost, actual=actual)
        number = self._record.number(trial)
        row = telling.tell(self._record, number, seen, target, final=final, error=error, reason=reason)
        return self._renewed(trial, row)

    def attach(
        self,
        params: Mapping[str, Any],
        values: float | Mapping[str, float],
        *,
        sem: float | Mapping[str, float] | None = None,
        gradient: Mapping[str, Any] | None = None,
        cost: float | None = None,
        actual: Mapping[str, Any] | None = None,
    ) -> Trial:
        """Add a trial that was run elsewhere; points outside the bounds are kept as data, and are never best.

        Args:
            params: Parameter values, user units.
            values: As in `tell`, and so `sem`, `gradient`, `cost` and `actual`.
        """
        seen = telling.observe(self._record, values, sem=sem, gradient=gradient, cost=cost, actual=actual)
        return self._record.trial(telling.attach(self._record, params, seen))

    def amend(
        self,
        trial: Named,
        *,
        values: float | Mapping[str, float],
        reason: str,
        sem: float | Mapping[str, float] | None = None,
        gradient: Mapping[str, Any] | None = None,
        cost: float | None = None,
        actual: Mapping[str, Any] | None = None,
    ) -> Trial:
        """Correct a complete trial; the audit log keeps what stood there and the reason. Arguments as in `tell`."""
        seen = telling.observe(self._record, values, sem=sem, gradient=gradient, cost=cost, actual=actual)
        with self._record.transaction("amend") as tx:
            row = telling.amend(tx, self._record, self._record.number(trial), seen, reason)
        return self._renewed(trial, row)

    def void(self, trial: Named, *, reason: str) -> Trial:
        """Take a trial out of the record's meaning; it is never erased."""
        with self._record.transaction("void") as tx:
            row = telling.void(tx, self._record.number(trial), reason)
        telling.announce(self._record, row)
        return self._renewed(trial, row)

    def reject(self, trial: Named, *, reason: str, avoid: str = "point") -> Trial:
        """Turn a proposal down, so that it does not come again.

        Args:
            avoid: "point", "region" (its neighbourhood), or a condition such as "x > 3" that no
                later proposal may fulfil.
        """
        with self._record.transaction("reject") as tx:
            row = telling.reject(tx, self._record, self._record.number(trial), reason, avoid)
        telling.announce(self._record, row)
        for text in shut_out(self._record.history()):
            warnings.warn(text, WorkbenchWarning, stacklevel=2)
        return self._renewed(trial, row)

    def choose(self, trial: Named, *, reason: str) -> Trial:
        """Decide for a trial, the last act of a study; the reason goes to the audit log. See `chosen`.

        Raises:
            TrialStateError: if the trial is not complete.
            InvalidValueError: if it lacks a value of a measured objective or constraint.
        """
        return self._record.trial(changing.choose(self._record, self._record.number(trial), reason))

    @property
    def chosen(self) -> Trial | None:
        """The trial that was decided for last; None while there is none."""
        number = changing.chosen(self._record)
        return None if number is None else self.trial(number)

    def set_reference(self, values: Mapping[str, float]) -> None:
        """State the reference point of the hypervolume anew: only what is beyond it counts, here and in a search.

        Args:
            values: By objective, user units; those that are left out are a threshold, or inferred once and kept. The
                audit log keeps what was stated before.
        Raises:
            InvalidValueError: for a name that is no measured objective, or where there are fewer than two.
        """
        changing.set_reference(self._record, values)

    def annotate(
        self,
        trial: Named | None = None,
        *,
        note: str | None = None,
        tags: Iterable[str] | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        """Note something about a trial, or about the study itself without one; what is left out stays.

        Args:
            trial: The trial or its number; `study.trial(n)` shows what holds now.
            note: Replaces the note; "" takes it away.
            tags: Replace the tags.
            attrs: JSON-compatible values by key, added to what is there.
        """
        listed = list(tags) if isinstance(tags, Iterable) and not isinstance(tags, str) else tags
        number = None if trial is None else self._record.number(trial)
        row = changing.annotate(self._record, number, note, listed, attrs)
        if trial is not None and row is not None:
            self._renewed(trial, row)

    def rename(self, name: str) -> None:
        """Give the study another name; nothing else of its record changes.

        Raises:
            StudyExistsError: if the name is taken.
        """
        changing.rename(self._record, name)

    def freeze(self) -> None:
        """Refuse every change from now on, by whomever, with `FrozenStudyError`; reading goes on. `thaw` ends it."""
        changing.freeze(self._record, True)

    def thaw(self) -> None:
        """Allow changes again."""
        changing.freeze(self._record, False)

    def change_space(self, space: Space, *, defaults: Mapping[str, Any] | None = None) -> None:
        """Propose in another space from now on; the record is encoded anew and nothing of it is lost.

        Trials outside the new bounds stay data that models learn from, and are never best. Values that the new
        space cannot hold at all (a choice that is gone) keep their trial out of the models: a warning counts them.

        Args:
            space: The new space.
            defaults: For parameters that are new: the value that they had in all earlier trials, None if it
                is not known.
        Raises:
            InvalidValueError: if a new parameter has no default; nothing is changed.
        """
        for text in changing.change_space(self._record, space, defaults or {}):
            warnings.warn(text, WorkbenchWarning, stacklevel=2)

    def _renewed(self, trial: Named, row: TrialRow) -> Trial:
        if isinstance(trial, Trial):
            trial._row = row
            return trial
        return self._record.trial(row)

    # -- running ---------------------------------------------------------------------------

    def optimize(
        self,
        fn: Callable[[Any], Any],
        n_trials: int | None = None,
        *,
        until: int | None = None,
        timeout: float | None = None,
        executor: Executor | None = None,
        catch: type[BaseException] | Iterable[type[BaseException]] = (),
        callbacks: Iterable[Callable[[Study, Trial], None]] = (),
        progress: bool = True,
        vectorized: bool = False,
        evaluations: int | None = None,
        keep: int = 20,
    ) -> None:
        """Ask, evaluate and tell in a loop. A killed run goes on where it stood when it is called again.

        Trials that an earlier, dead run left behind are taken over first and do not count in `n_trials`.

        Args:
            fn: fn(trial) gives a number, or a mapping by name. If it raises, the trial is recorded
                as failed and the error raised again, unless its type is in `catch`.
            n_trials: New trials to run.
            until: Stop when this many trials of the study are finished; default the budget.
            timeout: Stop asking after so many seconds.
            executor: Where to run fn, for instance `wb.Processes(workers=4)`; default here.
            catch: Error types that fail a trial without ending the run.
            callbacks: Each called as callback(study, trial) after a trial has ended.
            progress: Show a bar on an interactive terminal or in a notebook.
            vectorized: `fn` is cheap, and takes whole batches: columns by name, arrays of shape (n, …) in user units,
                to an array of shape (n,), or arrays by name. NaN is a failure. Evaluations are counted and are not
                trials; the best become trials in the end. Of the other arguments `timeout` and `progress` apply.
            evaluations: How many in all, those of an interrupted run included; needed with `vectorized`.
            keep: How many of the best become trials.
        """
        if vectorized or evaluations is not None:
            from workbench.study import vectorized as batches

            others = (n_trials, until, executor, *(() if catch == () else (catch,)), *callbacks)
            plan = batches.Batches.of(fn, vectorized, evaluations, keep, timeout, progress, others)
            with self._running() as stopped:
                batches.optimize(self, self._record, plan, stopped)
            return
        if until is None and n_trials is None and timeout is None:
            until = self.budget
        listeners = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
        forgiven = tuple(catch) if isinstance(catch, Iterable) and not isinstance(catch, str) else (catch,)
        order = optimizing.Plan(fn, n_trials, until, timeout, executor, forgiven, listeners)
        with self._running() as stopped, progress_bar(self._record, order, shown=progress) as listener:
            listeners.extend(listener)
            optimizing.optimize(self, self._record, order, stopped)

    @contextmanager
    def _running(self) -> Iterator[threading.Event]:
        """What `stop` sets while the block runs."""
        stopped = threading.Event()
        self._runs.add(stopped)
        try:
            yield stopped
        finally:
            self._runs.discard(stopped)

    def swarm_trace(self) -> dict[str, Any]:
        """What a swarm of `cbo` did: of the last vectorised run, else as its trials tell; empty without one."""
        from workbench.plots import swarm_trace
        from workbench.study.vectorized import stored

        return stored(self, "trace-cbo.npz") or swarm_trace(self.history())

    def policy_trace(self) -> dict[str, Any]:
        """How the policy of the last vectorised run of `gflownet` was trained, and how far to trust it; else empty."""
        from workbench.study.vectorized import stored

        return stored(self, "trace-gflownet.npz") or {}

    def give_back(self) -> list[int]:
        """Let go of the trials whose `optimize` has died on this host; the next one takes them over. Their numbers."""
        return optimizing.give_back(self._record)

    def stop(self) -> None:
        """End every running `optimize` of this object after the trials in flight."""
        for stopped in list(self._runs):
            stopped.set()

    # -- reading ----------------------------------------------------------------------------

    def history(self) -> History:
        """The whole record as values and arrays."""
        return self._record.history()

    def trial(self, number: Named) -> Trial:
        """One trial by number, as it is now."""
        wanted, rows = self._record.number(number), self._record.history().rows
        if not 0 <= wanted < len(rows):
            extent = f"0 to {len(rows) - 1}" if rows else "none yet"
            raise UnknownTrialError(f"study {self.name!r} has no trial {wanted}; its trials: {extent}")
        return self._record.trial(rows[wanted])

    @property
    def trials(self) -> list[Trial]:
        """All trials by number."""
        return [self._record.trial(row) for row in self._record.history().rows]

    @property
    def best_trial(self) -> Trial:
        """The best feasible trial inside the space, as observed; see `model()` for what noise may hide.

        Raises:
            TrialStateError: if there is none, or "best" has no meaning here; the message says what to use.
        """
        measured = self._record.measured
        if not measured:
            raise TrialStateError(
                "this study is judged by people only, so no trial has a value; ask the model: study.model().recommend()"
            )
        if len(measured) > 1:
            raise TrialStateError(
                f"with {len(measured)} objectives there is no single best trial; use study.pareto_trials"
            )
        history = self._record.history()
        row = history.best()
        if row is None:
            done = int(history.complete.sum())
            none = f"none of the {done} complete ones is feasible and inside the space"
            if history.unmeasured_baseline:
                none += "; its limits are relative to the baseline, which is not measured yet"
            why = "none is complete" if done == 0 else none
            raise TrialStateError(f"study {self.name!r} has no best trial yet: of its {len(history)} trials {why}")
        return self._record.trial(history.rows[row])

    @property
    def best_value(self) -> float:
        """Value of the best trial, user units."""
        return self.best_trial.values[self._record.measured[0].name]

    @property
    def best_params(self) -> dict[str, Any]:
        """Parameters of the best trial, as really set."""
        return self.best_trial.settings

    @property
    def pareto_trials(self) -> list[Trial]:
        """Feasible trials that no other feasible trial dominates, as observed."""
        history = self._record.history()
        if not history.measured:
            raise TrialStateError("this study measures nothing, so it has no front; use study.feedback")
        return [self._record.trial(history.rows[i]) for i in np.flatnonzero(history.front).tolist()]

    def hypervolume(self) -> float:
        """Volume that the front dominates above the reference point, as observed; 0.0 while no trial is beyond it.

        The reference is what `Objective.reference` states, else the threshold, else a tenth of the front's extent
        beyond its worst values. That is inferred anew from each record while there are fewer trials with values than a
        model needs to begin, then as it is when it is first needed, and kept from then on.
        """
        from workbench.models.surrogate import start_size
        from workbench.pareto import hypervolume

        history = self._record.history()
        if not history.measured:
            raise TrialStateError("this study measures nothing, so it has no front; use study.feedback")
        rows = np.flatnonzero(history.counted & ~np.isnan(history.Y).any(axis=1))
        if rows.size == 0:
            return 0.0
        # the front of a few trials is far from its later extent, and to read it must not change what is proposed
        early = rows.size < start_size(history) or not history.may_keep_reference
        reference = history.reference if early else self._record.keep_reference(history)
        return hypervolume(history.utility(history.Y[rows]), reference)

    def to_dataframe(self) -> pd.DataFrame:
        """One row a trial: number, state, parameters, values, cost, times (UTC), "actual:…" and "attr:…".

        Parameters are those proposed; "actual:…" holds what was really set where a trial was told so.

        A column of the trial whose name a parameter or a value has taken stands under "trial:…".
        """
        import pandas as pd

        named = [*self.space.names, *self._record.told_names]
        number, state, cost, started, finished = (
            f"trial:{own}" if own in named else own for own in ("number", "state", "cost", "started", "finished")
        )
        rows = [
            {number: t.number, state: str(t.state), **t.params, **t.values, cost: t.cost,
             started: t.started, finished: t.finished, **{f"actual:{k}": v for k, v in t.actual.items()},
             **{f"attr:{k}": v for k, v in t.attrs.items()}}
            for t in self.trials
        ]  # fmt: skip
        columns = [number, state, *named, cost, started, finished]
        extra = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in columns]
        frame = pd.DataFrame(rows, columns=columns + extra)
        frame[cost] = frame[cost].astype(float)
        for name in (started, finished):
            frame[name] = pd.to_datetime(frame[name].astype(float), unit="s")
        return frame

    # -- doors ------------------------------------------------------------------------------

    @cached_property
    def feedback(self) -> Feedback:
        """What people say about trials."""
        return Feedback(self)

    @cached_property
    def files(self) -> Files:
        """Attachments."""
        return Files(self)

    @cached_property
    def plot(self) -> Plot:
        """Figures."""
        return Plot(self)

    def model(self) -> Model:
        """The belief at the present revision of the record, cached by it."""
        history = self._record.history()
        if self._model is None or self._model.history is not history:
            self._model = self._fit(history)
        return self._model

    def _fit(self, history: History) -> Model:
        from workbench.errors import UnsupportedError

        if not history.measured:
            return Model(history, None, "nothing is measured in this study, so there is nothing to predict")
        known = int((~np.isnan(history.Y[history.complete & history.placed])).sum(axis=0).min())
        if known < FEWEST:
            return Model(history, None, f"a model needs at least {FEWEST} complete trials, there are {known}")
        try:
            surrogate = self._sampler.surrogate(history)
        except UnsupportedError as error:
            return Model(history, None, str(error))
        return Model(history, surrogate, "", self._sampler, self._make_sampler, self._rivals)

    def export(self, path: str | Path) -> Path:
        """Write the whole study, attachments included, as one JSON bundle; `wb.import_study` reads it."""
        return bundle.write(self._record.storage, self._row().name, Path(path))
