"""The body of a batch read."""

from typing import Annotated, Final

import msgspec

MAX_BATCH: Final = 100


class BatchIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The entities that are asked for."""

    entity_ids: Annotated[
        list[Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]],
        msgspec.Meta(extra_json_schema={"maxItems": MAX_BATCH}),
    ]
