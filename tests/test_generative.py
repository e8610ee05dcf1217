"""Things to rank: pictures of the bundled model and of a pipeline in a folder, drawings, and simulated raters."""

from __future__ import annotations

import hashlib
import io
import json
import math
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_pipeline import save_tiny_pipeline

import workbench as wb
from problems.design import emblem
from problems.generative import emoji, model_hash, recipe, redraw
from problems.generative.bundled import SIZE, WEIGHTS
from problems.generative.network import PictureNetwork, ddim, schedule
from problems.generative.pictures import on_shell, pixels_of, png
from problems.raters import Circular, Drifting, Exact, Lazy, Noisy, answer
from workbench.rankings import circular_triads


def points(n: int, d: int = SIZE, seed: int = 0) -> list[dict[str, Any]]:
    return [{"z": z} for z in np.random.default_rng(seed).standard_normal((n, d))]


def test_pictures_come_back_from_their_bytes() -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    read = Image.open(io.BytesIO(png(pixels)))
    assert read.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(read), pixels)
    np.testing.assert_array_equal(pixels_of(png(pixels)), pixels)


def test_latents_are_brought_to_their_shell() -> None:
    np.testing.assert_allclose(
        np.linalg.norm(on_shell(np.random.default_rng(0).standard_normal((3, 50))), axis=1), 50**0.5
    )


def test_ddim_of_an_exact_model_of_one_picture_gives_that_picture() -> None:
    """If every picture is x0, then x = x0 and v follows from z: DDIM must end there whatever the latent."""
    x0 = torch.linspace(-0.9, 0.9, SIZE).reshape(1, 3, 32, 32)

    class Exactly(torch.nn.Module):
        def forward(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            alpha, sigma = schedule(t)
            eps = (z - alpha * x0) / sigma
            return alpha * eps - sigma * x0

    z = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ddim(Exactly(), z, 5), x0.expand(2, -1, -1, -1), atol=1e-4, rtol=0)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_bundled_model_draws_the_same_picture_from_the_same_latent() -> None:
    problem = emoji()
    shown = points(8)
    pixels = problem.pixels(shown)
    assert pixels.shape == (8, 32, 32, 3)
    again = problem.pixels(shown[:1])[0]
    assert np.abs(pixels[0].astype(int) - again).max() <= 2  # sums of another batch size may round differently
    np.testing.assert_array_equal(again, problem.pixels(shown[:1])[0])
    longer = [{"z": 3.0 * shown[0]["z"]}]
    np.testing.assert_array_equal(again, problem.pixels(longer)[0])
    assert np.median(pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]]) > 235  # drawn on white
    assert pixels.std(axis=0).mean() > 20  # and not all the same
    rendered = problem.render(shown[0])
    assert (rendered.mime, rendered.data[:4]) == ("image/png", b"\x89PNG")
    assert rendered.alt.startswith("a picture")
    assert WEIGHTS.stat().st_size <= 8_000_000


@pytest.mark.slow
def test_pictures_near_in_latents_are_near_in_looks() -> None:
    problem = emoji()
    here, other = points(2)
    near = {"z": here["z"] + 0.2 * np.random.default_rng(5).standard_normal(SIZE)}
    one, close, far = problem.pixels([here, near, other]).astype(float)
    assert np.abs(one - close).mean() < 0.6 * np.abs(one - far).mean()
    assert problem.similarity([here], problem.pixels([here])[0])[0] == 0.0


@pytest.mark.slow
def test_a_subspace_spreads_over_whole_latents() -> None:
    problem = emoji(16)
    assert problem.space.width == 16
    latents = problem.latents(points(4, 16))
    np.testing.assert_allclose(np.linalg.norm(latents, axis=1), math.sqrt(SIZE))
    assert abs(latents.std() - 1.0) < 0.01
    target = problem.pixels(points(1, 16, seed=3))[0]
    towards = emoji(16, target=target)
    assert towards.evaluate(points(1, 16, seed=3)[0]) == {"similarity": 0.0}
    assert towards.evaluate(points(1, 16, seed=4)[0])["similarity"] < 0
    assert [type(goal) for goal in towards.objectives] == [wb.Objective]


