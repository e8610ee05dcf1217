"""What people's answers say about utilities: log-likelihoods with gradient and curvature, batched, in torch.

Two families. *probit*: a judge sees each utility with standard normal noise, P(v > u) = Phi((f_v - f_u) / sqrt 2), a
ranking as the chain of its neighbours, a tie where the noisy difference stays within a threshold (Thurstone 1927;
Glenn and David 1960). *luce*: a choice out of a set is made with probability exp(f_i) / sum exp(f_j), a ranking by
choosing without putting back (Luce 1959, Plackett 1975), the worst by the same on -f (Marley and Louviere 2005), and
ties as choices of several at once, exp(mean of their f) * delta_size (Davidson 1970; Turner et al. 2020, Modelling
rankings in R: the PlackettLuce package, eq. 3). For two it is the logit model.

A rater of precision beta sees beta f. An answer that is right with probability c is the answer of the model with
probability c, and each of the others with probability (1 - c) / (number of others).

Symbols: n items, T terms, M items of a term, A alternatives of a choice, ... batches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from workbench.rankings import ACCEPTABLE, Choice, Groups, chain, choices

Family = Literal["probit", "luce"]

_MOST = 512  # alternatives of one choice with ties; a larger one is taken apart
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_ROOT_HALF = math.sqrt(0.5)


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        kind: As in `rankings`.
        groups: Items, as `rankings` reads them.
        shown: All the items that were shown.
        rater: Number of the rater.
        confidence: Probability that it is right.
    """

    kind: str
    groups: Groups
    shown: tuple[int, ...]
    rater: int = 0
    confidence: float = 1.0


class Hyper(NamedTuple):
    """Hyperparameters of the likelihood: log ties (..., s) by size, and log precisions (..., r) of the raters."""

    ties: Tensor
    precisions: Tensor


class _Terms(NamedTuple):
    """Log-probability (..., T) of terms, its gradient (..., T, M) and negative Hessian (..., T, M, M)."""

    value: Tensor
    slope: Tensor
    curvature: Tensor


@dataclass(frozen=True)
class _Block:
    """Terms of one shape.

    Args:
        items, answers, raters: Of each term, shapes (T, M), (T,), (T,).
        cells: Where its curvature belongs in a matrix as one row, shape (T M^2,).
        terms: What they are worth, by seen utilities (..., T, M) and log ties (..., s).
    """

    items: Tensor
    answers: Tensor
    raters: Tensor
    cells: Tensor
    terms: Callable[[Tensor, Tensor], _Terms]


class Local(NamedTuple):
    """The log-likelihood around some utilities.

    Args:
        value: (...,).
        slope: (..., n).
        W: Positive semi-definite curvature (..., n, n): the negative Hessian where every answer is certain.
        H: Negative Hessian (..., n, n).
    """

    value: Tensor
    slope: Tensor
    W: Tensor
    H: Tensor


