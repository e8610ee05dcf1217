"""What people say about trials: kept as said, taken back by new entries, never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.rankings import pairs, ranking
from workbench.study import Study

TASTE = wb.Preference("taste")


def judged(*goals: wb.Objective | wb.Preference, n: int = 6, **options: Any) -> Study:
    """A study over two parameters with n running trials."""
    space = wb.Space([wb.Float("x", 0, 1), wb.Categorical("hue", ["red", "blue"])])
    study = wb.create_study("demo", space, goals or (TASTE,), sampler="sobol", seed=2, **options)
    if n:
        study.ask(n)
    return study


def states(study: Study) -> str:
    """One letter a trial."""
    return "".join(t.state[0] for t in study.trials)


# -- the maths of rankings -----------------------------------------------------------------


def test_rankings_state_pairs_and_ties_none() -> None:
    assert list(pairs(ranking([[3], [1, 2], [0]]))) == [(3, 1), (3, 2), (3, 0), (1, 0), (2, 0)]
    assert list(pairs(ranking([[1, 2]]))) == []
    assert ranking(iter([(1,), {2}]), [0, 1, 2]) == ((1,), (2,))


# -- judgements ----------------------------------------------------------------------------


def test_rank_keeps_order_ties_rater_and_confidence() -> None:
    study = judged()
    a, b, c, d = study.trials[:4]
    entry = study.feedback.rank([[a], [b, c], [3]], rater="kim", confidence=0.75)
    assert (entry.id, entry.kind, entry.groups, entry.of) == (0, "rank", ((0,), (1, 2), (3,)), (0, 1, 2, 3))
    assert (entry.rater, entry.confidence, entry.question, entry.undoes) == ("kim", 0.75, None, None)
    assert entry.created > 0
    assert [*study.feedback.log] == [*study.feedback.standing] == [entry]
    assert study.history().feedback == (entry,)
    assert states(study) == "ccccrr"
    assert d.state == "running"  # a snapshot stays what it was
    assert study.trial(d).finished is not None


def test_what_was_shown_but_not_ranked_is_judged_too() -> None:
    study = judged()
    entry = study.feedback.rank([[4], [1]], of=[1, 2, 4])
    assert (entry.groups, entry.of) == (((4,), (1,)), (1, 2, 4))
    assert states(study) == "rccrcr"


def test_compare_and_pick_best() -> None:
    study = judged()
    first = study.feedback.compare(study.trials[1], 0, rater="ann")
    second = study.feedback.pick_best(2, of=[1, 2, study.trials[3]], confidence=1.0)
    assert (first.kind, first.groups, first.of) == ("compare", ((1,), (0,)), (1, 0))
    assert (second.kind, second.groups, second.of) == ("best", ((2,),), (1, 2, 3))
    assert [e.rater for e in study.feedback.log] == ["ann", ""]
    assert states(study) == "ccccrr"


def test_raters_may_contradict_each_other() -> None:
    study = judged()
    study.feedback.compare(0, 1, rater="ann")
    study.feedback.compare(1, 0, rater="kim")
    assert [e.groups for e in study.feedback.standing] == [((0,), (1,)), ((1,), (0,))]


def test_a_trial_with_measured_goals_is_finished_by_tell_only() -> None:
    study = judged(wb.Objective("loss"), TASTE)
    study.feedback.rank([[0], [1]])
    assert states(study) == "rrrrrr"
    study.tell(0, 1.0)
    study.feedback.undo(0)
    assert states(study) == "crrrrr"
    assert study.best_trial.number == 0
    limited = judged(TASTE, n=0)
    limited = wb.create_study("l", limited.space, [TASTE], [wb.Constraint("m", upper=1)], sampler="sobol", seed=1)
    limited.ask(2)
    limited.feedback.rank([[0], [1]])
    assert states(limited) == "rr"
    limited.tell(0, {"m": 0.5})
    assert states(limited) == "cr"


def test_there_is_no_best_trial_by_feedback_alone() -> None:
    study = judged()
    study.feedback.rank([[0], [1]])
    for read in ("best_trial", "best_value", "best_params"):
        with pytest.raises(wb.TrialStateError, match=r"judged by people.*study\.model\(\)\.recommend\(\)"):
            getattr(study, read)
    with pytest.raises(wb.TrialStateError, match="front"):
        study.pareto_trials  # noqa: B018
    with pytest.raises(wb.InvalidValueError, match=r"study\.feedback"):
        study.tell(2, {})
    assert states(study) == "ccrrrr"


# -- undo ----------------------------------------------------------------------------------


def test_undo_is_a_new_entry_and_reopens_trials() -> None:
    study = judged()
    first = study.feedback.rank([[0], [1], [2]], rater="kim")
    second = study.feedback.compare(2, 3)
    undo = study.feedback.undo(first, rater="kim")
    assert (undo.kind, undo.undoes, undo.rater, undo.groups, undo.of) == ("undo", 0, "kim", (), ())
    assert [*study.feedback.log] == [first, second, undo]
    assert [*study.feedback.standing] == [*study.history().feedback] == [second]
    assert states(study) == "rrccrr"  # trial 2 stands in the other entry still
    assert study.trial(0).finished is None
    redo = study.feedback.undo(undo)
    assert [*study.feedback.standing] == [first, second]
    assert states(study) == "ccccrr"
    study.feedback.undo(redo.id)
    assert states(study) == "rrccrr"
    study.feedback.undo(1)
    assert states(study) == "rrrrrr"
    assert len(study.feedback.log) == 6


def test_undo_leaves_trials_that_were_taken_out() -> None:
    study = judged()
    study.feedback.rank([[0], [1]])
    study.void(0, reason="blurred")
    study.feedback.undo(0)
    assert states(study) == "vrrrrr"
    study.feedback.undo(1)
    assert states(study) == "vcrrrr"


# -- questions -----------------------------------------------------------------------------


def test_a_question_stays_the_same_until_it_is_answered(tmp_path: Path) -> None:
    study = judged(n=0, storage=tmp_path / "demo.db")
    question = study.feedback.next_question(k=4)
    assert sorted(t.number for t in question.trials) == [0, 1, 2, 3]
    assert states(study) == "rrrr"
    for other in (study, wb.load_study("demo", storage=tmp_path / "demo.db")):
        again = other.feedback.next_question(k=2)
        assert (again.id, again.trials) == (question.id, question.trials)
    assert len(study.trials) == 4
    a, b, c, d = sorted(question.trials, key=lambda trial: trial.number)
    entry = question.answer([[a], [b, c], [d]], rater="kim", confidence=0.9)
    assert (entry.kind, entry.question, entry.groups, entry.rater) == ("rank", 0, ((0,), (1, 2), (3,)), "kim")
    assert states(study) == "cccc"
    following = study.feedback.next_question(k=3)
    assert (following.id, sorted(t.number for t in following.trials)) == (1, [4, 5, 6])


def test_a_question_shows_what_nobody_judged_and_asks_for_the_rest() -> None:
    study = judged(n=3)
    study.feedback.compare(0, 1)
    assert sorted(t.number for t in study.feedback.next_question(k=3).trials) == [2, 3, 4]
    assert judged(n=6).feedback.next_question(k=2)._row.trials == (4, 5)


def test_answers_may_leave_trials_unordered() -> None:
    study = judged(n=0)
    entry = study.feedback.next_question(k=4).answer([[2], [0]])
    assert (entry.groups, entry.of) == (((2,), (0,)), (0, 1, 2, 3))
    assert states(study) == "cccc"


def test_skip_and_none_acceptable() -> None:
    study = judged(n=0)
    skipped = study.feedback.next_question(k=2).skip(rater="kim")
    assert (skipped.kind, skipped.groups, skipped.of, skipped.rater) == ("skip", (), (0, 1), "kim")
    assert states(study) == "cc"  # an entry names them: they are not in flight any more
    question = study.feedback.next_question(k=2)
    assert question._row.trials == (2, 3)
    refused = question.none_acceptable()
    assert (refused.kind, refused.groups, refused.of) == ("none_acceptable", (), (2, 3))
    assert states(study) == "cccc"
    assert study.feedback.next_question(k=2).id == 2


@pytest.mark.parametrize("close", ["answer", "skip", "none_acceptable"])
def test_a_question_is_answered_once(close: str) -> None:
    study = judged(n=0)
    question, same = study.feedback.next_question(k=2), study.feedback.next_question(k=2)
    question.answer([[0], [1]])
    with pytest.raises(wb.FeedbackError, match=r"question 0 is answered already by feedback 0.*undo\(0\)"):
        same.answer([[1], [0]]) if close == "answer" else getattr(same, close)()
    assert len(study.feedback.log) == 1


def test_undoing_an_answer_brings_back_the_very_same_pictures() -> None:
    study = judged(n=0)
    first = study.feedback.next_question(k=3)
    shown = [t.params for t in first.trials]
    answer = first.answer([[0], [1], [2]])
    second = study.feedback.next_question(k=3)
    undo = study.feedback.undo(answer)
    again = study.feedback.next_question(k=3)
    assert (again.id, [t.params for t in again.trials]) == (first.id, shown)
    assert len(study.trials) == 6
    study.feedback.undo(undo)
    assert study.feedback.next_question(k=3).id == second.id
    undo = study.feedback.undo(study.feedback.log[-1])
    other = study.feedback.next_question(k=3).answer([[2], [1], [0]])
    assert other.question == first.id
    with pytest.raises(
        wb.FeedbackError, match=rf"feedback 0 answered question 0.*feedback {other.id}.*undo {other.id}"
    ):
        study.feedback.undo(undo)
    assert study.feedback.standing == (other,)
    study.feedback.undo(study.feedback.next_question(k=3).skip())
    assert study.feedback.next_question(k=3).id == second.id


def test_a_question_is_dropped_when_a_trial_of_it_is_taken_out() -> None:
    study = judged(n=0)
    question = study.feedback.next_question(k=2)
    study.reject(0, reason="blurred")
    following = study.feedback.next_question(k=2)
    assert (following.id, following._row.trials) == (1, (1, 2))
    with pytest.raises(wb.FeedbackError, match="trial 0 is rejected"):
        question.answer([[0], [1]])


# -- raters who are asked apart ----------------------------------------------------------------


def numbers(question: Any) -> list[int]:
    """What is shown, sorted."""
    return sorted(trial.number for trial in question.trials)


def test_raters_by_name_have_questions_of_their_own(tmp_path: Path) -> None:
    study = judged(n=0, storage=tmp_path / "demo.db")
    kim, lee, anybody = (study.feedback.next_question(3, rater=name) for name in ("kim", "lee", None))
    assert [(q.id, q.rater, numbers(q)) for q in (kim, lee, anybody)] == [
        (0, "kim", [0, 1, 2]), (1, "lee", [3, 4, 5]), (2, None, [6, 7, 8])
    ]  # fmt: skip
    for other in (study, wb.load_study("demo", storage=tmp_path / "demo.db")):  # each comes back to its own rater
        feedback = other.feedback
        assert [feedback.next_question(2, rater=name).id for name in ("kim", "lee", None, "")] == [0, 1, 2, 2]
    said = lee.answer([[4], [3, 5]])
    assert (said.rater, said.question) == ("lee", 1)
    assert [q.answered for q in study.feedback.questions] == [None, 0, None]
    assert study.feedback.next_question(3, rater="kim").id == 0
    following = study.feedback.next_question(3, rater="lee")
    assert (following.id, numbers(following)) == (3, [9, 10, 11])
    assert kim.best(2, rater="kim").rater == "kim"
    assert anybody.worst(6, rater="mia").rater == "mia"  # anybody answers, under any name
    assert study.feedback.next_question(3).id == 4
    assert states(study) == "c" * 9 + "r" * 6


def test_the_question_of_a_rater_is_answered_by_nobody_else() -> None:
    study = judged(n=0)
    question = study.feedback.next_question(2, rater="kim")
    for answer in (question.no_difference, question.cannot_tell, question.none_acceptable):
        with pytest.raises(
            wb.FeedbackError,
            match=r"question 0 was asked of 'kim'.*'lee'; leave rater= out.*next_question\(rater='lee'\)",
        ):
            answer(rater="lee")
    assert study.feedback.log == ()
    skipped = question.skip(rater="lee")  # judges nothing; what was shown is free for others
    assert (skipped.rater, study.feedback.questions[0].answered) == ("lee", 0)
    assert study.feedback.next_question(2, rater="kim").id == 1


def test_undoing_an_answer_opens_the_question_for_its_rater_alone() -> None:
    study = judged(n=0)
    first = {name: study.feedback.next_question(2, rater=name) for name in ("kim", "lee")}
    answers = {name: question.no_difference() for name, question in first.items()}
    later = {name: study.feedback.next_question(2, rater=name) for name in ("kim", "lee")}
    undo = study.feedback.undo(answers["kim"], rater="kim")
    assert study.feedback.next_question(2, rater="kim").id == first["kim"].id
    assert study.feedback.next_question(2, rater="lee").id == later["lee"].id
    assert study.feedback.next_question(2).trials[0].number not in {
        0,
        1,
        *numbers(later["kim"]),
    }  # they are taken still
    study.feedback.undo(undo, rater="kim")
    assert study.feedback.next_question(2, rater="kim").id == later["kim"].id


def test_what_nobody_judged_is_shown_to_one_rater_at_a_time_but_pinned_trials_to_all() -> None:
    study = judged(n=6)
    study.feedback.pin(0)
    kim, lee = (study.feedback.next_question(3, rater=name) for name in ("kim", "lee"))
    assert [numbers(question) for question in (kim, lee)] == [[0, 4, 5], [0, 2, 3]]
    assert numbers(study.feedback.next_question(3)) == [0, 1, 6]
    kim.best(0)
    assert numbers(study.feedback.next_question(3, rater="kim")) == [0, 7, 8]
    study.void(2, reason="blurred")  # the rest of that question is free again
    assert numbers(study.feedback.next_question(3, rater="mia")) == [0, 3, 9]


def test_of_two_raters_who_ask_at_once_neither_gets_the_trials_of_the_other() -> None:
    """While kim's trials are written and her question is not, lee is asked about them."""
    study = judged(n=0)
    lee: list[Any] = []

    def meanwhile(point: str) -> None:
        if point == "ask:after_commit" and not lee:
            lee.append(None)
            lee[0] = study.feedback.next_question(2, rater="lee")

    study._record.storage.on_point = meanwhile
    kim = study.feedback.next_question(2, rater="kim")
    assert [(q.id, numbers(q)) for q in (lee[0], kim)] == [(0, [0, 1]), (1, [2, 3])]


