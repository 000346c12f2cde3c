"""Checks of Kafka and of the connector for `python -m app doctor`."""

from collections.abc import Collection, Mapping
from typing import Any

from app.config.settings import Settings
from app.config.topic_ends import longest_ms
from app.config.topics import TopicNames, TopicSpec
from app.core.check_results import Finding, Level, failed, judged
from app.core.errors import ProfileError
from app.kafka import topic_configs
from app.kafka.client import (
    AIOKafkaAdminClient,
    KafkaError,
    client_options,
    unreachable,
)
from cdc.connector.report import ConnectorReport


async def kafka_findings(settings: Settings) -> list[Finding]:
    """The brokers, and each topic against app/config/topics.py. Raises nothing."""
    specs = settings.topic_specs
    try:
        admin = AIOKafkaAdminClient(**client_options(settings.kafka), request_timeout_ms=10_000)
    except ProfileError as error:
        return [failed("kafka", error, mend="mend the file, or the setting (PROFILE_KAFKA_…)")]
    try:
        await admin.start()
        brokers = len((await admin.describe_cluster())["brokers"])
        described = await admin.describe_topics([spec.name for spec in specs])
        there = {t["topic"]: t["partitions"] for t in described if t["error_code"] == 0}
        configs = await topic_configs.described(admin, list(there))
    except (KafkaError, OSError) as error:
        told = unreachable(settings.kafka_brokers, error)
        return [failed("kafka", told, mend="start the broker, or mend PROFILE_KAFKA_BROKERS")]
    finally:
        await admin.close()
    return [
        Finding(level=Level.OK, name="kafka", what=f"{brokers} brokers answer"),
        *(topic_finding(spec, there.get(spec.name), configs.get(spec.name, {})) for spec in specs),
        retention_finding(
            configs,
            settings.topics,
            ended=settings.topics.normalised if settings.normalised_retention_days else (),
        ),
    ]


def notes_finding(topic: str, *, complete: bool) -> Finding:
    """Whether domain events may end: recoveries then know by the notes what consumers know."""
    return judged(
        "cdc.notes",
        well=complete,
        what=f"{topic} holds all that consumers know"
        if complete
        else f"{topic} does not hold yet what older events told",
        mend="when all cdc workers run this version: `python -m app events note`, before domain events end "
        "(docs/operations.md, Topics that keep everything)",
        level=Level.WARN,
    )


def retention_finding(
    configs: Mapping[str, Mapping[str, str]], names: TopicNames, *, ended: Collection[str] = ()
) -> Finding:
    """Topics that keep what they were given, and with it the data of erased people, without end.

    `ended` are those that the service ends itself. The receipt of an erasure says the same of them.
    """
    endless = sorted(
        name
        for name, config in configs.items()
        if name not in ended
        and longest_ms(
            config,
            removed_by_key=names.removes_by_key(name),
            stamped_by_others=name in names.sources,
        )
        is None
    )
    return judged(
        "topics.retention",
        well=not endless,
        what=f"without end: {', '.join(endless)}" if endless else "every topic has an end",
        mend="what an erased person's records say stays in them: docs/operations.md, Topics that keep everything",
        level=Level.WARN,
    )


def _only_keeps_more(spec: TopicSpec, wrong: Mapping[str, str]) -> bool:
    """Whether the topic loses nothing that it should keep: it was made by a version before, without an end."""
    return (
        set(wrong) <= {"retention.ms", "cleanup.policy", "message.timestamp.type", "segment.ms"}
        and wrong.get("retention.ms", "-1") == "-1"
        and wrong.get("cleanup.policy", "compact") == "compact"
        # Kept by the producers' timestamps, what is stamped long ago would leave at once.
        and not ("message.timestamp.type" in wrong and "retention.ms" not in wrong and _ends(spec))
    )


def _ends(spec: TopicSpec) -> bool:
    return spec.config.get("retention.ms", "-1") != "-1"


def topic_finding(
    spec: TopicSpec, partitions: list[Mapping[str, Any]] | None, config: Mapping[str, str]
) -> Finding:
    """One topic against its spec; None: it is missing."""
    name = f"topic.{spec.name}"
    if partitions is None:
        return failed(name, "is missing", mend="`python -m app topics` creates it")
    wrong = {
        key: config.get(key, "unknown") for key, value in spec.config.items() if config.get(key) != value
    }
    leaderless = [p["partition"] for p in partitions if p["leader"] < 0]
    # Fewer partitions only bound the workers, and more are as good: keys keep their order while none is added.
    few = len(partitions) < spec.partitions
    if leaderless:
        return failed(
            name, f"partitions {leaderless} have no leader", mend="start the brokers that hold them"
        )
    if wrong:
        told = ", ".join(f"{key} is {value}" for key, value in wrong.items())
        to = ",".join(f"{key}=[{v}]" if "," in (v := spec.config[key]) else f"{key}={v}" for key in wrong)
        return judged(
            name,
            well=False,
            what=told,
            level=Level.WARN if _only_keeps_more(spec, wrong) else Level.FAIL,
            mend=f"kafka-configs.sh --alter --entity-type topics --entity-name {spec.name} --add-config {to}",
        )
    return judged(
        name,
        well=not few,
        what=f"{len(partitions)} partitions",
        mend=f"{spec.partitions} are set (PROFILE_TOPIC_PARTITIONS, PROFILE_SOURCE_TOPIC_PARTITIONS): set those to "
        "what is there, or see docs/operations.md, Scaling a role",
        level=Level.WARN,
    )


def connector_findings(report: ConnectorReport, *, max_lag_s: float) -> list[Finding]:
    """The connector and its slot; reads and ingestion go on without them, domain events do not."""
    found = []
    for name, fault, well in (
        ("cdc.slot", report.slot_fault, "is there" if report.slot else "is made with the connector"),
        ("cdc.connector", report.connector_fault(max_lag_s=max_lag_s), "runs"),
    ):
        found.append(
            judged(
                name,
                well=fault is None,
                what=fault or well,
                mend="`python -m app connector status` tells more (docs/operations.md, Loss of the slot)",
            )
        )
    return found
