"""Samplers that do not look at values: uniform random, scrambled Sobol, and the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from workbench.errors import ExhaustedSpaceError, InvalidValueError
from workbench.integers import integer
from workbench.samplers.base import (
    KINDS,
    ROLES,
    AskRequest,
    Proposal,
    Sampler,
    Screen,
    as_proposals,
    draw_distinct,
    spread_out,
)
from workbench.space.geometry import grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# They ignore what was measured, so no goal is beyond them; weighing goals is.
_EVERYTHING = KINDS | ROLES | {"objectives", "constraints", "preference"}
_DRAWN = _EVERYTHING | {"near"}


class RandomSampler(Sampler):
    """Independent uniform points, constraints satisfied."""

    name = "random"
    serves = _DRAWN

    def ask(self, request: AskRequest) -> list[Proposal]:
        """Draw n points from `request.rng`."""
        space = request.history.space

        def draw(start: int, count: int) -> NDArray[np.float64]:
            return space.uniform(count, request.rng, fixed=request.fixed)

        return as_proposals(*draw_distinct(request, draw), why="uniform random point")


class SobolSampler(Sampler):
    """Points of one scrambled Sobol sequence, indexed by trial number.

    The sequence belongs to the study's seed, so that workers who ask for different numbers
    get different points of the same well-spread set.
    """

    name = "sobol"
    serves = _DRAWN

    def ask(self, request: AskRequest) -> list[Proposal]:
        """Take the next n points of the sequence that are not taken."""
        return spread_out(request)


class GridSampler(Sampler):
    """Every combination once, the last parameter changing fastest.

    Args:
        levels: How many levels a continuous parameter gets, ends included; a mapping by name
            sets it per parameter, or lists the levels themselves. Discrete parameters get
            all their values unless the mapping names them.
    """

    name = "grid"
    serves = _EVERYTHING

    def __init__(self, levels: int | Mapping[str, int | Sequence[Any]] = 5) -> None:
        for wish in levels.values() if isinstance(levels, Mapping) else [levels]:
            number = integer(wish, 2) is not None
            listed = isinstance(levels, Mapping) and isinstance(wish, Sequence) and not isinstance(wish, str) and wish
            if not number and not listed:
                raise InvalidValueError(
                    f"a grid needs at least 2 levels per parameter, or by name a list of them; got {wish!r}"
                )
        self._levels = levels

    def options(self) -> dict[str, Any]:
        """The levels."""
        levels = self._levels
        return {"levels": dict(levels) if isinstance(levels, Mapping) else levels}

    def ask(self, request: AskRequest) -> list[Proposal]:
        """Take the next n combinations that are not in the record.

        Raises:
            ExhaustedSpaceError: if fewer than n are left.
        """
        history = request.history
        screen = Screen(history)
        combinations = enumerate(grid(history.space, self._levels, request.fixed))
        chosen: list[Proposal] = []
        total = 0
        while block := list(islice(combinations, 256)):
            X = history.space.encode([params for _, params in block])
            admitted = screen.admits(X)
            chosen += [
                Proposal(x, {"grid": index}, f"combination {index + 1} of the grid")
                for x, (index, _), new in zip(X, block, admitted, strict=True)
                if new
            ]
            if len(chosen) >= request.n:
                return chosen[: request.n]
            total += len(block)
            request.check_deadline()
        raise ExhaustedSpaceError(
            f"{request.n} combinations were wanted, {len(chosen)} are left of the {total} of this grid. "
            "Stop here, give it more levels (wb.GridSampler(levels=…)), or go on with sampler='sobol'"
        )
