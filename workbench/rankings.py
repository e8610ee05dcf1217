"""Rankings as values: orders with ties, what an answer states and leaves open, contradictions, raters' reliability.

A ranking is a tuple of groups of trial numbers, best group first; trials in one group are
tied. What was shown but stands in no group is unordered against the rest, not tied.

An answer has a kind, which says how its groups are read:

    rank, compare    the groups in order, the rest unordered
    best, more_like  the groups in order, every other trial shown is worse (k of m; one trial: the best of m)
    worst            every other trial shown is better than the groups, which are in order, the worst last
    partial          each group is a pair (better, worse)
    none_acceptable  every trial shown is worse than what would just be acceptable
    anything else    nothing

Symbols: m trials shown, k ranked, E known (better, worse) pairs, e probability that a stated pair is wrong.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.errors import FeedbackError

Groups = tuple[tuple[int, ...], ...]
Pair = tuple[int, int]  # (better, worse)

ORDERING = frozenset({"rank", "compare", "best", "more_like", "worst", "partial"})
"""Kinds of answers that order trials among each other."""
_BEST = ("best", "more_like")
ACCEPTABLE = -1
"""Stands in the place of a trial: what would just be acceptable."""

_ERRORS = np.linspace(0.0, 0.5, 501)[1:]  # e that are compared
_PRIOR = (2.0, 8.0)  # Beta prior of e: one stated pair in nine is wrong at its mode
_SWEEPS = 20


class Choice(NamedTuple):
    """One step of an answer: out of `chosen` and `left` together, `chosen` come first, tied; last if `sign` is -1."""

    chosen: tuple[int, ...]
    left: tuple[int, ...]
    sign: int = 1


def ranking(groups: Iterable[Iterable[int]], shown: Sequence[int] | None = None, least: int = 2) -> Groups:
    """Check a ranking.

    Args:
        groups: Trial numbers, best group first.
        shown: All the trials that were shown; a ranking may name only these.
        least: How many trials it has to name.
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
    if len(flat) < least:
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


def partial_order(stated: Iterable[Pair], shown: Sequence[int] | None = None) -> Groups:
    """Check (better, worse) pairs, and leave out those that follow from the others.

    Args:
        stated: Pairs of trial numbers.
        shown: All the trials that were shown; the pairs may name only these.
    Returns:
        The cover relations of the order, sorted.
    Raises:
        FeedbackError: if there is none, one names a trial twice or one that was not shown, or they go round in a
            circle.
    """
    given = {(int(better), int(worse)) for better, worse in stated}
    if not given or any(better == worse for better, worse in given):
        raise FeedbackError(f"expected pairs (better, worse) of different trials, at least one; got {sorted(given)}")
    unknown = sorted({n for pair in given for n in pair} - set(shown)) if shown is not None else []
    if unknown:
        raise FeedbackError(f"only the shown trials {sorted(shown or ())} can be ordered, got {unknown} too")
    below = _closure(given)
    circle = sorted(number for number, worse in below.items() if number in worse)
    if circle:
        raise FeedbackError(f"these trials are better than themselves, going round: {circle}; take one pair back")
    return tuple(sorted((a, b) for a, b in given if not any(b in below[c] for c in below[a] if c != b)))


def pairs(groups: Groups) -> Iterator[Pair]:
    """Every (better, worse) pair that a ranking states, ties giving none."""
    for i, group in enumerate(groups):
        for better in group:
            for lower in groups[i + 1 :]:
                for worse in lower:
                    yield better, worse


def edges(kind: str, groups: Groups, shown: Sequence[int]) -> frozenset[Pair]:
    """Every (better, worse) pair of trials that an answer states, each once; what follows from others included.

    With k ranked of m without ties there are k m - k (k + 1) / 2 of them.
    """
    rest = _rest(groups, shown)
    if kind in _BEST:
        return frozenset(pairs((*groups, rest)))
    if kind == "worst":
        return frozenset(pairs((rest, *groups)))
    if kind == "partial":
        return frozenset((a, b) for a, below in _closure(groups).items() for b in below)
    return frozenset(pairs(groups)) if kind in ORDERING else frozenset()


