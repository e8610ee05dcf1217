"""Evolutionary algorithms of pymoo, asked and told through the record: the one adapter.

pymoo works in generations and in one process. Here every offspring notes its generation and its slot, and the first of
a generation notes which trials were told to the generation before; so the state of an algorithm is what it becomes when
the record is told to it again, generation by generation, whatever process asks and in whatever order results come. Its
generator is made anew, from the study's seed and the generation, for every asking and every telling: one worker, in
order, gets what pymoo gets when run directly with such generators.

A generation ends when as many of its trials have ended as it has slots. Until then further asks get extra offspring of
the same parents, which stand in for trials that do not come back. Failed trials count as worse than every limit.

Symbols: N slots of a generation, g its number, d encoded columns, m objectives, c limits. Losses are minimised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import UnsupportedError
from workbench.integers import integer
from workbench.models.inputs import Inputs
from workbench.pareto import weights
from workbench.samplers.base import KINDS, AskRequest, Proposal, Sampler, Screen, spread_out
from workbench.space import Permutation, Structure
from workbench.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Parameter, Space
    from workbench.trial import History

    Array = NDArray[np.float64]
    Rows = NDArray[np.int64]

ALGORITHMS = ("nsga2", "nsga3", "smsemoa", "de", "cmaes")
_ONE = ("de", "cmaes")  # for one objective
_USUAL = 50  # slots of a generation without a budget
_FEWEST, _GENERATIONS = 8, 8  # slots, and generations that a budget should give
_KEPT = 8  # algorithms and offspring that are kept in memory, so that a record is not told from its start each time
_STEP = 0.25  # of CMA-ES at first, in the unit cube
_BAD = 1e100  # more than any limit is exceeded in its unit: how far a failed trial exceeds a limit, in its own column


@dataclass(frozen=True)
class _Mark:
    """What a trial notes of its birth: generation, slot (from N on: extra), and the slots of a generation."""

    generation: int
    slot: int
    told: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        mark: dict[str, Any] = {"generation": self.generation, "slot": self.slot}
        return mark if self.told is None else {**mark, "told": list(self.told)}


class EvolutionarySampler(Sampler):
    """An evolutionary algorithm of pymoo: NSGA-II, NSGA-III or SMS-EMOA, or for one objective DE or CMA-ES.

    Args:
        algorithm: "nsga2", "nsga3", "smsemoa", "de" or "cmaes".
        population: Slots of a generation; None for an eighth of the budget, at least 8, or 50 without one.
    """

    name = "evolutionary"
    serves = (KINDS - {"simplex"}) | {"objectives", "constraints", "context"}

    def __init__(self, algorithm: str = "nsga2", population: int | None = None) -> None:
        if algorithm not in ALGORITHMS:
            raise UnsupportedError(f"algorithm must be one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
        if population is not None and integer(population, 4) is None:
            raise UnsupportedError(f"population must be a whole number from 4 on, or None; got {population!r}")
        self._algorithm, self._population = algorithm, population
        self._memory: dict[bytes, Any] = {}

    def options(self) -> dict[str, Any]:
        """Algorithm and population."""
        return {"algorithm": self._algorithm, "population": self._population}

    def check(self, request: AskRequest) -> None:
        """Refuse several objectives, and structured or unordered parameters, where the algorithm knows none."""
        super().check(request)
        history = request.history
        if self._algorithm == "smsemoa" and len(history.measured) == 1:
            raise UnsupportedError(
                "algorithm 'smsemoa' ranks by hypervolume, which takes several objectives, this study has 1; use "
                "sampler='nsga2', 'de' or 'cmaes'"
            )
        if self._algorithm in _ONE:
            if len(history.measured) > 1:
                raise UnsupportedError(
                    f"algorithm {self._algorithm!r} takes one objective, this study has {len(history.measured)}; use "
                    "sampler='nsga2'"
                )
            wrong = [p.name for p in history.space if not p.box and p.kind != "vector"]
            if wrong:
                raise UnsupportedError(
                    f"algorithm {self._algorithm!r} moves numbers, and {', '.join(map(repr, wrong))} is none; use "
                    "sampler='nsga2', or 'sobol'"
                )

    def ask(self, request: AskRequest) -> list[Proposal]:
        """The next free slots of the present generation, then extra offspring of the same parents."""
        run = _Run(request, self._algorithm, self._size(request.history))
        generation, told = run.present()
        taken = {run.marks[row].slot for row in run.of(generation)}
        slots = [slot for slot in range(run.slots(generation)) if slot not in taken][: request.n]
        extra = max([run.slots(generation) - 1, *taken]) + 1
        slots += list(range(extra, extra + request.n - len(slots)))
        points = self._points(run, generation, slots)
        why = f"{self._algorithm}, generation {generation}"
        found: list[Proposal] = []
        for slot in slots:
            mark = _Mark(generation, slot, told if slot == 0 or not (taken or found) else None)
            meta = {"evolution": {"algorithm": self._algorithm, **mark.to_json()}}
            surplus = slot >= run.slots(generation)
            said = f"{why}, an extra offspring while others are awaited" if surplus else why
            if surplus:
                meta["evolution"]["surplus"] = True
            x = points.get(slot)
            if x is None:  # mating found nothing new in a space that is nearly used up
                spare = spread_out(request, 1, [p.x for p in found], why=f"{said}: nothing new by mating")[0]
                found.append(replace(spare, meta={**spare.meta, **meta}))
            else:
                found.append(Proposal(x, meta, said))
        return found

    def _size(self, history: History) -> int:
        if self._population is not None:
            return self._population
        return _USUAL if history.budget is None else max(_FEWEST, history.budget // _GENERATIONS)

    def _points(self, run: _Run, generation: int, slots: list[int]) -> dict[int, Array]:
        """Encoded points of the slots, as far as there are any."""
        if generation == 0:
            start = spread_out(run.request, len(slots))
            return {slot: p.x for slot, p in zip(slots, start, strict=True)}
        points: dict[int, Array] = {}
        chosen: list[Array] = []
        N = run.slots(generation)
        for k in sorted({slot // N for slot in slots}):
            for i, x in enumerate(self._offspring(run, generation, k)):
                slot = k * N + i
                if slot in slots and run.screen(chosen).admits(x[None])[0]:
                    points[slot] = x
                    chosen.append(x)
        return points

    def _offspring(self, run: _Run, generation: int, k: int) -> Array:
        """Encoded points of a round of a generation, made once as long as nothing is different, (at most N, d)."""
        key = run.key(generation) + repr((k, run.request.fixed, np.flatnonzero(run.history.rejected).tolist())).encode()
        if key not in self._memory:
            made = run.offspring(self._told(run, generation), generation, k)
            self._remember(key, made)
        points: Array = self._memory[key]
        return points

    def _remember(self, key: bytes, value: Any) -> None:
        self._memory[key] = value
        while len(self._memory) > _KEPT:
            self._memory.pop(next(iter(self._memory)))

    def _told(self, run: _Run, generation: int) -> Any:
        """The algorithm after the generations before, a copy that may be asked."""
        from copy import deepcopy

        if self._algorithm == "cmaes":  # its insides do not survive a copy unchanged
            algorithm = run.begin()
            for g in range(generation):
                run.request.check_deadline()
                run.tell(algorithm, g)
            return algorithm
        algorithm, begun = None, 0
        for g in range(generation, 0, -1):
            key = run.key(g)
            if key in self._memory:
                algorithm, begun = self._memory.pop(key), g
                self._memory[key] = algorithm
                break
        algorithm = run.begin() if algorithm is None else deepcopy(algorithm)
        for g in range(begun, generation):
            run.request.check_deadline()
            run.tell(algorithm, g)
        self._remember(run.key(generation), deepcopy(algorithm))
        return algorithm


class _Run:
    """One record, read as the generations of one algorithm."""

    def __init__(self, request: AskRequest, name: str, size: int) -> None:
        self.request, self.name, self.size = request, name, size
        self.history, self.space = request.history, request.history.space
        self.marks: dict[int, _Mark] = {}
        for i, row in enumerate(self.history.rows):
            if row.meta and '"evolution":' in row.meta and row.space_version == self.history.spaces.version:
                noted = self.history.meta(i)["evolution"]
                if noted["algorithm"] == name:
                    told = noted.get("told")
                    self.marks[i] = _Mark(noted["generation"], noted["slot"], None if told is None else tuple(told))
        self._inputs = Inputs(self.space)

    def of(self, generation: int) -> list[int]:
        """Rows of a generation."""
        return [row for row, mark in self.marks.items() if mark.generation == generation]

    @cached_property
    def strangers(self) -> list[int]:
        """Complete trials that others proposed before this algorithm began."""
        first = min(self.marks, default=len(self.history))
        others = np.flatnonzero(self.history.complete & self.history.inside & self._whole)
        return [int(row) for row in others if row < first and row not in self.marks]

    @property
    def _whole(self) -> NDArray[np.bool_]:
        return np.asarray(~np.isnan(self.history.Y).any(axis=1))

    def slots(self, generation: int) -> int:
        """N, but for the first generation, which others may have filled in part."""
        return max(self.size - len(self.strangers), 1) if generation == 0 and self.strangers else self.size

    def _ended(self, rows: list[int]) -> list[int]:
        states = {TrialState.COMPLETE, TrialState.FAILED, TrialState.INFEASIBLE, TrialState.PRUNED}
        there = np.flatnonzero(self.history.in_state(*states) & self.history.placed)
        usable = set(there.tolist())
        return [row for row in rows if row in usable]

    def present(self) -> tuple[int, tuple[int, ...] | None]:
        """The generation that is asked now, and which trials were told before it (None for the first)."""
        last = max((mark.generation for mark in self.marks.values()), default=0)
        if not self.marks and len(self.strangers) >= self.size:
            return 1, tuple(self.strangers)
        ended = self._ended(self.of(last))
        enough = self.size - len(self.strangers) if last == 0 else self.size
        if self.marks and len(ended) >= enough:
            ended = sorted(ended, key=lambda row: self.marks[row].slot)
            return last + 1, (*(self.strangers if last == 0 else ()), *ended)
        return last, self.told_before(last)

    def told_before(self, generation: int) -> tuple[int, ...] | None:
        """Which trials were told to the generation before this one, as its first trial notes."""
        noted = [self.marks[row].told for row in self.of(generation)]
        return next((told for told in noted if told is not None), None)

    def _told(self, generation: int) -> list[int]:
        """Rows that are told to a generation, which is over."""
        noted = self.told_before(generation + 1)
        if noted is None:
            noted = self.present()[1]
        assert noted is not None
        return list(noted)

    def key(self, generation: int) -> bytes:
        """What the algorithm after the generations before this one depends on."""
        h, digest = self.history, hashlib.sha256()
        digest.update(repr((self.name, self.size, h.seed, h.space.to_json(), generation)).encode())
        for g in range(generation):
            rows = self._told(g)
            digest.update(repr([self.marks[row].slot if row in self.marks else -1 for row in rows]).encode())
            for part in (h.X, h.Y, h.C, h.states):
                digest.update(np.ascontiguousarray(part[rows]).tobytes())
        return digest.digest()

    # -- pymoo ----------------------------------------------------------------------------------

    def begin(self) -> Any:
        """The algorithm before its first generation."""
        from pymoo.core.problem import Problem

        columns = len(self._inputs.low)
        problem = Problem(
            n_var=columns,
            n_obj=len(self.history.measured),
            n_ieq_constr=self.history.C.shape[1] + 1,
            xl=self._inputs.low,
            xu=self._inputs.high,
        )
        algorithm = _MAKERS[self.name](self)
        with _numpy_random([self.history.seed, 0]):
            algorithm.setup(problem, termination=("n_gen", 10**9), seed=self.history.seed % 2**31, verbose=False)
        return algorithm

    def generator(self, generation: int, k: int) -> np.random.Generator:
        """For the telling of a generation (0), its asking (1), and further rounds of extra offspring (from 2 on)."""
        return np.random.default_rng([self.history.seed, generation, k])

    def tell(self, algorithm: Any, generation: int) -> None:
        """Tell a generation that is over."""
        rows = self._told(generation)
        X = self.filled(self.history.X[rows])
        if generation == 0:
            algorithm._initialize()
        elif self.name in _ONE:  # these look at what they asked
            asked = self._infill(algorithm, generation).get("X")
            slots = [self.marks[row].slot for row in rows]
            for i, slot in enumerate(slots):
                if slot < len(asked) and np.allclose(asked[slot], X[i], atol=1e-9):
                    X[i] = asked[slot]
        infills = self._population(rows, X)
        if generation and self.name == "de":
            infills = infills[: self.size]
            infills.set("index", self._parents(rows)[: len(infills)])
        algorithm.random_state = self.generator(generation, 0)
        with _numpy_random([self.history.seed, generation, 0]):
            algorithm.advance(infills=infills)

    def _parents(self, rows: list[int]) -> Rows:
        """The slot that each trial competes for: its own, or for an extra offspring one whose trial did not end."""
        slots = [self.marks[row].slot for row in rows]
        free = iter([slot for slot in range(self.size) if slot not in slots])
        return np.array([slot if slot < self.size else next(free, slot % self.size) for slot in slots])

    def _population(self, rows: list[int], X: Array) -> Any:
        from pymoo.core.population import Population

        history = self.history
        F = -history.utility(history.Y[rows])  # (k, m)
        lost = np.isnan(F).any(axis=1)
        known = F[~lost]
        F[lost] = known.max(axis=0) if len(known) else 0.0
        G = history.C[rows]
        G = np.column_stack([np.where(np.isnan(G), _BAD, G), np.where(lost, _BAD, -1.0)])  # (k, c + 1)
        if self.name == "cmaes":  # it looks at losses alone
            excess = np.maximum(G, 0.0).sum(axis=1, keepdims=True)
            F = np.where(excess > 0, F.max() + excess, F)
        population = Population.new("X", X)
        population.set("F", F, "G", G, "H", np.empty((len(rows), 0)))
        for individual in population:
            individual.evaluated.update({"F", "G", "H"})
        return population

    def _infill(self, algorithm: Any, generation: int, k: int = 0) -> Any:
        """Offspring as pymoo makes them."""
        algorithm.random_state = self.generator(generation, k + 1)
        with _numpy_random([self.history.seed, generation, k + 1]):
            found = algorithm.infill()
        algorithm.termination.force_termination = False  # nothing new by mating; it may be otherwise next time
        return found

    def offspring(self, algorithm: Any, generation: int, k: int) -> Array:
        """Encoded points of a generation, or of its k-th round of extra ones, at most N, (at most N, d)."""
        from copy import deepcopy

        asked = algorithm if self.name == "cmaes" else deepcopy(algorithm)
        first = min(self.of(generation), default=len(self.history))
        if isinstance(getattr(asked, "eliminate_duplicates", None), _New):
            asked.eliminate_duplicates.run = asked.mating.eliminate_duplicates.run = self
            asked.eliminate_duplicates.before = asked.mating.eliminate_duplicates.before = first
        found = self._infill(asked, generation, k)
        if found is None or len(found) == 0:
            return np.empty((0, self.space.width))
        X = self.settled(np.asarray(found.get("X"), dtype=np.float64))
        return self._feasible(X, first)

    def settled(self, X: Array) -> Array:
        """Points that exist next to X (k, d), what is fixed held, inactive columns NaN."""
        X = np.clip(X, self._inputs.low, self._inputs.high)
        for name, value in self.request.fixed.items():  # before what they switch on or off is decided
            X[:, self.space.slices[name]] = self.space[name].encode([value])
        X = self.space.encode(self.space.decode(X))
        for name, value in self.request.fixed.items():
            there = ~np.isnan(X[:, self.space.slices[name]])
            X[:, self.space.slices[name]] = np.where(there, self.space[name].encode([value]), np.nan)
        return X

    def filled(self, X: Array) -> Array:
        """Points without NaN: what is inactive stands in the middle, or is some order, set or sequence."""
        return np.where(np.isnan(X), self._middle, X)

    @cached_property
    def _middle(self) -> Array:
        middle = (self._inputs.low + self._inputs.high) / 2
        for p in self.space:
            if isinstance(p, Structure):
                middle[self.space.slices[p.name]] = p.from_uniform(np.full((1, p.draws), 0.5))[0]
        return middle

    def _feasible(self, X: Array, first: int) -> Array:
        """Points moved towards feasible ones of the record up to a row, as far as the constraints want."""
        wrong = np.flatnonzero(~self.space.feasible(X))
        known = self.history.X[:first][self.history.inside[:first]]
        known = known[self.space.feasible(known)]
        if wrong.size == 0 or len(known) == 0:
            return X
        for row in wrong:
            to = known[np.abs(self.filled(known) - self.filled(X[row])).sum(axis=1).argmin()]
            for share in (0.25, 0.5, 0.75, 0.9):
                step = self.settled((self.filled(X[row]) * (1 - share) + self.filled(to) * share)[None])
                if self.space.feasible(step)[0]:
                    X[row] = step[0]
                    break
        return X

    def screen(self, chosen: list[Array]) -> _Feasible:
        """Which points may be proposed."""
        return _Feasible(Screen(self.history, chosen), self.space)


@dataclass(frozen=True)
class _Feasible:
    """A screen that looks at known constraints, too."""

    screen: Screen
    space: Space

    def admits(self, X: Array) -> NDArray[np.bool_]:
        return self.screen.admits(X) & self.space.feasible(X)


@contextmanager
def _numpy_random(key: list[int]) -> Iterator[None]:
    """The global generator that pymoo's CMA-ES draws from, seeded, and afterwards as it was."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(np.random.SeedSequence(key).generate_state(4))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


