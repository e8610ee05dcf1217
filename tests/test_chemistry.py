"""DNA that folds and molecules that are measured."""

from __future__ import annotations

import math

import numpy as np
import pytest

from problems import chemistry
from workbench.errors import ProblemError


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProblemError, match="pip install no-such-package"):
        chemistry._library("no_such_module", "no-such-package")
    with pytest.raises(ProblemError, match="some of energy, pairs, pins"):
        chemistry.aptamers(30, ("weight",))


@pytest.mark.parametrize(("structure", "count"), [("((..))", 1), ("((.)).(...)", 2), ("....", 0), ("((.)(.))", 1)])
def test_hairpins_are_returns_of_the_depth(structure: str, count: int) -> None:
    assert chemistry._returns(structure) == count


def test_two_hairpins_of_dna() -> None:
    """GCGCTTTTGCGCAAGGCCTTTTGGCCAATT folds to two hairpins of four pairs, at -9.5 kcal/mol."""
    text = "GCGCTTTTGCGCAAGGCCTTTTGGCCAATT"
    structure, energy = chemistry.fold(text)
    assert structure == "((((....))))..((((....))))...."
    assert energy == pytest.approx(-9.5, abs=0.05)
    found = chemistry.aptamers().evaluate({"string": text})
    assert found == pytest.approx({"energy": -energy / 60, "pairs": 8 / 16, "pins": 2 / 8})


def test_molecules_are_measured_as_published() -> None:
    qed, sa, weight = chemistry.measure("CC(=O)Oc1ccccc1C(=O)O")  # aspirin
    assert (qed, sa, weight) == pytest.approx((0.5501, 1.5800, 180.159), abs=5e-4)
    assert math.isnan(chemistry.measure("C(")[0])
    problem = chemistry.molecules()
    chains = [point["chain"] for point in problem.space.decode(problem.space.uniform(300, np.random.default_rng(0)))]
    columns = np.empty(len(chains), dtype=object)
    columns[:] = chains
    values = problem.evaluate_batch({"chain": columns})
    for column in values.values():  # every chain of fragments is a molecule
        assert np.isfinite(column).all()
        assert ((column >= 0) & (column <= 1)).all()
