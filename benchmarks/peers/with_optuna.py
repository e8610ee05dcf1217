"""Optuna: GP, TPE, CMA-ES and NSGA-II samplers at their defaults.

The shared initial design takes the place of each sampler's own random start. `GPSampler` is told when
values are exact; a known standard deviation is not to be told, it infers the noise.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from common import choices, excess, goals, noise_sd, parameters, versions
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")

_EXCESS = "excess"  # attribute of a trial: how far it exceeds the measured limits


class Peer:
    """One Optuna study in memory."""

    def __init__(self, hello: Mapping[str, Any], variant: str) -> None:
        self.versions = versions("optuna", "numpy", "scipy", *(["torch"] if variant == "gp" else []))
        if variant == "cmaes":
            self.versions |= versions("cmaes")
        self._listed = parameters(hello, conditional=True, limits=variant in ("gp", "nsga2"))
        self._hello = hello
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
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=dict(trial["params"]), distributions=held, values=values,
                    user_attrs={_EXCESS: excess(self._hello, trial["values"])},
                    system_attrs={"constraints": excess(self._hello, trial["values"])},
                )
            )  # fmt: skip

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
        assert self._trial is not None
        self._trial.set_user_attr(_EXCESS, excess(self._hello, values))
        self._study.tell(self._trial, [values[goal["name"]] for goal in self._goals])

    def recommend(self) -> None:
        """The best observed point."""


def _sampler(variant: str, hello: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> Any:
    seed, start = hello["seed"], hello["start"]
    limits = (lambda trial: trial.user_attrs[_EXCESS]) if hello["constraints"] else None
    if variant == "gp":
        exact = all(noise_sd(goal) == 0.0 for goal in listed)
        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=start, deterministic_objective=exact, constraints_func=limits
        )
    if variant == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=start)
    if variant == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=start)
    # A generation of the size of the start: the default of 50 would leave budgets like these one generation.
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(2, start), constraints_func=limits)


def _distribution(p: Mapping[str, Any]) -> BaseDistribution:
    if (listed := choices(p)) is not None:
        return CategoricalDistribution(listed)
    kind = IntDistribution if p["kind"] == "int" else FloatDistribution
    step = {"step": p["step"]} if p.get("step") else {}
    return kind(p["low"], p["high"], log=bool(p.get("log")), **step)
