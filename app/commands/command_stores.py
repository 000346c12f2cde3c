"""The stores of a command, for as long as it runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.config.settings import Settings

if TYPE_CHECKING:
    from storage.stores import Stores


def as_operator(settings: Settings) -> Settings:
    """An operator may more than a worker: all goes by PROFILE_POSTGRES_DSN."""
    return settings.model_copy(update={"postgres_read_dsn": None, "postgres_write_dsn": None})


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator["Stores"]:
    """The stores without a role, so that they listen to no notifications and keep nothing in memory.

    Raises ProfileError where they can't be opened.
    """
    from storage.stores import Stores  # noqa: PLC0415 - commands that need no stores don't import them

    stores = await Stores.open(as_operator(settings).model_copy(update={"roles": []}))
    try:
        yield stores
    finally:
        await stores.close()
