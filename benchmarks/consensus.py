"""Consensus-based optimisation beside cbx 1.0.4, the published tables, other methods, and the chain to gradient
descent.

    make peers                                # cbx, cma
    python benchmarks/consensus.py rastrigin  # d = 20, N = 40, 100 runs, 5,000 steps, cbx in the same run
    python benchmarks/consensus.py phases     # success by sigma and truncation (2310.16610)
    python benchmarks/consensus.py sampling   # variance ratios of consensus-based sampling
    python benchmarks/consensus.py fronts     # several objectives: distances to and from the front, 10 seeds
    python benchmarks/consensus.py suite      # four functions, d = 20, 100, 1,000 (--variables 20), equal evaluations
    python benchmarks/consensus.py expensive  # few evaluations: steps on the model's belief, the GP sampler, plain
    python benchmarks/consensus.py chain      # the terms between consensus-based optimisation and gradient descent
    python benchmarks/consensus.py device     # milliseconds of a step at (100, 1000, 200), on a GPU where there is one

Each writes benchmarks/results/consensus_<part>.json and prints it as its last line. One thread.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import workbench as wb
from problems import synthetic
from workbench.samplers.consensus.dynamics import (
    Dynamics,
    Swarm,
    chebyshev,
    consensus,
    hopped,
    log_weights,
    moved,
    sampled,
)
from workbench.samplers.consensus.swarming import Rules, Schedule, State, Stop, run

Array = NDArray[Any]
RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"
_TWO_PI = 2.0 * math.pi


def rastrigin(X: Tensor, depth: float = 10.0) -> Tensor:
    """sum x^2 + depth (1 - cos 2 pi x)."""
    return X.square().sum(-1) + depth * (X.shape[-1] - torch.cos(_TWO_PI * X).sum(-1))


def ackley(X: Tensor) -> Tensor:
    """-20 exp(-0.2 |x| / sqrt d) - exp(mean cos 2 pi x) + 20 + e."""
    root = X.square().mean(-1).sqrt()
    return -20.0 * torch.exp(-0.2 * root) - torch.exp(torch.cos(_TWO_PI * X).mean(-1)) + 20.0 + math.e


def griewank(X: Tensor) -> Tensor:
    """|x|^2 / 4000 - prod cos(x_i / sqrt i) + 1."""
    i = torch.arange(1, X.shape[-1] + 1, dtype=X.dtype, device=X.device).sqrt()
    return X.square().sum(-1) / 4000.0 - torch.cos(X / i).prod(-1) + 1.0


def salomon(X: Tensor) -> Tensor:
    """1 - cos 2 pi |x| + |x| / 10."""
    r: Tensor = X.norm(dim=-1)
    return 1.0 - torch.cos(_TWO_PI * r) + 0.1 * r


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "rastrigin": rastrigin, "ackley": ackley, "griewank": griewank, "salomon": salomon,
}  # fmt: skip
NOTEBOOK = Rules(Dynamics(noise=10.1), Schedule(30.0, 1.05, 1e5), Stop(steps=5000))


def ended(f: Callable[[Tensor], Tensor], X: Tensor, rules: Rules, generator: torch.Generator) -> State:
    """The state after the last step."""
    for state in run(f, X, rules, generator):
        found = state
    return found


def peer(name: str, *sizes: float) -> dict[str, Any]:
    """A run of cbx in its own environment; sizes as `peers/with_cbx.py` takes them."""
    words = [str(PEERS), str(ROOT / "benchmarks/peers/with_cbx.py"), name, *map(str, sizes)]
    found: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return found


def measured(problem: Any) -> Callable[[Any], Any]:
    """A problem as a function of a trial."""
    return lambda trial: problem.evaluate(trial.params)


# -- parts ------------------------------------------------------------------------------------------


def against_cbx(seeds: int) -> dict[str, Any]:
    """Seconds and successes of 100 runs, ours and theirs in turn."""
    out: dict[str, Any] = {"cbx": [], "float32": [], "float64": []}
    for seed in range(seeds):
        theirs = peer("rastrigin", 20, 40, 100, 5000, seed)
        out["cbx"].append([theirs["seconds"], theirs["success"]])
        for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
            generator = torch.Generator().manual_seed(seed)
            X = torch.rand(100, 40, 20, generator=generator, dtype=dtype) * 6 - 3
            began = time.perf_counter()
            end = ended(rastrigin, X, NOTEBOOK, generator)
            seconds = time.perf_counter() - began
            out[name].append([seconds, float((end.best.abs().amax(dim=1) < 0.25).double().mean())])
        print(seed, {name: runs[-1] for name, runs in out.items()}, flush=True)
    base = np.median([row[0] for row in out["cbx"]])
    out |= {
        f"{name} of cbx's time": float(np.median([row[0] for row in out[name]]) / base)
        for name in ("float32", "float64")
    }
    return out


def phases(seeds: int) -> dict[str, Any]:
    """Share of 100 runs with f(c) < 0.1, Rastrigin in d = 4, by sigma and truncation."""
    paper = {0.2: (0.32, 0.28, 0.47), 0.5: (0.70, 0.71, 0.70), 0.7: (0.81, 0.92, 0.87), 1.0: (0.89, 1.0, 1.0),
             1.2: (0.02, 1.0, 1.0), 1.5: (0.0, 1.0, 0.75), 2.0: (0.0, 0.98, 0.12)}  # fmt: skip
    out: dict[str, Any] = {}
    for sigma, published in paper.items():
        for truncation, theirs in zip((math.inf, 1.0, 5.0), published, strict=True):
            generator = torch.Generator().manual_seed(7)
            X = 1 + math.sqrt(2000.0) * torch.randn(100, 100, 4, generator=generator, dtype=torch.float64)
            dynamics = Dynamics(noise=sigma, kind="isotropic", truncation=truncation)
            end = ended(
                lambda X: rastrigin(X, 2.5),
                X,
                Rules(dynamics, Schedule(1e5, 1.0), Stop(steps=5000), allow_unstable=True),
                generator,
            )
            ours = float((rastrigin(end.c, 2.5)[:, 0] < 0.1).double().mean())
            out[f"sigma {sigma}, truncation {truncation}"] = {"ours": ours, "paper": theirs}
            print(f"sigma {sigma}, truncation {truncation}: {ours:.2f}, paper {theirs:.2f}", flush=True)
    return out


def sampling(seeds: int) -> dict[str, Any]:
    """Variance of the ensemble over that of the target diag(1, 4), averaged over 500 steps."""
    target, out = torch.tensor([1.0, 4.0], dtype=torch.float64), {}
    for exponential in (True, False):
        for dt in (0.1, 0.5):
            generator, ratios = torch.Generator().manual_seed(0), []
            X = torch.randn(1, 2000, 2, generator=generator, dtype=torch.float64)
            dynamics = Dynamics(dt=dt, kind="covariance", sampling=True, exponential=exponential)
            for step in range(600):
                logits = log_weights(0.5 * (X.square() / target).sum(-1), 1.0)
                X = sampled(X, logits, 1.0, dynamics, torch.randn(X.shape, generator=generator, dtype=X.dtype))
                if step >= 100:
                    ratios.append((X.var(dim=1)[0] / target).tolist())
            theory = 1.0 if exponential else 4.0 / (2.0 - dt) - 1.0
            name = f"{'exponential' if exponential else 'Euler'} step, dt {dt}"
            out[name] = {"ratio": np.mean(ratios, axis=0).tolist(), "theory": theory}
            print(name, out[name], flush=True)
    return out


def fronts(seeds: int) -> dict[str, Any]:
    """Mean distances to (GD) and from (IGD) the front of (mean x^2, mean (x - 1)^2), and of the Chebyshev points."""
    w1 = torch.linspace(0.01, 0.99, 100, dtype=torch.float64)
    weights = torch.stack([w1, 1 - w1], dim=-1)[None]
    f1 = np.linspace(0, 1, 4001)
    front, rows = np.stack([f1, (1 - np.sqrt(f1)) ** 2], axis=1), []
    ideal = torch.zeros(1, 2, dtype=torch.float64)

    def both(X: Tensor) -> Tensor:
        return torch.stack([X.square().mean(-1), (X - 1).square().mean(-1)], dim=-1)

    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        X = torch.rand(1, 100, 2, generator=generator, dtype=torch.float64) * 4 - 2
        for _ in range(1000):
            c = consensus(X, log_weights(chebyshev(both(X), weights, ideal), 1e5))
            normals = torch.randn(X.shape, generator=generator, dtype=X.dtype)
            X, _ = moved(Swarm.at(X, X[..., 0]), c, Dynamics(noise=4.0), normals)
        c = consensus(X, log_weights(chebyshev(both(X), weights, ideal), 1e5))[0]
        t = torch.sqrt(1 - w1) / (torch.sqrt(w1) + torch.sqrt(1 - w1))
        gaps = np.linalg.norm(both(X)[0].numpy()[:, None] - front[None], axis=-1)
        off = (c - t[:, None]).abs().amax(-1)
        rows.append([float(gaps.min(1).mean()), float(gaps.min(0).mean()), float(off.median()), float(off.max())])
    names = ("GD", "IGD", "median error of c", "largest error of c")
    return {name: np.array(rows)[:, i].tolist() for i, name in enumerate(names)}


class _Watch:
    """A function that notes the least value of its first so many evaluations, for each mark.

    Args:
        f: Values (n,) of positions (n, d).
        marks: Evaluations, ascending.
    """

    def __init__(self, f: Callable[[Tensor], Tensor], marks: Array) -> None:
        self._f, self._marks = f, marks
        self._spent, self._least = 0, math.inf
        self.best = np.full(len(marks), np.nan)

    def __call__(self, X: Any) -> Array:
        e = self._f(torch.as_tensor(np.asarray(X))).numpy()
        low = np.minimum(np.minimum.accumulate(e), self._least)
        inside = (self._marks > self._spent) & (self._marks <= self._spent + len(e))
        self.best[inside] = low[self._marks[inside] - self._spent - 1]
        self._spent, self._least = self._spent + len(e), float(low[-1])
        return e

    def ended(self) -> Array:
        """Values at the marks; those that were not reached have the last one."""
        return np.where(np.isnan(self.best), self._least, self.best)


@dataclass(frozen=True)
class Arena:
    """A function of the suite in a box of its usual width, whose middle lies elsewhere in every run.

    The minimum is at 0 and the box is half [-1, 1]^d + o with o uniform in half [-1/2, 1/2]^d: a method that is drawn
    to the middle of its start has nothing of it.

    Args:
        name: Of `FUNCTIONS`.
        d: Variables.
        evaluations: Of a run.
    """

    name: str
    d: int
    evaluations: int

    @property
    def half(self) -> float:
        """Half the width of the box."""
        return {"rastrigin": 5.12, "ackley": 32.768, "griewank": 600.0, "salomon": 100.0}[self.name]

    @property
    def marks(self) -> Array:
        """Evaluations at which a run is looked at."""
        return np.unique(np.geomspace(100, self.evaluations, 16).astype(int))

    def middle(self, seed: int) -> Array:
        """Of the box of a run, shape (d,)."""
        return np.asarray(np.random.default_rng([7, seed]).uniform(-0.5, 0.5, self.d) * self.half)

    def watch(self) -> _Watch:
        """The function, watched."""
        return _Watch(FUNCTIONS[self.name], self.marks)

    def stepped(self, evaluations: Any, least: Any) -> Array:
        """Least values (runs, marks) of runs that were seen after `evaluations` (steps,) at `least` (steps, runs)."""
        at = np.searchsorted(np.asarray(evaluations), self.marks, side="right") - 1
        return np.asarray(least)[np.maximum(at, 0)].T


def _by_study(arena: Arena, runs: int) -> Array:
    """`cbo` as it is, through a study."""
    found = []
    for seed in range(runs):
        middle, seen = arena.middle(seed), arena.watch()

        def fn(columns: Any, middle: Array = middle, seen: _Watch = seen) -> Array:
            return seen(middle + arena.half * (2.0 * columns["x"] - 1.0))

        space = wb.Space([wb.Vector("x", arena.d, prior="uniform")])
        study = wb.create_study("s", space, [wb.Objective("y", noise="none")], sampler="cbo", seed=seed)
        study.optimize(fn, vectorized=True, evaluations=arena.evaluations, keep=1, progress=False)
        found.append(seen.ended())
    return np.array(found)


def _by_engine(arena: Arena, runs: int) -> Array:
    """The engine in the setting of cbx's notebook: all runs at once, no walls, no restart."""
    N = _notebook_size(arena)
    generator = torch.Generator().manual_seed(1)
    middles = torch.as_tensor(np.stack([arena.middle(seed) for seed in range(runs)]))[:, None]
    X = middles + arena.half * (2 * torch.rand(runs, N, arena.d, generator=generator, dtype=torch.float64) - 1)
    rules = replace(NOTEBOOK, stop=Stop(evaluations=arena.evaluations))
    seen = [(state.evaluations, state.least.numpy()) for state in run(FUNCTIONS[arena.name], X, rules, generator)]
    return arena.stepped([row[0] for row in seen], [row[1] for row in seen])


