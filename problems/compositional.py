"""Objects put together piece by piece: grids, strings, bags, layers; the problems that GFlowNets are measured on.

All are maximised, most of them in [0, 1]. Where the points can be counted, exact optima and fronts come from counting.

Symbols: n points, m objectives.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import ProblemError
from workbench.problem import Constraint, Objective
from workbench.space import Categorical, Int, Space
from workbench.space import Sequence as Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Columns = Mapping[str, Any]
Formula = Callable[[Columns], "dict[str, NDArray[np.float64]]"]

AMINO_ACIDS = "ARNDCEQGHILKMFPSTWYV"
_MOGFN = "Jain et al. 2023, Multi-Objective GFlowNets, arXiv 2210.12765"
_OPGFN = "Chen and Mauch 2024, Order-Preserving GFlowNets, arXiv 2310.00386"


@dataclass(frozen=True, slots=True)
class Composition:
    """A problem over finitely many objects.

    Args:
        name: Name of the problem.
        space: What the objects are made of.
        formula: Columns of parameters, each of shape (n,), to the values of every objective by name, shape (n,).
        objectives: What is wanted.
        source: Where it was published.
        optimum: Largest value of a single objective; None: several, or not known.
    """

    name: str
    space: Space
    formula: Formula
    objectives: tuple[Objective, ...]
    source: str
    optimum: float | None = None

    @property
    def constraints(self) -> Sequence[Constraint]:
        """None is measured."""
        return ()

    def evaluate(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Values of one object."""
        columns = {name: np.array([value]) for name, value in params.items()}
        return {name: float(values[0]) for name, values in self.evaluate_batch(columns).items()}

    def evaluate_batch(self, columns: Columns) -> dict[str, Array]:
        """Values of n objects, from columns of shape (n,)."""
        return self.formula(columns)


# -- the grid of two numbers ------------------------------------------------------------------------


def currin(a: Array, b: Array) -> Array:
    """Currin et al. 1991 on [-1, 1]², as scaled for MOGFN's grid."""
    u, v = a / 2 + 0.5, b / 2 + 0.5
    top = 2300 * u**3 + 1900 * u**2 + 2092 * u + 60
    return np.asarray((1 - np.exp(-1 / (2 * v + 1e-10))) * top / (100 * u**3 + 500 * u**2 + 4 * u + 20) / 13.77)


def branin(a: Array, b: Array) -> Array:
    """Branin on [-1, 1]², upside down."""
    p, q = 15 * (a / 2 + 0.5) - 5, 15 * (b / 2 + 0.5)
    bowl = (q - 5.1 * p**2 / (4 * math.pi**2) + 5 * p / math.pi - 6) ** 2
    return np.asarray(1 - (bowl + 10 * (1 - 1 / (8 * math.pi)) * np.cos(p) + 10) / 308.13)


def beale(a: Array, b: Array) -> Array:
    """Beale on [-1, 1]²."""
    return np.asarray(
        ((1.5 - a + a * b) ** 2 + (2.25 - a + a * b**2) ** 2 + (2.625 - a + a * b**3) ** 2) / 38.8
    )  # fmt: skip


def shubert(a: Array, b: Array) -> Array:
    """Shubert on [-1.5, 1.5]²."""

    def side(z: Array) -> Array:
        return np.asarray(sum(i * np.cos((i + 1) * -1.5 * z + i) for i in range(1, 6)))

    return np.asarray((side(a) * side(b) + 186.8) / 397)


GRID_FUNCTIONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "branin": branin, "currin": currin, "shubert": shubert, "beale": beale,
}  # fmt: skip
PAIRS = tuple(itertools.combinations(GRID_FUNCTIONS, 2))


@dataclass(frozen=True, slots=True)
class GridFormula:
    """Some of the grid's functions at levels of two numbers."""

    functions: tuple[str, ...]
    height: int

    def __call__(self, columns: Columns) -> dict[str, Array]:
        """Values at levels 0 … height - 1."""
        a, b = (2 * np.asarray(columns[name], dtype=np.float64) / (self.height - 1) - 1 for name in ("i", "j"))
        return {name: GRID_FUNCTIONS[name](a, b) for name in self.functions}


def grid(functions: Sequence[str] = ("branin", "currin"), height: int = 32) -> Composition:
    """Two levels and up to four functions of them; the far corner is no point, as its trajectories would end before."""
    names = tuple(functions)
    if not names or not set(names) <= set(GRID_FUNCTIONS):
        raise ProblemError(f"functions must be some of {', '.join(GRID_FUNCTIONS)}, got {functions!r}")
    last = height - 1
    return Composition(
        "grid-" + "-".join(names),
        Space([Int("i", 0, last), Int("j", 0, last)], constraints=[f"i + j <= {2 * last - 1}"]),
        GridFormula(names, height),
        tuple(Objective(name, "maximize", noise="none") for name in names),
        f"{_MOGFN}, section 5.1; {_OPGFN}, section 5.1",
    )


