"""`entities-edges`: entities with their relationships, as the normalised topic takes them."""

import argparse
import asyncio

from app.config.settings import Settings
from load.generate import messages
from load.generate.options import add_world, world
from load.generate.sending import send


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_world(parser, users=10_000)


def run(args: argparse.Namespace) -> int:
    """Send and print the count."""
    settings, data = Settings(), world(args)
    topic = settings.topics.entities_edges
    source = messages.entities_edges(data)
    sent = asyncio.run(send(settings.kafka, topic, source, total=data.count_nodes()))
    print(f"{sent:,} messages sent to {topic}")
    return 0
