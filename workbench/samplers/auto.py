"""`auto`: the sampler that chooses samplers, by one table."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from workbench.errors import UnsupportedError, WorkbenchWarning
from workbench.samplers.base import KINDS, ROLES, AskRequest, Proposal, Sampler

if TYPE_CHECKING:
    from workbench.models.surrogate import Surrogate
    from workbench.trial import History

Factory = Callable[[], Sampler]


@dataclass(frozen=True)
class Rule:
    """One row of the table: the first rule whose sampler can serve a request, and whose goals match, is taken.

    Args:
        sampler: Registered name.
        beyond: Features of the goals that this sampler may be given although it does not look at them.
        reason: Why this sampler, for the `why` of its proposals.
        warning: What the user has to know when features in `beyond` are present.
        learns: Features of the goals that this sampler learns from; with a preference among them, the rule is for
            studies with one.
        several: Is it for several objectives only?
        most: Complete trials up to which the sampler answers in reasonable time.
    """

    sampler: str
    reason: str
    beyond: frozenset[str] = frozenset()
    warning: str = ""
    learns: frozenset[str] = frozenset()
    several: bool = False
    most: float = math.inf


_GOALS = frozenset({"objectives", "constraints", "preference"})
_JUDGED = frozenset({"preference", "objectives"})

TABLE: tuple[Rule, ...] = (
    # Beyond 2,000 trials its model is local; every ask still reads the whole record.
    Rule("preference", "people judge, and a Gaussian process of utility models the space", learns=_JUDGED, most=500),
    Rule("rank_sgd", "people judge, and there are too many parameters for a model of utility", learns=_JUDGED),
    Rule(
        "gp",
        "measured objectives, and a space that a Gaussian process models",
        learns=frozenset({"objectives", "constraints"}),
        most=20_000,
    ),
    Rule(
        "evolutionary",
        "several objectives, and no model for a space of this kind or size: ranks lead, in generations",
        learns=frozenset({"objectives", "constraints"}),
        several=True,
    ),
    # At a few hundred trials the model is decades ahead of a swarm (`benchmarks/consensus.py expensive`).
    Rule(
        "cbo",
        "no model for a space of this size, or for so many trials: a swarm agrees on where to look",
        learns=frozenset({"constraints"}),
    ),
    Rule("sobol", "no sampler that learns serves a space of this kind yet: the points are spread evenly"),
    Rule(
        "sobol",
        "spread evenly",
        beyond=_GOALS,
        warning="no sampler here learns from {what} yet: the points are spread evenly and ignore the values told",
    ),
    Rule("random", "nothing better can serve this space", beyond=_GOALS),
)


@dataclass(frozen=True)
class BatchRule:
    """One row of the table for a cheap function in whole batches: the first that serves the study is taken.

    Args:
        sampler: Registered name.
        widest: Encoded columns up to which it was seen to end about as far as anything else that was measured.
        warning: What the user has to know beyond.
    """

    sampler: str
    widest: float = math.inf
    warning: str = ""


BATCHES: tuple[BatchRule, ...] = (
    # At equal evaluations, on Rastrigin, Ackley, Griewank and Salomon (`benchmarks/consensus.py suite`): in 20
    # variables cbo reaches .53 of the targets and CMA-ES .60, in 100 .09 and .43. CMA-ES is ahead on all four in 100
    # and in 1,000.
    BatchRule(
        "cbo",
        20,
        "a swarm of cbo is taken, since nothing else here runs whole batches over {columns} columns; in 100 and in "
        "1,000 CMA-ES (package cma) ended lower on all four functions that were tried, with as many evaluations",
    ),
    BatchRule("gflownet"),
)
"""Numbers and choices by a swarm, then words and orders."""


def _takes(sampler: Sampler, request: AskRequest) -> bool:
    try:
        sampler.check(request)
    except UnsupportedError:
        return False
    return True


class AutoSampler(Sampler):
    """Hands every request to the first sampler of the table that can serve it.

    Args:
        factories: Makers of samplers by registered name.
    """

    name = "auto"
    serves = KINDS | ROLES | _GOALS | {"near", "prefer", "thresholds"}

    def __init__(self, factories: Mapping[str, Factory]) -> None:
        self._factories = factories
        self._made: dict[str, Sampler] = {}  # some keep in memory what they would have to work out again

    def choose(self, request: AskRequest) -> tuple[Rule, Sampler, str]:
        """The rule that applies, its sampler, and the warning that goes with it ("" for none).

        Raises:
            UnsupportedError: if no rule applies.
        """
        for rule in TABLE:
            if rule.sampler not in self._made:
                self._made[rule.sampler] = self._factories[rule.sampler]()
            sampler = self._made[rule.sampler]
            goals = {feature: what for feature, what in request.needs.items() if feature in _GOALS}
            unlearnt = goals.keys() - rule.learns
            if (
                (unlearnt and not rule.beyond)
                or (rule.several and len(request.history.measured) < 2)
                or (rule.learns == _JUDGED and "preference" not in goals)
                or request.history.complete.sum() > rule.most
                or not _takes(sampler, request)
            ):
                continue
            warning = rule.warning.format(what=" and ".join(goals.values())) if unlearnt and rule.beyond else ""
            return rule, sampler, warning
        weighed = [f"{word}=" for word in ("prefer", "thresholds") if word in request.needs]
        if weighed and "objectives" not in request.needs:
            raise UnsupportedError(
                f"{' and '.join(weighed)} steer between several measured objectives, this study has "
                f"{len(request.history.measured)}; leave {'it' if len(weighed) == 1 else 'them'} out"
            )
        raise UnsupportedError(
            f"no sampler serves {', '.join(request.needs.values())} together; leave out near=, prefer= "
            "and thresholds=, or change the space"
        )

    def check(self, request: AskRequest) -> None:
        """Refuse what no rule covers."""
        self.choose(request)

    def ask(self, request: AskRequest) -> list[Proposal]:
        """Ask the chosen sampler; each proposal notes which one it was."""
        rule, sampler, warning = self.choose(request)
        note = {"auto": sampler.name}
        warnings = (warning,) if warning else ()
        return [
            replace(p, meta={**note, **p.meta}, why=p.why or rule.reason, warnings=(*warnings, *p.warnings))
            for p in sampler.ask(request)
        ]

    def batched(self, request: AskRequest) -> Sampler:
        """The sampler for a run of a cheap function in whole batches; warns where others would go further.

        Raises:
            UnsupportedError: if none can serve the study.
        """
        for rule in BATCHES:
            sampler = self._factories[rule.sampler]()
            if _takes(sampler, request):
                columns = request.history.space.width
                if columns > rule.widest:
                    warnings.warn(rule.warning.format(columns=columns), WorkbenchWarning, stacklevel=2)
                return sampler
        raise UnsupportedError(
            f"no sampler runs whole batches over {', '.join(request.needs.values())} together; call optimize without "
            "vectorized=True"
        )

    def surrogate(self, history: History) -> Surrogate:
        """The model of the sampler that would be chosen now."""
        import numpy as np

        request = AskRequest(history, 1, np.random.default_rng(0))
        return self.choose(request)[1].surrogate(history)
