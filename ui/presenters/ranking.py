"""The Rank page as values: what an action does to the record, the way so far, and the favourite in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ui.presenters.words import count
from workbench.errors import FeedbackError
from workbench.rankings import ORDERING, edges
from workbench.study import Study
from workbench.study.feedback import Question
from workbench.trial import FeedbackRecord, undone

SUPERSEDED = "superseded"
"""The rater of skips by which the page closes questions that came after an answer which was changed since."""
ROUNDS = 10  # after which most people have what they want
FEW = 3  # rounds from which the favourite is spoken of in numbers
SECONDS = 18  # that a round takes
PLENTY = 200  # rounds after which more of them change little
_ANSWERS = ORDERING | {"none_acceptable", "cannot_tell", "skip"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the filmstrip: what was liked best after a round."""

    label: str
    trial: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the list of them shows it.

    Args:
        id: Of its entry in the log.
        label: Its round, or that it was taken back.
        text: What was said.
        best: What it puts first, if it says it of one trial.
        holds: Does it stand?
        against: Labels of the rounds that say the opposite of something in it.
    """

    id: int
    label: str
    text: str
    best: int | None
    holds: bool
    against: tuple[str, ...]


def answers(study: Study) -> list[FeedbackRecord]:
    """The standing answers to questions, in the order of answering."""
    return [
        entry for entry in study.feedback.standing
        if entry.question is not None and entry.kind in _ANSWERS and entry.rater != SUPERSEDED
    ]  # fmt: skip


def first(entry: FeedbackRecord) -> int | None:
    """What an answer puts first, if it says it of one trial."""
    known = edges(entry.kind, entry.groups, entry.of)
    beaten = {worse for _, worse in known}
    top = [n for n in dict.fromkeys(better for better, _ in known) if n not in beaten]
    return top[0] if top else None


def strip(study: Study) -> list[Frame]:
    """From the start to now, one picture a round; rounds that name none keep the one before."""
    given = answers(study)
    asked = study.feedback.questions
    if not asked:
        return []
    start = study.feedback.question(asked[0].id).trials[0].number
    frames = [Frame("Start", start)]
    for i, entry in enumerate(given):
        best = first(entry)
        frames.append(Frame(f"Round {i + 1}", frames[-1].trial if best is None else best))
    return frames


def favourite(study: Study) -> tuple[int, list[str]] | None:
    """What was put first last, and what the answers say of it; None while there is none."""
    given = answers(study)
    best = next((number for entry in reversed(given) if (number := first(entry)) is not None), None)
    if best is None:
        return None
    shown = [entry for entry in given if best in entry.of and entry.kind in ORDERING]
    won = sum(first(entry) == best for entry in shown)
    rounds = "the one round" if won == len(shown) == 1 else f"{won} of the {count(len(shown), 'round')}"
    said = [f"You put it first in {rounds} that showed it."]
    tried, lost = challenges(given)
    if tried >= FEW:
        said.append(f"New ones have beaten your favourite in {lost} of {count(tried, 'round')}.")
    return best, [*said, *consistency(study)]


def challenges(given: Sequence[FeedbackRecord]) -> tuple[int, int]:
    """In how many rounds the favourite of that time stood beside others, and in how many it lost."""
    best, tried, lost = None, 0, 0
    for entry in given:
        now = first(entry)
        if now is None:
            continue
        if best is not None and best in entry.of:
            tried, lost = tried + 1, lost + (now != best)
        best = now
    return tried, lost


def consistency(study: Study) -> list[str]:
    """How far the answers agree with each other, one sentence for each thing that can be said."""
    found = study.feedback.consistency().values()
    repeats, agreed = sum(one.repeated for one in found), sum(one.agreed for one in found)
    circles = sum(len(one.circles) for one in found)
    said = []
    if repeats:
        said.append(f"You agreed with yourself on {agreed} of {count(repeats, 'repeat')}.")
    if circles:
        said.append(f"Your answers go round in a circle {'once' if circles == 1 else f'{circles} times'}: close calls.")
    return said


def left(rounds: int) -> str:
    """How long it will still take, or that it is enough."""
    if rounds >= PLENTY:
        return "more rounds will change little"
    more = ROUNDS - rounds
    minutes = round(max(0, more) * SECONDS / 60)
    return "" if more <= 0 else "under a minute left" if minutes < 1 else f"{minutes} min left"


def given(study: Study, rater: str) -> list[Answer]:
    """The answers of one rater, the newest first: those that stand, and those that can be restored."""
    log = study.feedback.log
    gone = undone(log)
    unanswered = {question.id for question in study.feedback.questions if question.answered is None}
    rounds = {entry.id: f"Round {i + 1}" for i, entry in enumerate(answers(study))}
    own = [
        entry for entry in log
        if entry.rater == rater and entry.kind in _ANSWERS and entry.question is not None
        and (entry.id in rounds or (entry.id in gone and entry.question in unanswered))
    ]  # fmt: skip
    stated = {entry.id: edges(entry.kind, entry.groups, entry.of) for entry in own if entry.id in rounds}
    opposite = {number: {(worse, better) for better, worse in known} for number, known in stated.items()}
    made = []
    for entry in reversed(own):
        holds = entry.id in rounds
        against = [rounds[n] for n, turned in opposite.items() if holds and turned & stated[entry.id]]
        made.append(
            Answer(entry.id, rounds.get(entry.id, "Taken back"), _told(entry), first(entry), holds, tuple(against))
        )
    return made


def _told(entry: FeedbackRecord) -> str:
    shown, named = len(entry.of), sum(len(group) for group in entry.groups)
    if entry.kind == "rank":
        return "all the same" if len(entry.groups) == 1 else f"an order of {named}"
    if entry.kind == "best":
        return f"the best of {shown}" if named == 1 else f"the best {named} of {shown}"
    if entry.kind == "partial":
        return "some in order" if first(entry) is None else f"the best and the worst of {shown}"
    return {"worst": f"the worst of {shown}", "more_like": "more like one", "none_acceptable": "none would do",
            "cannot_tell": "could not tell", "skip": "skipped"}[entry.kind]  # fmt: skip


# -- what an action does ---------------------------------------------------------------------


def undoable(study: Study, rater: str) -> FeedbackRecord | None:
    """The rater's last answer that stands."""
    return next((entry for entry in reversed(answers(study)) if entry.rater == rater), None)


