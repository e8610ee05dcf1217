"""Schema versions: the migrations and the tables agree, old databases are upgraded, strangers are refused."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

import workbench as wb
from workbench.errors import CorruptStorageError, NewerSchemaError, ReadOnlyStorageError
from workbench.storage import Storage, schema, versions


def tables(path: Path) -> dict[str, str]:
    """The SQL of everything in the file, white space and order of options aside."""
    with sqlite3.connect(path) as driver:
        found = driver.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    driver.close()
    return {name: " ".join(sql.split()) for name, sql in found}


def description(path: Path) -> dict[str, Any]:
    """What SQLAlchemy's inspector sees of every table."""
    engine = create_engine(f"sqlite:///{path}")
    inspector = inspect(engine)
    described = {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            "key": inspector.get_pk_constraint(table),
            "foreign": sorted(inspector.get_foreign_keys(table), key=str),
            "unique": sorted(inspector.get_unique_constraints(table), key=str),
            "indexes": sorted(inspector.get_indexes(table), key=str),
        }
        for table in inspector.get_table_names()
    }
    engine.dispose()
    return described


def migrate(path: Path, to: str = "head") -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        versions.upgrade(connection, to)
    engine.dispose()


def test_migrations_make_the_tables_of_the_metadata(tmp_path: Path) -> None:
    Storage(tmp_path / "fresh.db").close()
    migrate(tmp_path / "migrated.db")
    assert description(tmp_path / "migrated.db") == description(tmp_path / "fresh.db")
    assert tables(tmp_path / "migrated.db").keys() == tables(tmp_path / "fresh.db").keys()
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        assert MigrationContext.configure(connection).get_current_revision() == schema.HEAD
    engine.dispose()


def test_deleted_ids_are_not_given_again_after_a_migration_either(tmp_path: Path) -> None:
    migrate(tmp_path / "migrated.db")
    assert "AUTOINCREMENT" in tables(tmp_path / "migrated.db")["studies"]


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(versions.alembic_config()).get_heads() == [schema.HEAD]


def test_migrations_are_package_data() -> None:
    folder = resources.files("workbench.migrations")
    for name in ("env.py", "script.py.mako", "versions/0001_initial.py", "versions/0002_raters.py"):
        assert folder.joinpath(name).is_file()


def test_a_fresh_database_needs_no_alembic(tmp_path: Path) -> None:
    code = f"""
import sys
from workbench.storage import Storage
Storage({str(tmp_path / "demo.db")!r}).create_study(name="demo", space="{{}}", objectives="[]")
print([name for name in ("alembic", "torch", "scipy", "pandas") if name in sys.modules])
"""
    folder = Path(__file__).parent.parent
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder, env=os.environ
    )
    assert said.stdout.strip() == "[]"


NEXT = '''
"""One column more, and a table that SQLite has to rebuild."""
import sqlalchemy as sa
from alembic import op

revision = "0099"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("trials", sa.Column("colour", sa.Text()))
    with op.batch_alter_table("studies", recreate="always") as batch:
        batch.add_column(sa.Column("motto", sa.Text()))
{more}
'''


@pytest.fixture
def following(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A next version of the workbench, whose migrations stand in the folder that is returned."""
    folder = tmp_path / "migrations"
    shutil.copytree(versions._location(), folder)
    (folder / "versions" / "0099_next.py").write_text(NEXT.format(head=schema.HEAD, more=""))
    monkeypatch.setattr(versions, "_location", lambda: folder)
    monkeypatch.setattr(versions, "HEAD", "0099")
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    storage = Storage(path)
    study = storage.create_study(name="demo", space="{}", objectives="[]")
    with storage.transaction(study.id, "fill") as tx:
        tx.insert([{}] * 3)
        tx.report(1, 0, {"loss": 1.0})
    storage.close()
    return path


def test_an_old_database_is_upgraded_and_keeps_everything(old: Path, following: Path) -> None:
    """Rebuilding `studies` with enforced foreign keys would delete every trial."""
    handlers = list(logging.getLogger().handlers)
    storage = Storage(old)
    assert logging.getLogger().handlers == handlers
    study = storage.study("demo")
    assert [row.number for row in storage.rows(study.id)] == [0, 1, 2]
    assert len(storage.reports(study.id)) == 1
    assert "colour" in tables(old)["trials"]
    assert "motto" in tables(old)["studies"]
    with storage._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    storage.close()
    Storage(old).close()


def test_a_failed_upgrade_changes_nothing(old: Path, following: Path) -> None:
    script = following / "versions" / "0099_next.py"
    script.write_text(NEXT.format(head=schema.HEAD, more="    raise RuntimeError('half way')"))
    before = tables(old)
    with pytest.raises(RuntimeError, match="half way"):
        Storage(old)
    assert tables(old) == before
    script.write_text(NEXT.format(head=schema.HEAD, more=""))
    assert [row.number for row in Storage(old).rows(1)] == [0, 1, 2]


def test_questions_of_the_first_version_belong_to_anybody(tmp_path: Path) -> None:
    """A study whose open question was stored before questions had raters goes on with that very question."""
    path = tmp_path / "first.db"
    study = wb.create_study("s", wb.Space([wb.Float("x", 0, 1)]), [wb.Preference("taste")], storage=path, seed=0)
    study.feedback.next_question(2).skip()
    before = study.feedback.next_question(2)
    with sqlite3.connect(path) as driver:  # as the first version made it
        driver.execute("ALTER TABLE questions DROP COLUMN rater")
        driver.execute("UPDATE alembic_version SET version_num = '0001'")
    driver.close()
    migrate(tmp_path / "0001.db", "0001")
    assert tables(path)["questions"].replace('"', "") == tables(tmp_path / "0001.db")["questions"].replace('"', "")
    study = wb.load_study("s", storage=path)
    assert [(q.id, q.trials, q.rater) for q in study.feedback.questions] == [(0, (0, 1), None), (1, (2, 3), None)]
    assert study.feedback.next_question(2).id == before.id
    assert study.feedback.next_question(2, rater="kim").id == 2
    assert [q.rater for q in wb.load_study("s", storage=path).feedback.questions] == [None, None, "kim"]


def test_an_old_database_that_cannot_be_written(old: Path, following: Path) -> None:
    with pytest.raises(ReadOnlyStorageError):
        Storage(f"file:{old}?mode=ro")


def test_two_processes_upgrade_once(old: Path, following: Path) -> None:
    children = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(0 if len(Storage(old).rows(1)) == 3 else 1)
            finally:
                os._exit(2)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]


def test_a_newer_database_is_refused(old: Path) -> None:
    with sqlite3.connect(old) as driver:
        driver.execute("UPDATE alembic_version SET version_num = '9999'")
    driver.close()
    before = tables(old)
    with pytest.raises(NewerSchemaError, match=rf"old\.db.*newer version.*9999.*{schema.HEAD}.*upgrade the package"):
        Storage(old)
    assert tables(old) == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE customers (id INTEGER)",
        "CREATE TABLE alembic_version (version_num TEXT)",
        "CREATE TABLE studies (study_id INTEGER)",
    ],
)
def test_somebody_elses_database_is_refused(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as driver:
        driver.execute(statement)
    driver.close()
    before = tables(path)
    with pytest.raises(CorruptStorageError, match="no database of the workbench"):
        Storage(path)
    assert tables(path) == before


def test_a_lost_mark_is_noticed(old: Path) -> None:
    with sqlite3.connect(old) as driver:
        driver.execute("DELETE FROM alembic_version")
    driver.close()
    with pytest.raises(CorruptStorageError, match="lost the mark"):
        Storage(old)
