"""The tables of Optuna's SQL storage as plain values. The layout is that of Optuna 3.2 to 5 (schema 12)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from workbench.errors import InvalidValueError, StorageError, StudyNotFoundError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SPECIAL = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}
_NEEDED = {
    "studies": ("study_id", "study_name"),
    "study_directions": ("study_id", "direction", "objective"),
    "study_user_attributes": ("study_id", "key", "value_json"),
    "study_system_attributes": ("study_id", "key", "value_json"),
    "trials": ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
    "trial_params": ("trial_id", "param_id", "param_name", "param_value", "distribution_json"),
    "trial_values": ("trial_id", "objective", "value", "value_type"),
    "trial_intermediate_values": ("trial_id", "step", "intermediate_value", "intermediate_value_type"),
    "trial_user_attributes": ("trial_id", "key", "value_json"),
    "trial_system_attributes": ("trial_id", "key", "value_json"),
}


@dataclass(frozen=True, slots=True)
class Distribution:
    """Where a parameter of one trial was drawn from."""

    kind: str  # "float", "int" or "categorical"
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()


@dataclass(slots=True)
class Entry:
    """One trial. Times are seconds since 1970; values and reports may be infinite or NaN."""

    number: int
    state: str
    started: float | None
    finished: float | None
    params: dict[str, Any] = field(default_factory=dict)  # in the order in which they were drawn
    distributions: dict[str, Distribution] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """One study and its trials by number."""

    name: str
    directions: tuple[str, ...]
    attrs: Mapping[str, Any]
    system: Mapping[str, Any]
    trials: list[Entry]


def fetch(url: str, study: str | None) -> Source:
    """Read one study in one transaction. Arguments and errors as in `import_optuna`."""
    with _connected(url) as (connection, place):
        _check_layout(connection, place)
        number, name = _study(connection, place, study)
        try:
            return _source(connection, number, name)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise StorageError(
                f"study {name!r} in {place} is damaged, or of a version that is not known: {error!r}"
            ) from error


@contextmanager
def _connected(url: str) -> Iterator[tuple[Connection, str]]:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DatabaseError, InterfaceError, NoSuchModuleError

    from workbench.storage.engine import is_memory, parse_url

    if not isinstance(url, str | os.PathLike):
        raise InvalidValueError(f"url must be a database URL such as 'sqlite:///optuna.db', or a path; got {url!r}")
    parsed = parse_url(url)
    place = parsed.render_as_string(hide_password=True)
    is_file = parsed.get_backend_name() == "sqlite" and not str(parsed.database).startswith("file:")
    if is_file and (is_memory(parsed) or not os.path.isfile(str(parsed.database))):
        raise StorageError(f"there is no database {parsed.database!r}: check the path")
    try:
        engine = create_engine(parsed)
        try:
            with engine.connect() as connection:
                yield connection, place
        finally:
            engine.dispose()
    except (NoSuchModuleError, ImportError) as error:
        raise StorageError(f"cannot open {place}: {error}; install the driver that the URL names") from error
    except (DatabaseError, InterfaceError) as error:
        raise StorageError(f"cannot read {place}: {error.orig}; check the URL, and that it is Optuna's") from error


def _check_layout(connection: Connection, place: str) -> None:
    from sqlalchemy import inspect

    inspector = inspect(connection)
    tables = set(inspector.get_table_names())
    if not {"studies", "trials", "trial_params"} <= tables:
        held = ", ".join(sorted(tables)) or "none"
        raise StorageError(f"{place} is no database of Optuna; its tables: {held}. Check the URL")
    for table, wanted in _NEEDED.items():
        columns = {column["name"] for column in inspector.get_columns(table)} if table in tables else set()
        if missing := set(wanted) - columns:
            raise StorageError(
                f"{place} was written by an Optuna before 3.2: {table} has no {', '.join(sorted(missing))}. "
                "Run `optuna storage upgrade --storage URL` on a copy of it, then import the copy"
            )


def _study(connection: Connection, place: str, wanted: str | None) -> tuple[int, str]:
    studies = {row.study_name: row.study_id for row in _read(connection, "studies")}
    names = ", ".join(map(repr, studies)) or "none"
    if wanted is None:
        if len(studies) != 1:
            raise StudyNotFoundError(f"{place} holds {len(studies)} studies: {names}; pass study= with one of them")
        wanted = next(iter(studies))
    if wanted not in studies:
        near = get_close_matches(wanted, studies, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise StudyNotFoundError(f"{place} holds no study {wanted!r}{hint} Its studies: {names}")
    return studies[wanted], wanted


def _read(connection: Connection, name: str, study: int | None = None, order: str | None = None) -> list[Any]:
    """The rows of a table that belong to a study, through its trials where the table has no study."""
    from sqlalchemy import DateTime, column, select, table

    def made(of: str) -> Any:
        typed = [column(key, DateTime()) if key.startswith("datetime") else column(key) for key in _NEEDED[of]]
        return table(of, *typed)

    source = made(name)
    query = select(source)
    if study is not None and "study_id" in source.c:
        query = query.where(source.c.study_id == study)
    elif study is not None:
        trials = made("trials")
        query = query.join(trials, trials.c.trial_id == source.c.trial_id).where(trials.c.study_id == study)
    return list(connection.execute(query if order is None else query.order_by(source.c[order])))


def _source(connection: Connection, study: int, name: str) -> Source:
    utc = _is_utc(connection)
    directions = [row.direction for row in _read(connection, "study_directions", study, "objective")]
    entries: dict[int, Entry] = {}
    for row in sorted(_read(connection, "trials", study), key=lambda row: (row.number, row.trial_id)):
        times = _seconds(row.datetime_start, utc), _seconds(row.datetime_complete, utc)
        entries[row.trial_id] = Entry(row.number, row.state, *times)
    known: dict[str, Distribution] = {}  # trials repeat the same text
    for row in _read(connection, "trial_params", study, "param_id"):
        text = row.distribution_json
        if text not in known:
            known[text] = distribution(text)
        entry = entries[row.trial_id]
        entry.params[row.param_name] = _external(known[text], row.param_value)
        entry.distributions[row.param_name] = known[text]
    for row in _read(connection, "trial_values", study):
        entries[row.trial_id].values[row.objective] = _SPECIAL.get(row.value_type, row.value)
    for row in _read(connection, "trial_intermediate_values", study, "step"):
        kind = row.intermediate_value_type
        entries[row.trial_id].reports[row.step] = _SPECIAL.get(kind, row.intermediate_value)
    for row in _read(connection, "trial_user_attributes", study):
        entries[row.trial_id].attrs[row.key] = json.loads(row.value_json)
    for row in _read(connection, "trial_system_attributes", study):
        if row.key.startswith("constraints") or row.key in ("fixed_params", "fail_reason"):
            entries[row.trial_id].system[row.key] = json.loads(row.value_json)
    attrs, system = (
        {row.key: json.loads(row.value_json) for row in _read(connection, f"study_{kind}_attributes", study)}
        for kind in ("user", "system")
    )
    return Source(name, tuple(directions), attrs, system, list(entries.values()))


def _is_utc(connection: Connection) -> bool:
    """Whether times are UTC; before Optuna 5 they were the local time of the machine that ran it."""
    from sqlalchemy import column, select, table

    version = connection.execute(select(column("library_version")).select_from(table("version_info"))).scalar()
    return int(str(version or "5").partition(".")[0]) >= 5


def _seconds(moment: datetime | None, utc: bool) -> float | None:
    if moment is None:
        return None
    return (moment.replace(tzinfo=UTC) if utc else moment).timestamp()


def distribution(text: str) -> Distribution:
    """The distribution that Optuna wrote as JSON, the names of its older versions included."""
    raw = json.loads(text)
    name, options = raw["name"], raw["attributes"]
    if name == "CategoricalDistribution":
        return Distribution("categorical", choices=tuple(options["choices"]))
    low, high, step = options["low"], options["high"], options.get("step", options.get("q"))
    if name in ("FloatDistribution", "UniformDistribution", "LogUniformDistribution", "DiscreteUniformDistribution"):
        log = bool(options.get("log", name == "LogUniformDistribution"))
        return Distribution("float", float(low), float(high), log, None if step is None else float(step))
    if name in ("IntDistribution", "IntUniformDistribution", "IntLogUniformDistribution"):
        log = bool(options.get("log", name == "IntLogUniformDistribution"))
        return Distribution("int", int(low), int(high), log, 1 if step is None or log else int(step))
    raise ValueError(f"a distribution {name!r}")


def _external(source: Distribution, value: float) -> Any:
    if source.kind == "categorical":
        return source.choices[int(value)]
    return int(value) if source.kind == "int" else float(value)
