"""Test functions with known optima, minimised, in the units and boxes of their papers.

The classical ones are those of `botorch.test_functions`; optima and their places were
solved here to double precision, because the published five digits are beaten by any good
optimiser. Two small ones are analytic: a mixed space with a conditional parameter, and a
quadratic whose optimum lies on a known linear constraint.

Symbols: d parameters x1 ... xd, n points, f(x) the value y to be made small.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import ProblemError
from workbench.problem import Constraint, Objective
from workbench.space import Bool, Categorical, Float, Int, Space

if TYPE_CHECKING:
    from botorch.test_functions.synthetic import SyntheticTestFunction
    from numpy.typing import NDArray

Columns = Mapping[str, Any]
Point = Mapping[str, Any]
Formula = Callable[[Columns], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True)
class SyntheticProblem:
    """One function to minimise, with the value and the places of its minimum.

    `evaluate` gives the true value unless it is handed a generator, so a measurement is
    noisy only where somebody owns the randomness.

    Args:
        name: Name of the problem, with its dimension where there is a choice.
        space: Parameters in the units of the paper.
        formula: Columns of parameters, each of shape (n,), to values of shape (n,).
        source: Where the function was published.
        optimum: Smallest value within the space.
        optimisers: Points at which it is reached; all of them where they are few.
        noise_sd: Standard deviation of one noisy measurement, units of y.
    Raises:
        ProblemError: if noise_sd is negative or not finite.
    """

    name: str
    space: Space
    formula: Formula
    source: str
    optimum: float
    optimisers: tuple[Point, ...] = field(hash=False)
    noise_sd: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.noise_sd) and self.noise_sd >= 0):
            raise ProblemError(
                f"noise_sd of {self.name!r} must be a finite number >= 0, got {self.noise_sd!r}; use 0 for exact values"
            )

    @property
    def objectives(self) -> Sequence[Objective]:
        """The one objective, y; its noise is stated when there is any."""
        return (Objective("y", "minimize", noise=self.noise_sd or "none"),)

    @property
    def constraints(self) -> Sequence[Constraint]:
        """No measured constraints; known ones belong to the space."""
        return ()

    def evaluate(self, params: Point, rng: np.random.Generator | None = None) -> dict[str, float]:
        """Evaluate one point.

        Args:
            params: A value for every active parameter, user units.
            rng: Adds normal noise of `noise_sd` drawn from it; None gives the true value.
        """
        columns = {name: np.asarray([value]) for name, value in params.items()}
        return {"y": float(self.evaluate_batch(columns, rng)["y"][0])}

    def evaluate_batch(
        self, columns: Columns, rng: np.random.Generator | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Evaluate n points at once.

        Args:
            columns: Parameter name to values, shape (n,); what stands in a conditional
                column where it is inactive is not looked at.
            rng: As for `evaluate`.
        Returns:
            Objective name to values, shape (n,).
        """
        y = self.formula(columns)
        if rng is not None and self.noise_sd > 0:
            y = y + rng.normal(0.0, self.noise_sd, y.shape)
        return {"y": y}

    def regret(self, value: float) -> float:
        """How far a true value lies above the optimum, units of y."""
        return value - self.optimum


# -- the classical functions ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BoTorchFunction:
    """A function of `botorch.test_functions` as a formula on columns x1 ... xd.

    Only the names are kept, so that it can be sent to another process and torch is loaded
    at the first evaluation.
    """

    function: str
    dim: int

    def __call__(self, columns: Columns) -> NDArray[np.float64]:
        """Evaluate in double precision without a graph, columns of shape (n,)."""
        import torch

        names = [f"x{i + 1}" for i in range(self.dim)]
        X = np.stack([np.asarray(columns[name], dtype=np.float64) for name in names], axis=-1)  # (n, d)
        with torch.no_grad():
            values = _instance(self.function, self.dim).evaluate_true(torch.from_numpy(X))
        y: NDArray[np.float64] = values.numpy()
        return y  # (n,)


