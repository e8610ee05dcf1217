"""HEBO at its defaults; it infers the noise. Its random start is replaced by the shared design.

With measured limits it is `GeneralBO` of the same package, since `HEBO` knows none. It knows no conditional parameters
either: it always sets them, what is inactive is left out of the trial, and told as it was set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import choices, excess, goals, parameters, signs, versions
from hebo.acq_optimizers import evolution_optimizer
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers.general import GeneralBO
from hebo.optimizers.hebo import HEBO

_minimize = evolution_optimizer.minimize


def _seeded(*arguments: Any, **options: Any) -> Any:
    """pymoo's `minimize` as HEBO calls it, but seeded: else it draws from the machine, whatever HEBO's seed is."""
    return _minimize(*arguments, **{"seed": int(np.random.randint(2**31)), **options})  # noqa: NPY002


evolution_optimizer.minimize = _seeded


class Peer:
    """One HEBO optimizer; it draws from the global generators."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("HEBO", "torch", "gpytorch", "pymoo", "numpy")
        (self._goal,) = goals(hello)
        (self._sign,) = signs([self._goal])
        self._listed, self._hello = parameters(hello, conditional=True, limits=True), hello
        self._set = {p["name"]: _middle(p) for p in self._listed}  # what inactive parameters are told as
        np.random.seed(hello["seed"] % 2**32)  # noqa: NPY002  # what HEBO draws from
        torch.manual_seed(hello["seed"])
        space = DesignSpace().parse([_declared(p) for p in self._listed])
        limits = sum(limit[end] is not None for limit in hello["constraints"] for end in ("lower", "upper"))
        self._optimizer = (
            GeneralBO(space, num_constr=limits, rand_sample=2)
            if limits
            else HEBO(space, rand_sample=2, scramble_seed=hello["seed"])
        )

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Observe the initial design."""
        for trial in trials:
            self.tell(trial["params"], trial["values"])

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """One suggestion."""
        row = self._optimizer.suggest(n_suggestions=1).iloc[0]
        self._set = {p["name"]: _value(p, row[p["name"]]) for p in self._listed}
        params: dict[str, Any] = {}
        for p in self._listed:
            if all(params.get(parent) in allowed for parent, allowed in (p.get("when") or {}).items()):
                params[p["name"]] = self._set[p["name"]]
        return params, None

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Observe one value."""
        frame = pd.DataFrame([self._set | dict(params)])[[p["name"] for p in self._listed]]
        row = [self._sign * values[self._goal["name"]], *excess(self._hello, values)]
        observe = self._optimizer.observe_new_data if len(row) > 1 else self._optimizer.observe
        observe(frame, np.array([row]))

    def recommend(self) -> None:
        """The best observed point."""


def _declared(p: Mapping[str, Any]) -> dict[str, Any]:
    name = {"name": p["name"]}
    if p["kind"] == "bool":
        return name | {"type": "bool"}
    if (listed := choices(p)) is not None:
        return name | {"type": "cat", "categories": listed}
    kinds = {("float", False): "num", ("float", True): "pow", ("int", False): "int", ("int", True): "pow_int"}
    return name | {"type": kinds[p["kind"], bool(p.get("log"))], "lb": p["low"], "ub": p["high"]}


def _middle(p: Mapping[str, Any]) -> Any:
    if (listed := choices(p)) is not None:
        return listed[0]
    middle = math.sqrt(p["low"] * p["high"]) if p.get("log") else (p["low"] + p["high"]) / 2
    return _value(p, middle)


def _value(p: Mapping[str, Any], value: Any) -> Any:
    """As the space has it; HEBO's scaling may leave the bounds by a rounding error."""
    if (listed := choices(p)) is not None:
        return listed[listed.index(value)]
    number = min(p["high"], max(p["low"], float(value)))
    if p.get("step"):
        number = p["low"] + round((number - p["low"]) / p["step"]) * p["step"]
    return round(number) if p["kind"] == "int" else number