def test_going_back_closes_the_question_of_who_goes_back() -> None:
    study = judged(n=0)
    study.feedback.next_question(2).best(0)
    ids = [study.feedback.next_question(2, rater=name).id for name in ("kim", "lee", None)]
    assert study.feedback.go_back(0, rater="lee").question == ids[1]
    assert study.feedback.go_back(0).question == ids[2]
    assert study.feedback.go_back(0, rater="mia").question is None
    assert study.feedback.next_question(2, rater="kim").id == ids[0]


def test_what_comes_again_on_purpose_is_what_the_rater_answered() -> None:
    study = judged(n=0)
    seen: dict[str, list[frozenset[int]]] = {"kim": [], "lee": []}
    for i in range(40):
        name = "kim" if i % 3 else "lee"
        question = study.feedback.next_question(2, rater=name)
        seen[name].append(frozenset(numbers(question)))
        question.answer([[n] for n in numbers(question)])
    assert not set(seen["kim"]) & set(seen["lee"])
    for name, told in study.feedback.consistency().items():
        repeats = [i for i, trials in enumerate(seen[name]) if trials in seen[name][:i]]
        assert all(i - seen[name].index(seen[name][i]) > 3 for i in repeats)
        assert told.repeated == told.agreed == len(repeats)
    assert 1 <= sum(one.repeated for one in study.feedback.consistency().values()) <= 9  # one in ten of about 32


