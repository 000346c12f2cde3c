"""The Debezium connector's configuration, made from the settings."""

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from app.config.settings import Settings

PUBLICATION: Final = "user_profile_cdc"  # made by the migrations
# While a recovery is not finished the configuration holds since when changes were missed; Debezium ignores it.
RECOVERY_KEY: Final = "user.profile.recovery.since"
HEARTBEAT_QUERY: Final = (
    "INSERT INTO public.dbz_heartbeat (id, ts) VALUES (1, now()) "
    "ON CONFLICT (id) DO UPDATE SET ts = EXCLUDED.ts"
)


def config_of(settings: Settings) -> dict[str, str]:
    """The configuration of the settings' connector: with a password in it by PROFILE_CONNECT_CREDENTIALS=dsn alone."""
    return connector_config(
        database_dsn=(settings.connect_postgres_dsn or settings.postgres_dsn).get_secret_value(),
        cdc_topic=settings.topics.cdc,
        slot=settings.cdc_slot,
        topic_prefix=settings.topic_prefix,
        heartbeat_interval_ms=settings.cdc_heartbeat_ms,
        snapshot=settings.cdc_publish_snapshot,
        credentials=settings.connect_credentials,
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
    credentials: str = "dsn",
) -> dict[str, str]:
    """The configuration of one connector that publishes every change of one database to `cdc_topic`.

    At least once, in commit order. All rows of one entity bear the same key, byte for byte
    (`{"entity_id": …}`: the entity itself, its outgoing edges, its temporal rows), so they share a
    partition and keep their order. With `snapshot`, what was committed before the registration comes first (`op: r`);
    a snapshot that is interrupted begins anew at a later position, and what was committed in between comes as `r`
    too, or not at all if it was deleted: so it is for a database that nobody writes to. Without, the stream begins
    where the slot does, whatever was killed since. Dates are ISO 8601 strings in UTC, decimals strings; a delete
    has no tombstone. `credentials` is as PROFILE_CONNECT_CREDENTIALS.
    """
    dsn = urlsplit(database_dsn)
    logical_name = f"{topic_prefix}user-profile"
    escaped = re.escape(logical_name)
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": dsn.hostname or "127.0.0.1",
        "database.port": str(dsn.port or 5432),
        **_login(dsn, credentials),
        "database.dbname": dsn.path.lstrip("/"),
        **_tls(dsn.query),
        "topic.prefix": logical_name,
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": publication,
        "publication.autocreate.mode": "disabled",
        "schema.include.list": "public",
        "table.include.list": ",".join(
            rf"public\.{table}" for table in ("entities", "edges", "temporal_properties", "dbz_heartbeat")
        ),
        # Where a statement came from is no change of it, and nobody else's.
        "column.exclude.list": r"public\.entities\.sources",
        "snapshot.mode": "initial" if snapshot else "no_data",
        # A slot that somebody made anew is further than what was published: Debezium stops, rather than go on past the
        # gap, as it does in silence by trust_slot and trust_greater_lsn.
        "offset.mismatch.strategy": "trust_offset",
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
        # As the broker's other producers: by the default of 16 KiB a burst is hundreds of small requests and batches,
        # each with its cost here, in the broker and in both readers.
        "producer.override.batch.size": "262144",
        "producer.override.max.request.size": "16777216",
        "errors.log.enable": "true",
        "errors.log.include.messages": "false",
    }


def _login(dsn: SplitResult, credentials: str) -> dict[str, str]:
    """Who connects; else than from the DSN, as references that Connect resolves when a task starts."""
    provider, _, place = credentials.partition(":")
    user, password = {
        "dsn": (unquote(dsn.username or ""), unquote(dsn.password or "")),
        "env": (f"${{env:{place}_USER}}", f"${{env:{place}_PASSWORD}}"),
        "file": (f"${{file:{place}:user}}", f"${{file:{place}:password}}"),
    }[provider]
    return {"database.user": user, "database.password": password}


def _tls(query: str) -> dict[str, str]:
    """TLS as the DSN's parameters say it. Files are those of the machine of Connect; a key is PKCS #8 in DER there."""
    asked = dict(parse_qsl(query))
    names = ("sslmode", "sslrootcert", "sslcert", "sslkey")
    return {f"database.{name}": asked[name] for name in names if name in asked}


def _key_rename(transform: str, field: str, topic_pattern: str) -> dict[str, str]:
    """A transformation that renames the key's `field` to entity_id on the topics of a pattern."""
    return {
        f"transforms.{transform}.type": "org.apache.kafka.connect.transforms.ReplaceField$Key",
        f"transforms.{transform}.renames": f"{field}:entity_id",
        f"transforms.{transform}.predicate": transform,
        f"predicates.{transform}.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
        f"predicates.{transform}.pattern": topic_pattern,
    }
