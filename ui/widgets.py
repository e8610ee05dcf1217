"""Small pieces that several pages draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui import state
from ui.jobs import Job
from ui.pages import page
from ui.presenters import words
from ui.presenters.runs import Field, Past, knob_fields, result_fields
from ui.presenters.settling import Doubt, Rule

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from workbench.study import Study

Instead = tuple[str, Callable[[Job], None]]
FROZEN = "This study is frozen: nothing of it changes. Thaw it under Settings and export."
ACROSS = 3  # cards
REFRESH = 2.0  # seconds between looks at the record while a page is open


def dark() -> bool:
    """Is the page dark?"""
    return st.context.theme.type == "dark"


def go(key: str, study: str | None = None) -> None:
    """Open another page, with the study in the address."""
    st.switch_page(page(key).file, query_params=state.address(study) or None)


def flash() -> None:
    """What the last action had to say."""
    said = state.said()
    if said is not None:
        text, kind = said
        {"success": st.success, "error": st.error, "warning": st.warning}[kind](words.plain(text))


_CONFIG = {"displaylogo": False, "toImageButtonOptions": {"format": "svg", "filename": "figure"}}
"""The camera above a figure saves it as SVG: sharp on paper, and text stays text."""


def figure(drawn: Figure, table: Callable[[], Mapping[str, Sequence[Any]]], key: str, **options: Any) -> None:
    """A figure with its text for those who cannot see it, and the table of its numbers below.

    Args:
        options: Of `st.plotly_chart`, such as `on_select`.
    """
    from workbench.plots.theme import darkened

    alt = (drawn.layout.meta or {}).get("alt", "")
    shown = darkened(drawn) if dark() else drawn
    st.plotly_chart(shown, theme=None, key=key, alt=alt, config=_CONFIG, **options)
    expander = st.expander("Show as table", key=f"{key}_table", on_change="rerun")
    if expander.open:
        import pandas as pd

        frame = pd.DataFrame({name: list(cells) for name, cells in table().items()})
        frame = frame.rename(columns={**words.NAMES, "finished trials": "finished runs"})
        note = f" The newest 5,000 of {len(frame):,} rows." if len(frame) > 5_000 else ""
        expander.caption(f"The numbers behind the figure.{note}")
        expander.dataframe(frame.tail(5_000), hide_index=True, alt=f"Table of: {alt}"[:300], column_config=small(frame))


def small(frame: pd.DataFrame) -> dict[str, Any]:
    """How columns look whose numbers are so small that tables would write them as zeros with one digit."""
    return {
        str(name): st.column_config.NumberColumn(format="%.5g")
        for name in frame.select_dtypes("number")
        if 0 < frame[name].abs().max() < 1e-3
    }


def knob(parameter: Any, title: str, value: Any, key: str) -> Any:
    """A field for a value of a number or a choice; it begins at the value, or at the lowest without one."""
    if parameter.kind in ("float", "int"):
        start = parameter.low if value is None else value
        low, high = min(parameter.low, start), max(parameter.high, start)  # a run may lie outside the present bounds
        return st.number_input(
            words.plain(title), low, high, start, key=key, step=parameter.step, format=_form(parameter)
        )
    choices = [False, True] if parameter.kind == "bool" else list(parameter.choices)
    at = choices.index(value) if value in choices else 0
    return st.selectbox(words.plain(title), choices, at, key=key)


def _form(parameter: Any) -> str | None:
    """Six digits without trailing zeros for numbers that have no step."""
    return None if parameter.kind == "int" or parameter.step else "%.6g"


_OUTCOMES = {
    "●": ("#0072B2", "#56B4E9"), "✕": ("#BF5300", "#E8742A"), "◇": ("#9A6B00", "#E69F00"),
}  # fmt: skip


def outcome_look(said: str) -> str:
    """The colour of an outcome, by its sign; sign and word say it without the colour."""
    found = _OUTCOMES.get(said[:1])
    return f"color: {found[dark()]}" if found else ""


def places(n: int) -> list[Any]:
    """Where n cards go: three across, one across where it is narrow."""
    if state.narrow():
        return [st.container() for _ in range(n)]
    rows = [st.columns(ACROSS, gap="small") for _ in range(-(-n // ACROSS))]
    return [column for row in rows for column in row][:n]


def doubts(found: Sequence[Doubt], settle: Callable[[Rule], None]) -> None:
    """Cells that cannot be read, each kind of them with the ways to settle it."""
    for i, doubt in enumerate(found):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(words.plain(str(doubt)), width=520)
            for rule in doubt.rules:
                st.button(rule.how, key=f"settle_{i}_{rule.how.split()[-1]}", on_click=settle, args=(rule,))


def past(study: Study, page: Past, *, key: str, alt: str, **options: Any) -> Any:
    """A table of finished runs; what `st.dataframe` returns."""
    columns = config(knob_fields(study), result_fields(study), open_cells=False, digits=page.digits)
    return st.dataframe(
        page.frame.style.map(outcome_look, subset=["outcome"]), hide_index=True, key=key, row_height=31,
        column_config=columns, placeholder="–", alt=alt, **options,
    )  # fmt: skip


def config(
    knobs: Sequence[Field], results: Sequence[Field], *, open_cells: bool, digits: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """How the columns of a plan or a history look.

    Args:
        digits: Decimals of columns of results, by id.
    """
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
            form = f"%.{digits[column.id]}f" if digits and column.id in digits else "%.5g"
            made[column.id] = st.column_config.NumberColumn(column.title, format=form)
    made["outcome"] = (
        st.column_config.SelectboxColumn("Outcome", options=list(words.OUTCOMES), required=True, width=110)
        if open_cells
        else st.column_config.TextColumn("Outcome", width=110)
    )
    made["note"] = st.column_config.TextColumn("Note", width="medium", max_chars=2_000 if open_cells else None)
    return made


def action(study: Study, label: str, *, disabled: bool = False, help: str | None = None, **options: Any) -> bool:
    """A button that changes the study: closed, with the reason, while the study is frozen."""
    frozen = study.frozen
    return st.button(label, disabled=disabled or frozen, help=FROZEN if frozen else help, **options)


def follow(study: Study, instead: Instead | None = None, kinds: Sequence[str] = ("ask", "run")) -> None:
    """Look for news of a study on a timer, and draw the page anew when there is some. One a page, never nested.

    Args:
        instead: What else to do than to wait for suggestions: the words of a button, and its callback, which gets
            the job.
        kinds: Of jobs whose progress is shown.
    """
    name, seen = study.name, study.history().revision

    @st.fragment(run_every=REFRESH)
    def look() -> None:
        store = state.storage()
        found = [one for one in (state.jobs().active(name, kind) for kind in kinds) if one]
        row = store.study(name)
        marks = (row.revision, tuple((job.id, job.state) for job in state.jobs().of(name)))
        before = state.get(state.SEEN)
        state.put(state.SEEN, marks)
        for job in found:
            progress(job, instead if job.kind == "ask" else None)
        if before is not None and before != marks and state.get(state.LIVE, True) and row.revision != seen:
            state.draw_anew()
        if before is not None and before[1] != marks[1]:
            state.draw_anew()

    look()


def progress(job: Job, instead: Instead | None = None) -> None:
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
            if instead is not None:
                st.button(
                    instead[0], key=f"instead_{job.id}", icon=":material/shuffle:", on_click=instead[1], args=(job,)
                )
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


def title(
    study: Study,
    badges: Sequence[tuple[str, str]],
    actions: Callable[[], None] | None = None,
    heading: str | None = None,
) -> None:
    """The title row of a page of a study: its name, or a heading, badges, and buttons to the right."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="title_row"):
        said = study.name if heading is None else heading
        shown = said if len(said) <= 60 else said[:59] + "…"
        whole = words.plain(said) if shown != said else None
        st.markdown(f"# {words.plain(shown)}", width="content", help=whole)
        for label, color in [*badges, *([("frozen", "gray")] if study.frozen else [])]:
            st.badge(label, color=color)  # type: ignore[arg-type]  # one of the theme's names
        st.space("stretch")
        if actions is not None:
            actions()
