"""The private members of aiohttp that are used, all of them: what a release of it may change without a word.

The connections of web.server.connection look into a protocol of aiohttp. Where the installed version lacks one of these
names, the server runs on aiohttp's own connections: right, slower, and without the limits for clients that don't read.
"""

import asyncio
from typing import Any, Final

from aiohttp import web

HANDLER: Final = frozenset(
    {
        "_close",
        "_current_request",
        "_drain_helper",
        "_drain_waiter",
        "_force_close",
        "_handle_request",
        "_keepalive_timeout",
        "_loop",
        "_manager",
        "_messages",
        "_next_keepalive_close_time",
        "_parser",
        "_paused",
        "_task_handler",
        "_waiter",
    }
)
SERVER: Final = frozenset({"_connections", "_kwargs", "_loop"})


def lacking(server: web.Server) -> list[str]:
    """The names that the installed aiohttp does not have."""
    names = {f"RequestHandler.{name}" for name in HANDLER if not hasattr(web.RequestHandler, name)}
    names |= {f"Server.{name}" for name in SERVER if not hasattr(server, name)}
    return sorted(names)


async def drained(protocol: Any) -> None:
    """Return when the client has taken what was written, as aiohttp's own writer waits."""
    drain = getattr(protocol, "_drain_helper", None)
    await (asyncio.sleep(0) if drain is None else drain())