def test_measured_trials_are_new_to_one_rater_at_a_time() -> None:
    """Over outcomes a question shows what is there: other trials first, never the same question twice."""
    space = wb.Space([wb.Float("x", 0, 1)])
    goals: list[wb.Objective | wb.Preference] = [wb.Objective("a"), wb.Objective("b")]
    goals.append(wb.Preference("trade", over="outcomes"))
    study = wb.create_study("s", space, goals, sampler="preference", seed=1)
    for x in (0.0, 0.2, 0.4, 0.6, 0.8):
        study.attach({"x": x}, {"a": x, "b": (1 - x) ** 2})
    kim, lee = (study.feedback.next_question(2, rater=name) for name in ("kim", "lee"))
    assert not set(numbers(kim)) & set(numbers(lee))
    with pytest.raises(wb.UnsupportedError, match="there are 1 beside 4 in open questions of other raters"):
        study.feedback.next_question(2, rater="mia")
    kim.no_difference()
    again = study.feedback.next_question(2, rater="kim")
    assert not set(numbers(again)) & set(numbers(lee))
    lee.no_difference()
    wide = study.feedback.next_question(4, rater="lee")  # three are free; the fourth was judged before
    assert len(set(numbers(wide)) - set(numbers(again))) == 3


def test_a_sampler_that_shows_what_another_rater_is_asked_about_is_refused() -> None:
    class First(wb.RandomSampler):
        """Shows the first trial in every question."""

        def ask(self, request: Any) -> Any:
            proposals = super().ask(request)
            if len(request.history):
                proposals[0] = replace(proposals[0], trial=0)
            return proposals

    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [TASTE], sampler=First(), seed=0)
    kim = study.feedback.next_question(2, rater="kim")
    with pytest.raises(wb.SamplerError, match=r"proposed trials \[0\], which nobody judged and another rater is asked"):
        study.feedback.next_question(2, rater="lee")
    kim.best(0)
    assert 0 in numbers(study.feedback.next_question(2, rater="lee"))


