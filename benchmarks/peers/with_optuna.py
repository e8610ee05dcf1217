"""Optuna: GP, TPE, CMA-ES and NSGA-II samplers at their defaults.

The shared initial design takes the place of each sampler's own random start. `GPSampler` is told when
values are exact; a known standard deviation is not to be told, it infers the noise.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from common import choices, goals, limits, noise_sd, parameters, versions
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")


_LIMITS = "constraints"  # of a trial: how far each limit is exceeded; also the key under which Optuna keeps them


class Peer:
    """One Optuna study in memory."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("optuna", "numpy", "scipy", *(["torch"] if variant == "gp" else []))
        if variant == "cmaes":
            self.versions |= versions("cmaes")
        self._listed = parameters(hello, conditional=True, constrained=variant in ("gp", "nsga2"))
        self._limits = limits(hello)
        self._goals = goals(hello, most=None)
        self._distributions = {p["name"]: _distribution(p) for p in self._listed}
        self._study = optuna.create_study(
            directions=[goal["direction"] for goal in self._goals], sampler=_sampler(variant, hello, self._goals)
        )
        self._trial: optuna.Trial | None = None

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Add the initial design as finished trials."""
        for trial in trials:
            held = {name: d for name, d in self._distributions.items() if name in trial["params"]}
            values = [trial["values"][goal["name"]] for goal in self._goals]
            attrs = {_LIMITS: self._excess(trial["values"])} if self._limits else {}
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=dict(trial["params"]), distributions=held, values=values, system_attrs=attrs
                )
            )

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """Ask for one trial; conditional parameters are suggested when their parents call for them."""
        if not any(p.get("when") for p in self._listed):
            self._trial = self._study.ask(self._distributions)
            return self._trial.params, None
        self._trial = self._study.ask()
        params: dict[str, Any] = {}
        for p in self._listed:
            if all(params.get(parent) in allowed for parent, allowed in (p.get("when") or {}).items()):
                params[p["name"]] = self._trial._suggest(p["name"], self._distributions[p["name"]])
        return params, None

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Tell the trial asked last."""
        if self._limits:
            self._trial.set_user_attr(_LIMITS, self._excess(values))
        self._study.tell(self._trial, [values[goal["name"]] for goal in self._goals])

    def _excess(self, values: Mapping[str, float]) -> list[float]:
        return [sign * (values[limit["name"]] - end) for limit, sign, end in self._limits]

    def recommend(self) -> None:
        """The best observed point."""


def _constraints(trial: Any) -> list[float]:
    found: list[float] = trial.user_attrs[_LIMITS]
    return found


def _sampler(variant: str, hello: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> Any:
    seed, start = hello["seed"], hello["start"]
    limited: dict[str, Any] = {"constraints_func": _constraints} if hello["constraints"] else {}
    if variant == "gp":
        exact = all(noise_sd(goal) == 0.0 for goal in listed)
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=start, deterministic_objective=exact, **limited)
    if variant == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=start)
    if variant == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=start)
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(2, start), **limited)


def _distribution(p: Mapping[str, Any]) -> BaseDistribution:
    if (listed := choices(p)) is not None:
        return CategoricalDistribution(listed)
    kind = IntDistribution if p["kind"] == "int" else FloatDistribution
    step = {"step": p["step"]} if p.get("step") else {}
    return kind(p["low"], p["high"], log=bool(p.get("log")), **step)
