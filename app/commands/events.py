"""`python -m app events note|export`: what recoveries and new consumers need beside the domain events.

Results are lines on stdout; what is wrong is one line on stderr, and the exit code is 1 then.
"""

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from app.commands.command_stores import open_stores
from app.config.settings import Settings

if TYPE_CHECKING:
    import argparse


_NOTE: Final = """\
For an installation whose events are older than its notes (`doctor`: cdc.notes), once every worker with the role cdc
runs this version. It reads all domain events, all of which must still be there, and writes a note of each thing that
consumers know: names and no values. Workers may go on meanwhile. From then on the events may end
(PROFILE_DOMAIN_EVENT_RETENTION_DAYS). It may be repeated at any time, and writes what is missing.
"""
_EXPORT: Final = """\
For a consumer that begins: everything that is there, as JSON Lines. The first line names the topic and, of each
partition, the offset from which to read on: {"topic", "offsets", "at"}. Each other line is an event, …_created, with
all that the thing holds now: {"key", "headers", "value"}. The last line is {"events": n}; without it the export is not
whole. It is one snapshot of the primary, read by cursors.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `events` and its actions; each sets `run`."""
    parser = commands.add_parser(
        "events", help="domain events: notes for recoveries, an export for consumers"
    )
    actions = parser.add_subparsers(required=True, metavar="action")
    note = actions.add_parser("note", help="note what consumers know by the events", description=_NOTE)
    note.set_defaults(run=lambda args: asyncio.run(_note()))
    export = actions.add_parser(
        "export", help="write all that is there to stdout, as events", description=_EXPORT
    )
    export.set_defaults(run=lambda args: asyncio.run(_export()))


async def _note() -> int:
    from cdc.events.publisher import KafkaEventSink  # noqa: PLC0415 - only this command needs the parts of cdc
    from cdc.recovery.note_taking import NoteTaking  # noqa: PLC0415 - see above

    settings = Settings()
    async with open_stores(settings) as stores:
        events = KafkaEventSink(settings.kafka, settings.topics.domain_events, settings.topics.published)
        try:
            taking = NoteTaking(
                settings=settings,
                snapshots=stores.snapshots,
                register=stores.published_notes,
                erasures=stores.erasures,
                fence=stores.publish_fence,
                events=events,
            )
            written = await taking.run()
        finally:
            await events.close()
    print(f"{written} notes written; {settings.topics.published} holds all that consumers know.")
    return 0


async def _export() -> int:
    from cdc.recovery.export import lines_of  # noqa: PLC0415 - see above

    settings = Settings()
    async with open_stores(settings) as stores:
        async for line in lines_of(settings, stores.snapshots, stores.erasures):
            sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
    return 0
