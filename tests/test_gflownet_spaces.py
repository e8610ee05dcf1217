"""Spaces written down in tokens, conditions and their rewards, and the sampler that asks a model."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import workbench as wb
from workbench.errors import InfeasibleSpaceError, InvalidValueError, UnsupportedError
from workbench.samplers.gflownet import acquiring, spaces
from workbench.samplers.gflownet.acquiring import Pool, climb
from workbench.samplers.gflownet.conditioning import Conditioning, thermometer
from workbench.samplers.gflownet.graph import enumerate_states
from workbench.samplers.gflownet.policy import Policy
from workbench.samplers.gflownet.replay import Archive
from workbench.samplers.gflownet.spaces import SpaceEnvironment
from workbench.samplers.gflownet.training import Trainer


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rising(point: Mapping[str, Any]) -> bool:
    return bool(point["p"][0] < point["p"][3])


SPACES = {
    "numbers": wb.Space([wb.Int("a", 0, 4), wb.Float("f", 0, 1, step=0.25), wb.Ordinal("o", [1, 5, 9])]),
    "choices": wb.Space([wb.Categorical("c", ["x", "y", "z"]), wb.Bool("b"), wb.Int("n", 1, 64, log=True, step=9)]),
    "order": wb.Space([wb.Permutation("p", 4)]),
    "selection": wb.Space([wb.Subset("s", 5, k=2), wb.Subset("t", 3, k=0)]),
    "string": wb.Space([wb.Sequence("q", "AC", 0, 3)]),
    "condition": wb.Space(
        [wb.Bool("b"), wb.Sequence("q", "AC", 1, 2, when={"b": True}), wb.Int("i", 0, 2, when={"b": False})]
    ),
    "constraint": wb.Space(
        [wb.Int("a", 0, 5), wb.Int("b", 0, 5), wb.Bool("c")], constraints=["a * b <= 6", "a + b == 5"]
    ),
    "function": wb.Space([wb.Permutation("p", 4), wb.Bool("c")], constraints=[rising]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
def test_trajectories_end_at_every_point_of_the_space_and_nowhere_else(name: str) -> None:
    space = SPACES[name]
    environment = SpaceEnvironment(space)
    graph = enumerate_states(environment)  # which checks the way back of each move, too
    ends = graph.states[graph.ends]
    found = [space.key(point) for point in space.decode(environment.encoded(ends))]
    from workbench.space.geometry import grid

    assert len(set(found)) == len(found)
    assert set(found) == {space.key(space.check(point)) for point in grid(space)}
    assert (environment.states(environment.encoded(ends)) == ends).all()


@pytest.mark.parametrize("name", SPACES)
def test_children_are_points_of_the_space_written_with_tokens_of_their_parents(name: str) -> None:
    environment = SpaceEnvironment(SPACES[name])
    graph = enumerate_states(environment)
    ends = graph.states[graph.ends]
    known = {tuple(row) for row in ends.tolist()}
    rows = torch.randint(len(ends), (2, 200), generator=generator(0))
    first, second = ends[rows[0]], ends[rows[1]]
    same = environment.children(first, first, generator(1), 0.0)
    assert (same == first).all()
    crossed = environment.children(first, second, generator(2), 0.0)
    wild = environment.children(first, second, generator(3), float(environment.steps))
    assert {tuple(row) for row in torch.cat([crossed, wild]).tolist()} <= known
    if name in ("numbers", "choices"):  # no mask ever forbids a parent's token
        assert bool(((crossed == first) | (crossed == second)).all())
        # Each of two different tokens is taken half of the time: five standard errors.
        apart = first != second
        share = float((crossed == first)[apart].double().mean())
        assert share == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(int(apart.sum())))
    assert len({tuple(row) for row in wild.tolist()}) > 0.5 * min(len(known), 200)


@pytest.mark.parametrize("name", SPACES)
def test_a_search_from_one_point_comes_to_a_peak_that_may_be_proposed(name: str) -> None:
    """The peak is a point of the space, values fall by one with each token that differs; the start is no proposal."""
    environment = SpaceEnvironment(SPACES[name])
    graph = enumerate_states(environment)
    states = graph.states[graph.ends]
    X, peak = environment.encoded(states), states[-1:]
    values = -(states != peak).sum(1).double().numpy()
    known = {x.tobytes(): value for x, value in zip(X, values, strict=True)}
    start = states[[int(values.argmin())]]
    taken = {environment.encoded(start).tobytes()}

    def searched(begun: torch.Tensor) -> NDArray[np.float64]:
        pool = Pool(
            environment, lambda Z: np.array([known[z.tobytes()] for z in Z]),
            lambda Z: np.array([z.tobytes() not in taken for z in Z]),
        )  # fmt: skip
        climb(environment.children, pool, begun, generator(0))
        return pool.best(1)

    assert searched(start).tobytes() == environment.encoded(peak).tobytes()
    taken.add(environment.encoded(peak).tobytes())
    assert known[searched(peak).tobytes()] == max(value for x, value in known.items() if x not in taken)


def test_a_search_goes_on_from_the_best_children() -> None:
    """Strings of 20 letters, 8 of them wrong: a best child of 160 has one less in each of four rounds with probability
    0.996, and among 640 children of the start is one with four less with probability 0.001."""
    environment = SpaceEnvironment(wb.Space([wb.Sequence("q", "ACGT", 20, 20)]))
    pool = Pool(environment, lambda X: -(X != 0).sum(1).astype(float), lambda X: np.ones(len(X), dtype=bool))
    start = environment.states(np.array([[0.0] * 12 + [1.0] * 8]))
    climb(environment.children, pool, start, generator(0))
    assert pool.a.max() >= -4.0
    assert len(pool.a) <= 640
    assert pool(environment.children(*[start.expand(640, -1)] * 2, generator(1))).max() < -4.0


def test_fixed_values_are_the_only_ones() -> None:
    space = SPACES["condition"]
    environment = SpaceEnvironment(space, {"q": "CA"})
    ends = Policy(environment, hidden=(8,), generator=generator(0)).sample(20, generator(1)).ends
    assert space.decode(environment.encoded(ends)) == [{"b": True, "q": "CA"}] * 20


def test_linear_constraints_of_a_large_space_leave_no_dead_end(monkeypatch: pytest.MonkeyPatch) -> None:
    space = wb.Space(
        [wb.Int(f"a{i}", 0, 9) for i in range(8)], constraints=[" + ".join(f"a{i}" for i in range(8)) + " <= 9"]
    )
    environment = SpaceEnvironment(space)
    assert not environment.exact
    ends = Policy(environment, hidden=(8,), generator=generator(0)).sample(500, generator(1), epsilon=1.0).ends
    assert space.feasible(environment.encoded(ends)).all()
    assert environment.admits(ends).all()
    # Every point that an exact table of a small space allows, bounds allow as well.
    small = wb.Space([wb.Int(f"a{i}", 0, 3) for i in range(3)], constraints=["a0 - a1 <= 0", "a0 + 2*a1 - a2 == 2"])
    exact = enumerate_states(SpaceEnvironment(small))
    monkeypatch.setattr(spaces, "COUNTED", 1)
    bounded = SpaceEnvironment(small)
    graph = enumerate_states(bounded)
    ends = graph.states[graph.ends]
    admitted = ends[torch.from_numpy(bounded.admits(ends))]
    assert {tuple(row) for row in admitted.tolist()} == {tuple(row) for row in exact.states[exact.ends].tolist()}


def test_spaces_that_no_tokens_can_write_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="step="):
        SpaceEnvironment(wb.Space([wb.Float("x", 0, 1)]))
    with pytest.raises(InfeasibleSpaceError, match="none of the space meets them"):
        SpaceEnvironment(wb.Space([wb.Int("a", 0, 3), wb.Int("b", 0, 3)], constraints=["a*b >= 1", "a*a*b*b <= 0.5"]))


# -- conditions ----------------------------------------------------------------------------------------


def test_thermometers() -> None:
    values = torch.tensor([[0.5], [0.3], [1.0], [0.0]], dtype=torch.float64)
    expected = [[1, 1, 0, 0, 0], [1, 0.2, 0, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(thermometer(values, 5).numpy(), expected, atol=1e-12)


def test_rewards_are_powers_of_scalarisations_and_formed_as_logarithms() -> None:
    rewards = torch.tensor([[0.5, 0.2], [0.9, 0.4], [1e-30, 0.3]], dtype=torch.float64)
    w = [0.25, 0.75]
    at = {name: Conditioning(2, scalarization=name, beta=(96.0,)) for name in ("sum", "log", "chebyshev")}  # type: ignore[arg-type]
    found = {name: c.log_reward(rewards, c.at(w, 3)).numpy() for name, c in at.items()}
    r = rewards.numpy()[:2]
    np.testing.assert_allclose(found["sum"][:2], 96 * np.log(r @ w), rtol=1e-12)
    np.testing.assert_allclose(found["log"][:2], 96 * (np.log(r) @ w), rtol=1e-12)
    np.testing.assert_allclose(found["chebyshev"][:2], 96 * np.log(1 - np.max(w * (1 - r), axis=1)), rtol=1e-12)
    for values in found.values():
        assert np.isfinite(values).all()
        assert values[1] > values[0]  # better in both objectives is better, the Chebyshev distance included
        assert values.std() > 0


def test_conditions_are_drawn_from_the_simplex_in_groups() -> None:
    conditioning = Conditioning(3, beta=(1.0, 4.0, 16.0), bins=5, repeat=4)
    given = conditioning.draw(400, generator(0))
    assert given.groups == 100
    assert given.encoding is not None
    assert given.encoding.shape == (400, conditioning.width)
    w = given.weights.reshape(100, 4, 3)
    assert (w == w[:, :1]).all()
    np.testing.assert_allclose(given.weights.sum(1).numpy(), 1.0, rtol=1e-12)
    # Each weight has mean 1/3 and sd sqrt(2/36); five standard errors of 100 draws.
    np.testing.assert_allclose(w[:, 0].mean(0).numpy(), 1 / 3, atol=5 * math.sqrt(2 / 36 / 100))
    assert set(given.beta.tolist()) == {1.0, 4.0, 16.0}
    with pytest.raises(InvalidValueError, match="expected 3 weights"):
        conditioning.at([0.5, 0.5], 2)


def test_an_archive_keeps_the_front() -> None:
    rng = np.random.default_rng(0)
    Y = rng.integers(0, 6, (200, 2)).astype(np.float64)
    archive = Archive()
    states = torch.arange(200)[:, None]
    for i in range(0, 200, 20):
        archive.add(states[i : i + 20], torch.from_numpy(Y[i : i + 20]))
    assert archive.states is not None
    front = [i for i in range(200) if not ((Y[i] <= Y).all(1) & (Y[i] < Y).any(1)).any()]
    assert sorted(archive.states[:, 0].tolist()) == front


# -- asking ---------------------------------------------------------------------------------------------


TARGET = (2, 0, 3, 1, 2)


def matches(trial: Any) -> float:
    found = [trial[f"c{i}"] == value for i, value in enumerate(TARGET)]
    return float(sum(found) + 2.0 * (found[0] and found[3]))


def choices() -> wb.Space:
    return wb.Space([wb.Categorical(f"c{i}", [0, 1, 2, 3]) for i in range(5)])


def made(seed: int = 0, **options: Any) -> wb.Study:
    sampler = {"name": "gflownet", "options": {"start": 6, "steps": 20, **options}}
    return wb.create_study("s", choices(), [wb.Objective("y", "maximize", noise="none")], sampler=sampler, seed=seed)


@pytest.mark.slow
def test_asks_find_the_best_of_a_thousand_points_with_few_trials() -> None:
    study = made(steps=60)
    study.optimize(matches, n_trials=30)
    assert study.best_value >= 5.0  # of 7; 30 random points of 1,024 rarely get past 4
    note = study.trials[-1].meta
    assert note["acquisition"] == "log_ei"
    assert "y" in study.trials[-1].predicted


def test_the_same_record_gives_the_same_batch_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Four batches, of one study in one go and of one that is loaded anew from its file before each of them."""
    whole = made()
    wb.create_study("s", choices(), whole.objectives, sampler=whole.sampler, seed=0, storage=tmp_path / "s.db")
    batches = []
    for _ in range(4):
        again = wb.load_study("s", storage=tmp_path / "s.db")
        first, second = whole.ask(5), again.ask(5)
        assert [trial.params for trial in first] == [trial.params for trial in second]
        for study, trials in ((whole, first), (again, second)):
            for trial in trials:
                study.tell(trial, matches(trial))
        batches += [tuple(trial.params.values()) for trial in first]
    assert len(set(batches)) == 20
    assert sum("best of what was sampled" in trial.why for trial in whole.trials) >= 6