def redoable(study: Study, rater: str) -> FeedbackRecord | None:
    """The rater's last undo that nothing has followed; None once something new was answered."""
    log = study.feedback.log
    gone = undone(log)
    answered = [e.id for e in log if e.rater == rater and e.kind in _ANSWERS and e.question is not None]
    undos = [e for e in log if e.rater == rater and e.kind == "undo" and e.id not in gone]
    # An answer given after an undo leaves nothing to redo.
    fresh = [e for e in undos if _takes_back_an_answer(log, e) and e.id > max(answered, default=-1)]
    return fresh[-1] if fresh else None


def _takes_back_an_answer(log: Sequence[FeedbackRecord], undo: FeedbackRecord) -> bool:
    known = {entry.id: entry for entry in log}
    target = known[undo.undoes] if undo.undoes is not None else undo
    return target.kind in _ANSWERS and target.question is not None


def act(study: Study, asked: Mapping[str, Any], rater: str = "") -> list[list[int]]:
    """Do what the page was asked to; the order to begin the next question with (after an undo the one taken back).

    Args:
        asked: "kind" of the action, the "question" that it is about, and "groups" of trial numbers.
        rater: Who judges.
    Raises:
        FeedbackError: if the answer contradicts itself, or the question is answered already.
    """
    kind = str(asked["kind"])
    feedback = study.feedback
    if kind == "undo":
        last = undoable(study, rater)
        return [] if last is None else take_back(study, last.id, rater)
    if kind == "redo":
        undo = redoable(study, rater)
        if undo is not None:
            feedback.undo(undo, rater=rater)
        return []
    groups = [[int(number) for number in group] for group in asked.get("groups", [])]
    if kind == "back":
        feedback.go_back(groups[0][0], rater=rater)
        return []
    if kind == "keep":
        keep(study, groups[0][0])
        return groups[1:]
    question = feedback.question(int(asked["question"]))
    before = [entry for entry in feedback.log if entry.question == question.id and entry.kind != "undo"]
    made = _answer(question, kind, groups, rater)
    if before and (before[-1].kind, before[-1].groups) != (made.kind, made.groups):
        _close_later(study, question.id)
    return []


def take_back(study: Study, entry_id: int, rater: str) -> list[list[int]]:
    """Take an answer back, whichever it is: its question is asked again. The order to begin with, which was given."""
    entry = study.feedback.log[entry_id]
    study.feedback.undo(entry, rater=rater)
    return [list(group) for group in entry.groups] if entry.kind in ("rank", "best") else []


