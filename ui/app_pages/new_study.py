"""A new study: from a spreadsheet or from scratch, checked in place; the draft survives a reload."""

from __future__ import annotations

import base64
import time
from dataclasses import astuple
from typing import Any

import pandas as pd
import streamlit as st

from ui import asking, state, widgets
from ui.presenters import draft, pasting, words
from ui.presenters.settling import Doubt, Rule, settle
from workbench.build import sampler_names
from workbench.errors import TableError, WorkbenchError
from workbench.interchange import parse_table
from workbench.interchange.table import Table

_DRAFT = "new study"
NAME = 255  # characters of a name that every database takes
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
        _form(kept, None, f"scratch {kept.get('made', 0)}", kept.get("rows") or draft.blank())


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
    rules = [Rule(*rule) for rule in kept.get("rules", [])]
    try:
        table = settle(parse_table(data), rules)
    except TableError as error:
        st.error("**Nothing was saved.** " + words.plain(str(error)))
        st.button("Paste again", key="again", on_click=_again)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("### What we read", width="content")
        st.caption(f"{words.count(len(table.rows), 'run')}, {words.count(len(table.header), 'column')}.")
        st.space("stretch")
        st.button("Paste again", icon=":material/content_paste:", key="again", on_click=_again)
    st.dataframe(pasting.preview(table, 5), hide_index=True, row_height=31, alt="The first rows as they were read")
    if rules:
        with st.container(horizontal=True, vertical_alignment="center"):
            settled = "; ".join(f"“{rule.text}” in {rule.column}: {rule.how.lower()}" for rule in rules)
            st.caption(words.plain(f"Settled: {settled}."), width="content")
            st.button("Undo", key="unsettle", type="tertiary", on_click=_unsettle)
    _form(kept, table, f"sheet {kept.get('made', 0)}", kept.get("rows") or draft.guess(table))


def _settle(rule: Rule) -> None:
    kept = dict(state.drafts().get(_DRAFT) or {})
    state.drafts().put(_DRAFT, kept | {"rules": [*kept.get("rules", []), astuple(rule)]})


def _unsettle() -> None:
    kept = dict(state.drafts().get(_DRAFT) or {})
    state.drafts().put(_DRAFT, kept | {"rules": []})


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