class Likelihood:
    """The log-likelihood of answers as a function of the utilities of n items.

    Args:
        answers: What was said. Items are numbered from 0; `rankings.ACCEPTABLE` may appear through "none_acceptable".
        n: Number of items; what would just be acceptable is item n if an answer speaks of it.
        family: "probit" or "luce".
        device: Where to compute.
    Attributes:
        size: Number of items, that one included.
        sizes: Sizes of ties that were stated, each with a hyperparameter ("probit" has one for all).
        raters: Number of raters.
    """

    def __init__(
        self, answers: Sequence[Answer], n: int, family: Family = "luce", device: torch.device | str = "cpu"
    ) -> None:
        self.n, self.family, self.device = n, family, torch.device(device)
        self.count = len(answers)
        self.raters = 1 + max((answer.rater for answer in answers), default=0)
        self.outside = any(answer.kind == "none_acceptable" for answer in answers)
        self.size = n + self.outside
        make = self._luce_blocks if family == "luce" else self._probit_blocks
        self.sizes: tuple[int, ...] = ()
        self._blocks, orders = make(answers)
        doubted = [(e, a.confidence, orders[e]) for e, a in enumerate(answers) if a.confidence < 1.0 and e in orders]
        self._doubted = torch.tensor([e for e, _, _ in doubted], dtype=torch.long, device=self.device)
        wrong = [(1.0 - c) / max(1.0, many - 1.0) for _, c, many in doubted]  # of each other answer
        self._wrong = self._floats(wrong)
        self._right = self._floats([c - w for (_, c, _), w in zip(doubted, wrong, strict=True)])

    def __call__(self, f: Tensor, hyper: Hyper) -> Local:
        """Value, gradient and curvature at utilities (..., n), differentiable in all of its arguments."""
        batch = f.shape[:-1]
        value = f.new_zeros(*batch, self.count)
        found = []
        for block in self._blocks:
            beta = hyper.precisions.exp()[..., block.raters, None]  # (..., T, 1)
            terms = block.terms(beta * f[..., block.items], hyper.ties)
            value = value + _spread(terms.value, block.answers, self.count)
            found.append((block, beta * terms.slope, beta[..., None] ** 2 * terms.curvature))
        total = value.sum(-1)
        slope, W = f.new_zeros(*batch, self.size), f.new_zeros(*batch, self.size * self.size)
        if not len(self._doubted):
            for block, g, C in found:
                slope = slope + _spread(g.flatten(-2), block.items.flatten(), self.size)
                W = W + _spread(C.flatten(-3), block.cells, self.size**2)
            W = W.unflatten(-1, (self.size, self.size))
            return Local(total, slope, W, W)
        own = self._right * value[..., self._doubted].exp()
        mixed = self._wrong + own  # c P + (1 - c) (1 - P) / (others)
        total = total + (mixed.log() - value[..., self._doubted]).sum(-1)
        trust = torch.ones_like(value).scatter(-1, self._doubted.expand(own.shape), own / mixed)
        full, by_answer = torch.zeros_like(W), f.new_zeros(*batch, self.count * self.size)
        for block, g, C in found:
            s = trust[..., block.answers]
            slope = slope + _spread((s[..., None] * g).flatten(-2), block.items.flatten(), self.size)
            sure = s.clamp_min(0.0)  # an answer that is more often wrong has a negative part
            W = W + _spread((sure[..., None, None] * C).flatten(-3), block.cells, self.size**2)
            full = full + _spread((s[..., None, None] * C).flatten(-3), block.cells, self.size**2)
            places = (block.answers[:, None] * self.size + block.items).flatten()
            by_answer = by_answer + _spread(g.flatten(-2), places, self.count * self.size)
        W = W.unflatten(-1, (self.size, self.size))
        G = by_answer.unflatten(-1, (self.count, self.size))[..., self._doubted, :]  # (..., e, n)
        s = trust[..., self._doubted]
        H = full.unflatten(-1, (self.size, self.size)) - G.mT @ ((s * (1.0 - s))[..., None] * G)
        return Local(total, slope, W, H)

    # -- terms -----------------------------------------------------------------------------------

    def _probit_blocks(self, answers: Sequence[Answer]) -> tuple[list[_Block], dict[int, float]]:
        wins: list[tuple[int, tuple[int, ...]]] = []
        ties: list[tuple[int, tuple[int, ...]]] = []
        orders: dict[int, float] = {}
        for e, answer in enumerate(answers):
            stated, tied = chain(answer.kind, answer.groups, answer.shown)
            wins += [(e, self._items(pair)) for pair in stated]
            ties += [(e, self._items(pair)) for pair in tied]
            if stated or tied:
                orders[e] = 2.0 ** len(stated) * 3.0 ** len(tied)
        if ties:
            self.sizes = (2,)
        found = [self._block(answers, wins, _probit_wins)] if wins else []
        return found + ([self._block(answers, ties, _probit_ties)] if ties else []), orders

    def _luce_blocks(self, answers: Sequence[Answer]) -> tuple[list[_Block], dict[int, float]]:
        steps = [(e, step) for e, a in enumerate(answers) for step in choices(a.kind, a.groups, a.shown)]
        steps = [(e, part) for e, step in steps for part in _apart(step)]
        self.sizes = tuple(sorted({len(step.chosen) for _, step in steps if len(step.chosen) > 1}))
        shapes: dict[tuple[int, tuple[int, ...], int, int], list[tuple[int, tuple[int, ...]]]] = {}
        orders: dict[int, float] = {}
        for e, step in steps:
            m = len(step.chosen) + len(step.left)
            kinds = _kinds(m, len(step.chosen), self.sizes)
            orders[e] = orders.get(e, 1.0) * sum(math.comb(m, size) for size in kinds)
            shape = (m, kinds, len(step.chosen), step.sign)
            shapes.setdefault(shape, []).append((e, self._items((*step.chosen, *step.left))))
        return [self._block(answers, terms, self._luce(*shape)) for shape, terms in shapes.items()], orders

    def _luce(self, m: int, kinds: tuple[int, ...], chosen: int, sign: int) -> Callable[[Tensor, Tensor], _Terms]:
        """Choices of the first `chosen` of m items, out of all subsets of some sizes."""
        subsets = [subset for size in kinds for subset in itertools.combinations(range(m), size)]
        rows = [[1.0 / len(subset) if i in subset else 0.0 for i in range(m)] for subset in subsets]
        means = sign * self._floats(rows)  # (A, M)
        squares = (means[:, :, None] * means[:, None, :]).flatten(-2)  # (A, M^2)
        size_of = torch.tensor([self.sizes.index(len(s)) + 1 if len(s) > 1 else 0 for s in subsets], device=self.device)
        own, tied = subsets.index(tuple(range(chosen))), max(kinds) > 1

        def terms(u: Tensor, ties: Tensor) -> _Terms:
            logits = u @ means.T  # (..., T, A)
            if tied:
                prevalence = torch.cat([ties.new_zeros(*ties.shape[:-1], 1), ties], dim=-1)[..., size_of]  # (..., A)
                logits = logits + prevalence[..., None, :]
            logs = logits.log_softmax(-1)
            p = logs.exp()
            mean = p @ means  # (..., T, M)
            curvature = (p @ squares).unflatten(-1, (m, m)) - mean[..., :, None] * mean[..., None, :]
            return _Terms(logs[..., own], means[own] - mean, curvature)

        return terms

    def _block(
        self, answers: Sequence[Answer], terms: Sequence[tuple[int, tuple[int, ...]]],
        worth: Callable[[Tensor, Tensor], _Terms],
    ) -> _Block:  # fmt: skip
        items, numbers, raters = (
            torch.tensor(column, dtype=torch.long, device=self.device)
            for column in ([i for _, i in terms], [e for e, _ in terms], [answers[e].rater for e, _ in terms])
        )
        cells = (items[:, :, None] * self.size + items[:, None, :]).flatten()
        return _Block(items, numbers, raters, cells, worth)

    def _items(self, members: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.n if item == ACCEPTABLE else item for item in members)

    def _floats(self, values: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self.device)


