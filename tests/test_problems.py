"""The contract of `Problem`, held against every problem of the package."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from problems import learning, synthetic
from problems.synthetic import SyntheticProblem
from workbench.errors import ProblemError
from workbench.problem import Objective, Problem, check_goals
from workbench.space import Float, Space

Array = NDArray[np.float64]

SYNTHETIC: list[Callable[[], SyntheticProblem]] = [
    synthetic.ackley,
    synthetic.beale,
    synthetic.branin,
    synthetic.budget_quadratic,
    synthetic.exponential_cliff,
    synthetic.gaussian_peaks,
    synthetic.griewank,
    synthetic.hartmann3,
    synthetic.hartmann6,
    synthetic.levy,
    synthetic.michalewicz,
    synthetic.michalewicz10,
    synthetic.mixed_conditional,
    synthetic.rastrigin,
    synthetic.rosenbrock,
    synthetic.rotated_ellipsoid,
    synthetic.shekel,
    synthetic.six_hump_camel,
    synthetic.step_ellipsoid,
    synthetic.styblinski_tang,
]
LEARNING: list[Callable[[], learning.DigitsProblem]] = [learning.digits_forest, learning.digits_svm]
LIMITED: list[Callable[[], synthetic.ConstrainedProblem]] = [synthetic.gramacy]
EVERY = [*SYNTHETIC, *LEARNING, *LIMITED]
BOXES = [make for make in SYNTHETIC if make not in (synthetic.mixed_conditional, synthetic.budget_quadratic)]

# Minima and places are known to 1 ulp, terms stay below 1e3 there, so rounding is below 1e-12;
# 1e-9 leaves room for the sums and is far below any difference that matters.
CLOSE = 1e-9


def by_name(make: Callable[[], Any]) -> str:
    return make.__name__


def draw(space: Space, n: int, seed: int = 0) -> list[dict[str, Any]]:
    return space.decode(space.uniform(n, np.random.default_rng(seed)))


def columns(space: Space, points: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Points as columns, with NaN where a conditional parameter is inactive."""
    return {name: np.array([point.get(name, np.nan) for point in points]) for name in space.names}


def matrix(space: Space, points: Sequence[Mapping[str, Any]]) -> Array:
    return np.array([[point[name] for name in space.names] for point in points])  # (n, d)


# -- the contract -----------------------------------------------------------------------


def test_every_factory_is_held_to_the_contract() -> None:
    offered = {
        function
        for module in (synthetic, learning)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert offered == {*EVERY, learning.digits_network, learning.digits_tradeoff}  # the last in test_problems_several


def test_the_loss_of_a_network_is_that_of_torch() -> None:
    import torch
    from sklearn.datasets import load_digits

    problem = learning.digits_network(hidden=5)
    assert problem.space.width == 64 * 5 + 5 + 5 * 10 + 10
    weights = np.random.default_rng(1).standard_normal((3, problem.space.width))
    losses = problem.evaluate_batch({"weights": weights})["loss"]
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x, y = (torch.as_tensor(part[order]) for part in (images / 16.0, digits))
    for row, loss in zip(weights, losses, strict=True):
        w = torch.as_tensor(row)
        first, bias = w[:320].reshape(64, 5) / 4, w[320:325] / 4
        second, last = w[325:375].reshape(5, 10) / math.sqrt(5), w[375:] / math.sqrt(5)
        logits = 3 * (torch.tanh(x @ first + bias) @ second + last)
        assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits[:1200], y[:1200]).item(), rel=1e-5)
        right = (logits[1200:].argmax(1) == y[1200:]).double().mean().item()
        assert problem.accuracy(row) == pytest.approx(right, abs=2 / 597)  # float32 against float64 at ties
        assert problem.evaluate({"weights": row}) == {"loss": pytest.approx(loss, rel=1e-6)}


