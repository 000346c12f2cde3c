"""`python -m app expire-points`: delete points that are older than they are kept, without events."""

import argparse
import asyncio
from datetime import UTC, datetime

from app.commands.command_stores import open_stores
from app.config.settings import Settings
from app.core import dates
from app.core.errors import InvalidError


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `expire-points`; it sets `run`."""
    command = commands.add_parser(
        "expire-points",
        help="delete points that are older than they are kept, without events",
        description="Deletes points whose reference date is before a date. That gives no domain events, and from then "
        "on no change of a point that old gives one. May be interrupted and repeated, beside workers.",
    )
    command.add_argument(
        "--before",
        type=_date,
        help="an RFC 3339 date or time; without it, what answers leave out: PROFILE_TEMPORAL_RETENTION_MONTHS, of "
        "31 days, before today",
    )
    command.set_defaults(run=_run)


def _date(text: str) -> datetime:
    try:
        return dates.parse(text, field="--before")
    except InvalidError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _run(args: argparse.Namespace) -> int:
    settings = Settings()
    now = datetime.now(UTC)
    before: datetime | None = args.before or dates.kept_from(now, settings.temporal_retention_months)
    if before is None or before > now:
        print("Give --before, a date that is not in the future, or set PROFILE_TEMPORAL_RETENTION_MONTHS.")
        return 2
    print(f"{asyncio.run(_expire(settings, before))} points from before {dates.to_text(before)} deleted.")
    return 0


async def _expire(settings: Settings, before: datetime) -> int:
    async with open_stores(settings) as stores:
        return await stores.old_points.expire(before)
