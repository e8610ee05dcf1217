"""How the shell speaks: warnings as sentences, and this program by the name it was called by."""

from __future__ import annotations

import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from workbench.cli import tables
from workbench.errors import WorkbenchWarning


@contextmanager
def spoken_warnings() -> Iterator[None]:
    """Print the workbench's warnings as sentences; those of other packages as they are."""
    usual = warnings.showwarning

    def speak(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, WorkbenchWarning):
            print(f"Warning: {tables.plain(message)}", file=sys.stderr)
        else:
            usual(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.simplefilter("default", WorkbenchWarning)
        warnings.showwarning = speak
        yield


def program() -> str:
    """How this program was called, so that a command it prints can be pasted."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(Path(sys.executable).name)} -m workbench"
    return "workbench" if shutil.which("workbench") else shlex.quote(str(called))