def _form(kept: dict[str, Any], table: Table | None, mark: str, rows: list[draft.Row]) -> None:
    runs = len(table.rows) if table is not None else 0
    left, right = (st.container(), st.container()) if state.narrow() else st.columns([2.3, 1], gap="small")
    if mark not in st.session_state:  # built once: were the data to change, what is being typed would go
        st.session_state[mark] = pd.DataFrame(rows, columns=list(draft.FIELDS)).astype(
            {"low": "float64", "high": "float64", "step": "float64", "worst": "float64", **dict.fromkeys(
                ("column", "role", "name", "unit", "kind", "choices", "when"), "object")}
        )  # fmt: skip
    with left:
        st.markdown("### What each column is" if table is not None else "### Knobs, goals and limits")
        st.caption("Guessed from your data. Change what is wrong." if table is not None else
                   "One row for each thing that you set, want, or must keep to.")  # fmt: skip
        if table is None:
            with st.container(horizontal=True):
                for label, key, fresh_row in (
                    ("Add a knob", "add_knob", draft.row("", draft.KNOB, kind=draft.NUMBER)),
                    ("Add a goal", "add_goal", draft.row("", draft.HIGHER)),
                    ("Add a limit", "add_limit", draft.row("", draft.MOST)),
                ):
                    st.button(label, key=key, icon=":material/add:", on_click=_add, args=(fresh_row,))
        edited = st.data_editor(
            st.session_state[mark], key=f"rows {mark}", hide_index=True, row_height=31, placeholder=" ",
            num_rows="fixed" if table is not None else "dynamic", column_config=_config(table is not None),
            alt="What each column of the study is",
        )  # fmt: skip
        st.caption("Low and high: the widest you would dare to try. They start at your smallest and largest values, "
                   "rounded outwards. The target of a goal and the limit stand under High.")  # fmt: skip
        conditions = st.text_area(f"{draft.RULES} (optional)", kept.get("conditions", ""), key=f"conditions {mark}",
                                  height=70, placeholder="x + 2*depth <= 12, one rule a line; a mixture: "
                                  "a + b + c == 100")  # fmt: skip
    typed = [{key: None if pd.isna(cell) else cell for key, cell in one.items()} for one in edited.to_dict("records")]
    made, wrong = draft.design(typed, conditions)
    cells = draft.check(made, table) if made is not None and table is not None else []
    with left:
        _faults(wrong, cells)
        if made is not None:
            _preview(made)
    with right.container(border=True):
        st.markdown("#### What you will get")
        st.write(words.plain(draft.summary(made, runs)) if made is not None else "Settle the rows first.")
        name = st.text_input("Name", kept.get("name", ""), key="new_name", placeholder="Suzuki coupling, step 3",
                             max_chars=NAME)  # fmt: skip
        budget = st.number_input("Runs you can afford in total", 1, 100_000, kept.get("budget") or max(40, 3 * runs),
                                 key="new_budget")  # fmt: skip
        with st.expander("How runs are chosen"):
            names = sampler_names()
            sampler = st.selectbox("Method", names, names.index("auto"), key="new_sampler")
        ready = made is not None and not cells and bool(name.strip())
        go = st.button("Create and suggest 3 runs", type="primary", disabled=not ready, key="create", width="stretch")
        st.caption("Give it a name first." if not name.strip() else "The draft is kept if you close this page.")
    fresh = {"source": _SHEET if table is not None else _SCRATCH, "rows": typed, "name": name, "budget": int(budget),
             "conditions": conditions}  # fmt: skip
    state.drafts().put(_DRAFT, {**{k: kept[k] for k in ("data", "made", "rules") if k in kept}, **fresh})
    if go and made is not None:
        try:
            study = draft.create(state.storage(), name.strip(), made, table=table, budget=int(budget), sampler=sampler)
        except WorkbenchError as error:
            st.error("**Nothing was saved.** " + words.plain(str(error)))
            return
        state.drafts().put(_DRAFT, None)
        st.session_state.pop("new_source", None)
        state.choose(study.name)
        asking.suggest(study, 3)
        state.say(f"{study.name} was made" + (f" with {words.count(runs, 'run')}." if runs else "."))
        widgets.go("run", study.name)


def _add(row: draft.Row) -> None:
    kept = dict(state.drafts().get(_DRAFT) or {})
    rows = kept.get("rows") or draft.blank()
    state.drafts().put(_DRAFT, {**kept, "source": _SCRATCH, "made": time.time(), "rows": [*rows, row]})


def _faults(wrong: list[draft.Wrong], cells: list[Doubt | str]) -> None:
    """What has to be settled before the study can be made."""
    if not wrong and not cells:
        return
    many = len(wrong) or sum(len(cell.lines) if isinstance(cell, Doubt) else 1 for cell in cells)
    said = [str(cell) for cell in wrong] or [cell for cell in cells if isinstance(cell, str)]
    st.error(f"**{'1 cell needs' if many == 1 else f'{many} cells need'} a look. Nothing is saved until this is "
             "settled.**" + "".join(f"  \n{words.plain(line)}" for line in said[:8]))  # fmt: skip
    if not wrong:
        widgets.doubts([cell for cell in cells if isinstance(cell, Doubt)], _settle)


def _preview(made: draft.Design) -> None:
    """A few points of the space, to see whether it is the one that was meant."""
    shown = st.expander("Five runs that could be suggested", key="preview", on_change="rerun")
    if shown.open:
        shown.dataframe(draft.preview(made), hide_index=True, row_height=31, alt="Five points spread over the knobs")


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
        "when": column.TextColumn("Only when", width=100, max_chars=500, help="Such as: base = KOtBu, NaH"),
        "worst": column.NumberColumn("Worst of use", width=90, help="The least that a goal has to reach to be of use"),
    }


draw()