# -- bad input -----------------------------------------------------------------------------


def ask_question(study: Study) -> Any:
    return study.feedback.next_question(k=3)


BAD: list[tuple[Callable[[Study], object], type[wb.WorkbenchError], str]] = [
    (lambda s: s.feedback.rank([[0], [99]]), wb.UnknownTrialError, "99"),
    (lambda s: s.feedback.rank([[0], [-1]]), wb.UnknownTrialError, "-1"),
    (lambda s: s.feedback.rank([[0], ["1"]]), wb.UnknownTrialError, "'1'"),  # type: ignore[list-item]
    (lambda s: s.feedback.rank([[0], [1, 0]]), wb.FeedbackError, r"ranked twice: \[0\]"),
    (lambda s: s.feedback.rank([[0], []]), wb.FeedbackError, "empty"),
    (lambda s: s.feedback.rank([]), wb.FeedbackError, "at least two"),
    (lambda s: s.feedback.rank([[0]]), wb.FeedbackError, r"at least two.*\[0\]"),
    (lambda s: s.feedback.rank([0, 1]), wb.FeedbackError, r"group of trials such as \[\[best\]"),  # type: ignore[list-item]
    (lambda s: s.feedback.rank(s.trials[:2]), wb.FeedbackError, "group of trials"),  # type: ignore[arg-type]
    (lambda s: s.feedback.rank([[0], "12"]), wb.FeedbackError, "group of trials"),  # type: ignore[list-item]
    (lambda s: s.feedback.rank([[0], [1]], of=[0, 2]), wb.FeedbackError, r"shown trials \[0, 2\].*\[1\]"),
    (lambda s: s.feedback.rank([[0], [1]], of=[0, 1, 1]), wb.FeedbackError, "shown once"),
    (lambda s: s.feedback.rank([[0], [1]], of=[0, 1, 99]), wb.UnknownTrialError, "99"),
    (lambda s: s.feedback.rank([[0], [1]], confidence=0.0), wb.FeedbackError, r"\(0, 1\], got 0"),
    (lambda s: s.feedback.rank([[0], [1]], confidence=1.5), wb.FeedbackError, "1.5"),
    (lambda s: s.feedback.rank([[0], [1]], confidence=float("nan")), wb.InvalidValueError, "nan"),
    (lambda s: s.feedback.rank([[0], [1]], confidence="high"), wb.InvalidValueError, "high"),  # type: ignore[arg-type]
    (lambda s: s.feedback.rank([[0], [1]], rater=3), wb.FeedbackError, "rater must be a name, got 3"),  # type: ignore[arg-type]
    (lambda s: s.feedback.rank([[0], [4]]), wb.FeedbackError, "trial 4 is rejected"),
    (lambda s: s.feedback.rank([[0], [5]]), wb.FeedbackError, "trial 5 is void"),
    (lambda s: s.feedback.rank([[0], [6]]), wb.FeedbackError, "trial 6 is waiting"),
    (lambda s: s.feedback.compare(0, 0), wb.FeedbackError, "ranked twice"),
    (lambda s: s.feedback.compare([0], 1), wb.UnknownTrialError, r"\[0\]"),  # type: ignore[arg-type]
    (lambda s: s.feedback.pick_best(0, of=[0]), wb.FeedbackError, "at least two"),
    (lambda s: s.feedback.pick_best(0, of=[1, 2]), wb.FeedbackError, r"got 0 of \(1, 2\)"),
    (lambda s: s.feedback.pick_best(0, of=[0, 0]), wb.FeedbackError, "at least two"),
    (lambda s: s.feedback.pick_best(0, of=3), wb.FeedbackError, "group of trials"),  # type: ignore[arg-type]
    (lambda s: s.feedback.undo(7), wb.FeedbackError, "no feedback entry 7; this study has 2"),
    (lambda s: s.feedback.undo(0), wb.FeedbackError, "undone already; undo that undo"),
    (lambda s: s.feedback.undo("0"), wb.FeedbackError, "'0'"),  # type: ignore[arg-type]
    (lambda s: s.feedback.undo(True), wb.FeedbackError, "True"),
    (lambda s: s.feedback.undo(1, rater=None), wb.FeedbackError, "None"),  # type: ignore[arg-type]
    (lambda s: s.feedback.next_question(1), wb.FeedbackError, "at least 2 trials, got k=1"),
    (lambda s: s.feedback.next_question(2.0), wb.FeedbackError, r"k=2\.0"),  # type: ignore[arg-type]
    (lambda s: s.feedback.next_question(2, rater=3), wb.FeedbackError, "rater must be a name, got 3"),  # type: ignore[arg-type]
    (lambda s: ask_question(s).answer([[1], [9]]), wb.FeedbackError, r"\[9\]"),
    (lambda s: ask_question(s).answer([[1]]), wb.FeedbackError, "at least two"),
    (lambda s: ask_question(s).skip(rater=1), wb.FeedbackError, "rater"),
]


