"""The whole record as arrays, and the one place where directions become "maximise".

Symbols: n trials, d encoded columns, m measured objectives, c limits of measured constraints.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.problem import Constraint, Objective, Preference
from workbench.space.geometry import at_target, inside, slope
from workbench.trial.rows import (
    FINISHED,
    FeedbackRecord,
    Report,
    Spaces,
    TrialRow,
    TrialState,
    loads,
    standing,
    unpack_params,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Space


_CODES = {state: code for code, state in enumerate(TrialState)}


@dataclass(frozen=True)
class History:
    """The record of a study at one revision, as arrays; row i is the i-th trial by number.

    `X` is encoded by the present space, NaN where a parameter is inactive, and NaN altogether
    where a trial of an earlier space has no `placed` in it; told `actual` values stand in for proposed
    ones. `Y` is sign-flipped so that larger is better, except
    that the column of an objective with a target stays raw (see `utility`); NaN where not
    measured. `C` is feasible where <= 0. Everything else is in user units.

    Args:
        space: The present space.
        objectives: All goals, preferences included.
        constraints: Measured constraints.
        rows: Stored trials by number.
        numbers: Trial numbers, shape (n,).
        states: Codes of the states, shape (n,); use the masks below.
        X: Encoded parameters, shape (n, d).
        Y: Measured objectives, shape (n, m).
        sem: Standard errors of Y, shape (n, m), NaN where not told.
        limited: Sign * value of each limit's quantity, shape (n, c); see `C`.
        C_sem: Standard errors of C, shape (n, c), NaN where not told.
        cost: Told costs, shape (n,).
        spaces: Every version of the space.
        baseline: Mean measured values at the study's baseline by name; empty until it is measured.
        feedback: The feedback log without undone entries and undos.
        reports: Intermediate values in order of number, objective and step.
        seed: Seed of the study.
        budget: Number of trials planned, if stated.
        revision: Revision of the record that this was read at.
        stored_reference: The inferred reference point that the study keeps, see `reference`; None: none yet.
    """

    space: Space
    objectives: tuple[Objective | Preference, ...]
    constraints: tuple[Constraint, ...]
    rows: Sequence[TrialRow]
    numbers: NDArray[np.int64]
    states: NDArray[np.int8]
    X: NDArray[np.float64]
    Y: NDArray[np.float64]
    sem: NDArray[np.float64]
    limited: NDArray[np.float64]
    C_sem: NDArray[np.float64]
    cost: NDArray[np.float64]
    spaces: Spaces
    baseline: Mapping[str, float] = field(default_factory=dict)
    feedback: tuple[FeedbackRecord, ...] = ()
    reports: tuple[Report, ...] = ()
    seed: int = 0
    budget: int | None = None
    revision: int = 0
    stored_reference: tuple[float, ...] | None = None

    @classmethod
    def of(
        cls,
        space: Space,
        objectives: Sequence[Objective | Preference],
        constraints: Sequence[Constraint],
        rows: Sequence[TrialRow],
        *,
        spaces: Spaces | None = None,
        baseline: tuple[str, bytes | None] | None = None,
        feedback: Sequence[FeedbackRecord] = (),
        reports: Sequence[Report] = (),
        seed: int = 0,
        budget: int | None = None,
        revision: int = 0,
        stored_reference: Sequence[float] | None = None,
        previous: History | None = None,
    ) -> History:
        """Encode stored trials.

        Args:
            rows: All trials by number.
            spaces: Every version of the space; only the present one unless given.
            baseline: The baseline's values as `pack_params` stores them.
            previous: An earlier history of the same study and space; only rows whose
                revision is above its revision are encoded anew.
        """
        objectives, constraints, spaces = tuple(objectives), tuple(constraints), spaces or Spaces(space)
        measured = [goal for goal in objectives if isinstance(goal, Objective)]
        n, kept = len(rows), 0 if previous is None else len(previous.rows)
        m, c = len(measured), sum(len(limit.bounds) for limit in constraints)
        shapes: dict[str, tuple[int, ...]] = {
            "X": (space.width,),
            "Y": (m,),
            "sem": (m,),
            "limited": (c,),
            "C_sem": (c,),
            "cost": (),
        }
        arrays = {name: np.full((n, *shape), np.nan) for name, shape in shapes.items()}
        states = np.zeros(n, dtype=np.int8)
        if previous is None:
            changed = list(range(n))
        else:
            for name, array in arrays.items():
                array[:kept] = getattr(previous, name)
            states[:kept] = previous.states
            changed = [i for i, row in enumerate(rows) if row.revision > previous.revision]
        if changed:
            fresh = [rows[i] for i in changed]
            states[changed] = [_CODES[TrialState(row.state)] for row in fresh]
            arrays["X"][changed] = _encode(spaces, fresh)
            told = [loads(row.outcomes, {}) for row in fresh]
            arrays["Y"][changed] = _columns(told, [(goal.name, goal.sign) for goal in measured])
            sems = [loads(row.sem, {}) for row in fresh]
            arrays["sem"][changed] = _columns(sems, [(goal.name, 1.0) for goal in measured])
            limits = [(limit.name, bound.sign) for limit in constraints for bound in limit.bounds]
            arrays["limited"][changed] = _columns(told, limits)
            arrays["C_sem"][changed] = _columns(sems, [(name, 1.0) for name, _ in limits])
            arrays["cost"][changed] = [np.nan if row.cost is None else row.cost for row in fresh]
        return cls(
            space, objectives, constraints, rows,
            np.fromiter((row.number for row in rows), np.int64, n), states, **arrays,
            spaces=spaces, baseline=_baseline(spaces, rows, arrays["X"], baseline), feedback=standing(feedback),
            reports=tuple(reports),
            seed=seed, budget=budget, revision=revision,
            stored_reference=None if stored_reference is None else tuple(stored_reference),
        )  # fmt: skip

    def __repr__(self) -> str:
        goals = ", ".join(goal.name for goal in self.objectives)
        return f"History({len(self)} trials of {self.X.shape[1]} columns, {goals}, revision {self.revision})"

    def __len__(self) -> int:
        return len(self.rows)

    # -- who is who: boolean masks of shape (n,) ----------------------------------------

    def in_state(self, *states: TrialState) -> NDArray[np.bool_]:
        """Mask of the trials in one of these states, shape (n,)."""
        among = np.zeros(len(_CODES), dtype=bool)
        among[[_CODES[state] for state in states]] = True
        return among[self.states]  # `np.isin` takes ten times as long for few trials

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Finished with all values, shape (n,)."""
        return self.in_state(TrialState.COMPLETE)

    @property
    def pending(self) -> NDArray[np.bool_]:
        """Running or waiting: proposed and not yet told, shape (n,)."""
        return self.in_state(TrialState.RUNNING, TrialState.WAITING)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Failed, shape (n,)."""
        return self.in_state(TrialState.FAILED)

    @property
    def infeasible(self) -> NDArray[np.bool_]:
        """Told to be infeasible without values, shape (n,)."""
        return self.in_state(TrialState.INFEASIBLE)

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Turned down by a person, shape (n,)."""
        return self.in_state(TrialState.REJECTED)

    @property
    def pruned(self) -> NDArray[np.bool_]:
        """Ended early, shape (n,)."""
        return self.in_state(TrialState.PRUNED)

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Complete, pruned, failed or infeasible, shape (n,)."""
        return self.in_state(*FINISHED)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Columns of X that are active, shape (n, d)."""
        return ~np.isnan(self.X)

    @functools.cached_property
    def placed(self) -> NDArray[np.bool_]:
        """Has a place in the present space, shape (n,): false for a trial of an earlier one that it cannot hold."""
        placed: NDArray[np.bool_] = np.any(self.mask, axis=1)
        return placed

    @property
    def unmeasured_baseline(self) -> bool:
        """Does a limit wait for the baseline to be measured?"""
        return any(limit.relative and limit.name not in self.baseline for limit in self.constraints)

    @functools.cached_property
    def C(self) -> NDArray[np.float64]:
        """Measured limits, shape (n, c), each held where <= 0; NaN where the value, or the baseline, is not known."""
        limits = [
            bound.sign * bound.at(self.baseline.get(limit.name, np.nan))
            for limit in self.constraints
            for bound in limit.bounds
        ]
        C: NDArray[np.float64] = self.limited - np.array(limits)
        return C

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Complete, and every measured limit holds, shape (n,)."""
        held: NDArray[np.bool_] = np.all(self.C <= 0, axis=1)  # a limit that was not measured does not hold
        return self.complete & held

    @functools.cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Whose point the present space can hold, within its bounds, shape (n,)."""
        return self.placed & inside(self.space, self.X)

    @functools.cached_property
    def counted(self) -> NDArray[np.bool_]:
        """What best and front choose from: feasible, inside bounds and known constraints, at the target, shape (n,).

        At the target: of every fidelity and task parameter.
        """
        counted = self.feasible & self.inside & at_target(self.space, self.X)
        if self.space.constrained:
            rows = np.flatnonzero(counted)  # a point outside the bounds cannot be decoded
            counted[rows] = self.space.feasible(self.X[rows])
        return counted

    # -- what it is worth ------------------------------------------------------------------

    @property
    def measured(self) -> tuple[Objective, ...]:
        """The objectives that have a column in Y."""
        return tuple(goal for goal in self.objectives if isinstance(goal, Objective))

    def utility(self, Y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Measurements as something to maximise: -max(0, |y - target| - tolerance) where there is a target.

        Args:
            Y: As `History.Y`, shape (..., m).
        Returns:
            Array of the same shape, units of the objectives.
        """
        U = np.array(Y, dtype=np.float64)
        for j, goal in enumerate(self.measured):
            if goal.target is not None:
                U[..., j] = -np.maximum(0.0, np.abs(U[..., j] - goal.target) - goal.tolerance)
        return U

    @functools.cached_property
    def thresholds(self) -> NDArray[np.float64]:
        """Utility that a useful trial has to reach, shape (m,), NaN where none is stated."""
        return self.levels({goal.name: goal.threshold for goal in self.measured})

    @functools.cached_property
    def reference(self) -> NDArray[np.float64]:
        """Reference point of the hypervolume as utilities, shape (m,): as stated, else the threshold, else inferred.

        A coordinate is inferred once: what the study keeps, or the first proposal that was made with one, holds from
        then on; until then it is inferred anew from each record. NaN where nothing can be inferred from yet.
        """
        stated = self.levels({goal.name: goal.reference for goal in self.measured})
        stated = np.where(np.isnan(stated), self.thresholds, stated)
        if not np.isnan(stated).any():
            return stated
        kept = self.kept_reference
        return np.where(np.isnan(stated), self.inferred_reference() if kept is None else kept, stated)

    @functools.cached_property
    def kept_reference(self) -> NDArray[np.float64] | None:
        """The inferred reference point that is in the record already, shape (m,)."""
        if self.stored_reference is not None:
            return np.array(self.stored_reference)
        for i, row in enumerate(self.rows):
            if row.meta and '"reference_point":' in row.meta:
                meta = self.meta(i)
                if meta.get("acquisition") != "feasibility":  # made before any trial held the limits
                    return np.array(meta["reference_point"])
        return None

    @property
    def may_keep_reference(self) -> bool:
        """Do enough trials count that their front says where a reference point should stay: two for each objective?"""
        whole = self.counted & ~np.isnan(self.Y).any(axis=1)
        return int(whole.sum()) >= 2 * len(self.measured)

    def inferred_reference(self) -> NDArray[np.float64]:
        """A reference point from the trials as they are now, shape (m,); NaN without one that has every value."""
        from workbench.pareto import infer_reference

        told = ~np.isnan(self.Y).any(axis=1)
        for rows in (self.counted & told, self.complete & self.placed & told):
            if rows.any():
                return infer_reference(self.utility(self.Y[rows]))
        return np.full(len(self.measured), np.nan)

    def levels(self, values: Mapping[str, float | None]) -> NDArray[np.float64]:
        """Values of measured objectives by name, user units, as utilities, shape (m,); NaN where there is none."""
        given = [values.get(goal.name) for goal in self.measured]
        raw = np.array([np.nan if v is None else goal.sign * v for goal, v in zip(self.measured, given, strict=True)])
        return self.utility(raw)

    @functools.cached_property
    def front(self) -> NDArray[np.bool_]:
        """Trials that count and that no other one beats in all measured objectives, shape (n,)."""
        from workbench.pareto import non_dominated

        mask = np.zeros(len(self), dtype=bool)
        if self.measured:
            rows = np.flatnonzero(self.counted & np.isfinite(self.Y).all(axis=1))
            mask[rows] = non_dominated(self.utility(self.Y[rows]))
        return mask

    def best(self) -> int | None:
        """Row of the best counted trial of a study with one measured objective; the earliest of equals."""
        rows = np.flatnonzero(self.counted & ~np.isnan(self.Y).any(axis=1))
        if rows.size == 0:
            return None
        return int(rows[np.argmax(self.utility(self.Y[rows])[:, 0])])

    def gradients(self) -> NDArray[np.float64]:
        """Slopes of Y in encoded coordinates, shape (n, m, d), NaN where not told.

        dy/du = sign * dy/dx * dx/du with u the encoded column of a Float.
        """
        G = np.full((len(self), len(self.measured), self.space.width), np.nan)
        for i, row in enumerate(self.rows):
            for j, goal in enumerate(self.measured):
                slopes = loads(row.gradient, {}).get(goal.name, {})
                for name, dy in slopes.items():
                    if name not in self.space or self.space[name].kind != "float":  # of an earlier space
                        continue
                    column = self.space.slices[name]
                    G[i, j, column] = goal.sign * dy * slope(self.space[name], self.X[i, column])
        return G

    def as_of(self, number: int) -> History:
        """The record as it stood when a trial was asked for: those before it, still running if they ended later.

        What was amended or voided since is as it is now; the baseline keeps its measured values.
        """
        begun = self.rows[number].started
        rows = [
            row._replace(state=TrialState.RUNNING.value, outcomes=None, sem=None, gradient=None, finished=None)
            if begun is not None and row.finished is not None and row.finished > begun
            else row
            for row in self.rows[:number]
        ]
        earlier = History.of(
            self.space, self.objectives, self.constraints, rows, spaces=self.spaces, feedback=self.feedback,
            reports=[report for report in self.reports if report.number < number], seed=self.seed, budget=self.budget,
            revision=self.revision,
        )  # fmt: skip
        return replace(earlier, baseline=self.baseline)

    def meta(self, i: int) -> dict[str, Any]:
        """What the sampler wrote down with row i."""
        return dict(loads(self.rows[i].meta, {}))

    def params(self, i: int) -> dict[str, Any]:
        """Parameter values of row i as proposed, user units, in the words of the space it was made in."""
        return self.spaces.params(self.rows[i])

    def settings(self, i: int) -> dict[str, Any]:
        """Parameter values of row i as really set: those told as `actual` in place of the proposed ones."""
        return self.spaces.settings(self.rows[i])

    @property
    def next_number(self) -> int:
        """The number that the next new trial gets."""
        return int(self.numbers[-1]) + 1 if len(self) else 0

    def avoided(self) -> Iterator[tuple[int, str]]:
        """Rows and rules of rejected trials: "point", "region" or a condition in the words of the present space.

        A condition of an earlier space that speaks of what is there no more shuts nothing.
        """
        for i in np.flatnonzero(self.rejected).tolist():
            rule = self.rows[i].avoid or "point"
            if rule in ("point", "region") or self.spaces.understands(self.rows[i], rule):
                yield i, rule


def _encode(spaces: Spaces, rows: Sequence[TrialRow]) -> NDArray[np.float64]:
    """Encoded columns, shape (n, d), all NaN where the present space cannot hold a trial."""
    X = np.full((len(rows), spaces.present.width), np.nan)
    placed = [spaces.placed(row) for row in rows]
    held = [i for i, params in enumerate(placed) if params is not None]
    X[held] = spaces.present.encode([params for params in placed if params is not None])
    return X


def _baseline(
    spaces: Spaces, rows: Sequence[TrialRow], X: NDArray[np.float64], baseline: tuple[str, bytes | None] | None
) -> dict[str, float]:
    """Mean told values, by name, of the complete trials that were really made at the baseline."""
    if baseline is None:
        return {}
    point = spaces.moved(unpack_params(*baseline, spaces.earlier.get(1, spaces.present)), 1)
    if point is None:  # the present space cannot hold it, but it was measured
        there = [(row.params, row.vectors) == baseline and not loads(row.actual, {}) for row in rows]
    else:
        x = spaces.present.encode([point])
        there = ((x == X) | (np.isnan(X) & np.isnan(x))).all(axis=1).tolist()
    told = [
        loads(row.outcomes, {}) for row, at in zip(rows, there, strict=True) if at and row.state == TrialState.COMPLETE
    ]
    names = dict.fromkeys(name for values in told for name in values)
    return {name: float(np.mean([values[name] for values in told if name in values])) for name in names}


def _columns(told: Sequence[Mapping[str, float]], columns: Sequence[tuple[str, float]]) -> NDArray[np.float64]:
    """Values sign * value by name, shape (n, number of columns), NaN where not told."""
    out = np.full((len(told), len(columns)), np.nan)
    for j, (name, sign) in enumerate(columns):
        out[:, j] = [values.get(name, np.nan) for values in told]
        out[:, j] *= sign
    return out
