"""Writes beside a measurement of reads: records to a topic of its own, and an agent that takes them in."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient

from app.config.settings import Role, Settings
from app.kafka.admin import create_topics
from app.kafka.client import client_options
from load.errors import LoadError
from load.measure.processes import started
from load.measure.readers import committed, delete_topics, reader_process, readers

if TYPE_CHECKING:
    import subprocess


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSide:
    """The processes of the writes."""

    settings: Settings
    processes: "list[subprocess.Popen[bytes]]"

    def committed(self) -> int:
        """Records that the agent has committed so far. Raises LoadError where a process has ended."""
        for process in self.processes:
            if process.poll() is not None:
                raise LoadError(f"The writes ended with {process.returncode}; the log stands above.")
        return asyncio.run(self._committed())

    async def _committed(self) -> int:
        admin = AIOKafkaAdminClient(**client_options(self.settings.kafka))
        await admin.start()
        try:
            return await committed(admin, self.settings, self.settings.topics.entity_properties)
        finally:
            await admin.close()


@contextmanager
def write_side(base: Settings, name: str, *, rate: int, core: int | None) -> Iterator[WriteSide]:
    """Records at that rate per second, about users that exist; the topics are deleted afterwards."""
    role = Role.ENTITY_PROPERTIES
    settings = base.model_copy(update={"topic_prefix": f"{name}.", "app_id": name, "roles": [role]})
    topic = settings.topics.entity_properties
    used = {topic, settings.topics.dead_letters(topic)}
    specs = [spec for spec in settings.topic_specs if spec.name in used]
    asyncio.run(create_topics(settings.kafka, specs))
    agent = next(reader for reader in readers(role) if reader.label == "agent")
    writer = [sys.executable, "-m", "load.measure.steady_writes", str(rate)]
    environment = os.environ | {"PROFILE_TOPIC_PREFIX": settings.topic_prefix}
    try:
        with (
            reader_process(agent, settings, core=core) as reading,
            started(writer, environment=environment, core=core, stdout=sys.stderr) as writing,
        ):
            yield WriteSide(settings=settings, processes=[reading, writing])
    finally:
        asyncio.run(delete_topics(settings.kafka, used))