@functools.cache
def _instance(function: str, dim: int) -> SyntheticTestFunction:
    import botorch.test_functions.synthetic as functions

    kind: Callable[..., SyntheticTestFunction] = getattr(functions, function)
    instance = kind(dim=dim) if function in _ANY_DIMENSION else kind()
    for name, buffer in list(instance.named_buffers()):
        # Hartmann's and Shekel's constants are made in single precision there; all have at
        # most four decimals, so rounding gives back the published ones.
        if name not in ("bounds", "optimizers"):
            setattr(instance, name, buffer.double().round(decimals=4))
    return instance


_ANY_DIMENSION = frozenset(
    {"Ackley", "Griewank", "Hartmann", "Levy", "Michalewicz", "Rastrigin", "Rosenbrock", "StyblinskiTang"}
)


def _classical(
    name: str,
    function: str,
    bounds: Sequence[tuple[float, float]],
    source: str,
    *,
    optimum: float,
    optimisers: Sequence[Sequence[float]],
    noise_sd: float,
) -> SyntheticProblem:
    names = [f"x{i + 1}" for i in range(len(bounds))]
    return SyntheticProblem(
        name=name,
        space=Space([Float(x, low, high) for x, (low, high) in zip(names, bounds, strict=True)]),
        formula=BoTorchFunction(function, len(bounds)),
        source=f"{source}; botorch.test_functions.{function}",
        optimum=optimum,
        optimisers=tuple(dict(zip(names, point, strict=True)) for point in optimisers),
        noise_sd=noise_sd,
    )


def _check_dim(name: str, dim: int, least: int, most: int | None = None) -> None:
    if dim < least or (most is not None and dim > most):
        allowed = f"{least} to {most}" if most is not None else f"{least} or more"
        raise ProblemError(f"{name} is defined for {allowed} parameters, got dim={dim!r}; choose a dim in that range")


def branin(noise_sd: float = 0.0) -> SyntheticProblem:
    """Two parameters, three equal minima."""
    return _classical(
        "branin", "Branin", [(-5.0, 10.0), (0.0, 15.0)],
        "Branin 1972, Widely convergent method for finding multiple solutions of simultaneous equations",
        optimum=5 / (4 * math.pi), noise_sd=noise_sd,
        optimisers=[(-math.pi, 12.275), (math.pi, 2.275), (3 * math.pi, 2.475)],
    )  # fmt: skip


_HARTMANN = {
    3: (-3.86277978733266252, (0.114588876655068968, 0.555648894616930045, 0.852546984686677438)),
    6: (
        -3.3223680114155148,
        (0.201689511006705424, 0.150010691823457969, 0.47687397422189699,
         0.275332430494056068, 0.311651616600113242, 0.657300534065620306),
    ),
}  # fmt: skip


def _hartmann(dim: int, noise_sd: float) -> SyntheticProblem:
    optimum, point = _HARTMANN[dim]
    return _classical(
        f"hartmann{dim}", "Hartmann", [(0.0, 1.0)] * dim,
        "Hartmann 1973, Some experiments in global optimization",
        optimum=optimum, optimisers=[point], noise_sd=noise_sd,
    )  # fmt: skip


def hartmann3(noise_sd: float = 0.0) -> SyntheticProblem:
    """Three parameters, four local minima."""
    return _hartmann(3, noise_sd)


def hartmann6(noise_sd: float = 0.0) -> SyntheticProblem:
    """Six parameters, six local minima."""
    return _hartmann(6, noise_sd)


def ackley(dim: int = 5, noise_sd: float = 0.0) -> SyntheticProblem:
    """A funnel full of local minima, smallest at the origin, the centre of its box."""
    return _classical(
        f"ackley{dim}", "Ackley", [(-32.768, 32.768)] * dim,
        "Ackley 1987, A Connectionist Machine for Genetic Hillclimbing",
        optimum=0.0, optimisers=[(0.0,) * dim], noise_sd=noise_sd,
    )  # fmt: skip


def levy(dim: int = 5, noise_sd: float = 0.0) -> SyntheticProblem:
    """Rippled valleys, smallest at (1, ..., 1)."""
    return _classical(
        f"levy{dim}", "Levy", [(-10.0, 10.0)] * dim,
        "Levy and Montalvo 1985, The tunneling algorithm for the global minimization of functions",
        optimum=0.0, optimisers=[(1.0,) * dim], noise_sd=noise_sd,
    )  # fmt: skip


