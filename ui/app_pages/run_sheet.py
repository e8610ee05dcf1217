"""The run sheet, home of a study: what to run next, what came of it, and everything before."""

from __future__ import annotations

import streamlit as st

from ui import asking, believing, dialogs, state, widgets
from ui.presenters import runs, words
from workbench.errors import AlreadyTold, WorkbenchError
from workbench.study import Study
from workbench.trial import Trial

CARD = 346  # px; three and their gaps fit the page at 1400 px


def draw() -> None:
    """Draw the page."""
    name = state.chosen()
    if name is None:
        widgets.no_study()
        return
    study = state.study(name)
    trials = runs.open_trials(study, shuffled=state.get(state.SHUFFLED, False))
    done = int(study.history().finished.sum())
    badges = [(words.count(done, "run"), "blue")] + ([(f"{len(trials)} next", "violet")] if trials else [])
    widgets.title(name, badges, lambda: _actions(study))
    widgets.flash()
    st.markdown(words.plain(runs.verdict(study)))
    _lead(study, trials)
    widgets.follow(study)
    widgets.ended(name, "ask")
    widgets.ended(name, "run")
    if not len(study.history()):
        _empty(study)
        return
    if trials:
        _cards(study, trials[:6])
    _plan(study, trials)
    _history(study)


def _lead(study: Study, trials: list[Trial]) -> None:
    """What the model says in one line, and the way to its proof."""
    said = believing.lead(study)
    if said:
        after = f" Run these {len(trials)} next." if len(trials) > 1 else " Run this one next." if trials else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{words.plain(said + after)}**", width="content")
            if st.button("How sure is that?", type="tertiary", key="to_model"):
                widgets.go("model")


def _actions(study: Study) -> None:
    if st.button("Paste from Excel", icon=":material/content_paste:", key="paste"):
        dialogs.paste(study)
    if st.button("Print sheet", icon=":material/print:", key="print"):
        dialogs.print_sheet(study)
    if st.button("Export", icon=":material/download:", key="to_export"):
        widgets.go("settings")


def _empty(study: Study) -> None:
    widgets.empty(
        "table_rows", "No runs yet",
        "The first runs are spread evenly over your knobs. After 3 results a model joins in.",
    )  # fmt: skip
    with st.container(horizontal=True, horizontal_alignment="center"):
        first = min(32, max(4, 2 * study.space.width))
        st.button(f"Suggest {first} first runs", type="primary", key="suggest", icon=":material/star:",
                  on_click=_suggest, args=(study, first))  # fmt: skip
        if st.button("Paste old runs", key="paste_old", icon=":material/content_paste:"):
            dialogs.paste(study)


def _suggest(study: Study, n: int, near: int | None = None) -> None:
    asking.suggest(study, n, near=near)


def _cards(study: Study, trials: list[Trial]) -> None:
    row = st.container(horizontal=True, gap="small", key="cards")  # three across, one across where it is narrow
    for card in runs.cards(study, trials):
        with row.container(border=True, width=CARD, height="stretch", gap="small", key=f"card_{card.run}"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"#### :violet[:material/star:] Run {card.run}", width="content")
                st.space("stretch")
                if st.button("Reject…", key=f"reject_{card.run}", icon=":material/close:", type="tertiary"):
                    dialogs.reject(study, card.run)
            st.markdown(f"**{words.plain(card.knobs)}**")
            if card.rows:
                st.caption("expected, ± 1 sd")
                for goal, said in card.rows:
                    with st.container(horizontal=True):
                        st.text(goal, width=110)
                        st.markdown(f"**{words.plain(said)}**", width="content")
            if card.why:
                st.text(card.why)
            for said in believing.card(study, study.trial(card.run)):
                st.markdown(words.plain(said))
            if card.nearest:
                st.caption(words.plain(card.nearest))
            for warning in card.warnings:
                st.caption(f":yellow[:material/warning:] {words.plain(warning)}")


def _plan(study: Study, trials: list[Trial]) -> None:
    busy = state.jobs().active(study.name, "ask") is not None
    results = runs.result_fields(study)
    key = f"plan/{study.name}/{state.tab()}"
    kept = {int(run): cells for run, cells in (state.drafts().get(key) or {}).items()}
    gone = {run: cells for run, cells in kept.items() if run not in {trial.number for trial in trials}}
    if gone:
        _recorded_elsewhere(study, gone)
    head = st.container(horizontal=True, vertical_alignment="bottom")
    drafts: dict[int, dict[str, str]] = {}
    if trials:
        # The table is built once for a set of runs: were its data to change, what is being typed would go.
        mark = f"plan {study.name} {[trial.number for trial in trials]} {state.get(state.NONCE, 0)}"
        if mark not in st.session_state:
            st.session_state[mark] = runs.plan(study, trials, kept)
        frame = st.session_state[mark]
        knobs = runs.knob_fields(study)
        shaded = [runs.RUN, *(column.id for column in knobs)]
        ground = "#1D232A" if widgets.dark() else "#F3F5F7"
        # Above the table, where its toolbar may cover it: it must not lie over the buttons.
        st.caption("Type results in the open cells; shaded cells are the plan. A run that is done needs every result.")
        edited = st.data_editor(
            frame.style.set_properties(subset=shaded, **{"background-color": ground}),
            key=f"editor {mark}", hide_index=True, disabled=shaded, placeholder="–", row_height=31,
            column_config=widgets.config(knobs, results, open_cells=True),
            alt="The runs to do, with open cells for their results",
        )  # fmt: skip
        drafts = runs.typed(edited, results)
    state.drafts().put(key, {str(run): cells for run, cells in drafts.items()})
    ready, wrong = runs.tells(study, drafts)
    with head:
        st.markdown(f"### Next {words.count(len(trials), 'run')}" if trials else "### Next runs", width="content")
        st.space("stretch")
        if len(trials) > 1:
            st.toggle("Random order", value=state.get(state.SHUFFLED, False), key="shuffle", on_change=_shuffle)
        asking.lock_button(study)
        asking.suggest_button(study, primary=not trials, disabled=busy)
        if trials:
            st.button(f"Record {words.count(len(ready), 'run')}", type="primary", key="record", disabled=not ready,
                      on_click=_record, args=(study, ready), shortcut="Ctrl+Enter")  # fmt: skip
    if wrong:
        cells = "1 cell needs" if len(wrong) == 1 else f"{len(wrong)} cells need"
        lines = "  \n".join(words.plain(str(cell)) for cell in wrong[:8])
        st.warning(f"**{cells} a look.** These runs are not recorded yet.  \n{lines}")
    conflicts = state.get(state.CONFLICTS, [])
    if conflicts:
        dialogs.conflict(study, conflicts[0])


