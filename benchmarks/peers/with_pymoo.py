"""pymoo: NSGA-II and differential evolution in the unit cube; the shared design is the first population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from common import Cube, excess, goals, limited, signs, versions
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.core.problem import Problem


class Peer:
    """An algorithm whose candidates are handed out one by one."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("pymoo", "numpy")
        self._cube, self._hello = Cube(hello, limits=variant == "nsga2"), hello
        self._goals = goals(hello, most=None if variant == "nsga2" else 1)
        self._signs = signs(self._goals)
        self._kind = NSGA2 if variant == "nsga2" else DE
        self._seed, self._evaluations = hello["seed"], hello["evaluations"]
        self._algorithm: Any = None
        self._population: Any = None
        self._losses: list[list[float]] = []
        self._excess: list[list[float]] = []

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Give the initial design as the first generation."""
        X = np.array([self._cube.encode(trial["params"]) for trial in trials])
        self._algorithm = self._kind(pop_size=len(X), sampling=X)
        sizes = {"n_var": len(self._cube), "n_obj": len(self._goals), "n_ieq_constr": len(limited(self._hello))}
        problem = Problem(**sizes, xl=0.0, xu=1.0)
        self._algorithm.setup(problem, termination=("n_gen", 10**9), seed=self._seed, verbose=False)
        self._population = self._algorithm.ask()
        for trial in trials:
            self.tell(trial["params"], trial["values"])

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """The next candidate of the generation."""
        if self._population is None:
            self._population = self._algorithm.ask()
        return self._cube.decode(self._population[len(self._losses)].X), None

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Learn one value; the algorithm learns when the generation is whole."""
        self._losses.append([s * values[g["name"]] for s, g in zip(self._signs, self._goals, strict=True)])
        self._excess.append(excess(self._hello, values))
        if len(self._losses) == len(self._population):
            self._population.set("F", np.array(self._losses), "G", np.array(self._excess))
            for individual in self._population:
                individual.evaluated.update({"F", "G", "H"})
            self._algorithm.tell(infills=self._population)
            self._population, self._losses, self._excess = None, [], []

    def recommend(self) -> None:
        """The best observed point."""
