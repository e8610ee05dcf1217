"""Dialogs of the run sheet: what changes a run that is recorded, or many at once."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from ui import state, widgets
from ui.presenters import filtering, pasting, printing, runs, words
from ui.presenters.settling import Rule
from workbench.errors import WorkbenchError
from workbench.study import Study
from workbench.trial import TrialState


def _close(text: str) -> None:
    state.say(text)
    st.rerun()


@st.dialog("Reject a suggestion")
def reject(study: Study, number: int) -> None:
    """Turn a suggestion down with a reason, so that it does not come again."""
    st.write(f"Run {number} is not done, and nothing like it is suggested again.")
    reason = st.text_input("Why?", key="reject_reason")
    kinds = {"point": "This point", "region": "This region", "condition": "Wherever this holds:"}
    kind = st.radio("Avoid", list(kinds), format_func=kinds.__getitem__, key="reject_kind", horizontal=True)
    typed = st.text_input("Condition, such as x > 3", key="reject_condition") if kind == "condition" else ""
    ready = bool(reason.strip()) and (kind != "condition" or bool(typed.strip()))
    if st.button("Reject", type="primary", disabled=not ready, key="reject_yes"):
        try:
            study.reject(number, reason=reason.strip(), avoid=typed.strip() if kind == "condition" else kind)
        except WorkbenchError as error:
            st.error(words.plain(str(error)))
            return
        _close(f"Run {number} was rejected.")


@st.dialog("Change a suggestion")
def edit(study: Study, number: int) -> None:
    """Do a suggested run at other values; it is recorded, and learnt from, at those."""
    trial = study.trial(number)
    columns, now = runs.editable(study, trial), runs.settings(trial)
    if not columns:
        st.write("No knob of this run can be changed here. Reject it, and record what you did under History.")
        return
    st.write(f"Run {number} keeps its number. What you change here is what will be recorded and learnt from.")
    changed = {
        column.name: widgets.knob(study.space[column.name], column.title, now[column.name], f"edit {column.id}")
        for column in columns
    }
    with st.container(horizontal=True):
        done = st.button("Use these values", type="primary", key="edit_yes")
        back = st.button("Back to the suggestion", key="edit_back", disabled=not runs.edits(trial))
    if not (done or back):
        return
    try:
        runs.edit(study, number, changed if done else {})
    except WorkbenchError as error:
        st.error(words.plain(str(error)))
        return
    _close(f"Run {number} stands at your values." if done else f"Run {number} stands as it was suggested.")


@st.dialog("Amend a run")
def amend(study: Study, number: int) -> None:
    """Correct the values of a finished run; what stood there goes to the audit log."""
    trial = study.trial(number)
    if trial.state != TrialState.COMPLETE:
        st.warning(f"Run {number} has no complete results to amend. Void it and record a repeat instead.")
        return
    st.write(f"Run {number}. What stands there now is kept in the audit log.")
    texts = {
        field.name: st.text_input(field.title, repr(trial.values[field.name]), key=f"amend {field.id}")
        for field in runs.result_fields(study) if field.name in trial.values
    }  # fmt: skip
    reason = st.text_input("Why?", key="amend_reason")
    if st.button("Amend", type="primary", disabled=not reason.strip(), key="amend_yes"):
        try:
            values = {name: pasting.number_of(name, text) for name, text in texts.items()}
            study.amend(number, values=values, reason=reason.strip())
        except WorkbenchError as error:
            st.error(words.plain(str(error)))
            return
        _close(f"Run {number} was amended.")


@st.dialog("Note and tags")
def annotate(study: Study, numbers: list[int]) -> None:
    """What people say about runs: a note of one run, and tags that figures and tables can be narrowed down to."""
    trials = [study.trial(number) for number in numbers]
    st.write(f"Run {', '.join(map(str, sorted(numbers)))}")
    note = st.text_area("Note", trials[0].note, key="annotate_note", max_chars=2_000) if len(trials) == 1 else None
    common = [tag for tag in trials[0].tags if all(tag in trial.tags for trial in trials)]
    known = sorted({*filtering.tags(study.history()), *common})
    tags = st.multiselect("Tags", known, common, key="annotate_tags", accept_new_options=True,
                          placeholder="Type a tag, then Enter")  # fmt: skip
    if st.button("Save", type="primary", key="annotate_yes"):
        try:
            for trial in trials:
                own = [tag for tag in trial.tags if tag not in common]
                study.annotate(trial, note=note, tags=[*own, *tags])
        except WorkbenchError as error:
            st.error(words.plain(str(error)))
            return
        _close(f"{words.count(len(trials), 'run')} noted.")


@st.dialog("Void runs")
def void(study: Study, numbers: list[int]) -> None:
    """Take runs out of the record's meaning, with a reason."""
    listed = ", ".join(map(str, sorted(numbers)))
    st.write(f"Run {listed}: kept in the record, left out of every figure, model and suggestion.")
    reason = st.text_input("Why?", key="void_reason")
    if st.button(
        f"Void {words.count(len(numbers), 'run')}", type="primary", disabled=not reason.strip(), key="void_yes"
    ):
        try:
            for number in numbers:
                study.void(number, reason=reason.strip())
        except WorkbenchError as error:
            st.error(words.plain(str(error)))
            return
        _close(f"{words.count(len(numbers), 'run')} voided.")


