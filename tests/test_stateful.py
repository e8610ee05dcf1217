"""Random sequences of calls on a study, against a plain Python model of what a study is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import workbench as wb
from workbench.samplers.base import AskRequest
from workbench.storage import Storage

TOLD = {"complete", "failed", "infeasible", "pruned"}
NUMBERS = st.sampled_from([-1.0, 0.0, 0.5, 2.0])  # few, so that equal values and ties are common
PICK = st.integers(0, 40)

GOALS: dict[str, tuple[list[wb.Objective | wb.Preference], list[wb.Constraint]]] = {
    "minimum": ([wb.Objective("a")], []),
    "limited maximum": ([wb.Objective("a", "maximize")], [wb.Constraint("m", upper=0.5, lower=-0.5)]),
    "target": ([wb.Objective("a", target=0.25, tolerance=0.25)], []),
    "front": ([wb.Objective("a"), wb.Objective("b", "maximize")], [wb.Constraint("m", lower=0.0)]),
    "taste": ([wb.Preference("taste")], []),
    "minimum and taste": ([wb.Objective("a"), wb.Preference("taste")], []),
}


@st.composite
def spaces(draw: st.DrawFn) -> wb.Space:
    """One to four parameters; a choice may have a child that exists only with one of its values."""
    kinds: dict[str, Callable[[str, Any], wb.Parameter]] = {
        "float": lambda name, when: wb.Float(name, -1.0, 3.0, when=when),
        "log": lambda name, when: wb.Float(name, 1e-3, 10.0, log=True, when=when),
        "step": lambda name, when: wb.Float(name, 0.0, 2.0, step=0.25, when=when),
        "int": lambda name, when: wb.Int(name, 1, 6, when=when),
        "ordinal": lambda name, when: wb.Ordinal(name, [16, 32, 64], when=when),
        "categorical": lambda name, when: wb.Categorical(name, ["u", "v", "w"], when=when),
        "bool": lambda name, when: wb.Bool(name, when=when),
        "vector": lambda name, when: wb.Vector(name, 2, prior="normal", when=when),
    }
    parameters: list[wb.Parameter] = []
    for i, kind in enumerate(draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=3))):
        parameters.append(kinds[kind](f"p{i}", None))
        values = {"categorical": "v", "bool": True, "int": 2}
        if kind in values and draw(st.booleans()):
            child = draw(st.sampled_from(sorted(kinds)))
            parameters.append(kinds[child](f"c{i}", {f"p{i}": values[kind]}))
    numbers = [p.name for p in parameters if p.kind in ("float", "int") and p.when is None]
    constraints = ["p0 >= 0"] if "p0" in numbers and draw(st.booleans()) else []
    return wb.Space(parameters, constraints=constraints)


class Spy(wb.Sampler):
    """Sobol points, and a note of which trials the ask was told are pending."""

    name = "sobol"
    serves = wb.SobolSampler.serves

    def __init__(self) -> None:
        self.pending: list[int] | None = None

    def ask(self, request: AskRequest) -> list[wb.Proposal]:
        self.pending = request.history.numbers[request.history.pending].tolist()
        return wb.SobolSampler().ask(request)


@dataclass
class Expected:
    """What the model knows of one trial."""

    params: dict[str, Any]
    state: str = "running"
    values: dict[str, float] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    inside: bool = True


class StudyMachine(RuleBasedStateMachine):
    """The rules are the calls of a user; each says what the model expects of it."""

    @initialize(space=spaces(), goals=st.sampled_from(sorted(GOALS)), seed=st.integers(0, 9))
    def create(self, space: wb.Space, goals: str, seed: int) -> None:
        self.space = space
        self.objectives, self.limits = GOALS[goals]
        self.measured = [goal for goal in self.objectives if isinstance(goal, wb.Objective)]
        self.names = [*(goal.name for goal in self.measured), *(limit.name for limit in self.limits)]
        self.store, self.spy = Storage(), Spy()
        self.study = wb.create_study(
            "demo", space, self.objectives, self.limits, sampler=self.spy, storage=self.store, seed=seed
        )
        self.trials: list[Expected] = []
        self.log: list[tuple[str, tuple[int, ...], int | None]] = []  # kind, trials, what it undoes
        self.reports: dict[tuple[int, str, int], float] = {}
        self.shut: dict[int, tuple[str, float]] = {}  # by rejected trial
        self.audited = 0

    # -- helpers ---------------------------------------------------------------------------

    def pick(self, n: int) -> int:
        """The number of a trial, now and then one that does not exist."""
        return n % (len(self.trials) + 1) if n % 7 == 0 else n % max(1, len(self.trials))

    def point(self, n: int) -> dict[str, Any]:
        return self.space.decode(self.space.uniform(1, np.random.default_rng(n)))[0]

    def judged(self) -> set[int]:
        return {number for i, (_, of, _) in enumerate(self.log) if self.stands(i) for number in of}

    def stands(self, entry: int) -> bool:
        """An entry stands unless an undo of it stands."""
        return not any(undoes == entry and self.stands(i) for i, (_, _, undoes) in enumerate(self.log))

    def standing(self) -> list[int]:
        return [i for i, (kind, _, _) in enumerate(self.log) if kind != "undo" and self.stands(i)]

    def settle(self, numbers: tuple[int, ...]) -> None:
        if self.names:
            return
        judged = {number for i in self.standing() for number in self.log[i][1]}
        for number in numbers:
            trial = self.trials[number]
            if trial.state == "running" and number in judged:
                trial.state = "complete"
            elif trial.state == "complete" and number not in judged:
                trial.state = "running"

    def refused(self, number: int, allowed: set[str]) -> type[wb.WorkbenchError] | None:
        if number >= len(self.trials):
            return wb.UnknownTrialError
        return None if self.trials[number].state in allowed else wb.TrialStateError

    # -- asking ------------------------------------------------------------------------------

    @rule(k=st.integers(1, 3), single=st.booleans())
    def ask(self, k: int, single: bool) -> None:
        pending = [i for i, t in enumerate(self.trials) if t.state in ("running", "waiting")]
        waiting = [i for i in pending if self.trials[i].state == "waiting"][: 1 if single else k]
        open_ended = {"complete", "pruned"} if self.space.size() is None else set()  # these may be measured again
        taken = [t for t in self.trials if t.state not in {"void", *open_ended} and t.inside]
        known = {self.space.key(t.params) for t in taken}
        fresh = (1 if single else k) - len(waiting)
        self.spy.pending = None
        try:
            asked = [self.study.ask()] if single else self.study.ask(k)
        except wb.ExhaustedSpaceError:
            assert self.space.size() is not None or self.shut
            return
        assert self.spy.pending == (pending if fresh else None)
        assert [t.number for t in asked] == [*waiting, *range(len(self.trials), len(self.trials) + fresh)]
        for t in asked[: len(waiting)]:
            self.trials[t.number].state = "running"
        for t in asked[len(waiting) :]:
            assert self.space.violations(self.space.check(t.params)) == []
            assert self.space.key(t.params) not in known  # never twice
            known |= set() if open_ended else {self.space.key(t.params)}
            assert not any(name in t.params and t[name] > bound + 1e-9 for name, bound in self.shut.values())
            self.trials.append(Expected(t.params))

    @rule(n=PICK, part=st.booleans())
    def enqueue(self, n: int, part: bool) -> None:
        point = self.point(n)
        given = {k: v for k, v in point.items() if self.space[k].when is None and n % 2} if part else point
        trial = self.study.enqueue(given)
        assert trial.number == len(self.trials)
        for key, value in given.items():
            np.testing.assert_array_equal(trial[key], value)
        assert self.space.violations(self.space.check(trial.params)) == []
        self.trials.append(Expected(trial.params, "waiting"))

    @rule(n=PICK, values=st.lists(NUMBERS, min_size=3, max_size=3), outside=st.booleans())
    def attach(self, n: int, values: list[float], outside: bool) -> None:
        point, told = self.point(n), dict(zip(self.names, values, strict=False))
        moved = [p.name for p in self.space if isinstance(p, wb.Float) and p.step is None and p.name in point]
        inside = not (outside and moved)
        if not inside:
            point[moved[0]] = 1e3
        if not self.names:
            with pytest.raises(wb.InvalidValueError, match=r"study\.feedback"):
                self.study.attach(point, told)
            return
        trial = self.study.attach(point, told)
        assert self.space.key(trial.params) == self.space.key(point)
        self.trials.append(Expected(trial.params, "complete", told, inside=inside))

    # -- telling -------------------------------------------------------------------------------

    @rule(n=PICK, values=st.lists(NUMBERS, min_size=3, max_size=3), keep=st.integers(0, 3), same=st.booleans())
    def tell(self, n: int, values: list[float], keep: int, same: bool) -> None:
        """Some or all of the values; with all of them the trial ends."""
        number = self.pick(n)
        told = dict(list(zip(self.names, values, strict=False))[:keep])
        if same and number < len(self.trials):
            told |= {k: v for k, v in self.trials[number].values.items() if k in told}
        final = keep == 3
        error = self.telling_error(number, "complete", told, final)
        if error is not None:
            with pytest.raises(error):
                self.study.tell(number, told, final=final)
            return
        self.study.tell(number, told, final=final)
        trial = self.trials[number]
        if trial.state not in TOLD:
            trial.values |= told
            trial.state = "complete" if final else trial.state

    @rule(n=PICK, state=st.sampled_from(["failed", "infeasible", "pruned"]))
    def tell_no_values(self, n: int, state: str) -> None:
        number = self.pick(n)
        error = self.telling_error(number, state, {}, True)
        if error is None:
            self.study.tell(number, state=state)
            trial = self.trials[number]
            if state == "pruned" and trial.state not in TOLD:  # it keeps its last reports
                shown = sorted((step, name, value) for (i, name, step), value in self.reports.items() if i == number)
                trial.values = {name: value for _, name, value in shown} | trial.values
            trial.state = state
        else:
            with pytest.raises(error):
                self.study.tell(number, state=state)

    def telling_error(
        self, number: int, state: str, told: dict[str, float], final: bool
    ) -> type[wb.WorkbenchError] | None:
        if number >= len(self.trials):
            return wb.UnknownTrialError
        trial = self.trials[number]
        if trial.state in TOLD:
            return None if trial.state == state and {**trial.values, **told} == trial.values else wb.AlreadyTold
        if trial.state not in ("running", "waiting"):
            return wb.TrialStateError
        if {**told, **trial.values} != {**trial.values, **told}:
            return wb.AlreadyTold
        whole = bool(self.names) and set(self.names) <= {**trial.values, **told}.keys()
        return None if whole or not final or state != "complete" else wb.InvalidValueError

    @rule(n=PICK, wrong=st.sampled_from(["nan", "inf", "name", "type", "sem", "state"]))
    def tell_nonsense(self, n: int, wrong: str) -> None:
        name = self.names[0] if self.names else "a"
        cases: dict[str, dict[str, Any]] = {
            "nan": {"values": {name: math.nan}}, "inf": {"values": {name: -math.inf}}, "name": {"values": {"zz": 1.0}},
            "type": {"values": {name: "1"}}, "sem": {"values": {}, "sem": {name: -1.0}}, "state": {"state": "done"},
        }  # fmt: skip
        with pytest.raises(wb.InvalidValueError):
            self.study.tell(self.pick(n), **cases[wrong])

    @rule(n=PICK, value=NUMBERS)
    @precondition(lambda self: self.names)
    def amend(self, n: int, value: float) -> None:
        number = self.pick(n)
        error = self.refused(number, {"complete"})
        if error is None:
            self.study.amend(number, values={self.names[-1]: value}, reason="typo")
            self.trials[number].values[self.names[-1]] = value
            self.audited += 1
        else:
            with pytest.raises(error):
                self.study.amend(number, values={self.names[-1]: value}, reason="typo")

    @rule(n=PICK)
    def void(self, n: int) -> None:
        number = self.pick(n)
        if number >= len(self.trials):
            with pytest.raises(wb.UnknownTrialError):
                self.study.void(number, reason="lost")
            return
        self.study.void(number, reason="lost")
        self.audited += self.trials[number].state != "void"
        self.trials[number].state = "void"
        self.shut.pop(number, None)  # the way to lift a rejection

    @rule(n=PICK, avoid=st.sampled_from(["point", "region", "half"]))
    def reject(self, n: int, avoid: str) -> None:
        number = self.pick(n)
        bound = next(((p.name, 1.5) for p in self.space if p.kind in ("float", "int") and p.when is None), None)
        text = f"{bound[0]} > {bound[1]}" if avoid == "half" and bound else avoid.replace("half", "point")
        error = self.refused(number, {"running", "waiting"})
        if error is None:
            self.study.reject(number, reason="ugly", avoid=text)
            self.trials[number].state = "rejected"
            self.audited += 1
            self.shut |= {number: bound} if avoid == "half" and bound else {}
        else:
            with pytest.raises(error):
                self.study.reject(number, reason="ugly", avoid=text)

    # -- beside the values ---------------------------------------------------------------------

    @rule(
        n=PICK, key=st.sampled_from(["lot", "day"]), value=st.one_of(NUMBERS, st.lists(st.text(max_size=3), max_size=2))
    )
    @precondition(lambda self: self.trials)
    def set_attr(self, n: int, key: str, value: Any) -> None:
        number = n % len(self.trials)
        self.study.trial(number).set_attr(key, value)
        self.trials[number].attrs[key] = value

    @rule(n=PICK, step=st.integers(0, 2), value=NUMBERS)
    @precondition(lambda self: self.trials and self.names)
    def report(self, n: int, step: int, value: float) -> None:
        number, name = n % len(self.trials), self.names[n % len(self.names)]
        if self.trials[number].state == "running":
            self.study.trial(number).report({name: value}, step)
            self.reports[number, name, step] = value
        else:
            with pytest.raises(wb.TrialStateError):
                self.study.trial(number).report({name: value}, step)

    # -- feedback --------------------------------------------------------------------------------

    @rule(n=PICK, m=PICK, tied=st.booleans())
    @precondition(lambda self: len(self.trials) > 1)
    def rank(self, n: int, m: int, tied: bool) -> None:
        a, b = n % len(self.trials), m % len(self.trials)
        groups = [[a, b]] if tied else [[a], [b]]
        if a == b or any(self.trials[i].state in ("rejected", "void", "waiting", "failed") for i in (a, b)):
            with pytest.raises(wb.FeedbackError):
                self.study.feedback.rank(groups)
            return
        assert self.study.feedback.rank(groups).id == len(self.log)
        self.log.append(("rank", (a, b), None))
        self.settle((a, b))

    @rule(n=PICK)
    def undo(self, n: int) -> None:
        target = n % (len(self.log) + 1)
        if target >= len(self.log) or not self.stands(target):
            with pytest.raises(wb.FeedbackError):
                self.study.feedback.undo(target)
            return
        assert self.study.feedback.undo(target).id == len(self.log)
        self.log.append(("undo", (), target))
        end = target
        while (further := self.log[end][2]) is not None:
            end = further
        self.settle(self.log[end][1])

    @rule()
    def reload(self) -> None:
        """Another object, as another process would make it, goes on with the record."""
        live = self.study.history()
        self.study = wb.load_study("demo", storage=self.store, sampler=self.spy)
        fresh = self.study.history()
        for name in ("numbers", "states", "X", "Y", "sem", "C", "cost"):
            np.testing.assert_array_equal(getattr(live, name), getattr(fresh, name))
        assert (list(live.rows), live.feedback, live.reports) == (list(fresh.rows), fresh.feedback, fresh.reports)

    # -- what always holds -----------------------------------------------------------------------

    @invariant()
    def trials_are_as_expected(self) -> None:
        found = self.study.trials
        assert [t.number for t in found] == list(range(len(self.trials)))
        assert [(t.state, t.values, t.attrs) for t in found] == [(e.state, e.values, e.attrs) for e in self.trials]
        for t, e in zip(found, self.trials, strict=True):
            assert self.space.key(t.params) == self.space.key(e.params)
            assert (t.finished is not None) == (t.state not in ("running", "waiting"))
        (summary,) = wb.list_studies(self.store)
        assert summary.counts == Counter(e.state for e in self.trials)
        assert len(self.store.audit(self.study._record.id)) == self.audited

    @invariant()
    def arrays_are_as_expected(self) -> None:
        history = self.study.history()
        Y = [[g.sign * e.values.get(g.name, math.nan) for g in self.measured] for e in self.trials]
        np.testing.assert_array_equal(history.Y, np.reshape(Y, (len(self.trials), len(self.measured))))
        C = [
            [s * (e.values.get(c.name, math.nan) - b) for c in self.limits for s, b, _ in c.bounds] for e in self.trials
        ]
        np.testing.assert_array_equal(history.C, np.reshape(C, history.C.shape))
        assert history.mask.sum() == sum(self.space[name].width for e in self.trials for name in e.params)
        assert [t.value for t in history.reports] == [self.reports[key] for key in sorted(self.reports)]
        assert all(a.revision <= history.revision for a in history.rows)

    @invariant()
    def feedback_is_as_expected(self) -> None:
        log = self.study.feedback.log
        assert [(entry.kind, entry.of, entry.undoes) for entry in log] == self.log
        assert [entry.id for entry in self.study.feedback.standing] == self.standing()
        assert self.study.history().feedback == self.study.feedback.standing
        assert all(a.id + 1 == b.id for a, b in pairwise(log))

    def worth(self, e: Expected) -> tuple[float, ...]:
        def utility(goal: wb.Objective, y: float) -> float:
            return goal.sign * y if goal.target is None else -max(0.0, abs(y - goal.target) - goal.tolerance)

        return tuple(utility(goal, e.values[goal.name]) for goal in self.measured)

    @invariant()
    def best_is_as_expected(self) -> None:
        if not self.measured:
            with pytest.raises(wb.TrialStateError, match=r"model\(\)\.recommend\(\)"):
                self.study.best_trial  # noqa: B018
            return
        fine = [
            i
            for i, e in enumerate(self.trials)
            if e.state == "complete"
            and e.inside
            and all(s * (e.values[c.name] - b) <= 0 for c in self.limits for s, b, _ in c.bounds)
        ]
        worth = {i: self.worth(self.trials[i]) for i in fine}

        def beaten(i: int) -> bool:
            others = (worth[j] for j in fine if worth[j] != worth[i])
            return any(all(p >= q for p, q in zip(other, worth[i], strict=True)) for other in others)

        front = [i for i in fine if not beaten(i)]
        assert [t.number for t in self.study.pareto_trials] == front
        if len(self.measured) == 1 and fine:
            assert self.study.best_trial.number == front[0]
        else:
            with pytest.raises(wb.TrialStateError):
                self.study.best_trial  # noqa: B018


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        StudyMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],  # shrinking takes minutes
        ),
    )  # fmt: skip


def test_a_study_behaves_as_its_model() -> None:
    run(30, 20)


@pytest.mark.slow
def test_a_study_behaves_as_its_model_for_long() -> None:
    run(200, 60)
