"""Strings and molecules that a library folds or measures: DNA aptamers by ViennaRNA, chains of fragments by RDKit.

Both libraries are extras (`pip install "optimization-workbench[chemistry]"`), loaded when a value is asked for.

Symbols: n objects.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from problems.compositional import Composition
from workbench.errors import ProblemError
from workbench.problem import Objective
from workbench.space import Sequence as Tokens
from workbench.space import Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_CELSIUS, _SALT = 37.0, 1.02  # degrees; mol/l of monovalent ions
_ENERGY, _PAIRS, _PINS = 60.0, 16.0, 8.0  # kcal/mol, pairs and hairpins that become 1

# Each is a SMILES that is bound to the one before by its first atom and to the one after by its last open one, so that
# fragments written one after the other are the SMILES of the chain.
FRAGMENTS = (
    "C", "CC", "C(C)", "C(=O)", "C(=O)N", "N", "O", "S", "C(F)", "C(O)", "S(=O)(=O)", "C(C#N)",
    "c1ccc(cc1)", "c1cc(F)c(cc1)", "c1ccc(nc1)", "C1CCC(CC1)", "N1CCC(CC1)", "N1CCN(CC1)", "c1cc(oc1)", "c1cc(sc1)",
)  # fmt: skip


def aptamers(length: int = 30, quantities: Sequence[str] = ("energy", "pairs", "pins")) -> Composition:
    """DNA strings of one length that fold well: low energy, many pairs, many hairpins; in ViennaRNA's parameters.

    The energies are not those of NUPACK, with which the task was published: compare runs of this problem alone.
    """
    wrong = set(quantities) - {"energy", "pairs", "pins"}
    if wrong or not quantities:
        raise ProblemError(f"quantities must be some of energy, pairs, pins; got {list(quantities)}")
    return Composition(
        f"aptamers-{length}",
        Space([Tokens("string", "ACGT", length, length)]),
        Folding(tuple(quantities)),
        tuple(Objective(name, "maximize", noise="none") for name in quantities),
        "after Jain et al. 2023, Multi-Objective GFlowNets, arXiv 2210.12765, section 5.3; folded by ViennaRNA with "
        "the DNA parameters of Mathews 2004",
    )


class Folding:
    """The structure of least energy of DNA strings: its energy, pairs and hairpins, each scaled as published."""

    def __init__(self, quantities: tuple[str, ...]) -> None:
        self._quantities = quantities

    def __call__(self, columns: Mapping[str, Any]) -> dict[str, Array]:
        """Values of n strings."""
        folded = [fold(str(text)) for text in columns["string"]]
        values = {
            "energy": np.array([-energy / _ENERGY for _, energy in folded]),
            "pairs": np.array([structure.count("(") / _PAIRS for structure, _ in folded]),
            "pins": np.array([_returns(structure) / _PINS for structure, _ in folded]),
        }
        return {name: values[name] for name in self._quantities}


@functools.lru_cache(maxsize=1 << 16)
def fold(text: str) -> tuple[str, float]:
    """Structure in brackets, and energy in kcal/mol, of a DNA string.

    Raises:
        ProblemError: if ViennaRNA is not there.
    """
    library = _library("RNA", "viennarna")
    library.params_load_DNA_Mathews2004()
    details = library.md()
    details.temperature, details.salt = _CELSIUS, _SALT
    structure, energy = library.fold_compound(text, details).mfe()
    return str(structure), float(energy)


def _returns(structure: str) -> int:
    """How often the depth of brackets comes back to 0."""
    depth = count = 0
    for sign in structure:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        count += sign == ")" and depth == 0
    return count


def molecules(most: int = 6, quantities: Sequence[str] = ("qed", "sa", "mw")) -> Composition:
    """Chains of two to `most` fragments: drug-likeness, ease of synthesis, and a weight below 300."""
    wrong = set(quantities) - {"qed", "sa", "mw"}
    if wrong or not quantities:
        raise ProblemError(f"quantities must be some of qed, sa, mw; got {list(quantities)}")
    return Composition(
        f"molecules-{most}",
        Space([Tokens("chain", FRAGMENTS, 2, most)]),
        Measuring(tuple(quantities)),
        tuple(Objective(name, "maximize", noise="none") for name in quantities),
        "rewards of recursionpharma/gflownet's fragment task, after Jain et al. 2023, arXiv 2210.12765, section 5.3",
    )


class Measuring:
    """QED (Bickerton 2012), (10 - SA) / 9 (Ertl and Schuffenhauer 2009), clip((300 - MW) / 700 + 1, 0, 1)."""

    def __init__(self, quantities: tuple[str, ...]) -> None:
        self._quantities = quantities

    def __call__(self, columns: Mapping[str, Any]) -> dict[str, Array]:
        """Values of n chains."""
        measured = np.array([measure("".join(chain)) for chain in columns["chain"]]).reshape(-1, 3)
        values = {
            "qed": measured[:, 0],
            "sa": (10.0 - measured[:, 1]) / 9.0,
            "mw": np.clip((300.0 - measured[:, 2]) / 700.0 + 1.0, 0.0, 1.0),
        }
        return {name: values[name] for name in self._quantities}


@functools.lru_cache(maxsize=1 << 16)
def measure(smiles: str) -> tuple[float, float, float]:
    """QED, SA score and molecular weight of a molecule; NaN where RDKit reads none.

    Raises:
        ProblemError: if RDKit is not there.
    """
    _library("rdkit", "rdkit")
    chem, qed = importlib.import_module("rdkit.Chem"), importlib.import_module("rdkit.Chem.QED")
    descriptors = importlib.import_module("rdkit.Chem.Descriptors")
    scorer = importlib.import_module("rdkit.Contrib.SA_Score.sascorer")
    molecule = chem.MolFromSmiles(smiles)
    if molecule is None:
        return math.nan, math.nan, math.nan
    return float(qed.qed(molecule)), float(scorer.calculateScore(molecule)), float(descriptors.MolWt(molecule))


def _library(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ProblemError(f"this problem needs {package}; pip install {package}") from error
