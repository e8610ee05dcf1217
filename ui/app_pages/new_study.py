"""A new study: from a spreadsheet or from scratch, checked in place; the draft survives a reload."""

from __future__ import annotations

import base64
import time
from typing import Any

import pandas as pd
import streamlit as st

from ui import asking, state, widgets
from ui.presenters import draft, pasting, words
from workbench.build import sampler_names
from workbench.errors import TableError, WorkbenchError
from workbench.interchange import parse_table

_DRAFT = "new study"
_SHEET, _SCRATCH = "Spreadsheet", "From scratch"


def draw() -> None:
    """Draw the page."""
    kept: dict[str, Any] = dict(state.drafts().get(_DRAFT) or {})
    source = st.session_state.get("new_source") or kept.get("source") or _SHEET
    st.markdown("# Start from my spreadsheet" if source == _SHEET else "# New study")
    widgets.flash()
    st.segmented_control("Begin with", [_SHEET, _SCRATCH], default=source, key="source", required=True,
                         label_visibility="collapsed", on_change=_switch)  # fmt: skip
    if source == _SHEET:
        _from_sheet(kept)
    else:
        _form(kept, None, f"scratch {kept.get('made', 0)}", kept.get("rows") or draft.blank(), 0)


def _switch() -> None:
    st.session_state["new_source"] = st.session_state["source"]


def _from_sheet(kept: dict[str, Any]) -> None:
    data = base64.b64decode(kept["data"]) if kept.get("data") else None
    if data is None:
        st.caption("Copy your old runs with their titles out of the spreadsheet and paste them here. Decimal commas "
                   "and units in the titles are understood. Nothing is saved until you say so.")  # fmt: skip
        st.text_area("Cells", key="sheet_text", height=220, placeholder="Paste here", on_change=_pasted)
        st.file_uploader("Or a file", type=["csv", "tsv", "txt", "xlsx"], key="sheet_file", max_upload_size=20,
                         on_change=_chosen)  # fmt: skip
        return
    source: str | bytes = data
    try:
        table = parse_table(source)
    except TableError as error:
        st.error("**Nothing was saved.** " + words.plain(str(error)))
        st.button("Paste again", key="again", on_click=_again)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("### What we read", width="content")
        st.caption(f"{words.count(len(table.rows), 'run')}, {words.count(len(table.header), 'column')}.")
        st.space("stretch")
        st.button("Paste again", icon=":material/content_paste:", key="again", on_click=_again)
    read = pasting.Read(table, len(table.rows))
    st.dataframe(read.preview().head(5), hide_index=True, row_height=31, alt="The first rows as they were read")
    _form(kept, source, f"sheet {kept.get('made', 0)}", kept.get("rows") or draft.guess(table), len(table.rows))


def _pasted() -> None:
    if text := st.session_state["sheet_text"]:
        _begin(text.encode())


def _chosen() -> None:
    if given := st.session_state["sheet_file"]:
        _begin(given.getvalue())


def _begin(data: bytes) -> None:
    fresh = {"source": _SHEET, "data": base64.b64encode(data).decode(), "made": time.time()}
    state.drafts().put(_DRAFT, fresh)


def _again() -> None:
    state.drafts().put(_DRAFT, None)


def _form(kept: dict[str, Any], source: str | bytes | None, mark: str, rows: list[draft.Row], runs: int) -> None:
    left, right = st.columns([2.3, 1], gap="small")
    if mark not in st.session_state:  # built once: were the data to change, what is being typed would go
        st.session_state[mark] = pd.DataFrame(rows, columns=list(draft.FIELDS)).astype(
            {"low": "float64", "high": "float64", "step": "float64", **dict.fromkeys(
                ("column", "role", "name", "unit", "kind", "choices"), "object")}
        )  # fmt: skip
    with left:
        st.markdown("### What each column is" if source is not None else "### Knobs, goals and limits")
        st.caption("Guessed from your data. Change what is wrong." if source is not None else
                   "One row for each thing that you set, want, or must keep to. Add rows at the foot.")  # fmt: skip
        edited = st.data_editor(
            st.session_state[mark], key=f"rows {mark}", hide_index=True, row_height=31, placeholder=" ",
            num_rows="fixed" if source is not None else "dynamic", column_config=_config(source is not None),
            alt="What each column of the study is",
        )  # fmt: skip
        st.caption("Low and high: the widest you would dare to try. They start at your smallest and largest values, "
                   "rounded outwards. The target of a goal and the limit stand under High.")  # fmt: skip
    typed = [{key: None if pd.isna(cell) else cell for key, cell in one.items()} for one in edited.to_dict("records")]
    made, wrong = draft.design(typed)
    cells = draft.check(made, source) if made is not None and source is not None else []
    with left:
        if wrong or cells:
            said = [str(cell) for cell in wrong] or cells
            many = "1 cell needs" if len(said) == 1 else f"{len(said)} cells need"
            st.error(f"**{many} a look. Nothing is saved until this is settled.**  \n"
                     + "  \n".join(words.plain(line) for line in said[:8]))  # fmt: skip
    with right.container(border=True):
        st.markdown("#### What you will get")
        st.write(words.plain(draft.summary(made, runs)) if made is not None else "Settle the rows first.")
        name = st.text_input("Name", kept.get("name", ""), key="new_name", placeholder="Suzuki coupling, step 3")
        budget = st.number_input("Runs you can afford in total", 1, 100_000, kept.get("budget") or max(40, 3 * runs),
                                 key="new_budget")  # fmt: skip
        with st.expander("How runs are chosen"):
            names = sampler_names()
            sampler = st.selectbox("Method", names, names.index("auto"), key="new_sampler")
        ready = made is not None and not cells and bool(name.strip())
        go = st.button("Create and suggest 3 runs", type="primary", disabled=not ready, key="create", width="stretch")
        if not name.strip():
            st.caption("Give it a name first.")
    fresh = {"source": _SHEET if source is not None else _SCRATCH, "rows": typed, "name": name, "budget": int(budget)}
    state.drafts().put(_DRAFT, {**{k: kept[k] for k in ("data", "made") if k in kept}, **fresh})
    if go and made is not None:
        try:
            study = draft.create(
                state.storage(), name.strip(), made, source=source, budget=int(budget), sampler=sampler
            )
        except WorkbenchError as error:
            st.error("**Nothing was saved.** " + words.plain(str(error)))
            return
        state.drafts().put(_DRAFT, None)
        st.session_state.pop("new_source", None)
        state.choose(study.name)
        asking.suggest(study, 3)
        state.say(f"{study.name} was made" + (f" with {words.count(runs, 'run')}." if runs else "."))
        widgets.go("run", study.name)


def _config(sheet: bool) -> dict[str, Any]:
    column = st.column_config
    return {
        "column": column.TextColumn("Column", width=90, disabled=True) if sheet else None,
        "role": column.SelectboxColumn("It is a…", options=list(draft.ROLES), width=150),
        "name": column.TextColumn("Name", width=90, max_chars=100),
        "unit": column.TextColumn("Unit", width=60, max_chars=30),
        "low": column.NumberColumn("Low", width=65),
        "high": column.NumberColumn("High", width=65),
        "step": column.NumberColumn("Step", width=60, min_value=0),
        "kind": column.SelectboxColumn("Kind", options=list(draft.KINDS), width=90),
        "choices": column.TextColumn("Choices", max_chars=2_000),
    }


draw()
