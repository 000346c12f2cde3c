"""Requests at a fixed rate, whether or not those before were answered; the time of each counts from when it was due.

So a server that stands still for a moment is late for all that were due meanwhile, as for real clients.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Self
from urllib.parse import urlsplit

from load.errors import LoadError

_CONNECTIONS = 32
_LONGEST_S = 30.0


class OpenLoop:
    """Asks one server for paths in turn, over connections that it keeps. Use as an async context manager."""

    def __init__(self, url: str, paths: Sequence[str], *, also: Collection[int] = ()) -> None:
        """An answer is one with the status 200, or one of `also`."""
        parts = urlsplit(url)
        self._address = (parts.hostname, parts.port)
        self._requests = [f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode() for path in paths]
        self._taken = {f"HTTP/1.1 {status}" for status in (200, *also)}
        self._free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()
        self._all: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        for _ in range(_CONNECTIONS):
            reader, writer = await asyncio.open_connection(*self._address)
            self._all.append(writer)
            self._free.put_nowait((reader, writer))
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._all:
            writer.close()

    async def run(self, rate: int, seconds: float) -> list[float]:
        """Seconds of each request. Raises LoadError where one fails or is not answered for half a minute."""
        began, asked = time.perf_counter(), []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            asked.append(asyncio.create_task(self._ask(number, due)))
        try:
            async with asyncio.timeout(_LONGEST_S):
                return await asyncio.gather(*asked)
        except TimeoutError:
            raise LoadError(f"A read was not answered within {_LONGEST_S:g} s.") from None

    async def _ask(self, number: int, due: float) -> float:
        reader, writer = await self._free.get()
        if reader.at_eof():  # a server closes what was idle for long
            self._all.remove(writer)
            writer.close()
            reader, writer = await asyncio.open_connection(*self._address)
            self._all.append(writer)
        writer.write(self._requests[number % len(self._requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        await reader.readexactly(int(headers["content-length"]))
        if status[: len("HTTP/1.1 200")] not in self._taken:
            raise LoadError(f"A read was answered with {status}.")
        self._free.put_nowait((reader, writer))
        return time.perf_counter() - due