@pytest.mark.parametrize(("call", "kind", "said"), BAD, ids=range(len(BAD)))
def test_bad_feedback_changes_nothing(call: Callable[[Study], object], kind: type[Exception], said: str) -> None:
    study = judged(n=6)
    study.reject(4, reason="r")
    study.void(5, reason="r")
    study.enqueue({"x": 0.5})
    study.feedback.undo(study.feedback.compare(0, 1))
    study.feedback.next_question(k=3)
    before = (study.trials, study.feedback.log, study._record.storage.questions(study._record.id))
    with pytest.raises(kind, match=said):
        call(study)
    assert (study.trials, study.feedback.log, study._record.storage.questions(study._record.id)) == before


def test_a_question_has_exactly_k_trials_whatever_the_sampler_shows() -> None:
    class Again(wb.RandomSampler):
        """Shows a trial that was judged before beside a new one."""

        def ask(self, request: Any) -> Any:
            proposals = super().ask(request)
            if request.purpose == "question" and len(request.history):
                proposals[0] = replace(proposals[0], trial=0)
            return proposals

    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")], sampler=Again(), seed=0)
    study.feedback.rank([[study.ask()], [study.ask()]])
    shown = [t.number for t in study.feedback.next_question(k=3).trials]
    assert sorted(shown) == [0, 2, 3]


