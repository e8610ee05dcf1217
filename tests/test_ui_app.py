"""The pages, driven without a browser; what they write is looked up in the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from ui.__main__ import prepare
from ui.drafts import Drafts
from ui.pages import PAGES
from ui.presenters import examples
from ui.server import STORAGE
from workbench.storage import Storage

st = pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest  # noqa: E402

APP = Path(__file__).parent.parent / "ui" / "app.py"
BRANIN, COUPLING = examples.EXAMPLES


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    url = prepare(str(tmp_path / "ui.db"))
    monkeypatch.setenv(STORAGE, url)
    yield Storage(url)
    st.cache_data.clear()
    st.cache_resource.clear()


def sound(at: Any) -> Any:
    """The app, after a check that nothing failed."""
    assert not at.exception, [e.value for e in at.exception]
    assert not at.error, [e.value for e in at.error]
    return at


def app(page: str = "", study: str = "") -> Any:
    at = AppTest.from_file(str(APP), default_timeout=60)
    if study:
        at.query_params["study"] = study
    sound(at.run())
    return sound(at.switch_page(f"app_pages/{page}.py").run()) if page else at


def words(at: Any) -> str:
    parts = [*at.markdown, *at.caption, *at.text, *at.warning, *at.success]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


FILES = [Path(page.file).stem for page in PAGES if page.key != "studies"]


@pytest.mark.parametrize("page", FILES)
def test_every_page_opens_without_any_study(storage: Storage, page: str) -> None:
    assert words(app(page))


@pytest.mark.parametrize("page", FILES)
@pytest.mark.parametrize("runs", [0, 1, 5])
def test_every_page_opens_with_few_runs(storage: Storage, page: str, runs: int) -> None:
    study = wb.create_study("few", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage, seed=0)
    for trial in study.ask(runs, sampler="sobol") if runs else []:
        study.tell(trial, trial["x"])
    without = ("compare", "model", "new_study", "pareto", "rank", "filmstrip")
    assert "few" in words(app(page, "few")) or page in without


def test_the_first_page_offers_examples_and_an_empty_list(storage: Storage) -> None:
    said = words(app())
    assert "No studies yet" in said
    assert "Start from my spreadsheet" in said


def test_an_example_is_a_study_with_recorded_runs(storage: Storage) -> None:
    name = examples.create(COUPLING, storage)
    history = wb.load_study(name, storage=storage).history()
    assert (len(history), int(history.complete.sum())) == (12, 12)
    assert examples.create(COUPLING, storage) == "Coupling (example) 2"


def test_suggesting_writes_running_trials(storage: Storage) -> None:
    wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage, seed=0)
    at = app("run_sheet", "s")
    sound(at.button(key="suggest").click().run())
    trials = wb.load_study("s", storage=storage).trials
    assert [str(trial.state) for trial in trials] == ["running"] * 4
    assert "Next 4 runs" in words(at)


def test_locked_knobs_are_kept_in_suggestions(storage: Storage) -> None:
    space = wb.Space([wb.Float("x", 0, 1), wb.Categorical("solvent", ["a", "b"])])
    study = wb.create_study("s", space, [wb.Objective("y")], storage=storage, seed=0)
    study.attach({"x": 0.5, "solvent": "a"}, 1.0)
    at = app("run_sheet", "s")
    sound(at.multiselect(key="lock_names").set_value(["solvent"]).run())
    sound(at.selectbox(key="lock solvent").set_value("b").run())
    sound(at.button(key="suggest").click().run())
    assert [trial["solvent"] for trial in study.trials[1:]] == ["b"] * 3


def test_half_typed_results_of_a_run_that_was_recorded_meanwhile_are_shown(storage: Storage) -> None:
    space, goals = wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y"), wb.Objective("z")]
    study = wb.create_study("s", space, goals, storage=storage, sampler="sobol", seed=0)
    study.ask()
    study.tell(0, {"y": 1.0, "z": 2.0})
    assert storage.url is not None
    Drafts.beside(storage.url).put("plan/s/tab1", {"0": {"result 0": "3,5"}})
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.query_params["study"], at.query_params["tab"] = "s", "tab1"
    sound(at.run())
    sound(at.switch_page("app_pages/run_sheet.py").run())
    assert "You had typed: 3\\,5" in at.info[0].value
    assert study.trial(0).values == {"y": 1.0, "z": 2.0}


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "![t](http://127.0.0.1:9/t.png)", "$x$ :red[x]", "é" * 300]
)
def test_hostile_names_are_shown_as_they_stand(storage: Storage, name: str) -> None:
    study = wb.create_study(name, wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage, seed=0)
    study.ask(2)
    at = app("run_sheet", name)
    title = next(str(m.value) for m in at.markdown if str(m.value).startswith("# "))
    assert title.replace("\\", "").removeprefix("# ").startswith(name[:59])
    assert "](" not in title
    assert "<img" not in title.replace("\\<", "")


def test_what_cannot_be_read_is_said_and_the_page_stays_usable(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database")
    monkeypatch.setenv(STORAGE, f"sqlite:///{broken}")
    at = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not at.exception
    assert at.error[0].value == "The study file cannot be opened."
    assert "Everything recorded before is safe" in words(at)
    monkeypatch.setenv(STORAGE, str(storage.url))
    at.button(key="retry").click().run()
    sound(at)
    assert "No studies yet" in words(at)


def test_a_page_that_fails_says_so_with_a_number_and_keeps_the_frame(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret insides")

    wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage, seed=0)
    monkeypatch.setattr("ui.presenters.runs.verdict", fail)
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.query_params["study"] = "s"
    at.run()
    at.switch_page("app_pages/run_sheet.py").run()
    assert not at.exception
    assert at.error[0].value == "This page failed. Nothing that you recorded is lost."
    assert "secret insides" not in words(at)
    number = next(c.value for c in at.caption if c.value.startswith("Error ")).split()[1].rstrip(";")
    assert f"error {number}" in caplog.text
    assert "secret insides" in caplog.text


def test_a_study_is_renamed_and_frozen_in_the_settings(storage: Storage) -> None:
    wb.create_study("old", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage, seed=0)
    at = app("settings", "old")
    at.text_input(key="name of old").set_value("new").run()
    sound(at.button(key="rename").click().run())
    study = wb.load_study("new", storage=storage)
    sound(at.button(key="freeze").click().run())
    assert study.frozen
    sound(at.button(key="thaw").click().run())
    assert not study.frozen


@pytest.mark.slow
def test_the_overview_says_whether_a_policy_may_be_trusted(storage: Storage) -> None:
    """Two goals and a policy that was hardly trained: a red sign, figures of trust and preferences."""
    space = wb.Space([wb.Int("i", 0, 7), wb.Int("j", 0, 7)])
    sampler = {"name": "gflownet", "options": {"batch": 32, "beta": 30.0}}
    goals = [wb.Objective("a", "maximize"), wb.Objective("b")]
    study = wb.create_study("s", space, goals, storage=storage, sampler=sampler, seed=0)
    study.optimize(lambda c: {"a": c["i"], "b": c["j"]}, vectorized=True, evaluations=400, keep=2, progress=False)
    at = app("overview", "s")
    said = words(at)
    assert "### The policy" in said
    assert ":red[:material/error:] Do not trust it yet: the figure says why." in said
    assert len(at.get("plotly_chart")) == 4  # hypervolume, history, trust, preferences


@pytest.mark.slow
def test_the_overview_shows_the_hypervolume_and_what_failed(storage: Storage) -> None:
    name = examples.create(COUPLING, storage)
    study = wb.load_study(name, storage=storage)
    study.tell(study.ask(), state="failed", error="stirrer stopped")
    at = app("overview", name)
    assert "1 run failed; see why below." in words(at)
    assert at.dataframe[0].value["outcome"].iloc[0] == "❘ Failed"
    assert [frame.value for frame in at.dataframe][-1]["Reason"].tolist() == ["stirrer stopped"]


def test_the_address_says_which_runs_are_shown_and_the_fields_follow_it(storage: Storage) -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], storage=storage, seed=0)
    for x in (0.1, 0.2, 0.3):
        study.attach({"x": x}, x)
    study.void(1, reason="wrong vial")
    at = app("run_sheet", "s")
    assert at.dataframe[0].value["run"].tolist() == [2, 0]
    sound(at.pills(key="show s").set_value(["Void"]).run())
    assert at.query_params["show"] == "Void"
    assert at.dataframe[0].value["run"].tolist() == [1]
    at.query_params["show"], at.query_params["runs"] = "Done,Void", "1-"
    sound(at.run())
    assert at.pills(key="show s").value == ["Done", "Void"]
    assert at.dataframe[0].value["run"].tolist() == [2, 1]


@pytest.mark.slow
def test_questions_are_answered_in_lists_without_the_board(storage: Storage) -> None:
    """An order with a tie, the rest worse; nothing placed; none will do; undo brings back the same with its order."""
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1)])  # cards of words
    study = wb.create_study("taste", space, [wb.Preference("taste")], sampler="sobol", storage=storage, seed=0)
    at = app("rank", "taste")
    sound(at.button_group(key="rank_mode").set_value("lists").run())

    def shown() -> list[int]:
        return [trial.number for trial in study.feedback.next_question(6).trials]

    def places() -> list[Any]:
        return [box.value for box in at.selectbox if box.label.startswith("Picture")]

    first = shown()
    assert places() == [None] * 6
    sound(at.button(key="lists_done").click().run())
    assert "Put at least one picture in order first." in words(at)
    assert study.feedback.log == ()
    boxes = [box for box in at.selectbox if box.label.startswith("Picture")]
    assert boxes[0].options == ["No place", "Best", "2nd", "3rd", "4th", "5th", "6th"]
    for i, place in ((4, 0), (0, 2), (2, 2), (1, 5)):  # a place that is left out is none
        boxes[i].set_value(place)
    sound(at.button(key="lists_done").click().run())
    (entry,) = study.feedback.log
    assert (entry.kind, entry.groups) == ("best", ((first[4],), (first[0], first[2]), (first[1],)))
    second = shown()
    assert places() == [None] * 6
    sound(at.button(key="lists_none").click().run())
    assert [one.kind for one in study.feedback.standing] == ["best", "none_acceptable"]
    sound(at.button(key="lists_undo").click().run())
    assert shown() == second
    sound(at.button(key="lists_undo").click().run())
    assert shown() == first
    assert places() == [1, 2, 1, None, 0, None]
    sound(at.button(key="lists_redo").click().run())
    assert shown() == second
    assert "Round 2" in words(at)


@pytest.mark.slow
def test_two_tabs_with_two_names_are_asked_apart(storage: Storage) -> None:
    """A change of name changes the question; both answers land, and neither closes the other's question."""
    space = wb.Space([wb.Float("x", 0, 1), wb.Float("y", 0, 1)])  # cards of words
    study = wb.create_study("taste", space, [wb.Preference("taste")], sampler="sobol", storage=storage, seed=0)
    tabs = {}
    for name in ("kim", "lee"):
        tabs[name] = app("rank", "taste")
        sound(tabs[name].button_group(key="rank_mode").set_value("lists").run())
        sound(tabs[name].text_input(key="rank_rater").set_value(name).run())
    asked = {q.rater: q for q in study.feedback.questions}
    assert list(asked) == [None, "kim", "lee"]  # the first one before a name was typed; it waits for anybody
    assert len({n for q in asked.values() for n in q.trials}) == 18
    for at in tabs.values():
        next(box for box in at.selectbox if box.label.startswith("Picture")).set_value(0)
        sound(at.button(key="lists_done").click().run())
    assert [(e.rater, e.question, e.of) for e in study.feedback.log] == [
        (name, asked[name].id, asked[name].trials) for name in ("kim", "lee")
    ]  # fmt: skip
    assert [q.rater for q in study.feedback.questions if q.answered is None] == [None, "kim", "lee"]
    sound(tabs["kim"].button(key="lists_undo").click().run())
    assert [(q.rater, q.answered) for q in study.feedback.questions[:3]] == [(None, None), ("kim", None), ("lee", 1)]
