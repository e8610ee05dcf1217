"""The run sheet, home of a study: what to run next, what came of it, and everything before."""

from __future__ import annotations

import streamlit as st

from ui import asking, believing, dialogs, state, widgets
from ui.presenters import runs, words
from workbench.errors import AlreadyTold, WorkbenchError
from workbench.study import Study
from workbench.trial import Trial

CARDS = 6  # suggestions with a card; all of them stand in the table


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
    widgets.title(study, badges, lambda: _actions(study))
    widgets.flash()
    st.markdown(words.plain(runs.verdict(study)))
    _lead(study, trials)
    widgets.follow(study, asking.spread_out(study))
    widgets.ended(name, "ask")
    widgets.ended(name, "run")
    if not len(study.history()):
        _empty(study)
        return
    if state.jobs().active(name, "ask") is not None and not trials:
        _waiting()
    if trials:
        _cards(study, trials)
    _interrupted(study)
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
    if widgets.action(study, "Paste from Excel", icon=":material/content_paste:", key="paste"):
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
        widgets.action(study, f"Suggest {first} first runs", type="primary", key="suggest", icon=":material/star:",
                       on_click=_suggest, args=(study, first))  # fmt: skip
        if widgets.action(study, "Paste old runs", key="paste_old", icon=":material/content_paste:"):
            dialogs.paste(study)


def _suggest(study: Study, n: int, near: int | None = None) -> None:
    if not state.again("suggest"):
        asking.suggest(study, n, near=near)


def _waiting() -> None:
    """The cards that are being thought about, at their size."""
    for place in widgets.places(3):
        place.skeleton(230)


def _interrupted(study: Study) -> None:
    left = runs.interrupted(study)
    if left:
        runs_ = f"Run {left[0]} was" if len(left) == 1 else f"Runs {', '.join(map(str, left))} were"
        st.info(f"{runs_} interrupted. The next start of the work on the Overview page goes on with it.",
                icon=":material/pause_circle:")  # fmt: skip


def _cards(study: Study, trials: list[Trial]) -> None:
    made = runs.cards(study, trials[:CARDS])
    shared = [text for text in made[0].warnings if all(text in card.warnings for card in made)]
    for text in shared:
        st.caption(f":yellow[:material/warning:] {words.plain(text[:1].upper() + text[1:])}.")
    for card, place in zip(made, widgets.places(len(made)), strict=True):
        with place.container(border=True, height="stretch", gap="small", key=f"card_{card.run}"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"#### :violet[:material/star:] Run {card.run}", width="content")
            st.markdown(f"**{words.plain(card.knobs)}**")
            if card.edited:
                st.caption(f":material/edit: {words.plain(card.edited)}")
            if card.rows:
                st.caption("expected, ± 1 sd")
                with st.container(gap="xsmall"):
                    for goal, said in card.rows:
                        with st.container(horizontal=True):
                            st.text(goal, width=110)
                            st.markdown(f"**{words.plain(said)}**", width="content")
            if card.why:
                st.text(card.why[:1].upper() + card.why[1:])
            for said in believing.card(study, study.trial(card.run)):
                st.markdown(words.plain(said))
            if card.nearest:
                st.caption(words.plain(card.nearest))
            for warning in card.warnings:
                if warning not in shared:
                    st.caption(f":yellow[:material/warning:] {words.plain(warning)}")
            st.space("stretch")
            _decide(study, card)
    if len(trials) > CARDS:
        st.caption(f"{words.count(len(trials) - CARDS, 'further suggestion')} in the table below.")


def _decide(study: Study, card: runs.Card) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        widgets.action(study, "Accepted" if card.accepted else "Accept", key=f"accept_{card.run}", on_click=_accept,
                       args=(study, card.run, not card.accepted), help="Tell everybody that this run will be done",
                       icon=":material/check_circle:" if card.accepted else ":material/check:")  # fmt: skip
        if widgets.action(study, "Edit…", key=f"edit_{card.run}", icon=":material/edit:"):
            dialogs.edit(study, card.run)
        if widgets.action(study, "Reject…", key=f"reject_{card.run}", icon=":material/close:"):
            dialogs.reject(study, card.run)


