"""What people ask of `gflownet`: any preference at once, their own order, and to go on where it was killed."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.errors import InvalidValueError, UnsupportedError
from workbench.models.gp import GaussianProcesses
from workbench.samplers.gflownet import load_model, preferring
from workbench.samplers.gflownet.graph import enumerate_states
from workbench.samplers.gflownet.points import SpaceEdits, SpaceGrid
from workbench.space.geometry import grid

SPACE = wb.Space([wb.Categorical(f"c{i}", [0, 1, 2, 3]) for i in range(4)])
GOALS = [wb.Objective("high", "maximize", noise="none"), wb.Objective("low", noise="none")]
SAMPLER = {"name": "gflownet", "options": {"start": 8, "steps": 30}}


def worth(params: Mapping[str, Any]) -> dict[str, float]:
    """Both are sums; one wants large values, the other small ones, so that each preference has its own best design."""
    total = float(sum(params.values()))
    return {"high": total, "low": total + 0.5 * float(params["c0"])}


def columns(given: Mapping[str, Any]) -> dict[str, Any]:
    total = np.sum([np.asarray(given[f"c{i}"], dtype=np.float64) for i in range(4)], axis=0)
    return {"high": total, "low": total + 0.5 * np.asarray(given["c0"], dtype=np.float64)}


def begun(storage: Any = None, sampler: Any = SAMPLER) -> wb.Study:
    study = wb.create_study("s", SPACE, GOALS, sampler=sampler, storage=storage, seed=0)
    for trial in study.ask(10, sampler="sobol"):
        study.tell(trial, worth(trial.params))
    return study


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that a policy was trained for preferences."""
    seen: list[int] = []
    learn = preferring.learn_preferences

    def counted(*args: Any, **options: Any) -> bool:
        seen.append(1)
        return learn(*args, **options)

    monkeypatch.setattr(preferring, "learn_preferences", counted)
    return seen


# -- preferences -----------------------------------------------------------------------------------------


def test_one_policy_answers_every_preference_until_something_is_told(trainings: list[int]) -> None:
    study = begun()
    up = study.ask(2, prefer={"high": 1.0})
    down = study.ask(2, prefer={"low": 1.0})
    assert len(trainings) == 1
    sums = [[sum(trial.params.values()) for trial in trials] for trials in (up, down)]
    assert min(sums[0]) > max(sums[1])  # the same policy, two preferences
    assert min(sums[0]) >= 9  # of 12; ten random designs had a mean of 6
    assert max(sums[1]) <= 3
    assert up[0].meta["prefer"] == {"high": 1.0}
    assert set(up[0].predicted) == {"high", "low"}
    assert "one policy for all of them" in down[0].why
    study.tell(up[0], worth(up[0].params))
    study.ask(prefer={"high": 1.0})
    assert len(trainings) == 2
    assert len({tuple(trial.params.values()) for trial in study.trials}) == len(study.trials)


@pytest.mark.slow
def test_fixed_values_have_a_policy_of_their_own(trainings: list[int]) -> None:
    study = begun()
    study.ask(prefer={"high": 1.0})
    trial = study.ask(prefer={"high": 1.0}, fixed={"c0": 1})
    assert trial["c0"] == 1
    assert len(trainings) == 2


def test_a_stated_acquisition_function_needs_no_policy_for_preferences(trainings: list[int]) -> None:
    study = begun(sampler={"name": "gflownet", "options": {"start": 8, "steps": 5, "acquisition": "parego"}})
    assert study.ask(prefer={"high": 1.0}).meta["acquisition"] == "parego"
    assert trainings == []


