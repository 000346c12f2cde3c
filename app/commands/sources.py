"""`python -m app sources …`: what would become of events, before anybody sends them; stored forms (`normal_forms`).

One line on stdout for each event, counts on stderr. Values are printed with --records alone: they may be
somebody's data.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from app.commands import normal_forms
from app.core.errors import ProfileError
from app.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.flink.reading import Event, Reading

_CHECK = """\
Reads a file with one event per line by the contract of its source (flink/contracts), as Flink does, without Kafka or
Flink. Each event is valid, a dead letter with its reason, or passes without some of its parts, each of which is a dead
letter of its own. The exit code is 1 if there is a dead letter.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sources` and its actions; each sets `run`."""
    parser = commands.add_parser("sources", help="events of source topics, by their contracts")
    actions = parser.add_subparsers(required=True, metavar="action")
    check = actions.add_parser(
        "check",
        help="what would become of a file of events",
        description=_CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("file", type=Path, help="one event per line; - for standard input")
    check.add_argument("--source", metavar="TOPIC", help="default: the name of the file without its ending")
    check.add_argument("--records", action="store_true", help="print the normalised records, too")
    check.set_defaults(run=_run_check)
    normal_forms.add_to(actions)


def _run_check(args: argparse.Namespace) -> int:
    from infra.errors import InfraError  # noqa: PLC0415 — only this command needs it
    from infra.flink.jobs import source_topics  # noqa: PLC0415
    from infra.flink.reading import read_events  # noqa: PLC0415
    from infra.settings import InfraSettings  # noqa: PLC0415

    source = args.source or args.file.stem
    if source not in source_topics():
        known = ", ".join(source_topics())
        raise ProfileError(f"{printable(source)} has no contract: name one with --source ({known}).")
    counts: Counter[str] = Counter()
    try:
        for number, reading in enumerate(read_events(InfraSettings(), _events(args.file, source)), 1):
            kind, text = _described(reading)
            counts[kind] += 1
            print(f"{number}\t{text}")
            for record in reading.records if args.records else ():
                print(f"\t{record.topic}\t{printable(record.key)}\t{printable(record.body)}")
    except InfraError as error:
        raise ProfileError(str(error)) from error
    print(
        ", ".join(f"{counts[kind]} {kind}" for kind in ("valid", "in part", "refused")) + ".", file=sys.stderr
    )
    return 1 if counts["in part"] or counts["refused"] else 0


def _events(path: Path, source: str) -> "Iterator[Event]":
    from infra.flink.reading import Event  # noqa: PLC0415 — only this command needs it

    now_ms = int(time.time() * 1000)
    with sys.stdin.buffer if str(path) == "-" else path.open("rb") as lines:
        for line in lines:
            if value := line.rstrip(b"\r\n"):
                yield Event(source=source, value=value, arrival_ms=now_ms)


def _described(reading: "Reading") -> tuple[str, str]:
    reasons = "; ".join(printable(fault.reason) for fault in reading.faults)
    if reading.id is None:
        return "refused", f"dead letter: {reasons}"
    count = len(reading.records)
    records = f"{count} record{'' if count == 1 else 's'}" if not reading.columns else "summed"
    return ("in part", f"{records}, without: {reasons}") if reasons else ("valid", records)
