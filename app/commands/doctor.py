"""`python -m app doctor`: checks every setting and dependency, and tells how to mend what is wrong.

A line for each check, `ok|warn|fail  name  what`, and below it the way out; exit code 1 where one fails. It changes
nothing. Names of checks are stable.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import orjson

from app.config.settings import Settings
from app.core.check_results import Finding, Level, failed, lines_of
from app.core.clock import SystemClock
from app.core.errors import ProfileError
from app.doctor import kafka
from app.doctor.access import access_findings
from app.doctor.settings import settings_findings
from app.doctor.transport import transport_findings
from cdc.connector.client import ConnectClient
from cdc.connector.config import PUBLICATION
from cdc.connector.report import look

if TYPE_CHECKING:
    import argparse

_LIMIT_S: Final = 30.0


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor`."""
    parser = commands.add_parser("doctor", help="check settings and dependencies, and tell how to mend them")
    parser.add_argument("--json", action="store_true", help="a JSON array instead of lines")
    parser.set_defaults(run=lambda args: asyncio.run(_run(as_json=args.json)))


async def _run(*, as_json: bool) -> int:
    findings = await examine(Settings())
    if as_json:
        print(orjson.dumps([asdict(finding) for finding in findings], option=orjson.OPT_INDENT_2).decode())
    else:
        for line in lines_of(findings):
            print(line)
    return 1 if any(finding.level is Level.FAIL for finding in findings) else 0


async def examine(settings: Settings) -> list[Finding]:
    """All checks, side by side. Raises nothing that a server does."""
    from storage.doctor import postgres, redis  # noqa: PLC0415 - only this command needs it

    groups = {
        "postgres": postgres.postgres_findings(settings, PUBLICATION),
        "redis": redis.redis_findings(settings),
        "kafka": kafka.kafka_findings(settings),
        "cdc": _connector(settings),
        "cdc.notes": _notes(settings),
        "access": _access(settings),
    }
    found = await asyncio.gather(*(_bounded(name, group) for name, group in groups.items()))
    return [
        *settings_findings(settings),
        *transport_findings(settings),
        *(finding for group in found for finding in group),
    ]


async def _bounded(name: str, group: Awaitable[Sequence[Finding]]) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await group
    except TimeoutError:
        return [failed(name, f"no answer within {_LIMIT_S:g} s", mend="see what hangs")]


async def _access(settings: Settings) -> list[Finding]:
    from storage.doctor.postgres import api_keys  # noqa: PLC0415 - see above

    try:
        keys = await api_keys(settings)
    except ProfileError:
        keys = None  # why, the checks of PostgreSQL tell
    return await access_findings(settings, keys)


async def _notes(settings: Settings) -> list[Finding]:
    from storage.doctor.postgres import notes_complete  # noqa: PLC0415 - see above

    try:
        complete = await notes_complete(settings)
    except ProfileError:
        return []  # why, the checks of PostgreSQL tell
    return [kafka.notes_finding(settings.topics.published, complete=complete)]


async def _connector(settings: Settings) -> list[Finding]:
    from storage.doctor.postgres import slots_of  # noqa: PLC0415 - see above

    slots, pool = await slots_of(settings)
    try:
        report = await look(
            name=settings.connector_name,
            slot_name=settings.cdc_slot,
            slots=slots,
            connect=ConnectClient(settings.connect_url, timeout_s=5.0, ca_file=settings.connect_ca_file),
            clock=SystemClock(),
        )
    except ProfileError as error:
        return [
            failed(
                "cdc",
                error,
                mend="start Kafka Connect and the primary, or mend PROFILE_CONNECT_URL and PROFILE_POSTGRES_DSN",
            )
        ]
    finally:
        pool.terminate()
    return kafka.connector_findings(report, max_lag_s=settings.cdc_max_lag_s)