# -- what pymoo is given: operators for mixed spaces, and an eye on the record ------------------------


def _is_plain(space: Space) -> bool:
    """Nothing but continuous numbers and no constraint: pymoo's own operators are meant for it."""
    return all(p.cardinality is None and (p.box or p.kind == "vector") and not p.when for p in space)


class _New:
    """In place of pymoo's elimination of duplicates: nothing that was proposed before, that is shut or infeasible."""

    def __init__(self) -> None:
        self.run: _Run | None = None
        self.before = 0

    def do(self, pop: Any, *others: Any, return_indices: bool = False, to_itself: bool = True) -> Any:
        """The offspring that are new, as `pymoo.core.duplicate.DuplicateElimination.do`."""
        if len(pop) == 0 or self.run is None:
            return (pop, [], []) if return_indices else pop
        run = self.run
        X = run.settled(np.asarray(pop.get("X"), dtype=np.float64))
        known = {key for other in others if len(other) for key in _keys(run.settled(other.get("X")))}
        rows = [i for i in range(min(self.before, len(run.history))) if run.history.rows[i].state != TrialState.VOID]
        known.update(_keys(run.history.X[rows]))
        allowed = Screen(run.history).allows(X) & run.space.feasible(X)
        fresh = []
        for i, key in enumerate(_keys(X)):
            if allowed[i] and key not in known:
                fresh.append(i)
                known.add(key)
        gone = [i for i in range(len(pop)) if i not in fresh]
        return (pop[fresh], fresh, gone) if return_indices else pop[fresh]


