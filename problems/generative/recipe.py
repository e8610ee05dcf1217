"""A recipe of a picture: the model by its hash, the latent, the steps, and the versions that drew it.

It is plain JSON. `redraw` draws the very same picture from it, number for number, or says why it cannot:

    python -m problems.generative RECIPE.json PICTURE.png
"""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from problems.generative.bundled import WEIGHTS, emoji
from problems.generative.pictures import pixels_of
from problems.generative.pipeline import from_folder
from workbench.errors import ProblemError
from workbench.problem import Rendered

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "workbench picture 1"
_READ = (".json", ".safetensors", ".txt", ".model")  # endings of what a pipeline is loaded from
_BLOCK = 2**20  # bytes read at once


def recipe(model: Mapping[str, Any], params: Mapping[str, Any], picture: Rendered, seed: int | None) -> dict[str, Any]:
    """What it takes to draw a picture again.

    Args:
        model: What drew it: "kind" ("bundled" or "folder"), "steps", and of a pipeline its "folder" and "prompt"; with
            "sha256" as `model_hash` gives it, which is worked out now where it is missing.
        params: The picture's parameters.
        picture: The picture itself, by whose pixels a redrawn one is checked.
        seed: Of the study.
    """
    folder = str(model.get("folder", "")) or None
    return {
        "format": FORMAT,
        "model": {**model, "sha256": model.get("sha256") or model_hash(folder)},
        "parameters": {name: np.asarray(value).tolist() for name, value in params.items()},
        "seed of the study": seed,
        "pixels": _pixels_hash(pixels_of(picture.data)),
        "versions": _versions(folder),
        "again": "python -m problems.generative RECIPE.json PICTURE.png",
    }


def redraw(recipe: Mapping[str, Any], folder: str | Path | None = None) -> Rendered:
    """The picture of a recipe, bit for bit the one that it was written for.

    Args:
        recipe: As `recipe` wrote it.
        folder: Where its pipeline lies now; None for where it lay then.
    Raises:
        ProblemError: if this is no recipe, the model is another one, or other versions draw another picture.
    """
    try:
        wrong = recipe["format"] != FORMAT
        model, wanted, params = recipe["model"], recipe["pixels"], recipe["parameters"]
        kind, steps, sha256 = model["kind"], int(model["steps"]), model["sha256"]
        z = np.array(params["z"], dtype=np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ProblemError(f"expected a recipe of a picture ({FORMAT!r}), got one without {error}") from error
    if wrong or kind not in ("bundled", "folder"):
        raise ProblemError(f"expected {FORMAT!r} of a bundled model or a folder, got {recipe['format']!r} of {kind!r}")
    place = None if kind == "bundled" else str(folder or model["folder"])
    found = model_hash(place)
    if found != sha256:
        raise ProblemError(
            f"the model {'that comes along' if place is None else f'in {place}'} is another one than that of the "
            f"recipe: its hash begins with {found[:12]}, expected {sha256[:12]}; name the right folder"
        )
    problem = emoji(steps=steps) if place is None else from_folder(place, prompt=model["prompt"] or None, steps=steps)
    picture = problem.render({"z": z})
    if _pixels_hash(pixels_of(picture.data)) != wanted:
        then, now = recipe["versions"], _versions(place)
        other = [f"{name} {then.get(name)} (now {now.get(name)})" for name in then if then[name] != now.get(name)]
        raise ProblemError(
            "this machine draws another picture from the recipe; it was drawn by "
            + (", ".join(other) or "the same versions on another kind of processor")
        )
    return picture


def model_hash(folder: str | Path | None = None) -> str:
    """SHA-256 of the bundled weights, or of everything that a pipeline is loaded from.

    Raises:
        ProblemError: if there is no such folder.
    """
    if folder is None:
        return _file_hash(WEIGHTS, WEIGHTS.stat().st_mtime_ns)
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.suffix in _READ and path.is_file())
    if not files:
        raise ProblemError(f"no model lies in {root}: expected a folder that diffusers saved")
    whole = hashlib.sha256()
    for path in files:
        name = path.relative_to(root).as_posix()
        whole.update(f"{name}\0{_file_hash(path, path.stat().st_mtime_ns)}\n".encode())
    return whole.hexdigest()


@functools.lru_cache(1024)
def _file_hash(path: Path, changed: int) -> str:
    """Hash of a file; asked again only when it has changed."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _pixels_hash(pixels: NDArray[np.uint8]) -> str:
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def _versions(folder: str | None) -> dict[str, str]:
    names = ["torch", "numpy", "safetensors", *(["diffusers"] if folder else [])]
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}
