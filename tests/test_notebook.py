"""What a notebook shows: studies, spaces and trials as HTML, and the bar of a run."""

from __future__ import annotations

import builtins
import sys
import time
from html.parser import HTMLParser
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import rich.console
from test_plots import row

import workbench as wb
from workbench import markup
from workbench.study.notebook import bar_html, study_html
from workbench.trial import History, dumps

HOSTILE = "<script>alert('x')</script>&$x$"
SPACE = wb.Space([wb.Float("x", 0, 1)])


class Reader(HTMLParser):
    """Collects rows of cells, all text, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def read(thing: Any) -> Reader:
    text = thing._repr_html_()
    reader = Reader(text)
    assert not set(reader.tags) - {"div", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert "color" not in text  # the notebook's own colours, light or dark
    assert "http" not in text
    return reader


# -- tables -----------------------------------------------------------------------------


def test_a_table_escapes_aligns_and_leaves_empty_columns_out() -> None:
    text = markup.table({HOSTILE: ["<b>", None], "n": [1.5, None], "none": [None, None]})
    reader = Reader(text)
    assert reader.rows == [[HOSTILE, "n"], ["<b>", "1.500"], ["–", "–"]]
    assert text.count("text-align:right") == 3  # the numbers and their head
    assert "script" not in reader.tags
    assert markup.fields([("a", "1 < 2"), ("b", None), ("c", "")]).count("<tr>") == 1
    assert markup.fields([("a", None)]) == ""
    assert markup.wording({"a": 10.0, "b": True}) == "(a 10, b yes)"


# -- what is shown ------------------------------------------------------------------------


def test_a_space() -> None:
    space = wb.Space(
        [
            wb.Float("x", 1, 10, log=True, unit="<mm>"),
            wb.Bool("bias"),
            wb.Float("m", 0, 1, when={"bias": True}),
            wb.Categorical("c", [HOSTILE, "b"], role="task", target="b"),
            wb.Vector("z", 512, prior="normal"),
            wb.Permutation("order", 3),
        ],
        constraints=["x + m <= 5"],
    )
    reader = read(space)
    assert reader.rows[0] == ["name", "values", "unit", "exists when", "role"]
    assert [one[0] for one in reader.rows[1:]] == list(space.names)
    assert reader.rows[1][2] == "<mm>"
    assert reader.rows[3][3] == "bias = yes"
    assert HOSTILE in reader.rows[4][1].replace("\\'", "'")
    assert "6 parameters" in reader.text
    assert "Constraints: x + m <= 5" in reader.text


def test_a_trial() -> None:
    space = wb.Space([wb.Float("x", 0, 1, unit="mm"), wb.Categorical("c", [HOSTILE, "b"])])
    study = wb.create_study("s", space, [wb.Objective("loss", unit="<s>")], sampler="sobol", seed=0)
    trial = study.attach({"x": 0.25, "c": HOSTILE}, 2.0, sem=0.1)
    reader = read(trial)
    assert reader.text.startswith("Trial 0complete")
    assert reader.rows[:3] == [["loss", "2 ± 0.1 <s>"], ["x", "0.25 mm"], ["c", HOSTILE]]
    failed = study.tell(study.ask(), state="failed", error=HOSTILE)
    assert ["error", HOSTILE] in read(failed).rows
    running = read(study.ask())
    assert "running" in running.text
    assert [one[0] for one in running.rows] == ["x", "c", "why"]


def test_a_study_shows_its_best_and_its_last_trials() -> None:
    study = wb.create_study(
        HOSTILE, SPACE, [wb.Objective("loss", unit="s")], constraints=[wb.Constraint("heat", lower=1, upper=8)]
    )
    assert "No trials yet." in read(study).text
    for i in range(12):
        study.attach({"x": i / 12}, {"loss": abs(i - 4.0), "heat": 2.0})
    study.tell(study.ask(sampler="sobol"), state="failed", error="boom")
    reader = read(study)
    assert reader.text.startswith(f"Study {HOSTILE}")
    assert "Best of 13 trials: loss 0 s at x = 0.3333; found at trial 4." in reader.text
    assert "13 trials: 12 complete, 1 failed." in reader.text
    assert ["heat", "at least 1 and at most 8", "–"] in reader.rows
    assert ["loss", "minimize", "s"] in reader.rows
    assert "The last 10 trials" in reader.text
    assert [one[0] for one in reader.rows[-10:]] == [str(i) for i in range(3, 13)]
    assert reader.rows[-1][:3] == ["12", "failed", "–"]
    assert reader.rows[-11] == ["trial", "state", "loss [s]", "heat", "x"]


def test_a_study_with_several_goals_shows_its_front() -> None:
    study = wb.create_study("s", SPACE, [wb.Objective("a"), wb.Objective("pH", target=7, tolerance=0.5)])
    for x, a, acid in ((0.1, 1, 9), (0.2, 2, 7.2), (0.3, 3, 7), (0.4, 0.5, 9.5)):
        study.attach({"x": x}, {"a": a, "pH": acid})
    reader = read(study)
    assert "The front, best a first" in reader.text
    assert [one[0] for one in reader.rows if one[0].isdigit()] == ["3", "0", "1", "0", "1", "2", "3"]
    assert ["pH", "close to 7 ± 0.5"] in reader.rows
    judged = wb.create_study("taste", SPACE, [wb.Preference("taste")])
    judged.ask(sampler="sobol")
    assert "judged by people" in read(judged).text


def test_wide_spaces_are_cut_and_said() -> None:
    study = wb.create_study("s", wb.Space([wb.Float(f"x{i}", 0, 1) for i in range(40)]), [wb.Objective("y")])
    study.ask(sampler="sobol")
    reader = read(study)
    assert len(reader.rows[-1]) <= 16
    assert "27 more columns not shown" in reader.text


@pytest.mark.slow
def test_a_study_of_100_000_trials_is_shown_at_once() -> None:
    rng = np.random.default_rng(0)
    goals = [wb.Objective("a"), wb.Objective("b")]
    told = [dumps({"a": a, "b": b}) for a, b in rng.normal(size=(100_000, 2)).tolist()]
    rows = [row(i, {"x": 0.5}, 1.0)._replace(outcomes=text) for i, text in enumerate(told)]
    history = History.of(SPACE, goals, [], rows)
    began = time.process_time()
    text = study_html("huge", history)
    assert time.process_time() - began < 5
    assert len(text) < 20_000
    assert "100,000 trials" in text


# -- the bar --------------------------------------------------------------------------------


class FakeHandle:
    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, thing: str) -> None:
        self.shown.append(thing)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A notebook without ipywidgets; what its bar has shown."""
    looks: list[str] = []
    display = ModuleType("IPython.display")

    def show(thing: str, *, display_id: bool) -> FakeHandle:
        assert display_id is True
        looks.append(thing)
        return FakeHandle(looks)

    vars(display).update(HTML=str, display=show)
    ipython = ModuleType("IPython")
    vars(ipython).update(display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr("workbench.study.notebook._INTERVAL", 0.0)
    return looks


def test_a_run_in_a_notebook_moves_a_bar(shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    study = wb.create_study("s", SPACE, [wb.Objective("y")], sampler="sobol", seed=0)
    study.optimize(lambda trial: trial["x"], n_trials=3)
    assert shown[0].startswith('<div><progress value="0" max="3"></progress> 0 of 3 trials · no value yet · 0:00 gone')
    assert [one.partition('value="')[2][0] for one in shown] == ["0", "1", "2", "3", "3"]
    best = study.best_trial
    assert f"3 of 3 trials · best {best.value:.6g} (trial {best.number}) · 0:00 gone</div>" in shown[-1]
    assert capsys.readouterr() == ("", "")
    shown.clear()
    study.optimize(lambda trial: trial["x"], until=5)
    assert "3 of 5 trials" in shown[0]
    assert "5 of 5 trials" in shown[-1]
    shown.clear()
    study.optimize(lambda trial: trial["x"], n_trials=1, progress=False)
    assert shown == []


def test_the_bar_stands_where_a_run_broke_off(shown: list[str]) -> None:
    study = wb.create_study("s", SPACE, [wb.Objective("y")], sampler="sobol", seed=0)

    def breaks(trial: wb.Trial) -> float:
        if trial.number == 1:
            raise ValueError("no")
        return 1.0

    with pytest.raises(ValueError, match="no"):
        study.optimize(breaks, n_trials=4)
    assert "of 4 trials" in shown[-1]
    assert "4 of 4" not in shown[-1]


def test_a_fast_run_does_not_flood_the_notebook(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.study.notebook._INTERVAL", 3600.0)
    study = wb.create_study("s", SPACE, [wb.Objective("y")], sampler="sobol", seed=0)
    study.optimize(lambda trial: trial["x"], n_trials=20)
    assert [one.partition('value="')[2].partition('"')[0] for one in shown] == ["0", "20"]


def test_outside_a_notebook_nothing_of_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def guarded(name: str, *rest: Any) -> Any:
        assert not name.startswith(("IPython", "ipywidgets"))
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", guarded)
    study = wb.create_study("s", SPACE, [wb.Objective("y")], sampler="sobol", seed=0)
    study.optimize(lambda trial: trial["x"], n_trials=1)
    assert "IPython" not in sys.modules


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ((0, 0, 10, 0.0), "0 of 10 trials · b<est · 0:00 gone"),
        ((0, 5, 20, 60.0), "5 of 20 trials · b<est · 1:00 gone · 3:00 left"),
        ((90, 100, 110, 3600.0), "100 of 110 trials · b<est · 1:00:00 gone · 1:00:00 left"),
        ((0, 10, 10, 61.4), "10 of 10 trials · b<est · 1:01 gone"),
        ((0, 7, None, 5.0), "7 trials · b<est · 0:05 gone"),
    ],
)
def test_the_words_of_the_bar(state: tuple[int, int, int | None, float], words: str) -> None:
    text = bar_html(*state, "b<est")
    assert words.replace("<", "&lt;") in text
    assert ("<progress" in text) is (state[2] is not None)


def test_the_prompt_shows_a_record_and_a_model_in_a_line() -> None:
    study = wb.create_study("a", wb.Space([wb.Float("x", 0, 1), wb.Float("z", 0, 1)]), [wb.Objective("y")], seed=0)
    assert repr(study.history()) == "History(0 trials of 2 columns, y, revision 0)"
    assert repr(study.model()).startswith("Model(History(0 trials of 2 columns, y, revision 0), none: a model needs")
