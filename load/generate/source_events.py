"""`source-events`: raw events of five systems for Flink, from real purchases or from invented ones.

`cdnow` and `cdnow-master` are the purchases of the CDNOW files; what the files do not have is invented for
their customers and marked as generated. Every topic is sent in the order of time, except that 1 % of the
payments come 2 to 190 days late; 1 % of all events come twice, with the same id; a few can't be read.
The ids of events are always the same: sending again changes nothing.
"""

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import chain
from typing import Final, NamedTuple

from app.config.settings import Settings
from load.generate import cdnow, customers, generated, people, source_payloads
from load.generate.options import add_world, world
from load.generate.purchases import Purchase
from load.generate.sending import Message, send

LATE_SHARE: Final = 0.01
TWICE_SHARE: Final = 0.01
_LATE_DAYS: Final = (2, 190)
_CHUNK_USERS: Final = 25_000  # bounds memory: about 10 kB a user


class Events(NamedTuple):
    """The messages of one chunk of users, in the order of sending, for each source topic."""

    payments: list[Message]
    accounts: list[Message]
    crm: list[Message]
    cdp: list[Message]
    metrics: list[Message]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--data", choices=("cdnow", "cdnow-master", "generated"), default="cdnow", help="default %(default)s"
    )
    add_world(parser, users=1_000)
    parser.epilog = "--users, --months and --until are for --data generated."


def run(args: argparse.Namespace) -> int:
    """Send and print the count of each topic."""
    settings = Settings()
    sent = asyncio.run(_send(settings, args))
    for topic, count in sent.items():
        print(f"{count:,} messages sent to {topic}")
    return 0


async def _send(settings: Settings, args: argparse.Namespace) -> Counter[str]:
    sent: Counter[str] = Counter()
    first = 0
    for chunk in chunks(args):
        events, number = build(chunk, origin=args.data, seed=args.seed, first=first)
        first += number
        for topic, messages in zip(settings.topics.sources, events, strict=True):
            sent[topic] += await send(settings.kafka, topic, messages, total=len(messages))
    return sent


def chunks(args: argparse.Namespace) -> Iterator[list[Purchase]]:
    """The purchases that these options stand for, in lists of whole customers."""
    if args.data != "generated":
        yield cdnow.purchases(args.data)
        return
    data = world(args)
    since = next(data.periods())[0]
    for start in range(0, args.users, _CHUNK_USERS):
        users = range(start, min(start + _CHUNK_USERS, args.users))
        yield list(generated.purchases(users, seed=args.seed, since=since, until=data.until))


def build(purchases: list[Purchase], *, origin: str, seed: int, first: int = 0) -> tuple[Events, int]:
    """The events of these purchases and of their customers; returns the number of customers too."""
    who = customers.of_purchases(
        purchases, origin="generated" if origin == "generated" else "cdnow", seed=seed, first=first
    )
    firms = customers.organisations(who, seed=seed)
    rng = people.stream(seed, "order", first)
    accounts = chain(map(source_payloads.organisation, firms), map(source_payloads.account, who))
    sources: list[tuple[str, Iterable[Message], float]] = [
        ("payments", map(source_payloads.payment, purchases), LATE_SHARE),
        ("accounts", accounts, 0.0),
        ("crm", chain.from_iterable(map(source_payloads.crm, who)), 0.0),
        ("cdp", map(source_payloads.cdp, who), 0.0),
        ("metrics", chain.from_iterable(map(source_payloads.metrics, who)), 0.0),
    ]
    start = min(purchase.occurred_at for purchase in purchases)
    lists = [
        in_order_of_sending(
            chain(messages, source_payloads.malformed(name, start)), rng, late_share=late_share
        )
        for name, messages, late_share in sources
    ]
    return Events(*lists), len(who)


def in_order_of_sending(
    messages: Iterable[Message],
    rng: random.Random,
    *,
    late_share: float = LATE_SHARE,
    twice_share: float = TWICE_SHARE,
) -> list[Message]:
    """By time, but that share late by 2 to 190 days, and that share a second time up to 30 days later."""
    day_ms = timedelta(days=1) // timedelta(milliseconds=1)
    everything = list(messages)
    order = [message.timestamp_ms for message in everything]
    for index in rng.sample(range(len(everything)), k=round(len(everything) * late_share)):
        order[index] += rng.randrange(_LATE_DAYS[0] * day_ms, _LATE_DAYS[1] * day_ms)
    for index in rng.sample(range(len(everything)), k=round(len(everything) * twice_share)):
        everything.append(everything[index])
        order.append(order[index] + rng.randrange(30 * day_ms))
    return [everything[index] for index in sorted(range(len(everything)), key=order.__getitem__)]