@pytest.mark.parametrize("make", EVERY, ids=by_name)
def test_is_a_problem(make: Callable[[], Problem]) -> None:
    problem = make()
    assert isinstance(problem, Problem)
    assert problem.name.startswith(make.__name__)
    assert len(problem.source) > 10
    objectives, constraints = check_goals(problem.objectives, problem.constraints)
    assert len(objectives) == 1
    assert bool(constraints) == (make in LIMITED)
    assert make() == problem
    assert hash(make()) == hash(problem)


@pytest.mark.parametrize("make", EVERY, ids=by_name)
def test_space_round_trips_through_json(make: Callable[[], Problem]) -> None:
    space = make().space
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


@pytest.mark.parametrize("make", EVERY, ids=by_name)
def test_can_be_sent_to_another_process(make: Callable[[], Problem]) -> None:
    problem = make()
    assert pickle.loads(pickle.dumps(problem)) == problem


@pytest.mark.parametrize("make", SYNTHETIC, ids=by_name)
def test_values_are_finite_and_named(make: Callable[[], SyntheticProblem]) -> None:
    problem = make()
    for params in draw(problem.space, 50):
        values = problem.evaluate(params)
        assert set(values) == {goal.name for goal in problem.objectives}
        assert all(type(value) is float and math.isfinite(value) for value in values.values())


@pytest.mark.parametrize("make", SYNTHETIC, ids=by_name)
def test_batch_equals_single(make: Callable[[], SyntheticProblem]) -> None:
    problem = make()
    points = draw(problem.space, 50)
    single = [problem.evaluate(params)["y"] for params in points]
    batch = problem.evaluate_batch(columns(problem.space, points))["y"]
    assert batch.shape == (50,)
    assert batch.dtype == np.float64
    # Vectorised and scalar instructions may round the last bit of the largest term differently.
    np.testing.assert_allclose(batch, single, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", SYNTHETIC, ids=by_name)
def test_optimum_is_reached_where_it_is_said_to_be(make: Callable[[], SyntheticProblem]) -> None:
    problem = make()
    assert problem.optimisers
    for point in problem.optimisers:
        assert problem.space.check(point) == point
        assert problem.space.violations(point) == []
        value = problem.evaluate(point)["y"]
        assert value == pytest.approx(problem.optimum, abs=CLOSE)
        assert problem.regret(value) == pytest.approx(0.0, abs=CLOSE)
    assert problem.regret(problem.optimum + 0.25) == pytest.approx(0.25)


@pytest.mark.parametrize("make", SYNTHETIC, ids=by_name)
def test_optimum_is_not_beaten_by_chance(make: Callable[[], SyntheticProblem]) -> None:
    problem = make()
    y = problem.evaluate_batch(columns(problem.space, draw(problem.space, 2000)))["y"]
    assert y.min() >= problem.optimum - CLOSE
    assert y.max() > problem.optimum + 0.5


@pytest.mark.parametrize("make", BOXES, ids=by_name)
def test_optimum_is_not_beaten_by_descent(make: Callable[[], SyntheticProblem]) -> None:

    problem = make()
    names = problem.space.names
    box = [(p.low, p.high) for p in problem.space if isinstance(p, Float)]

    def loss(x: Array) -> float:
        return problem.evaluate(dict(zip(names, x, strict=True)))["y"]

    near = {name: 0.99 * value + 0.01 for name, value in problem.optimisers[0].items()}
    reached = [
        minimize(loss, start, method="L-BFGS-B", bounds=box, options={"maxiter": 50}).fun
        for start in matrix(problem.space, [*draw(problem.space, 2), near])
    ]
    assert min(reached) >= problem.optimum - CLOSE


# -- against independent formulas ---------------------------------------------------------


def branin(X: Array) -> Array:
    x1, x2 = X.T
    parabola = x2 - 5.1 / (4 * np.pi**2) * x1**2 + 5 / np.pi * x1 - 6
    y: Array = parabola**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x1) + 10
    return y


