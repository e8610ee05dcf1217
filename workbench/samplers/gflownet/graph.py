"""Small environments whole: every state and move, exact flows, and what a policy samples exactly.

Flow equations: Bengio et al. 2021 (arXiv 2106.04399) and Malkin et al. 2022 (arXiv 2201.13259). For a given P_B,
F(s) = [s may end] R(s) + Σ_children P_B(s | child) F(child), P_F(s' | s) = P_B(s | s') F(s') / F(s), F(source) = Z.

Symbols: S states, E edges, A moves, U undos.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from workbench.errors import InvalidValueError
from workbench.samplers.gflownet.environment import Environment

_MOST = 1 << 21  # states


@dataclass(frozen=True)
class Graph:
    """An environment, enumerated.

    Args:
        states: All of them, by the number of moves that lead there, shape (S, D).
        levels: Where each number of moves begins, and the end; one more than there are.
        masks: Legal actions, shape (S, A + 1).
        parent, action, child: Of each edge, shape (E,), by the level of the parent.
        undo: Undo that takes each edge back, shape (E,).
        edges: Where the edges of each level begin, and the end.
    """

    states: Tensor
    levels: tuple[int, ...]
    masks: Tensor
    parent: Tensor
    action: Tensor
    child: Tensor
    undo: Tensor
    edges: tuple[int, ...]

    @cached_property
    def ends(self) -> Tensor:
        """Numbers of the states where a trajectory may end, shape (X,)."""
        return self.masks[:, -1].nonzero()[:, 0]

    @cached_property
    def parents(self) -> Tensor:
        """Number of edges that lead to each state, shape (S,)."""
        return torch.bincount(self.child, minlength=len(self.states))

    def uniform_backward(self) -> Tensor:
        """log P_B of each edge, uniform over those that lead to a state, shape (E,), float64."""
        return -self.parents[self.child].double().log()

    def flows(self, log_reward: Tensor, log_pb: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Exact log flows for a reward and a backward policy.

        Args:
            log_reward: Of the states in `ends`, shape (X,).
            log_pb: Of each edge, shape (E,); None: uniform.
        Returns:
            log F of states, shape (S,), and log P_F, shape (S, A + 1), -inf where there is no way; float64.
        """
        log_pb = self.uniform_backward() if log_pb is None else log_pb.double().to(self.states.device)
        F = torch.full((len(self.states),), -torch.inf, dtype=torch.float64, device=self.states.device)
        F[self.ends] = log_reward.to(F)
        log_pf = torch.full_like(self.masks, -torch.inf, dtype=torch.float64)
        log_pf[self.ends, -1] = log_reward.to(F)
        for start, stop in reversed(list(zip(self.edges, self.edges[1:], strict=False))):
            part = slice(start, stop)
            log_pf[self.parent[part], self.action[part]] = F[self.child[part]] + log_pb[part]
            rows = torch.unique(self.parent[part])
            F[rows] = torch.logsumexp(log_pf[rows], 1)
        return F, log_pf - F[:, None]

    def end_probabilities(self, log_pf: Tensor) -> Tensor:
        """The probability with which a policy ends at each of `ends`, exactly.

        Args:
            log_pf: Of every action at every state, shape (S, A + 1).
        Returns:
            Shape (X,), float64, on the device of the graph; actions that lead to one child add up.
        """
        p = log_pf.double().to(self.states.device).exp()
        reach = p.new_zeros(len(self.states))
        reach[: self.levels[1]] = 1.0 / self.levels[1]
        for start, stop in zip(self.edges, self.edges[1:], strict=False):
            part = slice(start, stop)
            reach.index_add_(0, self.child[part], reach[self.parent[part]] * p[self.parent[part], self.action[part]])
        return (reach * p[:, -1])[self.ends]

    def edge_backward(self, log_pb: Tensor) -> Tensor:
        """log P_B of each edge (E,) from a table of undos (S, U)."""
        return log_pb.double().to(self.states.device)[self.child, self.undo]


