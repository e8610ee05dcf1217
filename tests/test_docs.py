"""README and examples do what they say."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import workbench as wb
from workbench.cli import app
from workbench.study import Feedback, Model, Plot

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SLOW_EXAMPLES = {
    "constrained_mixture.py",
    "ask_tell.py",
    "optimize_digits.py",
    "prune_network.py",
    "tradeoffs.py",
    "rank_policy.py",
    "rank_emblems.py",
    "consensus_to_gradient.py",
    "train_without_gradients.py",
    "own_gflownet.py",
}  # more than 5 s
_LIMIT = 240  # seconds; several times what the slowest takes on a busy machine


def blocks(language: str) -> list[str]:
    """The code blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def script(path: Path, *words: str) -> str:
    """Run a script as a person would, warnings as errors except what other packages say of themselves."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error::UserWarning", str(path), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_has_code_in_both_languages() -> None:
    assert len(blocks("python")) >= 1
    assert len(blocks("sh")) >= 2


@pytest.mark.slow
def test_python_of_the_readme_runs(tmp_path: Path) -> None:
    said = []
    for number, block in enumerate(blocks("python")):
        path = tmp_path / f"block{number}.py"
        path.write_text(block)
        said.append(script(path))
    assert said[0].startswith(f"{wb.load_study('first', storage='first.db').best_trial.number} ")
    height, kept = said[1].split()
    assert float(height) < 1e-6  # the best of a function whose other minima are at 1 and above
    assert kept == "5"


def test_shell_of_the_readme_runs() -> None:
    lines = [line for block in blocks("sh") if "workbench " in block for line in block.splitlines()]
    assert CliRunner().invoke(app, ["run", "problems.synthetic:branin", "--trials", "1"]).exit_code == 0
    assert CliRunner().invoke(app, ["export", "branin", "branin.json"]).exit_code == 0  # the bundle that is imported
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        assert program == "workbench"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output


def test_what_is_said_of_swarms_and_others_is_what_the_record_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    benchmark = importlib.import_module("benchmarks.consensus")
    record = json.loads((ROOT / "benchmarks" / "results" / "consensus_suite.json").read_text())
    page = (ROOT / "docs" / "consensus.md").read_text()
    assert benchmark.suite_table(record) in page
    at_20 = {name: record[f"{name}, d = 20"] for name in benchmark.FUNCTIONS}
    best = {name: min(cell, key=lambda who: cell[who]["median"]) for name, cell in at_20.items()}
    assert best["rastrigin"] == "cbo"
    assert {best["ackley"], best["griewank"]} <= {"BIPOP-CMA-ES", "differential evolution"}
    for d in (100, 1000):  # what the warning of auto says, and the page of the peers
        for name in benchmark.FUNCTIONS:
            ends = {who: cell["median"] for who, cell in record[f"{name}, d = {d}"].items()}
            assert ends["BIPOP-CMA-ES"] < ends["cbo"] < ends["cbx"]
            assert (ends["differential evolution"] < ends["cbo"]) == (name != "rastrigin")
    shares = {d: record["share of targets"][f"d = {d}"] for d in (20, 100)}
    assert [round(shares[d][who], 2) for d in (20, 100) for who in ("cbo", "BIPOP-CMA-ES")] == [0.53, 0.6, 0.09, 0.43]


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert named <= targets
    assert {"demo", "test"} <= named


DOORS = {
    "wb": wb,
    "study": wb.Study,
    "trial": wb.Trial,
    "study.feedback": Feedback,
    "study.plot": Plot,
    "study.model()": Model,
}


def test_the_translation_table_names_only_what_exists() -> None:
    rows = re.findall(r"^\| .* \| .* \| (.*) \|$", README.partition("| Optuna | Ax |")[2], re.MULTILINE)
    table = " ".join(rows)
    names = re.findall(r"\b(wb|study|trial)((?:\.\w+(?:\(\))?)+)", table)
    assert len(names) > 30
    for owner, path in names:
        steps = path.strip(".").split(".")
        assert hasattr(DOORS[owner], steps[0].removesuffix("()")), f"{owner}{path}"
        if len(steps) > 1:
            assert hasattr(DOORS[f"{owner}.{steps[0]}"], steps[1].removesuffix("()")), f"{owner}{path}"


def test_rooms_of_the_readme_are_the_rooms() -> None:
    table = README.partition("## The house")[2].partition("Beside it")[0]
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
    package = Path(wb.__file__).parent
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert named == {room for room in rooms if not room.startswith("__")}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=[pytest.mark.slow] if path.name in SLOW_EXAMPLES else [])
        for path in sorted((ROOT / "examples").glob("*.py"))
    ],
)
def test_example_runs(name: str) -> None:
    assert script(ROOT / "examples" / name).strip()


def test_the_page_of_results_shows_the_records_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    summary = importlib.import_module("summary")
    assert summary.PAGE.read_text() == summary.page(), "python benchmarks/summary.py makes it anew"
