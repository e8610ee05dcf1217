"""Scrambled Sobol points of scipy, and uniform random ones: what a search has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from common import Cube, goals, versions
from scipy.stats import qmc


class Peer:
    """Points that do not depend on values."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("scipy", "numpy")
        self._cube = Cube(hello)
        goals(hello, most=None)
        self._sobol = qmc.Sobol(len(self._cube), seed=hello["seed"]) if variant == "sobol" else None
        if self._sobol is not None:
            self._sobol.fast_forward(hello["start"])  # the shared design stands for the first points
        self._rng = np.random.default_rng(hello["seed"])

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Nothing to learn."""

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """The next point."""
        x = self._rng.random(len(self._cube)) if self._sobol is None else self._sobol.random(1)[0]
        return self._cube.decode(x), None

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Nothing to learn."""

    def recommend(self) -> None:
        """The best observed point."""
