"""What rankings are worth: descent, models of preference, regret per picture looked at, and pictures.

    python benchmarks/ranking.py descent      # quadratic d = 100, Rosenbrock d = 20, (m, k), noise, baselines; 10 seeds
    python benchmarks/ranking.py preference   # 50 data sets of BoTorch's tutorial: Kendall's tau, times, calibration
    python benchmarks/ranking.py regret       # Branin, Hartmann-6, Ackley-4: duels, best of 4, full orders of 4
    python benchmarks/ranking.py pictures     # the bundled model: a simulated rater, 10 rounds of 8, 20 seeds
    python benchmarks/ranking.py questions    # seconds to the next question after 100 answers
    python benchmarks/ranking.py methods      # ZO-RankSGD against EUBO by clicks, d = 4, 20, 100

Each writes benchmarks/results/ranking_<name>.json and prints it as its last line. Seconds are CPU seconds of one
thread.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import workbench as wb
from problems import synthetic
from problems.raters import Exact, Noisy, Rater, answer
from workbench.rankings import edge_weights, edges
from workbench.samplers.zeroth_order.descent import Settings, Shell, State
from workbench.samplers.zeroth_order.estimator import direction, value_weights

Array = NDArray[np.float64]
Loss = Callable[[Array], Array]
RESULTS = Path(__file__).parent / "results"
CHECKPOINTS = (2_000, 5_000, 10_000, 20_000)


# -- descent ---------------------------------------------------------------------------------


def quadratic(X: Array) -> Array:
    """|x|^2."""
    return np.asarray((X * X).sum(axis=1))


def rosenbrock(X: Array) -> Array:
    """Sum of 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    return np.asarray((100.0 * (X[:, 1:] - X[:, :-1] ** 2) ** 2 + (1.0 - X[:, :-1]) ** 2).sum(axis=1))


class Counter:
    """A loss that counts its evaluations and remembers the least value after some of them."""

    def __init__(self, loss: Loss) -> None:
        self._loss, self.used, self.best, self.seen = loss, 0, math.inf, dict[int, float]()

    def __call__(self, X: Array) -> Array:
        values = self._loss(X)
        self.used += len(X)
        self.best = min(self.best, float(values.min()))
        for mark in CHECKPOINTS:
            if self.used >= mark and mark not in self.seen:
                self.seen[mark] = self.best
        return values


def rank_sgd(
    loss: Counter, x: Array, rng: np.random.Generator, *, m: int, k: int, settings: Settings, searches: int,
    noise: float = 0.0, path: list[float] | None = None,
) -> None:  # fmt: skip
    """ZO-RankSGD: a judge who swaps neighbours, and takes the runner-up in a search, with probability `noise`."""
    shell, state = Shell(), State(x, settings.radius)
    while loss.used < CHECKPOINTS[-1]:
        points = state.perturbed(rng.standard_normal((m, len(x))), shell)
        order = np.argsort(loss(points), kind="stable")
        for i in np.flatnonzero(rng.random(m - 1) < noise):
            order[[i, i + 1]] = order[[i + 1, i]]
        omega = edge_weights(edges("best", tuple((int(i),) for i in order[:k]), range(m)), range(m))
        state = state.estimated(points, omega, settings)
        assert state.probe is not None
        tried = np.concatenate([state.x[None], state.probe[None], state.steps(searches, settings, shell)])
        known = loss._loss(tried[:2])  # both were looked at before
        ranks = np.argsort(np.concatenate([known, loss(tried[2:])]), kind="stable")
        best = int(ranks[1] if rng.random() < noise else ranks[0])
        state = state.stayed() if best == 0 else state.moved(tried[best])
        if path is not None:
            path.append(float(np.linalg.norm(state.x)))


def zo_sgd(loss: Counter, x: Array, rng: np.random.Generator, *, m: int, mu: float, rate: float) -> None:
    """Descent along value-weighted perturbations, with a constant rate."""
    while loss.used < CHECKPOINTS[-1]:
        Xi = rng.standard_normal((m, len(x)))
        x = x + rate * direction(value_weights(loss(x + mu * Xi), mu), Xi)
        loss(x[None])