def rosenbrock(dim: int = 4, noise_sd: float = 0.0) -> SyntheticProblem:
    """A long curved valley, smallest at (1, ..., 1); at least two parameters."""
    _check_dim("rosenbrock", dim, 2)
    return _classical(
        f"rosenbrock{dim}", "Rosenbrock", [(-5.0, 10.0)] * dim,
        "Rosenbrock 1960, An automatic method for finding the greatest or least value of a function",
        optimum=0.0, optimisers=[(1.0,) * dim], noise_sd=noise_sd,
    )  # fmt: skip


def griewank(dim: int = 5, noise_sd: float = 0.0) -> SyntheticProblem:
    """A wide bowl with regular ripples, smallest at the origin, the centre of its box."""
    return _classical(
        f"griewank{dim}", "Griewank", [(-600.0, 600.0)] * dim,
        "Griewank 1981, Generalized descent for global optimization",
        optimum=0.0, optimisers=[(0.0,) * dim], noise_sd=noise_sd,
    )  # fmt: skip


def rastrigin(dim: int = 5, noise_sd: float = 0.0) -> SyntheticProblem:
    """A bowl with a grid of deep ripples, smallest at the origin, the centre of its box."""
    return _classical(
        f"rastrigin{dim}", "Rastrigin", [(-5.12, 5.12)] * dim,
        "Rastrigin 1974, Systems of Extremal Control; Muehlenbein et al. 1991 for any dimension",
        optimum=0.0, optimisers=[(0.0,) * dim], noise_sd=noise_sd,
    )  # fmt: skip


def styblinski_tang(dim: int = 5, noise_sd: float = 0.0) -> SyntheticProblem:
    """Two minima along every axis, one of them deeper."""
    return _classical(
        f"styblinski_tang{dim}", "StyblinskiTang", [(-5.0, 5.0)] * dim,
        "Styblinski and Tang 1990, Experiments in nonconvex optimization",
        optimum=-39.1661657037714155 * dim, optimisers=[(-2.9035340277711771,) * dim], noise_sd=noise_sd,
    )  # fmt: skip


# The function is a sum over the coordinates: (minimiser, minimum) of its i-th term on [0, pi].
_MICHALEWICZ = (
    (2.20290552017260935, -0.801303410098552533), (1.57079632679489662, -1.0),
    (1.28499157055292436, -0.959091269896005948), (1.92305846986636284, -0.93846241847208341),
    (1.72046977256584128, -0.988801080621504361), (1.57079632679489662, -1.0),
    (1.45441397136237903, -0.993227135355881605), (1.75608652094502637, -0.982872036272210599),
    (1.6557174168210291, -0.996394364925102958), (1.57079632679489662, -1.0),
)  # fmt: skip


def michalewicz(dim: int = 5, noise_sd: float = 0.0) -> SyntheticProblem:
    """Steep valleys in a plain without slope; 1 to 10 parameters.

    Raises:
        ProblemError: if dim is not between 1 and 10.
    """
    _check_dim("michalewicz", dim, 1, len(_MICHALEWICZ))
    terms = _MICHALEWICZ[:dim]
    return _classical(
        f"michalewicz{dim}", "Michalewicz", [(0.0, math.pi)] * dim,
        "Michalewicz 1992, Genetic Algorithms + Data Structures = Evolution Programs",
        optimum=math.fsum(value for _, value in terms), optimisers=[[x for x, _ in terms]], noise_sd=noise_sd,
    )  # fmt: skip


def michalewicz10(noise_sd: float = 0.0) -> SyntheticProblem:
    """`michalewicz` with ten parameters."""
    return michalewicz(10, noise_sd)


def beale(noise_sd: float = 0.0) -> SyntheticProblem:
    """Two parameters, a flat valley between steep corners."""
    return _classical(
        "beale", "Beale", [(-4.5, 4.5)] * 2,
        "Beale 1958, On an iterative method for finding a local minimum of a function of several variables",
        optimum=0.0, optimisers=[(3.0, 0.5)], noise_sd=noise_sd,
    )  # fmt: skip


