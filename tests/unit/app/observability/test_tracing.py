"""Traces: off by default, and then not even imported; windows belong to the traces of their records."""

import subprocess
import sys

import pytest

from app.core.errors import FatalError
from app.observability import tracing
from tests.tracing import OTHER, OTHER_ID, TRACE_ID, TRACEPARENT, below, kept_spans, named, trace_of
from tests.unit.app.fakes import FakeRecord


def record(*parents: str) -> FakeRecord:
    return FakeRecord(
        value=b"{}", topic="entities-edges", headers=[("traceparent", each.encode()) for each in parents]
    )


def test_off_imports_nothing_and_costs_one_object() -> None:
    code = (
        "import sys\n"
        "import app.ingest.consumer_loop, app.ingest.processor, web.application, web.server.server\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry')]\n"
        "from app.worker.worker import Worker\nfrom app.config.settings import Settings\n"
        "Worker(Settings(_env_file=None))\n"
        # The client of Redis imports API and SDK for itself, where they are installed.
        "assert not [m for m in sys.modules if m.startswith('opentelemetry.exporter')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert tracing.span("a") is tracing.span("b", rows=1)

    async def handler(request: object) -> object:
        return request

    assert tracing.traced(handler, "/x") is handler  # type: ignore[type-var]


def test_a_window_of_one_trace_is_in_it() -> None:
    window = [record(TRACEPARENT), record(), record(TRACEPARENT)]
    with kept_spans() as kept, tracing.flush("entities-edges", window), tracing.span("compare", rows=3):
        pass
    spans = named(kept)
    flush = spans["flush entities-edges"]
    assert trace_of(flush) == TRACE_ID
    assert flush.parent is not None
    assert f"{flush.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert flush.attributes is not None
    assert flush.attributes["messaging.batch.message_count"] == 3
    assert below(spans["compare"], flush)


def test_a_window_of_several_traces_is_linked_with_each() -> None:
    window = [record(TRACEPARENT), record(OTHER), record("no trace")]
    with kept_spans() as kept, tracing.flush("entities-edges", window):
        pass
    spans = kept.get_finished_spans()
    (flush,) = [span for span in spans if span.name == "flush entities-edges"]
    processes = [span for span in spans if span.name == "process entities-edges"]
    assert trace_of(flush) not in (TRACE_ID, OTHER_ID)
    assert {f"{link.context.trace_id:032x}" for link in flush.links} == {TRACE_ID, OTHER_ID}
    assert {trace_of(span) for span in processes} == {TRACE_ID, OTHER_ID}
    flush_id = flush.get_span_context()
    assert flush_id is not None
    assert all(link.context.span_id == flush_id.span_id for span in processes for link in span.links)


def test_no_message_of_an_error_is_told() -> None:
    with kept_spans() as kept, pytest.raises(ValueError, match="secret"), tracing.span("merge"):
        raise ValueError("secret")
    (span,) = kept.get_finished_spans()
    assert "secret" not in span.to_json()


def test_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(FatalError, match="install the extra `otel`, or unset it"):
        tracing.start("http://127.0.0.1:4318", ratio=1.0, instance="i")
