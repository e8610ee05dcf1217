"""The dialog that begins a study of pictures: from the bundled model, a folder, or a picture of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import streamlit as st

from ui import state, widgets
from ui.gallery import Source, gallery
from ui.presenters import examples, words
from workbench.build import create_study, make_sampler
from workbench.errors import ProblemError, WorkbenchError
from workbench.problem import Preference
from workbench.space import Space

BUNDLED, SEED, FOLDER = "Small colourful pictures", "A picture of mine", "A model in a folder"
_TEXT = {
    BUNDLED: "Emoji-like pictures by the model that comes along. Ready at once.",
    SEED: "Begin with a picture of yours: the nearest that the bundled model can draw.",
    FOLDER: "A diffusion pipeline that diffusers has saved on this computer. Nothing is downloaded.",
}


@st.dialog("Rank pictures from a model")
def begin() -> None:
    """Ask what draws the pictures, and make the study."""
    gallery(Source())  # its model is loaded while the person reads
    source = st.radio("Where do they come from?", list(_TEXT), captions=list(_TEXT.values()), key="pictures_from")
    given = folder = prompt = None
    if source == SEED:
        given = st.file_uploader("Your picture", type=["png", "jpg", "jpeg", "webp"], key="seed_picture",
                                 max_upload_size=10)  # fmt: skip
    if source == FOLDER:
        folder = st.text_input("Folder", key="pipeline_folder", placeholder="/home/me/models/tiny")
        prompt = st.text_input("What to draw (optional)", key="pipeline_prompt", max_chars=300)
    name = st.text_input("Name", key="pictures_name", placeholder="Travel posters", max_chars=200)
    ready = (source != SEED or given is not None) and (source != FOLDER or bool(folder and folder.strip()))
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


def create(name: str, *, folder: str = "", prompt: str = "", seed_picture: bytes | None = None) -> str:
    """Make a study that people judge, with its source noted; the name that it got.

    Raises:
        ProblemError: if the folder holds no pipeline, or the file no picture.
    """
    source = Source("folder", str(Path(folder).expanduser()), prompt, 20) if folder else Source()
    if folder and not (Path(source.folder) / "model_index.json").is_file():
        raise ProblemError(f"no pipeline lies in {folder}: expected a folder with a model_index.json in it")
    pictures = gallery(source)
    space = _space(source) if not folder else pictures.space()
    options = {} if seed_picture is None else {"start": {"z": pictures.latent_of(seed_picture)}}
    made = examples.free_name(name, state.storage())
    study = create_study(
        made, space, [Preference("picture")], sampler=make_sampler("rank_sgd", **options), storage=state.storage()
    )
    study.annotate(attrs={"pictures": asdict(source)})
    if seed_picture is not None:
        study.files.put("seed picture", seed_picture, "application/octet-stream")
    return made


def _space(source: Source) -> Space:
    from problems.generative import emoji

    return emoji(steps=source.steps).space
