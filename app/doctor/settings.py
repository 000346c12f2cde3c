"""Settings that a worker starts with and that somebody will be sorry for; and this host."""

import importlib.util
import os
import shutil
import tempfile
from typing import Final

from app.config.processes import processes_of
from app.config.settings import Role, Settings
from app.core.check_results import Finding, Level, failed, judged
from app.core.errors import FatalError
from app.doctor.transport import leaves_this_machine

_MIN_KEY_BYTES: Final = 16
_MIN_FREE: Final = 0.05


def settings_findings(settings: Settings) -> list[Finding]:
    """Of the settings alone; asks nobody."""
    key = settings.erasure_key.get_secret_value()
    weak = key == "development" or len(key.encode()) < _MIN_KEY_BYTES
    slowest_s = settings.window_linger_s + settings.flush_timeout_s
    found = [
        judged(
            "settings.erasure_key",
            well=not weak,
            what="is the default" if key == "development" else "is short" if weak else "is set",
            mend="set PROFILE_ERASURE_KEY to 32 random characters (`openssl rand -hex 16`) before the first erasure, "
            "and keep it: hashes in the ledger can be guessed under a weak one",
            # On one machine alone it is a trial; beyond it, somebody's erasures hang on it.
            level=Level.FAIL if leaves_this_machine(settings) else Level.WARN,
        ),
        judged(
            "settings.progress_timeout",
            well=settings.progress_timeout_s > slowest_s,
            what=f"{settings.progress_timeout_s:g} s, and a window may take {slowest_s:g} s",
            mend="raise PROFILE_PROGRESS_TIMEOUT_S above PROFILE_WINDOW_LINGER_S + PROFILE_FLUSH_TIMEOUT_S, or /readyz "
            "turns red while all is well",
            level=Level.WARN,
        ),
        judged(
            "settings.hooks",
            well=not settings.hooks,
            what="fault hooks are on" if settings.hooks else "no fault hooks",
            mend="unset PROFILE_HOOKS: it is for tests and may end the process",
        ),
    ]
    found.append(_processes(settings))
    if Role.CDC in settings.roles:
        found.append(
            judged(
                "settings.connect_credentials",
                well=settings.connect_credentials != "dsn",
                what=settings.connect_credentials,
                mend="give Connect a config provider and set PROFILE_CONNECT_CREDENTIALS (docs/operations.md, Roles of "
                "the database): whoever reaches Connect's REST reads Debezium's password",
                level=Level.WARN,
            )
        )
    if settings.otel_endpoint is not None:
        missing = _missing_of_otel()
        found.append(
            judged(
                "settings.otel",
                well=not missing,
                what=f"{missing} is not installed"
                if missing
                else f"traces go to {_shown(settings.otel_endpoint)}",
                mend="the worker will refuse to start: install the extra `otel`, or unset PROFILE_OTEL_ENDPOINT",
            )
        )
    if Role.WEB in settings.roles:
        found.append(
            judged(
                "settings.replicas",
                well=bool(settings.postgres_replica_dsns),
                what=f"{len(settings.postgres_replica_dsns)} replicas",
                mend="set PROFILE_POSTGRES_REPLICA_DSNS: without them no read survives the primary",
                level=Level.WARN,
            )
        )
    return [*found, *_host()]


def _processes(settings: Settings) -> Finding:
    name, mend = "settings.processes", "see PROFILE_PROCESSES in docs/operations.md, Processes of a worker"
    try:
        processes = processes_of(settings)
    except FatalError as error:
        return failed(name, error, mend=mend)
    cores = os.cpu_count() or 1
    several = any(process.among > 1 for process in processes)
    return judged(
        name,
        well=not several or len(processes) <= cores,
        what=f"{', '.join(process.name for process in processes) or 'one'}, on {cores} cores",
        mend="start no more processes than cores: each takes memory, and they take the cores from one another",
        level=Level.WARN,
    )


def _missing_of_otel() -> str | None:
    """The first package that tracing needs and that is not here; as app.observability.tracing imports them."""
    for name in ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:  # a parent of it is missing
            found = None
        if found is None:
            return name
    return None


def _shown(endpoint: str) -> str:
    """Without a user and password."""
    return endpoint.rpartition("@")[2]


def _host() -> list[Finding]:
    place = tempfile.gettempdir()
    disk = shutil.disk_usage(place)
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    return [
        judged(
            "host.disk",
            well=disk.free / disk.total >= _MIN_FREE,
            what=f"{disk.free / 2**30:.1f} GiB free on the file system of {place}",
            mend="free some: PostgreSQL and Kafka stop on a full disk, where they share it",
            level=Level.WARN,
        ),
        judged(
            "host.load",
            well=load <= 4 * cores,
            what=f"load {load:.1f} on {cores} cores",
            mend="find out what else runs (`top`), or move workers to another host",
            level=Level.WARN,
        ),
    ]
