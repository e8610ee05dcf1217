"""Drawings from parameters, for people to rank: an emblem in eight numbers and a choice."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.problem import Constraint, Preference, Rendered
from workbench.space import Categorical, Float, Int, Space

_SIDE = 200.0
_CENTRE = _SIDE / 2


@dataclass(frozen=True, slots=True)
class Emblem:
    """A flower of petals around a disc, as a drawing in SVG."""

    name: str = "emblem"
    source: str = "drawn from its parameters"
    optimum: float | None = None

    @property
    def space(self) -> Space:
        """What the drawing is made of."""
        return Space(
            [
                Int("petals", 3, 12),
                Float("length", 0.3, 1.0),
                Float("width", 0.2, 1.0),
                Float("pointed", 0.0, 1.0),
                Float("turn", 0.0, 1.0),
                Float("hue", 0.0, 1.0),
                Float("contrast", 0.0, 1.0),
                Float("disc", 0.1, 0.5),
                Categorical("line", ["none", "thin", "bold"]),
            ]
        )

    @property
    def objectives(self) -> Sequence[Preference]:
        """What people like."""
        return (Preference("emblem"),)

    @property
    def constraints(self) -> Sequence[Constraint]:
        """None."""
        return ()

    def evaluate(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Nothing is measured."""
        return {}

    def render(self, params: Mapping[str, Any]) -> Rendered:
        """The drawing."""
        n, hue, contrast = params["petals"], params["hue"], params["contrast"]
        petal = _colour(hue, 0.55 + 0.4 * contrast, 0.85)
        heart = _colour(hue + 0.15 + 0.35 * contrast, 0.8, 0.95 - 0.4 * contrast)
        stroke = {"none": 0.0, "thin": 1.5, "bold": 4.0}[params["line"]]
        line = f'stroke="{_colour(hue, 0.9, 0.25)}" stroke-width="{stroke:g}"'
        turn = 360.0 * params["turn"] / n
        shape = _petal(params["length"], params["width"], params["pointed"], n)
        petals = "".join(
            f'<path d="{shape}" transform="rotate({turn + 360.0 * i / n:.3f} {_CENTRE:g} {_CENTRE:g})" '
            f'fill="{petal}" fill-opacity="0.85" {line}/>'
            for i in range(n)
        )
        radius = 0.45 * _CENTRE * params["disc"] / 0.5
        disc = f'<circle cx="{_CENTRE:g}" cy="{_CENTRE:g}" r="{radius:.3f}" fill="{heart}" {line}/>'
        box = f'viewBox="0 0 {_SIDE:g} {_SIDE:g}" width="{_SIDE:g}" height="{_SIDE:g}"'
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{petals}{disc}</svg>'
        return Rendered("image/svg+xml", svg.encode(), f"a flower of {n} petals")


def emblem() -> Emblem:
    """A flower of petals around a disc: eight numbers and a choice."""
    return Emblem()


def _petal(length: float, width: float, pointed: float, n: int) -> str:
    """The outline of one petal that points up, from the centre."""
    reach = 0.92 * _CENTRE * length
    half = 1.2 * reach * width * math.tan(math.pi / max(n, 4))
    shoulder = reach * (0.55 + 0.35 * (1.0 - pointed))
    tip = half * 0.9 * (1.0 - pointed)
    x, y = _CENTRE, _CENTRE
    left = f"C {x - half:.3f} {y - 0.3 * reach:.3f} {x - half:.3f} {y - shoulder:.3f} {x - tip:.3f} {y - reach:.3f}"
    right = f"C {x + half:.3f} {y - shoulder:.3f} {x + half:.3f} {y - 0.3 * reach:.3f} {x:.3f} {y:.3f}"
    return f"M {x:.3f} {y:.3f} {left} L {x + tip:.3f} {y - reach:.3f} {right} Z"


def _colour(hue: float, saturation: float, value: float) -> str:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(1.0, saturation), max(0.0, value))
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