def test_a_run_leaves_its_policy_to_later_asks(monkeypatch: pytest.MonkeyPatch, trainings: list[int]) -> None:
    """No model of the record and no training: the same designs as those that the stored policy finds likeliest."""
    study = wb.create_study("s", SPACE, GOALS, sampler="gflownet", seed=0)
    study.optimize(columns, vectorized=True, evaluations=3000, keep=3, progress=False)
    monkeypatch.setattr(GaussianProcesses, "fit", lambda *_, **__: pytest.fail("a model was fitted"))
    first = len(study.trials)
    asked = study.ask(4, prefer={"high": 0.3, "low": 0.7})
    assert trainings == []
    assert all("trained on the last run" in trial.why for trial in asked)
    rng = np.random.default_rng([0, first])
    model = load_model(SPACE, study.files.get("run-gflownet.npz"))
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    known = {tuple(trial.params.values()) for trial in study.trials[:first]}
    likeliest = [tuple(p.values()) for p in SPACE.decode(model.likeliest(512, [0.3, 0.7], generator))]
    new = [point for point in likeliest if point not in known]
    assert [tuple(trial.params.values()) for trial in asked] == new[:4]
    with pytest.raises(InvalidValueError, match="another space"):
        load_model(wb.Space([wb.Bool("b")]), study.files.get("run-gflownet.npz"))


def test_asks_for_preferences_resume_exactly_in_another_process(tmp_path: Path, trainings: list[int]) -> None:
    """The policy is kept with the study: a study that is loaded anew goes on as if it had never been closed."""
    whole = begun()
    expected = [whole.ask(2, prefer={"high": share, "low": 1 - share}) for share in (1.0, 0.4, 0.0)]
    begun(tmp_path / "lab.db")
    found = []
    for share in (1.0, 0.4, 0.0):
        study = wb.load_study("s", storage=tmp_path / "lab.db")
        found.append(study.ask(2, prefer={"high": share, "low": 1 - share}))
    assert len(trainings) == 2  # one for each study
    for batch, other in zip(expected, found, strict=True):
        assert [(t.params, t.predicted) for t in batch] == [(t.params, t.predicted) for t in other]


@pytest.mark.slow
def test_a_deadline_inside_training_for_preferences_keeps_no_half_trained_policy(trainings: list[int]) -> None:
    study = begun(sampler={"name": "gflownet", "options": {"start": 8, "steps": 100_000}})
    begin = time.monotonic()
    with pytest.warns(wb.WorkbenchWarning, match="the best point found so far"):
        trial = study.ask(prefer={"high": 1.0}, timeout=2.0)
    assert time.monotonic() - begin < 2.0 + 0.25
    assert trial.meta["deadline_hit"]
    with pytest.warns(wb.WorkbenchWarning, match="the best point found so far"):
        study.ask(prefer={"high": 1.0}, timeout=1.0)
    assert len(trainings) == 2


# -- rankings ---------------------------------------------------------------------------------------------


def judged(sampler: Any = None, storage: Any = None) -> wb.Study:
    chosen = sampler or {"name": "gflownet", "options": {"steps": 30}}
    return wb.create_study("s", SPACE, [wb.Preference("taste")], sampler=chosen, storage=storage, seed=3)


def answered(study: wb.Study, rounds: int) -> list[list[dict[str, Any]]]:
    """Each round the trials that were shown; one likes large sums, two of the answers are ties."""
    shown = []
    for i in range(rounds):
        question = study.feedback.next_question(4)
        shown.append([trial.params for trial in question.trials])
        ranked = sorted(question.trials, key=lambda trial: -sum(trial.params.values()))
        question.answer([ranked[:2], ranked[2:]] if i % 2 else [[trial] for trial in ranked])
    return shown


def test_questions_resume_exactly_and_are_foreseen(tmp_path: Path) -> None:
    """The Rank page prepares the next question from a forecast: it has to be the question that comes."""
    whole = answered(judged(), 4)
    study = judged(storage=tmp_path / "lab.db")
    found = answered(study, 2)
    study = wb.load_study("s", storage=tmp_path / "lab.db")
    question = study.feedback.next_question(4)
    found.append([trial.params for trial in question.trials])
    ranked = sorted(question.trials, key=lambda trial: -sum(trial.params.values()))
    before = len(study.trials)
    foreseen = question.foresee("rank", [[trial] for trial in ranked])
    assert len(study.trials) == before
    question.answer([[trial] for trial in ranked])
    study.feedback.next_question(4)
    assert [trial.params for trial in study.trials[before:]] == foreseen
    found.append([trial.params for trial in study.feedback.next_question(4).trials])
    assert found == whole