def six_hump_camel(noise_sd: float = 0.0) -> SyntheticProblem:
    """Two parameters, six local minima of which two are best."""
    x1, x2 = 0.0898420131003180624, -0.712656403020739633
    return _classical(
        "six_hump_camel", "SixHumpCamel", [(-3.0, 3.0), (-2.0, 2.0)],
        "Dixon and Szegoe 1978, The global optimization problem: an introduction",
        optimum=-1.03162845348987735, optimisers=[(x1, x2), (-x1, -x2)], noise_sd=noise_sd,
    )  # fmt: skip


def shekel(noise_sd: float = 0.0) -> SyntheticProblem:
    """Four parameters, ten narrow holes in a plain."""
    a, b = 4.00074686827063439, 3.99950948008577356
    return _classical(
        "shekel", "Shekel", [(0.0, 10.0)] * 4,
        "Shekel 1971, Test functions for multimodal search techniques",
        optimum=-10.5364431534835279, optimisers=[(a, b, a, b)], noise_sd=noise_sd,
    )  # fmt: skip


# -- a mixed space with a conditional parameter -----------------------------------------

# Per shape: its level, and the integer k around which it is centred.
_SHAPES: dict[str, tuple[float, int]] = {"plane": (0.0, 5), "bowl": (0.2, 2), "ridge": (0.1, 4)}
_KS = range(1, 7)
_RATE = 10**-2.5


def _branch(level: Any, centre: Any, k: Any, gated: Any) -> Any:
    """What is left of the mixed function at the best x and rate of one (shape, k, gate)."""
    return level + 0.1 * (k - centre) ** 2 + gated * (0.15 * k - 0.6)


def _mixed_formula(columns: Columns) -> NDArray[np.float64]:
    levels, centres = np.array([_SHAPES[shape] for shape in columns["shape"]], dtype=np.float64).T  # (n,)
    k, x = (np.asarray(columns[name], dtype=np.float64) for name in ("k", "x"))
    gated = np.asarray(columns["gate"], dtype=bool)
    y: NDArray[np.float64] = _branch(levels, centres, k, gated) + (x - k / 4) ** 2
    if gated.any():
        rate = np.asarray(columns["rate"])[gated].astype(np.float64)
        y[gated] += 0.5 * np.log10(rate / _RATE) ** 2
    return y


def mixed_conditional(noise_sd: float = 0.0) -> SyntheticProblem:
    """Five mixed parameters, of which `rate` exists only where `gate` is true.

    y = level(shape) + 0.1 (k - centre(shape))^2 + (x - k/4)^2
        + [gate] (0.15 k - 0.6 + 0.5 (log10 rate + 2.5)^2).
    Given (shape, k, gate) the best x is k/4 and the best rate 10^-2.5, so the minimum is
    found by enumerating 36 branches. The best branch without the gate is a trap: there, every
    change of shape, k or gate alone makes y worse.
    """
    branches = {
        (shape, k, gate): _branch(*_SHAPES[shape], k, gate)
        for shape, k, gate in itertools.product(_SHAPES, _KS, (False, True))
    }
    (shape, k, gate), optimum = min(branches.items(), key=lambda item: item[1])
    best = {"shape": shape, "k": k, "x": k / 4, "gate": gate} | ({"rate": _RATE} if gate else {})
    space = Space(
        [
            Categorical("shape", list(_SHAPES)),
            Int("k", _KS[0], _KS[-1]),
            Float("x", -1.0, 3.0),
            Bool("gate"),
            Float("rate", 1e-5, 1.0, log=True, when={"gate": True}),
        ]
    )
    return SyntheticProblem(
        "mixed_conditional",
        space,
        _mixed_formula,
        "analytic, minimum by enumeration",
        optimum,
        (best,),
        noise_sd,
    )


# -- a known linear constraint ----------------------------------------------------------

_TARGET = {"x1": 6.0, "x2": 5.0, "x3": 4.0}


