"""Studies side by side."""

from __future__ import annotations

import streamlit as st

from ui import figures, state, widgets
from ui.presenters import comparing, words
from workbench import plots
from workbench.build import list_studies
from workbench.errors import InvalidValueError

MOST = 20


def draw() -> None:
    """Draw the page."""
    st.markdown("# Compare")
    names = [one.name for one in list_studies(state.storage())]
    if not names:
        widgets.empty(
            "compare_arrows", "Nothing to compare yet", "Two studies with the same goal stand side by side here."
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button("See the studies", type="primary", key="to_studies"):
                widgets.go("studies")
        return
    before = [name for name in st.session_state.get("compared", []) if name in names]
    own = state.chosen()
    picked = st.multiselect("Studies", names, default=before or [own or names[0]], key="picked", max_selections=MOST)
    st.session_state["compared"] = picked
    if not picked:
        st.caption("Choose studies above.")
        return
    studies = [state.study(name) for name in picked]
    shared = comparing.shared_goals(studies)
    if not shared:
        st.warning("These studies have no goal in common, so there is nothing to lay side by side. Choose others.")
        return
    with st.container(horizontal=True):
        goal = st.selectbox("Goal", shared, key="goal", width=240)
        how = st.segmented_control("Lines", [comparing.EACH, comparing.TAG, comparing.ALL], default=comparing.EACH,
                                   key="how", required=True)  # fmt: skip
    groups = comparing.groups(studies, how)
    try:
        with figures.in_words():
            figure = plots.compare(groups, goal)
            spread = plots.edf({study.name: study.history() for study in studies}, goal)
    except InvalidValueError as error:
        st.warning(words.plain(str(error)))
        return
    widgets.figure(figure, lambda: plots.compare_table(groups, goal), key="compare_best")
    widgets.figure(
        spread, lambda: plots.edf_table({study.name: study.history() for study in studies}, goal), key="compare_spread"
    )
    st.markdown("### In numbers")
    st.dataframe(comparing.final(studies, goal), hide_index=True, alt="Runs, best value and last gain of each study")


draw()
