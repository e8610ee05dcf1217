"""Waiting trials, and which of them can still be given out once the space or a rejection has changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import InvalidValueError
from workbench.space import parse
from workbench.space.geometry import meets, variables
from workbench.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.trial import History


def shut(history: History, row: int) -> str | None:
    """Why a waiting trial cannot be given out any more, since the space or a rejection has changed; None if it can."""
    params, space = history.params(row), history.space
    try:
        point = space.check(params)
    except InvalidValueError as error:
        return str(error)
    if broken := space.violations(point):
        return f"it breaks {' and '.join(broken)}"
    return avoided(history, space.encode([point])[0], since=history.rows[row].created)


def avoided(history: History, x: NDArray[np.float64], since: float = -math.inf) -> str | None:
    """Which condition of a trial rejected since then an encoded point (d,) fulfils, in words; None for none."""
    for i, rule in history.avoided():
        if rule in ("point", "region") or (history.rows[i].finished or 0.0) < since:  # who enqueued it knew of that
            continue
        if meets(history.space, x[None], parse(rule, variables(history.space)))[0]:
            return f"it fulfils {rule!r}, which trial {history.rows[i].number} was rejected for"
    return None


def shut_out(history: History) -> list[str]:
    """What is to be said of waiting trials that will not be given out."""
    found = {
        history.rows[i].number: why
        for i in np.flatnonzero(history.in_state(TrialState.WAITING)).tolist()
        if (why := shut(history, i)) is not None
    }
    if not found:
        return []
    named = "; ".join(f"trial {number}: {why}" for number, why in list(found.items())[:3])
    return [
        f"{len(found)} waiting trials stay in the queue and are not given out ({named}{'; …' * (len(found) > 3)}): "
        "take them out with study.void, and enqueue others"
    ]
