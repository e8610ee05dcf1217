"""The report: one file that says what was found, holds everything it needs, and lets no user text out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from workbench.problem import Constraint, Objective, Preference
from workbench.report import headline, render, write_report
from workbench.space import Bool, Categorical, Float, Space, Vector
from workbench.trial import FeedbackRecord, History, TrialRow, dumps

HOSTILE = "<img src=x onerror=alert(1)>"
BREAKER = "</script><script>alert(2)</script><!--"
VOID = {"meta", "br", "img", "link", "input", "hr"}


def row(number: int, params: Mapping[str, Any], values: Any = None, **fields: Any) -> TrialRow:
    blank: dict[str, Any] = dict.fromkeys(TrialRow._fields)
    state = fields.pop("state", "running" if values is None else "complete")
    known = {
        "number": number,
        "state": state,
        "params": orjson.dumps(dict(params)).decode(),
        "origin": "asked",
    }
    known |= {"outcomes": dumps(values), "space_version": 0, "created": 0.0, "attempt": 1, "revision": 1}
    return TrialRow(**blank | known | fields)


@dataclass(frozen=True)
class Recorded:
    """The least that a report can be written of."""

    record: History
    name: str = "demo"

    @property
    def space(self) -> Space:
        return self.record.space

    @property
    def objectives(self) -> Any:
        return self.record.objectives

    def history(self) -> History:
        return self.record


class Page(HTMLParser):
    """Collects tags with attributes, text and scripts, and checks that every element is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open[-1:] == ["script"] else self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def figures(self) -> dict[str, Any]:
        """Data of the figures by the id of the element that shows them."""
        sources = [attrs for tag, attrs in self.tags if tag == "script"]
        named = {attrs.get("data-for"): text for attrs, text in zip(sources, self.scripts, strict=True)}
        return {name: json.loads(text) for name, text in named.items() if name}


SPACE = Space([Float("C", 0.1, 100, log=True), Bool("bias"), Float("m", 0, 1, when={"bias": True}, unit="mm")])


def study(*rows: TrialRow, space: Space = SPACE, objectives: Any = (), constraints: Any = ()) -> Recorded:
    goals = list(objectives) or [Objective("accuracy", "maximize", noise=0.01)]
    return Recorded(History.of(space, goals, list(constraints), list(rows)))


def tuned() -> Recorded:
    rows = [row(i, {"C": 1.0 + i, "bias": False}, {"accuracy": 0.9 + 0.005 * i}) for i in range(12)]
    rows[5] = row(5, {"C": 3.1, "bias": True, "m": 0.25}, {"accuracy": 0.987}, started=0.0, finished=90.0)
    rows.append(row(12, {"C": 50.0, "bias": False}, None, state="failed", error="ValueError: diverged <b>"))
    rows.append(row(13, {"C": 60.0, "bias": False}))
    return study(*rows)


def test_a_report_says_what_was_found_and_how_to_go_on(tmp_path: Path) -> None:
    snippet = 'study = wb.load_study("demo")\nstudy.optimize(fn, n_trials=20)'
    path = write_report(tuned(), tmp_path / "report.html", continue_with=snippet)
    assert path == tmp_path / "report.html"
    assert list(tmp_path.iterdir()) == [path]  # no draft is left behind
    page = Page(path.read_text(encoding="utf-8"))
    found = "Best of 14 trials: accuracy 0.987 ± 0.01 at C = 3.1, bias = yes, m = 0.25 mm; found at trial 5."
    assert found in page.text
    for words in (
        "12 complete", "1 failed", "1 running", "ValueError: diverged <b>", "Best 10 trials",
        "What was optimised",
        "First trial started 1970-01-01 00:00, last result 1970-01-01 00:01 (UTC).", "bias = yes",
        'study = wb.load_study("demo") study.optimize(fn, n_trials=20)',
    ):  # fmt: skip
        assert words in page.text, words
    assert set(page.figures()) == {"history", "slice-0-0", "slice-1-0", "slice-2-0"}
    shown = dict(page.tags)
    assert shown["html"]["lang"] == "en"
    assert {"title", "main", "h1", "details"} <= shown.keys()


def test_the_best_ten_come_best_first() -> None:
    text = render(tuned())
    table = text[text.index("Best 10 trials") :]
    numbers = re.findall(r'<tr><td class="number">(\d+)</td>', table)[:10]
    assert numbers == ["5", "11", "10", "9", "8", "7", "6", "4", "3", "2"]


