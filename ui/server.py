"""What one server holds for all of its tabs: the database, its studies, drafts, and the work beside the pages.

Nothing here knows Streamlit, so that threads and the start of the server may use it, and nothing that a person
does in a browser can drop it.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from ui.drafts import Drafts
from ui.jobs import Jobs
from workbench.build import load_study
from workbench.storage import Storage
from workbench.study import Study

STORAGE, PROBLEM = "WORKBENCH_UI_STORAGE", "WORKBENCH_UI_PROBLEM"
"""Environment variables by which the command hands its arguments to the pages."""
T = TypeVar("T")


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: list[Any] = []


class Kept(Generic[T]):
    """The last few things that were made, by key: each is made once, by the first thread that wants it.

    Args:
        most: How many are kept; those not used for longest go first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._slots: dict[Hashable, _Slot] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under the key, made now if it is not there; whatever `make` raises is not kept."""
        with self._lock:
            slot = self._slots.pop(key, None) or _Slot()
            self._slots[key] = slot  # to the end: used last
            while len(self._slots) > self._most:
                del self._slots[next(iter(self._slots))]
        with slot.lock:
            if not slot.made:
                slot.made.append(make())
            made: T = slot.made[0]
            return made


_storages: Kept[Storage] = Kept(4)
_studies: Kept[Study] = Kept(64)
_drafts: Kept[Drafts] = Kept(4)
_jobs: Kept[Jobs] = Kept(1)


def storage_url() -> str:
    """The database that the command named."""
    return os.environ.get(STORAGE, "sqlite:///workbench.db")


def problem() -> str | None:
    """`module:name` of the problem that the command named; never one out of a database."""
    return os.environ.get(PROBLEM)


def storage() -> Storage:
    """The one connection pool of this server."""
    url = storage_url()
    return _storages.get(url, lambda: Storage(url))


def study(name: str) -> Study:
    """A study by name; it reads only what changed since the last look."""
    store = storage()
    study_id = store.study(name).id  # tells a study from a later one of the same name
    return _studies.get((store.url, study_id, name), lambda: _loaded(name, store))


def _loaded(name: str, store: Storage) -> Study:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constraints that are functions: the ask says so
        return load_study(name, storage=store)


def drafts() -> Drafts:
    """What was typed and not yet recorded."""
    url = storage_url()
    return _drafts.get(url, lambda: Drafts.beside(url))


def jobs() -> Jobs:
    """The work beside the pages."""
    return _jobs.get("jobs", Jobs)
