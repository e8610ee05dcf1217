"""Find the problem that a person named on the command line as `module:name`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from workbench.errors import ProblemError
from workbench.problem import Problem, check_goals

_MEMBERS = ("name", "space", "objectives", "constraints", "source", "optimum", "evaluate")


def load_problem(reference: str) -> Problem:
    """Import `module:name` and return the problem that it is or makes.

    Runs the code of the module: for references that a person typed, never for one read from
    a database. The working directory is put on the import path and stays there, because a
    problem may import its neighbours as late as its first evaluation.

    Args:
        reference: "package.module:name"; the name is a problem, or a function or class that
            makes one without arguments.
    Raises:
        ProblemError: if the reference is malformed, the module or the name does not exist,
            importing or making fails, or what was found is no problem.
    """
    module_name, name = _split(reference)
    found = _attribute(_import(module_name, reference), name, reference)
    problem = found if _is_problem(found) else _make(found, reference)
    check_goals(problem.objectives, problem.constraints)
    return problem


def _split(reference: str) -> tuple[str, str]:
    module, colon, name = reference.partition(":")
    path_like = "/" in module or "\\" in module or module.endswith(".py")
    if colon and not path_like and all(part.isidentifier() for part in [name, *module.split(".")]):
        return module, name
    remedy = "write the module with dots and without .py" if path_like else "name both"
    raise ProblemError(
        f"a problem is given as module:name, such as problems.synthetic:branin, got {reference!r}; {remedy}"
    )


def _import(module: str, reference: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ProblemError(
                f"{reference!r}: there is no module {error.name!r} in {here} or among the installed "
                f"packages; {_near(error.name, _neighbours(error.name))}"
            ) from error
        raise ProblemError(
            f"{reference!r}: importing {module!r} needs the module {error.name!r}, which is not installed; install it"
        ) from error
    except (Exception, SystemExit) as error:  # a script that runs at import may end in sys.exit
        raise ProblemError(
            f"{reference!r}: importing {module!r} raised {type(error).__name__}: {error}; mend the module"
        ) from error


def _attribute(module: ModuleType, name: str, reference: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    own = [key for key, value in vars(module).items() if not key.startswith("_") and _offered(value, module)]
    raise ProblemError(f"{reference!r}: module {module.__name__!r} has no {name!r}; {_near(name, own)}")


def _make(found: Any, reference: str) -> Problem:
    if not callable(found):
        raise ProblemError(
            f"{reference!r}: expected a problem, or a function without arguments that makes one, "
            f"got {_described(found)}"
        )
    if needed := _required(found):
        raise ProblemError(
            f"{reference!r}: expected a function without arguments, but it needs {', '.join(needed)}; "
            "give them defaults, or name a function that calls it"
        )
    try:
        made = found()
    except Exception as error:
        raise ProblemError(
            f"{reference!r}: calling it without arguments raised {type(error).__name__}: {error}; mend the function"
        ) from error
    if not _is_problem(made):
        raise ProblemError(f"{reference!r}: expected a function that makes a problem, but it made {_described(made)}")
    problem: Problem = made
    return problem


def _is_problem(found: Any) -> bool:
    # A class of problems has all the members too, without being one.
    return not isinstance(found, type) and isinstance(found, Problem)


def _described(found: Any) -> str:
    if isinstance(found, type):
        return f"the class {found.__name__}; name a function that makes one object of it"
    missing = [member for member in _MEMBERS if not hasattr(found, member)]
    return f"a {type(found).__name__}; to be a problem it lacks {', '.join(missing)}"


def _required(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built-in callables without a signature: calling them tells
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variadic]


def _offered(value: Any, module: ModuleType) -> bool:
    if _is_problem(value):
        return True
    return inspect.isfunction(value) and value.__module__ == module.__name__ and not _required(value)


def _neighbours(module: str) -> list[str]:
    """Names of modules that stand beside a missing one."""
    parent, _, _ = module.rpartition(".")
    if not parent:
        return [found.name for found in pkgutil.iter_modules()]
    paths = getattr(sys.modules.get(parent), "__path__", None)
    return [f"{parent}.{found.name}" for found in pkgutil.iter_modules(paths)] if paths else []


def _near(wanted: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(wanted, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if 0 < len(known) <= 20:
        return f"there are {', '.join(known)}"
    return "check the spelling, and run the command in the folder that holds it"