def _budget_formula(columns: Columns) -> NDArray[np.float64]:
    squares = [(np.asarray(columns[name], dtype=np.float64) - c) ** 2 for name, c in _TARGET.items()]
    y: NDArray[np.float64] = np.sum(squares, axis=0)
    return y


def budget_quadratic(noise_sd: float = 0.0) -> SyntheticProblem:
    """The squared distance to (6, 5, 4), which a linear budget puts out of reach.

    The minimum is the projection c - a (a.c - b) / |a|^2 with a = (1, 2, 2), b = 15: the
    point (5, 3, 2) on the boundary, at squared distance 9.
    """
    space = Space([Float(name, 0.0, 10.0) for name in _TARGET], constraints=["x1 + 2*x2 + 2*x3 <= 15"])
    best = {"x1": 5.0, "x2": 3.0, "x3": 2.0}
    return SyntheticProblem(
        "budget_quadratic",
        space,
        _budget_formula,
        "analytic, projection onto a half-space",
        9.0,
        (best,),
        noise_sd,
    )


# -- a measured constraint --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConstrainedProblem:
    """A function to minimise under measured limits, all known exactly.

    Args:
        name: Name of the problem.
        space: Parameters in the units of the paper.
        formula: Columns of parameters, each of shape (n,), to every objective and limit by name, (n,) each.
        constraints: The limits.
        source: Where it was published.
        optimum: Smallest feasible value within the space.
        optimisers: Points at which it is reached.
    """

    name: str
    space: Space
    formula: Callable[[Columns], dict[str, NDArray[np.float64]]]
    constraints: Sequence[Constraint] = field(hash=False)
    source: str
    optimum: float
    optimisers: tuple[Point, ...] = field(hash=False)

    @property
    def objectives(self) -> Sequence[Objective]:
        """The one objective, y, without noise."""
        return (Objective("y", "minimize", noise="none"),)

    def evaluate(self, params: Point) -> dict[str, float]:
        """Objective and limits of one point, user units."""
        columns = {name: np.asarray([value]) for name, value in params.items()}
        return {name: float(values[0]) for name, values in self.formula(columns).items()}

    def evaluate_batch(self, columns: Columns) -> dict[str, NDArray[np.float64]]:
        """Objective and limits of n points: columns and results of shape (n,)."""
        return self.formula(columns)


def _gramacy_formula(columns: Columns) -> dict[str, NDArray[np.float64]]:
    x1, x2 = (np.asarray(columns[name], dtype=np.float64) for name in ("x1", "x2"))
    c1 = 1.5 - x1 - 2.0 * x2 - 0.5 * np.sin(2.0 * np.pi * (x1**2 - 2.0 * x2))
    return {"y": x1 + x2, "c1": c1, "c2": x1**2 + x2**2 - 1.5}


def gramacy() -> ConstrainedProblem:
    """A linear function above a wavy limit and inside a circle; three local minima, one at a limit alone."""
    return ConstrainedProblem(
        "gramacy",
        Space([Float("x1", 0.0, 1.0), Float("x2", 0.0, 1.0)]),
        _gramacy_formula,
        (Constraint("c1", upper=0.0, noise="none"), Constraint("c2", upper=0.0, noise="none")),
        "Gramacy et al. 2016, Modeling an Augmented Lagrangian for Blackbox Constrained Optimization, section 2.2",
        0.5997880520100396,
        ({"x1": 0.19512268893684862, "x2": 0.404665363073191},),
    )


# -- rotated, ill-conditioned, with plateaus, with many peaks -----------------------------
#
# Four kinds of difficulty on which nothing was tuned, after Hansen et al. 2009, Real-Parameter Black-Box Optimization
# Benchmarking: Noiseless Functions Definitions; with fixed rotations and places instead of that suite's instances.


def _rotation(dim: int, seed: int) -> NDArray[np.float64]:
    """A fixed orthogonal matrix (d, d), Haar-distributed over seeds."""
    Q, R = np.linalg.qr(np.random.default_rng((seed, dim)).normal(size=(dim, dim)))
    return np.asarray(Q * np.sign(np.diag(R)))


