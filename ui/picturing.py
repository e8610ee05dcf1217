"""The dialog that begins a study of pictures: from the bundled model, a folder, or a picture of one's own."""

from __future__ import annotations

from dataclasses import asdict

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
    SEED: "Begin near a picture of yours, with the model that comes along; with a model in a folder, give it there.",
    FOLDER: "A diffusion pipeline that diffusers has saved on this computer. Nothing is downloaded, no code of the "
    "folder is run, and weights are read from safetensors files alone.",
}


@st.dialog("Rank pictures from a model")
def begin() -> None:
    """Ask what draws the pictures, and make the study."""
    gallery(Source.bundled())  # its model is loaded while the person reads
    source = st.radio("Where do they come from?", list(_TEXT), key="pictures_from")
    st.caption(_TEXT[source])
    folder = prompt = ""
    given = None
    if source == FOLDER:
        folder = st.text_input("Folder", key="pipeline_folder", placeholder="/home/me/models/tiny").strip()
        prompt = st.text_input("What to draw (optional)", key="pipeline_prompt", max_chars=300).strip()
    if source != BUNDLED:
        label = "Your picture" if source == SEED else "A picture to begin near (optional)"
        given = st.file_uploader(label, type=["png", "jpg", "jpeg", "webp"], max_upload_size=10,
                                 key="seed_picture" if source == SEED else "folder_picture")  # fmt: skip
    name = st.text_input("Name", key="pictures_name", placeholder="Travel posters", max_chars=200)
    ready = bool(folder) if source == FOLDER else given is not None or source == BUNDLED
    ready = ready and (given is None or _near(given.getvalue(), folder, prompt))
    if st.button("Begin", type="primary", key="pictures_begin", disabled=not ready):
        try:
            with st.spinner("Getting the model ready…"):
                made = create(
                    name.strip() or "Pictures", folder=folder, prompt=prompt,
                    seed_picture=None if given is None else given.getvalue(),
                )  # fmt: skip
        except WorkbenchError as error:
            st.error("**Nothing was made.** " + words.plain(str(error)))
            return
        state.choose(made)
        widgets.go("rank", made)


def _near(data: bytes, folder: str, prompt: str) -> bool:
    """Show a given picture beside the nearest that the model draws; whether there is one."""
    try:
        with st.spinner("Looking for the nearest that the model can draw…"):
            nearest = nearest_picture(data, folder, prompt)
    except ProblemError as error:
        st.error(words.plain(str(error)))
        return False
    with st.container(horizontal=True):
        st.image(data, "Yours", width=128)
        st.image(nearest.data, "The nearest found", width=128)
    small = "" if folder else "The model draws small pictures like emoji: "
    st.caption(f"{small}{'A' if folder else 'a'} likeness, no copy. Round 1 shows small changes of it.")
    return True


def nearest_picture(data: bytes, folder: str = "", prompt: str = "") -> Rendered:
    """What a model draws from the latent that it finds for a picture file.

    Args:
        data: The file.
        folder: Where a pipeline lies; "" for the bundled model.
        prompt: What the pipeline is told to draw.
    Raises:
        ProblemError: if the file is no picture, the folder holds no pipeline, or it cannot be gone back through.
    """
    pictures = gallery(_source(folder, prompt))
    return pictures.drawn({"z": pictures.latent_of(data)})


def _source(folder: str, prompt: str) -> Source:
    return Source.pipeline(folder, prompt) if folder else Source.bundled()


def create(name: str, *, folder: str = "", prompt: str = "", seed_picture: bytes | None = None) -> str:
    """Make a study that people judge, with its source noted; the name that it got.

    Raises:
        ProblemError: if the folder holds no pipeline, the file no picture, or the model cannot be gone back through.
    """
    source = _source(folder, prompt)
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
