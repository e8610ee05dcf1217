"""Trade-offs: the front and how sure it is; limits, what they cost and what is left to gain; a few runs compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from ui import asking, believing, dialogs, figures, state, widgets
from ui.presenters import exporting, modelling, tradeoffs, words
from ui.presenters.tradeoffs import Belief
from workbench import analysis, plots
from workbench.errors import WorkbenchError
from workbench.markup import shorten
from workbench.study import Study

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ui.presenters.modelling import Findings
    from workbench.trial import History

MOST = 5_000  # points of a chart
MARKS = 1_800  # of one that is drawn anew at every move of a limit, in all its views together; the front comes on top
ROWS = 5_000  # of the table
NEXT = 3  # suggestions
PAIRS, CUBE, MATRIX, LINES, HEAT, TABLE = "Pairs", "3-D", "Matrix", "Parallel", "Heat map", "Table"
PICKABLE = (PAIRS, MATRIX)  # charts in which runs can be picked; a browser says nothing of those in the other ones
IN_CHART = "Draw a box around some runs to pick them. To pick one by a click, turn on Pan above the figure."
PARTS = {"beaten": "Beaten runs", "over a limit": "Over a limit", "next": "Next runs",
         "front the model expects": "Front the model expects", "reference point": "Reference point"}  # fmt: skip
WISHES = {"improve": "Improve", "keep": "Keep", "relax": "May get worse", "free": "Anything"}


def draw() -> None:
    """Draw the page."""
    name = state.chosen()
    if name is None:
        widgets.no_study()
        return
    study = state.study(name)
    history = study.history()
    if len(history.measured) < 2:
        _nothing_to_trade(study)
        return
    found = _findings(study)
    belief = _belief(study, found)
    ahead = int(history.front.sum())
    badges = [(f"{words.count(ahead, 'run')} on the front", "blue")] if ahead else []
    chosen = study.chosen
    badges += [(f"run {chosen.number} is chosen", "green")] if chosen is not None else []
    widgets.title(study, badges, lambda: _actions(study), "Trade-offs")
    widgets.flash()
    if history.complete.any():
        first, bold, after = tradeoffs.lead(history, belief)
        st.markdown(words.plain(first) + (f"**{words.plain(bold)}**" if bold else "") + words.plain(after))
    if bare := tradeoffs.left_out(history):
        st.caption(words.plain(bare))
    widgets.follow(study, asking.spread_out(study), kinds=("ask", "analysis"))
    widgets.ended(name, "ask")
    widgets.ended(name, "analysis")
    if not history.complete.any():
        widgets.empty("bubble_chart", "No trade-offs yet", "They show once runs have a result in each goal.")
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button("Go to the run sheet", type="primary", key="to_run"):
                widgets.go("run")
        return
    _stale(study, found)

    @st.fragment
    def body() -> None:
        _chart(study, belief)
        if history.front.any():
            _limits(study, belief)
            _compare(study, belief)

    body()
    grown = st.expander("How the front grew", on_change="rerun", key="front_grew")
    if grown.open:
        with grown:
            _reference(study)
            figures.show(study, "hypervolume")


# -- states ----------------------------------------------------------------------------------------


def _nothing_to_trade(study: Study) -> None:
    widgets.title(study, [], None, "Trade-offs")
    measured = study.history().measured
    if not measured:
        widgets.empty("thumbs_up_down", "Nothing is measured here",
                      "This study is judged by people: rank the runs to say which are better.")  # fmt: skip
        return
    goal = words.plain(measured[0].name)
    widgets.empty("bubble_chart", "There is one goal", f"Nothing is traded for {goal}. Its curve is on the Overview.")
    with st.container(horizontal=True, horizontal_alignment="center"):
        if st.button("See the curve", type="primary", key="to_overview"):
            widgets.go("overview")


def _findings(study: Study) -> Findings | None:
    """What the model says; it is kept up to date while that is quick."""
    done = int(study.history().complete.sum())
    found = believing.findings(study)
    usual = believing.ENOUGH <= done <= believing.MOST or (found is None and done > believing.MOST)
    if (
        usual
        and not believing.fresh(study, found)
        and state.jobs().latest_state(study.name, "analysis") in ("", "done")
    ):
        believing.look(study)
    return found


def _belief(study: Study, found: Findings | None) -> Belief:
    if found is None or found.model.surrogate is None:
        return Belief()
    model = found.model
    try:
        front = model.pareto_front()
    except WorkbenchError:  # no complete run has a place in the present space: there is no front to be sure of
        return Belief()
    names = [goal.name for goal in study.history().measured]
    if list(front.objectives) != names:
        return Belief()
    noise = {goal.name: goal.noise for goal in model.belief().goals}
    partly = " ".join(f"{one.claim} {one.because}" for one in found.verdicts if one.about == "model")
    return Belief(front, noise, tuple(modelling.inert(found)), partly)


def _stale(study: Study, found: Findings | None) -> None:
    if found is None or believing.fresh(study, found) or state.jobs().active(study.name, "analysis") is not None:
        return
    with st.container(border=True, key="stale"), st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":orange[:material/history:] How sure the front is was computed from "
                    f"{words.count(found.runs, 'run')}; the record has changed since.")  # fmt: skip
        st.space("stretch")
        st.button("Compute again", key="recompute", icon=":material/refresh:", on_click=believing.look, args=(study,))


# -- the figure --------------------------------------------------------------------------------------


def _actions(study: Study) -> None:
    goals = len(study.history().measured)
    views = [PAIRS, *([CUBE] if goals == 3 else [MATRIX] if goals > 3 else []), LINES,
             *([HEAT] if goals > 3 else []), TABLE]  # fmt: skip
    st.segmented_control("View", views, default=PAIRS, required=True, key="view", label_visibility="collapsed",
                         format_func=lambda one: _title(one, goals))  # fmt: skip
    with st.popover("Show", icon=":material/tune:", key="show_parts"):
        st.pills("In the figure", list(PARTS), default=list(PARTS), selection_mode="multi", key="parts",
                 format_func=PARTS.__getitem__)  # fmt: skip
        st.toggle("Goals from 0 to 1", key="normalise",
                  help="0 is the worst of a goal on the front, 1 the best; more is better on every axis")  # fmt: skip
        if goals > 2:
            names = [goal.name for goal in study.history().measured]
            st.multiselect("Two or three goals to draw", names, names[:3], max_selections=3,
                           key=f"goals {study.name}", format_func=words.plain)  # fmt: skip
    if st.button("Export", icon=":material/download:", key="to_export"):
        widgets.go("settings")


def _title(view: str, goals: int) -> str:
    return {2: "Plane"}.get(goals, "Three views") if view == PAIRS else view


def _chart(study: Study, belief: Belief) -> None:
    history = state.shown().apply(study.history())
    view = st.session_state.get("view", PAIRS)
    if view == TABLE:
        _table(history, belief)
        _selection(study, "Tick runs in the table to pick them.")
        return
    with st.container(border=True):
        figure, table = _figure(study, history, belief, str(view))
        on: dict[str, Any] = {}
        if view in PICKABLE:
            on = {"on_select": partial(_picked_in_chart, view), "selection_mode": ("points", "box", "lasso")}
        if view == PAIRS and (caption := figure.layout.meta["caption"]):
            st.caption(words.plain(f"{caption} {belief.partly}"))
        widgets.figure(figure, table, f"front_{view}", **on)
    if view in PICKABLE:
        _selection(study)


@figures.in_words()
def _figure(
    study: Study, history: History, belief: Belief, view: str
) -> tuple[Figure, Callable[[], Mapping[str, Any]]]:
    normalise = bool(st.session_state.get("normalise"))
    if view == LINES:
        return plots.parallel(history), lambda: plots.parallel_table(history)
    if view == HEAT:
        return plots.heat_map(history), lambda: plots.heat_map_table(history)
    if view in (CUBE, MATRIX):
        figure = plots.pareto(history, most=MOST, normalise=normalise)
        if view == MATRIX and figure.data:
            _pick(figure, state.get(state.PICKED, []))
        return figure, lambda: plots.pareto_table(history)
    names = st.session_state.get(f"goals {study.name}") or []
    pairs = 1 if len(names if len(names) > 1 else history.measured) == 2 else 3
    marked = dict.fromkeys(state.get(state.PICKED, []), "")
    marked |= dict(zip(_tray(), tradeoffs.LETTERS, strict=False))
    figure = plots.tradeoffs(
        history, names if len(names) > 1 else None, front=belief.front, limits=_stated(), marked=marked,
        noise=belief.noise, across=not state.narrow(), most=MARKS // pairs,
        without=set(PARTS) - set(st.session_state.get("parts", PARTS)), normalise=normalise,
    )  # fmt: skip
    if figure.data:
        figure.update_layout(title=None, margin_t=36, margin_b=64, clickmode="event+select", dragmode="select")
    return figure, lambda: plots.tradeoffs_table(history, front=belief.front)


def _pick(figure: Figure, picked: Sequence[int]) -> None:
    """Let runs be picked in a matrix, and show which are."""
    figure.update_layout(clickmode="event+select", dragmode="select")
    for trace in figure.data if picked else ():
        trace.selectedpoints = np.flatnonzero(np.isin(trace.customdata, picked)).tolist()


def _picked_in_chart(view: str) -> None:
    points = st.session_state[f"front_{view}"].selection.points
    numbers = sorted({int(_first(point["customdata"])) for point in points if point.get("customdata") is not None})
    if numbers:  # a chart whose data change says that nothing is selected: what was picked stays, until it is cleared
        state.put(state.PICKED, numbers)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) else value


def _selection(study: Study, how: str = IN_CHART) -> None:
    """What is picked in the chart or in the table, and what can be done with it."""
    history = study.history()
    picked = [number for number in state.get(state.PICKED, []) if number < len(history)]
    with st.container(horizontal=True, vertical_alignment="center", key="selection"):
        if not picked:
            st.caption(how)
            return
        named = ", ".join(map(str, picked[:12])) + (f" and {len(picked) - 12} more" if len(picked) > 12 else "")
        st.markdown(f"**{words.count(len(picked), 'run')} picked:** {named}", width="content")
        st.space("stretch")
        st.button("Compare", key="to_tray", icon=":material/add:", on_click=_add, args=(picked,))
        one = picked[0] if len(picked) == 1 and history.placed[picked[0]] else None
        other = words.plain(asking.stand_in(study, near=True, limits=bool(_stated())))
        widgets.action(study, "Suggest near it", key="near_picked", icon=":material/near_me:", disabled=one is None,
                       help="Pick one run" if one is None else other or None, on_click=_suggest, args=(study, one),
                       )  # fmt: skip
        if widgets.action(study, "Note…", key="note_picked", icon=":material/sell:"):
            dialogs.annotate(study, picked)
        name = exporting.file_name(study, "picked.csv")
        st.download_button(
            "CSV", lambda: exporting.csv(study, only=picked), name, "text/csv", key="picked_csv", on_click="ignore",
            icon=":material/download:", help="The picked runs as a table",
        )  # fmt: skip
        st.button("Turn round", key="invert", icon=":material/flip:", on_click=_invert, args=(study, picked),
                  help="Pick the other runs on the front instead")  # fmt: skip
        st.button("Clear", key="clear_picked", icon=":material/close:", on_click=_clear)


def _invert(study: Study, picked: list[int]) -> None:
    history = study.history()
    state.put(state.PICKED, [n for n in history.numbers[history.front].tolist() if n not in picked])


def _clear() -> None:
    state.put(state.PICKED, [])
    for view in PICKABLE:
        st.session_state.pop(f"front_{view}", None)


def _table(history: History, belief: Belief) -> None:
    import pandas as pd

    columns = plots.tradeoffs_table(history, front=belief.front)
    frame = pd.DataFrame({name: list(cells) for name, cells in columns.items()})
    frame = frame[[state in ("complete", "pruned", "infeasible") for state in frame["state"]]]
    frame = frame.sort_values(["on the front", "trial"], ascending=[False, True]).head(ROWS)
    if len(history) > ROWS:
        st.caption(f"{len(frame):,} of {len(history):,} runs, the whole front first.")
    st.session_state["front_rows"] = frame["trial"].tolist()
    if "probability of the front" in frame:
        frame["probability of the front"] *= 100
    share = st.column_config.ProgressColumn("Truly on the front", format="%.0f %%", min_value=0, max_value=100)
    st.dataframe(frame, hide_index=True, key="front_table", on_select=_picked_in_table, selection_mode="multi-row",
                 column_config=widgets.small(frame) | {
                     "probability of the front": share, "trial": st.column_config.NumberColumn("Run"),
                     "on the front": st.column_config.CheckboxColumn("On the front"), "state": "State"},
                 row_height=31, alt="The runs with their values, those on the front first")  # fmt: skip


def _picked_in_table() -> None:
    numbers = st.session_state["front_rows"]
    rows = st.session_state["front_table"].selection.rows
    state.put(state.PICKED, sorted(int(numbers[row]) for row in rows if row < len(numbers)))


# -- limits ------------------------------------------------------------------------------------------


def _stated() -> dict[str, float]:
    return dict(state.get(state.LIMITS, {}))


def _limits(study: Study, belief: Belief) -> None:
    history = study.history()
    made = tradeoffs.sliders(history)
    if not made:
        return
    limits = {name: value for name, value in _stated().items() if name in {one.name for one in made}}
    left, middle, right = (st.container(), st.container(), st.container()) if state.narrow() else st.columns(
        [0.29, 0.43, 0.28], gap="small")  # fmt: skip
    with left.container(border=True, height="stretch", key="insist"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("#### What you insist on", width="content")
            st.space("stretch")
            st.button("Reset", type="tertiary", key="reset_limits", disabled=not limits, on_click=_reset)
        for one in made:
            key = f"limit {study.name} {one.name} {one.low} {one.high}"
            if key not in st.session_state:
                st.session_state[key] = one.place(limits.get(one.name))
            st.slider(words.plain(one.title), one.low, one.high, step=one.step, format=one.form, key=key,
                      on_change=_moved, args=(one, key))  # fmt: skip
            _ticks(one)
    with middle.container(border=True, height="stretch", key="costs"):
        st.markdown("#### What that costs you")
        text, rows = tradeoffs.cost(history, limits, made, belief)
        st.markdown(words.plain(text))
        st.table({name: [words.plain(cell) for cell in cells] for name, cells in rows.items()}, hide_index=True)
    with right.container(border=True, height="stretch", key="more"):
        st.markdown("#### Look for more here")
        if belief.front is not None:
            said = tradeoffs.chance(history, analysis.prospect(history, belief.front, limits), limits)
            st.markdown(words.plain(" ".join(said)))
        else:
            st.caption("The model says what to expect here once it has learnt from the runs.")
        st.space("stretch")
        busy = state.jobs().active(study.name, "ask") is not None
        widgets.action(study, f"Suggest {NEXT} inside" if limits else f"Suggest {NEXT} for the front", type="primary",
                       key="suggest", icon=":material/near_me:", disabled=busy, on_click=_suggest, args=(study,),
                       width="stretch")  # fmt: skip
        ahead = study.history().next_number
        other = asking.stand_in(study, limits=bool(limits))
        st.caption(f"Goes to the run sheet as runs {ahead} to {ahead + NEXT - 1}. {words.plain(other)}".strip())


def _ticks(slider: tradeoffs.Slider) -> None:
    """Where the runs of the front stand, under the slider; made of numbers alone."""
    color = "#A3AFBB" if widgets.dark() else "#55616E"
    marks = ", ".join(
        f"linear-gradient({color}, {color}) {100 * at:.1f}% 0 / 1.5px 8px no-repeat" for at in slider.ticks
    )
    st.html(f'<div aria-hidden="true" style="height: 8px; margin: -1.4rem 6px 0; background: {marks}"></div>')


def _moved(slider: tradeoffs.Slider, key: str) -> None:
    limits, value = _stated(), slider.limit(float(st.session_state[key]))
    limits.pop(slider.name, None)
    state.put(state.LIMITS, limits if value is None else limits | {slider.name: value})


def _reset() -> None:
    _insist({})


def _insist(limits: Mapping[str, float]) -> None:
    """State limits from elsewhere: the sliders go along."""
    state.put(state.LIMITS, dict(limits))
    for key in [str(key) for key in st.session_state if str(key).startswith("limit ")]:
        del st.session_state[key]


def _suggest(study: Study, near: int | None = None) -> None:
    if not state.again("suggest"):
        asking.suggest(study, NEXT, near=near, thresholds=_stated())


# -- from where fronts are measured ------------------------------------------------------------------


def _reference(study: Study) -> None:
    """The reference point of the hypervolume, to be read and stated anew."""
    history = study.history()
    st.markdown("Volume is measured from the **reference point**: only what is better than it in every goal counts, "
                "and the search looks for nothing beyond it.")  # fmt: skip
    fields = tradeoffs.reference(history)
    with st.form("reference", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        told: dict[str, float | None] = {
            one.name: st.number_input(words.plain(one.title), value=one.stated, placeholder=words.plain(one.automatic),
                                      format="%.6g", key=f"reference {study.name} {one.name} {one.stated}")
            for one in fields
        }  # fmt: skip
        frozen, stated = study.frozen, any(one.stated is not None for one in fields)
        wanted = st.form_submit_button("Measure from here", key="set_reference", disabled=frozen)
        automatic = st.form_submit_button("Back to automatic", key="reset_reference", disabled=frozen or not stated)
    if wanted or automatic:
        kept = {} if automatic else {name: float(value) for name, value in told.items() if value is not None}
        study.set_reference(kept)
        st.rerun()


# -- a few runs compared ---------------------------------------------------------------------------


def _tray() -> list[int]:
    return list(state.get(state.TRAY, []))


def _add(numbers: list[int]) -> None:
    state.put(state.TRAY, tradeoffs.added(_tray(), numbers))


def _remove(number: int | None) -> None:
    state.put(state.TRAY, [] if number is None else [one for one in _tray() if one != number])


def _compare(study: Study, belief: Belief) -> None:
    history, limits = study.history(), _stated()
    columns = tradeoffs.tray(study, _tray(), limits, belief)
    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_row"):
        st.markdown("### Compare", width="content")
        idle = tradeoffs.idle(belief) if columns else ""
        st.caption(("▲ best of those compared. " if len(columns) > 1 else "") + words.plain(idle))
        st.space("stretch")
        st.button("Best compromise", key="add_knee", icon=":material/balance:", on_click=_add,
                  args=([analysis.compromise(history)],),
                  help="The run where the front bends: a little more of one goal costs much of another")  # fmt: skip
        near = analysis.closest(history, limits)
        st.button("Best for your limits", key="add_closest", icon=":material/adjust:", on_click=_add, args=([near],),
                  disabled=not limits, help="The front run that falls short of them least")  # fmt: skip
        if columns:
            _change(study, columns)
            st.button("Clear tray", key="clear_tray", on_click=_remove, args=(None,))
        front = history.numbers[history.front].tolist()
        if widgets.action(study, "Choose a run…", key="choose", icon=":material/flag:"):
            dialogs.choose(study, [one.number for one in columns] or front[:20])
    if not columns:
        st.caption(f"Up to {tradeoffs.TRAY} runs stand here side by side. Pick them in the figure.")
        return
    with st.container(horizontal=True, gap="small", key="tray_heads"):
        for one in columns:
            st.button(f"{one.letter} run {one.number}", key=f"drop_{one.letter}", icon=":material/close:",
                      type="tertiary", on_click=_remove, args=(one.number,), help="Take it out")  # fmt: skip
    table: dict[str, list[str]] = {
        "": [*map(words.plain, tradeoffs.goal_heads(history)), "Truly on the front", "Knobs that differ"]
    }
    for one in columns:
        over = f", :orange[{words.plain(one.over)}]" if one.over else ""
        cells = [f"**{words.plain(text)} ▲**" if best else words.plain(text) for text, best in one.values]
        truly = words.plain(one.truly) + (f"\u2002:blue[**{one.bar}**]" if one.bar else "")
        table[f"**{one.letter}** run {one.number}{over}"] = [*cells, truly, words.plain(one.knobs)]
    st.table(table, hide_index=True)
    if len(columns) > 1 and 2 < len(history.measured) <= plots.LEAVES:
        flowers = st.expander("As petals", on_change="rerun", key="petals")
        numbers = tradeoffs.with_values(history, [one.number for one in columns])
        if flowers.open and numbers:
            with flowers:
                with figures.in_words():
                    drawn = plots.petals(history, numbers)
                st.caption(words.plain(drawn.layout.meta["caption"]))
                widgets.figure(drawn.update_layout(title=None), lambda: plots.petals_table(history, numbers), "flowers")


def _change(study: Study, columns: list[tradeoffs.Column]) -> None:
    """From one run, say of each goal what may become of it: the limits, and the run that meets that best."""
    history = study.history()
    with st.popover("What should change?", icon=":material/swap_vert:", key="change"):
        start = st.selectbox("Start from", columns, format_func=lambda one: f"{one.letter}, run {one.number}",
                             key="change_from")  # fmt: skip
        wishes: dict[str, Any] = {}
        for goal in history.measured:
            wishes[goal.name] = st.segmented_control(
                words.plain(shorten(goal.name, 30)), list(WISHES), default="keep", required=True,
                format_func=WISHES.__getitem__, key=f"wish {study.name} {goal.name}",
            )  # fmt: skip
        try:
            aims, limits = analysis.aspiration(history, start.number, wishes)
        except WorkbenchError:  # nothing to improve, or nothing that may get worse: nothing to look for
            st.caption("Name one goal to improve, and one that may get worse.")
            return
        near = analysis.closest(history, aims)
        made = tradeoffs.sliders(history)
        st.caption(f"As limits: {words.plain(tradeoffs.said(limits, made))}. Closest to the wish so far: run {near}.")
        with st.container(horizontal=True):
            st.button("Set these limits", type="primary", key="set_wish", on_click=_insist, args=(limits,))
            st.button(f"Compare with run {near}", key="wish_closest", on_click=_add, args=([near],))


draw()
