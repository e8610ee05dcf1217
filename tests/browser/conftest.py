"""Fixtures of the flows in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("selenium")
from browser.driving import Browser, Server, need_chromium
from ui.__main__ import prepare
from workbench.storage import Storage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            # The driver's client leaves closing of its sockets to the collector.
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    need_chromium()
    path = tmp_path / "lab.db"
    prepare(str(path))
    return path


@pytest.fixture
def storage(database: Path) -> Storage:
    return Storage(database)


@pytest.fixture
def serve(tmp_path: Path, database: Path) -> Iterator[Callable[..., Server]]:
    """Start a server of the database; further words go to its command line."""
    servers: list[Server] = []

    def start(*words: str) -> Server:
        servers.append(Server(tmp_path, database, *words))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    """Start a browser with a fresh profile; its console must stay clean."""
    browsers: list[Browser] = []

    def start(**options: object) -> Browser:
        browsers.append(Browser(tmp_path / f"profile{len(browsers)}", **options))  # type: ignore[arg-type]
        return browsers[-1]

    yield start
    problems = []
    for browser in browsers:
        with suppress(Exception):  # one that a test has closed
            problems += browser.severe()
        browser.close()
    assert not problems