def test_an_ask_that_is_interrupted_inside_training_leaves_the_record_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C in the tenth step; the next ask is that of a study which was left alone."""
    alone, stopped = made(), made()
    for study in (alone, stopped):
        for trial in study.ask(6):
            study.tell(trial, matches(trial))
    step, steps = Trainer.step, []

    def interrupted(self: Trainer) -> Any:
        steps.append(1)
        if len(steps) == 10:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stopped.ask(2)
    assert len(stopped.trials) == 6
    assert [trial.params for trial in stopped.ask(2)] == [trial.params for trial in alone.ask(2)]


def test_every_second_trial_is_searched_beside_the_best_and_needs_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one batch or one by one; four rounds of one letter each, in the mean, leave most of a string as it was."""
    trained: list[int] = []
    learn = acquiring.learn

    def counted(*args: Any, **options: Any) -> bool:
        trained.append(1)
        return learn(*args, **options)

    monkeypatch.setattr(acquiring, "learn", counted)
    space = wb.Space([wb.Sequence("s", "ACGT", 24, 24)])
    options = {"start": 8, "steps": 3}
    study = wb.create_study(
        "s", space, [wb.Objective("y", "maximize", noise="none")], sampler={"name": "gflownet", "options": options}
    )  # fmt: skip

    def put(n: int) -> list[bool]:
        known, trials = [t["s"] for t in study.trials], study.ask(n)
        found = []
        for trial in trials:
            around = [sum(a != b for a, b in zip(trial["s"], s, strict=True)) for s in known]
            beside = "searched beside the best trials" in trial.why
            assert beside or "the best of what was sampled" in trial.why
            assert not beside or 1 <= min(around) <= 12  # 24 letters drawn anew differ in 18 of them
            found.append(beside)
        for trial in trials:
            study.tell(trial, float(trial["s"].count("A")))
        return found

    for trial in study.ask(8):
        study.tell(trial, float(trial["s"].count("A")))
    assert put(4) == [False, True, False, True]
    assert len(trained) == 1
    assert [put(1) for _ in range(4)] == [[False], [True], [False], [True]]
    assert len(trained) == 3


