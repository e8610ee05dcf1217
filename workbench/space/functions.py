"""Constraints that are Python functions: known in this process, named in the record."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.errors import ConstraintError, InvalidValueError, UnsupportedError

Function = Callable[[Mapping[str, Any]], bool]
"""Parameter values of one point, user units, inactive ones absent -> may it be tried?"""


@dataclass(frozen=True, slots=True)
class FunctionConstraint:
    """A rule that is a function; `function` is None where the record knows the name only."""

    name: str
    function: Function | None = None

    @classmethod
    def of(cls, function: Function) -> FunctionConstraint:
        """The constraint that a function with a name is.

        Raises:
            ConstraintError: if it has no name to be asked for by, as a lambda has none.
        """
        name = getattr(function, "__name__", "")
        if not str(name).isidentifier():
            raise ConstraintError(
                f"expected a constraint that is a text or a function with a name, got {function!r}. The record keeps "
                "the name, so that wb.load_study can ask for the function again: define it with def."
            )
        return cls(name, function)

    def met(self, params: Mapping[str, Any]) -> bool:
        """Does one point meet it? True where the function is not known here.

        Raises:
            ConstraintError: if the function raises, or returns something else than a truth value.
        """
        if self.function is None:
            return True
        try:
            answer = self.function(dict(params))
        except Exception as error:
            raise ConstraintError(
                f"the constraint {self.name!r} raised {type(error).__name__} at {dict(params)}: {error}. "
                "It is asked about every point of the space; inactive parameters are absent: use params.get"
            ) from error
        if not isinstance(answer, bool | np.bool_):
            raise ConstraintError(
                f"the constraint {self.name!r} must return True or False, got {answer!r} at {dict(params)}; "
                "write a comparison"
            )
        return bool(answer)


def attached(
    known: tuple[FunctionConstraint, ...], functions: Mapping[str, Function]
) -> tuple[FunctionConstraint, ...]:
    """The constraints with functions put in by name; those that have one keep it.

    Raises:
        InvalidValueError: if a name is none of a constraint, or no function comes with it.
    """
    names = [constraint.name for constraint in known]
    for name, function in functions.items():
        if name not in names or not callable(function):
            near = difflib.get_close_matches(str(name), names, n=1)
            raise InvalidValueError(
                f"functions= takes the constraints of this space that are functions ({', '.join(names) or 'none'}), "
                f"got {name!r}: {function!r}" + (f"; did you mean {near[0]!r}?" if near else "; leave it out")
            )
    return tuple(
        FunctionConstraint(constraint.name, constraint.function or functions.get(constraint.name))
        for constraint in known
    )


def require_all(constraints: tuple[FunctionConstraint, ...]) -> None:
    """Refuse to propose points while a rule is known by name only.

    Raises:
        UnsupportedError: naming the functions that are missing.
    """
    missing = [constraint.name for constraint in constraints if constraint.function is None]
    if missing:
        given = ", ".join(f"{name!r}: {name}" for name in missing)
        raise UnsupportedError(
            f"this space has constraints that are functions, of which no record keeps more than the name; missing: "
            f"{', '.join(missing)}. Load the study with wb.load_study(…, functions={{{given}}})"
        )
