"""One question that many doors ask: is this a whole number?"""

from __future__ import annotations

from typing import Any

import numpy as np


def integer(value: Any, least: int | None = 0, most: int | None = None) -> int | None:
    """An int if `value` is a whole number, Python's or numpy's, from `least` to `most`; None for anything else.

    True and False are no numbers, and neither is 2.0: where a count is meant, a float is a slip.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return None
    inside = (least is None or value >= least) and (most is None or value <= most)
    return int(value) if inside else None
