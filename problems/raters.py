"""Simulated raters: exact, noisy, drifting, circular and lazy ones, to try on them what people will be asked.

A rater puts what is shown in order. Those that draw lots have a seed; what they say depends on it and on what they were
asked before, as with people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from workbench.study.feedback import Question
from workbench.trial import FeedbackRecord, Trial

Params = Mapping[str, Any]
Utility = Callable[[Sequence[Params]], Sequence[float]]


class Rater(Protocol):
    """Somebody who puts things in order."""

    def order(self, shown: Sequence[Params]) -> list[int]:
        """Positions of what is shown, best first."""
        ...


@dataclass(frozen=True)
class Exact:
    """Ranks by a utility, larger first; of equals the one on the left."""

    utility: Utility

    def order(self, shown: Sequence[Params]) -> list[int]:
        """Positions, best first."""
        return _descending(np.asarray(self.utility(shown), dtype=np.float64))


@dataclass(frozen=True)
class Noisy:
    """Sees each utility with normal noise, anew each time (Thurstone's case V)."""

    utility: Utility
    sd: float
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def order(self, shown: Sequence[Params]) -> list[int]:
        """Positions, best first."""
        seen = np.asarray(self.utility(shown), dtype=np.float64)
        return _descending(seen + self.sd * self.rng.standard_normal(len(seen)))


@dataclass
class Drifting:
    """Changes from one taste to another, by a share of the way with each answer."""

    utility: Utility
    later: Utility
    rate: float = 0.05
    answered: int = 0

    def order(self, shown: Sequence[Params]) -> list[int]:
        """Positions, best first."""
        w = 1.0 - (1.0 - self.rate) ** self.answered
        self.answered += 1
        first, then = (np.asarray(u(shown), dtype=np.float64) for u in (self.utility, self.later))
        return _descending((1.0 - w) * first + w * then)


@dataclass(frozen=True)
class Circular:
    """Likes what lies a little further round a circle: of three that are spread around it, each is beaten by one."""

    angle: Callable[[Params], float]

    def order(self, shown: Sequence[Params]) -> list[int]:
        """Positions by the number of others that each beats; in pairs, who is less than half a turn ahead wins."""
        angles = np.array([self.angle(params) for params in shown])
        ahead = (angles[:, None] - angles[None, :]) % (2.0 * math.pi)
        wins = ((ahead > 0.0) & (ahead < math.pi)).sum(axis=1)
        return _descending(wins.astype(np.float64))


@dataclass(frozen=True)
class Lazy:
    """Now and then does not look, and leaves everything as it stands, the left one first."""

    rater: Rater
    share: float
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def order(self, shown: Sequence[Params]) -> list[int]:
        """Positions, best first."""
        return list(range(len(shown))) if self.rng.random() < self.share else self.rater.order(shown)


def answer(question: Question, rater: Rater, k: int | None = None, name: str = "") -> FeedbackRecord:
    """Let a rater answer a question.

    Args:
        question: What is shown.
        rater: Who looks.
        k: How many of the best to name, the rest being worse; None for the full order.
        name: Under which the answer is recorded.
    """
    trials: list[Trial] = question.trials
    ranked = [trials[place] for place in rater.order([trial.params for trial in trials])]
    if k is None or k >= len(ranked):
        return question.answer([[trial] for trial in ranked], rater=name)
    return question.answer([[trial] for trial in ranked[:k]], rest="worse", rater=name)


def _descending(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[int]:
    order: list[int] = np.argsort(-values, kind="stable").tolist()
    return order
