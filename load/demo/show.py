"""One whole answer, fetched fresh and then from cache, and one domain event."""

import time
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from load import own_key
from load.demo.console import Console, DemoError

_WIDTH: Final = 110


async def graph_answer(console: Console, base_url: str, reference: str) -> int:
    """Print the tree of a user twice, fresh and cached; return the user's id."""
    lookup = f"{base_url}/v1/graph/by-reference/user/{quote(reference, safe='')}?depth=1"
    async with aiohttp.ClientSession(headers=own_key.headers()) as http:
        async with http.get(lookup) as response:
            if response.status != 200:
                raise DemoError(f"GET {lookup} answered {response.status}: {(await response.text())[:300]}")
            entity_id = int(orjson.loads(await response.read())["id"])
        url = f"{base_url}/v1/graph/{entity_id}"
        for attempt in range(2):
            started = time.perf_counter()
            async with http.get(url) as response:
                body = await response.read()
                elapsed_ms = (time.perf_counter() - started) * 1000
                status = response.headers.get("Cache-Status", "(none)")
            console.say(f"GET {url}  →  {response.status}, {elapsed_ms:.1f} ms, Cache-Status: {status}")
            if attempt == 0:
                console.block(laid_out(orjson.loads(body)))
    return entity_id


def laid_out(value: Any, indent: str = "") -> str:
    """The whole JSON value; what fits on a line stays on one."""
    line = orjson.dumps(value).decode()
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list):
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        items = [f"{orjson.dumps(key).decode()}: {laid_out(item, inner)}" for key, item in value.items()]
    else:
        items = [laid_out(item, inner) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    separator = f",\n{inner}"
    return f"{opening}\n{inner}{separator.join(items)}\n{indent}{closing}"


def domain_event(console: Console, headers: list[tuple[str, str]], body: str) -> None:
    """Print the headers and the body of one event."""
    for name, value in headers:
        console.say(f"{name}: {value}")
    console.block(laid_out(orjson.loads(body)))