def scobo(loss: Counter, x: Array, rng: np.random.Generator, *, m: int, mu: float, rate: float) -> None:
    """Comparisons with x alone, averaged signs, halving line search by comparisons.

    Source: Cai et al. 2022, A One-bit, Comparison-Based Gradient Estimator; without sparsity, which these lack.
    """
    while loss.used < CHECKPOINTS[-1]:
        Z = rng.standard_normal((m, len(x)))
        here = float(loss._loss(x[None])[0])
        g = (np.sign(here - loss(x + mu * Z)) @ Z) / m
        g /= max(float(np.linalg.norm(g)), 1e-300)
        step = rate
        while step > 1e-6 * rate and loss.used < CHECKPOINTS[-1]:
            if loss((x + step * g)[None])[0] < here:
                x = x + step * g
                break
            step *= 0.5


def gld_fast(loss: Counter, x: Array, rng: np.random.Generator, *, radius: float, condition: float) -> None:
    """Gradientless descent with a shrinking set of radii (Golovin et al. 2020, Gradientless Descent, algorithm 2)."""
    K = max(1, round(math.log2(4.0 * math.sqrt(condition))))
    every = max(1, round(len(x) * condition * math.log2(max(2.0, condition))))
    here, t = float(loss(x[None])[0]), 0
    while loss.used < CHECKPOINTS[-1]:
        t += 1
        if t % every == 0:
            radius /= 2.0
        scales = radius * 2.0 ** -np.arange(-K, K + 1.0)
        V = rng.standard_normal((len(scales), len(x))) * (scales / math.sqrt(len(x)))[:, None]
        values = loss(x + V)
        best = int(np.argmin(values))
        if values[best] < here:
            x, here = x + V[best], float(values[best])


def cma(loss: Counter, x: Array, rng: np.random.Generator, *, sigma: float, popsize: int) -> None:
    """CMA-ES, which uses the order of its offspring alone."""
    from cma import CMAEvolutionStrategy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = CMAEvolutionStrategy(
            x, sigma, {"popsize": popsize, "seed": int(rng.integers(1, 2**31)), "verbose": -9, "maxiter": 10**9}
        )
        while loss.used < CHECKPOINTS[-1]:
            offspring = es.ask()
            es.tell(offspring, loss(np.array(offspring)).tolist())


def descent(seeds: int) -> dict[str, Any]:
    """Median least value after 2,000, 5,000, 10,000 and 20,000 evaluations."""
    plain = Settings(radius=0.01, step=0.5, averaging=False)
    own = Settings(radius=0.1, step=1.0, shrink=0.995)
    ways: dict[str, tuple[str, Callable[[Counter, Array, np.random.Generator], None]]] = {}

    def add(problem: str, name: str, method: Callable[..., None], **how: Any) -> None:
        ways[f"{problem}: {name}"] = (problem, lambda loss, x, rng: method(loss, x, rng, **how))

    for k in (15, 3, 1):
        add("quadratic", f"({15}, {k})", rank_sgd, m=15, k=k, settings=plain, searches=5)
    add("quadratic", "(6, 6)", rank_sgd, m=6, k=6, settings=plain, searches=5)
    add("quadratic", "(6, 1)", rank_sgd, m=6, k=1, settings=plain, searches=5)
    add("quadratic", "(2, 1)", rank_sgd, m=2, k=1, settings=plain, searches=5)
    add("quadratic", "(15, 15), averaged", rank_sgd, m=15, k=15, searches=5, settings=Settings(0.01, 0.5))
    add("quadratic", "(15, 15), averaged, shrinking radius", rank_sgd, m=15, k=15, settings=own, searches=8)
    for p in (0.1, 0.3):
        add("quadratic", f"(15, 15), noise {p}", rank_sgd, m=15, k=15, settings=plain, searches=5, noise=p)
    for problem, rates, scale in (("quadratic", (0.02, 0.05, 0.1), 1.0), ("rosenbrock", (1e-4, 3e-4, 1e-3), 0.3)):
        for rate in rates:
            add(problem, f"ZO-SGD with values, rate {rate:g}", zo_sgd, m=15, mu=1e-3, rate=rate)
        add(problem, "SCOBO", scobo, m=15, mu=1e-3, rate=2.0 * scale)
        add(problem, "GLD-Fast", gld_fast, radius=2.0 * scale, condition=2.0)
        add(problem, "CMA-ES by rank", cma, sigma=0.3 * scale, popsize=16)
    for k in (15, 3, 1):
        for step in (0.05, 0.1, 0.3):
            way = Settings(radius=1e-3, step=step, averaging=False)
            add("rosenbrock", f"({15}, {k}), step {step:g}", rank_sgd, m=15, k=k, settings=way, searches=8)
    table: dict[str, Any] = {}
    for name, (problem, method) in ways.items():
        ends = []
        for seed in range(seeds):
            d, loss = (100, quadratic) if problem == "quadratic" else (20, rosenbrock)
            x = np.random.default_rng(1000 + seed).standard_normal(d) if problem == "quadratic" else np.zeros(d)
            counter = Counter(loss)
            method(counter, x, np.random.default_rng(seed))
            ends.append([counter.seen.get(mark, counter.best) for mark in CHECKPOINTS])
        table[name] = np.median(ends, axis=0).tolist()
        print(f"{name:55s} " + "  ".join(f"{value:9.4g}" for value in table[name]), flush=True)
    slopes = []
    for seed in range(seeds):
        path: list[float] = []
        counter, x = Counter(quadratic), np.random.default_rng(1000 + seed).standard_normal(100)
        rank_sgd(counter, x, np.random.default_rng(seed), m=15, k=15, settings=own, searches=8, path=path)
        rounds = np.arange(1, len(path) + 1)
        slopes.append(float(np.polyfit(np.log(rounds[9:]), np.log(2.0 * np.array(path[9:])), 1)[0]))
    return {"evaluations": CHECKPOINTS, "median": table, "slope of log |gradient| over log rounds": np.median(slopes)}


