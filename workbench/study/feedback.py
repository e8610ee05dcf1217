"""What people say about trials: orders with ties, best and worst, skips, wishes, and questions.

The log is append-only; an undo is an entry of its own. What an entry of each kind states is said in `rankings`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.errors import ExhaustedSpaceError, FeedbackError, InvalidValueError, SamplerError
from workbench.integers import integer
from workbench.problem import Preference, Rendered
from workbench.rankings import ORDERING, Consistency, Groups, consistency, edges, partial_order, ranking
from workbench.study.asking import foresee
from workbench.study.record import finite
from workbench.study.telling import announce
from workbench.trial import FeedbackRecord, QuestionRecord, Trial, TrialState, now, standing, undone

if TYPE_CHECKING:
    from workbench.storage import Transaction
    from workbench.study.study import Study

Named = Trial | int
_OUT = (TrialState.VOID, TrialState.REJECTED, TrialState.FAILED)  # cannot be judged
_REPEATED = 0.1  # share of questions that were answered before, to see how much an answer can be relied on
_APART = 3  # questions that lie between the two at least


class Feedback:
    """What people said: an append-only log of rankings, best picks, skips and undos."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._record = study._record

    @property
    def log(self) -> tuple[FeedbackRecord, ...]:
        """Every entry in the order of arrival, undone ones and undos included."""
        return tuple(self._record.storage.feedback(self._record.id))

    @property
    def standing(self) -> tuple[FeedbackRecord, ...]:
        """The entries that no undo has taken back."""
        return standing(self.log)

    def rank(
        self, groups: Iterable[Iterable[Named]], *, of: Sequence[Named] | None = None,
        rater: str = "", confidence: float | None = None,
    ) -> FeedbackRecord:  # fmt: skip
        """Record an order, best group first; trials of one group are tied, and one group alone: no difference.

        Args:
            groups: Trials or their numbers.
            of: All that were shown, if more than are ranked; the rest is unordered, not tied.
            rater: Who judged.
            confidence: Probability that the answer is right, in (0, 1].
        Raises:
            FeedbackError: if the ranking contradicts itself or names unknown trials.
        """
        shown = None if of is None else self._numbers(of)
        ranked = ranking(self._ordered(groups), shown)
        return self._add("rank", ranked, shown, rater, confidence)

    def compare(
        self, better: Named, worse: Named, *, rater: str = "", confidence: float | None = None
    ) -> FeedbackRecord:
        """Record that one trial is better than another."""
        ranked = ranking([self._numbers([better]), self._numbers([worse])])
        return self._add("compare", ranked, None, rater, confidence)

    def pick_best(
        self, best: Named, *, of: Sequence[Named], rater: str = "", confidence: float | None = None
    ) -> FeedbackRecord:
        """Record that one trial is better than each of the others shown."""
        shown, winner = self._numbers(of), self._numbers([best])[0]
        if winner not in shown or len(set(shown)) < 2:
            raise FeedbackError(f"the best must be one of at least two trials shown; got {winner} of {shown}")
        return self._add("best", ((winner,),), shown, rater, confidence)

    def pick_worst(
        self, worst: Named, *, of: Sequence[Named], rater: str = "", confidence: float | None = None
    ) -> FeedbackRecord:
        """Record that each of the others shown is better than one trial."""
        shown, loser = self._numbers(of), self._numbers([worst])[0]
        if loser not in shown or len(set(shown)) < 2:
            raise FeedbackError(f"the worst must be one of at least two trials shown; got {loser} of {shown}")
        return self._add("worst", ((loser,),), shown, rater, confidence)

    def order(
        self, stated: Iterable[tuple[Named, Named]], *, of: Sequence[Named] | None = None,
        rater: str = "", confidence: float | None = None,
    ) -> FeedbackRecord:  # fmt: skip
        """Record a partial order, given as (better, worse) pairs; what follows from them is known too.

        Raises:
            FeedbackError: if the pairs go round in a circle.
        """
        shown = None if of is None else self._numbers(of)
        return self._add("partial", self._partial(stated, shown), shown, rater, confidence)

    def pin(self, trial: Named, *, rater: str = "") -> FeedbackRecord:
        """Keep a trial in every question to come; undo the entry to let it go."""
        return self._wish("pin", trial, rater)

    @property
    def pinned(self) -> tuple[int, ...]:
        """Numbers of the trials that stay in every question; none that was taken out."""
        gone = self._gone()
        return tuple(number for number in pinned(self.standing) if number not in gone)

    def go_back(self, trial: Named, *, rater: str = "") -> FeedbackRecord:
        """Begin anew from a trial: the next question starts there, and the rater's open one is closed unanswered."""
        return self._wish("go_back", trial, rater)

    def consistency(self) -> dict[str, Consistency]:
        """By rater: repeated pairs, circles, and the estimated probability that an answer is right."""
        given: dict[str, list[frozenset[tuple[int, int]]]] = {}
        for entry in self.standing:
            if entry.kind in ORDERING:
                given.setdefault(entry.rater, []).append(edges(entry.kind, entry.groups, entry.of))
        return consistency(given)

    def picture(self, trial: Named) -> Rendered | None:
        """What was shown of a trial, byte for byte; None if nothing was."""
        number = self._record.number(trial)
        name = _picture(number)
        for row in self._study.files.list(number):
            if row.name == name:
                return Rendered(row.mime, self._study.files.get(name), str(self._study.trial(number).attrs["picture"]))
        return None

    def undo(self, feedback_id: int | FeedbackRecord, *, rater: str = "") -> FeedbackRecord:
        """Take an entry back by a new entry; undoing an undo restores what it took back."""
        target = integer(feedback_id.id if isinstance(feedback_id, FeedbackRecord) else feedback_id, least=None)
        if target is None:
            raise FeedbackError(f"expected a feedback entry or its number, got {feedback_id!r}; see study.feedback.log")
        with self._record.transaction("feedback") as tx:
            log = tx.feedback_log()
            known = {entry.id: entry for entry in log}
            if target not in known:
                raise FeedbackError(f"no feedback entry {target}; this study has {len(log)}, numbered from 0")
            if target in undone(log):
                raise FeedbackError(f"feedback entry {target} is undone already; undo that undo to restore it")
            entry = tx.feedback(kind="undo", undoes=target, rater=_name(rater), created=now())
            judgement = _judgement(known, entry)
            _reopen(tx, judgement, holds=judgement.id not in undone((*log, entry)))
            self._settle(tx, judgement.of)
        return entry

    def next_question(self, k: int = 4, rater: str | None = None) -> Question:
        """The open question, or a new one over k trials: the pinned ones, the latest that nobody judged, and an ask.

        The same question comes back until it is answered, skipped, or a trial of it is taken out;
        undoing its answer opens it again. Now and then one that was answered long ago comes again on
        purpose: how often the answers agree says how far they can be relied on. What depends on measured outcomes is
        asked about complete trials only.

        Raters who give their names are asked apart: each has an open question of their own, what nobody judged yet is
        shown to one of them at a time, and what comes again on purpose is what they answered themselves. The answers
        of all of them count in what is asked next.

        Args:
            k: Number of trials; an open question keeps its own.
            rater: Whose question; None or "" for the one that anybody may answer.
        Raises:
            FeedbackError: if k is less than 2, or the rater is no name.
            SamplerError: if the sampler cannot fill the question.
        """
        if integer(k, 2) is None:
            raise FeedbackError(f"a question shows at least 2 trials, got k={k!r}")
        owner = None if rater is None else _name(rater) or None
        while True:
            gone = self._gone()
            asked = self._record.storage.questions(self._record.id)
            question = _open(asked, gone, owner)
            if question is not None:
                return Question(self, question)
            judged = self._judged(self._record.history().feedback)
            again = self._again(asked, k, gone, owner)
            shown = self._shown(k, _held(asked, gone, owner)) if again is None else list(again)
            with self._record.transaction("question") as tx:
                questions = tx.questions()
                question = _open(questions, gone, owner)
                news = self._judged(tx.feedback_log()) - judged
                if question is None and len(questions) == len(asked) and not news & set(shown):
                    question = tx.question(shown, seed=_seed(self._record.seed, len(questions)), rater=owner)
            if question is not None:  # else somebody judged one of them meanwhile, or was asked about it
                return Question(self, question)

    @property
    def questions(self) -> tuple[QuestionRecord, ...]:
        """Every question in the order of asking, open ones and answered ones."""
        return tuple(self._record.storage.questions(self._record.id))

    def question(self, question_id: int) -> Question:
        """A question by its number."""
        found = next((row for row in self.questions if row.id == question_id), None)
        if found is None:
            raise FeedbackError(f"no question {question_id!r}; study.feedback.questions lists those that were asked")
        return Question(self, found)

    # -- inside ------------------------------------------------------------------------------

    def _gone(self) -> set[int]:
        history = self._record.history()
        out = history.in_state(*_OUT)
        return {int(number) for number in history.numbers[out]}

    def _again(
        self, questions: Sequence[QuestionRecord], k: int, gone: set[int], owner: str | None
    ) -> tuple[int, ...] | None:
        """The trials of an earlier question that is due to be asked again; None for a new question."""
        rng = np.random.default_rng(_seed(self._record.seed, len(questions), 1))
        said = {entry.id for entry in self.standing if entry.rater == owner}
        ordered = {entry.id for entry in self.standing if entry.kind in ORDERING}
        own = [question for question in questions if question.rater == owner or question.answered in said]
        seen = [frozenset(question.trials) for question in own]
        due = [
            question.trials
            for question in own[: max(0, len(own) - _APART)]
            if question.answered in ordered and len(question.trials) == k and not gone & set(question.trials)
            and seen.count(frozenset(question.trials)) == 1
        ]  # fmt: skip
        return due[rng.integers(len(due))] if due and rng.random() < _REPEATED else None

    def _shown(self, k: int, held: frozenset[int]) -> list[int]:
        """k trials to show: pinned ones, the latest that nobody judged or is asked about, and the sampler's proposals.

        Args:
            k: Number of trials.
            held: Trials of other raters' open questions.
        """
        outcomes = self._over_outcomes
        kept = list(self.pinned)[: k - 1]
        candidates = [] if outcomes else [n for n in self._candidates(k, held) if n not in kept][-(k - len(kept)) :]
        missing = k - len(kept) - len(candidates)
        asked = self._asked(missing, held, {*kept, *candidates})
        twice = (held & set(asked)) - self._judged(self._record.history().feedback) - set(kept)
        if twice:
            raise SamplerError(
                f"the sampler proposed trials {sorted(twice)}, which nobody judged and another rater is asked about; "
                "it has to leave out what AskRequest.held names"
            )
        shown = list(dict.fromkeys([*kept, *candidates, *asked]))
        if len(shown) < k:
            raise SamplerError(
                f"for a question of {k} trials the sampler proposed {asked} beside {[*kept, *candidates]}"
            )
        running = [n for n in shown if outcomes and self._study.trial(n).state != TrialState.COMPLETE]
        if running:
            raise SamplerError(
                f"{outcomes!r} depends on measured outcomes, and trials {running} have none; use sampler='auto' or "
                "'eubo', which ask about complete trials"
            )
        return shown

    def _asked(self, n: int, held: frozenset[int], beside: set[int]) -> list[int]:
        """Numbers of n trials of the sampler; where the space is used up, then of those that were judged least often.

        Args:
            n: How many.
            held: Trials of other raters' open questions.
            beside: What is shown with them.
        Raises:
            ExhaustedSpaceError: if there are not so many trials either.
        """
        exhausted = None
        for few in range(n, 0, -1):
            try:
                asked = [row.number for row in self._study._ask(few, purpose="question", held=held)]
                break
            except ExhaustedSpaceError as error:
                exhausted = exhausted or error
        else:
            asked = []
        if exhausted is None:
            return asked
        history = self._record.history()
        judged = Counter(number for entry in standing(history.feedback) for number in entry.of)
        live = history.numbers[history.in_state(TrialState.RUNNING, TrialState.COMPLETE)].tolist()
        others = [one for one in live if one not in {*asked, *beside} and (one not in held or judged[one])]
        again = sorted(others, key=lambda one: (judged[one], one))[: n - len(asked)]
        if len(asked) + len(again) < n:
            raise exhausted
        return [*asked, *again]

    @property
    def _over_outcomes(self) -> str | None:
        """Name of the preference that depends on outcomes, if there is one."""
        goals = (goal for goal in self._record.objectives if isinstance(goal, Preference))
        return next((goal.name for goal in goals if goal.over == "outcomes"), None)

    def _wish(self, kind: str, trial: Named, rater: str) -> FeedbackRecord:
        number = self._numbers([trial])[0]
        if self._study.trial(number).state in _OUT:
            raise FeedbackError(f"trial {number} is {self._study.trial(number).state} and cannot be shown")
        gone = self._gone()
        with self._record.transaction("feedback") as tx:
            question = _current(tx.questions(), gone, _name(rater)) if kind == "go_back" else None
            of = () if question is None else question.trials
            entry = tx.feedback(
                kind=kind, groups=((number,),), of=of, rater=_name(rater), created=now(),
                question=None if question is None else question.id,
            )  # fmt: skip
            if question is not None:
                tx.answer(question.id, entry.id)
                self._settle(tx, of)
        return entry

    def _partial(self, stated: Iterable[tuple[Named, Named]], shown: Sequence[int] | None) -> Groups:
        pairs = [self._numbers(pair) for pair in stated]
        wrong = [pair for pair in pairs if len(pair) != 2]
        if wrong:
            raise FeedbackError(f"a partial order is given as (better, worse) pairs, got {wrong[0]}")
        return partial_order([(better, worse) for better, worse in pairs], shown)

    @staticmethod
    def _judged(log: Sequence[FeedbackRecord]) -> set[int]:
        return {number for entry in standing(log) for number in entry.of}

    def _candidates(self, k: int, held: frozenset[int]) -> tuple[int, ...]:
        history = self._record.history()
        judged = self._judged(history.feedback) | held
        live = history.in_state(TrialState.RUNNING, TrialState.COMPLETE)
        fresh = [int(number) for number in history.numbers[live] if int(number) not in judged]
        return tuple(fresh[-k:])

    def _ordered(self, groups: Iterable[Iterable[Named]]) -> list[tuple[int, ...]]:
        if not isinstance(groups, Iterable):
            raise FeedbackError(
                f"expected groups of trials, best first, such as [[best], [second, third]], got {groups!r}"
            )
        return [self._numbers(group) for group in groups]

    def _numbers(self, trials: Iterable[Named]) -> tuple[int, ...]:
        if isinstance(trials, Trial | str) or not isinstance(trials, Iterable):
            raise FeedbackError(f"expected a group of trials such as [[best], [second, third]], got {trials!r}")
        return tuple(self._record.number(trial) for trial in trials)

    def _add(
        self, kind: str, groups: Groups, shown: Sequence[int] | None, rater: str,
        confidence: float | None = None, question: int | None = None,
    ) -> FeedbackRecord:  # fmt: skip
        if confidence is not None and not 0 < finite("confidence", confidence) <= 1:
            raise FeedbackError(f"confidence is a probability in (0, 1], got {confidence!r}")
        of = tuple(dict.fromkeys(_flat(groups))) if shown is None else tuple(shown)
        if len(set(of)) < len(of):
            raise FeedbackError(f"each trial is shown once, got of={list(of)}; leave the repeats out")
        with self._record.transaction("feedback") as tx:
            for number in of:
                state = tx.row(number).state
                if state in (*_OUT, TrialState.WAITING):
                    remedy = "leave it out" if question is None else "call next_question() for another question"
                    raise FeedbackError(f"trial {number} is {state} and cannot be judged; {remedy}")
            entry = tx.feedback(
                kind=kind, groups=groups, of=of, rater=_name(rater), confidence=confidence, question=question,
                created=now(),
            )  # fmt: skip
            if question is not None:
                answered = next(q.answered for q in tx.questions() if q.id == question)
                if answered is not None:
                    raise FeedbackError(
                        f"question {question} is answered already by feedback {answered}; "
                        f"take that back with study.feedback.undo({answered}), or call next_question()"
                    )
                tx.answer(question, entry.id)
            self._settle(tx, of)
        return entry

    def _settle(self, tx: Transaction, numbers: Iterable[int]) -> None:
        """A trial judged only by people is complete while an entry names it, and running again without one."""
        if any(not isinstance(goal, Preference) for goal in self._record.objectives) or self._record.constraints:
            return
        judged = {n for entry in standing(tx.feedback_log()) for n in entry.of}
        for number in set(numbers):
            state = tx.row(number).state
            if state == TrialState.RUNNING and number in judged:
                announce(self._record, tx.update(number, state="complete", finished=now(), expires=None))
            elif state == TrialState.COMPLETE and number not in judged:
                tx.update(number, state=str(TrialState.RUNNING), finished=None)