def enumerate_states(environment: Environment, sources: Tensor | None = None, most: int = _MOST) -> Graph:
    """Every state that moves lead to, level by level; the environment's promises are checked on the way.

    Args:
        environment: To be enumerated.
        sources: The states that trajectories may begin at, shape (k, D), equally likely; None: the one that there is.
        most: States at which it gives up.
    Raises:
        InvalidValueError: if there are more states, or a promise is broken: a state without legal action, two moves
            of a state to one child, ways of different length to a state, an undo that does not lead back, more moves
            than `steps`, or fewer where their number is fixed.
    """
    level = environment.source(1) if sources is None else sources
    stop = environment.moves
    radix = _radix(environment.sizes)
    states, masks, levels, edges = [level], [environment.allowed(level)], [0, len(level)], [0]
    seen = set(_codes(level, radix))
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    while True:
        legal = masks[-1]
        if not bool(legal.any(1).all()):
            raise InvalidValueError(
                f"state {level[~legal.any(1)][0].tolist()} has no legal action, not even the stop; let `allowed` give "
                "it the stop, or forbid the moves that lead there"
            )
        here, action = legal[:, :stop].nonzero(as_tuple=True)
        _check_length(environment, len(levels) - 2, level, legal)
        if len(here) == 0:
            break
        after = environment.after(level[here], action)
        undo = environment.undo_of(level[here], action)
        _check_way_back(environment, level[here], action, after, undo)
        children, place = torch.unique(after, dim=0, return_inverse=True)
        codes = _codes(children, radix)
        if not seen.isdisjoint(codes):
            twice = next(i for i, code in enumerate(codes) if code in seen)
            raise InvalidValueError(
                f"state {children[twice].tolist()} is reached by ways of different length; a column that counts the "
                "moves tells them apart"
            )
        seen.update(codes)
        pairs = here * len(children) + place
        if len(torch.unique(pairs)) < len(pairs):
            raise InvalidValueError(
                "two moves of one state lead to the same child, so that a policy would count it twice; make them one"
            )
        parts.append((here + levels[-2], action, place + levels[-1], undo))
        edges.append(edges[-1] + len(here))
        level = children
        states.append(level)
        masks.append(environment.allowed(level))
        levels.append(levels[-1] + len(level))
        if levels[-1] > most:
            raise InvalidValueError(
                f"expected at most {most} states, there are more; pass most= if they fit into memory, or look at "
                "samples: `trust` needs no graph"
            )
    parent, actions, child, undos = (
        (torch.cat(column) for column in zip(*parts, strict=True))
        if parts
        else (level.new_empty(0, dtype=torch.int64),) * 4
    )
    return Graph(
        torch.cat(states), tuple(levels), torch.cat(masks), parent, actions, child, undos, tuple(edges)
    )  # fmt: skip


def _check_length(environment: Environment, made: int, states: Tensor, legal: Tensor) -> None:
    """Refuse moves where so many were `made` that none should be left, and a stop where all should still be made."""
    over = made >= environment.steps
    if not over and not environment.fixed_steps:
        return
    wrong = legal[:, :-1].any(1) if over else legal[:, -1]
    if bool(wrong.any()):
        how = "exactly" if environment.fixed_steps else "at most"
        raise InvalidValueError(
            f"expected {how} {environment.steps} moves of a trajectory, as steps of {type(environment).__name__} says, "
            f"but state {states[wrong][0].tolist()} allows {'a move' if over else 'the stop'} after {made}. Correct "
            "steps and fixed_steps of the environment, or what it allows there"
        )


def _check_way_back(environment: Environment, states: Tensor, actions: Tensor, after: Tensor, undo: Tensor) -> None:
    legal = environment.undoable(after)
    parents, back = environment.before(after, undo)
    wrong = ~legal[torch.arange(len(undo), device=undo.device), undo] | (parents != states).any(1) | (back != actions)
    if bool(wrong.any()):
        i = int(wrong.nonzero()[0])
        raise InvalidValueError(
            f"move {int(actions[i])} at state {states[i].tolist()} leads to {after[i].tolist()}, and undo "
            f"{int(undo[i])} there leads to {parents[i].tolist()} by move {int(back[i])}; it has to lead back"
        )


def _radix(sizes: tuple[int, ...]) -> np.ndarray:
    return np.append(np.cumprod(np.array(sizes[:0:-1], dtype=object))[::-1], 1)


def _codes(states: Tensor, radix: np.ndarray) -> list[int]:
    return [int(code) for code in states.cpu().numpy().astype(object) @ radix]


def l1(p: Tensor, q: Tensor) -> float:
    """Σ_x |p(x) - q(x)|, from 0 to 2."""
    return float((p - q).abs().sum())
