"""Start the app: `python -m ui`, which `workbench ui` does. It listens on this machine alone."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import threading
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ADDRESS = "127.0.0.1"
FIRST_PORT, PORTS = 8501, 50

_SERVER: dict[str, Any] = {
    "server.address": ADDRESS,
    "server.allowedHosts": (ADDRESS, "localhost"),
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "server.fileWatcherType": "none",
    "server.maxUploadSize": 20,
    "server.showEmailPrompt": False,
    "browser.gatherUsageStats": False,
    "browser.serverAddress": ADDRESS,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
    "logger.hideWelcomeMessage": True,  # the address is printed by `main`; and no advertisement on the pages
    "client.showSidebarNavigation": False,
    "global.developmentMode": False,
}


def main(words: Sequence[str] | None = None) -> int:
    """Check the arguments, make the database if there is none, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="workbench ui", description=__doc__)
    parser.add_argument("--storage", default="workbench.db", help="a file, or an SQLAlchemy URL")
    parser.add_argument("--problem", help="module:name of a problem whose runs this machine can do by itself")
    parser.add_argument("--port", type=int, help="default: the first free one from 8501 on")
    parser.add_argument("--headless", action="store_true", help="open no browser")
    given = parser.parse_args(words)

    from ui.server import PROBLEM, STORAGE
    from workbench.errors import WorkbenchError

    try:
        os.environ[STORAGE] = prepare(given.storage)
        if given.problem is not None:
            from workbench.cli.loading import load_problem

            load_problem(given.problem)
            os.environ[PROBLEM] = given.problem
    except WorkbenchError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    port = given.port or free_port()
    print(f"Workbench: http://{ADDRESS}:{port}  (Ctrl-C ends it; everything recorded stays in {given.storage})")
    serve(port, headless=given.headless)
    return 0


def prepare(storage: str) -> str:
    """Make the database if it is absent, and return its full URL."""
    from workbench.errors import StorageError
    from workbench.storage import Storage

    made = Storage(storage)
    url = made.url
    made.close()
    if url is None:
        raise StorageError(f"the browser needs a database that lasts, got {storage!r}: name a file or a URL")
    return url


def free_port() -> int:
    """The first port from 8501 on that nobody listens on."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        with socket.socket() as probe:
            if probe.connect_ex((ADDRESS, port)) != 0:
                return port
    raise SystemExit(f"Error: ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all in use; name one with --port")


def options(port: int, *, headless: bool) -> list[str]:
    """Everything that is set on the server, as options of its command line."""
    settings = _SERVER | {"server.port": port, "server.headless": headless}
    settings |= dict(_flat(tomllib.loads((HERE / "theme.toml").read_text())))
    return [f"--{name}={item}" for name, value in settings.items() for item in _words(value)]


def serve(port: int, *, headless: bool) -> None:
    """Run the server until it is interrupted. What the first visit needs is loaded before anybody can come."""
    from streamlit.web import cli

    from ui.warming import load_libraries, read_newest

    load_libraries()
    threading.Thread(target=read_newest, name="warming", daemon=True).start()
    cli.main(["run", str(HERE / "app.py"), *options(port, headless=headless)], prog_name="workbench ui")


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value) if isinstance(value, list) else value


def _words(value: object) -> list[str]:
    if isinstance(value, bool):
        return [str(value).lower()]
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]


if __name__ == "__main__":
    sys.exit(main())
