"""What doctor says of settings, topics, servers and caches that are not as they have to be."""

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import pytest
from pydantic import SecretStr

from app.config.settings import Settings
from app.config.topics import TopicNames, TopicSpec
from app.core.check_results import Finding, Level, lines_of
from app.doctor.kafka import notes_finding, retention_finding, topic_finding
from app.doctor.settings import settings_findings
from storage.doctor import postgres, redis

NAMES = TopicNames()
SPEC = TopicSpec(name="t.dlq", partitions=2, config={"cleanup.policy": "compact", "retention.ms": "-1"})
SERVER: dict[str, Any] = {
    "version_number": 150_020,
    "version": "15.20",
    "in_recovery": False,
    "wal_level": "logical",
    "fsync": "on",
    "full_page_writes": "on",
    "track_commit_timestamp": "on",
    "slot_keep_mb": 2048,
    "hot_standby_feedback": "on",
    "connections": 97,
    "other_connections": 0,
    "receiver": "streaming",
    "now": datetime(2026, 1, 1, tzinfo=UTC),
}


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **changes)


def bad(findings: list[Finding]) -> dict[str, Level]:
    found = [finding for finding in findings if not finding.name.startswith("host.")]
    assert all(finding.mend for finding in found if finding.level is not Level.OK)
    return {finding.name: finding.level for finding in found if finding.level is not Level.OK}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"settings.erasure_key": Level.WARN}),
        ({"erasure_key": SecretStr("k" * 32)}, {}),
        ({"web_host": "0.0.0.0"}, {"settings.erasure_key": Level.FAIL}),
        ({"web_host": "0.0.0.0", "roles": "cdc"}, {"settings.erasure_key": Level.WARN}),
        ({"kafka_brokers": ["kafka:9092"]}, {"settings.erasure_key": Level.FAIL}),
        ({"web_host": "0.0.0.0", "erasure_key": SecretStr("k" * 32)}, {}),
        ({"hooks": "before-copy:kill:2", "erasure_key": SecretStr("k" * 32)}, {"settings.hooks": Level.FAIL}),
        (
            {"progress_timeout_s": 20, "erasure_key": SecretStr("k" * 32)},
            {"settings.progress_timeout": Level.WARN},
        ),
        (
            {"processes": "web=9,ingest=90", "erasure_key": SecretStr("k" * 32)},
            {"settings.processes": Level.WARN},
        ),
        (
            {"processes": "cdc=2", "roles": "web", "erasure_key": SecretStr("k" * 32)},
            {"settings.processes": Level.FAIL},
        ),
        (
            {"postgres_replica_dsns": [], "erasure_key": SecretStr("k" * 32)},
            {"settings.replicas": Level.WARN},
        ),
    ],
)
def test_settings(changes: dict[str, Any], expected: dict[str, Level]) -> None:
    assert bad(settings_findings(settings(**changes))) == expected


def test_traces_without_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = settings(erasure_key=SecretStr("k" * 32), otel_endpoint="http://u:secret@collector:4318")
    told = {finding.name: finding for finding in settings_findings(changed)}["settings.otel"]
    assert (told.level, told.what) == (Level.OK, "traces go to collector:4318")

    def find(name: str) -> object:
        return None if name == "opentelemetry.sdk" else find_spec(name)

    monkeypatch.setattr("importlib.util.find_spec", find)
    assert bad(settings_findings(changed)) == {"settings.otel": Level.FAIL}


def test_no_secret_is_told() -> None:
    told = "\n".join(lines_of(settings_findings(settings(erasure_key=SecretStr("short-secret")))))
    assert "short-secret" not in told


