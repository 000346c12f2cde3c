"""The dates of a receipt come from what the broker's topics are set to, or the receipt says that they do not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.config.settings import Settings
from app.config.topics import TopicNames
from app.core.dates import parse
from app.core.models import Batch
from tests.integration.app.test_topic_configs import alter
from tests.integration.web.serving import Served, serving
from tests.rows import entity

pytestmark = pytest.mark.integration

USER = "/v1/graph/by-reference/user/a"


async def erased(served: Served) -> dict[str, dict[str, Any]]:
    await served.stores.writer.write(Batch(entities=[entity("a")]))
    response = await served.client.delete(USER)
    assert response.status == 200, await response.text()
    receipt = await response.json()
    again = await (await served.client.get(f"/v1/erasures/{receipt['ledger_id']}")).json()
    assert again["not_reached"] == receipt["not_reached"]
    return {each["what"]: each for each in receipt["not_reached"]}


async def test_are_those_of_the_topics(settings: Settings, topics: TopicNames) -> None:
    hour = 3_600_000
    await alter(settings, topics.cdc, {"retention.ms": str(5 * hour), "segment.ms": str(hour)})
    await alter(settings, topics.domain_events, {"cleanup.policy": "compact"})
    async with serving(settings) as served:
        told = await erased(served)
    until = parse(told["cdc_topic"]["until_of"][topics.cdc], field="until")
    assert abs(until - datetime.now(UTC) - timedelta(hours=6)) < timedelta(minutes=5)
    assert told["domain_events"]["until"] is None
    assert f"Without end, as the topics are set: {topics.domain_events}." in told["domain_events"]["note"]
    assert not [each for each in told.values() if "Kafka did not say" in each["note"]]


async def test_are_those_of_the_settings_where_no_broker_answers(
    settings: Settings, topics: TopicNames
) -> None:
    async with serving(settings, brokers=["127.0.0.1:1"]) as served:
        told = await erased(served)
    assert f"Kafka did not say what is set: {topics.cdc}." in told["cdc_topic"]["note"]
    until = parse(told["cdc_topic"]["until_of"][topics.cdc], field="until")
    assert abs(until - datetime.now(UTC) - timedelta(days=8)) < timedelta(minutes=5)