@pytest.mark.slow
def test_eight_pictures_take_at_most_a_second() -> None:
    problem = emoji()
    problem.pixels(points(8))
    taken = []
    for seed in range(3):
        start = time.process_time()
        problem.pixels(points(8, seed=seed))
        taken.append(time.process_time() - start)
    assert min(taken) <= 1.0


def test_the_network_fits_the_size_of_its_weights() -> None:
    assert 2 * sum(weights.numel() for weights in PictureNetwork().parameters()) < 8_000_000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of diffusers, about its own insides
def test_a_pipeline_in_a_folder_is_a_problem(tmp_path: Path) -> None:
    from problems.generative import from_folder
    from problems.generative.pipeline import PipelinePictures

    save_tiny_pipeline(tmp_path / "tiny")
    problem = from_folder(tmp_path / "tiny", steps=3)
    assert problem.space.width == 192
    pixels = problem.pixels(points(2, 192))
    assert pixels.shape == (2, 8, 8, 3)
    assert (pixels[0] != pixels[1]).any()
    np.testing.assert_array_equal(problem.pixels(points(2, 192)), pixels)
    rendered = problem.render(points(1, 192)[0])
    assert (rendered.mime, rendered.alt) == ("image/png", "a picture by tiny")
    study = wb.create_study("pictures", problem.space, problem.objectives, seed=0)
    assert len(study.feedback.next_question(3).pictures(problem.render)) == 3
    with pytest.raises(wb.ProblemError, match=r"model_index\.json"):
        from_folder(tmp_path)

    class Told:
        """A pipeline that takes latents and a prompt."""

        unet = problem.pipeline.unet

        def __call__(self, prompt: list[str], latents: Any, num_inference_steps: int, output_type: str) -> Any:
            self.asked = (prompt, num_inference_steps, output_type)
            self.images = latents.permute(0, 2, 3, 1).sigmoid().numpy()
            return self

    told = Told()
    other = PipelinePictures("told", told, (3, 8, 8), "a cat", 7)
    assert other.pixels(points(2, 192)).shape == (2, 8, 8, 3)
    assert told.asked == (["a cat", "a cat"], 7, "np")
    assert other.render(points(1, 192)[0]).alt == "a picture of a cat"


def test_a_picture_is_the_same_whatever_is_drawn_beside_it_and_by_how_many_threads() -> None:
    """On some processors a batch changes a pixel here and there, and only with one thread."""
    problem, before = emoji(steps=3), torch.get_num_threads()
    alone = [problem.render(point) for point in points(6)]
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert problem.render_batch(points(6)) == alone
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_the_bundled_model_draws_the_very_same_picture_from_a_recipe(tmp_path: Path) -> None:
    """By the function and by the shell, whatever batch it was drawn in; another model or picture is refused."""
    picture = emoji(steps=3).render_batch(points(2))[1]
    written = json.loads(json.dumps(recipe({"kind": "bundled", "steps": 3}, points(2)[1], picture, 7)))
    assert written["model"]["sha256"] == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert (written["seed of the study"], written["versions"]["torch"]) == (7, torch.__version__)
    assert redraw(written) == picture
    source, target = tmp_path / "recipe.json", tmp_path / "again.png"
    source.write_text(json.dumps(written))
    done = subprocess.run(
        [sys.executable, "-m", "problems.generative", str(source), str(target)], check=True, capture_output=True
    )
    assert done.stderr == b""
    assert target.read_bytes() == picture.data
    other = written | {"model": written["model"] | {"sha256": "0" * 64}}
    with pytest.raises(wb.ProblemError, match=r"another one than that of the recipe.*expected 000000000000"):
        redraw(other)
    nudged = [z + 0.1 for z in written["parameters"]["z"]]
    with pytest.raises(wb.ProblemError, match=r"draws another picture.*the same versions"):
        redraw(written | {"parameters": {"z": nudged}})
    with pytest.raises(wb.ProblemError, match=r"draws another picture.*torch 0\.1"):
        redraw(written | {"parameters": {"z": nudged}, "versions": written["versions"] | {"torch": "0.1"}})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of diffusers, about its own insides
