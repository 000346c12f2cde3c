"""Stores on the real servers."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.settings import Settings
from storage.stores import Stores


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    opened = await Stores.open(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the test's own to the primary."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    yield connection
    await connection.close()
