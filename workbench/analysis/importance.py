"""How much of the change in a quantity each parameter carries: Sobol total indices of the posterior, with intervals.

The total index of parameter i is E[Var(f | all but x_i)] / Var f: the share of the variance that stays when everything
but x_i is known. Shares add up to more than 1 where parameters act together.

Points follow the space's own distribution, the one that quasi-random designs follow: uniform in the encoded box,
equally likely choices, mixtures uniform on their simplex, a conditional parameter present as often as its parents
bring it about. A mixture, vector or structured value is one parameter. Under known constraints the points are uniform
on what is allowed, and x_i is drawn anew given all others, until the point is allowed: then the formula holds as it
stands for inputs that depend on each other (Kucherenko, Tarantola and Annoni 2012, Estimation of global sensitivity
indices for models with dependent variables). A parameter that an equality leaves no room to move alone gets no index.

Estimated by Jansen's formula, 1/2 mean (f(A) - f(A with x_i anew))^2 / Var f(A), over a scrambled Sobol sequence
(Saltelli et al. 2010, Variance based sensitivity analysis of model output, table 2 e). Intervals come from functions
drawn from the posterior (Marrel et al. 2009, Calculations of Sobol indices for the Gaussian process metamodel), each
under hyperparameters drawn from theirs: an index is then as uncertain as the function and its lengthscales are.

Symbols: N points, d encoded columns, p parameters, s draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import markup
from workbench.acquisition.thompson import draw
from workbench.analysis.verdict import Verdict, at_most, listed, percent, plain, runs, unit_of
from workbench.models.exact import Data, ExactPosterior, Settings
from workbench.models.fitting import draws
from workbench.models.gp import alone
from workbench.space import Space
from workbench.space.sampling import Sobol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.analysis.belief import Belief, Quantity
    from workbench.models.gp import GaussianProcess
    from workbench.space import Parameter

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

METHOD = "Sobol total index of the posterior, Jansen's estimator"
FEWEST = 10  # trials below which no share is given
NOTHING = 0.02  # share of the variance, one seventh of the standard deviation, below which a parameter does nothing

_POINTS = 12288  # of which the mean is asked
_DRAWN = 6144  # of which each draw is asked
_SETTINGS, _EACH = 16, 4  # hyperparameters, and functions drawn under each
_FEATURES = 128  # of a drawn function
_COMPARED = 150  # trials that hyperparameters are drawn by
_LEARNT = 400  # trials that a drawn function is conditioned on
_TRIES = 64  # draws of one parameter until the point is allowed
_STUCK = 0.5  # share of points at which it has no other value, beyond which a parameter gets no index
_SEED = 0x1D


@dataclass(frozen=True, slots=True)
class Share:
    """One parameter's part in the change of a quantity.

    Args:
        parameter: Its name.
        share: Mean total index over the draws, a share of the variance.
        low, high: Its interval, 95 of 100 draws.
        of_mean: Total index of the posterior mean.
        moved: Share of the points at which the parameter could take another value by itself.
    """

    parameter: str
    share: float
    low: float
    high: float
    of_mean: float
    moved: float

    @property
    def nothing(self) -> bool:
        """Does the interval support that it does nothing?"""
        return self.moved > _STUCK and self.high < NOTHING


@dataclass(frozen=True)
class Importance:
    """Total indices of one quantity.

    Args:
        quantity: Its name.
        unit: Its unit.
        shares: By parameter, the largest first; empty where there are too few trials.
        trials: How many it was learnt from.
        needed: Trials below which no share is given.
        spread: Standard deviation of the quantity over the space, user units.
        draws: Functions behind the intervals.
        held: Parameters that have one value here, so that they can carry no share.
    """

    quantity: str
    unit: str | None
    shares: tuple[Share, ...]
    trials: int
    needed: int
    spread: float
    draws: int
    held: tuple[str, ...] = ()

    method = METHOD

    def __getitem__(self, parameter: str) -> Share:
        return next(one for one in self.shares if one.parameter == parameter)

    @property
    def inert(self) -> tuple[str, ...]:
        """Parameters that do nothing measurable, as far as the intervals support it."""
        return tuple(one.parameter for one in self.shares if one.nothing)

    def table(self) -> dict[str, list[Any]]:
        """The numbers as columns."""
        return {
            "parameter": [one.parameter for one in self.shares],
            "share of the variance": [one.share for one in self.shares],
            "from": [one.low for one in self.shares],
            "to": [one.high for one in self.shares],
            "of the model's mean": [one.of_mean for one in self.shares],
        }

    def verdicts(self) -> list[Verdict]:
        """What matters most, and what does nothing."""
        name = self.quantity
        if not self.shares:
            return [
                Verdict(
                    "importance", "early", f"Too early to say what moves {name}.",
                    f"{runs(self.trials)} with a value, and this needs {self.needed}.", quantity=name,
                )
            ]  # fmt: skip
        first, *rest = self.shares
        moving = [one for one in rest if one.low >= NOTHING][:2]
        then = listed([f"{one.parameter} {percent(one.share)}" for one in moving])
        total = sum(one.share for one in self.shares)
        because = f"It carries {percent(first.share)} of the change ({percent(first.low)} to {percent(first.high)})"
        because += f", then {then}." if then else "."
        if total > 1.1:
            because += " Shares pass 100 % together, because parameters act together."
        if self.spread > 0:
            because += f" Over the whole space {name} varies by ± {plain(self.spread)}{unit_of(self.unit)}."
        clear = first.low >= NOTHING and all(one.high <= first.high for one in rest)
        level, claim = ("know", f"{first.parameter} matters most for {name}.") if clear else (
            "early", f"Nothing moves {name} by an amount that these runs could tell from chance.",
        )  # fmt: skip
        if first.low < NOTHING:
            because = f"{first.parameter} may carry {percent(first.low)} to {percent(first.high)} of the change."
        found = [Verdict("importance", level, claim, because, quantity=name)]  # type: ignore[arg-type]  # two of them
        return found + self._nothing()

    def _nothing(self) -> list[Verdict]:
        name, inert = self.quantity, [one for one in self.shares if one.nothing]
        unsure = [one for one in self.shares if one.low < 0.5 * NOTHING and not one.nothing and one.moved > _STUCK]
        unsure = [one for one in unsure if one.share < 2.5 * NOTHING]
        if inert:
            names, do = _named(inert), "does" if len(inert) == 1 else "do"
            most = at_most(max(one.high for one in inert))
            each = "" if len(inert) == 1 else " each"
            return [
                Verdict(
                    "inert", "know", f"{names} {do} nothing measurable for {name}.",
                    f"{most} of the change{each}, with 95 in 100 confidence.",
                    "Any value will do: fix it where it is cheapest." if len(inert) == 1 else
                    "Any values will do: fix them where they are cheapest.", quantity=name,
                )
            ]  # fmt: skip
        if unsure:
            names, seem = _named(unsure), "seems" if len(unsure) == 1 else "seem"
            could = "It" if len(unsure) == 1 else "Each"
            return [
                Verdict(
                    "inert", "early", f"{names} {seem} to do nothing for {name}, but {runs(self.trials)} are too few "
                    "to be sure.",
                    f"{could} could still be up to {percent(max(one.high for one in unsure))} of the change.",
                    quantity=name,
                )
            ]  # fmt: skip
        return []

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        said = " ".join(map(str, self.verdicts()))
        note = f"{METHOD}; {self.draws} draws; at least {self.needed} runs."
        return markup.heading("What moves", self.quantity, said, note) + markup.table(self.table())


def _named(shares: Sequence[Share], most: int = 6) -> str:
    """The names of some parameters, the first of many."""
    names = [one.parameter for one in shares]
    return listed(names if len(names) <= most else [*names[:most], f"{len(names) - most} more"])


def importance(belief: Belief, quantity: str | None = None) -> dict[str, Importance]:
    """Total indices of every parameter for each quantity.

    Args:
        belief: Record and model.
        quantity: Name of one objective or limited quantity; None for all.
    Returns:
        {quantity: its indices}.
    """
    return {one.name: _of(belief, one) for one in belief.chosen(quantity)}


def needed(space: Space) -> int:
    """Trials below which no share is given: 10, and two for each parameter and the mean."""
    return max(FEWEST, 2 * (len(space) + 1))


def _of(belief: Belief, quantity: Quantity) -> Importance:
    history, space, process = belief.history, belief.history.space, quantity.process
    trials, least = int(history.complete[process.rows].sum()), needed(space)
    if trials < least:
        return Importance(quantity.name, quantity.unit, (), trials, least, 0.0, 0)
    design = Design.of(space, _POINTS)
    Z = [belief.gp.inputs.model_points(X) for X in (design.A, *design.others.values())]
    with alone():
        means = [process.posterior.mean_sd(points)[0] for points in Z]
    told = [_told(process, mu) for mu in means]
    of_mean = indices(told[0], told[1:], list(design.moved.values()))
    drawn = _drawn(belief, quantity)
    middle, (low, high) = drawn.mean(axis=0), np.quantile(drawn, [0.025, 0.975], axis=0)
    shares = [
        Share(name, float(middle[i]), float(low[i]), float(high[i]), float(of_mean[i]), float(moved.mean()))
        for i, (name, moved) in enumerate(design.moved.items())
    ]
    shares.sort(key=lambda one: -one.share)
    values = quantity.told(means[0], np.zeros(len(means[0])))[0]
    size = float(np.abs(values).max()) or 1.0
    spread = size * float((values / size).std())
    held = tuple(p.name for p in space if p.name not in design.moved)
    return Importance(
        quantity.name, quantity.unit, tuple(shares), trials, least, spread, len(drawn), held
    )  # fmt: skip


def _told(process: GaussianProcess, z: Array) -> Array:
    """Values of the model (…) as the quantity itself, up to a unit where the model does not bend it.

    Where it does, what a draw promises far beyond all values seen is kept to half of their range beyond: bent back,
    it would be all of the variance.
    """
    if process.outcome.bend is None:
        return z
    low, high = float(process.data.y.min()), float(process.data.y.max())
    reach = 0.5 * (high - low)
    return process.outcome.backward(np.clip(z, low - reach, high + reach))


def indices(f: Array, others: list[Array], moved: list[Mask]) -> Array:
    """Jansen's estimate of the total indices.

    Args:
        f: Values at the points, shape (N,).
        others: For each parameter, values with that parameter drawn anew, shape (N,) each.
        moved: Where it could be drawn anew; elsewhere it has one value, and no share.
    Returns:
        Indices, shape (p,), at most 1 as they are by definition; all 0 where f does not vary.
    """
    size = float(np.abs(f).max(initial=0.0)) or 1.0  # squares of very large or small values are beyond floats
    f, others = f / size, [g / size for g in others]
    variance = float(f.var())
    if variance <= 1e-12 * float(np.mean(f**2)):
        return np.zeros(len(others))
    found = [0.5 * float(((f - g)[m] ** 2).sum()) / (len(f) * variance) for g, m in zip(others, moved, strict=True)]
    return np.minimum(found, 1.0)


def _drawn(belief: Belief, quantity: Quantity) -> Array:
    """Indices of functions drawn from the posterior, shape (s, p); by points of their own for each hyperparameters.

    So the error of the integral, which the same points would make alike in all of them, widens the intervals too.
    """
    inputs, process = belief.gp.inputs, quantity.process
    data, rng = _some(process.data), np.random.default_rng([_SEED, belief.history.seed])
    found = []
    with alone():
        for i, settings in enumerate(plausible(process.data, process.settings, _SETTINGS, rng)):
            design = Design.of(belief.history.space, _DRAWN, _SEED + i)
            Z = np.concatenate([inputs.model_points(X) for X in (design.A, *design.others.values())])
            N = len(design.A)
            posterior = ExactPosterior.of(data, settings)
            K = posterior.anchors.between(posterior.placed(Z))[0]  # once for all draws of these hyperparameters
            for _ in range(_EACH):
                function = draw(posterior, rng, belief.levels(), _FEATURES)
                values = posterior.mean + function.prior(Z) + K @ function.correction
                f, *others = _told(process, values).reshape(-1, N)  # (1 + p, N)
                found.append(indices(f, others, list(design.moved.values())))
    return np.array(found)


def plausible(data: Data, settings: Settings, count: int, rng: np.random.Generator) -> list[Settings]:
    """So many hyperparameters drawn from their posterior given an even sample of the trials: rather too wide a spread.

    Where fewer could be drawn they come several times; where none could, the most likely ones do.
    """
    rows = np.unique(np.linspace(0, len(data.y) - 1, min(len(data.y), _COMPARED)).astype(np.int64))
    found = draws(data.at(rows), settings, count, rng) or [settings]
    return [found[i % len(found)] for i in range(count)]


def _some(data: Data) -> Data:
    """An even sample of a large record."""
    n = len(data.y)
    return data if n <= _LEARNT else data.at(np.linspace(0, n - 1, _LEARNT).astype(np.int64))


# -- where the quantity is looked at -----------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """Points of the space, and for each parameter the same points with that parameter drawn anew.

    Args:
        A: Encoded points, shape (N, d), NaN where inactive.
        others: {parameter: points of that shape}.
        moved: {parameter: where it took another draw, shape (N,)}.
    """

    A: Array
    others: dict[str, Array]
    moved: dict[str, Mask]

    @classmethod
    def of(cls, space: Space, points: int, seed: int = _SEED) -> Design:
        """About so many points in all; every one is allowed."""
        free = [p for p in space if p.target is None and p.cardinality != 1]
        N = 2 ** max(5, int(np.log2(max(1, points // (len(free) + 1)))))
        own, anew = _twice(space, N, seed)
        A = own
        if space.constrained:
            known = _designed(space).sobol(N, seed)
            A = np.where(np.isnan(known), own, known)  # what is inactive still has a value for when it is not
        others, moved = {}, {}
        for p in free:
            others[p.name], moved[p.name] = _redrawn(space, A, p, anew[:, space.slices[p.name]], seed)
        return cls(_active(space, A), {name: _active(space, B) for name, B in others.items()}, moved)


def _designed(space: Space) -> Space:
    """The space with what the world decides as free as the rest: it varies, too."""
    if all(p.role != "context" for p in space):
        return space
    parameters = [replace(p, role="design") if p.role == "context" else p for p in space]
    rules: list[Any] = [constraint.source for constraint in space.constraints]
    return Space(parameters, rules + [rule.function for rule in space.functions if rule.function is not None])


def _twice(space: Space, N: int, seed: int) -> tuple[Array, Array]:
    """Two independent sets of points without regard to constraints and conditions, shape (N, d) each."""
    widths = [p.draws for p in space]
    U = Sobol(seed).draw(2 * sum(widths), 0, N)
    made = []
    for half in np.split(U, 2, axis=1):
        X = np.empty((N, space.width))
        for p, u in zip(space, np.split(half, np.cumsum(widths)[:-1], axis=1), strict=True):
            X[:, space.slices[p.name]] = _columns(p, u)
        made.append(X)
    return made[0], made[1]


def _columns(p: Parameter, U: Array) -> Array:
    """Encoded draws of one parameter, at its target if it has one."""
    if p.target is not None:
        return np.repeat(p.encode([p.target]), len(U), axis=0)
    X = p.from_uniform(U)
    return p.encode(p.decode(X)) if p.role == "environment" else X


def _redrawn(space: Space, A: Array, p: Parameter, first: Array, seed: int) -> tuple[Array, Mask]:
    """The points with one parameter drawn anew given all others, and where that was possible."""
    columns = space.slices[p.name]
    B = A.copy()
    B[:, columns] = first
    if not space.constrained:
        return B, np.ones(len(A), dtype=bool)
    rng = np.random.default_rng([seed, columns.start])
    moved = space.feasible(_active(space, B))
    for _ in range(_TRIES):
        left = np.flatnonzero(~moved)
        if not left.size:
            break
        tried = A[left]
        tried[:, columns] = _columns(p, rng.random((len(left), p.draws)))
        fine = space.feasible(_active(space, tried))
        B[left[fine]] = tried[fine]
        moved[left[fine]] = True
    B[~moved] = A[~moved]
    return B, moved


def _active(space: Space, X: Array) -> Array:
    """The points with NaN where a parent switches a parameter off."""
    return np.where(space.mask(X), X, np.nan)
