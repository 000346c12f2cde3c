"""A node of a Redis Cluster that speaks RESP and does what a test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from hiredis import Reader

TIMEOUT_S = 0.15  # of the connections that tests make
Handler = Callable[[list[bytes]], bytes]


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def array(*items: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(items), b"".join(items))


class FakeRedis:
    """Answers ECHO; holds all slots, unless `slots` says who does. `handlers` answer what they are named after."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.commands: list[list[bytes]] = []
        self.slots: list[tuple[int, int, FakeRedis]] = [(0, 16_383, self)]
        self.handlers: dict[bytes, Handler] = {}
        self.piece_bytes = 0  # 0: replies are written whole
        self.pause_s = 0.0  # between pieces
        self.speaks = asyncio.Event()
        self.speaks.set()
        self.reads = asyncio.Event()
        self.reads.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._writers)

    def count(self, name: bytes) -> int:
        return sum(command[0] == name for command in self.commands)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = Reader(notEnoughData=...)
        with contextlib.suppress(OSError):
            await self.reads.wait()
            while data := await reader.read(65_536):
                parser.feed(data)
                while (command := parser.gets()) is not ...:
                    self.commands.append(command)
                    await self.speaks.wait()
                    await self._reply(writer, self._answer(command))
                await self.reads.wait()
        writer.close()
        self._writers.discard(writer)

    async def _reply(self, writer: asyncio.StreamWriter, reply: bytes) -> None:
        size = self.piece_bytes or len(reply) or 1
        for start in range(0, len(reply), size):
            writer.write(reply[start : start + size])
            await writer.drain()
            if self.piece_bytes:
                await asyncio.sleep(self.pause_s)

    def _answer(self, command: list[bytes]) -> bytes:
        name = command[0]
        if name in self.handlers:
            return self.handlers[name](command)
        if name == b"ECHO":
            return bulk(command[1])
        if name == b"PING":
            return b"+PONG\r\n"
        if name == b"SCRIPT":
            return bulk(b"0" * 40)
        if command == [b"CLUSTER", b"SLOTS"]:
            return array(
                *(
                    array(b":%d\r\n" % start, b":%d\r\n" % end, array(bulk(b""), b":%d\r\n" % node.port))
                    for start, end, node in self.slots
                )
            )
        return b"-ERR unknown command\r\n"

    def push(self, data: bytes) -> None:
        """Write what nobody asked for."""
        for writer in self._writers:
            writer.write(data)

    def disconnect(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.disconnect()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def fake_redis() -> AsyncIterator[FakeRedis]:
    server = FakeRedis()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
