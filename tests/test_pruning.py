"""Pruning rules against brute force, against decisions recorded from Optuna, and by hand."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workbench as wb
from workbench.pareto import hypervolume
from workbench.pruning import (
    AshaPruner,
    HypervolumePruner,
    MedianPruner,
    PercentilePruner,
    make_pruner,
    pruner_from_json,
    pruner_names,
)
from workbench.trial import History, Report, TrialRow

LINE = wb.Space([wb.Float("x", 0, 1)])
SINGLE = (wb.Objective("y"),)
RULES = [MedianPruner, PercentilePruner, AshaPruner, HypervolumePruner]


def record(*trials, objectives=SINGLE, constraints=()):
    """A history of trials (state, values, {step: values}); one objective may give plain numbers."""

    def named(values):
        return values if isinstance(values, dict) else {"y": values}

    rows, reports = [], []
    for number, (state, values, curve) in enumerate(trials):
        fields = dict.fromkeys(TrialRow._fields) | {
            "number": number, "state": state, "params": '{"x": 0.5}', "space_version": 1, "origin": "asked",
            "outcomes": None if values is None else json.dumps(named(values)),
            "created": 0.0, "attempt": 1, "revision": 1,
        }  # fmt: skip
        rows.append(TrialRow(**fields))
        found = [(name, step, value) for step, at in curve.items() for name, value in named(at).items()]
        reports += [Report(number, step, name, value) for name, step, value in sorted(found)]
    return History.of(LINE, objectives, constraints, rows, reports=reports)


def level(*values, first=1):
    """A curve that reports at every step."""
    return dict(enumerate(values, first))


# -- random records -----------------------------------------------------------------------------

# Few distinct values, so that ties happen; halves, so that interpolation is exact.
values = st.integers(-6, 6).map(lambda k: k / 2)
curves = st.dictionaries(st.integers(0, 12), values, max_size=8)
states = st.sampled_from(["complete"] * 4 + ["pruned"] * 2 + ["running", "failed", "void", "rejected", "infeasible"])
directions = st.sampled_from(["minimize", "maximize"])


@st.composite
def records(draw):
    """Trials of which the last one runs and has reported."""
    others = draw(st.lists(st.tuples(states, values, curves), max_size=9))
    others = [(state, value if state == "complete" else None, curve) for state, value, curve in others]
    return [*others, ("running", None, draw(st.dictionaries(st.integers(0, 12), values, min_size=1, max_size=8)))]


def judge(rule, trials, direction):
    return rule.prunes(record(*trials, objectives=[wb.Objective("y", direction)]), len(trials) - 1)


def better(a, b, direction):
    return a < b if direction == "minimize" else a > b


# -- the percentile rules --------------------------------------------------------------------------


def expected_percentile(rule, trials, direction, keep):
    """The rule in plain Python, in user units."""
    own = trials[-1][2]
    step = max(own)
    if sum(state == "complete" for state, _, _ in trials) < max(1, rule.n_startup_trials) or step < rule.n_warmup_steps:
        return False
    marks = range(rule.n_warmup_steps, step + 1, rule.interval_steps)
    if any(marks[-1] <= earlier < step for earlier in own):
        return False  # judged at an earlier report of this interval
    there = sorted(c[step] for state, _, c in trials[:-1] if state in ("complete", "pruned") and step in c)
    if len(there) < rule.n_min_trials:
        return False
    if direction == "maximize":
        there.reverse()
    position = keep / 100 * (len(there) - 1)  # linear interpolation, from the best on
    low, high = there[math.floor(position)], there[math.ceil(position)]
    bar = low + (high - low) * (position - math.floor(position))
    best = min(own.values()) if direction == "minimize" else max(own.values())
    return better(bar, best, direction)


pace = {
    "n_startup_trials": st.integers(0, 3),
    "n_warmup_steps": st.integers(0, 4),
    "interval_steps": st.integers(1, 4),
    "n_min_trials": st.integers(1, 3),
}


@settings(deadline=None, max_examples=80)
@given(records(), directions, st.builds(MedianPruner, **pace))
def test_median_equals_brute_force(trials, direction, rule):
    assert bool(judge(rule, trials, direction)) == expected_percentile(rule, trials, direction, 50)


@settings(deadline=None, max_examples=80)
@given(records(), directions, st.builds(PercentilePruner, st.sampled_from([0, 25, 50, 75, 100]), **pace))
def test_percentile_equals_brute_force(trials, direction, rule):
    assert bool(judge(rule, trials, direction)) == expected_percentile(rule, trials, direction, rule.percentile)


def test_median_by_hand_and_its_sentence():
    trials = [("complete", 1.0, level(v, v + 1)) for v in (1.0, 2.0, 3.0)] + [("pruned", None, level(9.0))]
    history = record(*trials, ("running", None, level(2.6)))
    why = MedianPruner(n_startup_trials=3).prunes(history, 4)
    assert why == "2.6, the best up to step 1, is worse than the median 2.5 of 4 trials at that step"
    # Step 2 is reached by three: the median is 3; the best so far, 2.6, counts and not the latest.
    assert MedianPruner(n_startup_trials=3).prunes(record(*trials, ("running", None, level(2.6, 8.0))), 4) is None
    assert MedianPruner(n_startup_trials=3).prunes(record(*trials, ("running", None, level(2.5))), 4) is None  # a tie
    kept = PercentilePruner(25, n_startup_trials=3).prunes(history, 4)
    assert kept == "2.6, the best up to step 1, is worse than 1.75, where the best 25 % begin, of 4 trials at that step"


def test_the_percentiles_0_and_100_mean_the_best_and_any():
    trials = [("complete", 1.0, level(v)) for v in (1.0, 2.0, 3.0)]
    for value, best, any_of_them in ((1.0, True, True), (1.5, False, True), (3.0, False, True), (3.5, False, False)):
        history = record(*trials, ("running", None, level(value)))
        assert (PercentilePruner(0, 0).prunes(history, 3) is None) == best
        assert (PercentilePruner(100, 0).prunes(history, 3) is None) == any_of_them


# -- ASHA -------------------------------------------------------------------------------------------


def expected_asha(rule, trials, direction):
    """The rule in plain Python, in user units."""
    own = trials[-1][2]
    reached = max(own)
    earlier = [step for step in own if step < reached]
    for k in itertools.count(rule.min_early_stopping_rate):
        rung = rule.min_resource * rule.reduction_factor**k
        if rung > reached:
            return False
        if any(step >= rung for step in earlier):
            continue
        field = [own[reached]]
        for state, _, curve in trials[:-1]:
            since = [step for step in curve if step >= rung]
            if since and state in ("complete", "pruned", "running"):
                field.append(curve[min(since)])
        ahead = sum(better(value, own[reached], direction) for value in field)
        if ahead >= max(1, len(field) // rule.reduction_factor):
            return True
    raise AssertionError("no rung was beyond the trial")


asha = st.builds(AshaPruner, st.integers(1, 3), st.integers(2, 4), st.integers(0, 2))


@settings(deadline=None, max_examples=80)
@given(records(), directions, asha)
def test_asha_equals_brute_force(trials, direction, rule):
    assert bool(judge(rule, trials, direction)) == expected_asha(rule, trials, direction)


def test_asha_by_hand_and_its_sentence():
    trials = [("running", None, level(v)) for v in (5.0, 4.0, 3.0)]
    rule = AshaPruner()
    history = record(*trials, ("running", None, level(3.5)))
    assert rule.prunes(history, 3) == "3.5 at step 1 is not among the best 1 of 4 trials at rung 1, which needs 3"
    assert rule.prunes(record(*trials, ("running", None, level(3.0))), 3) is None  # a tie goes on
    assert rule.prunes(history, 2) is None
    assert rule.prunes(record(("running", None, level(7.0))), 0) is None  # alone, so the best
    # Eight at the rung let two go on.
    field = [("complete", 1.0, level(float(v))) for v in range(7)]
    assert rule.prunes(record(*field, ("running", None, level(0.5))), 7) is None
    assert "best 2 of 8" in rule.prunes(record(*field, ("running", None, level(1.5))), 7)


def test_asha_judges_the_first_report_at_or_after_a_rung_and_no_later_one():
    field = [("complete", 0.0, level(*[0.0] * 9))]
    rule = AshaPruner(reduction_factor=2)
    assert rule.prunes(record(*field, ("running", None, {0: 1.0})), 1) is None  # before rung 1
    assert "rung 2" in rule.prunes(record(*field, ("running", None, {0: 1.0, 1: -1.0, 3: 1.0})), 1)
    assert rule.prunes(record(*field, ("running", None, {1: -1.0, 2: -1.0, 3: 1.0})), 1) is None
    assert "rung 4" in rule.prunes(record(*field, ("running", None, {1: -1.0, 2: -1.0, 3: 1.0, 7: 1.0})), 1)
    late = AshaPruner(min_resource=2, reduction_factor=3, min_early_stopping_rate=1)  # the first rung is at 6
    assert late.prunes(record(*field, ("running", None, level(*[1.0] * 5))), 1) is None
    assert "rung 6" in late.prunes(record(*field, ("running", None, level(*[1.0] * 6))), 1)


# -- what holds for every rule ---------------------------------------------------------------------


EAGER = [
    MedianPruner(n_startup_trials=0),
    PercentilePruner(25, n_startup_trials=0),
    AshaPruner(reduction_factor=2),
    HypervolumePruner(n_startup_trials=1),
    HypervolumePruner(n_startup_trials=1, min_share=0.1),
]


@pytest.mark.parametrize("rule", EAGER, ids=str)
@settings(deadline=None, max_examples=40)
@given(trials=records(), order=st.randoms(use_true_random=False))
def test_the_numbers_of_the_others_do_not_matter(rule, trials, order):
    """Workers run in any order: who is called 3 and who 5 changes nothing."""
    others = trials[:-1]
    order.shuffle(others)
    assert bool(judge(rule, trials, "minimize")) == bool(judge(rule, [*others, trials[-1]], "minimize"))


@pytest.mark.parametrize("rule", EAGER, ids=str)
@settings(deadline=None, max_examples=40)
@given(trials=records())
def test_minimise_and_maximise_mirror_each_other(rule, trials):
    turned = [(s, None if v is None else -v, {step: -y for step, y in c.items()}) for s, v, c in trials]
    assert bool(judge(rule, trials, "minimize")) == bool(judge(rule, turned, "maximize"))


@pytest.mark.parametrize("rule", EAGER, ids=str)
@settings(deadline=None, max_examples=40)
@given(trials=records(), curve=curves, state=st.sampled_from(["failed", "void", "rejected", "infeasible"]))
def test_what_did_not_end_well_is_no_measure(rule, trials, curve, state):
    assert bool(judge(rule, [(state, None, curve), *trials], "minimize")) == bool(judge(rule, trials, "minimize"))


@pytest.mark.parametrize("rule", [MedianPruner(), PercentilePruner(), HypervolumePruner()], ids=str)
@given(curve=st.dictionaries(st.integers(0, 9), st.integers(90, 99).map(float), min_size=1))
def test_nothing_is_pruned_during_the_start(rule, curve):
    """Four perfect complete trials are not five, however many pruned ones stand beside them."""
    start = [("complete", 0.0, level(*[0.0] * 10, first=0))] * 4 + [("pruned", None, {0: 0.0})] * 9
    assert judge(rule, [*start, ("running", None, curve)], "minimize") is None
    assert judge(rule, [start[0], *start, ("running", None, curve)], "minimize") is not None


@pytest.mark.parametrize("rule", EAGER, ids=str)
def test_a_trial_that_is_silent_or_alone_goes_on(rule):
    assert rule.prunes(record(("running", None, {})), 0) is None
    assert rule.prunes(record(("running", None, level(1.0, 2.0))), 0) is None
    assert rule.prunes(record(("complete", 1.0, {}), ("running", None, level(1.0, 2.0))), 1) is None
    with pytest.raises(wb.UnknownTrialError, match="none of number 7"):
        rule.prunes(record(("running", None, {})), 7)


@pytest.mark.parametrize("rule", EAGER, ids=str)
def test_a_target_counts_as_the_distance_from_it(rule):
    goal = wb.Objective("y", target=7.0, tolerance=0.5)
    others = [("complete", v, level(v)) for v in (6.0, 7.2, 8.2)]  # 0.5, 0 and 0.7 off

    def why(value):
        return rule.prunes(record(*others, ("running", None, level(value)), objectives=[goal]), 3)

    assert why(9.0) is not None  # 1.5 off; as a maximum it would be the best
    assert why(5.0) is not None  # as a minimum it would be the best
    assert "1.5 off the target" in why(9.0)
    if not isinstance(rule, HypervolumePruner):  # a tie adds no hypervolume
        assert why(6.8) is None  # within the tolerance, like the best


# -- decisions of Optuna 5.0.0, recorded ------------------------------------------------------------

# The step at which each of 12 trials of 9 steps is pruned first, 0 for never. The curves are those of `shared`.
# Of the percentile rules every trial ran on to the end, because Optuna leaves pruned trials out.
OPTUNA = {
    ("minimize", MedianPruner(3, 2, 2, 2)): [0, 0, 0, 4, 0, 0, 8, 4, 4, 0, 4, 0],
    ("minimize", PercentilePruner(25.0, 4)): [0, 0, 0, 0, 5, 1, 1, 3, 1, 1, 1, 1],
    ("minimize", AshaPruner(1, 2)): [0, 1, 1, 8, 8, 1, 1, 4, 1, 1, 4, 1],
    ("minimize", AshaPruner(1, 3, 1)): [0, 3, 9, 3, 3, 9, 3, 3, 3, 9, 3, 3],
    ("maximize", MedianPruner(3, 2, 2, 2)): [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ("maximize", PercentilePruner(25.0, 4)): [0, 0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0],
    ("maximize", AshaPruner(1, 2)): [0, 4, 1, 1, 1, 4, 1, 1, 4, 4, 1, 4],
    ("maximize", AshaPruner(1, 3, 1)): [0, 0, 3, 3, 3, 3, 3, 3, 0, 3, 3, 0],
}


def shared(i):
    return [((7 * i + 3 * s * s + 5 * i * s) % 17) / 8 + 1 / s for s in range(1, 10)]


@pytest.mark.parametrize(("direction", "rule"), OPTUNA, ids=str)
def test_decisions_equal_those_of_optuna(direction, rule):
    done, pruned_at = [], []
    for i in range(12):
        curve, at = shared(i), 0
        for step in range(1, 10):
            running = ("running", None, level(*curve[:step]))
            if not at and judge(rule, [*done, running], direction):
                at = step
        ended = at and isinstance(rule, AshaPruner)
        done.append(("pruned", None, level(*curve[:at])) if ended else ("complete", curve[-1], level(*curve)))
        pruned_at.append(at)
    assert pruned_at == OPTUNA[direction, rule]


# -- several objectives ------------------------------------------------------------------------------

PAIR = (wb.Objective("a", "maximize"), wb.Objective("b", "minimize"))


def pair(a, b):
    return {"a": float(a), "b": float(b)}


# From step 1 to the end, a gains 3 and 1, and b falls by 2 and by nothing; the front is (5, 4), (3, 2).
DUO = [("complete", pair(5, 4), {1: pair(2, 6)}), ("complete", pair(3, 2), {1: pair(2, 2)})]


@pytest.mark.parametrize(
    ("shown", "pruned"),
    [
        (pair(2, 6), True),  # at best (5, 4): as good as trial 0, no better
        (pair(2.1, 6), False),  # at best (5.1, 4): beyond trial 0
        (pair(2, 5.9), False),  # at best (5, 3.9)
        (pair(1.9, 5), False),  # at best (4.9, 3): between the two
        (pair(0, 4), True),  # at best (3, 2): as good as trial 1
        (pair(-9, 4.1), True),
        (pair(-9, 3.9), False),  # the smallest b of all
    ],
)
def test_the_hypervolume_bound_by_hand(shown, pruned):
    history = record(*DUO, ("running", None, {1: shown}), objectives=PAIR)
    assert bool(HypervolumePruner(2).prunes(history, 2)) == pruned
    assert HypervolumePruner(3).prunes(history, 2) is None
    assert HypervolumePruner(2, n_warmup_steps=2).prunes(history, 2) is None


def test_the_sentence_states_the_bound():
    history = record(*DUO, ("running", None, {1: pair(1, 7)}), objectives=PAIR)
    assert HypervolumePruner(2).prunes(history, 2) == (
        "would add nothing to the front, where trial 0 is at least as good, even at a 4, b 5: "
        "its values so far and the largest improvement of complete trials from there"
    )


def test_a_quantile_of_the_improvements_is_stricter():
    # Medians of the improvements: 2 in a, 1 in b. The bound (2 + 2.1, 6 - 1) is dominated by (5, 4).
    history = record(*DUO, ("running", None, {1: pair(2.1, 6)}), objectives=PAIR)
    assert HypervolumePruner(2).prunes(history, 2) is None
    assert "even at a 4.1, b 5" in HypervolumePruner(2, quantile=0.5).prunes(history, 2)


def test_a_loss_on_the_way_is_no_negative_improvement():
    """Both complete trials got worse from step 1 on: the bound is then the value itself."""
    worse = [("complete", pair(1, 3), {1: pair(2, 2)})] * 2
    assert HypervolumePruner(2).prunes(record(*worse, ("running", None, {1: pair(1, 3)}), objectives=PAIR), 2)
    ahead = record(*worse, ("running", None, {1: pair(1.1, 9)}), objectives=PAIR)
    assert HypervolumePruner(2).prunes(ahead, 2) is None


def test_each_objective_counts_from_its_own_latest_report():
    """At step 2 only a is reported; b is bounded from step 1, where the others still had 2 to gain."""
    others = [("complete", pair(5, 4), {1: pair(2, 6), 2: pair(4, 4)})] * 2
    shown = {1: pair(2, 5.9), 2: {"a": 4.0}}
    history = record(*others, ("running", None, shown), objectives=PAIR)
    assert HypervolumePruner(2).prunes(history, 2) is None  # at best (5, 3.9)
    assert HypervolumePruner(2).prunes(record(*others, ("running", None, {2: pair(4, 5.9)}), objectives=PAIR), 2)
    partial = record(*others, ("running", None, {1: {"a": -9.0}}), objectives=PAIR)
    assert HypervolumePruner(2).prunes(partial, 2) is None  # nothing is known of b


def test_others_that_skipped_the_step_count_from_their_report_before():
    others = [("complete", pair(5, 4), {1: pair(2, 6), 4: pair(5, 4)})] * 2
    at3 = record(*others, ("running", None, {3: pair(2.1, 6)}), objectives=PAIR)
    assert HypervolumePruner(2).prunes(at3, 2) is None  # 3 and 2 to gain, as from step 1
    at4 = record(*others, ("running", None, {4: pair(2.1, 6)}), objectives=PAIR)
    assert HypervolumePruner(2).prunes(at4, 2)
    at0 = record(*others, ("running", None, {0: pair(-9, 99)}), objectives=PAIR)
    assert HypervolumePruner(2).prunes(at0, 2) is None  # nobody reported by then


def test_a_stated_reference_point_has_to_be_reached():
    goals = (wb.Objective("a", "maximize", reference=3), wb.Objective("b", "minimize"))
    history = record(*DUO, ("running", None, {1: pair(0, 3)}), objectives=goals)  # at best (3, 1): beyond the front
    assert "would not get beyond the reference 3 of a" in HypervolumePruner(2).prunes(history, 2)
    assert HypervolumePruner(2).prunes(record(*DUO, ("running", None, {1: pair(0.1, 3)}), objectives=goals), 2) is None
    assert HypervolumePruner(2).prunes(record(*DUO, ("running", None, {1: pair(0, 3)}), objectives=PAIR), 2) is None


def test_a_share_of_the_hypervolume_below_which_it_is_not_worth_it():
    goals = (wb.Objective("a", "maximize", reference=0), wb.Objective("b", "minimize", reference=6))
    # The front (5, 4), (3, 2) dominates 5 * 2 + 3 * 2 = 16; at best (5.1, 4) adds 0.1 * 2 = 0.2: a share of 0.0125.
    history = record(*DUO, ("running", None, {1: pair(2.1, 6)}), objectives=goals)
    assert HypervolumePruner(2, min_share=0.012).prunes(history, 2) is None
    why = HypervolumePruner(2, min_share=0.013).prunes(history, 2)
    assert why.startswith("would add at most 0.0125 of the hypervolume, no more than the share 0.013")


def test_an_inferred_reference_point_ends_no_trial_that_extends_the_front():
    history = record(*DUO, ("running", None, {1: pair(-50, 3)}), objectives=PAIR)  # at best (-47, 1)
    assert HypervolumePruner(2, min_share=0.001).prunes(history, 2) is None


def test_only_feasible_trials_make_the_front():
    limit = wb.Constraint("mass", upper=1.0)
    heavy = [("complete", values | {"mass": 2.0}, curve) for _, values, curve in DUO]
    shown = ("running", None, {1: pair(-9, 99)})
    assert HypervolumePruner(2).prunes(record(*heavy, shown, objectives=PAIR, constraints=[limit]), 2) is None
    light = ("complete", pair(0, 9) | {"mass": 0.5}, {})
    why = HypervolumePruner(2).prunes(record(*heavy, light, shown, objectives=PAIR, constraints=[limit]), 3)
    assert "trial 2 is at least as good" in why


points = st.lists(st.tuples(*[st.integers(-4, 4).map(float)] * 2), min_size=1, max_size=6)


@settings(deadline=None, max_examples=200)
@given(points, points, st.tuples(*[st.integers(-4, 4).map(float)] * 2), st.tuples(*[st.integers(0, 3)] * 2))
def test_nothing_within_the_bound_that_adds_to_the_front_is_ended(ends, begins, shown, gains):
    """A trial that improves no more than a complete one did, and ends beyond the front, is never pruned."""
    goals = (wb.Objective("a", "maximize"), wb.Objective("b", "maximize"))
    pairs = list(zip(ends, itertools.cycle(begins), strict=False))
    trials = [("complete", pair(*end), {1: pair(*begin)}) for end, begin in pairs]
    history = record(*trials, ("running", None, {1: pair(*shown)}), objectives=goals)
    pruned = HypervolumePruner(1).prunes(history, len(trials)) is not None
    front, floor = np.array(ends), np.array([-9.0, -9.0])
    most = [max(0.0, *(end[j] - begin[j] for end, begin in pairs)) for j in range(2)]
    final = np.array([shown[j] + min(gains[j], most[j]) for j in range(2)])
    adds = hypervolume(np.vstack([front, final]), floor) > hypervolume(front, floor)
    assert not (pruned and adds)
    at_best = np.array([shown[j] + most[j] for j in range(2)])
    assert pruned == (hypervolume(np.vstack([front, at_best]), floor) == hypervolume(front, floor))


# -- the hypervolume ----------------------------------------------------------------------------------


def inclusion_exclusion(Y, reference):
    """Sum over all subsets of (-1)^(size + 1) times the volume of the box below their common part."""
    total = 0.0
    for size in range(1, len(Y) + 1):
        for subset in itertools.combinations(range(len(Y)), size):
            sides = np.maximum(0.0, Y[list(subset)].min(axis=0) - reference)
            total += (-1) ** (size + 1) * sides.prod()
    return total


@settings(deadline=None)
@given(st.integers(1, 3).flatmap(lambda m: st.lists(st.tuples(*[st.integers(-3, 9)] * m), min_size=1, max_size=7)))
def test_hypervolume_equals_inclusion_and_exclusion(rows):
    Y = np.array(rows, dtype=float)
    reference = np.zeros(Y.shape[1])
    assert hypervolume(Y, reference) == pytest.approx(inclusion_exclusion(Y, reference), rel=1e-12, abs=1e-12)


def test_hypervolume_of_known_fronts():
    assert hypervolume(np.array([[3.0]]), np.array([1.0])) == 2.0
    assert hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros(2)) == 3.0
    n = 500  # a staircase below a + b = 1: sum of i / n * 1 / n for i < n
    stairs = np.arange(1, n)[:, None] / n
    assert hypervolume(np.hstack([stairs, 1 - stairs]), np.zeros(2)) == pytest.approx((n - 1) / (2 * n), rel=1e-12)
    assert hypervolume(np.eye(3) + 1.0, np.zeros(3)) == 4.0  # a unit cube and a unit cube more on three sides
    assert hypervolume(np.empty((0, 2)), np.zeros(2)) == 0.0
    assert hypervolume(np.array([[1.0, 0.0], [np.nan, 5.0]]), np.zeros(2)) == 0.0  # not beyond, not known


def test_hypervolume_refuses_another_width():
    with pytest.raises(wb.InvalidValueError, match=r"one number for each objective"):
        hypervolume(np.ones((3, 2)), np.zeros(3))
    with pytest.raises(wb.InvalidValueError, match="finite"):
        hypervolume(np.ones((3, 2)), np.array([0.0, np.nan]))


# -- names, options, refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [*(rule() for rule in RULES), *EAGER], ids=str)
def test_json_makes_an_equal_rule(rule):
    assert pruner_from_json(json.loads(json.dumps(rule.to_json()))) == rule
    assert make_pruner(rule) is rule


def test_names_stand_for_the_usual_options():
    assert pruner_names() == ["asha", "hypervolume", "median", "percentile"]
    assert [make_pruner(rule.name) for rule in RULES] == [rule() for rule in RULES]
    assert make_pruner({"name": "asha", "options": {"reduction_factor": 3}}) == AshaPruner(reduction_factor=3)
    assert make_pruner(None) is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("medain", "did you mean 'median'"),
        ("hyperband", "one of asha, hypervolume, median, percentile"),
        (7, "or None; got 7"),
        ({"options": {}}, "got {'options': {}}"),
        ({"name": "asha", "options": 3}, "got {'name': 'asha'"),
        ({"name": "asha", "options": {"reduction": 3}}, "did you mean 'reduction_factor'"),
        (MedianPruner, "a rule such as wb.MedianPruner()"),
    ],
)
def test_what_stands_for_no_rule_is_refused(spec, says):
    with pytest.raises(wb.UnsupportedError) as error:
        make_pruner(spec)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("median", "n_startup_trials", -1),
        ("median", "n_warmup_steps", 1.5),
        ("median", "interval_steps", 0),
        ("median", "n_min_trials", 0),
        ("percentile", "n_startup_trials", True),
        ("percentile", "percentile", 101),
        ("percentile", "percentile", math.nan),
        ("percentile", "percentile", "25"),
        ("asha", "min_resource", 0),
        ("asha", "min_resource", "auto"),
        ("asha", "reduction_factor", 1),
        ("asha", "min_early_stopping_rate", -1),
        ("hypervolume", "n_startup_trials", 0),
        ("hypervolume", "n_warmup_steps", -1),
        ("hypervolume", "quantile", 1.1),
        ("hypervolume", "min_share", -0.1),
        ("hypervolume", "min_share", 1.0),
    ],
)
def test_options_out_of_range_are_refused(name, option, value):
    with pytest.raises(wb.InvalidValueError, match=f"{option} of .*Pruner must be .* got"):
        make_pruner({"name": name, "options": {option: value}})


def test_rules_refuse_studies_that_they_cannot_judge():
    taste, y, z = wb.Preference("taste"), wb.Objective("y"), wb.Objective("z", target=1.0)
    for rule in (rule() for rule in RULES):
        rule.check([z])
        rule.check([taste, y])
        with pytest.raises(wb.UnsupportedError, match="measured objectives, and this study has none"):
            rule.check([taste])
    for rule in (MedianPruner(), PercentilePruner(), AshaPruner()):
        with pytest.raises(wb.UnsupportedError, match=r"got 2: y, z. Use pruner='hypervolume'"):
            rule.check([y, z])
    HypervolumePruner().check([y, z])
