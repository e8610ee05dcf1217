"""The list of studies, and the ways to begin one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
import streamlit as st

from ui import picturing, state, widgets
from ui.presenters import examples, studies, words
from workbench.build import delete_study, import_study, list_studies
from workbench.errors import WorkbenchError
from workbench.storage import StudySummary


@st.dialog("Delete a study")
def _delete(name: str) -> None:
    st.write("This erases the study with all its runs, files and notes. Type its name to confirm:")
    st.code(name, language=None)
    typed = st.text_input("Name of the study", key="delete_name")
    if st.button("Delete for good", disabled=typed != name, key="delete_yes", type="primary"):
        delete_study(name, storage=state.storage())
        if st.session_state.get(state.STUDY) == name:
            state.choose(None)
        state.say(f"{name} was deleted.")
        st.rerun()


@st.dialog("Import a study")
def _import() -> None:
    st.write("A JSON file that the workbench exported. A table of runs goes through “Start from my spreadsheet”.")
    given = st.file_uploader("Study file", type="json", key="bundle_file", max_upload_size=20)
    name = st.text_input("Another name for it (optional)", key="bundle_name")
    if given is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.json"
        path.write_bytes(given.getvalue())
        try:
            tried = import_study(path, storage=None)  # into memory: nothing is written yet
            st.info(words.plain(studies.sentence(tried)))
            if not st.button("Import", key="bundle_yes", type="primary"):
                return
            made = import_study(path, storage=state.storage(), name=name.strip() or None)
        except WorkbenchError as error:
            st.error("**Nothing was imported.** " + words.plain(str(error)))
            return
    state.say(f"{made.name} was imported.")
    state.choose(made.name)
    st.rerun()


@st.dialog("Open an example")
def _examples() -> None:
    st.write("Studies with known answers, to try things safely. Their runs are computed, not measured.")
    for example in examples.EXAMPLES:
        with st.container(border=True):
            st.markdown(f"**{example.title}**")
            st.caption(example.text)
            if st.button("Open this one", key=f"example_{example.name}"):
                name = examples.create(example, state.storage())
                state.choose(name)
                widgets.go("run", name)


def draw() -> None:
    """Draw the page."""
    summaries = list_studies(state.storage())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("# Studies", width="content")
        st.space("stretch")
        find = st.text_input("Find a study", placeholder="Find a study", key="find", label_visibility="collapsed",
                             icon=":material/search:", width=230) if summaries else ""  # fmt: skip
        if st.button("Import a study", icon=":material/upload:", key="import"):
            _import()
    widgets.flash()
    if summaries:
        _list(summaries, find or "")
    else:
        widgets.empty(
            "folder_open", "No studies yet", "Begin below: with your spreadsheet, from scratch, or an example."
        )
    _begin()


def _list(summaries: list[StudySummary], find: str) -> None:
    archived = st.session_state.get("archived", False)
    every = studies.found(summaries, find, archived=True)
    found = studies.found(summaries, find, archived=archived)
    hidden = len(every) - len(studies.found(summaries, find))
    pages = max(1, -(-len(found) // studies.PAGE))
    page = min(int(st.session_state.get("studies_page", 1)), pages)
    shown = studies.lines(found[(page - 1) * studies.PAGE : page * studies.PAGE], state.study)
    frame = pd.DataFrame(
        {
            "name": [line.name for line in shown], "goals": [line.goals for line in shown],
            "share": [line.share for line in shown], "runs": [line.runs for line in shown],
            "curve": [line.curve for line in shown], "best": [line.best for line in shown],
            "now": [line.now for line in shown], "changed": [words.moment(line.changed) for line in shown],
        }
    )  # fmt: skip
    config = {
        "name": st.column_config.TextColumn("Study", width="medium"),
        "goals": st.column_config.TextColumn("Goals"),
        "share": st.column_config.ProgressColumn("Budget", min_value=0, max_value=1, format=" ", width=90),
        "runs": st.column_config.TextColumn("Runs", width=80),
        "curve": st.column_config.LineChartColumn("Best so far", width=120),
        "best": st.column_config.TextColumn(" ", width="medium"),
        "now": st.column_config.TextColumn("Now", width=150),
        "changed": st.column_config.TextColumn("Changed", width=110),
    }
    event = st.dataframe(
        frame, hide_index=True, column_config=config, on_select="rerun", selection_mode="multi-row", key="list",
        row_height=31, alt="The studies with their goals, runs and best values",
    )  # fmt: skip
    if pages > 1:
        st.number_input(f"Page, of {pages}: {studies.PAGE} of {len(found):,} studies each", 1, pages, page,
                        key="studies_page", width=320)  # fmt: skip
    picked = [shown[row].name for row in event.selection.rows if row < len(shown)]
    with st.container(horizontal=True, vertical_alignment="center"):
        one = picked[0] if len(picked) == 1 else shown[0].name if len(shown) == 1 else None
        if st.button("Open", icon=":material/open_in_new:", disabled=one is None, key="open") and one:
            widgets.go("run" if state.study(one).history().measured else "rank", one)
        if st.button("Duplicate", icon=":material/content_copy:", disabled=one is None, key="duplicate") and one:
            state.say(
                f"{examples.duplicate(state.study(one), state.storage())} was made: same knobs and goals, no runs."
            )
            st.rerun()
        if st.button("Archive", icon=":material/archive:", disabled=one is None, key="archive") and one:
            study = state.study(one)
            tags = [tag for tag in study.tags if tag != studies.ARCHIVED]
            study.annotate(tags=tags if studies.ARCHIVED in study.tags else [*tags, studies.ARCHIVED])
            st.rerun()
        if st.button("Delete…", icon=":material/delete:", disabled=one is None, key="delete") and one:
            _delete(one)
        if st.button("Compare" if len(picked) > 1 else "Compare (pick two)", icon=":material/compare_arrows:",
                     disabled=len(picked) < 2, key="compare"):  # fmt: skip
            st.session_state["compared"] = picked
            widgets.go("compare")
        st.space("stretch")
        st.caption("1 study." if len(found) == 1 else f"{len(found):,} studies.")
        if hidden:
            st.toggle(f"Show {hidden} archived", key="archived")


def _begin() -> None:
    st.markdown("### Start something new")
    cards = widgets.places(4)
    with cards[0].container(border=True, height="stretch"):
        st.markdown("#### :material/content_paste: Start from my spreadsheet")
        st.caption("Paste or drop your old runs. You get the next runs to do in about a minute.")
        if st.button("Paste or choose a file", type="primary", key="from_sheet"):
            st.session_state["new_source"] = "Spreadsheet"
            widgets.go("new")
    with cards[1].container(border=True, height="stretch"):
        st.markdown("#### :material/tune: Start from scratch")
        st.caption("Name the knobs and goals. The first runs are spread evenly.")
        if st.button("New study", key="from_scratch"):
            st.session_state["new_source"] = "From scratch"
            widgets.go("new")
    with cards[2].container(border=True, height="stretch"):
        st.markdown("#### :material/experiment: Open an example")
        st.caption("Ready studies with known answers, to try things safely.")
        if st.button("See the examples", key="see_examples"):
            _examples()
    with cards[3].container(border=True, height="stretch"):
        st.markdown("#### :material/swap_vert: Rank pictures")
        st.caption("A model draws, you say which you like; after some rounds it draws what you had in mind.")
        if st.button("Rank pictures from a model", key="rank_pictures"):
            picturing.begin()


draw()
