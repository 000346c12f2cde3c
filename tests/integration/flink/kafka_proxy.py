"""Kafka as the jobs see it, whose commits of transactions can be held back: between a checkpoint and its commit."""

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_END_TXN: Final = 26  # the key of this request in Kafka's protocol
_HOST: Final = b"127.0.0.1"


class KafkaProxy:
    """Passes requests on, but swallows EndTxn while `holding`; `held` tells that there was one."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self.port = 0
        self.holding = False
        self.held = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # so that what is closing has closed before the loop does

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._broker_port)
        for coroutine in (self._requests(reader, upstream), self._answers(upstream_reader, writer)):
            task = asyncio.create_task(coroutine)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _requests(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while frame := await _frame(source):
                if self.holding and struct.unpack_from(">h", frame, 4)[0] == _END_TXN:
                    self.held.set()
                    continue
                sink.write(frame)
        finally:
            sink.close()

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """The broker tells its address in some answers: ours has the same length."""
        told, ours = (_HOST + struct.pack(">i", port) for port in (self._broker_port, self.port))
        try:
            while frame := await _frame(source):
                sink.write(frame.replace(told, ours))
        finally:
            sink.close()


async def _frame(source: asyncio.StreamReader) -> bytes:
    """One request or answer with its length in front; empty at the end."""
    try:
        head = await source.readexactly(4)
        return head + await source.readexactly(struct.unpack(">i", head)[0])
    except (OSError, asyncio.IncompleteReadError):
        return b""


@contextmanager
def kafka_proxy(broker_port: int) -> Iterator[KafkaProxy]:
    """In a thread of its own, so that it goes on while a test waits."""
    proxy, ready, loop, stop = (
        KafkaProxy(broker_port),
        threading.Event(),
        asyncio.new_event_loop(),
        asyncio.Event(),
    )
    thread = threading.Thread(target=loop.run_until_complete, args=(proxy.serve(ready, stop),))
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
