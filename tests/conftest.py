"""Every test runs alone: in its own folder, on one core, without a terminal."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

# Set before any library starts its threads; worker processes and subprocesses inherit it.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Rich asks these whether to draw bars, and how wide.
os.environ |= {"TTY_COMPATIBLE": "0", "NO_COLOR": "1", "COLUMNS": "100"}
os.environ.pop("FORCE_COLOR", None)
# A shell that starts the tests in the background has them, and all that they start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, those of databases too, end in a folder of the test."""
    monkeypatch.chdir(tmp_path)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