def rosenbrock(X: Array) -> Array:
    y: Array = np.sum(100 * (X[:, 1:] - X[:, :-1] ** 2) ** 2 + (1 - X[:, :-1]) ** 2, axis=1)
    return y


def rastrigin(X: Array) -> Array:
    y: Array = np.sum(X**2 - 10 * np.cos(2 * np.pi * X) + 10, axis=1)
    return y


def ackley(X: Array) -> Array:
    slope, waves = np.sqrt(np.mean(X**2, axis=1)), np.mean(np.cos(2 * np.pi * X), axis=1)
    y: Array = 20 + np.e - 20 * np.exp(-0.2 * slope) - np.exp(waves)
    return y


def hartmann3(X: Array) -> Array:
    A = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
    P = np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]) / 1e4
    y: Array = -np.exp(-np.sum(A * (X[:, None] - P) ** 2, axis=2)) @ [1, 1.2, 3, 3.2]  # (n,)
    return y


@pytest.mark.parametrize("formula", [branin, rosenbrock, rastrigin, ackley, hartmann3], ids=by_name)
def test_agrees_with_the_published_formula(formula: Callable[[Array], Array]) -> None:
    problem: SyntheticProblem = getattr(synthetic, formula.__name__)()
    points = draw(problem.space, 200)
    y = problem.evaluate_batch(columns(problem.space, points))["y"]
    # Double precision in another order of sums; single-precision constants would differ by 1e-8.
    np.testing.assert_allclose(y, formula(matrix(problem.space, points)), rtol=1e-11, atol=1e-11)


# -- the analytic ones --------------------------------------------------------------------


def test_mixed_optimum_by_brute_force() -> None:
    problem = synthetic.mixed_conditional()
    # Both grids hold the best x and rate of every branch.
    xs, rates = np.arange(-1.0, 3.01, 0.25), 10 ** np.arange(-5.0, 0.1, 0.5)
    grid = [
        {"shape": shape, "k": k, "x": x, "gate": gate} | ({"rate": rate} if gate else {})
        for shape, k, gate, x in itertools.product(("plane", "bowl", "ridge"), range(1, 7), (False, True), xs)
        for rate in (rates if gate else [None])
    ]
    y = problem.evaluate_batch(columns(problem.space, grid))["y"]
    order = np.argsort(y)
    assert y[order[0]] == pytest.approx(problem.optimum, abs=1e-12) == pytest.approx(-0.15)
    assert y[order[1]] > y[order[0]] + 0.04
    assert dict(problem.optimisers[0]) == pytest.approx(grid[order[0]])


def test_mixed_best_without_the_gate_is_a_trap() -> None:
    problem = synthetic.mixed_conditional()
    trap = {"shape": "plane", "k": 5, "x": 1.25, "gate": False}
    assert problem.evaluate(trap)["y"] == pytest.approx(0.0, abs=1e-12)
    moves: list[dict[str, Any]] = [{"k": 4}, {"k": 6}, {"shape": "bowl"}, {"shape": "ridge"}, {"x": 1.3}]
    moves.append({"gate": True, "rate": 10**-2.5})
    assert all(problem.evaluate({**trap, **move})["y"] > 1e-3 for move in moves)


def test_mixed_rate_counts_only_behind_the_gate() -> None:
    problem = synthetic.mixed_conditional()
    closed = {"shape": "bowl", "k": 2, "x": 0.0, "gate": False}
    assert problem.evaluate(closed) == problem.evaluate({**closed, "rate": 1.0})
    opened = {**closed, "gate": True}
    far, best = (problem.evaluate({**opened, "rate": 10**power})["y"] for power in (-0.5, -2.5))
    assert far - best == pytest.approx(2.0)  # 0.5 * (2 decades)^2


