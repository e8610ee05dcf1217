"""What a browser tab remembers; what the server holds for all of them comes from `ui.server`, under the same names.

Every key of `st.session_state` stands here. The study that a page shows is in the address (`?study=`).
"""

from __future__ import annotations

import secrets
from typing import Any

import streamlit as st

from ui.server import drafts, jobs, problem, storage, storage_url, study
from workbench.errors import StudyNotFoundError

__all__ = ["drafts", "jobs", "problem", "storage", "storage_url", "study"]

STUDY, PICK, FLASH, LIVE, SEEN, CONFLICTS = "study", "study_pick", "flash", "live", "seen_revision", "conflicts"
TAB = "tab"
LOCKS, SHUFFLED, GROUPS, PAGE, NONCE = "locks", "shuffled", "groups", "page", "nonce"


# -- the tab's -------------------------------------------------------------------------


def chosen() -> str | None:
    """Name of the study that this tab shows: the address says it, else the tab remembers."""
    name = st.query_params.get(STUDY) or st.session_state.get(STUDY)
    if name is not None:
        try:
            storage().study(name)
        except StudyNotFoundError:
            st.session_state.pop(STUDY, None)
            st.query_params.pop(STUDY, None)
            return None
        st.session_state[STUDY] = name
        if st.query_params.get(STUDY) != name:
            st.query_params[STUDY] = name
    return name


def tab() -> str:
    """A name for this tab, in the address: a reload and a restart of the server find its drafts again."""
    name = st.query_params.get(TAB) or st.session_state.get(TAB) or secrets.token_hex(4)
    st.session_state[TAB] = name
    if st.query_params.get(TAB) != name:
        st.query_params[TAB] = name
    return str(name)


def choose(name: str | None) -> None:
    """Show another study from now on."""
    if name is None:
        st.session_state.pop(STUDY, None)
        st.query_params.pop(STUDY, None)
        return
    st.session_state[STUDY] = name
    st.query_params[STUDY] = name


def say(text: str, kind: str = "success") -> None:
    """Show a sentence at the top of the page after the next run of the script."""
    st.session_state[FLASH] = (text, kind)


def said() -> tuple[str, str] | None:
    """The sentence to show, once."""
    said: tuple[str, str] | None = st.session_state.pop(FLASH, None)
    return said


def get(key: str, default: Any = None) -> Any:
    """A value that this tab keeps for the study it shows."""
    return st.session_state.get(_own(key), default)


def put(key: str, value: Any) -> None:
    """Keep a value for the study that this tab shows."""
    st.session_state[_own(key)] = value


def _own(key: str) -> str:
    return f"{key} of {st.session_state.get(STUDY, '')}"
