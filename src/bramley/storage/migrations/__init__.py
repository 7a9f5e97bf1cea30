"""The way from any earlier schema to the one in `schema`, by Alembic, without an alembic.ini."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from bramley.storage.errors import NewerSchema

if TYPE_CHECKING:
    import sqlalchemy as sa
    from alembic.config import Config

HEAD = "0005"
"""The newest revision, stated here so that a database that has it opens without importing Alembic; a test compares."""


ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps what it works on in the module `alembic.context`, one for the whole process."""


def configuration() -> Config:
    """Alembic's configuration: where the revisions are."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "bramley.storage:migrations")
    return config


def migrate(connection: sa.Connection) -> None:
    """Brings the database to HEAD inside the caller's transaction. Raises NewerSchema where it is past HEAD."""
    from alembic import command
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with ONE_AT_A_TIME:
        config = configuration()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
        if unknown:
            raise NewerSchema(
                f"the database has schema {', '.join(sorted(unknown))}, but this program knows schemas up to {HEAD}.",
                advice="Run the newer Bramley that wrote it, or restore the backup made before the update.",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