# -- preference models -------------------------------------------------------------------------


def tutorial(seed: int) -> tuple[Array, Array]:
    """50 points of the unit cube and 100 comparisons (winner, loser) by sum sqrt(i) x_i with noise 0.1."""
    rng = np.random.default_rng(seed)
    X, upper = rng.random((50, 4)), np.triu_indices(50, 1)
    rows = rng.choice(len(upper[0]), 100, replace=False)
    a, b = upper[0][rows], upper[1][rows]
    ya, yb = (tutorial_utility(X[i]) + 0.1 * rng.standard_normal(100) for i in (a, b))
    return X, np.stack([np.where(ya > yb, a, b), np.where(ya > yb, b, a)], axis=1)


def tutorial_utility(X: Array) -> Array:
    """Sum sqrt(i) x_i."""
    return np.asarray(X @ np.sqrt(np.arange(1, X.shape[1] + 1)))


def preference(seeds: int) -> dict[str, Any]:
    """Kendall's tau, seconds of a fit and of a question, Brier score and calibration of 2,000 predicted duels."""
    from scipy.stats import kendalltau, norm

    from workbench.models.judgements import Answer
    from workbench.models.preference import fit

    rows: dict[str, list[dict[str, float]]] = {"luce": [], "probit": [], "BoTorch": []}
    predicted: dict[str, list[Array]] = {name: [] for name in rows}
    happened: list[Array] = []
    for seed in range(seeds):
        X, won = tutorial(seed)
        rng = np.random.default_rng(10_000 + seed)
        Z, pairs = rng.random((1000, 4)), rng.random((2, 2000, 4))
        truth = tutorial_utility(Z)
        gap = tutorial_utility(pairs[0]) - tutorial_utility(pairs[1])
        happened.append(norm.cdf(gap / (0.1 * math.sqrt(2))))
        said = [Answer("compare", ((int(w),), (int(v),)), (int(w), int(v))) for w, v in won]
        for name, runs in rows.items():
            start = time.process_time()
            if name == "BoTorch":
                model = botorch_fit(X, won)
                fitted = time.process_time() - start
                botorch_question(model)
                mean, p = botorch_predicted(model, Z, pairs)
            else:
                own = fit(X, said, family=name)  # type: ignore[arg-type]
                fitted = time.process_time() - start
                question(own)
                mean, p = own.mean_sd(Z)[0], own.win_probability(pairs[0], pairs[1])
            asked = time.process_time() - start - fitted
            tau = float(kendalltau(mean, truth)[0])
            runs.append({"tau": tau, "fit_s": fitted, "question_s": asked})
            predicted[name].append(p)
        print(seed, {name: round(np.mean([r["tau"] for r in found]), 4) for name, found in rows.items()}, flush=True)
    p_true = np.concatenate(happened)
    out: dict[str, Any] = {}
    for name, found in rows.items():
        p = np.concatenate(predicted[name])
        bins = np.minimum((p * 10).astype(int), 9)
        calibration = [
            {
                "predicted": float(p[bins == i].mean()),
                "won": float(p_true[bins == i].mean()),
                "share": float(np.mean(bins == i)),
            }
            for i in range(10) if (bins == i).any()
        ]  # fmt: skip
        off = sum(one["share"] * abs(one["predicted"] - one["won"]) for one in calibration)
        means = {key: float(np.mean([row[key] for row in found])) for key in found[0]}
        least = min(row["tau"] for row in found)
        brier = float(np.mean(p_true * (1 - p) ** 2 + (1 - p_true) * p**2))
        out[name] = {**means, "least tau": least, "brier": brier, "calibration error": off, "calibration": calibration}
    return out


