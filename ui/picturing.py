"""The dialog that begins a study of pictures: from the bundled model, a folder, or a picture of one's own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import streamlit as st

from problems.generative import emoji
from ui import state, widgets
from ui.gallery import Source, gallery
from ui.presenters import examples, words
from workbench.build import create_study
from workbench.errors import ProblemError, WorkbenchError
from workbench.problem import Preference, Rendered

BUNDLED, SEED, FOLDER = "Small colourful pictures", "A picture of mine", "A model in a folder"
_TEXT = {
    BUNDLED: "Emoji-like pictures by the model that comes along. Ready at once.",
    SEED: "Begin near a picture of yours, with the model that comes along.",
    FOLDER: "A diffusion pipeline that diffusers has saved on this computer. Nothing is downloaded, no code of the "
    "folder is run, and weights are read from safetensors files alone.",
}


@st.dialog("Rank pictures from a model")
def begin() -> None:
    """Ask what draws the pictures, and make the study."""
    gallery(Source.bundled())  # its model is loaded while the person reads
    source = st.radio("Where do they come from?", list(_TEXT), key="pictures_from")
    st.caption(_TEXT[source])
    given = folder = prompt = None
    if source == SEED:
        given = st.file_uploader("Your picture", type=["png", "jpg", "jpeg", "webp"], key="seed_picture",
                                 max_upload_size=10)  # fmt: skip
    if source == FOLDER:
        folder = st.text_input("Folder", key="pipeline_folder", placeholder="/home/me/models/tiny")
        prompt = st.text_input("What to draw (optional)", key="pipeline_prompt", max_chars=300)
    name = st.text_input("Name", key="pictures_name", placeholder="Travel posters", max_chars=200)
    ready = (source != FOLDER or bool(folder and folder.strip())) and (source != SEED or _near(given))
    if st.button("Begin", type="primary", key="pictures_begin", disabled=not ready):
        try:
            with st.spinner("Getting the model ready…"):
                made = create(
                    name.strip() or "Pictures", folder=(folder or "").strip(), prompt=(prompt or "").strip(),
                    seed_picture=None if given is None else given.getvalue(),
                )  # fmt: skip
        except WorkbenchError as error:
            st.error("**Nothing was made.** " + words.plain(str(error)))
            return
        state.choose(made)
        widgets.go("rank", made)


def _near(given: Any) -> bool:
    """Show a given picture beside the nearest that the model draws; whether there is one."""
    if given is None:
        return False
    data: bytes = given.getvalue()
    try:
        with st.spinner("Looking for the nearest that the model can draw…"):
            nearest = nearest_picture(data)
    except ProblemError as error:
        st.error(words.plain(str(error)))
        return False
    with st.container(horizontal=True):
        st.image(data, "Yours", width=128)
        st.image(nearest.data, "The nearest found", width=128)
    st.caption("The model draws small pictures like emoji: a likeness, no copy. Round 1 shows small changes of it.")
    return True


def nearest_picture(data: bytes) -> Rendered:
    """What the bundled model draws from the latent that it finds for a picture file.

    Raises:
        ProblemError: if the file is no picture.
    """
    pictures = gallery(Source.bundled())
    return pictures.drawn({"z": pictures.latent_of(data)})


def create(name: str, *, folder: str = "", prompt: str = "", seed_picture: bytes | None = None) -> str:
    """Make a study that people judge, with its source noted; the name that it got.

    Raises:
        ProblemError: if the folder holds no pipeline, or the file no picture.
    """
    source = Source.pipeline(folder, prompt) if folder else Source.bundled()
    pictures = gallery(source)
    space = pictures.space() if folder else emoji().space  # the bundled model need not be loaded for it
    options = {} if seed_picture is None else {"start": {"z": pictures.latent_of(seed_picture).tolist()}}
    made = examples.free_name(name, state.storage())
    study = create_study(
        made, space, [Preference("picture")], sampler={"name": "rank_sgd", "options": options}, storage=state.storage()
    )
    study.annotate(attrs={"pictures": asdict(source)})
    if seed_picture is not None:
        study.files.put("seed picture", seed_picture, "application/octet-stream")
    return made
