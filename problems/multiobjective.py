"""Test problems with several objectives, minimised, in the boxes and with the reference points of their papers.

Those of `botorch.test_functions` and the WFG set of pymoo, wrapped: both libraries are the judges of what the
formulas are. Constraints say there how much is left; here they are measured quantities that must stay at or
below zero.

Symbols: d parameters x1 ... xd, m objectives f1 ... fm, c constraints c1 ... cc, n points.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import ProblemError
from workbench.problem import Constraint, Objective
from workbench.space import Float, Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Columns = Mapping[str, Any]
Formula = Callable[[Columns], "dict[str, NDArray[np.float64]]"]


@dataclass(frozen=True, slots=True)
class VectorProblem:
    """Several quantities of one point, with the largest hypervolume that is known.

    Args:
        name: Name of the problem.
        space: Parameters in the units of the paper.
        formula: Columns of parameters, each of shape (n,), to the true values of every goal by name, shape (n,).
        objectives: What is wanted; the references of a hypervolume stand in them. A stated noise is added
            where `evaluate` is handed a generator.
        source: Where the problem was published.
        hypervolume: Of the Pareto front at those references, or the largest that was attained; None: not known.
        constraints: Measured limits.
        pareto: Number of points to that many on the true front, shape (n, m), user units; None: not known.
        optimum: Smallest value of a single objective; None with several.
    """

    name: str
    space: Space
    formula: Formula
    objectives: tuple[Objective, ...]
    source: str
    hypervolume: float | None = None
    constraints: tuple[Constraint, ...] = ()
    pareto: Callable[[int], Array] | None = field(default=None, compare=False)
    optimum: float | None = None

    def evaluate(self, params: Mapping[str, Any], rng: np.random.Generator | None = None) -> dict[str, float]:
        """Evaluate one point.

        Args:
            params: A value for every parameter, user units.
            rng: Adds normal noise of the objectives' standard deviations drawn from it; None gives the true values.
        """
        columns = {name: np.asarray([value]) for name, value in params.items()}
        return {name: float(values[0]) for name, values in self.evaluate_batch(columns, rng).items()}

    def evaluate_batch(self, columns: Columns, rng: np.random.Generator | None = None) -> dict[str, Array]:
        """Evaluate n points at once.

        Args:
            columns: Parameter name to values, shape (n,).
            rng: As for `evaluate`.
        Returns:
            Name of every objective and constraint to values, shape (n,).
        """
        found = self.formula(columns)
        if rng is not None:
            for goal in self.objectives:
                if goal.noise_sd:
                    found[goal.name] = found[goal.name] + rng.normal(0.0, goal.noise_sd, found[goal.name].shape)
        return found

    def front(self, n: int) -> Array | None:
        """n points of the true Pareto front, shape (n, m), user units; None where no formula of it is known."""
        return None if self.pareto is None else self.pareto(n)


# -- the formulas, by name alone: they travel to other processes --------------------------------------


@dataclass(frozen=True, slots=True)
class BoTorchFunctions:
    """A problem of `botorch.test_functions` on named columns.

    Args:
        function: Name of the class.
        parameters, outputs, limits: Names of the columns, of the objectives and of the constraints.
        options: What the class is made with.
    """

    function: str
    parameters: tuple[str, ...]
    outputs: tuple[str, ...]
    limits: tuple[str, ...] = ()
    options: tuple[tuple[str, int], ...] = ()

    def __call__(self, columns: Columns) -> dict[str, Array]:
        """True values, in double precision and without a graph."""
        import torch

        X = torch.from_numpy(_stacked(columns, self.parameters))
        problem = _botorch(self.function, self.options)
        with torch.no_grad():
            Y = problem.evaluate_true(X).numpy().reshape(len(X), -1)
            left = problem.evaluate_slack_true(X).numpy() if self.limits else np.empty((len(X), 0))
        values = dict(zip(self.outputs, Y.T, strict=True))
        return values | dict(zip(self.limits, -left.T, strict=True))  # BoTorch's slack is what is left

    def pareto(self, n: int) -> Array:
        """Points of the front as the class knows it."""
        front: Array = _botorch(self.function, self.options).gen_pareto_front(n).double().numpy()
        return front


@dataclass(frozen=True, slots=True)
class PymooFunctions:
    """A problem of pymoo on named columns; arguments as in `BoTorchFunctions`."""

    function: str
    parameters: tuple[str, ...]
    outputs: tuple[str, ...]
    options: tuple[tuple[str, int], ...] = ()

    def __call__(self, columns: Columns) -> dict[str, Array]:
        """True values."""
        X = _stacked(columns, self.parameters)
        Y = _pymoo(self.function, self.options).evaluate(X, return_values_of=["F"])
        return dict(zip(self.outputs, np.asarray(Y, dtype=np.float64).T, strict=True))


@functools.cache
def _botorch(function: str, options: tuple[tuple[str, int], ...]) -> Any:
    import torch
    from botorch.test_functions import multi_objective, synthetic

    kind = getattr(multi_objective, function, None) or getattr(synthetic, function)
    return kind(**dict(options)).to(torch.double)


@functools.cache
def _pymoo(function: str, options: tuple[tuple[str, int], ...]) -> Any:
    from pymoo.problems import get_problem

    return get_problem(function, **dict(options))


def _stacked(columns: Columns, names: Sequence[str]) -> Array:
    return np.stack([np.asarray(columns[name], dtype=np.float64) for name in names], axis=-1)  # (n, d)


def goals(names: Sequence[str], references: Sequence[float], noise: Sequence[float] | None = None) -> tuple[Any, ...]:
    """Objectives to minimise, with the references of their hypervolume; exact unless a noise is stated."""
    sds = [0.0] * len(names) if noise is None else noise
    return tuple(
        Objective(name, "minimize", noise=sd or "none", reference=reference)
        for name, reference, sd in zip(names, references, sds, strict=True)
    )


def _of_botorch(
    name: str,
    function: str,
    box: Sequence[tuple[float, float]],
    references: Sequence[float],
    source: str,
    hypervolume: float | None,
    *,
    limits: int = 0,
    front: bool = False,
    **options: int,
) -> VectorProblem:
    parameters = tuple(f"x{i + 1}" for i in range(len(box)))
    outputs = tuple(f"f{j + 1}" for j in range(len(references)))
    limited = tuple(f"c{k + 1}" for k in range(limits))
    formula = BoTorchFunctions(function, parameters, outputs, limited, tuple(options.items()))
    return VectorProblem(
        name,
        Space([Float(x, low, high) for x, (low, high) in zip(parameters, box, strict=True)]),
        formula,
        goals(outputs, references),
        f"{source}; botorch.test_functions.{function}",
        hypervolume,
        tuple(Constraint(c, upper=0.0, noise="none") for c in limited),
        formula.pareto if front else None,
    )


def _check_sizes(name: str, dim: int, objectives: int) -> None:
    if objectives < 2 or dim <= objectives:
        raise ProblemError(
            f"{name} needs at least 2 objectives and more parameters than objectives, got objectives={objectives!r} "
            f"and dim={dim!r}; choose a larger dim"
        )


# -- the problems -------------------------------------------------------------------------------------


def branin_currin(noise: tuple[float, float] | None = None) -> VectorProblem:
    """Branin's function against Currin's on the unit square.

    Args:
        noise: Standard deviations of one measurement of each. (15.19, 0.63) is 5 % of the ranges, as in Daulton
            et al. 2021.
    """
    found = _of_botorch(
        "branin_currin", "BraninCurrin", [(0.0, 1.0)] * 2, (18.0, 6.0),
        "Belakaria et al. 2019, Max-value Entropy Search for Multi-Objective Bayesian Optimization", 59.4071,
    )  # fmt: skip
    return found if noise is None else replace(found, objectives=goals(("f1", "f2"), (18.0, 6.0), noise))


def _sphere_left(reference: float, m: int) -> float:
    """What is left of a cube of that side when the unit ball's positive part is taken out of it."""
    return float(reference**m - math.pi ** (m / 2) / math.gamma(m / 2 + 1) / 2**m)


