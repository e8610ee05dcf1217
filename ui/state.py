"""What a browser tab remembers; what the server holds for all of them comes from `ui.server`, under the same names.

Every key of `st.session_state` stands here. The study that a page shows is in the address (`?study=`).
"""

from __future__ import annotations

import math
import secrets
import time
from typing import Any

import streamlit as st

from ui.presenters.filtering import RUNS, SHOW, TAGS, Filter
from ui.server import drafts, jobs, problem, storage, storage_url, study
from workbench.errors import StudyNotFoundError

__all__ = ["drafts", "jobs", "problem", "storage", "storage_url", "study"]

STUDY, PICK, LIVE, SEEN, CONFLICTS = "study", "study_pick", "live", "seen_revision", "conflicts"
FLASH, FLASHED = "flash", "flashed"  # what the next run of the script says, what the last one said
TAB = "tab"
DOUBLE = 0.8  # seconds within which a second click is part of the first one
LOCKS, SHUFFLED, PAGE, NARROW = "locks", "shuffled", "page", "narrow"
QUANTITY = "quantity"
LIMITS, TRAY, PICKED = "limits", "tray", "picked"  # of the trade-offs


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
    if st.query_params.get(STUDY) != name:
        show(Filter())  # the filter was for another study
    st.session_state[STUDY] = name
    st.query_params[STUDY] = name


def shown() -> Filter:
    """Which runs the pages of the study show: the address says it."""
    return Filter.of(st.query_params)


def show(wanted: Filter) -> None:
    """Show other runs from now on."""
    said = wanted.address()
    for name in (SHOW, TAGS, RUNS):
        if name in said:
            st.query_params[name] = said[name]
        else:
            st.query_params.pop(name, None)
    put(PAGE, 0)


def address(name: str | None = None) -> dict[str, str]:
    """What links carry from page to page: the study, and for this tab's study the filter and the tab's own name."""
    own = st.session_state.get(STUDY)
    study_name = name or own
    kept = {key: st.query_params[key] for key in (TAB, SHOW, TAGS, RUNS) if key in st.query_params}
    if study_name is None:
        return {}
    return {STUDY: study_name, **(kept if study_name == own else {k: v for k, v in kept.items() if k == TAB})}


def narrow() -> bool:
    """Is the screen too narrow for the sidebar and for things side by side?"""
    return bool(st.session_state.get(NARROW))


def say(text: str, kind: str = "success") -> None:
    """Show a sentence at the top of the page after the next run of the script."""
    st.session_state[FLASH] = (text, kind)


def said() -> tuple[str, str] | None:
    """The sentence to show, once."""
    said: tuple[str, str] | None = st.session_state.pop(FLASH, None)
    st.session_state[FLASHED] = said
    return said


def draw_anew() -> None:
    """Run the script again though nobody did anything: what the last action had to say stays."""
    if FLASH not in st.session_state and st.session_state.get(FLASHED) is not None:
        st.session_state[FLASH] = st.session_state[FLASHED]
    st.rerun()


def again(what: str) -> bool:
    """Is this the second click of a double click on something that must happen once?"""
    now, key = time.monotonic(), f"last {what}"
    soon = bool(now - st.session_state.get(key, -math.inf) < DOUBLE)
    st.session_state[key] = now
    return soon


def get(key: str, default: Any = None) -> Any:
    """A value that this tab keeps for the study it shows."""
    return st.session_state.get(_own(key), default)


def put(key: str, value: Any) -> None:
    """Keep a value for the study that this tab shows."""
    st.session_state[_own(key)] = value


def _own(key: str) -> str:
    return f"{key} of {st.session_state.get(STUDY, '')}"
