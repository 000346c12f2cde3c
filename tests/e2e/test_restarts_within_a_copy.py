"""Debezium goes on within a COPY, whose rows share positions in the WAL, where it ended, and loses none of them.

It once lost those of the same position that it had not sent yet; now it stores how many of them it had sent.
"""

import asyncio
import logging
from typing import Any

import aiohttp
import pytest

from cdc.connector.client import ConnectClient
from tests.e2e.cdc_pipeline import Pipeline, require_exact, until
from tests.e2e.row_load import RowLoad

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

logger = logging.getLogger(__name__)

ROWS = 8_000
RESTARTS = 5
PART = 600  # rows that are sent between two restarts, at least
# So that positions that Connect stores are within pages of rows, not between them.
SMALL = {"max.batch.size": "7", "max.queue.size": "14", "poll.interval.ms": "1"}


async def stored_position(pipeline: Pipeline) -> dict[str, Any]:
    """All that Connect remembers of the connector."""
    url = f"{pipeline.own.settings.connect_url}/connectors/{pipeline.name}/offsets"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        found: dict[str, Any] = (await response.json())["offsets"][0]["offset"]
        return found


@pytest.mark.timeout(400)
async def test_no_row_of_a_copy_is_lost(pipeline: Pipeline) -> None:
    load = RowLoad(pipeline.dsn, writers=1)
    connect = ConnectClient(pipeline.own.settings.connect_url)
    topic = pipeline.settings.topics.cdc
    positions = []
    async with pipeline.running(**SMALL):
        await load.start()
        await asyncio.sleep(3)
        await load.stop()
        least = await pipeline.ends(topic) + PART
        transaction = await load.copy(ROWS)
        for _ in range(RESTARTS):

            async def is_within(least: int = least) -> bool:
                return await pipeline.ends(topic) > least

            await until(is_within, within_s=60)
            await connect.stop(pipeline.name)
            await connect.wait_for(pipeline.name, "STOPPED")
            positions.append(await stored_position(pipeline))
            least = await pipeline.ends(topic) + PART
            await connect.resume(pipeline.name)
            await connect.wait_running(pipeline.name)
        logger.warning("stored: %s", positions)
        within = [
            each for each in positions if each["txId"] == transaction and each["messageType"] == "INSERT"
        ]
        assert len(within) >= RESTARTS - 1, positions
        assert sum(each["lsn_events_processed"] > 0 for each in within) >= RESTARTS - 1, within
        assert len({(each["lsn"], each["lsn_events_processed"]) for each in within}) == len(within)
        await require_exact(pipeline, least_of_one=1)