def _by_cbx(arena: Arena, runs: int) -> Array:
    """cbx in the setting of its notebook, all runs at once."""
    N = _notebook_size(arena)
    steps = arena.evaluations // N
    found = peer(arena.name, arena.d, N, runs, steps, 1, arena.half)
    return arena.stepped(N * np.arange(1, steps + 1), found["least"])


def _notebook_size(arena: Arena) -> int:
    return 40 if arena.d == 20 else 100


def _by_cma(arena: Arena, runs: int) -> Array:
    """pycma with BIPOP restarts; beyond 100 variables its covariance is kept diagonal, as one would at that size."""
    import cma

    found = []
    for seed in range(runs):
        seen = arena.watch()
        start = arena.middle(seed) + arena.half * np.random.default_rng(seed).uniform(-1, 1, arena.d)
        options = {
            "verbose": -9, "verb_log": 0, "maxfevals": arena.evaluations, "seed": seed + 1,
            "CMA_diagonal": arena.d > 100,
        }  # fmt: skip
        with warnings.catch_warnings():  # of variances that have grown far, once a generation
            warnings.simplefilter("ignore", UserWarning)
            cma.fmin2(
                None, start, 0.5 * arena.half, options, restarts=9, bipop=True,
                parallel_objective=lambda X, f=seen: f(X).tolist(),
            )  # fmt: skip
        found.append(seen.ended())
    return np.array(found)


