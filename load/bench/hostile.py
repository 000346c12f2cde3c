"""`bench-hostile`: what a request may hold of the event loop and of memory, whatever it asks for.

A database of its own is filled with hubs, meshes and fat entities (load.generate.hostile_reads) and dropped again. One
client sends the dearest requests that it can make up, one after another; another process asks /healthz all the while.
The longest wait for /healthz is how long a request held the loop, and the machine's own lateness, which is measured
first without requests. Memory is the highest of the worker during a request beside what it had before.
"""

import argparse
import asyncio
import http.client
import multiprocessing
import random
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import asyncpg

from app.config.settings import Settings
from load.bench.sizes import execute, of_database
from load.generate.hostile_reads import KINDS, TYPE, Asked, Shape, batches, everything
from load.generate.options import positive
from load.measure.read_samples import table
from load.measure.web_worker import web_worker
from storage.postgres.migrator import migrate
from storage.stores import Stores

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_PAUSE_S: Final = 0.002
_LOOP_MS: Final = 50.0
_MEMORY_MB: Final = 64.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request: its answer, and what it held."""

    asked: Asked
    status: int
    answer_mb: float
    seconds: float
    held_ms: float
    grown_mb: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--requests", type=positive, default=200, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the requests (default 1)")


def run(args: argparse.Namespace) -> int:
    """Measure and print Markdown."""
    told = Settings()
    name = f"bench_hostile_{secrets.token_hex(4)}"
    settings = of_database(told, name)
    asyncio.run(execute(told, f"CREATE DATABASE {name}"))
    try:
        ids = asyncio.run(_filled(settings))
        environment = {
            "PROFILE_POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
            "PROFILE_POSTGRES_READ_DSN": settings.read_dsn.get_secret_value(),
            "PROFILE_POSTGRES_WRITE_DSN": settings.write_dsn.get_secret_value(),
            "PROFILE_POSTGRES_REPLICA_DSNS": ",".join(
                dsn.get_secret_value() for dsn in settings.postgres_replica_dsns
            ),
            "PROFILE_CACHE_PREFIX": name,
            "PROFILE_MEMORY_CACHE_MB": "64",
            "PROFILE_ANSWER_CACHE_MB": "64",
        }
        with web_worker(environment) as worker:
            own_ms, seen = _measured(worker.url, worker.pid, args.requests, args.seed, ids)
    finally:
        asyncio.run(execute(told, f"DROP DATABASE {name} WITH (FORCE)"))
    _print(own_ms, seen)
    return 0


def _print(own_ms: float, seen: Sequence[Seen]) -> None:
    statuses = Counter(each.status for each in seen)
    print(
        f"{len(seen)} requests: "
        + ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    )
    print(f"The longest wait for /healthz without requests: {own_ms:.0f} ms\n")
    dearest = sorted(seen, key=lambda each: -max(each.held_ms / _LOOP_MS, each.grown_mb / _MEMORY_MB))[:10]
    rows = [
        [
            each.asked.target[:60] + (f" +{len(each.asked.body):,} B" if each.asked.body else ""),
            str(each.status),
            f"{each.answer_mb:.1f}",
            f"{each.seconds:.2f}",
            f"{each.held_ms:.0f}",
            f"{each.grown_mb:.0f}",
        ]
        for each in dearest
    ]
    print(table(["request", "status", "answer MB", "s", "loop held ms", "grown MB"], rows))
    over = [each for each in seen if each.held_ms > _LOOP_MS + own_ms or each.grown_mb > _MEMORY_MB]
    print(f"\n{len(over)} of {len(seen)} beyond {_LOOP_MS:.0f} ms or {_MEMORY_MB:.0f} MB")


async def _filled(settings: Settings) -> list[list[int]]:
    """The ids of each of KINDS."""
    await migrate(settings.postgres_dsn.get_secret_value())
    stores = await Stores.open(settings.model_copy(update={"roles": [], "cache_enabled": False}))
    try:
        for batch in batches(Shape()):
            await stores.writer.write(batch)
    finally:
        await stores.close()
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        await connection.execute("VACUUM ANALYZE")
        rows = await connection.fetch("SELECT id, reference FROM entities WHERE type = $1 ORDER BY id", TYPE)
    finally:
        await connection.close()
    return [[row["id"] for row in rows if row["reference"].startswith(f"{kind}-")] for kind in KINDS]


def _measured(
    url: str, pid: int, count: int, seed: int, ids: Sequence[Sequence[int]]
) -> tuple[float, list[Seen]]:
    address = urlsplit(url).netloc
    with _pinging(address) as pinger:
        time.sleep(2)
        own_ms = _longest(pinger)
        seen = []
        for asked, _ in zip(everything(random.Random(seed), ids), range(count), strict=False):
            seen.append(_ask(address, pid, asked, pinger))
    return own_ms, seen


def _ask(address: str, pid: int, asked: Asked, pinger: "Connection[object, float]") -> Seen:
    _longest(pinger)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the highest of memory begins here
    before, started = _megabytes(pid, "VmRSS"), time.perf_counter()
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        if asked.body is None:
            connection.request("GET", asked.target)
        else:
            connection.request("POST", asked.target, asked.body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        size = 0
        while part := response.read(1 << 20):
            size += len(part)
    finally:
        connection.close()
    return Seen(
        asked=asked,
        status=response.status,
        answer_mb=size / 2**20,
        seconds=time.perf_counter() - started,
        held_ms=_longest(pinger),
        grown_mb=max(0.0, _megabytes(pid, "VmHWM") - before),
    )


def _megabytes(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _longest(pinger: "Connection[object, float]") -> float:
    """The longest wait since it was asked last, in ms."""
    pinger.send(None)
    return pinger.recv()


@contextmanager
def _pinging(address: str) -> Iterator["Connection[object, float]"]:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_ping, args=(address, there), daemon=True)
    process.start()
    try:
        yield here
    finally:
        process.terminate()
        process.join()


def _ping(address: str, ask: "Connection[float, object]") -> None:
    connection = http.client.HTTPConnection(address)
    longest = 0.0
    while True:
        started = time.perf_counter()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        longest = max(longest, (time.perf_counter() - started) * 1000)
        while ask.poll():
            ask.recv()
            ask.send(longest)
            longest = 0.0
        time.sleep(_PAUSE_S)