# -- answers of other kinds, wishes, repeats, pictures ----------------------------------------


def test_every_answer_of_a_question_is_recorded_as_its_kind() -> None:
    study = judged(n=0)

    def asked(k: int = 3) -> Any:
        return study.feedback.next_question(k=k)

    entries = [
        asked().best(0), asked().worst(3, rater="kim"), asked().order([(6, 7), (7, 8)], confidence=0.8),
        asked().no_difference(), asked().cannot_tell(), asked().more_like(15),
        asked().answer([[18], [20]], rest="worse"),
    ]  # fmt: skip
    assert [entry.kind for entry in entries] == [
        "best", "worst", "partial", "rank", "cannot_tell", "more_like", "best"
    ]  # fmt: skip
    assert [entry.groups for entry in entries] == [
        ((0,),), ((3,),), ((6, 7), (7, 8)), ((9, 10, 11),), (), ((15,),), ((18,), (20,))
    ]  # fmt: skip
    assert all(entry.of == tuple(range(3 * i, 3 * i + 3)) for i, entry in enumerate(entries))
    assert states(study) == "c" * 21


def test_the_same_answers_without_a_question() -> None:
    study = judged()
    assert study.feedback.pick_worst(2, of=[1, 2, 3]).groups == ((2,),)
    entry = study.feedback.order([(0, 1), (1, 2), (0, 2)])
    assert (entry.kind, entry.groups, entry.of) == ("partial", ((0, 1), (1, 2)), (0, 1, 2))
    with pytest.raises(wb.FeedbackError, match="going round"):
        study.feedback.order([(0, 1), (1, 0)])
    with pytest.raises(wb.FeedbackError, match=r"pairs, got \(0, 1, 2\)"):
        study.feedback.order([(0, 1, 2)])  # type: ignore[list-item]
    with pytest.raises(wb.FeedbackError, match="worst must be one of"):
        study.feedback.pick_worst(0, of=[1, 2])
    with pytest.raises(wb.FeedbackError, match="rest="):
        study.feedback.next_question(2).answer([[4]], rest="better")  # type: ignore[arg-type]


