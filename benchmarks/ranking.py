"""What rankings are worth: descent, models of preference, regret per picture looked at, and pictures.

    python benchmarks/ranking.py descent      # quadratic d = 100, Rosenbrock d = 20, (m, k), noise, baselines; 10 seeds
    python benchmarks/ranking.py orders       # the same quadratic for many (m, k): by answers, slope of the gradient
    python benchmarks/ranking.py preference   # 50 data sets of BoTorch's tutorial: Kendall's tau, times, calibration
    python benchmarks/ranking.py regret       # Branin, Hartmann-6, Ackley-4: duels, best of 4, full orders of 4
    python benchmarks/ranking.py pictures     # the bundled model: a simulated rater, 10 rounds of 8, 20 seeds
    python benchmarks/ranking.py questions    # seconds to the next question after 100 answers
    python benchmarks/ranking.py methods      # ZO-RankSGD against EUBO by clicks, d = 4, 20, 100

Each writes benchmarks/results/ranking_<name>.json and prints it as its last line. With `--into FOLDER` every run of
`descent`, `orders`, `regret`, `pictures` and `methods` is on the disk as soon as it is finished, and is not run again:
interrupted, they go on. `orders` draws into `--page FILE.html`, `pictures` targets beside the best of
the first round and of all into `--page FILE.png`. `regret` asks optuna-dashboard too (`make peers` first,
or PEERS=<python that has it>). Seconds are CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from descents import CHECKPOINTS, Array, Counter, cma, gld_fast, quadratic, rank_sgd, rosenbrock, scobo, zo_sgd
from picturing import ROUNDS, SHEET, SHOWN, green_judge, picture_cma, picture_path, sheet, target_judge

import workbench as wb
from problems import synthetic
from problems.raters import Exact, Noisy, Rater, answer
from workbench.bench.contestant import Contestant, Line
from workbench.bench.page import write_figures
from workbench.plots import benchmark
from workbench.samplers.zeroth_order.descent import Settings

RESULTS = Path(__file__).parent / "results"
PEERS = Path(os.environ.get("PEERS", Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"))
DASHBOARD = Path(__file__).parent / "peers" / "rank_dashboard.py"


class Finished:
    """Runs by name and seed; those of a file are not run again.

    Args:
        path: One finished run a line; None to keep them nowhere.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._runs = path, dict[tuple[str, int], list[float]]()
        if path is not None and path.exists():
            lines = (json.loads(line) for line in path.read_text().splitlines())
            self._runs = {(line["run"], line["seed"]): line["values"] for line in lines}

    def get(self, name: str, seed: int, play: Callable[[], Sequence[float]]) -> list[float]:
        """Values of a run, which is played now if it was not before."""
        if (name, seed) not in self._runs:
            values = self._runs[name, seed] = [float(value) for value in play()]
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("a") as file:
                    file.write(json.dumps({"run": name, "seed": seed, "values": values}) + "\n")
        return self._runs[name, seed]


# -- descent ---------------------------------------------------------------------------------


def descent(seeds: int, finished: Finished) -> dict[str, Any]:
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
        ends = [finished.get(name, seed, functools.partial(_end, problem, method, seed)) for seed in range(seeds)]
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


def _end(problem: str, method: Callable[[Counter, Array, np.random.Generator], None], seed: int) -> list[float]:
    """The least value after each number of evaluations."""
    d, loss = (100, quadratic) if problem == "quadratic" else (20, rosenbrock)
    x = np.random.default_rng(1000 + seed).standard_normal(d) if problem == "quadratic" else np.zeros(d)
    counter = Counter(loss)
    method(counter, x, np.random.default_rng(seed))
    return [counter.seen.get(mark, counter.best) for mark in CHECKPOINTS]


ORDERS = {2: (1,), 4: (1, 2, 3), 6: (1, 2, 3, 5), 8: (1, 2, 4, 7), 15: (1, 3, 5, 8, 14)}  # m to k
ANSWERS = (20, 100, 400)  # two a round, an estimate and a search
DRAWN = (1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100, 140, 200)  # rounds