@pytest.mark.parametrize(
    ("change", "skew_s", "expected"),
    [
        ({}, 0.1, {}),
        ({"in_recovery": True}, 0, {"postgres.primary": Level.FAIL}),
        ({"version_number": 140_000}, 0, {"postgres.version": Level.FAIL}),
        ({"wal_level": "replica"}, 0, {"postgres.wal_level": Level.FAIL}),
        ({"fsync": "off"}, 0, {"postgres.durability": Level.FAIL}),
        ({"track_commit_timestamp": "off"}, 0, {"postgres.commit_timestamps": Level.WARN}),
        ({"slot_keep_mb": -1}, 0, {"postgres.slot_limit": Level.WARN}),
        ({"other_connections": 90}, 0, {"postgres.connections": Level.WARN}),
        ({}, -3.0, {"clock": Level.WARN}),
    ],
)
def test_the_primary(change: dict[str, Any], skew_s: float, expected: dict[str, Level]) -> None:
    row: Any = SERVER | change
    assert bad(postgres._primary(row, skew_s, settings())) == expected


@pytest.mark.parametrize(
    ("change", "behind", "expected"),
    [
        ({"in_recovery": True}, 100, {}),
        ({}, 0, {"r": Level.WARN}),
        ({"in_recovery": True, "receiver": None}, 0, {"r": Level.WARN}),
        ({"in_recovery": True, "hot_standby_feedback": "off"}, 0, {"r.feedback": Level.WARN}),
        ({"in_recovery": True}, 10**9, {"r.lag": Level.WARN}),
    ],
)
def test_a_replica(change: dict[str, Any], behind: int, expected: dict[str, Level]) -> None:
    row: Any = SERVER | change
    assert bad(postgres._replica("r", row, behind)) == expected


@pytest.mark.parametrize(
    ("slots", "policy", "append_only", "expected"),
    [
        (b"16384", b"volatile-lfu", b"no", {}),
        (b"10922", b"volatile-lfu", b"no", {"n": Level.WARN}),
        (b"16384", b"allkeys-lfu", b"no", {"n.memory": Level.WARN}),
        (b"16384", b"volatile-lfu", b"yes", {"n.persistence": Level.WARN}),
    ],
)
def test_a_node_of_redis(slots: bytes, policy: bytes, append_only: bytes, expected: dict[str, Level]) -> None:
    replies = [
        b"cluster_state:ok\r\ncluster_slots_ok:" + slots + b"\r\n",
        [b"maxmemory", b"1000", b"maxmemory-policy", policy],
        [b"appendonly", append_only],
    ]
    assert bad(redis._node("n", replies)) == expected


@pytest.mark.parametrize(
    ("partitions", "config", "level", "words"),
    [
        (2, {"cleanup.policy": "compact", "retention.ms": "-1"}, Level.OK, "2 partitions"),
        (4, {"cleanup.policy": "compact", "retention.ms": "-1"}, Level.OK, "4 partitions"),
        (1, {"cleanup.policy": "compact", "retention.ms": "-1"}, Level.WARN, "1 partitions"),
        (2, {"cleanup.policy": "compact", "retention.ms": "1000"}, Level.FAIL, "retention.ms is 1000"),
        (None, {}, Level.FAIL, "is missing"),
    ],
)
def test_a_topic(partitions: int | None, config: dict[str, str], level: Level, words: str) -> None:
    told = None if partitions is None else [{"partition": n, "leader": 0} for n in range(partitions)]
    finding = topic_finding(SPEC, told, config)
    assert (finding.level, finding.what) == (level, words)


SOURCE = TopicSpec(
    name="s",
    partitions=1,
    config={"retention.ms": "604800000", "message.timestamp.type": "LogAppendTime"},
)


@pytest.mark.parametrize(
    ("config", "level"),
    [
        ({"retention.ms": "604800000", "message.timestamp.type": "LogAppendTime"}, Level.OK),
        ({"retention.ms": "-1", "message.timestamp.type": "CreateTime"}, Level.WARN),
        ({"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"}, Level.WARN),
        ({"retention.ms": "604800000", "message.timestamp.type": "CreateTime"}, Level.FAIL),
        ({"retention.ms": "1000", "message.timestamp.type": "LogAppendTime"}, Level.FAIL),
    ],
)
def test_a_topic_that_only_keeps_more_is_a_warning(config: dict[str, str], level: Level) -> None:
    assert topic_finding(SOURCE, [{"partition": 0, "leader": 0}], config).level == level


