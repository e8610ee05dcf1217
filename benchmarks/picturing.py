"""Simulated raters of pictures, and ways to follow them: for ranking.py."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import workbench as wb
from problems.generative.pictures import png
from problems.raters import Exact, answer

Array = NDArray[np.float64]
ROUNDS, SHOWN = 10, 8  # of a run with pictures
SHEET = 6  # targets whose pictures are drawn


@dataclass(frozen=True)
class Judge:
    """What a simulated rater sees in pixels (b, 32, 32, 3): larger is better, shape (b,)."""

    name: str
    worth: Callable[[Any], Array]


def target_judge(target: Any) -> Judge:
    """Minus the mean squared difference of colours, which go from 0 to 1."""

    def worth(pixels: Any) -> Array:
        gaps = (pixels.astype(np.float64) - target) / 255.0
        return np.asarray(-(gaps**2).mean(axis=(1, 2, 3)))

    return Judge("target", worth)


def green_judge() -> Judge:
    """Share of the picture's area that a classifier of colours, by the nearest of eight hues, calls green."""
    hues = np.array([0.0, 0.09, 0.16, 0.33, 0.5, 0.62, 0.76, 0.9])  # red, orange, yellow, green, turquoise, ...

    def worth(pixels: Any) -> Array:
        colours = pixels.astype(np.float64) / 255.0
        r, g, b = np.moveaxis(colours, -1, 0)
        turn = np.arctan2(np.sqrt(3.0) * (g - b), 2.0 * r - g - b) / (2.0 * np.pi) % 1.0
        gaps = np.abs((turn[..., None] - hues + 0.5) % 1.0 - 0.5)
        coloured = colours.max(axis=-1) - colours.min(axis=-1) > 0.2
        return np.asarray(((gaps.argmin(axis=-1) == 3) & coloured).mean(axis=(1, 2)))

    return Judge("classifier", worth)


def picture_study(
    problem: Any, sampler: str, judge: Judge, seed: int
) -> tuple[list[float], list[tuple[float, Mapping[str, Any]]]]:
    """Worth of the best picture so far after each round, and every picture that was shown with its worth."""
    seen: dict[bytes, tuple[float, Mapping[str, Any]]] = {}

    def utility(shown: Sequence[Mapping[str, Any]]) -> list[float]:
        new = {np.asarray(p["z"]).tobytes(): p for p in shown if np.asarray(p["z"]).tobytes() not in seen}
        values = judge.worth(problem.pixels(list(new.values()))) if new else np.empty(0)
        seen.update({key: (float(v), p) for (key, p), v in zip(new.items(), values, strict=True)})
        return [seen[np.asarray(params["z"]).tobytes()][0] for params in shown]

    study = wb.create_study("s", problem.space, [wb.Preference("picture")], sampler=sampler, seed=seed)
    path = []
    for _ in range(ROUNDS):
        answer(study.feedback.next_question(SHOWN), Exact(utility))
        path.append(max(worth for worth, _ in seen.values()))
    return path, list(seen.values())


def picture_path(problem: Any, sampler: str, judge: Judge, seed: int) -> list[float]:
    """Worth of the best picture so far after each round."""
    return picture_study(problem, sampler, judge, seed)[0]


def picture_cma(problem: Any, judge: Judge, start: Array, seed: int) -> list[float]:
    """The same by CMA-ES with a diagonal covariance, which is told ranks alone."""
    from cma import CMAEvolutionStrategy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"popsize": SHOWN, "seed": seed + 1, "verbose": -9, "CMA_diagonal": True}
        es = CMAEvolutionStrategy(start, 0.4, options)
        path, best = [], -math.inf
        for _ in range(ROUNDS):
            offspring = es.ask()
            values = judge.worth(problem.pixels([{"z": z} for z in offspring]))
            ranks = np.empty(SHOWN)
            ranks[np.argsort(-values)] = np.arange(SHOWN)
            es.tell(offspring, ranks.tolist())
            best = max(best, float(values.max()))
            path.append(best)
    return path


def sheet(count: int) -> bytes:
    """A PNG of targets above the best pictures of the first round and of all ten, ranked by whole latents."""
    from problems.generative import emoji

    problem, rows = emoji(), []
    for seed in range(count):
        rng = np.random.default_rng(50_000 + seed)
        target = problem.pixels([{"z": rng.standard_normal(problem.space.width)}])[0]
        seen = picture_study(problem, "rank_sgd", target_judge(target), seed)[1]
        before, after = (max(part, key=lambda one: one[0])[1] for part in (seen[:SHOWN], seen))
        column = np.concatenate([target, *(problem.pixels([params])[0] for params in (before, after))])
        rows.append(column.repeat(3, axis=0).repeat(3, axis=1))
    return png(np.ascontiguousarray(np.concatenate(rows, axis=1)))
