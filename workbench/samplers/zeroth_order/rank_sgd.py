"""`rank_sgd`: ZO-RankSGD through ask and feedback, for any number of parameters and of candidates in a question.

The first round spreads points and goes on from the best of them. Then estimates and searches take turns (`descent`).
What a trial was proposed for stands in its `meta`: the number of its round, which phase that was, and where an
objective is measured the trials by whose values the round before was ended. Everything else is replayed from what was
shown and how it was ranked: so an answer that is undone takes the descent back with it, and every process comes to the
same state.

A round ends with the first answer that orders some of its trials, or, where an objective is measured, when as many
trials as a round has are finished: they are then ranked by their values, failed ones last. It waits for no other, and
what is finished later changes nothing. "Cannot tell" and skip
begin the round anew with other points, "none acceptable" with a larger radius; "more like this" and "go back" move to
the trial that they name.

Of several raters who are asked at once one is shown the search; the next ones get further small changes of the last
estimate, and what they say of these is averaged into the direction as long as the best has not moved. Once that has
happened, a search along the new direction is shown beside the one that still waits, so that nobody who is away holds up
the others.

Symbols: m trials of a round, d encoded columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import UnsupportedError
from workbench.integers import integer
from workbench.problem import Preference
from workbench.rankings import ORDERING, edge_weights, edges
from workbench.samplers.base import AskRequest, Proposal, Sampler, Screen, check_number, check_switch, spread_out
from workbench.samplers.zeroth_order.descent import Settings, Shell, State
from workbench.trial import TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.space import Space
    from workbench.trial import FeedbackRecord, History

    Array = NDArray[np.float64]
    Edges = frozenset[tuple[int, int]]

_BOX, _LATENT = 0.1, 0.4  # usual radius in the unit cube, and of latents, whose coordinates have standard deviation 1
_LONG = 3.0  # usual longest step, in radii
_TRIES = 16  # draws of a perturbation that falls on a point that is there already
_OUT = (TrialState.VOID, TrialState.REJECTED)
_WORDS = {
    "start": "spread out to find where to begin",
    "estimate": "a small change of the best so far, to learn which way is better",
    "search": "a step that way",
}


class RankSGDSampler(Sampler):
    """Descent along directions that rankings of small changes show; for many parameters, such as the latent of a model.

    Args:
        candidates: Trials of a round where values are measured; a question has as many as it asks for.
        radius: Size of the changes, in encoded units; None for 0.1 of each range, and 0.4 of a latent.
        step: Longest step, in multiples of the direction; None for three radii.
        halving: What each further step of a search is of the one before.
        shrink: What the radius is multiplied with after each estimate.
        averaging: Average the directions of all rounds since the best trial last changed.
        start: Parameters to begin at; None spreads a first round.
    """

    name = "rank_sgd"
    serves = frozenset({"float", "int", "ordinal", "vector", "preference"})

    def __init__(
        self, candidates: int = 8, radius: float | None = None, step: float | None = None, halving: float = 0.5,
        shrink: float = 0.97, averaging: bool = True, start: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        if integer(candidates, 2) is None:
            raise UnsupportedError(f"candidates must be a whole number >= 2, got {candidates!r}")
        radius, step = (
            None if value is None else check_number(name, value, above=0)
            for name, value in (("radius", radius), ("step", step))
        )
        halving, shrink = (
            check_number("halving", halving, above=0, most=1),
            check_number("shrink", shrink, above=0, most=1),
        )
        averaging = check_switch("averaging", averaging)
        if start is not None and not isinstance(start, Mapping):
            raise UnsupportedError(f"start must be parameters by name, or None; got {start!r}")
        self._options: dict[str, Any] = {
            "candidates": candidates, "radius": radius, "step": step, "halving": halving, "shrink": shrink,
            "averaging": averaging, "start": start,
        }  # fmt: skip

    def options(self) -> dict[str, Any]:
        """Sizes and schedules."""
        return dict(self._options)

    def check(self, request: AskRequest) -> None:
        """Refuse known constraints, outcomes that people judge, and several goals."""
        super().check(request)
        history = request.history
        reasons = []
        if history.space.constrained:
            reasons.append("known constraints")
        if any(isinstance(goal, Preference) and goal.over == "outcomes" for goal in history.objectives):
            reasons.append("a preference over outcomes")
        if len(history.objectives) != 1:
            reasons.append(f"{len(history.objectives)} goals at once")
        if reasons:
            raise UnsupportedError(f"sampler 'rank_sgd' cannot serve {'; '.join(reasons)}; use sampler='auto'")

    def ask(self, request: AskRequest) -> list[Proposal]:
        """The trials that the present round is short of, and more of the same if it is short of none."""
        history = request.history
        shell = shell_of(history.space)
        walk = _Walk(history, self._settings(history.space), shell, self._options)
        walk.run()
        if walk.state is None:
            return spread_out(request, why=_WORDS["start"], meta=walk.note("start"))
        if walk.state.searching:
            waits = bool(walk.shown & request.held)
            estimate = walk.estimate() if waits and not walk.late else None
            if estimate is not None:  # somebody else is asked about the steps: another opinion of the direction
                state, number = estimate
                return self._perturb(request, state, walk.note("estimate", number), shell, request.n, [])
            return self._search(request, walk, shell, 0 if waits else len(walk.shown))
        return self._perturb(request, walk.state, walk.note("estimate"), shell, request.n, [])

    def _settings(self, space: Space) -> Settings:
        given = self._options
        latent = any(p.kind == "vector" and not p.box for p in space)
        radius = given["radius"] or (_LATENT if latent else _BOX)
        return Settings(radius, given["step"] or _LONG * radius, given["halving"], given["shrink"], given["averaging"])

    def _perturb(
        self, request: AskRequest, state: State, meta: dict[str, Any], shell: Shell, n: int, taken: list[Array]
    ) -> list[Proposal]:
        """n perturbations that exist, no two equal, with a note."""
        history = request.history
        screen = Screen(history, taken)
        found: list[Array] = []
        wanted = n
        for attempt in range(_TRIES):
            normals = request.rng.standard_normal((wanted, history.space.width))
            wide = State(state.x, state.radius * 2.0 ** (attempt / 4))
            for x in _existing(request, wide.perturbed(normals, shell)):
                if screen.admits(x[None])[0]:
                    screen.take(x[None])
                    found.append(x)
            wanted = n - len(found)
            if wanted == 0:
                break
        proposals = [Proposal(x, meta, _WORDS["estimate"]) for x in found]
        if wanted:
            proposals += spread_out(request, wanted, [*taken, *found], why="what is left of the space", meta=meta)
        return proposals

    def _search(self, request: AskRequest, walk: _Walk, shell: Shell, first: int) -> list[Proposal]:
        """Steps along the direction, beside the best so far and the best perturbation in a question.

        Args:
            request: What is wanted.
            walk: Where the descent stands.
            shell: Where the points lie.
            first: Steps of this search that are in the record already.
        """
        history, state = request.history, walk.state
        assert state is not None
        meta = walk.note("search")
        old: list[Proposal] = []
        if request.purpose == "question" and not first:
            free = walk.ranked if request.n > 1 else set()  # beside new ones what was judged may stand in two questions
            rows = [row for row in (walk.base, walk.probe) if row is not None]
            rows = [row for row in rows if row in free or row not in request.held][: max(1, request.n - 1)]
            rows = rows if request.n > 2 else rows[:1]
            words = {walk.base: "the best so far", walk.probe: "the best of the small changes"}
            old = [Proposal(history.X[row], why=words[row], trial=int(history.numbers[row])) for row in rows]
        n = request.n - len(old)
        points = _existing(request, state.steps(first + n, self._settings(history.space), shell))
        screen = Screen(history)
        chosen: list[Array] = []
        if walk.base is None:
            start = _existing(request, state.x[None])
            looked_at = any(np.array_equal(history.X[row], start[0]) for row in walk.shown)
            if looked_at or n > 1 or request.purpose != "question":  # beside what it is to be better than
                points = np.concatenate([start, points])
        for x in points[first : first + n]:
            if screen.admits(x[None])[0]:
                screen.take(x[None])
                chosen.append(x)
        new = [Proposal(x, meta, _WORDS["search"]) for x in chosen]
        if len(new) < n:  # steps too short to make a difference
            new += self._perturb(request, state, meta, shell, n - len(new), chosen)
        return old + new


def shell_of(space: Space) -> Shell:
    """Where the points of a space lie."""
    latents = tuple(space.slices[p.name] for p in space if p.kind == "vector" and not p.box)
    box = [c for p in space if p.box for c in range(*space.slices[p.name].indices(space.width))]
    return Shell(latents, np.array(box, dtype=np.int64))


def _existing(request: AskRequest, X: Array) -> Array:
    """The points (m, d) with fixed values put in, at values that the parameters can take."""
    space = request.history.space
    for name, value in request.fixed.items():
        X[:, space.slices[name]] = space[name].encode([value])
    return space.encode(space.decode(X))


@dataclass
class _Walk:
    """The descent replayed from the record.

    Attributes:
        state: Where it stands; None before the first round is ranked.
        round: Number of the present round.
        base, probe: Rows of the best trial and of the best perturbation; None where it is no trial.
        shown: Rows of the present round that are in the record.
        origins: Where it stood when each round began; None before there was a place to stand.
        ranked: Rows that some answer has ordered.
        late: Answers since the round began to estimates before it.
        told: Rows by whose values the round before the present one was ended; None where that was by an answer.
    """

    history: History
    settings: Settings
    shell: Shell
    options: dict[str, Any]
    state: State | None = None
    round: int = 0
    base: int | None = None
    probe: int | None = None
    shown: frozenset[int] = frozenset()
    origins: dict[int, State | None] = field(default_factory=dict)
    ranked: set[int] = field(default_factory=set)
    late: int = 0
    told: list[int] | None = None
    _rounds: dict[int, list[int]] = field(default_factory=dict)
    _phases: dict[int, str] = field(default_factory=dict)

    def note(self, phase: str, round: int | None = None) -> dict[str, Any]:
        """What a trial of a round notes, None for the present one."""
        noted: dict[str, Any] = {"round": self.round if round is None else round, "phase": phase}
        return {"rank_sgd": noted if self.told is None else {**noted, "told": self.told}}

    def estimate(self) -> tuple[State, int] | None:
        """The last estimate at the present best, if it can be added to: where it began, and the number of its round."""
        for number, origin in sorted(self.origins.items(), reverse=True) if self.settings.averaging else ():
            if self._phases.get(number) == "estimate" and self._stands_at(origin):
                assert origin is not None
                return origin, number
        return None

    def _stands_at(self, origin: State | None) -> bool:
        return origin is not None and self.state is not None and np.array_equal(origin.x, self.state.x)

    def run(self) -> None:
        history, start = self.history, self.options["start"]
        if start is not None:
            x = history.space.encode([history.space.check(start)])
            self.state = State(self.shell(x)[0], self.settings.radius)
        rounds, phases, told = self._rounds, self._phases, dict[int, list[int]]()
        for i, row in enumerate(history.rows):
            if row.meta and '"rank_sgd":' in row.meta and row.space_version == history.spaces.version:
                note = history.meta(i)["rank_sgd"]
                rounds.setdefault(note["round"], []).append(i)
                phases[note["round"]] = note["phase"]
                if "told" in note:
                    told.setdefault(note["round"], note["told"])
        if history.measured:
            while self._ranked_by_values(
                rounds.get(self.round, []), phases.get(self.round, ""), told.get(self.round + 1)
            ):
                self.round += 1
        else:
            for entry in history.feedback:
                if self.round not in self.origins:
                    self.origins[self.round], self.late = self.state, 0
                self._read(entry, rounds.get(self.round, []), phases.get(self.round, ""))
                if entry.kind in ORDERING:
                    self.ranked |= set(entry.of)
        out = history.in_state(*_OUT)
        self.shown = frozenset(i for i in rounds.get(self.round, []) if not out[i])

    # -- answers ---------------------------------------------------------------------------------

    def _read(self, entry: FeedbackRecord, members: Sequence[int], phase: str) -> None:
        """Go on by one entry of the log, if it speaks of the present round or says where to go."""
        if entry.kind == "go_back":
            self._go(entry.groups[0][0])
            return
        if not set(entry.of) & set(members):  # of an earlier round, or of other trials
            self._late(entry)
            return
        if entry.kind == "more_like":
            self._go(entry.groups[0][0])
        elif entry.kind in ORDERING:
            known = edges(entry.kind, entry.groups, entry.of)
            # A pinned trial stands beside an estimate, not in it: it is no small change of the best so far.
            ranked = set(members) if phase == "estimate" else set(entry.of)
            self._ranked([i for i in entry.of if i in ranked and self.history.placed[i]], known, phase)
            self.round += 1
        elif entry.kind in ("none_acceptable", "cannot_tell", "skip"):
            if self.state is not None and entry.kind == "none_acceptable":
                self.state = self.state.wider()
            self.round += 1

    def _late(self, entry: FeedbackRecord) -> None:
        """Average another rater's answer into the direction: of small changes of the present best, nobody's before."""
        number = next(
            (r for r in self.origins if r < self.round and set(entry.of) & set(self._rounds.get(r, []))), None
        )
        if entry.kind not in ORDERING or number is None or self._phases[number] != "estimate":
            return
        origin, members = self.origins[number], set(self._rounds[number])
        shown = [i for i in entry.of if i in members and self.history.placed[i]]
        if len(shown) < 2 or not self._stands_at(origin) or self.ranked & set(shown):
            return
        assert origin is not None
        assert self.state is not None
        self.late += 1
        omega = edge_weights(edges(entry.kind, entry.groups, entry.of), shown)
        if omega.any() and self.state.heading is not None and self.settings.averaging:
            same = replace(self.state, radius=origin.radius)
            averaged = same.estimated(self.history.X[shown], omega, self.settings)
            self.state = replace(self.state, heading=averaged.heading, averaged=averaged.averaged)

    def _go(self, row: int) -> None:
        if not self.history.placed[row]:  # of an earlier space, which the present one cannot hold
            return
        radius = self.settings.radius if self.state is None else self.state.radius
        self.state, self.base, self.probe = State(self.history.X[row], radius), row, None
        self.round += 1

    def _ranked_by_values(self, members: Sequence[int], phase: str, told: list[int] | None) -> bool:
        """Rank a round by its measured values, once enough of them are there.

        Args:
            members: Rows of the round.
            phase: What the round was for.
            told: Rows by which it was ended, where that has happened.
        """
        history = self.history
        out, size = history.in_state(*_OUT), self.options["candidates"]
        if told is None:
            told = [i for i in members if history.finished[i] and not out[i]]
            if len(told) < (max(1, size - 2) if phase == "search" else size):
                return False
        self.told = told
        alive = [i for i in told if not out[i]]
        shown = [*alive, *(row for row in (self.base, self.probe) if row is not None and phase == "search")]
        worth = history.utility(history.Y)[:, 0] if len(history.Y) else np.empty(0)
        values = np.where(history.complete & ~np.isnan(worth), worth, -np.inf)
        known = frozenset((i, j) for i in shown for j in shown if values[i] > values[j])
        self._ranked(shown, known, phase)
        return True

    # -- what an order does ------------------------------------------------------------------------

    def _ranked(self, shown: list[int], known: Edges, phase: str) -> None:
        X = self.history.X
        if phase == "estimate" and self.state is not None:
            if len(shown) < 2:
                return
            omega = edge_weights(known, shown)
            self.state = self.state.estimated(X[shown], omega, self.settings)
            self.probe = shown[int(np.argmax(omega))] if omega.any() else None
            return
        beaten = {worse for _, worse in known}
        winners = {better for better, _ in known} - beaten
        standing = [i for i in shown if i in winners]
        if phase == "start" or self.state is None:
            if standing:
                self._go_to(standing[0])
        elif not standing or self.base in standing:
            self.state, self.probe = self.state.stayed(), None
        elif self.base is None and self._stands_at_start(standing[0]):
            self.state, self.base, self.probe = self.state.stayed(), standing[0], None
        else:
            self._go_to(standing[0])

    def _stands_at_start(self, row: int) -> bool:
        assert self.state is not None
        return np.array_equal(self.history.X[row], self.state.x)

    def _go_to(self, row: int) -> None:
        x = self.history.X[row]
        self.state = State(x, self.settings.radius) if self.state is None else self.state.moved(x)
        self.base, self.probe = row, None
