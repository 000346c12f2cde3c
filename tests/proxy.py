"""A TCP proxy whose connections can be cut, refused or left hanging: a server that is gone, for tests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

Mode = Literal["pass", "refuse", "hang"]


class Proxy:
    """Forwards to one server; `set` changes what happens, to open connections too."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._mode: Mode = "pass"
        self._flow = asyncio.Event()
        self._flow.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode == "refuse":
            writer.close()
            return
        self._writers.add(writer)
        await self._flow.wait()
        try:
            upstream_reader, upstream = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        self._writers.add(upstream)
        for source, sink in ((reader, upstream), (upstream_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self._flow.wait()
                sink.write(data)
                await sink.drain()
        sink.close()

    def set(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "hang":
            self._flow.clear()
        else:
            self._flow.set()
        if mode == "refuse":
            for writer in self._writers:
                writer.close()
            self._writers.clear()

    def move(self, host: str, port: int) -> None:
        """Cut all connections; new ones go to another server."""
        self.set("refuse")
        self._target = host, port
        self.set("pass")

    async def stop(self) -> None:
        self.set("refuse")
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def proxied(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
