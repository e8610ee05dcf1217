"""Let somebody find the emblem that they like, by picking the best of four a few times.

    python examples/rank_emblems.py

The somebody is simulated here: they like many blue petals. Put a page or a prompt in their place; what they see is
`question.pictures(…)`, stored with the study byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import workbench as wb
from problems.design import emblem
from problems.raters import Exact, answer


def liking(shown: Sequence[Mapping[str, Any]]) -> list[float]:
    """What the simulated person thinks of some emblems."""
    return [0.3 * params["petals"] - 10.0 * (params["hue"] - 0.6) ** 2 + params["width"] for params in shown]


def main() -> None:
    """Ask eight questions."""
    problem = emblem()
    study = wb.create_study("emblems", problem.space, problem.objectives, seed=3)
    for _ in range(8):
        question = study.feedback.next_question(4)
        question.pictures(problem.render)
        answer(question, Exact(liking), k=1)
    found = study.model().utility().recommend()
    first, best = liking([study.trials[0].params, found.params])
    print(f"{found.why}: {found.params['petals']} petals, hue {found.params['hue']:.2f}")
    print(f"liked {best:.2f}, the first emblem {first:.2f}")


if __name__ == "__main__":
    main()
