"""The axis of one parameter: where its settings stand, and where a model is asked along it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import InvalidValueError
from workbench.plots import theme
from workbench.trial import History

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Space

_CHOICES = frozenset({"categorical", "ordinal", "bool"})
_NUMBERS = frozenset({"float", "int"})
_SMOOTH, _STEPPED = 101, 41  # points of a band; error bars that can still be told apart


def can_slice(space: Space, name: str) -> bool:
    """Whether a parameter has a single axis: a number or a choice."""
    return space[name].kind in _CHOICES | _NUMBERS


def check_axis(space: Space, name: str) -> None:
    """Check that a parameter exists and has a single axis.

    Raises:
        InvalidValueError: naming those that have.
    """
    if name not in space.names:
        raise InvalidValueError(
            f"expected a parameter ({', '.join(space.names)}), got {name!r}; pass one of these names"
        )
    if not can_slice(space, name):
        able = [other for other in space.names if can_slice(space, other)]
        raise InvalidValueError(
            f"expected a parameter with one axis (a number or a choice), got {name!r} of kind "
            f"{space[name].kind}; draw {' or '.join(able) or 'the history instead'}, "
            "or look at its values in the table of trials"
        )


def settled(history: History, name: str) -> tuple[Any, ...]:
    """What a parameter was really set to in each trial, in the words of the present space.

    None where it was not active, NaN for a trial of an earlier space that the present one cannot hold.
    """
    placed = map(history.spaces.placed, history.rows)
    return tuple(math.nan if params is None else params.get(name) for params in placed)


@dataclass(frozen=True, slots=True)
class Ruler:
    """The axis of one parameter: numbers as they are, choices at 0, 1, 2, … in declared order.

    Args:
        space: The present space.
        name: The parameter.
        settings: What was really set in each trial, None where the parameter was not active.
        x: Places on the axis, shape (n,), NaN where there is none.
    """

    space: Space
    name: str
    settings: tuple[Any, ...]
    x: NDArray[np.float64]

    @classmethod
    def of(cls, history: History, name: str) -> Ruler:
        """Read one parameter's settings from a record."""
        settings = settled(history, name)
        bare = cls(history.space, name, settings, np.zeros(0))
        return cls(history.space, name, settings, bare.places(settings))

    @property
    def choices(self) -> list[Any] | None:
        """The values of a choice in declared order; None for numbers."""
        parameter = self.space[self.name]
        return list(parameter.values()) if parameter.kind in _CHOICES else None

    @property
    def log(self) -> bool:
        """Whether the axis is logarithmic."""
        return bool(getattr(self.space[self.name], "log", False))

    def places(self, settings: Sequence[Any]) -> NDArray[np.float64]:
        """Places of settings on the axis, shape (len(settings),); NaN for None and what cannot be drawn."""
        choices = self.choices
        if choices is not None:
            index = {value: float(place) for place, value in enumerate(choices)}
            return np.array([index.get(value, np.nan) for value in settings], dtype=np.float64)
        x = np.array([math.nan if value is None else float(value) for value in settings], dtype=np.float64)
        return np.where(x > 0, x, np.nan) if self.log else x

    def grid(self, most: int = _SMOOTH) -> list[Any]:
        """Values along the axis at which a belief is asked for; at most so many, or every choice."""
        choices = self.choices
        if choices is not None:
            return choices
        parameter = self.space[self.name]
        steps = min(most, _STEPPED) if parameter.discrete else most
        return list(dict.fromkeys(parameter.decode(np.linspace(0, 1, steps)[:, None])))

    def axis(self) -> dict[str, Any]:
        """The plotly axis, without its title."""
        choices, look = self.choices, theme.axis("")
        if choices is not None:
            words = [theme.literal(theme.shorten(theme.wording(value), 24)) for value in choices]
            place = {
                "tickvals": list(range(len(choices))),
                "ticktext": words,
                "range": [-0.5, len(choices) - 0.5],
            }
            return look | place | {"tickmode": "array"}
        if self.log:
            return look | {"type": "log"} | self._log_range()
        return look

    def _log_range(self) -> dict[str, Any]:
        """Range with a margin, and ticks that are neither too many nor too few."""
        x = self.x[~np.isnan(self.x)]
        bounds = np.log10([*self.space[self.name].decode(np.array([[0.0], [1.0]])), *x])
        low, high = float(bounds.min()), float(bounds.max())
        pad = 0.04 * (high - low)
        step = "D2" if high - low < 1.5 else max(1, round((high - low) / 4))  # about four labels fit
        return {"range": [low - pad, high + pad], "dtick": step}

    def left_out(self) -> str:
        """A sentence about the trials that have no place on the axis, empty when all have one."""
        gone, total = np.isnan(self.x), theme.count(len(self.x), "trial")
        inactive = np.array([value is None for value in self.settings], dtype=bool)
        beyond = int((gone & ~inactive).sum())
        notes = [
            f"{int(inactive.sum()):,} of {total} left out: {self.name} was not active in them."
            if inactive.any()
            else "",
            f"{beyond:,} of {total} left out: their {self.name} has no place on this axis." if beyond else "",
        ]
        return " ".join(filter(None, notes))