class Question:
    """Trials shown together, waiting for one answer."""

    def __init__(self, feedback: Feedback, row: QuestionRecord) -> None:
        self._feedback = feedback
        self._row = row

    @property
    def id(self) -> int:
        """Number of the question within the study."""
        return self._row.id

    @property
    def rater(self) -> str | None:
        """Whom it was asked of; None: anybody may answer."""
        return self._row.rater

    @property
    def trials(self) -> list[Trial]:
        """What is shown, in the order in which it is shown: shuffled by the stored seed."""
        study = self._feedback._study
        order = np.random.default_rng(self._row.seed).permutation(len(self._row.trials))
        return [study.trial(self._row.trials[place]) for place in order]

    def pictures(self, render: Callable[[Mapping[str, Any]], Rendered]) -> list[Rendered]:
        """What to look at, in the order of `trials`: stored when it is first shown, and the very same from then on.

        Args:
            render: Makes the picture of a trial's parameters.
        Raises:
            InvalidValueError: if it makes something else.
        """
        return [self._picture(trial, render) for trial in self.trials]

    def _picture(self, trial: Trial, render: Callable[[Mapping[str, Any]], Rendered]) -> Rendered:
        known = self._feedback.picture(trial)
        if known is not None:
            return known
        made = render(trial.params)
        if not isinstance(made, Rendered):
            raise InvalidValueError(
                f"expected render to give a wb.Rendered(mime, data, alt) for trial {trial.number}, "
                f"got {type(made).__name__}; a problem's `render` does, such as pictures(problem.render)"
            )
        study = self._feedback._study
        study.annotate(trial, attrs={"picture": made.alt})
        study.files.put(_picture(trial.number), made.data, made.mime, trial)
        return made

    def foresee(self, kind: str, groups: Iterable[Iterable[Named]] = ()) -> list[dict[str, Any]]:
        """Parameters of the new trials that the next question would show if this were the answer; nothing is written.

        A forecast, good enough to prepare them: it takes the trials for running that an answer would complete, and no
        account of a question that comes a second time.

        Args:
            kind: Of the answer, as in the log; `rankings` says how the groups of each are read.
            groups: Trials or their numbers.
        """
        feedback = self._feedback
        numbers = tuple(feedback._numbers(group) for group in groups)
        entry = FeedbackRecord(
            len(feedback.log), kind, numbers, self._row.trials, self.rater or "", question=self._row.id
        )
        history, gone = feedback._record.history(), feedback._gone()
        kept = feedback.pinned
        n = max(1, len(self._row.trials) - len(kept))
        return foresee(
            feedback._record, feedback._study.sampler, n, replace(history, feedback=(*history.feedback, entry)),
            _held(feedback.questions, gone, self.rater),
        )  # fmt: skip

    def answer(
        self, groups: Iterable[Iterable[Named]], *, rest: Literal["unordered", "worse"] = "unordered",
        rater: str = "", confidence: float | None = None,
    ) -> FeedbackRecord:  # fmt: skip
        """Rank the shown trials, best group first; groups are ties.

        Args:
            groups: Trials or their numbers.
            rest: What is known of those left out: nothing, or that they are worse than all that are ranked.
            rater: Who judges; whom the question was asked of, unless that was nobody.
            confidence: Probability that the answer is right, in (0, 1].
        Raises:
            FeedbackError: if the answer contradicts itself, or the question belongs to another rater or is answered.
        """
        if rest not in ("unordered", "worse"):
            raise FeedbackError(f"rest= is 'unordered' or 'worse', got {rest!r}")
        worse = rest == "worse"
        ranked = ranking(self._feedback._ordered(groups), self._row.trials, least=1 if worse else 2)
        return self._close("best" if worse else "rank", ranked, rater, confidence)

    def best(self, trial: Named, *, rater: str = "", confidence: float | None = None) -> FeedbackRecord:
        """Say which of the shown trials is the best."""
        return self.answer([[trial]], rest="worse", rater=rater, confidence=confidence)

    def worst(self, trial: Named, *, rater: str = "", confidence: float | None = None) -> FeedbackRecord:
        """Say which of the shown trials is the worst."""
        ranked = ranking([self._feedback._numbers([trial])], self._row.trials, least=1)
        return self._close("worst", ranked, rater, confidence)

    def order(
        self, stated: Iterable[tuple[Named, Named]], *, rater: str = "", confidence: float | None = None
    ) -> FeedbackRecord:
        """Order some of the shown trials by (better, worse) pairs."""
        return self._close("partial", self._feedback._partial(stated, self._row.trials), rater, confidence)

    def no_difference(self, *, rater: str = "", confidence: float | None = None) -> FeedbackRecord:
        """Say that all shown trials are equally good."""
        return self._close("rank", (self._row.trials,), rater, confidence)

    def more_like(self, trial: Named, *, rater: str = "") -> FeedbackRecord:
        """Say that one trial is the best, and ask for its neighbourhood next."""
        ranked = ranking([self._feedback._numbers([trial])], self._row.trials, least=1)
        return self._close("more_like", ranked, rater)

    def cannot_tell(self, *, rater: str = "") -> FeedbackRecord:
        """Say that the shown trials cannot be compared; unlike "no difference" this states nothing about them."""
        return self._close("cannot_tell", (), rater)

    def skip(self, *, rater: str = "") -> FeedbackRecord:
        """Close the question without an answer; anybody may do so, for it judges nothing and frees what was shown."""
        return self._close("skip", (), rater)

    def none_acceptable(self, *, rater: str = "") -> FeedbackRecord:
        """Say that none of the shown trials is good enough: not a tie, but a bound of what they are worth."""
        return self._close("none_acceptable", (), rater)

    def _close(self, kind: str, groups: Groups, rater: str, confidence: float | None = None) -> FeedbackRecord:
        owner, rater = self.rater, _name(rater) or self.rater or ""
        if owner is not None and rater != owner and kind != "skip":
            raise FeedbackError(
                f"question {self.id} was asked of {owner!r} and cannot be answered by {rater!r}; leave rater= out to "
                f"answer it as {owner!r}, or ask a question of their own with next_question(rater={rater!r})"
            )
        return self._feedback._add(kind, groups, self._row.trials, rater, confidence, self.id)