def test_what_is_tied_becomes_equally_probable() -> None:
    """The order-preserving loss of a tie is least at equal rewards; of a pair, far apart."""
    from workbench.samplers.gflownet.ranked import learn_order
    from workbench.samplers.gflownet.spaces import SpaceEnvironment

    environment = SpaceEnvironment(SPACE)
    states = torch.tensor([[0, 0, 0, 0], [3, 3, 3, 3], [1, 2, 0, 3]])
    better, worse = torch.tensor([0, 0]), torch.tensor([1, 2])
    policy, whole = learn_order(
        environment, states, better, worse, torch.Generator().manual_seed(0), steps=150, over=lambda: False,
        tied=torch.tensor([[1, 2]]),
    )  # fmt: skip
    assert whole
    log_p = policy.evaluate(policy.sample_backward(states)).log_ratio.detach()
    assert float(log_p[0] - log_p[1]) > 2.0
    assert abs(float(log_p[1] - log_p[2])) < 0.2


# -- grids of a user's space -------------------------------------------------------------------------------

GRIDS = {
    "numbers": wb.Space([wb.Int("a", 0, 4), wb.Float("f", 0, 1, step=0.25), wb.Ordinal("o", [1, 5, 9])]),
    "choices": wb.Space([wb.Categorical("c", ["x", "y", "z"]), wb.Bool("b")]),
    "constraint": wb.Space([wb.Int("a", 0, 5), wb.Int("b", 0, 5), wb.Bool("c")], constraints=["a * b <= 6", "a <= b"]),
}


def test_children_on_a_grid_are_ends_with_levels_of_their_parents_or_drawn_anew() -> None:
    space = wb.Space([wb.Int("a", 0, 5), wb.Int("b", 0, 5), wb.Int("c", 0, 5)], constraints=["a + b + c <= 9"])
    grid, generator = SpaceGrid(space), torch.Generator().manual_seed(0)
    n = 4000
    first, second = torch.tensor([[0, 1, 2]]).expand(n, 3), torch.tensor([[5, 3, 1]]).expand(n, 3)
    plain = grid.children(first, second, generator, 0.0)
    assert bool(((plain == first) | (plain == second)).all())
    assert bool((plain.sum(1) <= 9).all())
    # 5 + 3 + 2 alone is no end, and its child is the first parent: 1/8 of them more
    share = float((plain == first).all(1).double().mean())
    assert abs(share - 2 / 8) < 4 * (0.25 * 0.75 / n) ** 0.5
    changed = grid.children(first, first, generator, 1.0)
    # a level is drawn anew with probability 1/3, and is another one in 5 of 6 cases; all these points are ends but few
    admitted = [(a, b, c) for a in range(6) for b in range(6) for c in range(6) if a + b + c <= 9]
    chance = {True: 2 / 3 + 1 / 18, False: 1 / 18}
    kept = sum(chance[a == 0] * chance[b == 1] * chance[c == 2] for a, b, c in admitted if (a, b, c) != (0, 1, 2))
    share = float((changed != first).any(1).double().mean())
    assert abs(share - kept) < 4 * (kept * (1 - kept) / n) ** 0.5


@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_ends_at_every_point_of_the_space_and_nowhere_else(name: str) -> None:
    space = GRIDS[name]
    environment = SpaceGrid(space)
    graph = enumerate_states(environment)  # which checks the way back of each move, too
    ends = graph.states[graph.ends]
    points = space.decode(environment.encoded(ends))
    found = [space.key(point) for point in points]
    assert len(set(found)) == len(found)
    assert set(found) == {space.key(space.check(point)) for point in grid(space)}
    assert (environment.states(environment.encoded(ends)) == ends).all()
    fixed = points[3]
    name = next(iter(fixed))
    held = enumerate_states(SpaceGrid(space, {name: fixed[name]}))
    left = space.decode(environment.encoded(held.states[held.ends]))
    assert {space.key(p) for p in left} == {key for p, key in zip(points, found, strict=True) if p[name] == fixed[name]}


