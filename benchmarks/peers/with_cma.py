"""CMA-ES (pycma) in the unit cube with bounds: from the best point of the shared design, step size 0.25.

The candidates of a generation are handed out one by one. When it stops, it starts again from a random
point with twice the population.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cma
import numpy as np
from common import Cube, goals, signs, versions

_STEP = 0.25  # pycma's documentation: about a quarter of the width of the search domain


class Peer:
    """One strategy after the other."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("cma", "numpy")
        self._cube, (self._goal,) = Cube(hello), goals(hello)
        (self._sign,) = signs([self._goal])
        self._seed = hello["seed"]
        self._rng = np.random.default_rng(self._seed)
        self._strategy: Any = None
        self._restarts = 0
        self._told: list[tuple[Any, float]] = []
        self._waiting: list[Any] = []
        self._asked: Any = None

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Begin at the best point."""
        best = min(trials, key=lambda trial: self._sign * trial["values"][self._goal["name"]])
        self._begin(self._cube.encode(best["params"]))

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """The next candidate of the generation."""
        if not self._waiting:
            self._waiting = list(self._strategy.ask())
        self._asked = self._waiting.pop(0)
        return self._cube.decode(self._asked), None

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Learn one value; the strategy learns when the generation is whole."""
        self._told.append((self._asked, self._sign * values[self._goal["name"]]))
        if self._waiting:
            return
        self._strategy.tell([x for x, _ in self._told], [loss for _, loss in self._told])
        self._told = []
        if self._strategy.stop():
            self._restarts += 1
            self._begin(self._rng.random(len(self._cube)))

    def recommend(self) -> Mapping[str, Any] | None:
        """The mean of the search distribution, pycma's favourite."""
        favourite = self._strategy.result.xfavorite
        return None if favourite is None else self._cube.decode(favourite)

    def _begin(self, x: Sequence[float]) -> None:
        size = (4 + int(3 * np.log(len(self._cube)))) * 2**self._restarts  # Hansen 2016, table 1
        options = {"bounds": [0, 1], "seed": self._seed + 1 + self._restarts, "verbose": -9, "popsize": size}
        self._strategy = cma.CMAEvolutionStrategy(x, _STEP, options)
