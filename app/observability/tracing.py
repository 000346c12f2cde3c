"""OpenTelemetry traces, off unless PROFILE_OTEL_ENDPOINT is set.

Off means that OpenTelemetry is not imported, that `span` hands out one object that does nothing, and that the web is
built without it. Names and attributes hold no user data: route templates, topics, counts.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from app.core.errors import FatalError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, Tracer

    from app.core.records import Record

TRACEPARENT: Final = "traceparent"
MAX_CONTEXTS: Final = 64  # of one window; a span is made for each
_SERVER_ERROR: Final = 500
_OFF: Final[AbstractContextManager[None]] = contextlib.nullcontext()

_tracer: "Tracer | None" = None


def is_on() -> bool:
    """Whether spans are made."""
    return _tracer is not None


def install(tracer: "Tracer | None") -> None:
    """Make spans by this tracer from now on; None: no more."""
    global _tracer  # noqa: PLW0603 - one process, one tracer
    _tracer = tracer


def start(endpoint: str, *, ratio: float, instance: str) -> Callable[[], None]:
    """Send spans to an OTLP/HTTP collector; returns what ends that, and sends what is left.

    `endpoint` is its base address, http://127.0.0.1:4318. A collector that does not answer costs spans and no more.
    Raises FatalError where the packages are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415
    except ImportError as error:
        raise FatalError(
            f"PROFILE_OTEL_ENDPOINT is set and OpenTelemetry is not installed ({error.name}): "
            "install the extra `otel`, or unset it."
        ) from error
    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(ratio),
        resource=Resource.create({"service.name": "user-profile", "service.instance.id": instance}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    install(provider.get_tracer("user-profile"))

    def stop() -> None:
        install(None)
        provider.shutdown()

    return stop


def span(name: str, **attributes: int | str) -> AbstractContextManager[Any]:
    """A span below the current one."""
    if _tracer is None:
        return _OFF
    return _current(_tracer, name, attributes=attributes)


def past_spans(steps: Sequence[tuple[str, int]]) -> None:
    """Spans below the current one of steps that have ended just now, one after another: name and microseconds."""
    if _tracer is None:
        return
    at = time.time_ns() - 1_000 * sum(took_us for _, took_us in steps)
    for name, took_us in steps:
        made = _tracer.start_span(name, start_time=at)
        at += 1_000 * took_us
        made.end(end_time=at)


@contextlib.contextmanager
def _current(tracer: "Tracer", name: str, **options: Any) -> Iterator["Span"]:
    """A span of an error tells its class, and never its message, which may quote a row."""
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **options
    ) as made:
        try:
            yield made
        except BaseException as error:
            made.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@contextlib.contextmanager
def flush(name: str, records: Sequence["Record"]) -> Iterator[None]:
    """The span of a window.

    Where all contexts in its records' `traceparent` headers are one, it belongs to that trace. Else it is a trace of
    its own, linked to each of them, and each of them gets a span `process` of the same time, linked to the window.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import Link, SpanKind, get_current_span, set_span_in_context  # noqa: PLC0415

    attributes: dict[str, str | int] = {
        "messaging.destination.name": records[0].topic,
        "messaging.batch.message_count": len(records),
    }
    contexts = _contexts(records)
    alone = len(contexts) == 1
    parents = [parent for _, parent in contexts]
    with contextlib.ExitStack() as spans:
        window = spans.enter_context(
            _current(
                _tracer,
                f"flush {name}",
                context=parents[0] if alone else set_span_in_context(get_current_span()),
                kind=SpanKind.CONSUMER,
                attributes=attributes,
                links=[] if alone else [Link(told) for told, _ in contexts],
            )
        )
        links = [Link(window.get_span_context())]
        for parent in [] if alone else parents:
            of_record = _tracer.start_span(
                f"process {records[0].topic}", context=parent, kind=SpanKind.CONSUMER, links=links
            )
            spans.callback(of_record.end)
        yield


def _contexts(records: Iterable["Record"]) -> list[tuple["SpanContext", "Context"]]:
    """The distinct contexts that records bring, at most MAX_CONTEXTS of them."""
    from opentelemetry.trace import get_current_span  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    extract = TraceContextTextMapPropagator().extract
    seen: dict[bytes, None] = {}
    for record in records:
        for key, value in record.headers:
            if key == TRACEPARENT and value is not None:
                seen[value] = None
        if len(seen) >= MAX_CONTEXTS:
            break
    found = []
    for value in seen:
        context = extract({TRACEPARENT: value.decode("latin-1")})
        told = get_current_span(context).get_span_context()
        if told.is_valid:
            found.append((told, context))
    return found


class _Request(Protocol):
    @property
    def method(self) -> str: ...
    @property
    def headers(self) -> Any: ...


class _Response(Protocol):
    @property
    def status(self) -> int: ...


Q = TypeVar("Q", bound=_Request)
P = TypeVar("P", bound=_Response)


def traced(handler: Callable[[Q], Awaitable[P]], route: str) -> Callable[[Q], Awaitable[P]]:
    """The handler, with a span for each request below that of its `traceparent`; the handler itself while off."""
    tracer = _tracer
    if tracer is None:
        return handler
    from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    extract = TraceContextTextMapPropagator().extract

    async def handle(request: Q) -> P:
        given = request.headers.get(TRACEPARENT)
        with _current(
            tracer,
            f"{request.method} {route}",
            context=extract({TRACEPARENT: given}) if given else None,
            kind=SpanKind.SERVER,
            attributes={"http.request.method": request.method, "http.route": route},
        ) as span:
            response = await handler(request)
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= _SERVER_ERROR:
                span.set_status(Status(StatusCode.ERROR))
        return response

    return handle
