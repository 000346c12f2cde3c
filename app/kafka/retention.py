"""An end for topics that Kafka can't end by time, since their records bear the times of events.

Once a day the ends of the topics are noted. What lay before a note that is older than the retention is deleted, unless
the group that reads the topic has not acknowledged it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from app.core.failure_log import FailureLog
from app.kafka.client import client_options
from app.ports.erasure import LogEnds, LogNotes

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 3600.0


class LogRetention:
    """Keeps topics for so many days, and one more at most. Several processes may do so at once."""

    def __init__(
        self,
        brokers: Sequence[str],
        topics: Sequence[str],
        *,
        days: int,
        group_id: str,
        log_ends: LogEnds,
        notes: LogNotes,
    ) -> None:
        """`topics` are those that `group_id` reads."""
        self._brokers = brokers
        self._topics = topics
        self._days = days
        self._group_id = group_id
        self._log_ends = log_ends
        self._notes = notes
        self._failures = FailureLog(logger, "Old records of topics are not deleted for now: %s")

    async def run(self) -> NoReturn:
        """Delete what is due, now and every hour, until cancelled."""
        while True:
            with self._failures.attempt():
                await self.enforce()
            await asyncio.sleep(INTERVAL_S)

    async def enforce(self) -> None:
        """Note where the topics end, and delete what is due. Raises ProfileError, KafkaError, OSError."""
        ends = await self._log_ends.ends()
        if ends is None:
            return
        await self._notes.note(ends)
        due = positions_due(await self._notes.notes(), ends, self._topics, days=self._days)
        if not due:
            return
        admin = AIOKafkaAdminClient(**client_options(self._brokers))
        try:
            await admin.start()
            acknowledged = await admin.list_consumer_group_offsets(self._group_id)
            before = {
                partition: RecordsToDelete(before_offset=min(position, acknowledged[partition].offset))
                for partition, position in due.items()
                if partition in acknowledged and min(position, acknowledged[partition].offset) > 0
            }
            if before:
                await admin.delete_records(before, timeout_ms=30_000)
        finally:
            await admin.close()


def positions_due(
    notes: Sequence[tuple[float, Mapping[str, Sequence[int]]]],
    ends: Mapping[str, Sequence[int]],
    topics: Sequence[str],
    *,
    days: int,
) -> dict[TopicPartition, int]:
    """Up to where each partition may be deleted. `notes` are ages in days with the ends of then, the oldest first.

    A partition whose end fell since is one of a topic that was created again, and is left alone.
    """
    due = {}
    for topic in topics:
        for number, end in enumerate(ends.get(topic, ())):
            known = [(age, then[topic][number]) for age, then in notes if number < len(then.get(topic, ()))]
            line = [*(position for _, position in known), end]
            old = [position for age, position in known if age >= days]
            if old and old[-1] > 0 and line == sorted(line):
                due[TopicPartition(topic, number)] = old[-1]
    return due