def test_a_deadline_inside_training_leaves_the_best_so_far_with_a_warning() -> None:
    study = made(steps=100_000)
    for trial in study.ask(6):
        study.tell(trial, matches(trial))
    study.ask(1, timeout=5.0, sampler="sobol")  # what is loaded once is loaded
    begun = time.monotonic()
    with pytest.warns(wb.WorkbenchWarning, match="the best point found so far"):
        trials = study.ask(2, timeout=0.8)
    assert time.monotonic() - begun < 0.8 + 0.25
    assert len(trials) == 2
    assert trials[1].warnings  # the first one is searched beside the best trials, without training
    assert trials[1].meta["deadline_hit"]


def test_several_objectives_and_a_measured_limit() -> None:
    study = wb.create_study(
        "s", choices(), [wb.Objective("y", "maximize", noise="none"), wb.Objective("z", noise="none")],
        constraints=[wb.Constraint("sum", upper=9.0)],
        sampler={"name": "gflownet", "options": {"start": 6, "steps": 10}}, seed=0,
    )  # fmt: skip
    for _ in range(5):
        for trial in study.ask(2):
            total = float(sum(trial.params.values()))
            study.tell(trial, {"y": matches(trial), "z": total, "sum": total})
    assert study.trials[-1].meta["acquisition"] in ("ehvi", "nehvi")
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 10


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device here")
def test_a_device_that_is_not_here_is_refused_and_the_cpu_by_name_is_the_cpu() -> None:
    study, named, away = made(), made(device="cpu"), made(device="cuda")
    for each in (study, named):
        for trial in each.ask(6):
            each.tell(trial, matches(trial))
    assert [trial.params for trial in study.ask(2)] == [trial.params for trial in named.ask(2)]
    with pytest.raises(UnsupportedError, match=r"GFlowNetSampler\(device=None\), which computes on the CPU"):
        away.ask()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_asks_and_runs_on_a_device_find_what_they_find_on_the_cpu() -> None:
    study = made(steps=60, device="cuda")
    study.optimize(matches, n_trials=30, progress=False)
    assert study.best_value >= 5.0  # of 7, as on the CPU
    space = wb.Space([wb.Categorical(f"c{i}", [0, 1, 2, 3]) for i in range(4)])
    sampler = {"name": "gflownet", "options": {"device": "cuda"}}
    run = wb.create_study("r", space, [wb.Objective("y", "maximize", noise="none")], sampler=sampler, seed=0)
    run.optimize(
        lambda given: np.sum([np.asarray(given[f"c{i}"], dtype=float) for i in range(4)], axis=0),
        vectorized=True, evaluations=3000, keep=3, progress=False,
    )  # fmt: skip
    assert run.best_value == 12.0


