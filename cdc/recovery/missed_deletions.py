"""What was published and is gone: how its end is told, and that nobody's name is who was erased."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from app.core.dates import from_epoch_ms
from app.core.erasure import Named
from app.core.models import EntityKey
from app.core.records import OutgoingEvent
from app.ports.erasure import ErasureRegister
from cdc.envelope import (
    Change,
    EdgeChange,
    EdgeRow,
    EntityChange,
    EntityRow,
    Source,
    TemporalChange,
    TemporalRow,
)
from cdc.events.events import events_of
from cdc.events.key_cache import PLACEHOLDER_TYPE
from cdc.recovery.published_state import Point, Relationship, Thing, Told

SourceOf = Callable[[str], Source]
_BATCH: Final = 1_000
_FALLBACK: Final = "entity-"
_UNKNOWN: Final = 0  # the id of who was erased, where no event told it
_ORDER: Final = {Relationship: 0, Point: 1, EntityKey: 2}


@dataclass(slots=True, kw_only=True)
class Endings:
    """The events that end what is `gone`, entities last.

    The ledger of erasures is asked about everybody who is named. Where an erasure deleted a thing, nothing is told if
    `erasures` (ledger id and time) says that it was told after the thing; otherwise it is told as an erasure is,
    without name and values. Who is in `living` may be named: what was erased of him is told by name, since he is there
    again.
    """

    gone: Mapping[Thing, Told]
    published: Mapping[Thing, Told]
    erasures: Mapping[str, int]
    living: AbstractSet[EntityKey]
    register: ErasureRegister
    source: SourceOf

    async def events(self) -> AsyncIterator[tuple[str, OutgoingEvent]]:
        things = sorted(self.gone, key=lambda thing: (_ORDER[type(thing)], repr(thing)))
        for start in range(0, len(things), _BATCH):
            batch = things[start : start + _BATCH]
            told = zip(batch, await self.erased_ends(batch), strict=True)
            for number, (thing, erased) in enumerate(told, start=start):
                for change, keys in self._changes(thing, erased, number):
                    for event in events_of(change, keys):
                        yield event

    async def erased_ends(self, things: Sequence[Thing]) -> list[dict[EntityKey, frozenset[str]]]:
        """Of each thing that is gone: the ends that were erased not before it was told, with their ledger ids."""
        named = [self._named(end, self.gone[thing]) for thing in things for end in ends_of(thing)]
        ledger = iter(await self.register.erased_among(named))
        found = [[(end, next(ledger)) for end in ends_of(thing)] for thing in things]
        return [{end: ids for end, ids in ends if ids} for ends in found]

    def _named(self, end: EntityKey, told: Told) -> Named:
        entity_id = self._id(end)
        return Named(
            keys=frozenset([end] if end.type else []),
            # A placeholder may have got its type unheard, and was erased under it.
            references=frozenset([end.reference] if end.type == PLACEHOLDER_TYPE else []),
            ids=frozenset([] if entity_id is None else [entity_id]),
            told_at=from_epoch_ms(told.at_ms),
        )

    def _id(self, end: EntityKey) -> int | None:
        """The entity's id, where an event told it, or named it by the very id."""
        told = self.published.get(end)
        return number_in(end) if told is None or told.entity_id is None else told.entity_id

    def _changes(
        self, thing: Thing, erased: Mapping[EntityKey, frozenset[str]], number: int
    ) -> Iterator[tuple[Change, Mapping[int, EntityKey]]]:
        ledger_ids = sorted(set().union(*erased.values()))
        if any(self.erasures.get(each, -1) >= self.gone[thing].at_ms for each in ledger_ids):
            return
        nameless = [end for end in erased if end not in self.living]
        # Ids may not be known, so names stand for them in the idempotency key; but not those of the erased.
        what = f"{ledger_ids[0]}|{number}" if nameless else repr(thing)
        if isinstance(thing, EntityKey):
            subject = bytes.fromhex(ledger_ids[0]) if nameless else None
            entity = EntityRow(self._id(thing) or _UNKNOWN, thing.type, thing.reference, "{}", subject)
            yield EntityChange("d", self.source(f"entities|{what}"), entity, None), {}
        elif isinstance(thing, Relationship):
            if len(nameless) < len(set(ends_of(thing))):  # else their own erasures say it
                yield self._edge(thing, self.source(f"edges|{what}"), *nameless)
        else:
            yield self._point(thing, self.source(f"temporal_properties|{what}"), erased=bool(nameless))

    def _edge(
        self, thing: Relationship, source: Source, erased: EntityKey | None = None
    ) -> tuple[Change, Mapping[int, EntityKey]]:
        keys: dict[int, EntityKey] = {}
        ids = []
        for end, stand_in in ((thing.left, -1), (thing.right, -2)):
            number = self._id(end) or (_UNKNOWN if end == erased else stand_in)
            ids.append(number)
            keys[number] = end
        left, right = ids
        mark = None if erased is None else left if thing.left == erased else right
        row = EdgeRow(0, left, right, thing.relationship_type, erased_entity_id=mark)
        return EdgeChange("d", source, row, None), keys

    def _point(self, thing: Point, source: Source, *, erased: bool) -> tuple[Change, Mapping[int, EntityKey]]:
        entity_id = self.gone[thing].entity_id or self._id(thing.entity) or (_UNKNOWN if erased else -1)
        row = TemporalRow(
            entity_id,
            thing.key,
            thing.granularity,
            "",
            thing.reference_date,
            "null",
            thing.idempotency_key,
            erased,
        )
        return TemporalChange("d", source, row, None), {entity_id: thing.entity}


def ends_of(thing: Thing) -> tuple[EntityKey, ...]:
    """The entities that a thing names, the source first."""
    if isinstance(thing, EntityKey):
        return (thing,)
    return (thing.left, thing.right) if isinstance(thing, Relationship) else (thing.entity,)


def number_in(key: EntityKey) -> int | None:
    """The id of an entity that is named by it."""
    digits = key.reference.removeprefix(_FALLBACK)
    return int(digits) if not key.type and digits.isascii() and digits.isdecimal() else None