def test_topics_without_an_end_are_named() -> None:
    assert retention_finding({"a": {"retention.ms": "1"}}, NAMES).level is Level.OK
    found = retention_finding(
        {"b": {"retention.ms": "-1"}, "a": {"retention.ms": "-1"}, "c": {"retention.ms": "9"}}, NAMES
    )
    assert (found.level, found.what) == (Level.WARN, "without end: a, b")


@pytest.mark.parametrize(
    ("topic", "config", "ends"),
    [
        # A policy of compaction alone deletes nothing by time, whatever `retention.ms` says.
        ("user-profile.domain-events.v1", {"retention.ms": "9", "cleanup.policy": "compact"}, False),
        ("user-profile.domain-events.v1", {"retention.ms": "9", "cleanup.policy": "delete,compact"}, True),
        ("user-profile.domain-events.v1", {"retention.ms": str(2**63 - 1)}, False),
        ("user-profile.domain-events.v1", {"retention.ms": "9", "segment.ms": str(2**63 - 1)}, False),
        # An erasure puts no end under these keys, so compaction leaves what it removes elsewhere.
        (
            "user-profile.domain-events.v1",
            {"retention.ms": "-1", "cleanup.policy": "compact", "max.compaction.lag.ms": "9"},
            False,
        ),
        (
            "crm.events.dlq",
            {"retention.ms": "-1", "cleanup.policy": "compact", "max.compaction.lag.ms": "9"},
            True,
        ),
        # Producers may stamp what they send to a source with any time ahead, where the broker takes it.
        ("crm.events", {"retention.ms": "9", "message.timestamp.type": "CreateTime"}, False),
        (
            "crm.events",
            {
                "retention.ms": "9",
                "message.timestamp.type": "CreateTime",
                "message.timestamp.after.max.ms": "3600000",
            },
            True,
        ),
        ("crm.events", {"retention.ms": "9", "message.timestamp.type": "LogAppendTime"}, True),
    ],
)
def test_whether_a_topic_has_an_end(topic: str, config: dict[str, str], *, ends: bool) -> None:
    assert retention_finding({topic: config}, NAMES).level is (Level.OK if ends else Level.WARN)


def test_a_partition_without_a_leader() -> None:
    finding = topic_finding(SPEC, [{"partition": 0, "leader": -1}], dict(SPEC.config))
    assert finding.level is Level.FAIL
    assert "no leader" in finding.what


def test_a_line_for_each_and_a_way_out() -> None:
    well = Finding(level=Level.OK, name="a", what="is there")
    ill = Finding(level=Level.FAIL, name="long", what="is not", mend="make it")
    assert list(lines_of([well, ill])) == [
        "ok    a     is there",
        "fail  long  is not",
        "            → make it",
    ]


def test_a_topic_that_keeps_the_newest_of_each_key_has_an_end_for_what_is_removed() -> None:
    compacted = {"retention.ms": "-1", "cleanup.policy": "compact"}
    for lag, level in (
        ({"max.compaction.lag.ms": "86400000"}, Level.OK),
        ({}, Level.WARN),
        ({"max.compaction.lag.ms": str(2**63 - 1)}, Level.WARN),
    ):
        assert retention_finding({NAMES.published: compacted | lag}, NAMES).level is level


def test_notes_that_are_not_complete_are_told_with_the_command() -> None:
    assert notes_finding("t", complete=True).level is Level.OK
    found = notes_finding("t", complete=False)
    assert found.level is Level.WARN
    assert "python -m app events note" in str(found.mend)
