"""Runs of cbx 1.0.4 by themselves, in the peers' environment: seconds and successes as one line of JSON.

    .venv-peers/bin/python benchmarks/peers/with_cbx.py FUNCTION D PARTICLES RUNS STEPS SEED [HALF]

All runs begin in [-3, 3]^d; with HALF in a box half [-1, 1]^d + o, with o of each run as in `benchmarks/consensus.py`;
then the least values after each step are given too, shape (STEPS, RUNS).

The setting of its own notebook `success_evaluation`: anisotropic noise, sigma 10.1, alpha 30 growing by 1.05 a step up
to 1e5, dt 0.01, all runs at once, the objective vectorised (f_dim="3D").
"""

from __future__ import annotations

import json
import sys
import time

import cbx.scheduler
import numpy as np
from cbx.dynamics import CBO


def rastrigin(X):
    return (X**2 - 10 * np.cos(2 * np.pi * X) + 10).sum(axis=-1)


def ackley(X):
    root = np.sqrt((X**2).mean(axis=-1))
    return -20 * np.exp(-0.2 * root) - np.exp(np.cos(2 * np.pi * X).mean(axis=-1)) + 20 + np.e


def griewank(X):
    i = np.sqrt(np.arange(1, X.shape[-1] + 1))
    return (X**2).sum(axis=-1) / 4000 - np.cos(X / i).prod(axis=-1) + 1


def salomon(X):
    r = np.sqrt((X**2).sum(axis=-1))
    return 1 - np.cos(2 * np.pi * r) + 0.1 * r


FUNCTIONS = {"rastrigin": rastrigin, "ackley": ackley, "griewank": griewank, "salomon": salomon}


def main() -> None:
    name, (d, particles, runs, steps, seed) = sys.argv[1], map(int, sys.argv[2:7])
    f = FUNCTIONS[name]
    half = float(sys.argv[7]) if len(sys.argv) > 7 else None
    X = np.random.default_rng(seed).uniform(-1, 1, (runs, particles, d)) * (half or 3.0)
    if half is not None:
        X += np.array([np.random.default_rng([7, run]).uniform(-0.5, 0.5, (1, d)) * half for run in range(runs)])
    least = []
    np.random.seed(seed)  # noqa: NPY002 - the generator that cbx draws from
    began = time.perf_counter()
    dynamics = CBO(
        f, x=X, f_dim="3D", noise="anisotropic", sigma=10.1, lamda=1.0, alpha=30.0, dt=0.01, max_it=steps,
        term_criteria=[], track_args={"names": []}, verbosity=0, batch_args=None,
    )  # fmt: skip
    schedule = cbx.scheduler.multiply(factor=1.05, maximum=1e5)
    for _ in range(steps):
        dynamics.step()
        if half is not None:
            least.append(np.array(dynamics.best_energy).reshape(runs).tolist())
        schedule.update(dynamics)
    seconds = time.perf_counter() - began
    best = np.asarray(dynamics.best_particle).reshape(runs, d)
    energy = np.asarray(dynamics.best_energy).reshape(runs)
    success = float((np.abs(best).max(axis=1) < 0.25).mean())
    print(json.dumps({"seconds": seconds, "success": success, "best": energy.tolist(), "least": least}))


if __name__ == "__main__":
    main()
