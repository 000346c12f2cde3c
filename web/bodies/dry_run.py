"""The answer to a dry run, as JSON.

{"dry_run": true, "created": […], "changed": […], "removed": […], "unchanged": […], "refused": […]}

Each item has a `kind` (entity, property, relationship, temporal) and the members that identify it. `new` is what the
request tells, as it was sent; `old` is what is stored, and stays where the item is unchanged. Both are
`{"value", "reference_date"}`, of temporal with `version`; a relationship without metadata has neither. A property that
is removed is `{"removed": true, "reference_date"}`; a removed relationship has no `new`, since it is dated when it is
written. An unchanged item has a `reason`: `same`, or `older` where what is stored wins. A refused item has the
`field`, `code` and `detail` (and `candidates`) of the problem that the write would be answered with. Values stay the
JSON text that they are.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple, TypeVar

import msgspec

from app.core import dates
from app.core.errors import AmbiguousReferenceError, InvalidError
from app.core.models import EdgeRow, EntityKey, EntityRow, PropertyRow, RemovedEdge, Row, TemporalRow
from app.core.preview import Difference, Outcome, Preview, Stored
from web.bodies.item_errors import Refusal

R = TypeVar("R", bound=NamedTuple)
Item = dict[str, object]

_LISTS: Final[dict[Outcome, str]] = {
    "created": "created",
    "changed": "changed",
    "removed": "removed",
    "same": "unchanged",
    "older": "unchanged",
}


def encode(preview: Preview, refusals: Iterable[Refusal]) -> bytes:
    """The body of the answer."""
    lists: dict[str, list[Item]] = {"created": [], "changed": [], "removed": [], "unchanged": []}
    for outcome, item in chain(
        _items(preview.entities, _entity),
        _items(preview.properties, _property),
        _items(preview.edges, _relationship),
        _items(preview.temporal, _data_point),
        _items(preview.removed_edges, _removed_relationship),
    ):
        lists[_LISTS[outcome]].append(item)
    return msgspec.json.encode({"dry_run": True, **lists, "refused": [_refused(*each) for each in refusals]})


def shown(row: Row) -> Item:
    """The kind of a row, and the members that identify it."""
    match row:
        case PropertyRow():
            return _property(row)[0]
        case EdgeRow():
            return _named_relationship(row)
        case TemporalRow():
            return _data_point(row)[0]
        case EntityRow():
            return _entity(EntityKey(row.type, row.reference))[0]


def _items(
    differences: Iterable[Difference[R]], show: Callable[[R], tuple[Item, Stored | None]]
) -> Iterator[tuple[Outcome, Item]]:
    for difference in differences:
        item, new = show(difference.row)
        unchanged = difference.outcome in ("same", "older")
        if unchanged:
            item["reason"] = difference.outcome
        if difference.old is not None:
            item["old"] = _told(difference.old)
        if new is not None and not unchanged:
            item["new"] = _told(new)
        yield difference.outcome, item


def _entity(row: EntityKey) -> tuple[Item, None]:
    return {"kind": "entity", "type": row.type, "reference": row.reference}, None


def _property(row: PropertyRow) -> tuple[Item, Stored]:
    item: Item = {"kind": "property", "type": row.type, "reference": row.reference, "field": row.field}
    return item, Stored(value=row.value, reference_date=row.reference_date)


def _named_relationship(row: EdgeRow | RemovedEdge) -> Item:
    return {
        "kind": "relationship",
        "source_type": row.left_type,
        "source_reference": row.left_reference,
        "target_type": row.right_type,
        "target_reference": row.right_reference,
        "relationship_type": row.relationship_type,
    }


def _removed_relationship(row: RemovedEdge) -> tuple[Item, None]:
    return _named_relationship(row), None


def _relationship(row: EdgeRow) -> tuple[Item, Stored | None]:
    item = _named_relationship(row)
    if row.metadata is None:
        return item, None
    return item, Stored(value=row.metadata, reference_date=dates.to_text(row.told_at))


def _data_point(row: TemporalRow) -> tuple[Item, Stored]:
    item: Item = {
        "kind": "temporal",
        "entity_type": row.type,
        "entity_reference": row.reference,
        "key": row.key,
        "granularity": row.granularity,
        "period": row.period,
    }
    date = dates.to_text(row.reference_date)
    return item, Stored(value=row.value, reference_date=date, version=row.version)


def _told(stored: Stored) -> Item:
    if stored.value is None:
        return {"removed": True, "reference_date": stored.reference_date}
    told: Item = {"value": msgspec.Raw(stored.value.encode()), "reference_date": stored.reference_date}
    if stored.version is not None:
        told["version"] = stored.version
    return told


def _refused(kind: str, error: InvalidError) -> Item:
    item: Item = {"kind": kind, "field": error.field, "code": error.code, "detail": str(error)}
    if isinstance(error, AmbiguousReferenceError):
        item["candidates"] = error.candidates
    return item
