"""Pictures of one model by parameters: rendered in its resident process, kept, and what is needed now goes first.

Every picture is rendered twice, coarse and then whole, so that something is there soon. What may be needed next is
rendered while a person looks; it waits behind everything that is needed now, one picture an order, so that it is
never long in the way.
"""

from __future__ import annotations

import functools
import hashlib
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ui.model_process import Model, ModelProcess
from ui.server import Kept
from workbench.errors import ProblemError
from workbench.problem import Rendered

KEPT = 300  # pictures that are kept
SEEDS = 8  # picture files whose latents are kept
COARSE = 3  # steps of a coarse picture
CHUNK = 2  # whole pictures of one order that are needed now
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """What draws the pictures of a study.

    Args:
        kind: "bundled" or "folder".
        folder: Where a pipeline lies.
        prompt: What it is told to draw.
        steps: Of denoising.
        sha256: What the model must be, as `problems.generative.model_hash` gives it; "" for any.
    """

    kind: str = "bundled"
    folder: str = ""
    prompt: str = ""
    steps: int = 12
    sha256: str = ""

    @classmethod
    def bundled(cls) -> Source:
        """The model that comes along."""
        from problems.generative import model_hash

        return cls(sha256=model_hash())

    @classmethod
    def pipeline(cls, folder: str, prompt: str = "") -> Source:
        """A pipeline in a folder.

        Raises:
            ProblemError: if none lies there.
        """
        from problems.generative import model_hash

        place = str(Path(folder).expanduser())
        if not (Path(place) / "model_index.json").is_file():
            raise ProblemError(f"no pipeline lies in {folder}: expected a folder with a model_index.json in it")
        return cls("folder", place, prompt, 20, model_hash(place))

    @classmethod
    def of(cls, attrs: Mapping[str, Any]) -> Source | None:
        """The source that a study notes of itself; None where it notes none."""
        noted = attrs.get("pictures")
        if not isinstance(noted, Mapping) or noted.get("kind") not in ("bundled", "folder"):
            return None
        return cls(
            noted["kind"], str(noted.get("folder", "")), str(noted.get("prompt", "")), int(noted.get("steps", 12)),
            str(noted.get("sha256", "")),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """Pictures to render."""

    points: tuple[Params, ...]
    coarse: bool = False


@dataclass(frozen=True, slots=True)
class Invert:
    """A picture file whose latent is wanted."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Describe:
    """The model's problem is wanted: its space."""


class PictureModel:
    """What the process holds: a problem that renders."""

    def __init__(self, problem: Any) -> None:
        self._problem = problem

    def render(self, order: Any) -> Any:
        """Pictures of an order, the latent of a picture, or the parameters of the model."""
        if isinstance(order, Describe):
            return self._problem.space
        if isinstance(order, Invert):
            return self._problem.latent_of(_pixels(order.data, self._problem.side))
        problem = replace(self._problem, steps=min(COARSE, self._problem.steps)) if order.coarse else self._problem
        return problem.render_batch(list(order.points))


def _pixels(data: bytes, side: int) -> Any:
    """A picture file as a model's pictures are: square, `side` pixels each way, on white."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        drawn = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ProblemError(f"this file is no picture that can be read: {error}; use PNG or JPEG") from error
    paper = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    return np.asarray(ImageOps.fit(paper, (side, side), Image.Resampling.LANCZOS))


def load(source: Source) -> Model:
    """Load the model; in its process.

    Raises:
        ProblemError: if it is another model than the source says.
    """
    from problems.generative import emoji, from_folder, model_hash

    folder = source.folder if source.kind == "folder" else None
    if source.sha256 and model_hash(folder) != source.sha256:
        raise ProblemError(
            f"the model {'that comes along' if folder is None else f'in {folder}'} has changed since the study began; "
            "its pictures would be others. Put the old one back, or begin a new study"
        )
    if folder is not None:
        return PictureModel(from_folder(Path(source.folder), prompt=source.prompt or None, steps=source.steps))
    problem = emoji(steps=source.steps)
    problem.render_batch([{"z": np.ones(problem.space.width)}])  # the libraries are loaded by the first picture
    return PictureModel(problem)


@dataclass(slots=True)
class _Picture:
    coarse: Rendered | None = None
    whole: Rendered | None = None
    error: str = ""


class Gallery:
    """The door to the pictures of one source. Any thread may call any method.

    Args:
        process: Where the model lives.
    """

    def __init__(self, process: ModelProcess) -> None:
        self._process = process
        self._lock = threading.RLock()
        self._pictures: dict[bytes, _Picture] = {}
        self._orders: dict[int, tuple[tuple[bytes, ...], bool, bool]] = {}  # keys, coarse, ahead
        self._latents: dict[bytes, Any] = {}  # of picture files, by their hash

    @property
    def loaded(self) -> bool:
        """Is the model in memory?"""
        return self._process.loaded

    def want(self, points: Sequence[Params], ahead: Sequence[Params] = ()) -> None:
        """Have pictures rendered: `points` now, `ahead` when nothing else is left to do."""
        with self._lock:
            self._collect()
            now, later = {_key(p): p for p in points}, {_key(p): p for p in ahead}
            for number, (keys, coarse, _) in list(self._orders.items()):
                wanted = now if coarse or self._missing(now) else {**now, **later}
                if not set(keys) & set(wanted) and self._process.position(number):
                    self._process.cancel(number)
                    del self._orders[number]
            missing = self._missing(now)
            rough = [key for key in missing if self._of(key).coarse is None and not self._under_way(key, coarse=True)]
            for part in (rough[:1], rough[1:]):  # the first one alone, so that something is there soonest
                if part:
                    self._submit(part, now, coarse=True)
            whole = [key for key in missing if not self._under_way(key)]
            for i in range(0, len(whole), CHUNK):
                self._submit(whole[i : i + CHUNK], now)
            for key in self._missing(later):
                if not self._under_way(key):
                    self._submit([key], later, ahead=True)

    def find(self, params: Params) -> tuple[Rendered | None, bool]:
        """The picture as far as it is rendered, and whether it is whole."""
        with self._lock:
            self._collect()
            one = self._pictures.get(_key(params))
            if one is None:
                return None, False
            return (one.whole, True) if one.whole is not None else (one.coarse, False)

    def failed(self, params: Params) -> str:
        """Why there is no picture, in one sentence; "" while there may be one."""
        with self._lock:
            self._collect()
            one = self._pictures.get(_key(params))
            return "" if one is None else one.error

    def forgive(self) -> None:
        """Try again what has failed."""
        with self._lock:
            for one in self._pictures.values():
                one.error = ""

    def wait(self, seconds: float) -> None:
        """Until the next order for now has ended, or the time is over."""
        with self._lock:
            self._collect()
            first = next((number for number, (_, _, ahead) in self._orders.items() if not ahead), None)
        if first is not None:
            self._process.wait(first, seconds)

    def latent_of(self, data: bytes, seconds: float = 600.0) -> Any:
        """A latent whose picture comes close to a picture file.

        Raises:
            ProblemError: if the file is no picture, or the model cannot be gone back through.
        """
        key = hashlib.sha256(data).digest()
        if key not in self._latents:
            self._latents[key] = self._made(Invert(data), seconds)
            while len(self._latents) > SEEDS:
                del self._latents[next(iter(self._latents))]
        return self._latents[key]

    def drawn(self, params: Params, seconds: float = 300.0) -> Rendered:
        """One picture, waited for; drawn once.

        Raises:
            ProblemError: if it cannot be drawn.
        """
        key = _key(params)
        with self._lock:
            known = self._of(key).whole
        if known is None:
            known = self._made(Order((params,)), seconds)[0]
            with self._lock:
                self._of(key).whole = known
        return known

    def space(self, seconds: float = 300.0) -> Any:
        """The space of the model."""
        return self._made(Describe(), seconds)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    # -- inside ------------------------------------------------------------------------------

    def _made(self, order: object, seconds: float) -> Any:
        done = self._process.wait(self._process.submit(order), seconds)
        if done.state != "done":
            why = done.error.partition(": ")[2] or done.error or f"no answer within {seconds:.0f} s"
            raise ProblemError(why)
        return done.result

    def _submit(
        self, keys: Sequence[bytes], points: Mapping[bytes, Params], *, coarse: bool = False, ahead: bool = False
    ) -> None:
        number = self._process.submit(Order(tuple(points[key] for key in keys), coarse))
        self._orders[number] = (tuple(keys), coarse, ahead)

    def _under_way(self, key: bytes, *, coarse: bool = False) -> bool:
        return any(key in keys and rough == coarse for keys, rough, _ in self._orders.values())

    def _missing(self, points: Mapping[bytes, Params]) -> list[bytes]:
        return [key for key in points if self._of(key).whole is None and not self._of(key).error]

    def _of(self, key: bytes) -> _Picture:
        return self._pictures.setdefault(key, _Picture())

    def _collect(self) -> None:
        """Take over what has ended."""
        for number, (keys, coarse, _) in list(self._orders.items()):
            order = self._process.get(number)
            if order.state in ("queued", "rendering"):
                continue
            del self._orders[number]
            for i, key in enumerate(keys):
                one = self._of(key)
                if order.state == "failed":
                    one.error = order.error
                elif order.state == "done" and coarse:
                    one.coarse = order.result[i]
                elif order.state == "done":
                    one.whole = order.result[i]
                    self._pictures[key] = self._pictures.pop(key)  # to the end: rendered last
        while len(self._pictures) > KEPT:
            del self._pictures[next(iter(self._pictures))]


def _key(params: Params) -> bytes:
    found = hashlib.sha256()
    for name in sorted(params):
        value = params[name]
        found.update(f"{name} {type(value).__name__} ".encode())
        found.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return found.digest()


_galleries: Kept[Gallery] = Kept(2)


def gallery(source: Source, start: Callable[[Callable[[], Model]], ModelProcess] = ModelProcess) -> Gallery:
    """The pictures of a source; its model is loaded when it is first asked for."""
    return _galleries.get(source, lambda: Gallery(start(functools.partial(load, source))))


def thumbnail(picture: Rendered, side: int = 96) -> Rendered:
    """A small copy of a picture that is much larger; others, and drawings, as they are."""
    if not picture.mime.startswith("image/") or picture.mime == "image/svg+xml" or len(picture.data) < 40_000:
        return picture
    from PIL import Image

    drawn = Image.open(io.BytesIO(picture.data)).convert("RGB")
    drawn.thumbnail((side, side))
    into = io.BytesIO()
    drawn.save(into, "JPEG", quality=88)
    return Rendered("image/jpeg", into.getvalue(), picture.alt)
