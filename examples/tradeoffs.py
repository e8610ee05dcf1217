"""Two objectives that pull apart: the front, how sure it is, and a compromise chosen by a wish.

python examples/tradeoffs.py
"""

from __future__ import annotations

import numpy as np

import workbench as wb
from workbench import pareto


def measure(trial: wb.Trial) -> dict[str, float]:
    """A strong part is heavy; noise on top of the strength."""
    width, height = trial["width"], trial["height"]
    rng = np.random.default_rng(trial.number)
    return {"mass": 2.7e-3 * 200 * width * height, "strength": width * height**2 / 6 + rng.normal(0, 20)}


def main() -> None:
    """Measure 24 parts and decide for one."""
    space = wb.Space([wb.Float("width", 5, 20, unit="mm"), wb.Float("height", 5, 30, unit="mm")],
                     constraints=["height <= 4 * width"])  # fmt: skip
    study = wb.create_study(
        "beam",
        space,
        objectives=[
            wb.Objective("mass", "minimize", unit="g", noise="none", reference=320.0),
            wb.Objective("strength", "maximize", unit="mm^3", noise=20.0, threshold=200.0),
        ],
        seed=1,
    )
    study.optimize(measure, 24, progress=False)
    front = study.model().pareto_front()
    sure = dict(zip(front.trials.tolist(), front.probability.tolist(), strict=True))
    for trial in sorted(study.pareto_trials, key=lambda t: t.values["mass"]):
        mass, strength = trial.values["mass"], trial.values["strength"]
        print(f"trial {trial.number}: {mass:.0f} g, {strength:.0f} mm^3, on the front with {sure[trial.number]:.0%}")
    print(f"hypervolume {study.hypervolume():.4g}")
    history = study.history()
    wish = np.array([-100.0, 1500.0])  # at most 100 g, at least 1500 mm^3, as something to maximise
    best = pareto.chebyshev(history.Y, wish)
    chosen = study.choose(int(history.numbers[best]), reason="nearest to 100 g and 1500 mm^3")
    print(f"chosen: trial {chosen.number} with {chosen.params}")


if __name__ == "__main__":
    main()
