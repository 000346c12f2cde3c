"""All that is there, as events, for a consumer that begins after the first events have left their topic."""

from collections.abc import AsyncIterator

import msgspec

from app.config.settings import Settings
from app.core.dates import to_text
from app.core.records import PublishedNote
from app.kafka.reading import bounds
from app.ports.erasure import ErasureRegister
from app.ports.snapshots import GraphSnapshots
from cdc.recovery.comparison import Differences

_encode = msgspec.json.Encoder().encode


async def lines_of(
    settings: Settings, snapshots: GraphSnapshots, register: ErasureRegister
) -> AsyncIterator[bytes]:
    """JSON texts, without line ends: a head, an event of each thing, and how many those were.

    The offsets of the head are read first, and the snapshot sees every commit of which an event lies before them. So
    who takes all of it and reads on from there misses nothing, and what comes again are events that the snapshot
    holds already. Raises TransientError or FatalError.
    """
    topic = settings.topics.domain_events
    offsets = {str(number): end for number, (_, end) in (await bounds(settings.kafka, topic)).items()}
    async with snapshots.open(since=None) as reading:
        yield _encode({"topic": topic, "offsets": offsets, "at": to_text(reading.at)})
        count = 0
        told = Differences(reading=reading, published={}, erasures={}, register=register)
        async for step in told.steps():
            if isinstance(step, PublishedNote):
                continue
            _, event = step
            headers = {name: value.decode() for name, value in event.headers}
            yield _encode({"key": event.key.decode(), "headers": headers, "value": msgspec.Raw(event.value)})
            count += 1
    yield _encode({"events": count})
