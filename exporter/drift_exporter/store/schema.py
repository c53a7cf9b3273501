"""Brings the schema of an open database to the version of this code.

Knows versions, not what the tables are for.
"""

import logging
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    inspect,
    select,
)

from drift_exporter.errors import StoreError
from drift_exporter.store.tables import VERSION_TABLE, metadata

HEAD = "0002"
"""The version of the schema that this code reads and writes."""

_FOLDER = Path(__file__).parent / "migrations"

_version = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
"""As alembic makes it."""


def upgrade(connection: Connection, where: str) -> None:
    """Make the tables, or run the migrations that the database lacks, in its transaction.

    Raises
    ------
    StoreError
        If the schema is newer than this code.
    """
    found = _found(connection)
    if found is None:
        metadata.create_all(connection, checkfirst=False)
        _version.create(connection)
        connection.execute(_version.insert().values(version_num=HEAD))
    elif found != HEAD:
        migrate(connection, where, found)


def migrate(connection: Connection, where: str, found: str | None) -> None:
    """Run the migrations after the version that was found.

    Raises
    ------
    StoreError
        If the schema is newer than this code.
    """
    # Alembic takes memory and time that a start on a new or current schema need not spend.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"{where}: the schema has version {found!r}, this drift-exporter knows up to {HEAD!r}; "
            "upgrade drift-exporter, or give it a store of its own"
        )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _found(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(select(_version.c.version_num)).scalar_one_or_none()
