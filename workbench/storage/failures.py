"""Refusals of the database, said in the words of the workbench."""

from __future__ import annotations

from typing import Any

from workbench.errors import CorruptStorageError, ReadOnlyStorageError, StorageError, StorageFullError


class ConflictError(StorageError):
    """A uniqueness or a reference between tables would be broken; callers turn it into their own error."""


# Primary result codes of SQLite (https://www.sqlite.org/rescode.html) and SQLSTATEs of PostgreSQL.
_READ_ONLY, _FULL, _CORRUPT, _LOCKED, _NO_FILE = (8, "25006"), (13, "53100"), (11, 26, "XX001"), (5, 6), (14,)

_KINDS: tuple[tuple[tuple[int | str, ...], type[StorageError], str, str], ...] = (
    (
        _READ_ONLY,
        ReadOnlyStorageError,
        "cannot be written",
        "make the file and its folder writable, leave out mode=ro, or open a moved file again",
    ),
    (
        _FULL,
        StorageFullError,
        "has no room left",
        "free some space on its disk or raise its size limit, then try again",
    ),
    (
        _CORRUPT,
        CorruptStorageError,
        "is damaged or no database at all",
        "check the path, or put back a copy of the file together with its -wal file",
    ),
    (
        _LOCKED,
        StorageError,
        "stayed locked by another program",
        "end the program that keeps a transaction open, then try again",
    ),
    (
        _NO_FILE,
        StorageError,
        "cannot be opened",
        "check the path, and that its folder exists and may be written; with mode=ro the file must exist",
    ),
)


def storage_error(error: BaseException, place: str) -> StorageError:
    """The workbench's error for one of the driver's.

    Args:
        place: The URL with the password hidden.
    """
    code = _code(error)
    if code == 19 or str(code).startswith("23"):  # SQLITE_CONSTRAINT; class 23, integrity constraint violation
        return ConflictError(f"the database {place} refused what contradicts the record: {error}; nothing was changed")
    for codes, kind, what, remedy in _KINDS:
        if code in codes:
            return kind(f"the database {place} {what} ({error}); nothing was changed: {remedy}")
    return StorageError(
        f"the database {place} refused: {str(error).strip()}; nothing was changed: "
        "check the URL and the database, then try again"
    )


def _code(error: Any) -> int | str | None:
    number = getattr(error, "sqlite_errorcode", None)
    if isinstance(number, int):
        return number & 0xFF  # extended codes carry the primary one in their low byte
    return getattr(error, "sqlstate", None)
