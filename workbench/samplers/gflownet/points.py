"""Other ways to walk a user's space than token by token (`spaces`): level by level, or from points that are known.

On a grid a move raises one number or choice by one level. Neighbours share most of their trajectories, so what is
learnt of one point is learnt of those around it; tokens know no such neighbourhood. In return a trajectory is as long
as the levels are many, and constraints are met only where the points can be counted.

Edits begin at a point that is known and change a few of its tokens, as the active learning of Jain et al. 2023
(arXiv 2210.12765, section 4.3) does with strings.

Symbols: n states, k starts, D parameters or tokens, L tokens of a point, a most values of one; d encoded columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from workbench.errors import InfeasibleSpaceError, UnsupportedError
from workbench.samplers.gflownet.environment import Edits, Environment, Grid, Table
from workbench.samplers.gflownet.spaces import CHANGED, COUNTED, SpaceEnvironment, check_finite
from workbench.space import Permutation, Sequence, Subset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Space

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]


class Points(Environment, Protocol):
    """An environment whose ends are points of a space."""

    space: Space

    @property
    def exact(self) -> bool:
        """Do the masks leave no infeasible point?"""
        ...

    def encoded(self, states: Tensor) -> Array:
        """Whole states (n, D), on any device, as encoded points, shape (n, d)."""
        ...

    def states(self, X: Array) -> Tensor:
        """Encoded points (n, d) of this space as whole states (n, D), on the CPU."""
        ...

    def admits(self, states: Tensor) -> Mask:
        """Which whole states (n, D) meet every known constraint, shape (n,)."""
        ...


def environment_of(
    kind: Literal["tokens", "grid"], space: Space, fixed: Mapping[str, Any] | None = None
) -> SpaceGrid | SpaceEnvironment:
    """The environment of that kind for a space."""
    return SpaceGrid(space, fixed) if kind == "grid" else SpaceEnvironment(space, fixed)


class SpaceGrid:
    """The points of a space as those of a grid.

    Args:
        space: Of numbers and choices of finitely many values, without conditions.
        fixed: Parameters that have one value only.
    Raises:
        UnsupportedError: for other parameters, and for constraints or fixed values among too many points to be counted.
        InfeasibleSpaceError: if constraints leave nothing.
    """

    exact = True
    fixed_steps = False

    def __init__(self, space: Space, fixed: Mapping[str, Any] | None = None) -> None:
        check_finite(space)
        for p in space:
            if isinstance(p, Permutation | Subset | Sequence) or p.when is not None:
                raise UnsupportedError(
                    f"a grid needs numbers and choices that are always there; {p.name!r} ({type(p).__name__}) is "
                    "another kind, or has a condition. Use environment='tokens'"
                )
        self.space = space
        self._values = [p.encode(list(p.values()))[:, 0] for p in space]
        sizes = [len(values) for values in self._values]
        held = space.complete_fixed(fixed or {}) | {p.name: p.target for p in space if p.target is not None}
        self._admissible = Table(self._admitted(sizes, held)) if space.constrained or held else None
        self._grid = Grid(sizes, admitted=None if self._admissible is None else self._admissible.values)
        self.sizes, self.moves, self.undos = self._grid.sizes, self._grid.moves, self._grid.undos
        self.steps = self._grid.steps
        self.source, self.allowed, self.after = self._grid.source, self._grid.allowed, self._grid.after
        self.undo_of, self.undoable, self.before = self._grid.undo_of, self._grid.undoable, self._grid.before

    def children(self, first: Tensor, second: Tensor, generator: torch.Generator, changed: float = CHANGED) -> Tensor:
        """States with the level of one of two parents in each place, or any; one that is no end is its first parent.

        Args:
            first, second: Parents that are ends, shape (n, D).
            generator: Source of randomness, on the device of the parents.
            changed: Mean number of levels of a child that are drawn anew.
        """
        coins = torch.rand(3, *first.shape, generator=generator, device=first.device)
        levels = torch.tensor(self.sizes, device=first.device)
        child = torch.where(coins[0] < 0.5, first, second)
        child = torch.where(coins[1] < changed / len(levels), (coins[2] * levels).long(), child)
        if self._admissible is None:
            return child
        return torch.where(self._admissible.beside(child)[tuple(child.T)][:, None], child, first)

    def encoded(self, states: Tensor) -> Array:
        """States (n, D) as encoded points, shape (n, d)."""
        tokens = states.cpu().numpy()
        return np.stack([values[tokens[:, j]] for j, values in enumerate(self._values)], axis=1)

    def states(self, X: Array) -> Tensor:
        """Encoded points (n, d) of this space as states (n, D)."""
        nearest = [np.abs(X[:, [j]] - values).argmin(axis=1) for j, values in enumerate(self._values)]
        return torch.from_numpy(np.stack(nearest, axis=1).astype(np.int64))

    def admits(self, states: Tensor) -> Mask:
        """Every state that may be an end meets every known constraint, shape (n,)."""
        return np.ones(len(states), dtype=bool)

    def _admitted(self, sizes: list[int], held: Mapping[str, Any]) -> Tensor:
        if np.log2(np.array(sizes, dtype=np.float64)).sum() > np.log2(COUNTED):
            raise UnsupportedError(
                f"a grid meets constraints and fixed values among at most {COUNTED} points, this space has more. Use "
                "environment='tokens'"
            )
        points = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes))
        X = self.encoded(torch.from_numpy(points))
        fine = self.space.feasible(X) if self.space.constrained else np.ones(len(X), dtype=bool)
        for name, value in held.items():
            column = self.space.slices[name]
            fine &= np.isclose(X[:, column], self.space[name].encode([value])).all(axis=1)
        if not fine.any():
            raise InfeasibleSpaceError(
                "expected a point that meets all constraints and fixed values, none of the space meets them all. "
                "Loosen a constraint, or fix fewer parameters"
            )
        return torch.from_numpy(fine.reshape(sizes))


class SpaceEdits:
    """Points that differ from one of some starts in a few tokens; strings keep their length.

    Args:
        space: Of strings, numbers and choices, without conditions.
        starts: Encoded points, shape (k, d).
        most: Most tokens that are changed; all of them where there are fewer.
        fixed: Parameters that are not changed.
        generator: Draws the starts.
    Raises:
        UnsupportedError: for orders, selections, and parameters with a condition.
    """

    fixed_steps = False

    def __init__(
        self, space: Space, starts: Array, most: int, fixed: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:  # fmt: skip
        for p in space:
            if isinstance(p, Permutation | Subset) or p.when is not None:
                raise UnsupportedError(
                    f"edits change letters, numbers and choices one by one; {p.name!r} ({type(p).__name__}) is another "
                    "kind, or has a condition. Use environment='tokens'"
                )
        self.space, self._tokens = space, SpaceEnvironment(space)
        held = {*space.complete_fixed(fixed or {}), *(p.name for p in space if p.target is not None)}
        rows = []
        for p in space:
            count = len(p.alphabet) if isinstance(p, Sequence) else p.cardinality
            assert count is not None  # `check_finite` has seen to it
            row = torch.arange(self._tokens.moves, device="cpu") < (0 if p.name in held else count)
            rows += [row] * (p.max_length if isinstance(p, Sequence) else 1)
        tokens = self._tokens.states(starts)  # (k, L)
        self._edits = Edits(
            tokens, self._tokens.moves, min(most, tokens.shape[1]), legal=torch.stack(rows), generator=generator
        )  # fmt: skip
        edits = self._edits
        self.sizes, self.moves, self.undos, self.steps = edits.sizes, edits.moves, edits.undos, edits.steps
        self.source, self.allowed, self.after = edits.source, edits.allowed, edits.after
        self.undo_of, self.undoable, self.before = edits.undo_of, edits.undoable, edits.before

    @property
    def exact(self) -> bool:
        """Are there no constraints, of which edits know nothing?"""
        return not self.space.constrained

    def encoded(self, states: Tensor) -> Array:
        """The present points of states (n, 2 L), encoded, shape (n, d)."""
        return self._tokens.encoded(states[:, self._tokens.steps :])

    def states(self, X: Array) -> Tensor:
        """Encoded points (n, d) as starts without an edit, shape (n, 2 L)."""
        tokens = self._tokens.states(X)
        return torch.cat([tokens, tokens], 1)

    def admits(self, states: Tensor) -> Mask:
        """Which present points meet every known constraint, shape (n,)."""
        if not self.space.constrained:
            return np.ones(len(states), dtype=bool)
        return self.space.feasible(self.encoded(states))
