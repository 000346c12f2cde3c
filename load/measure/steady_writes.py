"""Statements about random users to `entity-properties`, at a steady rate, until it is stopped.

Run in a process of its own, as `python -m load.measure.steady_writes <records per second>`, with the settings of a
worker in the environment. Each statement is newer than all before it and changes the field `last_seen`.
"""

import asyncio
import random
import sys
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer

from app.config.settings import Settings
from app.core import dates
from app.kafka.client import client_options
from load.generate import messages
from load.generate.postgres import connect
from load.generate.sending import Message
from load.generate.world import Fact

_TICK_S = 0.02
_USERS = "SELECT reference FROM entities WHERE type = 'user' ORDER BY id"


def seen(reference: str, at: datetime) -> Message:
    """A user was seen at that time."""
    return messages.statement("user", reference, Fact("last_seen", dates.to_text(at), at))


async def write(settings: Settings, rate: int) -> None:
    """Write for ever; what could not be sent in time is sent late."""
    pool = await connect(settings, 1)
    references = [row["reference"] for row in await pool.fetch(_USERS)]
    await pool.close()
    producer = AIOKafkaProducer(**client_options(settings.kafka), enable_idempotence=True)
    await producer.start()
    rng, loop, sent = random.Random(1), asyncio.get_running_loop(), 0
    began = loop.time()
    while True:
        for _ in range(int((loop.time() - began) * rate) - sent):
            message = seen(rng.choice(references), datetime.now(UTC))
            await producer.send(
                settings.topics.entity_properties,
                message.value,
                key=message.key,
                timestamp_ms=message.timestamp_ms,
            )
            sent += 1
        await asyncio.sleep(_TICK_S)


if __name__ == "__main__":
    asyncio.run(write(Settings(), int(sys.argv[1])))
