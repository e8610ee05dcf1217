"""A whole study as one JSON file, and back: the same trials, feedback, attachments and audit log.

The file is checked completely before anything is written. Structured columns stand in it as
plain JSON, bytes as base64.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import BundleError, WorkbenchError
from workbench.problem import constraint_from_json, objective_from_json
from workbench.space import Space
from workbench.trial import TrialRow, TrialState, dumps, unpack_params
from workbench.whole_file import replaced

if TYPE_CHECKING:
    from workbench.storage import Storage, Transaction

VERSION = 2  # 2: whom a question was asked of
TAKEN = "give what comes in another name with name= (in a shell --name)"
"""What to do where a study that is imported has a name that is taken."""
_FORMAT = "workbench study"
_JSON_COLUMNS = (
    "params", "outcomes", "sem", "gradient", "actual", "meta", "predicted", "measure", "warnings",
    "attrs", "tags", "owner",
)  # fmt: skip
_STUDY_JSON = (
    "objectives", "constraints", "sampler", "baseline", "pruner", "prior_studies", "settings", "tags", "attrs",
)  # fmt: skip


_AtLeast0 = Annotated[float, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Study(_Part):
    name: str
    objectives: list[dict[str, Any]] = Field(min_length=1)
    constraints: list[dict[str, Any]] | None = None
    sampler: dict[str, Any] | None = None
    seed: int = Field(ge=0)
    budget: int | None = None
    baseline: Any = None
    pruner: Any = None
    prior_studies: Any = None
    settings: Any = None
    note: str | None = None
    tags: Any = None
    attrs: Any = None
    created: float
    updated: float


class _Trial(_Part):
    number: int
    state: str
    params: dict[str, Any]
    vectors: str | None = None
    space_version: int
    outcomes: dict[str, float] | None = None
    sem: dict[str, _AtLeast0] | None = None
    gradient: dict[str, dict[str, float]] | None = None
    cost: _AtLeast0 | None = None
    actual: dict[str, Any] | None = None
    meta: dict[str, Any] | None = None
    why: str | None = None
    predicted: dict[str, Any] | None = None
    measure: list[str] | None = None
    warnings: list[str] | None = None
    attrs: dict[str, Any] | None = None
    tags: list[str] | None = None
    note: str | None = None
    error: str | None = None
    reason: str | None = None
    avoid: str | None = None
    origin: Literal["asked", "enqueued", "attached"]
    created: float
    started: float | None = None
    finished: float | None = None
    owner: dict[str, Any] | None = None
    expires: float | None = None
    attempt: int


class _Report(_Part):
    number: int
    step: int
    objective: str
    value: float


class _Feedback(_Part):
    kind: str
    groups: list[list[int]]
    of: list[int]
    rater: str
    question: int | None = None
    undoes: int | None = None
    confidence: float | None = Field(default=None, gt=0, le=1)
    created: float


class _Question(_Part):
    trials: list[int]
    created: float
    answered: int | None = None
    seed: int | None = None
    rater: str | None = Field(default=None, min_length=1)


class _Attachment(_Part):
    name: str
    mime: str
    number: int | None = None
    created: float
    data: str


class _Audit(_Part):
    number: int | None = None
    action: str
    before: Any = None
    after: Any = None
    reason: str | None = None
    who: str
    created: float


class _State(_Part):
    sampler: str
    number: int
    data: str


class _Bundle(_Part):
    format: Literal["workbench study"]
    version: int
    study: _Study
    spaces: list[dict[str, Any]] = Field(min_length=1)
    trials: list[_Trial]
    reports: list[_Report]
    feedback: list[_Feedback]
    questions: list[_Question]
    attachments: list[_Attachment]
    audit: list[_Audit]
    sampler_states: list[_State] = []


def write(storage: Storage, name: str, path: Path) -> Path:
    """Write a study to a file; an existing file is replaced only by a whole one."""
    content = _collect(storage, name)
    data = orjson.dumps({**content, "sha256": _digest(content)}, option=orjson.OPT_INDENT_2)
    try:
        with replaced(path) as file:
            file.write(data)
    except OSError as error:
        raise BundleError(
            f"cannot write {path}: {error.strerror}; give a path in a folder that can be written"
        ) from error
    return path


def read(storage: Storage, path: Path, name: str | None = None) -> str:
    """Read a file into a storage, all of it or nothing.

    Args:
        name: Another name for the study.
    Returns:
        The name of the study.
    Raises:
        BundleError: if the file is damaged, of a newer version, or contradicts itself.
        StudyExistsError: if the name is taken.
    """
    bundle = _parse(path)
    study = bundle.study.model_dump()
    study = {key: dumps(value) if key in _STUDY_JSON else value for key, value in study.items()}
    study["name"] = name or bundle.study.name
    space = orjson.dumps(bundle.spaces[0]).decode()
    return storage.create_study(**study, space=space, remedy=TAKEN, fill=lambda tx: _fill(tx, bundle)).name


# -- out -------------------------------------------------------------------------------------


def _collect(storage: Storage, name: str) -> dict[str, Any]:
    whole = storage.whole(name)  # of one moment: parts of two would contradict each other
    return {
        "format": _FORMAT,
        "version": VERSION,
        "study": {key: _plain(getattr(whole.study, key), key in _STUDY_JSON) for key in _Study.model_fields},
        "spaces": [orjson.loads(text) for _, text in sorted(whole.spaces.items())],
        "trials": [_trial_out(row) for row in whole.rows],
        "reports": [report._asdict() for report in whole.reports],
        "feedback": [{key: getattr(entry, key) for key in _Feedback.model_fields} for entry in whole.feedback],
        "questions": [{key: getattr(q, key) for key in _Question.model_fields} for q in whole.questions],
        "attachments": [
            {"name": row.name, "mime": row.mime, "number": row.number, "created": row.created, "data": _b64(data)}
            for row, data in whole.attachments
        ],
        "audit": [
            {key: _plain(getattr(entry, key), key in ("before", "after")) for key in _Audit.model_fields}
            for entry in whole.audit
        ],
        "sampler_states": [
            {"sampler": sampler, "number": number, "data": _b64(data)}
            for sampler, (number, data) in sorted(whole.sampler_states.items())
        ],
    }


def _trial_out(row: TrialRow) -> dict[str, Any]:
    fields = {key: _plain(value, key in _JSON_COLUMNS) for key, value in row._asdict().items() if key != "revision"}
    fields["vectors"] = None if row.vectors is None else _b64(row.vectors)
    return {key: value for key, value in fields.items() if value is not None}


def _digest(content: Any) -> str:
    """Checksum of the content, whatever the spaces, line ends and order of keys in the file."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _plain(value: Any, is_json: bool) -> Any:
    return orjson.loads(value) if is_json and value is not None else value


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# -- in --------------------------------------------------------------------------------------


