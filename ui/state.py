"""What a browser tab remembers, and what the server holds for all of them.

Every key of `st.session_state` stands here. The study that a page shows is in the address (`?study=`).
"""

from __future__ import annotations

import os
import secrets
import warnings
from typing import Any

import streamlit as st

from ui.__main__ import PROBLEM, STORAGE
from ui.drafts import Drafts
from ui.jobs import Jobs
from workbench.build import load_study
from workbench.errors import StudyNotFoundError
from workbench.storage import Storage
from workbench.study import Study

STUDY, PICK, FLASH, LIVE, SEEN, CONFLICTS = "study", "study_pick", "flash", "live", "seen_revision", "conflicts"
TAB = "tab"
LOCKS, SHUFFLED, GROUPS, PAGE, NONCE = "locks", "shuffled", "groups", "page", "nonce"
QUANTITY, HELD = "quantity", "held"


# -- the server's ----------------------------------------------------------------------


def storage_url() -> str:
    """The database that the command named."""
    return os.environ.get(STORAGE, "sqlite:///workbench.db")


def problem() -> str | None:
    """`module:name` of the problem that the command named; never one out of a database."""
    return os.environ.get(PROBLEM)


@st.cache_resource(show_spinner=False, max_entries=4)
def _storage(url: str) -> Storage:
    return Storage(url)


def storage() -> Storage:
    """The one connection pool of this server."""
    return _storage(storage_url())


@st.cache_resource(show_spinner=False, max_entries=64)
def _study(url: str, name: str, study_id: int) -> Study:  # the id tells a study from a later one of the same name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constraints that are functions: the ask says so
        return load_study(name, storage=_storage(url))


def study(name: str) -> Study:
    """A study by name; it reads only what changed since the last look."""
    return _study(storage_url(), name, storage().study(name).id)


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """The work beside the pages."""
    return Jobs()


@st.cache_resource(show_spinner=False, max_entries=4)
def _drafts(url: str) -> Drafts:
    return Drafts.beside(url)


def drafts() -> Drafts:
    """What was typed and not yet recorded."""
    return _drafts(storage_url())


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
