"""The canyon of 2306.09778: where consensus, hopping, gradients and annealed noise end, and the figure of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench import plots
from workbench.errors import InvalidValueError

EXAMPLE = Path(__file__).parent.parent / "examples" / "consensus_to_gradient.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("consensus_to_gradient", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_canyon_is_the_formula(example):
    """By hand at the start and at one more point; the origin is its minimum on a fine grid, with value 0."""
    X = torch.tensor([[0.0, 0.0], [1.0, 2.0]], dtype=torch.float64)
    # at (1, 2): v = 0, so no hill; b = -4.2 < 0, so no wall; 0.4 + 0.8, and ripples of 1 - cos 0.75 pi, 1 - cos 1.5 pi
    wanted = 0.4 + 0.8 + 1.1625 * ((1 - np.cos(0.75 * np.pi)) + 1)
    assert example.canyon(X).tolist() == pytest.approx([0.0, wanted], abs=1e-12)
    axis = torch.linspace(-2, 9, 441, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    values = example.canyon(grid)
    assert values.min() == pytest.approx(0.0, abs=1e-12)
    assert grid[values.argmin()].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_a_figure_of_paths_says_how_many_arrive():
    steps = np.linspace(1.0, 0.0, 11)[:, None, None]
    there, away = steps * np.ones((1, 4, 2)), np.ones((11, 4, 2))
    away[:, 0] = there[:, 0]
    ways = {"all": there, "one": away}

    def bowl(X):
        return (X**2).sum(axis=1)

    figure = plots.paths(bowl, (-1.0, 2.0), ways, (0.0, 0.0), 0.1)
    assert [note.text for note in figure.layout.annotations[:2]] == ["all: 100%", "one: 25%"]
    assert "all 100%, one 25%" in figure.layout.meta["alt"]
    ends = [trace for trace in figure.data if trace.name == "ends"]
    assert np.array_equal(np.stack([ends[1].x, ends[1].y], axis=1), away[-1])
    assert plots.paths_table(bowl, ways, (0.0, 0.0), 0.1) == {
        "method": ["all", "one"], "runs": [4, 4], "found": [1.0, 0.25], "median value": [0.0, 2.0],
    }  # fmt: skip
    assert "No run to draw" in plots.paths(bowl, (0, 1), {}, (0.0, 0.0), 0.1).layout.annotations[0].text
    with pytest.raises(InvalidValueError, match=r"shape \(T, R, 2\); got \(3, 2\) for 'flat'"):
        plots.paths(bowl, (0, 1), {"flat": np.zeros((3, 2))}, (0.0, 0.0), 0.1)


@pytest.mark.slow
def test_consensus_and_hopping_cross_the_canyon_where_a_gradient_stays(example):
    """50 runs from (8, 8), the settings of figures 1 and 2 of 2306.09778."""
    ways = {name: way.numpy() for name, way in example.ways().items()}
    assert all(way.shape[1:] == (50, 2) and np.allclose(way[0], 8.0, atol=1.5) for way in ways.values())
    table = plots.paths_table(lambda X: example.canyon(torch.as_tensor(X)).numpy(), ways, (0.0, 0.0), 0.5)
    found = dict(zip(table["method"], table["found"], strict=True))
    assert found["consensus hopping"] >= 0.9
    assert found["consensus-based optimisation"] >= 0.9
    assert found["gradient descent"] == 0.0
    assert found["annealed Langevin"] == pytest.approx(0.34, abs=4 * (0.34 * 0.66 / 50) ** 0.5)  # four standard errors
    ends = example.canyon(torch.as_tensor(ways["gradient descent"][-1]))
    assert ends.min() > 1.0  # in a hollow of its own
