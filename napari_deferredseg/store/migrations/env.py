"""Run by Alembic: migrate over the connection that the caller opened, inside the caller's transaction."""

from alembic import context

from napari_deferredseg.store.tables.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