def test_what_no_grid_can_hold_is_refused() -> None:
    for p in (wb.Sequence("q", "AC", 1, 3), wb.Permutation("o", 3)):
        with pytest.raises(UnsupportedError, match="environment='tokens'"):
            SpaceGrid(wb.Space([p]))
    many = wb.Space([wb.Int(f"i{k}", 0, 99) for k in range(3)], constraints=["i0 <= i1"])
    with pytest.raises(UnsupportedError, match="among at most"):
        SpaceGrid(many)
    with pytest.raises(UnsupportedError, match="'tokens', 'grid' or 'edits'"):
        wb.GFlowNetSampler(environment="hypergrid")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_over_a_grid_samples_in_proportion_to_its_reward() -> None:
    """A cheap function of two numbers: the exact distance is reported, and the stored policy is of a grid."""
    space = wb.Space([wb.Int("i", 0, 7), wb.Int("j", 0, 7)])
    sampler = {"name": "gflownet", "options": {"batch": 32, "beta": 2.0, "environment": "grid"}}
    study = wb.create_study("s", space, [wb.Objective("y", "maximize")], sampler=sampler, seed=0)
    study.optimize(lambda c: np.cos(c["i"] - 2.0) + np.cos(c["j"] - 5.0), vectorized=True, evaluations=5000, keep=2,
                   progress=False)  # fmt: skip
    assert study.best_params == {"i": 2, "j": 5}
    assert float(study.policy_trace()["trust.distance"]) < 0.3
    assert load_model(space, study.files.get("run-gflownet.npz")).environment.moves == 2


# -- edits of what is known -----------------------------------------------------------------------------------

STRINGS = wb.Space([wb.Sequence("q", "ACG", 2, 4), wb.Int("i", 0, 2)])


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return int(sum(a != b for a, b in zip(one["q"], other["q"], strict=True))) + int(one["i"] != other["i"])


@pytest.mark.parametrize("fixed", [{}, {"i": 1}])
def test_edits_reach_all_that_differs_in_so_many_tokens_and_nothing_else(fixed: dict[str, Any]) -> None:
    start = {"q": "ACC", "i": 1}
    environment = SpaceEdits(STRINGS, STRINGS.encode([start]), 2, fixed)
    graph = enumerate_states(environment)  # which checks the way back of each move, too
    points = STRINGS.decode(environment.encoded(graph.states[graph.ends]))
    found = {STRINGS.key(point) for point in points}
    assert len(found) == len(points)
    every = [{"q": "".join(q), "i": i} for q in itertools.product("ACG", repeat=3) for i in range(3)]
    near = [p for p in every if differences(start, p) <= 2 and (not fixed or p["i"] == 1)]
    assert found == {STRINGS.key(STRINGS.check(point)) for point in near}
    with pytest.raises(UnsupportedError, match="environment='tokens'"):
        SpaceEdits(wb.Space([wb.Subset("s", 4, k=2)]), np.zeros((1, 4)), 2)


def test_asks_by_edits_stay_near_the_best_trials_and_resume() -> None:
    """Long strings: what is proposed differs from one of the eight best trials in six letters at most."""
    space = wb.Space([wb.Sequence("q", "ACG", 12, 12)])
    sampler = {"name": "gflownet", "options": {"start": 10, "steps": 20, "environment": "edits"}}
    batches = []
    for _ in range(2):
        study = wb.create_study("s", space, [wb.Objective("y", "maximize", noise="none")], sampler=sampler, seed=0)
        for trial in study.ask(10):
            study.tell(trial, float(trial["q"].count("AC")))
        best = [t["q"] for t in sorted(study.trials, key=lambda t: -(t.value or 0.0))[:8]]
        batches.append([trial["q"] for trial in study.ask(3)])
    assert batches[0] == batches[1]
    for q in batches[0]:
        assert min(sum(a != b for a, b in zip(q, known, strict=True)) for known in best) <= 6
    with pytest.raises(UnsupportedError, match="a run has none of"):
        study.optimize(lambda c: np.zeros(len(c["q"])), vectorized=True, evaluations=100)


