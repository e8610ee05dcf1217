"""What the model believes: verdicts first, then the figures that prove them; sliders move where the slices stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from ui import believing, figures, state, widgets
from ui.presenters import modelling, words
from workbench import plots
from workbench.analysis import widened
from workbench.errors import WorkbenchError
from workbench.markup import shorten
from workbench.plots.belief import existing, filled
from workbench.study import Study
from workbench.study.doors import LAYERS, layer_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from ui.presenters.modelling import Findings

CARD = 346  # px; three and their gaps fit the page at 1400 px
MOST = 5_000  # points of a chart
KNOBS = 12  # sliders; with more knobs, those that matter most
_TABS = ("Summary", "Slices", "Contours", "Calibration", "Importance", "Limits")
_LAYERS = {"mean": "Expected", "sd": "Uncertainty", "acquisition": "Expected gain", "feasibility": "Holds the limits"}


def draw() -> None:
    """Draw the page."""
    name = state.chosen()
    if name is None:
        widgets.no_study()
        return
    study = state.study(name)
    found = believing.findings(study)
    fresh = believing.fresh(study, found)
    badge = [modelling.state_of(found, fresh)] if found is not None else []
    widgets.title(study, badge, lambda: _pick(found), "What the model believes")
    widgets.flash()
    widgets.follow(study, kinds=("analysis",))
    widgets.ended(name, "analysis")
    if not study.history().measured:
        widgets.empty("thumbs_up_down", "Nothing is measured here",
                      "This study is judged by people: rank the runs to say which are better.")  # fmt: skip
        return
    if found is None:
        _waiting(study)
        return
    if not fresh:
        _stale(study, found)
    if found.model.surrogate is None:
        _no_model(study, found)
        return
    quantity = _quantity(found)
    tabs = st.tabs(_TABS, on_change="rerun", key="model_tabs")
    for tab, body in zip(tabs, (_summary, _slices, _contours, _calibration, _importance, _limits), strict=True):
        if tab.open:
            with tab:
                body(study, found, quantity)


# -- states ----------------------------------------------------------------------------------------


def _waiting(study: Study) -> None:
    """Nothing is known yet: begin, and keep the room of what is to come."""
    jobs = state.jobs()
    if jobs.active(study.name, "analysis") is None:
        if jobs.latest_state(study.name, "analysis") in ("failed", "cancelled"):
            st.button("Look again", type="primary", key="look_again", icon=":material/refresh:",
                      on_click=believing.look, args=(study,))  # fmt: skip
            return
        believing.look(study)
    with st.container(horizontal=True, gap="small"):
        for _ in range(3):
            with st.container(border=True, width=CARD):
                st.skeleton(height=110)
    st.skeleton(height=320)


def _stale(study: Study, found: Findings) -> None:
    done = int(study.history().finished.sum())
    running = state.jobs().active(study.name, "analysis") is not None
    with st.container(border=True, key="stale"), st.container(horizontal=True, vertical_alignment="center"):
        at = f"Computed from {words.count(found.runs, 'run')}; now there are {done:,}."
        if done == found.runs:
            at = f"Computed from {words.count(found.runs, 'run')}; some of them have changed since."
        st.markdown(f":orange[:material/history:] {at} What stands below is still readable.")
        st.space("stretch")
        st.button("Compute again", key="recompute", icon=":material/refresh:", disabled=running,
                  on_click=believing.look, args=(study,))  # fmt: skip


def _no_model(study: Study, found: Findings) -> None:
    """Why there is no model, what that means for suggestions, and what the record says by itself."""
    few = int(study.history().complete.sum()) < 2
    title = "Too few results for a model" if few else "There is no model of this study"
    widgets.empty("psychology", title, words.plain(found.model.missing[:1].upper() + found.model.missing[1:] + "."))
    st.caption("Suggestions are spread evenly over your knobs meanwhile.", text_alignment="center")
    with st.container(horizontal=True, horizontal_alignment="center"):
        if st.button("Go to the run sheet", type="primary", key="to_run"):
            widgets.go("run")
    _cards(study, [card for card in modelling.cards(found, None) if not card.key.startswith("model")])


# -- what is looked at -------------------------------------------------------------------------------


def _pick(found: Findings | None) -> None:
    """The goal or limit that the page speaks of."""
    if found is None or found.model.surrogate is None:
        return
    names = modelling.quantities(found)
    if len(names) > 1:
        st.segmented_control(
            "Goal", names, default=_quantity(found), required=True, key="quantity", label_visibility="collapsed",
            format_func=lambda name: words.plain(shorten(name, 24)), on_change=_picked,
        )  # fmt: skip


def _picked() -> None:
    state.put(state.QUANTITY, st.session_state["quantity"])


def _quantity(found: Findings) -> str:
    names = modelling.quantities(found)
    kept = state.get(state.QUANTITY)
    return kept if kept in names else names[0]


def _goal(found: Findings, quantity: str) -> str:
    """The goal of a slice: the chosen one, or the first where a limit is chosen."""
    goals = [goal.name for goal in found.model.history.measured]
    return quantity if quantity in goals else goals[0]


# -- the tabs ----------------------------------------------------------------------------------------


def _summary(study: Study, found: Findings, quantity: str) -> None:
    _cards(study, modelling.cards(found, quantity))
    left, right = st.columns([0.47, 0.53], gap="small")
    with left, st.container(border=True, height="stretch"):
        _importance(study, found, quantity, small=True)
    with right, st.container(border=True, height="stretch"):
        _calibration(study, found, quantity, small=True)
    with st.container(border=True):
        place = _held(found, "summary")
        goal = _goal(found, quantity)
        names = modelling.important(found, goal)
        for column, name in zip(st.columns(len(names)) if names else [], names, strict=True):
            with column:
                _slice(found, goal, name, place.params, small=True)
        _held_where(found, place)


def _slices(study: Study, found: Findings, quantity: str) -> None:
    """Slices that follow the sliders; only this part of the page is drawn anew."""
    goal = _goal(found, quantity)
    able = [name for name in study.space.names if plots.can_slice(found.model.history.space, name)]
    if not able:
        st.caption("No knob of this study has a single axis to draw along.")
        return

    @st.fragment
    def body() -> None:
        if goal != quantity:
            st.caption(f"{words.plain(quantity)} is a limit; slices are drawn of {words.plain(goal)}.")
        chosen = st.multiselect("Knobs", able, modelling.important(found, goal, 2), key=f"slice_knobs {study.name}")
        params = _moved(found, "slices")
        for name in chosen:
            _slice(found, goal, name, params)

    body()


def _contours(study: Study, found: Findings, quantity: str) -> None:
    goal = _goal(found, quantity)
    space = found.model.history.space
    able = [name for name in space.names if plots.can_slice(space, name)]
    if len(able) < 2:
        st.caption("A contour needs two knobs that each have a single axis.")
        return

    @st.fragment
    def body() -> None:
        first = modelling.important(found, goal, 2)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            x = st.selectbox("Across", able, able.index(first[0]), key=f"contour_x {study.name}", width=220)
            rest = [name for name in able if name != x]
            second = first[1] if first[1] in rest else rest[0]
            y = st.selectbox("Up", rest, rest.index(second), key=f"contour_y {study.name}", width=220)
            layers = [one for one in LAYERS if one != "feasibility" or found.model.history.constraints]
            layer = st.segmented_control("Layer", layers, default="mean", required=True, key="layer",
                                         format_func=_LAYERS.__getitem__)  # fmt: skip
        params, history = _moved(found, "contours", without=(x, y)), found.model.history
        edge = found.model.chance if history.constraints else None

        def made() -> Figure:
            return plots.contour(
                history, x, y, goal, found.model.along(goal), params,
                ground=layer_of(found.model, goal, str(layer)), feasible=edge, most=MOST,
            )  # fmt: skip

        _figure(made, lambda: plots.contour_table(history, x, y, goal), "contour")

    body()


def _calibration(study: Study, found: Findings, quantity: str, *, small: bool = False) -> None:
    seen = found.model.diagnose().calibration[quantity]
    _figure(lambda: plots.calibration(seen), lambda: plots.calibration_table(seen), "calibration", small=small)


def _importance(study: Study, found: Findings, quantity: str, *, small: bool = False) -> None:
    shares = found.model.importance(quantity)[quantity]
    _figure(lambda: plots.importance(shares), lambda: plots.importance_table(shares), "importance", small=small)


def _limits(study: Study, found: Findings, quantity: str) -> None:
    """What is held and where: each limit as measured, and the verdicts about it."""
    history = found.model.history
    if not history.constraints and not (history.failed | history.infeasible).any():
        st.caption("This study has no limits, and no run failed.")
        return
    _cards(study, [c for c in modelling.cards(found, None) if c.key.startswith("feasibility")], "limit")
    table: dict[str, list[Any]] = {"Limit": [], "Must hold": [], "Held by": [], "Predicted to ±": []}
    column = 0
    for limit in history.constraints:
        held = history.complete.copy()
        for _ in limit.bounds:
            held &= history.C[:, column] <= 0
            column += 1
        table["Limit"].append(limit.name)
        table["Must hold"].append(limit.label.replace("<=", "≤"))
        table["Held by"].append(f"{int(held.sum())} of {words.count(int(history.complete.sum()), 'run')}")
        seen = found.model.diagnose().calibration[limit.name]
        table["Predicted to ±"].append(f"{seen.rmse:.2g}" if len(seen) else "–")
    if history.constraints:
        st.dataframe(table, hide_index=True, alt="Limits, how many runs hold each, and how well it is predicted")
    if found.best is not None:
        sure = 100 * min(found.best.feasible, 0.99)
        st.markdown(f"The recommended point holds every limit with a probability of {sure:.0f} %.")


# -- pieces ------------------------------------------------------------------------------------------


def _cards(study: Study, cards: list[modelling.Card], prefix: str = "verdict") -> None:
    row = st.container(horizontal=True, gap="small", key=f"{prefix}s")
    for card in cards:
        icon, color = modelling.ICONS[card.level]
        with row.container(border=True, width=CARD, height="stretch", gap="small", key=f"{prefix}_{card.key}"):
            st.markdown(f":{color}[:material/{icon}: {card.word}]")
            st.markdown(f"**{words.plain(card.title)}**")
            st.caption(words.plain(card.text))
            if card.lock:
                st.button(words.plain(shorten(card.button, 60)), key=f"{prefix}_lock_{card.key}",
                          icon=":material/lock:", on_click=_lock, args=(card.lock,))  # fmt: skip
            elif card.widen and st.button(words.plain(shorten(card.button, 60)), key=f"{prefix}_widen_{card.key}",
                                          icon=":material/open_in_full:"):  # fmt: skip
                _widen(study, dict(card.widen))


def _lock(values: Mapping[str, Any]) -> None:
    state.put(state.LOCKS, {**state.get(state.LOCKS, {}), **values})
    state.say(f"Locked in the next suggestions: {', '.join(values)}. The run sheet can unlock them.")


@st.dialog("Widen a knob")
def _widen(study: Study, changes: dict[str, tuple[Any, Any]]) -> None:
    """Move a bound; the record is kept, and the next suggestions may go further."""
    for name, (low, high) in list(changes.items()):
        old: Any = study.space[name]
        unit = f", in {old.unit}" if old.unit else ""
        st.write(f"{words.plain(name)} goes from {old.low} to {old.high} now{words.plain(unit)}.")
        ends = st.columns(2)
        changes[name] = (
            ends[0].number_input("Lowest", value=low, key="widen_low"),
            ends[1].number_input("Highest", value=high, key="widen_high"),
        )
    st.caption("Every run stays in the record, and the model learns from all of them.")
    if st.button("Widen", type="primary", key="widen_yes"):
        try:
            study.change_space(widened(study.space, changes))
        except WorkbenchError as error:
            st.error(words.plain(str(error)))
            return
        state.say(f"Suggestions may go further now in {', '.join(changes)}.")
        st.rerun()


def _slice(found: Findings, goal: str, name: str, at: Mapping[str, Any], *, small: bool = False) -> None:
    history = found.model.history

    def made() -> Figure:
        drawn = plots.slice(history, name, goal, found.model.along(goal), at, most=MOST)
        if small:
            drawn.update_layout(title=None, showlegend=False, height=300, margin={"l": 8, "r": 8, "t": 12, "b": 48})
        return drawn

    _figure(made, lambda: plots.slice_table(history, name, goal), f"slice_{name}{'_small' if small else ''}")


@figures.in_words()
def _figure(
    made: Callable[[], Figure], table: Callable[[], dict[str, list[Any]]], key: str, *, small: bool = False
) -> None:
    """A figure with its table; the heading of a small one stands above it, where it wraps."""
    try:
        drawn = made()
    except WorkbenchError as error:  # such as a knob that does not exist at the point where the others are held
        st.caption(words.plain(str(error)))
        return
    if small and drawn.data:
        st.markdown(f"**{words.plain(drawn.layout.meta['title'])}**")
        st.caption(words.plain(drawn.layout.meta["caption"]))
        drawn.update_layout(title=None, margin_t=12, height=340)
    widgets.figure(drawn, table, key=f"model_{key}{'_small' if small else ''}")


def _held(found: Findings, key: str) -> modelling.Place:
    """Where the other knobs are held."""
    places = modelling.places(found)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("### One knob at a time", width="content")
        st.caption("Band: ± 2 sd. Ticks: where it was tried.")
        st.space("stretch")
        words_ = [place.word for place in places]
        chosen = st.selectbox("Others held at", words_, key=f"held_{key}", width=300, label_visibility="collapsed")
    return places[words_.index(chosen)]


def _held_where(found: Findings, place: modelling.Place) -> None:
    units = {p.name: p.unit for p in found.model.history.space if p.unit}
    st.caption(f"Held at {words.plain(place.word)}: {words.plain(words.values(place.params, units))}.")


def _moved(found: Findings, key: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The point that the sliders stand at: they begin at a named place."""
    history, places = found.model.history, modelling.places(found)
    names = [place.word for place in places]
    chosen = st.selectbox("Others held at", names, key=f"held_{key}", width=300)
    base = filled(history.space, places[names.index(chosen)].params)
    ranked = modelling.important(found, history.measured[0].name, len(history.space))
    shown = [name for name in ranked if name not in without][:KNOBS]
    for column, names_ in zip(st.columns(3), (shown[i::3] for i in range(3)), strict=True):
        with column:
            for name in names_:
                mark = f"hold {key} {chosen} {name} {found.mark}"
                base[name] = _slider(history.space[name], base[name], mark)
    if len(ranked) - len(without) > KNOBS:
        st.caption(f"Sliders for the {KNOBS} knobs that matter most; the others stay where they are.")
    return existing(history.space, base)


def _slider(parameter: Any, value: Any, key: str) -> Any:
    """A control for one knob."""
    title = words.plain(f"{shorten(parameter.name, 30)}{f' [{parameter.unit}]' if parameter.unit else ''}")
    if parameter.kind == "bool":
        return st.toggle(title, bool(value), key=key)
    if parameter.kind in ("categorical", "ordinal"):
        choices = list(parameter.choices)
        return st.select_slider(title, choices, value, key=key, format_func=lambda one: words.plain(str(one)))
    if parameter.kind == "int":
        return st.slider(title, parameter.low, parameter.high, min(max(value, parameter.low), parameter.high), key=key)
    if parameter.log:
        levels = parameter.decode(_steps())
        near = min(levels, key=lambda one: abs(one - value))
        return st.select_slider(title, levels, near, key=key, format_func=lambda one: f"{one:.3g}")
    step = parameter.step or (parameter.high - parameter.low) / 100
    low, high = float(parameter.low), float(parameter.high)
    return st.slider(title, low, high, min(max(float(value), low), high), float(step), key=key)


def _steps() -> Any:
    import numpy as np

    return np.linspace(0, 1, 61)[:, None]


draw()
