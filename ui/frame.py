"""The frame around every page: theme, sidebar, navigation, and what is shown when a page fails."""

from __future__ import annotations

import logging
import secrets
import time
from pathlib import Path
from typing import Any

import streamlit as st

from ui import state
from ui.pages import FIRST, PAGES, PICTURES, Page
from ui.presenters import filtering, runs, words
from ui.presenters.filtering import Filter
from workbench.build import list_studies
from workbench.errors import StorageError, WorkbenchError
from workbench.study import Study

log = logging.getLogger("workbench.ui")
HERE = Path(__file__).parent
SIDEBAR = 248  # px
RETRY = 8  # seconds between tries of a database that cannot be read


# Streamlit closes its sidebar below 768 px, which is less than the pages need beside it.
_SCREEN = st.components.v2.component("screen", js="""
export default function(component) {
  const { data, setStateValue } = component;
  const narrow = window.matchMedia("(max-width: 900px)");
  const say = () => setStateValue("narrow", narrow.matches);
  narrow.onchange = say;
  if (narrow.matches !== data.narrow) say();
}
""")  # fmt: skip


def main() -> None:
    """Draw one page in its frame."""
    side: Any = "collapsed" if state.narrow() else SIDEBAR
    st.set_page_config("Workbench", HERE / "icon.png", layout="wide", initial_sidebar_state=side)
    st.html(HERE / "style.css")
    judged = _only_judged()
    page = st.navigation(
        [
            st.Page(HERE / one.file, title=one.title, icon=one.symbol, url_path=one.key, default=one.key == FIRST,
                    visibility="visible" if judged and one.key in PICTURES else "hidden")
            for one in PAGES
        ],
        position="top" if judged else "hidden",
    )  # fmt: skip
    try:
        if not judged:
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


def _only_judged() -> bool:
    """Does this tab show a study that only people judge? Its pages are named in one line, and pictures get the rest."""
    try:
        name = state.chosen()
        return name is not None and not state.study(name).history().measured
    except WorkbenchError:  # the page says it
        return False


def _sidebar() -> None:
    with st.sidebar:
        st.markdown("### :blue[:material/insights:] Workbench")
        name = state.chosen()
        names = [summary.name for summary in list_studies(state.storage())]
        if name is not None:
            _picker(name, names)
            for page in PAGES:
                if page.of_study:
                    study = state.study(name)
                    todo = len(runs.open_numbers(study)) if page.key == "run" else 0
                    _link(page, name, closed=page.closed(study), mark=f"  :gray[:small[{todo:,} next]]" if todo else "")
            st.divider()
        for page in PAGES:
            if not page.of_study:
                _link(page, name)
        if name is not None:
            st.divider()
            _filter(state.study(name))
            st.divider()
            st.toggle("Live", value=state.get(state.LIVE, True), key="live_switch", on_change=_live,
                      help="The page follows the record while this is on")  # fmt: skip
            changed = words.moment(state.storage().study(name).updated)
            st.caption(f"Saved on this computer, {changed}.")
        _SCREEN(key="screen", data={"narrow": state.narrow()}, on_narrow_change=_screened)


def _screened() -> None:
    st.session_state[state.NARROW] = bool(st.session_state["screen"]["narrow"])


def _filter(study: Study) -> None:
    """Which runs the pages of the study show. The address is the truth; the fields are set by it on every run."""
    history, now = study.history(), state.shown()
    counts, kept = words.tally(history), st.session_state
    keys = {part: f"{part} {study.name}" for part in ("show", "tags", "first", "last")}
    kept[keys["show"]] = list(now.groups)
    st.pills(
        "Show runs", list(words.GROUPS), selection_mode="multi", key=keys["show"], on_change=_filtered, args=(study,),
        format_func=lambda group: f"{group} {counts[group]:,}",
    )  # fmt: skip
    more = st.expander("Narrow down", key=f"narrow {study.name}", on_change="rerun", expanded=now.narrowed)
    if more.open:
        kept[keys["tags"]], kept[keys["first"]], kept[keys["last"]] = list(now.tags), now.first, now.last
        with more:
            known = sorted({*filtering.tags(history), *now.tags})
            st.multiselect("With a tag", known, key=keys["tags"], on_change=_filtered, args=(study,))
            for label, part in (("From run", "first"), ("To run", "last")):
                st.number_input(label, 0, None, None, key=keys[part], on_change=_filtered, args=(study,))


def _filtered(study: Study) -> None:
    now, kept = state.shown(), st.session_state
    groups = kept[f"show {study.name}"]
    state.show(
        Filter(
            tuple(group for group in words.GROUPS if group in groups),
            tuple(kept.get(f"tags {study.name}", now.tags)),
            kept.get(f"first {study.name}", now.first), kept.get(f"last {study.name}", now.last),
        )
    )  # fmt: skip


def _live() -> None:
    state.put(state.LIVE, st.session_state["live_switch"])


def _picker(name: str, names: list[str]) -> None:
    st.session_state[state.PICK] = name
    st.selectbox("Study", names, key=state.PICK, on_change=_picked)


def _picked() -> None:
    state.choose(st.session_state[state.PICK])


def _link(page: Page, name: str | None, closed: str = "", mark: str = "") -> None:
    st.page_link(
        page.file, label=page.title + mark, icon=page.symbol, width="stretch", disabled=bool(closed),
        help=closed or None, query_params=state.address(name) or None,
    )  # fmt: skip


def _storage_failed(error: StorageError) -> None:
    st.error("The study file cannot be opened.", icon=":material/cloud_off:")
    st.text(str(error))
    st.caption(f"Everything recorded before is safe. What you are typing is kept in this page. It is tried again every "
               f"{RETRY} seconds.")  # fmt: skip
    st.button("Try again", type="primary", key="retry", icon=":material/refresh:")
    began = time.monotonic()

    @st.fragment(run_every=RETRY)
    def again() -> None:
        if time.monotonic() - began > RETRY / 2:  # not at once: that would be a loop
            st.rerun()

    again()
