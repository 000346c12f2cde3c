"""Stores on the real servers."""

from collections.abc import AsyncIterator

import pytest

from app.config.settings import Settings
from storage.stores import Stores


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    opened = await Stores.open(settings)
    yield opened
    await opened.close()
