"""Start the browser side, which is a program of its own: nothing of it is imported here."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

from workbench.cli.app import REFUSED

_INTERRUPTED = (130, -2)


def start(storage: str, problem: str | None, port: int | None, *, headless: bool) -> int:
    """Run the server until it ends or is interrupted; its exit code."""
    if importlib.util.find_spec("streamlit") is None:
        print("Error: the browser side needs streamlit; install the extra: pip install '.[ui]'", file=sys.stderr)
        return REFUSED
    words = ["--storage", storage]
    words += [] if problem is None else ["--problem", problem]
    words += [] if port is None else ["--port", str(port)]
    words += ["--headless"] if headless else []
    # -P: a folder named "ui" where the command is run is not taken for this program.
    server = subprocess.Popen([sys.executable, "-P", "-m", "ui", *words])
    try:
        code = server.wait()
    except KeyboardInterrupt:  # the terminal sent it to the server too, which ends by itself
        code = server.wait()
    return 0 if code in _INTERRUPTED else code
