"""A study as files, and as a script that goes on with it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from workbench.interchange import write_table
from workbench.report import write_report
from workbench.study import Study


def _through(study: Study, name: str, write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()


def bundle(study: Study) -> bytes:
    """Everything, attachments and audit log included, as one JSON file."""
    return _through(study, "study.json", study.export)


def csv(study: Study, *, comma: bool = False, only: Collection[int] | None = None) -> bytes:
    """The runs, or some of them by number, as CSV; what a spreadsheet would take for formulas is neutralised."""
    decimal = "," if comma else "."
    return _through(study, "runs.csv", lambda path: write_table(study, path, bom=True, decimal=decimal, only=only))


def xlsx(study: Study) -> bytes:
    """The runs as a workbook."""
    return _through(study, "runs.xlsx", lambda path: write_table(study, path))


def report(study: Study) -> bytes:
    """The study as one HTML page."""
    return _through(study, "report.html", lambda path: write_report(study, path))


def script(study: Study, url: str) -> str:
    """Python that goes on with the study where it stands."""
    names = [goal.name for goal in study.history().measured] + [limit.name for limit in study.constraints]
    told = ", ".join(f"{name!r}: …" for name in names)
    return f'''"""Go on with the study in Python. Replace each … by what you measured."""

import workbench as wb

study = wb.load_study({study.name!r}, storage={url!r})
print(len(study.trials), "trials")

trial = study.ask()
print(trial.number, trial.params, trial.why)

# study.tell(trial, {{{told}}})
'''


def file_name(study: Study, ending: str) -> str:
    """A name for a download, of plain characters only."""
    safe = "".join(char if char.isascii() and char.isalnum() else "-" for char in study.name).strip("-")
    return f"{safe[:60] or 'study'}.{ending}"
