"""The command that opens the browser side: what it refuses, and what it sets on the server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ui import __main__ as command
from ui import server, warming
from workbench.cli import browser


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(server.STORAGE, "")
    monkeypatch.setenv(server.PROBLEM, "")
    monkeypatch.setattr(command, "serve", lambda port, *, headless: None)


def test_the_database_is_made_and_handed_over_by_its_full_address(tmp_path: Path) -> None:
    assert command.main(["--storage", "lab.db", "--headless"]) == 0
    assert os.environ[server.STORAGE] == f"sqlite:///{tmp_path / 'lab.db'}"
    assert (tmp_path / "lab.db").exists()


@pytest.mark.parametrize(
    "words", [["--storage", "sqlite://"], ["--problem", "no_such_module:it"], ["--storage", "/no/such/folder/a.db"]]
)
def test_what_cannot_be_opened_is_refused_in_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words) == 2
    assert capsys.readouterr().err.startswith("Error: ")


def test_the_server_listens_here_alone_and_keeps_its_guards() -> None:
    settings = command.options(8501, headless=True)
    for wanted in (
        "--server.address=127.0.0.1", "--server.enableXsrfProtection=true", "--server.enableCORS=true",
        "--server.allowedHosts=127.0.0.1", "--client.showErrorDetails=none", "--browser.gatherUsageStats=false",
        "--logger.hideWelcomeMessage=true",
        "--theme.light.primaryColor=#0072B2", "--theme.dark.sidebar.backgroundColor=#171C22",
    ):  # fmt: skip
        assert wanted in settings
    assert not any("AgentApi" in setting for setting in settings)


def test_without_streamlit_the_shell_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert browser.start("lab.db", None, None, headless=True) == 2
    assert "install" in capsys.readouterr().err


def test_what_is_loaded_ahead_is_there_and_an_unreadable_study_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    warming.load_libraries()
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database")
    monkeypatch.setenv(server.STORAGE, f"sqlite:///{broken}")
    with caplog.at_level("INFO", logger="workbench.ui"):
        warming.read_newest()
    assert "could not be read ahead" in caplog.text
    monkeypatch.setenv(server.STORAGE, command.prepare(str(tmp_path / "lab.db")))
    caplog.clear()
    warming.read_newest()  # no study yet
    assert caplog.text == ""
