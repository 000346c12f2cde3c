"""A bare aiohttp handler that returns given bodies: what the framework alone can do.

Run in a process of its own by `http --baseline`. Bodies come from a JSON file, an array of strings taken from
the real service, and go round in order; each is sent with the headers that the checks want. Prints its port
when it listens.
"""

import asyncio
import json
import sys
from itertools import cycle
from pathlib import Path

import uvloop
from aiohttp import web

HEADERS = {"Content-Type": "application/json", "Cache-Status": "baseline; hit"}


def application(bodies: list[bytes]) -> web.Application:
    """An application that answers every GET with the next body."""
    following = cycle(bodies)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=next(following), headers=HEADERS)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return app


async def serve(bodies: list[bytes]) -> None:
    """Listen on a free port of the loopback interface until the process is stopped."""
    runner = web.AppRunner(application(bodies), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve([text.encode() for text in json.loads(Path(sys.argv[1]).read_text("utf-8"))]))
