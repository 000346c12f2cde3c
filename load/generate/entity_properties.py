"""`entity-properties`: properties, some of them told twice, the newer statement first."""

import argparse
import asyncio

from app.config.settings import Settings
from load.generate import messages
from load.generate.options import add_world, share, world
from load.generate.sending import send


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_world(parser, users=10_000)
    parser.add_argument(
        "--conflict-rate", type=share, default=0.1, help="share of fields told twice (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Send and print the count."""
    settings, data = Settings(), world(args)
    topic = settings.topics.entity_properties
    fields = messages.count_properties(data.nodes())
    source = messages.entity_properties(data, conflict_rate=args.conflict_rate)
    total = round(fields * (1 + args.conflict_rate))
    sent = asyncio.run(send(settings.kafka, topic, source, total=total))
    print(f"{fields:,} fields, {sent - fields:,} of them told a second time with an older date")
    print(f"{sent:,} messages sent to {topic}")
    return 0
