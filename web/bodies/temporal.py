"""The body of POST /v1/temporal/ingest: read, judged and turned into one batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import msgspec

from app.core import dates
from app.core.errors import InvalidError
from app.core.models import Batch, Granularity, TemporalRow
from app.core.validation import MAX_KEY_BYTES, MAX_REFERENCE_BYTES, check_json_text, check_name
from web.bodies import field_types
from web.bodies.contradictions import Statements
from web.bodies.item_errors import Refusals, decoded, judging
from web.bodies.references import check_type
from web.http import bodies

_Version = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class DataPointIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A point of a time series. The newer (reference_date, version) of one period wins; two values with the same one
    are refused.
    """

    entity_reference: field_types.Reference
    entity_type: field_types.Type
    key: field_types.Key
    granularity: field_types.Granularity
    reference_date: field_types.Date
    value: Annotated[msgspec.Raw, field_types.VALUE]
    version: _Version = 0


class IngestIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Points of any entities."""

    data_points: list[DataPointIn]


class UncheckedIngestIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The same, with items that are decoded one by one."""

    data_points: list[msgspec.Raw]


_DECODER: Final = msgspec.json.Decoder(IngestIn)
_UNCHECKED: Final = msgspec.json.Decoder(UncheckedIngestIn)
_DATA_POINT: Final = msgspec.json.Decoder(DataPointIn)
# A TemporalRow without when it was told.
_Point = tuple[str, str, str, Granularity, datetime, str, datetime, int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """A request that is valid as far as it can be judged alone."""

    points: list[_Point]

    def __len__(self) -> int:
        return len(self.points)

    def rows(self, *, now: datetime) -> Batch:
        """Every row of the request, told now."""
        return Batch(temporal=[TemporalRow(*point, now) for point in self.points])


def parse(
    body: bytes, *, max_items: int, max_value_bytes: int, refusals: Refusals | None = None
) -> IngestRequest:
    """Read and judge a body. Raises ProblemError (not JSON) or InvalidError (names the field).

    With `refusals`, what is wrong with one data point is kept there, and the point is left out.
    """
    points = _items(body, refusals)
    if len(points) > max_items:
        raise InvalidError(
            f"The request has {len(points)} data points; {max_items} are the most. Split it.",
            code="too-many-items",
            field="data_points",
        )
    request = IngestRequest(points=[])
    statements = Statements()
    for index, sent in enumerate(points):
        with judging("temporal", refusals):
            path = f"data_points[{index}]"
            point = _point(decoded(sent), path, max_value_bytes)
            *thing, value = point
            statements.add(tuple(thing), value, path, _named(point))
            request.points.append(point)
    return request


def _named(point: _Point) -> str:
    kind, reference, key, size, _, period, *_ = point
    return f"the {size} {period} of {key!r} of {kind}/{reference}"


def _items(body: bytes, refusals: Refusals | None) -> Sequence[DataPointIn | InvalidError]:
    if refusals is None:
        return bodies.decode(body, _DECODER).data_points
    return bodies.decode_each(bodies.decode(body, _UNCHECKED).data_points, _DATA_POINT, "data_points")


def _point(point: DataPointIn, path: str, max_value_bytes: int) -> _Point:
    size = dates.granularity(point.granularity, field=f"{path}.granularity")
    reference_date = dates.parse(point.reference_date, field=f"{path}.reference_date")
    period_start, period = dates.period_of(reference_date, size)
    return (
        check_type(point.entity_type, f"{path}.entity_type"),
        check_name(point.entity_reference, f"{path}.entity_reference", MAX_REFERENCE_BYTES),
        check_name(point.key, f"{path}.key", MAX_KEY_BYTES),
        size,
        period_start,
        period,
        reference_date,
        point.version,
        check_json_text(bytes(point.value), f"{path}.value", max_value_bytes),
    )
