"""Settings that a worker starts with and that somebody will be sorry for; and this host."""

import ipaddress
import os
import shutil
import tempfile
from typing import Final

from app.findings import Finding, Level, judged
from app.settings import Role, Settings

_MIN_KEY_BYTES: Final = 16
_MIN_FREE: Final = 0.05


def settings_findings(settings: Settings) -> list[Finding]:
    """Of the settings alone; asks nobody."""
    open_bind = not _is_loopback(settings.web_host)
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
            level=Level.FAIL if open_bind else Level.WARN,
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
    if Role.WEB in settings.roles:
        found.append(
            judged(
                "settings.web_host",
                well=not open_bind,
                what=f"listens on {settings.web_host}:{settings.web_port}",
                mend="set PROFILE_WEB_HOST=127.0.0.1, or let nobody but trusted services reach it"
                if settings.web_allow_non_loopback
                else "the worker will refuse to start: set PROFILE_WEB_HOST=127.0.0.1",
                level=Level.WARN if settings.web_allow_non_loopback else Level.FAIL,
            )
        )
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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
