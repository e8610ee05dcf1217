"""Files of the study, a script to go on in Python, its log, and what this app runs on."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import streamlit as st
from sqlalchemy import make_url

import workbench as wb
from ui import state, widgets
from ui.presenters import exporting, words
from workbench.errors import WorkbenchError
from workbench.study import Study

NAME = 255  # characters of a name that every database takes


def draw() -> None:
    """Draw the page."""
    st.markdown("# Settings and export")
    widgets.flash()
    name = state.chosen()
    if name is None:
        widgets.empty("settings", "No study is open", "Open one to export it. What the app runs on stands below.")
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button("See the studies", type="primary", key="to_studies"):
                widgets.go("studies")
    else:
        _study(state.study(name))
    _app()


def _study(study: Study) -> None:
    st.markdown(f"### Export {words.plain(study.name[:80])}")
    st.caption("Made when you press the button, from the record as it is then.")
    files = (
        ("Everything (JSON)", "json", "application/json", lambda: exporting.bundle(study)),
        ("Runs (CSV)", "csv", "text/csv", lambda: exporting.csv(study)),
        ("Runs (CSV, decimal comma)", "comma.csv", "text/csv", lambda: exporting.csv(study, comma=True)),
        ("Runs (Excel)", "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
         lambda: exporting.xlsx(study)),
        ("Report (HTML)", "html", "text/html", lambda: exporting.report(study)),
    )  # fmt: skip
    with st.container(horizontal=True):
        for label, ending, mime, make in files:
            st.download_button(label, make, exporting.file_name(study, ending), mime, icon=":material/download:",
                               key=f"get_{ending.replace('.', '_')}", on_click="ignore")  # fmt: skip
    st.markdown("### Continue in Python")
    st.code(exporting.script(study, state.storage_url()), language=None)
    _manage(study)
    log = st.expander("Log of changes", key="log", on_change="rerun")
    if log.open:
        entries = state.storage().audit(state.storage().study(study.name).id)
        log.dataframe(
            [{"When": words.moment(e.created), "Run": e.number, "What": e.action, "Why": e.reason or "",
              "Before": e.before or "", "After": e.after or ""} for e in reversed(entries[-500:])],
            hide_index=True, alt="What was amended, voided and rejected, and why",
        )  # fmt: skip


def _manage(study: Study) -> None:
    st.markdown("### Name and state")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name", study.name, key=f"name of {study.name}", max_chars=NAME)
        if widgets.action(study, "Rename", key="rename", disabled=name.strip() in ("", study.name)):
            _changed(lambda: study.rename(name.strip()), "The study has its new name.")
            state.choose(study.name)
            st.rerun()
        st.space("stretch")
        if study.frozen:
            if st.button("Thaw", icon=":material/lock_open:", key="thaw"):
                _changed(study.thaw, "The study is open again.")
                st.rerun()
        elif st.button("Freeze", icon=":material/lock:", key="freeze"):
            _changed(study.freeze, "The study is frozen.")
            st.rerun()
    st.caption("A frozen study can be read, exported and compared; whatever would change it is refused, here and in "
               "Python. A study is deleted in the list of studies.")  # fmt: skip


def _changed(do: Callable[[], None], said: str) -> None:
    try:
        do()
    except WorkbenchError as error:
        state.say(str(error), "error")
        return
    state.say(said)


def _app() -> None:
    st.markdown("### This app")
    place = make_url(state.storage_url()).render_as_string(hide_password=True)
    st.text(
        f"Database: {place}\nworkbench {wb.__version__}, streamlit {st.__version__}, Python {platform.python_version()}"
    )
    jobs = state.jobs().of()
    st.markdown("**Work beside the pages**")
    if not jobs:
        st.caption("None since the app was started.")
        return
    now = time.time()
    st.dataframe(
        [{"Study": job.study, "What": job.title, "State": job.state, "Took": words.span(job.seconds(now)),
          "Error": job.error} for job in reversed(jobs)],
        hide_index=True, alt="Jobs of this server, the newest first",
    )  # fmt: skip


draw()