def _apart(step: Choice) -> list[Choice]:
    """A choice with ties as it is, or, where that has too many alternatives, each of the tied ones against the rest.

    The latter leaves aside that they are equal, which is less than was said and nothing that was not.
    """
    m, chosen = len(step.chosen) + len(step.left), len(step.chosen)
    if chosen == 1 or math.comb(m, chosen) + m <= _MOST:
        return [step]
    return [Choice((one,), step.left, step.sign) for one in step.chosen] if step.left else []


def _kinds(m: int, chosen: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes of the choices that were open: one, and the ties that are ever stated as far as they are not too many."""
    kinds, count = [1], m
    for size in sorted(sizes, key=lambda size: (size != chosen, size)):
        if size <= m and count + math.comb(m, size) <= _MOST:
            kinds.append(size)
            count += math.comb(m, size)
    return tuple(sorted(kinds))


def _probit_wins(u: Tensor, ties: Tensor) -> _Terms:
    """log Phi(z - delta), z = (u_0 - u_1) / sqrt 2, with no threshold where ties are never stated."""
    z = (u[..., 0] - u[..., 1]) * _ROOT_HALF
    if ties.shape[-1]:
        z = z - ties.exp()
    value = torch.special.log_ndtr(z)
    hazard = torch.exp(-0.5 * z * z - _LOG_SQRT_2PI - value)
    return _of_difference(value, hazard, hazard * (z + hazard))


def _probit_ties(u: Tensor, ties: Tensor) -> _Terms:
    """log of Phi(delta - z) - Phi(-delta - z)."""
    z, delta = (u[..., 0] - u[..., 1]) * _ROOT_HALF, ties.exp()
    near, far = torch.special.log_ndtr(delta - z.abs()), torch.special.log_ndtr(-delta - z.abs())
    value = near + torch.log1p(-torch.exp(far - near))
    a = torch.exp(-0.5 * (delta - z) ** 2 - _LOG_SQRT_2PI - value)
    b = torch.exp(-0.5 * (delta + z) ** 2 - _LOG_SQRT_2PI - value)
    return _of_difference(value, b - a, (b - a) ** 2 + (delta - z) * a + (delta + z) * b)


def _of_difference(value: Tensor, slope: Tensor, curvature: Tensor) -> _Terms:
    """A function of z as one of u, with z = (u_0 - u_1) / sqrt 2."""
    signs = value.new_tensor([1.0, -1.0])
    outer = signs[:, None] * signs
    return _Terms(value, _ROOT_HALF * slope[..., None] * signs, 0.5 * curvature[..., None, None] * outer)


def _spread(values: Tensor, places: Tensor, size: int) -> Tensor:
    """Sums (..., size) of values (..., k) that belong in places (k,).

    On a GPU by a product with a selection, since sums in the order in which threads come are not repeatable.
    """
    if values.is_cuda:
        return values @ torch.nn.functional.one_hot(places, size).to(values.dtype)
    return values.new_zeros(*values.shape[:-1], size).index_add(-1, places, values)