def choices(kind: str, groups: Groups, shown: Sequence[int]) -> tuple[Choice, ...]:
    """An answer as successive choices, which a Plackett-Luce model takes; trials with no place in it are left out.

    A last group of one trial is no choice any more; one of several states that they are tied.
    """
    rest = _rest(groups, shown)
    if kind == "none_acceptable":
        return (Choice((ACCEPTABLE,), tuple(shown)),) if shown else ()
    if kind == "partial":
        return tuple(Choice((pair[0],), (pair[1],)) for pair in groups)
    if kind not in ORDERING:
        return ()
    if kind == "worst":
        steps = [Choice(g, (*_flat(groups[:i]), *rest), -1) for i, g in reversed(list(enumerate(groups)))]
    else:
        rest = rest if kind in _BEST else ()
        steps = [Choice(g, (*_flat(groups[i + 1 :]), *rest)) for i, g in enumerate(groups)]
    return tuple(step for step in steps if step.left or len(step.chosen) > 1)


def chain(kind: str, groups: Groups, shown: Sequence[int]) -> tuple[list[Pair], list[Pair]]:
    """The fewest pairs that carry an answer, which a pairwise model takes, and the tied pairs.

    Every pair that a ranking implies would count the same answer many times.

    Returns:
        (better, worse) pairs between neighbouring groups, and ties between neighbours within a group.
    """
    rest = _rest(groups, shown)
    if kind == "none_acceptable":
        return [(ACCEPTABLE, number) for number in shown], []
    if kind == "partial":
        return [(a, b) for a, b in groups], []
    if kind not in ORDERING:
        return [], []
    ordered = (*groups, rest) if kind in _BEST else (rest, *groups) if kind == "worst" else groups
    ordered = tuple(group for group in ordered if group)
    stated = [pair for upper, lower in itertools.pairwise(ordered) for pair in itertools.product(upper, lower)]
    return stated, [pair for group in groups for pair in itertools.pairwise(group)]


def edge_weights(known: Iterable[Pair], members: Sequence[int]) -> NDArray[np.float64]:
    """omega_i = (trials known to be worse - trials known to be better) / |E|, shape (m,), summing to 0.

    For a ranking this is the sum over its edges in weight form, exact for ties and partial orders.

    Args:
        known: (better, worse) pairs; a repeated one counts once.
        members: The trials, in the order of the weights.
    """
    place = {number: i for i, number in enumerate(members)}
    counted = {pair for pair in known if pair[0] in place and pair[1] in place}
    omega = np.zeros(len(members))
    for better, worse in counted:
        omega[place[better]] += 1.0
        omega[place[worse]] -= 1.0
    return omega / max(1, len(counted))


# -- contradictions ------------------------------------------------------------------------------


def circular_triads(stated: Iterable[Pair]) -> list[tuple[int, int, int]]:
    """Trials of which a is better than b, b than c and c than a, by the majority of what was stated.

    Source: Kendall and Babington Smith 1940, On the method of paired comparisons.

    Returns:
        Each circle once, its smallest number first.
    """
    wins = _majority(Counter(stated))
    return sorted((a, b, c) for a in wins for b in wins[a] if a < b for c in wins.get(b, ()) if a < c and a in wins[c])


def complete_triads(stated: Iterable[Pair]) -> int:
    """How many three trials were compared each with each; a coin would make a quarter of them circular."""
    return len(_triads(stated))


@dataclass(frozen=True)
class Consistency:
    """How well the answers of one rater agree with each other and with those of others.

    Args:
        answers: Answers that order something.
        repeated: Pairs of one answer that a later answer states again, either way round.
        agreed: Those of them that came out the same.
        circles: Circular triads.
        triads: Three trials compared each with each.
        reliability: Estimated probability that a stated pair is right, from 0.5 to 1.
    """

    answers: int
    repeated: int
    agreed: int
    circles: tuple[tuple[int, int, int], ...]
    triads: int
    reliability: float

    @property
    def zeta(self) -> float:
        """Coefficient of consistency: 1 without circles, 0 for as many as a coin makes."""
        return 1.0 - 4.0 * len(self.circles) / self.triads if self.triads else 1.0


