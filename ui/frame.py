"""The frame around every page: theme, sidebar, navigation, and what is shown when a page fails."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

import streamlit as st

from ui import state
from ui.pages import FIRST, PAGES, Page
from ui.presenters import words
from workbench.build import list_studies
from workbench.errors import StorageError, WorkbenchError

log = logging.getLogger("workbench.ui")
HERE = Path(__file__).parent


def main() -> None:
    """Draw one page in its frame."""
    st.set_page_config("Workbench", HERE / "icon.png", layout="wide", initial_sidebar_state=248)
    st.html(HERE / "style.css")
    page = st.navigation(
        [
            st.Page(HERE / one.file, title=one.title, icon=one.symbol, url_path=one.key, default=one.key == FIRST)
            for one in PAGES
        ],
        position="hidden",
    )
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
            for page in PAGES:
                if page.of_study:
                    _link(page, name, closed=page.closed(state.study(name)))
            st.divider()
        for page in PAGES:
            if not page.of_study:
                _link(page, name)
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


def _link(page: Page, name: str | None, closed: str = "") -> None:
    st.page_link(
        page.file, label=page.title, icon=page.symbol, width="stretch", disabled=bool(closed), help=closed or None,
        query_params={state.STUDY: name} if name else None,
    )  # fmt: skip


def _storage_failed(error: StorageError) -> None:
    st.error("The study file cannot be opened.", icon=":material/cloud_off:")
    st.text(str(error))
    st.caption("Everything recorded before is safe. What you are typing is kept in this page.")
    st.button("Try again", type="primary", key="retry", icon=":material/refresh:")
