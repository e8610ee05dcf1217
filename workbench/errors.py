"""Every error the workbench raises on purpose.

A message says what was expected, what came, and what to do next. Nothing is
changed in the record when one of these is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class WorkbenchError(Exception):
    """Base of every error that the workbench raises on purpose."""


class WorkbenchWarning(UserWarning):
    """Base of every warning; the warnings of an ask are stored with its trials too."""


# -- declarations ---------------------------------------------------------------------


class SpaceError(WorkbenchError, ValueError):
    """A parameter or a space is declared wrongly."""


class ConstraintError(SpaceError):
    """A known constraint cannot be read, or names something it cannot use."""


class InfeasibleSpaceError(SpaceError):
    """No point satisfies the constraints, or none was found within the stated effort."""


class ExhaustedSpaceError(WorkbenchError):
    """Every point of a finite space or of a grid has been proposed already."""


class SearchEnded(WorkbenchError):
    """A rule that the sampler was given says that the search is over."""


class ProblemError(WorkbenchError, ValueError):
    """An objective, a constraint, a preference or a problem is declared wrongly."""


# -- the record -----------------------------------------------------------------------


class InvalidValueError(WorkbenchError, ValueError):
    """A value that came in has the wrong type, name, shape or range, or is not finite."""


class AlreadyTold(WorkbenchError):
    """A trial was told before, with something else."""


class UnknownTrialError(WorkbenchError, LookupError):
    """No trial of this study has that number."""


class TrialStateError(WorkbenchError):
    """The trial is not in a state in which this can be done."""


class StudyNotFoundError(WorkbenchError, LookupError):
    """The storage holds no study of that name."""


class StudyExistsError(WorkbenchError):
    """The storage holds a study of that name already."""


class FrozenStudyError(WorkbenchError):
    """The study was frozen: it can be read, and nothing of it changes."""


class FeedbackError(WorkbenchError, ValueError):
    """A ranking, comparison or answer contradicts itself or names unknown trials."""


class BundleError(WorkbenchError, ValueError):
    """A JSON bundle is damaged, incomplete or of a newer version."""


@dataclass(frozen=True, slots=True)
class CellError:
    """One cell of a table that cannot be read.

    Args:
        row: Row number as a spreadsheet shows it; the header is usually row 1.
        column: The header of the column.
        expected: What should stand there, with the remedy.
        got: What stands there.
    """

    row: int
    column: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"row {self.row}, column {self.column!r}: expected {self.expected}; got {self.got}"


class TableError(WorkbenchError, ValueError):
    """A table of trials cannot be read or written; `cells` lists every bad cell, and nothing was written."""

    def __init__(self, message: str, cells: Sequence[CellError] = ()) -> None:
        super().__init__(message)
        self.cells = list(cells)


# -- storage --------------------------------------------------------------------------


class StorageError(WorkbenchError):
    """The database refused; nothing of the attempted change was kept."""


class ReadOnlyStorageError(StorageError):
    """The database cannot be written."""


class StorageFullError(StorageError):
    """The disk is full, or the database has reached its size limit."""


class CorruptStorageError(StorageError):
    """The file is damaged, or is no database of the workbench."""


class NewerSchemaError(StorageError):
    """A newer version of the workbench wrote this database."""


class LeaseLostError(StorageError):
    """Another process took over the ask lease while this one was thinking."""


# -- samplers and runs ----------------------------------------------------------------


class UnsupportedError(WorkbenchError):
    """The chosen sampler or model cannot serve this study or this request."""


class SamplerError(WorkbenchError):
    """A sampler broke its contract: wrong count, a point outside the space, NaN."""


class DeadlineReached(WorkbenchError):
    """The time given to an ask is over and there is no candidate yet."""


class ExecutorError(WorkbenchError):
    """A worker could not be started, or what it was given could not be sent to it."""


class TrialPruned(WorkbenchError):
    """Raised by an objective function to end its trial as pruned."""