def consistency(answers: Mapping[str, Sequence[Iterable[Pair]]]) -> dict[str, Consistency]:
    """How consistent each rater is.

    If each stated pair is wrong with probability e, independently, two statements of a pair differ with probability
    2 e (1 - e), three pairs of three trials go round with probability e (1 - e), and raters s and r agree with
    probability (1 - e_s)(1 - e_r) + e_s e_r. The e are the largest of the product of these over everything that can be
    compared, times a Beta(2, 8) prior, found rater by rater.

    Args:
        answers: For each rater the known pairs of each answer, in order of arrival.
    """
    stated = {rater: [set(one) for one in given if one] for rater, given in answers.items()}
    own = {rater: _own(given) for rater, given in stated.items()}
    majority = {rater: Counter(pair for one in given for pair in one) for rater, given in stated.items()}
    errors = dict.fromkeys(stated, 1.0 / 9.0)
    shared = {
        (r, s): _agreement(majority[r], majority[s]) for r, s in itertools.permutations(stated, 2)
    }  # (same, different)
    for _ in range(_SWEEPS if len(stated) > 1 else 1):
        before = dict(errors)
        for rater, (repeated, agreed, circles, triads) in own.items():
            q = _ERRORS * (1.0 - _ERRORS)
            log = (_PRIOR[0] - 1) * np.log(_ERRORS) + (_PRIOR[1] - 1) * np.log1p(-_ERRORS)
            log += (repeated - agreed) * np.log(2 * q) + agreed * np.log1p(-2 * q + 1e-12)
            log += len(circles) * np.log(q) + (triads - len(circles)) * np.log1p(-q)
            for other, e in errors.items():
                if other != rater:
                    same, different = shared[rater, other]
                    agree = (1 - _ERRORS) * (1 - e) + _ERRORS * e
                    log += same * np.log(agree) + different * np.log1p(-agree)
            errors[rater] = float(_ERRORS[np.argmax(log)])
        if errors == before:
            break
    return {
        rater: Consistency(len(stated[rater]), repeated, agreed, circles, triads, 1.0 - errors[rater])
        for rater, (repeated, agreed, circles, triads) in own.items()
    }


def _own(given: Sequence[set[Pair]]) -> tuple[int, int, tuple[tuple[int, int, int], ...], int]:
    """Repeated pairs, how many of them agree, circles, complete triads of one rater's answers.

    One ranking cannot contradict itself, so only triads that no single answer covers are looked at; what is stated
    otherwise later is a repeated pair that does not agree.
    """
    repeated = agreed = 0
    seen: dict[Pair, None] = {}
    for one in given:
        for a, b in one:
            if (a, b) in seen or (b, a) in seen:
                repeated += 1
                agreed += (a, b) in seen and (b, a) not in seen
        seen.update(dict.fromkeys(one))
    everything = [pair for one in given for pair in one]
    tested = _triads(everything) - {triad for one in given for triad in _triads(one)}
    circles = tuple(circle for circle in circular_triads(everything) if frozenset(circle) in tested)
    return repeated, agreed, circles, len(tested)


def _triads(stated: Iterable[Pair]) -> set[frozenset[int]]:
    beside: dict[int, set[int]] = defaultdict(set)
    for a, b in stated:
        beside[a].add(b)
        beside[b].add(a)
    return {frozenset((a, b, c)) for a in beside for b in beside[a] for c in beside[a] & beside[b]}


def _agreement(one: Counter[Pair], other: Counter[Pair]) -> tuple[int, int]:
    """How many pairs that both stated come out the same, and how many the other way round."""
    mine, theirs = _majority(one), _majority(other)
    same = sum(b in theirs.get(a, ()) for a, below in mine.items() for b in below)
    return same, sum(a in theirs.get(b, ()) for a, below in mine.items() for b in below)


def _majority(counts: Counter[Pair]) -> dict[int, set[int]]:
    """Who beats whom more often than the other way round."""
    wins: dict[int, set[int]] = defaultdict(set)
    for (a, b), n in counts.items():
        if n > counts.get((b, a), 0):
            wins[a].add(b)
            wins[b].update()
    return wins


def _closure(stated: Iterable[Sequence[int]]) -> dict[int, set[int]]:
    """Everything that is known to be worse than each trial, by any chain of pairs."""
    below: dict[int, set[int]] = defaultdict(set)
    for better, worse in stated:
        below[better].add(worse)
        below[worse].update()
    for middle in list(below):
        for known in below.values():
            if middle in known:
                known.update(below[middle])
    return below


def _rest(groups: Groups, shown: Sequence[int]) -> tuple[int, ...]:
    ranked = set(_flat(groups))
    return tuple(number for number in shown if number not in ranked)


def _flat(groups: Groups) -> list[int]:
    return [number for group in groups for number in group]
