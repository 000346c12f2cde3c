"""The options that the generators share."""

import argparse
from datetime import UTC, datetime

from load.generate.world import World, month_after, month_start


def positive(text: str) -> int:
    """An integer above zero, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected a number above 0")
    return value


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("expected a number from 0 to 1")
    return value


def month(text: str) -> datetime:
    """The start of a month spelled 2025-01, in UTC, for argparse."""
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError("expected a month such as 2025-01") from None


def add_world(parser: argparse.ArgumentParser, *, users: int) -> None:
    """Add what makes a world: the same values give the same world."""
    parser.add_argument("--users", type=positive, default=users, help="users (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other references (default 1)")
    parser.add_argument("--months", type=positive, default=12, help="months of data (default 12)")
    parser.add_argument(
        "--until", type=month, help="the last month with data, such as 2025-01 (default: the last whole one)"
    )


def world(args: argparse.Namespace) -> World:
    """Make the world of these options."""
    # Not the running month: a date in the future would win over what is told today.
    until = month_after(args.until) if args.until else month_start(datetime.now(UTC))
    return World(seed=args.seed, users=args.users, months=args.months, until=until)
