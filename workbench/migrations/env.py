"""Run by alembic: migrate over the connection, and inside the transaction, that the storage has opened."""

from __future__ import annotations

from alembic import context

from workbench.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite can alter a table only by rebuilding it
)
with context.begin_transaction():
    context.run_migrations()
