"""One database: its URL, its connections, and what must hold for each of them.

SQLite. Writers begin with BEGIN IMMEDIATE, so that what they read cannot change before they write;
readers with a deferred BEGIN. Every connection runs in WAL mode with synchronous=FULL.

Forks. A connection that a child process inherits is poison even when it is never touched: SQLite
counts file locks per process, so the child takes locks for granted that it does not hold, and its
commits can go to a write-ahead log that the parent has already deleted. Therefore all connections
are closed before a fork, and both sides open new ones.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import StaticPool

from workbench.errors import InvalidValueError, StorageError
from workbench.storage.failures import storage_error

BUSY_SECONDS = 60.0
"""How long a connection waits for another process that is writing."""

_LATE_SECONDS = 5.0  # that a write waits whose time is over: many late ones of others take milliseconds each
_FORK_SECONDS = 30.0  # longest wait of a fork for other threads' transactions, which take milliseconds
_DRIVER_OPTIONS = frozenset(
    {"uri", "timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements"}
)


def parse_url(url: str | os.PathLike[str] | None) -> URL:
    """The URL meant by a URL, a plain path, an SQLite "file:" name or None; SQLite paths become absolute."""
    if url is None:
        return URL.create("sqlite")
    text = os.fspath(url)
    if text.startswith("file:"):
        text = f"sqlite:///{text}"
    if "://" not in text:
        return URL.create("sqlite", database=os.path.abspath(text))
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StorageError(
            f"expected a database URL such as sqlite:///demo.db or a path, got {text.partition('://')[0]}://…: {error}"
        ) from error
    if parsed.get_backend_name() != "sqlite" or is_memory(parsed):
        return parsed
    return _absolute(parsed)


def _absolute(url: URL) -> URL:
    name = str(url.database)
    if name.startswith("file:"):
        plain = name.removeprefix("file:")
        if plain.startswith("//"):  # file:///path and file://localhost/path
            plain = "/" + plain[2:].partition("/")[2]
        return url.set(database=f"file:{os.path.abspath(plain)}").update_query_dict({"uri": "true"})
    path = os.path.abspath(name)
    if set(url.query) - _DRIVER_OPTIONS:  # SQLite reads options such as mode=ro from its own kind of URI only
        return url.set(database=f"file:{quote(path)}").update_query_dict({"uri": "true"})
    return url.set(database=path)


def is_memory(url: URL) -> bool:
    """True for a database that lives in this process only."""
    return url.get_backend_name() == "sqlite" and (
        url.database in (None, "", ":memory:", "file::memory:") or url.query.get("mode") == "memory"
    )


def _place(url: URL) -> str:
    """A database as a person knows it: the path of a file, or the URL with the password hidden."""
    if url.get_backend_name() == "sqlite":
        mode = f" ({', '.join(f'{k}={v}' for k, v in url.query.items() if k != 'uri')})" if url.query else ""
        return unquote(str(url.database).removeprefix("file:")) + mode.replace(" ()", "")
    return url.render_as_string(hide_password=True)


class Database:
    """The connections to one database. `reading` and `writing` are the only ways to one."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.place = "in memory" if is_memory(url) else _place(url)
        self.in_use = 0
        self._refusal: str | None = None
        self._inside = threading.local()
        # The one connection of an in-memory database serves one thread at a time.
        self._turn = threading.Lock() if is_memory(url) else None
        self.engine = _engine(url, self.place)
        level = {} if self._sqlite else {"isolation_level": "REPEATABLE READ"}  # one snapshot for all reads
        self._reader = self.engine.execution_options(**level)
        self._writer = self.engine.execution_options(writing=True)
        _gate.admit(self)
        # Closing the last connection folds the -wal file back into the database.
        weakref.finalize(self, self.engine.dispose)

    @property
    def _sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One read transaction: everything read in it is of one moment."""
        with self._connection(self._reader) as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One write transaction: committed at the end, rolled back on any exception."""
        with self._connection(self._writer) as connection, self._waiting(connection), connection.begin():
            yield connection

    @contextmanager
    def until(self, deadline: float | None) -> Iterator[None]:
        """Writes of this thread wait for other programs until then (`time.monotonic()`), at least five seconds."""
        before, self._inside.deadline = getattr(self._inside, "deadline", None), deadline
        try:
            yield
        finally:
            self._inside.deadline = before

    @contextmanager
    def _waiting(self, connection: Connection) -> Iterator[None]:
        deadline = getattr(self._inside, "deadline", None)
        if deadline is None or not self._sqlite:
            yield
            return
        self._pragma(connection, f"busy_timeout={int(1e3 * max(_LATE_SECONDS, deadline - time.monotonic()))}")
        try:
            yield
        finally:
            self._pragma(connection, f"busy_timeout={int(1e3 * BUSY_SECONDS)}")

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A write transaction without enforced foreign keys: rebuilding a table would cascade."""
        with self._connection(self._writer) as connection:
            self._foreign_keys(connection, "OFF")
            try:
                with connection.begin():
                    yield connection
                    self._check_foreign_keys(connection)
            finally:
                self._foreign_keys(connection, "ON")

    def _foreign_keys(self, connection: Connection, value: str) -> None:
        if self._sqlite:
            self._pragma(connection, f"foreign_keys={value}")  # has no effect inside a transaction

    @staticmethod
    def _pragma(connection: Connection, text: str) -> None:
        driver = connection.connection.dbapi_connection
        if driver is not None:
            driver.cursor().execute(f"PRAGMA {text}")

    def _check_foreign_keys(self, connection: Connection) -> None:
        if self._sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
            raise StorageError(f"the upgrade of {self.place} would leave rows without their parent: {tuple(broken)}")

    @contextmanager
    def _connection(self, engine: Engine) -> Iterator[Connection]:
        if getattr(self._inside, "yes", False):
            raise StorageError(
                f"this thread has a transaction on {self.place} open already: "
                "use the methods of that transaction, or end it first"
            )
        self._inside.yes = True
        try:
            with _gate.passage(self):
                if self._refusal is not None:
                    raise StorageError(self._refusal)
                if self._turn is None:
                    with engine.connect() as connection:
                        yield connection
                else:
                    with self._turn, engine.connect() as connection:
                        yield connection
        finally:
            self._inside.yes = False

    def close(self) -> None:
        """Close all connections; a closed database refuses everything."""
        self._refusal = f"the storage {self.place} was closed: open it again"
        self.engine.dispose()

    # -- called by the gate, around a fork ------------------------------------------------

    def before_fork(self) -> None:
        """Close the idle connections; a private database would be lost by that and stays open."""
        if self._turn is None:
            self.engine.dispose()

    def after_fork_in_child(self) -> None:
        """Start afresh, or refuse from now on where that cannot be done safely."""
        if self._turn is not None:
            self._refusal = (
                "an in-memory storage belongs to the process that made it, and this is a forked child: "
                "use a database that processes can share, such as sqlite:///demo.db"
            )
        elif self.in_use:
            self._refusal = (
                f"this process was forked while a transaction on {self.place} was open, and has inherited "
                "its locks: fork outside of transactions, or start workers by spawn"
            )
        else:
            self.engine.dispose(close=False)
        self.in_use = 0
        self._inside = threading.local()


class _Gate:
    """Lets connections be used, except while this process forks."""

    def __init__(self) -> None:
        self._databases: weakref.WeakSet[Database] = weakref.WeakSet()
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()  # reentrant: a signal handler may use the storage too
        self._users = 0
        self._forks = 0
        self._mine = threading.local()

    def admit(self, database: Database) -> None:
        with self._changed:
            self._databases.add(database)

    @contextmanager
    def passage(self, database: Database) -> Iterator[None]:
        depth: int = getattr(self._mine, "depth", 0)
        changed = self._changed
        with changed:
            while self._forks and depth == 0:  # a thread that is inside already must be able to finish
                changed.wait()
            self._users += 1
            database.in_use += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            if changed is self._changed:  # else this is a child that was forked inside
                self._mine.depth = depth
                with changed:
                    self._users -= 1
                    database.in_use -= 1
                    changed.notify_all()

    def before_fork(self) -> None:
        with self._changed:
            self._forks += 1
            if getattr(self._mine, "depth", 0) == 0:
                self._changed.wait_for(lambda: self._users == 0, _FORK_SECONDS)
            databases = list(self._databases)
        for database in databases:
            database.before_fork()

    def after_fork_in_parent(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def after_fork_in_child(self) -> None:
        self._reset()
        for database in list(self._databases):
            database.after_fork_in_child()


_gate = _Gate()
if sys.platform != "win32":
    os.register_at_fork(
        before=_gate.before_fork,
        after_in_parent=_gate.after_fork_in_parent,
        after_in_child=_gate.after_fork_in_child,
    )


def _engine(url: URL, place: str) -> Engine:
    try:
        engine = create_engine(url, **_options(url))
    except (ArgumentError, ImportError, ValueError, TypeError) as error:
        raise StorageError(
            f"cannot use the database {place}: {error}; expected sqlite:///path, or the URL of a database "
            "whose SQLAlchemy driver is installed"
        ) from error

    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)

    @event.listens_for(engine, "handle_error", retval=True)
    def translate(context: ExceptionContext) -> BaseException | None:
        error = context.original_exception
        if isinstance(error, OverflowError | UnicodeError):  # raised by the driver, before the database sees it
            return InvalidValueError(
                f"expected whole numbers of 64 bits and valid text, got a value that is not: {error}"
            )
        return storage_error(error, place) if isinstance(context.sqlalchemy_exception, DBAPIError) else None

    return engine


def _options(url: URL) -> dict[str, Any]:
    if url.get_backend_name() != "sqlite":
        return {"pool_pre_ping": True}
    driver = {"isolation_level": None, "timeout": BUSY_SECONDS, "check_same_thread": False}
    if is_memory(url):
        return {"connect_args": driver, "poolclass": StaticPool}
    return {"connect_args": driver, "pool_size": 8, "max_overflow": -1}


def _prepare_sqlite(driver: sqlite3.Connection, _record: object) -> None:
    driver.execute("PRAGMA foreign_keys=ON")
    driver.execute("PRAGMA synchronous=FULL")
    _use_write_ahead_log(driver)


def _use_write_ahead_log(driver: sqlite3.Connection) -> None:
    """Switch a new file to WAL; SQLite does not wait for other processes here, so that we must."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = driver.execute("PRAGMA journal_mode").fetchone()[0]
            if mode == "delete":
                driver.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if code == sqlite3.SQLITE_READONLY:
                return
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