def test_a_pipeline_draws_the_very_same_picture_from_a_recipe_wherever_it_lies(tmp_path: Path) -> None:
    from problems.generative import from_folder

    save_tiny_pipeline(tmp_path / "tiny")
    picture = from_folder(tmp_path / "tiny", steps=3).render(points(1, 192)[0])
    model = {"kind": "folder", "folder": str(tmp_path / "tiny"), "prompt": "", "steps": 3}
    written = json.loads(json.dumps(recipe(model, points(1, 192)[0], picture, None)))
    assert redraw(written) == picture
    (tmp_path / "tiny").rename(tmp_path / "moved")
    with pytest.raises(wb.ProblemError, match="no model lies in"):
        redraw(written)
    assert redraw(written, tmp_path / "moved").data == picture.data
    save_tiny_pipeline(tmp_path / "other", seed=1)
    with pytest.raises(wb.ProblemError, match="another one than that of the recipe"):
        redraw(written, tmp_path / "other")


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "without 'format'"), ({"format": "x", "model": 3}, "expected a recipe"),
     ({"format": "other", "model": {"kind": "bundled", "steps": 3, "sha256": ""}, "pixels": "",
       "parameters": {"z": [0.0]}}, "got 'other' of 'bundled'")],
)  # fmt: skip
def test_what_is_no_recipe_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(wb.ProblemError, match=words):
        redraw(given)


def test_the_hash_of_a_folder_is_of_all_that_is_loaded_from_it(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    for name, text in (("model_index.json", "{}"), ("unet/a.safetensors", "weights"), ("notes.md", "mine")):
        (tmp_path / name).write_text(text)
    before = model_hash(tmp_path)
    (tmp_path / "notes.md").write_text("changed")
    assert model_hash(tmp_path) == before
    (tmp_path / "unet" / "a.safetensors").write_text("Weights")
    after = model_hash(tmp_path)
    (tmp_path / "unet" / "a.safetensors").rename(tmp_path / "a.safetensors")
    assert len({before, after, model_hash(tmp_path)}) == 3


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"_class_name": "DDIMPipeline", "unet": ["os", "system"]}, r"code of its own.*\{'unet': 'os'\}"),
        ({"_class_name": ["mine", "Pipeline"], "unet": ["diffusers", "UNet2DModel"]}, "code of its own"),
        ({"unet": ["diffusers", "UNet2DModel"]}, "cannot be read"),
        (["x"], "cannot be read"),
    ],
)
def test_a_folder_that_brings_its_own_code_is_refused_before_anything_is_loaded(
    tmp_path: Path, index: Any, words: str
) -> None:
    from problems.generative import from_folder

    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(wb.ProblemError, match=words):
        from_folder(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of diffusers, about its own insides
def test_weights_that_are_pickled_are_not_read(tmp_path: Path) -> None:
    from problems.generative import from_folder

    save_tiny_pipeline(tmp_path)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, weights.with_suffix(".bin"))
    with pytest.raises(wb.ProblemError, match="Only weights in safetensors files are read"):
        from_folder(tmp_path)


def test_an_emblem_is_a_drawing_of_its_parameters() -> None:
    problem = emblem()
    for params in problem.space.decode(problem.space.sobol(8, 0)):
        rendered = problem.render(params)
        drawing = ET.fromstring(rendered.data)
        petals = drawing.findall("{http://www.w3.org/2000/svg}path")
        assert len(petals) == params["petals"]
        assert rendered.mime == "image/svg+xml"
        assert str(params["petals"]) in rendered.alt
        assert rendered == problem.render(params)


# -- raters ----------------------------------------------------------------------------------


def shown(*values: float) -> list[dict[str, float]]:
    return [{"x": value} for value in values]


def height(given: Any) -> list[float]:
    return [params["x"] for params in given]


