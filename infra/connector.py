"""The Debezium connector: its configuration, and a client of Connect's REST interface."""

import re
import time
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlsplit

from infra.errors import InfraError
from infra.rest import request

CONNECTOR_NAME: Final = "user-profile-cdc"
PUBLICATION: Final = "user_profile_cdc"  # made by the migrations
HEARTBEAT_QUERY: Final = (
    "INSERT INTO public.dbz_heartbeat (id, ts) VALUES (1, now()) "
    "ON CONFLICT (id) DO UPDATE SET ts = EXCLUDED.ts"
)


def connector_config(
    *,
    database_dsn: str,
    cdc_topic: str,
    slot: str = PUBLICATION,
    publication: str = PUBLICATION,
    topic_prefix: str = "",
    heartbeat_interval_ms: int = 3_000,
    snapshot: bool = False,
) -> dict[str, str]:
    """The configuration of one connector that publishes every change of one database to `cdc_topic`.

    At least once, in commit order. All rows of one entity bear the same key, byte for byte
    (`{"entity_id": …}`: the entity itself, its outgoing edges, its temporal rows), so they share a
    partition and keep their order. With `snapshot`, what was committed before the registration comes first (`op: r`);
    a snapshot that is interrupted begins anew at a later position, and what was committed in between comes as `r`
    too, or not at all if it was deleted: so it is for a database that nobody writes to. Without, the stream begins
    where the slot does, whatever was killed since. Dates are ISO 8601 strings in UTC, decimals strings; a delete
    has no tombstone.
    """
    dsn = urlsplit(database_dsn)
    logical_name = f"{topic_prefix}user-profile"
    escaped = re.escape(logical_name)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": dsn.hostname or "127.0.0.1",
        "database.port": str(dsn.port or 5432),
        "database.user": dsn.username or "",
        "database.password": dsn.password or "",
        "database.dbname": dsn.path.lstrip("/"),
        "topic.prefix": logical_name,
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": publication,
        "publication.autocreate.mode": "disabled",
        "schema.include.list": "public",
        "table.include.list": ",".join(
            rf"public\.{table}" for table in ("entities", "edges", "temporal_properties", "dbz_heartbeat")
        ),
        "snapshot.mode": "initial" if snapshot else "no_data",
        "poll.interval.ms": "50",
        # A quiet database on a busy server would otherwise hold back WAL without end.
        "heartbeat.interval.ms": str(heartbeat_interval_ms),
        "heartbeat.action.query": HEARTBEAT_QUERY,
        "decimal.handling.mode": "string",
        "time.precision.mode": "isostring",
        "interval.handling.mode": "string",
        "binary.handling.mode": "base64",
        "tombstones.on.delete": "false",
        "provide.transaction.metadata": "false",
        "message.key.columns": (
            "public.entities:id;public.edges:left_entity_id;public.temporal_properties:entity_id"
        ),
        # One rename per table, and only there: ReplaceField keeps a map from new to old names, so it fails
        # with two old names for one new one, and on a key that bears the new name already.
        "transforms": "entityKey,edgeKey,route",
        **_key_rename("entityKey", "id", rf"{escaped}\.public\.entities"),
        **_key_rename("edgeKey", "left_entity_id", rf"{escaped}\.public\.edges"),
        "predicates": "entityKey,edgeKey",
        "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
        "transforms.route.regex": rf"{escaped}\.public\.(?!dbz_).*",
        "transforms.route.replacement": cdc_topic,
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "topic.creation.default.replication.factor": "1",
        "topic.creation.default.partitions": "1",
        "producer.override.enable.idempotence": "true",
        "producer.override.linger.ms": "5",
        "producer.override.max.request.size": "16777216",
        "errors.log.enable": "true",
        "errors.log.include.messages": "false",
    }


def _key_rename(transform: str, field: str, topic_pattern: str) -> dict[str, str]:
    """A transformation that renames the key's `field` to entity_id on the topics of a pattern."""
    return {
        f"transforms.{transform}.type": "org.apache.kafka.connect.transforms.ReplaceField$Key",
        f"transforms.{transform}.renames": f"{field}:entity_id",
        f"transforms.{transform}.predicate": transform,
        f"predicates.{transform}.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        f"predicates.{transform}.pattern": topic_pattern,
    }


class ConnectClient:
    """Connect's REST interface. Every call may be repeated; each raises InfraError with Connect's words."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def names(self) -> list[str]:
        """The registered connectors."""
        found: list[str] = self._call("GET", "/connectors")
        return found

    def register(self, name: str, config: dict[str, str], *, timeout_s: float = 60.0) -> None:
        """Create the connector or bring it to this configuration, and return when it runs."""
        self._call("PUT", f"/connectors/{quote(name)}/config", config)
        self.wait_running(name, timeout_s=timeout_s)

    def wait_running(self, name: str, *, timeout_s: float = 60.0) -> None:
        """Return when the connector and its task run; a failed task is started again once."""
        deadline = time.monotonic() + timeout_s
        restarted = False
        while True:
            status = self.status(name)
            states = _states(status)
            if len(states) > 1 and set(states) == {"RUNNING"}:
                return
            if "FAILED" in states:
                if restarted:
                    raise InfraError(f"The connector {name} failed:\n{_trace(status)}")
                self.restart_failed(name)
                restarted = True
            if time.monotonic() > deadline:
                raise InfraError(f"The connector {name} does not run after {timeout_s:g} s: {states}.")
            time.sleep(0.2)

    def status(self, name: str) -> dict[str, Any]:
        """Connect's own status answer; an empty one while Connect does not know it yet."""
        code, answer = self._request("GET", f"/connectors/{quote(name)}/status")
        if code == HTTPStatus.NOT_FOUND:
            return {}
        return self._checked("GET", name, code, answer)  # type: ignore[no-any-return]

    def restart_failed(self, name: str) -> None:
        """Start failed parts of a connector again."""
        self._call("POST", f"/connectors/{quote(name)}/restart?includeTasks=true&onlyFailed=true")

    def pause(self, name: str) -> None:
        """Stop producing; the replication slot goes on holding WAL."""
        self._call("PUT", f"/connectors/{quote(name)}/pause")

    def resume(self, name: str) -> None:
        """Go on after `pause`."""
        self._call("PUT", f"/connectors/{quote(name)}/resume")

    def delete(self, name: str) -> None:
        """Remove the connector, if it is there; its replication slot is the caller's to drop."""
        code, answer = self._request("DELETE", f"/connectors/{quote(name)}")
        if code != HTTPStatus.NOT_FOUND:
            self._checked("DELETE", name, code, answer)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        code, answer = self._request(method, path, body)
        return self._checked(method, path, code, answer)

    def _request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        # A conflict means that the worker is rebalancing; it asks to be called again.
        for _ in range(50):
            code, answer = request(method, f"{self._url}{path}", body)
            if code != HTTPStatus.CONFLICT:
                break
            time.sleep(0.2)
        return code, answer

    def _checked(self, method: str, what: str, code: int, answer: Any) -> Any:
        if code >= HTTPStatus.BAD_REQUEST:
            reason = answer.get("message", answer) if isinstance(answer, dict) else answer
            raise InfraError(f"Kafka Connect refuses {method} {what} ({code}): {reason}")
        return answer


def _states(status: dict[str, Any]) -> list[str]:
    if not status:
        return []
    return [status["connector"]["state"], *(task["state"] for task in status["tasks"])]


def _trace(status: dict[str, Any]) -> str:
    parts = [status["connector"], *status["tasks"]]
    return "\n".join(part["trace"][:2000] for part in parts if part.get("trace"))
