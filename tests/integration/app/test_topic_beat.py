"""Each partition of a compacted topic gets a record, so that its segments end."""

import pytest

from app.config.settings import Settings
from app.config.topics import TopicNames, TopicSpec
from app.kafka.admin import create_topics
from app.kafka.beat import TopicBeat
from app.kafka.reading import bounds, read_to_end
from cdc.recovery.noted_state import NotedView

pytestmark = pytest.mark.integration


async def test_a_beat_reaches_each_partition_and_is_no_note(settings: Settings, topics: TopicNames) -> None:
    spec = next(spec for spec in settings.topic_specs if spec.name == topics.published)
    await create_topics(settings.kafka, [TopicSpec(name=spec.name, partitions=4, config=spec.config)])
    before = await bounds(settings.kafka, topics.published)
    beat = TopicBeat(settings.kafka, topics.published)
    await beat.beat()
    await beat.close()
    after = await bounds(settings.kafka, topics.published)
    assert {number: after[number][1] - before[number][1] for number in before} == dict.fromkeys(before, 1)
    view = NotedView()
    async for records in read_to_end(settings.kafka, topics.published):
        for record in records:
            view.add(record)
    assert (view.things, view.erasures) == ({}, {})
