"""The house: every file has a room, a room imports only lower rooms, and heavy libraries come late."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

import workbench as wb

ROOT = Path(wb.__file__).parent
CHECKOUT = ROOT.parent

# A room may import only rooms of a lower level. Packages count as their room; samplers have
# levels of their own, so that they do not import each other.
LEVELS = {
    "errors": 0.0,
    "integers": 0.0,
    "markup": 0.0,
    "threads": 0.0,
    "whole_file": 0.0,
    "space": 1.0,
    "pareto": 1.0,
    "rankings": 1.0,
    "problem": 2.0,
    "trial": 3.0,
    "storage": 4.0,
    "models": 4.0,
    "bundle": 5.0,
    "pruning": 5.0,
    "acquisition": 5.0,
    "samplers": 6.0,  # the bare package: a docstring
    "samplers.base": 6.0,
    "samplers.batch": 6.05,
    "samplers.quasirandom": 6.1,
    "samplers.bayesian": 6.1,
    "samplers.preferential": 6.1,
    "samplers.evolutionary": 6.1,
    "samplers.consensus": 6.1,
    "samplers.gflownet": 6.1,
    "samplers.zeroth_order": 6.1,
    "samplers.auto": 6.2,
    "analysis": 6.0,
    "plots": 6.0,
    "executor": 6.0,
    "study": 7.0,
    "build": 8.0,
    "report": 9.0,
    "interchange": 9.0,
    "bench": 9.0,
    "cli": 10.0,
    "__init__": 11.0,
    "__main__": 11.0,
}
SAME_ROOM = {"migrations": "storage"}  # the schema and its history are one thing


def modules() -> dict[str, Path]:
    """Dotted name below `workbench` of every file of the package."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
        found[".".join(parts)] = path
    return found


MODULES = modules()


def room(module: str) -> str:
    """The room of a module, such as "space" of "space.scalars"."""
    parts = module.split(".")
    name = ".".join(parts[:2]) if parts[0] == "samplers" else parts[0]
    return SAME_ROOM.get(name, name)


def imports(tree: ast.Module, module: str) -> Iterator[str]:
    """Every module that the source names in an import, wherever it stands, dotted and absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; name the whole module"
            assert node.module is not None
            for alias in node.names:  # a name may be a module of the package, or something inside it
                inner = f"{node.module}.{alias.name}"
                is_module = inner.removeprefix("workbench.") in MODULES
                yield inner if is_module else node.module


def imported_rooms(module: str, path: Path) -> Iterator[str]:
    for name in imports(ast.parse(path.read_text()), module):
        if name == "workbench":
            yield "__init__"
        elif name.startswith("workbench."):
            yield room(name.removeprefix("workbench."))


@pytest.mark.parametrize("module", MODULES)
def test_every_file_has_a_room_and_a_docstring(module: str) -> None:
    assert room(module) in LEVELS
    source = MODULES[module].read_text()
    assert ast.get_docstring(ast.parse(source)) or (module.endswith("versions") and not source)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_lower_rooms(module: str) -> None:
    own = room(module)
    wrong = {
        other for other in imported_rooms(module, MODULES[module]) if other != own and not LEVELS[other] < LEVELS[own]
    }
    assert not wrong, f"{module} (level {LEVELS[own]}) imports {wrong}"


def test_the_check_sees_late_and_type_only_imports(tmp_path: Path) -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from workbench.study import Study\n"
        "def late():\n    import workbench.report\n    from workbench import build\n    from workbench import Space\n"
        "    from workbench.samplers import auto\n"
    )
    path = tmp_path / "sample.py"
    path.write_text(source)
    assert set(imported_rooms("sample", path)) == {"study", "report", "build", "__init__", "samplers.auto"}


def test_nothing_in_the_workbench_imports_its_neighbours() -> None:
    for module, path in MODULES.items():
        tops = {name.partition(".")[0] for name in imports(ast.parse(path.read_text()), module)}
        assert not tops & {"ui", "problems", "tests", "examples", "benchmarks"}, module


def test_problems_import_neither_the_ui_nor_what_uses_them() -> None:
    for path in (CHECKOUT / "problems").rglob("*.py"):
        tops = {name.partition(".")[0] for name in imports(ast.parse(path.read_text()), path.name)}
        assert not tops & {"ui", "tests", "examples", "benchmarks"}, path.name


UI = sorted((CHECKOUT / "ui").rglob("*.py"))
# The pieces of pages that draw too.
STREAMLIT = {"frame", "state", "widgets", "asking", "dialogs", "figures", "board", "picturing", "taking", "lists"}


@pytest.mark.parametrize("path", UI, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_only_pages_and_their_pieces_know_streamlit(path: Path) -> None:
    inside = path.relative_to(CHECKOUT / "ui")
    tops = {name.partition(".")[0] for name in imports(ast.parse(path.read_text()), "ui")}
    allowed = inside.parts[0] == "app_pages" or inside.stem in STREAMLIT or inside.name == "__main__.py"
    assert allowed or "streamlit" not in tops
    assert not tops & {"torch", "botorch", "gpytorch", "sqlite3", "tests", "benchmarks", "examples"}
    if inside.parts[0] == "presenters":
        own = {name for name in imports(ast.parse(path.read_text()), "ui") if name.startswith("ui.")}
        assert all(name.startswith("ui.presenters") for name in own), own


@pytest.mark.parametrize("path", UI, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_pages_neither_trust_markup_nor_draw_by_themselves(path: Path) -> None:
    text = path.read_text()
    for banned in ("unsafe_allow_html", "unsafe_allow_javascript", "components.v1", "import plotly", "pickle", "eval("):
        assert banned not in text
    assert "plotly.graph_objects" not in text.replace("    from plotly.graph_objects import Figure", "")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_workbench_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'scipy', 'sqlalchemy', 'pandas', 'plotly', 'botorch', 'gpytorch', 'sklearn', 'rich'}"
    code = (
        f"import sys, workbench; print(sorted({heavy} & set(sys.modules)), workbench.Space.__name__); "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    assert python(code).splitlines() == ["[] Space", "[]"]


def test_samplers_and_engine_run_without_what_only_drawing_and_evolution_need() -> None:
    code = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"plotly", "pymoo", "streamlit", "ray", "sklearn", "typer", "openpyxl"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import workbench as wb

study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="gp", seed=0)
for x in (0.0, 0.4, 0.6, 1.0):
    study.attach({"x": x}, (x - 0.5) ** 2)
trial = study.ask()
study.tell(trial, 0.0)
study.model().predict({"x": 0.5})
for name in ("sobol", "random", "auto"):
    study.ask(sampler=name)
print(trial.why != "", 0 <= trial["x"] <= 1)
"""
    assert python(code).splitlines()[-1] == "True True"


@pytest.mark.parametrize("name", wb.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(wb, name) is not None
    assert name in dir(wb)


def test_public_names_are_declared_for_type_checkers_too() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    declared = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    errors = {name for name in wb.__all__ if getattr(wb, name).__class__ is type and _is_error(name)}
    assert set(wb.__all__) - {"__version__"} - errors <= declared


def _is_error(name: str) -> bool:
    return issubclass(getattr(wb, name), wb.WorkbenchError | wb.WorkbenchWarning)


def test_the_package_is_typed() -> None:
    assert resources.files("workbench").joinpath("py.typed").is_file()
