"""The board of the Rank page as Streamlit has it: a component of our own, told what to draw as plain data."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from workbench.problem import Rendered

_HERE = Path(__file__).parent
KEY = "board"
_board = st.components.v2.component(
    "board", html='<div class="board" role="application" aria-label="Rank pictures"></div>',
    css=(_HERE / "board.css").read_text(), js=(_HERE / "board.js").read_text(),
)  # fmt: skip


def draw(data: Mapping[str, Any], act: Callable[[], None], draft: Callable[[], None]) -> None:
    """Draw the board.

    Args:
        data: What it shows, as `board.js` reads it.
        act: Called when the person has done something; `said` tells what.
        draft: Called a moment after the order that is being made has changed.
    """
    _board(key=KEY, data=dict(data), on_act_change=act, on_draft_change=draft, on_look_change=lambda: None)


def said(name: str) -> Mapping[str, Any] | None:
    """What the board last said under a name; for its callbacks."""
    found = st.session_state[KEY].get(name)
    return found if isinstance(found, Mapping) else None


def source(picture: Rendered | None) -> str | None:
    """A picture as an address that holds it."""
    return None if picture is None else f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode()}"
