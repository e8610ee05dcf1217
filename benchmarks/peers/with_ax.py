"""Ax: its client with the default generation strategy ("fast": modular BoTorch), after the shared design."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
from common import choices, goals, noise_sd, parameters, versions

logging.getLogger("ax").setLevel(logging.ERROR)


class Peer:
    """One Ax experiment; names are replaced, since Ax reads objectives as formulas."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("ax-platform", "botorch", "gpytorch", "torch", "numpy", "scipy")
        listed = parameters(hello)
        self._names = {p["name"]: f"p{i}" for i, p in enumerate(listed)}
        self._goals = goals(hello, most=None)
        self._client = Client(random_seed=hello["seed"])
        self._client.configure_experiment(parameters=[_config(self._names[p["name"]], p) for p in listed])
        signed = [f"{'-' if goal['direction'] == 'minimize' else ''}y{i}" for i, goal in enumerate(self._goals)]
        self._client.configure_optimization(objective=", ".join(signed))
        self._client.configure_generation_strategy(
            method="fast", initialization_budget=hello["start"], initialization_random_seed=hello["seed"],
            initialize_with_center=False, min_observed_initialization_trials=1,
        )  # fmt: skip
        self._index = -1

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Attach the initial design; it counts as Ax's initialisation."""
        for trial in trials:
            self._index = self._client.attach_trial({self._names[k]: v for k, v in trial["params"].items()})
            self._complete(trial["values"])

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """The next trial."""
        ((self._index, params),) = self._client.get_next_trials(max_trials=1).items()
        return self._named(params), self._client._generation_strategy.current_node_name

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Complete the trial asked last."""
        self._complete(values)

    def recommend(self) -> Mapping[str, Any] | None:
        """Ax's own: by model predictions; None for several objectives."""
        if len(self._goals) > 1:
            return None
        return self._named(self._client.get_best_parameterization(use_model_predictions=True)[0])

    def _named(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {name: params[short] for name, short in self._names.items()}

    def _complete(self, values: Mapping[str, float]) -> None:
        data: dict[str, Any] = {}
        for i, goal in enumerate(self._goals):
            sd = noise_sd(goal)
            data[f"y{i}"] = values[goal["name"]] if sd is None else (values[goal["name"]], sd)
        self._client.complete_trial(self._index, raw_data=data)


def _config(name: str, p: Mapping[str, Any]) -> RangeParameterConfig | ChoiceParameterConfig:
    listed = choices(p)
    if listed is None:
        scaling = "log" if p.get("log") else "linear"
        return RangeParameterConfig(name, (p["low"], p["high"]), p["kind"], step_size=p.get("step"), scaling=scaling)
    kind = {bool: "bool", int: "int", float: "float"}.get(type(listed[0]), "str")
    return ChoiceParameterConfig(name, listed, kind, is_ordered=p["kind"] == "ordinal")
