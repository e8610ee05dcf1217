"""Which runs the pages of a study show: by outcome, tags and number, as it stands in the address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ui.presenters import words
from workbench.trial import History, loads

SHOW, TAGS, RUNS = "show", "tags", "runs"
"""Names in the address."""
USUAL = ("Done", "Over a limit", "Failed")
_RANGE = re.compile(r"(\d*)-(\d*)\Z")


@dataclass(frozen=True, slots=True)
class Filter:
    """What is shown. Runs that are still to do are always there.

    Args:
        groups: Names of `words.GROUPS`.
        tags: Only runs with one of them; empty for all.
        first, last: Only runs from that number on, and up to that one.
    """

    groups: tuple[str, ...] = USUAL
    tags: tuple[str, ...] = ()
    first: int | None = None
    last: int | None = None

    @classmethod
    def of(cls, address: Mapping[str, str]) -> Filter:
        """What an address asks for; what makes no sense in it is left out."""
        asked = [group for group in words.GROUPS if group.casefold() in address.get(SHOW, "").casefold().split(",")]
        ends = _RANGE.match(address.get(RUNS, ""))
        first, last = (int(end) if end else None for end in ends.groups()) if ends else (None, None)
        return cls(tuple(asked) if SHOW in address else USUAL, tuple(filter(None, address.get(TAGS, "").split(","))),
                   first, last)  # fmt: skip

    def address(self) -> dict[str, str]:
        """The part of the address that says it; empty for what is usual."""
        said = {} if self.groups == USUAL else {SHOW: ",".join(self.groups)}
        if self.tags:
            said[TAGS] = ",".join(self.tags)
        if self.first is not None or self.last is not None:
            said[RUNS] = "-".join("" if end is None else str(end) for end in (self.first, self.last))
        return said

    @property
    def narrowed(self) -> bool:
        """Does it look at tags or numbers?"""
        return bool(self.tags) or self.first is not None or self.last is not None

    def mask(self, history: History, outcomes: list[str]) -> NDArray[np.bool_]:
        """Which runs are shown, shape (n,).

        Args:
            outcomes: As `words.outcomes` has them.
        """
        members = {word for group in words.GROUPS.values() for word in group}
        shown = {word for group in self.groups for word in words.GROUPS[group]}
        keep = np.array([word in shown or word not in members for word in outcomes], dtype=bool)
        if self.tags:
            wanted = set(self.tags)
            keep &= np.array([not wanted.isdisjoint(loads(row.tags, [])) for row in history.rows], dtype=bool)
        if self.first is not None:
            keep &= history.numbers >= self.first
        if self.last is not None:
            keep &= history.numbers <= self.last
        return keep

    def apply(self, history: History) -> History:
        """The record of the runs that are shown, for figures; the very same record if these are all."""
        if not len(history):
            return history
        mask = self.mask(history, words.outcomes(history))
        if mask.all():
            return history
        arrays = ("numbers", "states", "X", "Y", "sem", "limited", "C_sem", "cost")
        rows = [history.rows[i] for i in np.flatnonzero(mask).tolist()]
        return replace(history, rows=rows, **{name: getattr(history, name)[mask] for name in arrays})


def tags(history: History) -> list[str]:
    """Every tag of a run, sorted."""
    return sorted({tag for row in history.rows if row.tags for tag in loads(row.tags, [])})
