"""Fixtures of the flows in a real browser: a module shares one server, one database and one browser."""

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_chromium()
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def storage(folder: Path) -> Storage:
    path = folder / "lab.db"
    prepare(str(path))
    return Storage(path)


@pytest.fixture(scope="module")
def server(folder: Path, storage: Storage) -> Iterator[Server]:
    started = Server(folder, folder / "lab.db")
    yield started
    if started.process.poll() is None:
        assert started.stop() == 0


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Browser]:
    started = Browser(folder / "profile")
    yield started
    started.close()


@pytest.fixture
def browser(shared: Browser) -> Iterator[Browser]:
    """The module's browser; its console must be clean after the test."""
    yield shared
    problems = shared.severe()
    shared.driver.get("about:blank")
    assert problems == []


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[..., Browser]]:
    """Start another browser with a fresh profile; its console must stay clean."""
    browsers: list[Browser] = []

    def start(**options: object) -> Browser:
        browsers.append(Browser(tmp_path / f"profile{len(browsers)}", **options))  # type: ignore[arg-type]
        return browsers[-1]

    yield start
    problems = []
    for started in browsers:
        with suppress(Exception):  # one that a test has closed
            problems += started.severe()
        started.close()
    assert not problems
