"""The Rank page without a browser: what actions do to the record, what is said of it, and whose pictures come first."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from problems.generative import emoji, model_hash, redraw
from problems.generative.pictures import pixels_of
from ui.gallery import Gallery, Order, PictureModel, Source, load
from ui.model_process import Render
from ui.presenters import ranking
from workbench.errors import FeedbackError, ProblemError
from workbench.problem import Rendered


@pytest.fixture
def study() -> wb.Study:
    space = wb.Space([wb.Vector("z", 12, prior="normal")])
    return wb.create_study("taste", space, [wb.Preference("picture")], sampler="rank_sgd", seed=4)


def shown(study: wb.Study, k: int = 4) -> tuple[int, list[int]]:
    question = study.feedback.next_question(k)
    return question.id, [trial.number for trial in question.trials]


def do(study: wb.Study, kind: str, *groups: list[int], question: int | None = None) -> list[list[int]]:
    return ranking.act(study, {"kind": kind, "groups": list(groups), "question": question})


@pytest.mark.parametrize("kind", ["best", "cannot_tell", "none_acceptable", "more_like"])
def test_what_is_foreseen_of_a_branch_is_what_comes(study: wb.Study, kind: str) -> None:
    for _ in range(2):  # the first round spreads points; the second is an estimate
        question = study.feedback.next_question(4)
        ids = [trial.number for trial in question.trials]
        groups = [[ids[2]], [ids[0]]] if kind == "best" else [[ids[1]]] if kind == "more_like" else []
        before, log = len(study.trials), study.feedback.log
        foreseen = question.foresee(kind, groups)
        assert (len(study.trials), study.feedback.log) == (before, log)
        if kind == "best":
            question.answer(groups, rest="worse")
        elif kind == "more_like":
            question.more_like(ids[1])
        else:
            getattr(question, kind)()
        study.feedback.next_question(4)
        new = study.trials[before:]
        assert len(new) == len(foreseen) > 0
        for trial, params in zip(new, foreseen, strict=True):
            np.testing.assert_array_equal(trial["z"], params["z"])


def test_partial_orders_extremes_and_a_best_that_is_the_worst(study: wb.Study) -> None:
    at, ids = shown(study)
    do(study, "order", [ids[1]], [ids[0], ids[3]], question=at)
    entry = study.feedback.standing[-1]
    known = ranking.edges(entry.kind, entry.groups, entry.of)
    assert known == {(ids[1], n) for n in (ids[0], ids[2], ids[3])} | {(ids[0], ids[2]), (ids[3], ids[2])}
    at, ids = shown(study)
    with pytest.raises(FeedbackError, match="two different pictures"):
        do(study, "extremes", [ids[0]], [ids[0]], question=at)
    do(study, "extremes", [ids[0]], [ids[1]], question=at)
    entry = study.feedback.standing[-1]
    assert ranking.edges(entry.kind, entry.groups, entry.of) == {
        (ids[0], ids[1]), (ids[0], ids[2]), (ids[0], ids[3]), (ids[2], ids[1]), (ids[3], ids[1])
    }  # fmt: skip
    with pytest.raises(FeedbackError, match="answered already"):
        do(study, "same", question=at)


def test_undo_and_redo_go_back_and_forth_over_the_same_questions(study: wb.Study) -> None:
    asked = []
    for _ in range(3):
        at, ids = shown(study)
        asked.append(ids)
        do(study, "order", [ids[0]], [ids[1]], question=at)
    asked.append(shown(study)[1])
    for back in (2, 1, 0):
        order = do(study, "undo")
        assert order == [[asked[back][0]], [asked[back][1]]]
        assert shown(study)[1] == asked[back]
    assert do(study, "undo") == []
    for forth in (1, 2, 3):
        do(study, "redo")
        assert shown(study)[1] == asked[forth]
    assert ranking.redoable(study, "") is None
    assert [entry.kind for entry in study.feedback.standing] == ["best"] * 3


def test_another_answer_after_an_undo_leaves_the_old_branch(study: wb.Study) -> None:
    at, ids = shown(study)
    do(study, "order", [ids[0]], question=at)
    old = shown(study)[1]
    do(study, "undo")
    do(study, "order", [ids[0]], question=at)  # the same answer: the same pictures
    assert shown(study)[1] == old
    do(study, "undo")
    do(study, "order", [ids[3]], question=at)
    new = shown(study)[1]
    assert not set(new) & set(old)
    base, near = study.trial(ids[3])["z"], [study.trial(n)["z"] for n in new]
    gaps = [float(np.linalg.norm(z - base)) for z in near]
    far = [float(np.linalg.norm(study.trial(n)["z"] - base)) for n in old]
    assert max(gaps) < min(far)
    assert len(ranking.answers(study)) == 1  # what the page closed by itself is no answer
    assert ranking.redoable(study, "") is None


def test_any_answer_can_be_taken_back_and_restored(study: wb.Study) -> None:
    """The list says what was said, newest first; a round from the middle is asked again, and stands again."""
    asked = []
    for kind in ("order", "none", "extremes", "order"):
        at, ids = shown(study)
        asked.append(ids)
        groups = {"order": ([ids[1]], [ids[0]]), "extremes": ([ids[3]], [ids[2]]), "none": ()}[kind]
        do(study, kind, *groups, question=at)
    told = ranking.given(study, "")
    assert [(one.label, one.text, one.best, one.holds) for one in told] == [
        ("Round 4", "the best 2 of 4", asked[3][1], True),
        ("Round 3", "the best and the worst of 4", asked[2][3], True),
        ("Round 2", "none would do", None, True),
        ("Round 1", "the best 2 of 4", asked[0][1], True),
    ]  # fmt: skip
    assert ranking.take_back(study, told[3].id, "") == [[asked[0][1]], [asked[0][0]]]
    at, ids = shown(study)
    assert ids == asked[0]
    told = ranking.given(study, "")
    assert [(one.label, one.holds) for one in told] == [
        ("Round 3", True), ("Round 2", True), ("Round 1", True), ("Taken back", False)
    ]  # fmt: skip
    ranking.restore(study, told[3].id, "")
    assert [one.label for one in ranking.given(study, "")] == ["Round 4", "Round 3", "Round 2", "Round 1"]
    assert shown(study)[1] != asked[0]
    with pytest.raises(FeedbackError, match="stands"):
        ranking.restore(study, told[3].id, "")
    ranking.take_back(study, told[3].id, "")
    do(study, "order", [ids[3]], question=at)
    assert told[3].id not in [one.id for one in ranking.given(study, "")]  # its question has another answer
    with pytest.raises(FeedbackError, match="has answered since"):
        ranking.restore(study, told[3].id, "")
    assert ranking.given(study, "kim") == []


@pytest.mark.slow
def test_answers_that_say_the_opposite_of_each_other_are_named() -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")], sampler="sobol", seed=0)
    seen: dict[frozenset[int], int] = {}
    turned = {}
    for turn in range(1, 41):  # one question in ten comes again
        at, ids = shown(study, 2)
        again = seen.setdefault(frozenset(ids), turn)
        if again != turn and not turned:
            turned = {f"Round {turn}": (f"Round {again}",), f"Round {again}": (f"Round {turn}",)}
            ids = sorted(ids, reverse=True)
        else:
            ids = sorted(ids)
        do(study, "order", [ids[0]], [ids[1]], question=at)
    assert turned
    assert {one.label: one.against for one in ranking.given(study, "") if one.against} == turned


def test_raters_take_back_their_own(study: wb.Study) -> None:
    at, ids = shown(study)
    ranking.act(study, {"kind": "order", "groups": [[ids[0]]], "question": at}, "kim")
    at, ids = shown(study)
    ranking.act(study, {"kind": "order", "groups": [[ids[0]]], "question": at}, "lee")
    assert ranking.undoable(study, "") is None
    ranking.act(study, {"kind": "undo"}, "kim")
    assert [entry.rater for entry in study.feedback.standing] == ["lee"]


def test_of_two_raters_at_one_question_the_second_is_refused_and_nothing_is_lost(study: wb.Study) -> None:
    at, ids = shown(study)
    ranking.act(study, {"kind": "order", "groups": [[ids[0]]], "question": at}, "kim")
    with pytest.raises(FeedbackError, match="answered already"):
        ranking.act(study, {"kind": "order", "groups": [[ids[1]]], "question": at}, "lee")
    at, other = shown(study)
    ranking.act(study, {"kind": "same", "question": at}, "lee")
    given = ranking.answers(study)
    assert [(entry.rater, entry.groups) for entry in given] == [("kim", ((ids[0],),)), ("lee", (tuple(sorted(other)),))]
    assert set(study.feedback.consistency()) == {"kim", "lee"}


def test_two_raters_by_name_rank_at_once_and_the_model_learns_from_both() -> None:
    """Different pictures, neither answer closes the other's question, another answer leaves only one's own branch."""
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1)])
    study = wb.create_study("two", space, [wb.Preference("taste")], sampler="sobol", seed=3)

    def asked(rater: str) -> tuple[int, list[int]]:
        question = study.feedback.next_question(4, rater=rater)
        return question.id, [trial.number for trial in question.trials]

    def answer(rater: str, kind: str = "order", *, best: int = 0) -> None:
        at, ids = asked(rater)
        ranking.act(study, {"kind": kind, "groups": [[ids[best]]], "question": at}, rater)

    kim, lee = asked("kim"), asked("lee")
    assert kim[0] != lee[0]
    assert not set(kim[1]) & set(lee[1])
    with pytest.raises(FeedbackError, match="was asked of 'kim'"):
        ranking.act(study, {"kind": "same", "question": kim[0]}, "lee")
    answer("kim")
    assert asked("lee") == lee
    answer("lee", best=1)
    assert [(entry.rater, entry.question) for entry in ranking.answers(study)] == [("kim", kim[0]), ("lee", lee[0])]
    learnt = study.model().utility()
    assert set(learnt.raters) == {"kim", "lee"}
    worth = dict(zip(learnt.numbers.tolist(), learnt.mean, strict=True))
    assert worth[kim[1][0]] > max(worth[n] for n in kim[1][1:])
    assert worth[lee[1][1]] > max(worth[n] for n in lee[1] if n != lee[1][1])

    after = {name: asked(name) for name in ("kim", "lee")}
    assert ranking.act(study, {"kind": "undo"}, "kim") == [[kim[1][0]]]
    assert (asked("kim"), asked("lee")) == (kim, after["lee"])
    ranking.act(study, {"kind": "redo"}, "kim")
    assert (asked("kim"), asked("lee")) == (after["kim"], after["lee"])
    ranking.act(study, {"kind": "undo"}, "kim")
    answer("kim", best=2)  # another answer: the old branch is left by who gave it
    assert asked("kim")[0] not in (kim[0], after["kim"][0])
    assert asked("lee") == after["lee"]
    assert [entry.rater for entry in ranking.answers(study)] == ["lee", "kim"]
    assert [one.label for one in ranking.given(study, "kim")] == ["Round 2"]


@pytest.mark.parametrize("k", [2, 4])
def test_over_twenty_questions_no_position_is_where_the_best_so_far_stands(study: wb.Study, k: int) -> None:
    """What was shown before and comes again beside new ones, and the oldest trial: each stands everywhere as often."""
    again, oldest, seen = [], [], set[int]()
    for _ in range(20):
        at, ids = shown(study, k)
        again += [place for place, n in enumerate(ids) if n in seen and not seen.issuperset(ids)]
        oldest.append(ids.index(min(ids)))
        seen |= set(ids)
        best = min(ids, key=lambda n: float(np.square(study.trial(n)["z"] - 0.5).sum()))
        do(study, "order", [best], question=at)
    for found, least in ((oldest, 20), (again, 8)):
        assert len(found) >= least
        assert set(found) == set(range(k))
        # Binomial: 3.5 standard deviations above a share of 1 / k would be a habit.
        most = len(found) / k + 3.5 * (len(found) * (1 / k) * (1 - 1 / k)) ** 0.5
        assert max(found.count(place) for place in range(k)) < most


def test_the_strip_and_the_favourite_say_what_the_answers_say(study: wb.Study) -> None:
    assert (ranking.strip(study), ranking.favourite(study)) == ([], None)
    at, ids = shown(study)
    assert [frame.trial for frame in ranking.strip(study)] == [ids[0]]
    do(study, "order", [ids[2]], question=at)
    at, _other = shown(study)
    do(study, "none", question=at)
    assert [(f.label, f.trial) for f in ranking.strip(study)] == [
        ("Start", ids[0]), ("Round 1", ids[2]), ("Round 2", ids[2])
    ]  # fmt: skip
    assert ranking.favourite(study) == (ids[2], ["You put it first in the one round that showed it."])
    a, b, c, d = ids
    log = study.feedback
    for groups in ([[c], [a]], [[b], [c]], [[c], [b]]):
        log.rank(groups, of=ids)
    entries = [entry for entry in log.standing if entry.kind == "rank"]
    assert ranking.challenges(entries) == (2, 2)  # c, then b beat c, then c beat b
    assert ranking.consistency(study) == ["You agreed with yourself on 1 of 3 repeats."]
    assert d not in {entry.groups[0][0] for entry in entries}


def test_how_long_it_takes_is_said_until_it_is_enough() -> None:
    said = [ranking.left(rounds) for rounds in (0, 5, 9, 10, 199, 200)]
    assert said == ["3 min left", "2 min left", "under a minute left", "", "", "more rounds will change little"]


def test_places_in_lists_are_an_order() -> None:
    assert ranking.groups_of({7: 2, 3: None, 5: 0, 9: 2}) == [[5], [7, 9]]
    assert ranking.groups_of({7: None, 3: None}) == []
    assert [ranking.nth(i) for i in range(5)] == ["Best", "2nd", "3rd", "4th", "5th"]


def test_cards_without_pictures_show_where_they_differ() -> None:
    told = [ranking.lines({"act": "relu", "depth": n, "rate": 0.1, "bias": n > 1}, {}) for n in (1, 2)]
    assert ranking.tell_apart(told) == (
        [[["depth", "1"], ["bias", "False"]], [["depth", "2"], ["bias", "True"]]],
        "The same for all: act relu, rate 0.1.",
    )
    assert ranking.tell_apart([told[0], told[0]]) == ([told[0], told[0]], "")  # nothing would be left to see
    assert ranking.tell_apart(told[:1]) == (told[:1], "")
    assert ranking.lines({"act": "relu"}, {"loss": 1 / 3}) == [["loss", "0.3333"]]


class Slow:
    """A process that renders an order when it is told to."""

    def __init__(self) -> None:
        self.orders: dict[int, Render] = {}
        self.loaded = True

    def submit(self, order: Any) -> int:
        number = len(self.orders)
        self.orders[number] = Render(number, order)
        return number

    def get(self, number: int) -> Render:
        return self.orders[number]

    def position(self, number: int) -> int:
        return int(self.orders[number].state == "queued")

    def cancel(self, number: int) -> None:
        self.orders[number] = Render(number, self.orders[number].order, "cancelled")

    def wait(self, number: int, seconds: float) -> Render:
        return self.orders[number]

    def open(self) -> list[Render]:
        return [one for one in self.orders.values() if one.state == "queued"]

    def end(self, one: Render, error: str = "") -> None:
        result = [Rendered("image/png", repr((p["i"], one.order.coarse)).encode(), "") for p in one.order.points]
        state = "failed" if error else "done"
        self.orders[one.id] = Render(one.id, one.order, state, None if error else result, error)  # type: ignore[arg-type]


def points(*numbers: int) -> list[dict[str, int]]:
    return [{"i": i} for i in numbers]


def test_what_is_looked_at_goes_before_what_may_come() -> None:
    process = Slow()
    gallery = Gallery(process)  # type: ignore[arg-type]
    gallery.want(points(0, 1, 2), points(7, 8))
    said = [([p["i"] for p in one.order.points], one.order.coarse) for one in process.open()]
    assert said == [([0], True), ([1, 2], True), ([0, 1], False), ([2], False), ([7], False), ([8], False)]
    process.end(process.open()[0])
    assert (gallery.find({"i": 0})[1], gallery.find({"i": 1})[0]) == (False, None)
    process.end(process.open()[0])
    assert gallery.find({"i": 1}) == (Rendered("image/png", b"(1, True)", ""), False)
    for one in process.open()[:3]:
        process.end(one)
    assert gallery.find({"i": 7}) == (Rendered("image/png", b"(7, False)", ""), True)
    gallery.want(points(7, 9))  # 7 was rendered ahead, and 8 is not wanted any more
    left = [([p["i"] for p in one.order.points], one.order.coarse) for one in process.open()]
    assert left == [([9], True), ([9], False)]


def test_a_picture_that_is_waited_for_is_drawn_once() -> None:
    class Prompt(Slow):
        def wait(self, number: int, seconds: float) -> Render:
            self.end(self.orders[number])
            return self.orders[number]

    process = Prompt()
    gallery = Gallery(process)  # type: ignore[arg-type]
    first = gallery.drawn({"i": 3})
    assert first == gallery.drawn({"i": 3}) == Rendered("image/png", b"(3, False)", "")
    assert len(process.orders) == 1
    gallery.want(points(3))
    assert process.open() == []


def test_a_picture_that_fails_is_said_and_tried_again() -> None:
    process = Slow()
    gallery = Gallery(process)  # type: ignore[arg-type]
    gallery.want(points(0))
    for one in process.open():
        process.end(one, "out of memory")
    assert gallery.failed({"i": 0}) == "out of memory"
    gallery.want(points(0))
    assert process.open() == []
    gallery.forgive()
    gallery.want(points(0))
    assert [one.order for one in process.open()] == [Order(({"i": 0},), True), Order(({"i": 0},))]


def test_a_source_is_read_from_the_record_with_care(tmp_path: Path) -> None:
    assert Source.of({}) is None
    assert Source.of({"pictures": {"kind": "os.system"}}) is None
    assert Source.of({"pictures": {"kind": "folder", "folder": "/x", "steps": 5}}) == Source("folder", "/x", "", 5)
    assert Source.of({"pictures": asdict(Source.bundled())}) == Source(sha256=model_hash())
    with pytest.raises(ProblemError, match="no pipeline lies in"):
        Source.pipeline(str(tmp_path))


def test_a_model_that_has_changed_since_the_study_began_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    source = Source.pipeline(str(tmp_path))
    (tmp_path / "model_index.json").write_text("[]")
    with pytest.raises(ProblemError, match="has changed since the study began"):
        load(source)
    with pytest.raises(ProblemError, match="that comes along has changed"):
        load(Source(sha256="0" * 64))


@pytest.mark.slow
def test_a_coarse_picture_is_one_of_few_steps_and_comes_close_to_the_whole_one() -> None:
    """A quarter of the steps; nearer to the whole picture than to any other, so that nothing jumps."""
    problem = emoji()
    shown = tuple({"z": z} for z in np.random.default_rng(0).standard_normal((4, 3072)))
    model = PictureModel(problem)
    coarse, whole = model.render(Order(shown, coarse=True)), model.render(Order(shown))
    assert coarse == emoji(steps=3).render_batch(shown)
    assert whole == problem.render_batch(shown)
    rough, fine = (np.stack([pixels_of(one.data) for one in made]).astype(float) for made in (coarse, whole))
    gaps = ((rough[:, None] - fine[None]) ** 2).mean(axis=(2, 3, 4))
    assert (gaps.argmin(axis=1) == np.arange(4)).all()
    assert gaps.diagonal().mean() < 0.5 * gaps[~np.eye(4, dtype=bool)].mean()


@pytest.mark.slow
def test_a_picture_that_was_judged_is_redrawn_from_its_recipe(study: wb.Study) -> None:
    """From the record alone: the study's note of its model, the trial's latent, the picture that was stored."""
    problem = emoji(steps=3)
    study = wb.create_study("s", problem.space, problem.objectives, sampler="rank_sgd", seed=5)
    assert not ranking.redrawable(study)
    study.annotate(attrs={"pictures": asdict(replace(Source.bundled(), steps=3))})
    question = study.feedback.next_question(2)
    question.pictures(problem.render)
    for trial in question.trials:
        written = json.loads(json.dumps(ranking.recipe(study, trial.number)))
        assert redraw(written) == study.feedback.picture(trial)
        assert written["seed of the study"] == 5


@pytest.mark.slow
def test_a_picture_of_ones_own_has_a_latent_that_draws_it() -> None:
    """A red disc on white: hundred times closer than pictures by chance, whose mean squared error is about 0.1."""
    problem = emoji()
    y, x = np.mgrid[:32, :32]
    disc = np.full((32, 32, 3), 255, np.uint8)
    disc[(y - 16) ** 2 + (x - 16) ** 2 < 100] = (220, 30, 30)
    z = problem.latent_of(disc)
    chance = np.random.default_rng(0).standard_normal((3, 3072))
    scores = problem.similarity([{"z": z}, *({"z": one} for one in chance)], disc)
    assert scores[0] > 0.05 * scores[1:].max()
    assert np.isclose(np.linalg.norm(z), np.sqrt(3072))
    with pytest.raises(ProblemError, match="whole ones"):
        emoji(8).latent_of(disc)
    with pytest.raises(ProblemError, match="expected a picture of shape"):
        problem.latent_of(disc[:16])
