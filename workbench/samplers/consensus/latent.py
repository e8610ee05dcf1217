"""A space as a swarm sees it: numbers that may be averaged, and back to points that exist.

Numbers are themselves; a choice is as many numbers as it has values, and the largest says which; parts of a mixture are
their shares. What is inactive keeps its numbers, so that it comes back where it was.

Particles are kept where points are: in the unit interval by reflection, in a mixture by the nearest shares, on the
sphere of a vector by its length. Known constraints that a step has left are restored by Newton's method, the least
change of the latent columns after which their linearisations hold; where that fails, the step is halved.

Symbols: n points, d encoded columns, k latent ones, r constraints; X (n, d), Z (n, k).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from workbench.space import Space

    Array = NDArray[np.float64]

KINDS = frozenset({"float", "int", "ordinal", "bool", "categorical", "vector", "simplex"})
_MIDDLE = 0.5
_NEWTON = 12  # rounds; on a curved constraint each squares what is left
_HALVINGS = 8  # of a step that leaves what the constraints allow


class Latent:
    """Between encoded points and latent ones.

    Args:
        space: The space.
        fixed: Parameters that are held at a value, and have no latent columns.
        sphere: Keep vectors of a normal prior at the length sqrt(k) that almost all of their prior has.

    Attributes:
        width: Latent columns.
        walled: Columns of the unit interval, shape (k,).
        plain: Are encoded and latent points the same?
        columns: Names of the latent columns.
        held: Parameters that have none.
    """

    def __init__(self, space: Space, fixed: Mapping[str, Any] | None = None, *, sphere: bool = False) -> None:
        self.space, self._fixed = space, dict(fixed or {})
        for p in space:
            if p.target is not None:
                self._fixed.setdefault(p.name, p.target)
        self.held = frozenset(self._fixed)
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
        self._spheres = [at for p, _, at in self._parts if sphere and p.kind == "vector" and not p.box]
        self._mixtures = [(p, at) for p, _, at in self._parts if p.kind == "simplex"]

    @staticmethod
    def _is_choice(p: Any) -> bool:
        return p.kind in ("categorical", "bool") and not p.box

    def columns_of(self, names: Set[str]) -> NDArray[np.int64]:
        """Latent columns of some parameters."""
        found = [np.arange(latent.start, latent.stop) for p, _, latent in self._parts if p.name in names]
        return np.concatenate([np.empty(0, dtype=np.int64), *found])

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

    def kept(self, Z: Tensor) -> Tensor:
        """Latent points (..., k) put back into the unit interval, mixtures and spheres, where they belong."""
        import torch

        from workbench.samplers.consensus import sets

        walled = torch.as_tensor(self.walled, device=Z.device)
        kept = torch.where(walled, sets.reflected(Z, 0.0, 1.0), Z)
        for p, at in self._mixtures:
            low, high = (torch.as_tensor(limit, dtype=Z.dtype) for limit in p.limits)
            kept[..., at] = sets.bounded_simplex(low, high).primal(Z[..., at])
        for at in self._spheres:
            kept[..., at] = sets.sphere((at.stop - at.start) ** 0.5).primal(Z[..., at])
        return kept

    def retracted(self, Z: Tensor, moved: Tensor, dt: float = 1.0) -> Tensor:
        """Latent points (..., k) after a step, where they belong and the known constraints hold.

        What no part of the step leads to a point where the constraints hold stays.

        Args:
            Z: Before the step.
            moved: What the step adds.
            dt: Its length, of no use here.
        """
        new = self.kept(Z + moved)
        if not self.space.constrained:
            return new
        flat, old = new.reshape(-1, self.width), Z.reshape(-1, self.width)
        bad, step = self._broken(flat, np.arange(len(flat))), flat - old
        for k in range(_HALVINGS):
            if not len(bad):
                break
            flat[bad] = self._restored(old[bad] + step[bad] / 2.0**k)
            bad = self._broken(flat, bad)
        flat[bad] = old[bad]
        return flat.reshape(new.shape)

    def _broken(self, Z: Tensor, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows[~self.space.feasible(self.raw(Z[rows].numpy()))]

    def _restored(self, Z: Tensor) -> Tensor:
        """Points (n, k) moved to where the linearised constraints hold, again and again."""
        import torch

        for _ in range(_NEWTON):
            gaps, slopes = self._linearised(Z.numpy())  # (n, r), (n, r, k)
            if not (gaps != 0).any():
                break
            Z = self.kept(Z - (torch.linalg.pinv(slopes) @ gaps[..., None])[..., 0])
        return Z

    def _linearised(self, Z: Array) -> tuple[Tensor, Tensor]:
        """What each broken constraint lacks and its slopes in the latent columns, 0 for what holds and cannot move."""
        import torch

        from workbench.space.geometry import slope

        columns = self.space.quantities(self.raw(Z))
        gaps = np.zeros((len(Z), len(self.space.constraints) + len(self._mixtures)))
        slopes = np.zeros((*gaps.shape, self.width))
        for i, constraint in enumerate(self.space.constraints):
            gap, by = constraint.linearised(columns)
            there = np.isfinite(gap) & np.all([np.isfinite(one) for one in by.values()], axis=0)
            gaps[:, i] = np.where(there, gap if constraint.equality else np.maximum(gap, 0.0), 0.0)
            for p, _, at in self._parts:
                for j in range(at.start, at.stop) if p.kind in ("float", "simplex") and p.cardinality is None else ():
                    name = p.variables[j - at.start]
                    if name in by:
                        inner = p.total if p.kind == "simplex" else slope(p, Z[:, j])
                        slopes[:, i, j] = np.where(gaps[:, i] != 0, by[name] * inner, 0.0)
        gaps[~slopes.any(axis=2)] = 0.0
        for i, (_, at) in enumerate(self._mixtures, len(self.space.constraints)):
            slopes[:, i, at] = 1.0  # a mixture's sum stays what it is
        return torch.as_tensor(gaps), torch.as_tensor(slopes)
