"""Where a statement came from. It decides nothing: neither who wins, nor whether a row is written."""

import msgspec


class RecordSource(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="record"):
    """A record of a topic."""

    topic: str
    partition: int
    offset: int


class RequestSource(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="request"):
    """An HTTP request, by the id that its answer and the log bear."""

    request_id: str


Source = RecordSource | RequestSource