@st.dialog("Choose a run")
def choose(study: Study, numbers: list[int]) -> None:
    """Decide for one run, the last act of a study; the reason goes to the log."""
    st.write("This says which run you decided for, and why. The study stays open.")
    number = st.radio("Run", numbers, format_func=lambda n: f"Run {n}", key="choose_run", horizontal=True)
    reason = st.text_input("Why this one?", key="choose_reason")
    if st.button("Choose", type="primary", disabled=not reason.strip(), key="choose_yes"):
        try:
            study.choose(int(number), reason=reason.strip())
        except WorkbenchError as error:
            st.error(words.plain(str(error)))
            return
        _close(f"Run {number} is chosen.")


@st.dialog("Somebody else recorded this run", width="medium", dismissible=False)
def conflict(study: Study, tell: runs.Tell) -> None:
    """Two people recorded one run: keep both as repeats, theirs, or this one with a reason."""
    trial = study.trial(tell.run)
    st.markdown(f"#### Run {tell.run} already has results")
    when = words.moment(trial.finished) if trial.finished else "just now"
    st.caption(f"Saved {when}, while you were typing. Nothing of yours is lost.")
    names = list(dict.fromkeys([*trial.values, *tell.values]))
    frame = pd.DataFrame(
        {"": [*names, "Outcome"],
         "Saved": [*(str(trial.values.get(name, "–")) for name in names), str(trial.state)],
         "Yours": [*(str(tell.values.get(name, "–")) for name in names), str(tell.state)]}
    )  # fmt: skip
    st.dataframe(frame, hide_index=True, alt="Saved results beside yours", key="conflict_table")
    done = tell.state == TrialState.COMPLETE
    reason = st.text_input("Why is yours right? (only for “Use mine”)", key="conflict_reason")
    with st.container(horizontal=True):
        both = st.button("Keep both as repeats", type="primary", disabled=not done, key="conflict_both")
        theirs = st.button("Keep theirs", key="conflict_theirs")
        able = done and trial.state == TrialState.COMPLETE and bool(reason.strip())
        mine = st.button("Use mine", disabled=not able, key="conflict_mine")
    if not (both or theirs or mine):
        return
    try:
        if both:
            study.attach(trial.params, tell.values)
        if mine:
            study.amend(tell.run, values=tell.values, reason=reason.strip())
    except WorkbenchError as error:
        st.error(words.plain(str(error)))
        return
    state.put(state.CONFLICTS, state.get(state.CONFLICTS, [])[1:])
    said = (
        "Both are kept as repeats."
        if both
        else "Yours is recorded; the other one is in the log."
        if mine
        else "Theirs stays."
    )
    _close(f"Run {tell.run}: {said}")


@st.dialog("Paste from Excel", width="large")
def paste(study: Study) -> None:
    """Many runs at once from a table: results of open runs, and runs that were done elsewhere; all or none."""
    st.write("Copy cells with their titles out of the spreadsheet, or choose a file. Decimal commas are understood.")
    st.download_button("Template", pasting.template(study), "template.csv", "text/csv", key="template",
                       icon=":material/download:", on_click="ignore")  # fmt: skip
    text = st.text_area("Cells", key="paste_text", height=140, placeholder="Paste here")
    given = st.file_uploader("Or a file", type=["csv", "tsv", "txt", "xlsx"], key="paste_file", max_upload_size=20)
    source: str | bytes | None = given.getvalue() if given is not None else text or None
    if source is None:
        return
    kept = f"rules of the table pasted into {study.name}"
    rules: list[Rule] = st.session_state.get(kept, [])
    read = pasting.read(study, source, rules)
    if read.error:
        st.error("**Nothing was saved.** " + words.plain(read.error))
        return
    if read.cells:
        cells = "1 cell needs" if len(read.cells) == 1 else f"{len(read.cells)} cells need"
        st.error(f"**{cells} a look. Nothing was saved.**")
        st.dataframe(read.faults(), hide_index=True, alt="The cells that cannot be read", key="paste_faults")
        widgets.doubts(read.doubts, lambda rule: st.session_state.update({kept: [*rules, rule]}))
        return
    st.success(words.plain(read.summary()))
    st.dataframe(read.preview(), hide_index=True, alt="The first rows as they were read", height=220)
    if st.button(f"Save {words.count(read.rows, 'run')}", type="primary", key="paste_yes"):
        try:
            pasting.save(study, source, rules)
        except WorkbenchError as error:
            st.error("**Nothing was saved.** " + words.plain(str(error)))
            return
        st.session_state.pop(kept, None)
        _close(f"{words.count(read.rows, 'run')} saved.")


@st.dialog("Print sheet", width="large")
def print_sheet(study: Study) -> None:
    """The runs to do on paper, with empty cells to write in."""
    trials = runs.open_trials(study, shuffled=state.get(state.SHUFFLED, False))
    if not trials:
        st.write("There are no runs to do. Suggest some first.")
        return
    page = printing.sheet(study, trials)
    st.write("A page for the lab bench: the plan, and open cells to write in. Open it and print it.")
    st.download_button("Get the page", page.encode(), "run-sheet.html", "text/html", type="primary", key="print_get",
                       on_click="ignore", icon=":material/print:")  # fmt: skip
    st.table(printing.frame(study, trials))