def question(model: Any) -> None:
    """The duel with the largest expected utility of the better one, by the search of the sampler."""
    from workbench.acquisition.preference import eubo
    from workbench.acquisition.search import Region, maximize
    from workbench.models.inputs import Inputs

    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(4)])
    region = Region(space, Inputs(space), {}, lambda X: np.ones(len(X), dtype=bool))
    rng, chosen = np.random.default_rng(0), list[Array]()
    effort = {"restarts": 3, "raw_samples": 128}
    for A in ([], [0], [1]):
        points = np.array([chosen[-1] for _ in A]).reshape(-1, 4)
        found = maximize(eubo(model, points), region, rng, points, **effort)
        assert found is not None
        chosen.append(found.x)


def botorch_fit(X: Array, won: Array) -> Any:
    """PairwiseGP, as its tutorial makes it."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models.pairwise_gp import PairwiseGP, PairwiseLaplaceMarginalLogLikelihood
    from botorch.models.transforms.input import Normalize

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PairwiseGP(torch.tensor(X), torch.tensor(won), input_transform=Normalize(d=X.shape[1]))
        fit_gpytorch_mll(PairwiseLaplaceMarginalLogLikelihood(model.likelihood, model))
    return model


def botorch_question(model: Any, q: int = 2) -> Array:
    """EUBO, as its tutorial searches: 3 restarts, 512 raw samples. Points of shape (q, d)."""
    import torch
    from botorch.acquisition.preference import AnalyticExpectedUtilityOfBestOption, qExpectedUtilityOfBestOption
    from botorch.optim.optimize import optimize_acqf

    d = model.datapoints.shape[1]
    bounds = torch.stack([torch.zeros(d), torch.ones(d)]).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind = AnalyticExpectedUtilityOfBestOption if q == 2 else qExpectedUtilityOfBestOption
        points, _ = optimize_acqf(kind(pref_model=model), bounds=bounds, q=q, num_restarts=3, raw_samples=512)
    return np.asarray(points.detach().numpy())


def botorch_predicted(model: Any, Z: Array, pairs: Array) -> tuple[Array, Array]:
    """Means (b,), and win probabilities of the pairs (2, n, d) under its probit likelihood."""
    import torch
    from scipy.stats import norm

    with torch.no_grad():
        mean = model.posterior(torch.tensor(Z)).mean[:, 0].numpy()
        joint = model.posterior(torch.tensor(pairs.transpose(1, 0, 2)))
        m = joint.mean[..., 0]
        S = joint.distribution.covariance_matrix
        s2 = (S[:, 0, 0] + S[:, 1, 1] - 2 * S[:, 0, 1]).clamp_min(0.0)
        gap = (m[:, 0] - m[:, 1]).numpy()
    return mean, np.asarray(norm.cdf(gap / np.sqrt(2.0 + s2.numpy())))


# -- regret per picture looked at ----------------------------------------------------------------


def regret(seeds: int) -> dict[str, Any]:
    """Median regret of the best shown, by how many pictures were looked at."""
    marks = (10, 20, 40)
    cases = {"branin": synthetic.branin(), "hartmann6": synthetic.hartmann6(), "ackley4": synthetic.ackley(4)}
    kinds: dict[str, tuple[int, int | None]] = {"duels": (2, None), "best of 4": (4, 1), "full 4": (4, None)}
    out: dict[str, Any] = {"pictures": marks}
    for case, problem in cases.items():
        assert problem.optimum is not None
        best = float(problem.optimum)

        def losses(shown: Sequence[Mapping[str, Any]], problem: Any = problem) -> list[float]:
            return [float(next(iter(problem.evaluate(params).values()))) for params in shown]

        def utility(shown: Sequence[Mapping[str, Any]], losses: Any = losses) -> list[float]:
            return [-value for value in losses(shown)]

        for kind, (k, named) in kinds.items():
            for sampler in ("eubo", "duel_kg", "duel_thompson", "random", "BoTorch"):
                if sampler in ("duel_kg", "duel_thompson") and kind != "duels":
                    continue
                ends = []
                for seed in range(seeds):
                    play = botorch_play if sampler == "BoTorch" else own_play
                    shown = play(problem, sampler, Exact(utility), k, named, marks[-1], seed)
                    values = np.minimum.accumulate(losses(shown)) - best
                    ends.append([float(values[min(mark, len(values)) - 1]) for mark in marks])
                name = f"{case}, {kind}: {sampler}"
                out[name] = np.median(ends, axis=0).tolist()
                print(f"{name:45s} " + "  ".join(f"{value:9.4g}" for value in out[name]), flush=True)
    return out


def own_play(
    problem: Any, sampler: str, rater: Rater, k: int, named: int | None, pictures: int, seed: int
) -> list[Mapping[str, Any]]:
    """What a study shows, in order, each time it is shown."""
    study = wb.create_study("s", problem.space, [wb.Preference("taste")], sampler=sampler, seed=seed)
    shown: list[Mapping[str, Any]] = []
    while len(shown) < pictures:
        asked = study.feedback.next_question(k)
        shown += [trial.params for trial in asked.trials]
        answer(asked, rater, named)
    return shown


def botorch_play(
    problem: Any, _: str, rater: Rater, k: int, named: int | None, pictures: int, seed: int
) -> list[Mapping[str, Any]]:
    """The same by PairwiseGP and EUBO; a ranking enters as its chain of neighbours and the last before the rest."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - PairwiseGP starts its search from it
    space = problem.space
    first = max(k, (space.width + 2 + k - 1) // k * k)  # as many as ours begins with
    X = space.sobol(first, seed)
    shown: list[Mapping[str, Any]] = space.decode(X)
    won: list[list[int]] = []

    def judge(rows: list[int]) -> None:
        order = [rows[place] for place in rater.order([shown[row] for row in rows])]
        ranked = order if named is None else order[:named]
        won.extend([a, b] for a, b in itertools.pairwise(ranked))
        won.extend([ranked[-1], row] for row in order[len(ranked) :])

    for i in range(0, first, k):
        judge(list(range(i, i + k)))
    while len(shown) < pictures:
        new = botorch_question(botorch_fit(X, np.array(won)), k)
        X = np.concatenate([X, new])
        shown += space.decode(new)
        judge(list(range(len(shown) - k, len(shown))))
    return shown


# -- pictures ----------------------------------------------------------------------------------


def pictures(seeds: int) -> dict[str, Any]:
    """Mean similarity (minus mean squared error) of the best picture by round, for targets that the model can draw."""
    from cma import CMAEvolutionStrategy

    from problems.generative import emoji

    rounds, k = 10, 8
    whole, small = emoji(), emoji(24)
    found: dict[str, list[list[float]]] = {}

    def play(name: str, problem: Any, sampler: str, target: Any, seed: int) -> None:
        seen: dict[bytes, float] = {}

        def utility(shown: Sequence[Mapping[str, Any]]) -> list[float]:
            new = [params for params in shown if np.asarray(params["z"]).tobytes() not in seen]
            values = problem.similarity(new, target) if new else []
            seen.update((np.asarray(p["z"]).tobytes(), float(v)) for p, v in zip(new, values, strict=True))
            return [seen[np.asarray(params["z"]).tobytes()] for params in shown]

        study = wb.create_study("s", problem.space, [wb.Preference("picture")], sampler=sampler, seed=seed)
        path = []
        for _ in range(rounds):
            answer(study.feedback.next_question(k), Exact(utility))
            path.append(max(seen.values()))
        found.setdefault(name, []).append(path)

    for seed in range(seeds):
        rng = np.random.default_rng(50_000 + seed)
        target = whole.pixels([{"z": rng.standard_normal(whole.space.width)}])[0]
        play("rank_sgd, whole latents", whole, "rank_sgd", target, seed)
        play("random latents", whole, "random", target, seed)
        play("rank_sgd, 24 dimensions", small, "rank_sgd", target, seed)
        play("eubo, 24 dimensions", small, "eubo", target, seed)
        for name, problem in (("CMA-ES by rank, whole latents", whole),):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                options = {"popsize": k, "seed": seed + 1, "verbose": -9, "CMA_diagonal": problem is whole}
                es = CMAEvolutionStrategy(rng.standard_normal(problem.space.width), 0.4, options)
                path, best = [], -math.inf
                for _ in range(rounds):
                    offspring = es.ask()
                    values = problem.similarity([{"z": z} for z in offspring], target)
                    ranks = np.empty(k)
                    ranks[np.argsort(-values)] = np.arange(k)
                    es.tell(offspring, ranks.tolist())
                    best = max(best, float(values.max()))
                    path.append(best)
            found.setdefault(name, []).append(path)
        print(
            seed,
            {name: [round(float(v), 4) for v in np.mean(paths, axis=0)[[0, 4, 9]]] for name, paths in found.items()},
            flush=True,
        )
        _keep("pictures", {"rounds": rounds, "of": k, "seeds": seed + 1, **_gains(found)})
    return {"rounds": rounds, "of": k, **_gains(found)}


def _gains(found: Mapping[str, list[list[float]]]) -> dict[str, Any]:
    """Mean by round, and the share of seeds that ended better than they began."""
    out: dict[str, Any] = {}
    for name, paths in found.items():
        gains = np.array(paths)[:, -1] - np.array(paths)[:, 0]
        out[name] = {"mean by round": np.mean(paths, axis=0).tolist(), "improved": float(np.mean(gains > 0))}
    return out


# -- time and choice of method -------------------------------------------------------------------


def questions(seeds: int) -> dict[str, Any]:
    """CPU seconds of `next_question` after 100 answers, median of five."""
    out: dict[str, Any] = {}
    for sampler, k, d in (("eubo", 2, 6), ("eubo", 4, 6), ("duel_kg", 2, 6), ("rank_sgd", 8, 3072)):
        space = wb.Space([wb.Vector("z", d, prior="normal" if d > 100 else "uniform")])
        study = wb.create_study("s", space, [wb.Preference("taste")], sampler=sampler, seed=0)
        rater = Noisy(lambda shown: [-float(np.square(np.asarray(p["z"]) - 0.3).mean()) for p in shown], 0.01)
        taken = []
        for _ in range(105):
            start = time.process_time()
            asked = study.feedback.next_question(k)
            taken.append(time.process_time() - start)
            answer(asked, rater)
        out[f"{sampler}, {k} of d = {d}"] = {"cpu_s": float(np.median(taken[100:])), "trials": len(study.trials)}
        print(out, flush=True)
    return out


def methods(seeds: int) -> dict[str, Any]:
    """Mean regret, of the best shown, by answers: full orders of six, utility -|x - x*|^2 / d in the unit cube."""
    marks = (5, 10, 20, 30)
    out: dict[str, Any] = {"answers": marks}
    for d in (4, 20, 100):
        for sampler in ("eubo", "rank_sgd"):
            if sampler == "eubo" and d > 64:  # more lengthscales than it models
                continue
            ends = []
            for seed in range(seeds):
                best = np.random.default_rng(seed).uniform(0.2, 0.8, d)
                space = wb.Space([wb.Vector("z", d, prior="uniform")])
                study = wb.create_study("s", space, [wb.Preference("taste")], sampler=sampler, seed=seed)

                def utility(shown: Sequence[Mapping[str, Any]], best: Array = best) -> list[float]:
                    return [-float(np.square(np.asarray(params["z"]) - best).mean()) for params in shown]

                path = []
                for _ in range(marks[-1]):
                    answer(study.feedback.next_question(6), Exact(utility))
                    path.append(-max(utility([trial.params for trial in study.trials])))
                ends.append([path[mark - 1] for mark in marks])
            out[f"d = {d}: {sampler}"] = np.mean(ends, axis=0).tolist()
            print(f"d = {d}: {sampler}", [f"{value:.3g}" for value in out[f"d = {d}: {sampler}"]], flush=True)
    return out


PARTS: dict[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "descent": (descent, 10), "preference": (preference, 50), "regret": (regret, 5), "pictures": (pictures, 20),
    "questions": (questions, 1), "methods": (methods, 5),
}  # fmt: skip


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int)
    chosen = parser.parse_args()
    for part in chosen.parts:
        measure, usual = PARTS[part]
        seeds = chosen.seeds or usual
        print(json.dumps(_keep(part, {"seeds": seeds, **measure(seeds)})))


def _keep(part: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Write what was found so far."""
    whole = {"part": part, **found}
    (RESULTS / f"ranking_{part}.json").write_text(json.dumps(whole, indent=1) + "\n")
    return whole


if __name__ == "__main__":
    main()