_DTLZ = "Deb, Thiele, Laumanns, Zitzler 2002, Scalable Multi-Objective Optimization Test Problems"


def dtlz1(dim: int = 6, objectives: int = 2) -> VectorProblem:
    """A flat front behind very many local ones."""
    _check_sizes("dtlz1", dim, objectives)
    volume = 400.0**objectives - 1 / (2**objectives * math.factorial(objectives))
    return _of_botorch(
        f"dtlz1-{dim}-{objectives}", "DTLZ1", [(0.0, 1.0)] * dim, (400.0,) * objectives, _DTLZ, volume,
        front=True, dim=dim, num_objectives=objectives,
    )  # fmt: skip


def dtlz2(dim: int = 6, objectives: int = 2) -> VectorProblem:
    """A spherical front."""
    _check_sizes("dtlz2", dim, objectives)
    return _of_botorch(
        f"dtlz2-{dim}-{objectives}", "DTLZ2", [(0.0, 1.0)] * dim, (1.1,) * objectives, _DTLZ,
        _sphere_left(1.1, objectives), front=True, dim=dim, num_objectives=objectives,
    )  # fmt: skip


def dtlz3(dim: int = 6, objectives: int = 2) -> VectorProblem:
    """The spherical front of `dtlz2` behind very many local ones."""
    _check_sizes("dtlz3", dim, objectives)
    return _of_botorch(
        f"dtlz3-{dim}-{objectives}", "DTLZ3", [(0.0, 1.0)] * dim, (1e4,) * objectives, _DTLZ,
        _sphere_left(1e4, objectives), front=True, dim=dim, num_objectives=objectives,
    )  # fmt: skip