def test_positions_are_shuffled_by_the_stored_seed(tmp_path: Path) -> None:
    study = judged(n=0, storage=tmp_path / "demo.db")
    shown = []
    for _ in range(6):
        question = study.feedback.next_question(k=4)
        again = wb.load_study("demo", storage=tmp_path / "demo.db").feedback.next_question(k=4)
        assert [t.number for t in again.trials] == [t.number for t in question.trials]
        shown.append([t.number - min(question._row.trials) for t in question.trials])
        question.skip()
    assert len({tuple(places) for places in shown}) > 3


def test_pinned_trials_stay_until_they_are_let_go() -> None:
    study = judged(n=0)
    study.feedback.next_question(k=3).best(0)
    pin = study.feedback.pin(1)
    assert study.feedback.pinned == (1,)
    for _ in range(2):
        question = study.feedback.next_question(k=3)
        assert 1 in question._row.trials
        assert len(set(question._row.trials)) == 3
        question.best(1)
    study.feedback.undo(pin)
    assert study.feedback.pinned == ()
    assert 1 not in study.feedback.next_question(k=3)._row.trials
    study.void(2, reason="ugly")
    with pytest.raises(wb.FeedbackError, match="void and cannot be shown"):
        study.feedback.pin(2)


def test_going_back_closes_the_open_question_and_an_undo_opens_it_again() -> None:
    study = judged(n=0)
    study.feedback.next_question(k=2).best(0)
    question = study.feedback.next_question(k=2)
    back = study.feedback.go_back(1)
    assert back.question == question.id
    assert study.feedback.next_question(k=2).id != question.id
    study.feedback.undo(back)
    assert study.feedback.next_question(k=2).id == question.id


