"""How the shell speaks: warnings as sentences, remedies as commands, this program by the name it was called by."""

from __future__ import annotations

import re
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

# Errors are written where they arise, and most people meet them in Python; here a remedy is what one types.
_COMMANDS = tuple(
    (re.compile(pattern), command)
    for pattern, command in (
        (r"wb\.create_study\b", "`workbench create`"),
        (r"pass load_if_exists=True to go on with it", "go on with it by `workbench ask`, `workbench run`"),
        (r"study\.attach(\(.*?\))?", "`workbench attach`"),
        (r"study\.amend(\(.*?\))?", "`workbench amend`"),
        (r"study\.void(\(.*?\))?", "`workbench void`"),
        (r"study\.reject(\(.*?\))?", "`workbench reject`"),
        (r"study\.set_reference(\(.*?\))?", "`workbench reference`"),
        (r"pass final=False if", "add --more if"),
        (r"\b(prefer|threshold|fixed|context|near)s?=(?!\w)", r"--\1"),
        (r"\b(sampler|state)='(\w+)'", r"--\1 \2"),
        (r"study\.ask\(.*?\)", "`workbench ask`"),
        (r"trial\.set_attr\b", "`workbench annotate --attr`"),
        (r", a rule such as wb\.MedianPruner\(\), or None", ""),
        (r", \{'name': …, 'options': \{…\}\}", ""),
        (r", or a Sampler object", ""),
    )
)


def remedied(text: str) -> str:
    """An error's text with the calls of Python that it advises as the commands that do the same."""
    for pattern, command in _COMMANDS:
        text = pattern.sub(command, text)
    return text


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
