"""How the study stands: counts, verdicts, figures, failures, notes, and work that this machine does by itself."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ui import figures, state, widgets, work
from ui.presenters import overview, runs, words
from workbench import plots
from workbench.errors import WorkbenchError
from workbench.study import Study

RECENT = 8  # runs


def draw() -> None:
    """Draw the page."""
    name = state.chosen()
    if name is None:
        widgets.no_study()
        return
    study = state.study(name)
    history = study.history()
    now = overview.standing(study)
    widgets.title(study, [(f"{now.used} runs", "blue")])
    widgets.flash()
    _work(study)
    widgets.follow(study)
    widgets.ended(name, "run")
    if not len(history):
        widgets.empty("monitoring", "Nothing to see yet", "The curve of results begins with the first recorded run.")
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button("Go to the run sheet", type="primary", key="to_run"):
                widgets.go("run")
        _notes(study)
        return
    with st.container(horizontal=True, key="counts"):
        for said, number in now.counts.items():
            st.metric(said, f"{number:,}", width=120, border=True)
    icons = {"green": "check_circle", "yellow": "error"}
    sentences = [f":{level}[:material/{icons[level]}:] {words.plain(text)}" for level, text in now.verdicts]
    st.markdown("  \n".join(sentences))
    if len(history.measured) > 1:
        figures.show(study, "hypervolume")
    figures.show(study, "history")
    _recent(study)
    timeline = st.expander("When each run ran", on_change="rerun", key="timeline")
    if timeline.open:
        with timeline:
            figures.show(study, "timeline")
    if swarm := study.swarm_trace():
        st.markdown("### The swarm")
        widgets.figure(plots.swarm(swarm), lambda: plots.swarm_table(swarm), key="figure_swarm")
    if policy := study.policy_trace():
        _policy(study, policy)
    if now.failures:
        st.markdown("### What failed, and why")
        reasons = {"Reason": [why for why, _ in now.failures], "Runs": [number for _, number in now.failures]}
        st.dataframe(reasons, hide_index=True, alt="Reasons of failed and infeasible runs, with how often each came")
    _notes(study)


@figures.in_words()
def _policy(study: Study, trace: dict[str, Any]) -> None:
    st.markdown("### The policy")
    if not plots.policy_verdict(trace)[0]:
        st.markdown(":red[:material/error:] Do not trust it yet: the figure says why.")
    goals = study.history().measured
    widgets.figure(plots.policy_trust(trace), lambda: plots.policy_trust_table(trace), key="figure_policy_trust")
    if trace["answers"].size:
        widgets.figure(
            plots.policy_preferences(trace, goals), lambda: plots.policy_preferences_table(trace, goals),
            key="figure_policy_preferences",
        )  # fmt: skip
    training = st.expander("How it was trained", on_change="rerun", key="policy_training")
    if training.open:
        with training:
            widgets.figure(
                plots.policy_training(trace), lambda: plots.policy_training_table(trace), key="figure_policy_training"
            )  # fmt: skip


def _recent(study: Study) -> None:
    last = runs.recent(study, RECENT)
    if not last.numbers:
        return
    st.markdown("### Last runs")
    widgets.past(study, last, key="recent", alt="The runs that were finished last")


def _work(study: Study) -> None:
    """Start runs of the problem that the command named, if it is this study's."""
    reference = state.problem()
    if reference is None or state.jobs().active(study.name, "run"):
        return
    with st.container(border=True), st.container(horizontal=True, vertical_alignment="bottom"):
        st.markdown(f"**This machine can do the runs:** {words.plain(reference)}", width="content")
        st.space("stretch")
        done = int(study.history().finished.sum())
        until = st.number_input("Runs in total", done + 1, 1_000_000, max(done + 10, study.budget or 0), key="until",
                                width=150)  # fmt: skip
        widgets.action(study, "Start", type="primary", icon=":material/play_arrow:", key="start", on_click=_start,
                       args=(study, reference, int(until)))  # fmt: skip


def _start(study: Study, reference: str, until: int) -> None:
    order = work.RunProblem(state.storage_url(), study.name, reference, until)
    state.jobs().submit("run", study.name, f"Running {reference}", work.run_problem, order,
                        after=lambda _: study.give_back())  # fmt: skip


def _notes(study: Study) -> None:
    st.markdown("### Notes and tags")
    base = f"note base {study.name}"
    if base not in st.session_state:
        st.session_state[base] = study.note
    text = st.text_area("Notes", study.note, key="note", height=120, label_visibility="collapsed",
                        placeholder="What should the next person know?")  # fmt: skip
    st.multiselect("Tags", sorted(study.tags), study.tags, key=f"tags of {study.name}", accept_new_options=True,
                          placeholder="Type a tag, then Enter", on_change=_tag, args=(study,),
                          disabled=study.frozen)  # fmt: skip
    if not widgets.action(study, "Save the note", key="save_note", disabled=text == st.session_state[base]):
        return
    if study.note != st.session_state[base]:
        st.warning("Somebody else changed the note meanwhile. It says now:")
        st.code(study.note, language=None)
        st.session_state[base] = study.note
        st.caption("Yours is still in the field; merge them there, then save again.")
        return
    study.annotate(note=text)
    st.session_state[base] = text
    state.say("The note was saved.")
    st.rerun()


def _tag(study: Study) -> None:
    try:
        study.annotate(tags=st.session_state[f"tags of {study.name}"])
    except WorkbenchError as error:
        state.say(str(error), "error")


draw()
