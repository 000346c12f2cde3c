"""What Kafka says that topics are set to: as it is now, not as it was created, and remembered for a bounded time."""

import asyncio

import pytest

from app.config.settings import Settings
from app.config.topics import TopicNames
from app.kafka.client import AIOKafkaAdminClient, ConfigResource, ConfigResourceType, client_options
from app.kafka.topic_configs import KafkaTopicConfigs, described
from tests.unit.storage.fakes import ManualClock

pytestmark = pytest.mark.integration


async def alter(settings: Settings, topic: str, config: dict[str, str]) -> None:
    """Have the topic be set to this, and to the broker's defaults in all else."""
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=config)])
        async with asyncio.timeout(30):  # the broker's answer is ahead of its own knowledge
            while not config.items() <= (await described(admin, [topic]))[topic].items():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def test_are_those_of_the_broker_and_a_minute_old_at_most(
    settings: Settings, topics: TopicNames
) -> None:
    clock = ManualClock()
    asked = KafkaTopicConfigs(settings.kafka, [topics.cdc, "no-such-topic"], clock, timeout_s=30)
    first = await asked.configs()
    assert first is not None
    assert set(first) == {topics.cdc}
    assert first[topics.cdc]["retention.ms"] == str(7 * 86_400_000)
    assert first[topics.cdc]["cleanup.policy"] == "delete"  # a default of the broker is told, too
    await alter(settings, topics.cdc, {"cleanup.policy": "compact", "retention.ms": "-1"})
    clock.time += 59
    assert await asked.configs() is first
    clock.time += 1
    later = await asked.configs()
    assert later is not None
    assert (later[topics.cdc]["cleanup.policy"], later[topics.cdc]["retention.ms"]) == ("compact", "-1")


async def test_where_no_broker_answers_what_was_known_holds_for_ten_minutes(
    settings: Settings, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    asked = KafkaTopicConfigs(settings.kafka, [topics.cdc], clock, timeout_s=30)
    known = await asked.configs()
    assert known is not None
    asked._brokers = ["127.0.0.1:1"]
    clock.time += 599
    assert await asked.configs() is known
    clock.time += 1
    assert await asked.configs() is None
    asked._brokers = settings.kafka
    assert await asked.configs() is None, "nobody asks again within five seconds of a failure"
    clock.time += 5
    assert await asked.configs() == known


async def test_callers_share_one_question_and_wait_for_a_bounded_time(
    settings: Settings, topics: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = KafkaTopicConfigs(settings.kafka, [topics.cdc], ManualClock(), timeout_s=30)
    questions = 0
    ask = asked._ask

    async def counted() -> None:
        nonlocal questions
        questions += 1
        await ask()

    monkeypatch.setattr(asked, "_ask", counted)
    answers = await asyncio.gather(*(asked.configs() for _ in range(20)))
    assert questions == 1
    assert all(answer is answers[0] is not None for answer in answers)

    silent = KafkaTopicConfigs(settings.kafka, [topics.cdc], ManualClock(), timeout_s=0.05)
    monkeypatch.setattr(silent, "_ask", asyncio.Event().wait)
    assert await silent.configs() is None
