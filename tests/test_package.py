"""The wheel holds all that is needed, and runs where the checkout is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import workbench as wb

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent


def call(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("workbench", "problems"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source)
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's contents as pip lays them out."""
    target = tmp_path_factory.mktemp("installed")
    call(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel
    )  # fmt: skip
    return target


def test_the_wheel_holds_every_file_of_both_packages(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    for package in ("workbench", "problems"):
        files = {path for path in (ROOT / package).rglob("*") if path.is_file()}
        wanted = {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}
        assert wanted <= held
    for name in ("py.typed", "migrations/env.py", "migrations/script.py.mako", "migrations/versions/0001_initial.py"):
        assert f"workbench/{name}" in held
    tops = {name.partition("/")[0] for name in held}
    assert tops == {"workbench", "problems", f"optimization_workbench-{wb.__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_it_runs_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    path = {"PYTHONPATH": str(installed)}
    where = "import workbench, problems; print(workbench.__file__); print(problems.__file__)"
    for line in call(sys.executable, "-c", where, **path).splitlines():
        assert Path(line).is_relative_to(installed)

    words = ("run", "problems.synthetic:branin", "--trials", "5", "--sampler", "sobol", "--report", "b.html")
    said = call(installed / "bin" / "workbench", *words, "--storage", "b.db", **path)
    assert "Best of 5 trials" in said
    assert (tmp_path / "b.html").stat().st_size > 100_000  # plotly's script is inside
    shown = call(sys.executable, "-m", "workbench", "show", "branin", "--storage", "b.db", **path)
    assert "5 complete, of 5 planned" in shown
    assert call(sys.executable, "-m", "workbench", "--version", **path) == f"workbench {wb.__version__}"


def test_the_record_of_the_wheel_is_that_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = (
        "import workbench as wb\n"
        "study = wb.create_study('s', wb.Space([wb.Float('x', 0, 1)]), [wb.Objective('y')], seed=3,\n"
        "                        sampler='sobol', storage='s.db')\n"
        "study.tell(study.ask(), 0.5)\n"
    )
    call(sys.executable, "-c", code, PYTHONPATH=str(installed))
    study = wb.load_study("s", storage="s.db")
    assert study.best_value == 0.5
    assert study.ask().number == 1