def restore(study: Study, entry_id: int, rater: str) -> None:
    """Let an answer stand again that was taken back.

    Raises:
        FeedbackError: if it stands already, or its question has got another answer since.
    """
    log = study.feedback.log
    gone = undone(log)
    undo = next((e for e in reversed(log) if e.kind == "undo" and e.undoes == entry_id and e.id not in gone), None)
    if undo is None:
        raise FeedbackError(f"answer {entry_id} stands: nobody has taken it back")
    study.feedback.undo(undo, rater=rater)


def _answer(question: Question, kind: str, groups: list[list[int]], rater: str) -> FeedbackRecord:
    shown = [trial.number for trial in question.trials]
    if kind == "order":
        ranked = {n for group in groups for n in group}
        whole = len(ranked) == len(shown)
        return question.answer(groups, rest="unordered" if whole else "worse", rater=rater)
    if kind == "extremes":
        best, worst = groups[0][0], groups[1][0]
        if best == worst:
            raise FeedbackError(f"the best and the worst are two different pictures, got {best} for both")
        others = [n for n in shown if n not in (best, worst)]
        return question.order(
            [(best, worst), *((best, n) for n in others), *((n, worst) for n in others)], rater=rater
        )  # fmt: skip
    simple = {"none": question.none_acceptable, "same": question.no_difference, "cannot": question.cannot_tell,
              "skip": question.skip}  # fmt: skip
    if kind == "more":
        return question.more_like(groups[0][0], rater=rater)
    if kind not in simple:
        raise FeedbackError(f"expected an action of the Rank page, got {kind!r}")
    return simple[kind](rater=rater)


def _close_later(study: Study, question_id: int) -> None:
    """Close what its rater was asked after an answer that is another one now: its pictures belong to the old branch."""
    gone = {t.number for t in study.trials if str(t.state) in ("void", "rejected", "failed")}
    owner = study.feedback.question(question_id).rater
    for row in study.feedback.questions:
        if row.id > question_id and row.rater == owner and row.answered is None and not gone & set(row.trials):
            study.feedback.question(row.id).skip(rater=SUPERSEDED)


def keep(study: Study, number: int) -> None:
    """Keep a picture for later, or let it go if it is kept."""
    kept = kept_numbers(study)
    trial = study.trial(number)
    study.annotate(trial, tags=[t for t in trial.tags if t != KEPT] if number in kept else [*trial.tags, KEPT])


KEPT = "kept"
"""The tag of pictures that somebody wants to find again."""


def kept_numbers(study: Study) -> list[int]:
    """Numbers of the kept pictures, oldest first."""
    return [trial.number for trial in study.trials if KEPT in trial.tags]


def redrawable(study: Study) -> bool:
    """Is it known what draws the pictures of a study?"""
    return isinstance(study.attrs.get("pictures"), Mapping)


def recipe(study: Study, number: int) -> dict[str, Any]:
    """What it takes to draw a picture of a study that is `redrawable` again.

    Raises:
        ProblemError: if the folder of its model is gone and the study does not note the model's hash.
    """
    from problems.generative import recipe as written

    picture = study.feedback.picture(number)
    assert picture is not None
    made = written(study.attrs["pictures"], study.trial(number).params, picture, study.history().seed)
    return {"study": study.name, "picture": number, **made}


def groups_of(places: Mapping[int, int | None]) -> list[list[int]]:
    """An order, best group first, from a place by trial; the same place is a tie, None is no place."""
    taken = sorted({place for place in places.values() if place is not None})
    return [[number for number, own in places.items() if own == place] for place in taken]


def nth(place: int) -> str:
    """The place in words, from 0."""
    return ("Best", "2nd", "3rd")[place] if place < 3 else f"{place + 1}th"


def lines(params: Mapping[str, Any], values: Mapping[str, float]) -> list[list[str]]:
    """What a card says of something that has no picture: its measured values, else its parameters."""
    told = values or params
    return [[name, f"{v:.4g}" if isinstance(v, float) else str(v)] for name, v in list(told.items())[:12]]


def tell_apart(told: Sequence[list[list[str]]]) -> tuple[list[list[list[str]]], str]:
    """The lines in which cards differ, and what is the same on all of them, which would only be in the way.

    Args:
        told: Lines of each card, as `lines` gives them.
    """
    common = [line for line in told[0] if all(line in one for one in told)] if len(told) > 1 else []
    if not common or all(len(one) == len(common) for one in told):
        return list(told), ""
    same = ", ".join(f"{name} {value}" for name, value in common)
    return [[line for line in one if line not in common] for one in told], f"The same for all: {same}."
