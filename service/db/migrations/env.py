"""Runs migrations inside the transaction that `Database.migrating` began."""

from alembic import context

from service.db.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
