"""The topics: their names, partitions and retention. Plain data; creation is `app.kafka.admin`."""

from dataclasses import dataclass, field

DLQ_SUFFIX = ".dlq"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic as it is created; an existing topic is never altered."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


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
    def sources(self) -> tuple[str, ...]:
        """The raw event topics that Flink reads."""
        return tuple(
            self._named(n)
            for n in ("payment.events", "account.events", "crm.events", "cdp.events", "aggregated.metrics")
        )

    @property
    def normalised(self) -> tuple[str, str, str]:
        return self.entities_edges, self.entity_properties, self.temporal_data

    def dead_letters(self, topic: str) -> str:
        return f"{topic}{DLQ_SUFFIX}"

    def specs(self, *, partitions: int, source_partitions: int) -> list[TopicSpec]:
        """All topics with their dead-letter topics.

        Records carry the event's time as their timestamp, which may lie decades back: where that holds,
        retention by time is off, or the broker deletes them within minutes. Dead letters are compacted
        under unique keys, so that an erasure can remove them one by one.
        """
        forever = {"retention.ms": "-1"}
        large = {"max.message.bytes": "16777216"}  # a change has its row twice
        # A letter is its record and the reason: a record just under the broker's limit (16 MiB here) must fit, or it
        # stops us. So it may be a megabyte more.
        dead = {"cleanup.policy": "compact", "retention.ms": "-1", "max.message.bytes": "17825792"}
        event_timed = (*self.sources, *self.normalised)
        specs = [
            TopicSpec(
                name=name,
                partitions=source_partitions if name in self.sources else partitions,
                config=forever,
            )
            for name in event_timed
        ]
        specs += [
            TopicSpec(name=self.cdc, partitions=partitions, config={"retention.ms": "604800000", **large})
        ]
        specs += [TopicSpec(name=self.domain_events, partitions=partitions, config=forever | large)]
        specs += [
            TopicSpec(name=self.dead_letters(name), partitions=1, config=dead)
            for name in (*event_timed, self.cdc)
        ]
        return specs
