"""How alembic runs the migrations: on the connection, and in the transaction, it is given.

Never opens a database itself.
"""

from alembic import context

from drift_exporter.store.tables import VERSION_TABLE, metadata


def migrate() -> None:
    """Run the migrations that are due."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        # Alembic takes SQLite for unable to roll back a change of the schema; with a BEGIN
        # of our own it can.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


# Alembic gives the file this name. Whoever imports it otherwise, as pytest does to find
# doctests, has no context to migrate in.
if __name__ == "env_py":
    migrate()
