"""The tables of the record, in SQLAlchemy Core.

Structured fields are JSON text that this room never reads. Times are seconds since 1970.
A change here goes with a new file in `workbench/migrations/versions` and a new `HEAD`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0002"
"""The newest migration: what a fresh database is stamped with."""

metadata = MetaData(
    naming_convention={  # a constraint without a name cannot be changed by a later migration
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

studies = Table(
    "studies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("objectives", Text, nullable=False),
    Column("constraints", Text),
    Column("sampler", Text),
    Column("seed", BigInteger),
    Column("budget", Integer),
    Column("baseline", Text),
    Column("pruner", Text),
    Column("prior_studies", Text),
    Column("settings", Text),
    Column("note", Text),
    Column("tags", Text),
    Column("attrs", Text),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("space_version", Integer, nullable=False),
    Column("lease_owner", Text),
    Column("lease_expires", Double),
    Column("lease_fence", Integer, nullable=False),
    sqlite_autoincrement=True,  # the id of a deleted study is never given again: caches are keyed by it
)


def _study_id(*, key: bool) -> Column[int]:
    return Column("study_id", Integer, ForeignKey("studies.id", ondelete="CASCADE"), primary_key=key, nullable=False)


def _of_trial() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["study_id", "number"], ["trials.study_id", "trials.number"], ondelete="CASCADE")


spaces = Table(
    "spaces",
    metadata,
    _study_id(key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("json", Text, nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("id", Integer, primary_key=True),
    _study_id(key=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("params", Text, nullable=False),
    Column("vectors", LargeBinary),
    Column("space_version", Integer, nullable=False),
    Column("outcomes", Text),
    Column("sem", Text),
    Column("gradient", Text),
    Column("cost", Double),
    Column("actual", Text),
    Column("meta", Text),
    Column("why", Text),
    Column("predicted", Text),
    Column("measure", Text),
    Column("warnings", Text),
    Column("attrs", Text),
    Column("tags", Text),
    Column("note", Text),
    Column("error", Text),
    Column("reason", Text),
    Column("avoid", Text),
    Column("origin", String(16), nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Column("owner", Text),
    Column("expires", Double),
    Column("attempt", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("study_id", "number"),
    Index(None, "study_id", "revision"),
    Index(None, "study_id", "state"),  # counts and look-ups by state never read a trial
)

reports = Table(
    "reports",
    metadata,
    _study_id(key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("objective", String(255), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Double, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created", Double, nullable=False),
    _of_trial(),
    Index(None, "study_id", "revision"),
)

feedback = Table(
    "feedback",
    metadata,
    _study_id(key=True),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("groups", Text, nullable=False),
    Column("of", Text, nullable=False),
    Column("rater", Text, nullable=False),
    Column("question", Integer),
    Column("undoes", Integer),
    Column("confidence", Double),
    Column("created", Double, nullable=False),
    Column("revision", Integer, nullable=False),
)

questions = Table(
    "questions",
    metadata,
    _study_id(key=True),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("trials", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("answered", Integer),
    Column("seed", BigInteger),
    Column("rater", Text),
)

attachments = Table(
    "attachments",
    metadata,
    _study_id(key=True),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(255), nullable=False),
    Column("mime", String(255), nullable=False),
    Column("number", Integer),
    Column("size", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("data", LargeBinary, nullable=False),  # last, so that a listing never walks through it
    _of_trial(),
    UniqueConstraint("study_id", "name"),
)

audit = Table(
    "audit",
    metadata,
    _study_id(key=True),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer),
    Column("action", String(64), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("reason", Text),
    Column("who", Text, nullable=False),
    Column("created", Double, nullable=False),
)

sampler_states = Table(
    "sampler_states",
    metadata,
    _study_id(key=True),
    Column("sampler", String(255), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# Alembic's own table: in a catalogue of its own, because alembic does not compare it with the metadata.
stamp_metadata = MetaData()
stamp = Table(
    "alembic_version",
    stamp_metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
