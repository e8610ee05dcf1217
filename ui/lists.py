"""The question of the Rank page in plain fields, for those who cannot use the board, or do not want to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from ui import state
from ui.presenters import ranking, words

_ACROSS, _SIDE = 3, 224  # pictures in a row, and their width: two rows fit a window
_NOTHING = "nothing is placed"
_SAY = {"none": "None of these will do", "same": "All the same to me", "cannot": "I can’t tell, show others",
        "skip": "Skip"}  # fmt: skip

Act = Callable[[dict[str, Any]], None]


def draw(data: Mapping[str, Any], act: Act) -> None:
    """Draw the question.

    Args:
        data: What the board would show.
        act: Does what was asked for: "kind", "question" and "groups", as `ranking.act` takes them.
    """
    st.markdown("### Which do you like best?")
    left = f", {data['left']}" if data["left"] else ""
    st.caption(f"{words.plain(data['study'])}. Round {data['round']}{left}.")
    if data["trouble"]:
        st.error(words.plain(data["trouble"]))
    if data["retry"]:
        st.button("Try again", key="lists_retry", on_click=act, args=({"kind": "retry"},))
    if state.get(_NOTHING):
        st.warning("Put at least one picture in order first.")
        state.put(_NOTHING, False)
    cards, closed = data["cards"], data["closed"] or data["question"] is None
    ready = all(card["state"] == "ready" for card in cards) and not closed
    with st.form("lists", border=False):
        _cards(data)
        st.caption("The same place twice is a tie. Those without a place come after all others.")
        st.form_submit_button("Done, next round", type="primary", key="lists_done", disabled=not ready,
                              on_click=_placed, args=(data, act))  # fmt: skip
    with st.container(horizontal=True):
        for kind, text in _SAY.items():
            able = not closed and (ready or kind in ("cannot", "skip"))
            st.button(text, key=f"lists_{kind}", disabled=not able, on_click=act,
                      args=({"kind": kind, "groups": [], "question": data["question"]},))  # fmt: skip
        for kind in ("undo", "redo"):
            st.button(kind.capitalize(), key=f"lists_{kind}", disabled=data["closed"] or not data[kind], on_click=act,
                      args=({"kind": kind},))  # fmt: skip
    if data["waiting"]:
        st.button("Show what is drawn meanwhile", key="lists_look")
    if data["favourite"] is not None:
        with st.expander("Your favourite so far"):
            st.text("\n".join(data["favourite"]["lines"]))


def _cards(data: Mapping[str, Any]) -> None:
    cards = data["cards"]
    places = {n: i for i, group in enumerate(data["draft"] or []) for n in group}
    options = [None, *range(len(cards))]
    across = 2 if state.narrow() else _ACROSS
    for row in range(0, len(cards), across):
        for column, card in zip(st.columns(across), cards[row : row + across], strict=False):
            name = f"Picture {cards.index(card) + 1}"
            with column:
                if card["lines"]:
                    st.text("\n".join(f"{label} {value}" for label, value in card["lines"]))
                elif card["src"]:
                    st.image(card["src"], alt=f"{name}: {card['alt']}", width=_SIDE)
                else:
                    st.text(card["alt"] if card["state"] == "failed" else "Drawing…")
                st.selectbox(name, options, options.index(places.get(card["id"])), key=_key(data, card),
                             format_func=lambda i: "No place" if i is None else ranking.nth(i))  # fmt: skip
    if data["same"]:
        st.text(data["same"])


def _key(data: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    return f"place of {card['id']} in {data['study']} {data['turn']}"


def _placed(data: Mapping[str, Any], act: Act) -> None:
    places = {card["id"]: st.session_state[_key(data, card)] for card in data["cards"]}
    groups = ranking.groups_of(places)
    if not groups:
        state.put(_NOTHING, True)
        return
    act({"kind": "order", "groups": groups, "question": data["question"]})
