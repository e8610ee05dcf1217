"""Studies side by side: which goals they share, which lines belong together, and where each one ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ui.presenters import runs
from workbench.plots.panels import panels
from workbench.study import Study
from workbench.trial import History

if TYPE_CHECKING:
    import pandas as pd

EACH, TAG, ALL = "Each study", "By first tag", "All as repeats"


def shared_goals(studies: Sequence[Study]) -> list[str]:
    """Names of the measured objectives that every one of the studies has."""
    names = [[goal.name for goal in study.history().measured] for study in studies]
    return [name for name in names[0] if all(name in others for others in names[1:])] if names else []


def groups(studies: Sequence[Study], how: str) -> dict[str, list[History]]:
    """Records by the line that they are part of."""
    found: dict[str, list[History]] = {}
    for study in studies:
        name = study.name
        if how == ALL:
            name = "all"
        elif how == TAG:
            name = next(iter(study.tags), "no tag")
        found.setdefault(name, []).append(study.history())
    return found


def final(studies: Sequence[Study], goal: str) -> pd.DataFrame:
    """One row a study: finished runs, best value, and runs since the last gain."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for study in studies:
        history = study.history()
        panel = panels(history, goal)[0]
        best = float(panel.values[panel.steps[-1]]) if panel.steps.size else None
        rows.append(
            {"Study": study.name, "Runs": int(history.finished.sum()), f"Best {panel.goal.name}": best,
             "Runs since the last gain": runs.since_gain(history), "Method": study.sampler.name}
        )  # fmt: skip
    return pd.DataFrame(rows)