def _parse(path: Path) -> _Bundle:
    try:
        raw = orjson.loads(path.read_bytes())
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise BundleError(f"{path} is no JSON, or cut short ({error}); export the study again") from error
    if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
        raise BundleError(f"{path} is JSON, but no study; expected a file that study.export wrote")
    if isinstance(raw.get("version"), int) and raw["version"] > VERSION:
        raise BundleError(
            f"{path} has bundle version {raw['version']}, this workbench reads up to {VERSION}; upgrade the package"
        )
    if "sha256" in raw and raw.pop("sha256") != _digest(raw):
        raise BundleError(
            f"{path} is damaged: its content does not match its checksum. Export the study again, "
            "or take the line with sha256 out if it was edited on purpose"
        )
    try:
        bundle = _Bundle.model_validate(raw)
        _check(bundle)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"{path} is damaged at {where}: {first['msg']} ({error.error_count()} faults)") from error
    except (WorkbenchError, TypeError, KeyError, ValueError) as error:
        raise BundleError(f"{path} contradicts itself: {error}") from error
    return bundle


def _check(bundle: _Bundle) -> None:
    spaces = [Space.from_json(space) for space in bundle.spaces]
    names = {objective_from_json(goal).name for goal in bundle.study.objectives}
    names |= {constraint_from_json(limit).name for limit in bundle.study.constraints or ()}
    for i, trial in enumerate(bundle.trials):
        TrialState(trial.state)
        if trial.number != i or not 1 <= trial.space_version <= len(spaces):
            raise BundleError(
                f"trial at position {i} has number {trial.number} and space version {trial.space_version}"
            )
        _check_trial(trial, spaces[trial.space_version - 1], names)
    _check_references(bundle)
    for data in [file.data for file in bundle.attachments] + [state.data for state in bundle.sampler_states]:
        base64.b64decode(data, validate=True)


