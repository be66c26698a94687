"""What Alembic runs: the revisions, on the connection and in the transaction that it is given."""

from alembic import context

from gateway.state.schema import SHARED

context.configure(connection=context.config.attributes["connection"], target_metadata=SHARED, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