def orders(seeds: int, finished: Finished) -> dict[str, Any]:
    """Median |x|^2 by answers for the best k of m, and the slope of log |gradient| over log rounds, from the tenth.

    A search shows m too, x, the best perturbation and steps, and three where m is two.
    """
    out: dict[str, Any] = {"answers": ANSWERS, "rounds": DRAWN}
    for m, k in ((m, k) for m, named in ORDERS.items() for k in named):
        runs = [finished.get(f"({m}, {k})", seed, functools.partial(_norms, m, k, seed)) for seed in range(seeds)]
        norms = 2.0 * np.median(runs, axis=0)[np.array(DRAWN) - 1]
        slope = np.median([np.polyfit(np.log(np.arange(10, len(run) + 1)), np.log(run[9:]), 1)[0] for run in runs])
        least = [float(np.median([min(run[: n // 2]) for run in runs])) ** 2 for n in ANSWERS]
        out[f"({m}, {k})"] = {"least": least, "slope": float(slope), "gradient": norms.tolist()}
        print(
            f"({m:2d}, {k:2d})  " + "  ".join(f"{value:9.4g}" for value in least) + f"  slope {slope:.2f}", flush=True
        )
    return out


def _norms(m: int, k: int, seed: int) -> list[float]:
    """|x| after each round."""
    path: list[float] = []
    x, settings = np.random.default_rng(1000 + seed).standard_normal(100), Settings(radius=0.1, step=1.0, shrink=0.995)
    counter = Counter(quadratic)
    rank_sgd(
        counter, x, np.random.default_rng(seed), m=m, k=k, settings=settings, searches=max(1, m - 2), path=path,
        rounds=ANSWERS[-1] // 2,
    )  # fmt: skip
    return path


def orders_page(found: Mapping[str, Any], path: Path) -> None:
    """Draw what `orders` found."""
    ends = {m: {k: found[f"({m}, {k})"]["least"][1] for k in named} for m, named in ORDERS.items()}
    paths = {
        name: (found[name]["gradient"], found[name]["slope"])
        for name in ("(15, 14)", "(15, 3)", "(15, 1)", "(6, 5)", "(6, 1)", "(2, 1)")
    }
    figures = {
        "orders": benchmark.orders(ends, f"{ANSWERS[1]} answers"),
        "decay": benchmark.decay(found["rounds"], paths),
    }
    write_figures("ZO-RankSGD on |x|^2 in 100 dimensions", figures, path)


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


def preference(seeds: int, finished: Finished) -> dict[str, Any]:
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


class Play(Protocol):
    """What a way of asking shows, in order, each time it is shown."""

    def __call__(
        self, problem: Any, way: str, rater: Rater, k: int, named: int | None, pictures: int, seed: int
    ) -> list[Mapping[str, Any]]: ...


def regret(seeds: int, finished: Finished) -> dict[str, Any]:
    """Median regret of the best shown by how many pictures were looked at, and ours beside each other way.

    The differences are of log10 regret, which is taken as 1e-6 where it is less, paired by seed: mean and standard
    error over the seeds, negative where eubo is better.
    """
    marks = (10, 20, 40)
    cases = {"branin": synthetic.branin(), "hartmann6": synthetic.hartmann6(), "ackley4": synthetic.ackley(4)}
    kinds: dict[str, tuple[int, int | None]] = {"duels": (2, None), "best of 4": (4, 1), "full 4": (4, None)}
    ways: dict[str, Play] = {
        "eubo": own_play, "duel_kg": own_play, "duel_thompson": own_play, "random": own_play,
        "BoTorch": botorch_play, "dashboard": dashboard_play,
    }  # fmt: skip
    out: dict[str, Any] = {"pictures": marks}
    for (case, problem), (kind, (k, named)) in itertools.product(cases.items(), kinds.items()):
        assert problem.optimum is not None
        best = float(problem.optimum)
        ends: dict[str, Array] = {}
        for way, play in ways.items():
            if way.startswith("duel_") and kind != "duels":
                continue
            name = f"{case}, {kind}: {way}"
            runs = [
                finished.get(name, seed, functools.partial(least, play, problem, way, k, named, marks[-1], seed))
                for seed in range(seeds)
            ]
            ends[way] = np.array([[values[min(mark, len(values)) - 1] - best for mark in marks] for values in runs])
            out[name] = {"median": np.median(ends[way], axis=0).tolist()}
            if way != "eubo":
                gap = np.log10(np.maximum(ends["eubo"], 1e-6)) - np.log10(np.maximum(ends[way], 1e-6))
                out[name] |= {
                    "eubo minus it, decades": gap.mean(axis=0).tolist(),
                    "standard error": (gap.std(axis=0, ddof=1) / math.sqrt(seeds)).tolist() if seeds > 1 else None,
                }
            print(f"{name:45s} " + "  ".join(f"{value:9.4g}" for value in out[name]["median"]), flush=True)
    return out


def own_play(
    problem: Any, way: str, rater: Rater, k: int, named: int | None, pictures: int, seed: int
) -> list[Mapping[str, Any]]:
    """What a study shows by that sampler."""
    study = wb.create_study("s", problem.space, [wb.Preference("taste")], sampler=way, seed=seed)
    shown: list[Mapping[str, Any]] = []
    while len(shown) < pictures:
        asked = study.feedback.next_question(k)
        shown += [trial.params for trial in asked.trials]
        answer(asked, rater, named)
    return shown


def least(play: Play, problem: Any, way: str, k: int, named: int | None, pictures: int, seed: int) -> list[float]:
    """The least value that was shown after each picture, to a rater who sees the values."""

    def losses(shown: Sequence[Mapping[str, Any]]) -> list[float]:
        return [float(next(iter(problem.evaluate(params).values()))) for params in shown]

    rater = Exact(lambda shown: [-value for value in losses(shown)])
    values = losses(play(problem, way, rater, k, named, pictures, seed))
    return list(itertools.accumulate(values, min))[:pictures]


def first_points(space: wb.Space, k: int, seed: int) -> Array:
    """As many points as ours begins with, in whole questions."""
    return np.asarray(space.sobol(max(k, (space.width + 2 + k - 1) // k * k), seed))


def botorch_play(
    problem: Any, way: str, rater: Rater, k: int, named: int | None, pictures: int, seed: int
) -> list[Mapping[str, Any]]:
    """The same by PairwiseGP and EUBO; a ranking enters as its chain of neighbours and the last before the rest."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - PairwiseGP starts its search from it
    space = problem.space
    X = first_points(space, k, seed)
    first = len(X)
    shown: list[Mapping[str, Any]] = space.decode(X)
    won: list[list[int]] = []

    def judge(rows: list[int]) -> None:
        won.extend(chain([rows[place] for place in rater.order([shown[row] for row in rows])], named))

    for i in range(0, first, k):
        judge(list(range(i, i + k)))
    while len(shown) < pictures:
        new = botorch_question(botorch_fit(X, np.array(won)), k)
        X = np.concatenate([X, new])
        shown += space.decode(new)
        judge(list(range(len(shown) - k, len(shown))))
    return shown


def chain(order: Sequence[int], named: int | None) -> list[list[int]]:
    """An order, or its first ones and the rest, as pairs (better, worse) of neighbours."""
    ranked = order if named is None else order[:named]
    return [[a, b] for a, b in itertools.pairwise(ranked)] + [[ranked[-1], one] for one in order[len(ranked) :]]


def dashboard_play(
    problem: Any, way: str, rater: Rater, k: int, named: int | None, pictures: int, seed: int
) -> list[Mapping[str, Any]]:
    """The same by optuna-dashboard, where the winner stays among what is shown next."""
    first = problem.space.decode(first_points(problem.space, k, seed))
    shown: list[Mapping[str, Any]] = []
    told = f"{PEERS.name} benchmarks/peers/{DASHBOARD.name}"
    with Line(Contestant("optuna-dashboard", (str(PEERS), str(DASHBOARD)), told), 600.0) as line:
        line.call({"do": "begin", "space": problem.space.to_json(), "seed": seed, "first": first, "k": k})
        while len(shown) < pictures:
            asked = line.call({"do": "ask"})[0]["shown"]
            shown += [params for _, params in asked]
            order = rater.order([params for _, params in asked])
            line.call({"do": "judge", "pairs": chain([asked[place][0] for place in order], named)})
    return shown


# -- pictures ----------------------------------------------------------------------------------


def pictures(seeds: int, finished: Finished) -> dict[str, Any]:
    """Worth of the best picture by round, for a rater with a target that the model can draw and one who likes green."""
    from problems.generative import emoji

    whole, small = emoji(), emoji(24)
    ways = {
        "rank_sgd, whole latents": (whole, "rank_sgd"), "random latents": (whole, "random"),
        "rank_sgd, 24 dimensions": (small, "rank_sgd"), "eubo, 24 dimensions": (small, "eubo"),
    }  # fmt: skip
    found: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(50_000 + seed)
        target = whole.pixels([{"z": rng.standard_normal(whole.space.width)}])[0]
        start = rng.standard_normal(whole.space.width)
        for judge in (target_judge(target), green_judge()):
            for way, (problem, sampler) in ways.items():
                name = f"{judge.name}: {way}"
                run = functools.partial(picture_path, problem, sampler, judge, seed)
                found.setdefault(name, []).append(finished.get(name, seed, run))
            name = f"{judge.name}: CMA-ES by rank, whole latents"
            run_cma = functools.partial(picture_cma, whole, judge, start, seed)
            found.setdefault(name, []).append(finished.get(name, seed, run_cma))
        means = {name: [round(float(v), 4) for v in np.mean(p, axis=0)[[0, 4, 9]]] for name, p in found.items()}
        print(seed, means, flush=True)
    return {"rounds": ROUNDS, "of": SHOWN, **_gains(found)}


def _gains(found: Mapping[str, list[list[float]]]) -> dict[str, Any]:
    """Mean by round, the share of seeds that ended better than they began, and rank_sgd's lead in the end."""
    out: dict[str, Any] = {}
    for name, paths in found.items():
        ends, judge = np.array(paths), name.partition(":")[0]
        out[name] = {"mean by round": ends.mean(axis=0).tolist(), "improved": float(np.mean(ends[:, -1] > ends[:, 0]))}
        lead = np.array(found[f"{judge}: rank_sgd, whole latents"])[:, -1] - ends[:, -1]
        if "rank_sgd, whole" not in name:
            error = float(lead.std(ddof=1)) / math.sqrt(len(lead)) if len(lead) > 1 else None
            out[name] |= {"rank_sgd, whole latents, is ahead by": float(lead.mean()), "standard error": error}
    return out


# -- time and choice of method -------------------------------------------------------------------


def questions(seeds: int, finished: Finished) -> dict[str, Any]:
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


def methods(seeds: int, finished: Finished) -> dict[str, Any]:
    """Mean regret, of the best shown, by answers: full orders of six, utility -|x - x*|^2 / d in the unit cube."""
    marks = (5, 10, 20, 30)
    out: dict[str, Any] = {"answers": marks}
    for d in (4, 20, 100):
        for sampler in ("eubo", "rank_sgd"):
            if sampler == "eubo" and d > 64:  # more lengthscales than it models
                continue
            name = f"d = {d}: {sampler}"
            runs = [
                finished.get(name, seed, functools.partial(_regrets, d, sampler, seed, marks[-1]))
                for seed in range(seeds)
            ]
            out[name] = np.mean(runs, axis=0)[[mark - 1 for mark in marks]].tolist()
            print(name, [f"{value:.3g}" for value in out[name]], flush=True)
    return out


def _regrets(d: int, sampler: str, seed: int, answers: int) -> list[float]:
    """Regret of the best shown after each answer."""
    best = np.random.default_rng(seed).uniform(0.2, 0.8, d)

    def utility(shown: Sequence[Mapping[str, Any]]) -> list[float]:
        return [-float(np.square(np.asarray(params["z"]) - best).mean()) for params in shown]

    space = wb.Space([wb.Vector("z", d, prior="uniform")])
    study = wb.create_study("s", space, [wb.Preference("taste")], sampler=sampler, seed=seed)
    path = []
    for _ in range(answers):
        answer(study.feedback.next_question(6), Exact(utility))
        path.append(-max(utility([trial.params for trial in study.trials])))
    return path


PARTS: dict[str, tuple[Callable[[int, Finished], dict[str, Any]], int]] = {
    "descent": (descent, 10), "orders": (orders, 10), "preference": (preference, 50), "regret": (regret, 12),
    "pictures": (pictures, 20), "questions": (questions, 1), "methods": (methods, 5),
}  # fmt: skip


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    for part in chosen.parts:
        measure, usual = PARTS[part]
        seeds = chosen.seeds or usual
        finished = Finished(None if chosen.into is None else chosen.into / f"ranking_{part}.jsonl")
        whole = {"part": part, "seeds": seeds, **measure(seeds, finished)}
        (RESULTS / f"ranking_{part}.json").write_text(json.dumps(whole, indent=1) + "\n")
        if part == "orders" and chosen.page is not None:
            orders_page(whole, chosen.page)
        if part == "pictures" and chosen.page is not None:
            chosen.page.write_bytes(sheet(min(seeds, SHEET)))
        print(json.dumps(whole))


if __name__ == "__main__":
    main()