def _keys(X: Array) -> list[bytes]:
    return [row.tobytes() for row in np.ascontiguousarray(np.where(np.isnan(X), np.nan, np.round(X, 12) + 0.0))]


def _operators(run: _Run) -> dict[str, Any]:
    """Crossover and mutation: pymoo's for numbers, and for each other kind of parameter one of its own."""
    if _is_plain(run.space):
        return {}
    from pymoo.core.crossover import Crossover
    from pymoo.core.mutation import Mutation
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM

    groups = _Groups(run.space, run._inputs)

    class MixedCrossover(Crossover):  # type: ignore[misc]
        """SBX on numbers; choices and structured values change hands; orders cross by their order."""

        def __init__(self) -> None:
            super().__init__(2, 2, prob=0.9)

        def _do(self, problem: Any, X: Array, *_: Any, random_state: Any = None, **__: Any) -> Array:
            Q = X.copy()
            if groups.numbers.size:
                part = groups.problem(problem)
                Q[..., groups.numbers] = SBX(eta=15, prob=1.0)._do(
                    part, X[..., groups.numbers], random_state=random_state
                )
            for p, columns in groups.others:
                swap = np.flatnonzero(random_state.random(X.shape[1]) < 0.5)
                if isinstance(p, Permutation):
                    for j in swap:
                        for child, (mother, father) in enumerate(((0, 1), (1, 0))):
                            Q[child, j, columns] = _ordered(X[mother, j, columns], X[father, j, columns], random_state)
                else:
                    Q[0][np.ix_(swap, columns)], Q[1][np.ix_(swap, columns)] = (
                        X[1][np.ix_(swap, columns)], X[0][np.ix_(swap, columns)]
                    )  # fmt: skip
            return Q

    class MixedMutation(Mutation):  # type: ignore[misc]
        """Polynomial on numbers; another choice; a neighbour of a structured value."""

        def _do(self, problem: Any, X: Array, *_: Any, random_state: Any = None, **__: Any) -> Array:
            Q = X.copy()
            if groups.numbers.size:
                part = groups.problem(problem)
                Q[:, groups.numbers] = PM(eta=20)._do(part, X[:, groups.numbers], random_state=random_state)
            rate = 1.0 / (groups.numbers.size + len(groups.others))
            for p, columns in groups.others:
                for i in np.flatnonzero(random_state.random(len(X)) < rate):
                    if isinstance(p, Structure):
                        block = p.neighbours(Q[i, columns], random_state, 1)
                        Q[i, columns] = block[0] if len(block) else Q[i, columns]
                    else:
                        Q[i, columns] = random_state.integers(groups.levels(columns))
            return Q

    return {"crossover": MixedCrossover(), "mutation": MixedMutation()}