def test_budget_optimum_lies_on_the_boundary() -> None:

    problem = synthetic.budget_quadratic()
    points = matrix(problem.space, draw(problem.space, 500))
    assert (points @ [1, 2, 2]).max() <= 15 + CLOSE
    assert problem.evaluate({"x1": 6, "x2": 5, "x3": 4})["y"] == 0.0
    assert problem.space.violations({"x1": 6.0, "x2": 5.0, "x3": 4.0}) != []

    def loss(x: Array) -> float:
        return problem.evaluate(dict(zip(problem.space.names, x, strict=True)))["y"]

    room = {"type": "ineq", "fun": lambda x: 15 - x @ [1, 2, 2]}
    for start in points[:3]:
        found = minimize(loss, start, method="SLSQP", bounds=[(0, 10)] * 3, constraints=[room])
        assert found.fun == pytest.approx(problem.optimum, abs=1e-5)  # its default tolerance is 1e-6
        np.testing.assert_allclose(found.x, [5, 3, 2], atol=1e-2)


# -- options ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ackley", "griewank", "levy", "michalewicz", "rastrigin", "rosenbrock"])
@pytest.mark.parametrize("dim", [2, 9])
def test_dimension_is_a_choice(name: str, dim: int) -> None:
    problem: SyntheticProblem = getattr(synthetic, name)(dim=dim)
    assert problem.name == f"{name}{dim}"
    assert problem.space.names == tuple(f"x{i + 1}" for i in range(dim))
    assert problem.evaluate(problem.optimisers[0])["y"] == pytest.approx(problem.optimum, abs=CLOSE)


def test_published_minima_are_those_of_the_dimension() -> None:
    published = {2: -1.8013, 5: -4.687658, 10: -9.66015}
    for dim, value in published.items():
        assert synthetic.michalewicz(dim).optimum == pytest.approx(value, abs=5e-5)
    assert synthetic.styblinski_tang(3).optimum == pytest.approx(-39.16617 * 3, abs=5e-5)


@pytest.mark.parametrize(("make", "dim"), [(synthetic.michalewicz, 11), (synthetic.rosenbrock, 1)])
def test_impossible_dimension_is_refused(make: Callable[[int], SyntheticProblem], dim: int) -> None:
    with pytest.raises(ProblemError, match=f"got dim={dim}; choose"):
        make(dim)