def _place(dim: int, seed: int) -> NDArray[np.float64]:
    """The fixed optimum (d,), in the inner 8/10 of the box [-5, 5]."""
    return np.random.default_rng((seed, dim, 1)).uniform(-4.0, 4.0, dim)


@dataclass(frozen=True, slots=True)
class _Shifted:
    """A function of x - x* in rotated coordinates, as a formula on columns x1 ... xd."""

    kind: str
    dim: int
    seed: int

    def __call__(self, columns: Columns) -> NDArray[np.float64]:
        X = np.stack([np.asarray(columns[f"x{i + 1}"], dtype=np.float64) for i in range(self.dim)], axis=-1)
        return _KINDS[self.kind](X - _place(self.dim, self.seed), self.seed)


def _ellipsoid(D: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Squares in rotated coordinates, condition number 10^4."""
    d = D.shape[1]
    Z = D @ _rotation(d, seed).T
    return np.asarray((Z**2) @ 10.0 ** (4.0 * np.arange(d) / max(d - 1, 1)))


def _steps(D: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Squares of rotated coordinates rounded to whole numbers: flat almost everywhere, 0 on a cell around x*."""
    d = D.shape[1]
    Z = np.round(D @ _rotation(d, seed).T)
    return np.asarray((Z**2) @ 10.0 ** (2.0 * np.arange(d) / max(d - 1, 1)))


def _peaks(D: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """10 minus the highest of 21 elongated, rotated peaks; that at x* is 10 high, the others at most 9.1."""
    d, rng = D.shape[1], np.random.default_rng((seed, D.shape[1], 2))
    R = _rotation(d, seed)
    places = np.vstack([np.zeros(d), rng.uniform(-5.0, 5.0, (20, d)) - _place(d, seed)])
    heights = np.concatenate([[10.0], np.linspace(1.1, 9.1, 20)])
    spread = 10.0 ** (rng.permuted(np.tile(np.linspace(-0.75, 0.75, d), (21, 1)), axis=1))
    Z = ((D[:, None] - places) @ R.T) ** 2 * spread  # (n, 21, d)
    return np.asarray(10.0 - (heights * np.exp(-0.5 * Z.sum(axis=2) / d)).max(axis=1))


def _cliff(D: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """exp of a rotated distance, minus 1: values over nine decades, most of the space at the top of them."""
    Z = D @ _rotation(D.shape[1], seed).T
    return np.asarray(np.expm1(2.0 * np.sqrt((Z**2).sum(axis=1))))


_KINDS = {"ellipsoid": _ellipsoid, "steps": _steps, "peaks": _peaks, "cliff": _cliff}


def _shifted(name: str, kind: str, dim: int, words: str) -> SyntheticProblem:
    _check_dim(name, dim, 2)
    names, seed = [f"x{i + 1}" for i in range(dim)], 20
    return SyntheticProblem(
        f"{name}{dim}",
        Space([Float(name, -5.0, 5.0) for name in names]),
        _Shifted(kind, dim, seed),
        f"{words}, after Hansen et al. 2009, Noiseless Functions Definitions",
        0.0,
        (dict(zip(names, _place(dim, seed).tolist(), strict=True)),),
    )


def rotated_ellipsoid(dim: int = 5) -> SyntheticProblem:
    """A bowl with axes in no direction of the parameters, condition number 10^4."""
    return _shifted("rotated_ellipsoid", "ellipsoid", dim, "f10")


def step_ellipsoid(dim: int = 5) -> SyntheticProblem:
    """A rotated bowl made of plateaus: no slope anywhere, whole values reached on cells."""
    return _shifted("step_ellipsoid", "steps", dim, "f7")


def gaussian_peaks(dim: int = 4) -> SyntheticProblem:
    """21 rotated peaks in a plain, one of which is the best."""
    return _shifted("gaussian_peaks", "peaks", dim, "f21 (Gallagher)")


def exponential_cliff(dim: int = 4) -> SyntheticProblem:
    """Heavy tails: the exponential of a distance."""
    return _shifted("exponential_cliff", "cliff", dim, "sphere under an exponential")
