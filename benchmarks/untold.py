"""What it costs not to say how noisy an objective is, which is the default of `wb.Objective`.

    python benchmarks/untold.py [--seeds 15] [--workers 2] [--into FOLDER] [--out FILE]

*models*: Sobol points of a bowl with normal noise of sd 1, told as they come. The error of the posterior mean at 500
points, as a share of the bowl's standard deviation, and the log density of the bowl there under the model, in nats a
point above that of a normal variable with the bowl's moments; ours beside BoTorch's SingleTaskGP on the same values.
*searches*: `gp` on cases of `cases.py` and on noisier ones, told the noise and not, the same seeds and designs: decades
of regret of the true value where the best value was told. Last a line of JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import CASES
from rich.progress import track

import workbench as wb
from problems import synthetic
from workbench.bench import Case, Contestant, Order, run
from workbench.bench.figures import bootstrap

BOWLS = ((0.5, 2, 40), (1.0, 2, 20), (1.0, 2, 40), (1.0, 5, 80), (2.0, 2, 15), (2.0, 2, 40), (2.0, 5, 40), (4.0, 2, 20))
NOISY = (
    Case.of(synthetic.branin(40.0), 40),
    Case.of(synthetic.hartmann3(0.5), 40),
    Case.of(synthetic.hartmann6(0.5), 80),
    Case.of(synthetic.styblinski_tang(4, 30.0), 60),
)
POINTS = 500
FLOOR = 50.0  # nats a point of a miss at most, so that one that is far too sure does not decide the mean


@dataclass(frozen=True)
class Untold:
    """A problem of which nothing is said about the noise."""

    told: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "told"), name)

    @property
    def objectives(self) -> Sequence[wb.Objective]:
        """The same, of unknown noise."""
        return tuple(replace(goal, noise="unknown") for goal in self.told.objectives)

    def evaluate(self, params: Mapping[str, Any], rng: np.random.Generator | None = None) -> dict[str, float]:
        """The same values."""
        found: dict[str, float] = self.told.evaluate(params, rng)
        return found


# -- models ---------------------------------------------------------------------------------------------------


def quality(mean: np.ndarray, sd: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Error of a mean, shape (b,), and log density under a model, by what a normal variable of true's moments has."""
    unit = true.std()
    error = float(np.sqrt(((mean - true) ** 2).mean()) / unit)
    misses = np.minimum(0.5 * ((true - mean) / sd) ** 2, FLOOR)
    return error, float(0.5 - (misses + np.log(sd / unit)).mean())


def beside_botorch(ratio: float, d: int, n: int, seed: int) -> dict[str, tuple[float, float]]:
    """Both models of one bowl, whose standard deviation is `ratio` times that of the noise."""
    rng = np.random.default_rng([seed, d, n])
    best, weights = rng.random(d), rng.uniform(0.2, 1.2, d)
    space = wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(d)])
    X, Z = space.sobol(n, seed), rng.random((POINTS, d))
    unit = ((Z - best) ** 2 @ weights).std() / ratio
    y = (X - best) ** 2 @ weights / unit + rng.normal(size=n)
    true = (Z - best) ** 2 @ weights / unit
    study = wb.create_study("bowl", space, [wb.Objective("y", "minimize")], seed=seed)
    for params, value in zip(space.decode(X), y.tolist(), strict=True):
        study.attach(params, value)
    ours = study.model().predict(space.decode(Z))["y"]
    return {"gp": quality(*ours, true), "botorch": quality(*_botorch(X, y, Z), true)}


def _botorch(X: np.ndarray, y: np.ndarray, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = SingleTaskGP(torch.tensor(X), torch.tensor(y)[:, None])  # standardises outcomes by itself
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    with torch.no_grad():
        posterior = model.posterior(torch.tensor(Z))
        return posterior.mean[:, 0].numpy(), posterior.variance[:, 0].sqrt().numpy()


def models(seeds: int) -> list[dict[str, Any]]:
    """Medians of the errors, means of the densities."""
    rows = []
    for ratio, d, n in track(BOWLS, "Models of bowls"):
        found = [beside_botorch(ratio, d, n, seed) for seed in range(seeds)]
        row: dict[str, Any] = {"signal": ratio, "d": d, "n": n}
        for name in ("gp", "botorch"):
            errors, densities = np.array([pair[name] for pair in found]).T
            row[name] = {"error": round(float(np.median(errors)), 3), "density": round(float(densities.mean()), 3)}
        gaps = np.array([pair["gp"][1] - pair["botorch"][1] for pair in found])
        row["density_gap"] = [round(v, 3) for v in bootstrap([gaps], level=0.9)]
        rows.append(row)
    return rows


# -- searches -------------------------------------------------------------------------------------------------


def searches(seeds: int, into: Path | None, workers: int) -> list[dict[str, Any]]:
    """Decades of regret, untold minus told."""
    told = (*CASES, *NOISY)
    untold = tuple(replace(case, name=f"{case.name}-untold", problem=Untold(case.problem)) for case in told)
    result = run(Order((*told, *untold), (Contestant.of("gp"),), tuple(range(seeds)), into, workers=workers))
    rows = []
    for case, other in zip(told, untold, strict=True):
        ends = [{k: trace[-1] for k, trace in result.log_regrets(c, "gp").items()} for c in (case, other)]
        gaps = np.array([ends[1][seed] - ends[0][seed] for seed in sorted(ends[0].keys() & ends[1].keys())])
        medians = [round(float(np.median(list(end.values()))), 2) for end in ends]
        gap = [round(v, 2) for v in bootstrap([gaps], level=0.9)]
        rows.append({"case": case.name, "told": medians[0], "untold": medians[1], "gap": gap, "seeds": len(gaps)})
    return rows


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--into", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    found = {
        "models": models(arguments.seeds),
        "searches": searches(arguments.seeds, arguments.into, arguments.workers),
    }
    text = json.dumps(found)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
