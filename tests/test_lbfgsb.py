"""The driver of L-BFGS-B: the points of scipy's own, and the rules that end a search."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import fmin_l_bfgs_b, rosen, rosen_der

from workbench.models import lbfgsb
from workbench.models.lbfgsb import Rules, minimum

LOW, HIGH = np.array([-2.0, -1.0, 0.2, -3.0]), np.array([1.5, 0.8, 2.0, 3.0])
START = np.array([-1.2, 5.0, 1.0, -2.0])  # one coordinate outside


def visited(rules, how):
    seen = []

    def loss(x):
        seen.append(np.array(x))
        return float(rosen(x)), rosen_der(x)

    if how == "ours":
        end = minimum(loss, START, LOW, HIGH, rules)
    else:
        end, _, _ = fmin_l_bfgs_b(
            loss, START, bounds=list(zip(LOW, HIGH, strict=True)), maxiter=rules.rounds, pgtol=rules.flat,
            factr=rules.stalled / np.finfo(np.float64).eps, maxls=20,
        )  # fmt: skip
    return np.array(seen), end


@pytest.mark.parametrize("rules", [Rules(100, 1e-6, 1e-12), Rules(3, 1e-6, 1e-12), Rules(100, 5.0, 1e-3)])
def test_the_points_are_those_of_scipy_to_the_last_bit(rules):
    ours, end = visited(rules, "ours")
    theirs, other = visited(rules, "scipy")
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(end, other)
    assert (end >= LOW).all()
    assert (end <= HIGH).all()


def test_another_scipy_is_driven_through_its_public_interface(monkeypatch):
    rules = Rules(100, 1e-8, 1e-14)
    _, end = visited(rules, "ours")
    monkeypatch.setattr(lbfgsb, "KNOWN", False)
    _, other = visited(rules, "ours")
    np.testing.assert_allclose(other, end, atol=1e-6)
    free = (end > LOW) & (end < HIGH)
    np.testing.assert_allclose(rosen_der(end)[free], 0.0, atol=1e-4)  # a minimum where no bound holds it


def test_what_the_loss_raises_ends_the_search():
    def loss(x):
        raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        minimum(loss, START, LOW, HIGH, Rules(10, 1e-6, 1e-9))