class _Groups:
    """Columns of numbers, and the other parameters with theirs."""

    def __init__(self, space: Space, inputs: Inputs) -> None:
        self._inputs = inputs
        unordered = set(inputs.categorical)
        self.others: list[tuple[Parameter, Rows]] = []
        numbers: list[int] = []
        for p in space:
            columns = list(range(*space.slices[p.name].indices(space.width)))
            if isinstance(p, Structure) or unordered & set(columns):
                self.others.append((p, np.array(columns)))
            else:
                numbers += columns
        self.numbers: Rows = np.array(numbers, dtype=np.int64)

    def levels(self, columns: Rows) -> int:
        """Number of choices in a column."""
        return int(self._inputs.high[columns[0]]) + 1

    def problem(self, problem: Any) -> Any:
        """The part of a problem that numbers are."""
        from pymoo.core.problem import Problem

        low, high = problem.xl[self.numbers], problem.xu[self.numbers]
        return Problem(n_var=len(self.numbers), n_obj=problem.n_obj, xl=low, xu=high)


def _ordered(mother: Array, father: Array, rng: np.random.Generator) -> Array:
    """Order crossover (Davis 1985): a stretch of the mother, the rest in the order of the father."""
    start, end = np.sort(rng.choice(len(mother) + 1, 2, replace=False))
    stretch = mother[start:end]
    rest = father[~np.isin(father, stretch)]
    return np.concatenate([rest[:start], stretch, rest[start:]])


