"""What was typed and not yet recorded, kept in one file beside the database so that a reload loses nothing."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import make_url

LARGEST = 4_000_000  # bytes of the whole file; beyond it the oldest drafts go


class Drafts:
    """Named JSON values in a file. It holds nothing that is recorded: losing it loses typing only.

    Args:
        path: The file; made when something is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    @classmethod
    def beside(cls, url: str) -> Drafts:
        """The drafts of a database: beside an SQLite file, else in the folder for temporary files."""
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            return cls(Path(f"{parsed.database}.drafts.json"))
        safe = "".join(char if char.isalnum() else "-" for char in f"{parsed.host}-{parsed.database}")
        return cls(Path(tempfile.gettempdir()) / f"workbench-{safe}.drafts.json")

    def get(self, key: str) -> Any:
        """The draft of that name, None if there is none."""
        with self._lock:
            return self._read().get(key)

    def put(self, key: str, value: Any) -> None:
        """Keep a draft; None or an empty one is taken away."""
        with self._lock:
            held = self._read()
            if held.get(key) == value or (not value and key not in held):
                return
            held.pop(key, None)
            if value:
                held[key] = value
            while len(text := orjson.dumps(held)) > LARGEST and len(held) > 1:
                del held[next(iter(held))]
            fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            fresh.write_bytes(text)
            fresh.replace(self._path)

    def _read(self) -> dict[str, Any]:
        try:
            held = orjson.loads(self._path.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}
        return held if isinstance(held, dict) else {}
