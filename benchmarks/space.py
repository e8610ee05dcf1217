"""What points cost: a constrained mixture without blind rejection, and encoding and decoding.

    python benchmarks/space.py [--repeats 15]

One thread. The mixture has 10 parts and two inequalities that fewer than 1 in 1,000 uniform
mixtures meet. Each repetition makes the space anew, so that nothing is cached but imports.
Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

import workbench as wb

RULES = ["p0 + p1 + p2 >= 0.7", "p3 >= 0.05"]


def mixture() -> wb.Space:
    """10 parts of 1, names p0 … p9."""
    return wb.Space([wb.Simplex("mix", names=[f"p{i}" for i in range(10)])], RULES)


def acceptance(n: int = 200_000) -> float:
    """Share of uniform mixtures that meet the rules, by drawing them."""
    X = np.random.default_rng(0).dirichlet(np.ones(10), size=n)
    columns = {f"p{i}": X[:, i] for i in range(10)}
    return float(np.logical_and.reduce([rule.satisfied(columns) for rule in mixture().constraints]).mean())


def median_ms(action: Callable[[int], object], repeats: int) -> float:
    """Median milliseconds of action(i)."""
    times = []
    for i in range(repeats + 1):
        start = time.perf_counter()
        action(i)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])  # the first one imports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    space = wb.Space([wb.Float(f"x{i}", 1e-3, 1, log=i % 2 == 0) for i in range(4)] + [wb.Int("n", 1, 9), wb.Bool("b")])
    X = space.sobol(100_000, seed=0)
    points = space.decode(X)
    figures = {
        "acceptance": acceptance(),
        "mixture_10_points_ms": median_ms(lambda i: mixture().sobol(10, seed=i), repeats),
        "decode_100k_ms": median_ms(lambda i: space.decode(X), 3),
        "encode_100k_ms": median_ms(lambda i: space.encode(points), 3),
        "sobol_1_ms": median_ms(lambda i: space.sobol(1, seed=0, skip=i), repeats),
    }
    print(json.dumps({name: round(value, 5) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
