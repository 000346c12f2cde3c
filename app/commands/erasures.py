"""`python -m app erasures export|import`: carries the ledger of erasures across a restore.

A restored database lacks the erasures since its backup, so a replay of the topics would bring those people back.
"""

import argparse
import asyncio
import logging
import logging.config
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.commands.command_stores import open_stores
from app.commands.common import account
from app.config.settings import Settings
from app.core.dates import parse, to_text
from app.core.erasure import LedgerEntry, Taken
from app.core.errors import InvalidError
from app.core.log_events import LogEvent
from app.erasure.ledger_file import end_of, entries_of, line_of
from app.observability import logs

if TYPE_CHECKING:
    from app.ports.erasure import Deletions

audit = logging.getLogger("audit")

_EXPORT: Final = """\
Writes the ledger to stdout as JSON Lines: keyed hashes, dates and counts, nothing of whom they are about. Run it often,
and keep the lines apart from the database: what is erased after the last export is not in them.
"""
_IMPORT: Final = """\
Run it on a restored database before any worker starts. Notes the erasures that its ledger lacks, or has with an older
date, and erases everybody whom they are about, but for who was made after the erasure: the exit code is 1 then, and
nothing more is done to them. It may be repeated. Each entry that was new is a line of the logger audit, on stderr.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `erasures` and its actions; each sets `run`."""
    parser = commands.add_parser("erasures", help="the ledger of erasures, for a restore")
    actions = parser.add_subparsers(required=True, metavar="action")

    export = actions.add_parser("export", help="write the ledger to stdout", description=_EXPORT)
    export.add_argument("--since", metavar="TIME", type=_time, help="erasures not before (RFC 3339)")
    export.set_defaults(run=lambda args: asyncio.run(_export(args.since)))

    take = actions.add_parser("import", help="note and repeat what a restore forgot", description=_IMPORT)
    take.add_argument("file", help="lines of `export`; - is stdin")
    take.add_argument(
        "--partial", action="store_true", help="lines without an end: of receipts, or the audit log"
    )
    take.add_argument(
        "--made-since",
        metavar="TIME",
        type=_time,
        help="erase as well whoever was made since then, that is, what a replay brought back before this import; "
        "who was told anew since then is erased with them, and comes back by another replay",
    )
    take.set_defaults(run=_run_import)


def _time(text: str) -> datetime:
    try:
        return parse(text, field=repr(text))
    except InvalidError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def _export(since: datetime | None) -> int:
    count = 0
    async with open_stores(Settings()) as stores:
        async for entry in stores.erasure_transfer.entries(since=since):
            print(line_of(entry))
            count += 1
    print(end_of(count), flush=True)
    print(f"{count} erasures written.", file=sys.stderr)
    return 0


def _run_import(args: argparse.Namespace) -> int:
    # All of it is read before anything is changed.
    if args.file == "-":
        entries = list(entries_of(sys.stdin, whole=not args.partial))
    else:
        with Path(args.file).open(encoding="utf-8", errors="replace") as lines:
            entries = list(entries_of(lines, whole=not args.partial))
    return asyncio.run(_import(entries, args.made_since))


async def _import(entries: list[LedgerEntry], made_since: datetime | None) -> int:
    logging.config.dictConfig(logs.config(Settings().log_format))
    outcomes: Counter[str] = Counter()
    async with open_stores(Settings()) as stores:
        async for batch in stores.erasure_transfer.take(entries, made_since=made_since):
            for taken in batch:
                outcomes[taken.outcome] += 1
                _tell(taken)
        left = await _delete_hidden(stores.deletions)
        behind = stores.invalidations.behind
    told = ", ".join(f"{outcomes[each]} {each}" for each in ("noted", "erased", "kept"))
    print(f"{len(entries)} erasures read; of those that the ledger lacked: {told}.", file=sys.stderr)
    if left:
        print(
            f"Of {left} entities, which are hidden, rows are left: the replication slot keeps half of the WAL that it "
            "may keep. Workers delete them when the connector has caught up.",
            file=sys.stderr,
        )
    if behind:
        print(
            "Redis did not take all invalidations: when it is back, `python -m app audit --repair`, or drop its keys "
            "(docs/operations.md, A stale cache).",
            file=sys.stderr,
        )
    if outcomes["kept"]:
        print(
            f"{outcomes['kept']} were kept, since they were made after their erasure: told anew, or brought back by a "
            "replay before this import. If it was a replay, repeat with --made-since and the time of the restore.",
            file=sys.stderr,
        )
    return 1 if outcomes["kept"] else 0


async def _delete_hidden(deletions: "Deletions") -> int:
    """Delete what hidden entities left, as far as the replication slot has room; how many entities are left."""
    while (state := await deletions.under_way()).deletions:
        if not await deletions.piece(paced=False):
            if not state.slot_has_room:
                break
            await asyncio.sleep(deletions.pause_s)  # a worker has its turn
    return state.deletions


def _tell(taken: Taken) -> None:
    # Of whom it is says the ledger id alone, to whoever has the key and the reference.
    extra = {
        **LogEvent.ERASURE_IMPORTED.extra,
        "ledger_id": taken.ledger_id,
        "erased_at": to_text(taken.erased_at),
        "outcome": taken.outcome,
        "properties": taken.properties,
        "relationships": taken.edges,
        "temporal_points": taken.points,
        "deleting": taken.deleting,
        "user": account(),
    }
    audit.info("erasure imported: ledger id %s, %s", taken.ledger_id, taken.outcome, extra=extra)
