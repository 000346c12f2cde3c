"""What an agent does with a window of records."""

from collections.abc import Sequence
from typing import Protocol

from app.core.records import Record


class RecordProcessor(Protocol):
    """What an agent does with a closed window; the loop around it acks after it returned."""

    async def process(self, records: Sequence[Record]) -> None:
        """Make all effects of the records durable, in the database, a topic or a dead-letter topic.

        Idempotent. A record that can't be processed is dead-lettered here. Raises TransientError (the same
        records come again) or FatalError (the process stops without committing their offsets).
        """
        ...