def _by_evolution(arena: Arena, runs: int) -> Array:
    """scipy's differential evolution, 100 members in the box, a generation at a time."""
    from scipy.optimize import differential_evolution

    found, members = [], 100
    for seed in range(runs):
        seen, middle, rng = arena.watch(), arena.middle(seed), np.random.default_rng(seed)
        bounds = [(m - arena.half, m + arena.half) for m in middle.tolist()]
        differential_evolution(
            lambda X, f=seen: f(X.T), bounds, init=middle + arena.half * rng.uniform(-1, 1, (members, arena.d)),
            maxiter=arena.evaluations // members - 1, rng=rng, polish=False, tol=0.0, atol=-1.0, vectorized=True,
            updating="deferred",
        )  # fmt: skip
        found.append(seen.ended())
    return np.array(found)


METHODS: dict[str, Callable[[Arena, int], Array]] = {
    "cbo": _by_study, "cbo, cbx's setting": _by_engine, "cbx": _by_cbx, "BIPOP-CMA-ES": _by_cma,
    "differential evolution": _by_evolution,
}  # fmt: skip
TARGETS = 10.0 ** np.linspace(2, -8, 51)
SIZES = {20: 100_000, 100: 100_000, 1000: 20_000}  # d -> evaluations


def suite(seeds: int, variables: Sequence[int] = tuple(SIZES)) -> dict[str, Any]:
    """Four functions at equal evaluations: success (below 1e-2), median, and the share of targets reached at marks.

    Targets are 51 from 1e2 to 1e-8 (ECDF over targets and runs). What the record has is not run again: delete
    the record to begin anew.
    """
    settings = {"seeds": seeds, "evaluations": {str(d): n for d, n in SIZES.items()}}
    before = RESULTS / "consensus_suite.json"
    out = json.loads(before.read_text()) if before.exists() else {}
    if any(out.get(name) != value for name, value in settings.items()):
        out = dict(settings)
    for d in variables:
        for name in FUNCTIONS:
            arena = Arena(name, d, SIZES[d])
            cell = out.setdefault(f"{name}, d = {d}", {})
            for who, method in METHODS.items():
                if who in cell:
                    continue
                best = method(arena, seeds)
                cell[who] = {
                    "success": float((best[:, -1] < 1e-2).mean()),
                    "median": float(np.median(best[:, -1])),
                    "reached": np.round((best[..., None] <= TARGETS).mean(axis=(0, 2)), 4).tolist(),
                }
                print(f"{name}, d = {d}, {who}: {cell[who]}", flush=True)
                _keep("suite", out)
    return out | {"share of targets": _shares(out)}