def test_noise_comes_from_the_generator_that_is_handed_in() -> None:
    problem = synthetic.branin(noise_sd=2.0)
    assert problem.objectives == (Objective("y", "minimize", noise=2.0),)
    point = problem.optimisers[0]
    assert problem.evaluate(point) == problem.evaluate(point) == synthetic.branin().evaluate(point)
    one, same, other = (problem.evaluate(point, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same != other
    many = {name: np.full(4000, value) for name, value in point.items()}
    error = problem.evaluate_batch(many, np.random.default_rng(0))["y"] - problem.optimum
    # Four standard errors: of a mean 2 / sqrt(4000) each, of a standard deviation 2 / sqrt(8000).
    assert abs(error.mean()) < 4 * 2 / math.sqrt(4000)
    assert abs(error.std() - 2) < 4 * 2 / math.sqrt(8000)


def test_exact_problem_ignores_the_generator() -> None:
    problem, rng = synthetic.branin(), np.random.default_rng(0)
    point = {"x1": 0.0, "x2": 1.0}
    assert problem.objectives[0].noise == "none"
    assert problem.evaluate(point, rng) == problem.evaluate(point)


@pytest.mark.parametrize("noise_sd", [-1.0, math.nan, math.inf])
def test_impossible_noise_is_refused(noise_sd: float) -> None:
    with pytest.raises(ProblemError, match="noise_sd of 'branin' must be a finite number >= 0"):
        synthetic.branin(noise_sd=noise_sd)


def test_point_outside_the_box_is_refused() -> None:
    with pytest.raises(ValueError, match="within the bounds"):
        synthetic.branin().evaluate({"x1": 11.0, "x2": 0.0})


def test_making_problems_loads_no_heavy_library() -> None:
    code = (
        "import sys; from problems import learning, synthetic\n"
        "synthetic.hartmann6(); synthetic.mixed_conditional(); learning.digits_svm()\n"
        "print(sorted({'torch', 'botorch', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- digits -------------------------------------------------------------------------------

# 0.9604, from a local search; most draws of 40 random settings stop near 0.945.
GOOD_SVM = {"kernel": "rbf", "C": 77.0, "gamma": 0.208, "components": 56, "whiten": False, "blur": 0.44}
FOREST = {"n_estimators": 10, "max_depth": 8, "max_features": 0.2, "min_samples_leaf": 3, "criterion": "gini"}


def quick(make: Callable[[], learning.DigitsProblem]) -> learning.DigitsProblem:
    """The same problem with two repetitions, which is enough where the figure does not matter."""
    return replace(make(), repetitions=2)


@pytest.mark.parametrize("make", LEARNING, ids=by_name)
def test_accuracy_is_a_share_and_repeats_exactly(make: Callable[[], learning.DigitsProblem]) -> None:
    problem = quick(make)
    assert problem.objectives == (Objective("accuracy", "maximize", noise="none"),)
    (params,) = draw(problem.space, 1, seed=2)
    first = problem.evaluate(params)
    assert set(first) == {"accuracy"}
    assert type(first["accuracy"]) is float
    assert 0.05 <= first["accuracy"] <= 1.0
    learning._digits.cache_clear()
    learning._splits.cache_clear()
    assert quick(make).evaluate(params) == first


def test_svm_accuracy_is_the_mean_over_fixed_splits() -> None:
    from sklearn.svm import SVC

    images, digits = learning._digits()
    plain = {"kernel": "linear", "C": 1.0, "components": 64, "whiten": False, "blur": 0.0}
    scores = []
    for learned, judged in learning._splits(200, 2):
        assert (len(learned), len(judged)) == (200, 1597)
        assert not set(learned) & set(judged)
        # All components without whitening only rotate the images, which a linear kernel does not see.
        model = SVC(kernel="linear", C=1.0).fit(images[learned], digits[learned])
        scores.append(np.mean(model.predict(images[judged]) == digits[judged]))
    # The solver stops within 1e-3 of its optimum, from where at most a few of 3,194 images change sides.
    accuracy = quick(learning.digits_svm).evaluate(plain)["accuracy"]
    assert accuracy == pytest.approx(np.mean(scores), abs=2e-3)


@pytest.mark.slow
def test_svm_settings_matter() -> None:
    problem = learning.digits_svm()
    assert problem.evaluate(GOOD_SVM)["accuracy"] > 0.95
    assert problem.evaluate({**GOOD_SVM, "gamma": 10.0, "whiten": True})["accuracy"] < 0.2


def test_inactive_settings_are_absent_and_ignored() -> None:
    problem = quick(learning.digits_svm)
    for params in draw(problem.space, 60):
        assert ("gamma" in params) == (params["kernel"] != "linear")
        assert ("degree" in params) == ("coef0" in params) == (params["kernel"] == "poly")
    assert problem.evaluate({**GOOD_SVM, "degree": 5, "coef0": 2.0}) == problem.evaluate(GOOD_SVM)
    forest, whole = quick(learning.digits_forest), {**FOREST, "bootstrap": False}
    assert forest.evaluate({**whole, "max_samples": 0.1}) == forest.evaluate(whole)
    assert forest.evaluate({**FOREST, "bootstrap": True, "max_samples": 0.1}) != forest.evaluate(whole)


def test_svm_that_runs_out_of_steps_warns_nobody(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(learning, "_MOST_STEPS", 3)
    assert 0.0 < quick(learning.digits_svm).evaluate(GOOD_SVM)["accuracy"] < 1.0
    assert list(recwarn) == []


@pytest.mark.slow
def test_svm_leaves_room_above_random_search() -> None:
    problem = learning.digits_svm()
    scores = [problem.evaluate(params)["accuracy"] for params in draw(problem.space, 40, seed=1)]
    assert all(0.05 <= score <= 1.0 for score in scores)
    assert np.median(scores) < 0.9 < max(scores) < problem.evaluate(GOOD_SVM)["accuracy"]


@pytest.mark.slow
def test_forest_accuracies_at_random_settings() -> None:
    problem = quick(learning.digits_forest)
    scores = [problem.evaluate(params)["accuracy"] for params in draw(problem.space, 40)]
    assert all(0.05 <= score <= 1.0 for score in scores)
    assert np.median(scores) < 0.9 < max(scores)


# -- measured limits, and difficulties on which nothing was tuned --------------------------


def test_gramacy_is_what_botorch_has_and_its_optimum_is_not_beaten() -> None:
    from botorch.test_functions.synthetic import ConstrainedGramacy

    problem, theirs = synthetic.gramacy(), ConstrainedGramacy()
    points = draw(problem.space, 200)
    X = torch.from_numpy(matrix(problem.space, points))
    slack = -theirs.evaluate_slack_true(X).numpy()  # feasible where not below 0
    for point, y, c in zip(points, theirs.evaluate_true(X).tolist(), slack.tolist(), strict=True):
        assert problem.evaluate(point) == pytest.approx({"y": y, "c1": c[0], "c2": c[1]}, abs=1e-12)
    (best,) = problem.optimisers
    found = problem.evaluate(best)
    assert found["y"] == pytest.approx(problem.optimum, abs=CLOSE)
    assert max(found["c1"], found["c2"]) <= CLOSE

    def limits(x: Array) -> Array:
        values = problem.evaluate({"x1": x[0], "x2": x[1]})
        return -np.array([values["c1"], values["c2"]])

    ends = [
        minimize(np.sum, x, constraints={"type": "ineq", "fun": limits}, bounds=[(0, 1)] * 2, tol=1e-13)
        for x in np.random.default_rng(0).random((20, 2))
    ]
    reached = [end.fun for end in ends if end.success and limits(end.x).min() > -1e-9]
    assert min(reached) == pytest.approx(problem.optimum, abs=1e-8)


def test_the_ellipsoid_is_rotated_and_has_the_condition_number_that_it_states() -> None:
    problem = synthetic.rotated_ellipsoid(5)
    (best,) = problem.optimisers
    centre, steps = np.array(list(best.values())), np.eye(5)

    def f(x: Array) -> float:
        return problem.evaluate(dict(zip(best, x.tolist(), strict=True)))["y"]

    # f is a quadratic form with no linear part at the optimum: its matrix follows from 25 values
    ends = [[f(centre + a + b) - f(centre + a) - f(centre + b) for b in steps] for a in steps]
    H = 0.5 * np.array(ends)
    values, vectors = np.linalg.eigh(H)
    assert values == pytest.approx(10.0 ** np.arange(5), rel=1e-6)
    assert np.abs(vectors).max() < 0.99  # no axis is a parameter's


def test_the_steps_are_plateaus_and_the_peaks_stand_as_high_as_they_should() -> None:
    steps, peaks = synthetic.step_ellipsoid(), synthetic.gaussian_peaks()
    rng = np.random.default_rng(0)
    same = 0
    for point in draw(steps.space, 50):
        near = {name: x + 1e-4 * rng.normal() for name, x in point.items()}
        same += steps.evaluate(near) == steps.evaluate(point)
    # a coordinate crosses a step with probability about 2 * 1e-4 * 0.8 / 2: fewer than one of 250 is expected
    assert same >= 47
    values = peaks.evaluate_batch(columns(peaks.space, draw(peaks.space, 20_000)))["y"]
    assert values.min() >= 0.0
    assert np.median(values) > 8.0  # a plain
