"""`python -m app connector …`: the Debezium connector that captures changes, and its replication slot.

Results are lines on stdout; what is wrong is one line on stderr, and the exit code is 1 then.
"""

import argparse
import asyncio
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Final

from app.commands.command_stores import open_stores
from app.config.settings import Settings
from app.core.clock import SystemClock
from app.core.dates import parse, to_text
from app.core.errors import FatalError, InvalidError
from cdc.connector.client import ConnectClient, NoConnectorError
from cdc.connector.config import config_of
from cdc.connector.report import ConnectorReport, look

if TYPE_CHECKING:
    from storage.stores import Stores

_DESCRIPTION: Final = """\
The connector is made from the settings: PROFILE_POSTGRES_DSN (PROFILE_CONNECT_POSTGRES_DSN where Connect reaches the
primary by another name), PROFILE_CONNECT_URL, PROFILE_CONNECTOR_NAME, PROFILE_CDC_SLOT, PROFILE_TOPIC_PREFIX.
"""
_RECOVER: Final = """\
The way back after the slot was lost or dropped. Let workers with the role cdc run. It stops the connector, waits until
all that it had brought is published, makes a new slot, empties the caches, compares the database with the published
events, and publishes the difference: what is there and was written since the last known position, or was never
published, as …_created with all that it holds; what is gone, as …_deleted; who was erased, as erased, without the name;
all of them with a header recovered. Then the connector goes on from the new slot. It reads the notes of what was
published, the domain events that are kept and all tables, and keeps a few hundred bytes in memory for each thing that
consumers know. It may be repeated after any failure.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `connector` and its actions; each sets `run`."""
    parser = commands.add_parser("connector", help="change data capture", description=_DESCRIPTION)
    actions = parser.add_subparsers(required=True, metavar="action")

    apply = actions.add_parser("apply", help="create it, or bring it to the settings; return when it runs")
    apply.set_defaults(run=lambda args: asyncio.run(_apply()))
    status = actions.add_parser(
        "status", help="tell its state, its lag and the slot; exit code 1 when something is wrong"
    )
    status.set_defaults(run=lambda args: asyncio.run(_status()))
    pause = actions.add_parser("pause", help="stop publishing; the slot goes on keeping WAL")
    pause.set_defaults(run=lambda args: asyncio.run(_pause()))
    resume = actions.add_parser("resume", help="go on after pause")
    resume.set_defaults(run=lambda args: asyncio.run(_resume()))
    restart = actions.add_parser("restart", help="start failed tasks again")
    restart.add_argument("--all", action="store_true", help="also what runs")
    restart.set_defaults(run=lambda args: asyncio.run(_restart(everything=args.all)))
    delete = actions.add_parser("delete", help="remove it; its slot stays, and keeps WAL, unless told")
    delete.add_argument(
        "--drop-slot", action="store_true", help="and its slot: changes are missed from now on"
    )
    delete.set_defaults(run=lambda args: asyncio.run(_delete(drop_slot=args.drop_slot)))
    recover = actions.add_parser(
        "recover",
        help="after the loss of the slot: make a new one and publish what was missed",
        description=_RECOVER,
    )
    how = recover.add_mutually_exclusive_group()
    how.add_argument(
        "--since", metavar="TIME", type=_time, help="tell again what was written since (RFC 3339)"
    )
    how.add_argument("--everything", action="store_true", help="tell all rows again")
    recover.set_defaults(run=lambda args: asyncio.run(_recover(args.since, everything=args.everything)))


def _time(text: str) -> datetime:
    try:
        return parse(text, field=repr(text))
    except InvalidError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _client(settings: Settings) -> ConnectClient:
    return ConnectClient(settings.connect_url, ca_file=settings.connect_ca_file)


async def _look(settings: Settings) -> ConnectorReport:
    async with open_stores(settings) as stores:
        return await look(
            name=settings.connector_name,
            slot_name=settings.cdc_slot,
            slots=stores.slots,
            connect=_client(settings),
            clock=SystemClock(),
        )


async def _apply() -> int:
    settings = Settings()
    name = settings.connector_name
    _refuse_gap(await _look(settings))
    try:
        await _client(settings).register(name, config_of(settings))
    except FatalError:
        _refuse_gap(await _look(settings))
        raise
    print(f"The connector {name} runs.")
    return 0


def _refuse_gap(report: ConnectorReport) -> None:
    if report.missing_changes and report.slot_fault is not None:
        raise FatalError(report.slot_fault)


