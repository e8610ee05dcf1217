"""One of our samplers behind the pipe: `python -m workbench.bench.serve '{"name": "gp"}'`."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from workbench.bench import wire
from workbench.build import create_study
from workbench.errors import UnsupportedError, WorkbenchWarning
from workbench.problem import constraint_from_json, objective_from_json
from workbench.space import Space
from workbench.trial import Trial


class Ours:
    """A study in memory that is asked and told."""

    def __init__(self, spec: Mapping[str, Any], hello: Mapping[str, Any]) -> None:
        self.versions: Mapping[str, str] = _versions(spec)
        self._study = create_study(
            "bench",
            Space.from_json(hello["space"]),
            [objective_from_json(goal) for goal in hello["objectives"]],
            [constraint_from_json(limit) for limit in hello["constraints"]],
            sampler=spec,
            seed=hello["seed"],
            budget=hello["evaluations"],
        )
        self._trial: Trial | None = None

    def start(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Attach the initial design."""
        for trial in trials:
            self._study.attach(trial["params"], trial["values"])

    def ask(self) -> tuple[Mapping[str, Any], str | None]:
        """The next trial's parameters, and the sampler that its meta names."""
        try:
            self._trial = self._study.ask()
        except UnsupportedError as error:
            raise wire.Refused(str(error)) from error
        meta = self._trial.meta
        source = str(meta.get("sampler"))
        return self._trial.params, f"{source} {meta['fit']}" if "fit" in meta else source

    def tell(self, params: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Tell the trial that was asked last."""
        if self._trial is None:
            raise wire.Refused("tell follows an ask; ask first")
        self._study.tell(self._trial, dict(values))

    def recommend(self) -> Mapping[str, Any] | None:
        """None: the best observed point."""
        return None


def _versions(spec: Mapping[str, Any]) -> dict[str, str]:
    found = {"workbench": metadata.version("optimization-workbench")}
    if spec["name"] not in ("sobol", "random", "grid"):
        found |= {name: metadata.version(name) for name in ("torch", "numpy", "scipy")}
    return found


def main() -> None:
    """Serve the sampler that the first argument specifies, as JSON."""
    spec = json.loads(sys.argv[1])
    warnings.simplefilter("ignore", WorkbenchWarning)

    def make(hello: Mapping[str, Any]) -> wire.Served:
        try:
            return Ours(spec, hello)
        except UnsupportedError as error:
            raise wire.Refused(str(error)) from error

    wire.serve(make)


if __name__ == "__main__":
    main()