def test_exact_and_noisy_raters() -> None:
    assert Exact(height).order(shown(0.2, 0.9, 0.2, 0.5)) == [1, 3, 0, 2]
    rater = Noisy(height, 0.3, np.random.default_rng(0))
    n = 4000
    wrong = sum(rater.order(shown(0.0, 0.3))[0] == 0 for _ in range(n)) / n
    p = 0.5 * math.erfc(0.3 / (0.3 * math.sqrt(2)) / math.sqrt(2))
    assert wrong == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / n))


def test_a_drifting_rater_ends_with_another_taste() -> None:
    rater = Drifting(height, lambda given: [-params["x"] for params in given], rate=0.2)
    first = [rater.order(shown(0.1, 0.9))[0] for _ in range(10)]
    assert first == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]  # 0.8^4 < 1/2 of the first taste are left


def test_a_circular_rater_goes_round() -> None:
    rater = Circular(lambda params: params["x"])
    thirds = [0.0, 2 * math.pi / 3, 4 * math.pi / 3]
    duels = []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        first = (i, j)[rater.order(shown(thirds[i], thirds[j]))[0]]
        duels.append((first, j if first == i else i))
    assert len(circular_triads(duels)) == 1


def test_a_lazy_rater_leaves_things_where_they_are() -> None:
    assert Lazy(Exact(height), 1.0).order(shown(0.1, 0.9)) == [0, 1]
    assert Lazy(Exact(height), 0.0).order(shown(0.1, 0.9)) == [1, 0]
    rater = Lazy(Exact(height), 0.3, np.random.default_rng(1))
    left = sum(rater.order(shown(0.1, 0.9)) == [0, 1] for _ in range(2000)) / 2000
    assert left == pytest.approx(0.3, abs=4.5 * math.sqrt(0.21 / 2000))


@pytest.mark.slow
def test_what_is_wrong_with_a_rater_shows_in_the_answers() -> None:
    """Who is exact agrees with every repeat; who takes the left one with half of them, as the sides are shuffled.

    A circular taste goes round, and a drifting one comes to say the contrary.
    """
    found = {}
    raters: dict[str, Any] = {
        "exact": Exact(height), "lazy": Lazy(Exact(height), 1.0), "circular": Circular(lambda p: 2 * math.pi * p["x"]),
        "drifting": Drifting(height, lambda given: [-params["x"] for params in given], rate=0.03),
    }  # fmt: skip
    for name, rater in raters.items():
        study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")], sampler="sobol", seed=0)
        twelve = [trial.number for trial in study.ask(12)]
        rng = np.random.default_rng(0)
        for _ in range(150):  # sides by chance, as in a question
            a, b = (study.trial(twelve[i]) for i in rng.choice(12, 2, replace=False))
            order = rater.order([a.params, b.params])
            study.feedback.rank([[(a, b)[order[0]]], [(a, b)[order[1]]]], rater=name)
        found[name] = study.feedback.consistency()[name]
        assert found[name].repeated > 60
    exact, lazy, circular, drifting = (found[name] for name in raters)
    assert (exact.agreed, exact.circles, exact.zeta) == (exact.repeated, (), 1.0)
    assert exact.reliability > 0.95
    share = 0.5 + 0.5 * 0.5**2  # later statements agree with all or some of the earlier ones less and less often
    assert lazy.agreed / lazy.repeated < share
    assert lazy.reliability < 0.75
    assert circular.agreed == circular.repeated  # each pair for itself is sure
    assert len(circular.circles) > 10
    assert circular.zeta < 0.5
    assert drifting.agreed < drifting.repeated
    assert lazy.reliability < drifting.reliability < exact.reliability


def test_a_rater_answers_a_question() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")], sampler="sobol", seed=0)
    full = answer(study.feedback.next_question(3), Exact(height), name="sim")
    assert (full.kind, full.rater, len(full.groups)) == ("rank", "sim", 3)
    best = answer(study.feedback.next_question(3), Exact(height), k=1)
    assert (best.kind, len(best.groups)) == ("best", 1)
    values = {n: study.trial(n)["x"] for n in best.of}
    assert best.groups[0][0] == max(values, key=lambda n: values[n])
