"""Take a picture along: the file itself, and the recipe that draws it again."""

from __future__ import annotations

import functools
import json

import streamlit as st

from ui.presenters import ranking
from workbench.study import Study


def take_along(study: Study, number: int, label: str, key: str) -> None:
    """Draw the buttons that download a picture and its recipe.

    Args:
        study: Whose picture it is.
        number: Of the trial.
        label: What people call it; names the files.
        key: Of the buttons.
    """
    picture = study.feedback.picture(number)
    if picture is None:
        st.caption("There is no picture of it.")
        return
    ending = picture.mime.partition("/")[2].partition("+")[0]
    st.download_button("Picture", picture.data, f"{label}.{ending}".lower(), picture.mime,
                       on_click="ignore", key=f"{key}_picture")  # fmt: skip
    if ranking.redrawable(study):
        st.download_button("Recipe", functools.partial(_text, study, number), f"{label}.json".lower(),
                           "application/json", on_click="ignore", key=f"{key}_recipe")  # fmt: skip
        st.caption("The recipe draws the very same picture again; the file says how.")


def _text(study: Study, number: int) -> str:
    return json.dumps(ranking.recipe(study, number))
