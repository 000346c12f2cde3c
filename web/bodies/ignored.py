"""What a write left out, as its answer tells it: `"ignored": [{"kind", …, "reason"}]`.

`older`: what is stored has a later date, or is what remains of a removal. `erased`: the entity was erased while the
request was on its way. `older-or-same`: one of the two, where the primary could not be asked again after the commit.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import msgspec

from app.core.models import Batch, EdgeRow, EntityRow, PropertyRow, Row, TemporalRow
from app.core.preview import Preview
from web.bodies.dry_run import Item, shown

STATUS = "sync request accepted for processing"


def accepted(ignored: list[Item]) -> bytes:
    """The body of an answer that has to say so."""
    return msgspec.json.encode({"status": STATUS, "ignored": ignored})


def batch_of(rows: Iterable[Row]) -> Batch:
    """The rows in their lists."""
    batch = Batch()
    for row in rows:
        match row:
            case EntityRow():
                batch.entities.append(row)
            case PropertyRow():
                batch.properties.append(row)
            case EdgeRow():
                batch.edges.append(row)
            case TemporalRow():
                batch.temporal.append(row)
    return batch


def ignored_items(erased: AbstractSet[Row], losing: AbstractSet[Row], older: Preview | None) -> list[Item]:
    """One item for each thing, in the order of kinds and keys. `older` tells which of `losing` are not the same."""
    reasons: list[tuple[Row, str]] = [(row, "erased") for row in erased]
    if older is None:
        reasons += [(row, "older-or-same") for row in losing if not isinstance(row, EntityRow)]
    else:
        reasons += [(each.row, "older") for each in older.properties if each.outcome == "older"]
        reasons += [(each.row, "older") for each in older.edges if each.outcome == "older"]
        reasons += [(each.row, "older") for each in older.temporal if each.outcome == "older"]
    items = {tuple(shown(row).items()): shown(row) | {"reason": reason} for row, reason in reasons}
    return [items[key] for key in sorted(items, key=repr)]
