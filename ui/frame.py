"""The frame around every page: theme, sidebar, navigation, and what is shown when a page fails."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import streamlit as st

from ui import state, widgets
from ui.presenters import words
from workbench.build import list_studies
from workbench.errors import StorageError, WorkbenchError

log = logging.getLogger("workbench.ui")
HERE = Path(__file__).parent

_PAGES = (
    ("run", "Run sheet", "table_rows", "run"),
    ("overview", "Overview", "monitoring", "overview"),
    ("model", "Model", "psychology", "model"),
    ("studies", "Studies", "folder_open", "studies"),
    ("new", "New study", "add_circle", "new"),
    ("compare", "Compare", "compare_arrows", "compare"),
    ("settings", "Settings and export", "settings", "settings"),
)
_LATER = (("Pareto", "scatter_plot", "Not built yet."),)


def main() -> None:
    """Draw one page in its frame."""
    st.set_page_config("Workbench", HERE / "icon.png", layout="wide", initial_sidebar_state=248)
    st.html(HERE / "style.css")
    pages = {
        key: st.Page(
            HERE / widgets.PAGES[key], title=title, icon=f":material/{icon}:", url_path=path, default=key == "studies"
        )
        for key, title, icon, path in _PAGES
    }
    page = st.navigation(list(pages.values()), position="hidden")
    try:
        _sidebar()
        page.run()
    except StorageError as error:
        _storage_failed(error)
    except WorkbenchError as error:
        st.error(words.plain(str(error)), icon=":material/error:")
        st.button("Try again", key="retry")
    except Exception:
        number = secrets.token_hex(3).upper()
        log.exception("error %s on page %r", number, page.title)
        st.error("This page failed. Nothing that you recorded is lost.", icon=":material/error:")
        st.button("Try again", key="retry")
        st.caption(f"Error {number}; the terminal that runs the workbench says more.")


def _sidebar() -> None:
    with st.sidebar:
        st.markdown("### :blue[:material/insights:] Workbench")
        name = state.chosen()
        names = [summary.name for summary in list_studies(state.storage())]
        if name is not None:
            _picker(name, names)
            for key in ("run", "overview", "model"):
                _link(key, name)
            for label, icon, why in _LATER:
                st.page_link(
                    widgets.PAGES["run"], label=label, icon=f":material/{icon}:", disabled=True, help=why,
                    width="stretch",
                )  # fmt: skip
            st.divider()
        for key in ("studies", "new", "compare", "settings"):
            _link(key, name)
        if name is not None:
            st.divider()
            st.toggle("Live", value=state.get(state.LIVE, True), key="live_switch", on_change=_live)
            st.caption("Saved on this computer. The page follows the record while Live is on.")


def _live() -> None:
    state.put(state.LIVE, st.session_state["live_switch"])


def _picker(name: str, names: list[str]) -> None:
    st.session_state[state.PICK] = name
    st.selectbox("Study", names, key=state.PICK, on_change=_picked)


def _picked() -> None:
    state.choose(st.session_state[state.PICK])


def _link(key: str, name: str | None) -> None:
    title, icon = next((title, icon) for k, title, icon, _ in _PAGES if k == key)
    st.page_link(
        widgets.PAGES[key], label=title, icon=f":material/{icon}:", width="stretch",
        query_params={state.STUDY: name} if name else None,
    )  # fmt: skip


def _storage_failed(error: StorageError) -> None:
    st.error("The study file cannot be opened.", icon=":material/cloud_off:")
    st.text(str(error))
    st.caption("Everything recorded before is safe. What you are typing is kept in this page.")
    st.button("Try again", type="primary", key="retry", icon=":material/refresh:")
