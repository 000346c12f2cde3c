"""`python -m load demo`: bring everything up, send source events, check the sums, show an answer and an event.

Can be run again: what runs is left running, and events that were sent before change nothing.
"""

import argparse
import asyncio
import os
import subprocess
import sys
from pathlib import Path

from app.config.settings import Settings
from infra import compose
from infra.settings import InfraSettings
from load.demo import counts, show, verify
from load.demo.console import Console, DemoError
from load.demo.purchases import Purchases, expected_purchases
from load.demo.worker import DemoWorker
from load.own_key import use_own_key

RUN_DIR = Path(".run")
ARRIVAL_TIMEOUT_S = 240.0
STALL_S = 90.0
EVENT_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 90.0
STEPS = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The demo's options."""
    parser.add_argument("--stack", choices=("native", "compose"), default="native")
    parser.add_argument("--data", choices=("cdnow", "cdnow-master", "generated"), default="cdnow")
    parser.add_argument("--stop", action="store_true", help="stop the demo's worker and the stack")


def run(args: argparse.Namespace) -> int:
    """Returns 0 when every sum agreed. Raises DemoError with the reason."""
    return asyncio.run(_stop(args) if args.stop else _demo(args))


async def _stop(args: argparse.Namespace) -> int:
    if args.stack == "native":
        worker = DemoWorker(RUN_DIR, "")
        print("The worker has stopped." if await worker.stop() else "The worker did not run.")
    _call("infra", "down", "--stack", args.stack)
    return 0


async def _demo(args: argparse.Namespace) -> int:
    settings = Settings()
    base_url = f"http://127.0.0.1:{settings.web_port}"
    console = Console(STEPS)
    worker = DemoWorker(RUN_DIR, base_url)

    console.step(
        "Install and start PostgreSQL, Redis, Kafka, Debezium and Flink; create topics, schema and jobs"
    )
    _call("infra", "up", "--stack", args.stack)

    console.step("Start the worker: one command for the web, the agents and CDC")
    if args.stack == "compose":
        console.say("It is a container of the stack: `docker compose logs worker`")
        await worker.wait_ready()
        # Of the container's file, which nobody else reads.
        os.environ.setdefault("PROFILE_API_KEY", compose.worker_key(InfraSettings()))
    else:
        await worker.start(console)
        use_own_key()

    console.step(f"Send source events ({args.data}) to the five source topics")
    _call("load", "source-events", "--data", args.data)

    console.step("Wait until they came through Flink, the agents and PostgreSQL")
    purchases = expected_purchases(args.data)
    await _wait_for_arrival(console, settings, purchases)

    console.step("Read every user's months over HTTP and compare them with the file")
    found = await verify.monthly_sums(base_url, purchases.references)
    total = verify.compare(purchases.months, found)
    console.say(
        f"{len(found):,} user-months of {len(purchases.references):,} users agree: "
        f"{total.transaction_count:,} purchases, {total.quantity:,} items, "
        f"{total.amount_cents // 100:,}.{total.amount_cents % 100:02d} dollars,"
    )
    console.say("to the cent, late and doubled events included.")

    console.step("What came out")
    await _show(console, settings, base_url, purchases)
    _where_to_go_on(console, base_url)
    return 0


def _call(module: str, *arguments: str) -> None:
    # flush first: the child writes to the same terminal
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
    if done.returncode != 0:
        raise DemoError(f"`python -m {module} {' '.join(arguments)}` failed, see above.")


async def _wait_for_arrival(console: Console, settings: Settings, purchases: Purchases) -> None:
    """Poll the primary until all payments are in. Raises DemoError when nothing moves any more."""
    dsn = settings.postgres_dsn.get_secret_value()
    clock = asyncio.get_running_loop().time
    deadline = clock() + ARRIVAL_TIMEOUT_S
    seen, moved_at, told_at = -1, clock(), 0.0
    while True:
        rows = await counts.rows(dsn, known=purchases.references)
        now = clock()
        arrived = rows.payments == purchases.total.transaction_count
        if rows.payments != seen:
            seen, moved_at = rows.payments, now
        if arrived or now - told_at > 3:
            told_at = now
            console.say(
                f"{rows.payments:,} of {purchases.total.transaction_count:,} purchases; {rows.entities:,} entities, "
                f"{rows.edges:,} edges, {rows.temporal:,} temporal rows"
            )
        if arrived:
            break
        if now > deadline or now - moved_at > STALL_S:
            raise DemoError(
                f"Only {rows.payments:,} of {purchases.total.transaction_count:,} purchases arrived, "
                f"and nothing has moved for {now - moved_at:.0f} s. Look at {RUN_DIR / 'worker.log'}, "
                "`python -m infra logs flink` and `python -m app doctor`."
            )
        await asyncio.sleep(0.5)
    await _settle(console, settings)


async def _settle(console: Console, settings: Settings) -> None:
    """Wait until properties, edges and domain events have stopped coming too, so that what is shown is at rest."""
    topics = settings.topics
    names = (*topics.normalised, topics.cdc, topics.domain_events)
    deadline = asyncio.get_running_loop().time() + SETTLE_TIMEOUT_S
    before: dict[str, int] = {}
    while asyncio.get_running_loop().time() < deadline:
        sizes = await counts.topic_sizes(settings.kafka, names)
        if sizes == before:
            break
        before = sizes
        await asyncio.sleep(3)
    console.say(f"{before[topics.domain_events]:,} domain events")


async def _show(console: Console, settings: Settings, base_url: str, purchases: Purchases) -> None:
    reference = purchases.references[0]
    await show.graph_answer(console, base_url, reference)

    topics = settings.topics
    key = f"user:{reference}".encode()
    console.say("")
    console.say(f"A domain event of {topics.domain_events}:")
    async with asyncio.timeout(EVENT_TIMEOUT_S):
        event = await counts.event_about(
            settings.kafka, topics.domain_events, key, preferred="entity_properties_updated"
        )
    if event is None:
        raise DemoError(
            f"{topics.domain_events} holds no event about {key.decode()}. Look at `python -m infra status` and "
            "`python -m app doctor`."
        )
    show.domain_event(console, *event)

    console.say("")
    console.say("Counts of each stage:")
    stages = (*topics.sources, *topics.normalised, topics.cdc, topics.domain_events)
    dead = tuple(topics.dead_letters(name) for name in (*topics.sources, *topics.normalised, topics.cdc))
    sizes = await counts.topic_sizes(settings.kafka, (*stages, *dead))
    for name in stages:
        console.say(f"  {name:<36}{sizes[name]:>10,} offsets")
    console.say(f"  {'dead letters':<36}{sum(sizes[name] for name in dead):>10,} offsets")
    rows = await counts.rows(settings.postgres_dsn.get_secret_value(), known=())
    for label, count in (
        ("entities", rows.entities),
        ("edges", rows.edges),
        ("temporal_properties", rows.temporal),
    ):
        console.say(f"  {label:<36}{count:>10,} rows")
    console.say("  (offsets count the markers of transactions too)")


def _where_to_go_on(console: Console, base_url: str) -> None:
    console.say("")
    console.say("It goes on running. Try:")
    console.say("  KEY=$(.venv/bin/python -m app keys show)     this machine's API key, which requests need")
    console.say(
        f"  curl -H \"Authorization: Bearer $KEY\" '{base_url}/v1/graph/by-property/email/value/joao@email.com'"
    )
    console.say("  .venv/bin/python -m app keys link            the address of the page with it")
    console.say("  make load     two minutes of load        make status    what runs")
    console.say("  make demo-down   stop it; the data stays     make reset     remove the data")