def _accept(study: Study, number: int, accepted: bool) -> None:
    try:
        runs.accept(study, number, accepted=accepted)
    except WorkbenchError as error:
        state.say(str(error), "error")


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
        changed = {trial.number: edited for trial in trials if (edited := runs.edits(trial))}
        mark = f"plan {study.name} {[trial.number for trial in trials]} {changed}"
        if mark not in st.session_state:
            st.session_state[mark] = runs.plan(study, trials, kept)
        frame = st.session_state[mark]
        knobs = runs.knob_fields(study)
        shaded = [runs.RUN, *(column.id for column in knobs)]
        ground, edited_ground = ("#1D232A", "#321E2B") if widgets.dark() else ("#F3F5F7", "#F9ECF3")
        looks = frame.style.set_properties(subset=shaded, **{"background-color": ground})
        for i, trial in enumerate(trials):
            own = [column.id for column in knobs if column.name in changed.get(trial.number, {})]
            looks = looks.set_properties(subset=([i], own), **{"background-color": edited_ground})
        # Above the table, where its toolbar may cover it: it must not lie over the buttons.
        st.caption("Type results in the open cells; shaded cells are the plan. A run that is done needs every result.")
        edited = st.data_editor(
            looks,
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
            widgets.action(study, f"Record {words.count(len(ready), 'run')}", type="primary", key="record",
                           disabled=not ready, on_click=_record, args=(study, ready),
                           shortcut="Ctrl+Enter")  # fmt: skip
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
    past = runs.past(study, state.shown(), page)
    head = st.container(horizontal=True, vertical_alignment="bottom")
    picked: list[int] = []
    if past.numbers:
        event = widgets.past(
            study, past, key="history", alt="The runs so far, newest first", on_select="rerun",
            selection_mode="multi-row",
        )  # fmt: skip
        picked = [past.numbers[row] for row in event.selection.rows if row < len(past.numbers)]
    else:
        st.caption("No runs here. Choose other ones under “Show runs” on the left.")
    if past.total > runs.PAGE:
        pages = -(-past.total // runs.PAGE)
        st.number_input(f"Page, of {pages}: {runs.PAGE} of {past.total:,} runs each", 1, pages, page + 1, key="page",
                        width=320, on_change=_turn)  # fmt: skip
    one = picked[0] if len(picked) == 1 else None
    with head:
        st.markdown("### History", width="content")
        st.caption(f"{words.count(past.total, 'run')}, newest first." + (f" {len(picked)} selected" if picked else ""))
        st.space("stretch")
        no_one = one is None
        if widgets.action(study, "Amend…", icon=":material/edit:", disabled=no_one, key="amend") and one is not None:
            dialogs.amend(study, one)
        if widgets.action(study, "Note…", icon=":material/sell:", disabled=not picked, key="annotate"):
            dialogs.annotate(study, picked)
        if widgets.action(study, "Void…", icon=":material/block:", disabled=not picked, key="void"):
            dialogs.void(study, picked)
        widgets.action(study, "Repeat", icon=":material/replay:", disabled=no_one, key="repeat",
                       on_click=_repeat, args=(study, one))  # fmt: skip
        widgets.action(study, "Suggest near", icon=":material/near_me:", disabled=no_one, key="near",
                       on_click=_suggest, args=(study, 1, one))  # fmt: skip


def _turn() -> None:
    state.put(state.PAGE, int(st.session_state["page"]) - 1)


def _repeat(study: Study, number: int) -> None:
    if state.again("repeat"):
        return
    try:
        made = study.enqueue(study.trial(number).params)
    except WorkbenchError as error:
        state.say(str(error), "error")
        return
    state.say(f"Run {made.number} repeats run {number}.")


draw()