# -- strings ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each n-gram occurs, overlaps counted, as a share of `most`."""

    grams: tuple[str, ...]
    most: int

    def __call__(self, columns: Columns) -> dict[str, Array]:
        """Shares of strings."""
        texts = [str(text) for text in columns["string"]]
        return {
            gram: np.array([_occurrences(text, gram) for text in texts]) / self.most for gram in self.grams
        }  # fmt: skip


def _occurrences(text: str, gram: str) -> float:
    return float(sum(text.startswith(gram, i) for i in range(len(text) - len(gram) + 1)))


def ngrams(grams: Sequence[str] = ("AV", "VC"), shortest: int = 33, longest: int = 36, most: int = 18) -> Composition:
    """Strings of amino acids with many of each n-gram; pairs that share a letter compete for places."""
    wrong = [gram for gram in grams if not gram or not set(gram) <= set(AMINO_ACIDS)]
    if wrong:
        raise ProblemError(f"n-grams must be written in {AMINO_ACIDS}, got {wrong[0]!r}, which could never occur")
    return Composition(
        f"ngrams-{len(grams)}",
        Space([Tokens("string", AMINO_ACIDS, shortest, longest)]),
        Counts(tuple(grams), most),
        tuple(Objective(gram, "maximize", noise="none") for gram in grams),
        f"{_MOGFN}, section 5.2, after Stanton et al. 2022",
    )


def unigrams(letters: str = "AVC") -> Composition:
    """Strings of 17 or 18 amino acids with many of each letter."""
    return ngrams(tuple(letters), 17, 18)


# -- bags and layers ------------------------------------------------------------------------------------

_LETTERS = "ABCDEFG"
_BAG = 13
_MANY = 7  # of one letter


@dataclass(frozen=True, slots=True)
class BagFormula:
    """0.01; 10 with seven of a letter; 30 for a quarter of those, chosen by a seed."""

    seed: int

    def __call__(self, columns: Columns) -> dict[str, Array]:
        """Rewards of counts."""
        counts = np.stack([np.asarray(columns[letter], dtype=np.int64) for letter in _LETTERS], axis=1)
        many = counts.max(axis=1) >= _MANY
        codes = counts @ (_BAG + 1) ** np.arange(len(_LETTERS))
        best = many & np.isin(codes, _best_bags(self.seed))
        return {"reward": np.where(best, 30.0, np.where(many, 10.0, 0.01))}


@functools.cache
def _bags() -> NDArray[np.int64]:
    """Every bag of 13 letters, shape (27132, 7)."""
    bars = itertools.combinations(range(_BAG + len(_LETTERS) - 1), len(_LETTERS) - 1)
    cuts = np.array([(-1, *bar, _BAG + len(_LETTERS) - 1) for bar in bars])
    return np.diff(cuts, axis=1) - 1


@functools.cache
def _best_bags(seed: int) -> NDArray[np.int64]:
    codes = _bags()[_bags().max(axis=1) >= _MANY] @ (_BAG + 1) ** np.arange(len(_LETTERS))
    return np.random.default_rng(seed).permutation(codes)[: len(codes) // 4]


def bag(seed: int = 0) -> Composition:
    """Thirteen letters of seven kinds, order of no importance; 27,132 bags."""
    total = " + ".join(_LETTERS)
    return Composition(
        "bag",
        Space([Int(letter, 0, _BAG) for letter in _LETTERS], constraints=[f"{total} == {_BAG}"]),
        BagFormula(seed),
        (Objective("reward", "maximize", noise="none"),),
        f"{_OPGFN}, section 5.2, after Shen et al. 2023",
        optimum=30.0,
    )


@dataclass(frozen=True, slots=True)
class CellFormula:
    """Worth of each operation on each edge, and of pairs of them, drawn from a seed; scaled to [0, 1]."""

    seed: int

    def __call__(self, columns: Columns) -> dict[str, Array]:
        """Accuracies of cells."""
        choices = np.stack([np.asarray(columns[f"edge{e}"], dtype=np.int64) for e in range(6)], axis=1)
        table = _cells(self.seed)
        return {"accuracy": table[tuple(choices.T)]}


@functools.cache
def _cells(seed: int) -> Array:
    rng = np.random.default_rng(seed)
    values = np.zeros((5,) * 6)
    for e in range(6):
        shape = [1] * 6
        shape[e] = 5
        values = values + rng.normal(size=5).reshape(shape)
    for e, f in itertools.combinations(range(6), 2):
        shape = [1] * 6
        shape[e] = shape[f] = 5
        values = values + 0.5 * rng.normal(size=(5, 5)).reshape(shape)
    scaled: Array = (values - values.min()) / (values.max() - values.min())
    return scaled


def cells(seed: int = 0) -> Composition:
    """Six edges with one of five operations each: 15,625 cells, as many as NATS-Bench has, with drawn accuracies."""
    return Composition(
        "cells",
        Space([Categorical(f"edge{e}", list(range(5))) for e in range(6)]),
        CellFormula(seed),
        (Objective("accuracy", "maximize", noise="none"),),
        f"stands in for the topologies of NATS-Bench, arXiv 2009.00437, in {_OPGFN}, section 5.3",
        optimum=1.0,
    )
