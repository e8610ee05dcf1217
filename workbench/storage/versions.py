"""Bring a database to the present schema: create it, upgrade it, or refuse it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, insert, inspect, select

from workbench.errors import CorruptStorageError, NewerSchemaError
from workbench.storage.engine import Database
from workbench.storage.schema import HEAD, metadata, stamp, stamp_metadata

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 7_262_014  # any number that all versions agree on: the advisory lock of schema changes


def prepare(database: Database) -> None:
    """Make sure that the tables are there and of this version; many processes may do so at once.

    Raises:
        NewerSchemaError: if a newer version of the workbench wrote the database.
        CorruptStorageError: if its tables are not those of the workbench.
    """
    with database.reading() as connection:
        if _stamped(connection, database.place) == HEAD:
            return
    with database.migrating() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        found = _stamped(connection, database.place)  # again: another process may have been faster
        if found is None:
            create(connection)
        elif found != HEAD:
            _check_known(found, database.place)
            upgrade(connection)


def create(connection: Connection) -> None:
    """Make all tables in an empty database, without loading alembic."""
    metadata.create_all(connection, checkfirst=False)
    stamp_metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(stamp).values(version_num=HEAD))


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the missing migrations, up to one of them, inside the open transaction."""
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def alembic_config() -> Config:
    """Alembic's settings, made in code; the migrations ship inside the package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_location()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _location() -> Path:
    from workbench import migrations

    return Path(str(migrations.__file__)).parent


def _stamped(connection: Connection, place: str) -> str | None:
    """The revision that the database is stamped with; None when it is empty."""
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if not {stamp.name, "studies", "trials"} <= tables:
        some = ", ".join(sorted(tables)[:5])
        raise CorruptStorageError(
            f"{place} is no database of the workbench: expected its tables, found {some}; "
            "give the path of a study's database, or of a new file"
        )
    found = connection.execute(select(stamp.c.version_num)).scalar()
    if found is None:
        raise CorruptStorageError(f"{place} has lost the mark of its version; put back a copy of the file")
    return str(found)


def _check_known(version: str, place: str) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if version not in known:
        raise NewerSchemaError(
            f"{place} was written by a newer version of the workbench (schema {version}; this version knows "
            f"schemas up to {HEAD}): upgrade the package"
        )
