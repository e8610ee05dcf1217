"""A finding in plain words: what is claimed, how it is known, what to do about it.

A sentence says "run" for a trial and names parameters by their names, so that it reads the same in a shell, a notebook
and on a page. It is plain text; whoever shows it escapes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench import markup

Level = Literal["good", "know", "look", "early"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One finding.

    Args:
        about: What it is about, such as "calibration" or "noise"; with the quantity where there are several.
        level: "good", "know" (worth knowing), "look" (look at this), or "early" (too few trials to say).
        claim: The finding, one sentence.
        because: How it is known, with numbers.
        action: What to do; empty for nothing.
        call: That as Python, where one call does it.
        change: Bounds that the call would set, {parameter: (low, high)}.
        trials: Numbers of the trials that it speaks of.
        quantity: Name of the objective or limited quantity; empty for the whole study.
    """

    about: str
    level: Level
    claim: str
    because: str = ""
    action: str = ""
    call: str = ""
    change: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    trials: tuple[int, ...] = ()
    quantity: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.claim, self.because, self.action)))


LEVELS: Mapping[Level, str] = {
    "good": "Good", "know": "Know this", "look": "Look at this", "early": "Too early",
}  # fmt: skip
"""The word for each level."""


def verdicts_html(title: str, verdicts: Sequence[Verdict]) -> str:
    """Verdicts for a notebook."""
    table = markup.table(
        {
            "": [LEVELS[one.level] for one in verdicts],
            "finding": [one.claim for one in verdicts],
            "how it is known": [one.because or None for one in verdicts],
            "what to do": [one.action or None for one in verdicts],
        }
    )
    return f"<div>{markup.heading('Model of', title)}{table}</div>"


# -- words -----------------------------------------------------------------------------------------


def runs(n: int) -> str:
    """ "1 run", "12 runs"."""
    return markup.count(n, "run")


def numbered(numbers: Sequence[int], most: int = 6) -> str:
    """ "run 3", "runs 3, 5 and 8", "runs 1, 2, 3 and 9 more"."""
    said = [str(n) for n in numbers[:most]]
    if len(numbers) > most:
        said.append(f"{len(numbers) - most} more")
    return ("run " if len(numbers) == 1 else "runs ") + listed(said)


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def plain(value: float, sd: float | None = None) -> str:
    """A number with as many decimals as its uncertainty supports: two digits of that."""
    size = abs(value) if sd is None or not (math.isfinite(sd) and sd > 0) else sd
    if not math.isfinite(value) or size == 0 or abs(value) >= 1e6 or size < 1e-4:
        return markup.wording(float(value))
    decimals = (1 if sd is not None and sd == size else 2) - math.floor(math.log10(size))
    return f"{value:.{max(0, decimals)}f}"


def unit_of(unit: str | None) -> str:
    """The unit after a number, with its space."""
    return f" {markup.shorten(unit, 16)}" if unit else ""


def about(mean: float, sd: float, unit: str | None = None) -> str:
    """ "96.8 ± 1.7 %"."""
    return f"{plain(mean, sd)} ± {sd:.2g}{unit_of(unit)}" if sd > 0 else f"{plain(mean)}{unit_of(unit)}"


def percent(share: float) -> str:
    """A share as a percentage: "52 %", "0.4 %", "under 0.1 %"."""
    if share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def at_most(share: float) -> str:
    """ "At most 1.6 %", "Under 0.1 %"."""
    return percent(share).capitalize() if share < 0.001 else f"At most {percent(share)}"


def odds(probability: float) -> str:
    """How sure: "85 % sure", never more than 99 or less than 1."""
    return f"{100 * min(max(probability, 0.01), 0.99):.0f} % sure"
