"""A bare aiohttp handler that returns given bodies: what the framework alone can do.

Run in a process of its own by load.measure.bare_server. Bodies come from a JSON file, an array of strings taken from
the real service, and go round in order; each is sent with the headers that the checks want. With `--source redis` they
are stored in the Redis Cluster of the settings for an hour, and each request gets its body from there over the
connections that the service has; with `--source redis-py` over those of the package redis, as one would write it.
Prints its port when it listens.
"""

import argparse
import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Literal, cast, get_args

import uvloop
from aiohttp import web
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot

from app.config.settings import Settings
from storage.redis.cluster import RedisNodes

HEADERS = {"Content-Type": "application/json", "Cache-Status": "baseline; hit"}
_STORED_S = 3600

NextBody = Callable[[], Awaitable[bytes]]
Source = Literal["memory", "redis", "redis-py"]


def application(next_body: NextBody) -> web.Application:
    """An application that answers every GET with the next body."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=await next_body(), headers=HEADERS)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return app


def in_turn(bodies: list[bytes]) -> NextBody:
    """The bodies, again and again."""
    following = cycle(bodies)

    async def next_body() -> bytes:
        return next(following)

    return next_body


def _own_names(count: int) -> list[bytes]:
    """Keys that nobody else has."""
    prefix = f"baseline-{secrets.token_hex(4)}"
    return [f"{prefix}:{number}".encode() for number in range(count)]


async def from_redis(bodies: list[bytes], nodes: RedisNodes) -> NextBody:
    """The bodies, again and again, with one GET for each."""
    names = _own_names(len(bodies))
    keys = [(key_slot(name), name) for name in names]
    await nodes.run(
        [
            (slot, ("SET", name, body, "EX", _STORED_S))
            for (slot, name), body in zip(keys, bodies, strict=True)
        ]
    )
    following = cycle([(slot, ("GET", name)) for slot, name in keys])

    async def next_body() -> bytes:
        (body,) = await nodes.run([next(following)])
        return cast("bytes", body)

    return next_body


async def by_redis_py(bodies: list[bytes], seeds: Sequence[str]) -> NextBody:
    """The same over the package redis."""
    startup = [ClusterNode(host, int(port)) for host, _, port in (seed.rpartition(":") for seed in seeds)]
    cluster = RedisCluster(startup_nodes=startup)
    names = _own_names(len(bodies))
    for name, body in zip(names, bodies, strict=True):
        await cluster.set(name, body, ex=_STORED_S)
    following = cycle(names)

    async def next_body() -> bytes:
        return cast("bytes", await cluster.get(next(following)))

    return next_body


async def serve(bodies: list[bytes], *, source: Source) -> None:
    """Listen on a free port of the loopback interface until the process is stopped."""
    settings = Settings()
    if source == "redis":
        nodes = RedisNodes(settings.redis_nodes, timeout_s=settings.redis_timeout_s)
        next_body = await from_redis(bodies, nodes)
    elif source == "redis-py":
        next_body = await by_redis_py(bodies, settings.redis_nodes)
    else:
        next_body = in_turn(bodies)
    runner = web.AppRunner(application(next_body), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve the bodies of a file."""
    parser = argparse.ArgumentParser(prog="python -m load.measure.baseline")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--source", choices=get_args(Source), default="memory")
    args = parser.parse_args()
    bodies = [text.encode() for text in json.loads(args.bodies.read_text("utf-8"))]
    uvloop.run(serve(bodies, source=args.source))


if __name__ == "__main__":
    main()
