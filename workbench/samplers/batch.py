"""The second door of some samplers: a cheap function is run in whole batches, millions of times, and few trials stay.

The evaluations are counted and are not trials. The study's side of it is `study.vectorized`.

Symbols: n points, d encoded columns, m objectives.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from workbench.samplers.base import AskRequest, Sampler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workbench.space import Space

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """What came of a batch.

    Args:
        utility: Larger is better, NaN where the function failed, shape (n, m).
        excess: By how much measured limits are exceeded, summed; 0 where all hold, shape (n,).
        limited: Are there measured limits?
        sense: 1 where the utility of one objective is its value, -1 where it is minus that, or minus the miss of a
            target.
    """

    utility: Array
    excess: Array
    limited: bool = False
    sense: float = 1.0


@dataclass(frozen=True)
class Milestone:
    """Where a run may be interrupted, and goes on from later.

    Args:
        evaluations: Spent so far, those before a resume included.
        state: Everything that the rest of the run depends on, by name.
        note: One sentence for people.
        trace: What was seen on the way, for figures; it is kept when the run ends.
        sample: Encoded points that stay as trials beside the best ones when the run ends, shape (k, d).
        asks: What later asks of the sampler get as their state when the run ends; of a stateful sampler alone.
        ended: Why the run is over before the evaluations are spent, by a rule of the sampler; "" where it is not.
    """

    evaluations: int
    state: Mapping[str, NDArray[np.generic]]
    note: str = ""
    trace: Mapping[str, NDArray[np.generic]] | None = None
    sample: Array | None = None
    asks: Mapping[str, NDArray[np.generic]] | None = None
    ended: str = ""


@runtime_checkable
class ChoosesBatches(Protocol):
    """A sampler that knows another one for whole batches."""

    def batched(self, request: AskRequest) -> Sampler:
        """That sampler."""


class BatchSampler(Sampler):
    """A sampler that can run the loop itself."""

    @abstractmethod
    def run(
        self, space: Space, evaluate: Callable[[Array], Outcomes], evaluations: int, rng: np.random.Generator,
        state: Mapping[str, NDArray[np.generic]] | None = None,
    ) -> Iterator[Milestone]:  # fmt: skip
        """Search until the evaluations are spent, or nothing is left to gain.

        Args:
            space: What to search.
            evaluate: Of encoded points (n, d). It evaluates what they decode to.
            evaluations: How many may be spent in all, those of `state` included.
            rng: Of the study's seed alone. A resumed run gets the same one, and takes up what `state` says.
            state: Of the last milestone of an interrupted run.
        Yields:
            Milestones, the last one at the end.
        """
