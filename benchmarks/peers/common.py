"""What adapters of peers share: the choices of a parameter, losses, refusals, and the unit cube."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from workbench.bench.wire import Refused

Parameter = Mapping[str, Any]
SCALARS = ("float", "int", "categorical", "ordinal", "bool")


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages by name."""
    return {name: metadata.version(name) for name in packages}


def parameters(hello: Mapping[str, Any], *, conditional: bool = False, limits: bool = False) -> list[Parameter]:
    """The parameters, if a peer can serve them.

    Raises:
        Refused: for structured kinds, constraints, and conditional parameters and measured limits where they are not
            served.
    """
    listed: list[Parameter] = hello["space"]["parameters"]
    wrong = [f"{p['name']} of kind {p['kind']}" for p in listed if p["kind"] not in SCALARS]
    wrong += [f"{p['name']} with when=" for p in listed if p.get("when") and not conditional]
    wrong += [f"{p['name']} with role={p['role']}" for p in listed if p.get("role", "design") != "design"]
    wrong += [f"the constraint {text!r}" for text in hello["space"]["constraints"]]
    wrong += [f"the measured constraint {limit['name']!r}" for limit in hello["constraints"] if not limits]
    if wrong:
        raise Refused(f"this peer is not adapted to {', '.join(wrong)}; leave it out, or compare on another problem")
    return listed


def choices(parameter: Parameter) -> list[Any] | None:
    """Values of a categorical, ordinal or Boolean parameter; None for a number."""
    return [False, True] if parameter["kind"] == "bool" else parameter.get("choices")


def goals(hello: Mapping[str, Any], most: int | None = 1) -> list[Mapping[str, Any]]:
    """The objectives, each minimised or maximised, at most so many.

    Raises:
        Refused: for more, or for one with a target.
    """
    listed: list[Mapping[str, Any]] = hello["objectives"]
    if most is not None and len(listed) > most:
        raise Refused(f"this peer takes {most} objective, got {len(listed)}; choose another peer")
    if any(goal.get("target") is not None for goal in listed):
        raise Refused("peers know no objective with a target; state its distance as an objective")
    return listed


def signs(listed: Sequence[Mapping[str, Any]]) -> list[float]:
    """Factors that turn values into losses."""
    return [-1.0 if goal["direction"] == "maximize" else 1.0 for goal in listed]


def limited(hello: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The measured constraint behind each number of `excess`."""
    return [limit for limit in hello["constraints"] for side in ("upper", "lower") if limit[side] is not None]


def excess(hello: Mapping[str, Any], values: Mapping[str, float]) -> list[float]:
    """How far each bound of the measured limits is exceeded, at most 0 where it holds."""
    found = []
    for limit in hello["constraints"]:
        value = values[limit["name"]]
        found += [value - limit["upper"]] if limit["upper"] is not None else []
        found += [limit["lower"] - value] if limit["lower"] is not None else []
    return found


def noise_sd(goal: Mapping[str, Any]) -> float | None:
    """Standard deviation that is stated, 0.0 for none, None for unknown."""
    noise = goal["noise"]
    return None if noise == "unknown" else 0.0 if noise == "none" else float(noise)


class Cube:
    """Points of a space as points of the unit cube, one column a parameter; for peers that know boxes alone."""

    def __init__(self, hello: Mapping[str, Any], *, limits: bool = False) -> None:
        self.listed = parameters(hello, limits=limits)

    def __len__(self) -> int:
        return len(self.listed)

    def encode(self, params: Mapping[str, Any]) -> list[float]:
        """The centre of the bin of a discrete value, the position of a number."""
        return [_position(p, params[p["name"]]) for p in self.listed]

    def decode(self, x: Sequence[float]) -> dict[str, Any]:
        """The nearest point of the space."""
        return {p["name"]: _value(p, min(1.0, max(0.0, float(u)))) for p, u in zip(self.listed, x, strict=True)}


def _ends(parameter: Parameter) -> tuple[float, float]:
    """Ends of the axis; half a bin beyond the bounds of an integer."""
    half = 0.5 if parameter["kind"] == "int" else 0.0
    low, high = parameter["low"] - half, parameter["high"] + half
    return (math.log(low), math.log(high)) if parameter.get("log") else (low, high)


def _position(parameter: Parameter, value: Any) -> float:
    if (listed := choices(parameter)) is not None:
        return (listed.index(value) + 0.5) / len(listed)
    low, high = _ends(parameter)
    return ((math.log(value) if parameter.get("log") else value) - low) / (high - low)


def _value(parameter: Parameter, u: float) -> Any:
    if (listed := choices(parameter)) is not None:
        return listed[min(len(listed) - 1, int(u * len(listed)))]
    low, high = _ends(parameter)
    value = low + u * (high - low)
    value = math.exp(value) if parameter.get("log") else value
    if step := parameter.get("step"):
        value = parameter["low"] + round((value - parameter["low"]) / step) * step
    value = min(parameter["high"], max(parameter["low"], value))
    return round(value) if parameter["kind"] == "int" else value