def _recorded_elsewhere(study: Study, gone: dict[int, dict[str, str]]) -> None:
    """Runs that were recorded while results for them stood here: whoever typed decides what holds."""
    ready, _ = runs.tells(study, gone)
    half = gone.keys() - {tell.run for tell in ready}
    for run in sorted(half):
        typed = ", ".join(gone[run].values())
        st.info(f"Run {run} was recorded meanwhile. You had typed: {words.plain(typed)}. Amend it if that is right.")
    open_questions = list(state.get(state.CONFLICTS, []))
    asked = {tell.run for tell in open_questions}
    open_questions += [tell for tell in ready if tell.run not in asked and not runs.agrees(study, tell)]
    state.put(state.CONFLICTS, open_questions)


def _shuffle() -> None:
    state.put(state.SHUFFLED, st.session_state["shuffle"])


def _record(study: Study, ready: list[runs.Tell]) -> None:
    """Record what is ready; a run that somebody else recorded is kept for the dialog."""
    conflicts, done = [], 0
    for tell in ready:
        try:
            runs.record(study, tell)
            done += 1
        except AlreadyTold:
            conflicts.append(tell)
        except WorkbenchError as error:
            state.say(str(error), "error")
            return
    state.put(state.CONFLICTS, conflicts)
    if done:
        state.say(f"{words.count(done, 'run')} recorded.")


def _history(study: Study) -> None:
    page = int(state.get(state.PAGE, 0))
    counted = runs.past(study, list(words.GROUPS), 0).counts
    chosen = state.get(state.GROUPS, ["Done", "Over a limit", "Failed"])
    past = runs.past(study, chosen, page)
    head = st.container(horizontal=True, vertical_alignment="bottom")
    st.pills(
        "Show runs", list(words.GROUPS), selection_mode="multi", default=chosen, key="groups",
        format_func=lambda group: f"{group} {counted[group]:,}", label_visibility="collapsed", on_change=_filter,
    )  # fmt: skip
    picked: list[int] = []
    if past.numbers:
        knobs, results = runs.knob_fields(study), runs.result_fields(study)
        event = st.dataframe(
            past.frame, hide_index=True, key="history", on_select="rerun", selection_mode="multi-row", row_height=31,
            column_config=widgets.config(knobs, results, open_cells=False), alt="The runs so far, newest first",
            placeholder="–",
        )  # fmt: skip
        picked = [past.numbers[row] for row in event.selection.rows if row < len(past.numbers)]
    else:
        st.caption("No runs here. Choose other groups above." if len(study.history()) else "No runs yet.")
    if past.total > runs.PAGE:
        pages = -(-past.total // runs.PAGE)
        st.number_input(f"Page, of {pages}: {runs.PAGE} of {past.total:,} runs each", 1, pages, page + 1, key="page",
                        width=320, on_change=_turn)  # fmt: skip
    one = picked[0] if len(picked) == 1 else None
    with head:
        st.markdown("### History", width="content")
        st.caption(f"{words.count(past.total, 'run')}, newest first." + (f" {len(picked)} selected" if picked else ""))
        st.space("stretch")
        if st.button("Amend…", icon=":material/edit:", disabled=one is None, key="amend") and one is not None:
            dialogs.amend(study, one)
        if st.button("Void…", icon=":material/block:", disabled=not picked, key="void"):
            dialogs.void(study, picked)
        st.button("Repeat", icon=":material/replay:", disabled=one is None, key="repeat",
                  on_click=_repeat, args=(study, one))  # fmt: skip
        st.button("Suggest near", icon=":material/near_me:", disabled=one is None, key="near",
                  on_click=_suggest, args=(study, 1, one))  # fmt: skip


def _filter() -> None:
    state.put(state.GROUPS, st.session_state["groups"])
    state.put(state.PAGE, 0)


def _turn() -> None:
    state.put(state.PAGE, int(st.session_state["page"]) - 1)


def _repeat(study: Study, number: int) -> None:
    try:
        made = study.enqueue(study.trial(number).params)
    except WorkbenchError as error:
        state.say(str(error), "error")
        return
    state.say(f"Run {made.number} repeats run {number}.")


draw()
