"""The receipt of an erasure, as DELETE answers it: no personal data, the same whenever it is asked for again."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel

from app.config.settings import Settings
from app.core import dates
from app.core.erasure import ErasureReceipt
from web.bodies.held_topics import Configs, HeldTopics

What = Literal[
    "dead_letters",
    "dead_letter_topics",
    "source_topics",
    "normalised_topics",
    "cdc_topic",
    "domain_events",
    "published_notes",
    "write_ahead_log",
    "backups",
]


class Removed(BaseModel):
    """Rows that were deleted; relationships of both directions, and properties that were hidden too."""

    entities: int
    properties: int
    relationships: int
    temporal_points: int


class DeadLetters(BaseModel):
    """`pending`: those about the entity are still to be removed; it is retried until they are."""

    state: Literal["removed", "pending"]
    removed: int
    checked_at: str | None


class NotReached(BaseModel):
    """Where data about the entity may remain, and until when; `until` null: without a limit known to the service.

    `until_of` has the date of each of the topics, null for one without an end; it is null for what is no topic.
    """

    what: What
    names: list[str]
    until: str | None
    note: str
    until_of: dict[str, str | None] | None = None


class Receipt(BaseModel):
    """What an erasure did. `ledger_id` is the keyed hash that remains of the entity."""

    ledger_id: str
    erased_at: str
    removed: Removed
    caches: Literal["invalidated", "pending"]
    dead_letters: DeadLetters
    not_reached: list[NotReached]


class Progress(BaseModel):
    """Relationships and points; `rows_total` null: not counted yet."""

    rows_deleted: int
    rows_total: int | None


class ReceiptInPieces(Receipt):
    """Of an entity whose rows were too many for one transaction.

    `deleting`: nothing shows it any more, and its rows are being deleted; `removed` counts those that are gone.
    """

    state: Literal["deleting", "deleted"]
    progress: Progress


def receipt_of(erasure: ErasureReceipt, settings: Settings, configs: Configs | None) -> Receipt:
    """The receipt as it is told under these settings; `configs` are the topics', None where Kafka does not answer."""
    receipt = _receipt_of(erasure, settings, HeldTopics(settings, configs, erasure.erased_at))
    if erasure.deletion is None:
        return receipt
    return ReceiptInPieces(
        **dict(receipt),
        state="deleted" if erasure.deletion.done else "deleting",
        progress=Progress(rows_deleted=erasure.deletion.deleted, rows_total=erasure.deletion.to_delete),
    )


def _receipt_of(erasure: ErasureReceipt, settings: Settings, held: HeldTopics) -> Receipt:
    checked_at = erasure.letters_checked_at
    return Receipt(
        ledger_id=erasure.ledger_id,
        erased_at=dates.to_text(erasure.erased_at),
        removed=Removed(
            entities=1,
            properties=erasure.properties,
            relationships=erasure.edges,
            temporal_points=erasure.points,
        ),
        caches="invalidated" if erasure.caches_told else "pending",
        dead_letters=DeadLetters(
            state="pending" if checked_at is None else "removed",
            removed=erasure.letters,
            checked_at=None if checked_at is None else dates.to_text(checked_at),
        ),
        not_reached=list(_not_reached(erasure, settings, held)),
    )


def _not_reached(erasure: ErasureReceipt, settings: Settings, held: HeldTopics) -> Iterator[NotReached]:
    topics, erased_at = settings.topics, erasure.erased_at
    if erasure.letters_left:
        ids = list(erasure.letters_left_ids)
        names = sorted(topics.dead_letters(topic) for topic in _topics_of(ids))
        until_of = held.until_of(names, left=True)
        yield NotReached(
            what="dead_letters",
            names=ids,
            until=_last(until_of),
            until_of=until_of,
            note=f"{erasure.letters_left} dead letters, of which the first are named, hold the reference as a number "
            "or a short text where no reference stands (an amount, a date), or more than is looked through. They were "
            "left: read them by `python -m app dlq show`, and drop those that are about the entity."
            + held.remark(names, left=True),
        )
    yield _topics(
        held,
        "dead_letter_topics",
        [topics.dead_letters(topic) for topic in (*topics.sources, *topics.normalised, topics.cdc)],
        "Removed letters lie on the brokers' disks until Kafka compacts their topics. Nobody reads them there.",
    )
    yield _topics(
        held,
        "source_topics",
        topics.sources,
        "Kafka keeps these records until their topics' retention ends. Reading them again does not bring the "
        "entity back.",
    )
    yield _topics(
        held,
        "normalised_topics",
        topics.normalised,
        "As source_topics."
        if erasure.log_ends_known
        else "As source_topics, but for records whose timestamps are ahead: Kafka did not tell what lay in its topics "
        "when the entity was erased. DELETE it again an hour later, if it is back.",
    )
    yield _topics(
        held, "cdc_topic", [topics.cdc], "Changes from before the erasure, and the deletes themselves."
    )
    yield _topics(
        held,
        "domain_events",
        [topics.domain_events],
        "Events from before the erasure, here and at their consumers, who learn of it by the events of the deletes.",
    )
    yield _topics(
        held,
        "published_notes",
        [topics.published],
        "The name, and no values, until Kafka has compacted the topic, from when the erasure was told as an "
        "event. Nobody but a recovery reads it.",
    )
    yield NotReached(
        what="write_ahead_log",
        names=[],
        until=None,
        note="PostgreSQL recycles its WAL after checkpoints, on primary and replicas; a replication slot that stands "
        "still holds it longer. Dead rows leave their pages by vacuum.",
    )
    days = settings.backup_retention_days
    yield NotReached(
        what="backups",
        names=[],
        until=None if days is None else dates.to_text(erased_at + timedelta(days=days)),
        note="Backups and archived WAL, for as long as the operator keeps them (PROFILE_BACKUP_RETENTION_DAYS). Who "
        "restores one repeats the erasures of the time since.",
    )


def _topics(held: HeldTopics, what: What, names: Sequence[str], note: str) -> NotReached:
    until_of = held.until_of(names)
    return NotReached(
        what=what, names=list(names), until=_last(until_of), note=note + held.remark(names), until_of=until_of
    )


def _last(until_of: dict[str, str | None]) -> str | None:
    """When the last of them ends; dates have one spelling, in which they compare."""
    dates_of = list(until_of.values())
    known = [date for date in dates_of if date is not None]
    return max(known) if known and len(known) == len(dates_of) else None


def _topics_of(letter_ids: Iterable[str]) -> set[str]:
    return {letter_id.split("/", 1)[0] for letter_id in letter_ids}
