"""Why a broker that answers takes no records for now.

An idempotent producer of aiokafka tries what a broker refuses for a while (too few replicas in sync, a partition
without a leader, a failed disk) again and again, without an end, and says so in its log alone. So what it logs is
remembered here, by topic.
"""

import logging
import time
from collections.abc import Collection
from typing import Final

_SENDER: Final = "aiokafka.producer.sender"
_FORMAT: Final = "Got error produce response on topic-partition %s, retrying. Error: %s"
_MOST: Final = 1_000  # topics
_LOGGED_EACH_S: Final = 60.0


class NotTakenError(TimeoutError):
    """The broker lives and has not taken the records in time; its text says for which topics, and why."""


class RefusedWrites(logging.Filter):
    """The latest refusal of each topic, of all producers of this process. The log has one line a minute of each."""

    def __init__(self) -> None:
        super().__init__()
        self._latest: dict[str, tuple[float, str]] = {}
        self._logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg != _FORMAT or not isinstance(record.args, tuple):
            return True
        place, reason = record.args
        topic = getattr(place, "topic", None)
        if not isinstance(topic, str):
            return True
        if topic not in self._latest and len(self._latest) >= _MOST:
            return True
        now = time.monotonic()
        self._latest[topic] = now, reason.__name__ if isinstance(reason, type) else str(reason)
        is_due = now - self._logged.get(topic, -_LOGGED_EACH_S) >= _LOGGED_EACH_S
        if is_due:
            self._logged[topic] = now
        return is_due

    def since(self, topics: Collection[str], at: float) -> str | None:
        """What was refused of these topics since a time of the monotonic clock; None where nothing was."""
        found = {
            f"{topic} ({reason})"
            for topic in topics
            if topic in self._latest and self._latest[topic][0] >= at
            for _, reason in [self._latest[topic]]
        }
        return ", ".join(sorted(found)) or None


REFUSED: Final = RefusedWrites()
logging.getLogger(_SENDER).addFilter(REFUSED)


def why(error: BaseException) -> str:
    """A failure of a producer, for a sentence in parentheses: never text of the client, which may quote a record."""
    return str(error) if isinstance(error, NotTakenError) else type(error).__name__