def _flat(groups: Groups) -> list[int]:
    return [number for group in groups for number in group]


def pinned(standing: Iterable[FeedbackRecord]) -> tuple[int, ...]:
    """Numbers of the trials that stay in every question, the latest pinned first."""
    pins = [entry.groups[0][0] for entry in standing if entry.kind == "pin"]
    return tuple(dict.fromkeys(reversed(pins)))


def _picture(number: int) -> str:
    return f"picture of trial {number}"


def _seed(*parts: int) -> int:
    """A seed of its own for each part of the record, within a database's integers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0])


def _name(rater: object) -> str:
    if not isinstance(rater, str):
        raise FeedbackError(f"rater must be a name, got {rater!r}; pass text")
    return rater


def _judgement(known: Mapping[int, FeedbackRecord], entry: FeedbackRecord) -> FeedbackRecord:
    """The judgement at the end of a chain of undos."""
    while entry.kind == "undo" and entry.undoes is not None:
        entry = known[entry.undoes]
    return entry


def _waiting(questions: Iterable[QuestionRecord], gone: set[int]) -> list[QuestionRecord]:
    """The questions without an answer of which no trial was taken out."""
    return [q for q in questions if q.answered is None and not gone & set(q.trials)]


def _open(questions: Iterable[QuestionRecord], gone: set[int], owner: str | None) -> QuestionRecord | None:
    """The first question that waits for a rater; with None for anybody."""
    return next((q for q in _waiting(questions, gone) if q.rater == owner), None)


def _current(questions: Sequence[QuestionRecord], gone: set[int], rater: str) -> QuestionRecord | None:
    """What a rater is looking at: who was never asked by name answers what anybody may answer."""
    named = any(q.rater == rater for q in questions)
    return _open(questions, gone, rater if named else None)


def _held(questions: Iterable[QuestionRecord], gone: set[int], owner: str | None) -> frozenset[int]:
    """The trials that somebody else is asked about."""
    return frozenset(n for q in _waiting(questions, gone) if q.rater != owner for n in q.trials)


def _reopen(tx: Transaction, judgement: FeedbackRecord, *, holds: bool) -> None:
    """A question is open again when its answer is undone, and closed when that is undone in turn."""
    if judgement.question is None:
        return
    answered = next(q.answered for q in tx.questions() if q.id == judgement.question)
    if not holds and answered == judgement.id:
        tx.answer(judgement.question, None)
    elif holds and answered is None:
        tx.answer(judgement.question, judgement.id)
    elif holds:
        raise FeedbackError(
            f"feedback {judgement.id} answered question {judgement.question}, which feedback {answered} has answered "
            f"since; undo {answered} first"
        )
