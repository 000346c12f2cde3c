"""`python -m app audit`: whether the cache says what the primary says.

Stale entries are lines on stdout, the summary is on stderr. No value is printed.
"""

import argparse
import asyncio
import sys

from app.commands.command_stores import open_stores
from app.config.settings import Settings
from app.core.audit import GRACE_S, AuditReport, line_of

_DESCRIPTION = """\
Compares cached fragments and look-ups, chosen by chance, with the primary. An entry is stale when it differs and is
still there after the grace. The exit code is 0 when nothing is stale, 1 when something is or was before its repair.
Run it with the workers' settings: PROFILE_GRAPH_NODE_BUDGET bounds the edges of a fragment.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `audit`; it sets `run`."""
    parser = commands.add_parser(
        "audit", help="compare what is cached with the primary", description=_DESCRIPTION
    )
    parser.add_argument("--sample", metavar="N", type=_count, default=1_000, help="entries (1000)")
    parser.add_argument("--grace", metavar="S", type=_seconds, default=GRACE_S, help="seconds (%(default)g)")
    parser.add_argument("--repair", action="store_true", help="drop what is stale from all caches")
    parser.set_defaults(run=_run)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of entries")
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 3_600:  # noqa: PLR2004 - an hour; refuses nan
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds up to 3600")
    return found


def _run(args: argparse.Namespace) -> int:
    report = asyncio.run(_audit(sample=args.sample, grace_s=args.grace, repair=args.repair))
    for mismatch in report.mismatches:
        print(line_of(mismatch))
    print(_summary(report), file=sys.stderr)
    return 1 if report.mismatches else 0


async def _audit(*, sample: int, grace_s: float, repair: bool) -> AuditReport:
    async with open_stores(Settings()) as stores:
        return await stores.auditor.audit(sample=sample, grace_s=grace_s, repair=repair)


def _summary(report: AuditReport) -> str:
    total = sum(report.checked.values())
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(report.checked.items()))
    told = f"{total} entries compared{f' ({kinds})' if kinds else ''}, {len(report.mismatches)} stale"
    return f"{told}, all of them dropped." if report.repaired else f"{told}."