def dtlz4(dim: int = 6, objectives: int = 2) -> VectorProblem:
    """The spherical front of `dtlz2`, most of which comes from a thin slice of the box; from pymoo.

    The class of that name in BoTorch 0.18 leaves the exponent out and is `dtlz2`.
    """
    _check_sizes("dtlz4", dim, objectives)
    twin = dtlz2(dim, objectives)
    formula = PymooFunctions("dtlz4", twin.space.names, tuple(f"f{j + 1}" for j in range(objectives)),
                             (("n_var", dim), ("n_obj", objectives)))  # fmt: skip
    return replace(twin, name=f"dtlz4-{dim}-{objectives}", formula=formula, source=f"{_DTLZ}; pymoo.problems.many.dtlz")


def dtlz7(dim: int = 6, objectives: int = 2) -> VectorProblem:
    """A front in separate patches."""
    _check_sizes("dtlz7", dim, objectives)
    return _of_botorch(
        f"dtlz7-{dim}-{objectives}", "DTLZ7", [(0.0, 1.0)] * dim, (15.0,) * objectives, _DTLZ, None,
        dim=dim, num_objectives=objectives,
    )  # fmt: skip


_ZDT = "Zitzler, Deb, Thiele 2000, Comparison of Multiobjective Evolutionary Algorithms"


def _zdt(number: int, dim: int, volume: float) -> VectorProblem:
    if dim < 2:
        raise ProblemError(f"zdt{number} is defined for 2 or more parameters, got dim={dim!r}; choose a larger dim")
    return _of_botorch(
        f"zdt{number}-{dim}", f"ZDT{number}", [(0.0, 1.0)] * dim, (11.0, 11.0), _ZDT, volume, front=True, dim=dim
    )  # fmt: skip


def zdt1(dim: int = 6) -> VectorProblem:
    """A convex front."""
    return _zdt(1, dim, 120 + 2 / 3)


