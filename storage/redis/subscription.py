"""A subscription to one shard channel of one Redis node, on a connection of its own."""

import asyncio
from typing import Final, Self, cast

from hiredis import ProtocolError, Reader, pack_command

from app.core.attention import attended_timeout
from app.core.errors import TransientError
from storage.redis.connection import Command
from storage.redis.node import Address
from storage.redis.security import NONE, RedisSecurity

_CHUNK: Final = 64 * 1024
_MORE: Final = object()


class Subscription:
    """Messages that the node got since `open` returned, in order. Raises TransientError where any may be missing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._replies = Reader(notEnoughData=_MORE)

    @classmethod
    async def open(
        cls, address: Address, channel: bytes, *, timeout_s: float, security: RedisSecurity = NONE
    ) -> Self:
        """Connect and subscribe; return when the node has confirmed it."""
        try:
            async with attended_timeout(timeout_s):
                subscription = cls(*await asyncio.open_connection(*address, ssl=security.tls))
            try:
                async with attended_timeout(timeout_s):
                    if security.auth is not None:
                        await subscription._authenticate(security.auth)
                async with attended_timeout(timeout_s):
                    await subscription._subscribe(channel)
            except BaseException:
                subscription.close()
                raise
        except OSError as error:  # TimeoutError is one
            raise TransientError(f"Redis can't be reached: {type(error).__name__}.") from error
        return subscription

    async def _authenticate(self, auth: Command) -> None:
        self._writer.write(pack_command(auth))  # type: ignore[arg-type]  # as below
        if await self._reply() != b"OK":
            raise TransientError("Redis refuses the user or password.")

    async def _subscribe(self, channel: bytes) -> None:
        self._writer.write(pack_command(("SSUBSCRIBE", channel)))  # type: ignore[arg-type]  # its stub knows tuples of one
        reply = await self._reply()
        if not isinstance(reply, list) or reply[0] != b"ssubscribe":
            raise TransientError("Redis refuses the subscription.")

    async def _reply(self) -> object:
        try:
            while (reply := self._replies.gets()) is _MORE:
                data = await self._reader.read(_CHUNK)
                if not data:
                    raise TransientError("The subscription was lost.")
                self._replies.feed(data)
        except OSError as error:
            raise TransientError("The subscription was lost.") from error
        except ProtocolError as error:
            raise TransientError("Redis sent what is not its protocol.") from error
        return reply

    async def message(self) -> bytes:
        """The next one."""
        reply = await self._reply()
        if not isinstance(reply, list) or reply[0] != b"smessage":
            raise TransientError("The subscription ended: the channel went to another node.")
        return cast("bytes", reply[2])

    def close(self) -> None:
        self._writer.transport.abort()
