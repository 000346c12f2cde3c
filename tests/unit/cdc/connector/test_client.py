"""The client against a server that plays Connect."""

import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.core.errors import FatalError, TransientError
from app.ports.capture import ConnectorPosition
from cdc.connector.client import ConnectClient, NoConnectorError, cause_of
from infra.connector import ConnectClient as SyncClient
from infra.errors import InfraError

Answer = tuple[int, Any]


class FakeConnect:
    """Answers with the function that the test sets, and remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.answer: Callable[[str, str], Answer] = lambda method, path: (HTTPStatus.OK, {})
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._reply)
        self.server = TestServer(application)

    async def _reply(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.Response(status=415, text="HTTP 415 Unsupported Media Type")
        body = await request.text()
        self.requests.append((request.method, request.path_qs, json.loads(body) if body else None))
        code, answer = self.answer(request.method, request.path_qs)
        return web.json_response(answer, status=code)

    @property
    def client(self) -> ConnectClient:
        return ConnectClient(f"{self.server.make_url('/')}")


@pytest.fixture
async def connect() -> AsyncIterator[FakeConnect]:
    fake = FakeConnect()
    await fake.server.start_server()
    yield fake
    await fake.server.close()


def status(connector: str, *tasks: str) -> dict[str, Any]:
    return {
        "connector": {"state": connector},
        "tasks": [
            {"id": number, "state": state, "trace": "why it failed"} for number, state in enumerate(tasks)
        ],
    }


async def test_register_waits_for_the_task_and_starts_a_failed_one_again(connect: FakeConnect) -> None:
    states = iter([status("RUNNING"), status("RUNNING", "FAILED"), status("RUNNING", "RUNNING")])
    connect.answer = lambda method, path: (200, next(states) if path.endswith("/status") else {})
    await connect.client.register("c", {"a": "b"})
    assert connect.requests[0] == ("PUT", "/connectors/c/config", {"a": "b"})
    assert ("POST", "/connectors/c/restart?includeTasks=true&onlyFailed=true", None) in connect.requests
    assert next(states, None) is None


async def test_a_task_that_fails_again_is_told_with_its_reason(connect: FakeConnect) -> None:
    connect.answer = lambda method, path: (200, status("RUNNING", "FAILED"))
    with pytest.raises(FatalError, match="connector c failed: why it failed"):
        await connect.client.wait_running("c", timeout_s=5)


async def test_a_connector_that_does_not_come_up_in_time_is_told(connect: FakeConnect) -> None:
    connect.answer = lambda method, path: (404, {"message": "unknown"})
    with pytest.raises(FatalError, match="not RUNNING in time: it is not known to Connect"):
        await connect.client.wait_running("c", timeout_s=0.1)
    connect.answer = lambda method, path: (200, status("PAUSED", "PAUSED"))
    with pytest.raises(FatalError, match="is PAUSED, task 0 PAUSED"):
        await connect.client.wait_running("c", timeout_s=0.1)


async def test_a_rebalancing_worker_is_asked_again_and_a_refusal_is_told(connect: FakeConnect) -> None:
    answers = iter([(409, {"message": "rebalance"}), (200, ["c"])])
    connect.answer = lambda method, path: next(answers)
    assert await connect.client.names() == ["c"]
    connect.answer = lambda method, path: (400, {"message": "database.hostname\nis missing"})
    with pytest.raises(FatalError, match=r"database\.hostname is missing"):
        await connect.client.register("c", {})
    connect.answer = lambda method, path: (500, {"message": "later"})
    with pytest.raises(TransientError, match="later"):
        await connect.client.pause("c")


async def test_what_is_not_there_is_named_and_its_deletion_harmless(connect: FakeConnect) -> None:
    connect.answer = lambda method, path: (404, {"message": "unknown"})
    assert await connect.client.delete("c") is False
    assert await connect.client.state("c") is None
    for call in (connect.client.pause, connect.client.resume, connect.client.restart):
        with pytest.raises(NoConnectorError, match="no connector c: make it with"):
            await call("c")


async def test_a_position_is_what_connect_has_stored(connect: FakeConnect) -> None:
    connect.answer = lambda method, path: (200, {"offsets": []})
    assert await connect.client.position("c") is None
    stored: dict[str, dict[str, object]] = {
        "partition": {"server": "x"},
        "offset": {"lsn": 7, "ts_usec": 8_000_000},
    }
    connect.answer = lambda method, path: (200, {"offsets": [stored]})
    assert await connect.client.position("c") == ConnectorPosition(lsn=7, committed_us=8_000_000)
    stored["offset"]["lsn_commit"] = 9
    assert await connect.client.position("c") == ConnectorPosition(
        lsn=7, committed_us=8_000_000, commit_lsn=9
    )


async def test_nobody_answers() -> None:
    with pytest.raises(TransientError, match="PROFILE_CONNECT_URL"):
        await ConnectClient("http://127.0.0.1:1").names()


def test_without_an_event_loop_errors_are_those_of_the_stack() -> None:
    with pytest.raises(InfraError, match="does not answer"):
        SyncClient("http://127.0.0.1:1").names()


def test_a_trace_is_one_line_by_its_innermost_cause() -> None:
    trace = (
        "org.apache.kafka.connect.errors.ConnectException: outer\n\tat a.b(C.java:1)\n"
        "Caused by: io.debezium.DebeziumException: middle\n\tat a.b(C.java:1)\n"
        "Caused by: org.postgresql.util.PSQLException: ERROR: can no longer get changes\n\tat a.b(C.java:1)\n"
    )
    assert cause_of(trace) == "PSQLException: ERROR: can no longer get changes"
    assert cause_of("a.b.C: alone\n\tat x") == "C: alone"
    assert cause_of(None) == ""
    long = cause_of(f"a.B: {'x' * 1000} the end")
    assert len(long) < 350
    assert long.endswith("the end")