def zdt2(dim: int = 6) -> VectorProblem:
    """A concave front."""
    return _zdt(2, dim, 120 + 1 / 3)


def zdt3(dim: int = 6) -> VectorProblem:
    """A front in five pieces; from pymoo.

    The class of that name in BoTorch 0.18 leaves out a factor g: it has this front, and other values beside it.
    """
    twin = _zdt(3, dim, 128.77811613069076)
    formula = PymooFunctions("zdt3", twin.space.names, ("f1", "f2"), (("n_var", dim),))
    return replace(twin, formula=formula, source=f"{_ZDT}; pymoo.problems.multi.zdt")


def c2_dtlz2(dim: int = 6) -> VectorProblem:
    """`dtlz2` with two objectives, of whose front a measured constraint leaves three patches.

    As in BoTorch: the middle patch has the radius 0.2 sqrt 2, where the paper has 0.2.
    """
    _check_sizes("c2_dtlz2", dim, 2)
    return _of_botorch(
        f"c2_dtlz2-{dim}", "C2DTLZ2", [(0.0, 1.0)] * dim, (1.1, 1.1),
        "Jain and Deb 2014, An Evolutionary Many-Objective Optimization Algorithm, part II", 0.400056,
        limits=1, dim=dim,
    )  # fmt: skip


def _wfg(number: int, objectives: int) -> VectorProblem:
    """Positions: 2 (m - 1) parameters, at least 4; distances: 4. Parameter i goes from 0 to 2 i."""
    k, distances = max(4, 2 * (objectives - 1)), 4
    parameters = tuple(f"x{i + 1}" for i in range(k + distances))
    outputs = tuple(f"f{j + 1}" for j in range(objectives))
    options = (("n_var", k + distances), ("n_obj", objectives), ("k", k), ("l", distances))
    ends = [2.0 * (j + 1) for j in range(objectives)]  # the nadir of WFG4 to WFG9, whose front is an ellipse
    return VectorProblem(
        f"wfg{number}-{objectives}",
        Space([Float(x, 0.0, 2.0 * (i + 1)) for i, x in enumerate(parameters)]),
        PymooFunctions(f"wfg{number}", parameters, outputs, options),
        goals(outputs, [1.1 * end for end in ends]),
        "Huband, Hingston, Barone, While 2006, A Review of Multiobjective Test Problems; pymoo.problems.many.wfg",
        math.prod(ends) * _sphere_left(1.1, objectives) if number >= 4 else None,
    )


def wfg1(objectives: int = 2) -> VectorProblem:
    """A flat region, then a mixed front."""
    return _wfg(1, objectives)


def wfg2(objectives: int = 2) -> VectorProblem:
    """A front in pieces, with distances that depend on each other."""
    return _wfg(2, objectives)


def wfg3(objectives: int = 2) -> VectorProblem:
    """A front that is nearly a line, however many objectives there are."""
    return _wfg(3, objectives)


def wfg4(objectives: int = 2) -> VectorProblem:
    """Many local fronts of the shape of an ellipse."""
    return _wfg(4, objectives)


def wfg5(objectives: int = 2) -> VectorProblem:
    """An elliptic front that deceives, every parameter by itself."""
    return _wfg(5, objectives)


def wfg6(objectives: int = 2) -> VectorProblem:
    """An elliptic front, with distances that depend on each other."""
    return _wfg(6, objectives)


def wfg7(objectives: int = 2) -> VectorProblem:
    """An elliptic front, along which points are unevenly spread by the distances."""
    return _wfg(7, objectives)


def wfg8(objectives: int = 2) -> VectorProblem:
    """An elliptic front whose distances depend on the positions: no value of theirs is best everywhere."""
    return _wfg(8, objectives)


def wfg9(objectives: int = 2) -> VectorProblem:
    """An elliptic front that deceives, with parameters that depend on each other."""
    return _wfg(9, objectives)