# -- interruptions ------------------------------------------------------------------------------------------

_RUN = """
import sys, time
import numpy as np
import workbench as wb
from test_gflownet_asks import GOALS, SPACE, columns
from workbench.study import vectorized
vectorized.CHECKPOINT = 0.0
calls = 0
def slow(given):
    global calls
    calls += 1
    if calls == 20:
        print("going", flush=True)
        time.sleep(60)
    return columns(given)
study = wb.create_study("s", SPACE, GOALS, sampler="gflownet", seed=0, storage=sys.argv[1])
study.optimize(slow, vectorized=True, evaluations=3000, keep=3, progress=False)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """SIGKILL in the middle; the study that goes on ends with the weights, and trials, of one that was left alone."""
    whole = wb.create_study("s", SPACE, GOALS, sampler="gflownet", seed=0)
    whole.optimize(columns, vectorized=True, evaluations=3000, keep=3, progress=False)
    path = tmp_path / "lab.db"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", _RUN, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"going\n"
        child.send_signal(signal.SIGKILL)
    study = wb.load_study("s", storage=path)
    assert len(study.trials) == 0
    study.optimize(columns, vectorized=True, evaluations=3000, keep=3, progress=False)
    assert [(t.params, t.values) for t in study.trials] == [(t.params, t.values) for t in whole.trials]
    ours, theirs = (load_model(SPACE, one.files.get("run-gflownet.npz")).arrays() for one in (study, whole))
    assert ours.keys() == theirs.keys()
    for name, part in theirs.items():
        assert np.array_equal(ours[name], part), name


def test_a_run_that_is_stopped_or_out_of_time_keeps_what_it_has() -> None:
    """`stop` from another thread, and `timeout`: both end at the next milestone, and a later call goes on."""
    study = wb.create_study("s", SPACE, GOALS, sampler="gflownet", seed=0)
    study.optimize(columns, vectorized=True, evaluations=100_000, keep=3, timeout=1e-9, progress=False)
    spent = study.trials[0].attrs["vectorized"]["evaluations"]
    assert 0 < spent < 10_000
    assert study.policy_trace() == {}  # nothing is said of a policy that is not trained to its end
    threading.Timer(0.5, study.stop).start()
    study.optimize(columns, vectorized=True, evaluations=100_000, keep=3, progress=False)
    with np.load(io.BytesIO(study.files.get("run-gflownet.npz")), allow_pickle=False) as held:
        assert spent < int(held["kept.spent"]) < 100_000


# -- what is fixed, and what a run belongs to ------------------------------------------------------------


@pytest.mark.parametrize("fixed", [{"c0": 1}, {"c3": 1}])
def test_judgements_of_other_values_count_for_fixed_ones(fixed: dict[str, Any]) -> None:
    """Masks of the fixed values made every judged trial unreachable, and the policy one single design."""
    study = judged()
    answered(study, 6)
    trials = study.ask(6, fixed=fixed)
    assert sum("keeps the order" in trial.why for trial in trials) >= 3
    free = [sum(value for name, value in trial.params.items() if name not in fixed) for trial in trials]
    assert np.mean(free) > 4.5  # of 9, chance


def test_a_fixed_parent_switches_on_what_the_best_trials_lack() -> None:
    space = wb.Space([wb.Bool("b"), wb.Float("m", 0, 1, step=0.25, when={"b": True}), wb.Int("i", 0, 9)])
    study = wb.create_study("s", space, [wb.Objective("y", "maximize", noise="none")], sampler=SAMPLER, seed=1)
    for trial in study.ask(12, sampler="sobol"):
        study.tell(trial, float(trial["i"] + (0.0 if trial["b"] else 20.0)))
    assert not study.best_trial["b"]
    assert study.ask(fixed={"b": True})["b"]


@pytest.mark.parametrize("acquisition", ["ucb", "noisy_ei", "pi"])
def test_a_batch_by_edits_has_no_point_twice(acquisition: str) -> None:
    """Two starts lead to one string; each of them was a candidate of its own."""
    space = wb.Space([wb.Sequence("s", "AC", 3, 6)])
    options = {"start": 6, "steps": 15, "environment": "edits", "acquisition": acquisition}
    study = wb.create_study(
        "s", space, [wb.Objective("y", "maximize")], sampler={"name": "gflownet", "options": options}, seed=1
    )  # fmt: skip
    for _ in range(3):
        for trial in study.ask(8):
            study.tell(trial, trial["s"].count("A") + 0.3 * len(trial["s"]))
    assert len({trial["s"] for trial in study.trials}) == 24


@pytest.mark.parametrize("sampler", ["gflownet", "cbo"])
def test_a_run_over_another_space_begins_anew(sampler: str) -> None:
    """What was kept is encoded: in a wider space the same columns are other points, and their values lies."""

    def total(given: Mapping[str, Any]) -> Any:
        return np.asarray(given["a"], dtype=np.float64) + np.asarray(given["b"], dtype=np.float64)

    def box(high: int) -> wb.Space:
        return wb.Space([wb.Float(name, 0, high, step=0.5) for name in "ab"])

    study = wb.create_study("s", box(9), [wb.Objective("y", noise="none")], sampler=sampler, seed=0)
    study.optimize(total, vectorized=True, evaluations=600, keep=3, progress=False)
    study.change_space(box(19))
    with pytest.warns(wb.WorkbenchWarning, match="begins anew"):
        study.optimize(total, vectorized=True, evaluations=700, keep=3, progress=False)
    assert all(trial.values["y"] == total(trial.params) for trial in study.trials)


def test_a_run_that_was_killed_at_its_very_end_leaves_its_trials_to_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from workbench.study import telling

    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y", noise="none")], sampler="cbo")
    with monkeypatch.context() as patch:
        patch.setattr(telling, "attach_all", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            study.optimize(lambda given: given["x"], vectorized=True, evaluations=1000, keep=3, progress=False)
    assert len(study.trials) == 0
    study.optimize(lambda given: given["x"], vectorized=True, evaluations=1000, keep=3, progress=False)
    assert len(study.trials) == 3


# -- where a policy is asked for what it was not trained on --------------------------------------------

TENS = wb.Space([wb.Int(name, 0, 9) for name in "abcd"])
SUMS = [wb.Objective("y", "maximize", noise="none"), wb.Objective("z", "maximize", noise="none")]


def sums(given: Mapping[str, Any]) -> dict[str, Any]:
    a, b, c, d = (np.asarray(given[name], dtype=np.float64) for name in "abcd")
    return {"y": a + b + c + d, "z": a + b - c - d}


@pytest.mark.slow
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_run_answers_for_held_values_by_what_it_learnt_of_the_whole(order: str) -> None:
    """The best are those with a = b; written down first, a cannot foresee which b is held."""
    space = wb.Space([wb.Int(name, 0, 9) for name in order])
    goals = [wb.Objective("p", "maximize", noise="none"), wb.Objective("q", "maximize", noise="none")]
    study = wb.create_study("s", space, goals, sampler="gflownet", seed=1)

    def fn(given: Mapping[str, Any]) -> dict[str, Any]:
        apart = np.abs(np.asarray(given["a"], dtype=np.float64) - given["b"])
        return {"p": -apart, "q": -(apart**2) / 9}

    study.optimize(fn, vectorized=True, evaluations=30_000, keep=1, progress=False)
    for b in (0, 4, 8):
        asked = study.ask(2, prefer={"p": 1.0, "q": 1.0}, fixed={"b": b})
        assert all(trial["b"] == b and abs(trial["a"] - b) <= 1 for trial in asked)
        assert all("trained on the last run" in trial.why for trial in asked)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_held_values_of_rankings_are_foreseen_whatever_comes_first(order: str) -> None:
    """Somebody likes a near b; of b = 2 and 4 nothing was judged."""
    space = wb.Space([wb.Int(name, 0, 7) for name in order])
    study = wb.create_study("s", space, [wb.Preference("taste")], sampler="gflownet", seed=0)
    judged = [(a, b) for a in range(8) for b in (1, 3, 5, 7)]
    for a, b in judged:
        study.enqueue({"a": a, "b": b})
    trials = study.ask(len(judged))
    groups: dict[int, list[int]] = {}
    for trial, (a, b) in zip(trials, judged, strict=True):
        groups.setdefault(abs(a - b), []).append(trial.number)
    study.feedback.rank([groups[gap] for gap in sorted(groups)])
    gaps = [abs(trial["a"] - b) for b in (2, 4) for trial in study.ask(2, fixed={"b": b})]
    assert np.mean(gaps) < 1.5  # of all it would be 2.6


@pytest.mark.slow
def test_a_policy_that_goes_for_few_points_is_followed_beside_them() -> None:
    """Draws of a sharp policy are mostly in the record; what lies beside them comes next, and no chance."""
    study = wb.create_study("s", TENS, SUMS, sampler=wb.GFlowNetSampler(beta=96.0), seed=2)
    study.optimize(sums, vectorized=True, evaluations=30_000, keep=20, progress=False)
    for _ in range(2):
        for trial in study.ask(6, prefer={"y": 0.9, "z": 0.1}):
            found = sums(trial.params)
            assert 0.9 * found["y"] + 0.1 * found["z"] > 28.0  # 34.2 at best, 16 in the mean
            assert "drawn for this preference" in trial.why
    people = wb.create_study("p", TENS, [wb.Preference("taste")], sampler="gflownet", seed=0)
    sizes = []
    for _ in range(20):
        question = people.feedback.next_question(k=4)
        question.answer([[t] for t in sorted(question.trials, key=lambda t: -sum(t.params.values()))])
        sizes.append([sum(t.params.values()) for t in question.trials])
        assert not any(t.why.startswith("to be judged") for t in question.trials)
    assert np.mean(sizes[10:]) > 24  # 18 by chance


def test_what_a_stated_acquisition_function_cannot_do_is_refused() -> None:
    for name in ("ehvi", "nehvi"):
        study = begun(sampler={"name": "gflownet", "options": {"start": 8, "acquisition": name}})
        with pytest.raises(UnsupportedError, match="weighs objectives"):
            study.ask(prefer={"high": 1.0})
    goals = [wb.Objective("y", target=5.0)]
    study = wb.create_study("t", SPACE, goals, sampler=wb.GFlowNetSampler(acquisition="ucb"), seed=0)
    with pytest.raises(UnsupportedError, match="target, as 'y' is"):
        study.ask()


def test_a_run_without_a_step_is_refused_and_one_of_few_is_doubted_in_each_trial() -> None:
    study = wb.create_study("s", TENS, SUMS, sampler="gflownet", seed=0)
    with pytest.raises(InvalidValueError, match=r"leave none to train on: 16 are spread evenly, .* Give \d+, ten"):
        study.optimize(sums, vectorized=True, evaluations=64, keep=5, progress=False)
    study.optimize(sums, vectorized=True, evaluations=200, keep=5, progress=False)
    with pytest.warns(wb.WorkbenchWarning, match="not to be trusted yet"):
        (trial,) = study.ask(1, prefer={"y": 1.0})
    assert "not to be trusted yet" in trial.warnings[0]