def test_nothing_is_loaded_from_anywhere() -> None:
    page = Page(render(tuned()))
    for tag, attrs in page.tags:
        assert not attrs.keys() & {"src", "href", "srcset", "data", "action", "background"}, tag
    (policy,) = [attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "@import" not in render(tuned())
    assert "url(" not in page.text


def test_user_text_cannot_leave_its_place() -> None:
    space = Space([Categorical("c", [HOSTILE, BREAKER]), Float("x", 0, 1, unit=HOSTILE)])
    goal, limit = Objective(HOSTILE, unit=BREAKER), Constraint(BREAKER, upper=1.0, unit=HOSTILE)
    rows = [
        row(0, {"c": BREAKER, "x": 0.5}, {HOSTILE: 1.0, BREAKER: 0.5}),
        row(1, {"c": HOSTILE, "x": 0.25}, None, state="failed", error=BREAKER),
        row(2, {"c": HOSTILE, "x": 0.25}, None, state="infeasible", reason=HOSTILE),
    ]
    record = study(*rows, space=space, objectives=[goal], constraints=[limit]).record
    plain, hostile = render(tuned()), render(Recorded(record, name=BREAKER), continue_with=BREAKER)
    page = Page(hostile)
    assert "img" not in {tag for tag, _ in page.tags}
    # as many scripts as figures and the three of every page
    assert len(page.scripts) == len(page.figures()) + 3 == hostile.count("<script")
    assert HOSTILE in page.text
    assert BREAKER in page.text
    assert page.figures()["slice-0-0"]["data"]
    assert plain.count("alert(") == 0


def test_figures_hold_the_belief_when_there_is_one() -> None:
    def predict(params: list[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
        return {"accuracy": (np.full(len(params), 0.95), np.full(len(params), 0.01))}

    page = Page(render(tuned(), predict=predict))
    names = [[trace["name"] for trace in figure["data"]] for figure in page.figures().values()]
    assert ["model ± 2 sd" in traces for traces in names] == [False, True, True, True]
    assert "Held: bias = yes, m = 0.25." in page.text


def test_several_objectives_have_a_front() -> None:
    goals = [Objective("cost", unit="€"), Objective("yield", "maximize")]
    rows = [
        row(i, {"C": 1.0, "bias": False}, {"cost": c, "yield": y}) for i, (c, y) in enumerate([(1, 1), (2, 2), (3, 1)])
    ]
    recorded = study(*rows, objectives=goals)
    assert headline(recorded.record) == (
        "Front of 3 trials: 2 trials that no other beats. Best cost 1 € at trial 0. Best yield 2 at trial 1."
    )
    text = render(recorded)
    assert "The front, best cost first" in text
    assert "<p>2 trials on the front.</p>" in text
    assert 'data-for="tradeoffs"' in text
    assert 'data-for="hypervolume"' in text


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        (study(), "No trials yet."),
        (study(row(0, {"C": 1.0, "bias": False})), "No finished trials yet. 1 trial under way."),
        (
            study(row(0, {"C": 1.0, "bias": False}, None, state="failed")),
            "1 finished trial, none with a value. 1 of them failed",
        ),
        (
            study(
                row(0, {"C": 1.0, "bias": False}, {"accuracy": 1, "heat": 9}),
                constraints=[Constraint("heat", upper=8)],
            ),
            "1 trial, none that counts yet. Its value is over a limit.",
        ),
        (study(row(0, {"C": 1.0, "bias": False}, {}), objectives=[Preference("taste")]), "judged by people"),
    ],
)
def test_a_report_of_little_is_a_report(recorded: Recorded, words: str) -> None:
    assert words in Page(render(recorded)).text


def test_answers_of_people_are_counted() -> None:
    entries = [FeedbackRecord(0, "rank", ((0,), (1,)), (0, 1))]
    rows = [row(i, {"C": 1.0, "bias": False}, {}) for i in range(2)]
    record = History.of(SPACE, [Preference("taste")], [], rows, feedback=entries)
    assert headline(record) == "2 trials, judged by people: 1 answer so far."


def test_a_space_without_axes_has_no_slices() -> None:
    space = Space([Vector("z", 4)])
    blob = np.arange(4.0).astype("<f8").tobytes()
    recorded = study(row(0, {"z": None}, {"accuracy": 0.5}, vectors=blob), space=space)
    page = Page(render(recorded))
    assert set(page.figures()) == {"history"}
    assert "at z = (0, 1, 2, 3); found at trial 0" in page.text


def test_an_older_report_survives_an_error(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("older")

    def predict(params: list[dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
        raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        write_report(tuned(), path, predict=predict)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
    write_report(tuned(), path)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    missing = tmp_path / "no such folder" / "report.html"
    with pytest.raises(FileNotFoundError) as told:
        write_report(tuned(), missing)
    assert told.value.filename == str(missing)