def test_some_questions_come_again_on_purpose_and_show_how_far_answers_can_be_relied_on() -> None:
    study = judged(n=0)
    seen = []
    for i in range(40):
        question = study.feedback.next_question(k=2)
        seen.append(frozenset(question._row.trials))
        a, b = sorted(trial.number for trial in question.trials)
        question.answer([[a], [b]] if i < 39 or len(set(seen)) == len(seen) else [[b], [a]], rater="kim")
    repeats = [i for i, trials in enumerate(seen) if trials in seen[:i]]
    assert 1 <= len(repeats) <= 10  # one in ten of about 36
    assert all(i - seen.index(seen[i]) >= 3 for i in repeats)
    told = study.feedback.consistency()["kim"]
    assert (told.answers, told.repeated, told.circles) == (40, len(repeats), ())
    assert told.agreed >= len(repeats) - 1
    assert told.reliability > 0.85


def test_the_picture_that_was_judged_is_kept_byte_for_byte(tmp_path: Path) -> None:
    study = judged(n=0, storage=tmp_path / "demo.db")
    made = []

    def render(params: Any) -> wb.Rendered:
        made.append(params)
        return wb.Rendered("image/png", f"{len(made)}:{params['x']}".encode(), f"a {params['hue']} thing")

    with pytest.raises(wb.InvalidValueError, match=r"wb.Rendered\(mime, data, alt\) for trial \d, got str"):
        study.feedback.next_question(k=2).pictures(str)  # type: ignore[arg-type]
    first = study.feedback.next_question(k=2).pictures(render)
    again = wb.load_study("demo", storage=tmp_path / "demo.db").feedback.next_question(k=2).pictures(render)
    assert first == again
    assert len(made) == 2
    shown = study.feedback.next_question(k=2).trials[0]
    assert study.feedback.picture(shown) == first[0]
    assert [row.number for row in study.files.list(shown)] == [shown.number]
    study.ask()
    assert study.feedback.picture(2) is None


def test_a_pinned_trial_that_is_taken_out_is_pinned_no_more():
    s = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")], sampler="sobol", seed=0)
    s.ask(3)
    for number in (0, 1):
        s.feedback.pin(number)
    assert set(s.feedback.pinned) == {0, 1}
    s.void(0, reason="broken")
    assert s.feedback.pinned == (1,)


@pytest.mark.parametrize(("choices", "k"), [("abd", 2), ("abcdefgh", 3)])
@pytest.mark.parametrize("sampler", ["auto", "sobol"])
def test_a_finite_space_is_rated_to_the_end(choices, k, sampler):
    """Every choice is shown, and once all are, those judged least often come again."""
    space = wb.Space([wb.Categorical("c", list(choices))])
    s = wb.create_study("s", space, [wb.Preference("taste")], sampler=sampler, seed=1)
    shown = []
    for _ in range(2 * len(choices)):
        question = s.feedback.next_question(k)
        assert len({t.number for t in question.trials}) == k
        shown += [t["c"] for t in question.trials]
        question.best(min(question.trials, key=lambda t: t["c"]))
    assert set(shown) == set(choices)
    assert len(s.trials) == len(choices)
    with pytest.raises(wb.ExhaustedSpaceError, match="or ask for fewer"):
        s.feedback.next_question(len(choices) + 1)