async def _status() -> int:
    settings = Settings()
    report = await _look(settings)
    for line in _lines(report):
        print(line)
    faults = [report.slot_fault, report.connector_fault(max_lag_s=settings.cdc_max_lag_s)]
    told = [fault for fault in faults if fault is not None]
    for fault in told:
        print(f"error: {fault}", file=sys.stderr)
    return 1 if told else 0


def _lines(report: ConnectorReport) -> list[str]:
    state, slot = report.connector, report.slot
    lines = [f"connector  {report.name}  {'missing' if state is None else state.state}"]
    lines += [
        f"task {task.number}     {task.state}{f'  {task.cause}' if task.cause else ''}"
        for task in (state.tasks if state is not None else ())
    ]
    if report.lag_s is not None and report.published_at is not None:
        lines.append(f"published  up to {to_text(report.published_at)}, {report.lag_s:.1f} s ago")
    if report.position is not None:
        position, commit = report.position, report.position.commit_lsn
        lines.append(
            f"position   lsn_commit {'none' if commit is None else _lsn(commit)}, lsn {_lsn(position.lsn)}"
        )
    if slot is None:
        return [*lines, f"slot       {report.slot_name}  missing"]
    lines.append(
        f"slot       {report.slot_name}  {slot.wal_status}, {'active' if slot.active else 'not in use'}"
    )
    if slot.confirmed is not None:
        lines.append(f"confirmed  {_lsn(slot.confirmed)}")
    lines.append(f"behind     {slot.lag_bytes:,} bytes of WAL")
    if slot.retained_bytes is not None:
        safe = "no limit" if slot.safe_bytes is None else f"{slot.safe_bytes:,} more until the slot is lost"
        lines.append(f"keeps      {slot.retained_bytes:,} bytes of WAL; {safe}")
    return lines


def _lsn(position: int) -> str:
    """As PostgreSQL spells it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


async def _pause() -> int:
    settings = Settings()
    await _client(settings).pause(settings.connector_name)
    print(f"The connector {settings.connector_name} is paused; its slot goes on keeping WAL.")
    return 0


async def _resume() -> int:
    settings = Settings()
    _refuse_gap(await _look(settings))
    client = _client(settings)
    await client.resume(settings.connector_name)
    await client.wait_running(settings.connector_name)
    print(f"The connector {settings.connector_name} runs.")
    return 0


async def _restart(*, everything: bool) -> int:
    settings = Settings()
    report = await _look(settings)
    if report.connector is None:
        raise NoConnectorError(settings.connector_name)
    _refuse_gap(report)
    if not everything and not report.connector.failed:
        print(f"Nothing of the connector {settings.connector_name} has failed.")
        return 0
    client = _client(settings)
    await client.restart(settings.connector_name, only_failed=not everything)
    await client.wait_running(settings.connector_name)
    print(f"The connector {settings.connector_name} runs.")
    return 0


async def _delete(*, drop_slot: bool) -> int:
    settings = Settings()
    removed = await _client(settings).delete(settings.connector_name)
    print(f"The connector {settings.connector_name} {'is removed' if removed else 'was not there'}.")
    if not drop_slot:
        return 0
    async with open_stores(settings) as stores:
        dropped = await _drop(stores, settings.cdc_slot)
    print(f"The slot {settings.cdc_slot} {'is dropped' if dropped else 'was not there'}.")
    return 0


async def _drop(stores: "Stores", slot: str) -> bool:
    # The session of a connector that was removed ends a moment later.
    for _ in range(50):
        state = await stores.slots.state(slot)
        if state is None or not state.active:
            break
        await asyncio.sleep(0.2)
    return await stores.slots.drop(slot)


async def _recover(since: datetime | None, *, everything: bool) -> int:
    from cdc.events.publisher import KafkaEventSink  # noqa: PLC0415 - see above
    from cdc.recovery.recovery import Recovery  # noqa: PLC0415 - only this command needs the parts of cdc

    settings = Settings()
    async with open_stores(settings) as stores:
        events = KafkaEventSink(settings.kafka, settings.topics.domain_events, settings.topics.published)
        try:
            recovery = Recovery(
                settings=settings,
                connect=_client(settings),
                slots=stores.slots,
                snapshots=stores.snapshots,
                erasures=stores.erasures,
                notes=stores.published_notes,
                drop_caches=stores.invalidator.drop_all,
                events=events,
            )
            published = await recovery.run(since=since, everything=everything)
        finally:
            await events.close()
    for kind, count in sorted(published.items()):
        print(f"{kind}\t{count}")
    print(
        f"{published.total()} events published; the connector {settings.connector_name} runs.",
        file=sys.stderr,
    )
    return 0
