"""A study as one file, and back: nothing lost, nothing half read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

import workbench as wb
from workbench.storage import Storage
from workbench.study import Study
from workbench.trial import TrialRow


def rich(**options: Any) -> Study:
    """A study with something in every table."""
    space = wb.Space(
        [
            wb.Float("x", -5, 10, unit="mm"), wb.Int("k", 1, 8, log=True), wb.Bool("bias"),
            wb.Float("m", 0, 1, when={"bias": True}), wb.Vector("z", 7, prior="normal"), wb.Permutation("order", 4),
            wb.Vector("w", 2, prior="normal", when={"bias": True}),
            wb.Simplex("mix", names=["a", "b", "c"], total=100), wb.Categorical("act", ["relu", "täñh", 3]),
        ],
        constraints=["x + k <= 15"],
    )  # fmt: skip
    goals: list[wb.Objective | wb.Preference] = [
        wb.Objective("loss"),
        wb.Objective("pH", target=7.2, tolerance=0.1),
        wb.Preference("taste"),
    ]
    limits = [wb.Constraint("memory", upper=8.0, unit="GiB")]
    settings: dict[str, Any] = {"sampler": "sobol", "seed": 7, "budget": 30} | options
    study = wb.create_study("demo", space, goals, limits, **settings)
    trials = study.ask(8)
    for i, t in enumerate(trials[:4]):
        t.report({"loss": 3.0 - i}, 0)
        t.report({"loss": 2.0 - i, "pH": 7.0}, 10)
        values = {"loss": 0.1 * i, "pH": 7.0 + i, "memory": 9.0 - i}
        study.tell(t, values, sem={"loss": 0.1}, gradient={"loss": {"x": 1e-300}}, cost=2.5, actual={"x": 1.0})
    study.tell(4, state="failed", error="Traceback\n  ñ")
    study.tell(5, state="infeasible", reason="no power")
    study.reject(6, reason="ugly", avoid="x > 3")
    study.enqueue({"m": 0.5})
    study.attach({**trials[0].params, "x": 99.0}, {"loss": 1.0, "pH": 1.0, "memory": 1.0})
    trials[0].set_attr("lot", {"id": [1, None, "ä"]})
    study.amend(1, values={"loss": 5.0}, reason="typo")
    study.void(2, reason="copy")
    study.feedback.rank([[0], [1, 3]], of=[0, 1, 3, 5], rater="kim", confidence=0.9)
    study.feedback.next_question(k=2, rater="kim").answer([[9], [7]])
    study.feedback.undo(0)
    study.feedback.next_question(k=3)
    study.files.put("photo.png", bytes(range(256)), "image/png", trial=0)
    study.files.put("empty", b"", "text/plain")
    return study


def content(study: Study) -> dict[str, Any]:
    """Everything that the storage says about a study; revisions count the transactions of one database."""
    store, key = study._record.storage, study._record.id
    row = store.study(study.name)
    return {
        "study": [
            getattr(row, name) for name in type(row).__slots__ if name not in ("id", "name", "updated", "revision")
        ],
        "spaces": store.spaces(key),
        "trials": [trial._replace(revision=0) for trial in store.rows(key)],
        "reports": store.reports(key),
        "feedback": store.feedback(key),
        "questions": store.questions(key),
        "files": [store.attachment(key, row.name) for row in store.attachments(key)],
        "audit": store.audit(key),
    }


@pytest.fixture(scope="module")
def original() -> Study:
    return rich()


@pytest.fixture
def file(original: Study, tmp_path: Path) -> Path:
    return original.export(tmp_path / "demo.json")


def test_round_trip_is_an_equal_study(original: Study, file: Path, tmp_path: Path) -> None:
    assert file == tmp_path / "demo.json"
    copy = wb.import_study(file, storage=tmp_path / "copy.db")
    assert content(copy) == content(original)
    assert all(content(copy).values())  # nothing was compared empty with empty
    assert {t.state for t in copy.trials} == set(wb.TrialState) - {"pruned"}
    for a, b in zip(original.trials, copy.trials, strict=True):
        assert original.space.key(a.params) == copy.space.key(b.params)
    ours, theirs = original.history(), copy.history()
    for name in ("numbers", "states", "X", "Y", "sem", "C", "cost"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    np.testing.assert_array_equal(ours.gradients(), theirs.gradients())
    assert copy.feedback.standing == original.feedback.standing
    assert copy.feedback.next_question().id == original.feedback.next_question().id
    again = copy.export(tmp_path / "again.json")
    assert orjson.loads(again.read_bytes())["trials"] == orjson.loads(file.read_bytes())["trials"]


def test_the_copy_goes_on_as_the_original_would(tmp_path: Path) -> None:
    study = rich()
    copy = wb.import_study(study.export(tmp_path / "demo.json"))
    assert [repr(t.params) for t in copy.ask(3)] == [repr(t.params) for t in study.ask(3)]
    assert len(copy.trials) == len(study.trials)


def test_another_name_and_a_name_that_is_taken(original: Study, file: Path, tmp_path: Path) -> None:
    store = Storage(tmp_path / "copy.db")
    assert wb.import_study(file, storage=store).name == "demo"
    with pytest.raises(wb.StudyExistsError, match=r"'demo' exists already.*another name"):
        wb.import_study(file, storage=store)
    other = wb.import_study(file, storage=store, name="other", sampler="random")
    assert (other.name, other.sampler.name) == ("other", "random")
    assert content(other) == content(original)
    assert [s.name for s in wb.list_studies(store)] == ["demo", "other"]


def test_export_replaces_a_file_whole(original: Study, file: Path) -> None:
    file.write_text("older")
    assert original.export(str(file)) == file
    assert wb.import_study(file).name == "demo"
    assert [p.name for p in file.parent.iterdir()] == ["demo.json"]


def test_layout_of_the_file_does_not_matter(original: Study, file: Path) -> None:
    raw = orjson.loads(file.read_bytes())
    file.write_bytes(orjson.dumps(dict(reversed(raw.items()))))
    assert content(wb.import_study(file)) == content(original)


def refused(file: Path, said: str, kind: type[Exception] = wb.BundleError) -> None:
    store = Storage()
    with pytest.raises(kind, match=said):
        wb.import_study(file, storage=store)
    assert wb.list_studies(store) == []


def test_damage_anywhere_is_noticed_and_nothing_written(original: Study, file: Path) -> None:
    whole, rng = file.read_bytes(), np.random.default_rng(4)
    store = Storage()
    refusals = 0
    for place in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        file.write_bytes(damaged)
        try:
            copy = wb.import_study(file, storage=store)
        except wb.BundleError:
            refusals += 1
        else:  # a byte between two values, or the name of the checksum
            assert content(copy) == content(original)
            wb.delete_study("demo", storage=store)
        assert wb.list_studies(store) == []
    assert refusals > 75


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9999])
def test_a_file_cut_short(file: Path, share: float) -> None:
    whole = file.read_bytes().strip()
    file.write_bytes(whole[: int(share * (len(whole) - 1))])
    refused(file, "no JSON, or cut short.*export the study again")


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"format": "another"}'])
def test_json_of_something_else(file: Path, text: str) -> None:
    file.write_text(text)
    refused(file, "no study; expected a file that study.export wrote")


def test_a_newer_version(file: Path) -> None:
    raw = orjson.loads(file.read_bytes())
    file.write_bytes(orjson.dumps(raw | {"version": 3, "more": []}))
    refused(file, "bundle version 3, this workbench reads up to 2; upgrade")


def test_questions_of_the_first_version_belong_to_anybody(file: Path) -> None:
    raw = orjson.loads(file.read_bytes())
    assert (raw["version"], [question.pop("rater") for question in raw["questions"]]) == (2, ["kim", None])
    del raw["sha256"]
    file.write_bytes(orjson.dumps(raw | {"version": 1}))
    copy = wb.import_study(file)
    assert [question.rater for question in copy.feedback.questions] == [None, None]
    assert [question.trials for question in copy.feedback.questions] == [tuple(q["trials"]) for q in raw["questions"]]


def test_no_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.json", "cannot read .*none.json: No such file")
    refused(tmp_path, "cannot read")


Edit = Callable[[dict[str, Any]], object]


def put(*path: str | int, value: Any) -> Edit:
    def edit(raw: dict[str, Any]) -> None:
        place: Any = raw
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return edit


EDITS: dict[str, tuple[Edit, str]] = {
    "a changed value": (put("trials", 0, "outcomes", "loss", value=9.0), "does not match its checksum.*take the line"),
    "report of no trial": (put("reports", 0, "number", value=99), r"names trials \[99\] of only 10"),
    "file of no trial": (put("attachments", 0, "number", value=-1), r"trials \[-1\]"),
    "question of no trial": (put("questions", 0, "trials", value=[0, 12]), r"trials \[12\]"),
    "ranking of no trial": (put("feedback", 0, "groups", value=[[0], [77]]), r"trials \[77\]"),
    "ranking shown no trial": (put("feedback", 0, "of", value=[0, 77]), r"trials \[77\]"),
    "audit of no trial": (put("audit", 0, "number", value=50), r"trials \[50\]"),
    "question of no name": (put("questions", 0, "rater", value=""), "questions.0.rater"),
    "answer of no question": (put("feedback", 1, "question", value=8), r"questions \[8\] of only 2"),
    "question answered by nothing": (put("questions", 0, "answered", value=31), r"feedback \[31\] of only 3"),
    "undo of itself": (put("feedback", 2, "undoes", value=2), "feedback 2 undoes feedback 2"),
    "a number twice": (put("trials", 3, "number", value=2), "position 3 has number 2"),
    "no such space": (put("trials", 3, "space_version", value=2), "space version 2"),
    "no such state": (put("trials", 3, "state", value="done"), "done"),
    "no such origin": (put("trials", 3, "origin", value="found"), "trials.3.origin"),
    "no such parameter": (put("trials", 3, "params", "q", value=1), "'q'"),
    "a parameter of another type": (put("trials", 3, "params", "x", value="1"), "x: expected a number"),
    "a value of nothing": (put("trials", 3, "outcomes", "q", value=1.0), r"values of \['q'\]"),
    "a value of text": (put("trials", 3, "outcomes", "loss", value="1"), "trials.3.outcomes.loss"),
    "an error of nothing": (put("trials", 3, "sem", value={"q": 1.0}), r"values of \['q'\]"),
    "a negative error": (
        put("trials", 3, "sem", value={"loss": -1.0}),
        "trials.3.sem.loss.*greater than or equal to 0",
    ),
    "a negative cost": (put("trials", 3, "cost", value=-5.0), "trials.3.cost.*greater than or equal to 0"),
    "an answer that is surely wrong": (put("feedback", 0, "confidence", value=0.0), "feedback.0.confidence"),
    "vectors cut short": (put("trials", 3, "vectors", value="AAAA"), "3 bytes of vectors, expected"),
    "vectors of no base64": (put("trials", 3, "vectors", value="?"), "contradicts itself"),
    "a file of no base64": (put("attachments", 0, "data", value="?"), "contradicts itself"),
    "a space of another kind": (put("spaces", 0, "parameters", 0, "kind", value="real"), "kind"),
    "a goal of another kind": (put("study", "objectives", 0, "kind", value="wish"), "contradicts itself"),
    "no objectives": (put("study", "objectives", value=[]), "study.objectives"),
    "a negative seed": (put("study", "seed", value=-1), "study.seed"),
    "something unknown": (put("extra", value=1), "damaged at extra"),
    "a missing part": (lambda raw: raw.pop("audit"), "damaged at audit"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_that_contradicts_itself(file: Path, name: str) -> None:
    edit, said = EDITS[name]
    raw = orjson.loads(file.read_bytes())
    if name != "a changed value":
        del raw["sha256"]
    edit(raw)
    file.write_bytes(orjson.dumps(raw))
    refused(file, said)


def test_edited_on_purpose_without_the_checksum(file: Path) -> None:
    raw = orjson.loads(file.read_bytes())
    del raw["sha256"]
    raw["trials"][0]["outcomes"]["loss"] = 9.0
    file.write_bytes(orjson.dumps(raw))
    assert wb.import_study(file).trial(0).values["loss"] == 9.0


def test_a_sampler_that_is_not_known_here(file: Path) -> None:
    raw = orjson.loads(file.read_bytes())
    del raw["sha256"]
    raw["study"]["sampler"] = {"name": "mine", "options": {}}
    file.write_bytes(orjson.dumps(raw))
    refused(file, "'mine'", wb.UnsupportedError)
    assert wb.import_study(file, sampler="sobol").sampler.name == "sobol"


def test_every_column_of_a_trial_travels(file: Path) -> None:
    named = {key for trial in orjson.loads(file.read_bytes())["trials"] for key in trial}
    unset = {"expires", "note", "tags", "measure", "predicted", "warnings", "revision"}
    assert named == set(TrialRow._fields) - unset
    study = rich(seed=8)
    with study._record.transaction("test") as tx:
        tx.update(
            0, note="n", tags='["a"]', measure='["loss"]', predicted='{"loss":{"mean":1.0,"sd":0.5}}',
            warnings='["w"]', expires=5.0,
        )  # fmt: skip
    copy = wb.import_study(study.export(file))
    assert content(copy) == content(study)
    assert (copy.trial(0).note, copy.trial(0).tags, copy.trial(0).warnings) == ("n", ["a"], ["w"])


def test_the_state_of_a_sampler_travels(tmp_path: Path) -> None:
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Objective("y")], sampler="random")
    study.ask()
    record = study._record
    with record.transaction("state") as tx:
        tx.save_state("net:1", 0, b"\x00weights\xff")
    study.export(tmp_path / "s.json")
    copy = wb.import_study(tmp_path / "s.json")._record
    assert copy.storage.sampler_states(copy.id) == {"net:1": (0, b"\x00weights\xff")}
