"""The topic entities-edges: an entity and its relationships.

`{id, reference, type, edges: [{entity_reference, entity_type, relation_type, metadata?}]}`. Without `edges` the
record tells the entity alone. Relationships have no date; the record's timestamp orders their metadata.
"""

from typing import Final

import msgspec

from agents.names import check_entity
from app.config.settings import Settings
from app.core.decoding import decode_record, source_of, told_at_of
from app.core.errors import InvalidError
from app.core.models import Batch, EdgeRow, EntityRow
from app.core.records import Record
from app.core.validation import MAX_RELATIONSHIP_BYTES, check_json_text, check_name


class EdgeIn(msgspec.Struct, frozen=True):
    entity_reference: str
    entity_type: str
    relation_type: str
    metadata: msgspec.Raw = msgspec.Raw()


class EntityIn(msgspec.Struct, frozen=True):
    reference: str
    type: str
    edges: list[EdgeIn] = []


_DECODER: Final = msgspec.json.Decoder(EntityIn)


class EntitiesEdges:
    """Decodes records of this topic."""

    def __init__(self, settings: Settings) -> None:
        self._max_edges = settings.max_edges_per_record
        self._max_bytes = settings.max_value_bytes

    def add(self, record: Record, batch: Batch) -> None:
        """Add the record's rows. Raises InvalidError, with the batch as it was."""
        entity = decode_record(record, _DECODER)
        check_entity(entity.type, entity.reference, "type", "reference")
        if len(entity.edges) > self._max_edges:
            raise InvalidError(
                f"edges has {len(entity.edges)} items; {self._max_edges} are the most "
                "(PROFILE_MAX_EDGES_PER_RECORD).",
                code="too-many-edges",
                field="edges",
            )
        told_at, source = told_at_of(record), source_of(record)
        rows = []
        for index, edge in enumerate(entity.edges):
            at = f"edges[{index}]"
            check_entity(
                edge.entity_type, edge.entity_reference, f"{at}.entity_type", f"{at}.entity_reference"
            )
            check_name(edge.relation_type, f"{at}.relation_type", MAX_RELATIONSHIP_BYTES)
            rows.append(
                EdgeRow(
                    entity.type,
                    entity.reference,
                    edge.entity_type,
                    edge.entity_reference,
                    edge.relation_type,
                    self._metadata(bytes(edge.metadata), f"{at}.metadata"),
                    told_at,
                    source,
                )
            )
        batch.entities.append(EntityRow(entity.type, entity.reference, told_at, source))
        batch.edges.extend(rows)

    def _metadata(self, raw: bytes, field: str) -> str | None:
        if raw in (b"", b"null"):
            return None
        if not raw.startswith(b"{"):
            raise InvalidError(f"{field} is not an object.", code="ill-typed-field", field=field)
        return check_json_text(raw, field, self._max_bytes)
