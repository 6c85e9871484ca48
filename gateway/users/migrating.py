"""Bringing the gateway's own table of users up to date, with alembic.

Several gateways may start at once: PostgreSQL lets one in after the other, SQLite locks the file.
"""

import asyncio
from importlib.resources import files

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK = 0x67775F75736572  # "gw_user"
_PATIENCE = 30.0
"""Seconds; another gateway may be at it."""


async def migrate(engine: AsyncEngine) -> None:
    """Make the table, or change it to what this version needs; raises what the driver raises."""
    async with asyncio.timeout(_PATIENCE), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        else:
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(files("gateway.users") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