def _shares(out: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Of targets reached at the end, by d and method, over the four functions."""
    return {
        f"d = {d}": {
            who: round(float(np.mean([out[f"{name}, d = {d}"][who]["reached"][-1] for name in FUNCTIONS])), 4)
            for who in METHODS
        }
        for d in _whole(out)
    }


def _whole(out: Mapping[str, Any]) -> list[int]:
    """Numbers of variables for which a record has every function and method."""
    return [d for d in SIZES if all(METHODS.keys() <= out.get(f"{name}, d = {d}", {}).keys() for name in FUNCTIONS)]


def suite_table(found: Mapping[str, Any]) -> str:
    """The record of `suite` as two tables in Markdown: successes with medians, and the share of targets at marks.

    What is not whole yet is left out.
    """
    seeds = found["seeds"]
    rows = [f"| | {' | '.join(METHODS)} |", f"|---|{'---|' * len(METHODS)}"]
    for d in SIZES:
        for name in FUNCTIONS:
            cell = found.get(f"{name}, d = {d}", {})
            if not METHODS.keys() <= cell.keys():
                continue
            said = [f"{cell[who]['success'] * seeds:.0f} ({cell[who]['median']:.3g})" for who in METHODS]
            rows.append(f"| {name}, d = {d} | {' | '.join(said)} |")
    rows += ["", f"| | {' | '.join(METHODS)} |", f"|---|{'---|' * len(METHODS)}"]
    for d in _whole(found):
        marks = Arena("rastrigin", d, SIZES[d]).marks
        for at in (len(marks) // 2, -4, -1):
            shares = [np.mean([found[f"{name}, d = {d}"][who]["reached"][at] for name in FUNCTIONS]) for who in METHODS]
            rows.append(f"| d = {d}, {marks[at]:,} evaluations | {' | '.join(f'{share:.2f}' for share in shares)} |")
    return "\n".join(rows)


def expensive(seeds: int) -> dict[str, Any]:
    """Mean log10 regret after up to 500 evaluations. What the record has is not run again, as in `suite`."""
    marks = [50, 100, 200, 500]
    settings = {"seeds": seeds, "after": marks}
    before = RESULTS / "consensus_expensive.json"
    out = json.loads(before.read_text()) if before.exists() else {}
    if any(out.get(name) != value for name, value in settings.items()):
        out = dict(settings)
    for problem in (synthetic.hartmann6(), synthetic.ackley(5), synthetic.rosenbrock(4)):
        for name, spec in (
            ("plain cbo", {"name": "cbo"}),
            ("10 steps on the belief", {"name": "cbo", "options": {"surrogate_steps": 10}}),
            ("gp", {"name": "gp"}),
        ):
            cell = f"{problem.name}: {name}"
            if cell in out:
                continue
            rows = []
            for seed in range(seeds):
                study = wb.create_study(
                    "s", problem.space, problem.objectives, sampler=spec, seed=seed, budget=marks[-1]
                )  # fmt: skip
                study.optimize(measured(problem), until=marks[-1], progress=False)
                values = np.minimum.accumulate([next(iter(trial.values.values())) for trial in study.trials])
                rows.append([math.log10(max(values[mark - 1] - float(problem.optimum), 1e-12)) for mark in marks])
            out[cell] = np.mean(rows, axis=0).tolist()
            print(cell, out[cell], flush=True)
            _keep("expensive", out)
    return out


def chain(seeds: int) -> dict[str, Any]:
    """The terms between consensus-based optimisation and a gradient step, each with its predicted order.

    On f = x'Ax / 2, A = diag(1, 4), from x = (1, 1). |lambda - 1/dt| and sigma sqrt dt: of a step of the particles away
    from the hop; sqrt(tau / alpha): of the soft minimum away from the proximal step, on a function with a cubic part;
    N^-1/2: of a finite swarm.
    """
    A, x = torch.tensor([1.0, 4.0], dtype=torch.float64), torch.ones(1, 1, 2, dtype=torch.float64)
    out: dict[str, Any] = {}

    def slope(sizes: list[float], errors: list[float]) -> float:
        return float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])

    def quadratic(X: Tensor) -> Tensor:
        return 0.5 * (A * X.square()).sum(-1)

    def record(name: str, sizes: list[float], errors: list[float], predicted: float) -> None:
        out[name] = {"sizes": sizes, "errors": errors, "slope": slope(sizes, errors), "predicted": predicted}
        print(f"{name}: slope {out[name]['slope']:.2f}, predicted {predicted:g}", flush=True)

    generator = torch.Generator().manual_seed(0)

    def normals(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    exact, errors = x[0, 0] / (1 + 0.01 * A), []
    sizes = [100.0, 400.0, 1600.0, 6400.0]
    for N in sizes:
        hops = hopped(x.expand(400, 1, 2), 0.1, normals(400, int(N), 2))
        c = consensus(hops, log_weights(quadratic(hops), 1.0))[:, 0]
        errors.append(float((c - exact).square().sum(-1).mean().sqrt()))
    record("particles, N^-1/2", sizes, errors, -0.5)

    cloud = hopped(x, 0.1, normals(1, 2000, 2))
    c = consensus(cloud, log_weights(quadratic(cloud), 1.0))
    sizes, errors = [8.0, 4.0, 2.0, 1.0], []
    for gap in sizes:  # how far the particles end from the hop's
        X, _ = moved(Swarm.at(cloud, cloud[..., 0]), c, Dynamics(100.0 - gap, 0.0, 0.01), torch.zeros_like(cloud))
        errors.append(float((X - c).norm(dim=-1).mean()))
    record("drift, |lambda - 1/dt|", sizes, errors, 1.0)

    sizes, errors = [0.8, 0.4, 0.2, 0.1], []
    for width in sizes:
        xi = normals(1, 2000, 2)
        X, _ = moved(Swarm.at(cloud, cloud[..., 0]), c, Dynamics(100.0, width / 0.1, 0.01), xi)
        errors.append(float((X - c).norm(dim=-1).mean()))
    record("noise, sigma sqrt dt", sizes, errors, 1.0)

    # One variable, f = x^2/2 + x^3/6: the soft minimum by quadrature, the proximal point by Newton's method.
    nodes = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    tau, at = 0.1, 1.0
    prox = at
    for _ in range(50):
        prox -= (prox + prox**2 / 2 + (prox - at) / tau) / (1 + prox + 1 / tau)
    sizes, errors = [], []
    for alpha in (100.0, 400.0, 1600.0, 6400.0):
        s = math.sqrt(tau / alpha)
        y = at + s * nodes + (prox - at)
        logits = -alpha * (y**2 / 2 + y**3 / 6) - (y - at) ** 2 / (2 * s * s)
        error = abs(float((torch.softmax(logits, 0) * y).sum()) - prox)
        sizes.append(tau / alpha)
        errors.append(error)
    record("soft minimum, tau / alpha (bound: its root)", sizes, errors, 1.0)

    sizes, errors = [0.08, 0.04, 0.02, 0.01], []
    for tau in sizes:  # the proximal step away from the gradient step
        errors.append(float((1.0 / (1.0 + tau * A) - (1.0 - tau * A)).norm()))
    record("proximal step, tau^2", sizes, errors, 2.0)
    return out


def device(seeds: int) -> dict[str, Any]:
    """Milliseconds of a step of (100, 1000, 200) in float32."""
    where = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(where).manual_seed(0)
    X = torch.rand(100, 1000, 200, generator=generator, device=where) * 6 - 3
    steps, taken = (500 if where == "cuda" else 5), []
    for state in run(rastrigin, X, Rules(Dynamics(noise=10.1), Schedule(30.0), Stop(steps=steps)), generator):
        if state.step in (steps // 5, steps):
            if where == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter())
    return {"device": where, "milliseconds": 1e3 * (taken[1] - taken[0]) / (steps - steps // 5)}


PARTS: dict[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "rastrigin": (against_cbx, 3), "phases": (phases, 1), "sampling": (sampling, 1), "fronts": (fronts, 10),
    "suite": (suite, 6), "expensive": (expensive, 5), "chain": (chain, 1), "device": (device, 1),
}  # fmt: skip


def _keep(part: str, found: dict[str, Any]) -> dict[str, Any]:
    whole = {"part": part, **found}
    (RESULTS / f"consensus_{part}.json").write_text(json.dumps(whole, indent=1) + "\n")
    return whole


def main() -> None:
    """Measure the parts that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--variables", type=int, nargs="+", choices=SIZES, help="of the suite; all of them if not said")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for part in chosen.parts:
        measure, usual = PARTS[part]
        if part == "suite" and chosen.variables:
            measure = partial(suite, variables=chosen.variables)
        print(json.dumps(_keep(part, measure(chosen.seeds or usual))))


if __name__ == "__main__":
    main()
