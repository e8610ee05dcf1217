"""A space as a swarm sees it: numbers that may be averaged, and back to points that exist.

Numbers are themselves; a choice is as many numbers as it has values, and the largest says which; parts of a mixture are
their shares. What is inactive keeps its numbers, so that it comes back where it was.

Symbols: n points, d encoded columns, k latent ones; X (n, d), Z (n, k).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from workbench.space import Space

    Array = NDArray[np.float64]

KINDS = frozenset({"float", "int", "ordinal", "bool", "categorical", "vector", "simplex"})
_MIDDLE = 0.5


class Latent:
    """Between encoded points and latent ones.

    Args:
        space: The space.
        fixed: Parameters that are held at a value, and have no latent columns.

    Attributes:
        width: Latent columns.
        walled: Columns of the unit interval, shape (k,).
        plain: Are encoded and latent points the same?
        columns: Names of the latent columns.
    """

    def __init__(self, space: Space, fixed: Mapping[str, Any] | None = None) -> None:
        self.space, self._fixed = space, dict(fixed or {})
        for p in space:
            if p.target is not None:
                self._fixed.setdefault(p.name, p.target)
        self._parts: list[tuple[Any, slice, slice]] = []
        at, walled, names = 0, list[bool](), list[str]()
        for p in space:
            if p.name in self._fixed:
                continue
            choices = p.kind in ("categorical", "bool") and not p.box
            wide = int(p.cardinality or 0) if choices else p.width
            self._parts.append((p, space.slices[p.name], slice(at, at + wide)))
            walled += [p.kind != "vector" or p.box] * wide
            names += (
                [f"{p.name} = {choice}" for choice in getattr(p, "choices", (False, True))] if choices else p.columns
            )
            at += wide
        self.width, self.walled, self.columns = at, np.array(walled, dtype=bool), tuple(names)
        self._chosen = {p.name for p, columns, latent in self._parts if self._is_choice(p)}
        self.plain = self.width == space.width and not self._chosen and not self._fixed

    @staticmethod
    def _is_choice(p: Any) -> bool:
        return p.kind in ("categorical", "bool") and not p.box

    def of(self, X: Array) -> Array:
        """Latent points of encoded ones; what is inactive stands in the middle."""
        Z = np.full((len(X), self.width), _MIDDLE)
        Z[:, ~self.walled] = 0.0
        for p, columns, latent in self._parts:
            block = X[:, columns]
            there = ~np.isnan(block).any(axis=1)
            if self._is_choice(p):
                Z[:, latent] = 1.0 / (latent.stop - latent.start)
                rows = np.flatnonzero(there)
                Z[rows, latent] = 0.0
                Z[rows, latent.start + block[rows, 0].astype(np.int64)] = 1.0
            else:
                Z[there, latent] = block[there]
        return Z

    def raw(self, Z: Array) -> Array:
        """Encoded points of latent ones, as they decode: not yet rounded, and with values for what is inactive."""
        X = np.empty((len(Z), self.space.width))
        for p, columns, latent in self._parts:
            if self._is_choice(p):
                X[:, columns] = Z[:, latent].argmax(axis=1)[:, None]
            elif p.kind == "simplex":
                shares = np.maximum(Z[:, latent], 0.0)
                sums = shares.sum(axis=1, keepdims=True)
                shares = np.where(sums > 0, shares / np.where(sums > 0, sums, 1.0), 1.0 / shares.shape[1])
                X[:, columns] = p.place(shares * p.total)
            else:
                X[:, columns] = Z[:, latent]
        for name, value in self._fixed.items():
            X[:, self.space.slices[name]] = self.space[name].encode([value])
        return X

    def settled(self, Z: Array) -> Array:
        """Encoded points that exist, NaN where inactive."""
        return self.space.encode(self.space.decode(self.raw(Z)))

    def walls(self, Z: Tensor) -> Tensor:
        """Latent points (..., k) folded back into the unit interval, where that is where they belong."""
        import torch

        folded = (torch.remainder(Z + 1.0, 2.0) - 1.0).abs()
        return torch.where(torch.as_tensor(self.walled, device=Z.device), folded, Z)
