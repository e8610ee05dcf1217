"""Schema versions of the record, run by alembic when an older database is opened.

To add one: change `workbench/storage/schema.py`, then call
`alembic.command.revision(workbench.storage.versions.alembic_config(), message=…, rev_id="000N")`
with a connection in `config.attributes`, write its `upgrade`, and raise `schema.HEAD`. A test
compares the two.
"""
