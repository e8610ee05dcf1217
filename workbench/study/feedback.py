"""What people say about trials: rankings with ties, best picks, skips, and questions.

The log is append-only; an undo is an entry of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.errors import FeedbackError, SamplerError
from workbench.problem import Preference
from workbench.rankings import Groups, ranking
from workbench.study.record import finite
from workbench.study.telling import announce
from workbench.trial import FeedbackRecord, QuestionRecord, Trial, TrialState, now, standing, undone

if TYPE_CHECKING:
    from workbench.storage import Transaction
    from workbench.study.study import Study

Named = Trial | int
_OUT = (TrialState.VOID, TrialState.REJECTED, TrialState.FAILED)  # cannot be judged


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
        """Record an order, best group first; trials of one group are tied.

        Args:
            groups: Trials or their numbers.
            of: All that were shown, if more than are ranked; the rest is unordered, not tied.
            rater: Who judged.
            confidence: Probability that the answer is right, in (0, 1].
        Raises:
            FeedbackError: if the ranking contradicts itself or names unknown trials.
        """
        shown = None if of is None else self._numbers(of)
        ranked = ranking([self._numbers(group) for group in groups], shown)
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

    def undo(self, feedback_id: int | FeedbackRecord, *, rater: str = "") -> FeedbackRecord:
        """Take an entry back by a new entry; undoing an undo restores what it took back."""
        target = feedback_id.id if isinstance(feedback_id, FeedbackRecord) else feedback_id
        if isinstance(target, bool) or not isinstance(target, int):
            raise FeedbackError(f"expected a feedback entry or its number, got {target!r}; see study.feedback.log")
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

    def next_question(self, k: int = 4) -> Question:
        """The open question, or a new one over k trials: the latest that nobody judged, topped up by an ask.

        The same question comes back until it is answered, skipped, or a trial of it is taken out;
        undoing its answer opens it again.
        """
        if isinstance(k, bool) or not isinstance(k, int) or k < 2:
            raise FeedbackError(f"a question shows at least 2 trials, got k={k!r}")
        while True:
            gone = self._gone()
            question = _open(self._record.storage.questions(self._record.id), gone)
            if question is not None:
                return Question(self, question)
            judged = self._judged(self._record.history().feedback)
            shown = self._shown(k)
            with self._record.transaction("question") as tx:
                question = _open(tx.questions(), gone)
                news = self._judged(tx.feedback_log()) - judged
                if question is None and not news & set(shown):
                    question = tx.question(shown, seed=self._record.seed)
            if question is not None:  # else somebody judged one of them meanwhile
                return Question(self, question)

    # -- inside ------------------------------------------------------------------------------

    def _gone(self) -> set[int]:
        history = self._record.history()
        out = history.in_state(*_OUT)
        return {int(number) for number in history.numbers[out]}

    def _shown(self, k: int) -> list[int]:
        """k trials to show: the latest that nobody judged, and new ones."""
        candidates = self._candidates(k)
        missing = k - len(candidates)
        asked = [row.number for row in self._study._ask(missing, purpose="question")] if missing else []
        shown = list(dict.fromkeys([*candidates, *asked]))
        if len(shown) < k:
            raise SamplerError(f"for a question of {k} trials the sampler proposed {asked} beside {list(candidates)}")
        return shown

    @staticmethod
    def _judged(log: Sequence[FeedbackRecord]) -> set[int]:
        return {number for entry in standing(log) for number in entry.of}

    def _candidates(self, k: int) -> tuple[int, ...]:
        history = self._record.history()
        judged = self._judged(history.feedback)
        live = history.in_state(TrialState.RUNNING, TrialState.COMPLETE)
        fresh = [int(number) for number in history.numbers[live] if int(number) not in judged]
        return tuple(fresh[-k:])

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
        of = tuple(_flat(groups)) if shown is None else tuple(shown)
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
    def trials(self) -> list[Trial]:
        """What is shown, in the order in which it is shown."""
        study = self._feedback._study
        return [study.trial(number) for number in self._row.trials]

    def answer(
        self, groups: Iterable[Iterable[Named]], *, rater: str = "", confidence: float | None = None
    ) -> FeedbackRecord:
        """Rank the shown trials, best group first; groups are ties, what is left out is unordered."""
        numbers = self._feedback._numbers
        ranked = ranking([numbers(group) for group in groups], self._row.trials)
        return self._close("rank", ranked, rater, confidence)

    def skip(self, *, rater: str = "") -> FeedbackRecord:
        """Close the question without an answer."""
        return self._close("skip", (), rater)

    def none_acceptable(self, *, rater: str = "") -> FeedbackRecord:
        """Say that none of the shown trials is good enough; not a tie."""
        return self._close("none_acceptable", (), rater)

    def _close(self, kind: str, groups: Groups, rater: str, confidence: float | None = None) -> FeedbackRecord:
        return self._feedback._add(kind, groups, self._row.trials, rater, confidence, self.id)


def _flat(groups: Groups) -> list[int]:
    return [number for group in groups for number in group]


def _name(rater: object) -> str:
    if not isinstance(rater, str):
        raise FeedbackError(f"rater must be a name, got {rater!r}; pass text")
    return rater


def _judgement(known: Mapping[int, FeedbackRecord], entry: FeedbackRecord) -> FeedbackRecord:
    """The judgement at the end of a chain of undos."""
    while entry.kind == "undo" and entry.undoes is not None:
        entry = known[entry.undoes]
    return entry


def _open(questions: Iterable[QuestionRecord], gone: set[int]) -> QuestionRecord | None:
    """The first question without an answer of which no trial was taken out."""
    return next((q for q in questions if q.answered is None and not gone & set(q.trials)), None)


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