def _check_trial(trial: _Trial, space: Space, names: set[str]) -> None:
    vectors = None if trial.vectors is None else base64.b64decode(trial.vectors, validate=True)
    widths = sum(space[name].width for name in trial.params if name in space and space[name].kind == "vector")
    if len(vectors or b"") != 8 * widths:
        raise BundleError(f"trial {trial.number} has {len(vectors or b'')} bytes of vectors, expected {8 * widths}")
    space.check(unpack_params(orjson.dumps(trial.params).decode(), vectors, space), bounds=False)
    if unknown := {*(trial.outcomes or ()), *(trial.sem or ()), *(trial.gradient or ())} - names:
        raise BundleError(f"trial {trial.number} has values of {sorted(unknown)}, expected some of {sorted(names)}")


def _check_references(bundle: _Bundle) -> None:
    """Raise unless every number that one part names exists in the other."""
    trials: list[int | None] = [*(r.number for r in bundle.reports), *(n for q in bundle.questions for n in q.trials)]
    trials += [*(a.number for a in bundle.attachments), *(a.number for a in bundle.audit)]
    entries: list[int | None] = [q.answered for q in bundle.questions]
    questions: list[int | None] = []
    for i, entry in enumerate(bundle.feedback):
        trials += [*entry.of, *(number for group in entry.groups for number in group)]
        questions.append(entry.question)
        if entry.undoes is not None and not 0 <= entry.undoes < i:
            raise BundleError(f"feedback {i} undoes feedback {entry.undoes}, which is none before it")
    for what, named, n in (
        ("trials", trials, len(bundle.trials)),
        ("feedback", entries, len(bundle.feedback)),
        ("questions", questions, len(bundle.questions)),
    ):
        if unknown := sorted({number for number in named if number is not None and not 0 <= number < n}):
            raise BundleError(f"it names {what} {unknown[:5]} of only {n}")


def _fill(tx: Transaction, bundle: _Bundle) -> None:
    for space in bundle.spaces[1:]:
        tx.add_space(orjson.dumps(space).decode())
    tx.insert([_trial_in(trial) for trial in bundle.trials])
    for report in bundle.reports:
        tx.report(report.number, report.step, {report.objective: report.value})
    for entry in bundle.feedback:
        tx.feedback(**entry.model_dump())
    for question in bundle.questions:
        made = tx.question(question.trials, question.seed, rater=question.rater, created=question.created)
        if question.answered is not None:
            tx.answer(made.id, question.answered)
    for file in bundle.attachments:
        tx.attach(file.name, file.mime, base64.b64decode(file.data), file.number, created=file.created)
    for note in bundle.audit:
        before, after = (None if v is None else orjson.dumps(v).decode() for v in (note.before, note.after))
        tx.audit(note.action, note.number, before, after, note.reason, who=note.who, created=note.created)
    for state in bundle.sampler_states:
        tx.save_state(state.sampler, state.number, base64.b64decode(state.data))


def _trial_in(trial: _Trial) -> dict[str, Any]:
    fields = trial.model_dump(exclude={"number"})
    fields |= {key: dumps(fields[key]) for key in _JSON_COLUMNS if key != "params"}
    fields["params"] = orjson.dumps(trial.params).decode()
    fields["vectors"] = None if trial.vectors is None else base64.b64decode(trial.vectors)
    return fields
