"""Rankings as values: order with ties, and the checks that make one mean something.

A ranking is a tuple of groups of trial numbers, best group first; trials in one group are
tied. What was shown but stands in no group is unordered against the rest, not tied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from workbench.errors import FeedbackError

Groups = tuple[tuple[int, ...], ...]


def ranking(groups: Iterable[Iterable[int]], shown: Sequence[int] | None = None) -> Groups:
    """Check a ranking.

    Args:
        groups: Trial numbers, best group first.
        shown: All the trials that were shown; a ranking may name only these.
    Returns:
        The ranking as nested tuples.
    Raises:
        FeedbackError: if it is empty, ranks a trial twice, has an empty group, orders nothing,
            or names a trial that was not shown.
    """
    ranked: Groups = tuple(tuple(int(number) for number in group) for group in groups)
    flat = [number for group in ranked for number in group]
    if any(not group for group in ranked):
        raise FeedbackError(f"every group of a ranking needs a trial, got an empty one in {ranked}; leave it out")
    if len(flat) < 2:
        raise FeedbackError(
            f"a ranking needs at least two trials, got {flat}; write [[best], [next, tied_with_next], [worst]]"
        )
    twice = sorted({number for number in flat if flat.count(number) > 1})
    if twice:
        raise FeedbackError(f"each trial has one place in a ranking; ranked twice: {twice}")
    unknown = sorted(set(flat) - set(shown)) if shown is not None else []
    if unknown:
        raise FeedbackError(f"only the shown trials {sorted(shown or ())} can be ranked, got {unknown} too")
    return ranked


def pairs(groups: Groups) -> Iterator[tuple[int, int]]:
    """Every (better, worse) pair that a ranking states, ties giving none."""
    for i, group in enumerate(groups):
        for better in group:
            for lower in groups[i + 1 :]:
                for worse in lower:
                    yield better, worse
