"""Rank pictures: a few keys a round. What is recorded is the answer and the very pictures that it was given for.

Streamlit runs the page again after every action; the board keeps what is being done in between. While a person looks,
the pictures that would follow what the order says so far are rendered ahead.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import streamlit as st

from ui import board, lists, state, widgets
from ui.gallery import Gallery, Source, gallery, thumbnail
from ui.presenters import ranking, words
from ui.taking import take_along
from workbench.errors import WorkbenchError
from workbench.problem import Rendered
from workbench.study import Study
from workbench.study.feedback import Question
from workbench.trial import Trial

log = logging.getLogger("workbench.ui")

PER_ROUND, MODE, RATER, DRAFT, TURN, TROUBLE, STORED = (
    "pictures a round", "mode of ranking", "rater", "order so far", "turn", "trouble", "stored question"
)  # fmt: skip
SIZES = (2, 4, 6, 8)
MODES = {"order": "An order, best first", "extremes": "The best and the worst", "lists": "An order, in lists"}
LISTED = 30  # answers in the list of them
WAIT = 0.12  # seconds that a look waits for the next picture


def draw() -> None:
    """Draw the page."""
    name = state.chosen()
    if name is None:
        widgets.no_study()
        return
    study = state.study(name)
    if not any(type(goal).__name__ == "Preference" for goal in study.objectives):
        widgets.empty("swap_vert", "Nothing to rank here", "This study measures its goals: record its runs instead.")
        with st.container(horizontal=True, horizontal_alignment="center"):
            if st.button("Open the run sheet", type="primary", key="to_run"):
                widgets.go("run", name)
        return
    widgets.flash()
    _recall(study)
    _round(name)


@st.fragment
def _round(name: str) -> None:
    study = state.study(name)
    source = Source.of(study.attrs)
    pictures = gallery(source) if source is not None else None
    try:
        question = _question(study)
    except WorkbenchError as error:
        st.error("**There is no next question.** " + words.plain(str(error)), icon=":material/error:")
        st.caption("Everything that you have answered is kept.")
        _options(study)
        return
    data = _data(study, question, pictures)
    if state.get(MODE) == "lists":
        lists.draw(data, _act)
    else:
        board.draw(data, _acted, _drafted)
    with st.container(horizontal=True):
        _options(study)
        _favourite(study)
        _given(study)
    if question is not None:
        _settle(study, question, pictures, data)


def _question(study: Study) -> Question | None:
    """The open question of who ranks in this tab; None where the study is frozen, which asks nothing."""
    if study.frozen:
        return None
    sizes = len(study.history())
    k = int(state.get(PER_ROUND, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each is stored with its trial
        question = study.feedback.next_question(k, rater=str(state.get(RATER, "")))
    if len(question.trials) != k and sizes == len(study.history()) and state.get("resize"):
        state.put("resize", False)
        question.skip(rater=ranking.SUPERSEDED)  # it had another number of pictures
        return _question(study)
    state.put("resize", False)
    return question


def _data(study: Study, question: Question | None, pictures: Gallery | None) -> dict[str, Any]:
    trials = [] if question is None else question.trials
    rater = str(state.get(RATER, ""))
    shown: dict[int, str | None] = {}
    stored = {trial.number: study.feedback.picture(trial) for trial in trials}
    if pictures is not None:
        pictures.want([trial.params for trial in trials if stored[trial.number] is None])
        if any(stored[trial.number] is None and pictures.find(trial.params)[0] is None for trial in trials):
            pictures.wait(WAIT)
    cards = [_card(trial, stored[trial.number], pictures) for trial in trials]
    same = ""
    if cards and all(card["lines"] for card in cards):
        told, same = ranking.tell_apart([card["lines"] for card in cards])
        cards = [{**card, "lines": lines} for card, lines in zip(cards, told, strict=True)]
    kept = set(ranking.kept_numbers(study))
    failed = next((card["alt"] for card in cards if card["state"] == "failed"), "")
    frames = ranking.strip(study)
    for frame in frames:
        shown[frame.trial] = shown.get(frame.trial) or _seen(study, frame.trial)
    best = ranking.favourite(study)
    draft = state.drafts().get(_draft_key(study)) or {}
    rounds = len(ranking.answers(study)) + 1
    own = question is not None and draft.get("question") == question.id
    return {
        "turn": f"{None if question is None else question.id} {state.get(TURN, 0)}",
        "question": None if question is None else question.id,
        "study": study.name, "mode": "pair" if len(cards) == 2 else state.get(MODE, "order"),
        "cards": [{**card, "kept": card["id"] in kept} for card in cards],
        "draft": draft.get("groups") if own else [], "same": same,
        "strip": [{"id": f.trial, "label": f.label, "src": shown[f.trial], "alt": f.label} for f in frames],
        "favourite": None if best is None else {"src": _seen(study, best[0]), "lines": best[1]},
        "round": rounds, "rounds": ranking.ROUNDS, "left": ranking.left(rounds - 1),
        "undo": ranking.undoable(study, rater) is not None, "redo": ranking.redoable(study, rater) is not None,
        "closed": study.frozen, "waiting": any(card["state"] in ("waiting", "coarse") for card in cards),
        "refused": state.get(TROUBLE, ("", 0))[1], "retry": bool(failed),
        "trouble": widgets.FROZEN if study.frozen else state.get(TROUBLE, ("", 0))[0]
        or (failed and f"{failed} You can skip this question, or try again."),
    }  # fmt: skip


def _card(trial: Trial, stored: Rendered | None, pictures: Gallery | None) -> dict[str, Any]:
    made: dict[str, Any] = {"id": trial.number, "src": None, "lines": None, "alt": "", "state": "ready"}
    if stored is not None:
        return made | {"src": board.source(stored), "alt": stored.alt}
    if pictures is None:
        lines = ranking.lines(trial.params, trial.values or {})
        return made | {"lines": lines, "alt": ", ".join(f"{name} {value}" for name, value in lines)}
    if why := pictures.failed(trial.params):
        return made | {"state": "failed", "alt": f"No picture: {why}"}
    picture, whole = pictures.find(trial.params)
    if picture is None:
        return made | {"state": "waiting"}
    return made | {"src": board.source(picture), "alt": picture.alt, "state": "ready" if whole else "coarse"}


def _seen(study: Study, number: int) -> str | None:
    picture = study.feedback.picture(number)
    return None if picture is None else board.source(thumbnail(picture))


def _settle(study: Study, question: Question, pictures: Gallery | None, data: dict[str, Any]) -> None:
    """After the board is drawn: keep the pictures that it shows, and have those rendered that may come next."""
    if pictures is None or not all(card["state"] == "ready" for card in data["cards"]):
        return
    if state.get(STORED) != question.id:
        question.pictures(lambda params: _whole(pictures, params))
        state.put(STORED, question.id)
    ahead: list[Any] = []
    groups = data["draft"] or []
    likely = [("best", groups)] if groups and data["mode"] == "order" else []
    try:
        for kind, ranked in [*likely, *([] if groups else [("cannot_tell", [])])]:
            ahead += question.foresee(kind, ranked)
    except WorkbenchError as error:  # an ask that fails says so in its own place
        log.info("nothing is rendered ahead: %s", error)
        return
    pictures.want([], ahead)


def _whole(pictures: Gallery, params: Any) -> Rendered:
    picture, _ = pictures.find(params)
    assert picture is not None  # every card is ready
    return picture


def _draft_key(study: Study) -> str:
    return f"order in {study.name} by {state.get(RATER, '')}"


def _acted() -> None:
    asked = board.said("act")
    if asked is not None and state.get("last act") != asked["at"]:
        state.put("last act", asked["at"])
        _act(asked)


def _act(asked: Mapping[str, Any]) -> None:
    """Do what the page was asked to."""
    name = state.chosen()
    if name is None:
        return
    study = state.study(name)
    state.put(TROUBLE, ("", state.get(TROUBLE, ("", 0))[1]))
    source = Source.of(study.attrs)
    if asked["kind"] == "retry":
        if source is not None:
            gallery(source).forgive()
        return
    if study.frozen:
        return
    try:
        groups = ranking.act(study, asked, str(state.get(RATER, "")))
    except WorkbenchError as error:
        state.put(TROUBLE, (str(error), state.get(TROUBLE, ("", 0))[1] + 1))
        return
    _begin_with(study, groups)


def _drafted() -> None:
    made, name = board.said("draft"), state.chosen()
    if made is not None and name is not None:
        kept = {"question": made["question"], "groups": made["groups"]}
        state.drafts().put(_draft_key(state.study(name)), kept)


def _favourite(study: Study) -> None:
    best = ranking.favourite(study)
    if best is not None:
        with st.popover("Take your favourite along", icon=":material/download:", key="favourite_take"):
            take_along(study, best[0], "Favourite", "favourite")


def _given(study: Study) -> None:
    """What this rater has said, each answer to be taken back or restored."""
    made = ranking.given(study, str(state.get(RATER, "")))
    if not made:
        return
    drawer = st.popover("Your answers", icon=":material/history:", key="rank_given", on_change="rerun")
    if not drawer.open:
        return
    with drawer:
        st.caption("A round that you take back is asked again, with the very same pictures.")
        for one in made[:LISTED]:
            with st.container(horizontal=True, vertical_alignment="center", key=f"given_{one.id}"):
                picture = None if one.best is None else study.feedback.picture(one.best)
                if picture is not None:
                    st.image(thumbnail(picture).data, alt=picture.alt, width=40)
                st.markdown(
                    f"**{one.label}**, {one.text}"
                    + "".join(f"  \n:orange[Not as in {other}.]" for other in one.against)
                )
                st.space("stretch")
                st.button("Take back" if one.holds else "Restore", key=f"given_{one.id}_turn", on_click=_turn,
                          args=(study, one), disabled=study.frozen)  # fmt: skip
        if len(made) > LISTED:
            st.caption(f"The last {LISTED} of {len(made)}.")


def _turn(study: Study, one: ranking.Answer) -> None:
    """Take an answer back, or restore it."""
    rater, groups = str(state.get(RATER, "")), list[list[int]]()
    st.session_state["rank_given"] = False  # the list is closed: the board shows what came of it
    try:
        if one.holds:
            groups = ranking.take_back(study, one.id, rater)
        else:
            ranking.restore(study, one.id, rater)
    except WorkbenchError as error:  # somebody was quicker
        state.put(TROUBLE, (str(error), state.get(TROUBLE, ("", 0))[1] + 1))
        return
    _begin_with(study, groups)


def _begin_with(study: Study, groups: list[list[int]]) -> None:
    """Draw the board anew, with an order to begin the open question with."""
    state.put(TURN, state.get(TURN, 0) + 1)
    rater = str(state.get(RATER, ""))
    asked = study.feedback.questions
    first = next((q.id for q in asked if q.answered is None and (q.rater or "") == rater), None)
    state.drafts().put(_draft_key(study), {"question": first, "groups": groups} if groups else None)


def _recall(study: Study) -> None:
    """After a reload a tab asks whom it asked before, and in the same way."""
    if state.get(RATER) is None:
        kept = state.drafts().get(_asked_key(study)) or {}
        for key, value in ((PER_ROUND, 6), (MODE, "order"), (RATER, "")):
            state.put(key, kept.get(key, value))


def _asked_key(study: Study) -> str:
    return f"how {study.name} is asked in {state.tab()}"


def _options(study: Study) -> None:
    with st.popover("How you are asked", icon=":material/tune:", key="rank_options"):
        size = st.segmented_control("Pictures a round", SIZES, default=int(state.get(PER_ROUND, 6)), key="rank_size",
                                    required=True)  # fmt: skip
        mode = st.segmented_control("You say", list(MODES), default=state.get(MODE, "order"), key="rank_mode",
                                    format_func=MODES.__getitem__, required=True)  # fmt: skip
        rater = st.text_input("Who ranks (optional)", state.get(RATER, ""), key="rank_rater", max_chars=60)
        st.caption("With a name you are asked apart from others, about pictures of your own; it is no login.")
    wanted = (size, mode, rater.strip())
    if wanted != (state.get(PER_ROUND, 6), state.get(MODE, "order"), state.get(RATER, "")):
        state.put("resize", size != state.get(PER_ROUND, 6))
        for key, value in zip((PER_ROUND, MODE, RATER), wanted, strict=True):
            state.put(key, value)
        state.drafts().put(_asked_key(study), dict(zip((PER_ROUND, MODE, RATER), wanted, strict=True)))
        state.put(TURN, state.get(TURN, 0) + 1)
        st.rerun()


draw()