def _nsga2(run: _Run) -> Any:
    from pymoo.algorithms.moo.nsga2 import NSGA2

    return NSGA2(pop_size=run.size, eliminate_duplicates=_New(), **_operators(run))


def _nsga3(run: _Run) -> Any:
    """As many reference directions of a simplex lattice as there are slots, at most."""
    from pymoo.algorithms.moo.nsga3 import NSGA3
    from pymoo.operators.selection.tournament import TournamentSelection

    m, divisions = len(run.history.measured), 1
    while m > 1 and len(weights(m, divisions + 1)) <= run.size:
        divisions += 1
    return NSGA3(
        weights(m, divisions), pop_size=run.size, selection=TournamentSelection(func_comp=_by_violation),
        eliminate_duplicates=_New(), **_operators(run),
    )  # fmt: skip


def _by_violation(pop: Any, P: Rows, random_state: np.random.Generator, **_: Any) -> Rows:
    """The winners (k, 1) of pairs P (k, 2): what exceeds limits less, else by chance.

    As pymoo's own, which draws a winner among equal excesses from a generator without a seed, so that no run with
    failed trials could be repeated.
    """
    excess = pop.get("CV")[:, 0]
    winners = [
        (a if excess[a] < excess[b] else b) if excess[a] != excess[b] else random_state.choice([a, b]) for a, b in P
    ]
    return np.array(winners, dtype=np.int64)[:, None]


def _smsemoa(run: _Run) -> Any:
    from pymoo.algorithms.moo.sms import SMSEMOA

    return SMSEMOA(pop_size=run.size, n_offsprings=run.size, eliminate_duplicates=_New(), **_operators(run))


def _de(run: _Run) -> Any:
    from pymoo.algorithms.soo.nonconvex.de import DE

    return DE(pop_size=run.size)


def _cmaes(run: _Run) -> Any:
    from pymoo.algorithms.soo.nonconvex.cmaes import SimpleCMAES

    return SimpleCMAES(sigma=_STEP, opts={"popsize": run.size, "verbose": -9})


_MAKERS: Mapping[str, Callable[[_Run], Any]] = {
    "nsga2": _nsga2,
    "nsga3": _nsga3,
    "smsemoa": _smsemoa,
    "de": _de,
    "cmaes": _cmaes,
}
