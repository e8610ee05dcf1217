"""The problem that a person names on the command line: found, made, or refused with the remedy."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.cli.loading import load_problem
from workbench.errors import ProblemError, WorkbenchError

SOURCE = """
from workbench.problem import Objective


class Parabola:
    name, space, source, optimum, constraints = "parabola", None, "here", 0.0, ()
    objectives = (Objective("y"),)

    def evaluate(self, params):
        return {"y": params["x"] ** 2}


class Sloped(Parabola):
    def __init__(self, slope):
        self.slope = slope


class Hopeless(Parabola):
    objectives = ()


parabola = Parabola()


def made():
    return Parabola()


def scaled(factor, offset=0.0):
    return Parabola()


def broken():
    raise RuntimeError("no licence")


def number():
    return 3


limit = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with modules that are forgotten afterwards."""
    (tmp_path / "my_curves.py").write_text(SOURCE)
    (tmp_path / "my_broken.py").write_text("1 / 0\n")
    (tmp_path / "my_exit.py").write_text("import sys; sys.exit(2)\n")
    (tmp_path / "my_needy.py").write_text("import absent_dependency_xyz\n")
    (tmp_path / "my_pack").mkdir()
    (tmp_path / "my_pack" / "__init__.py").write_text("")
    (tmp_path / "my_pack" / "inner.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["parabola", "made", "Parabola"])
@pytest.mark.parametrize("module", ["my_curves", "my_pack.inner"])
def test_loads_a_problem_and_what_makes_one(folder: Path, module: str, name: str) -> None:
    problem = load_problem(f"{module}:{name}")
    assert problem.name == "parabola"
    assert problem.evaluate({"x": 3.0}) == {"y": 9.0}
    assert str(folder) in sys.path


def test_an_object_is_returned_as_it_is(folder: Path) -> None:
    assert load_problem("my_curves:parabola") is load_problem("my_curves:parabola")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "given as module:name"),
        ("my_curves", "given as module:name, such as problems.synthetic:branin, got 'my_curves'; name both"),
        ("my_curves:", "name both"),
        (":parabola", "name both"),
        ("my_curves:a:b", "given as module:name"),
        ("my_curves:made()", "given as module:name"),
        ("..my_curves:made", "given as module:name"),
        ("my_curves.py:made", "without .py"),
        ("./my_curves.py:made", "with dots"),
        ("my_curvs:made", "there is no module 'my_curvs' in {folder} .* did you mean my_curves"),
        ("my_pack.iner:made", "no module 'my_pack.iner' .* did you mean my_pack.inner"),
        ("no_such_pack_q.inner:made", "no module 'no_such_pack_q' .* check the spelling"),
        ("my_curves.inner:made", "no module 'my_curves.inner'"),
        ("my_needy:made", "importing 'my_needy' needs the module 'absent_dependency_xyz', .* install it"),
        ("my_broken:made", "importing 'my_broken' raised ZeroDivisionError: division by zero; mend"),
        ("my_exit:made", "importing 'my_exit' raised SystemExit: 2"),
        ("my_curves:parabolla", "module 'my_curves' has no 'parabolla'; did you mean parabola"),
        ("my_curves:zzzz", "has no 'zzzz'; there are broken, made, number, parabola$"),
        (
            "my_curves:limit",
            "expected a problem, or a function .*, got a int; to be a problem it lacks name, space",
        ),
        ("my_curves:scaled", "it needs factor; give them defaults"),
        ("my_curves:Sloped", "it needs slope"),
        ("my_curves:broken", "without arguments raised RuntimeError: no licence"),
        ("my_curves:number", "but it made a int; to be a problem it lacks"),
        ("my_curves:Hopeless", "at least one objective"),
    ],
)
def test_refuses_with_what_was_found_and_the_remedy(folder: Path, reference: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message.format(folder=re.escape(str(folder)))):
        load_problem(reference)


def test_the_cause_is_kept(folder: Path) -> None:
    with pytest.raises(WorkbenchError) as caught:
        load_problem("my_curves:broken")
    assert isinstance(caught.value.__cause__, RuntimeError)
