"""Until when topics may hold what they were given of an entity: by what Kafka said, else by the settings."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from app.config.settings import Settings
from app.config.topic_ends import longest_ms
from app.core import dates

_DAY_MS: Final = 24 * 60 * 60 * 1000

Configs = Mapping[str, Mapping[str, str]]


class HeldTopics:
    """Of one erasure. `configs` are the brokers'; None where they did not answer."""

    def __init__(self, settings: Settings, configs: Configs | None, erased_at: datetime) -> None:
        self._topics = settings.topics
        self._configs = configs or {}
        self._by_settings: Configs = {spec.name: spec.config for spec in settings.topic_specs}
        self._erased_at = erased_at
        # The service ends these itself; noted once a day, so that it may be a day more.
        days = settings.normalised_retention_days
        self._ended_ms = (days + 1) * _DAY_MS if days else None

    def until_of(self, names: Sequence[str], *, left: bool = False) -> dict[str, str | None]:
        """By topic the date; None: no end. `left`: of records that the erasure did not remove by their keys."""
        return {name: self._until(name, left=left) for name in names}

    def remark(self, names: Sequence[str], *, left: bool = False) -> str:
        """What is to be said of these topics beside their dates; empty, or it begins with a blank."""
        endless = [name for name, until in self.until_of(names, left=left).items() if until is None]
        unknown = [name for name in names if name not in self._configs]
        said = ""
        if endless:
            said += f" Without end, as the topics are set: {', '.join(endless)}."
        if unknown:
            said += f" By this service's settings, since Kafka did not say what is set: {', '.join(unknown)}."
        return said

    def _until(self, name: str, *, left: bool) -> str | None:
        longest = longest_ms(
            self._configs.get(name) or self._by_settings[name],
            removed_by_key=self._topics.removes_by_key(name) and not left,
            stamped_by_others=name in self._topics.sources,
        )
        if name in self._topics.normalised and self._ended_ms is not None:
            longest = self._ended_ms if longest is None else min(longest, self._ended_ms)
        if longest is None:
            return None
        try:
            return dates.to_text(self._erased_at + timedelta(milliseconds=longest))
        except OverflowError:
            return None
