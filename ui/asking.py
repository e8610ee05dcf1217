"""Asking for runs from a page: at once where that takes milliseconds, beside the pages where a model has to think."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ui import state, widgets, work
from ui.jobs import Job
from ui.presenters import runs, words
from workbench.errors import WorkbenchError
from workbench.study import Study

FEW = 3  # results below which every sampler spreads its runs, which takes milliseconds
MOST = 32  # runs of one ask


def suggest(
    study: Study, n: int, *, near: int | None = None, sampler: str | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Ask for runs; the page shows them, or the progress of the search for them. Arguments as of `Study.ask`."""
    limits = dict(thresholds or {})
    if sampler is None and (why := stand_in(study, near=near is not None, limits=bool(limits))):
        sampler = "auto"
        state.say(why, "warning")
    fixed = dict(state.get(state.LOCKS, {}))
    order = work.Ask(state.storage_url(), study.name, n, fixed, near, sampler, thresholds=limits)
    waiting = int(study.history().in_state("waiting").sum())  # type: ignore[arg-type]  # a StrEnum equals its text
    quick = (sampler or study.sampler.name) in work.CHEAP or int(study.history().complete.sum()) < FEW or waiting >= n
    if not quick:
        job = state.jobs().submit("ask", study.name, f"Looking for the next {words.count(n, 'run')}", work.ask, order)
        state.jobs().wait(job.id, 0.3)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stored with each trial, and shown on its card
            study.ask(n, fixed=fixed, near=near, sampler=sampler, thresholds=limits)
    except WorkbenchError as error:
        state.say(str(error), "error")


def stand_in(study: Study, *, near: bool = False, limits: bool = False) -> str:
    """Why another method than the study's own has to look for such runs, in a sentence; "" where its own can."""
    wanted = {"near": (near, "stay near a run"), "thresholds": (limits, "aim at limits")}
    lacking = [what for need, (asked, what) in wanted.items() if asked and need not in study.sampler.serves]
    if not lacking:
        return ""
    return f"{study.sampler.name} cannot {' or '.join(lacking)}: for these runs, another method stands in."


def spread_out(study: Study) -> widgets.Instead:
    """The way out of a long search: end it, and spread as many runs evenly instead."""

    def stop(job: Job) -> None:
        state.jobs().cancel(job.id)
        state.jobs().wait(job.id, 5.0)  # its process holds the right to ask until it has ended
        state.jobs().forget(job.id)
        order = job.argument
        if isinstance(order, work.Ask):
            suggest(study, order.n, sampler="sobol")

    return "Stop, give me spread-out runs", stop


def suggest_button(study: Study, *, primary: bool, disabled: bool) -> None:
    """How many, and the button."""
    st.number_input("How many", 1, MOST, 3, key="how_many", label_visibility="collapsed", width=110)
    widgets.action(study, "Suggest", type="primary" if primary else "secondary", key="suggest", icon=":material/star:",
                   disabled=disabled, on_click=_suggest, args=(study,), shortcut="Alt+S")  # fmt: skip


def _suggest(study: Study) -> None:
    if not state.again("suggest"):
        suggest(study, int(st.session_state["how_many"]))


def lock_button(study: Study) -> None:
    """Knobs held at a value in the next suggestions."""
    locks: dict[str, Any] = dict(state.get(state.LOCKS, {}))
    label = f"Lock knobs ({len(locks)})" if locks else "Lock knobs"
    with st.popover(label, icon=":material/lock:", key="lock_knobs"):
        st.caption("Hold knobs at a value in the next suggestions.")
        names = [p.name for p in study.space if p.kind in ("float", "int", "categorical", "ordinal", "bool")]
        held = st.multiselect(
            "Locked knobs", names, default=[name for name in names if name in locks], key="lock_names"
        )
        titles = {field.name: field.title for field in runs.knob_fields(study)}
        chosen = {name: widgets.knob(study.space[name], titles[name], locks.get(name), f"lock {name}") for name in held}
        if chosen != locks:
            state.put(state.LOCKS, chosen)
