"""The topics: their names, partitions and retention. Plain data; creation is `app.kafka.admin`."""

from dataclasses import dataclass, field
from typing import Final

DLQ_SUFFIX = ".dlq"
_DAY_MS: Final = 24 * 60 * 60 * 1000
_CDC_DAYS: Final = 7
_COMPACTED: Final = {
    "cleanup.policy": "compact",
    "message.timestamp.type": "LogAppendTime",
    "segment.ms": str(_DAY_MS // 4),
    "max.compaction.lag.ms": str(_DAY_MS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic as it is created; an existing topic is never altered."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRetention:
    """For how many days topics keep what they were given; None: without end."""

    source_days: int | None = 7
    dead_letter_days: int | None = 30
    domain_event_days: int | None = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicNames:
    """Every topic that the service reads or writes, under one prefix (tests use one each)."""

    prefix: str = ""

    def _named(self, name: str) -> str:
        return f"{self.prefix}{name}"

    @property
    def entities_edges(self) -> str:
        return self._named("entities-edges")

    @property
    def entity_properties(self) -> str:
        return self._named("entity-properties")

    @property
    def temporal_data(self) -> str:
        return self._named("temporal-data")

    @property
    def cdc(self) -> str:
        return self._named("user-profile.cdc.all-tables")

    @property
    def domain_events(self) -> str:
        return self._named("user-profile.domain-events.v1")

    @property
    def published(self) -> str:
        """One note for each thing that consumers of the domain events know, without values; compacted."""
        return self._named("user-profile.published")

    @property
    def clock(self) -> str:
        """Tells the broker's time, and nothing else."""
        return self._named("user-profile.clock")

    @property
    def sources(self) -> tuple[str, ...]:
        """The raw event topics that Flink reads."""
        return tuple(
            self._named(n)
            for n in ("payment.events", "account.events", "crm.events", "cdp.events", "aggregated.metrics")
        )

    def removes_by_key(self, topic: str) -> bool:
        """Whether an erasure puts an end under the keys of this topic's records about the entity."""
        return topic == self.published or topic.endswith(DLQ_SUFFIX)

    @property
    def normalised(self) -> tuple[str, str, str]:
        return self.entities_edges, self.entity_properties, self.temporal_data

    def dead_letters(self, topic: str) -> str:
        return f"{topic}{DLQ_SUFFIX}"

    def specs(
        self, *, partitions: int, source_partitions: int, retention: TopicRetention | None = None
    ) -> list[TopicSpec]:
        """All topics with their dead-letter topics.

        Sources and dead letters are stamped when the broker appends them, so that their retention counts from then.
        Records of the normalised topics bear the event's time as their timestamp, which may lie decades back: Kafka's
        retention by time would delete those within minutes, unread ones too, so the service ends these topics itself
        (app.kafka.retention). Dead letters are
        compacted under unique keys, so that an erasure can remove them one by one, and bear the time of their record
        in a header. Kafka deletes or compacts whole segments, so none lasts for longer than a day, or six hours.
        """
        keep = retention or TopicRetention()
        forever = {"retention.ms": "-1"}
        large = {"max.message.bytes": "16777216"}  # a change has its row twice
        by_append = {"message.timestamp.type": "LogAppendTime"}
        # A letter is its record and the reason: a record just under the broker's limit (16 MiB here) must fit, or it
        # stops us. So it may be a megabyte more.
        dead = {
            "cleanup.policy": "compact" if keep.dead_letter_days is None else "compact,delete",
            "max.message.bytes": "17825792",
            **by_append,
            **_kept(keep.dead_letter_days),
        }
        specs = [
            TopicSpec(
                name=name, partitions=source_partitions, config={**by_append, **_kept(keep.source_days)}
            )
            for name in self.sources
        ]
        specs += [TopicSpec(name=name, partitions=partitions, config=forever) for name in self.normalised]
        specs += [TopicSpec(name=self.cdc, partitions=partitions, config=_kept(_CDC_DAYS) | large)]
        specs += [
            TopicSpec(
                name=self.domain_events,
                partitions=partitions,
                config=_kept(keep.domain_event_days) | large,
            )
        ]
        specs += [TopicSpec(name=self.published, partitions=partitions, config=dict(_COMPACTED))]
        specs += [
            TopicSpec(name=self.dead_letters(name), partitions=1, config=dead)
            for name in (*self.sources, *self.normalised, self.cdc)
        ]
        return specs


def _kept(days: int | None) -> dict[str, str]:
    if days is None:
        return {"retention.ms": "-1"}
    return {"retention.ms": str(days * _DAY_MS), "segment.ms": str(_DAY_MS)}
