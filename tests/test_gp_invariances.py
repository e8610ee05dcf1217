"""What must not matter to the engine: units, the order of rows and columns, and the process it runs in."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import workbench as wb
from workbench.models.gp import GaussianProcesses

ROOT = Path(__file__).parent.parent


def hills(a: float, b: float) -> float:
    return math.sin(7 * a + 1) * math.cos(5 * b) + a


def study(space=None, n=14, value=hills, noise="none", order=None, seed=0):
    """Points of the unit square, told in units of the space given."""
    space = space or box()
    s = wb.create_study("s", space, [wb.Objective("y", noise=noise)], sampler="gp", seed=seed)
    unit = box().sobol(n, 3)
    for u in unit[np.arange(n) if order is None else order]:
        s.attach(space.decode(u[None])[0], value(*u))
    return s


def box(low=0.0, high=1.0):
    return wb.Space([wb.Float("a", low, high), wb.Float("b", low, high)])


def asked(s, n=1):
    """Encoded proposals, shape (n, 2), and their acquisition values."""
    trials = s.ask(n) if n > 1 else [s.ask()]
    return s.space.encode([t.params for t in trials]), [t.meta["value"] for t in trials]


@pytest.mark.parametrize("noise", ["none", "unknown"])
@pytest.mark.parametrize(("scale", "shift"), [(4.0, 0.0), (3.0, 7.0), (1e-9, 1e-8), (1e12, -5e12)])
def test_units_of_the_objective(scale, shift, noise):
    plain, other = study(noise=noise), study(noise=noise, value=lambda a, b: scale * hills(a, b) + shift)
    (x, value), (z, beyond) = asked(plain), asked(other)
    if scale == 4.0:  # a power of two: to the bit
        np.testing.assert_array_equal(x, z)
        assert value == beyond
    np.testing.assert_allclose(x, z, atol=1e-4)  # a search ends where the slope is 1e-3
    np.testing.assert_allclose(value, beyond, atol=1e-5)


def test_units_of_the_box():
    x, value = asked(study())
    z, beyond = asked(study(box(-30.0, 70.0)))
    np.testing.assert_allclose(x, z, atol=1e-6)
    np.testing.assert_allclose(value, beyond, atol=1e-6)


def test_the_order_of_rows_and_of_columns():
    """At fixed points: where a search begins depends on the order of columns, its target does not."""
    turned = wb.Space([wb.Float("b", 0, 1), wb.Float("a", 0, 1)])
    s = wb.create_study("s", turned, [wb.Objective("y", noise="none")], sampler="gp")
    for u in box().sobol(14, 3):
        s.attach({"a": u[0], "b": u[1]}, hills(*u))
    X = box().sobol(50, 9)
    mean, sd = GaussianProcesses.fit(study().history()).posterior(X)
    backwards = GaussianProcesses.fit(study(order=np.arange(14)[::-1]).history()).posterior(X)
    crosswise = GaussianProcesses.fit(s.history()).posterior(X[:, ::-1])
    for other in (backwards, crosswise):  # where a fit ends: a hundredth of a nat from its maximum
        np.testing.assert_allclose(other[0], mean, atol=2e-3)
        np.testing.assert_allclose(other[1], sd, atol=2e-3)


def test_a_batch_has_no_point_twice_and_none_that_is_known():
    s = study(n=10)
    X, _ = asked(s, 12)
    known = np.concatenate([s.history().X[:10], X])
    apart = np.abs(known[:, None] - known[None]).max(axis=2) + np.eye(len(known))
    assert apart.min() > 1e-6


@pytest.mark.slow
def test_the_same_record_gives_the_same_proposal_in_another_process(tmp_path):
    s = study(n=12, noise="unknown", seed=4)
    s.tell(s.ask(), 0.1)  # from now on with a warm start
    s.export(tmp_path / "s.json")
    script = f"""
        import json, workbench as wb
        trials = wb.import_study({str(tmp_path / "s.json")!r}).ask(2)
        print(json.dumps([[t.params, t.meta["value"], t.meta["gp"]] for t in trials]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    there = [subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout for _ in range(2)]
    here = [[t.params, t.meta["value"], t.meta["gp"]] for t in s.ask(2)]
    assert json.loads(there[0]) == json.loads(there[1]) == json.loads(json.dumps(here))