def test_what_the_sampler_cannot_serve_is_refused_with_the_remedy() -> None:
    for beta in (0.0, math.inf, math.nan, "8", None):
        with pytest.raises(UnsupportedError, match="beta must be a number > 0, got"):
            wb.GFlowNetSampler(beta=beta)
    with pytest.raises(UnsupportedError, match=r"reward must be .* take order=True"):
        wb.GFlowNetSampler(reward="order")
    with pytest.raises(UnsupportedError, match="order must be True or False"):
        wb.GFlowNetSampler(order="yes")
    with pytest.raises(UnsupportedError, match=r"device \[1\] cannot be used here"):
        wb.create_study("d", wb.Space([wb.Int("x", 0, 9)]), [wb.Objective("y")], sampler=wb.GPSampler(device=[1])).ask()
    with pytest.raises(UnsupportedError, match="acquisition must be one of"):
        wb.GFlowNetSampler(acquisition="kg")
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="gflownet")
    with pytest.raises(UnsupportedError, match="step="):
        study.ask()
    study = made(acquisition="nehvi")
    with pytest.raises(UnsupportedError, match="several objectives"):
        study.ask()


def test_rankings_alone_lead_to_what_people_like() -> None:
    """Nobody ever says a number: after six answers a question shows more of the liked values than chance."""
    study = wb.create_study(
        "s", choices(), [wb.Preference("taste")], seed=0, sampler={"name": "gflownet", "options": {"steps": 60}}
    )
    for _ in range(6):
        question = study.feedback.next_question(4)
        question.answer([[trial] for trial in sorted(question.trials, key=matches, reverse=True)])
    hits = [
        sum(trial[f"c{i}"] == value for i, value in enumerate(TARGET))
        for trial in study.feedback.next_question(4).trials
    ]
    assert np.mean(hits) >= 2.0  # of 5; chance gives 1.25, with a standard deviation of 0.48 for the mean of four
    outcomes = wb.create_study(
        "o", choices(), [wb.Objective("y"), wb.Preference("taste", over="outcomes")], sampler="gflownet"
    )
    with pytest.raises(UnsupportedError, match="'preference'"):
        outcomes.ask()


def test_a_space_that_is_used_up_is_judged_again() -> None:
    space = wb.Space([wb.Categorical("c", [0, 1, 2]), wb.Bool("b")])
    study = wb.create_study(
        "s", space, [wb.Preference("taste")], seed=0, sampler={"name": "gflownet", "options": {"steps": 20}}
    )
    for _ in range(4):
        question = study.feedback.next_question(3)
        question.answer([[trial] for trial in sorted(question.trials, key=lambda t: (t["c"], t["b"]), reverse=True)])
    assert len(study.trials) == 6
    shown = {(trial["c"], trial["b"]) for trial in study.feedback.next_question(3).trials}
    assert (2, True) in shown
