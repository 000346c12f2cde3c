"""The connector's configuration, and the client against a server that plays Connect."""

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest

from infra.connector import ConnectClient, connector_config
from infra.errors import InfraError

Answer = tuple[int, Any]


def test_the_configuration_names_the_given_database_slot_and_topic() -> None:
    config = connector_config(
        database_dsn="postgresql://u:p@127.0.0.1:25432/db",
        cdc_topic="t-1.user-profile.cdc.all-tables",
        slot="slot_1",
        topic_prefix="t-1.",
    )
    assert config["database.port"] == "25432"
    assert config["database.dbname"] == "db"
    assert config["database.password"] == "p"
    assert config["slot.name"] == "slot_1"
    assert config["topic.prefix"] == "t-1.user-profile"
    assert config["transforms.route.replacement"] == "t-1.user-profile.cdc.all-tables"
    assert all(isinstance(value, str) for value in config.values())


@pytest.mark.parametrize(("snapshot", "mode"), [(False, "no_data"), (True, "initial")])
def test_a_snapshot_is_taken_on_demand_alone(snapshot: bool, mode: str) -> None:
    config = connector_config(database_dsn="postgresql://u:p@127.0.0.1/db", cdc_topic="t", snapshot=snapshot)
    assert config["snapshot.mode"] == mode


@pytest.mark.parametrize(
    ("topic", "routed"),
    [
        ("t-1.user-profile.public.entities", True),
        ("t-1.user-profile.public.edges", True),
        ("t-1.user-profile.public.temporal_properties", True),
        ("t-1.user-profile.public.dbz_heartbeat", False),
        ("tx1xuser-profile.public.entities", False),
    ],
)
def test_all_tables_but_the_heartbeat_share_a_topic(topic: str, routed: bool) -> None:
    config = connector_config(
        database_dsn="postgresql://u:p@127.0.0.1/db", cdc_topic="t", topic_prefix="t-1."
    )
    assert bool(re.fullmatch(config["transforms.route.regex"], topic)) is routed


class FakeConnect:
    """Answers with the function that the test sets, and remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.answer: Callable[[str, str], Answer] = lambda method, path: (HTTPStatus.OK, {})
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.requests.append((self.command, self.path, json.loads(body) if body else None))
                code, answer = fake.answer(self.command, self.path)
                payload = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_PUT = do_POST = do_DELETE = _reply

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.client = ConnectClient(f"http://127.0.0.1:{self.server.server_port}")


@pytest.fixture
def connect() -> Iterator[FakeConnect]:
    fake = FakeConnect()
    thread = threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    fake.server.shutdown()
    thread.join()
    fake.server.server_close()


def _status(connector: str, *tasks: str) -> dict[str, Any]:
    return {
        "connector": {"state": connector},
        "tasks": [{"state": state, "trace": "why it failed"} for state in tasks],
    }


def test_register_waits_for_the_task_and_starts_a_failed_one_again(connect: FakeConnect) -> None:
    states = iter([_status("RUNNING"), _status("RUNNING", "FAILED"), _status("RUNNING", "RUNNING")])
    connect.answer = lambda method, path: (200, next(states) if path.endswith("/status") else {})
    connect.client.register("c", {"a": "b"})
    assert connect.requests[0] == ("PUT", "/connectors/c/config", {"a": "b"})
    assert ("POST", "/connectors/c/restart?includeTasks=true&onlyFailed=true", None) in connect.requests
    assert next(states, None) is None


def test_a_task_that_fails_again_is_told_with_its_reason(connect: FakeConnect) -> None:
    connect.answer = lambda method, path: (200, _status("RUNNING", "FAILED"))
    with pytest.raises(InfraError, match=r"(?s)connector c failed.*why it failed"):
        connect.client.wait_running("c", timeout_s=5)


def test_a_connector_that_does_not_come_up_in_time_is_told(connect: FakeConnect) -> None:
    connect.answer = lambda method, path: (404, {"message": "unknown"})
    with pytest.raises(InfraError, match=r"does not run after 0\.1 s"):
        connect.client.wait_running("c", timeout_s=0.1)


def test_a_rebalancing_worker_is_asked_again_and_a_refusal_is_told(connect: FakeConnect) -> None:
    answers = iter([(409, {"message": "rebalance"}), (200, ["c"])])
    connect.answer = lambda method, path: next(answers)
    assert connect.client.names() == ["c"]
    connect.answer = lambda method, path: (400, {"message": "database.hostname is missing"})
    with pytest.raises(InfraError, match=r"database\.hostname is missing"):
        connect.client.register("c", {})


def test_deleting_what_is_not_there_is_harmless(connect: FakeConnect) -> None:
    connect.answer = lambda method, path: (404, {"message": "unknown"})
    connect.client.delete("c")


def test_nobody_answers() -> None:
    with pytest.raises(InfraError, match="Is the service up"):
        ConnectClient("http://127.0.0.1:1").names()
