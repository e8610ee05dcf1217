"""When a swarm of a study has done enough: rules by name, and the sentence that says which of them held.

They are those of `swarming.Stop`, in the units of the study; how long and how many evaluations is up to
`Study.optimize`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import UnsupportedError

_SAYS = {
    "value": "the best value, {seen:.4g}, has reached {bound:g}",
    "steps": "{bound:g} steps were taken",
    "horizon": "a time of {bound:g} has passed in {seen:.4g}",
    "stagnation": "{seen:g} steps brought nothing better",
    "movement": "particles moved by {seen:.2g} in a step, less than {bound:g}",
    "spread": "no particle is further than {seen:.2g} from the consensus, less than {bound:g}",
    "drift": "the consensus moved by {seen:.2g} in {window} steps, less than {bound:g}",
    "level": "the least values of {window} steps differ by {seen:.2g}, less than {bound:g}",
}
_WHOLE = frozenset({"steps", "stagnation", "window"})
_OF_A_SWARM = frozenset({"movement", "drift", "spread", "stagnation", "level"})
_ELSEWHERE = {"seconds": "timeout=", "evaluations": "evaluations= or n_trials="}
_OF_ONE_VALUE = frozenset({"value", "stagnation", "level"})


@dataclass(frozen=True)
class Ending:
    """Rules, of which the first that holds ends the run.

    Args:
        rules: Bounds by name.
        window: Steps that "drift" and "level" look at.
    """

    rules: Mapping[str, float] = field(default_factory=dict)
    window: int = 20

    @classmethod
    def of(cls, stop: Any) -> Ending:
        """What a user has named, checked."""
        if stop is None:
            return cls()
        if not isinstance(stop, Mapping):
            raise UnsupportedError(f'stop must name rules with their bounds, such as {{"spread": 1e-3}}; got {stop!r}')
        for name, bound in stop.items():
            if name in _ELSEWHERE:
                raise UnsupportedError(f"stop takes no {name!r}; say it to optimize, with {_ELSEWHERE[name]}")
            if name not in _SAYS and name != "window":
                raise UnsupportedError(f"stop takes {', '.join(_SAYS)} and window; got {name!r}")
            number = isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound)
            if not number or (name != "value" and bound <= 0) or (name in _WHOLE and bound != int(bound)):
                wanted = {True: "a whole number >= 1", False: "a number > 0"}[name in _WHOLE]
                raise UnsupportedError(
                    f"the rule {name!r} of stop takes {'a number' if name == 'value' else wanted}, got {bound!r}"
                )
        rules = {name: float(bound) for name, bound in stop.items() if name != "window"}
        if not rules or ("window" in stop and not {"drift", "level"} & rules.keys()):
            raise UnsupportedError(
                f"stop needs a rule: {', '.join(_SAYS)}; window is how many steps drift and level look at. Got "
                f"{dict(stop)!r}"
            )
        return cls(rules, int(stop.get("window", 20)))

    def check(self, objectives: int) -> None:
        """Refuse what looks at one value where there are several objectives."""
        wrong = sorted(_OF_ONE_VALUE & self.rules.keys()) if objectives > 1 else []
        if "drift" in self.rules and objectives > 1:
            wrong.append("drift")  # every particle has a consensus of its own
        if wrong:
            raise UnsupportedError(
                f"{objectives} objectives have no one {' and no one '.join(wrong)} to look at; stop by steps, horizon, "
                "movement or spread"
            )

    @property
    def of_a_swarm(self) -> dict[str, float]:
        """The rules that look at how a swarm moves and what it finds."""
        return {name: bound for name, bound in self.rules.items() if name in _OF_A_SWARM}

    def reason(self, seen: Mapping[str, float], sense: float) -> str:
        """Which rule holds, in a sentence; "" for none.

        Args:
            seen: By rule what there is, in the units of the study; a rule of which nothing is known does not hold.
            sense: 1 where large values are good, -1 where small ones are.
        """
        for name, bound in self.rules.items():
            now = seen.get(name, math.nan)
            if name == "value":
                held = sense * now >= sense * bound
            elif name in ("steps", "horizon", "stagnation"):
                held = now >= bound - 1e-12
            else:
                held = now < bound
            if held:
                return f"{_SAYS[name].format(seen=now, bound=bound, window=self.window)} (rule {name!r} of cbo)"
        return ""
