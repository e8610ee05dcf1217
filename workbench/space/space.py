"""The search space: named parameters and the constraints known beforehand.

Shapes: X (n, D) holds n encoded points, D = `Space.width`; a point in the open is a dict name -> value.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench import markup
from workbench.errors import ConstraintError, InvalidValueError, SpaceError
from workbench.space.activity import count_points
from workbench.space.expressions import KnownConstraint, parse
from workbench.space.functions import Function, FunctionConstraint, attached
from workbench.space.parameters import Parameter, shorten
from workbench.space.scales import Array

Mask = npt.NDArray[np.bool_]
_ABSENT = object()


class Space:
    """An immutable search space.

    Args:
        parameters: In order; a parent named in when= stands before its children.
        constraints: Arithmetic comparisons over numeric names, such as "x + 2*depth <= 12"; one that
            names an inactive parameter holds vacuously. Or functions with a name that say of a point's
            values, name -> value, whether it may be tried; they live in this process only.
    Raises:
        SpaceError: if a declaration contradicts itself.
        ConstraintError: if a constraint cannot be read.
        InfeasibleSpaceError: if the linear constraints leave no point.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        constraints: Iterable[str | KnownConstraint | Function | FunctionConstraint] = (),
    ) -> None:
        if isinstance(parameters, Parameter) or not isinstance(parameters, Iterable):
            raise SpaceError(f"expected a list of parameters, got {shorten(parameters)}. Write wb.Space([…]).")
        self.parameters: tuple[Parameter, ...] = tuple(parameters)
        self._check_parameters()
        self.names: tuple[str, ...] = tuple(parameter.name for parameter in self.parameters)
        self._by_name = dict(zip(self.names, self.parameters, strict=True))
        self._when = self._conditions()
        self._variables = self._numeric_names()
        self._sources, self.functions = _sources(constraints)
        self.constraints: tuple[KnownConstraint, ...] = tuple(
            part for source in self._sources for part in parse(source, self._variables)
        )
        self.columns: tuple[str, ...] = tuple(column for parameter in self.parameters for column in parameter.columns)
        edges = [0, *accumulate(parameter.width for parameter in self.parameters)]
        self.slices: dict[str, slice] = {
            name: slice(start, stop) for name, start, stop in zip(self.names, edges, edges[1:], strict=False)
        }
        if self.constraints:
            from workbench.space.feasibility import check_feasible

            check_feasible(self)

    # -- what it consists of ----------------------------------------------------------------

    @property
    def width(self) -> int:
        """Number of encoded columns, D."""
        return len(self.columns)

    def __getitem__(self, name: str) -> Parameter:
        if name not in self._by_name:
            raise InvalidValueError(f"expected a parameter of the space, got {name!r}{self._hint(name)}")
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def constrained(self) -> bool:
        """Whether there is any known constraint."""
        return bool(self.constraints or self.functions)

    def with_functions(self, functions: Mapping[str, Function]) -> Space:
        """Return the space with functions put in by name for constraints that lack theirs.

        Raises:
            InvalidValueError: if a name is none of such a constraint.
        """
        return Space(self.parameters, [*self._sources, *attached(self.functions, functions)])

    def size(self) -> int | None:
        """Return how many different points there are, constraints left aside; None if infinitely many."""
        return count_points(self.parameters, self._when)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        lines = [f"    {_declaration(parameter)}," for parameter in self.parameters]
        rules = [*map(repr, self._sources), *(rule.name for rule in self.functions)]
        tail = f", constraints=[{', '.join(rules)}]" if rules else ""
        return "\n".join(["Space([", *lines, f"]{tail})"])

    def _repr_html_(self) -> str:
        """What a notebook shows: the parameters as a table, and the constraints."""
        rules = "; ".join([*self._sources, *(rule.name for rule in self.functions)])
        columns: dict[str, list[Any]] = {
            "name": list(self.names),
            "values": [parameter.describe() for parameter in self],
            "unit": [parameter.unit for parameter in self],
            "exists when": [markup.condition(parameter.when) for parameter in self],
            "role": [None if parameter.role == "design" else parameter.role for parameter in self],
        }
        size = markup.count(len(self), "parameter")
        return markup.heading("Space of", size, rules and f"Constraints: {rules}") + markup.table(columns)

    def to_json(self) -> dict[str, Any]:
        """Return the declaration as JSON types."""
        return {
            "parameters": [parameter.to_json() for parameter in self.parameters],
            "constraints": [*self._sources, *({"function": rule.name} for rule in self.functions)],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Space:
        """Rebuild a space from `to_json`. Raises SpaceError on anything else."""
        try:
            listed, constraints = data["parameters"], data["constraints"]
        except (KeyError, TypeError) as error:
            raise SpaceError(
                f"expected a space with parameters and constraints, got {shorten(data)}. Check the file."
            ) from error
        rules = [FunctionConstraint(item["function"]) if isinstance(item, Mapping) else item for item in constraints]
        return Space(map(Parameter.from_json, listed), rules)

    # -- points -----------------------------------------------------------------------------

    def active(self, params: Mapping[str, Any]) -> set[str]:
        """Return the names that exist at a point, given the values of (at least) the parents."""
        active: set[str] = set()
        for parameter in self.parameters:
            conditions = self._when.get(parameter.name, {})
            if all(
                parent in active and parent in params and params[parent] in allowed
                for parent, allowed in conditions.items()
            ):
                active.add(parameter.name)
        return active

    def check(self, params: Mapping[str, Any], *, bounds: bool = True, complete: bool = True) -> dict[str, Any]:
        """Return a point in canonical form: canonical values in declared order, inactive keys absent.

        Args:
            params: name -> value.
            bounds: Whether values outside the bounds are refused.
            complete: Whether every active parameter must be given.
        Raises:
            InvalidValueError: if a name is unknown, missing or inactive, or a value is refused.
        """
        self._check_names(params)
        point = {
            parameter.name: parameter.check(params[parameter.name], bounds=bounds)
            for parameter in self.parameters
            if parameter.name in params
        }
        active = self.active(point)
        for name in self.names:
            if name in point and name not in active and (complete or self._ruled_out(name, point)):
                raise InvalidValueError(
                    f"{name}: expected to be absent, since it exists only with {self._condition(name)}; "
                    f"got {shorten(point[name])}. Leave it out, or change its parent."
                )
            if complete and name in active and name not in point:
                raise InvalidValueError(
                    f"{name}: expected {self._by_name[name].describe()}, got nothing. Give it a value."
                )
        return point

    def encode(self, params: Sequence[Mapping[str, Any]]) -> Array:
        """Encode points of canonical values into X (n, D); NaN where a parameter is inactive or absent."""
        X = np.full((len(params), self.width), np.nan)
        for parameter in self.parameters:
            rows, values = _present(params, parameter.name)
            if values:
                X[rows, self.slices[parameter.name]] = parameter.encode(values)
        return self._blanked(X)

    def decode(self, X: Array) -> list[dict[str, Any]]:
        """Decode X (n, D) into points; what is active follows from the decoded parents alone.

        Raises:
            InvalidValueError: if X has another width, or NaN where a parameter is active.
        """
        X = self._checked(X)
        mask = self._active_rows(X)
        columns = {}
        for parameter in self.parameters:
            block = X[:, self.slices[parameter.name]]
            rows = mask[parameter.name]
            columns[parameter.name] = parameter.decode(block if rows.all() else block[rows])
        return _points(columns, mask)

    def decode_columns(self, X: Array) -> dict[str, npt.NDArray[Any]]:
        """Decode X (n, D) into one array a parameter, shape (n,) or (n, width) for values of many numbers.

        Where a parameter is inactive, numbers are NaN and everything else None.
        """
        X = self._checked(X)
        mask = self._active_rows(X)
        columns: dict[str, npt.NDArray[Any]] = {}
        for parameter in self.parameters:
            rows, block = mask[parameter.name], X[:, self.slices[parameter.name]]
            there = _as_array(parameter, parameter.decode(block[rows]))
            if not rows.all():
                number = parameter.kind in ("float", "int", "vector", "simplex")
                whole = np.full(
                    (len(X), *there.shape[1:]), np.nan if number else None, dtype=None if number else object
                )
                whole[rows] = there
                there = whole
            columns[parameter.name] = there
        return columns

    def mask(self, X: Array) -> Mask:
        """Return which columns of X (n, D) belong to active parameters, shape (n, D)."""
        X = self._checked(X)
        active = self._active_rows(X)
        widths = [parameter.width for parameter in self.parameters]
        rows = np.stack([active[name] for name in self.names], axis=1)
        return np.repeat(rows, widths, axis=1)

    def violations(self, params: Mapping[str, Any]) -> list[str]:
        """Return a sentence for each known constraint that a point of canonical values does not meet."""
        active = self.active(params)
        values: dict[str, float] = {}
        for parameter in self.parameters:
            if parameter.name in active and parameter.name in params:
                measured = parameter.measure(params[parameter.name])
                values.update(zip(parameter.variables, measured, strict=True))
        told = (constraint.explain(values) for constraint in self.constraints)
        broken = [sentence for sentence in told if sentence is not None]
        whole = active <= params.keys()  # a function sees whole points only
        return broken + [f"{rule.name}: says no" for rule in self.functions if whole and not rule.met(params)]

    def feasible(self, X: Array) -> Mask:
        """Return which rows of X (n, D), decoded, meet every known constraint, shape (n,)."""
        X = self._checked(X)
        met = np.ones(len(X), dtype=bool)
        if self.constraints:
            columns = self.quantities(X)
            met &= np.logical_and.reduce([constraint.satisfied(columns) for constraint in self.constraints])
        if self.functions:
            rows = np.flatnonzero(met)
            points = self.decode(X[rows])
            met[rows] = [all(rule.met(point) for rule in self.functions) for point in points]
        return met

    def quantities(self, X: Array) -> dict[str, Array]:
        """Return what constraints see of X (n, D): name -> decoded number (n,), NaN where inactive."""
        X = self._checked(X)
        used = {self._variables[name] for constraint in self.constraints for name in constraint.names}
        active = self._active_rows(X)
        columns: dict[str, Array] = {}
        for name in used:
            parameter, block = self._by_name[name], X[:, self.slices[name]]
            rows = active[name] & ~np.isnan(block).any(axis=1)
            numbers = np.full((len(X), len(parameter.variables)), np.nan)
            numbers[rows] = parameter.quantities(block[rows])
            columns.update(zip(parameter.variables, numbers.T, strict=True))
        return columns

    def key(self, params: Mapping[str, Any]) -> Hashable:
        """Return the identity of a point of canonical values: equal if and only if the points are."""
        return tuple(
            (parameter.name, parameter.key(params[parameter.name]))
            for parameter in self.parameters
            if parameter.name in params
        )

    def complete_fixed(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """Return fixed values in canonical form, with the parent values that they imply.

        Raises:
            InvalidValueError: if a name or value is wrong, or a parent's value is left open.
        """
        self._check_names(fixed)
        point = {name: self._by_name[name].check(value, bounds=True) for name, value in fixed.items()}
        # Children stand after their parents, so going backwards reaches a parent's own parents last.
        for name in reversed(self.names):
            if name in point:
                for parent, allowed in self._when.get(name, {}).items():
                    self._imply(point, name, parent, allowed)
        return {name: point[name] for name in self.names if name in point}

    # -- draws ------------------------------------------------------------------------------

    def uniform(self, n: int, rng: np.random.Generator, fixed: Mapping[str, Any] | None = None) -> Array:
        """Draw n points uniformly, X (n, D).

        Every row meets every known constraint once decoded and equals encode(decode(row)) bit for bit;
        inactive columns are NaN. Parameters of the roles fidelity and task stand at their target
        unless fixed.

        Args:
            n: How many.
            rng: Where randomness comes from.
            fixed: name -> value that every point has; parameters of the role context must be here.
        Raises:
            InvalidValueError: if fixed is wrong or a context is missing.
            InfeasibleSpaceError: if no more points are found within the stated effort.
        """
        from workbench.space.sampling import Uniform, plan

        return plan(self, self._frozen(fixed)).take(Uniform(rng), n, 0)

    def sobol(self, n: int, seed: int, skip: int = 0, fixed: Mapping[str, Any] | None = None) -> Array:
        """Return points skip .. skip + n - 1 of a scrambled Sobol sequence, X (n, D).

        As `uniform`, and a function of (space, seed, fixed) alone: sobol(n, s, skip=k) equals rows k to
        k + n of sobol(n + k, s), also under constraints, where only accepted points count.

        Args:
            n: How many.
            seed: Any integer of at least 0.
            skip: How many points of the sequence to leave out.
            fixed: name -> value that every point has; parameters of the role context must be here.
        Raises:
            InvalidValueError: if fixed is wrong or a context is missing.
            InfeasibleSpaceError: if no more points are found within the stated effort.
        """
        from workbench.space.sampling import Sobol, plan

        return plan(self, self._frozen(fixed)).take(Sobol(seed), n, skip)

    def check_reachable(self) -> None:
        """Draw one point, so that a space whose constraints leave none is refused before anything is begun.

        Left to the first ask where a context has yet to be given.

        Raises:
            InfeasibleSpaceError: if no point is found within the stated effort.
            ConstraintError: if a constraint that is a function cannot be asked.
        """
        if self.constrained and not any(parameter.role == "context" for parameter in self.parameters):
            self.sobol(1, seed=0)

    # -- inside -----------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        if not self.parameters:
            raise SpaceError("expected at least one parameter, got none. Declare what can be varied.")
        for parameter in self.parameters:
            if not isinstance(parameter, Parameter):
                raise SpaceError(
                    f"expected parameters such as Float('x', 0, 1), got {shorten(parameter)}. Declare it as one."
                )
        names = [parameter.name for parameter in self.parameters]
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise SpaceError(f"expected different names, got {twice[0]!r} twice. Rename one.")

    def _conditions(self) -> dict[str, dict[str, tuple[Any, ...]]]:
        """Return name -> parent -> canonical values of the parent that activate it."""
        conditions = {}
        for i, parameter in enumerate(self.parameters):
            if parameter.when is not None:
                earlier = self.names[:i]
                conditions[parameter.name] = {
                    parent: self._activating(parameter, parent, allowed, earlier)
                    for parent, allowed in parameter.when.items()
                }
        return conditions

    def _activating(
        self, parameter: Parameter, parent: str, allowed: Sequence[Any], earlier: Collection[str]
    ) -> tuple[Any, ...]:
        where = f"{parameter.name!r}: when="
        if parent not in earlier:
            near = self._hint(parent) if parent not in self.names else ". Declare the parent first."
            raise SpaceError(f"{where} expected a parameter declared before it, got {parent!r}{near}")
        declared = self._by_name[parent]
        if not declared.discrete or declared.width != 1:
            raise SpaceError(
                f"{where} expected a parent with single discrete values, got {parent!r}. "
                "Use a Bool, Categorical, Ordinal, Int or a Float with step=."
            )
        try:
            return tuple(declared.check(value, bounds=True) for value in allowed)
        except InvalidValueError as error:
            raise SpaceError(f"{where} names a value that the parent cannot take: {error}") from error

    def _numeric_names(self) -> dict[str, str]:
        """Return each name that constraints may use -> the parameter behind it."""
        owners: dict[str, str] = {}
        for parameter in self.parameters:
            for variable in parameter.variables:
                taken = variable in owners or (variable != parameter.name and variable in self._by_name)
                if taken:
                    raise SpaceError(
                        f"expected different names, got {variable!r} twice (parts of a Simplex count). Rename one."
                    )
                owners[variable] = parameter.name
        return owners

    @cached_property
    def _identity(self) -> str:
        return json.dumps(self.to_json(), sort_keys=True)

    @property
    def _parents(self) -> set[str]:
        return {parent for conditions in self._when.values() for parent in conditions}

    def _hint(self, name: object) -> str:
        near = get_close_matches(str(name), self.names, n=1)
        known = f"did you mean {near[0]!r}?" if near else f"the names are {', '.join(self.names)}."
        return f"; {known}"

    def _check_names(self, params: Mapping[str, Any]) -> None:
        if not isinstance(params, Mapping):
            raise InvalidValueError(f"expected a dict name -> value, got {shorten(params)}. Name the values.")
        for name in params:
            if name not in self._by_name:
                raise InvalidValueError(f"expected a parameter of the space, got {name!r}{self._hint(name)}")

    def _condition(self, name: str) -> str:
        return " and ".join(
            f"{parent} = {' or '.join(map(repr, allowed))}" for parent, allowed in self._when[name].items()
        )

    def _imply(self, point: dict[str, Any], name: str, parent: str, allowed: Sequence[Any]) -> None:
        if parent not in point and len(allowed) == 1:
            point[parent] = allowed[0]
        if parent not in point:
            raise InvalidValueError(
                f"{name}: expected {parent} to be fixed, too, since {name} exists only with "
                f"{self._condition(name)}; got {name} alone. Fix {parent} to one of them."
            )
        if point[parent] not in allowed:
            raise InvalidValueError(
                f"{name}: expected {self._condition(name)} beside it, got {parent}={shorten(point[parent])}. "
                f"Leave {name} out, or change {parent}."
            )

    def _frozen(self, fixed: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the fixed values completed by implied parents. Raises if a context is missing."""
        point = self.complete_fixed(fixed or {})
        for parameter in self.parameters:
            name = parameter.name
            if parameter.role == "context" and name not in point and not self._ruled_out(name, point):
                raise InvalidValueError(
                    f"{name}: expected its present value, since it is a context and not ours to choose; "
                    f"got nothing. Pass it as context or fixed={{{name!r}: ...}}."
                )
        return point

    def _ruled_out(self, name: str, point: Mapping[str, Any]) -> bool:
        """Whether the parents given so far keep a parameter from existing, whatever the others are."""
        conditions = self._when.get(name, {}).items()
        return any(parent in point and point[parent] not in allowed for parent, allowed in conditions)

    def _checked(self, X: Array) -> Array:
        X = np.asarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.width:
            raise InvalidValueError(
                f"expected X of shape (n, D={self.width}), got {X.shape}. Encode points with this space."
            )
        return X

    def _active_rows(self, X: Array) -> dict[str, Mask]:
        """Return name -> rows (n,) in which the parameter is active, by the decoded parents alone."""
        decoded: dict[str, tuple[Mask, list[Any]]] = {}
        active: dict[str, Mask] = {}
        parents = self._parents
        for name, parameter in self._by_name.items():
            rows = np.ones(len(X), dtype=bool)
            for parent, allowed in self._when.get(name, {}).items():
                known, values = decoded[parent]
                rows[known] &= np.fromiter((value in allowed for value in values), bool, len(values))
                rows &= known
            active[name] = rows
            if name in parents:
                block = X[:, self.slices[name]]
                known = rows & np.isfinite(block[:, 0])
                decoded[name] = known, parameter.decode(block[known])
        return active

    def _blanked(self, X: Array) -> Array:
        """Set the columns of inactive parameters to NaN, in place."""
        if self._when:
            X[~self.mask(X)] = np.nan
        return X


def _sources(
    constraints: Iterable[str | KnownConstraint | Function | FunctionConstraint],
) -> tuple[tuple[str, ...], tuple[FunctionConstraint, ...]]:
    """Return the constraints that are text, and those that are functions."""
    if isinstance(constraints, str):
        raise ConstraintError(f"expected a list of constraints, got one text. Write [{constraints[:80]!r}].")
    listed = list(constraints)
    rules = [FunctionConstraint.of(item) if callable(item) else item for item in listed]
    functions = tuple(rule for rule in rules if isinstance(rule, FunctionConstraint))
    names = [rule.name for rule in functions]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ConstraintError(f"expected functions of different names, got {twice[0]!r} twice. Rename one.")
    texts = (rule for rule in rules if not isinstance(rule, FunctionConstraint))
    return tuple(item.source if isinstance(item, KnownConstraint) else item for item in texts), functions


def _declaration(parameter: Parameter) -> str:
    options = {name: value for name, value in parameter.to_json().items() if name not in ("kind", "name")}
    listed = "".join(f", {name}={shorten(value)}" for name, value in options.items())
    return f"{type(parameter).__name__}({parameter.name!r}{listed})"


def _present(params: Sequence[Mapping[str, Any]], name: str) -> tuple[Any, list[Any]]:
    """Return the rows in which a name is given, and its values there."""
    try:
        return slice(None), [point[name] for point in params]
    except KeyError:
        values = [point.get(name, _ABSENT) for point in params]
    rows = [i for i, value in enumerate(values) if value is not _ABSENT]
    return rows, [values[i] for i in rows]


def _points(columns: Mapping[str, list[Any]], active: Mapping[str, Mask]) -> list[dict[str, Any]]:
    """Zip columns of values, each as long as its active rows, into one dict a point."""
    n = len(next(iter(active.values())))
    names = tuple(columns)
    if all(rows.all() for rows in active.values()):
        return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    points: list[dict[str, Any]] = [{} for _ in range(n)]
    for name, values in columns.items():
        for i, value in zip(np.flatnonzero(active[name]).tolist(), values, strict=True):
            points[i][name] = value
    return points


def _as_array(parameter: Parameter, values: Sequence[Any]) -> npt.NDArray[Any]:
    """Decoded values as one array: choices as objects, whatever they are."""
    if parameter.kind in ("categorical", "ordinal", "sequence"):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    if parameter.kind == "simplex":
        return np.array([list(value.values()) if isinstance(value, Mapping) else value for value in values])
    return np.array(values)
