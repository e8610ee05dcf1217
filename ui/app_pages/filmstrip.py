"""The way from the start to now and what was kept: look, take a picture and its recipe along."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui import state, widgets
from ui.presenters import ranking, words
from ui.taking import take_along
from workbench.study import Study


def draw() -> None:
    """Draw the page."""
    name = state.chosen()
    if name is None:
        widgets.no_study()
        return
    study = state.study(name)
    widgets.title(study, [], heading="Filmstrip")
    frames = ranking.strip(study)
    if len(frames) < 2:
        widgets.empty("theaters", "No round yet", "Rank a few pictures; each round adds one to the strip.")
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button("Rank", type="primary", key="to_rank"):
                widgets.go("rank", name)
    else:
        best = ranking.favourite(study)
        if best is not None:
            st.markdown("### Your favourite so far")
            st.caption(words.plain(" ".join(best[1])))
            _grid(study, [("Favourite", best[0])], "favourite")
        st.markdown("### From the start to now")
        st.caption("What you liked best after each round.")
        _grid(study, [(frame.label, frame.trial) for frame in frames], "strip")
    kept = ranking.kept_numbers(study)
    if kept:
        st.markdown("### Kept pictures")
        _grid(study, [(f"Kept {i + 1}", number) for i, number in enumerate(kept)], "kept")


def _grid(study: Study, frames: Sequence[tuple[str, int]], part: str) -> None:
    across = 2 if state.narrow() else 5
    for row in range(0, len(frames), across):
        for place, (label, number) in zip(st.columns(across), frames[row : row + across], strict=False):
            with place:
                _one(study, label, number, f"{part}_{row}_{label}".replace(" ", "_").lower())


def _one(study: Study, label: str, number: int, key: str) -> None:
    picture = study.feedback.picture(number)
    if picture is not None:
        st.image(picture.data, alt=f"{label}: {picture.alt}", width="stretch")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{words.plain(label)}**")
        st.space("stretch")
        with st.popover("Take along", key=f"{key}_take"):
            take_along(study, number, label, key)
            if key.startswith("kept"):
                st.button("Let it go", key=f"{key}_drop", on_click=ranking.keep, args=(study, number))


draw()
