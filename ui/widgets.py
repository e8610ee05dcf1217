"""Small pieces that several pages draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui import state
from ui.jobs import Job
from ui.presenters import words
from ui.presenters.runs import Field

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from workbench.study import Study

REFRESH = 2.0  # seconds between looks at the record while a page is open
PAGES = {
    "run": "app_pages/run_sheet.py", "overview": "app_pages/overview.py", "model": "app_pages/model.py",
    "studies": "app_pages/studies.py",
    "new": "app_pages/new_study.py", "compare": "app_pages/compare.py", "settings": "app_pages/settings.py",
}  # fmt: skip


def dark() -> bool:
    """Is the page dark?"""
    return st.context.theme.type == "dark"


def go(page: str, study: str | None = None) -> None:
    """Open another page, with the study in the address."""
    name = study if study is not None else st.session_state.get(state.STUDY)
    st.switch_page(PAGES[page], query_params={state.STUDY: name} if name else None)


def flash() -> None:
    """What the last action had to say."""
    said = state.said()
    if said is not None:
        text, kind = said
        {"success": st.success, "error": st.error, "warning": st.warning}[kind](words.plain(text))


def figure(drawn: Figure, table: Callable[[], Mapping[str, Sequence[Any]]], key: str) -> None:
    """A figure with its text for those who cannot see it, and the table of its numbers below."""
    from workbench.plots.theme import darkened

    alt = (drawn.layout.meta or {}).get("alt", "")
    shown = darkened(drawn) if dark() else drawn
    st.plotly_chart(shown, theme=None, key=key, alt=alt, config={"displaylogo": False})
    expander = st.expander("Show as table", key=f"{key}_table", on_change="rerun")
    if expander.open:
        import pandas as pd

        frame = pd.DataFrame({name: list(cells) for name, cells in table().items()})
        note = f" The newest 5,000 of {len(frame):,} rows." if len(frame) > 5_000 else ""
        expander.caption(f"The numbers behind the figure.{note}")
        expander.dataframe(frame.tail(5_000), hide_index=True, alt=f"Table of: {alt}"[:300])


def config(knobs: Sequence[Field], results: Sequence[Field], *, open_cells: bool) -> dict[str, Any]:
    """How the columns of a plan or a history look."""
    made: dict[str, Any] = {"run": st.column_config.NumberColumn("Run", width=70, format="%d", pinned=True)}
    for column in knobs:
        if column.number:
            form = f"%.{column.digits}f" if column.digits is not None else "%.4g"
            made[column.id] = st.column_config.NumberColumn(column.title, format=form, disabled=True)
        else:
            made[column.id] = st.column_config.TextColumn(column.title, disabled=True)
    for column in results:
        if open_cells:
            made[column.id] = st.column_config.TextColumn(column.title, alignment="right", max_chars=40)
        else:
            made[column.id] = st.column_config.NumberColumn(column.title, format="%.6g")
    made["outcome"] = (
        st.column_config.SelectboxColumn("Outcome", options=list(words.OUTCOMES), required=True, width=110)
        if open_cells
        else st.column_config.TextColumn("Outcome", width=110)
    )
    made["note"] = st.column_config.TextColumn("Note", width="medium", max_chars=2_000 if open_cells else None)
    return made


def follow(study: Study) -> None:
    """Look for news of a study on a timer, and draw the page anew when there is some. One a page, never nested."""
    name, seen = study.name, study.history().revision

    @st.fragment(run_every=REFRESH)
    def look() -> None:
        store = state.storage()
        found = [one for one in (state.jobs().active(name, kind) for kind in ("ask", "run", "analysis")) if one]
        row = store.study(name)
        marks = (row.revision, tuple((job.id, job.state) for job in state.jobs().of(name)))
        before = state.get(state.SEEN)
        state.put(state.SEEN, marks)
        for job in found:
            progress(job)
        if before is not None and before != marks and state.get(state.LIVE, True) and row.revision != seen:
            st.rerun()
        if before is not None and before[1] != marks[1]:
            st.rerun()

    look()


def progress(job: Job) -> None:
    """A running job: what it does, how far it is, how long it will still take, and the way to end it."""
    now = time.time()
    left = job.left(now)
    after = f", about {words.span(left)} left" if left is not None else ""
    with st.container(border=True, key=f"job_{job.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{words.plain(job.title)}**")
            st.space("stretch")
            if job.state == "queued":
                st.caption(f"waiting, {words.count(state.jobs().position(job.id), 'job')} before it")
            else:
                st.caption(f"{words.span(job.seconds(now))}{after}")
        st.progress(job.progress.share or 0.0, text=words.plain(job.progress.text or "Starting a process for it."))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Stop", key=f"stop_{job.id}", icon=":material/stop_circle:", on_click=_cancel, args=(job.id,))
            st.caption("You can go on recording, or close this page: it goes on.")


def _cancel(job_id: int) -> None:
    state.jobs().cancel(job_id)


def ended(study: str, kind: str) -> None:
    """What became of the last job of a kind, until it is put away."""
    job = state.jobs().latest(study, kind)
    if job is None or job.active or job.state == "done":
        return
    with st.container(border=True, key=f"ended_{job.id}"):
        if job.state == "cancelled":
            st.markdown(f"**Stopped:** {words.plain(job.title)}. What was recorded is kept.")
        else:
            st.error(f"{words.plain(job.title)} failed. {words.plain(job.error)}", icon=":material/error:")
            st.caption("Your record is complete and safe. You can go on with spread-out runs.")
        st.button("Put away", key=f"forget_{job.id}", on_click=state.jobs().forget, args=(job.id,))


def empty(icon: str, title: str, text: str) -> None:
    """The head of a page that has nothing to show yet; the caller draws the buttons below."""
    st.space("small")
    with st.container(horizontal_alignment="center", gap="small"):
        st.markdown(f"## :material/{icon}:", text_alignment="center")
        st.markdown(f"#### {title}", text_alignment="center")
        st.caption(text, text_alignment="center")


def no_study() -> None:
    """A page of a study, opened without one."""
    empty("folder_open", "No study is open", "Choose one in the list of studies, or start a new one.")
    with st.container(horizontal=True, horizontal_alignment="center"):
        if st.button("See the studies", type="primary", key="to_studies"):
            go("studies")
        if st.button("New study", key="to_new"):
            go("new")


def title(text: str, badges: Sequence[tuple[str, str]], actions: Callable[[], None] | None = None) -> None:
    """The title row: user text, badges, and buttons to the right."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="title_row"):
        shown = text if len(text) <= 60 else text[:59] + "…"
        st.markdown(f"# {words.plain(shown)}", width="content", help=words.plain(text) if shown != text else None)
        for label, color in badges:
            st.badge(label, color=color)  # type: ignore[arg-type]  # one of the theme's names
        st.space("stretch")
        if actions is not None:
            actions()
