"""optuna-dashboard's preferential sampler, one message a line: for benchmarks/ranking.py.

As its pages use it: what was never called worse stays on, and new ones take the places of the others. Each answer is
reported as pairs (better, worse). It begins with the points that it is given.

    {"do": "begin", "space", "seed", "first": [params, ...], "k"}       -> {"versions"}
    {"do": "ask"}                            what is shown now, k points  -> {"shown": [[number, params], ...]}
    {"do": "judge", "pairs": [[better, worse], ...]}                      -> {}
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))  # last: for workbench.bench.wire alone

import optuna
from common import versions
from optuna.trial import TrialState
from optuna_dashboard.preferential import create_study
from optuna_dashboard.preferential.samplers.gp import PreferentialGPSampler
from with_optuna import _distribution


class Dashboard:
    """One preferential study in memory."""

    def begin(self, space: dict[str, Any], seed: int, first: list[dict[str, Any]], k: int) -> dict[str, Any]:
        """Make the study; the points of `first` are shown before any of its own."""
        self._distributions = {p["name"]: _distribution(p) for p in space["parameters"]}
        self._study = create_study(n_generate=k, sampler=PreferentialGPSampler(seed=seed))
        self._k = k
        for params in first:
            self._study.enqueue_trial(params)
        return {"versions": versions("optuna-dashboard", "optuna", "botorch", "gpytorch", "torch", "numpy")}

    def ask(self) -> dict[str, Any]:
        """The points that are shown now."""
        beaten = {worse.number for _, worse in self._study.preferences}
        shown = [
            [trial.number, trial.params]
            for trial in self._study.trials
            if trial.state != TrialState.WAITING and trial.number not in beaten
        ]
        while len(shown) < self._k:
            trial = self._study.ask(self._distributions)
            shown.append([trial.number, trial.params])
        return {"shown": shown}

    def judge(self, pairs: list[tuple[int, int]]) -> dict[str, Any]:
        """Report an answer."""
        trials = self._study.trials
        for better, worse in pairs:
            self._study.report_preference(trials[better], trials[worse])
        return {}


def main() -> None:
    """Serve {"do": operation, ...arguments} until the pipe ends; what libraries print goes to standard error."""
    outbox = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    served = Dashboard()
    for line in sys.stdin:
        message = json.loads(line)
        operation = getattr(served, message.pop("do"))
        try:
            answer = operation(**message)
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=outbox, flush=True)


if __name__ == "__main__":
    main()
