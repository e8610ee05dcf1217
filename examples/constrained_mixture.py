"""Plan a mixture in batches of four: three parts that sum to 100 g, under linear constraints."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import workbench as wb

SPACE = wb.Space(
    [
        wb.Simplex("mix", names=["water", "sugar", "acid"], total=100, bounds={"water": (40, 90)}),
        wb.Float("warmth", 20, 80, step=5, unit="°C"),
    ],
    constraints=["sugar >= 2*acid", "acid + 0.1*warmth <= 15"],
)


def sourness(mix: Mapping[str, float], warmth: float) -> float:
    """A made-up taste panel: how far the syrup is from 30 g sugar, 6 g acid, 50 °C."""
    return ((mix["sugar"] - 30) / 10) ** 2 + ((mix["acid"] - 6) / 2) ** 2 + ((warmth - 50) / 15) ** 2


def main() -> None:
    study = wb.create_study(
        "syrup",
        SPACE,
        objectives=[wb.Objective("off_taste", "minimize")],
        sampler="sobol",
        storage=sys.argv[1] if len(sys.argv) > 1 else None,
        seed=3,
        load_if_exists=True,
    )
    for _ in range(4):
        for trial in study.ask(4):  # four pots on the stove at once
            study.tell(trial, sourness(trial["mix"], trial["warmth"]))

    print("trial  water  sugar   acid   °C  off_taste")
    tasted = [trial for trial in study.trials if trial.state == "complete"]
    for trial in sorted(tasted, key=lambda trial: trial.values["off_taste"]):
        amounts = " ".join(f"{trial['mix'][part]:6.1f}" for part in ("water", "sugar", "acid"))
        print(f"{trial.number:5d} {amounts} {trial['warmth']:4.0f} {trial.values['off_taste']:10.2f}")


if __name__ == "__main__":
    main()
