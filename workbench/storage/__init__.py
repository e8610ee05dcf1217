"""The record in SQL. Only this room knows SQL; everybody else sees rows, records and transactions."""

from __future__ import annotations

from workbench.storage.core import Storage
from workbench.storage.records import AttachmentRow, AuditRow, Snapshot, StudyRow, StudySummary
from workbench.storage.transaction import Transaction

__all__ = ["AttachmentRow", "AuditRow", "Snapshot", "Storage", "StudyRow", "StudySummary", "Transaction"]
