"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of another one once it is whole and on the disk.

    What stood there stays as it was if an error ends the block.

    Raises:
        OSError: if the folder is missing or cannot be written, or the disk is full; it names `path`.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        with draft.open("xb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(draft, target)
            finally:
                draft.unlink(missing_ok=True)
    except OSError as error:
        if error.filename not in (None, os.fspath(draft)):
            raise  # of something else that was read on the way
        raise OSError(error.errno, error.strerror, os.fspath(target)) from error
