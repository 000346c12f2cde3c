"""CPU seconds of each process on the way from a commit to its domain event, where it runs on this machine."""

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from app.config.settings import Settings
from load.measure import cpu

Stages = Mapping[str, float]


class StageCpu:
    """The processes, found once by the ports that they listen on; one that is not seen from here is left out.

    `commits` is the session that writes, `decoding` what reads the WAL for the connector, `replicas` the standbys with
    what sends to them, `bench` this process, which reads the events.
    """

    def __init__(self, settings: Settings, workers: Sequence[int], sessions: Mapping[str, int]) -> None:
        self._single: dict[str, Sequence[int]] = {"workers": workers, "bench": [os.getpid()]}
        for label, port in (
            ("connect", _port(settings.connect_url)),
            ("broker", _port(f"//{settings.kafka_brokers[0]}")),
        ):
            if (pid := cpu.listener(port)) is not None:
                self._single[label] = [pid]
        primary = cpu.listener(_port(settings.postgres_dsn.get_secret_value()))
        if primary is not None:
            self._single |= {label: [pid] for label, pid in sessions.items()}
        self._families = {} if primary is None else {"postgres": primary}
        for dsn in settings.postgres_replica_dsns:
            if (pid := cpu.listener(_port(dsn.get_secret_value()))) is not None:
                self._families[f"replica {pid}"] = pid

    def seconds(self) -> Stages:
        """Since each process began. Raises OSError where one has ended."""
        found = {label: sum(map(cpu.process_s, pids)) for label, pids in self._single.items()}
        families = {label: cpu.family_s(pid) for label, pid in self._families.items()}
        if "postgres" in families:
            sessions = sum(found.get(label, 0.0) for label in ("commits", "decoding"))
            found["other postgres"] = families.pop("postgres") - sessions
        return found | {"replicas": sum(families.values())}


async def sessions_of(settings: Settings, sql: Any) -> dict[str, int]:
    """The primary's processes that serve the benchmark's session and its connector's slot."""
    found = {"commits": await sql.fetchval("SELECT pg_backend_pid()")}
    decoding = await sql.fetchval(
        "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", settings.cdc_slot
    )
    return found if decoding is None else found | {"decoding": decoding}


def _port(url: str) -> int:
    return urlsplit(url).port or 5432
