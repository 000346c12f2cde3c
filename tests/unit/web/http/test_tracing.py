"""A request's span, below what the request brings."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.config.settings import Settings
from tests.tracing import TRACE_ID, TRACEPARENT, kept_spans, named, trace_of
from tests.unit.web.fakes import World
from tests.unit.web.server.test_fast_path import BY_ID, ask
from web.application import build
from web.server.server import WebServer


@pytest.fixture
def kept() -> Iterator[InMemorySpanExporter]:
    with kept_spans() as exporter:
        yield exporter


async def test_a_request_is_a_span_of_its_route(
    kept: InMemorySpanExporter, aiohttp_client: Any, world: World, web_settings: Settings
) -> None:
    client = await aiohttp_client(build(world.services(), web_settings))
    response = await client.get("/v1/graph/7?depth=11", headers={"traceparent": TRACEPARENT})
    assert response.status == 400
    (span,) = named(kept).values()
    assert (span.name, trace_of(span)) == ("GET /v1/graph/{id}", TRACE_ID)
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 400


async def test_an_answer_from_memory_is_traced_where_a_trace_is_brought(
    kept: InMemorySpanExporter, world: World, web_settings: Settings
) -> None:
    world.reader.in_memory = True
    server = WebServer(build(world.services(), web_settings), port=0)
    await server.start()
    try:
        await ask(server.port, BY_ID)
        unasked = len(kept.get_finished_spans())
        await ask(server.port, BY_ID, f"traceparent: {TRACEPARENT}\r\n")
    finally:
        await server.stop()
    spans = kept.get_finished_spans()
    assert unasked <= 1  # the first request of a connection goes the usual way
    assert [trace_of(span) for span in spans[unasked:]] == [TRACE_ID, TRACE_ID]
