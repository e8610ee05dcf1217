"""What `workbench bench` does."""

from __future__ import annotations

from pathlib import Path

import typer

from workbench import bench as harness
from workbench.cli import tables
from workbench.cli.loading import load_problem
from workbench.cli.showing import as_json_text
from workbench.cli.speech import spoken_warnings
from workbench.errors import InvalidValueError


def bench(
    problems: list[str], samplers: list[str], *, seeds: int, evaluations: int, into: Path | None,
    records: list[Path], workers: int, together: bool, report: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Run the comparison and print its table, or all its figures as JSON."""
    if report is not None and not report.absolute().parent.is_dir():
        raise InvalidValueError(f"--report needs a folder that exists, got {str(report)!r}; make it first")
    for problem in problems:
        load_problem(problem)  # a mistyped one is named before anything runs
    with spoken_warnings():
        result = harness.compare(
            problems, samplers, seeds=seeds, evaluations=evaluations, into=into, records=records,
            workers=workers, together=together,
        )  # fmt: skip
    if report is not None:
        result.report(report)
    if as_json:
        typer.echo(as_json_text(result.to_json()))
        return
    typer.echo(tables.plain(result.table()))
    for failure in result.failures:
        typer.echo(tables.plain(f"Failed: {failure.case} by {failure.contestant}, seed {failure.seed}: {failure.text}"))
    if report is not None:
        typer.echo(f"Report: {tables.plain(report)}")
